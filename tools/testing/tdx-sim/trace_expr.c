// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers, symbols and expressions of traces.  An expression becomes a list of
 * operations on an accumulator, because evaluation goes strictly from left to
 * right; a parenthesis is an expression of its own.
 */
#include <ctype.h>

#include "trace.h"

#define MAX_DEPTH	8
#define SYMBOL_BUCKETS	1024

enum term_kind { TERM_NUMBER, TERM_SYMBOL, TERM_EXPR };

struct term {
	enum term_kind kind;
	/* Applied to the term, outermost first: '-' and '~'. */
	char prefix[MAX_DEPTH];
	char op;
	u64 number;
	unsigned int symbol;
	struct trace_expr *expr;
	struct term *next;
};

struct trace_expr {
	struct term *terms;
};

struct parser {
	const struct trace_line *line;
	const char *text;
	const char *p;
	unsigned int depth;
};

struct symbol {
	struct symbol *next;
	char *name;
	unsigned int number;
};

static struct symbol *buckets[SYMBOL_BUCKETS];
static struct symbol **symbols;
static unsigned int nr_symbols;

static bool is_name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

bool trace_is_name(const char *s)
{
	if (!is_name_start(*s))
		return false;
	while (is_name_char(*s))
		s++;
	return !*s;
}

unsigned int trace_symbol(const char *name)
{
	unsigned int hash = 5381;
	struct symbol *s;
	const char *c;

	for (c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	hash %= SYMBOL_BUCKETS;
	for (s = buckets[hash]; s; s = s->next) {
		if (!strcmp(s->name, name))
			return s->number;
	}

	s = trace_alloc(sizeof(*s));
	s->name = trace_strdup(name);
	s->number = nr_symbols;
	s->next = buckets[hash];
	buckets[hash] = s;
	if (!(nr_symbols & (nr_symbols - 1))) {
		struct symbol **more = trace_alloc(max(nr_symbols * 2, 1U) * sizeof(*more));

		if (nr_symbols)
			memcpy(more, symbols, nr_symbols * sizeof(*more));
		symbols = more;
	}
	symbols[nr_symbols++] = s;
	return s->number;
}

const char *trace_symbol_name(unsigned int symbol)
{
	return symbols[symbol]->name;
}

unsigned int trace_nr_symbols(void)
{
	return nr_symbols;
}

static struct trace_expr *parse_expr(struct parser *ps);

static bool expr_error(struct parser *ps, const char *what)
{
	trace_error(ps->line, "expression \"%s\": %s", ps->text, what);
	return false;
}

static bool parse_number(struct parser *ps, struct term *t)
{
	char *end;

	if (ps->p[0] == '0' && (ps->p[1] == 'x' || ps->p[1] == 'X')) {
		if (!isxdigit((unsigned char)ps->p[2]))
			return expr_error(ps, "no digits after 0x");
		errno = 0;
		t->number = strtoull(ps->p + 2, &end, 16);
	} else {
		errno = 0;
		t->number = strtoull(ps->p, &end, 10);
	}
	if (errno)
		return expr_error(ps, "number does not fit into 64 bits");
	ps->p = end;
	t->kind = TERM_NUMBER;
	if (is_name_char(*end))
		return expr_error(ps, "malformed number");
	return true;
}

static bool parse_symbol(struct parser *ps, struct term *t)
{
	char name[TRACE_MAX_LINE];
	size_t len = 0;

	while (is_name_char(ps->p[len]))
		len++;
	memcpy(name, ps->p, len);
	name[len] = '\0';
	ps->p += len;
	t->kind = TERM_SYMBOL;
	t->symbol = trace_symbol(name);
	return true;
}

static bool parse_term(struct parser *ps, struct term *t)
{
	unsigned int n = 0;

	while (*ps->p == '-' || *ps->p == '~') {
		if (n == MAX_DEPTH)
			return expr_error(ps, "too many signs");
		t->prefix[n++] = *ps->p++;
	}
	if (isdigit((unsigned char)*ps->p))
		return parse_number(ps, t);
	if (is_name_start(*ps->p))
		return parse_symbol(ps, t);
	if (*ps->p != '(')
		return expr_error(ps, "number, symbol or parenthesis expected");

	if (++ps->depth > MAX_DEPTH)
		return expr_error(ps, "nested too deeply");
	ps->p++;
	t->kind = TERM_EXPR;
	t->expr = parse_expr(ps);
	if (!t->expr)
		return false;
	if (*ps->p != ')')
		return expr_error(ps, "closing parenthesis expected");
	ps->p++;
	ps->depth--;
	return true;
}

/* '<' and '>' stand for the shifts. */
static char parse_op(struct parser *ps)
{
	char c = *ps->p;

	if (c && strchr("+-|&^*", c)) {
		ps->p++;
		return c;
	}
	if ((c == '<' || c == '>') && ps->p[1] == c) {
		ps->p += 2;
		return c;
	}
	return '\0';
}

static struct trace_expr *parse_expr(struct parser *ps)
{
	struct trace_expr *e = trace_alloc(sizeof(*e));
	struct term **tail = &e->terms;
	char op = '+';

	do {
		struct term *t = trace_alloc(sizeof(*t));

		t->op = op;
		if (!parse_term(ps, t))
			return NULL;
		*tail = t;
		tail = &t->next;
		op = parse_op(ps);
	} while (op);
	return e;
}

struct trace_expr *trace_parse_expr(const struct trace_line *line, const char *text)
{
	struct parser ps = { .line = line, .text = text, .p = text };
	struct trace_expr *e = parse_expr(&ps);

	if (e && *ps.p) {
		expr_error(&ps, "operator expected");
		return NULL;
	}
	return e;
}

static u64 apply(u64 acc, char op, u64 v)
{
	switch (op) {
	case '+':
		return acc + v;
	case '-':
		return acc - v;
	case '|':
		return acc | v;
	case '&':
		return acc & v;
	case '^':
		return acc ^ v;
	case '*':
		return acc * v;
	case '<':
		return v < 64 ? acc << v : 0;
	default:
		return v < 64 ? acc >> v : 0;
	}
}

bool trace_eval(struct trace_run *run, const struct trace_expr *expr, u64 *value)
{
	const struct term *t;
	u64 acc = 0, v = 0;
	int i;

	for (t = expr->terms; t; t = t->next) {
		switch (t->kind) {
		case TERM_NUMBER:
			v = t->number;
			break;
		case TERM_SYMBOL:
			if (!run->symbols.defined[t->symbol])
				return trace_bad(run, "symbol %s is not defined",
						 trace_symbol_name(t->symbol));
			v = run->symbols.values[t->symbol];
			break;
		case TERM_EXPR:
			if (!trace_eval(run, t->expr, &v))
				return false;
			break;
		}
		for (i = MAX_DEPTH - 1; i >= 0; i--) {
			if (t->prefix[i] == '-')
				v = -v;
			else if (t->prefix[i] == '~')
				v = ~v;
		}
		acc = apply(acc, t->op, v);
	}
	*value = acc;
	return true;
}
