"""EVS replication in every state of a pair and of a group: what is shown, what each operation answers, and what it leads to.

The tables below are typed in by hand from the facts page (2.4, 2.6), not taken from the code. The states are reached by the other
dialect: both are of the same pairs and groups."""

import pytest

from evs import Evs, uuid_of
from offsite import until
from states import ENDS, HOOKED, Subject, reach, read_table, running_world

# Of a group of one pair; "empty" is created, without one, and a group that is being deleted has none any more.
# Cells: a state is what an accepted operation leads to at once, = is accepted and the state stays, a number is the refusal.
# "here" is who is in charge: n(orth), where production was first, or s(outh). Progress: % is any below 100, ? is not looked at.
GROUPS = """
                 status            replication     progress here sync            stop     reverse failover    reprotect extend rename add remove delete
empty            available         inactive        -        n    409             =        409     409         409       409    =      =   409    deleting
created          available         inactive        -        n    initial_syncing =        409     409         409       =      =      =   =      409
create_failed    error             error           -        n    409             409      409     409         409       409    409    409 409    409
initial_syncing  available         copying         %        n    =               stopping 409     409         409       =      409    409 409    409
syncing          available         copying         %        n    =               stopping turning failovering 409       =      409    409 409    409
normal           available         active          100      n    =               stopping turning failovering 409       =      409    409 409    409
manual_syncing   available         copying         %        n    409             stopping 409     failovering 409       =      409    409 409    409
stopping         available         active          100      n    409             =        409     failovering 409       =      409    409 409    409
stopped          available         active-stopped  100      n    syncing         =        409     failovering 409       =      =      =   =      409
stop_failed      error             error           100      n    409             stopping 409     failovering 409       409    409    409 409    409
failovering      failovering       active-stopped  100      n    409             409      409     =           409       409    409    409 409    409
failovered       failovered        active-stopped  100      s    409             =        409     =           turning   409    =      409 =      409
failover_failed  error_failovering active-stopped  100      n    409             409      409     failovering 409       409    409    409 409    409
reprotecting     available         copying         %        s    409             409      409     409         409       409    409    409 409    409
reprotect_failed error             error           ?        s    409             409      409     409         turning   409    409    409 409    409
deleting         deleting          inactive        -        n    409             409      409     409         409       409    409    409 409    =
delete_failed    error_deleting    active-stopped  100      n    409             409      409     409         409       409    409    409 409    409
deleted          deleting          inactive        -        n    409             409      409     409         409       409    409    409 409    409
invalid          error             error           ?        n    409             =        409     failovering 409       409    =      409 =      409
"""

# A pair in no group. "join" makes a group of it; "again" makes another pair of its disks.
PAIRS = """
                 status         replication    progress here delete   join again
created          available      inactive       -        n    deleting =    409
create_failed    error          error          -        n    deleting 409  409
initial_syncing  available      copying        %        n    409      409  409
syncing          available      copying        %        n    409      409  409
normal           available      active         100      n    409      409  409
manual_syncing   available      copying        %        n    409      409  409
stopping         available      active         100      n    409      409  409
stopped          available      active-stopped 100      n    deleting =    409
stop_failed      error          error          100      n    409      409  409
failovering      available      active-stopped 100      n    409      409  409
failovered       available      active-stopped 100      s    deleting 409  409
failover_failed  available      active-stopped 100      n    409      409  409
reprotecting     available      copying        %        s    409      409  409
reprotect_failed error          error          ?        s    409      409  409
deleting         deleting       inactive       -        n    =        409  409
delete_failed    error_deleting active-stopped 100      n    deleting 409  409
deleted          deleting       inactive       -        n    409      409  409
invalid          error          error          ?        n    deleting 409  409
"""

TABLES = {"group": read_table(GROUPS), "pair": read_table(PAIRS)}
SHOWN = ("status", "replication", "progress", "here")
CHANGES = {"turning": "reprotecting"}
FAULTS = {"invalid": "2"}  # what a link that is up says in all other states: none
ACTIONS = ("sync", "stop", "reverse", "failover", "reprotect")
LASTING = ("rename", "add", "remove", "join", "extend")  # accepted, and seen when it has ended


@pytest.fixture
def world(tmp_path):
    with running_world(tmp_path) as one:
        one.evs = {site: Evs(site) for site in one.sites}
        yield one


class Client:
    """A subject of states.py, by EVS."""

    def __init__(self, subject, kind):
        self.subject, self.kind, self.world = subject, kind, subject.world
        self.pair, self.id = uuid_of(subject.pair), uuid_of(subject.id)

    def row(self, site):
        evs = self.world.evs[site]
        return evs.pair(self.id) if self.kind == "pair" else evs.group(self.id)

    def call(self, verb, site):
        """The answer's status."""
        evs, subject = self.world.evs[site], self.subject
        if verb in ACTIONS:
            return evs.try_act(self.id, verb).status
        if verb == "extend":
            return evs.try_act(self.id, "os-extend-replication-volumes", {"id": self.pair, "new_size": 1}).status
        if verb == "again":
            return evs.try_create_pair(subject.disk, subject.copy).status
        if verb == "join":
            return evs.try_create_group(self.id, priority_station=subject.north.zone).status
        if verb == "delete":
            return (evs.delete_pair(self.id) if self.kind == "pair" else evs.delete_group(self.id)).status
        changes = {"rename": {"name": "another"}, "remove": {"remove_replication_ids": [self.pair]}}.get(verb)
        return evs.update(self.id, **(changes or {"add_replication_ids": [self.make_other()]})).status

    def make_other(self):
        """What is added to a group: a new pair, whatever the group's state."""
        if self.subject.empty:
            return self.pair
        if self.subject.other is None:
            self.subject.other = Subject(self.world, "pair")
        return uuid_of(self.subject.other.pair)

    def members(self, site):
        return self.row(site)["replication_ids"]

    def has_ended(self, verb):
        """A job of it, at both sites; an accepted change that leaves the state as it was."""
        rows = [self.row(site) for site in self.world.sites]
        if verb == "rename":
            return all(row["name"] == "another" for row in rows)
        if verb == "remove":
            return all(row["replication_ids"] == [] for row in rows)
        if verb == "add":
            return all(uuid_of((self.subject.other or self.subject).pair) in row["replication_ids"] for row in rows)
        if verb == "join":
            return all(row["replication_consistency_group_id"] for row in rows)
        return [site_disk.row()["Size"] for site_disk in (self.subject.disk, self.subject.copy)] == [1, 1]


def check_shown(client, state, row):
    """At both sites."""
    subject = client.subject
    for site in client.world.sites:
        shown = client.row(site)
        assert (shown["status"], shown["replication_status"]) == (row["status"], row["replication"]), (state, site.zone, shown)
        assert shown["fault_level"] == FAULTS.get(state, "0"), shown
        assert shown["priority_station"] == {"n": subject.north, "s": subject.south}[row["here"]].zone, shown
        assert ("failure_detail" in shown) == (row["status"] == "error"), shown
        pair = client.world.evs[site].pair(client.pair) if not subject.empty else {"progress": None}
        if row["progress"] == "%":
            assert 0 <= int(pair["progress"]) < 100, pair
        elif row["progress"] != "?":
            assert pair["progress"] == (None if row["progress"] == "-" else row["progress"]), (site.zone, pair)


def check_what_stays(client, state, row):
    """What is refused, and what changes nothing: at both sites, and the state stays."""
    states = client.subject.states()
    for site in client.world.sites:
        for verb in row:
            if verb in SHOWN or verb in LASTING and row[verb] == "=" or row[verb] not in ("=", "409"):
                continue
            answer = client.call(verb, site)
            assert answer == 409 if row[verb] == "409" else answer in (200, 202), (state, verb, site.zone, answer)
            assert client.subject.states() == states, (state, verb, site.zone, client.subject.states())
    assert [client.row(site)["status"] for site in client.world.sites] == [row["status"]] * 2


def check_what_changes(client, state, verb, cell):
    """An accepted operation: what it leads to at once is in the log, however short it was."""
    subject, then = client.subject, CHANGES.get(cell, cell)
    if verb in LASTING:
        until(lambda: f"{verb} has ended: {[client.row(site) for site in client.world.sites]}", lambda: client.has_ended(verb))
        return
    until(lambda: f"{verb}: from {state} to {then}", lambda: subject.began(state, then))
    if cell == "turning":
        wanted = subject.south.zone
        until("turned", lambda: [row["SourceZoneId"] for row in map(subject.row, client.world.sites)] == [wanted] * 2)
    subject.wait("normal" if cell == "turning" else ENDS[then])


@pytest.mark.parametrize("kind, state", [(kind, state) for kind, table in TABLES.items() for state in table])
def test_each_operation_in_each_state(world, kind, state):
    row = TABLES[kind][state]
    wanted = [(verb, cell, site) for verb, cell in row.items() if verb not in SHOWN and
              (verb in LASTING and cell == "=" or cell not in ("=", "409")) for site in world.sites]
    empty = kind == "group" and state in ("empty", "deleting")
    subjects = [Subject(world, kind, empty) for _ in range(len(wanted) + 1)]
    state = "created" if state == "empty" else state
    reach(world, state, subjects)
    clients = [Client(subject, kind) for subject in subjects]
    until(lambda: f"told of: {[clients[0].row(site) for site in world.sites]}", lambda: [
        clients[0].row(site)["replication_status"] for site in world.sites] == [row["replication"]] * 2)
    check_shown(clients[0], state, row)
    check_what_stays(clients[0], state, row)
    for client, (verb, cell, site) in zip(clients[1:], wanted, strict=True):
        if verb in ("stop", "failover") and state in ("stopping", "failovering") or verb == "reverse":
            world.begin(lambda client=client, verb=verb, site=site: client.call(verb, site))
        else:
            assert client.call(verb, site) in (200, 202), (state, verb, site.zone)
    world.release()
    world.limit(0)
    for client, (verb, cell, site) in zip(clients[1:], wanted, strict=True):
        check_what_changes(client, state, verb, cell)
    if HOOKED and state in ENDS:
        subjects[0].wait(ENDS[state])


def test_a_stop_that_fails_says_so_and_can_be_tried_again(world):
    subject = Subject(world, "group")
    reach(world, "normal", [subject])
    client = Client(subject, "group")
    world.hold(world.north, "fail", "stopping")
    answer = world.evs[world.north].try_act(client.id, "stop")
    assert answer.status == 500 and "told to fail" in answer.json["computeFault"]["message"], answer
    row = client.row(world.north)
    assert (row["status"], row["failure_detail"]) == ("error", "37000212")
    world.release()
    assert client.call("stop", world.north) == 200
    subject.wait("stopped")


def test_a_failover_that_fails_is_shown(world):
    subject = Subject(world, "group")
    reach(world, "failover_failed", [subject])
    client = Client(subject, "group")
    for site in world.sites:
        rows = world.evs[site].groups("?status=error_failovering")
        assert [row["id"] for row in rows] == [client.id] and "failure_detail" not in rows[0]
    assert client.call("failover", world.north) == 200
    subject.wait("failovered")
