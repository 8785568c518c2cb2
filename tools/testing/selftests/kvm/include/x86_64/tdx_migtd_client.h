/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client of a migration TD that has a process of its own.
 *
 * It needs nothing else of the library, for VMMs that are not made of it.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_CLIENT_H
#define SELFTEST_KVM_TDX_MIGTD_CLIENT_H

#include <sys/types.h>

#include "tdx_migtd_proto.h"

/**
 * struct tdx_migtd_client - A running program tdx_migtd.
 * @pid: its process, a child of this one.
 * @socket: this end of the connection.
 * @vm_fd: the VM of the migration TD, for KVM_TDX_SERVTD_BIND.
 */
struct tdx_migtd_client {
	pid_t pid;
	int socket;
	int vm_fd;
};

/*
 * Start the program that lies beside the running one, and wait until its TD can be
 * bound.  It ends with the thread that calls this, at the latest.
 *
 * These three return 0 or -errno: -ECONNRESET if the program has ended, -EPROTO if it
 * does not stick to the protocol.
 */
int tdx_migtd_client_start(struct tdx_migtd_client *c);
int tdx_migtd_client_send(struct tdx_migtd_client *c, const struct tdx_migtd_packet *p);
int tdx_migtd_client_receive(struct tdx_migtd_client *c, struct tdx_migtd_packet *p);

/* Let the program end and return its wait status. */
int tdx_migtd_client_stop(struct tdx_migtd_client *c);

#endif /* SELFTEST_KVM_TDX_MIGTD_CLIENT_H */
