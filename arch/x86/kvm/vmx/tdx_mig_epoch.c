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
 * them, and cannot become shared.  S-EPT entries tell, but only to the TDX module.  An
 * SPTE could, but that would take a walk and an atomic update for each page that is
 * sent, as vCPUs fault on it at the same time.  So keep another bit beside that for
 * the epoch.
 */
#include <kunit/visibility.h>
#include <linux/bitmap.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"

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

static struct tdx_mig_sent *tdx_mig_add_sent(struct tdx_mig *mig, gfn_t gfn)
{
	struct tdx_mig_sent *sent, *old;

	sent = kzalloc_obj(*sent, GFP_KERNEL_ACCOUNT);
	if (!sent)
		return ERR_PTR(-ENOMEM);

	old = xa_cmpxchg(&mig->sent, gfn / TDX_MIG_SENT_GFNS, NULL, sent, GFP_KERNEL_ACCOUNT);
	if (!old)
		return sent;

	kfree(sent);

	/* Another stream was faster, unless there is no memory for the xarray. */
	return xa_is_err(old) ? ERR_PTR(xa_err(old)) : old;
}

/*
 * The bits for @gfn, or NULL if it is in no slot.  That bounds what userspace can have
 * allocated.
 */
static struct tdx_mig_sent *tdx_mig_get_sent(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct kvm_memory_slot *slot;
	struct tdx_mig_sent *sent;

	sent = tdx_mig_find_sent(mig, gfn);
	if (likely(sent))
		return sent;

	slot = gfn_to_memslot(kvm, gfn);
	if (!slot || !kvm_slot_has_gmem(slot))
		return NULL;

	return tdx_mig_add_sent(mig, gfn);
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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_begin_epoch);

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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_forget_sent);

/* Is any page from @start to before @end exported? */
bool tdx_mig_is_range_exported(struct tdx_mig *mig, gfn_t start, gfn_t end)
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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_is_range_exported);

/*
 * Claim the page of an entry for this stream and this epoch.  Returns false if it must
 * not be exported: it is claimed or sent already, or is in no slot.
 */
static bool tdx_mig_claim_entry(struct tdx_mig_stream *stream, unsigned int nr, gfn_t gfn,
				struct tdx_mig_sent *sent)
{
	if (!sent)
		return false;

	/* After the start token, there is one version of a page, for ever. */
	if (READ_ONCE(to_kvm_tdx(stream->kvm)->mig->phase) == TDX_MIG_POST_EXPORT)
		return true;

	if (test_and_set_bit(gfn % TDX_MIG_SENT_GFNS, sent->in_epoch))
		return false;

	__set_bit(nr, stream->claimed);
	return true;
}

static void tdx_mig_unclaim_entry(struct tdx_mig_stream *stream, unsigned int nr, gfn_t gfn)
{
	struct tdx_mig_sent *sent;

	if (!__test_and_clear_bit(nr, stream->claimed))
		return;

	sent = tdx_mig_find_sent(to_kvm_tdx(stream->kvm)->mig, gfn);
	clear_bit(gfn % TDX_MIG_SENT_GFNS, sent->in_epoch);
}

/* None of the first @nr entries was exported. */
void tdx_mig_unclaim_entries(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = stream->entries;
	unsigned int i;

	for (i = 0; i < nr; i++)
		tdx_mig_unclaim_entry(stream, i, tdx_mig_gpa_gfn(entries[i]));
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_unclaim_entries);

/*
 * Claim the pages in the list for this stream and this epoch.  Entries of pages that
 * must not be exported become NOPs.
 */
int tdx_mig_claim_entries(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = stream->entries;
	struct tdx_mig_sent *sent;
	unsigned int i, op;
	gfn_t gfn;

	lockdep_assert_held(&stream->lock);
	lockdep_assert(srcu_read_lock_held(&stream->kvm->srcu));

	bitmap_zero(stream->wanted, nr);
	bitmap_zero(stream->canceled, nr);
	bitmap_zero(stream->claimed, nr);

	for (i = 0; i < nr; i++) {
		op = tdx_mig_gpa_op(entries[i]);
		if (op == TDX_MIG_GPA_OP_NOP)
			continue;

		gfn = tdx_mig_gpa_gfn(entries[i]);
		sent = tdx_mig_get_sent(stream->kvm, gfn);
		if (IS_ERR(sent)) {
			tdx_mig_unclaim_entries(stream, i);
			return PTR_ERR(sent);
		}

		__set_bit(i, stream->wanted);
		if (op == TDX_MIG_GPA_OP_CANCEL)
			__set_bit(i, stream->canceled);

		if (!tdx_mig_claim_entry(stream, i, gfn, sent))
			entries[i] = tdx_mig_gpa_entry(gfn, TDX_MIG_GPA_OP_NOP);
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_claim_entries);

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

	kvm_tdp_mmu_mirror_mark_dirty(kvm, tdx_mig_gpa_gfn(entry), refused);
}

static void tdx_mig_mark_exported(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig_sent *sent = tdx_mig_find_sent(to_kvm_tdx(kvm)->mig, gfn);

	set_bit(gfn % TDX_MIG_SENT_GFNS, sent->exported);
}

/* Exported pages are write-blocked, those whose export is revoked are not. */
static void tdx_mig_mark_revoked(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig_sent *sent = tdx_mig_find_sent(to_kvm_tdx(kvm)->mig, gfn);

	lockdep_assert_held_write(&kvm->mmu_lock);

	clear_bit(gfn % TDX_MIG_SENT_GFNS, sent->exported);
	kvm_tdp_mmu_mirror_unprotect(kvm, gfn);
}

/*
 * The TDX module has processed the entries from @first to before @end.  Returns
 * the number of those that userspace wanted to be exported, or canceled, but which
 * were not.
 */
unsigned int tdx_mig_settle_entries(struct tdx_mig_stream *stream, unsigned int first,
				    unsigned int end)
{
	u64 *entries = stream->entries;
	unsigned int i, unsent = 0;
	bool canceled;
	gfn_t gfn;

	lockdep_assert_held(&stream->kvm->mmu_lock);

	for (i = first; i < end; i++) {
		if (!test_bit(i, stream->wanted))
			continue;

		gfn = tdx_mig_gpa_gfn(entries[i]);
		canceled = test_bit(i, stream->canceled);

		if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_NOP) {
			unsent++;
			tdx_mig_unclaim_entry(stream, i, gfn);
			if (!canceled)
				tdx_mig_mark_unsent(stream->kvm, entries[i]);
		} else if (canceled) {
			tdx_mig_mark_revoked(stream->kvm, gfn);
		} else {
			tdx_mig_mark_exported(stream->kvm, gfn);
		}
	}

	return unsent;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_settle_entries);
