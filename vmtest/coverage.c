// SPDX-License-Identifier: GPL-2.0
/*
 * Copy what the kernel has counted for gcov to a folder of the host, that with the tag
 * "coverage".  Runs as the last test of a machine, when KVM's vendor module is gone: what
 * it has counted is kept, so that its end counts as well.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FROM	"/sys/kernel/debug/gcov"
#define TO	"/tmp/coverage"

static int nr_copied;

static void copy_file(const char *from, const char *to)
{
	static char buf[1 << 16];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n;

	if (in < 0)
		err(EXIT_FAILURE, "%s", from);
	if (out < 0)
		err(EXIT_FAILURE, "%s", to);
	while ((n = read(in, buf, sizeof(buf))) > 0) {
		if (write(out, buf, n) != n)
			err(EXIT_FAILURE, "%s", to);
	}
	if (n < 0)
		err(EXIT_FAILURE, "%s", from);
	close(in);
	if (close(out))
		err(EXIT_FAILURE, "%s", to);
	nr_copied++;
}

/* Beside the counts there are links to the notes of the compiler, and a file to reset all. */
static int copy(const char *from, const struct stat *st, int type, struct FTW *ftw)
{
	const char *below = from + strlen(FROM), *suffix = strrchr(from, '.');
	char to[PATH_MAX];

	(void)st;
	(void)ftw;
	snprintf(to, sizeof(to), TO "%s", below);
	if (type == FTW_D && mkdir(to, 0755) && errno != EEXIST)
		err(EXIT_FAILURE, "%s", to);
	if (type == FTW_F && suffix && !strcmp(suffix, ".gcda"))
		copy_file(from, to);
	return 0;
}

int main(void)
{
	mkdir(TO, 0755);
	if (mount("coverage", TO, "9p", 0, "trans=virtio,version=9p2000.L,msize=262144"))
		err(EXIT_FAILURE, "the folder of the host");
	if (nftw(FROM, copy, 16, FTW_PHYS))
		err(EXIT_FAILURE, FROM);
	if (!nr_copied)
		errx(EXIT_FAILURE, "this kernel counts nothing");
	if (umount(TO))
		err(EXIT_FAILURE, TO);
	return EXIT_SUCCESS;
}
