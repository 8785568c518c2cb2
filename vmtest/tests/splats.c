// SPDX-License-Identifier: GPL-2.0
/*
 * Print those lines of stdin in which init sees what no kernel may say, by the list
 * that is the argument.
 */
#define main init_main
#include "../init.c"
#undef main

int main(int argc, char **argv)
{
	char line[LINE_LEN];

	if (argc != 2)
		return 1;
	results = stdout;
	read_splats(argv[1]);
	while (fgets(line, sizeof(line), stdin))
		if (is_splat(line))
			fputs(line, stdout);
	return failed;
}
