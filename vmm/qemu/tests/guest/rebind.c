// SPDX-License-Identifier: GPL-2.0
/*
 * A driver is taken from its device and given it again, over and over.  Each time the
 * kernel makes pages shared for the queues of the device, and private again: memory is
 * converted all the time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define TICK_NS		20000000LL
#define DRIVER		"/sys/bus/virtio/drivers/virtio_blk"

/* The name of the first device that the driver has; it stays the same. */
static char *find_device(void)
{
	DIR *dir = opendir(DRIVER);
	struct dirent *entry;
	char *name = NULL;

	while (dir && !name && (entry = readdir(dir))) {
		if (!strncmp(entry->d_name, "virtio", strlen("virtio")))
			name = strdup(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return name;
}

static bool tell_driver(const char *what, const char *device)
{
	char path[sizeof(DRIVER) + 16];
	bool good;
	int fd;

	snprintf(path, sizeof(path), DRIVER "/%s", what);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	good = fd >= 0 && write(fd, device, strlen(device)) == (ssize_t)strlen(device);
	if (!good)
		error("%s of %s: %s", what, device, strerror(errno));
	if (fd >= 0)
		close(fd);
	return good;
}

static void *run(void *arg)
{
	int64_t next = monotonic();
	char *device = find_device();

	(void)arg;
	if (!device) {
		error("the driver has no device");
		return NULL;
	}
	while (tell_driver("unbind", device) && tell_driver("bind", device)) {
		atomic_fetch_add(&rebinds, 1);
		wait_tick(&next, TICK_NS);
	}
	return NULL;
}

void start_rebind(void)
{
	start_thread(run, NULL);
}
