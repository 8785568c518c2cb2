# SPDX-License-Identifier: GPL-2.0
"""What is not possible is refused with a reason, and the TD runs on."""

import os

import kvm
from cases import case
from check import Failed, expect, expect_in, poll
from migration import Migration
from qmp import QmpError, QmpGone
from td import Config

URI = "unix:/run/nobody"


def with_capability(td, *names, uri=URI):
    """Why a migration with capabilities is refused, be it at once."""
    td.ask("migrate-set-parameters", downtime_limit=300)
    capabilities = [{"capability": name, "state": True} for name in names]
    try:
        td.ask("migrate-set-capabilities", capabilities=capabilities)
        return td.refusal("migrate", uri=uri)
    except QmpError as error:
        return str(error)
    finally:
        td.ask("migrate-set-capabilities",
               capabilities=[{"capability": name, "state": False} for name in names])


def check_capability(lab, *names, uri=URI):
    td = lab.td()
    said = with_capability(td, *names, uri=uri)
    expect_in(names[-1], said)
    td.check_runs()


@case("mapped-ram is refused")
def mapped_ram(lab):
    # It needs a file, which a confidential guest cannot be sent to.
    td = lab.td()
    expect_in("can only be migrated over sockets", with_capability(td, "mapped-ram", uri="file:/run/image"))
    td.check_runs()


@case("xbzrle is refused")
def xbzrle(lab):
    check_capability(lab, "xbzrle")


@case("x-ignore-shared is refused")
def ignore_shared(lab):
    check_capability(lab, "x-ignore-shared")


@case("a compression of multifd is refused")
def compression(lab):
    td = lab.td()
    td.ask("migrate-set-parameters", multifd_compression="zlib")
    try:
        expect_in("multifd-compression", with_capability(td, "multifd"))
    finally:
        td.ask("migrate-set-parameters", multifd_compression="none")
    td.check_runs()


@case("the modes that restart QEMU on the same host are refused")
def restart(lab):
    td = lab.td()
    td.ask("migrate-set-parameters", mode="cpr-reboot")
    try:
        expect_in("cpr-reboot", td.refusal("migrate", uri=URI))
    finally:
        td.ask("migrate-set-parameters", mode="normal")
    td.check_runs()


@case("post-copy is refused if the source gives away the memory that it has sent")
def release_ram(lab):
    check_capability(lab, "postcopy-ram", "release-ram")


@case("TDs have no snapshots")
def snapshot(lab):
    td = lab.td()
    for command in ("savevm", "loadvm"):
        expect_in("cannot have snapshots", td.ask("human-monitor-command", command_line=f"{command} a"))
    td.check_runs()


@case("a pipe is refused")
def pipe(lab):
    td = lab.td()
    ends = os.pipe()
    td.ask("getfd", fds=(ends[1],), fdname="pipe")
    for end in ends:
        os.close(end)
    migration = Migration(td, None, transport="fd:pipe").start()
    migration.check_failed("only be migrated over sockets")


def check_transport(lab, uri):
    td = lab.td()
    expect_in("can only be migrated over sockets", td.refusal("migrate", uri=uri))
    td.check_runs()


@case("a migration to a file is refused")
def file(lab):
    check_transport(lab, "file:/run/image")


@case("a migration to a program is refused")
def program(lab):
    check_transport(lab, "exec:cat >/dev/null")


@case("a destination that is not there is reported")
def nobody(lab):
    Migration(lab.td(), None, transport=URI).start().check_failed("Failed to connect")


@case("a migration without migration TDs on the source is refused")
def no_migtd(lab):
    migration = lab.migration()
    migration.source.migtd.stop()
    migration.start()
    migration.check_failed("cannot connect to the migration TD")


@case("the migration TD of the source is lost while keys are exchanged")
def migtd_lost(lab):
    migration = lab.migration()
    source = migration.source
    before = source.traced("tdx_migtd_message")
    migration.destination.freeze()
    migration.start()
    poll(lambda: source.traced("tdx_migtd_message") > before, "no key is sent")
    source.migtd.kill_last()
    migration.destination.thaw()
    migration.check_failed("the migration TD is gone")


@case("a TD moves after all this has been refused")
def again(lab):
    lab.move()


@case("a TD that has no migration TD says so")
def no_property(lab):
    td = lab.td(Config(migtd=False))
    reasons = td.ask("query-migrate").get("blocked-reasons", [])
    expect(any("migtd" in reason for reason in reasons), f"the reasons are {reasons}")
    expect_in("migtd", td.refusal("migrate", uri=URI))
    td.check_runs()


@case("the writes of a TD that is not migratable cannot be logged, and it lives on")
def no_log(lab):
    td = lab.td(Config(migtd=False))
    td.ask("calc-dirty-rate", calc_time=1, mode="dirty-bitmap")
    poll(lambda: td.ask("query-dirty-rate")["status"] == "measured", "the dirty rate is never measured")
    expect_in("not migratable cannot be logged", td.errors())
    expect_in("cannot have snapshots", td.ask("human-monitor-command", command_line="loadvm a"))
    td.check_runs()


@case("on a host without tdx_mig=1, a TD that is to be migratable is refused, and any other runs")
def no_tdx_mig(lab):
    lab.leave()
    lab.defer(kvm.restore)
    kvm.reload("tdx=1 tdx_mig=0")
    try:
        lab.start(Config(), lab.migtds[0])
        raise Failed("QEMU runs a TD that it could not migrate, though it is to")
    except QmpGone:
        said = lab.tds[-1].errors()
        expect_in("KVM does not support the migration of TDs", said)
        expect_in("tdx_mig=1", said)
    td = lab.start(Config(migtd=False), lab.migtds[0])
    td.wait_beat(3)
    expect_in("not migratable", td.refusal("migrate", uri=URI))
    td.check_runs()
    lab.leave()
    kvm.restore()
    lab.move()
