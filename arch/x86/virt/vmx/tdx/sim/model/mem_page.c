// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves on the pages of a TD: adding, removing, moving, changing their size.
 */
#include "leaves.h"
#include "mem.h"

static void take_page(struct mem_op *op, u64 page, struct pamt_entry *pe)
{
	sim_atomic_add64(&op->td.tdr->chldcnt, SIM_LEVEL_PAGES(op->level));
	sim_cache_take(page, op->level, op->td.tdr->hkid);
	sim_pamt_assign(pe, PT_REG, op->td.tdr_pa);
}

/*
 * Nobody has written to a page that the guest has not accepted, except an import
 * that failed.
 */
static void drop_page(struct sim_call *c, struct mem_op *op, u64 page, struct pamt_entry *pe)
{
	sim_pamt_free(pe);
	if (!sept_is_pending(sept_state(op->w.entry)) ||
	    op->td.tdcs->op_state == OP_FAILED_IMPORT)
		sim_cache_leave(page, op->level, op->td.tdr->hkid, c->leaf);
}

u64 tdx_sim_mem_page_add(struct sim_call *c)
{
	u64 page = c->in.r[R8], source = c->in.r[R9];
	struct pamt_entry *pe;
	struct mem_op op;
	u64 err;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	/* The TDR is held exclusively: nobody else is in the tree. */
	err = sim_get_td(c, RDX, SIM_EXCL, -1, &op.td);
	if (err)
		return err;
	if (!mem_mapping(c->in.r[RCX], 0, 0, &op.gpa, &op.level) ||
	    !sept_gpa_private(&op.td, op.gpa))
		return SIM_OPERAND_INVALID | RCX;
	err = sept_walk(&op.td, op.gpa, op.level, &op.w);
	if (!err && !sept_state_allows(c->leaf, sept_state(op.w.entry)))
		err = SIM_EPT_ENTRY_STATE_INCORRECT;
	if (err) {
		sept_report(c, &op.w);
		return err | RCX;
	}
	err = sim_check_shared_hpa(source, SIM_PAGE_SIZE, R9);
	if (!err)
		err = sim_get_free_page(c, page, R8, &pe);
	if (err)
		return err;

	memcpy(sim_ptr(page), sim_ptr(source), SIM_PAGE_SIZE);
	sept_set(&op.w, SEPT_MAPPED, page);
	sim_mrtd_record(op.td.tdcs, "MEM.PAGE.ADD", op.gpa);
	take_page(&op, page, pe);
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_page_aug(struct sim_call *c)
{
	u64 page = c->in.r[R8];
	struct pamt_entry *pe;
	struct mem_op op;
	u64 err;

	err = mem_begin(c, &op, 0, 1, SIM_SHARED);
	if (err)
		return err;
	err = sim_get_free_range(c, page, R8, op.level, &pe);
	if (err)
		return err;
	take_page(&op, page, pe);
	sept_set(&op.w, SEPT_PENDING, page);
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_page_remove(struct sim_call *c)
{
	struct pamt_entry *pe;
	struct mem_op op;
	u64 err, page;

	err = mem_begin(c, &op, 0, 2, SIM_SHARED);
	if (err)
		return err;
	page = sept_hpa(op.w.entry);
	pe = sim_pamt_level(page, op.level);
	err = sim_hold_or_busy(c, &pe->lock, SIM_EXCL, RCX);
	if (!err)
		err = mem_check_tracked(c, &op, pe);
	if (err)
		return err;
	sim_atomic_add64(&op.td.tdr->chldcnt, -SIM_LEVEL_PAGES(op.level));
	drop_page(c, &op, page, pe);
	sept_set_free(&op.w, op.td.tdcs);
	c->regs->r[RCX] = page;
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_page_relocate(struct sim_call *c)
{
	u64 target = c->in.r[R8];
	struct pamt_entry *from, *to;
	enum sept_state state;
	struct mem_op op;
	u64 err, source;

	err = mem_begin(c, &op, 0, 0, SIM_SHARED);
	if (err)
		return err;
	state = sept_state(op.w.entry);
	source = sept_hpa(op.w.entry);
	if (source == target)
		return SIM_OPERAND_INVALID | R8;
	from = sim_pamt(source);
	err = sim_hold_or_busy(c, &from->lock, SIM_EXCL, RCX);
	if (!err)
		err = mem_check_tracked(c, &op, from);
	if (!err)
		err = sim_get_free_page(c, target, R8, &to);
	if (err)
		return err;

	if (!sept_is_pending(state))
		memcpy(sim_ptr(target), sim_ptr(source), SIM_PAGE_SIZE);
	sim_cache_take(target, 0, op.td.tdr->hkid);
	sim_pamt_assign(to, PT_REG, op.td.tdr_pa);
	drop_page(c, &op, source, from);
	sept_set(&op.w, sept_unblocked(state), target);
	c->regs->r[RCX] = source;
	return SIM_SUCCESS;
}

/* ------------------------------------------------------ changing page sizes */

/*
 * The entries of a table that is to become one page: each must map the page
 * after the one before it, in the same state.  Counts those that it locked.
 */
static u64 lock_mergeable(u64 *table, int level, unsigned int *locked)
{
	struct sept_walk w = { .level = level };
	u64 expected = 0;
	unsigned int i;

	for (i = 0; i < SIM_TABLE_ENTRIES; i++, expected += SIM_LEVEL_SIZE(level)) {
		w.ptr = &table[i];
		if (!sept_trylock(&w))
			return SIM_OPERAND_BUSY;
		*locked = i + 1;
		if (!i) {
			if (!IS_ALIGNED(sept_hpa(w.entry), SIM_LEVEL_SIZE(level + 1)) ||
			    !sept_is_mapped_or_pending(sept_state(w.entry)))
				return SIM_EPT_INVALID_PROMOTE_CONDITIONS;
			expected = w.entry;
		} else if (w.entry != expected) {
			return SIM_EPT_INVALID_PROMOTE_CONDITIONS;
		}
	}
	return SIM_SUCCESS;
}

static void unlock_entries(u64 *table, unsigned int nr)
{
	while (nr--)
		sim_atomic_andnot64(&table[nr], SEPT_LOCK);
}

static u64 promote(struct sim_call *c, struct mem_op *op, u64 *table, unsigned int *locked)
{
	u64 err, first;

	err = lock_mergeable(table, op->level - 1, locked);
	if (err) {
		sept_report(c, &op->w);
		return err | RCX;
	}
	if (tdx_sim_host_interrupt_pending()) {
		c->regs->r[RCX] = c->in.r[RCX];
		c->regs->r[RDX] = c->in.r[RDX];
		return SIM_INTERRUPTED_RESTARTABLE;
	}
	first = sim_load(&table[0]);
	err = sim_pamt_promote(sept_hpa(first), op->level);
	if (err)
		return err | RCX;
	sept_set(&op->w, sept_state(first), sept_hpa(first));
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_page_promote(struct sim_call *c)
{
	unsigned int locked = 0;
	struct pamt_entry *pe;
	u64 err, page, *table;
	struct mem_op op;
	int reg;

	if (c->version > 1) {
		c->regs->r[RCX] = 0;
		c->regs->r[RDX] = 0;
	}
	/* The pages of L2 tables, of which there are none. */
	for (reg = R9; c->version && reg <= R11; reg++)
		c->regs->r[reg] = SIM_NULL_PA;
	if (c->version > 1)
		return SIM_OPERAND_INVALID | RAX;

	err = mem_begin(c, &op, 1, 2, SIM_SHARED);
	if (err)
		return err;
	page = sept_hpa(op.w.entry);
	pe = sim_pamt(page);
	err = sim_hold_or_busy(c, &pe->lock, SIM_EXCL, RCX);
	if (!err)
		err = mem_check_tracked(c, &op, pe);
	if (err)
		return err;

	table = sim_ptr(page);
	err = promote(c, &op, table, &locked);
	if (err) {
		unlock_entries(table, locked);
		return err;
	}
	sim_atomic_dec64(&op.td.tdr->chldcnt);
	sim_pamt_free(pe);
	sim_cache_leave(page, 0, op.td.tdr->hkid, c->leaf);
	c->regs->r[RCX] = page;
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_page_demote(struct sim_call *c)
{
	u64 page = c->in.r[R8];
	struct pamt_entry *pe, *large;
	enum sept_state state;
	u64 err, hpa, *table;
	struct mem_op op;
	unsigned int i;

	err = mem_get_td_with_flags(c, &op);
	if (!err)
		err = mem_locate(c, &op, 1, 2, SIM_SHARED);
	if (err)
		return err;
	hpa = sept_hpa(op.w.entry);
	state = sept_unblocked(sept_state(op.w.entry));
	large = sim_pamt_level(hpa, op.level);
	err = mem_check_tracked(c, &op, large);
	if (!err)
		err = sim_get_free_page(c, page, R8, &pe);
	if (err)
		return err;

	table = sim_ptr(page);
	for (i = 0; i < SIM_TABLE_ENTRIES; i++)
		table[i] = sept_make(state, hpa + i * SIM_LEVEL_SIZE(op.level - 1), 0);
	if (tdx_sim_host_interrupt_pending()) {
		c->regs->r[RCX] = c->in.r[RCX];
		c->regs->r[RDX] = c->in.r[RDX];
		return SIM_INTERRUPTED_RESTARTABLE;
	}
	err = sim_pamt_demote(hpa, op.level);
	if (err)
		return err | RCX;
	sept_set(&op.w, SEPT_NL_MAPPED, page);
	sim_atomic_inc64(&op.td.tdr->chldcnt);
	sim_cache_take(page, 0, op.td.tdr->hkid);
	sim_pamt_assign(pe, PT_EPT, op.td.tdr_pa);
	return SIM_SUCCESS;
}
