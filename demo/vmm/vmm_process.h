/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The VMM processes: two that migrate, or one with a migration TD.
 */
#ifndef DEMO_VMM_PROCESS_H
#define DEMO_VMM_PROCESS_H

#include "common.h"
#include "migrate.h"

/* Sent through the control pipe of a VMM. */
enum vmm_command {
	VMM_MIGRATE = 'm',
	VMM_QUIT = 'q',
};

struct vmm_options {
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	u64 mem_size;
	u32 nr_vcpus;
	/* Build a guest that can be migrated. */
	bool migratable;
	struct migrate_options migrate;
};

struct vmm_fds {
	/* One byte per command, from the process that watches. */
	int control;
	/* To the other VMM. */
	int wire;
};

/* Main functions of the processes; events have been set up. */
void __noreturn vmm_source(const struct vmm_options *options, const struct vmm_fds *fds);
void __noreturn vmm_destination(const struct vmm_fds *fds);
/* Run a migration TD from a TDVF image. */
void __noreturn vmm_migtd(const char *image, u64 mem_size, const struct vmm_fds *fds);

#endif /* DEMO_VMM_PROCESS_H */
