/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live migration of TDs in KVM selftests between two VMMs, each a process of its own
 * with a migration TD of its own.
 *
 * A third process, the test, traces both and has them do the parts of a migration one by
 * one.  While one side is at work, the main thread of the other one is stopped; its vCPUs
 * may run.
 */
#ifndef SELFTEST_KVM_TDX_MIG_VMMS_H
#define SELFTEST_KVM_TDX_MIG_VMMS_H

#include "kvm_util.h"
#include "tdx_mig_util.h"
#include "tdx_tracer.h"
#include "tdx_worker.h"

enum td_side {
	TD_SRC,
	TD_DST,
	TD_NR_SIDES,
};

struct td_vmm_part {
	enum td_side side;
	void (*run)(void);
	/* The SEAMCALL leaf that it is about, if any. */
	unsigned int leaf;
	/* It is none of the migration itself, e.g. the guest runs. */
	bool is_quiet;
	/* There is no way back any more. */
	bool is_commit;
};

/* A migration, in the order of its parts.  Lists end with a part that does nothing. */
extern const struct td_vmm_part td_vmm_migration[];
/* What may come in the place of the commit and the rest: the source goes on. */
extern const struct td_vmm_part td_vmm_abort[];
/*
 * The other side is gone: commands fail as documented, and what can be saved is saved.
 * The source is as it was then, or is_source_lost says that it cannot run any more.
 */
extern const struct td_vmm_part td_vmm_survive[TD_NR_SIDES];
/* At the end of a migration: the TD has all its memory at the destination. */
extern const struct td_vmm_part td_vmm_check;

#define TD_VMM_ARENA_SIZE	(32UL << 20)

/* What the processes share. */
struct td_vmm_wire {
	/* The source may begin, as it is traced. */
	bool is_traced;
	/* vCPU 1 runs whenever it can, last on this side. */
	bool is_running;
	enum td_side runner;
	/* What comes next. */
	const struct td_vmm_part *part;
	/* The TD is at the destination, or nowhere. */
	bool is_source_lost;
	/* On either side: how often the guest has gone round its loop on vCPU 1. */
	const u64 *progress;

	/* Of the key exchange. */
	u64 request_id;
	struct td_migtd_message messages[TD_NR_SIDES];
	struct td_mig_vcpu_state vcpu_states[TD_WORKER_MAX_VCPUS];
	struct td_mig_bundle bundles[TD_MIG_MAX_BUNDLES];
	int nr_bundles;
	struct tdx_mig_mbmd abort_token;
	/* The content of the bundles, at the same address everywhere. */
	size_t arena_used;
	u8 arena[TD_VMM_ARENA_SIZE];
};

struct td_vmms {
	struct td_tracee sides[TD_NR_SIDES];
	struct td_vmm_wire *wire;
};

/* One that can be used again and again. */
void td_vmms_init(struct td_vmms *v);
/* Start the source and have it create a TD. */
void td_vmms_start(struct td_vmms *v, bool is_running);
/* Let a side begin with a part, in which it stops at system calls. */
void td_vmms_begin(struct td_vmms *v, const struct td_vmm_part *part);
/* Have a side do all of a part. */
void td_vmms_do(struct td_vmms *v, const struct td_vmm_part *part);
/* Have a side end by itself, with all that it has open. */
void td_vmms_end(struct td_vmms *v, enum td_side side);

#endif /* SELFTEST_KVM_TDX_MIG_VMMS_H */
