"""Huawei's own Python client of SDRS, unmodified, signing with an access key, against two real sites.

huaweicloud/sdrs.py makes one call a line; the story is told here."""

import uuid

import stock
import pytest
from stock import Program, Refused, Volume, api, connect
from offsite import REPOSITORY, until

FOLDER = REPOSITORY / "tests" / "clients" / "huaweicloud"
PYTHON = FOLDER / "venv" / "bin" / "python"


def client(site, *project):
    return Program([PYTHON, FOLDER / "sdrs.py", api(site), site.key["access_key_id"], site.key["access_key_secret"],
                    site.region, *project])


class Sdrs:
    """The client at one site; what it starts, it waits for."""

    def __init__(self, program):
        self.program = program

    def call(self, call, **arguments):
        return self.program.call(call, arguments=arguments)

    def job_end(self, call, **arguments):
        """The job that the call started, when it has ended."""
        job = self.call(call, **arguments)["job_id"]

        def ended():
            row = self.call("show_job_status", job_id=job)
            assert row["status"] in ("INIT", "RUNNING", "SUCCESS", "FAIL"), row
            return row if row["status"] in ("SUCCESS", "FAIL") else None
        row = until(f"{call}, job {job}", ended)
        assert row["job_id"] == job and row["job_type"] and row["begin_time"] <= row["end_time"], row
        return row

    def do(self, call, **arguments):
        """What the job of the call worked on, when it has succeeded."""
        row = self.job_end(call, **arguments)
        assert row["status"] == "SUCCESS" and not row["error_code"] and not row["fail_reason"], row
        return row["entities"]

    def on_group(self, verb, group, **value):
        operation = {"start": "start", "stop": "stop", "reverse": "start_reverse", "failover": "start_failover"}[verb]
        return self.do(f"{operation}_protection_group", server_group_id=group, body={f"{verb}_server_group": value})

    def group(self, group):
        return self.call("show_protection_group", server_group_id=group)["server_group"]

    def pair(self, pair):
        return self.call("show_replication", replication_id=pair)["replication"]

    def make_group(self, north, south):
        domain, = (one for one in self.call("list_active_active_domains")["domains"]
                   if one["local_replication_cluster"]["availability_zone"] == north.zone)
        assert domain["remote_replication_cluster"]["availability_zone"] == south.zone and domain["sold_out"] is False
        group = self.do("create_protection_group", body={"server_group": {
            "name": "shop", "description": "by-sdk", "source_availability_zone": north.zone, "dr_type": "migration",
            "target_availability_zone": south.zone, "domain_id": domain["id"],
            "source_vpc_id": str(uuid.uuid4())}})["server_group_id"]
        row = self.group(group)
        assert (row["name"], row["status"], row["priority_station"], row["domain_id"], row["replication_num"]) == (
            "shop", "available", "source", domain["id"], 0)
        return group

    def make_pair(self, group, volume):
        asked = {"server_group_id": group, "volume_id": volume.id, "name": "data", "description": "by-sdk"}
        return self.do("create_replication", body={"replication": asked})["replication_pair_id"]

    def wait(self, group, status, station, replication):
        """The group and its pairs are in this state."""
        def seen():
            row = self.group(group)
            pairs = self.call("list_replications", server_group_id=group)["replications"]
            return [(row["status"], row["priority_station"])] + [
                (one["status"], one["priority_station"], one["replication_status"]) for one in pairs]
        until(lambda: f"{status} at {station}: {seen()}",
              lambda: seen() == [(status, station)] + [(status, station, replication)] * (len(seen()) - 1))


@pytest.fixture
def sdrs(two_sites):
    north, _ = two_sites
    with client(north, connect(north).current_project_id) as program:
        yield Sdrs(program)


def test_the_project_that_iam_names(site):
    with client(site) as program:
        assert program.call("list_protection_groups", arguments={}) == {"count": 0, "server_groups": []}


def test_the_life_of_a_protection_group(sdrs, two_sites):
    north, south = two_sites
    near = Volume(north)
    group = sdrs.make_group(north, south)
    sdrs.call("update_protection_group_name", server_group_id=group, body={"server_group": {"name": "shop-2"}})
    listed = sdrs.call("list_protection_groups", name="shop", limit=10, offset=0)
    assert listed["count"] == 1 and [(one["id"], one["name"]) for one in listed["server_groups"]] == [(group, "shop-2")]
    used = {one["type"]: one["used"] for one in sdrs.call("show_quota")["quotas"]["resources"]}
    assert used == {"server_groups": 1, "replications": 0}

    # The service makes the disk at the other site.
    pair = sdrs.make_pair(group, near)
    row = sdrs.pair(pair)
    assert (row["status"], row["replication_status"], row["fault_level"]) == ("available", "inactive", "0")
    assert (row["replication_model"], row["priority_station"]) == ("hypermetro", "source")
    assert row["record_metadata"]["volume_size"] == 1 and row["attachment"] == []
    production, copy = row["volume_ids"].split(",")
    far = Volume(south, copy)
    assert production == near.id and far.now().availability_zone == south.zone and far.now().size == 1
    with near.attached() as uri:
        stock.write(uri, 0x31)
    assert sdrs.on_group("start", group)["server_group_id"] == group
    sdrs.wait(group, "protected", "source", "active")
    assert sdrs.pair(pair)["progress"] == 100

    # A planned move, and back; nothing is lost.
    with near.attached() as uri:
        stock.write(uri, 0x32)
    sdrs.on_group("reverse", group, priority_station="target")
    sdrs.wait(group, "protected", "target", "active")
    row = sdrs.group(group)
    assert (row["source_availability_zone"], row["target_availability_zone"]) == (north.zone, south.zone)  # as created
    with pytest.raises(Refused) as refused:
        sdrs.on_group("reverse", group, priority_station="target")  # where it is
    assert refused.value.status == 400 and refused.value.code.startswith("SDRS."), refused.value
    with far.attached() as uri:
        stock.holds(uri, 0x32)
        stock.write(uri, 0x33)
    sdrs.on_group("reverse", group, priority_station="source")
    sdrs.wait(group, "protected", "source", "active")

    # A disaster; the same call that started it protects it again, the other way.
    uri = near.attach()
    stock.holds(uri, 0x33)
    stock.write(uri, 0x34)
    stock.wait_copied(north)
    sdrs.on_group("failover", group)
    sdrs.wait(group, "failed-over", "target", "active-stopped")
    near.detach()
    with far.attached() as uri:
        stock.holds(uri, 0x34)
        stock.write(uri, 0x35)
    sdrs.on_group("start", group)
    sdrs.wait(group, "protected", "target", "active")
    sdrs.on_group("reverse", group, priority_station="source")
    sdrs.wait(group, "protected", "source", "active")
    with near.attached() as uri:
        stock.holds(uri, 0x35)

    # Both disks grow; then all of it is taken down, the copy included.
    entities = sdrs.do("expand_replication", replication_id=pair, body={"extend_replication": {"new_size": 2}})
    assert entities["replication_pair_id"] == pair
    assert [disk.now().size for disk in (near, far)] == [2, 2] and sdrs.pair(pair)["record_metadata"]["volume_size"] == 2
    points = sdrs.call("list_rpo_statistics", resource_type="replication", limit=10, offset=0)
    assert points["count"] >= len(points["resource_rpo_statistics"])
    assert {one["resource_type"] for one in points["resource_rpo_statistics"]} <= {"replication"}
    sdrs.wait(group, "protected", "source", "active")
    sdrs.on_group("stop", group)
    sdrs.wait(group, "available", "source", "active-stopped")
    with pytest.raises(Refused) as refused:
        sdrs.call("delete_protection_group", server_group_id=group)  # a pair is in it
    assert (refused.value.status, refused.value.code) == (400, "SDRS.1010")
    sdrs.do("delete_replication", replication_id=pair,
            body={"replication": {"server_group_id": group, "delete_target_volume": True}})
    until("the copy gone", lambda: copy not in [one.id for one in far.storage.volumes()])
    sdrs.do("delete_protection_group", server_group_id=group)
    assert sdrs.call("list_protection_groups")["count"] == 0
    with pytest.raises(Refused) as refused:
        sdrs.group(group)
    assert refused.value.status in (400, 404) and refused.value.code == "SDRS.1013", refused.value
    near.delete()


def test_protected_instances(sdrs, two_sites):
    north, south = two_sites
    disk = Volume(north)
    group = sdrs.make_group(north, south)
    pair = sdrs.make_pair(group, disk)
    asked = {"server_group_id": group, "server_id": stock.SERVER, "name": "web", "description": "by-sdk"}
    instance = sdrs.do("create_protected_instance", body={"protected_instance": asked})["protected_instance_id"]
    sdrs.call("update_protected_instance_name", protected_instance_id=instance,
              body={"protected_instance": {"name": "web-2"}})
    row = sdrs.call("show_protected_instance", protected_instance_id=instance)["protected_instance"]
    assert (row["name"], row["server_group_id"]) == ("web-2", group)
    assert (row["source_server"], row["attachment"]) == (stock.SERVER, [])
    assert sdrs.call("list_protected_instances", server_group_id=group)["count"] == 1
    assert sdrs.group(group)["protected_instance_num"] == 1

    sdrs.do("attach_protected_instance_replication", protected_instance_id=instance,
            body={"replication_attachment": {"replication_id": pair, "device": "/dev/vdb"}})
    assert sdrs.pair(pair)["attachment"] == [{"protected_instance": instance, "device": "/dev/vdb"}]
    row = sdrs.call("show_protected_instance", protected_instance_id=instance)["protected_instance"]
    assert row["attachment"] == [{"replication": pair, "device": "/dev/vdb"}]
    assert [one["id"] for one in sdrs.call("list_replications", protected_instance_id=instance)["replications"]] == [pair]
    with pytest.raises(Refused) as refused:
        sdrs.call("delete_replication", replication_id=pair, body={"replication": {}})  # attached
    assert refused.value.status == 400 and refused.value.code.startswith("SDRS.16"), refused.value

    sdrs.do("detach_protected_instance_replication", protected_instance_id=instance, replication_id=pair)
    assert sdrs.pair(pair)["attachment"] == []
    sdrs.do("delete_protected_instance", protected_instance_id=instance, body={"delete_target_server": False})
    assert sdrs.call("list_protected_instances")["count"] == 0
    sdrs.do("delete_replication", replication_id=pair, body={"replication": {"server_group_id": group}})
    sdrs.do("delete_protection_group", server_group_id=group)
    disk.delete()


def test_tasks_that_fail(sdrs, two_sites):
    north, south = two_sites
    disk = Volume(north)
    group = sdrs.make_group(north, south)
    assert sdrs.call("list_failure_jobs") == {"count": 0, "failure_jobs": []}
    south.kill()
    until("the link lost", lambda: not north.linked())
    failed = [sdrs.job_end("create_replication", body={"replication": {
        "server_group_id": group, "volume_id": disk.id, "name": f"data-{number}"}}) for number in range(3)]
    for row in failed:
        assert row["status"] == "FAIL" and row["error_code"].startswith("SDRS.") and row["fail_reason"], row
    listed = sdrs.call("list_failure_jobs", server_group_id=group, failure_status="createFail", resource_type="replications")
    assert listed["count"] == 3 and {one["job_id"] for one in listed["failure_jobs"]} == {row["job_id"] for row in failed}
    assert {(one["job_status"], one["resource_name"]) for one in listed["failure_jobs"]} == {
        ("FAIL", f"data-{number}") for number in range(3)}
    sdrs.call("delete_failure_job", failure_job_id=failed[0]["job_id"])
    assert sdrs.call("list_failure_jobs", server_group_id=group)["count"] == 2
    sdrs.call("delete_server_group_failure_jobs", server_group_id=group)
    assert sdrs.call("list_failure_jobs", server_group_id=group)["count"] == 0
    sdrs.call("delete_all_server_group_failure_jobs")
    south.start()
    until("the link back", north.linked)
    assert sdrs.pair(sdrs.make_pair(group, disk))["status"] == "available"


def test_what_the_client_shows_of_a_refusal(site):
    key = site.key["access_key_id"], "wrong"
    with Program([PYTHON, FOLDER / "sdrs.py", api(site), *key, site.region, "0" * 32]) as program:
        with pytest.raises(Refused) as refused:
            program.call("list_protection_groups", arguments={})
    assert (refused.value.status, refused.value.code) == (401, "APIGW.0301")
    with client(site, connect(site).current_project_id) as program:
        with pytest.raises(Refused) as refused:
            program.call("show_replication", arguments={"replication_id": str(uuid.uuid4())})
        assert refused.value.status in (400, 404) and refused.value.code == "SDRS.1608"
        with pytest.raises(Refused) as refused:
            program.call("show_job_status", arguments={"job_id": "0" * 32})
        assert refused.value.status in (400, 404)
