// SPDX-License-Identifier: GPL-2.0-only
/*
 * Post-copy: the TD runs at the destination before its memory is there.  Pages
 * come in any order, on demand and in the background, each at most once; and
 * whatever happens to them, no vCPU ever sees a page that is not its own.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_test.h"

#define NR_VCPUS		2
#define NR_STREAMS		4
/* A stream for each vCPU, then one for each thread that pushes pages. */
#define PUSH_STREAM		NR_VCPUS
#define NR_PUSHERS		(NR_STREAMS - NR_VCPUS)

/* Pages with content, a power of 2. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		512UL

/* Pages that the guest has not accepted, and half of which do not exist. */
#define LATE_SLOT		(TD_SLOT_UNACCEPTED + 1)
#define LATE_GPA		0x50000000UL
#define LATE_PAGES		8UL

#define TDX_EXPORTED_DIRTY_PAGES_REMAIN	0xC0000E0700000000ULL

/* How all pages are exported over all streams at once. */
#define EXPORT_BATCH			8
#define EXPORT_ROUNDS			2

/* Enough of them that all threads are under way. */
#define SOME_FAULTS		50

/* Set before the launch. */
static u64 guest_seed;
/* Second mapping of the first page of LATE_GPA. */
static u64 *guest_shared_alias;

/* What the host and the guest of a test tell each other. */
struct shared {
	u64 running;
	u64 stop;
};

static struct shared *shared;

static gpa_t mem_gpa(u64 page)
{
	return MEM_GPA + page * PAGE_SIZE;
}

static u64 pattern(u64 gpa)
{
	u64 x = gpa * 0x9e3779b97f4a7c15UL;

	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdUL;
	return x ^ x >> 33;
}

static void guest_write_page(u64 gpa)
{
	u64 i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
		*(u64 *)(gpa + i) = pattern(gpa + i);
	/* How often each vCPU has been here. */
	for (i = 0; i < NR_VCPUS; i++)
		((u64 *)gpa)[i] = 0;
}

static void guest_check_page(u64 gpa)
{
	u64 i;

	for (i = NR_VCPUS * sizeof(u64); i < PAGE_SIZE; i += sizeof(u64))
		__GUEST_ASSERT(*(u64 *)(gpa + i) == pattern(gpa + i), "GPA %lx: %lx",
			       gpa + i, *(u64 *)(gpa + i));
}

/* A permutation of all pages that is another one for each order and seed. */
static u64 guest_nth_page(u64 n, u64 order)
{
	u64 seed = pattern(guest_seed + order);

	return (n * (seed << 1 | 1) + (seed >> 32)) % MEM_PAGES;
}

/* Go through all pages, in the @order'th order, counting visits. */
static void guest_work_in_order(u64 index, u64 order)
{
	u64 n, page, visits;

	if (!index) {
		td_accept_pages(MEM_GPA, MEM_PAGES);
		for (n = 0; n < MEM_PAGES; n++)
			guest_write_page(mem_gpa(n));
	}
	GUEST_SYNC(index);

	for (visits = 1; visits <= 2; visits++) {
		for (n = 0; n < MEM_PAGES; n++) {
			page = mem_gpa(guest_nth_page(n, order));
			guest_check_page(page);
			((u64 *)page)[index]++;
		}
	}
	for (n = 0; n < MEM_PAGES; n++)
		__GUEST_ASSERT(((u64 *)mem_gpa(n))[index] == 2, "Page %lu: %lu visits", n,
			       ((u64 *)mem_gpa(n))[index]);
	GUEST_DONE();
}

/* Each vCPU in an order of its own. */
static void guest_work(u64 index)
{
	guest_work_in_order(index, index);
}

/* All vCPUs in the same order, so that they miss the same pages all the time. */
static void guest_work_together(u64 index)
{
	guest_work_in_order(index, 0);
}

static struct kvm_vm *__create_td(void *guest_code, int nr_vcpus, struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, nr_vcpus,
					MEM_PAGES + LATE_PAGES, guest_code, vcpus);
	int i;

	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_add_unaccepted_memory(vm, LATE_SLOT, LATE_GPA, LATE_PAGES);
	for (i = 0; i < nr_vcpus; i++)
		td_vcpu_set_arg(vcpus[i], i);
	write_guest_global(vm, guest_seed, (u64)kvm_random_seed);
	write_guest_global(vm, guest_shared_alias, (u64 *)td_map_shared_alias(vm, LATE_GPA));
	return vm;
}

static struct kvm_vm *create_td(void *guest_code, int nr_vcpus, struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = __create_td(guest_code, nr_vcpus, vcpus);

	td_launch(vm);
	return vm;
}

/* A TD that is ready to be migrated. */
static struct kvm_vm *create_td_with_work(void *guest_code, struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = create_td(guest_code, NR_VCPUS, vcpus);
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(vcpus[i], i);
	return vm;
}

static struct kvm_vm *create_working_td(struct kvm_vcpu *vcpus[])
{
	return create_td_with_work(guest_work, vcpus);
}

static void import_end(struct td_mig_dest *d)
{
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END);
}

static void free_all(struct td_mig *m, struct td_mig_dest *d)
{
	td_mig_dest_free(d);
	td_mig_free(m);
	kvm_vm_free(m->src);
}

/* ------------------------------------------------------ pages come on demand */

static void fault_everything_in(void *guest_code)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm = create_td_with_work(guest_code, vcpus);
	struct td_postcopy_runner runners[NR_VCPUS];
	struct td_postcopy p;
	struct td_mig_dest d;
	struct td_mig m;

	pr_info("Seed 0x%x\n", kvm_random_seed);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_VCPUS);
	td_postcopy_start(&p, &m, &d);
	td_postcopy_start_runners(&p, runners, NR_VCPUS);
	td_postcopy_join_runners(&p, runners);

	/* Code, stacks and page tables of the guest had to come, too. */
	TEST_ASSERT(p.nr_faults > MEM_PAGES, "%lu faults", p.nr_faults);
	TEST_ASSERT_EQ(p.nr_absent, 0);
	import_end(&d);
	free_all(&m, &d);
}

TD_TEST(td_starts_without_a_single_page_and_faults_all_of_them_in)
{
	fault_everything_in(guest_work);
}

/* Both vCPUs ask for a page at once, each over its stream; none is absent for that. */
TD_TEST(vcpus_that_miss_the_same_pages_fetch_them_over_different_streams)
{
	fault_everything_in(guest_work_together);
}

TD_TEST(vcpus_fault_while_all_pages_are_pushed_over_other_streams)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm = create_working_td(vcpus);
	struct td_postcopy_pusher pushers[NR_PUSHERS];
	struct td_postcopy_runner runners[NR_VCPUS];
	struct td_postcopy p;
	struct td_mig_dest d;
	struct td_mig m;
	gpa_t *gpas;
	u32 nr;

	pr_info("Seed 0x%x\n", kvm_random_seed);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_STREAMS);
	td_postcopy_start(&p, &m, &d);
	gpas = td_mig_list_pages(&m, &nr);
	td_postcopy_shuffle(gpas, nr);

	/* Whoever is first wins, the others are skipped. */
	td_postcopy_start_runners(&p, runners, NR_VCPUS);
	td_postcopy_start_pushers(&p, pushers, NR_PUSHERS, PUSH_STREAM, gpas, nr);
	td_postcopy_join_pushers(pushers, NR_PUSHERS);
	td_postcopy_join_runners(&p, runners);
	import_end(&d);
	free(gpas);
	free_all(&m, &d);
}

struct exporter {
	struct td_mig *m;
	u32 stream;
	u64 nr_busy;
	pthread_t thread;
};

/* All pages, again and again; none of them can be absent. */
static void *export_all(void *arg)
{
	gpa_t gpas[EXPORT_BATCH];
	struct exporter *x = arg;
	struct td_mig_bundle b;
	u64 n, page;
	u32 i;

	for (n = 0; n < EXPORT_ROUNDS; n++) {
		for (page = 0; page < MEM_PAGES; page += EXPORT_BATCH) {
			for (i = 0; i < EXPORT_BATCH; i++)
				gpas[i] = mem_gpa(page + i);
			td_postcopy_export(x->m, x->stream, gpas, EXPORT_BATCH, &b);
			for (i = 0; i < EXPORT_BATCH; i++) {
				if (td_gpa_entry_op(b.gpa_list[i]) == TDX_MIG_GPA_OP_MIGRATE)
					continue;
				TEST_ASSERT_EQ(td_gpa_entry_status(b.gpa_list[i]),
					       TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY);
				x->nr_busy++;
			}
			td_mig_bundle_free(&b);
		}
	}
	return NULL;
}

TD_TEST(page_that_two_streams_export_at_once_is_busy_but_not_absent)
{
	struct exporter exporters[NR_STREAMS] = {};
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm = create_working_td(vcpus);
	struct td_mig m;
	u64 nr_busy = 0;
	int i;

	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_STREAMS);
	td_postcopy_export_states(&m);
	for (i = 0; i < NR_STREAMS; i++) {
		exporters[i].m = &m;
		exporters[i].stream = i;
		kvm_pthread_create(&exporters[i].thread, NULL, export_all, &exporters[i]);
	}
	for (i = 0; i < NR_STREAMS; i++) {
		kvm_pthread_join(exporters[i].thread, NULL);
		nr_busy += exporters[i].nr_busy;
	}
	pr_info("%lu times busy\n", nr_busy);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

static void guest_read_one_page(u64 index)
{
	if (!index)
		td_accept_pages(MEM_GPA, MEM_PAGES);
	GUEST_SYNC(index);
	/* Volatile, as there is nothing to be done with the value. */
	READ_ONCE(*(u64 *)mem_gpa(1));
	GUEST_SYNC(index);
	READ_ONCE(*(u64 *)mem_gpa(2));
	GUEST_DONE();
}

/* A TD with one vCPU that is committed, and misses no page but the test's own. */
static void start_one_vcpu(struct td_postcopy *p, struct td_mig *m, struct td_mig_dest *d,
			   struct kvm_vm *vm, struct kvm_vcpu *vcpu)
{
	td_mig_init(m, vm, &vcpu, 1, 1);
	td_postcopy_start(p, m, d);
	td_postcopy_move_image(p);
}

TD_TEST(fault_on_a_missing_page_repeats_until_the_page_is_imported)
{
	gpa_t gpa = mem_gpa(1);
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_read_one_page, 1, &vcpu);
	int i;

	td_vcpu_run_to_sync(vcpu, 0);
	start_one_vcpu(&p, &m, &d, vm, vcpu);

	for (i = 0; i < 3; i++)
		td_vcpu_run_to_missing_page(d.vcpus[0], gpa);
	td_postcopy_move(&p, 0, &gpa, 1);
	td_vcpu_run_to_sync(d.vcpus[0], 0);
	td_vcpu_run_to_missing_page(d.vcpus[0], mem_gpa(2));
	free_all(&m, &d);
}

TD_TEST(all_vcpus_that_miss_a_page_exit_and_one_import_does_for_all)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm = create_td(guest_read_one_page, NR_VCPUS, vcpus);
	gpa_t gpa = mem_gpa(1);
	struct td_postcopy p;
	struct td_mig_dest d;
	struct td_mig m;
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(vcpus[i], i);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, 1);
	td_postcopy_start(&p, &m, &d);
	td_postcopy_move_image(&p);

	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_missing_page(d.vcpus[i], gpa);
	td_postcopy_move(&p, 0, &gpa, 1);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(d.vcpus[i], i);
	free_all(&m, &d);
}

static void guest_accept_late(u64 index)
{
	u64 i;

	GUEST_SYNC(index);
	td_accept_pages(LATE_GPA, LATE_PAGES);
	for (i = 0; i < LATE_PAGES * PAGE_SIZE; i += sizeof(u64))
		GUEST_ASSERT_EQ(*(u64 *)(LATE_GPA + i), 0UL);
	GUEST_DONE();
}

TD_TEST(pages_that_the_source_does_not_have_are_pre_faulted_and_accepted)
{
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_accept_late, 1, &vcpu);
	u64 i;

	td_vcpu_run_to_sync(vcpu, 0);
	/* The others arrive as they are: pending. */
	for (i = 0; i < LATE_PAGES / 2; i++)
		td_pre_fault(vcpu, LATE_GPA + i * PAGE_SIZE, PAGE_SIZE);

	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_postcopy_start(&p, &m, &d);
	td_postcopy_run_to_done(&p, d.vcpus[0], 0);
	TEST_ASSERT_EQ(p.nr_absent, LATE_PAGES - LATE_PAGES / 2);
	import_end(&d);
	free_all(&m, &d);
}

static void guest_touch_shared(u64 index)
{
	GUEST_SYNC(index);
	/* The SHARED bit set, though nobody has converted the page. */
	READ_ONCE(*guest_shared_alias);
	td_accept_pages(LATE_GPA, 1);
	GUEST_DONE();
}

TD_TEST(missing_page_differs_from_a_conversion_by_its_flag)
{
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_touch_shared, 1, &vcpu);
	struct kvm_run *run;

	td_vcpu_run_to_sync(vcpu, 0);
	start_one_vcpu(&p, &m, &d, vm, vcpu);
	run = d.vcpus[0]->run;

	/* The attribute is private, and the access is not. */
	TD_EXPECT_ERRNO(EFAULT, __vcpu_run(d.vcpus[0]));
	TEST_ASSERT_EQ(run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	TEST_ASSERT_EQ(run->memory_fault.flags, 0);
	TEST_ASSERT_EQ(run->memory_fault.gpa, LATE_GPA);
	vm_mem_set_shared(d.vm, LATE_GPA, PAGE_SIZE);

	/* The attribute is shared, and the access is not. */
	TD_EXPECT_ERRNO(EFAULT, __vcpu_run(d.vcpus[0]));
	TEST_ASSERT_EQ(run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	TEST_ASSERT_EQ(run->memory_fault.flags, KVM_MEMORY_EXIT_FLAG_PRIVATE);
	TEST_ASSERT_EQ(run->memory_fault.gpa, LATE_GPA);
	vm_mem_set_private(d.vm, LATE_GPA, PAGE_SIZE);

	/* Both are private, so the page is missing. */
	td_vcpu_run_to_missing_page(d.vcpus[0], LATE_GPA);
	td_postcopy_fetch(&p, d.vcpus[0], 0, LATE_GPA);
	td_vcpu_run_to_done(d.vcpus[0]);
	free_all(&m, &d);
}

TD_TEST(page_still_missing_at_the_end_of_the_import_is_an_ordinary_page)
{
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_accept_late, 1, &vcpu);

	td_vcpu_run_to_sync(vcpu, 0);
	start_one_vcpu(&p, &m, &d, vm, vcpu);
	td_vcpu_run_to_missing_page(d.vcpus[0], LATE_GPA);
	import_end(&d);
	td_vcpu_run_to_done(d.vcpus[0]);
	free_all(&m, &d);
}

/* --------------------------------------------- before and after the token */

static void guest_write_twice(u64 index)
{
	u64 n;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (n = 0; n < MEM_PAGES; n++)
		guest_write_page(mem_gpa(n));
	GUEST_SYNC(0);
	/* Every other page, whether it has been sent meanwhile or not. */
	for (n = 0; n < MEM_PAGES; n += 2)
		((u64 *)mem_gpa(n))[0]++;
	GUEST_SYNC(1);
	for (n = 0; n < MEM_PAGES; n++) {
		guest_check_page(mem_gpa(n));
		GUEST_ASSERT_EQ(((u64 *)mem_gpa(n))[0], !(n & 1));
	}
	GUEST_DONE();
}

static void export_pages(struct td_mig *m, u64 first, u64 step, u64 nr)
{
	gpa_t gpas[TDX_MIG_BUF_LIST_PAGES_MAX];
	u64 i;

	for (i = 0; i < nr; i++)
		gpas[i] = mem_gpa(first + i * step);
	td_postcopy_export(m, 0, gpas, nr, td_mig_next_bundle(m));
}

static void export_epoch_token(struct td_mig *m)
{
	u64 hw_error;
	int ret = __td_mig_export_track(&m->streams[0], false, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Export of an epoch token failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

TD_TEST(memory_goes_partly_before_and_partly_after_the_start_token)
{
	unsigned long bitmap[DIV_ROUND_UP(MEM_PAGES, 64)];
	struct kvm_userspace_memory_region2 region;
	struct td_mig_bundle none;
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_write_twice, 1, &vcpu);
	u64 hw_error;

	td_vcpu_run_to_sync(vcpu, 0);
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	region = memslot2region(vm, MEM_SLOT)->region;
	region.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES;
	TEST_ASSERT(!__vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region),
		    "Cannot enable the log, errno %d", errno);

	/* The lower half goes while the TD runs, and is written to again. */
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_export_immutable(&m);
	kvm_vm_get_dirty_log(vm, MEM_SLOT, bitmap);
	kvm_vm_clear_dirty_log(vm, MEM_SLOT, bitmap, 0, MEM_PAGES);
	export_pages(&m, 0, 1, MEM_PAGES / 2);
	export_epoch_token(&m);
	td_vcpu_run_to_sync(vcpu, 1);

	/* What was sent and is dirty has to go before the token, the rest can wait. */
	td_mig_export_pause(&m);
	td_mig_export_td_and_vcpus(&m);
	TD_EXPECT_ERRNO(EIO, __td_mig_export_track(&m.streams[0], true, &none, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_EXPORTED_DIRTY_PAGES_REMAIN);
	export_pages(&m, 0, 2, MEM_PAGES / 4);
	td_mig_export_start_token(&m);

	td_postcopy_import_states(&m, &d);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	p = (struct td_postcopy) { .m = &m, .d = &d };
	td_postcopy_run_to_done(&p, d.vcpus[0], 0);
	TEST_ASSERT(p.nr_faults >= MEM_PAGES / 2, "%lu faults", p.nr_faults);
	import_end(&d);
	free_all(&m, &d);
}

TD_TEST(source_goes_on_if_the_destination_gives_up_before_it_commits)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct kvm_vm *vm = create_working_td(vcpus);
	struct td_postcopy p;
	struct td_mig_dest d;
	struct td_mig m;

	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_VCPUS);
	td_postcopy_export_states(&m);
	td_postcopy_import_states(&m, &d);
	p = (struct td_postcopy) { .m = &m, .d = &d };
	td_postcopy_move(&p, 1, (gpa_t []) { mem_gpa(7), mem_gpa(3) }, 2);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);

	*m.streams[0].mbmd = *d.streams[0].mbmd;
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_dest_free(&d);

	/* All pages are as they were, and can leave a second time. */
	td_vcpu_run_to_done(vcpus[0]);
	td_mig_free(&m);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_VCPUS);
	td_postcopy_start(&p, &m, &d);
	td_postcopy_run_to_done(&p, d.vcpus[1], 1);
	import_end(&d);
	free_all(&m, &d);
}

/* -------------------------------------------------------------------- races */

static void *pre_fault_all(void *arg)
{
	u64 page;

	for (page = 0; page < MEM_PAGES; page++)
		td_pre_fault(arg, mem_gpa(page), PAGE_SIZE);
	return NULL;
}

/* Either of the two maps a page; it must never be cleared after its import. */
TD_TEST(pre_faults_race_with_imports_and_both_make_progress)
{
	struct td_mig_bundle b[4];
	u64 page, nr_imported = 0;
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	struct td_mig m;
	struct kvm_vm *vm = create_td(guest_write_twice, 1, &vcpu);
	const u64 share = MEM_PAGES / ARRAY_SIZE(b);
	gpa_t gpas[MEM_PAGES];
	int i, j;

	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_postcopy_start(&p, &m, &d);
	for (page = 0; page < MEM_PAGES; page++)
		gpas[page] = mem_gpa(page);
	for (i = 0; i < ARRAY_SIZE(b); i++)
		td_postcopy_export(&m, 0, gpas + i * share, share, &b[i]);

	kvm_pthread_create(&thread, NULL, pre_fault_all, d.vcpus[0]);
	for (i = ARRAY_SIZE(b) - 1; i >= 0; i--) {
		td_postcopy_import(&d, &b[i]);
		for (j = 0; j < share; j++) {
			if (td_gpa_entry_op(d.streams[0].gpa_list[j])) {
				nr_imported++;
				continue;
			}
			TEST_ASSERT_EQ(td_gpa_entry_status(d.streams[0].gpa_list[j]),
				       TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
		}
		td_mig_bundle_free(&b[i]);
	}
	kvm_pthread_join(thread, NULL);
	TEST_ASSERT(nr_imported, "All pages were pre-faulted before their import");
	free_all(&m, &d);
}

static void guest_spin(void)
{
	GUEST_SYNC(0);
	WRITE_ONCE(shared->running, 1);
	while (!READ_ONCE(shared->stop))
		cpu_relax();
	GUEST_DONE();
}

TD_TEST(import_does_not_end_while_a_vcpu_runs)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = __create_td(guest_spin, 1, &vcpu);
	struct td_postcopy_runner runner;
	struct td_postcopy p;
	struct td_mig_dest d;
	struct shared *s;
	struct td_mig m;
	gva_t gva;

	gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(vm, shared, (struct shared *)gva);
	s = addr_gva2hva(vm, gva);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 0);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_postcopy_start(&p, &m, &d);

	td_postcopy_start_runners(&p, &runner, 1);
	while (!READ_ONCE(s->running))
		sched_yield();
	TD_EXPECT_ERRNO(EBUSY, __td_mig_cmd_nr(&d.streams[0], KVM_TDX_MIG_IMPORT_END, NULL,
					       NULL));
	WRITE_ONCE(s->stop, 1);
	td_postcopy_join_runners(&p, &runner);
	import_end(&d);
	free_all(&m, &d);
}

/* ------------------------------------------------ processes that are killed */

enum last_step {
	SOURCE_SENT_A_PAGE,
	DESTINATION_HAS_A_PAGE,
	DESTINATION_RUNS,
	NR_LAST_STEPS,
};

/* Get as far as @last, while all threads go on, and wait for the end. */
static void migrate_until_killed(enum last_step last, int ready)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct td_postcopy_pusher pushers[NR_PUSHERS];
	struct td_postcopy_runner runners[NR_VCPUS];
	gpa_t gpa = mem_gpa(1), *gpas;
	struct td_mig_bundle b;
	struct td_postcopy p;
	struct td_mig_dest d;
	struct kvm_vm *vm;
	struct td_mig m;
	u32 nr;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vm = create_working_td(vcpus);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, NR_STREAMS);
	p = (struct td_postcopy) { .m = &m, .d = &d };
	td_postcopy_export_states(&m);
	td_postcopy_import_states(&m, &d);
	td_postcopy_export(&m, 0, &gpa, 1, &b);
	if (last >= DESTINATION_HAS_A_PAGE)
		td_postcopy_import(&d, &b);
	if (last >= DESTINATION_RUNS) {
		td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
		gpas = td_mig_list_pages(&m, &nr);
		td_postcopy_start_runners(&p, runners, NR_VCPUS);
		td_postcopy_start_pushers(&p, pushers, NR_PUSHERS, PUSH_STREAM, gpas, nr);
		while (READ_ONCE(p.nr_faults) < SOME_FAULTS)
			sched_yield();
	}

	TEST_ASSERT_EQ(write(ready, "", 1), 1);
	for (;;)
		pause();
}

TD_TEST(process_killed_during_post_copy_leaves_a_usable_system)
{
	enum last_step last;
	int fds[2], status;
	pid_t pid;
	char c;

	for (last = 0; last < NR_LAST_STEPS; last++) {
		TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
		if (!pid)
			migrate_until_killed(last, fds[1]);

		close(fds[1]);
		TEST_ASSERT(read(fds[0], &c, 1) == 1, "Step %d was not reached", last);
		close(fds[0]);
		kill(pid, SIGKILL);
		TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
		TEST_ASSERT(WIFSIGNALED(status), "The child ended by itself");
		td_run_another();
	}
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
