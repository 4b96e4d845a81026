"""Offsite daemons for black-box tests: a site on a temporary folder, its API, its disks, its end.

    def test_x(site):                     # one running site (fixtures are in tests/conftest.py)
        disk = site.disk(64 << 20)        # made, attached, exported; disk.uri, disk.unix_uri, disk.path
        site.call("DescribeDisks", RegionId=site.region)
        site.kill(); site.start()         # SIGKILL, then the same folder again

    def test_y(two_sites):                # two sites that are each other's peers, linked
        north, south = two_sites

OFFSITE_BUILD names the build folder (default: <repository>/build). Every wait has a limit; nothing sleeps to hope.
"""

import base64
import configparser
import contextlib
import datetime
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OFFSITE_BUILD", REPOSITORY / "build")).resolve()
OFFSITED = BUILD / "src" / "daemon" / "offsited"
OFFSITE = BUILD / "src" / "cli" / "offsite"
LIMIT_S = 30
SECRET = "a secret that both sites share"
ECS_ACTIONS = ("CreateDisk", "DescribeDisks", "AttachDisk", "DetachDisk", "DeleteDisk", "ResizeDisk",
               "ModifyDiskAttribute", "DescribeZones", "RunInstances", "DescribeInstances", "DeleteInstance",
               "DeleteInstances")
MIB = 1 << 20


def until(what, predicate, limit_s=LIMIT_S):
    """Polls until predicate() gives something true, which it returns; fails with `what` after the limit."""
    end = time.monotonic() + limit_s
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < end, f"not within {limit_s} s: {what() if callable(what) else what}"
        time.sleep(0.02)


def every_port():
    """Over and over: those of this process, in an order that another run does not share."""
    first = 20000 + 1500 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8)
    return itertools.cycle(random.sample(range(first, first + 1500), 1500))


PORTS = every_port()


def free_ports(count):
    """Ports that nothing listens on, below those the kernel gives to connecting clients; each process that runs tests has its own.
    One given to a site that has not started yet is not given again for long."""
    ports = []
    while len(ports) < count:
        port = next(PORTS)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


def run(*command, ok=True, limit_s=60, **options):
    """Runs a command to its end; its output is text. ok: it must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=limit_s,
                          stdin=subprocess.DEVNULL, check=False, **options)
    assert not ok or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class ApiError(Exception):
    """What the API refused: HTTP status, code and message as it said them."""

    def __init__(self, action, status, code, message):
        super().__init__(f"{action}: {status} {code}: {message}")
        self.status, self.code, self.message = status, code, message


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def signed(parameters, key_id, secret, verb="GET", clock_s=0):
    """The query of a call with signature version 1, complete; a parameter that is None is left out.
    clock_s: how far the site's clock is ahead of ours."""
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=clock_s)
    query = {"Format": "JSON", "AccessKeyId": key_id, "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
             "SignatureNonce": str(uuid.uuid4()),
             "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    query.update(parameters)
    query = {name: str(value) for name, value in query.items() if value is not None}
    canonical = "&".join(f"{encode(name)}={encode(query[name])}" for name in sorted(query))
    digest = hmac.new((secret + "&").encode(), f"{verb}&%2F&{encode(canonical)}".encode(), hashlib.sha1).digest()
    return canonical + "&Signature=" + encode(base64.b64encode(digest).decode())


def http(url, body=None, limit_s=10):
    """Status and body of one request, whatever the status; no proxy comes between."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, data=body), timeout=limit_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Disk:
    """A disk of a site, by its id."""

    def __init__(self, site, disk_id):
        self.site, self.id = site, disk_id

    def row(self):
        rows = self.site.call("DescribeDisks", DiskIds=json.dumps([self.id]))["Disks"]["Disk"]
        assert len(rows) == 1, f"{self.id}: {rows}"
        return rows[0]

    def wait_status(self, status):
        return until(lambda: f"{self.id} {status}: {self.row()}", lambda: self.row()["Status"] == status)

    def attach(self, instance="i-test"):
        self.site.call("AttachDisk", DiskId=self.id, InstanceId=instance)
        self.wait_status("In_use")
        return self

    def detach(self, instance="i-test"):
        self.site.call("DetachDisk", DiskId=self.id, InstanceId=instance)
        self.wait_status("Available")
        return self

    def delete(self):
        self.site.call("DeleteDisk", DiskId=self.id)
        until(f"{self.id} deleted", lambda: not self.site.call("DescribeDisks", DiskIds=json.dumps([self.id]))["Disks"]["Disk"])

    @property
    def uri(self):
        return f"nbd://127.0.0.1:{self.site.nbd_port}/{self.id}"

    @property
    def unix_uri(self):
        return f"nbd+unix:///{self.id}?socket={urllib.parse.quote(str(self.site.nbd_socket))}"

    @property
    def path(self):
        """Of the raw file below."""
        return pathlib.Path(self.row()["Offsite"]["Path"])


class Site:
    """One site. Made stopped; start() waits until it is ready. wan.py places one elsewhere, with another clock."""

    link_host = "127.0.0.1"
    environment = {}
    command = [str(OFFSITED)]
    pass_fds = ()
    clock_s = 0
    shards = int(os.environ.get("OFFSITE_SHARDS", "1"))  # read by configure()
    apart = False  # a port for each dialect of the API; read by configure()

    def place(self):
        """In this context processes of the site are started and its API is called."""
        return contextlib.nullcontext()

    def __init__(self, folder, region="north", extra="", peers=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.region, self.zone, self.extra = region, region + "-a", extra
        self.run_folder = pathlib.Path(f"/dev/shm/offsite-test-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        self.api_port, self.nbd_port, self.link_port, self.huawei_port = free_ports(4)
        # A path of a Unix socket is at most 107 characters; temporary folders of tests are long.
        self.nbd_socket = self.run_folder / "nbd.sock"
        self.log_path = self.folder / "log"
        self.process = self.key = None
        self.configure(peers)

    def configure(self, peers=(), extra=None):
        """Writes the configuration; read at the next start."""
        self.extra = self.extra if extra is None else extra
        self.run_folder.mkdir(mode=0o700, exist_ok=True)
        lines = ["[site]", f"region={self.region}", f"zone={self.zone}", f"data={self.folder}", f"run={self.run_folder}",
                 f"shards={self.shards}", "log=debug", "[api]",
                 *([f"aliyun=127.0.0.1:{self.api_port}", f"huawei=127.0.0.1:{self.huawei_port}"] if self.apart
                   else [f"listen=127.0.0.1:{self.api_port}"]),
                 "[nbd]", f"listen=tcp:127.0.0.1:{self.nbd_port}", f"unix={self.nbd_socket}",
                 "[link]", f"listen=tcp:{self.link_host}:{self.link_port}"]
        for peer in peers:
            lines += [f"[peer {peer.zone}]", f"region={peer.region}", f"address=tcp:{peer.link_host}:{peer.link_port}",
                      f"secret={SECRET}"]
        config = self.folder / "offsite.conf"
        config.write_text("\n".join(lines) + "\n" + self.extra)
        config.chmod(0o600)

    # --- life and end

    def start(self):
        assert self.process is None
        begin = len(self.log())
        with open(self.log_path, "a", encoding="utf-8") as log, self.place():
            self.process = subprocess.Popen([*self.command, "--dir", str(self.folder)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, pass_fds=self.pass_fds,
                                            env=dict(os.environ, **self.environment))
        self.wait_log("daemon.ready", begin)
        ini = configparser.ConfigParser(interpolation=None)
        text = (self.folder / "credentials").read_text()
        ini.read_string(text if text.lstrip().startswith("[") else "[key]\n" + text)
        self.key = ini[ini.sections()[0]]
        return self

    def stop(self):
        """SIGTERM; it must end cleanly."""
        process, self.process = self.process, None
        process.terminate()
        try:
            status = process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"SIGTERM did not end it:\n{self.log()[-4000:]}") from None
        assert status == 0, f"exit {status}:\n{self.log()[-8000:]}"
        self.assert_quiet()

    def kill(self):
        """SIGKILL."""
        process, self.process = self.process, None
        process.kill()
        process.wait()
        self.assert_quiet()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        """End of the test: nothing may be left, and nothing may have gone wrong unseen."""
        try:
            if self.process is not None:
                died = self.process.poll()
                if died is None:
                    self.process.send_signal(signal.SIGCONT)
                    self.stop()
                assert died is None, f"offsited ended by itself, status {died}:\n{self.log()[-8000:]}"
            self.assert_quiet()
        finally:
            shutil.rmtree(self.run_folder, ignore_errors=True)

    # --- log

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, words, begin=0, limit_s=LIMIT_S):
        """Waits for these words in the log, after position `begin`; returns the log from there."""
        def look():
            text = self.log()[begin:]
            assert words in text or self.alive(), f"offsited ended, no {words!r}:\n{text[-8000:]}"
            return text if words in text else None
        return until(lambda: f"{words!r} in the log:\n{self.log()[begin:][-4000:]}", look, limit_s)

    def assert_quiet(self):
        text = self.log()
        for word in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion `"):
            assert word not in text, text[-8000:]

    # --- API

    def url(self, query=""):
        return f"http://127.0.0.1:{self.api_port}/" + (f"?{query}" if query else "")

    def call(self, action, **parameters):
        """One signed call; gives the answer, or raises ApiError."""
        everything = {"Action": action, "Version": "2014-05-26" if action in ECS_ACTIONS else "2021-07-30",
                      "RegionId": self.region, **parameters}
        query = signed(everything, self.key["access_key_id"], self.key["access_key_secret"], clock_s=self.clock_s)
        with self.place():
            status, body = http(self.url(query))
        answer = json.loads(body)
        if status != 200:
            raise ApiError(action, status, answer.get("Code"), answer.get("Message"))
        return answer

    def make_disk(self, size, **parameters):
        """A disk of `size` bytes, not attached."""
        parameters.setdefault("DiskCategory", "cloud_essd")
        answer = self.call("CreateDisk", ZoneId=self.zone, OffsiteSizeBytes=size, **parameters)
        disk = Disk(self, answer["DiskId"])
        disk.wait_status("Available")
        return disk

    def disk(self, size, **parameters):
        """A disk of `size` bytes, attached: its NBD export is open."""
        return self.make_disk(size, **parameters).attach()

    def linked(self):
        """Zones of the peers this site is linked with now."""
        regions = self.call("DescribeRegions", RegionId="")["Regions"]
        zones = [zone for region in regions for zone in region["Zones"]]
        return [zone["ZoneId"] for zone in zones if zone.get("Offsite", {}).get("Linked") and zone["ZoneId"] != self.zone]

    def pairs(self, **parameters):
        return self.call("DescribeDiskReplicaPairs", **parameters)["ReplicaPairs"]

    def groups(self, **parameters):
        return self.call("DescribeDiskReplicaGroups", **parameters)["ReplicaGroups"]


def make_two_sites(folder, extra=""):
    """Two sites, each other's peers; not started."""
    north = Site(pathlib.Path(folder) / "north", "north", extra)
    south = Site(pathlib.Path(folder) / "south", "south", extra)
    north.configure([south])
    south.configure([north])
    return north, south


def wait_linked(*sites):
    for site in sites:
        until(f"{site.zone} linked", lambda site=site: len(site.linked()) == len(sites) - 1)


@contextlib.contextmanager
def two_sites_one_small(folder, small):
    """Two running sites that are linked, north and south, and a file system of 24 MiB: the data of the one named is on it."""
    mount = folder / "mount"
    mount.mkdir()
    with contextlib.ExitStack() as stack:
        run("mount", "-t", "tmpfs", "-o", "size=24m", "offsite-test", mount)
        stack.callback(run, "umount", mount)
        north, south = (Site((mount if region == small else folder) / region, region) for region in ("north", "south"))
        stack.callback(south.close)
        stack.callback(north.close)
        north.configure([south])
        south.configure([north])
        north.start()
        south.start()
        wait_linked(north, south)
        yield north, south, mount
