/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shortest complete client of TD migration: save a TD to a file descriptor,
 * and load it from there.  For authors of VMMs, so it uses the kernel's headers
 * alone.
 */
#ifndef SELFTEST_KVM_TDX_MIG_EXAMPLE_H
#define SELFTEST_KVM_TDX_MIG_EXAMPLE_H

#include <linux/types.h>

/* Guest memory that may be private: whole slots are fine. */
struct tdx_example_range {
	__u64 gpa;
	__u64 size;
};

struct tdx_example {
	/* By the caller.  The vCPUs in the same order on both sides. */
	int vm_fd;
	const int *vcpu_fds;
	int nr_vcpus;
	const struct tdx_example_range *ranges;
	int nr_ranges;

	/* The stream, by tdx_example_open(). */
	int fd;
	__u32 nr_bufs;
	__u8 *map;
};

/* All return 0, or -1 with errno. */

/* Create the stream, before the migration starts, and drop it. */
int tdx_example_open(struct tdx_example *x);
void tdx_example_close(struct tdx_example *x);

/*
 * Save the TD to @fd.  The keys have been exchanged, and the vCPUs are stopped, with
 * their last exits completed.  Shared memory and devices are up to the caller, who
 * destroys the VM when the load is known to have succeeded, and not before.
 */
int tdx_example_save(struct tdx_example *x, int fd);

/* Let the TD run on: with the token of tdx_example_load(), or NULL if the save failed. */
int tdx_example_abort(struct tdx_example *x, const void *token);

/*
 * Load the TD from @fd into a VM of KVM_TDX_INIT_VM_F_MIG_DEST, with vCPUs that have
 * their CPUID and nothing else.  On success the vCPUs can run.  On failure the VM can
 * only be destroyed, and the source needs @token, TDX_MIG_MBMD_SIZE bytes.
 */
int tdx_example_load(struct tdx_example *x, int fd, void *token);

#endif /* SELFTEST_KVM_TDX_MIG_EXAMPLE_H */
