// SPDX-License-Identifier: GPL-2.0
/*
 * Save and load what KVM keeps about a TD vCPU: the registers of a hypercall in
 * flight, posted interrupts, the MSRs that KVM emulates, whether it is halted.
 *
 * The local APIC of a TD vCPU cannot be read as a whole. The part that KVM
 * emulates, foremost the timer, is reached through the x2APIC MSRs.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "state.h"

#define MSR_MISC_ENABLE		0x1a0
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_X2APIC_SPIV		0x80f
#define MSR_X2APIC_LVT_CMCI	0x82f
#define MSR_X2APIC_LVT_TIMER	0x832
#define MSR_X2APIC_LVT_THERMAL	0x833
#define MSR_X2APIC_LVT_PMC	0x834
#define MSR_X2APIC_LVT0		0x835
#define MSR_X2APIC_LVT1		0x836
#define MSR_X2APIC_LVT_ERROR	0x837
#define MSR_X2APIC_TIMER_INIT	0x838
#define MSR_X2APIC_TIMER_CURRENT	0x839
#define MSR_X2APIC_TIMER_DIVIDE	0x83e
#define MSR_KVM_POLL_CONTROL	0x4b564d05

#define LVT_TIMER_MODE_MASK	(3U << 17)
#define LVT_TIMER_ONESHOT	(0U << 17)

/*
 * In the order in which they have to be loaded: the APIC is enabled before its
 * local vectors are set, and the timer is started last.
 */
static const u32 msrs[] = {
	MSR_MISC_ENABLE,
	MSR_PAT,
	MSR_MTRR_DEF_TYPE,
	MSR_KVM_POLL_CONTROL,
	MSR_X2APIC_SPIV,
	MSR_X2APIC_LVT_CMCI,
	MSR_X2APIC_LVT_THERMAL,
	MSR_X2APIC_LVT_PMC,
	MSR_X2APIC_LVT0,
	MSR_X2APIC_LVT1,
	MSR_X2APIC_LVT_ERROR,
	MSR_X2APIC_LVT_TIMER,
	MSR_X2APIC_TIMER_DIVIDE,
	MSR_X2APIC_TIMER_INIT,
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

/*
 * A one-shot timer goes on with what is left. One that has run out may still
 * have its interrupt pending inside of KVM; let it fire once more, which costs
 * a guest no more than a spurious tick.
 */
static u64 remaining_count(const struct vcpu *vcpu, u64 initial)
{
	u64 lvt, current;

	if (!initial || !get_msr(vcpu, MSR_X2APIC_LVT_TIMER, &lvt) ||
	    (lvt & LVT_TIMER_MODE_MASK) != LVT_TIMER_ONESHOT ||
	    !get_msr(vcpu, MSR_X2APIC_TIMER_CURRENT, &current))
		return initial;
	return current ? current : 1;
}

void state_save(const struct vcpu *vcpu, struct wire_vcpu *wire)
{
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	u32 i;

	*wire = (struct wire_vcpu){ .id = vcpu->id };
	wire->state.version = KVM_TDX_MIG_VCPU_STATE_VERSION;
	wire->state.size = sizeof(wire->state);
	tdx_command(vcpu->fd, KVM_TDX_MIG_GET_VCPU_STATE, 0, &wire->state,
		    "KVM_TDX_MIG_GET_VCPU_STATE");

	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp_state))
		die("KVM_GET_MP_STATE: %s", strerror(errno));
	wire->mp_state = mp_state.mp_state;

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		die("KVM_GET_VCPU_EVENTS: %s", strerror(errno));
	wire->nmi_pending = events.nmi.pending;

	/* An MSR that the vCPU does not have, it does not need. */
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		struct kvm_msr_entry *msr = &wire->msrs[wire->nr_msrs];
		u64 val;

		if (!get_msr(vcpu, msrs[i], &val))
			continue;
		if (msrs[i] == MSR_X2APIC_TIMER_INIT)
			val = remaining_count(vcpu, val);
		/* A deadline of 0 is no timer, but would stop the other one. */
		if (msrs[i] == MSR_TSC_DEADLINE && !val)
			continue;
		msr->index = msrs[i];
		msr->data = val;
		wire->nr_msrs++;
	}
}

void state_load(const struct vcpu *vcpu, const struct wire_vcpu *wire)
{
	struct kvm_tdx_mig_vcpu_state state = wire->state;
	struct kvm_mp_state mp_state = { .mp_state = wire->mp_state };
	u32 i;

	tdx_command(vcpu->fd, KVM_TDX_MIG_SET_VCPU_STATE, 0, &state, "KVM_TDX_MIG_SET_VCPU_STATE");

	for (i = 0; i < wire->nr_msrs; i++) {
		const struct kvm_msr_entry *msr = &wire->msrs[i];

		if (!set_msr(vcpu, msr->index, msr->data))
			die("vCPU %u does not take MSR 0x%x = 0x%llx", vcpu->id, msr->index,
			    (unsigned long long)msr->data);
	}

	if (wire->nmi_pending && ioctl(vcpu->fd, KVM_NMI))
		die("KVM_NMI: %s", strerror(errno));
	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp_state))
		die("KVM_SET_MP_STATE: %s", strerror(errno));
}
