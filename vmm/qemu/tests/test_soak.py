# SPDX-License-Identifier: GPL-2.0
"""A TD that moves many times, and accidents at moments that nobody has chosen."""

import collections
import random
import time

import settings
from cases import case
from check import Failed, expect, poll
from qmp import QmpError, QmpGone
from test_silence import GONE

LOST = "it may run there"
TRANSPORTS = ("unix", "tcp", "fd")
ACTIONS = ("nothing", "cancel", "kill destination", "freeze destination", "kill source", "yank", "post-copy",
           "post-copy, kill destination")
# A TD that is lost, as it must be, boots for half a minute.
WEIGHTS = (2, 5, 6, 3, 1, 3, 4, 1)


@case(f"a TD moves {settings.MOVES} times in a row", long=True)
def many_moves(lab):
    spent = collections.Counter()
    for number in range(1, settings.MOVES + 1):
        info = lab.move()
        spent["total"] += info["total-time"]
        spent["downtime"] += info["downtime"]
        print(f"# move {number}: {info['total-time']} ms, downtime {info['downtime']} ms, "
              f"{info['ram']['dirty-sync-count']} passes", flush=True)
    print(f"# on average {spent['total'] // settings.MOVES} ms, downtime {spent['downtime'] // settings.MOVES} ms")


class Accident:
    """A migration to which something happens after a while."""

    def __init__(self, lab, dice, span):
        self.lab = lab
        self.action, = dice.choices(ACTIONS, WEIGHTS)
        self.delay = dice.uniform(0, span)
        channels = dice.choice((0, 0, 1, 2, 4))
        transport = dice.choice(TRANSPORTS[:2] if channels else TRANSPORTS)
        capabilities = ["multifd"] if channels else []
        if self.action.startswith("post-copy"):
            transport = dice.choice(TRANSPORTS[:2])
            capabilities += ["postcopy-ram"] + dice.choice(([], ["postcopy-preempt"]))
        parameters = {"multifd-channels": channels} if channels else {}
        self.what = f"{transport}, {channels} channels, {self.action} after {self.delay:.2f} s"
        self.migration = lab.migration(transport=transport, capabilities=capabilities, **parameters)

    def happen(self):
        self.migration.start()
        time.sleep(self.delay)
        source, destination = self.migration.source, self.migration.destination
        if self.action == "cancel":
            try:
                source.ask("migrate_cancel")
            except QmpError as error:
                expect("cannot cancel" in str(error), f"a migration cannot be cancelled: {error}")
        elif self.action == "kill destination":
            destination.kill()
        elif self.action == "freeze destination":
            destination.freeze()
            # After twice that, it is taken for one that is gone.
            time.sleep(min(self.delay, GONE / 2))
            destination.thaw()
        elif self.action == "kill source":
            source.kill()
        elif self.action == "yank":
            try:
                source.qmp.ask_now("yank", instances=[{"type": "migration"}])
            except QmpError:
                pass
        elif self.action.startswith("post-copy"):
            self.switch()
            if "kill" in self.action:
                time.sleep(self.delay / 4)
                destination.kill()

    def switch(self):
        def look():
            try:
                self.migration.source.ask("migrate-start-postcopy")
            except QmpError:
                return self.migration.status() not in ("none", "setup")
            return True
        poll(look, "the migration does not begin")

    def verdict(self):
        """Where the TD runs: in one place, and whole, or nowhere if that is what it must be."""
        if self.action == "kill source":
            return self.verdict_of_destination()
        info = self.migration.wait_end()
        status = info["status"]
        if status == "completed":
            return self.verdict_of_destination()

        said = info.get("error-desc", "")
        poll(lambda: self.migration.source.status() != "finish-migrate", "the source does not go on")
        state = self.migration.source.status()
        if state == "internal-error":
            expect(LOST in said, f"the source does not run the TD: {said}")
            expect("kill" in self.action or self.action == "yank", f"the TD is lost: {said}")
            return self.lost()
        expect(self.action not in ("nothing", "freeze destination", "post-copy"), f"the migration has {status}: {said}")
        self.migration.check_stayed(exits="kill" not in self.action)
        return f"{status}, runs on"

    def lost(self):
        self.lab.drop()
        return "lost"

    def verdict_of_destination(self):
        destination = self.migration.destination
        if "kill destination" in self.action:
            return self.lost()

        def look():
            try:
                return not destination.alive() or destination.status() != "inmigrate"
            except QmpGone:
                return True
        poll(look, "the destination does not decide")
        if self.action == "kill source" and not destination.alive():
            return self.lost()
        if self.action != "kill source":
            poll(lambda: self.migration.source.status() == "postmigrate", "the source does not give up the TD")
        destination.take_over(self.migration.source)
        destination.check_runs()
        if self.action == "kill source":
            self.lab.current = destination
        else:
            self.lab.adopt(self.migration)
        return "moved"


@case(f"{settings.ACCIDENTS} accidents at random moments lose a TD only where that cannot be helped", long=True)
def accidents(lab):
    print(f"# SEED={settings.SEED}", flush=True)
    dice = random.Random(settings.SEED)
    tally = collections.Counter()
    span = lab.move()["total-time"] / 1000
    for number in range(1, settings.ACCIDENTS + 1):
        accident = Accident(lab, dice, span * 1.1)
        try:
            accident.happen()
            result = accident.verdict()
            lab.end_test()
        except Failed as error:
            raise Failed(f"{number}: {accident.what}: {error}") from error
        tally[result] += 1
        print(f"# {number}: {accident.what}: {result}", flush=True)
    print("# " + ", ".join(f"{what} {count}" for what, count in sorted(tally.items())), flush=True)
