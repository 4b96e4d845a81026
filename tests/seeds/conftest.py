"""Two linked sites for all tests of a file, and in them what several tests only look at."""

import pytest

import offsite
import subjects


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    north, south = offsite.make_two_sites(tmp_path_factory.mktemp("sites"))
    try:
        for one in (north, south):
            one.start()
        offsite.wait_linked(north, south)
        yield north, south
    finally:
        try:
            north.close()
        finally:
            south.close()


@pytest.fixture
def make(sites):
    """make(kind, state, ...): a pair or group in that state, this test's own. Afterwards the link is as fast as it was."""
    yield lambda kind, state="normal", **more: subjects.Subject(*sites, kind, **more).reach(state)
    sites[0].call("ModifyOffsitePeer", ZoneId=sites[1].zone, BytesPerSecond=0)


@pytest.fixture(scope="module")
def still(sites):
    """still(kind, state): one in a state that lasts, the same for all tests of a file: only for calls that are refused."""
    made = {}

    def find(kind, state):
        if (kind, state) not in made:
            made[kind, state] = subjects.Subject(*sites, kind, pairs=1).reach(state)
        # After another test cut the link it catches up for a while.
        offsite.until(lambda: f"{kind} {state}: {made[kind, state].state()}", lambda: made[kind, state].state() == state)
        return made[kind, state]
    return find


@pytest.fixture
def spare(sites):
    """An empty group, and one more."""
    return [subjects.Subject(*sites, "group", pairs=0) for _ in range(2)]
