// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the interface promises about commands that fail: a malformed list, header
 * or token is refused before it does any harm, the session goes on, and the right
 * one is still welcome.
 *
 * Nearly all bits of what the VMM hands in are turned, one at a time, for each
 * operation and in each phase.
 */
#include <pthread.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

/* Bits that no entry may have, whatever its operation. */
#define ENTRY_RESERVED		(TDX_MIG_GPA_ENTRY_LEVEL_MASK | GENMASK_ULL(6, 3) |	\
				 GENMASK_ULL(55, 54) | GENMASK_ULL(63, 61))
/* Bits that no entry may have that is not the outcome of an export. */
#define ENTRY_ZERO		(TDX_MIG_GPA_ENTRY_L2_MAP_MASK |			\
				 TDX_MIG_GPA_ENTRY_TYPE_MASK |				\
				 TDX_MIG_GPA_ENTRY_STATUS_MASK)
/* The SHARED bit, and what lies above it. */
#define ENTRY_NOT_PRIVATE	(TDX_MIG_GPA_ENTRY_GPA_MASK & ~(TD_SHARED_BIT - 1))

#define NR_OPS			4
#define NR_MBMD_BITS		(8 * TDX_MIG_MBMD_SIZE)
/* As many as it takes to catch a thread on another CPU in the act, and more. */
#define NR_FLIPS		5000

/* In no slot. */
#define NO_MEMORY_BIT		40
#define NO_MEMORY_GPA		BIT_ULL(NO_MEMORY_BIT)

TD_MIG_FIXTURE(td_mig, td_mig_create_plain_src);

static u64 set_op(u64 entry, u64 op)
{
	return (entry & ~TDX_MIG_GPA_ENTRY_OP_MASK) | op << TDX_MIG_GPA_ENTRY_OP_SHIFT;
}

/* --------------------------------------------------------------------- export */

static bool export_must_refuse(u64 entry)
{
	return entry & (ENTRY_RESERVED | ENTRY_ZERO | ENTRY_NOT_PRIVATE);
}

/* The page that comes first in the list is none of those that @entry can name. */
static void check_export_entry(struct td_mig_stream *s, u64 first, u64 entry)
{
	const struct tdx_mig_mbmd mbmd = *s->mbmd;
	const u64 calls = td_sim_count_leaf(TDH_EXPORT_MEM);
	const u64 list[] = { first, entry };
	struct td_mig_bundle b;
	u64 hw_error;
	int ret;

	if (!export_must_refuse(entry)) {
		ret = __td_mig_export_mem(s, &entry, 1, &b, &hw_error);
		TEST_ASSERT(!ret, "Entry 0x%lx: errno %d (%s), hw_error 0x%lx", entry, errno,
			    strerror(errno), hw_error);
		td_mig_bundle_free(&b);
		return;
	}

	ret = __td_mig_export_mem(s, list, ARRAY_SIZE(list), &b, &hw_error);
	TEST_ASSERT(ret == -1 && errno == EINVAL && !hw_error,
		    "Entry 0x%lx: returned %d, errno %d (%s), hw_error 0x%lx", entry, ret, errno,
		    strerror(errno), hw_error);
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_EXPORT_MEM), calls);
	TEST_ASSERT(!memcmp(s->mbmd, &mbmd, sizeof(mbmd)) &&
		    !memcmp(s->gpa_list, list, sizeof(list)),
		    "Entry 0x%lx: the refused command has written to the buffers", entry);
}

/* A page whose GPA differs from @gpa by more than a bit. */
static gpa_t find_distant_page(struct td_mig *m, gpa_t gpa)
{
	gpa_t *gpas, found = 0;
	u32 i, nr;

	gpas = td_mig_list_pages(m, &nr);
	for (i = 0; i < nr && !found; i++) {
		if (__builtin_popcountll(gpas[i] ^ gpa) > 1)
			found = gpas[i];
	}
	free(gpas);
	TEST_ASSERT(found, "The TD has too few pages");
	return found;
}

static void check_export_entries(struct td_mig *m, u64 first)
{
	struct td_mig_stream *s = &m->streams[0];
	u64 op, bit;

	for (op = 0; op < NR_OPS; op++) {
		check_export_entry(s, first, td_gpa_entry(TD_BOOT_GPA, op));
		for (bit = 0; bit < 64; bit++)
			check_export_entry(s, first,
					   td_gpa_entry(TD_BOOT_GPA, op) ^ BIT_ULL(bit));
	}
}

TD_TEST_F(td_mig, export_refuses_each_malformed_entry_and_the_session_goes_on)
{
	struct td_mig_bundle b;
	u64 first;

	first = td_gpa_entry(find_distant_page(&self->m, TD_BOOT_GPA), TDX_MIG_GPA_OP_MIGRATE);
	td_mig_export_immutable(&self->m);
	check_export_entries(&self->m, first);
	td_mig_export_pause(&self->m);
	check_export_entries(&self->m, first);

	/* No refusal has exported it, nor claimed it for the epoch. */
	TEST_ASSERT(!__td_mig_export_mem(&self->m.streams[0], &first, 1, &b, NULL), "errno %d",
		    errno);
	TEST_ASSERT_EQ(b.gpa_list[0], first);
	td_mig_bundle_free(&b);

	td_mig_export_all_mem(&self->m);
	td_mig_export_td_and_vcpus(&self->m);
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, export_refuses_each_malformed_entry_after_the_start_token)
{
	struct td_mig_bundle b;
	u64 first;

	first = td_gpa_entry(find_distant_page(&self->m, TD_BOOT_GPA), TDX_MIG_GPA_OP_MIGRATE);
	td_postcopy_export_states(&self->m);
	check_export_entries(&self->m, first);
	TEST_ASSERT(!__td_mig_export_mem(&self->m.streams[0], &first, 1, &b, NULL), "errno %d",
		    errno);
	TEST_ASSERT_EQ(b.gpa_list[0], first);
	td_mig_bundle_free(&b);
}

/* --------------------------------------------------------------------- import */

/* The kinds of entries of a bundle that has been exported. */
enum entry_kind {
	ENTRY_PAGE,
	/* Nothing is there, so the export has failed. */
	ENTRY_ABSENT,
	/* The VMM has asked for nothing. */
	ENTRY_NOP,
	/* The page was in the bundle already. */
	ENTRY_SKIPPED,
	NR_ENTRY_KINDS,
};

/* A bundle with all kinds of entries. */
static void export_all_kinds(struct td_mig *m, gpa_t page)
{
	const u64 list[NR_ENTRY_KINDS] = {
		[ENTRY_PAGE] = td_gpa_entry(TD_BOOT_GPA, TDX_MIG_GPA_OP_MIGRATE),
		[ENTRY_ABSENT] = td_gpa_entry(NO_MEMORY_GPA, TDX_MIG_GPA_OP_MIGRATE),
		[ENTRY_NOP] = td_gpa_entry(page, TDX_MIG_GPA_OP_NOP),
		[ENTRY_SKIPPED] = td_gpa_entry(TD_BOOT_GPA, TDX_MIG_GPA_OP_CANCEL),
	};
	struct td_mig_bundle *b = &m->bundles[m->nr_bundles++];
	u64 hw_error;
	int i, ret;

	ret = __td_mig_export_mem(&m->streams[0], list, NR_ENTRY_KINDS, b, &hw_error);
	TEST_ASSERT(!ret, "errno %d, hw_error 0x%lx", errno, hw_error);
	TEST_ASSERT_EQ(b->gpa_list[ENTRY_PAGE], list[ENTRY_PAGE]);
	for (i = ENTRY_ABSENT; i < NR_ENTRY_KINDS; i++)
		TEST_ASSERT(td_gpa_entry_op(b->gpa_list[i]) == TDX_MIG_GPA_OP_NOP &&
			    td_gpa_entry_status(b->gpa_list[i]),
			    "Entry %d came back as 0x%lx", i, b->gpa_list[i]);
}

/*
 * The error with which KVM has to refuse a list with @entry, 0 if that is up to
 * the TDX module, which would end the session as it finds the entry changed.  No
 * page of the bundle has been imported.
 */
static int import_must_refuse(u64 entry, bool out_of_order)
{
	const u64 op = td_gpa_entry_op(entry);

	if (entry & ENTRY_RESERVED)
		return -EINVAL;
	if (op == TDX_MIG_GPA_OP_NOP)
		return 0;
	if (entry & (ENTRY_ZERO | ENTRY_NOT_PRIVATE))
		return -EINVAL;
	if (op == TDX_MIG_GPA_OP_MIGRATE)
		return entry & NO_MEMORY_GPA ? -EINVAL : 0;
	return out_of_order ? -EINVAL : -ENOENT;
}

/* Returns how many changes were refused. */
static u32 check_import_entry(struct td_mig_dest *d, struct td_mig_bundle *b, int i,
			      bool out_of_order)
{
	const u64 calls = td_sim_count_leaf(TDH_IMPORT_MEM);
	const u64 entry = b->gpa_list[i];
	int ret, expected;
	u64 hw_error, bit;
	u32 nr = 0;

	for (bit = 0; bit < 64; bit++) {
		b->gpa_list[i] = entry ^ BIT_ULL(bit);
		expected = import_must_refuse(b->gpa_list[i], out_of_order);
		if (!expected)
			continue;

		ret = __td_mig_import(d->streams, b, &hw_error);
		TEST_ASSERT(ret == -1 && errno == -expected && !hw_error,
			    "Entry %d, 0x%lx: returned %d, errno %d (%s), hw_error 0x%lx", i,
			    b->gpa_list[i], ret, errno, strerror(errno), hw_error);
		nr++;
	}
	b->gpa_list[i] = entry;
	TEST_ASSERT_EQ(td_sim_count_leaf(TDH_IMPORT_MEM), calls);
	return nr;
}

static void check_import_entries(struct td_mig_dest *d, struct td_mig_bundle *b,
				 bool out_of_order)
{
	/* At least those that are reserved. */
	const u32 least = __builtin_popcountll(ENTRY_RESERVED);
	int i;

	for (i = 0; i < NR_ENTRY_KINDS; i++)
		TEST_ASSERT(check_import_entry(d, b, i, out_of_order) >= least,
			    "Entry %d: too few changes were tried", i);
}

static void check_ops(struct td_mig_dest *d, struct td_mig_bundle *b, bool out_of_order)
{
	const int expected = out_of_order ? EINVAL : ENOENT;
	const u64 entry = b->gpa_list[ENTRY_PAGE];

	b->gpa_list[ENTRY_PAGE] = set_op(entry, TDX_MIG_GPA_OP_REMIGRATE);
	TD_EXPECT_ERRNO(expected, __td_mig_import(d->streams, b, NULL));
	b->gpa_list[ENTRY_PAGE] = set_op(entry, TDX_MIG_GPA_OP_CANCEL);
	TD_EXPECT_ERRNO(expected, __td_mig_import(d->streams, b, NULL));
	b->gpa_list[ENTRY_PAGE] = entry;
}

TD_TEST_F(td_mig, import_refuses_each_malformed_entry_and_the_session_goes_on)
{
	int mem;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);
	export_all_kinds(&self->m, find_distant_page(&self->m, TD_BOOT_GPA));
	td_mig_export_rest(&self->m);

	mem = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_MEM);
	check_import_entries(&self->d, &self->m.bundles[mem], false);
	check_ops(&self->d, &self->m.bundles[mem], false);

	td_mig_import(&self->d, &self->m, mem, mem);
	TD_EXPECT_ERRNO(EEXIST, __td_mig_import(self->d.streams, &self->m.bundles[mem], NULL));
	td_mig_import_rest(&self->d, &self->m, mem + 1);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, import_refuses_each_malformed_entry_after_the_start_token)
{
	struct td_mig_bundle *b;
	struct td_postcopy p;

	td_postcopy_start(&p, &self->m, &self->d);
	export_all_kinds(&self->m, find_distant_page(&self->m, TD_BOOT_GPA));
	b = &self->m.bundles[self->m.nr_bundles - 1];
	check_import_entries(&self->d, b, true);
	check_ops(&self->d, b, true);
	td_postcopy_import(&self->d, b);

	td_postcopy_move_image(&p);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* -------------------------------------------------------------- headers, tokens */

static bool is_header_error(u64 hw_error)
{
	return hw_error == TDX_INVALID_MBMD || hw_error == TDX_INCORRECT_MBMD_MAC;
}

static void check_memory_header(struct td_mig_dest *d, struct td_mig_bundle *b)
{
	u8 *mbmd = (u8 *)&b->mbmd;
	u64 hw_error;
	int i, ret;

	for (i = 0; i < NR_MBMD_BITS; i++) {
		mbmd[i / 8] ^= BIT(i % 8);
		ret = __td_mig_import(d->streams, b, &hw_error);
		TEST_ASSERT(ret == -1 && ((errno == EINVAL && !hw_error) ||
					  (errno == EIO && is_header_error(hw_error))),
			    "MBMD bit %d: returned %d, errno %d (%s), hw_error 0x%lx", i, ret,
			    errno, strerror(errno), hw_error);
		mbmd[i / 8] ^= BIT(i % 8);
	}
}

TD_TEST_F(td_mig, no_bit_of_a_memory_header_can_be_changed_and_the_session_goes_on)
{
	int mem;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	mem = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_MEM);
	check_memory_header(&self->d, &self->m.bundles[mem]);
	td_mig_import_rest(&self->d, &self->m, mem);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

TD_TEST_F(td_mig, no_bit_of_a_memory_header_can_be_changed_after_the_start_token)
{
	struct td_mig_bundle b;
	struct td_postcopy p;
	gpa_t gpa = TD_BOOT_GPA;

	td_postcopy_start(&p, &self->m, &self->d);
	td_postcopy_export(&self->m, 0, &gpa, 1, &b);
	check_memory_header(&self->d, &b);
	td_postcopy_import(&self->d, &b);
	td_mig_bundle_free(&b);
	td_postcopy_move_image(&p);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* Another thread of the VMM, which changes a byte of a buffer and changes it back. */
struct flipper {
	u8 *byte;
	u8 right;
	u8 wrong;
	bool stop;
};

static void *flip_byte(void *arg)
{
	struct flipper *f = arg;

	while (!READ_ONCE(f->stop)) {
		WRITE_ONCE(*f->byte, f->wrong);
		WRITE_ONCE(*f->byte, f->right);
	}
	return NULL;
}

static void flipper_start(struct flipper *f, pthread_t *thread, u8 *byte, u8 wrong)
{
	*f = (struct flipper) { .byte = byte, .right = *byte, .wrong = wrong };
	kvm_pthread_create(thread, NULL, flip_byte, f);
}

static void flipper_stop(struct flipper *f, pthread_t thread)
{
	WRITE_ONCE(f->stop, true);
	kvm_pthread_join(thread, NULL);
}

/* An entry that KVM has not checked would be refused by the TDX module, with all others. */
TD_TEST_F(td_mig, tdx_module_sees_no_entry_but_those_that_were_checked)
{
	struct td_mig_stream *s = &self->m.streams[0];
	unsigned int i, nr_refused = 0;
	u64 entry, nr, hw_error;
	pthread_t thread;
	struct flipper f;
	int ret;

	/* After the start token, a page can be sent as often as one likes. */
	td_mig_export(&self->m);
	i = td_mig_find_bundle(&self->m, KVM_TDX_MIG_IMPORT_MEM);
	entry = td_gpa_entry(td_gpa_entry_gpa(self->m.bundles[i].gpa_list[0]),
			     TDX_MIG_GPA_OP_MIGRATE);
	WRITE_ONCE(s->gpa_list[0], entry);
	/* The level of a huge page. */
	flipper_start(&f, &thread, (u8 *)s->gpa_list, 1);
	for (i = 0; i < NR_FLIPS; i++) {
		/* It comes back with what has become of it. */
		WRITE_ONCE(s->gpa_list[0], entry);
		nr = 1;
		ret = __td_mig_cmd(s, KVM_TDX_MIG_EXPORT_MEM, 0, (u64)&nr, &hw_error);
		TEST_ASSERT(!ret || (errno == EINVAL && !hw_error),
			    "Try %u: returned %d, errno %d (%s), hw_error 0x%lx", i, ret, errno,
			    strerror(errno), hw_error);
		nr_refused += !!ret;
	}
	flipper_stop(&f, thread);
	TEST_ASSERT(nr_refused && nr_refused < NR_FLIPS, "KVM has refused %u lists", nr_refused);
}

/* A type that KVM has not checked would be news to the TDX module. */
TD_TEST_F(td_mig, tdx_module_sees_no_header_but_that_which_was_checked)
{
	struct td_mig_stream *s;
	unsigned int i, nr_seen = 0;
	u64 hw_error, status;
	pthread_t thread;
	struct flipper f;
	int ret;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);

	s = &self->m.streams[0];
	*s->mbmd = *self->d.streams[0].mbmd;
	s->mbmd->mac[0] ^= 1;
	flipper_start(&f, &thread, &s->mbmd->mb_type, s->mbmd->mb_type + 1);
	for (i = 0; i < NR_FLIPS; i++) {
		ret = __td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT, 0, 0, &hw_error);
		status = hw_error & TDX_STATUS_MASK;
		TEST_ASSERT(ret == -1 && ((errno == EINVAL && !hw_error) ||
					  (errno == EIO && status == TDX_INCORRECT_MBMD_MAC)),
			    "Try %u: returned %d, errno %d (%s), hw_error 0x%lx", i, ret, errno,
			    strerror(errno), hw_error);
		nr_seen += !!hw_error;
	}
	flipper_stop(&f, thread);
	TEST_ASSERT(nr_seen && nr_seen < NR_FLIPS, "The TDX module has seen %u headers", nr_seen);

	*s->mbmd = *self->d.streams[0].mbmd;
	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

TD_TEST_F(td_mig, no_bit_of_an_abort_token_can_be_changed_and_the_right_one_is_accepted)
{
	struct td_mig_stream *s;
	u64 hw_error;
	int i, ret;

	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	td_mig_import(&self->d, &self->m, 0, self->m.nr_bundles - 1);
	td_mig_cmd(&self->d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);

	s = &self->m.streams[0];
	for (i = 0; i < NR_MBMD_BITS; i++) {
		*s->mbmd = *self->d.streams[0].mbmd;
		((u8 *)s->mbmd)[i / 8] ^= BIT(i % 8);
		ret = __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_ABORT, NULL, &hw_error);
		TEST_ASSERT(ret == -1 && ((errno == EINVAL && !hw_error) ||
					  (errno == EIO && is_header_error(hw_error))),
			    "Token bit %d: returned %d, errno %d (%s), hw_error 0x%lx", i, ret,
			    errno, strerror(errno), hw_error);
		TD_EXPECT_ERRNO(EBUSY, __vcpu_run(self->vcpu));
	}

	*s->mbmd = *self->d.streams[0].mbmd;
	td_mig_cmd(s, KVM_TDX_MIG_EXPORT_ABORT);
	td_vcpu_run_to_done(self->vcpu);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
