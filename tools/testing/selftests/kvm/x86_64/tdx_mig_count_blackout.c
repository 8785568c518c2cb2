// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the blackout of a migration is in the kernel, without the TDX module, in
 * system calls, SEAMCALLs and instructions, see tdx_count.h: by vCPUs, dirty pages and
 * streams.  It has to be what the formula of
 * Documentation/virt/kvm/tdx-migration-cost.rst says.
 */
#include <sys/sysinfo.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_blackout.h"
#include "tdx_mig_util.h"

#define MEM_SLOT	TD_SLOT_UNACCEPTED
#define MEM_GPA		BIT_ULL(30)
#define SMALL_BATCH	64UL

/* ------------------------------------------------------------------- the TD */

/* How many of its first pages the guest has to write to. */
struct order {
	u64 count;
};

static struct order *order;
static u64 nr_guest_pages;

static void guest_code(u64 index)
{
	u64 i, value = 0;

	if (!index)
		td_accept_pages(MEM_GPA, nr_guest_pages);
	for (;;) {
		GUEST_SYNC(0);
		value++;
		for (i = 0; !index && i < order->count; i++)
			WRITE_ONCE(*(u64 *)(MEM_GPA + i * PAGE_SIZE), value);
	}
}

struct test {
	struct td_count_mig t;
	u64 nr_pages;
	struct order *order;
};

static void enable_log(struct kvm_vm *vm)
{
	struct kvm_userspace_memory_region2 region = memslot2region(vm, MEM_SLOT)->region;

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static void create_td(struct test *t, int nr_vcpus, int nr_streams, u64 nr_pages)
{
	gva_t gva;
	int i;

	*t = (struct test) {
		.t = { .nr_vcpus = nr_vcpus, .nr_streams = nr_streams },
		.nr_pages = nr_pages,
	};
	t->t.vm = __td_create(TDX_TD_ATTR_MIGRATABLE, nr_vcpus, nr_pages, guest_code, t->t.vcpus);
	td_add_unaccepted_memory(t->t.vm, MEM_SLOT, MEM_GPA, nr_pages);
	gva = vm_alloc_shared(t->t.vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);
	write_guest_global(t->t.vm, order, (struct order *)gva);
	write_guest_global(t->t.vm, nr_guest_pages, nr_pages);
	t->order = addr_gva2hva(t->t.vm, gva);
	for (i = 0; i < nr_vcpus; i++)
		td_vcpu_set_arg(t->t.vcpus[i], i);
	td_launch(t->t.vm);
	for (i = 0; i < nr_vcpus; i++)
		td_vcpu_run_to_sync(t->t.vcpus[i], 0);
	enable_log(t->t.vm);
}

static void begin_session(struct test *t)
{
	td_mig_init(&t->t.m, t->t.vm, t->t.vcpus, t->t.nr_vcpus, t->t.nr_streams);
	td_mig_dest_create(&t->t.d, &t->t.m);
	td_mig_export_immutable(&t->t.m);
	td_mig_import(&t->t.d, &t->t.m, 0, 0);
}

static void clear_log(struct test *t, u64 nr)
{
	unsigned long *bitmap = calloc(BITS_TO_LONGS(t->nr_pages), sizeof(*bitmap));

	TEST_ASSERT(bitmap, "Insufficient Memory");
	memset(bitmap, 0xff, nr / 8);
	kvm_vm_clear_dirty_log(t->t.vm, MEM_SLOT, bitmap, 0, t->nr_pages);
	free(bitmap);
}

/* ---------------------------------------------------------------- blackouts */

/* Send all pages, let the guest write to them and migrate it, or have it come back. */
static void migrate(struct test *t, bool return_it, struct td_blackout b[TD_NR_SIDES])
{
	struct td_blackout unused[TD_NR_SIDES] = {};

	begin_session(t);
	clear_log(t, t->nr_pages);
	td_blackout_pages(&t->t, MEM_GPA, t->nr_pages, unused);
	t->order->count = t->nr_pages;
	td_vcpu_run_to_sync(t->t.vcpus[0], 0);

	td_blackout(&t->t, MEM_GPA, t->nr_pages, b);
	if (return_it)
		td_mig_return(&t->t.m, &t->t.d);
	else
		td_blackout_commit(&t->t, b);
	td_mig_free(&t->t.m);
	td_mig_dest_free(&t->t.d);
}

static void measure(int nr_vcpus, u64 nr_pages, int nr_streams, struct td_blackout b[TD_NR_SIDES])
{
	struct td_blackout others[TD_COUNT_RETURNS][TD_NR_SIDES] = {};
	struct test t;
	int i, side;

	create_td(&t, nr_vcpus, nr_streams, nr_pages);
	for (i = 0; i < TD_COUNT_RETURNS; i++) {
		migrate(&t, true, others[i]);
		td_blackout_shift(i);
	}
	migrate(&t, false, b);
	kvm_vm_free(t.t.vm);

	for (i = 0; i < TD_COUNT_RETURNS; i++) {
		for (side = 0; side < TD_NR_SIDES; side++)
			td_blackout_take_least(&b[side], &others[i][side]);
	}
}

/* ------------------------------------------------------------------ formula */

/*
 * The length of a blackout: what the TD takes, what each vCPU adds to that, as commands
 * have to stop it, and what each stream takes for its vCPUs, its bundles of memory and the
 * pages in them.
 */
struct formula {
	double td;
	double stop;
	double vcpu;
	double bundle;
	double page;
	/* Of the TD, and of each vCPU; a bundle of memory takes one of each. */
	u64 ioctls_td, ioctls_vcpu;
	u64 seamcalls_td, seamcalls_vcpu;
};

static u64 sum_ioctls(const struct td_blackout *b, enum td_blackout_kind kind)
{
	u64 nr = 0;
	int i;

	for (i = 0; i < b->nr; i++)
		nr += b->cmds[i].kind == kind;
	return nr;
}

static u64 sum_seamcalls(const struct td_blackout *b, enum td_blackout_kind kind)
{
	u64 nr = 0;
	int i;

	for (i = 0; i < b->nr; i++)
		nr += b->cmds[i].kind == kind ? b->cmds[i].count.seamcalls : 0;
	return nr;
}

#define FEW_VCPUS	1
#define MANY_VCPUS	4

/* From a TD with one vCPU and a full bundle, and another with four and a small one. */
static struct formula find_formula(const struct td_blackout *few, const struct td_blackout *many)
{
	struct formula f = {};
	double full, small;

	f.stop = ((double)td_blackout_sum(many, TD_BY_TD) - td_blackout_sum(few, TD_BY_TD)) /
		 (MANY_VCPUS - FEW_VCPUS);
	f.td = td_blackout_sum(few, TD_BY_TD) - FEW_VCPUS * f.stop;
	f.vcpu = (double)td_blackout_sum(many, TD_BY_VCPU) / MANY_VCPUS;
	full = td_blackout_sum(few, TD_BY_PAGE);
	small = td_blackout_sum(many, TD_BY_PAGE);
	f.page = (full - small) / (TD_COUNT_BATCH - SMALL_BATCH);
	f.bundle = small - SMALL_BATCH * f.page;

	f.ioctls_td = sum_ioctls(few, TD_BY_TD);
	f.ioctls_vcpu = sum_ioctls(few, TD_BY_VCPU);
	f.seamcalls_td = sum_seamcalls(few, TD_BY_TD);
	f.seamcalls_vcpu = sum_seamcalls(few, TD_BY_VCPU);
	return f;
}

struct point {
	int nr_vcpus;
	u64 nr_pages;
	int nr_streams;
};

static const struct point points[] = {
	{ 1, 320, 1 },
	{ 2, 2048, 2 },
	{ 8, 4096, 4 },
};

static u64 nr_bundles(const struct point *p)
{
	return DIV_ROUND_UP(p->nr_pages, TD_COUNT_BATCH);
}

static double predict(const struct formula *f, const struct point *p)
{
	/* The first stream has the most of all. */
	u64 vcpus = DIV_ROUND_UP(p->nr_vcpus, p->nr_streams);
	u64 bundles = DIV_ROUND_UP(nr_bundles(p), p->nr_streams);
	u64 pages = min(bundles * TD_COUNT_BATCH, p->nr_pages);

	return f->td + p->nr_vcpus * f->stop + vcpus * f->vcpu + bundles * f->bundle +
	       pages * f->page;
}

/* Predictions follow, beside what was counted. */
static void print_point(int side, const struct point *p)
{
	printf("blackout, %-11s %d vCPUs, %4lu pages, %d streams: ", td_side_names[side],
	       p->nr_vcpus, p->nr_pages, p->nr_streams);
}

static void check_calls(int side, const struct formula *f, const struct point *p,
			const struct td_blackout *b)
{
	u64 ioctls = f->ioctls_td + p->nr_vcpus * f->ioctls_vcpu + nr_bundles(p);
	u64 seamcalls = f->seamcalls_td + p->nr_vcpus * f->seamcalls_vcpu + nr_bundles(p);
	u64 is_ioctls = b->nr, is_seamcalls = 0;
	int i;

	for (i = TD_BY_TD; i <= TD_BY_PAGE; i++)
		is_seamcalls += sum_seamcalls(b, i);
	print_point(side, p);
	printf("%lu ioctls, predicted %lu; %lu SEAMCALLs, predicted %lu\n", is_ioctls, ioctls,
	       is_seamcalls, seamcalls);
	TEST_ASSERT(is_ioctls == ioctls && is_seamcalls == seamcalls, "The formula is wrong");
}

static void check_length(int side, const struct formula *f, const struct point *p,
			 const struct td_blackout *b)
{
	double is = td_blackout_length(b, p->nr_streams), predicted = predict(f, p);
	char what[80];

	print_point(side, p);
	printf("%.0f instructions, predicted %.0f, %+.1f %%\n", is, predicted,
	       (predicted - is) * 100 / is);
	TEST_ASSERT(predicted > is * 0.97 && predicted < is * 1.03, "The formula is wrong");

	snprintf(what, sizeof(what), "blackout, %s, %d vCPUs, %d streams", td_side_names[side],
		 p->nr_vcpus, p->nr_streams);
	td_count_print_figure(what, p->nr_pages, is, 0);
}

static void print_formula(int side, const struct formula *f)
{
	const struct {
		const char *what;
		double nr;
	} rows[] = {
		{ "per TD", f->td },
		{ "per vCPU that is stopped", f->stop },
		{ "per vCPU of a stream", f->vcpu },
		{ "per bundle of a stream", f->bundle },
		{ "per page of a stream", f->page },
		{ "ioctls per TD", f->ioctls_td },
		{ "ioctls per vCPU", f->ioctls_vcpu },
		{ "SEAMCALLs per TD", f->seamcalls_td },
		{ "SEAMCALLs per vCPU", f->seamcalls_vcpu },
	};
	char what[80];
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(what, sizeof(what), "blackout, %s, %s", td_side_names[side], rows[i].what);
		td_count_print_figure(what, 1, rows[i].nr, 0);
	}
}

/* The commands one by one, but for those of memory, which other programs count. */
static void print_commands(const struct td_blackout b[TD_NR_SIDES])
{
	const struct td_blackout_cmd *cmd;
	int side, i;

	for (side = 0; side < TD_NR_SIDES; side++) {
		for (i = 0; i < b[side].nr; i++) {
			cmd = &b[side].cmds[i];
			if (cmd->kind != TD_BY_PAGE)
				td_count_print(cmd->what, 1, &cmd->count, 0);
		}
	}
	td_count_print("IMPORT_END", 1, &b[TD_DESTINATION].end, 0);
}

/* Without @instructions, the calls alone, which are the same on any machine. */
static void count_blackouts(bool instructions)
{
	struct td_blackout few[TD_NR_SIDES] = {}, many[TD_NR_SIDES] = {};
	struct formula f[TD_NR_SIDES];
	int i, side;

	measure(FEW_VCPUS, TD_COUNT_BATCH, 1, few);
	measure(MANY_VCPUS, SMALL_BATCH, 1, many);
	if (instructions)
		print_commands(few);
	for (side = 0; side < TD_NR_SIDES; side++) {
		f[side] = find_formula(&few[side], &many[side]);
		if (instructions)
			print_formula(side, &f[side]);
	}

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		struct td_blackout b[TD_NR_SIDES] = {};

		measure(points[i].nr_vcpus, points[i].nr_pages, points[i].nr_streams, b);
		for (side = 0; side < TD_NR_SIDES; side++) {
			check_calls(side, &f[side], &points[i], &b[side]);
			if (instructions)
				check_length(side, &f[side], &points[i], &b[side]);
		}
	}
}

int main(int argc, char *argv[])
{
	bool calls_only = argc > 1 && !strcmp(argv[1], "-c");

	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());

	/* A vCPU that moves to another CPU takes a SEAMCALL more. */
	pin_self_to_cpu(get_nprocs() - 1);
	if (!calls_only)
		td_count_init();
	td_sim_set_null_cipher(true);
	count_blackouts(!calls_only);
	td_sim_set_null_cipher(false);

	if (!calls_only)
		td_count_end(argc > 1 && !strcmp(argv[1], "-s"));
	return 0;
}
