// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMMs that are killed or stopped in the middle of a migration: before, in and after each
 * of its ioctls, with the vCPUs out of the guest and with one of them in it.
 *
 * Of a VMM that is killed nothing is left.  If it was the destination, before the start
 * token, the source runs on with all its memory and is migrated to another one.  If it was
 * the source, the destination can be destroyed, and from the start token on it can run.
 * A VMM that is stopped and continued loses nothing.
 *
 * Usage: tdx_mig_kill_test [-n NUMBER [-s SEED]] [-t SCENARIO]
 * Without -n, VMMs are killed at all points of each scenario, else at so many, which are
 * chosen at random.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_mig_vmms.h"
#include "tdx_scenario.h"
#include "tdx_sim_util.h"

#define MAX_POINTS		256U
/*
 * Memory that may be missing at the end of a scenario: the kernel does not give back at
 * once all that it has freed.
 */
#define MAX_LOST_KIB		512L
/* The same if it keeps what was freed, to find out who still uses it. */
#define MAX_LOST_KIB_DEBUG	4096L

/* When a VMM is killed or stopped, as seen from the ioctl. */
enum when {
	BEFORE,
	IN,
	AFTER,
	NR_WHENS,
};

/* What keeps a VMM in an ioctl for longer. */
enum delay {
	NOTHING,
	/* The leaf is interrupted whenever it looks. */
	INTERRUPTED,
	/* It is busy; or it is so after it has been interrupted. */
	BUSY,
	STUCK,
	NR_DELAYS,
};

/* The first ones are one of each kind. */
static const struct way {
	enum when when;
	enum delay delay;
} ways[] = {
	{ BEFORE },
	{ IN },
	{ AFTER },
	{ IN, INTERRUPTED },
	{ IN, BUSY },
	{ IN, STUCK },
};

struct scenario {
	void (*run)(const char *name, const struct scenario *s);
	/* Who is killed. */
	enum td_side side;
	/* vCPU 1 runs whenever it can. */
	bool is_running;
	/* The migration is given up before the commit, and only that has points. */
	bool aborts;
};

struct attempt {
	struct td_vmms v;
	bool aborts;

	enum td_side side;
	/* Points until the one at which it is killed, 0 for none, or none any more. */
	unsigned int left;
	struct way way;
	/* Stop both sides at each point instead. */
	bool stops;

	/* Points that were reached, and how long their ioctls took. */
	unsigned int reached[TD_NR_SIDES];
	u64 durations[TD_NR_SIDES][MAX_POINTS];
	/* When it was killed in fact, or how often it was stopped. */
	enum when actual;
	unsigned int nr_stops;
};

static struct attempt a;

/* ----------------------------------------------------------- what is left over */

/* All VMs are those of the VMMs. */
static void expect_no_tds(void)
{
	TEST_ASSERT_EQ(td_sim_count_tds(), 0);
	TEST_ASSERT_EQ(td_sim_count_owned_pages(NULL), 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	TEST_ASSERT(f && fputs(text, f) >= 0 && !fclose(f), "Cannot write %s, errno %d", path,
		    errno);
}

/* Free memory, with what can be freed and what CPUs have set aside. */
static long count_free_kib(void)
{
	long pages, sum = 0;
	char line[256];
	FILE *f;

	write_file("/proc/sys/vm/drop_caches", "3");
	write_file("/proc/sys/vm/stat_refresh", "1");
	f = fopen("/proc/zoneinfo", "r");
	TEST_ASSERT(f, "Cannot read /proc/zoneinfo, errno %d", errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " nr_free_pages %ld", &pages) == 1 ||
		    sscanf(line, " count: %ld", &pages) == 1)
			sum += pages;
	}
	fclose(f);
	return sum * (long)(PAGE_SIZE / 1024);
}

/* ------------------------------------------------------------- a migration */

/*
 * Each MSR has an ioctl of its own, and so has each capability.  KVM_CREATE_VM fails if any
 * signal is pending.
 */
static bool is_point(const struct td_tracee *t)
{
	if (t->syscall.entry.nr != __NR_ioctl)
		return false;

	switch ((u32)t->syscall.entry.args[1]) {
	case KVM_CHECK_EXTENSION:
	case KVM_CREATE_VM:
	case KVM_GET_MSR_INDEX_LIST:
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
	case KVM_RUN:
		return false;
	default:
		return true;
	}
}

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Let the ioctl run for a part of its time, less than half as the sleep takes some, too. */
static void sleep_in(enum td_side side, unsigned int point)
{
	u64 ns = a.durations[side][point] * (td_random(&seed) & 0xff) / 512;
	struct timespec ts;

	ts = (struct timespec) { .tv_sec = ns / NSEC_PER_SEC, .tv_nsec = ns % NSEC_PER_SEC };
	nanosleep(&ts, NULL);
}

static void set_delay(const struct td_vmm_part *part)
{
	switch (a.way.delay) {
	case INTERRUPTED:
		td_sim_interrupt_every(1);
		break;
	case BUSY:
		td_sim_busy_leaf(part->leaf);
		break;
	case STUCK:
		td_sim_stuck_leaf(part->leaf);
		break;
	default:
		break;
	}
}

static void clear_delay(void)
{
	td_sim_stuck_leaf(0);
}

/* The side of @part is about to do the ioctl at which it is killed. */
static void kill_side(const struct td_vmm_part *part, unsigned int point)
{
	struct td_tracee *t = &a.v.sides[part->side];
	enum td_stop stop;

	a.actual = a.way.when;
	switch (a.way.when) {
	case IN:
		set_delay(part);
		td_tracee_resume(t);
		sleep_in(part->side, point);
		if (!td_tracee_is_running(t))
			a.actual = AFTER;
		break;
	case AFTER:
		td_tracee_resume(t);
		stop = td_tracee_wait(t);
		TEST_ASSERT(stop == TD_STOP_EXIT, "Stop %d, status 0x%x", stop, t->status);
		break;
	default:
		break;
	}
	td_tracee_kill(t);
	if (a.way.when == IN)
		clear_delay();
}

static void stop_side(struct td_tracee *t)
{
	TEST_ASSERT(!kill(t->pid, SIGSTOP), "Cannot stop process %d", t->pid);
}

/* All of a side is stopped, also its vCPUs. */
static void expect_stopped(struct td_tracee *t)
{
	u64 before;

	td_tracee_wait_for_threads(t);
	a.nr_stops++;
	if (t != &a.v.sides[a.v.wire->runner])
		return;

	before = td_tracee_read(t, a.v.wire->progress);
	usleep(1000);
	TEST_ASSERT_EQ(td_tracee_read(t, a.v.wire->progress), before);
}

/* Returns false if its side was killed. */
static bool do_part(const struct td_vmm_part *part)
{
	struct td_tracee *t = &a.v.sides[part->side];
	unsigned int point = 0;
	enum td_stop stop;
	bool in = false;
	u64 start = 0;

	td_vmms_begin(&a.v, part);
	while ((stop = td_tracee_wait(t)) != TD_STOP_IDLE) {
		switch (stop) {
		case TD_STOP_ENTRY:
			in = is_point(t);
			if (!in)
				break;
			point = a.reached[part->side]++;
			TEST_ASSERT(point < MAX_POINTS, "Too many points");
			if (a.left && part->side == a.side && !--a.left) {
				kill_side(part, point);
				return false;
			}
			if (a.stops && a.way.when == BEFORE)
				stop_side(t);
			start = now();
			td_tracee_resume(t);
			if (a.stops && a.way.when == IN) {
				sleep_in(part->side, point);
				stop_side(t);
			}
			continue;
		case TD_STOP_EXIT:
			if (in && !a.stops)
				a.durations[part->side][point] = now() - start;
			else if (in && a.way.when == AFTER)
				stop_side(t);
			break;
		case TD_STOP_GROUP:
			expect_stopped(t);
			td_tracee_continue(t);
			continue;
		default:
			TEST_FAIL("Stop %d, status 0x%x", stop, t->status);
		}
		td_tracee_resume(t);
	}
	return true;
}

/* Do all parts of a list.  Returns the one in which a side was killed, NULL if none was. */
static const struct td_vmm_part *do_parts(const struct td_vmm_part *part, bool have_points)
{
	for (; part->run; part++) {
		if (a.aborts && part->is_commit)
			break;
		if (part->is_quiet || !have_points)
			td_vmms_do(&a.v, part);
		else if (!do_part(part))
			return part;
	}
	return NULL;
}

/* Both VMMs end.  The TD is at the destination. */
static void finish(void)
{
	td_vmms_do(&a.v, &td_vmm_check);
	td_vmms_end(&a.v, TD_DST);
	td_vmms_end(&a.v, TD_SRC);
}

/* One side is alone, with what it has got. */
static void survive(enum td_side side)
{
	/* A source can be killed before there is a destination. */
	if (!a.v.sides[side].pid)
		return;

	td_vmms_do(&a.v, &td_vmm_survive[side]);
	if (side == TD_SRC && !a.v.wire->is_source_lost) {
		a.aborts = false;
		do_parts(td_vmm_migration, false);
		finish();
	} else {
		td_vmms_end(&a.v, side);
	}
}

/* Returns whether a side was killed. */
static bool run_attempt(const struct scenario *s)
{
	const struct td_vmm_part *part;

	memset(a.reached, 0, sizeof(a.reached));
	a.aborts = s->aborts;
	td_vmms_start(&a.v, s->is_running);

	part = do_parts(td_vmm_migration, !s->aborts);
	if (!part && s->aborts)
		part = do_parts(td_vmm_abort, true);

	if (part) {
		survive(!part->side);
	} else if (s->aborts) {
		td_vmms_end(&a.v, TD_DST);
		survive(TD_SRC);
	} else {
		finish();
	}
	expect_no_tds();
	return part;
}

/* ----------------------------------------------------------------- scenarios */

/* All points are reached, and nobody is killed. */
static void count_points(const struct scenario *s)
{
	a.left = 0;
	a.stops = false;
	run_attempt(s);
}

/* The debugging of lifetimes comes with that of leaks, which finds smaller ones. */
static long max_lost_kib(void)
{
	return access("/sys/kernel/debug/kmemleak", F_OK) ? MAX_LOST_KIB : MAX_LOST_KIB_DEBUG;
}

static void kill_at_points(const char *name, const struct scenario *s)
{
	unsigned int nr, i, r, killed[NR_WHENS] = {}, missed = 0;
	long before, lost;

	count_points(s);
	nr = a.reached[s->side];
	TEST_ASSERT(nr, "There is nothing to be killed at");

	before = count_free_kib();
	for (i = 0; i < (nr_points ?: nr * ARRAY_SIZE(ways)); i++) {
		r = nr_points ? td_random(&seed) % nr : i / ARRAY_SIZE(ways);
		a.side = s->side;
		a.left = r + 1;
		a.way = ways[i % (nr_points ? NR_WHENS : ARRAY_SIZE(ways))];
		if (nr_points && a.way.when == IN)
			a.way.delay = td_random(&seed) % NR_DELAYS;
		/* A command that is repeated because of a vCPU is a point of its own. */
		if (run_attempt(s))
			killed[a.actual]++;
		else
			missed++;
	}
	lost = before - count_free_kib();

	printf("# %s: %u points; killed %u times before an ioctl, %u in one, %u after one, ", name,
	       nr, killed[BEFORE], killed[IN], killed[AFTER]);
	printf("%u missed; %ld KiB lost\n", missed, lost);
	TEST_ASSERT(killed[BEFORE] && killed[AFTER], "Nothing was killed");
	TEST_ASSERT(lost <= max_lost_kib(), "%ld KiB are lost", lost);
}

static void stop_at_points(const char *name, const struct scenario *s)
{
	unsigned int nr = 0;
	enum when when;

	count_points(s);

	a.stops = true;
	a.nr_stops = 0;
	for (when = BEFORE; when < NR_WHENS; when++) {
		a.way = (struct way) { when };
		run_attempt(s);
		nr += a.reached[TD_SRC] + a.reached[TD_DST];
	}
	printf("# %s: %u points of the source, %u of the destination; stopped %u times\n", name,
	       a.reached[TD_SRC], a.reached[TD_DST], a.nr_stops);
	TEST_ASSERT_EQ(a.nr_stops, nr);
	TEST_ASSERT(nr, "There is nothing to be stopped at");
}

static void run_scenario(const char *name, const struct scenario *s)
{
	td_vmms_init(&a.v);
	s->run(name, s);
}

/* What happens, to whom, do vCPUs run, is the migration aborted? */
SCENARIO(source_is_killed_with_all_vcpus_out, kill_at_points, TD_SRC);
SCENARIO(source_is_killed_with_a_vcpu_in_the_guest, kill_at_points, TD_SRC, true);
SCENARIO(source_is_killed_when_it_aborts, kill_at_points, TD_SRC, false, true);
SCENARIO(destination_is_killed_with_all_vcpus_out, kill_at_points, TD_DST);
SCENARIO(destination_is_killed_with_a_vcpu_in_the_guest, kill_at_points, TD_DST, true);
SCENARIO(destination_is_killed_when_it_aborts, kill_at_points, TD_DST, false, true);
SCENARIO(both_are_stopped_with_all_vcpus_out, stop_at_points, TD_NR_SIDES);
SCENARIO(both_are_stopped_with_a_vcpu_in_the_guest, stop_at_points, TD_NR_SIDES, true);
SCENARIO(both_are_stopped_when_they_abort, stop_at_points, TD_NR_SIDES, false, true);

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	TEST_REQUIRE(td_sim_is_present());

	return run_scenarios(argc, argv);
}
