// SPDX-License-Identifier: GPL-2.0
/*
 * TDCALLs about the calling vCPU: TDVMCALL, VP.INFO, VEINFO.GET, CPUIDVE.SET.
 */
#include "leaves.h"
#include "metadata.h"

#define EXIT_REASON_TDCALL	77

/* RCX of a TDVMCALL: general registers 15:0, XMM registers 31:16. */
#define VMCALL_RESERVED		GENMASK_ULL(63, 32)
#define VMCALL_NO_GPRS		(BIT_ULL(RAX) | BIT_ULL(RCX) | BIT_ULL(RSP))

#define GPA_WIDTH		48
#define GPA_WIDTH_WIDE		52
#define INFO_MAX_VCPUS_SHIFT	32
#define INFO_SYS_RD		BIT_ULL(0)

#define VE_INSN_INFO_SHIFT	32

#define CPUIDVE_SUPERVISOR	BIT_ULL(0)
#define CPUIDVE_USER		BIT_ULL(1)

u64 tdx_sim_tdg_vp_vmcall(struct sim_guest_call *g)
{
	u64 mask = g->regs->r[RCX];
	u64 refused = VMCALL_RESERVED | VMCALL_NO_GPRS;

	if (g->vp->td.tdcs->config_flags & SIM_CONFIG_NO_RBP_MOD)
		refused |= BIT_ULL(RBP);
	if (mask & refused)
		return SIM_OPERAND_INVALID | RCX;

	g->exit = (struct sim_td_exit) {
		.pending = true,
		.rax = EXIT_REASON_TDCALL,
		.rcx = mask,
	};
	return SIM_SUCCESS;
}

u64 tdx_sim_tdg_vp_info(struct sim_guest_call *g)
{
	const struct tdcs *tdcs = g->vp->td.tdcs;
	u64 *r = g->regs->r;

	r[RCX] = tdcs->gpaw ? GPA_WIDTH_WIDE : GPA_WIDTH;
	r[RDX] = tdcs->attributes;
	r[R8] = (u64)tdcs->max_vcpus << INFO_MAX_VCPUS_SHIFT | sim_load(&tdcs->num_vcpus);
	r[R9] = g->vp->vps->index;
	r[R10] = INFO_SYS_RD;
	r[R11] = 0;
	return SIM_SUCCESS;
}

u64 tdx_sim_tdg_vp_veinfo_get(struct sim_guest_call *g)
{
	struct tdvps_ve *ve = &g->vp->vps->ve;
	u64 *r = g->regs->r;

	if (!ve->valid) {
		r[RCX] = 0;
		r[RDX] = 0;
		r[R8] = 0;
		r[R9] = 0;
		r[R10] = 0;
		return SIM_NO_VALID_VE_INFO;
	}

	r[RCX] = ve->exit_reason;
	r[RDX] = ve->exit_qualification;
	r[R8] = ve->gla;
	r[R9] = ve->gpa;
	r[R10] = (u64)ve->instruction_information << VE_INSN_INFO_SHIFT | ve->instruction_length;
	ve->valid = 0;
	return SIM_SUCCESS;
}

u64 tdx_sim_tdg_vp_cpuidve_set(struct sim_guest_call *g)
{
	u64 control = g->regs->r[RCX];
	struct tdvps *vps = g->vp->vps;

	if (control & ~(CPUIDVE_SUPERVISOR | CPUIDVE_USER))
		return SIM_OPERAND_INVALID | RCX;

	vps->cpuid_supervisor_ve = !!(control & CPUIDVE_SUPERVISOR);
	vps->cpuid_user_ve = !!(control & CPUIDVE_USER);
	return SIM_SUCCESS;
}
