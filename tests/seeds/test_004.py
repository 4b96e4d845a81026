"""FailoverDiskReplicaGroup, sentence by sentence: seed 004."""

import pytest

from offsite import until
from subjects import (DENIED, GONE, INVALID, NOWHERE,
                      check_only_a_request_id, check_required, check_token_characters, check_token_length,
                      holds, lost, refusal, write, write_states)


@pytest.fixture
def failover_none(sites):
    """The operation on a group that does not exist."""
    return lambda **more: sites[1].call("FailoverDiskReplicaGroup", **{"ReplicaGroupId": "pg-none", **more})


def test_enables_failover_for_the_pairs_of_a_group(make):
    """Enables the failover feature for replication pairs in a replication pair-consistent group."""
    group = make("group", pairs=3)
    group.call("Failover")
    for site in (group.north, group.south):
        until("all failed over", lambda site=site: [row["Status"] for row in group.members(site)] == ["failovered"] * 3)


def test_enables_reads_and_writes_of_the_secondary_disks(make):
    """When the primary disks of specific replication pairs in a replication pair-consistent group fail, you can call this operation
    to enable the read and write permissions on the secondary disks."""
    group = make("group", pairs=2)
    for number, disk in enumerate(group.disks):
        write(disk, 1 + number)
    group.wait_shipped()
    for copy in group.copies:
        assert refusal(group.south.call, "AttachDisk", DiskId=copy.id, InstanceId="i-test") == DENIED
    with lost(group.north, group.south):
        group.call("Failover")
        group.wait("failovered", group.south)
        for number, copy in enumerate(group.copies):
            assert holds(copy.attach(), 1 + number)
            write(copy, 11 + number)
            assert holds(copy, 11 + number)
    group.wait("failovered")


@pytest.mark.parametrize("state", ["manual_syncing", "syncing", "normal", "stopped", "failovered"])
def test_the_group_must_be_in_one_of_these_states(make, state):
    """The replication pair-consistent group must be in the One-time Syncing (manual_syncing), Syncing (syncing), Normal (normal),
    Stopping (stopping), Stop Failed (stop_failed), Stopped (stopped), In Failover (failovering), Failover Failed
    (failover_failed), or Failovered (failovered) state."""
    group = make("group", state)
    group.call("Failover")
    group.wait("failovered")


def test_the_group_may_be_in_a_state_that_passes(sites, make):
    """... Stopping (stopping), Stop Failed (stop_failed), ... In Failover (failovering), Failover Failed (failover_failed), ..."""
    north, south = sites
    groups = {make("group"): state for state in ("stopping", "stop_failed", "failovering", "failover_failed")}
    with lost(north, south):
        south.kill()
        write_states(south, groups)
        south.start()
        for group, state in groups.items():
            assert group.state(south) == state or state == "failovering"  # that one goes on by itself
            group.call("Failover")
            group.wait("failovered", south)
    for group in groups:
        group.wait("failovered", north)


def test_the_group_must_not_be_in_another_state(still):
    """The replication pair-consistent group must be in ... (403 OperationDenied.InvalidStatus: The operation is not allowed in
    current status.)"""
    group = still("group", "created")
    assert refusal(group.call, "Failover") == INVALID
    assert group.state() == group.state(group.south) == "created"


def test_after_a_failover_it_enters_the_failovered_state(make):
    """After a failover is performed, the replication pair-consistent group enters the Failovered (failovered) state."""
    group = make("group")
    group.call("Failover")
    group.wait("failovered")


def test_the_first_full_synchronization_must_be_completed(make):
    """Before you perform a failover, make sure that the first full data synchronization is completed between the primary site and
    secondary site."""
    group = make("group", "initial_syncing")
    assert refusal(group.call, "Failover") == INVALID
    assert group.state() == "initial_syncing"
    group.north.call("ModifyOffsitePeer", ZoneId=group.south.zone, BytesPerSecond=0)
    group.wait("normal")
    group.call("Failover")
    group.wait("failovered")


def test_region_id_is_required(failover_none):
    """RegionId, string, Yes"""
    check_required(failover_none, "RegionId")


def test_region_id_is_that_of_the_secondary_site(make):
    """The region ID of the secondary site of the replication pair-consistent group."""
    group = make("group")
    assert refusal(group.call, "Failover", RegionId="west") == NOWHERE
    group.call("Failover", group.north, RegionId=group.row()["DestinationRegionId"])
    group.wait("failovered")


def test_not_allowed_on_the_primary_site(still):
    """403 OperationDenied.OperateNotAllowedForPrimary: Operation is not allowed on the primary site."""
    group = still("group", "normal")
    for site in (group.north, group.south):
        assert refusal(group.call, "Failover", site, RegionId=group.north.region) == (
            403, "OperationDenied.OperateNotAllowedForPrimary")
    assert group.state() == "normal"


def test_replica_group_id_is_required(failover_none):
    """ReplicaGroupId, string, Yes"""
    check_required(failover_none, "ReplicaGroupId")


def test_replica_group_id_is_that_of_the_group(make, still):
    """The ID of the replication pair-consistent group."""
    group, other = make("group"), still("group", "normal")
    group.call("Failover")
    group.wait("failovered")
    assert other.state(other.south) == "normal"


def test_a_token_ensures_idempotence(make):
    """The client token that is used to ensure the idempotence of the request."""
    group = make("group")
    group.call("Failover", ClientToken="004-again")
    group.wait("failovered")
    group.call("Reprotect", ReverseReplicate="false")
    group.wait("stopped")
    check_only_a_request_id(group.call("Failover", ClientToken="004-again"))
    assert group.state(group.south) == "stopped"  # answered, not done again


def test_a_token_is_unique_among_requests(make):
    """You can use the client to generate the token, but you must make sure that the token is unique among different requests."""
    group = make("group")
    group.call("Failover", ClientToken="004-unique")
    assert refusal(group.call, "Failover", ReplicaGroupId="pg-none", ClientToken="004-unique") == (
        400, "IdempotentParameterMismatch")
    assert refusal(group.call, "Reprotect", ClientToken="004-unique") == (400, "IdempotentParameterMismatch")
    group.wait("failovered")


def test_a_token_is_ascii(failover_none):
    """The token can contain only ASCII characters ..."""
    check_token_characters(failover_none)


def test_a_token_has_64_characters_at_most(failover_none):
    """... and cannot exceed 64 characters in length."""
    check_token_length(failover_none)


def test_the_answer_is_a_request_id(make):
    """RequestId, string: The ID of the request."""
    group = make("group")
    check_only_a_request_id(group.call("Failover"))
    group.wait("failovered")


def test_a_pair_of_a_group_does_not_fail_over_alone(still):
    """403 OperationDenied: The operation is not allowed."""
    group = still("group", "normal")
    assert refusal(group.south.call, "FailoverDiskReplicaPair", ReplicaPairId=group.pairs[0]) == DENIED
    assert group.state() == group.state(group.south) == "normal"


def test_no_pair_in_group(spare):
    """403 OperationDenied.NoPairInGroup: The operation is not allowed because no pair in the group."""
    until("known there", lambda: spare[0].state(spare[0].south) == "created")
    assert refusal(spare[0].call, "Failover") == (403, "OperationDenied.NoPairInGroup")


def add(group, pair, site=None):
    return (site or group.north).call("AddDiskReplicaPair", ReplicaGroupId=group.id, ReplicaPairId=pair)


def test_states_of_pair_and_group_are_one(still, spare):
    """403 OperationDenied.PairGroupStatusConflict: The operation is not allowed due to pair and group status are not consistent.
    (Said before there is such a group.)"""
    assert refusal(add, spare[0], still("pair", "stopped").id) == (403, "OperationDenied.PairGroupStatusConflict")


def test_sites_of_pair_and_group_are_one(sites, still):
    """403 OperationDenied.PairGroupAZoneConflict: The operation is not allowed due to pair and group having different RegionId or
    ZoneId. (Said before there is such a group.)"""
    north, south = sites
    opposite = type(still("pair", "created"))(south, north, "group", pairs=0)
    assert refusal(add, opposite, still("pair", "created").id, south) == (403, "OperationDenied.PairGroupAZoneConflict")


def test_a_pair_is_in_one_group(still, spare):
    """403 OperationDenied.PairInAnotherGroup: The operation is not allowed because pair is already in another group. (Said before
    there is such a group.)"""
    assert refusal(add, spare[0], still("group", "created").pairs[0]) == (403, "OperationDenied.PairInAnotherGroup")


def test_no_such_resource(failover_none, still):
    """404 NoSuchResource: The specified resource does not exist."""
    assert refusal(failover_none) == GONE
    assert refusal(failover_none, ReplicaGroupId=still("pair", "created").id) == GONE


def test_the_request_is_timeout(still):
    """504 RequestTimeout: The request is timeout, please try again later."""
    group = still("group", "normal")
    with lost(group.south, group.north):  # whose work it is
        assert refusal(group.call, "Failover", group.north, RegionId=group.south.region) == (504, "RequestTimeout")
        assert group.state() in ("normal", "syncing")
    until("normal again", lambda: group.state() == "normal")
