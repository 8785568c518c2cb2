// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise for the interface of TD migration: which places of KVM a thread has reached, as
 * KCOV tells.
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tdx_fuzz.h"

#define COVER_ENTRIES	(256U << 10)
#define MAX_MODULES	4

static struct {
	u64 start, end;
} modules[MAX_MODULES];
static unsigned int nr_modules;

static __thread int kcov_fd = -1;
static __thread unsigned long *kcov_area;

/* Where the code of the modules is: what else the kernel does is not of interest. */
static void find_modules(void)
{
	FILE *f = fopen("/proc/modules", "r");
	char name[64];
	u64 start, size;

	TEST_ASSERT(f, "Cannot open /proc/modules, errno %d", errno);
	while (nr_modules < MAX_MODULES &&
	       fscanf(f, "%63s %lu %*d %*s %*s %lx%*[^\n]", name, &size, &start) == 3) {
		if (strcmp(name, "kvm") && strcmp(name, "kvm_intel"))
			continue;
		modules[nr_modules].start = start;
		modules[nr_modules++].end = start + size;
	}
	fclose(f);
}

bool td_fuzz_cover_init(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	find_modules();
	TEST_ASSERT(nr_modules, "KVM is no module, so its places cannot be told from others");
	return true;
}

void td_fuzz_cover_begin(void)
{
	if (!nr_modules)
		return;

	kcov_fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	TEST_ASSERT(kcov_fd >= 0, "Cannot open kcov, errno %d", errno);
	TEST_ASSERT(!ioctl(kcov_fd, KCOV_INIT_TRACE, COVER_ENTRIES), "KCOV_INIT_TRACE: %d", errno);
	kcov_area = mmap(NULL, COVER_ENTRIES * sizeof(*kcov_area), PROT_READ | PROT_WRITE,
			 MAP_SHARED, kcov_fd, 0);
	TEST_ASSERT(kcov_area != MAP_FAILED, "Cannot map kcov, errno %d", errno);
	TEST_ASSERT(!ioctl(kcov_fd, KCOV_ENABLE, KCOV_TRACE_PC), "KCOV_ENABLE: %d", errno);
	__atomic_store_n(kcov_area, 0, __ATOMIC_RELAXED);
}

static bool is_of_kvm(u64 pc)
{
	unsigned int i;

	for (i = 0; i < nr_modules; i++) {
		if (pc >= modules[i].start && pc < modules[i].end)
			return true;
	}
	return false;
}

void td_fuzz_cover_drain(struct td_fuzz_cover *cover)
{
	unsigned long i, nr;

	if (kcov_fd < 0)
		return;

	nr = __atomic_load_n(kcov_area, __ATOMIC_RELAXED);
	for (i = 1; i <= nr && i < COVER_ENTRIES; i++) {
		u64 bit = (kcov_area[i] >> 2) % TD_FUZZ_COVER_BITS;

		if (is_of_kvm(kcov_area[i]))
			__atomic_fetch_or(&cover->places[bit / BITS_PER_LONG],
					  1UL << bit % BITS_PER_LONG, __ATOMIC_RELAXED);
	}
	__atomic_store_n(kcov_area, 0, __ATOMIC_RELAXED);
}

void td_fuzz_cover_end(struct td_fuzz_cover *cover)
{
	if (kcov_fd < 0)
		return;

	ioctl(kcov_fd, KCOV_DISABLE, 0);
	td_fuzz_cover_drain(cover);
	munmap(kcov_area, COVER_ENTRIES * sizeof(*kcov_area));
	close(kcov_fd);
	kcov_fd = -1;
}
