// SPDX-License-Identifier: GPL-2.0
/*
 * Access of tests to the model's structures.  Nothing here uses the model's
 * own operand checks or walks: what a test asks must not depend on them.
 */
#include "probe.h"

#define SEPT_TOP_LEVEL		3
#define SEPT_INDEX_BITS		9

bool probe_td(u64 tdr_pa, struct sim_td *td)
{
	struct pamt_entry *pamt;
	struct tdr *tdr;

	memset(td, 0, sizeof(*td));
	tdr = machine_memory(tdr_pa, SIM_PAGE_SIZE);
	pamt = sim_pamt(tdr_pa);
	if (!tdr || !pamt || pamt->type != PT_TDR)
		return false;

	td->tdr_pa = tdr_pa;
	td->tdr = tdr;
	td->pamt = pamt;
	td->tdcs = machine_memory(tdr->tdcx_pa[TDCX_TDCS], SIM_PAGE_SIZE);
	td->cpuid = machine_memory(tdr->tdcx_pa[TDCX_CPUID], SIM_PAGE_SIZE);
	td->sept_root = machine_memory(tdr->tdcx_pa[TDCX_SEPT_ROOT], SIM_PAGE_SIZE);
	td->migsc_links = machine_memory(tdr->tdcx_pa[TDCX_MIGSC_LINKS], SIM_PAGE_SIZE);
	td->x2apic_ids = machine_memory(tdr->tdcx_pa[TDCX_X2APIC_IDS], SIM_PAGE_SIZE);
	return true;
}

bool probe_vp(u64 tdvpr_pa, struct sim_vp *vp)
{
	unsigned int i;

	memset(vp, 0, sizeof(*vp));
	vp->tdvpr_pa = tdvpr_pa;
	vp->pamt = sim_pamt(tdvpr_pa);
	vp->vps = machine_memory(tdvpr_pa, SIM_PAGE_SIZE);
	if (!vp->pamt || !vp->vps || vp->pamt->type != PT_TDVPR ||
	    !probe_td(sim_pamt_owner(vp->pamt), &vp->td))
		return false;
	vp->vapic = machine_memory(vp->vps->page_pa[TDVPS_VAPIC], SIM_PAGE_SIZE);
	vp->vmcs = machine_memory(vp->vps->page_pa[TDVPS_VMCS], SIM_PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(vp->xbuff); i++)
		vp->xbuff[i] = machine_memory(vp->vps->page_pa[TDVPS_XBUFF0 + i], SIM_PAGE_SIZE);
	return true;
}

static unsigned int sept_shift(unsigned int level)
{
	return SIM_PAGE_SHIFT + level * SEPT_INDEX_BITS;
}

static u64 *sept_entry(u64 *table, u64 gpa, unsigned int level)
{
	return &table[(gpa >> sept_shift(level)) & (BIT(SEPT_INDEX_BITS) - 1)];
}

bool probe_translate(const struct sim_td *td, u64 gpa, struct probe_page *page)
{
	unsigned int level = SEPT_TOP_LEVEL;
	u64 *table = td->sept_root;
	u64 rights = SEPT_RWX;

	for (; table; level--) {
		u64 entry = READ_ONCE(*sept_entry(table, gpa, level));

		rights &= entry;
		switch (sept_state(entry)) {
		case SEPT_FREE:
		case SEPT_REMOVED:
			return false;
		case SEPT_NL_MAPPED:
		case SEPT_NL_BLOCKED:
			if (!level)
				return false;
			table = machine_memory(entry & SIM_HPA_PAGE_MASK, SIM_PAGE_SIZE);
			break;
		default:
			page->hpa = (entry & SIM_HPA_PAGE_MASK) +
				    (gpa & (BIT_ULL(sept_shift(level)) - 1));
			page->entry = entry;
			page->level = level;
			page->readable = rights & SEPT_R;
			page->writable = rights & SEPT_W;
			return true;
		}
	}
	return false;
}

static u64 *sept_leaf(const struct sim_td *td, u64 gpa)
{
	u64 *table = td->sept_root;
	unsigned int level;

	for (level = SEPT_TOP_LEVEL; table; level--) {
		u64 *entry = sept_entry(table, gpa, level);

		if (!level)
			return entry;
		if (sept_state(*entry) != SEPT_NL_MAPPED)
			return NULL;
		table = machine_memory(*entry & SIM_HPA_PAGE_MASK, SIM_PAGE_SIZE);
	}
	return NULL;
}

/* Entries and stream links have a lock bit. */
static u64 *find_bit_lock(const struct probe_lock *lock, const struct sim_td *td, u64 *bit)
{
	if (lock->kind == PROBE_LOCK_SEPT_ENTRY) {
		*bit = SEPT_LOCK;
		return sept_leaf(td, lock->arg);
	}
	/* Link 0 is the backward stream's, forward streams follow. */
	*bit = MIGSC_LINK_LOCK;
	if (!td->migsc_links || (lock->arg + 1) >= SIM_MAX_MIGS)
		return NULL;
	return &td->migsc_links[lock->arg + 1];
}

static struct sim_lock *find_lock(const struct probe_lock *lock, const struct sim_td *td)
{
	switch (lock->kind) {
	case PROBE_LOCK_OP_STATE:
		return &td->tdcs->op_state_lock;
	case PROBE_LOCK_MIG:
		return &td->tdcs->mig_lock;
	case PROBE_LOCK_SEPT_TREE:
		return &td->tdcs->sept_tree_lock;
	default:
		return NULL;
	}
}

/* Find the lock as a struct sim_lock or as a bit in a word; false if it is missing. */
static bool resolve_lock(const struct probe_lock *lock, struct sim_lock **l, u64 **word, u64 *bit)
{
	struct pamt_entry *pamt;
	struct sim_td td;

	*l = NULL;
	*word = NULL;
	if (lock->kind == PROBE_LOCK_PAGE) {
		pamt = sim_pamt(lock->object);
		*l = pamt ? &pamt->lock : NULL;
		return pamt;
	}
	if (!probe_td(lock->object, &td) || !td.tdcs)
		return false;
	*l = find_lock(lock, &td);
	if (!*l)
		*word = find_bit_lock(lock, &td, bit);
	return *l || *word;
}

bool probe_hold(const struct probe_lock *lock, enum sim_lock_mode mode)
{
	struct sim_lock *l;
	u64 *word, bit;

	if (!resolve_lock(lock, &l, &word, &bit))
		return false;
	if (l)
		return sim_trylock(l, mode);
	if (mode != SIM_EXCL || (*word & bit))
		return false;
	*word |= bit;
	return true;
}

bool probe_release(const struct probe_lock *lock)
{
	struct sim_lock *l;
	u64 *word, bit;

	if (!resolve_lock(lock, &l, &word, &bit))
		return false;
	if (l) {
		if (!(l->raw & ~SIM_LOCK_HOST_PRIO))
			return false;
		sim_unlock(l, l->raw & SIM_LOCK_EXCL ? SIM_EXCL : SIM_SHARED);
		return true;
	}
	if (!(*word & bit))
		return false;
	*word &= ~bit;
	return true;
}

static const struct field {
	const char *name;
	bool in_tdr;
	size_t offset;
	size_t size;
} fields[] = {
#define TDR_FIELD(n, f)	{ n, true, offsetof(struct tdr, f), sizeof_field(struct tdr, f) }
#define TDCS_FIELD(f)	{ #f, false, offsetof(struct tdcs, f), sizeof_field(struct tdcs, f) }
	TDR_FIELD("fatal", fatal),
	TDR_FIELD("lifecycle_state", lifecycle),
	TDR_FIELD("num_tdcx", num_tdcx),
	TDCS_FIELD(op_state),
	TDCS_FIELD(mig_dec_key_set),
	TDCS_FIELD(num_migs),
	TDCS_FIELD(mig_count),
	TDCS_FIELD(attributes),
	TDCS_FIELD(export_count),
	TDCS_FIELD(mig_version),
};

static const struct field *find_field(const char *name)
{
	const struct field *f;

	for (f = fields; f < fields + ARRAY_SIZE(fields); f++) {
		if (!strcmp(f->name, name))
			return f;
	}
	return NULL;
}

bool probe_field_exists(const char *name)
{
	return find_field(name);
}

bool probe_force(const struct sim_td *td, const char *name, u64 value)
{
	const struct field *f = find_field(name);
	u8 *base = f && f->in_tdr ? (u8 *)td->tdr : (u8 *)td->tdcs;

	if (!f || !base)
		return false;
	memcpy(base + f->offset, &value, f->size);
	return true;
}
