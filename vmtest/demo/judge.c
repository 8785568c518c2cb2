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

#include "judge.h"

/* Seconds that a tick may be early, as the first one was printed late. */
#define MAX_CLOCK_AHEAD		5.0
/* The frequency that a TD is told is a multiple of 25 MHz, so its clock may be fast. */
#define MAX_CLOCK_DRIFT		0.02

/*
 * A pass may have been under way when the guest moved, and another one have
 * ended before it that the first line in the new VM did not count.
 */
#define MIN_PASSES		3

void judge_fault(struct judge *judge, const char *fmt, ...)
{
	va_list ap;

	if (judge->fault[0])
		return;
	va_start(ap, fmt);
	vsnprintf(judge->fault, sizeof(judge->fault), fmt, ap);
	va_end(ap);
}

bool judge_all_checked(const struct judge *judge, u32 vm)
{
	return judge->ticks[vm] && judge->passes >= judge->first_passes[vm] + MIN_PASSES;
}

static void judge_greeting(struct judge *judge, const char *line)
{
	const char *last = strrchr(line, ',');
	unsigned int nr_cpus;

	if (!strstr(line, "] guest: Linux ") || !last)
		return;
	if (!strstr(line, ", a TDX guest,"))
		judge_fault(judge, "the guest does not run in a TD");
	if (sscanf(last, ", %u CPU", &nr_cpus) == 1)
		judge->nr_cpus = nr_cpus;
}

bool judge_line(struct judge *judge, u32 vm, u64 time_ns, const char *line)
{
	unsigned long long tick, written, checked, passes, bad;
	double uptime, elapsed, ahead;

	if (vm >= JUDGE_VMS)
		return false;
	if (sscanf(line, "[%lf] tick %llu: wrote %llu, checked %llu, passes %llu, bad %llu",
		   &uptime, &tick, &written, &checked, &passes, &bad) != 6) {
		judge_greeting(judge, line);
		return false;
	}

	if (tick != judge->tick + 1)
		judge_fault(judge, "tick %llu came after tick %llu", tick,
			    (unsigned long long)judge->tick);
	if (uptime <= judge->uptime)
		judge_fault(judge, "the guest's clock went from %f back to %f", judge->uptime,
			    uptime);
	if (written < judge->written || checked < judge->checked || passes < judge->passes)
		judge_fault(judge, "the guest has forgotten what it did");
	if (bad)
		judge_fault(judge, "the guest found %llu bad pages", bad);
	if (vm + 1 < JUDGE_VMS && judge->ticks[vm + 1])
		judge_fault(judge, "the guest runs in two VMs");

	if (!judge->tick) {
		judge->first_ns = time_ns;
		judge->first_uptime = uptime;
	}
	elapsed = ((double)time_ns - judge->first_ns) / NS_PER_SEC;
	ahead = uptime - judge->first_uptime - elapsed;
	if (ahead > MAX_CLOCK_AHEAD + MAX_CLOCK_DRIFT * elapsed)
		judge_fault(judge, "the guest's clock is %.3f s ahead", ahead);

	if (!vm)
		judge->last_before_ns = time_ns;
	else if (!judge->ticks[vm])
		judge->first_after_ns = time_ns;
	/* A line may show up long after its tick, so the VM tells nothing here. */
	if (judge->tick && uptime - judge->uptime > judge->longest_step)
		judge->longest_step = uptime - judge->uptime;

	if (!judge->ticks[vm])
		judge->first_passes[vm] = passes;
	judge->writes[vm] += written - judge->written;
	judge->checks[vm] += checked - judge->checked;
	judge->ticks[vm]++;
	judge->tick = tick;
	judge->written = written;
	judge->checked = checked;
	judge->passes = passes;
	judge->bad = bad;
	judge->uptime = uptime;
	return true;
}
