// SPDX-License-Identifier: GPL-2.0
/*
 * The TSC of a TD: what its frequency makes of the multiplier, on platforms whose
 * own frequency is a multiple of the module's unit and on those where it is not.
 */
#include "fixture.h"
#include "tap.h"

#define UNIT_KHZ		25000
#define TD_PARAMS_TSC		0x28
#define TD_TSC_MULTIPLIER	0x111000030000000bULL
#define NATIVE_ODD_KHZ		2494137
/* Many days after boot, where rounding would show. */
#define LATE			0x40000000000000ULL

static struct fx_td td;

static void boot(u32 native_khz)
{
	fx_boot(1);
	machine_set_tsc_khz(native_khz);
	fx_td_create(&td, 33);
	fx_snapshot(0);
}

static u64 init_td(u16 frequency)
{
	u64 params = fx_hpages(1);
	u8 *p = fx_mem(params);

	put_unaligned_le64(3, p + 8);
	put_unaligned_le16(4, p + 0x10);
	put_unaligned_le64(0x1e, p + 0x18);
	put_unaligned_le16(frequency, p + TD_PARAMS_TSC);
	return fx_call(LEAF_MNG_INIT, .rcx = td.tdr, .rdx = params);
}

static u64 multiplier_of(u16 frequency)
{
	fx_restore(0);
	fx_expect_success("MNG.INIT", init_td(frequency));
	return fx_mng_rd(td.tdr, TD_TSC_MULTIPLIER);
}

/* The greatest multiplier that does not make the TSC too fast. */
static bool is_best(u64 multiplier, u32 khz, u32 native_khz)
{
	/* Ticks in as many milliseconds as the fraction can tell apart. */
	const u64 wanted = (u64)khz << 40;

	return mul_u64_u64_shr(multiplier, native_khz, 8) <= wanted &&
	       mul_u64_u64_shr(multiplier + 1, native_khz, 8) >= wanted;
}

static void test_multiplier(u32 native_khz)
{
	static const u16 frequencies[] = { 4, 40, 98, 101, 120, 200, 400 };
	unsigned int i;

	boot(native_khz);
	tap_equal(multiplier_of(native_khz / UNIT_KHZ), SIM_TSC_MULTIPLIER_ONE,
		  "%u kHz: the native frequency is not scaled", native_khz);
	for (i = 0; i < ARRAY_SIZE(frequencies); i++)
		tap_ok(is_best(multiplier_of(frequencies[i]), frequencies[i] * UNIT_KHZ,
			       native_khz),
		       "%u kHz: %u units of 25 MHz", native_khz, frequencies[i]);
	fx_restore(0);
	tap_equal(init_td(3), SIM_OPERAND_INVALID | OPND_TSC_FREQUENCY,
		  "%u kHz: 75 MHz are too few", native_khz);
	fx_restore(0);
	tap_equal(init_td(401), SIM_OPERAND_INVALID | OPND_TSC_FREQUENCY,
		  "%u kHz: 10025 MHz are too many", native_khz);
}

static void test_virtual_tsc(u16 frequency)
{
	u64 host, first, late;
	struct sim_td probed;

	boot(NATIVE_ODD_KHZ);
	fx_expect_success("MNG.INIT", init_td(frequency));
	probe_td(td.tdr, &probed);

	host = tdx_sim_host_tsc();
	first = sim_virtual_tsc(probed.tdcs);
	tap_ok(first < SZ_1M, "%u units: a new TD starts near 0 (%llu)", frequency,
	       (unsigned long long)first);
	tap_ok(sim_virtual_tsc(probed.tdcs) > first, "%u units: its TSC advances", frequency);

	machine_set_tsc(host + LATE);
	late = sim_virtual_tsc(probed.tdcs) - first;
	/* Within one part in a million of what was asked for. */
	tap_ok(late / 1000000 - mul_u64_u64_shr(LATE, probed.tdcs->tsc_multiplier,
						SIM_TSC_FRACTION_BITS) / 1000000 < 2,
	       "%u units: it has the rate of its multiplier for a long time", frequency);

	sim_set_tsc(probed.tdcs, late);
	tap_ok(sim_virtual_tsc(probed.tdcs) - late < SZ_1M,
	       "%u units: it can go on from any value", frequency);
}

int main(void)
{
	test_multiplier(2500000);
	test_multiplier(NATIVE_ODD_KHZ);
	test_virtual_tsc(40);
	test_virtual_tsc(NATIVE_ODD_KHZ / UNIT_KHZ);
	test_virtual_tsc(120);
	return tap_done();
}
