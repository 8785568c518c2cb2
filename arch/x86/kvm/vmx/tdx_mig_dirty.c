// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the dirty log of private memory.
 *
 * While a session is live, the TDX module can block writes to a private page,
 * and exports only pages that are blocked.  KVM blocks pages when userspace
 * clears their dirty bits, or resets their entries in a dirty ring, and unblocks
 * a page when a vCPU writes to it, which makes it dirty again.  The W bit of the
 * SPTE in the mirror page table tells whether a page is blocked.
 *
 * Pages are blocked in batches, each within one hold of mmu_lock for write, and
 * unblocked one by one with mmu_lock held for read and the SPTE frozen.
 *
 * Blocking has an effect on a vCPU only after its TLB entries are gone.  The
 * TDX module tracks that for the TD as a whole, and does not export anything
 * between a page being blocked and the end of the tracking that follows.
 */
#include <kunit/visibility.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"

static u64 tdx_mig_do_block(struct kvm *kvm, unsigned int nr)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 info = tdx_gpa_list_info(kvm_tdx->mig->block_list, nr);
	struct tdx_mig_call call = { .kvm = kvm, .restarts = true };
	u64 err;

	do {
		err = tdh_do_no_vcpus(tdh_export_blockw, kvm, &kvm_tdx->td, &info);
	} while (tdx_mig_call_again(&call, err));

	return err;
}

/*
 * Keep those of the @nr entries in the list whose S-EPT entry was busy, and
 * return their number.  No other entry must have failed.
 */
VISIBLE_IF_KUNIT int tdx_mig_keep_busy(struct kvm *kvm, u64 *entries, unsigned int nr)
{
	unsigned int i, status, busy = 0;

	for (i = 0; i < nr; i++) {
		status = tdx_mig_gpa_status(entries[i]);
		if (status == TDX_MIG_GPA_STATUS_SUCCESS)
			continue;

		if (KVM_BUG_ON(status != TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY, kvm))
			return -EIO;

		entries[busy++] = tdx_mig_gpa_entry(tdx_mig_gpa_gfn(entries[i]),
						    TDX_MIG_GPA_OP_MIGRATE);
	}

	return busy;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_keep_busy);

/* Returns the number of entries that are left to do, because they are busy. */
static int tdx_mig_block_list(struct kvm *kvm, unsigned int nr)
{
	u64 *entries = page_address(to_kvm_tdx(kvm)->mig->block_list);
	int busy;
	u64 err;

	err = tdx_mig_do_block(kvm, nr);
	if (tdx_mig_status(err) && TDX_BUG_ON(err, TDH_EXPORT_BLOCKW, kvm))
		return -EIO;

	busy = tdx_mig_keep_busy(kvm, entries, nr);
	if (busy >= 0)
		tdx_mig_account_block(kvm, nr, busy);

	return busy;
}

/*
 * As for zaps, only a vCPU can be in the way: it holds the lock of an S-EPT entry while
 * the guest accepts the page.  With the vCPUs kept out, the retry succeeds.
 */
static int tdx_mig_block(struct kvm *kvm, unsigned int nr)
{
	bool kept_out;
	int busy;

	busy = tdx_mig_block_list(kvm, nr);
	if (unlikely(busy > 0)) {
		kept_out = tdx_keep_vcpus_out(kvm);
		busy = tdx_mig_block_list(kvm, busy);
		if (kept_out)
			tdx_let_vcpus_in(kvm);
	}

	return KVM_BUG_ON(busy, kvm) ? -EIO : 0;
}

enum kvm_external_wrprot_result tdx_mig_write_protect(struct kvm *kvm, const gfn_t *gfns,
						      unsigned int nr)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	u64 *entries = page_address(mig->block_list);
	unsigned int i;

	lockdep_assert_held_write(&kvm->mmu_lock);

	switch (mig->phase) {
	case TDX_MIG_LIVE_EXPORT:
		break;
	case TDX_MIG_PAUSED_EXPORT:
	case TDX_MIG_POST_EXPORT:
	case TDX_MIG_EXPORT_LOST:
		/* vCPUs run again only after an abort, see tdx_mig_reset_dirty_log(). */
		return KVM_EXTERNAL_WRPROT_NOT_NEEDED;
	default:
		return KVM_EXTERNAL_WRPROT_REFUSED;
	}

	if (KVM_BUG_ON(nr > TDX_MIG_GPA_LIST_MAX, kvm))
		return KVM_EXTERNAL_WRPROT_REFUSED;

	for (i = 0; i < nr; i++)
		entries[i] = tdx_mig_gpa_entry(gfns[i], TDX_MIG_GPA_OP_MIGRATE);

	/* Some of the pages may be blocked even if the call fails. */
	mig->track_needed = true;

	if (tdx_mig_block(kvm, nr))
		return KVM_EXTERNAL_WRPROT_REFUSED;

	return KVM_EXTERNAL_WRPROT_DONE;
}

/* Get rid of all TLB entries that still allow writes to blocked pages. */
void tdx_mig_track(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (!mig->track_needed)
		return;

	tdx_track(kvm);
	mig->track_needed = false;
}

/*
 * Unblock a page that a vCPU writes to; its SPTE is frozen.  The S-EPT entry allows
 * more than before, so there is no TLB entry to get rid of.
 */
int tdx_mig_unblock(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 err, entry, level_state;

	lockdep_assert_held_read(&kvm->mmu_lock);

	err = tdh_export_unblockw(&kvm_tdx->td, gfn_to_gpa(gfn), &entry, &level_state);
	if (unlikely(tdx_operand_busy(err)))
		return -EBUSY;

	if (TDX_BUG_ON_2(err, TDH_EXPORT_UNBLOCKW, entry, level_state, kvm))
		return -EIO;

	tdx_mig_account_unblock(kvm, gfn);

	return 0;
}

/*
 * A session was aborted.  Its dirty log is incomplete from the pause on, and the next
 * session starts from scratch anyway.
 */
void tdx_mig_reset_dirty_log(struct kvm *kvm)
{
	guard(mutex)(&kvm->slots_lock);

	kvm_mmu_mark_private_dirty(kvm);
}
