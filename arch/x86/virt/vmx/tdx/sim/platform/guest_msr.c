// SPDX-License-Identifier: GPL-2.0
/*
 * RDMSR and WRMSR of a TD: which MSRs it has, which the module answers, and
 * which raise #VE or #GP.
 */
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "guest.h"
#include "metadata.h"

#define X2APIC_MSR_BASE		0x800
#define X2APIC_MSR_END		0x8ff
#define X2APIC_REG_SHIFT	4
#define X2APIC_APICID		0x802
#define X2APIC_TPR		0x808
#define X2APIC_PPR		0x80a
#define X2APIC_EOI		0x80b
#define X2APIC_ISR		0x810
#define X2APIC_TMR		0x818
#define X2APIC_IRR		0x820
#define X2APIC_IRR_END		0x827
#define X2APIC_SELF_IPI		0x83f

#define MSR_XAPIC_DISABLE_STATUS	0xbd
#define XAPIC_DISABLED			BIT_ULL(0)
#define MISC_ENABLE_PERFMON		BIT_ULL(7)
#define MISC_ENABLE_PEBS_UNAVAILABLE	BIT_ULL(12)
#define DEBUGCTL_RESERVED		(~0xffc3ULL)
#define DEBUGCTL_TR			BIT_ULL(6)
#define DEBUGCTL_BTS			BIT_ULL(7)
#define DEBUGCTL_UNCORE_PMI		BIT_ULL(13)
/* PERFMON and TSX, which no TD has here. */
#define DEBUGCTL_FREEZE_SMM		BIT_ULL(14)
#define DEBUGCTL_RTM			BIT_ULL(15)
#define EFER_VALID			(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX)
#define SPEC_CTRL_VALID			(SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD)
#define PAT_TYPE_MASK			0xff
#define PAT_ENTRIES			8

/* MSRs that a TD without the feature does not have, and never has here. */
static const struct { u32 first, last; } gp_msrs[] = {
	/* SGX launch control */
	{ 0x8c, 0x8f },
	/* Cache write-back, SMM monitor, SMBASE */
	{ 0x98, 0x9b },
	{ 0x9e, 0x9e },
	/* Performance monitoring */
	{ 0xc1, 0xc8 },
	{ 0x186, 0x18d },
	{ 0x1a6, 0x1a7 },
	{ 0x309, 0x310 },
	{ 0x329, 0x329 },
	{ 0x38d, 0x392 },
	{ 0x3f1, 0x3f2 },
	{ 0x3f6, 0x3f7 },
	{ 0x4c1, 0x4c8 },
	/* UMWAIT, TSX, overclocking, XFD, SLAM */
	{ 0xe1, 0xe1 },
	{ 0x122, 0x122 },
	{ 0x195, 0x195 },
	{ 0x1c4, 0x1c5 },
	{ 0x276, 0x276 },
	/* Processor trace */
	{ 0x560, 0x561 },
	{ 0x570, 0x572 },
	{ 0x580, 0x587 },
	/* CET, PKRS */
	{ 0x6a0, 0x6a8 },
	{ 0x6e1, 0x6e1 },
	/* Reserved x2APIC registers */
	{ 0x800, 0x801 },
	{ 0x804, 0x807 },
	{ 0x829, 0x82e },
	{ 0x831, 0x831 },
	{ 0x840, X2APIC_MSR_END },
	/* User interrupts, MPX, PASID */
	{ 0x985, 0x98a },
	{ 0xd90, 0xd90 },
	{ 0xd93, 0xd93 },
	/* Last branch records */
	{ 0x1200, 0x12ff },
	{ 0x14ce, 0x14cf },
	{ 0x1500, 0x16ff },
};

static bool msr_is_gp(u32 msr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(gp_msrs); i++) {
		if (msr >= gp_msrs[i].first && msr <= gp_msrs[i].last)
			return true;
	}
	return false;
}

static bool vmx_msr(const struct tdcs *tdcs, u32 msr, u64 *val)
{
	if (msr == MSR_IA32_VMX_BASIC)
		*val = tdcs->virt_vmx_basic;
	else if (msr >= MSR_IA32_VMX_MISC && msr <= MSR_IA32_VMX_CR4_FIXED1)
		*val = tdcs->virt_vmx_misc[msr - MSR_IA32_VMX_MISC];
	else if (msr >= MSR_IA32_VMX_PROCBASED_CTLS2 &&
		 msr < MSR_IA32_VMX_PROCBASED_CTLS2 + ARRAY_SIZE(tdcs->virt_vmx_ctls))
		*val = tdcs->virt_vmx_ctls[msr - MSR_IA32_VMX_PROCBASED_CTLS2];
	else
		return false;
	return true;
}

static enum sim_msr_result read_x2apic(struct sim_vp *vp, u32 msr, u64 *val)
{
	switch (msr) {
	case X2APIC_APICID:
		if (!sim_has_topology(vp))
			return SIM_MSR_VE;
		*val = sim_x2apic_id(vp);
		return SIM_MSR_DONE;
	case X2APIC_TPR:
	case X2APIC_PPR:
	case X2APIC_ISR ... X2APIC_IRR_END:
		*val = sim_vapic_read(vp, (msr - X2APIC_MSR_BASE) << X2APIC_REG_SHIFT);
		return SIM_MSR_DONE;
	/* Write-only or reserved. */
	case 0x809:
	case X2APIC_EOI:
	case 0x80c:
	case 0x80e:
	case X2APIC_SELF_IPI:
		return SIM_MSR_GP;
	default:
		return SIM_MSR_VE;
	}
}

enum sim_msr_result sim_guest_rdmsr(struct sim_vp *vp, u32 msr, u64 *val)
{
	struct tdcs *tdcs = vp->td.tdcs;

	*val = 0;
	if (msr_is_gp(msr))
		return SIM_MSR_GP;
	if (msr >= X2APIC_MSR_BASE && msr <= X2APIC_MSR_END)
		return read_x2apic(vp, msr, val);
	if (vmx_msr(tdcs, msr, val))
		return SIM_MSR_DONE;

	switch (msr) {
	case MSR_IA32_TSC:
		*val = sim_virtual_tsc(tdcs);
		return SIM_MSR_DONE;
	case MSR_EFER:
		*val = vp->vmcs->efer;
		return SIM_MSR_DONE;
	case MSR_IA32_CR_PAT:
		*val = vp->vmcs->pat;
		return SIM_MSR_DONE;
	case MSR_IA32_DEBUGCTLMSR:
		*val = vp->vmcs->debugctl & ~DEBUGCTL_UNCORE_PMI;
		return SIM_MSR_DONE;
	case MSR_IA32_SPEC_CTRL:
		*val = vp->vps->msr_spec_ctrl;
		return SIM_MSR_DONE;
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = tdcs->virt_arch_capabilities;
		return SIM_MSR_DONE;
	case MSR_IA32_MISC_ENABLE:
		*val = (native_read_msr(msr) & ~MISC_ENABLE_PERFMON) |
		       MISC_ENABLE_PEBS_UNAVAILABLE;
		return SIM_MSR_DONE;
	case MSR_IA32_DS_AREA:
		*val = vp->vps->msr_ds_area;
		return SIM_MSR_DONE;
	case MSR_IA32_PERF_CAPABILITIES:
	case MSR_IA32_XSS:
		return SIM_MSR_DONE;
	case MSR_XAPIC_DISABLE_STATUS:
		*val = XAPIC_DISABLED;
		return SIM_MSR_DONE;
	case MSR_TSC_AUX:
		*val = vp->vps->msr_tsc_aux;
		return SIM_MSR_DONE;
	case MSR_IA32_PRED_CMD:
	case MSR_IA32_FLUSH_CMD:
		return SIM_MSR_GP;
	default:
		return SIM_MSR_VE;
	}
}

static bool pat_valid(u64 pat)
{
	int i, type;

	for (i = 0; i < PAT_ENTRIES; i++, pat >>= 8) {
		type = pat & PAT_TYPE_MASK;
		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/* The TD may change SCE only; LMA is the CPU's. */
static enum sim_msr_result write_efer(struct sim_vp *vp, u64 val)
{
	u64 old = vp->vmcs->efer;

	if (val & ~(u64)EFER_VALID)
		return SIM_MSR_GP;
	val = (val & ~EFER_LMA) | (old & EFER_LMA);
	if ((val ^ old) & ~EFER_SCE)
		return SIM_MSR_VE;
	vp->vmcs->efer = val;
	return SIM_MSR_DONE;
}

static enum sim_msr_result write_debugctl(struct sim_vp *vp, u64 val)
{
	if (val & DEBUGCTL_RESERVED)
		return SIM_MSR_GP;
	if (sim_profile()->strict_debugctl && val & (DEBUGCTL_FREEZE_SMM | DEBUGCTL_RTM))
		return SIM_MSR_GP;
	if ((val & DEBUGCTL_TR) && !(val & DEBUGCTL_BTS))
		return SIM_MSR_VE;
	vp->vmcs->debugctl = val & ~DEBUGCTL_UNCORE_PMI;
	return SIM_MSR_DONE;
}

static enum sim_msr_result write_x2apic(struct sim_vp *vp, u32 msr, u64 val)
{
	switch (msr) {
	case X2APIC_TPR:
		if (val >> 8)
			return SIM_MSR_GP;
		sim_vapic_set_tpr(vp, val);
		return SIM_MSR_DONE;
	case X2APIC_EOI:
		if (val)
			return SIM_MSR_GP;
		sim_vapic_eoi(vp);
		return SIM_MSR_DONE;
	case X2APIC_APICID:
		return sim_profile()->topology ? SIM_MSR_GP : SIM_MSR_VE;
	case X2APIC_SELF_IPI:
		if (val >> 8)
			return SIM_MSR_GP;
		sim_vapic_self_ipi(vp, val);
		return SIM_MSR_DONE;
	case 0x809:
	case X2APIC_PPR:
	case 0x80c:
	case 0x80e:
	case X2APIC_ISR ... X2APIC_IRR_END:
		return SIM_MSR_GP;
	default:
		return SIM_MSR_VE;
	}
}

enum sim_msr_result sim_guest_wrmsr(struct sim_vp *vp, u32 msr, u64 val)
{
	u64 unused;

	if (msr_is_gp(msr) || vmx_msr(vp->td.tdcs, msr, &unused))
		return SIM_MSR_GP;
	if (msr >= X2APIC_MSR_BASE && msr <= X2APIC_MSR_END)
		return write_x2apic(vp, msr, val);

	switch (msr) {
	case MSR_EFER:
		return write_efer(vp, val);
	case MSR_IA32_CR_PAT:
		if (!pat_valid(val))
			return SIM_MSR_GP;
		vp->vmcs->pat = val;
		return SIM_MSR_DONE;
	case MSR_IA32_DEBUGCTLMSR:
		return write_debugctl(vp, val);
	case MSR_IA32_SPEC_CTRL:
		if (val & ~(u64)SPEC_CTRL_VALID)
			return SIM_MSR_GP;
		vp->vps->msr_spec_ctrl = val;
		return SIM_MSR_DONE;
	case MSR_IA32_PRED_CMD:
		return val & ~(u64)PRED_CMD_IBPB ? SIM_MSR_GP : SIM_MSR_DONE;
	case MSR_IA32_FLUSH_CMD:
		return val & ~(u64)L1D_FLUSH ? SIM_MSR_GP : SIM_MSR_DONE;
	case MSR_TSC_AUX:
		if (val >> 32)
			return SIM_MSR_GP;
		vp->vps->msr_tsc_aux = val;
		native_write_msr(MSR_TSC_AUX, val);
		return SIM_MSR_DONE;
	/* No supervisor state component is enabled in any XFAM. */
	case MSR_IA32_XSS:
		return val ? SIM_MSR_GP : SIM_MSR_DONE;
	case MSR_IA32_DS_AREA:
		vp->vps->msr_ds_area = val;
		return SIM_MSR_DONE;
	case MSR_IA32_ARCH_CAPABILITIES:
	case MSR_IA32_PERF_CAPABILITIES:
	case MSR_XAPIC_DISABLE_STATUS:
		return SIM_MSR_GP;
	default:
		return SIM_MSR_VE;
	}
}
