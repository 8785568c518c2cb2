// SPDX-License-Identifier: GPL-2.0
/*
 * The sending side of the event pipe.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "event.h"

static int event_fd = -1;
static u32 event_vm;

void event_init(int fd, u32 vm)
{
	event_fd = fd;
	event_vm = vm;
}

static void event_write(struct event *event)
{
	event->vm = event_vm;
	event->time_ns = now_ns();
	/* Without a watcher there is nobody to run the guest for. */
	if (write(event_fd, event, sizeof(*event)) != sizeof(*event))
		_exit(EXIT_FAILURE);
}

void event_send(u32 type)
{
	struct event event = { .type = type };

	event_write(&event);
}

void event_progress(const struct progress *progress)
{
	struct event event = { .type = EVENT_PROGRESS, .progress = *progress };

	event_write(&event);
}

void event_round(const struct round *round)
{
	struct event event = { .type = EVENT_ROUND, .round = *round };

	event_write(&event);
}

static void event_vtext(u32 type, const char *fmt, va_list ap)
{
	struct event event = { .type = type };

	vsnprintf(event.text, sizeof(event.text), fmt, ap);
	event_write(&event);
}

void event_text(u32 type, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_vtext(type, fmt, ap);
	va_end(ap);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	event_vtext(EVENT_FATAL, fmt, ap);
	va_end(ap);
	_exit(EXIT_FAILURE);
}
