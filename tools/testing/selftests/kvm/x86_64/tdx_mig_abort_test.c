// SPDX-License-Identifier: GPL-2.0-only
/*
 * A migration is given up, in each phase and by each side.  The source goes on
 * with all its memory, unless the destination may run; and it can be migrated
 * again.
 */
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* Groups of pages, each in a state of its own when the session is given up. */
#define GROUP_NR_PAGES		8UL
#define CLEAN_FIRST		0UL
#define DIRTY_FIRST		(CLEAN_FIRST + GROUP_NR_PAGES)
#define DIRTY_BLOCKED_FIRST	(DIRTY_FIRST + GROUP_NR_PAGES)
#define BLOCKED_FIRST		(DIRTY_BLOCKED_FIRST + GROUP_NR_PAGES)
#define CANCELED_FIRST		(BLOCKED_FIRST + GROUP_NR_PAGES)
/* The rest of the old pages is writable and was never sent. */

#define PENDING_NR_PAGES	4UL
#define PENDING_FIRST		TD_WORKER_NR_OLD
#define PENDING_BLOCKED_FIRST	(PENDING_FIRST + PENDING_NR_PAGES)
#define PENDING_SENT_FIRST	(PENDING_BLOCKED_FIRST + PENDING_NR_PAGES)
#define PENDING_END		(PENDING_SENT_FIRST + PENDING_NR_PAGES)

kvm_static_assert(CANCELED_FIRST + GROUP_NR_PAGES < TD_WORKER_NR_OLD);
kvm_static_assert(PENDING_END <= TD_WORKER_NR_PAGES);

#define NR_SESSIONS		8

/* So many pages that it takes a while to restore them. */
#define LARGE_GPA		BIT_ULL(30)
#define LARGE_NR_PAGES		16384UL
#define OTHER_SLOT		(TD_SLOT_UNACCEPTED + 1)
#define OTHER_GPA		BIT_ULL(33)
#define NR_ATTEMPTS		20

TD_WORKER_FIXTURE_VARIANTS(td_worker, 1);
TD_MIG_VARIANT(td_worker, one_stream, 1);
TD_MIG_VARIANT(td_worker, two_streams, 2);
TD_WORKER_FIXTURE_VARIANTS(td_workers, 2);
TD_MIG_VARIANT(td_workers, one_stream, 1);
TD_MIG_VARIANT(td_workers, two_streams, 2);

static void prefault(struct td_worker *w, u64 first, u64 nr)
{
	td_pre_fault(w->vcpus[0], td_worker_gpa(first), nr * PAGE_SIZE);
}

/* Have pages in all states that a live session knows. */
static void mix_states(struct td_worker *w, struct td_mig *m)
{
	prefault(w, PENDING_FIRST, PENDING_END - PENDING_FIRST);

	td_worker_precopy(w, m, CLEAN_FIRST, 3 * GROUP_NR_PAGES);
	td_worker_precopy(w, m, PENDING_SENT_FIRST, PENDING_NR_PAGES);
	td_worker_precopy(w, m, CANCELED_FIRST, GROUP_NR_PAGES);
	td_worker_do(w, TD_WORKER_WRITE, DIRTY_FIRST, 2 * GROUP_NR_PAGES);
	td_worker_clear_log(w, DIRTY_BLOCKED_FIRST, 2 * GROUP_NR_PAGES);
	td_worker_clear_log(w, PENDING_BLOCKED_FIRST, PENDING_NR_PAGES);
	td_worker_export(m, TDX_MIG_GPA_OP_CANCEL, CANCELED_FIRST, GROUP_NR_PAGES);
	td_mig_export_track(m);
}

/* All states are as before the session: pages can be used, and removed. */
static void check_states(struct td_worker *w)
{
	const u64 nr = PENDING_END - PENDING_FIRST;

	td_worker_check(w);
	td_worker_do(w, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	td_worker_do(w, TD_WORKER_ACCEPT, PENDING_FIRST, nr);
	td_worker_check(w);

	td_worker_do(w, TD_WORKER_FORGET, PENDING_FIRST, nr);
	vm_guest_mem_punch_hole(w->vm, td_worker_gpa(PENDING_FIRST), nr * PAGE_SIZE);
}

/* --------------------------------------------------------------- the source */

enum source_step {
	SOURCE_LIVE,
	SOURCE_LIVE_SENT,
	SOURCE_PAUSED,
	SOURCE_PAUSED_SENT,
	SOURCE_TD_STATE,
	SOURCE_VCPU_STATE,
	SOURCE_NR_STEPS,
};

static void go_to_step(struct td_worker *w, struct td_mig *m, enum source_step step)
{
	td_worker_begin(w, m, w->nr_streams);
	if (step >= SOURCE_LIVE_SENT)
		mix_states(w, m);
	else
		prefault(w, PENDING_FIRST, PENDING_END - PENDING_FIRST);
	if (step >= SOURCE_PAUSED)
		td_mig_export_pause(m);
	if (step >= SOURCE_PAUSED_SENT)
		td_mig_export_all_mem(m);
	if (step == SOURCE_TD_STATE)
		TEST_ASSERT(!td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_STATE_TD),
			    "Export of the TD state failed, errno %d", errno);
	if (step == SOURCE_VCPU_STATE)
		td_mig_export_td_and_vcpus(m);
}

TD_TEST_F(td_workers, source_goes_on_after_an_abort_before_the_start_token)
{
	enum source_step step;

	for (step = 0; step < SOURCE_NR_STEPS; step++) {
		go_to_step(&self->w, &self->m, step);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->m.streams[0],
						      KVM_TDX_MIG_EXPORT_ABORT));
		td_mig_free(&self->m);
		check_states(&self->w);
	}
	td_worker_migrate(&self->w, self->w.nr_streams);
}

TD_TEST_F(td_workers, vcpus_do_not_notice_that_a_live_session_is_aborted)
{
	struct td_worker_thread t[2];
	int i;

	td_worker_start(&t[0], &self->w, 0, TD_WORKER_CALL_STORM, 0, 2);
	td_worker_start(&t[1], &self->w, 1, TD_WORKER_WRITE_STORM, 2, 16);
	for (i = 0; i < NR_SESSIONS; i++) {
		td_worker_begin(&self->w, &self->m, self->w.nr_streams);
		td_worker_clear_log(&self->w, 0, TD_WORKER_NR_OLD);
		td_worker_export(&self->m, TDX_MIG_GPA_OP_MIGRATE, 0, TD_WORKER_NR_OLD);
		td_worker_wait(&t[0], 1);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(&self->m);
		td_worker_wait(&t[0], 2);
		td_worker_wait(&t[1], 1);
	}
	td_worker_stop(t, 2);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, self->w.nr_streams);
}

struct aborter {
	struct td_mig *m;
	pthread_t thread;
	bool done;
};

static void *abort_export(void *arg)
{
	struct aborter *a = arg;

	td_mig_cmd(&a->m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	WRITE_ONCE(a->done, true);
	return NULL;
}

/* Returns whether the abort has gone on to restore pages when that was done. */
static bool add_slot_during_abort(struct kvm_vm *vm, struct td_mig *m, void *mem)
{
	u64 calls = td_sim_count_leaf(TDH_EXPORT_RESTORE);
	struct aborter a = { .m = m };

	kvm_pthread_create(&a.thread, NULL, abort_export, &a);
	while (td_sim_count_leaf(TDH_EXPORT_RESTORE) == calls && !READ_ONCE(a.done))
		;
	vm_set_user_memory_region(vm, OTHER_SLOT, 0, OTHER_GPA, PAGE_SIZE, mem);
	calls = td_sim_count_leaf(TDH_EXPORT_RESTORE);
	kvm_pthread_join(a.thread, NULL);
	vm_set_user_memory_region(vm, OTHER_SLOT, 0, OTHER_GPA, 0, NULL);
	return td_sim_count_leaf(TDH_EXPORT_RESTORE) > calls;
}

/* So that the abort has something to restore. */
static void send_page(struct kvm_vm *vm, struct td_mig_stream *s)
{
	u64 hw_error, nr = 1;
	unsigned long bit = 1;

	kvm_vm_clear_dirty_log(vm, TD_SLOT_UNACCEPTED, &bit, 0, 64);
	s->gpa_list[0] = td_gpa_entry(LARGE_GPA, TDX_MIG_GPA_OP_MIGRATE);
	TEST_ASSERT(!__td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_MEM, &nr, &hw_error),
		    "Export failed, errno %d", errno);
}

static void guest_idle(void)
{
}

TD_TEST(memslots_can_be_changed_while_an_abort_restores_pages)
{
	struct kvm_userspace_memory_region2 region;
	struct kvm_vcpu *vcpu;
	bool goes_on = false;
	struct td_mig m;
	struct kvm_vm *vm;
	void *mem;
	int i;

	TEST_REQUIRE(td_sim_is_present());

	vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, LARGE_NR_PAGES, guest_idle, &vcpu);
	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(vm, TD_SLOT_UNACCEPTED, LARGE_GPA, LARGE_NR_PAGES);
	td_launch(vm);
	region = memslot2region(vm, TD_SLOT_UNACCEPTED)->region;
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
	td_pre_fault(vcpu, LARGE_GPA, LARGE_NR_PAGES * PAGE_SIZE);
	mem = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	TEST_ASSERT(mem != MAP_FAILED, "mmap() failed, errno %d", errno);

	for (i = 0; i < NR_ATTEMPTS && !goes_on; i++) {
		td_mig_init(&m, vm, &vcpu, 1, 1);
		td_mig_export_immutable(&m);
		send_page(vm, &m.streams[0]);
		goes_on = add_slot_during_abort(vm, &m, mem);
		td_mig_free(&m);
	}
	TEST_ASSERT(goes_on, "Memslots have waited for the end of each of %d aborts", i);

	munmap(mem, PAGE_SIZE);
	kvm_vm_free(vm);
}

static void punch_all_memory(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	sparsebit_idx_t first, last;
	int ctr;

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		if (!sparsebit_any_set(region->protected_phy_pages))
			continue;
		sparsebit_for_each_set_range(region->protected_phy_pages, first, last)
			vm_guest_mem_punch_hole(vm, first << vm->page_shift,
						(last - first + 1) << vm->page_shift);
	}
}

TD_TEST_F(td_worker, abort_ends_although_no_page_is_left)
{
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_mig_export_pause(&self->m);
	td_worker_export(&self->m, TDX_MIG_GPA_OP_MIGRATE, 0, 1);
	punch_all_memory(self->w.vm);
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0],
						  KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->w.vcpus[0]));
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
}

/* --------------------------------------------------------------- the tokens */

static void send_all(struct td_worker *w, struct td_mig *m)
{
	td_worker_begin(w, m, w->nr_streams);
	mix_states(w, m);
	td_worker_export_rest(m, false);
}

static void use_token(struct td_mig *m, const struct tdx_mig_mbmd *token)
{
	*m->streams[0].mbmd = *token;
	td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
}

static void expect_refused(struct td_worker *w, struct td_mig *m,
			   const struct tdx_mig_mbmd *token, int expected)
{
	int ret;

	*m->streams[0].mbmd = *token;
	ret = td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	TEST_ASSERT(ret == -1 && errno == expected, "Abort returned %d, errno %d, expected %d",
		    ret, errno, expected);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(w->vcpus[0]));
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_STATE_TD));
}

TD_TEST_F(td_worker, forged_token_does_not_wake_the_source)
{
	static const struct {
		size_t offset;
		int expected;
	} fields[] = {
		{ offsetof(struct tdx_mig_mbmd, size), EINVAL },
		{ offsetof(struct tdx_mig_mbmd, mig_version), EIO },
		{ offsetof(struct tdx_mig_mbmd, migs_index), EIO },
		{ offsetof(struct tdx_mig_mbmd, mb_type), EINVAL },
		{ offsetof(struct tdx_mig_mbmd, reserved0), EIO },
		{ offsetof(struct tdx_mig_mbmd, mb_counter), EIO },
		{ offsetof(struct tdx_mig_mbmd, mig_epoch), EIO },
		{ offsetof(struct tdx_mig_mbmd, iv_counter), EIO },
		{ offsetof(struct tdx_mig_mbmd, type_info), EIO },
		{ offsetof(struct tdx_mig_mbmd, mac), EIO },
	};
	struct tdx_mig_mbmd token, forged;
	int i;

	send_all(&self->w, &self->m);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 2);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	token = *self->d.streams[0].mbmd;

	memset(&forged, 0, sizeof(forged));
	expect_refused(&self->w, &self->m, &forged, EINVAL);
	expect_refused(&self->w, &self->m, &self->m.bundles[self->m.nr_bundles - 1].mbmd, EINVAL);
	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		forged = token;
		((u8 *)&forged)[fields[i].offset] ^= 1;
		expect_refused(&self->w, &self->m, &forged, fields[i].expected);
	}

	use_token(&self->m, &token);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT));
	td_mig_dest_free(&self->d);
	td_mig_free(&self->m);
	check_states(&self->w);
	td_worker_migrate(&self->w, self->w.nr_streams);
}

static void get_token(struct td_mig *m, struct tdx_mig_mbmd *token)
{
	struct td_mig_dest d;

	td_mig_dest_create(&d, m);
	td_mig_import(&d, m, 0, 0);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*token = *d.streams[0].mbmd;
	td_mig_dest_free(&d);
}

TD_TEST(token_of_another_session_does_not_wake_the_source)
{
	struct tdx_mig_mbmd first, second, other_td;
	struct td_worker w, other;
	struct td_mig m;

	td_worker_create(&other, 1);
	send_all(&other, &m);
	get_token(&m, &other_td);
	td_mig_free(&m);

	td_worker_create(&w, 1);
	send_all(&w, &m);
	get_token(&m, &first);
	expect_refused(&w, &m, &other_td, EIO);
	use_token(&m, &first);
	td_mig_free(&m);
	check_states(&w);

	/* What was good for the first session is not for the second one. */
	send_all(&w, &m);
	get_token(&m, &second);
	expect_refused(&w, &m, &first, EIO);
	expect_refused(&w, &m, &other_td, EIO);
	use_token(&m, &second);
	td_mig_free(&m);
	check_states(&w);

	td_worker_free(&w);
	td_worker_free(&other);
}

/* ---------------------------------------------------------- the destination */

enum dest_step {
	DEST_IMMUTABLE,
	DEST_FIRST_MEMORY,
	DEST_MEMORY,
	DEST_TD_STATE,
	DEST_FIRST_VCPU,
	DEST_VCPUS,
	DEST_START_TOKEN,
	DEST_NR_STEPS,
};

/* Index of the last bundle that the destination imports. */
static int last_bundle(struct td_mig *m, enum dest_step step)
{
	switch (step) {
	case DEST_IMMUTABLE:
		return 0;
	case DEST_FIRST_MEMORY:
		return td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_MEM);
	case DEST_MEMORY:
		return td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD) - 1;
	case DEST_TD_STATE:
		return td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD);
	case DEST_FIRST_VCPU:
		return td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_VP);
	case DEST_VCPUS:
		return m->nr_bundles - 2;
	default:
		return m->nr_bundles - 1;
	}
}

static void expect_dead(struct td_mig_dest *d)
{
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(d->vcpus[0]));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_MEM));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_STATE_TD));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_STATE_VP));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_TRACK));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT));
	TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END));
	TD_EXPECT_ERRNO(EINVAL, td_mig_try_cmd(&d->streams[0], KVM_TDX_MIG_EXPORT_ABORT));
}

TD_TEST_F(td_workers, source_goes_on_when_the_destination_aborts_in_any_phase)
{
	enum dest_step step;

	for (step = 0; step < DEST_NR_STEPS; step++) {
		send_all(&self->w, &self->m);
		td_mig_dest_create(&self->d, &self->m);
		TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->d.streams[0],
						      KVM_TDX_MIG_IMPORT_ABORT));
		td_mig_import(&self->d, &self->m, 0, last_bundle(&self->m, step));
		td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
		expect_dead(&self->d);

		/* A token that got lost can be had again. */
		if (step & 1) {
			memset(self->d.streams[0].mbmd, 0, sizeof(*self->d.streams[0].mbmd));
			td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
		}
		use_token(&self->m, self->d.streams[0].mbmd);
		td_mig_dest_free(&self->d);
		td_mig_free(&self->m);
		check_states(&self->w);
	}
	td_worker_migrate(&self->w, self->w.nr_streams);
}

TD_TEST_F(td_worker, source_goes_on_when_an_import_has_failed)
{
	static const u32 imports[] = {
		KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE,
		KVM_TDX_MIG_IMPORT_MEM,
		KVM_TDX_MIG_IMPORT_STATE_TD,
		KVM_TDX_MIG_IMPORT_STATE_VP,
	};
	struct td_mig_bundle *b;
	int i, first;

	for (i = 0; i < ARRAY_SIZE(imports); i++) {
		send_all(&self->w, &self->m);
		td_mig_dest_create(&self->d, &self->m);
		first = td_mig_find_bundle(&self->m, imports[i]);
		td_mig_import(&self->d, &self->m, 0, first - 1);
		b = &self->m.bundles[first];
		b->pages[0] ^= 1;
		TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, b, NULL));
		expect_dead(&self->d);
		td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
		expect_dead(&self->d);
		use_token(&self->m, self->d.streams[0].mbmd);
		td_mig_dest_free(&self->d);
		td_mig_free(&self->m);
		check_states(&self->w);
	}
	td_worker_migrate(&self->w, self->w.nr_streams);
}

TD_TEST_F(td_worker, committed_destination_cannot_abort_and_the_source_stays_stopped)
{
	send_all(&self->w, &self->m);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	TD_EXPECT_ERRNO(EBUSY, td_mig_try_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT));
	expect_refused(&self->w, &self->m, self->d.streams[0].mbmd, EINVAL);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_END);
	td_worker_run(&self->w, self->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->w.vcpus[0]));
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY));

	return test_harness_run(argc, argv);
}
