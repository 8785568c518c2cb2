/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection in KVM selftests: the n-th allocation or SEAMCALL of a thread fails,
 * whichever it is, or all allocations fail once it has got so many pages.  Needs a kernel
 * with CONFIG_FAULT_INJECTION_DEBUG_FS, CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC, on the
 * software TDX platform.
 */
#ifndef SELFTEST_KVM_TDX_FAIL_H
#define SELFTEST_KVM_TDX_FAIL_H

#include "kvm_util.h"

struct td_fail {
	/* Of the thread that is to fail. */
	int fd;
	/* Points until the one that fails, 0 if none is to fail any more. */
	unsigned int left;
	/* What has failed, if the point was reached; leaf 0 is an allocation. */
	bool reached;
	unsigned int leaf;
	/* Statuses that the leaf could have returned, and what it has. */
	unsigned int nr_variants;
	u64 status;
};

/* The kernel can do this. */
bool td_fail_is_present(void);
/*
 * Let the calling thread fail at the @nth point from here on: of the statuses that a
 * SEAMCALL can return there with number @variant, and then @repeat times in a row.
 */
void td_fail_plan(struct td_fail *f, unsigned int nth, unsigned int variant,
		  unsigned int repeat);
/*
 * Points count between these two only, so that nothing fails which the test does for
 * itself.  They belong around each system call that may fail; errno survives.
 */
void td_fail_arm(struct td_fail *f);
void td_fail_disarm(struct td_fail *f);
void td_fail_end(struct td_fail *f);
/* Have another thread, by its id in /proc, fail in the place of the one that planned it. */
void td_fail_attach(struct td_fail *f, pid_t tid);

/*
 * Let the calling thread have @nr_pages more pages of the kernel and none after that, as
 * below the limit of a memory cgroup, until td_fail_unlimit_pages(); errno survives.  They
 * belong around each system call that is to run out of memory.
 */
void td_fail_limit_pages(unsigned int nr_pages);
void td_fail_unlimit_pages(void);

#endif /* SELFTEST_KVM_TDX_FAIL_H */
