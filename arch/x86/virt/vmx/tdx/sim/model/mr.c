// SPDX-License-Identifier: GPL-2.0
/*
 * Measurement of a TD while it is built.
 */
#include "leaves.h"
#include "metadata.h"
#include "mem.h"

#define MR_EXTEND_SIZE		256
#define MR_RECORD_SIZE		128
#define MR_RECORD_GPA		16

void sim_mrtd_record(struct tdcs *tdcs, const char *leaf, u64 gpa)
{
	u8 record[MR_RECORD_SIZE] = {};

	memcpy(record, leaf, strlen(leaf));
	memcpy(record + MR_RECORD_GPA, &gpa, sizeof(gpa));
	sim_sha384_update(&tdcs->mrtd_sha, record, sizeof(record));
}

u64 tdx_sim_mr_extend(struct sim_call *c)
{
	u64 gpa = c->in.r[RCX];
	struct sept_walk w;
	struct sim_td td;
	u64 err;

	c->regs->r[RCX] = 0;
	c->regs->r[RDX] = 0;
	err = sim_get_td(c, RDX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	if (!IS_ALIGNED(gpa, MR_EXTEND_SIZE) || !sept_gpa_private(&td, gpa))
		return SIM_OPERAND_INVALID | RCX;
	if (sept_walk_leaf(&td, gpa, &w)) {
		sept_report(c, &w);
		return SIM_EPT_ENTRY_NOT_PRESENT | RCX;
	}
	if (!sept_state_allows(c->leaf, sept_state(w.entry)))
		return SIM_EPT_ENTRY_NOT_PRESENT;

	sim_mrtd_record(td.tdcs, "MR.EXTEND", gpa);
	sim_sha384_update(&td.tdcs->mrtd_sha, sim_ptr(sept_leaf_hpa(&w, gpa)), MR_EXTEND_SIZE);
	return SIM_SUCCESS;
}

u64 tdx_sim_mr_finalize(struct sim_call *c)
{
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	if (!td.tdcs->num_vcpus)
		return SIM_NO_VCPUS;
	sim_sha384_final(&td.tdcs->mrtd_sha, td.tdcs->mrtd);
	sim_servtd_finalize(&td);
	td.tdcs->op_state = OP_RUNNABLE;
	return SIM_SUCCESS;
}
