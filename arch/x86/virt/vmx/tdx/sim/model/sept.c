// SPDX-License-Identifier: GPL-2.0
/*
 * Secure EPT: entry states, what may be done in each, walks, entry locks and
 * TLB tracking.
 */
#include "leaves.h"

#define S(state)	BIT(SEPT_##state)

#define SEPT_EXPORTED_STATES						\
	(S(EXPORTED_BLOCKEDW) | S(EXPORTED_DIRTY) |			\
	 S(EXPORTED_DIRTY_BLOCKEDW) | S(PENDING_EXPORTED_BLOCKEDW) |	\
	 S(PENDING_EXPORTED_DIRTY) | S(PENDING_EXPORTED_DIRTY_BLOCKEDW))

#define SEPT_PENDING_STATES						\
	(S(PENDING) | S(PENDING_BLOCKED) | S(PENDING_BLOCKEDW) |	\
	 S(PENDING_EXPORTED_BLOCKEDW) | S(PENDING_EXPORTED_DIRTY) |	\
	 S(PENDING_EXPORTED_DIRTY_BLOCKEDW))

#define SEPT_ACCESSIBLE_STATES						\
	(S(MAPPED) | S(BLOCKEDW) | S(EXPORTED_BLOCKEDW) |		\
	 S(EXPORTED_DIRTY) | S(EXPORTED_DIRTY_BLOCKEDW))

#define SEPT_BLOCKED_STATES						\
	(S(NL_BLOCKED) | S(BLOCKED) | S(PENDING_BLOCKED))

#define SEPT_LEAF_STATES						\
	(SEPT_ACCESSIBLE_STATES | SEPT_PENDING_STATES | S(BLOCKED))

/* Clean exported pages are read-only or out of the guest's reach already. */
#define SEPT_TRACKED_STATES						\
	((SEPT_LEAF_STATES | S(NL_MAPPED) | S(NL_BLOCKED)) &		\
	 ~(S(EXPORTED_BLOCKEDW) | S(PENDING_EXPORTED_BLOCKEDW)))

/* States that a leaf accepts, by leaf number. */
static const u16 host_states[SIM_NR_LEAVES] = {
	[LEAF_MEM_PAGE_ADD] = S(FREE),
	[LEAF_MEM_SEPT_ADD] = S(FREE) | S(NL_MAPPED),
	[LEAF_MEM_PAGE_RELOCATE] = SEPT_LEAF_STATES,
	[LEAF_MEM_PAGE_AUG] = S(FREE) | S(REMOVED),
	[LEAF_MEM_RANGE_BLOCK] = S(NL_MAPPED) | S(MAPPED) | S(BLOCKEDW) | S(PENDING) |
				 S(PENDING_BLOCKEDW),
	[LEAF_MEM_RD] = SEPT_ACCESSIBLE_STATES,
	[LEAF_MEM_WR] = S(MAPPED) | S(EXPORTED_DIRTY),
	[LEAF_MEM_PAGE_DEMOTE] = S(MAPPED) | S(BLOCKED) | S(PENDING) | S(PENDING_BLOCKED),
	[LEAF_MR_EXTEND] = S(MAPPED),
	[LEAF_MEM_PAGE_PROMOTE] = S(NL_MAPPED) | S(NL_BLOCKED),
	[LEAF_MEM_SEPT_RD] = GENMASK(SEPT_NR_STATES - 1, 0),
	[LEAF_MEM_PAGE_REMOVE] = S(MAPPED) | S(BLOCKED) | S(BLOCKEDW) | S(PENDING) |
				 S(PENDING_BLOCKED) | S(PENDING_BLOCKEDW),
	[LEAF_MEM_SEPT_REMOVE] = S(NL_MAPPED) | S(NL_BLOCKED),
	[LEAF_MEM_RANGE_UNBLOCK] = SEPT_BLOCKED_STATES,
	[LEAF_EXPORT_BLOCKW] = S(MAPPED) | S(EXPORTED_DIRTY) | S(PENDING) |
			       S(PENDING_EXPORTED_DIRTY),
	[LEAF_EXPORT_RESTORE] = SEPT_EXPORTED_STATES,
	[LEAF_EXPORT_MEM] = SEPT_LEAF_STATES & ~SEPT_BLOCKED_STATES,
	[LEAF_EXPORT_UNBLOCKW] = S(BLOCKEDW) | S(EXPORTED_BLOCKEDW) |
				 S(EXPORTED_DIRTY_BLOCKEDW) | S(PENDING_BLOCKEDW) |
				 S(PENDING_EXPORTED_BLOCKEDW) |
				 S(PENDING_EXPORTED_DIRTY_BLOCKEDW),
	[LEAF_IMPORT_MEM] = S(FREE) | S(REMOVED) | S(MAPPED) | S(PENDING),
};

static const u16 guest_states[SIM_NR_GUEST_LEAVES] = {
	[TDG_MEM_PAGE_ACCEPT] = S(PENDING) | S(PENDING_EXPORTED_DIRTY),
	[TDG_MEM_PAGE_ATTR_RD] = SEPT_LEAF_STATES & ~SEPT_BLOCKED_STATES,
	[TDG_MEM_PAGE_ATTR_WR] = S(MAPPED) | S(EXPORTED_DIRTY) | S(PENDING) |
				 S(PENDING_EXPORTED_DIRTY),
};

static const u8 public_states[SEPT_NR_STATES] = {
	[SEPT_FREE] = 0,
	[SEPT_REMOVED] = 5,
	[SEPT_NL_MAPPED] = 0x84,
	[SEPT_NL_BLOCKED] = 0x81,
	[SEPT_MAPPED] = 4,
	[SEPT_BLOCKED] = 1,
	[SEPT_BLOCKEDW] = 8,
	[SEPT_EXPORTED_BLOCKEDW] = 9,
	[SEPT_EXPORTED_DIRTY] = 0xb,
	[SEPT_EXPORTED_DIRTY_BLOCKEDW] = 0xc,
	[SEPT_PENDING] = 2,
	[SEPT_PENDING_BLOCKED] = 3,
	[SEPT_PENDING_BLOCKEDW] = 0x10,
	[SEPT_PENDING_EXPORTED_BLOCKEDW] = 0x11,
	[SEPT_PENDING_EXPORTED_DIRTY] = 0x13,
	[SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW] = 0x14,
};

static bool state_in(enum sept_state state, u16 states)
{
	return state < SEPT_NR_STATES && (states & BIT(state));
}

u8 sept_public_state(enum sept_state state)
{
	return state < SEPT_NR_STATES ? public_states[state] : 0;
}

bool sept_is_pending(enum sept_state state)
{
	return state_in(state, SEPT_PENDING_STATES);
}

bool sept_is_exported(enum sept_state state)
{
	return state_in(state, SEPT_EXPORTED_STATES);
}

bool sept_is_leaf_mapped(enum sept_state state)
{
	return state_in(state, SEPT_LEAF_STATES);
}

bool sept_is_blocked(enum sept_state state)
{
	return state_in(state, SEPT_BLOCKED_STATES);
}

enum sept_state sept_unblocked(enum sept_state state)
{
	switch (state) {
	case SEPT_NL_BLOCKED:
		return SEPT_NL_MAPPED;
	case SEPT_BLOCKED:
		return SEPT_MAPPED;
	case SEPT_PENDING_BLOCKED:
		return SEPT_PENDING;
	default:
		return state;
	}
}

bool sept_is_mapped_or_pending(enum sept_state state)
{
	return state == SEPT_MAPPED || state == SEPT_PENDING;
}

bool sept_is_guest_accessible(enum sept_state state)
{
	return state_in(state, SEPT_ACCESSIBLE_STATES);
}

bool sept_state_allows(u16 leaf, enum sept_state state)
{
	return leaf < SIM_NR_LEAVES && state_in(state, host_states[leaf]);
}

bool sept_state_allows_guest(u16 leaf, enum sept_state state)
{
	return leaf < SIM_NR_GUEST_LEAVES && state_in(state, guest_states[leaf]);
}

bool sept_needs_tracking(enum sept_state state, u32 op_state)
{
	bool may_run = op_state == OP_RUNNABLE || op_state == OP_LIVE_EXPORT ||
		       op_state == OP_LIVE_IMPORT;

	return may_run && state_in(state, SEPT_TRACKED_STATES);
}

/* ------------------------------------------------------------------- walks */

bool sept_gpa_private(struct sim_td *td, u64 gpa)
{
	unsigned int shared_bit = td->tdcs->gpaw ? 51 : 47;

	return !(gpa >> shared_bit);
}

/* In an EPTP: page walk levels less one. */
#define EPTP_WALK_LEVELS	GENMASK_ULL(5, 3)

int sept_root_level(const struct sim_td *td)
{
	return FIELD_GET(EPTP_WALK_LEVELS, td->tdcs->eptp) > SEPT_ROOT_LEVEL ?
	       SEPT_MAX_ROOT_LEVEL : SEPT_ROOT_LEVEL;
}

static u64 sept_clean(u64 entry)
{
	return entry & ~(SEPT_LOCK | SEPT_HOST_PRIO | SEPT_HW_ACCESSED | SEPT_HW_DIRTY);
}

/* Down to @level, or to the first entry that leads nowhere. */
static void sept_descend(struct sim_td *td, u64 gpa, int level, struct sept_walk *w)
{
	u64 *table = td->sept_root;

	for (w->level = sept_root_level(td); ; w->level--) {
		w->ptr = &table[(gpa >> SIM_LEVEL_SHIFT(w->level)) & (SIM_TABLE_ENTRIES - 1)];
		w->entry = sept_clean(sim_load(w->ptr));
		if (w->level == level || (w->entry & SEPT_LEAF) || !(w->entry & SEPT_RWX))
			return;
		table = sim_ptr(sept_hpa(w->entry));
		if (!table)
			return;
	}
}

u64 sept_walk(struct sim_td *td, u64 gpa, int level, struct sept_walk *w)
{
	sept_descend(td, gpa, level, w);
	return w->level == level ? SIM_SUCCESS : SIM_EPT_WALK_FAILED;
}

u64 sept_walk_leaf(struct sim_td *td, u64 gpa, struct sept_walk *w)
{
	sept_descend(td, gpa, 0, w);
	if ((w->entry & SEPT_LEAF) && (w->entry & SEPT_RWX))
		return SIM_SUCCESS;
	return SIM_EPT_WALK_FAILED;
}

/* -------------------------------------------------------------- entry locks */

static bool sept_trylock_bit(u64 *ptr)
{
	u64 old;

	do {
		old = READ_ONCE(*ptr);
		if (old & SEPT_LOCK)
			return false;
	} while (sim_cmpxchg64(ptr, old, old | SEPT_LOCK) != old);
	return true;
}

bool sept_trylock(struct sept_walk *w)
{
	if (tdx_sim_host_entry_busy() || !sept_trylock_bit(w->ptr)) {
		sim_atomic_or64(w->ptr, SEPT_HOST_PRIO);
		return false;
	}
	w->entry = sept_clean(sim_atomic_andnot64(w->ptr, SEPT_HOST_PRIO));
	return true;
}

bool sept_trylock_guest(struct sept_walk *w, bool *host_prio)
{
	u64 entry;

	*host_prio = false;
	if (!sept_trylock_bit(w->ptr))
		return false;
	entry = sim_load(w->ptr);
	if (entry & SEPT_HOST_PRIO) {
		sept_unlock(w);
		*host_prio = true;
		return false;
	}
	w->entry = sept_clean(entry);
	return true;
}

void sept_unlock(struct sept_walk *w)
{
	sim_atomic_andnot64(w->ptr, SEPT_LOCK);
}

bool sept_hold(struct sim_call *c, struct sept_walk *w)
{
	if (!sept_trylock(w))
		return false;
	c->held_sept = w->ptr;
	return true;
}

/* ------------------------------------------------------------------ changes */

u64 sept_make(enum sept_state state, u64 hpa, u64 old)
{
	u64 rights = 0;

	switch (state) {
	case SEPT_FREE:
		return 0;
	case SEPT_NL_MAPPED:
	case SEPT_MAPPED:
	case SEPT_EXPORTED_DIRTY:
		rights = SEPT_RWX;
		break;
	case SEPT_BLOCKEDW:
	case SEPT_EXPORTED_DIRTY_BLOCKEDW:
		rights = SEPT_R | SEPT_X;
		break;
	case SEPT_EXPORTED_BLOCKEDW:
		/* Exported while paused: the page was never write protected. */
		rights = old & SEPT_RWX;
		break;
	default:
		break;
	}
	return sept_hpa(hpa) | rights | FIELD_PREP(SEPT_STATE_MASK, (u64)state) |
	       (sept_is_leaf_mapped(state) ? SEPT_LEAF : 0);
}

/* The lock and the host priority mark stay. */
static void sept_write(struct sept_walk *w, u64 entry)
{
	u64 old;

	do {
		old = READ_ONCE(*w->ptr);
	} while (sim_cmpxchg64(w->ptr, old,
			       entry | (old & (SEPT_LOCK | SEPT_HOST_PRIO))) != old);
	w->entry = entry;
}

void sept_set(struct sept_walk *w, enum sept_state state, u64 hpa)
{
	sept_write(w, sept_make(state, hpa, w->entry));
}

void sept_set_free(struct sept_walk *w, const struct tdcs *tdcs)
{
	u64 entry = 0;

	if (tdcs->op_state >= OP_MEMORY_IMPORT && tdcs->op_state <= OP_LIVE_IMPORT)
		entry = FIELD_PREP(SEPT_STATE_MASK, (u64)SEPT_REMOVED) | SEPT_REMOVED_VALID |
			FIELD_PREP(SEPT_REMOVED_EPOCH, (u64)tdcs->mig_epoch);
	sept_write(w, entry);
}

/* ------------------------------------------------------- architectural view */

#define SEPT_ARCH_SUPPRESS_VE	BIT_ULL(63)
/* Write-back, ignore PAT, leaf. */
#define SEPT_ARCH_LEAF		0xf0
#define SEPT_ARCH_LEVEL		GENMASK_ULL(2, 0)
#define SEPT_ARCH_STATE		GENMASK_ULL(15, 8)

u64 sept_arch_entry(u64 entry, int level)
{
	enum sept_state state = sept_state(entry);

	(void)level;
	if (state == SEPT_FREE)
		return SEPT_ARCH_SUPPRESS_VE;
	if (!sept_is_leaf_mapped(state))
		return entry & SEPT_RWX;
	return (entry & SEPT_RWX) | sept_hpa(entry) | SEPT_ARCH_LEAF | SEPT_ARCH_SUPPRESS_VE;
}

u64 sept_arch_info(u64 entry, int level)
{
	return FIELD_PREP(SEPT_ARCH_LEVEL, (u64)level) |
	       FIELD_PREP(SEPT_ARCH_STATE, (u64)sept_public_state(sept_state(entry)));
}

void sept_report(struct sim_call *c, const struct sept_walk *w)
{
	c->regs->r[RCX] = sept_arch_entry(w->entry, w->level);
	c->regs->r[RDX] = sept_arch_info(w->entry, w->level);
}

/* ------------------------------------------------------------- TLB tracking */

/* PAMT epoch of an imported page: counts bundles, not TLB epochs. */
#define BEPOCH_IMPORTED		BIT_ULL(63)

bool sim_tlb_tracked(struct tdcs *tdcs, u64 blocked_epoch)
{
	u64 epoch = sim_load(&tdcs->epoch.td_epoch);

	if (blocked_epoch & BEPOCH_IMPORTED)
		return false;
	if (blocked_epoch + 1 == epoch)
		return !sim_load(&tdcs->epoch.refcount[blocked_epoch & 1]);
	return blocked_epoch + 1 < epoch;
}

bool sim_epoch_enter(struct sim_vp *vp, bool *flush)
{
	struct tdcs_epoch *e = &vp->td.tdcs->epoch;
	u64 epoch;

	if (!sim_trylock(&e->lock, SIM_SHARED))
		return false;
	epoch = e->td_epoch;
	sim_atomic_inc16(&e->refcount[epoch & 1]);
	sim_unlock(&e->lock, SIM_SHARED);

	*flush = epoch != vp->vps->vcpu_epoch;
	vp->vps->vcpu_epoch = epoch;
	return true;
}

void sim_epoch_leave(struct sim_vp *vp)
{
	sim_atomic_dec16(&vp->td.tdcs->epoch.refcount[vp->vps->vcpu_epoch & 1]);
}
