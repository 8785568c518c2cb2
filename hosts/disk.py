# SPDX-License-Identifier: GPL-2.0
"""The disk of the database, once nobody uses it any more."""

import os
import subprocess

from check import Failed


def read_database(image, folder):
    """Take it from the disk as a machine that boots again after a power failure.

    Returns where it is.  SQLite does the rest when it opens it.
    """
    said = subprocess.run(["e2fsck", "-f", "-p", image], capture_output=True, text=True, check=False)
    # 1: the journal has been replayed.
    if said.returncode > 1:
        raise Failed(f"the file system of the database is damaged: {said.stdout}")
    database = f"{folder}/ledger.db"
    for name in (database, f"{database}-wal", f"{database}-shm"):
        if os.path.exists(name):
            os.unlink(name)
    for name in (database, f"{database}-wal"):
        subprocess.run(["debugfs", "-R", f"dump /{os.path.basename(name)} {name}", image],
                       capture_output=True, check=True)
    return database
