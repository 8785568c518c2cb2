// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include "guest.h"

/* CLOCK_REALTIME may differ from what it was by this, against CLOCK_MONOTONIC. */
#define MAX_DRIFT_NS	1000000

struct latest {
	const char *name;
	_Atomic int64_t value;
};

static struct latest latest_monotonic = { .name = "CLOCK_MONOTONIC" };
static struct latest latest_tsc = { .name = "the TSC" };
static int64_t offset;
static pthread_once_t offset_once = PTHREAD_ONCE_INIT;

static int64_t realtime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t tsc(void)
{
	unsigned int cpu;
	int64_t now = __rdtscp(&cpu);

	_mm_lfence();
	return now;
}

/* What any CPU has seen before, no CPU may be behind. */
static void check_latest(struct latest *latest, int64_t (*read)(void))
{
	int64_t before = latest->value, now = read();

	if (now < before)
		error("%s has gone back by %lld", latest->name, (long long)(before - now));
	while (now > before && !atomic_compare_exchange_weak(&latest->value, &before, now))
		;
}

static void set_offset(void)
{
	int64_t begin, end;

	/* Who is interrupted in between has read two different times. */
	do {
		begin = monotonic();
		offset = realtime() - begin;
		end = monotonic();
	} while (end - begin > MAX_DRIFT_NS / 2);
}

void check_clocks(void)
{
	int64_t begin, real, end;

	pthread_once(&offset_once, set_offset);
	check_latest(&latest_monotonic, monotonic);
	check_latest(&latest_tsc, tsc);

	begin = monotonic();
	real = realtime() - offset;
	end = monotonic();
	if (real < begin - MAX_DRIFT_NS)
		error("CLOCK_REALTIME is behind by %lld ns", (long long)(begin - real));
	if (real > end + MAX_DRIFT_NS)
		error("CLOCK_REALTIME is ahead by %lld ns", (long long)(real - end));
}
