"""What clients may take, and how long they may be waited for, in the clear and over TLS: the bad ones are ended, and nobody
else notices."""

import socket
import threading

import nbd
import pytest

import nbd_raw as raw
import offsite
from nbd_raw import Raw
from nbd_tls import Secure, certificate, tls_uri
from offsite import MIB, until

SIZE = 64 * MIB
CLIENTS, WAIT_S = 8, 2


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for kind in ("ca", "server"):
        certificate(folder, kind)
    return folder


@pytest.fixture(params=["clear", "tls"])
def site(request, keys, tmp_path):
    """One running site with narrow limits; `client` connects as far as the options."""
    extra = f"[nbd]\nclients={CLIENTS}\nmemory=64M\nwait_s={WAIT_S}\n"
    if request.param == "tls":
        extra += f"tls=required\ntls_certificate={keys / 'server-cert.pem'}\ntls_key={keys / 'server-key.pem'}\n"
    one = offsite.Site(tmp_path / "site", extra=extra)
    one.client = Secure if request.param == "tls" else Raw
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def disk(site):
    return site.disk(SIZE)


@pytest.fixture(autouse=True)
def idle(site, disk, keys):
    """A client that asks for nothing during the test: it has all the time in the world."""
    handle = nbd.NBD()
    handle.set_tls_certificates(str(keys))
    handle.connect_uri(tls_uri(disk) if site.client is Secure else disk.uri)
    yield handle
    assert handle.pread(5, 0) == bytes(5)
    handle.shutdown()


def hog(site, disk, requests=2):
    """A client that asks for much and reads nothing."""
    client = site.client(site)
    client.go(disk.id)
    for _ in range(requests):
        client.request(raw.READ, 0, 32 * MIB)
    return client


def test_a_silent_handshake_ends(site):
    with Raw(site, flags=None) as silent, site.client(site) as talking:
        talking.option(raw.LIST)
        while talking.reply(raw.LIST)[0] != raw.ACK:
            pass
        assert silent.ended() and talking.ended()
    site.wait_log('reason="no export was chosen in time"')


@pytest.mark.parametrize("site", ["tls"], indirect=True)
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
def test_a_silent_handshake_of_tls_ends(site, sent):
    with Raw(site) as client:
        client.ask(raw.STARTTLS)
        client.send(sent)
        assert client.ended()
    site.wait_log('reason="no export was chosen in time"')


@pytest.mark.parametrize("sent", [1, 27])
def test_half_a_header_ends(site, disk, sent):
    with site.client(site) as client:
        client.go(disk.id)
        client.send(b"\x25\x60\x95\x13".ljust(sent, b"\0")[:sent])
        assert client.ended()
    site.wait_log('reason="the rest of a message did not come in time"')


@pytest.mark.parametrize("offset", [0, SIZE], ids=["good", "refused"])
def test_half_a_payload_ends_and_nothing_of_it_is_written(site, disk, idle, offset):
    with site.client(site) as client:
        client.go(disk.id)
        client.request(raw.WRITE, offset, 32 * MIB, b"v" * MIB)
        assert client.ended()
    site.wait_log('reason="the rest of a message did not come in time"')
    assert idle.pread(MIB, 0) == bytes(MIB)


def test_who_takes_no_replies_is_ended(site, disk):
    with hog(site, disk):
        site.wait_log('reason="replies were not taken in time"')


def test_who_takes_them_slowly_is_not(site, disk):
    """32 MiB in pieces, over more than the time that a client has to take any."""
    pause = threading.Event()
    with hog(site, disk, 1) as client:
        client.read(16)
        for _ in range(16 * (WAIT_S + 1)):
            client.read(32 * MIB // (16 * (WAIT_S + 1)))
            pause.wait(1 / 16)
        client.read(32 * MIB - 32 * MIB // (16 * (WAIT_S + 1)) * 16 * (WAIT_S + 1))
        assert client.error(raw.FLUSH) == 0
    assert "were not taken" not in site.log()


def test_one_client_too_many_is_refused_and_said_once(site, disk):
    clients = [site.client(site) for _ in range(CLIENTS - 1)]  # and the idle one
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", site.nbd_port), timeout=20) as more:
            assert more.recv(1) == b""
    assert site.log().count("nbd.refusing") == 1
    clients.pop().socket.close()

    def welcome():
        with socket.create_connection(("127.0.0.1", site.nbd_port), timeout=20) as more:
            return more.recv(1) != b""
    until("room for one again", welcome)
    for client in clients:
        client.socket.close()


def test_those_who_hold_all_memory_stop_nobody(site, disk, idle):
    """Five want 64 MiB each, of 64 for all: small requests are served at once, large ones when the others have been ended."""
    hogs = [hog(site, disk) for _ in range(5)]
    idle.pwrite(b"small" * 1000, 0)
    assert idle.pread(5000, 0) == b"small" * 1000
    memory = next(line for line in open(f"/proc/{site.process.pid}/status", encoding="ascii") if line.startswith("VmRSS"))
    assert int(memory.split()[1]) < 500 * 1024, memory
    idle.pwrite(b"l" * 32 * MIB, 32 * MIB)
    assert idle.pread(32 * MIB, 32 * MIB) == b"l" * 32 * MIB
    for client in hogs:
        client.socket.close()
    idle.pwrite(bytes(5000), 0)
