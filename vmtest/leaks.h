/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What KVM has allocated, by the place in its source, as /proc/allocinfo tells.
 */
#ifndef VMTEST_LEAKS_H
#define VMTEST_LEAKS_H

#define MAX_SITES	2048

/* A place, as the kernel names it, and what it has allocated and not freed. */
struct site {
	char *where;
	long bytes, calls;
};

struct sites {
	struct site site[MAX_SITES];
	int nr;
};

/* Read all places from @path.  Returns 0, or a negative errno. */
int sites_read(struct sites *s, const char *path);
/*
 * Call @grown for each place that has more in @now than in @before, with the
 * difference.  Returns their number.
 */
int sites_compare(const struct sites *before, const struct sites *now,
		  void (*grown)(const struct site *difference));
void sites_free(struct sites *s);

#endif /* VMTEST_LEAKS_H */
