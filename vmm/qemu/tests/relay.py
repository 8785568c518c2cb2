# SPDX-License-Identifier: GPL-2.0
"""What lies between source and destination, and can hold back what decides, or lie."""

import os
import socket
import struct
import threading

import settings
from check import Failed

# The header of what the destination says: type and length.
HEADER = struct.Struct(">HH")
# The last that it says: whether it has loaded all.
SHUT = 1
# It wants memory.
REQ_PAGES_ID = 3
# It has all but the start token.
READY = 8, b"\x02"


def request(block, start, size):
    """What the destination says to get memory."""
    name = block.encode()
    data = struct.pack(">QIB", start, size, len(name)) + name
    return HEADER.pack(REQ_PAGES_ID, len(data)) + data


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


class Relay:
    """
    A socket for the source, of which all goes to that of the destination.  The last answer is
    held back, or, with token, the start token and all that follows.
    """

    def __init__(self, path, token=False):
        self.path = path
        self.token = token
        self.ready = threading.Event()
        self.destination = path + ".destination"
        self.loaded = threading.Event()
        self.released = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.ends = []
        self.is_cut = False
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        source, _ = self.listener.accept()
        destination = socket.socket(socket.AF_UNIX)
        self.ends = [source, destination]
        try:
            destination.connect(self.destination)
            threading.Thread(target=self.forward, args=(source, destination), daemon=True).start()
            self.answer(destination, source)
        except OSError:
            pass
        self.end()

    def forward(self, source, destination):
        try:
            while data := source.recv(1 << 16):
                if self.ready.is_set():
                    self.loaded.set()
                    self.released.wait()
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            self.end()

    def answer(self, destination, source):
        while True:
            header = read_exactly(destination, HEADER.size)
            kind, size = HEADER.unpack(header)
            data = read_exactly(destination, size)
            if self.token:
                if (kind, data) == READY:
                    self.ready.set()
            elif kind == SHUT:
                self.loaded.set()
                self.released.wait()
                if self.is_cut:
                    raise ConnectionError
            source.sendall(header + data)

    def say(self, message):
        """Something that the destination has not said."""
        self.ends[0].sendall(message)

    def wait_loaded(self):
        """What is to be held back is here."""
        if not self.loaded.wait(settings.LIMIT):
            raise Failed("the destination does not answer")

    def release(self):
        self.released.set()

    def end(self):
        """Nothing goes through any more, be it held back."""
        self.is_cut = self.is_cut or not self.released.is_set()
        self.released.set()
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def remove(self):
        self.end()
        self.listener.close()
        os.unlink(self.path)
