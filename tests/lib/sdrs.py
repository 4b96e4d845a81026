"""SDRS at one site, by plain HTTP: protection groups, replication pairs, protected instances, jobs.

    sdrs = Sdrs(site)
    group = sdrs.make_group(peer_zone, "web")       # each change waits for its job, which must end in SUCCESS
    pair = sdrs.make_pair(group, disk)              # a disk of offsite.py
    sdrs.act(group, "start")
    sdrs.try_act(group, "stop").status              # whatever was answered
"""

from evs import uuid_of
from huawei import Huawei
from offsite import until

V1 = "/v1/{project}"
GROUPS, PAIRS, INSTANCES = V1 + "/server-groups", V1 + "/replications", V1 + "/protected-instances"
FAILURES = V1 + "/task-center/failure-jobs"
ACTIONS = {"start": ("start-server-group", {}), "stop": ("stop-server-group", {}), "failover": ("failover-server-group", {}),
           "to target": ("reverse-server-group", {"priority_station": "target"}),
           "to source": ("reverse-server-group", {"priority_station": "source"})}


class Sdrs:
    def __init__(self, site):
        self.site, self.huawei = site, Huawei(site)

    # --- reads

    def get(self, path):
        """The whole answer, or None when there is no such thing."""
        answer = self.huawei.get(path)
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return answer.json

    def row(self, path):
        answer = self.get(path)
        return None if answer is None else next(iter(answer.values()))

    def group(self, group):
        return self.row(f"{GROUPS}/{group}")

    def pair(self, pair):
        return self.row(f"{PAIRS}/{pair}")

    def instance(self, instance):
        return self.row(f"{INSTANCES}/{instance}")

    def status(self, group):
        return (self.group(group) or {"status": "gone"})["status"]

    def names(self, path, query=""):
        """The names of a list's rows; `count` is checked when all of it is asked for."""
        answer = self.get(path + query)
        rows, = (value for name, value in answer.items() if name != "count")
        assert answer["count"] == len(rows) or "limit" in query or "offset" in query or "marker" in query, answer
        return [row["name"] for row in rows]

    def failures(self, query=""):
        return self.get(FAILURES + query)["failure_jobs"]

    def wait(self, group, status, replication_status=None):
        def look():
            row = self.group(group) or {"status": "gone", "replication_status": None}
            return row["status"] == status and replication_status in (None, row["replication_status"])
        until(lambda: f"{group} {status} at {self.site.zone}: {self.group(group)}", look)
        return self.group(group)

    # --- jobs

    def job(self, answer):
        """The row of a job that has just been begun."""
        assert answer.status == 200, answer
        return self.get(f"{V1}/jobs/{answer.json['job_id']}")

    def end(self, answer, limit_s=60):
        """The row of a job once it has ended."""
        identifier = self.job(answer)["job_id"]
        until(lambda: f"an end of {self.get(f'{V1}/jobs/{identifier}')}",
              lambda: self.get(f"{V1}/jobs/{identifier}")["status"] in ("SUCCESS", "FAIL"), limit_s)
        return self.get(f"{V1}/jobs/{identifier}")

    def done(self, answer):
        """The entities of a job that must succeed."""
        job = self.end(answer)
        assert job["status"] == "SUCCESS" and job["error_code"] is job["fail_reason"] is None, job
        return job["entities"]

    # --- changes

    def try_make_group(self, peer_zone, name, **more):
        domain = next(row["id"] for row in self.row(V1 + "/active-domains")
                      if row["remote_replication_cluster"]["availability_zone"] == peer_zone)
        body = {"name": name, "source_availability_zone": self.site.zone, "target_availability_zone": peer_zone,
                "domain_id": domain, "source_vpc_id": "vpc-1", **more}
        return self.huawei.post(GROUPS, {"server_group": body})

    def make_group(self, peer_zone, name="group", **more):
        return self.done(self.try_make_group(peer_zone, name, **more))["server_group_id"]

    def try_make_pair(self, group, disk, name="pair", **more):
        body = {"server_group_id": group, "volume_id": uuid_of(disk.id), "name": name, **more}
        return self.huawei.post(PAIRS, {"replication": body})

    def make_pair(self, group, disk, name="pair", **more):
        return self.done(self.try_make_pair(group, disk, name, **more))["replication_pair_id"]

    def try_delete_pair(self, pair, **more):
        return self.huawei.delete(f"{PAIRS}/{pair}", {"replication": more})

    def try_expand(self, pair, size):
        return self.huawei.post(f"{PAIRS}/{pair}/action", {"extend-replication": {"new_size": size}})

    def try_make_instance(self, group, server, name="instance", **more):
        body = {"server_group_id": group, "server_id": server, "name": name, **more}
        return self.huawei.post(INSTANCES, {"protected_instance": body})

    def try_act(self, group, action):
        key, value = ACTIONS[action]
        return self.huawei.post(f"{GROUPS}/{group}/action", {key: value})

    def act(self, group, action):
        return self.done(self.try_act(group, action))

    def try_delete_group(self, group):
        return self.huawei.delete(f"{GROUPS}/{group}")
