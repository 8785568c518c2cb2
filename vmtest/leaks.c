// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM has allocated, by the place in its source.  With CONFIG_MEM_ALLOC_PROFILING, a
 * line of /proc/allocinfo is
 *	BYTES CALLS FILE:LINE [MODULE] func:FUNCTION [accurate:no]
 * and exact: what is allocated there and not freed.  What could not be counted, for want
 * of memory, is not counted when it is freed, either.  A page of guest_memfd whose
 * reference was leaked counts where it was added to the file, however long that is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leaks.h"

/* Not the software TDX platform, which keeps what it may need again. */
static int is_ours(const char *where)
{
	if (strstr(where, "/tdx/sim/"))
		return 0;

	/* guest_memfd gets most of its pages from the page cache, and bitmaps come from lib. */
	return strstr(where, "arch/x86/kvm/") || strstr(where, "virt/kvm/") ||
	       strstr(where, "arch/x86/virt/vmx/tdx/") || strstr(where, "[kvm") ||
	       !strncmp(where, "mm/filemap.c:", strlen("mm/filemap.c:")) ||
	       !strncmp(where, "lib/bitmap.c:", strlen("lib/bitmap.c:"));
}

/* Leave the name of the place. */
static void trim(char *where)
{
	char *end = strstr(where, " accurate:");

	if (!end)
		end = where + strlen(where);
	while (end > where && end[-1] == ' ')
		end--;
	*end = 0;
}

static struct site *find_site(const struct sites *s, const char *where)
{
	int i;

	for (i = 0; i < s->nr; i++)
		if (!strcmp(s->site[i].where, where))
			return (struct site *)&s->site[i];
	return NULL;
}

int sites_read(struct sites *s, const char *path)
{
	char line[512], where[512];
	long bytes, calls;
	struct site *site;
	int ret = 0;
	FILE *f;

	sites_free(s);
	f = fopen(path, "re");
	if (!f)
		return -errno;

	while (!ret && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%ld %ld %511[^\n]", &bytes, &calls, where) != 3 ||
		    !is_ours(where))
			continue;
		trim(where);

		/* A macro can allocate more than once in a line. */
		site = find_site(s, where);
		if (!site && s->nr < MAX_SITES) {
			site = &s->site[s->nr++];
			*site = (struct site) { .where = strdup(where) };
		}
		if (!site || !site->where) {
			ret = -ENOSPC;
			continue;
		}
		site->bytes += bytes;
		site->calls += calls;
	}
	fclose(f);

	/* Profiling is off, or the kernel has no place of KVM. */
	return ret ? ret : s->nr ? 0 : -ENODATA;
}

int sites_compare(const struct sites *before, const struct sites *now,
		  void (*grown)(const struct site *difference))
{
	const struct site *old;
	struct site diff;
	int i, nr = 0;

	for (i = 0; i < now->nr; i++) {
		diff = now->site[i];
		old = find_site(before, diff.where);
		if (old) {
			diff.bytes -= old->bytes;
			diff.calls -= old->calls;
		}
		if (diff.bytes <= 0)
			continue;
		nr++;
		if (grown)
			grown(&diff);
	}

	return nr;
}

void sites_free(struct sites *s)
{
	while (s->nr)
		free(s->site[--s->nr].where);
}
