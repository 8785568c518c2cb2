/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: the status of a leaf, and leaves that have to be called
 * more than once, because they are interrupted or meet contention.
 *
 * Who can be in the way of a SEAMCALL, and what helps:
 *
 *  - vCPUs of the TD.  With mmu_lock held for write, tdh_do_no_vcpus() kicks them out
 *    of the guest and calls the leaf once more.
 *  - TDCALLs of a service TD.  Nobody can stop them, but they take microseconds.
 *    Where KVM cannot fail, tdh_do_past_tdcalls() outwaits them.
 *  - SEAMCALLs of KVM itself are excluded by mmu_lock, see tdx_mig_device.c.
 *
 * Commands of userspace can fail.  They call the leaf again as long as
 * tdx_mig_call_again() says so, which covers all of this in the usual case and bounds
 * it in any, and leave the rest to userspace, by -EAGAIN.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_SEAMCALL_H
#define __KVM_X86_VMX_TDX_MIG_SEAMCALL_H

#include <linux/kvm_host.h>

#include "tdx.h"

/* Enough for the TDCALLs and SEAMCALLs that other CPUs have under way. */
#define TDX_MIG_MAX_RETRIES	128

/* A leaf that has been interrupted has no way back but the end of the session. */
#define TDX_MIG_MAX_LATE_RETRIES	TDX_MAX_TDCALL_WAITS

/* A leaf can be interrupted after each list entry.  Allow for more, it ends in any case. */
#define TDX_MIG_MAX_RESUMES	(2 * PAGE_SIZE / sizeof(u64) + TDX_MIG_MAX_RETRIES)

static inline u64 tdx_mig_status(u64 err)
{
	return err & TDX_SEAMCALL_STATUS_MASK & ~TDX_FATAL;
}

static inline bool tdx_mig_is_busy(u64 err)
{
	switch (tdx_mig_status(err)) {
	case TDX_OPERAND_BUSY:
	case TDX_SYS_BUSY:
	case TDX_RND_NO_ENTROPY:
		return !(err & TDX_FATAL);
	default:
		return false;
	}
}

/* The leaf has given way to another SEAMCALL: it has to be resumed, and has done nothing. */
static inline bool tdx_mig_has_given_way(u64 err)
{
	return tdx_mig_status(err) == TDX_INTERRUPTED_BUSY;
}

/* Does the leaf go on where it stopped when it is called again? */
static inline bool tdx_mig_is_interrupted(u64 err)
{
	return tdx_mig_status(err) == TDX_INTERRUPTED_RESUMABLE || tdx_mig_has_given_way(err);
}

/* Has the leaf failed for a reason that passes? */
static inline bool tdx_mig_is_transient(u64 err)
{
	return tdx_mig_is_busy(err) || tdx_mig_is_interrupted(err);
}

static inline int tdx_mig_errno(u64 err)
{
	/* Low bits of a success may count list entries that failed. */
	if (!tdx_mig_status(err))
		return 0;

	return tdx_mig_is_busy(err) ? -EAGAIN : -EIO;
}

/* The calls that it takes to get one leaf done. */
struct tdx_mig_call {
	struct kvm *kvm;

	/*
	 * The operands alone tell the leaf where to go on.  It can stop after each list
	 * entry, and already outwaits what is in its way, see tdh_do_no_vcpus().
	 */
	bool restarts;

	/* The leaf was interrupted, and has to be told to go on where it stopped. */
	bool resume;

	/* Number of calls after the first one, by reason. */
	unsigned int resumes;
	unsigned int yields;
	unsigned int retries;
};

/* Does the leaf that has returned @err have to be called again? */
static inline bool tdx_mig_call_again(struct tdx_mig_call *call, u64 err)
{
	struct kvm_vm_stat *stat = &call->kvm->stat;
	unsigned int *nr, max;
	atomic64_t *total;

	if (tdx_mig_is_interrupted(err) && !call->restarts)
		call->resume = true;

	if (tdx_mig_has_given_way(err)) {
		nr = &call->yields;
		max = TDX_MIG_MAX_LATE_RETRIES;
		total = &stat->tdx_mig_resumes;
	} else if (tdx_mig_is_interrupted(err)) {
		nr = &call->resumes;
		max = TDX_MIG_MAX_RESUMES;
		total = &stat->tdx_mig_resumes;
	} else if (tdx_mig_is_busy(err)) {
		nr = &call->retries;
		max = call->resume ? TDX_MIG_MAX_LATE_RETRIES : TDX_MIG_MAX_RETRIES;
		total = &stat->tdx_mig_retries;
	} else {
		return false;
	}

	if (*nr >= max)
		return false;

	++*nr;
	atomic64_inc(total);
	cpu_relax();

	return true;
}

/*
 * The errno for a leaf that is resumed.  If it has been interrupted, a command that is
 * repeated would start from scratch, which the TDX module does not accept of bundles that
 * have an order.
 */
static inline int tdx_mig_call_errno(const struct tdx_mig_call *call, u64 err)
{
	int ret = tdx_mig_errno(err);

	return ret == -EAGAIN && call->resume ? -EIO : ret;
}

#endif /* __KVM_X86_VMX_TDX_MIG_SEAMCALL_H */
