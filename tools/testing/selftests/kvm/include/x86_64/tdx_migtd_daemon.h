/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration TDs for whoever connects to a socket: the process that gives each
 * connection a process of its own.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_DAEMON_H
#define SELFTEST_KVM_TDX_MIGTD_DAEMON_H

#include "kvm_util.h"

/* A line on stderr, which tells of the connection if this is the process of one. */
void td_migtd_log(const char *fmt, ...) __printf(1, 2);

/*
 * Listen on a socket at @path, which only this user can connect to, until SIGTERM or
 * SIGINT.  @serve is called in the process of a connection.  It ends at the latest
 * with the one that listens.  Returns the exit status of the latter.
 */
int td_migtd_listen(const char *path, int (*serve)(int sock));

#endif /* SELFTEST_KVM_TDX_MIGTD_DAEMON_H */
