"""Alibaba Cloud's own Python clients, which sign with version 3; and what that signature refuses."""

import hashlib
import hmac
import json
import subprocess
import time
import urllib.error
import urllib.request
import uuid

from offsite import REPOSITORY

FOLDER = REPOSITORY / "tests" / "clients" / "alibabacloud"


def place(site):
    return [f"127.0.0.1:{site.api_port}", site.key["access_key_id"], site.key["access_key_secret"], site.region, site.zone]


def test_the_life_of_a_pair(two_sites):
    north, south = two_sites
    done = subprocess.run([FOLDER / "venv" / "bin" / "python", FOLDER / "life.py", *place(north), *place(south)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "done\n", done.stdout + done.stderr


def call(site, query="RegionId=north", skew_s=0, nonce=None, body=b"", claimed=None, key=None, spoil="", names=None):
    """One POST with a signature of our own making; gives status and answer."""
    key_id, secret = key or (site.key["access_key_id"], site.key["access_key_secret"])
    headers = {"host": f"127.0.0.1:{site.api_port}", "x-acs-action": "DescribeRegions", "x-acs-version": "2021-07-30",
               "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + skew_s)),
               "x-acs-signature-nonce": nonce or uuid.uuid4().hex,
               "x-acs-content-sha256": claimed or hashlib.sha256(body).hexdigest(), "content-type": "application/octet-stream"}
    names = names or sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    canonical = f"POST\n/\n{query}\n{lines}\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = f"ACS3-HMAC-SHA256 Credential={key_id},SignedHeaders={';'.join(names)},Signature={signature}{spoil}"
    request = urllib.request.Request(f"http://127.0.0.1:{site.api_port}/?{query}", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def code(answer):
    return answer[0], answer[1].get("Code")


def test_what_signature_3_refuses(site):
    assert call(site)[0] == 200
    assert call(site, body=b"{}")[0] == 200
    assert code(call(site, spoil="0")) == (400, "SignatureDoesNotMatch")
    assert "server StringToSign is [ACS3-HMAC-SHA256" in call(site, key=(site.key["access_key_id"], "wrong"))[1]["Message"]
    assert code(call(site, body=b"x", claimed=hashlib.sha256(b"y").hexdigest())) == (400, "SignatureDoesNotMatch")
    assert code(call(site, key=("LTAInobody", "x"))) == (404, "InvalidAccessKeyId.NotFound")
    assert code(call(site, skew_s=-1000)) == (400, "InvalidTimeStamp.Expired")
    assert code(call(site, skew_s=1000)) == (400, "InvalidTimeStamp.Expired")
    assert call(site, nonce="again")[0] == 200
    assert code(call(site, nonce="again")) == (400, "SignatureNonceUsed")
    unsigned = ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"]
    assert call(site, names=unsigned)[0] == 200
    assert code(call(site, names=unsigned, body=b"RegionId=other")) == (400, "IncompleteSignature")
    assert code(call(site, names=["host", "x-acs-action", "x-acs-date"])) == (400, "IncompleteSignature")
