"""A full file system at the secondary never costs the last recovery point, and says what is wrong."""

import hashlib
import pathlib

import pytest

from offsite import MIB, run, two_sites_one_small, until


@pytest.fixture
def small_south(tmp_path):
    with two_sites_one_small(tmp_path, "south") as world:
        yield world


def fill(disk, pattern, megabytes):
    run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} 0 {megabytes * MIB}", "-c", "flush", disk.uri)


def random_fill(disk, megabytes, tmp_path):
    image = tmp_path / "random"
    image.write_bytes(pathlib.Path("/dev/urandom").open("rb").read(megabytes * MIB))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, disk.uri)


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_full_disk_at_the_secondary(small_south, tmp_path):
    north, south, mount = small_south
    disk, copy = north.disk(64 * MIB), south.make_disk(64 * MIB)
    pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=copy.id)["ReplicaPairId"]
    until("pair created", lambda: north.pairs() and north.pairs()[0]["Status"] == "created")
    fill(disk, 3, 4)
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("normal", lambda: north.pairs()[0]["Status"] == "normal")
    until("all there", lambda: north.pairs()[0]["Offsite"]["DirtyBytes"] == 0)
    random_fill(disk, 40, tmp_path)  # no room for it: neither staged nor in place
    until(lambda: f"says why: {north.pairs()[0]}", lambda: "room" in north.pairs()[0]["StatusMessage"])
    before, tries = south.pairs()[0]["Offsite"]["RecoveryEpoch"], north.pairs()[0]["Offsite"]["Abandoned"]
    until("tried again", lambda: north.pairs()[0]["Offsite"]["Abandoned"] > tries)
    assert south.pairs()[0]["Offsite"]["RecoveryEpoch"] == before
    assert south.pairs()[0]["Offsite"]["Consistent"]
    assert north.pairs()[0]["Offsite"]["DirtyBytes"] > 0
    fill(disk, 5, 1)  # the writer goes on
    run("mount", "-o", "remount,size=256m", mount)
    until(lambda: f"catches up by itself: {north.pairs()[0]}", lambda: north.pairs()[0]["Status"] == "normal" and
          north.pairs()[0]["Offsite"]["DirtyBytes"] == 0)
    until("the copy holds the same bytes", lambda: digest(disk.path) == digest(copy.path))
