// SPDX-License-Identifier: GPL-2.0
/*
 * Writing the record of a migration.
 */
#include <stdarg.h>
#include <stdio.h>

#include "trace.h"
#include "trace_format.h"

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

static unsigned long long since_start(const struct trace *trace, u64 time_ns)
{
	return (time_ns - trace->epoch_ns) / NS_PER_US;
}

static void __printf(3, 4) line(const struct trace *trace, u64 time_ns, const char *fmt, ...)
{
	va_list ap;

	if (!trace->on)
		return;
	printf(TRACE_PREFIX "%llu ", since_start(trace, time_ns));
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void trace_begin(const struct trace *trace, const struct vmm_options *options)
{
	line(trace, trace->epoch_ns,
	     "begin version=%u memory=%llu vcpus=%u streams=%u rounds=%u target=%llu",
	     TRACE_VERSION, (unsigned long long)options->mem_size, options->nr_vcpus,
	     options->migrate.nr_streams, options->migrate.max_rounds,
	     (unsigned long long)options->migrate.target_ns / NS_PER_US);
}

void trace_migrate(const struct trace *trace, u64 time_ns)
{
	line(trace, time_ns, "migrate");
}

static void trace_progress(const struct trace *trace, const struct event *event)
{
	const struct progress *p = &event->progress;

	if (p->phase >= NR_PHASES)
		return;
	if (p->done)
		line(trace, event->time_ns, "phase start=%llu round=%u pages=%llu bytes=%llu %s",
		     since_start(trace, event->time_ns - p->elapsed_ns), p->round,
		     (unsigned long long)p->pages, (unsigned long long)p->bytes,
		     phase_names[p->phase]);
	else if (p->phase == PHASE_MEMORY)
		line(trace, event->time_ns, "progress round=%u pages=%llu", p->round,
		     (unsigned long long)p->pages);
}

void trace_event(const struct trace *trace, const struct event *event)
{
	const struct round *round = &event->round;

	switch (event->type) {
	case EVENT_PROGRESS:
		trace_progress(trace, event);
		break;
	case EVENT_ROUND:
		line(trace, event->time_ns, "round number=%u dirty=%llu estimate=%llu verdict=%u",
		     round->number, (unsigned long long)round->dirty_pages,
		     (unsigned long long)round->estimate_ns / NS_PER_US, round->verdict);
		break;
	case EVENT_STOPPED:
		line(trace, event->time_ns, "stopped");
		break;
	case EVENT_RESUMED:
		line(trace, event->time_ns, "resumed");
		break;
	case EVENT_MIGRATED:
		line(trace, event->time_ns, "migrated");
		break;
	case EVENT_ABORTED:
		line(trace, event->time_ns, "aborted");
		break;
	}
}

void trace_tick(const struct trace *trace, const struct event *event, const struct judge *judge)
{
	line(trace, event->time_ns, "tick vm=%u number=%llu bad=%llu", event->vm + 1,
	     (unsigned long long)judge->tick, (unsigned long long)judge->bad);
}

void trace_end(const struct trace *trace, const struct judge *judge)
{
	line(trace, now_ns(), "end ticks=%llu written=%llu checked=%llu bad=%llu passed=%u",
	     (unsigned long long)judge->tick, (unsigned long long)judge->written,
	     (unsigned long long)judge->checked, (unsigned long long)judge->bad,
	     !judge->fault[0]);
}
