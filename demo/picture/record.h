/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record of a migration, see record_format.h, as read by the program that draws it.
 */
#ifndef DEMO_RECORD_H
#define DEMO_RECORD_H

#include <stdio.h>

#include "common.h"

#define RECORD_MAX_ROUNDS	1000
#define RECORD_MAX_PHASES	64
#define RECORD_MAX_SAMPLES	20000
#define RECORD_MAX_TICKS	20000
#define RECORD_NAME_SIZE	16
#define RECORD_MAX_HOSTS	26

/* All times are microseconds since the start of the demo. */

struct record_round {
	u64 start;
	u64 end;
	u64 pages;
	u64 bytes;
	/* Known if the round has been reported; the time is when. */
	bool reported;
	u64 reported_at;
	u64 dirty;
	u64 estimate;
};

struct record_phase {
	char name[RECORD_NAME_SIZE];
	u64 start;
	u64 end;
	u64 pages;
	u64 bytes;
};

/* Pages sent so far in a round, which counts from 1. */
struct record_sample {
	u64 time;
	u64 round;
	u64 pages;
};

struct record_tick {
	u64 time;
	/* 1 or 2. */
	u64 vm;
};

struct record {
	u64 memory;
	u64 vcpus;
	u64 streams;
	u64 target;
	/* Two hosts, which count from 1, instead of two VMs; ticks are commits then. */
	u64 from_host;
	u64 to_host;

	/* 0 if it has not happened. */
	u64 migrate;
	u64 stopped;
	u64 resumed;
	u64 migrated;
	u64 aborted;
	/* The last time in the record. */
	u64 last;

	u32 nr_rounds;
	u32 nr_phases;
	u32 nr_samples;
	u32 nr_ticks;
	struct record_round rounds[RECORD_MAX_ROUNDS];
	struct record_phase phases[RECORD_MAX_PHASES];
	struct record_sample samples[RECORD_MAX_SAMPLES];
	struct record_tick ticks[RECORD_MAX_TICKS];

	/* The verdict, if the record has its end. */
	bool ended;
	u64 checked;
	u64 bad;
	bool passed;
};

/*
 * Find the record in the output of the demo. Return false and say why on stderr
 * if there is none, or one that contradicts itself.
 */
bool record_read(struct record *record, FILE *file);

/* The phase of that name, or NULL. */
const struct record_phase *record_phase(const struct record *record, const char *name);

#endif /* DEMO_RECORD_H */
