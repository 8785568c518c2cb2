// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: MSRs that KVM emulates, which no bundle
 * carries.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

#define MSR_IA32_MTRRCAP	0xfe
#define MTRRCAP_VCNT		GENMASK(7, 0)
#define MTRRCAP_FIX		BIT(8)
#define MSR_MTRR_PHYS_BASE0	0x200
#define MSR_MTRR_DEF_TYPE	0x2ff

#define MCG_CAP_COUNT		GENMASK(7, 0)
#define MCE_MSRS_PER_BANK	4

static const u32 fixed_mtrrs[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
};

bool td_mig_msr_get(struct kvm_vcpu *vcpu, u32 index, u64 *value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msr = { .head.nmsrs = 1, .entry.index = index };

	if (__vcpu_ioctl(vcpu, KVM_GET_MSRS, &msr.head) != 1)
		return false;

	*value = msr.entry.data;
	return true;
}

static void save_msr(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs, u32 index)
{
	struct kvm_msr_entry msr = { .index = index };
	u64 value;

	if (!td_mig_msr_get(vcpu, index, &value))
		return;

	TEST_ASSERT(msrs->head.nmsrs < TD_MIG_MAX_MSRS, "Too many MSRs");
	msr.data = value;
	msrs->entries[msrs->head.nmsrs++] = msr;
}

/* KVM does not list them, as they are described by MSRs of their own. */
static void save_mtrrs(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs)
{
	u64 cap;
	u32 i;

	if (!td_mig_msr_get(vcpu, MSR_IA32_MTRRCAP, &cap))
		return;

	for (i = 0; i < 2 * (cap & MTRRCAP_VCNT); i++)
		save_msr(vcpu, msrs, MSR_MTRR_PHYS_BASE0 + i);
	for (i = 0; cap & MTRRCAP_FIX && i < ARRAY_SIZE(fixed_mtrrs); i++)
		save_msr(vcpu, msrs, fixed_mtrrs[i]);
	save_msr(vcpu, msrs, MSR_MTRR_DEF_TYPE);
}

static void save_mce_banks(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs)
{
	u64 cap;
	u32 i;

	if (!td_mig_msr_get(vcpu, MSR_IA32_MCG_CAP, &cap))
		return;

	for (i = 0; i < MCE_MSRS_PER_BANK * (cap & MCG_CAP_COUNT); i++)
		save_msr(vcpu, msrs, MSR_IA32_MC0_CTL + i);
	for (i = 0; i < (cap & MCG_CAP_COUNT); i++)
		save_msr(vcpu, msrs, MSR_IA32_MC0_CTL2 + i);
}

void td_mig_msrs_save(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs)
{
	const struct kvm_msr_list *list = kvm_get_msr_index_list();
	u32 i;

	msrs->head.nmsrs = 0;
	for (i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] != MSR_IA32_TSC_DEADLINE)
			save_msr(vcpu, msrs, list->indices[i]);
	}
	save_mtrrs(vcpu, msrs);
	save_mce_banks(vcpu, msrs);
}

void td_mig_msrs_load(struct kvm_vcpu *vcpu, struct td_mig_msrs *msrs)
{
	vcpu_msrs_set(vcpu, &msrs->head);
}

const struct kvm_msr_entry *td_mig_msrs_find(const struct td_mig_msrs *msrs, u32 index)
{
	u32 i;

	for (i = 0; i < msrs->head.nmsrs; i++) {
		if (msrs->entries[i].index == index)
			return &msrs->entries[i];
	}
	return NULL;
}
