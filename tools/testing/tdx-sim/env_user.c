// SPDX-License-Identifier: GPL-2.0
/*
 * The machine in which the module model runs in userspace: a sparse block of
 * physical memory with one snapshot, a reproducible random source, scripted
 * interrupts, a clock that only calls advance, and one LP per thread.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

const struct tdx_sim_platform machine_reference_platform = {
	.profile = &tdx_sim_profile_1_5_01,
	.hkid_shift = 46,
	.hkid_bits = 6,
	.nr_mktme_hkids = 31,
	.nr_tdx_hkids = 32,
	.nr_lps = 1,
	.nr_packages = 1,
};

/* Clock ticks between two looks at it. */
#define TSC_STEP		1000
#define REFERENCE_TSC_KHZ	2500000

struct machine_state {
	u64 random_counter;
	u64 tsc;
	u32 tsc_khz;
	u8 script[32];
	unsigned int script_left;
	unsigned int fail_random;
	unsigned int interrupt_at;
	unsigned int polls;
	unsigned int waiting;
	struct machine_dirty_page dirty;
};

struct snapshot {
	bool taken;
	int fd;
	struct machine_state state;
	struct sim_module module;
};

static struct {
	u8 *memory;
	struct machine_state state;
	struct snapshot snapshots[MACHINE_SNAPSHOTS];
} machine;

static __thread unsigned int current_lp;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void map_memory(int fd, int flags)
{
	void *p;

	if (machine.memory)
		flags |= MAP_FIXED;
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	p = mmap(machine.memory, MACHINE_HOST_END, PROT_READ | PROT_WRITE,
		 flags | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		die("simulated memory");
	machine.memory = p;
}

void machine_reset(const struct tdx_sim_platform *platform)
{
	map_memory(-1, MAP_PRIVATE);
	memset(&machine.state, 0, sizeof(machine.state));
	machine.state.tsc_khz = REFERENCE_TSC_KHZ;
	current_lp = 0;
	machine_drop_gcm();
	machine_set_guest(NULL);
	machine_forget_cpuid();
	machine_flip_msr(0, 0);
	tdx_sim_reset(platform);
}

static bool page_is_zero(const u8 *page)
{
	return !page[0] && !memcmp(page, page + 1, SIM_PAGE_SIZE - 1);
}

/*
 * Pages that were ever touched become the snapshot file, and memory a private
 * view of it: going back costs only the pages that changed.
 */
void machine_snapshot(unsigned int nr)
{
	static unsigned char resident[MACHINE_HOST_END >> SIM_PAGE_SHIFT];
	struct snapshot *shot = &machine.snapshots[nr];
	u64 i;

	if (shot->taken)
		close(shot->fd);
	shot->fd = memfd_create("tdx-sim-snapshot", MFD_CLOEXEC);
	if (shot->fd < 0 || ftruncate(shot->fd, MACHINE_HOST_END))
		die("snapshot");
	if (mincore(machine.memory, MACHINE_HOST_END, resident))
		die("mincore");

	for (i = 0; i < MACHINE_HOST_END >> SIM_PAGE_SHIFT; i++) {
		u64 hpa = i << SIM_PAGE_SHIFT;

		if (!(resident[i] & 1) || page_is_zero(machine.memory + hpa))
			continue;
		if (pwrite(shot->fd, machine.memory + hpa, SIM_PAGE_SIZE, hpa) != SIM_PAGE_SIZE)
			die("snapshot page");
	}

	shot->taken = true;
	shot->state = machine.state;
	shot->module = sim_module;
	machine_restore(nr);
}

void machine_restore(unsigned int nr)
{
	const struct snapshot *shot = &machine.snapshots[nr];

	map_memory(shot->fd, MAP_PRIVATE);
	machine.state = shot->state;
	sim_module = shot->module;
	current_lp = 0;
	machine_drop_gcm();
	machine_set_guest(NULL);
}

static bool in_block(u64 hpa, u64 len, u64 begin, u64 end)
{
	return hpa >= begin && hpa < end && len <= end - hpa;
}

static bool is_memory(u64 hpa, u64 len)
{
	return in_block(hpa, len, MACHINE_TDMR_BASE, MACHINE_TDMR_END) ||
	       in_block(hpa, len, MACHINE_HOST_BASE, MACHINE_HOST_END);
}

void *machine_memory(u64 hpa, u64 len)
{
	return is_memory(hpa, len) ? machine.memory + hpa : NULL;
}

void *tdx_sim_host_page(u64 hpa)
{
	return machine_memory(hpa & SIM_HPA_PAGE_MASK, SIM_PAGE_SIZE);
}

bool tdx_sim_host_convertible(u64 hpa)
{
	return is_memory(hpa & SIM_HPA_PAGE_MASK, SIM_PAGE_SIZE);
}

/* A counter through a mixing function: reproducible, and safe between threads. */
static u64 next_random(void)
{
	u64 z = xadd(&machine.state.random_counter, 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

bool tdx_sim_host_random(void *buf, size_t len)
{
	struct machine_state *m = &machine.state;
	u8 *out = buf;

	if (READ_ONCE(m->fail_random)) {
		m->fail_random--;
		return false;
	}

	while (len) {
		size_t n = min(len, sizeof(u64));
		u64 v = 0;

		if (READ_ONCE(m->script_left)) {
			n = min_t(size_t, n, m->script_left);
			memcpy(&v, m->script + sizeof(m->script) - m->script_left, n);
			m->script_left -= n;
		} else {
			v = next_random();
		}
		memcpy(out, &v, n);
		out += n;
		len -= n;
	}
	return true;
}

void machine_script_random(const u8 value[32])
{
	memcpy(machine.state.script, value, sizeof(machine.state.script));
	machine.state.script_left = sizeof(machine.state.script);
}

void machine_fail_random(unsigned int count)
{
	machine.state.fail_random = count;
}

void machine_pend_interrupt(unsigned int nth)
{
	machine.state.polls = 0;
	machine.state.interrupt_at = nth;
}

bool tdx_sim_host_interrupt_pending(void)
{
	unsigned int at = READ_ONCE(machine.state.interrupt_at);

	return at && xadd(&machine.state.polls, 1) + 1 >= at;
}

void machine_make_calls_wait(unsigned int n)
{
	WRITE_ONCE(machine.state.waiting, n);
}

bool tdx_sim_host_call_waiting(void)
{
	if (!READ_ONCE(machine.state.waiting))
		return false;
	machine.state.waiting--;
	return true;
}

/* Threads of a test lock the entries if it wants that. */
bool tdx_sim_host_entry_busy(void)
{
	return false;
}

void tdx_sim_host_dirty_page(u64 hpa, u16 keyid, u16 leaf, enum sim_page_use use)
{
	struct machine_dirty_page *d = &machine.state.dirty;

	WRITE_ONCE(d->hpa, hpa);
	WRITE_ONCE(d->keyid, keyid);
	WRITE_ONCE(d->leaf, leaf);
	WRITE_ONCE(d->use, use);
	xadd(&d->count, 1);
}

struct machine_dirty_page machine_dirty_page(void)
{
	struct machine_dirty_page d = machine.state.dirty;

	machine.state.dirty.count = 0;
	return d;
}

u64 tdx_sim_host_tsc(void)
{
	return xadd(&machine.state.tsc, TSC_STEP) + TSC_STEP;
}

void machine_set_tsc(u64 tsc)
{
	WRITE_ONCE(machine.state.tsc, tsc);
}

u32 tdx_sim_host_tsc_khz(void)
{
	return READ_ONCE(machine.state.tsc_khz);
}

void machine_set_tsc_khz(u32 tsc_khz)
{
	WRITE_ONCE(machine.state.tsc_khz, tsc_khz);
}

unsigned int tdx_sim_host_lp(void)
{
	return current_lp;
}

unsigned int tdx_sim_host_package(void)
{
	return current_lp * sim_module.platform.nr_packages / sim_module.platform.nr_lps;
}

void machine_set_lp(unsigned int lp)
{
	current_lp = lp;
}
