// SPDX-License-Identifier: GPL-2.0
/*
 * Page ownership: who gets a page, who may take it, and when it is free again.
 */
#include "fixture.h"
#include "invariants.h"
#include "tap.h"

#define RECLAIM_TYPE(a)		((a).rcx & 0xff)

static u8 type_of(u64 hpa)
{
	return sim_pamt(hpa)->type;
}

static void test_entries(void)
{
	struct pamt_entry e = { };

	sim_pamt_assign(&e, PT_REG, 0xfffffffff000ULL);
	tap_equal(sim_pamt_owner(&e), 0xfffffffff000ULL, "an entry keeps the whole owner address");
	tap_equal(e.type, PT_REG, "an entry keeps the type");
	sim_pamt_free(&e);
	tap_equal(e.type, PT_NDA, "a freed entry has no type");
	tap_equal(sim_pamt_owner(&e), 0, "a freed entry has no owner");
}

static void test_coverage(void)
{
	struct tdx_sim_platform platform = machine_reference_platform;

	fx_boot(1);
	tap_ok(!sim_pamt(MACHINE_TDMR_BASE - 1), "memory below the TDMR has no entry");
	tap_ok(sim_pamt(MACHINE_TDMR_BASE), "the first page of the TDMR has one");
	tap_ok(sim_pamt(MACHINE_TDMR_END - 1), "the last byte of the TDMR has one");
	tap_ok(!sim_pamt(MACHINE_TDMR_END), "memory after the TDMR has none");
	machine_reset(&platform);
	tap_ok(!sim_pamt(MACHINE_TDMR_BASE), "without configuration nothing has an entry");
}

static void test_life_of_pages(void)
{
	struct fx_td td;
	u64 page, sept, spare;

	fx_boot(1);
	fx_td_create(&td, 33);
	tap_equal(type_of(td.tdr), PT_TDR, "MNG.CREATE makes a TDR page");
	tap_equal(type_of(td.tdr + SIM_PAGE_SIZE), PT_TDCX, "MNG.ADDCX makes a TDCX page");
	tap_equal(sim_pamt_owner(sim_pamt(td.tdr + SIM_PAGE_SIZE)), td.tdr,
		  "and the TDR page owns it");
	fx_td_init(&td, 0);
	fx_vp_add(&td);
	tap_equal(type_of(td.vp[0]), PT_TDVPR, "VP.CREATE makes a TDVPR page");

	sept = fx_page();
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 3, .rdx = td.tdr, .r8 = sept);
	tap_equal(type_of(sept), PT_EPT, "SEPT.ADD makes a Secure EPT page");
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 2, .rdx = td.tdr, .r8 = fx_page());
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 1, .rdx = td.tdr, .r8 = fx_page());
	page = fx_page_add(&td, 0, 1);
	tap_equal(type_of(page), PT_REG, "PAGE.ADD makes a private page");

	spare = fx_hpages(1);
	tap_equal(fx_call(LEAF_MEM_PAGE_ADD, .rcx = 0x1000, .rdx = td.tdr, .r8 = page, .r9 = spare),
		  SIM_PAGE_METADATA_INCORRECT | R8, "a page cannot be added twice");
	tap_equal(fx_call(LEAF_MEM_PAGE_ADD, .rcx = 0x1000, .rdx = td.tdr, .r8 = sept, .r9 = spare),
		  SIM_PAGE_METADATA_INCORRECT | R8, "a Secure EPT page cannot be added");
	tap_equal(fx_call(LEAF_MNG_CREATE, .rcx = page, .rdx = 34),
		  SIM_PAGE_METADATA_INCORRECT | RCX, "a private page cannot become a TDR page");
	tap_equal(fx_call(LEAF_MNG_ADDCX, .rcx = fx_page(), .rdx = page),
		  SIM_PAGE_METADATA_INCORRECT | RDX, "a private page is no TDR operand");
	tap_equal(fx_call(LEAF_VP_INIT, .rcx = td.tdr), SIM_PAGE_METADATA_INCORRECT | RCX,
		  "a TDR page is no TDVPR operand");
	tap_equal(fx_call(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = page),
		  SIM_LIFECYCLE_STATE_INCORRECT, "a page of a living TD cannot be reclaimed");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + SZ_4M),
	       "ownership adds up after all of it");

	fx_must(LEAF_MR_FINALIZE, .rcx = td.tdr);
	tap_equal(fx_mng_rd(td.tdr, FX_MD_CHLDCNT), fx_used_pages() - 1,
		  "CHLDCNT counts every page but the TDR");
}

static void test_removed_page(void)
{
	struct fx_args args;
	struct fx_td td;
	u64 page;

	fx_boot(1);
	fx_td_create(&td, 33);
	fx_td_init(&td, 0);
	fx_vp_add(&td);
	fx_sept_add(&td, 0);
	page = fx_page_add(&td, 0, 1);
	fx_must(LEAF_MR_FINALIZE, .rcx = td.tdr);

	args = (struct fx_args){ .rdx = td.tdr };
	tap_equal(fx_seamcall(LEAF_MEM_PAGE_REMOVE, &args), SIM_GPA_RANGE_NOT_BLOCKED | RCX,
		  "a page in use cannot be removed");
	fx_must(LEAF_MEM_RANGE_BLOCK, .rdx = td.tdr);
	args = (struct fx_args){ .rdx = td.tdr };
	tap_equal(fx_seamcall(LEAF_MEM_PAGE_REMOVE, &args), SIM_TLB_TRACKING_NOT_DONE | RCX,
		  "a blocked page has to be tracked before it is removed");
	tap_equal(type_of(page), PT_REG, "and stays the TD's until then");
	fx_must(LEAF_MEM_TRACK, .rcx = td.tdr);
	args = (struct fx_args){ .rdx = td.tdr };
	tap_equal(fx_seamcall(LEAF_MEM_PAGE_REMOVE, &args), 0, "then it is removed");
	tap_equal(args.rcx, page, "REMOVE returns its address");
	tap_equal(type_of(page), PT_NDA, "a removed page is free");
}

static void test_teardown(void)
{
	struct fx_args args;
	struct fx_td td;

	fx_boot(1);
	fx_td_create(&td, 33);
	fx_td_init(&td, 0);
	fx_vp_add(&td);
	fx_sept_add(&td, 0);
	fx_page_add(&td, 0, 1);

	tap_equal(fx_call(LEAF_MNG_KEY_FREEID, .rcx = td.tdr), SIM_LIFECYCLE_STATE_INCORRECT,
		  "the KeyID of a living TD cannot be freed");
	fx_must(LEAF_VP_FLUSH, .rcx = td.vp[0]);
	fx_must(LEAF_MNG_VPFLUSHDONE, .rcx = td.tdr);
	tap_equal(fx_call(LEAF_MNG_KEY_FREEID, .rcx = td.tdr), SIM_WBCACHE_NOT_COMPLETE,
		  "nor before the caches are written back");
	fx_must(LEAF_PHYMEM_CACHE_WB);
	fx_must(LEAF_MNG_KEY_FREEID, .rcx = td.tdr);
	tap_equal(fx_call(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = td.tdr), SIM_TD_ASSOCIATED_PAGES_EXIST,
		  "the TDR page goes last");
	args = (struct fx_args){ .rcx = td.vp[0] };
	tap_equal(fx_seamcall(LEAF_PHYMEM_PAGE_RECLAIM, &args), 0, "a TDVPR page is reclaimed");
	tap_equal(RECLAIM_TYPE(args), PT_TDVPR, "RECLAIM returns its type");
	tap_equal(args.rdx, td.tdr, "and its owner");
	tap_equal(type_of(td.vp[0]), PT_NDA, "a reclaimed page is free");
}

static void test_nothing_leaks(void)
{
	static struct fx_pair pair;

	fx_boot(1);
	fx_pair_init(&pair, 3);
	fx_pair_start(&pair);
	fx_block_writes(&pair, 0, 4);
	fx_expect_success("EXPORT.MEM", fx_export_pages(&pair, 0, 4, 0));
	fx_expect_success("IMPORT.MEM", fx_import_pages(&pair, 4, 0));
	fx_td_destroy(&pair.src);
	fx_td_destroy(&pair.dst);
	fx_td_destroy(&pair.mig);
	tap_equal(fx_used_pages(), 0, "no page is left after TDs die in the middle of a migration");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + SZ_4M),
	       "and no lock");
	fx_td_create(&pair.src, 33);
	tap_equal(type_of(pair.src.tdr), PT_TDR, "the KeyID can be used again");
}

int main(void)
{
	test_entries();
	test_coverage();
	test_life_of_pages();
	test_removed_page();
	test_teardown();
	test_nothing_leaks();
	return tap_done();
}
