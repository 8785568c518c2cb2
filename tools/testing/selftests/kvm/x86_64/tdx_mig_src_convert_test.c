// SPDX-License-Identifier: GPL-2.0-only
/*
 * Private memory that has been sent, and is to become shared: KVM refuses that until
 * the VMM has canceled the export, or the session is over, and the guest waits.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_test.h"
#include "tdx_worker.h"

/* A page of each group, as it is before it changes. */
#define WRITABLE_PAGE		0UL
#define BLOCKED_PAGE		1UL
#define SENT_PAGE		2UL
#define DIRTY_PAGE		3UL
#define DIRTY_BLOCKED_PAGE	4UL
#define NR_CHANGED		5UL

#define NR_STORMS		6
#define NR_RACES		12

/* A live session with the pages in their states. */
static void begin(struct td_worker *w, struct td_mig *m)
{
	td_worker_begin(w, m, 1);
	td_worker_precopy(w, m, SENT_PAGE, NR_CHANGED - SENT_PAGE);
	td_worker_do(w, TD_WORKER_WRITE, DIRTY_PAGE, NR_CHANGED - DIRTY_PAGE);
	td_worker_clear_log(w, BLOCKED_PAGE, 1);
	td_worker_clear_log(w, DIRTY_BLOCKED_PAGE, 1);
}

static void get_page_back(struct td_worker *w, u64 page)
{
	td_worker_do(w, TD_WORKER_FORGET, page, 1);
	td_worker_do(w, TD_WORKER_ACCEPT, page, 1);
	td_worker_check(w);
}

static void cancel(struct td_mig *m, u64 first, u64 nr)
{
	u64 entry = td_worker_export(m, TDX_MIG_GPA_OP_CANCEL, first, nr);

	TEST_ASSERT_EQ(td_mig_entry_op(entry), TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT_EQ(td_mig_entry_status(entry), TDX_MIG_GPA_STATUS_SUCCESS);
}

/* --------------------------------------------------- what is refused, and when */

static int share(struct td_worker *w, u64 first, u64 nr)
{
	return __td_mem_set_shared(w->vm, td_worker_gpa(first), nr * PAGE_SIZE);
}

static void expect_conversion_refused(struct td_worker *w)
{
	u64 page;

	for (page = SENT_PAGE; page < NR_CHANGED; page++)
		TD_EXPECT_ERRNO(EBUSY, share(w, page, 1));
	/* Pages that could be converted by themselves, and the first one that cannot. */
	TD_EXPECT_ERRNO(EBUSY, share(w, 0, SENT_PAGE + 1));
	/* The last one that cannot, and more. */
	TD_EXPECT_ERRNO(EBUSY, share(w, NR_CHANGED - 1, TD_WORKER_NR_PAGES));
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
		begin(&w, &m);
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
	get_page_back(w, page);
}

TD_TEST(page_that_was_sent_can_be_converted_when_the_session_is_over)
{
	struct td_worker w;
	struct td_mig m;
	u64 page;

	td_worker_create(&w, 1);
	/* By the VMM, */
	begin(&w, &m);
	TD_EXPECT_ERRNO(EBUSY, share(&w, SENT_PAGE, 1));
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	for (page = 0; page < NR_CHANGED; page++)
		convert_and_get_back(&w, page);
	td_mig_free(&m);

	/* by KVM, */
	begin(&w, &m);
	vm_guest_mem_punch_hole(w.vm, td_worker_gpa(SENT_PAGE), PAGE_SIZE);
	get_page_back(&w, SENT_PAGE);
	for (page = 0; page < NR_CHANGED; page++)
		convert_and_get_back(&w, page);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);

	/* and with nothing exported yet by the next one. */
	td_worker_begin(&w, &m, 1);
	for (page = 0; page < NR_CHANGED; page++)
		convert_and_get_back(&w, page);
	td_worker_finish(&w, &m);
	td_mig_free(&m);
	td_worker_free(&w);
}

TD_TEST(page_can_be_converted_after_an_abort_with_token)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	begin(&w, &m);
	td_worker_export_rest(&m, false);
	td_mig_dest_create(&d, &m);
	td_mig_import(&d, &m, 0, 0);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*m.streams[0].mbmd = *d.streams[0].mbmd;
	TD_EXPECT_ERRNO(EBUSY, share(&w, SENT_PAGE, 1));
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	convert_and_get_back(&w, SENT_PAGE);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	td_worker_migrate(&w, 1);
	td_worker_free(&w);
}

/* ---------------------------------------------------------- the guest asks for it */

static void wait_for_refusals(u64 nr)
{
	const u64 start = td_nr_refused_conversions();

	while (td_nr_refused_conversions() - start < nr)
		usleep(100);
}

TD_TEST(guest_waits_for_its_conversion_until_the_export_is_canceled)
{
	struct td_worker_thread t;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_begin(&w, &m, 1);
	td_worker_precopy(&w, &m, 0, 4);
	td_worker_start(&t, &w, 0, TD_WORKER_SHARE, 0, 3);
	wait_for_refusals(2);
	/* One after another, so that the guest waits for each. */
	cancel(&m, 0, 1);
	wait_for_refusals(2);
	cancel(&m, 1, 2);
	td_worker_stop(&t, 1);
	td_worker_track(&m);

	td_worker_do(&w, TD_WORKER_WRITE, 0, 4);
	td_worker_do(&w, TD_WORKER_UNSHARE, 0, 1);
	td_worker_finish(&w, &m);
	td_mig_free(&m);
	td_worker_free(&w);
}

static void forget_bundles(struct td_mig *m)
{
	while (m->nr_bundles)
		td_mig_bundle_free(&m->bundles[--m->nr_bundles]);
}

TD_TEST(sessions_go_on_or_end_while_the_guest_converts_its_memory)
{
	struct td_worker_thread t[2];
	bool is_live = false;
	struct td_worker w;
	struct td_mig m;
	int i;

	td_worker_create(&w, 2);
	td_worker_start(&t[0], &w, 0, TD_WORKER_CONVERT_STORM, 0, TD_WORKER_NR_ALIASES);
	td_worker_start(&t[1], &w, 1, TD_WORKER_WRITE_STORM, 16, 16);

	for (i = 0; i < NR_STORMS; i++) {
		if (!is_live)
			td_worker_begin(&w, &m, 1);
		td_worker_clear_log(&w, 0, TD_WORKER_NR_OLD);
		td_worker_export(&m, TDX_MIG_GPA_OP_MIGRATE, 0, TD_WORKER_NR_OLD);
		td_worker_track(&m);
		wait_for_refusals(1);

		/* The VMM decides who has to give way. */
		is_live = i % 3 != 2;
		if (is_live) {
			td_worker_export(&m, TDX_MIG_GPA_OP_CANCEL, 0, TD_WORKER_NR_ALIASES);
			td_worker_track(&m);
			forget_bundles(&m);
		} else {
			td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
			td_mig_free(&m);
		}
		td_worker_wait(&t[0], TD_WORKER_NR_ALIASES);
	}

	td_worker_stop(t, 2);
	td_worker_check(&w);
	td_worker_migrate(&w, 1);
	td_worker_free(&w);
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
				list[i] = td_worker_gpa(TD_WORKER_NR_OLD + first + i) |
					  (u64)TDX_MIG_GPA_OP_MIGRATE <<
					  TDX_MIG_GPA_ENTRY_OP_SHIFT;
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

TD_TEST(page_is_either_exported_or_converted)
{
	const u64 first = TD_WORKER_NR_OLD, nr = TD_WORKER_NR_NEW;
	struct kvm_pre_fault_memory range;
	bool is_refused;
	int i;
	struct exporter e;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_begin(&w, &m, 2);
	e = (struct exporter) { .stream = &m.streams[1] };
	kvm_pthread_create(&e.thread, NULL, export_new_pages, &e);

	for (i = 0; i < NR_RACES; i++) {
		/* Sometimes one of the two has surely won. */
		pause_exports(&e, i % 3 == 2);
		range = (struct kvm_pre_fault_memory) {
			.gpa = td_worker_gpa(first),
			.size = nr * PAGE_SIZE,
		};
		while (range.size)
			vcpu_ioctl(w.vcpus[0], KVM_PRE_FAULT_MEMORY, &range);
		/* The exporter can have them from now on. */
		td_worker_clear_log(&w, first, nr);
		if (i % 3 == 1)
			wait_for_exports(&e);

		is_refused = share(&w, first, nr);
		if (i % 3)
			TEST_ASSERT_EQ(is_refused, i % 3 == 1);
		if (is_refused) {
			TEST_ASSERT(errno == EBUSY, "errno %d (%s)", errno, strerror(errno));
			pause_exports(&e, true);
			td_worker_track(&m);
			td_worker_export(&m, TDX_MIG_GPA_OP_CANCEL, first, nr);
			TEST_ASSERT(!share(&w, first, nr), "errno %d (%s)", errno,
				    strerror(errno));
		}
		/* The session must not notice that there was a conversion. */
		td_worker_track(&m);
		forget_bundles(&m);
		vm_mem_set_private(w.vm, td_worker_gpa(first), nr * PAGE_SIZE);
	}
	WRITE_ONCE(e.stop, true);
	kvm_pthread_join(e.thread, NULL);

	td_mig_export_pause(&m);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&m);
	td_worker_check(&w);
	td_worker_migrate(&w, 2);
	td_worker_free(&w);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_PRE_FAULT_MEMORY));

	return test_harness_run(argc, argv);
}
