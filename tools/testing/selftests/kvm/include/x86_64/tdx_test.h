/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frame of the TDX tests: every TD_TEST() is a process and a line of TAP of its
 * own.  Its time limit is for those that hang: a machine may emulate everything, check
 * all that it does and be one of many on a busy host.
 */
#ifndef SELFTEST_KVM_TDX_TEST_H
#define SELFTEST_KVM_TDX_TEST_H

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

__maybe_unused FIXTURE_TEARDOWN(td)
{
}

#define TD_TEST(name) TD_TEST_F(td, name)
/* The same with what a fixture sets up, see tdx_mig_test.h. */
#define TD_TEST_F(fixture, name) TEST_F_TIMEOUT(fixture, name, TD_TEST_TIMEOUT)

/* The call has to fail with this errno. */
#define TD_EXPECT_ERRNO(_errno, _call)						\
do {										\
	const int __expected = (_errno);					\
	int __ret = (_call);							\
										\
	TEST_ASSERT(__ret == -1 && errno == __expected,				\
		    "%s returned %d, errno %d (%s), expected %s",		\
		    #_call, __ret, errno, strerror(errno), #_errno);		\
} while (0)

#endif /* SELFTEST_KVM_TDX_TEST_H */
