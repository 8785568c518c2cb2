// SPDX-License-Identifier: GPL-2.0
/*
 * Formatting and printing, for 80 columns.
 *
 * A migration is a table, with a row for each round and for each phase around
 * them. What changes all the time, the ticks of the guest and the progress of a
 * round, is a status line below the table where lines can be rewritten, and a
 * line every second elsewhere.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

#define PLAIN_INTERVAL_NS	NS_PER_SEC
#define LIVE_INTERVAL_NS	(100 * NS_PER_MS)
#define KIB			1024.0
#define MIB			(1024.0 * 1024.0)
#define PERCENT			100
#define BAR_WIDTH		24
#define LEAVES_PER_LINE		3
/* Whole lines only, as a relay on the way may pass on nothing else. */
#define REPLACE_LAST_LINE	"\033[A\033[K"

#define ROW			"  %-15s %7s %10s %8s %11s %6s %6s %8s"

static const char * const phase_names[] = {
	[PHASE_KEYS]		= "key exchange",
	[PHASE_IMMUTABLE]	= "immutable state",
	[PHASE_MEMORY]		= "round",
	[PHASE_PAUSE]		= "pause",
	[PHASE_REST]		= "last pages",
	[PHASE_SHARED]		= "shared pages",
	[PHASE_TD_STATE]	= "TD state",
	[PHASE_VCPU_STATE]	= "vCPU state",
	[PHASE_START_TOKEN]	= "start token",
	[PHASE_COMMIT]		= "commit",
};

static_assert(ARRAY_SIZE(phase_names) == NR_PHASES, "a phase has no name");

void report_init(struct report *report, bool live, bool verbose)
{
	memset(report, 0, sizeof(*report));
	report->live = live || isatty(STDOUT_FILENO);
	report->verbose = verbose;
	report->epoch_ns = now_ns();
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static double seconds(u64 ns)
{
	return (double)ns / NS_PER_SEC;
}

static double span(u64 from, u64 to)
{
	return ((double)to - (double)from) / NS_PER_SEC;
}

static void begin_line(struct report *report)
{
	if (report->status_shown)
		fputs(REPLACE_LAST_LINE, stdout);
	report->status_shown = false;
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

static void format_bytes(char *buf, size_t size, double bytes)
{
	if (bytes >= MIB)
		snprintf(buf, size, "%.1f MiB", bytes / MIB);
	else
		snprintf(buf, size, "%.1f KiB", bytes / KIB);
}

static bool is_bulk(u32 phase)
{
	return phase == PHASE_MEMORY || phase == PHASE_REST || phase == PHASE_SHARED;
}

static void format_rate(char *buf, size_t size, u64 bytes, u64 elapsed_ns)
{
	char amount[24];

	if (!elapsed_ns)
		return;
	format_bytes(amount, sizeof(amount), bytes / seconds(elapsed_ns));
	snprintf(buf, size, "%s/s", amount);
}

/* What the guest prints must not command the terminal. */
static void console_line(struct report *report, u32 vm, u64 time_ns, const char *text)
{
	char line[EVENT_TEXT_SIZE];
	size_t i;

	for (i = 0; text[i] && i < sizeof(line) - 1; i++)
		line[i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	line[i] = '\0';
	report_line(report, "VM %u %7.3f | %s", vm + 1, span(report->epoch_ns, time_ns), line);
}

void report_console(struct report *report, const struct event *event)
{
	console_line(report, event->vm, event->time_ns, event->text);
}

static void show_status(struct report *report, const struct heartbeat *beat)
{
	const struct progress *p = &report->progress;
	char bar[BAR_WIDTH + 1], rate[32] = "", line[128];
	size_t len;
	u32 filled;

	len = snprintf(line, sizeof(line), "  VM %u, tick %llu, bad %llu", report->tick_vm + 1,
		       (unsigned long long)beat->tick, (unsigned long long)beat->bad);
	if (p->phase == PHASE_MEMORY && p->total_pages && !p->done && p->pages <= p->total_pages) {
		filled = p->pages * BAR_WIDTH / p->total_pages;
		memset(bar, '.', BAR_WIDTH);
		memset(bar, '#', filled);
		bar[BAR_WIDTH] = '\0';
		format_rate(rate, sizeof(rate), p->bytes, p->elapsed_ns);
		snprintf(line + len, sizeof(line) - len, " | round %u %s %3llu%% %s", p->round, bar,
			 (unsigned long long)(p->pages * PERCENT / p->total_pages), rate);
	}
	report_line(report, "%s", line);
	report->status_shown = true;
}

static void update_status(struct report *report, const struct heartbeat *beat, u64 time_ns)
{
	if (!report->live || time_ns - report->last_status_ns < LIVE_INTERVAL_NS)
		return;
	report->last_status_ns = time_ns;
	show_status(report, beat);
}

static void print_tick(struct report *report)
{
	if (report->tick_line[0])
		console_line(report, report->tick_vm, report->tick_ns, report->tick_line);
	report->tick_line[0] = '\0';
	report->last_tick_line_ns = report->tick_ns;
}

void report_tick(struct report *report, const struct event *event, const struct heartbeat *beat)
{
	bool moved = event->vm != report->tick_vm;

	/* The last one here and the first one there are worth a line. */
	if (moved)
		print_tick(report);

	memcpy(report->tick_line, event->text, sizeof(report->tick_line));
	report->tick_line[sizeof(report->tick_line) - 1] = '\0';
	report->tick_ns = event->time_ns;
	report->tick_vm = event->vm;
	if (report->verbose || moved ||
	    (!report->live && event->time_ns - report->last_tick_line_ns >= PLAIN_INTERVAL_NS))
		print_tick(report);
	update_status(report, beat, event->time_ns);
}

void report_start(struct report *report, const struct vmm_options *options)
{
	const struct migrate_options *migrate = &options->migrate;

	report_line(report, "==== migrating the guest from VM 1 to VM 2");
	if (migrate->max_rounds)
		report_line(report,
			    "  %u stream%s, at most %u round%s, until the blackout is below %.2f s",
			    migrate->nr_streams, migrate->nr_streams == 1 ? "" : "s",
			    migrate->max_rounds, migrate->max_rounds == 1 ? "" : "s",
			    seconds(migrate->target_ns));
	else
		report_line(report, "  %u stream%s, all memory with the guest paused",
			    migrate->nr_streams, migrate->nr_streams == 1 ? "" : "s");
	report_line(report, ROW, "", "pages", "sent", "time", "rate", "dirty", "per s", "blackout");
}

/* A row of the table; @round is NULL for a phase that is none. */
static void row(struct report *report, const struct progress *p, const struct round *round)
{
	char name[24], pages[24] = "", bytes[24] = "", time[24], rate[32] = "";
	char dirty[24] = "", dirty_rate[24] = "", estimate[24] = "", line[160];
	int len;

	snprintf(name, sizeof(name), "%s", phase_names[p->phase]);
	snprintf(time, sizeof(time), "%.3f s", seconds(p->elapsed_ns));
	if (p->pages)
		snprintf(pages, sizeof(pages), "%llu", (unsigned long long)p->pages);
	if (p->bytes)
		format_bytes(bytes, sizeof(bytes), p->bytes);
	if (is_bulk(p->phase) && p->bytes)
		format_rate(rate, sizeof(rate), p->bytes, p->elapsed_ns);
	if (round) {
		snprintf(name, sizeof(name), "round %u", round->number);
		snprintf(dirty, sizeof(dirty), "%llu", (unsigned long long)round->dirty_pages);
		if (round->elapsed_ns)
			snprintf(dirty_rate, sizeof(dirty_rate), "%.0f",
				 round->dirty_pages / seconds(round->elapsed_ns));
		snprintf(estimate, sizeof(estimate), "~%.2f s", seconds(round->estimate_ns));
	}
	len = snprintf(line, sizeof(line), ROW, name, pages, bytes, time, rate, dirty, dirty_rate,
		       estimate);
	while (len && line[len - 1] == ' ')
		line[--len] = '\0';
	report_line(report, "%s", line);
}

void report_progress(struct report *report, const struct event *event,
		     const struct heartbeat *beat)
{
	const struct progress *p = &event->progress;

	if (p->phase >= NR_PHASES)
		return;
	report->progress = *p;
	if (!p->done) {
		update_status(report, beat, event->time_ns);
		return;
	}

	if (p->phase == PHASE_SHARED)
		report->shared_pages += p->pages;
	else if (is_bulk(p->phase))
		report->private_pages += p->pages;
	report->bytes += p->bytes;
	/* The row of a round has more to say. */
	if (p->phase != PHASE_MEMORY)
		row(report, p, NULL);
}

void report_round(struct report *report, const struct event *event,
		  const struct migrate_options *options)
{
	const struct round *round = &event->round;
	const struct progress p = {
		.phase = PHASE_MEMORY,
		.pages = round->pages,
		.bytes = round->bytes,
		.elapsed_ns = round->elapsed_ns,
	};

	report->round = *round;
	row(report, &p, round);
	if (round->verdict == ROUND_TARGET)
		report_line(report, "  pausing the guest: a blackout below %.2f s is expected",
			    seconds(options->target_ns));
	else if (round->verdict == ROUND_LIMIT)
		report_line(report, "  pausing the guest: %u rounds are the limit", round->number);
}

static void report_calls(struct report *report, const struct simstat *calls)
{
	u32 leaf, column = 0;
	u64 total = 0;

	for (leaf = 0; leaf < SIMSTAT_NR_LEAVES; leaf++)
		total += calls->calls[leaf];
	if (!total)
		return;

	report_line(report, "  %-20s %llu, by leaf:", "SEAMCALLs", (unsigned long long)total);
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

void report_summary(struct report *report, const struct heartbeat *beat,
		    const struct simstat *calls)
{
	char bytes[24];

	format_bytes(bytes, sizeof(bytes), report->bytes);
	report_line(report, "  %-20s %8.3f s", "migration", span(report->start_ns, report->end_ns));
	report_line(report, "  %-20s %8.3f s  between stop and start of the vCPUs", "blackout",
		    span(report->stopped_ns, report->resumed_ns));
	if (report->round.number)
		report_line(report, "  %-20s %8.3f s  as estimated after round %u", "",
			    seconds(report->round.estimate_ns), report->round.number);
	report_line(report, "  %-20s %8.3f s  without a tick of the guest", "",
		    span(beat->last_before_ns, beat->first_after_ns));
	report_line(report, "  %-20s %8.3f s  longest time between two ticks by its own clock", "",
		    beat->longest_step);
	report_line(report, "  %-20s %llu private, %llu shared, %s in all", "pages sent",
		    (unsigned long long)report->private_pages,
		    (unsigned long long)report->shared_pages, bytes);
	report_line(report, "  %-20s %llu in VM 1, %llu in VM 2", "ticks of the guest",
		    (unsigned long long)beat->ticks[0], (unsigned long long)beat->ticks[1]);
	report_line(report, "  %-20s %llu in VM 1, %llu in VM 2", "pages written by it",
		    (unsigned long long)beat->writes[0], (unsigned long long)beat->writes[1]);
	report_line(report, "  %-20s %llu in VM 1, %llu in VM 2, %llu bad",
		    "pages checked by it", (unsigned long long)beat->checks[0],
		    (unsigned long long)beat->checks[1], (unsigned long long)beat->bad);
	report_calls(report, calls);
}
