// SPDX-License-Identifier: GPL-2.0
/*
 * TDH.EXPORT.MEM: encrypt a list of pages into a memory bundle.
 */
#include "mig.h"

/* What EXPORT.MEM may do with a Secure EPT entry. */
#define EXPORTABLE		BIT(0)
#define EXPORT_FIRST		BIT(1)	/* the peer has no copy */
#define EXPORT_DIRTY		BIT(2)	/* the peer's copy is stale */
#define EXPORT_LIVE		BIT(3)	/* write blocked, so the TD may run */

static const u8 export_flags[SEPT_NR_STATES] = {
	[SEPT_MAPPED] = EXPORTABLE | EXPORT_FIRST,
	[SEPT_BLOCKEDW] = EXPORTABLE | EXPORT_FIRST | EXPORT_LIVE,
	[SEPT_EXPORTED_BLOCKEDW] = EXPORTABLE | EXPORT_LIVE,
	[SEPT_EXPORTED_DIRTY] = EXPORTABLE | EXPORT_DIRTY,
	[SEPT_EXPORTED_DIRTY_BLOCKEDW] = EXPORTABLE | EXPORT_DIRTY | EXPORT_LIVE,
	[SEPT_PENDING] = EXPORTABLE | EXPORT_FIRST,
	[SEPT_PENDING_BLOCKEDW] = EXPORTABLE | EXPORT_FIRST | EXPORT_LIVE,
	[SEPT_PENDING_EXPORTED_BLOCKEDW] = EXPORTABLE | EXPORT_LIVE,
	[SEPT_PENDING_EXPORTED_DIRTY] = EXPORTABLE | EXPORT_DIRTY,
	[SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW] = EXPORTABLE | EXPORT_DIRTY | EXPORT_LIVE,
};

struct export_mem {
	struct sim_td td;
	struct mig_stream s;
	struct gpa_list list;
	u64 *buffers;
	u8 *mac[2];
	u32 op_state;
	/* 4 KiB units of the bundle: the list, MAC lists and pages. */
	u32 units;
	u32 problems;
};

/* Decide what happens to a page; the operation written back is in *@entry. */
static enum gpa_status choose_op(struct export_mem *x, enum sept_state state, u64 *entry)
{
	struct tdcs *tdcs = x->td.tdcs;
	u8 flags = export_flags[state];

	if (!(flags & EXPORTABLE))
		return GPA_ENTRY_STATE_INCORRECT;

	if (!mig_in_order_export(x->op_state)) {
		if (gpa_entry_op(*entry) == GPA_CANCEL)
			return GPA_OP_STATE_INCORRECT;
		*entry = gpa_entry_set_op(*entry, GPA_MIGRATE);
		return GPA_SUCCESS;
	}

	if (gpa_entry_op(*entry) == GPA_CANCEL)
		return sept_is_exported(state) ? GPA_SUCCESS : GPA_ENTRY_STATE_INCORRECT;

	/* On input MIGRATE and REMIGRATE are the same. */
	if (flags & EXPORT_FIRST)
		*entry = gpa_entry_set_op(*entry, GPA_MIGRATE);
	else if (flags & EXPORT_DIRTY)
		*entry = gpa_entry_set_op(*entry, GPA_REMIGRATE);
	else
		return GPA_ENTRY_STATE_INCORRECT;

	if (x->op_state == OP_LIVE_EXPORT) {
		if (!(flags & EXPORT_LIVE))
			return GPA_ENTRY_STATE_INCORRECT;
		if (!sim_tlb_tracked(tdcs, READ_ONCE(tdcs->bw_epoch)))
			return GPA_TLB_TRACKING_NOT_DONE;
	}
	return GPA_SUCCESS;
}

/* Move a locked entry on and account for it. */
static enum gpa_status export_entry(struct export_mem *x, struct sept_walk *w, u64 *entry,
				    u64 *buffer)
{
	enum sept_state state = sept_state(w->entry);
	bool pending = sept_is_pending(state);
	struct tdcs *tdcs = x->td.tdcs;
	enum gpa_status status;
	enum sept_state next;

	status = choose_op(x, state, entry);
	if (status)
		return status;

	*entry &= ~(GPAE_PENDING | GPAE_L2_MAP);
	if (pending)
		*entry |= GPAE_PENDING;

	if (gpa_entry_op(*entry) == GPA_CANCEL) {
		next = pending ? SEPT_PENDING : SEPT_MAPPED;
		*buffer |= PAGE_ENTRY_INVALID;
	} else if (pending) {
		next = SEPT_PENDING_EXPORTED_BLOCKEDW;
		*buffer |= PAGE_ENTRY_INVALID;
	} else {
		if (*buffer & PAGE_ENTRY_INVALID)
			return GPA_MIG_BUFFER_NOT_AVAILABLE;
		next = SEPT_EXPORTED_BLOCKEDW;
	}
	sept_set(w, next, sept_hpa(w->entry));

	if (gpa_entry_op(*entry) == GPA_CANCEL)
		sim_atomic_dec64(&tdcs->mig_count);
	else if (!sept_is_exported(state))
		sim_atomic_inc64(&tdcs->mig_count);
	if (export_flags[state] & EXPORT_DIRTY)
		sim_atomic_dec64(&tdcs->dirty_count);
	return GPA_SUCCESS;
}

/*
 * Every entry of the list becomes part of the bundle with a MAC of its own,
 * also one that failed.  An error ends the call, and the bundle with it.
 */
static u64 export_one(struct export_mem *x, unsigned int i)
{
	u64 entry = READ_ONCE(x->list.entries[i]);
	u64 buffer = READ_ONCE(x->buffers[i]);
	struct sim_gcm *gcm = &x->s.ctx->gcm;
	bool nop = gpa_entry_op(entry) == GPA_NOP;
	enum gpa_status status = GPA_SKIPPED;
	struct sept_walk w = {};
	bool locked = false;
	u64 err = SIM_SUCCESS;

	if (nop ? !gpa_entry_well_formed(entry) : !gpa_entry_valid(&x->td, entry)) {
		WRITE_ONCE(x->list.entries[i], gpa_entry_refuse(entry, GPA_ENTRY_INVALID));
		return SIM_OPERAND_INVALID | OPND_GPA_LIST_ENTRY;
	}

	if (!nop) {
		status = gpa_entry_walk(&x->td, entry, &w);
		if (!status) {
			locked = true;
			status = export_entry(x, &w, &entry, &buffer);
		}
	}
	if (status) {
		entry = gpa_entry_refuse(entry, status);
		buffer |= PAGE_ENTRY_INVALID;
		if (status != GPA_SKIPPED)
			x->problems++;
	}

	mig_gcm_begin(&x->s, ++x->s.ctx->iv_counter);
	sim_gcm_auth(gcm, &entry, sizeof(entry));
	if (!(buffer & PAGE_ENTRY_INVALID)) {
		void *src = sim_ptr(sept_hpa(w.entry));
		void *dst;

		err = mig_map_shared_page(buffer & PAGE_ENTRY_HPA, OPND_MIG_BUFF_LIST_ENTRY,
					  &dst);
		if (err)
			goto unlock;
		sim_gcm_encrypt(gcm, dst, src, SIM_PAGE_SIZE);
		x->units++;
	}
	sim_gcm_seal(gcm, mig_page_mac(x->mac, i));

	WRITE_ONCE(x->buffers[i], buffer);
	WRITE_ONCE(x->list.entries[i], entry);
unlock:
	if (locked)
		sept_unlock(&w);
	return err;
}

static struct migsc_operands operands(struct sim_call *c, struct export_mem *x, u64 list_info)
{
	u64 *r = c->regs->r;

	return (struct migsc_operands) {
		.leaf = c->leaf,
		.mig_epoch = x->td.tdcs->mig_epoch,
		.list_info = list_info,
		.buf_list_hpa = r[R9],
		.mac_hpa = { r[R11], r[R12] },
	};
}

static void interrupt_bundle(struct sim_call *c, struct export_mem *x, unsigned int next)
{
	struct migsc_operands ops = operands(c, x, gpa_list_info(x->list.info, next));

	mig_interrupt(&x->s, &ops);
	x->s.ctx->intr.pages_done = x->units;
}

static u64 export_list(struct sim_call *c, struct export_mem *x, unsigned int *next)
{
	unsigned int i;
	u64 err;

	for (i = x->list.first; i <= x->list.last; i++) {
		/* Give way, also without any progress. */
		if (tdx_sim_host_call_waiting()) {
			interrupt_bundle(c, x, i);
			return SIM_INTERRUPTED_BUSY;
		}
		err = export_one(x, i);
		if (err)
			return err;

		*next = i + 1;
		if (i < x->list.last && tdx_sim_host_interrupt_pending()) {
			interrupt_bundle(c, x, *next);
			return SIM_INTERRUPTED_RESUMABLE;
		}
	}
	return SIM_SUCCESS;
}

/* The header goes out before the pages; a bundle that was interrupted is dropped. */
static u64 begin_bundle(struct export_mem *x, struct sim_mbmd *host)
{
	struct sim_mbmd mbmd;

	if (x->list.first)
		return SIM_OPERAND_INVALID | RCX;
	if (!mig_stream_ready(&x->s))
		mig_stream_init(&x->s, x->td.tdcs->mig_enc_working_key);
	x->s.ctx->intr.valid = false;

	x->units = 1 + !!x->mac[0] + !!x->mac[1];
	mbmd_next(&x->s, x->td.tdcs, MB_MEM, FIELD_PREP(MBMD_NUM_GPAS, x->list.last + 1),
		  &mbmd);
	mbmd_seal(&x->s, &mbmd);
	mbmd_write(host, &mbmd);
	return SIM_SUCCESS;
}

static u64 resume_bundle(struct sim_call *c, struct export_mem *x)
{
	struct migsc_operands ops = operands(c, x, x->list.info);
	u64 err;

	if (!mig_stream_ready(&x->s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;
	err = mig_resume(&x->s, &ops);
	if (err)
		return err;
	x->units = x->s.ctx->intr.pages_done;
	return SIM_SUCCESS;
}

u64 tdx_sim_export_mem(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct export_mem x = {};
	struct sim_mbmd *mbmd;
	unsigned int next;
	u32 headers;
	u64 err;

	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &x.td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &x.td.tdcs->mig_lock, SIM_SHARED, OPND_MIG);
	if (err)
		return err;
	err = mig_get_stream(c, &x.td, r[R10], true, &x.s);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &x.td.tdcs->sept_tree_lock, SIM_SHARED, OPND_SEPT_TREE);
	if (err)
		return err;
	err = gpa_list_open(r[RCX], &x.list);
	if (err)
		return err;
	err = mig_map_shared_page(r[R9], R9, (void **)&x.buffers);
	if (err)
		return err;
	err = mig_map_mac_lists(c, &x.list, x.mac);
	if (err)
		return err;
	err = mbmd_operand(r[R8], &mbmd);
	if (err)
		return err;

	x.op_state = READ_ONCE(x.td.tdcs->op_state);
	err = r[R10] & MIGS_COMMAND ? resume_bundle(c, &x) : begin_bundle(&x, mbmd);
	if (err)
		return err;

	headers = x.units;
	next = x.list.first;
	err = export_list(c, &x, &next);
	r[RCX] = gpa_list_info(x.list.info, next);
	sim_atomic_add64(&x.td.cpuid->bytes_exported, (u64)(x.units - headers) << SIM_PAGE_SHIFT);
	if (err)
		return err;

	sim_atomic_inc64(&x.td.tdcs->total_mb_count);
	x.s.ctx->next_mb_counter++;
	r[RDX] = x.units;
	return SIM_SUCCESS | x.problems;
}
