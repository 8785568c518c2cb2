// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "guest.h"

#define ECHO_PORT	7

static void set_address(const char *address)
{
	struct ifreq ifr = { .ifr_name = "eth0" };
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = inet_addr(address);
	if (ioctl(fd, SIOCSIFADDR, &ifr)) {
		error("eth0 cannot have the address %s", address);
	} else {
		sin->sin_addr.s_addr = htonl(0xffffff00);
		ioctl(fd, SIOCSIFNETMASK, &ifr);
		ioctl(fd, SIOCGIFFLAGS, &ifr);
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(fd, SIOCSIFFLAGS, &ifr))
			error("eth0 cannot be used");
	}
	close(fd);
}

static void *echo(void *arg)
{
	int fd = (long)arg;
	char buf[2048];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 &&
	       send(fd, buf, n, MSG_NOSIGNAL) == n)
		net_bytes += n;
	close(fd);
	return NULL;
}

static void *run(void *arg)
{
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(ECHO_PORT),
	};
	int fd = (long)arg;

	if (bind(fd, (const struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 8)) {
		error("nobody can connect");
		return NULL;
	}
	for (;;) {
		long client = accept(fd, NULL, NULL);

		if (client >= 0)
			start_thread(echo, (void *)client);
	}
}

void start_net(const char *address)
{
	set_address(address);
	start_thread(run, (void *)(long)socket(AF_INET, SOCK_STREAM, 0));
}
