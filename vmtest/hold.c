// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU that counts for how many instructions each span of the programs
 * tdx_mig_count* holds a lock, at the longest.
 *
 * A span begins and ends with a NOP that nobody else has. What comes between a
 * SEAMCALL and the instruction after it is left out, as it is the TDX module's. Lines of
 * the output: number of the span, count, which is from the first instruction of the
 * function that acquires the lock to the first one of that which releases it.
 *
 * Arguments: out=FILE lock=ADDRESS unlock=ADDRESS
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
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, execute_fn fn, int regs,
					  void *opaque);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_fn fn,
					    int regs, void *opaque);
void qemu_plugin_register_atexit_cb(unsigned long id, exit_fn fn, void *opaque);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
unsigned long qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
unsigned long qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
#if PLUGIN_VERSION < 3
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);
#endif

int qemu_plugin_version = PLUGIN_VERSION;

#define MAX_INSN	16

static const unsigned char seamcall[] = { 0x66, 0x0f, 0x01, 0xcf };
static const unsigned char begin[] = { 0x0f, 0x1f, 0x80, 'B', 'x', 'd', 't' };
static const unsigned char end[] = { 0x0f, 0x1f, 0x80, 'E', 'x', 'd', 't' };

/*
 * Instructions that are translated as one, and executed to the last unless there is an
 * exception.  A function that is called begins one, and a SEAMCALL ends one.
 */
struct block {
	unsigned long vaddr;
	unsigned long nr;
	/* Of a SEAMCALL at its end, or 0. */
	unsigned long returns_to;
};

static FILE *out;
static unsigned long lock, unlock;

static bool in_span;
static unsigned long span;
/* Where the SEAMCALL that is under way returns to, or 0. */
static unsigned long returns_to;
static bool held;
/* Since the lock was acquired, and the most of that in this span. */
static unsigned long count, longest;

static void begin_span(unsigned int cpu, void *opaque)
{
	(void)cpu;
	(void)opaque;
	in_span = true;
	span++;
	held = false;
	longest = 0;
}

static void end_span(unsigned int cpu, void *opaque)
{
	(void)cpu;
	(void)opaque;
	if (in_span)
		fprintf(out, "%lu %lu\n", span, longest);
	in_span = false;
}

static void execute(unsigned int cpu, void *opaque)
{
	const struct block *block = opaque;

	(void)cpu;
	if (!in_span || (returns_to && block->vaddr != returns_to))
		return;
	returns_to = block->returns_to;

	if (block->vaddr == lock) {
		held = true;
		count = 0;
	} else if (block->vaddr == unlock && held) {
		held = false;
		if (count > longest)
			longest = count;
	}
	count += block->nr;
}

static bool is(const struct qemu_plugin_insn *insn, const unsigned char *bytes, size_t size)
{
	unsigned char is_bytes[MAX_INSN];

	if (qemu_plugin_insn_size(insn) != size)
		return false;
#if PLUGIN_VERSION < 3
	memcpy(is_bytes, qemu_plugin_insn_data(insn), size);
#else
	qemu_plugin_insn_data(insn, is_bytes, size);
#endif
	return !memcmp(is_bytes, bytes, size);
}

static void translate(unsigned long id, struct qemu_plugin_tb *tb)
{
	size_t i, nr = qemu_plugin_tb_n_insns(tb);
	struct block *block = calloc(1, sizeof(*block));
	struct qemu_plugin_insn *insn;

	(void)id;
	if (!block)
		abort();
	block->vaddr = qemu_plugin_tb_vaddr(tb);
	block->nr = nr;
	for (i = 0; i < nr; i++) {
		insn = qemu_plugin_tb_get_insn(tb, i);
		if (is(insn, seamcall, sizeof(seamcall)))
			block->returns_to = qemu_plugin_insn_vaddr(insn) + sizeof(seamcall);
		else if (is(insn, begin, sizeof(begin)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, begin_span, 0, NULL);
		else if (is(insn, end, sizeof(end)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, end_span, 0, NULL);
	}
	qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, 0, block);
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
	if (argc != 3 || strncmp(argv[0], "out=", 4) ||
	    sscanf(argv[1], "lock=%lx", &lock) != 1 ||
	    sscanf(argv[2], "unlock=%lx", &unlock) != 1)
		return EXIT_FAILURE;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return EXIT_FAILURE;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return EXIT_SUCCESS;
}
