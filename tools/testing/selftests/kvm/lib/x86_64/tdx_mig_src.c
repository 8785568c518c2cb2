// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: the source, and the bundles that it
 * has exported.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

struct kvm_vm *td_mig_create_src(void *guest_code, struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_code, vcpu);

	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	return vm;
}

static void guest_sync_and_done(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

struct kvm_vm *td_mig_create_plain_src(struct kvm_vcpu **vcpu)
{
	return td_mig_create_src(guest_sync_and_done, vcpu);
}

#define NR_DATA_WORDS		(TD_MIG_DATA_PAGES * PAGE_SIZE / sizeof(u64))

static void guest_keep_data(u64 *data)
{
	u64 i;

	for (i = 0; i < NR_DATA_WORDS; i++)
		data[i] = i * i + 1;
	GUEST_SYNC(1);
	for (i = 0; i < NR_DATA_WORDS; i++)
		GUEST_ASSERT_EQ(data[i], i * i + 1);
	GUEST_DONE();
}

struct kvm_vm *td_mig_create_data_src(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, TD_MIG_DATA_PAGES,
					guest_keep_data, vcpu);

	td_vcpu_set_arg(*vcpu, vm_alloc(vm, TD_MIG_DATA_PAGES * PAGE_SIZE, KVM_UTIL_MIN_VADDR));
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 1);
	return vm;
}

struct td_mig_bundle *td_mig_next_bundle(struct td_mig *m)
{
	TEST_ASSERT(m->nr_bundles < TD_MIG_MAX_BUNDLES, "Too many bundles");
	return &m->bundles[m->nr_bundles++];
}

void td_mig_forget_bundles(struct td_mig *m)
{
	while (m->nr_bundles)
		td_mig_bundle_free(&m->bundles[--m->nr_bundles]);
}

static void td_mig_export_state(struct td_mig *m, u32 export_cmd)
{
	u64 hw_error;
	int ret = __td_mig_export_state(&m->streams[0], export_cmd, td_mig_next_bundle(m),
					&hw_error);

	TEST_ASSERT(!ret, "Migration command %u failed, errno %d (%s), hw_error 0x%lx",
		    export_cmd, errno, strerror(errno), hw_error);
}

static void td_mig_export_vcpu(struct td_mig *m, u32 vcpu_id)
{
	u64 hw_error;
	int ret = __td_mig_export_vcpu(&m->streams[0], vcpu_id, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Export of vCPU %u failed, errno %d (%s), hw_error 0x%lx",
		    vcpu_id, errno, strerror(errno), hw_error);
}

void td_mig_open(struct td_mig *m, struct kvm_vm *src, struct kvm_vcpu *vcpus[],
		 int nr_vcpus, int nr_streams)
{
	int i;

	TEST_ASSERT(nr_vcpus <= TD_MIG_MAX_VCPUS && nr_streams <= TD_MIG_MAX_STREAMS,
		    "%d vCPUs, %d streams", nr_vcpus, nr_streams);

	*m = (struct td_mig) {
		.src = src,
		.nr_vcpus = nr_vcpus,
		.nr_streams = nr_streams,
		.nr_entries = TDX_MIG_BUF_LIST_PAGES_MAX,
	};
	memcpy(m->src_vcpus, vcpus, nr_vcpus * sizeof(*vcpus));
	for (i = 0; i < nr_streams; i++)
		td_mig_stream_open(&m->streams[i], src, i, TDX_MIG_BUF_LIST_PAGES_MAX);
}

void td_mig_init(struct td_mig *m, struct kvm_vm *src, struct kvm_vcpu *vcpus[],
		 int nr_vcpus, int nr_streams)
{
	td_mig_open(m, src, vcpus, nr_vcpus, nr_streams);
	td_mig_exchange_keys(m);
}

void td_mig_export_immutable(struct td_mig *m)
{
	td_mig_export_state(m, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE);
	m->keys_used = true;
}

void td_mig_export_pause(struct td_mig *m)
{
	td_mig_cmd(&m->streams[0], KVM_TDX_MIG_EXPORT_PAUSE);
}

/* Streams take turns, as far as the order of their bundles allows. */
void td_mig_batch_flush(struct td_mig_batch *batch)
{
	struct td_mig *m = batch->m;
	struct td_mig_stream *s = &m->streams[m->nr_bundles % m->nr_streams];
	struct td_mig_bundle *b;
	u64 hw_error;
	int i, ret;

	if (!batch->nr)
		return;

	b = td_mig_next_bundle(m);
	ret = __td_mig_export_mem(s, batch->gpa_list, batch->nr, b, &hw_error);
	TEST_ASSERT(!ret, "Export of memory failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);

	for (i = 0; i < batch->nr; i++)
		batch->nr_exported += !!td_gpa_entry_op(b->gpa_list[i]);
	batch->nr = 0;
}

void td_mig_batch_add(struct td_mig_batch *batch, gpa_t gpa)
{
	batch->gpa_list[batch->nr++] = td_gpa_entry(gpa, TDX_MIG_GPA_OP_MIGRATE);
	if (batch->nr == batch->m->nr_entries)
		td_mig_batch_flush(batch);
}

static void td_mig_export_slots(struct td_mig *m, bool all, u32 but)
{
	struct td_mig_batch batch = { .m = m };
	struct userspace_mem_region *region;
	sparsebit_idx_t first, last, pfn;
	int ctr;

	/* Every private page, whether it is mapped or not. */
	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
		if (!all && region->region.slot == but)
			continue;
		if (!sparsebit_any_set(region->protected_phy_pages))
			continue;

		sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
			for (pfn = first; pfn <= last; pfn++)
				td_mig_batch_add(&batch, pfn << m->src->page_shift);
		}
	}
	td_mig_batch_flush(&batch);
}

void td_mig_export_all_mem(struct td_mig *m)
{
	td_mig_export_slots(m, true, 0);
}

void td_mig_export_other_slots(struct td_mig *m, u32 but)
{
	td_mig_export_slots(m, false, but);
}

void td_mig_export_track(struct td_mig *m)
{
	u64 hw_error;
	int ret = __td_mig_export_track(&m->streams[0], false, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Export of an epoch token failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

void td_mig_export_td_and_vcpus(struct td_mig *m)
{
	int i;

	td_mig_export_state(m, KVM_TDX_MIG_EXPORT_STATE_TD);
	for (i = 0; i < m->nr_vcpus; i++) {
		if (m->reverse_vcpus)
			td_mig_export_vcpu(m, m->src_vcpus[i]->id);
		else
			td_mig_export_state(m, KVM_TDX_MIG_EXPORT_STATE_VP);
	}

	for (i = 0; i < m->nr_vcpus; i++)
		td_mig_vcpu_save(m->src_vcpus[i], &m->vcpu_state[i]);
}

void td_mig_export_start_token(struct td_mig *m)
{
	u64 hw_error;
	int ret = __td_mig_export_track(&m->streams[0], true, td_mig_next_bundle(m), &hw_error);

	TEST_ASSERT(!ret, "Export of the start token failed, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
}

void td_mig_export_rest(struct td_mig *m)
{
	td_mig_export_all_mem(m);
	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
}

void td_mig_export(struct td_mig *m)
{
	td_mig_export_immutable(m);
	td_mig_export_pause(m);
	td_mig_export_rest(m);
}

void td_mig_destroy_src(struct td_mig *m)
{
	struct userspace_mem_region *region;
	int i, ctr;

	for (i = 0; i < m->nr_streams; i++)
		td_mig_stream_close(&m->streams[i]);
	m->nr_streams = 0;

	/* Each of them keeps the VM alive. */
	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
		if ((int)region->region.guest_memfd >= 0)
			kvm_free_fd(region->region.guest_memfd);
	}
	kvm_vm_release(m->src);
	m->src = NULL;
}

void td_mig_free(struct td_mig *m)
{
	int i;

	for (i = 0; i < m->nr_streams; i++)
		td_mig_stream_close(&m->streams[i]);
	m->nr_streams = 0;
	td_mig_forget_bundles(m);
	kvm_vm_free(m->next_dst);
	m->next_dst = NULL;
}

int td_mig_find_bundle(struct td_mig *m, u32 import_cmd)
{
	int i;

	for (i = 0; i < m->nr_bundles; i++) {
		if (m->bundles[i].import_cmd == import_cmd)
			return i;
	}
	TEST_FAIL("No bundle for command %u", import_cmd);
	return -1;
}
