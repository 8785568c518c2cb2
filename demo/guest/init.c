// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of the Linux TD guest: a workload that can be watched.
 *
 * One worker process per CPU rewrites and checks its own pool of memory, a
 * fixed number of pages per tick. The parent prints one line per tick:
 *
 *	[8.250731] tick 42: wrote 1344, checked 10752, passes 5, bad 0
 *
 * A pass is over when each worker has checked its whole pool once more.
 *
 * The number of the tick, the pages written, what each page has to contain and
 * the verdict exist nowhere but in the memory of the TD. A tick that is missing
 * or comes twice, or a page that lost a write, thus shows on the console.
 *
 * Every word of a page depends on the pool, the page and the number of times
 * the page was written, so a check sees a stale page as well as a wrong one.
 *
 * Environment, as set on the kernel command line:
 *	pool=N		pages in the pool of each CPU
 *	writes=N	pages that each CPU writes in a tick
 *	ticks=N		restart the machine after N ticks, instead of running for ever
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
#define DEFAULT_POOL_PAGES	1024
#define DEFAULT_WRITES		32
#define TICKS_PER_PASS		4
#define MAX_WORKERS		8

/* Data register of the serial port. */
#define SERIAL_PORT		0x3f8

struct worker {
	pid_t pid;
	/* Shared by the worker and the parent. */
	struct progress {
		unsigned long written;
		unsigned long checked;
		unsigned long passes;
		unsigned long bad;
	} *progress;
};

struct pool {
	unsigned long (*pages)[PAGE_WORDS];
	unsigned long *writes;
	unsigned long seed;
};

static int port_fd = -1;
static unsigned long pool_pages;
static unsigned long writes_per_tick;

/*
 * Print a line, with the time of the guest in front. The serial port is written
 * directly: the kernel prints later than it is told, and asks the port before
 * each character. Each access is an exit, so this is what a tick costs.
 */
static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	char line[256];
	struct timespec now;
	size_t len, i;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &now);
	len = snprintf(line, sizeof(line), "[%lld.%06ld] ", (long long)now.tv_sec,
		       now.tv_nsec / 1000);
	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
	va_end(ap);
	strcat(line, "\n");

	for (i = 0; line[i]; i++) {
		if (pwrite(port_fd, &line[i], 1, SERIAL_PORT) != 1)
			_exit(EXIT_FAILURE);
	}
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

static void write_pages(struct pool *pool, struct progress *progress, unsigned int *next)
{
	unsigned long i;

	for (i = 0; i < writes_per_tick; i++) {
		write_page(pool, *next);
		*next = (*next + 1) % pool_pages;
	}
	__atomic_add_fetch(&progress->written, writes_per_tick, __ATOMIC_RELAXED);
}

static void check_pages(struct pool *pool, struct progress *progress, unsigned int *next)
{
	unsigned long nr = (pool_pages + TICKS_PER_PASS - 1) / TICKS_PER_PASS, i;

	for (i = 0; i < nr; i++) {
		if (!page_is_good(pool, *next))
			__atomic_add_fetch(&progress->bad, 1, __ATOMIC_RELAXED);
		*next = (*next + 1) % pool_pages;
		if (!*next)
			__atomic_add_fetch(&progress->passes, 1, __ATOMIC_RELEASE);
	}
	__atomic_add_fetch(&progress->checked, nr, __ATOMIC_RELAXED);
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

	pool.pages = alloc_shared(pool_pages * sizeof(*pool.pages));
	pool.writes = alloc_shared(pool_pages * sizeof(*pool.writes));
	for (i = 0; i < pool_pages; i++)
		write_page(&pool, i);

	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		write_pages(&pool, progress, &write_next);
		check_pages(&pool, progress, &check_next);
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
		sum = (struct progress){ .passes = -1UL };
		for (i = 0; i < nr; i++) {
			const struct progress *p = workers[i].progress;
			unsigned long passes = __atomic_load_n(&p->passes, __ATOMIC_ACQUIRE);

			if (passes < sum.passes)
				sum.passes = passes;
			sum.written += __atomic_load_n(&p->written, __ATOMIC_RELAXED);
			sum.checked += __atomic_load_n(&p->checked, __ATOMIC_RELAXED);
			sum.bad += __atomic_load_n(&p->bad, __ATOMIC_RELAXED);
			/* A worker never ends by itself. */
			if (waitpid(workers[i].pid, NULL, WNOHANG) != 0)
				sum.bad++;
		}
		say("tick %lu: wrote %lu, checked %lu, passes %lu, bad %lu", tick,
		    sum.written, sum.checked, sum.passes, sum.bad);
		wait_tick(&next);
	}
}

static unsigned long option(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value ? strtoul(value, NULL, 10) : otherwise;
}

int main(void)
{
	struct worker workers[MAX_WORKERS] = {};
	struct utsname uts;
	unsigned int nr;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	port_fd = open("/dev/port", O_WRONLY | O_CLOEXEC);
	if (port_fd < 0)
		return EXIT_FAILURE;

	pool_pages = option("pool", DEFAULT_POOL_PAGES);
	writes_per_tick = option("writes", DEFAULT_WRITES);
	if (!pool_pages) {
		say("guest: pool=0 leaves nothing to do");
		return EXIT_FAILURE;
	}

	nr = start_workers(workers);
	uname(&uts);
	say("guest: Linux %s, %s, %u CPU%s", uts.release,
	    cpu_is_tdx_guest() ? "a TDX guest" : "not a TDX guest", nr, nr == 1 ? "" : "s");

	report_ticks(workers, nr, option("ticks", 0));

	say("guest: done");
	reboot(RB_AUTOBOOT);
	return EXIT_FAILURE;
}
