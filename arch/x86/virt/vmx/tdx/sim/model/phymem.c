// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves on physical pages, whoever owns them, and on the caches.
 */
#include "leaves.h"

/* Steps of a cache write back; it can be interrupted between them. */
#define WB_BLOCKS	4

enum wb_command { WB_START, WB_RESUME };

static void clear_outputs(struct sim_call *c)
{
	int reg;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	for (reg = R8; reg <= R11; reg++)
		c->regs->r[reg] = 0;
}

static void report_page(struct sim_call *c, const struct pamt_entry *pe, int level)
{
	c->regs->r[RCX] = pe->type;
	c->regs->r[RDX] = sim_pamt_owner(pe);
	c->regs->r[R8] = level;
}

u64 tdx_sim_phymem_page_rdmd(struct sim_call *c)
{
	struct pamt_entry *pe;
	int level;
	u64 err;

	clear_outputs(c);
	err = sim_find_page(c, c->in.r[RCX], RCX, SIM_SHARED, &pe, &level);
	if (err)
		return err;
	report_page(c, pe, level);
	if (pe->type == PT_REG || pe->type == PT_EPT)
		c->regs->r[R9] = pe->bepoch;
	return SIM_SUCCESS;
}

static u64 reclaim_tdr(u64 hpa)
{
	const struct tdr *tdr = sim_ptr(hpa);

	if (tdr->lifecycle != TD_TEARDOWN)
		return SIM_LIFECYCLE_STATE_INCORRECT;
	if (sim_load(&tdr->chldcnt))
		return SIM_TD_ASSOCIATED_PAGES_EXIST;
	return SIM_SUCCESS;
}

static u64 reclaim_child(struct sim_call *c, const struct pamt_entry *pe, int level)
{
	u64 tdr_pa = sim_pamt_owner(pe);
	struct tdr *tdr = sim_ptr(tdr_pa);
	u64 err;

	err = sim_hold_or_busy(c, &sim_pamt(tdr_pa)->lock, SIM_SHARED, OPND_TDR);
	if (err)
		return err;
	if (tdr->lifecycle != TD_TEARDOWN)
		return SIM_LIFECYCLE_STATE_INCORRECT;
	sim_atomic_add64(&tdr->chldcnt, -SIM_LEVEL_PAGES(level));
	return SIM_SUCCESS;
}

u64 tdx_sim_phymem_page_reclaim(struct sim_call *c)
{
	u64 hpa = c->in.r[RCX];
	struct pamt_entry *pe;
	bool is_tdr;
	int level;
	u64 err;

	clear_outputs(c);
	err = sim_find_page(c, hpa, RCX, SIM_EXCL, &pe, &level);
	if (err)
		return err;
	if (pe->type == PT_NDA || pe->type == PT_RSVD)
		return SIM_PAGE_METADATA_INCORRECT | RCX;
	report_page(c, pe, level);
	if (!IS_ALIGNED(hpa, SIM_LEVEL_SIZE(level)))
		return SIM_OPERAND_INVALID | RCX;
	is_tdr = pe->type == PT_TDR;
	err = is_tdr ? reclaim_tdr(hpa) : reclaim_child(c, pe, level);
	if (err)
		return err;
	sim_pamt_free(pe);
	/* The KeyID of the TD was written back before it became free. */
	if (is_tdr)
		sim_cache_leave(hpa, 0, sim_module.global_hkid, c->leaf);
	return SIM_SUCCESS;
}

u64 tdx_sim_phymem_page_wbinvd(struct sim_call *c)
{
	struct pamt_entry *pe;
	u64 hpa = c->in.r[RCX];
	u64 keyid = (u64)sim_hkid(hpa) << sim_module.platform.hkid_shift;
	u64 err;

	err = sim_get_page(c, hpa & ~keyid, RCX, 0, SIM_SHARED, PT_NDA, &pe);
	if (!err)
		sim_cache_flush_page(pe, sim_hkid(hpa));
	return err;
}

/* KeyIDs whose TDs are flushed: a bit for each. */
static u64 flushed_hkids(void)
{
	u64 hkids = 0;
	unsigned int i;

	for (i = 0; i < SIM_MAX_HKIDS; i++) {
		if (sim_module.kot[i].state == KOT_FLUSHED)
			hkids |= BIT_ULL(i);
	}
	return hkids;
}

u64 tdx_sim_phymem_cache_wb(struct sim_call *c)
{
	unsigned int pkg = tdx_sim_host_package(), i;
	u64 err, command = c->in.r[RCX];
	u32 block = 0;

	if (command > WB_RESUME)
		return SIM_OPERAND_INVALID | RCX;
	err = sim_hold_or_busy(c, &sim_module.wb[pkg].lock, SIM_EXCL, OPND_WBCACHE);
	if (!err)
		err = sim_hold_or_busy(c, &sim_module.kot_lock, SIM_SHARED, OPND_KOT);
	if (err)
		return err;

	if (command == WB_START) {
		sim_module.wb[pkg].next_block = 0;
		sim_module.wb[pkg].hkids = flushed_hkids();
		if (!sim_module.wb[pkg].hkids)
			return SIM_NO_HKID_READY_TO_WBCACHE;
	} else {
		block = sim_module.wb[pkg].next_block;
		if (!block)
			return SIM_WBCACHE_RESUME_ERROR;
	}

	while (++block < WB_BLOCKS) {
		if (tdx_sim_host_interrupt_pending()) {
			sim_module.wb[pkg].next_block = block;
			return SIM_INTERRUPTED_RESUMABLE;
		}
	}
	sim_module.wb[pkg].next_block = 0;
	for (i = 0; i < SIM_MAX_HKIDS; i++) {
		if ((sim_module.wb[pkg].hkids & BIT_ULL(i)) &&
		    !sim_atomic_andnot64(&sim_module.kot[i].wbinvd_bitmap, BIT_ULL(pkg)))
			sim_cache_flush_keyid(i);
	}
	return SIM_SUCCESS;
}
