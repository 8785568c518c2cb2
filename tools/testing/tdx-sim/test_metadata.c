// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata lists of state bundles: what is dumped can be loaded, and what a
 * host may have changed is refused without harm.
 */
#include "fixture.h"
#include "metadata.h"
#include "tap.h"

#define MAX_PAGES	8
#define FLIPS		4096
#define CODE_MASK	GENMASK_ULL(63, 32)
#define LIST_HEADER	8
#define WORD		8
/* In the header of a sequence. */
#define WRITE_MASK_VALID	BIT_ULL(51)
#define CONTEXT		GENMASK_ULL(54, 52)
#define RD_VERSION_1	BIT_ULL(16)

#define FIELD_CPUID_0	0x9410000300000000ULL
#define CPUID_CODE(leaf)	((leaf) << 9 | 0x1fe)

static const char *const bundle_names[] = {
	[MD_BUNDLE_IMMUTABLE_SYS] = "system",
	[MD_BUNDLE_IMMUTABLE_TD] = "immutable",
	[MD_BUNDLE_TD] = "TD state",
	[MD_BUNDLE_VP] = "vCPU state",
};

/* Pages that the reference module makes of each. */
static const unsigned int known_pages[] = {
	[MD_BUNDLE_IMMUTABLE_SYS] = 1,
	[MD_BUNDLE_IMMUTABLE_TD] = 1,
	[MD_BUNDLE_TD] = 1,
	[MD_BUNDLE_VP] = 4,
};

static struct fx_pair pair;
static struct sim_td src, dst;
static struct sim_vp src_vp, dst_vp;

static struct sim_vp *source_vp(enum md_bundle bundle)
{
	return bundle == MD_BUNDLE_VP ? &src_vp : NULL;
}

static struct sim_vp *destination_vp(enum md_bundle bundle)
{
	return bundle == MD_BUNDLE_VP ? &dst_vp : NULL;
}

static unsigned int dump(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp,
			 u8 pages[MAX_PAGES][SIM_PAGE_SIZE])
{
	struct md_cursor cur = { };
	unsigned int n = 0;

	while (!cur.done && n < MAX_PAGES)
		fx_expect_success("md_dump_page", md_dump_page(bundle, td, vp, &cur, pages[n++]));
	return n;
}

static u64 load(enum md_bundle bundle, u8 pages[MAX_PAGES][SIM_PAGE_SIZE], unsigned int n)
{
	struct md_cursor cur = { };
	u64 rcx, rdx, err = SIM_SUCCESS;
	unsigned int i;

	for (i = 0; i < n && !err; i++)
		err = md_load_page(bundle, &dst, destination_vp(bundle), &cur, pages[i],
				   i == n - 1, &rcx, &rdx);
	return err;
}

/* A destination as it is when a bundle arrives. */
static void fresh_pair(void)
{
	unsigned int i;

	fx_restore(0);
	fx_pair_start(&pair);
	fx_pair_move_td_state(&pair);
	pair.dst.nr_vps = 0;
	fx_vp_create(&pair.dst);

	probe_td(pair.src.tdr, &src);
	probe_td(pair.dst.tdr, &dst);
	probe_vp(pair.src.vp[0], &src_vp);
	probe_vp(pair.dst.vp[0], &dst_vp);
	for (i = 0; i < 16; i++)
		src_vp.vps->gpr[i] = 0x1111111111111111ULL * i;
	md_init_imported_vp(&dst_vp);
}

static void test_round_trip(enum md_bundle bundle)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE], again[MAX_PAGES][SIM_PAGE_SIZE];
	unsigned int n;

	fresh_pair();
	n = dump(bundle, &src, source_vp(bundle), pages);
	tap_equal(n, known_pages[bundle], "%s has as many pages as known", bundle_names[bundle]);
	tap_equal(load(bundle, pages, n), 0, "%s loads as it was dumped", bundle_names[bundle]);
	/* Time goes on, and the leaf, not the list, makes the vCPU ready. */
	if (bundle == MD_BUNDLE_TD)
		return;
	dst_vp.vps->state = src_vp.vps->state;
	dump(bundle, &dst, destination_vp(bundle), again);
	tap_ok(!memcmp(pages, again, n * SIM_PAGE_SIZE), "%s is the same at the destination",
	       bundle_names[bundle]);
}

static void put_header(u8 *page, u16 size, u16 sequences, u32 reserved)
{
	put_unaligned_le16(size, page);
	put_unaligned_le16(sequences, page + 2);
	put_unaligned_le32(reserved, page + 4);
}

static void test_headers(void)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE], good[MAX_PAGES][SIM_PAGE_SIZE];
	u16 size, sequences;

	fresh_pair();
	dump(MD_BUNDLE_IMMUTABLE_TD, &src, NULL, good);
	size = get_unaligned_le16(good[0]);
	sequences = get_unaligned_le16(good[0] + 2);

	memcpy(pages, good, sizeof(pages));
	put_header(pages[0], size, sequences, 1);
	tap_equal(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1) & CODE_MASK,
		  SIM_INVALID_METADATA_LIST_HEADER, "reserved bytes of a header are zero");

	put_header(pages[0], size, 0, 0);
	tap_equal(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1) & CODE_MASK,
		  SIM_INVALID_METADATA_LIST_HEADER, "a list has a sequence");

	put_header(pages[0], size - 8, sequences, 0);
	tap_equal(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1) & CODE_MASK, SIM_METADATA_LIST_OVERFLOW,
		  "a list does not end within a sequence");

	put_header(pages[0], size, sequences - 1, 0);
	tap_equal(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1) & CODE_MASK,
		  SIM_REQUIRED_METADATA_FIELD_MISSING, "the last field cannot be left out");

	put_header(pages[0], size, U16_MAX, 0);
	tap_ok(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1), "65535 sequences do not fit a page");

	memset(pages, 0xff, sizeof(pages));
	tap_ok(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1), "a page of ones is refused");
	memset(pages, 0, sizeof(pages));
	tap_ok(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1), "a page of zeroes is refused");
}

/* Set bit 51 of the first header of page @nr of a vCPU, without adding masks. */
static u64 load_with_mask_bit(unsigned int nr)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE];
	unsigned int n;
	u8 *header = pages[nr] + LIST_HEADER;

	fresh_pair();
	n = dump(MD_BUNDLE_VP, &src, &src_vp, pages);
	put_unaligned_le64(get_unaligned_le64(header) | WRITE_MASK_VALID, header);
	return load(MD_BUNDLE_VP, pages, n);
}

/*
 * Pages 1 and 2 are full of 510 words of one field.  With masks these are 255
 * fields, and the module does not see the end of the list before the next mask.
 */
static void test_mask_bit(void)
{
	tap_equal(load_with_mask_bit(0), SIM_METADATA_FIELD_ID_INCORRECT | 0xffff0001,
		  "the next header is not found after masks that were not sent");
	tap_equal(load_with_mask_bit(1), 0, "a list can end where a mask is expected");
	tap_equal(load_with_mask_bit(2), 0, "so can the next page");
	tap_equal(load_with_mask_bit(3), SIM_METADATA_LIST_OVERFLOW | 0xffff0000,
		  "but not where a field is expected");
}

/* Give the first field of a list a mask, and load the list. */
static u64 load_masked(enum md_bundle bundle, u64 mask)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE];
	u8 *p = pages[0] + LIST_HEADER + WORD;
	u16 size;

	dump(bundle, &src, NULL, pages);
	size = get_unaligned_le16(pages[0]);
	memmove(p + WORD, p, size - LIST_HEADER - WORD);
	put_unaligned_le64(mask, p);
	put_unaligned_le16(size + WORD, pages[0]);
	p -= WORD;
	put_unaligned_le64(get_unaligned_le64(p) | WRITE_MASK_VALID, p);
	return load(bundle, pages, 1);
}

static void test_masks(void)
{
	u64 uuid[4], tsc;

	fresh_pair();
	memset(dst.tdr->uuid, 0x55, sizeof(dst.tdr->uuid));
	memcpy(uuid, dst.tdr->uuid, sizeof(uuid));
	tap_equal(load_masked(MD_BUNDLE_IMMUTABLE_TD, 0), 0, "a mask of zero is accepted");
	tap_ok(!memcmp(dst.tdr->uuid, uuid, sizeof(uuid)), "and leaves the field as it is");

	tap_equal(load_masked(MD_BUNDLE_IMMUTABLE_TD, U32_MAX), 0, "a mask is accepted");
	tap_equal(dst.tdr->uuid[3], (uuid[3] & ~(u64)U32_MAX) | (u32)src.tdr->uuid[3],
		  "it is the same for all elements, and the other bits stay");

	tap_equal(load_masked(MD_BUNDLE_IMMUTABLE_TD, ~0ULL), 0, "a mask of ones is accepted");
	tap_ok(!memcmp(dst.tdr->uuid, src.tdr->uuid, sizeof(uuid)), "and writes everything");

	tsc = 0x123456789abcdefULL;
	dst.tdcs->tsc_offset = tsc;
	tap_equal(load_masked(MD_BUNDLE_TD, 0), 0, "VIRTUAL_TSC can be masked");
	tap_equal(dst.tdcs->tsc_offset, tsc, "the TSC goes on as it was then");
}

/* After an error the module reads on, and expects the first field again. */
static void test_pages_after_error(void)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE], bad[SIM_PAGE_SIZE];
	struct md_cursor cur = { };
	unsigned int n, i, loaded = 0;
	u64 rcx, rdx, *xbuff;

	fresh_pair();
	xbuff = (u64 *)(src_vp.xbuff[1]);
	xbuff[0] = 0x1234;
	n = dump(MD_BUNDLE_VP, &src, &src_vp, pages);
	memcpy(bad, pages[0], sizeof(bad));
	put_unaligned_le16(get_unaligned_le16(bad + 2) + 1, bad + 2);
	tap_ok(md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, bad, false, &rcx, &rdx),
	       "a page with a sequence too many is refused");
	tap_equal(dst_vp.vps->gpr[3], src_vp.vps->gpr[3], "what it had before is loaded");
	for (i = 1; i < n; i++)
		loaded += !md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, pages[i], i == n - 1,
					&rcx, &rdx);
	tap_equal(loaded, 0, "the pages behind it are not");
	tap_equal(*(u64 *)dst_vp.xbuff[1], 0, "nothing of them");
	tap_equal(md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, pages[0], false, &rcx, &rdx), 0,
		  "only one with the first field is");

	put_unaligned_le32(1, bad + 4);
	tap_ok(md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, bad, false, &rcx, &rdx),
	       "so it is after a wrong header");
	tap_equal(md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, pages[0], false, &rcx, &rdx), 0,
		  "the first field is expected again");
}

/* A size beyond the page is an error, but is taken for that of the page. */
static void test_size_beyond_page(void)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE];
	struct md_cursor cur = { };
	unsigned int n, i, refused = 0;
	u64 rcx, rdx;

	fresh_pair();
	*(u64 *)src_vp.xbuff[1] = 0x1234;
	n = dump(MD_BUNDLE_VP, &src, &src_vp, pages);
	put_unaligned_le16(SIM_PAGE_SIZE + 1, pages[0]);
	tap_equal(md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, pages[0], false, &rcx, &rdx),
		  SIM_OPERAND_INVALID | OPND_PAGE, "a list is not longer than a page");
	tap_equal(dst_vp.vps->gpr[3], src_vp.vps->gpr[3], "it is loaded all the same");
	for (i = 1; i < n; i++)
		refused += !!md_load_page(MD_BUNDLE_VP, &dst, &dst_vp, &cur, pages[i], i == n - 1,
					  &rcx, &rdx);
	tap_equal(refused, 0, "and what follows is loaded, too");
	tap_equal(*(u64 *)dst_vp.xbuff[1], 0x1234, "all of it");

	fresh_pair();
	dump(MD_BUNDLE_TD, &src, NULL, pages);
	put_unaligned_le16(U16_MAX, pages[0]);
	put_unaligned_le16(get_unaligned_le16(pages[0] + 2) - 1, pages[0] + 2);
	cur = (struct md_cursor){ };
	tap_equal(md_load_page(MD_BUNDLE_TD, &dst, NULL, &cur, pages[0], true, &rcx, &rdx),
		  SIM_OPERAND_INVALID | OPND_PAGE, "it is the size that is reported");
	tap_equal(rcx, 0, "not what else is wrong with the list");
}

static void test_cpuid(void)
{
	struct fx_args args;
	unsigned int leaf;

	fx_restore(0);
	for (leaf = 0; leaf <= 1; leaf++) {
		args = (struct fx_args){
			.rcx = pair.src.tdr, .rdx = FIELD_CPUID_0 | CPUID_CODE(leaf),
		};
		tap_equal(fx_seamcall(LEAF_MNG_RD, &args), 0, "the host reads CPUID leaf %u", leaf);
		tap_equal(args.r8, src.cpuid->values[leaf ? 0 : 10][0], "as the TD has it");
	}
	args = (struct fx_args){ .rcx = pair.src.tdr, .rdx = FIELD_CPUID_0 | CPUID_CODE(6) };
	tap_equal(fx_seamcall(LEAF_MNG_RD, &args), SIM_METADATA_FIELD_NOT_READABLE,
		  "but no leaf that raises a #VE");
	args = (struct fx_args){
		.rcx = pair.src.tdr, .rdx = FIELD_CPUID_0 | CPUID_CODE(0), .r9 = ~0ULL,
	};
	tap_equal(fx_seamcall(LEAF_MNG_WR, &args), SIM_METADATA_FIELD_NOT_WRITABLE,
		  "it cannot write them");
}

static u64 read_cpuid(u64 tdr, unsigned int leaf)
{
	return fx_call(LEAF_MNG_RD, .rcx = tdr, .rdx = FIELD_CPUID_0 | CPUID_CODE(leaf));
}

/* A bundle need not have all leaves, and a TD has no others before it arrives. */
static void test_cpuid_of_import(void)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE];
	u16 size, sequences;
	unsigned int offset;

	fresh_pair();
	memset(dst.cpuid->values, 0, sizeof(dst.cpuid->values));
	memset(dst.cpuid->valid, 0, sizeof(dst.cpuid->valid));
	tap_equal(read_cpuid(pair.dst.tdr, 3), SIM_METADATA_FIELD_NOT_READABLE,
		  "a TD without CPUID values has none to be read");

	dump(MD_BUNDLE_IMMUTABLE_TD, &src, NULL, pages);
	size = get_unaligned_le16(pages[0]);
	sequences = get_unaligned_le16(pages[0] + 2);
	for (offset = LIST_HEADER; offset < size; offset += WORD) {
		if ((get_unaligned_le64(pages[0] + offset) & ~GENMASK_ULL(46, 34)) ==
		    (FIELD_CPUID_0 | CPUID_CODE(3)))
			break;
	}
	memmove(pages[0] + offset, pages[0] + offset + 3 * WORD, size - offset - 3 * WORD);
	put_header(pages[0], size - 3 * WORD, sequences - 1, 0);
	tap_equal(load(MD_BUNDLE_IMMUTABLE_TD, pages, 1), 0, "a bundle can lack a CPUID leaf");
	tap_equal(read_cpuid(pair.dst.tdr, 3), SIM_METADATA_FIELD_NOT_READABLE,
		  "the host cannot read that one");
	tap_equal(read_cpuid(pair.dst.tdr, 1), 0, "but those that were in the bundle");
}

static void test_ids(void)
{
	struct fx_args args = { .rcx = pair.src.tdr, .rdx = ~CONTEXT };
	u64 id;

	fx_restore(0);
	tap_equal(fx_seamcall(LEAF_MNG_RD | RD_VERSION_1, &args),
		  SIM_METADATA_FIRST_FIELD_ID_IN_CONTEXT,
		  "an id of ones asks for the first field, whatever its context");
	tap_equal(args.rdx, 0x8010000000000001ULL, "and gets it");

	/* SERVTD_HASH, without bits that a look-up ignores. */
	args = (struct fx_args){ .rcx = pair.src.tdr, .rdx = 0x1910000000000000ULL };
	tap_equal(fx_seamcall(LEAF_MNG_RD | RD_VERSION_1, &args), 0,
		  "an id may lack the size and the uppermost bit");
	tap_equal(args.rdx, 0x1910000000000001ULL, "and so does that of the next element");
	args = (struct fx_args){ .rcx = pair.src.tdr, .rdx = 0x1910000000000005ULL };
	fx_expect_success("MNG.RD", fx_seamcall(LEAF_MNG_RD | RD_VERSION_1, &args));
	tap_equal(args.rdx, 0x9910000100000006ULL, "but not that of the next field");

	args = (struct fx_args){ .rdx = ~CONTEXT };
	tap_equal(fx_tdcall(pair.src.tdr, TDG_VM_RD | RD_VERSION_1, &args),
		  SIM_METADATA_FIRST_FIELD_ID_IN_CONTEXT, "so does a guest");
	id = args.rdx;
	args = (struct fx_args){ .rdx = id };
	tap_equal(fx_tdcall(pair.src.tdr, TDG_VM_RD | RD_VERSION_1, &args), 0,
		  "which can read that field");
	tap_ok(args.rdx != id, "and is told the next one");
	args = (struct fx_args){ .rdx = id };
	tap_equal(fx_tdcall(pair.src.tdr, TDG_VM_RD | RD_VERSION_1 << 1, &args),
		  SIM_OPERAND_INVALID | RAX, "there is no version 2");
	args = (struct fx_args){ .rdx = id };
	tap_equal(fx_tdcall(pair.src.tdr, TDG_VP_RD | RD_VERSION_1, &args),
		  SIM_OPERAND_INVALID | RAX, "nor a version 1 of the leaf for vCPUs");
}

/* Any bit of a bundle may be wrong; nothing else may happen than a status. */
static void test_flips(enum md_bundle bundle)
{
	static u8 pages[MAX_PAGES][SIM_PAGE_SIZE], good[MAX_PAGES][SIM_PAGE_SIZE];
	unsigned int n, i, refused = 0, odd = 0;
	u32 random = 1;

	fresh_pair();
	n = dump(bundle, &src, source_vp(bundle), good);
	for (i = 0; i < FLIPS; i++) {
		unsigned int byte;
		u64 err;

		random = random * 1664525 + 1013904223;
		/* Half of them where the headers are. */
		byte = (random >> 8) % (i % 2 ? 64 : n * SIM_PAGE_SIZE);
		memcpy(pages, good, n * SIM_PAGE_SIZE);
		pages[byte / SIM_PAGE_SIZE][byte % SIM_PAGE_SIZE] ^= 1 << (random & 7);
		err = load(bundle, pages, n);
		refused += !!err;
		odd += err && !(err >> 63);
	}
	tap_ok(refused, "%s: some flipped bits are refused (%u of %u)", bundle_names[bundle],
	       refused, FLIPS);
	tap_equal(odd, 0, "%s: every refusal is an error", bundle_names[bundle]);
}

int main(void)
{
	fx_boot(1);
	fx_pair_init(&pair, 2);
	fx_snapshot(0);
	test_round_trip(MD_BUNDLE_IMMUTABLE_SYS);
	test_round_trip(MD_BUNDLE_IMMUTABLE_TD);
	test_round_trip(MD_BUNDLE_TD);
	test_round_trip(MD_BUNDLE_VP);
	test_headers();
	test_mask_bit();
	test_masks();
	test_pages_after_error();
	test_size_beyond_page();
	test_ids();
	test_cpuid();
	test_cpuid_of_import();
	test_flips(MD_BUNDLE_IMMUTABLE_SYS);
	test_flips(MD_BUNDLE_IMMUTABLE_TD);
	test_flips(MD_BUNDLE_TD);
	test_flips(MD_BUNDLE_VP);
	return tap_done();
}
