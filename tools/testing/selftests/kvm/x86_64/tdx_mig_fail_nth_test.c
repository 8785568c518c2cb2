// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every failure once: in each part of a migration the first, second, ... n-th allocation
 * or SEAMCALL fails, until there is none left to fail, in each way in which it can.
 *
 * Whatever fails, the command says so with an errno that is documented for it.  Then it
 * can be repeated; or it is given up, or has ended the session, and the source runs on
 * with all its memory and can be migrated by another session.  Nothing is left of the VMs.
 *
 * Usage: tdx_mig_fail_nth_test [-n NUMBER [-s SEED]] [-t SCENARIO]
 * Without -n, all points of each scenario fail, else so many, chosen at random.
 */
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_fail.h"
#include "tdx_mig_test.h"
#include "tdx_scenario.h"
#include "tdx_sim_util.h"

/* Pages of the worker: sent before the pause and in it, and left for post-copy. */
#define SENT_NR			16UL
#define PAUSED_FIRST		SENT_NR
#define LATE_NR			8UL
#define LATE_FIRST		(TD_WORKER_NR_OLD - LATE_NR)
#define PAUSED_NR		(LATE_FIRST - PAUSED_FIRST)
/* Of the first ones: written after they were sent, and revoked. */
#define WRITTEN_FIRST		0UL
#define WRITTEN_NR		4UL
#define CANCELED_FIRST		8UL
#define CANCELED_NR		4UL

/* No scenario has as many points. */
#define MAX_POINTS		1000000U
/* Longer than KVM waits where it can fail, shorter than where it cannot. */
#define LONG			4000U
/* Once there is no way back, KVM resumes a command for longer, then it can be repeated. */
#define LONG_WITHOUT_RETURN	2000U

/* What the caller does when a command can be repeated. */
enum policy {
	REPEAT,
	GIVE_UP,
};

/* Parts of a migration, in their order. */
enum part {
	OPEN,
	START,
	LOG,
	EPOCH,
	PAUSE,
	STATE,
	DEST_OPEN,
	IMPORT_START,
	IMPORT_MEM,
	IMPORT_STATE,
	TOKEN,
	IMPORT_TOKEN,
	COMMIT,
	POSTCOPY,
	END,
	/* Not a part, but what comes instead of the rest. */
	ABORT,
};

struct attempt;

struct scenario {
	/* What is done, with points in it. */
	void (*run)(const struct scenario *s, struct attempt *a);
	/* The parts of a migration that have them; or an abort after a part. */
	enum part first, last;
	/* There is a way back. */
	bool can_give_up;
	/* A SEAMCALL that fails once is seen. */
	bool sees_it_once;
	/* How often it fails if it does so for long, 0 for the usual number. */
	unsigned int nr_long;
};

static unsigned int nr_long(const struct scenario *s)
{
	return s->nr_long ?: LONG;
}

struct attempt {
	/* A TD that is moved, or one that is to be served. */
	struct td_worker w;
	struct td_mig m;
	struct td_mig_dest d;
	struct td_pair p;
	int next_bundle;

	struct td_fail fail;
	enum policy policy;
	/* The part that is under way has points. */
	bool armed;
	u64 hw_error;

	/* Commands that have failed. */
	unsigned int nr_failed;
	/* One was given up, or has ended the session. */
	bool over;
	bool is_exporting, is_importing, has_token;
};

/* Errors that are documented for a command, and that a failure below it can cause. */
struct command {
	const char *name;
	int errnos[4];
};

#define COMMAND(_name, ...)							\
	static const struct command cmd_##_name = { #_name, { __VA_ARGS__ } }

COMMAND(create_device, ENOMEM);
COMMAND(set_attr, ENOMEM, EAGAIN);
COMMAND(map, ENOMEM, EAGAIN);
COMMAND(set_log, ENOMEM);
COMMAND(clear_log, ENOMEM);
COMMAND(prebind, EAGAIN, ENOMEM);
COMMAND(bind, EAGAIN, ENOMEM);
COMMAND(export_immutable, EAGAIN, EIO);
COMMAND(export_mem, EAGAIN, ENOMEM, ECANCELED);
COMMAND(export_track, EAGAIN);
COMMAND(export_pause, EAGAIN);
COMMAND(export_state, EAGAIN, ECANCELED);
COMMAND(export_abort, EAGAIN);
COMMAND(import_immutable, EAGAIN, ENOMEM, EIO);
COMMAND(import, EAGAIN, ENOMEM, EIO);
COMMAND(import_commit, EAGAIN);
COMMAND(import_end, EAGAIN);
COMMAND(import_abort, EAGAIN);

static bool is_documented(const struct command *command, int err)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(command->errnos); i++) {
		if (command->errnos[i] == err)
			return true;
	}
	return false;
}

/* Returns whether the command, which has returned @ret, is to be repeated. */
static bool settle(struct attempt *a, const struct command *command, int ret)
{
	u64 status = a->hw_error & TDX_STATUS_MASK;
	int err = errno;

	if (ret >= 0)
		return false;

	TEST_ASSERT(a->fail.reached && !a->nr_failed,
		    "%s failed by itself: errno %d (%s), hw_error 0x%lx", command->name, err,
		    strerror(err), a->hw_error);
	TEST_ASSERT(is_documented(command, err) && (err != EAGAIN || a->fail.leaf),
		    "%s: errno %d (%s), hw_error 0x%lx, as leaf %u has returned 0x%lx",
		    command->name, err, strerror(err), a->hw_error, a->fail.leaf, a->fail.status);
	TEST_ASSERT(!status || err != EAGAIN || status == (a->fail.status & TDX_STATUS_MASK),
		    "%s: hw_error 0x%lx, but leaf %u has returned 0x%lx", command->name,
		    a->hw_error, a->fail.leaf, a->fail.status);

	a->nr_failed++;
	a->over = err == EIO || err == ECANCELED || a->policy == GIVE_UP;
	return !a->over;
}

/* A command of a stream that may fail, unless all is over. */
#define TRY(_a, _command, _call)						\
do {										\
	if ((_a)->over)								\
		break;								\
	(_a)->hw_error = 0;							\
} while (settle(_a, _command, _call))

/* The same for other system calls. */
#define TRY_OTHER(_a, _command, _call)						\
	TRY(_a, _command, ({							\
		int __ret;							\
										\
		if ((_a)->armed)						\
			td_fail_arm(&(_a)->fail);				\
		__ret = (_call);						\
		if ((_a)->armed)						\
			td_fail_disarm(&(_a)->fail);				\
		__ret;								\
	}))

static int __cmd(struct attempt *a, struct td_mig_stream *s, u32 id)
{
	return __td_mig_cmd_nr(s, id, NULL, &a->hw_error);
}

/* Have points in what comes next. */
static void arm(struct attempt *a, bool armed)
{
	a->armed = armed;
	a->m.streams[0].fail = armed ? &a->fail : NULL;
	a->d.streams[0].fail = armed ? &a->fail : NULL;
}

/* --------------------------------------------------------------- the source */

static void open_stream(struct attempt *a, struct td_mig_stream *s, struct kvm_vm *vm)
{
	s->fd = -1;
	TRY_OTHER(a, &cmd_create_device, __td_mig_stream_create(s, vm, 0));
	TRY_OTHER(a, &cmd_set_attr, __td_mig_stream_set_attr(s, KVM_DEV_TDX_MIG_ATTR_VERSION,
							     TD_WORKER_NR_PAGES));
	s->buf_list_pages = TD_WORKER_NR_PAGES;
	TRY_OTHER(a, &cmd_map, __td_mig_stream_map(s));
}

static void open_source(struct attempt *a)
{
	a->m = (struct td_mig) {
		.src = a->w.vm,
		.nr_vcpus = 1,
		.nr_entries = TD_WORKER_NR_PAGES,
	};
	a->m.src_vcpus[0] = a->w.vcpus[0];
	open_stream(a, &a->m.streams[0], a->w.vm);
	a->m.nr_streams = a->m.streams[0].fd >= 0;
}

static void export_state(struct attempt *a, const struct command *command, u32 id)
{
	struct td_mig_bundle *b = td_mig_next_bundle(&a->m);

	TRY(a, command, __td_mig_export_state(&a->m.streams[0], id, b, &a->hw_error));
	if (a->over)
		a->m.nr_bundles--;
}

static void export_pages(struct attempt *a, unsigned int op, u64 first, u64 nr)
{
	TRY(a, &cmd_export_mem, __td_worker_export(&a->m, op, first, nr, NULL));
}

/* The same, and none of the pages is refused, e.g. because it was sent before. */
static void export_all_pages(struct attempt *a, unsigned int op, u64 first, u64 nr)
{
	struct td_mig_bundle *b;
	unsigned int i;

	export_pages(a, op, first, nr);
	if (a->over)
		return;

	b = &a->m.bundles[a->m.nr_bundles - 1];
	for (i = 0; i < nr; i++)
		TEST_ASSERT(td_gpa_entry_op(b->gpa_list[i]) &&
			    !td_gpa_entry_status(b->gpa_list[i]),
			    "Page %lu: entry 0x%lx", first + i, b->gpa_list[i]);
}

static void export_token(struct attempt *a, bool start_token)
{
	struct td_mig_bundle *b = td_mig_next_bundle(&a->m);

	TRY(a, &cmd_export_track, __td_mig_export_track(&a->m.streams[0], start_token, b,
							&a->hw_error));
	if (a->over)
		a->m.nr_bundles--;
}

static void start(struct attempt *a)
{
	if (!a->over)
		td_mig_exchange_keys(&a->m);
	export_state(a, &cmd_export_immutable, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE);
	a->is_exporting = !a->over;
}

static void toggle_log(struct attempt *a)
{
	TRY_OTHER(a, &cmd_set_log, __td_worker_log(&a->w, true));
	TRY_OTHER(a, &cmd_set_log, __td_worker_log(&a->w, false));
	TRY_OTHER(a, &cmd_set_log, __td_worker_log(&a->w, true));
}

static void clear_log(struct attempt *a, u64 first, u64 nr)
{
	TRY_OTHER(a, &cmd_clear_log, __td_worker_clear_log(&a->w, first, nr));
}

static void run_epoch(struct attempt *a)
{
	clear_log(a, 0, SENT_NR);
	export_all_pages(a, TDX_MIG_GPA_OP_MIGRATE, 0, SENT_NR);
	export_token(a, false);
	if (!a->over)
		td_worker_do(&a->w, TD_WORKER_WRITE, WRITTEN_FIRST, WRITTEN_NR);
	export_all_pages(a, TDX_MIG_GPA_OP_CANCEL, CANCELED_FIRST, CANCELED_NR);
	export_token(a, false);
	clear_log(a, 0, SENT_NR);
	export_all_pages(a, TDX_MIG_GPA_OP_MIGRATE, WRITTEN_FIRST, WRITTEN_NR);
	export_all_pages(a, TDX_MIG_GPA_OP_MIGRATE, CANCELED_FIRST, CANCELED_NR);
	export_token(a, false);
}

static void pause_source(struct attempt *a)
{
	TRY(a, &cmd_export_pause, __cmd(a, &a->m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE));
	export_pages(a, TDX_MIG_GPA_OP_MIGRATE, 0, LATE_FIRST);
}

static void send_state(struct attempt *a)
{
	bool armed = a->armed;

	/* What the part before has not sent is no part of this one either. */
	arm(a, false);
	if (!a->over)
		td_mig_export_other_slots(&a->m, TD_WORKER_SLOT);
	arm(a, armed);
	export_state(a, &cmd_export_state, KVM_TDX_MIG_EXPORT_STATE_TD);
	export_state(a, &cmd_export_state, KVM_TDX_MIG_EXPORT_STATE_VP);
	if (!a->over)
		td_mig_vcpu_save(a->w.vcpus[0], &a->m.vcpu_state[0]);
}

static void send_token(struct attempt *a)
{
	export_token(a, true);
	a->has_token = !a->over;
}

/* ---------------------------------------------------------- the destination */

static void open_dest(struct attempt *a)
{
	if (a->over)
		return;

	a->m.nr_streams = 0;
	td_mig_dest_create(&a->d, &a->m);
	a->m.nr_streams = 1;
	open_stream(a, &a->d.streams[0], a->d.vm);
	a->d.nr_streams = a->d.streams[0].fd >= 0;
}

/* The bundles that @import_cmd imports, up to the first one of another kind. */
static void import_bundles(struct attempt *a, const struct command *command, u32 import_cmd)
{
	const struct td_mig_bundle *b;
	struct td_mig_stream *s;
	u64 nr;

	for (; !a->over && a->next_bundle < a->m.nr_bundles; a->next_bundle++) {
		b = &a->m.bundles[a->next_bundle];
		if (b->import_cmd != import_cmd)
			break;
		/* What is repeated finds the buffers as it has left them. */
		s = td_mig_load_bundle(a->d.streams, b);
		nr = b->nr;
		TRY(a, command, __td_mig_cmd_nr(s, import_cmd, &nr, &a->hw_error));
	}
}

static void import_start(struct attempt *a)
{
	import_bundles(a, &cmd_import_immutable, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE);
	a->is_importing = !a->over;
}

static void import_mem(struct attempt *a)
{
	int next;

	/* Each epoch ends with a token. */
	do {
		next = a->next_bundle;
		import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_MEM);
		import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_TRACK);
	} while (!a->over && next != a->next_bundle);
}

static void import_state(struct attempt *a)
{
	import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_STATE_TD);
	import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_STATE_VP);
	if (!a->over)
		td_mig_load_vcpus(&a->d, &a->m);
}

static void import_token(struct attempt *a)
{
	import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_TRACK);
}

static void commit(struct attempt *a)
{
	TRY(a, &cmd_import_commit, __cmd(a, &a->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT));
}

static void send_late_pages(struct attempt *a)
{
	export_all_pages(a, TDX_MIG_GPA_OP_MIGRATE, LATE_FIRST, LATE_NR);
	import_bundles(a, &cmd_import, KVM_TDX_MIG_IMPORT_MEM);
}

static void end(struct attempt *a)
{
	TRY(a, &cmd_import_end, __cmd(a, &a->d.streams[0], KVM_TDX_MIG_IMPORT_END));
}

static void (*const parts[])(struct attempt *a) = {
	[OPEN] = open_source,
	[START] = start,
	[LOG] = toggle_log,
	[EPOCH] = run_epoch,
	[PAUSE] = pause_source,
	[STATE] = send_state,
	[DEST_OPEN] = open_dest,
	[IMPORT_START] = import_start,
	[IMPORT_MEM] = import_mem,
	[IMPORT_STATE] = import_state,
	[TOKEN] = send_token,
	[IMPORT_TOKEN] = import_token,
	[COMMIT] = commit,
	[POSTCOPY] = send_late_pages,
	[END] = end,
};

/* ------------------------------------------------------------- an attempt */

/* Both sides give up, each with what it has got. */
static void abort_both(struct attempt *a)
{
	if (a->is_importing) {
		TRY(a, &cmd_import_abort, __cmd(a, &a->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT));
		*a->m.streams[0].mbmd = *a->d.streams[0].mbmd;
	}
	if (a->is_exporting)
		TRY(a, &cmd_export_abort, __cmd(a, &a->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT));
}

/* The source has all its memory, and moves by another session. */
static void expect_source_unharmed(struct attempt *a)
{
	td_mig_dest_free(&a->d);
	td_mig_free(&a->m);
	td_worker_check(&a->w);
	td_worker_migrate(&a->w, 1);
}

static void migrate(const struct scenario *s, struct attempt *a)
{
	bool aborts = s->last == ABORT;
	enum part part;

	td_worker_create(&a->w, 1);
	for (part = OPEN; part <= (aborts ? s->first : END); part++) {
		arm(a, !aborts && part >= s->first && part <= s->last);
		parts[part](a);
	}
	arm(a, aborts);

	if (a->over || aborts) {
		a->over = false;
		abort_both(a);
		expect_source_unharmed(a);
	} else {
		td_worker_run(&a->w, a->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
		td_mig_dest_free(&a->d);
		td_mig_free(&a->m);
	}
	td_worker_free(&a->w);
}

static int vm_cmd(struct attempt *a, u32 id, void *data)
{
	return __td_vm_ioctl(a->p.vm, id, 0, data, &a->hw_error);
}

/* What is not bound runs, but does not move. */
static void bind_service_td(const struct scenario *s, struct attempt *a)
{
	struct td_migtd *src = td_mig_src_migtd();
	struct kvm_tdx_servtd_prebind prebind = { .type = KVM_TDX_SERVTD_TYPE_MIGTD };
	struct kvm_tdx_servtd_bind bind = { .servtd_fd = src->vm->fd };
	struct td_pair *p = &a->p;

	td_migtd_info_hash(src, 0, prebind.info_hash);
	td_pair_create_unbound(p);
	a->armed = true;
	TRY_OTHER(a, &cmd_prebind, vm_cmd(a, KVM_TDX_SERVTD_PREBIND, &prebind));
	TRY_OTHER(a, &cmd_bind, vm_cmd(a, KVM_TDX_SERVTD_BIND, &bind));
	a->armed = false;

	td_pair_launch(p);
	if (a->over) {
		td_pair_run_to_done(p->vcpu);
	} else {
		td_migtd_set_target(src, &bind);
		p->src_migtd = src;
		p->src = src->target;
		td_pair_add_dest(p, td_mig_dst_migtd(), 0);
		td_pair_exchange(p);
		td_pair_migrate(p);
	}
	td_pair_free(p);
}

/* A process ends, and with it both sides of a migration.  Nothing that fails is seen. */
static void tear_down(const struct scenario *s, struct attempt *a)
{
	siginfo_t info = {};
	enum part part;
	pid_t pid;

	fflush(stdout);
	td_fail_end(&a->fail);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		td_worker_create(&a->w, 1);
		for (part = OPEN; part <= s->first; part++)
			parts[part](a);
		td_fail_attach(&a->fail, gettid());
		td_fail_arm(&a->fail);
		_exit(0);
	}

	/* Its counter lives as long as it is a zombie. */
	TEST_ASSERT(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT), "waitid() failed");
	TEST_ASSERT(info.si_code == CLD_EXITED && !info.si_status, "The process has failed");
	td_fail_attach(&a->fail, pid);
	td_fail_disarm(&a->fail);
	TEST_ASSERT_EQ(waitpid(pid, NULL, 0), pid);
}

static void run_attempt(const struct scenario *s, struct attempt *a)
{
	unsigned int owned = td_sim_count_owned_pages(NULL), tds = td_sim_count_tds();

	s->run(s, a);
	TEST_ASSERT_EQ(td_sim_count_owned_pages(NULL), owned);
	TEST_ASSERT_EQ(td_sim_count_tds(), tds);
}

/* ------------------------------------------------------------- all of them */

struct totals {
	unsigned int points, allocations, failures, errors, ended;
};

static struct attempt attempt;

/* Returns whether the point was reached. */
static bool fail_at(const struct scenario *s, struct totals *t, unsigned int nth,
		    unsigned int variant, unsigned int repeat, enum policy policy)
{
	struct attempt *a = &attempt;

	*a = (struct attempt) { .policy = policy };
	td_fail_plan(&a->fail, nth, variant, repeat);
	run_attempt(s, a);
	td_fail_end(&a->fail);
	if (!a->fail.reached)
		return false;

	t->failures++;
	t->allocations += !a->fail.leaf;
	t->errors += a->nr_failed;
	return true;
}

/* All that can happen at a point. */
static bool fail_point(const struct scenario *s, struct totals *t, unsigned int nth)
{
	unsigned int variant = 0, nr_variants;
	bool is_seamcall;

	do {
		if (!fail_at(s, t, nth, variant, 1, REPEAT))
			return false;
		is_seamcall = attempt.fail.leaf;
		nr_variants = attempt.fail.nr_variants;
		TEST_ASSERT(!is_seamcall || !attempt.nr_failed || s->sees_it_once,
			    "KVM has not tried again after leaf %u has returned 0x%lx",
			    attempt.fail.leaf, attempt.fail.status);
		if (is_seamcall)
			fail_at(s, t, nth, variant, nr_long(s), REPEAT);
		if (attempt.nr_failed && s->can_give_up)
			fail_at(s, t, nth, variant, nr_long(s), GIVE_UP);
	} while (++variant < nr_variants);

	return true;
}

static unsigned int count_points(const struct scenario *s)
{
	struct attempt *a = &attempt;

	*a = (struct attempt) {};
	td_fail_plan(&a->fail, MAX_POINTS, 0, 1);
	run_attempt(s, a);
	td_fail_end(&a->fail);
	return MAX_POINTS - a->fail.left;
}

static void run_scenario(const char *name, const struct scenario *s)
{
	struct totals t = {};
	unsigned int i;
	u64 r;

	/* They are there to stay. */
	td_mig_src_migtd();
	td_mig_dst_migtd();

	t.points = count_points(s);
	TEST_ASSERT(t.points, "There is nothing that can fail");
	if (nr_points) {
		for (i = 0; i < nr_points; i++) {
			r = td_random(&seed);
			fail_at(s, &t, 1 + r % t.points, r >> 32 & 0xff,
				r >> 40 & 1 ? nr_long(s) : 1,
				r >> 41 & 1 && s->can_give_up ? GIVE_UP : REPEAT);
		}
	} else {
		for (i = 1; fail_point(s, &t, i); i++)
			;
		t.points = i - 1;
	}
	TEST_ASSERT(t.failures, "Nothing has failed");
	printf("# %s: %u points; %u failures, %u of them of allocations, which gave %u errors\n",
	       name, t.points, t.failures, t.allocations, t.errors);
}

/* What is run, the parts with points from the first to the last, is there a way back? */
SCENARIO(start_of_a_session, migrate, START, START, true, true);
SCENARIO(epochs_with_a_page_that_is_revoked_and_sent_again, migrate, EPOCH, EPOCH, true);
SCENARIO(pause, migrate, PAUSE, PAUSE, true);
SCENARIO(state_of_the_source, migrate, STATE, STATE, true);
SCENARIO(start_token, migrate, TOKEN, TOKEN, true);
SCENARIO(import_of_the_immutable_state, migrate, IMPORT_START, IMPORT_START, true);
SCENARIO(import_of_memory, migrate, IMPORT_MEM, IMPORT_MEM, true);
SCENARIO(import_of_state, migrate, IMPORT_STATE, IMPORT_STATE, true);
SCENARIO(import_of_the_start_token, migrate, IMPORT_TOKEN, IMPORT_TOKEN, true);
SCENARIO(commit, migrate, COMMIT, COMMIT, true);
SCENARIO(postcopy_and_end, migrate, POSTCOPY, END, false, false, LONG_WITHOUT_RETURN);
SCENARIO(abort_of_a_session_that_has_just_begun, migrate, START, ABORT, false);
SCENARIO(abort_of_a_live_session, migrate, EPOCH, ABORT, false);
SCENARIO(abort_of_a_paused_session, migrate, STATE, ABORT, false);
SCENARIO(abort_on_both_sides_before_the_start_token, migrate, IMPORT_MEM, ABORT, false);
SCENARIO(abort_with_a_token, migrate, IMPORT_TOKEN, ABORT, false);
SCENARIO(streams, migrate, OPEN, OPEN, true);
SCENARIO(dirty_log, migrate, LOG, LOG, true);
SCENARIO(end_of_a_process_with_a_live_session, tear_down, EPOCH, EPOCH, false);
SCENARIO(end_of_a_process_between_two_hosts, tear_down, IMPORT_TOKEN, IMPORT_TOKEN, false);
SCENARIO(service_td, bind_service_td, OPEN, OPEN, true);

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(td_sim_is_present() && td_fail_is_present());

	return run_scenarios(argc, argv);
}
