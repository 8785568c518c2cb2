// SPDX-License-Identifier: GPL-2.0-only
/*
 * What KVM refuses while a TD is built, each with its errno, and that a refused
 * request leaves a TD that can still be built and run.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_test.h"
#include "tdx_util.h"

#define UNKNOWN_CMD		1000
#define UNKNOWN_FLAG		BIT(31)
#define UNKNOWN_CPUID_LEAF	0x12345
#define BAD_ADDRESS		((void *)1UL)
#define TOO_MANY_ENTRIES	257

static void guest_done(void)
{
	GUEST_DONE();
}

static void launch_and_run(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;

	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static int init_vm(struct kvm_vm *vm, struct kvm_tdx_init_vm *init)
{
	return __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init, NULL);
}

TD_TEST(vm_refuses_unknown_commands)
{
	struct kvm_vm *vm = td_create_barebones();

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, UNKNOWN_CMD, 0, NULL, NULL));
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_INIT_VCPU, 0, NULL, NULL));
	kvm_vm_free(vm);
}

TD_TEST(vm_refuses_commands_with_an_error_already_set)
{
	struct kvm_vm *vm = td_create_barebones();
	union {
		struct kvm_tdx_cmd c;
		unsigned long raw;
	} cmd = { .c = { .id = KVM_TDX_CAPABILITIES, .hw_error = 1 } };

	TD_EXPECT_ERRNO(EINVAL, __vm_ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &cmd.raw));
	kvm_vm_free(vm);
}

TD_TEST(capabilities_refuse_flags_short_buffers_and_bad_addresses)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_capabilities caps = { .cpuid.nent = 0 };

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_CAPABILITIES, UNKNOWN_FLAG,
					      &caps, NULL));
	TD_EXPECT_ERRNO(E2BIG, __td_vm_ioctl(vm, KVM_TDX_CAPABILITIES, 0, &caps, NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_vm_ioctl(vm, KVM_TDX_CAPABILITIES, 0, BAD_ADDRESS,
					      NULL));
	kvm_vm_free(vm);
}

TD_TEST(migration_shows_only_when_it_is_switched_on)
{
	const bool on = get_kvm_intel_param_bool("tdx_mig");
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);

	TEST_ASSERT_EQ(!!(caps->supported_attrs & TDX_TD_ATTR_MIGRATABLE), on);
	TEST_ASSERT_EQ(!!kvm_check_cap(KVM_CAP_X86_TDX_MIGRATION), on);
	TEST_ASSERT_EQ(!!vm_check_cap(vm, KVM_CAP_X86_TDX_MIGRATION), on);
	TEST_ASSERT_EQ(!__kvm_test_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM), on);
	if (!on) {
		TD_EXPECT_ERRNO(ENODEV,
				__kvm_test_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM));
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_INIT_VM,
						      KVM_TDX_INIT_VM_F_MIG_DEST, init, NULL));
		TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_SERVTD_BIND, 0, NULL, NULL));
	}
	free(init);
	free(caps);
	kvm_vm_free(vm);
}

TD_TEST(init_vm_refuses_what_is_not_supported)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);
	const u64 attributes = init->attributes;
	int i;

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_INIT_VM, UNKNOWN_FLAG, init, NULL));
	TD_EXPECT_ERRNO(EFAULT, __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, BAD_ADDRESS, NULL));

	for (i = 0; i < 64; i++) {
		if (caps->supported_attrs & BIT_ULL(i))
			continue;
		init->attributes = attributes | BIT_ULL(i);
		TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	}
	init->attributes = attributes;

	for (i = 0; i < 64; i++) {
		if (caps->supported_xfam & BIT_ULL(i))
			continue;
		init->xfam = BIT_ULL(i);
		TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	}
	init->xfam = 0;

	for (i = 0; i < ARRAY_SIZE(init->reserved); i++) {
		init->reserved[i] = 1;
		TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
		init->reserved[i] = 0;
	}

	free(init);
	free(caps);
	td_init_vm(vm, 0);
	launch_and_run(vm_vcpu_add(vm, 0, guest_done));
}

static struct kvm_cpuid_entry2 *find_address_sizes(struct kvm_tdx_init_vm *init)
{
	return (struct kvm_cpuid_entry2 *)get_cpuid_entry(&init->cpuid, 0x80000008, 0);
}

TD_TEST(init_vm_refuses_bad_cpuid)
{
	static const u8 bad_widths[] = { 0, 40, 47, 49, 53, 255 };
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);
	struct kvm_cpuid_entry2 *e = find_address_sizes(init);
	const struct kvm_cpuid_entry2 good = *e;
	u32 nent = init->cpuid.nent;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad_widths); i++) {
		e->eax = (good.eax & ~GENMASK(23, 16)) | bad_widths[i] << 16;
		TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	}

	/* Neither without the address width nor with a leaf that has no slot. */
	e->function = UNKNOWN_CPUID_LEAF;
	TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	*e = good;

	init->cpuid.padding = 1;
	TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	init->cpuid.padding = 0;

	init->cpuid.nent = TOO_MANY_ENTRIES;
	TD_EXPECT_ERRNO(E2BIG, init_vm(vm, init));
	init->cpuid.nent = 0;
	TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	init->cpuid.nent = nent;

	TEST_ASSERT(!init_vm(vm, init), "KVM_TDX_INIT_VM failed, errno %d", errno);
	free(init);
	launch_and_run(vm_vcpu_add(vm, 0, guest_done));
}

TD_TEST(init_vm_works_once)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	struct kvm_tdx_init_vm *init = td_alloc_init_vm(vm, 0);

	TEST_ASSERT(!init_vm(vm, init), "KVM_TDX_INIT_VM failed, errno %d", errno);
	TD_EXPECT_ERRNO(EINVAL, init_vm(vm, init));
	free(init);
	launch_and_run(vm_vcpu_add(vm, 0, guest_done));
}

static int create_vcpu(struct kvm_vm *vm, unsigned long id)
{
	return __vm_ioctl(vm, KVM_CREATE_VCPU, (void *)id);
}

TD_TEST(vcpu_needs_an_initialized_td_and_a_split_irqchip)
{
	struct kvm_vm *vm = td_create_barebones();

	TD_EXPECT_ERRNO(EIO, create_vcpu(vm, 0));
	kvm_vm_free(vm);

	vm = vm_create_barebones_type(KVM_X86_TDX_VM);
	td_init_vm(vm, 0);
	TD_EXPECT_ERRNO(EINVAL, create_vcpu(vm, 0));
	kvm_vm_free(vm);
}

TD_TEST(td_refuses_an_irqchip_in_the_kernel)
{
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_TDX_VM);

	TD_EXPECT_ERRNO(ENOTTY, __vm_ioctl(vm, KVM_CREATE_IRQCHIP, NULL));
	kvm_vm_free(vm);
}

TD_TEST(td_has_no_more_vcpus_than_the_machine_has_cpus)
{
	struct kvm_vm *vm = td_create_barebones();
	int max = vm_check_cap(vm, KVM_CAP_MAX_VCPUS);
	int i;

	TEST_ASSERT(max > 0 && max <= sysconf(_SC_NPROCESSORS_CONF), "%d vCPUs allowed", max);
	td_init_vm(vm, 0);
	for (i = 0; i < max; i++)
		__vm_vcpu_add(vm, i);
	TD_EXPECT_ERRNO(EINVAL, create_vcpu(vm, max));
	kvm_vm_free(vm);
}

TD_TEST(vcpu_is_initialized_once_and_without_flags)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_barebones();

	td_init_vm(vm, 0);
	vcpu = __vm_vcpu_add(vm, 0);
	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, UNKNOWN_FLAG, 0));
	td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0);
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, UNKNOWN_CMD, 0, 0));
	kvm_vm_free(vm);
}

TD_TEST(vcpu_without_x2apic_is_refused)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_barebones();

	td_init_vm(vm, 0);
	vcpu = __vm_vcpu_add(vm, 0);
	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	vcpu_clear_cpuid_feature(vcpu, X86_FEATURE_X2APIC);
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0));
	vcpu_set_cpuid_feature(vcpu, X86_FEATURE_X2APIC);
	td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0);
	kvm_vm_free(vm);
}

TD_TEST(initial_memory_refuses_bad_ranges)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_done);
	void *source = addr_gpa2hva(vm, TD_BOOT_GPA);

	/* Private memory is a matter of the attribute, not of the slot. */
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source, 1, 0));
	vm_mem_set_private(vm, TD_BOOT_GPA, TD_BOOT_SIZE);

	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source, 1,
						     UNKNOWN_FLAG));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source, 0, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA + 1, source, 1, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source + 1, 1, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, NULL, 1, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA | TD_SHARED_BIT,
						     source, 1, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source,
						     ~0UL >> PAGE_SHIFT, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_SHARED_BIT - PAGE_SIZE,
						     source, 2, 0));
	/* No memory there. */
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_SHARED_BIT - PAGE_SIZE,
						     source, 1, 0));
	TD_EXPECT_ERRNO(EFAULT, __td_init_mem_region(vcpu, TD_BOOT_GPA,
						     (void *)PAGE_SIZE, 1, 0));
	launch_and_run(vcpu);
}

TD_TEST(initial_memory_needs_an_initialized_vcpu)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);
	void *source = addr_gpa2hva(vm, TD_BOOT_GPA);
	struct kvm_vcpu *vcpu;

	td_init_vm(vm, 0);
	vm_mem_set_private(vm, TD_BOOT_GPA, TD_BOOT_SIZE);
	vcpu = __vm_vcpu_add(vm, 0);
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source, 1, 0));
	kvm_vm_free(vm);
}

TD_TEST(td_is_not_run_before_its_launch)
{
	struct kvm_vcpu *vcpu;

	td_create_with_one_vcpu(&vcpu, guest_done);
	TD_EXPECT_ERRNO(EINVAL, __vcpu_run(vcpu));
	launch_and_run(vcpu);
}

TD_TEST(launched_td_cannot_be_changed)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_done);
	void *source = addr_gpa2hva(vm, TD_BOOT_GPA);

	td_launch(vm);
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL));
	TD_EXPECT_ERRNO(EINVAL, __td_init_mem_region(vcpu, TD_BOOT_GPA, source, 1, 0));
	TD_EXPECT_ERRNO(EINVAL, __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, 0));
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

TD_TEST(td_is_not_launched_before_it_exists)
{
	struct kvm_vm *vm = td_create_barebones();

	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL));
	kvm_vm_free(vm);
}

TD_TEST(vcpu_state_of_a_td_is_out_of_reach)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_done);
	struct kvm_sregs sregs = {};
	struct kvm_regs regs = {};
	struct kvm_fpu fpu = {};

	td_launch(vm);
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_GET_REGS, &regs));
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_SET_REGS, &regs));
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_GET_SREGS, &sregs));
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_SET_SREGS, &sregs));
	TD_EXPECT_ERRNO(EINVAL, __vcpu_ioctl(vcpu, KVM_GET_FPU, &fpu));
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());

	return test_harness_run(argc, argv);
}
