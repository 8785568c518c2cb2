/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the demo shows.
 */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "event.h"
#include "heartbeat.h"
#include "simstat.h"
#include "vmm_process.h"

struct report {
	/* The last line is a status that is rewritten in place. */
	bool live;
	/* Each tick gets a line of its own. */
	bool verbose;
	/* The status is on the screen. */
	bool status_shown;
	u64 last_status_ns;
	/* The last tick, as a line that was not printed; VMs count from 0. */
	char tick_line[EVENT_TEXT_SIZE];
	u64 tick_ns;
	u32 tick_vm;
	u64 last_tick_line_ns;
	/* Times of console lines count from here. */
	u64 epoch_ns;

	u64 start_ns;
	u64 end_ns;
	u64 stopped_ns;
	u64 resumed_ns;
	/* The phase that goes on, and the last round that is over. */
	struct progress progress;
	struct round round;
	/* Sums over the phases that move private memory, and shared memory. */
	u64 private_pages;
	u64 shared_pages;
	u64 bytes;
};

/* Without a terminal, @live asks for a status that one at the far end can rewrite. */
void report_init(struct report *report, bool live, bool verbose);

/* A line of its own. */
void report_line(struct report *report, const char *fmt, ...)
	__printf(2, 3);
/* A line of the guest's console that is no tick, and a tick. */
void report_console(struct report *report, const struct event *event);
void report_tick(struct report *report, const struct event *event, const struct heartbeat *beat);

void report_start(struct report *report, const struct vmm_options *options);
void report_progress(struct report *report, const struct event *event,
		     const struct heartbeat *beat);
void report_round(struct report *report, const struct event *event,
		  const struct migrate_options *options);

/* The last table. */
void report_summary(struct report *report, const struct heartbeat *beat,
		    const struct simstat *calls);

#endif /* DEMO_REPORT_H */
