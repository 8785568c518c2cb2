// SPDX-License-Identifier: GPL-2.0
/*
 * Save and load what KVM keeps about a TD vCPU: the registers of a hypercall in
 * flight, the emulated part of the local APIC and interrupts that were posted,
 * the MSRs that KVM emulates, events, whether the vCPU is halted.
 */
#include <errno.h>
#include <string.h>

#include "event.h"
#include "msrs.h"
#include "vcpu_state.h"

static void vcpu_ioctl(const struct vcpu *vcpu, unsigned long request, void *arg,
		       const char *what)
{
	if (ioctl(vcpu->fd, request, arg))
		die("vCPU %u: %s: %s", vcpu->id, what, strerror(errno));
}

void vcpu_state_save(const struct vcpu *vcpu, struct wire_vcpu *wire)
{
	*wire = (struct wire_vcpu){ .id = vcpu->id };
	wire->state.version = KVM_TDX_MIG_VCPU_STATE_VERSION;
	wire->state.size = sizeof(wire->state);
	tdx_command(vcpu->fd, KVM_TDX_MIG_GET_VCPU_STATE, 0, &wire->state,
		    "KVM_TDX_MIG_GET_VCPU_STATE");
	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &wire->lapic, "KVM_GET_LAPIC");
	vcpu_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &wire->events, "KVM_GET_VCPU_EVENTS");
	vcpu_ioctl(vcpu, KVM_GET_MP_STATE, &wire->mp_state, "KVM_GET_MP_STATE");
	msrs_save(vcpu, wire);
}

void vcpu_state_load(const struct vcpu *vcpu, const struct wire_vcpu *wire)
{
	struct wire_vcpu w = *wire;

	tdx_command(vcpu->fd, KVM_TDX_MIG_SET_VCPU_STATE, 0, &w.state,
		    "KVM_TDX_MIG_SET_VCPU_STATE");

	/* The deadline of the timer counts only when the timer has its mode. */
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &w.lapic, "KVM_SET_LAPIC");
	msrs_load(vcpu, &w);

	vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &w.events, "KVM_SET_VCPU_EVENTS");
	vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &w.mp_state, "KVM_SET_MP_STATE");
}
