# SPDX-License-Identifier: GPL-2.0
"""Commands that come at any time, in any order."""

from cases import case
from check import expect, expect_in, poll
from migration import ENDLESS, SLOWLY, Migration


def refused_meanwhile(td, *commands):
    """Commands, each with what it says when it is refused."""
    for command, reason, arguments in commands:
        expect_in(reason, td.refusal(command, **arguments))


@case("what a migration was set up with cannot be changed meanwhile, on neither side")
def set_up_with(lab):
    migration = lab.migration(capabilities=["multifd"], multifd_channels=2, **ENDLESS).start()
    migration.wait_pass(2)
    for td in (migration.source, migration.destination):
        for name, value in (("multifd-channels", 16), ("multifd-compression", "zlib"), ("mode", "cpr-reboot")):
            expect_in("cannot be changed during a migration", td.refusal("migrate-set-parameters", **{name: value}))
        td.ask("migrate-set-parameters", multifd_channels=2, announce_rounds=3)
        refused_meanwhile(td, ("migrate-set-capabilities", "in progress", {
            "capabilities": [{"capability": "multifd", "state": False}]}))
    migration.set(downtime_limit=20000)
    migration.check_arrived()
    lab.adopt(migration).ask("migrate-set-parameters", multifd_channels=16)


@case("a migration cannot be begun, saved, or given devices while it is in progress; it can be looked at")
def meanwhile(lab):
    migration = lab.migration(**ENDLESS).start()
    source, destination = migration.source, migration.destination
    migration.wait_pass(1)
    refused_meanwhile(
        source,
        ("migrate", "in progress", {"uri": migration.uri}),
        ("migrate", "paused migration", {"uri": migration.uri, "resume": True}),
        ("migrate-continue", "not in expected state", {"state": "pre-switchover"}),
        ("migrate-pause", "cannot be recovered", {}),
        ("migrate-start-postcopy", "", {}),
        ("device_add", "not allowed while migrating", {"driver": "virtio-rng-pci", "id": "rng9"}),
    )
    refused_meanwhile(
        destination,
        ("migrate-incoming", "already", {"uri": migration.uri}),
        ("migrate", "incoming", {"uri": migration.uri}),
    )
    for td in (source, destination):
        for query in ("query-migrate", "query-status", "query-cpus-fast", "query-block", "query-memory-devices",
                      "query-migrate-parameters", "query-migrate-capabilities", "query-yank"):
            td.ask(query)
    source.ask("human-monitor-command", command_line="info registers -a")
    source.ask("human-monitor-command", command_line="x /4x 0")
    source.ask("announce-self", initial=50, max=50, rounds=1, step=0)
    migration.set(max_bandwidth=8 << 20)
    migration.set(max_bandwidth=0, downtime_limit=20000)
    migration.check_arrived()
    lab.adopt(migration)


@case("the dirty rate is measured while a TD moves")
def dirty_rate(lab):
    migration = lab.migration(**ENDLESS).start()
    migration.wait_pass(1)
    source = migration.source
    for mode in ("dirty-bitmap", "page-sampling"):
        source.ask("calc-dirty-rate", calc_time=1, mode=mode)
        info = poll(lambda: (now := source.ask("query-dirty-rate"))["status"] == "measured" and now,
                    "the dirty rate is never measured")
        print(f"# {mode}: {info['dirty-rate']} MB/s")
    source.check_runs()
    migration.set(downtime_limit=20000)
    migration.check_arrived()
    lab.adopt(migration)


def quit_destination(migration):
    """QEMU of the destination ends as it is told to, and the TD stays."""
    migration.destination.quit()
    info = migration.wait_end()
    expect(info["status"] == "failed", f"the migration has {info['status']}")
    migration.check_stayed(exits=False)


@case("the destination is told to end while it gets the TD")
def quit_first_pass(lab):
    migration = lab.migration(**SLOWLY).start()
    migration.wait_pass(1)
    quit_destination(migration)


@case("a destination that has all of the TD, and is told to end, returns it")
def quit_with_all(lab):
    migration, relay = lab.relayed(token=True)
    migration.start()
    relay.wait_loaded()
    quit_destination(migration)


@case("a TD that is stopped meanwhile arrives so, moves on, and goes on when it is told to")
def stopped(lab):
    migration = lab.migration(**ENDLESS).start()
    migration.wait_pass(1)
    source, destination = migration.source, migration.destination
    source.ask("stop")
    migration.set(downtime_limit=20000)
    migration.wait("completed")
    destination.wait_status("paused")
    source.wait_status("postmigrate")
    expect_in("has been migrated", source.refusal("cont"))
    destination.take_over(source)
    lab.adopt(migration)

    # It has never run there.
    destination = lab.destination(migration.destination)
    again = Migration(migration.destination, destination).start()
    again.wait("completed")
    destination.wait_status("paused")
    again.source.wait_status("postmigrate")
    destination.take_over(again.source)
    lab.adopt(again)
    destination.ask("cont")
    destination.check_runs(beats=10)


@case("a destination that was started with -S waits until it is told to go on")
def stopped_destination(lab):
    source = lab.td()
    destination = lab.destination(source, stopped=True)
    migration = Migration(source, destination).start()
    migration.wait("completed")
    destination.wait_status("paused")
    source.wait_status("postmigrate")
    destination.take_over(source)
    lab.adopt(migration)
    destination.ask("cont")
    destination.check_runs(beats=10)


@case("a TD that runs before all of its memory is there can be stopped")
def stopped_in_postcopy(lab):
    migration = lab.migration(capabilities=["postcopy-ram"], **{"max-postcopy-bandwidth": 1 << 20}).start()
    migration.wait_pass(1)
    migration.source.ask("migrate-start-postcopy")
    destination = migration.destination
    destination.wait_status("running")
    destination.take_over(migration.source)
    for _ in range(3):
        destination.ask("stop")
        destination.wait_status("paused")
        destination.ask("cont")
    destination.check_runs()
    destination.ask("stop")
    migration.set(**{"max-postcopy-bandwidth": 0})
    migration.wait("completed")
    destination.ask("cont")
    destination.check_runs(beats=10)
    lab.adopt(migration)
