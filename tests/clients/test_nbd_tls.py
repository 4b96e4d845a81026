"""TLS for disks, with the clients people use (GnuTLS's in libnbd and qemu), and what no well-behaved client sends."""

import json
import os
import shutil
import signal
import struct
import subprocess

import nbd
import pytest

import nbd_raw
from nbd_raw import (ABORT, ACK, EXPORT_NAME, EXTENDED_HEADERS, GO, INFO, LIST, LIST_META, SET_META, STARTTLS, STRUCTURED_REPLY,
                     Raw)
from nbd_tls import Secure, certificate, tls_uri
from offsite import LIMIT_S, MIB, OFFSITED, Site, run, until

SIZE = 64 * MIB
ERR_POLICY, ERR_INVALID, ERR_TLS_REQD = 0x80000002, 0x80000003, 0x80000005


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One authority, a server, clients good and bad, another authority with its client, and pre-shared keys."""
    top = tmp_path_factory.mktemp("tls")
    for name in ("good", "other", "expired", "anonymous", "server_as_client"):
        (top / name).mkdir()
    good, other = top / "good", top / "other"
    for folder in (good, other):
        for kind in ("ca", "server", "client"):
            certificate(folder, kind)
    for name in ("expired", "anonymous", "server_as_client"):
        (top / name / "ca-cert.pem").write_bytes((good / "ca-cert.pem").read_bytes())
    (top / "expired" / "ca-key.pem").write_bytes((good / "ca-key.pem").read_bytes())
    certificate(top / "expired", "client", "expired")
    for what in ("cert", "key"):
        (top / "server_as_client" / f"client-{what}.pem").write_bytes((good / f"server-{what}.pem").read_bytes())
    for folder, names in ((good, ("alice", "bob")), (other, ("alice", "eve"))):
        for name in names:
            run("psktool", "--username", name, "--pskfile", folder / "keys.psk")
    return top


def tls_settings(keys, mode, authority=False, psk=False, x509=True):
    good = keys / "good"
    lines = ["[nbd]", f"tls={mode}"]
    if x509:
        lines += [f"tls_certificate={good / 'server-cert.pem'}", f"tls_key={good / 'server-key.pem'}"]
    if authority:
        lines.append(f"tls_ca={good / 'ca-cert.pem'}")
    if psk:
        lines.append(f"tls_psk={good / 'keys.psk'}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def serve(keys, tmp_path_factory):
    """serve(mode, ...) gives a disk of a site with that TLS; sites are kept for the tests that want the same."""
    sites = {}

    def get(mode, **settings):
        key = (mode, *sorted(settings.items()))
        if key not in sites:
            one = Site(tmp_path_factory.mktemp("site"), extra=tls_settings(keys, mode, **settings))
            sites[key] = one.start(), None
            sites[key] = one, one.disk(SIZE)
        return sites[key][1]

    yield get
    for one, _ in sites.values():
        one.close()


def size_of(uri):
    return run("nbdinfo", "--size", uri, ok=False)


def assert_served(uri):
    done = size_of(uri)
    assert done.returncode == 0 and int(done.stdout) == SIZE, done.stderr


def assert_refused(disk, uri, why):
    """The client fails, and the site's log says why."""
    begin = len(disk.site.log())
    assert size_of(uri).returncode != 0
    disk.site.wait_log(why, begin)


# --- who is let in


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("mode", ["allowed", "required"])
def test_a_client_that_trusts_the_authority_is_served(serve, keys, mode, transport):
    disk = serve(mode)
    if transport == "tcp":
        assert_served(tls_uri(disk, tls_certificates=keys / "anonymous"))
    else: # a path has no name that the certificate could bear
        assert_served(tls_uri(disk, "unix", tls_certificates=keys / "anonymous", tls_verify_peer="false"))
    assert "nbd.secured" in disk.site.log()


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("x509", [False, True])
def test_a_client_with_a_pre_shared_key_is_served(serve, keys, x509, transport):
    disk = serve("required", psk=True, x509=x509)
    for name in ("alice", "bob"):
        assert_served(tls_uri(disk, transport, user=name, tls_psk_file=keys / "good" / "keys.psk"))


@pytest.mark.parametrize("user", ["alice", "eve"])
def test_a_wrong_key_and_an_unknown_name_are_refused_alike(serve, keys, user):
    disk = serve("required", psk=True, x509=False)
    begin = len(disk.site.log())
    assert size_of(tls_uri(disk, user=user, tls_psk_file=keys / "other" / "keys.psk")).returncode != 0
    assert 'reason="Error in the pull function' not in disk.site.wait_log("nbd.disconnected", begin)
    assert "nbd.secured" not in disk.site.log()[begin:]


def test_a_client_with_the_authoritys_certificate_is_served(serve, keys):
    assert_served(tls_uri(serve("required", authority=True), tls_certificates=keys / "good"))


@pytest.mark.parametrize("who, why", [
    ("anonymous", "Certificate is required"), ("expired", "expired"), ("server_as_client", "purpose"),
])
def test_a_client_without_a_good_certificate_is_refused(serve, keys, who, why):
    disk = serve("required", authority=True)
    assert_refused(disk, tls_uri(disk, tls_certificates=keys / who), why)


def test_a_client_of_another_authority_is_refused(serve, keys, tmp_path):
    disk = serve("required", authority=True)
    (tmp_path / "ca-cert.pem").write_bytes((keys / "good" / "ca-cert.pem").read_bytes())
    for what in ("cert", "key"):
        (tmp_path / f"client-{what}.pem").write_bytes((keys / "other" / f"client-{what}.pem").read_bytes())
    assert_refused(disk, tls_uri(disk, tls_certificates=tmp_path), "client's certificate is refused")


def test_a_client_that_does_not_trust_the_server_gives_up(serve, keys):
    disk = serve("required")
    assert_refused(disk, tls_uri(disk, tls_certificates=keys / "other"), "nbd.disconnected")


def test_clients_of_qemu(serve, keys):
    disk = serve("required", authority=True, psk=True)
    server = f"driver=nbd,host=localhost,port={disk.site.nbd_port},export={disk.id},tls-creds=tls"
    x509 = f"tls-creds-x509,id=tls,endpoint=client,dir={keys / 'good'}"
    psk = f"tls-creds-psk,id=tls,endpoint=client,dir={keys / 'good'},username=bob"
    for credentials in (x509, psk):
        assert f'"virtual-size": {SIZE}' in run("qemu-img", "info", "--output=json", "--object", credentials, "--image-opts",
                                                server).stdout
    run("qemu-io", "--object", x509, "--image-opts", server, "-c", "write -P 0x5a 1M 3M", "-c", "flush")
    assert "verification failed" not in run("qemu-io", "--object", psk, "--image-opts", server, "-c",
                                            "read -P 0x5a 1M 3M").stdout
    other = f"tls-creds-x509,id=tls,endpoint=client,dir={keys / 'other'}"
    assert run("qemu-img", "info", "--object", other, "--image-opts", server, ok=False).returncode != 0


# --- modes


def test_required_serves_nobody_in_the_clear(serve):
    disk = serve("required")
    for uri in (disk.uri, disk.unix_uri):
        refused = size_of(uri)
        assert refused.returncode != 0 and "TLS" in refused.stderr
    assert disk.row()["Offsite"]["NbdUris"][0].startswith("nbds://")
    assert disk.row()["Offsite"]["NbdUris"][1].startswith("nbds+unix://")


def test_allowed_serves_in_the_clear_too(serve):
    disk = serve("allowed")
    for uri in (disk.uri, disk.unix_uri):
        assert_served(uri)
    assert disk.row()["Offsite"]["NbdUris"][0].startswith("nbd://")


def test_off_refuses_tls_and_serves_on(site, keys):
    disk = site.disk(SIZE)
    assert size_of(tls_uri(disk, tls_certificates=keys / "good")).returncode != 0
    with Raw(site) as raw:
        raw.option(STARTTLS)
        assert raw.reply(STARTTLS)[0] == ERR_POLICY
        assert raw.go(disk.id)[0] == SIZE


def test_every_option_but_two_demands_tls_first(serve):
    disk = serve("required")
    with Raw(disk.site) as raw:
        for option, data in ((LIST, b""), (GO, b"\0\0\0\0\0\0"), (INFO, b""), (STRUCTURED_REPLY, b""), (SET_META, b"x"),
                             (LIST_META, b""), (EXTENDED_HEADERS, b""), (99, b"?"), (LIST, bytes(20000))):
            raw.option(option, data)
            assert raw.reply(option)[0] == ERR_TLS_REQD
        raw.option(STARTTLS, b"data")
        assert raw.reply(STARTTLS)[0] == ERR_INVALID
        raw.option(ABORT)
        assert raw.reply(ABORT)[0] == ACK
    with Raw(disk.site) as raw:
        raw.option(EXPORT_NAME, disk.id.encode())
        assert raw.ended()


# --- bytes by hand


@pytest.mark.parametrize("option", [STRUCTURED_REPLY, EXTENDED_HEADERS])
def test_what_was_agreed_on_in_the_clear_is_forgotten(serve, option):
    """Other replies and headers, asked for before TLS by whoever, do not hold after it."""
    disk = serve("allowed")
    with Secure(disk.site, before=[option]) as raw:
        raw.go(disk.id)
        raw.request(0, 0, 512)
        assert raw.answer() == (0, raw.cookie)
        assert raw.read(512) == bytes(512)


def test_tls_is_asked_for_once(serve):
    disk = serve("required")
    with Secure(disk.site) as raw:
        raw.option(STARTTLS)
        assert raw.reply(STARTTLS)[0] == ERR_INVALID
        assert raw.go(disk.id)[0] == SIZE


def test_the_server_says_goodbye(serve):
    """A stream that was cut off can be told from one that ended: OpenSSL raises on the former."""
    disk = serve("required")
    with Secure(disk.site) as raw:
        raw.go(disk.id)
        raw.request(2)
        assert raw.socket.recv(1) == b""


@pytest.mark.parametrize("mode", ["allowed", "required"])
@pytest.mark.parametrize("together", [True, False])
def test_bytes_in_the_clear_after_starttls_are_not_acted_on(serve, mode, together):
    """An option, put behind STARTTLS by somebody between client and server, is neither answered nor remembered."""
    disk = serve(mode)
    injected = b"IHAVEOPT" + struct.pack(">II", LIST, 0)
    begin = len(disk.site.log())
    with Raw(disk.site) as raw:
        starttls = b"IHAVEOPT" + struct.pack(">II", STARTTLS, 0)
        if together:
            raw.send(starttls + injected)
        else:
            raw.send(starttls)
            assert raw.reply(STARTTLS) == (ACK, b"")
            raw.send(injected)
        raw.socket.settimeout(LIMIT_S)
        rest = bytearray()
        try:
            while more := raw.socket.recv(4096):
                rest += more
        except ConnectionResetError:
            pass
        assert struct.pack(">Q", 0x3E889045565A9) not in rest
    disk.site.wait_log("bytes in the clear after STARTTLS" if together else "nbd.disconnected", begin)


def test_clients_that_stall_in_the_handshake_disturb_nobody_and_are_dropped(serve, keys):
    disk = serve("required")
    begin = len(disk.site.log())
    stalled = [Raw(disk.site) for _ in range(20)]
    for raw in stalled:
        raw.option(STARTTLS)
        assert raw.reply(STARTTLS) == (ACK, b"")
        raw.send(b"\x16\x03\x01\x02\x00\x01")
    assert_served(tls_uri(disk, tls_certificates=keys / "good"))
    for raw in stalled[:10]: # these vanish
        raw.socket.close()
    for raw in stalled[10:]:
        raw.socket.settimeout(60)
        assert raw.ended()
        raw.socket.close()
    assert disk.site.log()[begin:].count("no export was chosen in time") == 10


def test_a_client_that_vanishes_in_a_large_read_is_forgotten(serve):
    disk = serve("required")
    begin = len(disk.site.log())
    raw = Secure(disk.site)
    raw.go(disk.id)
    for _ in range(8):
        raw.request(0, 0, 8 * MIB)
    assert len(raw.read(100000)) == 100000
    raw.socket.close()
    disk.site.wait_log("nbd.disconnected", begin)


def test_a_stop_ends_clients_with_tls(keys, tmp_path):
    """One that reads nothing of what it asked for, one that is idle, one in its handshake."""
    site = Site(tmp_path / "site", extra=tls_settings(keys, "required"))
    try:
        disk = site.start().disk(SIZE)
        with Secure(site) as greedy, Secure(site) as idle, Raw(site) as stalled:
            for raw in (greedy, idle):
                raw.go(disk.id)
            for _ in range(8):
                greedy.request(0, 0, 8 * MIB)
            stalled.option(STARTTLS)
            assert stalled.reply(STARTTLS) == (ACK, b"")
            site.stop()
    finally:
        site.close()


# --- data


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_a_whole_disk_goes_over_tls_and_back(serve, keys, tmp_path, transport):
    disk = serve("required", authority=True, psk=True)
    uri = tls_uri(disk, transport, user="alice", tls_psk_file=keys / "good" / "keys.psk")
    there, back = tmp_path / "there", tmp_path / "back"
    with open("/dev/urandom", "rb") as source:
        there.write_bytes(source.read(SIZE))
    for connections in (1, 4):
        run("nbdcopy", f"--connections={connections}", "--flush", there, uri)
        run("nbdcopy", f"--connections={connections}", uri, back)
        assert there.read_bytes() == back.read_bytes()


def test_fio_verifies_what_it_wrote(serve, keys, tmp_path):
    """fio has no way to name certificates: qemu speaks TLS for it."""
    disk = serve("required", authority=True)
    path = disk.site.run_folder / "plain.sock"
    with subprocess.Popen(["qemu-nbd", "--object", f"tls-creds-x509,id=tls,endpoint=client,dir={keys / 'good'}", "--persistent",
                           "--shared=0", "--export-name=plain", f"--socket={path}", "--image-opts",
                           f"driver=nbd,host=localhost,port={disk.site.nbd_port},export={disk.id},tls-creds=tls"]) as plain:
        try:
            until("qemu-nbd listens", path.exists)
            done = run("fio", "--name=tls", "--ioengine=nbd", f"--uri=nbd+unix:///plain?socket={path}", "--rw=randrw",
                       "--bsrange=512-256k", "--size=48M", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1",
                       "--verify_backlog=256", "--randseed=7", limit_s=180, cwd=tmp_path)
        finally:
            plain.terminate()
    assert "err= 0" in done.stdout


def test_every_command_over_tls(serve, keys):
    disk = serve("required")
    handle = nbd.NBD()
    handle.set_tls_certificates(str(keys / "anonymous"))
    handle.connect_uri(tls_uri(disk))
    assert handle.get_tls_negotiated() and handle.get_structured_replies_negotiated()
    handle.pwrite(b"\xa5" * MIB, 4096, nbd.CMD_FLAG_FUA)
    handle.zero(8192, 8192)
    handle.trim(8192, 65536)
    handle.flush()
    assert handle.pread(12288, 4096) == b"\xa5" * 4096 + bytes(8192)
    with pytest.raises(nbd.Error):
        handle.set_strict_mode(0)
        handle.pread(4096, SIZE)
    handle.shutdown()


def test_holes_are_told_and_skipped_over_tls(serve, keys, tmp_path):
    disk = serve("required").site.disk(SIZE)
    uri = tls_uri(disk, tls_certificates=keys / "anonymous")
    run("qemu-io", "--object", f"tls-creds-x509,id=tls,endpoint=client,dir={keys / 'anonymous'}", "--image-opts",
        f"driver=nbd,host=localhost,port={disk.site.nbd_port},export={disk.id},tls-creds=tls",
        "-c", "write -P 0x5a 4M 1M", "-c", "write -P 0xa5 40M 64k", "-c", "flush")
    spans = json.loads(run("nbdinfo", "--map", "--json", uri).stdout)
    assert [(span["offset"], span["length"]) for span in spans if span["type"] == 0] == [(4 * MIB, MIB), (40 * MIB, 65536)]
    assert sum(span["length"] for span in spans) == SIZE
    run("nbdcopy", uri, tmp_path / "copy.raw")
    assert os.stat(tmp_path / "copy.raw").st_blocks * 512 < 8 * MIB
    assert run("cmp", tmp_path / "copy.raw", disk.path).returncode == 0


def test_extended_headers_over_tls(serve):
    disk = serve("required").site.disk(SIZE)
    with Secure(disk.site) as raw:
        raw.ask(EXTENDED_HEADERS)
        context = raw.choose_allocation(disk.id)
        assert raw.go(disk.id)[0] == SIZE
        raw.extended(nbd_raw.WRITE, MIB, 32 * MIB, b"w" * 32 * MIB, nbd_raw.PAYLOAD_LEN)
        assert raw.extended_chunk() == (1, nbd_raw.CHUNK_NONE, MIB, b"")
        raw.extended(nbd_raw.READ, MIB, 32 * MIB)
        assert raw.extended_chunk() == (1, nbd_raw.CHUNK_DATA, MIB, struct.pack(">Q", MIB) + b"w" * 32 * MIB)
        raw.extended(nbd_raw.BLOCK_STATUS, 0, SIZE)
        flags, kind, offset, data = raw.extended_chunk()
        assert (flags, kind, offset) == (1, nbd_raw.CHUNK_STATUS_EXT, 0)
        assert struct.unpack(">II6Q", data) == (context, 3, MIB, 3, 32 * MIB, 0, SIZE - 33 * MIB, 3)
        raw.extended(nbd_raw.TRIM, 0, SIZE)
        assert raw.extended_chunk() == (1, nbd_raw.CHUNK_NONE, 0, b"")


# --- configuration


def test_certificates_are_renewed_in_use(keys, tmp_path):
    """SIGHUP: who is connected stays, who comes sees the new certificate; bad files change nothing."""
    for kind in ("cert", "key"):
        shutil.copy(keys / "good" / f"server-{kind}.pem", tmp_path)
    site = Site(tmp_path / "site", extra=f"[nbd]\ntls=required\ntls_certificate={tmp_path}/server-cert.pem\n"
                                         f"tls_key={tmp_path}/server-key.pem\n")
    try:
        disk = site.start().disk(SIZE)
        with Secure(site) as connected:
            connected.go(disk.id)
            assert_served(tls_uri(disk, tls_certificates=keys / "good"))
            for kind in ("cert", "key"):
                shutil.copy(keys / "other" / f"server-{kind}.pem", tmp_path)
            site.process.send_signal(signal.SIGHUP)
            site.wait_log("tls.reloaded")
            assert_served(tls_uri(disk, tls_certificates=keys / "other"))
            assert size_of(tls_uri(disk, tls_certificates=keys / "good")).returncode != 0
            (tmp_path / "server-key.pem").write_text("nonsense")
            site.process.send_signal(signal.SIGHUP)
            site.wait_log("tls.not_reloaded")
            assert_served(tls_uri(disk, tls_certificates=keys / "other"))
            assert connected.error(3) == 0
    finally:
        site.close()


@pytest.mark.parametrize("settings, why", [
    ("tls=maybe", '"maybe" is not off, allowed or required'),
    ("tls=required", "tls needs tls_certificate and tls_key, or tls_psk, or all three"),
    ("tls=required\ntls_certificate={good}/server-cert.pem", "tls_certificate and tls_key go together"),
    ("tls=required\ntls_psk={good}/keys.psk\ntls_ca={good}/ca-cert.pem", "tls_ca is for clients' certificates"),
    ("tls=allowed\ntls_psk={good}/none", "[nbd] tls_psk: cannot read {good}/none: No such file or directory"),
    ("tls=allowed\ntls_psk={good}/ca-cert.pem", "[nbd] tls_psk: {good}/ca-cert.pem: line 1: it is not NAME:KEY"),
    ("tls=allowed\ntls_psk=/dev/null", "[nbd] tls_psk: /dev/null: the file is empty"),
    ("tls=allowed\ntls_certificate={good}/keys.psk\ntls_key={good}/server-key.pem", "[nbd] tls_certificate: {good}/keys.psk: "),
    ("tls=allowed\ntls_certificate={good}/server-cert.pem\ntls_key={good}/keys.psk", "[nbd] tls_key: {good}/keys.psk: "),
    ("tls=allowed\ntls_certificate={good}/server-cert.pem\ntls_key={good}/client-key.pem",
     "[nbd] tls_key: {good}/client-key.pem: The certificate and the given key do not match."),
    ("tls=allowed\ntls_certificate={good}/server-cert.pem\ntls_key={good}/server-key.pem\ntls_ca={good}/keys.psk",
     "[nbd] tls_ca: {good}/keys.psk: "),
])
def test_bad_settings_are_said_at_the_start(keys, tmp_path, settings, why):
    good = keys / "good"
    config = tmp_path / "offsite.conf"
    config.write_text(f"[site]\ndata={tmp_path / 'data'}\n[nbd]\n" + settings.format(good=good) + "\n")
    for more in (["--check"], []):
        done = run(OFFSITED, "--config", config, *more, ok=False)
        assert done.returncode == 2 and why.format(good=good) in done.stderr, done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("offsited: ")]) == 1
    assert not (tmp_path / "data").exists()


def test_good_settings_are_good(keys, tmp_path):
    config = tmp_path / "offsite.conf"
    config.write_text(f"[site]\ndata={tmp_path / 'data'}\n" + tls_settings(keys, "required", authority=True, psk=True))
    assert "is good" in run(OFFSITED, "--check", "--config", config).stdout
