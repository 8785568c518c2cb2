// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: state of a vCPU that no bundle
 * carries, which a VMM has to move by itself.
 */
#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

void td_mig_vcpu_save(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state)
{
	state->tdx = (struct kvm_tdx_mig_vcpu_state) {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state->tdx),
	};
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_GET_VCPU_STATE, 0, (u64)&state->tdx);
	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &state->lapic);
	td_mig_msrs_save(vcpu, &state->msrs);
	state->tsc_deadline = vcpu_get_msr(vcpu, MSR_IA32_TSC_DEADLINE);
	vcpu_mp_state_get(vcpu, &state->mp_state);
	vcpu_events_get(vcpu, &state->events);
}

void td_mig_vcpu_load(struct kvm_vcpu *vcpu, struct td_mig_vcpu_state *state)
{
	td_vcpu_ioctl(vcpu, KVM_TDX_MIG_SET_VCPU_STATE, 0, (u64)&state->tdx);
	td_mig_msrs_load(vcpu, &state->msrs);
	/* The mode of the timer, then its deadline. */
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &state->lapic);
	vcpu_set_msr(vcpu, MSR_IA32_TSC_DEADLINE, state->tsc_deadline);
	vcpu_events_set(vcpu, &state->events);
	vcpu_mp_state_set(vcpu, &state->mp_state);
}

u32 td_lapic_get(const struct kvm_lapic_state *lapic, u32 reg)
{
	u32 value;

	memcpy(&value, lapic->regs + reg, sizeof(value));
	return value;
}

void td_lapic_set(struct kvm_lapic_state *lapic, u32 reg, u32 value)
{
	memcpy(lapic->regs + reg, &value, sizeof(value));
}

bool td_lapic_irr_test(const struct kvm_lapic_state *lapic, u8 vector)
{
	return td_lapic_get(lapic, APIC_IRR + vector / 32 * 0x10) & BIT(vector % 32);
}
