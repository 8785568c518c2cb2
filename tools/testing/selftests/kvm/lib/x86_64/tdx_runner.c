// SPDX-License-Identifier: GPL-2.0-only
/*
 * TD vCPUs that run in threads of their own and can be stopped at any time.
 */
#include <signal.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_runner.h"

static void td_runner_kick(int sig)
{
}

/* Complete the last exit without running the guest. */
static void td_runner_complete(struct kvm_vcpu *vcpu)
{
	int ret;

	vcpu->run->immediate_exit = 1;
	ret = __vcpu_run(vcpu);
	TEST_ASSERT(ret == -1 && errno == EINTR, "KVM_RUN returned %d, errno %d, exit %s",
		    ret, errno, exit_reason_str(vcpu->run->exit_reason));
}

/* Returns true if the vCPU has to stop. */
static bool td_runner_handle_exit(struct td_runner *r)
{
	struct kvm_run *run = r->vcpu->run;
	struct ucall uc;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		TEST_ASSERT_EQ(run->io.direction, KVM_EXIT_IO_IN);
		memcpy((u8 *)run + run->io.data_offset, &r->io_value, run->io.size);
		if (!r->stop_at_io)
			return false;
		td_runner_complete(r->vcpu);
		return true;
	case KVM_EXIT_HYPERCALL:
		td_handle_map_gpa(r->vcpu);
		return false;
	case KVM_EXIT_MMIO:
		switch (get_ucall(r->vcpu, &uc)) {
		case UCALL_DONE:
			r->done = true;
			return true;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
			return true;
		}
		fallthrough;
	default:
		TEST_FAIL("vCPU %u: exit %s", r->vcpu->id, exit_reason_str(run->exit_reason));
		return true;
	}
}

static void *td_runner_thread(void *arg)
{
	struct td_runner *r = arg;
	struct kvm_run *run = r->vcpu->run;

	WRITE_ONCE(r->tid, kvm_gettid());
	for (;;) {
		if (!__vcpu_run(r->vcpu)) {
			if (td_runner_handle_exit(r))
				return NULL;
			continue;
		}

		TEST_ASSERT(errno == EINTR, "vCPU %u: KVM_RUN failed, errno %d (%s)", r->vcpu->id,
			    errno, strerror(errno));
		if (READ_ONCE(run->immediate_exit))
			return NULL;
	}
}

void td_runner_start(struct td_runner *r)
{
	const struct sigaction sa = { .sa_handler = td_runner_kick };

	sigaction(SIGUSR1, &sa, NULL);
	r->vcpu->run->immediate_exit = 0;
	r->tid = 0;
	kvm_pthread_create(&r->thread, NULL, td_runner_thread, r);
}

void td_runner_stop(struct td_runner *r)
{
	/* A signal that comes too early is lost, but the flag is not. */
	WRITE_ONCE(r->vcpu->run->immediate_exit, 1);
	pthread_kill(r->thread, SIGUSR1);
	td_runner_join(r);
}

void td_runner_join(struct td_runner *r)
{
	kvm_pthread_join(r->thread, NULL);
	r->vcpu->run->immediate_exit = 0;
}

bool td_vcpu_is_halted(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state mp_state;

	vcpu_mp_state_get(vcpu, &mp_state);
	return mp_state.mp_state == KVM_MP_STATE_HALTED;
}

void td_runner_stop_halted(struct td_runner *r)
{
	for (;;) {
		td_runner_stop(r);
		if (td_vcpu_is_halted(r->vcpu))
			return;

		TEST_ASSERT(!r->done, "vCPU %u does not halt", r->vcpu->id);
		td_runner_start(r);
		usleep(1000);
	}
}
