// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client of a migration TD that has a process of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tdx_migtd_client.h"

#define PROGRAM			"tdx_migtd"
#define EXIT_NO_PROGRAM		127

static int find_program(char path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(PROGRAM));
	char *name;

	if (n < 0)
		return -errno;
	path[n] = '\0';
	name = strrchr(path, '/');
	if (!name)
		return -ENOENT;

	strcpy(name + 1, PROGRAM);
	return access(path, X_OK) ? -errno : 0;
}

static void exec_program(const char *path, int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char arg[16];

	/* What it prints is of no use to others, unless it fails.  It loads itself by its name. */
	snprintf(arg, sizeof(arg), "%d", fcntl(sock, F_DUPFD, STDERR_FILENO + 1));
	if (dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0)
		execl(path, path, arg, NULL);
	_exit(EXIT_NO_PROGRAM);
}

/* With @vm_fd, also the file that comes with the packet.  Returns its length or -errno. */
static ssize_t receive_any(struct tdx_migtd_client *c, struct tdx_migtd_packet *p, int *vm_fd)
{
	struct iovec iov = { .iov_base = p, .iov_len = sizeof(*p) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	/* No room for more than one file: the kernel closes the others. */
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = vm_fd ? &control : NULL,
		.msg_controllen = vm_fd ? CMSG_LEN(sizeof(int)) : 0,
	};
	struct cmsghdr *head;
	ssize_t n;

	do {
		n = recvmsg(c->socket, &msg, MSG_CMSG_CLOEXEC | MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -ECONNRESET;

	head = vm_fd ? CMSG_FIRSTHDR(&msg) : NULL;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(vm_fd, CMSG_DATA(head), sizeof(*vm_fd));
	return n;
}

static int receive(struct tdx_migtd_client *c, struct tdx_migtd_packet *p, int *vm_fd)
{
	ssize_t n = receive_any(c, p, vm_fd);

	if (n < 0)
		return n;
	return n != sizeof(*p) || p->length > sizeof(p->message) ? -EPROTO : 0;
}

static int refusal_errno(const struct tdx_migtd_hello *refuse)
{
	switch (refuse->refusal) {
	case TDX_MIGTD_REFUSE_VERSION:
		return -EPROTONOSUPPORT;
	case TDX_MIGTD_REFUSE_FULL:
		return -EBUSY;
	default:
		return -EPROTO;
	}
}

/* Agree on a version, and wait until the TD can be bound. */
static int meet(struct tdx_migtd_client *c)
{
	struct tdx_migtd_packet p = {};
	const struct tdx_migtd_packet hello = {
		.type = TDX_MIGTD_HELLO,
		.hello.magic = TDX_MIGTD_MAGIC,
		.hello.version = TDX_MIGTD_VERSION,
	};
	ssize_t n = receive_any(c, &p, NULL);
	int ret;

	if (n < 0)
		return n;
	if (n < (ssize_t)TDX_MIGTD_HELLO_SIZE || p.hello.magic != TDX_MIGTD_MAGIC)
		return -EPROTO;
	if (p.hello.version != TDX_MIGTD_VERSION)
		return -EPROTONOSUPPORT;
	if (p.type == TDX_MIGTD_REFUSE)
		return refusal_errno(&p.hello);
	if (p.type != TDX_MIGTD_HELLO || n != sizeof(p))
		return -EPROTO;

	ret = tdx_migtd_client_send(c, &hello) ?: receive(c, &p, &c->vm_fd);
	if (ret)
		return ret;
	if (p.type == TDX_MIGTD_REFUSE)
		return refusal_errno(&p.hello);
	return p.type != TDX_MIGTD_READY || c->vm_fd < 0 ? -EPROTO : 0;
}

int tdx_migtd_client_start(struct tdx_migtd_client *c)
{
	int sockets[2], ret;
	char path[PATH_MAX];

	ret = find_program(path);
	if (ret)
		return ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;

	*c = (struct tdx_migtd_client) { .socket = sockets[0], .vm_fd = -1 };
	c->pid = fork();
	if (!c->pid)
		exec_program(path, sockets[1]);
	ret = -errno;
	close(sockets[1]);
	if (c->pid < 0) {
		close(c->socket);
		return ret;
	}

	ret = meet(c);
	if (ret)
		tdx_migtd_client_stop(c);
	return ret;
}

int tdx_migtd_client_connect(struct tdx_migtd_client *c, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);

	*c = (struct tdx_migtd_client) {
		.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0),
		.vm_fd = -1,
	};
	if (c->socket < 0)
		return -errno;

	ret = connect(c->socket, (struct sockaddr *)&address, sizeof(address)) ? -errno : meet(c);
	if (ret)
		tdx_migtd_client_stop(c);
	return ret;
}

int tdx_migtd_client_send(struct tdx_migtd_client *c, const struct tdx_migtd_packet *p)
{
	ssize_t n;

	do {
		n = send(c->socket, p, sizeof(*p), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EPIPE ? -ECONNRESET : -errno;
	return 0;
}

int tdx_migtd_client_receive(struct tdx_migtd_client *c, struct tdx_migtd_packet *p)
{
	return receive(c, p, NULL);
}

int tdx_migtd_client_stop(struct tdx_migtd_client *c)
{
	int status = 0;

	close(c->socket);
	while (c->pid && waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (c->vm_fd >= 0)
		close(c->vm_fd);
	return status;
}
