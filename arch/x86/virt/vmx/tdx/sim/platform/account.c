// SPDX-License-Identifier: GPL-2.0
/*
 * Accounts of SEAMCALLs, for benchmarks of the host: what each leaf costs, and
 * which pages the last memory bundle went through.
 *
 *   leaf_cycles	calls of each leaf, how many of them were interrupted, how
 *			many were made with interrupts disabled, and the TSC cycles
 *			from the start of the emulation to its end; trap.c tells
 *			what a SEAMCALL takes on top of that
 *   last_bundle	the lists of the last EXPORT.MEM or IMPORT.MEM that
 *			completed
 */
#include <linux/debugfs.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <asm/msr.h>

#include "leaves.h"
#include "mig.h"
#include "platform.h"

/* The rest of a completion status says what it is about. */
#define STATUS_CODE	GENMASK_ULL(63, 32)

struct leaf_account {
	u64 calls;
	u64 interrupted;
	u64 irqs_off;
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
 * The emulation of @leaf, which was called with interrupts enabled or not, began at
 * @start and left @regs.  Runs with interrupts disabled, like all of it.
 */
void sim_account_seamcall(u16 leaf, bool irqs_enabled, u64 start,
			  const struct tdx_sim_regs *regs)
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
	if (!irqs_enabled)
		account->irqs_off++;
	account->cycles += rdtsc() - start;
}

u64 sim_account_cycles(u16 leaf)
{
	return this_cpu_read(sim_leaf_accounts[leaf].cycles);
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
			sum.irqs_off += READ_ONCE(account->irqs_off);
			sum.cycles += READ_ONCE(account->cycles);
		}
		if (sum.calls)
			seq_printf(m, "host %d calls=%llu interrupted=%llu irqs_off=%llu cycles=%llu\n",
				   leaf, sum.calls, sum.interrupted, sum.irqs_off, sum.cycles);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(leaf_cycles);

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
	debugfs_create_file("last_bundle", 0400, dir, NULL, &last_bundle_fops);
}
