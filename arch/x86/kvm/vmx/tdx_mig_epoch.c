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

/* GFNs that share a chunk: a bitmap is a page. */
#define TDX_MIG_SENT_GFNS	(PAGE_SIZE * BITS_PER_BYTE)

/* Which pages of a chunk of GFNs were sent.  Streams change bits at the same time. */
struct tdx_mig_sent {
	/*
	 * Claimed by a stream, or sent, in epoch @epoch, and none in any other.  Not
	 * cleared before the chunk is looked up in another epoch, so that an epoch
	 * ends at once, however large the TD is.
	 */
	unsigned long *in_epoch;
	u64 epoch;

	/* Exported.  Changed with mmu_lock held, at once with the TDX module. */
	unsigned long *exported;
};

static void tdx_mig_free_sent(struct tdx_mig_sent *sent)
{
	bitmap_free(sent->in_epoch);
	bitmap_free(sent->exported);
	kfree(sent);
}

static struct tdx_mig_sent *tdx_mig_alloc_sent(u64 epoch)
{
	struct tdx_mig_sent *sent;

	sent = kzalloc_obj(*sent, GFP_KERNEL_ACCOUNT);
	if (!sent)
		return NULL;

	sent->epoch = epoch;
	sent->in_epoch = bitmap_zalloc(TDX_MIG_SENT_GFNS, GFP_KERNEL_ACCOUNT);
	sent->exported = bitmap_zalloc(TDX_MIG_SENT_GFNS, GFP_KERNEL_ACCOUNT);
	if (!sent->in_epoch || !sent->exported) {
		tdx_mig_free_sent(sent);
		return NULL;
	}

	return sent;
}

/* Forget the claims of an earlier epoch. */
static void tdx_mig_renew_sent(struct tdx_mig *mig, struct tdx_mig_sent *sent)
{
	/* Pairs with the release below: the bits that are set now are of this epoch. */
	if (smp_load_acquire(&sent->epoch) == mig->epoch)
		return;

	/* Other streams may be about to do the same, and then claim pages. */
	xa_lock(&mig->sent);
	if (sent->epoch != mig->epoch) {
		bitmap_zero(sent->in_epoch, TDX_MIG_SENT_GFNS);
		/* Pairs with the acquire above. */
		smp_store_release(&sent->epoch, mig->epoch);
	}
	xa_unlock(&mig->sent);
}

static struct tdx_mig_sent *tdx_mig_load_sent(struct tdx_mig_stream *stream,
					      unsigned long index)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;

	stream->sent_index = index;
	stream->sent = xa_load(&mig->sent, index);
	if (stream->sent)
		tdx_mig_renew_sent(mig, stream->sent);

	return stream->sent;
}

/*
 * The chunk of @gfn, with the claims of this epoch, or NULL.  Most GFNs share it with
 * the one before.
 */
static struct tdx_mig_sent *tdx_mig_find_sent(struct tdx_mig_stream *stream, gfn_t gfn)
{
	unsigned long index = gfn / TDX_MIG_SENT_GFNS;

	if (likely(index == stream->sent_index))
		return stream->sent;

	return tdx_mig_load_sent(stream, index);
}

static struct tdx_mig_sent *tdx_mig_add_sent(struct tdx_mig_stream *stream, gfn_t gfn)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	struct tdx_mig_sent *sent, *old;

	sent = tdx_mig_alloc_sent(mig->epoch);
	if (!sent)
		return ERR_PTR(-ENOMEM);

	old = xa_cmpxchg(&mig->sent, gfn / TDX_MIG_SENT_GFNS, NULL, sent, GFP_KERNEL_ACCOUNT);
	if (old)
		tdx_mig_free_sent(sent);
	if (xa_is_err(old))
		return ERR_PTR(xa_err(old));

	/* Another stream may have been faster. */
	stream->sent = old ?: sent;

	return stream->sent;
}

/*
 * The chunk of @gfn, or NULL if that is in no slot.  So userspace cannot have chunks
 * allocated for GFNs that never had a slot; its memory cgroup pays for the others.
 */
static struct tdx_mig_sent *tdx_mig_get_sent(struct tdx_mig_stream *stream, gfn_t gfn)
{
	struct kvm_memory_slot *slot;
	struct tdx_mig_sent *sent;

	sent = tdx_mig_find_sent(stream, gfn);
	if (likely(sent))
		return sent;

	slot = gfn_to_memslot(stream->kvm, gfn);
	if (!slot || !kvm_slot_has_gmem(slot))
		return NULL;

	return tdx_mig_add_sent(stream, gfn);
}

/* No page has been sent in this epoch. */
void tdx_mig_begin_epoch(struct tdx_mig *mig)
{
	lockdep_assert_held_write(&mig->session_sem);

	mig->epoch++;
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
		tdx_mig_free_sent(sent);
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
	if (!sent || test_and_set_bit(gfn % TDX_MIG_SENT_GFNS, sent->in_epoch))
		return false;

	__set_bit(nr, stream->claimed);
	return true;
}

static void tdx_mig_unclaim_entry(struct tdx_mig_stream *stream, unsigned int nr, gfn_t gfn)
{
	if (__test_and_clear_bit(nr, stream->claimed))
		clear_bit(gfn % TDX_MIG_SENT_GFNS, tdx_mig_find_sent(stream, gfn)->in_epoch);
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
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	/* After the start token, there is one version of a page, for ever. */
	const bool post_copy = READ_ONCE(mig->phase) == TDX_MIG_POST_EXPORT;
	u64 *entries = stream->entries;
	struct tdx_mig_sent *sent;
	unsigned int i, op;
	gfn_t gfn;

	lockdep_assert_held(&stream->lock);
	lockdep_assert_held(&mig->session_sem);
	lockdep_assert(srcu_read_lock_held(&stream->kvm->srcu));

	/* What was found by the last command may be freed. */
	stream->sent_index = ULONG_MAX;

	bitmap_zero(stream->wanted, nr);
	bitmap_zero(stream->canceled, nr);
	bitmap_zero(stream->claimed, nr);

	for (i = 0; i < nr; i++) {
		op = tdx_mig_gpa_op(entries[i]);
		if (op == TDX_MIG_GPA_OP_NOP)
			continue;

		gfn = tdx_mig_gpa_gfn(entries[i]);
		sent = tdx_mig_get_sent(stream, gfn);
		if (IS_ERR(sent)) {
			tdx_mig_unclaim_entries(stream, i);
			return PTR_ERR(sent);
		}

		__set_bit(i, stream->wanted);
		if (op == TDX_MIG_GPA_OP_CANCEL)
			__set_bit(i, stream->canceled);

		if (post_copy ? !sent : !tdx_mig_claim_entry(stream, i, gfn, sent))
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

/* Exported pages are write-blocked, those whose export is revoked are not. */
static void tdx_mig_mark_revoked(struct kvm *kvm, gfn_t gfn, struct tdx_mig_sent *sent)
{
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
	struct tdx_mig_sent *sent;
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
			continue;
		}

		sent = tdx_mig_find_sent(stream, gfn);
		if (canceled)
			tdx_mig_mark_revoked(stream->kvm, gfn, sent);
		else
			set_bit(gfn % TDX_MIG_SENT_GFNS, sent->exported);
	}

	return unsent;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_settle_entries);
