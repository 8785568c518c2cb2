// SPDX-License-Identifier: GPL-2.0
/*
 * The source side apart from the bundles: write blocking, the pause, and the
 * clean-up after an abort.  TDH.EXPORT.BLOCKW, UNBLOCKW, RESTORE and PAUSE.
 */
#include "mig.h"

/* Free is no target of these leaves, so it marks what a leaf does not accept. */
#define REFUSED			SEPT_FREE

static const enum sept_state blockw_next[SEPT_NR_STATES] = {
	[SEPT_MAPPED] = SEPT_BLOCKEDW,
	[SEPT_EXPORTED_DIRTY] = SEPT_EXPORTED_DIRTY_BLOCKEDW,
	[SEPT_PENDING] = SEPT_PENDING_BLOCKEDW,
	[SEPT_PENDING_EXPORTED_DIRTY] = SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW,
};

static const enum sept_state unblockw_next[SEPT_NR_STATES] = {
	[SEPT_BLOCKEDW] = SEPT_MAPPED,
	[SEPT_EXPORTED_BLOCKEDW] = SEPT_EXPORTED_DIRTY,
	[SEPT_EXPORTED_DIRTY_BLOCKEDW] = SEPT_EXPORTED_DIRTY,
	[SEPT_PENDING_BLOCKEDW] = SEPT_PENDING,
	[SEPT_PENDING_EXPORTED_BLOCKEDW] = SEPT_PENDING_EXPORTED_DIRTY,
	[SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW] = SEPT_PENDING_EXPORTED_DIRTY,
};

static const enum sept_state restore_next[SEPT_NR_STATES] = {
	[SEPT_EXPORTED_BLOCKEDW] = SEPT_MAPPED,
	[SEPT_EXPORTED_DIRTY] = SEPT_MAPPED,
	[SEPT_EXPORTED_DIRTY_BLOCKEDW] = SEPT_MAPPED,
	[SEPT_PENDING_EXPORTED_BLOCKEDW] = SEPT_PENDING,
	[SEPT_PENDING_EXPORTED_DIRTY] = SEPT_PENDING,
	[SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW] = SEPT_PENDING,
};

static void move_entry(struct sept_walk *w, enum sept_state next)
{
	sept_set(w, next, sept_hpa(w->entry));
}

/* A leaf that moves each entry of a GPA list to another state. */
struct list_op {
	const enum sept_state *next;
	void (*account)(struct sim_td *td);
};

static enum gpa_status work_on_entry(struct sim_td *td, u64 entry, const struct list_op *op)
{
	enum gpa_status status;
	enum sept_state next;
	struct sept_walk w;

	status = gpa_entry_walk(td, entry, &w);
	if (status)
		return status;

	next = op->next[sept_state(w.entry)];
	if (next == REFUSED) {
		status = GPA_ENTRY_STATE_INCORRECT;
	} else {
		move_entry(&w, next);
		op->account(td);
	}
	sept_unlock(&w);
	return status;
}

/* Only MIGRATE and REMIGRATE ask for something. */
static bool is_request(u64 entry)
{
	enum gpa_op op = gpa_entry_op(entry);

	return op == GPA_MIGRATE || op == GPA_REMIGRATE;
}

static u64 work_on_list(struct sim_td *td, struct gpa_list *list, const struct list_op *op,
			unsigned int *next)
{
	u32 problems = 0;
	unsigned int i;

	for (i = list->first; i <= list->last; i++) {
		u64 entry = READ_ONCE(list->entries[i]);
		enum gpa_status status;

		if (is_request(entry) ? !gpa_entry_valid(td, entry) :
					!gpa_entry_well_formed(entry)) {
			WRITE_ONCE(list->entries[i],
				   gpa_entry_refuse(entry, GPA_ENTRY_INVALID));
			return SIM_OPERAND_INVALID | OPND_GPA_LIST_ENTRY;
		}

		status = is_request(entry) ? work_on_entry(td, entry, op) : GPA_SKIPPED;
		if (status)
			entry = gpa_entry_refuse(entry, status);
		else
			entry = gpa_entry_set_status(entry, GPA_SUCCESS);
		WRITE_ONCE(list->entries[i], entry);
		if (status && status != GPA_SKIPPED)
			problems++;

		*next = i + 1;
		if (i < list->last && tdx_sim_host_interrupt_pending())
			return SIM_INTERRUPTED_RESUMABLE;
	}
	return SIM_SUCCESS | problems;
}

static u64 list_leaf(struct sim_call *c, const struct list_op *op)
{
	u64 *r = c->regs->r;
	struct gpa_list list;
	unsigned int next;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &td.tdcs->sept_tree_lock, SIM_SHARED, OPND_SEPT_TREE);
	if (err)
		return err;
	err = gpa_list_open(r[RCX], &list);
	if (err)
		return err;

	next = list.first;
	err = work_on_list(&td, &list, op, &next);
	r[RCX] = gpa_list_info(list.info, next);
	return err;
}

/* One epoch for the TD: a page blocked later un-tracks those blocked before. */
static void account_blockw(struct sim_td *td)
{
	WRITE_ONCE(td->tdcs->bw_epoch, READ_ONCE(td->tdcs->epoch.td_epoch));
}

u64 tdx_sim_export_blockw(struct sim_call *c)
{
	static const struct list_op op = { blockw_next, account_blockw };

	return list_leaf(c, &op);
}

/* DIRTY_COUNT is not kept after an abort; the next session starts it anew. */
static void account_restore(struct sim_td *td)
{
	sim_atomic_dec64(&td->tdcs->mig_count);
}

u64 tdx_sim_export_restore(struct sim_call *c)
{
	static const struct list_op op = { restore_next, account_restore };

	return list_leaf(c, &op);
}

u64 tdx_sim_export_unblockw(struct sim_call *c)
{
	u64 *r = c->regs->r;
	u64 gpa = r[RCX];
	enum sept_state state, next;
	struct sept_walk w;
	struct sim_td td;
	u64 err;

	r[RCX] = 0;
	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &td);
	r[RDX] = 0;
	if (err)
		return err;
	/* Only 4 KiB mappings, that is level 0; all else beside the GPA is reserved. */
	if ((gpa & ~SIM_HPA_PAGE_MASK) || !sept_gpa_private(&td, gpa))
		return SIM_OPERAND_INVALID | RCX;
	err = sim_hold_or_busy(c, &td.tdcs->sept_tree_lock, SIM_SHARED, OPND_SEPT_TREE);
	if (err)
		return err;

	if (sept_walk(&td, gpa, 0, &w)) {
		sept_report(c, &w);
		return SIM_EPT_WALK_FAILED | RCX;
	}
	if (!sept_trylock(&w))
		return SIM_OPERAND_BUSY | RCX;

	state = sept_state(w.entry);
	next = unblockw_next[state];
	if (next == REFUSED) {
		sept_report(c, &w);
		err = SIM_EPT_ENTRY_STATE_INCORRECT | RCX;
	} else {
		move_entry(&w, next);
		if (state == SEPT_EXPORTED_BLOCKEDW || state == SEPT_PENDING_EXPORTED_BLOCKEDW)
			sim_atomic_inc64(&td.tdcs->dirty_count);
	}
	sept_unlock(&w);
	return err;
}

u64 tdx_sim_export_pause(struct sim_call *c)
{
	struct sim_td td;
	u64 err;

	/* Held exclusively, the TDR proves that no vCPU is in the guest. */
	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;

	/* All that was blocked before counts as tracked from now on. */
	sim_atomic_inc64(&td.tdcs->epoch.td_epoch);
	WRITE_ONCE(td.tdcs->op_state, OP_PAUSED_EXPORT);
	return SIM_SUCCESS;
}
