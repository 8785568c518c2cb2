// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bundles that are changed, cut, repeated or out of order are refused, and a TD
 * never runs at the destination unless all of it arrived as it was sent.
 *
 * One source exports once.  Each attempt takes a destination of its own, up to
 * the bundle in question, unless the refusal left the session intact.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

/* So that the small TD of this test takes several memory bundles. */
#define NR_ENTRIES		64

/* Bytes of lists and pages that are changed, one after another. */
#define NR_SAMPLES		12

struct attempt {
	struct td_mig m;
	struct td_mig_dest d;
	bool has_dest;
	/* The bundle that is changed. */
	int at;
};

static void attempt_create(struct attempt *a, int nr_streams)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = td_mig_create_data_src(&vcpu);

	td_mig_init(&a->m, vm, &vcpu, 1, nr_streams);
	a->m.nr_entries = NR_ENTRIES;
	td_mig_export(&a->m);
}

/* A destination that has all bundles before the one in question. */
static void attempt_begin(struct attempt *a)
{
	if (a->has_dest)
		return;

	td_mig_dest_create(&a->d, &a->m);
	td_mig_import(&a->d, &a->m, 0, a->at - 1);
	a->has_dest = true;
}

static void attempt_drop_dest(struct attempt *a)
{
	if (a->has_dest)
		td_mig_dest_free(&a->d);
	a->has_dest = false;
}

static void attempt_free(struct attempt *a)
{
	attempt_drop_dest(a);
	td_mig_free(&a->m);
	kvm_vm_free(a->m.src);
}

TD_STREAMS_FIXTURE(attempt, struct attempt, a, attempt_create, attempt_free);
TD_MIG_VARIANT(attempt, one_stream, 1);

TD_STREAMS_FIXTURE(attempt_streams, struct attempt, a, attempt_create, attempt_free);
TD_MIG_VARIANT(attempt_streams, two_streams, 2);
TD_MIG_VARIANT(attempt_streams, four_streams, 4);

/* From now on it is about the first bundle that this command imports. */
static void attempt_at(struct attempt *a, u32 import_cmd)
{
	a->at = td_mig_find_bundle(&a->m, import_cmd);
}

/* The session is intact: the rest arrives and the TD runs. */
static void attempt_finish(struct attempt *a)
{
	attempt_begin(a);
	td_mig_import_rest(&a->d, &a->m, a->at);
	td_vcpu_run_to_done(a->d.vcpus[0]);
	attempt_drop_dest(a);
}

/* The session is lost: nothing brings the TD to run. */
static void check_session_is_lost(struct attempt *a)
{
	struct td_mig_stream *s = &a->d.streams[0];
	int i;

	for (i = a->at; i < a->m.nr_bundles; i++)
		TEST_ASSERT(__td_mig_import(a->d.streams, &a->m.bundles[i], NULL),
			    "Bundle %d was taken after the session was lost", i);
	TEST_ASSERT(__td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_COMMIT, NULL, NULL),
		    "A lost session was committed");
	TEST_ASSERT(__td_mig_cmd_nr(s, KVM_TDX_MIG_IMPORT_END, NULL, NULL),
		    "A lost session was ended");
	TEST_ASSERT(__vcpu_run(a->d.vcpus[0]), "A TD runs that did not fully arrive");
}

/*
 * The bundle is refused: by KVM with EINVAL, ENOENT or EEXIST, without a
 * SEAMCALL and with the session intact, or by the TDX module with EIO and one
 * of @statuses, which end with 0.
 */
static void expect_refused(struct attempt *a, const struct td_mig_bundle *b, const char *what,
			   size_t pos, const u64 *statuses)
{
	u64 hw_error, status;
	int ret, err;

	attempt_begin(a);
	ret = __td_mig_import(a->d.streams, b, &hw_error);
	err = errno;
	TEST_ASSERT(ret, "%s %lu: a changed bundle was taken", what, pos);

	if (err == EINVAL || err == ENOENT || err == EEXIST) {
		TEST_ASSERT(!hw_error, "%s %lu: errno %d with hw_error 0x%lx", what, pos, err,
			    hw_error);
		return;
	}

	status = hw_error & TDX_STATUS_MASK & ~TDX_FATAL;
	while (*statuses && *statuses != status)
		statuses++;
	TEST_ASSERT(err == EIO && *statuses,
		    "%s %lu: errno %d (%s), hw_error 0x%lx", what, pos, err, strerror(err),
		    hw_error);

	/* A header that is refused leaves a memory import as it was. */
	if (b->import_cmd == KVM_TDX_MIG_IMPORT_MEM && !(hw_error & TDX_FATAL))
		return;

	check_session_is_lost(a);
	attempt_drop_dest(a);
}

static void flip_mbmd(struct attempt *a)
{
	struct td_mig_bundle b = a->m.bundles[a->at];
	static const u64 header[] = { TDX_INVALID_MBMD, TDX_INCORRECT_MBMD_MAC, 0 };
	/* Of the immutable state: numbers of streams and of pages. */
	static const u64 numbers[] = {
		TDX_INVALID_MBMD, TDX_INCORRECT_MBMD_MAC, TDX_NUM_MIGS_HIGHER_THAN_CREATED,
		TDX_OPERAND_INVALID, 0
	};
	static const u64 mac[] = { TDX_INCORRECT_MBMD_MAC, 0 };
	u8 *mbmd = (u8 *)&b.mbmd;
	const u64 *statuses;
	size_t pos;

	for (pos = 0; pos < sizeof(b.mbmd); pos++) {
		if (pos >= offsetof(struct tdx_mig_mbmd, mac))
			statuses = mac;
		else if (pos >= offsetof(struct tdx_mig_mbmd, type_info) &&
			 b.import_cmd == KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE)
			statuses = numbers;
		else
			statuses = header;

		mbmd[pos] ^= BIT(pos % 8);
		expect_refused(a, &b, "MBMD byte", pos, statuses);
		mbmd[pos] ^= BIT(pos % 8);
	}
}

/* Change bytes of @buf, which is part of @b, spread over its whole length. */
static void flip_bytes(struct attempt *a, const struct td_mig_bundle *b, u8 *buf, size_t len,
		       const char *what, u64 status)
{
	const u64 statuses[] = { status, 0 };
	size_t i, pos;

	for (i = 0; i < NR_SAMPLES; i++) {
		pos = i * (len - 1) / (NR_SAMPLES - 1);
		buf[pos] ^= BIT(i % 8);
		expect_refused(a, b, what, pos, statuses);
		buf[pos] ^= BIT(i % 8);
	}
}

static void change_state_bundle(struct attempt *a, u32 import_cmd)
{
	static const u64 cut[] = { TDX_INCORRECT_MBMD_MAC, TDX_OPERAND_INVALID, 0 };
	struct td_mig_bundle b;

	attempt_at(a, import_cmd);
	flip_mbmd(a);

	b = a->m.bundles[a->at];
	flip_bytes(a, &b, b.pages, b.nr * PAGE_SIZE, "State byte", TDX_INCORRECT_MBMD_MAC);
	if (b.nr > 1) {
		b.nr--;
		expect_refused(a, &b, "State pages", b.nr, cut);
	}
	attempt_finish(a);
}

TD_TEST_F(attempt, changed_immutable_state_is_refused)
{
	change_state_bundle(&self->a, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE);
}

TD_TEST_F(attempt, changed_td_state_is_refused)
{
	change_state_bundle(&self->a, KVM_TDX_MIG_IMPORT_STATE_TD);
}

TD_TEST_F(attempt, changed_vcpu_state_is_refused)
{
	change_state_bundle(&self->a, KVM_TDX_MIG_IMPORT_STATE_VP);
}

TD_TEST_F(attempt, changed_start_token_is_refused)
{
	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_TRACK);
	flip_mbmd(&self->a);
	attempt_finish(&self->a);
}

TD_TEST_F(attempt, changed_header_of_a_memory_bundle_is_refused)
{
	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	flip_mbmd(&self->a);
	attempt_finish(&self->a);
}

TD_TEST_F(attempt, changed_page_of_a_memory_bundle_is_refused)
{
	struct td_mig_bundle b;
	u32 i;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	b = self->a.m.bundles[self->a.at];
	for (i = 0; i < b.nr; i++) {
		TEST_ASSERT(td_gpa_entry_op(b.gpa_list[i]) == TDX_MIG_GPA_OP_MIGRATE &&
			    !(b.gpa_list[i] & TDX_MIG_GPA_ENTRY_PENDING),
			    "Entry %u has no content: 0x%lx", i, b.gpa_list[i]);
	}

	flip_bytes(&self->a, &b, b.pages, b.nr * PAGE_SIZE, "Page byte", TDX_INVALID_PAGE_MAC);
	flip_bytes(&self->a, &b, b.mac_list, b.nr * TD_MIG_MAC_SIZE, "Page MAC byte",
		   TDX_INVALID_PAGE_MAC);
	flip_bytes(&self->a, &b, (u8 *)b.gpa_list, b.nr * sizeof(*b.gpa_list), "GPA list byte",
		   TDX_INVALID_PAGE_MAC);
	attempt_finish(&self->a);
}

TD_TEST_F(attempt, memory_bundle_with_another_number_of_pages_is_refused)
{
	struct td_mig_bundle b;
	u32 nr;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	b = self->a.m.bundles[self->a.at];
	nr = b.nr;
	attempt_begin(&self->a);
	for (b.nr = 1; b.nr < nr; b.nr *= 2)
		TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->a.d.streams, &b, NULL));
	attempt_finish(&self->a);
}

TD_TEST_F(attempt, bundle_of_a_session_with_another_key_is_refused)
{
	u64 hw_error;
	int i;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE);
	attempt_begin(&self->a);
	/* What a migration TD writes last counts. */
	for (i = 0; i < TD_MIG_KEY_WORDS; i++)
		TEST_ASSERT_EQ(td_migtd_write(td_mig_dst_migtd(), TD_MD_MIG_DEC_KEY + i, i), 0UL);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->a.d.streams, &self->a.m.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error, TDX_INCORRECT_MBMD_MAC | TDX_FATAL);
	check_session_is_lost(&self->a);
}

TD_TEST_F(attempt, repeated_bundle_is_refused)
{
	const u32 cmds[] = {
		KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE,
		KVM_TDX_MIG_IMPORT_MEM,
		KVM_TDX_MIG_IMPORT_STATE_TD,
		KVM_TDX_MIG_IMPORT_STATE_VP,
		KVM_TDX_MIG_IMPORT_TRACK,
	};
	u64 hw_error;
	int i, at;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE);
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		attempt_begin(&self->a);
		at = td_mig_find_bundle(&self->a.m, cmds[i]);
		td_mig_import(&self->a.d, &self->a.m, 0, at);
		TEST_ASSERT(__td_mig_import(self->a.d.streams, &self->a.m.bundles[at], &hw_error),
			    "Command %u took a bundle twice", cmds[i]);
		attempt_drop_dest(&self->a);
	}
}

TD_TEST_F(attempt, bundle_after_a_missing_one_of_its_stream_is_refused)
{
	u64 hw_error;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	attempt_begin(&self->a);
	TEST_ASSERT_EQ(self->a.m.bundles[self->a.at + 1].import_cmd, KVM_TDX_MIG_IMPORT_MEM);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->a.d.streams, &self->a.m.bundles[self->a.at + 1],
					     &hw_error));
	TEST_ASSERT_EQ(hw_error, TDX_INVALID_MBMD);
	/* The right one is still welcome. */
	attempt_finish(&self->a);
}

TD_TEST_F(attempt_streams, start_token_is_refused_while_a_bundle_of_any_stream_is_missing)
{
	int i, last, missing = -1;
	u64 hw_error;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	last = self->a.m.nr_bundles - 1;
	for (i = 0; i <= last; i++) {
		if (self->a.m.bundles[i].stream == 1)
			missing = i;
	}
	TEST_ASSERT(missing >= self->a.at, "Stream 1 was not used");

	attempt_begin(&self->a);
	td_mig_import(&self->a.d, &self->a.m, self->a.at, missing - 1);
	td_mig_import(&self->a.d, &self->a.m, missing + 1, last - 1);
	td_mig_load_vcpus(&self->a.d, &self->a.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->a.d.streams, &self->a.m.bundles[last],
					     &hw_error));
	TEST_ASSERT_EQ(hw_error, TDX_INVALID_MBMD | TDX_FATAL);
	self->a.at = last;
	check_session_is_lost(&self->a);
}

TD_TEST_F(attempt_streams, bundle_for_another_stream_is_refused)
{
	struct td_mig_bundle b;
	u64 hw_error;
	int i;

	attempt_at(&self->a, KVM_TDX_MIG_IMPORT_MEM);
	attempt_begin(&self->a);
	b = self->a.m.bundles[self->a.at];
	b.stream ^= 1;
	TD_EXPECT_ERRNO(EINVAL, __td_mig_import(self->a.d.streams, &b, NULL));

	/* Even if it says so itself. */
	b.mbmd.migs_index = b.stream;
	for (i = 0; i < 2; i++) {
		TD_EXPECT_ERRNO(EIO, __td_mig_import(self->a.d.streams, &b, &hw_error));
		TEST_ASSERT(hw_error == TDX_INVALID_MBMD || hw_error == TDX_INCORRECT_MBMD_MAC,
			    "hw_error 0x%lx", hw_error);
		b.mbmd.mb_counter = 0;
	}
	attempt_finish(&self->a);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
