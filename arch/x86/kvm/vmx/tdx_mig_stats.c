// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: what can be watched from outside, i.e. the statistics
 * of the VM and the tracepoints.
 *
 * Statistics only ever grow, and count what succeeded.  Those that several
 * streams or vCPUs change at once are atomic, the others are protected by
 * mmu_lock, held for write.
 */
#include "tdx_mig_internal.h"

#define CREATE_TRACE_POINTS
#include "tdx_mig_trace.h"

/* GPA list entry and MAC of a page in a memory bundle. */
#define TDX_MIG_LIST_BYTES	(sizeof(u64) + 16)

void tdx_mig_account_export_mem(struct tdx_mig_stream *stream, unsigned int nr,
				unsigned int content, const struct tdx_mig_call *call,
				u64 err)
{
	struct kvm *kvm = stream->kvm;

	trace_kvm_tdx_mig_export_mem(stream, nr, content, call, err);

	if (tdx_mig_status(err))
		return;

	atomic64_add(content, &kvm->stat.tdx_mig_exported_pages);
	atomic64_add(TDX_MIG_MBMD_SIZE + nr * TDX_MIG_LIST_BYTES + content * PAGE_SIZE,
		     &kvm->stat.tdx_mig_exported_bytes);
}

void tdx_mig_account_import_mem(struct tdx_mig_stream *stream, unsigned int nr,
				unsigned int content, const struct tdx_mig_call *call,
				u64 err)
{
	struct kvm *kvm = stream->kvm;

	trace_kvm_tdx_mig_import_mem(stream, nr, content, call, err);

	if (tdx_mig_status(err))
		return;

	atomic64_add(content, &kvm->stat.tdx_mig_imported_pages);
	atomic64_add(TDX_MIG_MBMD_SIZE + nr * TDX_MIG_LIST_BYTES + content * PAGE_SIZE,
		     &kvm->stat.tdx_mig_imported_bytes);
}

void tdx_mig_account_export_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err)
{
	trace_kvm_tdx_mig_export_state(stream, type, vcpu, nr_pages, err);

	if (!tdx_mig_status(err))
		atomic64_add(TDX_MIG_MBMD_SIZE + nr_pages * PAGE_SIZE,
			     &stream->kvm->stat.tdx_mig_exported_bytes);
}

void tdx_mig_account_import_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err)
{
	trace_kvm_tdx_mig_import_state(stream, type, vcpu, nr_pages, err);

	if (!tdx_mig_status(err))
		atomic64_add(TDX_MIG_MBMD_SIZE + nr_pages * PAGE_SIZE,
			     &stream->kvm->stat.tdx_mig_imported_bytes);
}

static u32 tdx_mig_mbmd_epoch(struct tdx_mig_stream *stream)
{
	struct tdx_mig_mbmd *mbmd = page_address(stream->mbmd);

	return le32_to_cpu(mbmd->mig_epoch);
}

void tdx_mig_account_export_track(struct tdx_mig_stream *stream, bool start_token, u64 err)
{
	struct kvm *kvm = stream->kvm;

	lockdep_assert_held_write(&kvm->mmu_lock);

	/* There is no token if the leaf failed. */
	trace_kvm_tdx_mig_export_track(stream, err ? 0 : tdx_mig_mbmd_epoch(stream),
				       start_token, err);

	if (tdx_mig_status(err))
		return;

	++kvm->stat.tdx_mig_epochs;
	atomic64_add(TDX_MIG_MBMD_SIZE, &kvm->stat.tdx_mig_exported_bytes);
}

void tdx_mig_account_import_track(struct tdx_mig_stream *stream, u64 err)
{
	u32 epoch = tdx_mig_mbmd_epoch(stream);
	struct kvm *kvm = stream->kvm;

	lockdep_assert_held_write(&kvm->mmu_lock);

	trace_kvm_tdx_mig_import_track(stream, epoch, epoch == TDX_MIG_EPOCH_OUT_OF_ORDER, err);

	if (tdx_mig_status(err))
		return;

	++kvm->stat.tdx_mig_epochs;
	atomic64_add(TDX_MIG_MBMD_SIZE, &kvm->stat.tdx_mig_imported_bytes);
}

void tdx_mig_account_block(struct kvm *kvm, unsigned int nr, unsigned int busy)
{
	lockdep_assert_held_write(&kvm->mmu_lock);

	trace_kvm_tdx_mig_block(kvm, nr, busy);

	kvm->stat.tdx_mig_blockw += nr - busy;
}

void tdx_mig_account_unblock(struct kvm *kvm, gfn_t gfn)
{
	trace_kvm_tdx_mig_unblock(kvm, gfn);

	atomic64_inc(&kvm->stat.tdx_mig_unblockw);
}
