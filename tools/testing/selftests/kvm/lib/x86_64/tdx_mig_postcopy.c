// SPDX-License-Identifier: GPL-2.0-only
/*
 * Post-copy migration of TDs in KVM selftests: the destination runs, and its
 * memory follows.
 */
#include <linux/falloc.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"

gpa_t *td_mig_list_pages(struct td_mig *m, u32 *nr)
{
	struct userspace_mem_region *region;
	sparsebit_idx_t first, last, pfn;
	gpa_t *gpas = NULL;
	int ctr;

	*nr = 0;
	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
		if (!sparsebit_any_set(region->protected_phy_pages))
			continue;

		sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
			gpas = realloc(gpas, (*nr + last - first + 1) * sizeof(*gpas));
			TEST_ASSERT(gpas, "Insufficient Memory");
			for (pfn = first; pfn <= last; pfn++)
				gpas[(*nr)++] = pfn << m->src->page_shift;
		}
	}
	return gpas;
}

void td_postcopy_export_states(struct td_mig *m)
{
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
}

void td_postcopy_import_states(struct td_mig *m, struct td_mig_dest *d)
{
	td_mig_dest_create(d, m);
	td_mig_import(d, m, 0, m->nr_bundles - 1);
}

void td_postcopy_start(struct td_postcopy *p, struct td_mig *m, struct td_mig_dest *d)
{
	*p = (struct td_postcopy) { .m = m, .d = d };

	td_postcopy_export_states(m);
	td_postcopy_import_states(m, d);
	td_mig_cmd(&d->streams[0], KVM_TDX_MIG_IMPORT_COMMIT);
}

void td_postcopy_export(struct td_mig *m, u32 stream, const gpa_t *gpas, u32 nr,
			struct td_mig_bundle *b)
{
	u64 gpa_list[TDX_MIG_BUF_LIST_PAGES_MAX], hw_error;
	int i, ret;

	for (i = 0; i < nr; i++)
		gpa_list[i] = td_gpa_entry(gpas[i], TDX_MIG_GPA_OP_MIGRATE);

	ret = __td_mig_export_mem(&m->streams[stream], gpa_list, nr, b, &hw_error);
	TEST_ASSERT(!ret, "Export after the start token failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

void td_postcopy_import(struct td_mig_dest *d, const struct td_mig_bundle *b)
{
	u64 hw_error;
	int ret = __td_mig_import(d->streams, b, &hw_error);

	TEST_ASSERT(!ret, "Import after the start token failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

/* Export @nr pages and import them, and return what the first entry was like then. */
static u64 __td_postcopy_move(struct td_postcopy *p, u32 stream, const gpa_t *gpas, u32 nr)
{
	struct td_mig_bundle b;
	u64 entry;

	td_postcopy_export(p->m, stream, gpas, nr, &b);
	entry = b.gpa_list[0];
	td_postcopy_import(p->d, &b);
	td_mig_bundle_free(&b);
	return entry;
}

void td_postcopy_move(struct td_postcopy *p, u32 stream, const gpa_t *gpas, u32 nr)
{
	__td_postcopy_move(p, stream, gpas, nr);
}

void td_postcopy_move_image(struct td_postcopy *p)
{
	gpa_t gpas[TDX_MIG_BUF_LIST_PAGES_MAX];
	struct userspace_mem_region *region;
	sparsebit_idx_t first, last, pfn;
	u32 nr = 0;
	int ctr;

	hash_for_each(p->m->src->regions.slot_hash, ctr, region, slot_node) {
		if (region->region.slot >= TD_SLOT_UNACCEPTED ||
		    !sparsebit_any_set(region->protected_phy_pages))
			continue;

		sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
			for (pfn = first; pfn <= last; pfn++) {
				gpas[nr++] = pfn << p->m->src->page_shift;
				if (nr == ARRAY_SIZE(gpas)) {
					td_postcopy_move(p, 0, gpas, nr);
					nr = 0;
				}
			}
		}
	}
	if (nr)
		td_postcopy_move(p, 0, gpas, nr);
}

void td_postcopy_fetch(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream, gpa_t gpa)
{
	unsigned int status;
	u64 entry;

	__atomic_add_fetch(&p->nr_faults, 1, __ATOMIC_RELAXED);

	/* A page that another stream exports at this moment is busy, but not absent. */
	do {
		entry = __td_postcopy_move(p, stream, &gpa, 1);
		if (td_gpa_entry_op(entry) == TDX_MIG_GPA_OP_MIGRATE)
			return;
		status = td_gpa_entry_status(entry);
	} while (status == TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY);

	TEST_ASSERT(status == TDX_MIG_GPA_STATUS_SEPT_WALK_FAILED ||
		    status == TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT,
		    "GPA 0x%lx: status %u", gpa, status);
	__atomic_add_fetch(&p->nr_absent, 1, __ATOMIC_RELAXED);
	td_pre_fault(vcpu, gpa, PAGE_SIZE);
}

bool td_is_missing_page(struct kvm_vcpu *vcpu, int ret)
{
	struct kvm_run *run = vcpu->run;

	return ret == -1 && errno == EFAULT && run->exit_reason == KVM_EXIT_MEMORY_FAULT &&
	       run->memory_fault.flags == (KVM_MEMORY_EXIT_FLAG_PRIVATE |
					   KVM_MEMORY_EXIT_FLAG_MISSING) &&
	       run->memory_fault.size == PAGE_SIZE &&
	       !(run->memory_fault.gpa % PAGE_SIZE);
}

/* KVM_RUN, again and again until it is not because of a signal that it returns. */
static int td_run_once(struct kvm_vcpu *vcpu)
{
	int ret;

	do {
		ret = __vcpu_run(vcpu);
	} while (ret && errno == EINTR);

	return ret;
}

void td_vcpu_run_to_missing_page(struct kvm_vcpu *vcpu, gpa_t gpa)
{
	int ret = td_run_once(vcpu);

	TEST_ASSERT(td_is_missing_page(vcpu, ret),
		    "KVM_RUN returned %d, errno %d, exit %s, flags 0x%llx, size 0x%llx", ret,
		    errno, exit_reason_str(vcpu->run->exit_reason),
		    vcpu->run->memory_fault.flags, vcpu->run->memory_fault.size);
	TEST_ASSERT_EQ(vcpu->run->memory_fault.gpa, gpa);
}

static void td_postcopy_map_gpa(struct td_postcopy *p, struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	gpa_t gpa = run->hypercall.args[0];
	u64 size = run->hypercall.args[1] * vcpu->vm->page_size;

	TEST_ASSERT_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	if (run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED) {
		vm_mem_set_private(vcpu->vm, gpa, size);
	} else {
		vm_mem_set_shared(vcpu->vm, gpa, size);
		td_mig_dest_punch_hole(p->d, p->m, gpa, size);
	}
	run->hypercall.ret = 0;
}

u64 td_postcopy_run(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream,
		    struct ucall *uc)
{
	struct kvm_run *run = vcpu->run;
	int ret;
	u64 cmd;

	for (;;) {
		ret = td_run_once(vcpu);
		if (td_is_missing_page(vcpu, ret)) {
			td_postcopy_fetch(p, vcpu, stream, run->memory_fault.gpa);
			continue;
		}
		TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_RUN, ret));

		if (run->exit_reason == KVM_EXIT_HYPERCALL) {
			td_postcopy_map_gpa(p, vcpu);
			continue;
		}

		TEST_ASSERT_KVM_EXIT_REASON(vcpu, KVM_EXIT_MMIO);
		cmd = get_ucall(vcpu, uc);
		if (cmd == UCALL_ABORT)
			REPORT_GUEST_ASSERT(*uc);
		if (cmd != UCALL_PRINTF)
			return cmd;
		REPORT_GUEST_PRINTF(*uc);
	}
}

void td_postcopy_run_to_sync(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream,
			     u64 stage)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_postcopy_run(p, vcpu, stream, &uc), UCALL_SYNC);
	TEST_ASSERT_EQ(uc.args[1], stage);
}

void td_postcopy_run_to_done(struct td_postcopy *p, struct kvm_vcpu *vcpu, u32 stream)
{
	struct ucall uc;

	TEST_ASSERT_EQ(td_postcopy_run(p, vcpu, stream, &uc), UCALL_DONE);
}
