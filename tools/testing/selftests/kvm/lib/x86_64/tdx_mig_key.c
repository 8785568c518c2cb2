// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: session keys.
 *
 * On a real machine the service TDs of both sides agree on them.  The software
 * TDX platform has a knob for tests that do without.
 */
#include "kvm_util.h"
#include "tdx_mig_util.h"

#define TD_SIM_SESSION_KEY	"/sys/kernel/debug/tdx_sim/session_key"
#define TD_SIM_KEY_SIZE		32

void td_mig_install_key(u8 key)
{
	FILE *f = fopen(TD_SIM_SESSION_KEY, "w");
	int i;

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", TD_SIM_SESSION_KEY, errno,
		    strerror(errno));
	for (i = 0; i < TD_SIM_KEY_SIZE; i++)
		fprintf(f, "%02x", key);
	TEST_ASSERT(!fclose(f), "No session key, errno %d (%s)", errno, strerror(errno));
}
