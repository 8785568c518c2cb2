// SPDX-License-Identifier: GPL-2.0
/*
 * SEAMCALL wrappers for TD migration and service TDs.
 *
 * One wrapper per leaf function: pack typed arguments into registers, return
 * the raw completion status.  Retries, resumption of interrupted leaves and
 * the meaning of a status belong to the caller.
 *
 * Unless said otherwise, pages that are shared with the TDX module are normal
 * kernel pages that are not used by a TD.
 */
#include <linux/bitfield.h>
#include <linux/mm.h>

#include <asm/tdx.h>

#include "seamcall_internal.h"
#include "tdx.h"

/* HPA_AND_SIZE operand: address of the MBMD and its size in bytes. */
#define TDX_MBMD_SIZE		48
#define TDX_MBMD_SIZE_MASK	GENMASK_ULL(63, 52)

/* PAGE_LIST_INFO operand: address of the list page, index of its last entry. */
#define TDX_PAGE_LIST_LAST_MASK	GENMASK_ULL(63, 55)

/* Stream operand: forward stream index, and what to do. */
#define TDX_STREAM_RESUME	BIT_ULL(63)
#define TDX_STREAM_IN_ORDER_DONE	BIT_ULL(63)

/* No list of new TD pages: import in place. */
#define TDX_NO_NEW_PAGE_LIST	(~0ULL)

static u64 mk_mbmd(struct page *mbmd)
{
	return page_to_phys(mbmd) | FIELD_PREP(TDX_MBMD_SIZE_MASK, TDX_MBMD_SIZE);
}

static u64 mk_page_list(const struct tdx_state_pages *pages)
{
	return page_to_phys(pages->list) |
	       FIELD_PREP(TDX_PAGE_LIST_LAST_MASK, pages->nr_pages - 1);
}

static u64 mk_stream(u16 stream, bool resume)
{
	return stream | (resume ? TDX_STREAM_RESUME : 0);
}

u64 tdh_mig_stream_create(struct tdx_td *td, struct page *migsc_page)
{
	struct tdx_module_args args = {
		.rcx = page_to_phys(migsc_page),
		.rdx = tdx_tdr_pa(td),
	};

	tdx_clflush_page(migsc_page);
	return seamcall(TDH_MIG_STREAM_CREATE, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_mig_stream_create);

static u64 export_state(u64 leaf, u64 target, const struct tdx_state_pages *pages,
			u16 stream, bool resume, u64 *nr_pages)
{
	struct tdx_module_args args = {
		.rcx = target,
		.r8 = mk_mbmd(pages->mbmd),
		.r9 = mk_page_list(pages),
		.r10 = mk_stream(stream, resume),
	};
	u64 ret;

	ret = seamcall_ret(leaf, &args);

	/* RDX: pages written so far, 0 in case of error. */
	*nr_pages = args.rdx;

	return ret;
}

u64 tdh_export_state_immutable(struct tdx_td *td, const struct tdx_state_pages *pages,
			       bool resume, u64 *nr_pages)
{
	return export_state(TDH_EXPORT_STATE_IMMUTABLE, tdx_tdr_pa(td), pages, 0,
			    resume, nr_pages);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_state_immutable);

u64 tdh_export_state_td(struct tdx_td *td, const struct tdx_state_pages *pages,
			bool resume, u64 *nr_pages)
{
	return export_state(TDH_EXPORT_STATE_TD, tdx_tdr_pa(td), pages, 0,
			    resume, nr_pages);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_state_td);

u64 tdh_export_state_vp(struct tdx_vp *vp, const struct tdx_state_pages *pages,
			u16 stream, bool resume, u64 *nr_pages)
{
	return export_state(TDH_EXPORT_STATE_VP, vp->tdvpr_pa, pages, stream,
			    resume, nr_pages);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_state_vp);

static u64 gpa_list_op(u64 leaf, struct tdx_td *td, u64 *gpa_list)
{
	struct tdx_module_args args = {
		.rcx = *gpa_list,
		.rdx = tdx_tdr_pa(td),
	};
	u64 ret;

	ret = seamcall_ret(leaf, &args);

	*gpa_list = args.rcx;

	return ret;
}

u64 tdh_export_blockw(struct tdx_td *td, u64 *gpa_list)
{
	return gpa_list_op(TDH_EXPORT_BLOCKW, td, gpa_list);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_blockw);

u64 tdh_export_restore(struct tdx_td *td, u64 *gpa_list)
{
	return gpa_list_op(TDH_EXPORT_RESTORE, td, gpa_list);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_restore);

u64 tdh_export_unblockw(struct tdx_td *td, u64 gpa, u64 *ext_err1, u64 *ext_err2)
{
	struct tdx_module_args args = {
		.rcx = gpa | TDX_PS_4K,
		.rdx = tdx_tdr_pa(td),
	};
	u64 ret;

	ret = seamcall_ret(TDH_EXPORT_UNBLOCKW, &args);

	*ext_err1 = args.rcx;
	*ext_err2 = args.rdx;

	return ret;
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_unblockw);

u64 tdh_export_mem(struct tdx_td *td, const struct tdx_mem_bundle *bundle,
		   u16 stream, bool resume, u64 *gpa_list, u64 *nr_units)
{
	struct tdx_module_args args = {
		.rcx = *gpa_list,
		.rdx = tdx_tdr_pa(td),
		.r8 = mk_mbmd(bundle->mbmd),
		.r9 = page_to_phys(bundle->buf_list),
		.r10 = mk_stream(stream, resume),
		.r11 = page_to_phys(bundle->mac_list[0]),
		.r12 = page_to_phys(bundle->mac_list[1]),
	};
	u64 ret;

	/* R12 is an operand, which needs the variant that loads R12 to R15. */
	ret = seamcall_saved_ret(TDH_EXPORT_MEM, &args);

	*gpa_list = args.rcx;
	/* RDX: size of the bundle in 4 KiB units, valid on completion only. */
	*nr_units = args.rdx;

	return ret;
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_mem);

u64 tdh_export_pause(struct tdx_td *td)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
	};

	return seamcall(TDH_EXPORT_PAUSE, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_pause);

u64 tdh_export_track(struct tdx_td *td, struct page *mbmd, bool in_order_done)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.r8 = mk_mbmd(mbmd),
		.r10 = in_order_done ? TDX_STREAM_IN_ORDER_DONE : 0,
	};

	return seamcall(TDH_EXPORT_TRACK, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_track);

/* @token is NULL, or the MBMD with the abort token of the destination. */
u64 tdh_export_abort(struct tdx_td *td, struct page *token)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.r8 = token ? mk_mbmd(token) : 0,
	};

	return seamcall(TDH_EXPORT_ABORT, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_export_abort);

static u64 import_state(u64 leaf, u64 target, const struct tdx_state_pages *pages,
			u16 stream, bool resume, u64 *ext_err1, u64 *ext_err2)
{
	struct tdx_module_args args = {
		.rcx = target,
		.r8 = mk_mbmd(pages->mbmd),
		.r9 = mk_page_list(pages),
		.r10 = mk_stream(stream, resume),
	};
	u64 ret;

	ret = seamcall_ret(leaf, &args);

	/* The metadata field that is wrong, if that is the error. */
	*ext_err1 = args.rcx;
	*ext_err2 = args.rdx;

	return ret;
}

u64 tdh_import_state_immutable(struct tdx_td *td, const struct tdx_state_pages *pages,
			       bool resume, u64 *ext_err1, u64 *ext_err2)
{
	return import_state(TDH_IMPORT_STATE_IMMUTABLE, tdx_tdr_pa(td), pages, 0,
			    resume, ext_err1, ext_err2);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_state_immutable);

u64 tdh_import_state_td(struct tdx_td *td, const struct tdx_state_pages *pages,
			bool resume, u64 *ext_err1, u64 *ext_err2)
{
	return import_state(TDH_IMPORT_STATE_TD, tdx_tdr_pa(td), pages, 0,
			    resume, ext_err1, ext_err2);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_state_td);

u64 tdh_import_state_vp(struct tdx_vp *vp, const struct tdx_state_pages *pages,
			u16 stream, bool resume, u64 *ext_err1, u64 *ext_err2)
{
	return import_state(TDH_IMPORT_STATE_VP, vp->tdvpr_pa, pages, stream,
			    resume, ext_err1, ext_err2);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_state_vp);

/*
 * @new_pages is the list of the pages that become TD private pages, which the
 * caller has flushed from the cache, or NULL to import in place.
 */
u64 tdh_import_mem(struct tdx_td *td, const struct tdx_mem_bundle *bundle,
		   struct page *new_pages, u16 stream, bool resume, u64 *gpa_list)
{
	struct tdx_module_args args = {
		.rcx = *gpa_list,
		.rdx = tdx_tdr_pa(td),
		.r8 = mk_mbmd(bundle->mbmd),
		.r9 = page_to_phys(bundle->buf_list),
		.r10 = mk_stream(stream, resume),
		.r11 = page_to_phys(bundle->mac_list[0]),
		.r12 = page_to_phys(bundle->mac_list[1]),
		.r13 = new_pages ? page_to_phys(new_pages) : TDX_NO_NEW_PAGE_LIST,
	};
	u64 ret;

	/* R12 and R13 are operands, see tdh_export_mem(). */
	ret = seamcall_saved_ret(TDH_IMPORT_MEM, &args);

	*gpa_list = args.rcx;

	return ret;
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_mem);

u64 tdh_import_track(struct tdx_td *td, struct page *mbmd)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.r8 = mk_mbmd(mbmd),
	};

	return seamcall(TDH_IMPORT_TRACK, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_track);

u64 tdh_import_commit(struct tdx_td *td)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
	};

	return seamcall(TDH_IMPORT_COMMIT, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_commit);

u64 tdh_import_end(struct tdx_td *td)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
	};

	return seamcall(TDH_IMPORT_END, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_end);

/* Write an abort token to @mbmd.  Success is TDX_SUCCESS with TDX_FATAL set. */
u64 tdh_import_abort(struct tdx_td *td, struct page *mbmd)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.r8 = mk_mbmd(mbmd),
	};

	return seamcall(TDH_IMPORT_ABORT, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_import_abort);

u64 tdh_servtd_bind(struct tdx_td *td, struct tdx_td *servtd, u64 slot, u16 type,
		    u64 attributes, u64 *handle, u64 uuid[4])
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.rdx = tdx_tdr_pa(servtd),
		.r8 = slot,
		.r9 = type,
		.r10 = attributes,
	};
	u64 ret;

	/* The UUID is returned in R10 to R13. */
	ret = seamcall_saved_ret(TDH_SERVTD_BIND, &args);

	*handle = args.rcx;
	uuid[0] = args.r10;
	uuid[1] = args.r11;
	uuid[2] = args.r12;
	uuid[3] = args.r13;

	return ret;
}
EXPORT_SYMBOL_FOR_KVM(tdh_servtd_bind);

/* @info_hash holds the measurement of the service TD, at its start. */
u64 tdh_servtd_prebind(struct tdx_td *td, struct page *info_hash, u64 slot,
		       u16 type, u64 attributes)
{
	struct tdx_module_args args = {
		.rcx = tdx_tdr_pa(td),
		.rdx = page_to_phys(info_hash),
		.r8 = slot,
		.r9 = type,
		.r10 = attributes,
	};

	return seamcall(TDH_SERVTD_PREBIND, &args);
}
EXPORT_SYMBOL_FOR_KVM(tdh_servtd_prebind);
