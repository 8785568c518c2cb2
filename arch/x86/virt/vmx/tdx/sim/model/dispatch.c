// SPDX-License-Identifier: GPL-2.0
/*
 * Entry points of the module model: which leaves exist, when they may be
 * called, and what surrounds every call.
 */
#include "leaves.h"

struct sim_module sim_module;

#define ST(state)	BIT(OP_##state)
#define ST_ALL		GENMASK(OP_NR_STATES - 1, 0)
/* The TD exists and is configured. */
#define ST_INIT		(ST_ALL & ~ST(UNINITIALIZED))
#define ST_EXPORT	(ST(LIVE_EXPORT) | ST(PAUSED_EXPORT) | ST(POST_EXPORT))
#define ST_IN_ORDER	(ST(MEMORY_IMPORT) | ST(STATE_IMPORT))
#define ST_OUT_OF_ORDER	(ST(POST_IMPORT) | ST(LIVE_IMPORT))
#define ST_BUILD	(ST(UNINITIALIZED) | ST(INITIALIZED))
/* The guest has memory that the host manages. */
#define ST_MEM		(ST(INITIALIZED) | ST(RUNNABLE) | ST_EXPORT | ST_OUT_OF_ORDER)
/* Host writes of TD state: not between EXPORT.PAUSE and the end of the export. */
#define ST_WRITE	(ST_INIT & ~(ST(PAUSED_EXPORT) | ST(POST_EXPORT)))

/* Versions above 0 exist; the leaf checks which. */
#define LEAF_VERSIONS	BIT(0)
/* May be called before the module is ready. */
#define LEAF_EARLY	BIT(1)
/* May be called after the module was shut down. */
#define LEAF_LATE	BIT(2)
/* May be called on an LP that did not do SYS.LP.INIT. */
#define LEAF_ANY_LP	BIT(3)
/* Only if the platform says so. */
#define LEAF_OPTIONAL	BIT(4)

struct leaf {
	sim_leaf_fn fn;
	u16 op_states;
	u8 flags;
};

static const struct leaf leaves[SIM_NR_LEAVES] = {
	[LEAF_VP_ENTER] = { tdx_sim_vp_enter,
			    ST(RUNNABLE) | ST(LIVE_EXPORT) | ST(LIVE_IMPORT) },
	[LEAF_MNG_ADDCX] = { tdx_sim_mng_addcx, ST(UNINITIALIZED) },
	[LEAF_MEM_PAGE_ADD] = { tdx_sim_mem_page_add, ST(INITIALIZED) },
	[LEAF_MEM_SEPT_ADD] = { tdx_sim_mem_sept_add,
				ST(INITIALIZED) | ST(RUNNABLE) | ST(LIVE_EXPORT) |
				ST_IN_ORDER | ST_OUT_OF_ORDER, LEAF_VERSIONS },
	[LEAF_VP_ADDCX] = { tdx_sim_vp_addcx, ST(INITIALIZED) | ST(STATE_IMPORT) },
	[LEAF_MEM_PAGE_RELOCATE] = { tdx_sim_mem_page_relocate, ST_MEM },
	[LEAF_MEM_PAGE_AUG] = { tdx_sim_mem_page_aug,
				ST(INITIALIZED) | ST(RUNNABLE) | ST(LIVE_EXPORT) |
				ST(LIVE_IMPORT) },
	[LEAF_MEM_RANGE_BLOCK] = { tdx_sim_mem_range_block, ST_MEM },
	[LEAF_MNG_KEY_CONFIG] = { tdx_sim_mng_key_config, ST_ALL },
	[LEAF_MNG_CREATE] = { tdx_sim_mng_create, ST_ALL },
	[LEAF_VP_CREATE] = { tdx_sim_vp_create, ST(INITIALIZED) | ST(STATE_IMPORT) },
	[LEAF_MNG_RD] = { tdx_sim_mng_rd, ST_INIT, LEAF_VERSIONS },
	[LEAF_MEM_RD] = { tdx_sim_mem_rd, ST_INIT },
	[LEAF_MNG_WR] = { tdx_sim_mng_wr, ST_WRITE },
	[LEAF_MEM_WR] = { tdx_sim_mem_wr, ST_WRITE },
	[LEAF_MEM_PAGE_DEMOTE] = { tdx_sim_mem_page_demote, ST_MEM },
	[LEAF_MR_EXTEND] = { tdx_sim_mr_extend, ST(INITIALIZED) },
	[LEAF_MR_FINALIZE] = { tdx_sim_mr_finalize, ST(INITIALIZED) },
	[LEAF_VP_FLUSH] = { tdx_sim_vp_flush, ST_ALL },
	[LEAF_MNG_VPFLUSHDONE] = { tdx_sim_mng_vpflushdone, ST_ALL },
	[LEAF_MNG_KEY_FREEID] = { tdx_sim_mng_key_freeid, ST_ALL },
	[LEAF_MNG_INIT] = { tdx_sim_mng_init, ST(UNINITIALIZED) },
	[LEAF_VP_INIT] = { tdx_sim_vp_init, ST(INITIALIZED) },
	[LEAF_MEM_PAGE_PROMOTE] = { tdx_sim_mem_page_promote, ST_MEM, LEAF_VERSIONS },
	[LEAF_PHYMEM_PAGE_RDMD] = { tdx_sim_phymem_page_rdmd, ST_ALL },
	[LEAF_MEM_SEPT_RD] = { tdx_sim_mem_sept_rd, ST_INIT },
	[LEAF_VP_RD] = { tdx_sim_vp_rd, ST_INIT, LEAF_VERSIONS },
	[LEAF_MNG_KEY_RECLAIMID] = { tdx_sim_mng_key_reclaimid, ST_ALL },
	[LEAF_PHYMEM_PAGE_RECLAIM] = { tdx_sim_phymem_page_reclaim, ST_ALL },
	[LEAF_MEM_PAGE_REMOVE] = { tdx_sim_mem_page_remove, ST_MEM | ST(FAILED_IMPORT) },
	[LEAF_MEM_SEPT_REMOVE] = { tdx_sim_mem_sept_remove, ST_INIT, LEAF_VERSIONS },
	[LEAF_SYS_KEY_CONFIG] = { tdx_sim_sys_key_config, ST_ALL, LEAF_EARLY },
	[LEAF_SYS_INFO] = { tdx_sim_sys_info, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_SYS_INIT] = { tdx_sim_sys_init, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_SYS_RD] = { tdx_sim_sys_rd, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_SYS_LP_INIT] = { tdx_sim_sys_lp_init, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_SYS_TDMR_INIT] = { tdx_sim_sys_tdmr_init, ST_ALL },
	[LEAF_SYS_RDALL] = { tdx_sim_sys_rdall, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_MEM_TRACK] = { tdx_sim_mem_track, ST_INIT & ~ST(FAILED_IMPORT) },
	[LEAF_MEM_RANGE_UNBLOCK] = { tdx_sim_mem_range_unblock, ST_MEM },
	[LEAF_PHYMEM_CACHE_WB] = { tdx_sim_phymem_cache_wb, ST_ALL },
	[LEAF_PHYMEM_PAGE_WBINVD] = { tdx_sim_phymem_page_wbinvd, ST_ALL },
	[LEAF_VP_WR] = { tdx_sim_vp_wr, ST_WRITE },
	[LEAF_SYS_LP_SHUTDOWN] = { tdx_sim_sys_lp_shutdown, ST_ALL,
				   LEAF_EARLY | LEAF_LATE | LEAF_ANY_LP },
	[LEAF_SYS_CONFIG] = { tdx_sim_sys_config, ST_ALL, LEAF_EARLY | LEAF_ANY_LP },
	[LEAF_SERVTD_BIND] = { tdx_sim_servtd_bind,
			       ST_BUILD | ST(RUNNABLE) | ST(LIVE_EXPORT) |
			       ST_OUT_OF_ORDER },
	[LEAF_SERVTD_PREBIND] = { tdx_sim_servtd_prebind, ST_BUILD },
	[LEAF_SYS_SHUTDOWN] = { tdx_sim_sys_shutdown, ST_ALL, LEAF_ANY_LP },
	[LEAF_SYS_UPDATE] = { tdx_sim_sys_update, ST_ALL, LEAF_EARLY },
	[LEAF_EXPORT_ABORT] = { tdx_sim_export_abort, ST_EXPORT },
	[LEAF_EXPORT_BLOCKW] = { tdx_sim_export_blockw, ST(LIVE_EXPORT) },
	[LEAF_EXPORT_RESTORE] = { tdx_sim_export_restore, ST(RUNNABLE) },
	[LEAF_EXPORT_MEM] = { tdx_sim_export_mem, ST_EXPORT },
	[LEAF_SYS_DISABLE] = { tdx_sim_sys_disable, ST_ALL,
			       LEAF_EARLY | LEAF_ANY_LP | LEAF_OPTIONAL },
	[LEAF_EXPORT_PAUSE] = { tdx_sim_export_pause, ST(LIVE_EXPORT) },
	[LEAF_EXPORT_TRACK] = { tdx_sim_export_track, ST(LIVE_EXPORT) | ST(PAUSED_EXPORT) },
	[LEAF_EXPORT_STATE_IMMUTABLE] = { tdx_sim_export_state_immutable,
					  ST(RUNNABLE) | ST(LIVE_IMPORT) },
	[LEAF_EXPORT_STATE_TD] = { tdx_sim_export_state_td, ST(PAUSED_EXPORT) },
	[LEAF_EXPORT_STATE_VP] = { tdx_sim_export_state_vp, ST(PAUSED_EXPORT) },
	[LEAF_EXPORT_UNBLOCKW] = { tdx_sim_export_unblockw, ST(RUNNABLE) | ST_EXPORT },
	[LEAF_IMPORT_ABORT] = { tdx_sim_import_abort,
				ST_IN_ORDER | ST(POST_IMPORT) | ST(FAILED_IMPORT) },
	[LEAF_IMPORT_END] = { tdx_sim_import_end, ST_OUT_OF_ORDER },
	[LEAF_IMPORT_COMMIT] = { tdx_sim_import_commit, ST(POST_IMPORT) },
	[LEAF_IMPORT_MEM] = { tdx_sim_import_mem, ST_IN_ORDER | ST_OUT_OF_ORDER },
	[LEAF_IMPORT_TRACK] = { tdx_sim_import_track, ST_IN_ORDER },
	[LEAF_IMPORT_STATE_IMMUTABLE] = { tdx_sim_import_state_immutable, ST(UNINITIALIZED) },
	[LEAF_IMPORT_STATE_TD] = { tdx_sim_import_state_td, ST(MEMORY_IMPORT) },
	[LEAF_IMPORT_STATE_VP] = { tdx_sim_import_state_vp, ST(STATE_IMPORT) },
	[LEAF_MIG_STREAM_CREATE] = { tdx_sim_mig_stream_create, ST_BUILD | ST(RUNNABLE) },
};

static const sim_guest_leaf_fn guest_leaves[SIM_NR_GUEST_LEAVES] = {
	[TDG_VP_VMCALL] = tdx_sim_tdg_vp_vmcall,
	[TDG_VP_INFO] = tdx_sim_tdg_vp_info,
	[TDG_MR_RTMR_EXTEND] = tdx_sim_tdg_mr_rtmr_extend,
	[TDG_VP_VEINFO_GET] = tdx_sim_tdg_vp_veinfo_get,
	[TDG_MR_REPORT] = tdx_sim_tdg_mr_report,
	[TDG_VP_CPUIDVE_SET] = tdx_sim_tdg_vp_cpuidve_set,
	[TDG_MEM_PAGE_ACCEPT] = tdx_sim_tdg_mem_page_accept,
	[TDG_VM_RD] = tdx_sim_tdg_vm_rd,
	[TDG_VM_WR] = tdx_sim_tdg_vm_wr,
	[TDG_VP_RD] = tdx_sim_tdg_vp_rd,
	[TDG_VP_WR] = tdx_sim_tdg_vp_wr,
	[TDG_SYS_RD] = tdx_sim_tdg_sys_rd,
	[TDG_SYS_RDALL] = tdx_sim_tdg_sys_rdall,
	[TDG_SERVTD_RD] = tdx_sim_tdg_servtd_rd,
	[TDG_SERVTD_WR] = tdx_sim_tdg_servtd_wr,
	[TDG_MEM_PAGE_ATTR_RD] = tdx_sim_tdg_mem_page_attr_rd,
	[TDG_MEM_PAGE_ATTR_WR] = tdx_sim_tdg_mem_page_attr_wr,
};

/* RAX of a SEAMCALL or TDCALL. */
#define RAX_LEAF	GENMASK_ULL(15, 0)
#define RAX_VERSION	GENMASK_ULL(23, 16)
#define RAX_RESERVED	GENMASK_ULL(63, 24)

bool sim_op_state_allows(u16 leaf, u32 op_state)
{
	return leaf < SIM_NR_LEAVES && op_state < OP_NR_STATES &&
	       (leaves[leaf].op_states & BIT(op_state));
}

static bool leaf_takes_version(u16 leaf)
{
	if (leaf == LEAF_VP_INIT)
		return sim_has_topology_enum();
	return leaf < SIM_NR_LEAVES && (leaves[leaf].flags & LEAF_VERSIONS);
}

static bool leaf_exists(u16 leaf)
{
	if (leaf >= SIM_NR_LEAVES || !leaves[leaf].fn)
		return false;
	return !(leaves[leaf].flags & LEAF_OPTIONAL) || sim_module.platform.sys_disable;
}

static bool lp_initialised(void)
{
	return sim_load(&sim_module.lps_initialised) & BIT_ULL(tdx_sim_host_lp());
}

/* What can be said about a call before its operands are looked at. */
static u64 check_call(struct sim_call *c, u64 rax)
{
	u32 state = sim_load(&sim_module.sys_state);
	u8 flags = 0;

	if ((rax & RAX_RESERVED) || (c->version && !leaf_takes_version(c->leaf)))
		return SIM_OPERAND_INVALID | RAX;
	if (leaf_exists(c->leaf))
		flags = leaves[c->leaf].flags;
	if (state == SYS_SHUTDOWN && !(flags & LEAF_LATE))
		return SIM_SYS_SHUTDOWN;
	if (state != SYS_READY && state != SYS_SHUTDOWN && !(flags & LEAF_EARLY))
		return SIM_SYS_NOT_READY;
	if (!leaf_exists(c->leaf))
		return SIM_OPERAND_INVALID | RAX;
	if (!(flags & LEAF_ANY_LP) && !lp_initialised())
		return SIM_SYS_LP_INIT_NOT_DONE;
	return SIM_SUCCESS;
}

void tdx_sim_seamcall(struct tdx_sim_regs *regs)
{
	u64 rax = regs->r[RAX];
	struct sim_call c = {
		.regs = regs,
		.in = *regs,
		.leaf = FIELD_GET(RAX_LEAF, rax),
		.version = FIELD_GET(RAX_VERSION, rax),
	};
	u64 err;

	err = check_call(&c, rax);
	if (!err) {
		sim_atomic_inc64(&sim_module.host_calls[c.leaf]);
		err = leaves[c.leaf].fn(&c);
	}
	sim_release_all(&c);
	regs->r[RAX] = err;
}

static void count_guest_call(struct sim_guest_call *g, u16 leaf)
{
	sim_atomic_inc64(&sim_module.guest_calls[leaf]);
	if (g->vp->td.cpuid)
		sim_atomic_inc32(&g->vp->td.cpuid->guest_calls[leaf]);
}

void tdx_sim_tdcall(struct sim_guest_call *g)
{
	u64 rax = g->regs->r[RAX];
	u16 leaf = FIELD_GET(RAX_LEAF, rax);
	u64 err;

	memset(&g->exit, 0, sizeof(g->exit));
	memset(&g->host, 0, sizeof(g->host));
	g->host.regs = g->regs;
	g->host.in = *g->regs;
	g->host.leaf = leaf;
	g->host.version = FIELD_GET(RAX_VERSION, rax);

	if ((rax & RAX_RESERVED) || (g->host.version && leaf != TDG_VM_RD) ||
	    leaf >= SIM_NR_GUEST_LEAVES || !guest_leaves[leaf]) {
		g->regs->r[RAX] = SIM_OPERAND_INVALID | RAX;
		return;
	}

	count_guest_call(g, leaf);
	err = guest_leaves[leaf](g);
	sim_release_all(&g->host);
	if (g->exit.pending)
		*g->regs = g->host.in;
	else
		g->regs->r[RAX] = err;
}

void tdx_sim_reset(const struct tdx_sim_platform *platform)
{
	memset(&sim_module, 0, sizeof(sim_module));
	sim_module.platform = *platform;
}
