/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many instructions the kernel takes, without those of the TDX module.
 *
 * Takes a machine with one CPU whose TSC counts instructions and nothing else,
 * e.g. QEMU with -icount, and the software TDX platform, which tells how many of
 * them are its own.  An interrupt can only add to a count: no other CPU is there that
 * could.  The count of a system call is from its first instruction in the library to
 * the last.
 */
#ifndef SELFTEST_KVM_TDX_COUNT_H
#define SELFTEST_KVM_TDX_COUNT_H

#include "processor.h"
#include "tdx_bench.h"

/* Of a span; the trace of another program may count the same by the number of the span. */
struct td_count {
	u64 nr;
	u64 of_span;
	u64 span;
	/* SEAMCALLs, without those that resume one. */
	u64 seamcalls;
};

/* The instructions between its beginning and its end, but for those of SEAMCALLs. */
struct td_span {
	struct td_sim_calls before;
	u64 start;
};

/* NOPs that nobody else has, for the trace. */
#define TD_MARK_BEGIN	".byte 0x0f, 0x1f, 0x80, 0x42, 0x78, 0x64, 0x74"
#define TD_MARK_END	".byte 0x0f, 0x1f, 0x80, 0x45, 0x78, 0x64, 0x74"

static inline void td_span_begin(struct td_span *s)
{
	td_sim_read_calls(&s->before);
	asm volatile(TD_MARK_BEGIN : : : "memory");
	s->start = rdtsc();
}

struct td_count td_span_count(const struct td_span *s, u64 end);

static inline struct td_count td_span_end(const struct td_span *s)
{
	u64 end = rdtsc();

	asm volatile(TD_MARK_END : : : "memory");
	return td_span_count(s, end);
}

/* Find out what a span has that is empty. */
void td_count_init(void);
/* A line with tabs, for those who compare: the count by @batch, and the goal, or 0. */
void td_count_print(const char *what, u64 batch, const struct td_count *c, u64 goal);
/* The same with a figure that is no count of a span. */
void td_count_print_figure(const char *what, u64 batch, double figure, u64 goal);
/*
 * The same for the longest time, in instructions, that one of some spans has held mmu_lock
 * for write, which the machine has to add.
 */
void td_count_print_hold(const char *what, u64 batch, const struct td_count *c);
/* That was all.  With @symbols, tell the trace where KVM is. */
void td_count_end(bool symbols);

#endif /* SELFTEST_KVM_TDX_COUNT_H */
