/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The migration TD of the library as an image, for VMMs that load TDs from files: layout,
 * shared by C and assembly.
 *
 * It is a TDVF image, i.e. a flash device that ends at 4 GiB, in which metadata tell what
 * memory the TD has and what is in it.  The sections are those of Intel's MigTD.  What
 * the library would add to the TD, page by page, is the payload; the shim, which
 * starts at the reset vector, moves it to where it belongs.
 *
 * FOR TESTS ONLY, see tdx_migtd.h.
 */
#ifndef SELFTEST_KVM_TDX_MIGTD_IMAGE_H
#define SELFTEST_KVM_TDX_MIGTD_IMAGE_H

#include "tdx_boot.h"

#define MIGTD_IMAGE_SIZE	0x1000000
#define MIGTD_IMAGE_GPA		0xff000000

/* From the start of the flash device. */
#define MIGTD_CONFIG_OFFSET	0
#define MIGTD_CONFIG_SIZE	0x1000
#define MIGTD_TEMP_OFFSET	0x1000
#define MIGTD_TEMP_SIZE		0x5000
#define MIGTD_PAYLOAD_OFFSET	0x10000

/* The boot volume: information for tools, the shim, and the boot page of the library. */
#define MIGTD_BOOT_OFFSET	0xffd000
#define MIGTD_BOOT_SIZE		0x3000
#define MIGTD_INFO_OFFSET	MIGTD_BOOT_OFFSET
#define MIGTD_INFO_SIZE		0x1000
#define MIGTD_SHIM_OFFSET	0xffe000
#define MIGTD_SHIM_SIZE		0x1000
/* In the page of the shim. */
#define MIGTD_METADATA_OFFSET	0xffe800

/* RAM, of which the TD has no page when it starts. */
#define MIGTD_MEMORY_SIZE	0x1000000

/* The first page of the payload is its table; the pages that it lists follow. */
#define MIGTD_TABLE_NR_RUNS	0
#define MIGTD_TABLE_CONFIG	8
#define MIGTD_TABLE_RUNS	16
#define MIGTD_RUN_GPA		0
#define MIGTD_RUN_NR_PAGES	8
#define MIGTD_RUN_SIZE		16

#ifndef __ASSEMBLER__

#include "tdx_migtd.h"

extern const u8 td_migtd_shim[];

/* Write the image to a file; asserts.  Needs a host that has TDs. */
void td_migtd_write_image(const char *path);

#endif /* __ASSEMBLER__ */

#endif /* SELFTEST_KVM_TDX_MIGTD_IMAGE_H */
