// SPDX-License-Identifier: GPL-2.0-only
/*
 * Others are in the way when a page is removed that was exported, which cannot
 * fail and takes the end of the session: service TDs that come and access the TD;
 * vCPUs that accept pages; and, which only the software platform has, somebody who
 * never goes away.
 */
#include <fcntl.h>
#include <pthread.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

#define NR_SENT		8UL
#define NR_SESSIONS	4
#define NR_READS	50
/* Rounds of a guest that has no reason to stop. */
#define MANY_ROUNDS	50
/* Of /proc/kpageflags. */
#define KPF_PRIVATE	35

/* ----------------------------------------------------- a page that gets lost */

TD_WORKER_FIXTURE(td_worker, 1);
TD_WORKER_FIXTURE(td_workers, 2);

/* A vCPU that writes to memory until KVM_RUN fails. */
struct runner {
	struct td_worker *w;
	pthread_t thread;
	bool done;
	int error;
};

static void *run_until_it_fails(void *arg)
{
	struct runner *r = arg;

	while (!__vcpu_run(r->w->vcpus[0]))
		TEST_ASSERT_KVM_EXIT_REASON(r->w->vcpus[0], KVM_EXIT_MMIO);
	r->error = errno;
	WRITE_ONCE(r->done, true);
	return NULL;
}

static void runner_start(struct runner *r, struct td_worker *w)
{
	*r = (struct runner) { .w = w };
	w->shared->vcpu[0].op = TD_WORKER_WRITE_STORM;
	w->shared->vcpu[0].first = 2 * NR_SENT;
	w->shared->vcpu[0].nr = NR_SENT;
	kvm_pthread_create(&r->thread, NULL, run_until_it_fails, r);
	while (READ_ONCE(w->shared->vcpu[0].progress) < 2)
		usleep(100);
}

static int runner_join(struct runner *r)
{
	const u64 start = READ_ONCE(r->w->shared->vcpu[0].progress);

	while (!READ_ONCE(r->done))
		TEST_ASSERT(READ_ONCE(r->w->shared->vcpu[0].progress) - start < MANY_ROUNDS,
			    "The vCPU runs on");
	kvm_pthread_join(r->thread, NULL);
	return r->error;
}

static void remove_without_abort(struct td_worker *w, u64 first, u64 nr)
{
	td_sim_busy_leaf(TDH_EXPORT_ABORT);
	vm_guest_mem_punch_hole(w->vm, td_worker_gpa(first), nr * PAGE_SIZE);
	td_sim_busy_leaf(0);
}

TD_TEST_F(td_workers, no_vcpu_runs_on_in_a_td_that_has_lost_a_page)
{
	struct runner r;

	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	runner_start(&r, &self->w);
	remove_without_abort(&self->w, 0, 1);
	TEST_ASSERT_EQ(runner_join(&r), EIO);

	/* Nor does one start, and the session is lost. */
	TD_EXPECT_ERRNO(EIO, __vcpu_run(self->w.vcpus[0]));
	TD_EXPECT_ERRNO(EIO, __vcpu_run(self->w.vcpus[1]));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_MEM));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT));

	/* Whatever is removed now goes the same way, exported or not. */
	vm_guest_mem_punch_hole(self->w.vm, td_worker_gpa(1), TD_WORKER_NR_OLD / 2 * PAGE_SIZE);
	vm_mem_set_shared(self->w.vm, td_worker_gpa(1), TD_WORKER_NR_OLD * PAGE_SIZE);
	TD_EXPECT_ERRNO(EIO, __vcpu_run(self->w.vcpus[0]));
}

TD_TEST_F(td_worker, paused_td_that_has_lost_a_page_does_not_come_back)
{
	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_mig_export_pause(&self->m);
	remove_without_abort(&self->w, 0, 2);
	TD_EXPECT_ERRNO(EIO, __vcpu_run(self->w.vcpus[0]));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0],
						  KVM_TDX_MIG_EXPORT_STATE_TD));
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT));
}

static u64 count_pages_with_buffers(void)
{
	int fd = open("/proc/kpageflags", O_RDONLY);
	u64 flags[512], sum = 0;
	ssize_t size, i;

	TEST_ASSERT(fd >= 0, "Cannot open /proc/kpageflags, errno %d", errno);
	while ((size = read(fd, flags, sizeof(flags))) > 0) {
		for (i = 0; i < size / (ssize_t)sizeof(*flags); i++)
			sum += flags[i] >> KPF_PRIVATE & 1;
	}
	TEST_ASSERT(!size, "Cannot read /proc/kpageflags, errno %d", errno);
	close(fd);
	return sum;
}

/* Or else who takes memory offline would look for them, and find something else. */
TD_TEST_F(td_worker, page_that_the_module_keeps_is_not_taken_for_one_with_buffers)
{
	u64 nr = count_pages_with_buffers();

	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	remove_without_abort(&self->w, 0, NR_SENT);
	TD_EXPECT_ERRNO(EIO, __vcpu_run(self->w.vcpus[0]));
	TEST_ASSERT_EQ(count_pages_with_buffers(), nr);
}

TD_TEST_F(td_worker, abort_by_the_vmm_can_be_repeated)
{
	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_sim_busy_leaf(TDH_EXPORT_ABORT);
	TD_EXPECT_ERRNO(EAGAIN, __td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, 0, 0,
					     NULL));
	td_sim_busy_leaf(0);
	/* Nothing has come of it. */
	td_worker_precopy(&self->w, &self->m, NR_SENT, NR_SENT);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, 1);
}

/* ------------------------------------------------- vCPUs that accept pages */

TD_TEST_F(td_worker, page_that_a_vcpu_has_is_blocked_all_the_same)
{
	td_worker_begin(&self->w, &self->m, 1);
	td_sim_busy_entries(TDH_EXPORT_BLOCKW, 2, NR_SENT / 2);
	td_worker_clear_log(&self->w, 0, TD_WORKER_NR_OLD);
	TEST_ASSERT(!td_sim_end_busy(), "Not that many pages were locked");
	TEST_ASSERT_EQ(vm_get_stat(self->w.vm, tdx_mig_blockw), TD_WORKER_NR_OLD);

	/* The TDX module takes no page that is not blocked. */
	td_worker_precopy(&self->w, &self->m, 0, TD_WORKER_NR_OLD);
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	td_worker_precopy(&self->w, &self->m, 0, TD_WORKER_NR_OLD);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, page_that_cannot_be_unblocked_at_once_is_written_and_sent_again)
{
	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_sim_busy_leaf_times(TDH_EXPORT_UNBLOCKW, NR_SENT / 2);
	td_worker_do(&self->w, TD_WORKER_WRITE, 0, NR_SENT);
	TEST_ASSERT(!td_sim_end_busy(), "Nothing was unblocked");
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_worker_finish(&self->w, &self->m);
}

TD_TEST_F(td_worker, no_page_stays_exported_because_a_vcpu_had_it_during_the_abort)
{
	int i;

	/* In the pause, all pages are exported. */
	for (i = 0; i < 2; i++) {
		td_worker_begin(&self->w, &self->m, 1);
		td_worker_precopy(&self->w, &self->m, 0, TD_WORKER_NR_OLD);
		if (i) {
			td_mig_export_pause(&self->m);
			td_mig_export_all_mem(&self->m);
		}
		td_sim_busy_entries(TDH_EXPORT_RESTORE, 2, NR_SENT);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		TEST_ASSERT(!td_sim_end_busy(), "Not that many pages were locked");
		td_mig_free(&self->m);

		td_worker_check(&self->w);
		td_worker_do(&self->w, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	}
	td_worker_migrate(&self->w, 1);
}

TD_TEST_F(td_worker, exported_page_that_a_vcpu_has_is_removed_all_the_same)
{
	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_sim_busy_entries(TDH_EXPORT_RESTORE, 1, 1);
	vm_guest_mem_punch_hole(self->w.vm, td_worker_gpa(0), PAGE_SIZE);
	TEST_ASSERT(!td_sim_end_busy(), "Nothing was restored");
	TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE));

	td_worker_get_back(&self->w, 0);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_migrate(&self->w, 1);
}

/* -------------------------------------------------------------- service TDs */

struct disturber {
	struct kvm_vm *vm;
	pthread_t thread;
	u64 nr_done;
	bool stop;
};

static void *bind_all_the_time(void *arg)
{
	struct td_migtd *migtd = td_mig_src_migtd();
	struct disturber *d = arg;

	while (!READ_ONCE(d->stop)) {
		td_migtd_bind(migtd, d->vm, 0);
		WRITE_ONCE(d->nr_done, d->nr_done + 1);
	}
	return NULL;
}

static void *access_all_the_time(void *arg)
{
	struct td_migtd *migtd = td_mig_src_migtd();
	struct disturber *d = arg;

	while (!READ_ONCE(d->stop)) {
		td_migtd_poll(migtd, TD_MD_MIG_VERSION, NR_READS);
		WRITE_ONCE(d->nr_done, d->nr_done + 1);
	}
	return NULL;
}

static void disturber_start(struct disturber *d, struct kvm_vm *vm, void *(*fn)(void *))
{
	*d = (struct disturber) { .vm = vm };
	kvm_pthread_create(&d->thread, NULL, fn, d);
	while (READ_ONCE(d->nr_done) < 2)
		usleep(100);
}

static void disturber_stop(struct disturber *d)
{
	WRITE_ONCE(d->stop, true);
	kvm_pthread_join(d->thread, NULL);
}

static void remove_under(struct td_worker *w, struct td_mig *m, void *(*fn)(void *))
{
	struct disturber d;
	int i;

	for (i = 0; i < NR_SESSIONS; i++) {
		td_worker_begin(w, m, 1);
		td_worker_precopy(w, m, 0, NR_SENT);
		disturber_start(&d, w->vm, fn);
		vm_guest_mem_punch_hole(w->vm, td_worker_gpa(0), NR_SENT / 2 * PAGE_SIZE);
		disturber_stop(&d);
		TD_EXPECT_ERRNO(ECANCELED, td_mig_try_cmd(&m->streams[0],
							  KVM_TDX_MIG_EXPORT_PAUSE));

		/* Not lost: the TD has its other pages, and gets new ones. */
		td_worker_do(w, TD_WORKER_FORGET, 0, NR_SENT / 2);
		td_worker_do(w, TD_WORKER_ACCEPT, 0, NR_SENT / 2);
		td_worker_check(w);
		td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(m);
	}
	td_worker_migrate(w, 1);
}

TD_TEST_F(td_worker, exported_page_is_removed_while_a_service_td_is_bound)
{
	remove_under(&self->w, &self->m, bind_all_the_time);
}

TD_TEST_F(td_worker, exported_page_is_removed_while_a_service_td_accesses_the_td)
{
	remove_under(&self->w, &self->m, access_all_the_time);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	/* Whoever set a knob and died. */
	td_sim_end_busy();

	return test_harness_run(argc, argv);
}
