// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: removal of private pages that are exported or imported.
 */
#include "tdx_mig_internal.h"
#include "tdx_mig_trace.h"

/*
 * Can no page be removed in this phase?  The TDX module of the destination refuses it
 * before the start token.  On the source it depends on the page, unless the session is
 * lost, and nobody knows what the TDX module thinks of its pages.
 */
bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx)
{
	if (!kvm_tdx->mig)
		return false;

	switch (kvm_tdx->mig->phase) {
	case TDX_MIG_EXPORT_LOST:
	case TDX_MIG_IMPORT_START:
	case TDX_MIG_MEMORY_IMPORT:
	case TDX_MIG_STATE_IMPORT:
	case TDX_MIG_IMPORT_FAILED:
		return true;
	default:
		return false;
	}
}

/*
 * Unmap a page that stays a page of the TD: guest_memfd keeps it until the TDX module
 * gives it back, when the TD is torn down.  As the TD has lost the page, it cannot run
 * any more.
 */
void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held_write(&kvm->mmu_lock);

	trace_kvm_tdx_mig_defer_removal(kvm, pfn);

	kvm_gmem_hold_page(&mig->unremoved, pfn);

	switch (mig->phase) {
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_PAUSED_EXPORT:
	case TDX_MIG_EXPORT_CANCELED:
		tdx_mig_lose_export(kvm);
		break;
	case TDX_MIG_POST_EXPORT:
		WRITE_ONCE(mig->page_lost, true);
		break;
	case TDX_MIG_EXPORT_LOST:
	case TDX_MIG_IMPORT_FAILED:
		break;
	default:
		tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_FAILED);
		break;
	}
}

/* Was @err returned because the page in question has been exported? */
bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err)
{
	return kvm_tdx->mig && kvm_tdx->mig->exported &&
	       tdx_mig_status(err) == TDX_EPT_ENTRY_STATE_INCORRECT;
}

/*
 * Undo the export of a page that is about to be removed.  The destination may have
 * the page already, so this takes an abort of the session, and is impossible after
 * the start token.
 */
bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn)
{
	bool restored, kept_out;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (to_kvm_tdx(kvm)->mig->phase == TDX_MIG_POST_EXPORT)
		return false;

	trace_kvm_tdx_mig_undo_export(kvm, gfn);

	if (!tdx_mig_abort_session(kvm))
		return false;

	restored = tdx_mig_restore_page(kvm, gfn);
	if (unlikely(!restored)) {
		/* A vCPU that accepts the page holds the lock of its S-EPT entry. */
		kept_out = tdx_keep_vcpus_out(kvm);
		restored = tdx_mig_restore_page(kvm, gfn);
		if (kept_out)
			tdx_let_vcpus_in(kvm);
	}

	return restored;
}

/*
 * A conversion to shared memory removes the private pages.  Refuse it if one of them
 * is exported, as the removal would end the session: userspace can revoke the export
 * with CANCEL first, or abort the session itself.  If none is, none becomes exported
 * before tdx_mig_end_conversion().
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
