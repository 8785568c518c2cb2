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
	char sh[] = "/bin/sh", c[] = "-c";
	char *args[4] = { sh, c };

	if (argc != 2)
		return 1;
	args[2] = argv[1];
	results = stdout;
	run_test("test", 1, args);
	return 0;
}
