/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MSRs that KVM emulates for a TD: no bundle of the TDX module has them.
 */
#ifndef DEMO_MSRS_H
#define DEMO_MSRS_H

#include "vm.h"
#include "wire.h"

/*
 * Find out which there are, before a vCPU runs: to ask for all that KVM could have
 * takes a while. All vCPUs of a process have the same.
 */
void msrs_find(const struct vcpu *vcpu);

void msrs_save(const struct vcpu *vcpu, struct wire_vcpu *wire);
/* After the state of the local APIC: the deadline of a timer depends on its mode. */
void msrs_load(const struct vcpu *vcpu, const struct wire_vcpu *wire);

#endif /* DEMO_MSRS_H */
