// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the parser of TDVF images. Each bad image is a good one in which
 * something is changed; what the parser says of it has to be about that. TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tdvf.h"

#define IMAGE_SIZE	0x1000000U

#define METADATA	0xfa7010U
#define TABLE_GUID	(IMAGE_SIZE - 48)
#define TABLE_LENGTH	(TABLE_GUID - 2)
#define ENTRY_GUID	(TABLE_LENGTH - 16)
#define ENTRY_LENGTH	(ENTRY_GUID - 2)
#define ENTRY_DATA	(ENTRY_LENGTH - 4)
#define OFFSET		(IMAGE_SIZE - 32)

/* Of the metadata. */
#define SIGNATURE	0
#define LENGTH		4
#define VERSION		8
#define NR_SECTIONS	12
#define SECTIONS	16

/* The same sections as an image of Intel's, in the same order. */
enum { BFV, TD_INFO, PAYLOAD, CFV, STACK, HEAP, PERM, MAILBOX, NR_SECTIONS_MIGTD };

static const struct tdvf_section migtd[NR_SECTIONS_MIGTD] = {
	[BFV]	  = { 0xfa6000, 0x5a000, 0xfffa6000, 0x5a000, TDVF_BFV, TDVF_EXTEND_MR },
	[TD_INFO] = { 0xfa6000, 0x1000, 0, 0, TDVF_TD_INFO, 0 },
	[PAYLOAD] = { 0xc1000, 0xee5000, 0xff0c1000, 0xee5000, TDVF_PAYLOAD, TDVF_EXTEND_MR },
	[CFV]	  = { 0, 0xa0000, 0xff000000, 0xa0000, TDVF_CFV, 0 },
	[STACK]	  = { 0, 0, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 0 },
	[HEAP]	  = { 0, 0, 0xff0b1000, 0x10000, TDVF_TEMP_MEM, 0 },
	[PERM]	  = { 0, 0, 0, 0x2000000, TDVF_PERM_MEM, TDVF_PAGE_AUG },
	[MAILBOX] = { 0, 0, 0xff0a0000, 0x1000, TDVF_TEMP_MEM, 0 },
};

static const u8 guids[][16] = {
	{ 0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
	  0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d },
	{ 0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
	  0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2 },
	{ 0xf3, 0xf9, 0xea, 0xe9, 0x8e, 0x16, 0xd5, 0x44,
	  0xa8, 0xeb, 0x7f, 0x4d, 0x87, 0x38, 0xf6, 0xae },
};

static u8 image[IMAGE_SIZE];
static struct tdvf tdvf;
static int count, bad;

static void put(u64 where, u64 value, u32 size)
{
	memcpy(image + where, &value, size);
}

static void put_section(u32 i, const struct tdvf_section *section)
{
	memcpy(image + METADATA + SECTIONS + i * sizeof(*section), section, sizeof(*section));
}

static void put_count(u32 n)
{
	put(METADATA + NR_SECTIONS, n, 4);
	put(METADATA + LENGTH, SECTIONS + n * sizeof(migtd[0]), 4);
}

static void make_image(void)
{
	u32 i;

	memset(image, 0, sizeof(image));
	memcpy(image + TABLE_GUID, guids[0], 16);
	put(TABLE_LENGTH, TABLE_GUID + 16 - ENTRY_DATA, 2);
	memcpy(image + ENTRY_GUID, guids[1], 16);
	put(ENTRY_LENGTH, ENTRY_GUID + 16 - ENTRY_DATA, 2);
	put(ENTRY_DATA, IMAGE_SIZE - METADATA, 4);
	put(OFFSET, METADATA, 4);

	memcpy(image + METADATA - 16, guids[2], 16);
	memcpy(image + METADATA + SIGNATURE, "TDVF", 4);
	put(METADATA + VERSION, 1, 4);
	put_count(NR_SECTIONS_MIGTD);
	for (i = 0; i < NR_SECTIONS_MIGTD; i++)
		put_section(i, &migtd[i]);
}

static void result(bool good, const char *name)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++count, name);
	if (good)
		return;
	printf("# the parser says: %s\n", tdvf.error);
	bad++;
}

static void check_good(const char *name)
{
	result(tdvf_parse(&tdvf, image, sizeof(image)), name);
}

static void check_bad(const char *name, const char *error)
{
	bool good = tdvf_parse(&tdvf, image, sizeof(image));

	result(!good && strstr(tdvf.error, error), name);
}

/* A number in the image, outside of the sections. */
static const struct {
	const char *name;
	u64 where;
	u64 value;
	u32 size;
	const char *error;
} bad_numbers[] = {
	{ "a signature of something else", METADATA + SIGNATURE, 0x44444444, 4, "no metadata" },
	{ "metadata without a GUID", METADATA - 16, 0, 8, "no metadata" },
	{ "metadata of version 2", METADATA + VERSION, 2, 4, "version 2" },
	{ "no sections", METADATA + NR_SECTIONS, 0, 4, "of 0 sections" },
	{ "too many sections", METADATA + NR_SECTIONS, TDVF_MAX_SECTIONS + 1, 4, "of 33 sections" },
	{ "as many sections as a number can say", METADATA + NR_SECTIONS, 0xffffffff, 4,
	  "of 4294967295 sections" },
	{ "more sections than their length", METADATA + NR_SECTIONS, NR_SECTIONS_MIGTD + 1, 4,
	  "do not fit 9 sections" },
	{ "a length without a section", METADATA + LENGTH, SECTIONS, 4, "do not fit 8 sections" },
	{ "a length of 0", METADATA + LENGTH, 0, 4, "do not fit 8 sections" },
	{ "a table that is not there", TABLE_LENGTH, 0, 2, "the table of GUIDs" },
	{ "a table that is shorter than its end", TABLE_LENGTH, 17, 2, "the table of GUIDs" },
	{ "a table with half an entry", TABLE_LENGTH, 30, 2, "an entry of the table" },
	{ "an entry of no length", ENTRY_LENGTH, 0, 2, "an entry of the table" },
	{ "an entry that is longer than the table", ENTRY_LENGTH, 23, 2, "an entry of the table" },
	{ "an entry without its number", ENTRY_LENGTH, 18, 2, "offset of the metadata" },
	{ "metadata before the image", ENTRY_DATA, IMAGE_SIZE + 1, 4, "before the image" },
	{ "metadata as far as a number can say", ENTRY_DATA, 0xffffffff, 4, "before the image" },
	{ "metadata at the start, without room for the GUID", ENTRY_DATA, IMAGE_SIZE, 4,
	  "no metadata" },
	{ "metadata that begin at the end", ENTRY_DATA, 0, 4, "no metadata" },
	{ "metadata of which a part is there", ENTRY_DATA, 15, 4, "no metadata" },
	{ "metadata elsewhere", ENTRY_DATA, 0x2000, 4, "no metadata" },
};

/* A section in place of another one. */
static const struct {
	const char *name;
	u32 i;
	struct tdvf_section section;
	const char *error;
} bad_sections[] = {
	{ "a section of type 9", MAILBOX,
	  { 0, 0, 0xff0a0000, 0x1000, 9, 0 },
	  "section 7 is of type 9" },
	{ "a section of type -1", MAILBOX,
	  { 0, 0, 0xff0a0000, 0x1000, 0xffffffff, 0 },
	  "of type 4294967295" },
	{ "a BFV that is not measured", BFV,
	  { 0xfa6000, 0x5a000, 0xfffa6000, 0x5a000, TDVF_BFV, 0 },
	  "section 0, BFV: is not measured" },
	{ "a BFV that the TD accepts", BFV,
	  { 0xfa6000, 0x5a000, 0xfffa6000, 0x5a000, TDVF_BFV, 3 },
	  "section 0, BFV: has an attribute" },
	{ "a CFV that is measured", CFV,
	  { 0, 0xa0000, 0xff000000, 0xa0000, TDVF_CFV, 1 },
	  "section 3, CFV: has an attribute" },
	{ "temporary memory that is measured", STACK,
	  { 0, 0, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 1 },
	  "section 4, TempMem: has an attribute" },
	{ "temporary memory that the TD accepts", STACK,
	  { 0, 0, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 2 },
	  "section 4, TempMem: has an attribute" },
	{ "permanent memory that is measured", PERM,
	  { 0, 0, 0, 0x2000000, TDVF_PERM_MEM, 3 },
	  "section 6, PermMem: has an attribute" },
	{ "a payload that the TD accepts", PAYLOAD,
	  { 0xc1000, 0xee5000, 0xff0c1000, 0xee5000, TDVF_PAYLOAD, 2 },
	  "section 2, Payload: has an attribute" },
	{ "an attribute that does not exist", PAYLOAD,
	  { 0xc1000, 0xee5000, 0xff0c1000, 0xee5000, TDVF_PAYLOAD, 4 },
	  "section 2, Payload: has an attribute" },
	{ "a BFV without data", BFV,
	  { 0, 0, 0xfffa6000, 0x5a000, TDVF_BFV, 1 },
	  "section 0, BFV: has no data" },
	{ "a CFV without data", CFV,
	  { 0, 0, 0xff000000, 0xa0000, TDVF_CFV, 0 },
	  "section 3, CFV: has no data" },
	{ "information without data", TD_INFO,
	  { 0, 0, 0, 0, TDVF_TD_INFO, 0 },
	  "section 1, TdInfo: has no data" },
	{ "temporary memory with data", STACK,
	  { 0, 0x1000, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 0 },
	  "section 4, TempMem: has data" },
	{ "permanent memory with data", PERM,
	  { 0, 0x1000, 0, 0x2000000, TDVF_PERM_MEM, 2 },
	  "section 6, PermMem: has data" },
	{ "a list of hand-off blocks with data", MAILBOX,
	  { 0, 0x1000, 0xff0a0000, 0x1000, TDVF_TD_HOB, 0 },
	  "section 7, TD_HOB: has data" },
	{ "an offset of no data", STACK,
	  { 0x1000, 0, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 0 },
	  "section 4, TempMem: has an offset" },
	{ "data that end behind the image", PAYLOAD,
	  { 0x11c000, 0xee5000, 0xff0c1000, 0xee5000, TDVF_PAYLOAD, 1 },
	  "section 2, Payload: its data are not in the image" },
	{ "data that begin behind the image", CFV,
	  { 0x1000000, 0xa0000, 0xff000000, 0xa0000, TDVF_CFV, 0 },
	  "section 3, CFV: its data are not in the image" },
	{ "data whose end is beyond the largest number", CFV,
	  { 0xfffff000, 0xa0000, 0xff000000, 0xa0000, TDVF_CFV, 0 },
	  "section 3, CFV: its data are not" },
	{ "data that are larger than the image", PAYLOAD,
	  { 0, 0xfffff000, 0xff0c1000, 0xfffff000, TDVF_PAYLOAD, 1 },
	  "section 2, Payload: its data are not" },
	{ "more data than memory", CFV,
	  { 0, 0xa0000, 0xff000000, 0x9f000, TDVF_CFV, 0 },
	  "section 3, CFV: has more data than memory" },
	{ "memory of no size", HEAP,
	  { 0, 0, 0xff0b1000, 0, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: has no memory" },
	{ "permanent memory of no size", PERM,
	  { 0, 0, 0, 0, TDVF_PERM_MEM, 2 },
	  "section 6, PermMem: has no memory" },
	{ "memory that does not begin with a page", HEAP,
	  { 0, 0, 0xff0b1010, 0x1000, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: its memory is not made of pages" },
	{ "memory that does not end with a page", HEAP,
	  { 0, 0, 0xff0b1000, 0x1010, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: its memory is not made of pages" },
	{ "memory whose end is beyond the largest number", HEAP,
	  { 0, 0, 0xfffffffffffff000, 0x2000, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: its memory does not end" },
	{ "information with memory", TD_INFO,
	  { 0xfa6000, 0x1000, 0xfffa6000, 0x1000, TDVF_TD_INFO, 0 },
	  "section 1, TdInfo: has memory" },
	{ "information outside of the BFV", TD_INFO,
	  { 0xc1000, 0x1000, 0, 0, TDVF_TD_INFO, 0 },
	  "section 1, TdInfo: is not part of a BFV" },
	{ "information that ends behind the BFV", TD_INFO,
	  { 0xfff000, 0x1001, 0, 0, TDVF_TD_INFO, 0 },
	  "section 1, TdInfo: its data are not in the image" },
	{ "two sections with the same memory", HEAP,
	  { 0, 0, 0xff0a1000, 0x10000, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: its memory is that of another" },
	{ "two sections that share a page", HEAP,
	  { 0, 0, 0xff0b0000, 0x10000, TDVF_TEMP_MEM, 0 },
	  "section 5, TempMem: its memory is that of another" },
	{ "a section within another one", HEAP,
	  { 0, 0, 0x1000000, 0x1000, TDVF_TEMP_MEM, 0 },
	  "section 6, PermMem: its memory is that of another" },
	{ "no BFV", BFV,
	  { 0xfa6000, 0x5a000, 0xfffa6000, 0x5a000, TDVF_CFV, 0 },
	  "is not part of a BFV" },
	{ "a BFV that ends too early", BFV,
	  { 0xfa6000, 0x59000, 0xfffa6000, 0x59000, TDVF_BFV, 1 },
	  "no BFV has the reset vector" },
	{ "a BFV whose data end too early", BFV,
	  { 0xfa6000, 0x59000, 0xfffa6000, 0x5a000, TDVF_BFV, 1 },
	  "no BFV has the reset vector" },
	{ "a BFV elsewhere", BFV,
	  { 0xfa6000, 0x5a000, 0x10000000, 0x5a000, TDVF_BFV, 1 },
	  "no BFV has the reset vector" },
	{ "neither hand-off blocks nor permanent memory", PERM,
	  { 0, 0, 0, 0x2000000, TDVF_TEMP_MEM, 0 },
	  "neither TD_HOB nor PermMem" },
	{ "two payloads", HEAP,
	  { 0, 0, 0xff0b1000, 0x10000, TDVF_PAYLOAD, 0 },
	  "2 Payload sections" },
	{ "parameters of no payload", PAYLOAD,
	  { 0, 0, 0xff0c1000, 0xee5000, TDVF_PAYLOAD_PARAM, 0 },
	  "a PayloadParam but no Payload" },
};

static void test_good(void)
{
	static const struct tdvf_section hob = { 0, 0, 0x2000000, 0x2000, TDVF_TD_HOB, 0 };
	static const struct tdvf_section added = { 0, 0, 0, 0x2000000, TDVF_PERM_MEM, 0 };
	static const struct tdvf_section empty = { 0, 0, 0xff0c1000, 0xee5000, TDVF_PAYLOAD, 0 };
	static const struct tdvf_section param = { 0, 0, 0x2000000, 0x1000, TDVF_PAYLOAD_PARAM, 0 };
	static const struct tdvf_section params = { 0xfff000, 0x1000, 0, 0, TDVF_TD_PARAMS, 0 };
	const struct tdvf_section *perm;

	make_image();
	check_good("an image with the sections of Intel's migration TD");
	result(tdvf.nr_sections == NR_SECTIONS_MIGTD &&
	       !memcmp(tdvf.sections, migtd, sizeof(migtd)),
	       "its sections are those of the image");
	perm = tdvf_find(&tdvf, TDVF_PERM_MEM);
	result(perm == &tdvf.sections[PERM] && !tdvf_find(&tdvf, TDVF_TD_HOB),
	       "they are found by type");
	result(!tdvf_is_added(perm) && !tdvf_is_added(&tdvf.sections[TD_INFO]) &&
	       tdvf_is_added(&tdvf.sections[PAYLOAD]) && tdvf_is_added(&tdvf.sections[MAILBOX]),
	       "the TD accepts its permanent memory and has no information");

	put_section(PERM, &added);
	check_good("permanent memory that the TD has from the start");
	result(tdvf_is_added(&tdvf.sections[PERM]), "it is added");

	make_image();
	put_section(PERM, &hob);
	check_good("hand-off blocks in place of permanent memory");

	make_image();
	put_section(PAYLOAD, &empty);
	put_section(MAILBOX, &param);
	check_good("a payload and its parameters without data");

	make_image();
	put_section(MAILBOX, &params);
	check_good("parameters of the TD");

	make_image();
	memset(image + TABLE_GUID, 0, 16);
	check_good("an image without a table");
	put(OFFSET, METADATA + 1, 4);
	check_bad("an image without a table, with a wrong offset", "no metadata");
	put(OFFSET, 0xffffffff, 4);
	check_bad("an image without a table, with an offset behind it", "no metadata");
	put(OFFSET, 0, 4);
	check_bad("an image without a table, with an offset of 0", "no metadata");

	make_image();
	memset(image + ENTRY_GUID, 0, 16);
	check_good("an image with a table of something else");
}

static void test_sizes(void)
{
	static const u64 sizes[] = {
		0, 1, 48, PAGE_SIZE - 1, PAGE_SIZE + 1, TDVF_MAX_SIZE + PAGE_SIZE,
	};
	u8 *small = malloc(PAGE_SIZE);
	char name[64];
	u32 i;

	make_image();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bool good = tdvf_parse(&tdvf, image, sizes[i]);

		snprintf(name, sizeof(name), "an image of %llu bytes",
			 (unsigned long long)sizes[i]);
		result(!good && strstr(tdvf.error, "has a size of"), name);
	}

	/* The end of an image, which the sanitizers let nobody read beyond. */
	memcpy(small, image + IMAGE_SIZE - PAGE_SIZE, PAGE_SIZE);
	result(!tdvf_parse(&tdvf, small, PAGE_SIZE) && strstr(tdvf.error, "before the image"),
	       "an image that is only the end of one");
	memset(small, 0xff, PAGE_SIZE);
	result(!tdvf_parse(&tdvf, small, PAGE_SIZE) && strstr(tdvf.error, "no metadata"),
	       "an image of ones");
	free(small);
}

static bool in_bounds(const struct tdvf_section *s)
{
	return s->data_offset <= IMAGE_SIZE && s->raw_size <= IMAGE_SIZE - s->data_offset &&
	       (!s->size || (s->raw_size <= s->size && s->gpa + s->size - 1 >= s->gpa));
}

/*
 * Noise: any 8 bytes of the metadata and of the table, replaced by numbers that are
 * likely to be taken wrongly. Whatever the parser says, what it lets pass is in bounds.
 */
static void test_noise(void)
{
	static const u64 numbers[] = { 0, 1, 0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff,
				       0xfffffffffffff000, ~0ULL };
	const u32 end = METADATA + SECTIONS + sizeof(migtd);
	bool good = true;
	u64 where;
	u32 i, j;

	for (where = METADATA - 16; where <= IMAGE_SIZE - sizeof(u64); where++) {
		if (where == end)
			where = ENTRY_DATA - 8;
		for (i = 0; i < ARRAY_SIZE(numbers); i++) {
			u64 before;

			memcpy(&before, image + where, sizeof(before));
			put(where, numbers[i], sizeof(before));
			if (tdvf_parse(&tdvf, image, sizeof(image))) {
				for (j = 0; j < tdvf.nr_sections; j++)
					good &= in_bounds(&tdvf.sections[j]);
			} else {
				good &= tdvf.error[0] != 0;
			}
			memcpy(image + where, &before, sizeof(before));
		}
	}
	result(good, "noise is refused or harmless");
}

int main(void)
{
	u32 i;

	test_good();
	test_sizes();
	make_image();
	test_noise();
	for (i = 0; i < ARRAY_SIZE(bad_numbers); i++) {
		make_image();
		put(bad_numbers[i].where, bad_numbers[i].value, bad_numbers[i].size);
		check_bad(bad_numbers[i].name, bad_numbers[i].error);
	}
	for (i = 0; i < ARRAY_SIZE(bad_sections); i++) {
		make_image();
		put_section(bad_sections[i].i, &bad_sections[i].section);
		check_bad(bad_sections[i].name, bad_sections[i].error);
	}
	printf("1..%d\n", count);
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
