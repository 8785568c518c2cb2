// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: what a migration TD can do with the keys of the TD that it is
 * bound to, and what is left when one of the two ends before its time.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"

#define UNKNOWN_VERSION		GENMASK_ULL(15, 0)
#define NR_POLLED_TARGETS	6
#define NR_POLLS		200

static void guest_idle(void)
{
	GUEST_SYNC(1);
	GUEST_DONE();
}

static struct kvm_vm *create_target(struct kvm_vcpu **vcpu)
{
	return td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_idle, vcpu);
}

/* ---------------------------------------------------------------------- keys */

TD_TEST(keys_and_versions_are_accessible_as_specified)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *target = create_target(&vcpu);
	u64 word, again;
	struct td_migtd m;

	td_migtd_create(&m);
	td_migtd_bind(&m, target, 0);

	TEST_ASSERT_EQ(td_migtd_write(&m, TD_MD_MIG_VERSION, 0), 0UL);
	TEST_ASSERT_EQ(td_migtd_write(&m, TD_MD_MIG_VERSION, UNKNOWN_VERSION) & TDX_STATUS_MASK,
		       TDX_METADATA_FIELD_VALUE_NOT_VALID);
	TEST_ASSERT(td_migtd_write(&m, TD_MD_MIG_ENC_KEY, 1), "A key can be chosen");

	/* Each read of the first word makes a new key, other reads do not. */
	TEST_ASSERT_EQ(td_migtd_read(&m, TD_MD_MIG_ENC_KEY + 1, &word), 0UL);
	TEST_ASSERT_EQ(td_migtd_read(&m, TD_MD_MIG_ENC_KEY + 1, &again), 0UL);
	TEST_ASSERT_EQ(word, again);
	TEST_ASSERT_EQ(td_migtd_read(&m, TD_MD_MIG_ENC_KEY, &again), 0UL);
	TEST_ASSERT_EQ(td_migtd_read(&m, TD_MD_MIG_ENC_KEY + 1, &again), 0UL);
	TEST_ASSERT(word != again, "The key did not change");
	kvm_vm_free(target);
	td_migtd_free(&m);
}

TD_PAIR_FIXTURE(td_pair);

TD_TEST_F(td_pair, session_starts_when_the_keys_are_exchanged)
{
	u64 word;

	td_mig_expect_no_key(&self->p.m);
	TEST_ASSERT_EQ(td_migtd_read(&self->src, TD_MD_MIG_ENC_KEY, &word), 0UL);
	td_mig_expect_no_key(&self->p.m);
	td_pair_exchange(&self->p);
	td_mig_export_immutable(&self->p.m);
	td_mig_cmd(&self->p.m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	/* Keys are good for one session. */
	td_mig_expect_no_key(&self->p.m);
	td_pair_exchange(&self->p);
	td_mig_forget_bundles(&self->p.m);
	td_mig_export_immutable(&self->p.m);
}

TD_TEST_F(td_pair, forged_message_gives_no_key)
{
	struct td_migtd_message *msg;

	td_migtd_start(&self->src, 1, true);
	td_migtd_start(&self->dst, 1, false);
	while (!(msg = td_migtd_find_message(&self->dst, 1)))
		td_migtd_step(&self->dst, NULL);
	/* The last byte of the key, in front of the authentication code. */
	msg->data[msg->length - TD_SHA384_SIZE - 1] ^= 1;
	while (!self->src.reported)
		td_migtd_step(&self->src, &self->dst);
	TEST_ASSERT_EQ(self->src.result, MIGTD_SECURE_SESSION_ERROR);
	td_mig_expect_no_key(&self->p.m);
}

TD_TEST_F(td_pair, td_is_migrated_with_keys_from_migration_tds)
{
	td_pair_exchange(&self->p);
	td_pair_migrate(&self->p);
}

TD_TEST_F(td_pair, key_that_was_read_twice_does_not_fit)
{
	u64 hw_error, word;

	td_pair_exchange(&self->p);
	TEST_ASSERT_EQ(td_migtd_read(&self->src, TD_MD_MIG_ENC_KEY, &word), 0UL);
	td_mig_export_immutable(&self->p.m);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->p.d.streams, &self->p.m.bundles[0],
					     &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK & ~TDX_FATAL, TDX_INCORRECT_MBMD_MAC);
}

/* ------------------------------------------------------- ends before its time */

TD_TEST(service_td_outlives_a_target_that_is_destroyed_half_way)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *src = create_target(&vcpu), *dst = td_mig_dest_create_vm(), *next;
	struct td_migtd src_migtd, dst_migtd;

	td_migtd_create(&src_migtd);
	td_migtd_create(&dst_migtd);
	td_migtd_bind(&src_migtd, src, 0);
	td_migtd_bind(&dst_migtd, dst, 0);
	td_migtd_start(&src_migtd, 1, true);
	td_migtd_start(&dst_migtd, 1, false);
	while (!td_migtd_find_message(&src_migtd, 1))
		td_migtd_step(&src_migtd, NULL);

	/* The migration TD has read the key, and waits for the one of its peer. */
	kvm_vm_free(src);
	while (!src_migtd.reported) {
		if (!dst_migtd.reported)
			td_migtd_step(&dst_migtd, &src_migtd);
		td_migtd_step(&src_migtd, &dst_migtd);
	}
	TEST_ASSERT_EQ(src_migtd.result, MIGTD_TDX_MODULE_ERROR);
	TEST_ASSERT(src_migtd.report.tdx_status, "Access to a TD that is gone");

	next = create_target(&vcpu);
	td_migtd_bind(&src_migtd, next, 0);
	TEST_ASSERT(td_migtd_can_access(&src_migtd), "TDX status 0x%lx",
		    src_migtd.report.tdx_status);
	kvm_vm_free(next);
	kvm_vm_free(dst);
	td_migtd_free(&dst_migtd);
	td_migtd_free(&src_migtd);
}

static void write_all(int fd, const void *data, size_t size)
{
	TEST_ASSERT_EQ(write(fd, data, size), size);
}

static void read_all(int fd, void *data, size_t size)
{
	TEST_ASSERT(read(fd, data, size) == size, "The other process has ended");
}

static void kill_child(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFSIGNALED(status), "The child ended by itself");
}

TD_TEST(service_td_outlives_a_target_that_is_killed)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *next;
	struct td_migtd m;
	int fds[2];
	pid_t pid;

	td_migtd_create(&m);
	TEST_ASSERT(!pipe(fds), "pipe() failed, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		struct kvm_vm *target = create_target(&vcpu);

		td_migtd_bind(&m, target, 0);
		td_launch(target);
		write_all(fds[1], &m, sizeof(m));
		for (;;)
			pause();
	}

	close(fds[1]);
	read_all(fds[0], &m, sizeof(m));
	TEST_ASSERT(td_migtd_can_access(&m), "TDX status 0x%lx", m.report.tdx_status);
	kill_child(pid);
	TEST_ASSERT(!td_migtd_can_access(&m), "A TD can be accessed after its end");

	next = create_target(&vcpu);
	td_migtd_bind(&m, next, 0);
	TEST_ASSERT(td_migtd_can_access(&m), "TDX status 0x%lx", m.report.tdx_status);
	kvm_vm_free(next);
	td_migtd_free(&m);
	close(fds[0]);
}

/* Read the key, once the binding is known, and stop. */
static void serve_until_killed(int to_parent, int from_parent)
{
	struct kvm_tdx_servtd_bind bind;
	struct td_migtd m;
	u64 word, status;

	td_migtd_create(&m);
	write_all(to_parent, &m.vm->fd, sizeof(m.vm->fd));
	read_all(from_parent, &bind, sizeof(bind));
	td_migtd_set_target(&m, &bind);
	status = td_migtd_read(&m, TD_MD_MIG_ENC_KEY, &word);
	write_all(to_parent, &status, sizeof(status));
	for (;;)
		pause();
}

TD_TEST(target_outlives_a_service_td_that_is_killed_half_way)
{
	struct kvm_tdx_servtd_bind bind = {};
	int to_child[2], from_child[2], pidfd, fd;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *target;
	struct td_migtd m;
	struct td_mig mig;
	u64 status;
	pid_t pid;

	TEST_ASSERT(!pipe(to_child) && !pipe(from_child), "pipe() failed, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid)
		serve_until_killed(from_child[1], to_child[0]);

	target = create_target(&vcpu);
	read_all(from_child[0], &fd, sizeof(fd));
	pidfd = syscall(__NR_pidfd_open, pid, 0);
	bind.servtd_fd = syscall(__NR_pidfd_getfd, pidfd, fd, 0);
	TEST_ASSERT(bind.servtd_fd >= 0, "No fd of the service TD, errno %d", errno);
	TEST_ASSERT(!__td_servtd_bind(target->fd, &bind, NULL), "errno %d", errno);
	close(bind.servtd_fd);
	close(pidfd);
	write_all(to_child[1], &bind, sizeof(bind));
	read_all(from_child[0], &status, sizeof(status));
	TEST_ASSERT_EQ(status, 0UL);
	td_launch(target);
	kill_child(pid);

	td_mig_open(&mig, target, &vcpu, 1, 1);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_expect_no_key(&mig);
	td_migtd_create(&m);
	td_migtd_bind(&m, target, 0);
	TEST_ASSERT(td_migtd_can_access(&m), "TDX status 0x%lx", m.report.tdx_status);
	td_vcpu_run_to_done(vcpu);

	td_mig_free(&mig);
	td_migtd_free(&m);
	kvm_vm_free(target);
}

TD_TEST(targets_come_and_go_under_a_service_td_that_polls)
{
	struct td_migtd_poller poller;
	struct td_migtd m;
	int i;

	td_migtd_create(&m);
	td_migtd_poller_start(&poller, &m, NR_POLLS);
	for (i = 0; i < NR_POLLED_TARGETS; i++) {
		struct kvm_vm *target = td_create_uninitialized(1, 0);
		struct kvm_vcpu *vcpu;

		td_init_vm(target, TDX_TD_ATTR_MIGRATABLE);
		td_migtd_bind(&m, target, 0);
		vcpu = vm_vcpu_add(target, 0, guest_idle);
		td_launch(target);
		td_vcpu_run_to_sync(vcpu, 1);
		td_vcpu_run_to_done(vcpu);
		kvm_vm_free(target);
	}
	td_migtd_poller_stop(&poller);
	td_migtd_free(&m);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
