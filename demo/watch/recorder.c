// SPDX-License-Identifier: GPL-2.0
/*
 * Writing the record of a migration.
 */
#include <stdarg.h>
#include <stdio.h>

#include "record_format.h"
#include "recorder.h"

#define NS_PER_US		1000

static const char * const phase_names[] = {
	[PHASE_KEYS]		= "keys",
	[PHASE_IMMUTABLE]	= "immutable",
	[PHASE_MEMORY]		= "memory",
	[PHASE_PAUSE]		= "pause",
	[PHASE_REST]		= "rest",
	[PHASE_SHARED]		= "shared",
	[PHASE_TD_STATE]	= "td-state",
	[PHASE_VCPU_STATE]	= "vcpu-state",
	[PHASE_START_TOKEN]	= "start-token",
	[PHASE_COMMIT]		= "commit",
};

static_assert(ARRAY_SIZE(phase_names) == NR_PHASES, "a phase has no name");

static unsigned long long since_start(const struct recorder *rec, u64 time_ns)
{
	return (time_ns - rec->epoch_ns) / NS_PER_US;
}

static void __printf(3, 4) line(const struct recorder *rec, u64 time_ns, const char *fmt, ...)
{
	va_list ap;

	if (!rec->on)
		return;
	printf(RECORD_PREFIX "%llu ", since_start(rec, time_ns));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void recorder_begin(const struct recorder *rec, const struct vmm_options *options)
{
	line(rec, rec->epoch_ns,
	     "begin version=%u memory=%llu vcpus=%u streams=%u rounds=%u target=%llu",
	     RECORD_VERSION, (unsigned long long)options->mem_size, options->nr_vcpus,
	     options->migrate.nr_streams, options->migrate.max_rounds,
	     (unsigned long long)options->migrate.target_ns / NS_PER_US);
}

void recorder_migrate(const struct recorder *rec, u64 time_ns)
{
	line(rec, time_ns, "migrate");
}

static void recorder_progress(const struct recorder *rec, const struct event *event)
{
	const struct progress *p = &event->progress;

	if (p->phase >= NR_PHASES)
		return;
	if (p->done)
		line(rec, event->time_ns, "phase start=%llu round=%u pages=%llu bytes=%llu %s",
		     since_start(rec, event->time_ns - p->elapsed_ns), p->round,
		     (unsigned long long)p->pages, (unsigned long long)p->bytes,
		     phase_names[p->phase]);
	else if (p->phase == PHASE_MEMORY)
		line(rec, event->time_ns, "progress round=%u pages=%llu", p->round,
		     (unsigned long long)p->pages);
}

void recorder_event(const struct recorder *rec, const struct event *event)
{
	const struct round *round = &event->round;

	switch (event->type) {
	case EVENT_PROGRESS:
		recorder_progress(rec, event);
		break;
	case EVENT_ROUND:
		line(rec, event->time_ns, "round number=%u dirty=%llu estimate=%llu verdict=%u",
		     round->number, (unsigned long long)round->dirty_pages,
		     (unsigned long long)round->estimate_ns / NS_PER_US, round->verdict);
		break;
	case EVENT_STOPPED:
		line(rec, event->time_ns, "stopped");
		break;
	case EVENT_RESUMED:
		line(rec, event->time_ns, "resumed");
		break;
	case EVENT_MIGRATED:
		line(rec, event->time_ns, "migrated");
		break;
	case EVENT_ABORTED:
		line(rec, event->time_ns, "aborted");
		break;
	}
}

void recorder_tick(const struct recorder *rec, const struct event *event,
		   const struct heartbeat *beat)
{
	line(rec, event->time_ns, "tick vm=%u number=%llu bad=%llu", event->vm + 1,
	     (unsigned long long)beat->tick, (unsigned long long)beat->bad);
}

void recorder_end(const struct recorder *rec, const struct heartbeat *beat, bool passed)
{
	line(rec, now_ns(), "end ticks=%llu written=%llu checked=%llu bad=%llu passed=%u",
	     (unsigned long long)beat->tick, (unsigned long long)beat->written,
	     (unsigned long long)beat->checked, (unsigned long long)beat->bad,
	     passed);
}
