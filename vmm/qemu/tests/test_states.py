# SPDX-License-Identifier: GPL-2.0
"""A TD moves in whatever state it is."""

import time

from cases import case
from check import expect
from migration import SLOWLY, Migration
from td import Config


def arrive(migration, status):
    """It is there, and does not run."""
    migration.wait("completed")
    migration.destination.wait_status(status)
    migration.source.wait_status("postmigrate")


@case("a TD that has not begun to run moves, and once more while its firmware accepts memory")
def boots(lab):
    config = Config()
    lab.drop()
    source = lab.start(config, lab.migtd(), stopped=True)
    expect(source.status() == "prelaunch", f"the TD is {source.status()}")
    first = Migration(source, lab.destination(source)).start()
    arrive(first, "prelaunch")
    booting = lab.adopt(first)
    booting.ask("cont")
    time.sleep(3)

    second = Migration(booting, lab.destination(booting)).start()
    second.wait("completed")
    booting.wait_status("postmigrate")
    expect(not booting.last_beat(), "the TD had booted before")
    booted = lab.adopt(second)
    booted.wait_beat(3)
    booted.check_runs()
    lab.move(config)


@case("QEMU of the source is told to end while the TD moves")
def quits(lab):
    migration = lab.migration(**SLOWLY).start()
    migration.wait_pass(1)
    migration.source.quit()
    status = migration.destination.wait_exit()
    expect(status != 0, "QEMU of the destination ends as if all was well")
    lab.drop()


@case("a TD that has shut down moves")
def shut_down(lab):
    source = lab.td(Config(devices=("-no-shutdown",), options=("td_off=60",)))
    source.wait_status("shutdown")
    migration = Migration(source, lab.destination(source)).start()
    arrive(migration, "shutdown")
    lab.adopt(migration).quit()
    lab.drop()
