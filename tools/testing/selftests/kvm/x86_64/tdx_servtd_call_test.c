// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls of service TDs: which of them reach the VMM, with what, and what the
 * guest gets when the VMM does not know them or takes its time.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_test.h"

#define EXPOSED_REGS		(BIT(3) | BIT(7) | GENMASK(15, 10))
#define R12(_leaf, _version)	((_leaf) | (u64)(_version) << MIGTD_VERSION_SHIFT)

#define REQUEST_ID		0x1122334455667788UL
#define STATUS			0x501UL
#define VECTOR			0x60
#define TIMEOUT			2000
#define HEADER_SIZE		12

/* Two pages of shared memory; the host keeps the address as well. */
static gpa_t buffer;
static gpa_t expected_gpa;

static u64 call(u64 function, struct tdcall_regs regs)
{
	u64 status;

	regs.rcx = EXPOSED_REGS;
	regs.r10 = 0;
	regs.r11 = function;
	status = tdcall(TDG_VP_VMCALL, &regs);

	return status ?: regs.r10;
}

static u64 wait_for_request(u64 r12, u64 size, u64 gpa, u64 vector)
{
	return call(TDVMCALL_MIGTD, (struct tdcall_regs) {
		.r12 = r12, .r13 = size, .r14 = gpa, .r15 = vector,
	});
}

static u64 service(u64 command, u64 response, u64 vector)
{
	return call(TDVMCALL_SERVICE, (struct tdcall_regs) {
		.r12 = command, .r13 = response, .r14 = vector, .r15 = TIMEOUT,
	});
}

static struct kvm_vm *create_td(void *guest_code, struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = td_create_with_one_vcpu(vcpu, guest_code);
	gva_t gva = vm_alloc_shared(vm, 2 * PAGE_SIZE, KVM_UTIL_MIN_VADDR,
				    MEM_REGION_TEST_DATA);

	expected_gpa = addr_gva2gpa(vm, gva);
	write_guest_global(vm, buffer, expected_gpa);
	td_launch(vm);
	return vm;
}

static void guest_malformed(void)
{
	const u64 shared = buffer | TD_SHARED_BIT, wait = R12(MIGTD_WAIT_FOR_REQUEST, 1);
	int vector;

	/* Versions and leaves that are not known. */
	GUEST_ASSERT_EQ(wait_for_request(R12(MIGTD_WAIT_FOR_REQUEST, 0), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(wait_for_request(R12(MIGTD_WAIT_FOR_REQUEST, 2), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(wait_for_request(R12(0, 1), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(wait_for_request(R12(MIGTD_RECEIVE + 1, 1), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(wait_for_request(wait | BIT_ULL(24), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);

	/* Buffers that are private, not aligned, too short or not memory. */
	GUEST_ASSERT_EQ(wait_for_request(wait, PAGE_SIZE, buffer, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(wait_for_request(wait, PAGE_SIZE, shared + 8, 0),
			TDVMCALL_STATUS_ALIGN_ERROR);
	GUEST_ASSERT_EQ(wait_for_request(wait, HEADER_SIZE - 1, shared, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(wait_for_request(wait, 0, shared, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(wait_for_request(wait, ~0ULL, shared, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(wait_for_request(wait, TD_SHARED_BIT, shared, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(wait_for_request(wait, PAGE_SIZE, shared | BIT_ULL(60), 0),
			TDVMCALL_STATUS_INVALID_OPERAND);

	GUEST_ASSERT_EQ(service(buffer, shared, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(service(shared, buffer, 0), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(service(shared + 1, shared, 0), TDVMCALL_STATUS_ALIGN_ERROR);
	GUEST_ASSERT_EQ(service(shared, shared + 1, 0), TDVMCALL_STATUS_ALIGN_ERROR);
	GUEST_ASSERT_EQ(service(shared | BIT_ULL(60), shared, 0),
			TDVMCALL_STATUS_INVALID_OPERAND);

	/* Vectors that are exceptions, or none at all. */
	for (vector = 1; vector < 32; vector++) {
		GUEST_ASSERT_EQ(wait_for_request(wait, PAGE_SIZE, shared, vector),
				TDVMCALL_STATUS_INVALID_OPERAND);
		GUEST_ASSERT_EQ(service(shared, shared, vector),
				TDVMCALL_STATUS_INVALID_OPERAND);
	}
	GUEST_ASSERT_EQ(wait_for_request(wait, PAGE_SIZE, shared, 256),
			TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(service(shared, shared, 256), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_DONE();
}

TD_TEST(malformed_calls_do_not_reach_the_vmm)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(guest_malformed, &vcpu);

	/* Any exit but the ucall fails here. */
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_ignored(void)
{
	const u64 shared = buffer | TD_SHARED_BIT;

	GUEST_ASSERT_EQ(wait_for_request(R12(MIGTD_WAIT_FOR_REQUEST, 1), PAGE_SIZE, shared, 0),
			TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_ASSERT_EQ(service(shared, shared, 0), TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	GUEST_DONE();
}

static struct kvm_run *run_to_call(struct kvm_vcpu *vcpu, u64 nr)
{
	vcpu_run(vcpu);
	TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_TDX);
	TEST_ASSERT_EQ(vcpu->run->tdx.flags, 0ULL);
	TEST_ASSERT_EQ(vcpu->run->tdx.nr, nr);
	return vcpu->run;
}

TD_TEST(vmm_that_does_not_know_the_calls_has_nothing_to_do)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(guest_ignored, &vcpu);

	run_to_call(vcpu, TDVMCALL_MIGTD);
	run_to_call(vcpu, TDVMCALL_SERVICE);
	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

static void guest_all_leaves(void)
{
	const u64 shared = buffer | TD_SHARED_BIT;

	GUEST_ASSERT_EQ(wait_for_request(R12(MIGTD_WAIT_FOR_REQUEST, 1), HEADER_SIZE, shared,
					 VECTOR), TDVMCALL_STATUS_SUCCESS);
	GUEST_ASSERT_EQ(call(TDVMCALL_MIGTD, (struct tdcall_regs) {
		.r12 = R12(MIGTD_REPORT_STATUS, 1), .r13 = REQUEST_ID, .r14 = STATUS,
		.r15 = PAGE_SIZE, .rbx = shared, .rdi = VECTOR,
	}), TDVMCALL_STATUS_SUCCESS);
	GUEST_ASSERT_EQ(call(TDVMCALL_MIGTD, (struct tdcall_regs) {
		.r12 = R12(MIGTD_SEND, 1), .r13 = REQUEST_ID, .r14 = 2 * PAGE_SIZE,
		.r15 = shared, .rbx = VECTOR,
	}), TDVMCALL_STATUS_RETRY);
	GUEST_ASSERT_EQ(call(TDVMCALL_MIGTD, (struct tdcall_regs) {
		.r12 = R12(MIGTD_RECEIVE, 1), .r13 = REQUEST_ID, .r14 = 2 * PAGE_SIZE,
		.r15 = shared,
	}), TDVMCALL_STATUS_INVALID_OPERAND);
	GUEST_ASSERT_EQ(service(shared, shared + PAGE_SIZE, 255), TDVMCALL_STATUS_SUCCESS);
	GUEST_DONE();
}

static void expect_migtd(struct kvm_vcpu *vcpu, u16 leaf, u64 request_id, u64 status, u64 size,
			 u32 vector)
{
	struct kvm_run *run = run_to_call(vcpu, TDVMCALL_MIGTD);

	TEST_ASSERT_EQ(run->tdx.migtd.ret, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	TEST_ASSERT_EQ(run->tdx.migtd.leaf, leaf);
	TEST_ASSERT_EQ(run->tdx.migtd.version, MIGTD_VERSION);
	TEST_ASSERT_EQ(run->tdx.migtd.vector, vector);
	TEST_ASSERT_EQ(run->tdx.migtd.request_id, request_id);
	TEST_ASSERT_EQ(run->tdx.migtd.status, status);
	TEST_ASSERT_EQ(run->tdx.migtd.gpa, expected_gpa);
	TEST_ASSERT_EQ(run->tdx.migtd.size, size);
}

TD_TEST(vmm_sees_all_operands_and_its_answer_reaches_the_guest)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(guest_all_leaves, &vcpu);
	struct kvm_run *run = vcpu->run;

	expect_migtd(vcpu, MIGTD_WAIT_FOR_REQUEST, 0, 0, HEADER_SIZE, VECTOR);
	run->tdx.migtd.ret = TDVMCALL_STATUS_SUCCESS;
	expect_migtd(vcpu, MIGTD_REPORT_STATUS, REQUEST_ID, STATUS, PAGE_SIZE, VECTOR);
	run->tdx.migtd.ret = TDVMCALL_STATUS_SUCCESS;
	expect_migtd(vcpu, MIGTD_SEND, REQUEST_ID, 0, 2 * PAGE_SIZE, VECTOR);
	run->tdx.migtd.ret = TDVMCALL_STATUS_RETRY;
	expect_migtd(vcpu, MIGTD_RECEIVE, REQUEST_ID, 0, 2 * PAGE_SIZE, 0);
	run->tdx.migtd.ret = TDVMCALL_STATUS_INVALID_OPERAND;

	run_to_call(vcpu, TDVMCALL_SERVICE);
	TEST_ASSERT_EQ(run->tdx.service.ret, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	TEST_ASSERT_EQ(run->tdx.service.command_gpa, expected_gpa);
	TEST_ASSERT_EQ(run->tdx.service.response_gpa, expected_gpa + PAGE_SIZE);
	TEST_ASSERT_EQ(run->tdx.service.vector, 255ULL);
	TEST_ASSERT_EQ(run->tdx.service.timeout, (u64)TIMEOUT);
	run->tdx.service.ret = TDVMCALL_STATUS_SUCCESS;

	td_vcpu_run_to_done(vcpu);
	kvm_vm_free(vm);
}

TD_TEST(td_whose_call_is_never_answered_can_be_destroyed)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create_td(guest_all_leaves, &vcpu);

	run_to_call(vcpu, TDVMCALL_MIGTD);
	kvm_vm_free(vm);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
