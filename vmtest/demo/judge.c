// SPDX-License-Identifier: GPL-2.0
/*
 * The guest numbers its ticks, stamps them with its own clock and says how many
 * pages it has checked and how many were bad. None of it is known outside.
 *
 * The clock of the guest is its TSC. It goes on during a migration up to the
 * moment when the state of the TD is exported, and stands still from there to
 * the import. So it may fall behind real time, but never go back or get ahead.
 */
#include <stdarg.h>
#include <stdio.h>

#include "judge.h"

/* Seconds that a tick may be early, as earlier ones were printed late. */
#define MAX_CLOCK_AHEAD		2.0

void judge_fault(struct judge *judge, const char *fmt, ...)
{
	va_list ap;

	if (judge->fault[0])
		return;
	va_start(ap, fmt);
	vsnprintf(judge->fault, sizeof(judge->fault), fmt, ap);
	va_end(ap);
}

bool judge_line(struct judge *judge, u32 vm, u64 time_ns, const char *line)
{
	unsigned long long tick, written, checked, bad;
	double uptime, ahead;

	if (vm >= JUDGE_VMS)
		return false;
	if (sscanf(line, "[%lf] tick %llu: wrote %llu pages, checked %llu, bad %llu",
		   &uptime, &tick, &written, &checked, &bad) != 5)
		return false;

	if (tick != judge->tick + 1)
		judge_fault(judge, "tick %llu came after tick %llu", tick,
			    (unsigned long long)judge->tick);
	if (uptime <= judge->uptime)
		judge_fault(judge, "the guest's clock went from %f back to %f", judge->uptime,
			    uptime);
	if (checked < judge->checked)
		judge_fault(judge, "the guest has forgotten checks");
	if (bad)
		judge_fault(judge, "the guest found %llu bad pages", bad);
	if (vm + 1 < JUDGE_VMS && judge->ticks[vm + 1])
		judge_fault(judge, "the guest runs in two VMs");

	if (!judge->tick) {
		judge->first_ns = time_ns;
		judge->first_uptime = uptime;
	}
	ahead = uptime - judge->first_uptime - ((double)time_ns - judge->first_ns) / NS_PER_SEC;
	if (ahead > MAX_CLOCK_AHEAD)
		judge_fault(judge, "the guest's clock is %.3f s ahead", ahead);

	if (!vm)
		judge->last_before_ns = time_ns;
	else if (!judge->ticks[vm])
		judge->first_after_ns = time_ns;
	/* A line may show up long after its tick, so the VM tells nothing here. */
	if (judge->tick && uptime - judge->uptime > judge->longest_step)
		judge->longest_step = uptime - judge->uptime;

	judge->checks[vm] += checked - judge->checked;
	judge->ticks[vm]++;
	judge->tick = tick;
	judge->checked = checked;
	judge->bad = bad;
	judge->uptime = uptime;
	return true;
}
