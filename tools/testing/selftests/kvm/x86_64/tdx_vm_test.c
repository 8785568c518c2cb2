// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a TD, its private and shared memory, interrupts.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "apic.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_sim_util.h"
#include "tdx_test.h"
#include "tdx_util.h"

/* More than there are key ids for TDs on most machines. */
#define NR_TDS_IN_A_ROW		70

#define MSI_VECTOR		0x40
#define IPI_VECTOR		0x41

#define TEST_GPA		0x40000000UL
#define TEST_NR_PAGES		8
#define TEST_SLOT		TD_SLOT_UNACCEPTED

#define WAIT_US			100000

/* Private to each TD, as all data of the test; written before the launch. */
static u8 private_page[PAGE_SIZE] __aligned(PAGE_SIZE);
static gpa_t private_gpa;
static u64 *private_alias;
static u8 *shared_page;
static u64 nr_irqs[2];
static u64 nr_nmis;
static u64 nr_arrived;

/* Give the guest a page that the host can see, returns the host's view. */
static void *add_shared_page(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);

	write_guest_global(vm, shared_page, (u8 *)gva);
	return addr_gva2hva(vm, gva);
}

static void add_private_gpa(struct kvm_vm *vm)
{
	gpa_t gpa = addr_gva2gpa(vm, (gva_t)private_page);

	write_guest_global(vm, private_gpa, gpa);
}

static void run_one_td(void *guest_code)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_code);

	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------- life of a TD */

static void guest_done(void)
{
	GUEST_DONE();
}

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
	GUEST_DONE();
}

TD_TEST(guest_code_runs_and_reports_to_the_host)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);

	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	td_vcpu_run_to_sync(vcpu, 2);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_check_vp_info(u64 index)
{
	struct td_vp_info info;

	GUEST_ASSERT_EQ(tdg_vp_info(&info), 0UL);
	GUEST_ASSERT_EQ(info.gpaw, TD_GPAW);
	GUEST_ASSERT_EQ(info.attributes & TDX_TD_ATTR_DEBUG, 0ULL);
	GUEST_ASSERT_EQ(info.nr_vcpus, 2);
	GUEST_ASSERT_EQ(info.vcpu_index, index);
	GUEST_DONE();
}

TD_TEST(guest_is_told_its_vcpu_index_and_address_width)
{
	struct kvm_vcpu *vcpus[2];
	struct kvm_vm *vm = td_create(2, guest_check_vp_info, vcpus);
	int i;

	for (i = 0; i < 2; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_done(vcpus[i]);
	kvm_vm_free(vm);
}

static void guest_meet(void)
{
	__atomic_add_fetch(&nr_arrived, 1, __ATOMIC_SEQ_CST);
	while (READ_ONCE(nr_arrived) != 2)
		cpu_relax();
	GUEST_DONE();
}

TD_TEST(two_vcpus_run_at_the_same_time)
{
	struct kvm_vcpu *vcpus[2];
	struct kvm_vm *vm = td_create(2, guest_meet, vcpus);
	pthread_t threads[2];
	int i;

	td_launch(vm);
	for (i = 0; i < 2; i++)
		threads[i] = td_vcpu_start(vcpus[i]);
	for (i = 0; i < 2; i++)
		kvm_pthread_join(threads[i], NULL);
	kvm_vm_free(vm);
}

static void guest_meet_other_td(void)
{
	u64 *arrived = (u64 *)shared_page;

	WRITE_ONCE(*arrived, 1);
	while (READ_ONCE(*arrived) != 2)
		cpu_relax();
	GUEST_DONE();
}

TD_TEST(two_tds_run_at_the_same_time)
{
	u64 *arrived[2];
	struct kvm_vcpu *vcpu[2];
	struct kvm_vm *vm[2];
	pthread_t threads[2];
	int i;

	for (i = 0; i < 2; i++) {
		vm[i] = td_create_with_one_vcpu(&vcpu[i], guest_meet_other_td);
		arrived[i] = add_shared_page(vm[i]);
		td_launch(vm[i]);
	}
	for (i = 0; i < 2; i++)
		threads[i] = td_vcpu_start(vcpu[i]);
	/* Neither is let go before both are there. */
	while (!READ_ONCE(*arrived[0]) || !READ_ONCE(*arrived[1]))
		usleep(1000);
	for (i = 0; i < 2; i++)
		WRITE_ONCE(*arrived[i], 2);
	for (i = 0; i < 2; i++) {
		kvm_pthread_join(threads[i], NULL);
		kvm_vm_free(vm[i]);
	}
}

TD_TEST(more_tds_than_key_ids_live_one_after_another)
{
	int i;

	for (i = 0; i < NR_TDS_IN_A_ROW; i++)
		run_one_td(guest_done);
}

static void set_cpu1_online(bool online)
{
	static const char path[] = "/sys/devices/system/cpu/cpu1/online";
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0, "%s: errno %d", path, errno);
	TEST_ASSERT(write(fd, online ? "1" : "0", 1) == 1, "CPU 1 %s: errno %d",
		    online ? "online" : "offline", errno);
	close(fd);
}

TD_TEST(td_moves_on_when_its_cpu_goes_offline_and_comes_back)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);
	cpu_set_t all;

	TEST_ASSERT(!sched_getaffinity(0, sizeof(all), &all), "errno %d", errno);
	td_launch(vm);
	pin_self_to_cpu(1);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(all), &all), "errno %d", errno);
	set_cpu1_online(false);
	td_vcpu_run_to_sync(vcpu, 2);
	set_cpu1_online(true);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);

	pin_self_to_cpu(1);
	run_one_td(guest_done);
}

/* The software TDX platform knows an emulator that breaks TDs on its first CPU. */
TD_TEST(programs_do_not_run_on_the_first_cpu_of_an_emulator)
{
	cpu_set_t cpus;

	if (!td_sim_is_present())
		SKIP(return, "no software TDX platform");

	TEST_ASSERT(!sched_getaffinity(0, sizeof(cpus), &cpus), "errno %d", errno);
	TEST_ASSERT(CPU_COUNT(&cpus) >= 2, "Only %d CPUs", CPU_COUNT(&cpus));
	TEST_ASSERT(!CPU_ISSET(0, &cpus), "CPU 0 is allowed");
}

static void guest_spin(void)
{
	GUEST_SYNC(1);
	for (;;)
		cpu_relax();
}

static void run_until_killed(int ready)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vm = td_create_with_one_vcpu(&vcpu, guest_spin);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(write(ready, "", 1), 1);
	vcpu_run(vcpu);
	TEST_FAIL("The TD left its endless loop");
}

TD_TEST(killed_process_leaves_room_for_another_td)
{
	int i, pipe_fds[2], status;
	pid_t pid;
	char c;

	for (i = 0; i < 3; i++) {
		TEST_ASSERT(!pipe(pipe_fds), "pipe() failed, errno %d", errno);
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
		if (!pid)
			run_until_killed(pipe_fds[1]);

		close(pipe_fds[1]);
		TEST_ASSERT_EQ(read(pipe_fds[0], &c, 1), 1);
		usleep(WAIT_US);
		kill(pid, SIGKILL);
		TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
		TEST_ASSERT(WIFSIGNALED(status), "The child ended by itself");
		close(pipe_fds[0]);

		run_one_td(guest_done);
	}
}

TD_TEST(td_can_be_freed_in_every_stage_of_its_construction)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	kvm_vm_free(td_create_barebones());

	vm = td_create_barebones();
	td_init_vm(vm, 0);
	kvm_vm_free(vm);

	kvm_vm_free(td_create_with_one_vcpu(&vcpu, guest_sync_and_done));

	vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);
	vm_mem_set_private(vm, TD_BOOT_GPA, TD_BOOT_SIZE);
	td_init_mem_region(vcpu, TD_BOOT_GPA, addr_gpa2hva(vm, TD_BOOT_GPA), 1, 0);
	kvm_vm_free(vm);

	vm = td_create_with_one_vcpu(&vcpu, guest_sync_and_done);
	td_launch(vm);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------------- memory */

static void guest_accept_and_use(void)
{
	u64 *word;
	int i;

	td_accept_pages(TEST_GPA, TEST_NR_PAGES);
	for (i = 0; i < TEST_NR_PAGES; i++) {
		word = (u64 *)(TEST_GPA + i * PAGE_SIZE);
		GUEST_ASSERT_EQ(*word, 0UL);
		GUEST_ASSERT_EQ(word[PAGE_SIZE / sizeof(*word) - 1], 0UL);
		*word = i + 1;
	}
	for (i = 0; i < TEST_NR_PAGES; i++)
		GUEST_ASSERT_EQ(*(u64 *)(TEST_GPA + i * PAGE_SIZE), i + 1UL);
	GUEST_DONE();
}

static void run_td_with_unaccepted_memory(void *guest_code)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_code);

	td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

TD_TEST(accepted_pages_are_zero_and_writable)
{
	run_td_with_unaccepted_memory(guest_accept_and_use);
}

static void guest_accept_twice(void)
{
	td_accept_pages(TEST_GPA, 1);
	*(u64 *)TEST_GPA = 1;
	GUEST_ASSERT_EQ(tdg_mem_page_accept(TEST_GPA, 0), TDX_PAGE_ALREADY_ACCEPTED);
	GUEST_ASSERT_EQ(*(u64 *)TEST_GPA, 1UL);
	GUEST_DONE();
}

TD_TEST(second_accept_of_a_page_is_reported_and_harmless)
{
	run_td_with_unaccepted_memory(guest_accept_twice);
}

static void guest_accept_huge(void)
{
	u64 status = tdg_mem_page_accept(TEST_GPA, 1);

	GUEST_ASSERT_EQ(status & TDX_STATUS_MASK, TDX_PAGE_SIZE_MISMATCH);
	td_accept_pages(TEST_GPA, 1);
	GUEST_DONE();
}

TD_TEST(accept_of_2m_where_4k_is_mapped_is_a_size_mismatch)
{
	run_td_with_unaccepted_memory(guest_accept_huge);
}

static void guest_touch_unaccepted(void)
{
	WRITE_ONCE(*(u64 *)TEST_GPA, 1);
	GUEST_FAIL("Memory was usable before it was accepted");
}

TD_TEST(access_before_accept_kills_the_td)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_touch_unaccepted);

	td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
	td_launch(vm);
	TD_EXPECT_ERRNO(EIO, __vcpu_run(vcpu));
	kvm_vm_free(vm);
}

static void guest_use_shared_page(void)
{
	u64 *word = (u64 *)shared_page;

	GUEST_ASSERT_EQ(READ_ONCE(*word), 1UL);
	WRITE_ONCE(*word, 2);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(*word), 3UL);
	GUEST_DONE();
}

TD_TEST(both_sides_see_a_shared_page)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_use_shared_page);
	u64 *word = add_shared_page(vm);

	WRITE_ONCE(*word, 1);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(READ_ONCE(*word), 2);
	WRITE_ONCE(*word, 3);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_write_private_page(void)
{
	u64 *word = (u64 *)private_page;

	GUEST_ASSERT_EQ(READ_ONCE(*word), 1UL);
	WRITE_ONCE(*word, 2);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(*word), 2UL);
	GUEST_DONE();
}

TD_TEST(private_memory_is_cut_off_from_the_hosts_copy)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_write_private_page);
	u64 *word = addr_gva2hva(vm, (gva_t)private_page);

	WRITE_ONCE(*word, 1);
	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(READ_ONCE(*word), 1);
	WRITE_ONCE(*word, 3);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_convert_page(void)
{
	u64 *word = (u64 *)private_page;

	WRITE_ONCE(*word, 1);
	td_map_gpa(private_gpa | TD_SHARED_BIT, PAGE_SIZE);
	WRITE_ONCE(*private_alias, 2);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(*private_alias), 3UL);

	td_map_gpa(private_gpa, PAGE_SIZE);
	td_accept_pages(private_gpa, 1);
	GUEST_ASSERT_EQ(READ_ONCE(*word), 0UL);
	WRITE_ONCE(*word, 4);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(READ_ONCE(*word), 4UL);
	GUEST_DONE();
}

TD_TEST(page_becomes_shared_and_private_again)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_convert_page);
	u64 *word = addr_gva2hva(vm, (gva_t)private_page);
	gva_t alias;

	add_private_gpa(vm);
	alias = td_map_shared_alias(vm, addr_gva2gpa(vm, (gva_t)private_page));
	write_guest_global(vm, private_alias, (u64 *)alias);
	td_launch(vm);

	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT_EQ(READ_ONCE(*word), 2);
	WRITE_ONCE(*word, 3);
	td_vcpu_run_to_sync(vcpu, 2);
	TEST_ASSERT_EQ(READ_ONCE(*word), 3);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_map_bad_ranges(void)
{
	const gpa_t gpa = private_gpa | TD_SHARED_BIT;
	gpa_t failed;

	GUEST_ASSERT_EQ(tdvmcall_map_gpa(gpa + 1, PAGE_SIZE, &failed),
			TDVMCALL_STATUS_ALIGN_ERROR);
	GUEST_ASSERT_EQ(failed, gpa + 1);
	GUEST_ASSERT_EQ(tdvmcall_map_gpa(gpa, 1, NULL), TDVMCALL_STATUS_ALIGN_ERROR);
	GUEST_ASSERT_EQ(tdvmcall_map_gpa(gpa, 0, NULL), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(tdvmcall_map_gpa(TD_SHARED_BIT - PAGE_SIZE, 2 * PAGE_SIZE, NULL),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(tdvmcall_map_gpa(gpa, -gpa, NULL), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_DONE();
}

TD_TEST(map_gpa_refuses_bad_ranges)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_map_bad_ranges);

	add_private_gpa(vm);
	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* --------------------------------------------------------------- interrupts */

static void guest_count_msi(struct ex_regs *regs)
{
	WRITE_ONCE(nr_irqs[0], nr_irqs[0] + 1);
	td_x2apic_eoi();
}

static void guest_count_ipi(struct ex_regs *regs)
{
	WRITE_ONCE(nr_irqs[1], nr_irqs[1] + 1);
	td_x2apic_eoi();
}

static void guest_count_nmi(struct ex_regs *regs)
{
	WRITE_ONCE(nr_nmis, nr_nmis + 1);
}

static struct kvm_vm *create_td_with_handlers(u32 nr_vcpus, void *guest_code,
					      struct kvm_vcpu *vcpus[])
{
	struct kvm_vm *vm = td_create(nr_vcpus, guest_code, vcpus);

	vm_install_exception_handler(vm, MSI_VECTOR, guest_count_msi);
	vm_install_exception_handler(vm, IPI_VECTOR, guest_count_ipi);
	vm_install_exception_handler(vm, NMI_VECTOR, guest_count_nmi);
	return vm;
}

static void guest_take_msi(void)
{
	td_x2apic_enable();
	sti();
	GUEST_SYNC(1);
	while (!READ_ONCE(nr_irqs[0]))
		cpu_relax();
	/* Only an end of interrupt lets the same vector through again. */
	GUEST_SYNC(2);
	while (READ_ONCE(nr_irqs[0]) != 2)
		cpu_relax();
	GUEST_DONE();
}

TD_TEST(msi_interrupts_a_running_vcpu)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td_with_handlers(1, guest_take_msi, &vcpu);
	pthread_t thread;

	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	td_signal_msi(vcpu, MSI_VECTOR);
	td_vcpu_run_to_sync(vcpu, 2);

	thread = td_vcpu_start(vcpu);
	usleep(WAIT_US);
	td_signal_msi(vcpu, MSI_VECTOR);
	kvm_pthread_join(thread, NULL);
	kvm_vm_free(vm);
}

static void guest_mask_msi(void)
{
	td_x2apic_enable();
	cli();
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs[0]), 0UL);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs[0]), 0UL);
	sti_nop();
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs[0]), 1UL);
	GUEST_DONE();
}

TD_TEST(masked_interrupt_is_taken_when_interrupts_are_enabled)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td_with_handlers(1, guest_mask_msi, &vcpu);

	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	td_signal_msi(vcpu, MSI_VECTOR);
	td_vcpu_run_to_sync(vcpu, 2);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_halt_for_msi(void)
{
	td_x2apic_enable();
	WRITE_ONCE(*(u64 *)shared_page, 1);
	td_halt_until(&nr_irqs[0]);
	WRITE_ONCE(*(u64 *)shared_page, 2);
	GUEST_DONE();
}

TD_TEST(halted_vcpu_wakes_up_for_an_msi)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td_with_handlers(1, guest_halt_for_msi, &vcpu);
	u64 *stage = add_shared_page(vm);
	pthread_t thread;

	td_launch(vm);
	thread = td_vcpu_start(vcpu);
	while (READ_ONCE(*stage) != 1)
		usleep(1000);
	usleep(WAIT_US);
	TEST_ASSERT_EQ(READ_ONCE(*stage), 1);
	td_signal_msi(vcpu, MSI_VECTOR);
	kvm_pthread_join(thread, NULL);
	TEST_ASSERT_EQ(READ_ONCE(*stage), 2);
	kvm_vm_free(vm);
}

static void guest_ipi(u64 index)
{
	td_x2apic_enable();
	if (index) {
		__atomic_add_fetch(&nr_arrived, 1, __ATOMIC_SEQ_CST);
		td_halt_until(&nr_irqs[1]);
	} else {
		while (!READ_ONCE(nr_arrived))
			cpu_relax();
		td_x2apic_send_ipi(1, IPI_VECTOR);
		while (!READ_ONCE(nr_irqs[1]))
			cpu_relax();
	}
	GUEST_ASSERT_EQ(READ_ONCE(nr_irqs[1]), 1UL);
	GUEST_DONE();
}

TD_TEST(ipi_wakes_up_the_other_vcpu)
{
	struct kvm_vcpu *vcpus[2];
	struct kvm_vm *vm = create_td_with_handlers(2, guest_ipi, vcpus);
	pthread_t threads[2];
	int i;

	for (i = 0; i < 2; i++)
		td_vcpu_set_arg(vcpus[i], i);
	td_launch(vm);
	for (i = 0; i < 2; i++)
		threads[i] = td_vcpu_start(vcpus[i]);
	for (i = 0; i < 2; i++)
		kvm_pthread_join(threads[i], NULL);
	kvm_vm_free(vm);
}

static void guest_take_nmi(void)
{
	GUEST_SYNC(1);
	while (!READ_ONCE(nr_nmis))
		cpu_relax();
	GUEST_ASSERT_EQ(READ_ONCE(nr_nmis), 1UL);
	GUEST_DONE();
}

TD_TEST(nmi_is_delivered_with_interrupts_off)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td_with_handlers(1, guest_take_nmi, &vcpu);

	td_launch(vm);
	td_vcpu_run_to_sync(vcpu, 1);
	vcpu_ioctl(vcpu, KVM_NMI, NULL);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());

	return test_harness_run(argc, argv);
}
