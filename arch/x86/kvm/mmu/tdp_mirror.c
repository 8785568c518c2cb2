// SPDX-License-Identifier: GPL-2.0
/*
 * Private memory in mirror page tables that changes without a vCPU: import of
 * pages whose content firmware provides, and enumeration.
 *
 * A batch of pages is imported by a single operation on the external page tables,
 * in which most failures can't be undone.  Hence all that can go wrong is sorted
 * out before:
 *
 *	1. get the pages from guest_memfd
 *	2. link the page tables
 *	3. with mmu_lock held for read: check that nothing was invalidated since
 *	   step 1, freeze all leaf SPTEs, let vendor code do the import, give each
 *	   SPTE its final value
 *
 * There is no way to sleep in step 3.  Nothing can be zapped meanwhile, and other
 * imports and faults find frozen SPTEs.  mmu_lock isn't dropped while there is a
 * frozen SPTE, as zaps ignore those.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cleanup.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "mmu.h"
#include "mmu_internal.h"
#include "mmutrace.h"
#include "spte.h"
#include "tdp_iter.h"
#include "tdp_mmu.h"

/*
 * Attempts to import a batch, and to link a page table, in case of contention.  After
 * some of them, it is better to wait.
 */
#define IMPORT_MAX_TRIES	128
#define IMPORT_BUSY_TRIES	8

/* SPTEs that are looked at with mmu_lock held, however few of them are present. */
#define MIRROR_MAX_STEPS	(16 * SPTE_ENT_PER_PAGE)

struct kvm_import *kvm_tdp_mmu_alloc_import(unsigned int max)
{
	struct kvm_import *import;

	if (WARN_ON_ONCE(max > KVM_IMPORT_MAX_ENTRIES))
		return NULL;

	import = kvzalloc_flex(*import, entries, max, GFP_KERNEL_ACCOUNT);
	if (!import)
		return NULL;

	import->max = max;
	import->page_header_cache.kmem_cache = mmu_page_header_cache;
	import->page_header_cache.gfp_zero = __GFP_ZERO;
	import->spt_cache.init_value = SHADOW_NONPRESENT_VALUE;

	return import;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_tdp_mmu_alloc_import);

void kvm_tdp_mmu_free_import(struct kvm_import *import)
{
	if (!import)
		return;

	kvm_mmu_free_memory_cache(&import->page_header_cache);
	kvm_mmu_free_memory_cache(&import->spt_cache);
	kvm_mmu_free_memory_cache(&import->external_spt_cache);
	kvfree(import);
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_tdp_mmu_free_import);

/*
 * Fill the caches such that linking the page tables of one GFN can't drain them.
 * A batch takes few page tables as a rule, and the default capacity is 40.
 */
static int import_topup_caches(struct kvm_import *import)
{
	const int nr = PT64_ROOT_MAX_LEVEL;
	int r;

	r = __kvm_mmu_topup_memory_cache(&import->page_header_cache, nr, nr);
	if (r)
		return r;

	r = __kvm_mmu_topup_memory_cache(&import->spt_cache, nr, nr);
	if (r)
		return r;

	return __kvm_mmu_topup_memory_cache(&import->external_spt_cache, nr, nr);
}

static struct kvm_mmu_page *import_find_root(struct kvm *kvm)
{
	guard(read_lock)(&kvm->mmu_lock);
	guard(rcu)();

	return tdp_mmu_mirror_root(kvm);
}

/* Pages that are there already need no new page, and are not to be touched. */
static void import_find_mapped(struct kvm *kvm, struct kvm_import *import,
			       struct tdp_leaf_walk *walk)
{
	struct kvm_import_entry *entry;
	tdp_ptep_t sptep;
	unsigned int i;

	guard(read_lock)(&kvm->mmu_lock);
	guard(rcu)();

	for (i = 0; i < import->nr; i++) {
		entry = &import->entries[i];
		if (entry->op != KVM_IMPORT_NEW)
			continue;

		sptep = tdp_find_leaf_spte(kvm, walk, entry->gfn);
		if (sptep && is_shadow_present_pte(kvm_tdp_mmu_read_spte(sptep)))
			entry->state = KVM_IMPORT_PRESENT;
	}
}

static bool import_needs_page(struct kvm_import *import, unsigned int i)
{
	return import->entries[i].op == KVM_IMPORT_NEW &&
	       import->entries[i].state != KVM_IMPORT_PRESENT;
}

/* Entries from @first on that need pages of one slot, with consecutive GFNs. */
static unsigned int import_run_length(struct kvm_import *import, unsigned int first,
				      const struct kvm_memory_slot *slot)
{
	gfn_t gfn = import->entries[first].gfn;
	unsigned int nr = 1;

	while (first + nr < import->nr && import_needs_page(import, first + nr) &&
	       import->entries[first + nr].gfn == gfn + nr &&
	       gfn + nr < slot->base_gfn + slot->npages)
		nr++;

	return nr;
}

static int import_get_pages(struct kvm *kvm, struct kvm_import *import,
			    const struct kvm_import_ops *ops)
{
	struct kvm_memory_slot *slot;
	unsigned int i, end;
	gfn_t gfn;
	int r;

	for (i = 0; i < import->nr; ) {
		if (!import_needs_page(import, i)) {
			i++;
			continue;
		}

		gfn = import->entries[i].gfn;
		slot = gfn_to_memslot(kvm, gfn);
		if (!slot || slot->flags & KVM_MEMSLOT_INVALID || !kvm_slot_has_gmem(slot))
			return -EINVAL;

		end = i + import_run_length(import, i, slot);

		/*
		 * A page that userspace may map without content, too, is cleared
		 * as usual: nobody must do that later, while the page is being
		 * filled.
		 */
		r = kvm_gmem_get_import_pages(kvm, slot, gfn, end - i, import->on_demand,
					      &import->pages[i]);
		if (r)
			return r;

		for (; i < end; i++) {
			import->entries[i].pfn = page_to_pfn(import->pages[i]);
			ops->prepare_page(kvm, import->pages[i]);
		}

		cond_resched();
	}

	return 0;
}

static void import_put_pages(struct kvm_import *import)
{
	unsigned int i;

	for (i = 0; i < import->nr; i++) {
		if (import->pages[i])
			put_page(import->pages[i]);
		import->pages[i] = NULL;
	}
}

static int import_link_table(struct kvm *kvm, struct kvm_import *import, gfn_t gfn)
{
	unsigned int tries = 0;
	int r;

	do {
		r = import_topup_caches(import);
		if (r)
			return r;

		read_lock(&kvm->mmu_lock);
		r = tdp_mmu_mirror_link(kvm, import, gfn);
		read_unlock(&kvm->mmu_lock);

		cond_resched();
	} while (r == -EBUSY && ++tries < IMPORT_MAX_TRIES);

	return r == -EBUSY ? -EAGAIN : r;
}

static bool import_has_table(struct kvm *kvm, struct tdp_leaf_walk *walk, gfn_t gfn)
{
	guard(read_lock)(&kvm->mmu_lock);
	guard(rcu)();

	return tdp_find_leaf_spte(kvm, walk, gfn);
}

/*
 * Page tables stay where they are, so don't look twice for the same one.  There
 * are none for GFNs without a page, which nobody has checked: page tables of the
 * mirror are only freed along with the VM.
 */
static int import_link(struct kvm *kvm, struct kvm_import *import, struct tdp_leaf_walk *walk)
{
	gfn_t table, linked = ~0ULL;
	unsigned int i;
	int r;

	for (i = 0; i < import->nr; i++) {
		if (!import->pages[i])
			continue;

		table = gfn_round_for_level(import->entries[i].gfn, PG_LEVEL_2M);
		if (table == linked)
			continue;

		if (!import_has_table(kvm, walk, table)) {
			r = import_link_table(kvm, import, table);
			if (r)
				return r;

			/* Find the new one. */
			walk->first = ~0ULL;
		}

		linked = table;
	}

	return 0;
}

/* Does the batch name the GFN of entry @nr a second time? */
static bool import_is_duplicate(struct kvm_import *import, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (import->entries[i].frozen &&
		    import->entries[i].gfn == import->entries[nr].gfn)
			return true;
	}

	return false;
}

static int import_freeze_entry(struct kvm_import *import, unsigned int i, tdp_ptep_t sptep)
{
	struct kvm_import_entry *entry = &import->entries[i];
	u64 spte = kvm_tdp_mmu_read_spte(sptep);

	if (is_frozen_spte(spte) ||
	    !try_cmpxchg64(rcu_dereference(sptep), &spte, FROZEN_SPTE))
		return import_is_duplicate(import, i) ? -EINVAL : -EAGAIN;

	entry->sptep = sptep;
	entry->old_spte = spte;
	entry->frozen = true;

	if (is_shadow_present_pte(spte)) {
		entry->state = KVM_IMPORT_PRESENT;
		entry->pfn = spte_to_pfn(spte);
		return 0;
	}

	entry->state = is_removed_private_spte(spte) ? KVM_IMPORT_REMOVED : KVM_IMPORT_ABSENT;

	/* It was mapped when pages were looked for. */
	return entry->op == KVM_IMPORT_NEW && !import->pages[i] ? -EAGAIN : 0;
}

/*
 * Can the GFN of entry @i be mapped to the page that was found?  If something else
 * was invalidated since then, look again instead of starting all over: the rest of
 * userspace's memory comes and goes at any time.
 */
static bool import_is_stale(struct kvm *kvm, struct kvm_import *import, unsigned int i,
			    unsigned long mmu_seq)
{
	struct page *page = import->pages[i];
	gfn_t gfn = import->entries[i].gfn;
	struct kvm_memory_slot *slot;

	if (!mmu_invalidate_retry_gfn(kvm, mmu_seq, gfn))
		return false;

	/* Is an invalidation of the GFN itself in progress? */
	if (mmu_invalidate_retry_gfn(kvm, kvm->mmu_invalidate_seq, gfn))
		return true;

	/* What is mapped is valid as long as it has not been zapped. */
	if (!page)
		return false;

	slot = gfn_to_memslot(kvm, gfn);

	return !slot || slot->flags & KVM_MEMSLOT_INVALID || !kvm_slot_has_gmem(slot) ||
	       !kvm_mem_is_private(kvm, gfn) || !kvm_gmem_is_backed_by_page(slot, gfn, page);
}

static int import_freeze(struct kvm *kvm, struct kvm_import *import,
			 struct tdp_leaf_walk *walk, unsigned long mmu_seq)
{
	struct kvm_import_entry *entry;
	tdp_ptep_t sptep;
	unsigned int i;
	int r;

	for (i = 0; i < import->nr; i++) {
		entry = &import->entries[i];
		if (entry->op == KVM_IMPORT_NONE)
			continue;

		if (import_is_stale(kvm, import, i, mmu_seq))
			return -EAGAIN;

		sptep = tdp_find_leaf_spte(kvm, walk, entry->gfn);
		if (!sptep) {
			/* There is nothing that could be frozen. */
			if (entry->op == KVM_IMPORT_NEW)
				return -EAGAIN;
			entry->state = KVM_IMPORT_ABSENT;
			continue;
		}

		r = import_freeze_entry(import, i, sptep);
		if (r)
			return r;
	}

	return 0;
}

/* The value that a write fault on private memory would install, less the PFN. */
static u64 import_leaf_spte(const struct kvm_mmu_page *root)
{
	u64 spte;

	spte = SPTE_MMU_PRESENT_MASK | shadow_present_mask | PT_PRESENT_MASK |
	       shadow_accessed_mask | shadow_dirty_mask | shadow_host_writable_mask |
	       PT_WRITABLE_MASK | shadow_mmu_writable_mask | shadow_xs_mask;
	if (root->role.access & ACC_USER_EXEC_MASK)
		spte |= shadow_xu_mask;

	return spte;
}

/* Make the mirror show what has become of the entries. */
static void import_commit(struct kvm *kvm, struct kvm_import *import,
			  const struct kvm_mmu_page *root)
{
	u64 new_spte, leaf_spte = import_leaf_spte(root);
	struct kvm_import_entry *entry;
	unsigned int i;
	int nr = 0;

	for (i = 0; i < import->nr; i++) {
		entry = &import->entries[i];
		if (!entry->frozen)
			continue;

		new_spte = entry->old_spte;
		if (entry->result == KVM_IMPORT_DONE) {
			folio_mark_uptodate(page_folio(import->pages[i]));
			tdp_mmu_mirror_mark_dirty(kvm, entry->gfn);
			new_spte = leaf_spte | PFN_PHYS(entry->pfn);
			nr++;
		} else if (entry->result == KVM_IMPORT_UNMAPPED) {
			new_spte = SHADOW_NONPRESENT_VALUE;
			nr--;
		}

		__kvm_tdp_mmu_write_spte(entry->sptep, new_spte);

		if (entry->result != KVM_IMPORT_UNCHANGED)
			trace_kvm_tdp_mmu_spte_changed(0, entry->gfn, PG_LEVEL_4K,
						       entry->old_spte, new_spte);
	}

	if (nr)
		kvm_update_page_stats(kvm, PG_LEVEL_4K, nr);
}

/*
 * Step 3.  Returns -EAGAIN if the batch is out of date, and else 0 with the return
 * value of the import, or of what keeps it from taking place, in @result.
 */
static int import_locked(struct kvm *kvm, struct kvm_import *import,
			 struct tdp_leaf_walk *walk, unsigned long mmu_seq,
			 const struct kvm_import_ops *ops, void *opaque, int *result)
{
	int r;

	guard(read_lock)(&kvm->mmu_lock);
	guard(rcu)();

	r = import_freeze(kvm, import, walk, mmu_seq);
	if (!r)
		*result = ops->import(kvm, import, opaque);

	import_commit(kvm, import, walk->root);

	return r;
}

static int import_once(struct kvm *kvm, struct kvm_import *import,
		       const struct kvm_import_ops *ops, void *opaque, int *result)
{
	struct tdp_leaf_walk walk = TDP_LEAF_WALK(NULL);
	struct kvm_import_entry *entry;
	unsigned long mmu_seq;
	unsigned int i;
	int r;

	guard(srcu)(&kvm->srcu);

	for (i = 0; i < import->nr; i++) {
		entry = &import->entries[i];
		entry->state = KVM_IMPORT_ABSENT;
		entry->result = KVM_IMPORT_UNCHANGED;
		entry->frozen = false;
	}

	mmu_seq = kvm->mmu_invalidate_seq;
	/* Pairs with the barrier in kvm_mmu_invalidate_end(). */
	smp_rmb();

	walk.root = import_find_root(kvm);
	if (!walk.root)
		return -EIO;

	if (import->on_demand)
		import_find_mapped(kvm, import, &walk);

	r = import_get_pages(kvm, import, ops);
	if (!r)
		r = import_link(kvm, import, &walk);
	if (!r)
		r = import_locked(kvm, import, &walk, mmu_seq, ops, opaque, result);

	import_put_pages(import);

	return r;
}

/**
 * kvm_tdp_mmu_import() - Import a batch of private pages
 *
 * @kvm: KVM instance, whose mirror root has been loaded
 * @import: the batch, of which @nr and, by entry, @gfn and @op are set
 * @ops: callbacks of vendor code
 * @opaque: for the callbacks
 *
 * Get pages for the entries with KVM_IMPORT_NEW, unless they are mapped, and let
 * vendor code import them.  What gets in the way of that, such as the invalidation of
 * other memory, is waited for within limits.
 *
 * Returns what @ops->import() has returned.  If that was not called: -EINVAL if a GFN
 * is named twice, is not private, or isn't backed by guest_memfd; -EAGAIN on contention
 * that did not go away; -EINTR if the task is being killed; -EIO, -ENOMEM, or what
 * guest_memfd returns.
 */
int kvm_tdp_mmu_import(struct kvm *kvm, struct kvm_import *import,
		       const struct kvm_import_ops *ops, void *opaque)
{
	unsigned int tries = 0;
	int r, result = 0;

	if (WARN_ON_ONCE(import->nr > import->max))
		return -EINVAL;

	for (;;) {
		r = import_once(kvm, import, ops, opaque, &result);
		if (!r)
			return result;

		if (r != -EAGAIN || ++tries >= IMPORT_MAX_TRIES)
			return r;

		if (fatal_signal_pending(current))
			return -EINTR;

		/* An invalidation can take as long as it likes. */
		if (tries > IMPORT_BUSY_TRIES)
			schedule_timeout_killable(1);
		else
			cond_resched();
	}
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_tdp_mmu_import);

/*
 * Collect the GFNs of up to @max leafs of the mirror, from GFN @next on.  Returns their
 * number, and in @next where to go on, or KVM_MIRROR_END.  To hold mmu_lock for a bounded
 * time, the function may stop before it has found @max of them, or any.
 */
int kvm_tdp_mmu_mirror_leafs(struct kvm *kvm, gfn_t *next, gfn_t *gfns, int max)
{
	int nr = 0, steps = MIRROR_MAX_STEPS;
	struct kvm_mmu_page *root;
	struct tdp_iter iter;

	lockdep_assert_held(&kvm->mmu_lock);

	guard(rcu)();

	root = tdp_mmu_mirror_root(kvm);
	if (root) {
		for_each_tdp_pte(iter, kvm, root, *next, kvm_mmu_max_gfn() + 1) {
			if (nr == max || !steps--) {
				*next = iter.next_last_level_gfn;
				return nr;
			}

			if (is_shadow_present_pte(iter.old_spte) &&
			    is_last_spte(iter.old_spte, iter.level))
				gfns[nr++] = iter.gfn;
		}
	}

	*next = KVM_MIRROR_END;

	return nr;
}
EXPORT_SYMBOL_FOR_KVM_INTERNAL(kvm_tdp_mmu_mirror_leafs);
