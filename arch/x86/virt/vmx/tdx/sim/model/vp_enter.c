// SPDX-License-Identifier: GPL-2.0
/*
 * TDH.VP.ENTER: what surrounds a stay of a vCPU in the guest.  Checks and TLB
 * tracking before it, and the registers that the host exchanges with a TDVMCALL.
 *
 * TDR and TDVPR stay locked shared for the whole stay; the op_state lock is
 * released before the guest runs, so that leaves can work next to it.
 */
#include "leaves.h"
#include "metadata.h"

#define ENTER_RESERVED		(GENMASK_ULL(11, 0) | GENMASK_ULL(63, 54))
#define ENTER_HOST_HINT		BIT_ULL(52)
#define ENTER_RESUME_L1		BIT_ULL(53)

#define STATUS_HOST_HINT	BIT_ULL(60)
#define STATUS_CODE		GENMASK_ULL(63, 32)

#define EXIT_REASON_EPT_VIOLATION	48
#define EXIT_REASON_TDCALL		77

/* RCX of a TDVMCALL: registers that the host and the guest share. */
#define VMCALL_GPRS		GENMASK_ULL(15, 0)

/* RBP belongs to the host if the TD was configured so, else it is an output. */
static void clear_outputs(struct sim_call *c, const struct sim_vp *vp)
{
	bool keep_rbp = vp->td.tdcs->config_flags & SIM_CONFIG_NO_RBP_MOD;
	u64 *r = c->regs->r;
	int i;

	for (i = RCX; i < SIM_NR_REGS; i++) {
		if (i != RSP && (i != RBP || !keep_rbp))
			r[i] = 0;
	}
}

static void set_outputs(struct sim_call *c, const struct sim_vp *vp,
			const struct sim_td_exit *exit)
{
	u64 *r = c->regs->r;

	clear_outputs(c, vp);
	r[RCX] = exit->rcx;
	r[RDX] = exit->rdx;
	r[R8] = exit->r8;
	r[R9] = exit->r9;
	r[R10] = exit->r10;
	r[R11] = exit->r11;
}

/* A guest in TDVMCALL receives the registers that it selected. */
static void complete_vmcall(struct sim_call *c, struct tdvps *vps)
{
	u64 mask = vps->gpr[RCX] & VMCALL_GPRS;
	int i;

	for (i = RDX; i < SIM_NR_REGS; i++) {
		if (mask & BIT_ULL(i))
			vps->gpr[i] = c->in.r[i];
	}
	vps->gpr[RAX] = SIM_SUCCESS;
}

static void pass_vmcall(struct sim_call *c, const struct tdvps *vps)
{
	u64 mask = vps->gpr[RCX] & VMCALL_GPRS;
	int i;

	for (i = RDX; i < SIM_NR_REGS; i++) {
		if (mask & BIT_ULL(i))
			c->regs->r[i] = vps->gpr[i];
	}
}

/* What an exit means for the next entry. */
static u64 finish_exit(struct sim_call *c, struct sim_vp *vp, const struct sim_td_exit *exit)
{
	struct tdvps *vps = vp->vps;

	set_outputs(c, vp, exit);
	switch (exit->rax & STATUS_CODE & ~SIM_FATAL) {
	case SIM_SUCCESS:
	case SIM_CROSS_TD_FAULT:
		vps->state = VCPU_READY;
		vps->last_td_exit = LAST_EXIT_ASYNC_FAULT;
		if (exit->rax == EXIT_REASON_TDCALL) {
			vps->last_td_exit = LAST_EXIT_TDVMCALL;
			pass_vmcall(c, vps);
		}
		return exit->rax;
	case SIM_CROSS_TD_TRAP:
	case SIM_HOST_PRIORITY_BUSY_TIMEOUT:
		vps->state = VCPU_READY;
		vps->last_td_exit = LAST_EXIT_ASYNC_TRAP;
		return exit->rax;
	case SIM_NON_RECOVERABLE_VCPU:
		vps->state = VCPU_DISABLED;
		return exit->rax;
	default:
		WRITE_ONCE(vp->td.tdr->fatal, true);
		return exit->rax | SIM_FATAL;
	}
}

static u64 check_vcpu(struct sim_call *c, struct sim_vp *vp, u64 flags)
{
	struct tdvps *vps = vp->vps;
	u64 err;

	if (!sim_vp_complete(vp))
		return SIM_TDCX_NUM_INCORRECT;
	if (vps->state != VCPU_READY)
		return SIM_VCPU_STATE_INCORRECT;
	err = sim_associate_vp(vp);
	if (err)
		return err;

	if ((flags & ENTER_HOST_HINT) && vps->last_td_exit != LAST_EXIT_ASYNC_TRAP)
		return SIM_OPERAND_INVALID | RCX;
	if ((flags & ENTER_RESUME_L1) && !vps->curr_vm)
		return SIM_OPERAND_INVALID | RCX;
	if ((s64)(tdx_sim_host_tsc() - vps->last_exit_tsc) < 0)
		return SIM_TSC_ROLLBACK;
	return SIM_SUCCESS;
}

static u64 enter_guest(struct sim_call *c, struct sim_vp *vp, unsigned int op_lock_mark,
		       u64 flags)
{
	struct sim_td_exit exit = {};
	struct tdvps *vps = vp->vps;
	bool flush;
	u64 err;

	/* The engine flushes all translations at each entry in any case. */
	if (!sim_epoch_enter(vp, &flush))
		return SIM_OPERAND_BUSY | OPND_TD_EPOCH;

	err = sim_zero_step_enter(vp, &exit);
	if (!err && exit.pending) {
		set_outputs(c, vp, &exit);
		vps->last_td_exit = LAST_EXIT_ASYNC_FAULT;
		err = exit.rax;
	}
	if (err) {
		sim_epoch_leave(vp);
		return err;
	}

	sim_release_to(c, op_lock_mark);

	if (vps->last_td_exit == LAST_EXIT_TDVMCALL)
		complete_vmcall(c, vps);
	else if (vps->last_td_exit == LAST_EXIT_ASYNC_TRAP && (flags & ENTER_HOST_HINT))
		vps->gpr[RAX] |= STATUS_HOST_HINT;

	vps->state = VCPU_ACTIVE;
	sim_engine_run(vp, &exit);
	vps->launched = true;

	if (exit.rax == EXIT_REASON_EPT_VIOLATION && sept_gpa_private(&vp->td, exit.r8))
		sim_zero_step_fault(vp, exit.r8);
	else
		sim_zero_step_exit(vp);
	vps->last_exit_tsc = tdx_sim_host_tsc();
	err = finish_exit(c, vp, &exit);
	sim_epoch_leave(vp);
	return err;
}

u64 tdx_sim_vp_enter(struct sim_call *c)
{
	u64 flags = c->in.r[RCX] & ~SIM_HPA_PAGE_MASK;
	unsigned int op_lock_mark;
	struct sim_vp vp;
	u64 err;

	if (flags & ENTER_RESERVED)
		return SIM_OPERAND_INVALID | RCX;
	c->in.r[RCX] &= SIM_HPA_PAGE_MASK;

	err = sim_get_vp(c, SIM_SHARED, &vp);
	if (err)
		return err;

	op_lock_mark = c->nr_held;
	err = sim_check_td(c, &vp.td, SIM_SHARED);
	if (err)
		return err;
	err = check_vcpu(c, &vp, flags);
	if (err)
		return err;
	return enter_guest(c, &vp, op_lock_mark, flags);
}
