// SPDX-License-Identifier: GPL-2.0
/*
 * Key exchange, by the migration TDs of both hosts.
 */
#include <stdlib.h>
#include <string.h>

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

bool keys_exchange(struct keys *keys, int fd, bool source)
{
	struct mig_offer own, peer;
	bool done;

	migtd_read_key(keys->migtd, &own);
	if (source)
		done = wire_send(fd, WIRE_KEY, &own, sizeof(own)) &&
		       wire_receive_fixed(fd, WIRE_KEY, &peer, sizeof(peer));
	else
		done = wire_receive_fixed(fd, WIRE_KEY, &peer, sizeof(peer)) &&
		       wire_send(fd, WIRE_KEY, &own, sizeof(own));
	if (done)
		migtd_write_key(keys->migtd, &peer, source);
	explicit_bzero(&own, sizeof(own));
	explicit_bzero(&peer, sizeof(peer));
	return done;
}
