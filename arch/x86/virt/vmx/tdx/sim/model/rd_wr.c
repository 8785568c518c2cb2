// SPDX-License-Identifier: GPL-2.0
/*
 * The leaves that read and write metadata one element at a time or as a list:
 * TDH.MNG, TDH.VP, TDH.SYS, TDG.VM, TDG.VP, TDG.SYS.
 */
#include "leaves.h"
#include "metadata_table.h"

#define SYSINFO_SIZE		1024
#define CMR_INFO_SIZE		16
#define CMR_INFO_ENTRIES	32
#define EPT_VIOLATION_WRITE	BIT_ULL(1)

/* How a leaf reports the id of the field after the one it read. */
enum rd_next { NO_NEXT, NEXT_IN_RDX };

static u64 do_rd(const struct md_target *t, struct tdx_sim_regs *regs, enum rd_next next)
{
	u64 id = regs->r[RDX], value, err;

	regs->r[R8] = 0;
	if (next == NEXT_IN_RDX) {
		regs->r[RDX] = MD_ID_NONE;
		return md_rd_regs(t, regs->r, id);
	}
	err = md_read(t, id, &value);
	if (!err)
		regs->r[R8] = value;
	return err;
}

static u64 do_wr(const struct md_target *t, struct tdx_sim_regs *regs)
{
	u64 value = regs->r[R8];

	regs->r[R8] = 0;
	return md_wr_regs(t, regs->r, regs->r[RDX], value);
}

/* ---------------------------------------------------------------- the host */

static enum md_who host_of(const struct sim_td *td)
{
	return td->tdcs->attributes & SIM_ATTR_DEBUG ? MD_DEBUGGER : MD_HOST;
}

/* An error leaves the outputs of a read in their default state. */
static u64 rd_failed(struct sim_call *c, u64 err)
{
	c->regs->r[R8] = 0;
	if (c->version)
		c->regs->r[RDX] = MD_ID_NONE;
	return err;
}

u64 tdx_sim_mng_rd(struct sim_call *c)
{
	struct md_target t = { .context = MD_CTX_TD };
	struct sim_td td;
	u64 err;

	if (c->version > 1)
		return rd_failed(c, SIM_OPERAND_INVALID | RAX);
	err = sim_get_td(c, RCX, SIM_SHARED, SIM_SHARED, &td);
	if (err)
		return rd_failed(c, err);
	t.td = &td;
	t.who = host_of(&td);
	return do_rd(&t, c->regs, c->version ? NEXT_IN_RDX : NO_NEXT);
}

u64 tdx_sim_mng_wr(struct sim_call *c)
{
	struct md_target t = { .context = MD_CTX_TD };
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_SHARED, SIM_SHARED, &td);
	if (err) {
		c->regs->r[R8] = 0;
		return err;
	}
	t.td = &td;
	t.who = host_of(&td);
	return do_wr(&t, c->regs);
}

/* Fields of a vCPU are accessed on the LP that it is associated with. */
static u64 vp_target(struct sim_call *c, struct sim_vp *vp, bool write, struct md_target *t)
{
	u64 err;

	err = sim_get_vp(c, SIM_SHARED, vp);
	if (!err)
		err = sim_check_td(c, &vp->td, SIM_SHARED);
	if (err)
		return err;
	if (!sim_vp_complete(vp))
		return SIM_TDCX_NUM_INCORRECT;
	if (vp->vps->state != VCPU_READY && (write || vp->vps->state != VCPU_DISABLED))
		return SIM_VCPU_STATE_INCORRECT;
	*t = (struct md_target) {
		.context = MD_CTX_VP,
		.td = &vp->td,
		.vp = vp,
		.who = host_of(&vp->td),
	};
	return sim_associate_vp(vp);
}

u64 tdx_sim_vp_rd(struct sim_call *c)
{
	struct md_target t;
	struct sim_vp vp;
	u64 err;

	if (c->version > 1)
		return rd_failed(c, SIM_OPERAND_INVALID | RAX);
	err = vp_target(c, &vp, false, &t);
	if (err)
		return rd_failed(c, err);
	return do_rd(&t, c->regs, c->version ? NEXT_IN_RDX : NO_NEXT);
}

u64 tdx_sim_vp_wr(struct sim_call *c)
{
	struct md_target t;
	struct sim_vp vp;
	u64 err;

	err = vp_target(c, &vp, true, &t);
	if (err) {
		c->regs->r[R8] = 0;
		return err;
	}
	return do_wr(&t, c->regs);
}

u64 tdx_sim_sys_rd(struct sim_call *c)
{
	struct md_target t = { .context = MD_CTX_SYS, .who = MD_HOST };

	return do_rd(&t, c->regs, NEXT_IN_RDX);
}

u64 tdx_sim_sys_rdall(struct sim_call *c)
{
	struct md_target t = { .context = MD_CTX_SYS, .who = MD_HOST };
	u64 id = c->in.r[R8], err;

	c->regs->r[R8] = MD_ID_NONE;
	err = sim_check_shared_hpa(c->in.r[RDX], SIM_PAGE_SIZE, RDX);
	if (err)
		return err;
	return md_dump_readable(&t, id, sim_ptr(c->in.r[RDX]), &c->regs->r[R8]);
}

/* TDSYSINFO_STRUCT, the older way to tell what SYS.RD tells. */
struct tdsysinfo {
	u32 attributes;
	u32 vendor_id;
	u32 build_date;
	u16 build_num;
	u16 minor_version;
	u16 major_version;
	u8 sys_rd;
	u8 reserved0[13];
	u16 max_tdmrs;
	u16 max_reserved_per_tdmr;
	u16 pamt_entry_size;
	u8 reserved1[10];
	u16 tdcs_base_size;
	u16 reserved2;
	u16 tdvps_base_size;
	u8 tdvps_xfam_dependent;
	u8 reserved3[9];
	u64 attributes_fixed0;
	u64 attributes_fixed1;
	u64 xfam_fixed0;
	u64 xfam_fixed1;
	u8 reserved4[32];
	u32 num_cpuid_config;
	u64 cpuid_config[37][3];
	u8 reserved5[4];
} __packed;
static_assert(offsetof(struct tdsysinfo, max_tdmrs) == 32);
static_assert(offsetof(struct tdsysinfo, tdcs_base_size) == 48);
static_assert(offsetof(struct tdsysinfo, attributes_fixed0) == 64);
static_assert(offsetof(struct tdsysinfo, num_cpuid_config) == 128);
static_assert(sizeof(struct tdsysinfo) == SYSINFO_SIZE);

static u64 sys_value(u64 id)
{
	struct md_target t = { .context = MD_CTX_SYS, .who = MD_HOST };
	u64 value;

	md_read(&t, id, &value);
	return value;
}

u64 tdx_sim_sys_info(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct tdsysinfo *info;
	u64 err, half[2];
	unsigned int i;

	r[RDX] = 0;
	r[R9] = 0;
	err = sim_check_shared_hpa(c->in.r[RCX], SYSINFO_SIZE, RCX);
	if (err)
		return err;
	if (c->in.r[RDX] < SYSINFO_SIZE)
		return SIM_OPERAND_INVALID | RDX;
	err = sim_check_shared_hpa(c->in.r[R8], CMR_INFO_ENTRIES * CMR_INFO_SIZE, R8);
	if (err)
		return err;
	if (c->in.r[R9] < CMR_INFO_ENTRIES)
		return SIM_OPERAND_INVALID | R9;

	info = sim_ptr(c->in.r[RCX]);
	memset(info, 0, sizeof(*info));
	info->vendor_id = sys_value(0x0800000200000000);
	info->build_date = sys_value(0x8800000200000001);
	info->build_num = sys_value(0x8800000100000002);
	info->minor_version = sys_value(0x0800000100000003);
	info->major_version = sys_value(0x0800000100000004);
	info->sys_rd = 1;
	info->max_tdmrs = ARRAY_SIZE(sim_module.tdmr);
	info->max_reserved_per_tdmr = ARRAY_SIZE(sim_module.tdmr[0].reserved);
	info->pamt_entry_size = sizeof(struct pamt_entry);
	info->tdcs_base_size = SIM_MIN_TDCX * SIM_PAGE_SIZE;
	info->tdvps_base_size = SIM_NR_TDVPS_PAGES * SIM_PAGE_SIZE;
	info->attributes_fixed0 = sim_supported_attributes();
	info->xfam_fixed0 = cpuid_supported_xfam();
	info->xfam_fixed1 = SIM_XFAM_FIXED1;
	info->num_cpuid_config = min_t(u32, cpuid_nr_configs(), ARRAY_SIZE(info->cpuid_config));
	for (i = 0; i < min_t(u32, cpuid_nr_configs(), ARRAY_SIZE(info->cpuid_config)); i++) {
		info->cpuid_config[i][0] = cpuid_config_leaf(i);
		half[0] = cpuid_config_mask(i, 0, true);
		half[1] = cpuid_config_mask(i, 1, true);
		memcpy(&info->cpuid_config[i][1], half, sizeof(half));
	}
	/* Which memory is convertible is not told here: all entries are empty. */
	memset(sim_ptr(c->in.r[R8]), 0, CMR_INFO_ENTRIES * CMR_INFO_SIZE);
	r[RDX] = SYSINFO_SIZE;
	r[R9] = CMR_INFO_ENTRIES;
	return SIM_SUCCESS;
}

/* --------------------------------------------------------------- the guest */

u64 tdx_sim_tdg_vm_rd(struct sim_guest_call *g)
{
	struct md_target t = { .context = MD_CTX_TD, .td = &g->vp->td, .who = MD_GUEST };
	u64 err = SIM_SUCCESS;

	if (g->host.version > 1)
		err = SIM_OPERAND_INVALID | RAX;
	else if (g->regs->r[RCX])
		err = SIM_OPERAND_INVALID | RCX;
	if (err)
		return rd_failed(&g->host, err);
	return do_rd(&t, g->regs, g->host.version ? NEXT_IN_RDX : NO_NEXT);
}

u64 tdx_sim_tdg_vm_wr(struct sim_guest_call *g)
{
	struct md_target t = { .context = MD_CTX_TD, .td = &g->vp->td, .who = MD_GUEST };

	if (g->regs->r[RCX]) {
		g->regs->r[R8] = 0;
		return SIM_OPERAND_INVALID | RCX;
	}
	return do_wr(&t, g->regs);
}

u64 tdx_sim_tdg_vp_rd(struct sim_guest_call *g)
{
	struct md_target t = {
		.context = MD_CTX_VP, .td = &g->vp->td, .vp = g->vp, .who = MD_GUEST,
	};

	if (g->regs->r[RCX]) {
		g->regs->r[R8] = 0;
		g->regs->r[RDX] = MD_ID_NONE;
		return SIM_OPERAND_INVALID | RCX;
	}
	return do_rd(&t, g->regs, NEXT_IN_RDX);
}

u64 tdx_sim_tdg_vp_wr(struct sim_guest_call *g)
{
	struct md_target t = {
		.context = MD_CTX_VP, .td = &g->vp->td, .vp = g->vp, .who = MD_GUEST,
	};

	if (g->regs->r[RCX]) {
		g->regs->r[R8] = 0;
		return SIM_OPERAND_INVALID | RCX;
	}
	return do_wr(&t, g->regs);
}

u64 tdx_sim_tdg_sys_rd(struct sim_guest_call *g)
{
	struct md_target t = { .context = MD_CTX_SYS, .who = MD_GUEST };

	return do_rd(&t, g->regs, NEXT_IN_RDX);
}

u64 tdx_sim_tdg_sys_rdall(struct sim_guest_call *g)
{
	struct md_target t = { .context = MD_CTX_SYS, .who = MD_GUEST };
	u64 gpa = g->regs->r[RDX], id = g->regs->r[R8];
	u8 *page;

	g->regs->r[R8] = MD_ID_NONE;
	if (!IS_ALIGNED(gpa, SIM_PAGE_SIZE) || !sept_gpa_private(&g->vp->td, gpa))
		return SIM_OPERAND_INVALID | RDX;
	page = sim_guest_page(g->vp, gpa, true);
	if (!page) {
		sim_exit_ept_violation(&g->exit, gpa, EPT_VIOLATION_WRITE, 0);
		return SIM_SUCCESS;
	}
	return md_dump_readable(&t, id, page, &g->regs->r[R8]);
}
