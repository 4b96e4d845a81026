"""Sites with several shards: clients at work on disks that gather for a group, links between all shards, restarts with others."""

import pathlib
import random
import threading

import nbd
import pytest

from offsite import MIB, Site, until, wait_linked

SIZE = 16 * MIB
PIECE = 64 * 1024


class Writer(threading.Thread):
    """A client that writes over one connection, several pieces at a time, and reads back what it wrote, until it is stopped."""

    def __init__(self, disk):
        super().__init__(daemon=True)
        self.random = random.Random(disk.id)
        self.handle = nbd.NBD()
        self.handle.connect_uri(disk.unix_uri)
        self.content, self.ending, self.failure, self.rounds = bytearray(SIZE), threading.Event(), None, 0
        self.start()

    def run(self):
        try:
            while not self.ending.is_set():
                self.round()
        except Exception as failure:  # noqa: BLE001  told by whoever waits for it
            self.failure = failure

    def round(self):
        under_way = []
        for place in self.random.sample(range(SIZE // PIECE), 8):
            piece = self.random.randbytes(PIECE)
            buffer = nbd.Buffer.from_bytearray(bytearray(piece))
            under_way.append((self.handle.aio_pwrite(buffer, place * PIECE), buffer, place))
            self.content[place * PIECE:(place + 1) * PIECE] = piece
        while self.handle.aio_in_flight() > 0:
            self.handle.poll(1000)
        for cookie, _, place in under_way:
            assert self.handle.aio_command_completed(cookie)  # raises what the reply said
            assert self.handle.pread(PIECE, place * PIECE) == self.content[place * PIECE:(place + 1) * PIECE], place
        self.rounds += 1

    def wait_round(self):
        """Until a round that began from now on has ended."""
        begin = self.rounds
        until("a round", lambda: self.failure or self.rounds >= begin + 2)
        assert self.failure is None, self.failure

    def stop(self):
        self.ending.set()
        self.join(30)
        assert not self.is_alive() and self.failure is None, self.failure
        self.handle.flush()
        self.handle.shutdown()


@pytest.fixture(name="sites", params=[(2, 3), (3, 1)], ids=lambda shards: f"{shards[0]}x{shards[1]}")
def fixture_sites(request, tmp_path):
    """North and south with so many shards, running and linked."""
    north, south = Site(tmp_path / "north", "north"), Site(tmp_path / "south", "south")
    north.shards, south.shards = request.param
    north.configure([south])
    south.configure([north])
    try:
        north.start()
        south.start()
        wait_linked(north, south)
        yield north, south
    finally:
        south.close()
        north.close()


def make_pairs(north, south, disks):
    """Pairs of these disks of the north's; gives their ids and their copies."""
    pairs, copies = [], [south.make_disk(SIZE) for _ in disks]
    for disk, copy in zip(disks, copies):
        pairs.append(north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, RPO=1,
                                DestinationRegionId=south.region, DestinationZoneId=south.zone,
                                DestinationDiskId=copy.id)["ReplicaPairId"])
    for pair in pairs:
        until("created", lambda pair=pair: status(north, pair) == "created")
    return pairs, copies


def start_pairs(north, pairs):
    for pair in pairs:
        north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    for pair in pairs:
        until(lambda pair=pair: f"normal: {north.pairs(PairIds=pair)}", lambda pair=pair: status(north, pair) == "normal")


def status(site, pair):
    return site.pairs(PairIds=pair)[0]["Status"]


def content_of(disk, begin=0, end=SIZE):
    handle = nbd.NBD()
    handle.connect_uri(disk.uri)
    try:
        return b"".join(handle.pread(MIB, at) for at in range(begin, end, MIB))
    finally:
        handle.shutdown()


def wait_shipped(site, pairs):
    for pair in pairs:
        until("shipped", lambda pair=pair: site.pairs(PairIds=pair)[0]["Offsite"]["DirtyBytes"] == 0 and
              status(site, pair) == "normal")


class Group:
    """A group from north to south, to which pairs are added."""

    def __init__(self, north, south):
        self.north = north
        self.id = north.call("CreateDiskReplicaGroup", SourceZoneId=north.zone, DestinationRegionId=south.region,
                             DestinationZoneId=south.zone, RPO=1)["ReplicaGroupId"]

    def row(self, site=None):
        return (site or self.north).groups()[0]

    def add(self, pairs):
        for pair in pairs:
            self.north.call("AddDiskReplicaPair", ReplicaGroupId=self.id, ReplicaPairId=pair)

    def start(self):
        self.north.call("StartDiskReplicaGroup", ReplicaGroupId=self.id)
        until(lambda: f"the group runs: {self.row()}", lambda: self.row()["Status"] == "normal")

    def stop(self):
        self.north.call("StopDiskReplicaGroup", ReplicaGroupId=self.id)
        until(lambda: f"the group stops: {self.row()}", lambda: self.row()["Status"] == "stopped")


def test_busy_disks_gather_for_a_group(sites):
    """Their clients notice nothing: no reply is wrong or missing, no connection ends. What the group holds is all they wrote."""
    north, south = sites
    disks = [north.disk(SIZE) for _ in range(4)]
    writers = [Writer(disk) for disk in disks]
    pairs, copies = make_pairs(north, south, disks)
    group = Group(north, south)
    group.add(pairs[:2])
    group.start()
    start_pairs(north, pairs[2:])
    for pair in pairs[2:]:
        north.call("StopDiskReplicaPair", ReplicaPairId=pair)
        until("stopped", lambda pair=pair: status(north, pair) == "stopped")
    group.stop()
    group.add(pairs[2:])
    group.start()
    for writer in writers:
        writer.wait_round()
    for writer in writers:
        writer.stop()
    log = north.log()
    assert sum(f"disk.moved disk={disk.id} " in log for disk in disks) >= 2, "they were together before"
    for disk in disks:
        assert log.count(f"export={disk.id} clients=") == 1, "a client came twice"
    until("shipped", lambda: group.row()["Offsite"]["DirtyBytes"] == 0)
    north.kill()
    south.call("FailoverDiskReplicaGroup", ReplicaGroupId=group.id)
    until("failed over", lambda: group.row(south)["Status"] == "failovered")
    for writer, copy in zip(writers, copies):
        assert content_of(copy.attach()) == writer.content


def test_restarts_with_other_numbers(sites):
    """Each side finds the other's halves again, wherever they are now."""
    north, south = sites
    disks = [north.disk(SIZE) for _ in range(3)]
    pairs, copies = make_pairs(north, south, disks)
    start_pairs(north, pairs)
    for number, (shards, site, other) in enumerate([(1, north, south), (4, south, north), (2, north, south), (1, south, north)]):
        site.stop()
        site.shards = shards
        site.configure([other])
        site.start()
        wait_linked(north, south)
        for disk in disks:
            handle = nbd.NBD()
            handle.connect_uri(disk.uri)
            handle.pwrite(bytes([number + 1]) * MIB, number * MIB)
            handle.flush()
            handle.shutdown()
        wait_shipped(north, pairs)
    north.kill()
    for pair, copy in zip(pairs, copies):
        south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
        until("failed over", lambda pair=pair: status(south, pair) == "failovered")
        content = content_of(copy.attach())
        assert all(content[number * MIB:(number + 1) * MIB] == bytes([number + 1]) * MIB for number in range(4))


def test_each_shard_is_used(sites):
    """Every thread of both sites has opened disks, and all of them can be reached at the one address and be listed there."""
    north, _ = sites
    disks = [north.disk(MIB) for _ in range(2 * north.shards)]
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.connect_uri(disks[0].uri)
    names = []
    handle.opt_list(lambda name, description: names.append(name))
    assert sorted(names) == sorted(disk.id for disk in disks)
    for disk in disks:  # asks one shard after the other, on one connection
        handle.set_export_name(disk.id)
        handle.opt_info()
        assert handle.get_size() == MIB
    handle.opt_go()
    handle.pwrite(b"x" * 4096, 0)
    assert handle.pread(4096, 0) == b"x" * 4096
    handle.shutdown()
    threads = [entry.read_text().strip() for entry in pathlib.Path(f"/proc/{north.process.pid}/task").glob("*/comm")]
    assert sorted(name for name in threads if name.startswith("shard-")) == [f"shard-{number}" for number in range(north.shards)]
