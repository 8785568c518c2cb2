// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty rings of a TD: writes of a vCPU to private memory go to the ring of the
 * vCPU, everything else goes to the bitmap, and both together miss no page.
 */
#include <linux/bitmap.h>
#include <signal.h>
#include <sys/time.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_dirty_ring.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

/* More pages than the TDX module blocks in one go, and no multiple of 64. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		1150UL
#define BITMAP_WORDS		DIV_ROUND_UP(MEM_PAGES, 64)

#define RING_ENTRIES_MIN	256U
#define RING_ENTRIES		4096U

#define NR_ROUNDS		4
/* Pages are written such that few of them share a word of a bitmap. */
#define STRIDE			67UL

/* -------------------------------------------------------------------- guest */

static u64 value_of(u64 page, u64 round)
{
	return page << 32 | (round + 1);
}

static u64 *guest_page(u64 page)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE);
}

/* Write all pages in each round, and find what the round before has left. */
static void guest_code(void)
{
	u64 i, page, round;

	td_accept_pages(MEM_GPA, MEM_PAGES);

	for (round = 0; round <= NR_ROUNDS; round++) {
		for (i = 0; i < MEM_PAGES; i++) {
			page = i * STRIDE % MEM_PAGES;
			__GUEST_ASSERT(!round ||
				       READ_ONCE(*guest_page(page)) == value_of(page, round - 1),
				       "Page %lu, round %lu: %lx", page, round,
				       *guest_page(page));
			WRITE_ONCE(*guest_page(page), value_of(page, round));
		}
		GUEST_SYNC(round);
	}

	for (page = 0; page < MEM_PAGES; page++)
		__GUEST_ASSERT(READ_ONCE(*guest_page(page)) == value_of(page, NR_ROUNDS),
			       "Page %lu: %lx", page, *guest_page(page));
	GUEST_DONE();
}

/* Writes to the first pages only, whatever has become of the others. */
#define NR_FEW			16UL

static void guest_code_few(void)
{
	u64 page, round;

	td_accept_pages(MEM_GPA, NR_FEW);
	for (round = 0;; round++) {
		for (page = 0; page < NR_FEW / 2; page++)
			WRITE_ONCE(*guest_page(page), value_of(page, round));
		if (!round)
			for (; page < NR_FEW; page++)
				WRITE_ONCE(*guest_page(page), value_of(page, round));
		GUEST_SYNC(round);
	}
}

/* --------------------------------------------------------------------- host */

static struct kvm_vm *create_td(u32 nr_entries, void *code, struct td_ring *r)
{
	struct kvm_vm *vm;

	*r = (struct td_ring) { .slot = MEM_SLOT, .nr_pages = MEM_PAGES };
	vm = td_create_with_ring(nr_entries, code, &r->vcpu);
	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_launch(vm);
	return vm;
}

static int set_log(struct kvm_vm *vm, bool enable)
{
	struct kvm_userspace_memory_region2 region = memslot2region(vm, MEM_SLOT)->region;

	region.flags = KVM_MEM_GUEST_MEMFD | (enable ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	return __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static void enable_log(struct kvm_vm *vm)
{
	int ret = set_log(vm, true);

	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_SET_USER_MEMORY_REGION2, ret));
}

static void harvest_and_reset(struct td_ring *r, unsigned long *bitmap)
{
	u32 nr = td_ring_harvest(r, bitmap);

	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(r->vcpu->vm), nr);
}

static unsigned int count_dirty(const unsigned long *bitmap)
{
	unsigned int nr = 0;
	u64 page;

	for (page = 0; page < MEM_PAGES; page++)
		nr += test_bit(page, bitmap);
	return nr;
}

static unsigned int get_log(struct kvm_vm *vm, unsigned long *bitmap)
{
	kvm_vm_get_dirty_log(vm, MEM_SLOT, bitmap);
	return count_dirty(bitmap);
}

static void clear_log(struct kvm_vm *vm, unsigned long *bitmap)
{
	kvm_vm_clear_dirty_log(vm, MEM_SLOT, bitmap, 0, MEM_PAGES);
}

/* Both the rings and the bitmap; blocks the pages if a session is live. */
static void collect(struct td_ring *r, unsigned long *bitmap)
{
	unsigned long log[BITMAP_WORDS];
	u64 page;

	harvest_and_reset(r, bitmap);
	if (!get_log(r->vcpu->vm, log))
		return;

	clear_log(r->vcpu->vm, log);
	for (page = 0; page < MEM_PAGES; page++) {
		if (test_bit(page, log))
			__set_bit(page, bitmap);
	}
}

/* Returns the number of pages that the TDX module was willing to export. */
static u32 export_dirty(struct td_mig *m, const unsigned long *bitmap)
{
	struct td_mig_batch b = { .m = m };
	u64 page;

	for (page = 0; page < MEM_PAGES; page++) {
		if (test_bit(page, bitmap))
			td_mig_batch_add(&b, MEM_GPA + page * PAGE_SIZE);
	}
	td_mig_batch_flush(&b);
	return b.nr_exported;
}

/* A live session, in which all pages of the slot are blocked. */
static void begin(struct td_ring *r, struct td_mig *m)
{
	unsigned long bitmap[BITMAP_WORDS] = {};

	td_mig_init(m, r->vcpu->vm, &r->vcpu, 1, 1);
	enable_log(r->vcpu->vm);
	td_mig_export_immutable(m);
	collect(r, bitmap);
	TEST_ASSERT_EQ(count_dirty(bitmap), MEM_PAGES);
}

/* The same, with no pages but those that the guest has just added. */
static void begin_with_few(struct td_ring *r, struct td_mig *m)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vm *vm = r->vcpu->vm;

	enable_log(vm);
	get_log(vm, bitmap);
	clear_log(vm, bitmap);
	td_vcpu_run_to_sync(r->vcpu, 0);
	td_mig_init(m, vm, &r->vcpu, 1, 1);
	td_mig_export_immutable(m);
}

/* The rest, and the TD at the destination goes on with @round. */
static void finish(struct td_ring *r, struct td_mig *m, unsigned long *bitmap, u64 round)
{
	unsigned long log[BITMAP_WORDS];
	struct td_mig_dest d;

	td_mig_export_pause(m);
	collect(r, bitmap);
	TEST_ASSERT_EQ(get_log(m->src, log), 0);
	TEST_ASSERT_EQ(export_dirty(m, bitmap), count_dirty(bitmap));
	td_mig_export_other_slots(m, MEM_SLOT);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);

	td_mig_dest_create(&d, m);
	td_mig_import(&d, m, 0, m->nr_bundles - 1);
	td_mig_import_end(&d);
	for (; round <= NR_ROUNDS; round++)
		td_vcpu_run_to_sync(d.vcpus[0], round);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
}

/* ------------------------------------------------------------- ring and bitmap */

TD_TEST(all_pages_are_in_the_bitmap_at_first_and_writes_in_the_ring)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	u64 blocks, unblocks, tracks;
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;

	/* Nothing is logged that comes before the log. */
	td_vcpu_run_to_sync(vcpu, 0);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), 0);
	begin(&r, &m);

	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW);
	td_vcpu_run_to_sync(vcpu, 1);
	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW) - unblocks;
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);

	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), MEM_PAGES);
	TEST_ASSERT_EQ(count_dirty(bitmap), MEM_PAGES);

	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW);
	tracks = td_sim_count_leaf(TDH_MEM_TRACK);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), MEM_PAGES);
	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW) - blocks;
	tracks = td_sim_count_leaf(TDH_MEM_TRACK) - tracks;
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);

	if (td_sim_is_present()) {
		TEST_ASSERT_EQ(unblocks, MEM_PAGES);
		/* The TDX module may be interrupted, but not for each page. */
		TEST_ASSERT(blocks && blocks < MEM_PAGES / 8, "%lu calls to block", blocks);
		TEST_ASSERT_EQ(tracks, 1);
	}

	/* All of them are blocked again. */
	td_vcpu_run_to_sync(vcpu, 2);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), MEM_PAGES);

	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(pages_that_cannot_be_blocked_go_from_the_ring_to_the_bitmap)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct td_ring r;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;

	/* Pages that do not exist are clean, and in the ring when they are added. */
	enable_log(vm);
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);
	td_vcpu_run_to_sync(vcpu, 0);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);
	harvest_and_reset(&r, bitmap);
	TEST_ASSERT_EQ(count_dirty(bitmap), MEM_PAGES);

	/* There is no session. */
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), 0);
	kvm_vm_free(vm);
}

TD_TEST(page_whose_export_is_canceled_is_in_the_bitmap)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	u64 gpa, hw_error;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);
	bitmap_fill(bitmap, MEM_PAGES);
	TEST_ASSERT_EQ(export_dirty(&m, bitmap), MEM_PAGES);
	td_mig_export_track(&m);

	gpa = td_gpa_entry(MEM_GPA, TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT(!__td_mig_export_mem(&m.streams[0], &gpa, 1, td_mig_next_bundle(&m), &hw_error),
		    "Cannot cancel, errno %d, hw_error 0x%lx", errno, hw_error);
	td_mig_export_track(&m);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 1);
	TEST_ASSERT(test_bit(0, bitmap), "The canceled page is not dirty");
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), MEM_PAGES - 1);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), MEM_PAGES - 1);

	finish(&r, &m, bitmap, 2);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(aborted_session_leaves_all_pages_in_the_bitmap_and_another_one_succeeds)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	td_vcpu_run_to_sync(vcpu, 2);

	begin(&r, &m);
	td_vcpu_run_to_sync(vcpu, 3);
	collect(&r, bitmap);
	bitmap_fill(bitmap, MEM_PAGES);
	finish(&r, &m, bitmap, 4);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------------ full rings */

TD_TEST(vcpu_whose_ring_is_full_waits_for_userspace)
{
	unsigned long bitmap[BITMAP_WORDS] = {}, log[BITMAP_WORDS];
	u32 nr, nr_exits = 0;
	struct td_ring r;
	struct td_mig m;
	struct ucall uc;
	struct kvm_vm *vm = create_td(RING_ENTRIES_MIN, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);

	for (vcpu_run(vcpu); vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL; vcpu_run(vcpu)) {
		/* Nothing changes by itself, nor when the ring is only looked at. */
		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_DIRTY_RING_FULL);
		nr = td_ring_harvest(&r, bitmap);
		TEST_ASSERT(nr && nr < RING_ENTRIES_MIN, "%u entries", nr);
		vcpu_run(vcpu);
		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_DIRTY_RING_FULL);
		TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), nr);
		nr_exits++;
	}
	TEST_ASSERT_EQ(get_ucall(vcpu, &uc), UCALL_SYNC);
	TEST_ASSERT(nr_exits >= MEM_PAGES / RING_ENTRIES_MIN, "%u exits", nr_exits);
	harvest_and_reset(&r, bitmap);
	TEST_ASSERT_EQ(get_log(vm, log), 0);
	TEST_ASSERT_EQ(count_dirty(bitmap), MEM_PAGES);

	finish(&r, &m, bitmap, 2);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(pages_that_are_mapped_in_advance_go_to_the_bitmap_when_the_ring_is_full)
{
	unsigned long bitmap[BITMAP_WORDS], ring[BITMAP_WORDS] = {};
	struct td_ring r;
	struct kvm_vm *vm = create_td(RING_ENTRIES_MIN, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	u64 page;
	u32 nr;

	enable_log(vm);
	get_log(vm, bitmap);
	clear_log(vm, bitmap);

	td_pre_fault(vcpu, MEM_GPA, MEM_PAGES * PAGE_SIZE);

	get_log(vm, bitmap);
	nr = td_ring_harvest(&r, ring);
	TEST_ASSERT_EQ(nr, RING_ENTRIES_MIN);
	for (page = 0; page < MEM_PAGES; page++)
		TEST_ASSERT(test_bit(page, bitmap) || test_bit(page, ring),
			    "Page %lu is not dirty", page);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), nr);
	td_vcpu_run_to_sync(vcpu, 0);
	kvm_vm_free(vm);
}

static void ignore_signal(int sig)
{
}

static void set_timer(int usec)
{
	const struct itimerval timer = {
		.it_interval.tv_usec = usec,
		.it_value.tv_usec = usec,
	};

	TEST_ASSERT(!setitimer(ITIMER_REAL, &timer, NULL), "errno %d", errno);
}

/* However often that is interrupted, each time with a part of the entries done. */
TD_TEST(interrupted_reset_blocks_all_pages_that_it_counts)
{
	const struct sigaction sa = { .sa_handler = ignore_signal };
	unsigned long bitmap[BITMAP_WORDS] = {};
	u32 nr, nr_reset, nr_calls;
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	struct sigaction old;
	u64 round;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);

	for (round = 1; round <= NR_ROUNDS; round++) {
		td_vcpu_run_to_sync(vcpu, round);
		memset(bitmap, 0, sizeof(bitmap));
		nr = td_ring_harvest(&r, bitmap);
		TEST_ASSERT(count_dirty(bitmap) == MEM_PAGES, "Round %lu: %u pages are dirty",
			    round, count_dirty(bitmap));

		sigaction(SIGALRM, &sa, &old);
		set_timer(500);
		nr_reset = 0;
		for (nr_calls = 0; nr_reset < nr; nr_calls++) {
			/* A slow machine may have no time between two signals. */
			if (nr_calls == 1000)
				set_timer(0);
			nr_reset += kvm_vm_reset_dirty_ring(vm);
		}
		set_timer(0);
		sigaction(SIGALRM, &old, NULL);
		TEST_ASSERT_EQ(nr_reset, nr);
	}

	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ------------------------------------------------ memory changes under the ring */

TD_TEST(pages_are_converted_while_they_are_in_the_ring)
{
	const gpa_t gpa = MEM_GPA + NR_FEW / 2 * PAGE_SIZE;
	const u64 size = NR_FEW / 2 * PAGE_SIZE;
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code_few, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	u64 unblocks;

	begin_with_few(&r, &m);
	/* One half is not private any more when it is reset. */
	memset(bitmap, 0, sizeof(bitmap));
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), NR_FEW);
	vm_mem_set_shared(vm, gpa, size);
	vm_guest_mem_punch_hole(vm, gpa, size);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), NR_FEW);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);

	/* The other one is blocked. */
	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW);
	td_vcpu_run_to_sync(vcpu, 1);
	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW) - unblocks;
	if (td_sim_is_present())
		TEST_ASSERT_EQ(unblocks, NR_FEW / 2);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), NR_FEW / 2);

	/* And comes back as it is in the ring. */
	vm_mem_set_private(vm, gpa, size);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), NR_FEW / 2);
	td_vcpu_run_to_sync(vcpu, 2);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), NR_FEW / 2);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(entries_of_no_page_are_reset_without_effect)
{
	static const struct kvm_dirty_gfn forged[] = {
		{ .slot = MEM_SLOT, .offset = MEM_PAGES },
		{ .slot = MEM_SLOT, .offset = ~0ULL },
		{ .slot = MEM_SLOT + 1, .offset = 0 },
		{ .slot = 0xffff, .offset = 0 },
		{ .slot = 1 << 16 | MEM_SLOT, .offset = 0 },
		/* Not logged. */
		{ .slot = 0, .offset = 0 },
	};
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct kvm_dirty_gfn *gfns;
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code_few, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	u64 blocks;
	u32 i;

	begin_with_few(&r, &m);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), NR_FEW);
	gfns = vcpu_map_dirty_ring(vcpu);
	for (i = 0; i < NR_FEW; i++) {
		gfns[i].slot = forged[i % ARRAY_SIZE(forged)].slot;
		gfns[i].offset = forged[i % ARRAY_SIZE(forged)].offset;
	}
	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), NR_FEW);
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_EXPORT_BLOCKW) - blocks, 0);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* As a fault does that is repeated, or as userspace writes into the ring. */
TD_TEST(page_that_is_in_the_ring_several_times_is_blocked_once)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct kvm_dirty_gfn *gfns;
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	u64 unblocks;
	u32 i, first;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);
	first = r.next;
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), MEM_PAGES);

	/* In words of their own, and in words that share none of their bits. */
	gfns = vcpu_map_dirty_ring(vcpu);
	for (i = 0; i < MEM_PAGES; i++)
		gfns[(first + i) % RING_ENTRIES].offset = i & 1 ? 0 : i % 300;
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), MEM_PAGES);

	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW);
	td_vcpu_run_to_sync(vcpu, 2);
	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW) - unblocks;
	if (td_sim_is_present())
		TEST_ASSERT_EQ(unblocks, 150);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(entries_whose_slot_is_gone_are_reset_without_effect)
{
	unsigned long bitmap[BITMAP_WORDS] = {};
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(RING_ENTRIES, guest_code_few, &r);
	u64 blocks;

	begin_with_few(&r, &m);
	TEST_ASSERT_EQ(td_ring_harvest(&r, bitmap), NR_FEW);
	vm_mem_region_delete(vm, MEM_SLOT);
	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW);
	TEST_ASSERT_EQ(kvm_vm_reset_dirty_ring(vm), NR_FEW);
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_EXPORT_BLOCKW) - blocks, 0);
	td_mig_free(&m);
	kvm_vm_free(vm);
	td_run_another();
}

/* --------------------------------------------------------------- a whole journey */

struct runner {
	struct kvm_vcpu *vcpu;
	u64 last_round;
	u64 nr_full;
	bool done;
};

static void *run_rounds(void *arg)
{
	struct runner *runner = arg;
	struct kvm_vcpu *vcpu = runner->vcpu;
	struct ucall uc;
	u64 round = 1;

	while (round <= runner->last_round) {
		vcpu_run(vcpu);
		if (vcpu->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
			WRITE_ONCE(runner->nr_full, runner->nr_full + 1);
			usleep(100);
			continue;
		}
		TEST_ASSERT_EQ(get_ucall(vcpu, &uc), UCALL_SYNC);
		TEST_ASSERT_EQ(uc.args[1], round++);
	}
	WRITE_ONCE(runner->done, true);
	return NULL;
}

static void migrate(u32 nr_entries)
{
	unsigned long bitmap[BITMAP_WORDS] = {}, next[BITMAP_WORDS];
	struct runner runner = { .last_round = NR_ROUNDS - 1 };
	struct td_ring r;
	struct td_mig m;
	struct kvm_vm *vm = create_td(nr_entries, guest_code, &r);
	struct kvm_vcpu *vcpu = r.vcpu;
	pthread_t thread;
	int rounds = 0;
	u64 page;

	td_vcpu_run_to_sync(vcpu, 0);
	begin(&r, &m);
	bitmap_fill(bitmap, MEM_PAGES);
	runner.vcpu = vcpu;
	kvm_pthread_create(&thread, NULL, run_rounds, &runner);

	while (!READ_ONCE(runner.done)) {
		/* As many rounds are exported as there is room for bundles. */
		if (rounds < 8) {
			/* Pages that are written meanwhile are refused, and dirty again. */
			export_dirty(&m, bitmap);
			td_mig_export_track(&m);
			memset(bitmap, 0, sizeof(bitmap));
			rounds++;
		}
		/* A small ring gets full if nobody harvests it, however slow the guest is. */
		while (nr_entries < MEM_PAGES && !READ_ONCE(runner.nr_full) &&
		       !READ_ONCE(runner.done))
			usleep(1000);
		/*
		 * Who never rests blocks a page again before the write that has
		 * faulted on it gets through, again and again.
		 */
		usleep(1000);
		memset(next, 0, sizeof(next));
		collect(&r, next);
		for (page = 0; page < MEM_PAGES; page++) {
			if (test_bit(page, next))
				__set_bit(page, bitmap);
		}
	}
	kvm_pthread_join(thread, NULL);

	finish(&r, &m, bitmap, NR_ROUNDS);
	TEST_ASSERT(nr_entries > MEM_PAGES || runner.nr_full, "The ring was never full");
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(td_with_a_large_ring_is_migrated_while_it_writes)
{
	migrate(RING_ENTRIES);
}

TD_TEST(td_with_a_small_ring_is_migrated_while_it_writes)
{
	migrate(RING_ENTRIES_MIN);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_DIRTY_LOG_RING_ACQ_REL));

	return test_harness_run(argc, argv);
}
