"""The command `offsite` against real daemons: what a person types, mistakes included."""
import http.server
import json
import os
import socket
import subprocess
import threading
import urllib.parse

import offsite
from huawei import Huawei

OFFSITE = os.path.join(offsite.BUILD, "src", "cli", "offsite")


def cli(site, *arguments, status=0):
    directory = [] if site is None else ["--dir", str(site.folder)]
    done = subprocess.run([OFFSITE, *arguments, *directory], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return done.stdout.strip() if status == 0 else done.stderr.strip()


def test_a_whole_life(two_sites):
    north, south = two_sites
    here, there = north.zone, south.zone
    assert "linked" in cli(north, "site", "list")
    disk = cli(north, "disk", "create", "--size", "16M", "--name", "data")
    copy = cli(south, "disk", "create", "--size", "16M", "--name", "copy")
    assert f"nbd+unix:///{disk}?socket=" in cli(north, "disk", "attach", "data", "--instance", "i-db")
    assert "In_use" in cli(north, "disk", "list")
    assert f"/{disk}" in cli(north, "disk", "show", "data")
    pair = cli(north, "pair", "create", "--disk", "data", "--to", there, "--to-disk", copy, "--rpo", "5", "--name", "pair1")
    group = cli(north, "group", "create", "--to", there, "--rpo", "5", "--name", "group1")
    cli(north, "group", "add", "group1", "pair1")
    cli(north, "group", "start", "group1", "--wait")
    assert "normal" in cli(north, "group", "list")
    assert "recovery point" in cli(north, "group", "watch", "group1", "--once")
    assert json.loads(cli(north, "pair", "show", pair, "--json"))["SourceZoneId"] == here
    assert "in group" in cli(north, "pair", "stop", "pair1", status=1)
    cli(south, "group", "failover", group, "--wait")
    cli(south, "disk", "attach", "copy", "--instance", "i-db")
    assert "failovered" in cli(south, "group", "show", group)
    cli(north, "disk", "detach", "data")
    cli(south, "group", "reprotect", group, "--wait")
    cli(south, "group", "start", group, "--wait")
    assert json.loads(cli(north, "pair", "show", pair, "--json"))["SourceZoneId"] == there
    cli(north, "group", "switchover", "group1", "--wait")
    assert json.loads(cli(north, "pair", "show", pair, "--json"))["SourceZoneId"] == here


def test_sites_that_do_not_link_say_why(tmp_path):
    """A wrong secret, the likeliest mistake of all, left no trace. Said once, not at every try."""
    north, south = offsite.make_two_sites(tmp_path)
    south.configure([north])
    config = south.folder / "offsite.conf"
    config.write_text(config.read_text().replace(f"secret={offsite.SECRET}", "secret=not what the other holds"))
    try:
        north.start()
        north.wait_log(f"link.failed peer={south.zone} reason=\"cannot connect to tcp:127.0.0.1:{south.link_port}")
        with socket.create_server(("127.0.0.1", south.link_port)) as stranger:
            stranger.settimeout(30)
            for _ in range(3):
                connection = stranger.accept()[0]
                connection.recv(4096)
                connection.close()
            said = [line.split("reason=")[1] for line in north.log().split("\n") if "link.failed" in line]
            assert len(set(said)) == len(said) <= 3, said
        south.start()
        reason = "the peer does not hold the same secret: compare both configurations"
        offsite.until("one of them to say it", lambda: reason in north.log() + south.log())
        assert "NOT LINKED: offsited's log says why" in cli(north, "site", "list")
    finally:
        north.close()
        south.close()


def refused(site, line, words, status=2):
    """The command ends with one line on stderr that has these words."""
    said = cli(site, *line.split(), status=status)
    assert words in said and said.startswith("offsite: ") and "\n" not in said, (line, said)


def test_mistakes_are_answered_with_what_to_do(site):
    refused(site, "disk lst", 'did you mean "offsite disk list"')
    refused(site, "disc", 'did you mean "offsite disk"')
    refused(site, "disk explode", '"offsite disk --help" lists them')
    refused(site, "nonsense words", '"offsite --help" lists them')
    refused(site, "nonsense --help", '"offsite --help" lists them')
    refused(site, "disk create", "--size")
    refused(site, "disk create --size big", "is no size")
    refused(site, "disk resize d-1 --size 3M", "write whole GiB, as 20G")
    refused(site, "disk create --size 1000", "a disk has 1 MiB to 64 TiB", status=1)
    refused(site, "disk show d-none", 'no disk "d-none" here: "offsite disk list" shows', status=1)
    refused(site, "pair start pair-none", 'no pair "pair-none" here: "offsite pair list" shows', status=1)
    refused(site, "disk list --rpo 5", 'has no option --rpo: see "offsite disk list --help"')
    refused(site, "disk list --bogus", '--bogus is no option: see "offsite disk list --help"')
    refused(site, "-x", '-x is no option: see "offsite --help"')
    refused(site, "disk delete", 'write "offsite disk delete DISK"')
    refused(site, "disk delete a b", '"b" is one word too many: write "offsite disk delete DISK"')
    refused(site, "group create --to nowhere", 'no site "nowhere": "offsite site list" shows them', status=1)
    refused(site, "pair create --disk a --to south-a --to-disk copy", '"copy" is no disk id: "offsite disk list" at south-a')


def test_an_option_that_is_needed_is_named(site):
    refused(site, "disk attach web", '--instance is missing: write "offsite disk attach DISK --instance ID"')
    refused(site, "pair create --disk a", '--to is missing: write "offsite pair create --disk DISK --to ZONE --to-disk DISK"')
    refused(site, "group create", '--to is missing: write "offsite group create --to ZONE"')
    # The option after it is not its value.
    refused(site, "disk create --size", '--size lacks its value: see "offsite disk create --help"')
    refused(None, "disk create --size", '--size lacks its value: see "offsite disk create --help"')


def test_a_daemon_that_is_not_there_is_said_so(site, tmp_path):
    refused(site, "disk list --endpoint http://127.0.0.1:1", "is it running", status=1)
    refused(None, f"disk list --dir {tmp_path}/nowhere", "start offsited", status=1)
    site.stop()
    refused(site, "disk list", "is it running", status=1)


def test_attach_prints_where_the_disk_is(site):
    disk = cli(site, "disk", "create", "--size", "1M", "--name", "web")
    assert "NBD" not in cli(site, "disk", "show", "web")
    tcp, unix = cli(site, "disk", "attach", "web", "--instance", "i-web").splitlines()
    assert tcp == f"nbd://127.0.0.1:{site.nbd_port}/{disk}"
    assert unix.startswith(f"nbd+unix:///{disk}?socket=/")
    for uri in (tcp, unix):
        assert offsite.run("nbdinfo", "--size", uri).stdout.strip() == str(1 << 20)


def test_attach_says_when_nbd_is_off(tmp_path):
    one = offsite.Site(tmp_path / "site")
    config = one.folder / "offsite.conf"
    text = config.read_text().replace(f"tcp:127.0.0.1:{one.nbd_port}", "none").replace(f"unix={one.nbd_socket}", "unix=none")
    config.write_text(text)
    try:
        one.start()
        cli(one, "disk", "create", "--size", "1M", "--name", "web")
        done = offsite.run(OFFSITE, "disk", "attach", "web", "--instance", "i-web", "--dir", one.folder)
        assert done.stdout == "" and "turns NBD off" in done.stderr
    finally:
        one.close()


def test_help_is_everywhere(site):
    for words in ([], ["disk"], ["disk", "create"], ["group", "watch"]):
        assert "usage: offsite" in cli(site, *words, "--help")
    assert cli(site, "--version").startswith("offsite 0.")


def test_two_disks_of_one_name_are_told_apart(site):
    for _ in range(2):
        cli(site, "disk", "create", "--size", "1M", "--name", "twin")
    assert "2 disks are called \"twin\"" in cli(site, "disk", "delete", "twin", status=1)


def test_names_do_not_rule_the_terminal(site):
    """Those of the other dialect may hold anything."""
    name = "a\x1b[2J\x07\r\nb"
    assert Huawei(site).post("/v3/{project}/volumes", {"volume": {"size": 1, "name": name}}).status == 202
    assert "a?[2J???b" in cli(site, "disk", "list")


def test_waiting_ends_when_it_failed_and_says_why():
    """Against a site of our own making: a group that fails while the command waits for it."""
    answers = {
        "DescribeRegions": {"Regions": [{"RegionId": "r", "Zones": [{"ZoneId": "z", "Offsite": {"Local": True}}]}]},
        "DescribeDiskReplicaGroups": {"ReplicaGroups": [
            {"ReplicaGroupId": "pg-1", "SourceRegionId": "r", "Status": "invalid", "Offsite": {"Reason": "a disk failed: why"}}]},
        "StartDiskReplicaGroup": {},
    }

    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            text = json.dumps(answers[body["Action"][0]]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        done = offsite.run(OFFSITE, "group", "start", "pg-1", "--wait", ok=False, env={
            **os.environ, "OFFSITE_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "OFFSITE_KEY_ID": "a",
            "OFFSITE_KEY_SECRET": "b"})
        server.shutdown()
        thread.join()
    assert done.returncode == 1
    assert done.stderr.strip() == "offsite: group pg-1 is invalid: a disk failed: why"
