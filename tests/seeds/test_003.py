"""StartDiskReplicaPair, sentence by sentence: seed 003."""

import os

import pytest

from offsite import MIB, run, until
from subjects import (DENIED, GONE, INVALID, NOWHERE,
                      check_only_a_request_id, check_required, check_token_characters, check_token_length,
                      holds, lost, refusal, write)


@pytest.fixture
def start_none(sites):
    """The operation on a pair that does not exist."""
    return lambda **more: sites[0].call("StartDiskReplicaPair", **{"ReplicaPairId": "pair-cn-none", **more})


def test_activates_a_replication_pair(make):
    """Activates a replication pair."""
    pair = make("pair", "created")
    write(pair.disks[0], 1)
    pair.call("Start")
    pair.wait("normal")
    write(pair.disks[0], 2, MIB)
    pair.wait_shipped()
    pair.call("Failover")
    pair.wait("failovered")
    copy = pair.copies[0].attach()
    assert holds(copy, 1) and holds(copy, 2, MIB)


@pytest.mark.parametrize("state", ["created", "stopped"])
@pytest.mark.parametrize("one_shot", ["true", "false"])
def test_created_and_stopped_pairs_can_be_activated(make, state, one_shot):
    """Only replication pairs that are in the Created (created) or Stopped (stopped) state can be activated."""
    pair = make("pair", state)
    check_only_a_request_id(pair.call("Start", OneShot=one_shot))
    pair.wait("normal" if one_shot == "false" else "stopped")


@pytest.mark.parametrize("state", ["normal", "failovered"])
def test_only_created_and_stopped_pairs_can_be_activated(still, state):
    """Only replication pairs that are in the Created (created) or Stopped (stopped) state can be activated. (403
    OperationDenied.InvalidStatus: The operation is not allowed in current status.)"""
    pair = still("pair", state)
    for one_shot in ("true", "false"):
        assert refusal(pair.call, "Start", OneShot=one_shot) == INVALID
        assert pair.state() == state


@pytest.mark.parametrize("state", ["initial_syncing", "syncing", "manual_syncing"])
def test_pairs_that_are_copied_cannot_be_activated(make, state):
    """Only replication pairs that are in the Created (created) or Stopped (stopped) state can be activated."""
    pair = make("pair", state)
    for one_shot in ("true", "false"):
        assert refusal(pair.call, "Start", OneShot=one_shot) == INVALID
        assert pair.state() == state


def test_a_pair_that_is_deleted_cannot_be_activated(make):
    """Only replication pairs that are in the Created (created) or Stopped (stopped) state can be activated."""
    pair = make("pair", "stopped")
    with lost(pair.south, pair.north):  # it has to do its part
        pair.call("Delete")
        assert pair.state() == "deleting"
        assert refusal(pair.call, "Start") == INVALID
    pair.wait("deleted")
    assert refusal(pair.call, "Start") == GONE


def test_it_enters_initial_syncing_and_replicates_all_data(make, tmp_path):
    """After a replication pair is activated, it enters the Initial Syncing (initial_syncing) state and the system performs the
    first asynchronous replication to replicate all data from the primary disk to the secondary disk."""
    pair = make("pair", "created")
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 8M", "-c", "flush", pair.disks[0].uri)
    pair.north.call("ModifyOffsitePeer", ZoneId=pair.south.zone, BytesPerSecond=20_000)
    pair.call("Start")
    pair.wait("initial_syncing")
    pair.north.call("ModifyOffsitePeer", ZoneId=pair.south.zone, BytesPerSecond=0)
    pair.wait("normal")
    pair.call("Failover")
    pair.wait("failovered")
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", content, pair.copies[0].attach().uri)


def test_region_id_is_required(start_none):
    """RegionId, string, Yes"""
    check_required(start_none, "RegionId")


@pytest.mark.parametrize("key", ["SourceRegion", "DestinationRegion"])
def test_region_id_is_that_of_either_disk(make, key):
    """The region ID of the primary or secondary disk in the replication pair. You can call the DescribeDiskReplicaPairs operation
    to query the region information of replication pairs."""
    pair = make("pair", "created")
    row = pair.north.pairs(PairIds=pair.id)[0]
    site = {pair.north.region: pair.north, pair.south.region: pair.south}[row[key]]
    assert refusal(pair.call, "Start", site, RegionId="west") == NOWHERE
    pair.call("Start", site, RegionId=row[key])
    pair.wait("normal")


def test_replica_pair_id_is_required(start_none):
    """ReplicaPairId, string, Yes"""
    check_required(start_none, "ReplicaPairId")


def test_replica_pair_id_is_that_of_the_pair(make, still):
    """The ID of the replication pair."""
    pair, other = make("pair", "created"), still("pair", "stopped")
    assert pair.id.startswith("pair-cn-") and pair.id != other.id
    pair.call("Start")
    pair.wait("normal")
    assert other.state() == "stopped"


def test_a_token_ensures_idempotence(make):
    """The client token that is used to ensure the idempotence of the request."""
    pair = make("pair", "created")
    for _ in range(2):
        check_only_a_request_id(pair.call("Start", ClientToken="003-again"))
        pair.wait("normal")
    assert refusal(pair.call, "Start", ClientToken="003-other") == INVALID


def test_a_token_is_unique_among_requests(make):
    """You can use the client to generate the token, but you must make sure that the token is unique among different requests."""
    pair = make("pair", "created")
    pair.call("Start", ClientToken="003-unique")
    for other in ({"ReplicaPairId": "pair-cn-none"}, {"OneShot": "true"}):
        assert refusal(pair.call, "Start", ClientToken="003-unique", **other) == (400, "IdempotentParameterMismatch")
    pair.wait("normal")


def test_a_token_is_ascii(start_none):
    """The token can contain only ASCII characters ..."""
    check_token_characters(start_none)


def test_a_token_has_64_characters_at_most(start_none):
    """... and cannot exceed 64 characters in length."""
    check_token_length(start_none)


def test_one_shot_is_true_or_false(start_none):
    """OneShot, boolean, No: Specifies whether to immediately synchronize data. Valid values: ..."""
    for good in ("true", "false"):
        assert refusal(start_none, OneShot=good) == GONE
    for bad in ("yes", "1", "now"):
        assert refusal(start_none, OneShot=bad) == (400, "InvalidParameter")


def test_one_shot_true_synchronizes_immediately(make):
    """true: immediately synchronizes data."""
    pair = make("pair", "stopped", rpo=86400)  # a day is too long to wait for
    write(pair.disks[0], 7)
    pair.call("Start", OneShot="true")
    pair.wait("stopped")
    pair.call("Failover")
    pair.wait("failovered")
    assert holds(pair.copies[0].attach(), 7)


@pytest.mark.parametrize("more", [{}, {"OneShot": "false"}])
def test_one_shot_false_synchronizes_based_on_the_rpo(make, more):
    """false: synchronizes data based on the recovery point objective (RPO). / Default value: false."""
    pair = make("pair", "created", rpo=1)
    pair.call("Start", **more)
    pair.wait("normal")
    for round_ in range(3):  # again and again, and nobody asks for it
        epoch = pair.row(pair.south)["Offsite"]["RecoveryEpoch"]
        write(pair.disks[0], 10 + round_)
        until("a newer recovery point", lambda: pair.row(pair.south)["Offsite"]["RecoveryEpoch"] > epoch)
        assert pair.state() in ("normal", "syncing")


def test_one_shot_true_does_so_once(make):
    """true: immediately synchronizes data. (It does not stay active: that is what false is for.)"""
    pair = make("pair", "created")
    pair.call("Start", OneShot="true")
    pair.wait("stopped")
    assert pair.row()["LastRecoverPoint"] > 0


def test_the_answer_is_a_request_id(make):
    """RequestId, string: The request ID."""
    pair = make("pair", "created")
    check_only_a_request_id(pair.call("Start"))
    pair.wait("normal")


def test_standby_device_attached(make):
    """400 OperationDenied.StandbyDeviceAttached: The secondary disk is attached to the instance at the secondary site. Stop the
    instance or detach the disk from the instance."""
    pair = make("pair", "created")
    pair.copies[0].attach()
    assert refusal(pair.call, "Start") == (400, "OperationDenied.StandbyDeviceAttached")
    assert pair.state() == "created"
    pair.copies[0].detach()
    pair.call("Start")
    pair.wait("normal")


def test_a_pair_of_a_group_is_not_started_alone(still):
    """403 OperationDenied: The operation is not allowed."""
    group = still("group", "stopped")
    assert refusal(group.north.call, "StartDiskReplicaPair", ReplicaPairId=group.pairs[0]) == DENIED
    assert group.state() == "stopped"


def test_manual_sync_limit(make):
    """403 OperationDenied.ManualSyncLimit: The requirements of the cooldown period after manual synchronization operations are not
    met."""
    pair = make("pair", "created", rpo=86400)  # the period is half of it
    pair.call("Start", OneShot="true")
    pair.wait("stopped")
    assert refusal(pair.call, "Start", OneShot="true") == (403, "OperationDenied.ManualSyncLimit")
    assert pair.state() == "stopped"
    pair.call("Start")  # only one-shots have one
    pair.wait("normal")


def test_no_such_resource(start_none, still):
    """404 NoSuchResource: The specified resource does not exist."""
    assert refusal(start_none) == GONE
    assert refusal(start_none, ReplicaPairId=still("group", "stopped").id) == GONE


def test_an_internal_error(make):
    """500 InternalError: The request processing has failed due to some unknown error, exception or failure."""
    pair = make("pair", "created")
    units, aside = pair.north.folder / "units", pair.north.folder / "aside"
    units.rename(aside)  # no place for the pair's record
    try:
        assert refusal(pair.call, "Start") == (500, "InternalError")
    finally:
        aside.rename(units)


def test_the_request_is_timeout(make):
    """504 RequestTimeout: The request is timeout, please try again later."""
    pair = make("pair", "created")
    with lost(pair.south, pair.north):
        assert refusal(pair.call, "Start") == (504, "RequestTimeout")
        assert pair.state() == "created"
    pair.call("Start")
    pair.wait("normal")
