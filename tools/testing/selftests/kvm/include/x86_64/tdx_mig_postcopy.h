/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Post-copy migration of TDs in KVM selftests: the destination runs, and its
 * memory follows.
 *
 * Each thread that moves pages has a stream of its own.
 */
#ifndef SELFTEST_KVM_TDX_MIG_POSTCOPY_H
#define SELFTEST_KVM_TDX_MIG_POSTCOPY_H

#include "tdx_mig_util.h"

struct td_postcopy {
	struct td_mig *m;
	struct td_mig_dest *d;

	/* Faults of all vCPUs on pages that were missing. */
	u64 nr_faults;
	/* Those among them on pages that the source did not have either. */
	u64 nr_absent;
};

/* All private pages of the source, mapped or not; the caller frees them. */
gpa_t *td_mig_list_pages(struct td_mig *m, u32 *nr);

/*
 * From a source with all vCPUs stopped to a destination that has been committed
 * to, by way of the bundles that @m has already; no memory is exported.
 */
void td_postcopy_start(struct td_postcopy *p, struct td_mig *m, struct td_mig_dest *d);
/* The same in two parts, the first of which leaves the source with the start token. */
void td_postcopy_export_states(struct td_mig *m);
void td_postcopy_import_states(struct td_mig *m, struct td_mig_dest *d);

/* Export @nr pages after the start token; the caller frees the bundle. */
void td_postcopy_export(struct td_mig *m, u32 stream, const gpa_t *gpas, u32 nr,
			struct td_mig_bundle *b);
/* Import a bundle of pages, asserting success. */
void td_postcopy_import(struct td_mig_dest *d, const struct td_mig_bundle *b);
/* Move the initial memory of the TD: code, page tables and stacks. */
void td_postcopy_move_image(struct td_postcopy *p);
/* Export @nr pages and import them, however many of them exist. */
void td_postcopy_move(struct td_postcopy *p, u32 stream, const gpa_t *gpas, u32 nr);
/*
 * Resolve a fault of @vcpu: move the page, or map a page that is to be accepted
 * if the source has none.
 */
void td_postcopy_fetch(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream, gpa_t gpa);

/*
 * KVM_RUN returned @ret with errno.  Did the vCPU miss a private page?  Faults
 * that ask for a conversion have to be told apart by who knows the attributes.
 */
bool td_is_missing_page(struct kvm_vcpu *vcpu, int ret);
/* Assert that the vCPU runs into the missing page at @gpa. */
void td_vcpu_run_to_missing_page(struct kvm_vcpu *vcpu, gpa_t gpa);

/* Like td_vcpu_run() and td_vcpu_run_to_done(), but pages may be missing. */
u64 td_postcopy_run(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream,
		    struct ucall *uc);
void td_postcopy_run_to_sync(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream,
			     u64 stage);
void td_postcopy_run_to_done(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream);

/* A thread that runs a vCPU to its end and resolves its faults. */
struct td_postcopy_runner {
	struct td_postcopy *p;
	struct kvm_vcpu *vcpu;
	u32 stream;
	pthread_t thread;
};

/* One for each vCPU of the destination, over the first @nr_streams streams. */
void td_postcopy_start_runners(struct td_postcopy *p, struct td_postcopy_runner runners[],
			       int nr_streams);
void td_postcopy_join_runners(struct td_postcopy *p, struct td_postcopy_runner runners[]);

/* A thread that moves some of the pages, in batches of random size. */
struct td_postcopy_pusher {
	struct td_postcopy *p;
	u32 stream;
	gpa_t *gpas;
	u32 nr;
	struct kvm_random_state rng;
	pthread_t thread;
};

/* Put pages into random order, which kvm_random_seed decides. */
void td_postcopy_shuffle(gpa_t *gpas, u32 nr);
/* Share @nr pages out to @nr_pushers threads, with a stream each from @first_stream. */
void td_postcopy_start_pushers(struct td_postcopy *p, struct td_postcopy_pusher pushers[],
			       int nr_pushers, u32 first_stream, gpa_t *gpas, u32 nr);
void td_postcopy_join_pushers(struct td_postcopy_pusher pushers[], int nr_pushers);

#endif /* SELFTEST_KVM_TDX_MIG_POSTCOPY_H */
