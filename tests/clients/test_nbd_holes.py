"""Where data and holes are, as clients ask for it; extended headers; and what is neither a read nor a write."""

import json
import os
import random
import struct
import subprocess

import nbd
import pytest

import nbd_raw as raw
from nbd_raw import Raw
from nbdfuse import mounted
from offsite import MIB, run

SIZE = 64 * MIB
HOLE = nbd.STATE_HOLE | nbd.STATE_ZERO


@pytest.fixture
def disk(site):
    return site.disk(SIZE)


@pytest.fixture
def layout(disk):
    """Data at three places of an empty disk; gives what a map of it says."""
    with connect(disk.uri) as handle:
        handle.pwrite(b"a" * MIB, 4 * MIB)
        handle.pwrite(b"b" * 65536, 20 * MIB)
        handle.pwrite(b"c" * MIB, SIZE - MIB)
        handle.flush()
    return [(0, 4 * MIB, HOLE), (4 * MIB, MIB, 0), (5 * MIB, 15 * MIB, HOLE), (20 * MIB, 65536, 0),
            (20 * MIB + 65536, SIZE - 21 * MIB - 65536, HOLE), (SIZE - MIB, MIB, 0)]


class connect:
    """A connection that has base:allocation."""

    def __init__(self, uri):
        self.handle = nbd.NBD()
        self.handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        self.handle.connect_uri(uri)

    def __enter__(self):
        return self.handle

    def __exit__(self, *_):
        self.handle.shutdown()


def status(handle, offset, length, flags=0):
    """Length and flags, one after the other."""
    answer = []
    handle.block_status(length, offset, lambda context, at, entries, error: answer.extend(entries), flags)
    return list(zip(answer[::2], answer[1::2]))


def disk_map(handle):
    """The whole map, however many requests it takes: offset, length, flags."""
    at, spans = 0, []
    while at < SIZE:
        for length, flags in status(handle, at, SIZE - at):
            if spans and spans[-1][2] == flags:
                spans[-1] = (spans[-1][0], spans[-1][1] + length, flags)
            else:
                spans.append((at, length, flags))
            at += length
    return spans


def test_block_status_is_what_was_written(disk, layout):
    with connect(disk.uri) as handle:
        assert handle.can_meta_context("base:allocation")
        assert disk_map(handle) == layout
        assert status(handle, 4 * MIB + 512, MIB) == [(MIB - 512, 0), (512, HOLE)], "no more than was asked for"
        assert status(handle, 0, SIZE, nbd.CMD_FLAG_REQ_ONE) == [(4 * MIB, HOLE)]
        assert status(handle, 0, MIB, nbd.CMD_FLAG_REQ_ONE) == [(MIB, HOLE)]
        handle.trim(MIB, 4 * MIB)
        assert status(handle, 0, 20 * MIB) == [(20 * MIB, HOLE)]
        handle.zero(MIB, 20 * MIB, nbd.CMD_FLAG_NO_HOLE)
        assert handle.pread(MIB, 20 * MIB) == bytes(MIB)


def test_a_disk_of_many_holes_is_told_in_parts(disk):
    """More spans than one reply has: each says some, and all together the truth."""
    with connect(disk.uri) as handle:
        for number in range(300):
            handle.pwrite(b"x" * 4096, number * 65536)
        handle.flush()
        assert 1 < len(status(handle, 0, SIZE)) <= 64
        spans = disk_map(handle)
        data = sum(length for _, length, flags in spans if flags == 0)
        assert data >= 300 * 4096
        assert all(any(flags == 0 and start <= number * 65536 < start + length for start, length, flags in spans) for number in range(300))
        assert bytes(handle.pread(300 * 65536, 0)) == (b"x" * 4096 + bytes(61440)) * 300


def test_sparse_reads(disk, layout):
    with connect(disk.uri) as handle:
        chunks = []
        got = handle.pread_structured(8 * MIB, 0, lambda data, offset, kind, error: chunks.append((offset, len(data), kind)))
        assert got == bytes(4 * MIB) + b"a" * MIB + bytes(3 * MIB)
        assert chunks == [(0, 4 * MIB, nbd.READ_HOLE), (4 * MIB, MIB, nbd.READ_DATA), (5 * MIB, 3 * MIB, nbd.READ_HOLE)]
        chunks.clear()
        assert handle.pread_structured(8 * MIB, 0, lambda data, offset, kind, error: chunks.append((offset, len(data), kind)),
                                       nbd.CMD_FLAG_DF) == got
        assert chunks == [(0, 8 * MIB, nbd.READ_DATA)], "not fragmented when so asked"
        assert handle.pread(MIB, 8 * MIB) == bytes(MIB)


def test_maps_under_load_never_lose_a_write(disk):
    """While some write, each acknowledged write is data in every map that is asked for after it."""
    source = random.Random(5)
    with connect(disk.uri) as writer, connect(disk.uri) as reader:
        for _ in range(300):
            offset = source.randrange(SIZE // 4096) * 4096
            writer.pwrite(b"w" * 4096, offset)
            others = [writer.aio_pwrite(b"f" * 4096, source.randrange(SIZE // 4096) * 4096) for _ in range(8)]
            assert status(reader, offset, 4096) == [(4096, 0)]
            while writer.aio_in_flight():
                writer.poll(-1)
            assert all(writer.aio_command_completed(cookie) for cookie in others)
            if source.randrange(4) == 0:
                writer.trim(8 * MIB, source.randrange(7) * 8 * MIB)


def test_nbdinfo_prints_the_map(disk, layout):
    spans = json.loads(run("nbdinfo", "--map", "--json", disk.uri).stdout)
    assert [(span["offset"], span["length"], span["type"]) for span in spans] == layout


def test_nbdcopy_skips_holes(disk, layout, tmp_path):
    run("nbdcopy", disk.uri, tmp_path / "copy.raw")
    assert os.stat(tmp_path / "copy.raw").st_blocks * 512 < 8 * MIB
    assert run("cmp", tmp_path / "copy.raw", disk.path).returncode == 0


def test_qemu_img_sees_holes(disk, layout, tmp_path):
    spans = json.loads(run("qemu-img", "map", "--output=json", disk.uri).stdout)
    data = [(span["start"], span["length"]) for span in spans if span["data"]]
    assert data == [(offset, length) for offset, length, flags in layout if flags == 0]
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk.uri, tmp_path / "copy.qcow2")
    assert (tmp_path / "copy.qcow2").stat().st_size < 8 * MIB
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", disk.path, tmp_path / "copy.qcow2")


def test_cache_reads_ahead_and_changes_nothing(disk):
    with connect(disk.uri) as handle:
        handle.pwrite(b"k" * MIB, 0)
        handle.cache(SIZE, 0)
        handle.cache(1, SIZE - 1)
        assert handle.pread(MIB, 0) == b"k" * MIB


def test_fast_zeros_are_fast_or_refused(site, tmp_path, disk):
    """tmpfs can give space back but cannot zero what it keeps: that would be a write, and no fast zero."""
    with connect(disk.uri) as handle:
        handle.pwrite(b"z" * MIB, 0)
        handle.zero(MIB, 0, nbd.CMD_FLAG_FAST_ZERO)
        assert handle.pread(MIB, 0) == bytes(MIB)
    image = site.run_folder / "image.raw"
    image.write_bytes(b"z" * MIB)
    there = site.make_disk(MIB, OffsitePath=str(image)).attach()
    with connect(there.uri) as handle:
        with pytest.raises(nbd.Error) as caught:
            handle.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
        assert caught.value.errno == "ENOTSUP"
        assert handle.pread(4096, 0) == b"z" * 4096
        handle.zero(4096, 0, nbd.CMD_FLAG_NO_HOLE)
        handle.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO)
        assert handle.pread(4 * 4096, 0) == bytes(4096) + b"z" * 4096 + bytes(4096) + b"z" * 4096


# --- extended headers, which libnbd 1.14 does not know


@pytest.fixture
def extended(site, disk, layout):
    with Raw(site) as client:
        client.ask(raw.EXTENDED_HEADERS)
        client.context = client.choose_allocation(disk.id)
        assert client.go(disk.id)[0] == SIZE
        yield client


def test_extended_headers(extended):
    client = extended
    client.extended(raw.WRITE, 1000, 5, b"hello", raw.PAYLOAD_LEN)
    assert client.extended_chunk() == (1, raw.CHUNK_NONE, 1000, b"")
    client.extended(raw.READ, 1000, 5)
    assert client.extended_chunk() == (1, raw.CHUNK_DATA, 1000, struct.pack(">Q", 1000) + b"hello")
    client.extended(raw.BLOCK_STATUS, 4 * MIB, SIZE - 4 * MIB)
    flags, kind, offset, data = client.extended_chunk()
    assert (flags, kind, offset) == (1, raw.CHUNK_STATUS_EXT, 4 * MIB)
    assert struct.unpack(">II", data[:8]) == (client.context, 5)
    assert struct.unpack(">4Q", data[8:40]) == (MIB, 0, 15 * MIB, HOLE)
    client.extended(raw.READ, 8 * MIB, MIB)
    assert client.extended_chunk() == (1, raw.CHUNK_HOLE, 8 * MIB, struct.pack(">QI", 8 * MIB, MIB))
    for command in (raw.FLUSH, raw.TRIM, raw.CACHE, raw.WRITE_ZEROES):
        client.extended(command, 0, 0 if command == raw.FLUSH else SIZE, flags=raw.FUA)
        assert client.extended_chunk() == (1, raw.CHUNK_NONE, 0, b"")
    client.extended(raw.DISC)
    assert client.ended()


def test_extended_headers_of_bad_clients(extended):
    client = extended
    for command, offset, length, payload, flags in (
            (raw.WRITE, 0, 512, b"", 0), (raw.TRIM, 0, 512, bytes(512), raw.PAYLOAD_LEN), (raw.READ, 0, 2**64 - 1, b"", 0),
            (raw.BLOCK_STATUS, 0, 100000, bytes(100000), raw.PAYLOAD_LEN), (raw.TRIM, 1, 2**64 - 1, b"", 0),
            (raw.CACHE, 2**64 - 1, 2**64 - 1, b"", 0), (99, 0, 512, bytes(512), raw.PAYLOAD_LEN), (raw.READ, 0, 32 * MIB + 1, b"", 0)):
        client.extended(command, offset, length, payload, flags)
        flags, kind, told, data = client.extended_chunk()
        assert (flags, kind, told) == (1, raw.CHUNK_ERROR, offset) and struct.unpack(">I", data[:4])[0] == raw.EINVAL
    client.extended(raw.FLUSH)
    assert client.extended_chunk()[1] == raw.CHUNK_NONE, "the connection goes on"
    client.extended(raw.TRIM, 0, 32 * MIB + 1, b"", raw.PAYLOAD_LEN)
    assert client.ended()


def test_a_disk_of_a_tebibyte_is_trimmed_whole(site):
    """One request of 64 bits: in pieces, and others are served meanwhile."""
    size = 1 << 40
    disk = site.disk(size)
    with connect(disk.uri) as other, Raw(site) as client:
        other.pwrite(b"x" * MIB, size - MIB)
        client.ask(raw.EXTENDED_HEADERS)
        client.go(disk.id)
        client.extended(raw.TRIM, 0, size)
        other.pwrite(b"y", 0)
        assert client.extended_chunk() == (1, raw.CHUNK_NONE, 0, b"")
        assert other.pread(MIB, size - MIB) == bytes(MIB)
        client.extended(raw.WRITE_ZEROES, 4096, size - 4096)
        client.extended_chunk()


# --- a file system


def test_ext4_on_an_export(disk, tmp_path):
    """mkfs discards, fills it, trims, and fsck finds nothing wrong."""
    with mounted(disk.uri, tmp_path / "mount") as file:
        run("mkfs.ext4", "-q", "-F", file)
        source = tmp_path / "files"
        source.mkdir()
        for number in range(50):
            (source / str(number)).write_bytes(random.Random(number).randbytes(number * 3000))
        commands = "".join(f"write {source / str(number)} {number}\n" for number in range(50)) + "rm 7\nrm 49\n"
        subprocess.run(["debugfs", "-w", "-f", "-", str(file)], input=commands, text=True, check=True, capture_output=True)
        run("fsck.ext4", "-f", "-n", file)
        run("debugfs", "-R", f"dump 48 {tmp_path / 'back'}", file)
        assert (tmp_path / "back").read_bytes() == (source / "48").read_bytes()
