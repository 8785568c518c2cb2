// SPDX-License-Identifier: GPL-2.0
/*
 * Copies a vCPU's state, kept in VMX format, to the VMCB and back.
 */
#include <linux/bitops.h>
#include <asm/processor-flags.h>
#include <asm/trapnr.h>

#include "svm.h"

/* Access rights: bits 7:0 and 15:12 of VMX, 11:0 of SVM. */
#define AR_LOW			GENMASK(7, 0)
#define AR_HIGH			GENMASK(15, 12)
#define AR_HIGH_SHIFT		4
#define AR_UNUSABLE		BIT(16)
#define SVM_ATTR_PRESENT	BIT(7)
#define SVM_INT_SHADOW		BIT(0)
#define CR8_TPR_SHIFT		4

static void load_seg(struct vmcb_seg *dst, const struct sim_segment *src)
{
	dst->selector = src->selector;
	dst->limit = src->limit;
	dst->base = src->base;
	dst->attrib = (src->ar & AR_LOW) | (src->ar & AR_HIGH) >> AR_HIGH_SHIFT;
	if (src->ar & AR_UNUSABLE)
		dst->attrib = 0;
}

static void store_seg(struct sim_segment *dst, const struct vmcb_seg *src)
{
	dst->selector = src->selector;
	dst->limit = src->limit;
	dst->base = src->base;
	dst->ar = (src->attrib & AR_LOW) | (src->attrib << AR_HIGH_SHIFT & AR_HIGH);
	if (!(src->attrib & SVM_ATTR_PRESENT))
		dst->ar |= AR_UNUSABLE;
}

/*
 * A TD starts with EFER.LME, but neither paging nor PAE, which some CPUs do not
 * take from a VMCB.  Without paging PAE has no effect; reads of CR4 are
 * intercepted meanwhile.
 */
static bool needs_pae(const struct sim_vmcs *vmcs)
{
	return (vmcs->efer & EFER_LME) && !(vmcs->cr0 & X86_CR0_PG) &&
	       !(vmcs->cr4 & X86_CR4_PAE);
}

static u32 event_to_svm(u32 info)
{
	u32 event = SVM_EVTINJ_VALID | FIELD_GET(INTR_INFO_VECTOR, info);

	switch (FIELD_GET(INTR_INFO_TYPE, info)) {
	case INTR_TYPE_EXTERNAL:
		return event | SVM_EVTINJ_TYPE_INTR;
	case INTR_TYPE_NMI:
		return event | SVM_EVTINJ_TYPE_NMI;
	default:
		if (info & INTR_INFO_ERROR_CODE)
			event |= SVM_EVTINJ_VALID_ERR;
		return event | SVM_EVTINJ_TYPE_EXEPT;
	}
}

/* 0 for software interrupts: their instruction is executed again. */
static u32 event_from_svm(u32 event)
{
	u32 info = INTR_INFO_VALID | (event & SVM_EXITINTINFO_VEC_MASK);

	if (!(event & SVM_EXITINTINFO_VALID))
		return 0;

	switch (event & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_INTR:
		return info | FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_EXTERNAL);
	case SVM_EXITINTINFO_TYPE_NMI:
		return info | FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_NMI);
	case SVM_EXITINTINFO_TYPE_EXEPT:
		if (event & SVM_EXITINTINFO_VALID_ERR)
			info |= INTR_INFO_ERROR_CODE;
		return info | FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_EXCEPTION);
	default:
		return 0;
	}
}

static void set_intercept(struct vmcb_control_area *c, unsigned int intercept, bool on)
{
	__assign_bit(intercept, (unsigned long *)c->intercepts, on);
}

/* SVM as emulators have it adds an offset and does not scale. */
static void load_tsc(const struct tdcs *tdcs, struct vmcb_control_area *c)
{
	const bool scaled = tdcs->tsc_multiplier != SIM_TSC_MULTIPLIER_ONE;

	c->tsc_offset = tdcs->tsc_offset;
	set_intercept(c, INTERCEPT_RDTSC, scaled);
	set_intercept(c, INTERCEPT_RDTSCP, scaled);
}

static void load_control(struct sim_run *run, struct vmcb_control_area *c, bool window)
{
	struct sim_vp *vp = run->vp;
	struct sim_vmcs *vmcs = vp->vmcs;

	load_tsc(vp->td.tdcs, c);
	c->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	c->int_state = vmcs->interruptibility & (INTR_STATE_STI | INTR_STATE_MOVSS) ?
		       SVM_INT_SHADOW : 0;

	c->event_inj = 0;
	if (vmcs->entry_intr_info & INTR_INFO_VALID) {
		c->event_inj = event_to_svm(vmcs->entry_intr_info);
		c->event_inj_err = vmcs->entry_error_code;
		vmcs->entry_intr_info = 0;
	}

	/* V_IRQ only opens the window: delivery is always injected. */
	c->int_ctl = V_INTR_MASKING_MASK | (sim_vapic_tpr(vp) >> CR8_TPR_SHIFT & V_TPR_MASK);
	if (window)
		c->int_ctl |= V_IRQ_MASK | V_IGN_TPR_MASK | V_INTR_PRIO_MASK;

	set_intercept(c, INTERCEPT_CR4_READ, needs_pae(vmcs));
	set_intercept(c, INTERCEPT_IRET,
		      (vmcs->interruptibility & INTR_STATE_NMI) && !run->iret_pending);
}

void sim_svm_load(struct sim_run *run, bool window)
{
	struct vmcb_save_area *s = &run->vmcb->save;
	struct sim_vp *vp = run->vp;
	struct sim_vmcs *vmcs = vp->vmcs;
	struct tdvps *vps = vp->vps;

	load_control(run, &run->vmcb->control, window);

	load_seg(&s->es, &vmcs->es);
	load_seg(&s->cs, &vmcs->cs);
	load_seg(&s->ss, &vmcs->ss);
	load_seg(&s->ds, &vmcs->ds);
	load_seg(&s->fs, &vmcs->fs);
	load_seg(&s->gs, &vmcs->gs);
	load_seg(&s->ldtr, &vmcs->ldtr);
	load_seg(&s->tr, &vmcs->tr);
	load_seg(&s->gdtr, &vmcs->gdtr);
	load_seg(&s->idtr, &vmcs->idtr);
	s->cpl = sim_guest_cpl(vp);

	s->cr0 = vmcs->cr0;
	s->cr2 = vps->cr2;
	s->cr3 = vmcs->cr3;
	s->cr4 = (vmcs->cr4 & ~X86_CR4_VMXE) | (needs_pae(vmcs) ? X86_CR4_PAE : 0);
	s->efer = vmcs->efer | EFER_SVME;
	s->dr6 = vps->dr6;
	s->dr7 = vmcs->dr7;
	s->rflags = vmcs->rflags;
	s->rip = vmcs->rip;
	s->rsp = vmcs->rsp;
	s->rax = vps->gpr[RAX];

	s->star = vps->msr_star;
	s->lstar = vps->msr_lstar;
	s->sfmask = vps->msr_fmask;
	s->kernel_gs_base = vps->msr_kernel_gs_base;
	s->sysenter_cs = vmcs->sysenter_cs;
	s->sysenter_esp = vmcs->sysenter_esp;
	s->sysenter_eip = vmcs->sysenter_eip;
	s->g_pat = vmcs->pat;
}

static void store_event(struct sim_vmcs *vmcs, const struct vmcb_control_area *c)
{
	vmcs->entry_intr_info = event_from_svm(c->exit_int_info);
	vmcs->entry_error_code = c->exit_int_info_err;

	vmcs->interruptibility &= ~(INTR_STATE_STI | INTR_STATE_MOVSS);
	if (c->int_state & SVM_INT_SHADOW)
		vmcs->interruptibility |= INTR_STATE_STI;
}

/* CR0, CR4, EFER and PAT change through intercepts only. */
void sim_svm_store(struct sim_run *run)
{
	const struct vmcb_save_area *s = &run->vmcb->save;
	struct sim_vp *vp = run->vp;
	struct sim_vmcs *vmcs = vp->vmcs;
	struct tdvps *vps = vp->vps;
	u8 tpr = (run->vmcb->control.int_ctl & V_TPR_MASK) << CR8_TPR_SHIFT;

	store_event(vmcs, &run->vmcb->control);
	if (tpr >> CR8_TPR_SHIFT != sim_vapic_tpr(vp) >> CR8_TPR_SHIFT)
		sim_vapic_set_tpr(vp, tpr);

	store_seg(&vmcs->es, &s->es);
	store_seg(&vmcs->cs, &s->cs);
	store_seg(&vmcs->ss, &s->ss);
	store_seg(&vmcs->ds, &s->ds);
	store_seg(&vmcs->fs, &s->fs);
	store_seg(&vmcs->gs, &s->gs);
	store_seg(&vmcs->ldtr, &s->ldtr);
	store_seg(&vmcs->tr, &s->tr);
	vmcs->gdtr.base = s->gdtr.base;
	vmcs->gdtr.limit = s->gdtr.limit;
	vmcs->idtr.base = s->idtr.base;
	vmcs->idtr.limit = s->idtr.limit;

	vps->cr2 = s->cr2;
	vmcs->cr3 = s->cr3;
	vps->dr6 = s->dr6;
	vmcs->dr7 = s->dr7;
	vmcs->rflags = s->rflags;
	vmcs->rip = s->rip;
	vmcs->rsp = s->rsp;
	if (run->iret_pending && vmcs->rip != run->iret_rip) {
		vmcs->interruptibility &= ~INTR_STATE_NMI;
		run->iret_pending = false;
	}
	vps->gpr[RAX] = s->rax;

	vps->msr_star = s->star;
	vps->msr_lstar = s->lstar;
	vps->msr_fmask = s->sfmask;
	vps->msr_kernel_gs_base = s->kernel_gs_base;
	vmcs->sysenter_cs = s->sysenter_cs;
	vmcs->sysenter_esp = s->sysenter_esp;
	vmcs->sysenter_eip = s->sysenter_eip;
}

static const u8 always_intercepted[] = {
	INTERCEPT_CR0_WRITE,
	INTERCEPT_CR4_WRITE,
	INTERCEPT_CR8_WRITE,
	INTERCEPT_EXCEPTION_OFFSET + X86_TRAP_UD,
	INTERCEPT_INTR,
	INTERCEPT_NMI,
	INTERCEPT_SMI,
	INTERCEPT_INIT,
	INTERCEPT_VINTR,
	INTERCEPT_RDPMC,
	INTERCEPT_CPUID,
	INTERCEPT_RSM,
	INTERCEPT_INVD,
	INTERCEPT_HLT,
	INTERCEPT_INVLPGA,
	INTERCEPT_IOIO_PROT,
	INTERCEPT_MSR_PROT,
	INTERCEPT_TASK_SWITCH,
	INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN,
	INTERCEPT_VMMCALL,
	INTERCEPT_VMLOAD,
	INTERCEPT_VMSAVE,
	INTERCEPT_STGI,
	INTERCEPT_CLGI,
	INTERCEPT_SKINIT,
	INTERCEPT_WBINVD,
	INTERCEPT_MONITOR,
	INTERCEPT_MWAIT,
	INTERCEPT_XSETBV,
};

void sim_svm_init_vmcb(struct vmcb *vmcb, u64 msrpm_pa, u64 iopm_pa)
{
	struct vmcb_control_area *c = &vmcb->control;
	int i;

	for (i = 0; i < ARRAY_SIZE(always_intercepted); i++)
		__set_bit(always_intercepted[i], (unsigned long *)c->intercepts);

	c->msrpm_base_pa = msrpm_pa;
	c->iopm_base_pa = iopm_pa;
	/* One ASID: it is flushed at every entry. */
	c->asid = 1;
	c->misc_ctl = SVM_MISC_ENABLE_NP;
}
