/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's side of a running vCPU: events, virtual APIC, memory and exits.
 * Kernel only; the engine below it is SVM.
 */
#ifndef _TDX_SIM_GUEST_H
#define _TDX_SIM_GUEST_H

#include <asm/insn.h>
#include <asm/processor-flags.h>

#include "model.h"

struct vmcb;

/* One stay of a vCPU in the engine, from VP.ENTER to the exit to the host. */
struct sim_run {
	struct sim_vp *vp;
	struct sim_td_exit *exit;
	struct vmcb *vmcb;
	/* Registers of the guest are in the FPU, XCR0 is the guest's. */
	bool fpu_loaded;
	u64 host_xcr0;
	/* The IRET that will unblock NMIs is at @iret_rip. */
	bool iret_pending;
	u64 iret_rip;
};

/* VMX basic exit reasons. */
enum sim_exit_reason {
	SIM_EXIT_EXCEPTION_NMI = 0,
	SIM_EXIT_EXTERNAL_INTERRUPT = 1,
	SIM_EXIT_TRIPLE_FAULT = 2,
	SIM_EXIT_TASK_SWITCH = 9,
	SIM_EXIT_CPUID = 10,
	SIM_EXIT_HLT = 12,
	SIM_EXIT_INVD = 13,
	SIM_EXIT_VMCALL = 18,
	SIM_EXIT_CR_ACCESS = 28,
	SIM_EXIT_IO = 30,
	SIM_EXIT_RDMSR = 31,
	SIM_EXIT_WRMSR = 32,
	SIM_EXIT_ENTRY_FAIL_STATE = 33,
	SIM_EXIT_MWAIT = 36,
	SIM_EXIT_MONITOR = 39,
	SIM_EXIT_EPT_VIOLATION = 48,
	SIM_EXIT_WBINVD = 54,
	SIM_EXIT_TDCALL = 77,
};

/* Types of the extended exit qualification. */
#define SIM_EEQ_MSR_LOAD_FAILURE	3
#define SIM_EEQ_XSTATE_LOAD_FAILURE	4
#define SIM_EEQ_PENDING			6

/* Guest interruptibility state. */
#define INTR_STATE_STI			BIT(0)
#define INTR_STATE_MOVSS		BIT(1)
#define INTR_STATE_NMI			BIT(3)

/* VM-entry and VM-exit interruption information. */
#define INTR_INFO_VECTOR		GENMASK(7, 0)
#define INTR_INFO_TYPE			GENMASK(10, 8)
#define INTR_INFO_ERROR_CODE		BIT(11)
#define INTR_INFO_VALID			BIT(31)
enum sim_intr_type { INTR_TYPE_EXTERNAL = 0, INTR_TYPE_NMI = 2, INTR_TYPE_EXCEPTION = 3 };

/* guest_event.c */
void sim_inject_exception(struct sim_vp *vp, u8 vector);
void sim_inject_gp(struct sim_vp *vp);
void sim_inject_pf(struct sim_run *run, u64 gla, u32 error_code);
void sim_inject_ve(struct sim_vp *vp, u32 reason, u64 qual, u64 gpa, u64 gla, u32 insn_len);
void sim_skip_insn(struct sim_vp *vp, unsigned int len);
/* Choose what the next entry injects; true: wait for an interrupt window. */
bool sim_prepare_events(struct sim_vp *vp);
unsigned int sim_guest_cpl(const struct sim_vp *vp);
bool sim_guest_in_64bit(const struct sim_vp *vp);
/* Leave to the host; other registers of @run->exit are zero. */
void sim_leave(struct sim_run *run, u64 status);

/* guest_vapic.c */
void sim_vapic_sync_pir(struct sim_vp *vp);
bool sim_vapic_deliverable(const struct sim_vp *vp);
/* An interrupt waits for a lower TPR or for an EOI. */
bool sim_vapic_pending(const struct sim_vp *vp);
u8 sim_vapic_accept(struct sim_vp *vp);
void sim_vapic_eoi(struct sim_vp *vp);
u8 sim_vapic_tpr(const struct sim_vp *vp);
void sim_vapic_set_tpr(struct sim_vp *vp, u8 tpr);
void sim_vapic_self_ipi(struct sim_vp *vp, u8 vector);
u32 sim_vapic_read(const struct sim_vp *vp, u32 offset);

/* guest_mem.c */
/* Kernel address of the byte at @gpa, and what the entry that maps it allows. */
void *sim_guest_translate(struct sim_vp *vp, u64 gpa, u64 *entry);
bool sim_gpa_shared(const struct sim_vp *vp, u64 gpa);
/* Translate a linear address; false when the guest's tables do not map it. */
bool sim_guest_walk(struct sim_vp *vp, u64 gla, u64 *gpa);
/*
 * Decode the instruction at RIP.  UNREADABLE: the host changed the mapping after
 * the guest executed it; run the guest again, it will fault.
 */
enum sim_decode { SIM_DECODE_OK, SIM_DECODE_UNREADABLE, SIM_DECODE_UNKNOWN };
enum sim_decode sim_guest_decode(struct sim_vp *vp, struct insn *insn);
/* Linear address through which the present instruction reaches @gpa, 0 if unknown. */
u64 sim_guest_find_gla(struct sim_vp *vp, const struct insn *insn, u64 gpa);

/* guest_msr.c */
enum sim_msr_result { SIM_MSR_DONE, SIM_MSR_VE, SIM_MSR_GP };
enum sim_msr_result sim_guest_rdmsr(struct sim_vp *vp, u32 msr, u64 *val);
enum sim_msr_result sim_guest_wrmsr(struct sim_vp *vp, u32 msr, u64 val);

/* guest_cr.c */
/* Features of CR4 that the engine's CPU has and that a TD may have. */
#define SIM_GUEST_CR4_VALID	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | \
				 X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | \
				 X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | \
				 X86_CR4_UMIP | X86_CR4_LA57 | X86_CR4_VMXE | \
				 X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE | \
				 X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)
void sim_guest_cr_access(struct sim_run *run);

/* guest_exit.c */
/* Returns true when the vCPU leaves to the host, with run->exit filled. */
bool sim_handle_exit(struct sim_run *run);

/* guest_check.c */
/* Would a CPU enter a guest in this state?  And can the module load its MSRs? */
bool sim_guest_state_valid(const struct sim_vp *vp);
bool sim_guest_msrs_valid(const struct sim_vp *vp);

/* svm_fpu.c */
/* Are the XBUFF pages such that the CPU would load them? */
bool sim_fpu_valid(const struct sim_vp *vp);
void sim_fpu_load(struct sim_run *run);
void sim_fpu_sync_xcr0(struct sim_run *run);
void sim_fpu_save(struct sim_run *run);
/* Nothing of the guest stays in the FPU. */
void sim_fpu_scrub(struct sim_run *run);
void sim_fpu_complete_vmcall(struct sim_vp *vp);

#endif /* _TDX_SIM_GUEST_H */
