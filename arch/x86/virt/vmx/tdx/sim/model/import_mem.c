// SPDX-License-Identifier: GPL-2.0
/*
 * TDH.IMPORT.MEM: decrypt a memory bundle into pages of the TD.
 */
#include "mig.h"

/* R13 of a call without new pages: each buffer becomes the TD page. */
#define NO_NEW_PAGES		(~0ULL)

/* PAMT entry of an imported page. */
#define BEPOCH_IMPORTED		BIT_ULL(63)
#define BEPOCH_SESSION		GENMASK_ULL(62, 32)
#define BEPOCH_MIG_EPOCH	GENMASK_ULL(31, 0)

struct import_mem {
	struct sim_call *c;
	struct sim_td td;
	struct mig_stream s;
	struct gpa_list list;
	u64 *buffers;
	u64 *new_pages;			/* NULL for import in place */
	u8 *mac[2];
	/* Sampled once, so that one call treats all its entries alike. */
	u32 op_state;
	u32 problems;
	u64 bytes;
};

/* One entry of the lists, read once. */
struct import_entry {
	unsigned int i;
	u64 gpa;
	u64 buffer;
	u64 new_page;
};

/* Why an entry is not imported, and what becomes of the session then. */
enum import_harm {
	HARM_NONE,		/* skipped on request */
	HARM_IN_ORDER,		/* ends it before the start token, then only skipped */
	HARM_ALWAYS,		/* ends it */
};

struct refusal {
	enum gpa_status status;	/* GPA_SUCCESS when the entry was imported */
	enum import_harm harm;
	u64 err;
};

static struct refusal imported(void)
{
	return (struct refusal) { .status = GPA_SUCCESS };
}

static struct refusal refuse_in_order(enum gpa_status status, u64 err)
{
	return (struct refusal) { status, HARM_IN_ORDER, err };
}

static struct refusal refuse(enum gpa_status status, u64 err)
{
	return (struct refusal) { status, HARM_ALWAYS, err };
}

static struct refusal refuse_state(void)
{
	return refuse(GPA_ENTRY_STATE_INCORRECT,
		      SIM_EPT_ENTRY_STATE_INCORRECT | OPND_GPA_LIST_ENTRY);
}

static struct refusal refuse_malformed(void)
{
	return refuse(GPA_ENTRY_INVALID, SIM_OPERAND_INVALID | OPND_GPA_LIST_ENTRY);
}

/* A GPA changes at most once in an epoch, whatever the order of its bundles. */
static struct refusal refuse_epoch(void)
{
	return refuse(GPA_MIGRATED_IN_CURRENT_EPOCH,
		      SIM_MIGRATED_IN_CURRENT_EPOCH | OPND_GPA_LIST_ENTRY);
}

static struct refusal check_mac(struct import_mem *m, struct import_entry *e)
{
	if (!sim_gcm_verify(&m->s.ctx->gcm, mig_page_mac(m->mac, e->i)))
		return refuse(GPA_INVALID_PAGE_MAC, SIM_INVALID_PAGE_MAC | OPND_GPA_LIST_ENTRY);
	return imported();
}

/* The ciphertext is fetched once: the host may change it at any time. */
static void decrypt_page(struct import_mem *m, u8 *page, const u8 *src)
{
	if (page != src)
		memcpy(page, src, SIM_PAGE_SIZE);
	sim_gcm_decrypt(&m->s.ctx->gcm, page, page, SIM_PAGE_SIZE);
	m->bytes += SIM_PAGE_SIZE;
}

/* Lock the page that a MIGRATE fills: a new one, or the buffer itself. */
static struct refusal get_new_page(struct import_mem *m, struct import_entry *e, u64 *hpa,
				   struct pamt_entry **pamt)
{
	u64 err;

	if (!m->new_pages || (e->new_page & PAGE_ENTRY_INVALID)) {
		if (e->buffer & PAGE_ENTRY_INVALID)
			return refuse(GPA_MIG_BUFFER_NOT_AVAILABLE,
				      SIM_OPERAND_INVALID | OPND_MIG_BUFF_LIST_ENTRY);
		*hpa = e->buffer ^ ((u64)sim_hkid(e->buffer) << sim_module.platform.hkid_shift);
	} else {
		*hpa = e->new_page;
		err = sim_check_hpa(*hpa, 0, OPND_NEW_PAGE_LIST_ENTRY);
		if (err)
			return refuse(GPA_NEW_PAGE_NOT_AVAILABLE, err);
	}

	err = sim_get_free_page(m->c, *hpa, OPND_NEW_PAGE_LIST_ENTRY, pamt);
	if (err)
		return refuse_in_order(GPA_NEW_PAGE_NOT_AVAILABLE, err);
	return imported();
}

static struct refusal migrate(struct import_mem *m, struct import_entry *e,
			      struct sept_walk *w, const u8 *src)
{
	bool pending = e->gpa & GPAE_PENDING;
	struct tdcs *tdcs = m->td.tdcs;
	enum sept_state state = sept_state(w->entry);
	struct pamt_entry *pamt;
	struct refusal r;
	u8 *page;
	u64 hpa;

	if (state != SEPT_FREE && state != SEPT_REMOVED)
		return refuse_in_order(GPA_ENTRY_STATE_INCORRECT,
				       SIM_EPT_ENTRY_STATE_INCORRECT | OPND_GPA_LIST_ENTRY);
	if (state == SEPT_REMOVED && (w->entry & SEPT_REMOVED_VALID) &&
	    FIELD_GET(SEPT_REMOVED_EPOCH, w->entry) >= tdcs->mig_epoch)
		return refuse(GPA_IMPORT_OVER_REMOVED,
			      SIM_DISALLOWED_IMPORT_OVER_REMOVED | OPND_GPA_LIST_ENTRY);

	r = get_new_page(m, e, &hpa, &pamt);
	if (r.status)
		return r;

	page = sim_ptr(hpa);
	sim_cache_take(hpa, 0, m->td.tdr->hkid);
	if (!pending)
		decrypt_page(m, page, src);
	r = check_mac(m, e);
	if (r.status) {
		/*
		 * The page stays with the host, which must not see a plaintext.  What
		 * was decrypted into it is in the cache.
		 */
		if (!pending) {
			memset(page, 0, SIM_PAGE_SIZE);
			sim_cache_leave(hpa, 0, m->td.tdr->hkid, m->c->leaf);
		}
		return r;
	}

	sim_atomic_inc64(&m->td.tdr->chldcnt);
	sim_pamt_assign(pamt, PT_REG, m->td.tdr_pa);
	pamt->bepoch = BEPOCH_IMPORTED | FIELD_PREP(BEPOCH_SESSION, tdcs->export_count) |
		       FIELD_PREP(BEPOCH_MIG_EPOCH, tdcs->mig_epoch);
	sept_set(w, pending ? SEPT_PENDING : SEPT_MAPPED, hpa);
	return imported();
}

static struct refusal remigrate(struct import_mem *m, struct import_entry *e,
				struct sept_walk *w, const u8 *src)
{
	u64 hpa = sept_hpa(w->entry);
	enum sept_state state = sept_state(w->entry);
	bool pending = e->gpa & GPAE_PENDING;
	struct tdcs *tdcs = m->td.tdcs;
	struct pamt_entry *pamt;
	struct refusal r;

	if (state != SEPT_MAPPED && state != SEPT_PENDING)
		return refuse_state();
	pamt = sim_pamt(hpa);
	if (FIELD_GET(BEPOCH_MIG_EPOCH, pamt->bepoch) >= tdcs->mig_epoch)
		return refuse_epoch();

	if (!pending)
		decrypt_page(m, sim_ptr(hpa), src);
	else if (state != SEPT_PENDING)
		return refuse(GPA_ENTRY_STATE_INCORRECT, SIM_IMPORT_MISMATCH | OPND_GPA_LIST_ENTRY);
	r = check_mac(m, e);
	if (r.status)
		return r;

	sept_set(w, pending ? SEPT_PENDING : SEPT_MAPPED, hpa);
	FIELD_MODIFY(BEPOCH_MIG_EPOCH, &pamt->bepoch, tdcs->mig_epoch);
	return imported();
}

static struct refusal cancel(struct import_mem *m, struct import_entry *e, struct sept_walk *w)
{
	enum sept_state state = sept_state(w->entry);
	struct tdcs *tdcs = m->td.tdcs;
	struct pamt_entry *pamt;
	struct refusal r;
	u64 hpa;

	if (state != SEPT_MAPPED && state != SEPT_PENDING)
		return refuse_state();
	r = check_mac(m, e);
	if (r.status)
		return r;

	pamt = sim_pamt(sept_hpa(w->entry));
	if (!sim_trylock(&pamt->lock, SIM_EXCL))
		return refuse(GPA_TD_PAGE_BUSY, SIM_OPERAND_BUSY | OPND_GPA_LIST_ENTRY);
	if (FIELD_GET(BEPOCH_MIG_EPOCH, pamt->bepoch) >= tdcs->mig_epoch) {
		r = refuse_epoch();
	} else {
		hpa = sept_hpa(w->entry);
		sept_set_free(w, tdcs);
		sim_atomic_dec64(&m->td.tdr->chldcnt);
		sim_pamt_free(pamt);
		if (state == SEPT_MAPPED)
			sim_cache_leave(hpa, 0, m->td.tdr->hkid, m->c->leaf);
	}
	sim_unlock(&pamt->lock, SIM_EXCL);
	return r;
}

static struct refusal import_locked(struct import_mem *m, struct import_entry *e,
				    struct sept_walk *w)
{
	enum gpa_op op = gpa_entry_op(e->gpa);
	void *src = NULL;
	u64 err;

	if (!sept_state_allows(LEAF_IMPORT_MEM, sept_state(w->entry)))
		return refuse_in_order(GPA_ENTRY_STATE_INCORRECT,
				       SIM_EPT_ENTRY_STATE_INCORRECT | OPND_GPA_LIST_ENTRY);
	if (op != GPA_MIGRATE && !mig_in_order_import(m->op_state))
		return refuse(GPA_OP_STATE_INCORRECT, SIM_OP_STATE_INCORRECT);

	if (op != GPA_CANCEL && !(e->gpa & GPAE_PENDING)) {
		if (e->buffer & PAGE_ENTRY_INVALID)
			err = SIM_OPERAND_INVALID | OPND_MIG_BUFF_LIST_ENTRY;
		else
			err = mig_map_shared_page(e->buffer & PAGE_ENTRY_HPA,
						  OPND_MIG_BUFF_LIST_ENTRY, &src);
		if (err)
			return refuse(GPA_MIG_BUFFER_NOT_AVAILABLE, err);
	}

	switch (op) {
	case GPA_MIGRATE:
		return migrate(m, e, w, src);
	case GPA_REMIGRATE:
		return remigrate(m, e, w, src);
	default:
		return cancel(m, e, w);
	}
}

static struct refusal import_entry(struct import_mem *m, struct import_entry *e)
{
	unsigned int mark = m->c->nr_held;
	struct sept_walk w;
	struct refusal r;

	mig_gcm_begin(&m->s, ++m->s.ctx->iv_counter);
	sim_gcm_auth(&m->s.ctx->gcm, &e->gpa, sizeof(e->gpa));

	if (gpa_entry_op(e->gpa) == GPA_NOP) {
		r = check_mac(m, e);
		if (r.status)
			return r;
		if (!gpa_entry_well_formed(e->gpa))
			return refuse_malformed();
		return (struct refusal) { GPA_SKIPPED, HARM_NONE, SIM_SUCCESS };
	}
	if (!gpa_entry_valid(&m->td, e->gpa))
		return refuse_malformed();

	switch (gpa_entry_walk(&m->td, e->gpa, &w)) {
	case GPA_SUCCESS:
		break;
	case GPA_ENTRY_BUSY:
		return refuse_in_order(GPA_ENTRY_BUSY, SIM_OPERAND_BUSY | OPND_GPA_LIST_ENTRY);
	default:
		return refuse_in_order(GPA_WALK_FAILED, SIM_EPT_WALK_FAILED | OPND_GPA_LIST_ENTRY);
	}

	r = import_locked(m, e, &w);
	sept_unlock(&w);
	sim_release_to(m->c, mark);
	return r;
}

/* A TD that runs already keeps running; only its import is over. */
static u64 abort_import(struct import_mem *m, u64 err)
{
	if (m->op_state == OP_LIVE_IMPORT) {
		WRITE_ONCE(m->td.tdcs->op_state, OP_RUNNABLE);
		return err;
	}
	return mig_fail_import(&m->td, err);
}

static u64 import_one(struct import_mem *m, unsigned int i)
{
	struct import_entry e = {
		.i = i,
		.gpa = READ_ONCE(m->list.entries[i]),
		.buffer = READ_ONCE(m->buffers[i]),
		.new_page = m->new_pages ? READ_ONCE(m->new_pages[i]) : PAGE_ENTRY_INVALID,
	};
	struct refusal r = import_entry(m, &e);

	if (!r.status)
		return SIM_SUCCESS;

	WRITE_ONCE(m->list.entries[i], gpa_entry_refuse(e.gpa, r.status));
	if (m->new_pages)
		WRITE_ONCE(m->new_pages[i], e.new_page | PAGE_ENTRY_INVALID);
	if (r.harm == HARM_NONE)
		return SIM_SUCCESS;
	if (r.harm == HARM_ALWAYS || mig_in_order_import(m->op_state))
		return abort_import(m, r.err);
	m->problems++;
	return SIM_SUCCESS;
}

static struct migsc_operands operands(struct sim_call *c, struct import_mem *m, u64 list_info)
{
	u64 *r = c->regs->r;

	return (struct migsc_operands) {
		.leaf = c->leaf,
		.mig_epoch = m->td.tdcs->mig_epoch,
		.list_info = list_info,
		.buf_list_hpa = r[R9],
		.mac_hpa = { r[R11], r[R12] },
		.new_list_hpa = r[R13],
	};
}

static void interrupt_bundle(struct sim_call *c, struct import_mem *m, unsigned int next)
{
	struct migsc_operands ops = operands(c, m, gpa_list_info(m->list.info, next));

	mig_interrupt(&m->s, &ops);
}

static u64 import_list(struct sim_call *c, struct import_mem *m, unsigned int *next)
{
	unsigned int i;
	u64 err;

	for (i = m->list.first; i <= m->list.last; i++) {
		/* Give way, also without any progress. */
		if (tdx_sim_host_call_waiting()) {
			interrupt_bundle(c, m, i);
			return SIM_INTERRUPTED_BUSY;
		}
		err = import_one(m, i);
		if (err)
			return err;

		*next = i + 1;
		if (i < m->list.last && tdx_sim_host_interrupt_pending()) {
			interrupt_bundle(c, m, *next);
			return SIM_INTERRUPTED_RESUMABLE;
		}
	}
	return SIM_SUCCESS;
}

static bool header_good(struct import_mem *m, const struct sim_mbmd *mbmd)
{
	struct tdcs *tdcs = m->td.tdcs;

	if (!mbmd_plausible(mbmd, tdcs, MB_MEM, m->s.index) ||
	    mbmd->mig_epoch != tdcs->mig_epoch ||
	    mbmd->info != FIELD_PREP(MBMD_NUM_GPAS, m->list.last + 1))
		return false;

	/* The bundles of a stream come in order only before the start token. */
	if (mig_in_order_import(m->op_state))
		return mbmd->mb_counter == m->s.ctx->expected_mb_counter;
	return mbmd->mig_epoch == MIG_EPOCH_OUT_OF_ORDER;
}

/* Nothing is lost by a bad header: the right bundle can still come. */
static u64 begin_bundle(struct import_mem *m, const struct sim_mbmd *host)
{
	struct sim_mbmd mbmd;

	mbmd_read(&mbmd, host);
	if (m->list.first)
		return SIM_OPERAND_INVALID | RCX;
	if (!mig_stream_ready(&m->s))
		mig_stream_init(&m->s, m->td.tdcs->mig_dec_working_key);
	m->s.ctx->intr.valid = false;

	if (!header_good(m, &mbmd))
		return SIM_INVALID_MBMD;
	if (!mbmd_verify(&m->s, &mbmd))
		return SIM_INCORRECT_MBMD_MAC;

	m->s.ctx->iv_counter = mbmd.iv_counter;
	m->s.ctx->expected_mb_counter++;
	return SIM_SUCCESS;
}

static u64 resume_bundle(struct sim_call *c, struct import_mem *m)
{
	struct migsc_operands ops = operands(c, m, m->list.info);

	if (!mig_stream_ready(&m->s))
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;
	return mig_resume(&m->s, &ops);
}

u64 tdx_sim_import_mem(struct sim_call *c)
{
	u64 *r = c->regs->r;
	struct import_mem m = { .c = c };
	struct sim_mbmd *mbmd;
	unsigned int next;
	u64 err;

	err = sim_get_td(c, RDX, SIM_SHARED, SIM_SHARED, &m.td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &m.td.tdcs->mig_lock, SIM_SHARED, OPND_MIG);
	if (err)
		return err;
	err = mig_get_stream(c, &m.td, r[R10], true, &m.s);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &m.td.tdcs->sept_tree_lock, SIM_SHARED, OPND_SEPT_TREE);
	if (err)
		return err;
	err = gpa_list_open(r[RCX], &m.list);
	if (err)
		return err;
	err = mig_map_shared_page(r[R9], R9, (void **)&m.buffers);
	if (err)
		return err;
	err = mig_map_mac_lists(c, &m.list, m.mac);
	if (err)
		return err;
	if (r[R13] != NO_NEW_PAGES) {
		err = mig_map_shared_page(r[R13], R13, (void **)&m.new_pages);
		if (err)
			return err;
	}
	err = mbmd_operand(r[R8], &mbmd);
	if (err)
		return err;

	m.op_state = READ_ONCE(m.td.tdcs->op_state);
	err = r[R10] & MIGS_COMMAND ? resume_bundle(c, &m) : begin_bundle(&m, mbmd);
	if (err)
		return err;

	next = m.list.first;
	err = import_list(c, &m, &next);
	r[RCX] = gpa_list_info(m.list.info, next);
	sim_atomic_add64(&m.td.cpuid->bytes_imported, m.bytes);
	if (err)
		return err;

	sim_atomic_inc64(&m.td.tdcs->total_mb_count);
	return SIM_SUCCESS | m.problems;
}
