// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual CPUID: which leaves a TD sees, what of them the host may configure,
 * the values of a TD, and the capabilities that CPUID tells of.
 */
#include "metadata_table.h"

enum { EAX, EBX, ECX, EDX, NR_VALUES };

#define NONE			U32_MAX		/* leaf without subleaves */
#define ALL_BITS		{ ~0U, ~0U, ~0U, ~0U }

/**
 * struct cpuid_row - A leaf or subleaf
 * @leaf: Leaf
 * @subleaf: Subleaf or NONE
 * @faults: Not virtualised, the TD gets a #VE
 * @one: Bits that are always set
 * @zero: Bits that are clear in the table, some of them set when executed
 * @direct: Bits that are as the host configured them
 * @allow: Bits that are native if the host configured them as one
 */
struct cpuid_row {
	u32 leaf;
	u32 subleaf;
	bool faults;
	u32 one[NR_VALUES];
	u32 zero[NR_VALUES];
	u32 direct[NR_VALUES];
	u32 allow[NR_VALUES];
};

/* The order is that of the values in a state bundle. */
static const struct cpuid_row cpuid_rows[SIM_NR_CPUID_VALUES] = {
	{ 0x1, NONE, .one = { 0, 0, 0x80000000, 0x200 },
	  .zero = { 0xf000c000, 0xff0000ff, 0x8010060, 0x40120400 },
	  .direct = { 0xfff3fff, 0xff0000, 0, 0 }, .allow = { 0, 0, 0x31044d88, 0xb8440000 } },
	{ 0x4, 0, .zero = { 0x3c00, 0, 0, 0x4 },
	  .direct = { 0xffffc3ff, 0xfffff000, ~0U, 0xfffffffb } },
	{ 0x4, 1, .zero = { 0x3c00, 0, 0, 0x4 },
	  .direct = { 0xffffc3ff, 0xfffff000, ~0U, 0xfffffffb } },
	{ 0x4, 2, .zero = { 0x3c00, 0, 0, 0x4 },
	  .direct = { 0xffffc3ff, 0xfffff000, ~0U, 0xfffffffb } },
	{ 0x4, 3, .zero = { 0x3c00, 0, 0, 0xfffffff8 },
	  .direct = { 0xffffc3ff, 0xfffff000, ~0U, 0x7 } },
	{ 0x7, 0, .zero = { 0, 0x404006, 0x643e8010, 0x2298c3 },
	  .allow = { 0, 0xdc2b9b18, 0x2417f65, 0x5411c } },
	{ 0x7, 1, .zero = { 0xffffe2cf, ~0U, ~0U, ~0U }, .allow = { 0x1d30, 0, 0, 0 } },
	{ 0xa, NONE, .zero = { 0, 0, 0, 0xffff6000 } },
	{ 0x1c, NONE, .allow = { 0xff, 0, 0, 0 } },
	{ 0x80000008, NONE, .zero = { 0xffff0000, 0xfffffdff, ~0U, ~0U },
	  .allow = { 0, 0x200, 0, 0 } },
	{ 0x0, NONE, .one = { 0x23, 0, 0, 0 }, .zero = { 0xffffffdc, 0, 0, 0 } },
	{ 0x3, NONE, .zero = ALL_BITS },
	{ 0x4, 4, .zero = ALL_BITS },
	{ 0x6, NONE, .faults = true },
	{ 0x7, 2, .zero = { ~0U, ~0U, ~0U, 0xffffffc0 }, .allow = { 0, 0, 0, 0x28 } },
	{ 0x8, NONE, .zero = ALL_BITS },
	{ 0xd, 0, .zero = { 0xfff9fd18, ~0U, 0, ~0U } },
	{ 0xd, 1, .zero = { 0xffffffe0, ~0U, 0xffff26ff, ~0U } },
	{ 0xd, 2, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 3, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 4, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 5, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 6, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 7, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 8, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 9, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 10, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 11, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 12, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 13, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 14, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 15, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 16, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 17, .zero = { 0, 0, 0, ~0U } },
	{ 0xd, 18, .zero = { 0, 0, 0, ~0U } },
	{ 0xe, NONE, .zero = ALL_BITS },
	{ 0x11, NONE, .zero = ALL_BITS },
	{ 0x12, NONE, .zero = ALL_BITS },
	{ 0x13, NONE, .zero = ALL_BITS },
	{ 0x14, 0, .zero = { 0, 0xfffffe00, 0x7ffffff0, ~0U } },
	{ 0x14, 1, .zero = { 0xfff8, 0, ~0U, ~0U } },
	{ 0x15, NONE, .one = { 0x1, 0, 0x17d7840, 0 },
	  .zero = { 0xfffffffe, 0, 0xfe8287bf, ~0U } },
	{ 0x19, NONE, .zero = { 0xfffffff8, 0xffffffeb, 0xfffffffd, ~0U } },
	{ 0x1d, 0 },
	{ 0x1d, 1 },
	{ 0x1e, NONE },
	{ 0x1f, 0, .faults = true },
	{ 0x1f, 1, .faults = true },
	{ 0x1f, 2, .faults = true },
	{ 0x1f, 3, .faults = true },
	{ 0x1f, 4, .faults = true },
	{ 0x1f, 5, .faults = true },
	{ 0x20, NONE, .zero = ALL_BITS },
	{ 0x21, 0, .one = { 0, 0x65746e49, 0x20202020, 0x5844546c },
	  .zero = { ~0U, 0x9a8b91b6, 0xdfdfdfdf, 0xa7bbab93 } },
	{ 0x80000000, NONE, .one = { 0x80000008, 0, 0, 0 },
	  .zero = { 0x7ffffff7, ~0U, ~0U, ~0U } },
	{ 0x80000001, NONE, .zero = { ~0U, ~0U, 0xfffffede, 0xd3efffff } },
	{ 0x80000006, NONE, .faults = true },
	{ 0x80000007, NONE, .zero = { ~0U, ~0U, ~0U, 0xfffffeff } },
	{ 0x22, NONE, .zero = ALL_BITS },
	{ 0x23, 0, .zero = { 0xfffffff0, 0, ~0U, ~0U }, .allow = { 0xf, 0, 0, 0 } },
	{ 0x23, 1, .zero = { 0, 0, ~0U, ~0U } },
	{ 0x23, 2, .zero = ALL_BITS },
	{ 0x23, 3, .zero = { 0, ~0U, ~0U, ~0U } },
	{ 0x5, NONE, .zero = { 0xffff0000, 0xffff0000, 0xfffffffc, 0 } },
};

/* Rows that TD_PARAMS has values for, in the order that it has them. */
static const u8 cpuid_configs[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 59 };

#define CPUID_1_ECX_MONITOR	BIT(3)
#define CPUID_1_ECX_AVX		(BIT(12) | GENMASK(29, 28))
#define CPUID_1_ECX_OSXSAVE	BIT(27)
#define CPUID_1_EBX_APIC_ID	GENMASK(31, 24)
#define CPUID_7_EBX_HLE		BIT(4)
#define CPUID_7_EBX_RTM		BIT(11)
#define CPUID_7_ECX_OSPKE	BIT(4)
#define CPUID_7_ECX_LA57	BIT(16)
#define CPUID_7_ECX_KL		BIT(23)
#define CPUID_7_ECX_PKS		BIT(31)
#define CPUID_D_1_EAX_XFD	BIT(4)
#define CPUID_D_ECX_ALIGN	BIT(1)
#define CPUID_D_ECX_XFD		BIT(2)
#define CPUID_80000001_EDX_SYSCALL BIT(11)
#define CPUID_80000008_LA_BITS	GENMASK(15, 8)
#define LA_BITS_4LEVEL		48
#define LA_BITS_5LEVEL		57
#define CPUID_STEPPING		GENMASK(3, 0)

#define LAST_BASE_LEAF		0x23
#define LAST_EXTENDED_LEAF	0x80000008
#define FIRST_EXTENDED_LEAF	0x80000000
#define FIRST_VMM_LEAF		0x40000000
#define LAST_VMM_LEAF		0x4fffffff

#define CR4_OSXSAVE		BIT_ULL(18)
#define CR4_PKE			BIT_ULL(22)
#define GUEST_EFER_LMA		BIT_ULL(10)
#define SEGMENT_AR_DPL		GENMASK(6, 5)
#define SEGMENT_AR_L		BIT(13)
#define CPUID_CONTROL_SUPERVISOR BIT(0)
#define CPUID_CONTROL_USER	BIT(1)

/* XSAVE area: legacy region and header. */
#define XSAVE_EXTENDED		576

/* IA32_ARCH_CAPABILITIES: what a module demands of its processor. */
#define CAPS_SSB_NO		BIT_ULL(4)
#define CAPS_TSX_CTRL	BIT_ULL(7)
#define CAPS_RRSBA		BIT_ULL(19)
#define CAPS_BHI_NO		BIT_ULL(20)
#define CAPS_PBRSB_NO	BIT_ULL(24)
#define CAPS_FIXED1		0xf16bULL
#define CAPS_FIXED0		(GENMASK_ULL(63, 25) | GENMASK_ULL(23, 21) | \
				 GENMASK_ULL(18, 16) | GENMASK_ULL(11, 9) | BIT_ULL(2))

/*
 * Bits that exist only with a state component: without any of @xfam they are
 * clear.
 */
static const struct {
	u32 leaf;
	u32 subleaf;
	u64 xfam;
	u32 bits[NR_VALUES];
} xfam_bits[] = {
	{ 0x7, 0, BIT_ULL(2), { 0, 0x20, 0x600, 0 } },
	{ 0x7, 0, BIT_ULL(5), { 0, 0xdc230000, 0x5842, 0x80010c } },
	{ 0x7, 0, BIT_ULL(8), { 0, 0x2000000, 0, 0 } },
	{ 0x7, 0, BIT_ULL(9), { 0, 0, 0x8, 0 } },
	{ 0x7, 0, BIT_ULL(11), { 0, 0, 0x80, 0x100000 } },
	{ 0x7, 0, BIT_ULL(14), { 0, 0, 0, 0x20 } },
	{ 0x7, 0, BIT_ULL(15), { 0, 0, 0, 0x80000 } },
	{ 0x7, 0, BIT_ULL(17), { 0, 0, 0, 0x3400000 } },
	{ 0x7, 1, BIT_ULL(5), { 0x30, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(2), { 0x4, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(5), { 0xe0, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(9), { 0x200, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(17), { 0x60000, 0, 0, 0 } },
	{ 0xd, 1, BIT_ULL(8), { 0, 0, 0x100, 0 } },
	{ 0xd, 1, BIT_ULL(11), { 0, 0, 0x1800, 0 } },
	{ 0xd, 1, BIT_ULL(14), { 0, 0, 0x4000, 0 } },
	{ 0xd, 1, BIT_ULL(15), { 0, 0, 0x8000, 0 } },
};

unsigned int cpuid_index(u32 leaf, u32 subleaf)
{
	unsigned int i;

	for (i = 0; i < SIM_NR_CPUID_VALUES; i++) {
		if (cpuid_rows[i].leaf == leaf &&
		    (cpuid_rows[i].subleaf == NONE || cpuid_rows[i].subleaf == subleaf))
			return i;
	}
	return CPUID_NONE;
}

u32 cpuid_code(unsigned int index)
{
	const struct cpuid_row *row = &cpuid_rows[index];
	u32 code = FIELD_PREP(MD_CPUID_LEAF, row->leaf & FIELD_MAX(MD_CPUID_LEAF));

	if (row->leaf & BIT(31))
		code |= MD_CPUID_LEAF_BIT31;
	if (row->subleaf == NONE)
		return code | MD_CPUID_NO_SUBLEAF | MD_CPUID_SUBLEAF;
	return code | FIELD_PREP(MD_CPUID_SUBLEAF, row->subleaf);
}

static bool cpuid_faults(unsigned int index)
{
	return cpuid_rows[index].faults;
}

bool cpuid_readable(const struct sim_td *td, unsigned int index)
{
	return !cpuid_faults(index) && td->cpuid->valid[index];
}

static void cpuid_native(unsigned int index, u32 values[NR_VALUES])
{
	const struct cpuid_row *row = &cpuid_rows[index];

	tdx_sim_host_cpuid(row->leaf, row->subleaf == NONE ? 0 : row->subleaf, values);
}

static void cpuid_store(struct sim_td *td, unsigned int index, const u32 values[NR_VALUES])
{
	td->cpuid->valid[index] = !cpuid_faults(index);
	td->cpuid->values[index][0] = values[EAX] | (u64)values[EBX] << 32;
	td->cpuid->values[index][1] = values[ECX] | (u64)values[EDX] << 32;
}

static void cpuid_unpack(const u64 halves[2], u32 values[NR_VALUES])
{
	values[EAX] = halves[0];
	values[EBX] = halves[0] >> 32;
	values[ECX] = halves[1];
	values[EDX] = halves[1] >> 32;
}

static u32 cpuid_td_value(struct sim_td *td, u32 leaf, u32 subleaf, unsigned int reg)
{
	u32 values[NR_VALUES];

	cpuid_unpack(td->cpuid->values[cpuid_index(leaf, subleaf)], values);
	return values[reg];
}

u32 cpuid_platform_fms(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(1, 0, values);
	return values[EAX];
}

/* ---------------------------------------------------------------- limits */

unsigned int cpuid_nr_configs(void)
{
	return ARRAY_SIZE(cpuid_configs);
}

u64 cpuid_config_leaf(unsigned int config)
{
	const struct cpuid_row *row = &cpuid_rows[cpuid_configs[config]];

	return row->leaf | (u64)row->subleaf << 32;
}

u64 cpuid_config_mask(unsigned int config, unsigned int half)
{
	const struct cpuid_row *row = &cpuid_rows[cpuid_configs[config]];
	u32 native[NR_VALUES];
	unsigned int i;

	cpuid_native(cpuid_configs[config], native);
	for (i = 0; i < NR_VALUES; i++)
		native[i] = row->direct[i] | (row->allow[i] & native[i]);
	return native[2 * half] | (u64)native[2 * half + 1] << 32;
}

u64 cpuid_supported_xfam(void)
{
	u32 user[NR_VALUES], supervisor[NR_VALUES];

	tdx_sim_host_cpuid(0xd, 0, user);
	tdx_sim_host_cpuid(0xd, 1, supervisor);
	return SIM_XFAM_FIXED0 & (user[EAX] | supervisor[ECX]);
}

u32 cpuid_xsave_layout(u64 xfam, u32 offsets[SIM_NR_XSAVE_COMPONENTS])
{
	u32 component[NR_VALUES], offset = XSAVE_EXTENDED, i;

	memset(offsets, 0, SIM_NR_XSAVE_COMPONENTS * sizeof(offsets[0]));
	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		if (!(xfam & BIT_ULL(i)))
			continue;
		tdx_sim_host_cpuid(0xd, i, component);
		if (component[ECX] & CPUID_D_ECX_ALIGN)
			offset = round_up(offset, 64);
		offsets[i] = offset;
		offset += component[EAX];
	}
	return offset;
}

/* Size of an XSAVE area in standard format. */
static u32 cpuid_xsave_standard_size(u64 xcr0)
{
	u32 component[NR_VALUES], size = XSAVE_EXTENDED, i;

	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		if (!(xcr0 & XFAM_USER & BIT_ULL(i)))
			continue;
		tdx_sim_host_cpuid(0xd, i, component);
		size = max(size, component[EAX] + component[EBX]);
	}
	return size;
}

/* ----------------------------------------------- rules of single leaves */

static bool is_zero(const u32 values[NR_VALUES])
{
	return !(values[EAX] | values[EBX] | values[ECX] | values[EDX]);
}

/* Is the leaf absent because the TD lacks what it describes? */
static bool cpuid_absent(struct sim_td *td, const struct cpuid_row *row)
{
	u64 xfam = td->tdcs->xfam;

	switch (row->leaf) {
	case 0x5:
		return !(cpuid_td_value(td, 1, 0, ECX) & CPUID_1_ECX_MONITOR);
	case 0xa:
		return !(td->tdcs->attributes & SIM_ATTR_PERFMON);
	case 0xd:
		return row->subleaf >= 2 && !(xfam & BIT_ULL(row->subleaf));
	case 0x14:
		return !(xfam & XFAM_PT);
	case 0x19:
		return true;
	case 0x1c:
		return !(xfam & XFAM_LBR);
	case 0x1d:
		return (xfam & XFAM_AMX) != XFAM_AMX;
	default:
		return false;
	}
}

/* Bits of the leaf that the TD cannot have for want of a state component. */
static void cpuid_xfam_zero(struct sim_td *td, const struct cpuid_row *row,
			    u32 zero[NR_VALUES])
{
	u64 xfam = td->tdcs->xfam;
	unsigned int i, j;

	memset(zero, 0, NR_VALUES * sizeof(zero[0]));
	if (row->leaf == 1 && !(xfam & XFAM_AVX))
		zero[ECX] = CPUID_1_ECX_AVX;
	for (i = 0; i < ARRAY_SIZE(xfam_bits); i++) {
		if (xfam_bits[i].leaf != row->leaf || xfam_bits[i].subleaf != row->subleaf ||
		    (xfam & xfam_bits[i].xfam))
			continue;
		for (j = 0; j < NR_VALUES; j++)
			zero[j] |= xfam_bits[i].bits[j];
	}
}

static bool tsx_consistent(u32 ebx)
{
	return !(ebx & CPUID_7_EBX_HLE) == !(ebx & CPUID_7_EBX_RTM);
}

/* A TD that migrates may claim an older stepping. */
static bool fms_valid(struct sim_td *td, u32 fms, bool migratable)
{
	u32 native = cpuid_platform_fms();

	if (!migratable)
		return fms == native;
	return !((fms ^ native) & ~CPUID_STEPPING) &&
	       (fms & CPUID_STEPPING) <= (native & CPUID_STEPPING);
}

static bool xfd_possible(u64 xfam)
{
	u32 component[NR_VALUES], i;

	for (i = 2; i < SIM_NR_XSAVE_COMPONENTS; i++) {
		tdx_sim_host_cpuid(0xd, i, component);
		if (xfam & BIT_ULL(i) && component[ECX] & CPUID_D_ECX_XFD)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------- configuration */

/* Native value less what is fixed, with what the host configured. */
static bool cpuid_apply_config(const struct cpuid_row *row, const u8 *config,
			       u32 values[NR_VALUES])
{
	u32 wanted[NR_VALUES] = {};
	unsigned int i;

	if (config)
		memcpy(wanted, config, sizeof(wanted));
	for (i = 0; i < NR_VALUES; i++) {
		if (wanted[i] & ~(row->direct[i] | row->allow[i]))
			return false;
		values[i] = (values[i] & ~row->zero[i]) | row->one[i];
		values[i] = (values[i] & ~row->direct[i]) | (wanted[i] & row->direct[i]);
		values[i] &= wanted[i] | ~row->allow[i];
	}
	return true;
}

static u64 cpuid_apply_rules(struct sim_td *td, const struct cpuid_row *row,
			     u32 values[NR_VALUES])
{
	const struct tdcs *tdcs = td->tdcs;
	u32 zero[NR_VALUES];
	unsigned int i;

	cpuid_xfam_zero(td, row, zero);
	for (i = 0; i < NR_VALUES; i++)
		values[i] &= ~zero[i];

	if (cpuid_absent(td, row)) {
		memset(values, 0, sizeof(zero));
	} else if (row->leaf == 0x1) {
		if (!values[EAX])
			values[EAX] = cpuid_platform_fms();
		if (!fms_valid(td, values[EAX], tdcs->attributes & SIM_ATTR_MIGRATABLE))
			return SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
	} else if (row->leaf == 0x7 && row->subleaf == 0) {
		if (!tsx_consistent(values[EBX]))
			return SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
		values[ECX] &= ~(CPUID_7_ECX_KL | CPUID_7_ECX_PKS);
		if (tdcs->attributes & SIM_ATTR_PKS)
			values[ECX] |= CPUID_7_ECX_PKS;
	} else if (row->leaf == 0xd && row->subleaf == 0) {
		values[ECX] = cpuid_xsave_standard_size(tdcs->xfam);
	} else if (row->leaf == 0xd && row->subleaf == 1) {
		if (!xfd_possible(tdcs->xfam))
			values[EAX] &= ~CPUID_D_1_EAX_XFD;
	} else if (row->leaf == 0x15) {
		values[EBX] = tdcs->tsc_frequency;
	} else if (row->leaf == LAST_EXTENDED_LEAF) {
		values[EAX] &= ~CPUID_80000008_LA_BITS;
		values[EAX] |= FIELD_PREP(CPUID_80000008_LA_BITS,
					  cpuid_td_value(td, 7, 0, ECX) & CPUID_7_ECX_LA57 ?
					  LA_BITS_5LEVEL : LA_BITS_4LEVEL);
	}
	return SIM_SUCCESS;
}

u64 sim_cpuid_configure(struct sim_td *td, const u8 params[SIM_TD_PARAMS_SIZE], u64 *ext_rcx)
{
	const u8 *configs = params + SIM_TD_PARAMS_CPUID, *config;
	u32 values[NR_VALUES];
	unsigned int i, j;
	u64 err;

	for (i = 0; i < SIM_NR_CPUID_VALUES; i++) {
		config = NULL;
		for (j = 0; j < ARRAY_SIZE(cpuid_configs); j++) {
			if (cpuid_configs[j] == i)
				config = configs + j * sizeof(values);
		}
		cpuid_native(i, values);
		err = SIM_OPERAND_INVALID | OPND_CPUID_CONFIG;
		if (cpuid_apply_config(&cpuid_rows[i], config, values))
			err = cpuid_apply_rules(td, &cpuid_rows[i], values);
		if (err) {
			*ext_rcx = cpuid_rows[i].leaf | (u64)cpuid_rows[i].subleaf << 32;
			return err;
		}
		cpuid_store(td, i, values);
	}
	if (memchr_inv(configs + sizeof(values) * ARRAY_SIZE(cpuid_configs), 0,
		       SIM_TD_PARAMS_SIZE - SIM_TD_PARAMS_CPUID -
		       sizeof(values) * ARRAY_SIZE(cpuid_configs)))
		return SIM_OPERAND_INVALID | RDX;
	return SIM_SUCCESS;
}

/* ----------------------------------------------------------------- import */

static bool cpuid_import_valid(struct sim_td *td, unsigned int index,
			       const u32 values[NR_VALUES])
{
	const struct cpuid_row *row = &cpuid_rows[index];
	const struct tdcs *tdcs = td->tdcs;
	u32 native[NR_VALUES], zero[NR_VALUES];
	unsigned int i;

	cpuid_native(index, native);
	cpuid_xfam_zero(td, row, zero);
	for (i = 0; i < NR_VALUES; i++) {
		if (values[i] & (row->zero[i] | zero[i]) || ~values[i] & row->one[i] ||
		    values[i] & row->allow[i] & ~native[i])
			return false;
	}
	if (cpuid_absent(td, row))
		return is_zero(values);

	switch (row->leaf) {
	case 0x1:
		return fms_valid(td, values[EAX], true);
	case 0x5:
		for (i = 0; i < NR_VALUES; i++) {
			if ((values[i] ^ native[i]) & ~row->zero[i])
				return false;
		}
		return true;
	case 0x7:
		if (row->subleaf)
			return true;
		return tsx_consistent(values[EBX]) && !(values[ECX] & CPUID_7_ECX_KL) &&
		       !(values[ECX] & CPUID_7_ECX_PKS) ==
		       !(tdcs->attributes & SIM_ATTR_PKS);
	case 0xd:
		if (row->subleaf == 0)
			return values[ECX] == cpuid_xsave_standard_size(tdcs->xfam);
		return row->subleaf != 1 || !(values[EAX] & ~native[EAX] & CPUID_D_1_EAX_XFD);
	case 0x15:
		return values[EBX] == tdcs->tsc_frequency;
	default:
		return true;
	}
}

u64 cpuid_import(struct sim_td *td, unsigned int index, const u64 halves[2], u64 mask)
{
	u64 *stored = td->cpuid->values[index];
	u32 values[NR_VALUES];

	/* The mask is for what is stored: the check is of all bits. */
	cpuid_unpack(halves, values);
	if (!cpuid_import_valid(td, index, values))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	td->cpuid->valid[index] = true;
	stored[0] = (stored[0] & ~mask) | (halves[0] & mask);
	stored[1] = (stored[1] & ~mask) | (halves[1] & mask);
	return SIM_SUCCESS;
}

/* ------------------------------------------------- IA32_ARCH_CAPABILITIES */

static u64 native_arch_capabilities(void)
{
	u32 values[NR_VALUES];

	tdx_sim_host_cpuid(7, 0, values);
	return CAPS_FIXED1 | (values[EBX] & CPUID_7_EBX_HLE ? CAPS_TSX_CTRL : 0);
}

static bool td_has_tsx(struct sim_td *td)
{
	return cpuid_td_value(td, 7, 0, EBX) & CPUID_7_EBX_HLE;
}

bool sim_arch_capabilities_configure(struct sim_td *td, bool configured, u64 value)
{
	u64 caps = native_arch_capabilities();

	if (configured ? value & ~SIM_ARCH_CAPABILITIES_CONFIG : value)
		return false;
	caps &= ~(CAPS_SSB_NO | CAPS_BHI_NO | CAPS_PBRSB_NO) | value;
	caps |= value & CAPS_RRSBA;
	if (!td_has_tsx(td))
		caps &= ~CAPS_TSX_CTRL;
	td->tdcs->virt_arch_capabilities = caps;
	return true;
}

bool cpuid_arch_capabilities_valid(struct sim_td *td, u64 value)
{
	u64 native = native_arch_capabilities();

	if ((value & CAPS_FIXED1) != CAPS_FIXED1 || value & CAPS_FIXED0)
		return false;
	if (value & (CAPS_SSB_NO | CAPS_BHI_NO | CAPS_PBRSB_NO) & ~native)
		return false;
	if (~value & native & CAPS_RRSBA)
		return false;
	return value & CAPS_TSX_CTRL || !td_has_tsx(td);
}

/* -------------------------------------------------------------- execution */

/* Did the guest ask for a #VE instead of the value? */
static bool cpuid_ve_wanted(const struct sim_vp *vp, unsigned int index)
{
	const struct tdvps *vps = vp->vps;

	if (!FIELD_GET(SEGMENT_AR_DPL, vp->vmcs->ss.ar))
		return vps->cpuid_supervisor_ve ||
		       vps->cpuid_control[index] & CPUID_CONTROL_SUPERVISOR;
	return vps->cpuid_user_ve || vps->cpuid_control[index] & CPUID_CONTROL_USER;
}

static void set_bit_if(u32 *value, u32 bit, bool set)
{
	*value = set ? *value | bit : *value & ~bit;
}

/* Bits that follow the state of the vCPU. */
static void cpuid_dynamic(const struct sim_vp *vp, u32 leaf, u32 subleaf, u32 out[4])
{
	const struct sim_vmcs *vmcs = vp->vmcs;
	const struct tdvps *vps = vp->vps;
	u32 offsets[SIM_NR_XSAVE_COMPONENTS];

	switch (leaf) {
	case 0x1:
		out[EBX] &= ~CPUID_1_EBX_APIC_ID;
		out[EBX] |= FIELD_PREP(CPUID_1_EBX_APIC_ID, (u8)vps->index);
		set_bit_if(&out[ECX], CPUID_1_ECX_OSXSAVE, vmcs->cr4 & CR4_OSXSAVE);
		break;
	case 0x7:
		if (!subleaf)
			set_bit_if(&out[ECX], CPUID_7_ECX_OSPKE, vmcs->cr4 & CR4_PKE);
		break;
	case 0xd:
		if (subleaf == 0)
			out[EBX] = cpuid_xsave_standard_size(vps->xcr0);
		else if (subleaf == 1)
			out[EBX] = cpuid_xsave_layout(vps->xcr0 | vps->msr_xss, offsets);
		break;
	case 0x80000001:
		set_bit_if(&out[EDX], CPUID_80000001_EDX_SYSCALL,
			   vmcs->efer & GUEST_EFER_LMA && vmcs->cs.ar & SEGMENT_AR_L);
		break;
	}
}

bool sim_cpuid(struct sim_vp *vp, u32 leaf, u32 subleaf, u32 out[4])
{
	unsigned int index;

	/* Leaves past the last one answer as the last base leaf does. */
	if (!in_range(leaf, FIRST_VMM_LEAF, LAST_VMM_LEAF - FIRST_VMM_LEAF + 1) &&
	    (leaf > LAST_EXTENDED_LEAF || in_range(leaf, LAST_BASE_LEAF + 1,
						   FIRST_EXTENDED_LEAF - LAST_BASE_LEAF - 1)))
		leaf = LAST_BASE_LEAF;

	index = cpuid_index(leaf, subleaf);
	if (index == CPUID_NONE || cpuid_faults(index) || cpuid_ve_wanted(vp, index))
		return false;
	cpuid_unpack(vp->td.cpuid->values[index], out);
	cpuid_dynamic(vp, leaf, subleaf, out);
	return true;
}
