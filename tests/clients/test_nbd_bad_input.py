"""What no good client sends: the protocol's own answer, nobody else disturbed, and never the end of the daemon."""

import random
import socket
import struct
import threading

import nbd
import pytest

import nbd_raw as raw
from nbd_raw import Raw
from offsite import MIB, until

SIZE = 64 * MIB


@pytest.fixture
def disk(site):
    return site.disk(SIZE)


@pytest.fixture(autouse=True)
def bystander(disk):
    """A good client that works all along, on the same disk (its last MiB), and must not notice anything."""
    handle = nbd.NBD()
    handle.connect_uri(disk.uri)
    stop, failures = threading.Event(), []

    def work():
        number = 0
        try:
            while not stop.is_set():
                number += 1
                data = struct.pack(">Q", number) * 512
                handle.pwrite(data, SIZE - MIB)
                assert handle.pread(4096, SIZE - MIB) == data
                stop.wait(0.01)
        except (nbd.Error, AssertionError) as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    yield handle
    stop.set()
    worker.join()
    assert not failures
    handle.shutdown()


def test_unknown_options_are_refused_and_the_handshake_goes_on(site, disk):
    with Raw(site) as client:
        for option in (4, 12, 99, 0, 0xFFFFFFFF):
            client.option(option, b"whatever")
            assert client.reply(option)[0] == raw.ERR_UNSUP
        for option in (raw.EXTENDED_HEADERS, raw.STRUCTURED_REPLY, raw.LIST_META, raw.SET_META):
            client.option(option, b"whatever")
            assert client.reply(option)[0] == raw.ERR_INVALID
        assert client.go(disk.id)[0] == SIZE


def test_options_that_do_not_fit_together(site, disk):
    with Raw(site) as client:
        for data in (b"", b"\0", b"\0\0\0\5abc", b"\xff\xff\xff\xff\0\0", struct.pack(">I", 1) + b"d\0\1"):
            client.option(raw.GO, data)
            assert client.reply(raw.GO)[0] == raw.ERR_INVALID
        client.option(raw.LIST, b"x")
        assert client.reply(raw.LIST)[0] == raw.ERR_INVALID
        client.option(raw.INFO, struct.pack(">I", 6) + b"nobody\0\0")
        assert client.reply(raw.INFO)[0] == raw.ERR_UNKNOWN
        assert client.go(disk.id, raw.INFO)[0] == SIZE
        assert client.go(disk.id)[0] == SIZE


def test_long_options(site, disk):
    with Raw(site) as client:
        client.option(raw.GO, bytes(60000))
        assert client.reply(raw.GO)[0] == raw.ERR_TOO_BIG
        assert client.go(disk.id)[0] == SIZE
    for length in (65537, 1 << 31, 0xFFFFFFFF):
        with Raw(site) as client:
            client.option(raw.GO, b"", length)
            assert client.reply(raw.GO)[0] == raw.ERR_TOO_BIG
            assert client.ended()


def test_options_without_end(site):
    with Raw(site) as client:
        client.send((b"IHAVEOPT" + struct.pack(">II", 77, 0)) * 1025)
        for _ in range(1024):
            assert client.reply(77)[0] == raw.ERR_UNSUP
        assert client.ended()


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\0\0\0\3" + b"IHAVEOPX" + bytes(8), b"\x16\x03\x01" * 9],
                         ids=["http", "flags", "option magic", "tls"])
def test_not_nbd_at_all(site, first):
    with Raw(site, flags=None) as client:
        client.send(first)
        assert client.ended()


def test_unknown_export_name(site):
    with Raw(site) as client:
        client.option(raw.EXPORT_NAME, b"nobody")
        assert client.ended()


def test_export_name_with_zeroes(site, disk):
    with Raw(site, flags=1) as client:
        client.option(raw.EXPORT_NAME, disk.id.encode())
        answer = client.read(134)
        assert struct.unpack(">Q", answer[:8])[0] == SIZE and answer[10:] == bytes(124)
        assert client.error(raw.FLUSH) == 0


def test_abort(site):
    with Raw(site) as client:
        client.option(raw.ABORT)
        assert client.reply(raw.ABORT) == (raw.ACK, b"")
        assert client.ended()


def test_bad_requests_are_answered(site, disk):
    with Raw(site) as client:
        client.go(disk.id)
        for error, command, offset, length, flags in (
                (raw.EINVAL, raw.READ, SIZE, 1, 0), (raw.EINVAL, raw.READ, 2**64 - 1, 1, 0),
                (raw.EINVAL, raw.READ, 2**64 - 512, 512, 0), (raw.EINVAL, raw.READ, 0, 32 * MIB + 1, 0),
                (raw.EINVAL, raw.READ, 0, 2**32 - 1, 0), (raw.EINVAL, raw.READ, 0, 512, 0x8000), (raw.EINVAL, raw.READ, 0, 512, 4),
                (raw.EINVAL, raw.TRIM, SIZE, 1, 0), (raw.EINVAL, raw.TRIM, 0, 2**32 - 1, 0),
                (raw.ENOSPC, raw.WRITE_ZEROES, SIZE, 1, 0), (raw.ENOSPC, raw.WRITE_ZEROES, 1, 2**32 - 1, 0),
                (raw.EINVAL, raw.FLUSH, 1, 1, 0), (raw.EINVAL, raw.CACHE, SIZE, 512, 0), (raw.EINVAL, raw.BLOCK_STATUS, 0, 512, 0),
                (raw.EINVAL, 9, 0, 0, 0), (raw.EINVAL, 0xFFFF, 2**64 - 1, 2**32 - 1, 0xFFFF)):
            assert client.error(command, offset, length, flags=flags) == error, (command, offset, length, flags)
        assert client.error(raw.WRITE, SIZE, 100000, bytes(100000)) == raw.ENOSPC
        assert client.error(raw.WRITE, 0, 32 * MIB + 1, bytes(32 * MIB + 1)) == raw.EINVAL
        assert client.error(raw.WRITE, 0, 4096, b"x" * 4096) == 0, "the connection goes on"


def test_errors_say_why_in_structured_replies(site, disk):
    with Raw(site) as client:
        client.option(raw.STRUCTURED_REPLY)
        assert client.reply(raw.STRUCTURED_REPLY) == (raw.ACK, b"")
        client.go(disk.id)
        client.request(raw.READ, SIZE, 512)
        flags, kind, cookie, data = client.chunk()
        assert (flags, kind, cookie) == (1, 32769, client.cookie)
        error, size = struct.unpack(">IH", data[:6])
        assert error == raw.EINVAL and size == len(data) - 6 and b"past the end" in data[6:]


@pytest.mark.parametrize("length", [64 * MIB + 1, 2**32 - 1])
def test_a_write_without_limit_ends_the_connection(site, disk, length):
    with Raw(site) as client:
        client.go(disk.id)
        client.request(raw.WRITE, 0, length)
        assert client.ended()


def test_bad_request_magic_ends_the_connection(site, disk):
    with Raw(site) as client:
        client.go(disk.id)
        client.send(bytes(28))
        assert client.ended()
    site.wait_log('reason="bad request magic"')


def test_disconnect_in_the_middle_of_requests(site, disk):
    with Raw(site) as client:
        client.go(disk.id)
        for _ in range(50):
            client.request(raw.READ, 0, MIB)
        client.request(raw.DISC)
        for _ in range(50):
            assert client.answer()[0] == 0
            client.read(MIB)
        assert client.ended()


@pytest.mark.parametrize("sent", [0, 1, 28, 4096, 100000, 20 * MIB])
def test_vanishing_in_the_middle_of_a_write_of_32_mib(site, disk, sent):
    with Raw(site) as client:
        client.go(disk.id)
        assert client.error(raw.WRITE, 0, 4096, b"k" * 4096) == 0
        client.request(raw.WRITE, 0, 32 * MIB, b"v" * sent)
    with Raw(site) as client:
        client.go(disk.id)
        client.request(raw.READ, 0, 4096)
        assert client.answer()[0] == 0 and client.read(4096) == b"k" * 4096, "half a write is no write"


def test_reset_with_replies_on_their_way(site, disk):
    for _ in range(5):
        with Raw(site) as client:
            client.go(disk.id)
            for _ in range(4):
                client.request(raw.READ, 0, 32 * MIB)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_reads_nothing_is_held_back(site, disk):
    """It can make the server hold no more than the limit, however many replies it asks for."""
    with Raw(site) as client:
        client.go(disk.id)
        client.socket.settimeout(2)
        requests = 0
        with pytest.raises(TimeoutError):
            while True:
                client.request(raw.READ, 0, 32 * MIB)
                requests += 1
                assert requests < 10 * MIB // 28, "requests are taken without end"
        memory = next(line for line in open(f"/proc/{site.process.pid}/status", encoding="ascii") if line.startswith("VmRSS"))
        assert int(memory.split()[1]) < 600 * 1024, memory


def test_garbage_at_every_stage(site, disk):
    source = random.Random(3)
    for number in range(90):
        with Raw(site, flags=None if number % 3 == 0 else 3) as client:
            if number % 6 == 5:
                client.ask(raw.EXTENDED_HEADERS)
                client.choose_allocation(disk.id)
                client.go(disk.id)
                head = struct.pack(">IHHQQQ", 0x21E41C71, source.randrange(64), source.randrange(9), 1, source.randrange(32 * MIB),
                                   source.randrange(1 * MIB))
            elif number % 6 == 2:
                client.go(disk.id)
                head = struct.pack(">IHHQQI", 0x25609513, 0, source.randrange(8), 1, source.randrange(32 * MIB), source.randrange(1 * MIB))
            else:
                head = b"" if number % 3 == 0 else b"IHAVEOPT" + struct.pack(">II", source.randrange(12), source.randrange(100))
            try:
                client.send(head + source.randbytes(source.randrange(1, 2000)))
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(65536):
                    pass
            except OSError:
                pass


def test_many_clients_at_once(site, disk):
    clients = [Raw(site) for _ in range(300)]
    for client in clients:
        client.go(disk.id)
    for client in clients:
        client.request(raw.WRITE, 0, 512, bytes(512))
    for client in clients:
        assert client.answer()[0] == 0
        client.socket.close()
    until("all gone", lambda: site.log().count('reason="the client closed the connection"') >= 300)
