"""Names people give to things: tags, resource groups, modified attributes; and the small reads around them."""

import pytest

from offsite import ApiError, MIB, until


def tags(**pairs):
    return {f"Tag.{number}.{part}": value for number, pair in enumerate(pairs.items(), 1)
            for part, value in zip(("Key", "Value"), pair)}


def group(north, south, **parameters):
    return north.call("CreateDiskReplicaGroup", SourceZoneId=north.zone, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, **parameters)["ReplicaGroupId"]


def refused(site, action, **parameters):
    with pytest.raises(ApiError) as error:
        site.call(action, **parameters)
    return error.value.status, error.value.code


GROUP = {"ResourceType": "DiskReplicaGroup"}


def test_tags_of_a_group_are_listed_filtered_and_removed(two_sites):
    north, south = two_sites
    one = group(north, south, GroupName="one", ResourceGroupId="rg-1", **tags(env="prod", team="db"))
    two = group(north, south, GroupName="two", **tags(env="test"))
    row = north.groups(GroupIds=one)[0]
    assert {tag["TagKey"]: tag["TagValue"] for tag in row["Tags"]} == {"env": "prod", "team": "db"}
    assert row["ResourceGroupId"] == "rg-1"
    assert [row["ReplicaGroupId"] for row in north.groups(**tags(env="prod"))] == [one]
    assert {row["ReplicaGroupId"] for row in north.groups(**{"Tag.1.Key": "env"})} == {one, two}
    assert [row["ReplicaGroupId"] for row in north.groups(ResourceGroupId="rg-1")] == [one]
    assert north.groups(**tags(env="prod", team="web")) == []
    # Asked at the other site it is carried over, and both sites know it.
    south.call("TagResources", **GROUP, **{"ResourceId.1": one, "ResourceId.2": two}, **tags(env="both", cost="7"))
    until("seen at the other site", lambda: any(row["Tags"] for row in south.groups(**tags(cost="7"))))
    listed = north.call("ListTagResources", **GROUP, **{"ResourceId.1": one})["TagResources"]
    assert {(row["TagKey"], row["TagValue"]) for row in listed} == {("env", "both"), ("team", "db"), ("cost", "7")}
    north.call("UntagResources", **GROUP, **{"ResourceId.1": one, "TagKey.1": "team", "TagKey.2": "nothing"})
    north.call("UntagResources", **GROUP, **{"ResourceId.1": two}, All="true")
    listed = north.call("ListTagResources", **GROUP)["TagResources"]
    assert {(row["ResourceId"], row["TagKey"]) for row in listed} == {(one, "env"), (one, "cost")}
    north.kill()
    north.start()
    assert len(north.call("ListTagResources", **GROUP)["TagResources"]) == 2
    page = north.call("ListTagResources", **GROUP, MaxResults=1)
    assert len(page["TagResources"]) == 1 and page["NextToken"] == "1"
    north.call("ChangeResourceGroup", **GROUP, ResourceId=two, NewResourceGroupId="rg-2")
    assert [row["ReplicaGroupId"] for row in north.groups(ResourceGroupId="rg-2")] == [two]


def test_bad_tags_are_refused_and_change_nothing(two_sites):
    north, south = two_sites
    one = group(north, south)
    ids = {"ResourceId.1": one}
    many = {f"Tag.{number}.Key": f"key{number}" for number in range(1, 22)}
    assert refused(north, "TagResources", **GROUP, **ids, **many) == (400, "NumberExceed.Tags")
    assert refused(north, "TagResources", **GROUP, **ids, **{"Tag.1.Key": "a", "Tag.2.Key": "a"}) == (400, "Duplicate.TagKey")
    for key in ("acs:x", "Aliyun", "x" * 129, "see http://x"):
        assert refused(north, "TagResources", **GROUP, **ids, **{"Tag.1.Key": key})[0] == 400, key
    assert refused(north, "TagResources", **GROUP, **ids, **{"Tag.1.Value": "v"}) == (400, "InvalidParameter.TagValue")
    assert refused(north, "TagResources", **GROUP, **ids) == (400, "MissingTag")
    assert refused(north, "TagResources", **ids, **tags(a="b")) == (404, "MissingParameter.ResourceType")
    assert refused(north, "TagResources", ResourceType="cow", **ids, **tags(a="b")) == (404, "InvalidResourceType.NotFound")
    assert refused(north, "TagResources", **GROUP, **{"ResourceId.1": one, "ResourceId.2": "pg-nothing"},
                   **tags(a="b")) == (404, "InvalidResourceId.NotFound")
    assert refused(north, "TagResources", **GROUP, **{f"ResourceId.{n}": one for n in range(1, 52)},
                   **tags(a="b")) == (400, "NumberExceed.ResourceIds")
    assert north.call("ListTagResources", **GROUP)["TagResources"] == []
    for first in (1, 11):
        north.call("TagResources", **GROUP, **ids, **tags(**{f"k{n}": "v" for n in range(first, first + 10)}))
    assert refused(north, "TagResources", **GROUP, **ids, **tags(more="v")) == (400, "OperationDenied.QuotaExceed")
    assert len(north.call("ListTagResources", **GROUP)["TagResources"]) == 20


def test_disks_have_tags_and_attributes(site):
    disk = site.make_disk(MIB, **tags(role="wal"))
    ecs = {"Version": "2014-05-26", "ResourceType": "disk"}
    assert [row["TagKey"] for row in disk.row()["Tags"]["Tag"]] == ["role"]
    site.call("TagResources", **ecs, **{"ResourceId.1": disk.id}, **tags(role="data"))
    listed = site.call("ListTagResources", **ecs)["TagResources"]["TagResource"]
    assert [(row["TagKey"], row["TagValue"]) for row in listed] == [("role", "data")]
    found = site.call("DescribeDisks", **tags(role="data"))["Disks"]["Disk"]
    assert [row["DiskId"] for row in found] == [disk.id]
    assert site.call("DescribeDisks", **tags(role="wal"))["Disks"]["Disk"] == []
    site.call("ModifyDiskAttribute", Version="2014-05-26", DiskId=disk.id, DiskName="renamed", Description="what it is")
    assert disk.row()["DiskName"] == "renamed" and disk.row()["Description"] == "what it is"
    assert site.call("DescribeZones", Version="2014-05-26")["Zones"]["Zone"][0]["ZoneId"] == site.zone
    assert site.call("DescribeRegions", Version="2014-05-26")["Regions"]["Region"][0]["RegionId"] == site.region


def test_modify_works_on_what_is_stopped_and_shows_at_both_sites(two_sites):
    north, south = two_sites
    one = group(north, south, RPO=60)
    north.call("ModifyDiskReplicaGroup", ReplicaGroupId=one, GroupName="better", RPO=30, EnableRtc="True")
    row = north.groups(GroupIds=one)[0]
    assert (row["GroupName"], row["RPO"], row["EnableRtc"]) == ("better", 30, True)
    south.call("ModifyDiskReplicaGroup", ReplicaGroupId=one, Description="from afar")
    until("known at both", lambda: south.groups(GroupIds=one)[0]["Description"] == "from afar")
    assert north.groups(GroupIds=one)[0]["GroupName"] == "better"
    assert refused(north, "ModifyDiskReplicaGroup", ReplicaGroupId=one, GroupName="http://x")[0] == 400


def test_edges_and_drills(two_sites):
    north, south = two_sites
    edges = north.call("ListReplicaEdgeSupported", Azone=north.zone)["SupportedRegions"]
    assert edges == [{"RegionId": south.region, "Zones": [{"ZoneId": south.zone}]}]
    assert north.call("ListReplicaEdgeSupported", Azone="moon-a")["SupportedRegions"] == []
    for action in ("StartPairDrill", "DescribePairDrills", "StartReplicaGroupDrill", "ClearReplicaGroupDrill"):
        assert refused(north, action, PairId="pair-cn-x", GroupId="pg-x") == (403, "OperationDenied")
