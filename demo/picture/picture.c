// SPDX-License-Identifier: GPL-2.0
/*
 * Draws a migration: reads what the demo has printed and writes an SVG.
 *
 * From top to bottom: what the migration came to, the pages of each round over
 * time, the two VMs with the heartbeat of the guest, and below these the numbers
 * of the rounds and the blackout, enlarged.
 *
 * Of a database that moves between two hosts, it draws the commits per time instead
 * of the heartbeat.
 *
 * The picture stands alone: no scripts, no fonts, no references, and a background
 * of its own.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

#define WIDTH			1280.0
#define HEIGHT			760.0
#define LEFT			84.0
#define RIGHT			(WIDTH - 40)

#define STRIP_TOP		124.0
#define CHART_TOP		162.0
#define CHART_BOTTOM		408.0
#define BLACKOUT_LABEL		124.0
#define LANES_TOP		424.0
#define LANE_HEIGHT		22.0
#define LANE_GAP		8.0
#define AXIS_Y			(LANES_TOP + 2 * LANE_HEIGHT + LANE_GAP + 8)
#define PANELS_TOP		548.0
#define PANEL_ROW		19.0
#define TABLE_ROWS		8
#define PHASES_LEFT		700.0
#define PHASES_BAR_LEFT		(PHASES_LEFT + 104)
#define PHASES_BAR_RIGHT	(RIGHT - 70)

#define INK			"#1f2933"
#define FAINT			"#66727f"
#define GRID			"#e4e8ec"
#define PAPER			"#ffffff"
#define SENT			"#3b76b5"
#define SENT_LIGHT		"#d6e4f2"
#define DIRTY			"#d97706"
#define BLACKOUT		"#c2303b"
#define BLACKOUT_LIGHT		"#f7d9db"
#define RUNNING			"#4d9f6f"
#define BEAT			"#1d5a38"
#define WAITING			"#eef1f4"

#define US_PER_SEC		1e6
#define KIB			1024.0
#define MIB			(1024.0 * 1024.0)

/* Shares of the migration that are shown before and after it, at most. */
#define SHARE_BEFORE		0.08
#define SHARE_AFTER		0.14

/* Average width of a character, as a share of the font size. */
#define CHAR_WIDTH		0.56

/* Columns of commits across the picture. */
#define SLICES			140

#define AXIS_STEPS		5
#define TIME_STEPS		12

struct picture {
	const struct record *record;
	/* What the axes show. */
	double from;
	double to;
	double max_pages;
	/* The end of the migration, or of the record if it has none. */
	double end;
	bool moved;
};

static double x_of(const struct picture *p, double time)
{
	if (time < p->from)
		time = p->from;
	if (time > p->to)
		time = p->to;
	return LEFT + (time - p->from) / (p->to - p->from) * (RIGHT - LEFT);
}

static double y_of(const struct picture *p, double pages)
{
	return CHART_BOTTOM - pages / p->max_pages * (CHART_BOTTOM - CHART_TOP);
}

static void box(double x, double y, double width, double height, const char *fill,
		const char *more)
{
	printf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" %s/>\n",
	       x, y, width > 0 ? width : 0, height > 0 ? height : 0, fill, more);
}

static void rule(double x1, double y1, double x2, double y2, const char *color, double width)
{
	printf("<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" stroke-width=\"%.1f\"/>\n",
	       x1, y1, x2, y2, color, width);
}

static void point(double x, double y, const char *more)
{
	printf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\" stroke=\"%s\" %s/>\n", x, y,
	       DIRTY, PAPER, more);
}

/* @style: attributes, such as the anchor and the weight. The text is plain. */
static void __printf(6, 7) text(double x, double y, double size, const char *color,
				const char *style, const char *fmt, ...)
{
	va_list ap;

	printf("<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" fill=\"%s\" %s>", x, y, size, color,
	       style);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("</text>\n");
}

#define START			""
#define MIDDLE			"text-anchor=\"middle\""
#define END			"text-anchor=\"end\""
#define BOLD			" font-weight=\"bold\""

static bool fits(const char *string, double size, double width)
{
	return strlen(string) * size * CHAR_WIDTH <= width;
}

static double seconds(double us)
{
	return us / US_PER_SEC;
}

/* Groups of three digits are easier to read. */
static const char *group(u64 number)
{
	static char buffers[8][32];
	static u32 next;
	char *buf = buffers[next++ % ARRAY_SIZE(buffers)], digits[24];
	u32 len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	u32 i, n = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf[n++] = ',';
		buf[n++] = digits[i];
	}
	buf[n] = '\0';
	return buf;
}

static void format_bytes(char *buf, size_t size, double bytes, const char *per)
{
	if (bytes >= MIB)
		snprintf(buf, size, "%.1f MiB%s", bytes / MIB, per);
	else
		snprintf(buf, size, "%.1f KiB%s", bytes / KIB, per);
}

/* The step of an axis with about @steps lines: 1, 2 or 5 times a power of ten. */
static double axis_step(double range, u32 steps)
{
	double step = 0.001;

	for (;;) {
		if (step * steps >= range)
			return step;
		if (2 * step * steps >= range)
			return 2 * step;
		if (5 * step * steps >= range)
			return 5 * step;
		step *= 10;
	}
}

static void set_scales(struct picture *p, const struct record *record)
{
	double first = record->migrate, last = record->last, duration, step;
	u64 most = 1;
	u32 i;

	p->record = record;
	p->moved = record->stopped && record->resumed && record->migrated;
	p->end = p->moved ? record->resumed : record->aborted ? record->aborted : record->last;
	duration = p->end - record->migrate;
	if (duration < 1)
		duration = 1;

	if (record->nr_ticks && record->ticks[0].time < record->migrate)
		first = record->ticks[0].time;
	if (record->nr_ticks)
		last = record->ticks[record->nr_ticks - 1].time;
	p->from = record->migrate - SHARE_BEFORE * duration;
	if (p->from < first)
		p->from = first;
	p->to = p->end + SHARE_AFTER * duration;
	if (p->to > last)
		p->to = last;
	if (p->to < p->end)
		p->to = p->end;
	if (p->to < p->from + 1)
		p->to = p->from + 1;

	for (i = 0; i < record->nr_rounds; i++) {
		if (record->rounds[i].pages > most)
			most = record->rounds[i].pages;
		if (record->rounds[i].dirty > most)
			most = record->rounds[i].dirty;
	}
	for (i = 0; i < record->nr_phases; i++) {
		if (record->phases[i].pages > most)
			most = record->phases[i].pages;
	}
	step = axis_step(most, AXIS_STEPS);
	for (p->max_pages = step; p->max_pages < most; p->max_pages += step)
		;
}

static void __printf(4, 5) tile(double right, const char *color, const char *what,
				const char *fmt, ...)
{
	char number[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(number, sizeof(number), fmt, ap);
	va_end(ap);
	text(right, 56, 26, color, END BOLD, "%s", number);
	text(right, 78, 13, FAINT, END, "%s", what);
}

static bool is_database(const struct picture *p)
{
	return p->record->from_host;
}

/* The place that the guest leaves, 1, or the one that it goes to, 2. */
static const char *place(const struct picture *p, u32 vm)
{
	static char buffers[2][16];
	char *buf = buffers[vm - 1];

	if (is_database(p))
		snprintf(buf, sizeof(buffers[0]), "host %c", (char)
			 ('a' + (vm == 1 ? p->record->from_host : p->record->to_host) - 1));
	else
		snprintf(buf, sizeof(buffers[0]), "VM %u", vm);
	return buf;
}

static const char *outcome(const struct picture *p)
{
	static char aborted[64];

	if (p->record->aborted) {
		snprintf(aborted, sizeof(aborted), "aborted: the guest went on in %s", place(p, 1));
		return aborted;
	}
	if (!p->moved)
		return "the record breaks off before the end";
	if (!p->record->ended || !p->record->passed)
		return is_database(p) ? "the guest has moved, the database is damaged" :
					"the guest has moved, the demo has failed";
	return NULL;
}

static void draw_head(const struct picture *p)
{
	const struct record *record = p->record;
	u64 pages = 0, bytes = 0;
	u32 i;

	for (i = 0; i < record->nr_rounds; i++) {
		pages += record->rounds[i].pages;
		bytes += record->rounds[i].bytes;
	}
	for (i = 0; i < record->nr_phases; i++) {
		bytes += record->phases[i].bytes;
		if (!strcmp(record->phases[i].name, "rest") ||
		    !strcmp(record->phases[i].name, "shared"))
			pages += record->phases[i].pages;
	}

	text(40, 52, 26, INK, START BOLD, "Live migration of a TDX guest");
	if (is_database(p))
		text(40, 78, 14, FAINT, START, "%s to %s, %s MiB of memory, %s vCPU%s; %s",
		     place(p, 1), place(p, 2), group(record->memory / MIB),
		     group(record->vcpus), record->vcpus == 1 ? "" : "s",
		     "a database commits all the time");
	else
		text(40, 78, 14, FAINT, START, "%s MiB of memory, %s vCPU%s, %s stream%s; %s",
		     group(record->memory / MIB), group(record->vcpus),
		     record->vcpus == 1 ? "" : "s", group(record->streams),
		     record->streams == 1 ? "" : "s", "the guest writes memory all the time");
	if (outcome(p))
		text(LEFT + 420, 108, 14, BLACKOUT, START BOLD, "%s", outcome(p));

	if (p->moved)
		tile(RIGHT, BLACKOUT, "blackout", "%.3f s",
		     seconds(record->resumed - record->stopped));
	tile(RIGHT - 150, INK, "migration", "%.1f s",
	     seconds((p->moved ? record->migrated : p->end) - record->migrate));
	tile(RIGHT - 280, INK, "pages sent", "%s", group(pages));
	tile(RIGHT - 400, INK, "MiB sent", "%.1f", bytes / MIB);
	if (record->ended)
		tile(RIGHT - 510, record->bad ? BLACKOUT : INK,
		     is_database(p) ? "lost or repeated" : "bad pages", "%s", group(record->bad));
}

static void draw_part(const struct picture *p, double from, double to, const char *fill,
		      const char *ink, const char *name)
{
	double left = x_of(p, from), right = x_of(p, to);

	if (right - left < 1)
		return;
	box(left, STRIP_TOP, right - left - 1, 18, fill, "rx=\"2\"");
	if (fits(name, 12, right - left - 4))
		text((left + right) / 2, STRIP_TOP + 13, 12, ink, MIDDLE, "%s", name);
}

static const char *where(const struct picture *p, u32 vm)
{
	static char buf[24];

	snprintf(buf, sizeof(buf), "%s %s", is_database(p) ? "on" : "in", place(p, vm));
	return buf;
}

/* The migration in a row of words. */
static void draw_strip(const struct picture *p)
{
	const struct record *record = p->record;
	double first = record->nr_rounds ? record->rounds[0].start :
		       record->stopped ? record->stopped : p->end;
	u32 i;

	draw_part(p, p->from, record->migrate, RUNNING, PAPER, where(p, 1));
	draw_part(p, record->migrate, first, WAITING, FAINT, "set-up");
	for (i = 0; i < record->nr_rounds; i++) {
		const struct record_round *round = &record->rounds[i];
		char name[24];

		snprintf(name, sizeof(name), "round %u", i + 1);
		if (!fits(name, 12, x_of(p, round->end) - x_of(p, round->start) - 4))
			snprintf(name, sizeof(name), "%u", i + 1);
		draw_part(p, round->start, round->end, SENT, PAPER, name);
	}
	draw_part(p, p->end, p->to, RUNNING, PAPER, where(p, record->aborted ? 1 : 2));
}

static void draw_grid(const struct picture *p)
{
	double step = axis_step(p->max_pages, AXIS_STEPS), value;
	double duration = seconds(p->to - p->from);
	double tick = axis_step(duration, TIME_STEPS);
	double zero = p->record->migrate;
	int i;

	for (value = 0; value <= p->max_pages * 1.001; value += step) {
		rule(LEFT, y_of(p, value), RIGHT, y_of(p, value), GRID, 1);
		text(LEFT - 8, y_of(p, value) + 4, 12, FAINT, END, "%s", group(value));
	}
	text(LEFT - 8, CHART_TOP - 12, 12, FAINT, END, "pages");

	for (i = -TIME_STEPS; i <= 2 * TIME_STEPS; i++) {
		double time = zero + i * tick * US_PER_SEC;

		if (time < p->from || time > p->to)
			continue;
		rule(x_of(p, time), CHART_BOTTOM, x_of(p, time), AXIS_Y, GRID, 1);
		text(x_of(p, time), AXIS_Y + 14, 12, FAINT, MIDDLE, "%g s", i * tick);
	}
}

static void draw_legend(const struct picture *p)
{
	const double y = STRIP_TOP - 16;

	box(LEFT, y - 9, 10, 10, SENT, "");
	text(LEFT + 15, y, 12, FAINT, START, "pages sent");
	point(LEFT + 101, y - 4, "");
	text(LEFT + 110, y, 12, FAINT, START, "written again meanwhile");
	rule(LEFT + 272, y - 10, LEFT + 272, y + 1, BEAT, 1.5);
	text(LEFT + 279, y, 12, FAINT, START, "%s",
	     is_database(p) ? "commits per time" : "heartbeat of the guest");
}

/* The band is as long as the blackout, but can always be seen. */
static void draw_blackout(const struct picture *p)
{
	const struct record *record = p->record;
	double left, right, middle;

	if (!p->moved)
		return;
	left = x_of(p, record->stopped);
	right = x_of(p, record->resumed);
	if (right < left + 2)
		right = left + 2;
	box(left, STRIP_TOP, right - left, AXIS_Y - STRIP_TOP, BLACKOUT_LIGHT,
	    "class=\"blackout\"");
	rule(left, STRIP_TOP, left, AXIS_Y, BLACKOUT, 1);
	rule(right, STRIP_TOP, right, AXIS_Y, BLACKOUT, 1);
	middle = (left + right) / 2;
	if (middle > RIGHT - BLACKOUT_LABEL / 2)
		middle = RIGHT - BLACKOUT_LABEL / 2;
	text(middle, STRIP_TOP - 6, 13, BLACKOUT, MIDDLE BOLD, "blackout %.3f s",
	     seconds(record->resumed - record->stopped));
}

/* Pages sent in a round: rising while it goes on, the sum as a level. */
static void draw_round(const struct picture *p, u32 index)
{
	const struct record *record = p->record;
	const struct record_round *round = &record->rounds[index];
	double left = x_of(p, round->start), right = x_of(p, round->end);
	double top = y_of(p, round->pages), width = right - left;
	char label[48];
	u32 i;

	box(left, top, width < 1 ? 1 : width, CHART_BOTTOM - top, SENT_LIGHT, "class=\"round\"");
	printf("<path d=\"M%.1f %.1f", left, CHART_BOTTOM);
	for (i = 0; i < record->nr_samples; i++) {
		const struct record_sample *sample = &record->samples[i];

		if (sample->round == index + 1 && sample->pages <= round->pages &&
		    sample->time >= round->start && sample->time <= round->end)
			printf("L%.1f %.1f", x_of(p, sample->time), y_of(p, sample->pages));
	}
	printf("L%.1f %.1fV%.1fZ\" fill=\"%s\"/>\n", right, top, CHART_BOTTOM, SENT);
	rule(left, top, right, top, SENT, 2);

	/* The line of dirty pages crosses the others. */
	snprintf(label, sizeof(label), "%s pages sent", group(round->pages));
	if (!index && fits(label, 13, width - 12) && CHART_BOTTOM - top > 24)
		text(left + 8, top + 18, 13, SENT, START BOLD, "%s", label);
}

/* What is sent while the guest stands still. */
static void draw_rest(const struct picture *p, const char *name)
{
	const struct record_phase *phase = record_phase(p->record, name);
	double left, width;

	if (!p->moved || !phase || !phase->pages)
		return;
	left = x_of(p, phase->start);
	width = x_of(p, phase->end) - left;
	box(left, y_of(p, phase->pages), width < 1 ? 1 : width,
	    CHART_BOTTOM - y_of(p, phase->pages), BLACKOUT, "");
}

static void draw_dirty(const struct picture *p)
{
	const struct record *record = p->record;
	double last_label = -WIDTH, x, y;
	u32 i, n = 0;

	printf("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", DIRTY);
	for (i = 0; i < record->nr_rounds; i++) {
		if (record->rounds[i].reported)
			printf("%.1f,%.1f ", x_of(p, record->rounds[i].reported_at),
			       y_of(p, record->rounds[i].dirty));
	}
	printf("\"/>\n");

	for (i = 0; i < record->nr_rounds; i++) {
		const struct record_round *round = &record->rounds[i];

		if (!round->reported)
			continue;
		x = x_of(p, round->reported_at);
		y = y_of(p, round->dirty);
		point(x, y, "class=\"dirty\"");
		if (x - last_label < (n ? 60 : 90))
			continue;
		text(x + 7, y - 7, 12, DIRTY, START BOLD, n++ ? "%s" : "%s dirty",
		     group(round->dirty));
		last_label = x;
	}
}

/* Commits in each slice of time, as columns. */
static void draw_commits(const struct picture *p, u32 vm, double bottom, double height)
{
	const struct record *record = p->record;
	u32 counts[2][SLICES] = {}, most = 1, i;
	double slice = (p->to - p->from) / SLICES;

	for (i = 0; i < record->nr_ticks; i++) {
		const struct record_tick *tick = &record->ticks[i];
		u32 *count;

		if (tick->time < p->from || tick->time >= p->to)
			continue;
		count = &counts[tick->vm - 1][(u32)((tick->time - p->from) / slice) % SLICES];
		(*count)++;
		if (*count > most)
			most = *count;
	}
	printf("<path class=\"commits\" fill=\"%s\" d=\"", BEAT);
	for (i = 0; i < SLICES; i++) {
		double left = x_of(p, p->from + i * slice);
		double right = x_of(p, p->from + (i + 1) * slice);
		u32 count = counts[vm - 1][i];

		if (count)
			printf("M%.1f %.1fH%.1fv%.1fH%.1fz", left, bottom, right - 1,
			       -height * count / most, left);
	}
	printf("\"/>\n");
}

static void draw_lane(const struct picture *p, u32 vm)
{
	const struct record *record = p->record;
	double top = LANES_TOP + (vm - 1) * (LANE_HEIGHT + LANE_GAP);
	double stop = record->stopped && p->moved ? record->stopped : p->to;
	double from = vm == 1 ? p->from : p->moved ? record->resumed : p->to;
	double to = vm == 1 ? stop : p->to;
	double left = x_of(p, vm == 1 ? p->from : record->migrate), right = x_of(p, p->to);
	u32 i;

	text(LEFT - 8, top + 15, 13, INK, END BOLD, "%s", place(p, vm));
	box(left, top, right - left, LANE_HEIGHT, WAITING, "rx=\"2\"");
	if (to > from)
		box(x_of(p, from), top, x_of(p, to) - x_of(p, from), LANE_HEIGHT, RUNNING,
		    "rx=\"2\" fill-opacity=\"0.45\"");
	if (vm == 2 && p->moved && fits("receives", 12, x_of(p, from) - left))
		text((left + x_of(p, from)) / 2, top + 15, 12, FAINT, MIDDLE,
		     "receives the guest");

	if (is_database(p)) {
		draw_commits(p, vm, top + LANE_HEIGHT, LANE_HEIGHT - 3);
		return;
	}
	printf("<path class=\"ticks\" stroke=\"%s\" stroke-width=\"1.2\" d=\"", BEAT);
	for (i = 0; i < record->nr_ticks; i++) {
		const struct record_tick *tick = &record->ticks[i];

		if (tick->vm == vm && tick->time >= p->from && tick->time <= p->to)
			printf("M%.1f %.1fv%.1f", x_of(p, tick->time), top + 4, LANE_HEIGHT - 8);
	}
	printf("\"/>\n");
}

static void panel_title(double x, const char *title)
{
	text(x, PANELS_TOP, 15, INK, START BOLD, "%s", title);
}

static void draw_table_row(const struct record_round *round, u32 number, double y)
{
	char rate[32] = "", time[32];

	snprintf(time, sizeof(time), "%.2f s", seconds(round->end - round->start));
	if (round->end > round->start)
		format_bytes(rate, sizeof(rate),
			     round->bytes / seconds(round->end - round->start), "/s");
	text(60, y, 13, INK, END, "%u", number);
	text(150, y, 13, SENT, END BOLD, "%s", group(round->pages));
	text(230, y, 13, INK, END, "%s", time);
	text(340, y, 13, INK, END, "%s", rate);
	if (!round->reported)
		return;
	text(440, y, 13, DIRTY, END BOLD, "%s", group(round->dirty));
	if (round->end > round->start)
		text(530, y, 13, INK, END, "%.0f",
		     round->dirty / seconds(round->end - round->start));
	text(640, y, 13, INK, END, "%.2f s", seconds(round->estimate));
}

static void draw_table(const struct picture *p)
{
	static const struct {
		double right;
		const char *name;
	} columns[] = {
		{ 60, "#" }, { 150, "pages sent" }, { 230, "time" }, { 340, "rate" },
		{ 440, "found dirty" }, { 530, "dirty per s" }, { 640, "est. blackout" },
	};
	const struct record *record = p->record;
	double y = PANELS_TOP + 26;
	u32 i, skip = 0;

	panel_title(40, "Rounds");
	if (!record->nr_rounds) {
		text(40, y, 13, FAINT, START, "none: all memory was sent with the guest paused");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(columns); i++)
		text(columns[i].right, y, 12, FAINT, END, "%s", columns[i].name);
	rule(40, y + 6, 640, y + 6, GRID, 1);
	y += PANEL_ROW + 4;

	/* The first ones and the last ones, if not all have room. */
	if (record->nr_rounds > TABLE_ROWS)
		skip = record->nr_rounds - TABLE_ROWS + 1;
	for (i = 0; i < record->nr_rounds; i++, y += PANEL_ROW) {
		if (skip && i == TABLE_ROWS / 2) {
			text(60, y, 13, FAINT, START, "%u more rounds", skip);
			i += skip - 1;
			continue;
		}
		draw_table_row(&record->rounds[i], i + 1, y);
	}
}

/* One row of the blackout: a bar where it lies, its time behind. */
static bool draw_phase_row(const struct picture *p, double y, const char *name, double from,
			   double to)
{
	const struct record *record = p->record;
	double scale = (PHASES_BAR_RIGHT - PHASES_BAR_LEFT) /
		       (double)(record->resumed - record->stopped);
	double left, width;

	if (from < record->stopped)
		from = record->stopped;
	if (to > record->resumed)
		to = record->resumed;
	if (to < from)
		return false;
	left = PHASES_BAR_LEFT + (from - record->stopped) * scale;
	width = (to - from) * scale;
	text(PHASES_BAR_LEFT - 8, y + 11, 13, INK, END, "%s", name);
	box(left, y, width < 1.5 ? 1.5 : width, 13, BLACKOUT, "rx=\"1.5\" class=\"phase\"");
	text(left + (width < 1.5 ? 1.5 : width) + 6, y + 11, 12, FAINT, START, "%.1f ms",
	     (to - from) / 1000);
	return true;
}

static void draw_phases(const struct picture *p)
{
	static const struct {
		const char *phase;
		const char *name;
	} rows[] = {
		{ "pause", "pause" },
		{ "rest", "last pages" },
		{ "shared", "shared pages" },
		{ "td-state", "TD state" },
		{ "vcpu-state", "vCPU states" },
		{ "start-token", "start token" },
		{ "commit", "commit" },
	};
	const struct record *record = p->record;
	double y = PANELS_TOP + 16, end = record->stopped;
	u32 i;

	if (!p->moved || record->resumed == record->stopped)
		return;
	panel_title(PHASES_LEFT, "The blackout, enlarged");
	box(PHASES_BAR_LEFT, y - 4, PHASES_BAR_RIGHT - PHASES_BAR_LEFT,
	    PANEL_ROW * (ARRAY_SIZE(rows) + 1), BLACKOUT_LIGHT, "fill-opacity=\"0.5\"");
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct record_phase *phase = record_phase(record, rows[i].phase);

		if (!phase)
			continue;
		if (draw_phase_row(p, y, rows[i].name, phase->start, phase->end))
			y += PANEL_ROW;
		if (phase->end > end)
			end = phase->end;
	}
	/* The source may hear of the commit after the guest goes on. */
	draw_phase_row(p, y, "resume", end < record->resumed ? end : record->resumed,
		       record->resumed);
}

static void draw_rate(const struct picture *p, double y, const char *when, double from, double to)
{
	u32 count = 0, i;

	for (i = 0; i < p->record->nr_ticks; i++) {
		if (p->record->ticks[i].time >= from && p->record->ticks[i].time < to)
			count++;
	}
	text(PHASES_LEFT, y, 13, INK, START, "%s", when);
	text(PHASES_LEFT + 260, y, 13, BEAT, END BOLD, "%s", group(count));
	if (to > from)
		text(PHASES_LEFT + 340, y, 13, INK, END, "%.1f", count / seconds(to - from));
}

/* The same blackout is longer for those who wait for an answer. */
static void draw_client(const struct picture *p)
{
	const struct record *record = p->record;
	double first = record->migrate, last = record->migrate, gap = 0, y = PANELS_TOP + 26;
	u32 i;

	for (i = 0; i < record->nr_ticks; i++) {
		double time = record->ticks[i].time;

		if (!i) {
			first = time;
			last = time;
		}
		if (time - last > gap && time > record->migrate && last < p->end)
			gap = time - last;
		last = time;
	}
	panel_title(PHASES_LEFT, "What the client saw");
	text(PHASES_LEFT + 260, y, 12, FAINT, END, "commits");
	text(PHASES_LEFT + 340, y, 12, FAINT, END, "per s");
	rule(PHASES_LEFT, y + 6, PHASES_LEFT + 340, y + 6, GRID, 1);
	y += PANEL_ROW + 4;
	draw_rate(p, y, "before", first, record->migrate);
	y += PANEL_ROW;
	draw_rate(p, y, "while it moves", record->migrate, p->end);
	y += PANEL_ROW;
	draw_rate(p, y, "after", p->end, last + 1);
	y += PANEL_ROW;
	text(PHASES_LEFT, y, 13, INK, START, "longest time without a commit");
	text(PHASES_LEFT + 340, y, 13, BLACKOUT, END BOLD, "%.2f s", seconds(gap));
}

static void draw(const struct picture *p)
{
	u32 i;

	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" ", WIDTH, HEIGHT);
	printf("width=\"%.0f\" height=\"%.0f\" ", WIDTH, HEIGHT);
	printf("font-family=\"Helvetica, Arial, sans-serif\">\n");
	printf("<title>Live migration of a TDX guest</title>\n");
	box(0, 0, WIDTH, HEIGHT, PAPER, "rx=\"10\"");
	draw_head(p);
	draw_legend(p);
	draw_blackout(p);
	draw_grid(p);
	draw_strip(p);
	for (i = 0; i < p->record->nr_rounds; i++)
		draw_round(p, i);
	draw_rest(p, "rest");
	draw_rest(p, "shared");
	draw_dirty(p);
	draw_lane(p, 1);
	draw_lane(p, 2);
	draw_table(p);
	if (is_database(p))
		draw_client(p);
	else
		draw_phases(p);
	printf("</svg>\n");
}

int main(void)
{
	static struct record record;
	struct picture picture;

	if (!record_read(&record, stdin))
		return EXIT_FAILURE;
	set_scales(&picture, &record);
	draw(&picture);
	return fflush(stdout) || ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
