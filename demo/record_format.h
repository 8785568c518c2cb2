/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record of a migration, for programs: a line for each thing that happened.
 * The demo writes it, and another program draws it.
 *
 *	# trace: TIME WHAT [KEY=NUMBER...] [NAME]
 *
 * Times are microseconds since the start of the demo. A line is written when
 * what it tells of is over; TIME is then, and start= says when it began.
 *
 * "make hosts" writes the same of a database in a guest that moves between two hosts.
 * WHAT is also "hosts" then, and a tick is a commit that its client saw acknowledged.
 */
#ifndef DEMO_RECORD_FORMAT_H
#define DEMO_RECORD_FORMAT_H

#define RECORD_PREFIX		"# trace: "
#define RECORD_VERSION		1

#endif /* DEMO_RECORD_FORMAT_H */
