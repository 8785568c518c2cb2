// SPDX-License-Identifier: GPL-2.0-only
/*
 * A host in tests of migration TDs that have a process of their own.
 */
#include <poll.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_migtd_host.h"

/* Of no importance unless the test fails. */
#define END_TIMEOUT_MS		900000

void td_host_start(struct td_host *h)
{
	int ret = tdx_migtd_client_start(&h->client);

	TEST_ASSERT(!ret, "tdx_migtd does not start: %s", strerror(-ret));
}

void td_host_connect(struct td_host *h, const char *path)
{
	int ret = tdx_migtd_client_connect(&h->client, path);

	TEST_ASSERT(!ret, "No migration TD from %s: %s", path, strerror(-ret));
}

void td_host_stop(struct td_host *h)
{
	int status = tdx_migtd_client_stop(&h->client);

	TEST_ASSERT(!status, "tdx_migtd ended with wait status 0x%x", status);
}

void td_host_expect_end(struct td_host *h)
{
	struct pollfd pfd = { .fd = h->client.socket };

	TEST_ASSERT(poll(&pfd, 1, END_TIMEOUT_MS) == 1, "tdx_migtd does not end");
	TEST_ASSERT(pfd.revents & POLLHUP, "Events 0x%x", pfd.revents);
}

int __td_host_bind(struct td_host *h, struct kvm_vm *vm, u64 *hw_error)
{
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = h->client.vm_fd,
		.type = KVM_TDX_SERVTD_TYPE_MIGTD,
	};
	int ret = __td_servtd_bind(vm->fd, &bind, hw_error);

	if (ret)
		return ret;

	h->target.handle = bind.handle;
	memcpy(h->target.uuid, bind.target_uuid, sizeof(h->target.uuid));
	return 0;
}

void td_host_bind(struct td_host *h, struct kvm_vm *vm, bool is_source)
{
	TEST_ASSERT(!__td_host_bind(h, vm, NULL), "KVM_TDX_SERVTD_BIND, errno %d", errno);
	h->target.is_source = is_source;
}

struct kvm_vm *td_host_create_target(struct td_host *h)
{
	struct kvm_vm *vm = td_create_uninitialized(1, 0);

	td_init_vm(vm, TDX_TD_ATTR_MIGRATABLE);
	td_host_bind(h, vm, true);
	return vm;
}

void td_host_send(struct td_host *h, const struct tdx_migtd_packet *p)
{
	int ret = tdx_migtd_client_send(&h->client, p);

	TEST_ASSERT(!ret, "tdx_migtd is gone: %s", strerror(-ret));
}

struct tdx_migtd_packet td_host_receive(struct td_host *h, u64 request_id, u32 type)
{
	struct tdx_migtd_packet p;
	int ret = tdx_migtd_client_receive(&h->client, &p);

	TEST_ASSERT(!ret, "tdx_migtd is gone: %s", strerror(-ret));
	TEST_ASSERT_EQ(p.request_id, request_id);
	TEST_ASSERT(p.type == type, "A packet of type %u, result %llu, status 0x%llx", p.type,
		    p.result.result, p.result.tdx_status);
	return p;
}

void td_host_send_start(struct td_host *h, u64 request_id)
{
	const struct tdx_migtd_packet start = {
		.type = TDX_MIGTD_START,
		.request_id = request_id,
		.start = h->target,
	};

	td_host_send(h, &start);
}

struct tdx_migtd_packet td_host_begin(struct td_host *h, u64 request_id)
{
	td_host_send_start(h, request_id);
	return td_host_receive(h, request_id, TDX_MIGTD_MESSAGE);
}

enum migtd_result td_host_end(struct td_host *h, const struct tdx_migtd_packet *message)
{
	td_host_send(h, message);
	return td_host_receive(h, message->request_id, TDX_MIGTD_RESULT).result.result;
}

void td_host_exchange(struct td_host *src, struct td_host *dst, u64 request_id)
{
	struct tdx_migtd_packet from_src = td_host_begin(src, request_id);
	struct tdx_migtd_packet from_dst = td_host_begin(dst, request_id);

	TEST_ASSERT_EQ(td_host_end(dst, &from_src), MIGTD_SUCCESS);
	TEST_ASSERT_EQ(td_host_end(src, &from_dst), MIGTD_SUCCESS);
}

void td_host_create_pair(struct td_pair *p, struct td_host *src, struct td_host *dst)
{
	td_pair_create_unbound(p);
	td_host_bind(src, p->vm, true);
	td_pair_launch(p);
	p->m.next_dst = td_mig_dest_create_vm();
	td_host_bind(dst, p->m.next_dst, false);
	td_mig_dest_create(&p->d, &p->m);
}
