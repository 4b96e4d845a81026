"""A running site and its end: what was answered survives SIGKILL; two sites replicate, fail over, and know each other again."""

import json

import pytest

from offsite import ApiError, MIB, Site, free_ports, http, run, signed, until


def write(disk, pattern, offset, length):
    run("qemu-io", "-f", "raw", "-c", f"write -P {pattern} {offset} {length}", "-c", "flush", disk.uri)


def read(disk, pattern, offset, length):
    answer = run("qemu-io", "-f", "raw", "-c", f"read -P {pattern} {offset} {length}", disk.uri)
    assert "Pattern verification failed" not in answer.stdout, answer.stdout


def make_pair(north, south, disk, secondary):
    return north.call("CreateDiskReplicaPair", SourceZoneId=north.zone, DiskId=disk.id, DestinationRegionId=south.region,
                      DestinationZoneId=south.zone, DestinationDiskId=secondary.id)["ReplicaPairId"]


def wait_rows(rows, status, what):
    until(lambda: f"{what} {status}: {rows()}", lambda: rows() and all(row["Status"] == status for row in rows()))


def test_kill_keeps_disks_and_attachments(site):
    attached, detached = site.disk(8 * MIB), site.make_disk(4 * MIB)
    gone = site.make_disk(MIB)
    gone.delete()
    write(attached, 7, 0, MIB)
    before = [attached.row(), detached.row()]
    site.kill()
    site.start()
    assert [attached.row(), detached.row()] == before
    read(attached, 7, 0, MIB)
    assert len(site.call("DescribeDisks")["Disks"]["Disk"]) == 2


def test_adopted_image_stays(site, tmp_path):
    image = tmp_path / "image.raw"
    image.write_bytes(b"\x05" * MIB)
    disk = site.disk(MIB, OffsitePath=str(image))
    read(disk, 5, 0, MIB)
    disk.detach()
    disk.delete()
    assert image.read_bytes() == b"\x05" * MIB


def test_restart_of_a_running_pair(two_sites):
    north, south = two_sites
    disk, secondary = north.disk(16 * MIB), south.make_disk(16 * MIB)
    pair = make_pair(north, south, disk, secondary)
    wait_rows(north.pairs, "created", "pair")
    north.call("StartDiskReplicaPair", ReplicaPairId=pair)
    wait_rows(north.pairs, "normal", "pair")
    for victim in (south, north):
        victim.kill()
        victim.start()
        write(disk, 9, 0, MIB)
        wait_rows(lambda: north.pairs() + south.pairs(), "normal", "pair after the restart")
        until("nothing left to ship", lambda: north.pairs()[0]["Offsite"]["DirtyBytes"] == 0)
    assert north.pairs()[0]["LastRecoverPoint"] > 0


def test_group_fails_over_as_one(two_sites):
    north, south = two_sites
    disks = [north.disk(16 * MIB), north.disk(8 * MIB)]
    copies = [south.make_disk(16 * MIB), south.make_disk(8 * MIB)]
    group = north.call("CreateDiskReplicaGroup", SourceZoneId=north.zone, DestinationRegionId=south.region,
                       DestinationZoneId=south.zone, GroupName="both")["ReplicaGroupId"]
    for disk, copy in zip(disks, copies):
        pair = make_pair(north, south, disk, copy)
        until("pair created", lambda pair=pair: north.pairs(PairIds=pair)[0]["Status"] == "created")
        north.call("AddDiskReplicaPair", ReplicaGroupId=group, ReplicaPairId=pair)
    for number, disk in enumerate(disks):
        write(disk, number + 1, 0, MIB)
    with pytest.raises(ApiError) as refused:
        south.call("FailoverDiskReplicaGroup", ReplicaGroupId=group)
    assert refused.value.code.startswith("OperationDenied")
    north.call("StartDiskReplicaGroup", ReplicaGroupId=group)
    wait_rows(south.groups, "normal", "group")
    for number, disk in enumerate(disks):
        write(disk, number + 11, MIB, MIB)
    until("nothing left to ship", lambda: north.groups()[0]["Offsite"]["DirtyBytes"] == 0 and
          north.groups()[0]["Offsite"]["RecoveryEpoch"] > 1)
    north.kill()
    south.call("FailoverDiskReplicaGroup", ReplicaGroupId=group)
    wait_rows(south.groups, "failovered", "group")
    for number, copy in enumerate(copies):
        copy.attach()
        read(copy, number + 1, 0, MIB)
        read(copy, number + 11, MIB, MIB)
    north.start()
    until("the old primary knows", lambda: north.groups()[0]["Offsite"]["State"] == "superseded")


@pytest.mark.parametrize("parameters, status, code", [
    ({"Action": "NoSuchThing"}, 404, "InvalidAction.NotFound"),
    ({"Action": "DescribeDisks", "Version": "1999-01-01"}, 400, "InvalidVersion"),
    ({"Action": "DescribeDisks", "RegionId": ""}, 400, "MissingParamter.RegionId"),  # spelt as there
    ({"Action": "DescribeDisks", "RegionId": "nowhere"}, 400, "InvalidRegion.NotFound"),
    ({"Action": "DescribeDisks", "DiskIds": "not json"}, 400, "InvalidParameter.DiskIds"),
    ({"Action": "DescribeDisks", "PageSize": "-1"}, 400, "InvalidParameter"),
    ({"Action": "AttachDisk", "DiskId": "d-none", "InstanceId": "i-1"}, 404, "InvalidDiskId.NotFound"),
    ({"Action": "AttachDisk", "InstanceId": "i-1"}, 400, "MissingDiskId"),
    ({"Action": "CreateDisk", "Size": "0"}, 400, "InvalidSize.ValueNotSupported"),
    ({"Action": "CreateDisk", "Size": "1", "DiskName": "1st"}, 400, "InvalidDiskName.Malformed"),
    ({"Action": "CreateDisk", "Size": "1", "Description": "x"}, 400, "InvalidDescription.Malformed"),
    ({"Action": "StartDiskReplicaPair", "Version": "2021-07-30", "ReplicaPairId": "pair-none"}, 404, "NoSuchResource"),
    ({"Action": "DescribeDisks", "Timestamp": "yesterday"}, 400, "InvalidTimeStamp.Format"),
    ({"Action": "DescribeDisks", "Timestamp": "2020-01-01T00:00:00Z"}, 400, "InvalidTimeStamp.Expired"),
    ({"Action": "DescribeDisks", "AccessKeyId": "nobody"}, 404, "InvalidAccessKeyId.NotFound"),
])
def test_bad_input_is_answered(site, parameters, status, code):
    everything = {"Version": "2014-05-26", "RegionId": site.region, "ZoneId": site.zone, **parameters}
    answered, body = http(site.url(signed(everything, site.key["access_key_id"], site.key["access_key_secret"])))
    answer = json.loads(body)
    assert (answered, answer["Code"]) == (status, code), answer
    assert answer["Message"] and answer["RequestId"]


def test_signature_is_checked(site):
    query = signed({"Action": "DescribeDisks", "Version": "2014-05-26", "RegionId": site.region},
                   site.key["access_key_id"], "wrong")
    status, body = http(site.url(query))
    assert status == 400 and json.loads(body)["Code"] == "SignatureDoesNotMatch"
    assert "server string to sign is:GET&%2F&AccessKeyId" in json.loads(body)["Message"]
    query = signed({"Action": "DescribeDisks", "Version": "2014-05-26", "RegionId": site.region},
                   site.key["access_key_id"], site.key["access_key_secret"])
    assert http(site.url(query))[0] == 200
    status, body = http(site.url(query))
    assert status == 400 and json.loads(body)["Code"] == "SignatureNonceUsed"
    status, body = http(site.url(), body=query.encode())
    assert status == 400 and json.loads(body)["Code"] == "SignatureDoesNotMatch", "the verb is signed"


def test_form_body_is_read(site):
    query = signed({"Action": "DescribeDisks", "Version": "2014-05-26", "RegionId": site.region},
                   site.key["access_key_id"], site.key["access_key_secret"], verb="POST")
    status, body = http(site.url(), body=query.encode())
    assert status == 200, body
    status, _ = http(site.url(), body=b"a" * (2 * MIB))
    assert status == 413
    status, _ = http(site.url("&".join(f"a{n}=1" for n in range(2000))))
    assert status in (400, 414, 431)
    assert http(site.url("Action=%"))[0] == 400


@pytest.mark.parametrize("keys", ["listen", "listen huawei", "listen aliyun", "aliyun huawei"])
def test_doors(tmp_path, keys):
    """Each port is served, by one loop; the credentials name the one that speaks Aliyun's dialect."""
    site = Site(tmp_path / "site")
    ports = dict(zip(keys.split(), free_ports(2)))
    config = site.folder / "offsite.conf"
    config.write_text(config.read_text().replace(
        f"[api]\nlisten=127.0.0.1:{site.api_port}\n",
        "[api]\n" + "".join(f"{key}=127.0.0.1:{port}\n" for key, port in ports.items())))
    site.api_port = ports.get("aliyun") or ports["listen"]
    try:
        site.start()
        assert site.key["endpoint"] == f"http://127.0.0.1:{site.api_port}"
        disk = site.disk(MIB)
        for key, port in ports.items():
            status, body = http(f"http://127.0.0.1:{port}/?Action=DescribeDisks")
            huawei = key == "huawei" or (key == "listen" and "aliyun" in ports)
            assert status == (300 if huawei else 400), (key, body)
        disk.detach()
    finally:
        site.close()
