/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frame of the TDX tests: every TD_TEST() is a process and a line of TAP of its
 * own.  Its time limit is for those that hang: a machine may emulate everything, check
 * all that it does and be one of many on a busy host.
 */
#ifndef SELFTEST_KVM_TDX_TEST_H
#define SELFTEST_KVM_TDX_TEST_H

#include <sys/random.h>

#include "kvm_test_harness.h"
#include "kvm_util.h"
#include "tdx_util.h"

#define TD_TEST_TIMEOUT		1800

FIXTURE(td) {
	int unused;
};

/* Not every program has a case without a fixture. */
__maybe_unused FIXTURE_SETUP(td)
{
}

/* An attribute of the macro would be that of another declaration. */
static __maybe_unused typeof(td_setup) td_teardown;
FIXTURE_TEARDOWN(td)
{
}

#define TD_TEST(name) TD_TEST_F(td, name)
/* The same with what a fixture sets up, see tdx_mig_test.h. */
#define TD_TEST_F(fixture, name) TEST_F_TIMEOUT(fixture, name, TD_TEST_TIMEOUT)

/*
 * The end of main() of a program that tries many things: -n NUMBER for so many of them,
 * chosen by -s SEED, or, without -n, as many as @nr says.  -t CASE is for one case.
 */
static __maybe_unused int td_run_by_lot(int argc, char *argv[], unsigned int *nr, u64 *seed)
{
	char *only = NULL, *harness[4] = {};
	int opt;

	while ((opt = getopt(argc, argv, "n:s:t:")) != -1) {
		if (opt == 'n')
			*nr = strtoul(optarg, NULL, 0);
		else if (opt == 's')
			*seed = strtoull(optarg, NULL, 0);
		else if (opt == 't')
			only = optarg;
		else
			TEST_FAIL("Usage: %s [-n NUMBER] [-s SEED] [-t CASE]", argv[0]);
	}
	/* 0 is not the start of any sequence. */
	while (!*seed)
		TEST_ASSERT_EQ(getrandom(seed, sizeof(*seed), 0), sizeof(*seed));
	printf("# Number %u, seed 0x%lx\n", *nr, *seed);

	/* The harness takes the name alone. */
	optind = 1;
	harness[0] = argv[0];
	harness[1] = "-t";
	harness[2] = only;
	return test_harness_run(only ? 3 : 1, harness);
}

#endif /* SELFTEST_KVM_TDX_TEST_H */
