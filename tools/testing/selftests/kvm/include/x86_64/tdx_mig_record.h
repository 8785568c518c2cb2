/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A migration that is recorded once, and replayed to as many destinations as a test
 * needs.  It is small, and has bundles of all kinds over two streams, and in these all
 * kinds of list entries.
 *
 * Most of the memory is left for post-copy, so that it does not take long to bring a
 * destination to any bundle.
 */
#ifndef SELFTEST_KVM_TDX_MIG_RECORD_H
#define SELFTEST_KVM_TDX_MIG_RECORD_H

#include "tdx_mig_util.h"
#include "tdx_worker.h"

#define TD_RECORD_NR_STREAMS	2

/* The bundles, in their order. */
enum td_record_bundle {
	TD_RECORD_IMMUTABLE,
	/* Over stream 1: the first epoch. */
	TD_RECORD_NEW_PAGES,
	TD_RECORD_FIRST_TOKEN,
	/* The second one, with pages that are sent again, and one that is revoked. */
	TD_RECORD_AGAIN,
	TD_RECORD_SECOND_TOKEN,
	TD_RECORD_TD_STATE,
	TD_RECORD_VCPU_STATE,
	TD_RECORD_START_TOKEN,
	/* Over stream 1: pages for post-copy, one of which the destination has. */
	TD_RECORD_LATE,
	/* All other memory, in as many bundles as it takes. */
	TD_RECORD_REST,
};

struct td_record {
	struct td_worker w;
	/* The session under way, and its bundles. */
	struct td_mig m;
	/* The next page that the guest has not accepted. */
	u64 next_unaccepted;
};

/* A source with streams and keys.  May be freed if it was not created. */
void td_record_create(struct td_record *r);
void td_record_free(struct td_record *r);

/* Record a session up to the bundle @last. */
void td_record_run(struct td_record *r, enum td_record_bundle last);
/* It was aborted.  Forget it, and have keys for another one. */
void td_record_renew(struct td_record *r);

/* Let the guest check all its memory, wherever it lives. */
void td_record_check(struct td_record *r, struct kvm_vcpu *vcpu);

/*
 * Fill the buffers of the stream of a bundle, and import it as if it had @nr pages.  All
 * that is in the buffers but not in the bundle gets some other content: what lies
 * beyond the last page or entry, and the pages of entries without content.
 */
int td_record_import(struct td_mig_dest *d, const struct td_mig_bundle *b, u64 nr,
		     u64 *hw_error);
/* Import bundles @first to @last as they were recorded, which has to succeed. */
void td_record_replay(struct td_record *r, struct td_mig_dest *d, int first, int last);

/* Is page content part of the bundle? */
static inline bool td_gpa_entry_has_content(u64 entry)
{
	return (td_gpa_entry_op(entry) == TDX_MIG_GPA_OP_MIGRATE ||
		td_gpa_entry_op(entry) == TDX_MIG_GPA_OP_REMIGRATE) &&
	       !(entry & TDX_MIG_GPA_ENTRY_PENDING);
}

/* Does a destination have the page before TD_RECORD_LATE, with or without the rest? */
bool td_record_has_page(struct td_record *r, gpa_t gpa, bool has_rest);

#endif /* SELFTEST_KVM_TDX_MIG_RECORD_H */
