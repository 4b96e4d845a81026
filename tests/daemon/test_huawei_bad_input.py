"""Bad input of every field, parameter, path, header and body of the Huawei dialect: refused with the status that the rules below
name, in the form of its family, and nothing has changed.

The tables are typed by hand from the facts (sections 1 to 3, 5), not taken from the code. A value that a rule lets pass is sent
with `aside`: an id that nothing has, or a member that is refused for itself, so that the answer is that refusal and the call
changes nothing either way; a value that is to be refused is sent as it is, about things that are there."""

import collections
import contextlib
import copy
import http.client
import json
import re
import time
import urllib.parse

import pytest

from evs import Evs, uuid_of
from huawei import Huawei
from offsite import make_two_sites, MIB, OFFSITED, until, wait_linked
from sdrs import INSTANCES, Sdrs
from test_bad_input import converse, statuses

ANSWER_LIMIT_S = 5
ANSWER_SIZE_MAX = 4096  # of a refusal: what was sent is not sent back
NOBODYS = "00000000-0000-0000-0000-000000000000"
OTHER_PROJECT = "0123456789abcdef0123456789abcdef"

# --- values, as JSON; those that a parser cannot take are refused whatever they are given for

MISSING = object()
VALUES = {
    "missing": MISSING, "null": b"null", "true": b"true", "false": b"false",
    "zero": b"0", "one": b"1", "negative": b"-1", "fraction": b"1.5", "great": b"100000", "huge": b"1e300",
    "beyond double": b"1e999", "beyond 64 bits": b"9" * 30, "no number": b"NaN",
    "empty": b'""', "word": b'"banana"', "number as text": b'"7"', "true as text": b'"true"', "false as text": b'"false"',
    "64 letters": b'"%s"' % (b"l" * 64), "255 letters": b'"%s"' % (b"l" * 255), "256 letters": b'"%s"' % (b"l" * 256),
    "64 KiB": b'"%s"' % (b"l" * 65536), "han": '"\u4e2d\u6587"'.encode(), "control": b'"\\u001b[2J\\n\\u007f"',
    "a zero": b'"a\\u0000b"', "half a surrogate": b'"\\ud800"', "not UTF-8": b'"\xff\xfe"', "overlong": b'"\xc0\xaf"',
    "bare newline": b'"a\nb"', "path": b'"../../../etc/passwd"', "format": b'"%s%n%99999d"', "markup": b'"<a>&amp;]]>"',
    "quote": b'"\' OR \'1\'=\'1"',
    "no list": b"[]", "list of a text": b'["a"]', "list of null": b"[null]", "list of 10000": b"[%s]" % b",".join([b'"a"'] * 10000),
    "no members": b"{}", "a member": b'{"a": "b"}', "a member that is none": b'{"a": null}', "no name": b'{"": "b"}',
    "200 members": json.dumps({str(number): "x" for number in range(200)}).encode(),
    "nested": b'{"a":' * 100 + b"1" + b"}" * 100, "nested too deep": b"[" * 10000 + b"]" * 10000,
    "a name twice": b'{"a": "b", "a": "c"}', "half a list": b"[1,", "words": b"a b",
}
UNREADABLE = {"beyond double", "beyond 64 bits", "no number", "a zero", "half a surrogate", "not UTF-8", "overlong",
              "bare newline", "nested too deep", "a name twice", "half a list", "words"}
WORDS = {"word", "number as text", "true as text", "false as text", "64 letters", "255 letters", "256 letters", "64 KiB",
         "han", "control", "path", "format", "markup", "quote"}
LONG = {"64 KiB"}
ABSENT = {"missing", "null"}
NUMBERS = {"zero", "one", "negative", "fraction", "great", "huge"}
FLAGS = {"true", "false"}
OBJECTS = {"no members", "a member", "a member that is none", "no name", "200 members", "nested"}
LISTS = {"no list", "list of a text", "list of null", "list of 10000"}
ALL = ABSENT | {"empty"} | WORDS | NUMBERS | FLAGS | OBJECTS | LISTS
assert set(VALUES) == UNREADABLE | ALL

# For a kind of value: what passes, and the status of what does not.
Kind = collections.namedtuple("Kind", "passes refused", defaults=({400},))
SHORT = WORDS - LONG - {"64 letters", "255 letters", "256 letters"}  # below 64 bytes
KINDS = {
    "name": Kind(ABSENT | {"empty"} | WORDS - LONG),
    "EVS name": Kind(ABSENT | {"empty"} | WORDS - LONG - {"256 letters"}),
    "size": Kind({"one", "fraction", "great", "number as text"}),
    "zone": Kind(ABSENT | {"empty"}),
    "station": Kind(SHORT),  # of no disk: told so
    "type": Kind(ABSENT | {"empty"}, {400, 404}),
    "texts": Kind(ABSENT | {"no members", "a member"}),
    "texts needed": Kind({"no members", "a member"}),
    "not made": Kind(ABSENT | {"empty"}, {501}),
    "never": Kind(ALL - {"true"}, {501}),
    "count": Kind(ABSENT | {"one"}, {501}),
    "id": Kind(SHORT),
    "id or none": Kind(ABSENT | SHORT),
    "id or no place": Kind({"missing"} | SHORT),
    "short": Kind(ABSENT | {"empty"} | SHORT),
    "attached to": Kind(SHORT),
    "flag": Kind({"false", "false as text"}, {400, 501}),
    "anything": Kind(ALL),
    "any value": Kind(ALL - {"missing"}),
    "any value, not offered": Kind(set(), {400, 501}),
    "object": Kind(set()),
    "any object": Kind(OBJECTS),
    "one text": Kind({"a member"}),
    "connector": Kind(OBJECTS),
    "connector needed": Kind(OBJECTS - {"no members"}),
    "nothing": Kind({"null", "no members"}),  # 400 also when there is none
    "two ids": Kind(set(), {400, 404}),
    "ids": Kind({"list of a text"}),
    "ids or none": Kind(ABSENT | {"no list", "list of a text"}),
    "model": Kind(set()),
    "model or none": Kind(ABSENT | {"empty"}),
    "not here": Kind({"missing"}),
    "key": Kind(set()),  # of metadata, in the path: another one
    "SDRS name": Kind({"word", "number as text", "true as text", "false as text", "64 letters", "han"}),
    "SDRS description": Kind(ABSENT | {"empty", "64 letters"} | SHORT - {"markup"}),
    "vpc": Kind({"empty", "64 letters"} | SHORT),
    "choice": Kind(set()),
    "choice or none": Kind(ABSENT | {"empty"}),
    "choice or no place": Kind({"missing"}),
    "device": Kind({"empty"} | SHORT),
    "tags": Kind(ABSENT | {"no list"}),
    "tag key": Kind({"64 letters"} | SHORT),
    "tag value": Kind(ALL - {"255 letters", "256 letters", "64 KiB"}),  # what is no text is an empty one
    "some of these": Kind(set(), {400, 404}),
    "option": Kind(ABSENT | FLAGS | {"true as text", "false as text"}),
}

# --- what is asked: bodies

V1, V2, V3 = "/v1/{project}", "/v2/{project}", "/v3/{project}"
PAIRS, GROUPS = V2 + "/os-vendor-replications", V2 + "/os-vendor-replication-consistency-groups"
FAULTS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
          409: "conflictingRequest", 413: "overLimit", 501: "notImplemented", 504: "gatewayTimeout"}


class Row:
    """A request with a body. `fields`: kinds of its members, "volume.size"; "" is the body itself. `aside`: members, the first of
    which that is not in question is set as well; or None: the path's first {name} becomes nobody's. `passed`: what that is
    answered."""

    def __init__(self, call, body, fields, aside=None, passed=404):
        self.method, self.path = call.split()
        self.body, self.fields, self.aside, self.passed = body, fields, aside, passed
        self.family = "sdrs" if self.path.startswith("/v1") else "replication" if "replication" in self.path else "volumes"

    def __str__(self):
        return f"{self.method} {self.path} {next(iter(self.body))}"


def action(path, key, value, fields, value_kind="object", passed=404):
    return Row(f"POST {path}/action", {key: value}, {key: value_kind, **{f"{key}.{name}": kind for name, kind in fields.items()}},
               passed=passed)


VOLUME, GROUP = V3 + "/volumes/{disk}", GROUPS + "/{group}"
NAMES = {"volume.name": "name", "volume.display_name": "name", "volume.description": "name", "volume.display_description": "name"}
ROWS = [
    Row(f"POST {V3}/volumes",
        {"volume": {"size": 1, "name": "n", "description": "d", "availability_zone": "{zone}", "volume_type": "SSD",
                    "metadata": {"a": "b"}}},
        {"": "object", "volume": "object", "volume.size": "size", **NAMES, "volume.availability_zone": "zone",
         "volume.volume_type": "type", "volume.metadata": "texts", "volume.metadata.a": "key",
         **{f"volume.{name}": "not made" for name in ("snapshot_id", "source_volid", "imageRef", "backup_id",
                                                       "consistencygroup_id", "group_id")},
         "volume.multiattach": "never", "volume.shareable": "never", "volume.count": "count",
         "volume.encrypted": "anything", "volume.unheard_of": "anything"},
        aside={"volume.count": 2, "volume.imageRef": "x"}, passed=501),
    Row(f"PUT {VOLUME}", {"volume": {"name": "n"}}, {"": "object", "volume": "any object", **NAMES, "volume.metadata": "not here"}),
    action(VOLUME, "os-extend", {"new_size": 7}, {"new_size": "size"}),
    action(VOLUME, "os-attach", {"instance_uuid": "i-1", "mountpoint": "/dev/vdb"},
           {"instance_uuid": "attached to", "mountpoint": "short"}),
    action(VOLUME, "os-attach", {"host_name": "h"}, {"host_name": "attached to", "instance_uuid": "id or none"}),
    action(VOLUME, "os-detach", {}, {"attachment_id": "anything"}, "any value"),
    *[action(VOLUME, key, None, {}, "any value")
      for key in ("os-reserve", "os-unreserve", "os-begin_detaching", "os-roll_detaching", "os-terminate_connection")],
    action(VOLUME, "os-initialize_connection", {"connector": {"host": "h"}},
           {"connector": "connector", "connector.host": "anything"}),
    action(VOLUME, "os-set_bootable", {"bootable": False}, {"bootable": "flag"}),
    action(VOLUME, "os-update_readonly_flag", {"readonly": False}, {"readonly": "flag"}),
    action(VOLUME, "os-reset_status", {"status": "error"}, {"status": "any value, not offered"}, "any value, not offered"),
    action(VOLUME, "os-retype", {}, {}, "any value, not offered"),
    *[Row(f"{method} {VOLUME}/metadata", {"metadata": {"a": "b"}},
          {"": "object", "metadata": "texts needed", "metadata.a": "key"}) for method in ("POST", "PUT")],
    Row(f"PUT {VOLUME}/metadata/a", {"meta": {"a": "b"}}, {"": "object", "meta": "one text", "meta.a": "key"}),
    Row(f"POST {V3}/attachments", {"attachment": {"volume_uuid": "{disk}", "instance_uuid": "i-1"}},
        {"": "object", "attachment": "object", "attachment.volume_uuid": "id", "attachment.instance_uuid": "id or none",
         "attachment.connector": "anything"},
        aside={"attachment.volume_uuid": NOBODYS}),
    Row(f"PUT {V3}/attachments/{{attachment}}", {"attachment": {"connector": {"host": "h"}}},
        {"": "object", "attachment": "object", "attachment.connector": "connector needed",
         "attachment.connector.host": "any value"}),
    Row(f"POST {PAIRS}", {"replication": {"name": "n", "description": "d", "volume_ids": ["{disk}", "{there}"],
                                          "priority_station": "{zone}", "replication_model": "hypermetro"}},
        {"": "object", "replication": "object", "replication.name": "EVS name", "replication.description": "EVS name",
         "replication.volume_ids": "two ids", "replication.volume_ids.0": "id", "replication.priority_station": "station",
         "replication.replication_model": "model"},
        aside={"replication.volume_ids": [NOBODYS, "d-none"]}),
    Row(f"POST {GROUPS}", {"replication_consistency_group": {"name": "n", "description": "d", "replication_ids": ["{pair}"],
                                                             "priority_station": "{zone}", "replication_model": "hypermetro"}},
        {"": "object", "replication_consistency_group": "object",
         **{f"replication_consistency_group.{name}": kind for name, kind in {
             "name": "EVS name", "description": "EVS name", "replication_ids": "ids", "replication_ids.0": "id",
             "priority_station": "station", "replication_model": "model"}.items()}},
        aside={"replication_consistency_group.replication_ids": [NOBODYS]}),
    Row(f"PUT {GROUP}", {"replication_consistency_group": {"name": "n", "add_replication_ids": ["{pair}"],
                                                           "remove_replication_ids": ["{member}"]}},
        {"": "object", "replication_consistency_group": "any object",
         **{f"replication_consistency_group.{name}": kind for name, kind in {
             "name": "EVS name", "description": "EVS name", "add_replication_ids": "ids or none", "add_replication_ids.0": "id or no place",
             "remove_replication_ids": "ids or none", "remove_replication_ids.0": "id or no place",
             "replication_model": "model or none"}.items()}}),
    *[action(GROUP, f"os-{verb}-replication-consistency-group", None, {}, "nothing")
      for verb in ("sync", "stop", "reverse", "failover", "reprotect")],
    action(GROUP, "os-extend-replication-volumes", {"replications": [{"id": "{member}", "new_size": 7}]},
           {"replications": "object", "replications.0": "object", "replications.0.id": "two ids", "replications.0.new_size": "size"}),
    action(GROUP, "os-extend-replication-volumes", {"id": "{member}", "new_size": 7}, {"id": "two ids", "new_size": "size"}),
    action(GROUP, "os-unheard-of", None, {}, "any value, not offered"),
    Row(f"POST {V1}/server-groups",
        {"server_group": {"name": "n", "description": "d", "source_availability_zone": "{zone}",
                          "target_availability_zone": "{peer zone}", "domain_id": "{domain}", "source_vpc_id": "v"}},
        {"": "object", "server_group": "object",
         **{f"server_group.{name}": kind for name, kind in {
             "name": "SDRS name", "description": "SDRS description", "source_availability_zone": "choice",
             "target_availability_zone": "choice", "domain_id": "choice", "source_vpc_id": "vpc",
             "dr_type": "choice or none"}.items()}},
        aside={"server_group.dr_type": "x", "server_group.domain_id": "x"}, passed=400),
    Row(f"PUT {V1}/server-groups/{{group}}", {"server_group": {"name": "n"}},
        {"": "object", "server_group": "object", "server_group.name": "SDRS name"}),
    *[action(V1 + "/server-groups/{group}", f"{verb}-server-group", {}, {}, "any value") for verb in ("start", "stop", "failover")],
    action(V1 + "/server-groups/{group}", "reverse-server-group", {"priority_station": "target"}, {"priority_station": "choice"}),
    action(V1 + "/server-groups/{group}", "unheard-of", {}, {}, "any value, not offered"),
    Row(f"POST {V1}/replications", {"replication": {"server_group_id": "{group}", "volume_id": "{disk}", "name": "n"}},
        {"": "object", "replication": "object", "replication.server_group_id": "id", "replication.volume_id": "id",
         "replication.name": "SDRS name", "replication.description": "SDRS description"},
        aside={"replication.server_group_id": NOBODYS, "replication.volume_id": NOBODYS}),
    Row(f"PUT {V1}/replications/{{pair}}", {"replication": {"name": "n"}},
        {"": "object", "replication": "object", "replication.name": "SDRS name"}),
    Row(f"DELETE {V1}/replications/{{pair}}", {"replication": {"delete_target_volume": False}},
        {"replication": "anything", "replication.server_group_id": "id or none", "replication.delete_target_volume": "option"}),
    action(V1 + "/replications/{pair}", "extend-replication", {"new_size": 7}, {"new_size": "size"}),
    action(V1 + "/replications/{pair}", "unheard-of", {}, {}, "any value, not offered"),
    Row(f"POST {V1}/protected-instances",
        {"protected_instance": {"server_group_id": "{group}", "server_id": "i-1", "name": "n", "tags": [{"key": "k", "value": "v"}]}},
        {"": "object", "protected_instance": "object", "protected_instance.server_group_id": "id",
         "protected_instance.server_id": "id", "protected_instance.name": "SDRS name",
         "protected_instance.description": "SDRS description", "protected_instance.tags": "tags",
         "protected_instance.tags.0": "choice or no place", "protected_instance.tags.0.key": "tag key",
         "protected_instance.tags.0.value": "tag value"},
        aside={"protected_instance.server_group_id": NOBODYS}),
    Row(f"POST {V1}/protected-instances/batch",
        {"protected_instances": {"server_group_id": "{group}", "name_prefix": "n", "servers": [{"server_id": "i-1"}]}},
        {"": "object", "protected_instances": "object", "protected_instances.server_group_id": "id",
         "protected_instances.name_prefix": "SDRS name", "protected_instances.description": "SDRS description",
         "protected_instances.servers": "choice", "protected_instances.servers.0": "choice",
         "protected_instances.servers.0.server_id": "id", "protected_instances.tags": "tags"},
        aside={"protected_instances.server_group_id": NOBODYS}),
    Row(f"PUT {V1}/protected-instances/{{instance}}", {"protected_instance": {"name": "n"}},
        {"": "object", "protected_instance": "object", "protected_instance.name": "SDRS name"}),
    Row(f"POST {V1}/protected-instances/delete", {"protected_instances": [{"id": "{instance}"}]},
        {"": "object", "protected_instances": "some of these", "protected_instances.0": "some of these",
         "protected_instances.0.id": "some of these"}),
    Row(f"POST {V1}/protected-instances/resource_instances/action", {"action": "filter", "tags": [{"key": "k", "values": ["v"]}]},
        {"": "object", "action": "choice", **{name: "anything" for name in (
            "tags", "tags.0", "tags.0.key", "tags.0.values", "tags.0.values.0", "tags_any", "not_tags", "not_tags_any", "matches",
            "limit", "offset")}}, aside={}, passed=200),
    Row(f"POST {V1}/protected-instances/{{instance}}/attachreplication",
        {"replicationAttachment": {"replication_id": "{member}", "device": "/dev/vdb"}},
        {"": "object", "replicationAttachment": "object", "replicationAttachment.replication_id": "id",
         "replicationAttachment.device": "device"}),
    Row(f"POST {V1}/protected-instances/{{instance}}/tags/action", {"action": "create", "tags": [{"key": "k", "value": "v"}]},
        {"": "object", "action": "choice", "tags": "tags", "tags.0": "choice or no place", "tags.0.key": "tag key",
         "tags.0.value": "tag value"}),
    Row(f"POST {V1}/protected-instances/{{instance}}/tags", {"tag": {"key": "k", "value": "v"}},
        {"": "object", "tag": "object", "tag.key": "tag key", "tag.value": "tag value"}),
]

# --- what is asked: routes, by hand; {} is an argument: a kind of ARGUMENTS

IDENTITY = {"": "GET", "/auth/tokens": "GET POST DELETE", "/auth/projects": "GET", "/auth/domains": "GET", "/auth/catalog": "GET",
            "/projects": "GET", "/projects/{project}": "GET", "/users/{user}": "GET"}
VOLUMES = {"/volumes": "GET POST", "/volumes/detail": "GET PUT DELETE",  # an id, too
           "/volumes/{disk}": "GET PUT DELETE", "/volumes/{disk}/action": "POST",
           "/volumes/{disk}/metadata": "GET POST PUT", "/volumes/{disk}/metadata/{key}": "GET PUT DELETE",
           "/types": "GET", "/types/{type}": "GET", "/os-availability-zone": "GET", "/os-quota-sets/{quota}": "GET",
           "/os-quota-sets/{quota}/defaults": "GET", "/limits": "GET", "/extensions": "GET", "/snapshots": "GET POST",
           "/snapshots/detail": "GET PUT DELETE", "/snapshots/{snapshot}": "GET PUT DELETE"}
ATTACHMENTS = {"/attachments": "GET POST", "/attachments/detail": "GET PUT DELETE", "/attachments/{attachment}": "GET PUT DELETE",
               "/attachments/{attachment}/action": "POST"}
REPLICATION = {"/os-vendor-replications": "GET POST", "/os-vendor-replications/{pair}": "GET DELETE",
               "/os-vendor-replication-consistency-groups": "GET POST",
               "/os-vendor-replication-consistency-groups/{group}": "GET PUT DELETE",
               "/os-vendor-replication-consistency-groups/{group}/action": "POST",
               "/os-vendor-replication-quota-sets/{target}": "GET", "/os-vendor-replication-quota-sets/{target}/defaults": "GET"}
INSTANCE = "/protected-instances/{instance}"
# Some words can be ids, too: their paths have the methods of both.
SDRS = {"/jobs/{job}": "GET", "/active-domains": "GET", "/server-groups": "GET POST", "/server-groups/{group}": "GET PUT DELETE",
        "/server-groups/{group}/action": "POST", "/replications": "GET POST", "/replications/{pair}": "GET PUT DELETE",
        "/replications/{pair}/action": "POST", "/protected-instances": "GET POST",
        "/protected-instances/batch": "POST GET PUT DELETE", "/protected-instances/delete": "POST GET PUT DELETE",
        "/protected-instances/resource_instances/action": "POST", "/protected-instances/tags": "GET PUT DELETE",
        INSTANCE: "GET PUT DELETE", INSTANCE + "/attachreplication": "POST", INSTANCE + "/detachreplication/{pair}": "DELETE",
        INSTANCE + "/nic": "POST", INSTANCE + "/nic/delete": "POST", INSTANCE + "/resize": "POST",
        INSTANCE + "/tags": "GET POST", INSTANCE + "/tags/action": "POST DELETE", INSTANCE + "/tags/{tag}": "DELETE",
        "/disaster-recovery-drills": "GET POST", "/disaster-recovery-drills/{drill}": "GET PUT DELETE",
        "/task-center/failure-jobs": "GET", "/task-center/failure-jobs/batch": "DELETE", "/task-center/failure-jobs/{job}": "DELETE",
        "/task-center/{group}/failure-jobs/batch": "DELETE", "/sdrs/quotas": "GET", "/resource/rpo-statistics": "GET"}
ROUTES = {
    **{V1 + path: ("sdrs", methods.split()) for path, methods in SDRS.items()}, "/v1": ("sdrs", ["GET"]),
    **{prefix + path: ("identity", methods.split()) for prefix in ("/v3", "/identity/v3") for path, methods in IDENTITY.items()},
    **{prefix + path: ("volumes", methods.split()) for prefix in (V2, V3) for path, methods in VOLUMES.items()},
    **{V3 + path: ("volumes", methods.split()) for path, methods in ATTACHMENTS.items()},
    **{prefix + path: ("replication", methods.split()) for prefix in (V2, V3) for path, methods in REPLICATION.items()},
    "/identity": ("identity", ["GET"]), "/image": ("identity", ["GET"]), "/v2": ("volumes", ["GET"]), "/": ("volumes", ["GET"]),
}
OPEN = {("GET", "/"), ("GET", "/v1"), ("GET", "/v2"), ("GET", "/v3"), ("GET", "/identity"), ("GET", "/identity/v3"), ("GET", "/image"),
        ("POST", "/v3/auth/tokens"), ("POST", "/identity/v3/auth/tokens")}  # for anybody
BAD_IDS = ["x", "d-none", NOBODYS, NOBODYS[:-1], "D" * 36, "x" * 300, "%25s%25n", "%0a", "%c3%a9", "..", "%2e%2e", "%ff%fe",
           "-", "*", "%27", "a%2fb", "[]", "$(id)"]
# The status of a bad id of each kind; 404 is always right, since "a/b" is another path, and "\xff" is none.
ARGUMENTS = {"disk": 404, "pair": 404, "group": 404, "attachment": 404, "snapshot": 404, "type": 404, "target": 404, "key": 404,
             "user": 403, "project": 403, "quota": 200, "job": 404, "instance": 404, "tag": 404, "drill": 404}
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "get"]

# --- what is asked: queries

QUERY_VALUES = ["", "banana", "-1", "0", "1", "1000", "1001", "9" * 30, "1.5", "0x10", " 1", "1 OR 1=1", "%e4%b8%ad", "%ff", "%c0%af",
                "%0a", "%01", "x" * 3000, "desc", "asc", "created_at", "a:b:c", "{}", "[]", "%7b%22a%22:%22b%22%7d", "[" * 3000,
                "2026-01-02T03:04:05", "2026-13-02T03:04:05", NOBODYS, "true", "True"]


def number(low, high):
    return lambda value: value == "" or (re.fullmatch("[0-9]+", value) and low <= int(value) <= high)


def words(*values):
    return lambda value: value in ("", *values)


def anything(value):
    return value not in ("%ff", "%c0%af")  # no text at all


CINDER_LIST = {"limit": number(0, 2**32 - 1), "offset": number(0, 10**6), "marker": words(),
               "sort_key": words("created_at", "name", "size", "id"), "sort_dir": words("asc", "desc"), "sort": words("created_at"),
               "metadata": words("{}", "%7b%22a%22:%22b%22%7d"), "name": anything, "status": anything,
               "availability_zone": anything, "all_tenants": anything, "volume_id": anything}
EVS_LIST = {"limit": number(1, 1000), "offset": number(0, 2**63 - 1), "marker": words(), "sort_key": words("created_at"),
            "sort_dir": words("asc", "desc"), "changes-since": words("2026-01-02T03:04:05"), "name": anything, "status": anything,
            "priority_station": anything, "volume_id": anything}
SDRS_LIST = {"limit": number(0, 1000), "offset": number(0, 2**32 - 1), "status": words(), "name": anything,
             "query_type": words(), "availability_zone": anything, "marker": words(), "server_group_ids": words("[]"),
             "server_group_id": lambda value: anything(value) and len(value) < 64, "protected_instance_ids": words("[]")}
QUERIES = {
    V1 + "/server-groups": SDRS_LIST, V1 + "/replications": SDRS_LIST,
    V1 + "/protected-instances": {**SDRS_LIST, "marker": anything},
    V1 + "/task-center/failure-jobs": {"limit": number(0, 1000), "offset": number(0, 2**32 - 1), "resource_name": anything},
    V3 + "/volumes": CINDER_LIST, V2 + "/volumes/detail": CINDER_LIST,
    V3 + "/attachments": {**CINDER_LIST, "instance_id": anything}, V3 + "/attachments/detail": CINDER_LIST,
    PAIRS: {**EVS_LIST, "volume_ids": anything, "replication_consistency_group_id": anything}, GROUPS: EVS_LIST,
    V2 + "/os-vendor-replication-quota-sets/{project}": {"usage": words("true", "True")},
    V3 + "/os-quota-sets/{project}": {"usage": anything}, V3 + "/types": {"is_public": anything},
    "/v3/projects": {"name": anything}, "/v3/auth/catalog": {"nocatalog": anything},
}

# --- two sites, with a disk and a pair of each kind

Reply = collections.namedtuple("Reply", "status headers body")


class World:
    """Two sites, what names in braces stand for, and requests over one connection that stays open."""

    def __init__(self, north, south):
        self.sites = self.north, self.south = north, south
        self.evs = Evs(north)
        self.huawei = Huawei(north).login()
        disks = [north.make_disk(MIB) for _ in range(4)]
        copies = [south.make_disk(MIB) for _ in range(3)]
        disks[1].attach()
        pair, member = [self.evs.create_pair(*two)["id"] for two in zip(disks[2:], copies[1:])]
        group = self.evs.create_group(member)["id"]
        sdrs = Sdrs(north)
        job = sdrs.try_make_instance(group, "i-9").json["job_id"]
        instance = until("an instance", lambda: sdrs.get(INSTANCES)["protected_instances"])[0]["id"]
        self.names = {"disk": uuid_of(disks[0].id), "there": uuid_of(copies[0].id), "pair": pair, "member": member, "group": group,
                      "attachment": uuid_of(disks[1].id)[:-1] + "1", "project": self.huawei.project, "zone": north.zone,
                      "user": "root", "key": "a", "type": "SSD", "snapshot": "none", "quota": self.huawei.project,
                      "target": self.huawei.project, "instance": instance, "tag": "k", "drill": "none", "job": job,
                      "peer zone": south.zone, "domain": sdrs.row(V1 + "/active-domains")[0]["id"]}
        self.connection = http.client.HTTPConnection("127.0.0.1", north.api_port, timeout=ANSWER_LIMIT_S)

    def name(self, text, **other):
        for name, value in {**self.names, **other}.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def ask(self, method, path, body=None, token=MISSING, headers=None):
        """`body`: bytes, or what is made JSON with its names."""
        if body is not None and not isinstance(body, bytes):
            body = self.name(json.dumps(body)).encode()
        begin = time.monotonic()
        self.connection.putrequest(method, self.name(path), skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body or b"")), "X-Auth-Token": self.huawei.token if token is MISSING else token,
                            **(headers or {})}.items():
            if value is not None:
                self.connection.putheader(name, value)
        self.connection.endheaders(body)
        answer = self.connection.getresponse()
        reply = Reply(answer.status, answer.headers, answer.read())
        assert time.monotonic() - begin < ANSWER_LIMIT_S, f"{method} {path[:200]}: answered late"
        return reply

    def records(self):
        """All that the sites say there is."""
        lists = [self.ask("GET", path) for path in (V3 + "/volumes/detail", V3 + "/attachments/detail", PAIRS, GROUPS, INSTANCES,
                                                        V1 + "/task-center/failure-jobs")]
        assert {one.status for one in lists} == {200}, lists
        return [json.loads(one.body) for one in lists] + [[site.pairs(), site.groups()] for site in self.sites]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        sites = make_two_sites(tmp_path_factory.mktemp("huawei"))
        for site in sites:
            stack.callback(site.close)
            site.start()
        wait_linked(*sites)
        one = World(*sites)
        before = steady(one)
        yield one
        assert one.records() == before  # and it still answers


def steady(world):
    """What there is, once the sites have told each other."""
    looks = [None, world.records()]

    def same():
        looks.append(world.records())
        return looks[-1] == looks[-2]
    until("both sites stand still", same)
    return looks[-1]


def fault_of(family, reply):
    """What is wrong with the form of a refusal, or None. Facts, section 5.1."""
    try:
        body = json.loads(reply.body)
    except ValueError:
        return f"no JSON: {reply.body[:200]}"
    if len(reply.body) > ANSWER_SIZE_MAX:
        return f"{len(reply.body)} bytes: {reply.body[:200]}"
    if not re.fullmatch("req-[0-9a-f]{8}-.{27}", reply.headers.get("x-openstack-request-id", "")):
        return f"no id of the request: {reply.headers}"
    root = "error" if family in ("identity", "sdrs") else FAULTS[reply.status]
    fault = body.get(root, {})
    code = body.get("error_code") if family == "sdrs" and reply.status != 401 else reply.status
    if fault.get("code") != code or not fault.get("message"):
        return f"no {root} with its status and a message: {body}"
    if any(ord(one) < 32 or ord(one) == 127 for one in fault["message"]):
        return f"control characters: {fault['message']!r}"
    if family == "identity":
        return None if fault.get("title") and len(body) == 1 else f"no title: {body}"
    codes = "APIGW" if reply.status == 401 else "SDRS" if family == "sdrs" else "EVS"
    if set(body) != {root, "error_code", "error_msg", "request_id"} or not re.fullmatch(codes + r"\.\d{4}", body["error_code"]):
        return f"no code, message and id of the gateway: {body}"
    return None


def check(faults, label, family, reply, wanted):
    """wanted: a set of statuses."""
    fault = fault_of(family, reply) if reply.status >= 400 else None
    if fault or reply.status not in wanted:
        faults.append(f"{label}: {fault or (reply.status, reply.body[:200])}, not {sorted(wanted)}")


# --- bodies

def put(body, field, value):
    """A copy of the body with the member set, or taken out."""
    body = copy.deepcopy(body)
    *parents, last = [int(part) if part.isdigit() else part for part in field.split(".")]
    at = body
    for part in parents:
        at = at[part]
    if value is MISSING:
        if isinstance(at, list):
            del at[last]
        else:
            at.pop(last, None)
    else:
        at[last] = value
    return body


def written(world, body, field, value):
    """The body with these bytes of JSON in the member's place."""
    if field == "":
        return b"" if value is MISSING else value
    if value is MISSING:
        return world.name(json.dumps(put(body, field, MISSING))).encode()
    return world.name(json.dumps(put(body, field, "@here@"))).encode().replace(b'"@here@"', value)


def aside(row, field):
    """Path and body of a call that is refused for what is not in question."""
    if row.aside is None:
        names = re.findall("{(?!project})[a-z]+}", row.path)
        return row.path.replace(names[0], NOBODYS), row.body
    for name, value in row.aside.items():
        if not field.startswith(name):
            return row.path, put(row.body, name, value)
    return row.path, row.body  # good values that name nothing


def passes_of(row, field):
    kind = KINDS[row.fields[field]]
    if field == "":  # an object without the member that is needed
        return set(), {400, 501}
    if row.fields[field] == "key":  # one of several texts, each of at most 255 bytes
        known = {"empty"} | WORDS - LONG - {"256 letters"}
        return known | ({"missing"} if "meta." not in field else set()), {400}
    return kind.passes, kind.refused


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_bad_value_of_every_field_is_refused(world, row):
    before, faults = world.records(), []
    for field in row.fields:
        passes, refused = passes_of(row, field)
        for label, value in VALUES.items():
            good = label in passes and label not in UNREADABLE
            path, body = aside(row, field) if good else (row.path, row.body)
            reply = world.ask(row.method, path, written(world, body, field, value))
            wanted = {400} if label in UNREADABLE else {row.passed} if good else refused
            check(faults, f"{row} {field} {label}", row.family, reply, wanted)
    if world.records() != before:
        faults.append(f"{row}: something has changed: {before}, {world.records()}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


BODIES = {"no JSON": b"banana", "half": b'{"volume": {"size"', "behind it": b"{} x", "two": b"{}{}", "a list": b"[]", "a text": b'"a"',
          "a number": b"7", "null": b"null", "blanks": b"   ", "a zero": b"\0", "binary": bytes(range(256)) * 10,
          "UTF-16": "{}".encode("utf-16"), "a mark": b"\xef\xbb\xbf{}", "deep": b"[" * 10_000, "deep objects": b'{"a":' * 10_000,
          "a name twice": b'{"a": 1, "a": 2}', "a form": b"Action=DeleteDisk&DiskId=d-1", "long": b" " * ((1 << 20) + 1)}


@pytest.mark.parametrize("path", [path for path, (_, methods) in ROUTES.items() if set(methods) & {"POST", "PUT", "DELETE"}])
def test_bodies_that_are_none(world, path):
    family, methods = ROUTES[path]
    before, faults = world.records(), []
    for method in methods:
        for label, body in BODIES.items():
            check(faults, f"{method} {path} {label}", family, world.ask(method, path, body), {413 if label == "long" else 400})
        if method in ("POST", "PUT"):
            for label, body in {"empty": b"", "an empty object": b"{}", "another one": b'{"unheard_of": {}}'}.items():
                acts = path.endswith("}/action") and label == "another one"
                wanted = {404} if "/snapshots/" in path or "{drill}" in path else \
                    {501} if path.endswith(("/snapshots", "{attachment}/action")) or acts else {400}
                check(faults, f"{method} {path} {label}", family, world.ask(method, path, body), wanted)
    assert world.records() == before
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


# --- paths and methods

@pytest.mark.parametrize("path", ROUTES)
def test_other_methods_are_405_and_say_which_are_allowed(world, path):
    family, methods = ROUTES[path]
    before, faults = world.records(), []
    for method in METHODS:
        if method in methods or (path == "/" and method == "POST"):  # which is the other dialect's
            continue
        reply = world.ask(method, path)
        check(faults, f"{method} {path}", family, reply, {405})
        if set((reply.headers["Allow"] or "").split(", ")) != set(methods):
            faults.append(f"{method} {path}: Allow is {reply.headers['Allow']}, not {methods}")
    assert world.records() == before
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def body_of(method, path):
    """A good one, if there is."""
    rows = [row.body for row in ROWS if (row.method, row.path[3:]) == (method, path[3:].replace("{key}", "a"))]
    return rows[0] if rows else {} if method in ("POST", "PUT") else None


@pytest.mark.parametrize("path", [path for path in ROUTES if re.search("{(?!project})", path)])
def test_ids_that_nothing_has(world, path):
    """Of each argument, with each method; and as the project."""
    family, methods = ROUTES[path]
    before, faults = world.records(), []
    for name in re.findall("{(?!project})([a-z]+)}", path):
        for method in methods:
            for bad in BAD_IDS:
                wanted = {404, ARGUMENTS[name]}
                if name in ("key", "attachment", "instance") and method in ("PUT", "POST"):
                    wanted |= {400, 501}  # the body does not fit it, or never does
                if "{group}/failure-jobs" in path:
                    wanted |= {204}  # it has no failures
                reply = world.ask(method, path.replace(f"{{{name}}}", bad), body_of(method, path))
                check(faults, f"{method} {path} {bad}", family if reply.status != 404 else family_of(reply), reply, wanted)
    assert world.records() == before
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def family_of(reply):
    """Where nothing was found, only the form tells."""
    return "identity" if b'"title"' in reply.body else "sdrs" if b'"SDRS.' in reply.body else "volumes"


@pytest.mark.parametrize("path", [path for path in ROUTES if "{project}" in path])
def test_other_projects_are_forbidden(world, path):
    family, methods = ROUTES[path]
    before, faults = world.records(), []
    for method in methods:
        for other in (OTHER_PROJECT, "x", world.names["project"].upper(), world.names["project"][:-1], "x" * 300):
            reply = world.ask(method, path.replace("{project}", other, 1), body_of(method, path))
            check(faults, f"{method} {path} {other}", family, reply, {403})
    assert world.records() == before
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


@pytest.mark.parametrize("path", [
    "/v3/{project}/volumes/{disk}/x/y", "/v3/{project}/volumes//{disk}", "/v3//volumes", "//v3/{project}/volumes", "/v4/{project}/volumes",
    "/v3/{project}", "/v3/{project}/Volumes", "/v3/{project}/volumes/../volumes", "/v3/{project}/%2e%2e/volumes", "/v2|v3/{project}/volumes",
    "/v3/%7bproject%7d/volumes/%7b%7d/x/y", "/v3/{project}/os-vendor-replications/{pair}/action", "/" + "x/" * 1000, "/" + "x" * 8000,
    "/v3/{project}/volumes%ff", "/v3/{project}/volumes%0a", "/etc/passwd", "/v2/{project}/attachments",
    "/v1/{project}/nothing", "/v1/{project}/server-groups/{group}/x", "/v2/{project}/server-groups"])
def test_paths_that_lead_nowhere(world, path):
    faults = []
    for method in ("GET", "POST", "DELETE"):
        reply = world.ask(method, path)
        check(faults, f"{method} {path[:100]}", family_of(reply), reply, {404})
    assert not faults, "\n".join(faults)


# --- queries

@pytest.mark.parametrize("path", QUERIES)
def test_parameters_of_queries(world, path):
    family = ROUTES[path.replace("os-quota-sets/{project}", "os-quota-sets/{quota}").replace("quota-sets/{project}", "quota-sets/{target}")
                    if "quota" in path else path][0]
    faults = []
    for name, passes in QUERIES[path].items():
        for value in QUERY_VALUES:
            wanted = {200} if passes(value) else {400}
            reply = world.ask("GET", f"{path}?{name}={value.replace(' ', '%20')}")
            check(faults, f"{path} {name}={value[:50]}", family, reply, wanted)
    for query in ("?", "?&&&", "?=", "?a=b&a=c", "?a%ffb=c", "?" + "a=b&" * 1000):
        check(faults, f"{path}{query[:50]}", family, world.ask("GET", path + query), {400} if "%ff" in query else {200})
    check(faults, "2000 parameters", family, world.ask("GET", path + "?" + "a=b&" * 2000), {400})
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


# --- who calls

BAD_TOKENS = {"none": None, "empty": "", "blank": " ", "word": "banana", "long": "A" * 8000, "binary": bytes(range(128, 256)),
              "base64": "QUFB" * 100, "a cut one": "cut", "a spoilt one": "spoilt", "two": "two", "a quote": "' OR '1'='1"}
BAD_SIGNATURES = ["SDK-HMAC-SHA256 Access=,SignedHeaders=,Signature=", "SDK-HMAC-SHA256 " + "a" * 8000,
                  "SDK-HMAC-SHA256 Access={key}, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
                  "SDK-HMAC-SHA256 Access={key}, SignedHeaders=" + "a;" * 3000 + "x-sdk-date, Signature=0",
                  "SDK-HMAC-SHA256 Access=nobody, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
                  b"SDK-HMAC-SHA256 Access=\xff\xfe, SignedHeaders=x-sdk-date, Signature=\x80"]


def test_bad_tokens_and_signatures(world):
    """Of every route and method that is not for anybody."""
    token, before, faults = world.huawei.token, world.records(), []
    bad = {**BAD_TOKENS, "a cut one": token[:-4], "a spoilt one": token[:30] + ("A" if token[30] != "A" else "B") + token[31:],
           "two": token + ", " + token}
    for path, (family, methods) in ROUTES.items():
        for method in methods:
            if (method, path) in OPEN:
                continue
            for label, value in bad.items():
                reply = world.ask(method, path, body_of(method, path), token=value)
                check(faults, f"{method} {path} {label}", family, reply, {401})
                if not reply.headers["WWW-Authenticate"]:
                    faults.append(f"{method} {path} {label}: no WWW-Authenticate")
    for value in BAD_SIGNATURES:  # which come before the good token
        value = value.replace("{key}", world.north.key["access_key_id"]) if isinstance(value, str) else value
        for date in ("20260102T030405Z", "now", None, "9" * 1000):
            reply = world.ask("GET", V3 + "/volumes", headers={"Authorization": value, "X-Sdk-Date": date})
            check(faults, f"{value[:60]} {date and date[:20]}", "volumes", reply, {401})
    assert world.records() == before
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


LOGIN = {"auth.identity": 400, "auth.identity.methods": 400, "auth.identity.password": 401, "auth.identity.password.user": 401,
         "auth.identity.password.user.name": 401, "auth.identity.password.user.password": 401, "auth.identity.methods.0": 401}
SCOPE = {"auth.scope", "auth.scope.project", "auth.scope.project.name", "auth.scope.project.domain"}


def test_bad_logins(world):
    """What is no name or password is a wrong one. A scope that says nothing is that of the one project."""
    good, faults = world.huawei.credentials(), []
    for field, status in {"auth": 400, **LOGIN}.items():
        for label, value in VALUES.items():
            wanted = {400} if label in UNREADABLE else {401} if label in LISTS and field.endswith("methods") else {status}
            reply = world.ask("POST", "/v3/auth/tokens", written(world, good, field, value), token=None)
            check(faults, f"{field} {label}", "identity", reply, wanted | ({400} if label in OBJECTS and field == "auth" else set()))
    for field in SCOPE:
        for label, value in VALUES.items():
            wanted = {400} if label in UNREADABLE else {201, 401}
            reply = world.ask("POST", "/v3/auth/tokens", written(world, good, field, value), token=None)
            check(faults, f"{field} {label}", "identity", reply, wanted)
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)


def test_headers_of_a_good_call(world):
    """Whatever they hold, they are no reason to refuse it."""
    faults = []
    for name in ("Accept", "Content-Type", "OpenStack-API-Version", "X-Language", "X-Project-Id", "User-Agent", "Expect-CT", "Cookie"):
        for value in ("", "text/plain", "volume 9.99", "volume 3.99999999999999999999", "\t", "a" * 4000, b"\xff\xfe", "%00"):
            reply = world.ask("GET", V3 + "/volumes", headers={name: value})
            check(faults, f"{name}: {value[:20]}", "volumes", reply, {200})
    assert not faults, "\n".join(faults)


# --- HTTP

def head(world, line, *headers):
    return "\r\n".join([world.name(line), "Host: localhost", "Connection: close", f"X-Auth-Token: {world.huawei.token}", *headers,
                        "", ""]).encode()


def test_bodies_cut_short_or_of_odd_length(world):
    before, line = world.records(), f"POST {V3}/volumes HTTP/1.1"
    sent = {
        "chunks": (head(world, line, "Transfer-Encoding: chunked") + b"3\r\n{\"v\r\n1\r\n\"\r\n0\r\n\r\n", {400}),
        "a bad chunk": (head(world, line, "Transfer-Encoding: chunked") + b"zz\r\n", {400, None}),
        "a negative length": (head(world, line, "Content-Length: -1"), {400, None}),
        "two lengths": (head(world, line, "Content-Length: 2", "Content-Length: 3") + b"{}", {400, None}),
        "told to be long": (head(world, line, "Content-Length: 2") + b"{}" + b"x" * 100, {400}),
        "chunks too long": (head(world, line, "Transfer-Encoding: chunked") + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 17 + b"0\r\n\r\n",
                            {413}),
    }
    for label, (data, wanted) in sent.items():
        found = statuses(converse(world.north, data)) or [None]
        assert set(found) <= wanted, (label, found)
    assert world.records() == before


# --- the tables themselves

def test_the_table_has_every_route():
    """Those that the program holds; {} is any argument."""
    held = {text.decode() for text in re.findall(rb"\0(/[a-z0-9|{}/_-]*)(?=\0)", OFFSITED.read_bytes())}
    patterns = {path for path in held if "{project}" in path or path.startswith(("/identity", "/v3", "/image", "/v2", "/v1"))}
    patterns = {path for path in patterns if not path.endswith("/") and path not in ("/image/v2", "/v3/auth")}
    told = {re.sub("{(?!project})[a-z]+}", "{}", path) for path in ROUTES} - {"/"}
    spread = {alternative for path in patterns for alternative in
              ([path.replace("/v2|v3/", version) for version in ("/v2/", "/v3/")] if path.startswith("/v2|v3") else [path])}
    assert spread == told
    assert {urllib.parse.unquote(path) for path in told} == told
