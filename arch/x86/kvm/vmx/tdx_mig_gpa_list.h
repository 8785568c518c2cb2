/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Live migration of TDs: entries of a GPA list, by which KVM and the TDX module tell
 * each other what to do with private pages, and what has come of it.
 */
#ifndef __KVM_X86_VMX_TDX_MIG_GPA_LIST_H
#define __KVM_X86_VMX_TDX_MIG_GPA_LIST_H

#include <linux/kvm_host.h>

#define TDX_MIG_GPA_ENTRY_RESERVED	(~(TDX_MIG_GPA_ENTRY_LEVEL_MASK |	\
					   TDX_MIG_GPA_ENTRY_PENDING |		\
					   TDX_MIG_GPA_ENTRY_L2_MAP_MASK |	\
					   TDX_MIG_GPA_ENTRY_TYPE_MASK |	\
					   TDX_MIG_GPA_ENTRY_GPA_MASK |		\
					   TDX_MIG_GPA_ENTRY_OP_MASK |		\
					   TDX_MIG_GPA_ENTRY_STATUS_MASK))

/* Entries in a page. */
#define TDX_MIG_GPA_LIST_MAX		(PAGE_SIZE / sizeof(u64))

static inline u64 tdx_mig_gpa_entry(gfn_t gfn, unsigned int op)
{
	return gfn_to_gpa(gfn) | ((u64)op << TDX_MIG_GPA_ENTRY_OP_SHIFT);
}

static inline gfn_t tdx_mig_gpa_gfn(u64 entry)
{
	return gpa_to_gfn(entry & TDX_MIG_GPA_ENTRY_GPA_MASK);
}

static inline unsigned int tdx_mig_gpa_op(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_OP_MASK) >> TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

static inline unsigned int tdx_mig_gpa_status(u64 entry)
{
	return (entry & TDX_MIG_GPA_ENTRY_STATUS_MASK) >> TDX_MIG_GPA_ENTRY_STATUS_SHIFT;
}

static inline u64 tdx_mig_gpa_set_status(u64 entry, unsigned int status)
{
	return (entry & ~TDX_MIG_GPA_ENTRY_STATUS_MASK) |
	       ((u64)status << TDX_MIG_GPA_ENTRY_STATUS_SHIFT);
}

/* Is the content of the page part of the bundle? */
static inline bool tdx_mig_gpa_has_content(u64 entry)
{
	unsigned int op = tdx_mig_gpa_op(entry);

	return (op == TDX_MIG_GPA_OP_MIGRATE || op == TDX_MIG_GPA_OP_REMIGRATE) &&
	       !(entry & TDX_MIG_GPA_ENTRY_PENDING);
}

static inline unsigned int tdx_mig_gpa_count_content(const u64 *entries, unsigned int nr)
{
	unsigned int i, count = 0;

	for (i = 0; i < nr; i++)
		count += tdx_mig_gpa_has_content(entries[i]);

	return count;
}

/*
 * Is an entry well-formed that comes from userspace?  One malformed entry, of whatever
 * operation, ends the session.  Private GPAs are below @end.
 */
static inline bool tdx_mig_gpa_is_valid(u64 entry, gpa_t end, bool import)
{
	if (entry & (TDX_MIG_GPA_ENTRY_RESERVED | TDX_MIG_GPA_ENTRY_LEVEL_MASK))
		return false;

	/*
	 * The entry of a page that was not exported stays in the bundle as the TDX
	 * module has returned it, status and all.  Nothing else of it matters.
	 */
	if (import && tdx_mig_gpa_op(entry) == TDX_MIG_GPA_OP_NOP)
		return true;

	if (entry & (TDX_MIG_GPA_ENTRY_L2_MAP_MASK | TDX_MIG_GPA_ENTRY_TYPE_MASK))
		return false;

	if (tdx_mig_gpa_status(entry) != TDX_MIG_GPA_STATUS_SUCCESS)
		return false;

	return (entry & TDX_MIG_GPA_ENTRY_GPA_MASK) < end;
}

#endif /* __KVM_X86_VMX_TDX_MIG_GPA_LIST_H */
