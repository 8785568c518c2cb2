/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What must be true of the module's state between two calls, whatever the host
 * asked for.
 */
#ifndef TDX_SIM_INVARIANTS_H
#define TDX_SIM_INVARIANTS_H

#include "machine.h"

/*
 * Look at the pages [begin, end) of the TDMR and all TDs there.  Returns NULL,
 * or what is wrong.  No call may be in progress.
 */
const char *invariants_broken(u64 begin, u64 end);

#endif /* TDX_SIM_INVARIANTS_H */
