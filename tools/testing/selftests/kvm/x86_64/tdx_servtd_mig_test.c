// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs and whole migrations: which keys and which bindings let a TD move,
 * what is left of a binding afterwards, and several migrations at once.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd.h"
#include "tdx_migtd_guest.h"
#include "tdx_test.h"

#define NR_MIGRATIONS		2
#define NR_POLLED_STREAMS	64

static u64 access_binding(struct td_migtd *m, const struct td_servtd_binding *binding)
{
	u64 version;

	m->target = *binding;
	return td_migtd_read(m, TD_MD_MIG_VERSION, &version);
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
	td_pair_expect_no_key(&p);
	TD_EXPECT_ERRNO(EBUSY, __td_migtd_bind(&migtd, p.vm, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
	td_pair_expect_no_key(&p);
	td_pair_run_to_done(p.vcpu);
	td_mig_free(&p.m);
	kvm_vm_free(p.vm);
	td_migtd_free(&migtd);
}

TD_TEST(key_of_another_session_does_not_fit)
{
	struct td_migtd src, dst;
	struct td_pair a, b;
	u64 hw_error;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&a, &src, &dst);
	td_pair_create(&b, &src, &dst);
	td_pair_exchange(&a);
	td_pair_exchange(&b);

	td_mig_export_immutable(&a.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(b.d.streams, &a.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK & ~TDX_FATAL, TDX_INCORRECT_MBMD_MAC);

	/* That destination is lost, and nothing else. */
	TEST_ASSERT(__vcpu_run(b.d.vcpus[0]), "A TD runs that did not arrive");
	td_pair_run_to_done(b.vcpu);
	td_mig_cmd(&a.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_pair_forget_bundles(&a);
	td_pair_exchange(&a);
	td_pair_migrate(&a);
	td_pair_free(&b);
	td_pair_free(&a);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

static void run_to_report(struct td_migtd *m, struct td_migtd *peer)
{
	while (!m->reported)
		td_migtd_step(m, peer);
}

TD_TEST(source_needs_the_key_of_the_destination_too)
{
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);

	td_migtd_run_to_messages(&src, &dst, 1);
	run_to_report(&dst, &src);
	TEST_ASSERT_EQ(dst.result, MIGTD_SUCCESS);
	td_pair_expect_no_key(&p);

	run_to_report(&src, &dst);
	TEST_ASSERT_EQ(src.result, MIGTD_SUCCESS);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(destination_without_the_key_of_the_source_waits_for_it)
{
	struct td_migtd src, dst;
	u64 hw_error;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);

	td_migtd_run_to_messages(&src, &dst, 1);
	run_to_report(&src, &dst);
	TEST_ASSERT_EQ(src.result, MIGTD_SUCCESS);
	td_mig_export(&p.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(p.d.streams, &p.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);

	run_to_report(&dst, &src);
	TEST_ASSERT_EQ(dst.result, MIGTD_SUCCESS);
	td_pair_import(&p);
	td_pair_run_to_done(p.d.vcpus[0]);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(peer_that_speaks_no_common_version_is_turned_down)
{
	struct td_migtd_message *msg;
	struct migtd_message forged;
	struct td_migtd src, dst;
	struct td_pair p;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);

	td_migtd_run_to_messages(&src, &dst, 1);
	msg = td_migtd_find_message(&dst, 1);
	TEST_ASSERT_EQ(msg->length, sizeof(forged));
	memcpy(&forged, msg->data, sizeof(forged));
	forged.versions.min_import = forged.versions.max_import + 1;
	forged.versions.max_import = forged.versions.min_import;
	td_migtd_seal(&forged, forged.mac);
	memcpy(msg->data, &forged, sizeof(forged));
	run_to_report(&src, &dst);
	TEST_ASSERT_EQ(src.result, MIGTD_POLICY_UNSATISFIED);
	td_pair_expect_no_key(&p);

	/* The TD is none the worse for it. */
	run_to_report(&dst, &src);
	td_pair_exchange(&p);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

/* ---------------------------------------------------- several at the same time */

TD_TEST(two_tds_bound_to_one_migration_td_are_migrated_one_after_another)
{
	struct td_pair p[NR_MIGRATIONS];
	struct td_migtd src, dst;
	int i;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_create(&p[i], &src, &dst);
	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_pair_exchange(&p[i]);
		td_pair_migrate(&p[i]);
	}
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_free(&p[i]);
	td_migtd_free(&dst);
	td_migtd_free(&src);
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

TD_TEST(one_migration_td_serves_two_migrations_at_once)
{
	struct td_pair p[NR_MIGRATIONS];
	struct td_migtd src, dst;
	int i, j, nr_bundles = 0;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_create(&p[i], &src, &dst);
	start_interleaved(p, &src, &dst);
	expect_reports(&dst, &src, MIGTD_SUCCESS);
	expect_reports(&src, &dst, MIGTD_SUCCESS);

	/* And so are the sessions themselves, bundle by bundle. */
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_immutable(&p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_pause(&p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_all_mem(&p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_export_td_and_vcpus(&p[i].m);
	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_mig_export_start_token(&p[i].m);
		nr_bundles = max(nr_bundles, p[i].m.nr_bundles);
	}
	for (j = 0; j < nr_bundles; j++) {
		for (i = 0; i < NR_MIGRATIONS; i++) {
			if (j < p[i].m.nr_bundles)
				td_mig_import(&p[i].d, &p[i].m, j, j);
		}
	}
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_mig_import_end(&p[i].d);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_run_to_done(p[i].d.vcpus[0]);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_free(&p[i]);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(message_of_another_exchange_gives_no_key)
{
	struct td_migtd_message *first, *second;
	struct td_pair p[NR_MIGRATIONS];
	struct td_migtd src, dst;
	int i;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_create(&p[i], &src, &dst);
	start_interleaved(p, &src, &dst);

	first = td_migtd_find_message(&dst, 1);
	second = td_migtd_find_message(&dst, 2);
	first->request_id = 2;
	second->request_id = 1;
	expect_reports(&src, &dst, MIGTD_SECURE_SESSION_ERROR);
	expect_reports(&dst, &src, MIGTD_SUCCESS);
	for (i = 0; i < NR_MIGRATIONS; i++)
		td_pair_expect_no_key(&p[i]);

	for (i = 0; i < NR_MIGRATIONS; i++) {
		td_pair_exchange(&p[i]);
		td_pair_migrate(&p[i]);
		td_pair_free(&p[i]);
	}
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(migration_td_turns_down_what_it_has_no_room_for)
{
	struct kvm_vm *others[MIGTD_MAX_SESSIONS];
	const u64 id = MIGTD_MAX_SESSIONS;
	struct td_migtd src, dst;
	struct td_pair p;
	int i;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_migtd_run_to_messages(&src, &dst, id);
	/* One exchange for each of the others, but for the last one. */
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = td_mig_dest_create_vm();
		td_migtd_bind(&dst, others[i], 0);
		td_migtd_start(&dst, id + 1 + i, false);
		while (i < ARRAY_SIZE(others) - 1 && !td_migtd_find_message(&dst, id + 1 + i))
			td_migtd_step(&dst, NULL);
	}
	td_migtd_run_to_report(&dst, NULL, id + i);
	TEST_ASSERT_EQ(dst.result, MIGTD_OUT_OF_RESOURCE);

	/* Nothing has happened to those that were there before. */
	td_migtd_run_to_report(&dst, &src, id);
	TEST_ASSERT_EQ(dst.result, MIGTD_SUCCESS);
	td_migtd_run_to_report(&src, &dst, id);
	TEST_ASSERT_EQ(src.result, MIGTD_SUCCESS);
	td_pair_migrate(&p);
	td_pair_free(&p);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		kvm_vm_free(others[i]);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(end_of_one_target_does_not_disturb_the_others)
{
	struct td_migtd src, dst;
	struct td_pair a, b;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&a, &src, &dst);
	td_pair_create(&b, &src, &dst);
	td_pair_exchange(&a);
	td_pair_exchange(&b);
	td_mig_export_immutable(&a.m);
	td_mig_export_immutable(&b.m);
	td_pair_free(&b);
	TEST_ASSERT(access_binding(&src, &b.src), "Access to a TD that is gone");
	TEST_ASSERT_EQ(access_binding(&src, &a.src), 0UL);

	td_mig_export_pause(&a.m);
	td_mig_export_all_mem(&a.m);
	td_mig_export_td_and_vcpus(&a.m);
	td_mig_export_start_token(&a.m);
	td_pair_import(&a);
	td_pair_run_to_done(a.d.vcpus[0]);
	td_pair_free(&a);
	td_migtd_free(&dst);
	td_migtd_free(&src);
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
	td_pair_expect_no_key(&p);
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
	td_pair_expect_no_key(&p);

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

struct poller {
	struct td_migtd *m;
	bool stop;
	u64 nr_polls;
};

#define NR_READS_PER_POLL	50

static void *poll_target(void *arg)
{
	struct poller *p = arg;

	do {
		td_migtd_poll(p->m, TD_MD_MIG_VERSION, NR_READS_PER_POLL);
		WRITE_ONCE(p->nr_polls, p->nr_polls + 1);
	} while (!READ_ONCE(p->stop));
	return NULL;
}

TD_TEST(migration_succeeds_under_migration_tds_that_poll_both_sides)
{
	struct poller pollers[2] = {};
	struct td_migtd src, dst;
	pthread_t threads[2];
	struct td_pair p;
	int i;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	td_pair_exchange(&p);
	pollers[0].m = &src;
	pollers[1].m = &dst;
	for (i = 0; i < 2; i++)
		kvm_pthread_create(&threads[i], NULL, poll_target, &pollers[i]);

	/* Each of them takes the locks of its target, over and over. */
	td_mig_export_immutable(&p.m);
	td_mig_cmd(&p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_sync(p.vcpu, 2);
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(pollers[i].stop, true);
		kvm_pthread_join(threads[i], NULL);
		WRITE_ONCE(pollers[i].stop, false);
	}
	td_pair_forget_bundles(&p);
	td_pair_exchange(&p);
	for (i = 0; i < 2; i++)
		kvm_pthread_create(&threads[i], NULL, poll_target, &pollers[i]);
	td_pair_migrate(&p);
	td_pair_free(&p);
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(pollers[i].stop, true);
		kvm_pthread_join(threads[i], NULL);
		TEST_ASSERT(pollers[i].nr_polls > 1, "Side %d was not polled", i);
	}
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

TD_TEST(streams_are_created_under_a_migration_td_that_polls)
{
	struct td_mig_stream streams[NR_POLLED_STREAMS];
	struct poller poller = {};
	struct td_migtd src, dst;
	pthread_t thread;
	struct td_pair p;
	int i;

	td_migtd_create(&src);
	td_migtd_create(&dst);
	td_pair_create(&p, &src, &dst);
	poller.m = &src;
	kvm_pthread_create(&thread, NULL, poll_target, &poller);
	while (!READ_ONCE(poller.nr_polls))
		usleep(1000);
	/* Number 0 is open already. */
	for (i = 1; i < NR_POLLED_STREAMS; i++)
		td_mig_stream_open(&streams[i], p.vm, i, 1);
	WRITE_ONCE(poller.stop, true);
	kvm_pthread_join(thread, NULL);
	for (i = 1; i < NR_POLLED_STREAMS; i++)
		td_mig_stream_close(&streams[i]);
	td_pair_run_to_done(p.vcpu);
	td_pair_free(&p);
	td_migtd_free(&dst);
	td_migtd_free(&src);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
