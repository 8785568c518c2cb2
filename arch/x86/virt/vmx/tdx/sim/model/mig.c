// SPDX-License-Identifier: GPL-2.0
/*
 * Migration streams and sessions: TDH.MIG.STREAM.CREATE, the stream operand,
 * stream contexts, the key latch at the start of a session, and what an
 * interrupted leaf leaves for its RESUME.
 */
#include "mig.h"

/* As many as fit the bitmaps of LPs in the module state. */
#define MIG_MAX_LPS	64

/* Nonce of a bundle or page. */
struct mig_iv {
	u64 counter;
	u16 index;
	u16 reserved;
} __packed;
static_assert(sizeof(struct mig_iv) == 12);

/* Link 0 is the backward stream, then the forward streams follow. */
#define BACKWARD_LINK		0
#define FORWARD_LINK(index)	((index) + 1)

u64 tdx_sim_mig_stream_create(struct sim_call *c)
{
	u64 hpa = c->regs->r[RCX];
	struct pamt_entry *pamt;
	struct sim_td td;
	void *page;
	u64 err;

	err = sim_get_td(c, RDX, SIM_SHARED, SIM_EXCL, &td);
	if (err)
		return err;
	err = sim_hold_or_busy(c, &td.tdcs->mig_lock, SIM_EXCL, OPND_MIG);
	if (err)
		return err;
	if (td.tdcs->num_migs >= SIM_MAX_MIGS)
		return SIM_MAX_MIGS_NUM_EXCEEDED;
	err = sim_get_free_page(c, hpa, RCX, &pamt);
	if (err)
		return err;
	page = sim_ptr(hpa);
	if (!page)
		return SIM_OPERAND_INVALID | RCX;

	memset(page, 0, SIM_PAGE_SIZE);
	sim_atomic_inc64(&td.tdr->chldcnt);
	sim_cache_take(hpa, 0, td.tdr->hkid);
	sim_pamt_assign(pamt, PT_TDCX, td.tdr_pa);
	td.migsc_links[td.tdcs->num_migs] = hpa;
	td.tdcs->num_migs++;
	return SIM_SUCCESS;
}

static u64 lock_stream(struct sim_call *c, struct sim_td *td, unsigned int link,
		       struct mig_stream *s)
{
	u64 *ptr = &td->migsc_links[link];
	u64 old = READ_ONCE(*ptr);

	if ((old & MIGSC_LINK_LOCK) || sim_cmpxchg64(ptr, old, old | MIGSC_LINK_LOCK) != old)
		return SIM_OPERAND_BUSY | OPND_MIGSC;
	c->held_link = ptr;

	s->link = ptr;
	s->ctx = sim_ptr(old & SIM_HPA_PAGE_MASK);
	if (!s->ctx)
		return SIM_MIGRATION_STREAM_STATE_INCORRECT;
	return SIM_SUCCESS;
}

u64 mig_get_stream(struct sim_call *c, struct sim_td *td, u64 r10, bool any,
		   struct mig_stream *s)
{
	s->index = r10 & MIGS_INDEX;
	if ((r10 & MIGS_RESERVED) || FORWARD_LINK(s->index) >= td->tdcs->num_migs)
		return SIM_OPERAND_INVALID | R10;
	if (s->index && !any)
		return SIM_OPERAND_INVALID | R10;

	return lock_stream(c, td, FORWARD_LINK(s->index), s);
}

u64 mig_get_backward_stream(struct sim_call *c, struct sim_td *td, struct mig_stream *s)
{
	s->index = 0;
	return lock_stream(c, td, BACKWARD_LINK, s);
}

bool mig_stream_ready(const struct mig_stream *s)
{
	return READ_ONCE(*s->link) & MIGSC_LINK_INIT;
}

void mig_stream_init(struct mig_stream *s, const u64 key[4])
{
	struct migsc *ctx = s->ctx;

	ctx->iv_counter = 0;
	ctx->next_mb_counter = 0;
	ctx->expected_mb_counter = 0;
	ctx->intr.valid = false;
	sim_gcm_set_key(&ctx->gcm, (const u8 *)key);
	sim_atomic_or64(s->link, MIGSC_LINK_INIT);
}

bool mig_import_begun(const struct sim_td *td)
{
	return READ_ONCE(td->migsc_links[FORWARD_LINK(0)]) & MIGSC_LINK_INIT;
}

void mig_reset_streams(struct sim_td *td)
{
	unsigned int i;

	for (i = 0; i < td->tdcs->num_migs; i++) {
		u64 *link = &td->migsc_links[i];
		struct migsc *ctx = sim_ptr(READ_ONCE(*link) & SIM_HPA_PAGE_MASK);

		if (!(READ_ONCE(*link) & MIGSC_LINK_INIT) || !ctx)
			continue;
		ctx->intr.valid = false;
		sim_gcm_drop(&ctx->gcm);
		sim_atomic_andnot64(link, MIGSC_LINK_INIT);
	}
}

void mig_gcm_begin(struct mig_stream *s, u64 iv_counter)
{
	struct mig_iv iv = {
		.counter = iv_counter,
		.index = s->index,
	};

	sim_gcm_init(&s->ctx->gcm, (const u8 *)&iv);
}

/*
 * MIG_DEC_KEY_SET is the ticket for one session: it is used up even if the
 * session then fails to start.  Only want of entropy leaves it.
 */
u64 mig_start_session(struct sim_td *td, struct mig_stream *s, const u64 *key)
{
	struct tdcs *tdcs = td->tdcs;
	u64 next_key[4];

	if (!tdcs->mig_dec_key_set)
		return SIM_MIGRATION_DECRYPTION_KEY_NOT_SET;
	if (!tdx_sim_host_random(next_key, sizeof(next_key)))
		return SIM_RND_NO_ENTROPY;

	memcpy(tdcs->mig_enc_working_key, tdcs->mig_enc_key, sizeof(tdcs->mig_enc_key));
	memcpy(tdcs->mig_enc_key, next_key, sizeof(next_key));
	memzero_explicit(next_key, sizeof(next_key));
	memcpy(tdcs->mig_dec_working_key, tdcs->mig_dec_key, sizeof(tdcs->mig_dec_key));
	tdcs->mig_dec_key_set = 0;
	tdcs->mig_working_version = tdcs->mig_version;
	tdcs->mig_epoch = 0;
	tdcs->total_mb_count = 0;

	mig_reset_streams(td);
	mig_stream_init(s, key);
	return SIM_SUCCESS;
}

bool mig_in_order_export(u32 op_state)
{
	return op_state == OP_LIVE_EXPORT || op_state == OP_PAUSED_EXPORT;
}

bool mig_in_order_import(u32 op_state)
{
	return op_state == OP_MEMORY_IMPORT || op_state == OP_STATE_IMPORT;
}

void mig_interrupt(struct mig_stream *s, const struct migsc_operands *ops)
{
	s->ctx->intr = (struct migsc_intr) {
		.valid = true,
		.ops = *ops,
	};
}

static bool same_operands(const struct migsc_operands *a, const struct migsc_operands *b)
{
	return a->leaf == b->leaf &&
	       a->mig_epoch == b->mig_epoch &&
	       a->list_info == b->list_info &&
	       a->buf_list_hpa == b->buf_list_hpa &&
	       a->mac_hpa[0] == b->mac_hpa[0] &&
	       a->mac_hpa[1] == b->mac_hpa[1] &&
	       a->new_list_hpa == b->new_list_hpa &&
	       a->tdvpr_pa == b->tdvpr_pa;
}

u64 mig_resume(struct mig_stream *s, const struct migsc_operands *ops)
{
	struct migsc_intr *intr = &s->ctx->intr;

	if (!intr->valid)
		return SIM_INVALID_RESUMPTION;
	intr->valid = false;
	return same_operands(&intr->ops, ops) ? SIM_SUCCESS : SIM_INVALID_RESUMPTION;
}

u64 mig_fail_import(struct sim_td *td, u64 err)
{
	WRITE_ONCE(td->tdcs->op_state, OP_FAILED_IMPORT);
	return err | SIM_FATAL;
}

/* Like the module's own memory of an LP; a leaf does not leave its LP. */
u8 *mig_scratch_page(void)
{
	static u8 scratch[MIG_MAX_LPS][SIM_PAGE_SIZE] __aligned(SIM_PAGE_SIZE);

	return scratch[tdx_sim_host_lp() % MIG_MAX_LPS];
}
