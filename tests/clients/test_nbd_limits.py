"""What clients may take, and how long they may be waited for: the bad ones are ended, and nobody else notices."""

import socket
import threading

import nbd
import pytest

import nbd_raw as raw
import offsite
from nbd_raw import Raw
from offsite import MIB, until

SIZE = 64 * MIB
CLIENTS, WAIT_S = 8, 2


@pytest.fixture
def site(tmp_path):
    """One running site with narrow limits."""
    one = offsite.Site(tmp_path / "site", extra=f"[nbd]\nclients={CLIENTS}\nmemory=64M\nwait_s={WAIT_S}\n")
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def disk(site):
    return site.disk(SIZE)


@pytest.fixture(autouse=True)
def idle(disk):
    """A client that asks for nothing during the test: it has all the time in the world."""
    handle = nbd.NBD()
    handle.connect_uri(disk.uri)
    yield handle
    assert handle.pread(5, 0) == bytes(5)
    handle.shutdown()


def hog(site, disk, requests=2):
    """A client that asks for much and reads nothing."""
    client = Raw(site)
    client.go(disk.id)
    for _ in range(requests):
        client.request(raw.READ, 0, 32 * MIB)
    return client


def test_a_silent_handshake_ends(site):
    with Raw(site, flags=None) as silent, Raw(site) as talking:
        talking.option(raw.LIST)
        while talking.reply(raw.LIST)[0] != raw.ACK:
            pass
        assert silent.ended() and talking.ended()
    site.wait_log('reason="no export was chosen in time"')


@pytest.mark.parametrize("sent", [1, 27])
def test_half_a_header_ends(site, disk, sent):
    with Raw(site) as client:
        client.go(disk.id)
        client.send(b"\x25\x60\x95\x13".ljust(sent, b"\0")[:sent])
        assert client.ended()
    site.wait_log('reason="the rest of a message did not come in time"')


@pytest.mark.parametrize("offset", [0, SIZE], ids=["good", "refused"])
def test_half_a_payload_ends_and_nothing_of_it_is_written(site, disk, idle, offset):
    with Raw(site) as client:
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
    clients = [Raw(site) for _ in range(CLIENTS - 1)]  # and the idle one
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
