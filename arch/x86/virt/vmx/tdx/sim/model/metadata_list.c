// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata lists: pages of sequences of fields, as state bundles and the RDALL
 * leaves have them.  Dump follows the order of the tables; load checks that no
 * field which must be there is missing.
 */
#include "metadata_table.h"

/* Header of a page; the sequences follow. */
struct md_list_header {
	u16 size;		/* of the list, with this header */
	u16 nr_sequences;
	u32 reserved;
};

static_assert(sizeof(struct md_list_header) == 8);

#define MD_WORD			sizeof(u64)
/* Smallest sequence: its header and one element. */
#define MD_MIN_SEQUENCE		(2 * MD_WORD)

/* In a status: the error is not about a field.  Bits 15:0 name a sequence. */
#define MD_NO_FIELD		0xffff0000ULL
/* Nor about a sequence, in the way of a status that names one thing only. */
#define MD_NO_SEQUENCE		0xffffULL

/* Bytes that a field takes in a list. */
static u32 md_field_size(const struct md_row *row)
{
	return row->elements * MD_WORD;
}

static enum md_phase md_phase_of(enum md_bundle bundle)
{
	return bundle == MD_BUNDLE_IMMUTABLE_SYS || bundle == MD_BUNDLE_IMMUTABLE_TD ?
	       MD_IMMUTABLE : MD_MUTABLE;
}

static enum md_context md_context_of(enum md_bundle bundle)
{
	switch (bundle) {
	case MD_BUNDLE_IMMUTABLE_SYS:
		return MD_CTX_SYS;
	case MD_BUNDLE_VP:
		return MD_CTX_VP;
	default:
		return MD_CTX_TD;
	}
}

/* ------------------------------------------------------------------- dump */

/* A list that is being filled. */
struct md_dump {
	const struct md_target *t;
	enum md_phase phase;	/* of a bundle, MD_NOT_MIGRATED for RDALL */
	u8 *page;
	u32 size;
	u16 nr_sequences;
	u64 *header;		/* of the open sequence */
	u64 next;		/* id that would continue it */
};

static bool md_dumpable(const struct md_dump *d, const struct md_row *row)
{
	if (d->t->who == MD_BUNDLE && row->phase != d->phase)
		return false;
	return md_read_mask(row, d->t->who);
}

static bool md_continues(const struct md_dump *d, const struct md_pos *pos)
{
	const u64 same = MD_ID_CLASS | MD_ID_SIZE | MD_ID_INC | MD_ID_CODE;

	return d->header && !((pos->id ^ d->next) & same) &&
	       FIELD_GET(MD_ID_LAST_ELEMENT, *d->header) + 1 == pos->row->elements &&
	       !md_is_cpuid(d->t->context, pos->id);
}

static bool md_read_field(const struct md_dump *d, const struct md_pos *pos,
			  u64 values[MD_MAX_ELEMENTS])
{
	u64 mask = md_read_mask(pos->row, d->t->who);
	struct md_field f;
	unsigned int i;

	if (!md_field_at(d->t, pos, &f))
		return false;
	for (i = 0; i < pos->row->elements; i++, f.index++) {
		if (md_get(d->t, &f, &values[i]))
			return false;
		values[i] &= mask;
	}
	return true;
}

/* Append one field; false when the page has no room for it. */
static bool md_dump_field(struct md_dump *d, const struct md_pos *pos)
{
	u64 values[MD_MAX_ELEMENTS], *p;
	bool open = !md_continues(d, pos);

	if (d->size + (open ? MD_WORD : 0) + md_field_size(pos->row) > SIM_PAGE_SIZE)
		return false;
	/* A CPUID leaf without values is left out. */
	if (!md_read_field(d, pos, values))
		return true;

	p = (u64 *)(d->page + d->size);
	if (open) {
		d->header = p++;
		*d->header = (pos->id & ~MD_ID_CONTEXT) |
			     FIELD_PREP(MD_ID_CONTEXT, d->t->context) |
			     FIELD_PREP(MD_ID_LAST_ELEMENT, pos->row->elements - 1);
		d->nr_sequences++;
		d->size += MD_WORD;
	} else {
		*d->header += FIELD_PREP(MD_ID_LAST_FIELD, 1);
	}
	memcpy(p, values, md_field_size(pos->row));
	d->size += md_field_size(pos->row);
	d->next = pos->id + pos->row->elements * md_stride(pos->row);
	return true;
}

/* Fill the page from @pos on, which then stands at the first field left out. */
static void md_dump_from(struct md_dump *d, struct md_pos *pos)
{
	struct md_list_header *header = (struct md_list_header *)d->page;

	memset(d->page, 0, SIM_PAGE_SIZE);
	d->size = sizeof(*header);
	while (pos->row) {
		if (md_dumpable(d, pos->row) && !md_dump_field(d, pos))
			break;
		md_next_field(d->t->context, pos);
	}
	header->size = d->size;
	header->nr_sequences = d->nr_sequences;
}

/* A cursor at the start is all zero; no field that a page can begin with is. */
static void md_resume(enum md_context context, const struct md_cursor *cur,
		      struct md_pos *pos)
{
	if (!cur->field_id || !md_seek(context, cur->field_id, pos))
		md_first(context, pos);
}

u64 md_dump_page(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp,
		 struct md_cursor *cur, u8 page[SIM_PAGE_SIZE])
{
	struct md_target t = {
		.context = md_context_of(bundle), .td = td, .vp = vp, .who = MD_BUNDLE,
	};
	struct md_dump d = { .t = &t, .phase = md_phase_of(bundle), .page = page };
	struct md_pos pos;

	md_resume(t.context, cur, &pos);
	md_dump_from(&d, &pos);
	cur->field_id = pos.row ? pos.id : 0;
	cur->done = !pos.row;
	return SIM_SUCCESS;
}

u64 md_dump_readable(const struct md_target *t, u64 id, u8 page[SIM_PAGE_SIZE], u64 *next)
{
	struct md_dump d = { .t = t, .page = page };
	struct md_pos pos;

	if (md_is_none(id)) {
		md_first(t->context, &pos);
	} else if (!md_seek(t->context, id, &pos) || (id ^ pos.row->id) & MD_ID_SIZE ||
		   (md_code(id) - md_code(pos.row->id)) % pos.row->elements) {
		*next = MD_ID_NONE;
		return SIM_METADATA_FIELD_ID_INCORRECT;
	}
	md_dump_from(&d, &pos);
	*next = pos.id;
	return pos.row ? SIM_METADATA_LIST_OVERFLOW : SIM_SUCCESS;
}

/* ------------------------------------------------------------------- load */

/*
 * A list that is being read.  The module does not see a list end where it stops
 * within its header, or between a header and the write mask of a field: @left
 * goes below zero there.  What it finds after the page is not defined, here it
 * is zeroes.
 */
struct md_load {
	const struct md_target *t;
	enum md_phase phase;
	const u8 *page;
	u32 offset;
	u16 left;		/* bytes of the list from @offset on */
	struct md_pos pos;	/* field expected next */
	u64 *ext_rcx;
};

static bool md_required(const struct md_load *l)
{
	return l->pos.row->phase == l->phase &&
	       (l->pos.row->import == MD_REQUIRED || l->pos.row->import == MD_PRESENT);
}

static bool md_wanted(const struct md_load *l)
{
	return l->pos.row->phase == l->phase &&
	       (l->pos.row->import == MD_REQUIRED || l->pos.row->import == MD_OPTIONAL);
}

static u64 md_word(const struct md_load *l, u32 offset)
{
	u64 value = 0;

	if (offset + MD_WORD <= SIM_PAGE_SIZE)
		memcpy(&value, l->page + offset, MD_WORD);
	return value;
}

static u64 md_load_field(const struct md_load *l, const u64 *values, u64 mask)
{
	struct md_field f;
	u64 writable, err, old;
	unsigned int i;

	if (!md_field_at(l->t, &l->pos, &f))
		return SIM_METADATA_FIELD_ID_INCORRECT;
	/* SYS fields tell about the peer and change nothing here. */
	if (l->t->context == MD_CTX_SYS)
		return SIM_SUCCESS;
	writable = md_write_mask(f.row, l->t->who) & mask;
	if (!writable)
		return SIM_METADATA_FIELD_NOT_WRITABLE;
	if (f.row->load) {
		err = f.row->load(l->t, &f, values, writable);
		if (err)
			return err == MD_STORED ? SIM_SUCCESS : err;
	}
	for (i = 0; i < f.row->elements; i++, f.index++) {
		err = md_put(l->t, &f, values[i], mask, l->t->context == MD_CTX_VP, &old);
		if (err)
			return err;
	}
	return SIM_SUCCESS;
}

/* Does @header begin with the field that is expected? */
static bool md_at_expected(const struct md_load *l, u64 header)
{
	return !((header ^ l->pos.id) & (MD_ID_CLASS | MD_ID_CODE | MD_ID_CONTEXT));
}

/*
 * With a write mask, a word before each field is skipped, but the mask of all of
 * them is the first one.
 */
static u64 md_load_sequence(struct md_load *l, u64 header)
{
	u32 offset = l->offset + MD_WORD, left = l->left, size, i, j;
	u32 nr = FIELD_GET(MD_ID_LAST_FIELD, header) + 1;
	u64 values[MD_MAX_ELEMENTS], mask = ~0ULL, err;
	u64 class = l->pos.id & MD_ID_CLASS;

	if (left < MD_MIN_SEQUENCE) {
		*l->ext_rcx = l->pos.id;
		return SIM_METADATA_LIST_OVERFLOW | MD_NO_FIELD;
	}
	*l->ext_rcx = header;
	if (header & MD_ID_RESERVED)
		return SIM_METADATA_FIELD_ID_INCORRECT | MD_NO_FIELD;
	if ((header ^ l->pos.id) & MD_ID_SIZE)
		return SIM_METADATA_FIELD_ID_INCORRECT;
	if (header & MD_ID_WRITE_MASK)
		mask = md_word(l, offset);
	left -= MD_WORD;

	for (i = 0; i < nr; i++) {
		if (!l->pos.row || (l->pos.id & MD_ID_CLASS) != class) {
			*l->ext_rcx = header;
			return SIM_METADATA_FIELD_ID_INCORRECT;
		}
		*l->ext_rcx = l->pos.id;
		if (header & MD_ID_WRITE_MASK) {
			offset += MD_WORD;
			left -= MD_WORD;
		}
		size = md_field_size(l->pos.row);
		if (left < size)
			return SIM_METADATA_LIST_OVERFLOW | MD_NO_FIELD;
		if (md_wanted(l)) {
			for (j = 0; j < l->pos.row->elements; j++)
				values[j] = md_word(l, offset + j * MD_WORD);
			err = md_load_field(l, values, mask);
			if (err && err != SIM_METADATA_FIELD_NOT_WRITABLE)
				return err;
		}
		offset += size;
		left -= size;
		md_next_field(l->t->context, &l->pos);
	}
	*l->ext_rcx = 0;
	l->left -= offset - l->offset;
	l->offset = offset;
	return SIM_SUCCESS;
}

/* Skip fields that may be missing, up to the one that @header begins with. */
static u64 md_find_sequence(struct md_load *l, u64 header)
{
	while (l->pos.row && !md_at_expected(l, header) && !md_required(l))
		md_next_field(l->t->context, &l->pos);
	if (l->pos.row && md_at_expected(l, header))
		return SIM_SUCCESS;
	*l->ext_rcx = l->pos.id;
	return SIM_REQUIRED_METADATA_FIELD_MISSING;
}

static u64 md_load_sequences(struct md_load *l, unsigned int nr)
{
	u64 header, err;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (sim_profile()->located_list_errors && l->left < MD_MIN_SEQUENCE) {
			*l->ext_rcx = 0;
			return SIM_METADATA_LIST_OVERFLOW | MD_NO_FIELD | i;
		}
		header = md_word(l, l->offset);
		if (FIELD_GET(MD_ID_CONTEXT, header) != l->t->context) {
			*l->ext_rcx = header;
			return SIM_METADATA_FIELD_ID_INCORRECT | MD_NO_FIELD | i;
		}
		err = md_find_sequence(l, header);
		if (err)
			return err;
		err = md_load_sequence(l, header);
		if (err)
			return err | i;
	}
	return SIM_SUCCESS;
}

/* Stand at the next field that must be there, or that may be. */
static u64 md_check_rest(struct md_load *l, bool last)
{
	while (l->pos.row && !md_required(l) && (last || !sim_profile()->strict_last_list))
		md_next_field(l->t->context, &l->pos);
	/* Either fields are left over or a page is. */
	if (!l->pos.row == last)
		return SIM_SUCCESS;
	*l->ext_rcx = l->pos.id;
	return SIM_REQUIRED_METADATA_FIELD_MISSING;
}

static u64 md_load_list(struct md_load *l, const struct md_list_header *header,
			const struct md_cursor *cur, bool last)
{
	u64 err;

	if (!header->nr_sequences || header->reserved)
		return SIM_INVALID_METADATA_LIST_HEADER |
		       (sim_profile()->located_list_errors ? MD_NO_SEQUENCE : 0);
	l->left = min_t(u32, header->size, SIM_PAGE_SIZE) - sizeof(*header);
	if (sim_profile()->bounded_lists && header->size < sizeof(*header))
		l->left = 0;

	md_resume(l->t->context, cur, &l->pos);
	if (!cur->field_id) {
		while (l->pos.row && !md_wanted(l))
			md_next_field(l->t->context, &l->pos);
	}
	err = md_load_sequences(l, header->nr_sequences);
	return err ?: md_check_rest(l, last);
}

u64 md_load_page(enum md_bundle bundle, struct sim_td *td, struct sim_vp *vp,
		 struct md_cursor *cur, const u8 page[SIM_PAGE_SIZE], bool last,
		 u64 *ext_rcx, u64 *ext_rdx)
{
	struct md_target t = {
		.context = md_context_of(bundle), .td = td, .vp = vp, .who = MD_BUNDLE,
	};
	struct md_load l = {
		.t = &t, .phase = md_phase_of(bundle), .page = page,
		.offset = sizeof(struct md_list_header), .ext_rcx = ext_rcx,
	};
	struct md_list_header header;
	u64 err;

	*ext_rcx = 0;
	*ext_rdx = 0;
	memcpy(&header, page, sizeof(header));
	err = md_load_list(&l, &header, cur, last);
	/* After an error the module expects the first field again. */
	cur->field_id = !err && l.pos.row ? l.pos.id : 0;
	cur->done = !l.pos.row;
	/* It does not stop at a size that is too large, but reports nothing else then. */
	if (header.size > SIM_PAGE_SIZE) {
		*ext_rcx = 0;
		return SIM_OPERAND_INVALID | OPND_PAGE;
	}
	return err;
}
