// SPDX-License-Identifier: GPL-2.0
/*
 * What one version of the module does in its own way: calls of the host, and state
 * that arrives.  test_topology has the rest of CPUID 0x1F and x2APIC ids.
 */
#include "fixture.h"
#include "metadata_table.h"
#include "tap.h"

#define MAX_PAGES	8
#define CODE_MASK	GENMASK_ULL(63, 32)
#define RD_VERSION_1	BIT_ULL(16)

#define FIELD_UPDATE_VERSION	0x0800000100000005ULL
#define FIELD_FEATURES0		0x0a00000300000008ULL
#define FIELD_ATTRIBUTES_FIXED0	0x1900000300000000ULL
#define FIELD_NUM_CPUID_CONFIG	0x9900000100000004ULL
#define FIELD_MAX_VCPUS_PER_TD	0x9900000100000008ULL
#define FIELD_CPUID_CONFIG_VALUES 0x9900000300000500ULL
#define FIELD_IMMUTABLE_PAGES	0xa000000000000020ULL
#define FIELD_NUM_CPUID_VALUES	0x911000010000000eULL
#define FIELD_CONFIG_FLAGS	0x9110000300000016ULL
#define FIELD_SERVTD_HASH	0x9910000300000000ULL
#define FIELD_LAST_OF_BINDINGS	0x991000030000008fULL
#define FIELD_MIGSC_LINKS	0x9a10000300000000ULL
#define FIELD_L2_CTLS_1		0xa020000300000051ULL
#define FIELD_CR4_MASK		0x0024000300006002ULL
#define FIELD_CPUID_7_1		0x9410000300000e02ULL
#define FIELD_CPUID_1A		0x94100003000035feULL
#define FIELD_CPUID_23_0	0x9410000300004600ULL
#define FIELD_CPUID_23_1	0x9410000300004602ULL

#define ATTR_LASS	BIT_ULL(27)
#define CR4_LASS	BIT_ULL(27)
#define CR4_LAM_SUP	BIT_ULL(28)
/* Slots of TD_PARAMS. */
#define CPUID_7_0	5
#define CPUID_7_1	6
#define CPUID_23_0	11
#define CPUID_7_0_EBX_HLE BIT(4)
#define CPUID_7_0_EBX_RTM BIT(11)
#define CPUID_7_1_EAX_LASS BIT(6)
#define CPUID_7_1_EAX_PERFMON BIT(8)
#define CPUID_7_1_EAX_LAM BIT(26)
#define MSR_ARCH_CAPABILITIES 0x10a
#define ARCH_CAP_TSX_CTRL BIT_ULL(7)

static struct fx_pair pair;

/* Or 1.5.24, which is the same but for test_known_attacks(). */
static bool is_1_5_05(void)
{
	return sim_profile() != &tdx_sim_profile_1_5_01;
}

static bool is_1_5_24(void)
{
	return sim_profile() == &tdx_sim_profile_1_5_24;
}

static u64 sys_rd(u64 field)
{
	struct fx_args args = { .rdx = field };

	return fx_seamcall(LEAF_SYS_RD, &args) ? U64_MAX : args.r8;
}

static void test_sys(void)
{
	bool newer = is_1_5_05();

	fx_restore(0);
	tap_equal(sys_rd(FIELD_UPDATE_VERSION), is_1_5_24() ? 24 : newer ? 5 : 1, "%s: the version",
		  sim_profile()->name);
	tap_equal(sys_rd(FIELD_FEATURES0), newer ? 0x1f0fbf : 0xf0fbf,
		  "TOPOLOGY_ENUM is a feature of 1.5.05");
	tap_equal(sys_rd(FIELD_NUM_CPUID_CONFIG), newer ? 18 : 12, "CPUID leaves to configure");
	tap_equal(sys_rd(FIELD_MAX_VCPUS_PER_TD), newer ? 576 : U64_MAX, "vCPUs of a TD");
	tap_equal(sys_rd(FIELD_IMMUTABLE_PAGES), newer ? 4 : 3, "pages of immutable state");
	tap_ok(!(sys_rd(FIELD_ATTRIBUTES_FIXED0) & ATTR_LASS),
	       "no TD has LASS on a CPU without it");
	tap_equal(fx_mng_rd(pair.src.tdr, FIELD_NUM_CPUID_VALUES), newer ? 68 : 64,
		  "CPUID values of a TD");
	tap_equal(fx_mng_rd(pair.src.tdr, FIELD_CONFIG_FLAGS), 0,
		  "a field is found with bit 63 of its id or without");
	tap_equal(fx_mng_rd(pair.src.tdr, FIELD_CONFIG_FLAGS & ~BIT_ULL(63)), 0, "the same");
}

/* Of the two streams of a TD that can migrate. */
static void test_stream_links(void)
{
	struct fx_args args = { .rcx = pair.src.tdr, .rdx = FIELD_LAST_OF_BINDINGS };
	struct sim_td src;

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	tap_equal(fx_seamcall(LEAF_MNG_RD | RD_VERSION_1, &args), 0,
		  "the host reads the bindings of a TD");
	tap_equal(args.rdx, FIELD_MIGSC_LINKS, "the links of its streams are next");
	args.rdx = FIELD_MIGSC_LINKS + 1;
	tap_equal(fx_seamcall(LEAF_MNG_RD, &args), 0, "it can read them as well");
	tap_ok(args.r8 && args.r8 == src.migsc_links[1], "as they are");
}

/* What of the CPUID leaves can be set, and what a TD may just lack. */
static void test_cpuid_config(void)
{
	u64 direct = 0, others = 0, value;
	unsigned int i;

	fx_restore(0);
	for (i = 0; i < 2 * cpuid_nr_configs(); i++) {
		value = sys_rd(FIELD_CPUID_CONFIG_VALUES + i);
		direct |= ~value & cpuid_config_mask(i / 2, i % 2, false);
		others |= value & ~cpuid_config_mask(i / 2, i % 2, false);
	}
	tap_equal(direct, 0, "SYS.RD tells the bits of CPUID that can be set");
	tap_ok(!others == !is_1_5_05(), "and %s those that a TD may lack",
	       is_1_5_05() ? "" : "not");
}

static void test_sys_init(void)
{
	static const struct { u32 msr; u64 bits; const char *name; } msrs[] = {
		{ 0x1a0, BIT_ULL(7), "without performance monitoring" },
		{ 0x1a0, BIT_ULL(11), "without BTS" },
		{ 0x10a, BIT_ULL(18), "with FB_CLEAR_CTRL" },
		{ 0x345, BIT_ULL(12), "that cannot freeze counters in SMM" },
		{ 0x492, BIT_ULL(7), "with DDPD, but without a virtual SPEC_CTRL" },
	};
	struct tdx_sim_platform platform = machine_reference_platform;
	unsigned int i;

	platform.profile = sim_profile();
	for (i = 0; i < ARRAY_SIZE(msrs); i++) {
		machine_reset(&platform);
		machine_flip_msr(msrs[i].msr, msrs[i].bits);
		tap_equal(fx_call(LEAF_SYS_INIT),
			  is_1_5_05() ? SIM_INCORRECT_MSR_VALUE | msrs[i].msr : 0,
			  "a CPU %s is %s", msrs[i].name, is_1_5_05() ? "refused" : "good enough");
	}
	machine_reset(&platform);
	tap_equal(fx_call(LEAF_SYS_INIT), 0, "a CPU with all of them is accepted");
}

/* TD_PARAMS that are good, for a TD that exists. */
static u8 *good_params(struct fx_td *td, u64 *hpa)
{
	u8 *p;

	fx_restore(0);
	fx_td_create(td, 36);
	*hpa = fx_hpages(1);
	p = fx_mem(*hpa);
	put_unaligned_le64(3, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(0x1e, p + 0x18);
	put_unaligned_le16(100, p + 0x28);
	return p;
}

static void test_mng_init(void)
{
	struct fx_args args;
	struct fx_td td;
	u64 hpa;
	u8 *p;

	p = good_params(&td, &hpa);
	put_unaligned_le16(577, p + 0x10);
	put_unaligned_le64(0, p + 0x18);
	tap_equal(fx_call(LEAF_MNG_INIT, .rcx = td.tdr, .rdx = hpa),
		  SIM_OPERAND_INVALID | (is_1_5_05() ? OPND_MAX_VCPUS : OPND_EPTP_CONTROLS),
		  "577 vCPUs are %s", is_1_5_05() ? "too many" : "fine");

	p = good_params(&td, &hpa);
	put_unaligned_le64(ATTR_LASS, p);
	tap_equal(fx_call(LEAF_MNG_INIT, .rcx = td.tdr, .rdx = hpa),
		  SIM_OPERAND_INVALID | OPND_ATTRIBUTES, "LASS is refused where the CPU has none");

	p = good_params(&td, &hpa);
	put_unaligned_le32(CPUID_7_0_EBX_HLE, p + SIM_TD_PARAMS_CPUID + CPUID_7_0 * 16 + 4);
	args = (struct fx_args){ .rcx = td.tdr, .rdx = hpa };
	tap_equal(fx_seamcall(LEAF_MNG_INIT, &args), SIM_OPERAND_INVALID | OPND_CPUID_CONFIG,
		  "HLE and RTM go together");
	tap_equal(args.rcx, is_1_5_05() ? 7 : 0, "%s the leaf", is_1_5_05() ? "RCX is" : "not");

	p = good_params(&td, &hpa);
	put_unaligned_le32(CPUID_7_0_EBX_HLE | CPUID_7_0_EBX_RTM,
			   p + SIM_TD_PARAMS_CPUID + CPUID_7_0 * 16 + 4);
	args = (struct fx_args){ .rcx = td.tdr, .rdx = hpa };
	tap_equal(fx_seamcall(LEAF_MNG_INIT, &args),
		  SIM_INCORRECT_MSR_VALUE | MSR_ARCH_CAPABILITIES,
		  "no TD has them on a processor without TSX_CTRL");
	tap_equal(args.rcx, 0, "which is not about a leaf");
	machine_flip_msr(MSR_ARCH_CAPABILITIES, ARCH_CAP_TSX_CTRL);
	tap_equal(fx_call(LEAF_MNG_INIT, .rcx = td.tdr, .rdx = hpa), 0,
		  "but on one that has it");
	machine_flip_msr(0, 0);
}

/* Contents of a TDREPORT: which words of TEE_TCB_INFO are valid. */
static u64 report_valid(void)
{
	struct fx_args args = { .rcx = 0x1000, .rdx = 0x2000 };
	struct probe_page page;
	struct sim_td td;

	fx_restore(0);
	if (fx_tdcall(pair.src.tdr, TDG_MR_REPORT, &args))
		return 0;
	probe_td(pair.src.tdr, &td);
	probe_translate(&td, 0x1000, &page);
	return get_unaligned_le64((u8 *)fx_mem(page.hpa) + 256);
}

static void test_report(void)
{
	tap_equal(report_valid(), is_1_5_05() ? 0x301ff : 0x1ff, "a report has %s",
		  is_1_5_05() ? "a second SVN" : "one SVN");
}

static void test_track(void)
{
	struct sim_td td;

	fx_restore(0);
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = 0x1000, .rdx = pair.src.tdr);
	tap_equal(fx_call(LEAF_MEM_RANGE_UNBLOCK, .rcx = 0x1000, .rdx = pair.src.tdr),
		  SIM_TLB_TRACKING_NOT_DONE | (is_1_5_05() ? RCX : OPND_SEPT_TREE),
		  "UNBLOCK without TRACK names %s", is_1_5_05() ? "RCX" : "the tree");

	probe_td(pair.src.tdr, &td);
	td.tdcs->epoch.td_epoch = GENMASK_ULL(62, 0) - 2;
	tap_equal(fx_call(LEAF_MEM_TRACK, .rcx = pair.src.tdr), 0, "the last epoch but one");
	tap_equal(fx_call(LEAF_MEM_TRACK, .rcx = pair.src.tdr), is_1_5_05() ? SIM_SYS_SHUTDOWN : 0,
		  "what follows is %s", is_1_5_05() ? "the end of the module" : "any epoch");
}

static void test_bind(void)
{
	struct sim_td src, mig;
	struct fx_td other;

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	probe_td(pair.mig.tdr, &mig);
	src.tdcs->servtd[0].attributes = SIM_SERVTD_INSTANCE_BINDING;
	mig.tdcs->rtmr[0][0] ^= 1;
	tap_equal(fx_call(LEAF_SERVTD_BIND, .rcx = pair.src.tdr, .rdx = pair.mig.tdr,
			  .r10 = SIM_SERVTD_INSTANCE_BINDING),
		  is_1_5_05() ? SIM_SERVTD_INFO_HASH_MISMATCH : 0,
		  "an instance that has another measurement now is %s",
		  is_1_5_05() ? "refused" : "taken");

	mig.tdcs->rtmr[0][0] ^= 1;
	fx_td_create(&other, 36);
	fx_td_init(&other, 0);
	fx_vp_add(&other);
	fx_sept_add(&other, 0);
	fx_page_add(&other, 0, 'M');
	fx_must(LEAF_MR_FINALIZE, .rcx = other.tdr);
	tap_equal(fx_call(LEAF_SERVTD_BIND, .rcx = pair.src.tdr, .rdx = other.tdr,
			  .r10 = SIM_SERVTD_INSTANCE_BINDING),
		  is_1_5_05() ? 0 : SIM_SERVTD_UUID_MISMATCH,
		  "another instance with the same measurement is %s",
		  is_1_5_05() ? "taken" : "refused");
}

/* An epoch token of a session that began with another version than the next one. */
static void test_epoch_token(void)
{
	struct sim_td src;

	fx_restore(0);
	fx_pair_start(&pair);
	probe_td(pair.src.tdr, &src);
	src.tdcs->mig_version = 7;
	fx_must(LEAF_EXPORT_TRACK, .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b));
	tap_equal(get_unaligned_le16((u8 *)fx_mem(pair.b.mbmd) + 2), is_1_5_05() ? 0 : 7,
		  "a token has the version of the %s session", is_1_5_05() ? "present" : "next");
}

/* What the destination measures of its migration TD, and what arrives. */
static void test_servtd_hash(void)
{
	u8 own[48], sent[48];
	struct sim_td src, dst;

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	probe_td(pair.dst.tdr, &dst);
	memcpy(own, src.tdcs->servtd_hash, sizeof(own));
	memset(sent, 0x77, sizeof(sent));
	memcpy(src.tdcs->servtd_hash, sent, sizeof(sent));
	fx_pair_start(&pair);
	tap_ok(!memcmp(dst.tdcs->servtd_hash, is_1_5_05() ? own : sent, sizeof(own)),
	       "SERVTD_HASH is %s", is_1_5_05() ? "measured anew" : "taken over");
}

/* A bundle of one version at a module of the other one. */
static void test_other_version(void)
{
	const struct tdx_sim_profile *own = sim_profile();
	static u8 page[SIM_PAGE_SIZE];
	struct md_cursor cur = { };
	struct sim_td src, dst;
	u64 rcx, rdx;

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	probe_td(pair.dst.tdr, &dst);
	md_dump_page(MD_BUNDLE_IMMUTABLE_TD, &src, NULL, &cur, page);
	sim_module.platform.profile = is_1_5_05() ? &tdx_sim_profile_1_5_01 :
						    &tdx_sim_profile_1_5_05;
	cur = (struct md_cursor){ };
	tap_equal(md_load_page(MD_BUNDLE_IMMUTABLE_TD, &dst, NULL, &cur, page, false, &rcx, &rdx),
		  SIM_METADATA_FIELD_VALUE_NOT_VALID | 8, "the other version does not take a TD");
	tap_equal(rcx, FIELD_NUM_CPUID_VALUES, "because of the number of CPUID values");
	sim_module.platform.profile = own;
}

/* ------------------------------------------------------- state of a vCPU */

static u8 vp_pages[MAX_PAGES][SIM_PAGE_SIZE];

/* Move the vCPU, changed by the caller, from one TD to the other. */
static u64 move_vp(struct sim_vp *src, struct sim_vp *dst)
{
	struct md_cursor cur = { };
	u64 rcx, rdx, err = SIM_SUCCESS;
	unsigned int n = 0, i;

	while (!cur.done)
		md_dump_page(MD_BUNDLE_VP, &src->td, src, &cur, vp_pages[n++]);
	md_init_imported_vp(dst);
	cur = (struct md_cursor){ };
	for (i = 0; i < n && !err; i++)
		err = md_load_page(MD_BUNDLE_VP, &dst->td, dst, &cur, vp_pages[i], i == n - 1,
				   &rcx, &rdx);
	return err & CODE_MASK;
}

static void fresh_vps(struct sim_vp *src, struct sim_vp *dst)
{
	fx_restore(0);
	fx_pair_start(&pair);
	probe_td(pair.dst.tdr, &dst->td);
	dst->td.tdcs->op_state = OP_STATE_IMPORT;
	pair.dst.nr_vps = 0;
	probe_vp(fx_vp_create(&pair.dst), dst);
	probe_vp(pair.src.vp[0], src);
}

static void test_vp_values(void)
{
	u64 refused = is_1_5_05() ? SIM_METADATA_FIELD_VALUE_NOT_VALID : 0;
	static const struct { u64 cr3; const char *what; } cr3s[] = {
		{ BIT_ULL(47), "a shared address" },
		{ BIT_ULL(48), "an address that is too wide" },
		{ BIT_ULL(52), "a reserved bit" },
		{ BIT_ULL(61), "LAM, which the CPU has not" },
		{ BIT_ULL(63), "the highest bit" },
	};
	struct sim_vp src, dst;
	unsigned int i;

	fresh_vps(&src, &dst);
	src.vmcs->cr3 = 0x1fff;
	tap_equal(move_vp(&src, &dst), 0, "CR3 may be any private address");
	for (i = 0; i < ARRAY_SIZE(cr3s); i++) {
		fresh_vps(&src, &dst);
		src.vmcs->cr3 = cr3s[i].cr3;
		tap_equal(move_vp(&src, &dst), SIM_METADATA_FIELD_VALUE_NOT_VALID,
			  "but not with %s", cr3s[i].what);
	}

	fresh_vps(&src, &dst);
	src.vps->msr_xss = BIT_ULL(0);
	tap_equal(move_vp(&src, &dst), refused, "XSS with a user state component is %s",
		  refused ? "refused" : "imported");

	fresh_vps(&src, &dst);
	src.vps->state = VCPU_DISABLED;
	tap_equal(move_vp(&src, &dst), 0, "a disabled vCPU is imported");
	tap_equal(dst.vps->state, is_1_5_05() ? VCPU_DISABLED : VCPU_UNINITIALIZED, "and is%s so",
		  is_1_5_05() ? "" : " not");

	fresh_vps(&src, &dst);
	src.vps->l2_ctls[0] = BIT_ULL(2);
	tap_equal(move_vp(&src, &dst), refused, "bit 2 of L2_CTLS is %s",
		  refused ? "refused" : "imported");
}

static void test_rtit_ctl(void)
{
	u64 *src_ctl, *dst_ctl;
	struct sim_vp src, dst;

	fresh_vps(&src, &dst);
	/* With x87, SSE and PT, the latter follows the header at once. */
	src.td.tdcs->xfam |= BIT_ULL(8);
	dst.td.tdcs->xfam |= BIT_ULL(8);
	src_ctl = (u64 *)(src.xbuff[0] + 576);
	dst_ctl = (u64 *)(dst.xbuff[0] + 576);
	src_ctl[0] = 1;
	src_ctl[1] = 2;
	tap_equal(move_vp(&src, &dst), 0, "a vCPU with processor trace is imported");
	tap_equal(dst_ctl[0], !is_1_5_05(), "its RTIT_CTL is %s",
		  is_1_5_05() ? "cleared" : "taken over");
	tap_equal(dst_ctl[1], 2, "what is next to it is taken over");
}

/* One field of the immutable state of the source is wrong. */
static u64 start_with(void (*change)(struct sim_td *))
{
	struct fx_args args;
	struct sim_td src;

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	change(&src);
	args = (struct fx_args){ .rcx = pair.src.tdr, .r8 = fx_mbmd(&pair.b),
				 .r9 = fx_page_list(&pair.b, FX_BUNDLE_PAGES) };
	fx_expect_success("EXPORT", fx_seamcall(LEAF_EXPORT_STATE_IMMUTABLE, &args));
	return fx_call(LEAF_IMPORT_STATE_IMMUTABLE, .rcx = pair.dst.tdr, .r8 = fx_mbmd(&pair.b),
		       .r9 = fx_page_list(&pair.b, args.rdx));
}

static void two_servtds(struct sim_td *td)
{
	td->tdcs->servtd_num = 2;
}

static void slow_tsc(struct sim_td *td)
{
	td->tdcs->tsc_frequency = 3;
	/* CPUID 0x15 tells it too. */
	td->cpuid->values[cpuid_index(0x15, 0)][0] = 1 | 3ULL << 32;
}

static void no_vcpus(struct sim_td *td)
{
	td->tdcs->num_vcpus = 0;
}

static void xapic_status(struct sim_td *td)
{
	td->tdcs->virt_arch_capabilities ^= BIT_ULL(21);
}

static void with_tsx(struct sim_td *td)
{
	td->cpuid->values[cpuid_index(7, 0)][0] |=
		(u64)(CPUID_7_0_EBX_HLE | CPUID_7_0_EBX_RTM) << 32;
	td->tdcs->virt_arch_capabilities |= ARCH_CAP_TSX_CTRL;
}

static void test_immutable_values(void)
{
	tap_equal(start_with(with_tsx) & CODE_MASK, SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL,
		  "TSX is refused on a processor without TSX_CTRL");
	machine_flip_msr(MSR_ARCH_CAPABILITIES, ARCH_CAP_TSX_CTRL);
	tap_equal(start_with(with_tsx), 0, "but not on one that has it");
	machine_flip_msr(0, 0);
	tap_equal(start_with(two_servtds) & CODE_MASK, 0,
		  "how many service TDs the source has is not judged");
	tap_equal(start_with(slow_tsc) & CODE_MASK,
		  is_1_5_05() ? SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL : 0,
		  "a TSC of 75 MHz is %s", is_1_5_05() ? "refused" : "imported");
	tap_equal(start_with(no_vcpus),
		  SIM_OPERAND_INVALID | SIM_FATAL | (is_1_5_05() ? OPND_MAX_VCPUS : RDX),
		  "without vCPUs, %s is named", is_1_5_05() ? "MAX_VCPUS" : "RDX");
	tap_equal(start_with(xapic_status) & CODE_MASK,
		  SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL,
		  "XAPIC_DISABLE_STATUS is %s", is_1_5_05() ? "a must" : "never there");
}

/* Of a TD that the host debugs. */
static u64 write_l2_ctls(u64 value, u64 mask)
{
	struct sim_td td;

	fx_restore(0);
	probe_td(pair.src.tdr, &td);
	td.tdcs->attributes |= SIM_ATTR_DEBUG;
	return fx_call(LEAF_VP_WR, .rcx = pair.src.vp[0], .rdx = FIELD_L2_CTLS_1, .r8 = value,
		       .r9 = mask);
}

static void test_l2_ctls(void)
{
	tap_equal(write_l2_ctls(3, 3), 0, "the host can set bits 0 and 1 of L2_CTLS");
	tap_equal(write_l2_ctls(3, ~0ULL), 0, "among other bits, which stay as they are");
	tap_equal(write_l2_ctls(4, ~0ULL), is_1_5_05() ? SIM_METADATA_FIELD_VALUE_NOT_VALID : 0,
		  "but bit 2 only in 1.5.01");
	tap_equal(write_l2_ctls(0, 4), is_1_5_05() ? SIM_METADATA_FIELD_NOT_WRITABLE : 0,
		  "it is %s", is_1_5_05() ? "not even there to be written" : "writable alone");
}

/* ------------------------------------------------- features of the processor */

#define add_cpuid_eax(_leaf, _subleaf, _eax) \
	machine_add_cpuid(_leaf, _subleaf, (const u32[4]) { _eax })

static u64 init_td(struct fx_td *td, u64 attributes, u32 eax_7_1, u32 eax_23_0)
{
	u64 hpa;
	u8 *p = good_params(td, &hpa);

	put_unaligned_le64(attributes, p);
	put_unaligned_le32(eax_7_1, p + SIM_TD_PARAMS_CPUID + CPUID_7_1 * 16);
	put_unaligned_le32(eax_23_0, p + SIM_TD_PARAMS_CPUID + CPUID_23_0 * 16);
	return fx_call(LEAF_MNG_INIT, .rcx = td->tdr, .rdx = hpa);
}

/* EAX and EBX of a leaf, as the TD has it. */
static u64 td_cpuid(u64 attributes, u32 eax_7_1, u32 eax_23_0, u64 field)
{
	struct fx_td td;

	fx_expect_success("MNG.INIT", init_td(&td, attributes, eax_7_1, eax_23_0));
	return fx_mng_rd(td.tdr, field);
}

static void lass_attribute(struct sim_td *td)
{
	td->tdcs->attributes |= ATTR_LASS;
}

static void lass_cpuid(struct sim_td *td)
{
	td->cpuid->values[cpuid_index(7, 1)][0] |= CPUID_7_1_EAX_LASS;
}

static void with_lass(struct sim_td *td)
{
	lass_attribute(td);
	lass_cpuid(td);
}

/* What of CR4 is not the guest's. */
static u64 cr4_mask(u64 attributes)
{
	struct fx_args args = { .rcx = pair.src.vp[0], .rdx = FIELD_CR4_MASK };
	struct sim_td td;

	fx_restore(0);
	probe_td(pair.src.tdr, &td);
	td.tdcs->attributes |= SIM_ATTR_DEBUG | attributes;
	fx_expect_success("VP.RD", fx_seamcall(LEAF_VP_RD, &args));
	return args.r8 & (CR4_LASS | CR4_LAM_SUP);
}

static void test_lass(void)
{
	u64 refused = SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL;
	const char *has = is_1_5_05() ? "can have" : "has no";
	struct fx_td td;

	tap_equal(start_with(with_lass) & CODE_MASK, refused,
		  "a TD with LASS does not go to a CPU without it");
	tap_equal(cr4_mask(0), CR4_LASS | CR4_LAM_SUP, "where CR4 has no bits for LASS and LAM");

	add_cpuid_eax(7, 1, CPUID_7_1_EAX_LASS);
	fx_restore(0);
	tap_equal(sys_rd(FIELD_ATTRIBUTES_FIXED0) & ATTR_LASS, is_1_5_05() ? ATTR_LASS : 0,
		  "on a CPU with LASS, a TD %s it", has);
	if (tap_equal(init_td(&td, ATTR_LASS, 0, 0),
		      is_1_5_05() ? 0 : SIM_OPERAND_INVALID | OPND_ATTRIBUTES,
		      "MNG.INIT says so, too") && is_1_5_05())
		tap_ok(fx_mng_rd(td.tdr, FIELD_CPUID_7_1) & CPUID_7_1_EAX_LASS,
		       "a TD with LASS sees it");
	tap_ok(!(td_cpuid(0, 0, 0, FIELD_CPUID_7_1) & CPUID_7_1_EAX_LASS),
	       "one that did not ask for LASS does not");
	tap_equal(start_with(with_lass) & CODE_MASK, is_1_5_05() ? 0 : refused,
		  "a TD that comes here %s it", has);
	tap_equal(start_with(lass_attribute) & CODE_MASK, refused, "but not without seeing it");
	tap_equal(start_with(lass_cpuid) & CODE_MASK, refused, "nor may it see LASS alone");
	tap_equal(cr4_mask(ATTR_LASS), CR4_LAM_SUP | (is_1_5_05() ? 0 : CR4_LASS),
		  "the bit of CR4 is%s the guest's then", is_1_5_05() ? "" : " not");
	tap_equal(cr4_mask(0), CR4_LASS | CR4_LAM_SUP, "and only then");
	machine_forget_cpuid();
}

static void test_lam(void)
{
	static const u64 cr3s[] = { BIT_ULL(61), BIT_ULL(62), GENMASK_ULL(62, 61) | 0x1fff };
	static const u64 wrong[] = { BIT_ULL(60), BIT_ULL(63), BIT_ULL(61) | BIT_ULL(47) };
	struct sim_vp src, dst;
	unsigned int i;

	add_cpuid_eax(7, 1, CPUID_7_1_EAX_LAM);
	for (i = 0; i < ARRAY_SIZE(cr3s); i++) {
		fresh_vps(&src, &dst);
		src.vmcs->cr3 = cr3s[i];
		tap_equal(move_vp(&src, &dst),
			  is_1_5_05() ? 0 : SIM_METADATA_FIELD_VALUE_NOT_VALID,
			  "CR3 can%s have LAM on a CPU with it", is_1_5_05() ? "" : "not");
		tap_equal(dst.vmcs->cr3, is_1_5_05() ? cr3s[i] : 0, "which is what it has then");
	}
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		fresh_vps(&src, &dst);
		src.vmcs->cr3 = wrong[i];
		tap_equal(move_vp(&src, &dst), SIM_METADATA_FIELD_VALUE_NOT_VALID,
			  "what is wrong without LAM is wrong with it");
	}
	tap_equal(cr4_mask(0), CR4_LASS | (is_1_5_05() ? 0 : CR4_LAM_SUP),
		  "the bit of CR4 is %s", is_1_5_05() ? "the guest's" : "not the guest's");
	machine_forget_cpuid();
}

#define NATIVE_MODEL	0x40000001

static void native_model(struct sim_td *td)
{
	td->cpuid->values[cpuid_index(0x1a, U32_MAX)][0] = NATIVE_MODEL;
}

/* CPUID 0x1A is about the core that a TD happens to run on. */
static void test_native_model(void)
{
	add_cpuid_eax(0x1a, 0, NATIVE_MODEL);
	if (is_1_5_05()) {
		tap_equal(td_cpuid(0, 0, 0, FIELD_CPUID_1A), NATIVE_MODEL,
			  "a TD sees the native model");
		tap_equal(td_cpuid(SIM_ATTR_MIGRATABLE, 0, 0, FIELD_CPUID_1A), 0,
			  "but not if it can migrate");
		tap_equal(start_with(native_model) & CODE_MASK,
			  SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL,
			  "and none arrives with it, even if it is the same");
	} else {
		struct fx_td td;

		fx_expect_success("MNG.INIT", init_td(&td, 0, 0, 0));
		tap_equal(fx_call(LEAF_MNG_RD, .rcx = td.tdr, .rdx = FIELD_CPUID_1A),
			  SIM_METADATA_FIELD_ID_INCORRECT, "a TD does not have CPUID 0x1A");
	}
	machine_forget_cpuid();
}

#define PERFMON_SUBLEAVES	0xb
#define PERFMON_COUNTERS	0xff

static void perfmon_leaf(struct sim_td *td)
{
	td->cpuid->values[cpuid_index(0x23, 1)][0] = PERFMON_COUNTERS;
}

static void test_perfmon(void)
{
	const char *is = is_1_5_05() ? "is zero" : "is there anyway";

	add_cpuid_eax(7, 1, CPUID_7_1_EAX_PERFMON);
	add_cpuid_eax(0x23, 0, PERFMON_SUBLEAVES);
	add_cpuid_eax(0x23, 1, PERFMON_COUNTERS);
	tap_equal(td_cpuid(SIM_ATTR_PERFMON, CPUID_7_1_EAX_PERFMON, 0xf, FIELD_CPUID_23_0),
		  PERFMON_SUBLEAVES, "a TD with PERFMON has CPUID 0x23");
	tap_equal(td_cpuid(SIM_ATTR_PERFMON, CPUID_7_1_EAX_PERFMON, 0x3, FIELD_CPUID_23_0),
		  0x3, "with the subleaves that it may have");
	tap_equal(td_cpuid(SIM_ATTR_PERFMON, CPUID_7_1_EAX_PERFMON, 0x3, FIELD_CPUID_23_1),
		  PERFMON_COUNTERS, "and their values");
	tap_equal(td_cpuid(0, CPUID_7_1_EAX_PERFMON, 0x3, FIELD_CPUID_23_0),
		  is_1_5_05() ? 0 : 0x3, "without PERFMON, it %s", is);
	tap_equal(td_cpuid(SIM_ATTR_PERFMON, 0, 0x3, FIELD_CPUID_23_0), is_1_5_05() ? 0 : 0x3,
		  "if CPUID 7.1 does not tell of the leaf, it %s", is);
	tap_equal(td_cpuid(SIM_ATTR_PERFMON, 0, 0x3, FIELD_CPUID_23_1),
		  is_1_5_05() ? 0 : PERFMON_COUNTERS, "so are the values");
	tap_equal(start_with(perfmon_leaf) & CODE_MASK,
		  is_1_5_05() ? SIM_METADATA_FIELD_VALUE_NOT_VALID | SIM_FATAL : 0,
		  "a TD that migrates has no PERFMON; the leaf %s",
		  is_1_5_05() ? "is refused" : "arrives anyway");
	machine_forget_cpuid();
}

/* ------------------------------------------------- VP.ENTER and its failures */

/* Like the engine of a machine that finds that it cannot load them. */
static void fail_entry(struct sim_vp *vp, struct sim_td_exit *exit)
{
	exit->rax = sim_profile()->unloadable_state;
}

/* In numbers: what a host sees does not depend on the names that they have here. */
static void test_unloadable_state(void)
{
	fx_restore(0);
	machine_set_guest(fail_entry);
	tap_equal(fx_call(LEAF_VP_ENTER, .rcx = pair.src.vp[0]),
		  is_1_5_05() ? 0x6000000500000000 : 0x6000000200000000,
		  "a vCPU whose state cannot be loaded ends its TD, which is %s",
		  is_1_5_05() ? "not accessible" : "not recoverable");
	machine_set_guest(NULL);
	tap_equal(fx_call(LEAF_VP_ENTER, .rcx = pair.src.vp[0]), 0xe000060400000000,
		  "and does not run again");
}

/* -------------------------------------------------------------- known attacks */

/* What is close to them and is none; attacks/ has them as a host does them. */
static void test_known_attacks(void)
{
	static u8 page[SIM_PAGE_SIZE];
	struct md_cursor cur = { };
	struct sim_td src, dst;
	u64 hpa, rcx, rdx, err;
	struct fx_td td;

	good_params(&td, &hpa);
	tap_equal(fx_call(LEAF_MNG_INIT, .rcx = pair.dst.tdr, .rdx = hpa), 0,
		  "a TD with streams and a key is initialized if no import has begun");

	fx_restore(0);
	probe_td(pair.src.tdr, &src);
	probe_td(pair.dst.tdr, &dst);
	md_dump_page(MD_BUNDLE_TD, &src, NULL, &cur, page);
	put_unaligned_le16(8, page);
	cur = (struct md_cursor){ };
	err = md_load_page(MD_BUNDLE_TD, &dst, NULL, &cur, page, true, &rcx, &rdx);
	tap_equal(err & CODE_MASK, SIM_METADATA_LIST_OVERFLOW,
		  "a list that is just a header is too short");
	put_unaligned_le16(7, page);
	cur = (struct md_cursor){ };
	err = md_load_page(MD_BUNDLE_TD, &dst, NULL, &cur, page, true, &rcx, &rdx);
	tap_equal(err & CODE_MASK, is_1_5_24() ? SIM_METADATA_LIST_OVERFLOW : 0,
		  "one that is even shorter is %s",
		  is_1_5_24() ? "so, too" : "taken for a long one");
}

static void test(const struct tdx_sim_profile *profile)
{
	fx_profile(profile);
	fx_boot(1);
	fx_pair_init(&pair, 2);
	fx_snapshot(0);
	test_sys();
	test_stream_links();
	test_cpuid_config();
	test_mng_init();
	test_report();
	test_track();
	test_bind();
	test_epoch_token();
	test_servtd_hash();
	test_other_version();
	test_vp_values();
	test_rtit_ctl();
	test_immutable_values();
	test_lass();
	test_lam();
	test_native_model();
	test_perfmon();
	test_l2_ctls();
	test_unloadable_state();
	test_known_attacks();
	test_sys_init();
}

int main(void)
{
	tap_ok(tdx_sim_find_profile("1.5.01") == &tdx_sim_profile_1_5_01 &&
	       tdx_sim_find_profile("1.5.05") == &tdx_sim_profile_1_5_05 &&
	       tdx_sim_find_profile("1.5.24") == &tdx_sim_profile_1_5_24, "profiles have names");
	tap_ok(!tdx_sim_find_profile("1.5.0"), "others do not exist");
	test(&tdx_sim_profile_1_5_01);
	test(&tdx_sim_profile_1_5_05);
	test(&tdx_sim_profile_1_5_24);
	return tap_done();
}
