// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many instructions the kernel takes, without those of the TDX module.
 */
#include <sys/sysinfo.h>

#include "kvm_util.h"
#include "tdx_count.h"

#define NR_EMPTY_SPANS	5

/* Enough for all lines of a program but the symbols. */
#define OUTPUT_SIZE	0x40000

static struct td_sim_trap trap;
static u64 empty_span;
static u64 nr_spans;

static u64 seamcalls_between(const struct td_sim_calls *before, const struct td_sim_calls *after)
{
	u64 nr = 0;
	int i;

	for (i = 0; i < TD_SIM_NR_LEAVES; i++)
		nr += after->calls[i] - before->calls[i] -
		      (after->interrupted[i] - before->interrupted[i]);
	return nr;
}

struct td_count td_span_count(const struct td_span *s, u64 end)
{
	struct td_sim_calls after;
	struct td_count c;

	td_sim_read_calls(&after);
	c.nr = end - s->start - td_sim_cycles_between(&s->before, &after, &trap) - empty_span;
	c.of_span = c.nr;
	c.span = ++nr_spans;
	c.seamcalls = seamcalls_between(&s->before, &after);
	return c;
}

void td_count_init(void)
{
	u64 least = -1UL;
	struct td_span s;
	char *output;
	int i;

	TEST_ASSERT(get_nprocs() == 1, "Other CPUs would be counted, too");

	/*
	 * The console interrupts what comes after a line, so print nothing before the end.
	 * A buffer that is part of the program would be one of the guest as well.
	 */
	output = malloc(OUTPUT_SIZE);
	TEST_ASSERT(output && !setvbuf(stdout, output, _IOFBF, OUTPUT_SIZE), "No output");

	td_sim_read_trap(&trap);
	for (i = 0; i < NR_EMPTY_SPANS; i++) {
		td_span_begin(&s);
		least = min(least, td_span_end(&s).nr);
	}
	empty_span = least;
	printf("# Left out: %lu instructions of a SEAMCALL with interrupts enabled, %lu disabled\n",
	       trap.irqs_on, trap.irqs_off);
}

void td_count_print(const char *what, u64 batch, const struct td_count *c, u64 goal)
{
	printf("count\t%s\t%lu\t%.1f\t%lu\t%lu\t%lu\n", what, batch, (double)c->nr / batch,
	       goal, c->span, c->of_span);
}

void td_count_print_figure(const char *what, u64 batch, double figure, u64 goal)
{
	printf("figure\t%s\t%lu\t%.1f\t%lu\n", what, batch, figure, goal);
}

void td_count_print_hold(const char *what, u64 batch, const struct td_count *c)
{
	printf("hold\t%s\t%lu\t%lu\n", what, batch, c->span);
}

static void print_symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[256];

	TEST_ASSERT(f, "Cannot read the symbols of the kernel");
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[kvm"))
			printf("symbol %s", line);
	}
	fclose(f);
}

void td_count_end(bool symbols)
{
	printf("spans\t%lu\n", nr_spans);
	if (symbols)
		print_symbols();
}
