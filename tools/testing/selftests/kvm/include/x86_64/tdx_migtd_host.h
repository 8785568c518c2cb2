/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A host in tests of migration TDs that have a process of their own: one such migration
 * TD, and the TD that it is bound to.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_HOST_H
#define SELFTEST_KVM_TDX_MIGTD_HOST_H

#include "kvm_util.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd_client.h"

struct td_host {
	struct tdx_migtd_client client;
	/* The last binding. */
	struct tdx_migtd_start target;
};

/* Start the program, or connect to one that listens. */
void td_host_start(struct td_host *h);
void td_host_connect(struct td_host *h, const char *path);
/* The program, if it was started, has to end without an error. */
void td_host_stop(struct td_host *h);
/* Wait until it has closed the connection. */
void td_host_expect_end(struct td_host *h);

int __td_host_bind(struct td_host *h, struct kvm_vm *vm, u64 *hw_error);
void td_host_bind(struct td_host *h, struct kvm_vm *vm, bool is_source);
/* A source that it is bound to, before its launch. */
struct kvm_vm *td_host_create_target(struct td_host *h);

void td_host_send(struct td_host *h, const struct tdx_migtd_packet *p);
/* The next packet has to be this one. */
struct tdx_migtd_packet td_host_receive(struct td_host *h, u64 request_id, u32 type);

/* Start an exchange, and return the message for the peer. */
void td_host_send_start(struct td_host *h, u64 request_id);
struct tdx_migtd_packet td_host_begin(struct td_host *h, u64 request_id);
/* End it with a message of the peer. */
enum migtd_result td_host_end(struct td_host *h, const struct tdx_migtd_packet *message);
/* A whole exchange, which has to succeed. */
void td_host_exchange(struct td_host *src, struct td_host *dst, u64 request_id);

/* The two ends of a migration, bound to the migration TDs of both hosts.  No keys yet. */
void td_host_create_pair(struct td_pair *p, struct td_host *src, struct td_host *dst);

#endif /* SELFTEST_KVM_TDX_MIGTD_HOST_H */
