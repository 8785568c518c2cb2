// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps TDs off the one CPU on which QEMU's TCG can break them.
 *
 * Each FXRSTOR, XRSTOR and FLDENV, on any CPU, reads, changes and writes back
 * internal flags of TCG's first CPU, with no regard for what that CPU does.
 * Among them are those for nested paging and for the global interrupt flag,
 * which VMRUN and #VMEXIT change.  When one of these gets lost, the guest runs
 * on its CR3 alone and ends in a triple fault, or the CPU takes no interrupt
 * any more.  So let no program run there.
 */
#define pr_fmt(fmt) "tdx_sim: " fmt

#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <asm/cpuid/api.h>

#include "platform.h"
#include "svm.h"

#define CPUID_HYPERVISOR	0x40000000

static bool avoid_first_cpu __ro_after_init;

static bool __init is_tcg(void)
{
	u32 eax = CPUID_HYPERVISOR, ebx, ecx = 0, edx;

	native_cpuid(&eax, &ebx, &ecx, &edx);
	return !memcmp(&ebx, "TCGT", 4) && !memcmp(&ecx, "CGTC", 4) && !memcmp(&edx, "GTCG", 4);
}

/* User space inherits the affinity of the task that starts it, which runs initcalls. */
static int __init keep_first_cpu_free(void)
{
	cpumask_var_t others;
	int ret;

	if (!sim_platform_enabled() || !is_tcg() || num_online_cpus() == 1)
		return 0;
	if (!alloc_cpumask_var(&others, GFP_KERNEL))
		return -ENOMEM;

	cpumask_copy(others, cpu_possible_mask);
	cpumask_clear_cpu(0, others);
	ret = set_cpus_allowed_ptr(current, others);
	free_cpumask_var(others);
	if (ret)
		return ret;

	avoid_first_cpu = true;
	pr_info("programs do not run on CPU 0, where this emulator can break TDs\n");
	return 0;
}
late_initcall(keep_first_cpu_free);

void sim_svm_check_cpu(void)
{
	if (avoid_first_cpu && !smp_processor_id())
		pr_warn_once("a TD runs on CPU 0, where this emulator can break it\n");
}
