// SPDX-License-Identifier: GPL-2.0
/*
 * Live migration of TDs: the session of a TD and its phases, from the creation of
 * the VM to its teardown.
 */
#include <kunit/visibility.h>
#include <linux/bitmap.h>

#include <asm/seamldr.h>

#include "tdx_mig_internal.h"
#include "tdx_mig_trace.h"

bool enable_tdx_mig __ro_after_init;
module_param_named(tdx_mig, enable_tdx_mig, bool, 0444);
MODULE_PARM_DESC(tdx_mig, "Live migration of TDX guests");

#define NEXT(_phase)	BIT(TDX_MIG_##_phase)

/* The phases that can follow a phase. */
static const u32 tdx_mig_next_phases[] = {
	[TDX_MIG_NONE]			= NEXT(LIVE_EXPORT) | NEXT(IMPORT_START),

	[TDX_MIG_LIVE_EXPORT]		= NEXT(PAUSED_EXPORT) | NEXT(EXPORT_CANCELED) |
					  NEXT(EXPORT_LOST),
	[TDX_MIG_PAUSED_EXPORT]		= NEXT(POST_EXPORT) | NEXT(EXPORT_CANCELED) |
					  NEXT(EXPORT_LOST),
	[TDX_MIG_POST_EXPORT]		= NEXT(EXPORT_CANCELED),
	[TDX_MIG_EXPORT_CANCELED]	= NEXT(NONE) | NEXT(EXPORT_LOST),
	[TDX_MIG_EXPORT_LOST]		= 0,

	[TDX_MIG_IMPORT_START]		= NEXT(MEMORY_IMPORT) | NEXT(IMPORT_FAILED),
	[TDX_MIG_MEMORY_IMPORT]		= NEXT(STATE_IMPORT) | NEXT(IMPORT_FAILED),
	[TDX_MIG_STATE_IMPORT]		= NEXT(POST_IMPORT) | NEXT(IMPORT_FAILED),
	[TDX_MIG_POST_IMPORT]		= NEXT(LIVE_IMPORT) | NEXT(NONE) | NEXT(IMPORT_FAILED),
	[TDX_MIG_LIVE_IMPORT]		= NEXT(IMPORT_CLOSED) | NEXT(NONE),
	[TDX_MIG_IMPORT_CLOSED]		= NEXT(NONE),
	[TDX_MIG_IMPORT_FAILED]		= 0,
};

#undef NEXT

VISIBLE_IF_KUNIT bool tdx_mig_phase_can_follow(enum tdx_mig_phase phase,
					       enum tdx_mig_phase next)
{
	return phase < ARRAY_SIZE(tdx_mig_next_phases) &&
	       tdx_mig_next_phases[phase] & BIT(next);
}
EXPORT_SYMBOL_IF_KUNIT(tdx_mig_phase_can_follow);

void tdx_mig_set_phase(struct kvm *kvm, enum tdx_mig_phase phase)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	lockdep_assert_held_write(&kvm->mmu_lock);

	if (mig->phase == phase)
		return;

	/* Follow the TDX module even so, as the teardown depends on its state. */
	KVM_BUG_ON(!tdx_mig_phase_can_follow(mig->phase, phase), kvm);

	trace_kvm_tdx_mig_phase(kvm, mig->phase, phase);
	WRITE_ONCE(mig->phase, phase);
}

/*
 * Has a zap ended the session since the phase was checked?  Zaps need no session_sem,
 * so a command asks once more, with mmu_lock held.
 */
int tdx_mig_check_session(struct kvm *kvm)
{
	lockdep_assert_held(&kvm->mmu_lock);

	switch (READ_ONCE(to_kvm_tdx(kvm)->mig->phase)) {
	case TDX_MIG_EXPORT_CANCELED:
	case TDX_MIG_EXPORT_LOST:
		return -ECANCELED;
	case TDX_MIG_IMPORT_FAILED:
		return -EIO;
	default:
		return 0;
	}
}

/* The source cannot go on, nor be restored to what it was before the session. */
void tdx_mig_lose_export(struct kvm *kvm)
{
	tdx_mig_set_phase(kvm, TDX_MIG_EXPORT_LOST);

	/*
	 * The phase keeps out the vCPUs that come later, but not those that are on
	 * their way into the guest.  And nobody must add pages.
	 */
	WRITE_ONCE(kvm->arch.pre_fault_allowed, false);
	kvm_make_all_cpus_request(kvm, KVM_REQ_VM_DEAD);
}

/*
 * The TDX module has ended the import.  It removes no page from the TD any more, and
 * adds no page tables, so a zap that comes next must not ask it to.  Hence this is
 * called before mmu_lock is dropped, be it held for read only: the unlock orders the
 * phase before whatever the next writer does.
 *
 * Who holds mmu_lock for read at the same time may still see the old phase, and has
 * to cope with what the TDX module says, see tdx_mig_is_import_over().  Apart from
 * the phase, no such task changes anything for another one, so nothing else needs an
 * order.  The compare-and-exchange is for those that fail together.
 */
void tdx_mig_fail_import(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	enum tdx_mig_phase old = READ_ONCE(mig->phase), new;

	lockdep_assert_held(&kvm->mmu_lock);

	do {
		if (old == TDX_MIG_IMPORT_FAILED || old == TDX_MIG_IMPORT_CLOSED)
			return;

		new = old == TDX_MIG_LIVE_IMPORT ? TDX_MIG_IMPORT_CLOSED :
						   TDX_MIG_IMPORT_FAILED;
		KVM_BUG_ON(!tdx_mig_phase_can_follow(old, new), kvm);
	} while (!try_cmpxchg(&mig->phase, &old, new));

	trace_kvm_tdx_mig_phase(kvm, old, new);
}

/* What the TDX module thinks of the session. */
u64 tdx_mig_read_op_state(struct kvm *kvm, u64 *op_state)
{
	lockdep_assert_held(&kvm->mmu_lock);

	return tdh_do_past_tdcalls_atomic(tdh_mng_rd, &to_kvm_tdx(kvm)->td,
					  TDCS_MNG_NON_ARCH(TD_TDCS_MNG_OP_STATE), op_state);
}

/*
 * A leaf has returned @err.  Does that end the session?  The TDX module says so in
 * most cases in @err, but not in all.  If so, tell before mmu_lock is dropped, see
 * tdx_mig_fail_import().
 */
void tdx_mig_import_check(struct kvm *kvm, u64 err)
{
	u64 op_state, rd;

	lockdep_assert_held(&kvm->mmu_lock);

	if (!tdx_mig_status(err) || tdx_mig_is_busy(err))
		return;

	if (!(err & TDX_FATAL)) {
		rd = tdx_mig_read_op_state(kvm, &op_state);
		/* A TD without state, i.e. before the session, cannot be read. */
		if (rd ? tdx_mig_status(rd) == TDX_OP_STATE_INCORRECT :
			 op_state != TDX_OP_STATE_FAILED_IMPORT)
			return;
	}

	tdx_mig_fail_import(kvm);
}

/* Was @err returned because the import has ended meanwhile? */
bool tdx_mig_is_import_over(struct kvm_tdx *kvm_tdx, u64 err)
{
	return kvm_tdx->mig && kvm_tdx->state == TD_STATE_IMPORT &&
	       tdx_mig_status(err) == TDX_OP_STATE_INCORRECT;
}

/*
 * Called with vcpu->mutex held, on the way into the guest.  The phases that
 * forbid it are entered with all vCPUs stopped, but for EXPORT_LOST, which any zap
 * can lead to.  vCPUs that got past this check are stopped by a request then, see
 * tdx_mig_lose_export().
 */
int tdx_mig_check_runnable(struct kvm_tdx *kvm_tdx)
{
	if (!kvm_tdx->mig)
		return 0;

	switch (READ_ONCE(kvm_tdx->mig->phase)) {
	case TDX_MIG_NONE:
	case TDX_MIG_LIVE_EXPORT:
	case TDX_MIG_LIVE_IMPORT:
	case TDX_MIG_IMPORT_CLOSED:
		return 0;
	case TDX_MIG_EXPORT_CANCELED:
		/*
		 * Pages that are exported in the pause are blocked without the
		 * mirror page table saying so.
		 */
		return READ_ONCE(kvm_tdx->mig->paused) ? -EBUSY : 0;
	case TDX_MIG_EXPORT_LOST:
		return -EIO;
	default:
		return -EBUSY;
	}
}

/* Hold off updates: no other TDX module could go on with the session. */
void tdx_mig_hold_module(struct tdx_mig *mig)
{
	lockdep_assert_held_write(&mig->session_sem);

	if (mig->holds_module)
		return;

	seamldr_hold_module();
	mig->holds_module = true;
}

void tdx_mig_release_module(struct tdx_mig *mig)
{
	lockdep_assert_held_write(&mig->session_sem);

	if (!mig->holds_module)
		return;

	mig->holds_module = false;
	seamldr_release_module();
}

static u64 tdx_mig_create_context(struct kvm *kvm, struct page *page)
{
	struct tdx_mig_call call = { .kvm = kvm };
	u64 err;

	guard(write_lock)(&kvm->mmu_lock);

	do {
		err = tdh_try_no_vcpus(tdh_mig_stream_create, kvm, &to_kvm_tdx(kvm)->td, page);
	} while (tdx_mig_call_again(&call, err));

	return err;
}

/* Create stream contexts until the TD has @nr of them. */
int tdx_mig_create_contexts(struct kvm *kvm, unsigned int nr, u64 *hw_error)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct page *page;
	u64 err;

	lockdep_assert_held_write(&mig->session_sem);

	while (mig->nr_migsc < nr) {
		page = alloc_page(GFP_KERNEL_ACCOUNT);
		if (!page)
			return -ENOMEM;

		err = tdx_mig_create_context(kvm, page);
		*hw_error = err;
		if (err) {
			__free_page(page);
			return tdx_mig_errno(err);
		}

		mig->migsc[mig->nr_migsc++] = page;
		cond_resched();
	}

	return 0;
}

static void tdx_mig_free(struct tdx_mig *mig)
{
	tdx_mig_free_page(&mig->restore_list);
	tdx_mig_free_page(&mig->block_list);
	bitmap_free(mig->stream_ids);
	kfree(mig->migsc);
	kfree(mig->params);
	kfree(mig);
}

int tdx_mig_vm_init(struct kvm *kvm)
{
	unsigned int max_migs = tdx_get_sysinfo()->td_mig.max_migs;
	struct tdx_mig *mig;

	if (!enable_tdx_mig)
		return 0;

	mig = kzalloc_obj(*mig, GFP_KERNEL_ACCOUNT);
	if (!mig)
		return -ENOMEM;

	mig->stream_ids = bitmap_zalloc(max_migs, GFP_KERNEL_ACCOUNT);
	mig->migsc = kcalloc(max_migs, sizeof(*mig->migsc), GFP_KERNEL_ACCOUNT);
	if (!mig->stream_ids || !mig->migsc ||
	    !tdx_mig_alloc_page(&mig->restore_list) ||
	    !tdx_mig_alloc_page(&mig->block_list)) {
		tdx_mig_free(mig);
		return -ENOMEM;
	}

	init_rwsem(&mig->session_sem);
	init_rwsem(&mig->convert_sem);
	xa_init_flags(&mig->sent, XA_FLAGS_ACCOUNT);
	to_kvm_tdx(kvm)->mig = mig;

	return 0;
}

/* The key of the TD is gone: take back all pages that are left. */
void tdx_mig_vm_reclaim(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;
	struct page *page;

	if (!mig)
		return;

	while ((page = kvm_gmem_release_held_page(&mig->unremoved))) {
		if (!tdx_reclaim_page(page))
			put_page(page);
		cond_resched();
	}

	while (mig->nr_migsc)
		tdx_reclaim_control_page(mig->migsc[--mig->nr_migsc]);
}

void tdx_mig_vm_free(struct kvm *kvm)
{
	struct tdx_mig *mig = to_kvm_tdx(kvm)->mig;

	if (!mig)
		return;

	/* Nobody is left to contend; take the lock for lockdep's sake. */
	scoped_guard(rwsem_write, &mig->session_sem) {
		tdx_mig_forget_sent(mig);
		tdx_mig_release_module(mig);
	}
	tdx_mig_free(mig);
	to_kvm_tdx(kvm)->mig = NULL;
}
