"""What the seed documents speak of: replication pairs and replication pair-consistent groups, between two real sites; and the
checks that the four documents have in common."""

import contextlib
import os
import re
import sqlite3
import string

import pytest

from offsite import ApiError, MIB, run, until, wait_linked

INVALID = (403, "OperationDenied.InvalidStatus")
DENIED = (403, "OperationDenied")
GONE = (404, "NoSuchResource")
NOWHERE = (404, "InvalidRegionId.NotFound")  # there is no such region at all
REQUEST_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
SLOW = 20_000  # bytes a second: what is copied at that rate lasts as long as it is looked at
STATES = ("creating created create_failed initial_syncing syncing normal manual_syncing stopping stopped stop_failed failovering "
          "failovered failover_failed").split()  # as numbered in the catalog


def refusal(call, *arguments, **parameters):
    """Status and code of the refusal that the call must meet."""
    with pytest.raises(ApiError) as refused:
        call(*arguments, **parameters)
    assert refused.value.message
    return refused.value.status, refused.value.code


def write(disk, pattern, offset=0, length=MIB):
    run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {length}", "-c", "flush", disk.uri)


def holds(disk, pattern, offset=0, length=MIB):
    answer = run("qemu-io", "-r", "-f", "raw", "-c", f"read -P {pattern} {offset} {length}", disk.uri)
    return "Pattern verification failed" not in answer.stdout


class Subject:
    """A pair, or a group of pairs, from north to south."""

    def __init__(self, north, south, kind, pairs=1, rpo=1, size=8 * MIB):
        self.north, self.south, self.kind, self.rpo = north, south, kind, rpo
        self.disks, self.copies, self.pairs = [], [], []
        for _ in range(pairs):
            self.disks.append(north.disk(size))
            self.copies.append(south.make_disk(size))
            self.pairs.append(self.create("Pair", DiskId=self.disks[-1].id, DestinationDiskId=self.copies[-1].id))
        if kind == "group":
            self.id = self.create("Group")
            for pair in self.pairs:
                north.call("AddDiskReplicaPair", ReplicaGroupId=self.id, ReplicaPairId=pair)
            until("the other site knows its pairs", lambda: len(self.members(south)) == pairs and all(
                row["ReplicaGroupId"] == self.id for row in self.members(south)))
            self.wait("created")
        else:
            self.id, = self.pairs

    def create(self, noun, **more):
        answer = self.north.call(f"CreateDiskReplica{noun}", SourceZoneId=self.north.zone, DestinationZoneId=self.south.zone,
                                 DestinationRegionId=self.south.region, RPO=self.rpo, **more)
        return answer[f"Replica{noun}Id"]

    def row(self, site=None):
        site = site or self.north
        rows = site.groups(GroupIds=self.id) if self.kind == "group" else site.pairs(PairIds=self.id)
        return rows[0] if rows else {"Status": "deleted"}

    def state(self, site=None):
        return self.row(site)["Status"]

    def wait(self, state, *sites):
        for site in sites or (self.north, self.south):
            until(lambda site=site: f"{self.id} {state} at {site.zone}: {self.row(site)}",
                  lambda site=site: self.state(site) == state)

    def members(self, site):
        return [row for row in site.pairs(PageSize=100) if row["ReplicaPairId"] in self.pairs]

    def call(self, verb, site=None, **parameters):
        """At the site where it belongs: the primary's, but for those that are asked of the secondary's."""
        site = site or (self.south if verb in ("Failover", "Reprotect") else self.north)
        key = "ReplicaGroupId" if self.kind == "group" else "ReplicaPairId"
        return site.call(f"{verb}DiskReplica{self.kind.title()}", **{key: self.id, **parameters})

    def wait_shipped(self, site=None):
        until(lambda: f"nothing left to ship: {self.row(site)}",
              lambda: self.row(site)["Offsite"]["DirtyBytes"] == 0 and self.row(site)["Offsite"]["State"] == "cycling")

    def slow_down(self):
        """From here on a copy of it lasts. Random bytes, which nothing makes fewer."""
        content = self.north.folder / "content"
        content.write_bytes(os.urandom(8 * MIB))
        for disk in self.disks:
            run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 8M", "-c", "flush", disk.uri)
        self.north.call("ModifyOffsitePeer", ZoneId=self.south.zone, BytesPerSecond=SLOW)

    def reach(self, state):
        if state == "created":
            return self
        if state == "initial_syncing":
            self.slow_down()
            self.call("Start")
            self.wait(state)
            return self
        self.call("Start")
        self.wait("normal")
        if state == "failovered":
            self.call("Failover")
        elif state != "normal":
            self.call("Stop")
            self.wait("stopped")
        if state in ("syncing", "manual_syncing"):  # it was a copy once, and is being made one again
            self.slow_down()
            self.call("Start", OneShot=str(state == "manual_syncing").lower())
        self.wait(state)
        return self

    def fail_over(self):
        """And let go of the primary disks."""
        self.call("Failover")
        self.wait("failovered")
        for disk in self.disks:
            if disk.row()["Status"] == "In_use":
                disk.detach()
        return self


@contextlib.contextmanager
def lost(site, *others):
    """Meanwhile the site is dead, and the others know."""
    site.kill()
    for other in others:
        until("the link is seen to be down", lambda other=other: site.zone not in other.linked())
    try:
        yield
    finally:
        site.start()
        wait_linked(site, *others)


def write_states(site, states):
    """In the catalog of a site that is down: {subject: state}, as a crash or a fault would have left it."""
    with contextlib.closing(sqlite3.connect(site.folder / "catalog.sqlite", isolation_level=None)) as catalog:
        for subject, state in states.items():
            changed = catalog.execute("UPDATE record SET body = json_set(body, '$.state', ?) WHERE id = ?",
                                      (STATES.index(state), subject.id))
            assert changed.rowcount == 1


# --- what the documents have in common; `call` is the operation with an id that does not exist, or must not matter

def check_only_a_request_id(answer):
    assert set(answer) == {"RequestId"}, answer
    assert isinstance(answer["RequestId"], str) and REQUEST_ID.fullmatch(answer["RequestId"]), answer


def check_required(call, name):
    """The parameter may not be missing, nor be empty."""
    assert refusal(call, **{name: ""}) == (400, f"Missing{name}")


def check_token_characters(call):
    for token in (string.printable[:94], " ", "a b"):  # all that can be seen, and the blank
        for part in (token[:64], token[64:]):
            assert refusal(call, ClientToken=part) == GONE, part
    for token in ("t\u00e9", "\u4ee4\u724c"):
        assert refusal(call, ClientToken=token) == (400, "InvalidParameter"), token


def check_token_length(call):
    assert refusal(call, ClientToken="t" * 64) == GONE
    assert refusal(call, ClientToken="t" * 65) == (400, "InvalidParameter")
