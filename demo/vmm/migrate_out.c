// SPDX-License-Identifier: GPL-2.0
/*
 * The source side: drives the export of a TD and puts it on the wire.
 *
 * A set of pages says what still has to be sent. Rounds with the TD running
 * export the set and refill it with what was written meanwhile; the last one
 * runs with the TD paused and leaves the set empty. Several streams share the
 * work of a round.
 *
 * The first failure sticks: all later steps do nothing. In the end the export
 * is aborted and the TD runs on, unless only the destination could permit that.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "event.h"
#include "migrate.h"
#include "page_set.h"
#include "stream.h"
#include "vcpu_state.h"
#include "wire.h"

#define PROGRESS_INTERVAL_NS	(100 * NS_PER_MS)

/* Passes over what a paused TD has left; contention with a stopped TD is short. */
#define MAX_FINAL_PASSES	16

/*
 * Bundles per stream and round, so that streams end a round at about the same
 * time, but no smaller ones than this many pages.
 */
#define MIN_BUNDLES		4
#define MIN_BUNDLE_PAGES	16

struct source {
	struct vm *vm;
	struct device_state *dev;
	int fd;
	u32 nr_streams;
	/* The first one also carries all that is not memory. */
	struct stream streams[MIGRATE_MAX_STREAMS];
	atomic_bool failed;
	/* The TDX module has an export session. */
	bool session;
	/* Nothing but an abort token ends it. */
	bool start_token;
	bool stopped;
	/* Writes to memory are logged. */
	bool logging;
	/* Has to be sent. */
	struct page_set todo;

	/* While several streams work: protects the set, the wire and what follows. */
	pthread_mutex_t lock;
	/* How many pages a bundle may have. */
	u32 bundle_pages;

	struct progress progress;
	u64 phase_start;
	u64 phase_bytes;
	u64 last_report;
	/* Of the bundle of the immutable state. */
	u64 state_ns;
	/* Sums of all rounds: their time, that for the wire alone, and pages. */
	u64 round_ns;
	u64 wire_ns;
	u64 round_pages;
};

/* A stream at work in a round. */
struct exporter {
	struct source *source;
	struct stream *stream;
	pthread_t thread;
};

static void fail(struct source *s, const char *what, int err, u64 hw_error)
{
	if (!atomic_exchange(&s->failed, true))
		event_text(EVENT_MESSAGE, "%s: %s, TDX status 0x%llx", what, strerror(err),
			   (unsigned long long)hw_error);
}

static bool export_by(struct source *s, const struct stream *stream, u32 id, u32 flags, void *data,
		      const char *what)
{
	u64 hw_error;
	int ret;

	if (s->failed)
		return false;
	ret = stream_try(stream, id, flags, data, &hw_error);
	if (ret)
		fail(s, what, ret, hw_error);
	return !ret;
}

static bool export(struct source *s, u32 id, u32 flags, void *data, const char *what)
{
	return export_by(s, &s->streams[0], id, flags, data, what);
}

static void put_header(struct source *s, u32 type, size_t len)
{
	if (!s->failed && !wire_send_header(s->fd, type, len))
		fail(s, "the destination is gone", errno, 0);
}

static void put_data(struct source *s, const void *data, size_t len)
{
	if (!s->failed && !wire_send_data(s->fd, data, len))
		fail(s, "the destination is gone", errno, 0);
}

static void put(struct source *s, u32 type, const void *data, size_t len)
{
	put_header(s, type, len);
	put_data(s, data, len);
}

static void phase_begin(struct source *s, enum phase kind, u32 round, u64 total_pages)
{
	s->progress = (struct progress){
		.phase = kind,
		.round = round,
		.total_pages = total_pages,
	};
	s->phase_start = now_ns();
	s->phase_bytes = wire_bytes_sent();
	s->last_report = 0;
}

static void phase_report(struct source *s, u64 now)
{
	s->progress.bytes = wire_bytes_sent() - s->phase_bytes;
	s->progress.elapsed_ns = now - s->phase_start;
	s->last_report = now;
	event_progress(&s->progress);
}

static void phase_advance(struct source *s, u64 pages)
{
	u64 now = now_ns();

	s->progress.pages += pages;
	if (now - s->last_report >= PROGRESS_INTERVAL_NS)
		phase_report(s, now);
}

static void phase_end(struct source *s)
{
	if (s->failed)
		return;
	s->progress.done = true;
	phase_report(s, now_ns());
}

/* State bundles and tokens: the MBMD and pages. */
static void send_state_bundle(struct source *s, u32 nr_pages, u32 vcpu_id)
{
	const struct stream *stream = &s->streams[0];
	struct wire_bundle bundle = {
		.nr = nr_pages,
		.vcpu_id = vcpu_id,
		.stream = stream->index,
	};
	size_t len = nr_pages * PAGE_SIZE;

	memcpy(bundle.mbmd, stream->mbmd, sizeof(bundle.mbmd));
	put_header(s, WIRE_BUNDLE, sizeof(bundle) + len);
	put_data(s, &bundle, sizeof(bundle));
	put_data(s, stream->pages, len);
	s->progress.pages += nr_pages;
}

static void send_memory_bundle(struct source *s, const struct stream *stream, u32 nr)
{
	struct wire_bundle bundle = { .nr = nr, .stream = stream->index };
	u32 i;

	for (i = 0; i < nr; i++)
		bundle.nr_content += gpa_entry_has_content(stream->gpa_list[i]);

	memcpy(bundle.mbmd, stream->mbmd, sizeof(bundle.mbmd));
	put_header(s, WIRE_BUNDLE, sizeof(bundle) +
			 nr * (sizeof(u64) + WIRE_MAC_SIZE) + bundle.nr_content * PAGE_SIZE);
	put_data(s, &bundle, sizeof(bundle));
	put_data(s, stream->gpa_list, nr * sizeof(u64));
	put_data(s, stream->macs, nr * WIRE_MAC_SIZE);
	for (i = 0; i < nr; i++) {
		if (gpa_entry_has_content(stream->gpa_list[i]))
			put_data(s, stream->pages + i * PAGE_SIZE, PAGE_SIZE);
	}
}

static void exchange_keys(struct source *s, struct keys *keys)
{
	const char *error;

	phase_begin(s, PHASE_KEYS, 0, 0);
	error = s->failed ? NULL : keys_exchange(keys, s->fd, true);
	if (error && !atomic_exchange(&s->failed, true))
		event_text(EVENT_MESSAGE, "key exchange: %s", error);
	phase_end(s);
}

static void export_immutable(struct source *s)
{
	u64 nr_pages = 0;

	phase_begin(s, PHASE_IMMUTABLE, 0, 0);
	if (export(s, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, 0, &nr_pages,
		   "EXPORT_STATE_IMMUTABLE")) {
		s->session = true;
		send_state_bundle(s, nr_pages, 0);
	}
	phase_end(s);
	s->state_ns = s->progress.elapsed_ns;
}

/*
 * Look at what became of each entry. A page that the TDX module does not have
 * needs not be sent; in a round with vCPUs running it may also be one that has
 * just been written, and the dirty log brings it back.
 */
static void account_list(struct source *s, const struct stream *stream, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 entry = stream->gpa_list[i];
		u64 gpa = entry & TDX_MIG_GPA_ENTRY_GPA_MASK;
		bool *todo = page_set_find(&s->todo, gpa);

		if (!todo)
			die("the TDX module returned GPA 0x%llx", (unsigned long long)gpa);
		switch (gpa_entry_status(entry)) {
		case TDX_MIG_GPA_STATUS_SUCCESS:
		case TDX_MIG_GPA_STATUS_SEPT_WALK_FAILED:
		case TDX_MIG_GPA_STATUS_SEPT_ENTRY_STATE_INCORRECT:
			*todo = false;
			break;
		case TDX_MIG_GPA_STATUS_SEPT_ENTRY_BUSY:
		case TDX_MIG_GPA_STATUS_TLB_TRACKING_NOT_DONE:
			break;
		default:
			die("export of GPA 0x%llx: status %u", (unsigned long long)gpa,
			    gpa_entry_status(entry));
		}
	}
}

/* Fill the list of a stream with the next pages of the set. */
static u32 take_pages(struct source *s, struct stream *stream)
{
	const u64 migrate = (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	u32 nr = 0;
	u64 gpa;

	while (nr < s->bundle_pages && page_set_next(&s->todo, &gpa))
		stream->gpa_list[nr++] = gpa | migrate;
	return nr;
}

static void *export_pages(void *arg)
{
	struct exporter *exporter = arg;
	struct stream *stream = exporter->stream;
	struct source *s = exporter->source;
	u32 nr, i, sent;
	u64 count, begin;

	pthread_mutex_lock(&s->lock);
	while (!s->failed && (nr = take_pages(s, stream))) {
		pthread_mutex_unlock(&s->lock);
		count = nr;
		export_by(s, stream, KVM_TDX_MIG_EXPORT_MEM, 0, &count, "EXPORT_MEM");
		pthread_mutex_lock(&s->lock);
		if (s->failed)
			break;

		begin = now_ns();
		send_memory_bundle(s, stream, nr);
		s->wire_ns += now_ns() - begin;
		account_list(s, stream, nr);
		for (i = 0, sent = 0; i < nr; i++)
			sent += gpa_entry_op(stream->gpa_list[i]) != TDX_MIG_GPA_OP_NOP;
		phase_advance(s, sent);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Export each page of the set once; no command of another kind is issued meanwhile. */
static void export_todo(struct source *s)
{
	struct exporter exporters[MIGRATE_MAX_STREAMS];
	u64 pages = page_set_count(&s->todo) / (MIN_BUNDLES * s->nr_streams);
	u32 i;

	page_set_rewind(&s->todo);
	s->bundle_pages = s->streams[0].nr_pages;
	if (pages < s->bundle_pages)
		s->bundle_pages = pages > MIN_BUNDLE_PAGES ? pages : MIN_BUNDLE_PAGES;

	for (i = 0; i < s->nr_streams; i++) {
		exporters[i] = (struct exporter){ .source = s, .stream = &s->streams[i] };
		if (pthread_create(&exporters[i].thread, NULL, export_pages, &exporters[i]))
			die("cannot create a thread");
	}
	for (i = 0; i < s->nr_streams; i++)
		pthread_join(exporters[i].thread, NULL);
}

static void send_token(struct source *s, u64 flags)
{
	if (!export(s, KVM_TDX_MIG_EXPORT_TRACK, 0, &flags, "EXPORT_TRACK"))
		return;
	s->start_token = flags & TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	send_state_bundle(s, 0, 0);
}

static u64 count_shared(struct source *s)
{
	u64 nr = 0, page;
	u32 i;

	pthread_mutex_lock(&s->vm->lock);
	for (i = 0; i < s->vm->nr_regions; i++) {
		for (page = 0; page < s->vm->regions[i].nr_pages; page++)
			nr += s->vm->regions[i].is_shared[page];
	}
	pthread_mutex_unlock(&s->vm->lock);
	return nr;
}

/*
 * A pause now would have to move the set, at the speed of the rounds, the shared
 * pages, at the speed of the wire, and a bundle of state for the TD and for each
 * vCPU.
 */
static u64 estimate_blackout(struct source *s, u64 dirty_pages)
{
	u64 states = (1 + s->vm->nr_vcpus) * s->state_ns;

	if (!s->round_pages)
		return states;
	return states + (dirty_pages * s->round_ns + count_shared(s) * s->wire_ns) / s->round_pages;
}

/* Report a round that is over; return true if it was the last one. */
static bool end_round(struct source *s, const struct migrate_options *options)
{
	struct round round = {
		.number = s->progress.round,
		.pages = s->progress.pages,
		.bytes = s->progress.bytes,
		.elapsed_ns = s->progress.elapsed_ns,
		.dirty_pages = page_set_count(&s->todo),
	};

	s->round_ns += round.elapsed_ns;
	s->round_pages += round.pages;
	round.estimate_ns = estimate_blackout(s, round.dirty_pages);
	if (round.estimate_ns <= options->target_ns)
		round.verdict = ROUND_TARGET;
	else if (round.number == options->max_rounds)
		round.verdict = ROUND_LIMIT;
	event_round(&round);
	return round.verdict != ROUND_GO_ON;
}

/*
 * Send memory while the TD runs. The token at the end of a round lets pages be
 * sent once more in the next.
 */
static void export_rounds(struct source *s, const struct migrate_options *options)
{
	u32 round, i;

	if (s->failed)
		return;
	for (i = 0; i < s->vm->nr_regions; i++)
		dirty_log_start(s->vm, i);
	s->logging = true;

	page_set_fetch_dirty(&s->todo);
	for (round = 1; round <= options->max_rounds; round++) {
		phase_begin(s, PHASE_MEMORY, round, page_set_count(&s->todo));
		page_set_clear_dirty(&s->todo);
		export_todo(s);
		send_token(s, 0);
		phase_end(s);
		if (s->failed)
			return;
		page_set_fetch_dirty(&s->todo);
		if (end_round(s, options))
			return;
	}
}

static void pause_td(struct source *s)
{
	u64 unused = 0;

	if (s->failed)
		return;
	phase_begin(s, PHASE_PAUSE, 0, 0);
	event_send(EVENT_STOPPED);
	vm_stop(s->vm);
	s->stopped = true;
	export(s, KVM_TDX_MIG_EXPORT_PAUSE, 0, &unused, "EXPORT_PAUSE");
	phase_end(s);
}

static void export_rest(struct source *s)
{
	u32 pass;

	phase_begin(s, PHASE_REST, 0, page_set_count(&s->todo));
	for (pass = 0; pass < MAX_FINAL_PASSES && page_set_count(&s->todo); pass++)
		export_todo(s);
	if (page_set_count(&s->todo))
		fail(s, "some pages cannot be exported", EBUSY, 0);
	phase_end(s);
}

static void send_shared_map(struct source *s)
{
	u32 i;

	for (i = 0; i < s->vm->nr_regions; i++) {
		const struct mem_region *region = &s->vm->regions[i];
		struct wire_shared_map map = { .region = i };

		put_header(s, WIRE_SHARED_MAP, sizeof(map) + region->nr_pages);
		put_data(s, &map, sizeof(map));
		put_data(s, region->is_shared, region->nr_pages);
	}
}

/* Pages outside of the TD's protection; the VMM moves them as for any VM. */
static void send_shared_pages(struct source *s)
{
	struct wire_shared_pages *frame = calloc(1, sizeof(*frame));
	u64 page;
	u32 i;

	if (!frame)
		die("out of memory");

	phase_begin(s, PHASE_SHARED, 0, 0);
	for (i = 0; i < s->vm->nr_regions; i++) {
		const struct mem_region *region = &s->vm->regions[i];

		frame->region = i;
		for (page = 0; page < region->nr_pages; page++) {
			if (region->is_shared[page]) {
				frame->index[frame->nr] = page;
				memcpy(frame->pages[frame->nr], region->shared + page * PAGE_SIZE,
				       PAGE_SIZE);
				frame->nr++;
			}
			if (frame->nr == WIRE_MAX_SHARED ||
			    (frame->nr && page == region->nr_pages - 1)) {
				put(s, WIRE_SHARED_PAGES, frame, sizeof(*frame));
				phase_advance(s, frame->nr);
				frame->nr = 0;
			}
		}
	}
	phase_end(s);
	free(frame);
}

static void export_td_state(struct source *s)
{
	u64 nr_pages = 0;

	phase_begin(s, PHASE_TD_STATE, 0, 0);
	if (export(s, KVM_TDX_MIG_EXPORT_STATE_TD, 0, &nr_pages, "EXPORT_STATE_TD"))
		send_state_bundle(s, nr_pages, 0);
	put(s, WIRE_DEVICES, s->dev, sizeof(*s->dev));
	phase_end(s);
}

static void export_vcpus(struct source *s)
{
	struct wire_vcpu wire;
	u32 i;

	phase_begin(s, PHASE_VCPU_STATE, 0, 0);
	for (i = 0; i < s->vm->nr_vcpus; i++) {
		struct kvm_tdx_mig_state_vp vp = { .vcpu_id = s->vm->vcpus[i].id };

		if (!export(s, KVM_TDX_MIG_EXPORT_STATE_VP, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, &vp,
			    "EXPORT_STATE_VP"))
			return;
		send_state_bundle(s, vp.nr_pages, vp.vcpu_id);
		vcpu_state_save(&s->vm->vcpus[i], &wire);
		put(s, WIRE_VCPU, &wire, sizeof(wire));
	}
	phase_end(s);
}

static void export_start_token(struct source *s)
{
	phase_begin(s, PHASE_START_TOKEN, 0, 0);
	send_token(s, TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE);
	put(s, WIRE_END, NULL, 0);
	phase_end(s);
}

/* The destination decides: it has committed, or proves that it never will. */
static bool wait_for_verdict(struct source *s)
{
	struct wire_frame frame;

	phase_begin(s, PHASE_COMMIT, 0, 0);
	if (!wire_receive(s->fd, &frame))
		die("the destination is gone, and with it the guest");
	if (frame.type == WIRE_COMMITTED) {
		phase_end(s);
		return true;
	}
	if (frame.type != WIRE_ABORT_TOKEN || frame.len != TDX_MIG_MBMD_SIZE)
		die("unexpected frame %u from the destination", frame.type);

	memcpy(s->streams[0].mbmd, frame.data, frame.len);
	fail(s, "the destination has given up", ECANCELED, 0);
	return false;
}

/* Make the TD run again. The MBMD holds the abort token if one is needed. */
static void take_back(struct source *s)
{
	u64 unused = 0;
	u32 i;

	if (s->session)
		stream_command(&s->streams[0], KVM_TDX_MIG_EXPORT_ABORT, 0, &unused,
			       "EXPORT_ABORT");
	for (i = 0; s->logging && i < s->vm->nr_regions; i++)
		dirty_log_stop(s->vm, i);
	if (s->stopped)
		vm_start(s->vm);
}

bool migrate_out(struct vm *vm, struct device_state *dev, struct keys *keys, int fd,
		 const struct migrate_options *options)
{
	struct source s = {
		.vm = vm,
		.dev = dev,
		.fd = fd,
		.nr_streams = options->nr_streams,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct wire_config config = { .vm = vm->config, .nr_streams = s.nr_streams };
	bool committed = false;
	u32 i;

	page_set_create(&s.todo, vm);
	put(&s, WIRE_CONFIG, &config, sizeof(config));
	exchange_keys(&s, keys);

	for (i = 0; i < s.nr_streams; i++)
		stream_create(&s.streams[i], vm, i);
	export_immutable(&s);
	page_set_fill(&s.todo);
	if (options->max_rounds)
		export_rounds(&s, options);

	pause_td(&s);
	if (s.logging)
		page_set_fetch_dirty(&s.todo);
	else
		page_set_drop_shared(&s.todo);
	send_shared_map(&s);
	export_rest(&s);
	send_shared_pages(&s);
	export_td_state(&s);
	export_vcpus(&s);
	export_start_token(&s);

	if (s.start_token)
		committed = wait_for_verdict(&s);
	if (!committed)
		take_back(&s);
	for (i = 0; i < s.nr_streams; i++)
		stream_destroy(&s.streams[i]);
	page_set_destroy(&s.todo);
	return committed;
}
