"""Users, keys, policies, sessions: who may call, what, and the line that each call leaves."""

import json
import re
import shutil
import uuid

import pytest

from offsite import ApiError, BUILD, MIB, http, run, signed
from wan import SKEWED_CLOCK

EBS, ECS, RAM, STS = "2021-07-30", "2014-05-26", "2015-05-01", "2015-04-01"
OFFSITE = BUILD / "src" / "cli" / "offsite"


def offsite(site, *words, ok=True, text=None):
    if text is not None:
        path = site.folder / f"{uuid.uuid4().hex}.json"
        path.write_text(text)
        words += ("--file", path)
    return run(OFFSITE, "--dir", site.folder, *words, ok=ok)


class Caller:
    """A key, perhaps of a session, and calls with it."""

    def __init__(self, site, key_id, secret, token=None, clock_s=0):
        self.site, self.key_id, self.secret, self.token, self.clock_s = site, key_id, secret, token, clock_s

    def query(self, action, version, **parameters):
        parameters = {"Action": action, "Version": version, "RegionId": self.site.region, **parameters}
        if self.token is not None:
            parameters["SecurityToken"] = self.token
        return signed(parameters, self.key_id, self.secret, clock_s=self.clock_s)

    def call(self, action, version=EBS, **parameters):
        status, body = http(f"http://127.0.0.1:{self.site.api_port}/?" + self.query(action, version, **parameters))
        answer = json.loads(body)
        if status != 200:
            raise ApiError(action, status, answer["Code"], answer["Message"])
        return answer

    def refused(self, action, version=EBS, **parameters):
        with pytest.raises(ApiError) as refused:
            self.call(action, version, **parameters)
        return refused.value.status, refused.value.code


def user(site, name, *policies):
    offsite(site, "user", "create", name)
    for policy in policies:
        offsite(site, "user", "attach", name, policy)
    key = dict(line.split() for line in offsite(site, "key", "create", "--user", name).stdout.splitlines()[:2])
    return Caller(site, key["id"], key["secret"])


def root(site):
    return Caller(site, site.key["access_key_id"], site.key["access_key_secret"])


def policy(*statements):
    return json.dumps({"Version": "1", "Statement": statements})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def test_a_new_user_may_do_nothing(site):
    nobody = user(site, "nobody")
    assert nobody.refused("DescribeDiskReplicaPairs") == (403, "Forbidden.Action")
    assert nobody.refused("CreateDisk", ECS, Size=1) == (403, "Forbidden.Action")
    assert nobody.refused("ListUsers", RAM) == (403, "Forbidden.Action")
    assert nobody.call("GetCallerIdentity", STS)["Arn"] == "acs:ram::offsite:user/nobody"
    detail = json.loads(http(f"http://127.0.0.1:{site.api_port}/?" + nobody.query("DescribeDisks", ECS))[1])["AccessDeniedDetail"]
    assert detail == {"AuthAction": "ecs:DescribeDisks", "AuthPrincipalType": "SubUser", "AuthPrincipalDisplayName": "nobody"}


def test_policies_name_actions_and_resources(site):
    mine, other = site.make_disk(MIB), site.make_disk(MIB)
    offsite(site, "policy", "create", "one-disk", text=policy(
        allow("ecs:*Disk*", [f"acs:ecs:*:*:disk/{mine.id}", "acs:ecs:*:*:instance/i-1"])))
    reader = user(site, "reader", "ReadOnlyAccess", "one-disk")
    assert reader.call("DescribeDisks", ECS)["TotalCount"] == 2
    reader.call("AttachDisk", ECS, DiskId=mine.id, InstanceId="i-1")
    assert reader.refused("AttachDisk", ECS, DiskId=other.id, InstanceId="i-1") == (403, "Forbidden")
    assert reader.refused("AttachDisk", ECS, DiskId=mine.id, InstanceId="i-2") == (403, "Forbidden")
    # Also in a numbered list.
    reader.call("ModifyDiskAttribute", ECS, **{"DiskIds.1": mine.id}, DiskName="mine")
    assert reader.refused("ModifyDiskAttribute", ECS, **{"DiskIds.1": mine.id, "DiskIds.2": other.id},
                          DiskName="all-mine") == (403, "Forbidden")
    assert reader.refused("StopDiskReplicaPair", ReplicaPairId="pair-x") == (403, "Forbidden.Action")
    assert other.row()["Status"] == "Available"
    # An explicit Deny wins, whatever allows it, and whichever was attached first.
    offsite(site, "policy", "create", "no-detach", text=policy({"Effect": "Deny", "Action": "ecs:Detach*", "Resource": "*"}))
    offsite(site, "user", "attach", "reader", "no-detach")
    offsite(site, "user", "attach", "reader", "AdministratorAccess")
    assert reader.refused("DetachDisk", ECS, DiskId=mine.id, InstanceId="i-1") == (403, "Forbidden.Action")
    offsite(site, "user", "detach", "reader", "no-detach")
    reader.call("DetachDisk", ECS, DiskId=mine.id, InstanceId="i-1")
    # What names several things needs leave for each.
    offsite(site, "user", "detach", "reader", "AdministratorAccess")
    offsite(site, "user", "detach", "reader", "ReadOnlyAccess")
    both = json.dumps([mine.id, other.id])
    offsite(site, "policy", "create", "look", text=policy(allow("ecs:DescribeDisks", f"acs:ecs:*:*:disk/{mine.id}")))
    offsite(site, "user", "attach", "reader", "look")
    assert reader.call("DescribeDisks", ECS, DiskIds=json.dumps([mine.id]))["TotalCount"] == 1
    assert reader.refused("DescribeDisks", ECS, DiskIds=both) == (403, "Forbidden")
    assert reader.refused("DescribeDisks", ECS) == (403, "Forbidden")


def test_policies_look_at_address_and_time(site):
    def condition(operator, key, value):
        return policy(allow("ebs:*", Condition={operator: {key: value}}))

    texts = {"here": condition("IpAddress", "acs:SourceIp", ["10.0.0.0/8", "127.0.0.0/8"]),
             "elsewhere": condition("IpAddress", "acs:SourceIp", "10.0.0.0/8"),
             "not-here": condition("NotIpAddress", "acs:SourceIp", "127.0.0.1"),
             "past": condition("DateLessThan", "acs:CurrentTime", "2020-01-01T00:00:00Z"),
             "future": condition("DateLessThan", "acs:CurrentTime", "2090-01-01T00:00:00Z"),
             "secure": condition("Bool", "acs:SecureTransport", "true")}
    someone = user(site, "someone")
    for name, text in texts.items():
        offsite(site, "policy", "create", name, text=text)
        offsite(site, "user", "attach", "someone", name)
        if name in ("here", "future"):
            someone.call("DescribeDiskReplicaPairs")
        else:
            assert someone.refused("DescribeDiskReplicaPairs") == (403, "Forbidden.Action"), name
        offsite(site, "user", "detach", "someone", name)


def test_keys_are_rotated_disabled_deleted(site):
    someone = user(site, "someone", "ReadOnlyAccess")
    second = json.loads(offsite(site, "key", "create", "--user", "someone", "--json").stdout)["AccessKey"]
    assert offsite(site, "key", "create", "--user", "someone", ok=False).returncode == 1
    offsite(site, "key", "disable", someone.key_id)
    assert someone.refused("DescribeRegions") == (400, "InvalidAccessKeyId.Inactive")
    Caller(site, second["AccessKeyId"], second["AccessKeySecret"]).call("DescribeRegions")
    offsite(site, "key", "enable", someone.key_id)
    someone.call("DescribeRegions")
    site.kill()
    site.start()
    someone.call("DescribeRegions")
    assert "delete them first" in offsite(site, "user", "delete", "someone", ok=False).stderr
    offsite(site, "key", "delete", someone.key_id)
    assert someone.refused("DescribeRegions") == (404, "InvalidAccessKeyId.NotFound")


def test_the_first_key_can_be_replaced(site):
    first = site.key["access_key_id"]
    assert "only active key" in offsite(site, "key", "delete", first, ok=False).stderr
    second = offsite(site, "key", "create", "--user", "root").stdout.split()[1]
    offsite(site, "key", "delete", first)
    assert second in (site.folder / "credentials").read_text()
    assert second in offsite(site, "key", "list").stdout
    log = site.log()
    assert log.count("the first access key") == 1 and first in log
    site.stop()
    site.start()
    assert site.log().count("the first access key") == 1


def test_secrets_are_sealed(site):
    someone = user(site, "someone")
    site.stop()
    stored = b"".join(path.read_bytes() for path in site.folder.glob("catalog.sqlite*"))
    assert someone.key_id.encode() in stored
    assert someone.secret.encode() not in stored and site.key["access_key_secret"].encode() not in stored
    path = site.folder / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    kept = path.read_bytes()
    path.unlink()
    with pytest.raises(AssertionError, match="put it back from the backup"):
        site.start()
    site.process = None
    path.write_bytes(kept)
    path.chmod(0o644)
    with pytest.raises(AssertionError, match="chmod 0600"):
        site.start()
    site.process = None
    path.chmod(0o600)
    site.start()
    assert someone.refused("DescribeRegions") == (403, "Forbidden.Action")


def test_a_call_counts_once_over_restarts(site):
    caller = root(site)
    change = caller.query("CreateDisk", ECS, OffsiteSizeBytes=MIB)
    read = caller.query("DescribeDisks", ECS)
    ahead = Caller(site, caller.key_id, caller.secret, clock_s=800).query("DescribeDisks", ECS)
    place = f"http://127.0.0.1:{site.api_port}/?"
    assert [http(place + query)[0] for query in (change, read, ahead)] == [200, 200, 200]
    for end in (site.kill, site.stop):
        end()
        site.start()
        for query in (change, read, ahead):
            status, body = http(place + query)
            assert (status, json.loads(body)["Code"]) == (400, "SignatureNonceUsed")
    assert caller.call("DescribeDisks", ECS)["TotalCount"] == 1


def assume(caller, role, session="night", **more):
    return caller.call("AssumeRole", STS, RoleArn=f"acs:ram::offsite:role/{role}", RoleSessionName=session, **more)


def test_sessions_of_roles(site):
    offsite(site, "role", "create", "operator", "--comment", "moves groups")
    offsite(site, "role", "attach", "operator", "AdministratorAccess")
    someone = user(site, "someone")
    assert someone.refused("AssumeRole", STS, RoleArn="acs:ram::offsite:role/operator", RoleSessionName="x1")[1] == "Forbidden.Action"
    offsite(site, "policy", "create", "may-assume", text=policy(allow("sts:AssumeRole", "acs:ram:*:*:role/operator")))
    offsite(site, "user", "attach", "someone", "may-assume")
    given = assume(someone, "operator")["Credentials"]
    session = Caller(site, given["AccessKeyId"], given["AccessKeySecret"], given["SecurityToken"])
    assert session.call("GetCallerIdentity", STS)["IdentityType"] == "AssumedRoleUser"
    session.call("CreateDisk", ECS, OffsiteSizeBytes=MIB)
    site.kill()
    site.start()
    session.call("DescribeDisks", ECS)

    def refused(**changes):
        other = Caller(site, session.key_id, session.secret, session.token)
        for name, value in changes.items():
            setattr(other, name, value)
        return other.refused("DescribeDisks", ECS)[1]

    assert refused(token=None) == "InvalidAccessKeyId.NotFound"
    assert refused(token="nonsense") == "InvalidSecurityToken.Malformed"
    assert refused(token=session.token[:-6] + "AAAAA=") == "InvalidSecurityToken.Malformed"
    assert refused(key_id=someone.key_id) == "InvalidSecurityToken.MismatchWithAccessKey"
    assert refused(secret="wrong") == "SignatureDoesNotMatch"
    # A session may be narrowed, and never widened.
    narrow = assume(someone, "operator", Policy=policy(allow("ecs:Describe*")))["Credentials"]
    narrow = Caller(site, narrow["AccessKeyId"], narrow["AccessKeySecret"], narrow["SecurityToken"])
    narrow.call("DescribeDisks", ECS)
    assert narrow.refused("CreateDisk", ECS, Size=1) == (403, "Forbidden.Action")
    offsite(site, "role", "detach", "operator", "AdministratorAccess")
    assert session.refused("DescribeDisks", ECS) == (403, "Forbidden.Action")
    offsite(site, "role", "delete", "operator")
    assert session.refused("DescribeDisks", ECS) == (400, "InvalidSecurityToken.Malformed")


def test_sessions_end(site):
    offsite(site, "role", "create", "operator")
    offsite(site, "role", "attach", "operator", "ReadOnlyAccess")
    given = assume(root(site), "operator", DurationSeconds=900)["Credentials"]
    assert root(site).refused("AssumeRole", STS, RoleArn="acs:ram::offsite:role/operator", RoleSessionName="x1",
                              DurationSeconds=899) == (400, "InvalidParameter")
    site.stop()
    clock = shutil.copy(SKEWED_CLOCK, site.run_folder / "clock.so")  # LD_PRELOAD takes no path with a blank
    site.environment = {"LD_PRELOAD": str(clock), "OFFSITE_SKEW_S": "901"}
    site.start()
    late = Caller(site, given["AccessKeyId"], given["AccessKeySecret"], given["SecurityToken"], clock_s=901)
    assert late.refused("DescribeDisks", ECS) == (400, "InvalidSecurityToken.Expired")


def test_every_call_leaves_a_line(site):
    someone = user(site, "someone")
    disk = site.make_disk(MIB)
    begin = len(site.log())
    someone.refused("DeleteDisk", ECS, DiskId=disk.id)
    root(site).call("DescribeDisks", ECS, DiskIds=json.dumps([disk.id]))
    Caller(site, 'LTAI"\n status=200', "x").refused("DescribeDisks", ECS)
    root(site).refused("NoSuchAction")
    disk.delete()
    lines = [line for line in site.log()[begin:].splitlines() if " api.call " in line]
    rows = [dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line)) for line in lines]
    assert [(row["user"], row["action"], row["status"], row["code"]) for row in rows[:5]] == [
        ('"someone"', "ecs:DeleteDisk", "403", "Forbidden.Action"), ('"root"', "ecs:DescribeDisks", "200", "OK"),
        ('""', "-:-", "404", "InvalidAccessKeyId.NotFound"), ('"root"', "-:-", "404", "InvalidAction.NotFound"),
        ('"root"', "ecs:DeleteDisk", "200", "OK")]
    assert rows[0]["object"] == rows[4]["object"] == f'"{disk.id}"' and rows[0]["from"] == "127.0.0.1"
    assert rows[2]["key"] == '"LTAI?? status=200"'
    assert all(re.fullmatch(r"[0-9A-F-]{36}", row["request"]) for row in rows)
    for secret in (site.key["access_key_secret"], someone.secret):
        assert secret not in site.log().split("daemon.ready", 1)[1]
