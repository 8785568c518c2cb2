// SPDX-License-Identifier: GPL-2.0
/*
 * PAMT: who owns a page of a TDMR, as what.
 *
 * The entries lie in the areas that the host donated with TDH.SYS.CONFIG, one
 * array for each page size.  A page is described by the entry of its own size;
 * whoever works on a smaller page holds the entries above it shared, so that a
 * large page cannot come into being around it.
 */
#include "model.h"

static const struct sim_tdmr *find_tdmr(u64 hpa)
{
	unsigned int i;

	for (i = 0; i < sim_module.nr_tdmrs; i++) {
		const struct sim_tdmr *t = &sim_module.tdmr[i];

		if (hpa >= t->base && hpa - t->base < t->size)
			return t;
	}
	return NULL;
}

static struct pamt_entry *pamt_entry(const struct sim_tdmr *t, int level, u64 index)
{
	return sim_ptr(t->pamt[level].base + index * sizeof(struct pamt_entry));
}

struct pamt_entry *sim_pamt_level(u64 hpa, int level)
{
	const struct sim_tdmr *t = find_tdmr(hpa);

	/* Pages become usable by whole gigabytes. */
	if (!t || hpa >= ALIGN_DOWN(sim_load(&t->next_init), SIM_LEVEL_SIZE(2)))
		return NULL;
	return pamt_entry(t, level, (hpa - t->base) >> SIM_LEVEL_SHIFT(level));
}

struct pamt_entry *sim_pamt(u64 hpa)
{
	return sim_pamt_level(hpa, 0);
}

bool sim_pamt_contains(u64 hpa)
{
	unsigned int i;
	int level;

	for (i = 0; i < sim_module.nr_tdmrs; i++) {
		const struct sim_tdmr *t = &sim_module.tdmr[i];

		for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
			if (hpa - t->pamt[level].base < t->pamt[level].size)
				return true;
		}
	}
	return false;
}

static bool page_is_reserved(const struct sim_tdmr *t, u64 offset)
{
	unsigned int i;

	for (i = 0; i < t->nr_reserved; i++) {
		if (offset >= t->reserved[i].offset &&
		    offset - t->reserved[i].offset < t->reserved[i].size)
			return true;
	}
	return false;
}

void sim_pamt_init(const struct sim_tdmr *t, u64 first, u64 count)
{
	struct pamt_entry *pe;
	int level;
	u64 i;

	for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
		u64 pages = SIM_LEVEL_PAGES(level);

		for (i = round_up(first, pages); i < first + count; i += pages) {
			pe = pamt_entry(t, level, i / pages);
			memset(pe, 0, sizeof(*pe));
			if (!level && page_is_reserved(t, i << SIM_PAGE_SHIFT))
				pe->type = PT_RSVD;
		}
	}
}

u64 sim_find_page(struct sim_call *c, u64 hpa, u32 operand, enum sim_lock_mode mode,
		  struct pamt_entry **pe, int *level)
{
	unsigned int mark = c->nr_held;
	struct pamt_entry *e;
	u64 err;
	int l;

	err = sim_check_private_page(hpa, operand);
	if (err)
		return err;

	for (l = SIM_NR_PAMT_LEVELS - 1; l > 0; l--) {
		e = sim_pamt_level(hpa, l);
		if (!sim_hold(c, &e->lock, SIM_SHARED))
			goto busy;
		if (READ_ONCE(e->type) != PT_REG)
			continue;
		if (mode == SIM_EXCL) {
			sim_release_to(c, c->nr_held - 1);
			if (!sim_hold(c, &e->lock, SIM_EXCL))
				goto busy;
			/* Split in between: somebody else works on it. */
			if (e->type != PT_REG)
				goto busy;
		}
		*pe = e;
		*level = l;
		return SIM_SUCCESS;
	}

	e = sim_pamt(hpa);
	if (!sim_hold(c, &e->lock, mode))
		goto busy;
	*pe = e;
	*level = 0;
	return SIM_SUCCESS;

busy:
	sim_release_to(c, mark);
	return SIM_OPERAND_BUSY | operand;
}

u64 sim_get_page(struct sim_call *c, u64 hpa, u32 operand, int level,
		 enum sim_lock_mode mode, enum pamt_type type, struct pamt_entry **pe)
{
	unsigned int mark = c->nr_held;
	struct pamt_entry *e;
	u64 err;
	int l;

	err = sim_check_hpa(hpa, level, operand);
	if (!err)
		err = sim_check_private_page(hpa, operand);
	if (err)
		return err;

	for (l = SIM_NR_PAMT_LEVELS - 1; l >= level; l--) {
		e = sim_pamt_level(hpa, l);
		if (!sim_hold(c, &e->lock, l > level ? SIM_SHARED : mode)) {
			err = SIM_OPERAND_BUSY | operand;
			break;
		}
		if (l > level ? e->type == PT_REG : e->type != type) {
			err = SIM_PAGE_METADATA_INCORRECT | operand;
			break;
		}
	}
	if (err)
		sim_release_to(c, mark);
	else
		*pe = e;
	return err;
}

u64 sim_get_free_page(struct sim_call *c, u64 hpa, u32 operand, struct pamt_entry **pe)
{
	return sim_get_page(c, hpa, operand, 0, SIM_EXCL, PT_NDA, pe);
}

u64 sim_get_free_range(struct sim_call *c, u64 hpa, u32 operand, int level,
		       struct pamt_entry **pe)
{
	unsigned int mark = c->nr_held;
	u64 err, i;

	err = sim_get_page(c, hpa, operand, level, SIM_EXCL, PT_NDA, pe);
	if (err)
		return err;
	for (i = 0; level && i < SIM_LEVEL_PAGES(level); i++) {
		if (sim_pamt(hpa + i * SIM_PAGE_SIZE)->type != PT_NDA) {
			sim_release_to(c, mark);
			return SIM_PAGE_METADATA_INCORRECT | operand;
		}
	}
	return SIM_SUCCESS;
}

void sim_pamt_assign(struct pamt_entry *pe, enum pamt_type type, u64 tdr_pa)
{
	u64 owner = tdr_pa >> SIM_PAGE_SHIFT;

	pe->owner_hi = owner >> 32;
	pe->owner_lo = lower_32_bits(owner);
	WRITE_ONCE(pe->bepoch, 0);
	WRITE_ONCE(pe->type, type);
}

void sim_pamt_free(struct pamt_entry *pe)
{
	sim_pamt_assign(pe, PT_NDA, 0);
}

u64 sim_pamt_owner(const struct pamt_entry *pe)
{
	return ((u64)pe->owner_hi << 32 | pe->owner_lo) << SIM_PAGE_SHIFT;
}

u64 sim_pamt_promote(u64 hpa, int level)
{
	struct pamt_entry *large = sim_pamt_level(hpa, level);
	u64 i, size = SIM_LEVEL_SIZE(level - 1);

	if (!sim_trylock(&large->lock, SIM_EXCL))
		return SIM_OPERAND_BUSY;
	sim_pamt_assign(large, PT_REG, sim_pamt_owner(sim_pamt_level(hpa, level - 1)));
	for (i = 0; i < SIM_TABLE_ENTRIES; i++)
		sim_pamt_free(sim_pamt_level(hpa + i * size, level - 1));
	sim_unlock(&large->lock, SIM_EXCL);
	return SIM_SUCCESS;
}

u64 sim_pamt_demote(u64 hpa, int level)
{
	struct pamt_entry *large = sim_pamt_level(hpa, level);
	u64 i, size = SIM_LEVEL_SIZE(level - 1);

	if (!sim_trylock(&large->lock, SIM_EXCL))
		return SIM_OPERAND_BUSY;
	for (i = 0; i < SIM_TABLE_ENTRIES; i++)
		sim_pamt_assign(sim_pamt_level(hpa + i * size, level - 1), PT_REG,
				sim_pamt_owner(large));
	sim_pamt_free(large);
	sim_unlock(&large->lock, SIM_EXCL);
	return SIM_SUCCESS;
}
