// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, destination side: import of private memory.
 *
 * A batch is decrypted straight into the guest_memfd pages that back it.  Almost
 * every failure of the leaf is the end of the session, so the MBMD and the GPA list
 * are validated before, and kvm_tdp_mmu_import() provides the rest: pages, page
 * tables, and frozen SPTEs while the TDX module is at work.
 *
 * After the start token, the order of pages does not matter any more.  The TDX
 * module skips pages that are there already.  The TD may run, and vCPUs that
 * miss a page leave that to userspace.  Userspace may also map a page of no
 * content.
 */
#include <kunit/visibility.h>

#include <asm/cacheflush.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"

/* Entry of the list of new TD pages that has no page. */
#define TDX_MIG_NEW_PAGE_INVALID	BIT_ULL(63)

/* What the callback of kvm_tdp_mmu_import() needs. */
struct tdx_mig_import {
	struct tdx_mig_stream *stream;
	struct tdx_mig_cmd *cmd;
};

static bool tdx_mig_is_out_of_order(enum tdx_mig_phase phase)
{
	return phase == TDX_MIG_POST_IMPORT || phase == TDX_MIG_LIVE_IMPORT;
}

static bool tdx_mig_can_import(struct kvm *kvm)
{
	enum tdx_mig_phase phase = READ_ONCE(to_kvm_tdx(kvm)->mig->phase);

	lockdep_assert_held(&kvm->mmu_lock);

	return phase == TDX_MIG_MEMORY_IMPORT || phase == TDX_MIG_STATE_IMPORT ||
	       tdx_mig_is_out_of_order(phase);
}

/* Write back dirty cache lines now, lest they overwrite what the TD gets. */
static void tdx_mig_prepare_page(struct kvm *kvm, struct page *page)
{
	clflush_cache_range(page_address(page), PAGE_SIZE);
}

/*
 * Write back what the TDX module, or the TD, has left of a page in the caches, and
 * make the page usable with KVM's key.  It must not get to anybody else before that,
 * so this is done while its SPTE is frozen.
 */
static void tdx_mig_take_back_page(struct kvm *kvm, kvm_pfn_t pfn)
{
	u64 err;

	err = tdh_phymem_page_wbinvd_hkid((u16)to_kvm_tdx(kvm)->hkid, pfn);
	if (TDX_BUG_ON(err, TDH_PHYMEM_PAGE_WBINVD, kvm)) {
		/* Leak the page, rather than let stale lines corrupt its next user. */
		get_page(pfn_to_page(pfn));
		return;
	}

	tdx_quirk_reset_paddr(PFN_PHYS(pfn), PAGE_SIZE);
}

VISIBLE_IF_KUNIT int tdx_mig_check_in_order(const struct kvm_import_entry *entry)
{
	bool present = entry->state == KVM_IMPORT_PRESENT;
	bool is_new = entry->op == KVM_IMPORT_NEW;

	if (present != is_new)
		return 0;

	return present ? -EEXIST : -ENOENT;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_check_in_order);

/*
 * Refuse what the TDX module would end the session for, as far as KVM can tell, and
 * list the new pages for it.
 */
static int tdx_mig_check_entries(struct tdx_mig_stream *stream)
{
	u64 *new_list = page_address(stream->new_list);
	u64 *entries = stream->entries;
	struct kvm_import *import = stream->import;
	struct kvm_import_entry *entry;
	unsigned int i, status;
	int r;

	for (i = 0; i < import->nr; i++) {
		entry = &import->entries[i];
		if (entry->op == KVM_IMPORT_NONE)
			continue;

		if (!import->on_demand) {
			r = tdx_mig_check_in_order(entry);
			if (r)
				return r;
		} else if (entry->state == KVM_IMPORT_REMOVED) {
			/* The TDX module would end the session. */
			status = TDX_MIG_GPA_STATUS_DISALLOWED_IMPORT_OVER_REMOVED;
			entries[i] = tdx_mig_gpa_set_status(entries[i], status);
			return -EEXIST;
		}

		/*
		 * The TDX module skips a page that is mapped.  In no case must it
		 * take the buffer for the new page.
		 */
		if (entry->op == KVM_IMPORT_NEW)
			new_list[i] = PFN_PHYS(entry->pfn);
	}

	return 0;
}

VISIBLE_IF_KUNIT bool tdx_mig_entry_succeeded(const struct kvm_import_entry *entry,
					      u64 gpa_entry)
{
	bool is_new = entry->op == KVM_IMPORT_NEW;

	return tdx_mig_gpa_status(gpa_entry) == TDX_MIG_GPA_STATUS_SUCCESS &&
	       tdx_mig_gpa_op(gpa_entry) != TDX_MIG_GPA_OP_NOP &&
	       is_new == (tdx_mig_gpa_op(gpa_entry) == TDX_MIG_GPA_OP_MIGRATE) &&
	       !(is_new && entry->state == KVM_IMPORT_PRESENT);
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_entry_succeeded);

/*
 * The first @done entries have been processed.  Report what has become of them, and
 * take back the pages that the TD did not get, or has lost.  The next page may have
 * been touched, too: the TDX module decrypts a page before it knows whether the content
 * is genuine, and does not undo that.
 */
static void tdx_mig_settle_import(struct tdx_mig_stream *stream, unsigned int done)
{
	u64 *entries = stream->entries;
	struct kvm_import *import = stream->import;
	struct kvm_import_entry *entry;
	unsigned int i;

	for (i = 0; i < import->nr && i <= done; i++) {
		entry = &import->entries[i];
		if (entry->op == KVM_IMPORT_NONE)
			continue;

		if (i < done && tdx_mig_entry_succeeded(entry, entries[i])) {
			if (entry->op == KVM_IMPORT_NEW) {
				entry->result = KVM_IMPORT_DONE;
			} else if (tdx_mig_gpa_op(entries[i]) == TDX_MIG_GPA_OP_CANCEL) {
				tdx_mig_take_back_page(stream->kvm, entry->pfn);
				entry->result = KVM_IMPORT_UNMAPPED;
			}
		} else if (entry->op == KVM_IMPORT_NEW && entry->state != KVM_IMPORT_PRESENT) {
			tdx_mig_take_back_page(stream->kvm, entry->pfn);
		}
	}
}

/* Import the batch.  Returns in @done how many entries were processed. */
static u64 tdx_mig_do_import(struct tdx_mig_stream *stream, unsigned int nr,
			     struct tdx_mig_call *call, unsigned int *done)
{
	struct tdx_mem_bundle bundle = {
		.mbmd = stream->mbmd,
		.buf_list = stream->buf_list,
		.mac_list = { stream->mac_list[0], stream->mac_list[1] },
	};
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(stream->kvm);
	u64 info = tdx_gpa_list_info(stream->gpa_list, nr);
	u64 err;

	lockdep_assert_held_read(&stream->kvm->mmu_lock);

	do {
		err = tdh_import_mem(&kvm_tdx->td, &bundle, stream->new_list, stream->index,
				     call->resume, &info);
	} while (tdx_mig_call_again(call, err));

	tdx_mig_account_import_mem(stream, nr, tdx_mig_gpa_count_content(stream->entries, nr),
				   call, err);

	*done = tdx_mig_status(err) ? tdx_gpa_list_first(info) : nr;

	return err;
}

/*
 * In LIVE_IMPORT, no failure is fatal for the TD, so that the status does not tell
 * whether the TDX module still accepts pages.
 */
static bool tdx_mig_is_live_import(struct kvm *kvm)
{
	u64 op_state;

	return !tdx_mig_read_op_state(kvm, &op_state) && op_state == TDX_OP_STATE_LIVE_IMPORT;
}

/*
 * Find out whether the session goes on after the failure @err.  If not, say so
 * before mmu_lock is dropped, see tdx_mig_fail_import().
 */
static int tdx_mig_import_failed(struct kvm *kvm, const struct tdx_mig_call *call, u64 err)
{
	enum tdx_mig_phase phase = READ_ONCE(to_kvm_tdx(kvm)->mig->phase);
	int r;

	if (phase == TDX_MIG_LIVE_IMPORT) {
		if (!tdx_mig_is_transient(err) && !tdx_mig_is_live_import(kvm))
			tdx_mig_fail_import(kvm);
	} else if (call->resume && !tdx_mig_is_out_of_order(phase)) {
		/* An in-order bundle cannot be imported twice. */
		tdx_mig_fail_import(kvm);
	} else {
		tdx_mig_import_check(kvm, err);
	}

	r = tdx_mig_check_session(kvm);
	if (r)
		return r;

	/* Out of order, bundles can be imported again, and pages that are there are skipped. */
	if (tdx_mig_is_out_of_order(phase) && tdx_mig_is_transient(err))
		return -EAGAIN;

	return tdx_mig_call_errno(call, err);
}

/*
 * The TDX module also skips a page whose S-EPT entry is locked, because a vCPU is just
 * accepting it.
 */
static bool tdx_mig_has_busy_page(struct tdx_mig_stream *stream)
{
	u64 *entries = stream->entries;
	struct kvm_import *import = stream->import;
	unsigned int i;

	for (i = 0; i < import->nr; i++) {
		if (tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY &&
		    import->entries[i].op != KVM_IMPORT_NONE)
			return true;
	}

	return false;
}

/* All SPTEs of the batch are frozen. */
static int tdx_mig_import_frozen(struct kvm *kvm, struct kvm_import *import, void *opaque)
{
	struct tdx_mig_import *ctx = opaque;
	struct tdx_mig_stream *stream = ctx->stream;
	struct tdx_mig_call call = { .kvm = kvm };
	unsigned int done;
	u64 err;
	int r;

	lockdep_assert_held_read(&kvm->mmu_lock);

	/* A page has been removed, or another stream has failed. */
	if (!tdx_mig_can_import(kvm))
		return -EIO;

	r = tdx_mig_check_entries(stream);
	if (r)
		return r;

	err = tdx_mig_do_import(stream, import->nr, &call, &done);
	ctx->cmd->hw_error = err;
	tdx_mig_settle_import(stream, done);

	if (tdx_mig_status(err) || err & TDX_FATAL)
		return tdx_mig_import_failed(kvm, &call, err);

	return tdx_mig_has_busy_page(stream) ? -EAGAIN : 0;
}

static const struct kvm_import_ops tdx_mig_import_ops = {
	.prepare_page = tdx_mig_prepare_page,
	.import = tdx_mig_import_frozen,
};

static int tdx_mig_fill_import(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *new_list = page_address(stream->new_list);
	u64 *entries = stream->entries;
	struct kvm_import *import = stream->import;
	unsigned int i;

	import->nr = nr;
	import->on_demand =
		tdx_mig_is_out_of_order(READ_ONCE(to_kvm_tdx(stream->kvm)->mig->phase));

	for (i = 0; i < nr; i++) {
		import->entries[i].gfn = tdx_mig_gpa_gfn(entries[i]);
		new_list[i] = TDX_MIG_NEW_PAGE_INVALID;

		switch (tdx_mig_gpa_op(entries[i])) {
		case TDX_MIG_GPA_OP_NOP:
			import->entries[i].op = KVM_IMPORT_NONE;
			break;
		case TDX_MIG_GPA_OP_MIGRATE:
			import->entries[i].op = KVM_IMPORT_NEW;
			break;
		default:
			/* After the start token, they end the session. */
			if (import->on_demand)
				return -EINVAL;
			import->entries[i].op = KVM_IMPORT_MAPPED;
			break;
		}
	}

	return 0;
}

int tdx_mig_import_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig_import ctx = { .stream = stream, .cmd = cmd };
	unsigned int nr = cmd->value;
	int r;

	if (!cmd->value || cmd->value > stream->nr_bufs)
		return -EINVAL;

	r = tdx_mig_get_mbmd(stream, TDX_MIG_MBMD_TYPE_MEM);
	if (r)
		return r;

	if (tdx_mig_mbmd_num_gpas(stream) != nr)
		return -EINVAL;

	r = tdx_mig_get_gpa_list(stream, nr, true);
	if (r)
		return r;

	r = tdx_mig_fill_import(stream, nr);
	if (r)
		return r;

	tdx_mig_fill_buf_list(stream, nr);

	r = kvm_tdp_mmu_import(stream->kvm, stream->import, &tdx_mig_import_ops, &ctx);

	/* The bundle has to be as it was if the command is repeated. */
	if (r != -EAGAIN)
		tdx_mig_put_gpa_list(stream, nr);

	return r;
}
