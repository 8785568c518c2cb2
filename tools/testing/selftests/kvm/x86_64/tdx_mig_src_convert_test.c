// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private memory that has been sent, and is to become shared: KVM refuses that until
 * the VMM has canceled the export, or the session is over, and the guest waits.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define NR_STORMS		6
#define NR_RACES		12

TD_WORKER_FIXTURE(td_worker, 1);
TD_WORKER_FIXTURE(td_workers, 2);

/* --------------------------------------------------- what is refused, and when */

static int share(struct td_worker *w, u64 first, u64 nr)
{
	return __td_mem_set_shared(w->vm, td_worker_gpa(first), nr * PAGE_SIZE);
}

static void expect_conversion_refused(struct td_worker *w)
{
	u64 page;

	for (page = TD_PAGE_SENT; page < TD_PAGE_NR_STATES; page++)
		TD_EXPECT_ERRNO(EBUSY, share(w, page, 1));
	/* Pages that could be converted by themselves, and the first one that cannot. */
	TD_EXPECT_ERRNO(EBUSY, share(w, 0, TD_PAGE_SENT + 1));
	/* The last one that cannot, and more. */
	TD_EXPECT_ERRNO(EBUSY, share(w, TD_PAGE_NR_STATES - 1, TD_WORKER_NR_PAGES));
	/* And all that there is. */
	TD_EXPECT_ERRNO(EBUSY, __td_mem_set_shared(w->vm, 0, TD_SHARED_BIT));

	/* What is private already may become private. */
	vm_mem_set_private(w->vm, td_worker_gpa(0), TD_WORKER_NR_PAGES * PAGE_SIZE);
}

TD_TEST(conversion_of_a_page_that_was_sent_is_refused_and_changes_nothing)
{
	struct td_worker w;
	struct td_mig m;
	int is_paused;

	for (is_paused = 0; is_paused < 2; is_paused++) {
		td_worker_create(&w, 1);
		td_worker_begin_mixed(&w, &m, 1);
		if (is_paused)
			td_mig_export_pause(&m);
		expect_conversion_refused(&w);
		if (!is_paused)
			td_worker_check(&w);
		td_worker_export_rest(&m, is_paused);
		/* Also not when the source has no use for it any more. */
		expect_conversion_refused(&w);
		td_worker_import(&w, &m);
		td_mig_free(&m);
		td_worker_free(&w);
	}
}

static void convert_and_get_back(struct td_worker *w, u64 page)
{
	vm_mem_set_shared(w->vm, td_worker_gpa(page), PAGE_SIZE);
	vm_mem_set_private(w->vm, td_worker_gpa(page), PAGE_SIZE);
	td_worker_get_back(w, page);
}

TD_TEST_F(td_worker, page_that_was_sent_can_be_converted_when_the_session_is_over)
{
	u64 page;

	/* By the VMM, */
	td_worker_begin_mixed(&self->w, &self->m, 1);
	TD_EXPECT_ERRNO(EBUSY, share(&self->w, TD_PAGE_SENT, 1));
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	for (page = 0; page < TD_PAGE_NR_STATES; page++)
		convert_and_get_back(&self->w, page);
	td_mig_free(&self->m);

	/* by KVM, */
	td_worker_begin_mixed(&self->w, &self->m, 1);
	vm_guest_mem_punch_hole(self->w.vm, td_worker_gpa(TD_PAGE_SENT), PAGE_SIZE);
	td_worker_get_back(&self->w, TD_PAGE_SENT);
	for (page = 0; page < TD_PAGE_NR_STATES; page++)
		convert_and_get_back(&self->w, page);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);

	/* and with nothing exported yet by the next one. */
	td_worker_begin(&self->w, &self->m, 1);
	for (page = 0; page < TD_PAGE_NR_STATES; page++)
		convert_and_get_back(&self->w, page);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, page_can_be_converted_after_an_abort_with_token)
{
	td_worker_begin_mixed(&self->w, &self->m, 1);
	td_worker_export_rest(&self->m, false);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import(&self->d, &self->m, 0, 0);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*self->m.streams[0].mbmd = *self->d.streams[0].mbmd;
	TD_EXPECT_ERRNO(EBUSY, share(&self->w, TD_PAGE_SENT, 1));
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	convert_and_get_back(&self->w, TD_PAGE_SENT);
	td_mig_dest_free(&self->d);
	td_mig_free(&self->m);
	td_worker_migrate(&self->w, 1);
}

/* ---------------------------------------------------------- the guest asks for it */

static void wait_for_refusals(u64 nr)
{
	const u64 start = td_nr_refused_conversions();

	while (td_nr_refused_conversions() - start < nr)
		usleep(100);
}

TD_TEST_F(td_worker, guest_waits_for_its_conversion_until_the_export_is_canceled)
{
	struct td_worker_thread t;

	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, 4);
	td_worker_start(&t, &self->w, 0, TD_WORKER_SHARE, 0, 3);
	wait_for_refusals(2);
	/* One after another, so that the guest waits for each. */
	td_worker_cancel(&self->m, 0, 1);
	wait_for_refusals(2);
	td_worker_cancel(&self->m, 1, 2);
	td_worker_stop(&t, 1);
	td_mig_export_track(&self->m);

	td_worker_do(&self->w, TD_WORKER_WRITE, 0, 4);
	td_worker_do(&self->w, TD_WORKER_UNSHARE, 0, 1);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_workers, sessions_go_on_or_end_while_the_guest_converts_its_memory)
{
	struct td_worker_thread t[2];
	bool is_live = false;
	int i;

	td_worker_start(&t[0], &self->w, 0, TD_WORKER_CONVERT_STORM, 0, TD_WORKER_NR_ALIASES);
	td_worker_start(&t[1], &self->w, 1, TD_WORKER_WRITE_STORM, 16, 16);

	for (i = 0; i < NR_STORMS; i++) {
		if (!is_live)
			td_worker_begin(&self->w, &self->m, 1);
		td_worker_clear_log(&self->w, 0, TD_WORKER_NR_OLD);
		td_worker_export(&self->m, TDX_MIG_GPA_OP_MIGRATE, 0, TD_WORKER_NR_OLD);
		td_mig_export_track(&self->m);
		wait_for_refusals(1);

		/* The VMM decides who has to give way. */
		is_live = i % 3 != 2;
		if (is_live) {
			td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, 0, TD_WORKER_NR_ALIASES);
			td_mig_export_track(&self->m);
			td_mig_forget_bundles(&self->m);
		} else {
			td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
			td_mig_free(&self->m);
		}
		td_worker_wait(&t[0], TD_WORKER_NR_ALIASES);
	}

	td_worker_stop(t, 2);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, 1);
}

/* ------------------------------------------------------------------- races */

struct exporter {
	struct td_mig_stream *stream;
	pthread_t thread;
	u64 nr_done;
	bool pause;
	bool is_paused;
	bool stop;
};

static void *export_new_pages(void *arg)
{
	const u64 nr = TD_WORKER_NR_NEW / 4;
	struct exporter *e = arg;
	struct td_mig_bundle b;
	u64 list[TD_WORKER_NR_NEW];
	u64 i, first;
	int ret;

	while (!READ_ONCE(e->stop)) {
		WRITE_ONCE(e->is_paused, READ_ONCE(e->pause));
		if (e->is_paused) {
			usleep(100);
			continue;
		}
		for (first = 0; first < TD_WORKER_NR_NEW; first += nr) {
			for (i = 0; i < nr; i++)
				list[i] = td_gpa_entry(td_worker_gpa(TD_WORKER_NR_OLD + first + i),
						       TDX_MIG_GPA_OP_MIGRATE);
			ret = __td_mig_export_mem(e->stream, list, nr, &b, NULL);
			TEST_ASSERT(!ret, "errno %d (%s)", errno, strerror(errno));
			td_mig_bundle_free(&b);
		}
		WRITE_ONCE(e->nr_done, e->nr_done + 1);
	}
	return NULL;
}

static void wait_for_exports(struct exporter *e)
{
	const u64 start = READ_ONCE(e->nr_done);

	while (READ_ONCE(e->nr_done) - start < 2)
		usleep(100);
}

static void pause_exports(struct exporter *e, bool pause)
{
	WRITE_ONCE(e->pause, pause);
	while (READ_ONCE(e->is_paused) != pause)
		usleep(100);
}

TD_TEST_F(td_worker, page_is_either_exported_or_converted)
{
	const u64 first = TD_WORKER_NR_OLD, nr = TD_WORKER_NR_NEW;
	bool is_refused;
	int i;
	struct exporter e;

	td_worker_begin(&self->w, &self->m, 2);
	e = (struct exporter) { .stream = &self->m.streams[1] };
	kvm_pthread_create(&e.thread, NULL, export_new_pages, &e);

	for (i = 0; i < NR_RACES; i++) {
		/* Sometimes one of the two has surely won. */
		pause_exports(&e, i % 3 == 2);
		td_pre_fault(self->w.vcpus[0], td_worker_gpa(first), nr * PAGE_SIZE);
		/* The exporter can have them from now on. */
		td_worker_clear_log(&self->w, first, nr);
		if (i % 3 == 1)
			wait_for_exports(&e);

		is_refused = share(&self->w, first, nr);
		if (i % 3)
			TEST_ASSERT_EQ(is_refused, i % 3 == 1);
		if (is_refused) {
			TEST_ASSERT(errno == EBUSY, "errno %d (%s)", errno, strerror(errno));
			pause_exports(&e, true);
			td_mig_export_track(&self->m);
			td_worker_export(&self->m, TDX_MIG_GPA_OP_CANCEL, first, nr);
			TEST_ASSERT(!share(&self->w, first, nr), "errno %d (%s)", errno,
				    strerror(errno));
		}
		/* The session must not notice that there was a conversion. */
		td_mig_export_track(&self->m);
		td_mig_forget_bundles(&self->m);
		vm_mem_set_private(self->w.vm, td_worker_gpa(first), nr * PAGE_SIZE);
	}
	WRITE_ONCE(e.stop, true);
	kvm_pthread_join(e.thread, NULL);

	td_mig_export_pause(&self->m);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, 2);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY));

	return test_harness_run(argc, argv);
}
