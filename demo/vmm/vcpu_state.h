/* SPDX-License-Identifier: GPL-2.0 */
/*
 * State of a vCPU that is in none of the TDX module's bundles.
 */
#ifndef DEMO_VCPU_STATE_H
#define DEMO_VCPU_STATE_H

#include "wire.h"

/* The vCPU is stopped for good. */
void vcpu_state_save(const struct vcpu *vcpu, struct wire_vcpu *wire);
/* After the state bundle of the vCPU, before the end of the import. */
void vcpu_state_load(const struct vcpu *vcpu, const struct wire_vcpu *wire);

#endif /* DEMO_VCPU_STATE_H */
