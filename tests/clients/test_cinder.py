"""Cinder's volumes: each request of the subset, over HTTP in v2 and v3, at one site and at two; and with Debian's clients."""

import json

import openstack as openstacksdk
import pytest

import offsite
from huawei import Huawei, openstack_environment
from offsite import run, until

GIB = 1 << 30
SERVER = "c0ffee00-0000-4000-8000-000000000001"
NOWHERE = "01234567-89ab-8cde-8f01-000000000000"


class Volumes(Huawei):
    """The requests of one version."""

    def __init__(self, site, version="v3", **options):
        super().__init__(site, **options)
        self.base = f"/{version}/{{project}}/"

    def create(self, size=1, **members):
        answer = self.post(self.base + "volumes", {"volume": {"size": size, **members}})
        assert answer.status == 202, answer
        return answer.json["volume"]["id"]

    def show(self, volume):
        answer = self.get(f"{self.base}volumes/{volume}")
        assert answer.status == 200, answer
        return answer.json["volume"]

    def rows(self, query="", kind="volumes/detail"):
        answer = self.get(f"{self.base}{kind}?{query}")
        assert answer.status == 200, answer
        return answer.json[kind.split("/", maxsplit=1)[0]]

    def names(self, query=""):
        return [row["name"] for row in self.rows(query)]

    def act(self, volume, action, value=None):
        return self.post(f"{self.base}volumes/{volume}/action", {action: value})

    def gone(self, volume):
        return self.delete(f"{self.base}volumes/{volume}")


@pytest.fixture(params=["v2", "v3"])
def volumes(request, site):
    return Volumes(site, request.param)


@pytest.fixture
def one(site_of_module):
    """Of v3, at a site that is shared: what a test makes it deletes."""
    return Volumes(site_of_module)


def fault(answer, status, name):
    assert answer.status == status, answer
    assert answer.json[name]["code"] == status and answer.json[name]["message"], answer.json
    assert answer.json["error_code"].startswith("EVS."), answer.json
    return True


def size_of(uri):
    return int(run("nbdinfo", "--size", uri).stdout)


# --- versions and what is true of the service


def test_versions_are_listed_without_a_token(one):
    root = one.raw("GET", "/")
    assert root.status == 300
    versions = {entry["id"]: entry for entry in root.json["versions"]}
    assert set(versions) == {"v1", "v2.0", "v3.0"} and all(isinstance(entry["version"], str) for entry in versions.values())
    assert versions["v3.0"]["min_version"] == "3.0" and versions["v3.0"]["version"] == "3.70"
    assert one.raw("GET", "/v2").json["versions"][0]["id"] == "v2.0"


@pytest.mark.parametrize("asked, told", [(None, "3.0"), ("volume 3.27", "3.27"), ("volume 3.99", "3.99"),
                                         ("volume latest", "3.70"), ("volume x", "3.0"), ("volume 3.1\t2", "3.0")])
def test_no_microversion_is_refused(one, asked, told):
    answer = one.get("/v3/{project}/volumes", {"OpenStack-API-Version": asked} if asked else {})
    assert answer.status == 200 and answer.headers["OpenStack-API-Version"] == f"volume {told}"


def test_types_zones_limits_and_what_there_is_none_of(volumes):
    types = volumes.get(volumes.base + "types?is_public=None").json["volume_types"]
    assert {"SSD", "SAS", "SATA", "GPSSD", "ESSD"} <= {row["name"] for row in types}
    assert volumes.get(volumes.base + "types/SAS").json["volume_type"]["name"] == "SAS"
    assert volumes.get(volumes.base + "types/default").json["volume_type"]["name"] == "SSD"
    assert fault(volumes.get(volumes.base + "types/none"), 404, "itemNotFound")
    zones = volumes.get(volumes.base + "os-availability-zone").json["availabilityZoneInfo"]
    assert zones == [{"zoneName": volumes.site.zone, "zoneState": {"available": True}, "hosts": None}]
    assert volumes.get(volumes.base + "extensions").json == {"extensions": []}
    for path in ("snapshots", "snapshots/detail"):
        assert volumes.get(volumes.base + path).json == {"snapshots": []}
    assert fault(volumes.post(volumes.base + "snapshots", {"snapshot": {"volume_id": NOWHERE}}), 501, "notImplemented")
    assert fault(volumes.get(volumes.base + "snapshots/" + NOWHERE), 404, "itemNotFound")


def test_quotas_and_limits_count_what_is_here(volumes):
    for size in (1, 2):
        volumes.create(size)
    quota = volumes.get(volumes.base + "os-quota-sets/x?usage=True").json["quota_set"]
    assert quota["volumes"] == {"in_use": 2, "limit": -1, "reserved": 0} and quota["gigabytes"]["in_use"] == 3
    assert volumes.get(volumes.base + "os-quota-sets/x").json["quota_set"]["volumes"] == -1
    assert volumes.get(volumes.base + "os-quota-sets/x/defaults").json["quota_set"]["gigabytes"] == -1
    absolute = volumes.get(volumes.base + "limits").json["limits"]["absolute"]
    assert absolute["totalVolumesUsed"] == 2 and absolute["totalGigabytesUsed"] == 3


# --- a volume's life


def test_a_volume_is_made_shown_changed_and_deleted(volumes):
    volume = volumes.create(2, name="one", description="first", volume_type="SAS", metadata={"a": "b"}, snapshot_id=None,
                            imageRef=None, source_volid=None, backup_id=None, consistencygroup_id=None, multiattach=False)
    row = volumes.show(volume)
    assert (row["name"], row["description"], row["size"], row["volume_type"]) == ("one", "first", 2, "SAS")
    assert (row["status"], row["bootable"], row["multiattach"]) == ("available", "false", False)
    assert row["metadata"] == {"a": "b"} and row["attachments"] == [] and row["availability_zone"] == volumes.site.zone
    assert row["links"][0]["href"].endswith(f"{volumes.base.format(project=volumes.project)}volumes/{volume}")
    disk = "d-" + volume.removesuffix("-000000000000").replace("-", "")
    assert volumes.site.call("DescribeDisks", DiskIds=json.dumps([disk]))["Disks"]["Disk"][0]["Size"] == 2
    changed = volumes.put(f"{volumes.base}volumes/{volume}", {"volume": {"name": "two"}})
    assert changed.status == 200 and changed.json["volume"]["name"] == "two"
    volumes.put(f"{volumes.base}volumes/{volume}", {"volume": {"display_name": "three", "display_description": "3rd"}})
    assert (volumes.show(volume)["name"], volumes.show(volume)["description"]) == ("three", "3rd")
    assert volumes.gone(volume).status == 202
    assert fault(volumes.get(f"{volumes.base}volumes/{volume}"), 404, "itemNotFound")


@pytest.mark.parametrize("status, name, members", [
    (400, "badRequest", {"size": 0}), (400, "badRequest", {"size": -1}), (400, "badRequest", {"size": "many"}),
    (400, "badRequest", {"size": None}), (400, "badRequest", {"size": 65537}), (400, "badRequest", {"size": 1e300}),
    (400, "badRequest", {"name": 7}), (400, "badRequest", {"name": "x" * 600}), (400, "badRequest", {"metadata": {"a": 1}}),
    (400, "badRequest", {"availability_zone": "nowhere"}), (404, "itemNotFound", {"volume_type": "none"}),
    (413, "overLimit", {"metadata": {f"k{number}": "v" for number in range(21)}}),
    (501, "notImplemented", {"snapshot_id": NOWHERE}), (501, "notImplemented", {"source_volid": NOWHERE}),
    (501, "notImplemented", {"imageRef": NOWHERE}), (501, "notImplemented", {"backup_id": NOWHERE}),
    (501, "notImplemented", {"multiattach": True}), (501, "notImplemented", {"count": 2})])
def test_what_cannot_be_made_is_refused(one, status, name, members):
    assert fault(one.post(one.base + "volumes", {"volume": {"size": 1, **members}}), status, name)
    assert one.rows() == []


@pytest.mark.parametrize("body", [None, {}, {"volume": None}, {"volume": []}, b"[]", b"{"])
def test_bodies_that_are_none_are_400(one, body):
    assert fault(one.post(one.base + "volumes", body), 400, "badRequest")


def test_what_is_nowhere_is_404(one):
    for volume in (NOWHERE, "a-name", "d-zz", "%20", "x" * 200):
        assert fault(one.get(f"{one.base}volumes/{volume}"), 404, "itemNotFound")
        assert fault(one.gone(volume), 404, "itemNotFound")
        assert fault(one.act(volume, "os-extend", {"new_size": 2}), 404, "itemNotFound")
        assert fault(one.get(f"{one.base}volumes/{volume}/metadata"), 404, "itemNotFound")
        assert fault(one.get(f"{one.base}attachments/{volume}"), 404, "itemNotFound")
        assert fault(one.delete(f"{one.base}attachments/{volume}"), 404, "itemNotFound")


def test_growing(volumes):
    volume = volumes.create(1)
    assert volumes.act(volume, "os-extend", {"new_size": 2}).status == 202
    assert volumes.show(volume)["size"] == 2
    for size in (2, 1, 0, None, "x", 65537, 1e14):
        assert fault(volumes.act(volume, "os-extend", {"new_size": size}), 400, "badRequest")
    assert fault(volumes.act(volume, "os-extend"), 400, "badRequest")
    assert volumes.show(volume)["size"] == 2


def test_metadata(volumes):
    path = f"{volumes.base}volumes/{volumes.create(metadata={'a': '1'})}/metadata"
    assert volumes.post(path, {"metadata": {"b": "2"}}).json == {"metadata": {"a": "1", "b": "2"}}
    assert volumes.put(path, {"metadata": {"b": "3", "c": "4"}}).json == {"metadata": {"b": "3", "c": "4"}}
    assert volumes.put(path + "/d", {"meta": {"d": "5"}}).json == {"meta": {"d": "5"}}
    assert volumes.get(path + "/d").json == {"meta": {"d": "5"}}
    assert volumes.delete(path + "/b").status == 200
    assert volumes.get(path).json == {"metadata": {"c": "4", "d": "5"}}
    for answer in (volumes.get(path + "/b"), volumes.delete(path + "/b")):
        assert fault(answer, 404, "itemNotFound")
    for answer in (volumes.put(path + "/d", {"meta": {"e": "5"}}), volumes.post(path, {"metadata": {"a": None}}),
                   volumes.put(path, {}), volumes.put(path + "/d")):
        assert fault(answer, 400, "badRequest")
    many = volumes.post(path, {"metadata": {f"k{number}": "v" for number in range(20)}})
    assert fault(many, 413, "overLimit")
    assert volumes.get(path).json == {"metadata": {"c": "4", "d": "5"}}


# --- attaching


def test_attach_and_detach_as_a_server_does(volumes):
    volume = volumes.create(1)
    for action in ("os-reserve", "os-unreserve", "os-reserve"):
        assert volumes.act(volume, action).status == 202
    attach = {"instance_uuid": SERVER, "mountpoint": "/dev/vdb", "mode": "rw"}
    assert fault(volumes.act(volume, "os-attach", {}), 400, "badRequest")
    assert fault(volumes.act(volume, "os-attach", {**attach, "mode": "ro"}), 501, "notImplemented")
    assert volumes.act(volume, "os-attach", attach).status == 202
    row = volumes.show(volume)
    attachment = row["attachments"][0]
    assert row["status"] == "in-use" and (attachment["server_id"], attachment["device"]) == (SERVER, "/dev/vdb")
    for answer in (volumes.act(volume, "os-attach", attach), volumes.act(volume, "os-reserve"), volumes.gone(volume)):
        assert fault(answer, 400, "badRequest")
    info = volumes.act(volume, "os-initialize_connection", {"connector": {"host": "h"}}).json["connection_info"]
    assert size_of(info["data"]["uri"]) == GIB
    for action in ("os-begin_detaching", "os-roll_detaching", "os-begin_detaching"):
        assert volumes.act(volume, action).status == 202
    assert volumes.act(volume, "os-terminate_connection", {"connector": {}}).status == 202
    assert volumes.show(volume)["status"] == "in-use"
    assert fault(volumes.act(volume, "os-detach", {"attachment_id": NOWHERE}), 404, "itemNotFound")
    assert volumes.act(volume, "os-detach", {"attachment_id": attachment["attachment_id"]}).status == 202
    assert volumes.show(volume)["status"] == "available" and volumes.show(volume)["attachments"] == []
    assert fault(volumes.act(volume, "os-begin_detaching"), 400, "badRequest")
    assert volumes.act(volume, "os-detach", {}).status == 202


def test_a_connection_works_before_the_attachment(volumes):
    volume = volumes.create(1)
    assert fault(volumes.act(volume, "os-initialize_connection"), 400, "badRequest")
    info = volumes.act(volume, "os-initialize_connection", {"connector": {"host": "h"}}).json["connection_info"]
    assert info["driver_volume_type"] == "nbd"
    data = info["data"]
    assert (data["host"], data["port"]) == ("127.0.0.1", volumes.site.nbd_port) and data["volume_id"] == volume
    assert size_of(data["uri"]) == size_of(data["unix_uri"]) == size_of(f"nbd://{data['host']}:{data['port']}/{data['export']}")
    assert volumes.act(volume, "os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}).status == 202
    assert volumes.act(volume, "os-terminate_connection", {"connector": {}}).status == 202
    assert volumes.act(volume, "os-detach", {}).status == 202
    assert volumes.show(volume)["status"] == "available"


def test_actions_that_would_not_be_true_are_501(volumes):
    volume = volumes.create(1)
    assert volumes.act(volume, "os-set_bootable", {"bootable": False}).status == 200
    assert volumes.act(volume, "os-update_readonly_flag", {"readonly": "false"}).status == 202
    for action, value in (("os-set_bootable", {"bootable": True}), ("os-update_readonly_flag", {"readonly": True}),
                          ("os-reset_status", {"status": "error"}), ("os-retype", {}), ("nothing", None)):
        assert fault(volumes.act(volume, action, value), 501, "notImplemented")
    for body in ({}, {"os-reserve": None, "os-unreserve": None}):
        assert fault(volumes.post(f"{volumes.base}volumes/{volume}/action", body), 400, "badRequest")


def test_attachments(site):
    volumes = Volumes(site)
    volume, other = volumes.create(1), volumes.create(1)
    path = volumes.base + "attachments"
    wanted = {"volume_uuid": volume, "instance_uuid": SERVER, "connector": None}
    made = volumes.post(path, {"attachment": wanted}).json["attachment"]
    assert (made["volume_id"], made["instance"], made["status"]) == (volume, SERVER, "attached")
    assert fault(volumes.post(path, {"attachment": wanted}), 400, "badRequest")
    assert volumes.show(volume)["attachments"][0]["attachment_id"] == made["id"]
    one = f"{path}/{made['id']}"
    assert fault(volumes.put(one, {"attachment": {"connector": {}}}), 400, "badRequest")
    connected = volumes.put(one, {"attachment": {"connector": {"host": "h"}}}).json["attachment"]
    assert size_of(connected["connection_info"]["data"]["uri"]) == GIB
    assert volumes.post(one + "/action", {"os-complete": None}).status == 204
    assert fault(volumes.post(one + "/action", {"os-other": None}), 501, "notImplemented")
    assert volumes.get(one).json["attachment"]["id"] == made["id"]
    second = volumes.post(path, {"attachment": {"volume_uuid": other, "instance_uuid": None, "connector": {"host": "h"}}})
    assert second.json["attachment"]["instance"] == "h"
    assert {row["volume_id"] for row in volumes.rows(kind="attachments")} == {volume, other}
    for query in (f"volume_id={volume}", f"instance_id={SERVER}"):
        assert [row["id"] for row in volumes.rows(query, "attachments/detail")] == [made["id"]]
    assert len(volumes.rows("limit=1", "attachments")) == 1 and volumes.rows("status=detached", "attachments") == []
    assert volumes.delete(one).json == {"attachments": []}
    for answer in (volumes.get(one), volumes.delete(one), volumes.post(one + "/action", {"os-complete": None})):
        assert fault(answer, 404, "itemNotFound")
    assert volumes.show(volume)["status"] == "available"
    assert fault(volumes.post(path, {"attachment": {"volume_uuid": NOWHERE}}), 404, "itemNotFound")
    assert fault(volumes.post(path, {"attachment": {"instance_uuid": SERVER}}), 400, "badRequest")


# --- lists


def pages(volumes, query):
    """All rows of a list, following its links."""
    path, rows = f"{volumes.base}volumes/detail?{query}", []
    while path is not None:
        answer = volumes.get(path)
        assert answer.status == 200, answer
        rows += answer.json["volumes"]
        links = [link["href"] for link in answer.json.get("volumes_links", []) if link["rel"] == "next"]
        path = links[0].removeprefix(f"http://127.0.0.1:{volumes.site.api_port}") if links else None
    return rows


def test_lists_are_filtered_sorted_and_paged(volumes):
    made = {name: volumes.create(size, name=name, metadata={"side": side, "name": name})
            for name, size, side in (("a", 3, "left"), ("b & c", 1, "left"), ("d", 2, "right"))}
    assert volumes.names("sort_key=name&sort_dir=asc") == ["a", "b & c", "d"]
    assert volumes.names("sort=size:asc,name:desc") == ["b & c", "d", "a"] and volumes.names("sort=size") == ["a", "d", "b & c"]
    assert volumes.names("name=b+%26+c") == ["b & c"] and volumes.names("name=b") == []
    assert volumes.names("metadata=%7B%27side%27:+%27right%27%7D") == ["d"]
    assert volumes.names("metadata=%7B%22side%22:%22left%22,%22name%22:%22a%22%7D") == ["a"]
    assert volumes.names("availability_zone=nowhere") == [] and len(volumes.names(f"availability_zone={volumes.site.zone}")) == 3
    volumes.act(made["d"], "os-attach", {"instance_uuid": SERVER})
    assert volumes.names("status=in-use") == ["d"] and len(volumes.names("status=available")) == 2
    assert volumes.names("status=error") == [] and volumes.names("status=nonsense") == []
    for query in ("limit=1", "limit=2&sort=name:asc", "limit=1&sort=size:desc&all_tenants=1", "limit=1&status=available", "limit=5000"):
        expected = [name for name in volumes.names(query.replace("limit=1&", "").replace("limit=1", ""))]
        if "limit=2" in query:
            expected = ["a", "b & c", "d"]
        assert [row["name"] for row in pages(volumes, query)] == expected, query
    assert volumes.names("sort=name:asc&offset=1") == ["b & c", "d"] and volumes.names("sort=name:asc&offset=1&limit=1") == ["b & c"]
    assert volumes.names(f"sort=name:asc&marker={made['a']}") == ["b & c", "d"] and volumes.names("limit=0") == []
    assert volumes.get(volumes.base + "volumes?name=a").json["volumes"][0].keys() == {"id", "name", "links"}
    for query in ("limit=-1", "limit=x", "offset=-1", "sort=nothing", "sort_key=name&sort_dir=up", f"marker={NOWHERE}", "marker=x",
                  "metadata=7", "metadata=%7B", "metadata=%7B%22a%22:1%7D", "limit=99999999999999999999"):
        assert fault(volumes.get(f"{volumes.base}volumes/detail?{query}"), 400, "badRequest"), query


# --- two sites


def test_volumes_of_all_sites_are_worked_on_from_each(two_sites):
    north, south = (Volumes(site) for site in two_sites)
    far = north.create(1, name="far", availability_zone=south.site.zone)
    near = north.create(1, name="near", availability_zone=north.site.zone)
    for side in (north, south):
        assert {row["name"]: row["availability_zone"] for row in side.rows()} == {"far": "south-a", "near": "north-a"}
        assert side.names("availability_zone=south-a") == ["far"]
        assert [row["name"] for row in pages(side, "limit=1&sort=name:desc")] == ["near", "far"]
        assert side.show(far)["name"] == "far" and side.show(near)["name"] == "near"
    zones = north.get(north.base + "os-availability-zone").json["availabilityZoneInfo"]
    assert {zone["zoneName"]: zone["zoneState"]["available"] for zone in zones} == {"north-a": True, "south-a": True}
    assert north.act(far, "os-extend", {"new_size": 2}).status == 202 and south.show(far)["size"] == 2
    assert north.put(f"{north.base}volumes/{far}", {"volume": {"name": "far off"}}).json["volume"]["name"] == "far off"
    assert north.post(f"{north.base}volumes/{far}/metadata", {"metadata": {"a": "b"}}).json == {"metadata": {"a": "b"}}
    # Where it can be reached only its own site knows.
    assert fault(north.act(far, "os-initialize_connection", {"connector": {"host": "h"}}), 400, "badRequest")
    assert south.show(far)["status"] == "available"
    assert north.act(far, "os-attach", {"instance_uuid": SERVER}).status == 202
    assert [row["volume_id"] for row in north.rows(kind="attachments")] == [far]
    assert south.act(far, "os-initialize_connection", {"connector": {"host": "h"}}).status == 200
    assert north.act(far, "os-detach", {}).status == 202
    assert north.gone(far).status == 202 and south.names() == ["near"]


def test_a_silent_site_is_told_of(two_sites):
    north, south = (Volumes(site) for site in two_sites)
    far, near = south.create(1, name="far"), north.create(1, name="near")
    assert "X-Offsite-Unreached" not in north.get(north.base + "volumes").headers
    south.site.kill()
    until("the link is down", lambda: not north.site.linked())
    listed = north.get(north.base + "volumes")
    assert listed.status == 200 and [row["name"] for row in listed.json["volumes"]] == ["near"]
    assert listed.headers["X-Offsite-Unreached"] == "south-a"
    assert north.site.wait_log("huawei.list_incomplete")
    for answer in (north.get(f"{north.base}volumes/{far}"), north.gone(far), north.get(f"{north.base}volumes?marker={far}"),
                   north.post(north.base + "volumes", {"volume": {"size": 1, "availability_zone": "south-a"}})):
        assert answer.status == 504 and answer.json["gatewayTimeout"]["code"] == 504, answer
    # A name is no id: clients that try it as one go on to search.
    assert fault(north.get(north.base + "volumes/near"), 404, "itemNotFound")
    assert north.show(near)["name"] == "near"
    zones = north.get(north.base + "os-availability-zone").json["availabilityZoneInfo"]
    assert [zone["zoneState"]["available"] for zone in zones if zone["zoneName"] == "south-a"] == [False]


def test_a_failed_volume_is_in_error_seen_from_each_site(two_sites):
    north, south = (Volumes(site) for site in two_sites)
    for name in ("a", "b", "c"):
        south.create(1, name=name)
    disk = "d-" + south.rows("name=b")[0]["id"].removesuffix("-000000000000").replace("-", "")
    path = offsite.Disk(south.site, disk).path
    south.site.stop()
    path.unlink()
    south.site.start()
    offsite.wait_linked(north.site, south.site)
    for side in (north, south):
        assert {row["name"]: row["status"] for row in side.rows()} == {"a": "available", "b": "error", "c": "available"}
        assert side.names("status=error") == ["b"] and side.names("status=available&sort=name:asc") == ["a", "c"]
        assert [row["name"] for row in pages(side, "status=error&limit=1")] == ["b"]


def test_volumes_of_a_pair(two_sites):
    north, south = (Volumes(site) for site in two_sites)
    first, second = north.create(1, name="first"), south.create(1, name="second")
    disks = ["d-" + volume.removesuffix("-000000000000").replace("-", "") for volume in (first, second)]
    where = {"DestinationRegionId": "south", "DestinationZoneId": "south-a"}
    pair = north.site.call("CreateDiskReplicaPair", SourceZoneId="north-a", DiskId=disks[0], DestinationDiskId=disks[1],
                           RPO=1, **where)["ReplicaPairId"]
    until("created", lambda: north.site.pairs(PairIds=pair)[0]["Status"] == "created")
    north.site.call("StartDiskReplicaPair", ReplicaPairId=pair)
    until("normal", lambda: north.site.pairs(PairIds=pair)[0]["Status"] == "normal")
    for side in (north, south):
        for volume in (first, second):
            assert fault(side.gone(volume), 400, "badRequest")
        assert fault(side.act(second, "os-attach", {"instance_uuid": SERVER}), 400, "badRequest")
    assert fault(south.act(second, "os-initialize_connection", {"connector": {"host": "h"}}), 400, "badRequest")
    assert fault(south.post(south.base + "attachments", {"attachment": {"volume_uuid": second}}), 400, "badRequest")
    assert north.act(first, "os-attach", {"instance_uuid": SERVER}).status == 202
    grown = north.act(first, "os-extend", {"new_size": 2})
    assert grown.status == 202, grown
    until("both have grown", lambda: [north.show(volume)["size"] for volume in (first, second)] == [2, 2])
    assert fault(south.act(second, "os-extend", {"new_size": 3}), 400, "badRequest")


# --- unmodified clients


def test_the_cinder_command_works_unmodified(site):
    volumes = Volumes(site)

    def cinder(*words):
        done = run("cinder", *words, env=openstack_environment(site))
        assert "WARNING" not in done.stderr, done.stderr
        return done.stdout

    cinder("create", "--name", "one", "--metadata", "a=b", "--volume-type", "SAS", "1")
    assert " one " in cinder("list") and " one " in cinder("show", "one")
    cinder("rename", "one", "two")
    cinder("metadata", "two", "set", "c=d")
    cinder("extend", "two", "2")
    row = volumes.rows()[0]
    assert (row["name"], row["size"], row["metadata"]) == ("two", 2, {"a": "b", "c": "d"})
    attached = cinder("attachment-create", "two", SERVER, "--connect", "True", "--host", "h")
    assert "nbd://127.0.0.1" in attached and SERVER in cinder("attachment-list")
    cinder("attachment-complete", row["id"][:-1] + "1")
    cinder("attachment-delete", row["id"][:-1] + "1")
    for words in (["type-list"], ["availability-zone-list"], ["absolute-limits"], ["quota-usage", site.region], ["snapshot-list"]):
        cinder(*words)
    cinder("delete", "two")
    assert volumes.rows() == []


def test_the_openstack_command_works_unmodified(site):
    volumes = Volumes(site)

    def openstack(*words, form=()):
        return run("openstack", "volume", *words, *form, env=openstack_environment(site)).stdout

    openstack("create", "--size", "1", "--description", "d", "--property", "a=b", "--non-bootable", "--read-write", "one")
    openstack("set", "--name", "two", "--size", "2", "--property", "c=d", "one")
    openstack("unset", "--property", "a", "two")
    shown = json.loads(openstack("show", "two", form=("-f", "json")))
    assert (shown["name"], shown["size"], shown["description"], shown["properties"]) == ("two", 2, "d", {"c": "d"})
    listed = json.loads(openstack("list", "--long", form=("-f", "json")))
    assert [(row["Name"], row["Status"]) for row in listed] == [("two", "available")]
    for words in (["type", "list"], ["snapshot", "list"]):
        openstack(*words)
    openstack("delete", "two")
    assert volumes.rows() == []


@pytest.mark.parametrize("version", ["2", "3"])
def test_openstacksdk_works_unmodified_in_both_versions(site, version):
    cloud = openstacksdk.connect(auth_url=f"http://127.0.0.1:{site.api_port}/v3", username="root", project_name=site.region,
                                 password=site.key["access_key_secret"], user_domain_name="Default", region_name=site.region,
                                 project_domain_name="Default", block_storage_api_version=version)
    storage = cloud.block_storage
    volume = storage.create_volume(size=1, name="one")
    assert storage.wait_for_status(volume, "available", wait=10).size == 1
    storage.extend_volume(volume, 2)
    assert [(row.name, row.size) for row in storage.volumes(limit=1)] == [("one", 2)]
    assert storage.find_volume("one").id == volume.id
    assert cloud.block_storage.get("/types").json()["volume_types"]
    storage.delete_volume(volume, ignore_missing=False)
    assert list(storage.volumes()) == []
