// SPDX-License-Identifier: GPL-2.0-only
/*
 * The end of a VM in the midst of a migration: whatever its process does or
 * suffers, the TDX module and KVM get back all that they gave to the TD.
 *
 * Every VM lives in a child process, so that the test can look at what is left when
 * the child is gone.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"
#include "tdx_worker.h"

/* More than there are key ids for TDs. */
#define MAX_TDS			256

#define SMALL_NR_ENTRIES	64

/* ------------------------------------------------------- what has to be left */

/* TDs that can exist at the same time, i.e. key ids that are free. */
static int count_free_keys(void)
{
	static struct kvm_vm *vms[MAX_TDS];
	struct kvm_tdx_init_vm *init;
	int i, nr, ret = 0;

	for (nr = 0; nr < MAX_TDS && !ret; nr++) {
		vms[nr] = td_create_barebones();
		init = td_alloc_init_vm(vms[nr], 0);
		ret = __td_vm_ioctl(vms[nr], KVM_TDX_INIT_VM, 0, init, NULL);
		free(init);
	}
	TEST_ASSERT(ret, "%d TDs, and no end in sight", nr);
	for (i = 0; i < nr; i++)
		kvm_vm_free(vms[i]);
	return nr - 1;
}

static void expect_nothing_left(const char *what, int i)
{
	unsigned int nr = td_sim_count_owned_pages(NULL);

	TEST_ASSERT(!nr, "%s %d: %u pages are still owned by TDs", what, i, nr);
}

/* ----------------------------------------------------------- child processes */

/* Shared by the processes. */
struct progress {
	u64 nr;
};

static struct progress *alloc_progress(void)
{
	return kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static void report_progress(struct progress *p)
{
	__atomic_add_fetch(&p->nr, 1, __ATOMIC_RELAXED);
}

/* Returns false if the child has ended before. */
static bool wait_for_progress(struct progress *p, u64 nr, pid_t pid)
{
	siginfo_t info = {};

	while (READ_ONCE(p->nr) < nr) {
		usleep(200);
		waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT);
		if (info.si_pid)
			return false;
	}
	return true;
}

static pid_t fork_child(void)
{
	pid_t pid;

	/* Else both flush it. */
	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Kill a child that works without end when it has got to @nr. */
static void kill_at(void (*work)(struct progress *p), u64 nr)
{
	struct progress *p = alloc_progress();
	int status;
	pid_t pid;

	pid = fork_child();
	if (!pid) {
		work(p);
		_exit(1);
	}
	TEST_ASSERT(wait_for_progress(p, nr, pid), "The child did not get to %lu", nr);
	kill(pid, SIGKILL);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		    "The child ended by itself, status 0x%x", status);
	kvm_munmap(p, PAGE_SIZE);
	expect_nothing_left("Killed at", nr);
}

/* ------------------------------------------------------------ orderly closes */

enum phase {
	SRC_LIVE,
	SRC_LIVE_SENT,
	SRC_PAUSED,
	SRC_CANCELED,
	SRC_POST,
	SRC_LOST,
	DST_MEMORY,
	DST_STATE,
	DST_POST,
	DST_LIVE,
	DST_RUNNABLE,
	DST_ABORTED,
	NR_PHASES,
};

/* Groups of file descriptors of a VM. */
enum group {
	STREAMS,
	GMEM,
	VCPUS,
	VM,
	NR_GROUPS,
};

static const enum group orders[][NR_GROUPS] = {
	{ STREAMS, GMEM, VCPUS, VM },
	{ VM, VCPUS, GMEM, STREAMS },
	{ GMEM, STREAMS, VM, VCPUS },
	{ VCPUS, VM, STREAMS, GMEM },
	{ GMEM, VM, VCPUS, STREAMS },
	{ STREAMS, VCPUS, VM, GMEM },
};

static void go_to_phase(struct td_worker *w, struct td_mig *m, struct td_mig_dest *d,
			enum phase phase)
{
	td_worker_create(w, 2);
	td_worker_begin(w, m, 1);
	td_mig_dest_create(d, m);
	if (phase == SRC_LIVE)
		return;

	td_worker_precopy(w, m, 0, TD_WORKER_NR_OLD / 2);
	td_worker_do(w, TD_WORKER_WRITE, 0, 8);
	if (phase == SRC_LIVE_SENT)
		return;

	if (phase == SRC_CANCELED) {
		vm_guest_mem_punch_hole(w->vm, td_worker_gpa(0), PAGE_SIZE);
		return;
	}

	td_mig_export_track(m);
	td_mig_export_pause(m);
	td_mig_export_all_mem(m);
	if (phase == SRC_PAUSED)
		return;

	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
	if (phase == SRC_POST)
		return;

	if (phase == SRC_LOST) {
		vm_guest_mem_punch_hole(w->vm, td_worker_gpa(0), PAGE_SIZE);
		return;
	}

	td_mig_import(d, m, 0, td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD) - 1);
	if (phase == DST_MEMORY)
		return;

	td_mig_import(d, m, td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD),
		      td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_VP));
	if (phase == DST_STATE)
		return;

	td_mig_import(d, m, td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_VP) + 1,
		      m->nr_bundles - 1);
	if (phase == DST_POST)
		return;

	if (phase == DST_ABORTED) {
		td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_ABORT);
		return;
	}

	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
	if (phase == DST_LIVE)
		return;

	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END);
	td_worker_run(w, d->vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

static void close_vcpus(struct kvm_vm *vm)
{
	struct kvm_vcpu *vcpu;

	list_for_each_entry(vcpu, &vm->vcpus, list) {
		kvm_munmap(vcpu->run, __kvm_ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL));
		close(vcpu->fd);
		if (vcpu->stats.fd > 0)
			close(vcpu->stats.fd);
	}
}

static void close_vm(struct kvm_vm *vm)
{
	close(vm->fd);
	if (vm->stats.fd > 0)
		close(vm->stats.fd);
}

static void close_source(struct td_mig *m, enum group group)
{
	struct userspace_mem_region *region;
	int i, ctr;

	switch (group) {
	case STREAMS:
		for (i = 0; i < m->nr_streams; i++)
			td_mig_stream_close(&m->streams[i]);
		break;
	case GMEM:
		hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
			if ((int)region->region.guest_memfd >= 0)
				close(region->region.guest_memfd);
		}
		break;
	case VCPUS:
		close_vcpus(m->src);
		break;
	default:
		close_vm(m->src);
		break;
	}
}

static void close_dest(struct td_mig_dest *d, enum group group)
{
	int i;

	switch (group) {
	case STREAMS:
		for (i = 0; i < d->nr_streams; i++)
			td_mig_stream_close(&d->streams[i]);
		break;
	case GMEM:
		for (i = 0; i < d->nr_gmem_fds; i++)
			close(d->gmem_fds[i]);
		break;
	case VCPUS:
		close_vcpus(d->vm);
		break;
	default:
		close_vm(d->vm);
		break;
	}
}

static void close_in_order(enum phase phase, const enum group *order)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;
	int i;

	go_to_phase(&w, &m, &d, phase);
	for (i = 0; i < NR_GROUPS; i++)
		close_source(&m, order[i]);
	for (i = 0; i < NR_GROUPS; i++)
		close_dest(&d, order[i]);
}

/* Each phase with two of the orders, each order with four of the phases. */
TD_TEST(files_can_be_closed_in_any_order_and_phase)
{
	const int nr_orders = ARRAY_SIZE(orders);
	enum phase phase;
	int i, status;
	pid_t pid;

	expect_nothing_left("Before phase", 0);
	for (phase = 0; phase < NR_PHASES; phase++) {
		for (i = 0; i < 2; i++) {
			pid = fork_child();
			if (!pid) {
				close_in_order(phase, orders[(2 * phase + i) % nr_orders]);
				_exit(0);
			}
			TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
			TEST_ASSERT(!status, "Phase %d, order %d: status 0x%x", phase,
				    (2 * phase + i) % nr_orders, status);
			expect_nothing_left("Phase", phase);
		}
	}
}

/* -------------------------------------------------------------------- SIGKILL */

static void *precopy_without_end(void *arg)
{
	struct td_mig_stream *s = arg;
	u64 list[TD_WORKER_NR_OLD];
	struct td_mig_bundle b;
	int i;

	for (;;) {
		for (i = 0; i < ARRAY_SIZE(list); i++)
			list[i] = td_gpa_entry(td_worker_gpa(i), TDX_MIG_GPA_OP_MIGRATE);
		if (!__td_mig_export_mem(s, list, ARRAY_SIZE(list), &b, NULL))
			td_mig_bundle_free(&b);
	}
	return NULL;
}

/* A live session: two vCPUs write, two streams export, the log is cleared. */
static void work_live(struct progress *p)
{
	struct td_worker_thread t[2];
	struct td_mig_bundle token;
	pthread_t threads[2];
	struct td_worker w;
	struct td_mig m;
	int i;

	td_worker_create(&w, 2);
	td_worker_begin(&w, &m, 2);
	for (i = 0; i < 2; i++) {
		td_worker_start(&t[i], &w, i, TD_WORKER_WRITE_STORM, i * 16, 16);
		kvm_pthread_create(&threads[i], NULL, precopy_without_end, &m.streams[i]);
	}
	for (;;) {
		td_worker_clear_log(&w, 0, TD_WORKER_NR_OLD);
		__td_mig_export_track(&m.streams[0], false, &token, NULL);
		report_progress(p);
	}
}

/* Sessions that are aborted, with all pages to be restored, while the TD runs. */
static void work_abort(struct progress *p)
{
	struct td_worker_thread t;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 2);
	td_worker_start(&t, &w, 1, TD_WORKER_WRITE_STORM, 0, 16);
	for (;;) {
		td_worker_begin(&w, &m, 1);
		td_worker_clear_log(&w, 0, TD_WORKER_NR_OLD);
		td_worker_export(&m, TDX_MIG_GPA_OP_MIGRATE, 0, TD_WORKER_NR_OLD);
		report_progress(p);
		td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		report_progress(p);
		td_mig_free(&m);
	}
}

/* The guest wants to convert what is exported, and can when the session is over. */
static void work_convert(struct progress *p)
{
	struct td_worker_thread t;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_start(&t, &w, 0, TD_WORKER_CONVERT_STORM, 0, TD_WORKER_NR_ALIASES);
	for (;;) {
		td_worker_begin(&w, &m, 1);
		td_worker_clear_log(&w, 0, TD_WORKER_NR_OLD);
		__td_worker_export(&m, TDX_MIG_GPA_OP_MIGRATE, 0, TD_WORKER_NR_OLD, NULL);
		report_progress(p);
		td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(&m);
		td_worker_wait(&t, TD_WORKER_NR_ALIASES);
	}
}

/* One import after another, of a source that waits for its token. */
static void work_import(struct progress *p)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;
	int i;

	td_worker_create(&w, 2);
	td_worker_begin(&w, &m, 1);
	m.nr_entries = SMALL_NR_ENTRIES;
	td_worker_export_rest(&m, false);
	for (;;) {
		td_mig_dest_create(&d, &m);
		for (i = 0; i < m.nr_bundles; i++) {
			report_progress(p);
			td_mig_import(&d, &m, i, i);
		}
		td_mig_import_end(&d);
		td_worker_run(&w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
		td_mig_dest_free(&d);
	}
}

TD_TEST(process_is_killed_while_a_live_td_is_exported)
{
	u64 nr;

	for (nr = 1; nr <= 9; nr += 4)
		kill_at(work_live, nr);
}

TD_TEST(process_is_killed_while_sessions_are_aborted)
{
	u64 nr;

	for (nr = 1; nr <= 4; nr++)
		kill_at(work_abort, nr);
}

TD_TEST(process_is_killed_while_the_guest_converts_memory)
{
	u64 nr;

	for (nr = 1; nr <= 3; nr++)
		kill_at(work_convert, nr);
}

TD_TEST(process_is_killed_while_a_td_is_imported)
{
	u64 nr;

	for (nr = 1; nr <= 22; nr += 3)
		kill_at(work_import, nr);
}

TD_TEST(all_keys_are_free_when_the_processes_are_gone)
{
	int before = count_free_keys();

	kill_at(work_live, 2);
	kill_at(work_abort, 2);
	kill_at(work_import, 14);
	TEST_ASSERT_EQ(count_free_keys(), before);
	expect_nothing_left("After all", 0);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
