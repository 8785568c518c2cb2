# SPDX-License-Identifier: GPL-2.0
"""A disk that the guest writes numbered blocks to, see guest/disk.c."""

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


def create():
    with open(PATH, "wb") as disk:
        disk.truncate(BLOCK * BLOCKS)


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
