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
#include "mmu.h"
#include "tdx_mig.h"

/* Pages that the TDX module blocks in one go. */
#define TDX_MIG_BLOCK_MAX	(PAGE_SIZE / sizeof(u64))

static u64 tdx_mig_do_block(struct kvm *kvm, unsigned int nr)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 info = tdx_gpa_list_info(kvm_tdx->mig->block_list, nr);

	/* The leaf has no memory of its interruption, @info tells where to go on. */
	return tdx_mig_retry(kvm, tdh_do_no_vcpus(tdh_export_blockw, kvm, &kvm_tdx->td, &info));
}

/*
 * Keep those of the @nr entries in the list whose S-EPT entry was busy, and
 * return their number.  No other entry must have failed.
 */
static int tdx_mig_keep_busy(struct kvm *kvm, u64 *entries, unsigned int nr)
{
	unsigned int i, status, busy = 0;

	for (i = 0; i < nr; i++) {
		status = tdx_mig_gpa_status(entries[i]);
		if (status == TDX_MIG_GPA_STATUS_SUCCESS)
			continue;

		if (KVM_BUG_ON(status != TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY, kvm))
			return -EIO;

		entries[busy++] = tdx_mig_gpa_entry(gpa_to_gfn(entries[i] &
							       TDX_MIG_GPA_ENTRY_GPA_MASK),
						    TDX_MIG_GPA_OP_MIGRATE);
	}

	return busy;
}

/* Returns the number of entries that are left to do, because they are busy. */
static int tdx_mig_block_list(struct kvm *kvm, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(to_kvm_tdx(kvm)->mig->block_list);
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
 * Like for zaps, nothing but a vCPU can be in the way, which holds the lock of an
 * S-EPT entry while the guest accepts the page.  So the retry succeeds.
 */
static int tdx_mig_block(struct kvm *kvm, unsigned int nr)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	int busy;

	busy = tdx_mig_block_list(kvm, nr);
	if (unlikely(busy > 0)) {
		WRITE_ONCE(kvm_tdx->wait_for_sept_zap, true);
		kvm_make_all_cpus_request(kvm, KVM_REQ_OUTSIDE_GUEST_MODE);

		busy = tdx_mig_block_list(kvm, busy);

		WRITE_ONCE(kvm_tdx->wait_for_sept_zap, false);
	}

	return KVM_BUG_ON(busy, kvm) ? -EIO : 0;
}

enum kvm_external_wrprot_result tdx_mig_write_protect(struct kvm *kvm, const gfn_t *gfns,
						      unsigned int nr)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	u64 *entries = tdx_mig_page_entries(mig->block_list);
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

	if (KVM_BUG_ON(nr > TDX_MIG_BLOCK_MAX, kvm))
		return KVM_EXTERNAL_WRPROT_REFUSED;

	for (i = 0; i < nr; i++)
		entries[i] = tdx_mig_gpa_entry(gfns[i], TDX_MIG_GPA_OP_MIGRATE);

	/* Needed even if only a part of the pages gets blocked. */
	mig->track_needed = true;

	if (tdx_mig_block(kvm, nr))
		return KVM_EXTERNAL_WRPROT_REFUSED;

	return KVM_EXTERNAL_WRPROT_DONE;
}

/* End the use of all TLB entries that are older than the last blocked page. */
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
 * A vCPU writes to a blocked page, whose SPTE is frozen.  No TLB entry allows
 * more than the S-EPT entry does, so there is nothing to track.
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
 * Acquire mmu_lock for an export of memory, which fails on pages that are blocked
 * but not tracked.  Returns true if it is held for write, as @exclusive asks for
 * or as it takes to make up for the tracking.
 */
bool tdx_mig_lock_export(struct kvm *kvm, bool exclusive)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	if (!exclusive) {
		read_lock(&kvm->mmu_lock);
		if (likely(!mig->track_needed))
			return false;
		read_unlock(&kvm->mmu_lock);
	}

	write_lock(&kvm->mmu_lock);
	tdx_mig_track(kvm);

	return true;
}

void tdx_mig_unlock_export(struct kvm *kvm, bool exclusive)
{
	if (exclusive)
		write_unlock(&kvm->mmu_lock);
	else
		read_unlock(&kvm->mmu_lock);
}

/*
 * The TDX module has made pages writable whose entries in the list, from @first
 * to before @end, have the operation @op.
 */
void tdx_mig_unprotect(struct kvm *kvm, const u64 *entries, unsigned int first,
		       unsigned int end, unsigned int op)
{
	unsigned int i;

	lockdep_assert_held_write(&kvm->mmu_lock);

	for (i = first; i < end; i++) {
		if (tdx_mig_gpa_op(entries[i]) == op &&
		    tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SUCCESS)
			kvm_tdp_mmu_mirror_unprotect(kvm, gpa_to_gfn(entries[i] &
								     TDX_MIG_GPA_ENTRY_GPA_MASK));
	}
}

/*
 * A session has come to nothing.  Its dirty log is incomplete from the pause on,
 * and the next session has to start from scratch anyway.
 */
void tdx_mig_reset_dirty_log(struct kvm *kvm)
{
	guard(mutex)(&kvm->slots_lock);

	kvm_mmu_mark_private_dirty(kvm);
}
