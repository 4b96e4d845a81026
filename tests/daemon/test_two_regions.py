"""A call for the other site's region: carried over the link and answered there; with that site gone, at once and honestly."""

import json
import re
import threading
import time

import pytest

import offsite
from offsite import MIB, REPOSITORY, ApiError, Disk, Site, until, wait_linked

EBS, ECS = "2021-07-30", "2014-05-26"
CLIENT_LIMIT_S = 3  # the read timeout of the vendor's clients


def documented():
    """The actions of docs/api-aliyun.md, as (version, action)."""
    found = set()
    for line in (REPOSITORY / "docs" / "api-aliyun.md").read_text().splitlines():
        row = re.match(r"\| (EBS|ECS)[^|]*\| (.*) \|$", line)
        if row is None:
            continue
        groups = "the same for `...Group`" in row[2]
        for action in re.findall(r"`([A-Z][A-Za-z]+)`", row[2].replace("`ResourceType=disk`", "")):
            if action in ("ZoneId", "BytesPerSecond"):
                continue
            found.add((EBS if row[1] == "EBS" else ECS, action))
            if groups and "DiskReplicaPair" in action and not re.match("Add|Remove", action) and "Progress" not in action:
                found.add((EBS, action.replace("Pair", "Group")))
    return found


class Elsewhere:
    """Calls at one site, for another one's region; remembers which."""

    def __init__(self, site, region):
        self.site, self.region, self.called = site, region, set()

    def __call__(self, action, version=EBS, **parameters):
        self.called.add((version, action))
        return self.site.call(action, Version=version, **{"RegionId": self.region, **parameters})

    def refused(self, action, version=EBS, **parameters):
        with pytest.raises(ApiError) as refused:
            self(action, version, **parameters)
        return refused.value.status, refused.value.code

    def same(self, other, action, version=EBS, **parameters):
        """What the other site itself answers, but for what changes from moment to moment."""
        def bare(answer):
            answer.pop("RequestId")
            for row in answer.get("ReplicaPairs", []) + answer.get("ReplicaGroups", []):
                row.pop("Offsite")
                row.pop("LastRecoverPoint", None)
            return answer
        mine = bare(self(action, version, **parameters))
        theirs = bare(other.call(action, Version=version, **{"RegionId": self.region, **parameters}))
        assert mine == theirs, action
        return mine


def created(source, destination, **parameters):
    return {"SourceZoneId": source.zone, "DestinationRegionId": destination.region, "DestinationZoneId": destination.zone,
            "RPO": 1, **parameters}


def make_pair(at, source, destination):
    """Asked at `at`: a pair of two new disks, from one site to the other; its id and the disks."""
    disks = [Disk(one, at.call("CreateDisk", RegionId=one.region, ZoneId=one.zone, OffsiteSizeBytes=MIB)["DiskId"])
             for one in (source, destination)]
    pair = at.call("CreateDiskReplicaPair", RegionId=source.region, DiskId=disks[0].id, DestinationDiskId=disks[1].id,
                   **created(source, destination))["ReplicaPairId"]
    return pair, *disks


def make_group(at, source, destination):
    return at.call("CreateDiskReplicaGroup", RegionId=source.region, **created(source, destination))["ReplicaGroupId"]


def row_of(site, kind, one):
    rows = site.pairs(PairIds=one) if kind == "Pair" else site.groups(GroupIds=one)
    return rows[0] if rows else {"Status": "gone"}


def wait_status(kind, one, status, *sites):
    for site in sites:
        until(lambda site=site: f"{one} {status} at {site.zone}: {row_of(site, kind, one)}",
              lambda site=site: row_of(site, kind, one)["Status"] == status)


def disks_and_tags(call, north, south):
    """Of disks: all of them are the other site's own."""
    one = call("CreateDisk", ECS, OffsiteSizeBytes=MIB, DiskName="first")["DiskId"]
    two = call("CreateDisk", ECS, OffsiteSizeBytes=MIB, ZoneId=south.zone)["DiskId"]
    assert {row["DiskId"] for row in call.same(south, "DescribeDisks", ECS)["Disks"]["Disk"]} == {one, two}
    call("ModifyDiskAttribute", ECS, DiskId=one, DiskName="renamed")
    call("AttachDisk", ECS, DiskId=one, InstanceId="i-1")
    row = call.same(south, "DescribeDisks", ECS, DiskIds=json.dumps([one]))["Disks"]["Disk"][0]
    assert (row["DiskName"], row["Status"], row["ZoneId"], row["InstanceId"]) == ("renamed", "In_use", south.zone, "i-1")
    call("DetachDisk", ECS, DiskId=one, InstanceId="i-1")
    call("ResizeDisk", ECS, DiskId=one, OffsiteSizeBytes=2 * MIB)
    assert Disk(south, one).row()["Offsite"]["SizeBytes"] == 2 * MIB
    of_disk = {"ResourceType": "disk", "ResourceId.1": one}
    call("TagResources", ECS, **of_disk, **{"Tag.1.Key": "k", "Tag.1.Value": "v"})
    assert call.same(south, "ListTagResources", ECS, **of_disk)["TagResources"]["TagResource"][0]["TagValue"] == "v"
    call("UntagResources", ECS, **of_disk, **{"TagKey.1": "k"})
    assert call.same(south, "ListTagResources", ECS, **of_disk)["TagResources"]["TagResource"] == []
    call("ChangeResourceGroup", ResourceType="disk", ResourceId=one, NewResourceGroupId="rg-1")
    assert Disk(south, one).row()["ResourceGroupId"] == "rg-1"
    call("DeleteDisk", ECS, DiskId=one)
    names = [call("RunInstances", ECS, InstanceName=name)["InstanceIdSets"]["InstanceIdSet"][0] for name in ("first", "second")]
    rows = call.same(south, "DescribeInstances", ECS, InstanceIds=json.dumps(names))["Instances"]["Instance"]
    assert {row["InstanceId"] for row in rows} == set(names) and {row["ZoneId"] for row in rows} == {south.zone}
    namesake = north.make_disk(MIB).attach(names[0])  # the same name in this region is another instance
    call("DeleteInstance", ECS, InstanceId=names[0])
    namesake.detach(names[0]).delete()
    call("DeleteInstances", ECS, **{"InstanceId.1": names[1]})
    assert not south.call("DescribeInstances", InstanceIds=json.dumps(names))["TotalCount"]
    assert not Disk(south, one).site.call("DescribeDisks", DiskIds=json.dumps([one]))["TotalCount"]


def places(call, north, south):
    assert all(one.region in json.dumps(call("DescribeRegions", ECS)) for one in (north, south))
    assert south.region in json.dumps(call("DescribeRegions", EBS))  # it filters by RegionId
    call.same(south, "DescribeZones", ECS)
    # From the south its disks can be copied to the north.
    assert call.same(south, "ListReplicaEdgeSupported", Azone=south.zone)["SupportedRegions"][0]["RegionId"] == north.region
    call("ModifyOffsitePeer", ZoneId=north.zone, BytesPerSecond=1 << 30)  # how fast the south may ship to the north
    zones = {zone["ZoneId"]: zone for region in south.call("DescribeRegions", RegionId=None)["Regions"] for zone in region["Zones"]}
    assert zones[north.zone]["Offsite"]["BytesPerSecond"] == 1 << 30
    call("ModifyOffsitePeer", ZoneId=north.zone, BytesPerSecond=0)
    for action in ("StartPairDrill", "ClearPairDrill", "DescribePairDrills", "StartReplicaGroupDrill", "ClearReplicaGroupDrill",
                   "DescribeReplicaGroupDrills"):
        assert call.refused(action) == (403, "OperationDenied")


def from_the_south(call, kind, one, north, south):
    """A pair or group whose source is the other site: what is the source's work is carried there."""
    it = {f"Replica{kind}Id": one}
    call(f"ModifyDiskReplica{kind}", **it, **{f"{kind}Name": "renamed"})
    until("renamed in both", lambda: all(row_of(site, kind, one)[f"{kind}Name"] == "renamed" for site in (north, south)))
    call(f"StartDiskReplica{kind}", **it)
    wait_status(kind, one, "normal", north, south)
    call.same(south, f"DescribeDiskReplica{kind}s")
    call.same(south, f"DescribeDiskReplica{kind}s", **{f"{kind}Ids": one})
    assert "Operations" in call(f"PreviewDiskReplica{kind}", **it)
    if kind == "Pair":
        assert call("DescribeDiskReplicaPairProgress", **it)["Progress"] == 100
    call(f"ScrubDiskReplica{kind}", **it)
    call(f"StopDiskReplica{kind}", **it)
    wait_status(kind, one, "stopped", north, south)
    labels = {"ResourceType": f"diskreplica{kind.lower()}", "ResourceId.1": one}
    call("TagResources", **labels, **{"Tag.1.Key": "k", "Tag.1.Value": "v"})
    until("the tag in both", lambda: all(row_of(site, kind, one)["Tags"] for site in (north, south)))
    call.same(south, "ListTagResources", **labels)
    call("UntagResources", **labels, All="true")
    call("ChangeResourceGroup", ResourceType=labels["ResourceType"], ResourceId=one, NewResourceGroupId="rg-2")
    until("the resource group in both", lambda: all(row_of(site, kind, one)["ResourceGroupId"] == "rg-2" for site in (north, south)))


def to_the_south(call, kind, one, north, south):
    """The other site is the secondary: changes of sides are its work."""
    it = {f"Replica{kind}Id": one}
    assert call.refused(f"FailoverDiskReplica{kind}", **it)[0] == 403  # nothing there yet: south said so
    call(f"StartDiskReplica{kind}", **it)
    wait_status(kind, one, "normal", north, south)
    call(f"FailoverDiskReplica{kind}", **it)
    wait_status(kind, one, "failovered", north, south)
    call(f"ReprotectDiskReplica{kind}", **it)
    wait_status(kind, one, "stopped", north, south)
    call(f"StartDiskReplica{kind}", **it)  # the south leads now
    wait_status(kind, one, "normal", north, south)
    assert call.refused(f"DiscardDiskReplica{kind}Divergence", **it) == (403, "OperationDenied.InvalidStatus")
    call(f"SwitchoverDiskReplica{kind}", **it)
    wait_status(kind, one, "normal", north, south)
    assert row_of(south, kind, one)["SourceZoneId"] == north.zone
    call(f"StopDiskReplica{kind}", **it)
    wait_status(kind, one, "stopped", north, south)


def test_every_operation_is_carried(two_sites):
    north, south = two_sites
    call = Elsewhere(north, south.region)
    disks_and_tags(call, north, south)
    places(call, north, south)
    for source, destination, live in ((south, north, from_the_south), (north, south, to_the_south)):
        pair, *disks = make_pair(north, source, destination)
        live(call, "Pair", pair, north, south)
        call("DeleteDiskReplicaPair", ReplicaPairId=pair)
        wait_status("Pair", pair, "gone", north, south)
        pair = call("CreateDiskReplicaPair", DiskId=disks[0].id, DestinationDiskId=disks[1].id,
                    **created(source, destination))["ReplicaPairId"]
        group = call("CreateDiskReplicaGroup", **created(source, destination))["ReplicaGroupId"]
        wait_status("Pair", pair, "created", north, south)
        wait_status("Group", group, "created", north, south)
        call("AddDiskReplicaPair", ReplicaGroupId=group, ReplicaPairId=pair)
        until("added in both", lambda: all(row_of(site, "Group", group)["PairIds"] == [pair] for site in two_sites))
        live(call, "Group", group, north, south)
        call("RemoveDiskReplicaPair", ReplicaGroupId=group, ReplicaPairId=pair)
        until("removed in both", lambda: all(row_of(site, "Group", group)["PairIds"] == [] for site in two_sites))
        call("DeleteDiskReplicaGroup", ReplicaGroupId=group)
        wait_status("Group", group, "gone", north, south)
    assert call.called == documented()
    # What is refused there is refused here with the same code; a disk of this site is none of that region's.
    mine = north.make_disk(MIB).id
    for disk in (mine, "d-unknown"):
        assert call.refused("AttachDisk", ECS, DiskId=disk, InstanceId="i-1") == (404, "InvalidDiskId.NotFound")
        assert call("DescribeDisks", ECS, DiskIds=json.dumps([disk]))["TotalCount"] == 0
    assert call.refused("StartDiskReplicaPair", ReplicaPairId="pair-unknown") == (404, "NoSuchResource")
    assert call.refused("DescribeDiskReplicaPairProgress", ReplicaPairId="pair-unknown") == (404, "NoSuchResource")
    assert call.refused("CreateDisk", ECS, OffsiteSizeBytes=1) == (400, "InvalidSize.ValueNotSupported")
    for action, more in (("DescribeDisks", {}), ("AttachDisk", {"DiskId": mine, "InstanceId": "i-1"}),
                         ("CreateDisk", {"OffsiteSizeBytes": MIB})):
        wrong = (400, "InvalidRegion.NotFound") if action == "DescribeDisks" else (404, "InvalidRegionId.NotFound")
        assert call.refused(action, ECS, RegionId="nowhere", **more) == wrong
    # Who called is written down where it was called.
    assert re.search(r"api\.call .*user=\"\w+\" action=ecs:CreateDisk object=\"d-\w+\" status=200 code=OK", north.log())
    assert "api.call " in north.log() and "action=ecs:CreateDisk" not in south.log()


# --- the other site is gone


OWN = "answered from this site's own copy"
GONE = (504, "RequestTimeout")


class World:
    """What the calls of the tables below are about, made while both sites were there."""

    def __init__(self, north, south):
        self.disk = Disk(south, north.call("CreateDisk", RegionId=south.region, OffsiteSizeBytes=MIB)["DiskId"])
        self.pairs = {"south": make_pair(north, south, north), "north": make_pair(north, north, south)}
        self.groups = {"south": make_group(north, south, north), "north": make_group(north, north, south)}
        for side in ("north", "south"):
            wait_status("Pair", self.pairs[side][0], "created", north, south)
            wait_status("Group", self.groups[side], "created", north, south)


def reads(world, south):
    """The reads of the south's region, and how they are answered without it."""
    pair, group = world.pairs["south"][0], world.groups["south"]
    of_pair, of_disk = {"ResourceType": "diskreplicapair"}, {"ResourceType": "disk", "ResourceId.1": world.disk.id}
    yield from ((EBS, action, {}, OWN) for action in ("DescribeRegions", "DescribeDiskReplicaPairs", "DescribeDiskReplicaGroups"))
    yield from ((ECS, action, {}, OWN) for action in ("DescribeRegions", "DescribeZones"))
    yield EBS, "ListReplicaEdgeSupported", {"Azone": south.zone}, OWN
    yield EBS, "DescribeDiskReplicaPairs", {"PairIds": pair}, OWN
    yield EBS, "DescribeDiskReplicaGroups", {"GroupIds": group}, OWN
    yield EBS, "DescribeDiskReplicaPairProgress", {"ReplicaPairId": pair}, OWN
    yield EBS, "PreviewDiskReplicaPair", {"ReplicaPairId": pair}, OWN
    yield EBS, "PreviewDiskReplicaGroup", {"ReplicaGroupId": group}, OWN
    yield EBS, "ListTagResources", of_pair, OWN
    yield EBS, "ListTagResources", {**of_pair, "ResourceId.1": pair}, OWN
    yield EBS, "DescribeDiskReplicaPairProgress", {"ReplicaPairId": "pair-of-others"}, GONE
    yield EBS, "ListTagResources", {**of_pair, "ResourceId.1": "pair-of-others"}, GONE
    yield ECS, "DescribeDisks", {}, GONE
    yield ECS, "DescribeDisks", {"DiskIds": json.dumps([world.disk.id])}, GONE
    yield ECS, "DescribeInstances", {}, GONE
    yield ECS, "ListTagResources", of_disk, GONE
    yield EBS, "ListTagResources", of_disk, GONE


def changes(world, north, south):
    """The changes that are the south's work. In whatever order it does them later, none spoils what the others are about."""
    disk, tag = {"DiskId": world.disk.id}, {"Tag.1.Key": "k", "Tag.1.Value": "v"}
    of_disk = {"ResourceType": "disk", "ResourceId.1": world.disk.id}
    yield ECS, "CreateDisk", {"OffsiteSizeBytes": MIB, "ClientToken": "a disk"}
    yield ECS, "ModifyDiskAttribute", {**disk, "DiskName": "renamed"}
    yield from ((ECS, action, {**disk, "InstanceId": "i-1"}) for action in ("AttachDisk", "DetachDisk"))
    yield ECS, "ResizeDisk", {**disk, "OffsiteSizeBytes": 2 * MIB}
    yield ECS, "DeleteDisk", {"DiskId": "d-unknown"}
    yield ECS, "RunInstances", {"InstanceName": "one", "ClientToken": "an instance"}
    yield ECS, "DeleteInstance", {"InstanceId": "i-unknown"}
    yield ECS, "DeleteInstances", {"InstanceId.1": "i-unknown"}
    yield from ((version, "TagResources", {**of_disk, **tag}) for version in (EBS, ECS))
    yield from ((version, "UntagResources", {**of_disk, "TagKey.1": "k"}) for version in (EBS, ECS))
    yield EBS, "ChangeResourceGroup", {"ResourceType": "disk", "ResourceId": world.disk.id, "NewResourceGroupId": "rg-1"}
    yield EBS, "ModifyOffsitePeer", {"ZoneId": north.zone, "BytesPerSecond": 0}
    _, source, copy = world.pairs["south"]
    yield EBS, "CreateDiskReplicaPair", {"DiskId": source.id, "DestinationDiskId": copy.id, **created(south, north)}
    yield EBS, "CreateDiskReplicaGroup", {**created(south, north), "ClientToken": "a group"}
    for kind, ones in (("Pair", {side: rows[0] for side, rows in world.pairs.items()}), ("Group", world.groups)):
        for verb in ("Modify", "Start", "Stop", "Scrub"):
            yield EBS, f"{verb}DiskReplica{kind}", {f"Replica{kind}Id": ones["south"]}
        for verb in ("Failover", "Reprotect", "Switchover"):
            yield EBS, f"{verb}DiskReplica{kind}", {f"Replica{kind}Id": ones["north"]}
        yield EBS, f"DiscardDiskReplica{kind}Divergence", {f"Replica{kind}Id": ones["south"]}
        yield EBS, f"DeleteDiskReplica{kind}", {f"Replica{kind}Id": f"{kind}-unknown"}
    for verb in ("Add", "Remove"):
        yield EBS, f"{verb}DiskReplicaPair", {"ReplicaPairId": "pair-unknown", "ReplicaGroupId": world.groups["south"]}


def everything(world, north, south):
    yield from reads(world, south)
    yield from ((*row, GONE) for row in changes(world, north, south))


def ask_all(site, region, table):
    """All at once, as a client with its time limit does: [(row, answer)]; an answer is OWN or (status, code)."""
    answers = [None] * len(table)

    def ask(index):
        version, action, parameters, _ = table[index]
        begin = time.monotonic()
        try:
            site.call(action, **{"Version": version, "RegionId": region, **parameters})
            answers[index] = OWN
        except ApiError as error:
            answers[index] = error.status, error.code
        if time.monotonic() - begin > CLIENT_LIMIT_S:
            answers[index] = f"{answers[index]} after {time.monotonic() - begin:.2f} s"

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(table))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return answers


def check_all(site, region, table):
    answers = ask_all(site, region, table)
    wrong = [(row[1], row[2], answer) for row, answer in zip(table, answers) if answer != row[3]]
    assert not wrong, wrong


def disk_ids(site):
    return {row["DiskId"] for row in site.call("DescribeDisks", PageSize=100)["Disks"]["Disk"]}


def test_a_site_that_hangs_or_is_gone(two_sites):
    north, south = two_sites
    world = World(north, south)
    table = list(everything(world, north, south))
    drills = {row for row in documented() if "Drill" in row[1]}
    assert {row[:2] for row in table} == documented() - drills
    before = disk_ids(south)
    groups = len(south.groups())

    south.pause()
    check_all(north, south.region, table)
    south.resume()
    # What it had taken is done, once: its caller hears so when it asks again with the same token.
    call = Elsewhere(north, south.region)
    disk = repeat(call, "CreateDisk", ECS, {"OffsiteSizeBytes": MIB, "ClientToken": "a disk"})["DiskId"]
    group = repeat(call, "CreateDiskReplicaGroup", EBS, {**created(south, north), "ClientToken": "a group"})["ReplicaGroupId"]
    assert row_of(south, "Group", group)["Status"] == "created"
    assert (disk_ids(south) - before, len(south.groups())) == ({disk}, groups + 1)

    south.kill()
    until("the link is seen to be down", lambda: not north.linked())
    for _, _, parameters, _ in table:
        parameters.pop("ClientToken", None)  # else they were answered without it
    check_all(north, south.region, table)
    assert re.search(r'action=ecs:AttachDisk object="d-\w+" status=504 code=RequestTimeout', north.log())
    south.start()
    wait_linked(north, south)
    call.same(south, "DescribeDisks", ECS)
    call("AttachDisk", ECS, DiskId=disk, InstanceId="i-1")


def test_a_site_that_was_never_there(tmp_path):
    north, south = offsite.make_two_sites(tmp_path)
    try:
        north.start()
        call = Elsewhere(north, south.region)
        for action, more in (("DescribeDisks", {}), ("CreateDisk", {"OffsiteSizeBytes": MIB}), ("DeleteDisk", {"DiskId": "d-1"})):
            assert call.refused(action, ECS, **more) == GONE
        assert call.refused("StartDiskReplicaPair", ReplicaPairId="pair-1") == GONE
        assert call.refused("CreateDiskReplicaGroup", **created(south, north)) == GONE
        assert call("DescribeDiskReplicaPairs")["TotalCount"] == 0
        assert call("DescribeZones", ECS)["Zones"]["Zone"][0]["ZoneId"] == south.zone
        south.start()
        wait_linked(north, south)
        assert call("CreateDisk", ECS, OffsiteSizeBytes=MIB)["DiskId"] in disk_ids(south)
    finally:
        for one in (north, south):
            one.close()


def test_calls_that_wait_for_a_site_are_limited(two_sites):
    """A silent site must not take every connection of the other's door."""
    north, south = two_sites
    south.pause()
    messages = []

    def ask():
        try:
            north.call("DeleteDisk", RegionId=south.region, DiskId="d-unknown")
        except ApiError as error:
            messages.append((error.status, error.code, "too many calls" in error.message))

    threads = [threading.Thread(target=ask) for _ in range(80)]
    for one in threads:
        one.start()
    until("some are refused at once", lambda: (*GONE, True) in messages)
    for one in threads:
        one.join()
    assert len(messages) == 80 and {message[:2] for message in messages} == {GONE}
    assert sum(message[2] for message in messages) <= 16  # 64 may wait
    south.resume()
    call = Elsewhere(north, south.region)
    assert call.refused("DeleteDisk", ECS, DiskId="d-unknown") == (404, "InvalidDiskId.NotFound")


# --- answers that are lost


def ask_twice(call, action, version, parameters):
    """At the same time: the answers come into the list that is given, in their order, with the threads to be joined."""
    answers = []

    def ask():
        try:
            call(action, version, **parameters)
            answers.append(OWN)
        except ApiError as error:
            answers.append((error.status, error.code))
        except OSError:  # the site was killed
            answers.append(None)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for one in threads:
        one.start()
    return answers, threads


def repeat(call, action, version, parameters):
    """Asks again while the first call with the token may still run."""
    def look():
        try:
            return call(action, version, **parameters)
        except ApiError as error:
            assert error.code in ("LastTokenProcessing", "IdempotentProcessing"), error
            return None
    return until(f"{action} answered", look)


def test_a_lost_answer_has_no_second_effect(two_sites):
    north, south = two_sites
    call = Elsewhere(north, south.region)
    once = {**created(south, north), "GroupName": "once", "ClientToken": "once"}
    south.pause()  # the call is taken, and answered when nobody waits any more
    answers, threads = ask_twice(call, "CreateDiskReplicaGroup", EBS, once)
    for one in threads:
        one.join()
    assert answers == [(403, "LastTokenProcessing"), GONE]
    south.resume()
    group = repeat(call, "CreateDiskReplicaGroup", EBS, once)["ReplicaGroupId"]
    assert [row["ReplicaGroupId"] for row in south.groups()] == [group]
    for at in (call, Elsewhere(south, south.region)):  # at either site
        assert at("CreateDiskReplicaGroup", **once)["ReplicaGroupId"] == group
        assert at.refused("CreateDiskReplicaGroup", **{**once, "GroupName": "twice"}) == (400, "IdempotentParameterMismatch")
    assert len(south.groups()) == 1


def test_the_asking_site_dies_while_it_waits(two_sites):
    north, south = two_sites
    call = Elsewhere(north, south.region)
    once = {"OffsiteSizeBytes": MIB, "ClientToken": "once"}
    south.pause()
    answers, threads = ask_twice(call, "CreateDisk", ECS, once)
    until("one of the two is on its way", lambda: answers == [(403, "IdempotentProcessing")])
    north.kill()
    for one in threads:
        one.join()
    south.resume()
    north.start()
    wait_linked(north, south)
    assert disk_ids(south) == {repeat(call, "CreateDisk", ECS, once)["DiskId"]}


def test_a_pair_that_was_half_made_is_made_again(two_sites):
    """The other site holds its half of a pair whose caller was told that it was not made."""
    north, south = two_sites
    disk, copy = north.make_disk(MIB), south.make_disk(MIB)
    make = {"DiskId": disk.id, "DestinationDiskId": copy.id, "ClientToken": "pair", **created(north, south)}
    south.pause()
    with pytest.raises(ApiError) as refused:
        north.call("CreateDiskReplicaPair", **make)
    assert (refused.value.status, refused.value.code) == GONE
    assert north.pairs() == []
    south.resume()
    pair = north.call("CreateDiskReplicaPair", **make)["ReplicaPairId"]
    wait_status("Pair", pair, "created", north, south)
    assert [row["ReplicaPairId"] for row in south.pairs()] == [pair]


# --- two zones of one region


@pytest.fixture
def two_zones(tmp_path):
    """Two sites of one region, linked."""
    sites = [Site(tmp_path / name, "north") for name in ("first", "second")]
    sites[1].zone = "north-b"
    for one, other in (sites, sites[::-1]):
        one.configure([other])
    try:
        for one in sites:
            one.start()
        wait_linked(*sites)
        yield sites
    finally:
        for one in sites:
            one.close()


def test_two_zones_of_one_region(two_zones):
    a, b = two_zones
    call = Elsewhere(a, a.region)
    mine = a.make_disk(MIB).id
    other = call("CreateDisk", ECS, ZoneId=b.zone, OffsiteSizeBytes=MIB)["DiskId"]
    assert call.refused("CreateDisk", ECS, ZoneId="north-c", OffsiteSizeBytes=MIB) == (404, "InvalidZoneId.NotFound")
    # A site lists its own; asked for by id, or by zone, a disk of the other zone is found.
    assert (disk_ids(a), disk_ids(b)) == ({mine}, {other})

    def found(**parameters):
        answer = call("DescribeDisks", ECS, **parameters)
        rows = {row["DiskId"]: row["ZoneId"] for row in answer["Disks"]["Disk"]}
        assert answer["TotalCount"] == len(rows)
        return rows

    both = json.dumps([mine, other, "d-unknown"])
    assert found(DiskIds=both) == {mine: a.zone, other: b.zone}
    assert found(ZoneId=b.zone) == {other: b.zone}
    assert {zone["ZoneId"] for zone in call("DescribeZones", ECS)["Zones"]["Zone"]} == {a.zone, b.zone}
    # What is done to it is done there.
    call("AttachDisk", ECS, DiskId=other, InstanceId="i-1")
    assert Disk(b, other).row()["Status"] == "In_use"
    call("TagResources", ECS, ResourceType="disk", **{"ResourceId.1": other, "Tag.1.Key": "k", "Tag.1.Value": "v"})
    tags = call("ListTagResources", ECS, ResourceType="disk", **{"ResourceId.1": other})
    assert tags["TagResources"]["TagResource"][0]["TagKey"] == "k"
    call("DetachDisk", ECS, DiskId=other, InstanceId="i-1")
    assert call.refused("AttachDisk", ECS, DiskId="d-unknown", InstanceId="i-1") == (404, "InvalidDiskId.NotFound")
    # Instances, too.
    zones = {call("RunInstances", ECS, ZoneId=site.zone)["InstanceIdSets"]["InstanceIdSet"][0]: site.zone for site in two_zones}

    def instances():
        answer = call("DescribeInstances", ECS, InstanceIds=json.dumps([*zones, "i-unknown"]))
        rows = {row["InstanceId"]: row["ZoneId"] for row in answer["Instances"]["Instance"]}
        assert answer["TotalCount"] == len(rows)
        return rows

    assert instances() == zones
    for instance in zones:
        call("DeleteInstance", ECS, InstanceId=instance)
    assert instances() == {}
    assert call.refused("DeleteInstance", ECS, InstanceId="i-unknown") == (404, "InvalidInstanceId.NotFound")

    # The life of a pair, from b to a, all of it asked at a.
    pair = call("CreateDiskReplicaPair", DiskId=other, DestinationDiskId=mine, **created(b, a))["ReplicaPairId"]
    it = {"ReplicaPairId": pair}
    call("StartDiskReplicaPair", **it)
    wait_status("Pair", pair, "normal", a, b)
    assert [row_of(site, "Pair", pair)["Site"] for site in (a, b)] == ["backup", "production"]
    call("FailoverDiskReplicaPair", **it)
    wait_status("Pair", pair, "failovered", a, b)
    call("ReprotectDiskReplicaPair", **it)
    wait_status("Pair", pair, "stopped", a, b)
    call("StartDiskReplicaPair", **it)
    wait_status("Pair", pair, "normal", a, b)
    call("SwitchoverDiskReplicaPair", **it)  # home: b's work, who is the secondary
    until("b leads", lambda: row_of(a, "Pair", pair)["SourceZoneId"] == b.zone)
    wait_status("Pair", pair, "normal", a, b)
    call("StopDiskReplicaPair", **it)
    wait_status("Pair", pair, "stopped", a, b)

    # Without b: a's own, and what both hold.
    b.kill()
    until("the link is seen to be down", lambda: not a.linked())
    assert found() == {mine: a.zone}
    assert found(DiskIds=json.dumps([mine])) == {mine: a.zone}
    assert row_of(a, "Pair", pair)["Status"] == "stopped"
    for parameters in ({"ZoneId": b.zone}, {"DiskIds": both}):
        assert call.refused("DescribeDisks", ECS, **parameters) == GONE
    assert call.refused("AttachDisk", ECS, DiskId=other, InstanceId="i-1") == GONE
    assert call.refused("StartDiskReplicaPair", **it) == GONE
    b.start()
    wait_linked(a, b)
    call("DeleteDiskReplicaPair", **it)
    wait_status("Pair", pair, "gone", a, b)
    call("DeleteDisk", ECS, DiskId=other)
    assert disk_ids(b) == set()


# --- three sites, two of them in one region


def test_a_region_with_two_sites(tmp_path):
    """What is named is found at whichever of the region's sites has it, also what this site holds no copy of."""
    sites = [Site(tmp_path / name, region) for name, region in (("a", "north"), ("b", "south"), ("c", "south"))]
    sites[2].zone = "south-b"
    for one in sites:
        one.configure([other for other in sites if other is not one])
    a, b, c = sites
    try:
        for one in sites:
            one.start()
        wait_linked(*sites)
        call = Elsewhere(a, "south")
        pair, first, second = make_pair(b, b, c)
        it = {"ReplicaPairId": pair}
        assert a.pairs() == []
        for disk in (first, second):
            call("ModifyDiskAttribute", ECS, DiskId=disk.id, DiskName="renamed")
            assert disk.row()["DiskName"] == "renamed"
        rows = call("DescribeDisks", ECS, DiskIds=json.dumps([second.id, first.id]))["Disks"]["Disk"]
        assert {row["DiskId"]: row["ZoneId"] for row in rows} == {first.id: b.zone, second.id: c.zone}
        zones = {site.call("RunInstances")["InstanceIdSets"]["InstanceIdSet"][0]: site.zone for site in (b, c)}
        rows = call("DescribeInstances", ECS, InstanceIds=json.dumps(list(zones)))["Instances"]["Instance"]
        assert {row["InstanceId"]: row["ZoneId"] for row in rows} == zones
        call("StartDiskReplicaPair", **it)
        wait_status("Pair", pair, "normal", b, c)
        assert [row["Status"] for row in call("DescribeDiskReplicaPairs", PairIds=pair)["ReplicaPairs"]] == ["normal"]
        assert call("DescribeDiskReplicaPairProgress", **it)["Progress"] == 100
        preview, theirs = call("PreviewDiskReplicaPair", **it), b.call("PreviewDiskReplicaPair", **it)
        assert preview["PeerZoneId"] == theirs["PeerZoneId"] == c.zone and preview["PeerAnswered"]
        assert [row["Operation"] for row in preview["Operations"]] == [row["Operation"] for row in theirs["Operations"]] != []
        call("FailoverDiskReplicaPair", **it)  # from a to b, who knows that it is c's work
        wait_status("Pair", pair, "failovered", b, c)
        assert call.refused("DeleteDisk", ECS, DiskId="d-unknown") == (404, "InvalidDiskId.NotFound")
        assert call.refused("StopDiskReplicaPair", ReplicaPairId="pair-unknown") == (404, "NoSuchResource")
        c.kill()
        until("the link is seen to be down", lambda: a.linked() == [b.zone])
        assert call("DescribeDisks", ECS, DiskIds=json.dumps([first.id]))["TotalCount"] == 1
        assert call.refused("DescribeDisks", ECS, DiskIds=json.dumps([first.id, second.id])) == GONE
        assert call.refused("ModifyDiskAttribute", ECS, DiskId=second.id, DiskName="again") == GONE
        # A new disk needs no particular zone.
        assert call("CreateDisk", ECS, OffsiteSizeBytes=MIB)["DiskId"] in disk_ids(b)
    finally:
        for one in sites:
            one.close()


def test_two_sites_of_a_region_that_do_not_know_each_other(tmp_path):
    """Whoever is linked with both asks the second when the first has never heard of it."""
    a, b, c = sites = [Site(tmp_path / name, region) for name, region in (("a", "north"), ("b", "south"), ("c", "south"))]
    c.zone = "south-b"
    a.configure([b, c])
    for one in (b, c):
        one.configure([a])
    try:
        for one in sites:
            one.start()
        until("a linked with both", lambda: len(a.linked()) == 2)
        call = Elsewhere(a, "south")
        for one in (b, c):
            disk, instance = one.make_disk(MIB).id, one.call("RunInstances")["InstanceIdSets"]["InstanceIdSet"][0]
            call("DeleteDisk", ECS, DiskId=disk)
            call("DeleteInstance", ECS, InstanceId=instance)
            assert not disk_ids(one) and not one.call("DescribeInstances")["TotalCount"]
        assert call.refused("DeleteDisk", ECS, DiskId=disk) == (404, "InvalidDiskId.NotFound")
        assert call.refused("DeleteInstance", ECS, InstanceId=instance) == (404, "InvalidInstanceId.NotFound")
    finally:
        for one in sites:
            one.close()
