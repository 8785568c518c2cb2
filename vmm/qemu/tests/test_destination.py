# SPDX-License-Identifier: GPL-2.0
"""Whatever happens to the destination, the TD runs on, or nowhere if it may run there."""

import socket

from cases import case
from check import Failed, expect, expect_in
from migration import AT_ONCE, ENDLESS, PAGE_SIZE, SLOWLY, Migration
from qmp import QmpGone
from relay import request
from td import Config

RNG = Config(devices=("-device", "virtio-rng-pci"))
# This is nowhere, but its end is.
WRAPPED = request("pc.ram", (1 << 64) - PAGE_SIZE, 2 * PAGE_SIZE)


@case("the destination is killed while keys are exchanged")
def setup(lab):
    migration = lab.migration()
    migration.destination.freeze()
    migration.start()
    migration.wait("setup")
    migration.destination.kill()
    migration.check_failed()


@case("the destination is killed in the first pass over memory")
def first_pass(lab):
    migration = lab.migration(**SLOWLY).start()
    migration.wait_pass(1)
    migration.destination.kill()
    migration.check_failed()


@case("the destination is killed in a later pass over memory")
def later_pass(lab):
    migration = lab.migration(**ENDLESS).start()
    migration.wait_pass(4)
    migration.destination.kill()
    migration.check_failed()


@case("the destination is killed before the switchover")
def pre_switchover(lab):
    migration = lab.migration(capabilities=["pause-before-switchover"]).start()
    migration.wait("pre-switchover")
    migration.destination.kill()
    migration.proceed()
    migration.check_failed()


@case("the destination is killed while it gets the rest of a TD that has been paused")
def device(lab):
    migration = lab.migration(capabilities=["pause-before-switchover"], **AT_ONCE).start()
    migration.wait("pre-switchover")
    migration.destination.freeze()
    migration.proceed()
    migration.source.qmp.wait_event("MIGRATION", status="device")
    migration.destination.kill()
    migration.check_failed()


@case("the destination has another number of vCPUs")
def other_vcpus(lab):
    source = lab.td()
    for vcpus in (1, 3):
        destination = lab.destination(source, Config(vcpus=vcpus))
        Migration(source, destination).start().check_failed(
            f"The destination says: TDX migration: the TD has 2 vCPUs at the source, {vcpus} here")


@case("the destination does not expect multifd")
def no_multifd(lab):
    source = lab.td()
    for channels in (1, 2):
        migration = Migration(source, lab.destination(source), multifd_channels=channels)
        source.ask("migrate-set-capabilities", capabilities=[{"capability": "multifd", "state": True}])
        migration.start().check_failed()


@case("the destination has other memory")
def other_memory(lab):
    source = lab.td()
    for memory in ("96M", "160M"):
        destination = lab.destination(source, Config(memory=memory))
        Migration(source, destination).start().check_failed("The destination says", "of device 'ram'")
        expect_in("pc.ram", destination.errors())


@case("the destination announces a TD with other attributes")
def other_attributes(lab):
    source = lab.td()
    destination = lab.destination(source, Config(properties=",sept-ve-disable=off"))
    Migration(source, destination).start().check_failed("the TD has attributes 0x")


@case("the destination announces a TD with other features")
def other_features(lab):
    source = lab.td()
    destination = lab.destination(source, Config(devices=("-cpu", "host,-bmi2,-adx")))
    Migration(source, destination).start().check_failed("EBX of CPUID leaf 0x7.0 is 0x")


@case("QEMU does not wait for a TD that it could not import, for lack of migration TDs")
def no_migtd(lab):
    source = lab.td()
    try:
        lab.destination(source, Config(migtd=False))
        raise Failed("QEMU waits for a TD")
    except QmpGone:
        expect_in("can only be migrated to a tdx-guest object with migtd", lab.tds[-1].errors())
    source.check_runs()


@case("the destination is without migration TDs")
def migtd_gone(lab):
    source = lab.td()
    destination = lab.destination(source)
    destination.migtd.stop()
    migration = Migration(source, destination).start()
    info = migration.check_failed("The destination says")
    expect_in("cannot connect to the migration TD", info["error-desc"])


@case("the migration TDs of the destination are lost before they answer")
def migtd_lost(lab):
    migration = lab.migration()
    migtd = migration.destination.migtd
    migtd.freeze()
    migration.start()
    migtd.wait_client()
    migtd.stop()
    info = migration.check_failed("The destination says")
    expect_in("the migration TD is gone", info["error-desc"])


@case("the destination asks for pages before anything else")
def request_at_once(lab):
    source = lab.td()
    for message in (request("pc.ram", 0, PAGE_SIZE), WRAPPED):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(message)
            source.ask("getfd", fds=(theirs.fileno(),), fdname="hasty")
            theirs.close()
            Migration(source, None, transport="fd:hasty").start().check_failed("pages before postcopy")


@case("the destination asks for pages, and wrong ones, before the TD goes on there")
def request_early(lab):
    for message in (request("pc.ram", 0, PAGE_SIZE), WRAPPED):
        migration, relay = lab.relayed()
        migration.set(**ENDLESS)
        migration.start()
        migration.wait_pass(2)
        relay.say(message)
        migration.set(**AT_ONCE)
        migration.check_failed("pages before postcopy")


@case("a TD moves after all these destinations have failed")
def again(lab):
    lab.move()


@case("the destination returns all of a TD that it cannot run for lack of a device")
def abort_token(lab):
    source = lab.td(RNG)
    destination = lab.destination(source, Config())
    Migration(source, destination).start().check_failed()
    expect_in("virtio-rng", destination.errors())
    lab.move(source.config)


@case("the destination names the device that it lacks, even if the memory of the TD was to follow")
def abort_token_postcopy(lab):
    source = lab.td(RNG)
    destination = lab.destination(source, Config())
    migration = Migration(source, destination, capabilities=["postcopy-ram"]).start()
    migration.wait_pass(1)
    source.ask("migrate-start-postcopy")
    info = migration.check_failed("virtio-rng")
    expect_in("The destination says", info["error-desc"])
    lab.move(source.config)


@case("a TD runs nowhere when a destination that has all of it is killed")
def lost(lab):
    migration, relay = lab.relayed()
    migration.start()
    relay.wait_loaded()
    migration.destination.kill()
    relay.end()
    info = migration.wait_end()
    expect(info["status"] == "failed", f"the migration has {info['status']}")
    expect_in("may run there", migration.source.errors())
    source = migration.source
    status = source.status()
    expect(status == "internal-error", f"the source is {status}")
    expect_in("runs elsewhere, or is lost", source.refusal("migrate", uri=migration.uri))
    expect_in("Resetting", source.refusal("cont"))
    expect(source.status() == "internal-error", f"the source is {source.status()}")
    lab.drop()


@case("a TD runs on the destination alone when the source does not hear that it has arrived")
def unheard(lab):
    migration, relay = lab.relayed()
    migration.start()
    relay.wait_loaded()
    relay.end()
    info = migration.wait_end()
    expect(info["status"] == "failed", f"the migration has {info['status']}")
    status = migration.source.status()
    expect(status == "internal-error", f"the source is {status}")
    migration.destination.take_over(migration.source)
    migration.destination.check_runs(beats=10)
    lab.adopt(migration)
