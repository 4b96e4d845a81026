"""One link, many pairs: a limit slows shipping and never writers, and nobody starves."""

import pathlib
import time

from offsite import MIB, run, until


def make_pair(north, south, size):
    disk, copy = north.disk(size), south.make_disk(size)
    pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=copy.id, RPO=2)["ReplicaPairId"]
    until("pair created", lambda: north.pairs(PairIds=pair)[0]["Status"] == "created")
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("pair normal", lambda: north.pairs(PairIds=pair)[0]["Status"] == "normal")
    return pair, disk


def write_random(disk, megabytes, tmp_path):
    image = tmp_path / f"random-{disk.id}"
    with pathlib.Path("/dev/urandom").open("rb") as source:
        image.write_bytes(source.read(megabytes * MIB))
    begin = time.monotonic()
    run("nbdcopy", image, disk.uri)
    return time.monotonic() - begin


def rows(site):
    return {row["ReplicaPairId"]: row["Offsite"] for row in site.pairs()}


def test_a_limit_slows_shipping_and_not_writers(two_sites, tmp_path):
    north, south = two_sites
    pair, disk = make_pair(north, south, 32 * MIB)
    north.call("ModifyOffsitePeer", ZoneId=south.zone, BytesPerSecond=1 * MIB)
    before, begin = rows(north)[pair]["ShippedBytes"], time.monotonic()
    took = write_random(disk, 16, tmp_path)
    assert took < 8, "16 MiB at the link's rate would take 16 s"
    until("some of it is there", lambda: rows(north)[pair]["ShippedBytes"] - before > 2 * MIB)
    # What was shipped is what the limit allowed in that time, a burst, and the four frames that may be read at the same time:
    # however slow this machine is.
    assert rows(north)[pair]["ShippedBytes"] - before < (time.monotonic() - begin) * MIB + 4.5 * MIB
    assert rows(north)[pair]["DirtyBytes"] > 0
    north.kill()  # a limit is kept
    north.start()
    zones = [zone for region in north.call("DescribeRegions", RegionId="")["Regions"] for zone in region["Zones"]]
    assert [zone["Offsite"]["BytesPerSecond"] for zone in zones if zone["ZoneId"] == south.zone] == [MIB]
    north.call("ModifyOffsitePeer", ZoneId=south.zone, BytesPerSecond=0)
    until("all of it is there", lambda: rows(north)[pair]["DirtyBytes"] == 0 and rows(north)[pair]["State"] == "cycling")


def test_nobody_starves(two_sites, tmp_path):
    """Three pairs want more than the link gives, one of them its first copy: each goes on."""
    north, south = two_sites
    busy = [make_pair(north, south, 16 * MIB) for _ in range(2)]
    for _, disk in busy:
        write_random(disk, 12, tmp_path)
    until("all there", lambda: all(row["DirtyBytes"] == 0 for row in rows(north).values()))
    north.call("ModifyOffsitePeer", ZoneId=south.zone, BytesPerSecond=4 * MIB)
    fresh, copy = north.disk(16 * MIB), south.make_disk(16 * MIB)
    write_random(fresh, 12, tmp_path)
    pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=fresh.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=copy.id, RPO=2)["ReplicaPairId"]
    until("pair created", lambda: north.pairs(PairIds=pair)[0]["Status"] == "created")
    epochs = {one: rows(north)[one]["RecoveryEpoch"] for one, _ in busy}
    for _, disk in busy:
        write_random(disk, 12, tmp_path)
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("the first copy goes on", lambda: rows(north)[pair]["State"] != "full sync" or
          rows(north)[pair]["ShippedBytes"] > 3 * MIB)
    until("so do the others", lambda: all(rows(north)[one]["RecoveryEpoch"] > epochs[one] for one, _ in busy))
    until("and all of it is there", lambda: all(row["DirtyBytes"] == 0 and row["Consistent"] for row in rows(north).values()))
