// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live migration of TDs in KVM selftests: session keys.
 *
 * A test has a migration TD for all its sources, and another one for all its
 * destinations, like the two hosts of a migration.
 */
#include "kvm_util.h"
#include "tdx_mig_util.h"
#include "tdx_migtd.h"

/* VMs do not survive fork(), so each process has its own. */
struct process_migtd {
	struct td_migtd migtd;
	pid_t pid;
};

static struct process_migtd src_migtd, dst_migtd;

static struct td_migtd *get_migtd(struct process_migtd *m)
{
	if (m->pid != getpid()) {
		td_migtd_create(&m->migtd);
		m->pid = getpid();
	}
	return &m->migtd;
}

struct td_migtd *td_mig_src_migtd(void)
{
	return get_migtd(&src_migtd);
}

struct td_migtd *td_mig_dst_migtd(void)
{
	return get_migtd(&dst_migtd);
}

static struct kvm_vm *create_dest_vm(struct td_mig *m)
{
	return __td_mig_dest_create_vm(__vm_ioctl(m->src, KVM_GET_TSC_KHZ, NULL));
}

void td_mig_exchange_keys(struct td_mig *m)
{
	struct td_migtd *src = td_mig_src_migtd(), *dst = td_mig_dst_migtd();

	if (!m->next_dst)
		m->next_dst = create_dest_vm(m);

	td_migtd_bind(src, m->src, 0);
	td_migtd_bind(dst, m->next_dst, 0);
	m->exchange = td_migtd_exchange(src, dst);
	m->keys_used = false;
}

struct kvm_vm *td_mig_next_dest(struct td_mig *m)
{
	struct kvm_vm *vm = m->next_dst;

	m->next_dst = NULL;
	if (vm)
		return vm;

	vm = create_dest_vm(m);
	td_migtd_bind(td_mig_dst_migtd(), vm, 0);
	td_migtd_install_again(td_mig_dst_migtd(), m->exchange);
	return vm;
}

void td_mig_expect_no_key(struct td_mig *m)
{
	struct td_mig_bundle b;
	u64 hw_error;
	int ret;

	ret = __td_mig_export_state(&m->streams[0], KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &b,
				    &hw_error);
	TEST_ASSERT(ret == -1 && errno == EIO, "Export returned %d, errno %d", ret, errno);
	TEST_ASSERT_EQ(hw_error & TDX_STATUS_MASK, TDX_MIGRATION_DECRYPTION_KEY_NOT_SET);
}
