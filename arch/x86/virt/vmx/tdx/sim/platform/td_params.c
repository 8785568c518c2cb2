// SPDX-License-Identifier: GPL-2.0
/*
 * What another VMM would have asked for: changes to the TD_PARAMS of TDs.
 *
 * KVM configures all its TDs in one way.  A TD that comes from another host may
 * have been configured in any way that a module accepts, so a test has to be able
 * to make one.  The file td_params takes changes of the form
 *
 *	OFFSET CLEAR SET
 *
 * one a line, for the u32 at byte OFFSET.  They apply to each TDH.MNG.INIT before
 * the module looks at its operand.  Each write replaces all changes, and an empty
 * line means that there are none.
 */
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "metadata.h"
#include "model.h"
#include "platform.h"

#define MAX_CHANGES	16
#define MAX_TEXT	1024

struct change {
	u32 offset, clear, set;
};

struct changes {
	unsigned int nr;
	struct change change[MAX_CHANGES];
};

static struct changes td_params_changes;
/* Taken where a SEAMCALL is emulated. */
static DEFINE_RAW_SPINLOCK(td_params_lock);

void sim_td_params_change(u64 hpa)
{
	const struct changes *changes = &td_params_changes;
	const struct change *change;
	u8 *page;
	u32 *p;

	page = tdx_sim_host_page(hpa);
	if (!page || !IS_ALIGNED(hpa, SIM_TD_PARAMS_SIZE))
		return;

	/* Interrupts are disabled, as in all of the emulation. */
	raw_spin_lock(&td_params_lock);
	for (change = changes->change; change < changes->change + changes->nr; change++) {
		p = (u32 *)(page + (hpa & ~PAGE_MASK) + change->offset);
		*p = (*p & ~change->clear) | change->set;
	}
	raw_spin_unlock(&td_params_lock);
}

static int parse_change(char *line, struct change *change)
{
	u32 *values[] = { &change->offset, &change->clear, &change->set };
	char *word;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		word = strsep(&line, " ");
		if (!word)
			return -EINVAL;
		ret = kstrtou32(word, 0, values[i]);
		if (ret)
			return ret;
	}
	if (line || !IS_ALIGNED(change->offset, sizeof(u32)) ||
	    change->offset >= SIM_TD_PARAMS_SIZE)
		return -EINVAL;
	return 0;
}

static int parse_changes(char *text, struct changes *changes)
{
	char *line;
	int ret;

	while ((line = strsep(&text, "\n"))) {
		line = strim(line);
		if (!*line)
			continue;
		if (changes->nr == MAX_CHANGES)
			return -E2BIG;
		ret = parse_change(line, &changes->change[changes->nr++]);
		if (ret)
			return ret;
	}
	return 0;
}

static ssize_t td_params_write(struct file *file, const char __user *buf, size_t count,
			       loff_t *ppos)
{
	struct changes changes = {};
	char *text;
	int ret;

	if (count > MAX_TEXT)
		return -E2BIG;
	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	ret = parse_changes(text, &changes);
	kfree(text);
	if (ret)
		return ret;

	raw_spin_lock_irq(&td_params_lock);
	td_params_changes = changes;
	raw_spin_unlock_irq(&td_params_lock);
	return count;
}

static int td_params_show(struct seq_file *m, void *unused)
{
	const struct change *change;
	struct changes changes;

	raw_spin_lock_irq(&td_params_lock);
	changes = td_params_changes;
	raw_spin_unlock_irq(&td_params_lock);

	for (change = changes.change; change < changes.change + changes.nr; change++)
		seq_printf(m, "%u 0x%x 0x%x\n", change->offset, change->clear, change->set);
	return 0;
}

static int td_params_open(struct inode *inode, struct file *file)
{
	return single_open(file, td_params_show, inode->i_private);
}

static const struct file_operations td_params_fops = {
	.open = td_params_open,
	.read = seq_read,
	.write = td_params_write,
	.llseek = seq_lseek,
	.release = single_release,
};

void __init sim_td_params_debugfs(struct dentry *dir)
{
	debugfs_create_file("td_params", 0600, dir, NULL, &td_params_fops);
}
