// SPDX-License-Identifier: GPL-2.0
/*
 * Reading the record of a migration. It comes over a serial line, so it may be
 * cut off or damaged anywhere.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "record_format.h"

#define LINE_SIZE		1024
/* A month; keeps sums and differences of times in range. */
#define MAX_TIME		2600000000000ULL
#define MAX_NUMBER		1000000000000000ULL

struct reader {
	struct record *record;
	u32 line;
	bool begun;
	/* Time and words of the line at hand. */
	u64 time;
	const char *what;
	const char *words;
	bool failed;
};

static void __printf(2, 3) fail(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->failed)
		return;
	r->failed = true;
	fprintf(stderr, "line %u: ", r->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static bool parse(const char *text, char **end, u64 max, u64 *number)
{
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, end, 10);
	return !errno && *number <= max;
}

/* The number of "KEY=NUMBER". */
static u64 get(struct reader *r, const char *key)
{
	size_t len = strlen(key);
	const char *word = r->words;
	u64 number;
	char *end;

	while ((word = strstr(word, key))) {
		if (word[-1] == ' ' && word[len] == '=') {
			if (parse(word + len + 1, &end, MAX_NUMBER, &number) &&
			    (*end == ' ' || !*end))
				return number;
			break;
		}
		word += len;
	}
	fail(r, "'%s' has no number '%s'", r->what, key);
	return 0;
}

static u64 get_start(struct reader *r)
{
	u64 start = get(r, "start");

	if (start > r->time)
		fail(r, "'%s' starts after its end", r->what);
	return start;
}

/* Make room for one more; @nr is left as it is if there is none. */
static void *append(struct reader *r, void *array, size_t size, u32 *nr, u32 max)
{
	if (*nr == max) {
		fail(r, "too many lines of '%s'", r->what);
		return NULL;
	}
	return (u8 *)array + size * (*nr)++;
}

static void read_begin(struct reader *r)
{
	struct record *record = r->record;

	if (r->begun)
		fail(r, "a second record begins");
	r->begun = true;
	if (get(r, "version") != RECORD_VERSION)
		fail(r, "the record has another version");
	record->memory = get(r, "memory");
	record->vcpus = get(r, "vcpus");
	record->streams = get(r, "streams");
	record->target = get(r, "target");
}

static void read_hosts(struct reader *r)
{
	struct record *record = r->record;

	record->from_host = get(r, "from");
	record->to_host = get(r, "to");
	if (!record->from_host || record->from_host > RECORD_MAX_HOSTS ||
	    !record->to_host || record->to_host > RECORD_MAX_HOSTS)
		fail(r, "there are no such hosts");
}

static void read_round(struct reader *r, u64 number, u64 start, u64 pages, u64 bytes)
{
	struct record *record = r->record;
	struct record_round *round;

	if (number != record->nr_rounds + 1) {
		fail(r, "round %llu comes after round %u", (unsigned long long)number,
		     record->nr_rounds);
		return;
	}
	if (record->nr_rounds && start < record->rounds[record->nr_rounds - 1].end)
		fail(r, "round %llu starts before the end of the one before it",
		     (unsigned long long)number);
	round = append(r, record->rounds, sizeof(*round), &record->nr_rounds, RECORD_MAX_ROUNDS);
	if (round)
		*round = (struct record_round){
			.start = start,
			.end = r->time,
			.pages = pages,
			.bytes = bytes,
		};
}

static void read_phase(struct reader *r)
{
	struct record *record = r->record;
	u64 start = get_start(r), number = get(r, "round");
	u64 pages = get(r, "pages"), bytes = get(r, "bytes");
	const char *name = strrchr(r->words, ' ');
	struct record_phase *phase;

	if (!name || strlen(++name) >= RECORD_NAME_SIZE ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz-")] || !*name) {
		fail(r, "a phase has no name");
		return;
	}
	if (number) {
		read_round(r, number, start, pages, bytes);
		return;
	}
	phase = append(r, record->phases, sizeof(*phase), &record->nr_phases, RECORD_MAX_PHASES);
	if (!phase)
		return;
	*phase = (struct record_phase){
		.start = start,
		.end = r->time,
		.pages = pages,
		.bytes = bytes,
	};
	memcpy(phase->name, name, strlen(name));
}

static void read_report(struct reader *r)
{
	struct record *record = r->record;
	u64 number = get(r, "number");
	struct record_round *round;

	if (!number || number != record->nr_rounds) {
		fail(r, "a report of round %llu, which has not just ended",
		     (unsigned long long)number);
		return;
	}
	round = &record->rounds[number - 1];
	round->reported = true;
	round->reported_at = r->time;
	round->dirty = get(r, "dirty");
	round->estimate = get(r, "estimate");
}

static void read_sample(struct reader *r)
{
	struct record *record = r->record;
	struct record_sample *sample;

	sample = append(r, record->samples, sizeof(*sample), &record->nr_samples,
			RECORD_MAX_SAMPLES);
	if (!sample)
		return;
	*sample = (struct record_sample){
		.time = r->time,
		.round = get(r, "round"),
		.pages = get(r, "pages"),
	};
}

static void read_tick(struct reader *r)
{
	struct record *record = r->record;
	struct record_tick *tick;

	tick = append(r, record->ticks, sizeof(*tick), &record->nr_ticks, RECORD_MAX_TICKS);
	if (!tick)
		return;
	*tick = (struct record_tick){ .time = r->time, .vm = get(r, "vm") };
	if (tick->vm != 1 && tick->vm != 2)
		fail(r, "a tick in VM %llu", (unsigned long long)tick->vm);
}

static void read_end(struct reader *r)
{
	struct record *record = r->record;

	record->ended = true;
	record->checked = get(r, "checked");
	record->bad = get(r, "bad");
	record->passed = get(r, "passed") == 1;
}

static void read_moment(struct reader *r, u64 *moment)
{
	if (*moment)
		fail(r, "'%s' comes twice", r->what);
	*moment = r->time;
}

static void read_line(struct reader *r)
{
	struct record *record = r->record;

	if (!r->begun && strcmp(r->what, "begin"))
		fail(r, "'%s' before the beginning of the record", r->what);
	else if (record->ended)
		fail(r, "'%s' after the end of the record", r->what);
	else if (!strcmp(r->what, "begin"))
		read_begin(r);
	else if (!strcmp(r->what, "hosts"))
		read_hosts(r);
	else if (!strcmp(r->what, "migrate"))
		read_moment(r, &record->migrate);
	else if (!strcmp(r->what, "stopped"))
		read_moment(r, &record->stopped);
	else if (!strcmp(r->what, "resumed"))
		read_moment(r, &record->resumed);
	else if (!strcmp(r->what, "migrated"))
		read_moment(r, &record->migrated);
	else if (!strcmp(r->what, "aborted"))
		read_moment(r, &record->aborted);
	else if (!strcmp(r->what, "phase"))
		read_phase(r);
	else if (!strcmp(r->what, "round"))
		read_report(r);
	else if (!strcmp(r->what, "progress"))
		read_sample(r);
	else if (!strcmp(r->what, "tick"))
		read_tick(r);
	else if (!strcmp(r->what, "end"))
		read_end(r);
	else
		fail(r, "'%s' is unknown", r->what);
	if (r->time > record->last)
		record->last = r->time;
}

/* Split "TIME WHAT [WORDS]" and read it. */
static void read_text(struct reader *r, char *text)
{
	char *end;

	if (!parse(text, &end, MAX_TIME, &r->time) || *end != ' ') {
		fail(r, "no time");
		return;
	}
	/* Words start with their blank. */
	r->what = end + 1;
	r->words = "";
	end = strchr(r->what, ' ');
	if (end) {
		memmove(end + 1, end, strlen(end) + 1);
		*end = '\0';
		r->words = end + 1;
	}
	read_line(r);
}

static bool is_consistent(const struct record *record)
{
	if (!record->migrate)
		fprintf(stderr, "the migration did not begin\n");
	else if ((record->resumed && record->resumed < record->stopped) ||
		 (record->resumed && !record->stopped) ||
		 (record->stopped && record->stopped < record->migrate) ||
		 (record->migrated && record->migrated < record->stopped) ||
		 (record->nr_rounds && record->rounds[0].start < record->migrate))
		fprintf(stderr, "the record tells of things in an impossible order\n");
	else if (record->migrated && record->aborted)
		fprintf(stderr, "the migration was completed and aborted\n");
	else
		return true;
	return false;
}

bool record_read(struct record *record, FILE *file)
{
	/* One more for a blank that is doubled. */
	char line[LINE_SIZE + 1];
	struct reader r = { .record = record };

	memset(record, 0, sizeof(*record));
	while (!r.failed && fgets(line, LINE_SIZE, file)) {
		r.line++;
		if (strncmp(line, RECORD_PREFIX, strlen(RECORD_PREFIX)))
			continue;
		line[strcspn(line, "\r\n")] = '\0';
		read_text(&r, line + strlen(RECORD_PREFIX));
	}
	if (r.failed)
		return false;
	if (!r.begun) {
		fprintf(stderr, "there is no record of a migration\n");
		return false;
	}
	return is_consistent(record);
}

const struct record_phase *record_phase(const struct record *record, const char *name)
{
	u32 i;

	for (i = 0; i < record->nr_phases; i++) {
		if (!strcmp(record->phases[i].name, name))
			return &record->phases[i];
	}
	return NULL;
}
