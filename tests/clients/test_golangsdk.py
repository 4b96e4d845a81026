"""chnsz/golangsdk, the one open client of EVS replication, unmodified, against two real sites: first in the order in which
Terraform's resources call it, which is strict about every state in between; then through all actions; then SDRS.

golangsdk/main.go makes one call a line; the story is told here, once."""

import contextlib

import stock
import pytest
from stock import Program, Refused, Volume, api, passes
from offsite import REPOSITORY, until

CALLS = REPOSITORY / "tests" / "clients" / "golangsdk" / "built" / "calls"


def as_password(site):
    return {"user": "root", "password": site.key["access_key_secret"]}


def as_key(site):
    return {"key": site.key["access_key_id"], "secret": site.key["access_key_secret"]}


@pytest.fixture(params=(as_password, as_key), ids=("password", "key"))
def call(request, two_sites):
    north, _ = two_sites
    with Program([CALLS], endpoint=api(north, "/v3"), region=north.region, **request.param(north)) as program:
        yield program.call


def status_of(call, kind, named):
    """Of a thing; "gone" where the client would say that it is."""
    try:
        return call(f"{kind}.get", id=named)["status"]
    except Refused as refused:
        assert refused.status == 404, refused
        return "gone"


class Terraform:
    """What Terraform's resources do with the client, call by call."""

    def __init__(self, call, near, far):
        self.call, self.near, self.far = call, near, far

    def make_volume(self, site):
        made = self.call("volume.create", options={"size": 1, "availability_zone": site.zone, "name": f"of {site.zone}"})
        passes("the volume", lambda: status_of(self.call, "volume", made["id"]), {"creating"}, "available")
        return made["id"]

    def delete_volume(self, volume):
        self.call("volume.delete", id=volume)
        passes("the volume", lambda: status_of(self.call, "volume", volume), {"available", "deleting"}, "gone")

    def create_pair(self, *volumes):
        for volume in volumes:  # whose server must be stopped: the one in the other zone
            self.call("volume.get", id=volume)
        made = self.call("pair.create", options={"name": "data", "volume_ids": volumes, "priority_station": self.near.zone,
                                                 "replication_model": "hypermetro"})["id"]
        passes("the pair", lambda: status_of(self.call, "pair", made), {"creating"}, "available")
        row = self.call("pair.get", id=made)
        assert [volume.strip() for volume in row["volume_ids"].split(",")] == list(volumes)
        assert (row["name"], row["priority_station"], row["replication_model"]) == ("data", self.near.zone, "hypermetro")
        return made

    def delete_pair(self, pair):
        self.call("pair.delete", id=pair)
        passes("the pair", lambda: status_of(self.call, "pair", pair), {"deleting", "available"}, "gone")

    def create_group(self, *pairs):
        made = self.call("group.create", options={
            "name": "both", "replication_ids": pairs, "priority_station": self.near.zone, "replication_model": "hypermetro"})["id"]
        passes("the group", lambda: status_of(self.call, "group", made), {"creating"}, "available")
        self.call("group.sync", id=made)
        row = self.call("group.get", id=made)
        assert (row["name"], row["replication_ids"]) == ("both", list(pairs))
        return made

    def change_group(self, group, **change):
        self.call("group.stop", id=group)
        self.call("group.update", id=group, options=change)
        passes("the update", lambda: status_of(self.call, "group", group), {"updating", "creating"}, "available")
        self.call("group.sync", id=group)

    def delete_group(self, group):
        self.call("group.stop", id=group)
        members = self.call("group.get", id=group)["replication_ids"]
        if members:
            self.call("group.update", id=group, options={"remove_replication_ids": members})
            passes("the update", lambda: status_of(self.call, "group", group), {"updating", "creating"}, "available")
        self.call("group.delete", id=group)
        passes("the group", lambda: status_of(self.call, "group", group), {"deleting", "available"}, "gone")

    def state(self, group):
        row = self.call("group.get", id=group)
        return row["status"], row["replication_status"], row["priority_station"]

    def wait(self, group, *state):
        until(lambda: f"{state}: {self.state(group)}", lambda: self.state(group) == state)


def test_as_terraform_calls_it(call, two_sites):
    north, south = two_sites
    terraform = Terraform(call, north, south)
    volumes = [terraform.make_volume(site) for _ in range(2) for site in two_sites]
    first, second = terraform.create_pair(*volumes[:2]), terraform.create_pair(*volumes[2:])
    group = terraform.create_group(first)
    terraform.change_group(group, name="renamed", add_replication_ids=[second])
    terraform.change_group(group, remove_replication_ids=[first])
    row = call("group.get", id=group)
    assert (row["name"], row["replication_ids"]) == ("renamed", [second])
    assert [one["id"] for one in call("pair.list", options={"ReplicationConsistencyGroupID": group})] == [second]
    assert {one["id"] for one in call("pair.list")} == {first, second}
    assert [one["id"] for one in call("group.list", options={"Name": "renamed", "Limit": 1})] == [group]
    terraform.delete_group(group)
    for pair in (first, second):
        terraform.delete_pair(pair)
    for volume in volumes:
        terraform.delete_volume(volume)


def test_every_action(call, two_sites):
    north, south = two_sites
    terraform = Terraform(call, north, south)
    near, far = Volume(north), Volume(south)
    pair = terraform.create_pair(near.id, far.id)
    with near.attached() as uri:
        stock.write(uri, 0x21)
        group = terraform.create_group(pair)
        terraform.wait(group, "available", "active", north.zone)
    call("group.reverse", id=group)
    terraform.wait(group, "available", "active", south.zone)
    with far.attached() as uri:
        stock.holds(uri, 0x21)
        stock.write(uri, 0x22)
        stock.wait_copied(south)
    call("group.failover", id=group)
    terraform.wait(group, "failovered", "active-stopped", north.zone)
    with near.attached() as uri:
        stock.holds(uri, 0x22)
        stock.write(uri, 0x23)
    call("group.reprotect", id=group)
    terraform.wait(group, "available", "active", north.zone)
    call("group.extend", id=group, options={"id": pair, "new_size": 2})  # the one form that this client can send
    assert [disk.now().size for disk in (near, far)] == [2, 2]
    terraform.wait(group, "available", "active", north.zone)
    call("group.reverse", id=group)
    terraform.wait(group, "available", "active", south.zone)
    with far.attached() as uri:
        stock.holds(uri, 0x23)
    terraform.delete_group(group)
    terraform.delete_pair(pair)
    near.delete()
    far.delete()


class Jobs:
    """SDRS: what is done by jobs, by the kinds of thing that golangsdk asks them for."""

    def __init__(self, call):
        self.call = call

    def do(self, kind, verb, **said):
        """Starts the job and waits for its end; gives the id of what it worked on."""
        job = self.call(f"sdrs.{kind}.{verb}", **said)["job_id"]

        def entity():
            with contextlib.suppress(Refused):  # the client says nothing until the job has succeeded
                return self.call(f"sdrs.{kind}.of_job", id=job)
        return until(f"{verb} of {kind}, job {job}", entity)


def test_protection_with_sdrs(call, two_sites):
    north, south = two_sites
    jobs, disk = Jobs(call), Volume(north)
    domain = call("sdrs.domains")["domains"][0]["id"]
    group = jobs.do("group", "create", options={
        "name": "shop", "description": "by-golangsdk", "source_availability_zone": north.zone,
        "target_availability_zone": south.zone, "domain_id": domain, "source_vpc_id": stock.SERVER})
    call("sdrs.group.update", id=group, options={"name": "shop-2"})
    row = call("sdrs.group.get", id=group)
    assert (row["name"], row["source_availability_zone"], row["target_availability_zone"], row["domain_id"]) == (
        "shop-2", north.zone, south.zone, domain)
    pair = jobs.do("pair", "create", options={"server_group_id": group, "volume_id": disk.id, "name": "data"})
    call("sdrs.pair.update", id=pair, options={"name": "data-2"})
    row = call("sdrs.pair.get", id=pair)
    assert (row["name"], row["server_group_id"], row["record_metadata"]["volume_size"]) == ("data-2", group, 1)
    near, far = row["volume_ids"].split(",")
    assert near == disk.id and Volume(south, far).now().availability_zone == south.zone
    assert jobs.do("group", "enable", id=group) == group

    instance = jobs.do("instance", "create", options={"server_group_id": group, "server_id": stock.SERVER, "name": "web"})
    jobs.do("attachment", "create", id=instance, options={"replication_id": pair, "device": "/dev/vdb"})
    attachment, = call("sdrs.pair.get", id=pair)["attachment"]
    assert attachment == {"device": "/dev/vdb", "protected_instance": instance}
    jobs.do("attachment", "delete", id=instance, options={"replication_id": pair})
    jobs.do("instance", "delete", id=instance)

    until("the copy", lambda: call("sdrs.pair.get", id=pair)["status"] == "protected")
    jobs.do("group", "disable", id=group)
    jobs.do("pair", "delete", id=pair, options={"server_group_id": group, "delete_target_volume": True})
    jobs.do("group", "delete", id=group)
    disk.delete()
    for kind, named in (("group", group), ("pair", pair)):
        with pytest.raises(Refused) as refused:
            call(f"sdrs.{kind}.get", id=named)
        assert refused.value.status in (400, 404)
