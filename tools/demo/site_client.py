"""One Offsite site: its configuration, its daemon, and a client of its API (Alibaba's RPC style, signature version 1)."""
import base64
import configparser
import datetime
import hashlib
import hmac
import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
import uuid

import folder
from terminal import Failure, until

VERSIONS = {"CreateDisk": "2014-05-26", "DescribeDisks": "2014-05-26", "AttachDisk": "2014-05-26",
            "DetachDisk": "2014-05-26", "DeleteDisk": "2014-05-26"}
CYCLE_MS = 1000


class Refused(Exception):
    def __init__(self, action, code, message):
        super().__init__(f"{action}: {code}: {message}")
        self.code = code


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Site:
    def __init__(self, top, build, region):
        self.top, self.build, self.region, self.zone = top, build, region, region + "-a"
        self.data = os.path.join(top, region)
        self.run = os.path.join(folder.run_folder(top), region)
        self.api_port, self.link_port, self.nbd_port = free_ports(3)
        self.process = None

    def configure(self, peer=None, secret=None, site=(), nbd=()):
        """site, nbd: more lines of these sections."""
        os.makedirs(self.data, mode=0o700)
        os.makedirs(self.run, mode=0o700)
        lines = ["[site]", f"region = {self.region}", f"zone = {self.zone}", f"data = {self.data}", f"run = {self.run}", *site, "",
                 "[api]", f"listen = 127.0.0.1:{self.api_port}", "",
                 "[nbd]", f"listen = tcp:127.0.0.1:{self.nbd_port}", f"unix = {self.data}/nbd.sock", *nbd, "",
                 "[link]", f"listen = tcp:127.0.0.1:{self.link_port}", "",
                 "[limits]", f"cycle_ms = {CYCLE_MS}", ""]
        if peer:
            lines += [f"[peer {peer.zone}]", f"region = {peer.region}", f"address = tcp:127.0.0.1:{peer.link_port}",
                      f"secret = {secret}", ""]
        with open(os.path.join(self.data, "offsite.conf"), "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write("\n".join(lines))

    def start(self):
        command = [os.path.join(self.build, "src/daemon/offsited"), "--dir", self.data]
        begin = len(self.log())
        self.process = folder.spawn(self.top, command, log=f"{self.region}.log")

        def ready():
            if self.process.poll() is not None:
                raise Failure(f"the site {self.region} ended at start, its log says:\n{self.log_end()}")
            return "daemon.ready" in self.log()[begin:]
        until(30, f"{self.region} to start", ready)
        credentials = configparser.ConfigParser()
        with open(os.path.join(self.data, "credentials")) as text:
            inside = text.read()
        credentials.read_string(inside if inside.lstrip().startswith("[") else "[key]\n" + inside)
        self.key = credentials[credentials.sections()[0]]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        path = os.path.join(self.top, f"{self.region}.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as text:
            return text.read()

    def log_end(self):
        return "\n".join(self.log().rstrip().split("\n")[-5:])

    def call(self, action, **parameters):
        """One signed request; gives the answer, or raises Refused with the API's own code."""
        query = {"Action": action, "Version": VERSIONS.get(action, "2021-07-30"), "Format": "JSON", "RegionId": self.region,
                 "AccessKeyId": self.key["access_key_id"], "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0",
                 "SignatureNonce": str(uuid.uuid4()),
                 "Timestamp": datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")}
        query.update({name: str(value) for name, value in parameters.items()})

        def encode(text):
            return urllib.parse.quote(text, safe="-_.~")
        canonical = "&".join(f"{encode(name)}={encode(query[name])}" for name in sorted(query))
        digest = hmac.new((self.key["access_key_secret"] + "&").encode(), f"GET&%2F&{encode(canonical)}".encode(), hashlib.sha1)
        signature = encode(base64.b64encode(digest.digest()).decode())
        url = f"http://127.0.0.1:{self.api_port}/?{canonical}&Signature={signature}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            body = json.loads(error.read() or b"{}")
            raise Refused(action, body.get("Code", error.code), body.get("Message", "")) from None
        except OSError as error:
            raise Failure(f"{action} at {self.region}: {error}") from None

    def disk_create(self, name, size_mib):
        return self.call("CreateDisk", ZoneId=self.zone, OffsiteSizeBytes=size_mib << 20, DiskName=name,
                         DiskCategory="cloud_essd")["DiskId"]

    def disk_attach(self, disk, instance):
        self.call("AttachDisk", DiskId=disk, InstanceId=instance)

    def disk_detach(self, disk, instance):
        self.call("DetachDisk", DiskId=disk, InstanceId=instance)

    def disk_row(self, disk):
        return self.call("DescribeDisks", DiskIds=json.dumps([disk]))["Disks"]["Disk"][0]

    def disk_status(self, disk):
        return self.disk_row(disk)["Status"]

    def disk_path(self, disk):
        """Of its raw image."""
        return self.disk_row(disk)["Offsite"]["Path"]

    def group(self, group):
        rows = self.call("DescribeDiskReplicaGroups", GroupIds=group)["ReplicaGroups"]
        if not rows:
            raise Failure(f"{self.region} does not know the group {group}")
        return rows[0]

    def pair(self, pair):
        rows = self.call("DescribeDiskReplicaPairs", PairIds=pair)["ReplicaPairs"]
        if not rows:
            raise Failure(f"{self.region} does not know the pair {pair}")
        return rows[0]

    def nbd_socket(self):
        return os.path.join(self.data, "nbd.sock")
