// SPDX-License-Identifier: GPL-2.0-only
/*
 * The blackout of a migration: its commands, and what they take in the kernel.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_blackout.h"

const char *const td_side_names[TD_NR_SIDES] = { "source", "destination" };

static void record(struct td_blackout *b, const char *what, enum td_blackout_kind kind,
		   int stream, struct td_count count)
{
	TEST_ASSERT(b->nr < TD_BLACKOUT_MAX_CMDS, "Too many commands");
	b->cmds[b->nr++] = (struct td_blackout_cmd) {
		.what = what,
		.kind = kind,
		.stream = stream,
		.count = count,
	};
}

struct td_count td_count_cmd(struct td_mig_stream *s, u32 id, u32 flags, void *data)
{
	struct td_count count;
	struct td_span span;
	u64 hw_error;
	int ret;

	td_span_begin(&span);
	ret = __td_mig_cmd(s, id, flags, (u64)data, &hw_error);
	count = td_span_end(&span);
	TEST_ASSERT(!ret, "Command %u failed, errno %d (%s), hw_error 0x%lx", id, errno,
		    strerror(errno), hw_error);
	return count;
}

static struct td_count count_vcpu_state(struct kvm_vcpu *vcpu, u32 id,
					struct kvm_tdx_mig_vcpu_state *state)
{
	struct td_count count;
	struct td_span span;
	int ret;

	td_span_begin(&span);
	ret = __td_vcpu_ioctl(vcpu, id, 0, (u64)state);
	count = td_span_end(&span);
	TEST_ASSERT(!ret, "vCPU command %u failed, errno %d (%s)", id, errno, strerror(errno));
	return count;
}

void td_count_move_bundle(struct td_mig_stream *src, struct td_mig_stream *dst, u64 nr_entries,
			  u64 nr_pages)
{
	*dst->mbmd = *src->mbmd;
	memcpy(dst->gpa_list, src->gpa_list, nr_entries * sizeof(*src->gpa_list));
	memcpy(dst->mac_list, src->mac_list, nr_entries * TD_MIG_MAC_SIZE);
	memcpy(dst->buf, src->buf, nr_pages * PAGE_SIZE);
}

void td_count_fill_gpa_list(struct td_mig_stream *s, gpa_t gpa, u64 nr, u64 stride)
{
	u64 i;

	for (i = 0; i < nr; i++)
		s->gpa_list[i] = td_gpa_entry(gpa + i * stride * PAGE_SIZE,
					      TDX_MIG_GPA_OP_MIGRATE);
}

void td_blackout_pages(struct td_count_mig *t, gpa_t gpa, u64 nr,
		       struct td_blackout b[TD_NR_SIDES])
{
	struct td_mig_stream *src, *dst;
	u64 first, batch, nr_content;
	int i = 0, stream;

	for (first = 0; first < nr; first += batch, i++) {
		stream = i % t->nr_streams;
		src = &t->m.streams[stream];
		dst = &t->d.streams[stream];
		batch = min(nr - first, TD_COUNT_BATCH);

		td_count_fill_gpa_list(src, gpa + first * PAGE_SIZE, batch, 1);
		nr_content = batch;
		record(&b[TD_SOURCE], "EXPORT_MEM", TD_BY_PAGE, stream,
		       td_count_cmd(src, KVM_TDX_MIG_EXPORT_MEM, 0, &nr_content));
		TEST_ASSERT_EQ(nr_content, batch);
		td_count_move_bundle(src, dst, batch, batch);
		record(&b[TD_DESTINATION], "IMPORT_MEM", TD_BY_PAGE, stream,
		       td_count_cmd(dst, KVM_TDX_MIG_IMPORT_MEM, 0, &batch));
	}
}

void td_blackout_token(struct td_count_mig *t, u64 flags, struct td_blackout b[TD_NR_SIDES])
{
	struct td_mig_stream *src = &t->m.streams[0], *dst = &t->d.streams[0];
	bool start = flags & TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;

	record(&b[TD_SOURCE], start ? "EXPORT_TRACK, start token" : "EXPORT_TRACK, token",
	       TD_BY_TD, 0, td_count_cmd(src, KVM_TDX_MIG_EXPORT_TRACK, 0, &flags));
	td_count_move_bundle(src, dst, 0, 0);
	record(&b[TD_DESTINATION], start ? "IMPORT_TRACK, start token" : "IMPORT_TRACK, token",
	       TD_BY_TD, 0,
	       td_count_cmd(dst, KVM_TDX_MIG_IMPORT_TRACK, 0, NULL));
}

static void send_td_state(struct td_count_mig *t, struct td_blackout b[TD_NR_SIDES])
{
	struct td_mig_stream *src = &t->m.streams[0], *dst = &t->d.streams[0];
	u64 nr_pages = 0;

	record(&b[TD_SOURCE], "EXPORT_STATE_TD", TD_BY_TD, 0,
	       td_count_cmd(src, KVM_TDX_MIG_EXPORT_STATE_TD, 0, &nr_pages));
	td_count_move_bundle(src, dst, 0, nr_pages);
	record(&b[TD_DESTINATION], "IMPORT_STATE_TD", TD_BY_TD, 0,
	       td_count_cmd(dst, KVM_TDX_MIG_IMPORT_STATE_TD, 0, &nr_pages));
}

static void send_vcpu(struct td_count_mig *t, int i, struct td_blackout b[TD_NR_SIDES])
{
	struct kvm_tdx_mig_state_vp vp = { .vcpu_id = t->vcpus[i]->id };
	struct kvm_tdx_mig_vcpu_state state = {
		.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.size = sizeof(state),
	};
	int stream = i % t->nr_streams;
	struct td_mig_stream *src = &t->m.streams[stream], *dst = &t->d.streams[stream];

	record(&b[TD_SOURCE], "EXPORT_STATE_VP", TD_BY_VCPU, stream,
	       td_count_cmd(src, KVM_TDX_MIG_EXPORT_STATE_VP, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, &vp));
	record(&b[TD_SOURCE], "KVM_TDX_MIG_GET_VCPU_STATE", TD_BY_VCPU, stream,
	       count_vcpu_state(t->vcpus[i], KVM_TDX_MIG_GET_VCPU_STATE, &state));
	td_count_move_bundle(src, dst, 0, vp.nr_pages);
	record(&b[TD_DESTINATION], "IMPORT_STATE_VP", TD_BY_VCPU, stream,
	       td_count_cmd(dst, KVM_TDX_MIG_IMPORT_STATE_VP, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, &vp));
	record(&b[TD_DESTINATION], "KVM_TDX_MIG_SET_VCPU_STATE", TD_BY_VCPU, stream,
	       count_vcpu_state(t->d.vcpus[i], KVM_TDX_MIG_SET_VCPU_STATE, &state));
}

void td_blackout(struct td_count_mig *t, gpa_t gpa, u64 nr_pages,
		 struct td_blackout b[TD_NR_SIDES])
{
	int i;

	td_blackout_token(t, 0, b);
	record(&b[TD_SOURCE], "EXPORT_PAUSE", TD_BY_TD, 0,
	       td_count_cmd(&t->m.streams[0], KVM_TDX_MIG_EXPORT_PAUSE, 0, NULL));
	td_blackout_pages(t, gpa, nr_pages, b);
	send_td_state(t, b);
	for (i = 0; i < t->nr_vcpus; i++)
		send_vcpu(t, i, b);
	td_blackout_token(t, TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE, b);
}

void td_blackout_commit(struct td_count_mig *t, struct td_blackout b[TD_NR_SIDES])
{
	/* There is no way back from this, so let whoever else has to run do so before. */
	usleep(5000);
	record(&b[TD_DESTINATION], "IMPORT_COMMIT", TD_BY_TD, 0,
	       td_count_cmd(&t->d.streams[0], KVM_TDX_MIG_IMPORT_COMMIT, 0, NULL));
	/* The TD can run, and has to stop once more for this. */
	b[TD_DESTINATION].end = td_count_cmd(&t->d.streams[0], KVM_TDX_MIG_IMPORT_END, 0, NULL);
}

void td_blackout_shift(int nr)
{
	/* Ticks are 10 ms apart, and commands are done in 2 ms: miss one of them at least. */
	usleep((nr + 1) * 1700);
}

void td_blackout_take_least(struct td_blackout *b, const struct td_blackout *other)
{
	int i;

	/* A session that ends by coming back has fewer commands. */
	for (i = 0; i < min(b->nr, other->nr); i++) {
		TEST_ASSERT(b->cmds[i].what == other->cmds[i].what &&
			    b->cmds[i].stream == other->cmds[i].stream,
			    "The commands are others");
		if (other->cmds[i].count.nr < b->cmds[i].count.nr)
			b->cmds[i].count = other->cmds[i].count;
	}
}

u64 td_blackout_sum(const struct td_blackout *b, enum td_blackout_kind kind)
{
	u64 nr = 0;
	int i;

	for (i = 0; i < b->nr; i++)
		nr += b->cmds[i].kind == kind ? b->cmds[i].count.nr : 0;
	return nr;
}

u64 td_blackout_length(const struct td_blackout *b, int nr_streams)
{
	u64 of_stream[TD_MIG_MAX_STREAMS] = {}, longest = 0;
	int i;

	for (i = 0; i < b->nr; i++) {
		if (b->cmds[i].kind != TD_BY_TD)
			of_stream[b->cmds[i].stream] += b->cmds[i].count.nr;
	}
	for (i = 0; i < nr_streams; i++)
		longest = max(longest, of_stream[i]);
	return td_blackout_sum(b, TD_BY_TD) + longest;
}
