# SPDX-License-Identifier: GPL-2.0
"""A disk that the guest writes numbered blocks to, see guest/disk.c."""

import contextlib
import fcntl
import os
import struct

import settings
from check import expect

BLOCK = 4096
WORDS = BLOCK // 8
BLOCKS = 256
FACTOR = 0x9e3779b97f4a7c15
PATH = f"{settings.RUN}/disk"
DEVICES = ("-drive", f"if=none,id=disk,format=raw,cache=none,file={PATH}",
           "-device", "virtio-blk-pci,drive=disk")
# Where QEMU has locks in an image, see block/file-posix.c.
LOCKS = 100, 200


def create(path=PATH):
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
        yield tuple(word.replace(f"file={PATH}", f"file={path}") for word in DEVICES)
    finally:
        os.close(fd)


def block(number):
    words = [number] + [(number * FACTOR + i) & (1 << 64) - 1 for i in range(1, WORDS)]
    return struct.pack(f"<{WORDS}Q", *words)


def check(last):
    """All blocks up to the last one are there; later ones may be, in their places."""
    with open(PATH, "rb") as disk:
        image = disk.read()
    for place in range(BLOCKS):
        data = image[place * BLOCK:(place + 1) * BLOCK]
        number = struct.unpack_from("<Q", data)[0]
        oldest = last - (last - place) % BLOCKS
        expect(number >= oldest or oldest <= 0, f"block {oldest} is missing, {number} is in its place")
        expect(not number or number % BLOCKS == place and data == block(number),
               f"block {number} has bad content")
