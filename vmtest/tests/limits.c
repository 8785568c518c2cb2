// SPDX-License-Identifier: GPL-2.0
/*
 * Run a shell script as init runs a test, with a limit of one second, and print what
 * init reports.
 */
#define main init_main
#include "../init.c"
#undef main

int main(int argc, char **argv)
{
	char *args[] = { "/bin/sh", "-c", argv[1], NULL };

	if (argc != 2)
		return 1;
	results = stdout;
	run_test("test", 1, args);
	return 0;
}
