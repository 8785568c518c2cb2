// SPDX-License-Identifier: GPL-2.0
/*
 * The metadata of TDVF images.
 *
 * A table before the reset vector, which is read backwards, tells where they are. In
 * images that have no such table, a number does. What is taken from the image is
 * copied, and checked before it is used.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tdvf.h"

#define SIGNATURE		0x46564454
#define VERSION			1

#define GUID_SIZE		16

/* From the end of the image: of the table, and of the number. */
#define TABLE_END		32
#define OFFSET_FROM_END		32
#define RESET_VECTOR_SIZE	16

/* An entry of the table: data, then the length of it all, then a GUID. */
#define ENTRY_TAIL		(sizeof(u16) + GUID_SIZE)

static const u8 table_guid[GUID_SIZE] = {
	0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45,
	0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
};

static const u8 offset_guid[GUID_SIZE] = {
	0x35, 0x65, 0x7a, 0xe4, 0x4a, 0x98, 0x98, 0x47,
	0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2,
};

static const u8 metadata_guid[GUID_SIZE] = {
	0xf3, 0xf9, 0xea, 0xe9, 0x8e, 0x16, 0xd5, 0x44,
	0xa8, 0xeb, 0x7f, 0x4d, 0x87, 0x38, 0xf6, 0xae,
};

struct descriptor {
	u32 signature;
	u32 length;
	u32 version;
	u32 nr_sections;
};

/* What sections of a type can be like. */
static const struct type_rules {
	const char *name;
	u32 min, max;
	enum { NO_DATA, MAYBE_DATA, DATA } data;
	u32 must_have, may_have;
	/* Not memory, but a part of the BFV's data. */
	bool inside_bfv;
} rules[TDVF_NR_TYPES] = {
	[TDVF_BFV]	= { "BFV", 1, TDVF_MAX_SECTIONS, DATA, TDVF_EXTEND_MR, TDVF_EXTEND_MR },
	[TDVF_CFV]	= { "CFV", 0, TDVF_MAX_SECTIONS, DATA },
	[TDVF_TD_HOB]	= { "TD_HOB", 0, 1, NO_DATA },
	[TDVF_TEMP_MEM]	= { "TempMem", 0, TDVF_MAX_SECTIONS, NO_DATA },
	[TDVF_PERM_MEM]	= { "PermMem", 0, TDVF_MAX_SECTIONS, NO_DATA, .may_have = TDVF_PAGE_AUG },
	[TDVF_PAYLOAD]	= { "Payload", 0, 1, MAYBE_DATA, .may_have = TDVF_EXTEND_MR },
	[TDVF_PAYLOAD_PARAM] = { "PayloadParam", 0, 1, MAYBE_DATA },
	[TDVF_TD_INFO]	= { "TdInfo", 0, 1, DATA, .inside_bfv = true },
	[TDVF_TD_PARAMS] = { "TdParams", 0, 1, DATA, .inside_bfv = true },
};

static bool __printf(2, 3) refuse(struct tdvf *tdvf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(tdvf->error, sizeof(tdvf->error), fmt, ap);
	va_end(ap);
	return false;
}

static bool refuse_section(struct tdvf *tdvf, const struct tdvf_section *s, const char *why)
{
	return refuse(tdvf, "section %u, %s: %s", (u32)(s - tdvf->sections),
		      s->type < TDVF_NR_TYPES ? rules[s->type].name : "of no type", why);
}

static u16 get16(const u8 *p)
{
	u16 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---------------------------------------------------------- where they are */

static bool read_offset(struct tdvf *tdvf, const u8 *entry, u64 size, u64 *offset)
{
	u32 from_end;

	if (size != sizeof(from_end))
		return refuse(tdvf, "the offset of the metadata has a bad length");
	from_end = get32(entry);
	if (from_end > tdvf->image_size)
		return refuse(tdvf, "the metadata begin before the image");
	*offset = tdvf->image_size - from_end;
	return true;
}

/* If the table has the offset of the metadata, that one counts. */
static bool read_table(struct tdvf *tdvf, u64 *offset)
{
	const u8 *end = tdvf->image + tdvf->image_size - TABLE_END;
	u64 left, size;

	if (memcmp(end - GUID_SIZE, table_guid, GUID_SIZE))
		return true;

	size = get16(end - ENTRY_TAIL);
	if (size < ENTRY_TAIL || size > (u64)(end - tdvf->image))
		return refuse(tdvf, "the table of GUIDs has a bad length");

	for (left = size - ENTRY_TAIL, end -= ENTRY_TAIL; left; left -= size, end -= size) {
		size = left < ENTRY_TAIL ? 0 : get16(end - ENTRY_TAIL);
		if (size < ENTRY_TAIL || size > left)
			return refuse(tdvf, "an entry of the table of GUIDs has a bad length");
		if (!memcmp(end - GUID_SIZE, offset_guid, GUID_SIZE))
			return read_offset(tdvf, end - size, size - ENTRY_TAIL, offset);
	}
	return true;
}

static bool find_metadata(struct tdvf *tdvf, u64 *offset)
{
	if (tdvf->image_size < PAGE_SIZE || tdvf->image_size > TDVF_MAX_SIZE ||
	    tdvf->image_size % PAGE_SIZE)
		return refuse(tdvf, "the image has a size of %llu bytes",
			      (unsigned long long)tdvf->image_size);

	*offset = get32(tdvf->image + tdvf->image_size - OFFSET_FROM_END);
	if (!read_table(tdvf, offset))
		return false;
	if (*offset < GUID_SIZE || *offset > tdvf->image_size - sizeof(struct descriptor))
		return refuse(tdvf, "the image has no metadata");
	return true;
}

static bool read_metadata(struct tdvf *tdvf, u64 offset)
{
	const u8 *start = tdvf->image + offset;
	struct descriptor d;
	u64 length;

	memcpy(&d, start, sizeof(d));
	if (d.signature != SIGNATURE || memcmp(start - GUID_SIZE, metadata_guid, GUID_SIZE))
		return refuse(tdvf, "the image has no metadata");
	if (d.version != VERSION)
		return refuse(tdvf, "metadata of version %u", d.version);
	if (!d.nr_sections || d.nr_sections > TDVF_MAX_SECTIONS)
		return refuse(tdvf, "metadata of %u sections, not 1 to %u", d.nr_sections,
			      TDVF_MAX_SECTIONS);
	length = sizeof(d) + d.nr_sections * sizeof(tdvf->sections[0]);
	if (d.length != length || length > tdvf->image_size - offset)
		return refuse(tdvf, "metadata of %u bytes, which do not fit %u sections", d.length,
			      d.nr_sections);

	tdvf->nr_sections = d.nr_sections;
	memcpy(tdvf->sections, start + sizeof(d), length - sizeof(d));
	return true;
}

/* ---------------------------------------------------------- what they are like */

static bool check_data(struct tdvf *tdvf, const struct tdvf_section *s)
{
	const struct type_rules *r = &rules[s->type];

	if (s->raw_size && r->data == NO_DATA)
		return refuse_section(tdvf, s, "has data");
	if (!s->raw_size && r->data == DATA)
		return refuse_section(tdvf, s, "has no data");
	if (!s->raw_size && s->data_offset)
		return refuse_section(tdvf, s, "has an offset, but no data");
	if (s->raw_size > tdvf->image_size || s->data_offset > tdvf->image_size - s->raw_size)
		return refuse_section(tdvf, s, "its data are not in the image");
	return true;
}

static bool check_memory(struct tdvf *tdvf, const struct tdvf_section *s)
{
	if (rules[s->type].inside_bfv) {
		if (s->gpa || s->size)
			return refuse_section(tdvf, s, "has memory");
		return true;
	}

	if (s->gpa % PAGE_SIZE || s->size % PAGE_SIZE)
		return refuse_section(tdvf, s, "its memory is not made of pages");
	if (!s->size)
		return refuse_section(tdvf, s, "has no memory");
	if (s->size < s->raw_size)
		return refuse_section(tdvf, s, "has more data than memory");
	if (s->gpa + s->size < s->gpa)
		return refuse_section(tdvf, s, "its memory does not end");
	return true;
}

static bool check_section(struct tdvf *tdvf, const struct tdvf_section *s)
{
	const struct type_rules *r;

	if (s->type >= TDVF_NR_TYPES)
		return refuse(tdvf, "section %u is of type %u", (u32)(s - tdvf->sections), s->type);

	r = &rules[s->type];
	if ((s->attributes & r->must_have) != r->must_have)
		return refuse_section(tdvf, s, "is not measured");
	if (s->attributes & ~r->may_have)
		return refuse_section(tdvf, s, "has an attribute that it cannot have");
	return check_data(tdvf, s) && check_memory(tdvf, s);
}

static bool check_overlaps(struct tdvf *tdvf, const struct tdvf_section *s)
{
	const struct tdvf_section *other;

	for (other = tdvf->sections; other < s; other++) {
		if (s->gpa < other->gpa + other->size && other->gpa < s->gpa + s->size)
			return refuse_section(tdvf, s, "its memory is that of another one, too");
	}
	return true;
}

static bool check_inside_bfv(struct tdvf *tdvf, const struct tdvf_section *s)
{
	const struct tdvf_section *b;

	if (!rules[s->type].inside_bfv)
		return true;
	for (b = tdvf->sections; b < tdvf->sections + tdvf->nr_sections; b++) {
		if (b->type == TDVF_BFV && s->data_offset >= b->data_offset &&
		    s->data_offset - b->data_offset <= b->raw_size &&
		    s->raw_size <= b->raw_size - (s->data_offset - b->data_offset))
			return true;
	}
	return refuse_section(tdvf, s, "is not part of a BFV");
}

static bool check_counts(struct tdvf *tdvf)
{
	u32 counts[TDVF_NR_TYPES] = {};
	u32 i;

	for (i = 0; i < tdvf->nr_sections; i++)
		counts[tdvf->sections[i].type]++;
	for (i = 0; i < TDVF_NR_TYPES; i++) {
		if (counts[i] < rules[i].min || counts[i] > rules[i].max)
			return refuse(tdvf, "the image has %u %s sections", counts[i],
				      rules[i].name);
	}
	if (!counts[TDVF_TD_HOB] && !counts[TDVF_PERM_MEM])
		return refuse(tdvf, "the image has neither TD_HOB nor PermMem");
	if (counts[TDVF_PAYLOAD_PARAM] && !counts[TDVF_PAYLOAD])
		return refuse(tdvf, "the image has a PayloadParam but no Payload");
	return true;
}

static bool check_reset_vector(struct tdvf *tdvf)
{
	const struct tdvf_section *s;

	for (s = tdvf->sections; s < tdvf->sections + tdvf->nr_sections; s++) {
		if (s->type == TDVF_BFV && s->gpa + s->raw_size == TDVF_END &&
		    s->raw_size >= RESET_VECTOR_SIZE)
			return true;
	}
	return refuse(tdvf, "no BFV has the reset vector");
}

bool tdvf_parse(struct tdvf *tdvf, const void *image, u64 size)
{
	u64 offset = 0;
	u32 i;

	*tdvf = (struct tdvf){ .image = image, .image_size = size };
	if (!find_metadata(tdvf, &offset) || !read_metadata(tdvf, offset))
		return false;

	for (i = 0; i < tdvf->nr_sections; i++) {
		if (!check_section(tdvf, &tdvf->sections[i]) ||
		    !check_overlaps(tdvf, &tdvf->sections[i]))
			return false;
	}
	for (i = 0; i < tdvf->nr_sections; i++) {
		if (!check_inside_bfv(tdvf, &tdvf->sections[i]))
			return false;
	}
	return check_counts(tdvf) && check_reset_vector(tdvf);
}

const struct tdvf_section *tdvf_find(const struct tdvf *tdvf, enum tdvf_type type)
{
	u32 i;

	for (i = 0; i < tdvf->nr_sections; i++) {
		if (tdvf->sections[i].type == type)
			return &tdvf->sections[i];
	}
	return NULL;
}

bool tdvf_is_added(const struct tdvf_section *section)
{
	return section->size && !(section->attributes & TDVF_PAGE_AUG);
}
