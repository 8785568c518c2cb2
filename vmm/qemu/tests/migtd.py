# SPDX-License-Identifier: GPL-2.0
"""The migration TDs of a host: a daemon that has one for whoever connects."""

import os
import subprocess

import settings
from check import poll

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

    def listens(self):
        with open("/proc/net/unix") as f:
            words = [line.split() for line in f]
        return any(word[-1] == self.path and int(word[3], 16) & SO_ACCEPTCON for word in words[1:])

    def stop(self):
        self.process.kill()
        self.process.wait()
