// SPDX-License-Identifier: GPL-2.0
/*
 * Try-locks, and the list of those that a leaf holds.
 */
#include "model.h"

#define LOCK_MAX_READERS	0x3fff
#define LOCK_READERS		0xfffc

static u16 lock_readers(u16 raw)
{
	return raw >> 2;
}

/* One attempt; on success the host priority mark is gone. */
static bool lock_once(struct sim_lock *lock, enum sim_lock_mode mode, u16 old, bool *taken)
{
	u16 new;

	if (mode == SIM_EXCL) {
		if (old & (SIM_LOCK_EXCL | LOCK_READERS))
			return false;
		new = SIM_LOCK_EXCL;
	} else {
		if ((old & SIM_LOCK_EXCL) || lock_readers(old) == LOCK_MAX_READERS)
			return false;
		new = (old & ~SIM_LOCK_HOST_PRIO) + SIM_LOCK_READER;
	}
	*taken = sim_cmpxchg16(&lock->raw, old, new) == old;
	return true;
}

bool sim_trylock(struct sim_lock *lock, enum sim_lock_mode mode)
{
	bool taken = false;
	u16 old;

	do {
		old = READ_ONCE(lock->raw);
		if (lock_once(lock, mode, old, &taken))
			continue;
		/* Tell guests to keep away until this host comes again. */
		if ((old & SIM_LOCK_HOST_PRIO) ||
		    sim_cmpxchg16(&lock->raw, old, old | SIM_LOCK_HOST_PRIO) == old)
			return false;
	} while (!taken);
	return true;
}

bool sim_trylock_guest(struct sim_lock *lock, enum sim_lock_mode mode, bool *host_prio)
{
	bool taken = false;
	u16 old;

	*host_prio = false;
	do {
		old = READ_ONCE(lock->raw);
		if (old & SIM_LOCK_HOST_PRIO) {
			*host_prio = true;
			return false;
		}
		if (!lock_once(lock, mode, old, &taken))
			return false;
	} while (!taken);
	return true;
}

void sim_unlock(struct sim_lock *lock, enum sim_lock_mode mode)
{
	u16 old, new;

	do {
		old = READ_ONCE(lock->raw);
		if (mode == SIM_EXCL)
			new = old & ~SIM_LOCK_EXCL;
		else
			new = lock_readers(old) ? old - SIM_LOCK_READER : old;
	} while (sim_cmpxchg16(&lock->raw, old, new) != old);
}

static void hold(struct sim_call *c, struct sim_lock *lock, enum sim_lock_mode mode)
{
	c->held[c->nr_held].lock = lock;
	c->held[c->nr_held].mode = mode;
	c->nr_held++;
}

bool sim_hold(struct sim_call *c, struct sim_lock *lock, enum sim_lock_mode mode)
{
	if (c->nr_held == SIM_MAX_HELD || !sim_trylock(lock, mode))
		return false;
	hold(c, lock, mode);
	return true;
}

u64 sim_hold_guest(struct sim_guest_call *g, struct sim_lock *lock, enum sim_lock_mode mode,
		   u32 operand)
{
	bool host_prio = false;

	if (g->host.nr_held == SIM_MAX_HELD || !sim_trylock_guest(lock, mode, &host_prio))
		return (host_prio ? SIM_OPERAND_BUSY_HOST_PRIORITY : SIM_OPERAND_BUSY) | operand;
	hold(&g->host, lock, mode);
	return SIM_SUCCESS;
}

u64 sim_hold_or_busy(struct sim_call *c, struct sim_lock *lock, enum sim_lock_mode mode,
		     u32 operand)
{
	return sim_hold(c, lock, mode) ? SIM_SUCCESS : SIM_OPERAND_BUSY | operand;
}

void sim_release_to(struct sim_call *c, unsigned int mark)
{
	while (c->nr_held > mark) {
		c->nr_held--;
		sim_unlock(c->held[c->nr_held].lock, c->held[c->nr_held].mode);
	}
}

void sim_release_all(struct sim_call *c)
{
	if (c->held_sept)
		sim_atomic_andnot64(c->held_sept, SEPT_LOCK);
	if (c->held_link)
		sim_atomic_andnot64(c->held_link, MIGSC_LINK_LOCK);
	c->held_sept = NULL;
	c->held_link = NULL;
	sim_release_to(c, 0);
}
