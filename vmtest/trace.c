// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts how often each instruction is executed in each span of
 * tdx_mig_count: an account of the same instructions that does not depend on the TSC,
 * nor on what the software TDX platform says of itself.
 *
 * A span begins and ends with a NOP that nobody else has. What comes between a
 * SEAMCALL and the instruction after it is left out. Lines of the output: number of
 * the span, address, count.  What an interrupt does between a SEAMCALL and the next
 * instruction is left out, too, while the TSC counts it.
 *
 * Arguments: out=FILE
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* As it was translated; the same one may have been several times. */
struct insn {
	unsigned long vaddr;
	unsigned long count;
	struct insn *next;
	enum kind kind;
};

static FILE *out;
static bool in_span;
static unsigned long span;
/* Where the call that is under way returns to, or 0. */
static unsigned long returns_to;
/* Those that the span has executed. */
static struct insn *executed;

static void end_span(void)
{
	struct insn *insn;

	for (insn = executed; insn; insn = insn->next) {
		fprintf(out, "%lu %lx %lu\n", span, insn->vaddr, insn->count);
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

	returns_to = insn->kind == SEAMCALL ? insn->vaddr + sizeof(seamcall) : 0;
	if (!insn->count++) {
		insn->next = executed;
		executed = insn;
	}
}

static enum kind kind_of(const struct qemu_plugin_insn *insn)
{
	size_t size = qemu_plugin_insn_size(insn);
	unsigned char bytes[16] = {};

	if (size > sizeof(bytes))
		return OTHER;
#if PLUGIN_VERSION < 3
	memcpy(bytes, qemu_plugin_insn_data(insn), size);
#else
	qemu_plugin_insn_data(insn, bytes, size);
#endif
	if (size == sizeof(seamcall) && !memcmp(bytes, seamcall, size))
		return SEAMCALL;
	if (size == sizeof(begin) && !memcmp(bytes, begin, size))
		return BEGIN;
	if (size == sizeof(end) && !memcmp(bytes, end, size))
		return END;
	return OTHER;
}

static void translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	size_t i, nr = qemu_plugin_tb_n_insns(tb);
	struct insn *insns = calloc(nr, sizeof(*insns));
	struct qemu_plugin_insn *insn;

	(void)id;
	if (!insns)
		abort();
	for (i = 0; i < nr; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		insns[i].vaddr = qemu_plugin_insn_vaddr(insn);
		insns[i].kind = kind_of(insn);
		qemu_plugin_register_vcpu_insn_exec_cb(insn, execute, 0, &insns[i]);
	}
}

static void finish(unsigned long id, void *opaque)
{
	(void)id;
	(void)opaque;
	fclose(out);
}

int qemu_plugin_install(unsigned long id, const struct qemu_info_t *info, int argc,
			char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return EXIT_FAILURE;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return EXIT_FAILURE;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return EXIT_SUCCESS;
}
