"""Each status of the seed's table where it belongs, from a real daemon: the facts' sections 5.1 and 5.2. What is not here: 407 is never
given; 502 needs a site of another version (tests/unit/test_peer.c)."""

import json
import shutil

import pytest

from evs import Evs, GROUPS, PAIRS, uuid_of
from huawei import Huawei
from offsite import BUILD, MIB, OFFSITED, run, Site, two_sites_one_small, until, wait_linked
from sdrs import Sdrs
from test_bad_input import converse
from wan import SKEWED_CLOCK

OFFSITE = BUILD / "src" / "cli" / "offsite"
VOLUMES, V1 = "/v3/{project}/volumes", "/v1/{project}"
NOBODYS = "00000000-0000-0000-0000-000000000000"
TOKEN_S = 24 * 3600
JOBS_MAX = 1000
FAULTS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 408: "requestTimeout",
          409: "conflictingRequest", 413: "overLimit", 500: "computeFault", 501: "notImplemented", 503: "serviceUnavailable",
          504: "gatewayTimeout"}
ONE_OF_EACH = {"identity": "/v3/auth/projects", "volumes": VOLUMES, "replication": PAIRS, "sdrs": V1 + "/replications"}


def assert_refused(answer, status, family="volumes", code=None):
    """code: of the gateway's, in the body's second part."""
    assert answer.status == status, answer
    fault = answer.json["error" if family in ("identity", "sdrs") else FAULTS[status]]
    assert fault["message"] and answer.headers["Content-Type"] == "application/json"
    assert fault["code"] == (answer.json["error_code"] if family == "sdrs" and status != 401 else status), answer
    if family == "identity":
        assert fault["title"] and len(answer.json) == 1, answer
    else:
        assert set(answer.json) - {"error", FAULTS[status]} == {"error_code", "error_msg", "request_id"}, answer
        assert code is None or answer.json["error_code"] == code, answer


@pytest.fixture
def huawei(site_of_module):
    return Huawei(site_of_module).login()


# --- 400 to 406

def test_400_of_each_family(huawei):
    assert_refused(huawei.raw("POST", "/v3/auth/tokens", b"{"), 400, "identity")
    assert_refused(huawei.post(VOLUMES, {"volume": {"size": "much"}}), 400, "volumes", "EVS.1010")
    assert_refused(huawei.post(PAIRS, {"replication": {"volume_ids": "both"}}), 400, "replication", "EVS.1002")
    assert_refused(huawei.get(GROUPS + "?limit=0"), 400, "replication", "EVS.2142")
    assert_refused(huawei.post(V1 + "/server-groups", {"server_group": {"name": "a b"}}), 400, "sdrs")


def assert_unknown(huawei, token, family, path):
    answer = huawei.raw("GET", path.replace("{project}", huawei.project), headers={} if token is None else {"X-Auth-Token": token})
    assert_refused(answer, 401, family, None if family == "identity" else "APIGW.0301")
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri="), answer


@pytest.mark.parametrize("family, path", ONE_OF_EACH.items())
def test_401_without_a_token_or_with_a_bad_one(huawei, family, path):
    for token in (None, "banana", huawei.token[:-2]):
        assert_unknown(huawei, token, family, path)


@pytest.mark.parametrize("family, path", ONE_OF_EACH.items())
def test_401_after_the_token_was_revoked(site_of_module, family, path):
    one = Huawei(site_of_module).login()
    assert one.get(path).status == 200
    assert one.delete("/v3/auth/tokens", headers={"X-Subject-Token": one.token}).status == 204
    assert_unknown(one, one.token, family, path)


def test_401_after_the_token_has_expired(site):
    one = Huawei(site).login()
    site.stop()
    clock = shutil.copy(SKEWED_CLOCK, site.run_folder / "clock.so")  # LD_PRELOAD takes no path with a blank
    site.environment = {"LD_PRELOAD": str(clock), "OFFSITE_SKEW_S": str(TOKEN_S - 60)}
    site.start()
    assert one.get(VOLUMES).status == 200
    site.stop()
    site.environment["OFFSITE_SKEW_S"] = str(TOKEN_S + 1)
    site.start()
    for family, path in ONE_OF_EACH.items():
        assert_unknown(one, one.token, family, path)
    one.login()
    assert one.get(VOLUMES).status == 200


def make_user(site, name, *policies):
    """Somebody who has logged in."""
    run(OFFSITE, "--dir", site.folder, "user", "create", name)
    for policy in policies:
        run(OFFSITE, "--dir", site.folder, "user", "attach", name, policy)
    key = run(OFFSITE, "--dir", site.folder, "key", "create", "--user", name).stdout
    return Huawei(site, name, dict(line.split() for line in key.splitlines()[:2])["secret"]).login()


def test_403_by_policy_and_of_other_projects(site):
    reader, nobody = make_user(site, "reader", "ReadOnlyAccess"), make_user(site, "nobody")
    disk = site.make_disk(MIB)
    for family, path in list(ONE_OF_EACH.items())[1:]:
        assert reader.get(path).status == 200
        assert_refused(nobody.get(path), 403, family)
        assert_refused(reader.get(path.replace("{project}", "0" * 32)), 403, family)
    for call in (reader.post(VOLUMES, {"volume": {"size": 1}}), reader.delete(f"{VOLUMES}/{uuid_of(disk.id)}"),
                 reader.post(f"{VOLUMES}/{uuid_of(disk.id)}/action", {"os-attach": {"host_name": "h"}})):
        assert_refused(call, 403, "volumes", "EVS.5403")
    assert_refused(reader.post(f"{GROUPS}/{NOBODYS}/action", {"os-failover-replication-consistency-group": None}), 403, "replication")
    assert_refused(reader.delete(f"{V1}/server-groups/{NOBODYS}"), 403, "sdrs", "SDRS.0005")
    assert_refused(reader.get("/v3/users/root"), 403, "identity")
    assert disk.row()["Status"] == "Available" and len(Huawei(site).get(VOLUMES).json["volumes"]) == 1


def test_404_of_each_family(huawei):
    assert_refused(huawei.get("/v3/auth/tokens", {"X-Subject-Token": "banana"}), 404, "identity")
    assert_refused(huawei.get(f"{VOLUMES}/{NOBODYS}"), 404, "volumes", "EVS.5404")
    assert_refused(huawei.get(f"{PAIRS}/{NOBODYS}"), 404, "replication", "EVS.5404")
    assert_refused(huawei.get(f"{GROUPS}/{NOBODYS}"), 404, "replication", "EVS.5404")
    for what, code in (("server-groups", "SDRS.1013"), ("replications", "SDRS.1608"), ("protected-instances", "SDRS.1320")):
        assert_refused(huawei.get(f"{V1}/{what}/{NOBODYS}"), 404, "sdrs", code)
    assert_refused(huawei.get("/v3/{project}/nothing"), 404, "volumes")


def test_405_says_what_is_allowed(huawei):
    for family, path in ONE_OF_EACH.items():
        answer = huawei.request("PATCH", path)
        assert_refused(answer, 405, family)
        assert set(answer.headers["Allow"].split(", ")) == ({"GET"} if family == "identity" else {"GET", "POST"})


def test_406_is_never_given(huawei):
    for path in ONE_OF_EACH.values():
        for accept in ("text/plain", "application/xml;q=1.0", "image/*", ""):
            answer = huawei.get(path, {"Accept": accept})
            assert answer.status == 200 and answer.headers["Content-Type"] == "application/json", answer
    assert huawei.get(VOLUMES, {"OpenStack-API-Version": "volume 9.99"}).status == 200


# --- 408 to 413

def test_408_when_a_request_comes_too_late(tmp_path):
    if b"OFFSITE_HOLD" not in OFFSITED.read_bytes():
        pytest.skip("this build has no hook: configure with -Dhold=true")
    site = Site(tmp_path / "site")
    site.environment = {"OFFSITE_HOLD_LATE_MS": "0"}
    try:
        site.start()
        for path, fault in (("/v3/auth/tokens", "error"), ("/v3/p/volumes", "requestTimeout"), ("/v1/p/replications", "error"),
                            ("/v2/p/os-vendor-replications", "requestTimeout")):
            answer = converse(site, f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ") and json.loads(body)[fault]["message"], answer
    finally:
        site.close()


def test_409_in_the_wrong_state(two_sites):
    north, south = two_sites
    evs = Evs(north)
    pair = evs.create_pair(north.make_disk(MIB), south.make_disk(MIB))["id"]
    group = evs.create_group(pair)["id"]
    assert_refused(evs.delete_pair(pair), 409, "replication")
    assert_refused(evs.delete_group(group), 409, "replication")
    assert_refused(evs.try_create_group(pair), 409, "replication")
    for action in ("failover", "reverse", "reprotect"):
        assert_refused(evs.try_act(group, action), 409, "replication")
    evs.act(group, "sync")
    evs.wait_group(group, "available", "active")
    assert_refused(evs.update(group, remove_replication_ids=[pair]), 409, "replication")
    # The same is 400 for volumes and for SDRS: facts, section 5.2.
    volume, _ = evs.pair(pair)["volume_ids"].split(",")
    assert_refused(evs.huawei.delete(f"{VOLUMES}/{volume}"), 400, "volumes", "EVS.2089")
    assert_refused(evs.huawei.delete(f"{V1}/server-groups/{group}"), 400, "sdrs", "SDRS.1010")


def test_413_of_bodies_and_of_metadata(huawei):
    for family, path in {**ONE_OF_EACH, "identity": "/v3/auth/tokens"}.items():
        assert_refused(huawei.post(path, b" " * (MIB + 1)), 413, family)
        assert huawei.post(path, b" " * MIB).status == 400
    many = {str(number): "x" for number in range(21)}
    assert_refused(huawei.post(VOLUMES, {"volume": {"size": 1, "metadata": many}}), 413, "volumes")
    assert huawei.get(VOLUMES).json["volumes"] == []


# --- 413 and 500: a storage that is full

@pytest.fixture
def full(tmp_path):
    """Two linked sites, the first one's data folder on a file system of its own; how to fill that, and how to make room again."""
    with two_sites_one_small(tmp_path, "north") as (site, other, mount):
        def fill():
            with (mount / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
                while True:
                    filler.write(b"x" * 4096)
        yield site, other, fill, (mount / "filler").unlink


def test_500_and_413_when_nothing_can_be_stored(full):
    """And what is refused for it is not there."""
    site, other, fill, make_room = full
    evs, sdrs = Evs(site), Sdrs(site)
    huawei, token = evs.huawei.login(), Huawei(site).login().token
    disk, copy, more, there = site.make_disk(MIB), other.make_disk(MIB), site.make_disk(MIB), other.make_disk(MIB)
    pair = evs.create_pair(disk, copy)["id"]
    group = evs.create_group(pair)["id"]
    lone = evs.create_pair(more, there)["id"]
    last, free = site.make_disk(MIB), other.make_disk(MIB)
    sdrs.get(V1 + "/server-groups")
    before = [huawei.get(path).json for path in (VOLUMES, PAIRS, GROUPS)]
    fill()
    assert_refused(huawei.delete("/v3/auth/tokens", headers={"X-Subject-Token": token}), 500, "identity")
    assert_refused(evs.update(group, name="n"), 500, "replication", "EVS.5500")
    assert_refused(sdrs.try_make_group(other.zone, "n"), 500, "sdrs")
    assert_refused(huawei.post(VOLUMES, {"volume": {"size": 1}}), 413, "volumes", "EVS.1042")
    assert_refused(evs.try_create_pair(last, free), 413, "replication", "EVS.5413")
    assert_refused(evs.try_create_group(lone), 413, "replication", "EVS.5413")
    assert [huawei.get(path).json for path in (VOLUMES, PAIRS, GROUPS)] == before
    make_room()
    assert huawei.delete("/v3/auth/tokens", headers={"X-Subject-Token": token}).status == 204
    assert evs.update(group, name="n").status == 202
    assert evs.try_create_pair(last, free).status == 202


# --- 501

def test_501_of_what_is_not_offered(huawei):
    disk = uuid_of(huawei.site.make_disk(MIB).id)
    assert_refused(huawei.post(f"{VOLUMES}/{disk}/action", {"os-retype": {}}), 501)
    assert_refused(huawei.post(f"{VOLUMES}/{disk}/action", {"os-set_bootable": {"bootable": True}}), 501)
    assert_refused(huawei.post(VOLUMES, {"volume": {"size": 1, "imageRef": "x"}}), 501)
    assert_refused(huawei.post("/v3/{project}/snapshots", {"snapshot": {"volume_id": disk}}), 501)
    assert_refused(huawei.post(f"{GROUPS}/{NOBODYS}/action", {"os-unheard-of": None}), 501, "replication")
    assert_refused(huawei.post(f"{V1}/server-groups/{NOBODYS}/action", {"unheard-of": {}}), 501, "sdrs", "SDRS.0206")
    assert huawei.delete(f"{VOLUMES}/{disk}").status == 202


# --- 503 and 504: the other site

def test_503_while_too_many_jobs_run(two_sites):
    """Groups whose production is at a site that is gone: their jobs wait for it."""
    north, south = two_sites
    evs, sdrs = Evs(north), Sdrs(north)
    pair = evs.create_pair(north.make_disk(MIB), south.make_disk(MIB))["id"]
    group = evs.create_group(evs.create_pair(north.make_disk(MIB), south.make_disk(MIB))["id"])["id"]
    south.kill()
    until("the link is seen to be down", lambda: not north.linked())
    zones = {"source_availability_zone": south.zone, "target_availability_zone": north.zone}
    for number in range(JOBS_MAX):
        assert sdrs.try_make_group(south.zone, f"g{number}", **zones).status == 200
    assert_refused(evs.update(group, name="n"), 503, "replication", "EVS.5503")
    assert_refused(evs.try_create_group(pair), 503, "replication", "EVS.5503")
    refused = sdrs.try_make_group(south.zone, "one-more", **zones)
    assert refused.status in (500, 503) and refused.json["error_code"].startswith("SDRS."), refused
    assert [row["id"] for row in evs.groups()] == [group]
    south.start()
    wait_linked(north, south)
    until("there is room again", lambda: evs.update(group, name="n").status == 202)
    for site in two_sites:  # most of them are still to be made
        site.kill()


def test_504_when_the_other_site_does_not_answer(two_sites):
    north, south = two_sites
    evs = Evs(north)
    disk, there = north.make_disk(MIB), south.make_disk(MIB)
    pair = evs.create_pair(disk, there)["id"]
    group = evs.create_group(pair)["id"]
    evs.act(group, "sync")
    evs.wait_group(group, "available", "active")
    huawei = Huawei(north).login()
    south.pause()
    assert_refused(huawei.get(f"{VOLUMES}/{uuid_of(there.id)}"), 504, "volumes", "EVS.5504")
    assert_refused(huawei.post(VOLUMES, {"volume": {"size": 1, "availability_zone": south.zone}}), 504, "volumes", "EVS.5504")
    until("the link is seen to be down", lambda: not north.linked())
    assert_refused(evs.try_act(group, "reverse"), 504, "replication", "EVS.5504")
    assert_refused(evs.try_create_pair(north.make_disk(MIB), there), 504, "replication", "EVS.5504")
    answer = huawei.get(VOLUMES)
    assert answer.status == 200 and answer.headers["X-Offsite-Unreached"] == south.zone
    assert huawei.get(f"{VOLUMES}/{uuid_of(disk.id)}").status == huawei.get(f"{PAIRS}/{pair}").status == 200
    south.resume()
    wait_linked(north, south)
    assert huawei.get(f"{VOLUMES}/{uuid_of(there.id)}").status == 200
