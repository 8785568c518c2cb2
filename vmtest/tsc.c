// SPDX-License-Identifier: GPL-2.0
/*
 * Print the frequency of this machine's TSC in kHz.
 *
 * The emulator gives the TSC of the machine to the guest, which cannot measure
 * it where the emulated timers stand still for other load. TDs get their clock
 * from what it believes. Here a measurement that was disturbed is seen: both
 * clocks are read in turns, and a pair counts only if nothing came in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_SEC	1000000000UL
#define NS_PER_MS	1000000UL
#define MEASURE_NS	(100 * NS_PER_MS)
/* 0.02 % of the time that is measured. */
#define MAX_DISTURBANCE	20000
#define MAX_TRIES	100000

struct moment {
	unsigned long ns;
	unsigned long tsc;
};

static unsigned long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static struct moment read_clocks(void)
{
	struct moment m;
	unsigned long before;
	int tries;

	for (tries = 0; tries < MAX_TRIES; tries++) {
		before = now_ns();
		m.tsc = __rdtsc();
		m.ns = now_ns();
		if (m.ns - before < MAX_DISTURBANCE)
			return m;
	}
	fprintf(stderr, "this machine is too busy to measure its TSC\n");
	exit(EXIT_FAILURE);
}

int main(void)
{
	const struct timespec wait = { .tv_nsec = MEASURE_NS };
	struct moment begin = read_clocks(), end;

	nanosleep(&wait, NULL);
	end = read_clocks();
	printf("%.0f\n", (end.tsc - begin.tsc) * (double)NS_PER_MS / (end.ns - begin.ns));
	return EXIT_SUCCESS;
}
