#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The operator, outside of both hosts: start them, a TD, its client, and move the TD.

Usage: main.py OBJDIR DEBIAN-KERNEL    by run.sh
"""

import secrets
import shlex
import signal
import sqlite3
import subprocess
import sys
import time

import judge
import outage
from check import Failed, poll
from client import Client
from disk import read_database
from gateway import Gateway
from host import Host
from move import Move
from report import Report
from settings import HOSTS, LIMIT, LOGS, MEMORY_MIB, MOVES, OUT, PULL, VCPUS

# Between moves: so many commits at least, and for so long.
COMMITS = 20
SECONDS = 6
WIDTH = 110


def let_commit(report, client, where):
    """Let the client work for a while."""
    first, begun = len(client.acks), time.monotonic()

    def look():
        client.check()
        done = len(client.acks) - first
        report.status(f"{done} commits on host {where}")
        return done >= COMMITS and time.monotonic() - begun >= SECONDS
    poll(look, f"the database does not go on, on host {where}", LIMIT)
    done = len(client.acks) - first
    report.say(f"host {where}: {done} commits acknowledged, {done / (time.monotonic() - begun):.1f} per second")


def connect(gateway, seed):
    client = Client(gateway, f"{LOGS}/ledger", seed)
    return client if client.open() else None


def wrapped(prompt, words):
    """A command on as many lines as it needs."""
    lines = [prompt]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) > WIDTH:
            lines[-1] += "\\"
            lines.append("       ")
        lines[-1] += word + " "
    return [line.rstrip() for line in lines]


class Show:
    """All that there is."""

    def __init__(self, obj, kernel):
        self.obj, self.kernel = obj, kernel
        self.report = Report()
        self.gateway = None
        self.hosts = {}
        self.client = None

    def boot_hosts(self, *names):
        for name in names:
            self.hosts[name] = Host(name, self.gateway, self.obj, self.kernel)
        for name in names:
            def look(host=self.hosts[name]):
                self.report.status(f"host {host.name} boots")
                return host.is_ready()
            poll(look, f"host {name} does not boot", LIMIT)

    def boot(self):
        report = self.report
        report.say("booting two hosts, each with KVM, QEMU and migration TDs of its own")
        self.gateway = Gateway()
        self.boot_hosts(*HOSTS)
        report.say(f"the hosts run; starting a TD on host a: TDVF, Debian's Linux, {MEMORY_MIB} MiB, "
                   f"{VCPUS} vCPU{'s' if VCPUS > 1 else ''}")
        for line in wrapped("a# ", self.hosts["a"].td_command()):
            report.detail(line)

    def start_td(self, seed):
        report, host = self.report, self.hosts["a"].start_td()

        def look():
            report.status("the TD boots: " + ("Linux" if host.said("[ ") else "TDVF accepts its memory"))
            return host.said("td: ")
        said = poll(look, "the TD does not boot", 2 * LIMIT)
        if "tdx_guest" not in said:
            raise Failed(f"the TD says '{said}'")
        report.say(said[said.index("td: "):])
        self.client = poll(lambda: connect(self.gateway, seed), "the database does not answer", LIMIT)
        self.client.start()
        report.say("a client outside of both hosts commits to SQLite in the TD, one commit after another")

    def lose_destination(self):
        """The TD stays where it is; the host boots again, for the moves that follow."""
        info = outage.of_destination(self.hosts["a"], self.hosts["b"], self.report)
        self.report.say("the TD runs on, on host a; what query-migrate says:")
        self.report.detail(info.get("error-desc", "nothing"))
        let_commit(self.report, self.client, "a")
        self.boot_hosts("b")
        self.report.say("host b has booted again")

    def lose_source(self):
        """The TD is no more, and nobody has it."""
        said = outage.of_source(self.hosts["a"], self.hosts["b"], self.client, self.report)
        del self.hosts["a"]
        self.report.say("the TD is lost with its host; QEMU on host b has ended, and said:")
        for line in said:
            self.report.detail(line)

    def move(self):
        """All moves."""
        moves, here, there = [], self.hosts["a"], self.hosts["b"]
        for number in range(1, MOVES + 1):
            move = Move(number, here, there, self.report)
            move.run()
            moves.append(move)
            self.report.say(f"the TD runs on host {there.name}, paused for "
                            f"{move.resumed - move.stopped:.2f} s; its connection goes on")
            let_commit(self.report, self.client, there.name)
            here, there = there, here
        self.client.stop()
        self.report.say(f"the TD loses its power on host {here.name}")
        here.pull_plug()
        return moves

    def switch_off(self):
        self.report.say("the hosts are switched off")
        for host in self.hosts.values():
            host.save_messages()
        for host in self.hosts.values():
            host.end()
        self.gateway.end()

    def run(self):
        seed = secrets.token_hex(8)
        self.boot()
        self.start_td(seed)
        let_commit(self.report, self.client, "a")
        moves = []
        if PULL == "a":
            self.lose_source()
        else:
            if PULL == "b":
                self.lose_destination()
            moves = self.move()
        self.switch_off()
        self.report.say("comparing what is on the disk with what the client was told")
        verdict = judge.judge(f"{LOGS}/ledger", read_database(f"{OUT}/database.img", OUT), seed)
        for number, move in enumerate(moves, 1):
            move.write_record(f"{LOGS}/migration-{number}.record", self.report.since, self.client.acks, verdict)
        self.report.summary(moves, self.client, verdict)
        return verdict.good

    def end(self):
        """Whatever has happened, nothing is left."""
        for host in self.hosts.values():
            host.save_messages()
        for host in self.hosts.values():
            host.kill()
        if self.gateway:
            self.gateway.kill()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    show = Show(*sys.argv[1:])
    good = False
    try:
        good = show.run()
    except (Failed, OSError, sqlite3.Error, subprocess.SubprocessError) as error:
        show.report.line(f"FAILED: {error}")
        for name in HOSTS:
            show.report.detail(f"host {name}: {LOGS}/host-{name}.log; its TD: {LOGS}/td-{name}.console, "
                               f"{LOGS}/qemu-{name}.log")
        show.report.detail(f"the client: {LOGS}/ledger; network and storage: {LOGS}/gateway.log")
    except KeyboardInterrupt:
        show.report.line("interrupted")
    finally:
        show.end()
    sys.exit(0 if good else 1)


main()
