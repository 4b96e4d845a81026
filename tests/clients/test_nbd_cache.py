"""Disks whose bytes go past the kernel's cache, with requests that cannot."""

import json
import random

import nbd
import pytest

from offsite import MIB, OFFSITE, ApiError, run, until, wait_linked

SIZE = 16 * MIB
DIRECT = 0o40000  # O_DIRECT on x86-64


def opened_direct(site, disk):
    """Whether the daemon has the disk's file open past the cache."""
    folder = f"/proc/{site.process.pid}/fd"
    names = run("sh", "-c", f"for f in {folder}/*; do echo $(basename $f) $(readlink $f); done").stdout.splitlines()
    numbers = [line.split()[0] for line in names if line.split()[1:] == [str(disk.path)]]
    flags = [open(f"/proc/{site.process.pid}/fdinfo/{number}", encoding="ascii").read() for number in numbers]
    return [bool(int(text.split("flags:")[1].split()[0], 8) & DIRECT) for text in flags]


def cache_of(disk):
    return disk.row()["Offsite"]["Cache"]


def test_requests_of_any_size_and_place(site):
    """What is aligned goes one way, what is not the other, and they see each other's bytes."""
    disk = site.disk(SIZE, OffsiteCache="none")
    assert cache_of(disk) == "none" and any(opened_direct(site, disk))
    chance, model = random.Random(7), bytearray(SIZE)
    handle = nbd.NBD()
    handle.connect_uri(disk.unix_uri)
    for _ in range(400):
        unit = chance.choice((1, 512, 4096))
        size = unit * chance.randint(1, 64)
        at = chance.randrange((SIZE - size) // unit) * unit
        kind = chance.random()
        if kind < 0.5:
            model[at:at + size] = chance.randbytes(size)
            handle.pwrite(bytes(model[at:at + size]), at, nbd.CMD_FLAG_FUA if kind < 0.05 else 0)
        elif kind < 0.6:
            model[at:at + size] = bytes(size)
            handle.zero(size, at)
        else:
            assert handle.pread(size, at) == bytes(model[at:at + size])
    handle.flush()
    assert handle.pread(SIZE, 0) == bytes(model)
    handle.shutdown()
    site.kill()
    site.start()
    assert any(opened_direct(site, disk))
    assert disk.path.read_bytes() == bytes(model)


def test_the_mode_is_changed_with_the_next_attachment(site):
    disk = site.disk(SIZE)
    assert cache_of(disk) == "writeback" and opened_direct(site, disk) == [False]
    offsite = [OFFSITE, "--dir", site.folder, "disk"]
    run(*offsite, "modify", disk.id, "--cache", "none")
    assert cache_of(disk) == "none" and opened_direct(site, disk) == [False]
    disk.detach().attach()
    assert any(opened_direct(site, disk))
    assert "cache     none" in run(*offsite, "show", disk.id).stdout
    made = run(*offsite, "create", "--size", "1M", "--cache", "none", "--json").stdout
    assert site.call("DescribeDisks", DiskIds=json.dumps([json.loads(made)["DiskId"]]))["Disks"]["Disk"][0]["Offsite"]["Cache"] == "none"
    with pytest.raises(ApiError) as refused:
        site.make_disk(MIB, OffsiteCache="writethrough")
    assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")


def test_a_pair_is_copied_past_the_cache(two_sites):
    """The engine reads and writes the same way; what it copies is the same."""
    north, south = two_sites
    wait_linked(north, south)
    near, far = north.disk(SIZE, OffsiteCache="none"), south.make_disk(SIZE, OffsiteCache="none")
    data = random.Random(8).randbytes(3 * MIB + 77)
    handle = nbd.NBD()
    handle.connect_uri(near.unix_uri)
    handle.pwrite(data, 513)
    handle.flush()
    handle.shutdown()
    pair = north.call("CreateDiskReplicaPair", DiskId=near.id, SourceZoneId=north.zone, DestinationRegionId="south",
                      DestinationZoneId=south.zone, DestinationDiskId=far.id, RPO=5)["ReplicaPairId"]
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("copied", lambda: north.pairs(PairIds=pair)[0]["Status"] == "normal")
    south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
    until("failed over", lambda: south.pairs(PairIds=pair)[0]["Status"] == "failovered")
    far.attach()
    assert any(opened_direct(south, far))
    handle = nbd.NBD()
    handle.connect_uri(far.unix_uri)
    assert handle.pread(len(data), 513) == data
    handle.shutdown()
