"""Bad input of every parameter of every operation: refused with the documents' code, in JSON, and nothing has changed.

STORY is the table of operations, in an order in which each good call works: before each of them, every bad value of
each of its parameters is sent. What a rule lets pass (an empty optional, a word where any word will do) is sent with
`aside`, which makes the call be refused for another reason: the answer must be that one, so the value was taken, and
still nothing changes."""

import base64
import collections
import hashlib
import hmac
import http.client
import json
import re
import socket
import time
import urllib.parse
import uuid
import xml.etree.ElementTree

import pytest

from offsite import MIB, OFFSITED, REPOSITORY, Site, encode, until

VERSIONS = {"EBS": "2021-07-30", "ECS": "2014-05-26"}
ANSWER_LIMIT_S = 5  # the vendor's clients give up after 3 to 10
ANSWER_SIZE_MAX = 4096  # of a refusal: what was sent is not sent back
BAD = (400, "InvalidParameter")

MISSING = object()
VALUES = {
    "missing": MISSING,
    "empty": "",
    "blank": " ",
    "word": "banana",
    "one letter": "x",
    "zero": "0",
    "64 letters": "l" * 64,
    "65 letters": "l" * 65,
    "128 letters": "l" * 128,
    "129 letters": "l" * 129,
    "257 letters": "l" * 257,
    "long": "a" * 3000,
    "megabyte": "a" * 1_000_000,
    "negative": "-1",
    "fraction": "1.5",
    "hexadecimal": "0x10",
    "beyond 64 bits": "9" * 30,
    "number with a tail": "1 OR 1=1",
    "latin": "caf\u00e9",
    "han": "\u4e2d\u6587",
    "long, not ASCII": "x" + "\u00e9" * 700,  # cut anywhere, an even number of bytes is half a character
    "not UTF-8": b"\xff\xfe\x80",
    "UTF-8 of a surrogate": b"\xed\xa0\x80",
    "overlong UTF-8": b"..\xc0\xaf",
    "control": "\x01\x1b[2J\x7f",
    "newline": "a\nlevel=error",
    "header": "a\r\nSet-Cookie: a=b",
    "quote": "' OR '1'='1' --",
    "shell": "$(touch /tmp/x);`id`|sh",
    "path": "../../../etc/passwd",
    "format": "%s%n%x%99999d",
    "markup": "<a>&amp;]]><!ENTITY",
    "json": "{\"$ne\": null}",
    "array of arrays": "[" * 5000,
    "url": "http://example.com/",
}

# --- the rules: for a kind of value, what it lets pass, and the code that refuses the rest


def text_of(value):
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None


def matches(pattern):
    return lambda value: text_of(value) is not None and re.fullmatch(pattern, text_of(value), re.DOTALL) is not None


def number(low, high):
    return lambda value: matches("[0-9]+")(value) and low <= int(text_of(value)) <= high


def not_url(text):
    return not re.match("https?://", text, re.IGNORECASE)


def listed_disks(value):
    try:
        ids = json.loads(text_of(value) or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(ids, list) and all(isinstance(one, str) for one in ids)


ID = "[A-Za-z0-9._-]{1,63}"
Rule = collections.namedtuple("Rule", "passes codes")


def unknown(*codes):
    """Of something that has to exist: no value of ours does, and what cannot be an id may be told so."""
    return Rule(lambda value: False, {BAD, *codes})


RULES = {
    "region": unknown((404, "InvalidRegionId.NotFound")),
    "zone": unknown((404, "InvalidZoneId.NotFound")),  # EBS has no code for it
    "any id": Rule(matches(ID), {BAD}),
    # These are given back, without a meaning here.
    "charge": Rule(matches("PREPAY|POSTPAY"), {BAD}),
    "period": Rule(matches("[1236]|12|24|36|60"), {BAD}),
    "unit": Rule(matches("Month"), {BAD}),
    "category": Rule(matches("cloud(_efficiency|_ssd|_essd|_auto|_essd_entry)?"),
                     {(400, "InvalidDiskCategory.ValueNotSupported")}),
    "level": Rule(matches("PL[0-3]"), {(400, "InvalidPerformanceLevel.Malformed")}),
    "device": Rule(matches("[ -~]{1,63}"), {BAD}),
    "snapshot": unknown((404, "InvalidSnapshotId.NotFound")),
    "beside a zone": unknown((403, "InvalidParam.ZoneIdAndInstanceId.Conflict")),
    "region of a list": unknown((400, "InvalidRegion.NotFound")),  # of disks and instances alone
    "instance id": unknown((404, "InvalidInstanceId.NotFound")),
    "amount": Rule(number(1, 100), {BAD}),
    **{f"{noun} name": Rule(lambda value: matches("[^\\W\\d_][\\w:.-]{1,127}")(value) and not_url(text_of(value)),
                            {(400, f"Invalid{noun}Name.Malformed")}) for noun in ("Disk", "Instance")},
    "ECS description": Rule(lambda value: matches(".{2,256}")(value) and not_url(text_of(value)),
                            {(400, "InvalidDescription.Malformed")}),
    "EBS id": unknown((404, "NoSuchResource")),
    "disk id": unknown((404, "InvalidDiskId.NotFound")),
    "resource id": unknown((404, "InvalidResourceId.NotFound")),
    "resource type": Rule(lambda value: False, {(404, "InvalidResourceType.NotFound")}),
    "instance": Rule(matches(ID), {BAD}),
    "attached to": Rule(lambda value: False, {BAD, (403, "DependencyViolation")}),
    "name": Rule(lambda value: matches("[^\\W\\d_][\\w:.-]{1,127}")(value) and not_url(text_of(value)), {BAD}),
    "description": Rule(lambda value: matches(".{2,256}")(value) and not_url(text_of(value)), {BAD}),
    "token": Rule(matches("[ -~]{1,64}"), {BAD}),
    "flag": Rule(matches("(?i)true|false"), {BAD}),
    "seconds": Rule(number(1, 86400), {BAD}),
    "count": Rule(number(0, 2**63 - 1), {BAD}),
    "size": Rule(number(1, 65536), {(400, "InvalidSize.ValueNotSupported")}),
    # 0 is none
    "bytes": Rule(lambda value: False, {BAD, (400, "InvalidSize.ValueNotSupported"), (400, "MissingParameter")}),
    "path": Rule(matches("/.{1,510}"), {BAD}),
    "tag key": Rule(lambda value: matches(".{1,128}")(value) and "http://" not in text_of(value), {BAD}),
    "tag value": Rule(lambda value: matches(".{0,128}")(value) and "http://" not in text_of(value), {BAD}),
    "tag filter": Rule(matches(".+"), {BAD, (400, "InvalidParameter.TagValue")}),
    "any text": Rule(lambda value: text_of(value) is not None, {BAD}),
    "filter": Rule(lambda value: True, set()),
    "page": Rule(number(1, 100), {BAD}),
    "next": Rule(number(0, 2**63 - 1), {BAD}),
    "site": Rule(matches("production|backup"), {BAD}),
    "disk status": Rule(matches("All|In_use|Available|Attaching|Detaching|Creating|ReIniting"), {BAD}),
    "disk ids": Rule(listed_disks, {(400, "InvalidParameter.DiskIds")}),
    "instance ids": Rule(listed_disks, {(400, "InvalidParameter.InstanceIds")}),
    "ignored": Rule(lambda value: True, set()),
}

# --- the table

Parameter = collections.namedtuple("Parameter", "kind example missing")


def need(kind, example, missing=None):
    """missing: the code when it is not there or empty, where it is not Missing<its name>."""
    return Parameter(kind, example, missing or "its name")


def may(kind, example=None):
    """example: None when the good call goes without."""
    return Parameter(kind, example, None)


def ignored(*names):
    """Parameters of the cloud that have no meaning here, with any value."""
    return dict.fromkeys(names, may("ignored"))


class Operation:
    """A row. `at` is the site that is asked, `good` what the good call is answered, `keep` where its id goes, `then`
    what is waited for after it: a status of the disk, the pair or the group."""

    def __init__(self, name, parameters, aside=None, at="north", good=(200, None), keep=None, then=None):
        self.product, self.action = name.split()
        self.parameters, self.aside, self.at, self.good, self.keep, self.then = parameters, aside, at, good, keep, then

    def __str__(self):
        return f"{self.product} {self.action}"


TOKEN = {"ClientToken": may("token")}
REGION = {"RegionId": need("region", "north")}
ANY_REGION = {"RegionId": may("region", "north")}
LIST_REGION = {"RegionId": need("region of a list", "north", (400, "MissingParamter.RegionId"))}
SOUTH = {"RegionId": need("region", "south")}
LABELS = {"ResourceGroupId": may("any id", "rg-one"), "Tag.1.Value": may("tag value", "test"),
          "Tag.1.Key": need("tag key", "stage", (400, "InvalidParameter.TagValue"))}  # a value needs a key
FILTERS = {"ResourceGroupId": may("filter"), "Tag.1.Key": may("tag filter")}
PAGES = {"MaxResults": may("page"), "NextToken": may("next"), "PageNumber": may("page"), "PageSize": may("page")}
TERMS = {"Description": may("description", "for a test"), "RPO": may("seconds", 2), "Bandwidth": may("count"),
         "EnableRtc": may("flag"), **TOKEN}
DIRECTION = {**REGION, "SourceZoneId": need("zone", "north-a"), "DestinationRegionId": need("region", "south"),
             "DestinationZoneId": need("zone", "south-a")}
PAIR, NO_PAIR = {"ReplicaPairId": need("EBS id", "$pair")}, {"ReplicaPairId": "pair-none"}
GROUP, NO_GROUP = {"ReplicaGroupId": need("EBS id", "$group")}, {"ReplicaGroupId": "pg-none"}
DISK, NO_DISK = {"DiskId": need("disk id", "$disk")}, {"DiskId": "d-none"}
TYPE = (404, "MissingParameter.ResourceType")


def resources(kind, example):
    return {**REGION, "ResourceType": need("resource type", kind, TYPE),
            "ResourceId.1": need("resource id", example, (400, "MissingResourceId"))}


def tagging(product, kind, example):
    """What is done with the tags of a resource. Other numbers than 1 are in test_lists_that_are_too_long."""
    aside, token = {"ResourceId.1": "d-none"}, TOKEN if product == "EBS" else {}
    tag = {"Tag.1.Key": need("tag key", "colour", (400, "InvalidParameter.TagValue")),
           "Tag.1.Value": may("tag value", "blue")}
    listed = {**resources(kind, example), "ResourceId.1": may("resource id", example), "Tag.1.Key": may("tag filter"),
              "NextToken": may("next"), **ignored("ClientToken")}
    return [Operation(f"{product} TagResources", {**resources(kind, example), **tag, **token}, aside),
            Operation(f"{product} ListTagResources", listed),
            Operation(f"{product} UntagResources", {**resources(kind, example), "TagKey.1": may("any text", "colour"),
                                                    "All": may("flag"), **token}, aside)]


def life(noun, target, none):
    """What pairs and groups have in common, from created to deleted."""
    def row(verb, more=None, **options):
        region = SOUTH if options.get("at") == "south" else REGION
        return Operation(f"EBS {verb}DiskReplica{noun}", {**region, **target, **(more or {}), **TOKEN}, none, **options)
    own = row("Preview")
    own.parameters.pop("ClientToken")
    return [
        row("Modify", {f"{noun}Name": may("name", "another"), **TERMS}),
        row("Start", {"OneShot": may("flag", "false")}, then="normal"),
        row("Scrub"), own,
        row("Stop", then="stopped"),
        row("Failover", at="south", then="failovered"),
        row("Reprotect", {"ReverseReplicate": may("flag", "false")}, at="south", then="stopped"),
        Operation(f"EBS DiscardDiskReplica{noun}Divergence", {**REGION, **target, **TOKEN}, none,
                  good=(403, "OperationDenied.InvalidStatus")),
        row("Switchover", good=(403, "OperationDenied.InvalidStatus")),
        row("Delete", then="gone"),
    ]


def drills(noun, ident):
    """Not built: refused, whatever is sent."""
    parameters = ignored("RegionId", ident, "DrillId", "ClientToken", *PAGES)
    actions = (f"Start{noun}Drill", f"Clear{noun}Drill", f"Describe{noun}Drills")
    return [Operation(f"EBS {action}", parameters, good=(403, "OperationDenied")) for action in actions]


MEMBER = {**REGION, **GROUP, **PAIR, **TOKEN}
STORY = [
    Operation("EBS DescribeRegions", {"RegionId": may("filter"), "ResourceType": may("filter"),
                                      **ignored("AcceptLanguage")}),
    Operation("EBS ListReplicaEdgeSupported", {"RegionId": need("filter", "north"), "Azone": need("filter", "north-a"),
                                               "NextToken": may("next"), "MaxResults": may("page")}),
    Operation("EBS ModifyOffsitePeer", {**ANY_REGION, "ZoneId": need("zone", "south-a"),
                                        "BytesPerSecond": need("count", 0)},
              {"ZoneId": "nowhere"}),
    Operation("ECS DescribeRegions", ignored("RegionId", "ResourceType", "AcceptLanguage")),
    Operation("ECS DescribeZones", {**REGION, **ignored("Verbose")}),
    Operation("ECS CreateDisk", {**REGION, "ZoneId": may("zone", "north-a"), "Size": may("size"),
                                 "OffsiteSizeBytes": need("bytes", MIB, (400, "MissingParameter")),
                                 "OffsitePath": may("path"),
                                 "DiskName": may("Disk name", "one"),
                                 "Description": may("ECS description", "for a test"),
                                 "DiskCategory": may("category", "cloud_essd"), **LABELS, **TOKEN,
                                 "InstanceId": may("beside a zone"), "SnapshotId": may("snapshot"),
                                 "PerformanceLevel": may("level", "PL0"),
                                 **ignored("Encrypted", "KMSKeyId", "MultiAttach", "ProvisionedIops",
                                           "BurstingEnabled")},
              {"OffsiteSizeBytes": 7}, keep="disk"),
    Operation("ECS DescribeDisks", {**LIST_REGION, "DiskIds": may("disk ids"), "ZoneId": may("filter"),
                                    "InstanceId": may("filter"),
                                    "Status": may("disk status"), "DiskName": may("filter"), **FILTERS, **PAGES,
                                    "Category": may("filter"), "SnapshotId": may("filter")}),
    Operation("ECS ModifyDiskAttribute", {**ANY_REGION, **DISK, "DiskName": may("Disk name", "two"),
                                          "Description": may("ECS description", "still"), "DiskIds.1": may("any text"),
                                          "DeleteWithInstance": may("flag", "true"), "DeleteAutoSnapshot": may("flag"),
                                          "EnableAutoSnapshot": may("flag")}, NO_DISK),
    Operation("ECS AttachDisk", {**ANY_REGION, **DISK, "InstanceId": need("instance", "i-one"),
                                  "Device": may("device", "/dev/vdb"), "DeleteWithInstance": may("flag"),
                                  **ignored("Bootable", "Force")},
              NO_DISK, then="In_use"),
    Operation("ECS DetachDisk", {**ANY_REGION, **DISK, "InstanceId": need("attached to", "i-one"),
                                  **ignored("DeleteWithInstance")}, NO_DISK, then="Available"),
    Operation("ECS ResizeDisk", {**ANY_REGION, **DISK, "NewSize": may("size"),
                                 "OffsiteSizeBytes": need("bytes", 2 * MIB, (400, "MissingParameter")), **TOKEN,
                                 **ignored("Type")}, NO_DISK),
    *tagging("ECS", "disk", "$disk"),
    Operation("ECS RunInstances", {**REGION, "ZoneId": may("zone", "north-a"), "Amount": may("amount", 2),
                                   "InstanceName": may("Instance name", "web"),
                                   "Description": may("ECS description", "for a test"), **LABELS, **TOKEN,
                                   **ignored("ImageId", "InstanceType", "UniqueSuffix")},
              {"DryRun": "true"}, keep="instance"),
    Operation("ECS DescribeInstances", {**LIST_REGION, "InstanceIds": may("instance ids"), "ZoneId": may("filter"),
                                        "InstanceName": may("filter"), "Status": may("filter"), **FILTERS, **PAGES}),
    *tagging("ECS", "instance", "$instance"),
    Operation("ECS DeleteInstances", {
        **REGION, "InstanceId.1": need("instance id", "$instance", (400, "MissingInstanceId")), **TOKEN,
        **ignored("Force")}, {"InstanceId.1": "i-none"}),
    Operation("ECS RunInstances", {**REGION}, {"DryRun": "true"}, keep="instance"),
    Operation("ECS DeleteInstance", {**ANY_REGION, "InstanceId": need("instance id", "$instance"), **TOKEN,
                                     **ignored("Force")}, {"InstanceId": "i-none"}),
    Operation("ECS DeleteDisk", {**ANY_REGION, **DISK}, NO_DISK),
    Operation("EBS CreateDiskReplicaPair", {**DIRECTION, "DiskId": need("EBS id", "$source"),
                                            "DestinationDiskId": need("EBS id", "$target"),
                                            "PairName": may("name", "one"),
                                            "ChargeType": may("charge", "POSTPAY"), **TERMS, **LABELS,
                                            "Period": may("period"), "PeriodUnit": may("unit")},
              NO_DISK, keep="pair", then="created"),
    Operation("EBS DescribeDiskReplicaPairs", {**REGION, "PairIds": may("filter"), "Site": may("site"),
                                               "ReplicaGroupId": may("filter"), "Name": may("filter"), **FILTERS,
                                               **PAGES}),
    Operation("EBS DescribeDiskReplicaPairProgress", {**REGION, **PAIR}),
    *tagging("EBS", "diskreplicapair", "$pair"),
    Operation("EBS ChangeResourceGroup", {
        **REGION, "ResourceType": need("resource type", "DiskReplicaPair", TYPE),
        "ResourceId": need("resource id", "$pair"),
        "NewResourceGroupId": need("any id", "rg-two", (404, "MissingParameter.ResourceGroup")), **TOKEN},
              {"ResourceId": "pair-none"}),
    *life("Pair", PAIR, NO_PAIR),
    Operation("EBS CreateDiskReplicaPair", {**DIRECTION, "DiskId": need("EBS id", "$source"),
                                            "DestinationDiskId": need("EBS id", "$target")},
              NO_DISK, keep="pair", then="created"),
    Operation("EBS CreateDiskReplicaGroup", {**DIRECTION, "GroupName": may("name", "two"), **TERMS, **LABELS},
              {"DestinationZoneId": "north-a"}, keep="group", then="created"),
    Operation("EBS DescribeDiskReplicaGroups", {**REGION, "GroupIds": may("filter"), "Site": may("site"),
                                                "Name": may("filter"),
                                                **FILTERS, **PAGES}),
    Operation("EBS AddDiskReplicaPair", MEMBER, NO_GROUP),
    *life("Group", GROUP, NO_GROUP)[:-1],
    Operation("EBS RemoveDiskReplicaPair", MEMBER, NO_GROUP),
    life("Group", GROUP, NO_GROUP)[-1],
    *drills("Pair", "PairId"),
    *drills("ReplicaGroup", "GroupId"),
]


# --- calls

class Caller:
    """Signed calls over one connection that stays open."""

    def __init__(self, site):
        self.site = site
        self.connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=ANSWER_LIMIT_S)

    def common(self, product, action):
        return {"Action": action, "Version": VERSIONS[product], "Format": "JSON",
                "AccessKeyId": self.site.key["access_key_id"], "SignatureMethod": "HMAC-SHA1",
                "SignatureVersion": "1.0", "SignatureNonce": str(uuid.uuid4()),
                "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}

    def sign(self, pairs, verb):
        """Names and values, which may be bytes, as a form with its signature."""
        encoded = sorted((encode(name), encode(value)) for name, value in pairs)
        form = "&".join(f"{name}={value}" for name, value in encoded)
        # The form encoded once more, a piece at a time: a megabyte of letters is fast when nothing else is in it.
        again = "%26".join(f"{encode(name)}%3D{encode(value)}" for name, value in encoded)
        key = (self.site.key["access_key_secret"] + "&").encode()
        digest = hmac.new(key, f"{verb}&%2F&{again}".encode(), hashlib.sha1).digest()
        return f"{form}&Signature={encode(base64.b64encode(digest).decode())}"

    def ask(self, verb, url, body=None, headers=None):
        begin = time.monotonic()
        self.connection.request(verb, url, body, headers or {})
        answer = self.connection.getresponse()
        status, text = answer.status, answer.read()
        assert time.monotonic() - begin < ANSWER_LIMIT_S, f"{verb} {url[:200]}: answered late"
        return status, text

    def call(self, product, action, parameters, **common):
        """Status and body of a call; what is long goes into a form."""
        everything = {**self.common(product, action), **common, **parameters}
        pairs = [(name, value if isinstance(value, bytes) else str(value)) for name, value in everything.items()
                 if value is not MISSING]
        if sum(len(value) for name, value in pairs) < 8000:
            return self.ask("GET", "/?" + self.sign(pairs, "GET"))
        return self.ask("POST", "/", self.sign(pairs, "POST"), {"Content-Type": "application/x-www-form-urlencoded"})

    def good(self, product, action, **parameters):
        status, body = self.call(product, action, {"RegionId": self.site.region, **parameters})
        assert status == 200, (action, parameters, body)
        return json.loads(body)


def state_of(callers):
    """All that the sites answer about themselves, without what moves on by itself while a pair runs."""
    answers = []
    for caller in callers:
        answers += [caller.good("EBS", "DescribeRegions", RegionId=""),
                    caller.good("EBS", "DescribeDiskReplicaPairs", PageSize=100),
                    caller.good("EBS", "DescribeDiskReplicaGroups", PageSize=100),
                    caller.good("ECS", "DescribeDisks", PageSize=100),
                    caller.good("ECS", "DescribeInstances", PageSize=100)]
        answers += [caller.good("EBS", "ListTagResources", ResourceType=kind)
                    for kind in ("pair", "group", "disk", "instance")]
    kept = {"BytesPerSecond", "Path", "SizeBytes", "NbdUris", "PairId"}  # of Offsite's own

    def steady(value, inside=None):
        if isinstance(value, list):
            return [steady(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {name: steady(one, name) for name, one in value.items()
                if name not in ("RequestId", "LastRecoverPoint") and (inside != "Offsite" or name in kept)}
    return steady(answers)


def fault_of_refusal(status, body):
    """What is wrong with the form of a refusal, or None."""
    try:
        answer = json.loads(body)
    except ValueError:
        return f"no JSON: {body[:200]}"
    if len(body) > ANSWER_SIZE_MAX:
        return f"{len(body)} bytes: {body[:200]}"
    for name in ("RequestId", "Code", "Message"):
        if not answer.get(name):
            return f"no {name}: {body[:200]}"
    if any(ord(one) < 32 or ord(one) == 127 for one in answer["Message"]):
        return f"control characters: {answer['Message']!r}"
    return None if 400 <= status < 500 else f"{status}: {body[:200]}"


# --- every parameter

class Teller:
    """Goes through the table, and collects what is wrong."""

    def __init__(self, north, south):
        self.sites = {"north": north, "south": south}
        self.callers = {name: Caller(site) for name, site in self.sites.items()}
        self.names = {"$source": north.make_disk(MIB).id, "$target": south.make_disk(MIB).id}
        self.faults = []

    def example(self, row):
        return {name: self.names.get(one.example, one.example) for name, one in row.parameters.items()
                if one.example is not None}

    def send(self, row, parameters):
        """The answer as (status, code), its body, and what is wrong with its form."""
        status, body = self.callers[row.at].call(row.product, row.action, parameters)
        fault = fault_of_refusal(status, body) if status != 200 else None
        return (status, json.loads(body)["Code"] if status != 200 and fault is None else None), body, fault

    def wanted(self, row, name, value):
        """The answers that are right, and whether the value passes."""
        parameter = row.parameters[name]
        if value in (MISSING, "") and parameter.missing is not None:
            named = {(400, "Missing" + name), (400, "MissingParameter")}
            return named if parameter.missing == "its name" else {parameter.missing}, False
        rule = RULES[parameter.kind]
        if value is MISSING or (value == "" and parameter.kind != "tag filter"):
            return rule.codes, True
        return rule.codes, rule.passes(value)

    def try_value(self, row, name, label, value, passed):
        """passed: the answer to a call with ASIDE and a good value."""
        codes, passes = self.wanted(row, name, value)
        parameters = {**self.example(row), **((row.aside or {}) if passes else {}), name: value}
        codes = {passed} if passes else codes
        answer, body, fault = self.send(row, parameters)
        if fault or answer not in codes:
            self.faults.append(f"{row} {name} {label}: {fault or (answer, body[:200])}, not {codes}")

    def try_parameter(self, row, name):
        before = state_of(self.callers.values())
        passed = self.send(row, {**self.example(row), **(row.aside or {})})[0]
        for label, value in VALUES.items():
            self.try_value(row, name, label, value, passed)
        after = state_of(self.callers.values())
        if after != before:
            changed = [pair for pair in zip(before, after) if pair[0] != pair[1]]
            self.faults.append(f"{row} {name}: the state changed: {changed}")

    def do_good(self, row):
        answer, body, _ = self.send(row, self.example(row))
        assert answer == row.good, (str(row), answer, body, self.faults)
        if row.keep:
            made = json.loads(body)
            self.names["$" + row.keep] = made["InstanceIdSets"]["InstanceIdSet"][0] if row.keep == "instance" else \
                made[{"disk": "DiskId", "pair": "ReplicaPairId", "group": "ReplicaGroupId"}[row.keep]]
        if answer[0] == 200:
            until(lambda: f"{row}: {[self.records(site) for site in self.sites.values()]}",
                  lambda: self.is_settled(row))

    def statuses(self, row):
        """Of what the row is about, at both sites."""
        found = []
        for site in self.sites.values():
            if row.product == "ECS":
                found += [one["Status"] for one in site.call("DescribeDisks")["Disks"]["Disk"]
                          if one["DiskId"] == self.names["$disk"]]
            elif "Group" in row.action:
                found += [one["Status"] for one in site.groups()]
            else:
                found += [one["Status"] for one in site.pairs()]
        return found

    def records(self, site):
        """Of pairs and groups: what both sites know alike when the one that was asked has told the other."""
        return [{name: value for name, value in one.items() if name not in ("Site", "Offsite", "LastRecoverPoint")}
                for one in site.pairs() + site.groups()]

    def is_settled(self, row):
        if self.records(self.sites["north"]) != self.records(self.sites["south"]):
            return False
        if row.then is None:
            return True
        found = self.statuses(row)
        return not found if row.then == "gone" else found and set(found) == {row.then}


def test_every_bad_value_of_every_parameter_is_refused(two_sites):
    teller = Teller(*two_sites)
    for row in STORY:
        for name in row.parameters:
            teller.try_parameter(row, name)
        teller.do_good(row)
    assert not teller.faults, f"{len(teller.faults)} faults:\n" + "\n".join(teller.faults)


# --- the table itself

def test_the_table_has_every_operation(site):
    """Those of the documents, and those that the daemon answers to: each word of its program is tried as an action."""
    told = {str(row) for row in STORY}
    text = (REPOSITORY / "docs" / "api-aliyun.md").read_text()
    documented = set()
    for line in re.findall(r"^\| (E[BC]S.*) \|$", text, re.MULTILINE):
        product, actions = line.split("|")
        for sentence in actions.split("the same for")[0], actions.partition("the same for")[2]:
            documented |= {f"{product[:3]} {action}" for action in re.findall("`([A-Z][A-Za-z]+)`", sentence)
                           if action not in ("ZoneId", "BytesPerSecond")}
    documented |= {name.replace("DiskReplicaPair", "DiskReplicaGroup") for name in documented
                   if re.search("(Create|Modify|Start|Stop|Failover|Reprotect|Delete|Switchover|Scrub|Preview|Discard)"
                                "DiskReplicaPair", name)} | {"EBS DescribeDiskReplicaGroups"}
    assert documented == told
    words = {word.decode() for word in re.findall(rb"\0([A-Z][A-Za-z]{5,63})(?=\0)", OFFSITED.read_bytes())}
    # Linkers let a word be the end of a longer one.
    words |= {word[begin:] for word in words for begin in range(len(word) - 5) if word[begin].isupper()}
    assert {name.split()[1] for name in told} <= words, "the program's words are not found in it"
    caller, known = Caller(site), set()
    for product in VERSIONS:
        for word in words:
            status, body = caller.call(product, word, {"RegionId": "nowhere"})
            if status == 200 or json.loads(body)["Code"] != "InvalidAction.NotFound":
                known.add(f"{product} {word}")
    assert known == told


# --- what goes with every call

COMMON = {  # the code of a bad value; all have to be there, but for Format
    "Action": (404, "InvalidAction.NotFound"), "Version": (400, "InvalidVersion"), "Format": None,
    "AccessKeyId": (404, "InvalidAccessKeyId.NotFound"), "SignatureMethod": (400, "InvalidSignatureMethod"),
    "SignatureVersion": (400, "IncompleteSignature"), "SignatureNonce": None,
    "Timestamp": (400, "InvalidTimeStamp.Format"),
}


def test_bad_values_of_the_common_parameters(site):
    caller, faults = Caller(site), []
    before = state_of([caller])
    for name, code in COMMON.items():
        for label, value in VALUES.items():
            parameters = {"RegionId": "north", "OffsiteSizeBytes": 7}
            status, body = caller.call("ECS", "CreateDisk", parameters, **{name: value})
            if name == "Format" and (value is MISSING or value == "xml"):
                continue  # XML, which has its own test
            wanted = code or (400, "InvalidSize.ValueNotSupported")
            if value in (MISSING, "") and name != "Format":
                wanted = (400, "Missing" + name)
            fault = fault_of_refusal(status, body)
            if fault or (status, json.loads(body)["Code"]) != wanted:
                faults.append(f"{name} {label}: {fault or body[:200]}, not {wanted}")
    assert not faults, "\n".join(faults)
    assert state_of([caller]) == before


@pytest.mark.parametrize("label", VALUES)
def test_signature_that_is_bad(site_of_module, label):
    """Whatever stands in its place; and of the string to sign, which is given back, not more than a client can use."""
    caller = Caller(site_of_module)
    common = caller.common("EBS", "DescribeRegions")
    value = VALUES[label]
    form = urllib.parse.urlencode({**common, **({} if value is MISSING else {"Signature": value})})
    status, body = caller.ask("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})
    code = "MissingSignature" if value in (MISSING, "") else "SignatureDoesNotMatch"
    assert (status, json.loads(body)["Code"]) == (400, code), body[:500]


def test_what_is_added_to_a_signed_call_is_refused(site):
    """Nobody on the way can add a parameter, give one twice, or take one away."""
    caller = Caller(site)
    for extra in ("&OffsiteSizeBytes=1048576", "&RegionId=south", "&X=", "&=", "&Signature=x", "&SignatureNonce=other"):
        pairs = list(caller.common("ECS", "DescribeDisks").items()) + [("RegionId", "north")]
        query = caller.sign(pairs, "GET") + extra
        status, body = caller.ask("GET", "/?" + query)
        if extra == "&Signature=x":  # not covered by itself; the first one counts
            assert status == 200, body
            continue
        assert (status, json.loads(body)["Code"]) == (400, "SignatureDoesNotMatch"), (extra, body)
    pairs = list(caller.common("ECS", "DescribeDisks").items()) + [("RegionId", "north"), ("PageSize", "1")]
    query = caller.sign(pairs, "GET")
    status, body = caller.ask("GET", "/?" + query.replace("PageSize=1&", ""))
    assert (status, json.loads(body)["Code"]) == (400, "SignatureDoesNotMatch"), body


def test_refusals_are_xml_whatever_they_quote(site):
    caller = Caller(site)
    for label, value in VALUES.items():
        status, body = caller.call("EBS", value, {}, Action=value, Format="XML")
        error = xml.etree.ElementTree.fromstring(body)
        assert 400 <= status < 500 and error.tag == "Error" and error.findtext("Code"), (label, status, body[:500])
        assert {"RequestId", "Code", "Message"} <= {one.tag for one in error}, (label, body[:500])


# --- values that need others beside them

def numbered(name, count, value="v{}", part=""):
    return {f"{name}.{number}{part}": value.format(number) for number in range(1, count + 1)}


LISTS = {
    "51 ids": ("EBS TagResources", {**numbered("ResourceId", 51), "Tag.1.Key": "a"}, (400, "NumberExceed.ResourceIds")),
    "51 ids to read": ("EBS ListTagResources", numbered("ResourceId", 51), (400, "NumberExceed.ResourceIds")),
    "21 tags": ("EBS TagResources", {"ResourceId.1": "pair-a", **numbered("Tag", 21, part=".Key")},
                (400, "NumberExceed.Tags")),
    "21 keys": ("EBS UntagResources", {"ResourceId.1": "pair-a", **numbered("TagKey", 21)}, (400, "NumberExceed.Tags")),
    "21 tags of a disk": ("ECS CreateDisk", {"OffsiteSizeBytes": MIB, **numbered("Tag", 21, part=".Key")},
                          (400, "NumberExceed.Tags")),
    "a key twice": ("EBS TagResources", {"ResourceId.1": "pair-a", "Tag.1.Key": "a", "Tag.2.Key": "a"},
                    (400, "Duplicate.TagKey")),
    "a long key twice": ("EBS ListTagResources", dict.fromkeys(("Tag.1.Key", "Tag.2.Key"), "x" + "\u00e9" * 700),
                         (400, "Duplicate.TagKey")),
    "a value without key": ("EBS ListTagResources", {"Tag.1.Value": "a"}, (400, "InvalidParameter.TagValue")),
    "101 pairs": ("EBS DescribeDiskReplicaPairs", {"PairIds": ",".join(["pair-a"] * 101)}, BAD),
    "101 groups": ("EBS DescribeDiskReplicaGroups", {"GroupIds": ",".join(["pg-a"] * 101)}, BAD),
    "101 disks": ("ECS DescribeDisks", {"DiskIds": json.dumps(["d-a"] * 101)}, (403, "InvalidDiskIds.Malformed")),
    "numbers for disks": ("ECS DescribeDisks", {"DiskIds": "[1, null, {}]"}, (400, "InvalidParameter.DiskIds")),
    "no size at all": ("ECS CreateDisk", {}, (400, "MissingParameter")),
    "an odd size": ("ECS CreateDisk", {"OffsiteSizeBytes": MIB + 1}, (400, "InvalidSize.ValueNotSupported")),
    "65 TiB": ("ECS CreateDisk", {"OffsiteSizeBytes": 65 << 40}, (400, "InvalidSize.ValueNotSupported")),
    "no path": ("ECS CreateDisk", {"OffsitePath": "/no/such/file"}, BAD),
    "no path, long": ("ECS CreateDisk", {"OffsitePath": "/x" + "\u00e9" * 250}, BAD),
    "a folder": ("ECS CreateDisk", {"OffsitePath": "/"}, BAD),
    "a character device": ("ECS CreateDisk", {"OffsitePath": "/dev/zero"}, BAD),
    "a file of the kernel": ("ECS CreateDisk", {"OffsitePath": "/proc/self/mem"}, BAD),
    "a line of the log": ("ECS CreateDisk", {"OffsitePath": "/no\nlevel=error"}, BAD),
}


@pytest.mark.parametrize("label", LISTS)
def test_values_that_are_bad_together(site_of_module, label):
    action, parameters, wanted = LISTS[label]
    caller = Caller(site_of_module)
    before = state_of([caller])
    status, body = caller.call(*action.split(), {"RegionId": "north", "ResourceType": "pair", **parameters})
    assert fault_of_refusal(status, body) is None
    assert (status, json.loads(body)["Code"]) == wanted, body
    assert state_of([caller]) == before
    assert "\nlevel=error" not in site_of_module.log()


# --- HTTP

FORM = "application/x-www-form-urlencoded"


def receive(connection):
    """All that comes until the site closes the connection, which it has to do in time."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass  # it did not want all that was sent
    return answer


def send(connection, data):
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all of it was there


def converse(site, data):
    with socket.create_connection(("127.0.0.1", site.api_port), timeout=ANSWER_LIMIT_S) as connection:
        send(connection, data)
        return receive(connection)


def statuses(answer):
    """Of the answers in what came."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answer)]


def request(line, *headers, body=b""):
    head = "\r\n".join([line, "Host: localhost", "Connection: close", *headers, "", ""])
    return head.encode("latin-1") + body


def chunked(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces if one) + b"0\r\n\r\n"


def post(body, *headers, length=None):
    length = len(body) if length is None else length
    return request("POST / HTTP/1.1", f"Content-Type: {FORM}", f"Content-Length: {length}", *headers, body=body)


def chunks(body, *headers):
    return request("POST / HTTP/1.1", f"Content-Type: {FORM}", "Transfer-Encoding: chunked", *headers, body=body)


# What is sent, and the status; None: the connection is closed without one.
GARBAGE = {
    "no encoding": (request("GET /?Action=% HTTP/1.1"), {400}),
    "half an encoding": (request("GET /?Action=%4 HTTP/1.1"), {400}),
    "no hexadecimal": (request("GET /?Action=%zz HTTP/1.1"), {400}),
    "no encoding in a form": (post(b"Action=%"), {400}),
    "no hexadecimal in a form": (post(b"Action=%zz"), {400}),
    "a zero": (request("GET /?Action=a%00b HTTP/1.1"), {400}),
    "a zero in a name": (request("GET /?Act%00ion=a HTTP/1.1"), {400}),
    "a zero in a form": (post(b"Action=a%00b"), {400}),
    "a bare zero in a form": (post(b"Action=a\0b"), {400}),
    "a bare zero in the line": (request("GET /?Action=a\0b HTTP/1.1"), {400, None}),
    "a bare zero in a header": (request("GET / HTTP/1.1", "X: a\0b"), {400, None}),
    "one parameter often": (request("GET /?" + "Action=a&" * 1000 + " HTTP/1.1"), {400}),
    "10000 parameters in a form": (post("&".join(f"a{i}=b" for i in range(10000)).encode()), {400}),
    "a form of separators": (post(b"&=" * 300_000), {400}),
    "a form of nothing": (post(b"&" * 1_000_000), {400}),
    "a binary form": (post(bytes(range(256)) * 100), {400}),
    "a long line": (request("GET /?Action=" + "a" * 1_000_000 + " HTTP/1.1"), {414, 431, None}),
    "a long path": (request("GET /" + "a" * 100_000 + " HTTP/1.1"), {404}),
    "a long header": (request("GET / HTTP/1.1", "X: " + "a" * 1_000_000), {431, None}),
    "10000 headers": (request("GET / HTTP/1.1", *[f"X{i}: a" for i in range(10000)]), {400, 431, None}),
    "a header without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000, {431, None}),
    "a host that is no text": (request("GET / HTTP/1.1", "X: \xff").replace(b"localhost", b"\xff\xfe"), {400}),
    "no host": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", {400}),
    "a body too long": (post(b"a=" + b"b" * (2 << 20)), {413}),
    "a body longer than told": (post(b"Action=abc", length=8), {400}),
    "a negative length": (post(b"", length=-1), {400, None}),
    "a length that is no number": (post(b"", length="a"), {400, None}),
    "a length beyond 64 bits": (post(b"", length="9" * 30), {400, 413, None}),
    "two lengths": (post(b"a", "Content-Length: 2"), {400, None}),
    "a chunk without length": (chunks(b"zz\r\nab\r\n0\r\n\r\n"), {400, None}),
    "a negative chunk": (chunks(b"-1\r\nab\r\n0\r\n\r\n"), {400, None}),
    "a chunk beyond 64 bits": (chunks(b"f" * 30 + b"\r\nab\r\n0\r\n\r\n"), {400, 413, None}),
    "a chunk longer than told": (chunks(b"1\r\nabcdef\r\n0\r\n\r\n"), {400, None}),
    "chunks too long": (chunks(chunked(*[b"b" * 65536] * 32)), {413}),
    "chunks and a length": (chunks(chunked(b"Action=a"), "Content-Length: 3"), {400}),
    "another type": (request("POST / HTTP/1.1", "Content-Type: application/json", "Content-Length: 2", body=b"{}"),
                     {400}),
    "a multipart form": (request("POST / HTTP/1.1", "Content-Type: multipart/form-data", "Content-Length: 4",
                                 body=b"--\r\n"),
                         {400}),
    "a bad authorization": (request("GET / HTTP/1.1", "Authorization: ACS3-HMAC-SHA256 Credential=,,SignedHeaders=;"),
                            {400}),
    "a long authorization": (request("GET / HTTP/1.1", "Authorization: ACS3-HMAC-SHA256 Credential=" + "a" * 9000),
                             {400}),
    "signed headers without end": (request("GET / HTTP/1.1", "Authorization: ACS3-HMAC-SHA256 Credential=a," +
                                           "SignedHeaders=" + "host;" * 9000 + ",Signature=a"), {400}),
    "an unknown expectation": (post(b"a=b", "Expect: tea"), {400, 417}),
    **{f"the method {verb}": (request(f"{verb} / HTTP/1.1", "Content-Length: 0"), {405})
       for verb in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get")},
    "a proxy's CONNECT": (request("CONNECT example.com:443 HTTP/1.1"), {400, 404, 405, None}),
    "another path": (request("GET /../../etc/passwd HTTP/1.1"), {404}),
    "no path": (request("GET  HTTP/1.1"), {400, 404, None}),
    "no version": (b"GET /\r\n\r\n", {400, 505, None}),
    "another version": (request("GET / HTTP/9.9"), {400, 505, None}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 405, 505, None}),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, {400, 505, None}),
    "noise": (bytes(range(255, -1, -1)) * 1000, {400, 414, 431, 505, None}),
}


# After these more may come, or libmicrohttpd does not see that it cannot: the limit of an idle connection ends them.
UNFINISHED = {
    "10000 parameters": request("GET /?" + "&".join(f"a{i}=b" for i in range(10000)) + " HTTP/1.1"),
    "a body told to be too long": post(b"", length=1 << 40),
    "a body shorter than told": post(b"Action=a", length=100),
    "a chunk that does not end": chunks(b"100\r\nab"),
    "no last chunk": chunks(b"2\r\nab\r\n"),
    "an unknown encoding": request("POST / HTTP/1.1", "Transfer-Encoding: gzip", body=b"abc"),
    "empty lines": b"\r\n" * 100_000,
    "half a line": b"GET /?Action=",
    "half a header": b"GET / HTTP/1.1\r\nHost: a\r\nX",
    "nothing at all": b"",
}
IDLE_S = 30


@pytest.mark.parametrize("label", GARBAGE)
def test_garbage_is_refused_at_once(site_of_module, label):
    """Without a signature; and the site goes on, as it was."""
    sent, wanted = GARBAGE[label]
    caller = Caller(site_of_module)
    before = state_of([caller])
    answer = converse(site_of_module, sent)
    found = statuses(answer) or [None]
    assert set(found) <= wanted, (found, answer[:500])
    assert state_of([Caller(site_of_module)]) == before


# What the HTTP layer cannot take is refused in the dialect's words, too.
CODES = {
    "a body too long": (413, "RequestEntityTooLarge"), "chunks too long": (413, "RequestEntityTooLarge"),
    "10000 parameters in a form": (400, "InvalidParameter"), "no encoding in a form": (400, "InvalidParameter"),
    "a zero": (400, "InvalidParameter"), "a zero in a form": (400, "InvalidParameter"),
    "another path": (404, "InvalidAction.NotFound"),
    **{label: (405, "UnsupportedHTTPMethod") for label in GARBAGE if label.startswith("the method ")},
}


@pytest.mark.parametrize("label", CODES)
def test_what_is_no_call_is_refused_in_json(site_of_module, label):
    head, _, body = converse(site_of_module, GARBAGE[label][0]).partition(b"\r\n\r\n")
    status, code = CODES[label]
    assert statuses(head) == [status] and fault_of_refusal(status, body) is None, (head, body[:500])
    assert json.loads(body)["Code"] == code, body
    assert (b"Allow: GET, HEAD, POST" in head) == (status == 405), head


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH", "BREW"])
def test_bodies_of_other_methods_are_taken(site_of_module, verb):
    """So the connection goes on behind them."""
    caller = Caller(site_of_module)
    for body in (b"a=b", b"{}", b"b" * 100_000):
        status, text = caller.ask(verb, "/?x=y", body, {"Content-Type": FORM})
        assert (status, json.loads(text)["Code"]) == (405, "UnsupportedHTTPMethod"), text
    assert caller.good("ECS", "DescribeDisks")["TotalCount"] == 0


def signed_form(site, **parameters):
    caller = Caller(site)
    pairs = list(caller.common("ECS", "DescribeDisks").items()) + list({"RegionId": "north", **parameters}.items())
    return caller.sign(pairs, "POST").encode()


def fields(site, *names):
    """A signed call, as the query that holds these names, and the form that holds the rest."""
    parts = signed_form(site, PageSize="5", PageNumber="1").decode().split("&")
    query = "&".join(part for part in parts if part.split("=")[0] in names)
    return query, "&".join(part for part in parts if part.split("=")[0] not in names).encode()


def test_forms_of_a_good_call_that_are_all_understood(site_of_module):
    site = site_of_module

    def check(label, sent, wanted=200):
        answer = converse(site, sent)
        assert statuses(answer)[-1:] == [wanted] and (wanted != 200 or b"TotalCount" in answer), (label, answer[:500])
    form = signed_form(site)
    check("one chunk", chunks(chunked(form)))
    form = signed_form(site)
    check("a chunk a byte", chunks(chunked(*[form[i:i + 1] for i in range(len(form))])))
    form = signed_form(site)
    check("an extension of a chunk", chunks(b"%X;name=\"value\"\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (len(form), form)))
    for names in (("Action",), ("Signature",), ("RegionId", "PageSize"), ("Action", "Version", "AccessKeyId")):
        query, body = fields(site, *names)
        check(f"{names} in the query", request(f"POST /?{query} HTTP/1.1", f"Content-Type: {FORM}",
                                               f"Content-Length: {len(body)}", body=body))
    body = signed_form(site)
    check("all in the query of a POST", request(f"POST /?{body.decode()} HTTP/1.1", "Content-Length: 0"))
    utf8 = FORM.upper().encode() + b"; charset=utf-8"
    check("a type with a charset", post(signed_form(site)).replace(FORM.encode(), utf8))
    check("a plus for a blank", post(signed_form(site, DiskName="a b").replace(b"a%20b", b"a+b")))
    check("empty parts", post(b"&&" + signed_form(site) + b"&&"))
    check("small letters in encodings", post(signed_form(site, DiskName="a/b").replace(b"a%2Fb", b"a%2fb")))
    check("no name", post(b"=&" + signed_form(site)), 400)  # one parameter more than was signed


def test_a_parameter_in_both_places_counts_as_given_twice(site_of_module):
    """Signed as both, the query's is the one that counts; not signed as both, it is refused."""
    caller = Caller(site_of_module)

    def ask(body):
        return converse(site_of_module, request("POST /?PageSize=3 HTTP/1.1", f"Content-Type: {FORM}",
                                                f"Content-Length: {len(body)}", body=body.encode()))
    common = list(caller.common("ECS", "DescribeDisks").items()) + [("RegionId", "north"), ("PageSize", "4")]
    answer = ask(caller.sign(common + [("PageSize", "3")], "POST").replace("PageSize=3&", ""))
    assert statuses(answer) == [200] and b'"PageSize":3' in answer, answer
    answer = ask(caller.sign(common, "POST"))
    assert statuses(answer) == [400] and b"SignatureDoesNotMatch" in answer, answer


def test_expect_100_continue(site_of_module):
    """The body follows only when it was asked for."""
    body = signed_form(site_of_module)
    head = post(b"", "Expect: 100-continue", length=len(body))
    with socket.create_connection(("127.0.0.1", site_of_module.api_port), timeout=ANSWER_LIMIT_S) as connection:
        connection.sendall(head)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        assert statuses(answer) == [100], answer
        connection.sendall(body)
        answer += receive(connection)
    assert statuses(answer) == [100, 200], answer


def test_requests_in_a_row_on_one_connection(site_of_module):
    """Sent without waiting: each is answered, in order, also behind a refused one."""
    good = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
    bodies = [signed_form(site_of_module), b"Action=%zz", signed_form(site_of_module), b"Action=a"]
    sent = b"".join(good % (FORM.encode(), len(body), body) for body in bodies) + post(signed_form(site_of_module))
    assert statuses(converse(site_of_module, sent)) == [200, 400, 200, 400, 200]


@pytest.fixture(scope="module")
def site_of_module(tmp_path_factory):
    """What is no call of this dialect would be one of the other, were they at one port."""
    one = Site(tmp_path_factory.mktemp("module") / "site")
    one.apart = True
    one.configure()
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture(scope="module", autouse=True)
def unfinished(site_of_module):
    """Connections with half a request, made before all other tests, so that these need not wait for their end."""
    connections = {}
    for label, sent in UNFINISHED.items():
        connections[label] = socket.create_connection(("127.0.0.1", site_of_module.api_port))
        send(connections[label], sent)
    yield time.monotonic(), connections
    for connection in connections.values():
        connection.close()


def test_requests_without_end_are_given_up(site_of_module, unfinished):
    begin, connections = unfinished
    for label, connection in connections.items():
        connection.settimeout(max(begin + IDLE_S + ANSWER_LIMIT_S - time.monotonic(), 1))
        answer = receive(connection)
        assert set(statuses(answer)) <= {400, 408, 413, 414, 431}, (label, answer[:500])


@pytest.fixture
def hurried(tmp_path):
    """Gives a function: a site with other limits for a request's arrival, by the hook of src/api/http/arrival.c."""
    if b"OFFSITE_HOLD" not in OFFSITED.read_bytes():
        pytest.skip("this build has no hook: configure with -Dhold=true")
    sites = []

    def start(**limits):
        sites.append(Site(tmp_path / "site"))
        sites[0].apart = True
        sites[0].configure()
        sites[0].environment = {f"OFFSITE_HOLD_{name.upper()}": str(value) for name, value in limits.items()}
        return sites[0].start()
    yield start
    for one in sites:
        one.close()


@pytest.mark.parametrize("sent", [request("GET /?a=b HTTP/1.1"), post(b"a=b"), chunks(chunked(b"a=", b"b")), post(b"a=%")])
def test_a_request_that_comes_too_late(hurried, sent):
    head, _, body = converse(hurried(late_ms=0), sent).partition(b"\r\n\r\n")
    assert statuses(head) == [408] and fault_of_refusal(408, body) is None, (head, body)
    assert json.loads(body)["Code"] == "RequestTimeout", body


DRIPS = {"a line": b"GET /?a=", "a header": b"GET / HTTP/1.1\r\nX: ", "a body": post(b"", length=1 << 20),
         "a second request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /?a="}


@pytest.mark.parametrize("label", DRIPS)
def test_a_request_that_trickles_in_is_cut_off(hurried, label):
    """It is never idle."""
    site = hurried(cut_ms=500)
    with socket.create_connection(("127.0.0.1", site.api_port), timeout=ANSWER_LIMIT_S) as connection:
        connection.sendall(DRIPS[label])

        def drip():
            try:
                connection.sendall(b"a")
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False
        until(f"{label} is cut off", drip)
    assert Caller(site).good("ECS", "DescribeDisks")["TotalCount"] == 0


def test_half_a_request_and_the_end_is_cut_off(hurried):
    site = hurried(cut_ms=500)
    with socket.create_connection(("127.0.0.1", site.api_port), timeout=IDLE_S / 2) as connection:
        connection.sendall(post(b"Action=a", length=100))
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection) == b""


def test_more_parameters_than_any_call_has(site):
    for count in (4_000, 10_000):
        query = "&".join(f"a{number}=b" for number in range(count))
        with socket.create_connection(("127.0.0.1", site.api_port), timeout=10) as one:
            one.sendall(f"GET /?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert one.recv(4096).startswith(b"HTTP/1.1 400 ")
