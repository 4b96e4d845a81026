"""Every state of a pair and of a group, each operation in it, at both sites: the answer, the state it leads to, and how that ends.

The tables below are typed in by hand from the operations' pages and the facts page, not taken from the code."""

import re
import threading

import pytest

from offsite import MIB, run, until
from states import ENDS, HOOKED, Subject, check_refused, everyone, reach, read_table, running_world

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
invalid          -                -               -         failovering  -          -        -          -      -      deleting no-add
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
invalid          -               -              -        failovering -         -       -          -      -      pairs   no-add =
"""

CODES = {"-": "InvalidStatus", "conflict": "PairGroupStatusConflict", "pairs": "GroupHasPair", "empty": "NoPairInGroup",
         "not-in": "PairNotInGroup", "no-rm": "GroupStatusCannotRemovePair",
         "no-add": {"pair": "PairStatusCannotAddToGroup", "group": "GroupStatusCannotAddPair"}}
STATES = {"turning": "reprotecting"}
NOT_AT_PRIMARY = ("Failover", "Reprotect", "Cancel")
TABLES = {"pair": read_table(PAIRS), "group": read_table(GROUPS)}


@pytest.fixture
def world(tmp_path):
    with running_world(tmp_path) as one:
        yield one


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


def ship(subject):
    """Something of the source's disk, and the unit has told of it."""
    def shipped():
        return subject.row(subject.north)["Offsite"]["ShippedBytes"]
    before = shipped()
    run("qemu-io", "-f", "raw", "-c", f"write -P 7 0 {MIB}", "-c", "flush", subject.disk.attach().uri)
    until("shipped", lambda: shipped() > before)


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
    if verb == "Stop":
        ship(subject)
        assert "told to fail" in subject.message(site), "what the unit says of itself has taken the reason away"
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
