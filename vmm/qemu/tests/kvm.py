# SPDX-License-Identifier: GPL-2.0
"""The module kvm-intel of this host, which can be loaded in another way while there is no VM."""

import ctypes
import os

from check import poll

SYS_DELETE_MODULE = 176
SYS_FINIT_MODULE = 313
# That of the machine, whose root is not ours.
PATH = "/proc/1/root/modules/kvm-intel.ko"
NAME = b"kvm_intel"
MIGRATES = "tdx=1 tdx_mig=1"
PARAMETER = "/sys/module/kvm_intel/parameters/tdx_mig"

LIBC = ctypes.CDLL(None, use_errno=True)


def _call(*arguments):
    if LIBC.syscall(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _unload():
    try:
        _call(SYS_DELETE_MODULE, NAME, os.O_NONBLOCK)
    except FileNotFoundError:
        pass
    except BlockingIOError:
        # The last VM may take a moment.
        return False
    return True


def reload(parameters):
    """There must be no VM any more."""
    poll(_unload, "kvm-intel is still in use")
    with open(PATH, "rb") as f:
        _call(SYS_FINIT_MODULE, f.fileno(), parameters.encode(), 0)


def _migrates():
    try:
        with open(PARAMETER) as f:
            return f.read() == "Y\n"
    except FileNotFoundError:
        return False


def restore():
    """Back to what all others need, unless that is the case."""
    if not _migrates():
        reload(MIGRATES)
