// SPDX-License-Identifier: GPL-2.0-only
/*
 * The peer lies.  A good migration is recorded, with all kinds of bundles and of list
 * entries, and replayed to destinations that hear one lie each time: a bit that is
 * turned, a count that does not fit, a bundle of another kind, stream or session, or
 * one that is repeated or comes too early.
 *
 * The destination refuses it with an errno that is documented for the command.  Either
 * the session goes on, and the next lie is told to the same TD; or it has ended, and
 * nothing but an abort token can be had from it.  Its guest does not run, and a page
 * that is not genuine is not part of the TD.  Few lies do not matter, see is_harmless()
 * and tell_bundle().  In the end the source runs on with its memory as it was, moves in
 * a session without lies, and nothing is left of the VMs.
 *
 * What the driver refuses by itself is tested bit by bit, with the errno of each, by
 * tdx_mig_bundle_bits_test, and so are all bits of an abort token.  Where it says why,
 * rather than whether, a bundle is refused, see tdx_mig_bundle_test.
 *
 * Usage: tdx_mig_dst_hostile_test [-n NUMBER [-s SEED]] [-t CASE]
 * Without -n, all lies of each kind are told, else so many, chosen at random.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_record.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* So many bits of each page are turned if all lies are told. */
#define NR_PAGE_SAMPLES		8

/* Times that a buffer changes while it is read, for each lie of a kind, and in all. */
#define NR_ROUNDS		4
#define NR_ALL_ROUNDS		256

/* Of private pages. */
#define PAGE_TYPE		"REG"

#define NR_MBMD_BITS		(8 * TDX_MIG_MBMD_SIZE)
#define NR_MAC_BITS		(8 * TD_MIG_MAC_SIZE)
#define NR_PAGE_BITS		(8 * PAGE_SIZE)

struct hostile {
	struct td_record r;
	/* The same bundles of an earlier session. */
	struct td_mig_bundle others[TD_RECORD_REST];
	/* The destination of the lies, and whether there is one. */
	struct td_mig_dest d;
	bool has_dest;
	/* The bundle in the place of which lies are told. */
	int at;
	/* The destination is committed to and has the rest of the memory then. */
	bool committed;
	/*
	 * Of the first destination of the session.  The source does not know the keys of
	 * those that follow.
	 */
	struct tdx_mig_mbmd token;
	bool has_token;
	/* Pages of all TDs when the destination waits for that bundle. */
	unsigned int nr_pages;
	unsigned int nr_refused, nr_ended, nr_taken;
};

static u64 seed;
/* Lies of a kind that are told in place of a bundle, 0 for all. */
static unsigned int nr_lies;

/* ------------------------------------------------------------- a destination */

/* A destination that waits for the bundle in question. */
static void begin(struct hostile *h)
{
	if (h->has_dest)
		return;

	td_mig_dest_create(&h->d, &h->r.m);
	h->has_dest = true;
	td_record_replay(&h->r, &h->d, 0, h->at - 1);
	if (!h->committed)
		return;

	td_record_replay(&h->r, &h->d, TD_RECORD_REST, h->r.m.nr_bundles - 1);
	td_mig_cmd(&h->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
}

static void drop_dest(struct hostile *h)
{
	if (h->has_dest)
		td_mig_dest_free(&h->d);
	h->has_dest = false;
}

/* The destination gives up. */
static void take_token(struct hostile *h)
{
	struct td_mig_stream *s = &h->d.streams[0];

	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_ABORT);
	TEST_ASSERT_EQ(s->mbmd->mb_type, TDX_MIG_MBMD_TYPE_ABORT_TOKEN);
	if (!h->has_token)
		h->token = *s->mbmd;
	h->has_token = true;
}

/* The rest arrives, bundle @first and what follows, and the TD finds all its memory. */
static void finish(struct hostile *h, int first)
{
	td_record_replay(&h->r, &h->d, first, h->r.m.nr_bundles - 1);
	td_mig_import_end(&h->d);
	td_record_check(&h->r, h->d.vcpus[0]);
	drop_dest(h);
}

static const struct td_mig_bundle *good_bundle(struct hostile *h)
{
	return &h->r.m.bundles[h->at];
}

/* ------------------------------------------------------------------- lies */

/* A bundle that is not what it was, and what is told about it. */
struct lie {
	const char *kind;
	u64 variant;
	struct td_mig_bundle b;
	u64 nr;
	/* The entry of a list that is concerned, -1 if it is the bundle as a whole. */
	int entry;
};

enum verdict {
	/* Refused, and the session goes on. */
	REFUSED		= BIT(0),
	/* Refused, and the session is over. */
	OVER		= BIT(1),
	TAKEN		= BIT(2),
};

struct kind {
	const char *name;
	/* How many lies of the kind there are, which may depend on the bundle. */
	u64 nr;
	u64 (*count)(struct hostile *h, const struct td_mig_bundle *b);
	/* Tell one of them.  Returns all verdicts that there can be. */
	unsigned int (*tell)(struct hostile *h, struct lie *lie);
};

static bool is_mem(const struct td_mig_bundle *b)
{
	return b->import_cmd == KVM_TDX_MIG_IMPORT_MEM;
}

static void flip(void *p, u64 bit)
{
	((u8 *)p)[bit / 8] ^= BIT(bit % 8);
}

/* The page of an entry that comes late is there already. */
static bool is_there(struct hostile *h, u64 entry)
{
	return h->at == TD_RECORD_LATE &&
	       td_record_has_page(&h->r, td_gpa_entry_gpa(entry), h->committed);
}

/*
 * Bits that can be turned without any harm, in an entry of a list, its MAC or its page:
 *
 *  - The page was sent late, but the destination has it.  Whatever comes is skipped,
 *    as long as it still names a page that is there.
 *  - The page of an entry without content.  It is not part of the bundle.
 *
 * What the buffers have beyond the bundle is not part of it either, see td_record_import().
 */
static bool is_harmless(struct hostile *h, u64 entry, bool is_page)
{
	if (td_gpa_entry_op(entry) == TDX_MIG_GPA_OP_MIGRATE && is_there(h, entry))
		return true;
	return is_page && !td_gpa_entry_has_content(entry);
}

static unsigned int tell_header(struct hostile *h, struct lie *lie)
{
	flip(&lie->b.mbmd, lie->variant);
	if (is_mem(&lie->b))
		return REFUSED;

	switch (lie->variant / 8) {
	case offsetof(struct tdx_mig_mbmd, size) ... offsetof(struct tdx_mig_mbmd, size) + 1:
	case offsetof(struct tdx_mig_mbmd, migs_index) ...
	     offsetof(struct tdx_mig_mbmd, migs_index) + 1:
	case offsetof(struct tdx_mig_mbmd, mb_type):
		return REFUSED;
	default:
		return OVER;
	}
}

static u64 count_entries(struct hostile *h, const struct td_mig_bundle *b)
{
	return is_mem(b) ? 64 * b->nr : 0;
}

static unsigned int tell_entry(struct hostile *h, struct lie *lie)
{
	lie->entry = lie->variant / 64;
	flip(lie->b.gpa_list, lie->variant);
	/* The driver may see it, or leave it to the TDX module. */
	return REFUSED | OVER | (is_harmless(h, lie->b.gpa_list[lie->entry], false) ? TAKEN : 0);
}

static u64 count_macs(struct hostile *h, const struct td_mig_bundle *b)
{
	return is_mem(b) ? NR_MAC_BITS * b->nr : 0;
}

static unsigned int tell_mac(struct hostile *h, struct lie *lie)
{
	lie->entry = lie->variant / NR_MAC_BITS;
	flip(lie->b.mac_list, lie->variant);
	return is_harmless(h, lie->b.gpa_list[lie->entry], false) ? TAKEN : OVER;
}

static u64 count_pages(struct hostile *h, const struct td_mig_bundle *b)
{
	return NR_PAGE_SAMPLES * b->nr;
}

static unsigned int tell_page(struct hostile *h, struct lie *lie)
{
	const u64 page = lie->variant / NR_PAGE_SAMPLES;

	flip(lie->b.pages, page * NR_PAGE_BITS + td_random(&seed) % NR_PAGE_BITS);
	if (!is_mem(&lie->b))
		return OVER;
	lie->entry = page;
	return is_harmless(h, lie->b.gpa_list[page], true) ? TAKEN : OVER;
}

static u64 count_numbers(struct hostile *h, const struct td_mig_bundle *b)
{
	/* A token has none. */
	return is_mem(b) ? 7 : b->nr ? 5 : 0;
}

static unsigned int tell_number(struct hostile *h, struct lie *lie)
{
	const u64 numbers[] = {
		0, TDX_MIG_BUF_LIST_PAGES_MAX + 1, -1ULL, lie->nr - 1, lie->nr + 1,
		lie->nr - 1, lie->nr + 1,
	};

	lie->nr = numbers[lie->variant];
	/* The header says so, too. */
	if (lie->variant >= 5)
		lie->b.mbmd.type_info ^= lie->b.nr ^ lie->nr;
	return is_mem(&lie->b) || !lie->nr || lie->nr > TDX_MIG_BUF_LIST_PAGES_MAX ? REFUSED :
										     OVER;
}

static const struct {
	u32 import_cmd;
	u8 mb_type;
} types[] = {
	{ KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE },
	{ KVM_TDX_MIG_IMPORT_MEM, TDX_MIG_MBMD_TYPE_MEM },
	{ KVM_TDX_MIG_IMPORT_STATE_TD, TDX_MIG_MBMD_TYPE_TD_STATE },
	{ KVM_TDX_MIG_IMPORT_STATE_VP, TDX_MIG_MBMD_TYPE_VP_STATE },
	{ KVM_TDX_MIG_IMPORT_TRACK, TDX_MIG_MBMD_TYPE_EPOCH_TOKEN },
};

/* A bundle for another command, which may say so itself, or no bundle at all. */
static unsigned int tell_type(struct hostile *h, struct lie *lie)
{
	const u64 i = lie->variant / 3;
	const bool is_same = lie->b.import_cmd == types[i].import_cmd;

	lie->b.import_cmd = types[i].import_cmd;
	lie->nr = lie->nr ?: 1;
	switch (lie->variant % 3) {
	case 0:
		if (is_same)
			lie->b.mbmd.mb_type = TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE - 1;
		return REFUSED;
	case 1:
		lie->b.mbmd.mb_type = TDX_MIG_MBMD_TYPE_ABORT_TOKEN;
		return REFUSED;
	default:
		lie->b.mbmd.mb_type = types[i].mb_type;
		if (is_same)
			lie->b.mbmd.mb_counter++;
		return REFUSED | OVER;
	}
}

static void replace(struct lie *lie, const struct td_mig_bundle *other)
{
	td_mig_bundle_free(&lie->b);
	td_mig_bundle_copy(&lie->b, other);
	lie->nr = other->nr;
}

static u64 count_bundles(struct hostile *h, const struct td_mig_bundle *b)
{
	return h->r.m.nr_bundles - 1;
}

/* One that was there already, or is to come. */
static unsigned int tell_bundle(struct hostile *h, struct lie *lie)
{
	const int i = lie->variant < h->at ? lie->variant : lie->variant + 1;

	replace(lie, &h->r.m.bundles[i]);
	/* The order does not matter any more, and what is there is skipped. */
	return h->at == TD_RECORD_LATE && i > TD_RECORD_LATE ? TAKEN : REFUSED | OVER;
}

static unsigned int tell_session(struct hostile *h, struct lie *lie)
{
	replace(lie, &h->others[h->at]);
	return is_mem(&lie->b) ? REFUSED : OVER;
}

static unsigned int tell_stream(struct hostile *h, struct lie *lie)
{
	lie->b.stream ^= 1;
	if (!lie->variant)
		return REFUSED;

	lie->b.mbmd.migs_index ^= 1;
	return lie->b.import_cmd == KVM_TDX_MIG_IMPORT_STATE_VP ? OVER : REFUSED;
}

static const struct kind kinds[] = {
	{ "bit of a header", NR_MBMD_BITS, NULL, tell_header },
	{ "bit of a list", 0, count_entries, tell_entry },
	{ "bit of a MAC", 0, count_macs, tell_mac },
	{ "bit of a page", 0, count_pages, tell_page },
	{ "number of pages", 0, count_numbers, tell_number },
	{ "type of a bundle", 3 * ARRAY_SIZE(types), NULL, tell_type },
	{ "order of bundles", 0, count_bundles, tell_bundle },
	{ "bundle of another session", 1, NULL, tell_session },
	{ "bundle of another stream", 2, NULL, tell_stream },
};

/* ---------------------------------------------------------------- the verdict */

/* For messages. */
static const char *describe(struct hostile *h, const struct lie *lie)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s, number %lu, in place of bundle %d", lie->kind,
		 lie->variant, h->at);
	return text;
}

static bool is_header_status(u64 status)
{
	return status == TDX_INVALID_MBMD || status == TDX_INCORRECT_MBMD_MAC;
}

/* What the TDX module can say of a bundle that ends the session. */
static bool is_fatal_status(const struct td_mig_bundle *b, u64 status)
{
	switch (b->import_cmd) {
	case KVM_TDX_MIG_IMPORT_MEM:
		/* A page that has a content becomes pending. */
		return status == TDX_INVALID_PAGE_MAC || status == TDX_IMPORT_MISMATCH;
	case KVM_TDX_MIG_IMPORT_TRACK:
		return is_header_status(status) || status == TDX_SOME_VCPUS_NOT_MIGRATED;
	case KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE:
		if (status == TDX_NUM_MIGS_HIGHER_THAN_CREATED)
			return true;
		fallthrough;
	default:
		/* Too few pages. */
		return is_header_status(status) || status == TDX_OPERAND_INVALID;
	}
}

/* Judge by errno and hw_error alone, as the header of the interface documents them. */
static enum verdict judge(struct hostile *h, struct lie *lie, int ret, int err, u64 hw_error)
{
	const u64 status = hw_error & TDX_STATUS_MASK & ~TDX_FATAL;
	const bool fatal = hw_error & TDX_FATAL;

	if (!ret)
		return TAKEN;

	switch (err) {
	case EEXIST:
	case ENOENT:
		TEST_ASSERT(is_mem(&lie->b) || lie->b.import_cmd == KVM_TDX_MIG_IMPORT_STATE_VP,
			    "%s: errno %d", describe(h, lie), err);
		fallthrough;
	case EINVAL:
	case EBUSY:
		TEST_ASSERT(!hw_error, "%s: errno %d, hw_error 0x%lx", describe(h, lie), err,
			    hw_error);
		return REFUSED;
	case EIO:
		if (is_mem(&lie->b) && is_header_status(status) && !fatal)
			return REFUSED;
		TEST_ASSERT(is_fatal_status(&lie->b, status) && fatal == !h->committed,
			    "%s: hw_error 0x%lx", describe(h, lie), hw_error);
		return OVER;
	default:
		TEST_FAIL("%s: errno %d (%s), hw_error 0x%lx", describe(h, lie), err,
			  strerror(err), hw_error);
		return REFUSED;
	}
}

/* Private pages that the entries before @end have given to the TD, less those taken. */
static int count_gained(struct hostile *h, const struct td_mig_bundle *b, int end)
{
	int i, nr = 0;

	for (i = 0; i < end; i++) {
		if (td_gpa_entry_op(b->gpa_list[i]) == TDX_MIG_GPA_OP_MIGRATE)
			nr += !is_there(h, b->gpa_list[i]);
		else if (td_gpa_entry_op(b->gpa_list[i]) == TDX_MIG_GPA_OP_CANCEL)
			nr--;
	}
	return nr;
}

/* A page that is not genuine is none of the TD, nor is what comes after it. */
static void expect_no_page(struct hostile *h, int entry)
{
	const unsigned int nr = td_sim_count_owned_pages(PAGE_TYPE);

	TEST_ASSERT_EQ(nr, h->nr_pages + count_gained(h, good_bundle(h), entry));
}

/* The guest finds what has come before the lie, and misses what has not. */
static void expect_page_missing(struct hostile *h, int entry)
{
	const u64 *list = good_bundle(h)->gpa_list;

	TEST_ASSERT(entry >= 0, "The bundle as a whole has ended the import");
	if (!td_gpa_entry_has_content(list[entry]) || is_there(h, list[entry])) {
		td_record_check(&h->r, h->d.vcpus[0]);
		return;
	}

	h->r.w.shared->vcpu[0].op = TD_WORKER_CHECK;
	td_vcpu_run_to_missing_page(h->d.vcpus[0], td_gpa_entry_gpa(list[entry]));
}

/*
 * The import is over, because of an entry or of the bundle as a whole.  Before the commit
 * so is the TD, and there is a token for it.
 */
static void expect_over(struct hostile *h, int entry)
{
	const struct td_mig_bundle *good = good_bundle(h);
	struct td_mig_stream *s = &h->d.streams[0];

	TD_EXPECT_ERRNO(EIO, td_record_import(&h->d, good, good->nr, NULL));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT));
	if (h->committed) {
		TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_ABORT));
		expect_page_missing(h, entry);
		td_mig_cmd(s, KVM_TDX_MIG_IMPORT_END);
	} else {
		TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(s, KVM_TDX_MIG_IMPORT_END));
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(h->d.vcpus[0]));
		take_token(h);
	}
}

static void count_verdict(struct hostile *h, enum verdict verdict)
{
	h->nr_refused += verdict == REFUSED;
	h->nr_ended += verdict == OVER;
	h->nr_taken += verdict == TAKEN;
}

static void tell_lie(struct hostile *h, const struct kind *kind, u64 variant)
{
	struct lie lie = {
		.kind = kind->name,
		.variant = variant,
		.nr = good_bundle(h)->nr,
		.entry = -1,
	};
	unsigned int expected;
	enum verdict verdict;
	u64 hw_error;
	int ret, err;

	begin(h);
	td_mig_bundle_copy(&lie.b, good_bundle(h));
	expected = kind->tell(h, &lie);
	ret = td_record_import(&h->d, &lie.b, lie.nr, &hw_error);
	err = errno;
	verdict = judge(h, &lie, ret, err, hw_error);
	TEST_ASSERT(verdict & expected, "%s: returned %d, errno %d (%s), hw_error 0x%lx",
		    describe(h, &lie), ret, err, strerror(err), hw_error);

	if (verdict != TAKEN && lie.entry >= 0)
		expect_no_page(h, verdict == OVER ? lie.entry : 0);
	if (!h->committed)
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(h->d.vcpus[0]));
	if (verdict == OVER)
		expect_over(h, lie.entry);
	else if (verdict == TAKEN && !h->committed)
		take_token(h);
	if (verdict != REFUSED)
		drop_dest(h);

	count_verdict(h, verdict);
	td_mig_bundle_free(&lie.b);
}

static void tell_lies(struct hostile *h)
{
	u64 i, nr, total;
	int kind;

	begin(h);
	h->nr_pages = td_sim_count_owned_pages(PAGE_TYPE);
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		total = kinds[kind].nr ?: kinds[kind].count(h, good_bundle(h));
		nr = nr_lies ? min_t(u64, nr_lies, total) : total;
		for (i = 0; i < nr; i++)
			tell_lie(h, &kinds[kind], nr_lies ? td_random(&seed) % total : i);
	}
}

/* ------------------------------------------------ buffers that change meanwhile */

/* A thread that turns a bit of a buffer on and off. */
struct flicker {
	u64 *word;
	u64 mask;
	u64 nr_turns;
	bool stop;
	pthread_t thread;
};

static void *flicker_thread(void *arg)
{
	struct flicker *f = arg;

	while (!READ_ONCE(f->stop)) {
		WRITE_ONCE(*f->word, *f->word ^ f->mask);
		WRITE_ONCE(f->nr_turns, f->nr_turns + 1);
	}
	return NULL;
}

/* Some word of the bundle, which is in the buffers of @s. */
static u64 *any_word(struct td_mig_stream *s, const struct td_mig_bundle *b)
{
	const u64 r = td_random(&seed);

	switch (is_mem(b) ? r % 4 : b->nr ? r % 2 : 0) {
	case 0:
		return (u64 *)s->mbmd + r / 4 % (TDX_MIG_MBMD_SIZE / sizeof(u64));
	case 1:
		return (u64 *)s->buf + r / 4 % (b->nr * PAGE_SIZE / sizeof(u64));
	case 2:
		return s->gpa_list + r / 4 % b->nr;
	default:
		return (u64 *)s->mac_list + r / 4 % (b->nr * TD_MIG_MAC_SIZE / sizeof(u64));
	}
}

/*
 * The bundle is what it was at one moment.  If it was genuine then, the TD has all
 * that it should have.
 */
static void change_meanwhile(struct hostile *h)
{
	const struct td_mig_bundle *good = good_bundle(h);
	struct lie lie = { .kind = "bit that changes", .b = *good };
	struct td_mig_stream *s;
	struct flicker f = {};
	enum verdict verdict;
	u64 hw_error, nr = good->nr;
	int ret, err;

	begin(h);
	if (h->at == TD_RECORD_START_TOKEN)
		td_mig_load_vcpus(&h->d, &h->r.m);
	s = td_mig_load_bundle(h->d.streams, good);
	f.word = any_word(s, good);
	f.mask = BIT_ULL(td_random(&seed) % 64);
	lie.variant = (u8 *)f.word - (u8 *)s->mbmd;
	kvm_pthread_create(&f.thread, NULL, flicker_thread, &f);
	while (!READ_ONCE(f.nr_turns))
		usleep(100);
	ret = __td_mig_cmd_nr(s, good->import_cmd, &nr, &hw_error);
	err = errno;
	WRITE_ONCE(f.stop, true);
	kvm_pthread_join(f.thread, NULL);

	verdict = judge(h, &lie, ret, err, hw_error);
	count_verdict(h, verdict);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(h->d.vcpus[0]));
	if (verdict == OVER) {
		expect_over(h, -1);
		drop_dest(h);
	} else if (verdict == TAKEN) {
		/* An entry that named a page that is there was skipped.  It is welcome again. */
		finish(h, h->at == TD_RECORD_LATE ? h->at : h->at + 1);
	}
}

/* ---------------------------------------------------------------- the cases */

/* No bundle wakes the source, whatever it pretends to be. */
static void try_tokens(struct hostile *h)
{
	struct td_mig_stream *s = &h->r.m.streams[0];
	u64 hw_error;
	int i;

	for (i = 0; i < h->r.m.nr_bundles; i++) {
		*s->mbmd = h->r.m.bundles[i].mbmd;
		TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_ABORT, NULL, NULL));
		s->mbmd->mb_type = TDX_MIG_MBMD_TYPE_ABORT_TOKEN;
		TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_ABORT, NULL,
						     &hw_error));
		TEST_ASSERT(is_header_status(hw_error & TDX_STATUS_MASK), "hw_error 0x%lx",
			    hw_error);
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(h->r.w.vcpus[0]));
	}
}

/* The source runs on, after the start token by that of a destination. */
static void abort_source(struct hostile *h)
{
	struct td_mig_stream *s = &h->r.m.streams[0];

	if (h->r.m.nr_bundles > TD_RECORD_START_TOKEN) {
		try_tokens(h);
		if (!h->has_token) {
			begin(h);
			take_token(h);
		}
		*s->mbmd = h->token;
	}
	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	h->has_token = false;
	h->committed = false;
	drop_dest(h);
	td_record_check(&h->r, h->r.w.vcpus[0]);
	td_record_renew(&h->r);
}

/* A way back for the source of a TD that is going to run elsewhere. */
static void reserve_token(struct hostile *h)
{
	h->at = TD_RECORD_NEW_PAGES;
	begin(h);
	take_token(h);
	drop_dest(h);
}

/* An earlier session, the bundles of which do not fit. */
static void record_others(struct hostile *h)
{
	u32 i;

	td_record_run(&h->r, TD_RECORD_LATE);
	for (i = 0; i < ARRAY_SIZE(h->others); i++)
		td_mig_bundle_copy(&h->others[i], &h->r.m.bundles[i]);
	h->at = TD_RECORD_NEW_PAGES;
	abort_source(h);
}

/* Aborted on both sides, and without lies, it all goes well. */
static void expect_all_well(struct hostile *h)
{
	abort_source(h);

	td_record_run(&h->r, TD_RECORD_REST);
	h->at = 0;
	begin(h);
	finish(h, 0);
	printf("# Lies: the session went on after %u and ended after %u, %u did not matter\n",
	       h->nr_refused, h->nr_ended, h->nr_taken);
}

static void lie_about(struct hostile *h, enum td_record_bundle at, bool committed)
{
	record_others(h);
	td_record_run(&h->r, at < TD_RECORD_START_TOKEN ? TD_RECORD_VCPU_STATE : TD_RECORD_REST);
	if (committed)
		reserve_token(h);
	h->at = at;
	h->committed = committed;
	tell_lies(h);
	TEST_ASSERT(h->nr_refused && (h->nr_ended || nr_lies),
		    "The session went on after %u lies and ended after %u", h->nr_refused,
		    h->nr_ended);
	expect_all_well(h);
}

FIXTURE(hostile) {
	struct hostile h;
	unsigned int owned, tds;
};

FIXTURE_SETUP(hostile)
{
	/* They are there to stay. */
	td_mig_src_migtd();
	td_mig_dst_migtd();
	self->owned = td_sim_count_owned_pages(NULL);
	self->tds = td_sim_count_tds();
	td_record_create(&self->h.r);
}

FIXTURE_TEARDOWN(hostile)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(self->h.others); i++)
		td_mig_bundle_free(&self->h.others[i]);
	drop_dest(&self->h);
	td_record_free(&self->h.r);
	TEST_ASSERT_EQ(td_sim_count_owned_pages(NULL), self->owned);
	TEST_ASSERT_EQ(td_sim_count_tds(), self->tds);
}

TD_TEST_F(hostile, immutable_state)
{
	lie_about(&self->h, TD_RECORD_IMMUTABLE, false);
}

TD_TEST_F(hostile, new_pages)
{
	lie_about(&self->h, TD_RECORD_NEW_PAGES, false);
}

TD_TEST_F(hostile, epoch_token)
{
	lie_about(&self->h, TD_RECORD_FIRST_TOKEN, false);
}

TD_TEST_F(hostile, pages_that_are_sent_again_or_revoked)
{
	lie_about(&self->h, TD_RECORD_AGAIN, false);
}

TD_TEST_F(hostile, td_state)
{
	lie_about(&self->h, TD_RECORD_TD_STATE, false);
}

TD_TEST_F(hostile, vcpu_state)
{
	lie_about(&self->h, TD_RECORD_VCPU_STATE, false);
}

TD_TEST_F(hostile, start_token)
{
	lie_about(&self->h, TD_RECORD_START_TOKEN, false);
}

TD_TEST_F(hostile, late_pages)
{
	lie_about(&self->h, TD_RECORD_LATE, false);
}

TD_TEST_F(hostile, late_pages_of_a_td_that_runs)
{
	lie_about(&self->h, TD_RECORD_LATE, true);
}

TD_TEST_F(hostile, buffers_that_change_while_a_command_reads_them)
{
	unsigned int i, nr = nr_lies ? nr_lies * NR_ROUNDS : NR_ALL_ROUNDS;
	struct hostile *h = &self->h;

	td_record_run(&h->r, TD_RECORD_REST);
	reserve_token(h);
	for (i = 0; i < nr; i++) {
		/* Each bundle in turn, unless the one before has left a destination. */
		if (!h->has_dest)
			h->at = i % TD_RECORD_REST;
		change_meanwhile(h);
	}
	expect_all_well(h);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(td_sim_is_present());

	return td_run_by_lot(argc, argv, &nr_lies, &seed);
}
