// SPDX-License-Identifier: GPL-2.0
/*
 * Key exchange, by the migration TDs of both hosts. All that happens here is
 * that their messages are carried from one to the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "event.h"
#include "keys.h"
#include "migtd.h"
#include "wire.h"

struct keys {
	struct migtd *migtd;
};

struct keys *keys_start(void)
{
	struct keys *keys = calloc(1, sizeof(*keys));

	if (!keys)
		die("out of memory");
	keys->migtd = migtd_start();
	return keys;
}

void keys_stop(struct keys *keys)
{
	migtd_stop(keys->migtd);
	free(keys);
}

void keys_bind(struct keys *keys, const struct vm *target)
{
	u64 hw_error;
	int ret = migtd_bind(keys->migtd, target, &hw_error);

	if (ret)
		die("KVM_TDX_SERVTD_BIND: %s, TDX status 0x%llx", strerror(ret),
		    (unsigned long long)hw_error);
}

static bool send_key(int fd, u64 request_id, const struct migtd_message *message)
{
	struct wire_key key = { .request_id = request_id, .len = message->len };

	memcpy(key.message, message->data, message->len);
	return wire_send(fd, WIRE_KEY, &key, sizeof(key));
}

static const char *receive_key(int fd, u64 *request_id, struct migtd_message *message)
{
	struct wire_key key;

	if (!wire_receive_fixed(fd, WIRE_KEY, &key, sizeof(key)))
		return "there is no message from the peer";
	if (!key.len || key.len > sizeof(message->data))
		return "the message of the peer has a bad length";

	*request_id = key.request_id;
	message->len = key.len;
	memcpy(message->data, key.message, key.len);
	return NULL;
}

/* A random id, so that no message of an earlier exchange can pass for one of this. */
static const char *exchange_as_source(struct migtd *migtd, int fd)
{
	struct migtd_message own, peer;
	u64 request_id, peer_id;
	const char *error;

	if (getrandom(&request_id, sizeof(request_id), 0) != sizeof(request_id))
		return strerror(errno);

	error = migtd_begin(migtd, request_id, true, &own);
	if (error)
		return error;
	if (!send_key(fd, request_id, &own))
		return "the peer takes no message";
	error = receive_key(fd, &peer_id, &peer);
	if (error)
		return error;
	if (peer_id != request_id)
		return "the message of the peer is of another exchange";
	return migtd_end(migtd, request_id, &peer);
}

/* The peer gets an answer only to a message that was good. */
static const char *exchange_as_destination(struct migtd *migtd, int fd)
{
	struct migtd_message own, peer;
	const char *error;
	u64 request_id;

	error = receive_key(fd, &request_id, &peer) ?:
		migtd_begin(migtd, request_id, false, &own) ?:
		migtd_end(migtd, request_id, &peer);
	if (error)
		return error;
	return send_key(fd, request_id, &own) ? NULL : "the peer takes no message";
}

const char *keys_exchange(struct keys *keys, int fd, bool source)
{
	return source ? exchange_as_source(keys->migtd, fd) :
			exchange_as_destination(keys->migtd, fd);
}
