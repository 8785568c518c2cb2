// SPDX-License-Identifier: GPL-2.0
/*
 * What a VMM process does from start to end. Source and destination share
 * nothing but the wire, as if they were on two machines.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "device.h"
#include "event.h"
#include "firmware.h"
#include "keys.h"
#include "loader.h"
#include "servtd.h"
#include "vmm_process.h"

static bool linux_pio_write(struct vm *vm, u16 port, u32 size, u32 val)
{
	return device_pio_write(vm->priv, port, size, val);
}

static u32 linux_pio_read(struct vm *vm, u16 port, u32 size)
{
	return device_pio_read(vm->priv, port, size);
}

static void linux_mmio_write(struct vm *vm, u64 gpa, u32 size, u64 val)
{
	device_mmio_write(vm->priv, gpa, size, val);
}

static u64 linux_mmio_read(struct vm *vm, u64 gpa, u32 size)
{
	return device_mmio_read(vm->priv, gpa, size);
}

static const struct vm_ops linux_ops = {
	.pio_write = linux_pio_write,
	.pio_read = linux_pio_read,
	.mmio_write = linux_mmio_write,
	.mmio_read = linux_mmio_read,
};

static u8 wait_for_command(int fd)
{
	u8 command;
	ssize_t n;

	do {
		n = read(fd, &command, sizeof(command));
	} while (n < 0 && errno == EINTR);
	return n == sizeof(command) ? command : VMM_QUIT;
}

void vmm_source(const struct vmm_options *options, const struct vmm_fds *fds)
{
	struct device_state dev = {};
	struct keys *keys = NULL;
	bool committed = false;
	struct vm *vm;

	if (options->migratable)
		keys = keys_start();

	vm = vm_create(&linux_ops, &dev);
	vm_default_config(vm, options->mem_size, options->nr_vcpus, options->migratable);
	vm_init_td(vm, 0);
	if (keys)
		keys_bind(keys, vm);
	loader_add_memory(vm);
	vm_create_vcpus(vm);
	loader_load_linux(vm, options->kernel, options->initrd, options->cmdline);
	vm_finalize(vm);
	vm_start(vm);

	while (!committed && wait_for_command(fds->control) == VMM_MIGRATE) {
		committed = migrate_out(vm, &dev, keys, fds->wire, &options->migrate);
		event_send(committed ? EVENT_MIGRATED : EVENT_ABORTED);
	}

	if (!committed)
		vm_stop(vm);
	vm_destroy(vm);
	if (keys)
		keys_stop(keys);
	exit(EXIT_SUCCESS);
}

static void resume(struct vm *vm)
{
	event_send(EVENT_RESUMED);
	vm_start(vm);
}

void vmm_destination(const struct vmm_fds *fds)
{
	struct device_state dev = {};
	struct keys *keys = keys_start();
	struct vm *vm = migrate_in(&linux_ops, &dev, keys, fds->wire, resume);

	wait_for_command(fds->control);
	vm_stop(vm);
	vm_destroy(vm);
	keys_stop(keys);
	exit(EXIT_SUCCESS);
}

struct migtd_vm {
	/* First, for the functions above. */
	struct device_state dev;
	struct servtd servtd;
};

static void migtd_tdx_call(struct vm *vm, struct vcpu *vcpu)
{
	struct migtd_vm *migtd = vm->priv;

	servtd_call(&migtd->servtd, vcpu);
}

static const struct vm_ops migtd_ops = {
	.pio_write = linux_pio_write,
	.pio_read = linux_pio_read,
	.mmio_write = linux_mmio_write,
	.mmio_read = linux_mmio_read,
	.tdx_call = migtd_tdx_call,
};

void vmm_migtd(const char *image, u64 mem_size, const struct vmm_fds *fds)
{
	struct migtd_vm migtd = {};
	struct tdvf firmware;
	struct vm *vm;

	firmware_read(&firmware, image);
	vm = vm_create(&migtd_ops, &migtd);
	vm_default_config(vm, mem_size, 1, false);
	vm_init_td(vm, 0);
	firmware_add_memory(vm, &firmware);
	vm_create_vcpus(vm);
	firmware_load(vm, &firmware);
	vm_finalize(vm);
	vm_start(vm);

	wait_for_command(fds->control);
	vm_stop(vm);
	vm_destroy(vm);
	exit(EXIT_SUCCESS);
}
