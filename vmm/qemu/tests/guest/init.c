// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of the guest.  Five times a second it prints a line, the heartbeat:
 *
 *	beat 42 up 8.250731 bad 0 wrote 1344 checked 10752 disk 12 net 160 rebound 0
 *
 * The numbers exist nowhere but in the memory of the guest.  A line that is missing or
 * comes twice thus shows on the console, and so does an error that a thread has found.
 *
 * Options on the kernel command line:
 *	td_cpus=N	the CPUs that there have to be
 *	td_pool=N	pages for each CPU
 *	td_writes=N	pages that each CPU writes in a tenth of a second
 *	td_jump=N	seconds that the clock may be ahead from one beat to the next
 *	td_disk=1	write and read /dev/vda
 *	td_rebind=1	take the driver from the first disk and give it back
 *	td_net=ADDRESS	echo what comes to port 7 of this address
 *	td_off=N	power off at heartbeat N
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/reboot.h>

#include "guest.h"

#define NS_PER_SEC	1000000000LL
#define BEAT_NS		(NS_PER_SEC / 5)
#define MAX_ERRORS	10

/* Data register of the serial port. */
#define SERIAL_PORT	0x3f8

atomic_ulong written_pages, checked_pages, disk_blocks, net_bytes, rebinds;

static atomic_ulong errors;
static pthread_mutex_t port_lock = PTHREAD_MUTEX_INITIALIZER;
static int port_fd = -1;

/*
 * The serial port is written directly: the kernel prints later than it is told, and asks
 * the port before each character.
 */
static void say(const char *line)
{
	pthread_mutex_lock(&port_lock);
	for (; *line; line++) {
		if (pwrite(port_fd, line, 1, SERIAL_PORT) != 1)
			abort();
	}
	pthread_mutex_unlock(&port_lock);
}

void error(const char *fmt, ...)
{
	char text[200], line[220];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(line, sizeof(line), "error: %s\n", text);
	if (atomic_fetch_add(&errors, 1) < MAX_ERRORS)
		say(line);
}

const char *option(const char *name)
{
	char full[32];

	snprintf(full, sizeof(full), "td_%s", name);
	return getenv(full);
}

unsigned long number(const char *name, unsigned long otherwise)
{
	const char *value = option(name);

	return value ? strtoul(value, NULL, 10) : otherwise;
}

int64_t monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

void wait_tick(int64_t *next, int64_t ns)
{
	int64_t now = monotonic();
	struct timespec until;

	*next += ns;
	if (now >= *next) {
		*next = now;
		return;
	}
	until.tv_sec = *next / NS_PER_SEC;
	until.tv_nsec = *next % NS_PER_SEC;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		;
}

void start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, arg))
		error("a thread cannot be created");
}

static void mount_one(const char *type, const char *where)
{
	if (mount(type, where, type, 0, NULL))
		perror(where);
}

static void beat(void)
{
	const int64_t jump = number("jump", 120) * NS_PER_SEC;
	int64_t next = monotonic(), last = next, now;
	unsigned long nr;
	char line[200];

	for (nr = 1; ; nr++) {
		check_clocks();
		now = monotonic();
		if (now - last > jump)
			error("the clock is ahead by %lld ms", (long long)(now - last) / 1000000);
		last = now;
		snprintf(line, sizeof(line),
			 "beat %lu up %lld.%06lld bad %lu wrote %lu checked %lu disk %lu net %lu rebound %lu\n", nr,
			 (long long)(now / NS_PER_SEC), (long long)(now % NS_PER_SEC / 1000), errors,
			 written_pages, checked_pages, disk_blocks, net_bytes, rebinds);
		say(line);
		if (nr == number("off", 0))
			reboot(RB_POWER_OFF);
		wait_tick(&next, BEAT_NS);
	}
}

int main(void)
{
	unsigned long cpus;

	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	port_fd = open("/dev/port", O_WRONLY | O_CLOEXEC);
	if (port_fd < 0)
		reboot(RB_AUTOBOOT);

	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus != number("cpus", cpus))
		error("%lu CPUs are online, not %lu", cpus, number("cpus", cpus));
	start_memory(cpus);
	if (number("disk", 0))
		start_disk();
	if (number("rebind", 0))
		start_rebind();
	if (option("net"))
		start_net(option("net"));
	beat();
}
