// SPDX-License-Identifier: GPL-2.0
/*
 * A flag for each page of each memory region.
 */
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "event.h"
#include "page_set.h"

void page_set_create(struct page_set *set, struct vm *vm)
{
	u32 i;

	*set = (struct page_set){ .vm = vm };
	for (i = 0; i < vm->nr_regions; i++) {
		set->members[i] = calloc(vm->regions[i].nr_pages, sizeof(*set->members[i]));
		if (!set->members[i])
			die("out of memory");
	}
}

void page_set_destroy(struct page_set *set)
{
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++)
		free(set->members[i]);
}

u64 page_set_count(const struct page_set *set)
{
	u64 nr = 0, page;
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++) {
		for (page = 0; page < set->vm->regions[i].nr_pages; page++)
			nr += set->members[i][page];
	}
	return nr;
}

void page_set_fill(struct page_set *set)
{
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++)
		memset(set->members[i], true, set->vm->regions[i].nr_pages);
}

void page_set_drop_shared(struct page_set *set)
{
	u64 page;
	u32 i;

	pthread_mutex_lock(&set->vm->lock);
	for (i = 0; i < set->vm->nr_regions; i++) {
		const struct mem_region *region = &set->vm->regions[i];

		for (page = 0; page < region->nr_pages; page++)
			set->members[i][page] &= !region->is_shared[page];
	}
	pthread_mutex_unlock(&set->vm->lock);
}

bool *page_set_find(struct page_set *set, u64 gpa)
{
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++) {
		const struct mem_region *region = &set->vm->regions[i];
		u64 page = (gpa - region->gpa) >> PAGE_SHIFT;

		if (gpa >= region->gpa && page < region->nr_pages)
			return &set->members[i][page];
	}
	return NULL;
}

void page_set_fetch_dirty(struct page_set *set)
{
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++)
		dirty_log_fetch(set->vm, i, set->members[i]);
	page_set_drop_shared(set);
}

void page_set_clear_dirty(const struct page_set *set)
{
	u32 i;

	for (i = 0; i < set->vm->nr_regions; i++)
		dirty_log_clear(set->vm, i, set->members[i]);
}

void page_set_rewind(struct page_set *set)
{
	set->next_region = 0;
	set->next_page = 0;
}

bool page_set_next(struct page_set *set, u64 *gpa)
{
	while (set->next_region < set->vm->nr_regions) {
		const struct mem_region *region = &set->vm->regions[set->next_region];
		u64 page = set->next_page++;

		if (page == region->nr_pages) {
			set->next_region++;
			set->next_page = 0;
		} else if (set->members[set->next_region][page]) {
			*gpa = region->gpa + (page << PAGE_SHIFT);
			return true;
		}
	}
	return false;
}
