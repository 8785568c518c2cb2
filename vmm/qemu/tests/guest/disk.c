// SPDX-License-Identifier: GPL-2.0
/*
 * A block is written, and must have reached the disk, before the next one is.  Word 0 is
 * its number, which also tells where it lies; all others depend on that.  One of those
 * written before is read meanwhile.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"

#define TICK_NS		200000000LL
#define DISK_BLOCKS	256
#define DISK_FACTOR	0x9e3779b97f4a7c15ULL

static uint64_t word_of(uint64_t nr, unsigned int i)
{
	return i ? nr * DISK_FACTOR + i : nr;
}

static off_t place_of(uint64_t nr)
{
	return nr % DISK_BLOCKS * PAGE_SIZE;
}

static void write_block(int fd, uint64_t *block, uint64_t nr)
{
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		block[i] = word_of(nr, i);
	if (pwrite(fd, block, PAGE_SIZE, place_of(nr)) != PAGE_SIZE || fdatasync(fd))
		error("block %lu cannot be written", (unsigned long)nr);
}

static void check_block(int fd, uint64_t *block, uint64_t nr)
{
	unsigned int i;

	if (pread(fd, block, PAGE_SIZE, place_of(nr)) != PAGE_SIZE) {
		error("block %lu cannot be read", (unsigned long)nr);
		return;
	}
	for (i = 0; i < PAGE_WORDS; i++) {
		if (block[i] != word_of(nr, i)) {
			error("block %lu has a bad word %u", (unsigned long)nr, i);
			return;
		}
	}
}

static void *run(void *arg)
{
	uint64_t *block = arg, nr, back;
	int64_t next = monotonic();
	int fd = open("/dev/vda", O_RDWR | O_DIRECT);

	if (fd < 0) {
		error("there is no disk");
		return NULL;
	}
	for (nr = 1; ; nr++) {
		write_block(fd, block, nr);
		disk_blocks = nr;
		back = random() % (nr < DISK_BLOCKS ? nr : DISK_BLOCKS);
		check_block(fd, block, nr - back);
		wait_tick(&next, TICK_NS);
	}
}

void start_disk(void)
{
	start_thread(run, aligned_alloc(PAGE_SIZE, PAGE_SIZE));
}
