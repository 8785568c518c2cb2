// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: what tests assert on, and knobs.
 *
 *   leaves		calls of each leaf since boot
 *   tds		one line for each live TD
 *   td_leaves		calls of each leaf, by TD
 *   owned_pages		every page that has an owner, according to the PAMT
 *   dirty_pages		every free page with cache lines under a private KeyID
 *   interrupt_every	every n-th interrupt poll of a leaf finds one pending
 *   busy_interrupt_every
 *			every n-th entry of a memory bundle finds another call waiting
 *   busy_leaf		a SEAMCALL leaf that returns OPERAND_BUSY and does nothing
 *   busy_resume		1 restricts that to calls that resume a migration leaf
 *   busy_every		n restricts that to every n-th of these calls
 *   busy_entry_every	every n-th lock of an S-EPT entry by the host finds it taken
 *   busy_entry_leaf	restricts that to a SEAMCALL leaf
 *   busy_left		how often these still apply, -1 for ever
 *   null_cipher	1 makes bundles cost no encryption, nor protect anything
 *   td_params		what other VMMs would ask for, see td_params.c
 *   ept_levels		4, or 5 for a processor whose TDs may have five levels
 *   profile		version of the module, which an import may find to be another
 *
 * See account.c and trap.c for what benchmarks read, and fail.c for fault injection.
 *
 * Nothing here takes a lock of the model, which would make the host meet a BUSY
 * that no module returns: what is shown may be in the middle of a change.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "model.h"
#include "platform.h"

/* The pages of all TDMRs have consecutive numbers. */
static u64 page_of_number(u64 number)
{
	const struct sim_tdmr *t;
	unsigned int i;

	for (i = 0; i < sim_module.nr_tdmrs; i++) {
		t = &sim_module.tdmr[i];
		if (number < t->size >> SIM_PAGE_SHIFT)
			return t->base + (number << SIM_PAGE_SHIFT);
		number -= t->size >> SIM_PAGE_SHIFT;
	}
	return U64_MAX;
}

/* Entry that describes the page at @hpa, if a page starts there. */
static struct pamt_entry *owned_page(u64 hpa, int *level)
{
	struct pamt_entry *pe;

	for (*level = SIM_NR_PAMT_LEVELS - 1; *level >= 0; (*level)--) {
		if (!IS_ALIGNED(hpa, SIM_LEVEL_SIZE(*level)))
			continue;
		pe = sim_pamt_level(hpa, *level);
		if (pe && READ_ONCE(pe->type) != PT_NDA && pe->type != PT_RSVD)
			return pe;
	}
	return NULL;
}

static bool is_owned(u64 hpa)
{
	int level;

	return owned_page(hpa, &level);
}

static bool is_dirty(u64 hpa)
{
	struct sim_dirty dirty;

	return sim_cache_dirty(hpa, &dirty);
}

/* The next page at or after number *@pos that @wanted() is true for. */
static void *next_page(loff_t *pos, bool (*wanted)(u64 hpa))
{
	u64 hpa;

	for (;; (*pos)++) {
		hpa = page_of_number(*pos);
		if (hpa == U64_MAX)
			return NULL;
		if (wanted(hpa))
			return pos;
	}
}

static void *owned_pages_start(struct seq_file *m, loff_t *pos)
{
	return next_page(pos, is_owned);
}

static void *owned_pages_next(struct seq_file *m, void *v, loff_t *pos)
{
	(*pos)++;
	return next_page(pos, is_owned);
}

static void pages_stop(struct seq_file *m, void *v)
{
}

static const char *page_type_name(u8 type)
{
	switch (type) {
	case PT_REG:
		return "REG";
	case PT_TDR:
		return "TDR";
	case PT_TDCX:
		return "TDCX";
	case PT_TDVPR:
		return "TDVPR";
	case PT_EPT:
		return "EPT";
	default:
		return "?";
	}
}

static int owned_pages_show(struct seq_file *m, void *v)
{
	u64 hpa = page_of_number(*(loff_t *)v);
	struct pamt_entry *pe;
	int level;

	pe = owned_page(hpa, &level);
	if (pe)
		seq_printf(m, "hpa=0x%llx level=%d type=%s tdr=0x%llx\n", hpa, level,
			   page_type_name(pe->type),
			   pe->type == PT_TDR ? hpa : sim_pamt_owner(pe));
	return 0;
}

static const struct seq_operations owned_pages_sops = {
	.start = owned_pages_start,
	.next = owned_pages_next,
	.stop = pages_stop,
	.show = owned_pages_show,
};
DEFINE_SEQ_ATTRIBUTE(owned_pages);

static void *dirty_pages_start(struct seq_file *m, loff_t *pos)
{
	return next_page(pos, is_dirty);
}

static void *dirty_pages_next(struct seq_file *m, void *v, loff_t *pos)
{
	(*pos)++;
	return next_page(pos, is_dirty);
}

static int dirty_pages_show(struct seq_file *m, void *v)
{
	u64 hpa = page_of_number(*(loff_t *)v);
	struct sim_dirty dirty;

	if (sim_cache_dirty(hpa, &dirty))
		seq_printf(m, "hpa=0x%llx keyid=%u leaf=%u\n", hpa, dirty.keyid, dirty.leaf);
	return 0;
}

static const struct seq_operations dirty_pages_sops = {
	.start = dirty_pages_start,
	.next = dirty_pages_next,
	.stop = pages_stop,
	.show = dirty_pages_show,
};
DEFINE_SEQ_ATTRIBUTE(dirty_pages);

/* The next TDR at or after page number *@number; TDCS is NULL while incomplete. */
static bool next_td(u64 *number, struct sim_td *td)
{
	struct pamt_entry *pe;
	u64 hpa;

	for (;; (*number)++) {
		hpa = page_of_number(*number);
		if (hpa == U64_MAX)
			return false;
		pe = sim_pamt(hpa);
		if (pe && READ_ONCE(pe->type) == PT_TDR)
			break;
	}

	memset(td, 0, sizeof(*td));
	td->tdr_pa = hpa;
	td->tdr = sim_ptr(hpa);
	if (td->tdr->num_tdcx >= SIM_MIN_TDCX) {
		td->tdcs = sim_ptr(td->tdr->tdcx_pa[TDCX_TDCS]);
		td->cpuid = sim_ptr(td->tdr->tdcx_pa[TDCX_CPUID]);
	}
	return true;
}

static int tds_show(struct seq_file *m, void *unused)
{
	const struct tdcs *tdcs;
	struct sim_td td;
	u64 number;

	for (number = 0; next_td(&number, &td); number++) {
		seq_printf(m, "hkid=%u tdr=0x%llx lifecycle=%u fatal=%u children=%llu",
			   td.tdr->hkid, td.tdr_pa, td.tdr->lifecycle, td.tdr->fatal,
			   td.tdr->chldcnt);
		tdcs = td.tdcs;
		if (tdcs) {
			seq_printf(m, " op_state=%u vcpus=%u assoc_vcpus=%u migrated_vcpus=%u",
				   tdcs->op_state, tdcs->num_vcpus, tdcs->num_assoc_vcpus,
				   tdcs->num_migrated_vcpus);
			seq_printf(m, " num_migs=%u mig_count=%llu dirty_count=%llu mig_epoch=%u",
				   tdcs->num_migs, tdcs->mig_count, tdcs->dirty_count,
				   tdcs->mig_epoch);
			seq_printf(m, " export_count=%u import_count=%u dec_key_set=%u",
				   tdcs->export_count, tdcs->import_count,
				   tdcs->mig_dec_key_set);
			seq_printf(m, " td_epoch=%llu bytes_exported=%llu bytes_imported=%llu",
				   tdcs->epoch.td_epoch, td.cpuid->bytes_exported,
				   td.cpuid->bytes_imported);
		}
		seq_putc(m, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(tds);

static int td_leaves_show(struct seq_file *m, void *unused)
{
	struct sim_td td;
	u64 number;
	int i;

	for (number = 0; next_td(&number, &td); number++) {
		if (!td.cpuid)
			continue;
		for (i = 0; i < ARRAY_SIZE(td.cpuid->host_calls); i++) {
			if (td.cpuid->host_calls[i])
				seq_printf(m, "hkid=%u host %d %u\n", td.tdr->hkid, i,
					   td.cpuid->host_calls[i]);
		}
		for (i = 0; i < ARRAY_SIZE(td.cpuid->guest_calls); i++) {
			if (td.cpuid->guest_calls[i])
				seq_printf(m, "hkid=%u guest %d %u\n", td.tdr->hkid, i,
					   td.cpuid->guest_calls[i]);
		}
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(td_leaves);

static int leaves_show(struct seq_file *m, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sim_module.host_calls); i++) {
		if (sim_module.host_calls[i])
			seq_printf(m, "host %d %llu\n", i, sim_module.host_calls[i]);
	}
	for (i = 0; i < ARRAY_SIZE(sim_module.guest_calls); i++) {
		if (sim_module.guest_calls[i])
			seq_printf(m, "guest %d %llu\n", i, sim_module.guest_calls[i]);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(leaves);

static bool in_session(const struct tdcs *tdcs)
{
	return tdcs->op_state >= OP_LIVE_EXPORT;
}

static int null_cipher_get(void *unused, u64 *on)
{
	*on = sim_env_null_cipher();
	return 0;
}

/* A key that is in use is used with the cipher that the session began with. */
static int null_cipher_set(void *unused, u64 on)
{
	struct sim_td td;
	u64 number;

	if (on > 1)
		return -EINVAL;
	for (number = 0; next_td(&number, &td); number++) {
		if (td.tdcs && in_session(td.tdcs))
			return -EBUSY;
	}
	sim_env_set_null_cipher(on);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(null_cipher_fops, null_cipher_get, null_cipher_set, "%llu\n");

static int ept_levels_get(void *unused, u64 *levels)
{
	*levels = sim_module.platform.ept_levels ?: 4;
	return 0;
}

static int ept_levels_set(void *unused, u64 levels)
{
	if (levels != 4 && levels != 5)
		return -EINVAL;
	WRITE_ONCE(sim_module.platform.ept_levels, levels);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(ept_levels_fops, ept_levels_get, ept_levels_set, "%llu\n");

static int profile_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%s\n", sim_profile()->name);
	return 0;
}

static int profile_open(struct inode *inode, struct file *file)
{
	return single_open(file, profile_show, NULL);
}

/* Whoever changes it knows what is going on meanwhile. */
static ssize_t profile_write(struct file *file, const char __user *buf, size_t count,
			     loff_t *ppos)
{
	const struct tdx_sim_profile *profile;
	char name[16] = {};

	if (count >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, buf, count))
		return -EFAULT;
	profile = tdx_sim_find_profile(strim(name));
	if (!profile)
		return -EINVAL;
	WRITE_ONCE(sim_module.platform.profile, profile);
	return count;
}

static const struct file_operations profile_fops = {
	.owner = THIS_MODULE,
	.open = profile_open,
	.read = seq_read,
	.write = profile_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init sim_debugfs_init(void)
{
	struct dentry *dir;

	if (!sim_platform_enabled())
		return 0;

	dir = debugfs_create_dir("tdx_sim", NULL);
	debugfs_create_file("leaves", 0400, dir, NULL, &leaves_fops);
	debugfs_create_file("tds", 0400, dir, NULL, &tds_fops);
	debugfs_create_file("td_leaves", 0400, dir, NULL, &td_leaves_fops);
	debugfs_create_file("owned_pages", 0400, dir, NULL, &owned_pages_fops);
	debugfs_create_file("dirty_pages", 0400, dir, NULL, &dirty_pages_fops);
	debugfs_create_file("null_cipher", 0600, dir, NULL, &null_cipher_fops);
	debugfs_create_file("ept_levels", 0600, dir, NULL, &ept_levels_fops);
	debugfs_create_file("profile", 0600, dir, NULL, &profile_fops);
	sim_td_params_debugfs(dir);
	sim_account_debugfs(dir);
	sim_trap_debugfs(dir);
	sim_env_debugfs(dir);
	sim_fail_debugfs();
	return 0;
}
late_initcall(sim_debugfs_init);
