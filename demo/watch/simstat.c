// SPDX-License-Identifier: GPL-2.0
/*
 * The counters are in debugfs, one line per leaf: who called it, its number and
 * the number of calls.
 */
#include <stdio.h>
#include <string.h>

#include "simstat.h"

#define SIMSTAT_FILE		"/sys/kernel/debug/tdx_sim/leaves"

static const char * const names[SIMSTAT_NR_LEAVES] = {
	[0]	= "VP.ENTER",
	[1]	= "MNG.ADDCX",
	[2]	= "MEM.PAGE.ADD",
	[3]	= "MEM.SEPT.ADD",
	[4]	= "VP.ADDCX",
	[6]	= "MEM.PAGE.AUG",
	[7]	= "MEM.RANGE.BLOCK",
	[8]	= "MNG.KEY.CONFIG",
	[9]	= "MNG.CREATE",
	[10]	= "VP.CREATE",
	[11]	= "MNG.RD",
	[16]	= "MR.EXTEND",
	[17]	= "MR.FINALIZE",
	[18]	= "VP.FLUSH",
	[19]	= "MNG.VPFLUSHDONE",
	[20]	= "MNG.KEY.FREEID",
	[21]	= "MNG.INIT",
	[22]	= "VP.INIT",
	[26]	= "VP.RD",
	[28]	= "PHYMEM.PAGE.RECLAIM",
	[29]	= "MEM.PAGE.REMOVE",
	[34]	= "SYS.RD",
	[38]	= "MEM.TRACK",
	[40]	= "PHYMEM.CACHE.WB",
	[41]	= "PHYMEM.PAGE.WBINVD",
	[43]	= "VP.WR",
	[48]	= "SERVTD.BIND",
	[64]	= "EXPORT.ABORT",
	[65]	= "EXPORT.BLOCKW",
	[66]	= "EXPORT.RESTORE",
	[68]	= "EXPORT.MEM",
	[70]	= "EXPORT.PAUSE",
	[71]	= "EXPORT.TRACK",
	[72]	= "EXPORT.STATE.IMMUTABLE",
	[73]	= "EXPORT.STATE.TD",
	[74]	= "EXPORT.STATE.VP",
	[75]	= "EXPORT.UNBLOCKW",
	[80]	= "IMPORT.ABORT",
	[81]	= "IMPORT.END",
	[82]	= "IMPORT.COMMIT",
	[83]	= "IMPORT.MEM",
	[84]	= "IMPORT.TRACK",
	[85]	= "IMPORT.STATE.IMMUTABLE",
	[86]	= "IMPORT.STATE.TD",
	[87]	= "IMPORT.STATE.VP",
	[96]	= "MIG.STREAM.CREATE",
};

const char *simstat_leaf_name(u32 leaf)
{
	return leaf < SIMSTAT_NR_LEAVES ? names[leaf] : NULL;
}

void simstat_read(struct simstat *stat)
{
	FILE *f = fopen(SIMSTAT_FILE, "r");
	unsigned long long calls;
	unsigned int leaf;
	char line[64];

	memset(stat, 0, sizeof(*stat));
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "host %u %llu", &leaf, &calls) == 2 && leaf < SIMSTAT_NR_LEAVES)
			stat->calls[leaf] = calls;
	}
	fclose(f);
}

void simstat_subtract(struct simstat *now, const struct simstat *before)
{
	u32 i;

	for (i = 0; i < SIMSTAT_NR_LEAVES; i++)
		now->calls[i] -= before->calls[i];
}
