// SPDX-License-Identifier: GPL-2.0
/*
 * The CPUID bits of a TDX capable processor, as the host kernel sees them.
 */
#include <linux/string.h>
#include <asm/cpufeatures.h>
#include <asm/cpuid/api.h>

#include "model.h"
#include "platform.h"

#define CPUID_1_ECX_VMX			BIT(5)
#define CPUID_1_ECX_X2APIC		BIT(21)
#define CPUID_1_EDX_SELFSNOOP		BIT(27)
#define CPUID_7_EBX_HLE			BIT(4)
#define CPUID_7_EBX_RTM			BIT(11)
#define CPUID_7_ECX_WAITPKG		BIT(5)
#define CPUID_7_ECX_TME			BIT(13)
#define CPUID_7_ECX_MOVDIR64B		BIT(28)
#define CPUID_7_EDX_ARCH_CAPABILITIES	BIT(29)
#define CPUID_7_1_EAX_LASS		BIT(6)
#define CPUID_7_1_EAX_LAM		BIT(26)
#define CPUID_80000001_ECX_SVM		BIT(2)
#define CPUID_LEAF_TOPOLOGY		0xb
#define CPUID_LEAF_TOPOLOGY_V2		0x1f
#define CPUID_LEAF_SVM			0x8000000a
#define FIRST_EXTENDED_LEAF		0x80000000

/* SVM belongs to the engine: with it visible the kernel finds SVM and VMX. */
static void hide_svm(u32 leaf, unsigned int *eax, unsigned int *ebx, unsigned int *ecx,
		     unsigned int *edx)
{
	if (leaf == 0x80000001)
		*ecx &= ~CPUID_80000001_ECX_SVM;
	else if (leaf == CPUID_LEAF_SVM)
		*eax = *ebx = *ecx = *edx = 0;
}

void sim_host_cpuid(unsigned int *eax, unsigned int *ebx, unsigned int *ecx, unsigned int *edx)
{
	u32 leaf = *eax, subleaf = *ecx;

	native_cpuid(eax, ebx, ecx, edx);
	hide_svm(leaf, eax, ebx, ecx, edx);

	if (leaf == 1) {
		*ecx |= CPUID_1_ECX_VMX;
		*edx |= CPUID_1_EDX_SELFSNOOP;
	} else if (leaf == 7 && subleaf == 0) {
		*ecx |= CPUID_7_ECX_TME | CPUID_7_ECX_MOVDIR64B;
		*edx |= CPUID_7_EDX_ARCH_CAPABILITIES;
	}
}

/* A leaf above the last one reads like that one, not as zero. */
static bool has_leaf(u32 leaf)
{
	return leaf >= FIRST_EXTENDED_LEAF || leaf <= native_cpuid_eax(0);
}

/* A TDX capable processor has leaf 0x1F, which begins like leaf 0xB. */
static u32 topology_leaf(u32 leaf)
{
	u32 eax = CPUID_LEAF_TOPOLOGY_V2, ebx, ecx = 0, edx;

	if (leaf != CPUID_LEAF_TOPOLOGY_V2)
		return leaf;
	native_cpuid(&eax, &ebx, &ecx, &edx);
	return has_leaf(leaf) && ebx ? leaf : CPUID_LEAF_TOPOLOGY;
}

/*
 * What the module can give to a TD: only what the CPU executes, and what the
 * platform provides on top of it.  TSX and WAITPKG no TD gets unless its VMM asks
 * for them; KVM does not, and has to notice if another VMM did.
 */
void tdx_sim_host_cpuid(u32 leaf, u32 subleaf, u32 regs[4])
{
	leaf = topology_leaf(leaf);
	if (!has_leaf(leaf)) {
		memset(regs, 0, 4 * sizeof(regs[0]));
		return;
	}
	regs[0] = leaf;
	regs[2] = subleaf;
	native_cpuid(&regs[0], &regs[1], &regs[2], &regs[3]);
	hide_svm(leaf, &regs[0], &regs[1], &regs[2], &regs[3]);

	/* The APIC of a TD is virtual, and so are these MSRs. */
	if (leaf == 1)
		regs[2] |= CPUID_1_ECX_X2APIC;
	/* The engine knows neither. */
	if (leaf == 7 && subleaf == 1)
		regs[0] &= ~(CPUID_7_1_EAX_LASS | CPUID_7_1_EAX_LAM);
	if (leaf == 7 && subleaf == 0) {
		regs[1] |= CPUID_7_EBX_HLE | CPUID_7_EBX_RTM;
		regs[2] |= CPUID_7_ECX_WAITPKG;
		regs[3] |= CPUID_7_EDX_ARCH_CAPABILITIES;
	}
}
