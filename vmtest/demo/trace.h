/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes the record of a migration, see trace_format.h.
 */
#ifndef DEMO_TRACE_H
#define DEMO_TRACE_H

#include "event.h"
#include "judge.h"
#include "vmm.h"

struct trace {
	bool on;
	u64 epoch_ns;
};

void trace_begin(const struct trace *trace, const struct vmm_options *options);
/* The source has been told to migrate. */
void trace_migrate(const struct trace *trace, u64 time_ns);
void trace_event(const struct trace *trace, const struct event *event);
/* The last tick that @judge has seen came with @event. */
void trace_tick(const struct trace *trace, const struct event *event, const struct judge *judge);
/* The last line: all of the judge's findings. */
void trace_end(const struct trace *trace, const struct judge *judge);

#endif /* DEMO_TRACE_H */
