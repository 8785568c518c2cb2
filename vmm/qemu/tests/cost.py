# SPDX-License-Identifier: GPL-2.0
"""What has been spent so far: SEAMCALLs of the host, ioctls on streams, copies, and time of the CPUs."""

import collections
import os
import re

# Of the platform's module; both QEMUs are on this host.
LEAVES = "/sys/kernel/debug/tdx_sim/leaves"
EXPORT = {65: "EXPORT.BLOCKW", 68: "EXPORT.MEM", 71: "EXPORT.TRACK", 75: "EXPORT.UNBLOCKW"}
IMPORT = {83: "IMPORT.MEM", 84: "IMPORT.TRACK"}
STATE = {70: "", 72: "", 73: "", 74: "", 81: "", 82: "", 85: "", 86: "", 87: ""}
TICKS = os.sysconf("SC_CLK_TCK")


def seamcalls():
    """Calls of each leaf of the host that belongs to a migration."""
    calls = collections.Counter()
    with open(LEAVES) as f:
        for line in f:
            side, leaf, count = line.split()
            if side == "host" and int(leaf) in {**EXPORT, **IMPORT, **STATE}:
                calls[{**EXPORT, **IMPORT}.get(int(leaf), "all others of a migration")] += int(count)
    return calls


def ioctls(td):
    """Commands that this QEMU has given to streams, by name."""
    with open(td.stderr, errors="replace") as f:
        return collections.Counter(re.findall(r"^tdx_mig_stream_ioctl stream \d+ (\w+)", f.read(), re.MULTILINE))


def read_ahead(td):
    """What this QEMU wanted to read straight from the channel: sizes, and how much of each it had to copy."""
    with open(td.stderr, errors="replace") as f:
        return [(int(size), int(copied)) for size, copied in
                re.findall(r"^qemu_file_get_direct .*, (\d+) bytes, of which (\d+) ", f.read(), re.MULTILINE)]


def _times(path):
    with open(path) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return [int(ticks) / TICKS for ticks in fields[11:13]]


def cpu_times(td):
    """User and system time of QEMU without that of its vCPUs, in seconds."""
    pid = td.process.pid
    times = _times(f"/proc/{pid}/stat")
    for cpu in td.ask("query-cpus-fast"):
        spent = _times(f"/proc/{pid}/task/{cpu['thread-id']}/stat")
        times = [all_of_it - vcpu for all_of_it, vcpu in zip(times, spent)]
    return times
