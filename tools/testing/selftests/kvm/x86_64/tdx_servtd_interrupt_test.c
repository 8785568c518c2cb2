// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: a migration TD and its VMM talk as Intel's MigTD does.  Calls stay
 * outstanding until the VMM completes them by an interrupt, for which the migration TD
 * sleeps; requests end with a status; messages have up to 64 KiB.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_runner.h"
#include "tdx_test.h"
#include "tdx_thread.h"

#define REQUEST_ID		0x1122334455667788UL
#define NR_SPURIOUS		8

FIXTURE(migtd)
{
	struct td_migtd m;
};

FIXTURE_SETUP(migtd)
{
	td_migtd_create(&self->m);
}

FIXTURE_TEARDOWN(migtd)
{
	td_migtd_free(&self->m);
}

/* -------------------------------------------------------------------- requests */

/* Run the migration TD until it has reported this request. */
static void expect_report(struct td_migtd *m, u64 request_id, enum migtd_result result)
{
	td_migtd_run_to_report(m, NULL, request_id);
	TEST_ASSERT(m->result == result, "Result %u, TDX status 0x%lx", m->result,
		    m->report.tdx_status);
}

static void expect_result(struct td_migtd *m, u64 op, const void *data, u32 length,
			  u64 request_id, enum migtd_result result)
{
	td_migtd_request(m, op, data, length);
	expect_report(m, request_id, result);
}

static void expect_that_it_serves(struct td_migtd *m)
{
	const u64 request_id = REQUEST_ID;

	expect_result(m, MIGTD_OP_GET_TDREPORT, &request_id, sizeof(request_id), request_id,
		      MIGTD_SUCCESS);
	TEST_ASSERT_EQ(m->report_length, TD_REPORT_SIZE);
}

static void request_swap(struct td_migtd *m, u64 request_id, u64 length)
{
	const struct migtd_swap swap = { .request_id = request_id, .length = length };

	td_migtd_request(m, MIGTD_OP_SWAP, &swap, sizeof(swap));
}

/* A message as the migration TD expects it. */
static void deliver_swap(struct td_migtd *m, u64 request_id, u32 length)
{
	u8 data[MIGTD_MAX_PAYLOAD];
	u32 i;

	for (i = 0; i < length; i++)
		data[i] = migtd_swap_byte(request_id, i);
	td_migtd_deliver(m, request_id, data, length);
}

/* Run the migration TD until it has sent its message and waits for another one. */
static void begin_swap(struct td_migtd *m, u64 request_id, u64 length)
{
	request_swap(m, request_id, length);
	while (!td_migtd_find_receive(m, request_id))
		td_migtd_step(m, NULL);
}

/* ----------------------------------------------------------------------- sleep */

/* Run the migration TD until it sleeps.  Any call is a failure. */
static void expect_sleep(struct td_migtd *m)
{
	struct td_runner r = { .vcpu = m->vcpu };

	td_runner_start(&r);
	td_runner_stop_halted(&r);
}

/* The same, after it has been awake. */
static void expect_sleep_again(struct td_migtd *m, u64 nr_halts)
{
	do {
		expect_sleep(m);
	} while (vcpu_get_stat(m->vcpu, halt_exits) <= nr_halts);
}

static void expect_nothing_after(struct td_migtd *m, u32 vector)
{
	const u64 nr_halts = vcpu_get_stat(m->vcpu, halt_exits);

	td_signal_msi(m->vcpu, vector);
	expect_sleep_again(m, nr_halts);
}

TD_TEST_F(migtd, request_without_an_interrupt_is_not_heard)
{
	const u64 request_id = REQUEST_ID;
	u64 nr_halts;

	expect_sleep(&self->m);
	nr_halts = vcpu_get_stat(self->m.vcpu, halt_exits);
	td_migtd_write_request(&self->m,
			       MIGTD_DATA_DONE | MIGTD_OP_GET_TDREPORT << MIGTD_DATA_OP_SHIFT,
			       &request_id, sizeof(request_id));
	expect_sleep(&self->m);
	TEST_ASSERT_EQ(vcpu_get_stat(self->m.vcpu, halt_exits), nr_halts);

	/* Nor with the interrupt that is for messages. */
	expect_nothing_after(&self->m, MIGTD_MESSAGE_VECTOR);

	td_migtd_inject_request(&self->m);
	expect_report(&self->m, request_id, MIGTD_SUCCESS);
}

TD_TEST_F(migtd, interrupts_that_complete_nothing_are_harmless)
{
	int i;

	begin_swap(&self->m, REQUEST_ID, 1);
	for (i = 0; i < NR_SPURIOUS; i++) {
		expect_nothing_after(&self->m, MIGTD_REQUEST_VECTOR);
		expect_nothing_after(&self->m, MIGTD_MESSAGE_VECTOR);
	}
	deliver_swap(&self->m, REQUEST_ID, 1);
	expect_report(&self->m, REQUEST_ID, MIGTD_SUCCESS);
	expect_nothing_after(&self->m, MIGTD_MESSAGE_VECTOR);
	expect_that_it_serves(&self->m);
}

struct sleeper {
	struct td_migtd *m;
	pthread_t thread;
	pid_t tid;
};

static void *sleep_in_kvm(void *arg)
{
	struct sleeper *s = arg;

	WRITE_ONCE(s->tid, kvm_gettid());
	TEST_ASSERT(td_migtd_step_or_sleep(s->m), "A signal");
	return NULL;
}

/* Let a thread run the migration TD, which has nothing to do. */
static void sleeper_start(struct sleeper *s, struct td_migtd *m)
{
	*s = (struct sleeper) { .m = m };
	kvm_pthread_create(&s->thread, NULL, sleep_in_kvm, s);
	td_wait_for_sleep(&s->tid);
}

TD_TEST_F(migtd, interrupt_wakes_a_migration_td_in_kvm_run)
{
	struct sleeper s;

	/* For a request: it waits for the next one before all else. */
	sleeper_start(&s, &self->m);
	request_swap(&self->m, REQUEST_ID, 1);
	td_migtd_complete(&self->m, NULL);
	kvm_pthread_join(s.thread, NULL);
	TEST_ASSERT(self->m.wait.is_outstanding, "No WaitForRequest");
	while (!td_migtd_find_receive(&self->m, REQUEST_ID))
		td_migtd_step(&self->m, NULL);

	/* And for a message. */
	TEST_ASSERT(td_migtd_is_idle(&self->m), "It has something to do");
	sleeper_start(&s, &self->m);
	deliver_swap(&self->m, REQUEST_ID, 1);
	td_migtd_complete(&self->m, NULL);
	kvm_pthread_join(s.thread, NULL);
	TEST_ASSERT(self->m.reported, "No ReportStatus");
	TEST_ASSERT_EQ(self->m.request_id, REQUEST_ID);
	TEST_ASSERT_EQ(self->m.result, MIGTD_SUCCESS);
}

TD_TEST_F(migtd, calls_that_are_completed_late_are_waited_for_asleep)
{
	struct td_migtd *m = &self->m;

	m->is_late = true;
	request_swap(m, REQUEST_ID, 1);
	td_migtd_step(m, NULL);
	TEST_ASSERT(m->wait.is_outstanding, "No WaitForRequest");

	td_migtd_step(m, NULL);
	TEST_ASSERT(td_migtd_find_message(m, REQUEST_ID), "No Send");
	expect_sleep(m);
	td_migtd_step(m, NULL);
	TEST_ASSERT(td_migtd_find_receive(m, REQUEST_ID), "No Receive");
	expect_sleep(m);
	deliver_swap(m, REQUEST_ID, 1);
	td_migtd_step(m, NULL);
	TEST_ASSERT(m->reported, "No ReportStatus");
	TEST_ASSERT_EQ(m->result, MIGTD_SUCCESS);
	expect_sleep(m);

	/* A request that comes with the end of the report is not lost. */
	request_swap(m, REQUEST_ID + 1, 1);
	td_migtd_step(m, NULL);
	TEST_ASSERT(m->wait.is_outstanding, "No WaitForRequest");
}

/* ---------------------------------------------------------------------- status */

TD_TEST(status_of_a_report_is_0_or_a_failure_with_a_code)
{
	const struct {
		u64 status;
		bool valid;
		enum migtd_result result;
	} reports[] = {
		{ 0, true, MIGTD_SUCCESS },
		{ 0x101, true, MIGTD_INVALID_PARAMETER },
		{ 0x401, true, MIGTD_TDX_MODULE_ERROR },
		{ 0xc01, true, MIGTD_UNSUPPORTED_OPERATION },
		{ 0xff01, true, 0xff },
		{ 1 }, { 2 }, { 0x100 }, { 0x102 }, { 0x10001 }, { 0x10101 }, { 1ULL << 63 },
		{ 1ULL << 63 | 0x101 },
	};
	enum migtd_result result;
	int i;

	for (i = 0; i < ARRAY_SIZE(reports); i++) {
		TEST_ASSERT(td_migtd_decode_status(reports[i].status, &result) ==
			    reports[i].valid, "Status 0x%lx", reports[i].status);
		if (reports[i].valid)
			TEST_ASSERT_EQ(result, reports[i].result);
	}
}

TD_TEST_F(migtd, operations_that_are_not_known_are_refused)
{
	const u64 ops[] = { 0, MIGTD_OP_REBINDING, MIGTD_OP_ENABLE_LOG_AREA, 6, 0x7f, 0xff };
	const u64 request[2] = { REQUEST_ID };
	int i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		expect_result(&self->m, ops[i], request, sizeof(request), REQUEST_ID,
			      MIGTD_UNSUPPORTED_OPERATION);
	expect_that_it_serves(&self->m);
}

TD_TEST_F(migtd, requests_of_another_length_are_refused)
{
	const u64 id = sizeof(u64), report = sizeof(struct migtd_get_report);
	const u64 start = sizeof(struct migtd_start_migration), swap = sizeof(struct migtd_swap);
	const struct {
		u64 op;
		u64 length;
	} requests[] = {
		{ MIGTD_OP_START_MIGRATION, id },
		{ MIGTD_OP_START_MIGRATION, start - 1 },
		{ MIGTD_OP_START_MIGRATION, start + 1 },
		{ MIGTD_OP_GET_TDREPORT, id - 1 },
		{ MIGTD_OP_GET_TDREPORT, id + 1 },
		{ MIGTD_OP_GET_TDREPORT, report - 1 },
		{ MIGTD_OP_GET_TDREPORT, report + 1 },
		{ MIGTD_OP_GET_MIGTD_DATA, id - 1 },
		{ MIGTD_OP_GET_MIGTD_DATA, report + 1 },
		{ MIGTD_OP_ACCESS, sizeof(struct migtd_access) - 1 },
		{ MIGTD_OP_INSTALL_AGAIN, sizeof(struct migtd_install_again) - 1 },
		{ MIGTD_OP_SWAP, swap - 1 },
	};
	u64 data[MIGTD_MAX_REQUEST / sizeof(u64)] = { REQUEST_ID, 1 };
	int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		expect_result(&self->m, requests[i].op, data, requests[i].length,
			      requests[i].length < id ? 0 : REQUEST_ID, MIGTD_INVALID_PARAMETER);

	/* Longer than the buffer, for which there is no data. */
	td_migtd_write_request(&self->m,
			       MIGTD_DATA_DONE | MIGTD_OP_GET_TDREPORT << MIGTD_DATA_OP_SHIFT,
			       data, sizeof(data));
	self->m.wait.buffer->length = ~0U;
	self->m.reported = false;
	td_migtd_inject_request(&self->m);
	expect_report(&self->m, REQUEST_ID, MIGTD_INVALID_PARAMETER);
	expect_that_it_serves(&self->m);
}

TD_TEST_F(migtd, start_with_what_is_reserved_is_refused)
{
	struct migtd_start_migration start = { .request_id = REQUEST_ID, .is_source = 2 };
	int i;

	expect_result(&self->m, MIGTD_OP_START_MIGRATION, &start, sizeof(start), REQUEST_ID,
		      MIGTD_INVALID_PARAMETER);
	start.is_source = 1;
	for (i = 0; i < sizeof(start.reserved); i++) {
		memset(start.reserved, 0, sizeof(start.reserved));
		start.reserved[i] = 1;
		expect_result(&self->m, MIGTD_OP_START_MIGRATION, &start, sizeof(start),
			      REQUEST_ID, MIGTD_INVALID_PARAMETER);
	}

	/* No target either, but that is for the TDX module to say. */
	memset(start.reserved, 0, sizeof(start.reserved));
	expect_result(&self->m, MIGTD_OP_START_MIGRATION, &start, sizeof(start), REQUEST_ID,
		      MIGTD_TDX_MODULE_ERROR);
	TEST_ASSERT(self->m.report.tdx_status, "A key of a TD that does not exist");
}

TD_TEST_F(migtd, report_has_the_data_that_was_asked_for)
{
	struct migtd_get_report get = { .request_id = REQUEST_ID };
	u8 tdinfo[TD_TDINFO_SIZE];

	memset(get.report_data, 0xa5, sizeof(get.report_data));
	expect_result(&self->m, MIGTD_OP_GET_TDREPORT, &get, sizeof(get), REQUEST_ID,
		      MIGTD_SUCCESS);
	TEST_ASSERT_EQ(self->m.report_length, TD_REPORT_SIZE);
	TEST_ASSERT(!memcmp(self->m.report_data + TD_REPORT_REPORT_DATA, get.report_data,
			    sizeof(get.report_data)), "Other data");
	memcpy(tdinfo, self->m.report_data + TD_REPORT_TDINFO, sizeof(tdinfo));

	expect_result(&self->m, MIGTD_OP_GET_MIGTD_DATA, &get, sizeof(get), REQUEST_ID,
		      MIGTD_SUCCESS);
	TEST_ASSERT_EQ(self->m.report_length, TD_TDINFO_SIZE);
	TEST_ASSERT(!memcmp(self->m.report_data, tdinfo, sizeof(tdinfo)), "Another TD");
}

/* ---------------------------------------------------------------- cancellation */

TD_TEST_F(migtd, request_that_the_vmm_cannot_complete_is_reported)
{
	const u64 statuses[] = { MIGTD_DATA_NOT_DONE, MIGTD_DATA_CANCELLED, 3, 0xff };
	const u64 request_id = REQUEST_ID;
	int i;

	for (i = 0; i < ARRAY_SIZE(statuses); i++) {
		td_migtd_write_request(&self->m, statuses[i], &request_id, sizeof(request_id));
		self->m.reported = false;
		td_migtd_inject_request(&self->m);
		expect_report(&self->m, request_id, MIGTD_VMM_ERROR);
	}
	expect_that_it_serves(&self->m);
}

TD_TEST_F(migtd, exchange_that_is_cancelled_ends)
{
	begin_swap(&self->m, REQUEST_ID, 1);
	begin_swap(&self->m, REQUEST_ID + 1, 1);
	td_migtd_cancel(&self->m, REQUEST_ID, MIGTD_DATA_CANCELLED);
	expect_report(&self->m, REQUEST_ID, MIGTD_CANCELLED);

	/* And no other one. */
	self->m.reported = false;
	deliver_swap(&self->m, REQUEST_ID + 1, 1);
	expect_report(&self->m, REQUEST_ID + 1, MIGTD_SUCCESS);
}

TD_TEST_F(migtd, message_that_is_neither_there_nor_cancelled_is_waited_for)
{
	const u64 statuses[] = {
		MIGTD_DATA_NOT_DONE,
		MIGTD_DATA_NOT_DONE | 1ULL << MIGTD_DATA_OP_SHIFT,
		MIGTD_DATA_CANCEL,
		MIGTD_DATA_CANCEL << MIGTD_DATA_OP_SHIFT,
	};
	struct td_migtd_call *receive;
	int i;

	begin_swap(&self->m, REQUEST_ID, 1);
	receive = td_migtd_find_receive(&self->m, REQUEST_ID);
	for (i = 0; i < ARRAY_SIZE(statuses); i++) {
		WRITE_ONCE(receive->buffer->status, statuses[i]);
		expect_nothing_after(&self->m, MIGTD_MESSAGE_VECTOR);
	}
	deliver_swap(&self->m, REQUEST_ID, 1);
	expect_report(&self->m, REQUEST_ID, MIGTD_SUCCESS);
}

/* --------------------------------------------------------------------- messages */

/* Two migration TDs send each other messages of this length. */
static void swap_between(struct td_migtd *a, struct td_migtd *b, u64 request_id, u32 length)
{
	struct td_migtd_message *msg;
	u32 i;

	begin_swap(a, request_id, length);
	begin_swap(b, request_id, length);
	msg = td_migtd_find_message(a, request_id);
	TEST_ASSERT_EQ(msg->length, length);
	for (i = 0; i < length; i++)
		TEST_ASSERT_EQ(msg->data[i], migtd_swap_byte(request_id, i));

	td_migtd_run_to_report(a, b, request_id);
	TEST_ASSERT_EQ(a->result, MIGTD_SUCCESS);
	td_migtd_run_to_report(b, a, request_id);
	TEST_ASSERT_EQ(b->result, MIGTD_SUCCESS);
}

TD_TEST_F(migtd, messages_have_up_to_64_kib)
{
	const u32 page = PAGE_SIZE - MIGTD_HEADER_SIZE, lengths[] = {
		1, page - 1, page, page + 1, page + PAGE_SIZE, MIGTD_MAX_PAYLOAD - 1,
		MIGTD_MAX_PAYLOAD,
	};
	struct td_migtd peer;
	int i;

	td_migtd_create(&peer);
	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		swap_between(&self->m, &peer, REQUEST_ID + i, lengths[i]);
	td_migtd_free(&peer);

	request_swap(&self->m, REQUEST_ID, MIGTD_MAX_PAYLOAD + 1);
	expect_report(&self->m, REQUEST_ID, MIGTD_INVALID_PARAMETER);
	request_swap(&self->m, REQUEST_ID, 0);
	expect_report(&self->m, REQUEST_ID, MIGTD_INVALID_PARAMETER);
}

TD_TEST_F(migtd, message_is_judged_by_its_length)
{
	const u32 lengths[] = { PAGE_SIZE - 1, PAGE_SIZE + 1, MIGTD_MAX_PAYLOAD };
	int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		begin_swap(&self->m, REQUEST_ID + i, PAGE_SIZE);
		deliver_swap(&self->m, REQUEST_ID + i, lengths[i]);
		expect_report(&self->m, REQUEST_ID + i, MIGTD_SECURE_SESSION_ERROR);
	}

	/* A length that the buffer does not have. */
	begin_swap(&self->m, REQUEST_ID + i, PAGE_SIZE);
	td_migtd_find_receive(&self->m, REQUEST_ID + i)->buffer->length = ~0U;
	WRITE_ONCE(td_migtd_find_receive(&self->m, REQUEST_ID + i)->buffer->status,
		   MIGTD_DATA_DONE);
	td_signal_msi(self->m.vcpu, MIGTD_MESSAGE_VECTOR);
	td_migtd_find_receive(&self->m, REQUEST_ID + i)->is_outstanding = false;
	expect_report(&self->m, REQUEST_ID + i, MIGTD_SECURE_SESSION_ERROR);
	expect_that_it_serves(&self->m);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
