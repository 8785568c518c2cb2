// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who watches a migration from outside, by the statistics of the VM or by
 * tracepoints, sees what the VMM did and what came of it.
 */
#include <glob.h>
#include <linux/bitmap.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* One page more than a word of a dirty bitmap. */
#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			0x40000000UL
#define MEM_PAGES		65UL
#define BITMAP_WORDS		2
#define HOT_PAGE		3UL
#define HOT_GPA			(MEM_GPA + HOT_PAGE * PAGE_SIZE)

#define NR_ENTRIES		64
#define INTERRUPT_EVERY		5

static void guest_code(void)
{
	u64 page;

	td_accept_pages(MEM_GPA, MEM_PAGES);
	for (page = 0; page < MEM_PAGES; page++)
		WRITE_ONCE(*(u64 *)(MEM_GPA + page * PAGE_SIZE), page);
	GUEST_SYNC(0);
	WRITE_ONCE(*(u64 *)HOT_GPA, MEM_PAGES);
	GUEST_SYNC(1);
	for (page = 0; page < MEM_PAGES; page++)
		GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)(MEM_GPA + page * PAGE_SIZE)),
				page == HOT_PAGE ? MEM_PAGES : page);
	GUEST_DONE();
}

static struct kvm_vm *create_source(struct kvm_vcpu **vcpu)
{
	struct kvm_vm *vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 1, MEM_PAGES, guest_code, vcpu);

	vm_enable_cap(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(vm, MEM_SLOT, MEM_GPA, MEM_PAGES);
	td_launch(vm);
	td_vcpu_run_to_sync(*vcpu, 0);
	return vm;
}

TD_MIG_FIXTURE(td_mig, create_source);

static void enable_log(struct kvm_vm *vm)
{
	struct kvm_userspace_memory_region2 region = memslot2region(vm, MEM_SLOT)->region;
	int ret;

	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	ret = __vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_SET_USER_MEMORY_REGION2, ret));
}

static void export_pages(struct td_mig *m, unsigned long *bitmap)
{
	u64 gpa_list[MEM_PAGES], hw_error, page;
	u32 nr = 0;
	int ret;

	for (page = 0; page < MEM_PAGES; page++) {
		if (test_bit(page, bitmap))
			gpa_list[nr++] = td_gpa_entry(MEM_GPA + page * PAGE_SIZE,
						      TDX_MIG_GPA_OP_MIGRATE);
	}
	ret = __td_mig_export_mem(&m->streams[0], gpa_list, nr, &m->bundles[m->nr_bundles++],
				  &hw_error);
	TEST_ASSERT(!ret, "Export of memory failed, errno %d, hw_error 0x%lx", errno, hw_error);
}

static void send_dirty_pages(struct td_mig *m, unsigned long *bitmap)
{
	kvm_vm_get_dirty_log(m->src, MEM_SLOT, bitmap);
	kvm_vm_clear_dirty_log(m->src, MEM_SLOT, bitmap, 0, MEM_PAGES);
	export_pages(m, bitmap);
}

static int export_token(struct td_mig *m, bool start_token, u64 *hw_error)
{
	return __td_mig_export_track(&m->streams[0], start_token, &m->bundles[m->nr_bundles++],
				     hw_error);
}

/*
 * The first round of a live migration, with all pages, and the write of a page
 * by the guest that follows.
 */
static void precopy(struct td_mig *m)
{
	unsigned long bitmap[BITMAP_WORDS];
	u64 hw_error;

	enable_log(m->src);
	td_mig_export_immutable(m);
	send_dirty_pages(m, bitmap);
	TEST_ASSERT(!export_token(m, false, &hw_error), "errno %d, hw_error 0x%lx", errno,
		    hw_error);
	td_vcpu_run_to_sync(m->src_vcpus[0], 1);
}

/* What is left, which is all memory, as most of it was sent already. */
static void stop_and_copy(struct td_mig *m)
{
	td_mig_export_pause(m);
	td_mig_export_rest(m);
}

/* --------------------------------------------------------------- statistics */

struct stats {
	u64 exported_pages;
	u64 exported_bytes;
	u64 imported_pages;
	u64 imported_bytes;
	u64 epochs;
	u64 blockw;
	u64 unblockw;
	u64 resumes;
	u64 retries;
};

static void read_stats(struct kvm_vm *vm, struct stats *s)
{
	*s = (struct stats) {
		.exported_pages = vm_get_stat(vm, tdx_mig_exported_pages),
		.exported_bytes = vm_get_stat(vm, tdx_mig_exported_bytes),
		.imported_pages = vm_get_stat(vm, tdx_mig_imported_pages),
		.imported_bytes = vm_get_stat(vm, tdx_mig_imported_bytes),
		.epochs = vm_get_stat(vm, tdx_mig_epochs),
		.blockw = vm_get_stat(vm, tdx_mig_blockw),
		.unblockw = vm_get_stat(vm, tdx_mig_unblockw),
		.resumes = vm_get_stat(vm, tdx_mig_resumes),
		.retries = vm_get_stat(vm, tdx_mig_retries),
	};
}

static u32 count_content(const struct td_mig_bundle *b)
{
	u32 i, nr = 0;

	for (i = 0; b->gpa_list && i < b->nr; i++)
		nr += b->gpa_list[i] & TDX_MIG_GPA_ENTRY_OP_MASK &&
		      !(b->gpa_list[i] & TDX_MIG_GPA_ENTRY_PENDING);
	return nr;
}

/* What has to be sent of a bundle. */
static u64 bundle_size(const struct td_mig_bundle *b)
{
	u64 size = TDX_MIG_MBMD_SIZE;

	if (b->import_cmd == KVM_TDX_MIG_IMPORT_MEM)
		size += b->nr * (sizeof(u64) + TD_MIG_MAC_SIZE) + count_content(b) * PAGE_SIZE;
	else
		size += b->nr * PAGE_SIZE;
	return size;
}

static void add_bundles(struct td_mig *m, u64 *pages, u64 *bytes, u64 *epochs)
{
	int i;

	for (i = 0; i < m->nr_bundles; i++) {
		*pages += count_content(&m->bundles[i]);
		*bytes += bundle_size(&m->bundles[i]);
		*epochs += m->bundles[i].import_cmd == KVM_TDX_MIG_IMPORT_TRACK;
	}
}

/* All but resumes and retries, on which others have an influence. */
static void check_stats(struct kvm_vm *vm, const struct stats *expected)
{
	struct stats s;

	read_stats(vm, &s);
	TEST_ASSERT_EQ(s.exported_pages, expected->exported_pages);
	TEST_ASSERT_EQ(s.exported_bytes, expected->exported_bytes);
	TEST_ASSERT_EQ(s.imported_pages, expected->imported_pages);
	TEST_ASSERT_EQ(s.imported_bytes, expected->imported_bytes);
	TEST_ASSERT_EQ(s.epochs, expected->epochs);
	TEST_ASSERT_EQ(s.blockw, expected->blockw);
	TEST_ASSERT_EQ(s.unblockw, expected->unblockw);
}

TD_TEST_F(td_mig, statistics_are_zero_before_a_migration)
{
	struct stats none = {}, s;

	td_mig_dest_create(&self->d, &self->m);
	read_stats(self->vm, &s);
	TEST_ASSERT(!memcmp(&s, &none, sizeof(s)), "A source that does nothing has statistics");
	read_stats(self->d.vm, &s);
	TEST_ASSERT(!memcmp(&s, &none, sizeof(s)), "An empty destination has statistics");
}

TD_TEST_F(td_mig, statistics_of_both_sides_agree_with_the_bundles)
{
	struct stats src = {}, dst = {};

	td_mig_dest_create(&self->d, &self->m);
	self->m.nr_entries = NR_ENTRIES;
	precopy(&self->m);
	stop_and_copy(&self->m);
	td_mig_import_rest(&self->d, &self->m, 0);

	add_bundles(&self->m, &src.exported_pages, &src.exported_bytes, &src.epochs);
	TEST_ASSERT(src.exported_pages > MEM_PAGES, "%lu pages exported", src.exported_pages);
	TEST_ASSERT_EQ(src.epochs, 2);
	src.blockw = MEM_PAGES;
	src.unblockw = 1;
	check_stats(self->vm, &src);

	add_bundles(&self->m, &dst.imported_pages, &dst.imported_bytes, &dst.epochs);
	check_stats(self->d.vm, &dst);

	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, statistics_go_on_after_an_abort)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct stats s = {};

	precopy(&self->m);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	add_bundles(&self->m, &s.exported_pages, &s.exported_bytes, &s.epochs);
	s.blockw = MEM_PAGES;
	s.unblockw = 1;
	check_stats(self->vm, &s);

	td_mig_forget_bundles(&self->m);
	td_mig_exchange_keys(&self->m);
	td_mig_export_immutable(&self->m);
	send_dirty_pages(&self->m, bitmap);
	add_bundles(&self->m, &s.exported_pages, &s.exported_bytes, &s.epochs);
	s.blockw += MEM_PAGES;
	check_stats(self->vm, &s);
}

static const struct kvm_stats_desc *find_desc(struct kvm_vm *vm, const char *name)
{
	struct kvm_binary_stats *stats = &vm->stats;
	struct kvm_stats_desc *desc;
	u32 i;

	for (i = 0; i < stats->header.num_desc; i++) {
		desc = get_stats_descriptor(stats->desc, i, &stats->header);
		if (!strcmp(desc->name, name))
			return desc;
	}
	TEST_FAIL("No statistics of the name %s", name);
	return NULL;
}

TD_TEST(statistics_describe_themselves)
{
	static const struct {
		const char *name;
		u32 unit;
	} all[] = {
		{ "tdx_mig_exported_pages", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_exported_bytes", KVM_STATS_UNIT_BYTES },
		{ "tdx_mig_imported_pages", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_imported_bytes", KVM_STATS_UNIT_BYTES },
		{ "tdx_mig_epochs", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_blockw", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_unblockw", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_resumes", KVM_STATS_UNIT_NONE },
		{ "tdx_mig_retries", KVM_STATS_UNIT_NONE },
	};
	struct kvm_vm *vm = td_create_barebones();
	const struct kvm_stats_desc *desc;
	struct stats s;
	int i;

	/* Reads the descriptors, too. */
	read_stats(vm, &s);
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		desc = find_desc(vm, all[i].name);
		TEST_ASSERT_EQ(desc->flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_CUMULATIVE);
		TEST_ASSERT_EQ(desc->flags & KVM_STATS_UNIT_MASK, all[i].unit);
		TEST_ASSERT_EQ(desc->exponent, 0);
		TEST_ASSERT_EQ(desc->size, 1);
	}
	kvm_vm_free(vm);
}

static int count_mem_bundles(struct td_mig *m)
{
	int i, nr = 0;

	for (i = 0; i < m->nr_bundles; i++)
		nr += m->bundles[i].import_cmd == KVM_TDX_MIG_IMPORT_MEM;
	return nr;
}

/*
 * Each bundle takes one call, and one more each time that it was interrupted or
 * met contention.
 */
TD_TEST(each_interruption_of_the_tdx_module_is_counted)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct stats before, after;
	struct td_mig_dest d;
	struct td_mig m;
	u64 calls;
	int mem, td;

	if (!td_sim_is_present())
		SKIP(return, "The TDX module does not count its calls");

	vm = create_source(&vcpu);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export_immutable(&m);
	td_mig_export_pause(&m);

	calls = td_sim_count_leaf(TDH_EXPORT_MEM);
	read_stats(vm, &before);
	td_sim_interrupt_every(INTERRUPT_EVERY);
	td_mig_export_all_mem(&m);
	td_sim_interrupt_every(0);
	read_stats(vm, &after);
	calls = td_sim_count_leaf(TDH_EXPORT_MEM) - calls;
	TEST_ASSERT(after.resumes - before.resumes > MEM_PAGES / INTERRUPT_EVERY,
		    "%lu interruptions of the export", after.resumes - before.resumes);
	TEST_ASSERT_EQ(after.resumes - before.resumes + after.retries - before.retries,
		       calls - count_mem_bundles(&m));

	td_mig_export_td_and_vcpus(&m);
	td_mig_export_start_token(&m);
	mem = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD);
	td_mig_import(&d, &m, 0, mem - 1);

	calls = td_sim_count_leaf(TDH_IMPORT_MEM);
	read_stats(d.vm, &before);
	td_sim_interrupt_every(INTERRUPT_EVERY);
	td_mig_import(&d, &m, mem, td - 1);
	td_sim_interrupt_every(0);
	read_stats(d.vm, &after);
	calls = td_sim_count_leaf(TDH_IMPORT_MEM) - calls;
	TEST_ASSERT(after.resumes - before.resumes > MEM_PAGES / INTERRUPT_EVERY,
		    "%lu interruptions of the import", after.resumes - before.resumes);
	TEST_ASSERT_EQ(after.resumes - before.resumes + after.retries - before.retries,
		       calls - count_mem_bundles(&m));

	td_mig_import_rest(&d, &m, td);
	td_vcpu_run_to_sync(d.vcpus[0], 1);
	td_vcpu_run_to_done(d.vcpus[0]);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ------------------------------------------------------------------- events */

#define TRACEFS			"/sys/kernel/tracing"
#define TRACE_PREFIX		"kvm_tdx_mig_"
#define TRACE_LEN		200
#define TRACE_MAX_EVENTS	100

/* An instance of the tracer for this process alone. */
struct trace {
	char dir[64];
	char *lines[TRACE_MAX_EVENTS];
	int nr_lines;
	/* The next one to be looked at. */
	int at;
	int src_hkid;
	int dst_hkid;
};

static void write_file(const char *path, const char *value)
{
	FILE *f = fopen(path, "w");

	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	fputs(value, f);
	TEST_ASSERT(!fclose(f), "Cannot write %s, errno %d (%s)", path, errno, strerror(errno));
}

static void trace_write(struct trace *t, const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", t->dir, file);
	write_file(path, value);
}

static void trace_set_events(struct trace *t, const char *value)
{
	char pattern[128];
	glob_t g;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/events/kvm/" TRACE_PREFIX "*/enable", t->dir);
	TEST_ASSERT(!glob(pattern, 0, NULL, &g), "No events %s", pattern);
	for (i = 0; i < g.gl_pathc; i++)
		write_file(g.gl_pathv[i], value);
	globfree(&g);
}

static bool trace_is_supported(void)
{
	if (access(TRACEFS "/instances", F_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	return !access(TRACEFS "/events/kvm/kvm_tdx_mig_phase", F_OK);
}

static void trace_begin(struct trace *t)
{
	*t = (struct trace) {};
	snprintf(t->dir, sizeof(t->dir), TRACEFS "/instances/tdx_mig-%d", getpid());
	TEST_ASSERT(!mkdir(t->dir, 0700), "Cannot create %s, errno %d (%s)", t->dir, errno,
		    strerror(errno));
	/* Events of several CPUs keep their order. */
	trace_write(t, "trace_clock", "counter");
	trace_set_events(t, "1");
}

/* Keep the name and the fields, without the prefix that all names have. */
static void trace_end(struct trace *t)
{
	char path[128], line[512];
	const char *p;
	FILE *f;

	trace_write(t, "tracing_on", "0");
	snprintf(path, sizeof(path), "%s/trace", t->dir);
	f = fopen(path, "r");
	TEST_ASSERT(f, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		p = strstr(line, ": " TRACE_PREFIX);
		if (!p)
			continue;
		TEST_ASSERT(t->nr_lines < TRACE_MAX_EVENTS, "Too many events");
		t->lines[t->nr_lines++] = strdup(p + 2 + strlen(TRACE_PREFIX));
	}
	fclose(f);
	trace_set_events(t, "0");
	TEST_ASSERT(!rmdir(t->dir), "Cannot remove %s, errno %d (%s)", t->dir, errno,
		    strerror(errno));
}

static void trace_free(struct trace *t)
{
	TEST_ASSERT(t->at == t->nr_lines, "Unexpected event: %s", t->lines[t->at]);
	while (t->nr_lines)
		free(t->lines[--t->nr_lines]);
}

/* The next event has to be @name of the TD, followed by these fields. */
__printf(4, 5)
static void expect_event(struct trace *t, int *hkid, const char *name, const char *fmt, ...)
{
	char fields[TRACE_LEN], expected[2 * TRACE_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fields, sizeof(fields), fmt, ap);
	va_end(ap);

	TEST_ASSERT(t->at < t->nr_lines, "Event %s %s is missing", name, fields);
	if (!*hkid)
		TEST_ASSERT(sscanf(t->lines[t->at], "%*s hkid %d", hkid) == 1,
			    "No HKID in event: %s", t->lines[t->at]);
	snprintf(expected, sizeof(expected), "%s: hkid %d %s", name, *hkid, fields);
	TEST_ASSERT(!strcmp(t->lines[t->at], expected), "Event %d is \"%s\", not \"%s\"", t->at,
		    t->lines[t->at], expected);
	t->at++;
}

/*
 * What the test does not determine in the next event: how often the leaf was
 * called again, and the entries without success that a status can count.
 */
static void trace_get_calls(struct trace *t, const char *name, unsigned int *resumes,
			    unsigned int *retries, u64 *err)
{
	const char *p;

	TEST_ASSERT(t->at < t->nr_lines, "Event %s is missing", name);
	p = strstr(t->lines[t->at], " resumes ");
	TEST_ASSERT(p && sscanf(p, " resumes %u retries %u err 0x%lx", resumes, retries,
				err) == 3, "Event %s expected: %s", name, t->lines[t->at]);
	TEST_ASSERT(!(*err & TDX_STATUS_MASK), "A failure: %s", t->lines[t->at]);
}

/* Events of bundle @i, which is exported or imported. */
static void expect_bundle(struct trace *t, struct td_mig *m, int i, bool import,
			  struct stats *s)
{
	const struct td_mig_bundle *b = &m->bundles[i];
	int *hkid = import ? &t->dst_hkid : &t->src_hkid;
	unsigned int resumes, retries;
	bool start_token;
	u64 err;

	switch (b->import_cmd) {
	case KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE:
		expect_event(t, hkid, import ? "import_state" : "export_state",
			     "stream 0 type IMMUTABLE vcpu -1 pages %u err 0x0", b->nr);
		break;
	case KVM_TDX_MIG_IMPORT_STATE_TD:
		expect_event(t, hkid, import ? "import_state" : "export_state",
			     "stream 0 type TD vcpu -1 pages %u err 0x0", b->nr);
		break;
	case KVM_TDX_MIG_IMPORT_STATE_VP:
		expect_event(t, hkid, import ? "import_state" : "export_state",
			     "stream 0 type VP vcpu 0 pages %u err 0x0", b->nr);
		break;
	case KVM_TDX_MIG_IMPORT_MEM:
		trace_get_calls(t, import ? "import_mem" : "export_mem", &resumes, &retries,
				&err);
		s->resumes += resumes;
		s->retries += retries;
		expect_event(t, hkid, import ? "import_mem" : "export_mem",
			     "stream 0 nr %u content %u resumes %u retries %u err 0x%lx", b->nr,
			     count_content(b), resumes, retries, err);
		break;
	case KVM_TDX_MIG_IMPORT_TRACK:
		start_token = i == m->nr_bundles - 1;
		TEST_ASSERT_EQ(b->mbmd.mig_epoch == TDX_MIG_EPOCH_OUT_OF_ORDER, start_token);
		expect_event(t, hkid, import ? "import_track" : "export_track",
			     "epoch %u start_token %d err 0x0", b->mbmd.mig_epoch, start_token);
		break;
	default:
		TEST_FAIL("Unknown bundle, command %u", b->import_cmd);
	}
}

TD_TEST(migration_that_is_aborted_leaves_a_trace)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct stats s = {}, src, dst;
	struct td_mig_dest d;
	struct trace t;
	struct td_mig m;
	u64 hw_error;
	int i, td;

	if (!trace_is_supported())
		SKIP(return, "The kernel has no tracepoints");

	vm = create_source(&vcpu);
	trace_begin(&t);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	precopy(&m);
	stop_and_copy(&m);
	td_mig_import(&d, &m, 0, m.nr_bundles - 1);
	TEST_ASSERT(!__td_mig_cmd_nr(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT, NULL, &hw_error),
		    "errno %d", errno);
	*m.streams[0].mbmd = *d.streams[0].mbmd;
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	trace_end(&t);

	expect_event(&t, &t.dst_hkid, "phase", "NONE -> IMPORT_START");

	expect_bundle(&t, &m, 0, false, &s);
	expect_event(&t, &t.src_hkid, "phase", "NONE -> LIVE_EXPORT");
	expect_event(&t, &t.src_hkid, "block", "nr %lu busy 0", MEM_PAGES);
	expect_bundle(&t, &m, 1, false, &s);
	expect_bundle(&t, &m, 2, false, &s);
	expect_event(&t, &t.src_hkid, "unblock", "gfn 0x%lx",
		     (u64)HOT_GPA >> vm->page_shift);
	expect_event(&t, &t.src_hkid, "phase", "LIVE_EXPORT -> PAUSED_EXPORT");
	for (i = 3; i < m.nr_bundles; i++)
		expect_bundle(&t, &m, i, false, &s);
	expect_event(&t, &t.src_hkid, "phase", "PAUSED_EXPORT -> POST_EXPORT");

	td = td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD);
	expect_bundle(&t, &m, 0, true, &s);
	expect_event(&t, &t.dst_hkid, "phase", "IMPORT_START -> MEMORY_IMPORT");
	for (i = 1; i <= td; i++)
		expect_bundle(&t, &m, i, true, &s);
	expect_event(&t, &t.dst_hkid, "phase", "MEMORY_IMPORT -> STATE_IMPORT");
	for (i = td + 1; i < m.nr_bundles; i++)
		expect_bundle(&t, &m, i, true, &s);
	expect_event(&t, &t.dst_hkid, "phase", "STATE_IMPORT -> POST_IMPORT");

	expect_event(&t, &t.dst_hkid, "import_abort", "token 1 err 0x%lx", hw_error);
	expect_event(&t, &t.dst_hkid, "phase", "POST_IMPORT -> IMPORT_FAILED");
	expect_event(&t, &t.src_hkid, "export_abort", "token 1 err 0x0");
	expect_event(&t, &t.src_hkid, "phase", "POST_EXPORT -> EXPORT_CANCELED");
	expect_event(&t, &t.src_hkid, "phase", "EXPORT_CANCELED -> NONE");
	TEST_ASSERT(t.src_hkid != t.dst_hkid, "Two TDs have HKID %d", t.src_hkid);
	trace_free(&t);

	/* Statistics are about all leaves, not only about those with memory. */
	read_stats(vm, &src);
	read_stats(d.vm, &dst);
	TEST_ASSERT(s.resumes <= src.resumes + dst.resumes, "%lu resumes, %lu and %lu",
		    s.resumes, src.resumes, dst.resumes);
	TEST_ASSERT(s.retries <= src.retries + dst.retries, "%lu retries, %lu and %lu",
		    s.retries, src.retries, dst.retries);

	td_vcpu_run_to_done(vcpu);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(page_that_is_removed_from_the_source_leaves_a_trace)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct td_mig m;
	struct trace t;

	if (!trace_is_supported())
		SKIP(return, "The kernel has no tracepoints");

	vm = create_source(&vcpu);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	precopy(&m);
	td_mig_export_pause(&m);
	trace_begin(&t);
	vm_guest_mem_punch_hole(vm, MEM_GPA, PAGE_SIZE);
	TD_EXPECT_ERRNO(ECANCELED, __td_mig_cmd_nr(&m.streams[0],
						   KVM_TDX_MIG_EXPORT_STATE_TD, NULL, NULL));
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	trace_end(&t);

	expect_event(&t, &t.src_hkid, "undo_export", "gfn 0x%lx", MEM_GPA >> vm->page_shift);
	expect_event(&t, &t.src_hkid, "export_abort", "token 0 err 0x0");
	expect_event(&t, &t.src_hkid, "phase", "PAUSED_EXPORT -> EXPORT_CANCELED");
	expect_event(&t, &t.src_hkid, "phase", "EXPORT_CANCELED -> NONE");
	trace_free(&t);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

TD_TEST(page_that_is_removed_from_the_destination_leaves_a_trace)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct td_mig_dest d;
	struct td_mig m;
	struct trace t;
	char name[32];
	u64 pfn;
	int i;

	if (!trace_is_supported())
		SKIP(return, "The kernel has no tracepoints");

	vm = create_source(&vcpu);
	td_mig_init(&m, vm, &vcpu, 1, 1);
	td_mig_dest_create(&d, &m);
	td_mig_export(&m);
	td_mig_import(&d, &m, 0, td_mig_find_bundle(&m, KVM_TDX_MIG_IMPORT_STATE_TD) - 1);
	trace_begin(&t);
	for (i = 0; i < d.nr_gmem_fds; i++)
		kvm_fallocate(d.gmem_fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			      PAGE_SIZE);
	trace_end(&t);

	/* The first of them ends the session, all of them are lost. */
	TEST_ASSERT(t.nr_lines >= 2, "%d events", t.nr_lines);
	for (i = 0; i < t.nr_lines; i++) {
		if (i == 1) {
			expect_event(&t, &t.dst_hkid, "phase", "MEMORY_IMPORT -> IMPORT_FAILED");
			continue;
		}
		TEST_ASSERT(sscanf(t.lines[i], "%31[^:]: hkid %d pfn 0x%lx", name, &t.dst_hkid,
				   &pfn) == 3 && !strcmp(name, "defer_removal") && pfn,
			    "Event %d: %s", i, t.lines[i]);
		t.at++;
	}
	trace_free(&t);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	kvm_vm_free(vm);
}

/* ------------------------------------------- status of the TDX module */

TD_TEST_F(td_mig, status_of_a_token_that_is_refused_is_returned)
{
	unsigned long bitmap[BITMAP_WORDS];
	struct stats before, after;
	u64 hw_error;

	td_mig_dest_create(&self->d, &self->m);
	precopy(&self->m);
	td_mig_export_pause(&self->m);

	/* The guest has written to a page, which is not exported again. */
	read_stats(self->vm, &before);
	TD_EXPECT_ERRNO(EIO, export_token(&self->m, true, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_EXPORTED_DIRTY_PAGES_REMAIN);
	self->m.nr_bundles--;
	read_stats(self->vm, &after);
	TEST_ASSERT_EQ(after.epochs, before.epochs);
	TEST_ASSERT_EQ(after.exported_bytes, before.exported_bytes);

	kvm_vm_get_dirty_log(self->vm, MEM_SLOT, bitmap);
	export_pages(&self->m, bitmap);
	td_mig_export_rest(&self->m);
	td_mig_import_rest(&self->d, &self->m, 0);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, status_of_a_success_is_returned)
{
	u64 hw_error;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import(&self->d, &self->m, 0, 0);

	/* The only leaf whose success is not 0: the import has come to its end. */
	TEST_ASSERT(!__td_mig_cmd_nr(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT, NULL,
				     &hw_error), "errno %d", errno);
	TEST_ASSERT_EQ(hw_error, TDX_FATAL);

	*self->m.streams[0].mbmd = *self->d.streams[0].mbmd;
	TEST_ASSERT(!__td_mig_cmd_nr(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL,
				     &hw_error), "errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT_EQ(hw_error, 0);
	td_vcpu_run_to_sync(self->vcpu, 1);
	td_vcpu_run_to_done(self->vcpu);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_BINARY_STATS_FD));

	return test_harness_run(argc, argv);
}
