# SPDX-License-Identifier: GPL-2.0
"""The migration TDs of a host: a daemon that has one for whoever connects."""

import os
import re
import signal
import subprocess

import settings
from check import expect, poll

# Of the flags in /proc/net/unix.
SO_ACCEPTCON = 1 << 16


class Migtd:
    """A daemon and its socket."""

    def __init__(self, name):
        self.path = f"{settings.RUN}/{name}.migtd"
        self.stderr = f"{settings.RUN}/{name}.migtd.err"
        self.process = None

    def start(self):
        if self.process and self.process.poll() is None:
            return self
        if os.path.exists(self.path):
            os.unlink(self.path)
        with open(self.stderr, "a") as stderr:
            self.process = subprocess.Popen([settings.MIGTD, "--listen", self.path],
                                            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        poll(self.listens, "the migration TDs have no socket")
        return self

    def _sockets(self):
        """Flags of those that have this path."""
        with open("/proc/net/unix") as f:
            words = [line.split() for line in f]
        return [int(word[3], 16) for word in words[1:] if word[-1] == self.path]

    def listens(self):
        expect(self.process.poll() is None, f"the migration TDs end with status {self.process.returncode}")
        return any(flags & SO_ACCEPTCON for flags in self._sockets())

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def wait_client(self):
        """Wait for somebody to connect, who may not be served yet."""
        poll(lambda: not all(flags & SO_ACCEPTCON for flags in self._sockets()), "nobody connects")

    def kill_last(self):
        """End the migration TD of the last client."""
        with open(self.stderr) as f:
            served = re.findall(r"served by process (\d+)", f.read())
        os.kill(int(served[-1]), signal.SIGKILL)

    def stop(self):
        self.process.kill()
        self.process.wait()
