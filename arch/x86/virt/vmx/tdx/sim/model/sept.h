/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Secure EPT: entries, their states, walks and TLB tracking (sept.c).
 */
#ifndef _TDX_SIM_SEPT_H
#define _TDX_SIM_SEPT_H

#include "model.h"

/* Level of the root's entries: four levels, or five in a TD configured so. */
#define SEPT_ROOT_LEVEL		3
#define SEPT_MAX_ROOT_LEVEL	4

enum sept_state {
	SEPT_FREE,
	SEPT_REMOVED,
	SEPT_NL_MAPPED,
	SEPT_NL_BLOCKED,
	SEPT_MAPPED,
	SEPT_BLOCKED,
	SEPT_BLOCKEDW,
	SEPT_EXPORTED_BLOCKEDW,
	SEPT_EXPORTED_DIRTY,
	SEPT_EXPORTED_DIRTY_BLOCKEDW,
	SEPT_PENDING,
	SEPT_PENDING_BLOCKED,
	SEPT_PENDING_BLOCKEDW,
	SEPT_PENDING_EXPORTED_BLOCKEDW,
	SEPT_PENDING_EXPORTED_DIRTY,
	SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW,
	SEPT_NR_STATES,
};

/*
 * A Secure EPT entry as stored.  Bits 2:0 and the address are what the paging
 * hardware reads, so that a donated page works as a page table page of the
 * engine; bit 63 stays clear because x86 paging takes it as no-execute.
 */
#define SEPT_R			BIT_ULL(0)
#define SEPT_W			BIT_ULL(1)
#define SEPT_X			BIT_ULL(2)
#define SEPT_RWX		(SEPT_R | SEPT_W | SEPT_X)
#define SEPT_LEAF		BIT_ULL(7)
#define SEPT_LOCK		BIT_ULL(11)
#define SEPT_HOST_PRIO		BIT_ULL(52)
#define SEPT_STATE_MASK		GENMASK_ULL(57, 53)
/* REMOVED entries: the epoch of the removal. */
#define SEPT_REMOVED_EPOCH	GENMASK_ULL(43, 12)
#define SEPT_REMOVED_VALID	BIT_ULL(44)

/* Bits that the paging hardware of the engine sets behind the model's back. */
#define SEPT_HW_ACCESSED	BIT_ULL(5)
#define SEPT_HW_DIRTY		BIT_ULL(6)

static inline u64 sept_hpa(u64 entry)
{
	return entry & SIM_HPA_PAGE_MASK;
}

static inline enum sept_state sept_state(u64 entry)
{
	return (enum sept_state)((entry & SEPT_STATE_MASK) >> 53);
}

/* Public value of a state, as in RDX[15:8] of TDH.MEM.SEPT.RD. */
u8 sept_public_state(enum sept_state state);
bool sept_is_pending(enum sept_state state);
bool sept_is_exported(enum sept_state state);
/* The entry maps a page, which the TD owns. */
bool sept_is_leaf_mapped(enum sept_state state);
bool sept_is_blocked(enum sept_state state);
/* The state before RANGE.BLOCK, or @state if it is not a blocked one. */
enum sept_state sept_unblocked(enum sept_state state);
/* MAPPED or PENDING, nothing else pending on the page. */
bool sept_is_mapped_or_pending(enum sept_state state);
/* The guest has accepted the page and can at least read it. */
bool sept_is_guest_accessible(enum sept_state state);

/* An entry found by a walk. */
struct sept_walk {
	u64 *ptr;		/* entry */
	u64 entry;		/* value read, without lock and hardware bits */
	int level;		/* level reached: 0 is a 4 KiB mapping */
};

/* Level of the entries in the TD's root. */
int sept_root_level(const struct sim_td *td);
/* Is @gpa a private GPA of the TD (SHARED bit clear, within GPAW)? */
bool sept_gpa_private(struct sim_td *td, u64 gpa);
/* Walk to @level; 0 or EPT_WALK_FAILED (without operand). */
u64 sept_walk(struct sim_td *td, u64 gpa, int level, struct sept_walk *w);
/* Walk to a present leaf of any level; 0 or EPT_WALK_FAILED. */
u64 sept_walk_leaf(struct sim_td *td, u64 gpa, struct sept_walk *w);
/* Entry lock for host leaves: false when another party holds it. */
bool sept_trylock(struct sept_walk *w);
/* For the guest's side, which yields to a host that failed before. */
bool sept_trylock_guest(struct sept_walk *w, bool *host_prio);
void sept_unlock(struct sept_walk *w);
/* Lock for the rest of the call. */
bool sept_hold(struct sim_call *c, struct sept_walk *w);
/*
 * Write a new state and address, under the entry lock or with the tree held
 * exclusively.  Access rights follow from the state, except that a page that
 * becomes clean-exported keeps those it has.
 */
void sept_set(struct sept_walk *w, enum sept_state state, u64 hpa);
/* The page is gone: FREE, or REMOVED in an import session. */
void sept_set_free(struct sept_walk *w, const struct tdcs *tdcs);
/* The entry that sept_set() writes. */
u64 sept_make(enum sept_state state, u64 hpa, u64 old);
/* RCX and RDX of a leaf that reports an entry. */
void sept_report(struct sim_call *c, const struct sept_walk *w);
/* Architectural view, for RCX and RDX of SEPT.RD and of walk errors. */
u64 sept_arch_entry(u64 entry, int level);
u64 sept_arch_info(u64 entry, int level);
/* Is @leaf allowed on an entry in @state? */
bool sept_state_allows(u16 leaf, enum sept_state state);
/* May @leaf of the guest work on an entry in @state? */
bool sept_state_allows_guest(u16 leaf, enum sept_state state);
/* Must a page in @state be blocked and tracked before it changes under a running TD? */
bool sept_needs_tracking(enum sept_state state, u32 op_state);
/* TLB tracking of a range blocked in the given epoch, TD_EPOCH rules. */
bool sim_tlb_tracked(struct tdcs *tdcs, u64 blocked_epoch);
/*
 * A vCPU enters the guest: count it in the present epoch.  False when the epoch
 * is locked.  *@flush: translations of the TD on this LP may be stale.
 */
bool sim_epoch_enter(struct sim_vp *vp, bool *flush);
void sim_epoch_leave(struct sim_vp *vp);

#endif /* _TDX_SIM_SEPT_H */
