"""Failover, reverse replication, failback, cancel and switchover between two real sites, with data written on both sides."""

import contextlib
import os
import sqlite3
import subprocess

import nbd
import pytest

from offsite import ApiError, MIB, run, until, wait_linked


def write(disk, pattern, offset, length):
    run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {length}", "-c", "flush", disk.uri)


def read_at(uri, pattern, offset, length):
    answer = run("qemu-io", "-r", "-f", "raw", "-c", f"read -P {pattern} {offset} {length}", uri)
    assert "Pattern verification failed" not in answer.stdout, answer.stdout


def read(disk, pattern, offset, length):
    read_at(disk.uri, pattern, offset, length)


class Group:
    """A group of two disks, running from north to south."""

    def __init__(self, north, south, sizes=(16 * MIB, 8 * MIB), status="normal", content=None):
        self.north, self.south = north, south
        self.ours, self.theirs = [north.disk(size) for size in sizes], [south.make_disk(size) for size in sizes]
        for disk in self.ours if content is not None else ():
            run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 {content.stat().st_size}", "-c", "flush", disk.uri)
        self.id = north.call("CreateDiskReplicaGroup", SourceZoneId=north.zone, DestinationRegionId=south.region,
                             DestinationZoneId=south.zone, RPO=1)["ReplicaGroupId"]
        for disk, copy in zip(self.ours, self.theirs):
            pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id,
                              DestinationRegionId=south.region, DestinationZoneId=south.zone,
                              DestinationDiskId=copy.id)["ReplicaPairId"]
            until("pair created", lambda pair=pair: north.pairs(PairIds=pair)[0]["Status"] == "created")
            north.call("AddDiskReplicaPair", ReplicaGroupId=self.id, ReplicaPairId=pair)
        self.call(north, "Start")
        self.wait(status)

    def call(self, site, verb, **parameters):
        return site.call(f"{verb}DiskReplicaGroup", ReplicaGroupId=self.id, **parameters)

    def row(self, site):
        return site.groups()[0]

    def wait(self, status, limit_s=30):
        for site in (self.north, self.south):
            if site.process is not None:
                until(lambda site=site: f"{site.zone} {status}: {self.row(site)}",
                      lambda site=site: self.row(site)["Status"] == status, limit_s)

    def wait_shipped(self, source):
        until("nothing left to ship", lambda: self.row(source)["Offsite"]["DirtyBytes"] == 0 and
              self.row(source)["Offsite"]["State"] == "cycling")

    def direction(self, site):
        return self.row(site)["SourceZoneId"], self.row(site)["DestinationZoneId"]


@pytest.fixture
def group(two_sites):
    return Group(*two_sites)


def fail_over(group):
    """The primary's site is lost in the middle of its work, and comes back when the survivor has written."""
    for number, disk in enumerate(group.ours):
        write(disk, 10 + number, 0, MIB)
    group.wait_shipped(group.north)
    group.south.kill()
    for disk in group.ours:
        write(disk, 66, 2 * MIB, MIB)  # never arrives
    group.north.kill()
    group.south.start()
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    for number, copy in enumerate(group.theirs):
        copy.attach()
        read(copy, 10 + number, 0, MIB)
        write(copy, 77, 4 * MIB, MIB)
    group.north.start()
    until("the old primary knows", lambda: group.row(group.north)["Status"] == "failovered")


def test_failover_reprotect_failback(group):
    fail_over(group)
    with pytest.raises(ApiError) as refused:  # its disks are still attached there
        group.call(group.south, "Reprotect")
    assert refused.value.code == "OperationDenied" and "detach" in refused.value.message, refused.value
    with pytest.raises(ApiError) as refused:
        group.call(group.north, "Reprotect")
    assert refused.value.code == "OperationDenied.OperateNotAllowedForPrimary", refused.value
    assert group.row(group.south)["Status"] == "failovered"
    for disk in group.ours:
        disk.detach()
    group.call(group.south, "Reprotect")
    group.wait("stopped")
    assert group.direction(group.north) == group.direction(group.south) == (group.south.zone, group.north.zone)
    before = group.row(group.south)["Offsite"]["ShippedBytes"]
    group.call(group.south, "Start")
    group.wait("normal")
    group.wait_shipped(group.south)
    # Two disks, 1 MiB written here and 1 MiB there: not the 24 MiB that they hold.
    assert group.row(group.south)["Offsite"]["ShippedBytes"] - before < 5 * MIB
    # And back: north takes over, with what it had before the disaster gone, and what the survivor wrote in place.
    group.call(group.north, "Failover")
    until("failed over", lambda: group.row(group.north)["Status"] == "failovered")
    for number, disk in enumerate(group.ours):
        disk.attach()
        read(disk, 10 + number, 0, MIB)
        read(disk, 0, 2 * MIB, MIB)
        read(disk, 77, 4 * MIB, MIB)


def preview(group, site):
    answer = group.call(site, "Preview")
    return answer, {row["Operation"]: row for row in answer["Operations"]}


def test_preview_says_what_a_change_would_cost(group):
    for site in (group.north, group.south):
        answer, costs = preview(group, site)
        assert set(costs) == {"failover", "switchover"} and answer["PeerAnswered"], answer
        assert answer["RecoverPointAgeMs"] < 60_000 and costs["failover"]["BytesToMove"] == 0, answer
    fail_over(group)
    for site in (group.north, group.south):
        # Two disks: at each side 1 MiB that the other has not.
        until("all of it is told", lambda site=site: preview(group, site)[1]["reprotect"]["BytesToMove"] == 4 * MIB)
        answer, costs = preview(group, site)
        assert set(costs) == {"reprotect", "cancel"} and answer["PeerAnswered"], answer
        assert costs["cancel"]["BytesToMove"] == 4 * MIB, answer
        assert costs["reprotect"]["SetAsideBytes"] == costs["cancel"]["SetAsideBytes"] == 2 * MIB, answer
        assert costs["reprotect"]["SetAsideZoneId"] == group.north.zone, answer
        assert costs["cancel"]["SetAsideZoneId"] == group.south.zone, answer
    group.north.kill()
    until("the link is seen to be down", lambda: not preview(group, group.south)[0]["PeerAnswered"])
    answer, costs = preview(group, group.south)
    assert "BytesToMove" not in costs["reprotect"] and "SetAsideBytes" not in costs["reprotect"], answer
    with pytest.raises(ApiError) as refused:
        group.south.call("PreviewDiskReplicaGroup", ReplicaGroupId="pg-nothing")
    assert refused.value.status == 404, refused.value


def reprotect_and_catch_up(group):
    for disk in group.ours:
        disk.detach()
    group.call(group.south, "Reprotect")
    group.wait("stopped")
    group.call(group.south, "Start")
    group.wait("normal")
    group.wait_shipped(group.south)


def diverged_uris(disk):
    return disk.row()["Offsite"]["DivergedNbdUris"]


def test_what_only_the_old_primary_held_is_kept_until_discarded(group):
    fail_over(group)
    reprotect_and_catch_up(group)
    until("kept", lambda: group.row(group.north)["Offsite"]["Divergence"] == "kept" and
          group.row(group.north)["Offsite"]["DivergenceBytes"] > 2 * MIB)

    def check():
        for number, disk in enumerate(group.ours):
            uri = diverged_uris(disk)[0]
            read_at(uri, 10 + number, 0, MIB)   # what both had
            read_at(uri, 66, 2 * MIB, MIB)      # what it alone had
            read_at(uri, 0, 4 * MIB, MIB)       # the survivor's writes are not in it
            assert run("qemu-io", "-f", "raw", "-c", "write 0 4096", uri, ok=False).returncode != 0

    check()
    for number, copy in enumerate(group.theirs):
        write(copy, 90 + number, 0, 8 * MIB)    # replication goes on below it
    group.wait_shipped(group.south)
    check()
    group.north.kill()
    group.north.start()
    group.wait("normal")
    until("exported again", lambda: all(diverged_uris(disk) for disk in group.ours))
    check()
    with pytest.raises(ApiError) as refused:
        group.call(group.north, "Switchover")
    assert "discard" in refused.value.message, refused.value
    group.south.call("DiscardDiskReplicaGroupDivergence", ReplicaGroupId=group.id)
    until("gone", lambda: not diverged_uris(group.ours[0]) and group.row(group.north)["Offsite"]["Divergence"] == "")
    with pytest.raises(ApiError):
        group.south.call("DiscardDiskReplicaGroupDivergence", ReplicaGroupId=group.id)
    assert not list(group.north.folder.glob("units/*.diverged"))
    group.wait_shipped(group.south)
    group.call(group.north, "Switchover")
    until("turned", lambda: group.direction(group.north)[0] == group.north.zone)
    for number, disk in enumerate(group.ours):
        disk.attach()
        read(disk, 90 + number, 0, 8 * MIB)


def test_a_divergence_is_kept_below_frames_that_do_not_shrink(group, tmp_path):
    """Large frames and a small last one, each of which is read twice: once for what it overwrites, then to be written."""
    fail_over(group)
    content = tmp_path / "content"
    content.write_bytes(os.urandom(5 * MIB + 4096))
    run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 {content.stat().st_size}", "-c", "flush", group.theirs[0].uri)
    reprotect_and_catch_up(group)
    until("kept", lambda: group.row(group.north)["Offsite"]["Divergence"] == "kept")

    def holds():
        with open(group.ours[0].path, "rb") as image:
            return image.read(content.stat().st_size) == content.read_bytes()
    until("applied", holds)
    read_at(diverged_uris(group.ours[0])[0], 66, 2 * MIB, MIB)


def test_a_divergence_beyond_its_bound_is_given_up_loudly(two_sites):
    for one, other in (two_sites, two_sites[::-1]):
        one.configure([other], extra="[limits]\ndivergence_bytes = 64K\n")
        one.kill()
        one.start()
    wait_linked(*two_sites)
    group = Group(*two_sites)
    fail_over(group)
    reprotect_and_catch_up(group)
    until("said", lambda: group.row(group.north)["Offsite"]["Divergence"] == "given up")
    assert "unit.divergence_given_up" in group.north.log() and not diverged_uris(group.ours[0])
    assert not list(group.north.folder.glob("units/*.diverged"))


def test_failover_right_after_a_start_knows_what_is_there(two_sites, tmp_path):
    """Before the engine has loaded a unit nobody may say that it has no recovery point, nor that it has one."""
    north, south = two_sites
    north.call("ModifyOffsitePeer", ZoneId=south.zone, BytesPerSecond=20_000)
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    group = Group(north, south, sizes=(16 * MIB,), status="initial_syncing", content=content)
    group.south.kill()
    group.south.start()
    try:
        group.call(group.south, "Failover")
    except ApiError as refused:
        assert refused.code == "OperationDenied.InvalidStatus", refused
    until("not failed over", lambda: group.row(group.south)["Status"] == "initial_syncing")
    group.south.kill()
    north.call("ModifyOffsitePeer", ZoneId=south.zone, BytesPerSecond=0)
    group.south.start()
    group.wait("normal")
    for _ in range(3):
        group.north.kill()
        group.south.kill()
        group.south.start()
        group.call(group.south, "Failover")
        until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
        group.north.start()
        until("the old primary knows", lambda: group.row(group.north)["Status"] == "failovered")
        for disk in group.ours:
            if disk.row()["Status"] != "Available":
                disk.detach()
        group.call(group.south, "Reprotect", ReverseReplicate="false")
        group.wait("stopped")
        group.call(group.north, "Start")
        group.wait("normal")


def test_cancel_goes_back_to_the_original_direction(group):
    fail_over(group)
    for copy in group.theirs:
        copy.detach()
    group.call(group.south, "Reprotect", ReverseReplicate="false")
    group.wait("stopped")
    assert group.direction(group.north) == (group.north.zone, group.south.zone)
    group.call(group.north, "Start")
    group.wait("normal")
    group.wait_shipped(group.north)
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    for copy in group.theirs:
        copy.attach()
        read(copy, 66, 2 * MIB, MIB)  # what only the old primary had
        read(copy, 0, 4 * MIB, MIB)   # what the survivor wrote is gone


def test_switchover_loses_nothing_and_comes_back(group):
    for number, disk in enumerate(group.ours):
        write(disk, 20 + number, 0, MIB)
    group.call(group.south, "Switchover")
    until("turned", lambda: group.direction(group.north) == group.direction(group.south) ==
          (group.south.zone, group.north.zone))
    group.wait("normal")
    assert run("qemu-io", "-f", "raw", "-c", "write -P 1 0 4096", group.ours[0].uri, ok=False).returncode != 0
    for number, copy in enumerate(group.theirs):
        copy.attach()
        read(copy, 20 + number, 0, MIB)
        write(copy, 30 + number, MIB, MIB)
    until("the pause is told", lambda: group.row(group.north)["Offsite"]["PauseMs"] > 0)
    group.call(group.north, "Switchover")
    until("turned back", lambda: group.direction(group.north) == group.direction(group.south) ==
          (group.north.zone, group.south.zone))
    for number, disk in enumerate(group.ours):
        read(disk, 20 + number, 0, MIB)
        read(disk, 30 + number, MIB, MIB)


def test_sites_killed_while_they_change_sides(group):
    """Whatever dies in the middle, the change ends, with one leader."""
    fail_over(group)
    for disk in group.ours:
        disk.detach()
    group.call(group.south, "Reprotect")
    group.south.kill()
    group.north.kill()
    group.south.start()
    group.north.start()
    group.wait("stopped")
    group.call(group.south, "Start")
    group.wait("normal")
    group.south.call("DiscardDiskReplicaGroupDivergence", ReplicaGroupId=group.id)
    group.call(group.north, "Switchover")
    group.north.kill()
    group.north.start()
    until("one way or the other", lambda: group.row(group.north)["Status"] == group.row(group.south)["Status"] == "normal")
    leader = group.north if group.direction(group.north)[0] == group.north.zone else group.south
    for disk in group.ours if leader is group.north else group.theirs:
        if disk.row()["Status"] == "Available":
            disk.attach()
        write(disk, 99, 0, MIB)
    group.wait_shipped(leader)


def test_what_was_kept_of_a_divergence_is_offered_read_only(group):
    """All that does not change it is offered, and answered, too."""
    fail_over(group)
    reprotect_and_catch_up(group)
    until("kept", lambda: diverged_uris(group.ours[0]))
    handle = nbd.NBD()
    handle.set_strict_mode(0)
    handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    handle.connect_uri(diverged_uris(group.ours[0])[0])
    assert handle.is_read_only() and not handle.can_trim() and not handle.can_zero() and not handle.can_fast_zero()
    for change in (lambda: handle.pwrite(b"late", 0), lambda: handle.trim(4096, 0), lambda: handle.zero(4096, 0)):
        with pytest.raises(nbd.Error) as refused:
            change()
        assert refused.value.errno == "EPERM"
    entries = []
    handle.block_status(16 * MIB, 0, lambda context, offset, told, error: entries.extend(told))
    assert entries == [16 * MIB, 0], "no hole is told where saved bytes may lie over one"
    handle.cache(MIB, 0)
    handle.flush()
    assert handle.pread(MIB, 2 * MIB) == bytes([66]) * MIB
    handle.shutdown()


def test_a_whole_disk_is_trimmed_and_zeroed_while_it_is_replicated(two_sites):
    """Requests as long as the disk, in the middle of cycles: carried out in pieces, and the copy is the same at the end."""
    group = Group(*two_sites, sizes=(192 * MIB,))
    disk, copy = group.ours[0], group.theirs[0]
    handle, other = nbd.NBD(), nbd.NBD()
    for each in (handle, other):
        each.connect_uri(disk.uri)
    for turn in range(3):
        for number in range(24):
            handle.pwrite(bytes([1 + number]) * 65536, number * 8 * MIB + turn * 4096)
        whole = handle.aio_trim(192 * MIB, 0) if turn % 2 == 0 else handle.aio_zero(192 * MIB, 0, flags=nbd.CMD_FLAG_FUA)
        while not handle.aio_command_completed(whole):
            handle.poll(-1)
        other.pwrite(bytes([100 + turn]) * MIB, turn * 64 * MIB)
    other.flush()
    group.wait_shipped(group.north)
    assert handle.pread(MIB, 0) == bytes(MIB) and handle.pread(MIB, 128 * MIB) == bytes([102]) * MIB
    for each in (handle, other):
        each.shutdown()
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    assert run("cmp", disk.path, copy.path).returncode == 0


def test_a_pair_grows_while_it_runs(group):
    """Both disks, as one step, without a new copy; clients see it when they connect again."""
    write(group.ours[0], 50, 0, MIB)
    group.wait_shipped(group.north)
    with pytest.raises(ApiError) as refused:
        group.south.call("ResizeDisk", DiskId=group.theirs[0].id, OffsiteSizeBytes=32 * MIB)
    assert "primary" in refused.value.message
    before = group.row(group.north)["Offsite"]["ShippedBytes"]
    group.north.call("ResizeDisk", DiskId=group.ours[0].id, OffsiteSizeBytes=32 * MIB)
    assert group.ours[0].row()["Offsite"]["SizeBytes"] == group.theirs[0].row()["Offsite"]["SizeBytes"] == 32 * MIB
    write(group.ours[0], 51, 30 * MIB, MIB)
    group.wait_shipped(group.north)
    assert group.row(group.north)["Offsite"]["ShippedBytes"] - before < 4 * MIB
    for site in (group.north, group.south):
        site.kill()
        site.start()
    group.wait("normal")
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    group.theirs[0].attach()
    read(group.theirs[0], 50, 0, MIB)
    read(group.theirs[0], 51, 30 * MIB, MIB)
    read(group.theirs[0], 0, 20 * MIB, MIB)


def test_a_pair_grows_under_load(group):
    """The marks of a busy disk are being written all the time: growing waits for a moment between two of them."""
    disk = group.ours[0]
    with subprocess.Popen(["qemu-img", "bench", "-w", "-f", "raw", "-d", "8", "-c", "1000000", "-s", "4096", "-S", str(MIB),
                           disk.uri], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        for size in range(17, 25):
            group.north.call("ResizeDisk", DiskId=disk.id, OffsiteSizeBytes=size * MIB)
        assert load.poll() is None, "the load is over already"
        load.kill()
    group.wait_shipped(group.north)
    assert group.theirs[0].row()["Offsite"]["SizeBytes"] == 24 * MIB


def test_a_site_that_died_while_its_disk_grew(group):
    """As a kill leaves it between room and record: the disk is as small as it was, and the other's is larger."""
    group.north.call("ResizeDisk", DiskId=group.ours[0].id, OffsiteSizeBytes=24 * MIB)
    write(group.ours[0], 52, 20 * MIB, MIB)
    group.south.kill()
    with contextlib.closing(sqlite3.connect(group.south.folder / "catalog.sqlite", isolation_level=None)) as catalog:
        changed = catalog.execute("UPDATE record SET body = json_set(body, '$.size', ?) WHERE kind = 'disk' AND id = ?",
                                  (16 * MIB, group.theirs[0].id))
        assert changed.rowcount == 1
    group.south.start()
    until("as large as the other's", lambda: group.theirs[0].row()["Offsite"]["SizeBytes"] == 24 * MIB)
    group.wait_shipped(group.north)
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    group.theirs[0].attach()
    read(group.theirs[0], 52, 20 * MIB, MIB)


@pytest.mark.parametrize("adopting", [0, 1], ids=["primary", "secondary"])
def test_a_pair_grows_over_what_an_adopted_file_holds(two_sites, tmp_path, adopting):
    """The file is longer than its disk: what the disk grows by is no zeros, and the copy is made the same."""
    north, south = two_sites
    image = tmp_path / "image.raw"
    image.write_bytes(b"\x53" * 24 * MIB)
    adopted = [{"OffsitePath": str(image)} if side == adopting else {} for side in range(2)]
    disk, copy = north.disk(16 * MIB, **adopted[0]), south.make_disk(16 * MIB, **adopted[1])
    pair = north.call("CreateDiskReplicaPair", DiskId=disk.id, DestinationDiskId=copy.id, SourceZoneId=north.zone, RPO=1,
                      DestinationRegionId=south.region, DestinationZoneId=south.zone)["ReplicaPairId"]

    def wait(site, status):
        until(f"{pair} {status}", lambda: any(row["Status"] == status for row in site.pairs()))

    wait(north, "created")
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    wait(north, "normal")
    north.call("ResizeDisk", DiskId=disk.id, OffsiteSizeBytes=24 * MIB)
    until("nothing left to ship", lambda: north.pairs()[0]["Offsite"]["DirtyBytes"] == 0 and
          north.pairs()[0]["Offsite"]["State"] == "cycling")
    south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
    wait(south, "failovered")
    for one in (disk, copy.attach()):
        read(one, 0x53 if adopting == 0 else 0, 16 * MIB, 8 * MIB)


def test_members_come_and_go_without_a_new_copy(group, tmp_path):
    """Only what differs travels, and no disk of the group is half-way meanwhile."""
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    north, south = group.north, group.south
    for disk in group.ours:
        run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 8M", "-c", "flush", disk.uri)
    group.wait_shipped(north)
    disk, copy = north.disk(16 * MIB), south.make_disk(16 * MIB)
    run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 8M", "-c", "flush", disk.uri)
    pair = north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=copy.id, RPO=1)["ReplicaPairId"]
    until("created", lambda: north.pairs(PairIds=pair)[0]["Status"] == "created")
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("copied", lambda: north.pairs(PairIds=pair)[0]["Status"] == "normal")
    north.call("StopDiskReplicaPair", ReplicaPairId=pair)
    group.call(north, "Stop")
    group.wait("stopped")
    shipped = group.row(north)["Offsite"]["ShippedBytes"]
    north.call("AddDiskReplicaPair", ReplicaGroupId=group.id, ReplicaPairId=pair)
    for number, one in enumerate(group.ours + [disk]):
        write(one, 30 + number, 12 * MIB if one.row()["Offsite"]["SizeBytes"] > 8 * MIB else 4 * MIB, MIB)
    group.call(north, "Start")
    # All three are copies already: there is a recovery point at once.
    until("a recovery point", lambda: group.row(south)["Offsite"]["Consistent"], 5)
    group.wait("normal")
    group.wait_shipped(north)
    row = group.row(north)["Offsite"]
    assert row["ShippedBytes"] < 5 * MIB and row["ComparedEqualBytes"] > 30 * MIB, (shipped, row)
    group.call(north, "Stop")
    group.wait("stopped")
    north.call("RemoveDiskReplicaPair", ReplicaGroupId=group.id, ReplicaPairId=pair)
    write(disk, 77, 0, MIB)
    before = north.pairs(PairIds=pair)[0]["Offsite"]["ShippedBytes"]
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("in step", lambda: north.pairs(PairIds=pair)[0]["Status"] == "normal" and
          north.pairs(PairIds=pair)[0]["Offsite"]["DirtyBytes"] == 0)
    assert north.pairs(PairIds=pair)[0]["Offsite"]["ShippedBytes"] - before < 3 * MIB
    group.call(north, "Start")
    group.wait("normal")
    north.kill()
    south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
    group.call(south, "Failover")
    until("failed over", lambda: group.row(south)["Status"] == "failovered" and
          south.pairs(PairIds=pair)[0]["Status"] == "failovered")
    for number, one in enumerate(group.theirs + [copy]):
        one.attach()
        read(one, 30 + number, 12 * MIB if one.row()["Offsite"]["SizeBytes"] > 8 * MIB else 4 * MIB, MIB)
    read(copy, 77, 0, MIB)


def test_a_copy_is_not_attached_until_failover(group):
    """Not by way of leaving its group either: the next start takes it for the recovery point that it was."""
    def refused():
        with pytest.raises(ApiError) as error:
            group.theirs[0].attach()
        return (error.value.status, error.value.code) == (403, "OperationDenied")

    write(group.ours[0], 60, 0, MIB)
    group.wait_shipped(group.north)
    assert refused()
    group.call(group.north, "Stop")
    group.wait("stopped")
    assert refused()
    pair, = [row["ReplicaPairId"] for row in group.north.pairs() if row["SourceDiskId"] == group.ours[0].id]
    group.north.call("RemoveDiskReplicaPair", ReplicaGroupId=group.id, ReplicaPairId=pair)
    until("known there", lambda: group.south.pairs(PairIds=pair)[0]["ReplicaGroupId"] == "")
    assert refused()
    group.north.call("DeleteDiskReplicaPair", ReplicaPairId=pair)
    until("gone", lambda: not group.south.pairs(PairIds=pair))
    group.theirs[0].attach()  # no longer anybody's copy
    read(group.theirs[0], 60, 0, MIB)


def test_a_copy_that_left_its_group_is_one_from_its_start(group):
    """Its site can fail over to it even when the primary's is lost in the moment after."""
    write(group.ours[0], 61, 0, MIB)
    group.wait_shipped(group.north)
    group.call(group.north, "Stop")
    group.wait("stopped")
    pair, = [row["ReplicaPairId"] for row in group.north.pairs() if row["SourceDiskId"] == group.ours[0].id]
    group.north.call("RemoveDiskReplicaPair", ReplicaGroupId=group.id, ReplicaPairId=pair)
    group.north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    group.north.kill()
    assert f"pair.state id={pair} from=stopped to=syncing" in group.north.log()  # not to initial_syncing
    until("the link is seen to be down", lambda: not group.south.linked())
    group.south.call("FailoverDiskReplicaPair", ReplicaPairId=pair)
    until("failed over", lambda: group.south.pairs(PairIds=pair)[0]["Status"] == "failovered")
    group.theirs[0].attach()
    read(group.theirs[0], 61, 0, MIB)


def test_scrub_finds_and_repairs_what_has_rotted(group):
    for number, disk in enumerate(group.ours):
        write(disk, 40 + number, 0, MIB)
    group.wait_shipped(group.north)
    group.call(group.north, "Scrub")
    until("compared", lambda: not group.row(group.north)["Offsite"]["Scrubbing"])
    assert group.row(group.north)["Offsite"]["ScrubDifferences"] == 0
    assert group.row(group.north)["Offsite"]["ScrubbedBytes"] == 24 * MIB
    with open(group.theirs[1].path, "r+b") as image:  # a bit turns on the platter
        image.seek(12345)
        image.write(b"?")
    group.call(group.north, "Scrub")
    until("found", lambda: not group.row(group.north)["Offsite"]["Scrubbing"] and
          group.row(group.north)["Offsite"]["ScrubDifferences"] == 1)
    group.wait_shipped(group.north)
    until("repaired", lambda: open(group.theirs[1].path, "rb").read(MIB) == b"\x29" * MIB)
    assert "unit.scrub_difference" in group.north.log()


def test_changes_of_sides_that_cannot_be(group):
    with pytest.raises(ApiError) as refused:
        group.call(group.south, "Reprotect")
    assert refused.value.status in (400, 403, 409), refused.value
    group.call(group.north, "Stop")
    group.wait("stopped")
    with pytest.raises(ApiError):
        group.call(group.south, "Switchover")
    group.north.kill()
    group.call(group.south, "Failover")
    until("failed over", lambda: group.row(group.south)["Status"] == "failovered")
    until("the link is seen to be down", lambda: not group.row(group.south)["Offsite"]["Linked"])
    with pytest.raises(ApiError) as refused:
        group.call(group.south, "Reprotect")
    assert refused.value.code == "RequestTimeout", refused.value
    assert group.row(group.south)["Status"] == "failovered"
