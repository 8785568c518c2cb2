# SPDX-License-Identifier: GPL-2.0
"""Several streams at once."""

from cases import case
from check import expect
from migration import ENDLESS


@case("a TD moves with one channel of multifd")
def one(lab):
    lab.move(capabilities=["multifd"], multifd_channels=1)


@case("a TD moves with two channels of multifd over TCP")
def two(lab):
    info = lab.move(capabilities=["multifd"], multifd_channels=2, transport="tcp")
    expect(info["ram"]["multifd-bytes"] > 0, "nothing is sent on the channels")


@case("a TD moves with four channels of multifd")
def four(lab):
    lab.move(capabilities=["multifd"], multifd_channels=4)


@case("a TD moves without multifd after it has moved with it")
def without(lab):
    lab.move()


@case("a migration with multifd is cancelled in a later pass, and the TD moves with it again")
def cancelled(lab):
    migration = lab.migration(capabilities=["multifd"], multifd_channels=4, **ENDLESS).start()
    migration.wait_pass(3)
    migration.cancel()
    migration.check_stayed()
    lab.move(capabilities=["multifd"], multifd_channels=2)


@case("the destination of a migration with multifd is killed in a later pass")
def killed(lab):
    migration = lab.migration(capabilities=["multifd"], multifd_channels=2, **ENDLESS).start()
    migration.wait_pass(3)
    migration.destination.kill()
    migration.check_failed()
