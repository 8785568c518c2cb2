// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads in KVM selftests that a test has to catch in the midst of a system call.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvm_util.h"
#include "tdx_thread.h"

/* Looks, a millisecond apart, that have to find a thread asleep. */
#define NR_SLEEPY_LOOKS		20

static int next_cpu(const cpu_set_t *cpus, int cpu)
{
	do {
		cpu = (cpu + 1) % CPU_SETSIZE;
	} while (!CPU_ISSET(cpu, cpus));

	return cpu;
}

static void move_to_cpu(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	kvm_sched_setaffinity(tid, sizeof(set), &set);
}

void td_hop(const cpu_set_t *cpus)
{
	move_to_cpu(0, next_cpu(cpus, sched_getcpu()));
}

static void *td_hopper_thread(void *arg)
{
	struct td_hopper *h = arg;
	int cpu = 0;

	/* Each move is done when the call returns, even if the thread is in the kernel. */
	while (!READ_ONCE(h->stop)) {
		cpu = next_cpu(&h->cpus, cpu);
		move_to_cpu(h->tid, cpu);
		WRITE_ONCE(h->nr_hops, h->nr_hops + 1);
	}
	return NULL;
}

void td_hopper_start(struct td_hopper *h)
{
	*h = (struct td_hopper) { .tid = kvm_gettid() };
	kvm_sched_getaffinity(0, sizeof(h->cpus), &h->cpus);
	kvm_pthread_create(&h->thread, NULL, td_hopper_thread, h);
}

void td_hopper_stop(struct td_hopper *h)
{
	WRITE_ONCE(h->stop, true);
	kvm_pthread_join(h->thread, NULL);
	kvm_sched_setaffinity(0, sizeof(h->cpus), &h->cpus);
}

/* Returns 0 for a thread that has ended. */
static char thread_state(pid_t tid)
{
	char path[64], line[256], *state = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (fgets(line, sizeof(line), f))
		state = strrchr(line, ')');
	fclose(f);
	return state ? state[2] : 0;
}

void td_wait_for_sleep(const pid_t *tid)
{
	int nr_looks = 0;
	char state;

	while (!READ_ONCE(*tid))
		usleep(1000);

	while (nr_looks < NR_SLEEPY_LOOKS) {
		state = thread_state(*tid);
		if (!state || state == 'Z' || state == 'X')
			return;
		nr_looks = state == 'S' || state == 'D' ? nr_looks + 1 : 0;
		usleep(1000);
	}
}
