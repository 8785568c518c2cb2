/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The private pages of a TD that have still to be sent.
 */
#ifndef DEMO_PAGE_SET_H
#define DEMO_PAGE_SET_H

#include "vm.h"

struct page_set {
	struct vm *vm;
	/* For each region, one per page. */
	bool *members[VM_MAX_REGIONS];
	/* Where page_set_next() goes on. */
	u32 next_region;
	u64 next_page;
};

/* An empty set. */
void page_set_create(struct page_set *set, struct vm *vm);
void page_set_destroy(struct page_set *set);

u64 page_set_count(const struct page_set *set);

/* All pages, shared ones too. */
void page_set_fill(struct page_set *set);
/* Shared pages take another way. */
void page_set_drop_shared(struct page_set *set);
/* The flag of a page, NULL if no region has it. */
bool *page_set_find(struct page_set *set, u64 gpa);

/* Add the private pages that have been written. */
void page_set_fetch_dirty(struct page_set *set);
/* Have the next write to each page logged, see dirty_log_clear(). */
void page_set_clear_dirty(const struct page_set *set);

/* Start over: each page that is in the set when it is its turn comes once. */
void page_set_rewind(struct page_set *set);
bool page_set_next(struct page_set *set, u64 *gpa);

#endif /* DEMO_PAGE_SET_H */
