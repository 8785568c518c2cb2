// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's memory as the guest sees it: accepting pages, their attributes,
 * translation of its addresses, and the exits that failures lead to.
 */
#include "leaves.h"
#include "mem.h"

#define EXIT_REASON_EPT_VIOLATION	48

/* Exit qualification: what the entry allows. */
#define EPT_VIOLATION_RWX_SHIFT		3

/* Extended exit qualification. */
#define EEQ_TYPE			GENMASK_ULL(3, 0)
#define EEQ_REQ_LEVEL			GENMASK_ULL(34, 32)
#define EEQ_ERR_LEVEL			GENMASK_ULL(37, 35)
#define EEQ_ERR_STATE			GENMASK_ULL(45, 38)
#define EEQ_ERR_LEAF			BIT_ULL(46)

enum eeq_type {
	EEQ_NONE = 0,
	EEQ_ACCEPT = 1,
	EEQ_ATTR_WR = 5,
};

void sim_exit_ept_violation(struct sim_td_exit *exit, u64 gpa, u64 qual, u64 eeq)
{
	memset(exit, 0, sizeof(*exit));
	exit->pending = true;
	exit->rax = EXIT_REASON_EPT_VIOLATION;
	exit->rcx = qual;
	exit->rdx = eeq;
	exit->r8 = gpa;
}

static void exit_on_entry(struct sim_guest_call *g, const struct mem_op *op, enum eeq_type type)
{
	enum sept_state state = sept_state(op->w.entry);
	u64 qual = SIM_EPT_VIOLATION_WRITE |
		   (op->w.entry & SEPT_RWX) << EPT_VIOLATION_RWX_SHIFT;
	u64 eeq = FIELD_PREP(EEQ_TYPE, (u64)type) |
		  FIELD_PREP(EEQ_REQ_LEVEL, (u64)op->level) |
		  FIELD_PREP(EEQ_ERR_LEVEL, (u64)op->w.level) |
		  FIELD_PREP(EEQ_ERR_STATE, (u64)sept_public_state(state)) |
		  (sept_is_leaf_mapped(state) ? EEQ_ERR_LEAF : 0);

	sim_exit_ept_violation(&g->exit, op->gpa, qual, eeq);
}

static u64 guest_lock_entry(struct sim_guest_call *g, struct sept_walk *w)
{
	bool host_prio;

	if (sept_trylock_guest(w, &host_prio)) {
		g->host.held_sept = w->ptr;
		return SIM_SUCCESS;
	}
	return (host_prio ? SIM_OPERAND_BUSY_HOST_PRIORITY : SIM_OPERAND_BUSY) | RCX;
}

static void zero_range(u64 hpa, int level)
{
	u64 i;

	for (i = 0; i < SIM_LEVEL_PAGES(level); i++)
		memset(sim_ptr(hpa + i * SIM_PAGE_SIZE), 0, SIM_PAGE_SIZE);
}

u64 tdx_sim_tdg_mem_page_accept(struct sim_guest_call *g)
{
	struct mem_op op = { .td = g->vp->td };
	enum sept_state state;
	u64 err;

	if (!mem_mapping(g->regs->r[RCX], 0, 1, &op.gpa, &op.level) ||
	    !sept_gpa_private(&op.td, op.gpa))
		return SIM_OPERAND_INVALID | RCX;

	if (sept_walk(&op.td, op.gpa, op.level, &op.w)) {
		if (sept_is_guest_accessible(sept_state(op.w.entry)))
			return SIM_PAGE_ALREADY_ACCEPTED | op.w.level;
		exit_on_entry(g, &op, EEQ_ACCEPT);
		return SIM_SUCCESS;
	}
	err = guest_lock_entry(g, &op.w);
	if (err)
		return err;
	state = sept_state(op.w.entry);
	if (state != SEPT_FREE && !sept_is_leaf_mapped(state))
		return SIM_PAGE_SIZE_MISMATCH | op.w.level;
	if (sept_is_guest_accessible(state))
		return SIM_PAGE_ALREADY_ACCEPTED | op.w.level;
	if (!sept_state_allows_guest(TDG_MEM_PAGE_ACCEPT, state)) {
		exit_on_entry(g, &op, EEQ_ACCEPT);
		return SIM_SUCCESS;
	}

	zero_range(sept_hpa(op.w.entry), op.level);
	sept_set(&op.w, state == SEPT_PENDING ? SEPT_MAPPED : SEPT_EXPORTED_DIRTY,
		 sept_hpa(op.w.entry));
	return SIM_SUCCESS;
}

/* RCX of the attribute leaves. */
#define ATTR_MAPPING_PENDING	BIT_ULL(62)

static u64 attr_mapping(const struct mem_op *op)
{
	u64 gpa = ALIGN_DOWN(op->gpa, SIM_LEVEL_SIZE(op->w.level));

	return gpa | op->w.level |
	       (sept_is_pending(sept_state(op->w.entry)) ? ATTR_MAPPING_PENDING : 0);
}

u64 tdx_sim_tdg_mem_page_attr_rd(struct sim_guest_call *g)
{
	struct mem_op op = { .td = g->vp->td, .gpa = g->regs->r[RCX] };
	u64 err;

	g->regs->r[RCX] = 0;
	g->regs->r[RDX] = 0;
	if (!sept_gpa_private(&op.td, op.gpa))
		return SIM_OPERAND_INVALID | RCX;
	/* The walk ends at the entry to look at, whatever its level. */
	sept_walk(&op.td, op.gpa, 0, &op.w);
	err = guest_lock_entry(g, &op.w);
	if (err)
		return err;
	if (!sept_state_allows_guest(TDG_MEM_PAGE_ATTR_RD, sept_state(op.w.entry))) {
		sim_exit_ept_violation(&g->exit, ALIGN_DOWN(op.gpa, SIM_PAGE_SIZE), 0, EEQ_NONE);
		return SIM_SUCCESS;
	}
	g->regs->r[RCX] = attr_mapping(&op);
	return SIM_SUCCESS;
}

/* Only L2 VMs have attributes, so there is nothing that could be written. */
u64 tdx_sim_tdg_mem_page_attr_wr(struct sim_guest_call *g)
{
	u64 mapping = g->regs->r[RCX], attr = g->regs->r[RDX];
	struct mem_op op = { .td = g->vp->td };
	enum sept_state state;
	u64 err;

	g->regs->r[RCX] = 0;
	g->regs->r[RDX] = 0;
	if (attr)
		return SIM_OPERAND_INVALID | RDX;
	if (g->regs->r[R8])
		return SIM_OPERAND_INVALID | R8;
	if (!mem_mapping(mapping, 0, 2, &op.gpa, &op.level) ||
	    !sept_gpa_private(&op.td, op.gpa))
		return SIM_OPERAND_INVALID | RCX;
	if (sept_walk(&op.td, op.gpa, op.level, &op.w)) {
		exit_on_entry(g, &op, EEQ_ATTR_WR);
		return SIM_SUCCESS;
	}
	err = guest_lock_entry(g, &op.w);
	if (err)
		return err;
	state = sept_state(op.w.entry);
	if (state != SEPT_FREE && !sept_is_leaf_mapped(state))
		return SIM_PAGE_SIZE_MISMATCH | op.w.level;
	if (!sept_state_allows_guest(TDG_MEM_PAGE_ATTR_WR, state)) {
		exit_on_entry(g, &op, EEQ_ATTR_WR);
		return SIM_SUCCESS;
	}
	g->regs->r[RCX] = attr_mapping(&op);
	return SIM_SUCCESS;
}

/* ------------------------------------------------------------- translation */

#define SHARED_EPT_LEAF		BIT_ULL(7)

/*
 * The host's own EPT: any content may be there, and change at any time.  A page
 * that belongs to a TD is not reachable with a shared KeyID.
 */
static void *shared_page(struct sim_vp *vp, u64 gpa, u64 rights)
{
	u64 entry = vp->vps->shared_eptp;
	const struct pamt_entry *pe;
	u64 hpa, *table;
	int level;

	if (entry == SIM_NULL_PA)
		return NULL;
	for (level = sept_root_level(&vp->td); level >= 0; level--) {
		table = sim_ptr(sept_hpa(entry));
		if (!table)
			return NULL;
		entry = READ_ONCE(table[(gpa >> SIM_LEVEL_SHIFT(level)) &
					(SIM_TABLE_ENTRIES - 1)]);
		if ((entry & rights) != rights)
			return NULL;
		if (!level || (entry & SHARED_EPT_LEAF))
			break;
	}
	if (level >= SEPT_ROOT_LEVEL)
		return NULL;
	hpa = ALIGN_DOWN(sept_hpa(entry), SIM_LEVEL_SIZE(level)) |
	      (gpa & (SIM_LEVEL_SIZE(level) - 1));
	if (sim_hkid(hpa) > sim_module.platform.nr_mktme_hkids)
		return NULL;
	pe = sim_pamt(sim_strip_hkid(hpa));
	if (pe && pe->type != PT_NDA && pe->type != PT_RSVD)
		return NULL;
	return sim_ptr(ALIGN_DOWN(hpa, SIM_PAGE_SIZE));
}

void *sim_guest_page(struct sim_vp *vp, u64 gpa, bool write)
{
	u64 rights = write ? SEPT_R | SEPT_W : SEPT_R;
	struct sept_walk w;

	if (gpa >> 48)
		return NULL;
	if (!sept_gpa_private(&vp->td, gpa))
		return vp->vps ? shared_page(vp, gpa, rights) : NULL;
	if (sept_walk_leaf(&vp->td, gpa, &w) || (w.entry & rights) != rights)
		return NULL;
	return sim_ptr(ALIGN_DOWN(sept_leaf_hpa(&w, gpa), SIM_PAGE_SIZE));
}
