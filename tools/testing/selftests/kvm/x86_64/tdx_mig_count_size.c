// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the migration of a TD takes in the kernel by the size of the TD: instructions, see
 * tdx_count.h, memory, and how long mmu_lock is held for write.  Most of that must not
 * depend on the size.
 */
#include <linux/bitops.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_dirty_ring.h"
#include "tdx_mig_blackout.h"
#include "tdx_mig_util.h"

#define MEM_SLOT	TD_SLOT_UNACCEPTED

/*
 * TDs that differ in nothing but their size: the largest has fewer pages, too, or the
 * machine could not have it.  The others have one of 16, as no more SPTEs than 16 for each
 * page of a batch are looked at with mmu_lock held.
 */
static const struct size {
	u64 mib;
	u64 stride;
} sizes[] = {
	{ 64, 16 },
	{ 1024, 16 },
	{ 64 * 1024, 8192 },
};

#define SPARSE_GPA	BIT_ULL(40)
#define NR_RING_ENTRIES	4096
#define NR_SAMPLES	5

/* A TD whose slot has no shared memory. */
struct sparse {
	const struct size *size;
	u64 nr_pages;
	unsigned long *bitmap;
	struct kvm_userspace_memory_region2 region;
	struct td_count_mig t;
};

static u64 size_of(const struct size *z)
{
	return z->mib * SZ_1M;
}

static u64 gfns_of(const struct size *z)
{
	return size_of(z) / PAGE_SIZE;
}

static void guest_sync(void)
{
	for (;;)
		GUEST_SYNC(0);
}

/* Add the slot, of which just the pages that are there become private, if they are few. */
static struct kvm_userspace_memory_region2 add_slot(struct kvm_vm *vm, const struct size *z)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = MEM_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = SPARSE_GPA,
		.memory_size = size_of(z),
		.guest_memfd = vm_create_guest_memfd(vm, size_of(z), 0),
	};
	gpa_t gpa;

	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
	if (size_of(z) <= SZ_1G) {
		vm_mem_set_private(vm, SPARSE_GPA, size_of(z));
		return region;
	}
	for (gpa = 0; gpa < size_of(z); gpa += z->stride * PAGE_SIZE)
		vm_mem_set_private(vm, SPARSE_GPA + gpa, PAGE_SIZE);
	return region;
}

static void create_sparse(struct sparse *s, const struct size *z)
{
	struct td_count_mig *t = &s->t;
	u64 i;

	*s = (struct sparse) {
		.size = z,
		.nr_pages = gfns_of(z) / z->stride,
		.bitmap = malloc(gfns_of(z) / 8),
		.t = { .nr_vcpus = 1, .nr_streams = 1 },
	};
	TEST_ASSERT(s->bitmap, "Insufficient Memory");
	memset(s->bitmap, 0, gfns_of(z) / 8);

	t->vm = td_create_with_ring(NR_RING_ENTRIES, guest_sync, &t->vcpus[0]);
	s->region = add_slot(t->vm, z);
	td_launch(t->vm);
	td_vcpu_run_to_sync(t->vcpus[0], 0);
	for (i = 0; i < s->nr_pages; i++)
		td_pre_fault(t->vcpus[0], SPARSE_GPA + i * z->stride * PAGE_SIZE, PAGE_SIZE);
}

static void free_sparse(struct sparse *s)
{
	kvm_free_fd(s->region.guest_memfd);
	kvm_vm_free(s->t.vm);
	free(s->bitmap);
}

static void print_by_size(const char *what, const struct sparse *s, double figure, u64 goal)
{
	td_count_print_figure(what, s->size->mib, figure, goal);
}

static void print_hold(const char *what, const struct sparse *s, struct td_count count)
{
	td_count_print_hold(what, s->size->mib, &count);
}

static struct td_count get_log(struct sparse *s)
{
	struct td_span span;

	td_span_begin(&span);
	kvm_vm_get_dirty_log(s->t.vm, MEM_SLOT, s->bitmap);
	return td_span_end(&span);
}

static struct td_count clear_whole_log(struct sparse *s)
{
	struct td_span span;

	td_span_begin(&span);
	kvm_vm_clear_dirty_log(s->t.vm, MEM_SLOT, s->bitmap, 0, gfns_of(s->size));
	return td_span_end(&span);
}

static struct td_count reset_rings(struct sparse *s)
{
	struct td_span span;
	u32 cleared;

	td_span_begin(&span);
	cleared = kvm_vm_reset_dirty_ring(s->t.vm);
	TEST_ASSERT_EQ(cleared, 0);
	return td_span_end(&span);
}

/* The first round, to the destination if there is one. */
static void send_all(struct sparse *s, bool import)
{
	struct td_mig_stream *src = &s->t.m.streams[0], *dst = &s->t.d.streams[0];
	u64 first, batch, nr, stride = s->size->stride;

	for (first = 0; first < s->nr_pages; first += batch) {
		batch = min(s->nr_pages - first, TD_COUNT_BATCH);
		td_count_fill_gpa_list(src, SPARSE_GPA + first * stride * PAGE_SIZE, batch, stride);
		nr = batch;
		print_hold("mmu_lock held for write, EXPORT_MEM", s,
			   td_count_cmd(src, KVM_TDX_MIG_EXPORT_MEM, 0, &nr));
		if (!import)
			continue;
		td_count_move_bundle(src, dst, batch, nr);
		print_hold("mmu_lock held for write, IMPORT_MEM", s,
			   td_count_cmd(dst, KVM_TDX_MIG_IMPORT_MEM, 0, &batch));
	}
}

/* What the TD takes in memory: its log, and what was sent in a session. */
static void count_memory_and_abort(struct sparse *s)
{
	const double gib = (double)s->size->mib / 1024;
	struct td_count_mig *t = &s->t;
	double used = td_used_kib();

	s->region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(t->vm, KVM_SET_USER_MEMORY_REGION2, &s->region);
	/* A small TD is no measure, as KVM takes whole pages. */
	if (gib >= 1)
		print_by_size("memory per GiB of the TD, dirty log, KiB", s,
			      (td_used_kib() - used) / gib, 70);

	td_mig_init(&t->m, t->vm, t->vcpus, 1, 1);
	td_mig_export_immutable(&t->m);
	get_log(s);
	print_hold("mmu_lock held for write, CLEAR_DIRTY_LOG", s, clear_whole_log(s));
	used = td_used_kib();
	send_all(s, false);
	if (gib >= 1)
		print_by_size("memory per GiB of the TD, pages that were sent, KiB", s,
			      (td_used_kib() - used) / gib, 70);

	print_hold("mmu_lock held for write, EXPORT_ABORT", s,
		   td_count_cmd(&t->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, 0, NULL));
	td_mig_free(&t->m);
}

/* The least of some samples. */
static u64 least(struct sparse *s, struct td_count (*fn)(struct sparse *s))
{
	u64 nr = -1UL;
	int i;

	for (i = 0; i < NR_SAMPLES; i++)
		nr = min(nr, fn(s).nr);
	return nr;
}

static struct td_count next_epoch(struct sparse *s)
{
	struct td_blackout b[TD_NR_SIDES] = {};

	td_blackout_token(&s->t, 0, b);
	return b[TD_SOURCE].cmds[0].count;
}

/*
 * The log in a bitmap has to be read as a whole, those in rings need not.  No page is
 * dirty.
 */
static u64 count_empty_round(struct sparse *s)
{
	u64 token, rings, bitmap;
	u64 i, nr = gfns_of(s->size) / BITS_PER_LONG;

	get_log(s);
	for (i = 0; i < nr; i++)
		TEST_ASSERT(!s->bitmap[i], "A page is dirty");

	token = least(s, next_epoch);
	rings = least(s, reset_rings);
	bitmap = least(s, get_log);
	print_by_size("round without dirty pages, dirty rings", s, token + rings, 0);
	print_by_size("round without dirty pages, bitmap", s, token + bitmap, 0);
	return token + rings;
}

struct by_size {
	u64 empty_round;
	u64 blackout[TD_NR_SIDES];
};

static void print_blackout_holds(struct sparse *s, const struct td_blackout b[TD_NR_SIDES])
{
	char what[80];
	int i, side;

	for (side = 0; side < TD_NR_SIDES; side++) {
		snprintf(what, sizeof(what), "mmu_lock held for write, blackout, %s",
			 td_side_names[side]);
		for (i = 0; i < b[side].nr; i++)
			print_hold(what, s, b[side].cmds[i].count);
	}
}

/* Migrate the TD with all its pages, none of which is dirty in the end, or have it back. */
static void migrate(struct sparse *s, bool return_it, u64 *empty_round,
		    struct td_blackout b[TD_NR_SIDES])
{
	struct kvm_userspace_memory_region2 region;
	struct td_count_mig *t = &s->t;

	td_mig_init(&t->m, t->vm, t->vcpus, 1, 1);
	td_mig_dest_create(&t->d, &t->m);
	region = add_slot(t->d.vm, s->size);
	td_mig_export_immutable(&t->m);
	td_mig_import(&t->d, &t->m, 0, 0);
	get_log(s);
	clear_whole_log(s);
	send_all(s, true);
	if (!return_it)
		*empty_round = count_empty_round(s);

	td_blackout(t, SPARSE_GPA, 0, b);
	if (return_it)
		td_mig_return(&t->m, &t->d);
	else
		td_blackout_commit(t, b);
	print_blackout_holds(s, b);

	td_mig_free(&t->m);
	kvm_free_fd(region.guest_memfd);
	td_mig_dest_free(&t->d);
}

static struct by_size count_size(const struct size *z)
{
	struct td_blackout others[TD_COUNT_RETURNS][TD_NR_SIDES] = {};
	struct td_blackout b[TD_NR_SIDES] = {};
	struct by_size nr;
	struct sparse s;
	char what[80];
	int i, side;

	create_sparse(&s, z);
	count_memory_and_abort(&s);
	for (i = 0; i < TD_COUNT_RETURNS; i++) {
		migrate(&s, true, NULL, others[i]);
		td_blackout_shift(i);
	}
	migrate(&s, false, &nr.empty_round, b);
	free_sparse(&s);

	for (side = 0; side < TD_NR_SIDES; side++) {
		for (i = 0; i < TD_COUNT_RETURNS; i++)
			td_blackout_take_least(&b[side], &others[i][side]);
		nr.blackout[side] = td_blackout_length(&b[side], 1);
		snprintf(what, sizeof(what), "blackout without dirty pages, %s",
			 td_side_names[side]);
		print_by_size(what, &s, nr.blackout[side], 0);
	}
	return nr;
}

static void check_growth(const char *what, u64 small, u64 large, int percent)
{
	TEST_ASSERT(large * 100 <= small * (100 + percent),
		    "%s grows with the TD, from %lu to %lu", what, small, large);
}

static void count_sizes(void)
{
	struct by_size nr[ARRAY_SIZE(sizes)];
	int i, side;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		nr[i] = count_size(&sizes[i]);
		check_growth("A round without dirty pages", nr[0].empty_round,
			     nr[i].empty_round, 3);
		/* The destination allocates pages for vCPUs. */
		for (side = 0; side < TD_NR_SIDES; side++)
			check_growth("A blackout", nr[0].blackout[side], nr[i].blackout[side],
				     side == TD_SOURCE ? 3 : 10);
	}
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());

	td_count_init();
	td_sim_set_null_cipher(true);
	count_sizes();
	td_sim_set_null_cipher(false);

	td_count_end(argc > 1 && !strcmp(argv[1], "-s"));
	return 0;
}
