/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Migration TDs: the service TDs that carry the keys of a migration.
 */
#ifndef DEMO_MIGTD_H
#define DEMO_MIGTD_H

#include "migtd_abi.h"
#include "tdvmm.h"

struct migtd;

/* AES-256 key of one direction, and the versions that a host supports. */
struct mig_offer {
	u64 words[MIGTD_OFFER_WORDS];
};

/* Start a migration TD, the one of this host. */
struct migtd *migtd_start(void);
void migtd_stop(struct migtd *migtd);

/*
 * Bind it to a TD that is not built yet (a destination) or not final (a
 * source). It works for one TD at a time. Return 0 or an errno.
 */
int migtd_bind(struct migtd *migtd, const struct vm *target, u64 *hw_error);

/* Key that the target is going to encrypt with. */
void migtd_read_key(struct migtd *migtd, struct mig_offer *offer);
/* Key that the peer is going to encrypt with. */
void migtd_write_key(struct migtd *migtd, const struct mig_offer *offer, bool source);

#endif /* DEMO_MIGTD_H */
