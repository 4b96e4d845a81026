"""EVS replication at one site, by plain HTTP: pairs and consistency groups.

    evs = Evs(site)
    pair = evs.create_pair(disk, copy)["id"]        # disks of offsite.py, at two sites
    group = evs.create_group(pair)["id"]            # available when this returns
    evs.act(group, "sync")                          # 200, or AssertionError; evs.try_act gives whatever was answered
    evs.wait_group(group, "available", "active")"""

from huawei import Huawei
from offsite import until

PAIRS = "/v2/{project}/os-vendor-replications"
GROUPS = "/v2/{project}/os-vendor-replication-consistency-groups"
ANSWER_S = 40  # an action may wait for its end


def uuid_of(identifier):
    """The id a client of this dialect knows it by."""
    digits = identifier.rsplit("-", 1)[1]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:]}-000000000000"


def key_of(action):
    return f"os-{action}-replication-consistency-group"


class Evs:
    def __init__(self, site):
        self.site, self.huawei = site, Huawei(site, limit_s=ANSWER_S)

    def get(self, path):
        """The one member of the answer, or None when there is no such thing."""
        answer = self.huawei.get(path)
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        value, = answer.json.values()
        return value

    def pair(self, pair):
        return self.get(f"{PAIRS}/{pair}")

    def pairs(self, query=""):
        return self.get(PAIRS + query)

    def group(self, group):
        return self.get(f"{GROUPS}/{group}")

    def groups(self, query=""):
        return self.get(GROUPS + query)

    def state(self, group):
        """status and replication_status; "gone" when it is."""
        row = self.group(group)
        return (row["status"], row["replication_status"]) if row else ("gone", None)

    def wait_group(self, group, *state):
        until(lambda: f"{group} {state} at {self.site.zone}: {self.group(group)}", lambda: self.state(group)[:len(state)] == state)
        return self.group(group)

    # --- changes

    def try_create_pair(self, *disks, **more):
        body = {"volume_ids": [uuid_of(disk.id) for disk in disks], "replication_model": "hypermetro",
                "priority_station": disks[0].site.zone, **more}
        return self.huawei.post(PAIRS, {"replication": {name: value for name, value in body.items() if value is not None}})

    def create_pair(self, *disks, **more):
        answer = self.try_create_pair(*disks, **more)
        assert answer.status == 202, answer
        return answer.json["replication"]

    def try_create_group(self, *pairs, **more):
        body = {"replication_ids": list(pairs), "replication_model": "hypermetro", "priority_station": self.site.zone, **more}
        body = {name: value for name, value in body.items() if value is not None}
        return self.huawei.post(GROUPS, {"replication_consistency_group": body})

    def create_group(self, *pairs, **more):
        """Available when this returns; what the creation answered."""
        answer = self.try_create_group(*pairs, **more)
        assert answer.status == 202, answer
        row = answer.json["replication_consistency_group"]
        self.wait_group(row["id"], "available")
        return row

    def update(self, group, **changes):
        return self.huawei.put(f"{GROUPS}/{group}", {"replication_consistency_group": changes})

    def delete_group(self, group):
        return self.huawei.delete(f"{GROUPS}/{group}")

    def delete_pair(self, pair):
        return self.huawei.delete(f"{PAIRS}/{pair}")

    def try_act(self, group, action, value=None):
        return self.huawei.post(f"{GROUPS}/{group}/action", {key_of(action) if "-" not in action else action: value})

    def act(self, group, action, value=None):
        answer = self.try_act(group, action, value)
        assert answer.status == 200 and answer.json is None, answer
