/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The SVM engine: the part that knows VMCBs.
 */
#ifndef _TDX_SIM_SVM_H
#define _TDX_SIM_SVM_H

#include <asm/page_types.h>
#include <asm/svm.h>

#include "guest.h"

/* Pages of one CPU. */
struct sim_svm_cpu {
	struct vmcb *vmcb;
	/* What #VMEXIT restores, and what VMLOAD and VMSAVE switch. */
	void *hsave;
	void *host;
	/* Root of the nested page tables, and a level above it for LA57 hosts. */
	u64 *npt_root;
	u64 *npt_top;
};

/* svm_entry.S */
void sim_svm_vmrun(u64 vmcb_pa, u64 host_pa, u64 *gprs);

/* svm_state.c */
void sim_svm_load(struct sim_run *run, bool window);
void sim_svm_store(struct sim_run *run);
void sim_svm_init_vmcb(struct vmcb *vmcb, u64 msrpm_pa, u64 iopm_pa);

/* svm_tcg.c: warn once when a TD runs where the emulator can break it. */
void sim_svm_check_cpu(void);

#endif /* _TDX_SIM_SVM_H */
