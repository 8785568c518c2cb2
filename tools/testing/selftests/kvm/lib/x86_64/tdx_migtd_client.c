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

/* With @vm_fd, also the file that comes with the packet. */
static int receive(struct tdx_migtd_client *c, struct tdx_migtd_packet *p, int *vm_fd)
{
	struct iovec iov = { .iov_base = p, .iov_len = sizeof(*p) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = vm_fd ? &control : NULL,
		.msg_controllen = vm_fd ? sizeof(control) : 0,
	};
	struct cmsghdr *head;
	ssize_t n;

	do {
		n = recvmsg(c->socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -ECONNRESET;

	head = vm_fd ? CMSG_FIRSTHDR(&msg) : NULL;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(vm_fd, CMSG_DATA(head), sizeof(*vm_fd));

	if (n != sizeof(*p) || msg.msg_flags & MSG_TRUNC || p->length > sizeof(p->message))
		return -EPROTO;
	return 0;
}

int tdx_migtd_client_start(struct tdx_migtd_client *c)
{
	struct tdx_migtd_packet ready;
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

	ret = receive(c, &ready, &c->vm_fd);
	if (!ret && (ready.type != TDX_MIGTD_READY || c->vm_fd < 0))
		ret = -EPROTO;
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
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (c->vm_fd >= 0)
		close(c->vm_fd);
	return status;
}
