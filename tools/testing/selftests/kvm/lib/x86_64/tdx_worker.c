// SPDX-License-Identifier: GPL-2.0-only
/*
 * TDs in KVM selftests: a TD that does what the host tells it, and knows what has
 * to be in its memory.
 */
#include <linux/bitmap.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_worker.h"

/* -------------------------------------------------------------------- guest */

/* Written by the host before the launch. */
struct worker_guest {
	struct td_worker_shared *shared;
	u64 nr_vcpus;
	gva_t aliases[TD_WORKER_NR_ALIASES];
};

enum page_state {
	PAGE_UNKNOWN,
	PAGE_PRIVATE,
	PAGE_SHARED,
};

struct worker_page {
	enum page_state state;
	u64 version;
};

/* Private memory of the TD, too. */
static struct worker_guest guest;
static struct worker_page pages[TD_WORKER_NR_PAGES];

static u64 pattern(u64 page, u64 i)
{
	return (page << 48 | pages[page].version << 16 | i) * 0x9e3779b97f4a7c15UL;
}

static u64 *page_words(u64 page)
{
	if (pages[page].state == PAGE_SHARED)
		return (u64 *)guest.aliases[page];
	return (u64 *)td_worker_gpa(page);
}

static void write_page(u64 page)
{
	u64 i, *words = page_words(page);

	pages[page].version++;
	for (i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		WRITE_ONCE(words[i], pattern(page, i));
}

static void check_page(u64 page)
{
	u64 i, *words = page_words(page);

	for (i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		__GUEST_ASSERT(READ_ONCE(words[i]) == pattern(page, i),
			       "Page %lu, version %lu, word %lu: %lx", page,
			       pages[page].version, i, words[i]);
}

static void accept_page(u64 page)
{
	td_accept_pages(td_worker_gpa(page), 1);
	pages[page].state = PAGE_PRIVATE;
}

static void share_page(u64 page)
{
	td_map_gpa(td_worker_gpa(page) | TD_SHARED_BIT, PAGE_SIZE);
	pages[page].state = PAGE_SHARED;
}

static void unshare_page(u64 page)
{
	td_map_gpa(td_worker_gpa(page), PAGE_SIZE);
	accept_page(page);
}

static void do_page(u64 op, u64 page)
{
	switch (op) {
	case TD_WORKER_ACCEPT:
		accept_page(page);
		break;
	case TD_WORKER_SHARE:
		share_page(page);
		break;
	case TD_WORKER_UNSHARE:
		unshare_page(page);
		break;
	case TD_WORKER_FORGET:
		pages[page].state = PAGE_UNKNOWN;
		return;
	}
	write_page(page);
}

static void convert_and_back(u64 page)
{
	share_page(page);
	write_page(page);
	check_page(page);
	unshare_page(page);
	write_page(page);
}

/* Page sizes with and without reserved bits, most often 4 KiB. */
static void accept_anything(u64 *seed, gpa_t gpa)
{
	const u64 r = td_random(seed);

	if (!tdg_mem_page_accept(gpa, r & 1 ? r >> 1 & GENMASK(11, 0) : 0))
		WRITE_ONCE(*(u64 *)gpa, r);
}

/* To shared memory and back, in pieces of all sizes. */
static void map_anything(u64 *seed, gpa_t gpa)
{
	const u64 r = td_random(seed);
	u64 size = (1 + (r >> 8) % TD_WORKER_NR_ALIASES) * PAGE_SIZE;

	if (!(r & GENMASK(2, 0)))
		size = td_random(seed);
	if (!(r & GENMASK(5, 3)))
		gpa = td_random(seed);
	if (r & BIT(6))
		gpa ^= TD_SHARED_BIT;
	tdvmcall_map_gpa(gpa, size, NULL);
}

static void call_anything(u64 *seed)
{
	static const u64 functions[] = {
		TDVMCALL_CPUID, TDVMCALL_IO, TDVMCALL_RDMSR, TDVMCALL_WRMSR, TDVMCALL_MMIO,
		TDVMCALL_GET_TD_VM_CALL_INFO, TDVMCALL_GET_QUOTE, TDVMCALL_SETUP_EVENT_NOTIFY,
	};
	const u64 r = td_random(seed);
	u64 function = functions[r % ARRAY_SIZE(functions)];
	struct tdcall_regs regs = {
		.r12 = td_random(seed),
		.r13 = td_random(seed),
		.r14 = td_random(seed),
		.r15 = td_random(seed),
	};

	if (!(r & GENMASK(11, 8)))
		function = td_random(seed);
	/* A size that there is, but for some. */
	if ((function == TDVMCALL_IO || function == TDVMCALL_MMIO) && r & GENMASK(14, 12)) {
		regs.r12 = BIT(r >> 16 & 3);
		regs.r13 &= 1;
		regs.r14 = function == TDVMCALL_IO ? (u16)regs.r14 :
						     (u32)regs.r14 | TD_SHARED_BIT;
	}
	/* Those that KVM knows could send interrupts, or have the host write to memory. */
	if (function == TDVMCALL_WRMSR)
		regs.r12 = (u32)regs.r12 | BIT(31);
	/* This is where the host finds what the guest has to say. */
	if (function == TDVMCALL_MMIO && (u32)regs.r14 >> PAGE_SHIFT == TD_UCALL_GPA >> PAGE_SHIFT)
		return;
	/* The guest would sleep, or be dead. */
	if (function == TDVMCALL_HLT || function == TDVMCALL_REPORT_FATAL_ERROR)
		return;
	tdvmcall(function, &regs);
}

/* Leaves of the TDX module that do not write to memory or registers of the guest. */
static void ask_anything(u64 *seed)
{
	static const u8 leaves[] = {
		TDG_VP_INFO, TDG_VP_VEINFO_GET, TDG_VM_RD, TDG_SERVTD_RD, TDG_SERVTD_WR,
	};
	const u64 r = td_random(seed);
	struct tdcall_regs regs = {
		.rcx = td_random(seed),
		.rdx = td_random(seed),
		.r8 = td_random(seed),
		.r9 = td_random(seed),
		.r10 = td_random(seed),
	};

	tdcall(leaves[r % ARRAY_SIZE(leaves)], &regs);
}

static void tell_lie(u64 *seed, u64 first, u64 nr)
{
	const u64 r = td_random(seed);
	const gpa_t gpa = td_worker_gpa(first + (r >> 32) % nr);

	switch (r % 4) {
	case 0:
		accept_anything(seed, gpa);
		break;
	case 1:
		map_anything(seed, gpa);
		break;
	case 2:
		call_anything(seed);
		break;
	default:
		ask_anything(seed);
		break;
	}
}

static void do_storm(u64 index, u64 op, u64 first, u64 nr)
{
	u64 seed = READ_ONCE(guest.shared->seed);
	u64 page, round;

	for (round = 0; !READ_ONCE(guest.shared->stop); round++) {
		switch (op) {
		case TD_WORKER_WRITE_STORM:
			for (page = first; page < first + nr; page++)
				write_page(page);
			break;
		case TD_WORKER_CONVERT_STORM:
			convert_and_back(first + round % nr);
			break;
		case TD_WORKER_ACCEPT_STORM:
			/* Whatever comes of it: the host may take the page any time. */
			tdg_mem_page_accept(td_worker_gpa(first + round % nr), 0);
			break;
		case TD_WORKER_CALL_STORM:
			for (page = first; page < first + nr; page++)
				write_page(page);
			GUEST_PRINTF("%s", "");
			break;
		case TD_WORKER_LIE_STORM:
			tell_lie(&seed, first, nr);
			break;
		}
		WRITE_ONCE(guest.shared->vcpu[index].progress,
			   guest.shared->vcpu[index].progress + 1);
	}
}

static void worker_code(u64 index)
{
	u64 op, first, nr, page;

	for (page = index; page < TD_WORKER_NR_OLD; page += guest.nr_vcpus)
		do_page(TD_WORKER_ACCEPT, page);

	for (op = TD_WORKER_NONE;;) {
		GUEST_SYNC(op);
		op = READ_ONCE(guest.shared->vcpu[index].op);
		first = READ_ONCE(guest.shared->vcpu[index].first);
		nr = READ_ONCE(guest.shared->vcpu[index].nr);

		if (op == TD_WORKER_CHECK) {
			for (page = 0; page < TD_WORKER_NR_PAGES; page++) {
				if (pages[page].state != PAGE_UNKNOWN)
					check_page(page);
			}
		} else if (op >= TD_WORKER_WRITE_STORM) {
			do_storm(index, op, first, nr);
		} else {
			for (page = first; page < first + nr; page++)
				do_page(op, page);
		}
	}
}

/* --------------------------------------------------------------------- host */

void td_worker_create(struct td_worker *w, int nr_vcpus)
{
	struct worker_guest g = { .nr_vcpus = nr_vcpus };
	gva_t gva;
	int i;

	*w = (struct td_worker) { .nr_vcpus = nr_vcpus, .nr_streams = 1 };
	w->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, nr_vcpus,
			    TD_WORKER_NR_PAGES + TD_WORKER_NR_ALIASES, worker_code, w->vcpus);
	vm_enable_cap(w->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(w->vm, TD_WORKER_SLOT, TD_WORKER_GPA, TD_WORKER_NR_PAGES);

	gva = vm_alloc_shared(w->vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	w->shared = addr_gva2hva(w->vm, gva);
	g.shared = (struct td_worker_shared *)gva;
	for (i = 0; i < TD_WORKER_NR_ALIASES; i++)
		g.aliases[i] = td_map_shared_alias(w->vm, td_worker_gpa(i));
	write_guest_global(w->vm, guest, g);

	for (i = 0; i < nr_vcpus; i++)
		td_vcpu_set_arg(w->vcpus[i], i);
	td_launch(w->vm);
	for (i = 0; i < nr_vcpus; i++)
		td_vcpu_run_to_sync(w->vcpus[i], TD_WORKER_NONE);
}

void td_worker_free(struct td_worker *w)
{
	kvm_vm_free(w->vm);
	*w = (struct td_worker) {};
}

void td_worker_run(struct td_worker *w, struct kvm_vcpu *vcpu, int index,
		   enum td_worker_op op, u64 first, u64 nr)
{
	u64 page;

	w->shared->vcpu[index].op = op;
	w->shared->vcpu[index].first = first;
	w->shared->vcpu[index].nr = nr;
	td_vcpu_run_to_sync(vcpu, op);

	for (page = first; page < first + nr; page++) {
		if (op == TD_WORKER_SHARE)
			w->is_shared[page] = true;
		if (op == TD_WORKER_UNSHARE)
			w->is_shared[page] = false;
	}
}

void td_worker_do(struct td_worker *w, enum td_worker_op op, u64 first, u64 nr)
{
	td_worker_run(w, w->vcpus[0], 0, op, first, nr);
}

void td_worker_check(struct td_worker *w)
{
	td_worker_do(w, TD_WORKER_CHECK, 0, 0);
}

static void *worker_thread(void *arg)
{
	struct td_worker_thread *t = arg;

	td_worker_run(t->w, t->w->vcpus[t->index], t->index, t->op, t->first, t->nr);
	return NULL;
}

void td_worker_start(struct td_worker_thread *t, struct td_worker *w, int index,
		     enum td_worker_op op, u64 first, u64 nr)
{
	*t = (struct td_worker_thread) {
		.w = w,
		.index = index,
		.op = op,
		.first = first,
		.nr = nr,
	};
	kvm_pthread_create(&t->thread, NULL, worker_thread, t);
}

void td_worker_wait(struct td_worker_thread *t, u64 nr)
{
	const u64 *progress = &t->w->shared->vcpu[t->index].progress;
	u64 start = READ_ONCE(*progress);

	while (READ_ONCE(*progress) - start < nr)
		usleep(100);
}

void td_worker_stop(struct td_worker_thread *threads, int nr)
{
	struct td_worker_shared *shared = threads[0].w->shared;
	int i;

	WRITE_ONCE(shared->stop, 1);
	for (i = 0; i < nr; i++)
		kvm_pthread_join(threads[i].thread, NULL);
	WRITE_ONCE(shared->stop, 0);
}

/* --------------------------------------------------------------- dirty log */

int __td_worker_log(struct td_worker *w, bool enable)
{
	struct kvm_userspace_memory_region2 region =
		memslot2region(w->vm, TD_WORKER_SLOT)->region;

	region.flags = KVM_MEM_GUEST_MEMFD | (enable ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	return __vm_ioctl(w->vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

void td_worker_log(struct td_worker *w, bool enable)
{
	int ret = __td_worker_log(w, enable);

	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_SET_USER_MEMORY_REGION2, ret));
}

bool td_worker_is_dirty(struct td_worker *w, u64 page)
{
	unsigned long bitmap[TD_WORKER_BITMAP_WORDS];

	kvm_vm_get_dirty_log(w->vm, TD_WORKER_SLOT, bitmap);
	return test_bit(page, bitmap);
}

int __td_worker_clear_log(struct td_worker *w, u64 first, u64 nr)
{
	unsigned long bitmap[TD_WORKER_BITMAP_WORDS] = {};
	struct kvm_clear_dirty_log log = {
		.dirty_bitmap = bitmap,
		.slot = TD_WORKER_SLOT,
		.num_pages = TD_WORKER_NR_PAGES,
	};
	u64 page;

	for (page = first; page < first + nr; page++)
		__set_bit(page, bitmap);
	return __vm_ioctl(w->vm, KVM_CLEAR_DIRTY_LOG, &log);
}

void td_worker_clear_log(struct td_worker *w, u64 first, u64 nr)
{
	int ret = __td_worker_clear_log(w, first, nr);

	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_CLEAR_DIRTY_LOG, ret));
}

/* ---------------------------------------------------------------- sessions */

void td_worker_begin(struct td_worker *w, struct td_mig *m, int nr_streams)
{
	td_mig_init(m, w->vm, w->vcpus, w->nr_vcpus, nr_streams);
	td_worker_log(w, true);
	td_mig_export_immutable(m);
}

int __td_worker_export(struct td_mig *m, unsigned int op, u64 first, u64 nr, u64 *entry)
{
	struct td_mig_bundle *b = td_mig_next_bundle(m);
	u64 list[TD_WORKER_NR_PAGES];
	int i, ret;

	for (i = 0; i < nr; i++)
		list[i] = td_gpa_entry(td_worker_gpa(first + i), op);

	ret = __td_mig_export_mem(&m->streams[0], list, nr, b, NULL);
	if (ret)
		m->nr_bundles--;
	else if (entry)
		*entry = b->gpa_list[nr - 1];
	return ret;
}

u64 td_worker_export(struct td_mig *m, unsigned int op, u64 first, u64 nr)
{
	u64 entry;
	int ret = __td_worker_export(m, op, first, nr, &entry);

	TEST_ASSERT(!ret, "Export of memory failed, errno %d (%s)", errno, strerror(errno));
	return entry;
}

void td_worker_precopy(struct td_worker *w, struct td_mig *m, u64 first, u64 nr)
{
	struct td_mig_bundle *b;
	u64 i;

	td_worker_clear_log(w, first, nr);
	td_worker_export(m, TDX_MIG_GPA_OP_MIGRATE, first, nr);
	b = &m->bundles[m->nr_bundles - 1];
	for (i = 0; i < nr; i++)
		TEST_ASSERT(td_gpa_entry_op(b->gpa_list[i]), "Page %lu: entry 0x%lx",
			    first + i, b->gpa_list[i]);
	td_mig_export_track(m);
}

void td_worker_begin_mixed(struct td_worker *w, struct td_mig *m, int nr_streams)
{
	td_worker_begin(w, m, nr_streams);
	td_worker_precopy(w, m, TD_PAGE_SENT, TD_PAGE_NR_STATES - TD_PAGE_SENT);
	td_worker_do(w, TD_WORKER_WRITE, TD_PAGE_DIRTY, TD_PAGE_NR_STATES - TD_PAGE_DIRTY);
	td_worker_clear_log(w, TD_PAGE_BLOCKED, 1);
	td_worker_clear_log(w, TD_PAGE_DIRTY_BLOCKED, 1);
}

void td_worker_get_back(struct td_worker *w, u64 page)
{
	td_worker_do(w, TD_WORKER_FORGET, page, 1);
	td_worker_do(w, TD_WORKER_ACCEPT, page, 1);
	td_worker_check(w);
}

void td_worker_cancel(struct td_mig *m, u64 first, u64 nr)
{
	u64 entry = td_worker_export(m, TDX_MIG_GPA_OP_CANCEL, first, nr);

	TEST_ASSERT_EQ(td_gpa_entry_op(entry), TDX_MIG_GPA_OP_CANCEL);
	TEST_ASSERT_EQ(td_gpa_entry_status(entry), TDX_MIG_GPA_STATUS_SUCCESS);
}

void td_worker_export_rest(struct td_mig *m, bool is_paused)
{
	if (!is_paused) {
		td_mig_export_track(m);
		td_mig_export_pause(m);
	}
	td_mig_export_rest(m);
}

void td_worker_import(struct td_worker *w, struct td_mig *m)
{
	struct td_mig_dest d;
	u64 page;

	td_mig_dest_create(&d, m);
	td_mig_import(&d, m, 0, m->nr_bundles - 1);
	/* Not before, as these pages may have been private when they were sent. */
	for (page = 0; page < TD_WORKER_NR_PAGES; page++) {
		if (w->is_shared[page])
			vm_mem_set_shared(d.vm, td_worker_gpa(page), PAGE_SIZE);
	}
	td_mig_import_end(&d);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	td_mig_dest_free(&d);
}

void td_worker_finish(struct td_worker *w, struct td_mig *m)
{
	td_worker_export_rest(m, false);
	td_worker_import(w, m);
}

void td_worker_migrate(struct td_worker *w, int nr_streams)
{
	struct td_mig m;

	td_worker_begin(w, &m, nr_streams);
	td_worker_precopy(w, &m, 0, TD_WORKER_NR_ALIASES);
	td_worker_finish(w, &m);
	td_mig_free(&m);
}
