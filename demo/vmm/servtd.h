/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VMM's side of a migration TD that this VMM runs: its calls.
 */
#ifndef DEMO_SERVTD_H
#define DEMO_SERVTD_H

#include "vm.h"

struct servtd {
	/* It has got the request for its TDREPORT. */
	bool asked;
};

/* Handle KVM_EXIT_TDX of a vCPU, with vm->lock held. */
void servtd_call(struct servtd *servtd, struct vcpu *vcpu);

#endif /* DEMO_SERVTD_H */
