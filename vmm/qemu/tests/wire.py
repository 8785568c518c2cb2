# SPDX-License-Identifier: GPL-2.0
"""A TCP connection of which nothing arrives any more, as when a host loses its power."""

import contextlib
import ctypes
import os
import re
import socket
import struct

from check import Failed, expect

SYS_PIDFD_GETFD = 438
SO_ATTACH_FILTER = 26
# BPF_RET | BPF_K: take nothing.
TAKE_NOTHING = struct.pack("<HBBI", 0x06, 0, 0, 0)
ESTABLISHED = "01"

LIBC = ctypes.CDLL(None, use_errno=True)


def _inodes(port):
    """Of the sockets of connections to a port."""
    found = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(path) as f:
            for words in (line.split() for line in f):
                ports = [int(words[i].rsplit(":", 1)[1], 16) for i in (1, 2) if ":" in words[i]]
                if port in ports and words[3] == ESTABLISHED:
                    found.add(words[9])
    return found


def _sockets(td, port):
    """Numbers that those sockets have in a process."""
    inodes = _inodes(port)
    folder = f"/proc/{td.process.pid}/fd"
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{number}"))
            if match and match[1] in inodes:
                yield int(number)


def _take_nothing(pidfd, number):
    fd = LIBC.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        raise Failed(f"a socket cannot be had: {os.strerror(ctypes.get_errno())}")
    code = ctypes.create_string_buffer(TAKE_NOTHING)
    with socket.socket(fileno=fd) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))


def cut(migration):
    """Neither side of a migration hears of the other one any more."""
    port = int(migration.uri.rsplit(":", 1)[1])
    for td in (migration.source, migration.destination):
        pidfd = os.pidfd_open(td.process.pid)
        numbers = list(_sockets(td, port))
        expect(numbers, f"{td.name} has no connection")
        for number in numbers:
            _take_nothing(pidfd, number)
        os.close(pidfd)
