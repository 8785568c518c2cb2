// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on physical memory: pages handed out, stores, comparisons.
 */
#include <openssl/evp.h>

#include "trace.h"

/* Where pages of the TDMR are handed out. */
#define PAGES_BEGIN	(MACHINE_TDMR_BASE + 0x10000)
#define PAGES_END	(MACHINE_TDMR_BASE + 0x800000)
#define HPAGES_END	(MACHINE_HOST_END)
#define POISON		0xa5
#define SHA384_LEN	48
/* Compared bytes shown around the first difference. */
#define SHOWN_BYTES	16

static void to_hex(char *out, const u8 *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
	out[2 * len] = '\0';
}

/* Fail with the bytes from the first difference on. */
static bool fail_bytes(struct trace_run *run, const u8 *expected, const u8 *got, size_t len)
{
	char what[64], e[2 * SHOWN_BYTES + 1], g[2 * SHOWN_BYTES + 1];
	size_t at = 0, n;

	while (expected[at] == got[at])
		at++;
	n = min(len - at, (size_t)SHOWN_BYTES);
	to_hex(e, expected + at, n);
	to_hex(g, got + at, n);
	snprintf(what, sizeof(what), "bytes at offset %#zx", at);
	return trace_fail(run, what, e, g);
}

static bool compare_bytes(struct trace_run *run, const u8 *expected, const u8 *got, size_t len)
{
	return !memcmp(expected, got, len) || fail_bytes(run, expected, got, len);
}

/* Evaluate @slot to an address and map @len bytes there. */
static bool memory_arg(struct trace_run *run, const struct trace_step *s, unsigned int slot,
		       u64 len, u8 **p)
{
	u64 addr;

	return trace_eval(run, s->expr[slot], &addr) && trace_memory(run, addr, len, p);
}

static bool compile_names(struct trace_step *s)
{
	unsigned int i;

	for (i = 1; i < s->nr_tokens; i++) {
		if (!trace_is_name(s->tokens[i])) {
			trace_error(s->line, "\"%s\" is not a name", s->tokens[i]);
			return false;
		}
	}
	return true;
}

static bool run_page(struct trace_run *run, const struct trace_step *s)
{
	unsigned int i;

	for (i = 1; i < s->nr_tokens; i++) {
		if (run->next_page >= PAGES_END)
			return trace_bad(run, "no more pages");
		if (run->poison)
			memset(machine_memory(run->next_page, SIM_PAGE_SIZE), POISON,
			       SIM_PAGE_SIZE);
		trace_define(run, trace_symbol(s->tokens[i]), run->next_page);
		run->next_page += SIM_PAGE_SIZE;
	}
	return true;
}

static bool compile_hpage(struct trace_step *s)
{
	if (!trace_is_name(s->tokens[1])) {
		trace_error(s->line, "\"%s\" is not a name", s->tokens[1]);
		return false;
	}
	s->symbol = trace_symbol(s->tokens[1]);
	return s->nr_tokens < 3 || trace_expr_arg(s, 2, 0);
}

static bool run_hpage(struct trace_run *run, const struct trace_step *s)
{
	u64 n = 1;

	if (s->expr[0] && !trace_eval(run, s->expr[0], &n))
		return false;
	if (!n || n > (HPAGES_END - run->next_hpage) / SIM_PAGE_SIZE)
		return trace_bad(run, "cannot hand out %llu host pages", n);
	trace_define(run, s->symbol, run->next_hpage);
	run->next_hpage += n * SIM_PAGE_SIZE;
	return true;
}

static bool compile_let(struct trace_step *s)
{
	if (!trace_is_name(s->tokens[1])) {
		trace_error(s->line, "\"%s\" is not a name", s->tokens[1]);
		return false;
	}
	s->symbol = trace_symbol(s->tokens[1]);
	return trace_expr_arg(s, 2, 0);
}

static bool run_let(struct trace_run *run, const struct trace_step *s)
{
	u64 v;

	if (!trace_eval(run, s->expr[0], &v))
		return false;
	trace_define(run, s->symbol, v);
	return true;
}

/* w8..w64, xor8 and xor64 end in their width. */
static size_t store_width(const struct trace_step *s)
{
	const char *digits = s->op->name + strcspn(s->op->name, "0123456789");

	return strtoul(digits, NULL, 10) / 8;
}

static bool run_store(struct trace_run *run, const struct trace_step *s)
{
	size_t width = store_width(s);
	u64 v, old = 0;
	u8 *p;

	if (!memory_arg(run, s, 0, width, &p) || !trace_eval(run, s->expr[1], &v))
		return false;
	if (s->op->name[0] == 'x')
		memcpy(&old, p, width);
	v ^= old;
	memcpy(p, &v, width);
	return true;
}

static bool compile_bytes(struct trace_step *s)
{
	return trace_expr_arg(s, 1, 0) && trace_hex_arg(s, 2, 0);
}

static bool run_bytes(struct trace_run *run, const struct trace_step *s)
{
	u8 *p;

	if (!memory_arg(run, s, 0, s->nr_bytes, &p))
		return false;
	memcpy(p, s->bytes, s->nr_bytes);
	return true;
}

static bool run_expect_bytes(struct trace_run *run, const struct trace_step *s)
{
	u8 *p;

	return memory_arg(run, s, 0, s->nr_bytes, &p) &&
	       compare_bytes(run, s->bytes, p, s->nr_bytes);
}

static bool byte_value(struct trace_run *run, const struct trace_expr *expr, u8 *byte)
{
	u64 v;

	if (!trace_eval(run, expr, &v))
		return false;
	if (v > U8_MAX)
		return trace_bad(run, "%#llx is no byte", v);
	*byte = v;
	return true;
}

/* The arguments "addr len byte". */
static bool fill_args(struct trace_run *run, const struct trace_step *s, u8 **p, u64 *len,
		      u8 *byte)
{
	return trace_eval(run, s->expr[1], len) && memory_arg(run, s, 0, *len, p) &&
	       byte_value(run, s->expr[2], byte);
}

static bool run_fill(struct trace_run *run, const struct trace_step *s)
{
	u64 len;
	u8 *p, byte = 0;

	if (!fill_args(run, s, &p, &len, &byte))
		return false;
	memset(p, byte, len);
	return true;
}

static bool compare_fill(struct trace_run *run, const u8 *p, u64 len, u8 byte)
{
	char what[64];
	u64 i;

	for (i = 0; i < len; i++) {
		if (p[i] != byte) {
			snprintf(what, sizeof(what), "byte at offset %#llx", i);
			return trace_fail_u64(run, what, byte, p[i]);
		}
	}
	return true;
}

static bool run_expect_fill(struct trace_run *run, const struct trace_step *s)
{
	u64 len;
	u8 *p, byte = 0;

	return fill_args(run, s, &p, &len, &byte) && compare_fill(run, p, len, byte);
}

static bool run_move(struct trace_run *run, const struct trace_step *s)
{
	u8 *dst, *src;
	u64 len;

	if (!trace_eval(run, s->expr[2], &len) || !memory_arg(run, s, 0, len, &dst) ||
	    !memory_arg(run, s, 1, len, &src))
		return false;
	memmove(dst, src, len);
	return true;
}

static bool run_expect_eq(struct trace_run *run, const struct trace_step *s)
{
	u8 *a, *b;
	u64 len;

	return trace_eval(run, s->expr[2], &len) && memory_arg(run, s, 0, len, &a) &&
	       memory_arg(run, s, 1, len, &b) && compare_bytes(run, b, a, len);
}

static bool run_fill_list(struct trace_run *run, const struct trace_step *s)
{
	u64 base, n, step, i;
	u8 *p;

	if (!trace_eval(run, s->expr[1], &base) || !trace_eval(run, s->expr[2], &n) ||
	    !trace_eval(run, s->expr[3], &step))
		return false;
	if (n > MACHINE_TDMR_END / sizeof(u64))
		return trace_bad(run, "list of %#llx words", n);
	if (!memory_arg(run, s, 0, n * sizeof(u64), &p))
		return false;
	for (i = 0; i < n; i++) {
		u64 v = base + i * step;

		memcpy(p + i * sizeof(v), &v, sizeof(v));
	}
	return true;
}

static bool compile_expect64(struct trace_step *s)
{
	if (!trace_expr_arg(s, 1, 0) || !trace_expr_arg(s, 2, 1))
		return false;
	if (s->nr_tokens == 3)
		return true;
	if (s->nr_tokens != 5) {
		trace_error(s->line, "expect64 takes \"addr value [mask m]\"");
		return false;
	}
	return trace_expect_token(s, 3, "mask") && trace_expr_arg(s, 4, 2);
}

static bool run_expect64(struct trace_run *run, const struct trace_step *s)
{
	u64 expected, got, mask = U64_MAX;
	u8 *p;

	if (!memory_arg(run, s, 0, sizeof(got), &p) || !trace_eval(run, s->expr[1], &expected) ||
	    (s->expr[2] && !trace_eval(run, s->expr[2], &mask)))
		return false;
	memcpy(&got, p, sizeof(got));
	return !((got ^ expected) & mask) || trace_fail_u64(run, "word", expected, got);
}

static bool compare_sha384(struct trace_run *run, const u8 *p, u64 len, const u8 *expected)
{
	u8 digest[SHA384_LEN];

	if (EVP_Digest(p, len, digest, NULL, EVP_sha384(), NULL) != 1)
		return trace_bad(run, "SHA-384 failed");
	return compare_bytes(run, expected, digest, sizeof(digest));
}

static bool compile_sha384(struct trace_step *s)
{
	return trace_expr_arg(s, 1, 0) && trace_expr_arg(s, 2, 1) &&
	       trace_hex_arg(s, 3, SHA384_LEN);
}

static bool run_sha384(struct trace_run *run, const struct trace_step *s)
{
	u64 len;
	u8 *p;

	return trace_eval(run, s->expr[1], &len) && memory_arg(run, s, 0, len, &p) &&
	       compare_sha384(run, p, len, s->bytes);
}

/* Plaintext of the 4 KiB page mapped at "TD gpa". */
static bool guest_page(struct trace_run *run, const struct trace_step *s, u8 **p)
{
	struct probe_page page;
	struct sim_td td;
	u64 tdr, gpa;

	if (!trace_eval(run, s->expr[0], &tdr) || !trace_eval(run, s->expr[1], &gpa))
		return false;
	if (!probe_td(tdr, &td))
		return trace_bad(run, "%#llx is no TD", tdr);
	if (!probe_translate(&td, gpa & ~(u64)(SIM_PAGE_SIZE - 1), &page))
		return trace_fail(run, "guest page", "mapped", "not mapped");
	return trace_memory(run, page.hpa, SIM_PAGE_SIZE, p);
}

static bool run_gpa_fill(struct trace_run *run, const struct trace_step *s)
{
	u8 *p, byte = 0;

	if (!guest_page(run, s, &p) || !byte_value(run, s->expr[2], &byte))
		return false;
	memset(p, byte, SIM_PAGE_SIZE);
	return true;
}

static bool run_expect_gpa_fill(struct trace_run *run, const struct trace_step *s)
{
	u8 *p, byte = 0;

	return byte_value(run, s->expr[2], &byte) && guest_page(run, s, &p) &&
	       compare_fill(run, p, SIM_PAGE_SIZE, byte);
}

static bool run_expect_gpa_sha384(struct trace_run *run, const struct trace_step *s)
{
	u8 *p;

	return guest_page(run, s, &p) && compare_sha384(run, p, SIM_PAGE_SIZE, s->bytes);
}

const struct trace_op trace_mem_ops[] = {
	{ "page", 1, TRACE_MAX_TOKENS - 1, false, compile_names, run_page },
	{ "hpage", 1, 2, false, compile_hpage, run_hpage },
	{ "let", 2, 2, false, compile_let, run_let },
	{ "w64", 2, 2, false, trace_all_exprs, run_store },
	{ "w32", 2, 2, false, trace_all_exprs, run_store },
	{ "w16", 2, 2, false, trace_all_exprs, run_store },
	{ "w8", 2, 2, false, trace_all_exprs, run_store },
	{ "xor64", 2, 2, false, trace_all_exprs, run_store },
	{ "xor8", 2, 2, false, trace_all_exprs, run_store },
	{ "bytes", 2, 2, false, compile_bytes, run_bytes },
	{ "fill", 3, 3, false, trace_all_exprs, run_fill },
	{ "move", 3, 3, false, trace_all_exprs, run_move },
	{ "fill_list", 4, 4, false, trace_all_exprs, run_fill_list },
	{ "expect64", 2, 4, true, compile_expect64, run_expect64 },
	{ "expect_bytes", 2, 2, true, compile_bytes, run_expect_bytes },
	{ "expect_fill", 3, 3, true, trace_all_exprs, run_expect_fill },
	{ "expect_eq", 3, 3, true, trace_all_exprs, run_expect_eq },
	{ "expect_sha384", 3, 3, true, compile_sha384, run_sha384 },
	{ "gpa_fill", 3, 3, false, trace_all_exprs, run_gpa_fill },
	{ "expect_gpa_fill", 3, 3, true, trace_all_exprs, run_expect_gpa_fill },
	{ "expect_gpa_sha384", 3, 3, true, compile_sha384, run_expect_gpa_sha384 },
	{ }
};
