// SPDX-License-Identifier: GPL-2.0
/*
 * Events that the next entry of a vCPU injects: exceptions, #VE, NMIs and
 * virtual interrupts.  They are kept in VMX format in the vCPU's state, so that
 * an event in flight survives a migration.
 */
#include <asm/debugreg.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "guest.h"

#define SEG_AR_DPL		GENMASK(6, 5)
#define SEG_AR_L		BIT(13)
#define VE_INFO_VALID		0xffffffff

unsigned int sim_guest_cpl(const struct sim_vp *vp)
{
	return FIELD_GET(SEG_AR_DPL, vp->vmcs->ss.ar);
}

bool sim_guest_in_64bit(const struct sim_vp *vp)
{
	return (vp->vmcs->efer & EFER_LMA) && (vp->vmcs->cs.ar & SEG_AR_L);
}

static bool pending_exception(const struct sim_vmcs *vmcs, u8 *vector)
{
	*vector = FIELD_GET(INTR_INFO_VECTOR, vmcs->entry_intr_info);
	return (vmcs->entry_intr_info & INTR_INFO_VALID) &&
	       FIELD_GET(INTR_INFO_TYPE, vmcs->entry_intr_info) == INTR_TYPE_EXCEPTION;
}

static void set_exception(struct sim_vmcs *vmcs, u8 vector, bool has_error_code, u32 error_code)
{
	vmcs->entry_intr_info = INTR_INFO_VALID | FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_EXCEPTION) |
				(has_error_code ? INTR_INFO_ERROR_CODE : 0) | vector;
	vmcs->entry_error_code = error_code;
	vmcs->rflags |= X86_EFLAGS_RF;
}

/* Exceptions without error code. */
void sim_inject_exception(struct sim_vp *vp, u8 vector)
{
	set_exception(vp->vmcs, vector, false, 0);
}

void sim_inject_gp(struct sim_vp *vp)
{
	set_exception(vp->vmcs, X86_TRAP_GP, true, 0);
}

void sim_inject_pf(struct sim_run *run, u64 gla, u32 error_code)
{
	struct sim_vp *vp = run->vp;
	u8 pending;

	vp->vps->cr2 = gla;
	if (!pending_exception(vp->vmcs, &pending) ||
	    (pending != X86_TRAP_PF && pending != X86_TRAP_VE && pending != X86_TRAP_DF))
		set_exception(vp->vmcs, X86_TRAP_PF, true, error_code);
	else if (pending == X86_TRAP_DF)
		sim_leave(run, SIM_NON_RECOVERABLE_VCPU | SIM_EXIT_TRIPLE_FAULT);
	else
		set_exception(vp->vmcs, X86_TRAP_DF, true, 0);
}

void sim_inject_ve(struct sim_vp *vp, u32 reason, u64 qual, u64 gpa, u64 gla, u32 insn_len)
{
	struct tdvps_ve *ve = &vp->vps->ve;

	/* The guest has not fetched the previous one. */
	if (ve->valid) {
		set_exception(vp->vmcs, X86_TRAP_DF, true, 0);
		return;
	}

	*ve = (struct tdvps_ve) {
		.exit_reason = reason,
		.valid = VE_INFO_VALID,
		.exit_qualification = qual,
		.gla = gla,
		.gpa = gpa,
		.instruction_length = insn_len,
	};
	set_exception(vp->vmcs, X86_TRAP_VE, false, 0);
}

void sim_skip_insn(struct sim_vp *vp, unsigned int len)
{
	struct sim_vmcs *vmcs = vp->vmcs;

	vmcs->rip += len;
	if (!sim_guest_in_64bit(vp))
		vmcs->rip = (u32)vmcs->rip;
	vmcs->interruptibility &= ~(INTR_STATE_STI | INTR_STATE_MOVSS);
	vmcs->rflags &= ~(u64)X86_EFLAGS_RF;
	if (vmcs->rflags & X86_EFLAGS_TF) {
		vp->vps->dr6 |= DR_STEP;
		set_exception(vmcs, X86_TRAP_DB, false, 0);
		vmcs->rflags &= ~(u64)X86_EFLAGS_RF;
	}
}

static bool nmi_allowed(const struct sim_vp *vp)
{
	return !(vp->vmcs->interruptibility & (INTR_STATE_NMI | INTR_STATE_MOVSS | INTR_STATE_STI));
}

static bool interrupts_allowed(const struct sim_vp *vp)
{
	return (vp->vmcs->rflags & X86_EFLAGS_IF) &&
	       !(vp->vmcs->interruptibility & (INTR_STATE_MOVSS | INTR_STATE_STI));
}

bool sim_prepare_events(struct sim_vp *vp)
{
	struct sim_vmcs *vmcs = vp->vmcs;

	sim_vapic_sync_pir(vp);

	if (vmcs->entry_intr_info & INTR_INFO_VALID)
		return sim_vapic_deliverable(vp);

	/* An unread #VE is handled by the guest before an NMI. */
	if (vp->vps->pend_nmi && !vp->vps->ve.valid && nmi_allowed(vp)) {
		vp->vps->pend_nmi = 0;
		vmcs->interruptibility |= INTR_STATE_NMI;
		vmcs->entry_intr_info = INTR_INFO_VALID |
					FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_NMI) | X86_TRAP_NMI;
		return sim_vapic_deliverable(vp);
	}

	if (!sim_vapic_deliverable(vp))
		return false;
	if (!interrupts_allowed(vp))
		return true;

	vmcs->entry_intr_info = INTR_INFO_VALID |
				FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_EXTERNAL) |
				sim_vapic_accept(vp);
	return sim_vapic_deliverable(vp);
}

void sim_leave(struct sim_run *run, u64 status)
{
	*run->exit = (struct sim_td_exit) { .pending = true, .rax = status };
}
