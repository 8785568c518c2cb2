// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: TD state, vCPU state and private memory
 * leave the host, in bundles that the TDX module encrypts; and the way back, by
 * abort.
 */
#include <linux/sched/signal.h>

#include "tdx_mig.h"
#include "tdx_mig_trace.h"

static struct tdx_state_pages tdx_mig_state_pages(struct tdx_mig_stream *stream)
{
	tdx_mig_fill_buf_list(stream, stream->nr_bufs);

	return (struct tdx_state_pages) {
		.mbmd = stream->mbmd,
		.list = stream->buf_list,
		.nr_pages = stream->nr_bufs,
	};
}

/*
 * TDX modules up to 1.5.01 fail to resume this leaf properly.  It is not
 * interrupted by what cannot be delivered.
 */
static u64 tdx_mig_do_export_state_immutable(struct tdx_td *td,
					     const struct tdx_state_pages *pages,
					     bool resume, u64 *nr_pages)
{
	guard(irqsave)();

	return tdh_export_state_immutable(td, pages, resume, nr_pages);
}

int tdx_mig_export_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_state_pages pages = tdx_mig_state_pages(stream);
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool resume;
	u64 err;

	if (kvm_tdx->state != TD_STATE_RUNNABLE)
		return -EBUSY;

	write_lock(&kvm->mmu_lock);

	err = tdx_mig_complete(kvm, resume,
			       tdh_do_no_vcpus(tdx_mig_do_export_state_immutable, kvm,
					       &kvm_tdx->td, &pages, resume, &cmd->value));
	tdx_mig_account_export_state(stream, TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE, NULL,
				     cmd->value, err);
	if (!err) {
		kvm_tdx->mig->exported = false;
		kvm_tdx->mig->next_restore = 0;
		kvm_tdx->mig->next_vcpu = 0;
		tdx_mig_set_phase(kvm, TDX_MIG_LIVE_EXPORT);
	}

	write_unlock(&kvm->mmu_lock);

	cmd->hw_error = err;
	if (!err)
		tdx_mig_put_mbmd(stream);

	return tdx_mig_errno(err);
}

int tdx_mig_export_pause(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct kvm_vcpu *vcpu;
	unsigned long i;
	u64 err;

	/* KVM_RUN, which is refused from here on, has to complete the last exit. */
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (vcpu->arch.complete_userspace_io)
			return -EBUSY;
	}

	guard(write_lock)(&kvm->mmu_lock);

	err = tdh_do_no_vcpus(tdh_export_pause, kvm, &kvm_tdx->td);
	cmd->hw_error = err;
	if (err)
		return tdx_mig_errno(err);

	tdx_mig_forget_vcpu_reads(kvm);

	/* The pause is as good as a TLB tracking. */
	kvm_tdx->mig->track_needed = false;
	WRITE_ONCE(kvm_tdx->mig->paused, true);

	/* Pages cannot be added any more, neither on demand nor in advance. */
	kvm->arch.pre_fault_allowed = false;
	tdx_mig_set_phase(kvm, TDX_MIG_PAUSED_EXPORT);

	return 0;
}

int tdx_mig_export_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_state_pages pages = tdx_mig_state_pages(stream);
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool resume;
	u64 err;

	write_lock(&kvm->mmu_lock);
	err = tdx_mig_complete(kvm, resume,
			       tdh_export_state_td(&kvm_tdx->td, &pages, resume,
						   &cmd->value));
	write_unlock(&kvm->mmu_lock);

	cmd->hw_error = err;
	tdx_mig_account_export_state(stream, TDX_MIG_MBMD_TYPE_TD_STATE, NULL, cmd->value, err);
	if (!err)
		tdx_mig_put_mbmd(stream);

	return tdx_mig_errno(err);
}

int tdx_mig_export_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_state_pages pages = tdx_mig_state_pages(stream);
	struct kvm *kvm = stream->kvm;
	struct kvm_vcpu *vcpu;
	bool resume;
	u64 err;
	int r;

	vcpu = tdx_mig_get_initialized_vcpu(kvm, cmd);
	if (!vcpu)
		return -ENOENT;

	/* Userspace can keep a vCPU in an ioctl for as long as it likes. */
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;

	/* The TDX module associates the vCPU with the CPU, like for an entry. */
	vcpu_load(vcpu);
	read_lock(&kvm->mmu_lock);
	err = tdx_mig_complete(kvm, resume,
			       tdh_export_state_vp(&to_tdx(vcpu)->vp, &pages, stream->index,
						   resume, &cmd->value));
	read_unlock(&kvm->mmu_lock);
	vcpu_put(vcpu);

	cmd->hw_error = err;
	tdx_mig_account_export_state(stream, TDX_MIG_MBMD_TYPE_VP_STATE, vcpu, cmd->value, err);
	r = tdx_mig_errno(err);
	if (!r) {
		tdx_mig_put_mbmd(stream);
		if (!cmd->has_vcpu_id)
			to_kvm_tdx(kvm)->mig->next_vcpu++;
	}

	mutex_unlock(&vcpu->mutex);

	return r;
}

static bool tdx_mig_has_cancel(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_CANCEL)
			return true;
	}

	return false;
}

static u64 tdx_mig_do_abort(struct kvm *kvm, struct page *token)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);

	lockdep_assert_held_write(&kvm->mmu_lock);

	return tdh_do_no_vcpus(tdh_export_abort, kvm, &kvm_tdx->td, token);
}

/*
 * End a session on KVM's own account, for userspace to finish with EXPORT_ABORT.
 * This is part of zaps, and whoever fails to do so loses the TD.  mmu_lock excludes
 * all of KVM, so that nothing but accesses by a service TD can be in the way.
 */
static bool tdx_mig_cancel_export(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	u64 err;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (mig->phase != TDX_MIG_LIVE_EXPORT && mig->phase != TDX_MIG_PAUSED_EXPORT)
		return true;

	err = tdh_do_past_tdcalls_atomic(tdx_mig_do_abort, kvm, NULL);
	trace_kvm_tdx_mig_export_abort(kvm, NULL, err);
	if (err)
		return false;

	tdx_mig_set_phase(kvm, TDX_MIG_EXPORT_CANCELED);
	return true;
}

/*
 * One call of the leaf.  It has to be exclusive for pages whose export is
 * canceled, as the TDX module unblocks them, and no vCPU must do the same at that
 * time.  And it should be if vCPUs were in the way of the last call.
 */
static int tdx_mig_export_mem_once(struct tdx_mig_stream *stream,
				   const struct tdx_mem_bundle *bundle, unsigned int nr,
				   bool exclusive, bool resume, u64 *info, u64 *err,
				   unsigned int *unsent)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int first = tdx_gpa_list_first(*info), end;
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 nr_units;
	int r = 0;

	exclusive = tdx_mig_lock_export(kvm, exclusive);

	if (kvm_tdx->mig->phase != TDX_MIG_LIVE_EXPORT &&
	    kvm_tdx->mig->phase != TDX_MIG_PAUSED_EXPORT &&
	    kvm_tdx->mig->phase != TDX_MIG_POST_EXPORT) {
		r = -ECANCELED;
		goto unlock;
	}

	WRITE_ONCE(kvm_tdx->mig->exported, true);
	if (exclusive)
		*err = tdh_do_no_vcpus(tdh_export_mem, kvm, &kvm_tdx->td, bundle,
				       stream->index, resume, info, &nr_units);
	else
		*err = tdh_export_mem(&kvm_tdx->td, bundle, stream->index, resume, info,
				      &nr_units);

	end = tdx_mig_status(*err) ? tdx_gpa_list_first(*info) : nr;
	if (exclusive)
		tdx_mig_unprotect(kvm, entries, first, end, TDX_MIG_GPA_OP_CANCEL);
	*unsent += tdx_mig_settle_entries(stream, first, end);

unlock:
	tdx_mig_unlock_export(kvm, exclusive);

	return r;
}

/*
 * No bundle has come of the call.  If a part of the pages counts as exported
 * nevertheless, nobody would notice that the destination does not get them, and if
 * a bundle was begun, the stream is of no use until it is complete: give up the
 * session.
 */
static int tdx_mig_export_mem_failed(struct tdx_mig_stream *stream, unsigned int nr,
				     bool begun, u64 info, u64 err)
{
	struct kvm *kvm = stream->kvm;

	if (!begun && !tdx_gpa_list_first(info)) {
		tdx_mig_unclaim_entries(stream, nr);
		return tdx_mig_errno(err);
	}

	write_lock(&kvm->mmu_lock);
	tdx_mig_cancel_export(kvm);
	write_unlock(&kvm->mmu_lock);

	return -EIO;
}

static int __tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_mem_bundle bundle = {
		.mbmd = stream->mbmd,
		.buf_list = stream->buf_list,
		.mac_list = { stream->mac_list[0], stream->mac_list[1] },
	};
	bool has_cancel, resume = false;
	struct tdx_mig_calls calls = {};
	unsigned int nr = cmd->value, unsent = 0;
	u64 info, err = 0;
	int r;

	if (!cmd->value || cmd->value > stream->nr_bufs)
		return -EINVAL;

	r = tdx_mig_get_gpa_list(stream, nr, false);
	if (r)
		return r;

	tdx_mig_fill_buf_list(stream, nr);
	info = tdx_gpa_list_info(stream->gpa_list, nr);

	guard(srcu)(&stream->kvm->srcu);

	r = tdx_mig_claim_entries(stream, nr);
	if (r)
		return r;

	has_cancel = tdx_mig_has_cancel(stream, nr);

	/*
	 * The leaf is interrupted by every host interrupt, so let go of mmu_lock
	 * for the waiters.  Each call processes at least one entry, unless it gives
	 * way to another SEAMCALL.  Signals have to wait until the list is done, as
	 * a part of a bundle is of no use.
	 */
	for (;;) {
		r = tdx_mig_export_mem_once(stream, &bundle, nr,
					    has_cancel || tdx_mig_is_busy(err), resume,
					    &info, &err, &unsent);
		if (r || !tdx_mig_call_again(&calls, err, &resume))
			break;

		cond_resched();
	}

	cmd->hw_error = err;
	if (r) {
		tdx_mig_account_calls(stream->kvm, &calls);
		return r;
	}

	tdx_mig_account_export_mem(stream, nr, &calls, err);
	if (tdx_mig_status(err))
		return tdx_mig_export_mem_failed(stream, nr, resume, info, err);

	/* The TDX module counts since it was interrupted last, and not all. */
	cmd->hw_error = (err & ~TDX_MIG_EXPORT_MEM_UNSENT_MASK) | unsent;
	cmd->value = tdx_mig_count_content(stream, nr);
	tdx_mig_put_gpa_list(stream, nr);
	tdx_mig_put_mbmd(stream);

	return 0;
}

int tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	int r;

	/* Not while pages that were found not to be exported become shared. */
	r = down_read_killable(&mig->convert_sem);
	if (r)
		return r;

	r = __tdx_mig_export_mem(stream, cmd);
	up_read(&mig->convert_sem);

	return r;
}

int tdx_mig_export_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool done = cmd->value & TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	u64 err;

	if (cmd->value & ~TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE)
		return -EINVAL;

	if (done && READ_ONCE(kvm_tdx->mig->phase) != TDX_MIG_PAUSED_EXPORT)
		return -EBUSY;

	/* From the start token on, nobody but the destination runs the vCPUs. */
	if (done && tdx_mig_has_unread_vcpu(kvm))
		return -ENODATA;

	write_lock(&kvm->mmu_lock);

	err = tdh_do_no_vcpus(tdh_export_track, kvm, &kvm_tdx->td, stream->mbmd, done);
	tdx_mig_account_export_track(stream, done, err);
	if (!err && done)
		tdx_mig_set_phase(kvm, TDX_MIG_POST_EXPORT);

	write_unlock(&kvm->mmu_lock);

	cmd->hw_error = err;
	if (!err) {
		tdx_mig_begin_epoch(kvm_tdx->mig);
		tdx_mig_put_mbmd(stream);
	}

	return tdx_mig_errno(err);
}

/* Restore the first @nr pages in the GPA list, as far as they were exported. */
static u64 tdx_mig_do_restore(struct kvm *kvm, struct page *gpa_list, unsigned int nr)
{
	u64 info = tdx_gpa_list_info(gpa_list, nr);
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 err;

	lockdep_assert_held_write(&kvm->mmu_lock);

	/* The leaf has no memory of its interruption, @info tells where to go on. */
	err = tdx_mig_retry(kvm, tdh_do_no_vcpus(tdh_export_restore, kvm, &kvm_tdx->td, &info));

	/* Exported pages are write-blocked, restored ones are not. */
	tdx_mig_unprotect(kvm, tdx_mig_page_entries(gpa_list), 0,
			  tdx_mig_status(err) ? tdx_gpa_list_first(info) : nr,
			  TDX_MIG_GPA_OP_MIGRATE);

	return err;
}

static bool tdx_mig_has_busy_entry(struct page *gpa_list, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(gpa_list);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY)
			return true;
	}

	return false;
}

/*
 * Bring all exported pages back to what they were.  Any page that is mapped may
 * be one of them, the TDX module knows which.  No page becomes exported meanwhile,
 * so what was interrupted goes on where it stopped.
 */
static int tdx_mig_restore_all(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	const int max = PAGE_SIZE / sizeof(*entries);
	struct kvm *kvm = stream->kvm;
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	unsigned int retries = 0;
	int nr, i, r;
	gfn_t next;
	bool more;
	u64 err;

	guard(srcu)(&kvm->srcu);

	do {
		next = mig->next_restore;

		write_lock(&kvm->mmu_lock);
		nr = kvm_tdp_mmu_mirror_leafs(kvm, &next, entries, max);
		for (i = 0; i < nr; i++)
			entries[i] = tdx_mig_gpa_entry(entries[i], TDX_MIG_GPA_OP_MIGRATE);
		err = nr ? tdx_mig_do_restore(kvm, stream->gpa_list, nr) : 0;
		write_unlock(&kvm->mmu_lock);

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

		/* Each call gets on, however often there are signals. */
		more = retries || next != KVM_MIRROR_END;
		if (more && signal_pending(current))
			return -EINTR;
	} while (more);

	return 0;
}

/* Make the TDX module forget the session, unless KVM has done so already. */
static int tdx_mig_cancel(struct kvm *kvm, struct page *token, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

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

	cmd->hw_error = tdx_mig_retry(kvm, tdx_mig_do_abort(kvm, token));
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

	/* There is no token for a TD that has lost a page. */
	if (READ_ONCE(mig->phase) == TDX_MIG_POST_EXPORT && !READ_ONCE(mig->page_lost)) {
		r = tdx_mig_get_mbmd(stream, TDX_MIG_MBMD_TYPE_ABORT_TOKEN);
		if (r)
			return r;
		token = stream->mbmd;
	}

	r = tdx_mig_cancel(kvm, token, cmd);
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
	kvm->arch.pre_fault_allowed = true;

	return 0;
}

static bool tdx_mig_restore_one(struct kvm *kvm, gfn_t gfn)
{
	struct page *list = to_kvm_tdx(kvm)->mig->restore_list;
	u64 *entry = tdx_mig_page_entries(list);

	*entry = tdx_mig_gpa_entry(gfn, TDX_MIG_GPA_OP_MIGRATE);

	return !tdx_mig_status(tdx_mig_do_restore(kvm, list, 1)) &&
	       tdx_mig_gpa_status(*entry) == TDX_MIG_GPA_STATUS_SUCCESS;
}

/*
 * Undo the export of a page that is about to be removed.  It takes an abort of
 * the session, as the page cannot be revoked on the destination from here.  After
 * the start token there is no way to do so.
 */
bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool restored;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (kvm_tdx->mig->phase == TDX_MIG_POST_EXPORT)
		return false;

	trace_kvm_tdx_mig_undo_export(kvm, gfn);

	if (!tdx_mig_cancel_export(kvm))
		return false;

	restored = tdx_mig_restore_one(kvm, gfn);
	if (unlikely(!restored)) {
		/* A vCPU that accepts the page holds the lock of its S-EPT entry. */
		WRITE_ONCE(kvm_tdx->wait_for_sept_zap, true);
		kvm_make_all_cpus_request(kvm, KVM_REQ_OUTSIDE_GUEST_MODE);

		restored = tdx_mig_restore_one(kvm, gfn);

		WRITE_ONCE(kvm_tdx->wait_for_sept_zap, false);
	}

	return restored;
}
