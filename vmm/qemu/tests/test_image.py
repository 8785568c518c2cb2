# SPDX-License-Identifier: GPL-2.0
"""Images of service TDs are started, and refused with a reason if they are damaged."""

import functools
import os
import struct
import subprocess

import settings
from cases import case
from check import Failed, expect, expect_in, poll
from td import machine

# Of the migration TD of the selftests, see tdx_migtd_image.c.
SIZE = 16 << 20
METADATA = 0xffe810
SECTIONS = METADATA + 16
SECTION = struct.Struct("<IIQQII")
BFV, TD_INFO, PAYLOAD, CFV, TEMP_MEM, PERM_MEM = range(6)


@functools.cache
def original():
    """The image as it is made."""
    path = f"{settings.RUN}/image"
    subprocess.run([settings.MIGTD, "--image", path], check=True, timeout=settings.LIMIT,
                   stdout=subprocess.DEVNULL)
    with open(path, "rb") as file:
        data = file.read()
    expect(len(data) == SIZE and data[METADATA:METADATA + 4] == b"TDVF",
           "the image of the migration TD is not what it was")
    return data


class Image:
    """An image of the migration TD, and QEMU with it."""

    count = 0

    def __init__(self):
        Image.count += 1
        self.name = f"image{Image.count}"
        self.path = f"{settings.RUN}/{self.name}"
        self.serial = f"{self.path}.serial"
        self.data = bytearray(original())
        self.process = None

    def change_section(self, index, **fields):
        names = ("offset", "raw_size", "address", "size", "type", "attributes")
        at = SECTIONS + index * SECTION.size
        values = dict(zip(names, SECTION.unpack_from(self.data, at)), **fields)
        SECTION.pack_into(self.data, at, *values.values())

    def start(self, memory="32M"):
        with open(self.path, "wb") as file:
            file.write(self.data)
        with open(self.serial, "w"), open(f"{self.path}.err", "w") as stderr:
            self.process = subprocess.Popen([*machine(self.name, self.path, self.serial), "-m", memory],
                                            stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.unlink(self.path)

    def said(self, path):
        with open(path, errors="replace") as file:
            return file.read()

    def wait_for(self, text):
        """Wait until the migration TD has said this."""
        def look():
            if text in self.said(self.serial):
                return True
            expect(self.process.poll() is None, f"QEMU has ended: {self.said(self.path + '.err')}")
            return False
        poll(look, f"the migration TD does not say '{text}' but '{self.said(self.serial)}'")

    def refused(self, memory="32M"):
        """What QEMU says when it refuses the image."""
        self.start(memory)
        try:
            status = self.process.wait(settings.LIMIT)
        except subprocess.TimeoutExpired:
            raise Failed("QEMU takes an image that is damaged") from None
        expect(status == 1, f"QEMU ends with status {status}")
        return self.said(f"{self.path}.err")


def image(lab):
    made = Image()
    lab.defer(made.stop)
    return made


def check_refused(lab, reason, index, **fields):
    damaged = image(lab)
    damaged.change_section(index, **fields)
    expect_in(reason, damaged.refused())


@case("a migration TD starts from an image")
def start(lab):
    good = image(lab)
    good.start()
    good.wait_for("starting from an image")
    # QEMU serves no calls of migration TDs; what this one says is the answer to its first.
    good.wait_for("up, but the VMM has no requests")
    expect(good.process.poll() is None, "QEMU has ended")


@case("an image that needs more memory is refused")
def memory(lab):
    expect_in("TDVF needs 0x1000000 bytes of memory at 0x0", image(lab).refused("8M"))


@case("an image with an unknown type of sections is refused")
def unknown_type(lab):
    check_refused(lab, "unsupported section type 9", TEMP_MEM, type=9)


@case("an image with data beyond its end is refused")
def beyond(lab):
    check_refused(lab, "is not in the TDVF image", PAYLOAD, offset=SIZE - 4096)


@case("an image with data that wrap around is refused")
def wraps(lab):
    check_refused(lab, "is not in the TDVF image", PAYLOAD, offset=0xfffff000)


@case("an image whose metadata wrap around is refused")
def metadata_wraps(lab):
    damaged = image(lab)
    count = (0xffffffff - METADATA) // SECTION.size + 2
    struct.pack_into("<I", damaged.data, METADATA + 4, (16 + count * SECTION.size) & 0xffffffff)
    struct.pack_into("<I", damaged.data, METADATA + 12, count)
    expect_in("failed to parse TDVF", damaged.refused())


@case("an image with memory beyond the largest address is refused")
def address_wraps(lab):
    check_refused(lab, "overflows", TEMP_MEM, address=0xfffffffffffff000, size=0x2000)


@case("an image with a payload that the TD accepts is refused")
def accepted_payload(lab):
    check_refused(lab, "section with PAGE.AUG", PAYLOAD, attributes=3)


@case("an image with information that has memory is refused")
def info_with_memory(lab):
    check_refused(lab, "section with memory", TD_INFO, size=0x1000)


@case("an image with permanent memory that has data is refused")
def data_of_memory(lab):
    check_refused(lab, "section with RawDataSize", PERM_MEM, raw_size=0x1000)


@case("an image with neither hand-off blocks nor permanent memory is refused")
def no_memory(lab):
    check_refused(lab, "doesn't specify TD_HOB", PERM_MEM, type=3, attributes=0, size=0x1000)
