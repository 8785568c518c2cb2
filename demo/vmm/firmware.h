/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Starts a TD from a TDVF image: firmware, or a service TD.
 */
#ifndef DEMO_FIRMWARE_H
#define DEMO_FIRMWARE_H

#include "tdvf.h"
#include "vm.h"

/* Read an image; ends the process if it is refused. */
void firmware_read(struct tdvf *firmware, const char *path);

/* Add the memory regions of a TD: RAM, and the flash device. */
void firmware_add_memory(struct vm *vm, const struct tdvf *firmware);

/* Load the sections and start the vCPUs at the reset vector. The TD is not final. */
void firmware_load(struct vm *vm, const struct tdvf *firmware);

#endif /* DEMO_FIRMWARE_H */
