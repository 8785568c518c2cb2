// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: abort of a session, after which the TD runs on
 * here, with all its pages as they were.
 */
#include <linux/sched/signal.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"
#include "tdx_mig_trace.h"

/*
 * Abort a session on KVM's own account, for userspace to finish with EXPORT_ABORT.
 * Zaps depend on it, and the TD is lost if it fails.  Not for after the start token.
 */
bool tdx_mig_abort_session(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	u64 err;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (mig->phase == TDX_MIG_EXPORT_CANCELED)
		return true;

	err = tdh_do_no_vcpus(tdh_export_abort, kvm, &to_kvm_tdx(kvm)->td, NULL);
	trace_kvm_tdx_mig_export_abort(kvm, NULL, err);
	if (err)
		return false;

	tdx_mig_set_phase(kvm, TDX_MIG_EXPORT_CANCELED);
	return true;
}

/*
 * A stream is stuck in a bundle, or pages count as exported that were not sent.  After
 * the start token, only a token of the destination aborts the session, and pages can be
 * sent again, so nothing is to be done.
 */
void tdx_mig_give_up_export(struct kvm *kvm)
{
	guard(write_lock)(&kvm->mmu_lock);

	switch (to_kvm_tdx(kvm)->mig->phase) {
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_PAUSED_EXPORT:
		if (!tdx_mig_abort_session(kvm))
			tdx_mig_lose_export(kvm);
		break;
	default:
		break;
	}
}

/* The TDX module has restored pages: exported pages are write-blocked, they are not. */
static void tdx_mig_unprotect(struct kvm *kvm, const u64 *entries, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_MIGRATE &&
		    tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SUCCESS)
			kvm_tdp_mmu_mirror_unprotect(kvm, tdx_mig_gpa_gfn(entries[i]));
	}
}

/*
 * Restore the first @nr pages in the GPA list, as far as they were exported.  Returns in
 * @done how many entries were processed.
 */
static u64 tdx_mig_do_restore(struct kvm *kvm, struct page *gpa_list, unsigned int nr,
			      unsigned int *done)
{
	struct tdx_mig_call call = { .kvm = kvm, .restarts = true };
	u64 info = tdx_gpa_list_info(gpa_list, nr);
	u64 err;

	lockdep_assert_held_write(&kvm->mmu_lock);

	do {
		err = tdh_do_no_vcpus(tdh_export_restore, kvm, &to_kvm_tdx(kvm)->td, &info);
	} while (tdx_mig_call_again(&call, err));

	*done = tdx_mig_status(err) ? tdx_gpa_list_first(info) : nr;

	return err;
}

/*
 * Restore one page that is about to be removed, with no memory but what was allocated
 * in advance.
 */
bool tdx_mig_restore_page(struct kvm *kvm, gfn_t gfn)
{
	struct page *list = to_kvm_tdx(kvm)->mig->restore_list;
	u64 *entry = page_address(list);
	unsigned int done;

	*entry = tdx_mig_gpa_entry(gfn, TDX_MIG_GPA_OP_MIGRATE);

	return !tdx_mig_status(tdx_mig_do_restore(kvm, list, 1, &done)) &&
	       tdx_mig_gpa_status(*entry) == TDX_MIG_GPA_STATUS_SUCCESS;
}

static bool tdx_mig_has_busy_entry(struct page *gpa_list, unsigned int nr)
{
	u64 *entries = page_address(gpa_list);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY)
			return true;
	}

	return false;
}

/*
 * Restore all exported pages.  Only the TDX module knows which those are, so name all
 * pages that are mapped.  No page becomes exported meanwhile, so a command that was
 * interrupted by a signal goes on where it stopped.
 */
static int tdx_mig_restore_all(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	u64 *entries = stream->entries;
	struct kvm *kvm = stream->kvm;
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	unsigned int done, retries = 0;
	int nr, i, idx, r;
	gfn_t next;
	bool more;
	u64 err = 0;

	do {
		next = mig->next_restore;

		/* Whoever changes memslots waits for no more than a batch. */
		idx = srcu_read_lock(&kvm->srcu);
		write_lock(&kvm->mmu_lock);
		nr = kvm_tdp_mmu_mirror_leafs(kvm, &next, entries, TDX_MIG_GPA_LIST_MAX);
		for (i = 0; i < nr; i++)
			entries[i] = tdx_mig_gpa_entry(entries[i], TDX_MIG_GPA_OP_MIGRATE);
		if (nr) {
			err = tdx_mig_do_restore(kvm, stream->gpa_list, nr, &done);
			tdx_mig_unprotect(kvm, entries, done);
		}
		write_unlock(&kvm->mmu_lock);
		srcu_read_unlock(&kvm->srcu, idx);

		cmd->hw_error = err;
		r = tdx_mig_errno(err);
		if (r)
			return r;

		if (!tdx_mig_has_busy_entry(stream->gpa_list, nr)) {
			mig->next_restore = next;
			retries = 0;
		} else if (retries++ >= TDX_MIG_MAX_RETRIES) {
			return -EAGAIN;
		}

		cond_resched();

		/* At least one batch is done before a signal is looked at. */
		more = retries || next != KVM_MIRROR_END;
		if (more && signal_pending(current))
			return -EINTR;
	} while (more);

	return 0;
}

/* Have the TDX module abort the session, unless KVM has canceled it already. */
static int tdx_mig_end_session(struct kvm *kvm, struct page *token, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct tdx_mig_call call = { .kvm = kvm };

	guard(write_lock)(&kvm->mmu_lock);

	if (mig->page_lost)
		return -ECANCELED;

	switch (mig->phase) {
	case TDX_MIG_EXPORT_CANCELED:
		return 0;
	case TDX_MIG_EXPORT_LOST:
		return -ECANCELED;
	default:
		break;
	}

	do {
		cmd->hw_error = tdh_try_no_vcpus(tdh_export_abort, kvm, &to_kvm_tdx(kvm)->td,
						 token);
	} while (tdx_mig_call_again(&call, cmd->hw_error));

	trace_kvm_tdx_mig_export_abort(kvm, token, cmd->hw_error);
	if (cmd->hw_error)
		return tdx_mig_errno(cmd->hw_error);

	tdx_mig_set_phase(kvm, TDX_MIG_EXPORT_CANCELED);

	return 0;
}

int tdx_mig_export_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig *mig = kvm_tdx->mig;
	struct page *token = NULL;
	int r;

	/* A TD that has lost a page cannot be aborted, token or not. */
	if (READ_ONCE(mig->phase) == TDX_MIG_POST_EXPORT && !READ_ONCE(mig->page_lost)) {
		r = tdx_mig_get_mbmd(stream, TDX_MIG_MBMD_TYPE_ABORT_TOKEN);
		if (r)
			return r;
		token = stream->mbmd;
	}

	r = tdx_mig_end_session(kvm, token, cmd);
	if (r)
		return r;

	if (READ_ONCE(mig->exported)) {
		r = tdx_mig_restore_all(stream, cmd);
		if (r)
			return r;
	}

	tdx_mig_reset_dirty_log(kvm);
	tdx_mig_forget_sent(mig);

	guard(write_lock)(&kvm->mmu_lock);

	if (mig->phase != TDX_MIG_EXPORT_CANCELED)
		return -ECANCELED;

	mig->exported = false;
	WRITE_ONCE(mig->paused, false);
	tdx_mig_set_phase(kvm, TDX_MIG_NONE);
	WRITE_ONCE(kvm->arch.pre_fault_allowed, true);

	return 0;
}
