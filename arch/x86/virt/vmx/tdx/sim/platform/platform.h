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
/* A SEAMCALL begins, which was made with IRQs enabled or not: what the polls need. */
void sim_env_enter(u16 leaf, bool irqs_enabled);
bool sim_env_leaf_is_busy(u16 leaf, bool resumed);
void sim_env_debugfs(struct dentry *dir);
bool sim_env_null_cipher(void);
void sim_env_set_null_cipher(bool on);

/* fail.c */
#ifdef CONFIG_FAULT_INJECTION
/* Is this call of a leaf to fail with @status, without getting to the module? */
bool sim_fail_begin(u16 leaf, u64 *status);
/* The leaf, whether it was to fail or not, has returned @status. */
void sim_fail_end(u64 status);
/* Is the call under way to be interrupted, or to give way to another one? */
bool sim_fail_by_interrupt(void);
bool sim_fail_by_giving_way(void);
void sim_fail_debugfs(void);
#else
static inline bool sim_fail_begin(u16 leaf, u64 *status)
{
	return false;
}

static inline void sim_fail_end(u64 status)
{
}

static inline bool sim_fail_by_interrupt(void)
{
	return false;
}

static inline bool sim_fail_by_giving_way(void)
{
	return false;
}

static inline void sim_fail_debugfs(void)
{
}
#endif

/* page_free.c */
int sim_page_free_init(void);

/* td_params.c */
/* TDH.MNG.INIT is going to look at the TD_PARAMS at @hpa. */
void sim_td_params_change(u64 hpa);
void sim_td_params_debugfs(struct dentry *dir);

/* account.c */
void sim_account_seamcall(u16 leaf, bool irqs_enabled, u64 start,
			  const struct tdx_sim_regs *regs);
/* Cycles of the calls of @leaf on this CPU so far. */
u64 sim_account_cycles(u16 leaf);
void sim_account_debugfs(struct dentry *dir);

/* trap.c */
void sim_trap_debugfs(struct dentry *dir);

/* svm.c */
bool sim_svm_supported(void);
int sim_svm_init(void);
void sim_svm_enable_cpu(void);
void sim_svm_disable_cpu(void);

#endif /* _TDX_SIM_PLATFORM_H */
