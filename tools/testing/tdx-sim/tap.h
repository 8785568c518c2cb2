/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Test Anything Protocol, for one program with one plan.
 */
#ifndef TDX_SIM_TAP_H
#define TDX_SIM_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "env.h"

static unsigned int tap_count, tap_failed;

/* One test; its name is a sentence. */
__printf(2, 3)
static inline bool tap_ok(bool ok, const char *fmt, ...)
{
	va_list args;

	tap_failed += !ok;
	printf("%sok %u - ", ok ? "" : "not ", ++tap_count);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	return ok;
}

/* Two numbers that have to be equal; they are shown when they are not. */
#define tap_equal(got, expected, ...) \
	({ \
		unsigned long long _got = (got), _expected = (expected); \
		bool _ok = tap_ok(_got == _expected, __VA_ARGS__); \
		if (!_ok) \
			printf("# %s:%d: expected %#llx, got %#llx\n", __FILE__, __LINE__, \
			       _expected, _got); \
		_ok; \
	})

static inline int tap_done(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed || !tap_count ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif /* TDX_SIM_TAP_H */
