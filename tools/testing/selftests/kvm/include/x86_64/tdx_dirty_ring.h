/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TDs with dirty rings in KVM selftests.
 */
#ifndef SELFTEST_KVM_TDX_DIRTY_RING_H
#define SELFTEST_KVM_TDX_DIRTY_RING_H

#include "kvm_util.h"

/*
 * A TD that can be migrated, like one of __td_create() with a single vCPU, whose
 * writes are logged in a ring, and all others in a bitmap.
 */
struct kvm_vm *td_create_with_ring(u32 nr_entries, void *guest_code, struct kvm_vcpu **vcpu);

/* What userspace has to keep for the ring of a vCPU. */
struct td_ring {
	struct kvm_vcpu *vcpu;
	/* The only slot that is logged. */
	u32 slot;
	u64 nr_pages;
	u32 next;
};

/*
 * Take all entries, add them to @bitmap and leave them to be reset.  Returns their
 * number.
 */
u32 td_ring_harvest(struct td_ring *r, unsigned long *bitmap);

#endif /* SELFTEST_KVM_TDX_DIRTY_RING_H */
