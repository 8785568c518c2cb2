// SPDX-License-Identifier: GPL-2.0
/*
 * What happens when the guest leaves the engine: emulation, an exception in the
 * guest, or an exit to the host.
 */
#include <asm/irq_vectors.h>
#include <asm/processor-flags.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "leaves.h"
#include "metadata.h"
#include "svm.h"

/* Exit qualification of an EPT violation. */
#define EPT_QUAL_READ		BIT_ULL(0)
#define EPT_QUAL_WRITE		BIT_ULL(1)
#define EPT_QUAL_FETCH		BIT_ULL(2)
#define EPT_QUAL_RIGHTS_SHIFT	3
#define EPT_QUAL_GLA_VALID	BIT_ULL(7)
#define EPT_SUPPRESS_VE		BIT_ULL(63)

/* Nested page fault error code. */
#define NPF_WRITE		BIT_ULL(1)
#define NPF_FETCH		BIT_ULL(4)
#define NPF_TABLE_WALK		BIT_ULL(33)

/* IN and OUT, as SVM reports them and as VMX does. */
#define IOIO_IN			BIT(0)
#define IOIO_STRING		BIT(2)
#define IOIO_REP		BIT(3)
#define IOIO_SIZE		GENMASK(6, 4)
#define IOIO_PORT		GENMASK(31, 16)
#define IO_QUAL_IN		BIT_ULL(3)
#define IO_QUAL_STRING		BIT_ULL(4)
#define IO_QUAL_REP		BIT_ULL(5)
#define IO_QUAL_IMMEDIATE	BIT_ULL(6)
#define IO_QUAL_PORT_SHIFT	16
/* IN and OUT with the port in DX. */
#define OPCODE_DX_FORMS		0xec
/* Second byte of RDTSC, which is 0x01 in RDTSCP. */
#define OPCODE2_RDTSC		0x31

#define XFAM_X87		BIT_ULL(0)
#define XFAM_SSE		BIT_ULL(1)
#define XFAM_AVX		BIT_ULL(2)

/* GPA bits that GPAW allows, without the SHARED bit. */
#define GPAW_BITS		52
#define NO_GPAW_BITS		48

/* Instructions that the engine's CPU does not know. */
enum unknown_insn { UNKNOWN_OTHER, UNKNOWN_TDCALL, UNKNOWN_VMCALL };

static u64 concat_edx_eax(const struct tdvps *vps)
{
	return (u32)vps->gpr[RAX] | vps->gpr[RDX] << 32;
}

/* Exits that the guest handles itself: an unconditional #VE. */
static void generic_ve(struct sim_run *run, u32 reason, u64 qual)
{
	struct insn insn;

	if (sim_guest_decode(run->vp, &insn) == SIM_DECODE_OK)
		sim_inject_ve(run->vp, reason, qual, 0, 0, insn.length);
}

static void handle_cpuid(struct sim_run *run)
{
	struct sim_vp *vp = run->vp;
	u64 *gpr = vp->vps->gpr;
	struct insn insn;
	u32 out[4];

	if (sim_guest_decode(vp, &insn) != SIM_DECODE_OK)
		return;

	if (!sim_cpuid(vp, gpr[RAX], gpr[RCX], out)) {
		sim_inject_ve(vp, SIM_EXIT_CPUID, 0, 0, 0, insn.length);
		return;
	}
	gpr[RAX] = out[0];
	gpr[RBX] = out[1];
	gpr[RCX] = out[2];
	gpr[RDX] = out[3];
	sim_skip_insn(vp, insn.length);
}

static void handle_msr(struct sim_run *run)
{
	struct sim_vp *vp = run->vp;
	bool write = run->vmcb->control.exit_info_1;
	u64 *gpr = vp->vps->gpr;
	enum sim_msr_result ret;
	struct insn insn;
	u64 val;

	if (sim_guest_decode(vp, &insn) != SIM_DECODE_OK)
		return;

	if (write)
		ret = sim_guest_wrmsr(vp, gpr[RCX], concat_edx_eax(vp->vps));
	else
		ret = sim_guest_rdmsr(vp, gpr[RCX], &val);

	switch (ret) {
	case SIM_MSR_GP:
		sim_inject_gp(vp);
		return;
	case SIM_MSR_VE:
		sim_inject_ve(vp, write ? SIM_EXIT_WRMSR : SIM_EXIT_RDMSR, 0, 0, 0, insn.length);
		return;
	case SIM_MSR_DONE:
		break;
	}
	if (!write) {
		gpr[RAX] = (u32)val;
		gpr[RDX] = val >> 32;
	}
	sim_skip_insn(vp, insn.length);
}

/* RDTSC and RDTSCP of a TD whose TSC is scaled; the CPU has checked CR4.TSD. */
static void handle_rdtsc(struct sim_run *run)
{
	struct sim_vp *vp = run->vp;
	u64 *gpr = vp->vps->gpr, tsc;
	struct insn insn;

	/* Some CPUs report both by the exit code of RDTSC. */
	if (sim_guest_decode(vp, &insn) != SIM_DECODE_OK)
		return;

	tsc = sim_virtual_tsc(vp->td.tdcs);
	gpr[RAX] = (u32)tsc;
	gpr[RDX] = tsc >> 32;
	if (insn.opcode.bytes[1] != OPCODE2_RDTSC)
		gpr[RCX] = vp->vps->msr_tsc_aux;
	sim_skip_insn(vp, insn.length);
}

static void handle_io(struct sim_run *run)
{
	u32 info = run->vmcb->control.exit_info_1;
	struct insn insn;
	u64 qual;

	if (sim_guest_decode(run->vp, &insn) != SIM_DECODE_OK)
		return;

	qual = FIELD_GET(IOIO_SIZE, info) - 1;
	qual |= (u64)FIELD_GET(IOIO_PORT, info) << IO_QUAL_PORT_SHIFT;
	if (info & IOIO_IN)
		qual |= IO_QUAL_IN;
	if (info & IOIO_STRING)
		qual |= IO_QUAL_STRING;
	else if (insn.opcode.bytes[0] < OPCODE_DX_FORMS)
		qual |= IO_QUAL_IMMEDIATE;
	if (info & IOIO_REP)
		qual |= IO_QUAL_REP;
	sim_inject_ve(run->vp, SIM_EXIT_IO, qual, 0, 0, insn.length);
}

static bool xcr0_allowed(u64 xcr0, u64 xfam)
{
	if (!(xcr0 & XFAM_X87) || (xcr0 & ~(xfam | XFAM_X87)))
		return false;
	return !(xcr0 & XFAM_AVX) || (xcr0 & XFAM_SSE);
}

static void handle_xsetbv(struct sim_run *run)
{
	struct sim_vp *vp = run->vp;
	u64 xcr0 = concat_edx_eax(vp->vps);
	struct insn insn;

	if (sim_guest_decode(vp, &insn) != SIM_DECODE_OK)
		return;

	if ((u32)vp->vps->gpr[RCX] || !xcr0_allowed(xcr0, vp->vps->xfam)) {
		sim_inject_gp(vp);
		return;
	}
	/* Loaded with the extended state at the next entry. */
	sim_fpu_save(run);
	vp->vps->xcr0 = xcr0;
	sim_skip_insn(vp, insn.length);
}

static enum unknown_insn classify(const struct insn *insn)
{
	const u8 *op = insn->opcode.bytes;

	if (insn->opcode.nbytes != 2 || op[0] != 0x0f || op[1] != 0x01)
		return UNKNOWN_OTHER;
	if ((u8)insn->modrm.value == 0xcc && insn->prefixes.nbytes &&
	    insn->prefixes.bytes[insn->prefixes.nbytes - 1] == 0x66)
		return UNKNOWN_TDCALL;
	if ((u8)insn->modrm.value == 0xc1)
		return UNKNOWN_VMCALL;
	return UNKNOWN_OTHER;
}

/* Is the exit one that the guest sees as a completed TDCALL? */
static bool exit_is_trap(const struct sim_td_exit *exit)
{
	u64 status = exit->rax & ~GENMASK_ULL(31, 0);

	return exit->rax == SIM_EXIT_TDCALL || status == SIM_CROSS_TD_TRAP ||
	       status == SIM_HOST_PRIORITY_BUSY_TIMEOUT;
}

static bool handle_tdcall(struct sim_run *run, unsigned int len)
{
	struct sim_vp *vp = run->vp;
	struct sim_guest_call g = { .vp = vp };
	struct tdx_sim_regs regs;

	if (!sim_guest_in_64bit(vp) || sim_guest_cpl(vp)) {
		sim_inject_gp(vp);
		return false;
	}

	/* Leaves use the FPU for cryptography. */
	sim_fpu_save(run);
	memcpy(regs.r, vp->vps->gpr, sizeof(regs.r));
	regs.r[RSP] = vp->vmcs->rsp;
	g.regs = &regs;
	tdx_sim_tdcall(&g);

	if (!g.exit.pending) {
		memcpy(vp->vps->gpr, regs.r, sizeof(regs.r));
		sim_skip_insn(vp, len);
		return false;
	}

	*run->exit = g.exit;
	if (exit_is_trap(&g.exit)) {
		/* The status of a cross-TD trap is also the TDCALL's. */
		if (g.exit.rax != SIM_EXIT_TDCALL)
			vp->vps->gpr[RAX] = g.exit.rcx;
		sim_skip_insn(vp, len);
	}
	return true;
}

static bool handle_unknown_insn(struct sim_run *run)
{
	struct insn insn;

	switch (sim_guest_decode(run->vp, &insn)) {
	case SIM_DECODE_UNREADABLE:
		return false;
	case SIM_DECODE_UNKNOWN:
		sim_inject_exception(run->vp, X86_TRAP_UD);
		return false;
	case SIM_DECODE_OK:
		break;
	}

	switch (classify(&insn)) {
	case UNKNOWN_TDCALL:
		return handle_tdcall(run, insn.length);
	case UNKNOWN_VMCALL:
		sim_inject_ve(run->vp, SIM_EXIT_VMCALL, 0, 0, 0, insn.length);
		return false;
	default:
		sim_inject_exception(run->vp, X86_TRAP_UD);
		return false;
	}
}

static void leave_ept_violation(struct sim_run *run, u64 gpa, u64 qual, u64 eeq)
{
	sim_exit_ept_violation(run->exit, ALIGN_DOWN(gpa, SIM_PAGE_SIZE), qual, eeq);
}

static void ve_ept_violation(struct sim_run *run, u64 gpa, u64 qual)
{
	u64 gla = 0;
	struct insn insn;

	if (sim_guest_decode(run->vp, &insn) != SIM_DECODE_OK)
		return;
	if (!(qual & EPT_QUAL_FETCH))
		gla = sim_guest_find_gla(run->vp, &insn, gpa);
	if (gla)
		qual |= EPT_QUAL_GLA_VALID;
	sim_inject_ve(run->vp, SIM_EXIT_EPT_VIOLATION, qual, gpa, gla, insn.length);
}

/*
 * Bits above the SHARED bit, which the CPU has and this TD does not: a reserved
 * bit in the guest's page tables.
 */
static bool handle_wide_gpa(struct sim_run *run, u64 gpa, u64 err)
{
	unsigned int bits = run->vp->td.tdcs->gpaw ? GPAW_BITS : NO_GPAW_BITS;
	struct insn insn;
	u64 gla;

	if (!(gpa >> bits) || (err & NPF_TABLE_WALK) ||
	    sim_guest_decode(run->vp, &insn) != SIM_DECODE_OK)
		return false;

	gla = sim_guest_find_gla(run->vp, &insn, gpa);
	sim_inject_pf(run, gla, X86_PF_PROT | X86_PF_RSVD |
		      (err & NPF_WRITE ? X86_PF_WRITE : 0) |
		      (err & NPF_FETCH ? X86_PF_INSTR : 0) |
		      (sim_guest_cpl(run->vp) == 3 ? X86_PF_USER : 0));
	return true;
}

static bool handle_npf(struct sim_run *run)
{
	u64 err = run->vmcb->control.exit_info_1;
	u64 gpa = run->vmcb->control.exit_info_2;
	struct sim_vp *vp = run->vp;
	u64 entry, need, qual;
	void *page;

	if (handle_wide_gpa(run, gpa, err))
		return run->exit->pending;

	if (err & NPF_FETCH) {
		need = SEPT_X;
		qual = EPT_QUAL_FETCH;
	} else if (err & NPF_WRITE) {
		need = SEPT_W;
		qual = EPT_QUAL_WRITE;
	} else {
		need = SEPT_R;
		qual = EPT_QUAL_READ;
	}

	page = sim_guest_translate(vp, gpa, &entry);
	/* Mapped meanwhile, or only missing in this CPU's copy of the root. */
	if (page && (entry & need))
		return false;
	qual |= (entry & SEPT_RWX) << EPT_QUAL_RIGHTS_SHIFT;

	if (sim_gpa_shared(vp, gpa)) {
		if (!(entry & SEPT_RWX) && !(entry & EPT_SUPPRESS_VE)) {
			ve_ept_violation(run, gpa, qual);
			return false;
		}
	} else if (sept_is_pending(sept_state(entry)) && !sept_is_blocked(sept_state(entry))) {
		if (!(vp->td.tdcs->td_ctls & SIM_TD_CTLS_PENDING_VE_DISABLE)) {
			ve_ept_violation(run, gpa, qual);
			return false;
		}
		leave_ept_violation(run, gpa, qual, SIM_EEQ_PENDING);
		return true;
	}
	leave_ept_violation(run, gpa, qual, 0);
	return true;
}

/*
 * SVM leaves the interrupt pending, VMX acknowledges it: the host calls the
 * handler of the vector that it is told.  Name one whose handler has nothing to
 * do when called without cause.
 */
static void leave_interrupt(struct sim_run *run)
{
	sim_leave(run, SIM_EXIT_EXTERNAL_INTERRUPT);
	run->exit->r9 = INTR_INFO_VALID | FIELD_PREP(INTR_INFO_TYPE, INTR_TYPE_EXTERNAL) |
			RESCHEDULE_VECTOR;
}

static void monitor_exit(struct sim_run *run, u32 reason)
{
	if (sim_profile()->no_monitor_ve)
		sim_inject_exception(run->vp, X86_TRAP_UD);
	else
		generic_ve(run, reason, 0);
}

bool sim_handle_exit(struct sim_run *run)
{
	u64 code = run->vmcb->control.exit_code;
	struct sim_vp *vp = run->vp;

	if (READ_ONCE(vp->td.tdr->fatal)) {
		sim_leave(run, SIM_NON_RECOVERABLE_TD_NON_ACCESSIBLE);
		return true;
	}

	switch (code) {
	case SVM_EXIT_INTR:
		leave_interrupt(run);
		return true;
	case SVM_EXIT_NMI:
		/* Taken by the host's own handler, at STGI. */
	case SVM_EXIT_VINTR:
		break;
	case SVM_EXIT_NPF:
		return handle_npf(run);
	case SVM_EXIT_EXCP_BASE + X86_TRAP_UD:
		return handle_unknown_insn(run);
	case SVM_EXIT_CPUID:
		handle_cpuid(run);
		break;
	case SVM_EXIT_MSR:
		handle_msr(run);
		break;
	case SVM_EXIT_RDTSC:
	case SVM_EXIT_RDTSCP:
		handle_rdtsc(run);
		break;
	case SVM_EXIT_IOIO:
		handle_io(run);
		break;
	case SVM_EXIT_HLT:
		generic_ve(run, SIM_EXIT_HLT, 0);
		break;
	case SVM_EXIT_INVD:
		generic_ve(run, SIM_EXIT_INVD, 0);
		break;
	case SVM_EXIT_WBINVD:
		generic_ve(run, SIM_EXIT_WBINVD, 0);
		break;
	case SVM_EXIT_MWAIT:
	case SVM_EXIT_MWAIT_COND:
		monitor_exit(run, SIM_EXIT_MWAIT);
		break;
	case SVM_EXIT_MONITOR:
		monitor_exit(run, SIM_EXIT_MONITOR);
		break;
	case SVM_EXIT_XSETBV:
		handle_xsetbv(run);
		break;
	case SVM_EXIT_RDPMC:
		sim_inject_gp(vp);
		break;
	case SVM_EXIT_READ_CR4:
	case SVM_EXIT_WRITE_CR0:
	case SVM_EXIT_WRITE_CR4:
	case SVM_EXIT_WRITE_CR8:
		sim_guest_cr_access(run);
		break;
	case SVM_EXIT_IRET:
		run->iret_pending = true;
		run->iret_rip = vp->vmcs->rip;
		break;
	/* Instructions of SVM, and of a mode that a TD is never in. */
	case SVM_EXIT_VMRUN:
	case SVM_EXIT_VMMCALL:
	case SVM_EXIT_VMLOAD:
	case SVM_EXIT_VMSAVE:
	case SVM_EXIT_STGI:
	case SVM_EXIT_CLGI:
	case SVM_EXIT_SKINIT:
	case SVM_EXIT_INVLPGA:
	case SVM_EXIT_RSM:
		sim_inject_exception(vp, X86_TRAP_UD);
		break;
	case SVM_EXIT_SHUTDOWN:
		sim_leave(run, SIM_NON_RECOVERABLE_VCPU | SIM_EXIT_TRIPLE_FAULT);
		return true;
	case SVM_EXIT_TASK_SWITCH:
		sim_leave(run, SIM_EXIT_TASK_SWITCH);
		return true;
	case SVM_EXIT_ERR:
		sim_leave(run, SIM_NON_RECOVERABLE_TD | SIM_EXIT_ENTRY_FAIL_STATE);
		return true;
	default:
		sim_leave(run, SIM_NON_RECOVERABLE_TD);
		return true;
	}
	return run->exit->pending;
}
