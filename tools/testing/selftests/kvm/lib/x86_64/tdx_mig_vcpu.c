// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: state of a vCPU that no bundle
 * carries, which a VMM has to move by itself.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

/* Registers of the local APIC that KVM, not the TDX module, keeps. */
static const u32 td_mig_msrs[TD_MIG_NR_MSRS] = {
	APIC_BASE_MSR + (APIC_SPIV >> 4),
	APIC_BASE_MSR + (APIC_LVTT >> 4),
	APIC_BASE_MSR + (APIC_TDCR >> 4),
};

void td_mig_vcpu_save(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state)
{
	int i;

	state->tdx = (struct kvm_tdx_mig_vcpu_state) {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state->tdx),
	};
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state->tdx);
	vcpu_mp_state_get(vcpu, &state->mp_state);
	for (i = 0; i < TD_MIG_NR_MSRS; i++)
		state->msrs[i] = vcpu_get_msr(vcpu, td_mig_msrs[i]);
}

void td_mig_vcpu_load(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state)
{
	int i;

	for (i = 0; i < TD_MIG_NR_MSRS; i++)
		vcpu_set_msr(vcpu, td_mig_msrs[i], state->msrs[i]);
	vcpu_mp_state_set(vcpu, &state->mp_state);
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&state->tdx);
}
