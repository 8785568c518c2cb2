// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shortest complete client of TD migration, see tdx_mig_example.h.
 *
 * One stream, and all memory while the TD is stopped.  A VMM that wants a short
 * pause sends memory in rounds before, by the dirty log, and uses more streams; the
 * commands are the same.  See Documentation/virt/kvm/tdx-migration.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tdx_mig_example.h"

#define PAGE_BYTES	4096
#define MAC_BYTES	16

/* Pages of the MBMD, the GPA list and the MACs, before the buffers. */
#define LIST_PAGES	TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET

/* Goes before each bundle, and tells the command that imports it. */
struct header {
	__u32 import_cmd;
	__u32 nr_pages;
};

/* State of a vCPU that is KVM's, and thus in no bundle. */
struct vcpu_state {
	struct kvm_tdx_mig_vcpu_state tdx;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	__u32 nr_msrs;
};

/* Not a command of the stream: the state above, of all vCPUs. */
#define VCPU_STATES	KVM_TDX_MIG_CMD_NR_MAX

static void *page(struct tdx_example *x, int offset)
{
	return x->map + offset * PAGE_BYTES;
}

static int transfer(int fd, void *data, size_t size, bool out)
{
	ssize_t n;

	for (; size; data += n, size -= n) {
		n = out ? write(fd, data, size) : read(fd, data, size);
		if (n < 0 && errno == EINTR) {
			n = 0;
		} else if (n < 0) {
			return -1;
		} else if (!n) {
			errno = EPIPE;
			return -1;
		}
	}

	return 0;
}

static int command(struct tdx_example *x, __u32 id, __u64 *value)
{
	struct kvm_tdx_cmd cmd;
	int r;

	do {
		cmd = (struct kvm_tdx_cmd) { .id = id, .data = (unsigned long)value };
		r = ioctl(x->fd, KVM_MEMORY_ENCRYPT_OP, &cmd);
	} while (r && (errno == EAGAIN || errno == EINTR));

	return r;
}

int tdx_example_open(struct tdx_example *x)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_TDX_MIG_STREAM };
	struct kvm_dev_tdx_mig_attr config = {
		.version = KVM_DEV_TDX_MIG_ATTR_VERSION,
		.buf_list_pages = TDX_MIG_BUF_LIST_PAGES_MAX,
	};
	struct kvm_device_attr attr = {
		.group = KVM_DEV_TDX_MIG_ATTR,
		.attr = sizeof(config),
		.addr = (unsigned long)&config,
	};

	if (ioctl(x->vm_fd, KVM_CREATE_DEVICE, &device))
		return -1;

	x->fd = device.fd;
	x->nr_bufs = config.buf_list_pages;
	while (ioctl(x->fd, KVM_SET_DEVICE_ATTR, &attr)) {
		if (errno != EAGAIN && errno != EINTR)
			goto close;
	}

	x->map = mmap(NULL, (LIST_PAGES + x->nr_bufs) * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_SHARED, x->fd, 0);
	if (x->map != MAP_FAILED)
		return 0;
close:
	close(x->fd);
	return -1;
}

void tdx_example_close(struct tdx_example *x)
{
	munmap(x->map, (LIST_PAGES + x->nr_bufs) * PAGE_BYTES);
	close(x->fd);
}

/* The bundle in the buffers of the stream, in either direction. */
static int transfer_bundle(struct tdx_example *x, int fd, const struct header *h, bool out)
{
	if (transfer(fd, page(x, TDX_MIG_STREAM_MBMD_MAP_OFFSET), TDX_MIG_MBMD_SIZE, out))
		return -1;

	if (h->import_cmd == KVM_TDX_MIG_IMPORT_MEM &&
	    (transfer(fd, page(x, TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET),
		      h->nr_pages * sizeof(__u64), out) ||
	     transfer(fd, page(x, TDX_MIG_STREAM_MAC_LIST_MAP_OFFSET),
		      h->nr_pages * MAC_BYTES, out)))
		return -1;

	return transfer(fd, page(x, TDX_MIG_STREAM_BUF_LIST_MAP_OFFSET),
			h->nr_pages * PAGE_BYTES, out);
}

static int save_bundle(struct tdx_example *x, int fd, __u32 import_cmd, __u32 nr_pages)
{
	struct header h = { .import_cmd = import_cmd, .nr_pages = nr_pages };

	return transfer(fd, &h, sizeof(h), true) ? : transfer_bundle(x, fd, &h, true);
}

/* ---------------------------------------------------------------- vCPU state */

/* One MSR at a time: what KVM does not emulate for this TD fails, and is no loss. */
static bool access_msr(int vcpu_fd, unsigned long ioctl_nr, struct kvm_msr_entry *entry)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry = *entry };

	if (ioctl(vcpu_fd, ioctl_nr, &msrs) != 1)
		return false;

	*entry = msrs.entry;
	return true;
}

static struct kvm_msr_list *list_msrs(void)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_msr_list probe = {}, *list = NULL;

	if (kvm_fd < 0)
		return NULL;

	/* Fails with E2BIG, and tells the number. */
	ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe);
	list = calloc(1, sizeof(*list) + probe.nmsrs * sizeof(list->indices[0]));
	if (list) {
		list->nmsrs = probe.nmsrs;
		if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list))
			list->nmsrs = 0;
	}
	close(kvm_fd);
	return list;
}

static int save_vcpu(int vcpu_fd, const struct kvm_msr_list *list, int fd)
{
	struct vcpu_state state = {
		.tdx.version = KVM_TDX_MIG_VCPU_STATE_VERSION,
		.tdx.size = sizeof(state.tdx),
	};
	struct kvm_tdx_cmd cmd = {
		.id = KVM_TDX_MIG_GET_VCPU_STATE,
		.data = (unsigned long)&state.tdx,
	};
	struct kvm_msr_entry msrs[list->nmsrs];
	__u32 i;

	if (ioctl(vcpu_fd, KVM_MEMORY_ENCRYPT_OP, &cmd) ||
	    ioctl(vcpu_fd, KVM_GET_LAPIC, &state.lapic) ||
	    ioctl(vcpu_fd, KVM_GET_VCPU_EVENTS, &state.events) ||
	    ioctl(vcpu_fd, KVM_GET_MP_STATE, &state.mp_state))
		return -1;

	for (i = 0; i < list->nmsrs; i++) {
		msrs[state.nr_msrs] = (struct kvm_msr_entry) { .index = list->indices[i] };
		if (access_msr(vcpu_fd, KVM_GET_MSRS, &msrs[state.nr_msrs]))
			state.nr_msrs++;
	}

	return transfer(fd, &state, sizeof(state), true) ? :
	       transfer(fd, msrs, state.nr_msrs * sizeof(*msrs), true);
}

static int load_vcpu(int vcpu_fd, int fd)
{
	struct vcpu_state state;
	struct kvm_tdx_cmd cmd = {
		.id = KVM_TDX_MIG_SET_VCPU_STATE,
		.data = (unsigned long)&state.tdx,
	};
	struct kvm_msr_entry msr, own;
	__u32 i;

	if (transfer(fd, &state, sizeof(state), false) ||
	    ioctl(vcpu_fd, KVM_MEMORY_ENCRYPT_OP, &cmd) ||
	    ioctl(vcpu_fd, KVM_SET_LAPIC, &state.lapic))
		return -1;

	/* After the local APIC, whose timer has the mode for the deadline. */
	for (i = 0; i < state.nr_msrs; i++) {
		if (transfer(fd, &msr, sizeof(msr), false))
			return -1;
		/* Some can only be read, and are the same everywhere. */
		own = msr;
		if (!access_msr(vcpu_fd, KVM_SET_MSRS, &msr) &&
		    (!access_msr(vcpu_fd, KVM_GET_MSRS, &own) || own.data != msr.data)) {
			errno = EINVAL;
			return -1;
		}
	}

	return ioctl(vcpu_fd, KVM_SET_VCPU_EVENTS, &state.events) ? :
	       ioctl(vcpu_fd, KVM_SET_MP_STATE, &state.mp_state);
}

static int save_vcpus(struct tdx_example *x, int fd)
{
	struct header h = { .import_cmd = VCPU_STATES };
	struct kvm_msr_list *list = list_msrs();
	int i, r;

	if (!list)
		return -1;

	r = transfer(fd, &h, sizeof(h), true);
	for (i = 0; !r && i < x->nr_vcpus; i++)
		r = save_vcpu(x->vcpu_fds[i], list, fd);
	free(list);
	return r;
}

static int load_vcpus(struct tdx_example *x, int fd)
{
	int i, r = 0;

	for (i = 0; !r && i < x->nr_vcpus; i++)
		r = load_vcpu(x->vcpu_fds[i], fd);
	return r;
}

/* ---------------------------------------------------------------- the source */

static int save_state(struct tdx_example *x, int fd, __u32 export_cmd, __u32 import_cmd)
{
	__u64 nr_pages = 0;

	return command(x, export_cmd, &nr_pages) ? : save_bundle(x, fd, import_cmd, nr_pages);
}

/* Pages that do not exist, or are shared, become NOPs in the list. */
static int save_range(struct tdx_example *x, int fd, const struct tdx_example_range *range)
{
	__u64 *gpa_list = page(x, TDX_MIG_STREAM_GPA_LIST_MAP_OFFSET);
	__u64 gpa = range->gpa, end = range->gpa + range->size, value;
	__u32 nr;

	while (gpa < end) {
		for (nr = 0; nr < x->nr_bufs && gpa < end; nr++, gpa += PAGE_BYTES)
			gpa_list[nr] = gpa | (__u64)TDX_MIG_GPA_OP_MIGRATE <<
					     TDX_MIG_GPA_ENTRY_OP_SHIFT;
		value = nr;
		if (command(x, KVM_TDX_MIG_EXPORT_MEM, &value) ||
		    save_bundle(x, fd, KVM_TDX_MIG_IMPORT_MEM, nr))
			return -1;
	}

	return 0;
}

int tdx_example_save(struct tdx_example *x, int fd)
{
	__u64 start_token = TDX_MIG_EXPORT_TRACK_F_IN_ORDER_DONE;
	int i, r;

	r = save_state(x, fd, KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE,
		       KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE) ? :
	    command(x, KVM_TDX_MIG_EXPORT_PAUSE, NULL);
	for (i = 0; !r && i < x->nr_ranges; i++)
		r = save_range(x, fd, &x->ranges[i]);

	r = r ? : save_state(x, fd, KVM_TDX_MIG_EXPORT_STATE_TD, KVM_TDX_MIG_IMPORT_STATE_TD);
	for (i = 0; !r && i < x->nr_vcpus; i++)
		r = save_state(x, fd, KVM_TDX_MIG_EXPORT_STATE_VP, KVM_TDX_MIG_IMPORT_STATE_VP);

	return r ? : save_vcpus(x, fd) ? :
	       command(x, KVM_TDX_MIG_EXPORT_TRACK, &start_token) ? :
	       save_bundle(x, fd, KVM_TDX_MIG_IMPORT_TRACK, 0);
}

int tdx_example_abort(struct tdx_example *x, const void *token)
{
	if (token)
		memcpy(page(x, TDX_MIG_STREAM_MBMD_MAP_OFFSET), token, TDX_MIG_MBMD_SIZE);

	return command(x, KVM_TDX_MIG_EXPORT_ABORT, NULL);
}

/* ----------------------------------------------------------- the destination */

static int load_bundle(struct tdx_example *x, int fd, const struct header *h)
{
	__u64 value = h->nr_pages;

	if (h->nr_pages > x->nr_bufs) {
		errno = EBADMSG;
		return -1;
	}

	return transfer_bundle(x, fd, h, false) ? : command(x, h->import_cmd, &value);
}

static int load(struct tdx_example *x, int fd)
{
	struct header h;
	int r;

	/* Nothing is exported in rounds here, so the one token is the start token. */
	do {
		r = transfer(fd, &h, sizeof(h), false);
		if (!r)
			r = h.import_cmd == VCPU_STATES ? load_vcpus(x, fd) :
							  load_bundle(x, fd, &h);
	} while (!r && h.import_cmd != KVM_TDX_MIG_IMPORT_TRACK);

	/* From the commit on, there is no way back to the source. */
	return r ? : command(x, KVM_TDX_MIG_IMPORT_COMMIT, NULL) ? :
	       command(x, KVM_TDX_MIG_IMPORT_END, NULL);
}

int tdx_example_load(struct tdx_example *x, int fd, void *token)
{
	int r = load(x, fd), err = errno;

	if (r && !command(x, KVM_TDX_MIG_IMPORT_ABORT, NULL))
		memcpy(token, page(x, TDX_MIG_STREAM_MBMD_MAP_OFFSET), TDX_MIG_MBMD_SIZE);
	errno = err;
	return r;
}
