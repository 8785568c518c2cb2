// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts how often each instruction is executed in each span of
 * tdx_mig_count: an account of the same instructions that does not depend on the TSC,
 * nor on what the software TDX platform says of itself.
 *
 * A span begins and ends with a NOP that nobody else has. What comes between a
 * SEAMCALL and the instruction after it is left out. Lines of the output: number of
 * the span, address, count, and whether the instruction is atomic.  What an interrupt
 * does between a SEAMCALL and the next instruction is left out, too, while the TSC counts
 * it.
 *
 * It also counts what is executed with a lock held, from the first instruction of the
 * function that acquires it to the first one of that which releases it.  Lines of the
 * output: "lock", number of the span, kind of the lock, address of the call that
 * acquires it, how often it did, instructions.  Locks that are nested each have a count.
 *
 * Arguments: out=FILE, and locks=FILE, with lines of those functions: address, kind of
 * the lock, "acquire" or "release"
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of an instruction */
#define MAX_INSN	16
#define MAX_FUNCTIONS	64
#define MAX_HELD	16
#define KIND_SIZE	24

/* The interface of QEMU, of which Debian has no header. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;

typedef void (*translate_fn)(unsigned long id, struct qemu_plugin_tb *tb);
typedef void (*execute_fn)(unsigned int cpu, void *opaque);
typedef void (*exit_fn)(unsigned long id, void *opaque);

void qemu_plugin_register_vcpu_tb_trans_cb(unsigned long id, translate_fn fn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_fn fn,
					    int regs, void *opaque);
void qemu_plugin_register_atexit_cb(unsigned long id, exit_fn fn, void *opaque);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
unsigned long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
#if PLUGIN_VERSION < 3
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);
#endif

int qemu_plugin_version = PLUGIN_VERSION;

static const unsigned char seamcall[] = { 0x66, 0x0f, 0x01, 0xcf };
static const unsigned char begin[] = { 0x0f, 0x1f, 0x80, 'B', 'x', 'd', 't' };
static const unsigned char end[] = { 0x0f, 0x1f, 0x80, 'E', 'x', 'd', 't' };

enum kind { OTHER, SEAMCALL, BEGIN, END };

/* A function that acquires or releases a lock. */
struct function {
	unsigned long vaddr;
	char kind[KIND_SIZE];
	bool acquires;
};

/* As it was translated; the same one may have been several times. */
struct insn {
	unsigned long vaddr;
	unsigned long count;
	struct insn *next;
	enum kind kind;
	bool is_atomic;
	/* Which begins with it, or NULL. */
	const struct function *function;
};

/* Where a lock is acquired. */
struct site {
	unsigned long vaddr;
	const char *kind;
	unsigned long acquired;
	unsigned long count;
	struct site *next;
};

static FILE *out;
static bool in_span;
static unsigned long span;
/* Where the call that is under way returns to, or 0. */
static unsigned long returns_to;
/* Those that the span has executed. */
static struct insn *executed;

static struct function functions[MAX_FUNCTIONS];
static unsigned int nr_functions;

/* All that there are, and the locks that are held. */
static struct site *sites;
static struct site *held[MAX_HELD];
static unsigned int nr_held;
/* The instruction before this one, by which a function was called. */
static unsigned long last_vaddr;

static struct site *find_site(unsigned long vaddr, const char *kind)
{
	struct site *site;

	for (site = sites; site; site = site->next) {
		if (site->vaddr == vaddr)
			return site;
	}
	site = calloc(1, sizeof(*site));
	if (!site)
		abort();
	site->vaddr = vaddr;
	site->kind = kind;
	site->next = sites;
	sites = site;
	return site;
}

static void acquire(const struct function *function)
{
	/* Those that could not be acquired are never released, so forget the oldest. */
	if (nr_held == MAX_HELD)
		memmove(&held[0], &held[1], --nr_held * sizeof(held[0]));
	held[nr_held] = find_site(last_vaddr, function->kind);
	held[nr_held++]->acquired++;
}

/*
 * One that was acquired before the span is not among those that are held.  The kind of
 * a lock that was tried says so at its end.
 */
static void release(const struct function *function)
{
	unsigned int i = nr_held;

	while (i--) {
		if (strncmp(held[i]->kind, function->kind, strlen(function->kind)))
			continue;
		memmove(&held[i], &held[i + 1], (nr_held - i - 1) * sizeof(held[0]));
		nr_held--;
		return;
	}
}

static void count_held(const struct insn *insn)
{
	unsigned int i;

	if (insn->function && insn->function->acquires)
		acquire(insn->function);
	else if (insn->function)
		release(insn->function);
	for (i = 0; i < nr_held; i++)
		held[i]->count++;
	last_vaddr = insn->vaddr;
}

static void end_sites(void)
{
	struct site *site;

	for (site = sites; site; site = site->next) {
		if (site->acquired)
			fprintf(out, "lock %lu %s %lx %lu %lu\n", span, site->kind, site->vaddr,
				site->acquired, site->count);
		site->acquired = 0;
		site->count = 0;
	}
	nr_held = 0;
}

static void end_span(void)
{
	struct insn *insn;

	end_sites();
	for (insn = executed; insn; insn = insn->next) {
		fprintf(out, "%lu %lx %lu %d\n", span, insn->vaddr, insn->count, insn->is_atomic);
		insn->count = 0;
	}
	executed = NULL;
	in_span = false;
}

static void execute(unsigned int cpu, void *opaque)
{
	struct insn *insn = opaque;

	(void)cpu;
	if (insn->kind == BEGIN) {
		in_span = true;
		span++;
		return;
	}
	if (!in_span || (returns_to && insn->vaddr != returns_to))
		return;
	if (insn->kind == END) {
		end_span();
		return;
	}

	count_held(insn);
	returns_to = insn->kind == SEAMCALL ? insn->vaddr + sizeof(seamcall) : 0;
	if (!insn->count++) {
		insn->next = executed;
		executed = insn;
	}
}

static void get_bytes(const struct qemu_plugin_insn *insn, unsigned char *bytes, size_t size)
{
#if PLUGIN_VERSION < 3
	memcpy(bytes, qemu_plugin_insn_data(insn), size);
#else
	qemu_plugin_insn_data(insn, bytes, size);
#endif
}

static enum kind kind_of(const unsigned char *bytes, size_t size)
{
	if (size == sizeof(seamcall) && !memcmp(bytes, seamcall, size))
		return SEAMCALL;
	if (size == sizeof(begin) && !memcmp(bytes, begin, size))
		return BEGIN;
	if (size == sizeof(end) && !memcmp(bytes, end, size))
		return END;
	return OTHER;
}

/* With a LOCK prefix, which compilers put first, or an XCHG with memory. */
static bool is_atomic(const unsigned char *bytes)
{
	if (bytes[0] == 0xf0)
		return true;
	/* REX, which may be there */
	if ((bytes[0] & 0xf0) == 0x40)
		bytes++;
	return (bytes[0] | 1) == 0x87 && bytes[1] < 0xc0;
}

static const struct function *function_at(unsigned long vaddr)
{
	unsigned int i;

	for (i = 0; i < nr_functions; i++) {
		if (functions[i].vaddr == vaddr)
			return &functions[i];
	}
	return NULL;
}

static void translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	size_t i, nr = qemu_plugin_tb_n_insns(tb);
	struct insn *insns = calloc(nr, sizeof(*insns));
	struct qemu_plugin_insn *insn;
	unsigned char bytes[MAX_INSN];
	size_t size;

	(void)id;
	if (!insns)
		abort();
	for (i = 0; i < nr; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		insns[i].vaddr = qemu_plugin_insn_vaddr(insn);
		size = qemu_plugin_insn_size(insn);
		if (size > sizeof(bytes))
			abort();
		memset(bytes, 0, sizeof(bytes));
		get_bytes(insn, bytes, size);
		insns[i].kind = kind_of(bytes, size);
		insns[i].is_atomic = is_atomic(bytes);
		insns[i].function = function_at(insns[i].vaddr);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, execute, 0, &insns[i]);
	}
}

static void finish(unsigned long id, void *opaque)
{
	(void)id;
	(void)opaque;
	fclose(out);
}

static bool read_functions(const char *name)
{
	FILE *f = fopen(name, "r");
	struct function *function;
	char what[16];

	if (!f)
		return false;
	while (nr_functions < MAX_FUNCTIONS) {
		function = &functions[nr_functions];
		if (fscanf(f, "%lx %23s %15s", &function->vaddr, function->kind, what) != 3)
			break;
		function->acquires = !strcmp(what, "acquire");
		nr_functions++;
	}
	fclose(f);
	return nr_functions && nr_functions < MAX_FUNCTIONS;
}

int qemu_plugin_install(unsigned long id, const struct qemu_info_t *info, int argc,
			char **argv)
{
	(void)info;
	if (argc != 2 || strncmp(argv[0], "out=", 4) || strncmp(argv[1], "locks=", 6))
		return EXIT_FAILURE;
	out = fopen(argv[0] + 4, "w");
	if (!out || !read_functions(argv[1] + 6))
		return EXIT_FAILURE;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return EXIT_SUCCESS;
}
