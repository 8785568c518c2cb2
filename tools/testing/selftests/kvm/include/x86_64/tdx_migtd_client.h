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
 * struct tdx_migtd_client - A connection to the program tdx_migtd.
 * @pid: its process, a child of this one; 0 if it was running already.
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
 * These four return 0 or -errno: -ECONNRESET if the program has ended, -EPROTO if it
 * does not stick to the protocol, -EPROTONOSUPPORT if that is of another version, and
 * -EBUSY if it has as many clients as it can have.
 */
int tdx_migtd_client_start(struct tdx_migtd_client *c);
/* Get a migration TD from the program that listens on a socket. */
int tdx_migtd_client_connect(struct tdx_migtd_client *c, const char *path);
int tdx_migtd_client_send(struct tdx_migtd_client *c, const struct tdx_migtd_packet *p);
int tdx_migtd_client_receive(struct tdx_migtd_client *c, struct tdx_migtd_packet *p);

/* Let the migration TD end.  Returns the wait status of the program if it was started. */
int tdx_migtd_client_stop(struct tdx_migtd_client *c);

#endif /* SELFTEST_KVM_TDX_MIGTD_CLIENT_H */
