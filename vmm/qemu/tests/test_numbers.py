# SPDX-License-Identifier: GPL-2.0
"""What query-migrate says is what KVM has done."""

import cost
from cases import case
from check import expect
from migration import PAGE_SIZE
from test_postcopy import arrive, switch

# Of a bundle.
HEADER = 64


def near(a, b, part=0.02):
    return abs(a - b) <= part * max(a, b)


def check_numbers(lab, **options):
    migration = lab.migration(**options)
    before = migration.source.statistics()
    info = migration.start().check_arrived()
    after = migration.source.statistics()
    exported = after["exported_pages"] - before["exported_pages"]
    exported_bytes = after["exported_bytes"] - before["exported_bytes"]
    imported = migration.destination.statistics()
    ram = info["ram"]
    print(f"# normal {ram['normal']}, exported {exported}, imported {imported['imported_pages']}, "
          f"transferred {ram['transferred']}, exported bytes {exported_bytes}, "
          f"passes {ram['dirty-sync-count']}, total {info['total-time']} ms, downtime {info['downtime']} ms")
    lab.adopt(migration)

    expect(imported["imported_pages"] == exported, "not all pages that were exported have been imported")
    expect(imported["imported_bytes"] == exported_bytes,
           f"{imported['imported_bytes']} bytes have been imported, not {exported_bytes}")
    # The others are shared, e.g. the buffers of the disk.
    expect(ram["normal"] >= exported, "query-migrate knows fewer pages than KVM has exported")
    expect(near(ram["normal"], exported, 0.25), "query-migrate knows more pages than KVM has exported")
    expect(ram["normal-bytes"] == ram["normal"] * PAGE_SIZE, "the bytes are not those of the pages")
    expect(ram["transferred"] >= ram["normal-bytes"], "fewer bytes are transferred than those of pages")
    expect(ram["transferred"] >= exported_bytes * 0.98, "fewer bytes are transferred than exported")
    expect(near(ram["transferred"], exported_bytes, 0.3), "more bytes are transferred than exported")
    expect(ram["remaining"] == 0, f"{ram['remaining']} bytes remain")
    expect(0 < info["downtime"] <= info["total-time"], "the guest is down for longer than all takes")


@case("the pages and bytes of query-migrate are those of KVM, and all arrive")
def numbers(lab):
    check_numbers(lab)


@case("the pages and bytes of query-migrate are those of KVM with multifd, too")
def numbers_multifd(lab):
    check_numbers(lab, capabilities=["multifd"])


@case("the pages of a migration that is cancelled are sent again")
def sent_again(lab):
    migration = lab.migration(downtime_limit=1).start()
    migration.wait_pass(2)
    migration.cancel()
    migration.check_stayed()
    check_numbers(lab)


@case("a migration needs few SEAMCALLs and ioctls for its pages")
def costs(lab):
    migration = lab.migration()
    ends = migration.source, migration.destination
    for td in ends:
        td.trace("tdx_mig_stream_ioctl")
    pages = migration.source.statistics()["exported_pages"]
    calls, given = cost.seamcalls(), [cost.ioctls(td) for td in ends]
    spent = [cost.cpu_times(td) for td in ends]
    info = migration.start().check_arrived()
    calls = cost.seamcalls() - calls
    given = [cost.ioctls(td) - before for td, before in zip(ends, given)]
    spent = [[now - then for now, then in zip(cost.cpu_times(td), before)] for td, before in zip(ends, spent)]
    pages = migration.source.statistics()["exported_pages"] - pages
    print(f"# private pages {pages}, shared {info['ram']['normal'] - pages}, bytes {info['ram']['transferred']}, "
          f"passes {info['ram']['dirty-sync-count']}")
    print("# SEAMCALLs: " + ", ".join(f"{name} {count}" for name, count in sorted(calls.items())))
    for side, ioctls, (user, system) in zip(("source", "destination"), given, spent):
        print(f"# ioctls of the {side}: " + ", ".join(f"{name} {count}" for name, count in ioctls.items()))
        print(f"# {side}: {user:.2f} s in QEMU, {system:.2f} s in the kernel and the TDX module: "
              f"{100 * user / max(user + system, 0.01):.0f} %")
    lab.adopt(migration)

    expect(0 < given[0]["EXPORT_MEM"] == given[1]["IMPORT_MEM"],
           f"{given[0]['EXPORT_MEM']} bundles have been exported, {given[1]['IMPORT_MEM']} imported")
    expect(given[0]["EXPORT_MEM"] * 32 <= pages, f"{given[0]['EXPORT_MEM']} ioctls to export {pages} pages")
    # A call that has been interrupted is resumed.
    expect(given[0]["EXPORT_MEM"] <= calls["EXPORT.MEM"] <= pages,
           f"{calls['EXPORT.MEM']} SEAMCALLs to export {pages} pages")


def check_read_ahead(td):
    reads = cost.read_ahead(td)
    pages = td.statistics()["imported_pages"]
    expect(sum(size for size, _ in reads) > pages * PAGE_SIZE, "not all pages were read straight from the channel")
    for size, copied in reads:
        expect(size == HEADER or not copied, f"{copied} of {size} bytes were read ahead, and copied")
    print(f"# {len(reads)} reads of {sum(size for size, _ in reads)} bytes, {sum(copied for _, copied in reads)} of "
          "headers are copied")


@case("no private page of a TD is copied on its way in, neither of its memory nor of its state")
def no_copy(lab):
    migration = lab.migration()
    migration.destination.trace("qemu_file_get_direct")
    migration.start().check_arrived()
    check_read_ahead(migration.destination)
    lab.adopt(migration)


@case("no private page that a TD asks for is copied on its way in")
def no_copy_postcopy(lab):
    migration = switch(lab, "postcopy-preempt", trace="qemu_file_get_direct")
    arrive(lab, migration)
    check_read_ahead(migration.destination)
