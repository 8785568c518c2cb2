// SPDX-License-Identifier: GPL-2.0
/*
 * The VMM's side of the migration TD: start it, bind it, hand it commands.
 */
#include <errno.h>
#include <stdlib.h>

#include "event.h"
#include "image.h"
#include "loader.h"
#include "migtd.h"

/* Handle, UUID, offer and side, in words of 32 bits. */
#define MAX_ARGUMENTS		(2 * (2 + MIGTD_UUID_WORDS + MIGTD_OFFER_WORDS))
#define MAX_BIND_RETRIES	1000
#define MAX_RESULTS		(2 * MIGTD_OFFER_WORDS)

/* Of the migration TD, only that there is one matters: its measurement is not checked. */
#define SERVTD_ATTR_ANY		0x000007ff00000000ULL

struct migtd {
	struct vm *vm;
	u64 handle;
	u64 uuid[MIGTD_UUID_WORDS];

	/* All below is protected by vm->lock. */
	pthread_cond_t changed;
	u32 command;
	bool done;
	u32 arguments[MAX_ARGUMENTS];
	u32 nr_arguments;
	u32 next_argument;
	u32 results[MAX_RESULTS];
	u32 nr_results;
	u32 status_low;
	u32 status_high;
	bool stopping;
};

static bool migtd_pio_write(struct vm *vm, u16 port, u32 size, u32 val)
{
	struct migtd *migtd = vm->priv;

	(void)size;

	switch (port) {
	case MIGTD_PORT_RESULT:
		if (migtd->nr_results < MAX_RESULTS)
			migtd->results[migtd->nr_results++] = val;
		break;
	case MIGTD_PORT_STATUS_LOW:
		migtd->status_low = val;
		break;
	case MIGTD_PORT_STATUS_HIGH:
		migtd->status_high = val;
		migtd->command = 0;
		migtd->done = true;
		pthread_cond_broadcast(&migtd->changed);
		break;
	}
	return false;
}

static u32 migtd_pio_read(struct vm *vm, u16 port, u32 size)
{
	struct migtd *migtd = vm->priv;

	(void)size;

	switch (port) {
	case MIGTD_PORT_COMMAND:
		while (!migtd->command && !migtd->stopping)
			pthread_cond_wait(&migtd->changed, &vm->lock);
		return migtd->command;
	case MIGTD_PORT_ARGUMENT:
		if (migtd->next_argument < migtd->nr_arguments)
			return migtd->arguments[migtd->next_argument++];
		return 0;
	default:
		return ~0U;
	}
}

static const struct vm_ops migtd_ops = {
	.pio_write = migtd_pio_write,
	.pio_read = migtd_pio_read,
};

struct migtd *migtd_start(void)
{
	struct migtd *migtd = calloc(1, sizeof(*migtd));

	if (!migtd)
		die("out of memory");
	pthread_cond_init(&migtd->changed, NULL);

	migtd->vm = vm_create(&migtd_ops, migtd);
	vm_default_config(migtd->vm, MIGTD_MEM_SIZE, 1, false);
	vm_init_td(migtd->vm, 0);
	loader_add_memory(migtd->vm);
	vm_create_vcpus(migtd->vm, false);
	loader_load_flat(migtd->vm, MIGTD_IMAGE_GPA, migtd_image, migtd_image_end - migtd_image,
			 MIGTD_STACK_TOP);
	vm_finalize(migtd->vm);
	vm_start(migtd->vm);
	return migtd;
}

void migtd_stop(struct migtd *migtd)
{
	pthread_mutex_lock(&migtd->vm->lock);
	migtd->stopping = true;
	pthread_cond_broadcast(&migtd->changed);
	pthread_mutex_unlock(&migtd->vm->lock);

	vm_stop(migtd->vm);
	vm_destroy(migtd->vm);
	pthread_cond_destroy(&migtd->changed);
	free(migtd);
}

int migtd_bind(struct migtd *migtd, const struct vm *target, u64 *hw_error)
{
	struct kvm_tdx_servtd_bind bind = {
		.servtd_fd = migtd->vm->fd,
		.type = KVM_TDX_SERVTD_TYPE_MIGTD,
		.attributes = SERVTD_ATTR_ANY,
	};
	u32 i, retries = 0;
	int ret;

	do {
		ret = tdx_try(target->fd, KVM_TDX_SERVTD_BIND, 0, &bind, hw_error);
	} while ((ret == EAGAIN || ret == EINTR) && retries++ < MAX_BIND_RETRIES);
	if (ret)
		return ret;

	migtd->handle = bind.handle;
	for (i = 0; i < MIGTD_UUID_WORDS; i++)
		migtd->uuid[i] = bind.target_uuid[i];
	return 0;
}

static void add_argument(struct migtd *migtd, u64 val)
{
	migtd->arguments[migtd->nr_arguments++] = val;
	migtd->arguments[migtd->nr_arguments++] = val >> 32;
}

static void run_command(struct migtd *migtd, u32 command, const struct mig_offer *in,
			bool source, struct mig_offer *out)
{
	u64 status;
	u32 i;

	pthread_mutex_lock(&migtd->vm->lock);
	migtd->nr_arguments = 0;
	migtd->next_argument = 0;
	migtd->nr_results = 0;
	migtd->done = false;

	add_argument(migtd, migtd->handle);
	for (i = 0; i < MIGTD_UUID_WORDS; i++)
		add_argument(migtd, migtd->uuid[i]);
	for (i = 0; in && i < MIGTD_OFFER_WORDS; i++)
		add_argument(migtd, in->words[i]);
	if (in)
		add_argument(migtd, source);

	migtd->command = command;
	pthread_cond_broadcast(&migtd->changed);
	while (!migtd->done)
		pthread_cond_wait(&migtd->changed, &migtd->vm->lock);

	status = migtd->status_low | (u64)migtd->status_high << 32;
	if (status == MIGTD_NO_COMMON_VERSION)
		die("the hosts have no version of the migration protocol in common");
	if (status || (out && migtd->nr_results != MAX_RESULTS))
		die("the migration TD failed: TDX status 0x%llx", (unsigned long long)status);
	for (i = 0; out && i < MIGTD_OFFER_WORDS; i++)
		out->words[i] = migtd->results[2 * i] | (u64)migtd->results[2 * i + 1] << 32;
	pthread_mutex_unlock(&migtd->vm->lock);
}

void migtd_read_key(struct migtd *migtd, struct mig_offer *offer)
{
	run_command(migtd, MIGTD_CMD_READ_KEY, NULL, false, offer);
}

void migtd_write_key(struct migtd *migtd, const struct mig_offer *offer, bool source)
{
	run_command(migtd, MIGTD_CMD_WRITE_KEY, offer, source, NULL);
}
