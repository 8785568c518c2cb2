// SPDX-License-Identifier: GPL-2.0
/*
 * Tokens: bundles without data.  Epoch and start tokens go from the source to
 * the destination (TDH.EXPORT.TRACK, TDH.IMPORT.TRACK), abort tokens back
 * (TDH.IMPORT.ABORT, TDH.EXPORT.ABORT).
 */
#include "mig.h"

/* Stream 0 counts its bundles anew after each token; the token is number 0. */
#define FIRST_AFTER_TOKEN	1

static u64 next_epoch(struct tdcs *tdcs)
{
	if (tdcs->mig_epoch == MIG_EPOCH_OUT_OF_ORDER - 1)
		return SIM_MIGRATION_EPOCH_OVERFLOW;
	tdcs->mig_epoch++;
	return SIM_SUCCESS;
}

/* Pages that were never exported may still follow, stale copies may not. */
static u64 finish_in_order(struct tdcs *tdcs)
{
	if (tdcs->op_state != OP_PAUSED_EXPORT)
		return SIM_OP_STATE_INCORRECT;
	if (READ_ONCE(tdcs->dirty_count))
		return SIM_EXPORTED_DIRTY_PAGES_REMAIN;
	tdcs->mig_epoch = MIG_EPOCH_OUT_OF_ORDER;
	WRITE_ONCE(tdcs->op_state, OP_POST_EXPORT);
	return SIM_SUCCESS;
}

u64 tdx_sim_export_track(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct sim_mbmd *host, mbmd;
	struct mig_stream s;
	struct tdcs *tdcs;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_SHARED, SIM_EXCL, &td);
	if (err)
		return err;
	tdcs = td.tdcs;
	err = sim_hold_or_busy(c, &tdcs->mig_lock, SIM_EXCL, OPND_MIG);
	if (err)
		return err;
	if (r[R10] & ~MIGS_COMMAND)
		return SIM_OPERAND_INVALID | R10;
	err = mbmd_operand(r[R8], &host);
	if (err)
		return err;
	err = mig_get_stream(c, &td, r[R10], false, &s);
	if (err)
		return err;
	if (!mig_stream_ready(&s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;
	err = r[R10] & MIGS_COMMAND ? finish_in_order(tdcs) : next_epoch(tdcs);
	if (err)
		return err;

	s.ctx->intr.valid = false;
	tdcs->total_mb_count++;
	mbmd_next(&s, tdcs, MB_EPOCH_TOKEN, tdcs->total_mb_count, &mbmd);
	/* Else it has, alone among the bundles, the version of the next session. */
	if (!sim_profile()->epoch_token_of_session)
		mbmd.mig_version = tdcs->mig_version;
	mbmd.mb_counter = 0;
	mbmd_seal(&s, &mbmd);
	mbmd_write(host, &mbmd);
	s.ctx->next_mb_counter = FIRST_AFTER_TOKEN;
	return SIM_SUCCESS;
}

/* Epochs may be skipped; the total proves that no bundle is missing. */
static bool epoch_token_good(const struct sim_mbmd *mbmd, const struct tdcs *tdcs)
{
	return mbmd_plausible(mbmd, tdcs, MB_EPOCH_TOKEN, 0) &&
	       !mbmd->mb_counter &&
	       mbmd->mig_epoch > tdcs->mig_epoch &&
	       mbmd->info == tdcs->total_mb_count + 1;
}

u64 tdx_sim_import_track(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct sim_mbmd *host, mbmd;
	struct mig_stream s;
	struct tdcs *tdcs;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	tdcs = td.tdcs;
	if (r[R10])
		return SIM_OPERAND_INVALID | R10;
	err = mbmd_operand(r[R8], &host);
	if (err)
		return err;
	err = mig_get_stream(c, &td, r[R10], false, &s);
	if (err)
		return err;
	if (!mig_stream_ready(&s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;

	s.ctx->intr.valid = false;
	mbmd_read(&mbmd, host);
	if (!epoch_token_good(&mbmd, tdcs))
		return mig_fail_import(&td, SIM_INVALID_MBMD);
	if (!mbmd_verify(&s, &mbmd))
		return mig_fail_import(&td, SIM_INCORRECT_MBMD_MAC);

	if (mbmd.mig_epoch == MIG_EPOCH_OUT_OF_ORDER) {
		if (tdcs->num_migrated_vcpus != tdcs->num_vcpus)
			return mig_fail_import(&td, SIM_SOME_VCPUS_NOT_MIGRATED);
		WRITE_ONCE(tdcs->op_state, OP_POST_IMPORT);
	}
	s.ctx->expected_mb_counter = FIRST_AFTER_TOKEN;
	tdcs->total_mb_count++;
	tdcs->mig_epoch = mbmd.mig_epoch;
	return SIM_SUCCESS;
}

/* The destination gives up, and proves to the source that it did. */
u64 tdx_sim_import_abort(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct sim_mbmd *host, mbmd;
	struct mig_stream s;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	if (r[R10])
		return SIM_OPERAND_INVALID | R10;
	err = mbmd_operand(r[R8], &host);
	if (err)
		return err;
	err = mig_get_backward_stream(c, &td, &s);
	if (err)
		return err;

	if (!mig_stream_ready(&s))
		mig_stream_init(&s, td.tdcs->mig_enc_working_key);
	s.ctx->intr.valid = false;
	mbmd_next(&s, td.tdcs, MB_ABORT_TOKEN, 0, &mbmd);
	mbmd.mig_epoch = 0;
	mbmd_seal(&s, &mbmd);
	mbmd_write(host, &mbmd);
	s.ctx->next_mb_counter++;
	return mig_fail_import(&td, SIM_SUCCESS);
}

/* After the start token only the destination can say that it will not run the TD. */
static u64 check_abort_token(struct sim_call *c, struct sim_td *td)
{
	struct sim_mbmd *host, mbmd;
	struct mig_stream s;
	u64 err;

	err = mbmd_operand(c->regs->r[R8], &host);
	if (err)
		return err;
	mbmd_read(&mbmd, host);
	if (!mbmd_plausible(&mbmd, td->tdcs, MB_ABORT_TOKEN, 0) || mbmd.info)
		return SIM_INVALID_MBMD;
	err = mig_get_backward_stream(c, td, &s);
	if (err)
		return err;

	if (!mig_stream_ready(&s))
		mig_stream_init(&s, td->tdcs->mig_dec_working_key);
	s.ctx->intr.valid = false;
	return mbmd_verify(&s, &mbmd) ? SIM_SUCCESS : SIM_INCORRECT_MBMD_MAC;
}

u64 tdx_sim_export_abort(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct sim_td td;
	u64 err;

	err = sim_get_td(c, RCX, SIM_SHARED, SIM_EXCL, &td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &td.tdcs->mig_lock, SIM_EXCL, OPND_MIG);
	if (err)
		return err;
	if (r[R10])
		return SIM_OPERAND_INVALID | R10;

	if (td.tdcs->op_state == OP_POST_EXPORT) {
		err = check_abort_token(c, &td);
		if (err)
			return err;
	} else if (r[R8]) {
		return SIM_OPERAND_INVALID | R8;
	}

	/* Exported pages stay so until they are restored one by one. */
	mig_reset_streams(&td);
	WRITE_ONCE(td.tdcs->op_state, OP_RUNNABLE);
	return SIM_SUCCESS;
}
