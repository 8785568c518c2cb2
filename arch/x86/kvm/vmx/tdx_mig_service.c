// SPDX-License-Identifier: GPL-2.0
/*
 * Hypercalls of service TDs: TDG.VP.VMCALL<Service> and TDG.VP.VMCALL<MigTD>.
 *
 * Both name buffers in shared memory, and a vector for an interrupt that tells
 * when the VMM has filled them.  All of that is between the guest and the VMM:
 * KVM checks the form of the call, hands it to userspace, and returns to the
 * guest what userspace says.  No call waits in the kernel for its completion.
 */
#include <linux/bitfield.h>
#include <linux/sizes.h>

#include <asm/shared/tdx.h>
#include <asm/traps.h>

#include "common.h"
#include "tdx_mig.h"
#include "tdx_mig_servtd.h"

static_assert(sizeof_field(struct kvm_run, tdx.migtd) == 6 * sizeof(u64));

/* R12 of TDG.VP.VMCALL<MigTD> */
#define MIGTD_LEAF		GENMASK_ULL(15, 0)
#define MIGTD_VERSION		GENMASK_ULL(23, 16)
#define MIGTD_RESERVED		GENMASK_ULL(63, 24)

/* The only version that tells which register means what. */
#define MIGTD_VERSION_1		1

enum migtd_leaf {
	MIGTD_WAIT_FOR_REQUEST	= 1,
	MIGTD_REPORT_STATUS	= 2,
	MIGTD_SEND		= 3,
	MIGTD_RECEIVE		= 4,
};

/* A buffer starts with the status (8 bytes) and the length (4 bytes) of its data. */
#define MIGTD_MIN_SIZE		12

static int service_return(struct kvm_vcpu *vcpu, u64 status)
{
	to_tdx(vcpu)->vp_enter_args.r10 = status;

	return 1;
}

static int service_complete(struct kvm_vcpu *vcpu)
{
	return service_return(vcpu, vcpu->run->tdx.unknown.ret);
}

/* Without an interrupt, i.e. with vector 0, the guest polls. */
static bool service_is_valid_vector(u64 vector)
{
	return !vector || (vector >= FIRST_EXTERNAL_VECTOR && vector < NR_VECTORS);
}

/* Returns the status for the guest; on success without the SHARED bit in @gpa. */
static u64 service_check_buffer(struct kvm *kvm, u64 *gpa, u64 size)
{
	const u64 shared = gfn_to_gpa(kvm_gfn_direct_bits(kvm));

	if (vt_is_tdx_private_gpa(kvm, *gpa))
		return TDVMCALL_STATUS_INVALID_OPERAND;

	if (!PAGE_ALIGNED(*gpa))
		return TDVMCALL_STATUS_ALIGN_ERROR;

	*gpa &= ~shared;
	if (*gpa >= shared || size > shared - *gpa)
		return TDVMCALL_STATUS_INVALID_OPERAND;

	return TDVMCALL_STATUS_SUCCESS;
}

static void service_prepare_exit(struct kvm_vcpu *vcpu, u64 nr)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->tdx, 0, sizeof(run->tdx));
	run->exit_reason = KVM_EXIT_TDX;
	run->tdx.nr = nr;
	run->tdx.unknown.ret = TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED;

	vcpu->arch.complete_userspace_io = service_complete;
}

int tdx_mig_handle_service(struct kvm_vcpu *vcpu)
{
	const struct tdx_module_args *args = &to_tdx(vcpu)->vp_enter_args;
	u64 command = args->r12, response = args->r13;
	u64 status;

	if (!service_is_valid_vector(args->r14))
		return service_return(vcpu, TDVMCALL_STATUS_INVALID_OPERAND);

	/* Both buffers tell their length at their start. */
	status = service_check_buffer(vcpu->kvm, &command, PAGE_SIZE);
	if (!status)
		status = service_check_buffer(vcpu->kvm, &response, PAGE_SIZE);
	if (status)
		return service_return(vcpu, status);

	service_prepare_exit(vcpu, TDVMCALL_SERVICE);
	vcpu->run->tdx.service.command_gpa = command;
	vcpu->run->tdx.service.response_gpa = response;
	vcpu->run->tdx.service.vector = args->r14;
	vcpu->run->tdx.service.timeout = args->r15;

	return 0;
}

int tdx_mig_handle_migtd(struct kvm_vcpu *vcpu)
{
	const struct tdx_module_args *args = &to_tdx(vcpu)->vp_enter_args;
	u64 request_id = 0, report = 0, gpa, size, vector, status;

	if (args->r12 & MIGTD_RESERVED)
		return service_return(vcpu, TDVMCALL_STATUS_INVALID_OPERAND);

	if (FIELD_GET(MIGTD_VERSION, args->r12) != MIGTD_VERSION_1)
		return service_return(vcpu, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);

	switch (FIELD_GET(MIGTD_LEAF, args->r12)) {
	case MIGTD_WAIT_FOR_REQUEST:
		size = args->r13;
		gpa = args->r14;
		vector = args->r15;
		break;
	case MIGTD_REPORT_STATUS:
		request_id = args->r13;
		report = args->r14;
		size = args->r15;
		gpa = args->rbx;
		vector = args->rdi;
		break;
	case MIGTD_SEND:
	case MIGTD_RECEIVE:
		request_id = args->r13;
		size = args->r14;
		gpa = args->r15;
		vector = args->rbx;
		break;
	default:
		return service_return(vcpu, TDVMCALL_STATUS_SUBFUNC_UNSUPPORTED);
	}

	if (size < MIGTD_MIN_SIZE || !service_is_valid_vector(vector))
		return service_return(vcpu, TDVMCALL_STATUS_INVALID_OPERAND);

	status = service_check_buffer(vcpu->kvm, &gpa, size);
	if (status)
		return service_return(vcpu, status);

	service_prepare_exit(vcpu, TDVMCALL_MIGTD);
	vcpu->run->tdx.migtd.leaf = FIELD_GET(MIGTD_LEAF, args->r12);
	vcpu->run->tdx.migtd.version = MIGTD_VERSION_1;
	vcpu->run->tdx.migtd.vector = vector;
	vcpu->run->tdx.migtd.request_id = request_id;
	vcpu->run->tdx.migtd.status = report;
	vcpu->run->tdx.migtd.gpa = gpa;
	vcpu->run->tdx.migtd.size = size;

	return 0;
}
