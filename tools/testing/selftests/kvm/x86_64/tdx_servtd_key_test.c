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
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_test.h"

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

static void expect_no_key(struct td_mig *m)
{
	struct td_mig_bundle b;
	u64 hw_error;

	TD_EXPECT_ERRNO(EIO, __td_mig_export_state(&m->streams[0],
						   KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &b,
						   &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);
}

TD_TEST(session_starts_when_the_keys_are_exchanged)
{
	struct kvm_vm *dst = td_mig_dest_create_vm(), *src;
	struct td_migtd src_migtd, dst_migtd;
	struct kvm_vcpu *vcpu;
	struct td_mig m;
	u64 word;

	src = create_target(&vcpu);
	td_migtd_create(&src_migtd);
	td_migtd_create(&dst_migtd);
	td_migtd_bind(&src_migtd, src, 0);
	td_migtd_bind(&dst_migtd, dst, 0);
	td_launch(src);
	td_vcpu_run_to_sync(vcpu, 1);
	td_mig_open(&m, src, &vcpu, 1, 1);

	expect_no_key(&m);
	TEST_ASSERT_EQ(td_migtd_read(&src_migtd, TD_MD_MIG_ENC_KEY, &word), 0UL);
	expect_no_key(&m);
	td_migtd_exchange(&src_migtd, &dst_migtd);
	td_mig_export_immutable(&m);
	td_mig_cmd(&m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);

	/* Keys are good for one session. */
	expect_no_key(&m);
	td_migtd_exchange(&src_migtd, &dst_migtd);
	td_mig_bundle_free(&m.bundles[--m.nr_bundles]);
	td_mig_export_immutable(&m);

	td_mig_free(&m);
	kvm_vm_free(src);
	kvm_vm_free(dst);
	td_migtd_free(&dst_migtd);
	td_migtd_free(&src_migtd);
}

TD_TEST(forged_message_gives_no_key)
{
	struct kvm_vm *dst = td_mig_dest_create_vm(), *src;
	struct td_migtd src_migtd, dst_migtd;
	struct td_migtd_message *msg;
	struct kvm_vcpu *vcpu;
	struct td_mig m;

	src = create_target(&vcpu);
	td_migtd_create(&src_migtd);
	td_migtd_create(&dst_migtd);
	td_migtd_bind(&src_migtd, src, 0);
	td_migtd_bind(&dst_migtd, dst, 0);
	td_launch(src);
	td_mig_open(&m, src, &vcpu, 1, 1);

	td_migtd_start(&src_migtd, 1, true);
	td_migtd_start(&dst_migtd, 1, false);
	while (!(msg = td_migtd_find_message(&dst_migtd, 1)))
		td_migtd_step(&dst_migtd, NULL);
	/* The last byte of the key, in front of the authentication code. */
	msg->data[msg->length - TD_SHA384_SIZE - 1] ^= 1;
	while (!src_migtd.reported)
		td_migtd_step(&src_migtd, &dst_migtd);
	TEST_ASSERT_EQ(src_migtd.result, MIGTD_SECURE_SESSION_ERROR);
	expect_no_key(&m);

	td_mig_free(&m);
	kvm_vm_free(src);
	kvm_vm_free(dst);
	td_migtd_free(&dst_migtd);
	td_migtd_free(&src_migtd);
}

/* A source that waits for its keys, and the destination that it fits to. */
struct pair {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpu;
	struct td_migtd src_migtd, dst_migtd;
	struct td_mig_dest dst;
	struct td_mig mig;
};

static void pair_create(struct pair *p)
{
	p->vm = create_target(&p->vcpu);
	td_migtd_create(&p->src_migtd);
	td_migtd_create(&p->dst_migtd);
	td_migtd_bind(&p->src_migtd, p->vm, 0);
	td_launch(p->vm);
	td_vcpu_run_to_sync(p->vcpu, 1);
	td_mig_open(&p->mig, p->vm, &p->vcpu, 1, 1);
	p->mig.next_dst = td_mig_dest_create_vm();
	td_migtd_bind(&p->dst_migtd, p->mig.next_dst, 0);
	td_mig_dest_create(&p->dst, &p->mig);
}

static void pair_free(struct pair *p)
{
	td_mig_dest_free(&p->dst);
	td_mig_free(&p->mig);
	kvm_vm_free(p->vm);
	td_migtd_free(&p->dst_migtd);
	td_migtd_free(&p->src_migtd);
}

TD_TEST(td_is_migrated_with_keys_from_migration_tds)
{
	struct pair p;

	pair_create(&p);
	td_migtd_exchange(&p.src_migtd, &p.dst_migtd);
	td_mig_export(&p.mig);
	td_mig_import_rest(&p.dst, &p.mig, 0);
	td_vcpu_run_to_done(p.dst.vcpus[0]);
	pair_free(&p);
}

TD_TEST(key_that_was_read_twice_does_not_fit)
{
	struct pair p;
	u64 hw_error, word;

	pair_create(&p);
	td_migtd_exchange(&p.src_migtd, &p.dst_migtd);
	TEST_ASSERT_EQ(td_migtd_read(&p.src_migtd, TD_MD_MIG_ENC_KEY, &word), 0UL);
	td_mig_export_immutable(&p.mig);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(p.dst.streams, &p.mig.bundles[0], &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK & ~TDX_FATAL, TDX_INCORRECT_MBMD_MAC);
	pair_free(&p);
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
	expect_no_key(&mig);
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
