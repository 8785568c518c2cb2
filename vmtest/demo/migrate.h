/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two sides of a migration.
 */
#ifndef DEMO_MIGRATE_H
#define DEMO_MIGRATE_H

#include "device.h"
#include "keys.h"
#include "tdvmm.h"

/*
 * Send a running TD to the other end of @fd, up to @max_rounds times through its
 * memory before it is stopped. Return true if the destination has committed to
 * it: the TD here is dead then. Otherwise it runs again.
 */
bool migrate_out(struct vm *vm, struct device_state *dev, struct keys *keys, int fd,
		 u32 max_rounds);

/*
 * Build a TD from what comes through @fd, up to the point where it can run, and
 * tell the source. The vCPUs are not started.
 */
struct vm *migrate_in(const struct vm_ops *ops, struct device_state *dev, struct keys *keys,
		      int fd);

#endif /* DEMO_MIGRATE_H */
