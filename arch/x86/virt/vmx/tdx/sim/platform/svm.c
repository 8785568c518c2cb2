// SPDX-License-Identifier: GPL-2.0
/*
 * The SVM engine: runs TD code with AMD SVM, which emulators provide.
 *
 * Nested paging walks a root that is put together at each entry: the lower half
 * of the guest physical space from the TD's Secure EPT, the half with the SHARED
 * bit from the host's EPT.  Below the root both are used in place: the entries
 * that matter look the same to EPT and to x86 paging.
 */
#define pr_fmt(fmt) "tdx_sim: " fmt

#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <asm/cpuid/api.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "platform.h"
#include "svm.h"

#define CPUID_80000001_ECX_SVM	BIT(2)
#define CPUID_LEAF_SVM		0x8000000a
#define CPUID_SVM_EDX_NP	BIT(0)

#define NPT_ENTRIES		512
#define NPT_SHARED_INDEX	256

#define IOPM_ORDER		2
#define MSRPM_ORDER		1
/* Two bits per MSR, in three ranges of 0x2000 MSRs; the second has EFER. */
#define MSRPM_RANGE_MSRS	0x2000
#define MSRPM_RANGE_BYTES	0x800
#define MSRPM_BITS_PER_MSR	2
#define MSRPM_HIGH_BASE		0xc0000000

/* Reset values that a TD exit leaves in MSRs of the host. */
#define FMASK_RESET		0x20200

static DEFINE_PER_CPU(struct sim_svm_cpu, svm_cpu);
static u64 iopm_pa, msrpm_pa;

bool __init sim_svm_supported(void)
{
	u32 eax, ebx, ecx, edx;

	eax = 0;
	ecx = 0;
	native_cpuid(&eax, &ebx, &ecx, &edx);
	/* The vendor string of CPUs with TDX. */
	if (memcmp(&ebx, "Genu", 4) || memcmp(&edx, "ineI", 4) || memcmp(&ecx, "ntel", 4))
		return false;

	eax = 0x80000001;
	ecx = 0;
	native_cpuid(&eax, &ebx, &ecx, &edx);
	if (!(ecx & CPUID_80000001_ECX_SVM))
		return false;

	eax = CPUID_LEAF_SVM;
	ecx = 0;
	native_cpuid(&eax, &ebx, &ecx, &edx);
	return edx & CPUID_SVM_EDX_NP;
}

/* MSRs that TD code accesses without an intercept. */
static const u32 native_msrs[] = {
	MSR_IA32_SYSENTER_CS,
	MSR_IA32_SYSENTER_ESP,
	MSR_IA32_SYSENTER_EIP,
	MSR_STAR,
	MSR_LSTAR,
	MSR_SYSCALL_MASK,
	MSR_FS_BASE,
	MSR_GS_BASE,
	MSR_KERNEL_GS_BASE,
};

static void __init allow_msr(u8 *msrpm, u32 msr)
{
	unsigned int bit;

	if (msr < MSRPM_RANGE_MSRS)
		bit = msr * MSRPM_BITS_PER_MSR;
	else
		bit = (msr - MSRPM_HIGH_BASE) * MSRPM_BITS_PER_MSR +
		      MSRPM_RANGE_BYTES * BITS_PER_BYTE;
	/* Reads and writes. */
	__clear_bit(bit, (unsigned long *)msrpm);
	__clear_bit(bit + 1, (unsigned long *)msrpm);
}

static int __init init_permission_maps(void)
{
	void *iopm = (void *)__get_free_pages(GFP_KERNEL, IOPM_ORDER);
	void *msrpm = (void *)__get_free_pages(GFP_KERNEL, MSRPM_ORDER);
	int i;

	if (!iopm || !msrpm) {
		free_pages((unsigned long)iopm, IOPM_ORDER);
		free_pages((unsigned long)msrpm, MSRPM_ORDER);
		return -ENOMEM;
	}

	memset(iopm, 0xff, PAGE_SIZE << IOPM_ORDER);
	memset(msrpm, 0xff, PAGE_SIZE << MSRPM_ORDER);
	for (i = 0; i < ARRAY_SIZE(native_msrs); i++)
		allow_msr(msrpm, native_msrs[i]);

	iopm_pa = __pa(iopm);
	msrpm_pa = __pa(msrpm);
	return 0;
}

static void *__init alloc_zeroed_page(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL);
}

/* Nothing is freed on error: the boot goes on without TDX, once. */
int __init sim_svm_init(void)
{
	struct sim_svm_cpu *cpu;
	int ret, i;

	ret = init_permission_maps();
	if (ret)
		return ret;

	for_each_possible_cpu(i) {
		cpu = per_cpu_ptr(&svm_cpu, i);
		cpu->vmcb = alloc_zeroed_page();
		cpu->hsave = alloc_zeroed_page();
		cpu->host = alloc_zeroed_page();
		cpu->npt_root = alloc_zeroed_page();
		cpu->npt_top = alloc_zeroed_page();
		if (!cpu->vmcb || !cpu->hsave || !cpu->host || !cpu->npt_root || !cpu->npt_top)
			return -ENOMEM;
		cpu->npt_top[0] = __pa(cpu->npt_root) | SEPT_RWX;
		sim_svm_init_vmcb(cpu->vmcb, msrpm_pa, iopm_pa);
	}
	return 0;
}

void sim_svm_enable_cpu(void)
{
	native_write_msr(MSR_EFER, native_read_msr(MSR_EFER) | EFER_SVME);
	native_write_msr(MSR_VM_HSAVE_PA, __pa(this_cpu_read(svm_cpu.hsave)));
}

void sim_svm_disable_cpu(void)
{
	native_write_msr(MSR_VM_HSAVE_PA, 0);
	native_write_msr(MSR_EFER, native_read_msr(MSR_EFER) & ~EFER_SVME);
}

/* Where four levels begin: in a TD with five, the first entry leads to all it has. */
static const u64 *top_of_four(const struct sim_vp *vp, const u64 *root)
{
	u64 entry;

	if (!root || sept_root_level(&vp->td) == SEPT_ROOT_LEVEL)
		return root;
	entry = READ_ONCE(root[0]);
	return entry & SEPT_RWX ? tdx_sim_host_page(sept_hpa(entry)) : NULL;
}

static void build_npt_root(const struct sim_svm_cpu *cpu, struct sim_vp *vp)
{
	const u64 *private = top_of_four(vp, vp->td.sept_root);
	const u64 *shared = top_of_four(vp, tdx_sim_host_page(sept_hpa(vp->vps->shared_eptp)));
	int i;

	for (i = 0; i < NPT_SHARED_INDEX; i++)
		cpu->npt_root[i] = private ? READ_ONCE(private[i]) : 0;
	for (; i < NPT_ENTRIES; i++)
		cpu->npt_root[i] = shared ? READ_ONCE(shared[i]) : 0;

	/* Nested paging has as many levels as the paging of the host. */
	cpu->vmcb->control.nested_cr3 = native_read_cr4() & X86_CR4_LA57 ?
					__pa(cpu->npt_top) : __pa(cpu->npt_root);
}

static void load_guest_msrs(const struct tdvps *vps)
{
	native_set_debugreg(0, vps->dr[0]);
	native_set_debugreg(1, vps->dr[1]);
	native_set_debugreg(2, vps->dr[2]);
	native_set_debugreg(3, vps->dr[3]);
	native_write_msr(MSR_TSC_AUX, vps->msr_tsc_aux);
}

/* What the host finds in its registers after a TD exit. */
static void scrub_host(struct tdvps *vps)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vps->dr); i++) {
		vps->dr[i] = native_get_debugreg(i);
		native_set_debugreg(i, 0);
	}
	native_write_msr(MSR_TSC_AUX, 0);
	native_write_msr(MSR_STAR, 0);
	native_write_msr(MSR_LSTAR, 0);
	native_write_msr(MSR_SYSCALL_MASK, FMASK_RESET);
	native_write_msr(MSR_KERNEL_GS_BASE, 0);
}

/* One VMRUN. */
static void run_once(struct sim_run *run, const struct sim_svm_cpu *cpu)
{
	bool window = sim_prepare_events(run->vp);

	build_npt_root(cpu, run->vp);
	sim_svm_load(run, window);
	sim_fpu_load(run);
	sim_svm_vmrun(__pa(cpu->vmcb), __pa(cpu->host), run->vp->vps->gpr);
	sim_svm_store(run);
	sim_fpu_sync_xcr0(run);
}

void sim_engine_run(struct sim_vp *vp, struct sim_td_exit *exit)
{
	const struct sim_svm_cpu *cpu = this_cpu_ptr(&svm_cpu);
	struct sim_run run = {
		.vp = vp,
		.exit = exit,
		.vmcb = cpu->vmcb,
	};

	if (vp->vps->last_td_exit == LAST_EXIT_TDVMCALL)
		sim_fpu_complete_vmcall(vp);
	/* The module loads part of the state before it enters the guest. */
	if (!sim_guest_msrs_valid(vp) || !sim_fpu_valid(vp)) {
		sim_leave(&run, sim_profile()->unloadable_state | SIM_EXIT_ENTRY_FAIL_STATE);
		exit->rdx = sim_guest_msrs_valid(vp) ? SIM_EEQ_XSTATE_LOAD_FAILURE :
						       SIM_EEQ_MSR_LOAD_FAILURE;
		return;
	}
	if (!sim_guest_state_valid(vp)) {
		sim_leave(&run, SIM_NON_RECOVERABLE_TD | SIM_EXIT_ENTRY_FAIL_STATE);
		return;
	}

	sim_svm_check_cpu();
	load_guest_msrs(vp->vps);
	do {
		run_once(&run, cpu);
	} while (!sim_handle_exit(&run));

	sim_fpu_save(&run);
	sim_fpu_scrub(&run);
	scrub_host(vp->vps);
}
