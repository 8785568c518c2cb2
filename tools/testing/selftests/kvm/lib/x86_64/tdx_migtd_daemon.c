// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration TDs for whoever connects to a socket.
 *
 * The process that listens reads nothing of what clients send, and waits for none of
 * them.  All that a client can break is the process of its own connection.
 */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "tdx_migtd_daemon.h"
#include "tdx_migtd_proto.h"

/* For which the process rests when it runs out of files. */
#define RETRY_SECONDS	1

struct connection {
	/* 0 if there is none. */
	pid_t pid;
	u64 id;
};

struct daemon {
	const char *path;
	pid_t pid;
	int listener;
	int signals;
	sigset_t mask;
	struct connection connections[TDX_MIGTD_MAX_CONNECTIONS];
	u32 nr_connections;
	u64 last_id;
};

/* Of which connection this is the process, 0 if of none. */
static u64 own_id;

void td_migtd_log(const char *fmt, ...)
{
	char text[256], who[40] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (own_id)
		snprintf(who, sizeof(who), "connection %lu: ", own_id);
	/* In one piece, as others write there, too. */
	dprintf(STDERR_FILENO, "tdx_migtd: %s%s\n", who, text);
}

/* -------------------------------------------------------------------- socket */

/* Is that a socket that nobody listens on any more? */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
		  errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_socket(int fd, const struct sockaddr_un *address)
{
	/* It must never be there with other permissions. */
	mode_t mode = umask(0177);
	int ret = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	if (ret && errno == EADDRINUSE) {
		if (is_stale(address) && !unlink(address->sun_path))
			ret = bind(fd, (const struct sockaddr *)address, sizeof(*address));
		else
			errno = EADDRINUSE;
	}
	umask(mode);
	return ret;
}

static bool open_listener(struct daemon *d)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(d->path) >= sizeof(address.sun_path)) {
		td_migtd_log("%s: %s", d->path, strerror(ENAMETOOLONG));
		return false;
	}
	strcpy(address.sun_path, d->path);

	d->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->listener < 0 || bind_socket(d->listener, &address) ||
	    listen(d->listener, TDX_MIGTD_MAX_CONNECTIONS)) {
		td_migtd_log("%s: %s", d->path, strerror(errno));
		return false;
	}
	return true;
}

/* --------------------------------------------------------------- connections */

static void refuse(int sock)
{
	const struct tdx_migtd_packet p = {
		.type = TDX_MIGTD_REFUSE,
		.hello.magic = TDX_MIGTD_MAGIC,
		.hello.version = TDX_MIGTD_VERSION,
		.hello.refusal = TDX_MIGTD_REFUSE_FULL,
	};

	/* A client that does not take it knows no better than that it is gone. */
	send(sock, &p, sizeof(p), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static struct connection *free_connection(struct daemon *d)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(d->connections); i++) {
		if (!d->connections[i].pid)
			return &d->connections[i];
	}
	return NULL;
}

/* In the process of the connection. */
static void __noreturn run_connection(struct daemon *d, u64 id, int sock, int (*serve)(int sock))
{
	own_id = id;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != d->pid)
		_exit(KSFT_FAIL);

	close(d->listener);
	close(d->signals);
	sigprocmask(SIG_UNBLOCK, &d->mask, NULL);
	exit(serve(sock));
}

static void start_connection(struct daemon *d, int sock, int (*serve)(int sock))
{
	struct connection *c = free_connection(d);
	struct ucred client = {};
	socklen_t size = sizeof(client);
	u64 id = d->last_id + 1;
	pid_t pid;

	if (!c) {
		td_migtd_log("a client is refused, there are %u already", d->nr_connections);
		refuse(sock);
		return;
	}

	pid = fork();
	if (!pid)
		run_connection(d, id, sock, serve);
	if (pid < 0) {
		td_migtd_log("a client is refused, no process for it: %s", strerror(errno));
		refuse(sock);
		return;
	}

	d->last_id = id;
	d->nr_connections++;
	*c = (struct connection) { .pid = pid, .id = id };
	getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &client, &size);
	td_migtd_log("connection %lu: from process %d of user %u, served by process %d, %u of %u",
		     id, client.pid, client.uid, pid, d->nr_connections,
		     TDX_MIGTD_MAX_CONNECTIONS);
}

static void accept_connection(struct daemon *d, int (*serve)(int sock))
{
	int sock = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);

	if (sock >= 0) {
		start_connection(d, sock, serve);
		close(sock);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		td_migtd_log("no connection can be accepted: %s", strerror(errno));
		sleep(RETRY_SECONDS);
	}
}

static void end_connection(struct daemon *d, pid_t pid, int status)
{
	struct connection *c = d->connections;
	char how[40] = "ended";

	while (c->pid != pid)
		c++;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status))
		snprintf(how, sizeof(how), "failed with status %d", WEXITSTATUS(status));

	c->pid = 0;
	d->nr_connections--;
	td_migtd_log("connection %lu: %s, %u of %u", c->id, how, d->nr_connections,
		     TDX_MIGTD_MAX_CONNECTIONS);
}

static void end_connections(struct daemon *d, int options)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, options)) > 0)
		end_connection(d, pid, status);
}

static void kill_connections(struct daemon *d)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(d->connections); i++) {
		if (d->connections[i].pid)
			kill(d->connections[i].pid, SIGKILL);
	}
	/* Their TDs are gone then. */
	end_connections(d, 0);
}

/* Returns false if the process has to end. */
static bool handle_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGCHLD) {
		end_connections(d, WNOHANG);
		return true;
	}

	td_migtd_log("ends by signal %u, with %u connections", info.ssi_signo,
		     d->nr_connections);
	return false;
}

int td_migtd_listen(const char *path, int (*serve)(int sock))
{
	struct daemon d = { .path = path, .pid = getpid() };
	struct pollfd pfds[2];
	bool again = true;

	sigemptyset(&d.mask);
	sigaddset(&d.mask, SIGCHLD);
	sigaddset(&d.mask, SIGINT);
	sigaddset(&d.mask, SIGTERM);
	sigprocmask(SIG_BLOCK, &d.mask, NULL);
	d.signals = signalfd(-1, &d.mask, SFD_CLOEXEC | SFD_NONBLOCK);
	TEST_ASSERT(d.signals >= 0, "signalfd() failed, errno %d", errno);
	if (!open_listener(&d))
		return KSFT_FAIL;

	td_migtd_log("ready, listens on %s", path);
	pfds[0] = (struct pollfd) { .fd = d.signals, .events = POLLIN };
	pfds[1] = (struct pollfd) { .fd = d.listener, .events = POLLIN };
	do {
		if (poll(pfds, ARRAY_SIZE(pfds), -1) < 0)
			continue;
		/* Those that have ended make room for others. */
		if (pfds[0].revents)
			again = handle_signal(&d);
		else if (pfds[1].revents)
			accept_connection(&d, serve);
	} while (again);

	unlink(path);
	close(d.listener);
	kill_connections(&d);
	return 0;
}
