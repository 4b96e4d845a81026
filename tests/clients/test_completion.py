"""What the tab key offers for `offsite` in bash."""
import os
import subprocess

import offsite

SCRIPT = """
. "$1"
COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
_offsite
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offers(*words):
    """What may stand in place of the last word."""
    paths = f"{offsite.OFFSITE.parent}:{os.environ['PATH']}"
    file = offsite.REPOSITORY / "packaging" / "offsite.bash-completion"
    done = subprocess.run(["bash", "--norc", "-uc", SCRIPT, "bash", file, "offsite", *words], capture_output=True, text=True,
                          timeout=60, check=False, env={**os.environ, "PATH": paths, "LC_ALL": "C"})
    assert done.stderr == "" and done.returncode == 0, done.stderr
    return done.stdout.split()


def test_commands_and_options():
    assert offers("") == ["disk", "group", "key", "pair", "policy", "role", "site", "user"]
    assert offers("d") == ["disk"]
    assert offers("disk", "") == ["list", "show", "create", "attach", "detach", "resize", "modify", "delete"]
    assert offers("pair", "st") == ["start", "stop"]
    assert offers("pair", "create", "--to") == ["--to", "--to-disk"]
    assert offers("group", "watch", "--o") == ["--once"]
    assert "--version" in offers("--")
    assert offers("disk", "create", "--size", "") == []


def test_ids_names_and_zones_come_from_the_site(site, tmp_path):
    ids = [site.make_disk(1 << 20, DiskName=name).id for name in ("web", "log")]
    where = ("--dir", str(site.folder))
    assert sorted(offers(*where, "disk", "attach", "")) == sorted(ids + ["web", "log"])
    assert offers("disk", "attach", *where, "we") == ["web"]
    assert offers(*where, "user", "attach", "") == ["root"]
    assert offers(*where, "user", "attach", "root", "") == ["AdministratorAccess", "ReadOnlyAccess"]
    assert offers(*where, "key", "disable", "L") == [site.key["access_key_id"]]
    assert offers(*where, "key", "create", "--user", "r") == ["root"]
    assert offers(*where, "disk", "attach", "web", "") == []
    assert offers(*where, "pair", "create", "--disk", "lo") == ["log"]
    assert offers(*where, "pair", "create", "--to", "") == [site.zone]
    assert offers(*where, "group", "add", "") == []
    # A site that does not answer is asked in vain, and quietly.
    assert offers("--dir", str(tmp_path / "none"), "disk", "attach", "") == []


def test_a_pair_is_offered_where_a_pair_goes(two_sites):
    north, south = two_sites
    near, far = north.make_disk(1 << 20), south.make_disk(1 << 20)
    to = {"SourceZoneId": north.zone, "DestinationRegionId": south.region, "DestinationZoneId": south.zone, "RPO": 5}
    pair = north.call("CreateDiskReplicaPair", DiskId=near.id, DestinationDiskId=far.id, PairName="two", **to)["ReplicaPairId"]
    group = north.call("CreateDiskReplicaGroup", GroupName="all", **to)["ReplicaGroupId"]
    where = ("--dir", str(north.folder))
    assert sorted(offers(*where, "pair", "start", "")) == sorted([pair, "two"])
    assert sorted(offers(*where, "group", "add", "")) == sorted([group, "all"])
    assert sorted(offers(*where, "group", "add", "all", "")) == sorted([pair, "two"])
