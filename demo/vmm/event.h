/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a VMM process tells the process that watches it. Events go through one
 * pipe and are short enough for a write to be atomic.
 */
#ifndef DEMO_EVENT_H
#define DEMO_EVENT_H

#include <assert.h>
#include <limits.h>

#include "common.h"

#define EVENT_TEXT_SIZE		256

enum event_type {
	/* A line of the guest's console. */
	EVENT_CONSOLE = 1,
	/* Something the VMM has to say. */
	EVENT_MESSAGE,
	/* The VMM gives up; text says why. */
	EVENT_FATAL,
	EVENT_PROGRESS,
	/* A round of pre-copy is over. */
	EVENT_ROUND,
	/* vCPUs of the source have been asked to stop. */
	EVENT_STOPPED,
	/* vCPUs of the destination are about to run. */
	EVENT_RESUMED,
	/* The source has handed the guest over, or taken it back. */
	EVENT_MIGRATED,
	EVENT_ABORTED,
	/* The guest has reset or shut down its machine. */
	EVENT_ENDED,
	/* A migration TD has answered a request. */
	EVENT_REPORTED,
};

enum phase {
	PHASE_KEYS,
	PHASE_IMMUTABLE,
	PHASE_MEMORY,
	PHASE_PAUSE,
	PHASE_REST,
	PHASE_SHARED,
	PHASE_TD_STATE,
	PHASE_VCPU_STATE,
	PHASE_START_TOKEN,
	PHASE_COMMIT,
	NR_PHASES,
};

struct progress {
	u32 phase;
	/* Pre-copy round, from 1; 0 where there are no rounds. */
	u32 round;
	bool done;
	u64 pages;
	/* 0 if not known beforehand. */
	u64 total_pages;
	u64 bytes;
	u64 elapsed_ns;
};

/* What comes after a round. */
enum round_verdict {
	ROUND_GO_ON,
	/* The blackout would not be longer than wanted. */
	ROUND_TARGET,
	/* There were as many rounds as allowed. */
	ROUND_LIMIT,
};

struct round {
	u32 number;
	u32 verdict;
	u64 pages;
	u64 bytes;
	u64 elapsed_ns;
	/* Written by the guest meanwhile, thus to be sent again. */
	u64 dirty_pages;
	/* Blackout if the guest were paused now. */
	u64 estimate_ns;
};

struct event {
	u32 type;
	u32 vm;
	u64 time_ns;
	union {
		char text[EVENT_TEXT_SIZE];
		struct progress progress;
		struct round round;
	};
};

static_assert(sizeof(struct event) <= PIPE_BUF, "writes of events must be atomic");

/* Set once, at the start of a VMM process. */
void event_init(int fd, u32 vm);

void event_send(u32 type);
void event_progress(const struct progress *progress);
void event_round(const struct round *round);
void event_text(u32 type, const char *fmt, ...) __printf(2, 3);

/* End the process; the kernel tears down its VMs. */
void __noreturn die(const char *fmt, ...) __printf(1, 2);

#endif /* DEMO_EVENT_H */
