// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes in KVM selftests that are traced.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "tdx_tracer.h"

#define OPTIONS		(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL)

/* Tells the tracer of TD_STOP_IDLE, and is never delivered. */
#define IDLE_SIGNAL	SIGUSR2

/* The C library's function comes with another definition of struct ptrace_syscall_info. */
static long __ptrace(int request, struct td_tracee *t, u64 addr, u64 data)
{
	return syscall(__NR_ptrace, request, t->pid, addr, data);
}

static void ptrace(int request, struct td_tracee *t, u64 addr, u64 data)
{
	long ret = __ptrace(request, t, addr, data);

	TEST_ASSERT(ret >= 0, "Request 0x%x to process %d failed, errno %d (%s)", request,
		    t->pid, errno, strerror(errno));
}

void td_tracee_seize(struct td_tracee *t, pid_t pid)
{
	*t = (struct td_tracee) { .pid = pid };
	ptrace(PTRACE_SEIZE, t, 0, OPTIONS);
}

void td_tracee_adopt(struct td_tracee *t, const struct td_tracee *parent)
{
	*t = (struct td_tracee) { .pid = parent->child };
}

void td_tracee_resume(struct td_tracee *t)
{
	ptrace(t->at_syscalls ? PTRACE_SYSCALL : PTRACE_CONT, t, 0, t->signal);
	t->signal = 0;
}

/* Returns false if nobody is interested in this one. */
static bool decode_stop(struct td_tracee *t, int status, enum td_stop *stop)
{
	int sig = WSTOPSIG(status);
	u64 child;

	if (!WIFSTOPPED(status)) {
		t->pid = 0;
		t->status = status;
		*stop = TD_STOP_END;
		return true;
	}

	switch (status >> 16) {
	case PTRACE_EVENT_FORK:
		ptrace(PTRACE_GETEVENTMSG, t, 0, (u64)&child);
		t->child = child;
		*stop = TD_STOP_FORK;
		return true;
	case PTRACE_EVENT_STOP:
		/* SIGTRAP: it has just been seized or forked, or been continued. */
		*stop = TD_STOP_GROUP;
		return sig != SIGTRAP;
	}

	if (sig == (SIGTRAP | 0x80)) {
		ptrace(PTRACE_GET_SYSCALL_INFO, t, sizeof(t->syscall), (u64)&t->syscall);
		*stop = t->syscall.op == PTRACE_SYSCALL_INFO_ENTRY ? TD_STOP_ENTRY : TD_STOP_EXIT;
		return true;
	}
	if (sig == IDLE_SIGNAL) {
		*stop = TD_STOP_IDLE;
		return true;
	}

	t->signal = sig;
	return false;
}

enum td_stop td_tracee_wait(struct td_tracee *t)
{
	enum td_stop stop;
	int status;

	for (;;) {
		TEST_ASSERT(waitpid(t->pid, &status, __WALL) == t->pid,
			    "waitpid() of process %d failed, errno %d", t->pid, errno);
		if (decode_stop(t, status, &stop))
			return stop;
		td_tracee_resume(t);
	}
}

bool td_tracee_is_running(struct td_tracee *t)
{
	siginfo_t info = {};
	int ret = waitid(P_PID, t->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL);

	TEST_ASSERT(!ret, "waitid() of process %d failed, errno %d", t->pid, errno);
	return !info.si_pid;
}

void td_tracee_continue(struct td_tracee *t)
{
	TEST_ASSERT(!kill(t->pid, SIGCONT), "Cannot continue process %d", t->pid);
	td_tracee_resume(t);
}

static bool is_stopped(const char *path)
{
	char line[256], *state = NULL;
	FILE *f = fopen(path, "r");

	/* It may have ended. */
	if (!f)
		return true;
	if (fgets(line, sizeof(line), f))
		state = strrchr(line, ')');
	fclose(f);
	return !state || strchr("TtZX", state[2]);
}

static bool are_threads_stopped(struct td_tracee *t)
{
	bool stopped = true;
	struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", t->pid);
	dir = opendir(path);
	TEST_ASSERT(dir, "Cannot open %s, errno %d", path, errno);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", t->pid, entry->d_name);
		stopped &= is_stopped(path);
	}
	closedir(dir);
	return stopped;
}

void td_tracee_wait_for_threads(struct td_tracee *t)
{
	while (!are_threads_stopped(t))
		usleep(100);
}

u64 td_tracee_read(struct td_tracee *t, const void *addr)
{
	u64 value;

	ptrace(PTRACE_PEEKDATA, t, (u64)addr, (u64)&value);
	return value;
}

void td_tracee_kill(struct td_tracee *t)
{
	int status;

	TEST_ASSERT(!kill(t->pid, SIGKILL), "Cannot kill process %d", t->pid);
	/* Of a stop that came before, it may still tell. */
	do {
		TEST_ASSERT(waitpid(t->pid, &status, __WALL) == t->pid,
			    "waitpid() of process %d failed, errno %d", t->pid, errno);
	} while (WIFSTOPPED(status));
	TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		    "Process %d ended by itself, status 0x%x", t->pid, status);
	t->pid = 0;
}

void td_tracee_expect_end(struct td_tracee *t)
{
	enum td_stop stop;

	t->at_syscalls = false;
	td_tracee_resume(t);
	stop = td_tracee_wait(t);
	TEST_ASSERT(stop == TD_STOP_END && !t->status, "Stop %d, status 0x%x", stop, t->status);
}

void td_tracee_wait_for_work(void)
{
	raise(IDLE_SIGNAL);
}
