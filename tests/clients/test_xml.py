"""Answers as XML, for clients that sign with version 1 and ask for no JSON."""

import urllib.error
import urllib.request
import xml.etree.ElementTree as tree

from offsite import MIB, http, signed


def call(site, action, version="2021-07-30", **parameters):
    everything = {"Action": action, "Version": version, "RegionId": site.region, "Format": "XML", **parameters}
    query = signed(everything, site.key["access_key_id"], site.key["access_key_secret"])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.api_port}/?{query}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], tree.fromstring(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], tree.fromstring(error.read())


def test_rows_are_repeated_elements_and_texts_are_escaped(site):
    disk = site.make_disk(MIB, Description="a < b & \"c\" \u4e2d\u6587")
    status, kind, root = call(site, "DescribeDisks", version="2014-05-26")
    assert (status, kind, root.tag) == (200, "text/xml;charset=utf-8", "DescribeDisksResponse")
    rows = root.findall("Disks/Disk")
    assert [row.findtext("DiskId") for row in rows] == [disk.id] and root.findtext("TotalCount") == "1"
    assert rows[0].findtext("Description") == "a < b & \"c\" \u4e2d\u6587" and rows[0].findtext("Portable") == "true"
    regions = call(site, "DescribeRegions")[2]
    assert [region.findtext("RegionId") for region in regions.findall("Regions")] == [site.region]
    assert call(site, "DescribeDiskReplicaPairs")[2].findall("ReplicaPairs") == []


def test_errors_are_xml_too(site):
    status, kind, root = call(site, "StartDiskReplicaPair", ReplicaPairId="pair-cn-nothing")
    assert (status, kind, root.tag, root.findtext("Code")) == (404, "text/xml;charset=utf-8", "Error", "NoSuchResource")
    assert root.findtext("RequestId") and root.findtext("HostId") and root.findtext("Message")
    assert call(site, "NoSuchAction")[2].findtext("Code") == "InvalidAction.NotFound"


def test_version_1_without_a_format_is_xml(site):
    """That is the form's default there; whoever asks for JSON gets it, and whoever does not sign."""
    parameters = {"Action": "DescribeRegions", "Version": "2021-07-30"}
    keys = site.key["access_key_id"], site.key["access_key_secret"]
    for form, first in ((None, b"<"), ("XML", b"<"), ("JSON", b"{"), ("json", b"{")):
        status, body = http(site.url(signed({**parameters, "Format": form}, *keys)))
        assert (status, body[:1]) == (200, first), form
    assert http(site.url("Action=DescribeRegions"))[1][:1] == b"{"


def test_texts_come_back_as_they_were(site):
    text = "a\rb\r\nc\td ]]> \u00e9"
    site.make_disk(MIB, Description=text)
    row, = call(site, "DescribeDisks", version="2014-05-26")[2].findall("Disks/Disk")
    assert row.findtext("Description") == text
    # What XML has no way to say is seen to be missing.
    site.call("ModifyDiskAttribute", DiskId=row.findtext("DiskId"), Description="a\ufffeb\uffffc\x01d\ufffd")
    row, = call(site, "DescribeDisks", version="2014-05-26")[2].findall("Disks/Disk")
    assert row.findtext("Description") == "a?b?c?d\ufffd"
