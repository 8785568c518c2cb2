// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log of private memory: it reports each page that a TD writes to
 * while its migration is live, so that the destination gets all of the memory
 * although most of it is sent while the TD runs.
 */
#include <linux/bitmap.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"

/*
 * More pages than the TDX module blocks in one go, and no multiple of 64.  They
 * start in the middle of what would be a huge page, and of a word of its bits.
 */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40020000UL
#define MEM_PAGES		1150UL
#define BITMAP_WORDS		DIV_ROUND_UP(MEM_PAGES, 64)

#define NR_ROUNDS		4
/* Written in every round. */
#define HOT_STRIDE		16
/* Each of the others is written in at most one round. */
#define COLD_STRIDE		(NR_ROUNDS + 3)

static bool is_written_in(u64 page, u64 round)
{
	return !round || !(page % HOT_STRIDE) || page % COLD_STRIDE == round;
}

static u64 value_of(u64 page, u64 round)
{
	return page << 32 | (round + 1);
}

static u64 *guest_page(u64 page)
{
	return (u64 *)(MEM_GPA + page * PAGE_SIZE);
}

static void guest_code(void)
{
	u64 page, round, last[MEM_PAGES];

	td_accept_pages(MEM_GPA, MEM_PAGES);

	for (round = 0; round <= NR_ROUNDS; round++) {
		for (page = 0; page < MEM_PAGES; page++) {
			if (!is_written_in(page, round))
				continue;
			WRITE_ONCE(*guest_page(page), value_of(page, round));
			last[page] = round;
		}
		GUEST_SYNC(round);
	}

	for (page = 0; page < MEM_PAGES; page++)
		__GUEST_ASSERT(READ_ONCE(*guest_page(page)) == value_of(page, last[page]),
			       "Page %lu, round %lu: %lx", page, last[page],
			       *guest_page(page));
	GUEST_DONE();
}

static struct kvm_vm *create_td(u64 attributes, bool manual_protect,
				struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(attributes, 1, MEM_PAGES, guest_code, vcpu);

	if (manual_protect)
		vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
			      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
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

static unsigned int count_dirty(unsigned long *bitmap)
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

/* Returns the number of pages that the TDX module was willing to export. */
static u32 export_logged(struct td_mig *m, unsigned long *bitmap)
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

/* Send what was written until now, and start to look for new writes. */
static void precopy(struct td_mig *m)
{
	unsigned long bitmap[BITMAP_WORDS], again[BITMAP_WORDS];
	unsigned int nr;

	nr = get_log(m->src, bitmap);
	clear_log(m->src, bitmap);
	TEST_ASSERT_EQ(get_log(m->src, again), 0);

	/* The TDX module exports pages only that KVM has blocked and tracked. */
	TEST_ASSERT_EQ(export_logged(m, bitmap), nr);
	td_mig_export_track(m);
}

static void check_log(struct kvm_vm *vm, u64 round)
{
	unsigned long bitmap[BITMAP_WORDS];
	unsigned int nr = get_log(vm, bitmap), nr_written = 0;
	u64 page;

	for (page = 0; page < MEM_PAGES; page++) {
		if (!is_written_in(page, round))
			continue;
		nr_written++;
		TEST_ASSERT(test_bit(page, bitmap), "Write to page %lu in round %lu is lost",
			    page, round);
	}

	/* One page too many now and then is fine, all pages are not. */
	TEST_ASSERT(nr < 2 * nr_written, "%u dirty pages, %u written", nr, nr_written);
}

static void stop_and_copy(struct td_mig *m)
{
	unsigned long bitmap[BITMAP_WORDS], again[BITMAP_WORDS];

	td_mig_export_pause(m);

	get_log(m->src, bitmap);
	clear_log(m->src, bitmap);
	TEST_ASSERT_EQ(get_log(m->src, again), 0);
	export_logged(m, bitmap);

	td_mig_export_other_slots(m, MEM_SLOT);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
}

static void import_and_run(struct td_mig *m, u64 first_round)
{
	struct td_mig_dest d;
	u64 round;

	td_mig_dest_create(&d, m);
	td_mig_import(&d, m, 0, m->nr_bundles - 1);
	td_mig_import_end(&d);

	for (round = first_round; round <= NR_ROUNDS; round++)
		td_vcpu_run_to_sync(d.vcpus[0], round);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
}

/* ------------------------------------------------------------ memory slots */

TD_TEST(td_that_cannot_migrate_has_no_dirty_log)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(0, true, &vcpu);

	TD_EXPECT_ERRNO(EINVAL, set_log(vm, true));
	TD_EXPECT_ERRNO(EINVAL, set_log(vm, false));
	kvm_vm_free(vm);
}

TD_TEST(dirty_log_takes_manual_protection)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, false, &vcpu);

	TD_EXPECT_ERRNO(EINVAL, set_log(vm, true));
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	enable_log(vm);
	kvm_vm_free(vm);
}

TD_TEST(nothing_but_the_log_of_a_slot_can_change)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	const struct kvm_userspace_memory_region2 slot = memslot2region(vm, MEM_SLOT)->region;
	struct kvm_userspace_memory_region2 region;
	int other = vm_create_guest_memfd(vm, MEM_PAGES * PAGE_SIZE, 0);

	region = slot;
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	region.guest_memfd = other;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));

	region = slot;
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	region.guest_memfd_offset += PAGE_SIZE;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));

	region = slot;
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	region.guest_phys_addr += MEM_PAGES * PAGE_SIZE;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));

	region = slot;
	region.flags = KVM_MEM_LOG_DIRTY_PAGES;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));

	region = slot;
	region.flags |= KVM_MEM_READONLY;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region));

	region = slot;
	TEST_ASSERT(!__vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region),
		    "A slot may stay as it is, errno %d", errno);

	kvm_free_fd(other);
	kvm_vm_free(vm);
}

TD_TEST(td_runs_on_while_its_log_is_switched_on_and_off)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	u64 round;

	for (round = 0; round <= NR_ROUNDS; round++) {
		enable_log(vm);
		TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
		td_vcpu_run_to_sync(vcpu, round);
		TEST_ASSERT(!set_log(vm, false), "Cannot disable the log, errno %d", errno);
	}
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void *toggle_log(void *arg)
{
	struct kvm_vm *vm = arg;
	int i;

	for (i = 0; i < 200; i++)
		TEST_ASSERT(!set_log(vm, !(i & 1)), "Change %d, errno %d", i, errno);
	return NULL;
}

TD_TEST(page_faults_go_on_while_the_log_is_switched)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	pthread_t thread;
	u64 round;

	kvm_pthread_create(&thread, NULL, toggle_log, vm);
	for (round = 0; round <= NR_ROUNDS; round++)
		td_vcpu_run_to_sync(vcpu, round);
	td_vcpu_run_to_done(vcpu);
	kvm_pthread_join(thread, NULL);
	kvm_vm_free(vm);
}

/* ---------------------------------------------------------------- sessions */

TD_TEST(mapped_pages_stay_dirty_until_a_session_starts)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;

	td_vcpu_run_to_sync(vcpu, 0);
	enable_log(vm);
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);

	/* Then they can be blocked, and only such pages are sent. */
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(export_logged(&m, bitmap), MEM_PAGES);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(pages_that_do_not_exist_become_dirty_with_the_first_access)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);

	enable_log(vm);
	get_log(vm, bitmap);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 0);
	td_vcpu_run_to_sync(vcpu, 0);
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	kvm_vm_free(vm);
}

TD_TEST(log_is_cleared_next_to_memory_that_has_no_page_table)
{
	/* The first one of the second page table, in the midst of a word of the log. */
	const u64 page = (SZ_2M - MEM_GPA % SZ_2M) / PAGE_SIZE;
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;

	td_pre_fault(vcpu, MEM_GPA + page * PAGE_SIZE, PAGE_SIZE);
	enable_log(vm);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);

	/* The TDX module exports pages only that KVM has blocked. */
	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(export_logged(&m, bitmap), 1);

	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(td_is_migrated_while_it_runs)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;
	u64 round;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);

	for (round = 1; round < NR_ROUNDS; round++) {
		precopy(&m);
		td_vcpu_run_to_sync(vcpu, round);
		check_log(vm, round);
	}
	stop_and_copy(&m);

	import_and_run(&m, NR_ROUNDS);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(first_write_to_a_page_costs_one_call_of_the_tdx_module)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	u64 blocks, unblocks, tracks;
	unsigned int nr_written;
	struct td_mig m;

	if (!td_sim_is_present()) {
		kvm_vm_free(vm);
		SKIP(return, "The TDX module does not count its calls");
	}

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);

	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW);
	tracks = td_sim_count_leaf(TDH_MEM_TRACK);
	precopy(&m);
	blocks = td_sim_count_leaf(TDH_EXPORT_BLOCKW) - blocks;
	tracks = td_sim_count_leaf(TDH_MEM_TRACK) - tracks;
	/* The TDX module may be interrupted, but not for each page. */
	TEST_ASSERT(blocks >= 3 && blocks < MEM_PAGES / 8, "%lu calls to block", blocks);
	TEST_ASSERT_EQ(tracks, 1);

	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW);
	tracks = td_sim_count_leaf(TDH_MEM_TRACK);
	td_vcpu_run_to_sync(vcpu, 1);
	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW) - unblocks;
	tracks = td_sim_count_leaf(TDH_MEM_TRACK) - tracks;
	nr_written = get_log(vm, bitmap);
	TEST_ASSERT_EQ(unblocks, nr_written);
	TEST_ASSERT_EQ(tracks, 0);

	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(aborted_session_leaves_all_pages_dirty_and_another_one_succeeds)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);
	precopy(&m);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);

	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	td_vcpu_run_to_sync(vcpu, 2);

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	precopy(&m);
	td_vcpu_run_to_sync(vcpu, 3);
	check_log(vm, 3);
	stop_and_copy(&m);
	import_and_run(&m, NR_ROUNDS);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(session_that_is_aborted_in_the_pause_leaves_all_pages_dirty)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;
	u64 round;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);
	get_log(vm, bitmap);
	clear_log(vm, bitmap);
	TEST_ASSERT_EQ(export_logged(&m, bitmap), MEM_PAGES);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	TEST_ASSERT_EQ(get_log(vm, bitmap), MEM_PAGES);
	for (round = 1; round <= NR_ROUNDS; round++)
		td_vcpu_run_to_sync(vcpu, round);
	td_vcpu_run_to_done(vcpu);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(page_whose_export_is_canceled_is_writable_and_dirty)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;
	u64 gpa, hw_error;
	u64 unblocks;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);
	precopy(&m);

	/* Page 0 is among those that the guest is going to write to. */
	gpa = td_gpa_entry(MEM_GPA, TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT(!__td_mig_export_mem(&m.streams[0], &gpa, 1, td_mig_next_bundle(&m), &hw_error),
		    "Cannot cancel, errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT_EQ(get_log(vm, bitmap), 1);
	TEST_ASSERT(test_bit(0, bitmap), "The canceled page is not dirty");
	td_mig_export_track(&m);

	unblocks = td_sim_count_leaf(TDH_EXPORT_UNBLOCKW);
	td_vcpu_run_to_sync(vcpu, 1);
	if (td_sim_is_present())
		TEST_ASSERT_EQ(td_sim_count_leaf(TDH_EXPORT_UNBLOCKW) - unblocks,
			       get_log(vm, bitmap) - 1);
	check_log(vm, 1);
	stop_and_copy(&m);
	import_and_run(&m, 2);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* The log is read and cleared, and pages are exported, while the TD writes. */
static void *run_rounds(void *vcpu)
{
	u64 round;

	for (round = 1; round < NR_ROUNDS; round++)
		td_vcpu_run_to_sync(vcpu, round);
	return NULL;
}

TD_TEST(no_write_is_lost_while_the_log_is_cleared)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(TDX_TD_ATTR_MIGRATABLE, true, &vcpu);
	struct td_mig m;
	pthread_t thread;
	int i;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);

	kvm_pthread_create(&thread, NULL, run_rounds, vcpu);
	for (i = 0; i < 8; i++) {
		get_log(vm, bitmap);
		clear_log(vm, bitmap);
		/* Pages that are written meanwhile are refused, and dirty again. */
		export_logged(&m, bitmap);
		td_mig_export_track(&m);
	}
	kvm_pthread_join(thread, NULL);

	stop_and_copy(&m);
	import_and_run(&m, NR_ROUNDS);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------- conversions */

/*
 * The first pages, which are converted again and again, and the others, each of
 * which is written in every pass.
 */
#define NR_CONVERTED		8UL
#define NR_PASSES		24

/* The first page while it is shared. */
static u64 *shared_page;

/* The host may be about to block the page, or one of its neighbors. */
static void guest_accept_page(gpa_t gpa)
{
	u64 status;

	do {
		status = tdg_mem_page_accept(gpa, 0);
	} while ((status & TDX_STATUS_MASK) == TDX_OPERAND_BUSY);
	__GUEST_ASSERT(!status, "Accept of GPA %lx: %lx", gpa, status);
}

/* Until the host refuses to. */
static void guest_convert_pages(void)
{
	u64 page = 0, pass = 0, next;
	gpa_t gpa;

	for (;;) {
		gpa = (gpa_t)guest_page(page);
		if (tdvmcall_map_gpa(gpa | TD_SHARED_BIT, PAGE_SIZE, NULL))
			break;
		/* So that there are page tables for shared memory. */
		if (!page)
			WRITE_ONCE(*shared_page, pass);
		td_map_gpa(gpa, PAGE_SIZE);
		guest_accept_page(gpa);
		WRITE_ONCE(*guest_page(page), value_of(page, pass));
		page = (page + 1) % NR_CONVERTED;
		pass += !page;
	}
	next = page;
	GUEST_SYNC(pass);

	/* The first @next ones have been converted once more. */
	for (page = 0; page < NR_CONVERTED; page++)
		__GUEST_ASSERT(READ_ONCE(*guest_page(page)) ==
			       value_of(page, page < next ? pass : pass - 1),
			       "Page %lu, pass %lu: %lx", page, pass, *guest_page(page));
}

static void guest_write_pages(void)
{
	u64 page, pass;

	for (pass = 1; pass <= NR_PASSES; pass++) {
		for (page = NR_CONVERTED; page < MEM_PAGES; page++) {
			__GUEST_ASSERT(READ_ONCE(*guest_page(page)) == value_of(page, pass - 1),
				       "Page %lu, pass %lu: %lx", page, pass, *guest_page(page));
			WRITE_ONCE(*guest_page(page), value_of(page, pass));
		}
		GUEST_SYNC(pass);
	}

	for (page = NR_CONVERTED; page < MEM_PAGES; page++)
		__GUEST_ASSERT(READ_ONCE(*guest_page(page)) == value_of(page, NR_PASSES),
			       "Page %lu: %lx", page, *guest_page(page));
}

static void guest_code_converting(u64 index)
{
	u64 page;

	if (!index) {
		td_accept_pages(MEM_GPA, MEM_PAGES);
		for (page = 0; page < MEM_PAGES; page++)
			WRITE_ONCE(*guest_page(page), value_of(page, 0));
	}
	GUEST_SYNC(0);

	if (!index)
		guest_convert_pages();
	else
		guest_write_pages();
	GUEST_DONE();
}

struct converter {
	struct kvm_vcpu *vcpu;
	u64 nr;
	bool stop;
};

static void *run_converter(void *arg)
{
	struct converter *c = arg;
	struct kvm_run *run = c->vcpu->run;
	struct ucall uc;

	for (vcpu_run(c->vcpu); run->exit_reason == KVM_EXIT_HYPERCALL; vcpu_run(c->vcpu)) {
		if (run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED) {
			td_handle_map_gpa(c->vcpu);
			continue;
		}
		if (READ_ONCE(c->stop)) {
			run->hypercall.ret = EINVAL;
			continue;
		}
		/*
		 * Take the page away before its attribute changes, for which KVM
		 * waits until the log is cleared.
		 */
		vm_guest_mem_punch_hole(c->vcpu->vm, run->hypercall.args[0], PAGE_SIZE);
		td_handle_map_gpa(c->vcpu);
		c->nr++;
	}
	TEST_ASSERT_EQ(get_ucall(c->vcpu, &uc), UCALL_SYNC);
	return NULL;
}

static void check_pass(struct kvm_vm *vm)
{
	unsigned long bitmap[BITMAP_WORDS];
	u64 page;

	get_log(vm, bitmap);
	for (page = NR_CONVERTED; page < MEM_PAGES; page++)
		TEST_ASSERT(test_bit(page, bitmap), "Write to page %lu is lost", page);
}

TD_TEST(pages_are_converted_while_the_log_is_cleared)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct converter c = {};
	struct kvm_vcpu *vcpus[2];
	struct td_mig_dest d;
	pthread_t thread;
	struct kvm_vm *vm;
	struct td_mig m;
	u64 pass;
	int i;

	vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 2, MEM_PAGES, guest_code_converting, vcpus);
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	write_guest_global(vm, shared_page, (u64 *)td_map_shared_alias(vm, MEM_GPA));
	for (i = 0; i < 2; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_sync(vcpus[i], 0);

	td_mig_init(&m, vm, vcpus, 2, 1);
	enable_log(vm);
	td_mig_export_immutable(&m);

	/* All pages of a pass, i.e. several batches, are blocked in one go. */
	c.vcpu = vcpus[0];
	kvm_pthread_create(&thread, NULL, run_converter, &c);
	for (pass = 1; pass <= NR_PASSES; pass++) {
		get_log(vm, bitmap);
		clear_log(vm, bitmap);
		td_vcpu_run_to_sync(vcpus[1], pass);
		check_pass(vm);
	}
	WRITE_ONCE(c.stop, true);
	kvm_pthread_join(thread, NULL);
	TEST_ASSERT(c.nr > NR_PASSES, "%lu conversions", c.nr);

	/* Nothing was sent so far. */
	td_mig_export_pause(&m);
	bitmap_fill(bitmap, MEM_PAGES);
	TEST_ASSERT_EQ(export_logged(&m, bitmap), MEM_PAGES);
	td_mig_export_other_slots(&m, MEM_SLOT);
	td_mig_export_td_and_vcpus(&m);
	td_mig_export_start_token(&m);

	td_mig_dest_create(&d, &m);
	td_mig_import_rest(&d, &m, 0);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_done(d.vcpus[i]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return test_harness_run(argc, argv);
}
