// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: which vCPU a command means, and the last exit of a vCPU,
 * which lives in KVM and not in the TDX module, so that no bundle carries it.
 */
#include <linux/string.h>
#include <linux/uaccess.h>

#include "tdx_mig_internal.h"

static_assert(sizeof(struct kvm_tdx_mig_vcpu_state) == 256);

/* VMX exit reasons have 16 bits. */
#define TDX_MIG_MAX_EXIT_REASON		U16_MAX

/* The vCPU that a state command names, or the next one. */
struct kvm_vcpu *tdx_mig_get_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held(&mig->session_sem);

	if (cmd->has_vcpu_id)
		return kvm_get_vcpu_by_id(kvm, cmd->vcpu_id);

	lockdep_assert_held_write(&mig->session_sem);

	return kvm_get_vcpu(kvm, mig->next_vcpu);
}

/*
 * The vCPU that EXPORT_STATE_VP names, or the next one that has a state.  No vCPU of
 * a TD that is exported becomes initialized, so this needs no vcpu->mutex.
 */
struct kvm_vcpu *tdx_mig_get_initialized_vcpu(struct kvm *kvm, struct tdx_mig_cmd *cmd)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct kvm_vcpu *vcpu;

	for (;;) {
		vcpu = tdx_mig_get_vcpu(kvm, cmd);
		if (!vcpu || to_tdx(vcpu)->state == VCPU_TD_STATE_INITIALIZED)
			return vcpu;

		if (cmd->has_vcpu_id)
			return NULL;

		mig->next_vcpu++;
	}
}

/* Does the vCPU have its state, while the import of the TD still goes on? */
bool tdx_mig_vcpu_is_importing(struct kvm_vcpu *vcpu)
{
	/* The import ends with vcpu->mutex held, too. */
	lockdep_assert_held(&vcpu->mutex);

	return to_kvm_tdx(vcpu->kvm)->state == TD_STATE_IMPORT &&
	       to_tdx(vcpu)->state == VCPU_TD_STATE_INITIALIZED;
}

/* Does KVM use this exit reason for TDG.VP.VMCALL, and for nothing else? */
static bool tdx_mig_is_tdvmcall(u32 exit_reason)
{
	switch (exit_reason) {
	case EXIT_REASON_CPUID:
	case EXIT_REASON_HLT:
	case EXIT_REASON_VMCALL:
	case EXIT_REASON_IO_INSTRUCTION:
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
	case EXIT_REASON_EPT_MISCONFIG:
	case EXIT_REASON_TDCALL:
		return true;
	default:
		return false;
	}
}

/*
 * Does the guest wait for an answer to TDG.VP.VMCALL other than "done"?  "Done" is all
 * zero, which the destination answers by default.  That is what most vCPUs wait for,
 * unless they were interrupted: they are halted, or have written to a device.
 */
static bool tdx_mig_has_answer(struct vcpu_tdx *tdx)
{
	const struct tdx_module_args *args = &tdx->vp_enter_args;
	bool is_write = args->r13;

	switch (tdx->tdvmcall_reason) {
	case 0:
		return false;
	case EXIT_REASON_HLT:
	case EXIT_REASON_MSR_WRITE:
		return args->r10;
	case EXIT_REASON_IO_INSTRUCTION:
	case EXIT_REASON_EPT_MISCONFIG:
		/* Port I/O and MMIO.  KVM leaves the direction as it was. */
		return args->r10 || !is_write;
	default:
		return true;
	}
}

void tdx_mig_forget_vcpu_reads(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm)
		WRITE_ONCE(to_tdx(vcpu)->tdvmcall_read, false);
}

/*
 * Would the guest lose an answer, because userspace has not read the state of a vCPU?
 * No vCPU can run, i.e. answers neither come nor go.
 */
bool tdx_mig_has_unread_vcpu(struct kvm *kvm)
{
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		if (tdx_mig_has_answer(to_tdx(vcpu)) &&
		    !READ_ONCE(to_tdx(vcpu)->tdvmcall_read))
			return true;
	}

	return false;
}

static int tdx_mig_check_vcpu_state(const struct kvm_tdx_mig_vcpu_state *state)
{
	if (state->version != KVM_TDX_MIG_VCPU_STATE_VERSION ||
	    state->size != sizeof(*state) || state->reserved0)
		return -EINVAL;

	return 0;
}

static int tdx_mig_get_vcpu_state(struct kvm_vcpu *vcpu, void __user *argp)
{
	struct vcpu_tdx *tdx = to_tdx(vcpu);
	const struct tdx_module_args *args = &tdx->vp_enter_args;
	struct kvm_tdx_mig_vcpu_state state;
	int r;

	if (copy_from_user(&state, argp, offsetof(typeof(state), rcx)))
		return -EFAULT;

	r = tdx_mig_check_vcpu_state(&state);
	if (r)
		return r;

	if (tdx->state != VCPU_TD_STATE_INITIALIZED)
		return -EINVAL;

	/* The result of the last exit is not known before it is completed. */
	if (vcpu->arch.complete_userspace_io)
		return -EBUSY;

	state = (struct kvm_tdx_mig_vcpu_state) {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
		.exit_reason = tdx->tdvmcall_reason ?: tdx->vt.exit_reason.basic,
		.rdx = args->rdx,
		.r8 = args->r8,
		.r9 = args->r9,
		.r10 = args->r10,
		.r11 = args->r11,
		.r12 = args->r12,
		.r13 = args->r13,
		.r14 = args->r14,
		.r15 = args->r15,
		.rbx = args->rbx,
		.rdi = args->rdi,
		.rsi = args->rsi,
	};

	if (copy_to_user(argp, &state, sizeof(state)))
		return -EFAULT;

	WRITE_ONCE(tdx->tdvmcall_read, true);

	return 0;
}

static int tdx_mig_set_vcpu_state(struct kvm_vcpu *vcpu, void __user *argp)
{
	struct vcpu_tdx *tdx = to_tdx(vcpu);
	struct kvm_tdx_mig_vcpu_state state;
	int r;

	if (copy_from_user(&state, argp, sizeof(state)))
		return -EFAULT;

	r = tdx_mig_check_vcpu_state(&state);
	if (r)
		return r;

	if (state.exit_reason > TDX_MIG_MAX_EXIT_REASON ||
	    memchr_inv(state.reserved, 0, sizeof(state.reserved)))
		return -EINVAL;

	if (!tdx_mig_vcpu_is_importing(vcpu))
		return -EBUSY;

	/* The TD may move on before the guest has got the answer. */
	tdx->tdvmcall_reason = tdx_mig_is_tdvmcall(state.exit_reason) ? state.exit_reason : 0;
	tdx->vt.exit_reason.full = state.exit_reason;
	tdx->vp_enter_args = (struct tdx_module_args) {
		.rdx = state.rdx,
		.r8 = state.r8,
		.r9 = state.r9,
		.r10 = state.r10,
		.r11 = state.r11,
		.r12 = state.r12,
		.r13 = state.r13,
		.r14 = state.r14,
		.r15 = state.r15,
		.rbx = state.rbx,
		.rdi = state.rdi,
		.rsi = state.rsi,
	};

	return 0;
}

bool tdx_mig_is_vcpu_cmd(u32 id)
{
	return enable_tdx_mig &&
	       (id == KVM_TDX_MIG_GET_VCPU_STATE || id == KVM_TDX_MIG_SET_VCPU_STATE);
}

int tdx_mig_vcpu_ioctl(struct kvm_vcpu *vcpu, struct kvm_tdx_cmd *cmd)
{
	void __user *argp = u64_to_user_ptr(cmd->data);

	lockdep_assert_held(&vcpu->mutex);

	if (cmd->flags)
		return -EINVAL;

	if (cmd->id == KVM_TDX_MIG_GET_VCPU_STATE)
		return tdx_mig_get_vcpu_state(vcpu, argp);

	return tdx_mig_set_vcpu_state(vcpu, argp);
}
