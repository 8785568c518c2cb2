// SPDX-License-Identifier: GPL-2.0
/*
 * Cache lines that a page carries along when it leaves a TD.
 *
 * What was stored through a private KeyID stays in the caches under that KeyID.
 * Whenever such a line is evicted, it overwrites what the next user of the page
 * has stored through another one.  So the host has to write it back first: with
 * TDH.PHYMEM.PAGE.WBINVD for the KeyID, or with TDH.PHYMEM.CACHE.WB on all
 * packages when the TD is torn down.
 *
 * Direct stores, with which the module initialises pages, leave no such lines.
 * Stores of a guest cannot be seen one by one: each page that it could write to
 * counts as dirty.  While a page is owned nothing has to be known; the record of
 * a free page takes the place of the epoch in its PAMT entry.
 */
#include "leaves.h"

#define DIRTY_VALID		BIT_ULL(63)
#define DIRTY_LEAF		GENMASK_ULL(62, 48)
#define DIRTY_KEYID		GENMASK_ULL(47, 32)
/* Of the KeyID: the write backs of all caches that it has seen. */
#define DIRTY_FLUSHES		GENMASK_ULL(31, 0)

static u64 dirty_record(u16 keyid, u16 leaf)
{
	return DIRTY_VALID | FIELD_PREP(DIRTY_LEAF, (u64)leaf) |
	       FIELD_PREP(DIRTY_KEYID, (u64)keyid) |
	       FIELD_PREP(DIRTY_FLUSHES, (u64)sim_load(&sim_module.kot[keyid].flushes));
}

static bool is_dirty(const struct pamt_entry *pe, struct sim_dirty *dirty)
{
	u64 record;

	if (!pe || READ_ONCE(pe->type) != PT_NDA)
		return false;
	record = READ_ONCE(pe->bepoch);
	if (!(record & DIRTY_VALID))
		return false;

	dirty->keyid = FIELD_GET(DIRTY_KEYID, record);
	dirty->leaf = FIELD_GET(DIRTY_LEAF, record);
	return dirty->keyid < SIM_MAX_HKIDS &&
	       FIELD_GET(DIRTY_FLUSHES, record) ==
	       sim_load(&sim_module.kot[dirty->keyid].flushes);
}

bool sim_cache_dirty(u64 hpa, struct sim_dirty *dirty)
{
	return is_dirty(sim_pamt(hpa), dirty);
}

void sim_cache_leave(u64 hpa, int level, u16 keyid, u16 leaf)
{
	u64 i;

	for (i = 0; i < SIM_LEVEL_PAGES(level); i++)
		WRITE_ONCE(sim_pamt(hpa + i * SIM_PAGE_SIZE)->bepoch, dirty_record(keyid, leaf));
}

/* The next user of @pe gets the page: if lines are left, tell it once. */
static void report(struct pamt_entry *pe, u64 hpa, const struct sim_dirty *dirty,
		   enum sim_page_use use)
{
	WRITE_ONCE(pe->bepoch, 0);
	tdx_sim_host_dirty_page(hpa, dirty->keyid, dirty->leaf, use);
}

void sim_cache_take(u64 hpa, int level, u16 keyid)
{
	struct sim_dirty dirty;
	struct pamt_entry *pe;
	u64 i;

	for (i = 0; i < SIM_LEVEL_PAGES(level); i++, hpa += SIM_PAGE_SIZE) {
		pe = sim_pamt(hpa);
		if (!is_dirty(pe, &dirty))
			continue;
		/* Stores through the same KeyID go to these very lines. */
		if (dirty.keyid == keyid)
			WRITE_ONCE(pe->bepoch, 0);
		else
			report(pe, hpa, &dirty, SIM_USE_PRIVATE);
	}
}

void sim_cache_host_use(u64 hpa, enum sim_page_use use)
{
	struct pamt_entry *pe = sim_pamt(hpa);
	struct sim_dirty dirty;

	if (is_dirty(pe, &dirty))
		report(pe, ALIGN_DOWN(hpa, SIM_PAGE_SIZE), &dirty, use);
}

void sim_cache_flush_page(struct pamt_entry *pe, u16 keyid)
{
	struct sim_dirty dirty;

	if (is_dirty(pe, &dirty) && dirty.keyid == keyid)
		WRITE_ONCE(pe->bepoch, 0);
}

void sim_cache_flush_keyid(u16 keyid)
{
	sim_atomic_inc32(&sim_module.kot[keyid].flushes);
}
