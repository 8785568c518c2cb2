/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TD vCPUs that run in threads of their own and can be stopped at any time, as a
 * VMM does before it pauses a TD.
 */
#ifndef SELFTEST_KVM_TDX_RUNNER_H
#define SELFTEST_KVM_TDX_RUNNER_H

#include <pthread.h>

#include "kvm_util.h"
#include "tdx_util.h"

struct td_runner {
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	/* Set when it is about to run the vCPU. */
	pid_t tid;
	/* What the guest reads from any IO port. */
	u32 io_value;
	/* Stop at an IO access, which is completed, and not before. */
	bool stop_at_io;
	/* The guest has said GUEST_DONE(). */
	bool done;
};

/* Run @r->vcpu until the guest is done or td_runner_stop() is called. */
void td_runner_start(struct td_runner *r);
/* Stop the vCPU wherever it is, with its last exit completed. */
void td_runner_stop(struct td_runner *r);
/* Wait until the vCPU stops by itself. */
void td_runner_join(struct td_runner *r);

/* Of a vCPU that is stopped. */
bool td_vcpu_is_halted(struct kvm_vcpu *vcpu);
/* Start and stop the vCPU until it is stopped while it is halted. */
void td_runner_stop_halted(struct td_runner *r);

#endif /* SELFTEST_KVM_TDX_RUNNER_H */
