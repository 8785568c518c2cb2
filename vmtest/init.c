// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test machine: run what /tests.list names, one after another,
 * and give the verdict out of band and last.
 *
 * Results go to the second serial port, which nothing else writes to: the
 * output of each test, a line with its exit status, and after the scan of the
 * kernel log and of the platform's page ownership the verdict with the nonce
 * of this boot.  A crash, a hang or a lost console leaves no verdict, and that
 * is a failure.
 *
 * A machine that dies in a test is booted again for the rest: vmtest.first= on the
 * command line names the test to go on with.
 *
 * A line of /tests.list:  NAME SECONDS MODULE-PARAMETERS COMMAND [ARGUMENT...]
 * A COMMAND that ends in .ko is a module with KUnit suites, its arguments; their KTAP is
 * its output.
 * A test that neither ends nor prints a line for SECONDS is killed, and so is one that
 * does not come to an end in many times SECONDS.  How long it takes otherwise is the
 * business of the host, which may be busy.
 * KVM's vendor module, by vmtest.kvm= on the command line, is reloaded when the
 * parameters differ from the loaded ones; "-" stands for no module at all, "."
 * for no parameters.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "leaks.h"

#define MAX_ARGS	32
#define MAX_PATTERNS	64
#define KUNIT_DIR	"/sys/kernel/debug/kunit"
#define ALLOCINFO	"/proc/allocinfo"
#define LINE_LEN	4096
#define MAX_SECONDS	10	/* times the SECONDS of a test */
#define KILL_SECONDS	60
/*
 * What is freed after a grace period of RCU, or by a worker, takes its time: kvfree_rcu()
 * alone collects for 5 seconds before it waits for the grace period.
 */
#define LEAK_TRIES	200
#define LEAK_USECS	100000

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static FILE *results;
static bool failed;
static char loaded_params[256] = "-";
static char kvm_module[64] = "kvm-intel";

/* The lines of /splats.list: parts of kernel messages. */
struct patterns {
	char *texts[MAX_PATTERNS];
	int nr;
};

static struct patterns splats, harmless;

/* What KVM had allocated before a test, and what it has now; the test that has leaked. */
static struct sites sites_before, sites_now;
static const char *leaky_test;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

__attribute__((format(printf, 1, 2)))
static void report(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(results, fmt, ap);
	va_end(ap);
	fputc('\n', results);
	fflush(results);
}

__attribute__((format(printf, 1, 2)))
static void fail(const char *fmt, ...)
{
	va_list ap;

	failed = true;
	fputs("# failure: ", results);
	va_start(ap, fmt);
	vfprintf(results, fmt, ap);
	va_end(ap);
	fputc('\n', results);
	fflush(results);
}

static void mount_one(const char *type, const char *where)
{
	mkdir(where, 0755);
	if (mount(type, where, type, 0, NULL) && errno != EBUSY)
		fprintf(stderr, "init: mount %s on %s: %s\n", type, where, strerror(errno));
}

static void mount_filesystems(void)
{
	mount_one("devtmpfs", "/dev");
	mount_one("proc", "/proc");
	mount_one("sysfs", "/sys");
	mount_one("debugfs", "/sys/kernel/debug");
	mount_one("tmpfs", "/tmp");
}

static void open_results(void)
{
	struct termios tio;
	int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0) {
		perror("init: /dev/ttyS1");
		reboot(RB_AUTOBOOT);
	}
	tcgetattr(fd, &tio);
	cfmakeraw(&tio);
	tcsetattr(fd, TCSANOW, &tio);
	results = fdopen(fd, "w");
}

/* The value of KEY=value on the kernel's command line, "" if it is not there. */
static const char *boot_option(const char *key)
{
	static char line[4096], value[256];
	size_t len = strlen(key);
	FILE *f = fopen("/proc/cmdline", "r");
	char *word;

	value[0] = 0;
	if (!f)
		return value;
	if (fgets(line, sizeof(line), f))
		for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
			if (!strncmp(word, key, len) && word[len] == '=')
				snprintf(value, sizeof(value), "%s", word + len + 1);
	fclose(f);
	return value;
}

static int insert_module(const char *path, const char *args)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, args, 0) ? -errno : 0;
	close(fd);
	return ret;
}

/* Load a module, unless it is there already, or built in. */
static int load_module(const char *name, const char *params)
{
	char path[256], args[256];
	int ret;
	char *p;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	snprintf(args, sizeof(args), "%s", params);
	for (p = args; *p; p++)
		if (*p == ',')
			*p = ' ';
	ret = insert_module(path, args);
	return ret == -ENOENT || ret == -EEXIST ? 0 : ret;
}

static int unload_module(const char *name)
{
	char loaded_name[64];
	char *p;

	snprintf(loaded_name, sizeof(loaded_name), "%s", name);
	for (p = loaded_name; *p; p++)
		if (*p == '-')
			*p = '_';
	return syscall(SYS_delete_module, loaded_name, O_NONBLOCK) ? -errno : 0;
}

static bool set_modules(const char *params)
{
	int ret;

	if (!strcmp(params, loaded_params))
		return true;
	if (strcmp(loaded_params, "-")) {
		ret = unload_module(kvm_module);
		if (ret) {
			fail("%s cannot be unloaded: %s", kvm_module, strerror(-ret));
			return false;
		}
		strcpy(loaded_params, "-");
	}
	if (!strcmp(params, "-"))
		return true;
	load_module("irqbypass", "");
	load_module("tdx-host", "");
	ret = load_module("kvm", "");
	if (!ret)
		ret = load_module(kvm_module, strcmp(params, ".") ? params : "");
	if (ret) {
		fail("%s %s cannot be loaded: %s", kvm_module, params, strerror(-ret));
		return false;
	}
	snprintf(loaded_params, sizeof(loaded_params), "%s", params);
	return true;
}

/*
 * Load a module with KUnit suites, which run as they are loaded, print the KTAP that
 * they leave in debugfs, and unload it.  No suite of KUnit's is there otherwise.  The
 * suites have to be those whose names follow that of the module.
 */
static int run_kunit(char **argv)
{
	const char *module = argv[0];
	char name[64], path[512], line[LINE_LEN];
	const char *base = strrchr(module, '/');
	int ret, suites = 0, bad = 0, i;
	struct dirent *d;
	DIR *dir;
	FILE *f;

	snprintf(name, sizeof(name), "%s", base ? base + 1 : module);
	name[strcspn(name, ".")] = 0;
	ret = insert_module(module, "");
	if (ret) {
		printf("%s cannot be loaded: %s\n", module, strerror(-ret));
		return 1;
	}
	dir = opendir(KUNIT_DIR);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), KUNIT_DIR "/%s/results", d->d_name);
		f = fopen(path, "re");
		if (!f)
			continue;
		while (fgets(line, sizeof(line), f))
			fputs(line, stdout);
		fclose(f);
		suites++;
	}
	if (dir)
		closedir(dir);
	for (i = 1; argv[i]; i++) {
		snprintf(path, sizeof(path), KUNIT_DIR "/%s/results", argv[i]);
		if (!access(path, R_OK))
			continue;
		printf("%s has left no results of %s\n", module, argv[i]);
		bad++;
	}
	if (!suites || suites > i - 1) {
		printf("%s has left results of %d suites, not %d\n", module, suites, i - 1);
		bad++;
	}
	ret = unload_module(name);
	if (ret)
		printf("%s cannot be unloaded: %s\n", name, strerror(-ret));
	fflush(stdout);
	return ret || bad;
}

static bool is_module(const char *path)
{
	size_t len = strlen(path);

	return len > 3 && !strcmp(path + len - 3, ".ko");
}

static void exec_test(char **argv, int out)
{
	int null = open("/dev/null", O_RDONLY);

	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	setsid();
	setenv("PATH", "/tests:/bin", 1);
	setenv("HOME", "/tmp", 1);
	if (chdir("/tmp"))
		_exit(126);
	if (is_module(argv[0]))
		_exit(run_kunit(argv));
	execv(argv[0], argv);
	dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/*
 * Copy whole lines of a test's output to the results.  A carriage return ends
 * a line too, one that is about to be written over.  Returns whether there was one.
 */
static bool relay(int fd, char *line, size_t *len)
{
	bool printed = false;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));
	ssize_t i;

	for (i = 0; i < n; i++) {
		if (buf[i] != '\n' && buf[i] != '\r' && *len < LINE_LEN - 1) {
			line[(*len)++] = buf[i];
			continue;
		}
		if (buf[i] == '\r' && !*len)
			continue;
		line[*len] = 0;
		fprintf(results, "%s%c", line, buf[i] == '\r' ? '\r' : '\n');
		fflush(results);
		*len = 0;
		printed = true;
	}
	return printed;
}

static void __attribute__((noreturn)) reset(void)
{
	fflush(results);
	tcdrain(fileno(results));
	sync();
	/* The emulator runs with -no-reboot: a reset ends it, without ACPI. */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static void run_test(const char *name, int seconds, char **argv)
{
	double start = now(), limit = start + MAX_SECONDS * seconds;
	double quiet_limit = start + seconds, killed = 0;
	char line[LINE_LEN];
	size_t len = 0;
	int pipefd[2], status;
	bool exited = false;
	pid_t pid;

	report("# start %s", name);
	if (pipe2(pipefd, O_CLOEXEC)) {
		fail("pipe: %s", strerror(errno));
		return;
	}
	pid = fork();
	if (!pid)
		exec_test(argv, pipefd[1]);
	close(pipefd[1]);
	fcntl(pipefd[0], F_SETFL, O_NONBLOCK);

	while (!exited) {
		struct pollfd pfd = { .fd = pipefd[0], .events = POLLIN };

		poll(&pfd, 1, 20);
		if (pfd.revents & POLLIN && relay(pipefd[0], line, &len))
			quiet_limit = now() + seconds;
		if (!killed && (now() > limit || now() > quiet_limit)) {
			if (now() > limit)
				fail("%s: no end within %d seconds", name, MAX_SECONDS * seconds);
			else
				fail("%s: no progress within %d seconds", name, seconds);
			kill(-pid, SIGKILL);
			killed = now();
		}
		exited = waitpid(pid, &status, WNOHANG) == pid;
		if (!exited && killed && now() > killed + KILL_SECONDS) {
			report("# %s cannot be killed", name);
			reset();
		}
	}
	/* Stragglers that the test left behind hold its resources. */
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (;;) {
		struct pollfd pfd = { .fd = pipefd[0], .events = POLLIN };

		if (poll(&pfd, 1, 0) <= 0 || !(pfd.revents & POLLIN))
			break;
		relay(pipefd[0], line, &len);
	}
	if (len) {
		line[len] = 0;
		report("%s", line);
	}
	close(pipefd[0]);
	if (WIFSIGNALED(status))
		report("# end %s signal %d %.2f", name, WTERMSIG(status), now() - start);
	else
		report("# end %s status %d %.2f", name, WEXITSTATUS(status), now() - start);
}

/* Machines that have to count allocations are told so on their command line. */
static bool counts_allocations(void)
{
	return *boot_option("sysctl.vm.mem_profiling") == '1';
}

static void note_allocations(void)
{
	int ret;

	if (!counts_allocations())
		return;
	ret = sites_read(&sites_before, ALLOCINFO);
	if (ret)
		fail("%s: %s", ALLOCINFO, strerror(-ret));
}

static void report_leak(const struct site *leak)
{
	fail("%s: leaks %ld bytes, allocations: %ld, at %s", leaky_test, leak->bytes,
	     leak->calls, leak->where);
}

/* With all its VMs gone, a test has to leave as much as it has found. */
static void check_allocations(const char *name)
{
	int tries = LEAK_TRIES;

	if (!counts_allocations() || !sites_before.nr)
		return;
	while (!sites_read(&sites_now, ALLOCINFO)) {
		if (!sites_compare(&sites_before, &sites_now, NULL))
			return;
		if (!tries--)
			break;
		usleep(LEAK_USECS);
	}
	leaky_test = name;
	if (!sites_compare(&sites_before, &sites_now, report_leak))
		fail("%s: %s cannot be read any more", name, ALLOCINFO);
}

/* Run the list, from the test that is called @first if there is one. */
static void run_list(const char *first)
{
	char line[LINE_LEN], *argv[MAX_ARGS + 1], *name, *seconds, *params, *word;
	FILE *list = fopen("/tests.list", "re");
	int argc;

	if (!list) {
		fail("/tests.list: %s", strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), list)) {
		name = strtok(line, " \n");
		if (!name || *name == '#' || (*first && strcmp(name, first)))
			continue;
		first = "";
		seconds = strtok(NULL, " \n");
		params = strtok(NULL, " \n");
		for (argc = 0; argc < MAX_ARGS && (word = strtok(NULL, " \n")); argc++)
			argv[argc] = word;
		argv[argc] = NULL;
		if (!seconds || !params || !argc) {
			fail("/tests.list: incomplete line for %s", name);
			continue;
		}
		if (!set_modules(params))
			continue;
		note_allocations();
		run_test(name, atoi(seconds), argv);
		check_allocations(name);
	}
	fclose(list);
	set_modules("-");
}

/* What no run may produce, and behind "- " what is harmless all the same. */
static void read_splats(const char *path)
{
	char line[LINE_LEN];
	struct patterns *p;
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (!*line || *line == '#')
			continue;
		p = strncmp(line, "- ", 2) ? &splats : &harmless;
		if (p->nr == MAX_PATTERNS)
			fail("%s: too many lines", path);
		else
			p->texts[p->nr++] = strdup(p == &harmless ? line + 2 : line);
	}
	if (f)
		fclose(f);
	if (!splats.nr)
		fail("%s: no kernel message is known to be bad", path);
}

static bool matches(const char *line, const struct patterns *p)
{
	int i;

	for (i = 0; i < p->nr; i++)
		if (strstr(line, p->texts[i]))
			return true;
	return false;
}

static bool is_splat(const char *line)
{
	return matches(line, &splats) && !matches(line, &harmless);
}

static void scan_kernel_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[8192], *text;
	ssize_t n;

	if (fd < 0) {
		fail("/dev/kmsg: %s", strerror(errno));
		return;
	}
	for (;;) {
		n = read(fd, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		record[n] = 0;
		text = strchr(record, ';');
		text = text ? text + 1 : record;
		text[strcspn(text, "\n")] = 0;
		if (is_splat(text))
			fail("kernel log: %s", text);
	}
	close(fd);
}

static void trigger_kmemleak(void)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	char line[LINE_LEN];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int scans = 3;
	FILE *f;

	if (fd < 0)
		return;
	/* An object is reported once it is some seconds old, and as the last scan has found it. */
	while (scans--) {
		sleep(6);
		if (write(fd, "scan", 4) != 4)
			fail("kmemleak: no scan");
	}
	close(fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		fail("kmemleak: %s", line);
	}
	if (f)
		fclose(f);
}

/* With all TDs gone the module may own nothing any more. */
static void audit_pages(void)
{
	char line[LINE_LEN];
	FILE *f = fopen("/sys/kernel/debug/tdx_sim/owned_pages", "re");
	unsigned long pages = 0;

	if (!f) {
		if (*boot_option("tdxsim"))
			fail("the page ownership of the platform cannot be read");
		return;
	}
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (pages++ < 20)
			report("# owned page: %s", line);
	}
	fclose(f);
	if (pages)
		fail("%lu pages are still owned by the TDX module", pages);
}

int main(void)
{
	struct rlimit rl = { 65536, 65536 };
	const char *nonce;
	char first[64];

	mount_filesystems();
	open_results();
	setrlimit(RLIMIT_NOFILE, &rl);
	if (*boot_option("vmtest.kvm"))
		snprintf(kvm_module, sizeof(kvm_module), "%s", boot_option("vmtest.kvm"));
	report("# vmtest: first test after %.2f s", now());

	snprintf(first, sizeof(first), "%s", boot_option("vmtest.first"));
	run_list(first);
	trigger_kmemleak();
	audit_pages();
	read_splats("/splats.list");
	scan_kernel_log();

	nonce = boot_option("vmtest.nonce");
	report("# verdict %s %s", *nonce ? nonce : "-", failed ? "fail" : "complete");
	reset();
}
