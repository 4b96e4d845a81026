"""NBD servers under measurement, Offsite's sites among them, and the load on them: what bench/run and bench/nbd share."""
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections import namedtuple

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "tools/demo"))
sys.dont_write_bytecode = True
import folder  # noqa: E402
from site_client import Site  # noqa: E402
from terminal import Failure, until  # noqa: E402

INSTANCE = "i-bench"
PIECE = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")

Load = namedtuple("Load", "iops mb_s mean_us p99_us count client")


def say(text):
    print(text, flush=True)


def raise_interrupt(number, frame):
    raise KeyboardInterrupt


def write_image(path, size, zeros=False):
    """A file whose every block was allocated and written once, and is on stable storage; every other piece of zeros if so asked."""
    with open(path, "wb") as out:
        os.posix_fallocate(out.fileno(), 0, size)
        for number in range(size // PIECE):
            out.write(bytes(PIECE) if zeros and number % 2 else os.urandom(PIECE))
        out.flush()
        os.fsync(out.fileno())
    return path


def settle(path, cached):
    """Out of the page cache; or, cached, all in it, as reading it through leaves it. The same for each server, whatever its start did."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while cached and file.read(PIECE):
            pass


def unix_uri(socket, export="disk"):
    return f"nbd+unix:///{export}?socket={socket}"


def cpu_s(session):
    """Processor time, user and system, of all processes of a session with all their threads, of their ended children too."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += sum(map(int, fields[11:15]))
    return total / TICKS


class Peer:
    """Another NBD server; over TCP where a port is given, else on a Unix socket below top."""

    def __init__(self, top, name, command, port=None):
        self.top, self.name, self.port = top, name, port
        self.socket = os.path.join(top, name + ".sock")
        self.uri = f"nbd://127.0.0.1:{port}/disk" if port else unix_uri(self.socket)
        self.process = folder.spawn(top, command(self), log=name + ".log")
        self.session = self.process.pid
        until(10, name, self.ready)

    def ready(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended at its start")
        return subprocess.run(["nbdinfo", "--size", self.uri], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class NbdServer(Peer):
    """nbd-server goes into the background, a session of its own, and serves each client in a process of its own."""

    def __init__(self, top, name, image):
        self.pid_file, configuration = os.path.join(top, name + ".pid"), os.path.join(top, name + ".conf")
        with open(configuration, "w", encoding="utf-8") as out:
            out.write(f"[generic]\nunixsock = {top}/{name}.sock\n[disk]\nexportname = {image}\nflush = true\nfua = true\ntrim = true\n")
        super().__init__(top, name, lambda peer: ["nbd-server", "-C", configuration, "-p", self.pid_file])
        with open(self.pid_file, encoding="utf-8") as text:
            self.session = int(text.read())

    def ready(self):
        return os.path.exists(self.socket) and os.path.exists(self.pid_file)

    def stop(self):
        os.kill(self.session, signal.SIGTERM)
        until(30, f"{self.name} to end", lambda: not os.path.exists(f"/proc/{self.session}"))


def qemu_nbd(image, *options):
    def command(peer):
        where = ["-b", "127.0.0.1", "-p", str(peer.port)] if peer.port else ["-k", peer.socket]
        return ["qemu-nbd", "-t", "-e", "16", "-f", "raw", "-x", "disk", *where, *options, image]
    return command


def nbdkit(*plugin):
    def command(peer):
        where = ["-i", "127.0.0.1", "-p", str(peer.port)] if peer.port else ["-U", peer.socket]
        return ["nbdkit", "-f", *where, *plugin]
    return command


def fio(top, uris, seconds, rw="randwrite", bs="4k", depth=32, fsync=0):
    """What one client on each URI gets done, all at the same time. client: of one processor, by all clients. In the place of a URI may
    stand the path of a file, which is then used past the cache, without any server."""
    command = ["fio", f"--rw={rw}", f"--bs={bs}", f"--iodepth={depth}", f"--fsync={fsync}", "--time_based",
               f"--runtime={seconds}", "--norandommap", "--randrepeat=0", "--refill_buffers", "--group_reporting", "--output-format=json"]
    for number, uri in enumerate(uris):
        file = uri.startswith("/")
        command += [f"--name=client-{number}"]
        command += ["--ioengine=io_uring", "--direct=1", f"--filename={uri}"] if file else ["--ioengine=nbd", f"--uri={uri}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=top,
                          env=dict(os.environ, **{folder.MARK: top}), timeout=seconds + 120)
    if done.returncode:
        raise Failure(f"fio: {(done.stderr + done.stdout)[-400:]}")
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    side = job["read" if "read" in rw else "write"]
    if side["total_ios"] == 0:
        raise Failure(f"fio did nothing at {uris[0]}: {done.stderr[-400:]}")
    return Load(side["iops"], side["bw_bytes"] / 1e6, side["clat_ns"]["mean"] / 1000, side["clat_ns"]["percentile"]["99.000000"] / 1000,
                side["total_ios"], (job["usr_cpu"] + job["sys_cpu"]) / 100 * len(uris))


# --- Offsite's two sites

def start_sites(top, far_data=None):
    """Two linked sites; the far one's data lie elsewhere if so asked."""
    near, far = Site(top, BUILD, "near"), Site(top, BUILD, "far")
    if far_data:
        far.data = far_data
    secret = secrets.token_hex(16)
    near.configure(far, secret)
    far.configure(near, secret)
    near.start()
    far.start()
    return near, far


def adopt(site, image, attach, **parameters):
    """A disk made of a file, and where it is reached once it is attached."""
    disk = site.call("CreateDisk", ZoneId=site.zone, DiskCategory="cloud_essd", DiskName="bench", OffsiteSizeBytes=os.path.getsize(image),
                     OffsitePath=image, **parameters)["DiskId"]
    if attach:
        site.disk_attach(disk, INSTANCE)
    return disk, unix_uri(site.nbd_socket(), disk)


class Pair:
    """Of a disk at the near site and one at the far one."""

    def __init__(self, near, far, disk, far_disk, rpo_s):
        self.near, self.far = near, far
        self.id = near.call("CreateDiskReplicaPair", SourceZoneId=near.zone, DiskId=disk, DestinationRegionId=far.region,
                            DestinationZoneId=far.zone, DestinationDiskId=far_disk, RPO=rpo_s)["ReplicaPairId"]
        self.ages, self.ended = [], threading.Event()
        until(10, "the pair to be created", lambda: self.status() == "created")

    def status(self):
        return self.near.pair(self.id)["Status"]

    def live(self):
        return self.near.pair(self.id)["Offsite"]

    def start(self):
        """Until the far site has a recovery point on stable storage."""
        self.near.call("StartDiskReplicaPair", ReplicaPairId=self.id)
        until(600, "the first full sync", lambda: self.live()["Consistent"], pause=0.02)

    def remove(self):
        """Until both sites have forgotten it."""
        self.near.call("StopDiskReplicaPair", ReplicaPairId=self.id)
        until(30, "the pair to stop", lambda: self.status() == "stopped")
        self.near.call("DeleteDiskReplicaPair", ReplicaPairId=self.id)
        until(30, "the pair to be deleted", lambda: not any(site.call("DescribeDiskReplicaPairs", PairIds=self.id)["ReplicaPairs"]
                                                            for site in (self.near, self.far)))

    def _sample(self):
        while not self.ended.wait(0.2):
            self.ages.append(self.live()["RecoveryAgeMs"] / 1000)

    def __enter__(self):
        """Collects the recovery point's ages, in seconds, until the end of the block."""
        self.ended.clear()
        self.sampler = threading.Thread(target=self._sample)
        self.sampler.start()
        return self

    def __exit__(self, *failure):
        self.ended.set()
        self.sampler.join()
