// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the live migration of TDs: which pages a stream may send in an epoch,
 * and which ones are exported.
 */
#include "tdx_mig_gpa_list.h"
#include "tdx_mig_kunit.h"

#define GFN(_nr)	(FAKE_TD_GFN + (_nr))
#define MIGRATE(_nr)	tdx_mig_gpa_entry(GFN(_nr), TDX_MIG_GPA_OP_MIGRATE)
#define CANCEL(_nr)	tdx_mig_gpa_entry(GFN(_nr), TDX_MIG_GPA_OP_CANCEL)
#define NOP(_nr)	tdx_mig_gpa_entry(GFN(_nr), TDX_MIG_GPA_OP_NOP)

/* GFNs whose bits share a page. */
#define CHUNK		0x8000

struct epoch {
	struct fake_td *td;
	struct tdx_mig *mig;
	struct tdx_mig_stream *streams[2];
};

static int epoch_init(struct kunit *test)
{
	struct epoch *e = kunit_kzalloc(test, sizeof(*e), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, e);

	e->td = fake_td_create(test);
	e->mig = &e->td->mig;
	e->mig->phase = TDX_MIG_LIVE_EXPORT;
	for (i = 0; i < ARRAY_SIZE(e->streams); i++)
		e->streams[i] = fake_stream_create(test, e->td, i, 1);
	test->priv = e;

	return 0;
}

/* Let a stream claim @nr entries, and return the bitmap of those it may export. */
static unsigned long claim(struct kunit *test, struct tdx_mig_stream *stream,
			   const u64 *entries, unsigned int nr)
{
	unsigned long exported = 0;
	unsigned int i;
	int r;

	memcpy(stream->entries, entries, nr * sizeof(u64));

	scoped_guard(mutex, &stream->lock) {
		guard(rwsem_read)(&to_kvm_tdx(stream->kvm)->mig->session_sem);
		guard(srcu)(&stream->kvm->srcu);
		r = tdx_mig_claim_entries(stream, nr);
	}
	KUNIT_EXPECT_EQ(test, r, 0);

	for (i = 0; i < nr; i++) {
		if (tdx_mig_gpa_op(stream->entries[i]) != TDX_MIG_GPA_OP_NOP)
			__set_bit(i, &exported);
	}

	return exported;
}

static bool claim_one(struct kunit *test, struct tdx_mig_stream *stream, u64 entry)
{
	return claim(test, stream, &entry, 1);
}

static unsigned int settle(struct tdx_mig_stream *stream, unsigned int first, unsigned int end)
{
	guard(rwsem_read)(&to_kvm_tdx(stream->kvm)->mig->session_sem);
	guard(write_lock)(&stream->kvm->mmu_lock);

	return tdx_mig_settle_entries(stream, first, end);
}

static void unclaim(struct tdx_mig_stream *stream, unsigned int nr)
{
	guard(rwsem_read)(&to_kvm_tdx(stream->kvm)->mig->session_sem);

	tdx_mig_unclaim_entries(stream, nr);
}

static void begin_epoch(struct tdx_mig *mig)
{
	guard(rwsem_write)(&mig->session_sem);

	tdx_mig_begin_epoch(mig);
}

static bool is_exported(struct tdx_mig *mig, gfn_t start, gfn_t end)
{
	guard(rwsem_write)(&mig->convert_sem);

	return tdx_mig_is_range_exported(mig, start, end);
}

static void a_page_is_claimed_once(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1), NOP(2), MIGRATE(0) | 4, MIGRATE(3) };
	struct epoch *e = test->priv;
	struct tdx_mig_stream *stream = e->streams[0];

	KUNIT_EXPECT_EQ(test, claim(test, stream, entries, 5), 0x13);
	KUNIT_EXPECT_EQ(test, stream->wanted[0], 0x1b);
	KUNIT_EXPECT_EQ(test, stream->claimed[0], 0x13);
	KUNIT_EXPECT_EQ(test, stream->canceled[0], 0);
	KUNIT_EXPECT_EQ(test, stream->entries[0], MIGRATE(0));
	/* Nothing is left of an entry but the GFN. */
	KUNIT_EXPECT_EQ(test, stream->entries[3], NOP(0));

	/* A NOP claims nothing. */
	KUNIT_EXPECT_FALSE(test, claim_one(test, stream, MIGRATE(3)));
	KUNIT_EXPECT_TRUE(test, claim_one(test, stream, MIGRATE(2)));
}

static void streams_share_the_claims(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 2), 0x2);
	KUNIT_EXPECT_FALSE(test, claim_one(test, e->streams[0], MIGRATE(1)));
}

static void cancel_is_a_version_of_a_page(struct kunit *test)
{
	const u64 entries[] = { CANCEL(0), MIGRATE(0), MIGRATE(1), CANCEL(1) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 4), 0x5);
	KUNIT_EXPECT_EQ(test, e->streams[0]->wanted[0], 0xf);
	KUNIT_EXPECT_EQ(test, e->streams[0]->canceled[0], 0x9);
}

static void a_stream_gives_up_its_own_claims_alone(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 2), 0x2);

	unclaim(e->streams[1], 2);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 2), 0x2);

	unclaim(e->streams[0], 1);
	unclaim(e->streams[1], 1);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 2), 0x1);
}

static void each_epoch_has_its_claims(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(CHUNK), MIGRATE(3 * CHUNK) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 3), 0x7);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 3), 0);
	begin_epoch(e->mig);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 3), 0x7);
}

/* The first stream to come must clear the claims of old, and no other one again. */
static void streams_share_the_claims_of_a_new_epoch(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1), MIGRATE(2) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 3), 0x7);
	begin_epoch(e->mig);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 1), 0x1);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 2), 0x2);
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 3), 0x4);
}

static void an_epoch_may_leave_out_a_chunk(struct kunit *test)
{
	struct epoch *e = test->priv;

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(CHUNK)));
	settle(e->streams[0], 0, 1);
	begin_epoch(e->mig);
	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
	begin_epoch(e->mig);
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(CHUNK), GFN(CHUNK + 1)));
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(1), GFN(CHUNK + 1)));
	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(CHUNK)));
	KUNIT_EXPECT_FALSE(test, claim_one(test, e->streams[1], MIGRATE(CHUNK)));
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(CHUNK), GFN(CHUNK + 1)));
}

static void a_list_may_go_to_and_fro_between_chunks(struct kunit *test)
{
	const u64 entries[] = {
		MIGRATE(CHUNK - 1), MIGRATE(CHUNK), MIGRATE(0), MIGRATE(-1), MIGRATE(CHUNK),
		MIGRATE(1), MIGRATE(CHUNK - 1),
	};
	struct epoch *e = test->priv;
	struct tdx_mig_stream *stream = e->streams[0];

	KUNIT_EXPECT_EQ(test, claim(test, stream, entries, 7), 0x27);
	unclaim(stream, 7);
	KUNIT_EXPECT_EQ(test, claim(test, stream, entries, 7), 0x27);
	KUNIT_EXPECT_EQ(test, settle(stream, 0, 7), 3);
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(CHUNK - 1), GFN(CHUNK)));
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(CHUNK), GFN(CHUNK + 1)));
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(1), GFN(2)));
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(2), GFN(CHUNK - 1)));
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(CHUNK + 1), GFN(2 * CHUNK)));
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 7), 0);
}

static void only_pages_of_slots_are_claimed(struct kunit *test)
{
	const u64 entries[] = {
		MIGRATE(-1), MIGRATE(0), MIGRATE(FAKE_TD_PAGES - 1), MIGRATE(FAKE_TD_PAGES),
	};
	struct epoch *e = test->priv;

	KUNIT_EXPECT_EQ(test, claim(test, e->streams[0], entries, 4), 0x6);
	KUNIT_EXPECT_EQ(test, e->streams[0]->wanted[0], 0xf);
	KUNIT_EXPECT_EQ(test, e->streams[0]->claimed[0], 0x6);

	/* A slot without guest_memfd has no private pages. */
	e->td->slot.flags = 0;
	KUNIT_EXPECT_FALSE(test, claim_one(test, e->streams[0], MIGRATE(CHUNK)));
}

static void claims_end_with_the_start_token(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(0), MIGRATE(-1) };
	struct epoch *e = test->priv;

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
	e->mig->phase = TDX_MIG_POST_EXPORT;
	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], entries, 3), 0x3);
	KUNIT_EXPECT_EQ(test, e->streams[1]->claimed[0], 0);
}

static void what_was_not_exported_is_free_again(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1), NOP(2), CANCEL(3), MIGRATE(4) };
	const u64 again[] = { MIGRATE(0), MIGRATE(1), MIGRATE(2), MIGRATE(3), MIGRATE(4) };
	struct epoch *e = test->priv;
	struct tdx_mig_stream *stream = e->streams[0];

	KUNIT_EXPECT_EQ(test, claim(test, stream, entries, 5), 0x1b);
	stream->entries[1] = tdx_mig_gpa_set_status(NOP(1), TDX_MIG_GPA_STATUS_SKIPPED);
	stream->entries[3] = tdx_mig_gpa_set_status(NOP(3), TDX_MIG_GPA_STATUS_SKIPPED);

	/* A leaf that was interrupted has processed a part of the list. */
	KUNIT_EXPECT_EQ(test, settle(stream, 0, 1), 0);
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(0), GFN(1)));
	KUNIT_EXPECT_EQ(test, settle(stream, 1, 5), 2);
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(4), GFN(5)));
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(1), GFN(4)));

	KUNIT_EXPECT_EQ(test, claim(test, e->streams[1], again, 5), 0xe);
}

/* The claim of another stream is no reason to give it up. */
static void what_was_not_claimed_stays_claimed(struct kunit *test)
{
	struct epoch *e = test->priv;

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
	KUNIT_EXPECT_FALSE(test, claim_one(test, e->streams[1], MIGRATE(0)));
	KUNIT_EXPECT_EQ(test, settle(e->streams[1], 0, 1), 1);
	KUNIT_EXPECT_FALSE(test, claim_one(test, e->streams[1], MIGRATE(0)));
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(0), GFN(1)));
}

static void cancel_revokes_an_export(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(0), MIGRATE(1) };
	struct epoch *e = test->priv;

	claim(test, e->streams[0], entries, 2);
	KUNIT_EXPECT_EQ(test, settle(e->streams[0], 0, 2), 0);
	begin_epoch(e->mig);
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(0), GFN(1)));

	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[1], CANCEL(0)));
	KUNIT_EXPECT_EQ(test, settle(e->streams[1], 0, 1), 0);
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(0), GFN(1)));
	KUNIT_EXPECT_TRUE(test, is_exported(e->mig, GFN(0), GFN(2)));
}

struct range_case {
	const char *name;
	gfn_t start;
	gfn_t end;
	bool exported;
};

/* Exported are the last page of the second chunk, and the first one of the fourth. */
static const struct range_case range_cases[] = {
	{ "the page", 2 * CHUNK - 1, 2 * CHUNK, true },
	{ "the page before", 2 * CHUNK - 2, 2 * CHUNK - 1, false },
	{ "the page after", 2 * CHUNK, 2 * CHUNK + 1, false },
	{ "all before", 0, 2 * CHUNK - 1, false },
	{ "all before and the page", 0, 2 * CHUNK, true },
	{ "its chunk", CHUNK, 2 * CHUNK, true },
	{ "the chunk between", 2 * CHUNK, 3 * CHUNK, false },
	{ "the chunk between and a page", 2 * CHUNK, 3 * CHUNK + 1, true },
	{ "the chunk between and a page before", 2 * CHUNK - 1, 3 * CHUNK, true },
	{ "all after", 3 * CHUNK + 1, FAKE_TD_PAGES, false },
	{ "all", 0, FAKE_TD_PAGES, true },
};

KUNIT_ARRAY_PARAM_DESC(range, range_cases, name);

static void a_range_is_exported_if_a_page_is(struct kunit *test)
{
	const u64 entries[] = { MIGRATE(2 * CHUNK - 1), MIGRATE(3 * CHUNK) };
	const struct range_case *c = test->param_value;
	struct epoch *e = test->priv;

	claim(test, e->streams[0], entries, 2);
	settle(e->streams[0], 0, 2);
	KUNIT_EXPECT_EQ(test, is_exported(e->mig, GFN(c->start), GFN(c->end)), c->exported);
}

static void pages_are_exported_while_there_is_a_session(struct kunit *test)
{
	const unsigned long exports = BIT(TDX_MIG_LIVE_EXPORT) | BIT(TDX_MIG_PAUSED_EXPORT) |
				      BIT(TDX_MIG_POST_EXPORT);
	struct epoch *e = test->priv;
	unsigned int phase;

	claim_one(test, e->streams[0], MIGRATE(0));
	settle(e->streams[0], 0, 1);
	for (phase = TDX_MIG_NONE; phase <= TDX_MIG_IMPORT_FAILED; phase++) {
		e->mig->phase = phase;
		KUNIT_EXPECT_EQ_MSG(test, is_exported(e->mig, GFN(0), GFN(1)),
				    test_bit(phase, &exports), "phase %u", phase);
	}

	e->mig->phase = TDX_MIG_LIVE_EXPORT;
	scoped_guard(rwsem_write, &e->mig->session_sem)
		tdx_mig_forget_sent(e->mig);
	KUNIT_EXPECT_FALSE(test, is_exported(e->mig, GFN(0), GFN(1)));
	KUNIT_EXPECT_TRUE(test, claim_one(test, e->streams[0], MIGRATE(0)));
}

static struct kunit_case epoch_cases[] = {
	KUNIT_CASE(a_page_is_claimed_once),
	KUNIT_CASE(streams_share_the_claims),
	KUNIT_CASE(cancel_is_a_version_of_a_page),
	KUNIT_CASE(a_stream_gives_up_its_own_claims_alone),
	KUNIT_CASE(each_epoch_has_its_claims),
	KUNIT_CASE(streams_share_the_claims_of_a_new_epoch),
	KUNIT_CASE(an_epoch_may_leave_out_a_chunk),
	KUNIT_CASE(a_list_may_go_to_and_fro_between_chunks),
	KUNIT_CASE(only_pages_of_slots_are_claimed),
	KUNIT_CASE(claims_end_with_the_start_token),
	KUNIT_CASE(what_was_not_exported_is_free_again),
	KUNIT_CASE(what_was_not_claimed_stays_claimed),
	KUNIT_CASE(cancel_revokes_an_export),
	KUNIT_CASE_PARAM(a_range_is_exported_if_a_page_is, range_gen_params),
	KUNIT_CASE(pages_are_exported_while_there_is_a_session),
	{}
};

static struct kunit_suite epoch_suite = {
	.name = "tdx_mig_epoch",
	.init = epoch_init,
	.test_cases = epoch_cases,
};

kunit_test_suite(epoch_suite);
