# SPDX-License-Identifier: GPL-2.0
"""Any number of vCPUs; two are those of all other tests."""

from cases import case
from td import Config


@case("a TD of one vCPU moves there and back")
def one(lab):
    lab.move(Config(vcpus=1))
    lab.move(Config(vcpus=1))


@case("a TD of four vCPUs moves there and back, with and without multifd")
def four(lab):
    lab.move(Config(vcpus=4))
    lab.move(Config(vcpus=4), capabilities=["multifd"])
