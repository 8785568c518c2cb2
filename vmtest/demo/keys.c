// SPDX-License-Identifier: GPL-2.0
/*
 * Key exchange: by the migration TDs of both hosts or, where KVM cannot bind
 * service TDs, by the software TDX platform, which plays their part for all TDs
 * at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "event.h"
#include "keys.h"
#include "migtd.h"
#include "wire.h"

#define SESSION_KEY_FILE	"/sys/kernel/debug/tdx_sim/session_key"

struct keys {
	/* NULL if the platform does it. */
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
	if (keys->migtd)
		migtd_stop(keys->migtd);
	free(keys);
}

void keys_bind(struct keys *keys, const struct vm *target)
{
	u64 hw_error;
	int ret = migtd_bind(keys->migtd, target, &hw_error);

	if (!ret)
		return;
	/* A command that KVM does not know has not reached the TDX module. */
	if (ret != EINVAL || hw_error)
		die("KVM_TDX_SERVTD_BIND: %s, TDX status 0x%llx", strerror(ret),
		    (unsigned long long)hw_error);
	migtd_stop(keys->migtd);
	keys->migtd = NULL;
}

static bool exchange_by_migtd(struct migtd *migtd, int fd, bool source)
{
	struct mig_key own, peer;
	bool done;

	migtd_read_key(migtd, &own);
	if (source)
		done = wire_send(fd, WIRE_KEY, &own, sizeof(own)) &&
		       wire_receive_fixed(fd, WIRE_KEY, &peer, sizeof(peer));
	else
		done = wire_receive_fixed(fd, WIRE_KEY, &peer, sizeof(peer)) &&
		       wire_send(fd, WIRE_KEY, &own, sizeof(own));
	if (done)
		migtd_write_key(migtd, &peer);
	explicit_bzero(&own, sizeof(own));
	explicit_bzero(&peer, sizeof(peer));
	return done;
}

static void set_session_key(const struct mig_key *key)
{
	FILE *f = fopen(SESSION_KEY_FILE, "w");
	u32 i;

	if (!f)
		die("%s: %s", SESSION_KEY_FILE, strerror(errno));
	for (i = 0; i < sizeof(*key); i++)
		fprintf(f, "%02x", ((const u8 *)key)[i]);
	if (fclose(f))
		die("%s: %s", SESSION_KEY_FILE, strerror(errno));
}

/* The reply tells the source that the other TD exists. */
static bool exchange_by_platform(int fd, bool source)
{
	struct mig_key key;

	if (!source)
		return wire_receive_fixed(fd, WIRE_KEY, &key, sizeof(key)) &&
		       wire_send(fd, WIRE_KEY, &key, sizeof(key));

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		die("getrandom: %s", strerror(errno));
	if (!wire_send(fd, WIRE_KEY, &key, sizeof(key)) ||
	    !wire_receive_fixed(fd, WIRE_KEY, &key, sizeof(key)))
		return false;
	set_session_key(&key);
	return true;
}

bool keys_exchange(struct keys *keys, int fd, bool source)
{
	return keys->migtd ? exchange_by_migtd(keys->migtd, fd, source) :
			     exchange_by_platform(fd, source);
}
