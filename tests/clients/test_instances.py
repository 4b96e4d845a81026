"""Instances, as far as a disk is attached to one by name."""

import json

import pytest

from offsite import MIB
from test_labels import refused, tags


def rows(site, **filters):
    return site.call("DescribeInstances", **filters)["Instances"]["Instance"]


def run(site, **parameters):
    answer = site.call("RunInstances", **parameters)
    assert answer["OrderId"] == ""
    return answer["InstanceIdSets"]["InstanceIdSet"]


def test_instances_are_made_listed_and_deleted(site):
    one, = run(site, ZoneId=site.zone, InstanceName="web", Description="what", ImageId="m-1",
               InstanceType="ecs.g6.large", ResourceGroupId="rg-1", **tags(a="b"))
    nameless, = run(site)
    assert one != nameless and one.startswith("i-") and nameless.startswith("i-")
    disk = site.make_disk(MIB).attach(one)
    for again in range(2):  # also through a kill
        row, = rows(site, InstanceIds=json.dumps([one]))
        assert [row[name] for name in ("InstanceId", "InstanceName", "Description", "Status", "RegionId", "ZoneId",
                                       "ResourceGroupId")] == \
            [one, "web", "what", "Running", site.region, site.zone, "rg-1"]
        assert row["Tags"]["Tag"] == [{"TagKey": "a", "TagValue": "b"}] and row["CreationTime"].endswith("Z")
        assert row["Offsite"]["DiskIds"] == [disk.id]
        if again == 0:
            site.kill()
            site.start()
    assert rows(site, InstanceIds=json.dumps([nameless]))[0]["InstanceName"] == nameless
    for filters in ({"InstanceName": "web"}, tags(a="b"), {"ResourceGroupId": "rg-1"}):
        assert [row["InstanceId"] for row in rows(site, **filters)] == [one], filters
    for filters in ({"InstanceIds": "[]"}, {"Status": "Stopped"}, {"ZoneId": "moon-a"}, {"InstanceName": "db"},
                    tags(a="c")):
        assert rows(site, **filters) == [], filters
    assert len(rows(site, Status="Running", ZoneId=site.zone)) == 2
    # One with disks stays; several are deleted together, or none is.
    assert refused(site, "DeleteInstance", InstanceId=one, Force="true") == (403, "DependencyViolation")
    both = {"InstanceId.1": nameless, "InstanceId.2": one}
    assert refused(site, "DeleteInstances", **both) == (403, "DependencyViolation") and len(rows(site)) == 2
    disk.detach(one)
    assert refused(site, "DeleteInstances", **both, **{"InstanceId.3": "i-none"}) == (404, "InvalidInstanceId.NotFound")
    assert len(rows(site)) == 2
    site.call("DeleteInstances", **both)
    assert rows(site) == []
    assert refused(site, "DeleteInstance", InstanceId=one) == (404, "InvalidInstanceId.NotFound")
    assert refused(site, "DeleteInstances") == (400, "MissingInstanceId")
    site.kill()
    site.start()
    assert rows(site) == []


def test_many_are_made_at_once_and_only_once(site):
    ids = run(site, Amount=100, ClientToken="token")
    assert len(set(ids)) == 100
    assert run(site, Amount=100, ClientToken="token") == ids
    site.kill()
    site.start()
    assert run(site, Amount=100, ClientToken="token") == ids
    assert refused(site, "RunInstances", Amount=99, ClientToken="token") == (400, "IdempotentParameterMismatch")
    for bad in (0, 101, -1, "x"):
        assert refused(site, "RunInstances", Amount=bad)[0] == 400
    assert refused(site, "RunInstances", DryRun="true") == (400, "DryRunOperation")
    walked, token = [], ""
    while len(walked) == 0 or token:
        answer = site.call("DescribeInstances", MaxResults=30, NextToken=token)
        walked += [row["InstanceId"] for row in answer["Instances"]["Instance"]]
        token = answer["NextToken"]
    numbered = [row["InstanceId"] for number in range(1, 8) for row in rows(site, PageNumber=number, PageSize=15)]
    assert walked == numbered and sorted(walked) == sorted(ids)
    answer = site.call("DescribeInstances")
    assert (answer["TotalCount"], answer["PageNumber"], answer["PageSize"]) == (100, 1, 10)
    assert len(answer["Instances"]["Instance"]) == 10


def test_one_that_is_only_named_is_there_as_long_as_its_disks(site):
    disks = [site.make_disk(MIB).attach("i-named") for _ in range(2)]
    made, = run(site, InstanceName="made")
    assert [row["InstanceId"] for row in rows(site)] == [made, "i-named"]
    row, = rows(site, InstanceIds='["i-named"]')
    assert set(row["Offsite"]["DiskIds"]) == {disk.id for disk in disks} and row["InstanceName"] == "i-named"
    assert refused(site, "DeleteInstance", InstanceId="i-named") == (403, "DependencyViolation")
    for disk in disks:
        disk.detach("i-named")
    assert [row["InstanceId"] for row in rows(site)] == [made]


def test_they_are_tagged_as_disks_are(site):
    one, two = run(site, Amount=2, InstanceName="web")
    ecs = {"Version": "2014-05-26", "ResourceType": "instance"}
    site.call("TagResources", **ecs, **{"ResourceId.1": one, "ResourceId.2": two}, **tags(role="db"))
    site.call("UntagResources", **ecs, **{"ResourceId.1": two}, All="true")
    listed = site.call("ListTagResources", **ecs)["TagResources"]["TagResource"]
    assert [(row["ResourceId"], row["ResourceType"], row["TagKey"]) for row in listed] == [(one, "instance", "role")]
    assert [row["InstanceId"] for row in rows(site, **tags(role="db"))] == [one]
    assert refused(site, "TagResources", **ecs, **{"ResourceId.1": "i-none"}, **tags(a="b")) == \
        (404, "InvalidResourceId.NotFound")


def test_they_are_made_at_the_site_of_their_zone(two_sites):
    north, south = two_sites
    ids = run(north, ZoneId=south.zone, Amount=2)
    assert [row["InstanceId"] for row in rows(south)] == ids and rows(north) == []
    region, = run(north, RegionId=south.region)
    assert [row["InstanceId"] for row in rows(south)][2:] == [region]
    assert refused(north, "RunInstances", ZoneId="moon-a") == (404, "InvalidZoneId.NotFound")


@pytest.mark.parametrize("ids, status, code", [
    ("i-1", 400, "InvalidParameter.InstanceIds"), ("[1]", 400, "InvalidParameter.InstanceIds"),
    (json.dumps(["i-1"] * 101), 403, "InvalidInstanceIds.Malformed")])
def test_bad_ids_are_refused(site, ids, status, code):
    assert refused(site, "DescribeInstances", InstanceIds=ids) == (status, code)
