// SPDX-License-Identifier: GPL-2.0-only
/*
 * The software TDX platform in KVM selftests: its counters and knobs.
 */
#include "kvm_util.h"
#include "tdx_sim_util.h"

#define TD_SIM_LEAVES		"/sys/kernel/debug/tdx_sim/leaves"
#define TD_SIM_INTERRUPT_EVERY	"/sys/kernel/debug/tdx_sim/interrupt_every"
#define TD_SIM_BUSY_INTERRUPT_EVERY "/sys/kernel/debug/tdx_sim/busy_interrupt_every"
#define TD_SIM_DIRTY_PAGES	"/sys/kernel/debug/tdx_sim/dirty_pages"
#define TD_SIM_OWNED_PAGES	"/sys/kernel/debug/tdx_sim/owned_pages"
#define TD_SIM_TDS		"/sys/kernel/debug/tdx_sim/tds"
#define TD_SIM_BUSY_LEAF	"/sys/kernel/debug/tdx_sim/busy_leaf"
#define TD_SIM_BUSY_RESUME	"/sys/kernel/debug/tdx_sim/busy_resume"
#define TD_SIM_BUSY_LEFT	"/sys/kernel/debug/tdx_sim/busy_left"
#define TD_SIM_BUSY_ENTRY_EVERY	"/sys/kernel/debug/tdx_sim/busy_entry_every"
#define TD_SIM_BUSY_ENTRY_LEAF	"/sys/kernel/debug/tdx_sim/busy_entry_leaf"

#define NO_END			(-1)

bool td_sim_is_present(void)
{
	return !access(TD_SIM_LEAVES, R_OK);
}

u64 td_sim_count_leaf(unsigned int leaf)
{
	char who[8];
	unsigned int nr;
	u64 calls, ret = 0;
	FILE *f = fopen(TD_SIM_LEAVES, "r");

	if (!f)
		return 0;
	while (fscanf(f, "%7s %u %lu", who, &nr, &calls) == 3) {
		if (!strcmp(who, "host") && nr == leaf)
			ret = calls;
	}
	fclose(f);
	return ret;
}

static void set_knob(const char *path, int n)
{
	FILE *f = fopen(path, "w");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	fprintf(f, "%d\n", n);
	TEST_ASSERT(!fclose(f), "Cannot write %s, errno %d (%s)", path, errno, strerror(errno));
}

void td_sim_interrupt_every(u32 n)
{
	set_knob(TD_SIM_INTERRUPT_EVERY, n);
}

void td_sim_busy_interrupt_every(u32 n)
{
	set_knob(TD_SIM_BUSY_INTERRUPT_EVERY, n);
}

static void set_busy_leaf(unsigned int leaf, bool resume, int times)
{
	set_knob(TD_SIM_INTERRUPT_EVERY, leaf && resume);
	set_knob(TD_SIM_BUSY_RESUME, leaf && resume);
	set_knob(TD_SIM_BUSY_LEFT, times);
	set_knob(TD_SIM_BUSY_LEAF, leaf);
}

void td_sim_busy_leaf(unsigned int leaf)
{
	set_busy_leaf(leaf, false, NO_END);
}

void td_sim_stuck_leaf(unsigned int leaf)
{
	set_busy_leaf(leaf, true, NO_END);
}

void td_sim_busy_leaf_times(unsigned int leaf, int times)
{
	set_busy_leaf(leaf, false, times);
}

void td_sim_stuck_leaf_times(unsigned int leaf, int times)
{
	set_busy_leaf(leaf, true, times);
}

void td_sim_busy_entries(unsigned int leaf, u32 every, int times)
{
	set_knob(TD_SIM_BUSY_ENTRY_LEAF, leaf);
	set_knob(TD_SIM_BUSY_LEFT, times);
	set_knob(TD_SIM_BUSY_ENTRY_EVERY, every);
}

int td_sim_end_busy(void)
{
	FILE *f = fopen(TD_SIM_BUSY_LEFT, "r");
	int left;

	TEST_ASSERT(f && fscanf(f, "%d", &left) == 1, "Cannot read " TD_SIM_BUSY_LEFT);
	fclose(f);
	set_busy_leaf(0, false, NO_END);
	td_sim_busy_entries(0, 0, NO_END);
	return left;
}

static unsigned int count_lines(const char *path, const char *what)
{
	FILE *f = fopen(path, "r");
	unsigned int nr = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		nr += strstr(line, what) && strchr(line, '\n');
	fclose(f);
	return nr;
}

unsigned int td_sim_count_owned_pages(const char *type)
{
	char what[16] = "";

	if (type)
		snprintf(what, sizeof(what), " type=%s ", type);
	return count_lines(TD_SIM_OWNED_PAGES, what);
}

unsigned int td_sim_count_tds(void)
{
	return count_lines(TD_SIM_TDS, "");
}

int td_sim_count_dirty_pages(void)
{
	FILE *f = fopen(TD_SIM_DIRTY_PAGES, "r");
	char line[128];
	int nr = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		pr_info("Dirty page: %s", line);
		nr++;
	}
	fclose(f);
	return nr;
}
