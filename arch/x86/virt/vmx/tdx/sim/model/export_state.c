// SPDX-License-Identifier: GPL-2.0
/*
 * State bundles on the source: TDH.EXPORT.STATE.IMMUTABLE, which starts the
 * session, TDH.EXPORT.STATE.TD and TDH.EXPORT.STATE.VP.
 */
#include "mig.h"

/* What a list must offer, although the bundles are smaller; see also the profile. */
#define MIN_TD_PAGES		2
#define MIN_VP_PAGES		5

/* Pages of module-wide metadata in front of the immutable state. */
#define NUM_SYS_PAGES		1

#define MAX_EXPORT_COUNT	0x7fffffffU

struct state_export {
	struct sim_call *c;
	struct sim_td *td;
	struct sim_vp *vp;
	struct mig_stream s;
	struct migsc_operands ops;
	enum md_bundle bundle;
	struct md_cursor cur;
	u32 pages_done;
};

static void begin_bundle(struct state_export *x, enum mb_type type, u64 info)
{
	x->s.ctx->intr.valid = false;
	mbmd_next(&x->s, x->td->tdcs, type, info, &x->s.ctx->mbmd);
	mbmd_auth(&x->s, &x->s.ctx->mbmd);
}

static u64 resume_bundle(struct state_export *x)
{
	struct migsc_intr *intr = &x->s.ctx->intr;
	u64 err;

	if (!mig_stream_ready(&x->s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;
	err = mig_resume(&x->s, &x->ops);
	if (err)
		return err;

	x->bundle = (enum md_bundle)intr->bundle;
	x->cur.field_id = intr->field_id;
	x->cur.element = intr->element;
	x->pages_done = intr->pages_done;
	return SIM_SUCCESS;
}

static void interrupt_bundle(struct state_export *x)
{
	struct migsc_intr *intr = &x->s.ctx->intr;

	mig_interrupt(&x->s, &x->ops);
	intr->bundle = x->bundle;
	intr->field_id = x->cur.field_id;
	intr->element = x->cur.element;
	intr->pages_done = x->pages_done;
}

static u64 export_page(struct state_export *x, const u64 *pages)
{
	u8 *plaintext = mig_scratch_page();
	void *dst;
	u64 err;

	err = mig_map_shared_page(READ_ONCE(pages[x->pages_done]), OPND_MIG_BUFF_LIST_ENTRY,
				  &dst);
	if (err)
		return err;
	md_dump_page(x->bundle, x->td, x->vp, &x->cur, plaintext);
	sim_gcm_encrypt(&x->s.ctx->gcm, dst, plaintext, SIM_PAGE_SIZE);
	x->pages_done++;
	return SIM_SUCCESS;
}

static u64 export_pages(struct state_export *x)
{
	u64 *r = x->c->regs->r;
	u64 *pages;
	u64 err;

	err = mig_map_shared_page(r[R9] & PAGE_LIST_HPA, R9, (void **)&pages);
	if (err)
		return err;

	for (;;) {
		err = export_page(x, pages);
		if (err)
			return err;
		if (x->cur.done) {
			if (x->bundle != MD_BUNDLE_IMMUTABLE_SYS)
				return SIM_SUCCESS;
			x->bundle = MD_BUNDLE_IMMUTABLE_TD;
			x->cur = (struct md_cursor) {};
		}
		if (x->pages_done > FIELD_GET(PAGE_LIST_LAST, r[R9]))
			return SIM_OPERAND_INVALID | R9;
		if (tdx_sim_host_interrupt_pending()) {
			interrupt_bundle(x);
			r[RDX] = x->pages_done;
			return SIM_INTERRUPTED_RESUMABLE;
		}
	}
}

static void finish_bundle(struct state_export *x, struct sim_mbmd *host)
{
	struct sim_mbmd *mbmd = &x->s.ctx->mbmd;

	sim_gcm_seal(&x->s.ctx->gcm, mbmd->mac);
	mbmd_write(host, mbmd);
	sim_atomic_inc64(&x->td->tdcs->total_mb_count);
	x->s.ctx->next_mb_counter++;
	x->c->regs->r[RDX] = x->pages_done;
}

/* From the key latch on an error costs the keys: the session must start anew. */
static u64 begin_session(struct state_export *x)
{
	struct tdcs *tdcs = x->td->tdcs;
	u64 *r = x->c->regs->r;
	void *pages;
	u64 err;

	err = page_list_check(r[R9], sim_profile()->min_immutable_export);
	if (!err)
		err = mig_map_shared_page(r[R9] & PAGE_LIST_HPA, R9, &pages);
	if (err)
		return err;
	err = mig_start_session(x->td, &x->s, tdcs->mig_enc_working_key);
	if (err)
		return err;

	tdcs->dirty_count = 0;
	begin_bundle(x, MB_IMMUTABLE_STATE,
		     FIELD_PREP(MBMD_NUM_F_MIGS, tdcs->num_migs - 1) |
		     FIELD_PREP(MBMD_NUM_SYS_PAGES, NUM_SYS_PAGES));
	if (tdcs->export_count >= MAX_EXPORT_COUNT)
		return SIM_MAX_EXPORTS_EXCEEDED;
	tdcs->export_count++;
	return SIM_SUCCESS;
}

u64 tdx_sim_export_state_immutable(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_export x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9] },
		.bundle = MD_BUNDLE_IMMUTABLE_SYS,
	};
	struct sim_mbmd *host;
	struct tdcs *tdcs;
	struct sim_td td;
	u64 err;

	r[RDX] = 0;
	err = sim_get_td(c, RCX, SIM_SHARED, SIM_EXCL, &td);
	if (err)
		return err;
	tdcs = td.tdcs;
	err = sim_hold_or_busy(c, &tdcs->mig_lock, SIM_EXCL, OPND_MIG);
	if (err)
		return err;
	if (!(tdcs->attributes & SIM_ATTR_MIGRATABLE))
		return SIM_TD_NOT_MIGRATABLE;
	if (READ_ONCE(tdcs->mig_count))
		return SIM_PREVIOUS_EXPORT_CLEANUP_INCOMPLETE;
	if (tdcs->num_migs < MIG_MIN_STREAMS)
		return SIM_MIN_MIGS_NOT_CREATED;
	err = mbmd_operand(r[R8], &host);
	if (err)
		return err;
	err = mig_get_stream(c, &td, r[R10], false, &x.s);
	if (err)
		return err;

	x.td = &td;
	err = r[R10] & MIGS_COMMAND ? resume_bundle(&x) : begin_session(&x);
	if (!err)
		err = export_pages(&x);
	if (err)
		return err;

	finish_bundle(&x, host);
	WRITE_ONCE(tdcs->op_state, OP_LIVE_EXPORT);
	return SIM_SUCCESS;
}

/* A bundle of mutable state; its MBMD operand is looked at last. */
static u64 export_mutable(struct state_export *x, enum mb_type type, u64 info,
			  unsigned int min_pages, struct sim_mbmd **host)
{
	u64 *r = x->c->regs->r;
	u64 err;

	if (r[R10] & MIGS_COMMAND) {
		err = resume_bundle(x);
		if (err)
			return err;
	} else {
		err = page_list_check(r[R9], min_pages);
		if (err)
			return err;
		if (!mig_stream_ready(&x->s))
			mig_stream_init(&x->s, x->td->tdcs->mig_enc_working_key);
		begin_bundle(x, type, info);
	}

	err = export_pages(x);
	if (err)
		return err;
	return mbmd_operand(r[R8], host);
}

u64 tdx_sim_export_state_td(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_export x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9] },
		.bundle = MD_BUNDLE_TD,
	};
	struct sim_mbmd *host;
	struct sim_td td;
	u64 err;

	r[RDX] = 0;
	err = sim_get_td(c, RCX, SIM_SHARED, SIM_EXCL, &td);
	if (err)
		return err;
	err = mig_get_stream(c, &td, r[R10], false, &x.s);
	if (err)
		return err;
	if (!mig_stream_ready(&x.s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;

	x.td = &td;
	err = export_mutable(&x, MB_TD_STATE, 0, MIN_TD_PAGES, &host);
	if (err)
		return err;
	finish_bundle(&x, host);
	return SIM_SUCCESS;
}

u64 tdx_sim_export_state_vp(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_export x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9], .tdvpr_pa = r[RCX] },
		.bundle = MD_BUNDLE_VP,
	};
	struct sim_mbmd *host;
	struct sim_vp vp;
	u64 err;

	r[RDX] = 0;
	err = sim_get_vp(c, SIM_EXCL, &vp);
	if (err)
		return err;
	err = sim_check_td(c, &vp.td, SIM_SHARED);
	if (err)
		return err;
	if (!sim_vp_complete(&vp))
		return SIM_TDCX_NUM_INCORRECT;
	if (vp.vps->state != VCPU_READY)
		return SIM_VCPU_STATE_INCORRECT;
	/* It stays associated, whatever follows. */
	err = sim_associate_vp(&vp);
	if (err)
		return err;
	if (vp.vps->export_count == vp.td.tdcs->export_count)
		return SIM_VCPU_ALREADY_EXPORTED;
	err = mig_get_stream(c, &vp.td, r[R10], true, &x.s);
	if (err)
		return err;

	x.td = &vp.td;
	x.vp = &vp;
	err = export_mutable(&x, MB_VP_STATE, FIELD_PREP(MBMD_VP_INDEX, vp.vps->index),
			     MIN_VP_PAGES, &host);
	if (err)
		return err;
	vp.vps->export_count = vp.td.tdcs->export_count;
	finish_bundle(&x, host);
	return SIM_SUCCESS;
}
