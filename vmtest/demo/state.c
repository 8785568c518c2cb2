// SPDX-License-Identifier: GPL-2.0
/*
 * Save and load what KVM keeps about a TD vCPU: the registers of a hypercall in
 * flight, the emulated part of the local APIC and interrupts that were posted,
 * the MSRs that KVM emulates, events, whether the vCPU is halted.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "state.h"

#define MSR_MISC_ENABLE		0x1a0
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_KVM_POLL_CONTROL	0x4b564d05

static const u32 msrs[] = {
	MSR_MISC_ENABLE,
	MSR_PAT,
	MSR_MTRR_DEF_TYPE,
	MSR_KVM_POLL_CONTROL,
	MSR_TSC_DEADLINE,
};

static_assert(ARRAY_SIZE(msrs) <= WIRE_MAX_MSRS, "too many MSRs for the stream");

struct msr_list {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

static bool get_msr(const struct vcpu *vcpu, u32 index, u64 *val)
{
	struct msr_list list = { .head.nmsrs = 1, .entry.index = index };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &list) != 1)
		return false;
	*val = list.entry.data;
	return true;
}

static bool set_msr(const struct vcpu *vcpu, u32 index, u64 val)
{
	struct msr_list list = { .head.nmsrs = 1, .entry = { .index = index, .data = val } };

	return ioctl(vcpu->fd, KVM_SET_MSRS, &list) == 1;
}

static void vcpu_ioctl(const struct vcpu *vcpu, unsigned long request, void *arg,
		       const char *what)
{
	if (ioctl(vcpu->fd, request, arg))
		die("vCPU %u: %s: %s", vcpu->id, what, strerror(errno));
}

void state_save(const struct vcpu *vcpu, struct wire_vcpu *wire)
{
	u32 i;

	*wire = (struct wire_vcpu){ .id = vcpu->id };
	wire->state.version = KVM_TDX_MIG_VCPU_STATE_VERSION;
	wire->state.size = sizeof(wire->state);
	tdx_command(vcpu->fd, KVM_TDX_MIG_GET_VCPU_STATE, 0, &wire->state,
		    "KVM_TDX_MIG_GET_VCPU_STATE");
	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &wire->lapic, "KVM_GET_LAPIC");
	vcpu_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &wire->events, "KVM_GET_VCPU_EVENTS");
	vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &wire->mp_state, "KVM_GET_MP_STATE");

	/* An MSR that the vCPU does not have, it does not need. */
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		struct kvm_msr_entry *msr = &wire->msrs[wire->nr_msrs];
		u64 val;

		if (!get_msr(vcpu, msrs[i], &val))
			continue;
		msr->index = msrs[i];
		msr->data = val;
		wire->nr_msrs++;
	}
}

void state_load(const struct vcpu *vcpu, const struct wire_vcpu *wire)
{
	struct wire_vcpu w = *wire;
	u32 i;

	tdx_command(vcpu->fd, KVM_TDX_MIG_SET_VCPU_STATE, 0, &w.state,
		    "KVM_TDX_MIG_SET_VCPU_STATE");

	/* The deadline of the timer counts only when the timer has its mode. */
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &w.lapic, "KVM_SET_LAPIC");
	for (i = 0; i < w.nr_msrs; i++) {
		const struct kvm_msr_entry *msr = &w.msrs[i];

		if (!set_msr(vcpu, msr->index, msr->data))
			die("vCPU %u does not take MSR 0x%x = 0x%llx", vcpu->id, msr->index,
			    (unsigned long long)msr->data);
	}

	vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &w.events, "KVM_SET_VCPU_EVENTS");
	vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &w.mp_state, "KVM_SET_MP_STATE");
}
