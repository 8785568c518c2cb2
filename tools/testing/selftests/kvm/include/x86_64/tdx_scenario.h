/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frame of tests that do the same at each point of a scenario, which takes long, or at a
 * few points that are chosen at random.  A program has its cases by SCENARIO(), defines
 * struct scenario and run_scenario() for them, and takes
 *
 *	[-n NUMBER [-s SEED]] [-t SCENARIO]
 *
 * Without -n, it is all points of each scenario, else so many.
 */
#ifndef SELFTEST_KVM_TDX_SCENARIO_H
#define SELFTEST_KVM_TDX_SCENARIO_H

#include "kvm_util.h"
#include "tdx_test.h"

/* Points of a scenario, 0 for all. */
static unsigned int nr_points;
static u64 seed;

/* A case, with the members of its struct scenario. */
#define SCENARIO(_name, ...)							\
TD_TEST(_name)									\
{										\
	static const struct scenario s = { __VA_ARGS__ };			\
										\
	run_scenario(#_name, &s);						\
}

static int run_scenarios(int argc, char *argv[])
{
	return td_run_by_lot(argc, argv, &nr_points, &seed);
}

#endif /* SELFTEST_KVM_TDX_SCENARIO_H */
