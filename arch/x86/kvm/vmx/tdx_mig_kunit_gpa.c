// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the live migration of TDs: entries of a GPA list, and what KVM decides
 * by them.
 */
#include "tdx_mig_gpa_list.h"
#include "tdx_mig_kunit.h"

#define GPA_STATUS(_status)	((u64)TDX_MIG_GPA_STATUS_##_status << 56)

/* Encoding and decoding. */

struct codec_case {
	const char *name;
	u64 entry;
	gfn_t gfn;
	unsigned int op;
	unsigned int status;
};

/* Entries as KVM writes them. */
static const struct codec_case written_cases[] = {
	{ "GFN 0, NOP",		0x0000000000000000, 0, 0, 0 },
	{ "GFN 0, MIGRATE",	0x0010000000000000, 0, 1, 0 },
	{ "GFN 1, CANCEL",	0x0020000000001000, 1, 2, 0 },
	{ "some REMIGRATE",	0x003000012345f000, 0x12345f, 3, 0 },
	{ "GFN below SHARED",	0x00107ffffffff000, 0x7ffffffff, 1, 0 },
	{ "last GFN",		0x001ffffffffff000, 0xffffffffff, 1, 0 },
};

/* Entries as the TDX module returns them, with what belongs to other fields. */
static const struct codec_case read_cases[] = {
	{ "all bits",		0xffffffffffffffff, 0xffffffffff, 3, 31 },
	{ "all but the GPA",	0xfff0000000000fff, 0, 3, 31 },
	{ "all but the op",	0xffcfffffffffffff, 0xffffffffff, 0, 31 },
	{ "all but the status",	0xe0ffffffffffffff, 0xffffffffff, 3, 0 },
	{ "a page skipped",	0x0100000012345000, 0x12345, 0, 1 },
	{ "a pending page",	0x0010000000002004, 2, 1, 0 },
	{ "an invalid buffer",	0x1000000000003000, 3, 0, 16 },
};

KUNIT_ARRAY_PARAM_DESC(written, written_cases, name);
KUNIT_ARRAY_PARAM_DESC(read, read_cases, name);

static void an_entry_is_encoded(struct kunit *test)
{
	const struct codec_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, tdx_mig_gpa_entry(c->gfn, c->op), c->entry);
}

static void an_entry_is_decoded(struct kunit *test)
{
	const struct codec_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, tdx_mig_gpa_gfn(c->entry), c->gfn);
	KUNIT_EXPECT_EQ(test, tdx_mig_gpa_op(c->entry), c->op);
	KUNIT_EXPECT_EQ(test, tdx_mig_gpa_status(c->entry), c->status);
}

static void a_status_replaces_nothing_else(struct kunit *test)
{
	u64 status;

	for (status = 0; status < 32; status++) {
		KUNIT_EXPECT_EQ(test, tdx_mig_gpa_set_status(~0ULL, status),
				0xe0ffffffffffffff | status << 56);
		KUNIT_EXPECT_EQ(test, tdx_mig_gpa_set_status(0, status), status << 56);
	}
}

static void only_migrated_pages_have_content(struct kunit *test)
{
	static const u64 entries[] = {
		0x0000000000001000,	/* NOP */
		0x0010000000002000,	/* MIGRATE */
		0x0010000000003004,	/* MIGRATE, PENDING */
		0x0020000000004000,	/* CANCEL */
		0x0030000000005000,	/* REMIGRATE */
		0x0030000000006004,	/* REMIGRATE, PENDING */
		0x0020000000007004,	/* CANCEL, PENDING */
		0x0100000000008000,	/* NOP, SKIPPED */
	};
	static const bool content[] = { false, true, false, false, true, false, false, false };
	static const unsigned int count[] = { 0, 1, 1, 1, 2, 2, 2, 2 };
	unsigned int i;

	KUNIT_EXPECT_EQ(test, tdx_mig_gpa_count_content(entries, 0), 0);

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_has_content(entries[i]), content[i],
				    "entry %u", i);
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_count_content(entries, i + 1), count[i],
				    "entry %u", i);
	}
}

struct info_case {
	const char *name;
	unsigned int nr;
	u64 last;
};

static const struct info_case info_cases[] = {
	{ "one entry", 1, 0 },
	{ "two entries", 2, 0x0080000000000000 },
	{ "half a list", 256, 0x7f80000000000000 },
	{ "a full list", 512, 0xff80000000000000 },
};

KUNIT_ARRAY_PARAM_DESC(info, info_cases, name);

/* What the TDX module is told about a list: where it is, its last entry, the next one. */
static void a_list_has_its_bounds(struct kunit *test)
{
	const struct info_case *c = test->param_value;
	void *list = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u64 info;

	KUNIT_ASSERT_NOT_NULL(test, list);

	info = tdx_gpa_list_info(virt_to_page(list), c->nr);
	KUNIT_EXPECT_EQ(test, info, __pa(list) | c->last);
	KUNIT_EXPECT_EQ(test, tdx_gpa_list_first(info), 0);
	KUNIT_EXPECT_EQ(test, tdx_gpa_list_first(info | (c->nr - 1) << 3), c->nr - 1);
}

static struct kunit_case codec_cases[] = {
	KUNIT_CASE_PARAM(an_entry_is_encoded, written_gen_params),
	KUNIT_CASE_PARAM(an_entry_is_decoded, written_gen_params),
	KUNIT_CASE_PARAM(an_entry_is_decoded, read_gen_params),
	KUNIT_CASE(a_status_replaces_nothing_else),
	KUNIT_CASE(only_migrated_pages_have_content),
	KUNIT_CASE_PARAM(a_list_has_its_bounds, info_gen_params),
	{}
};

static struct kunit_suite codec_suite = {
	.name = "tdx_mig_gpa_codec",
	.test_cases = codec_cases,
};

/* Which entries of userspace are well-formed. */

struct bits_case {
	const char *name;
	unsigned int first;
	unsigned int last;
	/* Is an entry well-formed with one of the bits, on export and on import? */
	bool export_op;
	bool import_op;
	bool export_nop;
	bool import_nop;
};

/* All bits of an entry; the SHARED bit is bit 47. */
static const struct bits_case bits_cases[] = {
	{ "level",		 0,  1, false, false, false, false },
	{ "PENDING",		 2,  2, true,  true,  true,  true },
	{ "reserved, low",	 3,  6, false, false, false, false },
	{ "L2 map",		 7,  9, false, false, false, true },
	{ "type",		10, 11, false, false, false, true },
	{ "private GPA",	12, 46, true,  true,  true,  true },
	{ "SHARED and above",	47, 51, false, false, false, true },
	{ "operation",		52, 53, true,  true,  true,  true },
	{ "reserved, middle",	54, 55, false, false, false, false },
	{ "status",		56, 60, false, false, false, true },
	{ "reserved, high",	61, 63, false, false, false, false },
};

KUNIT_ARRAY_PARAM_DESC(bits, bits_cases, name);

static void each_bit_is_validated(struct kunit *test)
{
	const u64 op = tdx_mig_gpa_entry(0, TDX_MIG_GPA_OP_MIGRATE);
	const struct bits_case *c = test->param_value;
	const gpa_t end = FAKE_TD_SHARED;
	unsigned int i;

	for (i = c->first; i <= c->last; i++) {
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_is_valid(op | BIT_ULL(i), end, false),
				    c->export_op, "bit %u", i);
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_is_valid(op | BIT_ULL(i), end, true),
				    c->import_op, "bit %u", i);
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_is_valid(BIT_ULL(i), end, false),
				    c->export_nop, "bit %u", i);
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_gpa_is_valid(BIT_ULL(i), end, true),
				    c->import_nop, "bit %u", i);
	}
}

static void all_bits_have_a_case(struct kunit *test)
{
	unsigned int i, next = 0;

	for (i = 0; i < ARRAY_SIZE(bits_cases); i++) {
		KUNIT_EXPECT_EQ(test, bits_cases[i].first, next);
		next = bits_cases[i].last + 1;
	}
	KUNIT_EXPECT_EQ(test, next, 64);
}

struct width_case {
	const char *name;
	unsigned int shared;
};

static const struct width_case width_cases[] = {
	{ "GPAs of 48 bits", 47 },
	{ "GPAs of 52 bits", 51 },
};

KUNIT_ARRAY_PARAM_DESC(width, width_cases, name);

/* All operations but NOP on import, which is valid whatever its GPA is. */
static void gpas_are_below_the_shared_bit(struct kunit *test)
{
	const struct width_case *c = test->param_value;
	const gpa_t end = BIT_ULL(c->shared);
	const gfn_t last = gpa_to_gfn(end) - 1;
	unsigned int op, import;
	bool is_nop;

	for (op = 0; op < 4; op++) {
		for (import = 0; import < 2; import++) {
			is_nop = import && op == TDX_MIG_GPA_OP_NOP;

			KUNIT_EXPECT_TRUE(test, tdx_mig_gpa_is_valid(tdx_mig_gpa_entry(0, op),
								     end, import));
			KUNIT_EXPECT_TRUE(test, tdx_mig_gpa_is_valid(tdx_mig_gpa_entry(last, op),
								     end, import));
			KUNIT_EXPECT_EQ(test, tdx_mig_gpa_is_valid(tdx_mig_gpa_entry(last + 1, op),
								   end, import), is_nop);
			KUNIT_EXPECT_EQ(test, tdx_mig_gpa_is_valid(tdx_mig_gpa_entry(2 * last + 1,
										     op),
								   end, import), is_nop);
		}
	}
}

static struct kunit_case valid_cases[] = {
	KUNIT_CASE_PARAM(each_bit_is_validated, bits_gen_params),
	KUNIT_CASE(all_bits_have_a_case),
	KUNIT_CASE_PARAM(gpas_are_below_the_shared_bit, width_gen_params),
	{}
};

static struct kunit_suite valid_suite = {
	.name = "tdx_mig_gpa_valid",
	.test_cases = valid_cases,
};

/* What KVM decides by the entries that the TDX module has returned. */

struct busy_case {
	const char *name;
	/* 'b' for each entry that was busy, '.' for all others. */
	const char *entries;
};

static const struct busy_case busy_cases[] = {
	{ "no entry", "" },
	{ "none is busy", "....." },
	{ "all are busy", "bbbb" },
	{ "the first is busy", "b..." },
	{ "the last is busy", "...b" },
	{ "some are busy", ".b.bb..b." },
};

KUNIT_ARRAY_PARAM_DESC(busy, busy_cases, name);

static void busy_entries_are_kept(struct kunit *test)
{
	const struct busy_case *c = test->param_value;
	struct fake_td *td = fake_td_create(test);
	unsigned int i, nr = strlen(c->entries), kept = 0;
	u64 entries[16] = {}, expected[16] = {};

	for (i = 0; i < nr; i++) {
		entries[i] = tdx_mig_gpa_entry(FAKE_TD_GFN + i, TDX_MIG_GPA_OP_MIGRATE);
		if (c->entries[i] == 'b') {
			expected[kept++] = entries[i];
			entries[i] |= GPA_STATUS(SEPT_ENTRY_BUSY) | TDX_MIG_GPA_ENTRY_PENDING;
		}
	}

	KUNIT_EXPECT_EQ(test, tdx_mig_keep_busy(&td->kvm_tdx.kvm, entries, nr), kept);
	KUNIT_EXPECT_MEMEQ(test, entries, expected, kept * sizeof(u64));
}

struct order_case {
	const char *name;
	enum kvm_import_op op;
	enum kvm_import_state state;
	int r;
};

/* Before the start token, an entry of the bundle has to fit what is mapped. */
static const struct order_case order_cases[] = {
	{ "new, absent", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT, 0 },
	{ "new, removed", KVM_IMPORT_NEW, KVM_IMPORT_REMOVED, 0 },
	{ "new, present", KVM_IMPORT_NEW, KVM_IMPORT_PRESENT, -EEXIST },
	{ "mapped, absent", KVM_IMPORT_MAPPED, KVM_IMPORT_ABSENT, -ENOENT },
	{ "mapped, removed", KVM_IMPORT_MAPPED, KVM_IMPORT_REMOVED, -ENOENT },
	{ "mapped, present", KVM_IMPORT_MAPPED, KVM_IMPORT_PRESENT, 0 },
};

KUNIT_ARRAY_PARAM_DESC(order, order_cases, name);

static void an_entry_has_to_fit_what_is_mapped(struct kunit *test)
{
	const struct order_case *c = test->param_value;
	const struct kvm_import_entry entry = { .op = c->op, .state = c->state };

	KUNIT_EXPECT_EQ(test, tdx_mig_check_in_order(&entry), c->r);
}

struct success_case {
	const char *name;
	enum kvm_import_op op;
	enum kvm_import_state state;
	u64 entry;
	bool succeeded;
};

static const struct success_case success_cases[] = {
	{ "new page", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT, 0x0010000000001000, true },
	{ "new page, removed before", KVM_IMPORT_NEW, KVM_IMPORT_REMOVED,
	  0x0010000000001000, true },
	{ "new page that is pending", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT,
	  0x0010000000001004, true },
	{ "new page that is there", KVM_IMPORT_NEW, KVM_IMPORT_PRESENT,
	  0x0010000000001000, false },
	{ "new page, skipped", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT, 0x0100000000001000, false },
	{ "new page, skipped with its operation", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT,
	  0x0110000000001000, false },
	{ "new page, made a NOP", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT, 0x0000000000001000, false },
	{ "new page, made a REMIGRATE", KVM_IMPORT_NEW, KVM_IMPORT_ABSENT,
	  0x0030000000001000, false },
	{ "mapped page", KVM_IMPORT_MAPPED, KVM_IMPORT_PRESENT, 0x0030000000001000, true },
	{ "mapped page, canceled", KVM_IMPORT_MAPPED, KVM_IMPORT_PRESENT,
	  0x0020000000001000, true },
	{ "mapped page, busy", KVM_IMPORT_MAPPED, KVM_IMPORT_PRESENT,
	  0x0330000000001000, false },
	{ "mapped page, made a MIGRATE", KVM_IMPORT_MAPPED, KVM_IMPORT_PRESENT,
	  0x0010000000001000, false },
};

KUNIT_ARRAY_PARAM_DESC(success, success_cases, name);

static void an_import_has_succeeded(struct kunit *test)
{
	const struct success_case *c = test->param_value;
	const struct kvm_import_entry entry = { .op = c->op, .state = c->state };

	KUNIT_EXPECT_EQ(test, tdx_mig_entry_succeeded(&entry, c->entry), c->succeeded);
}

static struct kunit_case outcome_cases[] = {
	KUNIT_CASE_PARAM(busy_entries_are_kept, busy_gen_params),
	KUNIT_CASE_PARAM(an_entry_has_to_fit_what_is_mapped, order_gen_params),
	KUNIT_CASE_PARAM(an_import_has_succeeded, success_gen_params),
	{}
};

static struct kunit_suite outcome_suite = {
	.name = "tdx_mig_gpa_outcome",
	.test_cases = outcome_cases,
};

kunit_test_suites(&codec_suite, &valid_suite, &outcome_suite);
