/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Migration TDs: the service TDs that exchange the keys of a migration. That of
 * this host runs in a process of its own, the program tdx_migtd of the KVM
 * selftests. It takes what it gets from a peer only if another one of its kind
 * has sent it. FOR TESTS ONLY: what they know each other by is no secret.
 */
#ifndef DEMO_MIGTD_H
#define DEMO_MIGTD_H

#include "vm.h"
#include "tdx_migtd_proto.h"

struct migtd;

/* From one migration TD to another; what is in it is their business. */
struct migtd_message {
	u32 len;
	u8 data[MIGTD_MAX_MESSAGE];
};

/* Start a migration TD, the one of this host. */
struct migtd *migtd_start(void);
void migtd_stop(struct migtd *migtd);

/*
 * Bind it to a TD that is not built yet (a destination) or not final (a
 * source). It works for one TD at a time. Return 0 or an errno.
 */
int migtd_bind(struct migtd *migtd, const struct vm *target, u64 *hw_error);

/*
 * The two halves of a key exchange: get the message for the peer, and hand in
 * that of the peer. The request id has to be the same on both sides. Return NULL
 * or what went wrong, valid until the next call.
 */
const char *migtd_begin(struct migtd *migtd, u64 request_id, bool source,
			struct migtd_message *own);
const char *migtd_end(struct migtd *migtd, u64 request_id, const struct migtd_message *peer);

#endif /* DEMO_MIGTD_H */
