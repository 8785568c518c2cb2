// SPDX-License-Identifier: GPL-2.0
/*
 * Software TDX platform: boot switch and lifecycle.
 *
 * The kernel's own paravirt hooks stand in for the CPU: they show the CPUID
 * bits and MSRs of a TDX capable processor.  Instructions of such a processor
 * raise #UD here and are emulated in insn.c.  Hooks are in place before the
 * CPU is identified for the first time and stay until power off.
 */
#define pr_fmt(fmt) "tdx_sim: " fmt

#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/kstrtox.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <asm/cmdline.h>
#include <asm/cpufeature.h>
#include <asm/cpuid/api.h>
#include <asm/paravirt.h>
#include <asm/setup.h>
#include <asm/tdx_sim.h>
#include <asm/tlbflush.h>

#include "model.h"
#include "platform.h"

static bool sim_enabled __ro_after_init;
static const struct tdx_sim_profile *sim_boot_profile __ro_after_init = TDX_SIM_PROFILE_DEFAULT;

bool sim_platform_enabled(void)
{
	return sim_enabled;
}

/*
 * The CPU does not know CR4.VMXE.  The kernel's shadow copy keeps the bit, the
 * register never gets it.
 */
static void sim_write_cr4(unsigned long cr4)
{
	native_write_cr4(cr4 & ~X86_CR4_VMXE);
}

/* The native flush without INVPCID writes the shadow copy of CR4. */
static void sim_flush_tlb_kernel(void)
{
	unsigned long flags;

	if (cpu_feature_enabled(X86_FEATURE_INVPCID)) {
		native_flush_tlb_global();
		return;
	}

	raw_local_irq_save(flags);
	__native_tlb_flush_global(cr4_read_shadow() & ~X86_CR4_VMXE);
	raw_local_irq_restore(flags);
}

/* tdxsim=on[,profile=VERSION] */
static bool __init parse_options(char *arg)
{
	const struct tdx_sim_profile *profile;
	const char *word = strsep(&arg, ","), *value;

	if (kstrtobool(word, &sim_enabled) || !sim_enabled)
		return false;
	while ((word = strsep(&arg, ","))) {
		value = word + str_has_prefix(word, "profile=");
		profile = value > word ? tdx_sim_find_profile(value) : NULL;
		if (!profile) {
			pr_err("unknown option %s, off\n", word);
			sim_enabled = false;
			return false;
		}
		sim_boot_profile = profile;
	}
	return true;
}

void __init tdx_sim_early_setup(void)
{
	char options[32], arg[8];

	if (cmdline_find_option(boot_command_line, "tdxsim", options, sizeof(options)) < 0)
		return;
	if (!parse_options(options))
		return;

	if (!sim_svm_supported()) {
		pr_err("needs an Intel-branded CPU with SVM and nested paging, off\n");
		sim_enabled = false;
		return;
	}

	pv_ops.cpu.cpuid = sim_host_cpuid;
	pv_ops.cpu.read_msr = sim_host_read_msr;
	pv_ops.cpu.read_msr_safe = sim_host_read_msr_safe;
	pv_ops.cpu.write_msr = sim_host_write_msr;
	pv_ops.cpu.write_msr_safe = sim_host_write_msr_safe;
	pv_ops.cpu.write_cr4 = sim_write_cr4;
	pv_ops.mmu.flush_tlb_kernel = sim_flush_tlb_kernel;

	/* A CPU with TDX tells its TSC frequency: do not measure it once more. */
	if (cmdline_find_option(boot_command_line, "tsc_early_khz", arg, sizeof(arg)) > 0)
		setup_force_cpu_cap(X86_FEATURE_TSC_KNOWN_FREQ);

	pr_warn("software TDX platform on, module %s, for tests only: TDs are not protected\n",
		sim_boot_profile->name);
	add_taint(TAINT_TEST, LOCKDEP_STILL_OK);
}

static int __init tdx_sim_init(void)
{
	struct tdx_sim_platform platform = {
		.hkid_shift = boot_cpu_data.x86_phys_bits,
		.hkid_bits = SIM_KEYID_BITS,
		.nr_mktme_hkids = SIM_NR_MKTME_KEYIDS,
		.nr_tdx_hkids = SIM_NR_TDX_KEYIDS,
		.profile = sim_boot_profile,
		.sys_disable = true,
		.topology_enum = true,
		.nr_lps = num_possible_cpus(),
		.nr_packages = topology_max_packages(),
	};
	int ret;

	if (!sim_enabled)
		return 0;

	tdx_sim_reset(&platform);

	ret = sim_svm_init();
	if (!ret)
		ret = sim_page_free_init();
	if (!ret)
		ret = sim_insn_init();
	if (ret)
		pr_err("initialization failed: %d\n", ret);
	return ret;
}
early_initcall(tdx_sim_init);
