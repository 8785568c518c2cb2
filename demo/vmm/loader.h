/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Starts a TD without firmware: puts Linux, what it has to be told and the code
 * of the reset vector into the memory of a TD.
 */
#ifndef DEMO_LOADER_H
#define DEMO_LOADER_H

#include "vm.h"

/* Add the memory regions of a TD; needed on both sides of a migration. */
void loader_add_memory(struct vm *vm);

/* Load a Linux bzImage with its initramfs. The vCPUs exist, the TD is not final. */
void loader_load_linux(struct vm *vm, const char *kernel, const char *initrd,
		       const char *cmdline);

#endif /* DEMO_LOADER_H */
