// SPDX-License-Identifier: GPL-2.0
/*
 * Checks of guest state at an entry.  An imported vCPU has the state that the
 * peer sent; what a CPU would not enter must not reach the engine either.
 */
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "guest.h"

#define CR0_ALWAYS		(X86_CR0_PE | X86_CR0_NE)
#define CR0_NEVER		(X86_CR0_NW | X86_CR0_CD | GENMASK_ULL(63, 32))
#define CR3_VALID		GENMASK_ULL(51, 0)
#define EFER_VALID		(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX)
#define RFLAGS_RESERVED		(GENMASK_ULL(63, 22) | BIT_ULL(15) | BIT_ULL(5) | BIT_ULL(3))
#define DR_HIGH			GENMASK_ULL(63, 32)
#define INTR_INFO_RESERVED	GENMASK(30, 12)
#define NR_EXCEPTIONS		32
#define AR_UNUSABLE		BIT(16)
#define SEG_AR_L		BIT(13)
#define SEG_AR_D		BIT(14)
#define LINEAR_BITS_LA57	57
#define TSC_AUX_RESERVED	GENMASK_ULL(63, 32)

/* For the widest addresses: what a CPU with LA57 takes in any mode. */
static bool canonical(u64 addr)
{
	return sign_extend64(addr, LINEAR_BITS_LA57 - 1) == (s64)addr;
}

static bool control_registers_valid(const struct sim_vmcs *vmcs)
{
	bool paging = vmcs->cr0 & X86_CR0_PG, lme = vmcs->efer & EFER_LME;

	if ((vmcs->cr0 & CR0_ALWAYS) != CR0_ALWAYS || (vmcs->cr0 & CR0_NEVER))
		return false;
	if ((vmcs->cr4 & ~(u64)SIM_GUEST_CR4_VALID) || !(vmcs->cr4 & X86_CR4_MCE))
		return false;
	if (vmcs->efer & ~(u64)EFER_VALID)
		return false;
	/* The guest always has EFER.LME, so all paging is that of long mode. */
	if (!lme || !!(vmcs->efer & EFER_LMA) != paging)
		return false;
	if (paging && !(vmcs->cr4 & X86_CR4_PAE))
		return false;
	if ((vmcs->cr4 & X86_CR4_PCIDE) && !paging)
		return false;
	return !(vmcs->cr3 & ~CR3_VALID);
}

static bool event_valid(const struct sim_vmcs *vmcs)
{
	u32 info = vmcs->entry_intr_info, vector = FIELD_GET(INTR_INFO_VECTOR, info);

	if (!(info & INTR_INFO_VALID))
		return true;
	if (info & INTR_INFO_RESERVED)
		return false;

	switch (FIELD_GET(INTR_INFO_TYPE, info)) {
	case INTR_TYPE_EXTERNAL:
		return !(info & INTR_INFO_ERROR_CODE);
	case INTR_TYPE_NMI:
		return vector == X86_TRAP_NMI && !(info & INTR_INFO_ERROR_CODE);
	case INTR_TYPE_EXCEPTION:
		return vector < NR_EXCEPTIONS && vector != X86_TRAP_NMI;
	default:
		return false;
	}
}

static bool segments_valid(const struct sim_vmcs *vmcs)
{
	const struct sim_segment *cs = &vmcs->cs;

	if (cs->ar & AR_UNUSABLE)
		return false;
	/* 64-bit code excludes a default operand size of 32 bits. */
	if ((vmcs->efer & EFER_LMA) && (cs->ar & SEG_AR_L) && (cs->ar & SEG_AR_D))
		return false;
	return canonical(vmcs->fs.base) && canonical(vmcs->gs.base) &&
	       canonical(vmcs->ldtr.base) && canonical(vmcs->tr.base) &&
	       canonical(vmcs->gdtr.base) && canonical(vmcs->idtr.base);
}

static bool registers_valid(const struct sim_vp *vp)
{
	const struct sim_vmcs *vmcs = vp->vmcs;
	const struct tdvps *vps = vp->vps;

	if ((vmcs->rflags & RFLAGS_RESERVED) || !(vmcs->rflags & X86_EFLAGS_FIXED))
		return false;
	if ((vmcs->dr7 & DR_HIGH) || (vps->dr6 & DR_HIGH))
		return false;
	return canonical(vmcs->sysenter_esp) && canonical(vmcs->sysenter_eip);
}

bool sim_guest_msrs_valid(const struct sim_vp *vp)
{
	const struct tdvps *vps = vp->vps;

	return canonical(vps->msr_lstar) && canonical(vps->msr_kernel_gs_base) &&
	       !(vps->msr_tsc_aux & TSC_AUX_RESERVED);
}

bool sim_guest_state_valid(const struct sim_vp *vp)
{
	return control_registers_valid(vp->vmcs) && event_valid(vp->vmcs) &&
	       segments_valid(vp->vmcs) && registers_valid(vp);
}
