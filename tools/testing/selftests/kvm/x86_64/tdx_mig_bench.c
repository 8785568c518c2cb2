// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the migration of a TD costs beyond what the TDX module does for it: calls
 * of the module, bytes that KVM copies, time in KVM, IPIs and memory.  Each figure
 * is printed beside its limit.
 *
 * Takes the software TDX platform, which tells how often and how long it was
 * called, and whose null cipher makes the rest visible.  Nothing depends on how
 * fast that is: times are compared with other times of the same run.  The time of
 * a SEAMCALL is what the platform spends on it plus what it costs that the CPU
 * raises #UD instead of executing it; both are printed.
 */
#include <ctype.h>
#include <getopt.h>
#include <linux/bitops.h>
#include <linux/sizes.h>
#include <sys/sysinfo.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_bench.h"
#include "tdx_mig_util.h"

#define MEM_SLOT		TD_SLOT_UNACCEPTED
#define MEM_GPA			BIT_ULL(30)
#define BATCH			((u64)TDX_MIG_BUF_LIST_PAGES_MAX)
#define PAGES_PER_GIB		(SZ_1G / PAGE_SIZE)

/* A memslot that nothing but its dirty log makes use of. */
#define LOG_SLOT		(TD_SLOT_UNACCEPTED + 1)
#define LOG_GPA			BIT_ULL(40)
#define LOG_GIB			128UL

#define NR_EXTRA_STREAMS	14
#define NR_AES_BATCHES		4UL
#define MAX_PFN			BIT_ULL(24)

#define LEAF_SEPT_ADD		3
#define LEAF_MEM_TRACK		38
#define LEAF_EXPORT_BLOCKW	65
#define LEAF_EXPORT_MEM		68
#define LEAF_EXPORT_UNBLOCKW	75
#define LEAF_IMPORT_MEM		83

/* ------------------------------------------------------------------ figures */

enum {
	BLOCKW_CALLS, EXPORT_CALLS, IMPORT_CALLS, SEPT_CALLS, TRACK_CALLS,
	EXPORT_COPIED, IMPORT_COPIED,
	EXPORT_DRIVER, IMPORT_DRIVER,
	WRITE_CALLS, WRITE_TRACKS, WRITE_IPIS,
	ROUND_SCALE,
	SRC_STREAM_KIB, DST_STREAM_KIB, LOG_KIB,
	/* What the above are made of. */
	RESUMED, UPPER_TABLES, OTHER_IPIS, TRAP_KCYC,
	EXPORT_DRIVER_KCYC, EXPORT_NULL_KCYC, EXPORT_AES_KCYC,
	IMPORT_DRIVER_KCYC, IMPORT_NULL_KCYC, IMPORT_AES_KCYC,
	ROUND_SCAN_KCYC, ROUND_64TH_KCYC, ROUND_16TH_KCYC, ROUND_4TH_KCYC,
	NR_ROWS
};

/* The buffers of a stream, its lists, and what else it takes. */
#define STREAM_KIB		(2.2 * 1024 + 8 * 4)

static struct td_figure rows[NR_ROWS] = {
	[BLOCKW_CALLS] = { "EXPORT.BLOCKW per GiB, first round", "calls", TD_AT_MOST, 512 },
	[EXPORT_CALLS] = { "EXPORT.MEM per GiB", "calls", TD_AT_MOST, 512 },
	[IMPORT_CALLS] = { "IMPORT.MEM per GiB", "calls", TD_AT_MOST, 512 },
	[SEPT_CALLS] = { "MEM.SEPT.ADD of leaf tables per GiB", "calls", TD_AT_MOST, 512 },
	[TRACK_CALLS] = { "MEM.TRACK in the first round", "calls", TD_AT_MOST, 1 },
	[EXPORT_COPIED] = { "copied by the driver per exported page", "bytes", TD_AT_MOST, 0 },
	[IMPORT_COPIED] = { "copied by the driver per imported page", "bytes", TD_AT_MOST, 0 },
	[EXPORT_DRIVER] = { "driver time of an export / EXPORT.MEM with AES", "%", TD_AT_MOST, 5 },
	[IMPORT_DRIVER] = { "driver time of an import / IMPORT.MEM with AES", "%", TD_AT_MOST, 5 },
	[WRITE_CALLS] = { "EXPORT.UNBLOCKW per first write to a page", "calls", TD_AT_MOST, 1 },
	[WRITE_TRACKS] = { "MEM.TRACK per first write", "calls", TD_AT_MOST, 0 },
	[WRITE_IPIS] = { "IPIs per first write; a kick would make it 1", "", TD_AT_MOST, 0.1 },
	[ROUND_SCALE] = { "cost per dirty page if 1/64 / if 1/4 is dirty", "", TD_AT_MOST, 2 },
	[SRC_STREAM_KIB] = { "memory per stream, source", "KiB", TD_AT_MOST, STREAM_KIB },
	[DST_STREAM_KIB] = { "memory per stream, destination", "KiB", TD_AT_MOST, STREAM_KIB },
	[LOG_KIB] = { "memory per GiB of the TD", "KiB", TD_AT_MOST, 70 },
	[RESUMED] = { "calls that a host interrupt interrupted, per GiB", "calls", TD_NO_LIMIT },
	[UPPER_TABLES] = { "MEM.SEPT.ADD of tables above, per TD", "calls", TD_NO_LIMIT },
	[OTHER_IPIS] = { "IPIs without first writes, taken out of the above", "", TD_NO_LIMIT },
	[TRAP_KCYC] = { "#UD of a SEAMCALL, taken out of the driver time", "kcyc", TD_NO_LIMIT },
	[EXPORT_DRIVER_KCYC] = { "driver time of an export of 512 pages", "kcyc", TD_NO_LIMIT },
	[EXPORT_NULL_KCYC] = { "its SEAMCALL, null cipher", "kcyc", TD_NO_LIMIT },
	[EXPORT_AES_KCYC] = { "its SEAMCALL, AES-256-GCM", "kcyc", TD_NO_LIMIT },
	[IMPORT_DRIVER_KCYC] = { "driver time of an import of 512 pages", "kcyc", TD_NO_LIMIT },
	[IMPORT_NULL_KCYC] = { "its SEAMCALLs, null cipher", "kcyc", TD_NO_LIMIT },
	[IMPORT_AES_KCYC] = { "its SEAMCALLs, AES-256-GCM", "kcyc", TD_NO_LIMIT },
	[ROUND_SCAN_KCYC] = { "round without dirty pages: scan and token", "kcyc", TD_NO_LIMIT },
	[ROUND_64TH_KCYC] = { "round with 1/64 of the pages", "kcyc", TD_NO_LIMIT },
	[ROUND_16TH_KCYC] = { "round with 1/16 of the pages", "kcyc", TD_NO_LIMIT },
	[ROUND_4TH_KCYC] = { "round with 1/4 of the pages", "kcyc", TD_NO_LIMIT },
};

static void record(int row, double v)
{
	td_series_add(&rows[row].s, v);
}

static void print_report(u64 nr_pages)
{
	int i;

	printf("\nA TD of %lu MiB; medians, with least and greatest of so many samples.\n\n",
	       (u64)(nr_pages * PAGE_SIZE / SZ_1M));
	td_figure_print_header();
	for (i = 0; i < NR_ROWS; i++) {
		if (i == RESUMED)
			printf("\n");
		td_figure_print(&rows[i]);
	}
	printf("\nOf the lists, KVM copies 8 bytes per page in and out, and 48 per bundle.\n");
}

static struct td_sim_trap trap;

/* ------------------------------------------------------------------ the TD */

/* What the host tells the guest to do. */
struct order {
	u64 stride;
	u64 count;
	u64 spinning;
	u64 stop;
};

static struct order *order;
static u64 nr_guest_pages;

static void guest_write(void)
{
	u64 i, value = 0;

	td_accept_pages(MEM_GPA, nr_guest_pages);
	for (;;) {
		GUEST_SYNC(0);
		value++;
		for (i = 0; i < order->count; i++)
			WRITE_ONCE(*(u64 *)(MEM_GPA + i * order->stride * PAGE_SIZE), value);
	}
}

static void guest_spin(void)
{
	for (;;) {
		GUEST_SYNC(1);
		WRITE_ONCE(order->spinning, 1);
		while (!READ_ONCE(order->stop))
			cpu_relax();
	}
}

static void guest_code(u64 index)
{
	if (index)
		guest_spin();
	guest_write();
}

struct bench {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[2];
	struct order *order;
	u64 nr_pages;
	unsigned long *bitmap;
	struct td_mig m;
	struct td_mig_dest d;
};

static struct order *add_order(struct kvm_vm *vm)
{
	gva_t gva = vm_alloc_shared(vm, PAGE_SIZE, KVM_UTIL_MIN_VADDR, MEM_REGION_TEST_DATA);

	write_guest_global(vm, order, (struct order *)gva);
	return addr_gva2hva(vm, gva);
}

static void enable_log(struct kvm_vm *vm)
{
	struct kvm_userspace_memory_region2 region = memslot2region(vm, MEM_SLOT)->region;

	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, &region);
}

static void create_td(struct bench *b)
{
	int i;

	b->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 2, b->nr_pages, guest_code, b->vcpus);
	vm_enable_cap(b->vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		      KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	td_add_unaccepted_memory(b->vm, MEM_SLOT, MEM_GPA, b->nr_pages);
	b->order = add_order(b->vm);
	write_guest_global(b->vm, nr_guest_pages, b->nr_pages);
	for (i = 0; i < 2; i++)
		td_vcpu_set_arg(b->vcpus[i], i);
	td_launch(b->vm);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_sync(b->vcpus[i], i);
	enable_log(b->vm);

	b->bitmap = calloc(BITS_TO_LONGS(b->nr_pages), sizeof(*b->bitmap));
	TEST_ASSERT(b->bitmap, "Insufficient Memory");
}

static void free_td(struct bench *b)
{
	kvm_vm_free(b->vm);
	free(b->bitmap);
}

/* Write to every n-th page, @count of them. */
static void write_pages(struct bench *b, u64 count)
{
	b->order->stride = count ? b->nr_pages / count : 0;
	b->order->count = count;
	td_vcpu_run_to_sync(b->vcpus[0], 0);
}

/* --------------------------------------------------------------- bundles */

static void fill_gpa_list(struct td_mig_stream *s, u64 first_page)
{
	u64 i;

	for (i = 0; i < BATCH; i++)
		s->gpa_list[i] = (MEM_GPA + (first_page + i) * PAGE_SIZE) |
				 (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

/* This is the network. */
static void send_bundle(struct bench *b)
{
	struct td_mig_stream *src = &b->m.streams[0], *dst = &b->d.streams[0];

	*dst->mbmd = *src->mbmd;
	memcpy(dst->gpa_list, src->gpa_list, BATCH * sizeof(*src->gpa_list));
	memcpy(dst->mac_list, src->mac_list, BATCH * TD_MIG_MAC_SIZE);
	memcpy(dst->buf, src->buf, BATCH * PAGE_SIZE);
}

/* Returns the cycles that it takes. */
static u64 run_cmd(struct td_mig_stream *s, u32 id, u64 nr)
{
	u64 hw_error, start = rdtsc();
	int ret = __td_mig_cmd_nr(s, id, &nr, &hw_error);

	start = rdtsc() - start;
	TEST_ASSERT(!ret, "Command %u failed, errno %d (%s), hw_error 0x%lx", id, errno,
		    strerror(errno), hw_error);
	return start;
}

/* Where the time of a command goes. */
struct cost {
	struct td_series leaves;
	struct td_series driver;
};

static void run_cmd_costed(struct td_mig_stream *s, u32 id, struct cost *cost)
{
	struct td_sim_calls before, after;
	u64 total, cycles = 0;
	int i;

	td_sim_read_calls(&before);
	total = run_cmd(s, id, BATCH);
	td_sim_read_calls(&after);

	for (i = 0; i < TD_SIM_NR_LEAVES; i++)
		cycles += after.cycles[i] - before.cycles[i];
	td_series_add(&cost->leaves, cycles);
	td_series_add(&cost->driver,
		      (double)total - td_sim_cycles_between(&before, &after, &trap));
}

/* ------------------------------------------------------------------ copies */

/* The page frames of private memory of TDs. */
static unsigned long *read_td_pages(void)
{
	unsigned long *td_pages = calloc(BITS_TO_LONGS(MAX_PFN), sizeof(long));
	FILE *f = td_sim_open("owned_pages", "r");
	char line[160], type[16];
	int level;
	u64 hpa;

	TEST_ASSERT(td_pages, "Insufficient Memory");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "hpa=0x%lx level=%d type=%15s", &hpa, &level, type) == 3 &&
		    !level && !strcmp(type, "REG") && hpa / PAGE_SIZE < MAX_PFN)
			__set_bit(hpa / PAGE_SIZE, td_pages);
	}
	fclose(f);
	return td_pages;
}

/*
 * Did the TDX module itself move the pages of the last bundle between the pages
 * of the TD and those that userspace has mapped?  What is not, the driver has
 * copied.
 */
static void check_copies(int row, struct td_mig_stream *s, unsigned int leaf)
{
	unsigned long *td_pages = read_td_pages();
	FILE *f = td_sim_open("last_bundle", "r");
	u64 entry, buffer, new_page, i, direct = 0;
	unsigned int found;

	for (i = 0; fscanf(f, "leaf=%u entry=0x%lx buffer=0x%lx new_page=0x%lx\n", &found,
			   &entry, &buffer, &new_page) == 4; i++) {
		TEST_ASSERT(found == leaf && i < BATCH, "Not the bundle of %lu pages", BATCH);
		direct += buffer / PAGE_SIZE == td_page_frame(s->buf + i * PAGE_SIZE) &&
			  (leaf == LEAF_EXPORT_MEM || (new_page / PAGE_SIZE < MAX_PFN &&
						       test_bit(new_page / PAGE_SIZE, td_pages)));
	}
	TEST_ASSERT_EQ(i, BATCH);
	record(row, (double)(i - direct) * PAGE_SIZE / i);
	fclose(f);
	free(td_pages);
}

/* ---------------------------------------------------------------- sessions */

static void begin_session(struct bench *b)
{
	td_mig_init(&b->m, b->vm, b->vcpus, 2, 1);
	td_mig_dest_create(&b->d, &b->m);

	td_mig_export_immutable(&b->m);
	td_mig_import(&b->d, &b->m, 0, 0);
}

static void end_session(struct bench *b)
{
	td_mig_cmd(&b->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_mig_free(&b->m);
	td_mig_dest_free(&b->d);
}

static void get_log(struct bench *b)
{
	kvm_vm_get_dirty_log(b->vm, MEM_SLOT, b->bitmap);
}

static void clear_log(struct bench *b, u64 nr_pages)
{
	kvm_vm_clear_dirty_log(b->vm, MEM_SLOT, b->bitmap, 0, nr_pages);
}

static void send_one(struct bench *b, u64 page, struct cost *export, struct cost *import)
{
	fill_gpa_list(&b->m.streams[0], page);
	run_cmd_costed(&b->m.streams[0], KVM_TDX_MIG_EXPORT_MEM, export);
	send_bundle(b);
	run_cmd_costed(&b->d.streams[0], KVM_TDX_MIG_IMPORT_MEM, import);
}

static void record_kcycles(int row, double cycles)
{
	record(row, cycles / 1000);
}

/* The first round: all of the memory, from the source to the destination. */
static void first_round(struct bench *b, struct cost *export, struct cost *import)
{
	const double per_gib = (double)PAGES_PER_GIB / b->nr_pages;
	struct td_sim_calls begin, first;
	u64 page, tables;

	td_sim_read_calls(&begin);
	get_log(b);
	clear_log(b, b->nr_pages);

	for (page = 0; page < b->nr_pages; page += BATCH) {
		send_one(b, page, export, import);
		/* The first page tables come with those above them. */
		if (!page)
			td_sim_read_calls(&first);
	}

	record(BLOCKW_CALLS, td_sim_calls_since(&begin, LEAF_EXPORT_BLOCKW) * per_gib);
	record(EXPORT_CALLS, td_sim_calls_since(&begin, LEAF_EXPORT_MEM) * per_gib);
	record(IMPORT_CALLS, td_sim_calls_since(&begin, LEAF_IMPORT_MEM) * per_gib);
	record(TRACK_CALLS, td_sim_calls_since(&begin, LEAF_MEM_TRACK));
	record(RESUMED, td_sim_interrupted_since(&begin) * per_gib);

	tables = td_sim_calls_since(&first, LEAF_SEPT_ADD);
	record(SEPT_CALLS, (double)tables * PAGES_PER_GIB / (b->nr_pages - BATCH));
	record(UPPER_TABLES, (double)td_sim_calls_since(&begin, LEAF_SEPT_ADD) - tables - 1);
}

/* A round of the source alone: the cycles that it takes with @dirty pages. */
static u64 round_cost(struct bench *b, u64 dirty)
{
	struct td_mig_stream *s = &b->m.streams[0];
	u64 start = rdtsc(), page, nr = 0, sent = 0;

	get_log(b);
	clear_log(b, b->nr_pages);
	for (page = 0; page < b->nr_pages; page++) {
		if (!test_bit(page, b->bitmap))
			continue;
		s->gpa_list[nr++] = (MEM_GPA + page * PAGE_SIZE) |
				    (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
		if (nr < BATCH)
			continue;
		run_cmd(s, KVM_TDX_MIG_EXPORT_MEM, nr);
		sent += nr;
		nr = 0;
	}
	if (nr)
		run_cmd(s, KVM_TDX_MIG_EXPORT_MEM, nr);
	run_cmd(s, KVM_TDX_MIG_EXPORT_TRACK, 0);
	start = rdtsc() - start;

	TEST_ASSERT_EQ(sent + nr, dirty);
	return start;
}

static u64 count_ipis(void)
{
	FILE *f = fopen("/proc/interrupts", "r");
	char line[1024], *word;
	u64 sum = 0;

	TEST_ASSERT(f, "Cannot count interrupts");
	while (fgets(line, sizeof(line), f)) {
		word = strtok(line, " ");
		if (!word || (strcmp(word, "RES:") && strcmp(word, "CAL:") && strcmp(word, "TLB:")))
			continue;
		while ((word = strtok(NULL, " ")) && isdigit(*word))
			sum += strtoul(word, NULL, 10);
	}
	fclose(f);
	return sum;
}

static void *spin(void *vcpu)
{
	pin_self_to_cpu(1);
	td_vcpu_run_to_sync(vcpu, 1);
	return NULL;
}

/* First writes, while another vCPU is in the guest and would have to be kicked. */
static void first_writes(struct bench *b, u64 count)
{
	u64 start, cycles, ipis, others, other_cycles;
	struct td_sim_calls before;
	pthread_t thread;

	b->order->stop = 0;
	b->order->spinning = 0;
	kvm_pthread_create(&thread, NULL, spin, b->vcpus[1]);
	while (!READ_ONCE(b->order->spinning))
		usleep(1000);

	td_sim_read_calls(&before);
	ipis = count_ipis();
	start = rdtsc();
	write_pages(b, count);
	cycles = rdtsc() - start;
	ipis = count_ipis() - ipis;
	record(WRITE_CALLS, (double)td_sim_calls_since(&before, LEAF_EXPORT_UNBLOCKW) / count);
	record(WRITE_TRACKS, (double)td_sim_calls_since(&before, LEAF_MEM_TRACK) / count);

	/* The same for as long, without first writes. */
	others = count_ipis();
	start = rdtsc();
	do {
		write_pages(b, count);
		other_cycles = rdtsc() - start;
	} while (other_cycles < cycles);
	others = count_ipis() - others;
	record(OTHER_IPIS, (double)others * cycles / other_cycles / count);
	record(WRITE_IPIS, ((double)ipis - (double)others * cycles / other_cycles) / count);

	WRITE_ONCE(b->order->stop, 1);
	kvm_pthread_join(thread, NULL);
}

static void later_rounds(struct bench *b)
{
	const u64 few = b->nr_pages / 64, many = b->nr_pages / 4;
	u64 scan, few_cost, many_cost;

	run_cmd(&b->m.streams[0], KVM_TDX_MIG_EXPORT_TRACK, 0);

	scan = round_cost(b, 0);
	write_pages(b, few);
	few_cost = round_cost(b, few);
	first_writes(b, b->nr_pages / 16);
	record_kcycles(ROUND_16TH_KCYC, round_cost(b, b->nr_pages / 16));
	write_pages(b, many);
	many_cost = round_cost(b, many);
	check_copies(EXPORT_COPIED, &b->m.streams[0], LEAF_EXPORT_MEM);

	record_kcycles(ROUND_SCAN_KCYC, scan);
	record_kcycles(ROUND_64TH_KCYC, few_cost);
	record_kcycles(ROUND_4TH_KCYC, many_cost);
	record(ROUND_SCALE, ((double)few_cost - scan) / few / (((double)many_cost - scan) / many));
}

static void aes_session(struct bench *b, struct cost *export, struct cost *import)
{
	u64 page;

	begin_session(b);
	get_log(b);
	clear_log(b, NR_AES_BATCHES * BATCH);
	for (page = 0; page < NR_AES_BATCHES * BATCH; page += BATCH)
		send_one(b, page, export, import);
	check_copies(IMPORT_COPIED, &b->d.streams[0], LEAF_IMPORT_MEM);
	end_session(b);
}

static void measure_session(struct bench *b)
{
	struct cost export_aes = {}, import_aes = {}, export = {}, import = {};
	double driver, aes;

	td_sim_set_null_cipher(false);
	aes_session(b, &export_aes, &import_aes);

	td_sim_set_null_cipher(true);
	begin_session(b);
	first_round(b, &export, &import);
	later_rounds(b);
	end_session(b);
	td_sim_set_null_cipher(false);

	driver = td_series_median(&export.driver);
	aes = td_series_median(&export_aes.leaves);
	record(EXPORT_DRIVER, driver * 100 / aes);
	record_kcycles(EXPORT_DRIVER_KCYC, driver);
	record_kcycles(EXPORT_AES_KCYC, aes);
	record_kcycles(EXPORT_NULL_KCYC, td_series_median(&export.leaves));

	driver = td_series_median(&import.driver);
	aes = td_series_median(&import_aes.leaves);
	record(IMPORT_DRIVER, driver * 100 / aes);
	record_kcycles(IMPORT_DRIVER_KCYC, driver);
	record_kcycles(IMPORT_AES_KCYC, aes);
	record_kcycles(IMPORT_NULL_KCYC, td_series_median(&import.leaves));

	td_sim_read_trap(&trap);
	record_kcycles(TRAP_KCYC, trap.irqs_on);
}

/* ------------------------------------------------------------------ memory */

static double open_extra_streams(struct td_mig_stream *extra, struct kvm_vm *vm, int first)
{
	double used = td_used_kib();
	int i;

	for (i = 0; i < NR_EXTRA_STREAMS; i++)
		td_mig_stream_open(&extra[i], vm, first + i, TDX_MIG_BUF_LIST_PAGES_MAX);
	return td_used_kib() - used;
}

/* One page over each of the streams, which leaves them what they need for more. */
static double use_extra_streams(struct bench *b, struct td_mig_stream *src,
				struct td_mig_stream *dst)
{
	struct td_sim_calls before;
	u64 nr_pages;
	double used;
	int i;

	get_log(b);
	clear_log(b, BITS_PER_LONG);
	td_sim_read_calls(&before);
	used = td_used_kib();
	for (i = 0; i < NR_EXTRA_STREAMS; i++) {
		fill_gpa_list(&src[i], i);
		run_cmd(&src[i], KVM_TDX_MIG_EXPORT_MEM, 1);
		*dst[i].mbmd = *src[i].mbmd;
		*dst[i].gpa_list = *src[i].gpa_list;
		memcpy(dst[i].mac_list, src[i].mac_list, TD_MIG_MAC_SIZE);
		memcpy(dst[i].buf, src[i].buf, PAGE_SIZE);
		run_cmd(&dst[i], KVM_TDX_MIG_IMPORT_MEM, 1);
	}
	used = td_used_kib() - used;

	/* The pages, and for each page table the TDX module's and KVM's. */
	nr_pages = NR_EXTRA_STREAMS + 2 * td_sim_calls_since(&before, LEAF_SEPT_ADD);
	return used - nr_pages * PAGE_SIZE / 1024;
}

static void measure_streams(struct bench *b)
{
	struct td_mig_stream src[NR_EXTRA_STREAMS], dst[NR_EXTRA_STREAMS];
	double src_kib, dst_kib;
	int i;

	td_mig_init(&b->m, b->vm, b->vcpus, 2, 1);
	td_mig_dest_create(&b->d, &b->m);
	src_kib = open_extra_streams(src, b->vm, 1);
	dst_kib = open_extra_streams(dst, b->d.vm, 1);
	td_mig_export_immutable(&b->m);
	td_mig_import(&b->d, &b->m, 0, 0);
	dst_kib += use_extra_streams(b, src, dst);

	record(SRC_STREAM_KIB, src_kib / NR_EXTRA_STREAMS);
	record(DST_STREAM_KIB, dst_kib / NR_EXTRA_STREAMS);

	for (i = 0; i < NR_EXTRA_STREAMS; i++) {
		td_mig_stream_close(&src[i]);
		td_mig_stream_close(&dst[i]);
	}
	end_session(b);
}

/* What a TD takes by its size before it is exported; tdx_mig_count_size has the rest. */
static void measure_log(struct bench *b)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = LOG_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = LOG_GPA,
		.memory_size = LOG_GIB * SZ_1G,
		.guest_memfd = vm_create_guest_memfd(b->vm, LOG_GIB * SZ_1G, 0),
	};
	double used;

	vm_ioctl(b->vm, KVM_SET_USER_MEMORY_REGION2, &region);
	used = td_used_kib();
	region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	vm_ioctl(b->vm, KVM_SET_USER_MEMORY_REGION2, &region);
	record(LOG_KIB, (td_used_kib() - used) / LOG_GIB);

	region.memory_size = 0;
	vm_ioctl(b->vm, KVM_SET_USER_MEMORY_REGION2, &region);
	kvm_free_fd(region.guest_memfd);
}

static void help(const char *name)
{
	printf("usage: %s [-m MiB] [-r repetitions]\n", name);
	exit(1);
}

int main(int argc, char *argv[])
{
	u64 mib = 64, repetitions = 5, i;
	struct bench small = { .nr_pages = BATCH }, b = {};
	int opt;

	while ((opt = getopt(argc, argv, "m:r:")) != -1) {
		if (opt == 'm')
			mib = atoi_positive("MiB", optarg);
		else if (opt == 'r')
			repetitions = atoi_positive("repetitions", optarg);
		else
			help(argv[0]);
	}
	b.nr_pages = mib * SZ_1M / PAGE_SIZE;
	/* Whole bundles in the first round, and in those of 1/16 and 1/4. */
	TEST_ASSERT(mib >= 32 && !(mib % 32) && mib <= 4096, "%lu MiB is no multiple of 32", mib);

	TEST_REQUIRE(td_sim_has_accounts());
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(get_nprocs() > 2);

	/* Not on CPU 1, where the other vCPU spins. */
	pin_self_to_cpu(2);
	td_sim_read_trap(&trap);

	/* A TD keeps the streams that it ever had, so it is another one. */
	create_td(&small);
	for (i = 0; i < repetitions; i++) {
		measure_streams(&small);
		measure_log(&small);
	}
	free_td(&small);

	create_td(&b);
	for (i = 0; i < repetitions; i++) {
		printf("repetition %lu of %lu\n", i + 1, repetitions);
		fflush(stdout);
		measure_session(&b);
	}
	free_td(&b);

	print_report(b.nr_pages);
	return 0;
}
