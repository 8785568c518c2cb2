/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Layout of the pages below 4 GiB that a TD starts from.
 */
#ifndef DEMO_RESET_H
#define DEMO_RESET_H

#define RESET_PAGE_SIZE		0x1000
#define RESET_PML4_GPA		0xffffb000
#define RESET_PDPT_GPA		0xffffc000
/* The first and the last GiB below 4 GiB. */
#define RESET_PD_LOW_GPA	0xffffd000
#define RESET_PD_HIGH_GPA	0xffffe000
#define RESET_PAGE_GPA		0xfffff000
#define RESET_VECTOR_OFFSET	0xff0

#define RESET_REGION_GPA	RESET_PML4_GPA
#define RESET_REGION_SIZE	0x5000

/* Selectors, as the Linux boot protocol wants them. */
#define RESET_CS		0x10
#define RESET_DS		0x18

#endif /* DEMO_RESET_H */
