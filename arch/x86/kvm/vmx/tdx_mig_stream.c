// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the buffers of a stream.
 *
 * A stream has pages that are shared with userspace: the MBMD, the GPA list, the
 * MACs, and the buffers for encrypted content.  MACs and content are
 * authenticated by the TDX module, so it uses them in place.  KVM itself decides
 * by MBMD and GPA list, so it takes a snapshot of these two, validates that, and
 * lets the TDX module see nothing else.
 */
#include <kunit/visibility.h>
#include <linux/mm.h>

#include "tdx_mig_gpa_list.h"
#include "tdx_mig_internal.h"

static_assert(sizeof(struct tdx_mig_mbmd) == TDX_MIG_MBMD_SIZE);
static_assert(offsetof(struct tdx_mig_mbmd, mb_type) == 6);
static_assert(offsetof(struct tdx_mig_mbmd, type_info) == 24);
static_assert(offsetof(struct tdx_mig_mbmd, mac) == 32);
static_assert(TDX_MIG_BUF_LIST_PAGES_MAX == TDX_MIG_GPA_LIST_MAX);

/* In a memory MBMD: number of GPA list entries.  In that of a vCPU: its number. */
#define TDX_MIG_MBMD_NUM_GPAS_MASK	GENMASK_ULL(15, 0)
#define TDX_MIG_MBMD_VP_INDEX_MASK	GENMASK_ULL(15, 0)

/* Take a snapshot of the first @nr entries of the GPA list, and validate it. */
int tdx_mig_get_gpa_list(struct tdx_mig_stream *stream, unsigned int nr, bool import)
{
	u64 *src = page_address(stream->user_gpa_list);
	u64 *dst = stream->entries;
	/* The SHARED bit is the uppermost bit of a GPA. */
	const gpa_t end = gfn_to_gpa(kvm_gfn_direct_bits(stream->kvm));
	unsigned int i;

	lockdep_assert_held(&stream->lock);

	for (i = 0; i < nr; i++) {
		dst[i] = READ_ONCE(src[i]);
		if (!tdx_mig_gpa_is_valid(dst[i], end, import))
			return -EINVAL;
	}

	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_get_gpa_list);

/* Return the entries, and their status, to userspace. */
void tdx_mig_put_gpa_list(struct tdx_mig_stream *stream, unsigned int nr)
{
	lockdep_assert_held(&stream->lock);

	memcpy(page_address(stream->user_gpa_list), stream->entries, nr * sizeof(u64));
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_put_gpa_list);

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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_get_mbmd);

unsigned int tdx_mig_mbmd_num_gpas(struct tdx_mig_stream *stream)
{
	struct tdx_mig_mbmd *mbmd = page_address(stream->mbmd);

	return le64_to_cpu(mbmd->type_info) & TDX_MIG_MBMD_NUM_GPAS_MASK;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_mbmd_num_gpas);

unsigned int tdx_mig_mbmd_vp_index(struct tdx_mig_stream *stream)
{
	struct tdx_mig_mbmd *mbmd = page_address(stream->mbmd);

	return le64_to_cpu(mbmd->type_info) & TDX_MIG_MBMD_VP_INDEX_MASK;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_mbmd_vp_index);

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
	u64 *list = page_address(stream->buf_list);
	unsigned int i;

	lockdep_assert_held(&stream->lock);

	for (i = 0; i < nr; i++)
		list[i] = page_to_phys(stream->bufs[i]);
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_fill_buf_list);

VISIBLE_IF_KUNIT struct page *tdx_mig_stream_page(struct tdx_mig_stream *stream, pgoff_t pgoff,
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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_stream_page);

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

/* Is the mapping shared, and inside of a stream with @nr_bufs buffers? */
VISIBLE_IF_KUNIT bool tdx_mig_stream_can_map(const struct vm_area_struct *vma,
					     unsigned int nr_bufs)
{
	const unsigned long nr_pages = TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + nr_bufs;

	return vma->vm_flags & VM_SHARED && vma->vm_pgoff < nr_pages &&
	       vma_pages(vma) <= nr_pages - vma->vm_pgoff;
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_stream_can_map);

/*
 * The mapping keeps the device file, and by that the stream, alive.  Takes no
 * lock of the stream, as mmap_lock is held.
 */
int tdx_mig_stream_mmap(struct tdx_mig_stream *stream, struct vm_area_struct *vma)
{
	/* Pairs with the release in tdx_mig_stream_alloc_pages(). */
	unsigned int nr_bufs = smp_load_acquire(&stream->nr_bufs);

	if (!nr_bufs)
		return -ENXIO;

	if (!tdx_mig_stream_can_map(vma, nr_bufs))
		return -EINVAL;

	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_ops = &tdx_mig_stream_vm_ops;
	vma->vm_private_data = stream;

	return 0;
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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_stream_free_pages);

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

	stream->entries = page_address(stream->gpa_list);
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
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_stream_alloc_pages);
