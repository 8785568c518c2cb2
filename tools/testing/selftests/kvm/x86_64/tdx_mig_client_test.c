// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VMM that knows the interface of migration streams and nothing else.  It has
 * device, attributes, mappings and commands from the header alone, asks for as
 * little as possible, sends single pages or batches whatever becomes of the
 * entries, finds out by the bundle which command imports it, names no vCPU, and
 * never commits.
 */
#include <linux/bitmap.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_test.h"
#include "tdx_worker.h"

#define MAX_STREAMS	2
#define NR_ROUNDS	3

#define MAC_BYTES	16

/* What goes before each bundle. */
struct header {
	u16 stream;
	u16 nr_pages;
};

struct client_stream {
	int fd;
	u32 nr_pages;
	struct tdx_mig_mbmd *mbmd;
	u64 *gpa_list;
	u8 *mac_list;
	u8 *buf_list;
};

struct client {
	struct client_stream streams[MAX_STREAMS];
	int nr_streams;
	u32 batch;
	/* Takes its turn with the next batch. */
	int next;
	FILE *wire;
};

/* ------------------------------------------------------------------- streams */

static int command(struct client_stream *s, u32 id, void *data)
{
	struct kvm_tdx_cmd cmd;
	int ret;

	do {
		cmd = (struct kvm_tdx_cmd) { .id = id, .data = (u64)data };
		ret = ioctl(s->fd, KVM_MEMORY_ENCRYPT_OP, &cmd);
	} while (ret && (errno == EAGAIN || errno == EINTR));

	return ret;
}

static void must(struct client_stream *s, u32 id, void *data)
{
	int ret = command(s, id, data);

	TEST_ASSERT(!ret, "Command %u failed, errno %d (%s)", id, errno, strerror(errno));
}

static void *map(struct client_stream *s, unsigned int offset, unsigned int nr_pages)
{
	void *p = mmap(NULL, nr_pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
		       offset * PAGE_SIZE);

	TEST_ASSERT(p != MAP_FAILED, "mmap() of page %u failed, errno %d", offset, errno);
	return p;
}

static void setup_stream(struct client_stream *s, int vm_fd, u32 nr_pages)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_TDX_MIG_STREAM };
	struct kvm_dev_tdx_mig_attr tdx_attr = {
		.version = KVM_DEV_TDX_MIG_ATTR_VERSION,
		.buf_list_pages = nr_pages,
	};
	struct kvm_device_attr attr = {
		.group = KVM_DEV_TDX_MIG_ATTR,
		.attr = sizeof(tdx_attr),
		.addr = (u64)&tdx_attr,
	};

	TEST_ASSERT(!ioctl(vm_fd, KVM_CREATE_DEVICE, &create), "errno %d", errno);
	s->fd = create.fd;
	TEST_ASSERT(!ioctl(s->fd, KVM_SET_DEVICE_ATTR, &attr), "errno %d", errno);
	tdx_attr = (struct kvm_dev_tdx_mig_attr) {};
	TEST_ASSERT(!ioctl(s->fd, KVM_GET_DEVICE_ATTR, &attr), "errno %d", errno);

	s->nr_pages = tdx_attr.buf_list_pages;
	s->mbmd = map(s, TDX_MIG_STREAM_MBMD_MAP_OFFSET, 1);
	s->gpa_list = map(s, TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET, 1);
	s->mac_list = map(s, TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET, 2);
	s->buf_list = map(s, TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET, s->nr_pages);
}

static void setup(struct client *c, struct kvm_vm *vm, int nr_streams, u32 batch, FILE *wire)
{
	int i;

	*c = (struct client) { .nr_streams = nr_streams, .batch = batch, .wire = wire };
	for (i = 0; i < nr_streams; i++)
		setup_stream(&c->streams[i], vm->fd, batch);
}

static void cleanup(struct client *c)
{
	struct client_stream *s;

	for (s = c->streams; s < c->streams + c->nr_streams; s++) {
		kvm_munmap(s->mbmd, PAGE_SIZE);
		kvm_munmap(s->gpa_list, PAGE_SIZE);
		kvm_munmap(s->mac_list, 2 * PAGE_SIZE);
		kvm_munmap(s->buf_list, s->nr_pages * PAGE_SIZE);
		close(s->fd);
	}
}

/* ------------------------------------------------------------------ the wire */

static void send(struct client *c, const void *data, size_t size)
{
	TEST_ASSERT_EQ(fwrite(data, 1, size, c->wire), size);
}

static void receive(struct client *c, void *data, size_t size)
{
	TEST_ASSERT_EQ(fread(data, 1, size, c->wire), size);
}

static void send_bundle(struct client *c, int stream, u16 nr_pages)
{
	const struct header header = { .stream = stream, .nr_pages = nr_pages };
	struct client_stream *s = &c->streams[stream];

	send(c, &header, sizeof(header));
	send(c, s->mbmd, TDX_MIG_MBMD_SIZE);
	send(c, s->buf_list, nr_pages * PAGE_SIZE);
	if (s->mbmd->mb_type == TDX_MIG_MBMD_TYPE_MEM) {
		send(c, s->gpa_list, nr_pages * sizeof(*s->gpa_list));
		send(c, s->mac_list, nr_pages * MAC_BYTES);
	}
}

/* Import the next bundle; false at the end. */
static bool load_bundle(struct client *c)
{
	struct client_stream *s;
	struct header header;
	u64 nr;

	if (!fread(&header, sizeof(header), 1, c->wire))
		return false;

	s = &c->streams[header.stream];
	nr = header.nr_pages;
	receive(c, s->mbmd, TDX_MIG_MBMD_SIZE);
	receive(c, s->buf_list, nr * PAGE_SIZE);
	switch (s->mbmd->mb_type) {
	case TDX_MIG_MBMD_TYPE_IMMUTABLE_STATE:
		must(s, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, &nr);
		break;
	case TDX_MIG_MBMD_TYPE_MEM:
		receive(c, s->gpa_list, nr * sizeof(*s->gpa_list));
		receive(c, s->mac_list, nr * MAC_BYTES);
		must(s, KVM_TDX_MIG_IMPORT_MEM, &nr);
		break;
	case TDX_MIG_MBMD_TYPE_EPOCH_TOKEN:
		must(s, KVM_TDX_MIG_IMPORT_TRACK, &nr);
		break;
	case TDX_MIG_MBMD_TYPE_TD_STATE:
		must(s, KVM_TDX_MIG_IMPORT_STATE_TD, &nr);
		break;
	case TDX_MIG_MBMD_TYPE_VP_STATE:
		must(s, KVM_TDX_MIG_IMPORT_STATE_VP, &nr);
		break;
	default:
		TEST_FAIL("Bundle of type %u", s->mbmd->mb_type);
	}
	return true;
}

/* ---------------------------------------------------------------- the source */

static void save_state(struct client *c, u32 id)
{
	u64 nr = 0;

	must(&c->streams[0], id, &nr);
	send_bundle(c, 0, nr);
}

static void save_token(struct client *c, bool in_order_done)
{
	u64 flags = in_order_done ? TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE : 0;

	must(&c->streams[0], KVM_TDX_MIG_EXPORT_TRACK, &flags);
	send_bundle(c, 0, 0);
}

static void save_pages(struct client *c, const gpa_t *gpas, u32 nr)
{
	struct client_stream *s = &c->streams[c->next];
	u64 exported = nr;
	u32 i;

	for (i = 0; i < nr; i++)
		s->gpa_list[i] = gpas[i] |
				 (u64)TDX_MIG_GPA_OP_MIGRATE << TDX_MIG_GPA_ENTRY_OP_SHIFT;
	must(s, KVM_TDX_MIG_EXPORT_MEM, &exported);
	send_bundle(c, c->next, nr);
	c->next = (c->next + 1) % c->nr_streams;
}

static void save_all(struct client *c, const gpa_t *gpas, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i += c->batch)
		save_pages(c, gpas + i, min(c->batch, nr - i));
}

/* What is dirty in the slot that is logged, from now on blocked. */
static u32 get_dirty(struct td_worker *w, gpa_t *gpas)
{
	unsigned long bitmap[TD_WORKER_BITMAP_WORDS];
	u32 page, nr = 0;

	kvm_vm_get_dirty_log(w->vm, TD_WORKER_SLOT, bitmap);
	kvm_vm_clear_dirty_log(w->vm, TD_WORKER_SLOT, bitmap, 0, TD_WORKER_NR_PAGES);
	for (page = 0; page < TD_WORKER_NR_PAGES; page++) {
		if (test_bit(page, bitmap))
			gpas[nr++] = td_worker_gpa(page);
	}
	return nr;
}

/* Pages of the slots that are not logged. */
static u32 drop_logged(gpa_t *gpas, u32 nr)
{
	u32 i, kept = 0;

	for (i = 0; i < nr; i++) {
		if (gpas[i] < td_worker_gpa(0) || gpas[i] >= td_worker_gpa(TD_WORKER_NR_PAGES))
			gpas[kept++] = gpas[i];
	}
	return kept;
}

static void save_while_running(struct client *c, struct td_worker *w)
{
	gpa_t gpas[TD_WORKER_NR_PAGES];
	struct td_worker_thread t[2];
	int i;

	td_worker_log(w, true);
	save_state(c, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE);
	td_worker_start(&t[0], w, 0, TD_WORKER_WRITE_STORM, 0, 8);
	td_worker_start(&t[1], w, 1, TD_WORKER_CALL_STORM, 8, 24);
	for (i = 0; i < NR_ROUNDS; i++) {
		td_worker_wait(&t[0], 1);
		td_worker_wait(&t[1], 1);
		save_all(c, gpas, get_dirty(w, gpas));
		save_token(c, false);
	}
	td_worker_stop(t, 2);
}

static void save_paused(struct client *c, struct td_worker *w, struct td_mig *m)
{
	gpa_t dirty[TD_WORKER_NR_PAGES], *gpas;
	u32 nr;
	int i;

	must(&c->streams[0], KVM_TDX_MIG_EXPORT_PAUSE, NULL);
	save_all(c, dirty, get_dirty(w, dirty));
	gpas = td_mig_list_pages(m, &nr);
	save_all(c, gpas, drop_logged(gpas, nr));
	free(gpas);

	save_state(c, KVM_TDX_MIG_EXPORT_STATE_TD);
	for (i = 0; i < w->nr_vcpus; i++)
		save_state(c, KVM_TDX_MIG_EXPORT_STATE_VP);
	save_token(c, true);
}

/* ----------------------------------------------------------------- migrations */

/* Both TDs, and their key; the rest is up to the client. */
static void prepare(struct td_worker *w, struct td_mig *m, struct td_mig_dest *d)
{
	*m = (struct td_mig) { .src = w->vm, .nr_vcpus = w->nr_vcpus };
	memcpy(m->src_vcpus, w->vcpus, w->nr_vcpus * sizeof(*w->vcpus));
	td_mig_exchange_keys(m);
	td_mig_dest_create(d, m);
}

static void migrate(struct td_worker *w, int nr_streams, u32 batch)
{
	struct client src, dst;
	struct td_mig_dest d;
	struct td_mig m;
	FILE *wire = tmpfile();

	TEST_ASSERT(wire, "tmpfile() failed, errno %d", errno);
	prepare(w, &m, &d);
	setup(&src, w->vm, nr_streams, batch, wire);
	setup(&dst, d.vm, nr_streams, batch, wire);
	save_while_running(&src, w);
	save_paused(&src, w, &m);

	rewind(wire);
	while (load_bundle(&dst))
		;
	must(&dst.streams[0], KVM_TDX_MIG_IMPORT_END, NULL);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);
	td_worker_run(w, d.vcpus[1], 1, TD_WORKER_WRITE, 0, TD_WORKER_NR_OLD);
	td_worker_run(w, d.vcpus[0], 0, TD_WORKER_CHECK, 0, 0);

	cleanup(&src);
	cleanup(&dst);
	td_mig_dest_free(&d);
	td_mig_free(&m);
	fclose(wire);
}

TD_TEST(client_that_sends_single_pages_and_never_commits_migrates_a_td_that_writes)
{
	struct td_worker w;

	td_worker_create(&w, 2);
	migrate(&w, 1, 1);
	td_worker_free(&w);
}

TD_TEST(client_that_sends_batches_over_streams_in_turn_migrates_a_td_that_writes)
{
	struct td_worker w;

	td_worker_create(&w, 2);
	migrate(&w, MAX_STREAMS, 64);
	td_worker_free(&w);
}

TD_TEST(client_that_gives_up_can_try_again)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct client src;
	struct td_mig m;

	td_worker_create(&w, 2);
	prepare(&w, &m, &d);
	setup(&src, w.vm, 1, 1, tmpfile());
	TEST_ASSERT(src.wire, "tmpfile() failed, errno %d", errno);
	save_while_running(&src, &w);
	must(&src.streams[0], KVM_TDX_MIG_EXPORT_ABORT, NULL);
	td_worker_check(&w);
	fclose(src.wire);
	cleanup(&src);
	td_mig_dest_free(&d);
	td_mig_free(&m);

	migrate(&w, 1, TDX_MIG_BUF_LIST_PAGES_MAX);
	td_worker_free(&w);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
