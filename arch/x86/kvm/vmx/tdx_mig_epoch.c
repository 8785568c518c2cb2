// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: which pages have been sent in the current
 * migration epoch, and in the session, and what becomes of those that could not be
 * sent.
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
 *
 * Pages that have been sent are exported until the session ends or CANCEL revokes
 * them, and cannot become shared.  The TDX module has it in each S-EPT entry, but
 * takes a SEAMCALL to tell.  To have it in the SPTE would take a walk and an atomic
 * update, against vCPUs that fault on the page, for each page that is sent.  So it
 * is another bit beside that for the epoch.
 */
#include <linux/bitmap.h>

#include "tdx_mig.h"

/* GFNs in a page: with two bitmaps. */
#define TDX_MIG_SENT_GFNS	(PAGE_SIZE * BITS_PER_BYTE / 2)

struct tdx_mig_sent {
	/* Claimed by a stream, or sent, in this epoch. */
	DECLARE_BITMAP(in_epoch, TDX_MIG_SENT_GFNS);

	/* Exported.  Changed with mmu_lock held, at once with the TDX module. */
	DECLARE_BITMAP(exported, TDX_MIG_SENT_GFNS);
};

static_assert(sizeof(struct tdx_mig_sent) == PAGE_SIZE);

static struct tdx_mig_sent *tdx_mig_find_sent(struct tdx_mig *mig, gfn_t gfn)
{
	return xa_load(&mig->sent, gfn / TDX_MIG_SENT_GFNS);
}

/* The bits for @gfn.  Memory that is in no slot has none, and cannot be exported. */
static int tdx_mig_add_sent(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct kvm_memory_slot *slot;
	struct tdx_mig_sent *sent;
	int r;

	if (tdx_mig_find_sent(mig, gfn))
		return 0;

	slot = gfn_to_memslot(kvm, gfn);
	if (!slot || !kvm_slot_has_gmem(slot))
		return 0;

	sent = kzalloc_obj(*sent, GFP_KERNEL_ACCOUNT);
	if (!sent)
		return -ENOMEM;

	r = xa_insert(&mig->sent, gfn / TDX_MIG_SENT_GFNS, sent, GFP_KERNEL_ACCOUNT);
	if (r)
		kfree(sent);

	/* Another stream was faster. */
	return r == -EBUSY ? 0 : r;
}

/* No page has been sent in this epoch. */
void tdx_mig_begin_epoch(struct tdx_mig *mig)
{
	struct tdx_mig_sent *sent;
	unsigned long index;

	lockdep_assert_held_write(&mig->session_sem);

	xa_for_each(&mig->sent, index, sent) {
		bitmap_zero(sent->in_epoch, TDX_MIG_SENT_GFNS);
		cond_resched();
	}
}

/* No page has been sent at all. */
void tdx_mig_forget_sent(struct tdx_mig *mig)
{
	struct tdx_mig_sent *sent;
	unsigned long index;

	lockdep_assert_held_write(&mig->session_sem);

	guard(rwsem_write)(&mig->convert_sem);

	xa_for_each(&mig->sent, index, sent) {
		xa_erase(&mig->sent, index);
		kfree(sent);
		cond_resched();
	}
}

static bool tdx_mig_is_range_exported(struct tdx_mig *mig, gfn_t start, gfn_t end)
{
	const unsigned long last = (end - 1) / TDX_MIG_SENT_GFNS;
	unsigned long index, first_bit, end_bit;
	struct tdx_mig_sent *sent;

	lockdep_assert_held_write(&mig->convert_sem);

	switch (READ_ONCE(mig->phase)) {
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_PAUSED_EXPORT:
	case TDX_MIG_POST_EXPORT:
		break;
	default:
		return false;
	}

	xa_for_each_range(&mig->sent, index, sent, start / TDX_MIG_SENT_GFNS, last) {
		first_bit = index == start / TDX_MIG_SENT_GFNS ? start % TDX_MIG_SENT_GFNS : 0;
		end_bit = index == last ? (end - 1) % TDX_MIG_SENT_GFNS + 1 : TDX_MIG_SENT_GFNS;
		if (find_next_bit(sent->exported, end_bit, first_bit) < end_bit)
			return true;
		cond_resched();
	}

	return false;
}

/*
 * To make exported memory shared is to remove it, which the session would not
 * survive; refuse that.  Otherwise no page of the range becomes exported until
 * tdx_mig_end_conversion().  Userspace can revoke the export with CANCEL, or give
 * up the session.
 */
int tdx_mig_begin_conversion(struct kvm *kvm, gfn_t start, gfn_t end,
			     unsigned long attributes)
{
	struct tdx_mig *mig;
	int r;

	if (!is_td(kvm))
		return 0;

	mig = to_kvm_tdx(kvm)->mig;
	if (!mig)
		return 0;

	r = down_write_killable(&mig->convert_sem);
	if (r)
		return r;

	if (!(attributes & KVM_MEMORY_ATTRIBUTE_PRIVATE) &&
	    tdx_mig_is_range_exported(mig, start, end)) {
		up_write(&mig->convert_sem);
		return -EBUSY;
	}

	return 0;
}

void tdx_mig_end_conversion(struct kvm *kvm)
{
	if (is_td(kvm) && to_kvm_tdx(kvm)->mig)
		up_write(&to_kvm_tdx(kvm)->mig->convert_sem);
}

static bool tdx_mig_claim_entry(struct tdx_mig_stream *stream, unsigned int nr, u64 *entry)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	gfn_t gfn = tdx_mig_entry_gfn(*entry);
	struct tdx_mig_sent *sent = tdx_mig_find_sent(mig, gfn);

	if (!sent)
		return true;

	if (test_and_set_bit(gfn % TDX_MIG_SENT_GFNS, sent->in_epoch))
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

	for (i = 0; i < nr; i++) {
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
	struct tdx_mig_sent *sent;

	if (!__test_and_clear_bit(nr, stream->claimed))
		return;

	sent = tdx_mig_find_sent(to_kvm_tdx(stream->kvm)->mig, gfn);
	clear_bit(gfn % TDX_MIG_SENT_GFNS, sent->in_epoch);
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

/* The export of a page, or that of its cancellation, has succeeded. */
static void tdx_mig_mark_sent(struct kvm *kvm, gfn_t gfn, bool canceled)
{
	struct tdx_mig_sent *sent = tdx_mig_find_sent(to_kvm_tdx(kvm)->mig, gfn);

	/* A page that found its slot only after its entry was looked at. */
	if (unlikely(!sent))
		return;

	if (canceled)
		clear_bit(gfn % TDX_MIG_SENT_GFNS, sent->exported);
	else
		set_bit(gfn % TDX_MIG_SENT_GFNS, sent->exported);
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
		if (!test_bit(i, stream->wanted))
			continue;

		if (tdx_mig_gpa_op(entries[i]) != TDX_MIG_GPA_OP_NOP) {
			tdx_mig_mark_sent(stream->kvm, tdx_mig_entry_gfn(entries[i]),
					  test_bit(i, stream->canceled));
			continue;
		}

		unsent++;
		tdx_mig_unclaim_entry(stream, i, tdx_mig_entry_gfn(entries[i]));
		if (!test_bit(i, stream->canceled))
			tdx_mig_mark_unsent(stream->kvm, entries[i]);
	}

	return unsent;
}
