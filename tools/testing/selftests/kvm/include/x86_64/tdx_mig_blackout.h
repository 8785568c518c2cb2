/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The blackout of a migration: its commands, and what they take in the kernel.
 *
 * Its length is the sum of the commands that have to be alone, and of those on the stream
 * that has the most to do.
 */
#ifndef SELFTEST_KVM_TDX_MIG_BLACKOUT_H
#define SELFTEST_KVM_TDX_MIG_BLACKOUT_H

#include "tdx_count.h"
#include "tdx_mig_util.h"

#define TD_COUNT_BATCH		((u64)TDX_MIG_BUF_LIST_PAGES_MAX)

enum { TD_SOURCE, TD_DESTINATION, TD_NR_SIDES };

extern const char *const td_side_names[TD_NR_SIDES];

/* A TD on both sides, of one session after another. */
struct td_count_mig {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TD_MIG_MAX_VCPUS];
	int nr_vcpus;
	int nr_streams;
	struct td_mig m;
	struct td_mig_dest d;
};

/* A command of a stream, which has to succeed. */
struct td_count td_count_cmd(struct td_mig_stream *s, u32 id, u32 flags, void *data);
/* List @nr pages, each @stride of which one is there. */
void td_count_fill_gpa_list(struct td_mig_stream *s, gpa_t gpa, u64 nr, u64 stride);
/* This is the network. */
void td_count_move_bundle(struct td_mig_stream *src, struct td_mig_stream *dst, u64 nr_entries,
			  u64 nr_pages);

/* What the costs of a command grow with; those by TD are alone on all streams. */
enum td_blackout_kind { TD_BY_TD, TD_BY_VCPU, TD_BY_PAGE };

#define TD_BLACKOUT_MAX_CMDS	64

struct td_blackout_cmd {
	const char *what;
	enum td_blackout_kind kind;
	int stream;
	struct td_count count;
};

/* The commands of one side. */
struct td_blackout {
	struct td_blackout_cmd cmds[TD_BLACKOUT_MAX_CMDS];
	int nr;
	/* The end of the session at the destination, which the TD need not wait for. */
	struct td_count end;
};

/*
 * From the moment when no vCPU runs any more at the source to the start token, with
 * @nr_pages from @gpa on that are dirty.  vCPUs and bundles take turns on the streams.
 */
void td_blackout(struct td_count_mig *t, gpa_t gpa, u64 nr_pages,
		 struct td_blackout b[TD_NR_SIDES]);
/* Parts of it, which are also those of a round. */
void td_blackout_pages(struct td_count_mig *t, gpa_t gpa, u64 nr,
		       struct td_blackout b[TD_NR_SIDES]);
void td_blackout_token(struct td_count_mig *t, u64 flags, struct td_blackout b[TD_NR_SIDES]);
/* The last of it, so that the TD can run; and the end of the session. */
void td_blackout_commit(struct td_count_mig *t, struct td_blackout b[TD_NR_SIDES]);

/* That many times, a TD comes back and is migrated once more. */
#define TD_COUNT_RETURNS	4

/*
 * Wait between two of these, or a tick of the kernel may come into the same command of each,
 * as one takes as long as the other.
 */
void td_blackout_shift(int nr);
/*
 * Of two runs of the same commands, take the least of each: an interrupt, or pages that have
 * to be allocated in another way, add to one of them only.
 */
void td_blackout_take_least(struct td_blackout *b, const struct td_blackout *other);
u64 td_blackout_sum(const struct td_blackout *b, enum td_blackout_kind kind);
u64 td_blackout_length(const struct td_blackout *b, int nr_streams);

#endif /* SELFTEST_KVM_TDX_MIG_BLACKOUT_H */
