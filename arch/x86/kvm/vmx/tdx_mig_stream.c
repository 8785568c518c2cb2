// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the buffers of a stream, and the migration state of a
 * TD from its creation to its teardown.
 *
 * A stream has pages that are shared with userspace: the MBMD, the GPA list, the
 * MACs, and the buffers for encrypted content.  MACs and content are
 * authenticated by the TDX module, so it uses them in place.  KVM itself decides
 * by MBMD and GPA list, so it takes a snapshot of these two, validates that, and
 * lets the TDX module see nothing else.
 */
#include <linux/bitmap.h>
#include <linux/mm.h>

#include <asm/seamldr.h>

#include "tdx_mig.h"
#include "tdx_mig_trace.h"

static_assert(sizeof(struct tdx_mig_mbmd) == TDX_MIG_MBMD_SIZE);
static_assert(offsetof(struct tdx_mig_mbmd, mb_type) == 6);
static_assert(offsetof(struct tdx_mig_mbmd, type_info) == 24);
static_assert(offsetof(struct tdx_mig_mbmd, mac) == 32);
static_assert(sizeof(struct kvm_tdx_mig_state_vp) == 16);
static_assert(TDX_MIG_BUF_LIST_PAGES_MAX * sizeof(u64) == PAGE_SIZE);

#define TDX_MIG_GPA_ENTRY_RESERVED	(~(TDX_MIG_GPA_ENTRY_LEVEL_MASK |	\
					   TDX_MIG_GPA_ENTRY_PENDING |		\
					   TDX_MIG_GPA_ENTRY_L2_MAP_MASK |	\
					   TDX_MIG_GPA_ENTRY_TYPE_MASK |	\
					   TDX_MIG_GPA_ENTRY_GPA_MASK |		\
					   TDX_MIG_GPA_ENTRY_OP_MASK |		\
					   TDX_MIG_GPA_ENTRY_STATUS_MASK))

/* In a memory MBMD: number of GPA list entries. */
#define TDX_MIG_MBMD_NUM_GPAS_MASK	GENMASK_ULL(15, 0)

unsigned int tdx_mig_gpa_op(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_OP_MASK) >> TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

unsigned int tdx_mig_gpa_status(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_STATUS_MASK) >> TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
}

u64 *tdx_mig_page_entries(struct page *page)
{
	return page_address(page);
}

/* Entries of the GPA list that have a page in the bundle. */
unsigned int tdx_mig_count_content(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *entries = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i, op, count = 0;

	for (i = 0; i < nr; i++) {
		op = tdx_mig_gpa_op(entries[i]);
		if ((op == TDX_MIG_GPA_OP_MIGRATE || op == TDX_MIG_GPA_OP_REMIGRATE) &&
		    !(entries[i] & TDX_MIG_GPA_ENTRY_PENDING))
			count++;
	}

	return count;
}

/* One malformed entry, of whatever operation, ends the session. */
static bool tdx_mig_gpa_entry_is_valid(struct kvm *kvm, u64 entry, bool import)
{
	gpa_t gpa = entry & TDX_MIG_GPA_ENTRY_GPA_MASK;
	unsigned int status = tdx_mig_gpa_status(entry);

	if (entry & (TDX_MIG_GPA_ENTRY_RESERVED | TDX_MIG_GPA_ENTRY_LEVEL_MASK))
		return false;

	/*
	 * An entry that was not exported is part of the bundle as it came back,
	 * status and all, and the TDX module looks at nothing else of it.
	 */
	if (import && tdx_mig_gpa_op(entry) == TDX_MIG_GPA_OP_NOP)
		return true;

	if (entry & (TDX_MIG_GPA_ENTRY_L2_MAP_MASK | TDX_MIG_GPA_ENTRY_TYPE_MASK))
		return false;

	if (status != TDX_MIG_GPA_STATUS_SUCCESS)
		return false;

	/* The SHARED bit is the uppermost bit of a GPA. */
	return gpa < gfn_to_gpa(kvm_gfn_direct_bits(kvm));
}

/* Take a snapshot of the first @nr entries of the GPA list, and validate it. */
int tdx_mig_get_gpa_list(struct tdx_mig_stream *stream, unsigned int nr, bool import)
{
	u64 *src = tdx_mig_page_entries(stream->user_gpa_list);
	u64 *dst = tdx_mig_page_entries(stream->gpa_list);
	unsigned int i;

	lockdep_assert_held(&stream->lock);

	for (i = 0; i < nr; i++) {
		dst[i] = READ_ONCE(src[i]);
		if (!tdx_mig_gpa_entry_is_valid(stream->kvm, dst[i], import))
			return -EINVAL;
	}

	return 0;
}

/* Return the entries, and their status, to userspace. */
void tdx_mig_put_gpa_list(struct tdx_mig_stream *stream, unsigned int nr)
{
	lockdep_assert_held(&stream->lock);

	memcpy(page_address(stream->user_gpa_list), page_address(stream->gpa_list),
	       nr * sizeof(u64));
}

/* Take a snapshot of the MBMD, which has to be of type @type. */
int tdx_mig_get_mbmd(struct tdx_mig_stream *stream, u8 type)
{
	struct tdx_mig_mbmd *mbmd = page_address(stream->mbmd);

	lockdep_assert_held(&stream->lock);

	memcpy(mbmd, page_address(stream->user_mbmd), sizeof(*mbmd));
	/* Validate what the TDX module is going to see. */
	barrier();

	if (le16_to_cpu(mbmd->size) != TDX_MIG_MBMD_SIZE || mbmd->mb_type != type)
		return -EINVAL;

	if (type != TDX_MIG_MBMD_TYPE_ABORT_TOKEN &&
	    le16_to_cpu(mbmd->migs_index) != stream->index)
		return -EINVAL;

	return 0;
}

unsigned int tdx_mig_mbmd_num_gpas(struct tdx_mig_stream *stream)
{
	struct tdx_mig_mbmd *mbmd = page_address(stream->mbmd);

	return le64_to_cpu(mbmd->type_info) & TDX_MIG_MBMD_NUM_GPAS_MASK;
}

void tdx_mig_put_mbmd(struct tdx_mig_stream *stream)
{
	lockdep_assert_held(&stream->lock);

	memcpy(page_address(stream->user_mbmd), page_address(stream->mbmd),
	       sizeof(struct tdx_mig_mbmd));
}

/*
 * List the first @nr buffers for the TDX module.  It changes the list, so this
 * has to be done for each bundle.
 */
void tdx_mig_fill_buf_list(struct tdx_mig_stream *stream, unsigned int nr)
{
	u64 *list = tdx_mig_page_entries(stream->buf_list);
	unsigned int i;

	lockdep_assert_held(&stream->lock);

	for (i = 0; i < nr; i++)
		list[i] = page_to_phys(stream->bufs[i]);
}

static struct page *tdx_mig_stream_page(struct tdx_mig_stream *stream, pgoff_t pgoff,
					unsigned int nr_bufs)
{
	switch (pgoff) {
	case TDX_MIG_STREAM_MBMD_MAP_OFFSET:
		return stream->user_mbmd;
	case TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET:
		return stream->user_gpa_list;
	case TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET:
	case TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET + 1:
		return stream->mac_list[pgoff - TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET];
	default:
		pgoff -= TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET;
		return pgoff < nr_bufs ? stream->bufs[pgoff] : NULL;
	}
}

static vm_fault_t tdx_mig_stream_fault(struct vm_fault *vmf)
{
	struct tdx_mig_stream *stream = vmf->vma->vm_private_data;
	struct page *page;

	page = tdx_mig_stream_page(stream, vmf->pgoff, stream->nr_bufs);
	if (!page)
		return VM_FAULT_SIGBUS;

	get_page(page);
	vmf->page = page;

	return 0;
}

static const struct vm_operations_struct tdx_mig_stream_vm_ops = {
	.fault = tdx_mig_stream_fault,
};

/*
 * The mapping keeps the device file, and by that the stream, alive.  Takes no
 * lock of the stream, as mmap_lock is held.
 */
int tdx_mig_stream_mmap(struct tdx_mig_stream *stream, struct vm_area_struct *vma)
{
	/* Pairs with the release in tdx_mig_stream_alloc_pages(). */
	unsigned long nr_pages = smp_load_acquire(&stream->nr_bufs);

	if (!nr_pages)
		return -ENXIO;

	nr_pages += TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET;
	if (!(vma->vm_flags & VM_SHARED) ||
	    vma->vm_pgoff >= nr_pages || vma_pages(vma) > nr_pages - vma->vm_pgoff)
		return -EINVAL;

	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &tdx_mig_stream_vm_ops;
	vma->vm_private_data = stream;

	return 0;
}

static void tdx_mig_free_page(struct page **page)
{
	if (*page)
		put_page(*page);
	*page = NULL;
}

void tdx_mig_stream_free_pages(struct tdx_mig_stream *stream)
{
	unsigned int i;

	tdx_mig_free_page(&stream->user_mbmd);
	tdx_mig_free_page(&stream->user_gpa_list);
	tdx_mig_free_page(&stream->mac_list[0]);
	tdx_mig_free_page(&stream->mac_list[1]);
	tdx_mig_free_page(&stream->mbmd);
	tdx_mig_free_page(&stream->gpa_list);
	tdx_mig_free_page(&stream->buf_list);
	tdx_mig_free_page(&stream->new_list);

	if (stream->bufs) {
		for (i = 0; i < TDX_MIG_BUF_LIST_PAGES_MAX; i++)
			tdx_mig_free_page(&stream->bufs[i]);
		kfree(stream->bufs);
		stream->bufs = NULL;
	}

	kvm_tdp_mmu_free_import(stream->import);
	stream->import = NULL;
}

static bool tdx_mig_alloc_page(struct page **page)
{
	*page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return *page;
}

int tdx_mig_stream_alloc_pages(struct tdx_mig_stream *stream, unsigned int nr_bufs)
{
	unsigned int i;

	lockdep_assert_held(&stream->lock);

	if (!tdx_mig_alloc_page(&stream->user_mbmd) ||
	    !tdx_mig_alloc_page(&stream->user_gpa_list) ||
	    !tdx_mig_alloc_page(&stream->mac_list[0]) ||
	    !tdx_mig_alloc_page(&stream->mac_list[1]) ||
	    !tdx_mig_alloc_page(&stream->mbmd) ||
	    !tdx_mig_alloc_page(&stream->gpa_list) ||
	    !tdx_mig_alloc_page(&stream->buf_list) ||
	    !tdx_mig_alloc_page(&stream->new_list))
		goto free;

	stream->bufs = kcalloc(TDX_MIG_BUF_LIST_PAGES_MAX, sizeof(*stream->bufs),
			       GFP_KERNEL_ACCOUNT);
	stream->import = kvm_tdp_mmu_alloc_import(nr_bufs);
	if (!stream->bufs || !stream->import)
		goto free;

	for (i = 0; i < nr_bufs; i++) {
		if (!tdx_mig_alloc_page(&stream->bufs[i]))
			goto free;
	}

	/* Publish the pages to tdx_mig_stream_mmap(), which takes no lock. */
	smp_store_release(&stream->nr_bufs, nr_bufs);

	return 0;

free:
	tdx_mig_stream_free_pages(stream);
	return -ENOMEM;
}

/* Create stream contexts until the TD has @nr of them. */
int tdx_mig_create_contexts(struct kvm *kvm, unsigned int nr, u64 *hw_error)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);
	struct tdx_mig *mig = kvm_tdx->mig;
	struct page *page;
	u64 err;

	lockdep_assert_held_write(&mig->session_sem);

	while (mig->nr_migsc < nr) {
		page = alloc_page(GFP_KERNEL_ACCOUNT);
		if (!page)
			return -ENOMEM;

		write_lock(&kvm->mmu_lock);
		err = tdx_mig_retry(kvm, tdh_do_no_vcpus(tdh_mig_stream_create, kvm,
							 &kvm_tdx->td, page));
		write_unlock(&kvm->mmu_lock);

		*hw_error = err;
		if (err) {
			__free_page(page);
			return tdx_mig_errno(err);
		}

		mig->migsc[mig->nr_migsc++] = page;
		cond_resched();
	}

	return 0;
}

void tdx_mig_set_phase(struct kvm *kvm, enum tdx_mig_phase phase)
{
	lockdep_assert_held_write(&kvm->mmu_lock);

	trace_kvm_tdx_mig_phase(kvm, to_kvm_tdx(kvm)->mig->phase, phase);
	WRITE_ONCE(to_kvm_tdx(kvm)->mig->phase, phase);
}

/* Another TDX module could not go on with a session. */
void tdx_mig_hold_module(struct tdx_mig *mig)
{
	lockdep_assert_held_write(&mig->session_sem);

	if (mig->holds_module)
		return;

	seamldr_hold_module();
	mig->holds_module = true;
}

void tdx_mig_release_module(struct tdx_mig *mig)
{
	lockdep_assert_held_write(&mig->session_sem);

	if (!mig->holds_module)
		return;

	mig->holds_module = false;
	seamldr_release_module();
}

/*
 * The TDX module has ended the import.  It removes no page from the TD any more, and
 * adds no page tables, so a zap that comes next must not ask it to.  Hence this is
 * called before mmu_lock is dropped, be it held for read only: the unlock orders the
 * phase before whatever the next writer does.
 *
 * Who holds mmu_lock for read at the same time may still see the old phase, and has
 * to cope with what the TDX module says, see tdx_mig_is_import_over().  Apart from
 * the phase, no such task changes anything for another one, so nothing else needs an
 * order.  The compare-and-exchange is for those that fail together.
 */
void tdx_mig_fail_import(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	enum tdx_mig_phase old = READ_ONCE(mig->phase), new;

	lockdep_assert_held(&kvm->mmu_lock);

	do {
		if (old == TDX_MIG_IMPORT_FAILED || old == TDX_MIG_IMPORT_CLOSED)
			return;

		new = old == TDX_MIG_LIVE_IMPORT ? TDX_MIG_IMPORT_CLOSED :
						   TDX_MIG_IMPORT_FAILED;
	} while (!try_cmpxchg(&mig->phase, &old, new));

	trace_kvm_tdx_mig_phase(kvm, old, new);
}

/* Was @err returned because the import has ended meanwhile? */
bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err)
{
	return kvm_tdx->mig && kvm_tdx->state == TD_STATE_IMPORT &&
	       tdx_mig_status(err) == TDX_OP_STATE_INCORRECT;
}

/*
 * Called with vcpu->mutex held, on the way into the guest.  The phases that
 * forbid it are entered with all vCPUs stopped, but for EXPORT_LOST, which any zap
 * can lead to.  vCPUs that got past this check are stopped by a request then, see
 * tdx_mig_defer_removal().
 */
int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx)
{
	if (!kvm_tdx->mig)
		return 0;

	switch (READ_ONCE(kvm_tdx->mig->phase)) {
	case TDX_MIG_NONE:
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_LIVE_IMPORT:
	case TDX_MIG_IMPORT_CLOSED:
		return 0;
	case TDX_MIG_EXPORT_CANCELED:
		/*
		 * Pages that are exported in the pause are blocked without the
		 * mirror page table saying so.
		 */
		return READ_ONCE(kvm_tdx->mig->paused) ? -EBUSY : 0;
	case TDX_MIG_EXPORT_LOST:
		return -EIO;
	default:
		return -EBUSY;
	}
}

/*
 * Can the TDX module not remove pages in this phase?  It cannot on the destination
 * before the start token.  On the source it depends on the page.
 */
bool tdx_mig_must_defer_removal(struct kvm_tdx *kvm_tdx)
{
	if (!kvm_tdx->mig)
		return false;

	switch (kvm_tdx->mig->phase) {
	case TDX_MIG_EXPORT_LOST:
	case TDX_MIG_IMPORT_START:
	case TDX_MIG_MEMORY_IMPORT:
	case TDX_MIG_STATE_IMPORT:
	case TDX_MIG_IMPORT_FAILED:
		return true;
	default:
		return false;
	}
}

/* Was @err returned because the page in question has been exported? */
bool tdx_mig_is_exported_leaf(struct kvm_tdx *kvm_tdx, u64 err)
{
	return kvm_tdx->mig && kvm_tdx->mig->exported &&
	       tdx_mig_status(err) == TDX_EPT_ENTRY_STATE_INCORRECT;
}

/*
 * Unmap a page without removing it from the TD.  guest_memfd keeps it until the TD
 * is torn down, and the TDX module gives it back.  The TD has lost the page, and
 * cannot run any more.
 */
void tdx_mig_defer_removal(struct kvm *kvm, kvm_pfn_t pfn)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held_write(&kvm->mmu_lock);

	trace_kvm_tdx_mig_defer_removal(kvm, pfn);

	kvm_gmem_hold_page(&mig->unremoved, pfn);

	switch (mig->phase) {
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_PAUSED_EXPORT:
	case TDX_MIG_EXPORT_CANCELED:
		tdx_mig_set_phase(kvm, TDX_MIG_EXPORT_LOST);
		/*
		 * No vCPU must go on, wherever it is on its way into the guest.  Those
		 * that start later are kept out by the phase.  Nor must any add pages.
		 */
		kvm->arch.pre_fault_allowed = false;
		kvm_make_all_cpus_request(kvm, KVM_REQ_VM_DEAD);
		break;
	case TDX_MIG_POST_EXPORT:
		WRITE_ONCE(mig->page_lost, true);
		break;
	case TDX_MIG_EXPORT_LOST:
	case TDX_MIG_IMPORT_FAILED:
		break;
	default:
		tdx_mig_set_phase(kvm, TDX_MIG_IMPORT_FAILED);
		break;
	}
}

static void tdx_mig_free(struct tdx_mig *mig)
{
	tdx_mig_free_page(&mig->restore_list);
	tdx_mig_free_page(&mig->block_list);
	bitmap_free(mig->stream_ids);
	kfree(mig->migsc);
	kfree(mig->params);
	kfree(mig);
}

int tdx_mig_vm_init(struct kvm *kvm)
{
	unsigned int max_migs = tdx_get_sysinfo()->td_mig.max_migs;
	struct tdx_mig *mig;

	if (!enable_tdx_mig)
		return 0;

	mig = kzalloc_obj(*mig, GFP_KERNEL_ACCOUNT);
	if (!mig)
		return -ENOMEM;

	mig->stream_ids = bitmap_zalloc(max_migs, GFP_KERNEL_ACCOUNT);
	mig->migsc = kcalloc(max_migs, sizeof(*mig->migsc), GFP_KERNEL_ACCOUNT);
	if (!mig->stream_ids || !mig->migsc ||
	    !tdx_mig_alloc_page(&mig->restore_list) ||
	    !tdx_mig_alloc_page(&mig->block_list)) {
		tdx_mig_free(mig);
		return -ENOMEM;
	}

	init_rwsem(&mig->session_sem);
	init_rwsem(&mig->convert_sem);
	xa_init(&mig->sent);
	to_kvm_tdx(kvm)->mig = mig;

	return 0;
}

/* The key of the TD is gone: take back all pages that are left. */
void tdx_mig_vm_reclaim(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct page *page;

	if (!mig)
		return;

	while ((page = kvm_gmem_release_held_page(&mig->unremoved))) {
		if (!tdx_reclaim_page(page))
			put_page(page);
		cond_resched();
	}

	while (mig->nr_migsc)
		tdx_reclaim_control_page(mig->migsc[--mig->nr_migsc]);
}

void tdx_mig_vm_free(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	if (!mig)
		return;

	/* Nobody is left to contend, but it is what the rule says. */
	scoped_guard(rwsem_write, &mig->session_sem) {
		tdx_mig_forget_sent(mig);
		tdx_mig_release_module(mig);
	}
	tdx_mig_free(mig);
	to_kvm_tdx(kvm)->mig = NULL;
}
