// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bundles that the TDX module does not finish in one call: it was interrupted, or, with
 * memory, it has given way to another call, in which case it may have done nothing at
 * all.
 */
#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_postcopy.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

#define TDX_INTERRUPTED_BUSY	0x8000020600000000ULL

TD_MIG_FIXTURE(td_mig, td_mig_create_data_src);

/* A case that failed may have left them on. */
static void set_knobs(u32 interrupt_every, u32 busy_interrupt_every)
{
	td_sim_interrupt_every(interrupt_every);
	td_sim_busy_interrupt_every(busy_interrupt_every);
}

/* All of memory in both directions, in as many parts as @interrupts and @busy say. */
static void migrate_in_parts(struct td_mig *m, struct td_mig_dest *d, u32 interrupts, u32 busy)
{
	u64 exported, imported;
	int mem, td;

	set_knobs(0, 0);
	td_mig_dest_create(d, m);
	td_mig_export_immutable(m);
	td_mig_export_pause(m);

	exported = td_sim_count_leaf(TDH_EXPORT_MEM);
	set_knobs(interrupts, busy);
	td_mig_export_all_mem(m);
	set_knobs(0, 0);
	exported = td_sim_count_leaf(TDH_EXPORT_MEM) - exported;
	TEST_ASSERT(exported > TD_MIG_DATA_PAGES / (interrupts ?: busy), "%lu calls for the export",
		    exported);

	td_mig_export_td_and_vcpus(m);
	td_mig_export_start_token(m);
	mem = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD);
	td_mig_import(d, m, 0, mem - 1);

	imported = td_sim_count_leaf(TDH_IMPORT_MEM);
	set_knobs(interrupts, busy);
	td_mig_import(d, m, mem, td - 1);
	set_knobs(0, 0);
	imported = td_sim_count_leaf(TDH_IMPORT_MEM) - imported;
	TEST_ASSERT(imported > TD_MIG_DATA_PAGES / (interrupts ?: busy), "%lu calls for the import",
		    imported);

	td_mig_import_rest(d, m, td);
	td_vcpu_run_to_done(d->vcpus[0]);
}

TD_TEST_F(td_mig, td_migrates_while_bundles_are_interrupted)
{
	migrate_in_parts(&self->m, &self->d, 1, 0);
}

TD_TEST_F(td_mig, td_migrates_while_bundles_give_way_at_each_page)
{
	migrate_in_parts(&self->m, &self->d, 0, 2);
}

TD_TEST_F(td_mig, td_migrates_while_bundles_give_way_now_and_then)
{
	migrate_in_parts(&self->m, &self->d, 0, 7);
}

TD_TEST_F(td_mig, td_migrates_while_bundles_give_way_and_are_interrupted)
{
	migrate_in_parts(&self->m, &self->d, 1, 2);
}

/* --------------------------------------------------------------- state bundles */

/* A bundle of state, and the leaves that move it. */
struct state {
	u32 import_cmd;
	unsigned int export_leaf, import_leaf;
	u32 nr_pages;
};

/* A leaf stops after each page but the last, so that it takes a call for each. */
static void expect_one_call_per_page(const struct state *state, const struct td_mig_bundle *b,
				     u64 calls)
{
	TEST_ASSERT_EQ(b->import_cmd, state->import_cmd);
	TEST_ASSERT_EQ(b->nr, state->nr_pages);
	TEST_ASSERT_EQ(calls, (u64)state->nr_pages);
}

static void import_state_in_parts(struct td_mig *m, struct td_mig_dest *d,
				  const struct state *state)
{
	int at = td_mig_find_bundle(m, state->import_cmd);
	u64 calls = td_sim_count_leaf(state->import_leaf);

	set_knobs(1, 0);
	td_mig_import(d, m, at, at);
	set_knobs(0, 0);
	expect_one_call_per_page(state, &m->bundles[at],
				 td_sim_count_leaf(state->import_leaf) - calls);
}

TD_TEST_F(td_mig, td_migrates_while_its_state_is_interrupted_after_each_page)
{
	const struct state states[] = {
		{ KVM_TDX_MIG_IMPORT_STATE_IMMUTABLE, TDH_EXPORT_STATE_IMMUTABLE,
		  TDH_IMPORT_STATE_IMMUTABLE, td_module_version() < TD_MODULE(1, 5, 5) ? 2 : 3 },
		{ KVM_TDX_MIG_IMPORT_STATE_TD, TDH_EXPORT_STATE_TD, TDH_IMPORT_STATE_TD, 1 },
		{ KVM_TDX_MIG_IMPORT_STATE_VP, TDH_EXPORT_STATE_VP, TDH_IMPORT_STATE_VP, 4 },
	};
	u64 calls[ARRAY_SIZE(states)];
	struct td_mig *m = &self->m;
	int i, mem, td, vp;

	set_knobs(0, 0);
	td_mig_dest_create(&self->d, m);
	for (i = 0; i < ARRAY_SIZE(states); i++)
		calls[i] = td_sim_count_leaf(states[i].export_leaf);
	set_knobs(1, 0);
	td_mig_export_immutable(m);
	set_knobs(0, 0);
	td_mig_export_pause(m);
	td_mig_export_all_mem(m);
	set_knobs(1, 0);
	td_mig_export_td_and_vcpus(m);
	set_knobs(0, 0);
	td_mig_export_start_token(m);
	for (i = 0; i < ARRAY_SIZE(states); i++)
		expect_one_call_per_page(&states[i],
					 &m->bundles[td_mig_find_bundle(m, states[i].import_cmd)],
					 td_sim_count_leaf(states[i].export_leaf) - calls[i]);

	mem = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_MEM);
	td = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_TD);
	vp = td_mig_find_bundle(m, KVM_TDX_MIG_IMPORT_STATE_VP);
	import_state_in_parts(m, &self->d, &states[0]);
	td_mig_import(&self->d, m, mem, td - 1);
	import_state_in_parts(m, &self->d, &states[1]);
	import_state_in_parts(m, &self->d, &states[2]);
	td_mig_import_rest(&self->d, m, vp + 1);
	td_vcpu_run_to_done(self->d.vcpus[0]);
}

/* -------------------------------------------------------------- no end in sight */

/* The part that is there cannot be sent, and the stream cannot go on without it. */
TD_TEST_F(td_mig, export_that_only_gives_way_ends_the_session)
{
	struct td_mig_bundle b;
	u64 hw_error, entry;
	gpa_t *gpas;
	u32 nr;

	set_knobs(0, 0);
	td_mig_export_immutable(&self->m);
	td_mig_export_pause(&self->m);

	gpas = td_mig_list_pages(&self->m, &nr);
	entry = td_gpa_entry(gpas[0], TDX_MIG_GPA_OP_MIGRATE);
	free(gpas);
	td_sim_busy_interrupt_every(1);
	TD_EXPECT_ERRNO(ECANCELED, __td_mig_export_mem(&self->m.streams[0], &entry, 1, &b,
						       &hw_error));
	td_sim_busy_interrupt_every(0);
	TEST_ASSERT_EQ(hw_error, TDX_INTERRUPTED_BUSY);
	TD_EXPECT_ERRNO(ECANCELED, __td_mig_export_mem(&self->m.streams[0], &entry, 1, &b,
						       &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
}

TD_TEST_F(td_mig, import_that_only_gives_way_fails)
{
	struct td_mig_bundle *b;
	u64 hw_error;
	int mem;

	set_knobs(0, 0);
	td_mig_dest_create(&self->d, &self->m);
	td_mig_export(&self->m);
	mem = td_mig_import_up_to(&self->d, &self->m, KVM_TDX_MIG_IMPORT_MEM);

	b = &self->m.bundles[mem];
	td_sim_busy_interrupt_every(1);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, b, &hw_error));
	td_sim_busy_interrupt_every(0);
	TEST_ASSERT_EQ(hw_error, TDX_INTERRUPTED_BUSY);
	TD_EXPECT_ERRNO(EIO, __td_mig_import(self->d.streams, b, &hw_error));
	TEST_ASSERT_EQ(hw_error, 0UL);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());
	return test_harness_run(argc, argv);
}
