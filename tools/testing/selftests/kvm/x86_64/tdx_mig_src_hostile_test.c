// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest lies.  While its TD is migrated, a vCPU converts memory, accepts it, and
 * calls the host and the TDX module with operands that make no sense, and the VMM stops
 * it wherever it is then.
 *
 * No command of the source or the destination fails for that.  The vCPU goes on at the
 * destination in the midst of it, and the guest finds all its other memory as it was,
 * on whichever side it lives in the end.
 *
 * Usage: tdx_mig_src_hostile_test [-n NUMBER] [-s SEED] [-t CASE]
 * NUMBER is that of the sessions in each case.
 */
#include <signal.h>
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

/* What the lies are about: pages that the guest has not accepted. */
#define LIE_FIRST		TD_WORKER_NR_OLD
#define LIE_NR			32UL
/* Written by nobody, so that they can be sent once and for all. */
#define KEPT_NR			16UL

#define NR_EPOCHS		3
/* Lies between two steps of the VMM. */
#define NR_STEP			512

static u64 seed;
static unsigned int nr_sessions = 4;

/* ---------------------------------------------------------------- the liar */

/* A vCPU that runs until it is stopped or has nothing more to say. */
struct liar {
	struct td_worker *w;
	struct kvm_vcpu *vcpu;
	struct td_mig_dest *d;
	struct td_mig *m;
	/* What it is told, on whichever side. */
	u64 answers;
	bool synced;
	/* What it has made the VMM do. */
	unsigned int nr_calls, nr_conversions, nr_refused, nr_faults;
	pthread_t thread;
};

static bool is_lie_range(gpa_t gpa, u64 size)
{
	return gpa >= td_worker_gpa(LIE_FIRST) && size <= LIE_NR * PAGE_SIZE &&
	       gpa <= td_worker_gpa(LIE_FIRST + LIE_NR) - size;
}

static int convert(struct liar *l, gpa_t gpa, u64 size, bool is_shared)
{
	struct kvm_vm *vm = l->vcpu->vm;
	u64 page;

	if (!is_lie_range(gpa, size))
		return -EINVAL;

	if (!is_shared) {
		vm_mem_set_private(vm, gpa, size);
	} else if (__td_mem_set_shared(vm, gpa, size)) {
		/* Exported, and the VMM does not take it back. */
		TEST_ASSERT_EQ(errno, EBUSY);
		l->nr_refused++;
		return -EAGAIN;
	} else if (l->d) {
		td_mig_dest_punch_hole(l->d, l->m, gpa, size);
	} else {
		vm_guest_mem_punch_hole(vm, gpa, size);
	}

	l->nr_conversions++;
	for (page = 0; page < size / PAGE_SIZE; page++)
		l->w->is_shared[(gpa - TD_WORKER_GPA) / PAGE_SIZE + page] = is_shared;
	return 0;
}

static void handle_mmio(struct liar *l)
{
	struct kvm_run *run = l->vcpu->run;
	struct ucall uc;

	if (run->mmio.phys_addr != TD_UCALL_GPA) {
		if (!run->mmio.is_write)
			memcpy(run->mmio.data, &l->answers, sizeof(l->answers));
		return;
	}

	switch (get_ucall(l->vcpu, &uc)) {
	case UCALL_SYNC:
		l->synced = true;
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
		break;
	default:
		TEST_FAIL("Unexpected ucall %lu", uc.cmd);
	}
}

static void handle_exit(struct liar *l)
{
	struct kvm_run *run = l->vcpu->run;

	l->nr_calls++;
	/* Each answer is another one. */
	l->answers = l->answers * 0x9e3779b97f4a7c15UL + 1;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		if (run->io.direction == KVM_EXIT_IO_IN)
			memcpy((u8 *)run + run->io.data_offset, &l->answers, run->io.size);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(l);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		run->msr.data = l->answers;
		run->msr.error = l->answers >> 63;
		break;
	case KVM_EXIT_HYPERCALL:
		TEST_ASSERT_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
		run->hypercall.ret = -convert(l, run->hypercall.args[0],
					      run->hypercall.args[1] * PAGE_SIZE,
					      !(run->hypercall.args[2] &
						KVM_MAP_GPA_RANGE_ENCRYPTED));
		break;
	case KVM_EXIT_TDX:
		/* All answers begin with the status. */
		run->tdx.unknown.ret = l->answers & 1 ? TDVMCALL_STATUS_INVALID_OPERAND :
							TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED;
		break;
	default:
		TEST_FAIL("Exit %s", exit_reason_str(run->exit_reason));
	}
}

/* The guest takes a page that it has converted as if it had not. */
static void handle_fault(struct liar *l)
{
	struct kvm_run *run = l->vcpu->run;
	int ret;

	TEST_ASSERT(run->exit_reason == KVM_EXIT_MEMORY_FAULT &&
		    run->memory_fault.flags == KVM_MEMORY_EXIT_FLAG_PRIVATE,
		    "KVM_RUN failed, exit %s, flags 0x%llx", exit_reason_str(run->exit_reason),
		    run->memory_fault.flags);
	ret = convert(l, run->memory_fault.gpa, run->memory_fault.size, false);
	TEST_ASSERT(!ret, "Fault at GPA 0x%llx", run->memory_fault.gpa);
	l->nr_faults++;
}

static void *liar_thread(void *arg)
{
	struct liar *l = arg;

	while (!l->synced) {
		if (!__vcpu_run(l->vcpu)) {
			handle_exit(l);
		} else if (errno == EFAULT) {
			handle_fault(l);
		} else {
			TEST_ASSERT(errno == EINTR, "KVM_RUN failed, errno %d (%s)", errno,
				    strerror(errno));
			/* What the guest asked for is done, and it does not know yet. */
			if (READ_ONCE(l->vcpu->run->immediate_exit))
				break;
		}
	}
	return NULL;
}

static void kick(int sig)
{
}

static void liar_start(struct liar *l)
{
	const struct sigaction sa = { .sa_handler = kick };

	sigaction(SIGUSR1, &sa, NULL);
	l->synced = false;
	l->vcpu->run->immediate_exit = 0;
	kvm_pthread_create(&l->thread, NULL, liar_thread, l);
}

static void liar_stop(struct liar *l)
{
	WRITE_ONCE(l->vcpu->run->immediate_exit, 1);
	pthread_kill(l->thread, SIGUSR1);
	kvm_pthread_join(l->thread, NULL);
	l->vcpu->run->immediate_exit = 0;
	TEST_ASSERT(!l->synced, "The guest has stopped lying");
}

static void liar_wait(struct liar *l)
{
	struct td_worker_thread t = { .w = l->w };

	td_worker_wait(&t, NR_STEP);
}

/* Let the guest come to an end, and check its memory. */
static void liar_finish(struct liar *l)
{
	struct td_worker_shared *shared = l->w->shared;

	WRITE_ONCE(shared->stop, 1);
	kvm_pthread_join(l->thread, NULL);
	TEST_ASSERT(l->synced, "The vCPU was stopped");
	WRITE_ONCE(shared->stop, 0);
	td_worker_run(l->w, l->vcpu, 0, TD_WORKER_CHECK, 0, 0);

	TEST_ASSERT(l->nr_calls && l->nr_conversions, "The guest has not told lies");
	printf("# %lu lies, %u calls of the host; %u conversions, %u refused; %u faults\n",
	       l->w->shared->vcpu[0].progress, l->nr_calls, l->nr_conversions, l->nr_refused,
	       l->nr_faults);
}

/* ------------------------------------------------------------------ sessions */

static void liar_begin(struct liar *l, struct td_worker *w)
{
	*l = (struct liar) {
		.w = w,
		.vcpu = w->vcpus[0],
		.answers = td_random(&seed),
	};
	w->shared->seed = td_random(&seed);
	w->shared->vcpu[0].op = TD_WORKER_LIE_STORM;
	w->shared->vcpu[0].first = LIE_FIRST;
	w->shared->vcpu[0].nr = LIE_NR;
	liar_start(l);
	liar_wait(l);
}

/* Send, and take back, whatever there is of the pages that the lies are about. */
static void export_epoch(struct td_worker *w, struct td_mig *m)
{
	const u64 first = td_random(&seed) % LIE_NR;
	const u64 nr = 1 + td_random(&seed) % (LIE_NR - first);

	td_worker_clear_log(w, LIE_FIRST + first, nr);
	td_worker_export(m, TDX_MIG_GPA_OP_MIGRATE, LIE_FIRST + first, nr);
	td_mig_export_track(m);
	if (td_random(&seed) & 1) {
		td_worker_export(m, TDX_MIG_GPA_OP_CANCEL, LIE_FIRST + first, nr);
		td_mig_export_track(m);
	}
}

/* A session up to the pause, in which the vCPU is wherever it was. */
static void begin_session(struct liar *l, struct td_mig *m, int nr_streams)
{
	int i;

	td_worker_begin(l->w, m, nr_streams);
	td_worker_precopy(l->w, m, 0, KEPT_NR);
	for (i = 0; i < NR_EPOCHS; i++) {
		liar_wait(l);
		export_epoch(l->w, m);
	}
	liar_wait(l);
	liar_stop(l);
	td_mig_export_pause(m);
}

static void import_all(struct td_worker *w, struct td_mig *m, struct td_mig_dest *d)
{
	u64 page;

	td_mig_dest_create(d, m);
	td_mig_import(d, m, 0, m->nr_bundles - 1);
	for (page = LIE_FIRST; page < LIE_FIRST + LIE_NR; page++) {
		if (w->is_shared[page])
			vm_mem_set_shared(d->vm, td_worker_gpa(page), PAGE_SIZE);
	}
	td_mig_import_end(d);
}

TD_WORKER_FIXTURE(td_worker, 1);

TD_TEST_F(td_worker, guest_goes_on_lying_at_the_source_after_an_abort)
{
	struct liar l;
	unsigned int i;

	liar_begin(&l, &self->w);
	for (i = 0; i < nr_sessions; i++) {
		begin_session(&l, &self->m, 1);
		if (i & 1)
			td_mig_export_all_mem(&self->m);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_free(&self->m);
		liar_start(&l);
		liar_wait(&l);
	}
	liar_finish(&l);
}

TD_TEST(guest_goes_on_lying_at_the_destination)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;
	struct liar l;
	unsigned int i;

	for (i = 0; i < nr_sessions; i++) {
		td_worker_create(&w, 1);
		liar_begin(&l, &w);
		begin_session(&l, &m, 1 + i % 2);
		td_mig_export_rest(&m);
		import_all(&w, &m, &d);

		l.vcpu = d.vcpus[0];
		l.d = &d;
		l.m = &m;
		liar_start(&l);
		liar_wait(&l);
		liar_finish(&l);
		td_mig_dest_free(&d);
		td_mig_free(&m);
		td_worker_free(&w);
	}
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	return td_run_by_lot(argc, argv, &nr_sessions, &seed);
}
