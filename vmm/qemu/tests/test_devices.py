# SPDX-License-Identifier: GPL-2.0
"""Devices go on where they were."""

import disk
from cases import case
from check import expect, expect_in, poll
from migration import ENDLESS, Migration
from network import GUEST, Echo, Network
from td import Config


def config(port):
    return Config(devices=Network.devices(port), options=(f"td_net={GUEST}",))


@case("a disk and a connection outlive a migration that is cancelled, and three that are not")
def devices(lab):
    network = Network()
    lab.defer(network.remove)
    ports = network.ports()
    source = lab.td(config(ports[0]))
    echo = Echo()
    lab.defer(echo.end)
    echo.start()
    echo.check_runs()

    destination = lab.destination(source, config(ports[1]))
    migration = Migration(source, destination, capabilities=["pause-before-switchover"]).start()
    migration.wait("pre-switchover")
    migration.cancel()
    migration.check_stayed()
    echo.check_runs()

    for number in range(1, 4):
        destination = lab.destination(source, config(ports[number % 2]))
        migration = Migration(source, destination).start()
        migration.check_arrived()
        source = lab.adopt(migration)
        echo.check_runs()
        beat = source.check_beats()
        print(f"# move {number}: {beat.disk} blocks, {beat.net} bytes, {echo.received} numbers", flush=True)
    # It has the network, which goes.
    lab.drop()


@case("a driver that comes and goes in the guest finds memory for its queues while the TD migrates")
def rebind(lab):
    config = Config(options=("td_rebind=1", "td_pool=2048", "td_writes=256"), writes_disk=False)
    # Slow enough for the guest to write to more pages than are sent while it waits for a CPU.
    migration = lab.migration(config, max_bandwidth=8 << 20, **ENDLESS).start()
    before = migration.source.check_beats().rebound
    migration.wait_pass(6)
    after = migration.source.check_beats().rebound
    print(f"# {after - before} times in six passes", flush=True)
    expect(after > before, "the driver does not come back")
    migration.cancel()
    migration.check_stayed()
    # A vCPU that is slowed down is kicked while it waits.
    migration = lab.migration(config, capabilities=["auto-converge"], cpu_throttle_initial=50, **ENDLESS).start()
    migration.wait_pass(2)
    migration.set(max_bandwidth=1 << 20)
    poll(lambda: migration.query().get("cpu-throttle-percentage", 0) >= 50, "the TD is not slowed down")
    migration.set(max_bandwidth=128 << 20, downtime_limit=20000)
    migration.check_arrived()
    source = lab.adopt(migration)
    before = source.check_beats().rebound
    source.check_runs(10)
    expect(source.check_beats().rebound > before, "the driver does not come back")


@case("the disk is free again after a destination that had all of the TD has returned it")
def returned(lab):
    source = lab.td(Config(devices=("-device", "virtio-rng-pci")))
    Migration(source, lab.destination(source, Config())).start().check_failed()
    source.check_runs(10)
    lab.move(source.config)


def check_locked(lab, postcopy=False):
    """The destination has another image, which somebody else writes."""
    source = lab.td()
    with disk.locked() as image:
        migration = Migration(source, lab.destination(source, Config(image=image)),
                              capabilities=["postcopy-ram"] if postcopy else []).start()
        if postcopy:
            migration.wait_pass(1)
            source.ask("migrate-start-postcopy")
        info = migration.check_failed("The destination says")
    expect_in("lock", info["error-desc"])
    source.check_runs(10)


@case("a TD is returned by a destination that does not get its disk")
def locked(lab):
    check_locked(lab)
    lab.move()


@case("a TD is returned by a destination that does not get its disk, even if its memory was to follow")
def locked_postcopy(lab):
    check_locked(lab, postcopy=True)
    lab.move()
