// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of a migration TD, see Documentation/virt/kvm/tdx-migtd.rst.
 *
 * Its first call shows that it is up, as it then waits for requests. The only one
 * that it gets is for its TDREPORT: the answer tells whether it serves requests,
 * and what the TDX module has measured when the image was loaded.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "event.h"
#include "servtd.h"

#define TDVMCALL_MIGTD		0x10006

#define WAIT_FOR_REQUEST	1
#define REPORT_STATUS		2

#define STATUS_DONE		1ULL
#define STATUS_OPERATION_SHIFT	8
#define GET_TDREPORT		3ULL
#define REQUEST_ID		1ULL

#define TDREPORT_SIZE		1024
#define TDREPORT_MRTD		528
#define MRTD_SIZE		48

#define MSI_ADDRESS		0xfee00000

struct buffer {
	u64 status;
	u32 length;
	u8 data[];
} __packed;

static struct buffer *get_buffer(struct vm *vm, const struct kvm_run *run, u64 min_size)
{
	u64 size = run->tdx.migtd.size;
	struct buffer *b = vm_shared(vm, run->tdx.migtd.gpa, size);

	if (!b || size < min_size)
		die("the migration TD names a buffer of %llu bytes at 0x%llx, which is not shared",
		    (unsigned long long)size, (unsigned long long)run->tdx.migtd.gpa);
	return b;
}

/* The status goes last: the migration TD can look at any time, and polls without a vector. */
static void complete(struct vcpu *vcpu, struct buffer *b, u64 status)
{
	const struct kvm_run *run = vcpu->run;
	struct kvm_msi msi = { .address_lo = MSI_ADDRESS, .data = run->tdx.migtd.vector };

	__atomic_store_n(&b->status, status, __ATOMIC_RELEASE);
	if (msi.data && ioctl(vcpu->vm->fd, KVM_SIGNAL_MSI, &msi) < 0)
		die("KVM_SIGNAL_MSI: %s", strerror(errno));
}

/* The request, and nothing after that one. */
static void wait_for_request(struct servtd *servtd, struct vcpu *vcpu)
{
	const u64 request_id = REQUEST_ID;
	struct buffer *b = get_buffer(vcpu->vm, vcpu->run, sizeof(*b) + sizeof(request_id));

	if (servtd->asked)
		return;
	servtd->asked = true;
	event_text(EVENT_MESSAGE, "the migration TD waits for requests");

	memcpy(b->data, &request_id, sizeof(request_id));
	b->length = sizeof(request_id);
	complete(vcpu, b, STATUS_DONE | GET_TDREPORT << STATUS_OPERATION_SHIFT);
}

static void report_status(struct vcpu *vcpu)
{
	struct buffer *b = get_buffer(vcpu->vm, vcpu->run, sizeof(*b) + TDREPORT_SIZE);
	const struct kvm_run *run = vcpu->run;
	char mrtd[2 * MRTD_SIZE + 1];
	u32 i;

	if (run->tdx.migtd.request_id != REQUEST_ID || run->tdx.migtd.status ||
	    b->length != TDREPORT_SIZE)
		die("the migration TD answers request %llu with status 0x%llx and %u bytes",
		    (unsigned long long)run->tdx.migtd.request_id,
		    (unsigned long long)run->tdx.migtd.status, b->length);

	for (i = 0; i < MRTD_SIZE; i++)
		snprintf(mrtd + 2 * i, 3, "%02x", b->data[TDREPORT_MRTD + i]);
	event_text(EVENT_MESSAGE, "its TDREPORT has MRTD %s", mrtd);
	event_send(EVENT_REPORTED);
	complete(vcpu, b, STATUS_DONE);
}

void servtd_call(struct servtd *servtd, struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (run->tdx.nr != TDVMCALL_MIGTD || (run->tdx.migtd.leaf != WAIT_FOR_REQUEST &&
					      run->tdx.migtd.leaf != REPORT_STATUS)) {
		/* KVM has prepared the answer "not supported". */
		event_text(EVENT_MESSAGE, "call 0x%llx, leaf %u, is not supported",
			   (unsigned long long)run->tdx.nr, run->tdx.migtd.leaf);
		return;
	}

	if (run->tdx.migtd.leaf == WAIT_FOR_REQUEST)
		wait_for_request(servtd, vcpu);
	else
		report_status(vcpu);
	run->tdx.migtd.ret = 0;
}
