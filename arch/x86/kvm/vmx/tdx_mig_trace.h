/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: tracepoints.
 *
 * All of them name the TD by its HKID.
 */
#if !defined(_TRACE_KVM_TDX_MIG_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KVM_TDX_MIG_H

#include <linux/tracepoint.h>

#include "tdx_mig.h"

#undef TRACE_SYSTEM
#define TRACE_SYSTEM kvm

/* Every member of enum tdx_mig_phase. */
TRACE_DEFINE_ENUM(TDX_MIG_NONE);
TRACE_DEFINE_ENUM(TDX_MIG_LIVE_EXPORT);
TRACE_DEFINE_ENUM(TDX_MIG_PAUSED_EXPORT);
TRACE_DEFINE_ENUM(TDX_MIG_POST_EXPORT);
TRACE_DEFINE_ENUM(TDX_MIG_EXPORT_CANCELED);
TRACE_DEFINE_ENUM(TDX_MIG_EXPORT_LOST);
TRACE_DEFINE_ENUM(TDX_MIG_IMPORT_START);
TRACE_DEFINE_ENUM(TDX_MIG_MEMORY_IMPORT);
TRACE_DEFINE_ENUM(TDX_MIG_STATE_IMPORT);
TRACE_DEFINE_ENUM(TDX_MIG_POST_IMPORT);
TRACE_DEFINE_ENUM(TDX_MIG_LIVE_IMPORT);
TRACE_DEFINE_ENUM(TDX_MIG_IMPORT_CLOSED);
TRACE_DEFINE_ENUM(TDX_MIG_IMPORT_FAILED);

#define show_tdx_mig_phase(phase)						\
	__print_symbolic(phase,							\
		{ TDX_MIG_NONE,			"NONE" },			\
		{ TDX_MIG_LIVE_EXPORT,		"LIVE_EXPORT" },		\
		{ TDX_MIG_PAUSED_EXPORT,	"PAUSED_EXPORT" },		\
		{ TDX_MIG_POST_EXPORT,		"POST_EXPORT" },		\
		{ TDX_MIG_EXPORT_CANCELED,	"EXPORT_CANCELED" },		\
		{ TDX_MIG_EXPORT_LOST,		"EXPORT_LOST" },		\
		{ TDX_MIG_IMPORT_START,		"IMPORT_START" },		\
		{ TDX_MIG_MEMORY_IMPORT,	"MEMORY_IMPORT" },		\
		{ TDX_MIG_STATE_IMPORT,		"STATE_IMPORT" },		\
		{ TDX_MIG_POST_IMPORT,		"POST_IMPORT" },		\
		{ TDX_MIG_LIVE_IMPORT,		"LIVE_IMPORT" },		\
		{ TDX_MIG_IMPORT_CLOSED,	"IMPORT_CLOSED" },		\
		{ TDX_MIG_IMPORT_FAILED,	"IMPORT_FAILED" })

#define show_tdx_mig_state_type(type)						\
	__print_symbolic(type,							\
		{ TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE,	"IMMUTABLE" },		\
		{ TDX_MIG_MBMD_TYPE_TD_STATE,		"TD" },			\
		{ TDX_MIG_MBMD_TYPE_VP_STATE,		"VP" })

TRACE_EVENT(kvm_tdx_mig_phase,
	TP_PROTO(struct kvm *kvm, enum tdx_mig_phase old_phase, enum tdx_mig_phase new_phase),
	TP_ARGS(kvm, old_phase, new_phase),

	TP_STRUCT__entry(
		__field(int,		hkid)
		__field(unsigned int,	old_phase)
		__field(unsigned int,	new_phase)
	),

	TP_fast_assign(
		__entry->hkid		= to_kvm_tdx(kvm)->hkid;
		__entry->old_phase	= old_phase;
		__entry->new_phase	= new_phase;
	),

	TP_printk("hkid %d %s -> %s", __entry->hkid,
		  show_tdx_mig_phase(__entry->old_phase),
		  show_tdx_mig_phase(__entry->new_phase))
);

/* A bundle of private memory. */
DECLARE_EVENT_CLASS(kvm_tdx_mig_mem,
	TP_PROTO(struct tdx_mig_stream *stream, unsigned int nr, unsigned int content,
		 const struct tdx_mig_call *call, u64 err),
	TP_ARGS(stream, nr, content, call, err),

	TP_STRUCT__entry(
		__field(u64,		err)
		__field(int,		hkid)
		__field(unsigned int,	stream)
		__field(unsigned int,	nr)
		__field(unsigned int,	content)
		__field(unsigned int,	resumes)
		__field(unsigned int,	retries)
	),

	TP_fast_assign(
		__entry->err		= err;
		__entry->hkid		= to_kvm_tdx(stream->kvm)->hkid;
		__entry->stream		= stream->index;
		__entry->nr		= nr;
		__entry->content	= content;
		__entry->resumes	= call->resumes + call->yields;
		__entry->retries	= call->retries;
	),

	TP_printk("hkid %d stream %u nr %u content %u resumes %u retries %u err 0x%llx",
		  __entry->hkid, __entry->stream, __entry->nr, __entry->content,
		  __entry->resumes, __entry->retries, __entry->err)
);

DEFINE_EVENT(kvm_tdx_mig_mem, kvm_tdx_mig_export_mem,
	TP_PROTO(struct tdx_mig_stream *stream, unsigned int nr, unsigned int content,
		 const struct tdx_mig_call *call, u64 err),
	TP_ARGS(stream, nr, content, call, err)
);

DEFINE_EVENT(kvm_tdx_mig_mem, kvm_tdx_mig_import_mem,
	TP_PROTO(struct tdx_mig_stream *stream, unsigned int nr, unsigned int content,
		 const struct tdx_mig_call *call, u64 err),
	TP_ARGS(stream, nr, content, call, err)
);

/* A bundle of state.  @vcpu is NULL if it is not that of a vCPU. */
DECLARE_EVENT_CLASS(kvm_tdx_mig_state,
	TP_PROTO(struct tdx_mig_stream *stream, u8 type, const struct kvm_vcpu *vcpu,
		 u64 nr_pages, u64 err),
	TP_ARGS(stream, type, vcpu, nr_pages, err),

	TP_STRUCT__entry(
		__field(u64,		err)
		__field(u64,		nr_pages)
		__field(int,		hkid)
		__field(unsigned int,	stream)
		__field(int,		vcpu_id)
		__field(u8,		type)
	),

	TP_fast_assign(
		__entry->err		= err;
		__entry->nr_pages	= nr_pages;
		__entry->hkid		= to_kvm_tdx(stream->kvm)->hkid;
		__entry->stream		= stream->index;
		__entry->vcpu_id	= vcpu ? vcpu->vcpu_id : -1;
		__entry->type		= type;
	),

	TP_printk("hkid %d stream %u type %s vcpu %d pages %llu err 0x%llx",
		  __entry->hkid, __entry->stream,
		  show_tdx_mig_state_type(__entry->type),
		  __entry->vcpu_id, __entry->nr_pages, __entry->err)
);

DEFINE_EVENT(kvm_tdx_mig_state, kvm_tdx_mig_export_state,
	TP_PROTO(struct tdx_mig_stream *stream, u8 type, const struct kvm_vcpu *vcpu,
		 u64 nr_pages, u64 err),
	TP_ARGS(stream, type, vcpu, nr_pages, err)
);

DEFINE_EVENT(kvm_tdx_mig_state, kvm_tdx_mig_import_state,
	TP_PROTO(struct tdx_mig_stream *stream, u8 type, const struct kvm_vcpu *vcpu,
		 u64 nr_pages, u64 err),
	TP_ARGS(stream, type, vcpu, nr_pages, err)
);

/* An epoch token or the start token. */
DECLARE_EVENT_CLASS(kvm_tdx_mig_track,
	TP_PROTO(struct tdx_mig_stream *stream, u32 epoch, bool start_token, u64 err),
	TP_ARGS(stream, epoch, start_token, err),

	TP_STRUCT__entry(
		__field(u64,		err)
		__field(int,		hkid)
		__field(u32,		epoch)
		__field(bool,		start_token)
	),

	TP_fast_assign(
		__entry->err		= err;
		__entry->hkid		= to_kvm_tdx(stream->kvm)->hkid;
		__entry->epoch		= epoch;
		__entry->start_token	= start_token;
	),

	TP_printk("hkid %d epoch %u start_token %d err 0x%llx", __entry->hkid,
		  __entry->epoch, __entry->start_token, __entry->err)
);

DEFINE_EVENT(kvm_tdx_mig_track, kvm_tdx_mig_export_track,
	TP_PROTO(struct tdx_mig_stream *stream, u32 epoch, bool start_token, u64 err),
	TP_ARGS(stream, epoch, start_token, err)
);

DEFINE_EVENT(kvm_tdx_mig_track, kvm_tdx_mig_import_track,
	TP_PROTO(struct tdx_mig_stream *stream, u32 epoch, bool start_token, u64 err),
	TP_ARGS(stream, epoch, start_token, err)
);

/* A session is given up.  @token: an abort token was consumed or written. */
DECLARE_EVENT_CLASS(kvm_tdx_mig_abort,
	TP_PROTO(struct kvm *kvm, bool token, u64 err),
	TP_ARGS(kvm, token, err),

	TP_STRUCT__entry(
		__field(u64,		err)
		__field(int,		hkid)
		__field(bool,		token)
	),

	TP_fast_assign(
		__entry->err		= err;
		__entry->hkid		= to_kvm_tdx(kvm)->hkid;
		__entry->token		= token;
	),

	TP_printk("hkid %d token %d err 0x%llx", __entry->hkid, __entry->token,
		  __entry->err)
);

DEFINE_EVENT(kvm_tdx_mig_abort, kvm_tdx_mig_export_abort,
	TP_PROTO(struct kvm *kvm, bool token, u64 err),
	TP_ARGS(kvm, token, err)
);

DEFINE_EVENT(kvm_tdx_mig_abort, kvm_tdx_mig_import_abort,
	TP_PROTO(struct kvm *kvm, bool token, u64 err),
	TP_ARGS(kvm, token, err)
);

/* Pages are blocked for writing, those that were busy apart. */
TRACE_EVENT(kvm_tdx_mig_block,
	TP_PROTO(struct kvm *kvm, unsigned int nr, unsigned int busy),
	TP_ARGS(kvm, nr, busy),

	TP_STRUCT__entry(
		__field(int,		hkid)
		__field(unsigned int,	nr)
		__field(unsigned int,	busy)
	),

	TP_fast_assign(
		__entry->hkid		= to_kvm_tdx(kvm)->hkid;
		__entry->nr		= nr;
		__entry->busy		= busy;
	),

	TP_printk("hkid %d nr %u busy %u", __entry->hkid, __entry->nr, __entry->busy)
);

/* One page. */
DECLARE_EVENT_CLASS(kvm_tdx_mig_page,
	TP_PROTO(struct kvm *kvm, gfn_t gfn),
	TP_ARGS(kvm, gfn),

	TP_STRUCT__entry(
		__field(u64,		gfn)
		__field(int,		hkid)
	),

	TP_fast_assign(
		__entry->gfn		= gfn;
		__entry->hkid		= to_kvm_tdx(kvm)->hkid;
	),

	TP_printk("hkid %d gfn 0x%llx", __entry->hkid, __entry->gfn)
);

/* A write to a blocked page. */
DEFINE_EVENT(kvm_tdx_mig_page, kvm_tdx_mig_unblock,
	TP_PROTO(struct kvm *kvm, gfn_t gfn),
	TP_ARGS(kvm, gfn)
);

/* An exported page is removed, which takes an abort of the session. */
DEFINE_EVENT(kvm_tdx_mig_page, kvm_tdx_mig_undo_export,
	TP_PROTO(struct kvm *kvm, gfn_t gfn),
	TP_ARGS(kvm, gfn)
);

/* A page stays with the TD that the TDX module cannot remove, and is lost. */
TRACE_EVENT(kvm_tdx_mig_defer_removal,
	TP_PROTO(struct kvm *kvm, kvm_pfn_t pfn),
	TP_ARGS(kvm, pfn),

	TP_STRUCT__entry(
		__field(u64,		pfn)
		__field(int,		hkid)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->hkid		= to_kvm_tdx(kvm)->hkid;
	),

	TP_printk("hkid %d pfn 0x%llx", __entry->hkid, __entry->pfn)
);

#endif /* _TRACE_KVM_TDX_MIG_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH vmx
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE tdx_mig_trace

/* This part must be outside protection */
#include <trace/define_trace.h>
