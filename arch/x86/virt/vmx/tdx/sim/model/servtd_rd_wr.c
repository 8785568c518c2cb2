// SPDX-License-Identifier: GPL-2.0
/*
 * TDG.SERVTD.RD and TDG.SERVTD.WR: a service TD accesses the metadata of the TD
 * that it is bound to.
 */
#include "leaves.h"
#include "metadata_table.h"

/* Low part of a binding handle, beside the address of the TDR. */
#define SERVTD_SLOT		GENMASK_ULL(11, 0)
/* While state is in flight keys cannot change. */
#define SERVTD_NO_WR_STATES	(BIT(OP_PAUSED_EXPORT) | BIT(OP_POST_EXPORT))

static bool is_busy(u64 err)
{
	return (err & ~(u64)U32_MAX) == SIM_OPERAND_BUSY;
}

/* The host broke the binding: leave to it, for it to repair. */
static u64 cross_td_exit(struct sim_guest_call *g, u64 target_tdr, u64 err)
{
	memset(&g->exit, 0, sizeof(g->exit));
	g->exit.pending = true;
	g->exit.rax = SIM_CROSS_TD_TRAP;
	g->exit.rcx = err;
	g->exit.r8 = target_tdr;
	return err;
}

static u64 get_target_td(struct sim_guest_call *g, u64 tdr_pa, bool write, struct sim_td *td)
{
	u64 err;

	err = sim_get_tdr_at(&g->host, tdr_pa, OPND_TDR, SIM_SHARED, td);
	if (err)
		return err;
	if (td->tdr->fatal)
		return SIM_TD_FATAL;
	if (td->tdr->lifecycle != TD_KEYS_CONFIGURED)
		return SIM_TD_KEYS_NOT_CONFIGURED;
	if (td->tdr->num_tdcx < SIM_MIN_TDCX)
		return SIM_TDCS_NOT_ALLOCATED;
	err = sim_hold_guest(g, &td->tdcs->op_state_lock, SIM_SHARED, OPND_OP_STATE);
	if (!err && write && SERVTD_NO_WR_STATES & BIT(td->tdcs->op_state))
		err = SIM_OP_STATE_INCORRECT;
	return err;
}

/* The TD's name, in R10..R13, as it is now or as it was before an import. */
static u64 check_target_uuid(struct sim_guest_call *g, struct sim_td *td)
{
	u64 *named = &g->regs->r[R10];

	if (!memcmp(named, td->tdr->uuid, sizeof(td->tdr->uuid)))
		return SIM_SUCCESS;
	if (memcmp(named, td->tdcs->pre_import_uuid, sizeof(td->tdcs->pre_import_uuid)))
		return SIM_TARGET_UUID_MISMATCH;
	memcpy(named, td->tdr->uuid, sizeof(td->tdr->uuid));
	return SIM_TARGET_UUID_UPDATED;
}

/* *@cross is set when the error is for the host. */
static u64 check_bound(struct sim_guest_call *g, struct sim_td *td, u64 slot, bool *cross)
{
	const struct servtd_binding *b = &td->tdcs->servtd[slot];
	struct sim_td *self = &g->vp->td;
	u8 info_hash[48];
	u64 err;

	err = sim_hold_guest(g, &td->tdcs->servtd_lock, SIM_SHARED, OPND_SERVTD_BINDINGS);
	if (err)
		return err;
	*cross = true;
	if (b->state != SERVTD_BOUND)
		return SIM_SERVTD_NOT_BOUND | slot;
	if (memcmp(b->uuid, self->tdr->uuid, sizeof(b->uuid)))
		return SIM_SERVTD_UUID_MISMATCH;
	*cross = false;
	err = sim_hold_guest(g, &self->tdcs->rtmr_lock, SIM_SHARED, OPND_RTMR);
	if (err)
		return err;
	sim_servtd_info_hash(self, b->attributes, info_hash);
	*cross = memcmp(b->info_hash, info_hash, sizeof(info_hash));
	return *cross ? SIM_SERVTD_INFO_HASH_MISMATCH : SIM_SUCCESS;
}

static u64 servtd_rd_wr(struct sim_guest_call *g, bool write)
{
	struct md_target t = { .context = MD_CTX_TD, .who = MD_SERVTD };
	u64 *r = g->regs->r;
	u64 handle = r[RCX] - g->vp->td.tdr->uuid[0], id = r[RDX], value = r[R8], err;
	u64 tdr_pa = handle & SIM_HPA_PAGE_MASK, slot = handle & SERVTD_SLOT;
	bool cross = false;
	struct sim_td td;

	if (!write)
		r[RDX] = MD_ID_NONE;
	r[R8] = 0;
	if (slot >= SIM_MAX_SERVTDS)
		return SIM_OPERAND_INVALID | RCX;

	err = get_target_td(g, tdr_pa, write, &td);
	if (err)
		return is_busy(err) ? err : cross_td_exit(g, tdr_pa, err);
	err = check_target_uuid(g, &td);
	if (!err)
		err = check_bound(g, &td, slot, &cross);
	if (err)
		return cross ? cross_td_exit(g, tdr_pa, err) : err;

	t.td = &td;
	if (write)
		return md_wr_regs(&t, r, id, value);
	return md_rd_regs(&t, r, id);
}

u64 tdx_sim_tdg_servtd_rd(struct sim_guest_call *g)
{
	return servtd_rd_wr(g, false);
}

u64 tdx_sim_tdg_servtd_wr(struct sim_guest_call *g)
{
	return servtd_rd_wr(g, true);
}
