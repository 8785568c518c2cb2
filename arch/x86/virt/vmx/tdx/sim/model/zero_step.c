// SPDX-License-Identifier: GPL-2.0
/*
 * Defence against zero-stepping: a host that keeps a page from the guest sees
 * the same instruction fault again and again.
 *
 * After too many EPT violations without progress the vCPU remembers the pages
 * that are missing, and does not run until none of them would fault any more.
 * A host that write protects a page in a tight loop meets this.
 */
#include "model.h"

/* Faults of one instruction before pages are remembered. */
#define ZERO_STEP_THRESHOLD	6

static void forget_faults(struct tdvps *vps)
{
	vps->zero_step_count = 0;
	vps->zero_step_nr = 0;
}

void sim_zero_step_exit(struct sim_vp *vp)
{
	if (vp->vmcs->rip != vp->vps->zero_step_rip)
		forget_faults(vp->vps);
}

void sim_zero_step_fault(struct sim_vp *vp, u64 gpa)
{
	struct tdvps *vps = vp->vps;
	unsigned int i;

	sim_zero_step_exit(vp);
	gpa = ALIGN_DOWN(gpa, SIM_PAGE_SIZE);
	if (vps->zero_step_count < ZERO_STEP_THRESHOLD) {
		vps->zero_step_count++;
		return;
	}
	for (i = 0; i < vps->zero_step_nr; i++) {
		if (vps->zero_step_gpa[i] == gpa)
			return;
	}
	if (i < ARRAY_SIZE(vps->zero_step_gpa)) {
		vps->zero_step_gpa[i] = gpa;
		vps->zero_step_nr++;
	}
}

/*
 * Whatever the guest does to the page: a write protected one counts.  A page
 * that waits for the guest's acceptance does not, the host has done its part.
 */
static bool would_fault(struct sim_vp *vp, u64 gpa)
{
	enum sept_state state;
	struct sept_walk w;

	if (!sept_walk_leaf(&vp->td, gpa, &w))
		return (w.entry & SEPT_RWX) != SEPT_RWX;
	state = sept_state(w.entry);
	return state != SEPT_PENDING && state != SEPT_PENDING_EXPORTED_DIRTY;
}

u64 sim_zero_step_enter(struct sim_vp *vp, struct sim_td_exit *exit)
{
	struct sim_lock *tree = &vp->td.tdcs->sept_tree_lock;
	struct tdvps *vps = vp->vps;
	unsigned int i;

	vps->zero_step_rip = vp->vmcs->rip;
	if (!vps->zero_step_nr)
		return SIM_SUCCESS;
	if (!sim_trylock(tree, SIM_EXCL))
		return SIM_OPERAND_BUSY | OPND_SEPT_TREE;
	for (i = 0; i < vps->zero_step_nr; i++) {
		if (would_fault(vp, vps->zero_step_gpa[i])) {
			sim_exit_ept_violation(exit, vps->zero_step_gpa[i],
					       SIM_EPT_VIOLATION_WRITE, 0);
			break;
		}
	}
	sim_unlock(tree, SIM_EXCL);
	return SIM_SUCCESS;
}
