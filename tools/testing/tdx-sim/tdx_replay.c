// SPDX-License-Identifier: GPL-2.0
/*
 * tdx_replay - replay conformance traces against the module model.
 *
 * Prints a line for each failing test and the totals last.  Exit status: 0 when
 * all tests passed, 1 when some failed, 2 when a trace is malformed.
 */
#include <dirent.h>
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>

#include "trace.h"

#define EXIT_FAILED	1
#define EXIT_MALFORMED	2
#define SUFFIX		".trace"
#define SHOWN_IDS	4

/* Failures that look alike. */
struct failure_group {
	struct failure_group *next;
	char *text;
	const char *ids[SHOWN_IDS];
	unsigned int nr;
};

static struct {
	bool verbose, summary, list_failures, poison, linux_host;
	const struct tdx_sim_profile *profile;
	const char *id;
} options;

/* Versions, and the one whose traces a version goes by where it has none. */
static const struct version {
	const struct tdx_sim_profile *profile, *base;
} versions[] = {
	{ &tdx_sim_profile_1_5_01 },
	{ &tdx_sim_profile_1_5_05 },
	{ &tdx_sim_profile_1_5_24, &tdx_sim_profile_1_5_05 },
};

static struct failure_group *groups;
static unsigned int passed, failed;

static void usage(FILE *to)
{
	fprintf(to,
		"usage: tdx_replay [options] PATH...\n"
		"Replay conformance traces (FORMAT.md) against the module model.\n"
		"PATH is a trace file or a folder of them.\n"
		"  -t, --test=ID        run only this test\n"
		"  -v, --verbose        show each step\n"
		"  -s, --summary        show the totals of each file\n"
		"  -l, --list-failures  group the failures by what went wrong\n"
		"  -p, --poison         fill fresh pages, instead of leaving them zero\n"
		"  -P, --profile=NAME   version of the module: 1.5.01 if not given, 1.5.05, 1.5.24\n"
		"  -L, --linux          with the leaf that the Linux host needs of a newer module\n"
		"  -h, --help           show this text\n");
}

static bool ends_with(const char *s, size_t len, const char *end)
{
	return len > strlen(end) && !strncmp(s + len - strlen(end), end, strlen(end));
}

static const struct tdx_sim_profile *base_profile(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		if (versions[i].profile == options.profile)
			return versions[i].base;
	}
	return NULL;
}

/* "NAME.trace", or "NAME.PROFILE.trace" for a profile and those that it is the base of. */
static int is_trace(const struct dirent *entry)
{
	const struct tdx_sim_profile *profile;
	const char *name = entry->d_name;
	size_t len = strlen(name);
	unsigned int i;

	if (!ends_with(name, len, SUFFIX))
		return false;
	len -= strlen(SUFFIX);
	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		profile = versions[i].profile;
		if (ends_with(name, len, profile->name))
			return profile == options.profile || profile == base_profile();
	}
	return true;
}

static void path_error(const char *path, const char *what)
{
	struct trace_line line = { .path = path };

	trace_error(&line, "%s", what);
}

static void select_file(const char *path)
{
	struct trace_file *f = trace_read(path);

	if (f)
		f->selected = true;
}

static void select_folder(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_trace, alphasort), i;

	if (n <= 0) {
		path_error(path, n ? strerror(errno) : "no traces in this folder");
		return;
	}
	for (i = 0; i < n; i++) {
		char full[PATH_MAX];

		snprintf(full, sizeof(full), "%s/%s", path, entries[i]->d_name);
		select_file(full);
		free(entries[i]);
	}
	free(entries);
	trace_overlay_check_used(path);
}

static void select_path(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		path_error(path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		select_folder(path);
	else
		select_file(path);
}

static void compile_all(void)
{
	struct trace_file *f;
	struct trace_test *t;

	for (f = trace_files(); f; f = f->next) {
		for (t = f->tests; t; t = t->next)
			trace_compile_test(t);
	}
	/* After the tests, which give blocks their real arguments. */
	for (f = trace_files(); f; f = f->next)
		trace_check_blocks(f);
}

static void step_text(const struct trace_step *step, char *out, size_t size)
{
	unsigned int i;
	size_t n = 0;

	*out = '\0';
	for (i = 0; i < step->nr_tokens && n < size; i++)
		n += snprintf(out + n, size - n, "%s%s", i ? " " : "", step->tokens[i]);
}

static void group_failure(const struct trace_test *test, const struct trace_failure *f)
{
	const struct trace_step *s = f->step;
	struct failure_group *g;
	char text[4 * TRACE_MAX_VALUE];

	snprintf(text, sizeof(text), "%s%s%s: %s expected %s got %s", s->tokens[0],
		 s->nr_tokens > 1 && s->op && s->op->checks ? " " : "",
		 s->nr_tokens > 1 && !strncmp(s->tokens[0], "call", 4) ? s->tokens[1] : "",
		 f->what, f->expected, f->got);
	for (g = groups; g; g = g->next) {
		if (!strcmp(g->text, text))
			break;
	}
	if (!g) {
		g = trace_alloc(sizeof(*g));
		g->text = trace_strdup(text);
		g->next = groups;
		groups = g;
	}
	if (g->nr < SHOWN_IDS)
		g->ids[g->nr] = test->id;
	g->nr++;
}

static void print_failure(const struct trace_test *test, const struct trace_failure *f)
{
	char text[2 * TRACE_MAX_LINE];

	step_text(f->step, text, sizeof(text));
	printf("FAIL %s %s:%u: %s: %s expected %s got %s\n", test->id, f->step->line->path,
	       f->step->line->number, text, f->what, f->expected, f->got);
}

static void run_test(struct trace_run *run, struct trace_test *test)
{
	if (options.verbose)
		printf("%s: %s\n", test->id, test->description);
	if (trace_run_test(run, test)) {
		test->file->passed++;
		passed++;
		return;
	}
	print_failure(test, &run->failure);
	group_failure(test, &run->failure);
	if (run->failure.malformed)
		trace_error(run->failure.step->line, "test %s: %s", test->id, run->failure.got);
	test->file->failed++;
	failed++;
}

static void run_all(void)
{
	struct tdx_sim_platform platform = machine_reference_platform;
	struct trace_run run = {
		.platform = &platform,
		.verbose = options.verbose,
		.poison = options.poison,
	};
	struct trace_file *f;
	struct trace_test *t;

	platform.profile = options.profile;
	platform.sys_disable = options.linux_host;
	platform.topology_enum = options.linux_host;
	for (f = trace_files(); f; f = f->next) {
		for (t = f->tests; f->selected && t; t = t->next) {
			if (!options.id || !strcmp(options.id, t->id))
				run_test(&run, t);
		}
	}
}

static int larger_group_first(const void *a, const void *b)
{
	const struct failure_group *ga = *(void **)a, *gb = *(void **)b;

	return ga->nr < gb->nr ? 1 : ga->nr > gb->nr ? -1 : strcmp(ga->text, gb->text);
}

static void print_groups(void)
{
	struct failure_group **sorted, *g;
	unsigned int n = 0, i, id;

	for (g = groups; g; g = g->next)
		n++;
	sorted = trace_alloc((n + 1) * sizeof(*sorted));
	for (g = groups, i = 0; g; g = g->next)
		sorted[i++] = g;
	qsort(sorted, n, sizeof(*sorted), larger_group_first);
	for (i = 0; i < n; i++) {
		printf("%5u  %s  [", sorted[i]->nr, sorted[i]->text);
		for (id = 0; id < min_t(unsigned int, sorted[i]->nr, SHOWN_IDS); id++)
			printf("%s%s", id ? " " : "", sorted[i]->ids[id]);
		puts("]");
	}
}

static void print_summary(void)
{
	const struct trace_file *f;

	for (f = trace_files(); f; f = f->next) {
		if (f->selected && f->passed + f->failed)
			printf("%5u passed %5u failed  %s\n", f->passed, f->failed, f->path);
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "test", required_argument, NULL, 't' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "summary", no_argument, NULL, 's' },
		{ "list-failures", no_argument, NULL, 'l' },
		{ "poison", no_argument, NULL, 'p' },
		{ "profile", required_argument, NULL, 'P' },
		{ "linux", no_argument, NULL, 'L' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "t:vslpP:Lh", long_options, NULL)) != -1) {
		switch (c) {
		case 't':
			options.id = optarg;
			break;
		case 'v':
			options.verbose = true;
			break;
		case 's':
			options.summary = true;
			break;
		case 'l':
			options.list_failures = true;
			break;
		case 'p':
			options.poison = true;
			break;
		case 'P':
			options.profile = tdx_sim_find_profile(optarg);
			if (!options.profile) {
				fprintf(stderr, "tdx_replay: no profile %s\n", optarg);
				exit(EXIT_MALFORMED);
			}
			break;
		case 'L':
			options.linux_host = true;
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(EXIT_MALFORMED);
		}
	}
	if (optind == argc) {
		usage(stderr);
		exit(EXIT_MALFORMED);
	}
}

int main(int argc, char **argv)
{
	options.profile = machine_reference_platform.profile;
	parse_options(argc, argv);
	trace_overlay_profile(options.profile->name, base_profile() ? base_profile()->name : NULL);
	for (; optind < argc; optind++)
		select_path(argv[optind]);
	if (!trace_errors())
		compile_all();
	if (trace_errors())
		return EXIT_MALFORMED;

	run_all();
	if (!passed && !failed) {
		fprintf(stderr, "tdx_replay: no such test\n");
		return EXIT_MALFORMED;
	}
	if (options.list_failures)
		print_groups();
	if (options.summary)
		print_summary();
	printf("%u passed, %u failed\n", passed, failed);
	if (trace_errors())
		return EXIT_MALFORMED;
	return failed ? EXIT_FAILED : EXIT_SUCCESS;
}
