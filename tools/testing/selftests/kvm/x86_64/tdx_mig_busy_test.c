// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TDX module is busy with something else.  If that does not last, nobody sees it.  If
 * it is for longer than KVM is willing to wait, a command fails with EAGAIN, has had no
 * effect, and can be repeated.  What KVM does when it cannot fail is in
 * tdx_mig_src_busy_test.c.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* More often than KVM tries again by other means, and fewer times than it takes at all. */
#define NR_BUSY		5
/* More often than a command waits that can be repeated. */
#define NR_STUCK	1000
/* More often than any command waits. */
#define NR_GIVEN_UP	25000
#define NR_SENT		8UL

TD_SRC_FIXTURE(td_src, td_mig_create_plain_src);
TD_WORKER_FIXTURE(td_worker, 1);
TD_MIG_FIXTURE_VARIANTS(td_mig, td_mig_create_data_src);
TD_MIG_VARIANT(td_mig, one_stream, 1);
TD_MIG_VARIANT(td_mig, two_streams, 2);

static void expect_busy(struct td_mig_stream *s, u32 id, unsigned int leaf, u64 value)
{
	u64 hw_error;

	td_sim_busy_leaf(leaf);
	TD_EXPECT_ERRNO(EAGAIN, __td_mig_cmd(s, id, 0, (u64)&value, &hw_error));
	td_sim_busy_leaf(0);
	TEST_ASSERT(hw_error, "Command %u did not get to the TDX module", id);
}

/* ------------------------------------------------------------------ it ends */

/* Fails nothing; the library does not repeat commands that have one. */
static struct td_fail no_failure;

static void do_not_repeat(struct td_mig_stream *streams, int nr)
{
	while (nr--)
		streams[nr].fail = &no_failure;
}

/* What meets contention must get through it at once. */
#define EXPECT_PATIENCE(_leaf, _do)						\
do {										\
	td_sim_busy_leaf_times(_leaf, NR_BUSY);					\
	_do;									\
	TEST_ASSERT(!td_sim_end_busy(), #_leaf " was not called that often");	\
} while (0)

/* The same for a leaf that is interrupted, and busy when it is to go on. */
#define EXPECT_PATIENT_RESUME(_leaf, _do)					\
do {										\
	td_sim_stuck_leaf_times(_leaf, NR_STUCK);				\
	_do;									\
	TEST_ASSERT(!td_sim_end_busy(), #_leaf " was not resumed that often");	\
} while (0)

static void export_state(struct td_mig *m, u32 id)
{
	u64 hw_error;
	int ret = __td_mig_export_state(&m->streams[0], id, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Command %u, errno %d (%s), hw_error 0x%lx", id, errno,
		    strerror(errno), hw_error);
}

static void export_start_token(struct td_mig *m)
{
	td_mig_vcpu_save(m->src_vcpus[0], &m->vcpu_state[0]);
	td_mig_export_start_token(m);
}

TD_TEST_F(td_mig, source_waits_until_the_tdx_module_has_time)
{
	struct td_mig *m = &self->m;

	do_not_repeat(m->streams, m->nr_streams);
	EXPECT_PATIENCE(TDH_EXPORT_STATE_IMMUTABLE, td_mig_export_immutable(m));
	EXPECT_PATIENCE(TDH_EXPORT_TRACK, td_mig_export_track(m));
	EXPECT_PATIENCE(TDH_EXPORT_PAUSE, td_mig_export_pause(m));
	EXPECT_PATIENCE(TDH_EXPORT_MEM, td_mig_export_all_mem(m));
	EXPECT_PATIENCE(TDH_EXPORT_STATE_TD, export_state(m, KVM_TDX_MIG_EXPORT_STATE_TD));
	EXPECT_PATIENCE(TDH_EXPORT_STATE_VP, export_state(m, KVM_TDX_MIG_EXPORT_STATE_VP));
	EXPECT_PATIENCE(TDH_EXPORT_TRACK, export_start_token(m));

	td_mig_dest_create(&self->d, m);
	td_mig_import_rest(&self->d, m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* The leaf behind a command that imports. */
static unsigned int leaf_of(u32 import_cmd)
{
	switch (import_cmd) {
	case KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE:
		return TDH_IMPORT_STATE_IMMUTABLE;
	case KVM_TDX_MIG_IMPORT_MEM:
		return TDH_IMPORT_MEM;
	case KVM_TDX_MIG_IMPORT_STATE_TD:
		return TDH_IMPORT_STATE_TD;
	case KVM_TDX_MIG_IMPORT_STATE_VP:
		return TDH_IMPORT_STATE_VP;
	default:
		return TDH_IMPORT_TRACK;
	}
}

TD_TEST_F(td_mig, destination_waits_until_the_tdx_module_has_time)
{
	struct td_mig_dest *d = &self->d;
	struct td_mig *m = &self->m;
	int i;

	td_mig_dest_create(d, m);
	td_mig_export(m);
	do_not_repeat(d->streams, d->nr_streams);
	for (i = 0; i < m->nr_bundles; i++)
		EXPECT_PATIENCE(leaf_of(m->bundles[i].import_cmd), td_mig_import(d, m, i, i));
	EXPECT_PATIENCE(TDH_IMPORT_COMMIT,
			td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT));
	EXPECT_PATIENCE(TDH_IMPORT_END, td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END));
	td_vcpu_run_to_done(d->vcpus[0]);
}

TD_TEST_F(td_mig, destination_goes_on_where_it_was_interrupted_when_the_tdx_module_has_time)
{
	struct td_mig_dest *d = &self->d;
	struct td_mig *m = &self->m;
	u32 cmd;
	int i;

	td_mig_dest_create(d, m);
	td_mig_export(m);
	do_not_repeat(d->streams, d->nr_streams);
	for (i = 0; i < m->nr_bundles; i++) {
		cmd = m->bundles[i].import_cmd;
		/* These are one page, or none. */
		if (cmd == KVM_TDX_MIG_IMPORT_STATE_TD || cmd == KVM_TDX_MIG_IMPORT_TRACK)
			td_mig_import(d, m, i, i);
		else
			EXPECT_PATIENT_RESUME(leaf_of(cmd), td_mig_import(d, m, i, i));
	}
	td_mig_import_end(d);
	td_vcpu_run_to_done(d->vcpus[0]);
}

TD_TEST_F(td_mig, abort_waits_until_the_tdx_module_has_time)
{
	struct td_mig *m = &self->m;

	td_mig_dest_create(&self->d, m);
	td_mig_export(m);
	td_mig_import(&self->d, m, 0, 0);
	do_not_repeat(self->d.streams, 1);
	EXPECT_PATIENCE(TDH_IMPORT_ABORT,
			td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT));
	*m->streams[0].mbmd = *self->d.streams[0].mbmd;
	do_not_repeat(m->streams, 1);
	EXPECT_PATIENCE(TDH_EXPORT_ABORT, td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_ABORT));
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, source_goes_on_where_it_was_interrupted_when_the_tdx_module_has_time)
{
	struct td_mig *m = &self->m;

	do_not_repeat(m->streams, m->nr_streams);
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	EXPECT_PATIENT_RESUME(TDH_EXPORT_MEM, td_mig_export_all_mem(m));
	export_state(m, KVM_TDX_MIG_EXPORT_STATE_TD);
	EXPECT_PATIENT_RESUME(TDH_EXPORT_STATE_VP, export_state(m, KVM_TDX_MIG_EXPORT_STATE_VP));
	export_start_token(m);

	td_mig_dest_create(&self->d, m);
	td_mig_import_rest(&self->d, m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* ------------------------------------------------------------------ it lasts */

TD_TEST_F(td_src, attributes_can_be_set_when_the_tdx_module_has_time_again)
{
	struct td_mig_stream s;

	td_mig_stream_create(&s, self->vm, 0);
	td_sim_busy_leaf(TDH_MIG_STREAM_CREATE);
	TD_EXPECT_ERRNO(EAGAIN, __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION, 1));
	td_sim_busy_leaf(0);
	TEST_ASSERT(!__td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION, 1), "errno %d",
		    errno);
	td_mig_stream_close(&s);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, commands_of_the_source_can_be_repeated)
{
	const u64 start_token = TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	struct td_mig_stream *s = &self->m.streams[0];

	expect_busy(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, TDH_EXPORT_STATE_IMMUTABLE, 0);
	td_mig_export_immutable(&self->m);
	expect_busy(s, KVM_TDX_MIG_EXPORT_TRACK, TDH_EXPORT_TRACK, 0);
	td_mig_export_track(&self->m);
	expect_busy(s, KVM_TDX_MIG_EXPORT_PAUSE, TDH_EXPORT_PAUSE, 0);
	td_mig_export_pause(&self->m);
	td_mig_export_all_mem(&self->m);
	expect_busy(s, KVM_TDX_MIG_EXPORT_STATE_TD, TDH_EXPORT_STATE_TD, 0);
	expect_busy(s, KVM_TDX_MIG_EXPORT_STATE_VP, TDH_EXPORT_STATE_VP, 0);
	td_mig_export_td_and_vcpus(&self->m);
	expect_busy(s, KVM_TDX_MIG_EXPORT_TRACK, TDH_EXPORT_TRACK, start_token);
	td_mig_export_start_token(&self->m);

	td_mig_dest_create(&self->d, &self->m);
	td_mig_import_rest(&self->d, &self->m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, commands_of_the_destination_can_be_repeated)
{
	struct td_mig_stream *s;
	struct td_mig_bundle *b;
	int i;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	for (i = 0; i < self->m.nr_bundles; i++) {
		b = &self->m.bundles[i];
		s = td_mig_load_bundle(self->d.streams, b);
		expect_busy(s, b->import_cmd, leaf_of(b->import_cmd), b->nr);
		td_mig_import(&self->d, &self->m, i, i);
	}

	s = &self->d.streams[0];
	expect_busy(s, KVM_TDX_MIG_IMPORT_COMMIT, TDH_IMPORT_COMMIT, 0);
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_COMMIT);
	expect_busy(s, KVM_TDX_MIG_IMPORT_END, TDH_IMPORT_END, 0);
	td_mig_cmd(s, KVM_TDX_MIG_IMPORT_END);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, abort_of_the_destination_can_be_repeated)
{
	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import(&self->d, &self->m, 0, 0);
	expect_busy(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT, TDH_IMPORT_ABORT, 0);
	td_mig_return(&self->m, &self->d);
	td_vcpu_run_to_done(self->vcpu);
}

/* A live session, and pages for EXPORT_MEM in the buffers of its stream. */
static struct td_mig_stream *begin_with_list(struct td_worker *w, struct td_mig *m)
{
	struct td_mig_stream *s = &m->streams[0];
	int i;

	td_worker_begin(w, m, 1);
	td_worker_clear_log(w, 0, NR_SENT);
	for (i = 0; i < NR_SENT; i++)
		s->gpa_list[i] = td_gpa_entry(td_worker_gpa(i), TDX_MIG_GPA_OP_MIGRATE);
	return s;
}

/* Exported as if they had not been asked for before. */
TD_TEST_F(td_worker, pages_that_could_not_be_exported_can_be_sent_in_the_same_epoch)
{
	struct td_mig_stream *s = begin_with_list(&self->w, &self->m);

	expect_busy(s, KVM_TDX_MIG_EXPORT_MEM, TDH_EXPORT_MEM, NR_SENT);
	td_worker_precopy(&self->w, &self->m, 0, NR_SENT);
	td_worker_finish(&self->w, &self->m);
}

/* Some pages get in, others do not, and the VMM repeats the command with what it has. */
static void expect_same_bundle(struct td_mig_stream *s, const struct td_mig_bundle *b)
{
	TEST_ASSERT(!memcmp(s->mbmd, &b->mbmd, sizeof(b->mbmd)), "The header has changed");
	TEST_ASSERT(!memcmp(s->gpa_list, b->gpa_list, b->nr * sizeof(*b->gpa_list)),
		    "The list has changed");
}

/* The memory is to follow the start token. */
static void export_all_but_mem(struct td_mig *m)
{
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
}

TD_TEST_F(td_mig, bundle_stays_as_it_was_while_a_page_of_it_is_busy)
{
	struct td_mig *m = &self->m;
	struct td_mig_stream *s;
	struct td_mig_bundle *b;
	int i, first;
	u64 nr;

	export_all_but_mem(m);
	td_mig_dest_create(&self->d, m);
	td_mig_import(&self->d, m, 0, m->nr_bundles - 1);

	first = m->nr_bundles;
	td_mig_export_all_mem(m);
	for (i = first; i < m->nr_bundles; i++) {
		b = &m->bundles[i];
		nr = b->nr;
		s = td_mig_load_bundle(self->d.streams, b);
		td_sim_busy_entries(TDH_IMPORT_MEM, 2, 3);
		TD_EXPECT_ERRNO(EAGAIN, __td_mig_cmd(s, b->import_cmd, 0, (u64)&nr, NULL));
		TEST_ASSERT(!td_sim_end_busy(), "Not that many pages were locked");
		expect_same_bundle(s, b);
		TEST_ASSERT(!__td_mig_cmd(s, b->import_cmd, 0, (u64)&nr, NULL), "errno %d", errno);
	}
	td_mig_import_end(&self->d);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/*
 * The TDX module has begun with a bundle, and is busy when it is to go on.  Nobody can
 * repeat the command, so the session is over, and says so.  The state of a TD is one
 * page, which is not interrupted.
 */
static void expect_stuck(struct td_mig_stream *s, u32 id, unsigned int leaf, u64 value,
			 int expected)
{
	u64 hw_error;

	td_sim_stuck_leaf(leaf);
	TD_EXPECT_ERRNO(expected, __td_mig_cmd(s, id, 0, (u64)&value, &hw_error));
	td_sim_stuck_leaf(0);
	TEST_ASSERT(hw_error, "Command %u did not get to the TDX module", id);

	TD_EXPECT_ERRNO(expected, __td_mig_cmd(s, id, 0, (u64)&value, &hw_error));
	TEST_ASSERT(!hw_error, "Command %u got to the TDX module", id);
}

TD_TEST_F(td_mig, vcpu_state_that_is_half_exported_ends_the_session_and_the_td_runs_on)
{
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	expect_stuck(self->m.streams, KVM_TDX_MIG_EXPORT_STATE_VP, TDH_EXPORT_STATE_VP, 0,
		     ECANCELED);
	td_mig_cmd(self->m.streams, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_worker, memory_that_is_half_exported_ends_the_session_and_the_td_runs_on)
{
	struct td_mig_stream *s = begin_with_list(&self->w, &self->m);

	expect_stuck(s, KVM_TDX_MIG_EXPORT_MEM, TDH_EXPORT_MEM, NR_SENT, ECANCELED);
	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&self->m);
	td_worker_check(&self->w);
	td_worker_migrate(&self->w, 1);
}

/* All but the bundle of @cmd, which gets stuck. */
static void import_until_stuck(struct td_mig *m, struct td_mig_dest *d, u32 cmd)
{
	struct td_mig_stream *s;
	struct td_mig_bundle *b;
	int i;

	td_mig_dest_create(d, m);
	td_mig_export(m);
	i = td_mig_import_up_to(d, m, cmd);
	b = &m->bundles[i];
	s = td_mig_load_bundle(d->streams, b);
	expect_stuck(s, cmd, leaf_of(cmd), b->nr, EIO);
}

TD_TEST_F(td_mig, memory_that_is_half_imported_ends_the_session_and_the_source_runs_on)
{
	import_until_stuck(&self->m, &self->d, KVM_TDX_MIG_IMPORT_MEM);
	td_mig_return(&self->m, &self->d);
	td_vcpu_run_to_done(self->vcpu);
}

/* The destination is not a TD yet, and has no token to give. */
TD_TEST_F(td_mig, immutable_state_that_is_half_imported_ends_the_session)
{
	import_until_stuck(&self->m, &self->d, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE);
}

TD_TEST_F(td_mig, vcpu_state_that_is_half_imported_ends_the_session_and_the_source_runs_on)
{
	import_until_stuck(&self->m, &self->d, KVM_TDX_MIG_IMPORT_STATE_VP);
	td_mig_return(&self->m, &self->d);
	td_vcpu_run_to_done(self->vcpu);
}

/*
 * After the start token there is no way back, and the order of bundles does not matter,
 * so that what was begun can be begun again.
 */
TD_TEST_F(td_mig, memory_that_is_half_moved_after_the_start_token_is_moved_again)
{
	struct td_mig_dest *d = &self->d;
	struct td_mig *m = &self->m;
	struct td_mig_stream *s;
	struct td_mig_bundle *b;
	int i, first;
	u64 nr;

	export_all_but_mem(m);
	first = m->nr_bundles;
	m->nr_entries = NR_SENT;

	/* The library repeats what ends with EAGAIN. */
	td_sim_stuck_leaf_times(TDH_EXPORT_MEM, NR_GIVEN_UP);
	td_mig_export_all_mem(m);
	TEST_ASSERT(!td_sim_end_busy(), "KVM has not given up");

	td_mig_dest_create(d, m);
	td_mig_import(d, m, 0, first - 1);
	TEST_ASSERT(m->nr_bundles - first > 1, "There is no bundle for each phase");
	for (i = first; i < m->nr_bundles; i++) {
		if (i == m->nr_bundles - 1)
			td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
		b = &m->bundles[i];
		nr = b->nr;
		s = td_mig_load_bundle(d->streams, b);
		td_sim_stuck_leaf(TDH_IMPORT_MEM);
		TD_EXPECT_ERRNO(EAGAIN, __td_mig_cmd(s, b->import_cmd, 0, (u64)&nr, NULL));
		td_sim_stuck_leaf(0);
		expect_same_bundle(s, b);
		TEST_ASSERT(!__td_mig_cmd(s, b->import_cmd, 0, (u64)&nr, NULL), "errno %d", errno);
	}
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_END);
	td_vcpu_run_to_done(d->vcpus[0]);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	/* Whoever set a knob and died. */
	td_sim_end_busy();

	return test_harness_run(argc, argv);
}
