// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TDX module is busy with something else for longer than KVM is willing to wait:
 * a command fails with EAGAIN, has had no effect, and can be repeated.  What KVM does
 * when it cannot fail is in tdx_mig_src_busy_test.c.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

TD_SRC_FIXTURE(td_src, td_mig_create_plain_src);
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

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());

	/* Whoever set the knob and died. */
	td_sim_stuck_leaf(0);

	return test_harness_run(argc, argv);
}
