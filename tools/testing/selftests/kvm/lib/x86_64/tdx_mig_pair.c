// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: a source and its destination, with
 * migration TDs that the test chooses.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"

/* One stop for each of the hosts that the TD gets to. */
static void guest_travel(void)
{
	GUEST_SYNC(1);
	GUEST_SYNC(2);
	GUEST_SYNC(3);
	GUEST_DONE();
}

void td_pair_create_unbound(struct td_pair *p)
{
	*p = (struct td_pair) {};
	p->vm = td_create_unbound(TDX_TD_ATTR_MIGRATABLE, 1, 0, guest_travel, &p->vcpu);
}

void td_pair_launch(struct td_pair *p)
{
	td_launch(p->vm);
	td_vcpu_run_to_sync(p->vcpu, 1);
	td_mig_open(&p->m, p->vm, &p->vcpu, 1, 1);
}

void td_pair_add_dest(struct td_pair *p, struct td_migtd *dst_migtd, u64 attributes)
{
	p->dst_migtd = dst_migtd;
	p->m.next_dst = td_mig_dest_create_vm();
	td_migtd_bind(dst_migtd, p->m.next_dst, attributes);
	p->dst = dst_migtd->target;
	td_mig_dest_create(&p->d, &p->m);
}

void td_pair_create(struct td_pair *p, struct td_migtd *src_migtd, struct td_migtd *dst_migtd)
{
	td_pair_create_unbound(p);
	p->src_migtd = src_migtd;
	td_migtd_bind(src_migtd, p->vm, 0);
	p->src = src_migtd->target;
	td_pair_launch(p);
	td_pair_add_dest(p, dst_migtd, 0);
}

void td_pair_free(struct td_pair *p)
{
	td_mig_dest_free(&p->d);
	td_mig_free(&p->m);
	kvm_vm_free(p->vm);
	p->vm = NULL;
}

void td_pair_exchange(struct td_pair *p)
{
	p->src_migtd->target = p->src;
	p->dst_migtd->target = p->dst;
	td_migtd_exchange(p->src_migtd, p->dst_migtd);
}

void td_pair_migrate(struct td_pair *p)
{
	td_mig_export(&p->m);
	td_mig_import_rest(&p->d, &p->m, 0);
	td_pair_run_to_done(p->d.vcpus[0]);
}

void td_pair_run_to_done(struct kvm_vcpu *vcpu)
{
	struct ucall uc;
	u64 cmd;

	do {
		cmd = td_vcpu_run(vcpu, &uc);
	} while (cmd == UCALL_SYNC);
	TEST_ASSERT_EQ(cmd, UCALL_DONE);
}
