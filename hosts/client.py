# SPDX-License-Identifier: GPL-2.0
"""The client of the database.

It commits one number after another, each when the one before it has been acknowledged,
over one connection, and keeps a ledger of its own.  SQLite acknowledges what is on the
disk: it runs with synchronous=FULL.
"""

import socket
import threading
import time

import judge
from check import Failed
from settings import DATABASE_PORT, LIMIT, TD


class Client(threading.Thread):
    """It runs until it is told to stop, or something is wrong."""

    def __init__(self, gateway, ledger, seed):
        super().__init__(daemon=True)
        self.ledger = ledger
        self.seed = seed
        # When each commit was acknowledged.
        self.acks = []
        self.error = None
        self.stopped = threading.Event()
        self.sock = gateway.connect(TD, DATABASE_PORT, LIMIT)
        self.answers = self.sock.makefile("r")

    def ask(self, sql, answer):
        self.sock.sendall(sql.encode() + b"\n")
        said = self.answers.readline().rstrip("\n")
        if said != answer:
            raise Failed(f"the database says '{said}' instead of '{answer}'" if said else
                         "the connection to the database is lost")

    def open(self):
        """Whether there is a database at the other end."""
        try:
            self.ask("PRAGMA journal_mode=WAL;", "wal")
        except (OSError, Failed):
            return False
        self.ask(f"PRAGMA synchronous=FULL; PRAGMA synchronous; {judge.SCHEMA}", "2")
        return True

    def run(self):
        number = 0
        try:
            with open(self.ledger, "w") as ledger:
                while not self.stopped.is_set():
                    number += 1
                    sent = time.monotonic()
                    print(number, f"{sent:.6f}", end=" ", file=ledger, flush=True)
                    # A row more for each commit: what was lost or repeated would show at once.
                    self.ask(f"INSERT INTO commits(number, text) VALUES({number}, '{judge.text(self.seed, number)}'); "
                             "SELECT 'committed', number, place FROM commits ORDER BY place DESC LIMIT 1;",
                             f"committed|{number}|{number}")
                    now = time.monotonic()
                    print(f"{now:.6f}", file=ledger, flush=True)
                    self.acks.append(now)
        except (OSError, Failed) as error:
            self.error = error

    def check(self):
        if self.error:
            raise Failed(f"the client, after {len(self.acks)} commits: {self.error}")

    def stop(self):
        self.stopped.set()
        self.join(LIMIT)
        self.check()

    def give_up(self):
        """The other end is no more."""
        self.stopped.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.join(LIMIT)

    def count(self, since, until):
        return sum(since <= ack < until for ack in self.acks)

    def longest_gap(self, since, until):
        """Between acknowledgements, the last one before and the first one after included."""
        acks = self.acks
        gaps = [(b - a, a) for a, b in zip(acks, acks[1:]) if b >= since and a <= until]
        return max(gaps)[0] if gaps else 0.0
