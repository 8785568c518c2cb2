/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two sides of a migration.
 */
#ifndef DEMO_MIGRATE_H
#define DEMO_MIGRATE_H

#include "device.h"
#include "keys.h"
#include "vm.h"

#define MIGRATE_MAX_STREAMS	8

struct migrate_options {
	/* Streams that memory goes through at the same time. */
	u32 nr_streams;
	/* Rounds of pre-copy before the TD is stopped anyway; 0 is stop-and-copy. */
	u32 max_rounds;
	/* Stop the TD when the blackout is estimated to be no longer than this. */
	u64 target_ns;
};

/*
 * Send a running TD to the other end of @fd. Return true if the destination has
 * committed to it: the TD here is dead then. Otherwise it runs again.
 */
bool migrate_out(struct vm *vm, struct device_state *dev, struct keys *keys, int fd,
		 const struct migrate_options *options);

/*
 * Build a TD from what comes through @fd, up to the point where it can run, tell the
 * source, and have @resume start the vCPUs.
 */
struct vm *migrate_in(const struct vm_ops *ops, struct device_state *dev, struct keys *keys,
		      int fd, void (*resume)(struct vm *vm));

#endif /* DEMO_MIGRATE_H */
