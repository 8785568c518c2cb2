// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves on ranges of a TD's memory: blocking, tracking, debug access; and
 * what all leaves that take an EPT mapping have in common.
 */
#include "leaves.h"
#include "mem.h"
#include "metadata.h"

bool mem_mapping(u64 mapping, int min_level, int max_level, u64 *gpa, int *level)
{
	if (mapping & MAPPING_RESERVED)
		return false;
	*level = FIELD_GET(MAPPING_LEVEL, mapping);
	if (*level < min_level || *level > max_level)
		return false;
	*gpa = mapping & MAPPING_GPA;
	return IS_ALIGNED(*gpa, SIM_LEVEL_SIZE(*level));
}

u64 sept_leaf_hpa(const struct sept_walk *w, u64 gpa)
{
	return sept_hpa(w->entry) | (gpa & (SIM_LEVEL_SIZE(w->level) - 1));
}

u64 mem_locate(struct sim_call *c, struct mem_op *op, int min_level, int max_level,
	       enum sim_lock_mode tree)
{
	u64 err;

	if (max_level == SEPT_MAX_ROOT_LEVEL)
		max_level = sept_root_level(&op->td);
	if (!mem_mapping(c->in.r[RCX], min_level, max_level, &op->gpa, &op->level) ||
	    !sept_gpa_private(&op->td, op->gpa))
		return SIM_OPERAND_INVALID | RCX;
	err = sim_hold_or_busy(c, &op->td.tdcs->sept_tree_lock, tree, OPND_SEPT_TREE);
	if (err)
		return err;
	err = sept_walk(&op->td, op->gpa, op->level, &op->w);
	if (err) {
		sept_report(c, &op->w);
		return err | RCX;
	}
	if (!sept_hold(c, &op->w)) {
		sept_report(c, &op->w);
		return SIM_OPERAND_BUSY | RCX;
	}
	if (!sept_state_allows(c->leaf, sept_state(op->w.entry))) {
		sept_report(c, &op->w);
		return SIM_EPT_ENTRY_STATE_INCORRECT | RCX;
	}
	return SIM_SUCCESS;
}

u64 mem_begin(struct sim_call *c, struct mem_op *op, int min_level, int max_level,
	      enum sim_lock_mode tree)
{
	u64 err;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &op->td);
	return err ? err : mem_locate(c, op, min_level, max_level, tree);
}

u64 mem_check_tracked(struct sim_call *c, struct mem_op *op, const struct pamt_entry *pe)
{
	enum sept_state state = sept_state(op->w.entry);

	if (!sept_needs_tracking(state, op->td.tdcs->op_state))
		return SIM_SUCCESS;
	if (!sept_is_blocked(state)) {
		sept_report(c, &op->w);
		return SIM_GPA_RANGE_NOT_BLOCKED | RCX;
	}
	if (!sim_tlb_tracked(op->td.tdcs, pe->bepoch))
		return SIM_TLB_TRACKING_NOT_DONE | RCX;
	return SIM_SUCCESS;
}

/* PAMT entry of what @w maps or, above a leaf, of the table that it names. */
static struct pamt_entry *entry_pamt(const struct sept_walk *w)
{
	return sim_pamt_level(sept_hpa(w->entry), w->entry & SEPT_LEAF ? w->level : 0);
}

u64 tdx_sim_mem_range_block(struct sim_call *c)
{
	enum sept_state state;
	struct mem_op op;
	u64 err;

	err = mem_begin(c, &op, 0, SEPT_MAX_ROOT_LEVEL, SIM_EXCL);
	if (err == (SIM_EPT_ENTRY_STATE_INCORRECT | RCX) &&
	    sept_is_blocked(sept_state(op.w.entry)))
		return SIM_GPA_RANGE_ALREADY_BLOCKED | RCX;
	if (err)
		return err;

	state = sept_state(op.w.entry);
	if (state == SEPT_NL_MAPPED)
		state = SEPT_NL_BLOCKED;
	else
		state = sept_is_pending(state) ? SEPT_PENDING_BLOCKED : SEPT_BLOCKED;
	sept_set(&op.w, state, sept_hpa(op.w.entry));
	entry_pamt(&op.w)->bepoch = sim_load(&op.td.tdcs->epoch.td_epoch);
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_range_unblock(struct sim_call *c)
{
	enum sept_state state;
	struct mem_op op;
	u64 err;

	err = mem_begin(c, &op, 0, SEPT_MAX_ROOT_LEVEL, SIM_EXCL);
	if (err)
		return err;
	state = sept_state(op.w.entry);
	if (sept_needs_tracking(state, op.td.tdcs->op_state) &&
	    !sim_tlb_tracked(op.td.tdcs, entry_pamt(&op.w)->bepoch))
		return SIM_TLB_TRACKING_NOT_DONE | sim_profile()->unblock_operand;
	sept_set(&op.w, sept_unblocked(state), sept_hpa(op.w.entry));
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_track(struct sim_call *c)
{
	struct tdcs_epoch *e;
	struct sim_td td;
	u64 err, end;

	err = sim_get_td(c, RCX, SIM_SHARED, SIM_SHARED, &td);
	if (err)
		return err;
	e = &td.tdcs->epoch;
	err = sim_hold_or_busy(c, &e->lock, SIM_EXCL, OPND_TD_EPOCH);
	if (err)
		return err;
	/* The vCPUs that entered before the last TRACK have to be out. */
	if (sim_load(&e->refcount[(e->td_epoch & 1) ^ 1]))
		return SIM_PREVIOUS_TLB_EPOCH_BUSY;
	sim_store(&e->td_epoch, e->td_epoch + 1);
	/* Above are the epochs that mark imported pages. */
	end = sim_profile()->td_epoch_end;
	if (end && e->td_epoch >= end)
		return sim_break_down();
	return SIM_SUCCESS;
}

static u64 mem_access(struct sim_call *c, bool write)
{
	u64 gpa = c->in.r[RCX];
	struct sept_walk w;
	struct sim_td td;
	u64 err, *data;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	c->regs->r[R8] = 0;
	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &td);
	if (err)
		return err;
	if (!(td.tdcs->attributes & SIM_ATTR_DEBUG))
		return SIM_TD_NON_DEBUG;
	if (!IS_ALIGNED(gpa, sizeof(*data)))
		return SIM_OPERAND_INVALID | RCX;
	err = sim_hold_or_busy(c, &td.tdcs->sept_tree_lock, SIM_SHARED, OPND_SEPT_TREE);
	if (err)
		return err;
	if (!sept_gpa_private(&td, gpa))
		return SIM_OPERAND_INVALID | RCX;
	if (sept_walk_leaf(&td, gpa, &w)) {
		sept_report(c, &w);
		return SIM_EPT_ENTRY_NOT_PRESENT | RCX;
	}
	if (!sept_hold(c, &w)) {
		sept_report(c, &w);
		return SIM_OPERAND_BUSY | RCX;
	}
	if (!sept_state_allows(c->leaf, sept_state(w.entry))) {
		sept_report(c, &w);
		return SIM_EPT_ENTRY_STATE_INCORRECT | RCX;
	}
	data = sim_ptr(sept_leaf_hpa(&w, gpa));
	c->regs->r[R8] = READ_ONCE(*data);
	if (write)
		WRITE_ONCE(*data, c->in.r[R8]);
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_rd(struct sim_call *c)
{
	return mem_access(c, false);
}

u64 tdx_sim_mem_wr(struct sim_call *c)
{
	return mem_access(c, true);
}
