// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: a migration that is recorded once and
 * replayed any number of times.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_record.h"

/* Pages of the worker, by what becomes of them. */
enum record_page {
	/* Sent, written and sent again. */
	AGAIN_PAGE,
	OTHER_AGAIN_PAGE,
	/* Sent, revoked and sent late. */
	CANCELED_PAGE,
	/* Sent once. */
	ONCE_PAGE,
	/* Listed, but not sent before the end. */
	NOP_PAGE,
	/* Sent in the second epoch. */
	SECOND_PAGE,
	/* Sent late. */
	LATE_PAGE,
	OTHER_LATE_PAGE,
	NR_NAMED_PAGES,
};

/* There never is such a page. */
#define ABSENT_PAGE		(TD_WORKER_NR_PAGES - 1)

/* A session takes a page that is accepted in it, and one that is not. */
#define NR_UNACCEPTED		2

#define SCRIBBLE		0xa5

/* ------------------------------------------------------------------ recording */

static u64 entry_of(u64 page, u64 op)
{
	return td_gpa_entry(td_worker_gpa(page), op);
}

static void export_list(struct td_record *r, u32 stream, const u64 *list, u32 nr)
{
	struct td_mig *m = &r->m;
	u64 hw_error;
	int ret;

	ret = __td_mig_export_mem(&m->streams[stream], list, nr, td_mig_next_bundle(m), &hw_error);
	TEST_ASSERT(!ret, "Export of memory failed, errno %d (%s), hw_error 0x%lx", errno,
		    strerror(errno), hw_error);
}

/* What an entry of the last bundle has come back as. */
static void expect_entry(struct td_record *r, u32 i, unsigned int op, bool pending)
{
	const u64 entry = r->m.bundles[r->m.nr_bundles - 1].gpa_list[i];

	TEST_ASSERT(td_gpa_entry_op(entry) == op &&
		    !(entry & TDX_MIG_GPA_ENTRY_PENDING) == !pending,
		    "Entry %u came back as 0x%lx", i, entry);
}

static void record_new_pages(struct td_record *r)
{
	const u64 list[] = {
		entry_of(AGAIN_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(NOP_PAGE, TDX_MIG_GPA_OP_NOP),
		entry_of(OTHER_AGAIN_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(r->next_unaccepted, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(ABSENT_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(CANCELED_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(ONCE_PAGE, TDX_MIG_GPA_OP_MIGRATE),
	};

	td_worker_clear_log(&r->w, 0, NR_NAMED_PAGES);
	td_worker_clear_log(&r->w, r->next_unaccepted, 1);
	export_list(r, 1, list, ARRAY_SIZE(list));
	expect_entry(r, 0, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 1, TDX_MIG_GPA_OP_NOP, false);
	expect_entry(r, 2, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 3, TDX_MIG_GPA_OP_MIGRATE, true);
	expect_entry(r, 4, TDX_MIG_GPA_OP_NOP, false);
	expect_entry(r, 5, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 6, TDX_MIG_GPA_OP_MIGRATE, false);
}

static void record_pages_again(struct td_record *r)
{
	const u64 list[] = {
		entry_of(SECOND_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(AGAIN_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(CANCELED_PAGE, TDX_MIG_GPA_OP_CANCEL),
		entry_of(r->next_unaccepted, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(OTHER_AGAIN_PAGE, TDX_MIG_GPA_OP_MIGRATE),
	};

	td_worker_do(&r->w, TD_WORKER_WRITE, AGAIN_PAGE, 2);
	td_worker_do(&r->w, TD_WORKER_ACCEPT, r->next_unaccepted, 1);
	td_worker_clear_log(&r->w, 0, NR_NAMED_PAGES);
	td_worker_clear_log(&r->w, r->next_unaccepted, 1);
	export_list(r, 0, list, ARRAY_SIZE(list));
	expect_entry(r, 0, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 1, TDX_MIG_GPA_OP_REMIGRATE, false);
	expect_entry(r, 2, TDX_MIG_GPA_OP_CANCEL, false);
	expect_entry(r, 3, TDX_MIG_GPA_OP_REMIGRATE, false);
	expect_entry(r, 4, TDX_MIG_GPA_OP_REMIGRATE, false);
}

/* Those that the guest checks come first, in the order in which it does. */
static void record_late_pages(struct td_record *r)
{
	const u64 list[] = {
		entry_of(CANCELED_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(LATE_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(OTHER_LATE_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(r->next_unaccepted + 1, TDX_MIG_GPA_OP_MIGRATE),
		/* The destination has it. */
		entry_of(AGAIN_PAGE, TDX_MIG_GPA_OP_MIGRATE),
		entry_of(ABSENT_PAGE, TDX_MIG_GPA_OP_MIGRATE),
	};

	export_list(r, 1, list, ARRAY_SIZE(list));
	expect_entry(r, 0, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 1, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 2, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 3, TDX_MIG_GPA_OP_MIGRATE, true);
	expect_entry(r, 4, TDX_MIG_GPA_OP_MIGRATE, false);
	expect_entry(r, 5, TDX_MIG_GPA_OP_NOP, false);
}

static void record_rest(struct td_record *r)
{
	u64 list[TD_WORKER_NR_PAGES], page;
	u32 nr = 0;

	td_mig_export_other_slots(&r->m, TD_WORKER_SLOT);
	list[nr++] = entry_of(NOP_PAGE, TDX_MIG_GPA_OP_MIGRATE);
	/* With those that earlier sessions have left. */
	for (page = NR_NAMED_PAGES; page < r->next_unaccepted; page++)
		list[nr++] = entry_of(page, TDX_MIG_GPA_OP_MIGRATE);
	export_list(r, 0, list, nr);
}

static void record_state(struct td_record *r, u32 export_cmd)
{
	u64 hw_error;
	int ret;

	ret = __td_mig_export_state(&r->m.streams[0], export_cmd, td_mig_next_bundle(&r->m),
				    &hw_error);
	TEST_ASSERT(!ret, "Export of state failed, errno %d (%s), hw_error 0x%lx", errno,
		    strerror(errno), hw_error);
}

static void record_bundle(struct td_record *r, enum td_record_bundle i)
{
	switch (i) {
	case TD_RECORD_IMMUTABLE:
		td_mig_export_immutable(&r->m);
		break;
	case TD_RECORD_NEW_PAGES:
		record_new_pages(r);
		break;
	case TD_RECORD_FIRST_TOKEN:
	case TD_RECORD_SECOND_TOKEN:
		td_mig_export_track(&r->m);
		break;
	case TD_RECORD_AGAIN:
		record_pages_again(r);
		break;
	case TD_RECORD_TD_STATE:
		td_mig_export_pause(&r->m);
		record_state(r, KVM_TDX_MIG_EXPORT_STATE_TD);
		break;
	case TD_RECORD_VCPU_STATE:
		record_state(r, KVM_TDX_MIG_EXPORT_STATE_VP);
		td_mig_vcpu_save(r->w.vcpus[0], &r->m.vcpu_state[0]);
		break;
	case TD_RECORD_START_TOKEN:
		td_mig_export_start_token(&r->m);
		break;
	case TD_RECORD_LATE:
		record_late_pages(r);
		break;
	case TD_RECORD_REST:
		record_rest(r);
		break;
	}
}

void td_record_run(struct td_record *r, enum td_record_bundle last)
{
	int i;

	TEST_ASSERT(r->next_unaccepted + NR_UNACCEPTED <= ABSENT_PAGE, "Too many sessions");
	td_pre_fault(r->w.vcpus[0], td_worker_gpa(r->next_unaccepted), NR_UNACCEPTED * PAGE_SIZE);

	for (i = 0; i <= last; i++) {
		TEST_ASSERT_EQ(r->m.nr_bundles, i);
		record_bundle(r, i);
	}
}

void td_record_renew(struct td_record *r)
{
	td_mig_forget_bundles(&r->m);
	td_mig_exchange_keys(&r->m);
	r->next_unaccepted += NR_UNACCEPTED;
}

void td_record_create(struct td_record *r)
{
	td_worker_create(&r->w, 1);
	r->next_unaccepted = TD_WORKER_NR_OLD;
	td_mig_init(&r->m, r->w.vm, r->w.vcpus, 1, TD_RECORD_NR_STREAMS);
	td_worker_log(&r->w, true);
}

void td_record_free(struct td_record *r)
{
	td_mig_free(&r->m);
	td_worker_free(&r->w);
}

void td_record_check(struct td_record *r, struct kvm_vcpu *vcpu)
{
	td_worker_run(&r->w, vcpu, 0, TD_WORKER_CHECK, 0, 0);
}

/* -------------------------------------------------------------------- replay */

static void scribble(struct td_mig_stream *s, const struct td_mig_bundle *b)
{
	u32 i;

	memset((u8 *)s->mbmd + TDX_MIG_MBMD_SIZE, SCRIBBLE, PAGE_SIZE - TDX_MIG_MBMD_SIZE);
	if (b->gpa_list) {
		memset(s->gpa_list + b->nr, SCRIBBLE, PAGE_SIZE - b->nr * sizeof(*s->gpa_list));
		memset(s->mac_list + b->nr * TD_MIG_MAC_SIZE, SCRIBBLE,
		       2 * PAGE_SIZE - b->nr * TD_MIG_MAC_SIZE);
	}
	if (b->nr < s->buf_list_pages)
		memset(s->buf + b->nr * PAGE_SIZE, SCRIBBLE, PAGE_SIZE);
	for (i = 0; b->gpa_list && i < b->nr; i++) {
		if (!td_gpa_entry_has_content(b->gpa_list[i]))
			memset(s->buf + i * PAGE_SIZE, SCRIBBLE, PAGE_SIZE);
	}
}

int td_record_import(struct td_mig_dest *d, const struct td_mig_bundle *b, u64 nr,
		     u64 *hw_error)
{
	struct td_mig_stream *s = td_mig_load_bundle(d->streams, b);

	scribble(s, b);
	return __td_mig_cmd_nr(s, b->import_cmd, &nr, hw_error);
}

void td_record_replay(struct td_record *r, struct td_mig_dest *d, int first, int last)
{
	const struct td_mig_bundle *b;
	u64 hw_error;
	int i, ret;

	for (i = first; i <= last; i++) {
		if (i == TD_RECORD_START_TOKEN)
			td_mig_load_vcpus(d, &r->m);
		b = &r->m.bundles[i];
		ret = td_record_import(d, b, b->nr, &hw_error);
		TEST_ASSERT(!ret, "Bundle %d: errno %d (%s), hw_error 0x%lx", i, errno,
			    strerror(errno), hw_error);
	}
}

bool td_record_has_page(struct td_record *r, gpa_t gpa, bool has_rest)
{
	const u64 page = (gpa - TD_WORKER_GPA) / PAGE_SIZE;

	if (gpa < TD_WORKER_GPA)
		return has_rest;

	switch (page) {
	case AGAIN_PAGE:
	case OTHER_AGAIN_PAGE:
	case ONCE_PAGE:
	case SECOND_PAGE:
		return true;
	case CANCELED_PAGE:
	case LATE_PAGE:
	case OTHER_LATE_PAGE:
		return false;
	default:
		return page == r->next_unaccepted || (has_rest && page < r->next_unaccepted);
	}
}
