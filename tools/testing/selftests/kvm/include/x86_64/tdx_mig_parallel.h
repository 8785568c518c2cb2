/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live migration of TDs in KVM selftests over several streams at once: on either
 * side each stream has a thread of its own, and a queue of bundles connects the
 * two, while the TD may run.
 *
 * A round sends memory over all streams, a token ends it.  Which stream a page
 * takes, and the sizes of the batches, are random.
 */
#ifndef SELFTEST_KVM_TDX_MIG_PARALLEL_H
#define SELFTEST_KVM_TDX_MIG_PARALLEL_H

#include <pthread.h>

#include "tdx_mig_util.h"

/* Bundles between the two threads of a stream. */
#define TD_MIG_PIPE_LEN		4

struct td_mig_parallel;

struct td_mig_pipe {
	struct td_mig_parallel *p;
	int stream;
	u64 random;
	pthread_t exporter;
	pthread_t importer;

	/* What the stream has to send in this round. */
	u64 *gpas;
	u64 nr_gpas;

	/* Filled by the exporter, drained by the importer, by the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct td_mig_bundle bundles[TD_MIG_PIPE_LEN];
	unsigned int nr_in;
	unsigned int nr_out;
	bool closed;

	/* Since the session has begun, but only exact between rounds. */
	u64 nr_bundles;
	u64 nr_exported;
	u64 nr_refused;
};

struct td_mig_parallel {
	struct td_mig *m;
	/* NULL: bundles are thrown away. */
	struct td_mig_dest *d;
	u64 random;
	/* Batches have 1 to so many pages. */
	u32 max_entries;
	struct td_mig_pipe pipes[TD_MIG_MAX_STREAMS];
};

/*
 * Use the streams of @m and @d, which have been set up by td_mig_init() and
 * td_mig_dest_create(), for a session.  @seed must not be 0.
 */
void td_mig_parallel_init(struct td_mig_parallel *p, struct td_mig *m,
			  struct td_mig_dest *d, u64 seed);

/* Log writes to all private memory of @vm, which has to be launched. */
void td_mig_enable_log(struct kvm_vm *vm);

/* Export the immutable state and import it. */
void td_mig_parallel_begin(struct td_mig_parallel *p);
/*
 * Send the pages @gpas, which is shuffled, over all streams at once.  Returns
 * the number of those that were not exported.
 */
u64 td_mig_parallel_send(struct td_mig_parallel *p, u64 *gpas, u64 nr);
/* Clear the dirty log, and send the pages.  Returns like the above. */
u64 td_mig_parallel_send_dirty(struct td_mig_parallel *p);
/* Send an epoch token, when all streams are empty. */
void td_mig_parallel_track(struct td_mig_parallel *p);
/* The two above. */
u64 td_mig_parallel_round(struct td_mig_parallel *p);
/*
 * With all vCPUs stopped: pause, send what is dirty and all memory that is not
 * logged, and the states; then the destination can run.
 */
void td_mig_parallel_end(struct td_mig_parallel *p);

/* Pages that were exported over all streams, each time counted. */
u64 td_mig_parallel_nr_exported(struct td_mig_parallel *p);

#endif /* SELFTEST_KVM_TDX_MIG_PARALLEL_H */
