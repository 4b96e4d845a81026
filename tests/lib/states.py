"""Every state of a pair and of a group, reached at two real sites by what leads there. Those that pass too quickly are held by the
hook of src/control/hold.h, which a build with -Dhold=true has."""

import contextlib
import os
import re
import sqlite3
import threading

import pytest

from offsite import ApiError, MIB, OFFSITED, make_two_sites, run, until, wait_linked

SLOW = 20_000  # bytes a second: a copy that lasts
HOOKED = b"OFFSITE_HOLD" in OFFSITED.read_bytes()

SOUTHERN = ("Failover", "Reprotect", "Cancel", "Switchover")  # asked at the secondary's site; the rest at the primary's
ENDS = {"initial_syncing": "normal", "syncing": "normal", "manual_syncing": "stopped", "stopping": "stopped",
        "failovering": "failovered", "reprotecting": "stopped", "deleting": "gone"}

# No operation leads there today: one that fails leaves the state as it was, or is tried again until it is done. A record of another
# version may say so. By its number there; what is read back is the name.
RECORDED = {"create_failed": (2, "created"), "reprotect_failed": (14, "stopped"), "delete_failed": (16, "stopped"),
            "deleted": (17, "created")}


def read_table(text):
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return {row[0]: dict(zip(head, row[1:], strict=True)) for row in rows}


class World:
    """Two sites whose states can be held."""

    def __init__(self, folder):
        self.sites = self.north, self.south = make_two_sites(folder)
        for site in self.sites:
            site.hold_path = site.folder / "hold"
            site.environment = {"OFFSITE_HOLD": str(site.hold_path)}
        self.content = folder / "content"
        self.content.write_bytes(os.urandom(MIB))
        self.threads = []

    def restart(self, change=lambda: None):
        for site in self.sites:
            site.kill()
        change()
        for site in self.sites:
            site.start()
        wait_linked(*self.sites)

    def limit(self, rate):
        self.north.call("ModifyOffsitePeer", ZoneId=self.south.zone, BytesPerSecond=rate)

    def hold(self, site, word, state):
        if not HOOKED:
            pytest.skip("this build has no hook: configure with -Dhold=true")
        site.hold_path.with_suffix(".new").write_text(f"{word} {state}\n")
        site.hold_path.with_suffix(".new").rename(site.hold_path)

    def release(self):
        for site in self.sites:
            site.hold_path.unlink(missing_ok=True)

    def begin(self, call):
        """A call that is answered when what is held is released; what it says then is nobody's concern."""
        def work():
            with contextlib.suppress(ApiError, OSError):
                call()
        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()


@contextlib.contextmanager
def running_world(folder):
    one = World(folder)
    with contextlib.ExitStack() as stack:
        for site in one.sites:
            stack.callback(site.close)
        for site in one.sites:
            site.start()
        wait_linked(*one.sites)
        try:
            yield one
        finally:
            one.release()
            for thread in one.threads:
                thread.join()


class Subject:
    """A pair, or a group of one pair, from north to south."""

    def __init__(self, world, kind, empty=False, rpo=1):
        self.world, self.kind, self.north, self.south = world, kind, world.north, world.south
        self.where = {"SourceZoneId": self.north.zone, "DestinationRegionId": self.south.region,
                      "DestinationZoneId": self.south.zone, "RPO": rpo}
        self.disk, self.copy = self.north.make_disk(2 * MIB), self.south.make_disk(2 * MIB)
        self.other = None
        self.group = self.north.call("CreateDiskReplicaGroup", **self.where)["ReplicaGroupId"]
        self.pair = self.north.call("CreateDiskReplicaPair", **self.parameters())["ReplicaPairId"]
        if kind == "group" and not empty:
            self.north.call("AddDiskReplicaPair", ReplicaGroupId=self.group, ReplicaPairId=self.pair)
        self.empty = empty
        self.id = self.pair if kind == "pair" else self.group

    def parameters(self):
        return {**self.where, "DiskId": self.disk.id, "DestinationDiskId": self.copy.id}

    def row(self, site):
        rows = site.pairs(PairIds=self.id) if self.kind == "pair" else site.groups(GroupIds=self.id)
        return rows[0] if rows else {"Status": "gone"}

    def states(self):
        return [self.row(site)["Status"] for site in self.world.sites]

    def wait(self, state):
        until(lambda: f"{state} at both sites: {self.states()}", lambda: self.states() == [state, state])

    def message(self, site):
        row = self.row(site)
        return row["StatusMessage"] if self.kind == "pair" else row["Offsite"]["Reason"]

    def site_of(self, verb):
        return self.south if verb in SOUTHERN else self.north

    def call(self, verb, site=None):
        site = site or self.site_of(verb)
        ids = {"ReplicaPairId": self.pair} if self.kind == "pair" else {"ReplicaGroupId": self.group}
        noun = "DiskReplicaPair" if self.kind == "pair" else "DiskReplicaGroup"
        if verb in ("Add", "Remove"):
            pair = self.pair if verb == "Remove" or self.kind == "pair" else self.make_other()
            return site.call(f"{verb}DiskReplicaPair", ReplicaGroupId=self.group, ReplicaPairId=pair)
        if verb == "Create":
            return site.call("CreateDiskReplicaPair", **self.parameters())
        if verb == "Discard":
            return site.call(f"{verb}{noun}Divergence", **ids)
        more = {"OneShot": {"OneShot": "true"}, "Modify": {"Description": "another"},
                "Cancel": {"ReverseReplicate": "false"}}.get(verb, {})
        return site.call({"OneShot": "Start", "Cancel": "Reprotect"}.get(verb, verb) + noun, **ids, **more)

    def make_other(self):
        """What is added to a group: a pair in the group's state, if that is one of the two that can be added."""
        if self.empty:
            return self.pair
        if self.other is None:
            self.other = Subject(self.world, "pair")
            if self.states()[0] == "stopped":
                reach(self.world, "stopped", [self.other])
        return self.other.pair

    def write(self):
        self.disk.attach()
        run("qemu-io", "-f", "raw", "-c", f"write -s {self.world.content} 0 1M", "-c", "flush", self.disk.uri)
        self.disk.detach()

    def began(self, state, then):
        """Which changes the sites' logs tell: the operation's own, not what came over from the other site."""
        line = re.compile(rf"{self.kind}\.state.* id={self.id} from={state} to={then}$", re.MULTILINE)
        return any(line.search(site.log()) for site in self.world.sites)


def everyone(subjects, verb, state):
    for subject in subjects:
        subject.call(verb)
    for subject in subjects:
        subject.wait(state)


def lose_disks(world, subjects):
    """Their files at the primary are not there when it starts."""
    paths = [subject.disk.path for subject in subjects]
    world.north.kill()
    for path in paths:
        path.unlink()
    world.north.start()
    wait_linked(*world.sites)


def record(world, state, subjects):
    def change():
        for site in world.sites:
            with contextlib.closing(sqlite3.connect(site.folder / "catalog.sqlite", isolation_level=None)) as catalog:
                for subject in subjects:
                    assert catalog.execute("UPDATE record SET body = json_set(body, '$.state', ?) WHERE id = ?",
                                           (RECORDED[state][0], subject.id)).rowcount == 1
    world.restart(change)


def reach(world, state, subjects):
    """Brings the subjects, which are new, to this state at both sites, by what leads there."""
    one = subjects[0]
    before = {"syncing": "stopped", "manual_syncing": "stopped", "normal": "created", "stopped": "normal", "stopping": "normal",
              "stop_failed": "normal", "failovering": "normal", "failover_failed": "normal", "failovered": "normal",
              "reprotecting": "failovered", "deleting": "created", "invalid": "stopped"}.get(state, "created")
    before = RECORDED[state][1] if state in RECORDED else before
    if before != "created":
        reach(world, before, subjects)
    if state == "normal":
        everyone(subjects, "Start", "normal")
    elif state == "stopped":
        everyone(subjects, "Stop", "stopped")
    elif state == "failovered":
        everyone(subjects, "Failover", "failovered")
    elif state in ("initial_syncing", "syncing", "manual_syncing"):
        for subject in subjects:
            subject.write()
        world.limit(SLOW)
        everyone(subjects, "OneShot" if state == "manual_syncing" else "Start", state)
    elif state in ("stopping", "failovering"):
        verb = {"stopping": "Stop", "failovering": "Failover"}[state]
        world.hold(one.site_of(verb), "hold", state)
        for subject in subjects:
            world.begin(lambda subject=subject: subject.call(verb))
    elif state in ("stop_failed", "failover_failed"):
        verb, passes = {"stop_failed": ("Stop", "stopping"), "failover_failed": ("Failover", "failovering")}[state]
        world.hold(one.site_of(verb), "fail", passes)
        for subject in subjects:
            check_refused(subject, verb, subject.site_of(verb), 500, "InternalError")
        world.release()
    elif state == "reprotecting":
        world.hold(world.south, "hold", state)
        everyone(subjects, "Reprotect", state)
    elif state == "deleting":
        for site in world.sites:
            world.hold(site, "hold", state)
        everyone(subjects, "Delete", state)
    elif state == "invalid":
        lose_disks(world, subjects)
    elif state in RECORDED:
        record(world, state, subjects)
    for subject in subjects:
        subject.wait(state)


def check_refused(subject, verb, site, status, code):
    with pytest.raises(ApiError) as refused:
        subject.call(verb, site)
    assert (refused.value.status, refused.value.code) == (status, code), (verb, site.region, refused.value)
