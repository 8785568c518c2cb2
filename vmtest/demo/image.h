/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The binaries that run inside of TDs.
 */
#ifndef DEMO_IMAGE_H
#define DEMO_IMAGE_H

#include "common.h"

extern const u8 reset_image[], reset_image_end[];
extern const u8 migtd_image[], migtd_image_end[];

#endif /* DEMO_IMAGE_H */
