// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the device that userspace sees.
 *
 * Life cycle and attributes of the device, and the table of commands with the phases
 * in which each is legal.  What a command does is in tdx_mig_export*.c,
 * tdx_mig_abort.c and tdx_mig_import*.c.
 *
 * Locking
 *
 *	kvm->lock			(commands that need all vCPUs stopped, new streams)
 *	  stream->lock			(one command per stream)
 *	    mig->session_sem		(read: memory, vCPUs by name; write: everything else)
 *	      vcpu->mutex		(trylock only)
 *	        kvm->slots_lock		(dirty log)
 *	          mig->convert_sem	(read: export of memory; write: conversions)
 *	            kvm->srcu
 *	              mmu_lock		(read: memory, vCPU state; write: rest)
 *
 * A vCPU can stay in an ioctl for ever, with vcpu->mutex held.  Hence a command that
 * finds one there fails, instead of keeping up all others that want session_sem.
 *
 * kvm->lock keeps what builds a TD, which takes locks of the TDX module and does not
 * expect contention, away from the creation of streams and from bindings.
 *
 * User memory is not accessed with any of these held: a vCPU ioctl may hold
 * vcpu->mutex while it waits for mmap_lock, which mmap() of the device holds.
 *
 * Zaps of private memory take mmu_lock for write only, and cannot fail.  Hence
 * every SEAMCALL on the TD that takes a lock of the TDX module which a zap needs
 * is made with mmu_lock held.
 */
#include <linux/anon_inodes.h>
#include <linux/bitmap.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/uaccess.h>

#include "tdx_mig_internal.h"

static_assert(sizeof(struct kvm_tdx_mig_state_vp) == 16);

#define PHASE(_phase)	BIT(TDX_MIG_##_phase)

#define DST_PHASES	(PHASE(IMPORT_START) | PHASE(MEMORY_IMPORT) | PHASE(STATE_IMPORT) | \
			 PHASE(POST_IMPORT) | PHASE(LIVE_IMPORT) | PHASE(IMPORT_CLOSED) | \
			 PHASE(IMPORT_FAILED))

enum tdx_mig_command_flags {
	/* Only on the stream with index 0. */
	TDX_MIG_CMD_STREAM0	= BIT(0),
	/* May run on several streams at once; one for vCPUs, if it names its vCPU. */
	TDX_MIG_CMD_SHARED	= BIT(1),
	/* Needs all vCPUs stopped. */
	TDX_MIG_CMD_STOP	= BIT(2),
	/* The command has a value as input, as output. */
	TDX_MIG_CMD_IN		= BIT(3),
	TDX_MIG_CMD_OUT		= BIT(4),
	/* May name a vCPU. */
	TDX_MIG_CMD_VCPU	= BIT(5),
};

struct tdx_mig_command {
	int (*handler)(struct tdx_mig_stream *stream, struct tdx_mig_cmd *cmd);
	u32 phases;
	u32 flags;
};

#define TDX_MIG_COMMAND(_id, _handler, _phases, _flags)		\
	[KVM_TDX_MIG_##_id] = {					\
		.handler = tdx_mig_##_handler,			\
		.phases = _phases,				\
		.flags = _flags,				\
	}

static const struct tdx_mig_command tdx_mig_commands[KVM_TDX_MIG_CMD_NR_MAX] = {
	TDX_MIG_COMMAND(EXPORT_STATE_IMMUTABLE, export_state_immutable,
			PHASE(NONE),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_OUT),
	TDX_MIG_COMMAND(EXPORT_MEM, export_mem,
			PHASE(LIVE_EXPORT) | PHASE(PAUSED_EXPORT) | PHASE(POST_EXPORT),
			TDX_MIG_CMD_SHARED | TDX_MIG_CMD_IN | TDX_MIG_CMD_OUT),
	TDX_MIG_COMMAND(EXPORT_TRACK, export_track,
			PHASE(LIVE_EXPORT) | PHASE(PAUSED_EXPORT),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_IN),
	TDX_MIG_COMMAND(EXPORT_PAUSE, export_pause,
			PHASE(LIVE_EXPORT),
			TDX_MIG_CMD_STOP),
	TDX_MIG_COMMAND(EXPORT_STATE_TD, export_state_td,
			PHASE(PAUSED_EXPORT),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_OUT),
	TDX_MIG_COMMAND(EXPORT_STATE_VP, export_state_vp,
			PHASE(PAUSED_EXPORT),
			TDX_MIG_CMD_SHARED | TDX_MIG_CMD_VCPU | TDX_MIG_CMD_OUT),
	TDX_MIG_COMMAND(EXPORT_ABORT, export_abort,
			PHASE(LIVE_EXPORT) | PHASE(PAUSED_EXPORT) | PHASE(POST_EXPORT) |
			PHASE(EXPORT_CANCELED),
			0),

	TDX_MIG_COMMAND(IMPORT_STATE_IMMUTABLE, import_state_immutable,
			PHASE(IMPORT_START),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_STOP | TDX_MIG_CMD_IN),
	TDX_MIG_COMMAND(IMPORT_MEM, import_mem,
			PHASE(MEMORY_IMPORT) | PHASE(STATE_IMPORT) | PHASE(POST_IMPORT) |
			PHASE(LIVE_IMPORT),
			TDX_MIG_CMD_SHARED | TDX_MIG_CMD_IN),
	TDX_MIG_COMMAND(IMPORT_TRACK, import_track,
			PHASE(MEMORY_IMPORT) | PHASE(STATE_IMPORT),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_STOP),
	TDX_MIG_COMMAND(IMPORT_STATE_TD, import_state_td,
			PHASE(MEMORY_IMPORT),
			TDX_MIG_CMD_STREAM0 | TDX_MIG_CMD_STOP | TDX_MIG_CMD_IN),
	TDX_MIG_COMMAND(IMPORT_STATE_VP, import_state_vp,
			PHASE(STATE_IMPORT),
			TDX_MIG_CMD_SHARED | TDX_MIG_CMD_VCPU | TDX_MIG_CMD_IN),
	TDX_MIG_COMMAND(IMPORT_COMMIT, import_commit,
			PHASE(POST_IMPORT),
			TDX_MIG_CMD_STOP),
	TDX_MIG_COMMAND(IMPORT_END, import_end,
			PHASE(POST_IMPORT) | PHASE(LIVE_IMPORT) | PHASE(IMPORT_CLOSED),
			TDX_MIG_CMD_STOP),
	TDX_MIG_COMMAND(IMPORT_ABORT, import_abort,
			PHASE(MEMORY_IMPORT) | PHASE(STATE_IMPORT) | PHASE(POST_IMPORT) |
			PHASE(IMPORT_FAILED),
			TDX_MIG_CMD_STOP),
};

/* Is @command legal in the present phase of the TD? */
static int tdx_mig_check_command(const struct tdx_mig_command *command,
				 struct kvm_tdx *kvm_tdx)
{
	enum tdx_mig_phase phase = READ_ONCE(kvm_tdx->mig->phase);
	bool is_destination = BIT(phase) & DST_PHASES;

	lockdep_assert_held(&kvm_tdx->mig->session_sem);

	if (!(command->phases & DST_PHASES) == is_destination)
		return -EINVAL;

	if (command->phases & BIT(phase))
		return 0;

	switch (phase) {
	case TDX_MIG_EXPORT_CANCELED:
	case TDX_MIG_EXPORT_LOST:
		return -ECANCELED;
	case TDX_MIG_IMPORT_CLOSED:
	case TDX_MIG_IMPORT_FAILED:
		return -EIO;
	default:
		return -EBUSY;
	}
}

/* Which vCPU is the next one depends on the order of commands, so that takes one. */
static bool tdx_mig_is_shared(const struct tdx_mig_command *command,
			      const struct tdx_mig_cmd *cmd)
{
	return command->flags & TDX_MIG_CMD_SHARED &&
	       (cmd->has_vcpu_id || !(command->flags & TDX_MIG_CMD_VCPU));
}

/*
 * Run a command.  KVM may cancel an export while a command is under way, which the
 * TDX module refuses then as if it had come at the wrong time.
 */
static int tdx_mig_call_handler(struct tdx_mig_stream *stream,
				const struct tdx_mig_command *command,
				struct tdx_mig_cmd *cmd, bool shared)
{
	struct tdx_mig *mig = to_kvm_tdx(stream->kvm)->mig;
	enum tdx_mig_phase phase;
	int r;

	/* Commands that begin or end a session hold session_sem for write. */
	if (!shared)
		tdx_mig_hold_module(mig);

	r = command->handler(stream, cmd);
	phase = READ_ONCE(mig->phase);

	if (!shared && (phase == TDX_MIG_NONE || phase == TDX_MIG_IMPORT_START))
		tdx_mig_release_module(mig);

	if (r != -EIO)
		return r;

	if (phase == TDX_MIG_EXPORT_CANCELED || phase == TDX_MIG_EXPORT_LOST)
		return -ECANCELED;

	return r;
}

static int tdx_mig_lock_session(struct tdx_mig *mig, bool shared)
{
	if (shared)
		return down_read_killable(&mig->session_sem);

	return down_write_killable(&mig->session_sem);
}

static void tdx_mig_unlock_session(struct tdx_mig *mig, bool shared)
{
	if (shared)
		up_read(&mig->session_sem);
	else
		up_write(&mig->session_sem);
}

static int tdx_mig_run_command(struct tdx_mig_stream *stream,
			       const struct tdx_mig_command *command,
			       struct tdx_mig_cmd *cmd)
{
	struct kvm_tdx *kvm_tdx = to_kvm_tdx(stream->kvm);
	const bool shared = tdx_mig_is_shared(command, cmd);
	int r;

	if (!stream->nr_bufs)
		return -ENXIO;

	r = tdx_mig_lock_session(kvm_tdx->mig, shared);
	if (r)
		return r;

	r = tdx_mig_check_command(command, kvm_tdx);
	if (!r)
		r = tdx_mig_call_handler(stream, command, cmd, shared);

	tdx_mig_unlock_session(kvm_tdx->mig, shared);

	return r;
}

/*
 * Stop all vCPUs around a command.  Do not wait for those that are in KVM_RUN,
 * which can take forever.
 */
static int tdx_mig_run_stopped(struct tdx_mig_stream *stream,
			       const struct tdx_mig_command *command,
			       struct tdx_mig_cmd *cmd)
{
	struct kvm *kvm = stream->kvm;
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	int r;

	if (!stream->nr_bufs)
		return -ENXIO;

	r = tdx_mig_lock_session(mig, false);
	if (r)
		return r;

	r = tdx_mig_check_command(command, to_kvm_tdx(kvm));
	if (r)
		goto out;

	if (kvm_is_vcpu_creation_in_progress(kvm) || kvm_trylock_all_vcpus(kvm)) {
		r = -EBUSY;
		goto out;
	}

	r = tdx_mig_call_handler(stream, command, cmd, false);

	kvm_unlock_all_vcpus(kvm);
out:
	tdx_mig_unlock_session(mig, false);

	return r;
}

static int tdx_mig_get_operands(const struct tdx_mig_command *command,
				const struct kvm_tdx_cmd *ucmd, struct tdx_mig_cmd *cmd)
{
	struct kvm_tdx_mig_state_vp state_vp;

	if (ucmd->flags & KVM_TDX_MIG_STATE_VP_F_VCPU_ID) {
		if (copy_from_user(&state_vp, u64_to_user_ptr(ucmd->data), sizeof(state_vp)))
			return -EFAULT;
		if (state_vp.reserved)
			return -EINVAL;
		cmd->value = state_vp.nr_pages;
		cmd->vcpu_id = state_vp.vcpu_id;
		cmd->has_vcpu_id = true;
		return 0;
	}

	if (command->flags & TDX_MIG_CMD_IN &&
	    get_user(cmd->value, (u64 __user *)u64_to_user_ptr(ucmd->data)))
		return -EFAULT;

	return 0;
}

static long tdx_mig_ioctl(struct kvm_device *dev, unsigned int ioctl, unsigned long arg)
{
	struct kvm_tdx_cmd __user *argp = (struct kvm_tdx_cmd __user *)arg;
	struct tdx_mig_stream *stream = dev->private;
	const struct tdx_mig_command *command;
	struct kvm *kvm = dev->kvm;
	struct tdx_mig_cmd cmd = {};
	struct kvm_tdx_cmd ucmd;
	u32 flags;
	int r;

	if (ioctl != KVM_MEMORY_ENCRYPT_OP)
		return -ENOTTY;

	if (copy_from_user(&ucmd, argp, sizeof(ucmd)))
		return -EFAULT;

	if (ucmd.id >= ARRAY_SIZE(tdx_mig_commands))
		return -ENOTTY;

	command = &tdx_mig_commands[array_index_nospec(ucmd.id, ARRAY_SIZE(tdx_mig_commands))];

	flags = command->flags & TDX_MIG_CMD_VCPU ? KVM_TDX_MIG_STATE_VP_F_VCPU_ID : 0;
	if (ucmd.hw_error || ucmd.flags & ~flags)
		return -EINVAL;

	if (command->flags & TDX_MIG_CMD_STREAM0 && stream->index)
		return -EINVAL;

	r = tdx_mig_get_operands(command, &ucmd, &cmd);
	if (r)
		return r;

	if (command->flags & TDX_MIG_CMD_STOP) {
		r = mutex_lock_killable(&kvm->lock);
		if (r)
			return r;
	}

	r = mutex_lock_killable(&stream->lock);
	if (!r) {
		if (command->flags & TDX_MIG_CMD_STOP)
			r = tdx_mig_run_stopped(stream, command, &cmd);
		else
			r = tdx_mig_run_command(stream, command, &cmd);
		mutex_unlock(&stream->lock);
	}

	if (command->flags & TDX_MIG_CMD_STOP)
		mutex_unlock(&kvm->lock);

	if (put_user(cmd.hw_error, &argp->hw_error))
		return -EFAULT;

	/* The first member of struct kvm_tdx_mig_state_vp is the value, too. */
	if (!r && command->flags & TDX_MIG_CMD_OUT &&
	    put_user(cmd.value, (u64 __user *)u64_to_user_ptr(ucmd.data)))
		return -EFAULT;

	return r;
}

static bool tdx_mig_is_known_attr(struct kvm_device_attr *attr)
{
	return attr->group == KVM_DEV_TDX_MIG_ATTR &&
	       attr->attr == sizeof(struct kvm_dev_tdx_mig_attr);
}

static int tdx_mig_has_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	return tdx_mig_is_known_attr(attr) ? 0 : -ENXIO;
}

/* Pages that the largest state bundle needs. */
static unsigned int tdx_mig_min_bufs(const struct tdx_sys_info_td_mig *td_mig)
{
	return max3(td_mig->num_immutable_state_pages, td_mig->num_td_state_pages,
		    td_mig->num_vp_state_pages);
}

static int tdx_mig_set_up_stream(struct tdx_mig_stream *stream, unsigned int nr_bufs)
{
	struct kvm *kvm = stream->kvm;
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	enum tdx_mig_phase phase;
	u64 hw_error;
	int r;

	lockdep_assert_held(&kvm->lock);
	lockdep_assert_held(&stream->lock);

	if (stream->nr_bufs)
		return -EEXIST;

	r = down_write_killable(&mig->session_sem);
	if (r)
		return r;

	phase = READ_ONCE(mig->phase);
	if (phase != TDX_MIG_NONE && phase != TDX_MIG_IMPORT_START)
		r = -EBUSY;
	else
		r = tdx_mig_create_contexts(kvm, stream->index + 2, &hw_error);

	up_write(&mig->session_sem);
	if (r)
		return r;

	return tdx_mig_stream_alloc_pages(stream, nr_bufs);
}

static int tdx_mig_set_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct tdx_mig_stream *stream = dev->private;
	struct kvm_dev_tdx_mig_attr mig_attr;
	struct kvm *kvm = dev->kvm;
	unsigned int nr_bufs;
	int r;

	if (!tdx_mig_is_known_attr(attr))
		return -ENXIO;

	if (attr->flags)
		return -EINVAL;

	if (copy_from_user(&mig_attr, u64_to_user_ptr(attr->addr), sizeof(mig_attr)))
		return -EFAULT;

	if (mig_attr.version != KVM_DEV_TDX_MIG_ATTR_VERSION)
		return -EINVAL;

	if (!mig_attr.buf_list_pages ||
	    mig_attr.buf_list_pages > TDX_MIG_BUF_LIST_PAGES_MAX)
		return -E2BIG;

	nr_bufs = max(mig_attr.buf_list_pages, tdx_mig_min_bufs(&tdx_get_sysinfo()->td_mig));

	/* The TDX module wants the TD for itself, and so do those who build it. */
	r = mutex_lock_killable(&kvm->lock);
	if (r)
		return r;

	r = mutex_lock_killable(&stream->lock);
	if (!r) {
		r = tdx_mig_set_up_stream(stream, nr_bufs);
		mutex_unlock(&stream->lock);
	}
	mutex_unlock(&kvm->lock);

	return r;
}

static int tdx_mig_get_attr(struct kvm_device *dev, struct kvm_device_attr *attr)
{
	struct tdx_mig_stream *stream = dev->private;
	struct kvm_dev_tdx_mig_attr __user *uattr = u64_to_user_ptr(attr->addr);
	struct kvm_dev_tdx_mig_attr mig_attr = {
		.version = KVM_DEV_TDX_MIG_ATTR_VERSION,
		.max_migs = tdx_get_sysinfo()->td_mig.max_migs,
	};
	u32 version;

	if (!tdx_mig_is_known_attr(attr))
		return -ENXIO;

	if (attr->flags)
		return -EINVAL;

	if (get_user(version, &uattr->version))
		return -EFAULT;

	if (version != KVM_DEV_TDX_MIG_ATTR_VERSION)
		return -EINVAL;

	/* Pairs with the release in tdx_mig_stream_alloc_pages(). */
	mig_attr.buf_list_pages = smp_load_acquire(&stream->nr_bufs);
	if (!mig_attr.buf_list_pages)
		return -ENXIO;

	if (copy_to_user(uattr, &mig_attr, sizeof(mig_attr)))
		return -EFAULT;

	return 0;
}

static int tdx_mig_mmap(struct kvm_device *dev, struct vm_area_struct *vma)
{
	return tdx_mig_stream_mmap(dev->private, vma);
}

static int tdx_mig_create(struct kvm_device *dev, u32 type)
{
	unsigned int max_streams = tdx_get_sysinfo()->td_mig.max_migs - 1;
	struct kvm *kvm = dev->kvm;
	struct tdx_mig_stream *stream;
	struct kvm_tdx *kvm_tdx;
	unsigned int index;

	lockdep_assert_held(&kvm->lock);

	if (!is_td(kvm))
		return -ENODEV;

	kvm_tdx = to_kvm_tdx(kvm);
	if (kvm_tdx->state == TD_STATE_UNINITIALIZED ||
	    !(kvm_tdx->attributes & TDX_TD_ATTR_MIGRATABLE))
		return -EINVAL;

	index = find_first_zero_bit(kvm_tdx->mig->stream_ids, max_streams);
	if (index >= max_streams)
		return -ENOSPC;

	stream = kzalloc_obj(*stream, GFP_KERNEL_ACCOUNT);
	if (!stream)
		return -ENOMEM;

	__set_bit(index, kvm_tdx->mig->stream_ids);
	stream->kvm = kvm;
	stream->index = index;
	mutex_init(&stream->lock);
	dev->private = stream;

	return 0;
}

static void tdx_mig_release(struct kvm_device *dev)
{
	struct tdx_mig_stream *stream = dev->private;

	lockdep_assert_held(&dev->kvm->lock);

	__clear_bit(stream->index, to_kvm_tdx(dev->kvm)->mig->stream_ids);
	tdx_mig_stream_free_pages(stream);
	mutex_destroy(&stream->lock);
	kfree(stream);
	kfree(dev);
}

static const struct kvm_device_ops tdx_mig_device_ops = {
	.name = "kvm-tdx-mig-stream",
	.create = tdx_mig_create,
	.release = tdx_mig_release,
	.set_attr = tdx_mig_set_attr,
	.get_attr = tdx_mig_get_attr,
	.has_attr = tdx_mig_has_attr,
	.ioctl = tdx_mig_ioctl,
	.mmap = tdx_mig_mmap,
};

int tdx_mig_hardware_setup(const struct tdx_sys_info *sysinfo)
{
	if (!enable_tdx_mig)
		return 0;

	/*
	 * The least is a backward and a forward stream.  State bundles have to fit into
	 * the list of buffers, which is one page.
	 */
	if (!(sysinfo->features.tdx_features0 & TDX_FEATURES0_TD_MIGRATION) ||
	    sysinfo->td_mig.max_migs < 2 ||
	    tdx_mig_min_bufs(&sysinfo->td_mig) > TDX_MIG_BUF_LIST_PAGES_MAX) {
		pr_info("TD migration is not supported by the TDX module\n");
		enable_tdx_mig = false;
		return 0;
	}

	/* One stream context is for the way back. */
	kvm_caps.tdx_mig_streams = sysinfo->td_mig.max_migs - 1;

	return kvm_register_device_ops(&tdx_mig_device_ops, KVM_DEV_TYPE_TDX_MIG_STREAM);
}

void tdx_mig_hardware_unsetup(void)
{
	if (enable_tdx_mig)
		kvm_unregister_device_ops(KVM_DEV_TYPE_TDX_MIG_STREAM);
}
