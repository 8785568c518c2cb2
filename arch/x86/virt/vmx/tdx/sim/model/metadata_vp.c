// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata fields of a vCPU outside its VMCS, with what an access to them
 * checks, and the initial state of a vCPU that is about to be imported.
 */
#include "metadata_table.h"

#define VAPIC_PPR		0xa0
#define PRIORITY_CLASS		GENMASK(7, 4)
#define DETAILS_VMXIP		BIT_ULL(0)

/* Elements of the XSAVE header. */
#define XBUFF_HEADER		64
#define XBUFF_HEADER_LEN	8

#define LAST_TD_EXIT_MAX	2	/* fault, trap, TDVMCALL */
#define L2_EXIT_ROUTING_MAX	2	/* none, asynchronous, TDVMCALL */
#define L2_CTLS_WRITABLE	GENMASK_ULL(2, 0)

void md_init_imported_vp(struct sim_vp *vp)
{
	sim_vp_reset(vp);
}

static u64 set_xcr0(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	u64 xcr0 = *value;

	if (xcr0 & ~(t->td->tdcs->xfam & XFAM_USER) || !(xcr0 & XFAM_X87) ||
	    (xcr0 & XFAM_AVX && !(xcr0 & XFAM_SSE)) ||
	    (xcr0 & XFAM_AVX512 && !(xcr0 & XFAM_AVX)) ||
	    !md_all_or_none(xcr0, XFAM_AVX512) || !md_all_or_none(xcr0, XFAM_AMX))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	return SIM_SUCCESS;
}

/* An interrupt is pending that the TD's priority does not hold back. */
static u64 get_state_details(const struct md_target *t, const struct md_field *f, u64 *value)
{
	u8 rvi = t->vp->vmcs->intr_status, ppr = t->vp->vapic[VAPIC_PPR];

	if ((rvi & PRIORITY_CLASS) > (ppr & PRIORITY_CLASS))
		*value = DETAILS_VMXIP;
	return SIM_SUCCESS;
}

static u64 set_xbuff(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	u32 offsets[SIM_NR_XSAVE_COMPONENTS];
	bool rtit_ctl;

	cpuid_xsave_layout(t->td->tdcs->xfam, offsets);
	rtit_ctl = offsets[XFAM_PT_BIT] && f->index == offsets[XFAM_PT_BIT] / sizeof(u64);
	if (t->who == MD_DEBUGGER) {
		if (rtit_ctl || in_range(f->index, XBUFF_HEADER, XBUFF_HEADER_LEN))
			return SIM_METADATA_FIELD_NOT_WRITABLE;
	} else if (rtit_ctl && sim_profile()->strict_import) {
		*value = 0;
	}
	return SIM_SUCCESS;
}

static u64 set_xss(const struct md_target *t, const struct md_field *f, u64 mask, u64 *value)
{
	u64 allowed = t->td->tdcs->xfam;

	if (sim_profile()->strict_import)
		allowed &= cpuid_supported_xss();
	return *value & ~allowed ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 set_uarch_misc_ctl(const struct md_target *t, const struct md_field *f, u64 mask,
			      u64 *value)
{
	if (t->who == MD_BUNDLE && *value & ~BIT_ULL(0))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	return SIM_SUCCESS;
}

/* The state of a vCPU is what its import makes it, unless it was disabled. */
static u64 set_vcpu_state(const struct md_target *t, const struct md_field *f, u64 mask,
			  u64 *value)
{
	return sim_profile()->strict_import && *value == VCPU_DISABLED ? SIM_SUCCESS : MD_STORED;
}

static u64 set_vcpu_index(const struct md_target *t, const struct md_field *f, u64 mask,
			  u64 *value)
{
	return *value < t->td->tdcs->num_vcpus ? SIM_SUCCESS :
						 SIM_METADATA_FIELD_VALUE_NOT_VALID;
}

static u64 get_assoc_lp(const struct md_target *t, const struct md_field *f, u64 *value)
{
	*value = READ_ONCE(t->vp->vps->assoc_lp) - 1;
	return SIM_SUCCESS;
}

static u64 set_last_td_exit(const struct md_target *t, const struct md_field *f, u64 mask,
			    u64 *value)
{
	return *value > LAST_TD_EXIT_MAX ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 set_curr_vm(const struct md_target *t, const struct md_field *f, u64 mask,
		       u64 *value)
{
	return *value > t->td->tdcs->num_l2_vms ? SIM_METADATA_FIELD_VALUE_NOT_VALID :
						  SIM_SUCCESS;
}

static u64 set_l2_exit_routing(const struct md_target *t, const struct md_field *f, u64 mask,
			       u64 *value)
{
	return *value > L2_EXIT_ROUTING_MAX ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

static u64 set_l2_ctls(const struct md_target *t, const struct md_field *f, u64 mask,
		       u64 *value)
{
	u64 writable = sim_profile()->l2_ctls;

	/* The write mask of the field has the bits of all versions. */
	if (!(mask & writable))
		return SIM_METADATA_FIELD_NOT_WRITABLE;
	return *value & ~writable ? SIM_METADATA_FIELD_VALUE_NOT_VALID : SIM_SUCCESS;
}

#define ONE			.fields = 1, .elements = 1
#define MANY(_n)		.fields = _n, .elements = 1
#define IN_TDVPS(_m)		.home = MD_TDVPS, .offset = offsetof(struct tdvps, _m)
#define MUST_BE_MUTABLE		.phase = MD_MUTABLE, .import = MD_REQUIRED

/* A register of the guest: migrated, and open to a debugger. */
#define GUEST(_id, _n, _m) \
	{ _id, MANY(_n), IN_TDVPS(_m), MUST_BE_MUTABLE, .access = MD_RW_DEBUG }
#define GUEST_RO(_id, _n, _m) \
	{ _id, MANY(_n), IN_TDVPS(_m), MUST_BE_MUTABLE, .access = MD_R_DEBUG }
/* What the model has no use for; a debugger reads zero. */
#define ABSENT(_id, _n)		{ _id, MANY(_n), .access = MD_R_DEBUG }

static const struct md_row vp_rows[] = {
	/* virtual APIC page, architectural part */
	{ 0x0120000300000000, MANY(128), .home = MD_VAPIC, MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG },
	/* #VE information */
	GUEST_RO(0x0220000200000000, 1, ve.exit_reason),
	GUEST_RO(0x0220000200000001, 1, ve.valid),
	GUEST_RO(0x0220000300000002, 1, ve.exit_qualification),
	GUEST_RO(0x0220000300000003, 1, ve.gla),
	GUEST_RO(0x0220000300000004, 1, ve.gpa),
	GUEST_RO(0x0220000100000005, 1, ve.eptp_index),
	GUEST_RO(0x8220000200000010, 1, ve.instruction_length),
	GUEST_RO(0x8220000200000011, 1, ve.instruction_information),
	/* general registers; RSP is in the VMCS and has a placeholder here */
	GUEST(0x1020000300000000, 4, gpr),
	{ 0x1020000300000004, ONE, IN_TDVPS(gpr[RSP]), MUST_BE_MUTABLE },
	GUEST(0x1020000300000005, 11, gpr[RBP]),
	/* other registers */
	GUEST(0x1120000300000000, 4, dr),
	{ 0x1120000300000006, ONE, IN_TDVPS(dr6), MUST_BE_MUTABLE, .access = MD_RW_DEBUG,
	  .write_mask = U32_MAX },
	{ 0x1120000300000020, ONE, IN_TDVPS(xcr0), MUST_BE_MUTABLE, .access = MD_R_DEBUG,
	  .set = set_xcr0 },
	GUEST(0x1120000300000028, 1, cr2),
	{ 0x9120000300000100, ONE, .access = MD_R_HOST, .get = get_state_details },
	/* XSAVE area */
	{ 0x1220000300000000, MANY(1536), .home = MD_XBUFF, MUST_BE_MUTABLE,
	  .access = MD_RW_DEBUG, .set = set_xbuff },
	/* MSRs */
	GUEST(0x1320000300000048, 1, msr_spec_ctrl),
	GUEST(0x13200003000000e1, 1, msr_umwait_control),
	GUEST(0x1320000300000122, 1, msr_tsx_ctrl),
	GUEST(0x1320000300000186, 8, msr_perfevtsel),
	GUEST(0x13200003000001a6, 2, msr_offcore_rsp),
	GUEST_RO(0x13200003000001c4, 2, msr_xfd),
	GUEST(0x1320000300000309, 7, msr_fixed_ctr),
	GUEST(0x1320000300000329, 1, msr_perf_metrics),
	GUEST(0x132000030000038d, 1, msr_fixed_ctr_ctrl[0]),
	GUEST_RO(0x132000030000038e, 1, msr_fixed_ctr_ctrl[1]),
	GUEST(0x13200003000003f1, 2, msr_pebs_enable),
	GUEST(0x13200003000003f6, 2, msr_pebs_ld_lat),
	GUEST(0x13200003000004c1, 8, msr_a_pmc),
	GUEST(0x1320000300000600, 1, msr_ds_area),
	{ 0x1320000300000da0, ONE, IN_TDVPS(msr_xss), MUST_BE_MUTABLE, .access = MD_R_DEBUG,
	  .set = set_xss },
	GUEST(0x13200003000014cf, 1, msr_lbr_depth),
	{ 0x1320000300001b01, ONE, IN_TDVPS(msr_uarch_misc_ctl), MUST_BE_MUTABLE,
	  .access = MD_RW_DEBUG, .set = set_uarch_misc_ctl },
	GUEST_RO(0x1320000300002081, 1, msr_star),
	GUEST_RO(0x1320000300002082, 1, msr_lstar),
	GUEST_RO(0x1320000300002084, 1, msr_fmask),
	GUEST_RO(0x1320000300002102, 1, msr_kernel_gs_base),
	GUEST(0x1320000300002103, 1, msr_tsc_aux),
	/* management */
	{ 0xa020000000000000, ONE, IN_TDVPS(state), MUST_BE_MUTABLE, .access = MD_R_DEBUG,
	  .set = set_vcpu_state },
	{ 0xa020000200000002, ONE, IN_TDVPS(index), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_R_GUEST, .set = set_vcpu_index },
	{ 0xa020000000000003, ONE, IN_TDVPS(num_pages), .access = MD_R_HOST },
	{ 0xa020000200000004, ONE, .access = MD_R_HOST, .get = get_assoc_lp },
	{ 0xa020000300000006, ONE, IN_TDVPS(vcpu_epoch), .access = MD_R_HOST },
	{ 0xa020000000000007, ONE, IN_TDVPS(cpuid_supervisor_ve), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_RW_GUEST },
	{ 0xa020000000000008, ONE, IN_TDVPS(cpuid_user_ve), MUST_BE_MUTABLE,
	  .access = MD_R_HOST | MD_RW_GUEST },
	ABSENT(0xa02000030000000a, 1),
	{ 0x202000000000000b, ONE, IN_TDVPS(pend_nmi), MUST_BE_MUTABLE,
	  .access = MD_RW_HOST },
	{ 0x202000030000000c, ONE, IN_TDVPS(xfam), .phase = MD_MUTABLE, .access = MD_R_HOST },
	ABSENT(0xa02000000000000d, 1),
	ABSENT(0xa02000000000000e, 1),
	{ 0xa02000000000000f, ONE, IN_TDVPS(last_td_exit), MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG, .set = set_last_td_exit },
	{ 0xa020000300000010, MANY(SIM_MAX_TDVPS_PAGES), IN_TDVPS(page_pa),
	  .access = MD_R_HOST },
	ABSENT(0xa020000300000030, 1),
	ABSENT(0xa020000000000031, 1),
	ABSENT(0xa020000300000032, 1),
	GUEST_RO(0xa020000000000040, 1, nmi_unblocking_due_to_iret),
	{ 0xa020000100000041, ONE, IN_TDVPS(curr_vm), MUST_BE_MUTABLE, .access = MD_R_DEBUG,
	  .set = set_curr_vm },
	{ 0xa020000000000042, ONE, IN_TDVPS(l2_exit_host_routing), MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG, .set = set_l2_exit_routing },
	ABSENT(0xa020000000000044, 4),
	ABSENT(0xa020000000000048, 4),
	ABSENT(0xa02000000000004c, 4),
	/* L2 VMs: controls, debug controls, TSC deadline; the rest is not modelled */
	{ 0xa020000300000050, MANY(4), IN_TDVPS(l2_ctls), MUST_BE_MUTABLE,
	  .access = MD_RW_DEBUG | MD_RW_GUEST, .write_mask = L2_CTLS_WRITABLE,
	  .set = set_l2_ctls },
	{ 0xa020000300000054, MANY(4), IN_TDVPS(l2_ctls[4]), MUST_BE_MUTABLE,
	  .access = MD_RW_DEBUG, .write_mask = L2_CTLS_WRITABLE },
	{ 0xa020000300000058, MANY(4), IN_TDVPS(l2_ctls[8]), MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG | MD_RW_GUEST },
	ABSENT(0xa02000030000005c, 4),
	ABSENT(0xa020000300000080, 1),
	ABSENT(0xa020000300000081, 1),
	ABSENT(0xa020000300000082, 1),
	ABSENT(0xa020000300000083, 1),
	ABSENT(0xa020000300000084, 4),
	ABSENT(0xa020000300000088, 4),
	ABSENT(0xa02000030000008c, 4),
	ABSENT(0xa020000300000090, 4),
	ABSENT(0xa020000200000094, 4),
	ABSENT(0xa020000300000098, 4),
	ABSENT(0xa02000020000009c, 4),
	ABSENT(0xa0200002000000a4, 4),
	ABSENT(0xa0200002000000a8, 4),
	ABSENT(0xa0200001000000ac, 4),
	ABSENT(0xa0200002000000b0, 4),
	ABSENT(0xa0200003000000b4, 4),
	ABSENT(0xa020000300000100, 4),
	ABSENT(0xa020000300000104, 4),
	ABSENT(0xa020000300000108, 4),
	ABSENT(0xa02000030000010c, 4),
	ABSENT(0xa020000300000110, 4),
	ABSENT(0xa020000300000114, 4),
	/* which CPUID leaves the guest wants a #VE for */
	{ 0xa120000000000000, MANY(128), IN_TDVPS(cpuid_control), MUST_BE_MUTABLE,
	  .access = MD_R_DEBUG | MD_RW_GUEST, .write_mask = GENMASK_ULL(1, 0) },
	/* zero-step log */
	ABSENT(0xa220000300000200, 32),
};

const struct md_table md_vp_table = { vp_rows, ARRAY_SIZE(vp_rows) };
