// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise for the interface of TD migration: programs of operations, each made from others
 * by chance, or from those that have reached what none had reached before if the kernel
 * has KCOV.
 *
 * Usage: tdx_mig_fuzz_test [-n NR | -d S] [-s SEED] [-f FIRST] [-v] | -p PROG
 * -n, -d: how many programs, or for how many seconds; without both, until it is stopped.
 * The same SEED gives the same programs, as long as there is no KCOV.  -f leaves out those
 * before number FIRST.  -v says each program before it is carried out, for a machine that
 * may not survive it.  -p: the program PROG alone.
 *
 * A program that fails is made smaller, as long as it fails, and printed.
 */
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

#include "tdx_fuzz.h"
#include "tdx_sim_util.h"

#define MAX_CORPUS	256
/* A program takes a second or two; a machine may be a hundred times slower. */
#define MAX_SECONDS	600
/* Attempts to make a program smaller, each of which is made twice: threads race. */
#define MAX_ATTEMPTS	100

/* Survives the process that carries out the programs. */
static struct state {
	struct td_fuzz_prog prog;
	u64 nr_run;
	u64 nr_done[TD_FUZZ_NR_KINDS];
	struct td_fuzz_prog corpus[MAX_CORPUS];
	u32 nr_corpus;
	struct td_fuzz_cover all, cover;
} *state;

static u64 seed, first, nr_progs, seconds;
static bool verbose, has_cover;
static time_t begin;

/* What the TDX module owns, on the software TDX platform. */
static unsigned int count_owned(void)
{
	return td_sim_count_owned_pages(NULL) + td_sim_count_tds();
}

static void run_prog(void)
{
	unsigned int owned = count_owned();

	alarm(MAX_SECONDS);
	td_fuzz_run(&state->prog, &state->cover, state->nr_done);
	alarm(0);
	TEST_ASSERT_EQ(count_owned(), owned);
	state->nr_run++;
}

/* Keep a program that has reached something new.  Returns how many places that are. */
static unsigned int learn(void)
{
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(state->all.places); i++) {
		nr += __builtin_popcountl(state->cover.places[i] & ~state->all.places[i]);
		state->all.places[i] |= state->cover.places[i];
	}
	memset(&state->cover, 0, sizeof(state->cover));
	if (!nr)
		return 0;

	/* The first one stays, as it is good. */
	if (state->nr_corpus < MAX_CORPUS)
		state->corpus[state->nr_corpus++] = state->prog;
	else
		state->corpus[1 + state->nr_run % (MAX_CORPUS - 1)] = state->prog;
	return nr;
}

static void choose_prog(u64 number)
{
	struct td_fuzz_rng rng;

	td_fuzz_rng_init(&rng, seed, number);
	state->prog = state->corpus[td_fuzz_below(&rng, state->nr_corpus)];
	/* The first one shows that it is the noise that makes others fail. */
	if (number)
		td_fuzz_mutate(&rng, &state->prog,
			       &state->corpus[td_fuzz_below(&rng, state->nr_corpus)]);
}

/* What is not reached by a migration without noise is not reached with it. */
static void check_recipe(void)
{
	const struct td_fuzz_op *op;

	for (op = state->prog.ops; op < state->prog.ops + state->prog.nr; op++)
		TEST_ASSERT(state->nr_done[op->kind], "Operation %ld, %s, does not succeed",
			    op - state->prog.ops, td_fuzz_kind_name(op->kind));
}

static void print_prog(const char *title)
{
	printf("# %s ", title);
	td_fuzz_print(stdout, &state->prog);
	printf("\n");
	fflush(stdout);
}

/* Program after program, in a process of its own. */
static void run_progs(void)
{
	unsigned int nr_new;
	time_t said = 0;
	u64 i;

	/* They are there to stay, so they do not count as what is left. */
	td_mig_src_migtd();
	td_mig_dst_migtd();

	for (i = first; !nr_progs || i < first + nr_progs; i++) {
		if (seconds && time(NULL) - begin >= seconds)
			break;
		choose_prog(i);
		if (verbose)
			print_prog("program");
		run_prog();
		if (!i)
			check_recipe();
		nr_new = learn();
		if (has_cover && nr_new && verbose)
			printf("# %u new places\n", nr_new);
		if (time(NULL) - said >= 10) {
			said = time(NULL);
			printf("# %lu programs, %u of them kept\n", state->nr_run,
			       state->nr_corpus);
			fflush(stdout);
		}
	}
}

/* Returns whether it ends well. */
static bool in_process(void (*what)(void), bool silent)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		if (silent && (!freopen("/dev/null", "w", stdout) ||
			       !freopen("/dev/null", "w", stderr)))
			_exit(1);
		what();
		fflush(stdout);
		_exit(0);
	}
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && !silent)
		printf("# ended by signal %d%s\n", WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? ": an operation does not return" : "");
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void run_one(void)
{
	td_mig_src_migtd();
	td_mig_dst_migtd();
	run_prog();
}

static bool fails(void)
{
	return !in_process(run_one, true) || !in_process(run_one, true);
}

/* Leave out what is not needed for it to fail: halves, quarters, ..., single operations. */
static void minimize(void)
{
	struct td_fuzz_prog good;
	u32 nr, i, attempts = 0;

	for (nr = state->prog.nr / 2; nr; nr /= 2) {
		for (i = 0; i + nr <= state->prog.nr && attempts < MAX_ATTEMPTS;) {
			good = state->prog;
			td_fuzz_remove(&state->prog, i, nr);
			attempts++;
			printf("# trying %u operations\n", state->prog.nr);
			fflush(stdout);
			if (!state->prog.nr || !fails()) {
				state->prog = good;
				i += nr;
			}
		}
	}
}

static int find(void)
{
	u32 i;

	if (in_process(run_progs, false)) {
		printf("# %lu programs; never with success:", state->nr_run);
		for (i = 0; i < TD_FUZZ_NR_KINDS; i++) {
			if (!state->nr_done[i])
				printf(" %s", td_fuzz_kind_name(i));
		}
		printf("\n");
		TEST_ASSERT(state->nr_run, "No program was run");
		printf("ok 1 noise\n");
		return 0;
	}

	print_prog("fails:");
	if (fails()) {
		minimize();
		print_prog("small:");
	} else {
		printf("# it does not fail alone, or not each time\n");
	}
	td_fuzz_explain(stdout, &state->prog);
	printf("not ok 1 noise\n");
	return 1;
}

int main(int argc, char *argv[])
{
	const char *prog = NULL;
	int opt;

	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));

	while ((opt = getopt(argc, argv, "n:d:s:f:p:v")) != -1) {
		switch (opt) {
		case 'n':
			nr_progs = strtoul(optarg, NULL, 0);
			break;
		case 'd':
			seconds = strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			first = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			prog = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		default:
			TEST_FAIL("Usage: %s [-n NR | -d S] [-s SEED] [-f FIRST] [-v] | -p PROG",
				  argv[0]);
		}
	}
	while (!seed)
		TEST_ASSERT_EQ(getrandom(&seed, sizeof(seed), 0), sizeof(seed));

	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	TEST_ASSERT(state != MAP_FAILED, "mmap() failed, errno %d", errno);
	td_fuzz_recipe(&state->corpus[state->nr_corpus++]);
	has_cover = td_fuzz_cover_init();
	begin = time(NULL);

	printf("TAP version 13\n1..1\n");
	if (prog) {
		TEST_ASSERT(td_fuzz_parse(&state->prog, prog), "'%s' is no program", prog);
		td_fuzz_explain(stdout, &state->prog);
		if (in_process(run_one, false)) {
			printf("ok 1 noise\n");
			return 0;
		}
		printf("not ok 1 noise\n");
		return 1;
	}

	printf("# seed 0x%lx, %s\n", seed,
	       has_cover ? "guided by what is reached" : "KCOV is not there to guide it");
	return find();
}
