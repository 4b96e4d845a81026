"""@alicloud/pop-core, the official Node client of Alibaba's RPC APIs, unmodified, against two real sites."""
import json
import pathlib
import subprocess

import pytest
from offsite import until

FOLDER = pathlib.Path(__file__).parent / "pop_core"
EBS, ECS = "2021-07-30", "2014-05-26"


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(json.dumps(answer))
        self.code, self.message = answer["code"], answer["message"]


def call(site, version, action, method="GET", secret=None, key=None, **parameters):
    request = {"endpoint": f"http://127.0.0.1:{site.api_port}", "keyId": key or site.key["access_key_id"],
               "secret": secret or site.key["access_key_secret"], "version": version, "action": action, "method": method,
               "parameters": parameters}
    done = subprocess.run(["node", "call.js", json.dumps(request)], cwd=FOLDER, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if "answer" not in answer:
        raise Refused(answer)
    return answer["answer"]


def make_disk(site, size=16 << 20):
    return call(site, ECS, "CreateDisk", RegionId=site.region, ZoneId=site.zone, OffsiteSizeBytes=str(size))["DiskId"]


def make_pair(north, south, disk, copy, **more):
    return call(north, EBS, "CreateDiskReplicaPair", method="POST", RegionId=north.region, SourceZoneId=north.zone, DiskId=disk,
                DestinationRegionId=south.region, DestinationZoneId=south.zone, DestinationDiskId=copy, RPO=5, **more)["ReplicaPairId"]


def make_group(north, south):
    return call(north, EBS, "CreateDiskReplicaGroup", RegionId=north.region, SourceZoneId=north.zone,
                DestinationRegionId=south.region, DestinationZoneId=south.zone, RPO=5)["ReplicaGroupId"]


def group_of(site, group):
    rows = call(site, EBS, "DescribeDiskReplicaGroups", RegionId=site.region, GroupIds=group)["ReplicaGroups"]
    return rows[0] if rows else None


def refusal(*arguments, **parameters):
    with pytest.raises(Refused) as refused:
        call(*arguments, **parameters)
    return refused.value.code


def test_the_whole_life_of_a_group(two_sites):
    north, south = two_sites
    disk, copy = make_disk(north), make_disk(south)
    call(north, ECS, "AttachDisk", InstanceId="i-db", DiskId=disk, RegionId=north.region)
    pair, group = make_pair(north, south, disk, copy, PairName="data"), make_group(north, south)
    assert refusal(north, EBS, "StartDiskReplicaGroup", RegionId=north.region,
                   ReplicaGroupId=group) == "OperationDenied.NoPairInGroup"
    call(north, EBS, "AddDiskReplicaPair", RegionId=north.region, ReplicaGroupId=group, ReplicaPairId=pair)
    call(north, EBS, "StartDiskReplicaGroup", RegionId=north.region, ReplicaGroupId=group)
    until("the group to be normal", lambda: group_of(north, group)["Status"] == "normal")
    assert group_of(north, group)["LastRecoverPoint"] > 0
    assert call(north, EBS, "DescribeDiskReplicaPairProgress", RegionId=north.region, ReplicaPairId=pair)["Progress"] == 100
    row = call(south, EBS, "DescribeDiskReplicaPairs", RegionId=south.region, PairIds=pair)["ReplicaPairs"][0]
    assert (row["PairName"], row["SourceDiskId"], row["ReplicaGroupId"]) == ("data", disk, group)
    call(north, EBS, "StopDiskReplicaGroup", RegionId=north.region, ReplicaGroupId=group)
    call(north, EBS, "StopDiskReplicaGroup", RegionId=north.region, ReplicaGroupId=group)  # idempotent
    until("the group to stop", lambda: group_of(north, group)["Status"] == "stopped")
    until("the copy to hear of it", lambda: group_of(south, group)["Status"] == "stopped")
    assert refusal(north, EBS, "FailoverDiskReplicaGroup", RegionId=north.region,
                   ReplicaGroupId=group) == "OperationDenied.OperateNotAllowedForPrimary"
    call(south, EBS, "FailoverDiskReplicaGroup", RegionId=south.region, ReplicaGroupId=group)
    until("the failover", lambda: group_of(south, group)["Status"] == "failovered")
    until("the old primary to learn it", lambda: group_of(north, group)["Status"] == "failovered")
    call(south, ECS, "AttachDisk", InstanceId="i-db", DiskId=copy, RegionId=south.region)
    assert refusal(south, EBS, "DeleteDiskReplicaGroup", RegionId=south.region,
                   ReplicaGroupId=group) == "OperationDenied.GroupHasPair"
    call(north, EBS, "RemoveDiskReplicaPair", RegionId=north.region, ReplicaGroupId=group, ReplicaPairId=pair)
    call(north, EBS, "DeleteDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair)
    call(north, EBS, "DeleteDiskReplicaGroup", RegionId=north.region, ReplicaGroupId=group)
    until("the group to be gone", lambda: group_of(north, group) is None and group_of(south, group) is None)


def test_over_and_back(two_sites):
    north, south = two_sites
    disks = make_disk(north), make_disk(south)
    pair, group = make_pair(north, south, *disks), make_group(north, south)

    def ask(site, verb, status):
        call(site, EBS, f"{verb}DiskReplicaGroup", RegionId=site.region, ReplicaGroupId=group)
        for one in two_sites:
            until(f"{verb}: {status}", lambda one=one: group_of(one, group)["Status"] == status)

    call(north, EBS, "AddDiskReplicaPair", RegionId=north.region, ReplicaGroupId=group, ReplicaPairId=pair)
    ask(north, "Start", "normal")
    for site in (south, north):  # the secondary, then the one that is it by then
        ask(site, "Failover", "failovered")
        ask(site, "Reprotect", "stopped")
        assert group_of(site, group)["SourceZoneId"] == site.zone
        ask(site, "Start", "normal")
    ask(north, "Stop", "stopped")
    call(north, EBS, "RemoveDiskReplicaPair", RegionId=north.region, ReplicaGroupId=group, ReplicaPairId=pair)
    call(north, EBS, "DeleteDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair)
    call(north, EBS, "DeleteDiskReplicaGroup", RegionId=north.region, ReplicaGroupId=group)
    until("the group to be gone", lambda: group_of(north, group) is None and group_of(south, group) is None)
    for site, disk in zip(two_sites, disks):
        call(site, ECS, "DeleteDisk", DiskId=disk)


def test_a_pair_alone_is_started_stopped_and_deleted(two_sites):
    north, south = two_sites
    pair = make_pair(north, south, make_disk(north), make_disk(south))

    def status():
        rows = call(north, EBS, "DescribeDiskReplicaPairs", RegionId=north.region, PairIds=pair)["ReplicaPairs"]
        return rows[0]["Status"] if rows else None

    assert status() == "created"
    call(south, EBS, "StartDiskReplicaPair", RegionId=south.region, ReplicaPairId=pair)  # carried over the link
    until("the pair to be normal", lambda: status() == "normal")
    call(north, EBS, "StopDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair)
    until("the pair to stop", lambda: status() == "stopped")
    call(north, EBS, "StartDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair, OneShot="true")
    until("the one-shot copy to end", lambda: status() == "stopped")
    call(north, EBS, "DeleteDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair)
    until("the pair to be gone", lambda: status() is None)


def test_refusals_have_the_codes_of_the_cloud(two_sites):
    north, south = two_sites
    disk, copy, large = make_disk(north), make_disk(south), make_disk(south, 32 << 20)
    describe = dict(RegionId=north.region)
    assert refusal(north, EBS, "DescribeDiskReplicaPairs", secret="x" * 30, **describe) == "SignatureDoesNotMatch"
    assert refusal(north, EBS, "DescribeDiskReplicaPairs", key="LTAIunknown", **describe) == "InvalidAccessKeyId.NotFound"
    assert refusal(north, EBS, "NoSuchAction", **describe) == "InvalidAction.NotFound"
    assert refusal(north, "2000-01-01", "DescribeDiskReplicaPairs", **describe) == "InvalidVersion"
    assert refusal(north, EBS, "StartDiskReplicaPair", RegionId=north.region).startswith("Missing")
    assert refusal(north, EBS, "StartDiskReplicaPair", RegionId=north.region, ReplicaPairId="pair-none") == "NoSuchResource"

    def pair_refusal(first, second):
        with pytest.raises(Refused) as refused:
            make_pair(north, south, first, second)
        return refused.value.code
    assert pair_refusal(disk, large).startswith(("InvalidParameter", "OperationDenied"))
    assert pair_refusal("d-none", copy) == "NoSuchResource"
    assert pair_refusal(disk, "d-none") == "NoSuchResource"
    pair = make_pair(north, south, disk, copy)
    assert pair_refusal(disk, large).startswith("OperationDenied")
    assert refusal(south, EBS, "FailoverDiskReplicaPair", RegionId=south.region,
                   ReplicaPairId=pair).startswith("OperationDenied")  # before the first sync
    south.stop()
    assert refusal(north, EBS, "StartDiskReplicaPair", RegionId=north.region, ReplicaPairId=pair) == "RequestTimeout"
    assert len(call(north, EBS, "DescribeDiskReplicaPairs", **describe)["ReplicaPairs"]) == 1
