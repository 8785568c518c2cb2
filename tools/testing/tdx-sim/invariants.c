// SPDX-License-Identifier: GPL-2.0
/*
 * Invariants of the module's state: page ownership, the Secure EPT against the
 * PAMT, migration counters against the Secure EPT, and no lock left held.
 */
#include <stdarg.h>

#include "invariants.h"
#include "probe.h"

static char reason[256];

struct page {
	/* The PAMT entry that describes it, its own or a larger page's. */
	const struct pamt_entry *pe;
	int level;
	/* The type with which a Secure EPT refers to it. */
	u8 referred;
};

/* Pages under test; what the Secure EPTs refer to. */
struct survey {
	u64 begin, end;
	struct page *pages;
	struct sim_td td;
	/* Of the present TD. */
	u64 exported, dirty;
};

static bool broken(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	return false;
}

static bool lock_is_free(const struct sim_lock *lock, const char *name, u64 where)
{
	return !(lock->raw & ~SIM_LOCK_HOST_PRIO) ||
	       broken("lock %s of %#llx left held (%#x)", name, where, lock->raw);
}

static struct page *find_page(const struct survey *s, u64 hpa)
{
	if (hpa < s->begin || hpa >= s->end)
		return NULL;
	return &s->pages[(hpa - s->begin) >> SIM_PAGE_SHIFT];
}

/* Find the PAMT entry of each page; all their locks have to be free. */
static bool survey_pages(struct survey *s)
{
	struct page *page = s->pages;
	u64 hpa;
	int level;

	for (hpa = s->begin; hpa < s->end; hpa += SIM_PAGE_SIZE, page++) {
		for (level = SIM_NR_PAMT_LEVELS - 1; level >= 0; level--) {
			const struct pamt_entry *pe = sim_pamt_level(hpa, level);

			if (!lock_is_free(&pe->lock, "page", hpa))
				return false;
			if (page->pe || (level && pe->type != PT_REG))
				continue;
			page->pe = pe;
			page->level = level;
		}
	}
	return true;
}

/* Does the page belong to some TD? */
static bool is_child(const struct pamt_entry *pe)
{
	return pe->type != PT_NDA && pe->type != PT_TDR && pe->type != PT_RSVD;
}

/* An entry of this TD refers to a page: nobody else may, and the PAMT must agree. */
static bool refer(struct survey *s, u64 hpa, enum pamt_type type, int level, u64 gpa)
{
	struct page *page = find_page(s, hpa);

	if (!page)
		return broken("entry of GPA %#llx leads to page %#llx", gpa, hpa);
	if (page->referred)
		return broken("page %#llx is mapped twice, again at GPA %#llx", hpa, gpa);
	page->referred = type;

	if (page->pe->type != type || page->level != level ||
	    sim_pamt_owner(page->pe) != s->td.tdr_pa)
		return broken("page %#llx at GPA %#llx has type %u, level %d, owner %#llx", hpa,
			      gpa, page->pe->type, page->level, sim_pamt_owner(page->pe));
	return true;
}

static u64 rights_of(enum sept_state state)
{
	switch (state) {
	case SEPT_MAPPED:
	case SEPT_EXPORTED_DIRTY:
		return SEPT_RWX;
	case SEPT_BLOCKEDW:
	case SEPT_EXPORTED_BLOCKEDW:
	case SEPT_EXPORTED_DIRTY_BLOCKEDW:
		return SEPT_R | SEPT_X;
	default:
		return 0;
	}
}

/* A paused TD keeps write access to what is exported without blocking. */
static bool rights_fit(u64 entry)
{
	enum sept_state state = sept_state(entry);
	u64 rights = entry & SEPT_RWX;

	return rights == rights_of(state) ||
	       (state == SEPT_EXPORTED_BLOCKEDW && rights == SEPT_RWX);
}

static bool is_dirty(enum sept_state state)
{
	return state == SEPT_EXPORTED_DIRTY || state == SEPT_EXPORTED_DIRTY_BLOCKEDW ||
	       state == SEPT_PENDING_EXPORTED_DIRTY ||
	       state == SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW;
}

static bool check_leaf(struct survey *s, u64 entry, u64 gpa, int level)
{
	enum sept_state state = sept_state(entry);

	if (!rights_fit(entry))
		return broken("entry %#llx of GPA %#llx: rights do not fit the state", entry, gpa);
	s->exported += sept_is_exported(state);
	s->dirty += is_dirty(state);
	return refer(s, entry & SIM_HPA_PAGE_MASK, PT_REG, level, gpa);
}

static bool check_table(struct survey *s, const u64 *table, u64 gpa, int level)
{
	unsigned int i;

	for (i = 0; i < SIM_TABLE_ENTRIES; i++, gpa += SIM_LEVEL_SIZE(level)) {
		u64 entry = table[i], hpa = entry & SIM_HPA_PAGE_MASK;
		enum sept_state state = sept_state(entry);

		if (!entry)
			continue;
		if (entry & SEPT_LOCK)
			return broken("entry %#llx of GPA %#llx left locked", entry, gpa);
		if (state >= SEPT_NR_STATES)
			return broken("entry %#llx of GPA %#llx has no state", entry, gpa);

		switch (state) {
		case SEPT_FREE:
		case SEPT_REMOVED:
			if (entry & SEPT_RWX)
				return broken("free entry %#llx of GPA %#llx", entry, gpa);
			break;
		case SEPT_NL_MAPPED:
		case SEPT_NL_BLOCKED:
			if (!level)
				return broken("entry %#llx of GPA %#llx leads on", entry, gpa);
			if (!refer(s, hpa, PT_EPT, 0, gpa) ||
			    !check_table(s, machine_memory(hpa, SIM_PAGE_SIZE), gpa, level - 1))
				return false;
			break;
		default:
			if (!check_leaf(s, entry, gpa, level))
				return false;
		}
	}
	return true;
}

static bool in_export(u32 op_state)
{
	return op_state == OP_LIVE_EXPORT || op_state == OP_PAUSED_EXPORT ||
	       op_state == OP_POST_EXPORT;
}

static bool check_counters(const struct survey *s)
{
	const struct tdcs *tdcs = s->td.tdcs;

	if (tdcs->op_state >= OP_NR_STATES)
		return broken("op_state %u", tdcs->op_state);
	if (tdcs->mig_count != s->exported)
		return broken("MIG_COUNT %llu, but %llu exported pages (op_state %u)",
			      tdcs->mig_count, s->exported, tdcs->op_state);
	/* A restore leaves DIRTY_COUNT to the next session. */
	if (in_export(tdcs->op_state) && tdcs->dirty_count != s->dirty)
		return broken("DIRTY_COUNT %llu, but %llu dirty pages (op_state %u)",
			      tdcs->dirty_count, s->dirty, tdcs->op_state);
	if (tdcs->num_vcpus > tdcs->max_vcpus && tdcs->op_state != OP_UNINITIALIZED &&
	    tdcs->op_state != OP_FAILED_IMPORT)
		return broken("%u vCPUs of at most %u", tdcs->num_vcpus, tdcs->max_vcpus);
	return true;
}

static bool check_streams(const struct survey *s)
{
	const struct tdcs *tdcs = s->td.tdcs;
	unsigned int i;

	if (tdcs->num_migs > SIM_MAX_MIGS)
		return broken("%u streams", tdcs->num_migs);
	for (i = 0; i < tdcs->num_migs; i++) {
		u64 link = s->td.migsc_links[i], hpa = link & SIM_HPA_PAGE_MASK;
		struct pamt_entry *pe = sim_pamt(hpa);

		if (link & MIGSC_LINK_LOCK)
			return broken("stream %u left locked", i);
		if (!pe || pe->type != PT_TDCX || sim_pamt_owner(pe) != s->td.tdr_pa)
			return broken("stream %u has page %#llx", i, hpa);
	}
	return true;
}

static bool check_td_locks(const struct survey *s)
{
	const struct tdcs *tdcs = s->td.tdcs;

	return lock_is_free(&tdcs->op_state_lock, "op_state", s->td.tdr_pa) &&
	       lock_is_free(&tdcs->sept_tree_lock, "SEPT tree", s->td.tdr_pa) &&
	       lock_is_free(&tdcs->mig_lock, "migration", s->td.tdr_pa) &&
	       lock_is_free(&tdcs->servtd_lock, "service TD", s->td.tdr_pa) &&
	       lock_is_free(&tdcs->rtmr_lock, "RTMR", s->td.tdr_pa) &&
	       lock_is_free(&tdcs->epoch.lock, "epoch", s->td.tdr_pa);
}

/* Pages in use by a TD, besides its TDR. */
static u64 owned_pages(const struct survey *s)
{
	const struct page *page = s->pages;
	const struct page *end = page + ((s->end - s->begin) >> SIM_PAGE_SHIFT);
	u64 n = 0;

	for (; page < end; page++)
		n += is_child(page->pe) && sim_pamt_owner(page->pe) == s->td.tdr_pa;
	return n;
}

static bool check_td(struct survey *s, u64 tdr_pa)
{
	u64 owned;

	if (!probe_td(tdr_pa, &s->td))
		return broken("TDR %#llx is none", tdr_pa);
	if (s->td.tdr->lifecycle > TD_TEARDOWN)
		return broken("lifecycle state %u", s->td.tdr->lifecycle);
	owned = owned_pages(s);
	if (s->td.tdr->chldcnt != owned)
		return broken("CHLDCNT %llu, but %llu pages owned", s->td.tdr->chldcnt, owned);
	/* Past its life, pages are reclaimed one by one, in any order. */
	if (s->td.tdr->lifecycle == TD_TEARDOWN || s->td.tdr->num_tdcx < SIM_MIN_TDCX)
		return true;

	s->exported = 0;
	s->dirty = 0;
	return check_td_locks(s) && check_streams(s) &&
	       check_table(s, s->td.sept_root, 0, sept_root_level(&s->td)) && check_counters(s);
}

static bool check_page(const struct survey *s, u64 hpa)
{
	const struct page *page = find_page(s, hpa);
	u64 owner_pa = sim_pamt_owner(page->pe);
	const struct page *owner = find_page(s, owner_pa);
	const struct tdr *tdr;

	if (!is_child(page->pe))
		return true;
	if (!owner || owner->pe->type != PT_TDR)
		return broken("page %#llx, type %u, belongs to %#llx", hpa, page->pe->type,
			      owner_pa);
	tdr = machine_memory(owner_pa, SIM_PAGE_SIZE);
	if (tdr->lifecycle == TD_TEARDOWN || page->referred ||
	    hpa & (SIM_LEVEL_SIZE(page->level) - 1))
		return true;
	if (page->pe->type == PT_REG || page->pe->type == PT_EPT)
		return broken("page %#llx, type %u, is not in the Secure EPT", hpa,
			      page->pe->type);
	return true;
}

static bool check_all(struct survey *s)
{
	u64 hpa;

	if (!lock_is_free(&sim_module.lock, "module", 0) ||
	    !lock_is_free(&sim_module.kot_lock, "KOT", 0) || !survey_pages(s))
		return false;
	for (hpa = s->begin; hpa < s->end; hpa += SIM_PAGE_SIZE) {
		if (find_page(s, hpa)->pe->type == PT_TDR && !check_td(s, hpa))
			return false;
	}
	for (hpa = s->begin; hpa < s->end; hpa += SIM_PAGE_SIZE) {
		if (!check_page(s, hpa))
			return false;
	}
	return true;
}

const char *invariants_broken(u64 begin, u64 end)
{
	struct survey s = { .begin = begin, .end = end };
	bool ok;

	s.pages = calloc((end - begin) >> SIM_PAGE_SHIFT, sizeof(*s.pages));
	if (!s.pages)
		return "out of memory";
	ok = check_all(&s);
	free(s.pages);
	return ok ? NULL : reason;
}
