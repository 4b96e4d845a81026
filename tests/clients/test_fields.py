"""Every field of the cloud's answers, with its type, as its documents have them; pages and filters of each listing.

The tables are of the public API: EBS 2021-07-30, ECS 2014-05-26. Offsite's own fields are not in them."""

import json
import time

import pytest

from offsite import ApiError, MIB, until
from test_labels import refused, tags
from test_xml import call as call_xml

ECS = {"Version": "2014-05-26"}
TAG = {"TagKey": str, "TagValue": str}
PAGE = {"RequestId": str, "NextToken": str, "PageNumber": int, "PageSize": int, "TotalCount": int}
SITES = dict.fromkeys(("PrimaryRegion", "PrimaryZone", "StandbyRegion", "StandbyZone", "Site", "SourceZoneId",
                       "DestinationZoneId", "Description", "Status", "ResourceGroupId", "ReplicaGroupId"), str)
TERMS = {"RPO": int, "Bandwidth": int, "EnableRtc": bool, "Tags": [TAG]}
PAIR = {**SITES, **TERMS, "CreateTime": int, **dict.fromkeys(
    ("ReplicaPairId", "PairName", "StatusMessage", "SourceRegion", "SourceDiskId", "DestinationRegion",
     "DestinationDiskId", "ReplicaGroupName", "ChargeType"), str)}
GROUP = {**SITES, **TERMS, "GroupName": str, "SourceRegionId": str, "DestinationRegionId": str, "PairIds": [str],
         "PairNumber": int}
# There only once there is such a point: the cloud's clients wait for the field.
POINT = {"LastRecoverPoint": int}
DISK = {**dict.fromkeys(
    ("DiskId", "RegionId", "ZoneId", "DiskName", "Description", "Status", "Category", "PerformanceLevel", "Type",
     "DiskChargeType", "InstanceId", "Device", "SourceSnapshotId", "CreationTime", "AttachedTime", "DetachedTime",
     "SerialNumber", "MultiAttach", "ResourceGroupId"), str),
    **dict.fromkeys(("Portable", "Encrypted", "DeleteWithInstance", "DeleteAutoSnapshot", "EnableAutoSnapshot"), bool),
    **dict.fromkeys(("Size", "IOPS", "IOPSRead", "IOPSWrite", "Throughput", "ThroughputRead", "ThroughputWrite"), int),
    "Attachments": {"Attachment": [{"InstanceId": str, "Device": str, "AttachedTime": str}]}, "Tags": {"Tag": [TAG]}}
ZONE = {"ZoneId": str, "ZoneType": str, "LocalName": str, "AvailableDiskCategories": {"DiskCategories": [str]}}
TAGGED = {"ResourceId": str, "ResourceType": str, **TAG}
ANSWERS = {
    "DescribeDiskReplicaPairs": {**PAGE, "ReplicaPairs": [PAIR]},
    "DescribeDiskReplicaGroups": {**PAGE, "ReplicaGroups": [GROUP]},
    "DescribeRegions": {"RequestId": str, "Regions": [
        {"RegionId": str, "LocalName": str, "RegionEndpoint": str,
         "Zones": [{"ZoneId": str, "LocalName": str, "ResourceTypes": [str]}]}]},
    "ListReplicaEdgeSupported": {"RequestId": str, "MaxResults": int, "NextToken": str,
                                 "SupportedRegions": [{"RegionId": str, "Zones": [{"ZoneId": str}]}]},
    "ListTagResources": {"RequestId": str, "NextToken": str, "TagResources": [TAGGED]},
}
ECS_ANSWERS = {
    "DescribeDisks": {**PAGE, "Disks": {"Disk": [DISK]}},
    "DescribeRegions": {"RequestId": str, "Regions": {"Region": [
        {"RegionId": str, "RegionEndpoint": str, "LocalName": str, "Status": str}]}},
    "DescribeZones": {"RequestId": str, "Zones": {"Zone": [ZONE]}},
    "ListTagResources": {"RequestId": str, "NextToken": str, "TagResources": {"TagResource": [TAGGED]}},
}


def check(value, kind, where):
    """A value against its type: a class, a dict of fields, or a list of one kind, which must not be empty."""
    if isinstance(kind, dict):
        assert isinstance(value, dict), where
        for name, field in kind.items():
            assert name in value, f"{where}.{name} is missing"
            check(value[name], field, f"{where}.{name}")
    elif isinstance(kind, list):
        assert isinstance(value, list) and value, where
        for entry in value:
            check(entry, kind[0], where + "[]")
    else:
        assert type(value) is kind, f"{where}: {value!r}"  # not isinstance: a bool is no number


def check_xml(element, kind, where):
    """The same of XML: a list is its element repeated, everything else is text."""
    if isinstance(kind, dict):
        for name, field in kind.items():
            found = element.findall(name)
            assert found and (isinstance(field, list) or len(found) == 1), f"{where}.{name}: {len(found)} of it"
            for one in found:
                check_xml(one, field[0] if isinstance(field, list) else field, f"{where}.{name}")
    else:
        text = element.text or ""
        assert kind is str or (text in ("true", "false") if kind is bool else text.isdigit()), f"{where}: {text!r}"


def make_pair(north, south, **parameters):
    ids = [site.make_disk(MIB).id for site in (north, south)]
    return north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=ids[0], DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=ids[1], **parameters)


def make_group(north, south, **parameters):
    return north.call("CreateDiskReplicaGroup", SourceZoneId=north.zone, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, **parameters)["ReplicaGroupId"]


@pytest.fixture
def furnished(two_sites):
    """Two sites with one of everything: a tagged pair in a tagged group, started; a tagged, attached disk."""
    north, south = two_sites
    pair = make_pair(north, south, PairName="pair", **tags(a="b"))["ReplicaPairId"]
    group = make_group(north, south, GroupName="group", **tags(a="b"))
    north.call("AddDiskReplicaPair", ReplicaGroupId=group, ReplicaPairId=pair)
    north.make_disk(MIB, DiskName="disk", **tags(a="b")).attach()
    check(north.pairs(), [PAIR], "before the first start")
    assert not any(name in row for row in north.pairs() + north.groups() for name in POINT)
    north.call("StartDiskReplicaGroup", ReplicaGroupId=group)
    until("its first point", lambda: all("LastRecoverPoint" in row for row in north.pairs() + north.groups()))
    return north, south


PARAMETERS = {"ListReplicaEdgeSupported": {"Azone": "north-a"},
              "ListTagResources": {"ResourceType": "DiskReplicaGroup"}}
ECS_PARAMETERS = {"ListTagResources": {"ResourceType": "disk"}}


def test_answers_have_every_field(furnished):
    north, south = furnished
    for action, kind in ANSWERS.items():
        check(north.call(action, **PARAMETERS.get(action, {})), kind, action)
    for action, kind in ECS_ANSWERS.items():
        # One disk of two is attached: the list of attachments of the other is empty.
        more = {"InstanceId": "i-test", **tags(a="b")} if action == "DescribeDisks" else ECS_PARAMETERS.get(action, {})
        check(north.call(action, **ECS, **more), kind, action)
    check(north.pairs(), [{**PAIR, **POINT}], "pairs")
    check(north.groups(), [{**GROUP, **POINT}], "groups")
    pair = north.pairs()[0]
    progress = north.call("DescribeDiskReplicaPairProgress", ReplicaPairId=pair["ReplicaPairId"])
    check(progress, {"RequestId": str, "Progress": int, "RecoverPoint": int}, "progress")
    assert 0 <= progress["Progress"] <= 100
    assert pair["CreateTime"] <= pair["LastRecoverPoint"] + 1 <= time.time() + 2  # seconds, as all of EBS's times
    assert south.pairs()[0]["Site"] == "backup" and pair["Site"] == "production"
    assert pair["ReplicaGroupId"] == north.groups()[0]["ReplicaGroupId"] and pair["ReplicaGroupName"] == "group"
    for action, version, kind in (("DescribeDiskReplicaPairs", "2021-07-30", ANSWERS["DescribeDiskReplicaPairs"]),
                                  ("DescribeDisks", "2014-05-26", ECS_ANSWERS["DescribeDisks"])):
        more = {"InstanceId": "i-test"} if action == "DescribeDisks" else {}
        status, form, root = call_xml(north, action, version, **more)
        assert (status, form, root.tag) == (200, "text/xml;charset=utf-8", action + "Response")
        check_xml(root, kind, action)


def test_what_was_given_comes_back(two_sites):
    north, south = two_sites
    answer = make_pair(north, south, PairName="name", Description="what", ChargeType="PREPAY", Period=3,
                       PeriodUnit="Month", RPO=60, EnableRtc="True", ResourceGroupId="rg-1", **tags(k="v"))
    check(answer, {"RequestId": str, "ReplicaPairId": str, "OrderId": str}, "CreateDiskReplicaPair")
    row = north.pairs()[0]
    assert [row[name] for name in ("PairName", "Description", "ChargeType", "RPO", "EnableRtc", "ResourceGroupId",
                                   "Tags", "Bandwidth")] == \
        ["name", "what", "PREPAY", 60, True, "rg-1", [{"TagKey": "k", "TagValue": "v"}], 10240]
    assert 89 * 86400 <= row["ExpiredTime"] - row["CreateTime"] <= 92 * 86400
    # The group's terms are shown in place of the pair's own.
    group = make_group(north, south, RPO=30)
    north.call("AddDiskReplicaPair", ReplicaGroupId=group, ReplicaPairId=row["ReplicaPairId"])
    assert [north.pairs()[0][name] for name in ("RPO", "EnableRtc")] == [30, False]
    north.call("ModifyDiskReplicaGroup", ReplicaGroupId=group, RPO=45, EnableRtc="true")
    assert [north.pairs()[0][name] for name in ("RPO", "EnableRtc")] == [45, True]
    assert north.groups()[0]["PairIds"] == [row["ReplicaPairId"]] and north.groups()[0]["PairNumber"] == 1

    disk = north.make_disk(MIB, DiskName="disk", Description="what", DiskCategory="cloud_auto", PerformanceLevel="PL2",
                           ResourceGroupId="rg-2")
    north.call("AttachDisk", DiskId=disk.id, InstanceId="i-1", Device="/dev/xvdb", DeleteWithInstance="true",
               Force="false")
    row = disk.wait_status("In_use") and disk.row()
    assert [row[name] for name in ("DiskName", "Description", "Category", "PerformanceLevel", "ResourceGroupId",
                                   "Device", "DeleteWithInstance", "InstanceId")] == \
        ["disk", "what", "cloud_auto", "PL2", "rg-2", "/dev/xvdb", True, "i-1"]
    assert row["Attachments"]["Attachment"][0]["Device"] == "/dev/xvdb"
    other = north.make_disk(MIB, DiskCategory="")
    assert (other.row()["Category"], other.row()["PerformanceLevel"]) == ("cloud_essd", "PL1")
    north.call("ModifyDiskAttribute", **{"DiskIds.1": disk.id, "DiskIds.2": other.id}, DiskName="both",
               DeleteWithInstance="false", DeleteAutoSnapshot="true", EnableAutoSnapshot="true")
    north.kill()
    north.start()
    for one in (disk, other):
        assert [one.row()[name] for name in ("DiskName", "DeleteWithInstance", "DeleteAutoSnapshot",
                                             "EnableAutoSnapshot")] == \
            ["both", False, True, True]
    disk.detach("i-1")
    assert disk.row()["Device"] == "" and disk.row()["DetachedTime"]
    third = north.call("CreateDisk", InstanceId="i-2", OffsiteSizeBytes=MIB)
    check(third, {"RequestId": str, "DiskId": str, "OrderId": str}, "CreateDisk")
    rows = north.call("DescribeDisks", InstanceId="i-2")["Disks"]["Disk"]
    assert [(row["DiskId"], row["Status"]) for row in rows] == [(third["DiskId"], "In_use")]


def walk(site, action, path, key, by, size, **filters):
    """The ids of all rows, page by page; checks each page's own fields."""
    ids, number, token = [], 1, ""
    while True:
        turn = {"PageNumber": number, "PageSize": size} if by == "number" else {"MaxResults": size, "NextToken": token}
        answer = site.call(action, **turn, **filters)
        rows = answer
        for name in path:
            rows = rows[name]
        if by == "number":
            assert (answer["PageNumber"], answer["PageSize"]) == (number, size)
            if not rows:
                assert len(ids) == answer["TotalCount"]
                return ids
        assert 0 < len(rows) <= size
        ids += [row[key] for row in rows]
        number, token = number + 1, answer["NextToken"]
        if by == "token" and not token:
            return ids


LISTS = (("DescribeDiskReplicaPairs", ["ReplicaPairs"], "ReplicaPairId"),
         ("DescribeDiskReplicaGroups", ["ReplicaGroups"], "ReplicaGroupId"),
         ("DescribeDisks", ["Disks", "Disk"], "DiskId"))


def test_pages_give_every_row_once(two_sites):
    north, south = two_sites
    pairs = [make_pair(north, south, PairName=f"pair{n}", **tags(odd=n % 2))["ReplicaPairId"] for n in range(25)]
    groups = [make_group(north, south, GroupName=f"group{n}") for n in range(11)]
    assert {row["ReplicaPairId"] for row in north.pairs(PageSize=100)} == set(pairs)
    assert len(north.pairs()) == 10 == len(north.pairs(MaxResults="", NextToken=""))  # as many as the cloud gives
    for action, path, key in LISTS:
        walked = [walk(north, action, path, key, by, size) for by in ("number", "token") for size in (10, 7, 100)]
        assert all(ids == walked[0] for ids in walked) and len(set(walked[0])) == len(walked[0]), action
        assert len(walked[0]) == {"ReplicaGroupId": len(groups)}.get(key, len(pairs)), action
        # With a token the page's number counts for nothing, however wrong it is.
        first = north.call(action, MaxResults=5, PageNumber=9, PageSize=1000)
        assert first[path[0]] == north.call(action, PageSize=5)[path[0]]
        for bad in ({"PageSize": 101}, {"PageSize": 0}, {"PageNumber": 0}, {"MaxResults": 501}, {"MaxResults": 0},
                    {"NextToken": "x"}):
            assert refused(north, action, **bad)[0] == 400, (action, bad)
    assert set(walk(south, *LISTS[0], "token", 7)) == set(pairs)
    assert walk(north, *LISTS[0], "token", 4, **tags(odd=1)) == walk(north, *LISTS[0], "number", 5, **tags(odd=1))
    assert set(walk(north, *LISTS[0], "token", 4, **tags(odd=1))) == set(pairs[1::2])

    # Filters, on the same rows.
    found = {row["PairName"] for row in north.pairs(Name="pair1", PageSize=100)}
    assert found == {"pair1"} | {f"pair{n}" for n in range(10, 20)}
    assert {row["ReplicaPairId"] for row in north.pairs(PairIds=",".join(pairs[:3]))} == set(pairs[:3])
    assert refused(north, "DescribeDiskReplicaPairs", PairIds=",".join(["pair-x"] * 101))[0] == 400
    assert refused(north, "DescribeDisks", DiskIds=json.dumps(["d-x"] * 101)) == (403, "InvalidDiskIds.Malformed")
    assert north.call("DescribeDisks", DiskIds="[]")["Disks"]["Disk"] == []
    assert {row["GroupName"] for row in north.groups(Name="group1")} == {"group1", "group10"}
    for site, region, whole in ((north, north.region, "production"), (north, south.region, "backup"),
                                (south, south.region, "backup"), (south, north.region, "production")):
        for role in ("production", "backup"):
            count = 25 if role == whole else 0
            assert site.call("DescribeDiskReplicaPairs", RegionId=region, Site=role)["TotalCount"] == count
            groups_count = site.call("DescribeDiskReplicaGroups", RegionId=region, Site=role)["TotalCount"]
            assert groups_count == (11 if count else 0)
    assert refused(north, "DescribeDiskReplicaPairs", Site="moon")[0] == 400
    north.call("AddDiskReplicaPair", ReplicaGroupId=groups[0], ReplicaPairId=pairs[0])
    assert [row["ReplicaPairId"] for row in north.pairs(ReplicaGroupId=groups[0])] == [pairs[0]]
    assert north.call("DescribeDiskReplicaPairs", ReplicaGroupId="-")["TotalCount"] == 24


def test_tags_are_listed_in_pages(two_sites):
    north, south = two_sites
    groups = [make_group(north, south, **tags(a=n, b=n)) for n in range(4)]
    seen, token, pages = [], "", 0
    while pages == 0 or token:
        answer = north.call("ListTagResources", ResourceType="DiskReplicaGroup", MaxResults=3, NextToken=token)
        seen += [(row["ResourceId"], row["TagKey"], row["TagValue"]) for row in answer["TagResources"]]
        token, pages = answer["NextToken"], pages + 1
    assert pages == 3 and sorted(seen) == sorted((one, key, str(n)) for n, one in enumerate(groups) for key in "ab")
    # All counts only when no key is named.
    one = {"ResourceType": "DiskReplicaGroup", "ResourceId.1": groups[0]}
    north.call("UntagResources", All="true", **one, **{"TagKey.1": "a"})
    rows = north.call("ListTagResources", **one)["TagResources"]
    assert [row["TagKey"] for row in rows] == ["b"]


def test_filters_of_disks(site):
    attached = site.make_disk(MIB, DiskName="one", DiskCategory="cloud_auto", **tags(a="b")).attach("i-1")
    other = site.make_disk(MIB, DiskName="two", DiskCategory="", ResourceGroupId="rg-1")

    def found(**filters):
        return [row["DiskId"] for row in site.call("DescribeDisks", **filters)["Disks"]["Disk"]]

    both = found()
    assert set(both) == {attached.id, other.id}
    for filters in ({"Status": "In_use"}, {"InstanceId": "i-1"}, {"Category": "cloud_auto"}, {"DiskName": "one"},
                    tags(a="b")):
        assert found(**filters) == [attached.id], filters
    for filters in ({"Status": "Available"}, {"Category": "cloud_essd"}, {"DiskName": "two"},
                    {"ResourceGroupId": "rg-1"}, {"DiskIds": json.dumps([other.id])}):
        assert found(**filters) == [other.id], filters
    for filters in ({"Status": "All"}, {"Category": "all"}, {"ZoneId": site.zone}, {"Unknown": "x"}):
        assert found(**filters) == both, filters
    for filters in ({"Status": "ReIniting"}, {"Status": "Creating"}, {"SnapshotId": "s-1"}, {"ZoneId": "moon-a"},
                    tags(a="c")):
        assert found(**filters) == [], filters
    assert refused(site, "DescribeDisks", Status="Broken")[0] == 400


@pytest.mark.parametrize("parameters, status, code", [
    ({"DiskCategory": "cloud_gold"}, 400, "InvalidDiskCategory.ValueNotSupported"),
    ({"PerformanceLevel": "PL9"}, 400, "InvalidPerformanceLevel.Malformed"),
    ({"SnapshotId": "s-1"}, 404, "InvalidSnapshotId.NotFound"),  # an empty disk is not what was asked for
    ({"ZoneId": "moon-a"}, 404, "InvalidZoneId.NotFound"),
    ({"RegionId": "moon", "ZoneId": ""}, 404, "InvalidRegionId.NotFound"),
    ({"InstanceId": "i-1"}, 403, "InvalidParam.ZoneIdAndInstanceId.Conflict"),
])
def test_a_disk_that_cannot_be_made_is_not_made(site, parameters, status, code):
    assert refused(site, "CreateDisk", **{"ZoneId": site.zone, "OffsiteSizeBytes": MIB, **parameters}) == (status, code)
    assert site.call("DescribeDisks")["TotalCount"] == 0


@pytest.mark.parametrize("parameters, code", [
    ({"ChargeType": "FREE"}, "InvalidParameter"), ({"ChargeType": "PREPAY"}, "MissingPeriod"),
    ({"ChargeType": "PREPAY", "Period": 5}, "InvalidParameter"),
    ({"ChargeType": "PREPAY", "Period": 1, "PeriodUnit": "Year"}, "InvalidParameter"),
    ({"RPO": 0}, "InvalidParameter"), ({"EnableRtc": "perhaps"}, "InvalidParameter"),
    ({"PairName": "1st"}, "InvalidParameter"),
    ({"Description": "x" * 257}, "InvalidParameter"), ({"ClientToken": "x" * 65}, "InvalidParameter"),
])
def test_bad_terms_of_a_pair_are_refused(site, parameters, code):
    with pytest.raises(ApiError) as error:
        site.call("CreateDiskReplicaPair", SourceZoneId=site.zone, DiskId="d-1", DestinationRegionId="south",
                  DestinationZoneId="south-a", DestinationDiskId="d-2", **parameters)
    assert (error.value.status, error.value.code) == (400, code)


def test_regions_and_edges_are_filtered_and_paged(two_sites):
    north, south = two_sites

    def regions(**filters):
        return [row["RegionId"] for row in north.call("DescribeRegions", **filters)["Regions"]]

    assert regions(RegionId="") == [north.region, south.region]
    assert regions(RegionId=south.region) == [south.region] and regions(RegionId="moon") == []
    assert regions(RegionId="", ResourceType="ear", AcceptLanguage="en-US") == [north.region, south.region]
    assert regions(RegionId="", ResourceType="lens") == []
    # ECS's has no such filter, and clients send the region with every call.
    rows = north.call("DescribeRegions", **ECS)["Regions"]["Region"]
    assert [(row["RegionId"], row["Status"]) for row in rows] == \
        [(north.region, "available"), (south.region, "available")]
    edges = north.call("ListReplicaEdgeSupported", Azone=north.zone, MaxResults=1)
    assert (edges["MaxResults"], edges["NextToken"]) == (1, "") and len(edges["SupportedRegions"]) == 1
    beyond = north.call("ListReplicaEdgeSupported", Azone=north.zone, MaxResults=1, NextToken="1")
    assert beyond["SupportedRegions"] == []
    assert refused(north, "ListReplicaEdgeSupported") == (400, "MissingAzone")


def test_what_a_disk_refuses_has_its_own_code(site):
    disk = site.make_disk(2 * MIB)
    named = {"DiskId": disk.id, "InstanceId": "i-1"}
    assert refused(site, "DetachDisk", **named) == (404, "InvalidDisk.AlreadyDetached")
    assert refused(site, "ResizeDisk", DiskId=disk.id, OffsiteSizeBytes=MIB) == (403, "InvalidDiskSize.TooSmall")
    assert refused(site, "ResizeDisk", DiskId=disk.id, OffsiteSizeBytes=1 << 50) == (403, "InvalidDiskSize.TooLarge")
    disk.attach("i-1")
    assert refused(site, "AttachDisk", **named) == (404, "InvalidDisk.InUse")
    assert refused(site, "DetachDisk", DiskId=disk.id, InstanceId="i-2") == (403, "DependencyViolation")
    assert refused(site, "DeleteDisk", DiskId=disk.id) == (403, "DiskStillAttached")
    assert refused(site, "ModifyDiskAttribute", DiskName="none") == (400, "MissingParameter")
    assert refused(site, "ModifyDiskAttribute", **{"DiskIds.1": disk.id, "DiskIds.2": "d-none"}, DiskName="none") == \
        (404, "InvalidDiskId.NotFound")
    assert disk.row()["DiskName"] == ""
