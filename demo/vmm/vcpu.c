// SPDX-License-Identifier: GPL-2.0
/*
 * Running a TD: one thread per vCPU, and the exits that userspace handles.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kvm_para.h>

#include "event.h"
#include "vm.h"

#define KICK_SIGNAL		SIGUSR1

/* KVM reports all registers, in the order of the instruction set. */
#define NR_REGS			16

/* The registers that carry the message of a fatal error: R14, R15, RBX, RDI, RSI, R8, R9, RDX. */
static const u8 fatal_message_regs[] = { 14, 15, 3, 7, 6, 8, 9, 2 };

static void handle_pio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;
	u8 *data = (u8 *)run + run->io.data_offset;
	u32 i, val;

	pthread_mutex_lock(&vm->lock);
	for (i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			val = 0;
			memcpy(&val, data, run->io.size);
			vm->ended |= vm->ops->pio_write(vm, run->io.port, run->io.size, val);
		} else {
			val = vm->ops->pio_read(vm, run->io.port, run->io.size);
			memcpy(data, &val, run->io.size);
		}
	}
	pthread_mutex_unlock(&vm->lock);
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;
	u64 val = 0;

	pthread_mutex_lock(&vm->lock);
	if (run->mmio.is_write) {
		memcpy(&val, run->mmio.data, run->mmio.len);
		vm->ops->mmio_write(vm, run->mmio.phys_addr, run->mmio.len, val);
	} else {
		val = vm->ops->mmio_read(vm, run->mmio.phys_addr, run->mmio.len);
		memcpy(run->mmio.data, &val, run->mmio.len);
	}
	pthread_mutex_unlock(&vm->lock);
}

static void handle_hypercall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;
	bool to_private;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
		die("unknown hypercall %llu", (unsigned long long)run->hypercall.nr);

	to_private = run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED;
	pthread_mutex_lock(&vm->lock);
	/* KVM expects the errno as a positive number. */
	run->hypercall.ret = -vm_convert(vm, run->hypercall.args[0],
					 run->hypercall.args[1] << PAGE_SHIFT, to_private);
	pthread_mutex_unlock(&vm->lock);
}

static void handle_memory_fault(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct vm *vm = vcpu->vm;
	bool to_private = run->memory_fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE;
	int ret;

	/* All memory arrives before the guest runs. */
	if (run->memory_fault.flags & KVM_MEMORY_EXIT_FLAG_MISSING)
		die("private memory at 0x%llx is missing",
		    (unsigned long long)run->memory_fault.gpa);

	pthread_mutex_lock(&vm->lock);
	ret = vm_convert(vm, run->memory_fault.gpa, run->memory_fault.size, to_private);
	pthread_mutex_unlock(&vm->lock);
	/* The guest comes back with the same fault. */
	if (ret == -EAGAIN)
		return;
	if (ret)
		die("access to %s memory at 0x%llx, where there is none",
		    to_private ? "private" : "shared",
		    (unsigned long long)run->memory_fault.gpa);
}

static void handle_system_event(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	char message[ARRAY_SIZE(fatal_message_regs) * sizeof(u64) + 1] = {};
	u32 i;

	if (run->system_event.type != KVM_SYSTEM_EVENT_TDX_FATAL ||
	    run->system_event.ndata != NR_REGS)
		die("unexpected system event %u", run->system_event.type);

	for (i = 0; i < ARRAY_SIZE(fatal_message_regs); i++)
		memcpy(message + i * sizeof(u64), &run->system_event.data[fatal_message_regs[i]],
		       sizeof(u64));
	die("the guest gave up: %s", message);
}

/* KVM has prepared the answer "not supported". */
static void handle_tdx_call(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	if (!vm->ops->tdx_call)
		return;
	pthread_mutex_lock(&vm->lock);
	vm->ops->tdx_call(vm, vcpu);
	pthread_mutex_unlock(&vm->lock);
}

static void handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_pio(vcpu);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_HYPERCALL:
		handle_hypercall(vcpu);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_TDX:
		handle_tdx_call(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		/* A triple fault; a PC does a reset then. */
		event_text(EVENT_MESSAGE, "vCPU %u has shut down", vcpu->id);
		pthread_mutex_lock(&vcpu->vm->lock);
		vcpu->vm->ended = true;
		pthread_mutex_unlock(&vcpu->vm->lock);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		die("vCPU %u: KVM internal error %u, data 0x%llx", vcpu->id,
		    run->internal.suberror, (unsigned long long)run->internal.data[0]);
	default:
		die("vCPU %u: unexpected exit %u", vcpu->id, run->exit_reason);
	}
}

static bool vm_has_ended(struct vm *vm)
{
	bool ended;

	pthread_mutex_lock(&vm->lock);
	ended = vm->ended;
	pthread_mutex_unlock(&vm->lock);
	return ended;
}

static bool vm_is_stopping(struct vm *vm)
{
	bool stopping;

	pthread_mutex_lock(&vm->lock);
	stopping = vm->stopping;
	pthread_mutex_unlock(&vm->lock);
	return stopping;
}

/*
 * KVM completes an exit when the vCPU enters KVM_RUN the next time. With
 * immediate_exit set, KVM_RUN does that and returns -EINTR without running the
 * guest, so a thread that ends here leaves nothing behind.
 */
static void *vcpu_thread(void *arg)
{
	struct vcpu *vcpu = arg;
	struct vm *vm = vcpu->vm;

	while (!vm_has_ended(vm)) {
		if (!ioctl(vcpu->fd, KVM_RUN, 0)) {
			handle_exit(vcpu);
			continue;
		}

		if (errno == EFAULT && vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
			handle_memory_fault(vcpu);
		else if (errno == EINTR && vm_is_stopping(vm))
			return NULL;
		else if (errno != EINTR && errno != EAGAIN)
			die("vCPU %u: KVM_RUN: %s", vcpu->id, strerror(errno));
	}

	if (!vcpu->id)
		event_send(EVENT_ENDED);
	return NULL;
}

static void kick(int signal)
{
	(void)signal;
}

void vm_start(struct vm *vm)
{
	struct sigaction action = { .sa_handler = kick };
	u32 i;

	sigaction(KICK_SIGNAL, &action, NULL);
	vm->stopping = false;
	for (i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vcpu->run->immediate_exit = 0;
		if (pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu))
			die("cannot create a thread");
	}
}

void vm_stop(struct vm *vm)
{
	u32 i;

	pthread_mutex_lock(&vm->lock);
	vm->stopping = true;
	pthread_mutex_unlock(&vm->lock);

	/* A signal that comes too early is lost, but the flag is not. */
	for (i = 0; i < vm->nr_vcpus; i++) {
		__atomic_store_n(&vm->vcpus[i].run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(vm->vcpus[i].thread, KICK_SIGNAL);
	}
	for (i = 0; i < vm->nr_vcpus; i++)
		pthread_join(vm->vcpus[i].thread, NULL);
}
