// SPDX-License-Identifier: GPL-2.0
/*
 * Service TDs of a TD: reserving a slot for one by its measurement, and binding
 * one by its VM.
 *
 * The TDX module owns the bindings and decides about them; KVM keeps nothing.
 * Neither VM holds a reference to the other, so that either can go away first.
 * The TDX module recognizes a binding whose other side is gone.
 *
 * Locking
 *
 *	kvm->lock of the target
 *	  mig->session_sem of the target	(write)
 *	    mmu_lock of target and service TD	(write, in the same order)
 *
 * kvm->lock keeps away what builds the target, which takes locks of the TDX module
 * that a binding needs, too, and does not expect contention.  The service TD is
 * complete, and the reference to its file keeps it so.
 *
 * No lock of the service TD is taken.  Userspace can make KVM hold the kvm->lock of a
 * VM for ever, as KVM waits for vCPUs with it held.  So whoever waits for the lock of
 * one VM must not hold that of another one.
 */
#include <linux/file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "tdx_mig.h"
#include "tdx_mig_servtd.h"

static_assert(sizeof(struct kvm_tdx_servtd_bind) == 128);
static_assert(sizeof(struct kvm_tdx_servtd_prebind) == 128);

/* Operands that decide which service TDs a slot is open to. */
struct servtd_slot {
	u64 slot;
	u16 type;
	u64 attributes;
};

static int servtd_errno(u64 err)
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

/* Has the TD a table of bindings?  Of no effect on what the table allows. */
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

	/*
	 * Pairs with the release of kvm->lock between the ioctl that set up what the
	 * SEAMCALL needs, and the later one that made the TD runnable.
	 */
	state = smp_load_acquire(&to_kvm_tdx(kvm)->state);

	return state == TD_STATE_RUNNABLE && !READ_ONCE(kvm->vm_dead);
}

static u64 __servtd_bind(struct kvm *target, struct kvm *servtd,
			 const struct servtd_slot *slot, struct kvm_tdx_servtd_bind *bind)
{
	struct kvm *first = min(target, servtd);
	struct kvm *second = max(target, servtd);
	u64 err;

	/*
	 * The leaf shares the op_state of both TDs.  Zaps that cancel an export need
	 * it for themselves, and cannot fail.
	 */
	write_lock(&first->mmu_lock);
	write_lock_nested(&second->mmu_lock, SINGLE_DEPTH_NESTING);

	/* Service TDs contend for the locks, by each access to their target. */
	err = tdx_mig_retry(target,
			    tdh_servtd_bind(&to_kvm_tdx(target)->td, &to_kvm_tdx(servtd)->td,
					    slot->slot, slot->type, slot->attributes,
					    &bind->handle, bind->target_uuid));

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

	return servtd_errno(*hw_error);
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
	/* As for a binding. */
	guard(write_lock)(&target->mmu_lock);

	return tdx_mig_retry(target,
			     tdh_servtd_prebind(&to_kvm_tdx(target)->td, info_hash, slot->slot,
						slot->type, slot->attributes));
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

	return servtd_errno(*hw_error);
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

bool tdx_mig_is_vm_cmd(u32 id)
{
	return enable_tdx_mig && (id == KVM_TDX_SERVTD_PREBIND || id == KVM_TDX_SERVTD_BIND);
}

int tdx_mig_vm_ioctl(struct kvm *kvm, struct kvm_tdx_cmd *cmd)
{
	if (cmd->flags)
		return -EINVAL;

	if (cmd->id == KVM_TDX_SERVTD_PREBIND)
		return servtd_prebind(kvm, cmd);

	return servtd_bind(kvm, cmd);
}
