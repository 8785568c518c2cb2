/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one call of the core kernel into the software TDX platform.
 */
#ifndef _ASM_X86_TDX_SIM_H
#define _ASM_X86_TDX_SIM_H

#ifdef CONFIG_INTEL_TDX_SIM
void tdx_sim_early_setup(void);
#else
static inline void tdx_sim_early_setup(void) { }
#endif

#endif /* _ASM_X86_TDX_SIM_H */
