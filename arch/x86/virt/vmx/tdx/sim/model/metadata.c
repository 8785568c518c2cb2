// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata access: decode a field id, find its table row, walk the fields of a
 * context in order, read and write one element.
 */
#include "metadata_table.h"

static const struct md_table *const *md_tables(enum md_context context)
{
	const struct sim_fields *fields = &sim_profile()->fields;

	switch (context) {
	case MD_CTX_SYS:
		return sim_has_topology_enum() ? tdx_sim_profile_1_5_05.fields.sys : fields->sys;
	case MD_CTX_TD:
		return fields->td;
	default:
		return fields->vp;
	}
}

static const struct md_row *md_row_nr(enum md_context context, unsigned int nr)
{
	const struct md_table *const *table;

	for (table = md_tables(context); *table; table++) {
		if (nr < (*table)->nr)
			return &(*table)->rows[nr];
		nr -= (*table)->nr;
	}
	return NULL;
}

/* Stand at the first element of row @nr. */
static void md_enter_row(enum md_context context, unsigned int nr, struct md_pos *pos)
{
	pos->nr = nr;
	pos->row = md_row_nr(context, nr);
	pos->id = pos->row ? pos->row->id : MD_ID_NONE;
	if (pos->row && md_is_cpuid(context, pos->id))
		pos->id |= cpuid_code(0);
}

void md_first(enum md_context context, struct md_pos *pos)
{
	md_enter_row(context, 0, pos);
}

bool md_seek(enum md_context context, u64 id, struct md_pos *pos)
{
	u32 code = md_code(id), first;

	if (md_is_cpuid(context, id))
		code &= MD_CPUID_ELEMENT;
	for (pos->nr = 0; (pos->row = md_row_nr(context, pos->nr)); pos->nr++) {
		first = md_code(pos->row->id);
		if (!((id ^ pos->row->id) & MD_ID_CLASS) && code >= first &&
		    code < first + pos->row->fields * pos->row->elements * md_stride(pos->row))
			break;
	}
	pos->id = pos->row ? (pos->row->id & ~MD_ID_CODE) | md_code(id) : MD_ID_NONE;
	return pos->row;
}

static unsigned int md_pos_cpuid_index(u64 id)
{
	u32 code = md_code(id);
	u32 leaf = FIELD_GET(MD_CPUID_LEAF, code);

	if (code & MD_CPUID_RESERVED)
		return CPUID_NONE;
	if (code & MD_CPUID_LEAF_BIT31)
		leaf |= BIT(31);
	return cpuid_index(leaf, code & MD_CPUID_NO_SUBLEAF ?
				 U32_MAX : FIELD_GET(MD_CPUID_SUBLEAF, code));
}

/* Go @step elements on; into the next row when there are none left. */
static void md_advance(enum md_context context, struct md_pos *pos, unsigned int step)
{
	const struct md_row *row = pos->row;
	u32 index;

	if (md_is_cpuid(context, pos->id)) {
		if (step == 1 && !(pos->id & MD_CPUID_ELEMENT)) {
			pos->id |= MD_CPUID_ELEMENT;
			return;
		}
		index = md_pos_cpuid_index(pos->id);
		if (index < cpuid_nr_rows() - 1) {
			pos->id = row->id | cpuid_code(index + 1);
			return;
		}
	} else {
		index = (md_code(pos->id) - md_code(row->id)) / md_stride(row);
		if (index / step < row->fields * row->elements / step - 1) {
			pos->id += step * md_stride(row);
			return;
		}
	}
	md_enter_row(context, pos->nr + 1, pos);
}

void md_next_field(enum md_context context, struct md_pos *pos)
{
	md_advance(context, pos, pos->row->elements);
}

/* The element at @pos, if there is one: the codes of a row may have gaps. */
bool md_field_at(const struct md_target *t, const struct md_pos *pos, struct md_field *f)
{
	u32 offset;

	f->row = pos->row;
	f->id = pos->id;
	if (md_is_cpuid(t->context, pos->id)) {
		f->index = md_pos_cpuid_index(pos->id);
		if (f->index == CPUID_NONE)
			return false;
		f->index = 2 * f->index + (pos->id & MD_CPUID_ELEMENT);
		return true;
	}
	offset = md_code(pos->id) - md_code(pos->row->id);
	f->index = offset / md_stride(pos->row);
	/* The high half of a VMCS field is not a field of its own. */
	return !(offset % md_stride(pos->row));
}

static bool md_locate(const struct md_target *t, u64 id, struct md_field *f)
{
	struct md_pos pos;

	return md_seek(t->context, id, &pos) && md_field_at(t, &pos, f);
}

static u8 *md_storage(const struct md_target *t, const struct md_field *f)
{
	const struct md_row *row = f->row;
	u32 offset = row->offset + (f->index << FIELD_GET(MD_ID_SIZE, row->id));

	switch (row->home) {
	case MD_TDR:
		return (u8 *)t->td->tdr + offset;
	case MD_TDCS:
		return (u8 *)t->td->tdcs + offset;
	case MD_SEPT_ROOT:
		return (u8 *)t->td->sept_root + offset;
	case MD_MIGSC_LINKS:
		return (u8 *)t->td->migsc_links + offset;
	case MD_X2APIC_IDS:
		return (u8 *)t->td->x2apic_ids + offset;
	case MD_TDVPS:
		return (u8 *)t->vp->vps + offset;
	case MD_VMCS:
		return (u8 *)t->vp->vmcs + offset;
	case MD_VAPIC:
		return t->vp->vapic + offset;
	case MD_XBUFF:
		return t->vp->xbuff[offset >> SIM_PAGE_SHIFT] + offset % SIM_PAGE_SIZE;
	default:
		return NULL;
	}
}

/* The whole value of an element, whoever asks. */
u64 md_get(const struct md_target *t, const struct md_field *f, u64 *value)
{
	u8 *p = md_storage(t, f);

	*value = f->row->constant;
	if (f->row->get)
		return f->row->get(t, f, value);
	if (!p)
		return SIM_SUCCESS;
	switch (FIELD_GET(MD_ID_SIZE, f->row->id)) {
	case 0:
		*value = READ_ONCE(*p);
		break;
	case 1:
		*value = READ_ONCE(*(u16 *)p);
		break;
	case 2:
		*value = READ_ONCE(*(u32 *)p);
		break;
	default:
		*value = READ_ONCE(*(u64 *)p);
	}
	return SIM_SUCCESS;
}

/* Replace @old, unless somebody else changed the element meanwhile. */
static bool md_store(const struct md_target *t, const struct md_field *f, u64 old, u64 value)
{
	u8 *p = md_storage(t, f);

	if (!p)
		return true;
	switch (FIELD_GET(MD_ID_SIZE, f->row->id)) {
	case 0:
		WRITE_ONCE(*p, (u8)value);
		return true;
	case 1:
		return sim_cmpxchg16(p, old, value) == (u16)old;
	case 2:
		return sim_cmpxchg32(p, old, value) == (u32)old;
	default:
		return sim_cmpxchg64(p, old, value) == old;
	}
}

static u64 md_mask(u64 mask, const struct md_row *row)
{
	return (mask ? mask : ~0ULL) & md_size_mask(row->id);
}

u64 md_read_mask(const struct md_row *row, enum md_who who)
{
	if (who == MD_BUNDLE)
		return row->phase == MD_NOT_MIGRATED ? 0 : md_mask(row->export_mask, row);
	if (!(row->access & MD_READ(who)))
		return 0;
	if (who == MD_HOST)
		return md_mask(row->host_mask, row);
	if (who == MD_SERVTD)
		return md_mask(row->export_mask, row);
	return md_mask(0, row);
}

u64 md_write_mask(const struct md_row *row, enum md_who who)
{
	if (who == MD_BUNDLE)
		return row->import == MD_IGNORED ? 0 : md_mask(row->write_mask, row);
	if (!(row->access & MD_WRITE(who)))
		return 0;
	if (who == MD_HOST)
		return md_mask(row->host_mask, row) & md_mask(row->write_mask, row);
	return md_mask(row->write_mask, row);
}

/*
 * Write the bits of @value that @mask requests.  Bits that may not be written
 * must be given with their present value.  @check runs the row's set hook.
 */
u64 md_put(const struct md_target *t, const struct md_field *f, u64 value, u64 mask,
	   bool check, u64 *old)
{
	const struct md_row *row = f->row;
	u64 write_mask = md_write_mask(row, t->who);
	u64 now, base, err;

	err = md_get(t, f, &now);
	if (err)
		return err;
	if (!(write_mask & mask))
		return SIM_METADATA_FIELD_NOT_WRITABLE;

	/* An address that was never set is all ones; that is not to be kept. */
	base = row->shared_hpa && now == ~0ULL ? write_mask : now;
	if ((base ^ value) & mask & ~write_mask)
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;
	value = (base & ~(write_mask & mask)) | (value & write_mask & mask);
	if (row->shared_hpa && sim_check_shared_hpa(value, row->shared_hpa, 0))
		return SIM_METADATA_FIELD_VALUE_NOT_VALID;

	if (check && row->set) {
		err = row->set(t, f, write_mask & mask, &value);
		if (err && err != MD_STORED)
			return err;
	}
	if (!err && !md_store(t, f, now, value))
		return SIM_OPERAND_BUSY | OPND_METADATA_FIELD;
	*old = now & md_read_mask(row, t->who);
	return SIM_SUCCESS;
}

static bool md_is_single_element(u64 id)
{
	return !(id & (MD_ID_RESERVED | MD_ID_LAST_ELEMENT | MD_ID_LAST_FIELD));
}

u64 md_read(const struct md_target *t, u64 id, u64 *value)
{
	struct md_field f;
	u64 mask, err;

	*value = 0;
	if (!md_is_single_element(id) || !md_locate(t, id, &f))
		return SIM_METADATA_FIELD_ID_INCORRECT;
	err = md_get(t, &f, value);
	mask = md_read_mask(f.row, t->who);
	if (!err && !mask)
		err = SIM_METADATA_FIELD_NOT_READABLE;
	*value = err ? 0 : *value & mask;
	return err;
}

u64 md_write(const struct md_target *t, u64 id, u64 value, u64 mask, u64 *old)
{
	struct md_field f;

	*old = 0;
	if (!md_is_single_element(id) || !md_locate(t, id, &f))
		return SIM_METADATA_FIELD_ID_INCORRECT;
	return md_put(t, &f, value, mask, true, old);
}

u64 md_next_readable(const struct md_target *t, u64 id)
{
	const struct md_row *row = NULL;
	struct md_pos pos;

	if (md_is_none(id)) {
		md_first(t->context, &pos);
	} else if (md_seek(t->context, id, &pos)) {
		row = pos.row;
		md_advance(t->context, &pos, 1);
	}
	while (pos.row && !md_read_mask(pos.row, t->who))
		md_enter_row(t->context, pos.nr + 1, &pos);
	if (!pos.row || pos.row != row)
		return pos.id;
	/* What a look-up ignores stays as the caller has it, up to the end of the row. */
	return (id & ~(MD_ID_CODE | MD_ID_CONTEXT)) | (pos.id & (MD_ID_CODE | MD_ID_CONTEXT));
}

/* The common end of the RD leaves: value in R8, id of the next field in RDX. */
u64 md_rd_regs(const struct md_target *t, u64 *r, u64 id)
{
	u64 value, err;

	if (md_is_none(id)) {
		r[RDX] = md_next_readable(t, id);
		return SIM_METADATA_FIRST_FIELD_ID_IN_CONTEXT;
	}
	err = md_read(t, id, &value);
	if (err)
		return err;
	r[RDX] = md_next_readable(t, id);
	r[R8] = value;
	return SIM_SUCCESS;
}

/* The common end of the WR leaves: mask in R9, old value to R8. */
u64 md_wr_regs(const struct md_target *t, u64 *r, u64 id, u64 value)
{
	u64 old, err;

	err = md_write(t, id, value, r[R9], &old);
	if (!err)
		r[R8] = old;
	return err;
}
