"""bench/kill-loop, a few rounds of it: real daemons killed under PostgreSQL, failed over, and turned."""

import os
import re
import signal
import subprocess

from offsite import BUILD, REPOSITORY, until

LOOP = REPOSITORY / "bench" / "kill-loop"


def start(*arguments):
    return subprocess.Popen([str(LOOP), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=dict(os.environ, OFFSITE_BUILD=str(BUILD)))


def assert_nothing_left(process):
    """Folders are named by chance, so the loop's own children are what tells its remains from another run's."""
    mark = f"OFFSITE_LOOP={process.pid}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                assert mark not in environment.read().split(b"\0"), f"process {pid} is left"
        except OSError:
            pass
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        assert f"/offsite-kill-{process.pid}-" not in mounts.read()


def test_ten_rounds():
    process = start("--rounds", "10", "--seed", "1", "--verbose")
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    print(output)
    last = output.strip().split("\n")[-1]
    assert process.returncode == 0 and last.startswith("all held: 10 rounds"), output
    assert int(re.search(r"(\d+) failovers", last).group(1)) == 2
    assert_nothing_left(process)


def test_interrupted_it_leaves_nothing():
    process = start("--rounds", "1000", "--verbose")
    try:
        until("a first kill", lambda: "killed" in process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert_nothing_left(process)
