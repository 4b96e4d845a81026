"""Debian's clients of OpenStack, unmodified, against two real sites: cinder, openstack and openstacksdk, which makes the
calls of EVS replication as well, since no client of its own exists for them in Python."""

import json

import stock
import pytest
from stock import Volume, cinder, connect, openstack, passes
from offsite import run, until
from openstack.exceptions import SDKException

PAIRS, GROUPS = "/os-vendor-replications", "/os-vendor-replication-consistency-groups"
SHORT = {"id", "name", "description", "status", "priority_station", "created_at", "updated_at"}
NOTE = "it's the (first) *copy* & 100%! \u4e2d\u6587"


def test_logging_in(site):
    token = openstack(site, "token", "issue")
    assert token["id"] and token["expires"].endswith(("Z", "+0000"))
    assert token["project_id"] == connect(site).current_project_id
    types = {row["Type"] for row in openstack(site, "catalog", "list")}
    assert types >= {"identity", "volumev2", "volumev3", "block-storage", "sdrs", "image"}
    assert "HTTP 401" in openstack(site, "token", "issue", password="wrong", ok=False)
    with pytest.raises(SDKException, match="HTTP 401"):
        connect(site, password="wrong").authorize()
    openstack(site, "token", "revoke", token["id"], shown=False)


def test_volumes_with_cinder(two_sites):
    north, south = two_sites
    project = connect(north).current_project_id
    assert {row["Name"]: row["Status"] for row in cinder(north, "availability-zone-list")} == {
        north.zone: "available", south.zone: "available"}
    kind = cinder(north, "type-list")[0]["Name"]
    assert int(cinder(north, "quota-show", project)["volumes"]) != 0
    assert {"maxTotalVolumes", "maxTotalVolumeGigabytes"} <= {row["Name"] for row in cinder(north, "absolute-limits")}
    assert cinder(north, "quota-usage", project)

    made = {}
    for site in (north, south):  # the same endpoint makes both
        made[site] = cinder(north, "create", 1, "--name", f"of {site.zone}", "--description", NOTE, "--volume-type", kind,
                            "--availability-zone", site.zone, "--metadata", "made-by=cinder")["id"]
        until("the volume", lambda site=site: cinder(north, "show", made[site])["status"] == "available")
        shown = cinder(north, "show", made[site])
        assert (shown["size"], shown["availability_zone"], shown["volume_type"], shown["description"]) == (
            "1", site.zone, kind, NOTE)
    assert {row["ID"] for row in cinder(north, "list")} == set(made.values())
    assert [row["ID"] for row in cinder(north, "list", "--name", f"of {south.zone}")] == [made[south]]
    assert cinder(north, "show", f"of {north.zone}")["id"] == made[north]

    disk = made[north]
    cinder(north, "rename", disk, "renamed", "--description", "new")
    cinder(north, "metadata", disk, "set", "use=database")
    shown = cinder(north, "show", disk)
    assert (shown["name"], shown["description"]) == ("renamed", "new")
    assert shown["metadata"].splitlines() == ["made-by : cinder", "use : database"]
    cinder(north, "metadata", disk, "unset", "use")
    assert cinder(north, "show", disk)["metadata"] == "made-by : cinder"
    cinder(north, "extend", disk, 2)
    until("its size", lambda: cinder(north, "show", disk)["size"] == "2")

    attachment = cinder(north, "attachment-create", disk, stock.SERVER, "--connect", "True", "--host", "localhost",
                        "--initiator", "iqn.1993-08.org.debian:01:test", "--mountpoint", "/dev/vdb", version="3.50")
    attachment = attachment["ID"] if "ID" in attachment else attachment["id"]
    assert [row["ID"] for row in cinder(north, "attachment-list", version="3.50")] == [attachment]
    cinder(north, "attachment-complete", attachment, version="3.50")
    until("in use", lambda: cinder(north, "show", disk)["status"] == "in-use")
    assert "Unable to delete" in cinder(north, "delete", disk, ok=False)
    cinder(north, "attachment-delete", attachment, version="3.50")
    until("available", lambda: cinder(north, "show", disk)["status"] == "available")
    for one in made.values():
        cinder(north, "delete", one)
    until("both gone", lambda: cinder(north, "list") == [])
    assert "No volume with a name or ID" in cinder(north, "show", disk, ok=False)


def test_volumes_with_openstack(two_sites):
    north, south = two_sites
    assert {row["Zone Name"] for row in openstack(north, "availability", "zone", "list", "--volume")} == {north.zone, south.zone}
    kind = openstack(north, "volume", "type", "list")[0]["Name"]
    made = {}
    for site in (north, south):
        made[site] = openstack(north, "volume", "create", f"of {site.zone}", "--size", 1, "--type", kind, "--description", NOTE,
                               "--availability-zone", site.zone, "--property", "made-by=openstack")["id"]
        until("the volume", lambda site=site: openstack(north, "volume", "show", made[site])["status"] == "available")
    rows = {row["ID"]: row for row in openstack(north, "volume", "list", "--long")}
    assert {rows[one]["Name"] for one in made.values()} == {f"of {site.zone}" for site in two_sites}
    disk = openstack(north, "volume", "show", f"of {south.zone}")
    assert (disk["id"], disk["availability_zone"], disk["size"], disk["description"], disk["type"]) == (
        made[south], south.zone, 1, NOTE, kind)
    assert disk["properties"] == {"made-by": "openstack"}
    openstack(north, "volume", "set", made[south], "--name", "renamed", "--property", "use=database", "--size", 2,
              shown=False)
    until("its size", lambda: openstack(north, "volume", "show", "renamed")["size"] == 2)
    assert openstack(north, "volume", "show", "renamed")["properties"] == {"made-by": "openstack", "use": "database"}
    openstack(north, "volume", "unset", "--property", "use", "renamed", shown=False)
    assert openstack(north, "volume", "show", "renamed")["properties"] == {"made-by": "openstack"}
    assert "No volume with a name or ID" in openstack(north, "volume", "show", "nothing", ok=False)
    openstack(north, "volume", "delete", *made.values(), shown=False)
    until("both gone", lambda: openstack(north, "volume", "list") == [])


@pytest.mark.parametrize("version", (2, 3))
def test_what_openstacksdk_reads(two_sites, version):
    north, south = two_sites
    cloud = connect(north, version)
    storage = cloud.block_storage
    assert [one.name for one in storage.types()]
    assert storage.get_quota_set(cloud.current_project_id).volumes != 0
    assert storage.get_quota_set(cloud.current_project_id, usage=True).usage["volumes"] == 0
    if version == 3:
        assert {one.name for one in storage.availability_zones()} == {north.zone, south.zone}
        assert storage.get_limits().absolute.max_total_volumes != 0
        list(storage.extensions())
    disk = Volume(north)
    assert [one.id for one in storage.volumes()] == [disk.id] and storage.get_volume(disk.id).size == 1
    storage.set_volume_metadata(disk.id, use="database")
    assert storage.get_volume(disk.id).metadata == {"use": "database"}
    storage.delete_volume_metadata(disk.id, keys=["use"])
    assert storage.get_volume(disk.id).metadata == {}
    storage.extend_volume(disk.id, 2)
    until("its size", lambda: storage.get_volume(disk.id).size == 2)
    disk.delete()


def test_a_volume_over_nbd(site):
    disk = Volume(site)
    with disk.attached() as uri:
        assert json.loads(run("nbdinfo", "--json", uri).stdout)["exports"][0]["export-size"] == 1 << 30
        stock.write(uri, 0x5A)
        item, = disk.now().attachments
        assert (item["server_id"], item["volume_id"], item["device"]) == (stock.SERVER, disk.id, "/dev/vdb")
    assert disk.now().attachments == []
    with disk.attached() as uri:
        stock.holds(uri, 0x5A)
    disk.storage.reserve_volume(disk.id)  # nothing is kept: it could be attached
    disk.storage.unreserve_volume(disk.id)
    disk.wait("available")
    disk.delete()


class Replication:
    """A pair in a group, set up as EVS's guide says: volumes, pair, group; by raw calls at the site that is called."""

    def __init__(self, site, other):
        self.evs, self.site = connect(site, 2).block_storage, site
        self.near, self.far = Volume(site), Volume(other)
        self.pair = self.make_pair(self.near, self.far)
        made = self.ask("post", GROUPS, 202, {"replication_consistency_group": {
            "name": "both", "replication_ids": [self.pair], "priority_station": site.zone,
            "replication_model": "hypermetro"}})["replication_consistency_group"]
        assert set(made) == SHORT
        assert (made["name"], made["status"], made["priority_station"]) == ("both", "creating", site.zone)
        self.group = made["id"]
        passes("the group", lambda: self.group_now()["status"], {"creating"}, "available")

    def ask(self, verb, path, status, body=None):
        answer = getattr(self.evs, verb)(path, **({"json": body} if body else {}))
        assert answer.status_code == status, f"{verb} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_pair(self, near, far):
        made = self.ask("post", PAIRS, 202, {"replication": {
            "name": "data", "description": NOTE, "volume_ids": [near.id, far.id], "priority_station": self.site.zone,
            "replication_model": "hypermetro"}})["replication"]
        assert set(made) == SHORT | {"volume_ids", "replication_consistency_group_id"}
        assert (made["name"], made["description"], made["status"]) == ("data", NOTE, "creating")
        assert [one.strip() for one in made["volume_ids"].split(",")] == [near.id, far.id]
        passes("the pair", lambda: self.pair_now(made["id"])["status"], {"creating"}, "available")
        return made["id"]

    def pair_now(self, pair=None):
        return self.ask("get", f"{PAIRS}/{pair or self.pair}", 200)["replication"]

    def group_now(self):
        return self.ask("get", f"{GROUPS}/{self.group}", 200)["replication_consistency_group"]

    def state(self):
        now = self.group_now()
        return now["status"], now["replication_status"], now["priority_station"]

    def action(self, name, value=None, status=200):
        return self.ask("post", f"{GROUPS}/{self.group}/action", status, {name: value})

    def on_group(self, verb, status=200):
        return self.action(f"os-{verb}-replication-consistency-group", status=status)

    def update(self, **change):
        made = self.ask("put", f"{GROUPS}/{self.group}", 202, {"replication_consistency_group": change})
        assert set(made["replication_consistency_group"]) == SHORT
        assert made["replication_consistency_group"]["status"] == "updating"
        passes("the update", lambda: self.group_now()["status"], {"updating"}, "available")

    def wait_active(self, at):
        on_the_way = {("available", status, at.zone) for status in ("inactive", "active-stopped", "copying")}
        passes("the copies", self.state, on_the_way, ("available", "active", at.zone))

    def reverse(self, to):
        self.on_group("reverse")
        until(lambda: f"production at {to.zone}: {self.state()}", lambda: self.state() == ("available", "active", to.zone))
        assert self.pair_now()["priority_station"] == to.zone

    def gone(self, path):
        return self.evs.get(path).status_code == 404

    def delete(self):
        """As the guide says: stop, take the pairs out, delete the group, then the pairs, then the volumes."""
        self.on_group("stop")
        self.on_group("stop")  # of a group that is stopped: nothing to do
        self.ask("delete", f"{GROUPS}/{self.group}", 409)  # with pairs in it
        self.update(remove_replication_ids=[self.pair])
        assert self.group_now()["replication_ids"] == []
        self.ask("delete", f"{GROUPS}/{self.group}", 202)
        until("the group gone", lambda: self.gone(f"{GROUPS}/{self.group}"))
        self.ask("delete", f"{PAIRS}/{self.pair}", 202)
        until("the pair gone", lambda: self.gone(f"{PAIRS}/{self.pair}"))
        self.near.delete()
        self.far.delete()


def test_the_life_of_a_replication(two_sites):
    north, south = two_sites
    life = Replication(north, south)
    near, far = life.near, life.far
    pair = life.pair_now()
    assert (pair["replication_status"], pair["progress"], pair["fault_level"]) == ("inactive", None, "0")
    assert (pair["replication_consistency_group_id"], pair["replication_model"]) == (life.group, "hypermetro")
    assert json.loads(pair["record_metadata"])["volume_size"] == 1
    assert life.group_now()["replication_ids"] == [life.pair] and life.state() == ("available", "inactive", north.zone)
    life.ask("delete", f"{PAIRS}/{life.pair}", 409)  # in a group
    life.on_group("reverse", status=409)
    assert [one["id"] for one in life.ask("get", f"{PAIRS}?volume_id={far.id}", 200)["replications"]] == [life.pair]
    listed = life.ask("get", f"{GROUPS}?name=both&limit=1", 200)["replication_consistency_groups"]
    assert [one["id"] for one in listed] == [life.group]
    for site in two_sites:  # quotas are the same at both; so is all else
        quota = connect(site, 2)
        path = f"/os-vendor-replication-quota-sets/{quota.current_project_id}"
        for form in (path, path + "/defaults"):
            assert quota.block_storage.get(form).json()["quota_set"]["replications"] != 0

    # The first copy, and writing that goes on.
    uri = near.attach()
    stock.write(uri, 0x11)
    life.on_group("sync")
    life.wait_active(north)
    life.on_group("sync")  # again: nothing to do
    assert life.pair_now()["progress"] == "100"
    stock.write(uri, 0x12)
    near.detach()

    # A planned move loses nothing; and back.
    life.reverse(to=south)
    with far.attached() as uri:
        stock.holds(uri, 0x12)
        stock.write(uri, 0x13)
    life.reverse(to=north)
    uri = near.attach()
    stock.holds(uri, 0x13)

    # A disaster while the server writes; the other side takes over, and turns the copying round.
    stock.write(uri, 0x14)
    stock.wait_copied(north)
    life.on_group("failover")
    until(lambda: f"failed over: {life.state()}", lambda: life.state() == ("failovered", "active-stopped", south.zone))
    near.detach()
    uri = far.attach()
    stock.holds(uri, 0x14)
    stock.write(uri, 0x15)
    life.on_group("reprotect")
    life.wait_active(south)
    far.detach()
    life.reverse(to=north)
    with near.attached() as uri:
        stock.holds(uri, 0x15)

    # Both disks grow at once; the state stays.
    life.action("os-extend-replication-volumes", {"replications": [{"id": life.pair, "new_size": 2}]})
    assert [disk.now().size for disk in (near, far)] == [2, 2]
    assert json.loads(life.pair_now()["record_metadata"])["volume_size"] == 2
    life.wait_active(north)
    life.delete()


def test_the_members_of_a_group(two_sites):
    north, south = two_sites
    life = Replication(north, south)
    more = Volume(north), Volume(south)
    second = life.make_pair(*more)
    life.on_group("sync")
    life.wait_active(north)
    addition = {"replication_consistency_group": {"add_replication_ids": [second]}}
    life.ask("put", f"{GROUPS}/{life.group}", 409, addition)  # before it is stopped
    life.on_group("stop")
    until(lambda: f"stopped: {life.state()}", lambda: life.state() == ("available", "active-stopped", north.zone))
    life.update(name="renamed", add_replication_ids=[second])
    assert sorted(life.group_now()["replication_ids"]) == sorted((life.pair, second))
    assert life.group_now()["name"] == "renamed"
    life.on_group("sync")
    life.wait_active(north)
    life.on_group("stop")
    life.update(remove_replication_ids=[second])
    assert life.group_now()["replication_ids"] == [life.pair]
    assert life.pair_now(second)["replication_consistency_group_id"] is None
    life.ask("delete", f"{PAIRS}/{second}", 202)
    until("the second pair gone", lambda: life.gone(f"{PAIRS}/{second}"))
    for disk in more:
        disk.delete()
    life.delete()
