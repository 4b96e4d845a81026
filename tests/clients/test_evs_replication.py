"""EVS replication: pairs and consistency groups, as their one public client calls them and as the documents say; over two real sites."""

import json
import os

import pytest

from evs import GROUPS, PAIRS, Evs, uuid_of
from offsite import MIB, run, until

GIB = 1 << 30


@pytest.fixture
def evs(two_sites):
    """EVS at both sites."""
    return [Evs(site) for site in two_sites]


def write(disk, folder, seed=b"x"):
    content = folder / "content"
    content.write_bytes(os.urandom(MIB - len(seed)) + seed)
    run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 1M", "-c", "flush", disk.uri)
    return content.read_bytes()


def read(disk):
    run("nbdcopy", disk.uri, disk.site.folder / "copy")
    return (disk.site.folder / "copy").read_bytes()[:MIB]


def gone(look):
    until("gone", lambda: look() is None)


def test_the_whole_life(evs, tmp_path):
    """Set up, change members, planned move and back, disaster, grow, tear down: as the workflows of the documents."""
    north, south = evs
    disks, copies = [[one.site.make_disk(2 * MIB) for _ in range(2)] for one in evs]
    pairs = [north.create_pair(disk, copy, name=f"web-{i}")["id"] for i, (disk, copy) in enumerate(zip(disks, copies, strict=True))]
    for one in evs:
        assert {row["id"]: (row["status"], row["replication_status"], row["progress"]) for row in one.pairs()} == {
            pair: ("available", "inactive", None) for pair in pairs}
    # set up
    group = north.create_group(pairs[0], name="web")["id"]
    north.act(group, "sync")
    for one in evs:
        row = one.wait_group(group, "available", "active")
        assert (row["replication_ids"], row["priority_station"], row["fault_level"]) == ([pairs[0]], north.site.zone, "0")
        until("progress", lambda one=one: one.pair(pairs[0])["progress"] == "100")
    # change members
    assert north.update(group, add_replication_ids=[pairs[1]]).status == 409
    north.act(group, "stop")
    assert north.state(group) == ("available", "active-stopped")
    answer = north.update(group, add_replication_ids=[pairs[1]], name="shop")
    assert answer.status == 202 and answer.json["replication_consistency_group"]["status"] == "updating"
    north.wait_group(group, "available")
    north.act(group, "sync")
    row = south.wait_group(group, "available", "active")
    assert set(row["replication_ids"]) == set(pairs) and row["name"] == "shop"
    # planned move, and back
    disks[0].attach()
    content = write(disks[0], tmp_path)
    disks[0].detach()
    for here, there in ((north, south), (south, north)):
        here.act(group, "reverse")
        for one in evs:
            assert one.wait_group(group, "available", "active")["priority_station"] == there.site.zone
            assert one.pair(pairs[0])["priority_station"] == there.site.zone
    assert north.pair(pairs[0])["volume_ids"] == f"{uuid_of(disks[0].id)},{uuid_of(copies[0].id)}"
    # disaster
    north.site.kill()
    until("the link is down", lambda: south.group(group)["fault_level"] == "2")
    south.act(group, "failover")
    row = south.wait_group(group, "failovered", "active-stopped")
    assert row["priority_station"] == south.site.zone
    assert read(copies[0].attach()) == content
    content = write(copies[0], tmp_path)
    north.site.start()
    north.wait_group(group, "failovered")
    until("linked", lambda: south.group(group)["fault_level"] == "0")
    south.act(group, "reprotect")
    for one in evs:
        assert one.wait_group(group, "available", "active")["priority_station"] == south.site.zone
    assert south.pair(pairs[0])["volume_ids"].startswith(uuid_of(copies[0].id))
    copies[0].detach()
    south.act(group, "reverse")
    assert read(disks[0].attach()) == content
    # grow
    north.act(group, "os-extend-replication-volumes", {"replications": [{"id": pair, "new_size": 1} for pair in pairs]})
    north.act(group, "os-extend-replication-volumes", {"id": pairs[0], "new_size": "2"})
    assert [disk.row()["Size"] for disk in disks + copies] == [2, 1, 2, 1]
    assert json.loads(north.pair(pairs[0])["record_metadata"])["volume_size"] == 2
    # tear down
    for one in evs:
        assert one.delete_group(group).status == one.delete_pair(pairs[0]).status == 409
    north.act(group, "stop")
    assert north.update(group, remove_replication_ids=pairs).status == 202
    north.wait_group(group, "available")
    assert north.delete_group(group).status == 202
    for pair in pairs:
        assert north.delete_pair(pair).status == 202
    for one in evs:
        gone(lambda one=one: one.group(group))
        for pair in pairs:
            gone(lambda one=one, pair=pair: one.pair(pair))
