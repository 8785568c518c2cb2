/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tables of virtual CPUID: one for each profile, which share most rows.
 */
#ifndef _TDX_SIM_CPUID_TABLE_H
#define _TDX_SIM_CPUID_TABLE_H

#include "metadata_table.h"

enum { EAX, EBX, ECX, EDX, NR_VALUES };

#define NONE			U32_MAX		/* leaf without subleaves */

/**
 * struct cpuid_row - A leaf or subleaf
 * @leaf: Leaf
 * @subleaf: Subleaf or NONE
 * @own: If not 0, the row is the profile's own with that number, counted from 1
 * @faults: Not virtualised, the TD gets a #VE
 * @one: Bits that are always set
 * @zero: Bits that are clear in the table, some of them set when executed
 * @direct: Bits that are as the host configured them
 * @allow: Bits that are native if the host configured them as one
 */
struct cpuid_row {
	u32 leaf;
	u32 subleaf;
	u8 own;
	bool faults;
	u32 one[NR_VALUES];
	u32 zero[NR_VALUES];
	u32 direct[NR_VALUES];
	u32 allow[NR_VALUES];
};

/* Bits that exist only with a state component: without any of @xfam they are clear. */
struct cpuid_xfam_bits {
	u32 leaf;
	u32 subleaf;
	u64 xfam;
	u32 bits[NR_VALUES];
};

/**
 * struct sim_cpuid_table - Virtual CPUID of a profile
 * @nr: Number of rows, which is the number of values in a state bundle
 * @own: Rows that are not the same in all profiles
 * @nr_configs: Number of rows that TD_PARAMS has values for
 * @xfam_bits: Bits that depend on state components, beside those of all profiles
 * @nr_xfam_bits: How many there are
 */
struct sim_cpuid_table {
	unsigned int nr;
	const struct cpuid_row *own;
	unsigned int nr_configs;
	const struct cpuid_xfam_bits *xfam_bits;
	unsigned int nr_xfam_bits;
};

/* Of the profile that is in use. */
const struct cpuid_row *cpuid_row(unsigned int index);
/* Row that value @config of TD_PARAMS is for. */
unsigned int cpuid_config_row(unsigned int config);
/* Bits that the TD cannot have for want of a state component. */
void cpuid_xfam_zero(u64 xfam, const struct cpuid_row *row, u32 zero[NR_VALUES]);

#endif /* _TDX_SIM_CPUID_TABLE_H */
