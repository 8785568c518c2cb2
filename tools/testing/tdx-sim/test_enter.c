// SPDX-License-Identifier: GPL-2.0
/*
 * vCPUs that run: what the host can and cannot do around them.  The guest is a
 * function of the test, which makes the host's calls of another processor.
 */
#include "fixture.h"
#include "invariants.h"
#include "metadata.h"
#include "tap.h"

#define EXIT_TDCALL		77
#define EXIT_EPT_VIOLATION	48
#define OTHER_LP		1
#define R12_SELECTED		BIT_ULL(R12)
#define HOST_RBP		0x1111111111111111ULL
#define GUEST_RBP		0x2222222222222222ULL

static struct fx_pair pair;

static u64 enter(struct fx_args *args)
{
	args->rcx = pair.src.vp[0];
	return fx_seamcall(LEAF_VP_ENTER, args);
}

static u64 enter_once(void)
{
	struct fx_args args = { };

	return enter(&args);
}

static u64 remove_page(void)
{
	struct fx_args args = { .rcx = 0x1000, .rdx = pair.src.tdr };

	return fx_seamcall(LEAF_MEM_PAGE_REMOVE, &args);
}

static void run_and_remove(struct sim_vp *vp, struct sim_td_exit *exit)
{
	machine_set_lp(OTHER_LP);
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = 0x1000, .rdx = pair.src.tdr);
	fx_must(LEAF_MEM_TRACK, .rcx = pair.src.tdr);
	tap_equal(remove_page(), SIM_TLB_TRACKING_NOT_DONE | RCX,
		  "a vCPU that runs may still use the translation");
	tap_equal(fx_call(LEAF_MEM_TRACK, .rcx = pair.src.tdr), SIM_PREVIOUS_TLB_EPOCH_BUSY,
		  "the epoch cannot advance past it");
	machine_set_lp(0);
}

static void test_tracking(void)
{
	fx_restore(0);
	machine_set_guest(run_and_remove);
	tap_equal(enter_once(), MACHINE_EXIT_INTERRUPT, "a vCPU runs until an interrupt");
	tap_equal(remove_page(), 0, "the page can be removed after the exit");
	machine_set_guest(NULL);
}

static void run_elsewhere(struct sim_vp *vp, struct sim_td_exit *exit)
{
	struct fx_args args = { };

	machine_set_lp(OTHER_LP);
	tap_ok(enter(&args) != MACHINE_EXIT_INTERRUPT, "a vCPU that runs is not run again");
	tap_equal(fx_call(LEAF_VP_FLUSH, .rcx = pair.src.vp[0]), SIM_OPERAND_BUSY | RCX,
		  "nor flushed");
	tap_equal(fx_call(LEAF_EXPORT_STATE_VP, .rcx = pair.src.vp[0]), SIM_OPERAND_BUSY | RCX,
		  "nor exported");
	tap_equal(fx_call(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr), SIM_OPERAND_BUSY | RCX,
		  "a TD that runs is not paused");
	tap_equal(fx_call(LEAF_PHYMEM_PAGE_RECLAIM, .rcx = pair.src.vp[0]),
		  SIM_OPERAND_BUSY | RCX, "nor is its vCPU reclaimed");
	machine_set_lp(0);
}

static void test_exclusion(void)
{
	fx_restore(0);
	fx_pair_start(&pair);
	machine_set_guest(run_elsewhere);
	tap_equal(enter_once(), MACHINE_EXIT_INTERRUPT, "a vCPU runs during a live export");
	machine_set_guest(NULL);

	machine_set_lp(OTHER_LP);
	tap_equal(enter_once(), SIM_VCPU_ASSOCIATED, "another processor has to wait for a flush");
	machine_set_lp(0);
	fx_must(LEAF_VP_FLUSH, .rcx = pair.src.vp[0]);
	machine_set_lp(OTHER_LP);
	tap_equal(enter_once(), MACHINE_EXIT_INTERRUPT, "then it runs the vCPU");
	machine_set_lp(0);
	fx_must(LEAF_EXPORT_PAUSE, .rcx = pair.src.tdr);
	tap_equal(enter_once(), SIM_OP_STATE_INCORRECT, "a paused TD does not run");
}

static void do_vmcall(struct sim_vp *vp, struct sim_td_exit *exit)
{
	vp->vps->gpr[RCX] = R12_SELECTED;
	vp->vps->gpr[R12] = 0x1234;
	vp->vps->gpr[R13] = 0x5678;
	exit->rax = EXIT_TDCALL;
	exit->rcx = R12_SELECTED;
}

static void check_answer(struct sim_vp *vp, struct sim_td_exit *exit)
{
	tap_equal(vp->vps->gpr[R12], 0x4321, "the answer of the host is in it");
	tap_equal(vp->vps->gpr[R13], 0x5678, "other registers of the guest are its own");
	tap_equal(vp->vps->gpr[RAX], SIM_SUCCESS, "the TDCALL has succeeded");
}

static void test_vmcall(void)
{
	struct fx_args args = { };

	fx_restore(0);
	machine_set_guest(do_vmcall);
	tap_equal(enter(&args), EXIT_TDCALL, "a TDVMCALL leaves to the host");
	tap_equal(args.r12, 0x1234, "a selected register is passed to the host");
	tap_equal(args.r13, 0, "another one is not");
	machine_set_guest(check_answer);
	args = (struct fx_args){ .r12 = 0x4321, .r13 = 0x8765 };
	enter(&args);
	machine_set_guest(NULL);
}

static void select_rbp(struct sim_vp *vp, struct sim_td_exit *exit)
{
	vp->vps->gpr[RCX] = BIT_ULL(RBP);
	vp->vps->gpr[RBP] = GUEST_RBP;
	exit->rax = EXIT_TDCALL;
	exit->rcx = BIT_ULL(RBP);
}

static void select_nothing(struct sim_vp *vp, struct sim_td_exit *exit)
{
	vp->vps->gpr[RCX] = 0;
	vp->vps->gpr[RBP] = GUEST_RBP;
	exit->rax = EXIT_TDCALL;
}

/* RBP of the host after a stay in the guest. */
static u64 rbp_after(machine_guest_fn guest)
{
	struct tdx_sim_regs regs = {
		.r = { [RAX] = LEAF_VP_ENTER, [RCX] = pair.src.vp[0], [RBP] = HOST_RBP },
	};

	machine_set_guest(guest);
	tdx_sim_seamcall(&regs);
	machine_set_guest(NULL);
	return regs.r[RBP];
}

static u64 vmcall_with_rbp(void)
{
	return fx_tdcall(pair.src.tdr, TDG_VP_VMCALL, &(struct fx_args){ .rcx = BIT_ULL(RBP) });
}

static void test_rbp(void)
{
	struct sim_td td;

	fx_restore(0);
	tap_equal(rbp_after(NULL), 0, "an interrupt of a TD clears RBP of the host");
	tap_equal(rbp_after(select_nothing), 0, "so does a TDVMCALL");
	tap_equal(rbp_after(select_rbp), GUEST_RBP, "unless the guest passes its own");
	tap_equal(vmcall_with_rbp(), EXIT_TDCALL, "which it may do");

	fx_restore(0);
	probe_td(pair.src.tdr, &td);
	td.tdcs->config_flags |= SIM_CONFIG_NO_RBP_MOD;
	tap_equal(rbp_after(NULL), HOST_RBP, "an interrupt of a TD with NO_RBP_MOD leaves RBP");
	tap_equal(rbp_after(select_nothing), HOST_RBP, "so does a TDVMCALL");
	tap_equal(vmcall_with_rbp(), SIM_OPERAND_INVALID | RCX, "and the guest must not pass one");
}

static u64 fault_gpa;

static void fault(struct sim_vp *vp, struct sim_td_exit *exit)
{
	exit->rax = EXIT_EPT_VIOLATION;
	exit->r8 = fault_gpa;
}

/* Faulting over and over at one instruction. */
static void test_zero_step(void)
{
	unsigned int runs = 0;
	struct fx_args args;
	u64 err;

	fx_restore(0);
	fx_must(LEAF_MEM_RANGE_BLOCK, .rcx = 0x2000, .rdx = pair.src.tdr);
	fault_gpa = 0x2000;
	machine_set_guest(fault);
	do {
		machine_clear_td_entered();
		args = (struct fx_args){ };
		err = enter(&args);
		runs += machine_td_entered();
	} while (machine_td_entered() && runs < 100);
	tap_ok(runs < 100, "a guest without progress is not run for ever (%u times)", runs);
	tap_equal(err, EXIT_EPT_VIOLATION, "its fault is reported again without running it");
	tap_equal(args.r8, 0x2000, "with the address");

	fx_must(LEAF_MEM_TRACK, .rcx = pair.src.tdr);
	fx_must(LEAF_MEM_RANGE_UNBLOCK, .rcx = 0x2000, .rdx = pair.src.tdr);
	machine_set_guest(NULL);
	tap_equal(enter_once(), MACHINE_EXIT_INTERRUPT, "it runs again when the page is back");
}

static void break_down(struct sim_vp *vp, struct sim_td_exit *exit)
{
	exit->rax = SIM_NON_RECOVERABLE_VCPU;
}

static void test_broken_vcpu(void)
{
	fx_restore(0);
	machine_set_guest(break_down);
	tap_equal(enter_once(), SIM_NON_RECOVERABLE_VCPU, "a vCPU may break down");
	machine_set_guest(NULL);
	tap_equal(enter_once(), SIM_VCPU_STATE_INCORRECT, "it never runs again");
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, fx_pages_end()), "and leaves no lock");
	fx_td_destroy(&pair.src);
	tap_ok(!invariants_broken(MACHINE_TDMR_BASE, fx_pages_end()), "its TD can be destroyed");
}

int main(void)
{
	fx_boot(2);
	fx_pair_init(&pair, 2);
	fx_snapshot(0);
	test_tracking();
	test_exclusion();
	test_vmcall();
	test_rbp();
	test_zero_step();
	test_broken_vcpu();
	return tap_done();
}
