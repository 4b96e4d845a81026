"""ReprotectDiskReplicaGroup, sentence by sentence: seed 002."""

import pytest

from offsite import MIB, until
from subjects import (DENIED, GONE, INVALID, NOWHERE,
                      check_only_a_request_id, check_required, check_token_characters, check_token_length,
                      holds, lost, refusal, write)


@pytest.fixture
def reprotect_none(sites):
    """The operation on a group that does not exist."""
    return lambda **more: sites[1].call("ReprotectDiskReplicaGroup", **{"ReplicaGroupId": "pg-none", **more})


def direction(subject, site):
    rows = subject.members(site) + [subject.row(site)]
    return {(row["SourceZoneId"], row["DestinationZoneId"]) for row in rows}


def roles(subject, site):
    rows = subject.members(site) + [subject.row(site)]
    return {(row["PrimaryRegion"], row["PrimaryZone"], row["StandbyRegion"], row["StandbyZone"]) for row in rows}


def turned(subject):
    return {(subject.south.zone, subject.north.zone)}


def test_enables_reverse_replication_for_the_pairs_of_a_group(make):
    """Enables the reverse replication feature for replication pairs that belong to a replication pair-consistent group."""
    group = make("group", pairs=2).fail_over()
    assert direction(group, group.south) == {(group.north.zone, group.south.zone)}
    group.call("Reprotect")
    group.wait("stopped")
    for site in (group.north, group.south):
        until("all turned", lambda site=site: direction(group, site) == turned(group))
        assert [(row["SourceDiskId"], row["DestinationDiskId"]) for row in sorted(
            group.members(site), key=lambda row: group.pairs.index(row["ReplicaPairId"]))] == [
                (copy.id, disk.id) for disk, copy in zip(group.disks, group.copies)]


def reverse(subject):
    """Reprotected, with something new on the original secondary disk."""
    subject.fail_over()
    write(subject.copies[0].attach(), 5)
    subject.call("Reprotect")
    subject.wait("stopped")


def test_data_of_the_secondary_disks_is_replicated_to_the_primary_disks(make):
    """After reverse replication is enabled, data stored on the original secondary disks is replicated to the original primary
    disks."""
    group = make("group")
    write(group.disks[0], 4)
    reverse(group)
    group.call("Start", group.south)
    group.wait("normal")
    group.wait_shipped(group.south)
    group.call("Failover", group.north)
    group.wait("failovered")
    assert holds(group.disks[0].attach(), 5)


def test_the_primary_and_secondary_sites_remain(make):
    """When a reverse replication is being performed, the primary and secondary sites of the replication pair-consistent group
    remain unchanged, but data is replicated from the secondary site to the primary site."""
    group = make("group")
    before = roles(group, group.north)
    assert before == {(group.north.region, group.north.zone, group.south.region, group.south.zone)}
    reverse(group)
    group.call("Start", group.south)
    group.wait("normal")
    for site in (group.north, group.south):
        assert roles(group, site) == before
        assert direction(group, site) == turned(group)


@pytest.mark.parametrize("state", ["created", "normal", "stopped"])
def test_the_group_must_be_failovered(still, state):
    """The replication pair-consistent group for which you want to enable reverse replication must be in the Failovered
    (failovered) state. (403 OperationDenied.InvalidStatus: The operation is not allowed in current status.)"""
    group = still("group", state)
    assert refusal(group.call, "Reprotect") == INVALID
    assert refusal(group.call, "Reprotect", ReverseReplicate="false") == INVALID
    assert group.state() == state


@pytest.mark.parametrize("state", ["initial_syncing", "syncing", "manual_syncing"])
def test_the_group_must_be_failovered_and_not_be_copied(make, state):
    """... must be in the Failovered (failovered) state."""
    group = make("group", state)
    assert refusal(group.call, "Reprotect") == INVALID
    assert group.state() == state


def test_failover_disk_replica_pair_enables_failover(make):
    """You can call the FailoverDiskReplicaPair operation to enable failover."""
    pair = make("pair")
    assert refusal(pair.call, "Reprotect") == INVALID
    pair.south.call("FailoverDiskReplicaPair", ReplicaPairId=pair.id)
    pair.wait("failovered")
    pair.disks[0].detach()
    pair.call("Reprotect")
    pair.wait("stopped")


def test_the_primary_disks_must_be_unattached(make):
    """Before a reverse replication is performed, the primary disks must be detached from its associated Elastic Compute Service
    (ECS) instance and must be in the Unattached state. (403 OperationDenied: The operation is not allowed.)"""
    group = make("group", pairs=2)
    group.call("Failover")
    group.wait("failovered")
    for disk in group.disks:
        assert refusal(group.call, "Reprotect") == DENIED
        assert group.state(group.south) == "failovered"
        disk.detach()
    group.call("Reprotect")
    group.wait("stopped")


def test_detach_disk_detaches_the_disks(make):
    """You can call the DetachDisk operation to detach the disks."""
    group = make("group", "failovered")
    check_only_a_request_id(group.north.call("DetachDisk", DiskId=group.disks[0].id, InstanceId="i-test"))
    group.disks[0].wait_status("Available")
    group.call("Reprotect")
    group.wait("stopped")


@pytest.mark.parametrize("kind", ["pair", "group"])
def test_only_start_again_replicates(make, kind):
    """After you enable reverse replication, you must call the StartDiskReplicaPair operation again to enable the async replication
    feature before data can be replicated from the original secondary disks to the original primary disks."""
    subject, running = make(kind), make("group")
    reverse(subject)
    epoch = running.row()["Offsite"]["RecoveryEpoch"]
    write(running.disks[0], 2)  # what runs goes on meanwhile
    until("a newer recovery point", lambda: running.row(running.south)["Offsite"]["RecoveryEpoch"] > epoch)
    for site in (subject.north, subject.south):
        assert subject.state(site) == "stopped"
    path = subject.disks[0].path
    assert holds(subject.copies[0], 5) and path.read_bytes()[:MIB] == bytes(MIB)
    subject.call("Start", subject.south)  # of a pair it is StartDiskReplicaPair, of a group StartDiskReplicaGroup
    subject.wait("normal")
    until("it is there", lambda: path.read_bytes()[:MIB] == b"\x05" * MIB)


def test_false_cancels_the_failovered_state(make):
    """You can set the ReverseReplicate parameter to false to cancel the Failovered (failovered) state and restore the original
    replication direction."""
    group = make("group")
    group.call("Failover")
    group.wait("failovered")
    group.call("Reprotect", ReverseReplicate="false")
    group.wait("stopped")
    for site in (group.north, group.south):
        assert direction(group, site) == {(group.north.zone, group.south.zone)}
    write(group.disks[0], 6)
    group.call("Start")
    group.wait("normal")
    group.wait_shipped()
    group.call("Failover")
    group.wait("failovered")
    assert holds(group.copies[0].attach(), 6)


def test_region_id_is_required(reprotect_none):
    """RegionId, string, Yes"""
    check_required(reprotect_none, "RegionId")


def test_region_id_is_that_of_the_group(still):
    """RegionId: ... (its text is that of ReplicaGroupId; the example, cn-shanghai, is the secondary site of seed 004's)."""
    group = still("group", "failovered")
    assert refusal(group.call, "Reprotect", RegionId="west") == NOWHERE


def test_not_allowed_on_the_primary_site(still):
    """403 OperationDenied.OperateNotAllowedForPrimary: Operation is not allowed on the primary site."""
    group = still("group", "failovered")
    for site in (group.north, group.south):
        assert refusal(group.call, "Reprotect", site, RegionId=group.north.region) == (
            403, "OperationDenied.OperateNotAllowedForPrimary")
    assert group.state() == "failovered"


def test_replica_group_id_is_required(reprotect_none):
    """ReplicaGroupId, string, Yes"""
    check_required(reprotect_none, "ReplicaGroupId")


def test_describe_gives_the_id(make):
    """The ID of the replication pair-consistent group. You can call the DescribeDiskReplicaGroups operation to query the IDs of
    replication pair-consistent groups."""
    group = make("group").fail_over()
    ids = [row["ReplicaGroupId"] for row in group.south.groups(PageSize=100) if row["Status"] == "failovered"]
    assert group.id in ids
    group.call("Reprotect", ReplicaGroupId=ids[ids.index(group.id)])
    group.wait("stopped")


def test_a_token_ensures_idempotence(make):
    """The client token that is used to ensure the idempotence of the request."""
    group = make("group").fail_over()
    for _ in range(2):
        check_only_a_request_id(group.call("Reprotect", ClientToken="002-again"))
        group.wait("stopped")
    assert direction(group, group.south) == turned(group)
    assert refusal(group.call, "Reprotect", group.north, ClientToken="002-other") == INVALID


def test_a_token_is_unique_among_requests(make):
    """You can use the client to generate the token, but you must make sure that the token is unique among different requests."""
    group = make("group").fail_over()
    group.call("Reprotect", ClientToken="002-unique")
    for other in ({"ReplicaGroupId": "pg-none"}, {"ReverseReplicate": "false"}):
        assert refusal(group.call, "Reprotect", ClientToken="002-unique", **other) == (400, "IdempotentParameterMismatch")
    group.wait("stopped")


def test_a_token_is_ascii(reprotect_none):
    """The token can contain only ASCII characters ..."""
    check_token_characters(reprotect_none)


def test_a_token_has_64_characters_at_most(reprotect_none):
    """... and cannot exceed 64 characters in length."""
    check_token_length(reprotect_none)


def test_reverse_replicate_is_true_or_false(reprotect_none):
    """ReverseReplicate, boolean, No: Specifies whether to enable the reverse replication sub-feature. Valid values: true and
    false."""
    for good in ("true", "false"):
        assert refusal(reprotect_none, ReverseReplicate=good) == GONE
    for bad in ("yes", "1", "reverse"):
        assert refusal(reprotect_none, ReverseReplicate=bad) == (400, "InvalidParameter")


@pytest.mark.parametrize("more", [{}, {"ReverseReplicate": "true"}])
def test_reverse_replicate_is_true_by_default(make, more):
    """Default value: true."""
    group = make("group").fail_over()
    group.call("Reprotect", **more)
    group.wait("stopped")
    assert direction(group, group.south) == turned(group)


def test_the_answer_is_a_request_id(make):
    """RequestId, string: The request ID."""
    group = make("group").fail_over()
    check_only_a_request_id(group.call("Reprotect"))
    group.wait("stopped")


def test_no_pair_in_group(spare):
    """403 OperationDenied.NoPairInGroup: The operation is not allowed because no pair in the group."""
    until("known there", lambda: spare[0].state(spare[0].south) == "created")
    assert refusal(spare[0].call, "Reprotect") == (403, "OperationDenied.NoPairInGroup")


def test_no_such_resource(reprotect_none, still):
    """404 NoSuchResource: The specified resource does not exist."""
    assert refusal(reprotect_none) == GONE
    assert refusal(reprotect_none, ReplicaGroupId=still("pair", "stopped").id) == GONE


def test_the_request_is_timeout(still):
    """504 RequestTimeout: The request is timeout, please try again later."""
    group = still("group", "failovered")
    with lost(group.north, group.south):
        assert refusal(group.call, "Reprotect") == (504, "RequestTimeout")
        assert group.state(group.south) == "failovered"
