// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: a migration TD that has a process of its own, and what it makes of
 * clients that go, or do not stick to the protocol.
 *
 * Takes the program tdx_migtd, in the folder of the test.
 */
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd_host.h"
#include "tdx_test.h"

#define NO_HANDLE		0x1234567890ULL
#define END_TIMEOUT_MS		(TD_TEST_TIMEOUT * 1000 / 2)

/* Two hosts, and a TD that can be migrated once it has keys. */
static void pair_create(struct td_pair *p, struct td_host *src, struct td_host *dst)
{
	td_host_start(src);
	td_host_start(dst);
	td_host_create_pair(p, src, dst);
}

static void pair_free(struct td_pair *p, struct td_host *src, struct td_host *dst)
{
	td_pair_free(p);
	td_host_stop(dst);
	td_host_stop(src);
}

/* A source that a migration TD is bound to, and the latter. */
static struct kvm_vm *bound_create(struct td_host *h)
{
	td_host_start(h);
	return td_host_create_target(h);
}

/* --------------------------------------------------------------- key exchange */

TD_TEST(td_is_migrated_with_keys_from_migration_tds_in_other_processes)
{
	struct td_host src = {}, dst = {};
	struct td_pair p;

	pair_create(&p, &src, &dst);
	td_host_exchange(&src, &dst, 1);
	td_pair_migrate(&p);
	pair_free(&p, &src, &dst);
}

TD_TEST(message_that_was_changed_on_its_way_gives_no_key)
{
	struct tdx_migtd_packet from_src, from_dst;
	struct td_host src = {}, dst = {};
	struct td_pair p;

	pair_create(&p, &src, &dst);
	from_src = td_host_begin(&src, 1);
	from_dst = td_host_begin(&dst, 1);
	from_dst.message[from_dst.length - TD_SHA384_SIZE - 1] ^= 1;
	TEST_ASSERT_EQ(td_host_end(&src, &from_dst), MIGTD_SECURE_SESSION_ERROR);
	from_src.length--;
	TEST_ASSERT_EQ(td_host_end(&dst, &from_src), MIGTD_SECURE_SESSION_ERROR);
	td_mig_expect_no_key(&p.m);

	/* The migration TDs are none the worse for it. */
	td_host_exchange(&src, &dst, 2);
	td_pair_migrate(&p);
	pair_free(&p, &src, &dst);
}

TD_TEST(message_of_another_exchange_is_refused)
{
	struct tdx_migtd_packet from_dst;
	struct td_host src = {}, dst = {};
	struct tdx_migtd_start target;
	struct kvm_vm *other;
	struct td_pair p;

	pair_create(&p, &src, &dst);
	target = src.target;
	other = td_host_create_target(&src);
	td_host_begin(&src, 2);
	src.target = target;
	td_host_begin(&src, 1);
	from_dst = td_host_begin(&dst, 1);
	from_dst.request_id = 2;
	TEST_ASSERT_EQ(td_host_end(&src, &from_dst), MIGTD_SECURE_SESSION_ERROR);
	td_mig_expect_no_key(&p.m);

	from_dst.request_id = 1;
	TEST_ASSERT_EQ(td_host_end(&src, &from_dst), MIGTD_SUCCESS);
	kvm_vm_free(other);
	pair_free(&p, &src, &dst);
}

TD_TEST(client_is_told_what_the_tdx_module_refuses)
{
	struct tdx_migtd_packet p;
	struct td_host h = {};

	td_host_start(&h);
	h.target.handle = NO_HANDLE;
	td_host_send_start(&h, 1);
	p = td_host_receive(&h, 1, TDX_MIGTD_RESULT);
	TEST_ASSERT_EQ(p.result.result, MIGTD_TDX_MODULE_ERROR);
	TEST_ASSERT(p.result.tdx_status, "A key of a TD that does not exist");
	td_host_stop(&h);
}

TD_TEST(exchanges_are_limited_and_can_be_ended)
{
	struct tdx_migtd_packet p, junk = { .type = TDX_MIGTD_MESSAGE, .length = 1 };
	struct kvm_vm *targets[MIGTD_MAX_SESSIONS + 1];
	struct td_host h = {};
	u64 id;
	int i;

	td_host_start(&h);
	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		targets[i] = td_host_create_target(&h);
		td_host_begin(&h, i + 1);
	}
	targets[i] = td_host_create_target(&h);
	id = i + 1;
	td_host_send_start(&h, id);
	p = td_host_receive(&h, id, TDX_MIGTD_RESULT);
	TEST_ASSERT_EQ(p.result.result, MIGTD_OUT_OF_RESOURCE);

	junk.request_id = MIGTD_MAX_SESSIONS;
	TEST_ASSERT_EQ(td_host_end(&h, &junk), MIGTD_SECURE_SESSION_ERROR);
	/* Nobody waits for this one any more, nor for this. */
	td_host_send(&h, &junk);
	junk.request_id = id;
	td_host_send(&h, &junk);
	td_host_begin(&h, id);

	td_host_stop(&h);
	for (i = 0; i < ARRAY_SIZE(targets); i++)
		kvm_vm_free(targets[i]);
}

TD_TEST(exchanges_that_are_abandoned_end_and_do_not_count)
{
	struct td_host h = {};
	struct kvm_vm *vm = bound_create(&h);
	u64 id, ended = 0;

	for (id = 1; id <= 3 * MIGTD_MAX_SESSIONS; id++) {
		struct tdx_migtd_packet p;

		td_host_send_start(&h, id);
		/* The oldest one makes room. */
		if (id > MIGTD_MAX_SESSIONS) {
			p = td_host_receive(&h, ++ended, TDX_MIGTD_RESULT);
			TEST_ASSERT_EQ(p.result.result, MIGTD_SECURE_SESSION_ERROR);
		}
		td_host_receive(&h, id, TDX_MIGTD_MESSAGE);
	}
	td_host_stop(&h);
	kvm_vm_free(vm);
}

/* -------------------------------------------------------------------- clients */

/* One byte more than a packet. */
struct bad_packet {
	struct tdx_migtd_packet p;
	u8 byte;
} __packed;

TD_TEST(client_that_breaks_the_rules_loses_its_migration_td)
{
	const u64 length = sizeof(struct tdx_migtd_packet);
	const struct {
		struct bad_packet packet;
		size_t size;
	} bad[] = {
		{ { { .type = TDX_MIGTD_START } }, 1 },
		{ { { .type = TDX_MIGTD_START } }, length - 1 },
		{ { { .type = TDX_MIGTD_START } }, length + 1 },
		{ { { .type = 0 } }, length },
		{ { { .type = TDX_MIGTD_READY } }, length },
		{ { { .type = TDX_MIGTD_RESULT } }, length },
		{ { { .type = TDX_MIGTD_HELLO, .hello.magic = TDX_MIGTD_MAGIC } }, length },
		{ { { .type = TDX_MIGTD_REFUSE } }, length },
		{ { { .type = ~0U } }, length },
		{ { { .type = TDX_MIGTD_START, .length = 1 } }, length },
		{ { { .type = TDX_MIGTD_START, .start.is_source = 2 } }, length },
		{ { { .type = TDX_MIGTD_MESSAGE, .length = 0 } }, length },
		{ { { .type = TDX_MIGTD_MESSAGE, .length = MIGTD_MAX_MESSAGE + 1 } }, length },
		{ { { .type = TDX_MIGTD_MESSAGE, .length = ~0U } }, length },
	};
	int i, status;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct td_host h = {};

		td_host_start(&h);
		TEST_ASSERT_EQ(send(h.client.socket, &bad[i].packet, bad[i].size, 0),
			       (ssize_t)bad[i].size);
		td_host_expect_end(&h);
		status = tdx_migtd_client_stop(&h.client);
		TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == KSFT_FAIL,
			    "Packet %d: wait status 0x%x", i, status);
	}
}

TD_TEST(request_id_that_is_in_use_is_no_other_exchange)
{
	struct td_host h = {};
	struct kvm_vm *vm = bound_create(&h);
	int status;

	td_host_begin(&h, 1);
	td_host_send_start(&h, 1);
	td_host_expect_end(&h);
	status = tdx_migtd_client_stop(&h.client);
	TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == KSFT_FAIL, "wait status 0x%x",
		    status);
	kvm_vm_free(vm);
}

TD_TEST(migration_td_ends_when_its_client_closes_the_connection)
{
	struct td_host h = {};
	struct kvm_vm *vm;

	/* At once, in the middle of an exchange, and with a packet on the way. */
	td_host_start(&h);
	td_host_stop(&h);

	vm = bound_create(&h);
	td_host_begin(&h, 1);
	td_host_stop(&h);
	kvm_vm_free(vm);

	vm = bound_create(&h);
	td_host_send_start(&h, 1);
	td_host_stop(&h);
	kvm_vm_free(vm);
}

TD_TEST(migration_td_dies_with_its_client)
{
	int fds[2], pidfd, program, sock, status;
	struct td_host h = {};
	struct pollfd pfd;
	pid_t pid;

	TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		td_host_start(&h);
		TEST_ASSERT_EQ(write(fds[1], &h, sizeof(h)), (ssize_t)sizeof(h));
		for (;;)
			pause();
	}

	close(fds[1]);
	TEST_ASSERT(read(fds[0], &h, sizeof(h)) == sizeof(h), "The client has ended");
	/* With this the connection stays. */
	pidfd = syscall(__NR_pidfd_open, pid, 0);
	sock = syscall(__NR_pidfd_getfd, pidfd, h.client.socket, 0);
	TEST_ASSERT(sock >= 0, "pidfd_getfd() failed, errno %d", errno);
	program = syscall(__NR_pidfd_open, h.client.pid, 0);
	TEST_ASSERT(program >= 0, "pidfd_open() failed, errno %d", errno);

	kill(pid, SIGKILL);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status), "The client ended by itself");
	/* It has closed its connection before it is gone altogether. */
	pfd = (struct pollfd) { .fd = program, .events = POLLIN };
	TEST_ASSERT(poll(&pfd, 1, END_TIMEOUT_MS) == 1, "tdx_migtd does not end");

	close(program);
	close(sock);
	close(pidfd);
	close(fds[0]);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
