#!/usr/bin/python3
"""Offsite's main job, played for real: two sites, a PostgreSQL server on two replicated disks, a disaster, a recovery.

    ./demo            plays it and leaves nothing behind
    ./demo --keep     leaves the sites running afterwards and says what to try
    ./demo --stop     ends what --keep left

Exit status 0 only if the recovered database is what was promised. `./demo` installs, builds and runs this as root."""
import argparse
import os
import secrets
import signal
import subprocess
import sys
import time

import folder
from database import Database, Writer
from group import Group
from site_client import Refused, Site
from terminal import Failure, Terminal, size
from volume import Volume

RPO_S = 5
DISK_GIB = 1
PGBENCH_SCALE = 5
PGBENCH_RATE = 200
CYCLES_S = 20
INSTANCE_NORTH, INSTANCE_SOUTH = "i-north-db", "i-south-db"
NAMES = ("data", "wal")


class Demo:
    def __init__(self, terminal, top, build):
        self.terminal, self.top = terminal, top
        self.north, self.south = Site(top, build, "cn-north"), Site(top, build, "cn-south")
        self.wrong = 0

    def prove(self, held, text):
        self.wrong += not held
        (self.terminal.good if held else self.terminal.bad)(text)

    # --- 1: two sites

    def start_sites(self):
        self.terminal.title("1. Two sites")
        secret = secrets.token_hex(16)
        self.north.configure(self.south, secret)
        self.south.configure(self.north, secret)
        for site in (self.north, self.south):
            site.start()
            self.terminal.step(f"{site.region} runs: zone {site.zone}, API http://127.0.0.1:{site.api_port}, "
                               f"NBD port {site.nbd_port}, site link port {site.link_port}")

    # --- 2: a database on two disks

    def make_volumes(self, site, disks):
        volumes = [Volume(self.top, site, disk, name) for name, disk in zip(NAMES, disks)]
        for volume in volumes:
            volume.connect()
        return volumes

    def start_database(self):
        self.terminal.title("2. PostgreSQL on two disks of cn-north")
        self.disks_north = [self.north.disk_create("pg-" + name, DISK_GIB << 10) for name in NAMES]
        for name, disk in zip(NAMES, self.disks_north):
            self.north.disk_attach(disk, INSTANCE_NORTH)
            self.terminal.step(f"disk {disk}, {DISK_GIB} GiB, for the {name}: attached to {INSTANCE_NORTH}, exported over NBD")
        self.volumes_north = self.make_volumes(self.north, self.disks_north)
        for volume in self.volumes_north:
            volume.make_file_system()
            volume.mount()
        self.terminal.step("ext4 on both, by way of " + " and ".join(volume.device for volume in self.volumes_north))
        self.database = Database(self.top, "cn-north", *(volume.mounted for volume in self.volumes_north))
        self.database.create()
        self.database.start()
        self.database.load(PGBENCH_SCALE)
        self.terminal.step(f"PostgreSQL runs, its WAL on the second disk; pgbench's tables hold {PGBENCH_SCALE * 100000} rows")
        self.writer = Writer(self.database, pause=0.005)
        self.database.bench(PGBENCH_RATE, 600)
        self.terminal.step(f"pgbench runs at {PGBENCH_RATE} transactions a second, beside a writer that commits rows 1, 2, 3, ...")

    # --- 3: replication

    def replicate(self):
        self.terminal.title("3. Replication to cn-south")
        self.disks_south = [self.south.disk_create("pg-" + name, DISK_GIB << 10) for name in NAMES]
        self.group = Group(self.north, self.south, "postgres", RPO_S)
        for name, disk_north, disk_south in zip(NAMES, self.disks_north, self.disks_south):
            self.group.add("pg-" + name, disk_north, disk_south)
        self.terminal.step(f"pairs {self.group.pairs[0]} and {self.group.pairs[1]} in the group {self.group.id}, RPO {RPO_S} s")
        self.group.call(self.north, "Start")
        self.terminal.step("started; the first full sync copies while the database works:")
        self.watch_first_sync()

    def watch_first_sync(self):
        began = time.monotonic()
        while True:
            live = self.group.live(self.north)
            if live["Consistent"]:
                break
            if time.monotonic() - began > 120:
                raise Failure(f"the first full sync is not done after 120 s: {live}")
            total, done, rate = live["TotalBytes"], live["DoneBytes"], live["RateBytes"]
            left = f"{(total - done) / rate:.0f} s left" if rate else "time left not known yet"
            self.terminal.bar(done / total if total else 0, f"{size(done)} of {size(total)}, {size(rate)}/s, {left}")
            time.sleep(0.1)
        seconds = time.monotonic() - began
        self.terminal.bar_end(f"{DISK_GIB * len(NAMES)} GiB of disks compared and copied in {seconds:.1f} s, "
                              f"{size(live['ShippedBytes'])} over the link")

    def watch_cycles(self):
        self.terminal.step(f"in step: now a cycle a second or so for {CYCLES_S} s; the recovery point follows:")
        began, ages = time.monotonic(), []
        while time.monotonic() - began < CYCLES_S:
            live = self.group.live(self.north)
            ages.append(live["RecoveryAgeMs"] / 1000)
            self.terminal.bar((time.monotonic() - began) / CYCLES_S,
                              f"recovery point {ages[-1]:4.1f} s old, epoch {live['Epoch']}, {size(live['ShippedBytes'])} shipped, "
                              f"{self.writer.last()} rows committed")
            if not self.writer.thread.is_alive():
                raise Failure("the writer's connection ended before the disaster")
            time.sleep(0.2)
        self.terminal.bar_end(f"the recovery point was {sum(ages) / len(ages):.1f} s old on average, {max(ages):.1f} s at most")

    # --- 4: the disaster

    def strike(self):
        self.terminal.title("4. Disaster: cn-north is gone")
        before = self.writer.last()
        self.struck = time.monotonic()
        struck_wall = time.time()
        self.north.process.kill()
        folder.kill(self.database.family(), signal.SIGKILL)
        folder.kill([pid for pid in folder.processes(self.top) if pid != self.south.process.pid and self.is_load(pid)], signal.SIGKILL)
        self.writer.thread.join(10)
        self.terminal.step(f"SIGKILL to cn-north's offsited and to PostgreSQL, in the middle of row {before + 1}")
        for volume in self.volumes_north:
            volume.abandon()
        self.struck_wall_ms = struck_wall * 1000

    @staticmethod
    def is_load(pid):
        try:
            with open(f"/proc/{pid}/comm") as name:
                return name.read().strip() in ("postgres", "pgbench", "psql")
        except OSError:
            return False

    # --- 5: the other site takes over

    def fail_over(self):
        self.terminal.title("5. Failover: cn-south takes over")
        self.asked = time.monotonic()
        self.group.call(self.south, "Failover")
        self.group.wait_status(self.south, "failovered")
        self.recovery_ms = self.group.live(self.south)["RecoveryWallMs"]
        self.terminal.step(f"failed over to the recovery point of {(self.struck_wall_ms - self.recovery_ms) / 1000:.1f} s before "
                           "the disaster")
        for disk in self.disks_south:
            self.south.disk_attach(disk, INSTANCE_SOUTH)
        self.volumes_south = self.make_volumes(self.south, self.disks_south)
        for volume in self.volumes_south:
            volume.mount()
        self.terminal.step("both disks attached and mounted there: ext4 replayed its journal")
        self.survivor = Database(self.top, "cn-south", *(volume.mounted for volume in self.volumes_south))
        self.survivor.adopt()
        self.survivor.start()
        self.rows = [int(value) for value in
                     self.survivor.sql("select count(*), coalesce(min(n), 0), coalesce(max(n), 0) from numbered").split("|")]
        self.survivor.sql("create table after_failover as select now() as at")
        self.rto = time.monotonic() - self.asked
        self.terminal.step("PostgreSQL recovered, and commits again")

    # --- 6: the proof

    def verify(self):
        self.terminal.title("6. The proof")
        count, first, last = self.rows
        acknowledged = self.writer.last()
        self.prove(count == last and first == 1,
                   f"rows 1 to {last} form an unbroken prefix ({acknowledged} were acknowledged before the disaster)")
        before_cut = sum(1 for number, (_, wall, _) in self.writer.acknowledged.items() if number and wall * 1000 <= self.recovery_ms)
        self.prove(last >= before_cut, f"every row acknowledged before the recovery point is there ({before_cut} rows)")
        self.lost = self.struck - self.writer.acknowledged[last][0] if last < acknowledged else 0.0
        self.prove(self.lost <= RPO_S, f"{self.lost:.1f} s of work lost ({max(acknowledged - last, 0)} rows), {RPO_S} s were allowed")
        self.attempt("pg_amcheck finds every table and index sound", self.survivor.check)
        self.survivor.stop()
        self.attempt("pg_checksums finds every page sound", self.survivor.check_checksums)
        for volume in self.volumes_south:
            volume.unmount()
        self.attempt("e2fsck finds both file systems sound",
                     lambda: [volume.check() for volume in self.volumes_south])

    def attempt(self, text, check):
        try:
            check()
            self.prove(True, text)
        except (Failure, subprocess.TimeoutExpired) as failure:
            self.prove(False, f"{text}: {failure}")

    def verdict(self):
        good = self.wrong == 0
        self.terminal.title("Verdict: " + ("the second site has the machine, whole." if good else f"{self.wrong} promises were broken."))
        self.terminal.note(f"RPO  {self.lost:.1f} s of work lost, asked for {RPO_S} s")
        self.terminal.note(f"RTO  {self.rto:.1f} s from the failover call to PostgreSQL's first commit")
        return good

    def play(self):
        for part in (self.start_sites, self.start_database, self.replicate, self.watch_cycles, self.strike, self.fail_over,
                     self.verify):
            part()
        return self.verdict()

    def keep(self, offsite):
        for volume in self.volumes_south:
            volume.mount()
        self.survivor.start()
        self.north.start()
        say = self.terminal.note
        self.terminal.title("Kept running. To try next:")
        say(f"{offsite} --dir {self.south.data} group show {self.group.id}")
        say(f"{offsite} --dir {self.south.data} disk list")
        say(f"{offsite} --dir {self.north.data} group show {self.group.id}     (cn-north is back, and knows that it was replaced)")
        say(f"psql -h {self.survivor.sockets} -U postgres -c 'select count(*) from numbered'")
        say(f"tail {self.top}/cn-south.log")
        say("./demo --stop     ends all of it and removes " + self.top)


def note_folder(note, top):
    with open(note, "w") as out:
        out.write(top)


def end_noted(note, terminal):
    """Ends the demo that `note` names: kept, or killed before it could clean up. True when nothing of it is left."""
    try:
        with open(note) as text:
            top = text.read().strip()
    except OSError:
        return True
    left = folder.remove(top) if os.path.basename(top).startswith("offsite-demo-") and os.path.isdir(top) else []
    if left:
        terminal.note(f"could not end: {', '.join(left)}; the rest of {top} is kept for that")
        return False
    os.unlink(note)
    return True


def play(arguments, terminal, note):
    top = folder.make()
    note_folder(note, top)
    folder.adopt_orphans()
    demo = Demo(terminal, top, arguments.build)
    keep = False
    try:
        good = demo.play()
        if arguments.keep:
            demo.keep(os.path.join(arguments.build, "src/cli/offsite"))
            keep = True
        return 0 if good else 1
    except (Failure, Refused, OSError, subprocess.TimeoutExpired) as failure:
        terminal.bad(f"the demo cannot go on: {failure}")
        return 1
    except KeyboardInterrupt:
        terminal.note("interrupted; cleaning up")
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not keep:
            end_noted(note, terminal)


def on_signal(number, frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(prog="./demo", description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the sites running, and say what to try next")
    parser.add_argument("--stop", action="store_true", help="end what --keep left running")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    terminal = Terminal()
    note = os.path.join(arguments.build, "demo-folder")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    if os.path.exists(note) and not arguments.stop:
        terminal.note("ending an earlier demo first")
    if not end_noted(note, terminal):
        return 1
    return 0 if arguments.stop else play(arguments, terminal, note)


sys.exit(main())
