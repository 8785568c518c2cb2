// SPDX-License-Identifier: GPL-2.0
/*
 * Watch a Linux TD guest move from one VM to another.
 *
 * Two VMM processes are started, each with a TD of its own, connected by a
 * socket. This process runs neither: it prints what they report, gives them
 * their commands and judges. It ends with success only if the guest came out
 * of the migration with its counter and its memory intact.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event.h"
#include "heartbeat.h"
#include "recorder.h"
#include "report.h"
#include "vmm_process.h"

#define EXIT_SKIP		4

#define DEFAULT_MEM_MIB		64
#define DEFAULT_VCPUS		2
#define DEFAULT_WORKING_SET_MIB	16
#define DEFAULT_WRITE_RATE	600
#define DEFAULT_TICKS		16
#define DEFAULT_ROUNDS		8
#define DEFAULT_TARGET_MS	500
#define DEFAULT_STREAMS		2
#define DEFAULT_TIMEOUT		1200
#define DEFAULT_STALL		300
#define MIB_SHIFT		20
#define MAX_MEM_MIB		1024
#define POLL_MS			100

/* As the workload has it, see demo/guest/init.c. */
#define GUEST_TICKS_PER_SEC	8

#define GUEST_CMDLINE		"console=ttyS0 loglevel=2 panic=-1 reboot=k nowatchdog swiotlb=512"

enum { SOURCE, DESTINATION, NR_VMS };

struct child {
	pid_t pid;
	int control;
	bool ended;
	bool failed;
};

struct demo {
	struct vmm_options vmm;
	/* Of the workload, all CPUs together. */
	u64 working_set;
	u64 write_rate;
	/* Ticks to watch before and after the migration. */
	u32 ticks_before;
	u32 ticks_after;
	/* Seconds for all, and without a step forward. */
	u32 timeout;
	u32 stall;
	/* Only boot the guest, until it ends by itself. */
	bool boot_only;
	u64 boot_ticks;
	bool live;
	bool verbose;

	struct child children[NR_VMS];
	int events;
	struct report report;
	struct recorder recorder;
	struct heartbeat heartbeat;
	struct simstat calls;
	bool migrating;
	bool migrated;
	bool resumed;
	bool guest_ended;
	bool quitting;
	/* Not empty if something is wrong: the first thing. */
	char fault[EVENT_TEXT_SIZE];
};

static void __printf(2, 3) fault(struct demo *demo, const char *fmt, ...)
{
	va_list ap;

	if (demo->fault[0])
		return;
	va_start(ap, fmt);
	vsnprintf(demo->fault, sizeof(demo->fault), fmt, ap);
	va_end(ap);
}

/* @peer is the other end of @wire, or -1 if this process has closed it. */
static void start_child(struct demo *demo, u32 index, int events, int wire, int peer)
{
	struct child *child = &demo->children[index];
	struct vmm_fds fds = { .wire = wire };
	int control[2];

	if (pipe2(control, O_CLOEXEC)) {
		perror("pipe");
		exit(EXIT_FAILURE);
	}
	child->pid = fork();
	if (child->pid < 0) {
		perror("fork");
		exit(EXIT_FAILURE);
	}
	if (child->pid) {
		close(control[0]);
		child->control = control[1];
		return;
	}

	/* Nobody may keep the ends of others open. */
	close(control[1]);
	close(demo->events);
	if (peer >= 0)
		close(peer);
	if (index != SOURCE)
		close(demo->children[SOURCE].control);
	fds.control = control[0];
	event_init(events, index);
	if (index == SOURCE)
		vmm_source(&demo->vmm, &fds);
	vmm_destination(&fds);
}

static void start_children(struct demo *demo)
{
	int events[2], wire[NR_VMS];

	if (pipe2(events, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire)) {
		perror("pipe");
		exit(EXIT_FAILURE);
	}
	demo->events = events[0];

	fflush(stdout);
	start_child(demo, SOURCE, events[1], wire[SOURCE], wire[DESTINATION]);
	/* The source must notice when its peer is gone, and the other way round. */
	close(wire[SOURCE]);
	if (!demo->boot_only)
		start_child(demo, DESTINATION, events[1], wire[DESTINATION], -1);
	else
		demo->children[DESTINATION].ended = true;
	close(wire[DESTINATION]);
	close(events[1]);
}

static void command(struct demo *demo, u32 index, u8 command)
{
	if (!demo->children[index].ended &&
	    write(demo->children[index].control, &command, sizeof(command)) != sizeof(command))
		fault(demo, "VM %u takes no commands", index + 1);
}

static void quit(struct demo *demo)
{
	if (demo->quitting)
		return;
	demo->quitting = true;
	command(demo, SOURCE, VMM_QUIT);
	command(demo, DESTINATION, VMM_QUIT);
}

static void handle_tick(struct demo *demo)
{
	if (demo->boot_only)
		return;

	if (!demo->migrating && demo->heartbeat.ticks[SOURCE] >= demo->ticks_before) {
		report_start(&demo->report, &demo->vmm);
		demo->migrating = true;
		simstat_read(&demo->calls);
		demo->report.start_ns = now_ns();
		recorder_migrate(&demo->recorder, demo->report.start_ns);
		command(demo, SOURCE, VMM_MIGRATE);
	}
	if (demo->migrated && demo->heartbeat.ticks[DESTINATION] >= demo->ticks_after &&
	    heartbeat_all_checked(&demo->heartbeat, DESTINATION))
		quit(demo);
}

static void handle_event(struct demo *demo, const struct event *event)
{
	struct simstat now;
	bool tick;

	if (event->vm >= NR_VMS)
		return;

	recorder_event(&demo->recorder, event);
	switch (event->type) {
	case EVENT_CONSOLE:
		tick = heartbeat_line(&demo->heartbeat, event->vm, event->time_ns, event->text);
		if (demo->heartbeat.fault[0])
			fault(demo, "%s", demo->heartbeat.fault);
		if (!tick) {
			report_console(&demo->report, event);
			break;
		}
		report_tick(&demo->report, event, &demo->heartbeat);
		recorder_tick(&demo->recorder, event, &demo->heartbeat);
		handle_tick(demo);
		break;
	case EVENT_MESSAGE:
		report_line(&demo->report, "VM %u: %s", event->vm + 1, event->text);
		break;
	case EVENT_FATAL:
		report_line(&demo->report, "VM %u: error: %s", event->vm + 1, event->text);
		fault(demo, "the VMM of VM %u gave up", event->vm + 1);
		demo->children[event->vm].failed = true;
		quit(demo);
		break;
	case EVENT_PROGRESS:
		report_progress(&demo->report, event, &demo->heartbeat);
		break;
	case EVENT_ROUND:
		report_round(&demo->report, event, &demo->vmm.migrate);
		break;
	case EVENT_STOPPED:
		demo->report.stopped_ns = event->time_ns;
		break;
	case EVENT_RESUMED:
		demo->report.resumed_ns = event->time_ns;
		demo->resumed = true;
		break;
	case EVENT_MIGRATED:
		simstat_read(&now);
		simstat_subtract(&now, &demo->calls);
		demo->calls = now;
		demo->report.end_ns = event->time_ns;
		demo->migrated = true;
		break;
	case EVENT_ABORTED:
		fault(demo, "the migration failed, the guest went on in VM 1");
		break;
	case EVENT_ENDED:
		demo->guest_ended = true;
		quit(demo);
		break;
	}
}

static void reap_children(struct demo *demo)
{
	u32 i;

	for (i = 0; i < NR_VMS; i++) {
		struct child *child = &demo->children[i];
		int status;

		if (child->ended || waitpid(child->pid, &status, WNOHANG) != child->pid)
			continue;
		child->ended = true;
		close(child->control);
		if (WIFEXITED(status) && !WEXITSTATUS(status))
			continue;
		if (!child->failed)
			fault(demo, "the VMM of VM %u died", i + 1);
		quit(demo);
	}
}

/* While the guest migrates, its ticks do not mean that the migration goes on. */
static bool is_step_forward(const struct demo *demo, const struct event *event)
{
	return event->type != EVENT_CONSOLE || !demo->migrating || demo->migrated;
}

/* Read events until both VMMs have closed their end of the pipe. */
static void watch(struct demo *demo)
{
	u64 limit = now_ns() + demo->timeout * NS_PER_SEC;
	u64 stall = now_ns() + demo->stall * NS_PER_SEC;
	bool late = false;
	struct pollfd pfd = { .fd = demo->events, .events = POLLIN };
	struct event event;
	u32 i;

	for (;;) {
		if (poll(&pfd, 1, POLL_MS) > 0) {
			if (read(demo->events, &event, sizeof(event)) != sizeof(event))
				break;
			handle_event(demo, &event);
			if (is_step_forward(demo, &event))
				stall = now_ns() + demo->stall * NS_PER_SEC;
		}
		reap_children(demo);
		if (now_ns() > limit) {
			fault(demo, "not done within %u seconds", demo->timeout);
			late = true;
			break;
		}
		if (now_ns() > stall) {
			fault(demo, "no step forward for %u seconds", demo->stall);
			late = true;
			break;
		}
	}

	for (i = 0; i < NR_VMS; i++) {
		if (demo->children[i].ended)
			continue;
		if (late)
			kill(demo->children[i].pid, SIGKILL);
		waitpid(demo->children[i].pid, NULL, 0);
	}
}

static void judge(struct demo *demo)
{
	const struct heartbeat *beat = &demo->heartbeat;

	if (!beat->ticks[SOURCE])
		fault(demo, "the guest did not come up");
	if (demo->boot_only) {
		if (!demo->guest_ended || beat->tick != demo->boot_ticks)
			fault(demo, "the guest did not end as it should");
		return;
	}
	if (demo->guest_ended)
		fault(demo, "the guest has reset its machine");
	if (!demo->migrated || !demo->resumed)
		fault(demo, "the migration did not complete");
	if (beat->ticks[DESTINATION] < demo->ticks_after)
		fault(demo, "the guest does not go on in VM 2");
	if (!heartbeat_all_checked(beat, DESTINATION))
		fault(demo, "the guest has not checked all of its memory in VM 2");
	if (beat->nr_cpus != demo->vmm.nr_vcpus)
		fault(demo, "the guest runs its workload on %u of %u CPUs", beat->nr_cpus,
		      demo->vmm.nr_vcpus);
}

static void usage(const char *name, FILE *out)
{
	fprintf(out,
		"Usage: %s --kernel BZIMAGE --initrd CPIO [options]\n"
		"\n"
		"The guest:\n"
		"  --memory MIB       memory (%u)\n"
		"  --vcpus N          vCPUs (%u)\n"
		"  --working-set MIB  memory that the workload writes and checks (%u)\n"
		"  --write-rate N     pages that it writes in a second (%u)\n"
		"  --append WORDS     add to the kernel command line\n"
		"\n"
		"The migration:\n"
		"  --target MS        pause the guest when the estimated blackout is shorter (%u)\n"
		"  --rounds N         pause it after so many rounds anyway; 0: before the first (%u)\n"
		"  --streams N        migration streams, 1 to %u (%u)\n"
		"\n"
		"The demo:\n"
		"  --before TICKS     ticks of the guest to watch before the migration (%u)\n"
		"  --after TICKS      ticks to watch after it, at least (%u)\n"
		"  --timeout SECS     give up after that (%u)\n"
		"  --stall SECS       give up when nothing happens for so long (%u)\n"
		"  --verbose          a line for each tick\n"
		"  --live             rewrite the status line also when not on a terminal\n"
		"  --trace            print records for the picture\n"
		"  --boot-only TICKS  no migration: boot, run so many ticks, reset\n",
		name, DEFAULT_MEM_MIB, DEFAULT_VCPUS, DEFAULT_WORKING_SET_MIB, DEFAULT_WRITE_RATE,
		DEFAULT_TARGET_MS, DEFAULT_ROUNDS, MIGRATE_MAX_STREAMS, DEFAULT_STREAMS,
		DEFAULT_TICKS, DEFAULT_TICKS, DEFAULT_TIMEOUT, DEFAULT_STALL);
	exit(out == stdout ? EXIT_SUCCESS : EXIT_FAILURE);
}

static u64 parse_number(const char *option, const char *arg, u64 min, u64 max)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(arg, &end, 0);
	if (errno || end == arg || *end || *arg == '-' || number < min || number > max) {
		fprintf(stderr, "--%s: %s is not a number from %llu to %llu\n", option, arg,
			(unsigned long long)min, (unsigned long long)max);
		exit(EXIT_FAILURE);
	}
	return number;
}

/* The workload is told what one CPU has to do. */
static void make_cmdline(struct demo *demo, const char *append)
{
	static char cmdline[512];
	u64 pool = demo->working_set / PAGE_SIZE / demo->vmm.nr_vcpus;
	u64 writes = demo->write_rate / GUEST_TICKS_PER_SEC / demo->vmm.nr_vcpus;

	snprintf(cmdline, sizeof(cmdline), GUEST_CMDLINE " pool=%llu writes=%llu ticks=%llu %s",
		 (unsigned long long)pool, (unsigned long long)writes,
		 (unsigned long long)demo->boot_ticks, append);
	demo->vmm.cmdline = cmdline;
}

static void parse_options(struct demo *demo, int argc, char **argv)
{
	static const struct option options[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "memory", required_argument, NULL, 'm' },
		{ "vcpus", required_argument, NULL, 'c' },
		{ "working-set", required_argument, NULL, 'w' },
		{ "write-rate", required_argument, NULL, 'W' },
		{ "append", required_argument, NULL, 'A' },
		{ "target", required_argument, NULL, 'T' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "streams", required_argument, NULL, 's' },
		{ "before", required_argument, NULL, 'b' },
		{ "after", required_argument, NULL, 'a' },
		{ "timeout", required_argument, NULL, 't' },
		{ "stall", required_argument, NULL, 'S' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "live", no_argument, NULL, 'l' },
		{ "trace", no_argument, NULL, 'R' },
		{ "boot-only", required_argument, NULL, 'B' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	struct migrate_options *migrate = &demo->vmm.migrate;
	const u64 max = 1000000;
	const char *append = "";
	int c, index = 0;

	while ((c = getopt_long(argc, argv, "", options, &index)) != -1) {
		const char *name = options[index].name;

		switch (c) {
		case 'k':
			demo->vmm.kernel = optarg;
			break;
		case 'i':
			demo->vmm.initrd = optarg;
			break;
		case 'm':
			demo->vmm.mem_size = parse_number(name, optarg, 1, MAX_MEM_MIB);
			demo->vmm.mem_size <<= MIB_SHIFT;
			break;
		case 'c':
			demo->vmm.nr_vcpus = parse_number(name, optarg, 1, VM_MAX_VCPUS);
			break;
		case 'w':
			demo->working_set = parse_number(name, optarg, 1, MAX_MEM_MIB);
			demo->working_set <<= MIB_SHIFT;
			break;
		case 'W':
			demo->write_rate = parse_number(name, optarg, 0, max);
			break;
		case 'A':
			append = optarg;
			break;
		case 'T':
			migrate->target_ns = parse_number(name, optarg, 0, max) * NS_PER_MS;
			break;
		case 'r':
			migrate->max_rounds = parse_number(name, optarg, 0, max);
			break;
		case 's':
			migrate->nr_streams = parse_number(name, optarg, 1, MIGRATE_MAX_STREAMS);
			break;
		case 'b':
			demo->ticks_before = parse_number(name, optarg, 1, max);
			break;
		case 'a':
			demo->ticks_after = parse_number(name, optarg, 1, max);
			break;
		case 't':
			demo->timeout = parse_number(name, optarg, 1, max);
			break;
		case 'S':
			demo->stall = parse_number(name, optarg, 1, max);
			break;
		case 'v':
			demo->verbose = true;
			break;
		case 'l':
			demo->live = true;
			break;
		case 'R':
			demo->recorder.on = true;
			break;
		case 'B':
			demo->boot_only = true;
			demo->boot_ticks = parse_number(name, optarg, 1, max);
			break;
		case 'h':
			usage(argv[0], stdout);
			break;
		default:
			usage(argv[0], stderr);
		}
	}
	if (optind != argc || !demo->vmm.kernel || !demo->vmm.initrd)
		usage(argv[0], stderr);
	demo->vmm.migratable = !demo->boot_only;
	make_cmdline(demo, append);
}

int main(int argc, char **argv)
{
	struct demo demo = {
		.vmm.mem_size = (u64)DEFAULT_MEM_MIB << MIB_SHIFT,
		.vmm.nr_vcpus = DEFAULT_VCPUS,
		.vmm.migrate.max_rounds = DEFAULT_ROUNDS,
		.vmm.migrate.target_ns = DEFAULT_TARGET_MS * NS_PER_MS,
		.vmm.migrate.nr_streams = DEFAULT_STREAMS,
		.working_set = (u64)DEFAULT_WORKING_SET_MIB << MIB_SHIFT,
		.write_rate = DEFAULT_WRITE_RATE,
		.ticks_before = DEFAULT_TICKS,
		.ticks_after = DEFAULT_TICKS,
		.timeout = DEFAULT_TIMEOUT,
		.stall = DEFAULT_STALL,
	};

	parse_options(&demo, argc, argv);
	if (access("/dev/kvm", R_OK | W_OK)) {
		fprintf(stderr, "no /dev/kvm: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	signal(SIGPIPE, SIG_IGN);
	report_init(&demo.report, demo.live, demo.verbose);
	report_line(&demo.report, "==== starting a Linux TD guest in VM 1: %llu MiB, %u vCPU%s",
		    (unsigned long long)demo.vmm.mem_size >> MIB_SHIFT, demo.vmm.nr_vcpus,
		    demo.vmm.nr_vcpus == 1 ? "" : "s");
	report_line(&demo.report, "  a workload in it writes %llu pages per second in %llu MiB",
		    (unsigned long long)demo.write_rate,
		    (unsigned long long)demo.working_set >> MIB_SHIFT);
	demo.recorder.epoch_ns = demo.report.epoch_ns;
	recorder_begin(&demo.recorder, &demo.vmm);

	start_children(&demo);
	watch(&demo);
	judge(&demo);

	if (demo.migrated) {
		report_line(&demo.report, "==== summary");
		report_summary(&demo.report, &demo.heartbeat, &demo.calls);
	}
	recorder_end(&demo.recorder, &demo.heartbeat, !demo.fault[0]);
	if (demo.fault[0]) {
		report_line(&demo.report, "==== FAILED: %s", demo.fault);
		return EXIT_FAILURE;
	}
	report_line(&demo.report,
		    "==== PASSED: ticks 1 to %llu, none lost or repeated, no bad page",
		    (unsigned long long)demo.heartbeat.tick);
	return EXIT_SUCCESS;
}
