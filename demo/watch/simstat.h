/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often the software TDX platform was called, by leaf.
 */
#ifndef DEMO_SIMSTAT_H
#define DEMO_SIMSTAT_H

#include "common.h"

#define SIMSTAT_NR_LEAVES	128

/* Calls by the host, index is the number of the leaf. */
struct simstat {
	u64 calls[SIMSTAT_NR_LEAVES];
};

/* Read the counters; they are all 0 on a real TDX platform. */
void simstat_read(struct simstat *stat);

/* Make @now the difference to @before. */
void simstat_subtract(struct simstat *now, const struct simstat *before);

/* NULL for a leaf that has none. */
const char *simstat_leaf_name(u32 leaf);

#endif /* DEMO_SIMSTAT_H */
