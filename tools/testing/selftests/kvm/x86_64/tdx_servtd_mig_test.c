// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs and whole migrations: which keys and which bindings let a TD move,
 * what is left of a binding afterwards, and several migrations at once.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_migtd_guest.h"

#define NR_MIGRATIONS		2
#define NR_POLLED_STREAMS	64

TD_PAIR_FIXTURE(td_pair);

/* Two hosts with a migration TD each, and several TDs that are to move. */
FIXTURE(td_pairs)
{
	struct td_migtd src, dst;
	struct td_pair p[NR_MIGRATIONS];
};

FIXTURE_SETUP(td_pairs)
{
	int i;

	td_migtd_create(&self->src);
	td_migtd_create(&self->dst);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_create(&self->p[i], &self->src, &self->dst);
}

FIXTURE_TEARDOWN(td_pairs)
{
	int i;

	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_free(&self->p[i]);
	td_migtd_free(&self->dst);
	td_migtd_free(&self->src);
}

/* ------------------------------------------------------------ which keys fit */

TD_TEST(td_without_a_binding_cannot_be_migrated_and_runs_on)
{
	struct td_migtd migtd;
	struct td_pair p;
	u64 hw_error;

	td_migtd_create(&migtd);
	td_pair_create_unbound(&p);
	td_pair_launch(&p);
	td_mig_expect_no_key(&p.m);
	TD_EXPECT_ERRNO(EBUSY, __td_migtd_bind(&migtd, p.vm, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
	td_mig_expect_no_key(&p.m);
	td_pair_run_to_done(p.vcpu);
	td_mig_free(&p.m);
	kvm_vm_free(p.vm);
	td_migtd_free(&migtd);
}

TD_TEST_F(td_pairs, key_of_another_session_does_not_fit)
{
	u64 hw_error;

	td_pair_exchange(&self->p[0]);
	td_pair_exchange(&self->p[1]);

	td_mig_export_immutable(&self->p[0].m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->p[1].d.streams, &self->p[0].m.bundles[0],
					     &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK & ~TDX_FATAL, TDX_INCORRECT_MBMD_MAC);

	/* That destination is lost, and nothing else. */
	TEST_ASSERT(__vcpu_run(self->p[1].d.vcpus[0]), "A TD runs that did not arrive");
	td_pair_run_to_done(self->p[1].vcpu);
	td_mig_cmd(&self->p[0].m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_forget_bundles(&self->p[0].m);
	td_pair_exchange(&self->p[0]);
	td_pair_migrate(&self->p[0]);
}

static void run_to_report(struct td_migtd *m, struct td_migtd *peer)
{
	while (!m->reported)
		td_migtd_step(m, peer);
}

TD_TEST_F(td_pair, source_needs_the_key_of_the_destination_too)
{
	td_migtd_run_to_messages(&self->src, &self->dst, 1);
	run_to_report(&self->dst, &self->src);
	TEST_ASSERT_EQ(self->dst.result, MIGTD_SUCCESS);
	td_mig_expect_no_key(&self->p.m);

	run_to_report(&self->src, &self->dst);
	TEST_ASSERT_EQ(self->src.result, MIGTD_SUCCESS);
	td_pair_migrate(&self->p);
}

TD_TEST_F(td_pair, destination_without_the_key_of_the_source_waits_for_it)
{
	u64 hw_error;

	td_migtd_run_to_messages(&self->src, &self->dst, 1);
	run_to_report(&self->src, &self->dst);
	TEST_ASSERT_EQ(self->src.result, MIGTD_SUCCESS);
	td_mig_export(&self->p.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->p.d.streams, &self->p.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);

	run_to_report(&self->dst, &self->src);
	TEST_ASSERT_EQ(self->dst.result, MIGTD_SUCCESS);
	td_mig_import_rest(&self->p.d, &self->p.m, 0);
	td_pair_run_to_done(self->p.d.vcpus[0]);
}

TD_TEST_F(td_pair, peer_that_speaks_no_common_version_is_turned_down)
{
	struct td_migtd_message *msg;
	struct migtd_message forged;

	td_migtd_run_to_messages(&self->src, &self->dst, 1);
	msg = td_migtd_find_message(&self->dst, 1);
	TEST_ASSERT_EQ(msg->length, sizeof(forged));
	memcpy(&forged, msg->data, sizeof(forged));
	forged.versions.min_import = forged.versions.max_import + 1;
	forged.versions.max_import = forged.versions.min_import;
	td_migtd_seal(&forged, forged.mac);
	memcpy(msg->data, &forged, sizeof(forged));
	run_to_report(&self->src, &self->dst);
	TEST_ASSERT_EQ(self->src.result, MIGTD_POLICY_UNSATISFIED);
	td_mig_expect_no_key(&self->p.m);

	/* The TD is none the worse for it. */
	run_to_report(&self->dst, &self->src);
	td_pair_exchange(&self->p);
	td_pair_migrate(&self->p);
}

/* ---------------------------------------------------- several at the same time */

TD_TEST_F(td_pairs, two_tds_bound_to_one_migration_td_are_migrated_one_after_another)
{
	int i;

	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_pair_exchange(&self->p[i]);
		td_pair_migrate(&self->p[i]);
	}
}

/* Both exchanges are under way on both sides when this returns. */
static void start_interleaved(struct td_pair p[NR_MIGRATIONS], struct td_migtd *src,
			      struct td_migtd *dst)
{
	int i;

	for (i = 0; i < NR_MIGRATIONS; i++) {
		src->target = p[i].src;
		dst->target = p[i].dst;
		td_migtd_run_to_messages(src, dst, i + 1);
	}
	TEST_ASSERT(!src->reported && !dst->reported, "An exchange ended without its peer");
}

/* Run both sides until all exchanges are reported, each with @result. */
static void expect_reports(struct td_migtd *m, struct td_migtd *peer, enum migtd_result result)
{
	u64 done = 0;

	while (done != GENMASK(NR_MIGRATIONS, 1)) {
		m->reported = false;
		run_to_report(m, peer);
		TEST_ASSERT(m->result == result, "Result %u of request %lu, TDX status 0x%lx",
			    m->result, m->request_id, m->report.tdx_status);
		TEST_ASSERT(!(done & BIT(m->request_id)), "Request %lu was reported twice",
			    m->request_id);
		done |= BIT(m->request_id);
	}
}

TD_TEST_F(td_pairs, one_migration_td_serves_two_migrations_at_once)
{
	int i, j, nr_bundles = 0;

	start_interleaved(self->p, &self->src, &self->dst);
	expect_reports(&self->dst, &self->src, MIGTD_SUCCESS);
	expect_reports(&self->src, &self->dst, MIGTD_SUCCESS);

	/* And so are the sessions themselves, bundle by bundle. */
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_immutable(&self->p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_pause(&self->p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_all_mem(&self->p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_td_and_vcpus(&self->p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_mig_export_start_token(&self->p[i].m);
		nr_bundles = max(nr_bundles, self->p[i].m.nr_bundles);
	}
	for (j = 0; j < nr_bundles; j++) {
		for (i = 0; i < NR_MIGRATIONS; i++) {
			if (j < self->p[i].m.nr_bundles)
				td_mig_import(&self->p[i].d, &self->p[i].m, j, j);
		}
	}
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_import_end(&self->p[i].d);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_run_to_done(self->p[i].d.vcpus[0]);
}

TD_TEST_F(td_pairs, message_of_another_exchange_gives_no_key)
{
	struct td_migtd_message *first, *second;
	int i;

	start_interleaved(self->p, &self->src, &self->dst);

	first = td_migtd_find_message(&self->dst, 1);
	second = td_migtd_find_message(&self->dst, 2);
	first->request_id = 2;
	second->request_id = 1;
	expect_reports(&self->src, &self->dst, MIGTD_SECURE_SESSION_ERROR);
	expect_reports(&self->dst, &self->src, MIGTD_SUCCESS);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_expect_no_key(&self->p[i].m);

	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_pair_exchange(&self->p[i]);
		td_pair_migrate(&self->p[i]);
	}
}

TD_TEST_F(td_pair, migration_td_turns_down_what_it_has_no_room_for)
{
	struct kvm_vm *others[MIGTD_MAX_SESSIONS];
	const u64 id = MIGTD_MAX_SESSIONS;
	int i;

	td_migtd_run_to_messages(&self->src, &self->dst, id);
	/* One exchange for each of the others, but for the last one. */
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = td_mig_dest_create_vm();
		td_migtd_bind(&self->dst, others[i], 0);
		td_migtd_start(&self->dst, id + 1 + i, false);
		while (i < ARRAY_SIZE(others) - 1 && !td_migtd_find_message(&self->dst, id + 1 + i))
			td_migtd_step(&self->dst, NULL);
	}
	td_migtd_run_to_report(&self->dst, NULL, id + i);
	TEST_ASSERT_EQ(self->dst.result, MIGTD_OUT_OF_RESOURCE);

	/* Nothing has happened to those that were there before. */
	td_migtd_run_to_report(&self->dst, &self->src, id);
	TEST_ASSERT_EQ(self->dst.result, MIGTD_SUCCESS);
	td_migtd_run_to_report(&self->src, &self->dst, id);
	TEST_ASSERT_EQ(self->src.result, MIGTD_SUCCESS);
	td_pair_migrate(&self->p);
	td_pair_free(&self->p);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		kvm_vm_free(others[i]);
}

TD_TEST_F(td_pairs, end_of_one_target_does_not_disturb_the_others)
{
	td_pair_exchange(&self->p[0]);
	td_pair_exchange(&self->p[1]);
	td_mig_export_immutable(&self->p[0].m);
	td_mig_export_immutable(&self->p[1].m);
	td_pair_free(&self->p[1]);
	TEST_ASSERT(td_migtd_access(&self->src, &self->p[1].src), "Access to a TD that is gone");
	TEST_ASSERT_EQ(td_migtd_access(&self->src, &self->p[0].src), 0UL);

	td_mig_export_pause(&self->p[0].m);
	td_mig_export_rest(&self->p[0].m);
	td_mig_import_rest(&self->p[0].d, &self->p[0].m, 0);
	td_pair_run_to_done(self->p[0].d.vcpus[0]);
}

/* ------------------------------------------------------ migration TDs come and go */

TD_TEST(prebound_td_is_migrated_by_a_migration_td_that_starts_later)
{
	struct td_migtd measured, src, other, dst;
	u8 hash[TD_SHA384_SIZE];
	struct td_pair p;
	u64 hw_error;

	td_migtd_create(&measured);
	td_migtd_info_hash(&measured, 0, hash);
	td_migtd_free(&measured);
	td_pair_create_unbound(&p);
	TEST_ASSERT(!__td_servtd_prebind(p.vm, hash, 0, NULL), "errno %d", errno);
	td_pair_launch(&p);

	td_migtd_create(&dst);
	td_migtd_create_variant(&other, 1);
	TD_EXPECT_ERRNO(EPERM, __td_migtd_bind(&other, p.vm, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_SERVTD_INFO_HASH_MISMATCH);
	td_mig_expect_no_key(&p.m);
	td_migtd_create(&src);
	td_migtd_bind(&src, p.vm, 0);
	p.src_migtd = &src;
	p.src = src.target;
	td_pair_add_dest(&p, &dst, 0);
	td_pair_exchange(&p);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_migtd_free(&src);
	td_migtd_free(&other);
	td_migtd_free(&dst);
}

TD_TEST(migration_tds_that_end_half_way_are_replaced_and_the_td_migrates)
{
	struct td_migtd src, dst, next_src, next_dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_migtd_run_to_messages(&src, &dst, 1);
	td_migtd_free(&src);
	td_migtd_free(&dst);
	td_mig_expect_no_key(&p.m);

	td_migtd_create(&next_src);
	td_migtd_create(&next_dst);
	td_migtd_bind(&next_src, p.vm, 0);
	td_migtd_bind(&next_dst, p.d.vm, 0);
	td_migtd_exchange(&next_src, &next_dst);
	/* Once the keys are where they belong, nobody needs the migration TDs. */
	td_migtd_free(&next_dst);
	td_migtd_free(&next_src);
	td_pair_migrate(&p);
	td_pair_free(&p);
}

#define NR_READS_PER_POLL	50

TD_TEST_F(td_pair, migration_succeeds_under_migration_tds_that_poll_both_sides)
{
	struct td_migtd_poller pollers[2];
	int i;

	td_pair_exchange(&self->p);
	td_migtd_poller_start(&pollers[0], &self->src, NR_READS_PER_POLL);
	td_migtd_poller_start(&pollers[1], &self->dst, NR_READS_PER_POLL);

	/* Each of them takes the locks of its target, over and over. */
	td_mig_export_immutable(&self->p.m);
	td_mig_cmd(&self->p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_sync(self->p.vcpu, 2);
	for (i = 0; i < 2; i++)
		td_migtd_poller_stop(&pollers[i]);
	td_mig_forget_bundles(&self->p.m);
	td_pair_exchange(&self->p);
	td_migtd_poller_start(&pollers[0], &self->src, NR_READS_PER_POLL);
	td_migtd_poller_start(&pollers[1], &self->dst, NR_READS_PER_POLL);
	td_pair_migrate(&self->p);
	td_pair_free(&self->p);
	for (i = 0; i < 2; i++) {
		td_migtd_poller_wait(&pollers[i], 2);
		td_migtd_poller_stop(&pollers[i]);
	}
}

TD_TEST_F(td_pair, streams_are_created_under_a_migration_td_that_polls)
{
	struct td_mig_stream streams[NR_POLLED_STREAMS];
	struct td_migtd_poller poller;
	int i;

	td_migtd_poller_start(&poller, &self->src, NR_READS_PER_POLL);
	td_migtd_poller_wait(&poller, 1);
	/* Number 0 is open already. */
	for (i = 1; i < NR_POLLED_STREAMS; i++)
		td_mig_stream_open(&streams[i], self->p.vm, i, 1);
	td_migtd_poller_stop(&poller);
	for (i = 1; i < NR_POLLED_STREAMS; i++)
		td_mig_stream_close(&streams[i]);
	td_pair_run_to_done(self->p.vcpu);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
