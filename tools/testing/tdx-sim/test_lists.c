// SPDX-License-Identifier: GPL-2.0
/*
 * Formats of the lists that the host gives: GPA lists, MAC lists, page lists,
 * bundle headers.
 */
#include "fixture.h"
#include "invariants.h"
#include "mig.h"
#include "tap.h"

#define MBMD_SIZE_SHIFT	52
#define LIST_LAST_SHIFT	55
#define GPA_OP_MIGRATE	BIT_ULL(52)
#define PRIVATE_HKID	(33ULL << 46)

static struct fx_pair pair;

static u64 list_info(unsigned int first, unsigned int last)
{
	return pair.b.gpa_list | first << 3 | (u64)last << LIST_LAST_SHIFT;
}

static void test_list_info(void)
{
	struct gpa_list list;
	unsigned int bit;

	tap_ok(!gpa_list_open(list_info(0, 511), &list) && list.first == 0 && list.last == 511,
	       "a list has up to 512 entries");
	tap_ok(!gpa_list_open(list_info(7, 7), &list) && list.first == 7 && list.last == 7,
	       "a list may have one entry, anywhere");
	tap_equal(gpa_list_open(list_info(8, 7), &list), SIM_OPERAND_INVALID | RCX,
		  "the first entry is not after the last");
	for (bit = 0; bit < 3; bit++)
		tap_equal(gpa_list_open(list_info(0, 7) | BIT_ULL(bit), &list),
			  SIM_OPERAND_INVALID | RCX, "format bit %u is refused", bit);
	for (bit = 52; bit < 55; bit++)
		tap_equal(gpa_list_open(list_info(0, 7) | BIT_ULL(bit), &list),
			  SIM_OPERAND_INVALID | RCX, "reserved bit %u is refused", bit);
	tap_equal(gpa_list_open(list_info(0, 7) | PRIVATE_HKID, &list), SIM_OPERAND_INVALID | RCX,
		  "a list at a private address is refused");
	tap_equal(gpa_list_info(list_info(3, 511), 512), list_info(0, 511),
		  "the index after the last of 512 entries wraps to 0");
	tap_equal(gpa_list_info(list_info(3, 20), 9), list_info(9, 20),
		  "otherwise it is the next entry");
}

static void test_entries(void)
{
	struct sim_td td;
	unsigned int bit;

	probe_td(pair.src.tdr, &td);
	tap_ok(gpa_entry_valid(&td, GPA_OP_MIGRATE | 0x1000), "a plain entry is valid");
	for (bit = 0; bit < 64; bit++) {
		bool reserved = bit < 2 || (bit >= 3 && bit <= 6) || bit == 54 || bit == 55 ||
				bit >= 61;
		bool beyond = bit >= 47 && bit < 52;
		bool valid = gpa_entry_valid(&td, GPA_OP_MIGRATE | 0x1000 | BIT_ULL(bit));

		tap_ok(valid == !(reserved || beyond), "bit %u of an entry is %s", bit,
		       reserved ? "reserved" : beyond ? "no private address" : "allowed");
	}
	tap_ok(!gpa_entry_valid(&td, BIT_ULL(0)), "a malformed entry is malformed also as a NOP");
}

/* In a real call: entries before a malformed one are done, the rest is not. */
static void test_malformed_entry(void)
{
	struct fx_args args;
	u64 list[4] = { GPA_OP_MIGRATE, GPA_OP_MIGRATE | 0x1000, GPA_OP_MIGRATE | 0x2000 | 1,
			GPA_OP_MIGRATE | 0x3000 };

	memcpy(fx_gpa_entry(&pair.b, 0), list, sizeof(list));
	args = (struct fx_args){ .rcx = fx_gpa_list(&pair.b, 4), .rdx = pair.src.tdr };
	tap_equal(fx_seamcall(LEAF_EXPORT_BLOCKW, &args),
		  SIM_OPERAND_INVALID | OPND_GPA_LIST_ENTRY, "a malformed entry stops the call");
	tap_equal(args.rcx, list_info(2, 3), "RCX names it");
	tap_equal(*fx_gpa_entry(&pair.b, 2) >> 56 & 0x1f, GPA_ENTRY_INVALID, "it has a status");
	tap_equal(*fx_gpa_entry(&pair.b, 3), list[3], "entries after it are not touched");
}

static void test_problem_entries(void)
{
	u64 list[3] = { GPA_OP_MIGRATE | 0x4000, GPA_OP_MIGRATE | SZ_1G, 0x5000 };

	memcpy(fx_gpa_entry(&pair.b, 0), list, sizeof(list));
	tap_equal(fx_call(LEAF_EXPORT_BLOCKW, .rcx = fx_gpa_list(&pair.b, 3), .rdx = pair.src.tdr),
		  1, "an entry without a page is counted as a problem, a NOP is not");
	tap_equal(*fx_gpa_entry(&pair.b, 1) >> 56 & 0x1f, GPA_WALK_FAILED,
		  "the entry without a page says so");
	tap_equal(*fx_gpa_entry(&pair.b, 1) & GENMASK_ULL(53, 52), 0, "and has become a NOP");
	tap_equal(*fx_gpa_entry(&pair.b, 2) >> 56 & 0x1f, GPA_SKIPPED, "the NOP is skipped");
}

static u64 export_with(u64 mbmd, u64 buffers, u64 macs)
{
	*fx_gpa_entry(&pair.b, 0) = GPA_OP_MIGRATE;
	return fx_call(LEAF_EXPORT_MEM, .rcx = fx_gpa_list(&pair.b, 1), .rdx = pair.src.tdr,
		       .r8 = mbmd, .r9 = buffers, .r11 = macs);
}

static void test_header_operand(void)
{
	u64 good = fx_mbmd(&pair.b), hpa = pair.b.mbmd;

	tap_equal(export_with(hpa | 47ULL << MBMD_SIZE_SHIFT, pair.b.page_list, pair.b.mac[0]),
		  SIM_OPERAND_INVALID | R8, "a header buffer of 47 bytes is too small");
	tap_equal(export_with(good + 64, pair.b.page_list, pair.b.mac[0]),
		  SIM_OPERAND_INVALID | R8, "a header is aligned to 128 bytes");
	tap_equal(export_with(good | PRIVATE_HKID, pair.b.page_list, pair.b.mac[0]),
		  SIM_OPERAND_INVALID | R8, "a header at a private address is refused");
	tap_equal(export_with(good, pair.b.page_list + 8, pair.b.mac[0]),
		  SIM_OPERAND_INVALID | R9, "a buffer list is aligned to a page");
	tap_equal(export_with(good, pair.b.page_list, pair.b.mac[0] + 8),
		  SIM_OPERAND_INVALID | R11, "a MAC list is aligned to a page");
	tap_equal(fx_mng_rd(pair.src.tdr, FX_MD_MIG_COUNT), 0, "none of it exported anything");
	tap_equal(export_with(hpa | 48ULL << MBMD_SIZE_SHIFT, pair.b.page_list, pair.b.mac[0]), 0,
		  "48 bytes are enough");
}

static void test_page_list(void)
{
	u64 r9 = pair.b.page_list;

	tap_equal(page_list_check(r9 | 2ULL << LIST_LAST_SHIFT, 3), 0,
		  "a page list as long as needed is accepted");
	tap_equal(page_list_check(r9 | 1ULL << LIST_LAST_SHIFT, 3), SIM_OPERAND_INVALID | R9,
		  "a shorter one is refused");
	tap_equal(page_list_check(r9 | BIT_ULL(53) | 2ULL << LIST_LAST_SHIFT, 3),
		  SIM_OPERAND_INVALID | R9, "reserved bits are refused");
	tap_equal(page_list_check((r9 + 8) | 2ULL << LIST_LAST_SHIFT, 3), SIM_OPERAND_INVALID | R9,
		  "a page list is aligned to a page");
}

static u64 export_on(u64 stream, u64 info, u64 *next)
{
	struct fx_args args = { .rcx = info, .rdx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
				.r9 = pair.b.page_list, .r10 = stream, .r11 = pair.b.mac[0] };
	u64 err = fx_seamcall(LEAF_EXPORT_MEM, &args);

	*next = args.rcx;
	return err;
}

static u64 import_on(u64 stream, u64 info, u64 *next)
{
	struct fx_args args = { .rcx = info, .rdx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b),
				.r9 = pair.b.page_list, .r10 = stream, .r11 = pair.b.mac[0],
				.r13 = pair.b.new_list };
	u64 err = fx_seamcall(LEAF_IMPORT_MEM, &args);

	*next = args.rcx;
	return err;
}

/* A bundle of newer modules gives way to calls that wait, before any of its entries. */
static void test_calls_waiting(void)
{
	u64 next;

	fx_boot(1);
	fx_pair_init(&pair, 2);
	fx_pair_start(&pair);
	fx_block_writes(&pair, 0, 3);
	fx_reset_slots(&pair.b);

	machine_make_calls_wait(2);
	tap_equal(export_on(0, list_info(0, 2), &next), SIM_INTERRUPTED_BUSY,
		  "an export gives way before its first entry");
	tap_equal(next, list_info(0, 2), "which it has not done");
	tap_equal(export_on(MIGS_COMMAND, next, &next), SIM_INTERRUPTED_BUSY,
		  "it may have to give way again");
	machine_pend_interrupt(1);
	tap_equal(export_on(MIGS_COMMAND, next, &next), SIM_INTERRUPTED_RESUMABLE,
		  "an interrupt is another matter");
	tap_equal(next, list_info(1, 2), "and comes after an entry");
	machine_pend_interrupt(0);
	machine_make_calls_wait(1);
	tap_equal(export_on(MIGS_COMMAND, next, &next), SIM_INTERRUPTED_BUSY,
		  "an export gives way in its middle, too");
	tap_equal(next, list_info(1, 2), "without any progress");
	tap_equal(export_on(MIGS_COMMAND, next, &next), 0, "and goes on from there");

	fx_new_pages(&pair.b, 3);
	machine_make_calls_wait(1);
	tap_equal(import_on(0, list_info(0, 2), &next), SIM_INTERRUPTED_BUSY,
		  "an import gives way before its first entry");
	tap_equal(next, list_info(0, 2), "which it has not done");
	machine_pend_interrupt(1);
	tap_equal(import_on(MIGS_COMMAND, next, &next), SIM_INTERRUPTED_RESUMABLE,
		  "it goes on until an interrupt");
	machine_pend_interrupt(0);
	machine_make_calls_wait(1);
	tap_equal(import_on(MIGS_COMMAND, next, &next), SIM_INTERRUPTED_BUSY, "gives way");
	tap_equal(import_on(MIGS_COMMAND, next, &next), 0, "and has imported all in the end");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, fx_pages_end()), "every page once");
}

static void test_import_slots(void)
{
	u64 *slots = fx_mem(pair.b.new_list);
	u64 err;

	slots[0] = pair.src_page[0];
	err = fx_call(LEAF_IMPORT_MEM, .rcx = fx_gpa_list(&pair.b, 1), .rdx = pair.dst.tdr,
		      .r8 = fx_mbmd(&pair.b), .r9 = pair.b.page_list, .r11 = pair.b.mac[0],
		      .r13 = pair.b.new_list);
	tap_equal(err, SIM_PAGE_METADATA_INCORRECT | SIM_FATAL | OPND_NEW_PAGE_LIST_ENTRY,
		  "a page of another TD is no new page");
	tap_equal(fx_mng_rd(pair.dst.tdr, FX_MD_OP_STATE), OP_FAILED_IMPORT,
		  "and ends the import");
	tap_ok(slots[0] >> 63, "the slot is marked invalid");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + SZ_4M),
	       "the page stays the other TD's");
}

int main(void)
{
	fx_boot(1);
	fx_pair_init(&pair, 2);
	fx_pair_start(&pair);
	test_list_info();
	test_entries();
	test_malformed_entry();
	test_problem_entries();
	fx_must(LEAF_MEM_TRACK, .rcx = pair.src.tdr);
	test_header_operand();
	test_page_list();
	test_import_slots();
	test_calls_waiting();
	return tap_done();
}
