// SPDX-License-Identifier: GPL-2.0
/*
 * Formatting and printing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define PLAIN_INTERVAL_NS	NS_PER_SEC
#define KIB			1024.0
#define MIB			(1024.0 * 1024.0)
#define PERCENT			100
#define LEAVES_PER_LINE		3
/* Whole lines only, as a relay on the way may pass on nothing else. */
#define REPLACE_LAST_LINE	"\033[A\033[K"

static const char * const phase_names[] = {
	[PHASE_KEYS]		= "key exchange",
	[PHASE_IMMUTABLE]	= "immutable state",
	[PHASE_MEMORY]		= "memory, guest running",
	[PHASE_PAUSE]		= "pause",
	[PHASE_REST]		= "memory, guest paused",
	[PHASE_SHARED]		= "shared memory",
	[PHASE_TD_STATE]	= "TD state",
	[PHASE_VCPU_STATE]	= "vCPU state",
	[PHASE_START_TOKEN]	= "start token",
	[PHASE_COMMIT]		= "commit",
};

static_assert(ARRAY_SIZE(phase_names) == NR_PHASES, "a phase has no name");

void report_init(struct report *report, bool live)
{
	memset(report, 0, sizeof(*report));
	report->live = live || isatty(STDOUT_FILENO);
	report->epoch_ns = now_ns();
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static double span(u64 from, u64 to)
{
	return ((double)to - (double)from) / NS_PER_SEC;
}

static void begin_line(struct report *report)
{
	if (report->open_line)
		fputs(REPLACE_LAST_LINE, stdout);
	report->open_line = false;
}

void report_line(struct report *report, const char *fmt, ...)
{
	va_list ap;

	begin_line(report);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void report_console(struct report *report, const struct event *event)
{
	report_line(report, "VM %u %7.3f | %s", event->vm + 1,
		    span(report->epoch_ns, event->time_ns), event->text);
}

static void format_bytes(char *buf, size_t size, double bytes)
{
	if (bytes >= MIB)
		snprintf(buf, size, "%.1f MiB", bytes / MIB);
	else
		snprintf(buf, size, "%.1f KiB", bytes / KIB);
}

void report_progress(struct report *report, const struct event *event)
{
	const struct progress *p = &event->progress;
	double seconds = (double)p->elapsed_ns / NS_PER_SEC;
	char name[48], pages[48] = "", bytes[24] = "", rate[32] = "";
	bool bulk;

	if (p->phase >= NR_PHASES)
		return;
	bulk = p->phase == PHASE_MEMORY || p->phase == PHASE_REST || p->phase == PHASE_SHARED;

	if (p->done) {
		if (p->phase == PHASE_SHARED)
			report->shared_pages += p->pages;
		else if (bulk)
			report->private_pages += p->pages;
		report->bytes += p->bytes;
	} else if (!report->live && event->time_ns - report->last_progress_ns < PLAIN_INTERVAL_NS) {
		return;
	}
	report->last_progress_ns = event->time_ns;

	if (p->round)
		snprintf(name, sizeof(name), "%s, round %u", phase_names[p->phase], p->round);
	else
		snprintf(name, sizeof(name), "%s", phase_names[p->phase]);
	if (p->pages)
		snprintf(pages, sizeof(pages), "%llu pages", (unsigned long long)p->pages);
	if (p->bytes)
		format_bytes(bytes, sizeof(bytes), p->bytes);
	if (bulk && p->bytes && seconds > 0) {
		format_bytes(rate, sizeof(rate) - 2, p->bytes / seconds);
		strcat(rate, "/s");
	}
	if (!p->done && p->total_pages)
		snprintf(rate + strlen(rate), sizeof(rate) - strlen(rate), " %3llu%%",
			 (unsigned long long)(p->pages * PERCENT / p->total_pages));

	report_line(report, "     * %-30s %12s %11s %8.3f s  %s", name, pages, bytes, seconds,
		    rate);
	report->open_line = !p->done && report->live;
}

static void report_calls(struct report *report, const struct simstat *calls)
{
	u32 leaf, column = 0;
	u64 total = 0;

	for (leaf = 0; leaf < SIMSTAT_NR_LEAVES; leaf++)
		total += calls->calls[leaf];
	if (!total)
		return;

	report_line(report, "  %-24s %llu, by leaf:", "SEAMCALLs", (unsigned long long)total);
	for (leaf = 0; leaf < SIMSTAT_NR_LEAVES; leaf++) {
		const char *name = simstat_leaf_name(leaf);

		if (!calls->calls[leaf])
			continue;
		printf("    %-22s %7llu", name ? name : "another leaf",
		       (unsigned long long)calls->calls[leaf]);
		if (++column % LEAVES_PER_LINE == 0)
			putchar('\n');
	}
	if (column % LEAVES_PER_LINE)
		putchar('\n');
}

void report_summary(struct report *report, const struct judge *judge, const struct simstat *calls)
{
	char bytes[24];

	format_bytes(bytes, sizeof(bytes), report->bytes);
	report_line(report, "  %-24s %.3f s", "total time", span(report->start_ns, report->end_ns));
	report_line(report, "  %-24s %.3f s from the stop of the vCPUs to their start", "blackout",
		    span(report->stopped_ns, report->resumed_ns));
	report_line(report, "  %-24s %.3f s without a tick, %.3f s by the guest's own clock",
		    "seen from outside", span(judge->last_before_ns, judge->first_after_ns),
		    judge->longest_step);
	report_line(report, "  %-24s %llu private, %llu shared", "pages",
		    (unsigned long long)report->private_pages,
		    (unsigned long long)report->shared_pages);
	report_line(report, "  %-24s %s", "sent", bytes);
	report_line(report, "  %-24s %llu in VM 1, %llu in VM 2", "ticks of the guest",
		    (unsigned long long)judge->ticks[0], (unsigned long long)judge->ticks[1]);
	report_line(report, "  %-24s %llu in VM 1, %llu in VM 2, %llu bad",
		    "pages checked by it", (unsigned long long)judge->checks[0],
		    (unsigned long long)judge->checks[1], (unsigned long long)judge->bad);
	report_calls(report, calls);
}
