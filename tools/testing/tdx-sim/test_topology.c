// SPDX-License-Identifier: GPL-2.0
/*
 * The topology that a TD sees, in profiles that have one: CPUID 0x1F as the host
 * configures it, 0xB as it follows from that, and the x2APIC ids.
 */
#include "fixture.h"
#include "metadata_table.h"
#include "tap.h"

#define EAX_EBX		0
#define ECX_EDX		1
#define LEVELS		6
#define CONFIG_1F	12	/* its first slot in TD_PARAMS */
#define LEVEL_SMT	1
#define LEVEL_CORE	2
#define LEVEL_DIE	5
#define VERSION_1	BIT_ULL(16)
#define RD_ALL		(~0ULL)

#define FIELD_NUM_VCPUS		0x9010000200000001ULL
#define FIELD_TD_CTLS		0x9110000300000017ULL
#define FIELD_TOPOLOGY		0x9110000000000019ULL
#define FIELD_X2APIC_IDS	0x9c10000200000000ULL
#define FIELD_FEATURES0		0x0a00000300000008ULL
#define FIELD_MAX_VCPUS_PER_TD	0x9900000100000008ULL

static struct fx_td td;

/* One level: shift count, number of processors, type. */
struct level {
	u32 shift, nr, type;
};

/* A TD with these levels, its status and RCX of MNG.INIT. */
static u64 init_with(const struct level *levels, unsigned int n, u64 *rcx)
{
	struct fx_args args;
	unsigned int i;
	u64 params, err;
	u8 *p, *slot;

	fx_restore(0);
	fx_td_create(&td, 33);
	params = fx_hpages(1);
	p = fx_mem(params);
	put_unaligned_le64(FX_ATTR_MIGRATABLE, p);
	put_unaligned_le64(3, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(0x1e, p + 0x18);
	put_unaligned_le16(100, p + 0x28);
	for (i = 0; i < n; i++) {
		slot = p + SIM_TD_PARAMS_CPUID + (CONFIG_1F + i) * 16;
		put_unaligned_le32(levels[i].shift, slot);
		put_unaligned_le32(levels[i].nr, slot + 4);
		put_unaligned_le32(levels[i].type << 8 | i, slot + 8);
	}
	args = (struct fx_args){ .rcx = td.tdr, .rdx = params };
	err = fx_seamcall(LEAF_MNG_INIT, &args);
	*rcx = args.rcx;
	return err;
}

static u64 half_of(u32 leaf, u32 subleaf, unsigned int half)
{
	struct sim_td t;

	probe_td(td.tdr, &t);
	return t.cpuid->values[cpuid_index(leaf, subleaf)][half];
}

#define GOOD	{ { 1, 2, LEVEL_SMT }, { 4, 8, LEVEL_CORE }, { 5, 16, LEVEL_DIE } }

static unsigned int nr_levels(const struct level levels[LEVELS])
{
	unsigned int i, n = 0;

	for (i = 0; i < LEVELS; i++) {
		if (levels[i].type)
			n = i + 1;
	}
	return n;
}

static void test_levels(void)
{
	static const struct {
		const char *what;
		struct level levels[LEVELS];
		bool good;
	} topologies[] = {
		{ "SMT and core", { { 1, 2, 1 }, { 4, 8, 2 } }, true },
		{ "core alone", { { 4, 8, 2 } }, true },
		{ "a level above the core", GOOD, true },
		{ "SMT alone", { { 1, 2, 1 } }, false },
		{ "core below SMT", { { 4, 8, 2 }, { 1, 2, 1 } }, false },
		{ "two times core", { { 1, 2, 1 }, { 4, 8, 2 }, { 5, 16, 2 } }, false },
		{ "a gap", { { 1, 2, 1 }, { 0, 0, 0 }, { 4, 8, 2 } }, false },
		{ "only a second level", { { 0, 0, 0 }, { 4, 8, 2 } }, false },
		{ "type 6", { { 1, 2, 1 }, { 4, 8, 2 }, { 5, 16, 6 } }, false },
		{ "type 7", { { 1, 2, 1 }, { 4, 8, 2 }, { 5, 16, 7 } }, false },
	};
	const struct level *levels;
	unsigned int i;
	u64 rcx;

	for (i = 0; i < ARRAY_SIZE(topologies); i++) {
		levels = topologies[i].levels;
		tap_equal(init_with(levels, nr_levels(levels), &rcx),
			  topologies[i].good ? 0 : SIM_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED,
			  "%s is %s", topologies[i].what,
			  topologies[i].good ? "a topology" : "none");
		tap_equal(rcx, 0, "and RCX is 0");
	}
}

static void test_values(void)
{
	static const struct level good[] = GOOD;
	struct level bad[] = GOOD;
	struct sim_td probed;
	u64 rcx;

	init_with(good, ARRAY_SIZE(good), &rcx);
	tap_equal(half_of(0x1f, 2, EAX_EBX), 5 | 16ULL << 32,
		  "a TD has the levels that it was given");
	tap_equal(half_of(0x1f, 2, ECX_EDX), LEVEL_DIE << 8 | 2, "with their types");
	tap_equal(half_of(0xb, 0, EAX_EBX), 1 | 2ULL << 32, "CPUID 0xB begins with SMT");
	tap_equal(half_of(0xb, 1, ECX_EDX) >> 8 & 0xff, LEVEL_CORE, "and ends with core");
	tap_equal(half_of(0xb, 2, EAX_EBX) | half_of(0xb, 2, ECX_EDX), 0,
		  "there is no third level");

	probe_td(td.tdr, &probed);
	probed.cpuid->valid[cpuid_index(0xb, 0)] = false;
	tap_equal(cpuid_import_topology(&probed), 0, "an import need not have CPUID 0xB");
	tap_ok(!probed.cpuid->valid[cpuid_index(0xb, 0)], "and 0x1F does not make it valid then");

	bad[1].shift = 32;
	tap_equal(init_with(bad, ARRAY_SIZE(bad), &rcx), SIM_OPERAND_INVALID | OPND_CPUID_CONFIG,
		  "a shift count has five bits");
	tap_equal(rcx, 1ULL << 32 | 0x1f, "RCX is leaf and subleaf");

	init_with(NULL, 0, &rcx);
	tap_equal(half_of(0x1f, 1, EAX_EBX), 6 | 0x20ULL << 32,
		  "without a configuration it is the topology of the CPU");
}

static u64 vp_init(u64 vp, u64 id)
{
	return fx_call(LEAF_VP_INIT | VERSION_1, .rcx = vp, .r8 = id);
}

static void test_vp_init(void)
{
	struct probe_lock lock = { .kind = PROBE_LOCK_PAGE };
	struct fx_args args;
	u64 rcx, vp, other;

	init_with(NULL, 0, &rcx);
	lock.object = td.tdr;
	tap_equal(fx_mng_rd(td.tdr, FIELD_TOPOLOGY), 1, "a new TD can have a topology");
	td.nr_vps = 0;
	vp = fx_vp_create(&td);
	td.nr_vps = 0;
	other = fx_vp_create(&td);
	tap_equal(fx_call(LEAF_VP_INIT | 2 * VERSION_1, .rcx = vp), SIM_OPERAND_INVALID | RAX,
		  "VP.INIT has no version 2");
	probe_hold(&lock, SIM_SHARED);
	tap_equal(vp_init(vp, 0), SIM_OPERAND_BUSY | OPND_TDR, "version 1 needs the TD for itself");
	probe_release(&lock);
	tap_equal(vp_init(vp, 1ULL << 32), SIM_OPERAND_INVALID | R8, "an id has 32 bits");
	tap_equal(fx_mng_rd(td.tdr, FIELD_NUM_VCPUS), 0, "no index is lost with a wrong one");
	tap_equal(vp_init(vp, 0x80000005), 0, "any of them is good");
	tap_equal(vp_init(other, 0x80000005), SIM_X2APIC_ID_NOT_UNIQUE | 0x80000005ULL,
		  "an id that there is already is refused and named");
	tap_equal(fx_mng_rd(td.tdr, FIELD_NUM_VCPUS), 2, "it costs an index");
	tap_equal(vp_init(other, 6), 0, "the vCPU can be tried again");
	tap_equal(fx_mng_rd(td.tdr, FIELD_X2APIC_IDS), 0x80000005, "the host can read the ids");
	tap_equal(fx_mng_rd(td.tdr, FIELD_X2APIC_IDS + 2), 6, "by index");
	args = (struct fx_args){ .rcx = td.tdr, .rdx = FIELD_X2APIC_IDS, .r9 = RD_ALL };
	tap_equal(fx_seamcall(LEAF_MNG_WR, &args), SIM_METADATA_FIELD_NOT_WRITABLE,
		  "and not write them");
	tap_equal(fx_mng_rd(td.tdr, FIELD_TOPOLOGY), 1, "the TD still can have a topology");

	td.nr_vps = 0;
	vp = fx_vp_create(&td);
	probe_hold(&lock, SIM_SHARED);
	tap_equal(fx_call(LEAF_VP_INIT, .rcx = vp), 0, "version 0 shares the TD");
	probe_release(&lock);
	tap_equal(fx_mng_rd(td.tdr, FIELD_TOPOLOGY), 0, "but a vCPU without id ends the topology");

	td.nr_vps = 0;
	vp = fx_vp_create(&td);
	tap_equal(vp_init(vp, 1ULL << 32), SIM_MAX_VCPUS_EXCEEDED,
		  "that there are enough vCPUs is found before a wrong id");
}

static u64 set_td_ctls(u64 value)
{
	struct fx_args args = { .rdx = FIELD_TD_CTLS, .r8 = value, .r9 = 2 };

	return fx_tdcall(td.tdr, TDG_VM_WR, &args);
}

static void test_guest(void)
{
	struct fx_args args;
	struct sim_vp vp;
	u64 rcx, tdvpr;
	u32 out[4];

	init_with(NULL, 0, &rcx);
	td.nr_vps = 0;
	tdvpr = fx_vp_create(&td);
	fx_expect_success("VP.INIT", vp_init(tdvpr, 0x12345));
	probe_vp(tdvpr, &vp);
	tap_ok(!sim_cpuid(&vp, 0xb, 0, out) && !sim_cpuid(&vp, 0x1f, 0, out),
	       "a guest gets a #VE at first");
	tap_ok(sim_cpuid(&vp, 1, 0, out) && !(out[1] >> 24), "its APIC id is its index");
	args = (struct fx_args){ .rdx = FIELD_TOPOLOGY };
	tap_ok(!fx_tdcall(td.tdr, TDG_VM_RD, &args) && args.r8 == 1,
	       "it can see that there is a topology");
	tap_equal(set_td_ctls(2), 0, "and turn it on");
	tap_ok(sim_cpuid(&vp, 0xb, 0, out) && out[3] == 0x12345,
	       "then CPUID 0xB has its x2APIC id");
	tap_ok(sim_cpuid(&vp, 0x1f, 1, out) && out[3] == 0x12345, "so has 0x1F");
	tap_ok(sim_cpuid(&vp, 1, 0, out) && out[1] >> 24 == 0x45, "and 1 has its lower bits");
	tap_ok(!sim_cpuid(&vp, 0xb, 3, out), "a subleaf that does not exist is a #VE");

	set_td_ctls(0);
	fx_vp_add(&td);
	tap_equal(set_td_ctls(2), SIM_METADATA_FIELD_VALUE_NOT_VALID,
		  "without an id for each vCPU there is no topology");
}

static void test_older(void)
{
	struct fx_args args;

	fx_profile(&tdx_sim_profile_1_5_01);
	fx_boot(1);
	fx_td_create(&td, 33);
	fx_td_init(&td, 0);
	td.nr_vps = 0;
	tap_equal(vp_init(fx_vp_create(&td), 0), SIM_OPERAND_INVALID | RAX,
		  "1.5.01 has no ids for VP.INIT");
	args = (struct fx_args){ .rcx = td.tdr, .rdx = FIELD_X2APIC_IDS };
	tap_equal(fx_seamcall(LEAF_MNG_RD, &args), SIM_METADATA_FIELD_ID_INCORRECT,
		  "nor a field of them");
	args = (struct fx_args){ .rdx = FIELD_TD_CTLS, .r8 = 2, .r9 = 2 };
	tap_ok(fx_tdcall(td.tdr, TDG_VM_WR, &args), "nor a bit to turn the topology on");
}

static u64 sys_rd(u64 field)
{
	struct fx_args args = { .rdx = field };

	return fx_seamcall(LEAF_SYS_RD, &args) ? RD_ALL : args.r8;
}

/* A host that insists on ids gets them accepted, and that is all. */
static void test_older_for_linux(void)
{
	struct fx_args args;
	u64 features0 = sys_rd(FIELD_FEATURES0), vp;

	sim_module.platform.topology_enum = true;
	tap_equal(sys_rd(FIELD_FEATURES0), features0 | SIM_FEATURES0_TOPOLOGY_ENUM,
		  "for Linux, 1.5.01 has TOPOLOGY_ENUM");
	tap_equal(sys_rd(FIELD_MAX_VCPUS_PER_TD), U16_MAX, "and MAX_VCPUS_PER_TD");
	td.nr_vps = 0;
	vp = fx_vp_create(&td);
	tap_equal(vp_init(vp, BIT_ULL(32)), SIM_OPERAND_INVALID | R8, "ids have 32 bits");
	tap_equal(vp_init(vp, 7), 0, "VP.INIT takes an id");
	tap_equal(vp_init(fx_vp_create(&td), 7), 0, "or the same once more");
	args = (struct fx_args){ .rcx = td.tdr, .rdx = FIELD_X2APIC_IDS };
	tap_equal(fx_seamcall(LEAF_MNG_RD, &args), SIM_METADATA_FIELD_ID_INCORRECT,
		  "no one is told");
	args = (struct fx_args){ .rdx = FIELD_TD_CTLS, .r8 = 2, .r9 = 2 };
	tap_ok(fx_tdcall(td.tdr, TDG_VM_WR, &args), "the guest has no topology");
	sim_module.platform.topology_enum = false;
}

/* ---------------------------------------------------------------- migration */

static struct fx_pair pair;

/* Move the state of the TD and that of its vCPU. */
static u64 move_state(void)
{
	struct fx_args args;

	fx_pair_start(&pair);
	fx_pair_move_td_state(&pair);
	pair.dst.nr_vps = 0;
	args = (struct fx_args){ .rcx = pair.src.vp[0], .r8 = fx_mbmd(&pair.b),
				 .r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES) };
	fx_expect_success("EXPORT.STATE.VP", fx_seamcall(LEAF_EXPORT_STATE_VP, &args));
	return fx_call(LEAF_IMPORT_STATE_VP, .rcx = fx_vp_create(&pair.dst),
		       .r8 = fx_mbmd(&pair.b), .r9 = fx_page_list(&pair.b, args.rdx));
}

static void test_migration(void)
{
	struct sim_td src, dst;
	struct sim_vp vp;

	fx_boot(1);
	fx_pair_init(&pair, 2);
	fx_snapshot(1);

	/* As if VP.INIT had been told. */
	probe_td(pair.src.tdr, &src);
	src.tdcs->topology_enum_configured = 1;
	src.x2apic_ids[0] = 7;
	src.tdcs->td_ctls |= SIM_TD_CTLS_ENUM_TOPOLOGY;
	tap_equal(move_state(), 0, "a TD with a topology moves");
	probe_td(pair.dst.tdr, &dst);
	tap_equal(dst.x2apic_ids[0], 7, "the id of the vCPU comes with it");
	tap_ok(dst.tdcs->topology_enum_configured && dst.tdcs->td_ctls & SIM_TD_CTLS_ENUM_TOPOLOGY,
	       "and the topology stays on");
	probe_vp(pair.dst.vp[0], &vp);
	tap_equal(sim_x2apic_id(&vp), 7, "the vCPU has its id");

	fx_restore(1);
	probe_td(pair.src.tdr, &src);
	src.tdcs->topology_enum_configured = 1;
	src.tdcs->num_vcpus = 2;
	src.x2apic_ids[0] = 9;
	src.x2apic_ids[1] = 9;
	tap_equal(move_state(), SIM_X2APIC_ID_NOT_UNIQUE | 9, "two vCPUs of one id do not arrive");
	probe_td(pair.dst.tdr, &dst);
	tap_equal(dst.tdcs->op_state, OP_FAILED_IMPORT, "which ends the import");
}

#define ID_OF_PAGE_2	300	/* the first one has 225 */

/* The host can read the ids of a TD whose import has failed. */
static void test_ids_after_error(void)
{
	static u8 pages[2][SIM_PAGE_SIZE];
	struct md_cursor cur = { };
	struct sim_td src, dst;
	u64 rcx, rdx, err;

	fx_restore(1);
	probe_td(pair.src.tdr, &src);
	probe_td(pair.dst.tdr, &dst);
	src.x2apic_ids[0] = 5;
	src.x2apic_ids[ID_OF_PAGE_2] = 6;
	md_dump_page(MD_BUNDLE_IMMUTABLE_TD, &src, NULL, &cur, pages[0]);
	md_dump_page(MD_BUNDLE_IMMUTABLE_TD, &src, NULL, &cur, pages[1]);
	/* One sequence more than there is room for. */
	put_unaligned_le16(get_unaligned_le16(pages[0] + 2) + 1, pages[0] + 2);

	cur = (struct md_cursor){ };
	err = md_load_page(MD_BUNDLE_IMMUTABLE_TD, &dst, NULL, &cur, pages[0], false, &rcx, &rdx);
	tap_equal(err >> 32, SIM_METADATA_LIST_OVERFLOW >> 32, "a list ends before its sequences");
	tap_equal(dst.x2apic_ids[0], 5, "what it had was taken over until then");
	tap_ok(md_load_page(MD_BUNDLE_IMMUTABLE_TD, &dst, NULL, &cur, pages[1], true, &rcx, &rdx),
	       "the next page does not go on from there");
	tap_equal(dst.x2apic_ids[ID_OF_PAGE_2], 0, "so the ids that it has are not taken over");
}

int main(void)
{
	fx_profile(&tdx_sim_profile_1_5_05);
	fx_boot(1);
	fx_snapshot(0);
	test_levels();
	test_values();
	test_vp_init();
	test_guest();
	test_migration();
	test_ids_after_error();
	test_older();
	test_older_for_linux();
	return tap_done();
}
