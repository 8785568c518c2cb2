/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which pages of a TD have been written: KVM's dirty log.
 */
#ifndef DEMO_DIRTY_H
#define DEMO_DIRTY_H

#include "vm.h"

/* Log writes to a region; all of its pages count as written at first. */
void dirty_log_start(struct vm *vm, u32 region);
void dirty_log_stop(struct vm *vm, u32 region);

/* Add the pages that have been written to a set with one flag per page. */
void dirty_log_fetch(struct vm *vm, u32 region, bool *set);

/*
 * Have the next write to each page of a set logged. For private pages that
 * blocks writes, which is what makes them fit for export while the TD runs.
 */
void dirty_log_clear(struct vm *vm, u32 region, const bool *set);

#endif /* DEMO_DIRTY_H */
