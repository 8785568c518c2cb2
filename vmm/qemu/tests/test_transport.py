# SPDX-License-Identifier: GPL-2.0
"""A TD moves, whatever the bundles travel through."""

from cases import case


@case("a TD moves over a unix socket", smoke=True)
def unix(lab):
    lab.move(transport="unix")


@case("a TD moves over TCP")
def tcp(lab):
    lab.move(transport="tcp")


@case("a TD moves over a socket that both sides have been handed")
def fd(lab):
    lab.move(transport="fd")


@case("a TD moves ten times")
def ten_times(lab):
    for number in range(1, 11):
        info = lab.move()
        print(f"# move {number}: total {info['total-time']} ms, downtime {info['downtime']} ms", flush=True)
