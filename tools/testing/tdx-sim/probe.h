/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test's view into the module model, past its interface: the structures of a
 * TD by its TDR page, translation of guest addresses, locks held by "another
 * processor" and fields forced to a value.
 */
#ifndef TDX_SIM_PROBE_H
#define TDX_SIM_PROBE_H

#include "machine.h"

/* Find the structures of the TD whose TDR page is @tdr_pa; false if it is none. */
bool probe_td(u64 tdr_pa, struct sim_td *td);

/* The same for a vCPU, which has all its pages, and its TDVPR page. */
bool probe_vp(u64 tdvpr_pa, struct sim_vp *vp);

/* The leaf that translates a GPA, whatever its access rights. */
struct probe_page {
	u64 hpa;	/* of the byte at the GPA */
	u64 entry;
	unsigned int level;
	bool readable, writable;
};

bool probe_translate(const struct sim_td *td, u64 gpa, struct probe_page *page);

/* A lock of the model, by its name in a trace. */
enum probe_lock_kind {
	PROBE_LOCK_PAGE,
	PROBE_LOCK_OP_STATE,
	PROBE_LOCK_MIG,
	PROBE_LOCK_SEPT_TREE,
	PROBE_LOCK_SEPT_ENTRY,
	PROBE_LOCK_MIGSC,
};

#define PROBE_BACKWARD_STREAM	(-1ULL)

struct probe_lock {
	enum probe_lock_kind kind;
	u64 object;	/* page, or TDR page */
	u64 arg;	/* GPA or stream */
};

/*
 * Take or free it as another processor would; false if that is impossible.
 * What is held exclusively has no readers, so a release need not say the mode.
 */
bool probe_hold(const struct probe_lock *lock, enum sim_lock_mode mode);
bool probe_release(const struct probe_lock *lock);

/* Overwrite the field that a trace calls @name; false if there is none. */
bool probe_field_exists(const char *name);
bool probe_force(const struct sim_td *td, const char *name, u64 value);

#endif /* TDX_SIM_PROBE_H */
