// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: messages between migration TDs get lost, come late, come twice or
 * come back.  Whatever a network or a VMM makes of them, only the last exchange
 * counts, and a TD that has the keys of that one is not lost.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

/* Request ids that td_migtd_exchange() does not choose. */
#define FIRST_ID		1
#define SECOND_ID		2
#define NR_ABANDONED		(3 * MIGTD_MAX_SESSIONS)

TD_PAIR_FIXTURE(td_pair);

/* What the two sides of an exchange have sent. */
struct messages {
	struct td_migtd_message src, dst;
};

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
	TEST_ASSERT(m->delivered->length, "A message of request %lu was taken",
		    msg->request_id);
	m->delivered->length = 0;
}

/* Export all, import it, and think better of it: each side needs the other's key. */
static void migrate_and_return(struct td_pair *p)
{
	td_mig_export(&p->m);
	td_mig_import(&p->d, &p->m, 0, p->m.nr_bundles - 1);
	td_mig_return(&p->m, &p->d);
	td_pair_run_to_done(p->vcpu);
}

/* ----------------------------------------------------------------- late messages */

TD_TEST_F(td_pair, late_message_does_not_replace_the_key_of_the_destination)
{
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	td_pair_exchange(&self->p);
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&self->p);
}

TD_TEST_F(td_pair, late_message_does_not_replace_the_key_of_the_source)
{
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	td_pair_exchange(&self->p);
	expect_end(&self->src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&self->p);
}

TD_TEST_F(td_pair, late_messages_on_both_sides_do_not_disturb_a_session)
{
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	td_pair_exchange(&self->p);
	td_mig_export_immutable(&self->p.m);
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_mig_import(&self->p.d, &self->p.m, 0, 0);
	expect_end(&self->src, &old.dst, MIGTD_SECURE_SESSION_ERROR);

	td_mig_return(&self->p.m, &self->p.d);
	td_pair_run_to_done(self->p.vcpu);
}

TD_TEST_F(td_pair, late_message_is_refused_while_the_next_exchange_is_under_way)
{
	struct messages old, new;

	old = begin(&self->p, FIRST_ID);
	new = begin(&self->p, SECOND_ID);
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->src, &new.dst, MIGTD_SUCCESS);
	expect_end(&self->src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->dst, &new.src, MIGTD_SUCCESS);
	td_pair_migrate(&self->p);
}

TD_TEST_F(td_pair, exchange_that_is_abandoned_half_way_is_superseded)
{
	struct td_pair other;
	struct messages old;

	/* One side has ended when the other one has to start again. */
	old = begin(&self->p, FIRST_ID);
	expect_end(&self->dst, &old.src, MIGTD_SUCCESS);
	td_pair_exchange(&self->p);
	expect_end(&self->src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&self->p);

	td_pair_create(&other, &self->src, &self->dst);
	old = begin(&other, SECOND_ID);
	expect_end(&self->src, &old.dst, MIGTD_SUCCESS);
	td_pair_exchange(&other);
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&other);
	td_pair_free(&other);
}

TD_TEST_F(td_pair, late_message_of_one_target_does_not_end_the_exchange_of_another)
{
	struct messages a_old, b_old;
	struct td_pair b;

	td_pair_create(&b, &self->src, &self->dst);
	a_old = begin(&self->p, FIRST_ID);
	b_old = begin(&b, SECOND_ID);
	td_pair_exchange(&b);

	/* Nobody has started another one for the first target. */
	expect_end(&self->dst, &a_old.src, MIGTD_SUCCESS);
	expect_end(&self->src, &b_old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->src, &a_old.dst, MIGTD_SUCCESS);
	expect_end(&self->dst, &b_old.src, MIGTD_SECURE_SESSION_ERROR);
	td_pair_migrate(&self->p);
	migrate_and_return(&b);
	td_pair_free(&b);
}

/* ----------------------------------------------------------- abandoned exchanges */

TD_TEST_F(td_pair, any_number_of_exchanges_can_be_abandoned)
{
	struct messages *old = calloc(NR_ABANDONED, sizeof(*old));
	int i;

	for (i = 0; i < NR_ABANDONED; i++)
		old[i] = begin(&self->p, FIRST_ID + i);
	td_pair_exchange(&self->p);

	/* The migration TD has given the first one up, and remembers the last one. */
	expect_nobody(&self->dst, &old[0].src);
	expect_nobody(&self->src, &old[0].dst);
	expect_end(&self->dst, &old[NR_ABANDONED - 1].src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->src, &old[NR_ABANDONED - 1].dst, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&self->p);
	free(old);
}

TD_TEST_F(td_pair, exchange_that_is_given_up_is_reported)
{
	u64 ended = 0;
	int i;

	self->src.target = self->p.src;
	for (i = 1; i <= NR_ABANDONED; i++) {
		td_migtd_start(&self->src, i, true);
		while (!td_migtd_find_message(&self->src, i)) {
			td_migtd_step(&self->src, NULL);
			if (!self->src.reported)
				continue;
			TEST_ASSERT_EQ(self->src.result, MIGTD_SECURE_SESSION_ERROR);
			TEST_ASSERT_EQ(self->src.request_id, ++ended);
			self->src.reported = false;
		}
		take_message(&self->src, i);
	}
	TEST_ASSERT_EQ(ended, NR_ABANDONED - MIGTD_MAX_SESSIONS);
}

/* ------------------------------------------------------------------------ replay */

TD_TEST_F(td_pair, message_of_a_finished_exchange_is_of_no_use)
{
	struct messages old, new;

	old = begin(&self->p, FIRST_ID);
	expect_end(&self->dst, &old.src, MIGTD_SUCCESS);
	expect_end(&self->src, &old.dst, MIGTD_SUCCESS);
	expect_nobody(&self->dst, &old.src);
	expect_nobody(&self->src, &old.dst);

	/* Nor does it do for another exchange. */
	new = begin(&self->p, SECOND_ID);
	old.src.request_id = SECOND_ID;
	old.dst.request_id = SECOND_ID;
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->src, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	expect_nobody(&self->dst, &new.src);
	expect_nobody(&self->src, &new.dst);

	td_pair_exchange(&self->p);
	td_pair_migrate(&self->p);
}

TD_TEST_F(td_pair, request_id_is_good_for_one_exchange)
{
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	td_migtd_start(&self->src, FIRST_ID, true);
	td_migtd_run_to_report(&self->src, NULL, FIRST_ID);
	TEST_ASSERT_EQ(self->src.result, MIGTD_INVALID_PARAMETER);

	/* The exchange itself goes on, and its id stays in use after its end. */
	expect_end(&self->dst, &old.src, MIGTD_SUCCESS);
	expect_end(&self->src, &old.dst, MIGTD_SUCCESS);
	td_migtd_start(&self->dst, FIRST_ID, false);
	td_migtd_run_to_report(&self->dst, NULL, FIRST_ID);
	TEST_ASSERT_EQ(self->dst.result, MIGTD_INVALID_PARAMETER);
	expect_nobody(&self->dst, &old.src);
	migrate_and_return(&self->p);
}

TD_TEST_F(td_pair, message_that_comes_back_to_its_sender_gives_no_key)
{
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	expect_end(&self->src, &old.src, MIGTD_SECURE_SESSION_ERROR);
	expect_end(&self->dst, &old.dst, MIGTD_SECURE_SESSION_ERROR);
	td_mig_expect_no_key(&self->p.m);
	td_pair_exchange(&self->p);
	td_pair_migrate(&self->p);
}

/* ------------------------------------------------------------- another binding */

TD_TEST_F(td_pair, migration_td_that_was_replaced_cannot_replace_a_key)
{
	struct td_migtd other;
	struct messages old;

	old = begin(&self->p, FIRST_ID);
	td_migtd_create(&other);
	td_migtd_bind(&other, self->p.vm, 0);
	self->dst.target = self->p.dst;
	td_migtd_exchange(&other, &self->dst);
	expect_end(&self->src, &old.dst, MIGTD_TDX_MODULE_ERROR);
	expect_end(&self->dst, &old.src, MIGTD_SECURE_SESSION_ERROR);
	migrate_and_return(&self->p);
	td_migtd_free(&other);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
