/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads in KVM selftests that a test has to catch in the midst of a system call:
 * those that sleep in one, and those that move to another CPU during one.
 */
#ifndef SELFTEST_KVM_TDX_THREAD_H
#define SELFTEST_KVM_TDX_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <sys/types.h>

#include "kvm_util.h"

/* Moves a thread from CPU to CPU, over all that it was allowed to use. */
struct td_hopper {
	pthread_t thread;
	pid_t tid;
	cpu_set_t cpus;
	bool stop;
	/* Moves that are done. */
	u64 nr_hops;
};

/* Move the calling thread, until it says td_hopper_stop(). */
void td_hopper_start(struct td_hopper *h);
void td_hopper_stop(struct td_hopper *h);

/* Move the calling thread to the next of @cpus, once. */
void td_hop(const cpu_set_t *cpus);

/*
 * Wait until a thread of this process that is about to make a system call sleeps
 * in it, or until it has ended.  @tid is written by the thread.
 */
void td_wait_for_sleep(const pid_t *tid);

#endif /* SELFTEST_KVM_TDX_THREAD_H */
