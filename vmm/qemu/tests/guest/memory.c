// SPDX-License-Identifier: GPL-2.0
/*
 * Each CPU rewrites and checks a pool of pages.  Every word of a page depends on the
 * CPU, the page and how often that was written, so that a check sees a page that is
 * stale as well as one that is wrong.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"

#define TICK_NS		100000000LL
#define TICKS_PER_PASS	4

struct pool {
	unsigned long cpu;
	unsigned long nr, writes;
	uint64_t (*pages)[PAGE_WORDS];
	uint64_t *generation;
};

/* A bijection of 64 bits, so distinct inputs give distinct words. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 31)) * 0x7fb5d329728ea185ULL;
	x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44dULL;
	return x ^ (x >> 33);
}

static uint64_t base_of(const struct pool *pool, unsigned long page)
{
	return mix(pool->generation[page] | (uint64_t)page << 40 | (pool->cpu + 1) << 60);
}

static void write_page(struct pool *pool, unsigned long page)
{
	uint64_t base;
	unsigned int i;

	pool->generation[page]++;
	base = base_of(pool, page);
	for (i = 0; i < PAGE_WORDS; i++)
		pool->pages[page][i] = base + i * base;
}

static void check_page(const struct pool *pool, unsigned long page)
{
	uint64_t base = base_of(pool, page);
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++) {
		if (pool->pages[page][i] != base + i * base) {
			error("page %lu of CPU %lu, generation %lu, has a bad word %u", page,
			      pool->cpu, (unsigned long)pool->generation[page], i);
			return;
		}
	}
}

static void *run(void *arg)
{
	struct pool *pool = arg;
	unsigned long i, write_next = 0, check_next = 0;
	int64_t next = monotonic();
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(pool->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		error("CPU %lu is not there", pool->cpu);
		return NULL;
	}

	for (i = 0; i < pool->nr; i++)
		write_page(pool, i);
	for (;;) {
		for (i = 0; i < pool->writes; i++) {
			write_page(pool, write_next);
			write_next = (write_next + 1) % pool->nr;
		}
		written_pages += pool->writes;
		for (i = 0; i < pool->nr / TICKS_PER_PASS; i++) {
			check_page(pool, check_next);
			check_next = (check_next + 1) % pool->nr;
		}
		checked_pages += i;
		check_clocks();
		wait_tick(&next, TICK_NS);
	}
}

static void *allocate(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		error("there is no memory");
		abort();
	}
	return p;
}

void start_memory(unsigned int cpus)
{
	struct pool *pool;
	unsigned int cpu;

	for (cpu = 0; cpu < cpus; cpu++) {
		pool = allocate(sizeof(*pool));
		pool->cpu = cpu;
		pool->nr = number("pool", 512);
		pool->writes = number("writes", 16);
		pool->pages = allocate(pool->nr * sizeof(*pool->pages));
		pool->generation = allocate(pool->nr * sizeof(*pool->generation));
		start_thread(run, pool);
	}
}
