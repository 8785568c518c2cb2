# SPDX-License-Identifier: GPL-2.0
"""A move of the TD from one host to the other, and its record for the picture."""

import time

from check import Failed, poll
from host import MIGRATION_PORT
from settings import DOWNTIME_MS, HOSTS, LIMIT, MEMORY_MIB, PAGE_SIZE, VCPUS

ENDED = ("completed", "failed", "cancelled")
MIB = 1 << 20
# How much of the commits before a move the picture may show.
BEFORE = 60


class Round:
    """A pass over the memory, as QEMU counts them."""

    def __init__(self, start, ram):
        self.start = start
        self.end = None
        self.first = ram
        self.pages = self.bytes = 0
        # What it leaves for the next one.
        self.dirty = 0

    def update(self, ram):
        self.pages = max(self.pages, ram["normal"] - self.first["normal"])
        self.bytes = max(self.bytes, ram["transferred"] - self.first["transferred"])

    def estimate(self):
        """The seconds that a pause would take at its end, as fast as it was."""
        return self.dirty * (self.end - self.start) / max(self.pages, 1)


class Move:
    """run() returns when the TD runs on the other host; after begin(), anything may happen."""

    def __init__(self, number, source, destination, report):
        self.number = number
        self.source = source
        self.destination = destination
        self.report = report
        self.rounds = []
        self.samples = []
        self.info = None
        # What KVM of the source had counted before.
        self.before = {}
        self.last = {"normal": 0, "transferred": 0}
        self.begun = self.stopped = self.resumed = self.migrated = None
        self.private = self.private_bytes = 0

    def begin(self):
        report = self.report
        report.say(f"move {self.number}: host {self.source.name} -> host {self.destination.name}")
        report.detail(f"{self.destination.name}# td -incoming tcp:0:{MIGRATION_PORT} ...")
        self.destination.start_td(incoming=True)
        self.before = self.source.statistics()
        uri = f"tcp:{self.destination.name}:{MIGRATION_PORT}"
        qmp = self.source.qmp
        qmp.ask("migrate-set-parameters", downtime_limit=DOWNTIME_MS)
        report.detail(f"{self.source.name}(qemu) migrate -d {uri}")
        self.begun = time.monotonic()
        qmp.ask("migrate", uri=uri)

    def query(self):
        return self.source.qmp.ask("query-migrate")

    def run(self):
        report, qmp = self.report, self.source.qmp
        self.begin()
        report.table_head()
        self.info = poll(self._look, "the migration does not end", 4 * LIMIT)
        if self.info["status"] != "completed":
            raise Failed(f"the migration has {self.info['status']}: {self.info.get('error-desc', 'no reason')}")
        self.stopped = qmp.first("STOP", self.begun)
        self.migrated = qmp.first("MIGRATION", self.begun, status="completed") or time.monotonic()
        self.resumed = poll(lambda: self.destination.qmp.first("RESUME"), "the TD does not go on", LIMIT)
        after = self.source.statistics()
        self.private = after["exported_pages"] - self.before["exported_pages"]
        self.private_bytes = after["exported_bytes"] - self.before["exported_bytes"]
        self._close_round(self.stopped)
        report.table_rest(self)
        qmp.quit()
        self.source.qmp = None

    def _look(self):
        """Follow the rounds; what query-migrate says once it is over."""
        qmp = self.source.qmp
        info = self.query()
        now = time.monotonic()
        ram = info.get("ram")
        if ram and info["status"] == "active" and not qmp.first("STOP", self.begun):
            count = max(ram["dirty-sync-count"], 1)
            if count > len(self.rounds):
                start = qmp.first("MIGRATION_PASS", self.begun, **{"pass": count}) or now
                if self.rounds:
                    self.rounds[-1].dirty = ram["remaining"] // PAGE_SIZE
                    self._close_round(start)
                self.rounds.append(Round(start, self.last))
            self.rounds[-1].update(ram)
            self.samples.append((now, len(self.rounds), self.rounds[-1].pages))
            self.last = {key: ram[key] for key in ("normal", "transferred")}
            self.report.status(f"round {len(self.rounds)}: {self.rounds[-1].pages:,} pages sent, "
                               f"{ram['remaining'] // PAGE_SIZE:,} to go")
        if info.get("status") in ENDED:
            return info
        return None

    def _close_round(self, when):
        if self.rounds and self.rounds[-1].end is None:
            self.rounds[-1].end = max(when, self.rounds[-1].start)
            self.report.table_row(len(self.rounds), self.rounds[-1])

    # Numbers

    @property
    def pages(self):
        return self.info["ram"]["normal"]

    @property
    def shared(self):
        return max(self.pages - self.private, 0)

    @property
    def bytes(self):
        return self.info["ram"]["transferred"]

    @property
    def rest(self):
        return self.pages - self.last["normal"]

    def write_record(self, path, since, acks, verdict):
        """For demo/picture, see demo/record_format.h."""
        def us(when):
            return int((when - since) * 1e6)
        hosts = list(HOSTS)
        lines = [(us(self.begun), "migrate"), (us(self.stopped), "stopped"),
                 (us(self.resumed), "resumed"), (us(max(self.migrated, self.resumed)), "migrated")]
        lines += [(us(ack), f"tick vm={1 if ack < self.resumed else 2}")
                  for ack in acks if ack > self.begun - BEFORE]
        lines += [(us(when), f"progress round={number} pages={pages}") for when, number, pages in self.samples]
        for number, done in enumerate(self.rounds, 1):
            lines.append((us(done.end), f"phase start={us(done.start)} round={number} pages={done.pages} "
                                        f"bytes={done.bytes} memory"))
            if done.dirty:
                lines.append((us(done.end), f"round number={number} dirty={done.dirty} "
                                            f"estimate={us(since + done.estimate())}"))
        lines.append((us(self.resumed), f"phase start={us(self.stopped)} round=0 pages={self.rest} "
                                        f"bytes={self.bytes - self.last['transferred']} rest"))
        lines.sort(key=lambda line: line[0])
        first = lines[0][0]
        with open(path, "w") as record:
            print(f"# trace: {first} begin version=1 memory={MEMORY_MIB * MIB} vcpus={VCPUS} streams=1 "
                  f"target={DOWNTIME_MS * 1000}", file=record)
            print(f"# trace: {first} hosts from={hosts.index(self.source.name) + 1} "
                  f"to={hosts.index(self.destination.name) + 1}", file=record)
            for when, what in lines:
                print(f"# trace: {when} {what}", file=record)
            print(f"# trace: {lines[-1][0]} end checked={verdict.acknowledged} "
                  f"bad={len(verdict.lost) + len(verdict.repeated)} passed={int(verdict.good)}", file=record)
