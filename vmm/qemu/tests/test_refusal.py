# SPDX-License-Identifier: GPL-2.0
"""What is not possible is refused with a reason, and the TD runs on."""

from cases import case
from check import expect, expect_in
from migration import Migration, refusal
from qmp import QmpError
from td import Config

URI = "unix:/run/nobody"


def with_capability(td, *names, uri=URI):
    """Why a migration with capabilities is refused, be it at once."""
    td.ask("migrate-set-parameters", downtime_limit=300)
    capabilities = [{"capability": name, "state": True} for name in names]
    try:
        td.ask("migrate-set-capabilities", capabilities=capabilities)
        return refusal(td, uri)
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


def check_transport(lab, uri):
    td = lab.td()
    expect_in("can only be migrated over sockets", refusal(td, uri))
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


@case("a TD moves after all this has been refused")
def again(lab):
    lab.move()


@case("a TD that has no migration TD says so")
def no_property(lab):
    td = lab.td(Config(migtd=False))
    reasons = td.ask("query-migrate").get("blocked-reasons", [])
    expect(any("migtd" in reason for reason in reasons), f"the reasons are {reasons}")
    expect_in("migtd", refusal(td, URI))
    td.check_runs()
