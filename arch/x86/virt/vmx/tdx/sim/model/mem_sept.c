// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves on the tables of the Secure EPT.
 */
#include "leaves.h"
#include "mem.h"
#include "metadata.h"

/* RDX of leaves that take flags beside the TDR. */
#define TDR_FLAG		BIT_ULL(0)
#define TDR_RESERVED		(GENMASK_ULL(11, 1) | GENMASK_ULL(63, 52))

/* In a page operand: do not use this page. */
#define PAGE_NOT_USED		BIT_ULL(63)

u64 mem_get_td_with_flags(struct sim_call *c, struct mem_op *op)
{
	u64 rdx = c->in.r[RDX];

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	if (rdx & TDR_RESERVED)
		return SIM_OPERAND_INVALID | RDX;
	c->in.r[RDX] = rdx & ~TDR_FLAG;
	return sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &op->td);
}

static void add_table(struct mem_op *op, u64 page, struct pamt_entry *pe)
{
	memset(sim_ptr(page), 0, SIM_PAGE_SIZE);
	sim_cache_take(page, 0, op->td.tdr->hkid);
	sim_pamt_assign(pe, PT_EPT, op->td.tdr_pa);
	sim_atomic_inc64(&op->td.tdr->chldcnt);
	sept_set(&op->w, SEPT_NL_MAPPED, page);
}

/* The pages for tables of L2 VMs: these have no tables here. */
static u64 check_l2_pages(struct sim_call *c)
{
	int reg;

	for (reg = R9; c->version && reg <= R11; reg++) {
		if (c->in.r[reg] != SIM_NULL_PA)
			return SIM_OPERAND_INVALID | reg;
	}
	return SIM_SUCCESS;
}

static u64 sept_add(struct sim_call *c, struct mem_op *op, bool allow_existing, u64 page,
		    u64 *unused)
{
	bool is_free = sept_state(op->w.entry) == SEPT_FREE;
	struct pamt_entry *pe = NULL;
	u64 err;

	if (page == SIM_NULL_PA) {
		if (!c->version)
			return SIM_OPERAND_INVALID | R8;
		if (is_free) {
			sept_report(c, &op->w);
			return SIM_EPT_ENTRY_STATE_INCORRECT | RCX;
		}
	} else if (is_free) {
		err = sim_get_free_page(c, page, R8, &pe);
		if (err)
			return err;
	} else if (allow_existing) {
		*unused = page | PAGE_NOT_USED;
	} else {
		sept_report(c, &op->w);
		return SIM_EPT_ENTRY_STATE_INCORRECT | RCX;
	}
	err = check_l2_pages(c);
	if (err || !pe)
		return err;
	add_table(op, page, pe);
	*unused = SIM_NULL_PA;
	return SIM_SUCCESS;
}

u64 tdx_sim_mem_sept_add(struct sim_call *c)
{
	bool allow_existing = c->in.r[RDX] & TDR_FLAG;
	u64 page = c->in.r[R8], unused;
	struct mem_op op;
	u64 err;
	int reg;

	if (page != SIM_NULL_PA)
		page &= ~PAGE_NOT_USED;
	unused = page;
	if (c->version > 1) {
		c->regs->r[RCX] = 0;
		c->regs->r[RDX] = 0;
		return SIM_OPERAND_INVALID | RAX;
	}
	err = mem_get_td_with_flags(c, &op);
	if (!err)
		err = mem_locate(c, &op, 1, SEPT_MAX_ROOT_LEVEL, SIM_SHARED);
	if (!err)
		err = sept_add(c, &op, allow_existing, page, &unused);
	if (c->version) {
		c->regs->r[R8] = unused;
		for (reg = R9; reg <= R11; reg++) {
			if (c->in.r[reg] != SIM_NULL_PA)
				c->regs->r[reg] = c->in.r[reg] & ~PAGE_NOT_USED;
		}
	}
	return err;
}

u64 tdx_sim_mem_sept_rd(struct sim_call *c)
{
	bool l2_attributes = c->in.r[RDX] & TDR_FLAG;
	struct mem_op op;
	u64 err;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	c->in.r[RDX] &= ~TDR_FLAG;
	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &op.td);
	if (err)
		return err;
	if (l2_attributes && !(op.td.tdcs->attributes & SIM_ATTR_DEBUG))
		return SIM_OPERAND_INVALID | RDX;
	err = mem_locate(c, &op, 0, SEPT_MAX_ROOT_LEVEL, SIM_SHARED);
	if (err)
		return err;
	if (l2_attributes)
		c->regs->r[R8] = 0;
	sept_report(c, &op.w);
	return SIM_SUCCESS;
}

static bool table_is_free(const u64 *table)
{
	unsigned int i;

	for (i = 0; i < SIM_TABLE_ENTRIES; i++) {
		if (sept_state(READ_ONCE(table[i])) != SEPT_FREE)
			return false;
	}
	return true;
}

u64 tdx_sim_mem_sept_remove(struct sim_call *c)
{
	struct pamt_entry *pe;
	struct mem_op op;
	u64 err, page;
	int reg;

	for (reg = R9; c->version && reg <= R11; reg++)
		c->regs->r[reg] = SIM_NULL_PA;
	if (c->version > 1) {
		c->regs->r[RCX] = 0;
		c->regs->r[RDX] = 0;
		return SIM_OPERAND_INVALID | RAX;
	}
	err = mem_begin(c, &op, 1, SEPT_MAX_ROOT_LEVEL, SIM_EXCL);
	if (err)
		return err;
	page = sept_hpa(op.w.entry);
	pe = sim_pamt(page);
	err = sim_hold_or_busy(c, &pe->lock, SIM_EXCL, RCX);
	if (!err)
		err = mem_check_tracked(c, &op, pe);
	if (err)
		return err;
	if (!table_is_free(sim_ptr(page))) {
		sept_report(c, &op.w);
		return SIM_EPT_PAGE_NOT_FREE | RCX;
	}
	sept_set(&op.w, SEPT_FREE, 0);
	sim_atomic_dec64(&op.td.tdr->chldcnt);
	sim_pamt_free(pe);
	sim_cache_leave(page, 0, op.td.tdr->hkid, c->leaf);
	c->regs->r[RCX] = page;
	return SIM_SUCCESS;
}
