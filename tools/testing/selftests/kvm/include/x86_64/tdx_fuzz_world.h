/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Noise for the interface of TD migration: what a program works on.
 */
#ifndef SELFTEST_KVM_TDX_FUZZ_WORLD_H
#define SELFTEST_KVM_TDX_FUZZ_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "tdx_fuzz.h"

#define TD_FUZZ_MAX_SLOT_PAGES	4096U

enum td_fuzz_end {
	/* The guest has done what it was told. */
	TD_FUZZ_DONE,
	/* KVM did not run the vCPU, or needs something from its VMM. */
	TD_FUZZ_REFUSED,
	TD_FUZZ_LOST,
};

struct td_fuzz_world {
	struct td_worker w;
	struct td_mig m;
	struct td_mig_dest d;
	struct td_migtd *src_migtd;
	/* Of the other slots. */
	u64 slot_list[TD_FUZZ_MAX_SLOT_PAGES];
	u32 nr_slot_pages;

	/*
	 * Both guests are told what to do in the same page, so one at a time.  Until the
	 * guest at the source has done it, it keeps what it was told.
	 */
	pthread_mutex_t guest_lock;
	bool is_busy;
	u64 op, first, nr;
	bool is_shared[TD_WORKER_NR_PAGES];
	bool is_accepted[TD_WORKER_NR_PAGES];

	/* Bundles are kept by those who export, and taken by those who import. */
	pthread_mutex_t bundle_lock;
	int next_bundle;
	struct td_mig_vcpu_state state;
	bool has_state;
	/* The destination has got it. */
	atomic_bool is_loaded;

	/* The program has taken memory away, or changed what the guest works with. */
	atomic_bool src_harmed, dst_harmed;
	/* Operations under way that may do so. */
	atomic_int nr_changes;
	/* It may have sent what is not what the source has exported. */
	atomic_bool has_lied;
	atomic_bool token_sent, committed, ended;

	const struct td_fuzz_prog *prog;
	/* The last operation of thread 0 that has begun. */
	atomic_uint begun;
	atomic_bool are_there;
	pthread_barrier_t all_done;
	pthread_t threads[TD_FUZZ_NR_THREADS];
	struct td_fuzz_cover *cover;
	u64 *nr_done;
};

extern struct td_fuzz_world td_fuzz_world;

/* Documented for all commands of a stream at the destination, and at the source. */
#define TD_FUZZ_DST	EINVAL, EBUSY, EAGAIN, EINTR, EIO, ENOMEM
#define TD_FUZZ_SRC	TD_FUZZ_DST, ECANCELED
#define TD_FUZZ_NR_ERRNOS	20

bool td_fuzz_check(int ret, u64 hw_error, const int *errnos);
/* The operation has done what it is for. */
void td_fuzz_done(void);

/* Returns whether a system call has succeeded; if not, its errno is one of these. */
#define TD_FUZZ_CHECK(_ret, _hw_error, ...)					\
({										\
	int __ret = (_ret);							\
										\
	td_fuzz_check(__ret, _hw_error, (const int [TD_FUZZ_NR_ERRNOS]) { __VA_ARGS__ });	\
})

/*
 * Let the guest at the source do something with pages, after what it still has to do; let
 * the other one check its memory.  @told, if not NULL, is set as soon as it is sure that
 * the guest will do it, if not now.
 */
enum td_fuzz_end td_fuzz_tell(u64 op, u64 first, u64 nr, bool *told);
enum td_fuzz_end td_fuzz_run_dest(void);

void td_fuzz_do(const struct td_fuzz_op *op);

#endif /* SELFTEST_KVM_TDX_FUZZ_WORLD_H */
