/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The code at the reset vector of a TD.
 */
#ifndef DEMO_RESET_IMAGE_H
#define DEMO_RESET_IMAGE_H

#include "common.h"

extern const u8 reset_image[], reset_image_end[];

#endif /* DEMO_RESET_IMAGE_H */
