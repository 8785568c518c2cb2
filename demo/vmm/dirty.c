// SPDX-License-Identifier: GPL-2.0
/*
 * KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "event.h"

#define BITS_PER_WORD		64

static u64 *alloc_bitmap(u64 nr_pages)
{
	u64 *bitmap = calloc((nr_pages + BITS_PER_WORD - 1) / BITS_PER_WORD, sizeof(*bitmap));

	if (!bitmap)
		die("out of memory");
	return bitmap;
}

static void set_logging(struct vm *vm, u32 index, bool enable)
{
	const struct mem_region *region = &vm->regions[index];
	struct kvm_userspace_memory_region2 slot = {
		.slot = index,
		.flags = KVM_MEM_GUEST_MEMFD | (enable ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = region->gpa,
		.memory_size = region->nr_pages << PAGE_SHIFT,
		.userspace_addr = (u64)region->shared,
		.guest_memfd = region->memfd,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot))
		die("dirty log: %s", strerror(errno));
}

void dirty_log_start(struct vm *vm, u32 region)
{
	set_logging(vm, region, true);
}

void dirty_log_stop(struct vm *vm, u32 region)
{
	set_logging(vm, region, false);
}

void dirty_log_fetch(struct vm *vm, u32 index, bool *set)
{
	u64 nr_pages = vm->regions[index].nr_pages, page;
	u64 *bitmap = alloc_bitmap(nr_pages);
	struct kvm_dirty_log log = { .slot = index, .dirty_bitmap = bitmap };

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log))
		die("KVM_GET_DIRTY_LOG: %s", strerror(errno));
	for (page = 0; page < nr_pages; page++)
		set[page] |= bitmap[page / BITS_PER_WORD] >> (page % BITS_PER_WORD) & 1;
	free(bitmap);
}

void dirty_log_clear(struct vm *vm, u32 index, const bool *set)
{
	u64 nr_pages = vm->regions[index].nr_pages, page;
	u64 *bitmap = alloc_bitmap(nr_pages);
	struct kvm_clear_dirty_log log = {
		.slot = index,
		.num_pages = nr_pages,
		.dirty_bitmap = bitmap,
	};

	for (page = 0; page < nr_pages; page++) {
		if (set[page])
			bitmap[page / BITS_PER_WORD] |= BIT(page % BITS_PER_WORD);
	}
	if (ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &log))
		die("KVM_CLEAR_DIRTY_LOG: %s", strerror(errno));
	free(bitmap);
}
