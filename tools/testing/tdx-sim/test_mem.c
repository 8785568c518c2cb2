// SPDX-License-Identifier: GPL-2.0
/*
 * A TD's memory in pages of both sizes: adding, accepting, splitting, merging
 * and removing them; the host's view of a TD that can be debugged; what is
 * measured.
 */
#include "fixture.h"
#include "invariants.h"
#include "tap.h"

#define HKID		33
#define ATTR_DEBUG	BIT_ULL(0)
#define LEVEL_2M	1
/* 2 MB aligned, above all pages that the fixture hands out. */
#define LARGE_PAGE	(MACHINE_TDMR_BASE + 5 * SZ_2M)
#define GPA_IN_RANGE	0x123000ULL
#define MRTD_SIZE	48
#define MR_EXTEND_SIZE	256
#define PATTERN		0x0707070707070707ULL
#define REPORTED_STATE	GENMASK_ULL(15, 8)

static struct fx_td td;

static u64 large_call(u64 leaf, struct fx_args *args, u64 r8)
{
	*args = (struct fx_args){ .rcx = LEVEL_2M, .rdx = td.tdr, .r8 = r8 };
	return fx_seamcall(leaf, args);
}

static void block_and_track(u64 mapping)
{
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = mapping, .rdx = td.tdr);
	fx_must(LEAF_MEM_TRACK, .rcx = td.tdr);
}

/* What PHYMEM.PAGE.RDMD says about the page: type, and level in bits 15:8. */
static u64 type_and_level(u64 hpa)
{
	struct fx_args args = { .rcx = hpa };

	fx_expect_success("PAGE.RDMD", fx_seamcall(LEAF_PHYMEM_PAGE_RDMD, &args));
	return args.rcx | args.r8 << 8;
}

static void *tdcs_page(enum tdcx_index index)
{
	const struct tdr *tdr = sim_ptr(td.tdr);

	return sim_ptr(tdr->tdcx_pa[index]);
}

static u64 *guest_word(u64 gpa)
{
	struct sim_vp vp = {
		.td.tdr = sim_ptr(td.tdr),
		.td.tdcs = tdcs_page(TDCX_TDCS),
		.td.sept_root = tdcs_page(TDCX_SEPT_ROOT),
	};

	return sim_guest_page(&vp, gpa, true);
}

/* A runnable TD with one small page and tables down to the 2 MB entries. */
static void start(u64 attributes)
{
	fx_boot(1);
	memset(&td, 0, sizeof(td));
	fx_td_create(&td, HKID);
	fx_td_init(&td, attributes);
	fx_vp_add(&td);
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 3, .rdx = td.tdr, .r8 = fx_page());
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 2, .rdx = td.tdr, .r8 = fx_page());
	fx_must(LEAF_MR_FINALIZE, .rcx = td.tdr);
}

static void test_large_page(void)
{
	struct fx_args args;

	start(0);
	tap_equal(large_call(LEAF_MEM_PAGE_AUG, &args, LARGE_PAGE + SZ_4K),
		  SIM_OPERAND_INVALID | R8, "a large page has to be aligned");
	tap_equal(large_call(LEAF_MEM_PAGE_AUG, &args, LARGE_PAGE), 0, "a large page is added");
	tap_equal(type_and_level(LARGE_PAGE + SZ_64K), PT_REG | LEVEL_2M << 8,
		  "the PAMT has one entry for all of it");
	tap_equal(fx_call(LEAF_MNG_CREATE, .rcx = LARGE_PAGE + SZ_4K, .rdx = HKID + 1),
		  SIM_PAGE_METADATA_INCORRECT | RCX, "no small page of it is free");

	memset(fx_mem(LARGE_PAGE), 0xff, SIM_PAGE_SIZE);
	args = (struct fx_args){ .rcx = LEVEL_2M };
	tap_equal(fx_tdcall(td.tdr, TDG_MEM_PAGE_ACCEPT, &args), 0, "the guest accepts it at once");
	tap_ok(guest_word(GPA_IN_RANGE) && !*guest_word(0), "and finds it zeroed");
	args = (struct fx_args){ .rcx = GPA_IN_RANGE };
	tap_equal(fx_tdcall(td.tdr, TDG_MEM_PAGE_ACCEPT, &args),
		  SIM_PAGE_ALREADY_ACCEPTED | LEVEL_2M, "a small page of it needs no acceptance");
}

static void test_split_and_merge(void)
{
	struct fx_args args;
	u64 table = fx_page(), elsewhere = fx_page();

	*guest_word(GPA_IN_RANGE) = PATTERN;
	tap_equal(large_call(LEAF_MEM_PAGE_DEMOTE, &args, table), SIM_GPA_RANGE_NOT_BLOCKED | RCX,
		  "a large page in use cannot be split");
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = LEVEL_2M, .rdx = td.tdr);
	tap_equal(large_call(LEAF_MEM_PAGE_DEMOTE, &args, table), SIM_TLB_TRACKING_NOT_DONE | RCX,
		  "nor while old translations may be in use");
	fx_must(LEAF_MEM_TRACK, .rcx = td.tdr);
	tap_equal(large_call(LEAF_MEM_PAGE_DEMOTE, &args, table), 0, "then it is split");
	tap_equal(type_and_level(LARGE_PAGE + SZ_64K), PT_REG, "into small pages in the PAMT");
	tap_equal(type_and_level(table), PT_EPT, "the new table belongs to the TD");
	tap_equal(*guest_word(GPA_IN_RANGE), PATTERN, "the guest does not notice");

	block_and_track(GPA_IN_RANGE);
	fx_must(LEAF_MEM_PAGE_RELOCATE, .rcx = GPA_IN_RANGE, .rdx = td.tdr, .r8 = elsewhere);
	tap_equal(*guest_word(GPA_IN_RANGE), PATTERN, "a page keeps its content when it moves");
	block_and_track(LEVEL_2M);
	tap_equal(large_call(LEAF_MEM_PAGE_PROMOTE, &args, 0),
		  SIM_EPT_INVALID_PROMOTE_CONDITIONS | RCX, "scattered pages cannot be merged");
	fx_must(LEAF_MEM_RANGE_UNBLOCK, .rcx = LEVEL_2M, .rdx = td.tdr);
	block_and_track(GPA_IN_RANGE);
	fx_must(LEAF_MEM_PAGE_RELOCATE, .rcx = GPA_IN_RANGE, .rdx = td.tdr,
		.r8 = LARGE_PAGE + GPA_IN_RANGE);

	block_and_track(LEVEL_2M);
	machine_pend_interrupt(1);
	tap_equal(large_call(LEAF_MEM_PAGE_PROMOTE, &args, 0), SIM_INTERRUPTED_RESTARTABLE,
		  "a merge can be interrupted");
	tap_equal(args.rcx, LEVEL_2M, "and called again with the same operands");
	machine_pend_interrupt(0);
	tap_equal(large_call(LEAF_MEM_PAGE_PROMOTE, &args, 0), 0, "pages in a row are merged");
	tap_equal(args.rcx, table, "PROMOTE returns the table");
	tap_equal(type_and_level(table), PT_NDA, "which is free");
	tap_equal(type_and_level(LARGE_PAGE), PT_REG | LEVEL_2M << 8, "and one large page remains");
	tap_equal(*guest_word(GPA_IN_RANGE), PATTERN, "with the content of the small ones");
	tap_equal(type_and_level(elsewhere), PT_NDA, "pages left behind are free");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, LARGE_PAGE + SZ_2M),
	       "ownership adds up after all of it");
}

static void test_removal(void)
{
	struct fx_args args;

	block_and_track(LEVEL_2M);
	tap_equal(large_call(LEAF_MEM_PAGE_REMOVE, &args, 0), 0, "a large page is removed");
	tap_equal(args.rcx, LARGE_PAGE, "REMOVE returns its address");
	tap_equal(fx_mng_rd(td.tdr, FX_MD_CHLDCNT), fx_used_pages() - 1,
		  "CHLDCNT is right after all sizes changed");

	fx_must(LEAF_MEM_SEPT_ADD, .rcx = LEVEL_2M, .rdx = td.tdr, .r8 = fx_page());
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = 0, .rdx = td.tdr, .r8 = fx_page());
	block_and_track(LEVEL_2M);
	tap_equal(large_call(LEAF_MEM_SEPT_REMOVE, &args, 0), SIM_EPT_PAGE_NOT_FREE | RCX,
		  "a table that maps a page cannot be removed");
	tap_ok(!guest_word(0), "below a blocked table nothing is mapped");

	fx_must(LEAF_VP_FLUSH, .rcx = td.vp[0]);
	fx_must(LEAF_MNG_VPFLUSHDONE, .rcx = td.tdr);
	machine_pend_interrupt(1);
	tap_equal(fx_call(LEAF_PHYMEM_CACHE_WB), SIM_INTERRUPTED_RESUMABLE,
		  "a write back of the caches can be interrupted");
	machine_pend_interrupt(0);
	tap_equal(fx_call(LEAF_MNG_KEY_FREEID, .rcx = td.tdr), SIM_WBCACHE_NOT_COMPLETE,
		  "and does not count before it is complete");
	tap_equal(fx_call(LEAF_PHYMEM_CACHE_WB, .rcx = 1), 0, "it is resumed");
	tap_equal(fx_call(LEAF_PHYMEM_CACHE_WB, .rcx = 1), SIM_WBCACHE_RESUME_ERROR, "once");
}

static void test_debug_access(void)
{
	struct fx_args args = { .rcx = 8 };

	start(0);
	args.rdx = td.tdr;
	tap_equal(fx_seamcall(LEAF_MEM_RD, &args), SIM_TD_NON_DEBUG,
		  "the host cannot read a production TD");

	start(ATTR_DEBUG);
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = LEVEL_2M, .rdx = td.tdr, .r8 = fx_page());
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = 0, .rdx = td.tdr, .r8 = fx_page());
	args = (struct fx_args){ .rcx = 8, .rdx = td.tdr };
	tap_equal(fx_seamcall(LEAF_MEM_RD, &args), SIM_EPT_ENTRY_NOT_PRESENT | RCX,
		  "a page that is not accepted has no content");
	tap_equal(FIELD_GET(REPORTED_STATE, args.rdx), sept_public_state(SEPT_PENDING),
		  "the error names its state");
	args = (struct fx_args){ };
	fx_expect_success("PAGE.ACCEPT", fx_tdcall(td.tdr, TDG_MEM_PAGE_ACCEPT, &args));
	args = (struct fx_args){ .rcx = 8, .rdx = td.tdr, .r8 = PATTERN };
	tap_equal(fx_seamcall(LEAF_MEM_WR, &args), 0, "the host writes to a debug TD");
	tap_equal(args.r8, 0, "and gets the old value");
	args = (struct fx_args){ .rcx = 8, .rdx = td.tdr };
	fx_expect_success("MEM.RD", fx_seamcall(LEAF_MEM_RD, &args));
	tap_equal(args.r8, PATTERN, "and reads what it wrote");
	args = (struct fx_args){ .rcx = 1, .rdx = td.tdr };
	tap_equal(fx_seamcall(LEAF_MEM_RD, &args), SIM_OPERAND_INVALID | RCX,
		  "words have to be aligned");
}

struct build {
	u64 gpa;
	u8 content;
	bool extend;
};

/* MRTD of a TD with one page. */
static void measure(const struct build *b, u8 mrtd[MRTD_SIZE])
{
	const struct tdcs *tdcs;
	u64 offset;

	fx_boot(1);
	memset(&td, 0, sizeof(td));
	fx_td_create(&td, HKID);
	fx_td_init(&td, 0);
	fx_vp_add(&td);
	fx_sept_add(&td, b->gpa);
	fx_page_add(&td, b->gpa, b->content);
	for (offset = 0; b->extend && offset < SIM_PAGE_SIZE; offset += MR_EXTEND_SIZE)
		fx_must(LEAF_MR_EXTEND, .rcx = b->gpa + offset, .rdx = td.tdr);
	fx_must(LEAF_MR_FINALIZE, .rcx = td.tdr);
	tdcs = tdcs_page(TDCX_TDCS);
	memcpy(mrtd, tdcs->mrtd, MRTD_SIZE);
}

static bool same_measurement(const struct build *a, const struct build *b)
{
	u8 mrtd_a[MRTD_SIZE], mrtd_b[MRTD_SIZE];

	measure(a, mrtd_a);
	measure(b, mrtd_b);
	return !memcmp(mrtd_a, mrtd_b, sizeof(mrtd_a));
}

static void test_measurement(void)
{
	const struct build base = { .gpa = 0x1000, .content = 1 };
	const struct build other_gpa = { .gpa = 0x2000, .content = 1 };
	const struct build other_content = { .gpa = 0x1000, .content = 2 };
	const struct build extended = { .gpa = 0x1000, .content = 1, .extend = true };
	const struct build other_extended = { .gpa = 0x1000, .content = 2, .extend = true };

	tap_ok(same_measurement(&base, &base), "MRTD is reproducible");
	tap_ok(!same_measurement(&base, &other_gpa), "MRTD depends on where pages are");
	tap_ok(same_measurement(&base, &other_content), "but not on content that is not extended");
	tap_ok(!same_measurement(&base, &extended), "MRTD tells what was extended");
	tap_ok(!same_measurement(&extended, &other_extended), "MRTD depends on extended content");
	tap_equal(fx_call(LEAF_MR_EXTEND, .rcx = 0x1000, .rdx = td.tdr), SIM_OP_STATE_INCORRECT,
		  "nothing is measured after MR.FINALIZE");
}

int main(void)
{
	test_large_page();
	test_split_and_merge();
	test_removal();
	test_debug_access();
	test_measurement();
	return tap_done();
}
