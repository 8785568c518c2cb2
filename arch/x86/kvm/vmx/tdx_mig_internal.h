/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: what the files of tdx_mig*.c share.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_INTERNAL_H
#define __KVM_X86_VMX_TDX_MIG_INTERNAL_H

#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/xarray.h>

#include "mmu.h"
#include "tdx_mig.h"
#include "tdx_mig_seamcall.h"

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
 * cannot cancel it, or not restore the page, the session is EXPORT_LOST, and the TD
 * with it.  After the start token, such a removal rules out the abort, but nothing
 * else.  A conversion to shared memory is a removal that KVM refuses, see
 * tdx_mig_begin_conversion().
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
 *
 * The table in tdx_mig_session.c lists all changes that are legal.
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

	/* The number of the epoch, by session_sem. */
	u64 epoch;

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

	/*
	 * Snapshots and lists that userspace must not change, by lock.  @entries are
	 * those of @gpa_list.
	 */
	struct page *mbmd;
	struct page *gpa_list;
	u64 *entries;
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

	/*
	 * Where the bits of a GFN were found last, by lock.  Valid within a command, as
	 * session_sem is held.
	 */
	struct tdx_mig_sent *sent;
	unsigned long sent_index;
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

static inline bool tdx_mig_alloc_page(struct page **page)
{
	*page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return *page;
}

static inline void tdx_mig_free_page(struct page **page)
{
	if (*page)
		put_page(*page);
	*page = NULL;
}

/* tdx_mig_session.c */
void tdx_mig_set_phase(struct kvm *kvm, enum tdx_mig_phase phase);
int tdx_mig_check_session(struct kvm *kvm);
void tdx_mig_lose_export(struct kvm *kvm);
void tdx_mig_fail_import(struct kvm *kvm);
u64 tdx_mig_read_op_state(struct kvm *kvm, u64 *op_state);
void tdx_mig_import_check(struct kvm *kvm, u64 err);
void tdx_mig_hold_module(struct tdx_mig *mig);
void tdx_mig_release_module(struct tdx_mig *mig);
int tdx_mig_create_contexts(struct kvm *kvm, unsigned int nr, u64 *hw_error);

/* tdx_mig_stream.c */
int tdx_mig_stream_alloc_pages(struct tdx_mig_stream *stream, unsigned int nr_bufs);
void tdx_mig_stream_free_pages(struct tdx_mig_stream *stream);
int tdx_mig_stream_mmap(struct tdx_mig_stream *stream, struct vm_area_struct *vma);
int tdx_mig_get_gpa_list(struct tdx_mig_stream *stream, unsigned int nr, bool import);
void tdx_mig_put_gpa_list(struct tdx_mig_stream *stream, unsigned int nr);
int tdx_mig_get_mbmd(struct tdx_mig_stream *stream, u8 type);
unsigned int tdx_mig_mbmd_num_gpas(struct tdx_mig_stream *stream);
unsigned int tdx_mig_mbmd_vp_index(struct tdx_mig_stream *stream);
void tdx_mig_put_mbmd(struct tdx_mig_stream *stream);
void tdx_mig_fill_buf_list(struct tdx_mig_stream *stream, unsigned int nr);

/* tdx_mig_epoch.c */
void tdx_mig_begin_epoch(struct tdx_mig *mig);
void tdx_mig_forget_sent(struct tdx_mig *mig);
bool tdx_mig_is_range_exported(struct tdx_mig *mig, gfn_t start, gfn_t end);
int tdx_mig_claim_entries(struct tdx_mig_stream *stream, unsigned int nr);
void tdx_mig_unclaim_entries(struct tdx_mig_stream *stream, unsigned int nr);
unsigned int tdx_mig_settle_entries(struct tdx_mig_stream *stream, unsigned int first,
				    unsigned int end);

/* tdx_mig_dirty.c */
void tdx_mig_reset_dirty_log(struct kvm *kvm);

/* tdx_mig_vcpu.c */
struct kvm_vcpu *tdx_mig_get_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd);
struct kvm_vcpu *tdx_mig_get_initialized_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd);
bool tdx_mig_vcpu_is_importing(struct kvm_vcpu *vcpu);
void tdx_mig_forget_vcpu_reads(struct kvm *kvm);
bool tdx_mig_has_unread_vcpu(struct kvm *kvm);

/* tdx_mig_abort.c */
bool tdx_mig_abort_session(struct kvm *kvm);
void tdx_mig_give_up_export(struct kvm *kvm);
bool tdx_mig_restore_page(struct kvm *kvm, gfn_t gfn);

/* tdx_mig_stats.c */
void tdx_mig_account_export_mem(struct tdx_mig_stream *stream, unsigned int nr,
				unsigned int content, const struct tdx_mig_call *call,
				u64 err);
void tdx_mig_account_import_mem(struct tdx_mig_stream *stream, unsigned int nr,
				unsigned int content, const struct tdx_mig_call *call,
				u64 err);
void tdx_mig_account_export_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err);
void tdx_mig_account_import_state(struct tdx_mig_stream *stream, u8 type,
				  const struct kvm_vcpu *vcpu, u64 nr_pages, u64 err);
void tdx_mig_account_export_track(struct tdx_mig_stream *stream, bool start_token, u64 err);
void tdx_mig_account_import_track(struct tdx_mig_stream *stream, u64 err);
void tdx_mig_account_block(struct kvm *kvm, unsigned int nr, unsigned int busy);
void tdx_mig_account_unblock(struct kvm *kvm, gfn_t gfn);

/* Commands of a stream, by the file that has the handler. */

/* tdx_mig_export.c */
int tdx_mig_export_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_pause(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_export_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

/* tdx_mig_export_mem.c */
int tdx_mig_export_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

/* tdx_mig_abort.c */
int tdx_mig_export_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

/* tdx_mig_import.c */
int tdx_mig_import_state_immutable(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_track(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_state_td(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_state_vp(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_commit(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_end(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
int tdx_mig_import_abort(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

/* tdx_mig_import_mem.c */
int tdx_mig_import_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);

#if IS_ENABLED(CONFIG_KUNIT)
/* Otherwise static, by the file in which they are. */

/* tdx_mig_session.c */
bool tdx_mig_phase_can_follow(enum tdx_mig_phase phase, enum tdx_mig_phase next);

/* tdx_mig_stream.c */
struct page *tdx_mig_stream_page(struct tdx_mig_stream *stream, pgoff_t pgoff,
				 unsigned int nr_bufs);
bool tdx_mig_stream_can_map(const struct vm_area_struct *vma, unsigned int nr_bufs);

/* tdx_mig_dirty.c */
int tdx_mig_keep_busy(struct kvm *kvm, u64 *entries, unsigned int nr);

/* tdx_mig_import_mem.c */
int tdx_mig_check_in_order(const struct kvm_import_entry *entry);
bool tdx_mig_entry_succeeded(const struct kvm_import_entry *entry, u64 gpa_entry);
#endif

#endif /* __KVM_X86_VMX_TDX_MIG_INTERNAL_H */
