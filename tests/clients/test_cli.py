"""The command `offsite` against real daemons: what a person types, mistakes included."""
import json
import os
import re
import subprocess

import offsite

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


def test_every_command_option_and_key_is_in_a_manual():
    manuals = {name: (offsite.REPOSITORY / "docs" / "man" / name).read_text().replace("\\-", "-")
               for name in ("offsite.1", "offsited.8", "offsite-sim.1", "offsite.conf.5")}
    for program, name in ((OFFSITE, "offsite.1"), (offsite.OFFSITED, "offsited.8"),
                          (offsite.BUILD / "src" / "sim" / "offsite-sim", "offsite-sim.1")):
        told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=10, check=True).stdout
        for option in set(re.findall(r"--[a-z][a-z-]+", told)):
            assert option in manuals[name], f"{name} does not tell {option}"
        for noun, verb in re.findall(r"^  offsite (\w+) (\w+)", told, re.M):
            as_pair = "pair" if noun == "group" and verb not in ("create", "add", "remove") else noun
            assert f"{as_pair} {verb}" in manuals[name], f"{name} does not tell {noun} {verb}"
            options = subprocess.run([program, noun, verb, "--help"], capture_output=True, text=True, timeout=10, check=True)
            for option in set(re.findall(r"--[a-z][a-z-]+", options.stdout)):
                assert option in manuals[name], f"{name} does not tell {option} of {noun} {verb}"
    example = (offsite.REPOSITORY / "packaging" / "offsite.conf").read_text()
    for key in re.findall(r"^#? ?([a-z_]+) = ", example, re.M):
        assert key in manuals["offsite.conf.5"], f"offsite.conf.5 does not tell {key}"


def test_mistakes_are_answered_with_what_to_do(site):
    assert "did you mean \"offsite disk list\"" in cli(site, "disk", "lst", status=2)
    assert "offsite --help" in cli(site, "nonsense", "words", status=2)
    assert "--size" in cli(site, "disk", "create", status=2)
    assert "is no size" in cli(site, "disk", "create", "--size", "big", status=2)
    assert "no disk \"d-none\"" in cli(site, "disk", "show", "d-none", status=1)
    assert "has no option --rpo" in cli(site, "disk", "list", "--rpo", "5", status=2)
    assert "write \"offsite disk delete DISK\"" in cli(site, "disk", "delete", status=2)
    assert "no site \"nowhere\"" in cli(site, "group", "create", "--to", "nowhere", status=1)
    assert "is it running" in cli(site, "disk", "list", "--endpoint", "http://127.0.0.1:1", status=1)
    assert "cannot read" in cli(None, "disk", "list", "--dir", "/nowhere", status=1)


def test_help_is_everywhere(site):
    for words in ([], ["disk"], ["disk", "create"], ["group", "watch"]):
        assert "usage: offsite" in cli(site, *words, "--help")
    assert cli(site, "--version").startswith("offsite 0.")


def test_two_disks_of_one_name_are_told_apart(site):
    for _ in range(2):
        cli(site, "disk", "create", "--size", "1M", "--name", "twin")
    assert "2 disks are called \"twin\"" in cli(site, "disk", "delete", "twin", status=1)
