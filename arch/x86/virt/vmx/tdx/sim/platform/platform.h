/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The platform below the module model: what the kernel sees of the CPU, and
 * the engine that runs TD code.  Kernel only.
 */
#ifndef _TDX_SIM_PLATFORM_H
#define _TDX_SIM_PLATFORM_H

#include <linux/types.h>

struct dentry;
struct pt_regs;
struct tdx_sim_regs;

/* KeyIDs as the MSRs report them; one private KeyID is the global one. */
#define SIM_KEYID_BITS		6
#define SIM_NR_MKTME_KEYIDS	31
#define SIM_NR_TDX_KEYIDS	32

/* platform.c */
bool sim_platform_enabled(void);

/* cpuid_host.c */
void sim_host_cpuid(unsigned int *eax, unsigned int *ebx, unsigned int *ecx, unsigned int *edx);

/* msr_host.c */
u64 sim_host_read_msr(u32 msr);
int sim_host_read_msr_safe(u32 msr, u64 *val);
void sim_host_write_msr(u32 msr, u64 val);
int sim_host_write_msr_safe(u32 msr, u64 val);

/* insn.c */
int sim_insn_init(void);
bool sim_cpu_in_vmx_operation(void);

/* env_kernel.c */
/* Tell the interrupt poll whether the SEAMCALL was made with IRQs enabled. */
void sim_env_enter(bool irqs_enabled);
bool sim_env_leaf_is_busy(u16 leaf, bool resumed);
void sim_env_debugfs(struct dentry *dir);
bool sim_env_null_cipher(void);
void sim_env_set_null_cipher(bool on);

/* page_free.c */
int sim_page_free_init(void);

/* td_params.c */
/* TDH.MNG.INIT is going to look at the TD_PARAMS at @hpa. */
void sim_td_params_change(u64 hpa);
void sim_td_params_debugfs(struct dentry *dir);

/* account.c */
void sim_account_seamcall(u16 leaf, u64 start, const struct tdx_sim_regs *regs);
void sim_account_debugfs(struct dentry *dir);

/* svm.c */
bool sim_svm_supported(void);
int sim_svm_init(void);
void sim_svm_enable_cpu(void);
void sim_svm_disable_cpu(void);

#endif /* _TDX_SIM_PLATFORM_H */
