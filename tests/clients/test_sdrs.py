"""SDRS over two real sites: the workflows of the documents, each status with each action, jobs that a crash cuts off.

The tables are typed in by hand from the documents, not taken from the code. Statuses that pass too quickly, or that a failure leads
to, are made by the hook of src/control/hold.h, which a build with -Dhold=true has."""

import json
import os

import pytest

from evs import uuid_of
from huawei import Huawei
from offsite import MIB, OFFSITE, OFFSITED, Disk, make_two_sites, run, until, wait_linked
from sdrs import FAILURES, GROUPS, INSTANCES, PAIRS, V1, Sdrs

HOOKED = b"OFFSITE_HOLD" in OFFSITED.read_bytes()
SLOW = 20_000  # bytes a second: a copy that lasts
SERVER = "00000000-0000-0000-0000-0000000000aa"


@pytest.fixture
def sdrs(tmp_path):
    """SDRS at both sites, whose states can be held."""
    sites = make_two_sites(tmp_path)
    for site in sites:
        site.hold_path = site.folder / "hold"
        site.environment = {"OFFSITE_HOLD": str(site.hold_path)}
    try:
        for site in sites:
            site.start()
        wait_linked(*sites)
        yield [Sdrs(site) for site in sites]
    finally:
        release(*sites)
        for site in sites:
            site.close()


def hold(site, word, state):
    if not HOOKED:
        pytest.skip("this build has no hook: configure with -Dhold=true")
    site.hold_path.with_suffix(".new").write_text(f"{word} {state}\n")
    site.hold_path.with_suffix(".new").rename(site.hold_path)


def release(*sites):
    for site in sites:
        site.hold_path.unlink(missing_ok=True)


def limit(site, peer, rate):
    site.call("ModifyOffsitePeer", ZoneId=peer.zone, BytesPerSecond=rate)


def write(disk, folder):
    content = folder / "content"
    content.write_bytes(os.urandom(MIB))
    run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 1M", "-c", "flush", disk.uri)
    return content.read_bytes()


def read(disk):
    run("nbdcopy", disk.uri, disk.site.folder / "copy")
    return (disk.site.folder / "copy").read_bytes()[:MIB]


def disks(site):
    return {row["DiskId"] for row in site.call("DescribeDisks", PageSize=100)["Disks"]["Disk"]}


def refused(answer, status, code):
    """All that clients look at says the same."""
    assert (answer.status, answer.json["error"]["code"], answer.json["error_code"]) == (status, code, code), answer
    assert answer.json["error"]["message"] == answer.json["error_msg"] != ""
    return answer.json["error_msg"]


def copy_of(sdrs, pair):
    """The DR disk, as a disk of offsite.py."""
    digits = sdrs.pair(pair)["volume_ids"].split(",")[1].replace("-", "")
    return Disk(sdrs.site, "d-" + digits[:20])


# --- the workflows


def test_the_whole_life(sdrs, tmp_path):
    north, south = sdrs
    disk, other = north.site.make_disk(2 * MIB, DiskName="web"), north.site.make_disk(2 * MIB)
    # set up
    group = north.make_group(south.site.zone, "web", description="the shop")
    row = north.group(group)
    assert (row["status"], row["replication_status"], row["priority_station"], row["source_vpc_id"]) == (
        "available", "inactive", "source", "vpc-1")
    assert [one.group(group)["source_availability_zone"] for one in sdrs] == [north.site.zone] * 2
    pair = north.make_pair(group, disk, "web-1")
    assert north.pair(pair)["volume_ids"] == f"{uuid_of(disk.id)},{uuid_of(copy_of(south, pair).id)}"
    assert copy_of(south, pair).row()["DiskName"] == "web"
    north.act(group, "start")
    for one in sdrs:
        row = one.wait(group, "protected", "active")
        assert (row["replication_num"], row["progress"], row["health_status"]) == (1, 100, "normal")
        assert (one.pair(pair)["status"], one.pair(pair)["replication_status"]) == ("protected", "active")
    # a pair more while it runs
    second = north.make_pair(group, other, "web-2")
    north.wait(group, "protected", "active")
    assert north.group(group)["replication_num"] == 2
    assert {north.pair(one)["server_group_id"] for one in (pair, second)} == {group}
    # switchover, and back
    disk.attach()
    content = write(disk, tmp_path)
    disk.detach()
    for station in ("target", "source"):
        refused(north.try_act(group, "to source" if station == "target" else "to target"), 400, "SDRS.0216")
        north.act(group, f"to {station}")
        for one in sdrs:
            row = one.wait(group, "protected", "active")
            assert row["priority_station"] == one.pair(pair)["priority_station"] == station
            assert (row["source_availability_zone"], row["target_availability_zone"]) == (north.site.zone, south.site.zone)
            assert one.pair(pair)["volume_ids"].startswith(uuid_of(disk.id))
    # disaster
    north.site.kill()
    until("the link is down", lambda: south.pair(pair)["fault_level"] == "2")
    south.act(group, "failover")
    row = south.wait(group, "failed-over", "active-stopped")
    assert row["priority_station"] == "target"
    copy = copy_of(south, pair)
    assert read(copy.attach()) == content
    content = write(copy, tmp_path)
    north.site.start()
    wait_linked(*[one.site for one in sdrs])
    north.wait(group, "failed-over")
    # the repaired site follows, then production goes home
    job = south.job(south.try_act(group, "start"))
    assert job["job_type"] == "reprotectProtectionGroupNoCG"
    for one in sdrs:
        assert one.wait(group, "protected", "active")["priority_station"] == "target"
    copy.detach()
    south.act(group, "to source")
    assert read(disk.attach()) == content
    disk.detach()
    # grow
    assert north.done(north.try_expand(pair, 2))["replication_pair_id"] == pair
    assert [one.row()["Size"] for one in (disk, copy)] == [2, 2]
    until("sizes", lambda: [one.pair(pair)["record_metadata"]["volume_size"] for one in sdrs] == [2, 2])
    # tear down
    refused(north.try_delete_group(group), 400, "SDRS.1010")
    north.done(north.try_delete_pair(second, server_group_id=group, delete_target_volume=True))
    assert disks(north.site) == {disk.id, other.id} and disks(south.site) == {copy.id}
    assert north.wait(group, "protected")["replication_num"] == 1
    north.wait(group, "protected", "active")
    north.act(group, "stop")
    north.done(north.try_delete_pair(pair))
    assert disks(north.site) == {disk.id, other.id} and disks(south.site) == {copy.id}
    north.done(north.try_delete_group(group))
    for one in sdrs:
        assert one.group(group) is one.pair(pair) is one.pair(second) is None


def test_what_a_job_says(sdrs):
    north, south = sdrs
    disk = north.site.make_disk(2 * MIB)
    job = north.end(north.try_make_group(south.site.zone, "web"))
    group = job["entities"]["server_group_id"]
    assert job["job_type"] == "createProtectionGroupNoCG" and job["begin_time"] < job["end_time"]
    assert len(job["job_id"]) == 32 and job["begin_time"].endswith("Z")
    job = north.end(north.try_make_pair(group, disk))
    assert job["job_type"] == "createReplicationPairNoCG"
    assert job["entities"] == {"server_group_id": group, "replication_pair_id": job["entities"]["replication_pair_id"],
                               "volume_ids": north.pair(job["entities"]["replication_pair_id"])["volume_ids"]}
    refused(north.huawei.get(f"{V1}/jobs/{'0' * 32}"), 404, "SDRS.0408")


def test_many_pairs_asked_for_at_once_are_all_made(sdrs):
    """As Terraform does: the jobs on one group wait for each other."""
    north, south = sdrs
    group = north.make_group(south.site.zone)
    north.make_pair(group, north.site.make_disk(2 * MIB))
    north.act(group, "start")
    answers = [north.try_make_pair(group, north.site.make_disk(2 * MIB), f"pair-{i}") for i in range(4)]
    pairs = [north.done(answer)["replication_pair_id"] for answer in answers]
    assert len(set(pairs)) == 4 and north.wait(group, "protected", "active")["replication_num"] == 5
    answers = [north.try_delete_pair(pair, delete_target_volume=True) for pair in pairs]
    assert {row["status"] for row in map(north.pair, pairs) if row is not None} <= {"deleting"}
    for answer in answers:
        north.done(answer)
    assert north.wait(group, "protected", "active")["replication_num"] == 1 and len(disks(south.site)) == 1


def test_a_group_whose_production_is_at_the_other_site(sdrs):
    """Asked for here, made there; its pairs, too."""
    north, south = sdrs
    disk = north.site.make_disk(2 * MIB)
    group = south.make_group(north.site.zone, source_availability_zone=north.site.zone, target_availability_zone=south.site.zone)
    pair = south.make_pair(group, disk)
    south.act(group, "start")
    for one in sdrs:
        assert one.wait(group, "protected", "active")["priority_station"] == "source"
        assert one.pair(pair)["status"] == "protected"
    refused(south.try_make_pair(group, south.site.make_disk(2 * MIB)), 400, "SDRS.1809")


# --- statuses and actions

# ok: it is accepted; a code: refused with it. "now" is where production is already.
GROUP_ACTIONS = """
                    start      stop       to target  to source  failover   delete     new pair
empty               SDRS.1002  SDRS.1018  SDRS.1019  SDRS.0216  SDRS.1020  ok         ok
available           ok         SDRS.1018  SDRS.1019  SDRS.0216  SDRS.1020  SDRS.1010  ok
first-copy          SDRS.1017  SDRS.1830  SDRS.1830  SDRS.0216  SDRS.1830  SDRS.1010  ok
protected           SDRS.1017  ok         ok         SDRS.0216  ok         SDRS.1010  ok
error-starting      ok         SDRS.1018  SDRS.1019  SDRS.0216  SDRS.1020  SDRS.1010  SDRS.1022
error-stopping      SDRS.1017  ok         SDRS.1019  SDRS.0216  ok         SDRS.1010  SDRS.1022
failing-over        SDRS.1017  SDRS.1018  SDRS.1019  SDRS.0216  SDRS.1020  SDRS.1010  SDRS.1022
error-failing-over  SDRS.1017  SDRS.1018  SDRS.1019  SDRS.0216  ok         SDRS.1010  SDRS.1022
failed-over         ok         SDRS.1018  SDRS.0216  SDRS.1019  SDRS.1020  SDRS.1010  SDRS.1022
reprotecting        SDRS.1017  SDRS.1018  SDRS.0216  SDRS.1019  SDRS.1020  SDRS.1010  SDRS.1022
"""
PAIR_ACTIONS = """
                    expand     delete
available           ok         ok
first-copy          ok         ok
protected           ok         ok
error-starting      SDRS.1816  ok
error-stopping      SDRS.1816  ok
failing-over        SDRS.1816  SDRS.1024
error-failing-over  SDRS.1816  SDRS.1024
failed-over         SDRS.1816  ok
reprotecting        SDRS.1816  SDRS.1024
"""


def read_table(text):
    head, *rows = [line.replace("to t", "to_t").replace("to s", "to_s").replace("new p", "new_p").split()
                   for line in text.strip().splitlines()]
    head = [word.replace("_", " ") for word in head]
    return {row[0]: dict(zip(head, row[1:], strict=True)) for row in rows}


def fail_action(one, site, group, action, passes):
    hold(site, "fail", passes)
    assert one.end(one.try_act(group, action))["status"] == "FAIL"
    release(site)


def reach(sdrs, group, disk, status):
    """Brings a new group with one pair to that status."""
    north, south = sdrs
    if status in ("empty", "available"):
        return
    if status == "error-starting":
        fail_action(north, north.site, group, "start", "initial_syncing")
        return
    if status == "first-copy":
        write(disk.attach(), disk.site.folder)
        limit(north.site, south.site, SLOW)
    north.act(group, "start")
    if status == "first-copy":
        return
    north.wait(group, "protected", "active")
    if status == "error-stopping":
        fail_action(north, north.site, group, "stop", "stopping")
    elif status == "error-failing-over":
        fail_action(north, south.site, group, "failover", "failovering")
    elif status == "failing-over":
        hold(south.site, "hold", "failovering")
        north.job(north.try_act(group, "failover"))
    elif status in ("failed-over", "reprotecting"):
        north.act(group, "failover")
        north.wait(group, "failed-over")
    if status == "reprotecting":
        hold(south.site, "hold", "reprotecting")
        north.job(north.try_act(group, "start"))


def attempt(one, group, pair, disk, action):
    if action == "delete":
        return one.try_delete_group(group) if pair is None else one.try_delete_pair(pair)
    if action == "expand":
        return one.try_expand(pair, 1)
    return one.try_make_pair(group, disk) if action == "new pair" else one.try_act(group, action)


@pytest.mark.parametrize("about, status", [("group", status) for status in read_table(GROUP_ACTIONS)] +
                         [("pair", status) for status in read_table(PAIR_ACTIONS)])
def test_each_action_in_each_status(sdrs, about, status):
    """What is refused changes nothing, and what is accepted is done."""
    north, south = sdrs
    table = read_table(GROUP_ACTIONS if about == "group" else PAIR_ACTIONS)[status]
    shown = {"empty": "available", "first-copy": "protected"}.get(status, status)
    new, accepted = north.site.make_disk(2 * MIB), [action for action, code in table.items() if code == "ok"]
    for action in [None, *accepted]:
        disk = north.site.make_disk(2 * MIB)
        group = north.make_group(south.site.zone)
        pair = None if status == "empty" else north.make_pair(group, disk)
        reach(sdrs, group, disk, status)
        north.wait(group, shown)
        if pair is not None:
            assert north.pair(pair)["status"] == shown
        subject = pair if about == "pair" else None
        for refused_action, code in table.items():
            if code != "ok":
                refused(attempt(north, group, subject, new, refused_action), 400, code)
                assert north.status(group) == shown, refused_action
        if action is not None:
            answer = attempt(north, group, subject, new, action)
            release(*[one.site for one in sdrs])
            limit(north.site, south.site, 0)
            north.done(answer)
        release(*[one.site for one in sdrs])
        limit(north.site, south.site, 0)


def test_an_action_that_failed_can_be_repeated(sdrs):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    pair = north.make_pair(group, north.site.make_disk(2 * MIB))
    fail_action(north, north.site, group, "start", "initial_syncing")
    assert north.status(group) == north.pair(pair)["status"] == "error-starting"
    north.act(group, "start")
    north.wait(group, "protected", "active")
    fail_action(north, north.site, group, "stop", "stopping")
    assert north.status(group) == "error-stopping" and north.group(group)["health_status"] == "abnormal"
    assert north.names(GROUPS, "?query_type=status_abnormal") == ["group"]
    north.act(group, "stop")
    assert north.wait(group, "available")["health_status"] == "normal"


# --- jobs that are cut off


@pytest.mark.parametrize("state", ["creating", "stopping", "initial_syncing"])
def test_a_pair_is_made_wholly_or_not_at_all(sdrs, state):
    """The daemon is killed at a step in the middle. Nothing half-made stays, and the group is as it was."""
    north, south = sdrs
    group = north.make_group(south.site.zone)
    first = north.make_pair(group, north.site.make_disk(2 * MIB))
    north.act(group, "start")
    north.wait(group, "protected", "active")
    before = disks(south.site)
    disk = north.site.make_disk(2 * MIB)
    begin = len(north.site.log())
    hold(north.site, "hold", state)
    answer = north.try_make_pair(group, disk, "second")
    north.site.wait_log(f"state={state}", begin)
    assert north.status(group) == "protected"
    north.site.kill()
    release(north.site)
    north.site.start()
    wait_linked(*[one.site for one in sdrs])
    job = north.end(answer)
    made = disks(south.site) - before
    assert len(made) == (1 if job["status"] == "SUCCESS" else 0), job
    assert sorted(north.names(PAIRS)) == (["pair", "second"] if made else ["pair"])
    row = north.wait(group, "protected", "active")
    assert row["replication_num"] == len(north.names(PAIRS)) and north.pair(first)["status"] == "protected"
    assert north.failures(f"?server_group_id={group}") == [] or job["status"] == "FAIL"


def test_a_pair_that_joins_takes_no_recovery_point_away(sdrs, tmp_path):
    """It is copied before it joins: meanwhile the group can be failed over, and then there is nothing to join."""
    north, south = sdrs
    disk, other = north.site.disk(2 * MIB), north.site.disk(2 * MIB)
    group = north.make_group(south.site.zone)
    pair = north.make_pair(group, disk)
    north.act(group, "start")
    content = write(disk, tmp_path)
    write(other, tmp_path)
    until("all is copied", lambda: all(row["Offsite"]["Idle"] and row["Status"] == "normal" for row in north.site.pairs()))
    limit(north.site, south.site, SLOW)
    answer = north.try_make_pair(group, other, "second")
    until("the first copy", lambda: "initial_syncing" in [row["Status"] for row in north.site.pairs()])
    assert {row["PairName"]: row["Status"] for row in north.site.pairs()} == {"pair": "normal", "second": "initial_syncing"}
    assert (north.status(group), north.group(group)["replication_status"]) == ("protected", "active")
    south.act(group, "failover")
    job = north.end(answer)
    assert job["status"] == "FAIL" and "failover" in job["fail_reason"], job
    limit(north.site, south.site, 0)
    assert north.names(PAIRS) == ["pair"] and disks(south.site) == {copy_of(south, pair).id}
    assert read(copy_of(south, pair).attach()) == content


def test_a_pair_that_cannot_be_made_leaves_nothing(sdrs):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    north.make_pair(group, north.site.make_disk(2 * MIB))
    north.act(group, "start")
    north.wait(group, "protected", "active")
    before = disks(south.site)
    hold(north.site, "fail", "created")
    job = north.end(north.try_make_pair(group, north.site.make_disk(2 * MIB), "second"))
    release(north.site)
    assert (job["status"], job["error_code"]) == ("FAIL", "SDRS.1606") and "copy the disk" in job["fail_reason"]
    assert disks(south.site) == before and north.names(PAIRS) == ["pair"]


@pytest.mark.parametrize("action, state", [("start", "initial_syncing"), ("stop", "stopping"), ("failover", "failovering"),
                                           ("to target", "reprotecting")])
def test_an_action_ends_after_a_crash(sdrs, action, state):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    north.make_pair(group, north.site.make_disk(2 * MIB))
    if action != "start":
        north.act(group, "start")
        north.wait(group, "protected", "active")
    site = north.site if action in ("start", "stop") else south.site
    begin = len(site.log())
    hold(site, "hold", state)
    answer = north.try_act(group, action)
    site.wait_log(f"state={state}", begin)
    north.site.kill()
    release(site)
    north.site.start()
    wait_linked(*[one.site for one in sdrs])
    ends = {"start": "protected", "stop": "available", "failover": "failed-over", "to target": "protected"}
    if north.end(answer)["status"] == "SUCCESS":
        for one in sdrs:
            one.wait(group, ends[action])


# --- the task centre


def test_failed_tasks_are_listed_until_somebody_has_seen_to_them(sdrs):
    north, south = sdrs
    group, other = north.make_group(south.site.zone, "web"), north.make_group(south.site.zone, "mail")
    north.make_pair(group, north.site.make_disk(2 * MIB))
    fail_action(north, north.site, group, "start", "initial_syncing")
    north.act(group, "start")
    north.wait(group, "protected", "active")
    hold(north.site, "fail", "created")
    job = north.end(north.try_make_pair(group, north.site.make_disk(2 * MIB), "second"))
    release(north.site)
    row, = north.failures()
    assert (row["job_type"], row["job_status"], row["resource_type"], row["failure_status"], row["resource_id"],
            row["resource_name"], row["error_code"]) == ("startProtectionGroupNoCG", "FAIL", "server_groups", "startFail", group, "web",
                                                         "SDRS.1027")
    inside, = north.failures(f"?server_group_id={group}")
    assert (inside["job_id"], inside["failure_status"], inside["resource_name"]) == (job["job_id"], "createFail", "second")
    assert north.failures(f"?server_group_id={other}") == north.failures("?failure_status=stopFail") == []
    assert north.failures("?resource_type=replications") == [inside]
    assert north.failures("?resource_name=we") == [row] and north.failures("?resource_name=mail") == []
    assert north.failures("?limit=0") == [] and north.failures("?offset=1") == []
    # they outlive a restart, and what was seen to does, too
    assert north.huawei.delete(f"{FAILURES}/{row['job_id']}").status == 204
    refused(north.huawei.delete(f"{FAILURES}/{row['job_id']}"), 404, "SDRS.0408")
    north.site.kill()
    north.site.start()
    assert north.failures() == [] and north.failures(f"?server_group_id={group}") == [inside]
    assert north.huawei.delete(f"{V1}/task-center/{other}/failure-jobs/batch").status == 204
    assert north.failures(f"?server_group_id={group}") == [inside]
    assert north.huawei.delete(f"{V1}/task-center/{group}/failure-jobs/batch").status == 204
    assert north.failures(f"?server_group_id={group}") == []
    assert north.huawei.delete(f"{FAILURES}/batch").status == 204


# --- protected instances


def test_an_instance_ties_the_pairs_of_a_server(sdrs):
    north, south = sdrs
    server = north.site.call("RunInstances", Amount=1)["InstanceIdSets"]["InstanceIdSet"][0]
    mine, other = north.site.make_disk(2 * MIB).attach(server), north.site.make_disk(2 * MIB)
    group = north.make_group(south.site.zone)
    pairs = [north.make_pair(group, disk, name) for disk, name in ((mine, "mine"), (other, "other"))]
    entities = north.done(north.try_make_instance(group, uuid_of(server), "shop", tags=[{"key": "a", "value": "1"}]))
    instance = entities["protected_instance_id"]
    assert entities["native_server_id"] == uuid_of(server) and entities["server_group_id"] == group
    for one in sdrs:
        row = until("told", lambda one=one: one.instance(instance))
        assert (row["name"], row["status"], row["source_server"], row["priority_station"]) == (
            "shop", "available", uuid_of(server), "source")
        assert [entry["replication"] for entry in row["attachment"]] == [pairs[0]]
        assert row["tags"] == [{"key": "a", "value": "1"}]
        assert [entry["protected_instance"] for entry in one.pair(pairs[0])["attachment"]] == [instance]
    assert north.group(group)["protected_instance_num"] == 1
    assert north.names(PAIRS, f"?protected_instance_id={instance}") == ["mine"]
    refused(north.try_make_instance(group, uuid_of(server)), 400, "SDRS.1305")
    refused(north.try_delete_pair(pairs[0]), 400, "SDRS.1605")
    # attach and detach
    attach = {"replicationAttachment": {"replication_id": pairs[1], "device": "/dev/vdb"}}
    north.done(north.huawei.post(f"{INSTANCES}/{instance}/attachreplication", attach))
    assert {"replication": pairs[1], "device": "/dev/vdb"} in north.instance(instance)["attachment"]
    refused(north.huawei.post(f"{INSTANCES}/{instance}/attachreplication", attach), 400, "SDRS.1605")
    for pair in pairs:
        north.done(north.huawei.delete(f"{INSTANCES}/{instance}/detachreplication/{pair}"))
    assert north.instance(instance)["attachment"] == north.pair(pairs[1])["attachment"] == []
    refused(north.huawei.delete(f"{INSTANCES}/{instance}/detachreplication/{pairs[0]}"), 400, "SDRS.1604")
    # a name, then its end
    answer = north.huawei.put(f"{INSTANCES}/{instance}", {"protected_instance": {"name": "store"}})
    assert answer.json["protected_instance"]["name"] == "store" == north.names(INSTANCES)[0]
    refused(north.try_delete_group(group), 400, "SDRS.1001")
    north.done(north.huawei.delete(f"{INSTANCES}/{instance}", {"delete_target_server": False}))
    assert north.instance(instance) is None and north.group(group)["protected_instance_num"] == 0
    refused(north.huawei.get(f"{INSTANCES}/{instance}"), 404, "SDRS.1320")


def test_batches_and_tags_of_instances(sdrs):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    servers = [{"server_id": SERVER[:-1] + str(i)} for i in range(3)]
    body = {"protected_instances": {"name_prefix": "web", "server_group_id": group, "servers": servers}}
    north.done(north.huawei.post(f"{INSTANCES}/batch", body))
    rows = north.get(INSTANCES)["protected_instances"]
    assert [row["name"] for row in rows] == ["web-0001", "web-0002", "web-0003"]
    assert north.names(INSTANCES, f"?limit=2&marker={rows[0]['id']}") == ["web-0002", "web-0003"]
    assert north.names(INSTANCES, "?name=2") == ["web-0002"] and north.names(INSTANCES, "?status=protected") == []
    assert north.names(INSTANCES, f"?protected_instance_ids=%5B%22{rows[2]['id']}%22%5D") == ["web-0003"]
    one, two, _ = [f"{INSTANCES}/{row['id']}" for row in rows]
    assert north.huawei.post(f"{one}/tags", {"tag": {"key": "tier", "value": "front"}}).status == 204
    assert north.huawei.post(f"{two}/tags/action", {"action": "create", "tags": [
        {"key": "tier", "value": "back"}, {"key": "old", "value": ""}]}).status == 204
    assert north.get(f"{two}/tags")["tags"] == [{"key": "tier", "value": "back"}, {"key": "old", "value": ""}]
    assert {tag["key"]: set(tag["values"]) for tag in north.get(f"{INSTANCES}/tags")["tags"]} == {
        "tier": {"front", "back"}, "old": {""}}
    find = f"{INSTANCES}/resource_instances/action"
    wanted = {"action": "filter", "tags": [{"key": "tier", "values": ["back", "none"]}]}
    assert [row["resource_name"] for row in north.huawei.post(find, wanted).json["resources"]] == ["web-0002"]
    wanted = {"action": "count", "not_tags_any": [{"key": "tier", "values": []}]}
    assert north.huawei.post(find, wanted).json == {"total_count": 1}
    assert north.huawei.delete(f"{two}/tags/old").status == 204
    refused(north.huawei.delete(f"{two}/tags/old"), 404, "SDRS.2206")
    assert north.huawei.post(f"{two}/tags/action", {"action": "delete", "tags": [{"key": "tier", "value": "x"}]}).status == 204
    assert north.get(f"{two}/tags")["tags"] == []
    many = {"action": "create", "tags": [{"key": str(i), "value": ""} for i in range(11)]}
    refused(north.huawei.post(f"{one}/tags/action", many), 400, "SDRS.2202")
    north.done(north.huawei.post(f"{INSTANCES}/delete", {"protected_instances": [{"id": row["id"]} for row in rows]}))
    assert north.names(INSTANCES) == []


# --- policies


def test_each_change_asks_whether_the_caller_may(sdrs, tmp_path):
    """One may stop and start a group, and look; nothing else, and not another group."""
    north, south = sdrs
    group, other = north.make_group(south.site.zone, "mine"), north.make_group(south.site.zone, "other")
    disk = north.site.make_disk(2 * MIB)
    pair = north.make_pair(group, disk)
    mine = "acs:ebs:*:*:diskreplicagroup/pg-" + group.replace("-", "")[:20]
    statements = [{"Effect": "Allow", "Action": "ebs:Describe*", "Resource": "*"},
                  {"Effect": "Allow", "Action": ["ebs:StartDiskReplicaGroup", "ebs:StopDiskReplicaGroup"], "Resource": mine}]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"Version": "1", "Statement": statements}))
    command = [OFFSITE, "--dir", north.site.folder]
    run(*command, "policy", "create", "operator", "--file", path)
    run(*command, "user", "create", "anna")
    run(*command, "user", "attach", "anna", "operator")
    key = dict(line.split() for line in run(*command, "key", "create", "--user", "anna").stdout.splitlines()[:2])
    anna = Sdrs(north.site)
    anna.huawei = Huawei(north.site, "anna", key["secret"])
    instance = north.done(north.try_make_instance(group, SERVER))["protected_instance_id"]
    assert anna.pair(pair)["status"] == anna.instance(instance)["status"] == "available" and len(anna.names(GROUPS)) == 2
    anna.act(group, "start")
    anna.wait(group, "protected", "active")
    for answer in (anna.try_act(group, "failover"), anna.try_act(group, "to target"), anna.try_act(other, "start"),
                   anna.try_make_pair(group, north.site.make_disk(2 * MIB)), anna.try_expand(pair, 1), anna.try_delete_pair(pair),
                   anna.try_make_group(south.site.zone, "third"), anna.try_delete_group(other),
                   anna.try_make_instance(group, SERVER[:-1] + "b"), anna.huawei.delete(f"{INSTANCES}/{instance}"),
                   anna.huawei.put(f"{INSTANCES}/{instance}", {"protected_instance": {"name": "x"}}),
                   anna.huawei.post(f"{INSTANCES}/{instance}/tags", {"tag": {"key": "a", "value": "b"}}),
                   anna.huawei.delete(f"{FAILURES}/batch")):
        refused(answer, 403, "SDRS.0005")
    anna.act(group, "stop")


# --- lists, small things, what is refused


def test_lists_are_filtered_and_cut_into_pages(sdrs):
    north, south = sdrs
    groups = [north.make_group(south.site.zone, f"group-{i}") for i in range(3)]
    pairs = [north.make_pair(group, north.site.make_disk(2 * MIB), f"pair-{i}") for i, group in enumerate(groups)]
    north.act(groups[1], "start")
    both = json.dumps(groups[:2]).replace('"', "%22").replace("[", "%5B").replace("]", "%5D").replace(" ", "")
    assert sorted(north.names(GROUPS)) == ["group-0", "group-1", "group-2"]
    assert north.names(GROUPS, "?name=-1") == north.names(GROUPS, "?status=protected") == ["group-1"]
    assert sorted(north.names(GROUPS, "?query_type=stop_protected")) == ["group-0", "group-2"]
    assert north.names(GROUPS, "?query_type=period_no_dr_drill") == north.names(GROUPS, "?query_type=status_abnormal") == []
    assert north.names(GROUPS, f"?availability_zone={south.site.zone}") == []
    assert sorted(north.names(PAIRS, f"?server_group_ids={both}&server_group_id={groups[2]}")) == ["pair-0", "pair-1"]
    assert north.names(PAIRS, f"?server_group_id={groups[2]}") == ["pair-2"]
    assert north.names(PAIRS, "?status=protected") == ["pair-1"]
    assert north.get(f"{PAIRS}?limit=0") == {"count": 3, "replications": []}
    for path, ids in ((GROUPS, groups), (PAIRS, pairs)):
        rows, marker = [], ""
        while page := north.get(f"{path}?limit=2{marker}"):
            page = next(value for name, value in page.items() if name != "count")
            if not page:
                break
            rows += page
            marker = f"&marker={page[-1]['id']}"
        assert sorted(row["id"] for row in rows) == sorted(ids) and len(north.names(path, "?offset=2&limit=2")) == 1
    for query, code in (("limit=1001", "SDRS.0221"), ("limit=x", "SDRS.0221"), ("offset=-1", "SDRS.0222"), ("status=x", "SDRS.0209"),
                        ("query_type=x", "SDRS.0201"), ("marker=x", "SDRS.0201"), ("server_group_ids=x", "SDRS.0201")):
        refused(north.huawei.get(f"{PAIRS}?{query}"), 400, code)


def test_names_are_changed_in_any_state(sdrs):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    pair = north.make_pair(group, north.site.make_disk(2 * MIB))
    north.act(group, "start")
    assert north.huawei.put(f"{GROUPS}/{group}", {"server_group": {"name": "web"}}).json["server_group"]["name"] == "web"
    assert north.huawei.put(f"{PAIRS}/{pair}", {"replication": {"name": "root"}}).json["replication"]["name"] == "root"
    until("told", lambda: (south.group(group)["name"], south.pair(pair)["name"]) == ("web", "root"))
    for name in ("", "x" * 65, "a b", "a/b"):
        refused(north.huawei.put(f"{GROUPS}/{group}", {"server_group": {"name": name}}), 400, "SDRS.0202")


def test_a_domain_is_the_same_at_both_sites(sdrs):
    north, south = sdrs
    here, there = [one.row(V1 + "/active-domains")[0] for one in sdrs]
    assert (here["id"], here["name"]) == (there["id"], there["name"]) and here["sold_out"] is False
    assert (here["local_replication_cluster"], here["remote_replication_cluster"]) == (
        {"availability_zone": north.site.zone}, {"availability_zone": south.site.zone})
    assert here["local_replication_cluster"] == there["remote_replication_cluster"]


def test_quotas_version_and_rpo(sdrs):
    north, south = sdrs
    north.make_group(south.site.zone)
    resources = {row["type"]: row for row in north.get(V1 + "/sdrs/quotas")["quotas"]["resources"]}
    assert (resources["server_groups"]["used"], resources["replications"]["used"]) == (1, 0)
    assert {row["quota"] for row in resources.values()} == {-1}
    assert north.huawei.raw("GET", "/v1").json["version"]["id"] == "v1"
    rows = until("the first sample", lambda: samples(north))
    assert {(row["resource_num"], row["resource_type"]) for row in rows} == {(0, "replication")}
    assert north.get(V1 + "/resource/rpo-statistics?end_time=2001-02-03%2004:05:06")["count"] == 0
    refused(north.huawei.get(V1 + "/resource/rpo-statistics?start_time=never"), 400, "SDRS.0201")


def samples(one):
    return one.get(V1 + "/resource/rpo-statistics?resource_type=replication")["resource_rpo_statistics"]


def test_pairs_behind_their_rpo_are_counted(sdrs, tmp_path):
    """One second of RPO, a link that is too slow for what is written; counted anew after a restart."""
    north, south = sdrs
    disk = north.site.make_disk(2 * MIB)
    group = north.make_group(south.site.zone)
    north.make_pair(group, disk)
    north.site.call("ModifyDiskReplicaGroup", ReplicaGroupId="pg-" + group.replace("-", "")[:20], RPO=1)
    north.act(group, "start")
    north.wait(group, "protected", "active")
    limit(north.site, south.site, SLOW)
    write(disk.attach(), tmp_path)
    north.site.kill()
    north.site.start()
    until("behind", lambda: [row["resource_num"] for row in samples(north)][-1:] == [1])


def test_drills_and_machines_are_refused(sdrs):
    north, south = sdrs
    group = north.make_group(south.site.zone)
    drills = V1 + "/disaster-recovery-drills"
    assert north.get(drills) == {"count": 0, "disaster_recovery_drills": []}
    message = refused(north.huawei.post(drills, {"disaster_recovery_drill": {"server_group_id": group, "name": "x"}}), 400, "SDRS.1922")
    assert "not built" in message and north.group(group)["disaster_recovery_drill_num"] == 0
    for method in (north.huawei.get, north.huawei.delete):
        refused(method(f"{drills}/{SERVER}"), 404, "SDRS.1902")
    instance = north.done(north.try_make_instance(group, SERVER))["protected_instance_id"]
    for path in ("nic", "nic/delete", "resize"):
        refused(north.huawei.post(f"{INSTANCES}/{instance}/{path}", {}), 400, "SDRS.0005")


def test_bad_input(sdrs):
    north, south = sdrs
    disk, far = north.site.make_disk(2 * MIB), south.site.make_disk(2 * MIB)
    group = north.make_group(south.site.zone)
    for more, code in (({"name": None}, "SDRS.0202"), ({"description": "<b>"}, "SDRS.0212"), ({"domain_id": SERVER}, "SDRS.0205"),
                       ({"source_availability_zone": "x"}, "SDRS.0203"), ({"target_availability_zone": north.site.zone}, "SDRS.0203"),
                       ({"source_vpc_id": None}, "SDRS.0204"), ({"dr_type": "x"}, "SDRS.0201")):
        refused(north.try_make_group(south.site.zone, **{"name": "x", **more}), 400, code)
    refused(north.try_make_pair(SERVER, disk), 404, "SDRS.1013")
    refused(north.try_make_pair(group, far), 400, "SDRS.1809")
    refused(north.huawei.post(PAIRS, {"replication": {"server_group_id": group, "volume_id": SERVER, "name": "x"}}), 404, "SDRS.0211")
    pair = north.make_pair(group, disk)
    refused(north.try_make_pair(group, disk), 400, "SDRS.1811")
    for size in (0, 1 << 40, "x", None):
        refused(north.try_expand(pair, size), 400, "SDRS.0201")
    refused(north.huawei.post(f"{GROUPS}/{group}/action", {"reverse-server-group": {"priority_station": "x"}}), 400, "SDRS.0216")
    assert north.huawei.post(f"{GROUPS}/{group}/action", {"x": {}}).status == 501
    for path, code in ((GROUPS, "SDRS.1013"), (PAIRS, "SDRS.1608"), (INSTANCES, "SDRS.1320")):
        refused(north.huawei.get(f"{path}/{SERVER}"), 404, code)
    refused(north.try_act(SERVER, "start"), 404, "SDRS.1013")
    assert north.names(GROUPS) == ["group"] and north.names(PAIRS) == ["pair"]
