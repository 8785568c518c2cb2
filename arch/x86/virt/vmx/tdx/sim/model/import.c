// SPDX-License-Identifier: GPL-2.0
/*
 * The end of an import session: TDH.IMPORT.COMMIT and TDH.IMPORT.END.
 */
#include "mig.h"

u64 tdx_sim_import_commit(struct sim_call *c)
{
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;

	td.tdcs->import_count++;
	WRITE_ONCE(td.tdcs->op_state, OP_LIVE_IMPORT);
	return SIM_SUCCESS;
}

u64 tdx_sim_import_end(struct sim_call *c)
{
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;

	/* A commit has counted this import already. */
	if (td.tdcs->op_state != OP_LIVE_IMPORT)
		td.tdcs->import_count++;
	WRITE_ONCE(td.tdcs->op_state, OP_RUNNABLE);
	return SIM_SUCCESS;
}
