# SPDX-License-Identifier: GPL-2.0
"""A host that loses its power says nothing, and nobody waits for it for long."""

import time

import wire
from cases import case
from check import expect
from migration import AT_ONCE, ENDLESS

# What migration/confidential-guest.c has, and as much again for a busy machine.
GONE = 30


def check_noticed(migration):
    since = time.monotonic()
    info = migration.wait_end()
    took = time.monotonic() - since
    print(f"# noticed after {took:.0f} s: {info.get('error-desc')}")
    expect(info["status"] == "failed", f"the migration has {info['status']}")
    expect(took < 2 * GONE, f"it takes {took:.0f} s to notice that the other host is gone")
    migration.check_stayed()


@case("a TD runs on when nothing is heard of the destination any more")
def active(lab):
    migration = lab.migration(transport="tcp", capabilities=["multifd"], **ENDLESS).start()
    migration.wait_pass(2)
    wire.cut(migration)
    check_noticed(migration)


@case("a TD that has been paused runs on when nothing is heard of the destination any more")
def paused(lab):
    migration = lab.migration(transport="tcp", capabilities=["pause-before-switchover"], **AT_ONCE).start()
    migration.wait("pre-switchover")
    wire.cut(migration)
    migration.proceed()
    check_noticed(migration)


@case("a TD moves over a new connection after that")
def again(lab):
    lab.move(transport="tcp")
