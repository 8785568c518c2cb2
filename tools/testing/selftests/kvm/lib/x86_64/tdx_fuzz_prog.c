// SPDX-License-Identifier: GPL-2.0-only
/*
 * Noise for the interface of TD migration: programs, and how one is made from others.
 */
#include "tdx_fuzz.h"

/* More than that, and there is little left of what was good in a program. */
#define MAX_CHANGES	16

static const char * const kind_names[TD_FUZZ_NR_KINDS] = {
	[TD_FUZZ_EXPORT_IMMUTABLE] = "export_immutable",
	[TD_FUZZ_EXPORT_MEM] = "export_mem",
	[TD_FUZZ_EXPORT_SLOTS] = "export_slots",
	[TD_FUZZ_EXPORT_TRACK] = "export_track",
	[TD_FUZZ_EXPORT_PAUSE] = "export_pause",
	[TD_FUZZ_EXPORT_TD] = "export_td",
	[TD_FUZZ_EXPORT_VP] = "export_vp",
	[TD_FUZZ_EXPORT_ABORT] = "export_abort",
	[TD_FUZZ_IMPORT] = "import",
	[TD_FUZZ_IMPORT_COMMIT] = "import_commit",
	[TD_FUZZ_IMPORT_END] = "import_end",
	[TD_FUZZ_IMPORT_ABORT] = "import_abort",
	[TD_FUZZ_CLEAR_LOG] = "clear_log",
	[TD_FUZZ_GET_LOG] = "get_log",
	[TD_FUZZ_SET_LOG] = "set_log",
	[TD_FUZZ_WRITE] = "write",
	[TD_FUZZ_CONVERT] = "convert",
	[TD_FUZZ_ACCEPT] = "accept",
	[TD_FUZZ_CHECK] = "check",
	[TD_FUZZ_RUN_DST] = "run_dst",
	[TD_FUZZ_GET_STATE] = "get_state",
	[TD_FUZZ_SET_STATE] = "set_state",
	[TD_FUZZ_SET_LAPIC] = "set_lapic",
	[TD_FUZZ_SET_ATTRIBUTES] = "set_attributes",
	[TD_FUZZ_PUNCH_HOLE] = "punch_hole",
	[TD_FUZZ_PRE_FAULT] = "pre_fault",
	[TD_FUZZ_NEW_STREAM] = "new_stream",
	[TD_FUZZ_MAP_STREAM] = "map_stream",
	[TD_FUZZ_SCRIBBLE] = "scribble",
	[TD_FUZZ_RAW] = "raw",
	[TD_FUZZ_SERVTD] = "servtd",
	[TD_FUZZ_MSI] = "msi",
	[TD_FUZZ_SIGNAL] = "signal",
};

const char *td_fuzz_kind_name(unsigned int kind)
{
	return kind_names[kind];
}

/* ------------------------------------------------------------------- chance */

/* splitmix64 */
static u64 next_random(struct td_fuzz_rng *rng)
{
	u64 z;

	rng->state += 0x9e3779b97f4a7c15UL;
	z = rng->state;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

void td_fuzz_rng_init(struct td_fuzz_rng *rng, u64 seed, u64 stream)
{
	/* Streams with numbers in a row must not be parts of one sequence. */
	rng->state = stream;
	rng->state = next_random(rng) ^ seed;
}

u32 td_fuzz_random(struct td_fuzz_rng *rng)
{
	return next_random(rng) >> 32;
}

u32 td_fuzz_below(struct td_fuzz_rng *rng, u32 n)
{
	return ((u64)td_fuzz_random(rng) * n) >> 32;
}

static bool one_in(struct td_fuzz_rng *rng, u32 n)
{
	return !td_fuzz_below(rng, n);
}

/* ----------------------------------------------------------------- programs */

#define PAGES(_first, _nr)	((_first) | (_nr) << 8)
#define STREAM(_nr)		((u32)(_nr) << 28)

static const struct td_fuzz_op recipe[] = {
	{ 0, TD_FUZZ_SET_LOG, 0, 1 },
	{ 0, TD_FUZZ_EXPORT_IMMUTABLE },
	{ 0, TD_FUZZ_CLEAR_LOG, PAGES(0, 64) },
	{ 0, TD_FUZZ_EXPORT_MEM, PAGES(0, 32), TDX_MIG_GPA_OP_MIGRATE },
	{ 0, TD_FUZZ_EXPORT_MEM, PAGES(32, 32) | STREAM(1), TDX_MIG_GPA_OP_MIGRATE },
	{ 0, TD_FUZZ_EXPORT_TRACK },
	{ 0, TD_FUZZ_WRITE, PAGES(4, 8) },
	{ 0, TD_FUZZ_EXPORT_MEM, PAGES(0, 2), TDX_MIG_GPA_OP_CANCEL },
	{ 0, TD_FUZZ_CONVERT, 0 },
	{ 0, TD_FUZZ_ACCEPT, PAGES(0, 2) },
	{ 0, TD_FUZZ_EXPORT_TRACK },
	{ 0, TD_FUZZ_GET_LOG },
	{ 0, TD_FUZZ_CONVERT, 0 },
	{ 0, TD_FUZZ_EXPORT_PAUSE },
	{ 0, TD_FUZZ_EXPORT_MEM, PAGES(0, 48), TDX_MIG_GPA_OP_MIGRATE },
	{ 0, TD_FUZZ_EXPORT_SLOTS },
	{ 0, TD_FUZZ_EXPORT_TD },
	{ 0, TD_FUZZ_EXPORT_VP, STREAM(1) },
	{ 0, TD_FUZZ_GET_STATE },
	{ 0, TD_FUZZ_EXPORT_TRACK, 0, 1 },
	{ 0, TD_FUZZ_IMPORT },
	{ 0, TD_FUZZ_SET_STATE },
	{ 0, TD_FUZZ_IMPORT, 1 },
	{ 0, TD_FUZZ_IMPORT_COMMIT },
	{ 0, TD_FUZZ_RUN_DST },
	{ 0, TD_FUZZ_EXPORT_MEM, PAGES(0, 192) | STREAM(1), TDX_MIG_GPA_OP_MIGRATE },
	{ 0, TD_FUZZ_IMPORT, 1 },
	{ 0, TD_FUZZ_RUN_DST },
	{ 0, TD_FUZZ_IMPORT_END },
};

kvm_static_assert(ARRAY_SIZE(recipe) <= TD_FUZZ_MAX_OPS);

void td_fuzz_recipe(struct td_fuzz_prog *p)
{
	p->nr = ARRAY_SIZE(recipe);
	memcpy(p->ops, recipe, sizeof(recipe));
}

void td_fuzz_remove(struct td_fuzz_prog *p, u32 first, u32 nr)
{
	memmove(&p->ops[first], &p->ops[first + nr],
		(p->nr - first - nr) * sizeof(p->ops[0]));
	p->nr -= nr;
}

static void insert(struct td_fuzz_prog *p, u32 at, struct td_fuzz_op op)
{
	if (p->nr == TD_FUZZ_MAX_OPS)
		td_fuzz_remove(p, p->nr - 1, 1);
	if (at > p->nr)
		at = p->nr;
	memmove(&p->ops[at + 1], &p->ops[at], (p->nr - at) * sizeof(p->ops[0]));
	p->ops[at] = op;
	p->nr++;
}

static u32 random_value(struct td_fuzz_rng *rng)
{
	static const u32 edges[] = { 0, 1, 2, 0x7f, 0xff, 0xffff, 0x8000, 0x10000, 0xffffffff };

	switch (td_fuzz_below(rng, 4)) {
	case 0:
		return edges[td_fuzz_below(rng, ARRAY_SIZE(edges))];
	case 1:
		return 1U << td_fuzz_below(rng, 32);
	case 2:
		return td_fuzz_below(rng, 256);
	default:
		return td_fuzz_random(rng);
	}
}

/* Mostly such that it has a chance. */
static struct td_fuzz_op random_op(struct td_fuzz_rng *rng)
{
	struct td_fuzz_op op = {
		.thread = td_fuzz_below(rng, TD_FUZZ_NR_THREADS),
		.kind = td_fuzz_below(rng, TD_FUZZ_NR_KINDS),
	};

	op.a = PAGES(td_fuzz_below(rng, TD_WORKER_NR_OLD), 1 + td_fuzz_below(rng, 32)) |
	       STREAM(td_fuzz_below(rng, TD_FUZZ_NR_STREAMS));
	op.b = td_fuzz_below(rng, 4);
	if (one_in(rng, 4))
		op.a = random_value(rng);
	if (one_in(rng, 4))
		op.b = random_value(rng);
	return op;
}

void td_fuzz_mutate(struct td_fuzz_rng *rng, struct td_fuzz_prog *p,
		    const struct td_fuzz_prog *other)
{
	u32 i, j, nr = 1 + td_fuzz_below(rng, MAX_CHANGES);
	struct td_fuzz_op op;

	while (nr--) {
		i = td_fuzz_below(rng, p->nr);
		j = td_fuzz_below(rng, p->nr);
		switch (td_fuzz_below(rng, 16)) {
		case 0:
			if (p->nr > 1)
				td_fuzz_remove(p, i, 1);
			break;
		case 1:
			op = p->ops[i];
			op.thread = td_fuzz_below(rng, TD_FUZZ_NR_THREADS);
			insert(p, j, op);
			break;
		case 2:
			op = p->ops[i];
			p->ops[i] = p->ops[j];
			p->ops[j] = op;
			break;
		case 3:
			p->ops[i].thread = td_fuzz_below(rng, TD_FUZZ_NR_THREADS);
			break;
		case 4:
			if (one_in(rng, 2))
				p->ops[i].a = random_value(rng);
			else
				p->ops[i].b = random_value(rng);
			break;
		case 5:
			insert(p, i, other->ops[td_fuzz_below(rng, other->nr)]);
			break;
		default:
			insert(p, i, random_op(rng));
			break;
		}
	}
}

/* --------------------------------------------------------------------- text */

void td_fuzz_print(FILE *f, const struct td_fuzz_prog *p)
{
	const struct td_fuzz_op *op;

	for (op = p->ops; op < p->ops + p->nr; op++)
		fprintf(f, "%s%x.%x.%x.%x", op == p->ops ? "" : ",", op->thread, op->kind,
			op->a, op->b);
}

bool td_fuzz_parse(struct td_fuzz_prog *p, const char *text)
{
	unsigned int thread, kind, a, b;
	int length;

	for (p->nr = 0; p->nr < TD_FUZZ_MAX_OPS; text++) {
		if (sscanf(text, "%x.%x.%x.%x%n", &thread, &kind, &a, &b, &length) != 4 ||
		    thread >= TD_FUZZ_NR_THREADS || kind >= TD_FUZZ_NR_KINDS)
			return false;
		p->ops[p->nr++] = (struct td_fuzz_op) { thread, kind, a, b };
		text += length;
		if (!*text)
			return true;
		if (*text != ',')
			return false;
	}
	return false;
}

void td_fuzz_explain(FILE *f, const struct td_fuzz_prog *p)
{
	u32 i;

	for (i = 0; i < p->nr; i++)
		fprintf(f, "#   %2u  thread %u  %-16s a=0x%x b=0x%x\n", i, p->ops[i].thread,
			kind_names[p->ops[i].kind], p->ops[i].a, p->ops[i].b);
}
