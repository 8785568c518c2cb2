/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TDVF images: firmware of a TD, or a service TD. An image is a flash device that
 * ends at 4 GiB. Metadata in it tell which memory the TD starts with, and what is
 * in it.
 */
#ifndef DEMO_TDVF_H
#define DEMO_TDVF_H

#include "common.h"

#define TDVF_END		0x100000000ULL
/* Intel's migration TD has 16 MiB. */
#define TDVF_MAX_SIZE		0x4000000ULL
#define TDVF_MAX_SECTIONS	32

#define TDVF_EXTEND_MR		BIT(0)
#define TDVF_PAGE_AUG		BIT(1)

enum tdvf_type {
	TDVF_BFV		= 0,
	TDVF_CFV		= 1,
	TDVF_TD_HOB		= 2,
	TDVF_TEMP_MEM		= 3,
	TDVF_PERM_MEM		= 4,
	TDVF_PAYLOAD		= 5,
	TDVF_PAYLOAD_PARAM	= 6,
	/* For tools that look at the image. They take no memory beside that of a BFV. */
	TDVF_TD_INFO		= 7,
	TDVF_TD_PARAMS		= 8,
	TDVF_NR_TYPES,
};

struct tdvf_section {
	u32 data_offset;
	u32 raw_size;
	u64 gpa;
	u64 size;
	u32 type;
	u32 attributes;
};

struct tdvf {
	const u8 *image;
	u64 image_size;
	u32 nr_sections;
	struct tdvf_section sections[TDVF_MAX_SECTIONS];
	/* Why the image is refused. */
	char error[128];
};

/* The image is not trusted. Returns false with an error. */
bool tdvf_parse(struct tdvf *tdvf, const void *image, u64 size);

/* The first section of this type, NULL if there is none. */
const struct tdvf_section *tdvf_find(const struct tdvf *tdvf, enum tdvf_type type);

/* Has the TD this memory from the start? If not, it accepts it, or it has none. */
bool tdvf_is_added(const struct tdvf_section *section);

#endif /* DEMO_TDVF_H */
