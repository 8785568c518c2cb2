// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the live migration of TDs: the form of the hypercalls of service TDs.
 */
#include <asm/shared/tdx.h>

#include "tdx_mig_kunit.h"
#include "tdx_servtd.h"

#define SHARED		FAKE_TD_SHARED

#define INVALID		TDVMCALL_STATUS_INVALID_OPERAND
#define UNALIGNED	TDVMCALL_STATUS_ALIGN_ERROR
#define UNSUPPORTED	TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED

static struct vcpu_tdx *fake_vcpu_create(struct kunit *test)
{
	struct vcpu_tdx *tdx = kunit_kzalloc(test, sizeof(*tdx), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tdx);

	tdx->vcpu.kvm = &fake_td_create(test)->kvm_tdx.kvm;
	tdx->vcpu.run = kunit_kzalloc(test, sizeof(*tdx->vcpu.run), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tdx->vcpu.run);
	/* Neither a status nor what the guest has left there. */
	tdx->vp_enter_args.r10 = 0x1234;

	return tdx;
}

/* A call ends with a status for the guest, or else with an exit to userspace. */
static void check_call(struct kunit *test, struct vcpu_tdx *tdx, int r, u64 status, u64 nr)
{
	struct kvm_vcpu *vcpu = &tdx->vcpu;

	if (status) {
		KUNIT_EXPECT_EQ(test, r, 1);
		KUNIT_EXPECT_EQ(test, tdx->vp_enter_args.r10, status);
		KUNIT_EXPECT_EQ(test, vcpu->run->exit_reason, 0);
		KUNIT_EXPECT_NULL(test, vcpu->arch.complete_userspace_io);
		return;
	}

	KUNIT_EXPECT_EQ(test, r, 0);
	KUNIT_EXPECT_EQ(test, tdx->vp_enter_args.r10, 0x1234);
	KUNIT_EXPECT_EQ(test, vcpu->run->exit_reason, KVM_EXIT_TDX);
	KUNIT_EXPECT_EQ(test, vcpu->run->tdx.flags, 0);
	KUNIT_EXPECT_EQ(test, vcpu->run->tdx.nr, nr);
	/* What the guest gets from userspace that does not know of the call. */
	KUNIT_EXPECT_EQ(test, vcpu->run->tdx.unknown.ret, UNSUPPORTED);

	KUNIT_ASSERT_NOT_NULL(test, vcpu->arch.complete_userspace_io);
	vcpu->run->tdx.unknown.ret = 0x55;
	KUNIT_EXPECT_EQ(test, vcpu->arch.complete_userspace_io(vcpu), 1);
	KUNIT_EXPECT_EQ(test, tdx->vp_enter_args.r10, 0x55);
}

struct service_case {
	const char *name;
	u64 command;
	u64 response;
	u64 vector;
	u64 status;
};

static const struct service_case service_cases[] = {
	{ "two buffers", SHARED | 0x1000, SHARED | 0x2000, 0x40, 0 },
	{ "no interrupt", SHARED | 0x1000, SHARED | 0x2000, 0, 0 },
	{ "first and last page", SHARED, SHARED | (SHARED - 0x1000), 0x40, 0 },
	{ "lowest vector", SHARED | 0x1000, SHARED | 0x2000, 32, 0 },
	{ "vector of an exception", SHARED | 0x1000, SHARED | 0x2000, 31, INVALID },
	{ "vector 1", SHARED | 0x1000, SHARED | 0x2000, 1, INVALID },
	{ "highest vector", SHARED | 0x1000, SHARED | 0x2000, 255, 0 },
	{ "vector too high", SHARED | 0x1000, SHARED | 0x2000, 256, INVALID },
	{ "vector of 64 bits", SHARED | 0x1000, SHARED | 0x2000, BIT_ULL(32) | 0x40, INVALID },
	{ "private command", 0x1000, SHARED | 0x2000, 0x40, INVALID },
	{ "private response", SHARED | 0x1000, 0x2000, 0x40, INVALID },
	{ "private and unaligned", 0x1001, SHARED | 0x2000, 0x40, INVALID },
	{ "unaligned command", SHARED | 0x1001, SHARED | 0x2000, 0x40, UNALIGNED },
	{ "unaligned response", SHARED | 0x1000, SHARED | 0x2800, 0x40, UNALIGNED },
	{ "command above SHARED", SHARED | BIT_ULL(48), SHARED | 0x2000, 0x40, INVALID },
	{ "response above SHARED", SHARED | 0x1000, SHARED | BIT_ULL(63), 0x40, INVALID },
};

KUNIT_ARRAY_PARAM_DESC(service, service_cases, name);

static void a_service_call_is_checked(struct kunit *test)
{
	const struct service_case *c = test->param_value;
	struct vcpu_tdx *tdx = fake_vcpu_create(test);
	struct kvm_run *run = tdx->vcpu.run;

	tdx->vp_enter_args.r12 = c->command;
	tdx->vp_enter_args.r13 = c->response;
	tdx->vp_enter_args.r14 = c->vector;
	tdx->vp_enter_args.r15 = 0x123456789abc;

	check_call(test, tdx, tdx_servtd_handle_service(&tdx->vcpu), c->status, 0x10005);
	if (c->status)
		return;

	KUNIT_EXPECT_EQ(test, run->tdx.service.command_gpa, c->command - SHARED);
	KUNIT_EXPECT_EQ(test, run->tdx.service.response_gpa, c->response - SHARED);
	KUNIT_EXPECT_EQ(test, run->tdx.service.vector, c->vector);
	KUNIT_EXPECT_EQ(test, run->tdx.service.timeout, 0x123456789abc);
}

struct migtd_case {
	const char *name;
	u64 r12;
	u64 size;
	u64 gpa;
	u64 vector;
	u64 status;
};

#define WAIT	0x10001
#define REPORT	0x10002
#define SEND	0x10003
#define RECEIVE	0x10004

static const struct migtd_case migtd_cases[] = {
	{ "WaitForRequest", WAIT, 0x1000, SHARED | 0x3000, 0x41, 0 },
	{ "ReportStatus", REPORT, 0x1000, SHARED | 0x3000, 0x41, 0 },
	{ "Send", SEND, 0x1000, SHARED | 0x3000, 0x41, 0 },
	{ "Receive", RECEIVE, 0x1000, SHARED | 0x3000, 0x41, 0 },
	{ "leaf 0", 0x10000, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "leaf 5", 0x10005, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "leaf of 16 bits", 0x10103, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "version 0", 0x00003, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "version 2", 0x20003, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "version 129", 0x810003, 0x1000, SHARED | 0x3000, 0x41, UNSUPPORTED },
	{ "lowest reserved bit", SEND | BIT_ULL(24), 0x1000, SHARED | 0x3000, 0x41, INVALID },
	{ "highest reserved bit", SEND | BIT_ULL(63), 0x1000, SHARED | 0x3000, 0x41, INVALID },
	{ "smallest buffer", SEND, 12, SHARED | 0x3000, 0x41, 0 },
	{ "buffer too small", SEND, 11, SHARED | 0x3000, 0x41, INVALID },
	{ "no buffer", SEND, 0, SHARED | 0x3000, 0x41, INVALID },
	{ "largest buffer", SEND, SHARED, SHARED, 0x41, 0 },
	{ "larger than all memory", SEND, SHARED + 1, SHARED, 0x41, INVALID },
	{ "up to the end", SEND, 0x2000, SHARED | (SHARED - 0x2000), 0x41, 0 },
	{ "over the end", SEND, 0x2001, SHARED | (SHARED - 0x2000), 0x41, INVALID },
	{ "end wraps", SEND, -0x3000ULL, SHARED | 0x3000, 0x41, INVALID },
	{ "end wraps beyond", SEND, -0x2000ULL, SHARED | 0x3000, 0x41, INVALID },
	{ "no interrupt", RECEIVE, 0x1000, SHARED | 0x3000, 0, 0 },
	{ "vector of an exception", RECEIVE, 0x1000, SHARED | 0x3000, 31, INVALID },
	{ "vector too high", RECEIVE, 0x1000, SHARED | 0x3000, 256, INVALID },
	{ "private buffer", RECEIVE, 0x1000, 0x3000, 0x41, INVALID },
	{ "unaligned buffer", RECEIVE, 0x1000, SHARED | 0x3008, 0x41, UNALIGNED },
	{ "buffer above SHARED", RECEIVE, 0x1000, SHARED | BIT_ULL(50), 0x41, INVALID },
};

KUNIT_ARRAY_PARAM_DESC(migtd, migtd_cases, name);

static void a_migtd_call_is_checked(struct kunit *test)
{
	const struct migtd_case *c = test->param_value;
	struct vcpu_tdx *tdx = fake_vcpu_create(test);
	struct tdx_module_args *args = &tdx->vp_enter_args;
	struct kvm_run *run = tdx->vcpu.run;
	u64 request_id = 0x1122334455667788, report = 0x99aabbcc;

	args->r12 = c->r12;
	switch (c->r12) {
	case WAIT:
		args->r13 = c->size;
		args->r14 = c->gpa;
		args->r15 = c->vector;
		request_id = 0;
		report = 0;
		break;
	case REPORT:
		args->r13 = request_id;
		args->r14 = report;
		args->r15 = c->size;
		args->rbx = c->gpa;
		args->rdi = c->vector;
		break;
	default:
		args->r13 = request_id;
		args->r14 = c->size;
		args->r15 = c->gpa;
		args->rbx = c->vector;
		report = 0;
		break;
	}

	check_call(test, tdx, tdx_servtd_handle_migtd(&tdx->vcpu), c->status, 0x10006);
	if (c->status)
		return;

	KUNIT_EXPECT_EQ(test, run->tdx.migtd.leaf, c->r12 & 0xffff);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.version, 1);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.vector, c->vector);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.request_id, request_id);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.status, report);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.gpa, c->gpa - SHARED);
	KUNIT_EXPECT_EQ(test, run->tdx.migtd.size, c->size);
}

static struct kunit_case servtd_cases[] = {
	KUNIT_CASE_PARAM(a_service_call_is_checked, service_gen_params),
	KUNIT_CASE_PARAM(a_migtd_call_is_checked, migtd_gen_params),
	{}
};

static struct kunit_suite servtd_suite = {
	.name = "tdx_servtd",
	.test_cases = servtd_cases,
};

kunit_test_suite(servtd_suite);
