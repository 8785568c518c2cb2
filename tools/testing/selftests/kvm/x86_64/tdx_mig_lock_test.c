// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who waits for whom: parts of a TD that are built by several threads at once, and
 * VMs that would like to keep others waiting.
 */
#include <pthread.h>
#include <sched.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_util.h"
#include "tdx_runner.h"
#include "tdx_test.h"
#include "tdx_thread.h"

#define NR_ROUNDS		10
#define NR_CPUID_READS		8
#define MAX_STREAMS		256
#define MAX_VCPUS		8
#define MAX_THREADS		2
#define MAX_CPUID_ENTRIES	256

#define NR_DATA_WORDS		8

static u64 data[NR_DATA_WORDS];

static void guest_keep_data(void)
{
	int i;

	for (i = 0; i < NR_DATA_WORDS; i++)
		data[i] = i * i + 1;
	GUEST_SYNC(1);
	for (i = 0; i < NR_DATA_WORDS; i++)
		GUEST_ASSERT_EQ(data[i], i * i + 1UL);
	GUEST_DONE();
}

/* ----------------------------------------------------- building a TD at once */

struct build {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[MAX_VCPUS];
	u32 nr_vcpus;
	u32 max_streams;
	int streams[MAX_STREAMS];
	u32 nr_streams;
	/* What KVM_TDX_GET_CPUID says when nothing else is going on. */
	struct kvm_cpuid2 *cpuid;
	int cpuid_errno;
	/* Threads that are at work, and whether they have to stop. */
	u32 nr_started;
	bool done;
};

static void build_started(struct build *b, bool *started)
{
	if (!*started)
		__atomic_add_fetch(&b->nr_started, 1, __ATOMIC_RELAXED);
	*started = true;
}

static struct kvm_cpuid2 *read_cpuid(struct kvm_vcpu *vcpu, int *err)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, kvm_cpuid2_size(MAX_CPUID_ENTRIES));
	TEST_ASSERT(cpuid, "Insufficient Memory");
	cpuid->nent = MAX_CPUID_ENTRIES;
	*err = __td_vcpu_ioctl(vcpu, KVM_TDX_GET_CPUID, 0, (u64)cpuid) ? errno : 0;
	return cpuid;
}

static void *create_streams(void *arg)
{
	struct build *b = arg;
	struct td_mig_stream s;
	bool started = false;
	int ret;

	while (!READ_ONCE(b->done) && b->nr_streams < b->max_streams) {
		td_mig_stream_create(&s, b->vm, b->nr_streams);
		b->streams[b->nr_streams++] = s.fd;
		do {
			ret = __td_mig_stream_set_attr(&s, KVM_DEV_TDX_MIG_ATTR_VERSION, 1);
		} while (ret && errno == EAGAIN);
		TEST_ASSERT(!ret, "Stream %u: errno %d (%s)", s.index, errno, strerror(errno));
		build_started(b, &started);
	}
	return NULL;
}

static void *bind_again_and_again(void *arg)
{
	struct build *b = arg;
	struct kvm_tdx_servtd_bind bind;
	u8 hash[TD_SHA384_SIZE] = {};
	bool started = false;
	int ret;

	while (!READ_ONCE(b->done)) {
		bind = (struct kvm_tdx_servtd_bind) { .servtd_fd = td_mig_src_migtd()->vm->fd };
		ret = __td_servtd_bind(b->vm->fd, &bind, NULL);
		TEST_ASSERT(!ret || errno == EAGAIN, "Bind: errno %d (%s)", errno,
			    strerror(errno));
		ret = __td_servtd_prebind(b->vm, hash, 0, NULL);
		/* The slot is bound, and then the TD is complete. */
		TEST_ASSERT(ret && (errno == EEXIST || errno == EBUSY || errno == EAGAIN),
			    "Prebind returned %d, errno %d (%s)", ret, errno, strerror(errno));
		build_started(b, &started);
	}
	return NULL;
}

static void build_create(struct build *b)
{
	struct kvm_tdx_capabilities *caps;
	u32 i;

	*b = (struct build) { .vm = td_create_barebones() };
	caps = td_get_capabilities(b->vm);
	b->max_streams = min_t(u32, caps->mig.max_streams, MAX_STREAMS);
	free(caps);

	td_init_vm(b->vm, TDX_TD_ATTR_MIGRATABLE);
	td_migtd_bind(td_mig_src_migtd(), b->vm, 0);
	b->nr_vcpus = min_t(u32, vm_check_cap(b->vm, KVM_CAP_MAX_VCPUS), MAX_VCPUS);
	for (i = 0; i < b->nr_vcpus; i++) {
		b->vcpus[i] = __vm_vcpu_add(b->vm, i);
		vcpu_init_cpuid(b->vcpus[i], kvm_get_supported_cpuid());
	}
	b->cpuid = read_cpuid(b->vcpus[0], &b->cpuid_errno);
}

static void build_free(struct build *b)
{
	u32 i;

	for (i = 0; i < b->nr_streams; i++)
		close(b->streams[i]);
	free(b->cpuid);
	kvm_vm_free(b->vm);
}

/* Initialize all vCPUs while each of @fn works on the TD in a thread of its own. */
static void build_tds(void *(*fn[])(void *), u32 nr_fn)
{
	pthread_t threads[MAX_THREADS];
	struct build b;
	int round;
	u32 i;

	for (round = 0; round < NR_ROUNDS; round++) {
		build_create(&b);
		for (i = 0; i < nr_fn; i++)
			kvm_pthread_create(&threads[i], NULL, fn[i], &b);
		while (READ_ONCE(b.nr_started) < nr_fn)
			sched_yield();
		for (i = 0; i < b.nr_vcpus; i++)
			td_vcpu_ioctl(b.vcpus[i], KVM_TDX_INIT_VCPU, 0, 0);
		td_vm_ioctl(b.vm, KVM_TDX_FINALIZE_VM, 0, NULL);
		WRITE_ONCE(b.done, true);
		for (i = 0; i < nr_fn; i++)
			kvm_pthread_join(threads[i], NULL);
		build_free(&b);
	}
	td_run_another();
}

TD_TEST(streams_are_created_while_vcpus_are)
{
	void *(*fn[])(void *) = { create_streams };

	build_tds(fn, ARRAY_SIZE(fn));
}

TD_TEST(service_td_is_bound_while_streams_and_vcpus_are_created)
{
	void *(*fn[])(void *) = { create_streams, bind_again_and_again };

	build_tds(fn, ARRAY_SIZE(fn));
}

TD_TEST(cpuid_is_read_while_streams_are_created)
{
	struct kvm_cpuid2 *cpuid;
	pthread_t thread;
	struct build b;
	int i, j, err;

	for (i = 0; i < NR_ROUNDS; i++) {
		build_create(&b);
		kvm_pthread_create(&thread, NULL, create_streams, &b);
		while (!READ_ONCE(b.nr_started))
			sched_yield();
		for (j = 0; j < NR_CPUID_READS; j++) {
			cpuid = read_cpuid(b.vcpus[j % b.nr_vcpus], &err);
			TEST_ASSERT(err == b.cpuid_errno &&
				    !memcmp(cpuid, b.cpuid, kvm_cpuid2_size(MAX_CPUID_ENTRIES)),
				    "CPUID has changed, errno %d", err);
			free(cpuid);
		}
		WRITE_ONCE(b.done, true);
		kvm_pthread_join(thread, NULL);
		build_free(&b);
	}
}

/* -------------------------------------------------- vCPUs that do not let go */

static void set_mp_state(struct kvm_vcpu *vcpu, u32 value)
{
	struct kvm_mp_state mp_state = { .mp_state = value };

	vcpu_mp_state_set(vcpu, &mp_state);
}

/* A vCPU that waits for INIT, in KVM_RUN and for as long as userspace likes. */
static void occupy_vcpu(struct td_runner *r, struct kvm_vcpu *vcpu)
{
	*r = (struct td_runner) { .vcpu = vcpu };
	set_mp_state(vcpu, KVM_MP_STATE_UNINITIALIZED);
	td_runner_start(r);
	td_wait_for_sleep(&r->tid);
}

static void release_vcpu(struct td_runner *r)
{
	td_runner_stop(r);
	set_mp_state(r->vcpu, KVM_MP_STATE_RUNNABLE);
}

struct source {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[2];
	struct td_mig m;
};

static void source_create(struct source *s)
{
	int i;

	s->vm = __td_create(TDX_TD_ATTR_MIGRATABLE, 2, 0, guest_keep_data, s->vcpus);
	td_launch(s->vm);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_sync(s->vcpus[i], 1);
	td_mig_init(&s->m, s->vm, s->vcpus, 2, 1);
	/* So that any of them can be meant. */
	s->m.reverse_vcpus = true;
}

static void source_free(struct source *s)
{
	td_mig_free(&s->m);
	kvm_vm_free(s->vm);
}

/* This needs the lock of the VM. */
static void expect_vm_is_free(struct kvm_vm *vm)
{
	TD_EXPECT_ERRNO(EINVAL, __td_vm_ioctl(vm, KVM_TDX_FINALIZE_VM, 0, NULL, NULL));
}

/* It is the TDX module that refuses, after all that KVM might have waited for. */
static void expect_bind_gets_through(struct td_migtd *m, struct kvm_vm *target)
{
	u64 hw_error;

	TD_EXPECT_ERRNO(EBUSY, __td_migtd_bind(m, target, 0, &hw_error));
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_OP_STATE_INCORRECT);
	expect_vm_is_free(m->vm);
}

TD_TEST(export_does_not_wait_for_a_vcpu_that_is_in_kvm_run)
{
	struct td_mig_bundle b;
	struct td_mig_dest d;
	struct td_runner r;
	struct source s;
	u64 hw_error;
	int i;

	source_create(&s);
	td_mig_export_immutable(&s.m);
	td_mig_export_pause(&s.m);
	occupy_vcpu(&r, s.vcpus[1]);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_export_vcpu(&s.m.streams[0], 1, &b, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	expect_bind_gets_through(td_mig_src_migtd(), s.vm);
	release_vcpu(&r);

	/* Nothing is lost by that. */
	td_mig_export_rest(&s.m);
	td_mig_dest_create(&d, &s.m);
	td_mig_import_rest(&d, &s.m, 0);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_done(d.vcpus[i]);
	td_mig_dest_free(&d);
	source_free(&s);
}

TD_TEST(import_does_not_wait_for_a_vcpu_that_is_in_kvm_run)
{
	struct td_mig_dest d;
	struct td_runner r;
	struct source s;
	u64 hw_error;
	int i, at;

	source_create(&s);
	td_mig_export(&s.m);
	td_mig_dest_create(&d, &s.m);
	at = td_mig_import_up_to(&d, &s.m, KVM_TDX_MIG_IMPORT_STATE_VP);

	occupy_vcpu(&r, d.vcpus[s.m.bundles[at].vcpu_id]);
	TD_EXPECT_ERRNO(EBUSY, __td_mig_import(d.streams, &s.m.bundles[at], &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
	expect_bind_gets_through(td_mig_dst_migtd(), d.vm);
	release_vcpu(&r);

	td_mig_import_rest(&d, &s.m, at);
	for (i = 0; i < 2; i++)
		td_vcpu_run_to_done(d.vcpus[i]);
	td_mig_dest_free(&d);
	source_free(&s);
}

/* ---------------------------------------------- VMs that keep others waiting */

/* A system call in a thread of its own. */
struct caller {
	pthread_t thread;
	pid_t tid;
	struct kvm_vm *vm;
	int servtd_fd;
	int ret;
	int err;
};

static void *stop_all_vcpus(void *arg)
{
	struct caller *c = arg;

	WRITE_ONCE(c->tid, kvm_gettid());
	c->ret = __td_vm_ioctl(c->vm, KVM_TDX_INIT_VM, 0, NULL, NULL);
	c->err = errno;
	return NULL;
}

static void *bind_once(void *arg)
{
	struct caller *c = arg;
	struct kvm_tdx_servtd_bind bind = { .servtd_fd = c->servtd_fd };

	WRITE_ONCE(c->tid, kvm_gettid());
	do {
		c->ret = __td_servtd_bind(c->vm->fd, &bind, NULL);
		c->err = errno;
	} while (c->ret && c->err == EAGAIN);
	return NULL;
}

static void caller_start(struct caller *c, void *(*fn)(void *))
{
	kvm_pthread_create(&c->thread, NULL, fn, c);
	td_wait_for_sleep(&c->tid);
}

static void caller_expect(struct caller *c, int ret, int err)
{
	kvm_pthread_join(c->thread, NULL);
	TEST_ASSERT(c->ret == ret && (!ret || c->err == err), "returned %d, errno %d (%s)",
		    c->ret, c->err, strerror(c->err));
}

/*
 * KVM stops all vCPUs with the VM's lock held, so that a vCPU that goes on keeps
 * that lock.  Who binds a service TD to this VM has to wait; the service TD has not.
 */
static void block_target(struct td_migtd *m)
{
	struct kvm_vcpu *vcpu, *extra;
	struct kvm_vm *vm = td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_keep_data,
					      &vcpu);
	struct caller stopper = { .vm = vm }, binder = { .vm = vm, .servtd_fd = m->vm->fd };
	struct td_runner r;

	extra = td_vcpu_add_uninitialized(vm, 1);
	occupy_vcpu(&r, extra);
	caller_start(&stopper, stop_all_vcpus);
	caller_start(&binder, bind_once);
	expect_vm_is_free(m->vm);

	td_runner_stop(&r);
	caller_expect(&stopper, -1, EINVAL);
	caller_expect(&binder, 0, 0);
	kvm_vm_free(vm);
}

TD_TEST(target_that_never_stops_does_not_hold_up_its_service_td)
{
	struct td_migtd m[2];
	struct kvm_vm *vm;
	int i;

	/* Locks may be taken in the order of the VMs' addresses: try some. */
	td_migtd_create(&m[0]);
	block_target(&m[0]);
	vm = td_create_barebones();
	td_migtd_create(&m[1]);
	kvm_vm_free(vm);
	block_target(&m[1]);
	vm = td_create_barebones();
	block_target(&m[0]);
	kvm_vm_free(vm);
	for (i = 0; i < 2; i++)
		td_migtd_free(&m[i]);
}

/* And the other way round. */
TD_TEST(service_td_that_never_stops_does_not_hold_up_its_target)
{
	struct kvm_vcpu *vcpu, *extra, *vcpu_m;
	struct kvm_vm *target = td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0,
						  guest_keep_data, &vcpu);
	struct kvm_vm *servtd = td_create_with_one_vcpu(&vcpu_m, guest_keep_data);
	struct kvm_tdx_servtd_bind bind = { .servtd_fd = servtd->fd };
	struct caller stopper = { .vm = servtd };
	struct td_runner r;
	int ret;

	extra = td_vcpu_add_uninitialized(servtd, 1);
	td_launch(servtd);
	occupy_vcpu(&r, extra);
	caller_start(&stopper, stop_all_vcpus);
	do {
		ret = __td_servtd_bind(target->fd, &bind, NULL);
	} while (ret && errno == EAGAIN);
	TEST_ASSERT(!ret, "errno %d (%s)", errno, strerror(errno));
	td_runner_stop(&r);
	caller_expect(&stopper, -1, EINVAL);
	kvm_vm_free(servtd);
	kvm_vm_free(target);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
