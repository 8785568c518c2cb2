# SPDX-License-Identifier: GPL-2.0
"""A network of this host and its TDs: a bridge, with a port for each of two QEMUs."""

import contextlib
import socket
import subprocess
import threading

import settings
from check import expect, poll

BRIDGE = "br-td"
HOST = "10.0.7.1"
GUEST = "10.0.7.2"
ECHO_PORT = 7
MAC = "52:54:00:00:07:02"
PAUSE = 0.1


def ip(*words):
    subprocess.run(("ip",) + words, check=True)


class Network:
    """The bridge and its ports."""

    def __init__(self):
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{HOST}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for port in self.ports():
            ip("tuntap", "add", port, "mode", "tap")
            ip("link", "set", port, "master", BRIDGE, "up")

    def remove(self):
        for port in self.ports():
            ip("link", "del", port)
        ip("link", "del", BRIDGE)

    @staticmethod
    def ports():
        return "tap-a", "tap-b"

    @staticmethod
    def devices(port):
        return ("-netdev", f"tap,id=net,ifname={port},script=no,downscript=no",
                "-device", f"virtio-net-pci,netdev=net,romfile=,mac={MAC}")


class Echo(threading.Thread):
    """A connection to the guest, over which numbers come back as they were sent."""

    def __init__(self):
        super().__init__(daemon=True)
        self.received = 0
        self.error = None
        self.ended = threading.Event()
        self.sock = poll(self.connect, "the guest has no network")

    @staticmethod
    def connect():
        try:
            return socket.create_connection((GUEST, ECHO_PORT), timeout=5)
        except OSError:
            return None

    def run(self):
        self.sock.settimeout(settings.LIMIT)
        stream = self.sock.makefile("rb")
        try:
            while not self.ended.wait(PAUSE):
                line = b"number %d\n" % (self.received + 1)
                self.sock.sendall(line)
                answer = stream.readline()
                if answer != line:
                    raise OSError(f"{answer} comes back instead of {line}")
                self.received += 1
        except OSError as error:
            self.error = error

    def check_runs(self, numbers=10):
        """More numbers come back."""
        wanted = self.received + numbers

        def look():
            expect(not self.error, f"the connection to the guest: {self.error}")
            return self.received >= wanted
        poll(look, "the guest does not answer any more")

    def end(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.join()
        self.sock.close()
