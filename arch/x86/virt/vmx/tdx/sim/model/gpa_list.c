// SPDX-License-Identifier: GPL-2.0
/*
 * GPA lists, and the lists of buffers and MACs that go with them: operands and
 * entry formats.
 */
#include "mig.h"

/* The only format: entries without attributes of L2 VMs. */
#define GPA_LIST_FORMAT_PLAIN	0

u64 mig_map_shared_page(u64 hpa, u32 operand, void **page)
{
	u64 err;

	err = sim_check_shared_hpa(hpa, SIM_PAGE_SIZE, operand);
	if (err)
		return err;
	*page = sim_ptr(hpa);
	return SIM_SUCCESS;
}

u64 gpa_list_open(u64 info, struct gpa_list *list)
{
	list->info = info;
	list->first = FIELD_GET(GPA_LIST_FIRST, info);
	list->last = FIELD_GET(GPA_LIST_LAST, info);

	if ((info & GPA_LIST_RESERVED) ||
	    FIELD_GET(GPA_LIST_FORMAT, info) != GPA_LIST_FORMAT_PLAIN ||
	    list->first > list->last)
		return SIM_OPERAND_INVALID | RCX;
	return mig_map_shared_page(info & GPA_LIST_HPA, RCX, (void **)&list->entries);
}

u64 gpa_list_info(u64 info, unsigned int next)
{
	/* After the last of 512 entries the index wraps to 0. */
	return (info & ~GPA_LIST_FIRST) | FIELD_PREP(GPA_LIST_FIRST, next % GPA_LIST_ENTRIES);
}

bool gpa_entry_valid(struct sim_td *td, u64 entry)
{
	return gpa_entry_well_formed(entry) && sept_gpa_private(td, entry & GPAE_GPA);
}

enum gpa_status gpa_entry_walk(struct sim_td *td, u64 entry, struct sept_walk *w)
{
	if (sept_walk(td, entry & GPAE_GPA, 0, w))
		return GPA_WALK_FAILED;
	if (!sept_trylock(w))
		return GPA_ENTRY_BUSY;
	return GPA_SUCCESS;
}

u64 mig_map_mac_lists(struct sim_call *c, const struct gpa_list *list, u8 *mac[2])
{
	u64 err;

	mac[0] = NULL;
	mac[1] = NULL;
	if (list->first < MAC_LIST_ENTRIES) {
		err = mig_map_shared_page(c->regs->r[R11], R11, (void **)&mac[0]);
		if (err)
			return err;
	}
	if (list->last >= MAC_LIST_ENTRIES) {
		err = mig_map_shared_page(c->regs->r[R12], R12, (void **)&mac[1]);
		if (err)
			return err;
	}
	return SIM_SUCCESS;
}

u64 page_list_check(u64 r9, unsigned int min_pages)
{
	if ((r9 & PAGE_LIST_RESERVED) || FIELD_GET(PAGE_LIST_LAST, r9) + 1 < min_pages)
		return SIM_OPERAND_INVALID | R9;
	return SIM_SUCCESS;
}
