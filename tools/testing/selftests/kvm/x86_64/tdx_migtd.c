// SPDX-License-Identifier: GPL-2.0-only
/*
 * A migration TD in a process of its own: the TD, and the VMM that runs it, for
 * another VMM that migrates TDs, or for each of those that connect to a socket.  See
 * tdx_migtd_proto.h for how the two talk.  Or the TD alone, as a file, for VMMs that
 * load TDs from files, see tdx_migtd_image.h.
 *
 * The client is not trusted.  FOR TESTS ONLY, see tdx_migtd.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_migtd_daemon.h"
#include "tdx_migtd_image.h"

struct exchange {
	bool is_active;
	u64 request_id;
};

struct server {
	int socket;
	struct td_migtd migtd;
	/*
	 * Those that were started and have no result yet: besides those that the
	 * migration TD remembers, one that it is about to forget, and a new one.
	 */
	struct exchange exchanges[MIGTD_MAX_SESSIONS + 2];
};

static struct exchange *find_exchange(struct server *s, u64 request_id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(s->exchanges); i++) {
		if (s->exchanges[i].is_active && s->exchanges[i].request_id == request_id)
			return &s->exchanges[i];
	}
	return NULL;
}

static struct exchange *free_exchange(struct server *s)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(s->exchanges); i++) {
		if (!s->exchanges[i].is_active)
			return &s->exchanges[i];
	}
	return NULL;
}

/* ----------------------------------------------------------------- to client */

/* With @fd, pass that file on.  These return false if the client is gone. */
static bool send_packet(struct server *s, const struct tdx_migtd_packet *p, int fd)
{
	struct iovec iov = { .iov_base = (void *)p, .iov_len = sizeof(*p) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(fd))];
	} control = {};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}

	do {
		n = sendmsg(s->socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n == sizeof(*p);
}

static bool send_hello(struct server *s, u32 type, u32 refusal)
{
	const struct tdx_migtd_packet p = {
		.type = type,
		.hello.magic = TDX_MIGTD_MAGIC,
		.hello.version = TDX_MIGTD_VERSION,
		.hello.refusal = refusal,
	};

	return send_packet(s, &p, -1);
}

static bool send_ready(struct server *s)
{
	const struct tdx_migtd_packet ready = { .type = TDX_MIGTD_READY };

	return send_packet(s, &ready, s->migtd.vm->fd);
}

static bool send_result(struct server *s, u64 request_id, enum migtd_result result,
			u64 tdx_status)
{
	const struct tdx_migtd_packet p = {
		.type = TDX_MIGTD_RESULT,
		.request_id = request_id,
		.result.result = result,
		.result.tdx_status = tdx_status,
	};

	return send_packet(s, &p, -1);
}

static bool forward_message(struct server *s, struct td_migtd_message *msg)
{
	struct tdx_migtd_packet p = {
		.type = TDX_MIGTD_MESSAGE,
		.length = msg->length,
		.request_id = msg->request_id,
	};

	TEST_ASSERT(msg->length <= sizeof(p.message), "A message of %u bytes for a packet of %zu",
		    msg->length, sizeof(p.message));
	memcpy(p.message, msg->data, msg->length);
	msg->length = 0;
	return send_packet(s, &p, -1);
}

static bool forward_report(struct server *s)
{
	struct td_migtd *m = &s->migtd;
	struct exchange *e = find_exchange(s, m->request_id);

	TEST_ASSERT(e, "The migration TD ends an exchange that does not exist");
	TEST_ASSERT_EQ(m->report_length, sizeof(m->report));
	e->is_active = false;
	m->reported = false;
	/* What has come for it meanwhile, nobody will ask for. */
	if (m->delivered->request_id == m->request_id)
		m->delivered->length = 0;

	return send_result(s, m->request_id, m->result, m->report.tdx_status);
}

static bool forward(struct server *s)
{
	struct td_migtd *m = &s->migtd;
	int i;

	for (i = 0; i < MIGTD_MAX_SESSIONS; i++) {
		if (m->messages[i].length && !forward_message(s, &m->messages[i]))
			return false;
	}
	return !m->reported || forward_report(s);
}

/* --------------------------------------------------------------- from client */

static void __noreturn reject(const char *what)
{
	td_migtd_log("the client sends %s", what);
	exit(KSFT_FAIL);
}

/* Agree on a version.  Returns false if the client is gone. */
static bool meet(struct server *s)
{
	struct tdx_migtd_packet p = {};
	ssize_t n;

	if (!send_hello(s, TDX_MIGTD_HELLO, 0))
		return false;

	do {
		n = recv(s->socket, &p, sizeof(p), MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	if (n < (ssize_t)TDX_MIGTD_HELLO_SIZE || p.type != TDX_MIGTD_HELLO ||
	    p.hello.magic != TDX_MIGTD_MAGIC)
		reject("no hello");
	if (p.hello.version != TDX_MIGTD_VERSION) {
		send_hello(s, TDX_MIGTD_REFUSE, TDX_MIGTD_REFUSE_VERSION);
		reject("a hello of another version");
	}
	if (n != sizeof(p))
		reject("a packet of another size");
	return true;
}

static bool handle_start(struct server *s, const struct tdx_migtd_packet *p)
{
	struct td_migtd *m = &s->migtd;
	struct exchange *e;

	if (p->length || p->start.is_source > 1)
		reject("a start that is not valid");
	if (find_exchange(s, p->request_id))
		reject("a request id that is in use");

	e = free_exchange(s);
	if (!e)
		return send_result(s, p->request_id, MIGTD_OUT_OF_RESOURCE, 0);

	*e = (struct exchange) { .is_active = true, .request_id = p->request_id };
	m->target.handle = p->start.handle;
	memcpy(m->target.uuid, p->start.uuid, sizeof(m->target.uuid));
	td_migtd_start(m, p->request_id, p->start.is_source);
	return true;
}

static void handle_message(struct server *s, const struct tdx_migtd_packet *p)
{
	if (!p->length || p->length > sizeof(p->message))
		reject("a message of a length that is not valid");
	if (find_exchange(s, p->request_id))
		td_migtd_deliver(&s->migtd, p->request_id, p->message, p->length);
}

/* Returns false if the client is gone. */
static bool handle_packet(struct server *s)
{
	struct tdx_migtd_packet p;
	ssize_t n = recv(s->socket, &p, sizeof(p), MSG_TRUNC);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	if (n != sizeof(p))
		reject("a packet of another size");

	switch (p.type) {
	case TDX_MIGTD_START:
		return handle_start(s, &p);
	case TDX_MIGTD_MESSAGE:
		handle_message(s, &p);
		return true;
	default:
		reject("a packet of another type");
	}
}

/* ------------------------------------------------------------------ both of them */

/*
 * Let packets interrupt the migration TD, which sleeps in KVM_RUN when it has nothing to
 * do: the signal that tells of them is blocked but there.  It ends KVM_RUN as well if it
 * came before.
 */
static void wake_up_for_packets(struct server *s)
{
	struct {
		struct kvm_signal_mask head;
		u64 blocked;
	} __packed mask = { .head.len = sizeof(mask.blocked) };
	sigset_t packets, others;

	sigemptyset(&packets);
	sigaddset(&packets, SIGIO);
	TEST_ASSERT(!sigprocmask(SIG_BLOCK, &packets, &others), "sigprocmask(), errno %d", errno);
	sigdelset(&others, SIGIO);
	memcpy(&mask.blocked, &others, sizeof(mask.blocked));
	vcpu_ioctl(s->migtd.vcpu, KVM_SET_SIGNAL_MASK, &mask.head);

	TEST_ASSERT(!fcntl(s->socket, F_SETOWN, getpid()) &&
		    !fcntl(s->socket, F_SETFL, fcntl(s->socket, F_GETFL) | O_ASYNC),
		    "No signals for the socket, errno %d", errno);
}

static void forget_signal(void)
{
	const struct timespec at_once = {};
	sigset_t packets;

	sigemptyset(&packets);
	sigaddset(&packets, SIGIO);
	sigtimedwait(&packets, NULL, &at_once);
}

/*
 * Handle the packets that are there, until the migration TD has something to do.  It
 * gets one thing at a time, so the client waits meanwhile.  Returns false if the client
 * is gone.
 */
static bool handle_packets(struct server *s)
{
	struct td_migtd *m = &s->migtd;

	for (;;) {
		bool is_busy = m->request_length || m->delivered->length;
		struct pollfd pfd = { .fd = s->socket, .events = is_busy ? 0 : POLLIN };

		if (poll(&pfd, 1, 0) < 0)
			continue;
		if (!pfd.revents)
			return true;
		if (!(pfd.revents & POLLIN) || !handle_packet(s))
			return false;
	}
}

static void serve(struct server *s)
{
	wake_up_for_packets(s);
	do {
		forget_signal();
		if (!handle_packets(s))
			return;
		td_migtd_step_or_sleep(&s->migtd);
	} while (forward(s));
}

static int serve_client(int sock)
{
	struct server s = { .socket = sock };

	if (!meet(&s))
		return 0;

	td_migtd_create(&s.migtd);
	if (send_ready(&s))
		serve(&s);
	td_migtd_free(&s.migtd);
	return 0;
}

static void usage(const char *name)
{
	fprintf(stderr,
		"Usage: %s FD\n"
		"       %s --listen PATH\n"
		"       %s --image PATH\n"
		"FD is a socket to a VMM that migrates TDs.  PATH becomes a socket that such VMMs\n"
		"connect to, each for a migration TD of its own, or an image of the migration TD,\n"
		"a TDVF image for VMMs that load TDs from files.\n", name, name, name);
}

int main(int argc, char *argv[])
{
	if (argc == 3 && !strcmp(argv[1], "--listen")) {
		if (kvm_has_tdx_mig())
			return td_migtd_listen(argv[2], serve_client);
		td_migtd_log("this host does not migrate TDs");
		return KSFT_SKIP;
	}
	if (argc == 3 && !strcmp(argv[1], "--image")) {
		if (!kvm_has_tdx()) {
			td_migtd_log("this host has no TDs");
			return KSFT_SKIP;
		}
		td_migtd_write_image(argv[2]);
		return 0;
	}
	if (argc != 2 || argv[1][0] == '-') {
		usage(argv[0]);
		return KSFT_FAIL;
	}

	TEST_ASSERT(!prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl() failed, errno %d", errno);
	return serve_client(atoi_non_negative("FD", argv[1]));
}
