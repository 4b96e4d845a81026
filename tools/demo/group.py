"""A group of pairs between two sites, as a client of both APIs sees it."""
from terminal import Failure, until


class Group:
    """Made by the first site, whose disks lead, with no pair in it."""

    def __init__(self, source, target, name, rpo_s):
        self.source, self.target, self.rpo_s = source, target, rpo_s
        self.there = {"DestinationRegionId": target.region, "DestinationZoneId": target.zone}
        self.pairs = []
        self.id = source.call("CreateDiskReplicaGroup", SourceZoneId=source.zone, GroupName=name, RPO=rpo_s,
                              **self.there)["ReplicaGroupId"]
        self.wait_status(source, "created")

    def add(self, name, disk, copy):
        pair = self.source.call("CreateDiskReplicaPair", SourceZoneId=self.source.zone, DiskId=disk, DestinationDiskId=copy,
                                PairName=name, RPO=self.rpo_s, **self.there)["ReplicaPairId"]
        until(10, "the pair to be created", lambda: self.source.pair(pair)["Status"] == "created")
        self.source.call("AddDiskReplicaPair", ReplicaGroupId=self.id, ReplicaPairId=pair)
        self.pairs.append(pair)

    def call(self, site, verb, **parameters):
        return site.call(f"{verb}DiskReplicaGroup", ReplicaGroupId=self.id, **parameters)

    def row(self, site):
        return site.group(self.id)

    def live(self, site):
        return self.row(site)["Offsite"]

    def wait_status(self, site, wanted, seconds=30):
        last = {}

        def ready():
            last.update(self.row(site))
            if last["Status"].endswith("_failed") or last["Status"] == "invalid":
                raise Failure(f"the group is {last['Status']} at {site.region}; its log ends:\n{site.log_end()}")
            return last["Status"] == wanted
        try:
            until(seconds, f"the group to be {wanted} at {site.region}", ready)
        except Failure as failure:
            raise Failure(f"{failure}; it is {last}") from None
