// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: the streams of one side, their commands,
 * and the bundles that these export and import.
 */
#include <sys/mman.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"

bool kvm_has_tdx_mig(void)
{
	struct kvm_vm *vm;
	bool ret;

	if (!kvm_has_tdx())
		return false;

	vm = td_create_barebones();
	ret = !__kvm_test_create_device(vm, KVM_DEV_TYPE_TDX_MIG_STREAM);
	kvm_vm_free(vm);
	return ret;
}

u64 td_module_version(void)
{
	struct kvm_vm *vm = td_create_barebones();
	struct kvm_tdx_capabilities *caps = td_get_capabilities(vm);
	u64 version = TD_MODULE(caps->mig.module_major_version, caps->mig.module_minor_version,
				caps->mig.module_update_version);

	free(caps);
	kvm_vm_free(vm);
	return version;
}

/* ------------------------------------------------------------------ streams */

int __td_mig_cmd(struct td_mig_stream *s, u32 id, u32 flags, u64 data, u64 *hw_error)
{
	int ret;

	if (s->fail)
		td_fail_arm(s->fail);
	ret = __td_ioctl(s->fd, id, flags, data, hw_error);
	if (s->fail)
		td_fail_disarm(s->fail);
	return ret;
}

int __td_mig_cmd_nr(struct td_mig_stream *s, u32 id, u64 *nr, u64 *hw_error)
{
	int ret;

	/* What a signal interrupted is resumed by the same command. */
	do {
		ret = __td_mig_cmd(s, id, 0, (u64)nr, hw_error);
	} while (ret && !s->fail && (errno == EINTR || errno == EAGAIN));

	return ret;
}

void td_mig_cmd(struct td_mig_stream *s, u32 id)
{
	u64 hw_error;
	int ret = __td_mig_cmd_nr(s, id, NULL, &hw_error);

	TEST_ASSERT(!ret, "Migration command %u failed, errno %d (%s), hw_error 0x%lx",
		    id, errno, strerror(errno), hw_error);
}

int td_mig_try_cmd(struct td_mig_stream *s, u32 id)
{
	u64 nr = 1;

	return __td_mig_cmd_nr(s, id, &nr, NULL);
}

int __td_mig_stream_create(struct td_mig_stream *s, struct kvm_vm *vm, u32 index)
{
	struct kvm_create_device dev = { .type = KVM_DEV_TYPE_TDX_MIG_STREAM };
	int ret = __vm_ioctl(vm, KVM_CREATE_DEVICE, &dev);

	*s = (struct td_mig_stream) { .fd = ret ? -1 : (int)dev.fd, .index = index };
	return ret;
}

void td_mig_stream_create(struct td_mig_stream *s, struct kvm_vm *vm, u32 index)
{
	int ret = __td_mig_stream_create(s, vm, index);

	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_CREATE_DEVICE, ret));
}

int __td_mig_stream_set_attr(struct td_mig_stream *s, u32 version, u32 buf_list_pages)
{
	struct kvm_dev_tdx_mig_attr attr = {
		.version = version,
		.buf_list_pages = buf_list_pages,
	};

	return __kvm_device_attr_set(s->fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr), &attr);
}

static size_t td_mig_map_size(struct td_mig_stream *s)
{
	return (TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + s->buf_list_pages) * PAGE_SIZE;
}

int __td_mig_stream_map(struct td_mig_stream *s)
{
	void *map = mmap(NULL, td_mig_map_size(s), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);

	if (map == MAP_FAILED)
		return -1;

	s->map = map;
	s->mbmd = map + TDX_MIG_STREAM_MBMD_MAP_OFFSET * PAGE_SIZE;
	s->gpa_list = map + TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET * PAGE_SIZE;
	s->mac_list = map + TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET * PAGE_SIZE;
	s->buf = map + TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET * PAGE_SIZE;
	return 0;
}

void td_mig_stream_open(struct td_mig_stream *s, struct kvm_vm *vm, u32 index,
			u32 buf_list_pages)
{
	struct kvm_dev_tdx_mig_attr attr = { .version = KVM_DEV_TDX_MIG_ATTR_VERSION };
	int ret;

	td_mig_stream_create(s, vm, index);
	/* A migration TD that accesses the TD contends with this. */
	do {
		ret = __td_mig_stream_set_attr(s, KVM_DEV_TDX_MIG_ATTR_VERSION, buf_list_pages);
	} while (ret && errno == EAGAIN);
	TEST_ASSERT(!ret, KVM_IOCTL_ERROR(KVM_SET_DEVICE_ATTR, ret));

	kvm_device_attr_get(s->fd, KVM_DEV_TDX_MIG_ATTR, sizeof(attr), &attr);
	TEST_ASSERT(attr.buf_list_pages >= buf_list_pages &&
		    attr.buf_list_pages <= TDX_MIG_BUF_LIST_PAGES_MAX,
		    "%u buffer pages asked for, got %u", buf_list_pages, attr.buf_list_pages);
	s->buf_list_pages = attr.buf_list_pages;
	s->max_migs = attr.max_migs;

	ret = __td_mig_stream_map(s);
	TEST_ASSERT(!ret, "Cannot map a stream, errno %d (%s)", errno, strerror(errno));
}

void td_mig_stream_close(struct td_mig_stream *s)
{
	if (s->map)
		kvm_munmap(s->map, td_mig_map_size(s));
	s->map = NULL;
	kvm_free_fd(s->fd);
}

/* ------------------------------------------------------------------ bundles */

static void *td_mig_memdup(const void *src, size_t size)
{
	void *dst = malloc(size);

	TEST_ASSERT(dst, "Insufficient Memory");
	return memcpy(dst, src, size);
}

static void td_mig_bundle_init(struct td_mig_bundle *b, struct td_mig_stream *s,
			       u32 import_cmd, u32 nr)
{
	*b = (struct td_mig_bundle) {
		.import_cmd = import_cmd,
		.stream = s->index,
		.nr = nr,
		.mbmd = *s->mbmd,
	};
	if (nr)
		b->pages = td_mig_memdup(s->buf, nr * PAGE_SIZE);
}

int __td_mig_export_state(struct td_mig_stream *s, u32 export_cmd,
			  struct td_mig_bundle *b, u64 *hw_error)
{
	u64 nr = 0;
	int ret = __td_mig_cmd_nr(s, export_cmd, &nr, hw_error);

	if (ret)
		return ret;

	TEST_ASSERT(nr && nr <= s->buf_list_pages, "%lu state pages exported", nr);
	switch (export_cmd) {
	case KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE:
		td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, nr);
		break;
	case KVM_TDX_MIG_EXPORT_STATE_TD:
		td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_STATE_TD, nr);
		break;
	case KVM_TDX_MIG_EXPORT_STATE_VP:
		td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_STATE_VP, nr);
		break;
	default:
		TEST_FAIL("Not a command that exports state: %u", export_cmd);
	}
	return 0;
}

int __td_mig_export_mem(struct td_mig_stream *s, const u64 *gpa_list, u32 nr,
			struct td_mig_bundle *b, u64 *hw_error)
{
	u64 nr_entries = nr;
	int ret;

	memcpy(s->gpa_list, gpa_list, nr * sizeof(*gpa_list));
	ret = __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_MEM, &nr_entries, hw_error);
	if (ret)
		return ret;

	td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_MEM, nr);
	b->gpa_list = td_mig_memdup(s->gpa_list, nr * sizeof(*gpa_list));
	b->mac_list = td_mig_memdup(s->mac_list, nr * TD_MIG_MAC_SIZE);
	return 0;
}

int __td_mig_export_track(struct td_mig_stream *s, bool start_token,
			  struct td_mig_bundle *b, u64 *hw_error)
{
	u64 value = start_token ? TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE : 0;
	int ret = __td_mig_cmd_nr(s, KVM_TDX_MIG_EXPORT_TRACK, &value, hw_error);

	if (!ret)
		td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_TRACK, 0);
	return ret;
}

/* A command for a vCPU that is named. */
static int td_mig_cmd_vcpu(struct td_mig_stream *s, u32 id, u32 vcpu_id, u64 *nr, u64 *hw_error)
{
	struct kvm_tdx_mig_state_vp vp = { .nr_pages = *nr, .vcpu_id = vcpu_id };
	int ret;

	do {
		ret = __td_mig_cmd(s, id, KVM_TDX_MIG_STATE_VP_F_VCPU_ID, (u64)&vp, hw_error);
	} while (ret && !s->fail && (errno == EINTR || errno == EAGAIN));

	*nr = vp.nr_pages;
	return ret;
}

int __td_mig_export_vcpu(struct td_mig_stream *s, u32 vcpu_id, struct td_mig_bundle *b,
			 u64 *hw_error)
{
	u64 nr = 0;
	int ret = td_mig_cmd_vcpu(s, KVM_TDX_MIG_EXPORT_STATE_VP, vcpu_id, &nr, hw_error);

	if (ret)
		return ret;

	td_mig_bundle_init(b, s, KVM_TDX_MIG_IMPORT_STATE_VP, nr);
	b->has_vcpu_id = true;
	b->vcpu_id = vcpu_id;
	return 0;
}

struct td_mig_stream *td_mig_load_bundle(struct td_mig_stream *streams,
					 const struct td_mig_bundle *b)
{
	struct td_mig_stream *s = &streams[b->stream];

	TEST_ASSERT(b->nr <= s->buf_list_pages, "Bundle of %u pages does not fit", b->nr);

	*s->mbmd = b->mbmd;
	if (b->pages)
		memcpy(s->buf, b->pages, b->nr * PAGE_SIZE);
	if (b->gpa_list) {
		memcpy(s->gpa_list, b->gpa_list, b->nr * sizeof(*b->gpa_list));
		memcpy(s->mac_list, b->mac_list, b->nr * TD_MIG_MAC_SIZE);
	}
	return s;
}

int __td_mig_import(struct td_mig_stream *streams, const struct td_mig_bundle *b,
		    u64 *hw_error)
{
	struct td_mig_stream *s = td_mig_load_bundle(streams, b);
	u64 nr = b->nr;

	if (b->has_vcpu_id)
		return td_mig_cmd_vcpu(s, b->import_cmd, b->vcpu_id, &nr, hw_error);
	return __td_mig_cmd_nr(s, b->import_cmd, &nr, hw_error);
}

void td_mig_bundle_copy(struct td_mig_bundle *dst, const struct td_mig_bundle *src)
{
	*dst = *src;
	if (src->pages)
		dst->pages = td_mig_memdup(src->pages, src->nr * PAGE_SIZE);
	if (src->gpa_list) {
		dst->gpa_list = td_mig_memdup(src->gpa_list, src->nr * sizeof(*src->gpa_list));
		dst->mac_list = td_mig_memdup(src->mac_list, src->nr * TD_MIG_MAC_SIZE);
	}
}

void td_mig_bundle_free(struct td_mig_bundle *b)
{
	free(b->gpa_list);
	free(b->mac_list);
	free(b->pages);
	*b = (struct td_mig_bundle) {};
}
