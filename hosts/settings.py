# SPDX-License-Identifier: GPL-2.0
"""Where things are, and how long they may take."""

import os
import random

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("BUILD", f"{TOP}/build")
OUT = f"{BUILD}/hosts"
LOGS = f"{OUT}/logs"

MOVES = int(os.environ.get("MOVES", "1"))
VCPUS = int(os.environ.get("VCPUS", "1"))
# The host that loses its power in a move, or none, and what draws the moment.
PULL = os.environ.get("PULL", "")
SEED = int(os.environ.get("SEED") or random.randrange(1 << 30))
# No wait is longer.  It says nothing about how long anything should take.
LIMIT = 300 * int(os.environ.get("SLOW", "1"))

MEMORY_MIB = 256
PAGE_SIZE = 4096
# What the operator allows for QEMU's guess of the downtime.
DOWNTIME_MS = 1000

# The network of TDs, storage and clients.  The hosts move TDs over another one.
HOSTS = {"a": "10.0.1.1", "b": "10.0.1.2"}
TD = "10.0.1.9"
GATEWAY = "10.0.1.254"
SHELL_PORT, QMP_PORT, DATABASE_PORT = 23, 4445, 5432

