// SPDX-License-Identifier: GPL-2.0
/*
 * State bundles on the destination: TDH.IMPORT.STATE.IMMUTABLE, which starts
 * the session, TDH.IMPORT.STATE.TD and TDH.IMPORT.STATE.VP.
 *
 * Plaintext is parsed and applied page by page while the MAC is not known to be
 * good; until then nothing that depends on it is told.  From the point where a
 * leaf has touched the session, all its errors are the end of the TD.
 */
#include "mig.h"

/* Lists may not be shorter; for the immutable state see the profile. */
#define MIN_TD_PAGES		1
#define MIN_VP_PAGES		4

struct state_import {
	struct sim_call *c;
	struct sim_td *td;
	struct sim_vp *vp;
	struct mig_stream s;
	struct migsc_operands ops;
	enum md_bundle bundle;
	struct md_cursor cur;
	u32 pages_done;
};

/* Read the header and authenticate it, unless it is of no use. */
static u64 begin_bundle(struct state_import *x, enum mb_type type, u64 reserved)
{
	struct sim_mbmd *mbmd = &x->s.ctx->mbmd;
	struct tdcs *tdcs = x->td->tdcs;
	struct sim_mbmd *host;
	u64 err;

	err = mbmd_operand(x->c->regs->r[R8], &host);
	if (err)
		return err;
	mbmd_read(mbmd, host);
	if (!mbmd_plausible(mbmd, tdcs, type, x->s.index) ||
	    mbmd->mb_counter != x->s.ctx->expected_mb_counter ||
	    mbmd->mig_epoch != tdcs->mig_epoch ||
	    (mbmd->info & reserved))
		return SIM_INVALID_MBMD;

	mbmd_auth(&x->s, mbmd);
	x->s.ctx->expected_mb_counter++;
	x->s.ctx->md_err = SIM_SUCCESS;
	return SIM_SUCCESS;
}

/* The caller found that a leaf was interrupted. */
static u64 resume_bundle(struct state_import *x)
{
	struct migsc_intr *intr = &x->s.ctx->intr;
	u64 err;

	err = mig_resume(&x->s, &x->ops);
	if (err)
		return mig_fail_import(x->td, err);

	x->bundle = (enum md_bundle)intr->bundle;
	x->cur.field_id = intr->field_id;
	x->cur.element = intr->element;
	x->pages_done = intr->pages_done;
	return SIM_SUCCESS;
}

static u64 interrupt_bundle(struct state_import *x)
{
	struct migsc_intr *intr = &x->s.ctx->intr;
	u64 *r = x->c->regs->r;

	mig_interrupt(&x->s, &x->ops);
	intr->bundle = x->bundle;
	intr->field_id = x->cur.field_id;
	intr->element = x->cur.element;
	intr->pages_done = x->pages_done;

	r[RCX] = x->c->in.r[RCX];
	r[RDX] = x->c->in.r[RDX];
	return SIM_INTERRUPTED_RESUMABLE;
}

static void load_page(struct state_import *x, const u8 *plaintext, unsigned int last)
{
	struct migsc *ctx = x->s.ctx;
	u64 err, ext_rcx, ext_rdx;
	bool end;

	if (x->bundle == MD_BUNDLE_IMMUTABLE_SYS)
		end = x->pages_done + 1 == FIELD_GET(MBMD_NUM_SYS_PAGES, ctx->mbmd.info);
	else
		end = x->pages_done == last;

	err = md_load_page(x->bundle, x->td, x->vp, &x->cur, plaintext, end,
			   &ext_rcx, &ext_rdx);
	if (err && !ctx->md_err) {
		ctx->md_err = err;
		ctx->md_ext_rcx = ext_rcx;
		ctx->md_ext_rdx = ext_rdx;
	}
	if (end && x->bundle == MD_BUNDLE_IMMUTABLE_SYS) {
		x->bundle = MD_BUNDLE_IMMUTABLE_TD;
		x->cur = (struct md_cursor) {};
	}
}

/* Pages offered beyond the bundle are read too, wherever they may be. */
static bool read_page(u64 hpa, u8 *copy)
{
	void *src;

	if (!sim_shared_hpa_form(hpa, SIM_PAGE_SIZE))
		return false;
	src = sim_ptr(hpa);
	if (src)
		memcpy(copy, src, SIM_PAGE_SIZE);
	else
		/* Nothing drives the bus. */
		memset(copy, 0xff, SIM_PAGE_SIZE);
	return true;
}

static u64 import_pages(struct state_import *x, unsigned int min_pages)
{
	u64 *r = x->c->regs->r;
	unsigned int last = FIELD_GET(PAGE_LIST_LAST, r[R9]);
	u8 *plaintext = mig_scratch_page();
	u64 *pages;
	u64 err;

	err = page_list_check(r[R9], min_pages);
	if (!err)
		err = mig_map_shared_page(r[R9] & PAGE_LIST_HPA, R9, (void **)&pages);
	if (err)
		return mig_fail_import(x->td, err);

	while (x->pages_done <= last) {
		if (!read_page(READ_ONCE(pages[x->pages_done]), plaintext))
			return mig_fail_import(x->td, SIM_OPERAND_INVALID | OPND_PAGE);
		sim_gcm_decrypt(&x->s.ctx->gcm, plaintext, plaintext, SIM_PAGE_SIZE);
		load_page(x, plaintext, last);
		x->pages_done++;
		if (x->pages_done <= last && tdx_sim_host_interrupt_pending())
			return interrupt_bundle(x);
	}
	return SIM_SUCCESS;
}

static u64 finish_bundle(struct state_import *x)
{
	struct migsc *ctx = x->s.ctx;
	u64 *r = x->c->regs->r;

	if (!sim_gcm_verify(&ctx->gcm, ctx->mbmd.mac))
		return mig_fail_import(x->td, SIM_INCORRECT_MBMD_MAC);
	if (ctx->md_err) {
		r[RCX] = ctx->md_ext_rcx;
		r[RDX] = ctx->md_ext_rdx;
		return mig_fail_import(x->td, ctx->md_err);
	}
	return SIM_SUCCESS;
}

static u64 finish_import(struct state_import *x)
{
	u64 err = md_finish_import(x->bundle, x->td, x->vp);

	if (err)
		WRITE_ONCE(x->td->tdcs->op_state, OP_FAILED_IMPORT);
	return err;
}

static u64 begin_session(struct state_import *x)
{
	struct tdcs *tdcs = x->td->tdcs;
	struct sim_mbmd *mbmd = &x->s.ctx->mbmd;
	u64 err;

	err = mig_start_session(x->td, &x->s, tdcs->mig_dec_working_key);
	if (err)
		return err;

	err = begin_bundle(x, MB_IMMUTABLE_STATE, MBMD_IMMUTABLE_RESERVED);
	if (!err && !FIELD_GET(MBMD_NUM_SYS_PAGES, mbmd->info))
		err = SIM_INVALID_MBMD;
	/* One stream is the backward one. */
	if (!err && FIELD_GET(MBMD_NUM_F_MIGS, mbmd->info) >= tdcs->num_migs)
		err = SIM_NUM_MIGS_HIGHER_THAN_CREATED;
	return err ? mig_fail_import(x->td, err) : SIM_SUCCESS;
}

u64 tdx_sim_import_state_immutable(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_import x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9] },
		.bundle = MD_BUNDLE_IMMUTABLE_SYS,
	};
	unsigned int sys_pages;
	struct tdcs *tdcs;
	struct sim_td td;
	u64 err;

	r[RCX] = 0;
	r[RDX] = 0;
	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	tdcs = td.tdcs;
	if (tdcs->num_migs < MIG_MIN_STREAMS)
		return SIM_MIN_MIGS_NOT_CREATED;
	err = mig_get_stream(c, &td, r[R10], false, &x.s);
	if (err)
		return err;

	x.td = &td;
	if (!(r[R10] & MIGS_COMMAND))
		err = begin_session(&x);
	else if (!mig_stream_ready(&x.s))
		err = SIM_MIGRATION_STREAM_STATE_INCORRECT;
	else if (!x.s.ctx->intr.valid)
		err = SIM_INVALID_RESUMPTION;
	else
		err = resume_bundle(&x);
	if (err)
		return err;

	sys_pages = FIELD_GET(MBMD_NUM_SYS_PAGES, x.s.ctx->mbmd.info);
	err = import_pages(&x, sim_profile()->min_immutable_import + sys_pages);
	if (!err)
		err = finish_bundle(&x);
	if (!err)
		err = finish_import(&x);
	if (err)
		return err;

	tdcs->epoch.td_epoch = 1;
	tdcs->total_mb_count = 1;
	WRITE_ONCE(tdcs->op_state, OP_MEMORY_IMPORT);
	return SIM_SUCCESS;
}

u64 tdx_sim_import_state_td(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_import x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9] },
		.bundle = MD_BUNDLE_TD,
	};
	struct sim_td td;
	u64 err;

	r[RCX] = 0;
	r[RDX] = 0;
	err = sim_get_td(c, RCX, SIM_EXCL, -1, &td);
	if (err)
		return err;
	err = mig_get_stream(c, &td, r[R10], false, &x.s);
	if (err)
		return err;
	if (!mig_stream_ready(&x.s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;

	x.td = &td;
	if (!(r[R10] & MIGS_COMMAND)) {
		x.s.ctx->intr.valid = false;
		err = begin_bundle(&x, MB_TD_STATE, ~0ULL);
		if (err)
			return mig_fail_import(&td, err);
	} else {
		if (!x.s.ctx->intr.valid)
			return SIM_INVALID_RESUMPTION;
		err = resume_bundle(&x);
		if (err)
			return err;
	}

	err = import_pages(&x, MIN_TD_PAGES);
	if (!err)
		err = finish_bundle(&x);
	if (!err)
		err = finish_import(&x);
	if (err)
		return err;

	sim_atomic_inc64(&td.tdcs->total_mb_count);
	WRITE_ONCE(td.tdcs->op_state, OP_STATE_IMPORT);
	return SIM_SUCCESS;
}

static u64 begin_vp(struct state_import *x)
{
	struct tdvps *vps = x->vp->vps;
	u64 err;

	if (!mig_stream_ready(&x->s))
		mig_stream_init(&x->s, x->td->tdcs->mig_dec_working_key);
	x->s.ctx->intr.valid = false;

	if (vps->state != VCPU_UNINITIALIZED)
		return mig_fail_import(x->td, SIM_VCPU_STATE_INCORRECT);
	err = begin_bundle(x, MB_VP_STATE, MBMD_VP_RESERVED);
	if (!err)
		err = sim_associate_vp(x->vp);
	if (err)
		return mig_fail_import(x->td, err);
	md_init_imported_vp(x->vp);
	return SIM_SUCCESS;
}

static u64 resume_vp(struct state_import *x)
{
	struct tdvps *vps = x->vp->vps;
	u64 err;

	if (!x->s.ctx->intr.valid)
		return SIM_INVALID_RESUMPTION;
	err = resume_bundle(x);
	if (err)
		return err;
	if (vps->state != VCPU_IMPORT && vps->state != VCPU_DISABLED)
		return mig_fail_import(x->td, SIM_VCPU_STATE_INCORRECT);
	err = sim_associate_vp(x->vp);
	return err ? mig_fail_import(x->td, err) : SIM_SUCCESS;
}

u64 tdx_sim_import_state_vp(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct state_import x = {
		.c = c,
		.ops = { .leaf = c->leaf, .list_info = r[R9], .tdvpr_pa = r[RCX] },
		.bundle = MD_BUNDLE_VP,
	};
	struct tdcs *tdcs;
	struct sim_vp vp;
	u64 err;

	r[RCX] = 0;
	r[RDX] = 0;
	err = sim_get_vp(c, SIM_EXCL, &vp);
	if (err)
		return err;
	err = sim_check_td(c, &vp.td, SIM_SHARED);
	if (err)
		return err;
	tdcs = vp.td.tdcs;
	if (!sim_vp_complete(&vp))
		return SIM_TDCX_NUM_INCORRECT;
	err = mig_get_stream(c, &vp.td, r[R10], true, &x.s);
	if (err)
		return err;

	x.td = &vp.td;
	x.vp = &vp;
	err = r[R10] & MIGS_COMMAND ? resume_vp(&x) : begin_vp(&x);
	if (err)
		return err;

	err = import_pages(&x, MIN_VP_PAGES);
	/* An import that is never resumed leaves a vCPU that cannot be used. */
	if (err == SIM_INTERRUPTED_RESUMABLE && vp.vps->state != VCPU_DISABLED)
		vp.vps->state = VCPU_IMPORT;
	if (!err)
		err = finish_bundle(&x);
	if (err)
		return err;

	if (sim_atomic_inc32(&tdcs->num_migrated_vcpus) > READ_ONCE(tdcs->num_vcpus))
		return mig_fail_import(&vp.td, SIM_ALL_VCPUS_IMPORTED);
	err = finish_import(&x);
	if (err)
		return err;
	if (vp.vps->state != VCPU_DISABLED)
		vp.vps->state = VCPU_READY;
	sim_atomic_inc64(&tdcs->total_mb_count);
	return SIM_SUCCESS;
}
