// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: messages between migration TDs get lost, come late, come twice or
 * come back.  Whatever a network or a VMM makes of them, only the last exchange
 * counts, and a TD that has the keys of that one is not lost.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd.h"
#include "tdx_test.h"

/* Request ids that td_migtd_exchange() does not choose. */
#define FIRST_ID		1
#define SECOND_ID		2
#define NR_ABANDONED		(3 * MIGTD_MAX_SESSIONS)

/* Two hosts with a migration TD each, and a TD that is to move. */
struct scene {
	struct td_migtd src, dst;
	struct td_pair p;
};

/* What the two sides of an exchange have sent. */
struct messages {
	struct td_migtd_message src, dst;
};

static void scene_create(struct scene *s)
{
	td_migtd_create(&s->src);
	td_migtd_create(&s->dst);
	td_pair_create(&s->p, &s->src, &s->dst);
}

static void scene_free(struct scene *s)
{
	td_pair_free(&s->p);
	td_migtd_free(&s->dst);
	td_migtd_free(&s->src);
}

static struct td_migtd_message take_message(struct td_migtd *m, u64 request_id)
{
	struct td_migtd_message *sent = td_migtd_find_message(m, request_id);
	struct td_migtd_message msg = *sent;

	sent->length = 0;
	return msg;
}

/* Start an exchange that loses its messages. */
static struct messages begin(struct td_pair *p, u64 request_id)
{
	p->src_migtd->target = p->src;
	p->dst_migtd->target = p->dst;
	td_migtd_run_to_messages(p->src_migtd, p->dst_migtd, request_id);

	return (struct messages) {
		.src = take_message(p->src_migtd, request_id),
		.dst = take_message(p->dst_migtd, request_id),
	};
}

/* Hand in a message that was lost; the exchange ends with it. */
static void expect_end(struct td_migtd *m, const struct td_migtd_message *msg,
		       enum migtd_result result)
{
	td_migtd_deliver(m, msg->request_id, msg->data, msg->length);
	m->reported = false;
	td_migtd_run_to_report(m, NULL, msg->request_id);
	TEST_ASSERT(m->result == result, "Request %lu: result %u, TDX status 0x%lx",
		    msg->request_id, m->result, m->report.tdx_status);
}

/* Hand in a message that nobody waits for, and see that nobody takes it. */
static void expect_nobody(struct td_migtd *m, const struct td_migtd_message *msg)
{
	u64 version;

	td_migtd_deliver(m, msg->request_id, msg->data, msg->length);
	TEST_ASSERT_EQ(td_migtd_read(m, TD_MD_MIG_VERSION, &version), 0UL);
	TEST_ASSERT(m->delivered.length, "A message of request %lu was taken",
		    msg->request_id);
	m->delivered.length = 0;
}

/* Export all, import it, and think better of it: each side needs the other's key. */
static void migrate_and_return(struct td_pair *p)
{
	td_mig_export(&p->m);
	td_mig_import(&p->d, &p->m, 0, p->m.nr_bundles - 1);
	td_mig_cmd(&p->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*p->m.streams[0].mbmd = *p->d.streams[0].mbmd;
	td_mig_cmd(&p->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_pair_run_to_done(p->vcpu);
}

/* ----------------------------------------------------------------- late messages */

TD_TEST(late_message_does_not_replace_the_key_of_the_destination)
{
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	td_pair_exchange(&s.p);
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&s.p);
	scene_free(&s);
}

TD_TEST(late_message_does_not_replace_the_key_of_the_source)
{
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	td_pair_exchange(&s.p);
	expect_end(&s.src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&s.p);
	scene_free(&s);
}

TD_TEST(late_messages_on_both_sides_do_not_disturb_a_session)
{
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	td_pair_exchange(&s.p);
	td_mig_export_immutable(&s.p.m);
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_mig_import(&s.p.d, &s.p.m, 0, 0);
	expect_end(&s.src, &old.dst, MIGTD_SECURE_SESSION_ERROR);

	td_mig_cmd(&s.p.d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	*s.p.m.streams[0].mbmd = *s.p.d.streams[0].mbmd;
	td_mig_cmd(&s.p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_pair_run_to_done(s.p.vcpu);
	scene_free(&s);
}

TD_TEST(late_message_is_refused_while_the_next_exchange_is_under_way)
{
	struct messages old, new;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	new = begin(&s.p, SECOND_ID);
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.src, &new.dst, MIGTD_SUCCESS);
	expect_end(&s.src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.dst, &new.src, MIGTD_SUCCESS);
	td_pair_migrate(&s.p);
	scene_free(&s);
}

TD_TEST(exchange_that_is_abandoned_half_way_is_superseded)
{
	struct messages old;
	struct scene s;

	/* One side has ended when the other one has to start again. */
	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	expect_end(&s.dst, &old.src, MIGTD_SUCCESS);
	td_pair_exchange(&s.p);
	expect_end(&s.src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&s.p);
	scene_free(&s);

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	expect_end(&s.src, &old.dst, MIGTD_SUCCESS);
	td_pair_exchange(&s.p);
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&s.p);
	scene_free(&s);
}

TD_TEST(late_message_of_one_target_does_not_end_the_exchange_of_another)
{
	struct messages a_old, b_old;
	struct td_pair b;
	struct scene s;

	scene_create(&s);
	td_pair_create(&b, &s.src, &s.dst);
	a_old = begin(&s.p, FIRST_ID);
	b_old = begin(&b, SECOND_ID);
	td_pair_exchange(&b);

	/* Nobody has started another one for the first target. */
	expect_end(&s.dst, &a_old.src, MIGTD_SUCCESS);
	expect_end(&s.src, &b_old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.src, &a_old.dst, MIGTD_SUCCESS);
	expect_end(&s.dst, &b_old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&s.p);
	migrate_and_return(&b);
	td_pair_free(&b);
	scene_free(&s);
}

/* ----------------------------------------------------------- abandoned exchanges */

TD_TEST(any_number_of_exchanges_can_be_abandoned)
{
	struct messages old[NR_ABANDONED];
	struct scene s;
	int i;

	scene_create(&s);
	for (i = 0; i < NR_ABANDONED; i++)
		old[i] = begin(&s.p, FIRST_ID + i);
	td_pair_exchange(&s.p);

	/* The migration TD has given the first one up, and remembers the last one. */
	expect_nobody(&s.dst, &old[0].src);
	expect_nobody(&s.src, &old[0].dst);
	expect_end(&s.dst, &old[NR_ABANDONED - 1].src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.src, &old[NR_ABANDONED - 1].dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&s.p);
	scene_free(&s);
}

TD_TEST(exchange_that_is_given_up_is_reported)
{
	struct scene s;
	u64 ended = 0;
	int i;

	scene_create(&s);
	s.src.target = s.p.src;
	for (i = 1; i <= NR_ABANDONED; i++) {
		td_migtd_start(&s.src, i, true);
		while (!td_migtd_find_message(&s.src, i)) {
			td_migtd_step(&s.src, NULL);
			if (!s.src.reported)
				continue;
			TEST_ASSERT_EQ(s.src.result, MIGTD_SECURE_SESSION_ERROR);
			TEST_ASSERT_EQ(s.src.request_id, ++ended);
			s.src.reported = false;
		}
		take_message(&s.src, i);
	}
	TEST_ASSERT_EQ(ended, NR_ABANDONED - MIGTD_MAX_SESSIONS);
	scene_free(&s);
}

/* ------------------------------------------------------------------------ replay */

TD_TEST(message_of_a_finished_exchange_is_of_no_use)
{
	struct messages old, new;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	expect_end(&s.dst, &old.src, MIGTD_SUCCESS);
	expect_end(&s.src, &old.dst, MIGTD_SUCCESS);
	expect_nobody(&s.dst, &old.src);
	expect_nobody(&s.src, &old.dst);

	/* Nor does it do for another exchange. */
	new = begin(&s.p, SECOND_ID);
	old.src.request_id = SECOND_ID;
	old.dst.request_id = SECOND_ID;
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_nobody(&s.dst, &new.src);
	expect_nobody(&s.src, &new.dst);

	td_pair_exchange(&s.p);
	td_pair_migrate(&s.p);
	scene_free(&s);
}

TD_TEST(request_id_is_good_for_one_exchange)
{
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	td_migtd_start(&s.src, FIRST_ID, true);
	td_migtd_run_to_report(&s.src, NULL, FIRST_ID);
	TEST_ASSERT_EQ(s.src.result, MIGTD_INVALID_PARAMETER);

	/* The exchange itself goes on, and its id stays in use after its end. */
	expect_end(&s.dst, &old.src, MIGTD_SUCCESS);
	expect_end(&s.src, &old.dst, MIGTD_SUCCESS);
	td_migtd_start(&s.dst, FIRST_ID, false);
	td_migtd_run_to_report(&s.dst, NULL, FIRST_ID);
	TEST_ASSERT_EQ(s.dst.result, MIGTD_INVALID_PARAMETER);
	expect_nobody(&s.dst, &old.src);
	migrate_and_return(&s.p);
	scene_free(&s);
}

TD_TEST(message_that_comes_back_to_its_sender_gives_no_key)
{
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	expect_end(&s.src, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&s.dst, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	td_pair_expect_no_key(&s.p);
	td_pair_exchange(&s.p);
	td_pair_migrate(&s.p);
	scene_free(&s);
}

/* ------------------------------------------------------------- another binding */

TD_TEST(migration_td_that_was_replaced_cannot_replace_a_key)
{
	struct td_migtd other;
	struct messages old;
	struct scene s;

	scene_create(&s);
	old = begin(&s.p, FIRST_ID);
	td_migtd_create(&other);
	td_migtd_bind(&other, s.p.vm, 0);
	s.dst.target = s.p.dst;
	td_migtd_exchange(&other, &s.dst);
	expect_end(&s.src, &old.dst, MIGTD_TDX_MODULE_ERROR);
	expect_end(&s.dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&s.p);
	td_migtd_free(&other);
	scene_free(&s);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
