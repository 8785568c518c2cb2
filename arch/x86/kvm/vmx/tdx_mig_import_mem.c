// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs, destination side: import of private memory.
 *
 * A batch is decrypted straight into the guest_memfd pages that back it.  Almost
 * every failure of the leaf is the end of the session, so all that can go wrong
 * is sorted out before:
 *
 *	1. snapshot and validate MBMD and GPA list
 *	2. get the guest_memfd pages, do not clear them
 *	3. link the page tables
 *	4. with mmu_lock held for read: check that nothing was invalidated since
 *	   step 2, freeze all leaf SPTEs, call the TDX module until the list is
 *	   done, give each SPTE its final value
 *
 * There is no way to sleep in step 4.  The pages cannot be zapped meanwhile, and
 * other streams find frozen SPTEs.
 *
 * After the start token, the order of pages does not matter any more.  The TDX
 * module skips pages that are there already.  The TD may run, and vCPUs that
 * miss a page leave that to userspace.  Userspace may also map a page of no
 * content, hence the pages of guest_memfd are cleared as usual: nobody must do
 * that while a page is being imported.
 */
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/srcu.h>

#include <asm/cacheflush.h>

#include "tdx_mig.h"

/* Entry of the list of new TD pages that has no page. */
#define TDX_MIG_NEW_PAGE_INVALID	BIT_ULL(63)

static bool tdx_mig_is_out_of_order(enum tdx_mig_phase phase)
{
	return phase == TDX_MIG_POST_IMPORT || phase == TDX_MIG_LIVE_IMPORT;
}

static int tdx_mig_get_new_page(struct kvm *kvm, gfn_t gfn, bool out_of_order,
				struct page **page, u64 *hpa)
{
	struct kvm_memory_slot *slot = gfn_to_memslot(kvm, gfn);
	kvm_pfn_t pfn;
	int r;

	if (!slot || slot->flags & KVM_MEMSLOT_INVALID || !kvm_slot_has_gmem(slot) ||
	    !kvm_mem_is_private(kvm, gfn))
		return -EINVAL;

	if (out_of_order)
		r = kvm_gmem_get_pfn(kvm, slot, gfn, &pfn, page, NULL);
	else
		r = kvm_gmem_get_import_pfn(kvm, slot, gfn, &pfn, page);
	if (r)
		return r;

	/* No dirty cache line may be written back over what the TD gets. */
	clflush_cache_range(page_address(*page), PAGE_SIZE);
	*hpa = PFN_PHYS(pfn);

	return 0;
}

/* Pages that are there already need no new page, and are not to be touched. */
static void tdx_mig_find_mapped(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	struct kvm *kvm = stream->kvm;
	unsigned int i;
	gfn_t gfn;

	guard(read_lock)(&kvm->mmu_lock);

	for (i = 0; i < nr; i++) {
		gfn = tdx_mig_entry_gfn(entries[i]);
		stream->import[i].mapped = stream->import[i].op != TDX_MIG_GPA_OP_NOP &&
					   !kvm_tdp_mmu_mirror_lookup(kvm, gfn);
	}
}

static int tdx_mig_get_new_pages(struct tdx_mig_stream *stream, unsigned int nr)
{
	bool out_of_order = tdx_mig_is_out_of_order(READ_ONCE(to_kvm_tdx(stream->kvm)->mig->phase));
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	u64 *new_list = tdx_mig_page_entries(stream->new_list);
	struct tdx_mig_import_page *import;
	unsigned int i;
	int r;

	for (i = 0; i < nr; i++) {
		import = &stream->import[i];
		*import = (struct tdx_mig_import_page) {
			.op = tdx_mig_gpa_op(entries[i]),
		};
		new_list[i] = TDX_MIG_NEW_PAGE_INVALID;
	}

	if (out_of_order)
		tdx_mig_find_mapped(stream, nr);

	for (i = 0; i < nr; i++) {
		import = &stream->import[i];
		if (import->op != TDX_MIG_GPA_OP_MIGRATE || import->mapped)
			continue;

		/* What is allocated so far is found again. */
		if (fatal_signal_pending(current))
			return -EINTR;

		r = tdx_mig_get_new_page(stream->kvm, tdx_mig_entry_gfn(entries[i]),
					 out_of_order, &import->page, &new_list[i]);
		if (r)
			return r;

		cond_resched();
	}

	return 0;
}

static void tdx_mig_put_new_pages(struct tdx_mig_stream *stream, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (stream->import[i].page)
			put_page(stream->import[i].page);
		stream->import[i].page = NULL;
	}
}

/*
 * The TDX module has removed a page.  Should there be no memory to remember that,
 * the rest of the import cannot be told from an attack any more.
 */
void tdx_mig_note_removal(struct kvm *kvm, gfn_t gfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (!mig || !tdx_mig_is_out_of_order(mig->phase))
		return;

	if (xa_err(xa_store(&mig->removed, gfn, xa_mk_value(0), GFP_ATOMIC | __GFP_ACCOUNT)))
		tdx_mig_set_phase(kvm, mig->phase == TDX_MIG_LIVE_IMPORT ?
				       TDX_MIG_IMPORT_CLOSED : TDX_MIG_IMPORT_FAILED);
}

static bool tdx_mig_can_import(struct kvm *kvm)
{
	enum tdx_mig_phase phase = to_kvm_tdx(kvm)->mig->phase;

	lockdep_assert_held(&kvm->mmu_lock);

	return phase == TDX_MIG_MEMORY_IMPORT || phase == TDX_MIG_STATE_IMPORT ||
	       tdx_mig_is_out_of_order(phase);
}

static int tdx_mig_link_one(struct tdx_mig_stream *stream, gfn_t gfn)
{
	struct kvm *kvm = stream->kvm;
	unsigned int retries = 0;
	int r;

	do {
		r = kvm_tdp_mmu_mirror_cache_topup(&stream->cache);
		if (r)
			return r;

		read_lock(&kvm->mmu_lock);
		if (tdx_mig_can_import(kvm))
			r = kvm_tdp_mmu_mirror_link(kvm, &stream->cache, gfn);
		else
			r = -EIO;
		read_unlock(&kvm->mmu_lock);

		cond_resched();
	} while (r == -EBUSY && retries++ < TDX_MIG_MAX_RETRIES);

	return r == -EBUSY ? -EAGAIN : r;
}

/* Page tables stay where they are, so do not look twice for the same one. */
static int tdx_mig_link(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	gfn_t first, linked = ~0ULL;
	unsigned int i;
	int r;

	for (i = 0; i < nr; i++) {
		if (stream->import[i].op == TDX_MIG_GPA_OP_NOP)
			continue;

		/* The first GFN of the page table. */
		first = ALIGN_DOWN(tdx_mig_entry_gfn(entries[i]),
				   KVM_PAGES_PER_HPAGE(PG_LEVEL_2M));
		if (first == linked)
			continue;

		r = tdx_mig_link_one(stream, first);
		if (r)
			return r;

		linked = first;
	}

	return 0;
}

/* Does the list name the GFN of entry @nr a second time? */
static bool tdx_mig_is_duplicate(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	gfn_t gfn = tdx_mig_entry_gfn(entries[nr]);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (stream->import[i].frozen && tdx_mig_entry_gfn(entries[i]) == gfn)
			return true;
	}

	return false;
}

static void tdx_mig_unfreeze(struct tdx_mig_stream *stream, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (stream->import[i].frozen)
			kvm_tdp_mmu_mirror_unfreeze(stream->kvm, &stream->import[i].leaf);
	}
}

static int tdx_mig_check_in_order(struct tdx_mig_import_page *import)
{
	bool present = kvm_tdp_mmu_mirror_was_present(&import->leaf);
	bool is_new = import->op == TDX_MIG_GPA_OP_MIGRATE;

	if (present != is_new)
		return 0;

	return present ? -EEXIST : -ENOENT;
}

/*
 * The TDX module skips a page that is mapped, but ends the session for one that
 * has been removed since the start token.
 */
static int tdx_mig_check_out_of_order(struct tdx_mig_stream *stream, unsigned int i)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	u64 *entry = tdx_mig_page_entries(stream->gpa_list) + i;
	struct tdx_mig_import_page *import = &stream->import[i];

	if (kvm_tdp_mmu_mirror_was_present(&import->leaf)) {
		/* In no case must it take the buffer for the new page. */
		tdx_mig_page_entries(stream->new_list)[i] =
			PFN_PHYS(kvm_tdp_mmu_mirror_old_pfn(&import->leaf));
		return 0;
	}

	if (xa_load(&mig->removed, tdx_mig_entry_gfn(*entry))) {
		*entry |= (u64)TDX_MIG_GPA_STATUS_DISALLOWED_IMPORT_OVER_REMOVED <<
			  TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
		return -EEXIST;
	}

	/* It was mapped when pages were looked for. */
	return import->page ? 0 : -EAGAIN;
}

static int tdx_mig_freeze(struct tdx_mig_stream *stream, unsigned int nr,
			  unsigned long mmu_seq)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	struct tdx_mig_import_page *import;
	struct kvm *kvm = stream->kvm;
	bool out_of_order;
	unsigned int i;
	gfn_t gfn;
	int r;

	out_of_order = tdx_mig_is_out_of_order(to_kvm_tdx(kvm)->mig->phase);

	for (i = 0; i < nr; i++) {
		import = &stream->import[i];
		if (import->op == TDX_MIG_GPA_OP_NOP)
			continue;

		gfn = tdx_mig_entry_gfn(entries[i]);
		r = -EAGAIN;
		if (mmu_invalidate_retry_gfn(kvm, mmu_seq, gfn))
			goto unfreeze;

		r = kvm_tdp_mmu_mirror_freeze(kvm, gfn, &import->leaf);
		if (r) {
			if (r == -EBUSY)
				r = tdx_mig_is_duplicate(stream, i) ? -EINVAL : -EAGAIN;
			goto unfreeze;
		}
		import->frozen = true;

		r = out_of_order ? tdx_mig_check_out_of_order(stream, i) :
				   tdx_mig_check_in_order(import);
		if (r)
			goto unfreeze;
	}

	return 0;

unfreeze:
	tdx_mig_unfreeze(stream, nr);
	return r;
}

/*
 * The TDX module may have written to a page that is not, or no longer, one of the
 * TD.  Nobody else must get it before the caches are clean, so do this as long as
 * its SPTE is frozen.
 */
static void tdx_mig_clean_page(struct kvm *kvm, kvm_pfn_t pfn)
{
	u64 err = tdh_phymem_page_wbinvd_hkid((u16)to_kvm_tdx(kvm)->hkid, pfn);

	if (TDX_BUG_ON(err, TDH_PHYMEM_PAGE_WBINVD, kvm)) {
		/* Leak the page, it can not be used for anything. */
		get_page(pfn_to_page(pfn));
		return;
	}

	tdx_quirk_reset_paddr(PFN_PHYS(pfn), PAGE_SIZE);
}

/* A page that was imported before has been taken from the TD again. */
static void tdx_mig_import_canceled(struct kvm *kvm, struct kvm_mirror_leaf *leaf)
{
	tdx_mig_clean_page(kvm, kvm_tdp_mmu_mirror_old_pfn(leaf));
	kvm_tdp_mmu_mirror_unmap(kvm, leaf);
}

/*
 * A page was not imported.  If its MAC is wrong, the TDX module has decrypted it
 * through the KeyID of the TD all the same.
 */
static void tdx_mig_import_refused(struct kvm *kvm, struct tdx_mig_import_page *import)
{
	/* The TD still has the page that was there before, which may be this one. */
	if (import->page && !kvm_tdp_mmu_mirror_was_present(&import->leaf))
		tdx_mig_clean_page(kvm, page_to_pfn(import->page));

	kvm_tdp_mmu_mirror_unfreeze(kvm, &import->leaf);
}

/*
 * The first @done entries have been processed.  Make the mirror page table show
 * what has become of them, and leave the rest as it was.
 */
static void tdx_mig_commit(struct tdx_mig_stream *stream, unsigned int nr, unsigned int done)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	struct tdx_mig_import_page *import;
	struct kvm *kvm = stream->kvm;
	unsigned int i;
	bool success;

	for (i = 0; i < nr; i++) {
		import = &stream->import[i];
		if (!import->frozen)
			continue;

		success = i < done && tdx_mig_gpa_op(entries[i]) == import->op &&
			  tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SUCCESS;

		if (success && import->op == TDX_MIG_GPA_OP_MIGRATE) {
			folio_mark_uptodate(page_folio(import->page));
			kvm_tdp_mmu_mirror_map(kvm, &import->leaf, page_to_pfn(import->page));
		} else if (success && import->op == TDX_MIG_GPA_OP_CANCEL) {
			tdx_mig_import_canceled(kvm, &import->leaf);
		} else {
			tdx_mig_import_refused(kvm, import);
		}
	}
}

/*
 * Import the batch.  Returns in @done how many entries were processed, and in
 * @partial whether a bundle was left half done.
 */
static u64 tdx_mig_do_import(struct tdx_mig_stream *stream, unsigned int nr,
			     unsigned int *done, bool *partial)
{
	struct tdx_mem_bundle bundle = {
		.mbmd = stream->mbmd,
		.buf_list = stream->buf_list,
		.mac_list = { stream->mac_list[0], stream->mac_list[1] },
	};
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(stream->kvm);
	u64 info = tdx_gpa_list_info(stream->gpa_list, nr);
	struct tdx_mig_calls calls = {};
	bool resume;
	u64 err;

	lockdep_assert_held_read(&stream->kvm->mmu_lock);

	err = __tdx_mig_complete(&calls, resume,
				 tdh_import_mem(&kvm_tdx->td, &bundle, stream->new_list,
						stream->index, resume, &info));
	tdx_mig_account_import_mem(stream, nr, &calls, err);

	*done = tdx_mig_status(err) ? tdx_gpa_list_first(info) : nr;
	*partial = tdx_mig_status(err) && resume;

	return err;
}

/*
 * In LIVE_IMPORT, no failure is fatal for the TD, so that the status does not tell
 * whether the TDX module still accepts pages.
 */
static bool tdx_mig_is_live_import(struct kvm *kvm)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	u64 op_state;

	return !tdx_mig_retry(kvm, tdh_mng_rd(&kvm_tdx->td,
					      TDCS_MNG_NON_ARCH(TD_TDCS_MNG_OP_STATE),
					      &op_state)) &&
	       op_state == TDX_OP_STATE_LIVE_IMPORT;
}

/* Find out whether the session goes on after the failure @err. */
static int tdx_mig_import_failed(struct kvm *kvm, u64 err, bool partial)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	guard(write_lock)(&kvm->mmu_lock);

	if (mig->phase == TDX_MIG_LIVE_IMPORT) {
		if (!tdx_mig_is_busy(err) && !tdx_mig_is_live_import(kvm))
			tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_CLOSED);
		return tdx_mig_errno(err);
	}

	/* A bundle that comes in order is imported once. */
	if (err & TDX_FATAL || (partial && !tdx_mig_is_out_of_order(mig->phase))) {
		tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_FAILED);
		return -EIO;
	}

	return tdx_mig_errno(err);
}

/*
 * The TDX module skips a page, too, while a vCPU is about to accept it, and holds
 * the lock of its S-EPT entry.
 */
static bool tdx_mig_has_busy_page(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_status(entries[i]) == TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY &&
		    stream->import[i].op != TDX_MIG_GPA_OP_NOP)
			return true;
	}

	return false;
}

static int tdx_mig_import_batch(struct tdx_mig_stream *stream, unsigned int nr,
				struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	unsigned long mmu_seq;
	unsigned int done;
	bool partial;
	int r;

	mmu_seq = kvm->mmu_invalidate_seq;
	/* Pairs with the barrier in kvm_mmu_invalidate_end(). */
	smp_rmb();

	r = tdx_mig_get_new_pages(stream, nr);
	if (r)
		goto put_pages;

	r = tdx_mig_link(stream, nr);
	if (r)
		goto put_pages;

	read_lock(&kvm->mmu_lock);

	r = tdx_mig_can_import(kvm) ? tdx_mig_freeze(stream, nr, mmu_seq) : -EIO;
	if (r) {
		read_unlock(&kvm->mmu_lock);
		goto put_pages;
	}

	cmd->hw_error = tdx_mig_do_import(stream, nr, &done, &partial);
	tdx_mig_commit(stream, nr, done);

	read_unlock(&kvm->mmu_lock);

	if (tdx_mig_status(cmd->hw_error) || cmd->hw_error & TDX_FATAL)
		r = tdx_mig_import_failed(kvm, cmd->hw_error, partial);
	else if (tdx_mig_has_busy_page(stream, nr))
		r = -EAGAIN;

put_pages:
	tdx_mig_put_new_pages(stream, nr);

	return r;
}

/* After the start token, the TDX module ends the session for all but MIGRATE. */
static int tdx_mig_check_ops(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i, op;

	if (!tdx_mig_is_out_of_order(READ_ONCE(to_kvm_tdx(stream->kvm)->mig->phase)))
		return 0;

	for (i = 0; i < nr; i++) {
		op = tdx_mig_gpa_op(entries[i]);
		if (op != TDX_MIG_GPA_OP_MIGRATE && op != TDX_MIG_GPA_OP_NOP)
			return -EINVAL;
	}

	return 0;
}

int tdx_mig_import_mem(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd)
{
	unsigned int nr = cmd->value;
	struct kvm *kvm = stream->kvm;
	int r, idx;

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

	r = tdx_mig_check_ops(stream, nr);
	if (r)
		return r;

	tdx_mig_fill_buf_list(stream, nr);

	idx = srcu_read_lock(&kvm->srcu);
	r = tdx_mig_import_batch(stream, nr, cmd);
	srcu_read_unlock(&kvm->srcu, idx);

	/* The bundle has to be as it was if the command is repeated. */
	if (r != -EAGAIN)
		tdx_mig_put_gpa_list(stream, nr);

	return r;
}
