# SPDX-License-Identifier: GPL-2.0
"""The monitor of a QEMU somewhere on the network."""

import json
import queue
import socket
import threading
import time

from check import Failed, poll
from settings import LIMIT


class Qmp:
    """A connection.  Events are kept with the time at which they have arrived."""

    def __init__(self, name, sock):
        self.name = name
        self.sock = sock
        self.sock.settimeout(None)
        self.events = []
        self.answers = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.ask("qmp_capabilities")

    def _read(self):
        try:
            for line in self.sock.makefile("r"):
                message = json.loads(line)
                if "event" in message:
                    self.events.append((time.monotonic(), message["event"], message.get("data", {})))
                elif "QMP" not in message:
                    self.answers.put(message)
        except OSError:
            pass
        self.answers.put(None)

    def _send(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")

    def ask(self, command, **arguments):
        """What a command returns; _ in the name of an argument stands for -."""
        try:
            self._send(command, **{key.replace("_", "-"): value for key, value in arguments.items()})
            answer = self.answers.get(timeout=LIMIT)
        except queue.Empty:
            raise Failed(f"{self.name}: {command} is not answered") from None
        except OSError:
            answer = None
        if answer is None:
            raise Failed(f"{self.name}: QEMU is gone")
        if "error" in answer:
            raise Failed(f"{self.name}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def quit(self):
        """End QEMU, which may be gone before its answer has left the host."""
        self._send("quit")
        self.reader.join(LIMIT)
        if self.reader.is_alive():
            raise Failed(f"{self.name}: QEMU does not end")
        self.sock.close()

    def first(self, name, since=0.0, **data):
        """When an event has arrived, or None."""
        for when, event, has in list(self.events):
            if event == name and when >= since and data.items() <= has.items():
                return when
        return None


def connect_unix(name, path, alive):
    """The monitor of a QEMU on this machine, which may still have to create it."""
    def look():
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return Qmp(name, sock)
        except OSError:
            sock.close()
        if not alive():
            raise Failed(f"{name}: QEMU does not start")
        return None
    return poll(look, f"{name}: QEMU has no monitor", LIMIT)
