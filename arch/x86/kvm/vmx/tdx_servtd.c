// SPDX-License-Identifier: GPL-2.0
/*
 * Service TDs: a TD that is served reserves a slot by the measurement of its service
 * TD, and is bound to it by its VM; a service TD talks to the VMM by hypercalls.
 *
 * Bindings
 *
 * The TDX module owns the bindings and decides about them; KVM keeps nothing.
 * Neither VM holds a reference to the other, so that either can go away first.
 * The TDX module recognizes a binding whose other side is gone.
 *
 * Locking of bindings
 *
 *	kvm->lock of the target
 *	  mig->session_sem of the target	(write)
 *	    mmu_lock of target and service TD	(write, in the same order)
 *
 * kvm->lock keeps away what builds the target, which takes locks of the TDX module
 * that a binding needs, too, and does not expect contention.  The service TD is
 * complete, and the reference to its file keeps it so.
 *
 * No sleeping lock of the service TD is taken.  Userspace can make KVM hold the kvm->lock of a
 * VM for ever, as KVM waits for vCPUs with it held.  So whoever waits for the lock of
 * one VM must not hold that of another one.
 *
 * Hypercalls
 *
 * TDG.VP.VMCALL<Service> and TDG.VP.VMCALL<MigTD> name buffers in shared memory, and
 * the vector of an interrupt that tells when the VMM has filled them.  All of that is
 * between the guest and the VMM: KVM checks the form of the call, hands it to
 * userspace, and returns to the guest what userspace says.  No call waits in the
 * kernel for its completion.
 */
#include <kunit/visibility.h>
#include <linux/bitfield.h>
#include <linux/file.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/shared/tdx.h>
#include <asm/traps.h>
#include <asm/vmx.h>

#include "common.h"
#include "tdx_mig_internal.h"
#include "tdx_servtd.h"

static_assert(sizeof_field(struct kvm_run, tdx.migtd) == 6 * sizeof(u64));
static_assert(sizeof(struct kvm_tdx_servtd_bind) == 128);
static_assert(sizeof(struct kvm_tdx_servtd_prebind) == 128);

/* Operands that decide which service TDs a slot is open to. */
struct servtd_slot {
	u64 slot;
	u16 type;
	u64 attributes;
};

VISIBLE_IF_KUNIT int tdx_servtd_errno(u64 err)
{
	if (tdx_mig_is_busy(err))
		return -EAGAIN;

	switch (tdx_mig_status(err)) {
	case TDX_SUCCESS:
		return 0;
	case TDX_OPERAND_INVALID:
		return -EINVAL;
	case TDX_OP_STATE_INCORRECT:
		return -EBUSY;
	case TDX_SERVTD_TYPE_MISMATCH:
	case TDX_SERVTD_ATTR_MISMATCH:
	case TDX_SERVTD_INFO_HASH_MISMATCH:
	case TDX_SERVTD_UUID_MISMATCH:
		return -EPERM;
	case TDX_SERVTD_ALREADY_BOUND_FOR_TYPE:
	case TDX_SERVTD_BOUND:
		return -EEXIST;
	default:
		return -EIO;
	}
}
EXPORT_SYMBOL_IF_KUNIT(tdx_servtd_errno);

static int servtd_get_slot(u32 type, u32 slot, u64 attributes, struct servtd_slot *out)
{
	if (type > U16_MAX)
		return -EINVAL;

	*out = (struct servtd_slot) {
		.slot = slot,
		.type = type,
		.attributes = attributes,
	};

	return 0;
}

/* Does the TD have a table of bindings? */
static bool servtd_is_target(struct kvm *kvm)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(kvm);

	lockdep_assert_held(&kvm->lock);

	return kvm_tdx->state != TD_STATE_UNINITIALIZED && is_hkid_assigned(kvm_tdx);
}

/* Can the TD be a service TD?  Once it can, it can until its VM is destroyed. */
static bool servtd_is_runnable(struct kvm *kvm)
{
	enum kvm_tdx_state state;

	/* Pairs with the release in tdx_td_finalize() or at the end of the import. */
	state = smp_load_acquire(&to_kvm_tdx(kvm)->state);

	return state == TD_STATE_RUNNABLE && !READ_ONCE(kvm->vm_dead);
}

static u64 __servtd_bind(struct kvm *target, struct kvm *servtd,
			 const struct servtd_slot *slot, struct kvm_tdx_servtd_bind *bind)
{
	struct kvm *first = min(target, servtd);
	struct kvm *second = max(target, servtd);
	struct tdx_mig_call call = { .kvm = target };
	u64 err;

	/*
	 * The leaf shares the op_state of both TDs.  Zaps that cancel an export need
	 * it for themselves, and cannot fail.
	 */
	write_lock(&first->mmu_lock);
	write_lock_nested(&second->mmu_lock, SINGLE_DEPTH_NESTING);

	/* Service TDs contend for the locks, by each access to their target. */
	do {
		err = tdh_servtd_bind(&to_kvm_tdx(target)->td, &to_kvm_tdx(servtd)->td,
				      slot->slot, slot->type, slot->attributes,
				      &bind->handle, bind->target_uuid);
	} while (tdx_mig_call_again(&call, err));

	write_unlock(&second->mmu_lock);
	write_unlock(&first->mmu_lock);

	return err;
}

static int servtd_bind_locked(struct kvm *target, struct kvm *servtd,
			      const struct servtd_slot *slot,
			      struct kvm_tdx_servtd_bind *bind, u64 *hw_error)
{
	struct tdx_mig *mig = to_kvm_tdx(target)->mig;
	int r;

	if (!servtd_is_target(target) || !servtd_is_runnable(servtd))
		return -EINVAL;

	r = down_write_killable(&mig->session_sem);
	if (r)
		return r;

	*hw_error = __servtd_bind(target, servtd, slot, bind);
	up_write(&mig->session_sem);

	return tdx_servtd_errno(*hw_error);
}

static int servtd_bind(struct kvm *target, struct kvm_tdx_cmd *cmd)
{
	struct kvm_tdx_servtd_bind __user *ubind = u64_to_user_ptr(cmd->data);
	struct kvm_tdx_servtd_bind bind;
	struct servtd_slot slot;
	struct kvm *servtd;
	int r;

	if (copy_from_user(&bind, ubind, sizeof(bind)))
		return -EFAULT;

	if (bind.reserved0 || memchr_inv(bind.reserved, 0, sizeof(bind.reserved)))
		return -EINVAL;

	r = servtd_get_slot(bind.type, bind.slot, bind.attributes, &slot);
	if (r)
		return r;

	CLASS(fd, f)(bind.servtd_fd);
	if (fd_empty(f))
		return -EBADF;

	if (!file_is_kvm(fd_file(f)))
		return -EINVAL;

	servtd = fd_file(f)->private_data;
	if (servtd == target || !is_td(servtd))
		return -EINVAL;

	r = mutex_lock_killable(&target->lock);
	if (r)
		return r;

	r = servtd_bind_locked(target, servtd, &slot, &bind, &cmd->hw_error);
	mutex_unlock(&target->lock);
	if (r)
		return r;

	return copy_to_user(ubind, &bind, sizeof(bind)) ? -EFAULT : 0;
}

static u64 __servtd_prebind(struct kvm *target, const struct servtd_slot *slot,
			    struct page *info_hash)
{
	struct tdx_mig_call call = { .kvm = target };
	u64 err;

	/* Zaps need the op_state of the TD for themselves, see __servtd_bind(). */
	guard(write_lock)(&target->mmu_lock);

	do {
		err = tdh_servtd_prebind(&to_kvm_tdx(target)->td, info_hash, slot->slot,
					 slot->type, slot->attributes);
	} while (tdx_mig_call_again(&call, err));

	return err;
}

static int servtd_prebind_locked(struct kvm *target, const struct servtd_slot *slot,
				 struct page *info_hash, u64 *hw_error)
{
	struct tdx_mig *mig = to_kvm_tdx(target)->mig;
	int r;

	if (!servtd_is_target(target))
		return -EINVAL;

	r = down_write_killable(&mig->session_sem);
	if (r)
		return r;

	*hw_error = __servtd_prebind(target, slot, info_hash);
	up_write(&mig->session_sem);

	return tdx_servtd_errno(*hw_error);
}

static int servtd_prebind(struct kvm *target, struct kvm_tdx_cmd *cmd)
{
	struct kvm_tdx_servtd_prebind prebind;
	struct servtd_slot slot;
	struct page *page;
	int r;

	if (copy_from_user(&prebind, u64_to_user_ptr(cmd->data), sizeof(prebind)))
		return -EFAULT;

	if (memchr_inv(prebind.reserved, 0, sizeof(prebind.reserved)))
		return -EINVAL;

	r = servtd_get_slot(prebind.type, prebind.slot, prebind.attributes, &slot);
	if (r)
		return r;

	/* The TDX module wants an alignment that a page has in any case. */
	page = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return -ENOMEM;

	memcpy(page_address(page), prebind.info_hash, sizeof(prebind.info_hash));

	r = mutex_lock_killable(&target->lock);
	if (!r) {
		r = servtd_prebind_locked(target, &slot, page, &cmd->hw_error);
		mutex_unlock(&target->lock);
	}

	__free_page(page);

	return r;
}

bool tdx_servtd_is_vm_cmd(u32 id)
{
	return enable_tdx_mig && (id == KVM_TDX_SERVTD_PREBIND || id == KVM_TDX_SERVTD_BIND);
}

int tdx_servtd_vm_ioctl(struct kvm *kvm, struct kvm_tdx_cmd *cmd)
{
	if (cmd->flags)
		return -EINVAL;

	if (cmd->id == KVM_TDX_SERVTD_PREBIND)
		return servtd_prebind(kvm, cmd);

	return servtd_bind(kvm, cmd);
}

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

int tdx_servtd_handle_service(struct kvm_vcpu *vcpu)
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
EXPORT_SYMBOL_IF_KUNIT(tdx_servtd_handle_service);

int tdx_servtd_handle_migtd(struct kvm_vcpu *vcpu)
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
EXPORT_SYMBOL_IF_KUNIT(tdx_servtd_handle_migtd);
