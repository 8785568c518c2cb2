// SPDX-License-Identifier: GPL-2.0
/*
 * Running a compiled test.  The block that a test starts with, usually the
 * bring-up of the module, is run once and its outcome kept as a snapshot.
 */
#include <stdarg.h>
#include <signal.h>
#include <unistd.h>

#include "trace.h"

/* Addresses of traces may carry a KeyID above these bits. */
#define HPA_MASK	GENMASK_ULL(45, 0)
#define FIRST_PAGE	(MACHINE_TDMR_BASE + 0x10000)
/* No test takes a fraction of it. */
#define TEST_SECONDS	60

static struct {
	const struct trace_code *code;
	struct trace_symbols symbols;
	u64 next_page, next_hpage;
} snapshot;

/* Values chosen by the replayer. */
static const struct {
	const char *name;
	u64 value;
} predefined[] = {
	{ "TDMR", MACHINE_TDMR_BASE },
	{ "PAMT_1G", MACHINE_PAMT_1G },
	{ "PAMT_2M", MACHINE_PAMT_2M },
	{ "PAMT_4K", MACHINE_PAMT_4K },
	{ "OUTSIDE", MACHINE_OUTSIDE },
	{ "NOTCONV", MACHINE_NOTCONV },
};

static sigjmp_buf crash;
static volatile sig_atomic_t crash_signal;
static const struct trace_step *volatile current_step;

bool trace_fail(struct trace_run *run, const char *what, const char *expected, const char *got)
{
	struct trace_failure *f = &run->failure;

	if (f->step)
		return false;
	f->step = current_step;
	snprintf(f->what, sizeof(f->what), "%s", what);
	snprintf(f->expected, sizeof(f->expected), "%s", expected);
	snprintf(f->got, sizeof(f->got), "%s", got);
	return false;
}

bool trace_fail_u64(struct trace_run *run, const char *what, u64 expected, u64 got)
{
	char e[32], g[32];

	snprintf(e, sizeof(e), "%#llx", expected);
	snprintf(g, sizeof(g), "%#llx", got);
	return trace_fail(run, what, e, g);
}

bool trace_bad(struct trace_run *run, const char *fmt, ...)
{
	char text[TRACE_MAX_VALUE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	trace_fail(run, "step", "to be possible", text);
	run->failure.malformed = true;
	return false;
}

void trace_define(struct trace_run *run, unsigned int symbol, u64 value)
{
	run->symbols.values[symbol] = value;
	run->symbols.defined[symbol] = true;
}

bool trace_memory(struct trace_run *run, u64 addr, u64 len, u8 **p)
{
	*p = machine_memory(addr & HPA_MASK, len);
	return *p || trace_bad(run, "no memory at %#llx, length %#llx", addr, len);
}

static void allocate_symbols(struct trace_symbols *symbols, unsigned int n)
{
	symbols->values = trace_alloc(n * sizeof(*symbols->values));
	symbols->defined = trace_alloc(n * sizeof(*symbols->defined));
	symbols->keys = trace_alloc(n * sizeof(*symbols->keys));
}

static void copy_symbols(struct trace_symbols *to, const struct trace_symbols *from,
			 unsigned int n)
{
	memcpy(to->values, from->values, n * sizeof(*to->values));
	memcpy(to->defined, from->defined, n * sizeof(*to->defined));
	memcpy(to->keys, from->keys, n * sizeof(*to->keys));
}

/* All symbols are known once everything is compiled. */
static void prepare(struct trace_run *run)
{
	unsigned int i, n;

	for (i = 0; i < ARRAY_SIZE(predefined); i++)
		trace_symbol(predefined[i].name);
	n = trace_nr_symbols();
	if (run->nr_symbols == n)
		return;
	run->nr_symbols = n;
	allocate_symbols(&run->symbols, n);
	allocate_symbols(&snapshot.symbols, n);
	snapshot.code = NULL;
}

static void reset(struct trace_run *run)
{
	struct trace_symbols *symbols = &run->symbols;
	unsigned int i;

	memset(symbols->defined, 0, run->nr_symbols * sizeof(*symbols->defined));
	memset(symbols->keys, 0, run->nr_symbols * sizeof(*symbols->keys));
	for (i = 0; i < ARRAY_SIZE(predefined); i++)
		trace_define(run, trace_symbol(predefined[i].name), predefined[i].value);
	run->next_page = FIRST_PAGE;
	run->next_hpage = MACHINE_FREE_BASE;
	machine_reset(run->platform);
}

static void print_step(const struct trace_step *step)
{
	unsigned int i;

	printf("    %s:%u:", step->line->path, step->line->number);
	for (i = 0; i < step->nr_tokens; i++)
		printf(" %s", step->tokens[i]);
	putchar('\n');
	fflush(stdout);
}

static bool run_code(struct trace_run *run, const struct trace_code *code,
		     const struct trace_code *done)
{
	unsigned int i;

	for (i = 0; i < code->nr; i++) {
		const struct trace_step *step = &code->steps[i];

		if (step->use) {
			if (step->use != done && !run_code(run, step->use, done))
				return false;
			done = NULL;
			continue;
		}
		current_step = step;
		if (run->verbose)
			print_step(step);
		if (!step->op->run(run, step)) {
			if (!run->failure.step)
				trace_fail(run, "step", "success", "failure");
			return false;
		}
	}
	return true;
}

/* The block without arguments that everything else in the test comes after. */
static noinline const struct trace_code *first_block(const struct trace_code *code)
{
	const struct trace_code *first = NULL;

	while (code->steps[0].use) {
		code = code->steps[0].use;
		first = code->nr_args ? NULL : code;
	}
	return first;
}

static bool run_first_block(struct trace_run *run, const struct trace_code *first)
{
	unsigned int n = run->nr_symbols;

	if (snapshot.code == first) {
		machine_restore(0);
		copy_symbols(&run->symbols, &snapshot.symbols, n);
		run->next_page = snapshot.next_page;
		run->next_hpage = snapshot.next_hpage;
		return true;
	}

	snapshot.code = NULL;
	if (!run_code(run, first, NULL))
		return false;
	machine_snapshot(0);
	copy_symbols(&snapshot.symbols, &run->symbols, n);
	snapshot.next_page = run->next_page;
	snapshot.next_hpage = run->next_hpage;
	snapshot.code = first;
	return true;
}

static void on_crash(int sig)
{
	crash_signal = sig;
	siglongjmp(crash, 1);
}

static void catch_crashes(void (*handler)(int))
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_NODEFER };
	unsigned int i;

#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer reports better, and then ends the run. */
	return;
#endif
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

bool trace_run_test(struct trace_run *run, const struct trace_test *test)
{
	/* A verbose run shows the first block too. */
	const struct trace_code *const first = run->verbose ? NULL : first_block(test->code);
	bool passed;

	prepare(run);
	memset(&run->failure, 0, sizeof(run->failure));
	run->irq_at = 0;
	current_step = &test->code->steps[0];

	if (sigsetjmp(crash, 1)) {
		char text[64];

		snprintf(text, sizeof(text), "signal %d", (int)crash_signal);
		snapshot.code = NULL;
		alarm(0);
		return trace_fail(run, "model", "to return", text);
	}
	catch_crashes(on_crash);
	alarm(TEST_SECONDS);
	if (snapshot.code != first || !first)
		reset(run);
	passed = (!first || run_first_block(run, first)) && run_code(run, test->code, first);
	alarm(0);
	catch_crashes(SIG_DFL);
	return passed;
}
