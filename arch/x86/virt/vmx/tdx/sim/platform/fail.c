// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection: a SEAMCALL fails as the real module may at any time, whatever the
 * host does right.
 *
 * fail_seamcall is an attribute like failslab and fail_page_alloc: each SEAMCALL that
 * can fail is a point, so that /proc/self/fail-nth counts allocations and SEAMCALLs of a
 * task in the order in which it gets to them.  Its own knobs are in the same folder:
 *
 *   leaf	the only leaf that fails; 0 for all
 *   status	the only status, as in RAX; 0 for all that the leaf can return
 *   variant	which of these it is to be, modulo their number; by default, they
 *		take turns
 *   repeat	number of calls in a row of the same leaf and task that fail, if the leaf
 *		can fail so often
 *   last	LEAF VARIANTS STATUS of the last call that failed: how many statuses there
 *		were to choose from, and what the leaf has returned.  A write forgets
 *		that, and what is left of the repetitions.
 *
 * A call that fails does not get to the module.  An interruption does: the module
 * decides by itself where it stops, and does not if there is nothing to interrupt.
 */
#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "leaves.h"
#include "platform.h"

/*
 * Others that have locks of the module: vCPUs and service TDs, by their TDCALLs, and the
 * SEAMCALLs of other TDs and CPUs.
 */
#define CAN_BE_BUSY		BIT(0)
/* A host interrupt, or another call that waits for the Secure EPT. */
#define CAN_BE_INTERRUPTED	BIT(1)
#define CAN_GIVE_WAY		BIT(2)
#define CAN_LACK_ENTROPY	BIT(3)
#define NR_WAYS			4

struct fail_leaf {
	u8 ways;
	/* What is busy. */
	u8 operand;
	/* Not again, for a host that has excluded all others in the meantime. */
	bool once;
};

#define BUSY(_operand)		{ CAN_BE_BUSY, _operand }
/* The lock is contended by calls of the host alone. */
#define BUSY_ONCE(_operand)	{ CAN_BE_BUSY, _operand, true }

/*
 * Leaves that are not here do not fail while the host keeps to the rules: those that set
 * up the module or shut it down; TDH.MEM.TRACK, before which KVM kicks the vCPUs; and
 * TDH.VP.ENTER, which is not a call that a VMM makes to get something done.
 */
static const struct fail_leaf fail_leaves[SIM_NR_LEAVES] = {
	[LEAF_MNG_ADDCX] = { CAN_BE_BUSY | CAN_LACK_ENTROPY, OPND_TDR },
	[LEAF_MEM_PAGE_ADD] = BUSY(OPND_SEPT_TREE),
	[LEAF_MEM_SEPT_ADD] = BUSY(OPND_SEPT_TREE),
	[LEAF_VP_ADDCX] = BUSY(OPND_TDVPR),
	[LEAF_MEM_PAGE_AUG] = BUSY(OPND_SEPT_ENTRY),
	[LEAF_MEM_RANGE_BLOCK] = BUSY(OPND_SEPT_ENTRY),
	[LEAF_MNG_KEY_CONFIG] = BUSY(OPND_TDR),
	[LEAF_MNG_CREATE] = { CAN_LACK_ENTROPY },
	[LEAF_VP_CREATE] = BUSY(OPND_TDR),
	[LEAF_MNG_RD] = BUSY(OPND_OP_STATE),
	[LEAF_MR_EXTEND] = BUSY(OPND_OP_STATE),
	[LEAF_MR_FINALIZE] = BUSY(OPND_OP_STATE),
	[LEAF_VP_FLUSH] = BUSY(OPND_TDR),
	[LEAF_MNG_VPFLUSHDONE] = BUSY(OPND_TDR),
	[LEAF_MNG_KEY_FREEID] = BUSY(OPND_TDR),
	[LEAF_MNG_INIT] = BUSY(OPND_TDR),
	[LEAF_VP_INIT] = BUSY(OPND_TDR),
	[LEAF_VP_RD] = BUSY_ONCE(OPND_OP_STATE),
	[LEAF_PHYMEM_PAGE_RECLAIM] = BUSY(OPND_TDR),
	[LEAF_MEM_PAGE_REMOVE] = BUSY(OPND_SEPT_ENTRY),
	[LEAF_PHYMEM_CACHE_WB] = { CAN_BE_INTERRUPTED },
	[LEAF_VP_WR] = BUSY_ONCE(OPND_OP_STATE),
	[LEAF_SERVTD_BIND] = BUSY(OPND_SERVTD_BINDINGS),
	[LEAF_SERVTD_PREBIND] = BUSY(OPND_SERVTD_BINDINGS),
	[LEAF_EXPORT_ABORT] = BUSY(OPND_OP_STATE),
	[LEAF_EXPORT_BLOCKW] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_SEPT_TREE },
	[LEAF_EXPORT_RESTORE] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_SEPT_TREE },
	[LEAF_EXPORT_MEM] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED | CAN_GIVE_WAY, OPND_SEPT_TREE },
	[LEAF_EXPORT_PAUSE] = BUSY(OPND_OP_STATE),
	[LEAF_EXPORT_TRACK] = BUSY(OPND_MIG),
	[LEAF_EXPORT_STATE_IMMUTABLE] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED | CAN_LACK_ENTROPY,
					  OPND_OP_STATE },
	[LEAF_EXPORT_STATE_TD] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_MIG },
	[LEAF_EXPORT_STATE_VP] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_MIGSC },
	[LEAF_EXPORT_UNBLOCKW] = BUSY(OPND_SEPT_ENTRY),
	[LEAF_IMPORT_ABORT] = BUSY(OPND_OP_STATE),
	[LEAF_IMPORT_END] = BUSY(OPND_OP_STATE),
	[LEAF_IMPORT_COMMIT] = BUSY(OPND_OP_STATE),
	[LEAF_IMPORT_MEM] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED | CAN_GIVE_WAY, OPND_SEPT_TREE },
	[LEAF_IMPORT_TRACK] = BUSY(OPND_OP_STATE),
	[LEAF_IMPORT_STATE_IMMUTABLE] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_OP_STATE },
	[LEAF_IMPORT_STATE_TD] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_OP_STATE },
	[LEAF_IMPORT_STATE_VP] = { CAN_BE_BUSY | CAN_BE_INTERRUPTED, OPND_MIGSC },
	[LEAF_MIG_STREAM_CREATE] = BUSY(OPND_OP_STATE),
};

static DECLARE_FAULT_ATTR(fail_seamcall);

static u32 fail_leaf;
static u64 fail_status;
static u32 fail_variant = U32_MAX;
static u32 fail_repeat = 1;
static atomic_t fail_turn;

/*
 * A leaf that goes on failing.  Only the task that it fails for changes that; others
 * compare the pointer, which is used for nothing else.
 */
static struct {
	struct task_struct *task;
	u16 leaf;
	u8 way;
	u32 left;
} fail_again;

static u16 last_leaf;
static u8 last_variants;
static u64 last_status;

/* The way in which the current call of the CPU is to be ended early. */
static DEFINE_PER_CPU(u8, sim_fail_way);

static u64 status_of(u16 leaf, u8 way)
{
	switch (way) {
	case CAN_BE_BUSY:
		return SIM_OPERAND_BUSY | fail_leaves[leaf].operand;
	case CAN_BE_INTERRUPTED:
		return SIM_INTERRUPTED_RESUMABLE;
	case CAN_GIVE_WAY:
		return SIM_INTERRUPTED_BUSY;
	default:
		return SIM_RND_NO_ENTROPY;
	}
}

static u64 without_detail(u64 status)
{
	return status & ~(u64)U32_MAX;
}

/* The ways in which a leaf can fail, as the knobs restrict them. */
static u8 ways_of(u16 leaf)
{
	u64 status = READ_ONCE(fail_status);
	u32 only = READ_ONCE(fail_leaf);
	u8 way, ways = 0;

	if (leaf >= ARRAY_SIZE(fail_leaves) || (only && leaf != only))
		return 0;

	for (way = 1; way < BIT(NR_WAYS); way <<= 1) {
		if (fail_leaves[leaf].ways & way &&
		    (!status || without_detail(status_of(leaf, way)) == without_detail(status)))
			ways |= way;
	}
	return ways;
}

static u8 choose_way(u8 ways)
{
	u32 variant = READ_ONCE(fail_variant);

	if (variant == U32_MAX)
		variant = (u32)atomic_inc_return(&fail_turn) - 1;

	for (variant %= hweight8(ways); variant; variant--)
		ways &= ways - 1;
	return ways & -ways;
}

static bool goes_on_failing(u16 leaf, u8 *way)
{
	if (!in_task() || READ_ONCE(fail_again.task) != current || fail_again.leaf != leaf)
		return false;

	*way = fail_again.way;
	if (!--fail_again.left)
		WRITE_ONCE(fail_again.task, NULL);
	return true;
}

static bool begins_to_fail(u16 leaf, u8 *way)
{
	u8 ways = ways_of(leaf);

	if (!ways || !should_fail(&fail_seamcall, 1))
		return false;

	*way = choose_way(ways);
	last_leaf = leaf;
	last_variants = hweight8(ways);
	if (in_task() && READ_ONCE(fail_repeat) > 1 && !fail_leaves[leaf].once) {
		fail_again.leaf = leaf;
		fail_again.way = *way;
		fail_again.left = fail_repeat - 1;
		WRITE_ONCE(fail_again.task, current);
	}
	return true;
}

bool sim_fail_begin(u16 leaf, u64 *status)
{
	u8 way;

	if (!goes_on_failing(leaf, &way) && !begins_to_fail(leaf, &way))
		return false;

	this_cpu_write(sim_fail_way, way);
	*status = status_of(leaf, way);
	return way != CAN_BE_INTERRUPTED && way != CAN_GIVE_WAY;
}

void sim_fail_end(u64 status)
{
	if (!this_cpu_read(sim_fail_way))
		return;

	this_cpu_write(sim_fail_way, 0);
	WRITE_ONCE(last_status, status);
}

bool sim_fail_by_interrupt(void)
{
	return this_cpu_read(sim_fail_way) == CAN_BE_INTERRUPTED;
}

bool sim_fail_by_giving_way(void)
{
	return this_cpu_read(sim_fail_way) == CAN_GIVE_WAY;
}

static int last_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%u %u 0x%llx\n", last_leaf, last_variants, READ_ONCE(last_status));
	return 0;
}

static int last_open(struct inode *inode, struct file *file)
{
	return single_open(file, last_show, NULL);
}

static ssize_t last_write(struct file *file, const char __user *buf, size_t len, loff_t *ppos)
{
	WRITE_ONCE(fail_again.task, NULL);
	last_leaf = 0;
	last_variants = 0;
	WRITE_ONCE(last_status, 0);
	return len;
}

static const struct file_operations last_fops = {
	.owner = THIS_MODULE,
	.open = last_open,
	.read = seq_read,
	.write = last_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void sim_fail_debugfs(void)
{
	struct dentry *dir = fault_create_debugfs_attr("fail_seamcall", NULL, &fail_seamcall);

	if (IS_ERR(dir))
		return;

	debugfs_create_u32("leaf", 0600, dir, &fail_leaf);
	debugfs_create_x64("status", 0600, dir, &fail_status);
	debugfs_create_u32("variant", 0600, dir, &fail_variant);
	debugfs_create_u32("repeat", 0600, dir, &fail_repeat);
	debugfs_create_file("last", 0600, dir, NULL, &last_fops);
}
