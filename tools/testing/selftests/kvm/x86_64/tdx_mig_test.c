// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TD is migrated from one VM to another and goes on exactly where it
 * stopped, or is not migrated and goes on where it was.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define NR_VCPUS		2

/* The working set: 16 MiB, half for each vCPU, rewritten in each pass. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		4096UL
#define MEM_PAGES_PER_VCPU	(MEM_PAGES / NR_VCPUS)
#define NR_PASSES		3
#define STOP_PASS		2
#define STOP_PAGE		(MEM_PAGES_PER_VCPU / 3)

/* A slot that the guest touches only after the migration. */
#define LATE_SLOT		(TD_SLOT_UNACCEPTED + 1)
#define LATE_GPA		0x50000000UL
#define LATE_PAGES		4UL

#define MSI_VECTOR		0x40

#define WAIT_US			100000

/* What the host and the guest of a test tell each other. */
struct shared {
	u64 progress;
	u64 stop;
};

static struct shared *shared;
static u64 nr_irqs;

static u64 pattern(u64 gpa, u64 pass)
{
	u64 x = gpa ^ (pass * 0x9e3779b97f4a7c15UL);

	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdUL;
	return x ^ x >> 33;
}

static void guest_check_page(u64 gpa, u64 pass)
{
	u64 i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
		__GUEST_ASSERT(*(u64 *)(gpa + i) == pattern(gpa + i, pass),
			       "GPA %lx, pass %lu: %lx", gpa + i, pass, *(u64 *)(gpa + i));
}

static void guest_write_page(u64 gpa, u64 pass)
{
	u64 i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
		*(u64 *)(gpa + i) = pattern(gpa + i, pass);
}

/* Stops once, in the midst of a pass, with all its state in registers. */
static void guest_work(u64 index)
{
	const u64 first = MEM_GPA + index * MEM_PAGES_PER_VCPU * PAGE_SIZE;
	u64 pass, page;

	td_accept_pages(first, MEM_PAGES_PER_VCPU);
	for (page = 0; page < MEM_PAGES_PER_VCPU; page++)
		guest_write_page(first + page * PAGE_SIZE, 0);

	for (pass = 1; pass <= NR_PASSES; pass++) {
		for (page = 0; page < MEM_PAGES_PER_VCPU; page++) {
			guest_check_page(first + page * PAGE_SIZE, pass - 1);
			guest_write_page(first + page * PAGE_SIZE, pass);
			if (pass == STOP_PASS && page == STOP_PAGE)
				GUEST_SYNC(index);
		}
	}

	for (page = 0; page < MEM_PAGES_PER_VCPU; page++)
		guest_check_page(first + page * PAGE_SIZE, NR_PASSES);
	GUEST_DONE();
}

static struct kvm_vm *create_working_td(struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_VCPUS, MEM_PAGES,
					guest_work, vcpus);
	int i;

	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(vcpus[i], i);
	return vm;
}

static void run_all_to_done(struct kvm_vcpu *vcpus[], int nr_vcpus)
{
	pthread_t threads[NR_VCPUS];
	int i;

	for (i = 0; i < nr_vcpus; i++)
		threads[i] = td_vcpu_start(vcpus[i]);
	for (i = 0; i < nr_vcpus; i++)
		kvm_pthread_join(threads[i], NULL);
}

static struct kvm_vm *create_small_td(void *guest_code, struct kvm_vcpu **vcpu)
{
	return __td_create(TDX_TD_ATTR_MIGRATABLE, 1, LATE_PAGES, guest_code, vcpu);
}

static struct shared *add_shared_page(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);

	write_guest_global(vm, shared, (struct shared *)gva);
	return addr_gva2hva(vm, gva);
}

/* A large TD at work. */
FIXTURE(working_td)
{
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct td_mig m;
	struct td_mig_dest d;
};

FIXTURE_VARIANT(working_td)
{
	int nr_streams;
};

TD_MIG_VARIANT(working_td, one_stream, 1);
TD_MIG_VARIANT(working_td, two_streams, 2);

FIXTURE_SETUP(working_td)
{
	self->vm = create_working_td(self->vcpus);
	td_mig_init(&self->m, self->vm, self->vcpus, NR_VCPUS, variant->nr_streams);
}

FIXTURE_TEARDOWN(working_td)
{
	td_mig_dest_free(&self->d);
	td_mig_free(&self->m);
	kvm_vm_free(self->m.src);
}

/* Room for a small TD, which each case makes as it needs it. */
FIXTURE(small_td)
{
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	struct td_mig_dest d;
};

FIXTURE_SETUP(small_td)
{
}

FIXTURE_TEARDOWN(small_td)
{
	td_mig_dest_free(&self->d);
	td_mig_free(&self->m);
	kvm_vm_free(self->vm);
}

/* --------------------------------------------------------- it is migrated */

TD_TEST_F(working_td, td_goes_on_where_it_stopped_and_finds_all_its_memory)
{
	td_mig_migrate(&self->m, &self->d);
	run_all_to_done(self->d.vcpus, NR_VCPUS);
}

TD_TEST_F(working_td, td_is_migrated_over_several_streams)
{
	int i, used = 0;

	td_mig_migrate(&self->m, &self->d);
	for (i = 0; i < self->m.nr_bundles; i++)
		used |= BIT(self->m.bundles[i].stream);
	TEST_ASSERT_EQ(used, GENMASK(variant->nr_streams - 1, 0));
	run_all_to_done(self->d.vcpus, NR_VCPUS);
}

TD_TEST_F(working_td, td_survives_the_destruction_of_its_source)
{
	td_mig_migrate(&self->m, &self->d);
	td_mig_destroy_src(&self->m);
	run_all_to_done(self->d.vcpus, NR_VCPUS);
}

static void guest_count(void)
{
	u64 n = 0, sum = 0;

	while (!READ_ONCE(shared->stop)) {
		sum += ++n;
		WRITE_ONCE(shared->progress, n);
	}
	GUEST_ASSERT_EQ(sum, n * (n + 1) / 2);
	GUEST_DONE();
}

static void ignore_signal(int sig)
{
}

static void *run_until_kicked(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	int ret;

	do {
		ret = __vcpu_run(vcpu);
		TEST_ASSERT(ret == -1 && errno == EINTR, "KVM_RUN returned %d, errno %d, exit %s",
			    ret, errno, exit_reason_str(vcpu->run->exit_reason));
	} while (!vcpu->run->immediate_exit);
	return NULL;
}

/* Let @vcpu run for a while and stop it at no particular instruction. */
static void run_and_kick(struct kvm_vcpu *vcpu, struct shared *s)
{
	const struct sigaction sa = { .sa_handler = ignore_signal };
	pthread_t thread;

	sigaction(SIGUSR1, &sa, NULL);
	kvm_pthread_create(&thread, NULL, run_until_kicked, vcpu);
	while (!READ_ONCE(s->progress))
		usleep(1000);
	usleep(WAIT_US);
	vcpu->run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	kvm_pthread_join(thread, NULL);
	vcpu->run->immediate_exit = 0;
}

TD_TEST_F(small_td, td_goes_on_from_an_arbitrary_instruction)
{
	struct shared *s;
	u64 progress;

	self->vm = create_small_td(guest_count, &self->vcpu);
	s = add_shared_page(self->vm);
	td_launch(self->vm);
	run_and_kick(self->vcpu, s);
	progress = READ_ONCE(s->progress);

	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);
	td_mig_migrate(&self->m, &self->d);
	TEST_ASSERT_EQ(READ_ONCE(s->progress), progress);
	run_and_kick(self->d.vcpus[0], s);
	TEST_ASSERT(READ_ONCE(s->progress) > progress, "The TD stands still");
	WRITE_ONCE(s->stop, 1);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

static void guest_accept_late(void)
{
	u64 i;

	GUEST_SYNC(1);
	td_accept_pages(LATE_GPA, LATE_PAGES);
	for (i = 0; i < LATE_PAGES; i++)
		GUEST_ASSERT_EQ(*(u64 *)(LATE_GPA + i * PAGE_SIZE), 0UL);
	GUEST_DONE();
}

TD_TEST_F(small_td, unaccepted_pages_arrive_unaccepted)
{
	self->vm = create_small_td(guest_accept_late, &self->vcpu);
	td_add_unaccepted_memory(self->vm, LATE_SLOT, LATE_GPA, LATE_PAGES);
	td_launch(self->vm);
	td_vcpu_run_to_sync(self->vcpu, 1);
	/* Half of them is in the TD but pending, the rest is not there at all. */
	td_pre_fault(self->vcpu, LATE_GPA, LATE_PAGES / 2 * PAGE_SIZE);

	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);
	td_mig_migrate(&self->m, &self->d);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

static void guest_count_irq(struct ex_regs *regs)
{
	WRITE_ONCE(nr_irqs, nr_irqs + 1);
	td_x2apic_eoi();
}

static void guest_mask_irq(void)
{
	td_x2apic_enable();
	cli();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs), 0UL);
	sti_nop();
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs), 1UL);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs), 2UL);
	GUEST_DONE();
}

TD_TEST_F(small_td, pending_interrupt_is_taken_once_after_the_migration)
{
	self->vm = create_small_td(guest_mask_irq, &self->vcpu);
	vm_install_exception_handler(self->vm, MSI_VECTOR, guest_count_irq);
	td_launch(self->vm);
	td_vcpu_run_to_sync(self->vcpu, 1);
	td_signal_msi(self->vcpu, MSI_VECTOR);

	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);
	td_mig_migrate(&self->m, &self->d);
	td_vcpu_run_to_sync(self->d.vcpus[0], 2);
	td_signal_msi(self->d.vcpus[0], MSI_VECTOR);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

#define REG_PATTERN	0x0123456789abcdefUL

static void guest_keep_registers(void)
{
	const u64 in = REG_PATTERN;
	u64 out, tsc = rdtsc();

	wrmsr(MSR_LSTAR, REG_PATTERN & GENMASK_ULL(46, 0));
	wrmsr(MSR_KERNEL_GS_BASE, REG_PATTERN & GENMASK_ULL(46, 0));
	asm volatile("mov %0, %%dr0" : : "r" (REG_PATTERN & GENMASK_ULL(46, 0)));
	asm volatile("movq %0, %%xmm15" : : "r" (in) : "xmm15");
	GUEST_SYNC(1);
	asm volatile("movq %%xmm15, %0" : "=r" (out));
	GUEST_ASSERT_EQ(out, in);
	GUEST_ASSERT_EQ(rdmsr(MSR_LSTAR), REG_PATTERN & GENMASK_ULL(46, 0));
	GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), REG_PATTERN & GENMASK_ULL(46, 0));
	asm volatile("mov %%dr0, %0" : "=r" (out));
	GUEST_ASSERT_EQ(out, REG_PATTERN & GENMASK_ULL(46, 0));
	GUEST_ASSERT(rdtsc() > tsc);
	GUEST_DONE();
}

TD_TEST_F(small_td, registers_that_no_page_holds_are_migrated)
{
	self->vm = create_small_td(guest_keep_registers, &self->vcpu);
	td_launch(self->vm);
	td_vcpu_run_to_sync(self->vcpu, 1);
	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);
	td_mig_migrate(&self->m, &self->d);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* ------------------------------------------------------- it is not migrated */

TD_TEST_F(working_td, paused_source_does_not_run)
{
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->vcpus[0]));
	td_mig_export_rest(&self->m);
	TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->vcpus[1]));
}

TD_TEST_F(working_td, aborted_source_goes_on_and_can_be_migrated_again)
{
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	td_mig_export_all_mem(&self->m);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	/* One vCPU runs to its end here, the other one at the destination. */
	td_vcpu_run_to_done(self->vcpus[0]);
	td_mig_forget_bundles(&self->m);
	td_mig_migrate(&self->m, &self->d);
	td_vcpu_run_to_done(self->d.vcpus[1]);
}

#define NR_SESSIONS	20

static void guest_halt(void)
{
	td_x2apic_enable();
	WRITE_ONCE(shared->progress, 1);
	td_halt_until(&shared->stop);
	GUEST_DONE();
}

/* Wake the vCPU over and over, so that KVM looks for interrupts all the time. */
static void *signal_msis(void *arg)
{
	struct kvm_vcpu *vcpu = arg;

	while (!READ_ONCE(vcpu->run->immediate_exit))
		td_signal_msi(vcpu, MSI_VECTOR);
	return NULL;
}

TD_TEST_F(small_td, halted_vcpu_survives_sessions_that_come_and_go)
{
	struct shared *s;
	pthread_t runner, waker;
	int i;

	self->vm = create_small_td(guest_halt, &self->vcpu);
	s = add_shared_page(self->vm);
	vm_install_exception_handler(self->vm, MSI_VECTOR, guest_count_irq);
	td_launch(self->vm);
	td_mig_init(&self->m, self->vm, &self->vcpu, 1, 1);

	runner = td_vcpu_start(self->vcpu);
	while (!READ_ONCE(s->progress))
		usleep(1000);
	kvm_pthread_create(&waker, NULL, signal_msis, self->vcpu);
	for (i = 0; i < NR_SESSIONS; i++) {
		td_mig_exchange_keys(&self->m);
		td_mig_export_immutable(&self->m);
		td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
		td_mig_forget_bundles(&self->m);
	}
	WRITE_ONCE(s->stop, 1);
	kvm_pthread_join(runner, NULL);
	WRITE_ONCE(self->vcpu->run->immediate_exit, 1);
	kvm_pthread_join(waker, NULL);
}

TD_TEST_F(working_td, abort_after_the_start_token_needs_the_destinations_token)
{
	u64 hw_error;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);

	/* The start token, which is still in the buffer, does not do. */
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL,
						NULL));
	/* Nor does it when it claims to be an abort token. */
	self->m.streams[0].mbmd->mb_type = TDX_MIG_MBMD_TYPE_ABORT_TOKEN;
	self->m.streams[0].mbmd->mig_epoch = 0;
	self->m.streams[0].mbmd->type_info = 0;
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL,
					     &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_INCORRECT_MBMD_MAC);

	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	TEST_ASSERT_EQ(self->d.streams[0].mbmd->mb_type, TDX_MIG_MBMD_TYPE_ABORT_TOKEN);
	TEST_ASSERT(__vcpu_run(self->d.vcpus[0]), "An aborted destination runs");

	*self->m.streams[0].mbmd = *self->d.streams[0].mbmd;
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	run_all_to_done(self->vcpus, NR_VCPUS);
}

TD_TEST_F(working_td, committed_destination_gives_no_abort_token)
{
	td_mig_migrate(&self->m, &self->d);
	TD_EXPECT_ERRNO(EINVAL, __td_mig_cmd_nr(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT, NULL,
						NULL));
	run_all_to_done(self->d.vcpus, NR_VCPUS);
}

/* ------------------------------------------------- processes that are killed */

#define NR_STEPS	15

/* So that the small TD takes several memory bundles. */
#define SMALL_NR_ENTRIES	64

static void guest_sync_and_done(u64 index)
{
	GUEST_SYNC(index);
	GUEST_DONE();
}

static struct kvm_vm *create_small_td_with_all_vcpus(struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, NR_VCPUS, 0,
					guest_sync_and_done, vcpus);
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	for (i = 0; i < NR_VCPUS; i++)
		td_vcpu_run_to_sync(vcpus[i], i);
	return vm;
}

struct killed {
	int last_step;
	int step;
	int ready;
};

static void step_done(struct killed *k)
{
	if (k->step++ != k->last_step)
		return;

	TEST_ASSERT_EQ(write(k->ready, "", 1), 1);
	for (;;)
		pause();
}

/* Stop for good after @k->last_step steps of a migration. */
static void migrate_until_killed(struct killed *k)
{
	struct kvm_vcpu *vcpus[NR_VCPUS];
	struct td_mig_dest d;
	struct kvm_vm *vm;
	struct td_mig m;
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vm = create_small_td_with_all_vcpus(vcpus);
	td_mig_init(&m, vm, vcpus, NR_VCPUS, 1);
	m.nr_entries = SMALL_NR_ENTRIES;
	step_done(k);
	td_mig_dest_create(&d, &m);
	step_done(k);
	td_mig_export_immutable(&m);
	step_done(k);
	td_mig_export_pause(&m);
	step_done(k);
	td_mig_export_all_mem(&m);
	step_done(k);
	td_mig_export_td_and_vcpus(&m);
	step_done(k);
	td_mig_export_start_token(&m);
	step_done(k);

	i = td_mig_import_up_to(&d, &m, KVM_TDX_MIG_IMPORT_MEM);
	step_done(k);
	td_mig_import(&d, &m, i, i);
	step_done(k);
	i = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD);
	td_mig_import(&d, &m, td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_MEM) + 1, i);
	step_done(k);
	td_mig_import(&d, &m, i + 1, i + 1);
	step_done(k);
	td_mig_import(&d, &m, i + 2, m.nr_bundles - 2);
	step_done(k);
	td_mig_import(&d, &m, m.nr_bundles - 1, m.nr_bundles - 1);
	step_done(k);
	td_mig_import_end(&d);
	step_done(k);
	td_vcpu_run_to_done(d.vcpus[0]);
	step_done(k);
	TEST_FAIL("There is no step %d", k->last_step);
}

TD_TEST(process_killed_in_any_phase_leaves_a_usable_system)
{
	struct killed k = {};
	int fds[2], status;
	pid_t pid;
	char c;

	for (k.last_step = 0; k.last_step < NR_STEPS; k.last_step++) {
		TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
		k.ready = fds[1];
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
		if (!pid)
			migrate_until_killed(&k);

		close(fds[1]);
		TEST_ASSERT(read(fds[0], &c, 1) == 1, "Step %d was not reached", k.last_step);
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
