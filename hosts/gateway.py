# SPDX-License-Identifier: GPL-2.0
"""What is outside of both hosts: the network of the TD, and the storage.

A QEMU without a machine plays them.  It joins the cables of the hosts and forwards ports
of this machine to them, so a connection to the TD outlives a move; and it exports the
disks of the TD by NBD to both hosts, as a storage server does.
"""

import socket
import subprocess

from check import Failed
from qmp import connect_unix
from settings import BUILD, DATABASE_PORT, GATEWAY, HOSTS, LOGS, OUT, QMP_PORT, SHELL_PORT, TD


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    try:
        for sock in socks:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


class Gateway:
    """The process, and how to reach what is behind it."""

    def __init__(self):
        targets = [(address, port) for address in HOSTS.values() for port in (SHELL_PORT, QMP_PORT)]
        targets.append((TD, DATABASE_PORT))
        ports = free_ports(len(targets) + 1)
        self.nbd_port = ports.pop()
        self.ports = dict(zip(targets, ports))

        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{port}-{address}:{target}"
                           for (address, target), port in self.ports.items())
        command = ["qemu-system-x86_64", "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none",
                   "-qmp", f"unix:{OUT}/gateway.qmp,server=on,wait=off",
                   "-netdev", f"user,id=outside,net=10.0.1.0/24,host={GATEWAY},dns=10.0.1.253,dhcpstart=10.0.1.200"
                   + forwards,
                   "-netdev", "hubport,id=port,hubid=0,netdev=outside",
                   "-blockdev", f"file,node-name=debian,read-only=on,filename={BUILD}/host/root.img",
                   "-blockdev", f"file,node-name=database,filename={OUT}/database.img"]
        for name in HOSTS:
            command += ["-netdev", f"dgram,id={name},local.type=unix,local.path={OUT}/gateway.{name},"
                        f"remote.type=unix,remote.path={OUT}/host.{name}",
                        "-netdev", f"hubport,id=port-{name},hubid=0,netdev={name}"]
        with open(f"{LOGS}/gateway.log", "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.qmp = connect_unix("the gateway", f"{OUT}/gateway.qmp", lambda: self.process.poll() is None)
        self.qmp.ask("nbd-server-start", addr={
            "type": "inet", "data": {"host": "127.0.0.1", "port": str(self.nbd_port)}})
        for node in ("debian", "database"):
            self.qmp.ask("block-export-add", type="nbd", id=node, node_name=node, writable=node == "database")

    @staticmethod
    def host_devices(name):
        """The second network card of a host, as options of QEMU."""
        return ("-netdev", f"dgram,id=service,local.type=unix,local.path={OUT}/host.{name},"
                f"remote.type=unix,remote.path={OUT}/gateway.{name}",
                "-device", f"virtio-net-pci,netdev=service,romfile=,mac=52:54:00:00:01:0{name}")

    def connect(self, address, port, timeout=10.0):
        """A connection to a port behind the gateway; whether anybody listens shows later."""
        return socket.create_connection(("127.0.0.1", self.ports[address, port]), timeout=timeout)

    def disks(self):
        """The disks of the TD, as options of QEMU."""
        for node, more in (("debian", ",readonly=on"), ("database", "")):
            yield from ("-drive", f"if=none,id={node},format=raw{more},file=nbd://{GATEWAY}:{self.nbd_port}/{node}",
                        "-device", f"virtio-blk-pci,drive={node}")

    def end(self):
        """What has been written is in the images then."""
        if self.process.poll() is None:
            self.qmp.quit()
            if self.process.wait(60):
                raise Failed("the gateway ends with an error")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
