"""Alibaba Cloud's own Node and Go clients that sign with version 3, unmodified, against two real sites.

Each is a program that makes one call a line (openapi_core/calls.js, openapi_go/main.go); the story is told here, once.
"""

import json
import re
import select
import subprocess

import pytest
from offsite import ECS_ACTIONS, REPOSITORY, until

FOLDER = REPOSITORY / "tests" / "clients"
PROGRAMS = {"node": ["node", FOLDER / "openapi_core" / "calls.js"], "go": [FOLDER / "openapi_go" / "built" / "calls"]}
REQUEST_ID = r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
NOTE = "it's the (first) *copy* & 100%! \u4e2d\u6587"  # what encoders of URLs disagree about


class Refused(Exception):
    """A refusal, as the client shows it."""

    def __init__(self, shown):
        super().__init__(json.dumps(shown))
        self.code, self.status, self.message = shown["code"], shown["status"], shown["message"]
        self.request_id = shown["requestId"]


class Client:
    def __init__(self, program):
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0
        self.process.stdout.close()

    def call(self, site, action, secret=None, form=False, **parameters):
        """One call; reads are sent as GET by those clients that let us choose."""
        request = {"endpoint": f"127.0.0.1:{site.api_port}", "keyId": site.key["access_key_id"],
                   "secret": secret or site.key["access_key_secret"], "action": action, "form": form,
                   "version": "2014-05-26" if action in ECS_ACTIONS else "2021-07-30",
                   "method": "GET" if action.startswith("Describe") else "POST",
                   "parameters": {"RegionId": site.region, **parameters}}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 60)[0], f"{action}: the client does not answer"
        shown = json.loads(self.process.stdout.readline())
        if "answer" not in shown:
            raise Refused(shown)
        assert re.fullmatch(REQUEST_ID, shown["answer"]["RequestId"]), shown
        return shown["answer"]

    def refusal(self, *arguments, **parameters):
        with pytest.raises(Refused) as refused:
            self.call(*arguments, **parameters)
        return refused.value


@pytest.fixture(scope="module", params=PROGRAMS)
def client(request):
    one = Client(PROGRAMS[request.param])
    yield one
    one.close()


class Life:
    """A group of two disks at two sites, and one client."""

    def __init__(self, client, first, second):
        self.call, self.first, self.second = client.call, first, second
        self.disks = [self.make_disk(first) for _ in range(2)]
        self.copies = [self.make_disk(second) for _ in range(2)]
        way = {"SourceZoneId": first.zone, "DestinationRegionId": second.region, "DestinationZoneId": second.zone,
               "RPO": 5}
        self.pairs = [self.call(first, "CreateDiskReplicaPair", DiskId=disk, DestinationDiskId=copy, Description=NOTE,
                                Tag=[{"Key": "made by", "Value": NOTE}], **way)["ReplicaPairId"]
                      for disk, copy in zip(self.disks, self.copies)]
        self.group = self.call(first, "CreateDiskReplicaGroup", GroupName="both", **way)["ReplicaGroupId"]
        for pair in self.pairs:
            self.on_group(first, "AddDiskReplicaPair", ReplicaPairId=pair)

    def make_disk(self, site):
        disk = self.call(site, "CreateDisk", ZoneId=site.zone, Size=1, DiskCategory="cloud_essd")["DiskId"]
        self.wait_disk(site, disk, "Available")
        return disk

    def disk_rows(self, site, *disks):
        return self.call(site, "DescribeDisks", DiskIds=json.dumps(disks))["Disks"]["Disk"]

    def wait_disk(self, site, disk, status):
        until(f"{disk} to be {status}", lambda: [row["Status"] for row in self.disk_rows(site, disk)] == [status])

    def attach(self, site, disk):
        self.call(site, "AttachDisk", DiskId=disk, InstanceId="i-db")
        self.wait_disk(site, disk, "In_use")

    def detach(self, site, disk):
        self.call(site, "DetachDisk", DiskId=disk, InstanceId="i-db")
        self.wait_disk(site, disk, "Available")

    def on_group(self, site, action, **parameters):
        self.call(site, action, ReplicaGroupId=self.group, **parameters)

    def groups(self, site):
        return self.call(site, "DescribeDiskReplicaGroups", GroupIds=self.group)["ReplicaGroups"]

    def pair_rows(self, site):
        return self.call(site, "DescribeDiskReplicaPairs", ReplicaGroupId=self.group)["ReplicaPairs"]

    def wait(self, status, source):
        """Both sites show the group and its pairs in this state, in this direction."""
        def seen(site):
            return ([(row["Status"], row["SourceRegionId"]) for row in self.groups(site)] +
                    [(row["Status"], row["SourceRegion"]) for row in self.pair_rows(site)])
        for site in (self.first, self.second):
            until(lambda site=site: f"{site.region}: {status} from {source.region}: {seen(site)}",
                  lambda site=site: seen(site) == [(status, source.region)] * 3)

    def move(self, source, target):
        """Failover to the target, and back to copying, the other way."""
        self.on_group(target, "FailoverDiskReplicaGroup")
        self.wait("failovered", source)
        self.on_group(target, "ReprotectDiskReplicaGroup")
        self.wait("stopped", target)
        self.on_group(target, "StartDiskReplicaGroup")
        self.wait("normal", target)

    def delete(self):
        for pair in self.pairs:
            self.on_group(self.first, "RemoveDiskReplicaPair", ReplicaPairId=pair)
            self.call(self.first, "DeleteDiskReplicaPair", ReplicaPairId=pair)
        self.on_group(self.first, "DeleteDiskReplicaGroup")
        for site, disks in ((self.first, self.disks), (self.second, self.copies)):
            until("group and pairs to be gone", lambda site=site: not self.groups(site) and not self.call(
                site, "DescribeDiskReplicaPairs")["ReplicaPairs"])
            for disk in disks:
                self.call(site, "DeleteDisk", DiskId=disk)
            until("the disks to be gone", lambda site=site, disks=disks: not self.disk_rows(site, *disks))


def test_the_whole_life_of_a_group(client, two_sites):
    north, south = two_sites
    life = Life(client, north, south)
    life.wait("created", north)
    found = client.call(south, "DescribeDiskReplicaPairs", Tag=[{"Key": "made by", "Value": NOTE}])["ReplicaPairs"]
    assert sorted(row["ReplicaPairId"] for row in found) == sorted(life.pairs)
    assert [row["Description"] for row in found] == [NOTE] * 2
    life.attach(north, life.disks[0])
    life.on_group(north, "StartDiskReplicaGroup")
    life.wait("normal", north)
    assert client.call(north, "DescribeDiskReplicaPairProgress", ReplicaPairId=life.pairs[0])["Progress"] == 100
    life.detach(north, life.disks[0])
    life.move(north, south)
    life.attach(south, life.copies[0])
    life.detach(south, life.copies[0])
    life.move(south, north)
    life.on_group(north, "StopDiskReplicaGroup")
    life.wait("stopped", north)
    life.delete()


def test_parameters_in_a_form(client, two_sites):
    north, south = two_sites
    group = client.call(north, "CreateDiskReplicaGroup", form=True, GroupName="by-form", Description=NOTE,
                        SourceZoneId=north.zone, DestinationRegionId=south.region,
                        DestinationZoneId=south.zone)["ReplicaGroupId"]
    row, = client.call(north, "DescribeDiskReplicaGroups", GroupIds=group)["ReplicaGroups"]
    assert (row["GroupName"], row["Description"]) == ("by-form", NOTE)


def test_refusals_as_the_client_shows_them(client, site):
    for refused, status, code in (
            (client.refusal(site, "DescribeDiskReplicaPairs", secret="x" * 30), 400, "SignatureDoesNotMatch"),
            (client.refusal(site, "DescribeDisks", secret="x" * 30), 400, "SignatureDoesNotMatch"),
            (client.refusal(site, "NoSuchAction"), 404, "InvalidAction.NotFound"),
            (client.refusal(site, "StartDiskReplicaPair", ReplicaPairId="pair-none"), 404, "NoSuchResource"),
            (client.refusal(site, "DeleteDisk", DiskId="d-none"), 404, "InvalidDiskId.NotFound")):
        assert (refused.status, refused.code) == (status, code), refused
        assert re.fullmatch(REQUEST_ID, refused.request_id), refused
        assert refused.request_id in refused.message, refused
