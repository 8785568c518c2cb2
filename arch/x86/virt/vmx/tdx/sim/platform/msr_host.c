// SPDX-License-Identifier: GPL-2.0
/*
 * The MSRs of a TDX capable processor, as the host kernel sees them.
 */
#include <linux/errno.h>
#include <linux/percpu.h>
#include <asm/msr.h>
#include <asm/processor.h>

#include "model.h"
#include "platform.h"

/* Highest 32 bits: controls that may be 1; lowest: controls that must be 1. */
#define VMX_PIN_CTLS		0x000000ff00000016ULL
#define VMX_PROC_CTLS		0xfff9fffe0401e172ULL
#define VMX_TRUE_PROC_CTLS	0xfff9fffe04006172ULL
#define VMX_PROC2_CTLS		0x020247ff00000000ULL
#define VMX_EXIT_CTLS		0x007fffff00036dffULL
#define VMX_ENTRY_CTLS		0x0000ffff000011ffULL
/* Revision 4, 1 KiB, write-back, true controls, VMCS kept across SEAMRET. */
#define VMX_BASIC		0x10d8040000000004ULL
#define VMX_MISC		0x000000007004c1e7ULL
#define VMX_VMCS_ENUM		0x000000000000002eULL
/* Four levels, WB, 2 MiB, 1 GiB, accessed and dirty bits, INVEPT, INVVPID. */
#define VMX_EPT_VPID		0x00000f0106334141ULL

#define FEAT_CTL		(FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)
#define ARCH_CAPS		(ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | \
				 ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | \
				 ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO)

#define MSR_TME_CAPABILITY	0x981
#define MSR_TME_ACTIVATE	0x982
#define TME_LOCKED	BIT_ULL(0)
#define TME_ENABLED	BIT_ULL(1)
#define TME_KEYID_BITS_SHIFT	32
#define TME_ALGORITHMS		(BIT_ULL(0) | BIT_ULL(2))
#define TME_CAP_MAX_KEYS_SHIFT	36

/* Ascending. */
static const struct sim_host_msr {
	u32 msr;
	u64 value;
} host_msrs[] = {
	{ MSR_IA32_FEAT_CTL, FEAT_CTL },
	{ MSR_IA32_MKTME_KEYID_PARTITIONING, (u64)SIM_NR_TDX_KEYIDS << 32 | SIM_NR_MKTME_KEYIDS },
	{ MSR_IA32_ARCH_CAPABILITIES, ARCH_CAPS },
	{ MSR_IA32_VMX_BASIC, VMX_BASIC },
	{ MSR_IA32_VMX_PINBASED_CTLS, VMX_PIN_CTLS },
	{ MSR_IA32_VMX_PROCBASED_CTLS, VMX_PROC_CTLS },
	{ MSR_IA32_VMX_EXIT_CTLS, VMX_EXIT_CTLS },
	{ MSR_IA32_VMX_ENTRY_CTLS, VMX_ENTRY_CTLS },
	{ MSR_IA32_VMX_MISC, VMX_MISC },
	{ MSR_IA32_VMX_CR0_FIXED0, X86_CR0_PG | X86_CR0_NE | X86_CR0_PE },
	{ MSR_IA32_VMX_CR0_FIXED1, 0xffffffff },
	{ MSR_IA32_VMX_CR4_FIXED0, X86_CR4_VMXE },
	{ MSR_IA32_VMX_CR4_FIXED1, 0x01ff3fff },
	{ MSR_IA32_VMX_VMCS_ENUM, VMX_VMCS_ENUM },
	{ MSR_IA32_VMX_PROCBASED_CTLS2, VMX_PROC2_CTLS },
	{ MSR_IA32_VMX_EPT_VPID_CAP, VMX_EPT_VPID },
	{ MSR_IA32_VMX_TRUE_PINBASED_CTLS, VMX_PIN_CTLS },
	{ MSR_IA32_VMX_TRUE_PROCBASED_CTLS, VMX_TRUE_PROC_CTLS },
	{ MSR_IA32_VMX_TRUE_EXIT_CTLS, VMX_EXIT_CTLS },
	{ MSR_IA32_VMX_TRUE_ENTRY_CTLS, VMX_ENTRY_CTLS },
	{ MSR_IA32_VMX_VMFUNC, 0 },
	{ MSR_IA32_VMX_PROCBASED_CTLS3, 0 },
	{ MSR_TME_CAPABILITY, TME_ALGORITHMS | (u64)SIM_KEYID_BITS << TME_KEYID_BITS_SHIFT |
		(u64)(SIM_NR_MKTME_KEYIDS + SIM_NR_TDX_KEYIDS) << TME_CAP_MAX_KEYS_SHIFT },
	{ MSR_TME_ACTIVATE, TME_LOCKED | TME_ENABLED |
		(u64)SIM_KEYID_BITS << TME_KEYID_BITS_SHIFT },
};

#define MISC_ENABLE_PERFMON	BIT_ULL(7)
#define PERF_CAP_FREEZE_SMM	BIT_ULL(12)
#define CTLS3_VIRT_SPEC_CTRL	BIT_ULL(7)

/* The kernel has no use for performance monitoring here, but a module demands it. */
u64 tdx_sim_host_msr(u32 msr)
{
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
		/* TSX is there for TDs alone. */
		return ARCH_CAPS | ARCH_CAP_TSX_CTRL_MSR;
	case MSR_IA32_MISC_ENABLE:
		return MISC_ENABLE_PERFMON;
	case MSR_IA32_PERF_CAPABILITIES:
		return PERF_CAP_FREEZE_SMM;
	case MSR_IA32_VMX_PROCBASED_CTLS3:
		return CTLS3_VIRT_SPEC_CTRL;
	default:
		return 0;
	}
}

/* Costs next to nothing for those that KVM accesses whenever a TD runs. */
static const struct sim_host_msr *find_host_msr(u32 msr)
{
	const struct sim_host_msr *m;

	if (msr > host_msrs[ARRAY_SIZE(host_msrs) - 1].msr)
		return NULL;

	for (m = host_msrs; m->msr < msr; m++)
		;
	return m->msr == msr ? m : NULL;
}

/* The engine owns EFER.SVME: not seen by the kernel, not cleared by it. */
static u64 filter_read(u32 msr, u64 val)
{
	return msr == MSR_EFER ? val & ~EFER_SVME : val;
}

static u64 filter_write(u32 msr, u64 val)
{
	if (msr == MSR_EFER && sim_cpu_in_vmx_operation())
		val |= EFER_SVME;
	return val;
}

u64 sim_host_read_msr(u32 msr)
{
	const struct sim_host_msr *m = find_host_msr(msr);

	return m ? m->value : filter_read(msr, native_read_msr(msr));
}

int sim_host_read_msr_safe(u32 msr, u64 *val)
{
	const struct sim_host_msr *m = find_host_msr(msr);
	int ret;

	if (m) {
		*val = m->value;
		return 0;
	}

	ret = native_read_msr_safe(msr, val);
	*val = filter_read(msr, *val);
	return ret;
}

void sim_host_write_msr(u32 msr, u64 val)
{
	if (!find_host_msr(msr))
		native_write_msr(msr, filter_write(msr, val));
}

/* All faked MSRs are read-only or locked. */
int sim_host_write_msr_safe(u32 msr, u64 val)
{
	if (find_host_msr(msr))
		return -EIO;
	return native_write_msr_safe(msr, filter_write(msr, val));
}
