"""Each state of a pair and of a group that can be held still, reached honestly: every operation that the documents do not allow in
it is refused with the documents' code, and leaves the state as it was. What is allowed is what the other tests do."""

import os

import pytest

from offsite import ApiError, MIB, run, until

SLOW = 20_000  # bytes a second: a copy that lasts
INVALID = "OperationDenied.InvalidStatus"

# What StartDiskReplicaPair and its sisters accept, by the documents of each operation.
ALLOWED = {
    "pair": {
        "created": {"Start", "StartOneShot", "Modify", "Delete", "Add"},
        "initial_syncing": {"Stop"},
        "manual_syncing": {"Stop"},
        "normal": {"Stop", "Failover"},
        "stopped": {"Start", "StartOneShot", "Failover", "Modify", "Delete", "Add"},
        "failovered": {"Failover", "Reprotect", "Delete"},
        "deleting": {"Delete"},
    },
    "group": {
        "created": {"Start", "StartOneShot", "Modify", "Delete", "Add", "Remove"},
        "initial_syncing": {"Stop"},
        "manual_syncing": {"StartOneShot", "Stop"},
        "normal": {"Start", "Stop", "Failover"},
        "stopped": {"Start", "StartOneShot", "Stop", "Failover", "Modify", "Delete", "Add", "Remove"},
        "failovered": {"Failover", "Reprotect", "Delete", "Remove"},
    },
}
REFUSED_WITH = {"Add": {"pair": "OperationDenied.PairStatusCannotAddToGroup", "group": "OperationDenied.GroupStatusCannotAddPair"},
                "Remove": {"group": "OperationDenied.GroupStatusCannotRemovePair"}}


class Subject:
    """A pair, or a group of one pair, from north to south."""

    def __init__(self, kind, north, south, content):
        self.kind, self.north, self.south = kind, north, south
        disk, copy = north.disk(16 * MIB), south.make_disk(16 * MIB)
        run("qemu-io", "-f", "raw", "-c", f"write -s {content} 0 8M", "-c", "flush", disk.uri)
        where = {"SourceZoneId": north.zone, "DestinationRegionId": south.region, "DestinationZoneId": south.zone, "RPO": 2}
        self.disk, self.copy = disk, copy
        self.pair = north.call("CreateDiskReplicaPair", DiskId=disk.id, DestinationDiskId=copy.id, **where)["ReplicaPairId"]
        until("created", lambda: north.pairs(PairIds=self.pair)[0]["Status"] == "created")
        self.group = north.call("CreateDiskReplicaGroup", **where)["ReplicaGroupId"]
        if kind == "group":
            north.call("AddDiskReplicaPair", ReplicaGroupId=self.group, ReplicaPairId=self.pair)

    def state(self, site=None):
        site = site or self.north
        rows = site.pairs(PairIds=self.pair) if self.kind == "pair" else site.groups(GroupIds=self.group)
        return rows[0]["Status"]

    def wait(self, state):
        until(lambda: f"{state}: {self.state()}", lambda: self.state() == state)

    def call(self, verb):
        site = self.south if verb in ("Failover", "Reprotect") else self.north
        ids = {"ReplicaPairId": self.pair} if self.kind == "pair" else {"ReplicaGroupId": self.group}
        if verb in ("Add", "Remove"):
            return site.call(f"{verb}DiskReplicaPair", ReplicaGroupId=self.group, ReplicaPairId=self.other)
        more = {"OneShot": "true"} if verb == "StartOneShot" else {"Description": "another"} if verb == "Modify" else {}
        noun = "DiskReplicaPair" if self.kind == "pair" else "DiskReplicaGroup"
        return site.call(verb.replace("OneShot", "") + noun, **ids, **more)

    def make_other(self):
        """What is added: to a pair's test its own pair; to a group's, one that was just made."""
        if self.kind == "pair":
            self.other = self.pair
            return
        disk, copy = self.north.make_disk(MIB), self.south.make_disk(MIB)
        self.other = self.north.call("CreateDiskReplicaPair", SourceZoneId=self.north.zone, DiskId=disk.id, RPO=2,
                                     DestinationRegionId=self.south.region, DestinationZoneId=self.south.zone,
                                     DestinationDiskId=copy.id)["ReplicaPairId"]
        until("created", lambda: self.north.pairs(PairIds=self.other)[0]["Status"] == "created")

    def reach(self, state):
        slow = state in ("initial_syncing", "manual_syncing")
        self.north.call("ModifyOffsitePeer", ZoneId=self.south.zone, BytesPerSecond=SLOW if slow else 0)
        if state == "created":
            return
        if state == "deleting":  # the other site has to do its part
            self.south.kill()
            until("the link is seen to be down", lambda: not self.north.linked())
            self.call("Delete")
        else:
            self.call("StartOneShot" if state == "manual_syncing" else "Start")
            self.wait(state if slow else "normal")
        if state == "stopped":
            self.call("Stop")
        if state == "failovered":
            self.call("Failover")
        self.wait(state)


@pytest.mark.parametrize("kind, state", [(kind, state) for kind, table in ALLOWED.items() for state in table])
def test_what_a_state_does_not_allow_is_refused(two_sites, tmp_path, kind, state):
    content = tmp_path / "content"
    content.write_bytes(os.urandom(8 * MIB))
    subject = Subject(kind, *two_sites, content)
    subject.make_other()
    subject.reach(state)
    verbs = ["Start", "StartOneShot", "Stop", "Failover", "Reprotect", "Modify", "Delete", "Add"] + ["Remove"] * (kind == "group")
    for verb in verbs:
        if verb in ALLOWED[kind][state] or (state == "deleting" and verb in ("Failover", "Reprotect")):
            continue
        if verb == "Remove":
            subject.other = subject.pair
        with pytest.raises(ApiError) as refused:
            subject.call(verb)
        expected = REFUSED_WITH.get(verb, {}).get(kind, INVALID)
        assert (refused.value.status, refused.value.code) == (403, expected), (verb, refused.value)
        assert subject.state() == state, (verb, subject.state())
