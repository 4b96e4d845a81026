"""Every state of a pair and of a group, each operation in it, at both sites: the answer, the state it leads to, and how that ends.

The tables below are typed in by hand from the operations' pages and the facts page, not taken from the code. States are reached by
what leads there. Those that pass too quickly are held by the hook of src/control/hold.h, which a build with -Dhold=true has."""

import contextlib
import os
import re
import sqlite3
import threading

import pytest

from offsite import ApiError, MIB, OFFSITED, make_two_sites, run, until, wait_linked

SLOW = 20_000  # bytes a second: a copy that lasts
HOOKED = b"OFFSITE_HOLD" in OFFSITED.read_bytes()

# Cells: a state is what an accepted operation leads to at once, = is accepted and the state stays, the others are refusals (CODES).
PAIRS = """
                 Start            OneShot         Stop      Failover     Reprotect  Cancel   Switchover Scrub  Modify Delete   Add
creating         -                -               -         -            -          -        -          -      -      -        no-add
created          initial_syncing  manual_syncing  -         -            -          -        -          -      =      deleting =
create_failed    -                -               -         -            -          -        -          -      -      deleting no-add
initial_syncing  -                -               stopping  -            -          -        -          -      -      -        no-add
syncing          -                -               stopping  failovering  -          -        turning    =      -      -        no-add
normal           -                -               stopping  failovering  -          -        turning    =      -      -        no-add
manual_syncing   -                -               stopping  failovering  -          -        -          -      -      -        no-add
stopping         -                -               =         failovering  -          -        -          -      -      -        no-add
stopped          syncing          manual_syncing  -         failovering  -          -        -          -      =      deleting conflict
stop_failed      -                -               stopping  failovering  -          -        -          -      -      -        no-add
failovering      -                -               -         =            -          -        -          -      -      -        no-add
failovered       -                -               -         =            turning    turning  -          -      -      deleting no-add
failover_failed  -                -               -         failovering  -          -        -          -      -      -        no-add
reprotecting     -                -               -         -            -          -        -          -      -      -        no-add
reprotect_failed -                -               -         -            turning    turning  -          -      -      -        no-add
deleting         -                -               -         -            -          -        -          -      -      =        no-add
delete_failed    -                -               -         -            -          -        -          -      -      deleting no-add
deleted          -                -               -         -            -          -        -          -      -      -        no-add
invalid          -                -               -         -            -          -        -          -      -      deleting no-add
"""

# Of a group of one pair; "empty" is created, without one, and a group that is being deleted has none any more. A group is created
# at once: it is never seen "creating".
GROUPS = """
                 Start           OneShot        Stop     Failover    Reprotect Cancel  Switchover Scrub  Modify Delete   Add   Remove
empty            empty           empty          -        empty       empty     empty   empty      empty  =      deleting =     not-in
created          initial_syncing manual_syncing -        -           -         -       -          -      =      pairs    =     =
create_failed    -               -              -        -           -         -       -          -      -      pairs   no-add no-rm
initial_syncing  -               -              stopping -           -         -       -          -      -      -       no-add no-rm
syncing          =               -              stopping failovering -         -       turning    =      -      -       no-add no-rm
normal           =               -              stopping failovering -         -       turning    =      -      -       no-add no-rm
manual_syncing   -               =              stopping failovering -         -       -          -      -      -       no-add no-rm
stopping         -               -              =        failovering -         -       -          -      -      -       no-add no-rm
stopped          syncing         manual_syncing =        failovering -         -       -          -      =      pairs    =     =
stop_failed      -               -              stopping failovering -         -       -          -      -      -       no-add no-rm
failovering      -               -              -        =           -         -       -          -      -      -       no-add no-rm
failovered       -               -              -        =           turning   turning -          -      -      pairs   no-add =
failover_failed  -               -              -        failovering -         -       -          -      -      -       no-add no-rm
reprotecting     -               -              -        -           -         -       -          -      -      -       no-add no-rm
reprotect_failed -               -              -        -           turning   turning -          -      -      -       no-add no-rm
deleting         empty           empty          -        empty       empty     empty   empty      empty  -      =       no-add not-in
delete_failed    -               -              -        -           -         -       -          -      -      pairs   no-add no-rm
deleted          -               -              -        -           -         -       -          -      -      -       no-add no-rm
invalid          -               -              -        -           -         -       -          -      -      pairs   no-add =
"""

CODES = {"-": "InvalidStatus", "conflict": "PairGroupStatusConflict", "pairs": "GroupHasPair", "empty": "NoPairInGroup",
         "not-in": "PairNotInGroup", "no-rm": "GroupStatusCannotRemovePair",
         "no-add": {"pair": "PairStatusCannotAddToGroup", "group": "GroupStatusCannotAddPair"}}
STATES = {"turning": "reprotecting"}
SOUTHERN = ("Failover", "Reprotect", "Cancel", "Switchover")  # asked at the secondary's site; the rest at the primary's
NOT_AT_PRIMARY = ("Failover", "Reprotect", "Cancel")
ENDS = {"initial_syncing": "normal", "syncing": "normal", "manual_syncing": "stopped", "stopping": "stopped",
        "failovering": "failovered", "reprotecting": "stopped", "deleting": "gone"}

# No operation leads there today: one that fails leaves the state as it was, or is tried again until it is done. A record of another
# version may say so. By its number there; what is read back is the name.
RECORDED = {"create_failed": (2, "created"), "reprotect_failed": (14, "stopped"), "delete_failed": (16, "stopped"),
            "deleted": (17, "created")}


def read_table(text):
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return {row[0]: dict(zip(head, row[1:], strict=True)) for row in rows}


TABLES = {"pair": read_table(PAIRS), "group": read_table(GROUPS)}


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


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
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


def code_of(cell, kind):
    code = CODES.get(cell)
    return code[kind] if isinstance(code, dict) else code


def check_what_stays(subject, state, row):
    """What is refused, what changes nothing, and what is the same in every state: at both sites, and the state stays."""
    states = subject.states()
    for site in subject.world.sites:
        for verb, cell in row.items():
            if site is subject.north and verb in NOT_AT_PRIMARY:
                check_refused(subject, verb, site, 403, "OperationDenied.OperateNotAllowedForPrimary")
            elif code_of(cell, subject.kind):
                check_refused(subject, verb, site, 403, "OperationDenied." + code_of(cell, subject.kind))
            elif cell == "=" and verb not in ("Add", "Remove"):
                subject.call(verb, site)
            assert subject.states() == states, (verb, site.region, subject.states())
        check_refused(subject, "Discard", site, 403, "OperationDenied.InvalidStatus")
        check_refused(subject, "Create", subject.north, 403, "OperationDenied")
        subject.call("Preview", site)
        assert subject.row(site)["Status"] == state and subject.states() == states
    if row["Modify"] == "=":
        assert [subject.row(site)["Description"] for site in subject.world.sites] == ["another"] * 2


def check_what_changes(subject, state, verb, cell):
    """An accepted operation: what it leads to at once is in the log, however short it was."""
    then = STATES.get(cell, cell)
    if cell == "=":
        until("its member", lambda: (subject.row(subject.south).get("PairNumber", 0) > 0) == (verb == "Add") or
              subject.kind == "pair" and subject.row(subject.south)["ReplicaGroupId"] == subject.group)
        subject.wait(state)
        return
    until(f"{verb}: from {state} to {then}", lambda: subject.began(state, then))
    if verb == "Switchover":
        until("turned", lambda: all(row["SourceZoneId"] == subject.south.zone for row in map(subject.row, subject.world.sites)))
    subject.wait("normal" if verb == "Switchover" else ENDS[then])


def sites_for(subject_world, verb):
    return (subject_world.south,) if verb in NOT_AT_PRIMARY else subject_world.sites


@pytest.mark.parametrize("kind, state", [(kind, state) for kind, table in TABLES.items() for state in table if state != "creating"])
def test_each_operation_in_each_state(world, kind, state):
    row = TABLES[kind][state]
    wanted = [(verb, cell, site) for verb, cell in row.items() if not code_of(cell, kind) and
              (cell != "=" or verb in ("Add", "Remove")) for site in sites_for(world, verb)]
    empty = kind == "group" and state in ("empty", "deleting")
    subjects = [Subject(world, kind, empty) for _ in range(len(wanted) + 1)]
    state = "created" if state == "empty" else state
    reach(world, state, subjects)
    check_what_stays(subjects[0], state, row)
    for subject, (verb, cell, site) in zip(subjects[1:], wanted, strict=True):
        if verb in ("Stop", "Failover") and state in ("stopping", "failovering"):
            world.begin(lambda subject=subject, verb=verb, site=site: subject.call(verb, site))
        else:
            subject.call(verb, site)
    world.release()
    world.limit(0)
    for subject, (verb, cell, site) in zip(subjects[1:], wanted, strict=True):
        check_what_changes(subject, state, verb, cell)
    if HOOKED and state in ENDS:
        subjects[0].wait(ENDS[state])


def test_a_pair_that_is_being_created(world):
    """Its id is told when it is created, so it is not listed; the other site does not know it yet."""
    world.hold(world.north, "hold", "creating")
    subject = Subject.__new__(Subject)
    maker = threading.Thread(target=subject.__init__, args=(world, "pair"))
    maker.start()
    log = world.north.wait_log("state=creating")
    subject.pair = subject.id = re.search(r"hold\.held.* id=(\S+) state=creating", log)[1]
    for verb, cell in TABLES["pair"]["creating"].items():
        code = "OperateNotAllowedForPrimary" if verb in NOT_AT_PRIMARY else code_of(cell, "pair")
        check_refused(subject, verb, world.south, 404, "NoSuchResource")
        if verb == "Switchover":
            check_refused(subject, verb, world.north, 404, "NoSuchResource")  # the secondary's site would do it
        else:
            check_refused(subject, verb, world.north, 403, "OperationDenied." + code)
    check_refused(subject, "Create", world.north, 403, "OperationDenied")
    assert subject.states() == ["gone", "gone"]
    world.release()
    maker.join()
    subject.wait("created")


def test_a_pair_in_a_group_is_left_to_the_group(world):
    group = Subject(world, "group")
    group.kind, group.id = "pair", group.pair
    for site in world.sites:
        for verb in ("Start", "OneShot", "Stop", "Failover", "Reprotect", "Cancel", "Switchover", "Scrub", "Modify", "Delete"):
            check_refused(group, verb, site, 403, "OperationDenied")
    assert group.states() == ["created", "created"]


@pytest.mark.parametrize("kind", TABLES)
def test_one_shots_are_half_an_rpo_apart(world, kind):
    subject = Subject(world, kind, rpo=900)
    everyone([subject], "OneShot", "stopped")
    for site in world.sites:
        check_refused(subject, "OneShot", site, 403, "OperationDenied.ManualSyncLimit")
    assert subject.states() == ["stopped"] * 2


# A step that fails: where it is asked for, what was there before, what the state is then (the step's own state: it is tried again
# until it is done), and how it ends when the step can be done.
FAILURES = {
    "Start": ("initial_syncing", "created", "created", "normal"),
    "OneShot": ("manual_syncing", "stopped", "stopped", "stopped"),
    "Stop": ("stopping", "normal", "stop_failed", "stopped"),
    "Failover": ("failovering", "normal", "failover_failed", "failovered"),
    "Reprotect": ("reprotecting", "failovered", "reprotecting", "stopped"),
    "Delete": ("deleting", "created", "deleting", "gone"),
}


@pytest.mark.parametrize("kind, verb", [(kind, verb) for kind in TABLES for verb in FAILURES])
def test_what_fails_says_why_and_can_be_tried_again(world, kind, verb):
    passes, before, failed, end = FAILURES[verb]
    subject = Subject(world, kind, empty=(kind, verb) == ("group", "Delete"))
    reach(world, before, [subject])
    site = subject.site_of(verb)
    world.hold(site, "fail", passes)
    if failed == passes:
        subject.call(verb)
    else:
        check_refused(subject, verb, site, 500, "InternalError")
    until(lambda: f"says why: {subject.row(site)}", lambda: "told to fail" in subject.message(site))
    assert subject.row(site)["Status"] == failed
    world.release()
    if failed != passes:
        subject.call(verb)
    subject.wait(end)


@pytest.mark.parametrize("kind", TABLES)
def test_a_one_shot_that_ends_while_control_is_busy_is_seen_to_end(world, kind):
    """What a unit does between two looks of the control thread is told as one status: that it is stopped, as it was before."""
    subject = Subject(world, kind)
    world.hold(world.north, "late", "manual_syncing")
    everyone([subject], "OneShot", "stopped")
    assert subject.began("created", "manual_syncing") and subject.row(world.south)["Offsite"]["Consistent"]


@pytest.mark.parametrize("kind", TABLES)
def test_a_stop_that_ends_after_a_failover_changes_nothing(world, kind):
    subject = Subject(world, kind)
    reach(world, "stopping", [subject])
    subject.call("Failover")
    subject.wait("failovered")
    world.release()
    for thread in world.threads:
        thread.join()
    assert not subject.began("failovered", "stopped")
    subject.wait("failovered")


@pytest.mark.parametrize("kind", TABLES)
def test_a_start_that_ends_after_a_failover_changes_nothing(world, kind):
    subject = Subject(world, kind)
    reach(world, "stopped", [subject])
    begin, refused = len(world.north.log()), []
    world.hold(world.north, "hold", "stopped")
    world.begin(lambda: refused.append(check_refused(subject, "Start", world.north, 403, "OperationDenied.InvalidStatus")))
    world.north.wait_log(f"id={subject.id} state=stopped", begin)
    subject.call("Failover")
    subject.wait("failovered")
    world.release()
    for thread in world.threads:
        thread.join()
    assert refused
    assert not subject.began("failovered", "syncing")
    subject.wait("failovered")
