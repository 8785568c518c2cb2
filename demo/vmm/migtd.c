// SPDX-License-Identifier: GPL-2.0
/*
 * The VMM's side of the migration TD: start it, bind it, carry its messages.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "migtd.h"
#include "tdx_migtd_client.h"

#define MAX_BIND_RETRIES	1000

struct migtd {
	struct tdx_migtd_client client;
	/* What the migration TD has to know of the target. */
	struct tdx_migtd_start target;
	char error[EVENT_TEXT_SIZE / 2];
};

struct migtd *migtd_start(void)
{
	struct migtd *migtd = calloc(1, sizeof(*migtd));
	int ret;

	if (!migtd)
		die("out of memory");
	ret = tdx_migtd_client_start(&migtd->client);
	if (ret)
		die("the migration TD does not start: %s", strerror(-ret));
	return migtd;
}

void migtd_stop(struct migtd *migtd)
{
	int status = tdx_migtd_client_stop(&migtd->client);

	if (status)
		die("the migration TD ended with wait status 0x%x", status);
	free(migtd);
}

int migtd_bind(struct migtd *migtd, const struct vm *target, u64 *hw_error)
{
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = migtd->client.vm_fd,
		.type = KVM_TDX_SERVTD_TYPE_MIGTD,
	};
	u32 retries = 0;
	int ret;

	do {
		ret = tdx_try(target->fd, KVM_TDX_SERVTD_BIND, 0, &bind, hw_error);
	} while ((ret == EAGAIN || ret == EINTR) && retries++ < MAX_BIND_RETRIES);
	if (ret)
		return ret;

	migtd->target.handle = bind.handle;
	memcpy(migtd->target.uuid, bind.target_uuid, sizeof(bind.target_uuid));
	return 0;
}

static const char *connection_error(struct migtd *migtd, int err)
{
	snprintf(migtd->error, sizeof(migtd->error), "the process of the migration TD: %s",
		 strerror(err));
	return migtd->error;
}

static const char *result_error(struct migtd *migtd, const struct tdx_migtd_result *result)
{
	switch (result->result) {
	case MIGTD_SUCCESS:
		return NULL;
	case MIGTD_POLICY_UNSATISFIED:
		return "the hosts have no version of the migration protocol in common";
	case MIGTD_SECURE_SESSION_ERROR:
		return "the message is not from the peer's migration TD, or was changed";
	case MIGTD_TDX_MODULE_ERROR:
		snprintf(migtd->error, sizeof(migtd->error),
			 "the migration TD cannot access its target, TDX status 0x%llx",
			 result->tdx_status);
		return migtd->error;
	default:
		snprintf(migtd->error, sizeof(migtd->error),
			 "the migration TD refuses, result %llu", result->result);
		return migtd->error;
	}
}

static int send_packet(struct migtd *migtd, const struct tdx_migtd_packet *packet)
{
	return -tdx_migtd_client_send(&migtd->client, packet);
}

/* The next packet of this exchange; those of earlier ones come too late. */
static int receive_packet(struct migtd *migtd, u64 request_id, struct tdx_migtd_packet *packet)
{
	int ret;

	do {
		ret = -tdx_migtd_client_receive(&migtd->client, packet);
	} while (!ret && packet->request_id != request_id);
	return ret;
}

const char *migtd_begin(struct migtd *migtd, u64 request_id, bool source,
			struct migtd_message *own)
{
	struct tdx_migtd_packet packet = {
		.type = TDX_MIGTD_START,
		.request_id = request_id,
		.start = migtd->target,
	};
	int ret;

	packet.start.is_source = source;
	ret = send_packet(migtd, &packet) ?: receive_packet(migtd, request_id, &packet);
	if (ret)
		return connection_error(migtd, ret);
	if (packet.type == TDX_MIGTD_RESULT && packet.result.result)
		return result_error(migtd, &packet.result);
	if (packet.type != TDX_MIGTD_MESSAGE)
		return connection_error(migtd, EPROTO);

	own->len = packet.length;
	memcpy(own->data, packet.message, packet.length);
	return NULL;
}

const char *migtd_end(struct migtd *migtd, u64 request_id, const struct migtd_message *peer)
{
	struct tdx_migtd_packet packet = {
		.type = TDX_MIGTD_MESSAGE,
		.length = peer->len,
		.request_id = request_id,
	};
	int ret;

	memcpy(packet.message, peer->data, peer->len);
	ret = send_packet(migtd, &packet) ?: receive_packet(migtd, request_id, &packet);
	if (ret)
		return connection_error(migtd, ret);
	if (packet.type != TDX_MIGTD_RESULT)
		return connection_error(migtd, EPROTO);
	return result_error(migtd, &packet.result);
}
