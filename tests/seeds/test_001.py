"""Pausing a replication consistency group, sentence by sentence: seed 001. The groups are made by the other dialect."""

import pytest

from evs import GROUPS, Evs, uuid_of
from huawei import Huawei
from offsite import MIB, until
from subjects import holds, lost, write, write_states

KEY = "os-stop-replication-consistency-group"
NOBODY = "01234567-89ab-8def-8abc-000000000000"


@pytest.fixture(scope="module")
def evs(sites):
    return [Evs(site) for site in sites]


def stop(evs, group, body=None):
    """The answer, at one site."""
    return evs.huawei.post(f"{GROUPS}/{uuid_of(group.id)}/action", {KEY: None} if body is None else body)


def fault(answer):
    """Status and name of a refusal, which must say why, in the body of its family."""
    name = next(iter(answer.json))
    assert answer.json[name]["code"] == answer.status and answer.json[name]["message"] == answer.json["error_msg"] != ""
    return answer.status, name


def state(evs, group):
    return evs.state(uuid_of(group.id))


def test_pauses_a_replication_consistency_group(evs, make):
    """This API is used to pause a replication consistency group, ..."""
    group = make("group")
    assert stop(evs[0], group).status == 200
    for one in evs:
        one.wait_group(uuid_of(group.id), "available", "active-stopped")


def test_pauses_the_data_synchronization(evs, make):
    """... that is, to pause the data synchronization in ..."""
    group, running = make("group"), make("group")
    write(group.disks[0], 1)
    group.wait_shipped()
    assert stop(evs[0], group).status == 200
    write(group.disks[0], 2)
    write(running.disks[0], 2)  # one that was not paused goes on
    running.wait_shipped()
    until("what was written waits", lambda: group.row()["Offsite"]["DirtyBytes"] >= MIB)
    group.call("Failover")
    group.wait("failovered")
    assert holds(group.copies[0].attach(), 1)


def test_in_all_pairs_of_the_group(evs, make):
    """... all EVS replication pairs of a replication consistency group."""
    group = make("group", pairs=3)
    assert {evs[0].pair(uuid_of(pair))["replication_status"] for pair in group.pairs} == {"active"}
    assert stop(evs[0], group).status == 200
    for one in evs:
        until("all are paused", lambda one=one: {one.pair(uuid_of(pair))["replication_status"] for pair in group.pairs} == {
            "active-stopped"})


def test_before_updating_it_has_to_be_paused(evs, make):
    """Before deleting or updating a replication consistency group, you need to pause the replication consistency group."""
    group = make("group")
    for changes in ({"name": "other"}, {"remove_replication_ids": [uuid_of(group.pairs[0])]}):
        assert fault(evs[0].update(uuid_of(group.id), **changes)) == (409, "conflictingRequest")
    assert stop(evs[0], group).status == 200
    assert evs[0].update(uuid_of(group.id), name="other", remove_replication_ids=[uuid_of(group.pairs[0])]).status == 202
    row = evs[0].wait_group(uuid_of(group.id), "available")
    assert (row["name"], row["replication_ids"]) == ("other", [])


def test_before_deleting_it_has_to_be_paused(evs, make):
    """Before deleting or updating a replication consistency group, you need to pause the replication consistency group."""
    group = make("group")
    assert fault(evs[0].delete_group(uuid_of(group.id))) == (409, "conflictingRequest")
    assert stop(evs[0], group).status == 200
    evs[0].update(uuid_of(group.id), remove_replication_ids=[uuid_of(group.pairs[0])])
    evs[0].wait_group(uuid_of(group.id), "available")
    assert evs[0].delete_group(uuid_of(group.id)).status == 202
    for one in evs:
        until("it is gone", lambda one=one: one.group(uuid_of(group.id)) is None)


@pytest.mark.parametrize("before, after", [("created", "inactive"), ("initial_syncing", "inactive"), ("syncing", "active-stopped"),
                                           ("manual_syncing", "active-stopped"), ("normal", "active-stopped"),
                                           ("stopped", "active-stopped"), ("failovered", "active-stopped")])
def test_constraints(evs, make, before, after):
    """None (constraints): also one that is paused already, was never started, or copies still."""
    group = make("group", before)
    assert stop(evs[0], group).status == 200
    for one in evs:
        one.wait_group(uuid_of(group.id), "failovered" if before == "failovered" else "available", after)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_uri(evs, make, version):
    """POST /v2/{project_id}/os-vendor-replication-consistency-groups/{replication_consistency_group_id}/action; the newer version
    of the API is as good."""
    group = make("group")
    path = f"{GROUPS}/{uuid_of(group.id)}/action".replace("v2", version)
    assert evs[0].huawei.post(path, {KEY: None}).status == 200
    assert state(evs[0], group) == ("available", "active-stopped")


def test_it_may_be_asked_for_at_either_site(evs, make):
    group = make("group")
    assert stop(evs[1], group).status == 200
    for one in evs:
        one.wait_group(uuid_of(group.id), "available", "active-stopped")


def test_project_id_is_the_project_s(evs, still):
    """project_id, Yes: Specifies the project ID."""
    group = still("group", "normal")
    path = f"{GROUPS}/{uuid_of(group.id)}/action".replace("{project}", 32 * "0")
    assert fault(evs[0].huawei.post(path, {KEY: None})) == (403, "forbidden")
    assert state(evs[0], group) == ("available", "active")


def test_the_id_is_that_of_the_group(evs, make, still):
    """replication_consistency_group_id, Yes: Specifies the ID of the replication consistency group."""
    group, other = make("group"), still("group", "normal")
    assert stop(evs[0], group).status == 200
    assert state(evs[0], other) == ("available", "active")
    pair = still("pair", "created")
    for identifier in (NOBODY, "none", uuid_of(pair.id)):
        assert fault(evs[0].huawei.post(f"{GROUPS}/{identifier}/action", {KEY: None})) == (404, "itemNotFound")


def test_the_action_is_mandatory(evs, still):
    """os-stop-replication-consistency-group, Yes"""
    group = still("group", "normal")
    for body in ({}, {KEY: None, "os-sync-replication-consistency-group": None}):
        assert fault(stop(evs[0], group, body)) == (400, "badRequest")
    assert state(evs[0], group) == ("available", "active")


def test_its_value_is_null(evs, make, still):
    """object: The parameter value is null, indicating that the replication consistency group will be paused."""
    group, other = make("group"), still("group", "normal")
    for value in ("", 0, False, [], {"force": True}):
        assert fault(stop(evs[0], other, {KEY: value})) == (400, "badRequest")
    assert state(evs[0], other) == ("available", "active")
    assert stop(evs[0], group, {KEY: {}}).status == 200  # an object that holds nothing is none
    assert state(evs[0], group) == ("available", "active-stopped")


def test_the_example(evs, make):
    """{ "os-stop-replication-consistency-group": null }"""
    group = make("group")
    assert stop(evs[0], group, b'{ "os-stop-replication-consistency-group": null }').status == 200
    assert state(evs[0], group) == ("available", "active-stopped")


def test_the_response(evs, make):
    """None (response). 200: The server has processed the request."""
    group = make("group")
    answer = stop(evs[0], group)
    assert (answer.status, answer.json) == (200, None)
    assert state(evs[0], group) == ("available", "active-stopped")  # processed: paused, not about to be


def test_bad_request(evs, still):
    """400 Bad Request: The server failed to process the request."""
    for body in (b"{", b"[]", b"null", b'{"os-stop-replication-consistency-group": null, "os-stop-replication-consistency-group": null}'):
        assert fault(stop(evs[0], still("group", "normal"), body)) == (400, "badRequest")


def test_unauthorized(sites, still):
    """401 Unauthorized: You must enter the username and password to access the requested page."""
    group = still("group", "normal")
    project = Evs(sites[0]).huawei
    project.get(GROUPS)
    path = f"{GROUPS}/{uuid_of(group.id)}/action".replace("{project}", project.project)
    for headers in ({}, {"X-Auth-Token": "none"}):
        assert fault(Huawei(sites[0]).raw("POST", path, {KEY: None}, headers)) == (401, "unauthorized")
    assert group.state() == "normal"


def test_not_found(evs, still):
    """404 Not Found: The requested page was not found."""
    group = still("group", "normal")
    for path in (f"{GROUPS}/{uuid_of(group.id)}/actions", f"{GROUPS}/{uuid_of(group.id)}/action/more"):
        assert fault(evs[0].huawei.post(path, {KEY: None})) == (404, "itemNotFound")


def test_method_not_allowed(evs, still):
    """405 Method Not Allowed: You are not allowed to use the method specified in the request."""
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        path = f"{GROUPS}/{uuid_of(still('group', 'normal').id)}/action"
        answer = evs[0].huawei.request(method, path, {KEY: None})
        assert fault(answer) == (405, "badMethod") and answer.headers["Allow"] == "POST"


def test_conflict(evs, make):
    """409 Conflict: The request cannot be processed due to a conflict."""
    group = make("group")
    with lost(group.north, group.south):
        write_states(group.north, {group: "failover_failed"})
    assert fault(stop(evs[0], group)) == (409, "conflictingRequest")
    assert group.state() == "failover_failed"


def test_not_implemented(evs, still):
    """501 Not Implemented: Failed to complete the request because the server does not support the requested function."""
    group = still("group", "normal")
    for key in ("os-pause-replication-consistency-group", "", "OS-STOP-REPLICATION-CONSISTENCY-GROUP"):
        assert fault(stop(evs[0], group, {key: None})) == (501, "notImplemented")
    assert state(evs[0], group) == ("available", "active")


def test_gateway_timeout(evs, still):
    """504 Gateway Timeout: A gateway timeout error occurs: the site whose work it is does not answer."""
    group = still("group", "normal")
    with lost(group.north, group.south):
        assert fault(stop(evs[1], group)) == (504, "gatewayTimeout")
    until("active again", lambda: state(evs[0], group) == ("available", "active"))
