# SPDX-License-Identifier: GPL-2.0
"""A host: the machine, a shell in it, and QEMU with the TD."""

import os
import shlex
import shutil
import signal
import subprocess
import threading

from check import Failed, poll
from qmp import Qmp
from settings import BUILD, HOSTS, LIMIT, LOGS, MEMORY_MIB, OUT, QMP_PORT, SHELL_PORT, TOP, VCPUS

MAC = "52:54:00:00:01:09"
MIGRATION_PORT = 4444


class Host:
    """host/run.sh with this host's name.  What it says is in a log."""

    def __init__(self, name, gateway, obj, kernel):
        self.name = name
        self.gateway = gateway
        self.kernel = kernel
        self.address = HOSTS[name]
        self.log = f"{LOGS}/host-{name}.log"
        self.qmp = None
        self.starts = 0
        # What the TD has said here.
        self.console = []
        env = {**os.environ, "HOST_NAME": name, "SHARE": f"{OUT}/share", "LIMIT": str(12 * LIMIT),
               "HOST_DEVICES": "\n".join(gateway.host_devices(name))}
        with open(self.log, "a") as log:
            # A group of its own, to end all of it.
            self.process = subprocess.Popen([f"{TOP}/host/run.sh", obj, "/share/node"], env=env, stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    # The machine

    def alive(self):
        return self.process.poll() is None

    def is_ready(self):
        """Whether it has booted."""
        if not self.alive():
            raise Failed(f"host {self.name} has ended")
        return self.shell("echo ready", 5) == "ready\n"

    def shell(self, command, limit=LIMIT):
        """What a command says, or what it has said if the connection breaks."""
        said = b""
        try:
            with self.gateway.connect(self.address, SHELL_PORT, limit) as sock:
                sock.sendall(f"{command}\nexit\n".encode())
                while data := sock.recv(65536):
                    said += data
        except OSError:
            pass
        return said.decode(errors="replace")

    def end(self):
        """Let the machine end by itself; nothing may have gone wrong in it."""
        self.shell("kill $(cat /run/node.pid)")
        try:
            status = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise Failed(f"host {self.name} does not end") from None
        if status:
            raise Failed(f"something has gone wrong on host {self.name}, see {self.log}")

    def kill(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)

    def lose_power(self):
        """What its kernel has said is kept in the logs, as the next boot of this host removes it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for name in ("console", "results"):
            shutil.copy(f"{BUILD}/run-host-{self.name}/{name}.log", f"{LOGS}/host-{self.name}.lost.{name}")

    # The TD

    def td_command(self, incoming=False):
        """As anybody would type it in this host."""
        words = ["td"]
        if incoming:
            words += ["-incoming", f"tcp:0:{MIGRATION_PORT}"]
        words += ["-smp", str(VCPUS), "-m", f"{MEMORY_MIB}M",
                  "-kernel", f"/usr/lib/modules/{self.kernel}/vmlinuz", "-initrd", "/share/td.cpio",
                  "-append", "console=ttyS0 loglevel=4 pci=lastbus=0", *self.gateway.disks(),
                  "-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no",
                  "-device", f"virtio-net-pci,netdev=net,romfile=,mac={MAC}",
                  "-qmp", f"tcp:{self.address}:{QMP_PORT},server=on,wait=off"]
        return words

    def start_td(self, incoming=False):
        self.starts += 1
        files = f"/run/td.{self.starts}"
        self.shell(f"{shlex.join(self.td_command(incoming))} </dev/null >{files}.console 2>{files}.err & "
                   "echo $! >/run/td.pid")
        threading.Thread(target=self._follow, args=(f"{files}.console",), daemon=True).start()
        self.qmp = poll(self._connect, f"QEMU does not start on host {self.name}", LIMIT)
        self.qmp.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
        return self

    def _connect(self):
        if self.qemu() == "gone":
            raise Failed(f"QEMU ends at once on host {self.name}")
        try:
            return Qmp(f"host {self.name}", self.gateway.connect(self.address, QMP_PORT, 10))
        except (OSError, Failed):
            return None

    def _follow(self, path):
        """Keep what the TD says, here and in a log."""
        try:
            with self.gateway.connect(self.address, SHELL_PORT) as sock, \
                    open(f"{LOGS}/td-{self.name}.console", "a") as log:
                sock.settimeout(None)
                sock.sendall(f"exec tail -n +1 -f {path}\n".encode())
                for line in sock.makefile("r", errors="replace"):
                    self.console.append(line.rstrip())
                    print(line, end="", file=log, flush=True)
        except OSError:
            pass

    def said(self, text):
        return next((line for line in self.console if text in line), None)

    def statistics(self):
        """What KVM counts about the migrations of this TD."""
        said = self.shell("cd /sys/kernel/debug/kvm/$(cat /run/td.pid)-*/ && grep . tdx_mig_*")
        values = dict(line[len("tdx_mig_"):].split(":") for line in said.splitlines() if line.startswith("tdx_mig_"))
        if not values:
            raise Failed(f"KVM of host {self.name} has no statistics of migrations")
        return {key: int(value) for key, value in values.items()}

    def qemu(self):
        """Whether QEMU "runs" or is "gone"; nothing if the host does not answer."""
        # Unlike kill -0, this tells a zombie from a process that runs.
        return self.shell("readlink /proc/$(cat /run/td.pid)/exe >/dev/null && echo runs || echo gone").strip()

    def pull_plug(self):
        """The TD loses its power."""
        self.shell("kill -KILL $(cat /run/td.pid)")

    def errors(self):
        """What QEMU has said, but for warnings."""
        return self.shell(f"grep '^qemu-system' /run/td.{self.starts}.err | grep -v warning:").splitlines()

    def save_messages(self):
        """Those of QEMU, to the logs."""
        if self.alive() and self.starts:
            said = self.shell("tail -n 100 /run/td.*.err /run/migtd.log", 20)
            with open(f"{LOGS}/qemu-{self.name}.log", "w") as log:
                log.write(said)
