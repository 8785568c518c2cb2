// SPDX-License-Identifier: GPL-2.0-only
/*
 * The software TDX platform in KVM selftests: its counters, and its knob for
 * interrupts.
 */
#include "kvm_util.h"
#include "tdx_sim_util.h"

#define TD_SIM_LEAVES		"/sys/kernel/debug/tdx_sim/leaves"
#define TD_SIM_INTERRUPT_EVERY	"/sys/kernel/debug/tdx_sim/interrupt_every"

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

void td_sim_interrupt_every(u32 n)
{
	FILE *f = fopen(TD_SIM_INTERRUPT_EVERY, "w");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", TD_SIM_INTERRUPT_EVERY, errno,
		    strerror(errno));
	fprintf(f, "%u\n", n);
	TEST_ASSERT(!fclose(f), "Cannot write %s, errno %d (%s)", TD_SIM_INTERRUPT_EVERY,
		    errno, strerror(errno));
}
