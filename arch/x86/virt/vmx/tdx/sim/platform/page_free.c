// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that the host uses too early.
 *
 * The tracepoint in the page allocator sees each page that the kernel gets back.
 * On hardware, one that still belongs to a TD, or whose lines are in the caches
 * under a private KeyID, corrupts whatever is stored in it next, much later and far
 * away.  Here it is a warning at once, with the call chain that gave it away.
 */
#define pr_fmt(fmt) "tdx_sim: " fmt

#include <linux/bug.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>

#include <trace/events/kmem.h>

#include "leaves.h"
#include "platform.h"

static const char *use_name(enum sim_page_use use)
{
	switch (use) {
	case SIM_USE_PRIVATE:
		return "given to the TDX module";
	case SIM_USE_SHARED:
		return "used as shared memory";
	case SIM_USE_FREED:
		return "freed";
	default:
		return "used";
	}
}

static const char *leaf_name(u16 leaf)
{
	switch (leaf) {
	case LEAF_MEM_PAGE_RELOCATE:
		return "TDH.MEM.PAGE.RELOCATE";
	case LEAF_MEM_PAGE_PROMOTE:
		return "TDH.MEM.PAGE.PROMOTE";
	case LEAF_PHYMEM_PAGE_RECLAIM:
		return "TDH.PHYMEM.PAGE.RECLAIM";
	case LEAF_MEM_PAGE_REMOVE:
		return "TDH.MEM.PAGE.REMOVE";
	case LEAF_MEM_SEPT_REMOVE:
		return "TDH.MEM.SEPT.REMOVE";
	case LEAF_IMPORT_MEM:
		return "TDH.IMPORT.MEM";
	default:
		return "a leaf";
	}
}

void tdx_sim_host_dirty_page(u64 hpa, u16 keyid, u16 leaf, enum sim_page_use use)
{
	WARN_RATELIMIT(true, "tdx_sim: page 0x%llx is %s with cache lines dirty under KeyID %u, left there by %s\n",
		       hpa, use_name(use), keyid, leaf_name(leaf));
}

static void check_owner(u64 hpa)
{
	const struct pamt_entry *pe;
	int level;
	u8 type;

	for (level = 0; level < SIM_NR_PAMT_LEVELS; level++) {
		pe = sim_pamt_level(hpa, level);
		type = pe ? READ_ONCE(pe->type) : PT_NDA;
		WARN_RATELIMIT(type != PT_NDA && type != PT_RSVD,
			       "tdx_sim: page 0x%llx is freed while a TD owns it (page type %u, level %d)\n",
			       hpa, type, level);
	}
}

static void page_freed(void *unused, struct page *page, unsigned int order)
{
	u64 hpa = page_to_phys(page);
	u64 end = hpa + (PAGE_SIZE << order);

	for (; hpa < end; hpa += PAGE_SIZE) {
		check_owner(hpa);
		sim_cache_host_use(hpa, SIM_USE_FREED);
	}
}

int __init sim_page_free_init(void)
{
	return register_trace_mm_page_free(page_freed, NULL);
}
