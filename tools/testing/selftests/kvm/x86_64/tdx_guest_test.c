// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a TD asks of the TDX module and of the VMM: virtualization exceptions,
 * hypercalls, measurement.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_test.h"
#include "tdx_util.h"

#define TEST_PORT		0x80
#define TEST_MMIO_GPA		0xfed00000UL
#define TEST_VALUE		0x1122334455667788UL
#define TEST_ERROR		0x55
#define UNUSED_MSR		0x12345678
#define UNUSED_TDVMCALL		0x7fff

#define CPUID_HYPERVISOR	0x40000000
#define CPUID_TDX		0x21

/* Status of a TDCALL: the operand that was wrong, RDX. */
#define TDX_OPERAND_RDX		2

/* Private to each TD, as all data of the test; written before the launch. */
static u8 report[TD_REPORT_SIZE] __aligned(TD_REPORT_SIZE);
static u8 report_data[TD_REPORT_DATA_SIZE] __aligned(TD_REPORT_DATA_SIZE);
static u8 rtmr_data[TD_RTMR_EXTEND_SIZE] __aligned(TD_REPORT_DATA_SIZE);
static gpa_t report_gpa, report_data_gpa, rtmr_data_gpa;
static u8 *shared_page;

static void run_to_exit(struct kvm_vcpu *vcpu, u32 exit_reason)
{
	vcpu_run(vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, exit_reason);
}

static void run_one_td(void *guest_code)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_code);

	td_launch(vm);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* ------------------------------------------------ virtualization exceptions */

static void guest_read_hypervisor_leaf(void)
{
	u32 eax, ebx, ecx, edx;

	cpuid(CPUID_HYPERVISOR, &eax, &ebx, &ecx, &edx);
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, 1UL);
	GUEST_ASSERT_EQ(td_ve_stats.last.exit_reason, (u64)TD_VE_CPUID);
	GUEST_ASSERT_EQ(td_ve_stats.last.instruction_length, 2);
	GUEST_SYNC4(eax, ebx, ecx, edx);
	GUEST_DONE();
}

TD_TEST(cpuid_of_the_hypervisor_raises_ve_and_is_the_vmms)
{
	const struct kvm_cpuid_entry2 *e;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_read_hypervisor_leaf);
	struct ucall uc;

	e = get_cpuid_entry(vcpu->cpuid, CPUID_HYPERVISOR, 0);
	td_launch(vm);
	TEST_ASSERT_EQ(td_vcpu_run(vcpu, &uc), UCALL_SYNC);
	TEST_ASSERT_EQ(uc.args[0], e->eax);
	TEST_ASSERT_EQ(uc.args[1], e->ebx);
	TEST_ASSERT_EQ(uc.args[2], e->ecx);
	TEST_ASSERT_EQ(uc.args[3], e->edx);
	TEST_ASSERT(e->ebx, "No hypervisor signature in the vCPU's CPUID");
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

/* Is it a TDX module before 1.5.05?  Not without the driver that tells its version. */
static bool tdx_module_is_old(void)
{
	FILE *f = fopen("/sys/devices/faux/tdx_host/version", "r");
	unsigned int major = 0, minor = 0, update = 0;
	bool known;

	if (!f)
		return false;
	known = fscanf(f, "%u.%u.%u", &major, &minor, &update) == 3;
	fclose(f);
	TEST_ASSERT(known, "The TDX module has a version of an unknown form");
	return major == 1 && minor == 5 && update < 5;
}

#define DEBUGCTL_FREEZE_IN_SMM	BIT_ULL(14)
#define DEBUGCTL_RTM_DEBUG	BIT_ULL(15)

static void guest_use_what_it_has_not(void)
{
	GUEST_ASSERT_EQ(kvm_asm_safe("monitor", "a"(report), "c"(0), "d"(0)), UD_VECTOR);
	GUEST_ASSERT_EQ(kvm_asm_safe("mwait", "a"(0), "c"(0)), UD_VECTOR);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, DEBUGCTL_FREEZE_IN_SMM), GP_VECTOR);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, DEBUGCTL_RTM_DEBUG), GP_VECTOR);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, 0), 0);
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, 0UL);
	GUEST_DONE();
}

/* MONITOR and MWAIT raise #VE there. */
static void guest_use_what_old_modules_do_not_check(void)
{
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, DEBUGCTL_FREEZE_IN_SMM), 0);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, DEBUGCTL_RTM_DEBUG), 0);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_IA32_DEBUGCTLMSR, 0), 0);
	GUEST_DONE();
}

TD_TEST(features_that_a_td_has_not_raise_plain_exceptions)
{
	run_one_td(tdx_module_is_old() ? guest_use_what_old_modules_do_not_check :
					 guest_use_what_it_has_not);
}

static void guest_read_tdx_leaf(void)
{
	u32 eax, sig[3];

	cpuid(CPUID_TDX, &eax, &sig[0], &sig[2], &sig[1]);
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, 0UL);
	GUEST_ASSERT(!memcmp(sig, "IntelTDX    ", sizeof(sig)));
	GUEST_DONE();
}

TD_TEST(cpuid_tells_the_guest_that_it_is_a_td_without_ve)
{
	run_one_td(guest_read_tdx_leaf);
}

static void guest_use_io_instructions(void)
{
	u32 value = (u32)TEST_VALUE;

	asm volatile("outl %0, %w1" : : "a" (value), "Nd" (TEST_PORT));
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, 1UL);
	GUEST_ASSERT_EQ(td_ve_stats.last.exit_reason, (u64)TD_VE_IO);
	value = 0;
	asm volatile("inl %w1, %0" : "=a" (value) : "Nd" (TEST_PORT));
	GUEST_ASSERT_EQ(td_ve_stats.nr_ve, 2UL);
	GUEST_ASSERT_EQ(value, (u32)~TEST_VALUE);
	GUEST_DONE();
}

static void check_io_exit(struct kvm_vcpu *vcpu, u8 direction, u8 size)
{
	run_to_exit(vcpu, KVM_EXIT_IO);
	TEST_ASSERT_EQ(vcpu->run->io.direction, direction);
	TEST_ASSERT_EQ(vcpu->run->io.size, size);
	TEST_ASSERT_EQ(vcpu->run->io.port, TEST_PORT);
	TEST_ASSERT_EQ(vcpu->run->io.count, 1);
}

static void handle_io(struct kvm_vcpu *vcpu, u8 size)
{
	const u64 in = ~TEST_VALUE;
	u64 out = 0;

	check_io_exit(vcpu, KVM_EXIT_IO_OUT, size);
	memcpy(&out, (void *)vcpu->run + vcpu->run->io.data_offset, size);
	TEST_ASSERT_EQ(out, TEST_VALUE & GENMASK_ULL(size * 8 - 1, 0));

	check_io_exit(vcpu, KVM_EXIT_IO_IN, size);
	memcpy((void *)vcpu->run + vcpu->run->io.data_offset, &in, size);
}

TD_TEST(io_instructions_raise_ve_and_reach_the_vmm)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_use_io_instructions);

	td_launch(vm);
	handle_io(vcpu, 4);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_triple_fault(void)
{
	const struct {
		u16 limit;
		u64 base;
	} __packed none = {};

	asm volatile("lidt %0; ud2" : : "m" (none));
}

TD_TEST(triple_fault_shuts_the_td_down)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_triple_fault);

	td_launch(vm);
	run_to_exit(vcpu, KVM_EXIT_SHUTDOWN);
	kvm_vm_free(vm);
}

/* --------------------------------------------------------------- hypercalls */

static void guest_do_port_io(void)
{
	int size;
	u64 value;

	for (size = 1; size <= 4; size *= 2) {
		GUEST_ASSERT_EQ(tdvmcall_io_write(TEST_PORT, size, TEST_VALUE), 0UL);
		GUEST_ASSERT_EQ(tdvmcall_io_read(TEST_PORT, size, &value), 0UL);
		GUEST_ASSERT_EQ(value, ~TEST_VALUE & GENMASK_ULL(size * 8 - 1, 0));
	}
	GUEST_ASSERT_EQ(tdvmcall_io_write(TEST_PORT, 3, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(tdvmcall_io_write(TEST_PORT, 8, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_DONE();
}

TD_TEST(port_io_hypercalls_reach_the_vmm)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_do_port_io);
	int size;

	td_launch(vm);
	for (size = 1; size <= 4; size *= 2)
		handle_io(vcpu, size);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_do_mmio(void)
{
	const gpa_t gpa = TEST_MMIO_GPA | TD_SHARED_BIT;
	int size;
	u64 value;

	for (size = 1; size <= 8; size *= 2) {
		GUEST_ASSERT_EQ(tdvmcall_mmio_write(gpa, size, TEST_VALUE), 0UL);
		GUEST_ASSERT_EQ(tdvmcall_mmio_read(gpa, size, &value), 0UL);
		GUEST_ASSERT_EQ(value, ~TEST_VALUE & GENMASK_ULL(size * 8 - 1, 0));
	}
	GUEST_ASSERT_EQ(tdvmcall_mmio_write(gpa, 3, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(tdvmcall_mmio_write(TEST_MMIO_GPA, 4, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_DONE();
}

TD_TEST(mmio_hypercalls_reach_the_vmm)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_do_mmio);
	const u64 in = ~TEST_VALUE;
	u64 out;
	int size;

	td_launch(vm);
	for (size = 1; size <= 8; size *= 2) {
		run_to_exit(vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(vcpu->run->mmio.phys_addr, TEST_MMIO_GPA);
		TEST_ASSERT_EQ(vcpu->run->mmio.is_write, 1);
		TEST_ASSERT_EQ(vcpu->run->mmio.len, size);
		out = 0;
		memcpy(&out, vcpu->run->mmio.data, size);
		TEST_ASSERT_EQ(out, TEST_VALUE & GENMASK_ULL(size * 8 - 1, 0));

		run_to_exit(vcpu, KVM_EXIT_MMIO);
		TEST_ASSERT_EQ(vcpu->run->mmio.phys_addr, TEST_MMIO_GPA);
		TEST_ASSERT_EQ(vcpu->run->mmio.is_write, 0);
		TEST_ASSERT_EQ(vcpu->run->mmio.len, size);
		memcpy(vcpu->run->mmio.data, &in, size);
	}
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_ask_for_unknown_things(void)
{
	struct tdcall_regs regs = {};
	u64 value;

	GUEST_ASSERT_EQ(tdvmcall(UNUSED_TDVMCALL, &regs),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(tdvmcall_rdmsr(UNUSED_MSR, &value), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(tdvmcall_wrmsr(UNUSED_MSR, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_DONE();
}

TD_TEST(unknown_hypercalls_and_msrs_are_refused)
{
	run_one_td(guest_ask_for_unknown_things);
}

static void guest_report_fatal_error(void)
{
	tdvmcall_fatal_error(TEST_ERROR);
	GUEST_FAIL("A TD that reported a fatal error was run again");
}

TD_TEST(fatal_error_of_the_guest_reaches_the_vmm)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_report_fatal_error);

	td_launch(vm);
	run_to_exit(vcpu, KVM_EXIT_SYSTEM_EVENT);
	TEST_ASSERT_EQ(vcpu->run->system_event.type, KVM_SYSTEM_EVENT_TDX_FATAL);
	TEST_ASSERT_EQ(vcpu->run->system_event.ndata, 16);
	TEST_ASSERT_EQ(vcpu->run->system_event.data[12], TEST_ERROR);
	kvm_vm_free(vm);
}

/* -------------------------------------------------------------- measurement */

static void guest_send_report(void)
{
	GUEST_ASSERT_EQ(tdg_mr_report(report_gpa, report_data_gpa, 0), 0UL);
	memcpy(shared_page, report, sizeof(report));
	GUEST_SYNC(1);
}

static void guest_report(void)
{
	guest_send_report();
	GUEST_DONE();
}

/* Returns the host's view of the page that the guest copies reports to. */
static u8 *prepare_report(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, TD_REPORT_SIZE, KVM_UTIL_MIN_VADDR,
				    MEM_REGION_TEST_DATA);

	write_guest_global(vm, shared_page, (u8 *)gva);
	write_guest_global(vm, report_gpa, addr_gva2gpa(vm, (gva_t)report));
	write_guest_global(vm, report_data_gpa, addr_gva2gpa(vm, (gva_t)report_data));
	write_guest_global(vm, rtmr_data_gpa, addr_gva2gpa(vm, (gva_t)rtmr_data));
	return addr_gva2hva(vm, gva);
}

TD_TEST(mrtd_is_the_hash_of_the_initial_memory)
{
	u8 expected[TD_SHA384_SIZE];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_report);
	u8 *seen = prepare_report(vm);

	__td_launch(vm, expected);
	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT(!memcmp(seen + TD_REPORT_MRTD, expected, sizeof(expected)),
		    "MRTD is not the hash of what was added");
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void get_mrtd(u8 data, u8 mrtd[TD_SHA384_SIZE])
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_report);
	u8 *seen = prepare_report(vm);

	write_guest_global(vm, report_data[0], data);
	__td_launch(vm, mrtd);
	td_vcpu_run_to_sync(vcpu, 1);
	memcpy(mrtd, seen + TD_REPORT_MRTD, TD_SHA384_SIZE);
	kvm_vm_free(vm);
}

TD_TEST(mrtd_is_equal_for_equal_memory_and_differs_for_one_changed_byte)
{
	u8 mrtd[3][TD_SHA384_SIZE];

	get_mrtd(1, mrtd[0]);
	get_mrtd(1, mrtd[1]);
	get_mrtd(2, mrtd[2]);
	TEST_ASSERT(!memcmp(mrtd[0], mrtd[1], TD_SHA384_SIZE), "Equal TDs differ");
	TEST_ASSERT(memcmp(mrtd[0], mrtd[2], TD_SHA384_SIZE), "A changed byte is not measured");
}

TD_TEST(report_carries_the_configured_identity)
{
	struct kvm_tdx_init_vm *init;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	u64 attributes;
	u8 *seen;

	vm = td_create_uninitialized(1, 0);
	init = td_alloc_init_vm(vm, 0);
	memset(init->mrconfigid, 0xa5, sizeof(init->mrconfigid));
	attributes = init->attributes;
	td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, init);
	vcpu = vm_vcpu_add(vm, 0, guest_report);
	seen = prepare_report(vm);
	td_launch(vm);

	td_vcpu_run_to_sync(vcpu, 1);
	TEST_ASSERT(!memcmp(seen + TD_REPORT_MRCONFIGID, init->mrconfigid,
			    sizeof(init->mrconfigid)), "MRCONFIGID is not what was given");
	TEST_ASSERT(!memcmp(seen + TD_REPORT_ATTRIBUTES, &attributes, sizeof(attributes)),
		    "ATTRIBUTES are not what was given");
	free(init);
	kvm_vm_free(vm);
}

static void guest_extend_rtmr(void)
{
	memset(rtmr_data, 0x5a, sizeof(rtmr_data));
	GUEST_ASSERT_EQ(tdg_mr_rtmr_extend(rtmr_data_gpa, 2), 0UL);
	guest_send_report();
	GUEST_ASSERT_EQ(tdg_mr_rtmr_extend(rtmr_data_gpa, 2), 0UL);
	guest_send_report();
	GUEST_ASSERT_EQ(tdg_mr_rtmr_extend(rtmr_data_gpa, TD_NR_RTMRS),
			TDX_OPERAND_INVALID | TDX_OPERAND_RDX);
	GUEST_DONE();
}

TD_TEST(rtmr_is_the_hash_of_its_history)
{
	u8 rtmr[TD_SHA384_SIZE] = {}, data[TD_RTMR_EXTEND_SIZE];
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_create_with_one_vcpu(&vcpu, guest_extend_rtmr);
	u8 *seen = prepare_report(vm);
	struct td_sha384 sha;
	int i;

	memset(data, 0x5a, sizeof(data));
	td_launch(vm);
	for (i = 0; i < 2; i++) {
		td_vcpu_run_to_sync(vcpu, 1);
		td_sha384_init(&sha);
		td_sha384_update(&sha, rtmr, sizeof(rtmr));
		td_sha384_update(&sha, data, sizeof(data));
		td_sha384_final(&sha, rtmr);
		TEST_ASSERT(!memcmp(seen + TD_REPORT_RTMR + 2 * sizeof(rtmr), rtmr,
				    sizeof(rtmr)), "RTMR 2 is wrong after %d extends", i + 1);
	}
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx());

	return test_harness_run(argc, argv);
}
