// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the live migration of TDs: a fake TD for all of them; the phases of a
 * session; the status of a leaf, and how often it is called again.
 */
#include <linux/module.h>
#include <linux/rbtree.h>
#include <linux/srcu.h>

#include "tdx_mig_kunit.h"
#include "tdx_servtd.h"

static void fake_td_destroy(void *data)
{
	struct fake_td *td = data;

	scoped_guard(rwsem_write, &td->mig.session_sem)
		tdx_mig_forget_sent(&td->mig);
	xa_destroy(&td->mig.sent);
	cleanup_srcu_struct(&td->kvm_tdx.kvm.srcu);
	kvfree(td);
}

struct fake_td *fake_td_create(struct kunit *test)
{
	struct fake_td *td;
	struct kvm *kvm;

	td = kvzalloc_obj(*td);
	KUNIT_ASSERT_NOT_NULL(test, td);

	kvm = &td->kvm_tdx.kvm;
	if (init_srcu_struct(&kvm->srcu)) {
		kvfree(td);
		KUNIT_FAIL_AND_ABORT(test, "no memory for SRCU");
	}
	rwlock_init(&kvm->mmu_lock);
	INIT_LIST_HEAD(&kvm->arch.tdp_mmu_roots);
	kvm->arch.gfn_direct_bits = gpa_to_gfn(FAKE_TD_SHARED);

	td->slot.base_gfn = FAKE_TD_GFN;
	td->slot.npages = FAKE_TD_PAGES;
	td->slot.flags = KVM_MEM_GUEST_MEMFD;
	td->slots.gfn_tree = RB_ROOT;
	rb_link_node(&td->slot.gfn_node[0], NULL, &td->slots.gfn_tree.rb_node);
	rb_insert_color(&td->slot.gfn_node[0], &td->slots.gfn_tree);
	rcu_assign_pointer(kvm->memslots[0], &td->slots);

	init_rwsem(&td->mig.session_sem);
	init_rwsem(&td->mig.convert_sem);
	xa_init_flags(&td->mig.sent, XA_FLAGS_ACCOUNT);
	td->kvm_tdx.mig = &td->mig;

	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fake_td_destroy, td), 0);

	return td;
}

static void fake_stream_destroy(void *data)
{
	struct tdx_mig_stream *stream = data;

	tdx_mig_stream_free_pages(stream);
	mutex_destroy(&stream->lock);
	kfree(stream);
}

struct tdx_mig_stream *fake_stream_create(struct kunit *test, struct fake_td *td,
					  u16 index, unsigned int nr_bufs)
{
	struct tdx_mig_stream *stream;
	int r;

	stream = kzalloc_obj(*stream);
	KUNIT_ASSERT_NOT_NULL(test, stream);

	stream->kvm = &td->kvm_tdx.kvm;
	stream->index = index;
	mutex_init(&stream->lock);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, fake_stream_destroy, stream), 0);

	scoped_guard(mutex, &stream->lock)
		r = tdx_mig_stream_alloc_pages(stream, nr_bufs);
	KUNIT_ASSERT_EQ(test, r, 0);

	return stream;
}

/* The phases of a session. */

struct phase_case {
	enum tdx_mig_phase phase;
	const char *name;
};

#define PHASE(_phase)	{ TDX_MIG_##_phase, #_phase }

static const struct phase_case phases[] = {
	PHASE(NONE),
	PHASE(LIVE_EXPORT),
	PHASE(PAUSED_EXPORT),
	PHASE(POST_EXPORT),
	PHASE(EXPORT_CANCELED),
	PHASE(EXPORT_LOST),
	PHASE(IMPORT_START),
	PHASE(MEMORY_IMPORT),
	PHASE(STATE_IMPORT),
	PHASE(POST_IMPORT),
	PHASE(LIVE_IMPORT),
	PHASE(IMPORT_CLOSED),
	PHASE(IMPORT_FAILED),
};

static_assert(ARRAY_SIZE(phases) == TDX_MIG_IMPORT_FAILED + 1);

KUNIT_ARRAY_PARAM_DESC(phase, phases, name);

struct phase_change {
	enum tdx_mig_phase from;
	enum tdx_mig_phase to;
};

/* What the comment at enum tdx_mig_phase tells, change by change. */
static const struct phase_change legal_changes[] = {
	/* The source, from the start to the start token. */
	{ TDX_MIG_NONE,			TDX_MIG_LIVE_EXPORT },
	{ TDX_MIG_LIVE_EXPORT,		TDX_MIG_PAUSED_EXPORT },
	{ TDX_MIG_PAUSED_EXPORT,	TDX_MIG_POST_EXPORT },

	/* An abort, or the removal of an exported page.  After the token, an abort. */
	{ TDX_MIG_LIVE_EXPORT,		TDX_MIG_EXPORT_CANCELED },
	{ TDX_MIG_PAUSED_EXPORT,	TDX_MIG_EXPORT_CANCELED },
	{ TDX_MIG_POST_EXPORT,		TDX_MIG_EXPORT_CANCELED },
	{ TDX_MIG_EXPORT_CANCELED,	TDX_MIG_NONE },

	/* KVM cannot cancel the session, or restore a page. */
	{ TDX_MIG_LIVE_EXPORT,		TDX_MIG_EXPORT_LOST },
	{ TDX_MIG_PAUSED_EXPORT,	TDX_MIG_EXPORT_LOST },
	{ TDX_MIG_EXPORT_CANCELED,	TDX_MIG_EXPORT_LOST },

	/* The destination, with and without post-copy. */
	{ TDX_MIG_NONE,			TDX_MIG_IMPORT_START },
	{ TDX_MIG_IMPORT_START,		TDX_MIG_MEMORY_IMPORT },
	{ TDX_MIG_MEMORY_IMPORT,	TDX_MIG_STATE_IMPORT },
	{ TDX_MIG_STATE_IMPORT,		TDX_MIG_POST_IMPORT },
	{ TDX_MIG_POST_IMPORT,		TDX_MIG_LIVE_IMPORT },
	{ TDX_MIG_POST_IMPORT,		TDX_MIG_NONE },
	{ TDX_MIG_LIVE_IMPORT,		TDX_MIG_NONE },

	/* Before the commit, a failure is the end.  After it, the TD runs on. */
	{ TDX_MIG_IMPORT_START,		TDX_MIG_IMPORT_FAILED },
	{ TDX_MIG_MEMORY_IMPORT,	TDX_MIG_IMPORT_FAILED },
	{ TDX_MIG_STATE_IMPORT,		TDX_MIG_IMPORT_FAILED },
	{ TDX_MIG_POST_IMPORT,		TDX_MIG_IMPORT_FAILED },
	{ TDX_MIG_LIVE_IMPORT,		TDX_MIG_IMPORT_CLOSED },
	{ TDX_MIG_IMPORT_CLOSED,	TDX_MIG_NONE },
};

static bool is_legal_change(enum tdx_mig_phase from, enum tdx_mig_phase to)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(legal_changes); i++) {
		if (legal_changes[i].from == from && legal_changes[i].to == to)
			return true;
	}

	return false;
}

static void only_legal_phases_follow(struct kunit *test)
{
	const struct phase_case *from = test->param_value;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(phases); i++)
		KUNIT_EXPECT_EQ_MSG(test, tdx_mig_phase_can_follow(from->phase, phases[i].phase),
				    is_legal_change(from->phase, phases[i].phase),
				    "%s -> %s", from->name, phases[i].name);
}

static void every_phase_is_reached_from_none(struct kunit *test)
{
	unsigned long reached = BIT(TDX_MIG_NONE), old = 0;
	unsigned int i, j;

	while (reached != old) {
		old = reached;
		for_each_set_bit(i, &old, ARRAY_SIZE(phases)) {
			for (j = 0; j < ARRAY_SIZE(phases); j++) {
				if (tdx_mig_phase_can_follow(i, j))
					__set_bit(j, &reached);
			}
		}
	}

	for (i = 0; i < ARRAY_SIZE(phases); i++)
		KUNIT_EXPECT_TRUE_MSG(test, test_bit(i, &reached), "%s", phases[i].name);
}

static void only_lost_and_failed_are_terminal(struct kunit *test)
{
	const unsigned long expected = BIT(TDX_MIG_EXPORT_LOST) | BIT(TDX_MIG_IMPORT_FAILED);
	const struct phase_case *from = test->param_value;
	bool terminal = true;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(phases); i++)
		terminal &= !tdx_mig_phase_can_follow(from->phase, i);

	KUNIT_EXPECT_EQ(test, terminal, test_bit(from->phase, &expected));
}

static void nothing_follows_what_is_no_phase(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(phases); i++)
		KUNIT_EXPECT_FALSE(test, tdx_mig_phase_can_follow(ARRAY_SIZE(phases), i));
}

static struct kunit_case phase_cases[] = {
	KUNIT_CASE_PARAM(only_legal_phases_follow, phase_gen_params),
	KUNIT_CASE(every_phase_is_reached_from_none),
	KUNIT_CASE_PARAM(only_lost_and_failed_are_terminal, phase_gen_params),
	KUNIT_CASE(nothing_follows_what_is_no_phase),
	{}
};

static struct kunit_suite phase_suite = {
	.name = "tdx_mig_phase",
	.test_cases = phase_cases,
};

/* The status of a leaf, and how often it is called again. */

struct status_case {
	const char *name;
	u64 err;
	u64 status;
	bool busy;
	bool interrupted;
	/* Of a leaf for migration, of one that was interrupted before, of a binding. */
	int mig_errno;
	int call_errno;
	int servtd_errno;
};

/* Numbers are those of the TDX module's ABI, with operands in the low half. */
static const struct status_case status_cases[] = {
	{ "success", 0, 0, false, false, 0, 0, 0 },
	{ "success that counts", 0x3, 0, false, false, 0, 0, 0 },

	{ "operand busy", 0x8000020000000001, 0x8000020000000000,
	  true, false, -EAGAIN, -EIO, -EAGAIN },
	{ "system busy", 0x8000020200000000, 0x8000020200000000,
	  true, false, -EAGAIN, -EIO, -EAGAIN },
	{ "no entropy", 0x8000020300000000, 0x8000020300000000,
	  true, false, -EAGAIN, -EIO, -EAGAIN },
	{ "previous TLB epoch busy", 0x8000020100000000, 0x8000020100000000,
	  false, false, -EIO, -EIO, -EIO },
	{ "operand busy, fatal", 0xa000020000000001, 0x8000020000000000,
	  false, false, -EIO, -EIO, -EIO },
	{ "system busy, fatal", 0xa000020200000000, 0x8000020200000000,
	  false, false, -EIO, -EIO, -EIO },

	{ "interrupted, resumable", 0x8000000300000000, 0x8000000300000000,
	  false, true, -EIO, -EIO, -EIO },
	{ "interrupted, busy", 0x8000020600000000, 0x8000020600000000,
	  false, true, -EIO, -EIO, -EIO },
	{ "interrupted, restartable", 0x8000000400000000, 0x8000000400000000,
	  false, false, -EIO, -EIO, -EIO },

	{ "operand invalid", 0xc000010000000002, 0xc000010000000000,
	  false, false, -EIO, -EIO, -EINVAL },
	{ "op_state incorrect", 0xc000060800000000, 0xc000060800000000,
	  false, false, -EIO, -EIO, -EBUSY },
	{ "service TD already bound for type", 0xc0000d0000000000, 0xc0000d0000000000,
	  false, false, -EIO, -EIO, -EEXIST },
	{ "service TD type mismatch", 0xc0000d0100000000, 0xc0000d0100000000,
	  false, false, -EIO, -EIO, -EPERM },
	{ "service TD attributes mismatch", 0xc0000d0200000000, 0xc0000d0200000000,
	  false, false, -EIO, -EIO, -EPERM },
	{ "service TD hash mismatch", 0xc0000d0300000000, 0xc0000d0300000000,
	  false, false, -EIO, -EIO, -EPERM },
	{ "service TD UUID mismatch", 0xc0000d0400000000, 0xc0000d0400000000,
	  false, false, -EIO, -EIO, -EPERM },
	{ "service TD not bound", 0xc0000d0500000000, 0xc0000d0500000000,
	  false, false, -EIO, -EIO, -EIO },
	{ "service TD bound", 0xc0000d0600000000, 0xc0000d0600000000,
	  false, false, -EIO, -EIO, -EEXIST },

	{ "incorrect MAC", 0xc0000e0100000000, 0xc0000e0100000000,
	  false, false, -EIO, -EIO, -EIO },
	{ "incorrect MAC, fatal", 0xe0000e0100000000, 0xc0000e0100000000,
	  false, false, -EIO, -EIO, -EIO },
};

KUNIT_ARRAY_PARAM_DESC(status, status_cases, name);

static void a_status_is_decoded(struct kunit *test)
{
	const struct status_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, tdx_mig_status(c->err), c->status);
	KUNIT_EXPECT_EQ(test, tdx_mig_is_busy(c->err), c->busy);
	KUNIT_EXPECT_EQ(test, tdx_mig_is_interrupted(c->err), c->interrupted);
}

static void a_status_has_an_errno(struct kunit *test)
{
	const struct tdx_mig_call fresh = {}, resumed = { .resume = true };
	const struct status_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, tdx_mig_errno(c->err), c->mig_errno);
	KUNIT_EXPECT_EQ(test, tdx_mig_call_errno(&fresh, c->err), c->mig_errno);
	KUNIT_EXPECT_EQ(test, tdx_mig_call_errno(&resumed, c->err), c->call_errno);
	KUNIT_EXPECT_EQ(test, tdx_servtd_errno(c->err), c->servtd_errno);
}

static void a_leaf_is_called_again_if_that_helps(struct kunit *test)
{
	const struct status_case *c = test->param_value;
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_call call = { .kvm = &td->kvm_tdx.kvm };
	bool gives_way = c->status == TDX_INTERRUPTED_BUSY;

	KUNIT_EXPECT_EQ(test, tdx_mig_call_again(&call, c->err), c->busy || c->interrupted);
	KUNIT_EXPECT_EQ(test, call.resume, c->interrupted);
	KUNIT_EXPECT_EQ(test, call.resumes, c->interrupted && !gives_way);
	KUNIT_EXPECT_EQ(test, call.yields, gives_way);
	KUNIT_EXPECT_EQ(test, call.retries, c->busy);
	KUNIT_EXPECT_EQ(test, atomic64_read(&call.kvm->stat.tdx_mig_resumes), c->interrupted);
	KUNIT_EXPECT_EQ(test, atomic64_read(&call.kvm->stat.tdx_mig_retries), c->busy);
}

/* How often is the leaf called again that always returns @err, at most @max times? */
static unsigned int count_calls(struct tdx_mig_call *call, u64 err, unsigned int max)
{
	unsigned int nr = 0;

	while (nr < max && tdx_mig_call_again(call, err))
		nr++;

	return nr;
}

/* More than any bound. */
#define MAX_CALLS	(10 * (TDX_MIG_MAX_RESUMES + TDX_MIG_MAX_LATE_RETRIES))

static void calls_are_bounded(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_call resumed = { .kvm = &td->kvm_tdx.kvm };
	struct tdx_mig_call yielded = { .kvm = &td->kvm_tdx.kvm };
	struct tdx_mig_call retried = { .kvm = &td->kvm_tdx.kvm };

	/* Each entry of a list can be followed by an interruption. */
	KUNIT_EXPECT_GE(test, TDX_MIG_MAX_RESUMES, 512);

	KUNIT_EXPECT_EQ(test, count_calls(&resumed, TDX_INTERRUPTED_RESUMABLE, MAX_CALLS),
			TDX_MIG_MAX_RESUMES);
	KUNIT_EXPECT_EQ(test, resumed.resumes, TDX_MIG_MAX_RESUMES);
	KUNIT_EXPECT_EQ(test, resumed.retries, 0);

	KUNIT_EXPECT_EQ(test, count_calls(&yielded, TDX_INTERRUPTED_BUSY, MAX_CALLS),
			TDX_MIG_MAX_LATE_RETRIES);
	KUNIT_EXPECT_EQ(test, yielded.resumes, 0);

	KUNIT_EXPECT_EQ(test, count_calls(&retried, TDX_OPERAND_BUSY, MAX_CALLS),
			TDX_MIG_MAX_RETRIES);
	KUNIT_EXPECT_FALSE(test, tdx_mig_call_again(&retried, TDX_SYS_BUSY));
	KUNIT_EXPECT_FALSE(test, retried.resume);
	KUNIT_EXPECT_EQ(test, retried.resumes, 0);
	KUNIT_EXPECT_EQ(test, retried.retries, TDX_MIG_MAX_RETRIES);
}

/* What has begun can only be finished or be lost, so contention is given more time. */
static void leaf_that_was_interrupted_outwaits_others(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_call call = { .kvm = &td->kvm_tdx.kvm };

	KUNIT_EXPECT_GE(test, TDX_MIG_MAX_LATE_RETRIES, 10 * TDX_MIG_MAX_RETRIES);
	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_INTERRUPTED_RESUMABLE));
	KUNIT_EXPECT_EQ(test, count_calls(&call, TDX_OPERAND_BUSY, MAX_CALLS),
			TDX_MIG_MAX_LATE_RETRIES);
	KUNIT_EXPECT_FALSE(test, tdx_mig_call_again(&call, TDX_SYS_BUSY));
}

/* Such a leaf is called by who outwaits others, and must not do so thousands of times. */
static void leaf_that_restarts_has_no_reason_to_be_patient(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_call call = { .kvm = &td->kvm_tdx.kvm, .restarts = true };

	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_INTERRUPTED_RESUMABLE));
	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_INTERRUPTED_BUSY));
	KUNIT_EXPECT_FALSE(test, call.resume);
	KUNIT_EXPECT_EQ(test, count_calls(&call, TDX_OPERAND_BUSY, MAX_CALLS),
			TDX_MIG_MAX_RETRIES);
}

/* Contention between two interruptions neither ends the operation nor restarts it. */
static void resumes_and_retries_have_bounds_of_their_own(struct kunit *test)
{
	struct fake_td *td = fake_td_create(test);
	struct tdx_mig_call call = { .kvm = &td->kvm_tdx.kvm };

	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_OPERAND_BUSY));
	KUNIT_EXPECT_FALSE(test, call.resume);
	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_INTERRUPTED_RESUMABLE));
	KUNIT_EXPECT_TRUE(test, call.resume);
	KUNIT_EXPECT_TRUE(test, tdx_mig_call_again(&call, TDX_OPERAND_BUSY));
	KUNIT_EXPECT_TRUE(test, call.resume);

	KUNIT_EXPECT_EQ(test, count_calls(&call, TDX_SYS_BUSY, MAX_CALLS),
			TDX_MIG_MAX_LATE_RETRIES - 2);
	KUNIT_EXPECT_EQ(test, count_calls(&call, TDX_INTERRUPTED_BUSY, MAX_CALLS),
			TDX_MIG_MAX_LATE_RETRIES);
	KUNIT_EXPECT_EQ(test, count_calls(&call, TDX_INTERRUPTED_RESUMABLE, MAX_CALLS),
			TDX_MIG_MAX_RESUMES - 1);
	KUNIT_EXPECT_TRUE(test, call.resume);
	KUNIT_EXPECT_FALSE(test, tdx_mig_call_again(&call, 0));
	KUNIT_EXPECT_EQ(test, atomic64_read(&call.kvm->stat.tdx_mig_resumes),
			TDX_MIG_MAX_RESUMES + TDX_MIG_MAX_LATE_RETRIES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&call.kvm->stat.tdx_mig_retries),
			TDX_MIG_MAX_LATE_RETRIES);
}

static struct kunit_case seamcall_cases[] = {
	KUNIT_CASE_PARAM(a_status_is_decoded, status_gen_params),
	KUNIT_CASE_PARAM(a_status_has_an_errno, status_gen_params),
	KUNIT_CASE_PARAM(a_leaf_is_called_again_if_that_helps, status_gen_params),
	KUNIT_CASE(calls_are_bounded),
	KUNIT_CASE(leaf_that_was_interrupted_outwaits_others),
	KUNIT_CASE(leaf_that_restarts_has_no_reason_to_be_patient),
	KUNIT_CASE(resumes_and_retries_have_bounds_of_their_own),
	{}
};

static struct kunit_suite seamcall_suite = {
	.name = "tdx_mig_seamcall",
	.test_cases = seamcall_cases,
};

kunit_test_suites(&phase_suite, &seamcall_suite);

MODULE_DESCRIPTION("KUnit tests of the live migration of TDX guests");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
