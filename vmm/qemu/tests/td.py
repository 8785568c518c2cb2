# SPDX-License-Identifier: GPL-2.0
"""A TD: the process of QEMU, its monitor, and the heartbeats of its guest."""

import glob
import os
import re
import signal
import subprocess
import time

import disk
import settings
from check import Failed, expect, poll
from qmp import Qmp, QmpError, QmpGone

BEAT = re.compile(r"^beat (\d+) up ([0-9.]+) bad (\d+) wrote (\d+) checked (\d+) disk (\d+) net (\d+) rebound (\d+)$",
                  re.MULTILINE)
# What QEMU says in any case, and traces.
NOISE = re.compile(r".*TDX doesn't support requested feature|tdx_mig")


def machine(name, bios, serial, tdx="tdx-guest,id=tdx0"):
    """The command line of a machine that runs a TD."""
    return [
        settings.QEMU, "-L", "/usr/share/qemu", "-name", name,
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", "kvm", "-cpu", "host", "-object", tdx,
        "-machine", "q35,kernel-irqchip=split,confidential-guest-support=tdx0",
        "-bios", bios, "-serial", f"file:{serial}",
    ]


class Beat:
    """A heartbeat of the guest."""

    def __init__(self, match):
        self.number = int(match[1])
        self.up = float(match[2])
        self.bad, self.wrote, self.checked, self.disk, self.net, self.rebound = (
            int(x) for x in match.groups()[2:])


class Config:
    """What source and destination have in common."""

    def __init__(self, vcpus=2, memory="128M", devices=(), options=(), migtd=True, properties="", image=disk.PATH,
                 writes_disk=True):
        self.vcpus = vcpus
        self.memory = memory
        self.devices = disk.devices(image) + tuple(devices)
        self.writes_disk = writes_disk
        self.options = tuple(options) + (("td_disk=1",) if writes_disk else ())
        self.migtd = migtd
        # More of the tdx-guest object.
        self.properties = properties

    def __eq__(self, other):
        return vars(self) == vars(other)

    def arguments(self):
        # The clock of a TD goes on while that is stopped, which is no lockup.
        words = " ".join(("console=ttyS0 loglevel=4 pci=lastbus=0 nosoftlockup rcupdate.rcu_cpu_stall_suppress=1",
                          f"td_cpus={self.vcpus}") + self.options)
        return ["-smp", str(self.vcpus), "-m", self.memory, "-append", words, *self.devices]


class Td:
    """A TD that runs or, with incoming, waits for a migration; with stopped, until it is told to go on."""

    count = 0

    def __init__(self, config, migtd=None, incoming=False, stopped=False):
        Td.count += 1
        self.name = f"td{Td.count}"
        self.config = config
        # What the guest has said where it was before, and how much of it has been checked.
        self.said_before = ""
        self.checked_beats = 0
        # Our clock, and that of the guest, when it has first been seen to run.
        self.first_seen = None
        self.serial = f"{settings.RUN}/{self.name}.serial"
        self.stderr = f"{settings.RUN}/{self.name}.err"
        qmp = f"{settings.RUN}/{self.name}.qmp"
        tdx = "tdx-guest,id=tdx0" + (f",migtd={migtd.path}" if migtd else "") + config.properties
        command = [
            *machine(self.name, "/usr/share/ovmf/OVMF.fd", self.serial, tdx),
            "-kernel", "/host/bzImage", "-initrd", settings.GUEST,
            "-qmp", f"unix:{qmp},server=on,wait=off",
            *config.arguments(),
        ]
        if incoming:
            command += ["-incoming", "defer"]
        if stopped:
            command += ["-S"]
        for pattern in settings.TRACE:
            command += ["-trace", pattern]
        with open(self.serial, "w"), open(self.stderr, "w") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        self.qmp_path = qmp
        self.qmp = None

    def connect(self):
        """Wait until QEMU has created the machine."""
        self.qmp = Qmp(self.qmp_path, self.alive, settings.LIMIT)
        self.qmp.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])

    def ask(self, command, fds=(), **arguments):
        return self.qmp.ask(command, fds, **arguments)

    def trace(self, event):
        self.ask("trace-event-set-state", name=event, enable=True)

    def traced(self, event):
        """How often a trace event has been there."""
        with open(self.stderr, errors="replace") as f:
            return sum(line.startswith(f"{event} ") for line in f)

    # The process

    def alive(self):
        return self.process.poll() is None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()
        if self.qmp:
            self.qmp.close()

    def quit(self):
        try:
            self.ask("quit")
        except QmpGone:
            pass
        status = self.wait_exit()
        expect(status == 0, f"{self.name}: QEMU ends with status {status}")

    def wait_exit(self):
        """The exit status of QEMU, which is about to end."""
        try:
            return self.process.wait(settings.LIMIT)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name}: QEMU does not end") from None
        finally:
            self.qmp.close()

    def errors(self):
        """What QEMU has said."""
        with open(self.stderr, errors="replace") as f:
            return "".join(line for line in f if not NOISE.match(line))

    def status(self):
        return self.ask("query-status")["status"]

    def wait_status(self, *wanted):
        return poll(lambda: self.status() in wanted, f"{self.name} is never {' or '.join(wanted)}")

    def refusal(self, command, **arguments):
        """Why a command is refused."""
        try:
            self.ask(command, **arguments)
        except QmpError as error:
            return str(error)
        raise Failed(f"{command} is not refused")

    def statistics(self):
        """What KVM counts about its migrations."""
        values = {}
        for path in glob.glob(f"/sys/kernel/debug/kvm/{self.process.pid}-*/tdx_mig_*"):
            with open(path) as f:
                values[os.path.basename(path)[len("tdx_mig_"):]] = int(f.read())
        expect(values, f"{self.name}: KVM has no statistics of migrations")
        return values

    # The guest

    def said(self):
        """All that the guest has said, here and before."""
        with open(self.serial, errors="replace") as f:
            return self.said_before + f.read().replace("\r", "")

    def last_beat(self):
        beats = list(BEAT.finditer(self.said()))
        return Beat(beats[-1]) if beats else None

    def wait_beat(self, number):
        """Wait for a heartbeat."""
        def look():
            beat = self.last_beat()
            if beat and beat.number >= number:
                return beat
            expect(self.alive(), f"{self.name}: QEMU has ended with status {self.process.returncode}")
            return None
        return poll(look, f"{self.name}: no heartbeat {number}", 0.2)

    def check_beats(self):
        """All heartbeats are there, once, and the guest has found nothing wrong."""
        said = self.said()
        beats = [Beat(match) for match in BEAT.finditer(said)]
        for before, beat in zip(beats[self.checked_beats:], beats[self.checked_beats + 1:]):
            expect(beat.number == before.number + 1,
                   f"heartbeat {beat.number} follows heartbeat {before.number}")
            expect(beat.up > before.up, f"the clock goes from {before.up} to {beat.up}")
        self.checked_beats = max(len(beats) - 1, 0)
        errors = re.findall("^error: .*", said, re.MULTILINE)
        expect(not errors, "the guest says: " + "; ".join(errors[:3]))
        expect(beats and not beats[-1].bad, "the guest counts errors")
        return beats[-1]

    def check_runs(self, beats=5):
        """The guest runs here, and goes on where it was."""
        expect(self.alive(), f"{self.name}: QEMU has ended with status {self.process.poll()}")
        # A migration has failed before the TD has got all its pages back.
        status = poll(lambda: self.status().replace("finish-migrate", ""),
                      f"{self.name} does not run after its migration")
        expect(status == "running", f"{self.name} does not run: {status}")
        last = self.last_beat()
        now = self.wait_beat((last.number if last else 0) + beats)
        checked = self.check_beats()
        expect(not last or checked.checked > last.checked, "the guest does not check its memory")
        if self.config.writes_disk:
            self.check_writes(last.disk if last else 0)
        self.check_clock(now)

    def check_writes(self, before):
        """More blocks are written to the disk, and none of them is lost."""
        poll(lambda: self.last_beat().disk > before, f"{self.name}: nothing more is written to the disk")
        disk.check(self.check_beats().disk)

    def check_clock(self, beat):
        """The clock of the guest goes as fast as ours."""
        seen = time.monotonic(), beat.up
        if not self.first_seen:
            self.first_seen = seen
        ours, that_of_guest = (now - then for now, then in zip(seen, self.first_seen))
        expect(abs(ours - that_of_guest) < settings.CLOCK_SLACK,
               f"the clock of the guest advances by {that_of_guest:.1f} s in {ours:.1f} s")

    def take_over(self, source):
        """The guest has come from another TD, which has stopped."""
        self.said_before = source.said()
        self.checked_beats = source.checked_beats
        self.first_seen = source.first_seen
