/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writes the record of a migration, see record_format.h.
 */
#ifndef DEMO_RECORDER_H
#define DEMO_RECORDER_H

#include "event.h"
#include "heartbeat.h"
#include "vmm_process.h"

struct recorder {
	bool on;
	u64 epoch_ns;
};

void recorder_begin(const struct recorder *rec, const struct vmm_options *options);
/* The source has been told to migrate. */
void recorder_migrate(const struct recorder *rec, u64 time_ns);
void recorder_event(const struct recorder *rec, const struct event *event);
/* The last tick that @beat has seen came with @event. */
void recorder_tick(const struct recorder *rec, const struct event *event,
		   const struct heartbeat *beat);
/* The last line: the end of the heartbeat, and the verdict. */
void recorder_end(const struct recorder *rec, const struct heartbeat *beat, bool passed);

#endif /* DEMO_RECORDER_H */
