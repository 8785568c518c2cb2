# SPDX-License-Identifier: GPL-2.0
"""A host loses its power while the TD moves, when a lot has drawn it."""

import random

from check import Failed, poll
from move import ENDED, Move
from settings import LIMIT, SEED


def _begin(source, destination, report):
    """A move of which a part is done, in its first pass; returns it with what tells how much."""
    part = random.Random(SEED).uniform(0, 0.95)
    move = Move(0, source, destination, report)
    report.say(f"a move that will not end well: a host loses its power meanwhile (SEED={SEED})")
    move.begin()

    def look():
        info = move.query()
        if info.get("status") in ENDED:
            raise Failed(f"the migration has {info['status']} already: {info.get('error-desc', 'no reason')}")
        ram = info.get("ram")
        if not ram or info["status"] != "active":
            return None
        sent = 1 - ram["remaining"] / ram["total"]
        report.status(f"{sent:.0%} of the memory has been sent")
        return sent if sent >= part else None
    sent = poll(look, "no memory is sent", 4 * LIMIT)
    return move, f"after {sent:.0%} of the memory has been sent"


def of_destination(source, destination, report):
    """The TD runs on at the source; returns what query-migrate says."""
    move, when = _begin(source, destination, report)
    destination.lose_power()
    report.say(f"host {destination.name} loses its power, {when}")

    def look():
        report.status("the migration is about to fail")
        info = move.query()
        return info if info["status"] in ENDED else None
    info = poll(look, "nobody notices that the host is gone", 2 * LIMIT)
    if info["status"] != "failed":
        raise Failed(f"the migration has {info['status']}")
    poll(lambda: source.qmp.ask("query-status")["status"] == "running", "the TD does not run on", LIMIT)
    return info


def of_source(source, destination, client, report):
    """The TD is lost, and must not run anywhere; returns what QEMU of the destination says."""
    _, when = _begin(source, destination, report)
    client.check()
    source.lose_power()
    client.give_up()
    report.say(f"host {source.name} loses its power, {when}")

    def look():
        report.status(f"host {destination.name} is about to give up")
        return destination.qemu() == "gone"
    poll(look, f"QEMU of host {destination.name} waits for ever", 2 * LIMIT)
    if destination.qmp.first("RESUME"):
        raise Failed(f"the TD runs on host {destination.name}, which has but a part of it")
    said = destination.errors()
    if not any("load of migration failed" in line for line in said):
        raise Failed(f"QEMU of host {destination.name} has ended and said '{'; '.join(said)}'")
    return said
