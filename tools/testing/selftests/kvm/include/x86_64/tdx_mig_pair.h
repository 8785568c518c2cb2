/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TD that is going to be migrated and the destination that waits for it, with
 * migration TDs that the test chooses, for tests of what the two sides agree on.
 */
#ifndef SELFTEST_KVM_TDX_MIG_PAIR_H
#define SELFTEST_KVM_TDX_MIG_PAIR_H

#include "kvm_util.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"

struct td_pair {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct td_mig_dest d;
	struct td_migtd *src_migtd, *dst_migtd;
	/* The two bindings, as they were made. */
	struct td_servtd_binding src, dst;
};

/*
 * A source that is bound, was launched and has run to its first sync, of four, and
 * a destination that is bound.  No keys yet.
 */
void td_pair_create(struct td_pair *p, struct td_migtd *src_migtd, struct td_migtd *dst_migtd);
/* May be called again. */
void td_pair_free(struct td_pair *p);

/* Parts of the above: what follows the binding of the source, and the destination. */
void td_pair_launch(struct td_pair *p);
void td_pair_add_dest(struct td_pair *p, struct td_migtd *dst_migtd, u64 attributes);
/* A source that nobody is bound to, before its launch. */
void td_pair_create_unbound(struct td_pair *p);

/* Let the migration TDs exchange the keys of this pair. */
void td_pair_exchange(struct td_pair *p);
/* The whole migration, and the rest of the guest at the destination. */
void td_pair_migrate(struct td_pair *p);

/* Run over all syncs to the end. */
void td_pair_run_to_done(struct kvm_vcpu *vcpu);

#endif /* SELFTEST_KVM_TDX_MIG_PAIR_H */
