// SPDX-License-Identifier: GPL-2.0
/*
 * The destination side: checks what comes from the wire and imports it.
 *
 * Each stream has a thread that imports its memory bundles. Every other frame
 * waits until these are done, as the order matters between them but not among
 * the memory bundles of distinct streams.
 */
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "loader.h"
#include "migrate.h"
#include "stream.h"
#include "vcpu_state.h"
#include "wire.h"

#define MAX_MEM_SIZE		0x40000000ULL

struct destination;

/* A stream and the thread that imports its memory bundles. */
struct importer {
	struct destination *d;
	struct stream stream;
	pthread_t thread;
	/* The bundle to import, in a buffer of its own; protected by d->lock. */
	u8 *bundle;
	size_t len;
	bool busy;
};

struct destination {
	struct vm *vm;
	struct device_state *dev;
	int fd;
	u32 nr_streams;
	struct importer importers[MIGRATE_MAX_STREAMS];
	/* The first stream, which also carries all that is not memory. */
	struct stream *stream;
	pthread_mutex_t lock;
	/* An importer has become busy or idle, or shall end. */
	pthread_cond_t changed;
	bool ending;
	pthread_mutex_t give_up_lock;
};

static void receive_config(struct destination *d)
{
	struct vm_config *config = &d->vm->config;
	struct wire_config wire;

	if (!wire_receive_fixed(d->fd, WIRE_CONFIG, &wire, sizeof(wire)))
		die("the source is gone");
	*config = wire.vm;
	d->nr_streams = wire.nr_streams;
	if (!d->nr_streams || d->nr_streams > MIGRATE_MAX_STREAMS ||
	    !config->mem_size || config->mem_size > MAX_MEM_SIZE ||
	    config->mem_size % PAGE_SIZE ||
	    !config->nr_vcpus || config->nr_vcpus > VM_MAX_VCPUS ||
	    config->td_cpuid.head.nent > VM_MAX_CPUID ||
	    config->vcpu_cpuid.head.nent > VM_MAX_CPUID)
		die("the source has a TD that does not fit here");
}

/*
 * Let the source have its TD back; a session that is lost already ends anyway.
 * The first one to give up ends the process.
 */
static void __noreturn give_up(struct destination *d, const char *what, int err, u64 hw_error)
{
	u64 unused = 0;

	pthread_mutex_lock(&d->give_up_lock);
	if (!stream_try(d->stream, KVM_TDX_MIG_IMPORT_ABORT, 0, &unused, NULL))
		wire_send(d->fd, WIRE_ABORT_TOKEN, d->stream->mbmd, TDX_MIG_MBMD_SIZE);
	die("%s: %s, TDX status 0x%llx", what, strerror(err), (unsigned long long)hw_error);
}

static void import_by(struct destination *d, const struct stream *stream, u32 id, u32 flags,
		      void *data, const char *what)
{
	u64 hw_error;
	int ret = stream_try(stream, id, flags, data, &hw_error);

	if (ret)
		give_up(d, what, ret, hw_error);
}

static void import(struct destination *d, u32 id, u32 flags, void *data, const char *what)
{
	import_by(d, d->stream, id, flags, data, what);
}

static void import_state(struct destination *d, const struct wire_bundle *bundle, const u8 *pages,
			 size_t len, u32 id, const char *what)
{
	u64 nr_pages = bundle->nr;

	if (bundle->stream != d->stream->index)
		die("%s: wrong stream", what);
	if (bundle->nr > d->stream->nr_pages || len != bundle->nr * PAGE_SIZE)
		die("%s: bad length", what);
	memcpy(d->stream->mbmd, bundle->mbmd, sizeof(bundle->mbmd));
	memcpy(d->stream->pages, pages, len);

	if (id == KVM_TDX_MIG_IMPORT_STATE_VP) {
		struct kvm_tdx_mig_state_vp vp = {
			.nr_pages = bundle->nr,
			.vcpu_id = bundle->vcpu_id,
		};

		import(d, id, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, &vp, what);
		return;
	}
	import(d, id, 0, &nr_pages, what);
}

static void import_memory(struct importer *importer)
{
	const struct wire_bundle *bundle = (const void *)importer->bundle;
	const u8 *data = importer->bundle + sizeof(*bundle), *content;
	size_t lists = bundle->nr * (sizeof(u64) + WIRE_MAC_SIZE);
	size_t len = importer->len - sizeof(*bundle);
	struct stream *stream = &importer->stream;
	u32 i, left = bundle->nr_content;
	u64 count = bundle->nr;

	if (!bundle->nr || bundle->nr > stream->nr_pages || bundle->nr_content > bundle->nr ||
	    len != lists + bundle->nr_content * PAGE_SIZE)
		die("IMPORT_MEM: bad length");

	memcpy(stream->mbmd, bundle->mbmd, sizeof(bundle->mbmd));
	memcpy(stream->gpa_list, data, bundle->nr * sizeof(u64));
	memcpy(stream->macs, data + bundle->nr * sizeof(u64), bundle->nr * WIRE_MAC_SIZE);
	content = data + lists;
	for (i = 0; i < bundle->nr; i++) {
		if (!gpa_entry_has_content(stream->gpa_list[i]))
			continue;
		if (!left--)
			die("IMPORT_MEM: content is missing");
		memcpy(stream->pages + i * PAGE_SIZE, content, PAGE_SIZE);
		content += PAGE_SIZE;
	}
	if (left)
		die("IMPORT_MEM: content is left over");
	import_by(importer->d, stream, KVM_TDX_MIG_IMPORT_MEM, 0, &count, "IMPORT_MEM");
}

static void *importer_thread(void *arg)
{
	struct importer *importer = arg;
	struct destination *d = importer->d;

	pthread_mutex_lock(&d->lock);
	for (;;) {
		while (!importer->busy && !d->ending)
			pthread_cond_wait(&d->changed, &d->lock);
		if (!importer->busy)
			break;
		pthread_mutex_unlock(&d->lock);
		import_memory(importer);
		pthread_mutex_lock(&d->lock);
		importer->busy = false;
		pthread_cond_broadcast(&d->changed);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void start_importers(struct destination *d)
{
	u32 i;

	for (i = 0; i < d->nr_streams; i++) {
		struct importer *importer = &d->importers[i];

		importer->d = d;
		stream_create(&importer->stream, d->vm, i);
		importer->bundle = malloc(WIRE_MAX_BUNDLE);
		if (!importer->bundle)
			die("out of memory");
		if (pthread_create(&importer->thread, NULL, importer_thread, importer))
			die("cannot create a thread");
	}
	d->stream = &d->importers[0].stream;
}

static void stop_importers(struct destination *d)
{
	u32 i;

	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);

	for (i = 0; i < d->nr_streams; i++) {
		pthread_join(d->importers[i].thread, NULL);
		stream_destroy(&d->importers[i].stream);
		free(d->importers[i].bundle);
	}
}

static void wait_for_importer(struct destination *d, const struct importer *importer)
{
	pthread_mutex_lock(&d->lock);
	while (importer->busy)
		pthread_cond_wait(&d->changed, &d->lock);
	pthread_mutex_unlock(&d->lock);
}

static void wait_for_importers(struct destination *d)
{
	u32 i;

	for (i = 0; i < d->nr_streams; i++)
		wait_for_importer(d, &d->importers[i]);
}

/* Hand a memory bundle to the thread of its stream. */
static void receive_memory(struct destination *d, const struct wire_frame *frame, u32 stream)
{
	struct importer *importer;

	if (stream >= d->nr_streams || frame->len > WIRE_MAX_BUNDLE)
		die("bad memory bundle");

	importer = &d->importers[stream];
	wait_for_importer(d, importer);
	memcpy(importer->bundle, frame->data, frame->len);
	importer->len = frame->len;

	pthread_mutex_lock(&d->lock);
	importer->busy = true;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void receive_bundle(struct destination *d, const struct wire_frame *frame)
{
	const struct wire_bundle *bundle = (const void *)frame->data;
	const u8 *data = frame->data + sizeof(*bundle);
	size_t len = frame->len - sizeof(*bundle);

	u32 type;

	if (frame->len < sizeof(*bundle) || bundle->nr > WIRE_MAX_LIST)
		die("bad bundle");
	type = ((const struct tdx_mig_mbmd *)bundle->mbmd)->mb_type;
	if (type == TDX_MIG_MBMD_TYPE_MEM) {
		receive_memory(d, frame, bundle->stream);
		return;
	}

	wait_for_importers(d);
	switch (type) {
	case TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE:
		import_state(d, bundle, data, len, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE,
			     "IMPORT_STATE_IMMUTABLE");
		break;
	case TDX_MIG_MBMD_TYPE_TD_STATE:
		import_state(d, bundle, data, len, KVM_TDX_MIG_IMPORT_STATE_TD,
			     "IMPORT_STATE_TD");
		break;
	case TDX_MIG_MBMD_TYPE_VP_STATE:
		import_state(d, bundle, data, len, KVM_TDX_MIG_IMPORT_STATE_VP,
			     "IMPORT_STATE_VP");
		break;
	case TDX_MIG_MBMD_TYPE_EPOCH_TOKEN:
		import_state(d, bundle, data, len, KVM_TDX_MIG_IMPORT_TRACK, "IMPORT_TRACK");
		break;
	default:
		die("unknown kind of bundle");
	}
}

static void receive_shared_map(struct destination *d, const struct wire_frame *frame)
{
	const struct wire_shared_map *map = (const void *)frame->data;
	const struct mem_region *region;
	u64 start, end;

	if (frame->len < sizeof(*map) || map->region >= d->vm->nr_regions)
		die("bad map of shared pages");
	region = &d->vm->regions[map->region];
	if (frame->len != sizeof(*map) + region->nr_pages)
		die("bad map of shared pages");

	for (start = 0; start < region->nr_pages; start = end) {
		for (end = start + 1; end < region->nr_pages; end++) {
			if (!map->is_shared[end] != !map->is_shared[start])
				break;
		}
		if (map->is_shared[start] &&
		    vm_convert(d->vm, region->gpa + (start << PAGE_SHIFT),
			       (end - start) << PAGE_SHIFT, false))
			die("shared pages outside of memory");
	}
}

static void receive_shared_pages(struct destination *d, const struct wire_frame *frame)
{
	const struct wire_shared_pages *pages = (const void *)frame->data;
	const struct mem_region *region;
	u32 i;

	if (frame->len != sizeof(*pages) || pages->region >= d->vm->nr_regions ||
	    pages->nr > WIRE_MAX_SHARED)
		die("bad shared pages");
	region = &d->vm->regions[pages->region];
	for (i = 0; i < pages->nr; i++) {
		if (pages->index[i] >= region->nr_pages || !region->is_shared[pages->index[i]])
			die("a shared page that is not");
		memcpy(region->shared + pages->index[i] * PAGE_SIZE, pages->pages[i], PAGE_SIZE);
	}
}

static void receive_devices(struct destination *d, const struct wire_frame *frame)
{
	if (frame->len != sizeof(*d->dev))
		die("bad device state");
	memcpy(d->dev, frame->data, frame->len);
	if (!device_state_valid(d->dev))
		die("bad device state");
}

static void receive_vcpu(struct destination *d, const struct wire_frame *frame)
{
	const struct wire_vcpu *wire = (const void *)frame->data;

	if (frame->len != sizeof(*wire) || wire->id >= d->vm->nr_vcpus ||
	    wire->nr_msrs > WIRE_MAX_MSRS)
		die("bad vCPU state");
	vcpu_state_load(&d->vm->vcpus[wire->id], wire);
}

static void receive_td(struct destination *d)
{
	struct wire_frame frame;

	for (;;) {
		if (!wire_receive(d->fd, &frame))
			die("the stream broke off");
		if (frame.type != WIRE_BUNDLE)
			wait_for_importers(d);
		switch (frame.type) {
		case WIRE_BUNDLE:
			receive_bundle(d, &frame);
			break;
		case WIRE_SHARED_MAP:
			receive_shared_map(d, &frame);
			break;
		case WIRE_SHARED_PAGES:
			receive_shared_pages(d, &frame);
			break;
		case WIRE_DEVICES:
			receive_devices(d, &frame);
			break;
		case WIRE_VCPU:
			receive_vcpu(d, &frame);
			break;
		case WIRE_END:
			return;
		default:
			die("unexpected frame %u", frame.type);
		}
	}
}

struct vm *migrate_in(const struct vm_ops *ops, struct device_state *dev, struct keys *keys,
		      int fd, void (*resume)(struct vm *vm))
{
	struct destination d = {
		.vm = vm_create(ops, dev),
		.dev = dev,
		.fd = fd,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.give_up_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	const char *error;
	u64 unused = 0;

	receive_config(&d);
	vm_init_td(d.vm, KVM_TDX_INIT_VM_F_MIG_DEST);
	loader_add_memory(d.vm);
	vm_create_vcpus(d.vm);
	keys_bind(keys, d.vm);
	start_importers(&d);
	error = keys_exchange(keys, fd, false);
	if (error)
		die("key exchange: %s", error);

	receive_td(&d);
	import(&d, KVM_TDX_MIG_IMPORT_COMMIT, 0, &unused, "IMPORT_COMMIT");
	stream_command(d.stream, KVM_TDX_MIG_IMPORT_END, 0, &unused, "IMPORT_END");
	/* The TD is here now, whether the source hears of it or not. */
	wire_send(fd, WIRE_COMMITTED, NULL, 0);
	resume(d.vm);
	/* The TD need not wait for that. */
	stop_importers(&d);
	return d.vm;
}
