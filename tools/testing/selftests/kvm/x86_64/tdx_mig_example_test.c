// SPDX-License-Identifier: GPL-2.0-only
/*
 * The example for authors of VMMs does what it says: a TD goes through a file.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_example.h"
#include "tdx_mig_postcopy.h"
#include "tdx_test.h"
#include "tdx_worker.h"

#define NR_VCPUS	2
#define MAX_RANGES	16

/* Both sides, with keys and streams, and a file between them. */
struct pair {
	struct td_worker *w;
	struct td_mig m;
	struct td_mig_dest d;
	int vcpu_fds[2][NR_VCPUS];
	struct tdx_example_range ranges[MAX_RANGES];
	int nr_ranges;
	struct tdx_example src, dst;
	int fd;
};

static void pair_init_side(struct pair *p, struct tdx_example *x, int *vcpu_fds,
			   struct kvm_vm *vm, struct kvm_vcpu *vcpus[])
{
	int i;

	for (i = 0; i < NR_VCPUS; i++)
		vcpu_fds[i] = vcpus[i]->fd;

	*x = (struct tdx_example) {
		.vm_fd = vm->fd,
		.vcpu_fds = vcpu_fds,
		.nr_vcpus = NR_VCPUS,
		.ranges = p->ranges,
		.nr_ranges = p->nr_ranges,
	};
	TEST_ASSERT(!tdx_example_open(x), "No stream, errno %d", errno);
}

static void pair_init(struct pair *p, struct td_worker *w)
{
	struct userspace_mem_region *region;
	char path[] = "/tmp/td-XXXXXX";
	int ctr;

	*p = (struct pair) {
		.w = w,
		.m = { .src = w->vm, .nr_vcpus = NR_VCPUS },
		.fd = mkstemp(path),
	};
	TEST_ASSERT(p->fd >= 0, "mkstemp() failed, errno %d", errno);
	unlink(path);
	memcpy(p->m.src_vcpus, w->vcpus, NR_VCPUS * sizeof(*w->vcpus));
	td_mig_exchange_keys(&p->m);
	td_mig_dest_create(&p->d, &p->m);

	hash_for_each(w->vm->regions.slot_hash, ctr, region, slot_node) {
		TEST_ASSERT(p->nr_ranges < MAX_RANGES, "Too many slots");
		p->ranges[p->nr_ranges++] = (struct tdx_example_range) {
			.gpa = region->region.guest_phys_addr,
			.size = region->region.memory_size,
		};
	}
	pair_init_side(p, &p->src, p->vcpu_fds[0], w->vm, w->vcpus);
	pair_init_side(p, &p->dst, p->vcpu_fds[1], p->d.vm, p->d.vcpus);
}

static void pair_free(struct pair *p)
{
	tdx_example_close(&p->src);
	tdx_example_close(&p->dst);
	td_mig_dest_free(&p->d);
	td_mig_free(&p->m);
	close(p->fd);
}

static void pair_save(struct pair *p)
{
	int ret = tdx_example_save(&p->src, p->fd);

	TEST_ASSERT(!ret, "The TD can't be saved, errno %d (%s)", errno, strerror(errno));
	lseek(p->fd, 0, SEEK_SET);
}

/* The TD is complete, and runs, on the destination. */
static void pair_load(struct pair *p)
{
	u8 token[TDX_MIG_MBMD_SIZE];
	int ret = tdx_example_load(&p->dst, p->fd, token);

	TEST_ASSERT(!ret, "The TD can't be loaded, errno %d (%s)", errno, strerror(errno));
	td_worker_run(p->w, p->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	td_worker_run(p->w, p->d.vcpus[1], 1, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	td_worker_run(p->w, p->d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
}

static void pair_migrate(struct td_worker *w)
{
	struct pair p;

	pair_init(&p, w);
	pair_save(&p);
	pair_load(&p);
	pair_free(&p);
}

TD_TEST(td_that_was_saved_to_a_file_goes_on_where_it_is_loaded)
{
	struct td_worker w;

	td_worker_create(&w, NR_VCPUS);
	pair_migrate(&w);
	td_worker_free(&w);
}

TD_TEST(source_goes_on_if_the_file_cannot_be_written)
{
	struct td_worker w;
	struct pair p;
	int ret, fd;

	td_worker_create(&w, NR_VCPUS);
	pair_init(&p, &w);
	fd = open("/dev/null", O_RDONLY);
	ret = tdx_example_save(&p.src, fd);
	TEST_ASSERT(ret == -1 && errno == EBADF, "Save returned %d, errno %d", ret, errno);
	close(fd);
	TEST_ASSERT(!tdx_example_abort(&p.src, NULL), "No abort, errno %d", errno);
	td_worker_check(&w);
	pair_free(&p);

	pair_migrate(&w);
	td_worker_free(&w);
}

TD_TEST(source_goes_on_if_the_file_is_cut_short)
{
	u8 token[TDX_MIG_MBMD_SIZE];
	struct td_worker w;
	struct pair p;
	off_t size;
	int ret;

	td_worker_create(&w, NR_VCPUS);
	pair_init(&p, &w);
	pair_save(&p);
	size = lseek(p.fd, 0, SEEK_END);
	TEST_ASSERT(!ftruncate(p.fd, size - 1), "errno %d", errno);
	lseek(p.fd, 0, SEEK_SET);
	ret = tdx_example_load(&p.dst, p.fd, token);
	TEST_ASSERT(ret == -1 && errno == EPIPE, "Load returned %d, errno %d", ret, errno);
	TEST_ASSERT(!tdx_example_abort(&p.src, token), "No abort, errno %d", errno);
	td_worker_check(&w);
	pair_free(&p);

	pair_migrate(&w);
	td_worker_free(&w);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
