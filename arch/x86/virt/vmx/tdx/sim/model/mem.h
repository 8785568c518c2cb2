/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the leaves that manage a TD's memory share.
 */
#ifndef _TDX_SIM_MEM_H
#define _TDX_SIM_MEM_H

#include "model.h"

/* EPT mapping operand: GPA and level of the entry. */
#define MAPPING_LEVEL		GENMASK_ULL(2, 0)
#define MAPPING_GPA		SIM_HPA_PAGE_MASK
#define MAPPING_RESERVED	(GENMASK_ULL(11, 3) | GENMASK_ULL(63, 52))

/* An entry of a TD's Secure EPT that a leaf works on. */
struct mem_op {
	struct sim_td td;
	u64 gpa;
	int level;
	struct sept_walk w;
};

/* Take @mapping apart; false when it is malformed or not within the levels. */
bool mem_mapping(u64 mapping, int min_level, int max_level, u64 *gpa, int *level);
/*
 * TD in RDX, mapping in RCX: check both, lock TD, tree and entry, and check
 * that the leaf may work on the entry's state.  RCX and RDX are zeroed, and
 * describe the entry after errors that concern it.  SEPT_MAX_ROOT_LEVEL stands for
 * the root of the TD.
 */
u64 mem_begin(struct sim_call *c, struct mem_op *op, int min_level, int max_level,
	      enum sim_lock_mode tree);
/* Its second half, for leaves that look at RDX first. */
u64 mem_locate(struct sim_call *c, struct mem_op *op, int min_level, int max_level,
	       enum sim_lock_mode tree);
/* TD in RDX beside a flag in bit 0, which is cleared in c->in. */
u64 mem_get_td_with_flags(struct sim_call *c, struct mem_op *op);
/* Is the entry, whose page @pe describes, blocked and tracked if it has to be? */
u64 mem_check_tracked(struct sim_call *c, struct mem_op *op, const struct pamt_entry *pe);

/* HPA of @gpa in a leaf entry. */
u64 sept_leaf_hpa(const struct sept_walk *w, u64 gpa);
/* Measure that @leaf was called for @gpa. */
void sim_mrtd_record(struct tdcs *tdcs, const char *leaf, u64 gpa);

#endif /* _TDX_SIM_MEM_H */
