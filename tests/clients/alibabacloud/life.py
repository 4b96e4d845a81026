"""The whole life of a pair, and of a group, through Alibaba Cloud's own Python clients (signature version 3), unmodified.

    life.py NORTH-ENDPOINT NORTH-KEY NORTH-SECRET NORTH-REGION NORTH-ZONE SOUTH-ENDPOINT SOUTH-KEY SOUTH-SECRET SOUTH-REGION SOUTH-ZONE

Endpoints are HOST:PORT. Prints "done" when all of it went as it must."""
import collections
import sys
import time

from alibabacloud_ebs20210730 import models as ebs_models
from alibabacloud_ebs20210730.client import Client as Ebs
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_tea_openapi.models import Config

Place = collections.namedtuple("Place", "endpoint key secret region zone")


def clients(place):
    config = Config(access_key_id=place.key, access_key_secret=place.secret, endpoint=place.endpoint, protocol="HTTP",
                    region_id=place.region)
    return Ebs(config), Ecs(config)


def wait(what, look, limit_s=30):
    end = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.1)


def make_disk(ecs, place, name):
    disk = ecs.create_disk(ecs_models.CreateDiskRequest(
        region_id=place.region, zone_id=place.zone, size=1, disk_name=name, disk_category="cloud_essd",
        tag=[ecs_models.CreateDiskRequestTag(key="made-by", value="sdk & \u4e2d\u6587")])).body.disk_id

    def row():
        return ecs.describe_disks(ecs_models.DescribeDisksRequest(region_id=place.region, disk_ids=f'["{disk}"]')).body.disks.disk[0]
    wait("the disk", lambda: row().status == "Available")
    assert row().disk_name == name and row().size == 1
    assert {tag.tag_key: tag.tag_value for tag in row().tags.tag} == {"made-by": "sdk & \u4e2d\u6587"}
    return disk


def main(north, south):
    (ebs, ecs), (far, far_ecs) = clients(north), clients(south)
    disk, copy = make_disk(ecs, north, "near"), make_disk(far_ecs, south, "far")
    pair = ebs.create_disk_replica_pair(ebs_models.CreateDiskReplicaPairRequest(
        region_id=north.region, source_zone_id=north.zone, disk_id=disk, destination_region_id=south.region,
        destination_zone_id=south.zone, destination_disk_id=copy, pair_name="by-sdk", rpo=2, client_token="once")).body.replica_pair_id

    def status():
        rows = ebs.describe_disk_replica_pairs(ebs_models.DescribeDiskReplicaPairsRequest(region_id=north.region, pair_ids=pair))
        return rows.body.replica_pairs[0].status
    wait("created", lambda: status() == "created")
    ebs.tag_resources(ebs_models.TagResourcesRequest(
        region_id=north.region, resource_type="diskreplicapair", resource_id=[pair],
        tag=[ebs_models.TagResourcesRequestTag(key="env", value="prod")]))
    found = ebs.describe_disk_replica_pairs(ebs_models.DescribeDiskReplicaPairsRequest(
        region_id=north.region, tag=[ebs_models.DescribeDiskReplicaPairsRequestTag(key="env", value="prod")])).body
    assert [row.replica_pair_id for row in found.replica_pairs] == [pair] and found.total_count == 1
    ebs.modify_disk_replica_pair(ebs_models.ModifyDiskReplicaPairRequest(region_id=north.region, replica_pair_id=pair,
                                                                         pair_name="renamed"))
    ebs.start_disk_replica_pair(ebs_models.StartDiskReplicaPairRequest(region_id=north.region, replica_pair_id=pair))
    wait("normal", lambda: status() == "normal")
    assert ebs.describe_disk_replica_pair_progress(ebs_models.DescribeDiskReplicaPairProgressRequest(
        region_id=north.region, replica_pair_id=pair)).body.progress == 100
    far.failover_disk_replica_pair(ebs_models.FailoverDiskReplicaPairRequest(region_id=south.region, replica_pair_id=pair))
    wait("failed over", lambda: status() == "failovered")
    far.reprotect_disk_replica_pair(ebs_models.ReprotectDiskReplicaPairRequest(region_id=south.region, replica_pair_id=pair))
    wait("turned", lambda: status() == "stopped")
    far.start_disk_replica_pair(ebs_models.StartDiskReplicaPairRequest(region_id=south.region, replica_pair_id=pair))
    wait("normal again", lambda: status() == "normal")
    far.stop_disk_replica_pair(ebs_models.StopDiskReplicaPairRequest(region_id=south.region, replica_pair_id=pair))
    wait("stopped", lambda: status() == "stopped")
    far.delete_disk_replica_pair(ebs_models.DeleteDiskReplicaPairRequest(region_id=south.region, replica_pair_id=pair))
    wait("gone", lambda: ebs.describe_disk_replica_pairs(ebs_models.DescribeDiskReplicaPairsRequest(
        region_id=north.region)).body.total_count == 0)
    try:
        ebs.start_disk_replica_pair(ebs_models.StartDiskReplicaPairRequest(region_id=north.region, replica_pair_id=pair))
    except Exception as error:  # noqa: BLE001: the client's own class, whose name differs between its versions
        assert error.code == "NoSuchResource" and error.status_code == 404, error
    else:
        raise AssertionError("a pair that is gone was started")
    group_life(north, south, disk, copy)
    print("done")


def group_life(north, south, disk, copy):
    """A group of one pair moves to the other site and comes back; then all of it is taken down."""
    (ebs, ecs), (far, far_ecs) = clients(north), clients(south)
    place = dict(source_zone_id=north.zone, destination_region_id=south.region, destination_zone_id=south.zone)
    group = ebs.create_disk_replica_group(ebs_models.CreateDiskReplicaGroupRequest(
        region_id=north.region, group_name="by-sdk", rpo=2, **place)).body.replica_group_id
    pair = ebs.create_disk_replica_pair(ebs_models.CreateDiskReplicaPairRequest(
        region_id=north.region, disk_id=disk, destination_disk_id=copy, **place)).body.replica_pair_id

    def row():
        rows = ebs.describe_disk_replica_groups(ebs_models.DescribeDiskReplicaGroupsRequest(region_id=north.region, group_ids=group))
        return rows.body.replica_groups[0]

    def wait_for(status):
        wait(f"the group {status}", lambda: row().status == status)

    def ask(client, region, verb):
        request = getattr(ebs_models, f"{verb.capitalize()}DiskReplicaGroupRequest")(region_id=region, replica_group_id=group)
        getattr(client, f"{verb}_disk_replica_group")(request)

    wait_for("created")
    ebs.add_disk_replica_pair(ebs_models.AddDiskReplicaPairRequest(region_id=north.region, replica_group_id=group, replica_pair_id=pair))
    assert row().pair_ids == [pair]
    ask(ebs, north.region, "start")
    wait_for("normal")
    # Over, and back: each time at the side that is the secondary then.
    for client, place, source in ((far, south, south.zone), (ebs, north, north.zone)):
        ask(client, place.region, "failover")
        wait_for("failovered")
        ask(client, place.region, "reprotect")
        wait_for("stopped")
        wait("turned", lambda source=source: row().source_zone_id == source)
        ask(client, place.region, "start")
        wait_for("normal")
    ask(ebs, north.region, "stop")
    wait_for("stopped")
    ebs.remove_disk_replica_pair(ebs_models.RemoveDiskReplicaPairRequest(region_id=north.region, replica_group_id=group,
                                                                         replica_pair_id=pair))
    wait("empty", lambda: not row().pair_ids)
    ebs.delete_disk_replica_pair(ebs_models.DeleteDiskReplicaPairRequest(region_id=north.region, replica_pair_id=pair))
    ask(ebs, north.region, "delete")
    for client, place in ((ebs, north), (far, south)):
        wait("all gone", lambda client=client, place=place: client.describe_disk_replica_groups(
            ebs_models.DescribeDiskReplicaGroupsRequest(region_id=place.region)).body.total_count == 0 and
            client.describe_disk_replica_pairs(ebs_models.DescribeDiskReplicaPairsRequest(
                region_id=place.region)).body.total_count == 0)
    for client, one in ((ecs, disk), (far_ecs, copy)):
        client.delete_disk(ecs_models.DeleteDiskRequest(disk_id=one))


if __name__ == "__main__":
    main(Place(*sys.argv[1:6]), Place(*sys.argv[6:11]))
