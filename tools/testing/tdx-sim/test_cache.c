// SPDX-License-Identifier: GPL-2.0
/*
 * Cache lines under private KeyIDs: which pages carry some along when they leave a
 * TD, what writes them back, and who is told when somebody uses such a page.
 */
#include "fixture.h"
#include "mig.h"
#include "tap.h"

#define HKID_SHIFT	46
#define SRC_HKID	33
#define DST_HKID	34
#define GPA_OP_MIGRATE	BIT_ULL(52)
#define GPA_OP_CANCEL	BIT_ULL(53)
#define LEVEL_2M	1
#define PENDING_GPA	0x20000ULL
#define LARGE_PAGE	(MACHINE_TDMR_BASE + 5 * SZ_2M)
#define NEXT_LP		1

static struct fx_pair pair;

static bool is_dirty(u64 hpa)
{
	struct sim_dirty dirty;

	return sim_cache_dirty(hpa, &dirty);
}

static bool is_dirty_by(u64 hpa, u16 keyid, u16 leaf)
{
	struct sim_dirty dirty = { };

	return sim_cache_dirty(hpa, &dirty) && dirty.keyid == keyid && dirty.leaf == leaf;
}

static void wbinvd(u64 hpa, u64 keyid)
{
	fx_must(LEAF_PHYMEM_PAGE_WBINVD, .rcx = hpa | keyid << HKID_SHIFT);
}

static void block_and_track(u64 tdr, u64 mapping)
{
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = mapping, .rdx = tdr);
	fx_must(LEAF_MEM_TRACK, .rcx = tdr);
}

static void remove_page(u64 tdr, u64 mapping)
{
	block_and_track(tdr, mapping);
	fx_must(LEAF_MEM_PAGE_REMOVE, .rcx = mapping, .rdx = tdr);
}

static void test_page_wbinvd(void)
{
	u64 page = pair.src_page[1];

	fx_restore(0);
	tap_ok(!is_dirty(page), "while a page belongs to a TD there is nothing to tell");
	remove_page(pair.src.tdr, 0x1000);
	tap_ok(is_dirty_by(page, SRC_HKID, LEAF_MEM_PAGE_REMOVE),
	       "a page that the guest could write to is dirty when it is removed");
	wbinvd(page, 0);
	tap_ok(is_dirty(page), "a write back under KeyID 0 does not reach its lines");
	wbinvd(page, DST_HKID);
	tap_ok(is_dirty(page), "nor one under the KeyID of another TD");
	wbinvd(page, SRC_HKID);
	tap_ok(!is_dirty(page), "one under the KeyID of its TD does");
	tap_equal(machine_dirty_page().count, 0, "none of it is a mistake");
}

static void test_pending_page(void)
{
	u64 page = fx_page();

	fx_must(LEAF_MEM_PAGE_AUG, .rcx = PENDING_GPA, .rdx = pair.src.tdr, .r8 = page);
	remove_page(pair.src.tdr, PENDING_GPA);
	tap_ok(!is_dirty(page), "a page that was never accepted is clean");

	fx_must(LEAF_MEM_PAGE_AUG, .rcx = PENDING_GPA, .rdx = pair.src.tdr, .r8 = page);
	fx_expect_success("PAGE.ACCEPT", fx_tdcall(pair.src.tdr, TDG_MEM_PAGE_ACCEPT,
						   &(struct fx_args){ .rcx = PENDING_GPA }));
	remove_page(pair.src.tdr, PENDING_GPA);
	tap_ok(is_dirty(page), "one that was accepted is not");
	wbinvd(page, SRC_HKID);
}

static void test_mistakes(void)
{
	struct machine_dirty_page d;
	u64 page = pair.src_page[2];
	u64 vp = pair.mig.vp[0];

	remove_page(pair.src.tdr, 0x2000);
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = 0x2000, .rdx = pair.src.tdr, .r8 = page);
	tap_equal(machine_dirty_page().count, 0, "a TD may get its page back without a write back");
	remove_page(pair.src.tdr, 0x2000);
	tap_ok(!is_dirty(page), "which says nothing about its next life");

	page = pair.src_page[3];
	remove_page(pair.src.tdr, 0x3000);
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = 0x3000, .rdx = pair.mig.tdr, .r8 = page);
	d = machine_dirty_page();
	tap_equal(d.count, 1, "to give it to another TD is a mistake");
	tap_ok(d.hpa == page && d.keyid == SRC_HKID && d.leaf == LEAF_MEM_PAGE_REMOVE &&
	       d.use == SIM_USE_PRIVATE, "which is told with page, KeyID and leaf");

	page = pair.src_page[4];
	remove_page(pair.src.tdr, 0x4000);
	tap_equal(fx_call(LEAF_VP_ADDCX, .rcx = page, .rdx = vp), SIM_OP_STATE_INCORRECT,
		  "a call that fails before it takes the page");
	tap_equal(machine_dirty_page().count, 0, "is none");
	fx_call(LEAF_MEM_PAGE_ADD, .rcx = 0, .rdx = pair.mig.tdr, .r8 = fx_page(), .r9 = page);
	tap_ok(is_dirty(page), "nor is one that does not look at it");
	tap_equal(sim_check_shared_hpa(page + 64, 64, R9), 0,
		  "the module cannot refuse to use it as shared memory");
	d = machine_dirty_page();
	tap_ok(d.count == 1 && d.hpa == page && d.use == SIM_USE_SHARED, "but that is told");
	sim_check_shared_hpa(page, 64, R9);
	tap_equal(machine_dirty_page().count, 0, "once");

	page = pair.src_page[5];
	remove_page(pair.src.tdr, 0x5000);
	sim_cache_host_use(page + 8, SIM_USE_FREED);
	d = machine_dirty_page();
	tap_ok(d.count == 1 && d.hpa == page && d.use == SIM_USE_FREED,
	       "the host can tell where it sees the page used");
	sim_cache_host_use(pair.src_page[6], SIM_USE_FREED);
	sim_cache_host_use(pair.b.pages, SIM_USE_FREED);
	tap_equal(machine_dirty_page().count, 0, "pages in use or outside of TDMRs have no lines");
}

static void test_tables(void)
{
	u64 tables[] = { fx_page(), fx_page() };
	u64 target = fx_page();

	fx_restore(0);
	block_and_track(pair.src.tdr, 0x1000);
	fx_must(LEAF_MEM_PAGE_RELOCATE, .rcx = 0x1000, .rdx = pair.src.tdr, .r8 = target);
	tap_ok(is_dirty_by(pair.src_page[1], SRC_HKID, LEAF_MEM_PAGE_RELOCATE),
	       "the page that RELOCATE leaves is dirty");

	fx_must(LEAF_MEM_SEPT_ADD, .rcx = SZ_1G | 2, .rdx = pair.src.tdr, .r8 = tables[0]);
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = SZ_1G | 1, .rdx = pair.src.tdr, .r8 = tables[1]);
	block_and_track(pair.src.tdr, SZ_1G | 1);
	fx_must(LEAF_MEM_SEPT_REMOVE, .rcx = SZ_1G | 1, .rdx = pair.src.tdr);
	tap_ok(is_dirty_by(tables[1], SRC_HKID, LEAF_MEM_SEPT_REMOVE), "so is a removed table");

	fx_must(LEAF_MEM_PAGE_AUG, .rcx = SZ_1G | LEVEL_2M, .rdx = pair.src.tdr, .r8 = LARGE_PAGE);
	fx_expect_success("PAGE.ACCEPT",
			  fx_tdcall(pair.src.tdr, TDG_MEM_PAGE_ACCEPT,
				    &(struct fx_args){ .rcx = SZ_1G | LEVEL_2M }));
	tap_equal(sim_check_shared_hpa(LARGE_PAGE + SZ_64K, 64, R9), SIM_OPERAND_INVALID | R9,
		  "no part of a large page is shared memory");
	block_and_track(pair.src.tdr, SZ_1G | LEVEL_2M);
	wbinvd(tables[1], SRC_HKID);
	fx_must(LEAF_MEM_PAGE_DEMOTE, .rcx = SZ_1G | LEVEL_2M, .rdx = pair.src.tdr,
		.r8 = tables[1]);
	tap_ok(!is_dirty(LARGE_PAGE), "pages that change their size stay in the TD");
	block_and_track(pair.src.tdr, SZ_1G | LEVEL_2M);
	fx_must(LEAF_MEM_PAGE_PROMOTE, .rcx = SZ_1G | LEVEL_2M, .rdx = pair.src.tdr);
	tap_ok(is_dirty_by(tables[1], SRC_HKID, LEAF_MEM_PAGE_PROMOTE),
	       "the table above merged pages leaves it, dirty");
	tap_ok(!is_dirty(LARGE_PAGE), "the pages do not");

	remove_page(pair.src.tdr, SZ_1G | LEVEL_2M);
	tap_ok(is_dirty(LARGE_PAGE) && is_dirty(LARGE_PAGE + SZ_2M - SZ_4K),
	       "all parts of a large page are dirty when it is removed");
	wbinvd(LARGE_PAGE, SRC_HKID);
	tap_ok(!is_dirty(LARGE_PAGE) && is_dirty(LARGE_PAGE + SZ_4K),
	       "and have to be written back one by one");
	machine_dirty_page();
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = SZ_1G | LEVEL_2M, .rdx = pair.src.tdr, .r8 = LARGE_PAGE);
	tap_ok(!is_dirty(LARGE_PAGE + SZ_4K) && !machine_dirty_page().count,
	       "unless their TD gets them back");
}

static void test_teardown(void)
{
	u64 page = pair.src_page[1];

	fx_restore(0);
	remove_page(pair.src.tdr, 0x1000);
	fx_must(LEAF_VP_FLUSH, .rcx = pair.src.vp[0]);
	/* As if the machine had a second package. */
	sim_module.platform.nr_packages = 2;
	sim_module.pkgs_key_configured = 3;
	fx_must(LEAF_MNG_VPFLUSHDONE, .rcx = pair.src.tdr);
	fx_must(LEAF_PHYMEM_CACHE_WB);
	tap_ok(is_dirty(page), "a write back of one package is not enough");
	machine_set_lp(NEXT_LP);
	fx_must(LEAF_PHYMEM_CACHE_WB);
	machine_set_lp(0);
	tap_ok(!is_dirty(page), "one of all packages is");
	fx_must(LEAF_MNG_KEY_FREEID, .rcx = pair.src.tdr);
	fx_must(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = pair.src_page[2]);
	fx_must(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = pair.src.vp[0]);
	tap_ok(!is_dirty(pair.src_page[2]) && !is_dirty(pair.src.vp[0]),
	       "pages reclaimed after it are clean");

	fx_restore(0);
	remove_page(pair.src.tdr, 0x1000);
	fx_td_destroy(&pair.dst);
	tap_ok(is_dirty(page), "a write back for one KeyID says nothing about another one");
	tap_ok(is_dirty_by(pair.dst.tdr, MACHINE_GLOBAL_HKID, LEAF_PHYMEM_PAGE_RECLAIM),
	       "a TDR is dirty under the global KeyID");
	wbinvd(pair.dst.tdr, DST_HKID);
	tap_ok(is_dirty(pair.dst.tdr), "not under that of its TD");
	wbinvd(pair.dst.tdr, MACHINE_GLOBAL_HKID);
	tap_ok(!is_dirty(pair.dst.tdr), "and can be written back");
}

/* Start a migration and import pages [0, n), whose MACs the test may spoil. */
static void export_pages(unsigned int n)
{
	fx_restore(0);
	fx_pair_start(&pair);
	fx_block_writes(&pair, 0, n);
	fx_expect_success("EXPORT.MEM", fx_export_pages(&pair, 0, n, 0));
}

static u64 new_page(unsigned int i)
{
	return ((u64 *)fx_mem(pair.b.new_list))[i] & SIM_HPA_PAGE_MASK;
}

static void test_wrong_mac(void)
{
	export_pages(3);
	((u8 *)fx_mem(pair.b.mac[0]))[16]++;
	tap_equal(fx_import_pages(&pair, 3, 0),
		  SIM_INVALID_PAGE_MAC | SIM_FATAL | OPND_GPA_LIST_ENTRY,
		  "a page with a wrong MAC ends the import");
	tap_ok(is_dirty_by(new_page(1), DST_HKID, LEAF_IMPORT_MEM),
	       "it stays with the host, with the lines that were decrypted into it");
	tap_ok(!is_dirty(new_page(0)), "the page before it belongs to the TD");
	tap_ok(!is_dirty(new_page(2)), "the page after it was not touched");
	tap_equal(sim_pamt(new_page(1))->type, PT_NDA, "it is no page of the TD");
	tap_ok(!memchr_inv(fx_mem(new_page(1)), 0, SIM_PAGE_SIZE), "its content is not told");

	fx_must(LEAF_MEM_PAGE_REMOVE, .rcx = 0, .rdx = pair.dst.tdr);
	tap_ok(is_dirty_by(new_page(0), DST_HKID, LEAF_MEM_PAGE_REMOVE),
	       "pages can be removed from the failed import, and are dirty then");
}

static void track(void)
{
	fx_must(LEAF_EXPORT_TRACK, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b));
	fx_must(LEAF_IMPORT_TRACK, .rcx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b));
}

/* A page that arrived without content is accepted at the source and sent again. */
static void test_wrong_mac_of_accepted_page(void)
{
	u64 page;

	fx_restore(0);
	fx_must(LEAF_MEM_PAGE_AUG, .rcx = PENDING_GPA, .rdx = pair.src.tdr, .r8 = fx_page());
	fx_pair_start(&pair);
	fx_block_writes(&pair, PENDING_GPA / SIM_PAGE_SIZE, 1);
	fx_expect_success("EXPORT.MEM",
			  fx_export_pages(&pair, PENDING_GPA / SIM_PAGE_SIZE, 1, 0));
	fx_expect_success("IMPORT.MEM", fx_import_pages(&pair, 1, 0));
	page = new_page(0);
	track();

	fx_must(LEAF_EXPORT_UNBLOCKW, .rcx = PENDING_GPA, .rdx = pair.src.tdr);
	fx_expect_success("PAGE.ACCEPT", fx_tdcall(pair.src.tdr, TDG_MEM_PAGE_ACCEPT,
						   &(struct fx_args){ .rcx = PENDING_GPA }));
	fx_block_writes(&pair, PENDING_GPA / SIM_PAGE_SIZE, 1);
	fx_expect_success("EXPORT.MEM",
			  fx_export_pages(&pair, PENDING_GPA / SIM_PAGE_SIZE, 1, 0));
	((u8 *)fx_mem(pair.b.mac[0]))[0]++;
	tap_equal(fx_import_pages(&pair, 1, 0),
		  SIM_INVALID_PAGE_MAC | SIM_FATAL | OPND_GPA_LIST_ENTRY,
		  "content for a pending page has a wrong MAC");
	fx_must(LEAF_MEM_PAGE_REMOVE, .rcx = PENDING_GPA, .rdx = pair.dst.tdr);
	tap_ok(is_dirty(page), "the page is dirty though nobody has accepted it");
}

static void test_canceled_page(void)
{
	u64 page;

	export_pages(1);
	fx_expect_success("IMPORT.MEM", fx_import_pages(&pair, 1, 0));
	page = new_page(0);
	track();
	*fx_gpa_entry(&pair.b, 0) = GPA_OP_CANCEL;
	fx_reset_slots(&pair.b);
	fx_must(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&pair.b, 1), .rdx = pair.src.tdr,
		.r8 = fx_mbmd(&pair.b), .r9 = pair.b.page_list, .r11 = pair.b.mac[0]);
	fx_expect_success("IMPORT.MEM", fx_import_pages(&pair, 1, 0));
	tap_equal(sim_pamt(page)->type, PT_NDA, "a page whose import is cancelled is free");
	tap_ok(is_dirty_by(page, DST_HKID, LEAF_IMPORT_MEM), "and dirty");
}

int main(void)
{
	fx_boot(2);
	fx_pair_init(&pair, 2);
	fx_snapshot(0);
	test_page_wbinvd();
	test_pending_page();
	test_mistakes();
	test_tables();
	test_teardown();
	test_wrong_mac();
	test_wrong_mac_of_accepted_page();
	test_canceled_page();
	return tap_done();
}
