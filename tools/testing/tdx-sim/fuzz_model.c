// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzer of the module's interface (libFuzzer).
 *
 * The input is a program: a byte for the point of a migration at which it
 * starts, then calls with operands drawn from what a host could try, and
 * changes of the host's memory in between.  After every call the invariants
 * have to hold, and memory that a TD has imported must be what the other TD
 * exported: nobody here knows the key.
 */
#include "fixture.h"
#include "invariants.h"
#include "mig.h"

#define STREAMS		3
#define POOL_PAGES	32
/* Pages beyond are reserved: every one that a call can use is looked at. */
#define USABLE		SZ_1M
#define MAX_CALLS	200
#define GPAS		16
#define LIST_ENTRIES	4
#define LIST_LAST_SHIFT	55
#define MBMD_SIZE	(128ULL << 52)

/* The rest of the input. */
struct program {
	const u8 *p;
	size_t left;
};

static struct fx_pair pair;
static struct fx_bundle spare;
static u64 pool;
/* TD_PARAMS of a TD with DEBUG: one that is refused, but after ATTRIBUTES, and a good one. */
static u64 debug_params[2];

/*
 * Tables decide much in the model, so code coverage says little.  Tell the
 * fuzzer of new statuses and new changes of Secure EPT states too.
 */
#define FEATURES	8192
static u8 features[FEATURES] __section("__libfuzzer_extra_counters");

/* Secure EPT states of source and destination, and what was called last. */
static struct observation {
	u8 sept[2][GPAS];
	u8 op_state[2];
} seen;

static u8 last_leaf;
static u64 last_status;

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u8 next8(struct program *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static u16 next16(struct program *in)
{
	u16 low = next8(in);

	return low | next8(in) << 8;
}

static u64 next64(struct program *in)
{
	u64 v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | next8(in);
	return v;
}

static void fail(const char *why)
{
	fprintf(stderr, "invariant broken: %s\n", why);
	abort();
}

/* ---------------------------------------------------------------- operands */

static u64 any_td(struct program *in)
{
	u8 b = next8(in);

	switch (b % 8) {
	case 0:
	case 1:
	case 2:
		return pair.src.tdr;
	case 3:
	case 4:
	case 5:
		return pair.dst.tdr;
	case 6:
		return pair.mig.tdr;
	default:
		return pool + (b >> 3) * SIM_PAGE_SIZE;
	}
}

static u64 any_page(struct program *in)
{
	u8 b = next8(in);

	if (b < 0xe0)
		return pool + b % POOL_PAGES * SIM_PAGE_SIZE;
	return pair.src.tdr + (b & 0x1f) * SIM_PAGE_SIZE;
}

static u64 any_vp(struct program *in)
{
	u8 b = next8(in);

	return b % 4 == 0 ? pair.src.vp[0] : b % 4 == 1 ? pair.mig.vp[0] : any_page(in);
}

static u64 any_gpa(struct program *in)
{
	u8 b = next8(in);
	u64 gpa = b % GPAS * SIM_PAGE_SIZE;

	if (b < 0xf0)
		return gpa;
	return gpa | BIT_ULL(21 + (b & 0xf) * 2);
}

static u64 any_mapping(struct program *in)
{
	u8 b = next8(in);

	return any_gpa(in) | (b < 0xc0 ? 0 : b & 7);
}

static u64 any_params(struct program *in)
{
	u8 b = next8(in) % 8;

	return b < ARRAY_SIZE(debug_params) ? debug_params[b] : spare.pages;
}

static const struct fx_bundle *any_bundle(struct program *in)
{
	return next8(in) % 4 ? &pair.b : &spare;
}

static u64 any_stream(struct program *in)
{
	u8 b = next8(in);

	return b % 4 | (b & 0x40 ? BIT_ULL(63) : 0) | (b == 0xff ? BIT_ULL(20) : 0);
}

static u64 list_info(struct program *in, const struct fx_bundle *b)
{
	u8 v = next8(in);

	return b->gpa_list | (u64)(v % LIST_ENTRIES) << LIST_LAST_SHIFT |
	       (v & 0x80 ? (v >> 4 & 3) << 3 : 0);
}

static u64 page_list(struct program *in, const struct fx_bundle *b)
{
	return b->page_list | (u64)(next8(in) % FX_BUNDLE_PAGES) << LIST_LAST_SHIFT;
}

/* -------------------------------------------------------------- operations */

static const u8 leaves[] = {
	LEAF_EXPORT_BLOCKW, LEAF_EXPORT_UNBLOCKW, LEAF_MEM_TRACK, LEAF_EXPORT_MEM,
	LEAF_IMPORT_MEM, LEAF_EXPORT_TRACK, LEAF_IMPORT_TRACK, LEAF_EXPORT_PAUSE,
	LEAF_EXPORT_STATE_IMMUTABLE, LEAF_IMPORT_STATE_IMMUTABLE, LEAF_EXPORT_STATE_TD,
	LEAF_IMPORT_STATE_TD, LEAF_EXPORT_STATE_VP, LEAF_IMPORT_STATE_VP, LEAF_EXPORT_ABORT,
	LEAF_IMPORT_ABORT, LEAF_IMPORT_COMMIT, LEAF_IMPORT_END, LEAF_EXPORT_RESTORE,
	LEAF_MIG_STREAM_CREATE, LEAF_MEM_PAGE_AUG, LEAF_MEM_PAGE_REMOVE, LEAF_MEM_PAGE_RELOCATE,
	LEAF_MEM_RANGE_BLOCK, LEAF_MEM_RANGE_UNBLOCK, LEAF_MEM_SEPT_ADD, LEAF_MEM_SEPT_REMOVE,
	LEAF_MEM_PAGE_PROMOTE, LEAF_MEM_PAGE_DEMOTE, LEAF_MEM_SEPT_RD, LEAF_MNG_CREATE,
	LEAF_MNG_KEY_CONFIG, LEAF_MNG_ADDCX, LEAF_MNG_INIT, LEAF_VP_CREATE, LEAF_VP_ADDCX,
	LEAF_VP_INIT, LEAF_VP_FLUSH, LEAF_VP_ENTER, LEAF_MNG_VPFLUSHDONE, LEAF_MNG_KEY_FREEID,
	LEAF_PHYMEM_CACHE_WB, LEAF_PHYMEM_PAGE_RECLAIM, LEAF_PHYMEM_PAGE_WBINVD,
	LEAF_PHYMEM_PAGE_RDMD, LEAF_MNG_RD, LEAF_MNG_WR, LEAF_VP_RD, LEAF_VP_WR,
	LEAF_SERVTD_BIND, LEAF_SERVTD_PREBIND, LEAF_MEM_PAGE_ADD, LEAF_MR_EXTEND,
	LEAF_MR_FINALIZE, LEAF_SYS_RD, LEAF_SYS_RDALL, LEAF_SYS_INFO, LEAF_MEM_RD, LEAF_MEM_WR,
};

static bool is_import(u8 leaf)
{
	return leaf >= LEAF_IMPORT_ABORT && leaf <= LEAF_IMPORT_STATE_VP;
}

static u64 migration_td(struct program *in, u8 leaf)
{
	u8 b = next8(in);

	if (b > 0xf8)
		return any_td(in);
	return is_import(leaf) ? pair.dst.tdr : pair.src.tdr;
}

/* Leaves that move bundles. */
static void bundle_operands(struct program *in, u8 leaf, struct fx_args *a)
{
	const struct fx_bundle *b = any_bundle(in);

	a->rcx = migration_td(in, leaf);
	a->r8 = b->mbmd | MBMD_SIZE;
	a->r10 = any_stream(in);

	switch (leaf) {
	case LEAF_EXPORT_MEM:
	case LEAF_IMPORT_MEM:
		a->rdx = a->rcx;
		a->rcx = list_info(in, b);
		a->r9 = b->page_list;
		a->r11 = b->mac[0];
		a->r12 = b->mac[1];
		a->r13 = next8(in) % 8 ? b->new_list : U64_MAX;
		break;
	case LEAF_EXPORT_STATE_VP:
	case LEAF_IMPORT_STATE_VP:
		a->rcx = any_vp(in);
		a->r9 = page_list(in, b);
		break;
	case LEAF_EXPORT_ABORT:
		if (next8(in) % 2)
			a->r8 = 0;
		break;
	default:
		a->r9 = page_list(in, b);
		break;
	}
}

static void memory_operands(struct program *in, u8 leaf, struct fx_args *a)
{
	a->rcx = any_mapping(in);
	a->rdx = any_td(in);
	a->r8 = any_page(in);
	a->r9 = pair.b.pages;
}

static void control_operands(struct program *in, u8 leaf, struct fx_args *a)
{
	switch (leaf) {
	case LEAF_MNG_ADDCX:
	case LEAF_VP_CREATE:
	case LEAF_MIG_STREAM_CREATE:
		a->rcx = any_page(in);
		a->rdx = any_td(in);
		break;
	case LEAF_VP_ADDCX:
		a->rcx = any_page(in);
		a->rdx = any_vp(in);
		break;
	case LEAF_MNG_CREATE:
		a->rcx = any_page(in);
		a->rdx = 32 + next8(in) % 40;
		break;
	case LEAF_MNG_INIT:
		a->rcx = any_td(in);
		a->rdx = any_params(in);
		break;
	case LEAF_VP_INIT:
	case LEAF_VP_FLUSH:
	case LEAF_VP_ENTER:
	case LEAF_VP_RD:
	case LEAF_VP_WR:
		a->rcx = any_vp(in);
		a->rdx = next64(in);
		a->r8 = next16(in);
		a->r9 = U64_MAX;
		break;
	case LEAF_PHYMEM_PAGE_RECLAIM:
	case LEAF_PHYMEM_PAGE_WBINVD:
	case LEAF_PHYMEM_PAGE_RDMD:
		a->rcx = any_page(in);
		break;
	case LEAF_PHYMEM_CACHE_WB:
		a->rcx = next8(in) % 2;
		break;
	case LEAF_SERVTD_BIND:
		a->rcx = any_td(in);
		a->rdx = any_td(in);
		break;
	case LEAF_SERVTD_PREBIND:
		a->rcx = any_td(in);
		a->rdx = pair.b.mbmd;
		break;
	case LEAF_MNG_RD:
	case LEAF_MNG_WR:
		a->rcx = any_td(in);
		a->rdx = next64(in);
		a->r9 = U64_MAX;
		break;
	case LEAF_SYS_RD:
		a->rdx = next64(in);
		break;
	case LEAF_SYS_RDALL:
	case LEAF_SYS_INFO:
		a->rcx = spare.pages;
		a->rdx = spare.pages;
		a->r8 = spare.pages;
		break;
	default:
		a->rcx = any_td(in);
		a->rdx = spare.pages;
		break;
	}
}

/* Sometimes spoil an operand that would be plausible. */
static void twist(struct program *in, struct fx_args *a)
{
	u64 *reg = (u64 *)a;
	u8 b = next8(in);

	if (b & 0xe0)
		return;
	reg[b & 7] ^= BIT_ULL(next8(in) % 64);
}

static void do_call(struct program *in, u8 selector)
{
	u8 leaf = leaves[selector % ARRAY_SIZE(leaves)];
	struct fx_args args = { };

	if ((leaf >= LEAF_EXPORT_ABORT && leaf <= LEAF_IMPORT_STATE_VP) &&
	    leaf != LEAF_EXPORT_BLOCKW && leaf != LEAF_EXPORT_RESTORE &&
	    leaf != LEAF_EXPORT_UNBLOCKW) {
		bundle_operands(in, leaf, &args);
	} else if (leaf == LEAF_EXPORT_BLOCKW || leaf == LEAF_EXPORT_RESTORE) {
		args.rcx = list_info(in, any_bundle(in));
		args.rdx = migration_td(in, leaf);
	} else if (leaf == LEAF_EXPORT_UNBLOCKW || leaf == LEAF_MR_EXTEND ||
		   (leaf >= LEAF_MEM_PAGE_ADD && leaf <= LEAF_MEM_SEPT_ADD) ||
		   (leaf >= LEAF_MEM_PAGE_RELOCATE && leaf <= LEAF_MEM_RANGE_BLOCK) ||
		   leaf == LEAF_MEM_RD || leaf == LEAF_MEM_WR || leaf == LEAF_MEM_PAGE_DEMOTE ||
		   leaf == LEAF_MEM_PAGE_PROMOTE || leaf == LEAF_MEM_SEPT_RD ||
		   leaf == LEAF_MEM_PAGE_REMOVE || leaf == LEAF_MEM_SEPT_REMOVE ||
		   leaf == LEAF_MEM_RANGE_UNBLOCK) {
		memory_operands(in, leaf, &args);
	} else if (leaf == LEAF_MEM_TRACK) {
		args.rcx = migration_td(in, leaf);
	} else {
		control_operands(in, leaf, &args);
	}
	twist(in, &args);
	last_leaf = leaf;
	last_status = fx_seamcall(leaf, &args);
}

static void guest_call(struct program *in)
{
	struct fx_args args = { .rcx = any_mapping(in) };
	struct fx_td *target = next8(in) % 2 ? &pair.src : &pair.dst;
	struct sim_td td;
	u64 tdr;

	/* A guest runs only in a TD that is whole. */
	tdr = next8(in) % 4 ? target->tdr : pair.mig.tdr;
	if (!probe_td(tdr, &td) || td.tdr->lifecycle != TD_KEYS_CONFIGURED ||
	    td.tdr->num_tdcx < SIM_MIN_TDCX || td.tdcs->op_state == OP_UNINITIALIZED)
		return;
	last_leaf = SIM_NR_LEAVES;
	switch (next8(in) % 4) {
	case 0:
	case 1:
		last_status = fx_tdcall(tdr, TDG_MEM_PAGE_ACCEPT, &args);
		break;
	default:
		args = (struct fx_args){ .rcx = target->handle, .rdx = FX_MD_DEC_KEY +
					 next8(in) % 16, .r8 = next64(in), .r9 = U64_MAX,
					 .r10 = target->uuid[0], .r11 = target->uuid[1],
					 .r12 = target->uuid[2], .r13 = target->uuid[3] };
		fx_tdcall(tdr, next8(in) % 2 ? TDG_SERVTD_RD : TDG_SERVTD_WR, &args);
		break;
	}
}

static void tamper(struct program *in)
{
	const struct fx_bundle *b = any_bundle(in);
	u64 where[] = { b->mbmd, b->gpa_list, b->page_list, b->mac[0], b->new_list, b->pages };
	u64 page = where[next8(in) % ARRAY_SIZE(where)];
	u16 offset = next16(in);

	if (page != b->pages)
		offset %= 64;
	((u8 *)fx_mem(page))[offset % SIM_PAGE_SIZE] ^= next8(in);
}

static void fill_gpa_list(struct program *in)
{
	const struct fx_bundle *b = any_bundle(in);
	unsigned int i;

	for (i = 0; i < LIST_ENTRIES; i++)
		*fx_gpa_entry(b, i) = any_gpa(in) | (u64)(next8(in) & 3) << 52;
}

static void fill_new_pages(struct program *in)
{
	const struct fx_bundle *b = any_bundle(in);
	u64 *slots = fx_mem(next8(in) % 8 ? b->new_list : b->page_list);
	unsigned int i;

	for (i = 0; i < LIST_ENTRIES; i++)
		slots[i] = any_page(in);
}

static void step(struct program *in)
{
	u8 b = next8(in);

	switch (b) {
	case 0xf0 ... 0xf2:
		tamper(in);
		break;
	case 0xf3 ... 0xf5:
		fill_gpa_list(in);
		break;
	case 0xf6 ... 0xf7:
		fill_new_pages(in);
		break;
	case 0xf8:
		fx_reset_slots(any_bundle(in));
		break;
	case 0xf9 ... 0xfb:
		guest_call(in);
		break;
	case 0xfc:
		machine_pend_interrupt(next8(in) % 8);
		do_call(in, next8(in));
		machine_pend_interrupt(0);
		break;
	case 0xfd:
		machine_fail_random(1);
		do_call(in, next8(in));
		machine_fail_random(0);
		break;
	case 0xfe ... 0xff:
		machine_set_lp(b & 1);
		break;
	default:
		do_call(in, b);
		break;
	}
}

/* --------------------------------------------------------------- judgement */

/* Pages of the source are filled with one byte each; others are zero. */
static void check_imported_memory(void)
{
	struct probe_page page;
	struct sim_td td;
	unsigned int i;

	if (!probe_td(pair.dst.tdr, &td) || td.tdr->lifecycle != TD_KEYS_CONFIGURED ||
	    td.tdr->num_tdcx < SIM_MIN_TDCX)
		return;
	for (i = 0; i < FX_NR_PAGES; i++) {
		const u8 *p;

		if (!probe_translate(&td, i * SIM_PAGE_SIZE, &page) || !page.readable)
			continue;
		p = fx_mem(page.hpa);
		if ((p[0] && p[0] != FX_PAGE_BYTE + i) || memchr_inv(p, p[0], SIM_PAGE_SIZE))
			fail("imported memory is not what was exported");
	}
}

/* Where the attack is mended that lets the host debug what it imports, see attacks/. */
static void check_debug(void)
{
	struct sim_td td;

	if (!sim_profile()->guarded_import || !probe_td(pair.dst.tdr, &td) ||
	    td.tdr->lifecycle != TD_KEYS_CONFIGURED || td.tdr->num_tdcx < SIM_MIN_TDCX)
		return;
	if (td.tdcs->op_state >= OP_MEMORY_IMPORT && td.tdcs->op_state <= OP_FAILED_IMPORT &&
	    td.tdcs->attributes & SIM_ATTR_DEBUG)
		fail("the host can debug an imported TD");
}

static void observe(struct observation *o)
{
	const u64 tdrs[] = { pair.src.tdr, pair.dst.tdr };
	struct probe_page page;
	struct sim_td td;
	unsigned int i, gpa;

	memset(o, 0, sizeof(*o));
	for (i = 0; i < ARRAY_SIZE(tdrs); i++) {
		if (!probe_td(tdrs[i], &td) || td.tdr->lifecycle != TD_KEYS_CONFIGURED ||
		    td.tdr->num_tdcx < SIM_MIN_TDCX)
			continue;
		o->op_state[i] = td.tdcs->op_state;
		for (gpa = 0; gpa < GPAS; gpa++) {
			if (probe_translate(&td, gpa * SIM_PAGE_SIZE, &page))
				o->sept[i][gpa] = sept_state(page.entry);
		}
	}
}

static void note(u64 a, u64 b, u64 c)
{
	u64 hash = ((a * 31 + b) * 67 + c) * 0x9e3779b97f4a7c15ULL;

	features[hash >> 51] = 1;
}

static void note_change(void)
{
	struct observation now;
	unsigned int i, gpa;

	observe(&now);
	for (i = 0; i < ARRAY_SIZE(now.sept); i++) {
		note(last_leaf, seen.op_state[i] << 1 | i, last_status >> 32);
		for (gpa = 0; gpa < GPAS; gpa++) {
			if (now.sept[i][gpa] != seen.sept[i][gpa])
				note(last_leaf, SIM_NR_LEAVES + seen.sept[i][gpa],
				     now.sept[i][gpa] << 4 | now.op_state[i]);
		}
	}
	seen = now;
}

static void judge(void)
{
	const char *why = invariants_broken(MACHINE_TDMR_BASE, MACHINE_TDMR_BASE + USABLE);

	if (why)
		fail(why);
	check_imported_memory();
	check_debug();
}

static unsigned int immutable_pages;

/* Points of a migration, each reached from the one before. */
static void export_immutable(void)
{
	immutable_pages = fx_pair_export(&pair);
}

static void import_immutable(void)
{
	fx_pair_import(&pair, immutable_pages);
}

static void block_writes(void)
{
	fx_block_writes(&pair, 0, 4);
}

static void export_pages(void)
{
	fx_expect_success("EXPORT.MEM", fx_export_pages(&pair, 0, 4, 0));
}

static void import_pages(void)
{
	fx_expect_success("IMPORT.MEM", fx_import_pages(&pair, 4, 0));
}

static void pause_source(void)
{
	fx_must(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr);
}

static void move_td_state(void)
{
	struct fx_args args = { .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
				.r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES) };

	fx_expect_success("EXPORT.STATE.TD", fx_seamcall(LEAF_EXPORT_STATE_TD, &args));
	fx_must(LEAF_IMPORT_STATE_TD, .rcx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b),
		.r9 = fx_page_list(&pair.b, args.rdx));
}

static void move_vcpu_and_start(void)
{
	struct fx_args args = { .rcx = pair.src.vp[0], .r8 = fx_mbmd(&pair.b),
				.r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES) };

	fx_expect_success("EXPORT.STATE.VP", fx_seamcall(LEAF_EXPORT_STATE_VP, &args));
	fx_must(LEAF_IMPORT_STATE_VP, .rcx = fx_vp_create(&pair.dst), .r8 = fx_mbmd(&pair.b),
		.r9 = fx_page_list(&pair.b, args.rdx));
	fx_must(LEAF_EXPORT_TRACK, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
		.r10 = MIGS_COMMAND);
	fx_must(LEAF_IMPORT_TRACK, .rcx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b));
}

static void (*const points[])(void) = {
	export_immutable, import_immutable, block_writes, export_pages, import_pages,
	pause_source, move_td_state, move_vcpu_and_start,
};

static void make_params(u64 xfam, u64 *params)
{
	u8 *p;

	*params = fx_hpages(1);
	p = fx_mem(*params);
	put_unaligned_le64(SIM_ATTR_DEBUG, p);
	put_unaligned_le64(xfam, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(0x1e, p + 0x18);
	put_unaligned_le16(100, p + 0x28);
}

static const struct tdx_sim_profile *const profiles[] = {
	&tdx_sim_profile_1_5_01, &tdx_sim_profile_1_5_05,
	&tdx_sim_profile_1_5_24,
};

#define NR_STARTS	(ARRAY_SIZE(points) + 1)
#define NR_SNAPSHOTS	(NR_STARTS * ARRAY_SIZE(profiles))
static_assert(NR_SNAPSHOTS <= MACHINE_SNAPSHOTS);

static void prepare_profile(unsigned int profile)
{
	unsigned int i;

	fx_profile(profiles[profile]);
	memset(&pair, 0, sizeof(pair));
	fx_boot_reserved(2, USABLE);
	fx_pair_init(&pair, STREAMS);
	fx_bundle_init(&spare);
	make_params(0, &debug_params[0]);
	make_params(3, &debug_params[1]);
	pool = fx_page();
	while (fx_pages_end() < pool + POOL_PAGES * SIM_PAGE_SIZE)
		fx_page();
	fx_snapshot(profile * NR_STARTS);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		points[i]();
		fx_snapshot(profile * NR_STARTS + i + 1);
	}
	if (fx_pages_end() > MACHINE_TDMR_BASE + USABLE)
		fail("the set-up needs more pages");
}

/* Everything is at the same place in all profiles. */
static void prepare(void)
{
	struct fx_pair first;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(profiles); i++) {
		prepare_profile(i);
		if (!i)
			first = pair;
		else if (memcmp(&first, &pair, sizeof(pair)))
			fail("the set-up differs between profiles");
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct program in = { .p = data, .left = size };
	static bool prepared;
	unsigned int calls;

	if (!prepared) {
		prepare();
		prepared = true;
	}
	fx_restore(next8(&in) % NR_SNAPSHOTS);
	observe(&seen);
	for (calls = 0; in.left && calls < MAX_CALLS; calls++) {
		last_leaf = 0;
		last_status = 0;
		step(&in);
		judge();
		note_change();
	}
	return 0;
}
