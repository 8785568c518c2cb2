/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest of QEMU's migration tests: threads that use what migrates, each checks it
 * all the time and counts what it has done.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdatomic.h>
#include <stdint.h>

#define PAGE_SIZE	4096
#define PAGE_WORDS	(PAGE_SIZE / sizeof(uint64_t))

/* What is printed with each heartbeat. */
extern atomic_ulong written_pages, checked_pages, disk_blocks, net_bytes, rebinds;

/* Count an error, and print the first ones. */
void error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An option of the kernel command line, td_NAME=. */
const char *option(const char *name);
unsigned long number(const char *name, unsigned long otherwise);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t monotonic(void);
/* Sleep until *next, and move that on; who is late goes on from now. */
void wait_tick(int64_t *next, int64_t ns);

void start_thread(void *(*run)(void *), void *arg);

/* clock.c: no clock goes back, on no CPU, and all go equally fast. */
void check_clocks(void);
/* memory.c: a thread on each CPU, with memory of its own. */
void start_memory(unsigned int cpus);
/* disk.c: numbered blocks on the first disk. */
void start_disk(void);
/* rebind.c: a driver comes and goes. */
void start_rebind(void);
/* net.c: a server that echoes what it gets. */
void start_net(const char *address);

#endif
