// SPDX-License-Identifier: GPL-2.0
/*
 * Secure EPT: states and what they mean, walks, and the way of a page through
 * the states of an export.
 */
#include "fixture.h"
#include "invariants.h"
#include "metadata.h"
#include "tap.h"

#define GPA_OP_CANCEL	BIT_ULL(53)
#define COUNT_MASK	U32_MAX
#define STATE_SHIFT	8

/* Per state: the public value, and who may act on it, as the reference module has it. */
static const struct {
	const char *name;
	enum sept_state state;
	u8 public;
	bool pending, exported, blockw, unblockw, restore, block;
} states[] = {
	{ "MAPPED", SEPT_MAPPED, 0x4, 0, 0, 1, 0, 0, 1 },
	{ "BLOCKEDW", SEPT_BLOCKEDW, 0x8, 0, 0, 0, 1, 0, 1 },
	{ "EXPORTED_BLOCKEDW", SEPT_EXPORTED_BLOCKEDW, 0x9, 0, 1, 0, 1, 1, 0 },
	{ "EXPORTED_DIRTY", SEPT_EXPORTED_DIRTY, 0xb, 0, 1, 1, 0, 1, 0 },
	{ "EXPORTED_DIRTY_BLOCKEDW", SEPT_EXPORTED_DIRTY_BLOCKEDW, 0xc, 0, 1, 0, 1, 1, 0 },
	{ "PENDING", SEPT_PENDING, 0x2, 1, 0, 1, 0, 0, 1 },
	{ "PENDING_BLOCKEDW", SEPT_PENDING_BLOCKEDW, 0x10, 1, 0, 0, 1, 0, 1 },
	{ "PENDING_EXPORTED_BLOCKEDW", SEPT_PENDING_EXPORTED_BLOCKEDW, 0x11, 1, 1, 0, 1, 1, 0 },
	{ "PENDING_EXPORTED_DIRTY", SEPT_PENDING_EXPORTED_DIRTY, 0x13, 1, 1, 1, 0, 1, 0 },
	{ "PENDING_EXPORTED_DIRTY_BLOCKEDW", SEPT_PENDING_EXPORTED_DIRTY_BLOCKEDW, 0x14,
	  1, 1, 0, 1, 1, 0 },
	{ "BLOCKED", SEPT_BLOCKED, 0x1, 0, 0, 0, 0, 0, 0 },
	{ "PENDING_BLOCKED", SEPT_PENDING_BLOCKED, 0x3, 1, 0, 0, 0, 0, 0 },
	{ "FREE", SEPT_FREE, 0x0, 0, 0, 0, 0, 0, 0 },
	{ "REMOVED", SEPT_REMOVED, 0x5, 0, 0, 0, 0, 0, 0 },
};

static struct fx_pair pair;

static void test_states(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		enum sept_state s = states[i].state;

		tap_equal(sept_public_state(s), states[i].public, "%s has its public value",
			  states[i].name);
		tap_ok(sept_is_pending(s) == states[i].pending &&
		       sept_is_exported(s) == states[i].exported,
		       "%s is classified as pending and exported", states[i].name);
		tap_ok(sept_state_allows(LEAF_EXPORT_BLOCKW, s) == states[i].blockw &&
		       sept_state_allows(LEAF_EXPORT_UNBLOCKW, s) == states[i].unblockw &&
		       sept_state_allows(LEAF_EXPORT_RESTORE, s) == states[i].restore &&
		       sept_state_allows(LEAF_MEM_RANGE_BLOCK, s) == states[i].block,
		       "%s allows the leaves it should", states[i].name);
	}
	tap_ok(!sept_state_allows(LEAF_MEM_SEPT_RD, SEPT_NR_STATES) &&
	       !sept_state_allows(SIM_NR_LEAVES, SEPT_MAPPED),
	       "unknown states and leaves are refused");
}

static bool writable(enum sept_state state)
{
	return state == SEPT_MAPPED || state == SEPT_EXPORTED_DIRTY;
}

static void test_entries(void)
{
	u64 hpa = MACHINE_TDMR_BASE + 0x5000;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		enum sept_state s = states[i].state;
		u64 e;

		if (s == SEPT_FREE || s == SEPT_REMOVED)
			continue;
		e = sept_make(s, hpa, SEPT_R | SEPT_X);
		tap_ok(sept_state(e) == s && sept_hpa(e) == hpa && !(e & SEPT_LOCK),
		       "an entry in %s keeps state and address", states[i].name);
		tap_ok(!!(e & SEPT_W) == writable(s) && (!(e & SEPT_RWX) || !sept_is_pending(s)),
		       "an entry in %s gives the rights of the state", states[i].name);
		tap_ok(!(e >> 63), "an entry in %s is no no-execute entry", states[i].name);
	}
	tap_equal(sept_make(SEPT_FREE, hpa, U64_MAX), 0, "a free entry is zero");
}

static void test_walks(void)
{
	struct sept_walk w;
	struct sim_td td;

	probe_td(pair.src.tdr, &td);
	tap_equal(sept_walk(&td, 0x3000, 0, &w), 0, "a mapped page is found");
	tap_ok(w.level == 0 && sept_hpa(w.entry) == pair.src_page[3], "at its address");
	tap_equal(sept_walk(&td, SZ_2M, 0, &w), SIM_EPT_WALK_FAILED, "a hole is not walked into");
	tap_equal(w.level, 1, "the walk says at which level the hole is");
	tap_equal(sept_walk(&td, SZ_1G, 0, &w), SIM_EPT_WALK_FAILED, "nor a larger hole");
	tap_equal(w.level, 2, "the walk says its level too");
	tap_equal(sept_walk(&td, 0, 1, &w), 0, "an entry above a table is found");
	tap_equal(sept_state(w.entry), SEPT_NL_MAPPED, "and leads on");
	tap_ok(sept_gpa_private(&td, BIT_ULL(47) - 1), "the last address below bit 47 is private");
	tap_ok(!sept_gpa_private(&td, BIT_ULL(47)), "bit 47 is the shared bit");
	tap_ok(!sept_gpa_private(&td, BIT_ULL(48)), "and there is nothing above it");
}

static void test_entry_lock(void)
{
	struct sept_walk a, b;
	struct sim_td td;

	probe_td(pair.src.tdr, &td);
	sept_walk(&td, 0, 0, &a);
	sept_walk(&td, 0, 0, &b);
	tap_ok(sept_trylock(&a), "an entry can be locked");
	tap_ok(!sept_trylock(&b), "by one at a time");
	sept_unlock(&a);
	tap_ok(sept_trylock(&b), "and by the other one afterwards");
	sept_unlock(&b);
	sept_walk(&td, 0, 0, &a);
	tap_equal(sept_hpa(a.entry), pair.src_page[0], "locks leave the entry as it was");
}

static u8 public_state(u64 gpa)
{
	struct fx_args args = { .rcx = gpa, .rdx = pair.src.tdr };

	fx_expect_success("SEPT.RD", fx_seamcall(LEAF_MEM_SEPT_RD, &args));
	return args.rdx >> STATE_SHIFT;
}

static u64 counter(u64 field)
{
	return fx_mng_rd(pair.src.tdr, field);
}

static bool writes(u64 gpa)
{
	struct probe_page page;
	struct sim_td td;

	return probe_td(pair.src.tdr, &td) && probe_translate(&td, gpa, &page) && page.writable;
}

/* The way of page 0 through a live export. */
static void test_export_states(void)
{
	tap_ok(writes(0), "the guest writes to a mapped page");
	fx_block_writes(&pair, 0, 1);
	tap_equal(public_state(0), 0x8, "BLOCKW blocks writes");
	tap_ok(!writes(0), "the guest cannot write any more");

	tap_equal(fx_export_pages(&pair, 0, 1, 0), 0, "the page is exported");
	tap_equal(public_state(0), 0x9, "it is exported and clean");
	tap_equal(counter(FX_MD_MIG_COUNT), 1, "it is counted");
	tap_equal(counter(FX_MD_DIRTY_COUNT), 0, "not as dirty");

	fx_must(LEAF_EXPORT_UNBLOCKW, .rcx = 0, .rdx = pair.src.tdr);
	tap_equal(public_state(0), 0xb, "UNBLOCKW makes it dirty");
	tap_equal(counter(FX_MD_DIRTY_COUNT), 1, "it is counted as dirty");
	tap_ok(writes(0), "the guest writes again");

	fx_block_writes(&pair, 0, 1);
	tap_equal(public_state(0), 0xc, "BLOCKW leaves it dirty");
	tap_equal(fx_export_pages(&pair, 0, 1, 0), 0, "it is exported again");
	tap_equal(counter(FX_MD_MIG_COUNT), 1, "it is counted once");
	tap_equal(counter(FX_MD_DIRTY_COUNT), 0, "and is clean");

	*fx_gpa_entry(&pair.b, 0) = GPA_OP_CANCEL;
	tap_equal(fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&pair.b, 1), .rdx = pair.src.tdr,
			  .r8 = fx_mbmd(&pair.b), .r9 = pair.b.page_list, .r11 = pair.b.mac[0]),
		  0, "its export is cancelled");
	tap_equal(public_state(0), 0x4, "it is mapped as in the beginning");
	tap_equal(counter(FX_MD_MIG_COUNT), 0, "and not counted");
}

static void test_tracking(void)
{
	u64 err;

	fx_block_writes(&pair, 1, 1);
	*fx_gpa_entry(&pair.b, 0) = BIT_ULL(52) | 0x2000;
	fx_must(LEAF_EXPORT_BLOCKW, .rcx = fx_gpa_list(&pair.b, 1), .rdx = pair.src.tdr);
	err = fx_export_pages(&pair, 1, 1, 0);
	tap_equal(err & COUNT_MASK, 1, "a later BLOCKW without TRACK holds back tracked pages too");
	tap_equal(public_state(0x1000), 0x8, "the page is not exported then");
	fx_must(LEAF_MEM_TRACK, .rcx = pair.src.tdr);
	tap_equal(fx_export_pages(&pair, 1, 1, 0), 0, "it is after TRACK");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + SZ_4M),
	       "counters and Secure EPT agree");
}

static u64 init_with_eptp(struct fx_td *td, u16 hkid, u64 eptp_controls)
{
	u64 params = fx_hpages(1);
	u8 *p = fx_mem(params);

	fx_td_create(td, hkid);
	put_unaligned_le64(3, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(eptp_controls, p + 0x18);
	put_unaligned_le16(100, p + 0x28);
	return fx_call(LEAF_MNG_INIT, .rcx = td->tdr, .rdx = params);
}

static void test_five_levels(void)
{
	struct fx_td td;

	tap_equal(init_with_eptp(&td, 40 + 1, SIM_EPTP_WB_5LEVEL),
		  SIM_OPERAND_INVALID | OPND_EPTP_CONTROLS,
		  "a processor with four levels has no TD with five");
	sim_module.platform.ept_levels = 5;
	tap_equal(init_with_eptp(&td, 40 + 2, SIM_EPTP_WB_5LEVEL), 0,
		  "a processor with five levels has");
	tap_equal(fx_call(LEAF_MEM_SEPT_ADD, .rcx = 3, .rdx = td.tdr, .r8 = fx_page()),
		  SIM_EPT_WALK_FAILED | RCX, "it needs the table of the highest level first");
	fx_must(LEAF_MEM_SEPT_ADD, .rcx = 4, .rdx = td.tdr, .r8 = fx_page());
	fx_sept_add(&td, 0x1000);
	fx_page_add(&td, 0x1000, 'F');
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, fx_pages_end()), "then it gets pages");
	tap_equal(init_with_eptp(&td, 40 + 3, SIM_EPTP_WB_4LEVEL), 0, "four levels are possible");
	tap_equal(fx_call(LEAF_MEM_SEPT_ADD, .rcx = 4, .rdx = td.tdr, .r8 = fx_page()),
		  SIM_OPERAND_INVALID | RCX, "and have no table of the highest level");
	tap_equal(init_with_eptp(&td, 40 + 4, SIM_EPTP_WB_5LEVEL + 8),
		  SIM_OPERAND_INVALID | OPND_EPTP_CONTROLS, "there are no six levels");
	sim_module.platform.ept_levels = 0;
}

int main(void)
{
	test_states();
	test_entries();
	fx_boot(1);
	fx_pair_init(&pair, 2);
	test_walks();
	test_entry_lock();
	fx_pair_start(&pair);
	test_export_states();
	test_tracking();
	test_five_levels();
	return tap_done();
}
