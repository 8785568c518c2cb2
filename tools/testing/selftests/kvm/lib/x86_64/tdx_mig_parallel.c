// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests over several streams at once.
 */
#include <linux/bitmap.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_parallel.h"

/* -------------------------------------------------------------- a stream */

static void td_mig_pipe_put(struct td_mig_pipe *pipe, const struct td_mig_bundle *b)
{
	pthread_mutex_lock(&pipe->lock);
	while (pipe->nr_in - pipe->nr_out == TD_MIG_PIPE_LEN)
		pthread_cond_wait(&pipe->changed, &pipe->lock);
	pipe->bundles[pipe->nr_in++ % TD_MIG_PIPE_LEN] = *b;
	pthread_cond_broadcast(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
}

static void td_mig_pipe_close(struct td_mig_pipe *pipe)
{
	pthread_mutex_lock(&pipe->lock);
	pipe->closed = true;
	pthread_cond_broadcast(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
}

/* Returns false when no more bundles are to come. */
static bool td_mig_pipe_get(struct td_mig_pipe *pipe, struct td_mig_bundle *b)
{
	bool ret = true;

	pthread_mutex_lock(&pipe->lock);
	while (pipe->nr_in == pipe->nr_out && !pipe->closed)
		pthread_cond_wait(&pipe->changed, &pipe->lock);
	if (pipe->nr_in == pipe->nr_out)
		ret = false;
	else
		*b = pipe->bundles[pipe->nr_out++ % TD_MIG_PIPE_LEN];
	pthread_cond_broadcast(&pipe->changed);
	pthread_mutex_unlock(&pipe->lock);
	return ret;
}

static void td_mig_pipe_count(struct td_mig_pipe *pipe, const struct td_mig_bundle *b)
{
	u32 i;

	pipe->nr_bundles++;
	for (i = 0; i < b->nr; i++) {
		if (b->gpa_list[i] & TDX_MIG_GPA_ENTRY_OP_MASK)
			pipe->nr_exported++;
		else
			pipe->nr_refused++;
	}
}

static void *td_mig_exporter(void *arg)
{
	const u64 op = (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	struct td_mig_pipe *pipe = arg;
	struct td_mig_stream *s = &pipe->p->m->streams[pipe->stream];
	u64 gpa_list[TDX_MIG_BUF_LIST_PAGES_MAX];
	u64 done, hw_error, i, nr;
	struct td_mig_bundle b;
	int ret;

	for (done = 0; done < pipe->nr_gpas; done += nr) {
		nr = 1 + td_random(&pipe->random) % pipe->p->max_entries;
		nr = min(nr, pipe->nr_gpas - done);
		for (i = 0; i < nr; i++)
			gpa_list[i] = pipe->gpas[done + i] | op;

		ret = __td_mig_export_mem(s, gpa_list, nr, &b, &hw_error);
		TEST_ASSERT(!ret, "Export over stream %d, errno %d (%s), hw_error 0x%lx",
			    pipe->stream, errno, strerror(errno), hw_error);
		td_mig_pipe_count(pipe, &b);

		if (pipe->p->d)
			td_mig_pipe_put(pipe, &b);
		else
			td_mig_bundle_free(&b);
	}
	td_mig_pipe_close(pipe);
	return NULL;
}

static void *td_mig_importer(void *arg)
{
	struct td_mig_pipe *pipe = arg;
	struct td_mig_bundle b;
	u64 hw_error;
	int ret;

	while (td_mig_pipe_get(pipe, &b)) {
		ret = __td_mig_import(pipe->p->d->streams, &b, &hw_error);
		TEST_ASSERT(!ret, "Import over stream %d, errno %d (%s), hw_error 0x%lx",
			    pipe->stream, errno, strerror(errno), hw_error);
		td_mig_bundle_free(&b);
	}
	return NULL;
}

/* ----------------------------------------------------------- all streams */

void td_mig_parallel_init(struct td_mig_parallel *p, struct td_mig *m,
			  struct td_mig_dest *d, u64 seed)
{
	int i;

	TEST_ASSERT(seed, "0 is no seed");

	*p = (struct td_mig_parallel) {
		.m = m,
		.d = d,
		.random = seed,
		.max_entries = m->nr_entries,
	};
	for (i = 0; i < m->nr_streams; i++) {
		p->pipes[i].p = p;
		p->pipes[i].stream = i;
		p->pipes[i].random = td_random(&p->random);
		pthread_mutex_init(&p->pipes[i].lock, NULL);
		pthread_cond_init(&p->pipes[i].changed, NULL);
	}
}

static void td_mig_shuffle(struct td_mig_parallel *p, u64 *gpas, u64 nr)
{
	u64 i, j, gpa;

	for (i = nr; i > 1; i--) {
		j = td_random(&p->random) % i;
		gpa = gpas[j];
		gpas[j] = gpas[i - 1];
		gpas[i - 1] = gpa;
	}
}

/* Cut the list into one piece for each stream, at random places. */
static void td_mig_share_out(struct td_mig_parallel *p, u64 *gpas, u64 nr)
{
	int i, last = p->m->nr_streams - 1;

	td_mig_shuffle(p, gpas, nr);

	for (i = 0; i <= last; i++) {
		p->pipes[i].gpas = gpas;
		p->pipes[i].nr_gpas = i == last ? nr : td_random(&p->random) % (nr + 1);
		gpas += p->pipes[i].nr_gpas;
		nr -= p->pipes[i].nr_gpas;
	}
}

static u64 td_mig_nr_refused(struct td_mig_parallel *p)
{
	u64 ret = 0;
	int i;

	for (i = 0; i < p->m->nr_streams; i++)
		ret += p->pipes[i].nr_refused;
	return ret;
}

u64 td_mig_parallel_nr_exported(struct td_mig_parallel *p)
{
	u64 ret = 0;
	int i;

	for (i = 0; i < p->m->nr_streams; i++)
		ret += p->pipes[i].nr_exported;
	return ret;
}

u64 td_mig_parallel_send(struct td_mig_parallel *p, u64 *gpas, u64 nr)
{
	u64 nr_refused = td_mig_nr_refused(p);
	struct td_mig_pipe *pipe;
	int i;

	td_mig_share_out(p, gpas, nr);

	for (i = 0; i < p->m->nr_streams; i++) {
		pipe = &p->pipes[i];
		pipe->closed = false;
		if (p->d)
			kvm_pthread_create(&pipe->importer, NULL, td_mig_importer, pipe);
		kvm_pthread_create(&pipe->exporter, NULL, td_mig_exporter, pipe);
	}
	for (i = 0; i < p->m->nr_streams; i++) {
		kvm_pthread_join(p->pipes[i].exporter, NULL);
		if (p->d)
			kvm_pthread_join(p->pipes[i].importer, NULL);
	}
	return td_mig_nr_refused(p) - nr_refused;
}

/* ---------------------------------------------------------------- memory */

static bool td_mig_is_logged(struct userspace_mem_region *region)
{
	return region->region.flags & KVM_MEM_LOG_DIRTY_PAGES;
}

void td_mig_enable_log(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	int ctr;

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		if (sparsebit_any_set(region->protected_phy_pages))
			vm_mem_region_set_flags(vm, region->region.slot,
						KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES);
	}
}

struct td_mig_gpas {
	u64 *gpas;
	u64 nr;
};

/* Space for all private pages of @vm. */
static struct td_mig_gpas td_mig_alloc_gpas(struct kvm_vm *vm)
{
	struct userspace_mem_region *region;
	struct td_mig_gpas ret = {};
	u64 nr = 0;
	int ctr;

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node)
		nr += region->region.memory_size >> vm->page_shift;
	ret.gpas = calloc(nr, sizeof(*ret.gpas));
	TEST_ASSERT(ret.gpas, "Insufficient Memory");
	return ret;
}

/* Add the private pages of @region for which there is a bit in @bitmap, or all. */
static void td_mig_add_gpas(struct td_mig_gpas *g, struct kvm_vm *vm,
			    struct userspace_mem_region *region, unsigned long *bitmap)
{
	u64 base = region->region.guest_phys_addr >> vm->page_shift;
	sparsebit_idx_t first, last, pfn;

	if (!sparsebit_any_set(region->protected_phy_pages))
		return;

	sparsebit_for_each_set_range(region->protected_phy_pages, first, last) {
		for (pfn = first; pfn <= last; pfn++) {
			if (!bitmap || test_bit(pfn - base, bitmap))
				g->gpas[g->nr++] = pfn << vm->page_shift;
		}
	}
}

static void td_mig_add_dirty(struct td_mig_gpas *g, struct kvm_vm *vm,
			     struct userspace_mem_region *region)
{
	u64 nr = region->region.memory_size >> vm->page_shift;
	unsigned long *bitmap = bitmap_zalloc(nr);

	TEST_ASSERT(bitmap, "Insufficient Memory");
	kvm_vm_get_dirty_log(vm, region->region.slot, bitmap);
	kvm_vm_clear_dirty_log(vm, region->region.slot, bitmap, 0, nr);
	td_mig_add_gpas(g, vm, region, bitmap);
	free(bitmap);
}

static u64 td_mig_send(struct td_mig_parallel *p, bool all)
{
	struct kvm_vm *vm = p->m->src;
	struct td_mig_gpas g = td_mig_alloc_gpas(vm);
	struct userspace_mem_region *region;
	u64 ret;
	int ctr;

	hash_for_each(vm->regions.slot_hash, ctr, region, slot_node) {
		if (td_mig_is_logged(region))
			td_mig_add_dirty(&g, vm, region);
		else if (all)
			td_mig_add_gpas(&g, vm, region, NULL);
	}
	ret = td_mig_parallel_send(p, g.gpas, g.nr);
	free(g.gpas);
	return ret;
}

u64 td_mig_parallel_send_dirty(struct td_mig_parallel *p)
{
	return td_mig_send(p, false);
}

/* ------------------------------------------------------------- a session */

static void td_mig_import_last(struct td_mig_parallel *p, int first)
{
	if (p->d)
		td_mig_import(p->d, p->m, first, p->m->nr_bundles - 1);
}

void td_mig_parallel_begin(struct td_mig_parallel *p)
{
	int first = p->m->nr_bundles;

	td_mig_export_immutable(p->m);
	td_mig_import_last(p, first);
}

void td_mig_parallel_track(struct td_mig_parallel *p)
{
	struct td_mig_bundle b;
	u64 hw_error;
	int ret;

	ret = __td_mig_export_track(&p->m->streams[0], false, &b, &hw_error);
	TEST_ASSERT(!ret, "Export of an epoch token, errno %d (%s), hw_error 0x%lx",
		    errno, strerror(errno), hw_error);
	if (p->d) {
		ret = __td_mig_import(p->d->streams, &b, &hw_error);
		TEST_ASSERT(!ret, "Import of an epoch token, errno %d (%s), hw_error 0x%lx",
			    errno, strerror(errno), hw_error);
	}
	td_mig_bundle_free(&b);
}

u64 td_mig_parallel_round(struct td_mig_parallel *p)
{
	u64 nr_refused = td_mig_parallel_send_dirty(p);

	td_mig_parallel_track(p);
	return nr_refused;
}

void td_mig_parallel_end(struct td_mig_parallel *p)
{
	int first;

	/* What has been sent in this epoch and is dirty has to wait for the next. */
	td_mig_parallel_track(p);
	td_mig_export_pause(p->m);
	td_mig_send(p, true);

	first = p->m->nr_bundles;
	td_mig_export_td_and_vcpus(p->m);
	td_mig_import_last(p, first);

	first = p->m->nr_bundles;
	td_mig_export_start_token(p->m);
	td_mig_import_last(p, first);
	if (p->d)
		td_mig_import_end(p->d);
}
