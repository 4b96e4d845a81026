"""EVS replication: pairs and consistency groups, as their one public client calls them and as the documents say; over two real sites."""

import json
import os

import pytest

from evs import GROUPS, PAIRS, Evs, key_of, uuid_of
from huawei import Huawei
from offsite import MIB, make_two_sites, run, until, wait_linked

SLOW = 20_000  # bytes a second: a copy that lasts
NOBODY = "01234567-89ab-8def-8abc-000000000000"
SHORT = {"id", "name", "description", "status", "priority_station", "created_at", "updated_at"}


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


def make_pair(evs, size=2 * MIB, **more):
    """From the first site to the second; the pair's id and the two disks."""
    disk, copy = (one.site.make_disk(size) for one in evs)
    return evs[0].create_pair(disk, copy, **more)["id"], disk, copy


def make_group(evs, state="created", pairs=1, **more):
    """Its id, and its disks at the first site."""
    made = [make_pair(evs) for _ in range(pairs)]
    group = evs[0].create_group(*(pair for pair, _, _ in made), **more)["id"]
    if state != "created":
        evs[0].act(group, "sync")
        for one in evs:
            one.wait_group(group, "available", "active")
    return group, [disk for _, disk, _ in made]


def group_id(site):
    """As the other dialect knows it: the only one there is."""
    row, = site.groups()
    return row["ReplicaGroupId"]


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


def test_a_pair_as_it_is_created_and_shown(evs):
    disk, copy = (one.site.make_disk(2 * MIB, DiskCategory="cloud_essd") for one in evs)
    answer = evs[0].try_create_pair(copy, disk, name="web", description="of the shop", priority_station=evs[0].site.zone)
    assert answer.status == 202 and list(answer.json) == ["replication"]
    row = answer.json["replication"]
    assert set(row) == SHORT | {"replication_consistency_group_id", "volume_ids"}
    assert row["status"] == "creating" and row["updated_at"] is None
    assert row["volume_ids"] == f"{uuid_of(disk.id)},{uuid_of(copy.id)}"  # production first
    for one in evs:
        full = one.pair(row["id"])
        metadata = json.loads(full.pop("record_metadata"))
        assert metadata == {"volume_size": 1, "volume_type": "cloud_essd", "multiattach": False}
        assert full == {**row, "status": "available", "replication_status": "inactive", "progress": None, "fault_level": "0",
                        "replication_model": "hypermetro"}
    assert row["created_at"] == full["created_at"] and len(row["created_at"]) == len("2026-01-02T03:04:05.000000")


def test_a_pair_is_created_at_the_other_site_as_well(evs):
    disk, copy = (one.site.make_disk(2 * MIB) for one in evs)
    pair = evs[1].create_pair(disk, copy)["id"]
    group = evs[1].try_create_group(pair, priority_station=evs[0].site.zone)
    assert group.status == 202
    for one in evs:
        row = one.wait_group(group.json["replication_consistency_group"]["id"], "available")
        assert (row["priority_station"], row["replication_ids"]) == (evs[0].site.zone, [pair])


def test_pairs_that_cannot_be(evs):
    """Bad input is 400, what does not exist 404, what is used otherwise 409."""
    north, south = evs
    disk, copy = (one.site.make_disk(2 * MIB) for one in evs)
    near, large = north.site.make_disk(2 * MIB), south.site.make_disk(4 * MIB)
    one, other = uuid_of(disk.id), uuid_of(copy.id)
    for changes in ({"volume_ids": None}, {"volume_ids": []}, {"volume_ids": [one]}, {"volume_ids": [one, one]},
                    {"volume_ids": [one, other, uuid_of(large.id)]}, {"volume_ids": f"{one},{other}"}, {"volume_ids": [one, 1]},
                    {"priority_station": None}, {"priority_station": ""}, {"priority_station": "west-a"}, {"priority_station": 1},
                    {"replication_model": None}, {"replication_model": "async"}, {"name": 1}, {"name": "n" * 256},
                    {"description": "d" * 256}, {"volume_ids": [one, uuid_of(near.id)]}, {"volume_ids": [one, uuid_of(large.id)]}):
        answer = north.try_create_pair(disk, copy, **changes)
        assert (answer.status, list(answer.json)[0]) == (400, "badRequest"), (changes, answer)
    for ids in ([one, NOBODY], ["none", other]):
        assert north.try_create_pair(disk, copy, volume_ids=ids).status == 404
    for body in (b"{", b"[]", b'{"replication": []}', b'{"pair": {}}', b""):
        assert north.huawei.post(PAIRS, body).status == 400
    assert north.pairs() == south.pairs() == []
    assert north.try_create_pair(disk, copy, name="n" * 255, description="d" * 255).status == 202
    assert north.try_create_pair(disk, copy).status == 409
    south.site.kill()
    assert north.try_create_pair(near, large).status == 504


def test_groups_that_cannot_be(evs):
    north, south = evs
    pair, used = make_pair(evs)[0], make_pair(evs)[0]
    disk, copy = (one.site.make_disk(2 * MIB) for one in reversed(evs))
    opposite = south.create_pair(disk, copy)["id"]
    north.create_group(used)
    for ids, status in (([], 400), (None, 400), ([pair, pair], 400), (pair, 400), ([opposite], 400), ([pair, opposite], 400),
                        ([NOBODY], 404), (["none"], 404), ([pair, NOBODY], 404), ([used], 409), ([pair, used], 409)):
        assert north.try_create_group(pair, replication_ids=ids).status == status, ids
    for changes in ({"priority_station": None}, {"priority_station": "west-a"}, {"priority_station": south.site.zone},
                    {"replication_model": None}, {"replication_model": "async"}, {"name": "n" * 256}, {"description": {}}):
        assert north.try_create_group(pair, **changes).status == 400, changes
    assert len(north.groups()) == 1
    running, _, _ = make_pair(evs)
    row, = [row for row in north.site.pairs() if uuid_of(row["ReplicaPairId"]) == running]
    north.site.call("StartDiskReplicaPair", ReplicaPairId=row["ReplicaPairId"])
    assert north.try_create_group(running).status == 409  # it is not one that is only available


def test_changes_that_cannot_be(evs):
    north, south = evs
    group, _ = make_group(evs)
    member, = north.group(group)["replication_ids"]
    other, used, idle = make_pair(evs)[0], make_group(evs)[0], make_pair(evs)[0]
    taken, = north.group(used)["replication_ids"]
    for changes, status in (({"add_replication_ids": [NOBODY]}, 404), ({"remove_replication_ids": [NOBODY]}, 404),
                            ({"remove_replication_ids": [other]}, 409), ({"remove_replication_ids": [taken]}, 409),
                            ({"add_replication_ids": [taken]}, 409), ({"add_replication_ids": [idle, idle]}, 400),
                            ({"add_replication_ids": [other], "remove_replication_ids": [other]}, 400),
                            ({"add_replication_ids": "x"}, 400), ({"name": "n" * 256}, 400), ({"replication_model": "x"}, 400)):
        assert north.update(group, **changes).status == status, changes
    assert north.update(NOBODY, name="x").status == north.delete_group(NOBODY).status == north.delete_pair(NOBODY).status == 404
    for body in (b"{", b'{"replication_consistency_group": 1}', b""):
        assert north.huawei.put(f"{GROUPS}/{group}", body).status == 400
    assert south.group(group)["replication_ids"] == [member] and south.group(group)["status"] == "available"


def test_what_terraform_does(evs):
    """The order of calls of the one public client, and the statuses that it bears meanwhile."""
    north, _ = evs

    def poll(look, wanted, borne):
        """The client's: it asks again while the status is one that it bears, and fails at any other."""
        def ask():
            row = look()
            status = "gone" if row is None else row["status"]
            assert status == wanted or status in borne, status
            return status == wanted
        until(wanted, ask)

    disk, copy = (one.site.make_disk(2 * MIB) for one in evs)
    pair = north.create_pair(disk, copy)["id"]
    poll(lambda: north.pair(pair), "available", ["creating"])
    group = north.try_create_group(pair).json["replication_consistency_group"]
    assert group["status"] == "creating"
    group = group["id"]
    poll(lambda: north.group(group), "available", ["creating"])
    north.act(group, "sync")
    other = make_pair(evs)[0]
    north.act(group, "stop")
    assert north.update(group, add_replication_ids=[other], remove_replication_ids=[pair]).status == 202
    poll(lambda: north.group(group), "available", ["updating", "creating"])
    assert north.group(group)["replication_ids"] == [other]
    north.act(group, "sync")
    north.act(group, "stop")
    assert north.update(group, remove_replication_ids=north.group(group)["replication_ids"]).status == 202
    poll(lambda: north.group(group), "available", ["updating"])
    assert north.delete_group(group).status == 202
    poll(lambda: north.group(group), "gone", ["deleting", "available"])
    assert north.delete_pair(pair).status == 202
    poll(lambda: north.pair(pair), "gone", ["deleting", "available"])


def test_lists(evs):
    """Filters, order and pages, of pairs and of groups."""
    north, south = evs
    made = [make_pair(evs, name=name) for name in ("b", "a", "c")]
    pairs = [pair for pair, _, _ in made]
    groups = [north.create_group(pairs[i], name=f"of-{i}")["id"] for i in (0, 1)]
    north.act(groups[0], "sync")
    for one in evs:
        one.wait_group(groups[0], "available", "active")

    def of_pairs(query):
        return [pairs.index(row["id"]) for row in north.pairs("?" + query)]

    def of_groups(query):
        return [groups.index(row["id"]) for row in north.groups("?" + query)]

    disk, copy = uuid_of(made[1][1].id), uuid_of(made[1][2].id)
    assert of_pairs("sort_key=name&sort_dir=asc") == [1, 0, 2] and of_pairs("sort_key=name") == [2, 0, 1]
    assert of_pairs("sort_key=id&sort_dir=asc") == sorted(range(3), key=lambda i: pairs[i])
    for key in ("created_at", "updated_at", "status"):
        assert sorted(of_pairs(f"sort_key={key}")) == [0, 1, 2]
        assert of_pairs(f"sort_key={key}&sort_dir=asc") == of_pairs(f"sort_key={key}&sort_dir=desc")[::-1]
    assert of_pairs("name=a") == [1] and of_pairs("name=") and not of_pairs("name=A")
    assert of_pairs(f"volume_id={disk}") == of_pairs(f"volume_id={copy}") == of_pairs(f"volume_ids={disk},{copy}") == [1]
    assert of_pairs(f"volume_ids={disk},{uuid_of(made[0][2].id)}") == of_pairs(f"volume_id={NOBODY}") == []
    assert of_pairs(f"replication_consistency_group_id={groups[1]}") == [1]
    assert len(of_pairs("status=available")) == 3 and not of_pairs("status=error") and not of_pairs("status=copying")
    assert len(of_pairs(f"priority_station={north.site.zone}")) == 3 and not of_pairs(f"priority_station={south.site.zone}")
    assert of_groups("name=of-1") == of_groups(f"volume_id={disk}") == of_groups(f"volume_id={copy}&status=available") == [1]
    assert of_groups("sort_key=name&sort_dir=asc") == [0, 1] and not of_groups("status=updating")
    assert sorted(of_groups(f"priority_station={north.site.zone}")) == [0, 1] and not of_groups("priority_station=nowhere")
    for since in ("2020-01-02T03:04:05", "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.123456", "2020-01-02T03:04:05.1Z"):
        assert len(of_pairs(f"changes-since={since}")) == 3 and len(of_groups(f"changes-since={since}")) == 2
    assert of_pairs("changes-since=2999-01-02T03:04:05") == of_groups("changes-since=2999-01-02T03:04:05") == []
    # pages
    everything = of_pairs("sort_key=name&sort_dir=asc")
    for i in range(3):
        assert of_pairs(f"sort_key=name&sort_dir=asc&limit=1&offset={i}") == everything[i:i + 1]
        assert of_pairs(f"sort_key=name&sort_dir=asc&marker={pairs[everything[i]]}&limit=1000") == everything[i + 1:]
    assert of_pairs("offset=3") == [] and of_groups(f"sort_key=name&marker={groups[1]}") == [0]
    for query in ("limit=0", "limit=1001", "limit=-1", "limit=x", "offset=-1", "offset=x", "sort_key=size", "sort_dir=up",
                  f"marker={NOBODY}", "marker=none", "changes-since=yesterday", "changes-since=2020-01-02",
                  "changes-since=2020-01-02T03:04:05+01:00", "changes-since=Z", "changes-since=2020-13-02T03:04:05"):
        assert north.huawei.get(f"{PAIRS}?{query}").status == north.huawei.get(f"{GROUPS}?{query}").status == 400, query
    assert north.huawei.get(f"{PAIRS}/{NOBODY}").status == north.huawei.get(f"{GROUPS}/{NOBODY}").status == 404
    assert north.huawei.get(f"{PAIRS}/{groups[0]}").status == north.huawei.get(f"{GROUPS}/{pairs[0]}").status == 404


def test_quotas(evs):
    make_group(evs)
    project = evs[0].huawei.project
    for path in (f"{project}", f"{project}/defaults", f"{project}?usage=false"):
        assert evs[0].get("/v2/{project}/os-vendor-replication-quota-sets/" + path) == {
            "id": project, "replications": -1, "replication_consistency_groups": -1,
            "per_replication_consistency_group_size": 128, "per_replication_consistency_groups_size": 128}
    used = evs[0].get(f"/v2/{{project}}/os-vendor-replication-quota-sets/{project}?usage=true")
    assert used["replications"] == used["replication_consistency_groups"] == {"in_use": 1, "limit": -1, "reserved": 0}
    for path, status in (("x" * 32, 404), (f"{project}?usage=x", 400), (f"{project}/usage", 404)):
        assert evs[0].huawei.get("/v2/{project}/os-vendor-replication-quota-sets/" + path).status == status


def test_what_only_one_side_had_is_kept_until_it_is_given_up(evs, tmp_path):
    """A reversal loses nothing: it is refused while the site that would lead again keeps what was not copied before the disaster."""
    north, south = evs
    group, disks = make_group(evs, "active")
    north.site.call("ModifyOffsitePeer", ZoneId=south.site.zone, BytesPerSecond=SLOW)
    disks[0].attach()
    write(disks[0], tmp_path)
    north.site.kill()
    until("the link is down", lambda: south.group(group)["fault_level"] == "2")
    south.act(group, "failover")
    south.wait_group(group, "failovered")
    north.site.start()
    north.wait_group(group, "failovered")
    answer = south.try_act(group, "reprotect")
    assert answer.status == 409 and "attached" in answer.json["error_msg"]  # the disk that will be overwritten
    assert south.state(group) == ("failovered", "active-stopped")
    disks[0].detach()
    north.site.call("ModifyOffsitePeer", ZoneId=south.site.zone, BytesPerSecond=0)
    south.act(group, "reprotect")
    for one in evs:
        one.wait_group(group, "available", "active")
    answer = south.try_act(group, "reverse")
    assert answer.status == 409 and "discard" in answer.json["error_msg"], answer
    assert south.state(group) == ("available", "active")
    south.site.call("DiscardDiskReplicaGroupDivergence", ReplicaGroupId=group_id(south.site))
    south.act(group, "reverse")
    assert south.wait_group(group, "available", "active")["priority_station"] == north.site.zone


def test_both_dialects_on_one_group_at_once(evs):
    """Started by one, failed over by the other, watched by both."""
    north, south = evs
    group, disks = make_group(evs, pairs=2)
    known = group_id(north.site)
    assert uuid_of(known) == group
    north.act(group, "sync")
    for one in evs:
        until("normal", lambda one=one: one.site.groups()[0]["Status"] == "normal")
        assert one.state(group) == ("available", "active")
    south.site.call("FailoverDiskReplicaGroup", ReplicaGroupId=known)
    for one in evs:
        one.wait_group(group, "failovered", "active-stopped")
        assert one.site.groups()[0]["Status"] == "failovered"
    assert north.try_act(group, "stop").status == 200 and north.try_act(group, "sync").status == 409
    south.act(group, "reprotect")
    for one in evs:
        until("normal", lambda one=one: one.site.groups()[0]["Status"] == "normal")
    south.site.call("StopDiskReplicaGroup", ReplicaGroupId=known)
    for one in evs:
        one.wait_group(group, "available", "active-stopped")
    # the one dialect's reprotection ends stopped; the other's goes on from there
    south.site.call("StartDiskReplicaGroup", ReplicaGroupId=known)
    south.wait_group(group, "available", "active")
    north.act(group, "failover")
    south.wait_group(group, "failovered")
    north.site.call("ReprotectDiskReplicaGroup", ReplicaGroupId=known)
    for one in evs:
        until("stopped", lambda one=one: one.site.groups()[0]["Status"] == "stopped")
    north.act(group, "sync")
    for one in evs:
        assert one.wait_group(group, "available", "active")["priority_station"] == north.site.zone
    north.site.call("StopDiskReplicaGroup", ReplicaGroupId=known)
    assert north.update(group, name="both", description="of both").status == 202
    north.wait_group(group, "available")
    row, = north.site.groups()
    assert (row["GroupName"], row["Description"], row["PairNumber"]) == ("both", "of both", len(disks))


def test_a_stopped_group_takes_a_pair_that_was_never_copied(evs, tmp_path):
    """The documents' way to change members; the other dialect wants both to be in the same state."""
    north, south = evs
    group, disks = make_group(evs, "active")
    north.act(group, "stop")
    pair, disk, copy = make_pair(evs)
    content = write(disk.attach(), tmp_path)
    assert north.update(group, add_replication_ids=[pair]).status == 202
    for one in evs:
        until("in it", lambda one=one: len(one.wait_group(group, "available")["replication_ids"]) == 2)
    north.act(group, "sync")
    for one in evs:
        one.wait_group(group, "available", "active")
    south.act(group, "failover")
    south.wait_group(group, "failovered")
    assert read(copy.attach()) == content


def test_a_copied_pair_joins_a_new_group(evs):
    """And what was copied is compared, not copied again."""
    north, _ = evs
    group, _ = make_group(evs, "active")
    pair, = north.group(group)["replication_ids"]
    north.act(group, "stop")
    assert north.update(group, remove_replication_ids=[pair]).status == 202
    north.wait_group(group, "available")
    assert north.pair(pair)["replication_status"] == "active-stopped" or north.pair(pair)["replication_status"] == "inactive"
    other = north.create_group(pair)["id"]
    north.act(other, "sync")
    for one in evs:
        one.wait_group(other, "available", "active")


def test_extending(evs):
    north, south = evs
    group, disks = make_group(evs, "active", pairs=2)
    pairs = {row["id"]: row for row in north.pairs()}
    key, one = "os-extend-replication-volumes", next(iter(pairs))
    outside = make_pair(evs)[0]
    for value, status in ((None, 400), ({}, 400), ([], 400), ({"replications": []}, 400), ({"replications": [1]}, 400),
                          ({"id": one}, 400), ({"new_size": 1}, 400), ({"id": one, "new_size": 0}, 400),
                          ({"id": one, "new_size": "x"}, 400), ({"id": one, "new_size": 65537}, 400),
                          ({"replications": [{"id": one, "new_size": 1}] * 2}, 400), ({"id": NOBODY, "new_size": 1}, 404),
                          ({"id": outside, "new_size": 1}, 409)):
        assert north.try_act(group, key, value).status == status, value
    assert {disk.row()["Offsite"]["SizeBytes"] for disk in disks} == {2 * MIB}
    south.act(group, key, {"id": one, "new_size": 2.9})  # at either site; decimals are cut off
    assert json.loads(north.pair(one)["record_metadata"])["volume_size"] == 2
    assert north.try_act(group, key, {"id": one, "new_size": 2}).status == 400  # not larger
    north.wait_group(group, "available", "active")  # once what is new has been compared
    south.site.kill()
    until("the link is down", lambda: north.group(group)["fault_level"] == "5")
    for action, value in ((key, {"id": one, "new_size": 3}), ("reverse", None), ("failover", None)):
        assert north.try_act(group, action, value).status == 504, action


def test_what_a_link_that_is_down_forbids(evs):
    """The fault level says whether one could fail over now, from there."""
    north, south = evs
    group, _ = make_group(evs, "active")
    fresh, _ = make_group(evs)
    south.site.kill()
    for one in (group, fresh):
        until("no failover at the primary", lambda one=one: north.group(one)["fault_level"] == "5")
    assert north.try_act(fresh, "sync").status == 504
    south.site.start()
    until("linked", lambda: north.group(group)["fault_level"] == "0")
    north.site.kill()
    until("failover is advised", lambda: south.group(group)["fault_level"] == "2")
    until("of what was never copied it is impossible", lambda: south.group(fresh)["fault_level"] == "5")
    assert south.try_act(fresh, "failover").status == 409
    for action in ("stop", "reverse"):
        assert south.try_act(group, action).status == 504, action
    south.act(group, "failover")
    south.wait_group(group, "failovered")
    assert south.try_act(group, "reprotect").status == 504


def test_a_creation_goes_on_after_a_crash(evs):
    """What was promised is done, however often the daemon dies meanwhile."""
    north, _ = evs
    pairs = [make_pair(evs)[0] for _ in range(8)]
    group = north.try_create_group(*pairs).json["replication_consistency_group"]["id"]
    for _ in range(2):
        north.site.kill()
        north.site.start()
    wait_linked(*(one.site for one in evs))
    for one in evs:
        until("all of them", lambda one=one: set(one.wait_group(group, "available")["replication_ids"]) == set(pairs))


def test_a_creation_that_fails(tmp_path):
    """The group says so, and holds nothing; it can be changed, or deleted."""
    sites = make_two_sites(tmp_path, "[limits]\npairs_per_group=1\n")
    try:
        for site in sites:
            site.start()
        wait_linked(*sites)
        north, south = (Evs(site) for site in sites)
        pairs = [make_pair((north, south))[0] for _ in range(2)]
        made = []
        for _ in range(2):
            made.append(north.try_create_group(*pairs).json["replication_consistency_group"]["id"])
            row = north.wait_group(made[-1], "error")
            assert (row["failure_detail"], row["replication_ids"]) == ("37000212", [])
        assert len(north.groups("?status=error")) == 2
        assert north.delete_group(made[0]).status == north.update(made[1], add_replication_ids=[pairs[0]]).status == 202
        gone(lambda: north.group(made[0]))
        assert "failure_detail" not in north.wait_group(made[1], "available")
        assert north.update(made[1], add_replication_ids=[pairs[1]]).status == 202  # too many
        assert north.wait_group(made[1], "error")["replication_ids"] == [pairs[0]]
        north.act(made[1], "sync")
        north.wait_group(made[1], "available", "active")
    finally:
        for site in sites:
            site.close()


def test_a_reversal_that_fails(evs, tmp_path):
    """It is told, and shown until somebody acts on it: replication runs as before."""
    north, south = evs
    group, disks = make_group(evs, "active")
    north.site.call("ModifyOffsitePeer", ZoneId=south.site.zone, BytesPerSecond=SLOW)
    write(disks[0].attach(), tmp_path)
    assert north.try_act(group, "reverse").status in (200, 409)  # 200: it goes on, the answer did not wait for its end
    row = north.wait_group(group, "error_reversing")
    assert row["priority_station"] == north.site.zone and "failure_detail" not in row
    assert [row["id"] for row in north.groups("?status=error_reversing")] == [group]
    north.site.call("ModifyOffsitePeer", ZoneId=south.site.zone, BytesPerSecond=0)
    north.act(group, "sync")
    north.wait_group(group, "available", "active")
    north.act(group, "reverse")
    assert north.wait_group(group, "available", "active")["priority_station"] == south.site.zone


def test_who_may_do_what(evs):
    """Policies of the other dialect, by the same names."""
    north, _ = evs
    group, _ = make_group(evs)
    pair, disk, copy = make_pair(evs)
    policy = {"Version": "1", "Statement": [
        {"Effect": "Allow", "Action": ["ebs:Describe*", "ebs:StartDiskReplicaGroup", "ebs:AddDiskReplicaPair"], "Resource": "*"},
        {"Effect": "Allow", "Action": "ebs:CreateDiskReplicaPair", "Resource": f"acs:ecs:*:*:disk/{disk.id}"}]}
    north.site.call("CreateUser", UserName="anna", Version="2015-05-01")
    key = north.site.call("CreateAccessKey", UserName="anna", Version="2015-05-01")["AccessKey"]
    north.site.call("CreatePolicy", PolicyName="some", PolicyDocument=json.dumps(policy), Version="2015-05-01")
    north.site.call("AttachPolicyToUser", PolicyName="some", PolicyType="Custom", UserName="anna", Version="2015-05-01")
    anna = Evs(north.site)
    anna.huawei = Huawei(north.site, "anna", key["AccessKeySecret"])
    assert len(anna.pairs()) == 2 and anna.group(group)
    anna.act(group, "sync")
    assert anna.update(group, name="other").status == anna.delete_pair(pair).status == anna.delete_group(group).status == 403
    assert anna.try_act(group, "stop").status == anna.try_create_group(pair).status == 403
    assert anna.try_act(group, "os-extend-replication-volumes", {"id": anna.group(group)["replication_ids"][0], "new_size": 1}
                        ).status == 403
    assert anna.try_create_pair(disk, copy).status == 403  # of one disk, not of the other
    assert anna.huawei.post(f"{GROUPS}/{group}/action", {key_of("unknown"): None}).status == 501
