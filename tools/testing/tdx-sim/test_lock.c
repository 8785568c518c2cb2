// SPDX-License-Identifier: GPL-2.0
/*
 * Try-locks: modes, the host's priority over guests, and real contention.
 */
#include <pthread.h>

#include "fixture.h"
#include "tap.h"

#define THREADS		4
#define ROUNDS		200000
#define MAX_READERS	0x3fff

static void test_modes(void)
{
	struct sim_lock lock = { };

	tap_ok(sim_trylock(&lock, SIM_SHARED), "a free lock can be shared");
	tap_ok(sim_trylock(&lock, SIM_SHARED), "a shared lock can be shared again");
	tap_ok(!sim_trylock(&lock, SIM_EXCL), "a shared lock cannot be taken exclusively");
	sim_unlock(&lock, SIM_SHARED);
	tap_ok(!sim_trylock(&lock, SIM_EXCL), "one of two readers is enough to keep it shared");
	sim_unlock(&lock, SIM_SHARED);
	tap_ok(sim_trylock(&lock, SIM_EXCL), "it is free after the last reader");
	tap_ok(!sim_trylock(&lock, SIM_EXCL), "an exclusive lock has one owner");
	tap_ok(!sim_trylock(&lock, SIM_SHARED), "an exclusive lock has no readers");
	sim_unlock(&lock, SIM_EXCL);
	tap_ok(sim_trylock(&lock, SIM_SHARED), "it is free after its owner");
}

static void test_reader_limit(void)
{
	struct sim_lock lock = { };
	unsigned int readers = 0;

	while (readers <= MAX_READERS && sim_trylock(&lock, SIM_SHARED))
		readers++;
	tap_equal(readers, MAX_READERS, "readers are counted up to the width of the lock");
	while (readers--)
		sim_unlock(&lock, SIM_SHARED);
	tap_ok(sim_trylock(&lock, SIM_EXCL), "the lock is free after as many releases");
}

static void test_host_priority(void)
{
	struct sim_lock lock = { };
	bool prio;

	tap_ok(sim_trylock_guest(&lock, SIM_EXCL, &prio), "a guest takes a free lock");
	tap_ok(!sim_trylock(&lock, SIM_EXCL), "the host cannot take it then");
	sim_unlock(&lock, SIM_EXCL);
	tap_ok(!sim_trylock_guest(&lock, SIM_SHARED, &prio) && prio,
	       "a guest yields to a host that failed before");
	tap_ok(sim_trylock(&lock, SIM_EXCL), "the host comes again and gets it");
	sim_unlock(&lock, SIM_EXCL);
	tap_ok(sim_trylock_guest(&lock, SIM_SHARED, &prio), "afterwards guests may take it again");
}

static struct sim_lock shared_lock;
static u64 counter;
static unsigned int writers_inside, readers_inside;
static bool overlap;

static void *contend(void *arg)
{
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		enum sim_lock_mode mode = (i + (uintptr_t)arg) % 4 ? SIM_SHARED : SIM_EXCL;

		if (!sim_trylock(&shared_lock, mode))
			continue;
		if (mode == SIM_EXCL) {
			if (xadd(&writers_inside, 1) || READ_ONCE(readers_inside))
				WRITE_ONCE(overlap, true);
			counter++;
			xadd(&writers_inside, -1);
		} else {
			xadd(&readers_inside, 1);
			if (READ_ONCE(writers_inside))
				WRITE_ONCE(overlap, true);
			xadd(&readers_inside, -1);
		}
		sim_unlock(&shared_lock, mode);
	}
	return NULL;
}

static void test_contention(void)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, contend, (void *)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	tap_ok(!overlap, "a writer is always alone");
	tap_ok(counter, "writers get through");
	tap_equal(shared_lock.raw & ~SIM_LOCK_HOST_PRIO, 0, "no reader or writer is left over");
}

int main(void)
{
	test_modes();
	test_reader_limit();
	test_host_priority();
	test_contention();
	return tap_done();
}
