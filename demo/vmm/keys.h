/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The keys of a migration session: each TDX module encrypts with a key of its
 * own that the other one has to get.
 */
#ifndef DEMO_KEYS_H
#define DEMO_KEYS_H

#include "vm.h"

struct keys;

/* Get ready to exchange keys for the TDs of this host. */
struct keys *keys_start(void);
void keys_stop(struct keys *keys);

/* Before a source is final, and before a destination gets its first bundle. */
void keys_bind(struct keys *keys, const struct vm *target);

/* Talk to the other side; return NULL or what went wrong, valid until the next call. */
const char *keys_exchange(struct keys *keys, int fd, bool source);

#endif /* DEMO_KEYS_H */
