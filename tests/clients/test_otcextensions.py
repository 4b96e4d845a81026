"""Open Telekom Cloud's extensions of openstacksdk, unmodified, with a password, against two real sites: SDRS.

huaweicloud/otc.py makes one call a line; the story is told here."""

import stock
import pytest
from stock import Program, Refused, Volume, login, openstack
from offsite import REPOSITORY, until

FOLDER = REPOSITORY / "tests" / "clients" / "huaweicloud"
PYTHON = FOLDER / "venv" / "bin" / "python"
OPENSTACK = FOLDER / "venv" / "bin" / "openstack"


class Sdrs:
    def __init__(self, program):
        self.program = program

    def call(self, call, **arguments):
        return self.program.call(call, arguments=arguments)

    def do(self, call, **arguments):
        """Gives the job that the call started, when it has succeeded."""
        job = self.call(call, **arguments)["job_id"]

        def succeeded():
            row = self.call("get_job", job=job)
            assert row["status"] != "FAIL", row
            return row if row["status"] == "SUCCESS" else None
        return until(f"{call}, job {job}", succeeded)

    def wait(self, group, status, station):
        def seen():
            row = self.call("get_protection_group", protection_group=group)
            return row["status"], row["priority_station"]
        until(lambda: f"{status} at {station}: {seen()}", lambda: seen() == (status, station))

    def wait_copied(self, pair):
        until("the copy", lambda: self.call("get_replication_pair", replication=pair)["replication_status"] == "active")


@pytest.fixture
def sdrs(two_sites):
    north, _ = two_sites
    who = login(north)
    with Program([PYTHON, FOLDER / "otc.py", who["auth_url"], who["username"], who["password"], north.region]) as program:
        yield Sdrs(program)


def test_the_life_of_a_protection_group(sdrs, two_sites):
    north, south = two_sites
    near = Volume(north)
    domain = sdrs.call("get_domains")[0]["domains"][0]
    assert openstack(north, "sdrs", "active", "domain", "list", program=OPENSTACK)[0]["ID"] == domain["id"]
    job = sdrs.do("create_protection_group", name="shop", source_availability_zone=north.zone, source_vpc_id=stock.SERVER,
                  target_availability_zone=south.zone, domain_id=domain["id"], dr_type="migration")
    assert openstack(north, "sdrs", "job", "show", job["job_id"], program=OPENSTACK)["status"] == "SUCCESS"
    group = job["entities"]["server_group_id"]
    sdrs.call("update_protection_group", protection_group=group, name="shop-2")
    sdrs.do("create_replication_pair", server_group_id=group, volume_id=near.id, name="data")
    sdrs.do("create_replication_pair", server_group_id=group, volume_id=Volume(north).id, name="more")
    pairs = sdrs.call("replication_pairs", server_group_id=group, limit=1)  # a page each
    assert sorted(row["name"] for row in pairs) == ["data", "more"]
    assert [row["name"] for row in sdrs.call("protection_groups", limit=1)] == ["shop-2"]
    pair, more = sorted(pairs, key=lambda row: row["name"])
    far = Volume(south, pair["volume_ids"].split(",")[1])
    sdrs.do("delete_replication_pair", replication=more["id"], server_group_id=group, delete_target_volume=True)
    quotas = sdrs.call("quotas")[0]["resources"]
    assert {row["type"]: row["used"] for row in quotas} == {"server_groups": 1, "replications": 1}
    assert sdrs.call("failed_tasks") == []

    with near.attached() as uri:
        stock.write(uri, 0x41)
    sdrs.do("enable_protection", protection_group=group)
    sdrs.wait(group, "protected", "source")
    sdrs.wait_copied(pair["id"])
    sdrs.do("perform_planned_failover", protection_group=group, priority_station="target")
    sdrs.wait(group, "protected", "target")
    with far.attached() as uri:
        stock.holds(uri, 0x41)
        stock.write(uri, 0x42)
        stock.wait_copied(south)
    sdrs.do("perform_failover", protection_group=group)
    sdrs.wait(group, "failed-over", "source")
    with near.attached() as uri:
        stock.holds(uri, 0x42)
    sdrs.do("enable_protection", protection_group=group)  # which protects it again
    sdrs.wait(group, "protected", "source")
    sdrs.wait_copied(pair["id"])
    sdrs.do("expand_replication_pair", replication=pair["id"], new_size=2)
    assert [disk.now().size for disk in (near, far)] == [2, 2]

    sdrs.do("create_protected_instance", server_group_id=group, server_id=stock.SERVER, name="web")
    instance, = sdrs.call("protected_instances", server_group_id=group)
    sdrs.do("attach_replication_pair", protected_instance=instance["id"], replication=pair["id"], device="/dev/vdc")
    sdrs.do("detach_replication_pair", protected_instance=instance["id"], replication=pair["id"])
    sdrs.do("delete_protected_instance", protected_instance=instance["id"])
    sdrs.wait_copied(pair["id"])
    sdrs.do("disable_protection", protection_group=group)
    sdrs.do("delete_replication_pair", replication=pair["id"], server_group_id=group, delete_target_volume=True)
    sdrs.call("delete_protection_group", protection_group=group)
    until("the group gone", lambda: sdrs.call("protection_groups") == [])
    with pytest.raises(Refused):
        sdrs.call("get_protection_group", protection_group=group)
