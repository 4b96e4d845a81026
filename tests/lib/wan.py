"""Two sites far apart: each in a network namespace of its own, joined by tests/wan/wan.c; the far one's clock is wrong, if wanted.

    with wan.joined(folder, delay_ms=15, rate_kbit=20000, loss=500, clock_s=3600) as (line, north, south):
        line.sever(); line.mend()

Namespaces carry this process's number, so that runs do not meet; what a killed run has left is removed by the next.
A wrong clock is tests/wan/skewed_clock.c: the wall clock alone, which is what sites really have wrong. Needs root."""

import contextlib
import ctypes
import glob
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess

import offsite

WAN = offsite.BUILD / "tests" / "wan" / "wan"
SKEWED_CLOCK = offsite.BUILD / "tests" / "wan" / "libskewed_clock.so"
CLONE_NEWNET = 0x40000000
PREFIX = "offsite-wan-"
HOSTS = ("10.77.0.1", "10.77.0.2")
numbers = itertools.count()
libc = ctypes.CDLL(None, use_errno=True)


def remove_abandoned():
    """Namespaces of runs that were killed."""
    for path in glob.glob(f"/run/netns/{PREFIX}*"):
        pid = re.match(rf"{PREFIX}(\d+)-", os.path.basename(path))
        if pid and not os.path.exists(f"/proc/{pid.group(1)}"):
            offsite.run("ip", "netns", "delete", os.path.basename(path), ok=False)


class Namespace:
    """Of networks, by name. As a context it is where the calling thread is: sockets made and processes started there stay there."""

    def __init__(self, name):
        self.name = f"{PREFIX}{os.getpid()}-{next(numbers)}-{name}"
        offsite.run("ip", "netns", "add", self.name)

    def delete(self):
        offsite.run("ip", "netns", "delete", self.name)

    @contextlib.contextmanager
    def inside(self):
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.name}", "rb") as there:
            self._move(there)
            try:
                yield
            finally:
                self._move(home)

    @staticmethod
    def _move(place):
        if libc.setns(place.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Line:
    """tests/wan/wan.c between two namespaces. loss: packets of 100,000."""

    def __init__(self, near, far, delay_ms=15, rate_kbit=100000, buffer_kib=512, loss=0, seed=1):
        self.process = subprocess.Popen([str(WAN), "--near", near.name, "--far", far.name, "--delay", str(delay_ms), "--rate",
                                         str(rate_kbit), "--buffer", str(buffer_kib), "--loss", str(loss), "--seed", str(seed)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.process.stdout.readline() == "ready\n", "the line did not come up"

    def sever(self):
        """From now on nothing arrives at either end, and neither is told."""
        self.process.send_signal(signal.SIGUSR1)

    def mend(self):
        self.process.send_signal(signal.SIGUSR2)

    def end(self):
        """Gives what was carried and lost, as text."""
        self.process.terminate()
        try:
            return self.process.communicate(timeout=10)[0]
        finally:
            self.process.kill()


class Site(offsite.Site):
    """A site in a namespace. Its NBD socket is a path, and can be reached from everywhere."""

    def __init__(self, folder, region, namespace, host, clock_s=0):
        self.namespace, self.link_host, self.clock_s = namespace, host, clock_s
        super().__init__(folder, region)
        if clock_s:  # the loader takes a blank in a path for the end of it
            self.run_folder.mkdir(mode=0o700, exist_ok=True)
            clock = shutil.copy(SKEWED_CLOCK, self.run_folder / "clock.so")
            self.environment = {"LD_PRELOAD": str(clock), "OFFSITE_SKEW_S": str(clock_s)}

    def place(self):
        return self.namespace.inside()


@contextlib.contextmanager
def joined(folder, clock_s=0, limits="", **line_options):
    """The line, and two running sites that are linked over it: the near one leads in most tests, clock_s is the far one's."""
    remove_abandoned()
    with contextlib.ExitStack() as stack:
        namespaces = []
        for name in ("near", "far"):
            namespaces.append(Namespace(name))
            stack.callback(namespaces[-1].delete)
        line = Line(*namespaces, **line_options)
        stack.callback(line.end)
        north = Site(pathlib.Path(folder) / "north", "north", namespaces[0], HOSTS[0])
        stack.callback(north.close)
        south = Site(pathlib.Path(folder) / "south", "south", namespaces[1], HOSTS[1], clock_s)
        stack.callback(south.close)
        north.configure([south], limits)
        south.configure([north], limits)
        for one in (north, south):
            one.start()
        offsite.wait_linked(north, south)
        yield line, north, south
