// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of the Linux TD guest: a workload that can be watched.
 *
 * One worker process per CPU rewrites and checks its own pool of memory, a
 * fixed number of pages per tick. The parent prints one line per tick to the
 * kernel log, which puts the time of the guest in front:
 *
 *	tick 42: wrote 1344 pages, checked 21504, bad 0
 *
 * The number of the tick, the pages written, what each page has to contain and
 * the verdict exist nowhere but in the memory of the TD. A tick that is missing
 * or comes twice, or a page that lost a write, thus shows on the console.
 *
 * Every word of a page depends on the pool, the page and the number of times
 * the page was written, so a check sees a stale page as well as a wrong one.
 *
 * Environment, as set on the kernel command line: ticks=N restarts the machine
 * after N ticks; without it the workload runs for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define __noreturn		__attribute__((noreturn))

#define TICK_NS			125000000LL
#define NS_PER_SEC		1000000000LL

#define PAGE_WORDS		512
#define POOL_PAGES		1024
#define WRITES_PER_TICK		32
#define CHECKS_PER_TICK		256
#define MAX_WORKERS		8

/* Printed with KERN_ALERT, thus also on a quiet console. */
#define LOG_PREFIX		"<1>"

struct worker {
	pid_t pid;
	/* Shared by the worker and the parent. */
	struct progress {
		unsigned long written;
		unsigned long checked;
		unsigned long bad;
	} *progress;
};

struct pool {
	unsigned long (*pages)[PAGE_WORDS];
	unsigned long *writes;
	unsigned long seed;
};

static int log_fd = -1;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char line[256] = LOG_PREFIX;
	size_t len = strlen(line);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);

	if (write(log_fd, line, strlen(line)) < 0)
		_exit(EXIT_FAILURE);
}

/* A bijection of 64 bits, so distinct inputs give distinct words. */
static unsigned long mix(unsigned long x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebUL;
	return x ^ (x >> 31);
}

static unsigned long page_base(const struct pool *pool, unsigned int page)
{
	return mix(pool->seed ^ ((unsigned long)page << 40) ^ pool->writes[page]);
}

static void write_page(struct pool *pool, unsigned int page)
{
	unsigned long base;
	unsigned int i;

	pool->writes[page]++;
	base = page_base(pool, page);
	for (i = 0; i < PAGE_WORDS; i++)
		pool->pages[page][i] = base + i * base;
}

static bool page_is_good(const struct pool *pool, unsigned int page)
{
	unsigned long base = page_base(pool, page);
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++) {
		if (pool->pages[page][i] != base + i * base)
			return false;
	}
	return true;
}

/* Wait for the next tick; a tick that is late moves the ones after it. */
static void wait_tick(struct timespec *next)
{
	struct timespec now;
	long long late;

	next->tv_nsec += TICK_NS;
	if (next->tv_nsec >= NS_PER_SEC) {
		next->tv_nsec -= NS_PER_SEC;
		next->tv_sec++;
	}

	clock_gettime(CLOCK_MONOTONIC, &now);
	late = (now.tv_sec - next->tv_sec) * NS_PER_SEC + now.tv_nsec - next->tv_nsec;
	if (late > 0) {
		*next = now;
		return;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
		;
}

static void *alloc_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		say("out of memory");
		_exit(EXIT_FAILURE);
	}
	return p;
}

static void __noreturn run_worker(unsigned int cpu, struct progress *progress)
{
	struct pool pool = { .seed = mix(cpu + 1) };
	unsigned int write_next = 0, check_next = 0, i;
	struct timespec next;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	pool.pages = alloc_shared(POOL_PAGES * sizeof(*pool.pages));
	pool.writes = alloc_shared(POOL_PAGES * sizeof(*pool.writes));
	for (i = 0; i < POOL_PAGES; i++)
		write_page(&pool, i);

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		for (i = 0; i < WRITES_PER_TICK; i++) {
			write_page(&pool, write_next);
			write_next = (write_next + 1) % POOL_PAGES;
		}
		__atomic_add_fetch(&progress->written, WRITES_PER_TICK, __ATOMIC_RELAXED);

		for (i = 0; i < CHECKS_PER_TICK; i++) {
			if (!page_is_good(&pool, check_next))
				__atomic_add_fetch(&progress->bad, 1, __ATOMIC_RELAXED);
			check_next = (check_next + 1) % POOL_PAGES;
		}
		__atomic_add_fetch(&progress->checked, CHECKS_PER_TICK, __ATOMIC_RELAXED);

		wait_tick(&next);
	}
}

static unsigned int start_workers(struct worker *workers)
{
	unsigned int cpu, nr = 0;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus)) {
		CPU_ZERO(&cpus);
		CPU_SET(0, &cpus);
	}

	for (cpu = 0; cpu < CPU_SETSIZE && nr < MAX_WORKERS; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;

		workers[nr].progress = alloc_shared(sizeof(*workers[nr].progress));
		workers[nr].pid = fork();
		if (!workers[nr].pid)
			run_worker(cpu, workers[nr].progress);
		if (workers[nr].pid < 0)
			break;
		nr++;
	}
	return nr;
}

static bool cpu_is_tdx_guest(void)
{
	char line[4096];
	bool found = false;
	FILE *f;

	f = fopen("/proc/cpuinfo", "r");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "flags", 5) && strstr(line, " tdx_guest");
	fclose(f);
	return found;
}

static void report_ticks(const struct worker *workers, unsigned int nr, unsigned long last)
{
	struct progress sum;
	struct timespec next;
	unsigned long tick;
	unsigned int i;

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (tick = 1; !last || tick <= last; tick++) {
		sum = (struct progress){};
		for (i = 0; i < nr; i++) {
			const struct progress *p = workers[i].progress;

			sum.written += __atomic_load_n(&p->written, __ATOMIC_RELAXED);
			sum.checked += __atomic_load_n(&p->checked, __ATOMIC_RELAXED);
			sum.bad += __atomic_load_n(&p->bad, __ATOMIC_RELAXED);
			/* A worker never ends by itself. */
			if (waitpid(workers[i].pid, NULL, WNOHANG) != 0)
				sum.bad++;
		}
		say("tick %lu: wrote %lu pages, checked %lu, bad %lu", tick,
		    sum.written, sum.checked, sum.bad);
		wait_tick(&next);
	}
}

int main(void)
{
	struct worker workers[MAX_WORKERS] = {};
	unsigned long ticks = 0;
	struct utsname uts;
	unsigned int nr;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log_fd < 0)
		return EXIT_FAILURE;

	if (getenv("ticks"))
		ticks = strtoul(getenv("ticks"), NULL, 10);

	nr = start_workers(workers);
	uname(&uts);
	say("guest: Linux %s, %s, %u CPU%s", uts.release,
	    cpu_is_tdx_guest() ? "a TDX guest" : "not a TDX guest", nr, nr == 1 ? "" : "s");

	report_ticks(workers, nr, ticks);

	say("guest: done");
	reboot(RB_AUTOBOOT);
	return EXIT_FAILURE;
}
