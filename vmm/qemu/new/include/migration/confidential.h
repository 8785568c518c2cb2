/*
 * Migration of confidential guests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_CONFIDENTIAL_H
#define MIGRATION_CONFIDENTIAL_H

#include "exec/cpu-common.h"
#include "exec/hwaddr.h"
#include "hw/core/cpu.h"

#define CGS_MIGRATION_MAX_REPLY 512

/* Is there private memory that the confidential guest itself exports? */
bool migration_confidential(void);

/*
 * On the source: a vCPU cannot make private memory shared because it was
 * exported.  Waits until the export has been revoked, or the vCPU is wanted
 * elsewhere.  Returns true if the vCPU has to try again.
 */
bool migration_confidential_revoke(CPUState *cpu, hwaddr gpa, uint64_t size);

/*
 * On the destination: a vCPU needs a page of private memory that the source has
 * not sent yet.  It has to try again when this returns.
 */
void migration_confidential_missing(CPUState *cpu, hwaddr gpa);

/*
 * On the destination: a vCPU is going to make private memory shared.  What the
 * source has not sent yet must not come later.  Returns false if the vCPU is
 * wanted elsewhere, and has to try again.
 */
bool migration_confidential_complete(CPUState *cpu, hwaddr gpa, uint64_t size);

/* On the destination: ask the source for a page of private memory. */
int migration_confidential_request(RAMBlock *block, ram_addr_t offset);

/*
 * On the destination: send a message to the confidential guest of the source,
 * over the return path.  At most CGS_MIGRATION_MAX_REPLY bytes.
 */
int migration_confidential_reply(const uint8_t *buf, size_t size);

/*
 * On the source: only the destination is going to decide where the guest runs.
 * Call this before the guest is given up.
 */
void migration_confidential_commit(void);

/*
 * On the source: the destination says why it is going to give up.  @reason is
 * not trusted.
 */
void migration_confidential_failed(const char *reason, size_t size);

#endif
