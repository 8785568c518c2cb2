// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a TD changes while it is migrated: private pages become shared and
 * come back, vanish, and are added; memory slots come and go.  What was sent
 * before can be revoked; otherwise removal wins over migration.  Conversions that are
 * refused are in tdx_mig_src_convert_test.c.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define OTHER_SLOT		(TD_WORKER_SLOT + 1)
#define OTHER_GPA		0x50000000UL
#define OTHER_NR_PAGES		4UL

TD_WORKER_FIXTURE_VARIANTS(td_worker, 1);
TD_MIG_VARIANT(td_worker, one_stream, 1);
TD_MIG_VARIANT(td_worker, two_streams, 2);
TD_WORKER_FIXTURE(td_workers, 2);

static int prefault(struct kvm_vcpu *vcpu, u64 page)
{
	return __td_pre_fault(vcpu, td_worker_gpa(page), PAGE_SIZE);
}

static bool was_sent(u64 page)
{
	return page >= TD_PAGE_SENT;
}

/* How the VMM takes a private page away. */
enum removal {
	REMOVE_CONVERT,
	REMOVE_PUNCH,
	REMOVE_NR,
};

static void remove_page(struct kvm_vm *vm, enum removal how, u64 page)
{
	if (how == REMOVE_CONVERT) {
		vm_mem_set_shared(vm, td_worker_gpa(page), PAGE_SIZE);
		vm_mem_set_private(vm, td_worker_gpa(page), PAGE_SIZE);
	} else {
		vm_guest_mem_punch_hole(vm, td_worker_gpa(page), PAGE_SIZE);
	}
}

static void expect_canceled(struct td_mig *m)
{
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_MEM));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_PAUSE));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m->streams[0],
						  KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE));
}

/* ------------------------------------------------- the source, without notice */

static void remove_and_look(struct td_worker *w, struct td_mig *m, bool is_paused)
{
	u64 page;

	for (page = 0; page < TD_PAGE_NR_STATES; page++) {
		td_worker_begin_mixed(w, m, w->nr_streams);
		if (is_paused)
			td_mig_export_pause(m);
		remove_page(w->vm, REMOVE_PUNCH, page);

		if (was_sent(page))
			expect_canceled(m);
		/* A TD that was not paused does not have to care. */
		if (!is_paused)
			td_worker_get_back(w, page);
		else if (was_sent(page))
			TD_EXPECT_ERRNO(EBUSY, __vcpu_run(w->vcpus[0]));

		td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(m);
		if (is_paused)
			td_worker_get_back(w, page);
		td_worker_check(w);
	}
	td_worker_migrate(w, w->nr_streams);
}

TD_TEST_F(td_worker, punched_hole_cancels_a_live_session_if_the_page_was_sent)
{
	remove_and_look(&self->w, &self->m, false);
}

TD_TEST_F(td_worker, punched_hole_cancels_a_paused_session_if_the_page_was_sent)
{
	remove_and_look(&self->w, &self->m, true);
}

/*
 * The guest makes up for it at the destination.  The TDX module takes the lack of
 * a page that was removed by an import, and not added since, for a mismatch of sizes.
 */
static void import_without_page(struct td_worker *w, struct td_mig *m, u64 page,
				bool was_canceled)
{
	struct td_mig_dest d;

	td_mig_dest_create(&d, m);
	td_mig_import(&d, m, 0, m->nr_bundles - 1);
	td_mig_import_end(&d);
	if (was_canceled)
		TEST_ASSERT(!prefault(d.vcpus[0], page), "errno %d", errno);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_FORGET, page, 1);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_ACCEPT, page, 1);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	td_mig_dest_free(&d);
}

TD_TEST(session_goes_on_without_a_page_that_was_removed_before_it_was_sent)
{
	enum removal how;
	struct td_worker w;
	struct td_mig m;
	int is_paused;

	for (is_paused = 0; is_paused < 2; is_paused++) {
		for (how = 0; how < REMOVE_NR; how++) {
			td_worker_create(&w, 1);
			td_worker_begin_mixed(&w, &m, w.nr_streams);
			if (is_paused)
				td_mig_export_pause(&m);
			remove_page(w.vm, how, TD_PAGE_BLOCKED);
			td_worker_export_rest(&m, is_paused);
			import_without_page(&w, &m, TD_PAGE_BLOCKED, false);
			td_mig_free(&m);
			td_worker_free(&w);
		}
	}
}

TD_TEST_F(td_worker, guest_runs_on_when_the_session_is_canceled)
{
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_precopy(&self->w, &self->m, 0, TD_WORKER_NR_OLD);
	remove_page(self->w.vm, REMOVE_PUNCH, 0);
	expect_canceled(&self->m);
	td_worker_get_back(&self->w, 0);

	/* All other pages are still exported, and blocked. */
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	TEST_ASSERT(td_worker_is_dirty(&self->w, TD_WORKER_NR_OLD - 1), "Write is not logged");
	td_worker_do(&self->w, TD_WORKER_ACCEPT, TD_WORKER_NR_OLD, 8);
	/* Nothing keeps the guest from converting them. */
	td_worker_do(&self->w, TD_WORKER_SHARE, 0, 2);
	td_worker_check(&self->w);
	/* Nothing can be blocked any more, so pages stay dirty. */
	td_worker_clear_log(&self->w, 8, 8);
	TEST_ASSERT(td_worker_is_dirty(&self->w, 8), "Page is taken for blocked");

	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_check(&self->w);
	td_worker_do(&self->w, TD_WORKER_UNSHARE, 0, 1);
	/* Page 1 arrives as shared memory. */
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_precopy(&self->w, &self->m, 2, 8);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, guest_runs_on_when_a_session_after_a_pause_is_canceled)
{
	/* That there was a pause once does not matter. */
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_mig_export_pause(&self->m);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);

	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_precopy(&self->w, &self->m, 0, TD_WORKER_NR_OLD);
	remove_page(self->w.vm, REMOVE_PUNCH, 0);
	expect_canceled(&self->m);
	td_worker_get_back(&self->w, 0);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_migrate(&self->w, self->w.nr_streams);
}

TD_TEST(removal_after_the_start_token_loses_the_source_and_not_the_destination)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;
	int is_aborted;

	for (is_aborted = 0; is_aborted < 2; is_aborted++) {
		td_worker_create(&w, 1);
		td_worker_begin_mixed(&w, &m, w.nr_streams);
		td_worker_export_rest(&m, false);
		remove_page(w.vm, REMOVE_PUNCH, TD_PAGE_SENT);
		remove_page(w.vm, REMOVE_PUNCH, TD_PAGE_DIRTY);
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(w.vcpus[0]));

		/* Not even the destination's token brings it back. */
		td_mig_dest_create(&d, &m);
		td_mig_import(&d, &m, 0, m.nr_bundles - 2);
		if (is_aborted) {
			td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
			*m.streams[0].mbmd = *d.streams[0].mbmd;
		}
		TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT));
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(w.vcpus[0]));
		if (!is_aborted) {
			td_mig_import_rest(&d, &m, m.nr_bundles - 1);
			td_worker_run(&w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
		}
		td_mig_dest_free(&d);
		td_mig_free(&m);
		td_worker_free(&w);
	}
}

/* ---------------------------------------------------- the source, as agreed */

TD_TEST_F(td_worker, canceled_page_can_be_converted_and_the_session_goes_on)
{
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_precopy(&self->w, &self->m, 0, 4);
	td_worker_do(&self->w, TD_WORKER_WRITE, 1, 1);
	td_worker_cancel(&self->m, 0, 3);
	td_mig_export_track(&self->m);
	td_worker_do(&self->w, TD_WORKER_SHARE, 0, 3);
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, 3);

	/* One goes back and is sent anew while live, one while paused. */
	td_worker_do(&self->w, TD_WORKER_UNSHARE, 0, 2);
	td_worker_precopy(&self->w, &self->m, 0, 1);
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, 1);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, page_can_be_canceled_and_converted_in_the_pause)
{
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_precopy(&self->w, &self->m, 0, 4);
	td_mig_export_pause(&self->m);
	td_worker_cancel(&self->m, 2, 1);
	remove_page(self->w.vm, REMOVE_CONVERT, 2);
	td_worker_export_rest(&self->m, true);
	import_without_page(&self->w, &self->m, 2, true);
}

TD_TEST_F(td_worker, canceled_page_is_sent_again_in_a_later_epoch)
{
	int i;

	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	for (i = 0; i < 3; i++) {
		td_worker_precopy(&self->w, &self->m, 0, 8);
		td_worker_do(&self->w, TD_WORKER_WRITE, 0, 4);
		td_worker_cancel(&self->m, 0, 8);
		td_mig_export_track(&self->m);
	}
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, export_that_never_was_cannot_be_canceled)
{
	u64 entry;

	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	td_worker_clear_log(&self->w, 1, 1);
	/* A page that is writable, one that is blocked, one that does not exist. */
	entry = td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, 0, 1);
	TEST_ASSERT_EQ(td_gpa_entry_op(entry), TDX_MIG_GPA_OP_NOP);
	TEST_ASSERT_EQ(td_gpa_entry_status(entry), TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT);
	entry = td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, 1, 1);
	TEST_ASSERT_EQ(td_gpa_entry_op(entry), TDX_MIG_GPA_OP_NOP);
	entry = td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, TD_WORKER_NR_OLD, 1);
	TEST_ASSERT_EQ(td_gpa_entry_op(entry), TDX_MIG_GPA_OP_NOP);
	/* And one that was canceled before. */
	td_worker_precopy(&self->w, &self->m, 2, 1);
	td_worker_cancel(&self->m, 2, 1);
	entry = td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, 2, 1);
	TEST_ASSERT_EQ(td_gpa_entry_op(entry), TDX_MIG_GPA_OP_NOP);

	td_worker_do(&self->w, TD_WORKER_WRITE, 0, 3);
	td_worker_finish(&self->w, &self->m);
}

/* ------------------------------------------------------- pages that are new */

TD_TEST_F(td_worker, pages_that_are_added_to_a_live_td_are_sent_in_whatever_state)
{
	const u64 first = TD_WORKER_NR_OLD;
	u64 i;

	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	for (i = 0; i < 4; i++)
		TEST_ASSERT(!prefault(self->w.vcpus[0], first + i), "errno %d", errno);
	/* Pending, pending and blocked, pending and sent, which get accepted then. */
	td_worker_precopy(&self->w, &self->m, first + 2, 2);
	td_worker_clear_log(&self->w, first + 1, 1);
	td_worker_do(&self->w, TD_WORKER_ACCEPT, first, 3);
	TEST_ASSERT(td_worker_is_dirty(&self->w, first + 1), "Accepted page is not dirty");
	TEST_ASSERT(td_worker_is_dirty(&self->w, first + 2), "Accepted page is not dirty");
	/* Accepted at once. */
	td_worker_do(&self->w, TD_WORKER_ACCEPT, first + 4, 2);
	TEST_ASSERT(td_worker_is_dirty(&self->w, first + 4), "New page is not dirty");
	td_worker_precopy(&self->w, &self->m, first + 4, 1);

	td_worker_export_rest(&self->m, false);
	/* Page 3 arrives as it was sent: still to be accepted. */
	import_without_page(&self->w, &self->m, first + 3, false);
}

TD_TEST_F(td_worker, paused_td_gets_no_pages_until_the_session_is_aborted)
{
	const u64 first = TD_WORKER_NR_OLD;

	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	TEST_ASSERT(!prefault(self->w.vcpus[0], first), "errno %d", errno);
	td_mig_export_pause(&self->m);
	TD_EXPECT_ERRNO(EOPNOTSUPP, prefault(self->w.vcpus[0], first + 1));
	td_mig_export_rest(&self->m);
	TD_EXPECT_ERRNO(EOPNOTSUPP, prefault(self->w.vcpus[0], first + 1));

	td_mig_dest_create(&self->d, &self->m);
	TD_EXPECT_ERRNO(EOPNOTSUPP, prefault(self->d.vcpus[0], first + 1));
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);
	TD_EXPECT_ERRNO(EOPNOTSUPP, prefault(self->d.vcpus[0], first + 1));
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	TD_EXPECT_ERRNO(EOPNOTSUPP, prefault(self->d.vcpus[0], first + 1));
	*self->m.streams[0].mbmd = *self->d.streams[0].mbmd;
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_dest_free(&self->d);

	TEST_ASSERT(!prefault(self->w.vcpus[0], first + 1), "errno %d", errno);
	td_worker_do(&self->w, TD_WORKER_ACCEPT, first, 3);
	td_mig_free(&self->m);
	td_worker_migrate(&self->w, self->w.nr_streams);
}

/* ------------------------------------------------------------ memory slots */

static int delete_slot(struct kvm_vm *vm, u32 slot)
{
	return __vm_set_user_memory_region2(vm, slot, 0, 0, 0, NULL, 0, 0);
}

static void add_other_slot(struct kvm_vm *vm, int *fd)
{
	static u8 hva[OTHER_NR_PAGES * PAGE_SIZE] __aligned(PAGE_SIZE);

	*fd = vm_create_guest_memfd(vm, sizeof(hva), 0);
	vm_set_user_memory_region2(vm, OTHER_SLOT, KVM_MEM_GUEST_MEMFD, OTHER_GPA,
				   sizeof(hva), hva, *fd, 0);
	vm_mem_set_private(vm, OTHER_GPA, sizeof(hva));
}

static int prefault_other(struct kvm_vcpu *vcpu)
{
	return __td_pre_fault(vcpu, OTHER_GPA, PAGE_SIZE);
}

/* In all phases of the source: a slot comes, changes what it can, and goes. */
static void change_slots(struct td_worker *w, bool can_map)
{
	struct kvm_userspace_memory_region2 region =
		memslot2region(w->vm, TD_WORKER_SLOT)->region;
	int fd;

	add_other_slot(w->vm, &fd);
	if (can_map)
		TEST_ASSERT(!prefault_other(w->vcpus[0]), "errno %d", errno);
	TEST_ASSERT(!delete_slot(w->vm, OTHER_SLOT), "errno %d", errno);
	close(fd);

	region.guest_phys_addr = OTHER_GPA;
	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(w->vm, KVM_SET_USER_MEMORY_REGION2, &region));
	td_worker_log(w, false);
	td_worker_log(w, true);
}

TD_TEST_F(td_worker, slots_come_and_go_in_all_phases_of_the_source)
{
	td_worker_begin(&self->w, &self->m, self->w.nr_streams);
	change_slots(&self->w, true);
	td_worker_precopy(&self->w, &self->m, 0, 8);
	change_slots(&self->w, true);
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, 4);
	td_mig_export_track(&self->m);
	td_mig_export_pause(&self->m);
	change_slots(&self->w, false);
	td_mig_export_all_mem(&self->m);
	td_mig_export_td_and_vcpus(&self->m);
	change_slots(&self->w, false);
	td_mig_export_start_token(&self->m);
	change_slots(&self->w, false);
	td_worker_import(&self->w, &self->m);
}

TD_TEST_F(td_worker, deleted_slot_cancels_the_session_if_pages_of_it_were_sent)
{
	struct kvm_userspace_memory_region2 region;
	int is_paused;

	region = memslot2region(self->w.vm, TD_WORKER_SLOT)->region;
	for (is_paused = 0; is_paused < 2; is_paused++) {
		td_worker_begin_mixed(&self->w, &self->m, self->w.nr_streams);
		if (is_paused)
			td_mig_export_pause(&self->m);
		TEST_ASSERT(!delete_slot(self->w.vm, TD_WORKER_SLOT), "errno %d", errno);
		expect_canceled(&self->m);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(&self->m);

		region.flags = KVM_MEM_GUEST_MEMFD;
		vm_ioctl(self->w.vm, KVM_SET_USER_MEMORY_REGION2, &region);
		td_worker_do(&self->w, TD_WORKER_FORGET, 0, TD_WORKER_NR_PAGES);
		td_worker_do(&self->w, TD_WORKER_ACCEPT, 0, TD_WORKER_NR_OLD);
	}
	td_worker_migrate(&self->w, self->w.nr_streams);
}

/* -------------------------------------------------------------- all at once */

#define NR_STREAMS		2
#define NR_STORMS		6

struct exporter {
	struct td_mig_stream *stream;
	pthread_t thread;
	u64 nr_done;
	bool stop;
};

static void *export_all_the_time(void *arg)
{
	struct exporter *e = arg;
	u64 list[TD_WORKER_NR_PAGES];
	struct td_mig_bundle b;
	int i, ret;

	while (!READ_ONCE(e->stop)) {
		for (i = 0; i < ARRAY_SIZE(list); i++)
			list[i] = td_gpa_entry(td_worker_gpa(i), TDX_MIG_GPA_OP_MIGRATE);
		ret = __td_mig_export_mem(e->stream, list, ARRAY_SIZE(list), &b, NULL);
		TEST_ASSERT(!ret || errno == ECANCELED, "errno %d (%s)", errno, strerror(errno));
		if (!ret)
			td_mig_bundle_free(&b);
		WRITE_ONCE(e->nr_done, e->nr_done + 1);
	}
	return NULL;
}

static void wait_for_exports(struct exporter *e, int nr)
{
	u64 start;
	int i;

	for (i = 0; i < nr; i++) {
		start = READ_ONCE(e[i].nr_done);
		while (READ_ONCE(e[i].nr_done) - start < 2)
			usleep(100);
	}
}

TD_TEST_F(td_workers, large_range_is_removed_while_streams_export_it_and_vcpus_use_it)
{
	const gpa_t gpa = td_worker_gpa(TD_WORKER_NR_OLD);
	const u64 size = TD_WORKER_NR_NEW * PAGE_SIZE;
	struct exporter e[NR_STREAMS];
	struct td_worker_thread t[2];
	int i, j, nr_canceled = 0;

	td_worker_start(&t[0], &self->w, 0, TD_WORKER_ACCEPT_STORM, TD_WORKER_NR_OLD,
			TD_WORKER_NR_NEW);
	td_worker_start(&t[1], &self->w, 1, TD_WORKER_WRITE_STORM, 0, TD_WORKER_NR_OLD);

	for (i = 0; i < NR_STORMS; i++) {
		td_worker_begin(&self->w, &self->m, NR_STREAMS);
		td_worker_wait(&t[0], TD_WORKER_NR_NEW);
		td_worker_clear_log(&self->w, 0, TD_WORKER_NR_PAGES);
		for (j = 0; j < NR_STREAMS; j++) {
			e[j] = (struct exporter) { .stream = &self->m.streams[j] };
			kvm_pthread_create(&e[j].thread, NULL, export_all_the_time, &e[j]);
		}
		wait_for_exports(e, NR_STREAMS);
		vm_guest_mem_punch_hole(self->w.vm, gpa, size);
		td_worker_wait(&t[0], TD_WORKER_NR_NEW / 2);
		vm_guest_mem_punch_hole(self->w.vm, gpa, size);
		wait_for_exports(e, NR_STREAMS);
		for (j = 0; j < NR_STREAMS; j++) {
			WRITE_ONCE(e[j].stop, true);
			kvm_pthread_join(e[j].thread, NULL);
		}
		nr_canceled += td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE) &&
			errno == ECANCELED;
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(&self->m);
	}
	TEST_ASSERT(nr_canceled, "No session was canceled");

	td_worker_stop(t, 2);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, NR_STREAMS);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY));

	return test_harness_run(argc, argv);
}
