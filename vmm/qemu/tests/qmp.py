# SPDX-License-Identifier: GPL-2.0
"""The monitor of QEMU."""

import json
import socket
import time


class QmpError(Exception):
    """QEMU refuses a command."""


class QmpGone(Exception):
    """QEMU has closed the connection."""


class Qmp:
    """A connection to the monitor.  Events are kept until somebody asks for them."""

    def __init__(self, path, alive, limit):
        self.limit = limit
        self.sock = connect(path, alive, limit)
        self.buf = b""
        self.events = []
        self.requests = 0
        greeting = self._read(limit)
        oob = "oob" in greeting["QMP"]["capabilities"]
        self.ask("qmp_capabilities", enable=["oob"] if oob else [])

    def _read(self, limit):
        """The next object, or None if none comes in time."""
        deadline = time.monotonic() + limit
        while b"\n" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                return None
            except ConnectionError as gone:
                raise QmpGone("QEMU is gone") from gone
            if not data:
                raise QmpGone("QEMU has closed its monitor")
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)

    def _send(self, request, fds=()):
        self.requests += 1
        request["id"] = self.requests
        data = json.dumps(request).encode() + b"\n"
        try:
            if fds:
                socket.send_fds(self.sock, [data], fds)
            else:
                self.sock.sendall(data)
        except ConnectionError as gone:
            raise QmpGone("QEMU is gone") from gone

    def _answer(self, command, limit):
        """What comes back for the last request; nobody waits for those before."""
        while True:
            answer = self._read(limit)
            if answer is None:
                raise TimeoutError(f"{command} has not been answered in {limit} s")
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") != self.requests:
                continue
            elif "error" in answer:
                raise QmpError(answer["error"]["desc"])
            else:
                return answer["return"]

    def ask(self, command, fds=(), **arguments):
        """What a command returns; _ in the name of an argument stands for -."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self._send({"execute": command, "arguments": arguments}, fds)
        return self._answer(command, self.limit)

    def tell(self, command, **arguments):
        """Give a command that is carried out, or refused, at some time."""
        self._send({"execute": command, "arguments": arguments})

    def ask_now(self, command, **arguments):
        """The same for a command that does not wait for those before it."""
        self._send({"exec-oob": command, "arguments": arguments})
        return self._answer(command, self.limit)

    def wait_event(self, name, limit=None, **data):
        """The first event of a name with some data; it and those before it are forgotten."""
        deadline = time.monotonic() + (limit or self.limit)
        while True:
            for i, event in enumerate(self.events):
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    del self.events[:i + 1]
                    return event
            message = self._read(max(deadline - time.monotonic(), 0))
            if message is None:
                raise TimeoutError(f"no event {name} {data or ''}")
            if "event" in message:
                self.events.append(message)

    def close(self):
        self.sock.close()


def connect(path, alive, limit):
    """A socket to QEMU, which may still have to create its own."""
    deadline = time.monotonic() + limit
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except OSError:
            sock.close()
        if not alive():
            raise QmpGone("QEMU ends before it has a monitor")
        if time.monotonic() > deadline:
            raise TimeoutError("QEMU has no monitor")
        time.sleep(0.1)
