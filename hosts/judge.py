#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Compare the ledger of the client with the database, once nobody uses that any more.

Usage: judge.py LEDGER DATABASE SEED
A line of the ledger: NUMBER SENT [ACKNOWLEDGED].  A commit that has been acknowledged has
to be in the database, once; the last one that was sent may be.
"""

import collections
import hashlib
import sqlite3
import sys

SCHEMA = "CREATE TABLE commits(place INTEGER PRIMARY KEY, number INTEGER, text TEXT);"


def text(seed, number):
    """What belongs to a number."""
    return hashlib.sha256(f"{seed} {number}".encode()).hexdigest()


class Verdict:
    """What is wrong with a database."""

    def __init__(self, acknowledged, sent, rows, seed):
        counts = collections.Counter(number for _, number, _ in rows)
        self.acknowledged = len(acknowledged)
        self.in_database = len(rows)
        self.lost = sorted(acknowledged - counts.keys())
        self.repeated = sorted(number for number, count in counts.items() if count > 1)
        self.strange = sorted(counts.keys() - sent)
        self.altered = sorted(number for _, number, has in rows if has != text(seed, number))
        numbers = [number for _, number, _ in sorted(rows)]
        self.order = numbers == sorted(numbers)

    @property
    def good(self):
        return (self.acknowledged > 0 and self.order and
                not (self.lost or self.repeated or self.strange or self.altered))

    def __str__(self):
        def some(what, numbers):
            more = ", ..." if len(numbers) > 5 else ""
            return f"{what} {len(numbers)}" + (f" ({', '.join(map(str, numbers[:5]))}{more})" if numbers else "")
        said = [f"{self.acknowledged} commits acknowledged, {self.in_database} in the database: "
                + some("lost", self.lost), some("repeated", self.repeated)]
        said += [some(what, numbers) for what, numbers in
                 (("never sent", self.strange), ("altered", self.altered)) if numbers]
        return ", ".join(said) + ("" if self.order else ", out of order")


def read_ledger(path):
    """Which numbers have been acknowledged, and sent."""
    acknowledged, sent = set(), set()
    with open(path) as ledger:
        for line in ledger:
            words = line.split()
            sent.add(int(words[0]))
            if len(words) > 2:
                acknowledged.add(int(words[0]))
    return acknowledged, sent


def judge(ledger, database, seed):
    with sqlite3.connect(database) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        rows = connection.execute("SELECT place, number, text FROM commits").fetchall()
    return Verdict(*read_ledger(ledger), rows, seed)


def main():
    try:
        verdict = judge(*sys.argv[1:])
    except (sqlite3.Error, OSError, ValueError) as error:
        sys.exit(f"the database cannot be judged: {error}")
    print(verdict)
    sys.exit(0 if verdict.good else 1)


if __name__ == "__main__":
    main()
