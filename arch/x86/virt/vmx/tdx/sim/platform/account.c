// SPDX-License-Identifier: GPL-2.0
/*
 * Accounts of SEAMCALLs, for benchmarks of the host: what each leaf costs, and
 * which pages the last memory bundle went through.
 *
 *   leaf_cycles	calls of each leaf, how many of them were interrupted, and
 *			the TSC cycles from the start of the emulation to its end
 *   trap_cycles	TSC cycles that a SEAMCALL takes on top of that, as the CPU
 *			raises #UD instead of executing it
 *   last_bundle	the lists of the last EXPORT.MEM or IMPORT.MEM that
 *			completed
 */
#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <asm/msr.h>

#include "leaves.h"
#include "mig.h"
#include "platform.h"

#define TRAP_SAMPLES	256

/* The rest of a completion status says what it is about. */
#define STATUS_CODE	GENMASK_ULL(63, 32)

struct leaf_account {
	u64 calls;
	u64 interrupted;
	u64 cycles;
};

static DEFINE_PER_CPU(struct leaf_account [SIM_NR_LEAVES], sim_leaf_accounts);

struct bundle_account {
	u16 leaf;
	unsigned int nr;
	u64 gpas[GPA_LIST_ENTRIES];
	u64 buffers[GPA_LIST_ENTRIES];
	/* Of an import, else zero. */
	u64 new_pages[GPA_LIST_ENTRIES];
};

static struct bundle_account sim_last_bundle;
static DEFINE_RAW_SPINLOCK(sim_bundle_lock);

static void copy_list(u64 *dst, u64 hpa, unsigned int nr)
{
	const u64 *src = tdx_sim_host_page(hpa & SIM_HPA_PAGE_MASK);

	if (src)
		memcpy(dst, src, nr * sizeof(*dst));
}

/*
 * An import or export leaves the addresses of its lists in their registers.  Of
 * two bundles that end at the same time, one is as good as the other.
 */
static void account_bundle(u16 leaf, const u64 *r)
{
	struct bundle_account *b = &sim_last_bundle;

	if (!raw_spin_trylock(&sim_bundle_lock))
		return;

	b->leaf = leaf;
	b->nr = FIELD_GET(GPA_LIST_LAST, r[RCX]) + 1;
	copy_list(b->gpas, r[RCX], b->nr);
	copy_list(b->buffers, r[R9], b->nr);
	if (leaf == LEAF_IMPORT_MEM)
		copy_list(b->new_pages, r[R13], b->nr);
	else
		memset(b->new_pages, 0, sizeof(b->new_pages));

	raw_spin_unlock(&sim_bundle_lock);
}

/*
 * The emulation of @leaf began at @start and left @regs.  Runs with interrupts
 * disabled, like all of it.
 */
void sim_account_seamcall(u16 leaf, u64 start, const struct tdx_sim_regs *regs)
{
	u64 status = regs->r[RAX] & STATUS_CODE;
	struct leaf_account *account;

	if (leaf >= SIM_NR_LEAVES)
		return;

	if ((leaf == LEAF_EXPORT_MEM || leaf == LEAF_IMPORT_MEM) && status == SIM_SUCCESS)
		account_bundle(leaf, regs->r);

	account = this_cpu_ptr(&sim_leaf_accounts[leaf]);
	account->calls++;
	if (status == SIM_INTERRUPTED_RESUMABLE || status == SIM_INTERRUPTED_BUSY)
		account->interrupted++;
	account->cycles += rdtsc() - start;
}

static int leaf_cycles_show(struct seq_file *m, void *unused)
{
	struct leaf_account sum, *account;
	int leaf, cpu;

	for (leaf = 0; leaf < SIM_NR_LEAVES; leaf++) {
		sum = (struct leaf_account) {};
		for_each_possible_cpu(cpu) {
			account = per_cpu_ptr(&sim_leaf_accounts[leaf], cpu);
			sum.calls += READ_ONCE(account->calls);
			sum.interrupted += READ_ONCE(account->interrupted);
			sum.cycles += READ_ONCE(account->cycles);
		}
		if (sum.calls)
			seq_printf(m, "host %d calls=%llu interrupted=%llu cycles=%llu\n", leaf,
				   sum.calls, sum.interrupted, sum.cycles);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(leaf_cycles);

/* A leaf that does next to nothing; its result is of no interest. */
static void seamcall_sys_rd(void)
{
	register unsigned long r8 asm("r8") = 0;
	unsigned long rax = LEAF_SYS_RD, rcx = 0, rdx = 0;

	asm volatile(".byte 0x66, 0x0f, 0x01, 0xcf"
		     : "+a" (rax), "+c" (rcx), "+d" (rdx), "+r" (r8)
		     : : "r9", "r10", "r11", "cc", "memory");
}

/* The least of many: the CPU of an emulator is interrupted at any time. */
static u64 measure_trap(void)
{
	struct leaf_account *account;
	u64 start, inside, least = U64_MAX;
	int i;

	lockdep_assert_irqs_disabled();

	account = this_cpu_ptr(&sim_leaf_accounts[LEAF_SYS_RD]);
	for (i = 0; i < TRAP_SAMPLES; i++) {
		inside = READ_ONCE(account->cycles);
		start = rdtsc();
		seamcall_sys_rd();
		start = rdtsc() - start;
		inside = READ_ONCE(account->cycles) - inside;
		least = min(least, start - inside);
	}
	return least;
}

static int trap_cycles_show(struct seq_file *m, void *unused)
{
	unsigned long flags;
	u64 cycles = 0;

	local_irq_save(flags);
	if (sim_cpu_in_vmx_operation())
		cycles = measure_trap();
	local_irq_restore(flags);

	/* Until kvm-intel is loaded no CPU can make a SEAMCALL. */
	if (!cycles)
		return -ENODEV;

	seq_printf(m, "%llu\n", cycles);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(trap_cycles);

static void *last_bundle_start(struct seq_file *m, loff_t *pos)
{
	return *pos < READ_ONCE(sim_last_bundle.nr) ? pos : NULL;
}

static void *last_bundle_next(struct seq_file *m, void *v, loff_t *pos)
{
	(*pos)++;
	return last_bundle_start(m, pos);
}

static void last_bundle_stop(struct seq_file *m, void *v)
{
}

static int last_bundle_show(struct seq_file *m, void *v)
{
	const struct bundle_account *b = &sim_last_bundle;
	loff_t i = *(loff_t *)v;

	seq_printf(m, "leaf=%u entry=0x%llx buffer=0x%llx new_page=0x%llx\n", b->leaf,
		   b->gpas[i], b->buffers[i], b->new_pages[i]);
	return 0;
}

static const struct seq_operations last_bundle_sops = {
	.start = last_bundle_start,
	.next = last_bundle_next,
	.stop = last_bundle_stop,
	.show = last_bundle_show,
};
DEFINE_SEQ_ATTRIBUTE(last_bundle);

void __init sim_account_debugfs(struct dentry *dir)
{
	debugfs_create_file("leaf_cycles", 0400, dir, NULL, &leaf_cycles_fops);
	debugfs_create_file("trap_cycles", 0400, dir, NULL, &trap_cycles_fops);
	debugfs_create_file("last_bundle", 0400, dir, NULL, &last_bundle_fops);
}
