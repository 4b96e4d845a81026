"""Clients of OpenStack and Huawei against a site: who calls, how each is run, and what their volumes hold.

    cinder(site, "list")                     # rows of the table that it prints
    openstack(site, "volume", "list")        # what it prints as JSON
    connect(site, 2).block_storage.post(...) # openstacksdk of Debian, block storage of that version
    Program(["calls", ...]).call("pair.get", id=pair)   # a client in another language, a line of JSON each way
"""

import contextlib
import json
import os
import select
import subprocess

import offsite
import openstack as sdk

SERVER = "5c5d6e1a-9f5e-4d1c-8a55-0d7a4f0e1b2c"  # a server of the clients' imagination: Offsite has none


def api(site, path=""):
    return f"http://127.0.0.1:{site.api_port}{path}"


def login(site, password=None):
    """What a client needs to know, by the names that keystoneauth gives it."""
    return {"auth_url": api(site, "/v3"), "username": "root", "password": password or site.key["access_key_secret"],
            "project_name": site.region, "user_domain_name": "Default", "project_domain_name": "Default",
            "region_name": site.region}


def environment(site, password=None):
    """Ours without any cloud of its own, and with the site as the cloud."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return {**kept, **{f"OS_{name.upper()}": value for name, value in login(site, password).items()},
            "OS_IDENTITY_API_VERSION": "3", "COLUMNS": "250"}


def connect(site, version=3, password=None):
    return sdk.connect(load_yaml_config=False, load_envvars=False, block_storage_api_version=str(version),
                       **login(site, password))


def table(text):
    """Rows of a table as the command line draws it; a line without a first cell belongs to the row above it."""
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
    head, rows = lines[0] if lines else [], []
    for cells in lines[1:]:
        if cells[0] or not rows:
            rows.append(dict(zip(head, cells)))
        else:
            rows[-1].update({name: f"{rows[-1][name]}\n{cell}" for name, cell in zip(head, cells) if cell})
    return rows


def cinder(site, *words, version=None, ok=True):
    """Rows of what it prints; a table of properties as one dictionary. not ok: it must fail; gives what it complains."""
    chosen = ["--os-volume-api-version", version] if version else []
    done = offsite.run("cinder", *chosen, *words, ok=ok, env=environment(site))
    if not ok:
        assert done.returncode != 0, done.stdout
        return done.stderr
    rows = table(done.stdout)
    if rows and set(rows[0]) == {"Property", "Value"}:
        return {row["Property"]: row["Value"] for row in rows}
    return rows


def openstack(site, *words, ok=True, shown=True, password=None, program="openstack"):
    """What it prints. shown: it prints something, as JSON. not ok: it must fail; gives what it complains."""
    form = ["-f", "json"] if ok and shown else []
    done = offsite.run(program, *words, *form, ok=ok, env=environment(site, password))
    if not ok:
        assert done.returncode != 0, done.stdout
        return done.stderr
    return json.loads(done.stdout) if shown else None


class Refused(Exception):
    """A refusal, as a program shows it."""

    def __init__(self, call, shown):
        super().__init__(f"{call}: {json.dumps(shown)}")
        self.status, self.code, self.message = shown["status"], shown.get("code"), shown["message"]


class Program:
    """A client in a process of its own, which takes a call and gives an answer a line. `every` is said with each call."""

    def __init__(self, command, **every):
        self.every = every
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0
        self.process.stdout.close()

    def call(self, call, **said):
        self.process.stdin.write(json.dumps({**self.every, "call": call, **said}) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 60)[0], f"{call}: the client does not answer"
        line = self.process.stdout.readline()
        assert line, f"{call}: the client has ended"
        shown = json.loads(line)
        if "answer" not in shown:
            raise Refused(call, shown)
        return shown["answer"]


def passes(what, look, through, to, limit_s=offsite.LIMIT_S):
    """Waits until look() gives `to`; it may give nothing on the way but what is in `through`, as strict clients want it."""
    def seen():
        state = look()
        assert state == to or state in through, f"{what}: {state}, not {to}"
        return state == to
    offsite.until(lambda: f"{what}: {look()}, not {to}", seen, limit_s)


# --- volumes, and what is in them


class Volume:
    """A volume of one GiB in the zone of a site, by openstacksdk there."""

    def __init__(self, site, volume_id=None):
        self.site, self.storage = site, connect(site).block_storage
        self.id = volume_id or self.storage.create_volume(size=1, availability_zone=site.zone, name=f"of {site.zone}").id
        self.wait("available")

    def now(self):
        return self.storage.get_volume(self.id)

    def wait(self, status):
        offsite.until(lambda: f"{self.id} {status}: {self.now()}", lambda: self.now().status == status)

    def attach(self):
        """Gives the address at which it can be read and written."""
        self.storage.attach_volume(self.id, "/dev/vdb", instance=SERVER)
        self.wait("in-use")
        answer = self.storage.post(f"/volumes/{self.id}/action", json={"os-initialize_connection": {
            "connector": {"host": "localhost", "ip": "127.0.0.1", "initiator": "iqn.1993-08.org.debian:01:test"}}})
        assert answer.status_code == 200, answer.text
        connection = answer.json()["connection_info"]
        assert connection["driver_volume_type"] == "nbd", connection
        return connection["data"]["uri"]

    def detach(self):
        self.storage.detach_volume(self.id, self.now().attachments[0]["attachment_id"])
        self.wait("available")

    @contextlib.contextmanager
    def attached(self):
        uri = self.attach()
        yield uri
        self.detach()

    def delete(self):
        self.storage.delete_volume(self.id)
        offsite.until(f"{self.id} to be gone", lambda: self.id not in [one.id for one in self.storage.volumes()])


def write(uri, pattern, offset=0):
    offsite.run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} 1M", "-c", "flush", uri)


def holds(uri, pattern, offset=0):
    """Fails unless the disk there holds what write() wrote."""
    answer = offsite.run("qemu-io", "-r", "-f", "raw", "-c", f"read -P {pattern} {offset} 1M", uri)
    assert "verification failed" not in answer.stdout, answer.stdout


def wait_copied(production):
    """Until all that was written at this site is in a recovery point at the other: what a failover keeps."""
    def all_there():
        rows = [pair["Offsite"] for pair in production.pairs()]
        return rows and all(row["Idle"] and row["DirtyBytes"] == 0 for row in rows)
    offsite.until(lambda: f"all copied: {production.pairs()}", all_there)
