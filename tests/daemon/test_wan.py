"""Two sites over a long line that loses packets and breaks, with clocks an hour apart: first copy, cycles, delta, failover."""

import os
import random
import threading
import time

import nbd

import wan
from offsite import MIB, run, until

SIZE = 64 * MIB
BLOCK = 4096
USED = 4 * MIB       # of the disk, from its beginning
SKEW_S = 3600
AGE_MAX_S = 30


class Writer(threading.Thread):
    """One write of 4 KiB after the other, each with its number in it: so the disk has one state after each of them."""

    def __init__(self, disk, begin):
        super().__init__(daemon=True)
        self.client = nbd.NBD()
        self.client.connect_uri(disk.unix_uri)
        self.random, self.begin, self.writes, self.failed = random.Random(7), begin, [], None
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.wait(0.02):
                offset = self.random.randrange(USED // BLOCK) * BLOCK
                block = len(self.writes).to_bytes(8, "big") + self.random.randbytes(BLOCK - 8)
                self.client.pwrite(block, offset)
                self.writes.append((time.time() * 1000, offset, block))
        except nbd.Error as error:
            self.failed = error

    def wait_more(self, count):
        wanted = len(self.writes) + count
        until(lambda: f"{count} more writes: {self.failed}", lambda: len(self.writes) >= wanted)

    def end(self):
        self.ending.set()
        self.join(30)
        assert not self.is_alive() and self.failed is None, self.failed
        self.client.shutdown()


def age_s(site):
    live = site.pairs()[0]["Offsite"]
    return live["RecoveryAgeMs"] / 1000


def assert_ages_are_sane(north, south):
    """The recovery point's instant is told by the clock of the side that leads, at both sides; its age is the same at both."""
    for site in (north, south):
        assert 0 <= age_s(site) < AGE_MAX_S, site.pairs()
    row = south.pairs()[0]
    for told_s in (row["Offsite"]["RecoveryWallMs"] / 1000, row["LastRecoverPoint"]):
        assert abs(time.time() - told_s) < AGE_MAX_S, row


def make_pair(north, south, begin):
    disk, copy = north.disk(SIZE), south.make_disk(SIZE)
    client = nbd.NBD()
    client.connect_uri(disk.unix_uri)
    client.pwrite(begin, 0)
    client.shutdown()
    pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=copy.id, RPO=5)["ReplicaPairId"]
    until("created at both sites", lambda: all(site.pairs() and site.pairs()[0]["Status"] == "created" for site in (north, south)))
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    return pair, disk, copy


def assert_recovery_point(image, begin, writes, recovery_ms):
    """The image is what the leader's disk was after one of its writes: none that was answered before the recovery point's instant is
    missing, none that was begun after it is there. 5 ms are for the rounding of clocks."""
    assert len(image) == SIZE and not any(image[USED:])
    expected, state = bytearray(begin), None
    promised = sum(1 for wall, _, _ in writes if wall <= recovery_ms)
    for number, (_, offset, block) in enumerate(writes):
        expected[offset:offset + BLOCK] = block
        if image[offset:offset + BLOCK] == block:
            state = number
    begun = 1 + sum(1 for wall, _, _ in writes if wall <= recovery_ms + 5)
    assert state is not None and promised <= state + 1 <= begun, (promised, state, begun, len(writes))
    expected = bytearray(begin)
    for _, offset, block in writes[:state + 1]:
        expected[offset:offset + BLOCK] = block
    assert image[:USED] == expected, f"not the state after write {state}"


def test_a_long_line_that_breaks_and_clocks_an_hour_apart(tmp_path):
    with wan.joined(tmp_path, clock_s=SKEW_S, delay_ms=15, rate_kbit=20000, loss=500) as (line, north, south):
        begin = os.urandom(USED)
        pair, disk, copy = make_pair(north, south, begin)

        def live():
            return north.pairs()[0]["Offsite"]
        until(lambda: f"the first sync: {live()}", lambda: live()["Consistent"] and live()["State"] == "cycling", 120)
        assert live()["ShippedBytes"] < USED + MIB
        writer = Writer(disk, begin)
        writer.start()
        epoch, end = live()["RecoveryEpoch"], time.monotonic() + 60
        while live()["RecoveryEpoch"] < epoch + 4:  # cycles, while it writes
            assert_ages_are_sane(north, south)
            assert time.monotonic() < end, live()
        before = live()["ShippedBytes"]

        line.sever()
        until("both ends see the break", lambda: not north.linked() and not south.linked(), 60)
        writer.wait_more(50)
        assert 0 < age_s(north) < 3 * AGE_MAX_S
        line.mend()
        until("linked again", lambda: north.linked() and south.linked(), 60)
        until(lambda: f"caught up: {north.pairs()}", lambda: north.pairs()[0]["Status"] == "normal" and age_s(north) < 5, 60)
        assert_ages_are_sane(north, south)
        shipped, written = live()["ShippedBytes"] - before, len(writer.writes) * BLOCK
        assert shipped < 2 * written + MIB and shipped < SIZE / 4, (shipped, written)

        line.sever()  # the far site is on its own
        writer.wait_more(50)
        south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
        until("failed over", lambda: south.pairs()[0]["Status"] == "failovered")
        recovery_ms = south.pairs()[0]["Offsite"]["RecoveryWallMs"]
        writer.end()
        copy.attach()
        run("nbdcopy", copy.unix_uri, tmp_path / "image")
        assert_recovery_point((tmp_path / "image").read_bytes(), begin, writer.writes, recovery_ms)

        line.mend()
        until("the near site learns that it was replaced", lambda: north.pairs()[0]["Status"] == "failovered", 60)


def test_a_client_whose_machine_is_gone_is_found_out(tmp_path):
    """Two have chosen a disk and ask for nothing; then nothing of them arrives any more, and nobody says so. One has heard all that
    was said to it; the other may not have acknowledged the last of it, which the keepalive does not see."""
    with wan.joined(tmp_path) as (line, north, south):
        north.stop()
        config = north.folder / "offsite.conf"
        config.write_text(config.read_text().replace("[nbd]\nlisten=tcp:127.0.0.1:", f"[nbd]\nlisten=tcp:{wan.HOSTS[0]}:"))
        north.start()
        disk = north.disk(MIB)
        with south.place():
            gone = [nbd.NBD(), nbd.NBD()]
            for handle in gone:
                handle.connect_uri(f"nbd://{wan.HOSTS[0]}:{north.nbd_port}/{disk.id}")
        near = nbd.NBD()
        near.connect_uri(disk.unix_uri)
        line.sever()
        for number in (1, 2):
            north.wait_log(f"nbd.disconnected client={number} export={disk.id} reason=\"the connection broke\"", limit_s=60)
        assert near.pread(1, 0) == b"\0"
        near.shutdown()
