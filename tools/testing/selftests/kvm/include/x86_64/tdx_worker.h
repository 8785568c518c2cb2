/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TDs in KVM selftests: a TD that does what the host tells it, one command after
 * another, and knows what has to be in each page of its memory.  For tests that
 * interfere with a migration and have to show that no page was harmed.
 */
#ifndef SELFTEST_KVM_TDX_WORKER_H
#define SELFTEST_KVM_TDX_WORKER_H

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

#define TD_WORKER_MAX_VCPUS	2

/*
 * The memory slot that commands are about: pages that the guest accepts and
 * writes at its start, then pages that it knows nothing about.
 */
#define TD_WORKER_SLOT		TD_SLOT_UNACCEPTED
#define TD_WORKER_GPA		0x40000000UL
#define TD_WORKER_NR_OLD	64UL
#define TD_WORKER_NR_NEW	128UL
#define TD_WORKER_NR_PAGES	(TD_WORKER_NR_OLD + TD_WORKER_NR_NEW)
/* The first pages can be converted to shared memory by the guest. */
#define TD_WORKER_NR_ALIASES	8UL

#define TD_WORKER_BITMAP_WORDS	DIV_ROUND_UP(TD_WORKER_NR_PAGES, 64)

enum td_worker_op {
	TD_WORKER_NONE,
	/* Accept pages and write to them. */
	TD_WORKER_ACCEPT,
	/* Write something new to each page, private or shared. */
	TD_WORKER_WRITE,
	/* Do not expect anything in the pages any more. */
	TD_WORKER_FORGET,
	/* Convert pages with MapGPA: to shared memory and back; write to them. */
	TD_WORKER_SHARE,
	TD_WORKER_UNSHARE,
	/* Check all pages. */
	TD_WORKER_CHECK,
	/* Until told to stop: write, or convert and write. */
	TD_WORKER_WRITE_STORM,
	TD_WORKER_CONVERT_STORM,
	/* Until told to stop: accept pages, and take part in nothing else. */
	TD_WORKER_ACCEPT_STORM,
	/* Until told to stop: call the host. */
	TD_WORKER_CALL_STORM,
	/*
	 * Until told to stop: call the host and the TDX module with operands that make
	 * no sense.  Only for who answers all of it, see tdx_mig_src_hostile_test.
	 */
	TD_WORKER_LIE_STORM,
};

/* What host and guest tell each other, in a shared page. */
struct td_worker_shared {
	struct {
		u64 op;
		u64 first;
		u64 nr;
		u64 progress;
	} vcpu[TD_WORKER_MAX_VCPUS];
	u64 stop;
	/* Of the lies, not 0. */
	u64 seed;
};

struct td_worker {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[TD_WORKER_MAX_VCPUS];
	int nr_vcpus;
	/* Of its sessions, for tests that leave it open how many there are. */
	int nr_streams;
	struct td_worker_shared *shared;
	/* Pages that the guest has converted. */
	bool is_shared[TD_WORKER_NR_PAGES];
};

static inline gpa_t td_worker_gpa(u64 page)
{
	return TD_WORKER_GPA + page * PAGE_SIZE;
}

/* A TD that runs, has written its old pages and waits for a command. */
void td_worker_create(struct td_worker *w, int nr_vcpus);
/* Harmless if there is none. */
void td_worker_free(struct td_worker *w);

/*
 * Let vCPU @index, wherever it lives, do something with @nr pages.  Returns when it
 * is done; run the storms in a thread of their own.
 */
void td_worker_run(struct td_worker *w, struct kvm_vcpu *vcpu, int index,
		   enum td_worker_op op, u64 first, u64 nr);
/* The same for vCPU 0 of the source. */
void td_worker_do(struct td_worker *w, enum td_worker_op op, u64 first, u64 nr);
void td_worker_check(struct td_worker *w);

/* A command that is given to one vCPU of the source in the background. */
struct td_worker_thread {
	struct td_worker *w;
	int index;
	enum td_worker_op op;
	u64 first;
	u64 nr;
	pthread_t thread;
};

void td_worker_start(struct td_worker_thread *t, struct td_worker *w, int index,
		     enum td_worker_op op, u64 first, u64 nr);
/* Wait until the guest has gone round its loop @nr more times. */
void td_worker_wait(struct td_worker_thread *t, u64 nr);
/* End storms, and wait for them. */
void td_worker_stop(struct td_worker_thread *threads, int nr);

/* The dirty log of the slot.  Clearing it blocks writes while a session is live. */
int __td_worker_log(struct td_worker *w, bool enable);
void td_worker_log(struct td_worker *w, bool enable);
bool td_worker_is_dirty(struct td_worker *w, u64 page);
int __td_worker_clear_log(struct td_worker *w, u64 first, u64 nr);
void td_worker_clear_log(struct td_worker *w, u64 first, u64 nr);

/* Start a session, with the log on. */
void td_worker_begin(struct td_worker *w, struct td_mig *m, int nr_streams);

/* Pages of a session that has just begun, each in a state of its own. */
enum td_worker_page {
	TD_PAGE_WRITABLE,
	TD_PAGE_BLOCKED,
	TD_PAGE_SENT,
	TD_PAGE_DIRTY,
	TD_PAGE_DIRTY_BLOCKED,
	TD_PAGE_NR_STATES,
};

void td_worker_begin_mixed(struct td_worker *w, struct td_mig *m, int nr_streams);

/* Have a page accepted again that the TD has lost, and all checked. */
void td_worker_get_back(struct td_worker *w, u64 page);

/*
 * Export, or cancel the export of, pages of the slot over stream 0.  Returns the
 * entry of the last page as it came back.
 */
u64 td_worker_export(struct td_mig *m, unsigned int op, u64 first, u64 nr);
int __td_worker_export(struct td_mig *m, unsigned int op, u64 first, u64 nr, u64 *entry);
/* Cancel the export of pages, which has to succeed. */
void td_worker_cancel(struct td_mig *m, u64 first, u64 nr);
/* Block the pages, export them, which has to succeed, and begin a new epoch. */
void td_worker_precopy(struct td_worker *w, struct td_mig *m, u64 first, u64 nr);

/* Everything else that a live or paused session has to send. */
void td_worker_export_rest(struct td_mig *m, bool is_paused);
/* Import all of that, let the TD check its memory and free the destination. */
void td_worker_import(struct td_worker *w, struct td_mig *m);
/* Both of them, for a live session. */
void td_worker_finish(struct td_worker *w, struct td_mig *m);
/*
 * A session of its own, to show that there can be one.  It needs as many streams as
 * those before.
 */
void td_worker_migrate(struct td_worker *w, int nr_streams);

#endif /* SELFTEST_KVM_TDX_WORKER_H */
