# SPDX-License-Identifier: GPL-2.0
"""The disk of a TD, to which the guest writes numbered blocks, see guest/disk.c."""

import array
import contextlib
import fcntl
import itertools
import os
import struct
import time

import settings
from check import Failed, expect

BLOCK = 4096
WORDS = BLOCK // 8
BLOCKS = 256
FACTOR = 0x9e3779b97f4a7c15
PATH = f"{settings.RUN}/disk"
# Where QEMU has locks in an image, see block/file-posix.c.
LOCKS = 100, 200


def devices(path):
    return ("-drive", f"if=none,id=disk,format=raw,cache=none,file={path}",
            "-device", "virtio-blk-pci,drive=disk")


def create(path=PATH):
    # Who has another one open keeps that.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "wb") as disk:
        disk.truncate(BLOCK * BLOCKS)


@contextlib.contextmanager
def locked():
    """Another image instead, which nobody else may write."""
    path = f"{PATH}.locked"
    create(path)
    fd = os.open(path, os.O_RDWR)
    # struct flock; Python cannot have a lock of the open file otherwise.
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, LOCKS[0], LOCKS[1], 0))
    try:
        yield path
    finally:
        os.close(fd)


def block(number):
    first = number * FACTOR % (1 << 64)
    wraps = max(first + WORDS - (1 << 64), 0)
    words = array.array("Q", itertools.chain(range(first, first + WORDS - wraps), range(wraps)))
    words[0] = number
    return words.tobytes()


def check(last, tries=3):
    """All blocks up to the last one are there; later ones may be, in their places."""
    for left in reversed(range(tries)):
        try:
            return check_once(last)
        except Failed:
            # The guest may be writing one.
            if not left:
                raise
            time.sleep(0.1)


def check_once(last):
    with open(PATH, "rb") as disk:
        image = disk.read()
    for place in range(BLOCKS):
        data = image[place * BLOCK:(place + 1) * BLOCK]
        number = struct.unpack_from("<Q", data)[0]
        oldest = last - (last - place) % BLOCKS
        expect(number >= oldest or oldest <= 0, f"block {oldest} is missing, {number} is in its place")
        expect(not number or number % BLOCKS == place and data == block(number),
               f"block {number} has bad content")
