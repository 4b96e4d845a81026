"""PostgreSQL on the two volumes, pgbench, and a writer that commits numbered rows and remembers each commit."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time

import folder
from terminal import Failure, until

SETTINGS = """
listen_addresses = ''
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 64MB
max_wal_size = 256MB
checkpoint_timeout = 30s
logging_collector = off
dynamic_shared_memory_type = mmap
"""
CREATE = ("create table numbered (n bigint primary key, life int not null, "
          "at timestamptz not null default clock_timestamp());")
AMCHECK = ["--all", "--install-missing", "--heapallindexed", "--on-error-stop", "--jobs=2"]


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda name: int(name.split("/")[4]))
    if not found:
        raise Failure("PostgreSQL's server programs are not installed: tools/install-dependencies demo")
    return os.path.dirname(found[-1])


class Database:
    def __init__(self, top, region, data_mount, wal_mount):
        self.top, self.region = top, region
        self.data, self.wal = os.path.join(data_mount, "postgres"), os.path.join(wal_mount, "postgres-wal")
        self.sockets = os.path.join(top, "sql-" + region)
        self.bin = programs()
        self.user = pwd.getpwnam("postgres")
        self.process = None

    def _as_postgres(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def run(self, program, *arguments, seconds=120):
        command = [os.path.join(self.bin, program), *arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=seconds, cwd="/", start_new_session=True,
                                  env=dict(os.environ, **{folder.MARK: self.top}), **self._as_postgres())
        except subprocess.TimeoutExpired:
            raise Failure(f"{program} took more than {seconds} s") from None
        if done.returncode:
            raise Failure(f"{program}: {(done.stderr + done.stdout).strip()[-600:]}")
        return done.stdout

    def sql(self, text):
        return self.run("psql", "-XqAt", "-h", self.sockets, "-v", "ON_ERROR_STOP=1", "-c", text, "postgres").strip()

    def create(self, settings=SETTINGS, options=()):
        for path in (self.data, self.wal):
            os.makedirs(path, mode=0o700)
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        self.run("initdb", "-D", self.data, f"--waldir={self.wal}", "--data-checksums", "--auth=trust", "-E", "UTF8",
                 "--locale=C", "-U", "postgres", *options)
        with open(os.path.join(self.data, "postgresql.conf"), "a") as out:
            out.write(settings)
            out.flush()
            os.fsync(out.fileno())

    def adopt(self):
        """The same data at another machine, where the WAL's disk is mounted elsewhere."""
        link = os.path.join(self.data, "pg_wal")
        os.unlink(link)
        os.symlink(self.wal, link)

    def start(self, seconds=90):
        if not os.path.isdir(self.sockets):
            os.makedirs(self.sockets)
            os.chown(self.sockets, self.user.pw_uid, self.user.pw_gid)
        # The lock file of the lost machine names a process of that machine, not of this one.
        lock = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(lock):
            os.unlink(lock)
        log = f"postgres-{self.region}.log"
        self.process = folder.spawn(self.top, [os.path.join(self.bin, "postgres"), "-D", self.data, "-k", self.sockets], log=log,
                                    **self._as_postgres())

        def ready():
            if self.process.poll() is not None:
                with open(os.path.join(self.top, log), errors="replace") as text:
                    raise Failure(f"PostgreSQL at {self.region} ended at start:\n{text.read()[-800:]}")
            return subprocess.run([os.path.join(self.bin, "pg_isready"), "-q", "-h", self.sockets]).returncode == 0
        until(seconds, f"PostgreSQL at {self.region} to start", ready)
        with open(os.path.join(self.data, "postmaster.pid")) as pid, open(os.path.join(self.top, folder.SEGMENTS), "a") as out:
            out.write(pid.read().split("\n")[6] + "\n")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def family(self):
        """The server and its children: what dies with the machine."""
        parents = {}
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as file:
                    text = file.read()
                parents[int(path.split("/")[2])] = int(text[text.rindex(")") + 2:].split()[1])
            except OSError:
                pass
        return [self.process.pid] + [pid for pid, parent in parents.items() if parent == self.process.pid]

    def processes(self):
        """All that works in the data folder, whoever its parent is now."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cwd"):
            try:
                if os.readlink(path) == self.data:
                    found.append(int(path.split("/")[2]))
            except OSError:
                pass
        return found

    def load(self, scale):
        self.sql(CREATE)
        self.run("pgbench", "-q", "-i", "-s", str(scale), "-h", self.sockets, "postgres")

    def bench(self, rate, seconds):
        """Starts pgbench beside everything else, at a steady rate."""
        return folder.spawn(self.top, [os.path.join(self.bin, "pgbench"), "-n", "-c", "2", "-R", str(rate), "-T", str(seconds),
                                       "-h", self.sockets, "postgres"], log="pgbench.log", **self._as_postgres())

    def check(self):
        self.run("pg_amcheck", *AMCHECK, "-h", self.sockets, "-U", "postgres")

    def check_checksums(self):
        self.run("pg_checksums", "--check", "-D", self.data)


class Writer:
    """One connection that commits row 1, 2, 3, ... and notes the moment each commit was acknowledged.

    acknowledged: number -> (monotonic clock, wall clock, life); a `life` is what was written between two failovers. A writer goes on
    where another stopped when it is given that one's notes."""

    def __init__(self, database, pause, acknowledged=None, life=0):
        self.pause, self.life = pause, life
        self.acknowledged = {0: (time.monotonic(), time.time(), life)} if acknowledged is None else acknowledged
        self.newest = max(self.acknowledged)
        psql = shutil.which("psql") or os.path.join(database.bin, "psql")
        self.process = folder.spawn(database.top, [psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", database.sockets, "postgres"],
                                    log="writer.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    **database._as_postgres())
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        try:
            while True:
                number = self.newest + 1
                self.process.stdin.write(f"insert into numbered (n, life) values ({number}, {self.life});\n\\echo {number}\n")
                self.process.stdin.flush()
                if self.process.stdout.readline().strip() != str(number):
                    return
                self.acknowledged[number] = (time.monotonic(), time.time(), self.life)
                self.newest = number
                time.sleep(self.pause)
        except OSError:
            return

    def last(self):
        return self.newest

    def end(self):
        """Whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.thread.join(10)
