// SPDX-License-Identifier: GPL-2.0
/*
 * Compare two recordings of /proc/allocinfo as init compares those before and after
 * a test.
 */
#define main init_main
#include "../init.c"
#undef main

int main(int argc, char **argv)
{
	int ret;

	if (argc != 3)
		return 2;
	results = stdout;
	leaky_test = "test";
	ret = sites_read(&sites_before, argv[1]);
	if (!ret)
		ret = sites_read(&sites_now, argv[2]);
	if (ret) {
		fail("%s", strerror(-ret));
		return 2;
	}
	return !!sites_compare(&sites_before, &sites_now, report_leak);
}
