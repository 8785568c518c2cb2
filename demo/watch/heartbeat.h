/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The heartbeat of the guest: the ticks on its console, which tell whether it is
 * still the same.
 */
#ifndef DEMO_HEARTBEAT_H
#define DEMO_HEARTBEAT_H

#include "common.h"
#include "event.h"

#define HEARTBEAT_VMS		2

struct heartbeat {
	/* What the last tick said. */
	u64 tick;
	u64 written;
	u64 checked;
	u64 passes;
	u64 bad;
	double uptime;
	/* CPUs that run the workload, as the guest says. */
	u32 nr_cpus;
	/* The first tick. */
	u64 first_ns;
	double first_uptime;
	/* Seen in each VM: ticks, pages written and pages checked since the first tick. */
	u64 ticks[HEARTBEAT_VMS];
	u64 writes[HEARTBEAT_VMS];
	u64 checks[HEARTBEAT_VMS];
	/* Passes that the guest had made when it first spoke in each VM. */
	u64 first_passes[HEARTBEAT_VMS];
	/* The pause, as the watcher and as the guest saw it. */
	u64 last_before_ns;
	u64 first_after_ns;
	double longest_step;
	/* Not empty if something is wrong: the first thing. */
	char fault[EVENT_TEXT_SIZE];
};

/* Look at a line of the console; return true if it is a tick. */
bool heartbeat_line(struct heartbeat *beat, u32 vm, u64 time_ns, const char *line);

/* Whether the guest has checked all of its pages since it came to a VM. */
bool heartbeat_all_checked(const struct heartbeat *beat, u32 vm);

#endif /* DEMO_HEARTBEAT_H */
