"""StopDiskReplicaGroup, sentence by sentence: seed 000."""

import pytest

from offsite import MIB, until
from subjects import (DENIED, GONE, INVALID, NOWHERE,
                      check_only_a_request_id, check_required, check_token_characters, check_token_length,
                      holds, lost, refusal, write, write_states)


@pytest.fixture
def stop_none(sites):
    """The operation on a group that does not exist."""
    return lambda **more: sites[0].call("StopDiskReplicaGroup", **{"ReplicaGroupId": "pg-none", **more})


def test_stops_a_replication_pair_consistent_group(make):
    """Stops a replication pair-consistent group."""
    group, running = make("group"), make("group")
    write(group.disks[0], 1)
    group.wait_shipped()
    group.call("Stop")
    group.wait("stopped")
    write(group.disks[0], 2)
    epoch = running.row()["Offsite"]["RecoveryEpoch"]
    write(running.disks[0], 2)  # one that was not stopped goes on
    until("a newer recovery point", lambda: running.row(running.south)["Offsite"]["RecoveryEpoch"] > epoch)
    running.wait_shipped()
    until("what was written waits", lambda: group.row()["Offsite"]["DirtyBytes"] >= MIB)
    group.call("Failover")
    group.wait("failovered")
    assert holds(group.copies[0].attach(), 1)


def test_stops_all_replication_pairs_in_the_group(make):
    """This operation stops all replication pairs in the replication pair-consistent group."""
    group = make("group", pairs=3)
    assert {row["Status"] for row in group.members(group.north)} == {"normal"}
    group.call("Stop")
    for site in (group.north, group.south):
        until("all stopped", lambda site=site: [row["Status"] for row in group.members(site)] == ["stopped"] * 3)


@pytest.mark.parametrize("state", ["manual_syncing", "syncing", "normal", "stopped"])
def test_the_group_must_be_in_one_of_these_states(make, state):
    """The replication pair-consistent group that you want to stop must be in the One-time Syncing (manual_syncing), Syncing
    (syncing), Normal (normal), Stopping (stopping), Stop Failed (stop_failed), or Stopped (stopped) state."""
    group = make("group", state)
    group.call("Stop")
    group.wait("stopped")


def test_the_group_may_be_in_stop_failed(make):
    """... Stop Failed (stop_failed), or ..."""
    group = make("group")
    with lost(group.north, group.south):
        write_states(group.north, {group: "stop_failed"})
    assert group.state() == "stop_failed"
    group.call("Stop")
    group.wait("stopped")


@pytest.mark.parametrize("state", ["created", "failovered"])
def test_the_group_must_not_be_in_another_state(still, state):
    """The replication pair-consistent group that you want to stop must be in ... (403 OperationDenied.InvalidStatus: The operation
    is not allowed in current status.)"""
    group = still("group", state)
    assert refusal(group.call, "Stop") == INVALID
    assert group.state() == state


def test_when_stopped_it_enters_the_stopped_state(make):
    """When a replication pair-consistent group is stopped, it enters the Stopped (stopped) state."""
    group = make("group")
    group.call("Stop")
    group.wait("stopped")
    group.call("Stop")
    assert group.state() == "stopped"


def test_when_it_cannot_be_stopped_its_state_remains(make):
    """If a replication pair-consistent group cannot be stopped, the state of the group remains unchanged or ... In this case, try
    again later. (504 RequestTimeout: The request is timeout, please try again later.)"""
    group = make("group")
    with lost(group.north, group.south):  # whose work it is
        assert refusal(group.call, "Stop", group.south) == (504, "RequestTimeout")
        assert group.state(group.south) == "normal"
    group.call("Stop", group.south)
    group.wait("stopped")


def test_when_it_cannot_be_stopped_it_is_stop_failed(make):
    """If a replication pair-consistent group cannot be stopped, the state of the group ... changes to Stop Failed (stop_failed).
    (500 InternalError)"""
    group = make("group", "created")
    with lost(group.north, group.south):
        write_states(group.north, {group: "normal"})  # a damaged record: nothing of it runs
    assert refusal(group.call, "Stop") == (500, "InternalError")
    group.wait("stop_failed")


def test_region_id_is_required(stop_none):
    """RegionId, string, Yes"""
    check_required(stop_none, "RegionId")


def test_region_id_is_that_of_the_group(still):
    """RegionId: The region ID of the replication pair-consistent group."""
    group = still("group", "stopped")
    for site in (group.north, group.south):
        group.call("Stop", RegionId=site.region)
    assert refusal(group.call, "Stop", RegionId="west") == NOWHERE


def test_replica_group_id_is_required(stop_none):
    """ReplicaGroupId, string, Yes"""
    check_required(stop_none, "ReplicaGroupId")


def test_describe_gives_the_id(still):
    """The ID of the replication pair-consistent group. You can call the DescribeDiskReplicaGroups operation to query the IDs of
    replication pair-consistent groups."""
    group = still("group", "stopped")
    ids = [row["ReplicaGroupId"] for row in group.north.groups(PageSize=100)]
    assert group.id in ids and all(one.startswith("pg-") for one in ids)
    group.call("Stop", ReplicaGroupId=ids[ids.index(group.id)])


def test_a_token_ensures_idempotence(make):
    """The client token that is used to ensure the idempotence of the request."""
    group = make("group")
    for _ in range(2):
        group.call("Stop", ClientToken="000-again")
        group.wait("stopped")
    group.call("Start")
    group.wait("normal")
    check_only_a_request_id(group.call("Stop", ClientToken="000-again"))
    assert group.state() == "normal"  # answered, not done again


def test_a_token_is_unique_among_requests(still):
    """You can use the client to generate the token, but you must make sure that the token is unique among different requests."""
    group = still("group", "stopped")
    group.call("Stop", ClientToken="000-unique")
    for other in ({"ReplicaGroupId": "pg-none"}, {"RegionId": group.south.region}):
        assert refusal(group.call, "Stop", ClientToken="000-unique", **other) == (400, "IdempotentParameterMismatch")


def test_a_token_is_ascii(stop_none):
    """The token can contain only ASCII characters ..."""
    check_token_characters(stop_none)


def test_a_token_has_64_characters_at_most(stop_none):
    """... and cannot exceed 64 characters in length."""
    check_token_length(stop_none)


def test_the_answer_is_a_request_id(still):
    """RequestId, string: The request ID."""
    answers = [still("group", "stopped").call("Stop") for _ in range(2)]
    for answer in answers:
        check_only_a_request_id(answer)
    assert answers[0] != answers[1]


def test_no_such_resource(stop_none, still):
    """404 NoSuchResource: The specified resource does not exist."""
    assert refusal(stop_none) == GONE
    pair = still("pair", "stopped")
    assert refusal(stop_none, ReplicaGroupId=pair.id) == GONE


def test_a_pair_of_a_group_is_not_stopped_alone(still):
    """403 OperationDenied: The operation is not allowed."""
    group = still("group", "stopped")
    assert refusal(group.north.call, "StopDiskReplicaPair", ReplicaPairId=group.pairs[0]) == DENIED
