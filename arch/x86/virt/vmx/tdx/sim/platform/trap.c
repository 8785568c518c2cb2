// SPDX-License-Identifier: GPL-2.0
/*
 * What a SEAMCALL costs besides its emulation, because the CPU raises #UD
 * instead of executing it: the exception, its way to the platform, and back.
 *
 *   trap_cycles	the TSC cycles of that, with interrupts enabled and disabled
 *
 * The difference of two sequences that have the same instructions, but for one: a
 * SEAMCALL in the one, a NOP of the same length in the other, less what account.c
 * counts.  So the SEAMCALL itself is still there, as one instruction.  Where the
 * TSC counts instructions, the figure is exact.
 */
#include <linux/debugfs.h>
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/preempt.h>
#include <linux/seq_file.h>

#include "leaves.h"
#include "platform.h"

#define TRAP_SAMPLES	256

#define SEAMCALL	".byte 0x66, 0x0f, 0x01, 0xcf"
#define NOP		".byte 0x0f, 0x1f, 0x40, 0x00"

/* A leaf that does next to nothing; its result is of no interest. */
#define time_sys_rd(insn)						\
({									\
	u64 start, end;							\
									\
	asm volatile("rdtsc\n\t"					\
		     "shl $32, %%rdx\n\t"				\
		     "or %%rdx, %%rax\n\t"				\
		     "mov %%rax, %[start]\n\t"				\
		     "mov %[leaf], %%eax\n\t"				\
		     "xor %%ecx, %%ecx\n\t"				\
		     "xor %%edx, %%edx\n\t"				\
		     "xor %%r8d, %%r8d\n\t"				\
		     insn "\n\t"					\
		     "rdtsc\n\t"					\
		     "shl $32, %%rdx\n\t"				\
		     "or %%rdx, %%rax"					\
		     : [start] "=&r" (start), "=&a" (end)		\
		     : [leaf] "i" (LEAF_SYS_RD)				\
		     : "rcx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory"); \
	end - start;							\
})

/* The least of many: the CPU of an emulator is interrupted at any time. */
static u64 measure_trap(void)
{
	u64 with = U64_MAX, without = U64_MAX, inside, cycles;
	int i;

	for (i = 0; i < TRAP_SAMPLES; i++) {
		inside = sim_account_cycles(LEAF_SYS_RD);
		cycles = time_sys_rd(SEAMCALL);
		inside = sim_account_cycles(LEAF_SYS_RD) - inside;
		with = min(with, cycles - inside);
		without = min(without, time_sys_rd(NOP));
	}
	return with - min(with, without);
}

static int trap_cycles_show(struct seq_file *m, void *unused)
{
	u64 irqs_on = 0, irqs_off = 0;
	unsigned long flags;

	preempt_disable();
	if (sim_cpu_in_vmx_operation()) {
		irqs_on = measure_trap();
		local_irq_save(flags);
		irqs_off = measure_trap();
		local_irq_restore(flags);
	}
	preempt_enable();

	/* Until kvm-intel is loaded no CPU can make a SEAMCALL. */
	if (!irqs_on)
		return -ENODEV;

	seq_printf(m, "%llu %llu\n", irqs_on, irqs_off);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(trap_cycles);

void __init sim_trap_debugfs(struct dentry *dir)
{
	debugfs_create_file("trap_cycles", 0400, dir, NULL, &trap_cycles_fops);
}
