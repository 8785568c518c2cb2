/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Noise for the interface of TD migration: programs of typed operations, which several
 * threads carry out on a source and a destination of their own, and what has to hold
 * whatever these do.
 *
 * A program is a list of operations in the order in which they begin.  Those of thread 0
 * follow each other; one of another thread begins as soon as the one of thread 0 before it
 * has begun, so that the two meet.
 */
#ifndef SELFTEST_KVM_TDX_FUZZ_H
#define SELFTEST_KVM_TDX_FUZZ_H

#include <stdio.h>

#include "kvm_util.h"
#include "tdx_mig_util.h"
#include "tdx_worker.h"

#define TD_FUZZ_MAX_OPS		64
#define TD_FUZZ_NR_THREADS	3
#define TD_FUZZ_NR_STREAMS	2

enum td_fuzz_kind {
	/* Commands of the source; @a has the stream in bits 31:28. */
	TD_FUZZ_EXPORT_IMMUTABLE,
	/* First page in @a 7:0, number in 15:8; operation in @b 1:0, malformed by 31:16. */
	TD_FUZZ_EXPORT_MEM,
	/* The memory slots of code and data. */
	TD_FUZZ_EXPORT_SLOTS,
	/* The start token if bit 0 of @b is set. */
	TD_FUZZ_EXPORT_TRACK,
	TD_FUZZ_EXPORT_PAUSE,
	TD_FUZZ_EXPORT_TD,
	/* By id if bit 0 of @b is set, which then is in 15:8. */
	TD_FUZZ_EXPORT_VP,
	/* With the token of the destination if bit 0 of @b is set. */
	TD_FUZZ_EXPORT_ABORT,
	/*
	 * Import as many bundles as @a 15:0 says, 0 for all but a start token; from the next
	 * one, or from that of number @b 7:0 - 1.  @b 31:16 damages the first of them.
	 */
	TD_FUZZ_IMPORT,
	TD_FUZZ_IMPORT_COMMIT,
	TD_FUZZ_IMPORT_END,
	TD_FUZZ_IMPORT_ABORT,
	/* The dirty log: pages as in EXPORT_MEM, on if bit 0 of @b is set. */
	TD_FUZZ_CLEAR_LOG,
	TD_FUZZ_GET_LOG,
	TD_FUZZ_SET_LOG,
	/* The guest writes to pages, as above, converts one if it can, or checks them all. */
	TD_FUZZ_WRITE,
	TD_FUZZ_CONVERT,
	TD_FUZZ_ACCEPT,
	TD_FUZZ_CHECK,
	/* The vCPU at the destination runs. */
	TD_FUZZ_RUN_DST,
	/* State of the vCPU: @b 31:16 damages it. */
	TD_FUZZ_GET_STATE,
	TD_FUZZ_SET_STATE,
	/* Bit 0 of @b: at the destination. */
	TD_FUZZ_SET_LAPIC,
	TD_FUZZ_SET_ATTRIBUTES,
	TD_FUZZ_PUNCH_HOLE,
	TD_FUZZ_PRE_FAULT,
	TD_FUZZ_NEW_STREAM,
	TD_FUZZ_MAP_STREAM,
	/* Overwrite buffers of a stream. */
	TD_FUZZ_SCRIBBLE,
	/* A command of random number, flags and address. */
	TD_FUZZ_RAW,
	TD_FUZZ_SERVTD,
	TD_FUZZ_MSI,
	/* A signal for thread @a. */
	TD_FUZZ_SIGNAL,
	TD_FUZZ_NR_KINDS,
};

struct td_fuzz_op {
	u8 thread;
	u8 kind;
	u32 a;
	u32 b;
};

struct td_fuzz_prog {
	u32 nr;
	struct td_fuzz_op ops[TD_FUZZ_MAX_OPS];
};

/* A sequence of numbers that depends on nothing but its seed. */
struct td_fuzz_rng {
	u64 state;
};

void td_fuzz_rng_init(struct td_fuzz_rng *rng, u64 seed, u64 stream);
u32 td_fuzz_random(struct td_fuzz_rng *rng);
/* Less than @n. */
u32 td_fuzz_below(struct td_fuzz_rng *rng, u32 n);

const char *td_fuzz_kind_name(unsigned int kind);
/* A migration from its start to its end. */
void td_fuzz_recipe(struct td_fuzz_prog *p);
/* Change a program, and take some of @other, in a few places. */
void td_fuzz_mutate(struct td_fuzz_rng *rng, struct td_fuzz_prog *p,
		    const struct td_fuzz_prog *other);
void td_fuzz_remove(struct td_fuzz_prog *p, u32 first, u32 nr);
/* As text without white space, and back. */
void td_fuzz_print(FILE *f, const struct td_fuzz_prog *p);
bool td_fuzz_parse(struct td_fuzz_prog *p, const char *text);
/* The same for people, a line for each operation. */
void td_fuzz_explain(FILE *f, const struct td_fuzz_prog *p);

/* Places of KVM and kvm-intel that were reached; all false without KCOV. */
#define TD_FUZZ_COVER_BITS	BIT(20)

struct td_fuzz_cover {
	unsigned long places[TD_FUZZ_COVER_BITS / BITS_PER_LONG];
};

bool td_fuzz_cover_init(void);
/* Of the calling thread, from here to the end; drained before its buffer is full. */
void td_fuzz_cover_begin(void);
void td_fuzz_cover_drain(struct td_fuzz_cover *cover);
void td_fuzz_cover_end(struct td_fuzz_cover *cover);

/*
 * Carry out a program, and assert what has to hold.  @nr_done counts operations that have
 * succeeded, by their kind.
 */
void td_fuzz_run(const struct td_fuzz_prog *p, struct td_fuzz_cover *cover,
		 u64 nr_done[TD_FUZZ_NR_KINDS]);

#endif /* SELFTEST_KVM_TDX_FUZZ_H */
