/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the migration TD and its VMM: words of 32 bits through I/O ports. The
 * VMM answers a read of the command port when it has a command, or with 0 to be
 * asked again; the guest then reads the arguments, writes the results and, last,
 * a status.
 *
 * Arguments: binding handle and UUID of the target, then for MIGTD_CMD_WRITE_KEY
 * the offer of the peer, and whether the target is the source. Results of
 * MIGTD_CMD_READ_KEY: an offer, i.e. the key and the versions of the migration
 * protocol that this host can export and import.
 *
 * A key must leave a real migration TD only to another one that has proven what
 * it is. This one stands in for it where both sides are test machines, and
 * hands the key to its VMM.
 */
#ifndef DEMO_MIGTD_ABI_H
#define DEMO_MIGTD_ABI_H

#define MIGTD_PORT_COMMAND	0x600
#define MIGTD_PORT_ARGUMENT	0x604
#define MIGTD_PORT_RESULT	0x608
#define MIGTD_PORT_STATUS_LOW	0x60c
/* Completes the command. */
#define MIGTD_PORT_STATUS_HIGH	0x610

#define MIGTD_CMD_READ_KEY	1
#define MIGTD_CMD_WRITE_KEY	2

#define MIGTD_UUID_WORDS	4
#define MIGTD_KEY_WORDS		4
#define MIGTD_VERSION_WORDS	4
#define MIGTD_OFFER_WORDS	(MIGTD_KEY_WORDS + MIGTD_VERSION_WORDS)

/* Status if the two hosts have no version in common, no status of TDX. */
#define MIGTD_NO_COMMON_VERSION	1

#define MIGTD_IMAGE_GPA		0x100000
#define MIGTD_STACK_TOP		0x180000
#define MIGTD_MEM_SIZE		0x200000

#endif /* DEMO_MIGTD_ABI_H */
