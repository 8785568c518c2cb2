/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs, private to KVM's TDX code.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_H
#define __KVM_X86_VMX_TDX_MIG_H

#include <linux/kvm_host.h>

#include "tdx.h"

#ifdef CONFIG_KVM_INTEL_TDX_MIG
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "mmu.h"

/*
 * Phase of a migration session.
 *
 * Source:
 *
 *	NONE -> LIVE_EXPORT -> PAUSED_EXPORT -> POST_EXPORT
 *
 * An abort goes back to NONE, over EXPORT_CANCELED if pages have to be restored
 * first.  KVM cancels a session on its own when an exported page is removed; a TD
 * that was not paused runs on then, and unblocks pages like a live one.  If KVM
 * fails to do so, the session is EXPORT_LOST, and the TD with it.  After the start
 * token, such a removal rules out the abort, but nothing else.  A conversion to
 * shared memory is a removal that KVM refuses, see tdx_mig_begin_conversion().
 *
 * Destination:
 *
 *	IMPORT_START -> MEMORY_IMPORT -> STATE_IMPORT -> POST_IMPORT ->
 *	LIVE_IMPORT -> NONE
 *
 * Any failure that the TDX module calls fatal leads to IMPORT_FAILED, and so does
 * the removal of a page before the start token.  In LIVE_IMPORT the TD runs, and
 * nothing can stop that but the VMM.  If the TDX module does not accept pages any
 * more, the import is IMPORT_CLOSED.
 */
enum tdx_mig_phase {
	TDX_MIG_NONE = 0,

	TDX_MIG_LIVE_EXPORT,
	TDX_MIG_PAUSED_EXPORT,
	TDX_MIG_POST_EXPORT,
	TDX_MIG_EXPORT_CANCELED,
	TDX_MIG_EXPORT_LOST,

	TDX_MIG_IMPORT_START,
	TDX_MIG_MEMORY_IMPORT,
	TDX_MIG_STATE_IMPORT,
	TDX_MIG_POST_IMPORT,
	TDX_MIG_LIVE_IMPORT,
	TDX_MIG_IMPORT_CLOSED,
	TDX_MIG_IMPORT_FAILED,
};

/* Migration state of a TD. */
struct tdx_mig {
	/*
	 * Held for read by commands that may run on several streams at once, and
	 * for write by all others.  Acquired inside of kvm->lock and of a
	 * stream's lock.  Nobody waits for a vcpu->mutex with this held.
	 */
	struct rw_semaphore session_sem;

	/*
	 * Written with mmu_lock held for write, or by tdx_mig_fail_import() with
	 * mmu_lock held for read.
	 */
	enum tdx_mig_phase phase;

	/* Pages may be in an exported state.  Protected by mmu_lock. */
	bool exported;

	/*
	 * The session was paused, and its pages are not restored yet.  Written
	 * with mmu_lock held for write, and set with all vCPUs stopped.
	 */
	bool paused;

	/* On the destination, what the TD is to be like. */
	struct td_params *params;

	/* Next page that an abort has to restore, by session_sem. */
	gfn_t next_restore;

	/* Next vCPU for state commands without vCPU id, by session_sem. */
	unsigned int next_vcpu;

	/* Stream indices in use, by kvm->lock. */
	unsigned long *stream_ids;

	/*
	 * Stream contexts, owned by the TDX module.  The first is the backward
	 * stream, stream N uses context N + 1.  Protected by session_sem.
	 */
	struct page **migsc;
	unsigned int nr_migsc;

	/*
	 * Private pages that were unmapped while the TDX module could not remove
	 * them, until the TD is torn down.  Protected by mmu_lock.
	 */
	struct kvm_gmem_held_pages unremoved;

	/* One of them was exported, so that the TD cannot run any more. */
	bool page_lost;

	/* GPA list for pages that are removed, by mmu_lock. */
	struct page *restore_list;

	/* GPA list for pages that are write-blocked, by mmu_lock. */
	struct page *block_list;

	/* Pages have been blocked since the last TLB tracking, by mmu_lock. */
	bool track_needed;

	/*
	 * Which GFNs were sent, as struct tdx_mig_sent.  Freed with both session_sem
	 * and convert_sem held for write.
	 */
	struct xarray sent;

	/*
	 * Held for read while pages become exported, and for write while private
	 * memory of which no page is exported becomes shared.  Acquired inside of
	 * session_sem and of kvm->slots_lock.
	 */
	struct rw_semaphore convert_sem;

	/* Updates of the TDX module are held off, by session_sem. */
	bool holds_module;
};

/* A migration stream, i.e. a device fd. */
struct tdx_mig_stream {
	struct kvm *kvm;
	u16 index;

	/* Serializes the commands of the stream. */
	struct mutex lock;

	/* Number of @bufs.  Non-zero, and constant, once all pages exist. */
	unsigned int nr_bufs;

	/* Mapped by userspace, which can change them at any time. */
	struct page *user_mbmd;
	struct page *user_gpa_list;
	struct page *mac_list[2];
	struct page **bufs;

	/* Snapshots and lists that userspace must not change, by lock. */
	struct page *mbmd;
	struct page *gpa_list;
	struct page *buf_list;
	struct page *new_list;
	struct kvm_import *import;

	/*
	 * Entries of the GPA list with an operation, those with CANCEL, and those
	 * whose GFN this stream has claimed for the epoch, by lock.
	 */
	DECLARE_BITMAP(wanted, TDX_MIG_BUF_LIST_PAGES_MAX);
	DECLARE_BITMAP(canceled, TDX_MIG_BUF_LIST_PAGES_MAX);
	DECLARE_BITMAP(claimed, TDX_MIG_BUF_LIST_PAGES_MAX);
};

/* Operands of a command. */
struct tdx_mig_cmd {
	/* The value behind kvm_tdx_cmd.data, in and out. */
	u64 value;
	bool has_vcpu_id;
	u32 vcpu_id;

	/* Status of the last SEAMCALL. */
	u64 hw_error;
};

/*
 * Bound for immediate retries of a leaf that meets contention: enough for what is
 * usual, i.e. one TDCALL or SEAMCALL on another CPU.  More than that is up to
 * userspace, by -EAGAIN.  See tdh_do_past_tdcalls() for what cannot be left to it.
 */
#define TDX_MIG_MAX_RETRIES	128
/*
 * Bound for the calls that one interruptible leaf takes: after each list entry it may
 * be interrupted, and before each one it may give way to another SEAMCALL, in which
 * case it has done nothing.
 */
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

/* Does the leaf go on where it stopped when it is called again? */
static inline bool tdx_mig_is_interrupted(u64 err)
{
	return tdx_mig_status(err) == TDX_INTERRUPTED_RESUMABLE ||
	       tdx_mig_status(err) == TDX_INTERRUPTED_BUSY;
}

/* Calls that a leaf took after the first one. */
struct tdx_mig_calls {
	unsigned int resumes;
	unsigned int retries;
};

/* Has a leaf to be called again that returned @err?  Sets @resume if it goes on. */
static inline bool tdx_mig_call_again(struct tdx_mig_calls *calls, u64 err, bool *resume)
{
	if (tdx_mig_is_interrupted(err) && calls->resumes < TDX_MIG_MAX_RESUMES) {
		calls->resumes++;
		*resume = true;
		return true;
	}

	if (tdx_mig_is_busy(err) && calls->retries < TDX_MIG_MAX_RETRIES) {
		calls->retries++;
		return true;
	}

	return false;
}

/*
 * Run a leaf to its end: resume it when it was interrupted, retry it when it
 * met contention.  @_call is evaluated with @_resume telling which of the two.
 */
#define __tdx_mig_complete(_calls, _resume, _call)				\
({										\
	u64 __err;								\
										\
	_resume = false;							\
	do {									\
		__err = _call;							\
		cpu_relax();							\
	} while (tdx_mig_call_again(_calls, __err, &(_resume)));		\
	__err;									\
})

/* The same, and count the calls for @_kvm. */
#define tdx_mig_complete(_kvm, _resume, _call)					\
({										\
	struct tdx_mig_calls __count = {};					\
	u64 __status;								\
										\
	__status = __tdx_mig_complete(&__count, _resume, _call);		\
	tdx_mig_account_calls(_kvm, &__count);					\
	__status;								\
})

/* The same for a leaf that does not have to be told that it is resumed. */
#define tdx_mig_retry(_kvm, _call)						\
({										\
	bool __resume;								\
	u64 __ret;								\
										\
	__ret = tdx_mig_complete(_kvm, __resume, _call);			\
	(void)__resume;								\
	__ret;									\
})

static inline int tdx_mig_errno(u64 err)
{
	/* Low bits of a success may count list entries that failed. */
	if (!tdx_mig_status(err))
		return 0;

	return tdx_mig_is_busy(err) ? -EAGAIN : -EIO;
}

static inline u64 tdx_mig_gpa_entry(gfn_t gfn, unsigned int op)
{
	return gfn_to_gpa(gfn) | ((u64)op << TDX_MIG_GPA_ENTRY_OP_SHIFT);
}

static inline gfn_t tdx_mig_entry_gfn(u64 entry)
{
	return gpa_to_gfn(entry & TDX_MIG_GPA_ENTRY_GPA_MASK);
}

extern bool enable_tdx_mig;

int tdx_mig_hardware_setup(const struct tdx_sys_info *sysinfo);
void tdx_mig_hardware_unsetup(void);

int tdx_mig_vm_init(struct kvm *kvm);
void tdx_mig_vm_reclaim(struct kvm *kvm);
void tdx_mig_vm_free(struct kvm *kvm);

void tdx_mig_hold_module(struct tdx_mig *mig);
void tdx_mig_release_module(struct tdx_mig *mig);

void tdx_mig_set_phase(struct kvm *kvm, enum tdx_mig_phase phase);
int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx);

bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx);
void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn);
bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err);
bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn);
void tdx_mig_fail_import(struct kvm *kvm);
void tdx_mig_import_check(struct kvm *kvm, u64 err);
bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err);
void tdx_mig_start_import(struct kvm *kvm, struct td_params *params);

int tdx_mig_create_contexts(struct kvm *kvm, unsigned int nr, u64 *hw_error);
int tdx_mig_stream_alloc_pages(struct tdx_mig_stream *stream, unsigned int nr_bufs);
void tdx_mig_stream_free_pages(struct tdx_mig_stream *stream);
int tdx_mig_stream_mmap(struct tdx_mig_stream *stream, struct vm_area_struct *vma);
void tdx_mig_fill_buf_list(struct tdx_mig_stream *stream, unsigned int nr);
int tdx_mig_get_gpa_list(struct tdx_mig_stream *stream, unsigned int nr, bool import);
void tdx_mig_put_gpa_list(struct tdx_mig_stream *stream, unsigned int nr);
int tdx_mig_get_mbmd(struct tdx_mig_stream *stream, u8 type);
unsigned int tdx_mig_mbmd_num_gpas(struct tdx_mig_stream *stream);
void tdx_mig_put_mbmd(struct tdx_mig_stream *stream);
unsigned int tdx_mig_gpa_op(u64 entry);
unsigned int tdx_mig_gpa_status(u64 entry);
struct kvm_vcpu *tdx_mig_get_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd);
struct kvm_vcpu *tdx_mig_get_initialized_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd);
u64 *tdx_mig_page_entries(struct page *page);
unsigned int tdx_mig_count_content(struct tdx_mig_stream *stream, unsigned int nr);

void tdx_mig_account_calls(struct kvm *kvm, const struct tdx_mig_calls *calls);
void tdx_mig_account_export_mem(struct tdx_mig_stream *stream, unsigned int nr,
				const struct tdx_mig_calls *calls, u64 err);
void tdx_mig_account_import_mem(struct tdx_mig_stream *stream, unsigned int nr,
				const struct tdx_mig_calls *calls, u64 err);
void tdx_mig_account_export_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err);
void tdx_mig_account_import_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err);
void tdx_mig_account_export_track(struct tdx_mig_stream *stream, bool start_token, u64 err);
void tdx_mig_account_import_track(struct tdx_mig_stream *stream, u64 err);
void tdx_mig_account_block(struct kvm *kvm, unsigned int nr, unsigned int busy);
void tdx_mig_account_unblock(struct kvm *kvm, gfn_t gfn);

bool tdx_mig_lock_export(struct kvm *kvm, bool exclusive);
void tdx_mig_unlock_export(struct kvm *kvm, bool exclusive);
void tdx_mig_unprotect(struct kvm *kvm, const u64 *entries, unsigned int first,
		       unsigned int end, unsigned int op);
void tdx_mig_reset_dirty_log(struct kvm *kvm);
int tdx_mig_unblock(struct kvm *kvm, gfn_t gfn);

void tdx_mig_begin_epoch(struct tdx_mig *mig);
void tdx_mig_forget_sent(struct tdx_mig *mig);
int tdx_mig_claim_entries(struct tdx_mig_stream *stream, unsigned int nr);
void tdx_mig_unclaim_entries(struct tdx_mig_stream *stream, unsigned int nr);
unsigned int tdx_mig_settle_entries(struct tdx_mig_stream *stream, unsigned int first,
				    unsigned int end);

int tdx_mig_export_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_pause(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

int tdx_mig_import_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_commit(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_end(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

bool tdx_mig_vcpu_is_importing(struct kvm_vcpu *vcpu);
void tdx_mig_forget_vcpu_reads(struct kvm *kvm);
bool tdx_mig_has_unread_vcpu(struct kvm *kvm);
bool tdx_mig_is_vcpu_cmd(u32 id);
int tdx_mig_vcpu_ioctl(struct kvm_vcpu *vcpu, struct kvm_tdx_cmd *cmd);

#else /* CONFIG_KVM_INTEL_TDX_MIG */

#define enable_tdx_mig	false

static inline int tdx_mig_hardware_setup(const struct tdx_sys_info *sysinfo) { return 0; }
static inline void tdx_mig_hardware_unsetup(void) { }

static inline int tdx_mig_vm_init(struct kvm *kvm) { return 0; }
static inline void tdx_mig_vm_reclaim(struct kvm *kvm) { }
static inline void tdx_mig_vm_free(struct kvm *kvm) { }

static inline int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx) { return 0; }

static inline bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx) { return false; }
static inline void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn) { }
static inline bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err) { return false; }
static inline bool tdx_mig_undo_export(struct kvm *kvm, gfn_t gfn) { return false; }
static inline bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err) { return false; }
static inline void tdx_mig_start_import(struct kvm *kvm, struct td_params *params) { }

static inline int tdx_mig_unblock(struct kvm *kvm, gfn_t gfn)
{
	KVM_BUG_ON(1, kvm);
	return -EIO;
}

static inline bool tdx_mig_is_vcpu_cmd(u32 id) { return false; }
static inline int tdx_mig_vcpu_ioctl(struct kvm_vcpu *vcpu, struct kvm_tdx_cmd *cmd)
{
	return -EINVAL;
}

#endif /* CONFIG_KVM_INTEL_TDX_MIG */

enum kvm_external_wrprot_result tdx_mig_write_protect(struct kvm *kvm, const gfn_t *gfns,
						      unsigned int nr);
void tdx_mig_track(struct kvm *kvm);
int tdx_mig_begin_conversion(struct kvm *kvm, gfn_t start, gfn_t end,
			     unsigned long attributes);
void tdx_mig_end_conversion(struct kvm *kvm);
int tdx_mig_get_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);
int tdx_mig_set_lapic(struct kvm_vcpu *vcpu, struct kvm_lapic_state *s);

#endif /* __KVM_X86_VMX_TDX_MIG_H */
