/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration: what its leaves share.  Streams and sessions (mig.c), bundle
 * headers (mbmd.c), GPA lists and the page lists beside them (gpa_list.c).
 */
#ifndef _TDX_SIM_MIG_H
#define _TDX_SIM_MIG_H

#include "leaves.h"
#include "metadata.h"
#include "model.h"

/* In-order epochs count from 0; this one is the out-of-order phase. */
#define MIG_EPOCH_OUT_OF_ORDER	0xffffffffU

/* One backward and at least one forward stream. */
#define MIG_MIN_STREAMS		2

/* ------------------------------------------------- streams, sessions (mig.c) */

/* Stream operand, R10 of most leaves.  EXPORT.TRACK: the command is "done". */
#define MIGS_INDEX		GENMASK_ULL(15, 0)
#define MIGS_RESERVED		GENMASK_ULL(62, 16)
#define MIGS_COMMAND		BIT_ULL(63)

/* A stream whose context is locked for the rest of the call. */
struct mig_stream {
	u64 *link;
	struct migsc *ctx;
	u16 index;
};

/* Lock the forward stream that @r10 names; it must be stream 0 unless @any. */
u64 mig_get_stream(struct sim_call *c, struct sim_td *td, u64 r10, bool any,
		   struct mig_stream *s);
/* Lock the stream that carries abort tokens from destination to source. */
u64 mig_get_backward_stream(struct sim_call *c, struct sim_td *td, struct mig_stream *s);
bool mig_stream_ready(const struct mig_stream *s);
/* Begin to use a stream in this session, with @key. */
void mig_stream_init(struct mig_stream *s, const u64 key[4]);
/* Has a TD that is not configured begun to import its immutable state? */
bool mig_import_begun(const struct sim_td *td);
/* No stream is in use any more, and no key is left in one. */
void mig_reset_streams(struct sim_td *td);
/* Begin the GCM operation with @iv_counter. */
void mig_gcm_begin(struct mig_stream *s, u64 iv_counter);
/* Latch keys and version for a new session; @key is the latched key of stream 0. */
u64 mig_start_session(struct sim_td *td, struct mig_stream *s, const u64 *key);

bool mig_in_order_export(u32 op_state);
bool mig_in_order_import(u32 op_state);

/* Keep what a RESUME with @ops needs; the caller adds its progress to ctx->intr. */
void mig_interrupt(struct mig_stream *s, const struct migsc_operands *ops);
/* An interrupted leaf can be resumed once, and only with the same operands. */
u64 mig_resume(struct mig_stream *s, const struct migsc_operands *ops);

/* The import session is over, and with it the TD. */
u64 mig_fail_import(struct sim_td *td, u64 err);

/* A 4 KiB page that an LP may use for the duration of one leaf. */
u8 *mig_scratch_page(void);

/* ---------------------------------------------------- bundle headers (mbmd.c) */

enum mb_type {
	MB_IMMUTABLE_STATE = 0,
	MB_TD_STATE = 1,
	MB_VP_STATE = 2,
	MB_MEM = 16,
	MB_EPOCH_TOKEN = 32,
	MB_ABORT_TOKEN = 33,
};

/* sim_mbmd.info of an immutable state, VP state and memory bundle. */
#define MBMD_NUM_F_MIGS		GENMASK_ULL(15, 0)
#define MBMD_NUM_SYS_PAGES	GENMASK_ULL(39, 32)
#define MBMD_IMMUTABLE_RESERVED	(GENMASK_ULL(31, 16) | GENMASK_ULL(63, 40))
#define MBMD_VP_INDEX		GENMASK_ULL(15, 0)
#define MBMD_VP_RESERVED	GENMASK_ULL(63, 16)
#define MBMD_NUM_GPAS		GENMASK_ULL(15, 0)

/* Check an MBMD operand (HPA and size) and map it. */
u64 mbmd_operand(u64 r8, struct sim_mbmd **host);
/* Take a private copy of the host's MBMD. */
void mbmd_read(struct sim_mbmd *mbmd, const struct sim_mbmd *host);
void mbmd_write(struct sim_mbmd *host, const struct sim_mbmd *mbmd);
/* Header of the next bundle of the stream; uses up an IV. */
void mbmd_next(struct mig_stream *s, const struct tdcs *tdcs, enum mb_type type, u64 info,
	       struct sim_mbmd *mbmd);
/* Version, size, stream, type and reserved byte are as the session has them. */
bool mbmd_plausible(const struct sim_mbmd *mbmd, const struct tdcs *tdcs, enum mb_type type,
		    u16 index);
/* Begin the GCM operation of @mbmd and authenticate the header. */
void mbmd_auth(struct mig_stream *s, const struct sim_mbmd *mbmd);
/* The same for a bundle without data: make and check its MAC. */
void mbmd_seal(struct mig_stream *s, struct sim_mbmd *mbmd);
bool mbmd_verify(struct mig_stream *s, const struct sim_mbmd *mbmd);

/* ---------------------------------------------------- GPA lists (gpa_list.c) */

#define GPA_LIST_ENTRIES	512
#define MAC_LIST_ENTRIES	256

/* GPA list info: an operand of the leaves that work on lists. */
#define GPA_LIST_FORMAT		GENMASK_ULL(2, 0)
#define GPA_LIST_FIRST		GENMASK_ULL(11, 3)
#define GPA_LIST_HPA		SIM_HPA_PAGE_MASK
#define GPA_LIST_RESERVED	GENMASK_ULL(54, 52)
#define GPA_LIST_LAST		GENMASK_ULL(63, 55)

/* An entry of a GPA list. */
#define GPAE_LEVEL		GENMASK_ULL(1, 0)
#define GPAE_PENDING		BIT_ULL(2)
#define GPAE_L2_MAP		GENMASK_ULL(9, 7)
#define GPAE_GPA		SIM_HPA_PAGE_MASK
#define GPAE_OP			GENMASK_ULL(53, 52)
#define GPAE_STATUS		GENMASK_ULL(60, 56)
#define GPAE_RESERVED		(GENMASK_ULL(6, 3) | GENMASK_ULL(55, 54) | GENMASK_ULL(63, 61))

enum gpa_op { GPA_NOP, GPA_MIGRATE, GPA_CANCEL, GPA_REMIGRATE };

enum gpa_status {
	GPA_SUCCESS = 0,
	GPA_SKIPPED = 1,
	GPA_WALK_FAILED = 2,
	GPA_ENTRY_BUSY = 3,
	GPA_ENTRY_STATE_INCORRECT = 4,
	GPA_TLB_TRACKING_NOT_DONE = 5,
	GPA_OP_STATE_INCORRECT = 6,
	GPA_MIGRATED_IN_CURRENT_EPOCH = 7,
	GPA_MIG_BUFFER_NOT_AVAILABLE = 8,
	GPA_NEW_PAGE_NOT_AVAILABLE = 9,
	GPA_INVALID_PAGE_MAC = 10,
	GPA_IMPORT_OVER_REMOVED = 11,
	GPA_TD_PAGE_BUSY = 12,
	GPA_ENTRY_INVALID = 15,
};

/* An entry of a migration buffer list or new page list. */
#define PAGE_ENTRY_HPA		SIM_HPA_PAGE_MASK
#define PAGE_ENTRY_INVALID	BIT_ULL(63)

struct gpa_list {
	u64 info;
	u64 *entries;
	unsigned int first, last;
};

/* Check the operand in RCX and map the list. */
u64 gpa_list_open(u64 info, struct gpa_list *list);
/* RCX of a leaf that stopped before entry @next. */
u64 gpa_list_info(u64 info, unsigned int next);

static inline enum gpa_op gpa_entry_op(u64 entry)
{
	return (enum gpa_op)((entry & GPAE_OP) >> 52);
}

static inline u64 gpa_entry_set_op(u64 entry, enum gpa_op op)
{
	return (entry & ~GPAE_OP) | (u64)op << 52;
}

static inline u64 gpa_entry_set_status(u64 entry, enum gpa_status status)
{
	return (entry & ~GPAE_STATUS) | (u64)status << 56;
}

/* An entry that is not, or no longer, acted upon. */
static inline u64 gpa_entry_refuse(u64 entry, enum gpa_status why)
{
	return gpa_entry_set_status(gpa_entry_set_op(entry, GPA_NOP), why);
}

static inline bool gpa_entry_well_formed(u64 entry)
{
	return !(entry & (GPAE_RESERVED | GPAE_LEVEL));
}

/* Well formed, and the GPA is a private one of the TD. */
bool gpa_entry_valid(struct sim_td *td, u64 entry);
/* The 4 KiB Secure EPT entry of @entry, locked unless an error is returned. */
enum gpa_status gpa_entry_walk(struct sim_td *td, u64 entry, struct sept_walk *w);

/* Check the address of a page in shared memory and map it. */
u64 mig_map_shared_page(u64 hpa, u32 operand, void **page);

/* The MAC lists of a memory bundle, R11 and R12; unused ones are NULL. */
u64 mig_map_mac_lists(struct sim_call *c, const struct gpa_list *list, u8 *mac[2]);

static inline u8 *mig_page_mac(u8 *mac[2], unsigned int i)
{
	return mac[i / MAC_LIST_ENTRIES] + (i % MAC_LIST_ENTRIES) * 16;
}

/* ------------------------------------------------ page lists of state bundles */

/* R9 of the state leaves. */
#define PAGE_LIST_HPA		SIM_HPA_PAGE_MASK
#define PAGE_LIST_RESERVED	(GENMASK_ULL(11, 0) | GENMASK_ULL(54, 52))
#define PAGE_LIST_LAST		GENMASK_ULL(63, 55)

/* Check that the list in R9 offers @min_pages. */
u64 page_list_check(u64 r9, unsigned int min_pages);

#endif /* _TDX_SIM_MIG_H */
