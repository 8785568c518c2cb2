// SPDX-License-Identifier: GPL-2.0
/*
 * The guest numbers its ticks, stamps them with its own clock and says how many
 * pages it has checked, how often each of them, and how many were bad. None of it
 * is known outside.
 *
 * The clock of the guest is its TSC. It goes on during a migration up to the
 * moment when the state of the TD is exported, and stands still from there to
 * the import. So it may fall behind real time, but never go back or get ahead.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "heartbeat.h"

/* Seconds that a tick may be early, as the first one was printed late. */
#define MAX_CLOCK_AHEAD		5.0
/* The frequency that a TD is told is a multiple of 25 MHz, so its clock may be fast. */
#define MAX_CLOCK_DRIFT		0.02

/*
 * A pass may have been under way when the guest moved, and another one have
 * ended before it that the first line in the new VM did not count.
 */
#define MIN_PASSES		3

static void __printf(2, 3) fault(struct heartbeat *beat, const char *fmt, ...)
{
	va_list ap;

	if (beat->fault[0])
		return;
	va_start(ap, fmt);
	vsnprintf(beat->fault, sizeof(beat->fault), fmt, ap);
	va_end(ap);
}

bool heartbeat_all_checked(const struct heartbeat *beat, u32 vm)
{
	return beat->ticks[vm] && beat->passes >= beat->first_passes[vm] + MIN_PASSES;
}

static void heartbeat_greeting(struct heartbeat *beat, const char *line)
{
	const char *last = strrchr(line, ',');
	unsigned int nr_cpus;

	if (!strstr(line, "] guest: Linux ") || !last)
		return;
	if (!strstr(line, ", a TDX guest,"))
		fault(beat, "the guest does not run in a TD");
	if (sscanf(last, ", %u CPU", &nr_cpus) == 1)
		beat->nr_cpus = nr_cpus;
}

bool heartbeat_line(struct heartbeat *beat, u32 vm, u64 time_ns, const char *line)
{
	unsigned long long tick, written, checked, passes, bad;
	double uptime, elapsed, ahead;

	if (vm >= HEARTBEAT_VMS)
		return false;
	if (sscanf(line, "[%lf] tick %llu: wrote %llu, checked %llu, passes %llu, bad %llu",
		   &uptime, &tick, &written, &checked, &passes, &bad) != 6) {
		heartbeat_greeting(beat, line);
		return false;
	}

	if (tick != beat->tick + 1)
		fault(beat, "tick %llu came after tick %llu", tick,
		      (unsigned long long)beat->tick);
	if (uptime <= beat->uptime)
		fault(beat, "the guest's clock went from %f back to %f", beat->uptime,
		      uptime);
	if (written < beat->written || checked < beat->checked || passes < beat->passes)
		fault(beat, "the guest has forgotten what it did");
	if (bad)
		fault(beat, "the guest found %llu bad pages", bad);
	if (vm + 1 < HEARTBEAT_VMS && beat->ticks[vm + 1])
		fault(beat, "the guest runs in two VMs");

	if (!beat->tick) {
		beat->first_ns = time_ns;
		beat->first_uptime = uptime;
	}
	elapsed = ((double)time_ns - beat->first_ns) / NS_PER_SEC;
	ahead = uptime - beat->first_uptime - elapsed;
	if (ahead > MAX_CLOCK_AHEAD + MAX_CLOCK_DRIFT * elapsed)
		fault(beat, "the guest's clock is %.3f s ahead", ahead);

	if (!vm)
		beat->last_before_ns = time_ns;
	else if (!beat->ticks[vm])
		beat->first_after_ns = time_ns;
	/* A line may show up long after its tick, so the VM tells nothing here. */
	if (beat->tick && uptime - beat->uptime > beat->longest_step)
		beat->longest_step = uptime - beat->uptime;

	if (!beat->ticks[vm])
		beat->first_passes[vm] = passes;
	beat->writes[vm] += written - beat->written;
	beat->checks[vm] += checked - beat->checked;
	beat->ticks[vm]++;
	beat->tick = tick;
	beat->written = written;
	beat->checked = checked;
	beat->passes = passes;
	beat->bad = bad;
	beat->uptime = uptime;
	return true;
}
