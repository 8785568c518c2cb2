// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: export of private memory.
 */
#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"

/* A bundle in the making. */
struct tdx_mig_export {
	struct tdx_mig_stream *stream;
	struct tdx_mem_bundle bundle;
	struct tdx_mig_call call;

	/* Entries of the GPA list, and those that have failed. */
	unsigned int nr;
	unsigned int unsent;

	/* The list for the TDX module, which returns in it where to go on. */
	u64 info;
};

/*
 * Acquire mmu_lock for an export of memory, which fails on pages that are blocked
 * but not tracked.  Returns whether the lock is held for write, because @exclusive
 * asks for it or because the tracking has to be made up for.
 */
static bool tdx_mig_lock_export(struct kvm *kvm, bool exclusive)
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

static void tdx_mig_unlock_export(struct kvm *kvm, bool exclusive)
{
	if (exclusive)
		write_unlock(&kvm->mmu_lock);
	else
		read_unlock(&kvm->mmu_lock);
}

/* Call the leaf once, and settle the entries that it has processed. */
static int tdx_mig_export_mem_once(struct tdx_mig_export *export, bool want_exclusive, u64 *err)
{
	unsigned int first = tdx_gpa_list_first(export->info), end;
	struct tdx_mig_stream *stream = export->stream;
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool exclusive;
	u64 nr_units;
	int r;

	exclusive = tdx_mig_lock_export(kvm, want_exclusive);

	r = tdx_mig_check_session(kvm);
	if (r)
		goto unlock;

	WRITE_ONCE(kvm_tdx->mig->exported, true);
	if (exclusive)
		*err = tdh_try_no_vcpus(tdh_export_mem, kvm, &kvm_tdx->td, &export->bundle,
					stream->index, export->call.resume, &export->info,
					&nr_units);
	else
		*err = tdh_export_mem(&kvm_tdx->td, &export->bundle, stream->index,
				      export->call.resume, &export->info, &nr_units);

	end = tdx_mig_status(*err) ? tdx_gpa_list_first(export->info) : export->nr;
	export->unsent += tdx_mig_settle_entries(stream, first, end);

unlock:
	tdx_mig_unlock_export(kvm, exclusive);

	return r;
}

/*
 * There is no bundle.  If nothing has happened, because something was busy, the command
 * can be repeated.  Otherwise give up the session: pages may count as exported that the
 * destination does not get, and a stream is of no use before it has completed the
 * bundle that it has begun.  After the start token all of them can be sent again.
 */
static int tdx_mig_export_mem_failed(struct tdx_mig_export *export, u64 err)
{
	struct kvm *kvm = export->stream->kvm;

	if (tdx_mig_is_busy(err) && !export->call.resume && !tdx_gpa_list_first(export->info)) {
		tdx_mig_unclaim_entries(export->stream, export->nr);
		return -EAGAIN;
	}

	if (READ_ONCE(to_kvm_tdx(kvm)->mig->phase) == TDX_MIG_POST_EXPORT &&
	    tdx_mig_is_transient(err))
		return -EAGAIN;

	tdx_mig_give_up_export(kvm);

	return -EIO;
}

static int tdx_mig_export_claimed(struct tdx_mig_export *export, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig_stream *stream = export->stream;
	unsigned int content;
	bool exclusive;
	u64 err = 0;
	int r;

	/*
	 * Every interrupt of the host interrupts the leaf, so let go of mmu_lock for
	 * the waiters.  Each call processes at least one entry, unless it gives way to
	 * another SEAMCALL.  Signals have to wait until the list is done, as a part of
	 * a bundle is of no use.
	 *
	 * Keep all others out if vCPUs were in the way of the last call, and for
	 * CANCEL, which unblocks the page: no vCPU must unblock it at the same time.
	 */
	do {
		cond_resched();
		exclusive = tdx_mig_is_busy(err) || !bitmap_empty(stream->canceled, export->nr);
		r = tdx_mig_export_mem_once(export, exclusive, &err);
		cmd->hw_error = err;
		if (r)
			return r;
	} while (tdx_mig_call_again(&export->call, err));

	content = tdx_mig_gpa_count_content(stream->entries, export->nr);
	tdx_mig_account_export_mem(stream, export->nr, content, &export->call, err);
	if (tdx_mig_status(err))
		return tdx_mig_export_mem_failed(export, err);

	/* The TDX module counts since it was interrupted last, and not all. */
	cmd->hw_error = (err & ~TDX_MIG_EXPORT_MEM_UNSENT_MASK) | export->unsent;
	cmd->value = content;

	return 0;
}

static int __tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig_export export = {
		.stream = stream,
		.bundle = {
			.mbmd = stream->mbmd,
			.buf_list = stream->buf_list,
			.mac_list = { stream->mac_list[0], stream->mac_list[1] },
		},
		.call.kvm = stream->kvm,
		.nr = cmd->value,
	};
	int r;

	if (!cmd->value || cmd->value > stream->nr_bufs)
		return -EINVAL;

	r = tdx_mig_get_gpa_list(stream, export.nr, false);
	if (r)
		return r;

	tdx_mig_fill_buf_list(stream, export.nr);
	export.info = tdx_gpa_list_info(stream->gpa_list, export.nr);

	guard(srcu)(&stream->kvm->srcu);

	r = tdx_mig_claim_entries(stream, export.nr);
	if (r)
		return r;

	r = tdx_mig_export_claimed(&export, cmd);
	if (r)
		return r;

	tdx_mig_put_gpa_list(stream, export.nr);
	tdx_mig_put_mbmd(stream);

	return 0;
}

int tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	int r;

	/* Keep away conversions that have found no page of theirs exported. */
	r = down_read_killable(&mig->convert_sem);
	if (r)
		return r;

	r = __tdx_mig_export_mem(stream, cmd);
	up_read(&mig->convert_sem);

	return r;
}
