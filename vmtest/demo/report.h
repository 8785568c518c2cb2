/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the demo shows.
 */
#ifndef DEMO_REPORT_H
#define DEMO_REPORT_H

#include "event.h"
#include "judge.h"
#include "simstat.h"

struct report {
	/* Progress lines are rewritten in place. */
	bool live;
	/* The last line is a progress line that is still going to change. */
	bool open_line;
	u64 last_progress_ns;
	/* Times of console lines count from here. */
	u64 epoch_ns;

	u64 start_ns;
	u64 end_ns;
	u64 stopped_ns;
	u64 resumed_ns;
	/* Sums over the phases that move private memory, and shared memory. */
	u64 private_pages;
	u64 shared_pages;
	u64 bytes;
};

/* Without a terminal, @live asks for lines that one at the far end can rewrite. */
void report_init(struct report *report, bool live);

/* A line of its own. */
void report_line(struct report *report, const char *fmt, ...)
	__printf(2, 3);
void report_console(struct report *report, const struct event *event);
void report_progress(struct report *report, const struct event *event);

/* The last table. */
void report_summary(struct report *report, const struct judge *judge, const struct simstat *calls);

#endif /* DEMO_REPORT_H */
