// SPDX-License-Identifier: GPL-2.0
/*
 * What of CPUID a TD sees, by leaf and subleaf, and what of that the host may
 * configure.
 */
#include "cpuid_table.h"

#define ALL_BITS		{ ~0U, ~0U, ~0U, ~0U }
/* Topology: shift count, number of processors, level. */
#define TOPOLOGY_ZERO		{ 0xffffffe0, 0xffff0000, 0xffff0000, ~0U }
#define TOPOLOGY_DIRECT		{ 0x1f, 0xffff, 0xffff, 0 }

#define CPUID_1_ECX_AVX		(BIT(12) | GENMASK(29, 28))

/* The order is that of the values in a state bundle.  Not every profile has all. */
static const struct cpuid_row rows[SIM_NR_CPUID_VALUES] = {
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
	{ 0x7, 1, .own = 1 },
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
	{ 0x1f, 0, .own = 2 },
	{ 0x1f, 1, .own = 3 },
	{ 0x1f, 2, .own = 4 },
	{ 0x1f, 3, .own = 5 },
	{ 0x1f, 4, .own = 6 },
	{ 0x1f, 5, .own = 7 },
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
	/* 1.5.05: EDX is the x2APIC id, when executed */
	{ 0xb, 0, .zero = TOPOLOGY_ZERO },
	{ 0xb, 1, .zero = TOPOLOGY_ZERO },
	{ 0xb, 2, .zero = ALL_BITS },
	{ 0x1a, NONE, .zero = { 0, ~0U, ~0U, ~0U } },
};

static const struct cpuid_row own_1_5_01[] = {
	{ 0x7, 1, .zero = { 0xffffe2cf, ~0U, ~0U, ~0U }, .allow = { 0x1d30, 0, 0, 0 } },
	{ 0x1f, 0, .faults = true },
	{ 0x1f, 1, .faults = true },
	{ 0x1f, 2, .faults = true },
	{ 0x1f, 3, .faults = true },
	{ 0x1f, 4, .faults = true },
	{ 0x1f, 5, .faults = true },
};

static const struct cpuid_row own_1_5_05[] = {
	{ 0x7, 1, .zero = { 0xfbffe28f, ~0U, ~0U, 0xfffffbcf },
	  .allow = { 0x4001d30, 0, 0, 0x430 } },
	{ 0x1f, 0, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
	{ 0x1f, 1, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
	{ 0x1f, 2, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
	{ 0x1f, 3, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
	{ 0x1f, 4, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
	{ 0x1f, 5, .zero = TOPOLOGY_ZERO, .direct = TOPOLOGY_DIRECT },
};

/* Rows that TD_PARAMS has values for, in the order that it has them. */
static const u8 configs[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 59,
	/* 1.5.05 */
	46, 47, 48, 49, 50, 51,
};

static const struct cpuid_xfam_bits xfam_bits[] = {
	{ 0x7, 0, BIT_ULL(2), { 0, 0x20, 0x600, 0 } },
	{ 0x7, 0, BIT_ULL(5), { 0, 0xdc230000, 0x5842, 0x80010c } },
	{ 0x7, 0, BIT_ULL(8), { 0, 0x2000000, 0, 0 } },
	{ 0x7, 0, BIT_ULL(9), { 0, 0, 0x8, 0 } },
	{ 0x7, 0, BIT_ULL(11), { 0, 0, 0x80, 0x100000 } },
	{ 0x7, 0, BIT_ULL(14), { 0, 0, 0, 0x20 } },
	{ 0x7, 0, BIT_ULL(15), { 0, 0, 0, 0x80000 } },
	{ 0x7, 0, BIT_ULL(17), { 0, 0, 0, 0x3400000 } },
	{ 0xd, 0, BIT_ULL(2), { 0x4, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(5), { 0xe0, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(9), { 0x200, 0, 0, 0 } },
	{ 0xd, 0, BIT_ULL(17), { 0x60000, 0, 0, 0 } },
	{ 0xd, 1, BIT_ULL(8), { 0, 0, 0x100, 0 } },
	{ 0xd, 1, BIT_ULL(11), { 0, 0, 0x1800, 0 } },
	{ 0xd, 1, BIT_ULL(14), { 0, 0, 0x4000, 0 } },
	{ 0xd, 1, BIT_ULL(15), { 0, 0, 0x8000, 0 } },
};

static const struct cpuid_xfam_bits xfam_bits_1_5_01[] = {
	{ 0x7, 1, BIT_ULL(5), { 0x30, 0, 0, 0 } },
};

static const struct cpuid_xfam_bits xfam_bits_1_5_05[] = {
	{ 0x7, 1, BIT_ULL(2), { 0x10, 0, 0, 0x430 } },
	{ 0x7, 1, BIT_ULL(5), { 0x20, 0, 0, 0 } },
};

const struct sim_cpuid_table cpuid_table_1_5_01 = {
	.nr = 64,
	.own = own_1_5_01,
	.nr_configs = 12,
	.xfam_bits = xfam_bits_1_5_01,
	.nr_xfam_bits = ARRAY_SIZE(xfam_bits_1_5_01),
};

const struct sim_cpuid_table cpuid_table_1_5_05 = {
	.nr = ARRAY_SIZE(rows),
	.own = own_1_5_05,
	.nr_configs = ARRAY_SIZE(configs),
	.xfam_bits = xfam_bits_1_5_05,
	.nr_xfam_bits = ARRAY_SIZE(xfam_bits_1_5_05),
};

const struct cpuid_row *cpuid_row(unsigned int index)
{
	const struct cpuid_row *row = &rows[index];

	return row->own ? &sim_profile()->cpuid->own[row->own - 1] : row;
}

unsigned int cpuid_nr_rows(void)
{
	return sim_profile()->cpuid->nr;
}

unsigned int cpuid_nr_configs(void)
{
	return sim_profile()->cpuid->nr_configs;
}

unsigned int cpuid_config_row(unsigned int config)
{
	return configs[config];
}

static void add_xfam_zero(u64 xfam, const struct cpuid_row *row,
			  const struct cpuid_xfam_bits *bits, unsigned int nr,
			  u32 zero[NR_VALUES])
{
	unsigned int i, j;

	for (i = 0; i < nr; i++) {
		if (bits[i].leaf != row->leaf || bits[i].subleaf != row->subleaf ||
		    (xfam & bits[i].xfam))
			continue;
		for (j = 0; j < NR_VALUES; j++)
			zero[j] |= bits[i].bits[j];
	}
}

void cpuid_xfam_zero(u64 xfam, const struct cpuid_row *row, u32 zero[NR_VALUES])
{
	const struct sim_cpuid_table *table = sim_profile()->cpuid;

	memset(zero, 0, NR_VALUES * sizeof(zero[0]));
	if (row->leaf == 1 && !(xfam & XFAM_AVX))
		zero[ECX] = CPUID_1_ECX_AVX;
	add_xfam_zero(xfam, row, xfam_bits, ARRAY_SIZE(xfam_bits), zero);
	add_xfam_zero(xfam, row, table->xfam_bits, table->nr_xfam_bits, zero);
}
