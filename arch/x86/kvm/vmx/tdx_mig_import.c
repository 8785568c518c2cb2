// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, destination side: import of TD and vCPU state into a TD that
 * was created as a destination, up to the point where it can run.  The import of
 * private memory is in tdx_mig_import_mem.c.
 */
#include "x86.h"
#include "tdx_mig_internal.h"
#include "tdx_mig_trace.h"

/* Make a new TD the destination of a migration.  Takes ownership of @params. */
void tdx_mig_start_import(struct kvm *kvm, struct td_params *params)
{
	guard(write_lock)(&kvm->mmu_lock);

	to_kvm_tdx(kvm)->mig->params = params;
	WRITE_ONCE(to_kvm_tdx(kvm)->state, TD_STATE_IMPORT);
	tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_START);
}

static int tdx_mig_get_state_pages(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd,
				   u8 type, struct tdx_state_pages *pages)
{
	int r;

	if (!cmd->value || cmd->value > stream->nr_bufs)
		return -EINVAL;

	r = tdx_mig_get_mbmd(stream, type);
	if (r)
		return r;

	tdx_mig_fill_buf_list(stream, cmd->value);

	*pages = (struct tdx_state_pages) {
		.mbmd = stream->mbmd,
		.list = stream->buf_list,
		.nr_pages = cmd->value,
	};

	return 0;
}

/*
 * The import of state has failed with @err; mmu_lock is still held.  A bundle that was
 * begun cannot be imported again.
 */
static int tdx_mig_import_state_failed(struct kvm *kvm, const struct tdx_mig_call *call,
				       u64 err)
{
	if (call->resume)
		tdx_mig_fail_import(kvm);
	else
		tdx_mig_import_check(kvm, err);

	return tdx_mig_call_errno(call, err);
}

int tdx_mig_import_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_state_pages pages;
	struct tdx_mig_call call = { .kvm = kvm };
	struct kvm_vcpu *vcpu;
	u64 err, ext1, ext2;
	int r;

	r = tdx_mig_get_state_pages(stream, cmd, TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE, &pages);
	if (r)
		return r;

	/* The page tables need a root, and roots belong to vCPUs. */
	vcpu = kvm_get_vcpu(kvm, 0);
	if (!vcpu)
		return -ENOENT;

	if (tdx_gpaw_to_shared_bit(vcpu->arch.mmu->root_role.level == PT64_ROOT_5LEVEL) !=
	    kvm_gfn_direct_bits(kvm))
		return -EINVAL;

	vcpu_load(vcpu);
	r = kvm_tdp_mmu_mirror_load(vcpu);
	vcpu_put(vcpu);
	if (r)
		return r;

	guard(write_lock)(&kvm->mmu_lock);

	do {
		err = tdh_import_state_immutable(&kvm_tdx->td, &pages, call.resume,
						 &ext1, &ext2);
	} while (tdx_mig_call_again(&call, err));

	cmd->hw_error = err;
	tdx_mig_account_import_state(stream, TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE, NULL,
				     pages.nr_pages, err);
	if (err)
		return tdx_mig_import_state_failed(kvm, &call, err);

	/* Userspace, and KVM itself, rely on what the TD was announced to be. */
	if (!tdx_td_has_params(kvm, kvm_tdx->mig->params)) {
		tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_FAILED);
		return -EIO;
	}

	kvm_tdx->mig->next_vcpu = 0;
	tdx_mig_set_phase(kvm, TDX_MIG_MEMORY_IMPORT);

	return 0;
}

int tdx_mig_import_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_state_pages pages;
	struct tdx_mig_call call = { .kvm = kvm };
	struct kvm_vcpu *vcpu;
	u64 err, ext1, ext2;
	unsigned long i;
	int r;

	r = tdx_mig_get_state_pages(stream, cmd, TDX_MIG_MBMD_TYPE_TD_STATE, &pages);
	if (r)
		return r;

	scoped_guard(write_lock, &kvm->mmu_lock) {
		r = tdx_mig_check_session(kvm);
		if (r)
			return r;

		do {
			err = tdh_import_state_td(&kvm_tdx->td, &pages, call.resume,
						  &ext1, &ext2);
		} while (tdx_mig_call_again(&call, err));

		cmd->hw_error = err;
		tdx_mig_account_import_state(stream, TDX_MIG_MBMD_TYPE_TD_STATE, NULL,
					     pages.nr_pages, err);
		if (err)
			return tdx_mig_import_state_failed(kvm, &call, err);

		tdx_mig_set_phase(kvm, TDX_MIG_STATE_IMPORT);
	}

	/* The TSC of the TD goes on where it stopped, by a new offset. */
	tdx_td_read_tsc(kvm_tdx);
	kvm_for_each_vcpu(i, vcpu, kvm)
		tdx_vcpu_set_tsc(vcpu);

	return 0;
}

static u64 tdx_mig_read_td(struct kvm *kvm, u64 field, u64 *value)
{
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;

	do {
		err = tdh_mng_rd(&to_kvm_tdx(kvm)->td, field, value);
	} while (tdx_mig_call_again(&call, err));

	return err;
}

/*
 * Is the bundle that of a vCPU with the same x2APIC id?  The TDX module does not care,
 * but the guest would find its vCPUs exchanged.  The ids are part of the immutable
 * state, as of module 1.5.05, and if the source has chosen them.
 */
static int tdx_mig_check_x2apic_id(struct tdx_mig_stream *stream, struct kvm_vcpu *vcpu,
				   struct tdx_mig_cmd *cmd)
{
	u64 err, configured, id;

	guard(read_lock)(&vcpu->kvm->mmu_lock);

	err = tdx_mig_read_td(vcpu->kvm, TDCS_EXEC(TD_TDCS_EXEC_TOPOLOGY_ENUM_CONFIGURED),
			      &configured);
	if (!err && configured)
		err = tdx_mig_read_td(vcpu->kvm, TDCS_X2APIC_ID(tdx_mig_mbmd_vp_index(stream)),
				      &id);
	/* The field does not exist or is hidden, or the MBMD is not authentic. */
	if (tdx_mig_status(err) == TDX_METADATA_FIELD_ID_INCORRECT ||
	    tdx_mig_status(err) == TDX_METADATA_FIELD_NOT_READABLE)
		return 0;

	if (err) {
		cmd->hw_error = err;
		return tdx_mig_errno(err);
	}

	return configured && id != vcpu->vcpu_id ? -EINVAL : 0;
}

static int tdx_mig_import_vcpu(struct tdx_mig_stream *stream, struct kvm_vcpu *vcpu,
			       const struct tdx_state_pages *pages, struct tdx_mig_cmd *cmd)
{
	struct vcpu_tdx *tdx = to_tdx(vcpu);
	struct kvm *kvm = vcpu->kvm;
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err, ext1, ext2;
	int r;

	r = tdx_mig_check_x2apic_id(stream, vcpu, cmd);
	if (r)
		return r;

	r = tdx_vcpu_enable_x2apic(vcpu);
	if (r)
		return r;

	/* The vCPU was created already if the import has met contention before. */
	if (tdx->state == VCPU_TD_STATE_UNINITIALIZED) {
		/*
		 * It was begun when the import failed on another stream, and has pages to be
		 * reclaimed.
		 */
		if (tdx->vp.tdvpr_page)
			return -EIO;

		r = tdx_td_vcpu_create(vcpu);
		if (r)
			return r;
		/* From here on, the vCPU has to be flushed when it leaves a CPU. */
		tdx->state = VCPU_TD_STATE_IMPORT;
	}

	scoped_guard(read_lock, &kvm->mmu_lock) {
		r = tdx_mig_check_session(kvm);
		if (r)
			return r;

		do {
			err = tdh_import_state_vp(&tdx->vp, pages, stream->index, call.resume,
						  &ext1, &ext2);
		} while (tdx_mig_call_again(&call, err));

		cmd->hw_error = err;
		tdx_mig_account_import_state(stream, TDX_MIG_MBMD_TYPE_VP_STATE, vcpu,
					     pages->nr_pages, err);
		if (err)
			return tdx_mig_import_state_failed(kvm, &call, err);
	}

	tdx_vcpu_init_controls(vcpu);
	vcpu->arch.mp_state = KVM_MP_STATE_RUNNABLE;
	tdx->state = VCPU_TD_STATE_INITIALIZED;

	return 0;
}

/* Runs on several streams at once, each of which has named another vCPU. */
int tdx_mig_import_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct tdx_state_pages pages;
	struct kvm_vcpu *vcpu;
	int r;

	r = tdx_mig_get_state_pages(stream, cmd, TDX_MIG_MBMD_TYPE_VP_STATE, &pages);
	if (r)
		return r;

	vcpu = tdx_mig_get_vcpu(kvm, cmd);
	if (!vcpu)
		return -ENOENT;

	/*
	 * Userspace can keep a vCPU in an ioctl for as long as it likes, and another stream
	 * may be importing it.
	 */
	if (!mutex_trylock(&vcpu->mutex))
		return -EBUSY;

	if (to_tdx(vcpu)->state == VCPU_TD_STATE_INITIALIZED) {
		r = -EEXIST;
	} else {
		vcpu_load(vcpu);
		r = tdx_mig_import_vcpu(stream, vcpu, &pages, cmd);
		vcpu_put(vcpu);
	}

	mutex_unlock(&vcpu->mutex);

	if (!r && !cmd->has_vcpu_id)
		to_kvm_tdx(kvm)->mig->next_vcpu++;

	return r;
}

int tdx_mig_import_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig_call call = { .kvm = kvm };
	struct tdx_mig_mbmd *mbmd;
	u64 err;
	int r;

	r = tdx_mig_get_mbmd(stream, TDX_MIG_MBMD_TYPE_EPOCH_TOKEN);
	if (r)
		return r;

	guard(write_lock)(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (r)
		return r;

	do {
		err = tdh_import_track(&kvm_tdx->td, stream->mbmd);
	} while (tdx_mig_call_again(&call, err));

	cmd->hw_error = err;
	tdx_mig_account_import_track(stream, err);
	if (err) {
		tdx_mig_import_check(kvm, err);
		return tdx_mig_errno(err);
	}

	mbmd = page_address(stream->mbmd);
	if (le32_to_cpu(mbmd->mig_epoch) == TDX_MIG_EPOCH_OUT_OF_ORDER) {
		/* From here on, the TDX module does not take pages that were removed. */
		kvm->arch.track_private_removals = true;
		tdx_mig_set_phase(kvm, TDX_MIG_POST_IMPORT);
	}

	return 0;
}

/* The TD has all its state, if not all its memory, and can run. */
static void tdx_mig_import_go_live(struct kvm *kvm)
{
	lockdep_assert_held_write(&kvm->mmu_lock);

	/* Pairs with the acquire in servtd_is_runnable(). */
	smp_store_release(&to_kvm_tdx(kvm)->state, TD_STATE_RUNNABLE);
	/* TD_STATE_RUNNABLE must be set before 'pre_fault_allowed' */
	smp_wmb();
	WRITE_ONCE(kvm->arch.pre_fault_allowed, true);
}

/* Only userspace knows whether a page that is missing will still come. */
int tdx_mig_import_commit(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;
	int r;

	guard(write_lock)(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (r)
		return r;

	do {
		err = tdh_import_commit(&kvm_tdx->td);
	} while (tdx_mig_call_again(&call, err));

	cmd->hw_error = err;
	if (err)
		return tdx_mig_errno(err);

	kvm->arch.private_faults_exit = true;
	tdx_mig_import_go_live(kvm);
	tdx_mig_set_phase(kvm, TDX_MIG_LIVE_IMPORT);

	return 0;
}

int tdx_mig_import_end(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig *mig = kvm_tdx->mig;
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;
	int r;

	guard(write_lock)(&kvm->mmu_lock);

	r = tdx_mig_check_session(kvm);
	if (r)
		return r;

	do {
		err = tdh_import_end(&kvm_tdx->td);
	} while (tdx_mig_call_again(&call, err));

	/* The TDX module has usually ended an import that is closed. */
	if (mig->phase == TDX_MIG_IMPORT_CLOSED &&
	    tdx_mig_status(err) == TDX_OP_STATE_INCORRECT)
		err = 0;

	cmd->hw_error = err;
	if (err)
		return tdx_mig_errno(err);

	kvm->arch.private_faults_exit = false;
	kvm->arch.track_private_removals = false;
	tdx_mig_import_go_live(kvm);
	tdx_mig_set_phase(kvm, TDX_MIG_NONE);

	return 0;
}

int tdx_mig_import_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;

	guard(write_lock)(&kvm->mmu_lock);

	do {
		err = tdh_import_abort(&kvm_tdx->td, stream->mbmd);
	} while (tdx_mig_call_again(&call, err));

	cmd->hw_error = err;
	trace_kvm_tdx_mig_import_abort(kvm, true, err);
	if (tdx_mig_errno(err))
		return tdx_mig_errno(err);

	tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_FAILED);
	tdx_mig_put_mbmd(stream);

	return 0;
}
