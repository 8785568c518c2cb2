// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: which pages have been sent in the current
 * migration epoch, and what becomes of those that could not be sent.
 *
 * An epoch ends with a token.  The destination accepts one version of a page per
 * epoch and ends the session when there is a second one, but the TDX module of
 * the source exports as many as it is asked for.  So KVM remembers the GFNs of an
 * epoch, and turns the entries that name one of them once more into NOPs, before
 * the TDX module gets to see the list.  That holds for CANCEL as well, which the
 * destination takes for a version.
 *
 * Userspace has cleared the dirty bit of a page before it asks for the export.  A
 * page that is not exported, for this reason or any other, gets the bit back, so
 * that it is sent in a later round even if userspace looks at nothing else.
 */
#include <linux/bitmap.h>

#include "tdx_mig.h"

/* GFNs in a page of mig->sent. */
#define TDX_MIG_SENT_GFNS	(PAGE_SIZE * BITS_PER_BYTE)

static unsigned long *tdx_mig_find_sent(struct tdx_mig *mig, gfn_t gfn)
{
	struct page *page = xa_load(&mig->sent, gfn / TDX_MIG_SENT_GFNS);

	return page ? page_address(page) : NULL;
}

/* The bits for @gfn.  Memory that is in no slot has none, and cannot be exported. */
static int tdx_mig_add_sent(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct kvm_memory_slot *slot;
	struct page *page;
	int r;

	if (tdx_mig_find_sent(mig, gfn))
		return 0;

	slot = gfn_to_memslot(kvm, gfn);
	if (!slot || !kvm_slot_has_gmem(slot))
		return 0;

	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return -ENOMEM;

	r = xa_insert(&mig->sent, gfn / TDX_MIG_SENT_GFNS, page, GFP_KERNEL_ACCOUNT);
	if (r)
		__free_page(page);

	/* Another stream was faster. */
	return r == -EBUSY ? 0 : r;
}

/* No page has been sent in this epoch. */
void tdx_mig_begin_epoch(struct tdx_mig *mig)
{
	unsigned long index;
	struct page *page;

	lockdep_assert_held_write(&mig->session_sem);

	xa_for_each(&mig->sent, index, page) {
		xa_erase(&mig->sent, index);
		__free_page(page);
		cond_resched();
	}
}

static bool tdx_mig_claim_entry(struct tdx_mig_stream *stream, unsigned int nr, u64 *entry)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	gfn_t gfn = tdx_mig_entry_gfn(*entry);
	unsigned long *sent = tdx_mig_find_sent(mig, gfn);

	if (!sent)
		return true;

	if (test_and_set_bit(gfn % TDX_MIG_SENT_GFNS, sent))
		return false;

	__set_bit(nr, stream->claimed);
	return true;
}

/*
 * Claim the pages in the list for this stream and this epoch.  Those that are
 * claimed or sent already become NOPs.
 */
int tdx_mig_claim_entries(struct tdx_mig_stream *stream, unsigned int nr)
{
	/* After the start token, there is one version of a page, for ever. */
	bool once = READ_ONCE(to_kvm_tdx(stream->kvm)->mig->phase) != TDX_MIG_POST_EXPORT;
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i;
	int r;

	lockdep_assert_held(&stream->lock);
	lockdep_assert(srcu_read_lock_held(&stream->kvm->srcu));

	bitmap_zero(stream->wanted, nr);
	bitmap_zero(stream->canceled, nr);
	bitmap_zero(stream->claimed, nr);

	for (i = 0; once && i < nr; i++) {
		r = tdx_mig_add_sent(stream->kvm, tdx_mig_entry_gfn(entries[i]));
		if (r)
			return r;
	}

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_NOP)
			continue;

		__set_bit(i, stream->wanted);
		if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_CANCEL)
			__set_bit(i, stream->canceled);

		if (once && !tdx_mig_claim_entry(stream, i, &entries[i]))
			entries[i] = tdx_mig_gpa_entry(tdx_mig_entry_gfn(entries[i]),
						       TDX_MIG_GPA_OP_NOP);
	}

	return 0;
}

static void tdx_mig_unclaim_entry(struct tdx_mig_stream *stream, unsigned int nr, gfn_t gfn)
{
	unsigned long *sent;

	if (!__test_and_clear_bit(nr, stream->claimed))
		return;

	sent = tdx_mig_find_sent(to_kvm_tdx(stream->kvm)->mig, gfn);
	clear_bit(gfn % TDX_MIG_SENT_GFNS, sent);
}

/* Nothing has come of the export. */
void tdx_mig_unclaim_entries(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i;

	for (i = 0; i < nr; i++)
		tdx_mig_unclaim_entry(stream, i, tdx_mig_entry_gfn(entries[i]));
}

/*
 * A page was not exported.  Don't mark it dirty if the destination has what is in
 * it: while the TD runs, the TDX module takes all pages that are write-blocked but
 * those, and in the pause all pages but those.
 */
static void tdx_mig_mark_unsent(struct kvm *kvm, u64 entry)
{
	bool refused = tdx_mig_gpa_status(entry) == TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT;

	if (refused && to_kvm_tdx(kvm)->mig->phase != TDX_MIG_LIVE_EXPORT)
		return;

	kvm_tdp_mmu_mirror_mark_dirty(kvm, tdx_mig_entry_gfn(entry), refused);
}

/*
 * The TDX module has processed the entries from @first to before @end.  Returns
 * the number of those that userspace wanted to be exported, or canceled, but which
 * were not.
 */
unsigned int tdx_mig_settle_entries(struct tdx_mig_stream *stream, unsigned int first,
				    unsigned int end)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i, unsent = 0;

	lockdep_assert_held(&stream->kvm->mmu_lock);

	for (i = first; i < end; i++) {
		if (!test_bit(i, stream->wanted) ||
		    tdx_mig_gpa_op(entries[i]) != TDX_MIG_GPA_OP_NOP)
			continue;

		unsent++;
		tdx_mig_unclaim_entry(stream, i, tdx_mig_entry_gfn(entries[i]));
		if (!test_bit(i, stream->canceled))
			tdx_mig_mark_unsent(stream->kvm, entries[i]);
	}

	return unsent;
}
