// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs of a TD on their way to KVM_RUN: those that never get there as they are not
 * initialized, and those that change the CPU at any step.
 */
#include <sched.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_test.h"
#include "tdx_thread.h"
#include "tdx_util.h"

#define TEST_GPA		0x40000000UL
#define TEST_NR_PAGES		8
#define TEST_SLOT		TD_SLOT_UNACCEPTED

/* TDs that are built, and those that run as well, while their thread moves. */
#define NR_MOVING_VMS		30
#define NR_MOVING_TDS		12

static u8 *shared_page;

static void guest_accept_and_use(void)
{
	int i;

	td_accept_pages(TEST_GPA, TEST_NR_PAGES);
	for (i = 0; i < TEST_NR_PAGES; i++)
		WRITE_ONCE(*(u64 *)(TEST_GPA + i * PAGE_SIZE), i + 1);
	GUEST_SYNC(1);
	for (i = 0; i < TEST_NR_PAGES; i++)
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(TEST_GPA + i * PAGE_SIZE)), i + 1UL);
	GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)shared_page), 1UL);
	GUEST_DONE();
}

/* Returns the address in guest memory. */
static gpa_t add_shared_page(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);

	write_guest_global(vm, shared_page, (u8 *)gva);
	WRITE_ONCE(*(u64 *)addr_gva2hva(vm, gva), 1);
	return addr_gva2gpa(vm, gva);
}

/* ------------------------------------------- vCPUs that are not initialized */

/* The next one to run is out of luck, but nobody else is. */
static void expect_not_runnable(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state mp_state = { .mp_state = KVM_MP_STATE_RUNNABLE };

	vcpu_mp_state_set(vcpu, &mp_state);
	TD_EXPECT_ERRNO(EINVAL, __vcpu_run(vcpu));
}

TD_TEST(vcpu_that_was_never_initialized_can_pre_fault_memory)
{
	struct kvm_vcpu *vcpu, *extra;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_accept_and_use);
	gpa_t shared_gpa = add_shared_page(vm);

	extra = td_vcpu_add_uninitialized(vm, 1);
	td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
	TD_EXPECT_ERRNO(EOPNOTSUPP, __td_pre_fault(extra, TEST_GPA, PAGE_SIZE));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(extra, TD_BOOT_GPA,
						     addr_gpa2hva(vm, TD_BOOT_GPA), 1, 0));
	td_launch(vm);

	/* Before, between and after what a vCPU does that can run. */
	td_pre_fault(extra, TEST_GPA, 2 * PAGE_SIZE);
	td_pre_fault(extra, shared_gpa, PAGE_SIZE);
	td_pre_fault(vcpu, TEST_GPA, 4 * PAGE_SIZE);
	td_pre_fault(extra, TEST_GPA, TEST_NR_PAGES * PAGE_SIZE);
	expect_not_runnable(extra);
	td_vcpu_run_to_sync(vcpu, 1);
	td_pre_fault(extra, TEST_GPA, TEST_NR_PAGES * PAGE_SIZE);
	expect_not_runnable(extra);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

TD_TEST(vcpu_that_can_no_longer_be_initialized_is_harmless)
{
	struct kvm_vcpu *vcpu, *extra;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_accept_and_use);

	add_shared_page(vm);
	td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
	extra = td_vcpu_add_uninitialized(vm, 1);
	vcpu_init_cpuid(extra, kvm_get_supported_cpuid());
	td_launch(vm);

	td_pre_fault(extra, TEST_GPA, PAGE_SIZE);
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(extra, KVM_TDX_INIT_VCPU, 0, 0));
	td_pre_fault(extra, TEST_GPA, 2 * PAGE_SIZE);
	expect_not_runnable(extra);
	td_vcpu_run_to_sync(vcpu, 1);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* ------------------------------------------- vCPUs whose thread changes CPU */

/* All that is between the creation of a vCPU and its first access to memory. */
static void init_all_vcpus(void)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_vcpu *vcpu;
	int i, nr;

	td_init_vm(vm, 0);
	nr = vm_check_cap(vm, KVM_CAP_MAX_VCPUS);
	for (i = 0; i < nr; i++) {
		vcpu = __vm_vcpu_add(vm, i);
		vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
		td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0);
	}
	td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL);

	/* No memory at all, but that is checked after the MMU was loaded. */
	list_for_each_entry(vcpu, &vm->vcpus, list)
		TD_EXPECT_ERRNO(ENOENT, __td_pre_fault(vcpu, TEST_GPA, PAGE_SIZE));
	kvm_vm_free(vm);
}

TD_TEST(vcpus_are_initialized_by_a_thread_that_moves_all_the_time)
{
	struct td_hopper h;
	int i;

	td_hopper_start(&h);
	for (i = 0; i < NR_MOVING_VMS; i++)
		init_all_vcpus();
	td_hopper_stop(&h);
	pr_info("The thread moved %lu times\n", h.nr_hops);
	TEST_ASSERT(h.nr_hops > NR_MOVING_VMS, "The thread moved %lu times", h.nr_hops);
	td_run_another();
}

TD_TEST(vcpu_is_on_another_cpu_for_each_ioctl)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	cpu_set_t cpus;
	int i;

	kvm_sched_getaffinity(0, sizeof(cpus), &cpus);

	td_hop(&cpus);
	td_init_vm(vm, 0);
	td_hop(&cpus);
	vcpu = td_vcpu_add(vm, 0);
	td_vcpu_set_entry_point(vcpu, guest_accept_and_use);
	add_shared_page(vm);
	td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
	td_hop(&cpus);
	td_launch(vm);
	for (i = 0; i < TEST_NR_PAGES; i++) {
		td_hop(&cpus);
		td_pre_fault(vcpu, TEST_GPA + i * PAGE_SIZE, PAGE_SIZE);
	}
	td_hop(&cpus);
	td_vcpu_run_to_sync(vcpu, 1);
	td_hop(&cpus);
	td_vcpu_run_to_done(vcpu);
	td_hop(&cpus);
	kvm_vm_free(vm);
}

TD_TEST(td_lives_from_begin_to_end_in_a_thread_that_moves_all_the_time)
{
	struct kvm_vcpu *vcpu;
	struct td_hopper h;
	struct kvm_vm *vm;
	int i;

	td_hopper_start(&h);
	for (i = 0; i < NR_MOVING_TDS; i++) {
		vm = td_create_with_one_vcpu(&vcpu, guest_accept_and_use);
		add_shared_page(vm);
		td_add_unaccepted_memory(vm, TEST_SLOT, TEST_GPA, TEST_NR_PAGES);
		td_launch(vm);
		td_vcpu_run_to_sync(vcpu, 1);
		td_vcpu_run_to_done(vcpu);
		kvm_vm_free(vm);
	}
	td_hopper_stop(&h);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());

	return test_harness_run(argc, argv);
}
