// SPDX-License-Identifier: GPL-2.0
/*
 * Start a migration TD from a TDVF image, be it Intel's or the one of the selftests.
 *
 * It succeeds if the TD waits for requests, and answers one for its TDREPORT. The
 * VMM has no peer and binds nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event.h"
#include "vmm_process.h"

#define EXIT_SKIP		4

#define DEFAULT_MEM_MIB		32
#define MAX_MEM_MIB		1024
#define MIB_SHIFT		20
/* Without any event. */
#define SILENCE_MS		120000

static void __noreturn fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* The VMM is a process of its own, as it ends when something is wrong. */
static pid_t start_vmm(const char *image, u64 mem_size, int *events, int *control)
{
	int event_pipe[2], control_pipe[2];
	struct vmm_fds fds = { .wire = -1 };
	pid_t pid;

	if (pipe2(event_pipe, O_CLOEXEC) || pipe2(control_pipe, O_CLOEXEC))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		close(event_pipe[0]);
		close(control_pipe[1]);
		fds.control = control_pipe[0];
		event_init(event_pipe[1], 0);
		vmm_migtd(image, mem_size, &fds);
	}
	close(event_pipe[1]);
	close(control_pipe[0]);
	*events = event_pipe[0];
	*control = control_pipe[1];
	return pid;
}

static bool next_event(int events, struct event *event)
{
	struct pollfd pfd = { .fd = events, .events = POLLIN };
	int ret;

	do {
		ret = poll(&pfd, 1, SILENCE_MS);
	} while (ret < 0 && errno == EINTR);
	return ret > 0 && read(events, event, sizeof(*event)) == sizeof(*event);
}

/* Until the migration TD has answered, which it returns, or cannot any more. */
static bool watch(int events)
{
	struct event event;

	while (next_event(events, &event)) {
		switch (event.type) {
		case EVENT_CONSOLE:
			printf("migration TD: %s\n", event.text);
			break;
		case EVENT_MESSAGE:
			printf("VMM: %s\n", event.text);
			break;
		case EVENT_FATAL:
			printf("VMM: error: %s\n", event.text);
			return false;
		case EVENT_REPORTED:
			return true;
		case EVENT_ENDED:
			printf("VMM: the migration TD has reset its machine\n");
			return false;
		}
		fflush(stdout);
	}
	return false;
}

static int run(const char *image, u64 mem_size)
{
	int events, control, status;
	pid_t pid = start_vmm(image, mem_size, &events, &control);
	bool reported = watch(events);

	/* One that is silent may be stuck. */
	if (!reported)
		kill(pid, SIGKILL);
	close(control);
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	if (!reported || status) {
		printf("FAILED: %s\n", reported ? "the VMM has not ended well" :
		       "the migration TD did not come up");
		return EXIT_FAILURE;
	}
	printf("PASSED: the migration TD is up and serves requests\n");
	return EXIT_SUCCESS;
}

static void __noreturn usage(const char *name)
{
	fprintf(stderr, "Usage: %s IMAGE [MIB]\n"
		"Start a migration TD with so much memory (%u) from a TDVF image.\n", name,
		DEFAULT_MEM_MIB);
	exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
	unsigned long mib = DEFAULT_MEM_MIB;
	char *end;

	if (argc < 2 || argc > 3 || argv[1][0] == '-')
		usage(argv[0]);
	if (argc == 3) {
		mib = strtoul(argv[2], &end, 0);
		if (*end || !mib || mib > MAX_MEM_MIB)
			usage(argv[0]);
	}
	if (access("/dev/kvm", R_OK | W_OK)) {
		fprintf(stderr, "no /dev/kvm: %s\n", strerror(errno));
		return EXIT_SKIP;
	}
	return run(argv[1], (u64)mib << MIB_SHIFT);
}
