# SPDX-License-Identifier: GPL-2.0
"""A migration can be cancelled while the source decides; the TD runs on and can move."""

from cases import case
from check import expect, expect_in
from migration import AT_ONCE, ENDLESS, SLOWLY


@case("a migration is cancelled while keys are exchanged")
def setup(lab):
    migration = lab.migration()
    migration.destination.freeze()
    migration.start()
    migration.wait("setup")
    migration.cancel()
    migration.destination.thaw()
    migration.check_stayed()


@case("a migration is cancelled in the first pass over memory", smoke=True)
def first_pass(lab):
    migration = lab.migration(**SLOWLY).start()
    info = migration.wait_pass(1)
    expect(info["ram"]["dirty-sync-count"] == 1, "the first pass is over already")
    migration.cancel()
    migration.check_stayed()


@case("a migration is cancelled in a later pass over memory")
def later_pass(lab):
    migration = lab.migration(**ENDLESS).start()
    migration.wait_pass(4)
    migration.cancel()
    migration.check_stayed()


@case("a migration is cancelled while the destination takes nothing")
def stuck(lab):
    migration = lab.migration(**SLOWLY).start()
    migration.wait_pass(1)
    migration.destination.freeze()
    migration.set(max_bandwidth=128 << 20)
    migration.wait_stuck()
    migration.cancel()
    migration.destination.thaw()
    migration.check_stayed()


@case("a migration is cancelled when the TD has been paused before the switchover")
def pre_switchover(lab):
    migration = lab.migration(capabilities=["pause-before-switchover"]).start()
    migration.wait("pre-switchover")
    migration.cancel()
    migration.check_stayed()


@case("a migration that is stuck after the TD has been paused can be yanked")
def yanked(lab):
    migration = lab.migration(capabilities=["pause-before-switchover"], **AT_ONCE).start()
    migration.wait("pre-switchover")
    migration.destination.freeze()
    migration.proceed()
    migration.source.qmp.wait_event("MIGRATION", status="device")
    migration.source.qmp.ask_now("yank", instances=[{"type": "migration"}])
    migration.destination.kill()
    info = migration.wait_end()
    expect(info["status"] == "failed", f"the migration has {info['status']}")
    migration.check_stayed()


@case("a migration cannot be cancelled once the destination has all of the TD")
def committed(lab):
    migration, relay = lab.relayed()
    migration.start()
    relay.wait_loaded()
    expect_in("cannot cancel", migration.source.refusal("migrate_cancel"))
    status = migration.status()
    expect(status == "device", f"the migration is {status}")
    relay.release()
    migration.check_arrived()
    lab.adopt(migration)


@case("a TD moves after all these migrations have been cancelled")
def again(lab):
    lab.move()
