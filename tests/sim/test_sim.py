"""The simulator itself: a seed is a run, and what is typed wrongly is said."""

import re
import subprocess

from offsite import BUILD

SIM = BUILD / "src" / "sim" / "offsite-sim"


def sim(*arguments):
    return subprocess.run([SIM, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_a_seed_is_a_run():
    """The trace's hash covers every line the engine has logged; hashes of different seeds differ."""
    traces = {}
    for seed in ("3", "11", "4711"):
        first, second = sim("--seed", seed), sim("--seed", seed)
        assert first.returncode == 0, first.stdout
        assert first.stdout == second.stdout
        traces[seed] = re.search(r"trace ([0-9a-f]{16})", first.stdout).group(1)
    assert len(set(traces.values())) == 3


def test_runs_count_what_they_did():
    done = sim("--seeds", "40", "--from", "7")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("40 seeds from 7")
    for what in ("writes", "kills", "power losses", "failovers", "switchovers", "images judged"):
        number = re.search(rf"(\d+) {what}", done.stdout)
        assert number and int(number.group(1)) > 0, f"no {what}: {done.stdout}"


def test_mistakes():
    for arguments in ((), ("--seeds", "x"), ("--seed", "1", "--seeds", "2"), ("--nonsense",)):
        assert sim(*arguments).returncode == 2
