/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: what the files of the KUnit tests share.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_KUNIT_H
#define __KVM_X86_VMX_TDX_MIG_KUNIT_H

#include <kunit/test.h>

#include "tdx_mig_internal.h"

/* GFNs of the only memslot of a fake TD, and how many of them there are. */
#define FAKE_TD_GFN		0x100000
#define FAKE_TD_PAGES		0x20000

/* GPAs have 48 bits, of which the uppermost one is SHARED. */
#define FAKE_TD_SHARED		BIT_ULL(47)

/*
 * As much of a TD as code looks at that calls neither the TDX module nor the MMU:
 * a memslot that has a guest_memfd, locks, a session, and no page tables.
 */
struct fake_td {
	struct kvm_tdx kvm_tdx;
	struct kvm_memslots slots;
	struct kvm_memory_slot slot;
	struct tdx_mig mig;
};

struct fake_td *fake_td_create(struct kunit *test);

/* A stream of the TD that has its lock and its pages. */
struct tdx_mig_stream *fake_stream_create(struct kunit *test, struct fake_td *td,
					  u16 index, unsigned int nr_bufs);

#endif /* __KVM_X86_VMX_TDX_MIG_KUNIT_H */
