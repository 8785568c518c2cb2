// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the destination of a migration changes.  Until a page arrives, that is
 * the business of the VMM; later it ends the import, and the source goes on.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

/* Pages of the memory slot that were sent, and written afterwards. */
#define SENT_PAGE		2UL
#define DIRTY_PAGE		3UL
#define NR_SENT			4UL

TD_WORKER_FIXTURE(td_worker, 1);

/* A live session that has sent some pages. */
static void begin(struct td_worker *w, struct td_mig *m)
{
	td_worker_begin(w, m, 1);
	td_worker_precopy(w, m, 0, NR_SENT);
	td_worker_do(w, TD_WORKER_WRITE, DIRTY_PAGE, 1);
}

/* The destination has the slots of the source, in the same order. */
static int dest_gmem(struct td_mig_dest *d, struct td_mig *m)
{
	struct userspace_mem_region *region;
	int ctr, i = 0;

	hash_for_each(m->src->regions.slot_hash, ctr, region, slot_node) {
		if (region->region.slot == TD_WORKER_SLOT)
			return d->gmem_fds[i];
		i++;
	}
	TEST_FAIL("There is no such slot");
	return -1;
}

enum dest_removal {
	DEST_CONVERT,
	DEST_PUNCH,
	DEST_DELETE,
	DEST_NR_REMOVALS,
};

static void dest_take(struct td_mig_dest *d, struct td_mig *m, enum dest_removal how, u64 page)
{
	switch (how) {
	case DEST_CONVERT:
		vm_mem_set_shared(d->vm, td_worker_gpa(page), PAGE_SIZE);
		break;
	case DEST_PUNCH:
		kvm_fallocate(dest_gmem(d, m), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      page * PAGE_SIZE, PAGE_SIZE);
		break;
	default:
		vm_set_user_memory_region2(d->vm, TD_WORKER_SLOT, 0, 0, 0, NULL, 0, 0);
		break;
	}
}

static void dest_give_back(struct td_mig_dest *d, struct td_mig *m, enum dest_removal how,
			   u64 page)
{
	struct kvm_userspace_memory_region2 region =
		memslot2region(m->src, TD_WORKER_SLOT)->region;

	switch (how) {
	case DEST_CONVERT:
		vm_mem_set_private(d->vm, td_worker_gpa(page), PAGE_SIZE);
		break;
	case DEST_DELETE:
		region.flags = KVM_MEM_GUEST_MEMFD;
		region.guest_memfd = dest_gmem(d, m);
		vm_ioctl(d->vm, KVM_SET_USER_MEMORY_REGION2, &region);
		break;
	default:
		break;
	}
}

TD_TEST_F(td_worker, imported_page_that_is_removed_ends_the_import_and_the_source_goes_on)
{
	enum dest_removal how;
	int i, last[3];

	for (how = 0; how < DEST_NR_REMOVALS; how++) {
		for (i = 0; i < ARRAY_SIZE(last); i++) {
			begin(&self->w, &self->m);
			td_worker_export_rest(&self->m, false);
			last[1] = td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_STATE_TD);
			last[0] = last[1] - 1;
			last[2] = self->m.nr_bundles - 2;

			td_mig_dest_create(&self->d, &self->m);
			td_mig_import(&self->d, &self->m, 0, last[i]);
			dest_take(&self->d, &self->m, how, SENT_PAGE);
			TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&self->d.streams[0],
							    KVM_TDX_MIG_IMPORT_MEM));
			TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&self->d.streams[0],
							    KVM_TDX_MIG_IMPORT_TRACK));
			TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&self->d.streams[0],
							    KVM_TDX_MIG_IMPORT_COMMIT));
			TD_EXPECT_ERRNO(EIO, td_mig_try_cmd(&self->d.streams[0],
							    KVM_TDX_MIG_IMPORT_END));
			TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->d.vcpus[0]));
			/* There are more where this one came from. */
			dest_give_back(&self->d, &self->m, how, SENT_PAGE);
			dest_take(&self->d, &self->m, how, DIRTY_PAGE);
			td_mig_return(&self->m, &self->d);
			td_mig_dest_free(&self->d);
			td_mig_free(&self->m);
			td_worker_check(&self->w);
		}
	}
	td_worker_migrate(&self->w, 1);
}

TD_TEST_F(td_worker, memory_of_the_destination_can_change_until_its_pages_arrive)
{
	enum dest_removal how;
	int ret, mem;

	for (how = 0; how < DEST_NR_REMOVALS; how++) {
		begin(&self->w, &self->m);
		td_worker_export_rest(&self->m, false);
		td_mig_dest_create(&self->d, &self->m);
		dest_take(&self->d, &self->m, how, SENT_PAGE);
		dest_give_back(&self->d, &self->m, how, SENT_PAGE);
		td_mig_import(&self->d, &self->m, 0, 0);
		dest_take(&self->d, &self->m, how, SENT_PAGE);

		mem = td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_MEM);
		ret = __td_mig_import(self->d.streams, &self->m.bundles[mem], NULL);
		if (how == DEST_PUNCH) {
			TEST_ASSERT(!ret, "Import failed, errno %d", errno);
			mem++;
		} else {
			TEST_ASSERT(ret == -1 && errno == EINVAL, "Import returned %d, errno %d",
				    ret, errno);
			dest_give_back(&self->d, &self->m, how, SENT_PAGE);
		}

		td_mig_import(&self->d, &self->m, mem, self->m.nr_bundles - 2);
		td_mig_return(&self->m, &self->d);
		td_mig_dest_free(&self->d);
		td_mig_free(&self->m);
		td_worker_check(&self->w);
	}
	td_worker_migrate(&self->w, 1);
}

TD_TEST(canceled_page_is_free_for_the_destination_until_it_is_sent_again)
{
	enum dest_removal how;
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;
	int nr;

	for (how = 0; how < DEST_DELETE; how++) {
		td_worker_create(&w, 1);
		td_worker_begin(&w, &m, 1);
		td_worker_precopy(&w, &m, 0, 4);
		td_worker_export(&m, TDX_MIG_GPA_OP_CANCEL, 0, 2);
		td_mig_export_track(&m);
		nr = m.nr_bundles;

		td_mig_dest_create(&d, &m);
		td_mig_import(&d, &m, 0, nr - 2);
		dest_take(&d, &m, how, 0);
		dest_give_back(&d, &m, how, 0);

		td_worker_precopy(&w, &m, 0, 1);
		td_worker_export_rest(&m, false);
		td_mig_import_rest(&d, &m, nr - 1);
		td_worker_run(&w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
		td_mig_dest_free(&d);
		td_mig_free(&m);
		td_worker_free(&w);
	}
}

TD_TEST(page_that_the_destination_has_already_is_imported_among_others)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	begin(&w, &m);
	td_worker_export_rest(&m, false);
	td_mig_dest_create(&d, &m);
	kvm_fallocate(dest_gmem(&d, &m), FALLOC_FL_KEEP_SIZE, SENT_PAGE * PAGE_SIZE, PAGE_SIZE);
	td_mig_import_rest(&d, &m, 0);
	td_worker_run(&w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	td_worker_free(&w);
}

TD_TEST_F(td_worker, changed_operation_of_an_entry_is_refused_and_the_import_goes_on)
{
	struct td_mig_bundle *b;
	u64 entry;
	int mem;

	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, 4);
	td_worker_export_rest(&self->m, false);
	td_mig_dest_create(&self->d, &self->m);
	mem = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_MEM);

	b = &self->m.bundles[mem];
	entry = b->gpa_list[1];
	b->gpa_list[1] = td_gpa_entry(td_worker_gpa(1), TDX_MIG_GPA_OP_CANCEL);
	TD_EXPECT_ERRNO(ENOENT, __td_mig_import(self->d.streams, b, NULL));
	b->gpa_list[1] = td_gpa_entry(td_worker_gpa(1), TDX_MIG_GPA_OP_REMIGRATE);
	TD_EXPECT_ERRNO(ENOENT, __td_mig_import(self->d.streams, b, NULL));
	b->gpa_list[1] = entry;
	td_mig_import(&self->d, &self->m, mem, mem);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(self->d.streams, b, NULL));

	td_mig_import_rest(&self->d, &self->m, mem + 1);
	td_worker_run(&self->w, self->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

/* As a page that a vCPU has written; the next migration may begin any time. */
TD_TEST_F(td_worker, imported_pages_are_mapped_and_dirty)
{
	unsigned long bitmap[TD_WORKER_BITMAP_WORDS];
	struct kvm_userspace_memory_region2 region;
	struct kvm_clear_dirty_log log = {
		.dirty_bitmap = bitmap,
		.slot = TD_WORKER_SLOT,
		.num_pages = TD_WORKER_NR_PAGES,
	};
	struct kvm_dirty_log get = { .slot = TD_WORKER_SLOT, .dirty_bitmap = bitmap };
	u64 page, nr_imported;

	begin(&self->w, &self->m);
	td_worker_export_rest(&self->m, false);
	td_mig_dest_create(&self->d, &self->m);

	vm_enable_cap(self->d.vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	region = memslot2region(self->m.src, TD_WORKER_SLOT)->region;
	region.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES;
	region.guest_memfd = dest_gmem(&self->d, &self->m);
	vm_ioctl(self->d.vm, KVM_SET_USER_MEMORY_REGION2, &region);
	memset(bitmap, 0xff, sizeof(bitmap));
	vm_ioctl(self->d.vm, KVM_CLEAR_DIRTY_LOG, &log);

	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);
	vm_ioctl(self->d.vm, KVM_GET_DIRTY_LOG, &get);
	for (page = 0; page < TD_WORKER_NR_PAGES; page++)
		TEST_ASSERT(test_bit(page, bitmap) == (page < TD_WORKER_NR_OLD),
			    "Page %lu is %sdirty", page, page < TD_WORKER_NR_OLD ? "not " : "");
	/* One of them came twice. */
	nr_imported = vm_get_stat(self->d.vm, tdx_mig_imported_pages);
	TEST_ASSERT_EQ(vm_get_stat(self->d.vm, pages_4k), nr_imported - 1);
	td_mig_import_end(&self->d);
	td_worker_run(&self->w, self->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

/* Pages that were imported have their content, and must not be cleared when found again. */
TD_TEST_F(td_worker, imported_pages_keep_their_content_when_they_are_mapped_once_more)
{
	begin(&self->w, &self->m);
	td_worker_export_rest(&self->m, false);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_import_rest(&self->d, &self->m, 0);
	td_pre_fault(self->d.vcpus[0], TD_WORKER_GPA, TD_WORKER_NR_OLD * PAGE_SIZE);
	td_worker_run(&self->w, self->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
