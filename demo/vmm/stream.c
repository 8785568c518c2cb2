// SPDX-License-Identifier: GPL-2.0
/*
 * Talking to KVM_DEV_TYPE_TDX_MIG_STREAM.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "event.h"
#include "stream.h"

/* Bounds how often a command that meets contention is repeated. */
#define MAX_RETRIES		100000

void stream_create(struct stream *stream, const struct vm *vm, u32 index)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_TDX_MIG_STREAM };
	struct kvm_dev_tdx_mig_attr attr = {
		.version = KVM_DEV_TDX_MIG_ATTR_VERSION,
		.buf_list_pages = TDX_MIG_BUF_LIST_PAGES_MAX,
	};
	struct kvm_device_attr set = {
		.group = KVM_DEV_TDX_MIG_ATTR,
		.attr = sizeof(attr),
		.addr = (u64)&attr,
	};

	if (ioctl(vm->fd, KVM_CREATE_DEVICE, &device))
		die("create a migration stream: %s", strerror(errno));
	if (ioctl(device.fd, KVM_SET_DEVICE_ATTR, &set) ||
	    ioctl(device.fd, KVM_GET_DEVICE_ATTR, &set))
		die("attributes of a migration stream: %s", strerror(errno));

	stream->fd = device.fd;
	stream->index = index;
	stream->nr_pages = attr.buf_list_pages;
	stream->map_size = (TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET + stream->nr_pages) * PAGE_SIZE;
	stream->map = mmap(NULL, stream->map_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   stream->fd, 0);
	if (stream->map == MAP_FAILED)
		die("mmap of a migration stream: %s", strerror(errno));

	stream->mbmd = (void *)(stream->map + TDX_MIG_STREAM_MBMD_MAP_OFFSET * PAGE_SIZE);
	stream->gpa_list = (void *)(stream->map + TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET * PAGE_SIZE);
	stream->macs = stream->map + TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET * PAGE_SIZE;
	stream->pages = stream->map + TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET * PAGE_SIZE;
}

void stream_destroy(struct stream *stream)
{
	munmap(stream->map, stream->map_size);
	close(stream->fd);
}

int stream_try(const struct stream *stream, u32 id, u32 flags, void *data, u64 *hw_error)
{
	u32 retries = 0;
	int ret;

	do {
		ret = tdx_try(stream->fd, id, flags, data, hw_error);
	} while ((ret == EAGAIN || ret == EINTR) && retries++ < MAX_RETRIES);
	return ret;
}

void stream_command(const struct stream *stream, u32 id, u32 flags, void *data, const char *what)
{
	u64 hw_error;
	int ret = stream_try(stream, id, flags, data, &hw_error);

	if (ret)
		die("%s: %s, TDX status 0x%llx", what, strerror(ret), (unsigned long long)hw_error);
}
