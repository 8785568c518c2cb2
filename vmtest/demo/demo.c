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
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event.h"
#include "judge.h"
#include "report.h"
#include "vmm.h"

#define EXIT_SKIP		4

#define DEFAULT_MEM_MIB		64
#define DEFAULT_TICKS		16
#define DEFAULT_TIMEOUT		80
#define DEFAULT_ROUNDS		4
#define MIB_SHIFT		20
#define POLL_MS			100

/* The workload goes through all of its memory in so many ticks. */
#define TICKS_PER_PASS		4

#define GUEST_CMDLINE		"console=ttyS0 loglevel=2 panic=-1 reboot=k printk.devkmsg=on swiotlb=512"

enum { SOURCE, DESTINATION, NR_VMS };

struct child {
	pid_t pid;
	int control;
	bool ended;
	bool failed;
};

struct demo {
	struct vmm_options vmm;
	/* Ticks to watch before and after the migration. */
	u32 ticks_before;
	u32 ticks_after;
	u32 timeout;
	/* Only boot the guest, until it ends by itself. */
	bool boot_only;
	u64 boot_ticks;
	bool live;

	struct child children[NR_VMS];
	int events;
	struct report report;
	struct judge judge;
	struct simstat calls;
	bool migrating;
	bool migrated;
	bool resumed;
	bool guest_ended;
	bool quitting;
};

static void start_child(struct demo *demo, u32 index, int events, int wire)
{
	struct child *child = &demo->children[index];
	struct vmm_fds fds = { .wire = wire };
	int control[2];

	if (pipe(control)) {
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

	if (pipe(events) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire)) {
		perror("pipe");
		exit(EXIT_FAILURE);
	}
	demo->events = events[0];

	fflush(stdout);
	start_child(demo, SOURCE, events[1], wire[SOURCE]);
	/* The source must notice when its peer is gone, and the other way round. */
	close(wire[SOURCE]);
	if (!demo->boot_only)
		start_child(demo, DESTINATION, events[1], wire[DESTINATION]);
	else
		demo->children[DESTINATION].ended = true;
	close(wire[DESTINATION]);
	close(events[1]);
}

static void command(struct demo *demo, u32 index, u8 command)
{
	if (!demo->children[index].ended &&
	    write(demo->children[index].control, &command, sizeof(command)) != sizeof(command))
		judge_fault(&demo->judge, "VM %u takes no commands", index + 1);
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

	if (!demo->migrating && demo->judge.ticks[SOURCE] >= demo->ticks_before) {
		report_line(&demo->report, "==== migrating the guest from VM 1 to VM 2");
		demo->migrating = true;
		simstat_read(&demo->calls);
		demo->report.start_ns = now_ns();
		command(demo, SOURCE, VMM_MIGRATE);
	}
	if (demo->migrated && demo->judge.ticks[DESTINATION] >= demo->ticks_after)
		quit(demo);
}

static void handle_event(struct demo *demo, const struct event *event)
{
	struct simstat now;

	if (event->vm >= NR_VMS)
		return;

	switch (event->type) {
	case EVENT_CONSOLE:
		report_console(&demo->report, event);
		if (judge_line(&demo->judge, event->vm, event->time_ns, event->text))
			handle_tick(demo);
		break;
	case EVENT_MESSAGE:
		report_line(&demo->report, "VM %u: %s", event->vm + 1, event->text);
		break;
	case EVENT_FATAL:
		report_line(&demo->report, "VM %u: error: %s", event->vm + 1, event->text);
		judge_fault(&demo->judge, "the VMM of VM %u gave up", event->vm + 1);
		demo->children[event->vm].failed = true;
		quit(demo);
		break;
	case EVENT_PROGRESS:
		report_progress(&demo->report, event);
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
		judge_fault(&demo->judge, "the migration failed, the guest went on in VM 1");
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
			judge_fault(&demo->judge, "the VMM of VM %u died", i + 1);
		quit(demo);
	}
}

/* Read events until both VMMs have closed their end of the pipe. */
static void watch(struct demo *demo)
{
	u64 limit = now_ns() + demo->timeout * NS_PER_SEC;
	struct pollfd pfd = { .fd = demo->events, .events = POLLIN };
	struct event event;
	u32 i;

	for (;;) {
		if (poll(&pfd, 1, POLL_MS) > 0) {
			if (read(demo->events, &event, sizeof(event)) != sizeof(event))
				break;
			handle_event(demo, &event);
		}
		reap_children(demo);
		if (now_ns() > limit) {
			judge_fault(&demo->judge, "not done within %u seconds", demo->timeout);
			break;
		}
	}

	for (i = 0; i < NR_VMS; i++) {
		if (demo->children[i].ended)
			continue;
		if (now_ns() > limit)
			kill(demo->children[i].pid, SIGKILL);
		waitpid(demo->children[i].pid, NULL, 0);
	}
}

static void judge_end(struct demo *demo)
{
	struct judge *judge = &demo->judge;

	if (!judge->ticks[SOURCE])
		judge_fault(judge, "the guest did not come up");
	if (demo->boot_only) {
		if (!demo->guest_ended || judge->tick != demo->boot_ticks)
			judge_fault(judge, "the guest did not end as it should");
		return;
	}
	if (demo->guest_ended)
		judge_fault(judge, "the guest has reset its machine");
	if (!demo->migrated || !demo->resumed)
		judge_fault(judge, "the migration did not complete");
	if (judge->ticks[DESTINATION] < demo->ticks_after)
		judge_fault(judge, "the guest does not go on in VM 2");
	if (!judge->checks[DESTINATION])
		judge_fault(judge, "the guest has not checked its memory in VM 2");
}

static void usage(const char *name)
{
	fprintf(stderr,
		"Usage: %s --kernel BZIMAGE --initrd CPIO [options]\n"
		"  --memory MIB     memory of the guest (%u)\n"
		"  --vcpus N        vCPUs of the guest (1)\n"
		"  --before TICKS   ticks to watch before the migration (%u)\n"
		"  --after TICKS    ticks to watch after it (%u)\n"
		"  --rounds N       send memory so many times while the guest runs (%u)\n"
		"  --timeout SECS   give up after that (%u)\n"
		"  --append WORDS   add to the command line of the guest\n"
		"  --live           rewrite progress lines also when not on a terminal\n"
		"  --boot-only TICKS  no migration: boot, run so many ticks, reset\n",
		name, DEFAULT_MEM_MIB, DEFAULT_TICKS, DEFAULT_TICKS, DEFAULT_ROUNDS,
		DEFAULT_TIMEOUT);
	exit(EXIT_FAILURE);
}

static void parse_options(struct demo *demo, int argc, char **argv)
{
	static const struct option options[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "memory", required_argument, NULL, 'm' },
		{ "vcpus", required_argument, NULL, 'c' },
		{ "before", required_argument, NULL, 'b' },
		{ "after", required_argument, NULL, 'a' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "timeout", required_argument, NULL, 't' },
		{ "append", required_argument, NULL, 'A' },
		{ "live", no_argument, NULL, 'l' },
		{ "boot-only", required_argument, NULL, 'B' },
		{},
	};
	static char cmdline[512];
	const char *append = "";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		u64 number = optarg ? strtoul(optarg, NULL, 0) : 0;

		switch (c) {
		case 'k':
			demo->vmm.kernel = optarg;
			break;
		case 'i':
			demo->vmm.initrd = optarg;
			break;
		case 'm':
			demo->vmm.mem_size = number << MIB_SHIFT;
			break;
		case 'c':
			demo->vmm.nr_vcpus = number;
			break;
		case 'b':
			demo->ticks_before = number;
			break;
		case 'a':
			demo->ticks_after = number;
			break;
		case 'r':
			demo->vmm.max_rounds = number;
			break;
		case 't':
			demo->timeout = number;
			break;
		case 'A':
			append = optarg;
			break;
		case 'l':
			demo->live = true;
			break;
		case 'B':
			demo->boot_only = true;
			demo->boot_ticks = number;
			break;
		default:
			usage(argv[0]);
		}
	}
	if (optind != argc || !demo->vmm.kernel || !demo->vmm.initrd)
		usage(argv[0]);

	snprintf(cmdline, sizeof(cmdline), GUEST_CMDLINE " ticks=%llu %s",
		 (unsigned long long)demo->boot_ticks, append);
	demo->vmm.cmdline = cmdline;
	demo->vmm.migratable = !demo->boot_only;
	/* Each page of the workload is to be looked at in VM 2. */
	if (demo->ticks_after < 2 * TICKS_PER_PASS)
		demo->ticks_after = 2 * TICKS_PER_PASS;
}

int main(int argc, char **argv)
{
	struct demo demo = {
		.vmm.mem_size = (u64)DEFAULT_MEM_MIB << MIB_SHIFT,
		.vmm.nr_vcpus = 1,
		.vmm.max_rounds = DEFAULT_ROUNDS,
		.ticks_before = DEFAULT_TICKS,
		.ticks_after = DEFAULT_TICKS,
		.timeout = DEFAULT_TIMEOUT,
	};

	parse_options(&demo, argc, argv);
	if (access("/dev/kvm", R_OK | W_OK)) {
		fprintf(stderr, "no /dev/kvm: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	signal(SIGPIPE, SIG_IGN);
	report_init(&demo.report, demo.live);
	report_line(&demo.report, "==== starting a Linux TD guest in VM 1: %llu MiB, %u vCPU%s",
		    (unsigned long long)demo.vmm.mem_size >> MIB_SHIFT, demo.vmm.nr_vcpus,
		    demo.vmm.nr_vcpus == 1 ? "" : "s");

	start_children(&demo);
	watch(&demo);
	judge_end(&demo);

	if (demo.migrated) {
		report_line(&demo.report, "==== summary");
		report_summary(&demo.report, &demo.judge, &demo.calls);
	}
	if (demo.judge.fault[0]) {
		report_line(&demo.report, "==== FAILED: %s", demo.judge.fault);
		return EXIT_FAILURE;
	}
	report_line(&demo.report,
		    "==== PASSED: ticks 1 to %llu, none lost or repeated, no bad page",
		    (unsigned long long)demo.judge.tick);
	return EXIT_SUCCESS;
}
