// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, source side: TD and vCPU state, and epoch tokens.  The
 * export of private memory is in tdx_mig_export_mem.c.
 */
#include "tdx_mig_internal.h"

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
 * TDX modules up to 1.5.01 do not resume this leaf properly.  An interrupt that is
 * masked does not interrupt it.  That leaves NMIs, i.e. a session that cannot begin
 * if something is busy at the same time.
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
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;

	if (kvm_tdx->state != TD_STATE_RUNNABLE)
		return -EBUSY;

	write_lock(&kvm->mmu_lock);

	do {
		err = tdh_try_no_vcpus(tdx_mig_do_export_state_immutable, kvm, &kvm_tdx->td,
				       &pages, call.resume, &cmd->value);
	} while (tdx_mig_call_again(&call, err));

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

	return tdx_mig_call_errno(&call, err);
}

int tdx_mig_export_pause(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig_call call = { .kvm = kvm };
	struct kvm_vcpu *vcpu;
	unsigned long i;
	u64 err;
	int r;

	/* KVM_RUN, which is refused from here on, has to complete the last exit. */
	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (vcpu->arch.complete_userspace_io)
			return -EBUSY;
	}

	guard(write_lock)(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (r)
		return r;

	do {
		err = tdh_try_no_vcpus(tdh_export_pause, kvm, &kvm_tdx->td);
	} while (tdx_mig_call_again(&call, err));

	cmd->hw_error = err;
	if (err)
		return tdx_mig_errno(err);

	tdx_mig_forget_vcpu_reads(kvm);

	/* No vCPU runs any more, so there are no TLB entries left to track. */
	kvm_tdx->mig->track_needed = false;
	WRITE_ONCE(kvm_tdx->mig->paused, true);

	/* Pages cannot be added any more, neither on demand nor in advance. */
	WRITE_ONCE(kvm->arch.pre_fault_allowed, false);
	tdx_mig_set_phase(kvm, TDX_MIG_PAUSED_EXPORT);

	return 0;
}

/*
 * The export of TD or vCPU state has ended with @err.  A bundle that was begun and not
 * completed can neither be exported again nor be left out.
 */
static int tdx_mig_end_export_state(struct tdx_mig_stream *stream,
				    const struct tdx_mig_call *call, u64 err)
{
	if (!err)
		tdx_mig_put_mbmd(stream);
	else if (call->resume)
		tdx_mig_give_up_export(stream->kvm);

	return tdx_mig_call_errno(call, err);
}

int tdx_mig_export_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_state_pages pages = tdx_mig_state_pages(stream);
	struct kvm *kvm = stream->kvm;
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err = 0;
	int r;

	write_lock(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (!r) {
		do {
			err = tdh_export_state_td(&to_kvm_tdx(kvm)->td, &pages, call.resume,
						  &cmd->value);
		} while (tdx_mig_call_again(&call, err));
	}

	write_unlock(&kvm->mmu_lock);
	if (r)
		return r;

	cmd->hw_error = err;
	tdx_mig_account_export_state(stream, TDX_MIG_MBMD_TYPE_TD_STATE, NULL, cmd->value, err);

	return tdx_mig_end_export_state(stream, &call, err);
}

/* Runs on several streams at once, each of which has named another vCPU. */
int tdx_mig_export_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_state_pages pages = tdx_mig_state_pages(stream);
	struct kvm *kvm = stream->kvm;
	struct tdx_mig_call call = { .kvm = kvm };
	struct kvm_vcpu *vcpu;
	u64 err = 0;
	int r;

	vcpu = tdx_mig_get_initialized_vcpu(kvm, cmd);
	if (!vcpu)
		return -ENOENT;

	/*
	 * Userspace can keep a vCPU in an ioctl for as long as it likes, and another stream
	 * may be exporting it.
	 */
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;

	/* The leaf associates the vCPU with the CPU, as an entry does. */
	vcpu_load(vcpu);
	read_lock(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (!r) {
		do {
			err = tdh_export_state_vp(&to_tdx(vcpu)->vp, &pages, stream->index,
						  call.resume, &cmd->value);
		} while (tdx_mig_call_again(&call, err));
	}

	read_unlock(&kvm->mmu_lock);
	vcpu_put(vcpu);
	if (r)
		goto unlock;

	cmd->hw_error = err;
	tdx_mig_account_export_state(stream, TDX_MIG_MBMD_TYPE_VP_STATE, vcpu, cmd->value, err);

	r = tdx_mig_end_export_state(stream, &call, err);
	if (!r && !cmd->has_vcpu_id)
		to_kvm_tdx(kvm)->mig->next_vcpu++;

unlock:
	mutex_unlock(&vcpu->mutex);

	return r;
}

int tdx_mig_export_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	bool done = cmd->value & TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;
	int r;

	if (cmd->value & ~TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE)
		return -EINVAL;

	if (done && READ_ONCE(kvm_tdx->mig->phase) != TDX_MIG_PAUSED_EXPORT)
		return -EBUSY;

	/* From the start token on, nobody but the destination runs the vCPUs. */
	if (done && tdx_mig_has_unread_vcpu(kvm))
		return -ENODATA;

	scoped_guard(write_lock, &kvm->mmu_lock) {
		r = tdx_mig_check_session(kvm);
		if (r)
			return r;

		do {
			err = tdh_try_no_vcpus(tdh_export_track, kvm, &kvm_tdx->td,
					       stream->mbmd, done);
		} while (tdx_mig_call_again(&call, err));

		cmd->hw_error = err;
		tdx_mig_account_export_track(stream, done, err);
		if (err)
			return tdx_mig_errno(err);

		if (done)
			tdx_mig_set_phase(kvm, TDX_MIG_POST_EXPORT);
	}

	tdx_mig_begin_epoch(kvm_tdx->mig);
	tdx_mig_put_mbmd(stream);

	return 0;
}
