/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes in KVM selftests that a test stops, resumes and kills at the system calls of
 * their main thread, with ptrace.  Their other threads are left alone.
 */
#ifndef SELFTEST_KVM_TDX_TRACER_H
#define SELFTEST_KVM_TDX_TRACER_H

#include <linux/ptrace.h>
#include <sys/types.h>

#include "kvm_util.h"

struct td_tracee {
	/* 0 if there is none, or none any more. */
	pid_t pid;
	/* Stop at system calls, too. */
	bool at_syscalls;
	/* What it gets when it goes on. */
	int signal;
	/* The system call of TD_STOP_ENTRY and TD_STOP_EXIT. */
	struct ptrace_syscall_info syscall;
	/* The process of TD_STOP_FORK. */
	pid_t child;
	/* The wait status of TD_STOP_END. */
	int status;
};

enum td_stop {
	/* It has something to do: see td_tracee_wait_for_work(). */
	TD_STOP_IDLE,
	TD_STOP_ENTRY,
	TD_STOP_EXIT,
	TD_STOP_FORK,
	/* SIGSTOP has stopped all of the process. */
	TD_STOP_GROUP,
	TD_STOP_END,
};

/*
 * Trace a child of the calling process, and whatever it forks.  All of them die with the
 * calling process.
 */
void td_tracee_seize(struct td_tracee *t, pid_t pid);
/* The same for TD_STOP_FORK of @parent: it is traced already. */
void td_tracee_adopt(struct td_tracee *t, const struct td_tracee *parent);

/* Let it go on. */
void td_tracee_resume(struct td_tracee *t);
/* Wait for the next of these stops. */
enum td_stop td_tracee_wait(struct td_tracee *t);
/* Is it on its way, i.e. at none of them? */
bool td_tracee_is_running(struct td_tracee *t);
/* Let it go on after TD_STOP_GROUP, with all its threads. */
void td_tracee_continue(struct td_tracee *t);
/* Wait until all its threads are stopped, between TD_STOP_GROUP and td_tracee_continue(). */
void td_tracee_wait_for_threads(struct td_tracee *t);
/* A word of its memory, while it is at a stop. */
u64 td_tracee_read(struct td_tracee *t, const void *addr);

/* Kill it, wherever it is, and wait until nothing is left of it. */
void td_tracee_kill(struct td_tracee *t);
/* It is about to end by itself, and has to do so without an error. */
void td_tracee_expect_end(struct td_tracee *t);

/* For the traced process: be at TD_STOP_IDLE. */
void td_tracee_wait_for_work(void);

#endif /* SELFTEST_KVM_TDX_TRACER_H */
