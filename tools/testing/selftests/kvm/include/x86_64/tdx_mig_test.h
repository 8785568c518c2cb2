/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fixtures of the tests about a migration.  Each case gets its source, what moves it
 * and room for a destination anew, and all of that is gone when it ends, so that it
 * consists of what is special to it.
 *
 * A program names its fixtures with the macros below, and its cases with
 * TD_TEST_F(fixture, name).  A case runs once for each variant of its fixture: add
 * those with several streams where these may make a difference.
 */
#ifndef SELFTEST_KVM_TDX_MIG_TEST_H
#define SELFTEST_KVM_TDX_MIG_TEST_H

#include "tdx_mig_pair.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"
#include "tdx_test.h"
#include "tdx_worker.h"

#define TD_MIG_VARIANT(_fixture, _name, _nr_streams)				\
FIXTURE_VARIANT_ADD(_fixture, _name)						\
{										\
	.nr_streams = _nr_streams,						\
}

/*
 * A source with one vCPU and nothing of a migration.  @_create is a function of the
 * program or of the library that returns the VM.
 */
#define TD_SRC_FIXTURE(_fixture, _create)					\
FIXTURE(_fixture)								\
{										\
	struct kvm_vm *vm;							\
	struct kvm_vcpu *vcpu;							\
};										\
										\
FIXTURE_SETUP(_fixture)								\
{										\
	self->vm = _create(&self->vcpu);					\
}										\
										\
FIXTURE_TEARDOWN(_fixture)							\
{										\
	kvm_vm_free(self->vm);							\
}

/*
 * The same with streams and keys, and room for a destination; without variants, as
 * it needs TD_MIG_VARIANT() for each number of streams.
 */
#define TD_MIG_FIXTURE_VARIANTS(_fixture, _create)				\
FIXTURE(_fixture)								\
{										\
	struct kvm_vm *vm;							\
	struct kvm_vcpu *vcpu;							\
	struct td_mig m;							\
	struct td_mig_dest d;							\
};										\
										\
FIXTURE_VARIANT(_fixture)							\
{										\
	int nr_streams;								\
};										\
										\
FIXTURE_SETUP(_fixture)								\
{										\
	self->vm = _create(&self->vcpu);					\
	td_mig_init(&self->m, self->vm, &self->vcpu, 1, variant->nr_streams);	\
}										\
										\
FIXTURE_TEARDOWN(_fixture)							\
{										\
	td_mig_dest_free(&self->d);						\
	td_mig_free(&self->m);							\
	kvm_vm_free(self->vm);							\
}

/* The same with one stream. */
#define TD_MIG_FIXTURE(_fixture, _create)					\
TD_MIG_FIXTURE_VARIANTS(_fixture, _create);					\
TD_MIG_VARIANT(_fixture, one_stream, 1)

/*
 * A TD that does what it is told, and room for a session and a destination.  The case
 * begins the session, over w.nr_streams where it does not matter how many these are.
 */
#define TD_WORKER_FIXTURE_VARIANTS(_fixture, _nr_vcpus)				\
FIXTURE(_fixture)								\
{										\
	struct td_worker w;							\
	struct td_mig m;							\
	struct td_mig_dest d;							\
};										\
										\
FIXTURE_VARIANT(_fixture)							\
{										\
	int nr_streams;								\
};										\
										\
FIXTURE_SETUP(_fixture)								\
{										\
	td_worker_create(&self->w, _nr_vcpus);					\
	self->w.nr_streams = variant->nr_streams;				\
}										\
										\
FIXTURE_TEARDOWN(_fixture)							\
{										\
	td_mig_dest_free(&self->d);						\
	td_mig_free(&self->m);							\
	td_worker_free(&self->w);						\
}

/* The same with one stream. */
#define TD_WORKER_FIXTURE(_fixture, _nr_vcpus)					\
TD_WORKER_FIXTURE_VARIANTS(_fixture, _nr_vcpus);				\
TD_MIG_VARIANT(_fixture, one_stream, 1)

/*
 * What a program has for its cases, created with a number of streams, as @_member of
 * type @_type; without variants.
 */
#define TD_STREAMS_FIXTURE(_fixture, _type, _member, _create, _free)		\
FIXTURE(_fixture)								\
{										\
	_type _member;								\
};										\
										\
FIXTURE_VARIANT(_fixture)							\
{										\
	int nr_streams;								\
};										\
										\
FIXTURE_SETUP(_fixture)								\
{										\
	_create(&self->_member, variant->nr_streams);				\
}										\
										\
FIXTURE_TEARDOWN(_fixture)							\
{										\
	_free(&self->_member);							\
}

/* Two hosts with a migration TD each, and a TD that is to move; no keys yet. */
#define TD_PAIR_FIXTURE(_fixture)						\
FIXTURE(_fixture)								\
{										\
	struct td_migtd src, dst;						\
	struct td_pair p;							\
};										\
										\
FIXTURE_SETUP(_fixture)								\
{										\
	td_migtd_create(&self->src);						\
	td_migtd_create(&self->dst);						\
	td_pair_create(&self->p, &self->src, &self->dst);			\
}										\
										\
FIXTURE_TEARDOWN(_fixture)							\
{										\
	td_pair_free(&self->p);							\
	td_migtd_free(&self->dst);						\
	td_migtd_free(&self->src);						\
}

#endif /* SELFTEST_KVM_TDX_MIG_TEST_H */
