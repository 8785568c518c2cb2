# SPDX-License-Identifier: GPL-2.0
"""What one sees: lines that stay, and below them what happens right now."""

import sys
import time

from settings import PAGE_SIZE

MIB = 1 << 20
PLAIN_INTERVAL = 15


def table(*words):
    widths = (14, 9, 11, 10, 12, 9)
    return "             " + "".join(str(word).rjust(width) for word, width in zip(words, widths))


class Report:
    """Lines go to stdout, the status to stderr: rewritten on a terminal, else now and then."""

    def __init__(self):
        self.since = time.monotonic()
        self.live = sys.stderr.isatty()
        self.last_status = self.since
        self.shown = False

    def elapsed(self):
        return time.monotonic() - self.since

    def line(self, text=""):
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self.shown = False
        print(text, flush=True)
        self.last_status = time.monotonic()

    def say(self, text):
        self.line(f"{self.elapsed():9.1f} s  {text}")

    def detail(self, text):
        self.line(f"             {text}")

    def status(self, text):
        now = time.monotonic()
        if self.live:
            sys.stderr.write(f"\r\033[K{self.elapsed():9.1f} s  {text} ")
            self.shown = True
        elif now - self.last_status > PLAIN_INTERVAL:
            self.last_status = now
            sys.stderr.write(f"{self.elapsed():9.1f} s  ({text})\n")
        sys.stderr.flush()

    # Rounds

    def table_head(self):
        self.line(table("", "pages", "sent", "time", "rate", "dirty"))

    def table_row(self, number, done):
        seconds = done.end - done.start
        rate = f"{done.bytes / MIB / seconds:.1f} MiB/s" if seconds else ""
        self.line(table(f"round {number}", f"{done.pages:,}", f"{done.bytes / MIB:.1f} MiB",
                        f"{seconds:.2f} s", rate, f"{done.dirty:,}" if done.dirty else ""))

    def table_rest(self, move):
        self.line(table("TD paused", f"{move.rest:,}", f"{(move.bytes - move.last['transferred']) / MIB:.1f} MiB",
                        f"{move.resumed - move.stopped:.2f} s"))

    def summary(self, moves, client, verdict):
        self.line()
        self.line("== report")
        begin = client.acks[0]
        for number, move in enumerate(moves, 1):
            total = max(move.migrated, move.resumed) - move.begun
            gap = client.longest_gap(move.begun, max(move.migrated, move.resumed))
            self.line(f"move {number}: host {move.source.name} -> host {move.destination.name}, {total:.1f} s in all "
                      f"(QEMU: {move.info['total-time'] / 1000:.1f} s)")
            self.line(f"  memory      {move.pages:,} pages, {move.bytes / MIB:.1f} MiB sent: "
                      f"{move.private:,} private pages ({move.private_bytes / MIB:.1f} MiB), "
                      f"{move.shared:,} shared ({move.shared * PAGE_SIZE / MIB:.1f} MiB), "
                      f"and {move.info['ram']['duplicate']:,} of zeroes")
            self.line(f"  downtime    {gap:.2f} s without an acknowledgement, as the client saw it; "
                      f"{move.info['downtime'] / 1000:.2f} s says QEMU")
            self.line(f"  commits     {client.count(begin, move.begun):,} before, "
                      f"{client.count(move.begun, move.resumed):,} during the move, "
                      f"{client.count(move.resumed, float('inf')):,} after it")
        self.line(f"database: {verdict}")
        self.line("PASSED" if verdict.good else "FAILED")
