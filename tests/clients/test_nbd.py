"""The NBD server with the clients people use, none of them ours."""

import json
import os
import pathlib
import random
import shutil
import struct
import subprocess

import nbd
import pytest

from nbdfuse import mounted
from offsite import MIB, run, until

SIZE = 64 * MIB


@pytest.fixture
def disk(site):
    return site.disk(SIZE)


@pytest.fixture(params=["tcp", "unix"])
def uri(request, disk):
    return disk.uri if request.param == "tcp" else disk.unix_uri


@pytest.fixture
def image(tmp_path):
    """A raw image with data, zeros and holes, the same at each run."""
    path = tmp_path / "image.raw"
    source = random.Random(1)
    with open(path, "wb") as out:
        out.truncate(SIZE)
        for at, size in ((0, 3 * MIB), (7 * MIB + 512, 4096), (20 * MIB, 9 * MIB + 123), (SIZE - 5000, 5000)):
            out.seek(at)
            out.write(source.randbytes(size))
        out.seek(40 * MIB)
        out.write(bytes(MIB))
    return path


def same(left, right):
    with open(left, "rb") as one, open(right, "rb") as other:
        while True:
            a, b = one.read(MIB), other.read(MIB)
            if a != b:
                return False
            if not a:
                return True


def connect(uri, strict=True):
    handle = nbd.NBD()
    if not strict:
        handle.set_strict_mode(0)
    handle.connect_uri(uri)
    return handle


# --- nbdinfo


def test_nbdinfo_shows_what_the_export_can_do(disk, uri):
    export = json.loads(run("nbdinfo", "--json", uri).stdout)["exports"][0]
    assert export["export-name"] == disk.id and export["export-size"] == SIZE
    for able in ("can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero", "can_df", "can_cache", "can_fast_zero"):
        assert export[able] is True, able
    for unable in ("is_read_only", "is_rotational"):
        assert export[unable] is False, unable
    assert [export[name] for name in ("block_size_minimum", "block_size_preferred", "block_size_maximum")] == [1, 4096, 32 * MIB]
    assert export["contexts"] == ["base:allocation"]


def test_nbdinfo_lists_exactly_the_attached_disks(site, disk):
    other = site.disk(MIB)
    idle = site.make_disk(MIB)
    listed = json.loads(run("nbdinfo", "--json", "--list", f"nbd://127.0.0.1:{site.nbd_port}").stdout)["exports"]
    assert {export["export-name"] for export in listed} == {disk.id, other.id}
    refused = run("nbdinfo", idle.uri, ok=False)
    assert refused.returncode != 0 and idle.id in refused.stderr


# --- nbdcopy, qemu-img, qemu-io, fio, nbdfuse


@pytest.mark.parametrize("connections", [1, 4])
def test_nbdcopy_there_and_back(uri, image, tmp_path, connections):
    run("nbdcopy", "--flush", f"--connections={connections}", image, uri)
    run("nbdcopy", f"--connections={connections}", uri, tmp_path / "back.raw")
    assert same(image, tmp_path / "back.raw")


def test_nbdcopy_is_in_the_raw_file(disk, image):
    run("nbdcopy", "--flush", image, disk.uri)
    assert same(image, disk.path), "a raw image stays a plain raw image"


def test_qemu_img_converts_compares_and_informs(uri, image, tmp_path):
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri).stdout
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, tmp_path / "back.qcow2")
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, tmp_path / "back.qcow2")
    assert json.loads(run("qemu-img", "info", "--output=json", uri).stdout)["virtual-size"] == SIZE


def test_qemu_io_commands(uri):
    commands = ["write -P 0x11 0 1M", "write -f -P 0x22 1M 64k", "writev -P 0x33 2M 4k 8k 512", "flush",
                "read -P 0x11 0 1M", "read -P 0x22 1M 64k", "read -P 0x33 2M 12800",
                "write -z 4k 8k", "read -P 0 4k 8k", "read -P 0x11 0 4k", "write -z -u 64k 64k", "read -P 0 64k 64k",
                "discard 512k 64k", "read -P 0x11 128k 128k", "aio_write -P 0x44 8M 2M", "aio_read -P 0 16M 1M", "aio_flush",
                "read -P 0x44 8M 2M", "write -P 0x55 511 3", "read -P 0x55 511 3", "read -P 0x11 514 1000",
                "write -P 0x66 63M 1M", "read -P 0x66 63M 1M"]
    options = [word for command in commands for word in ("-c", command)]
    done = run("qemu-io", "-f", "raw", *options, uri)
    assert "failed" not in done.stdout + done.stderr and "rror" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("job", ["--rw=randwrite --bs=4k --iodepth=32", "--rw=randrw --bsrange=512-256k --iodepth=16 --fsync=20",
                                 "--rw=write --bs=1m --iodepth=8 --numjobs=1", "--rw=randtrimwrite --bs=8k --iodepth=1"])
def test_fio_verifies_what_it_wrote(uri, tmp_path, job):
    run("fio", "--name=verify", "--ioengine=nbd", f"--uri={uri}", "--size=32m", "--verify=crc32c", "--verify_fatal=1",
        "--do_verify=1", "--randseed=7", *job.split(), cwd=tmp_path)


def test_nbdfuse_file(uri, image, tmp_path):
    with mounted(uri, tmp_path / "mount") as file:
        with open(image, "rb") as source, open(file, "r+b") as target:
            shutil.copyfileobj(source, target, MIB)
            target.flush()
            os.fsync(target.fileno())
        assert same(image, file)


# --- libnbd, request by request


def test_large_and_odd_requests(uri):
    handle = connect(uri)
    data = random.Random(2).randbytes(32 * MIB)
    handle.pwrite(data, 12345)
    assert handle.pread(32 * MIB, 12345) == data
    handle.pwrite(b"x", SIZE - 1)
    assert handle.pread(1, SIZE - 1) == b"x"
    handle.zero(SIZE, 0)
    assert handle.pread(32 * MIB, 12345) == bytes(32 * MIB)
    handle.trim(SIZE, 0)
    handle.shutdown()


def test_structured_reads(uri):
    handle = connect(uri)
    assert handle.get_structured_replies_negotiated() and handle.can_df()
    chunks = []
    handle.pwrite(b"abc" * 5000, 100)
    buffer = handle.pread_structured(15000, 100, lambda data, offset, status, error: chunks.append((offset, len(data), status)),
                                     nbd.CMD_FLAG_DF)
    assert buffer == b"abc" * 5000 and chunks == [(100, 15000, nbd.READ_DATA)]
    handle.shutdown()


@pytest.mark.parametrize("structured", [True, False])
def test_errors_are_those_of_the_protocol(disk, structured):
    handle = nbd.NBD()
    handle.set_strict_mode(0)
    handle.set_request_structured_replies(structured)
    handle.connect_uri(disk.uri)
    calls = [("EINVAL", lambda: handle.pread(512, SIZE)), ("EINVAL", lambda: handle.pread(2, SIZE - 1)),
             ("ENOSPC", lambda: handle.pwrite(b"x" * 512, SIZE)), ("ENOSPC", lambda: handle.zero(512, SIZE)),
             ("EINVAL", lambda: handle.trim(512, SIZE)), ("EINVAL", lambda: handle.cache(512, SIZE)),
             ("EINVAL", lambda: handle.pread(32 * MIB + 1, 0)), ("EINVAL", lambda: handle.pwrite(bytes(32 * MIB + 1), 0)),
             ("EINVAL", lambda: handle.zero(0, 0, nbd.CMD_FLAG_FAST_ZERO)), ("EINVAL", lambda: handle.pread(0, 0))]
    for error, call in calls:
        with pytest.raises(nbd.Error) as caught:
            call()
        assert caught.value.errno == error, caught.value
    handle.flush()
    assert handle.pread(4, 0) == bytes(4), "the connection goes on"
    handle.shutdown()


def test_flush_on_one_connection_covers_the_writes_of_all(site, disk):
    handles = [connect(disk.uri) for _ in range(4)]
    assert all(handle.can_multi_conn() for handle in handles)
    for number, handle in enumerate(handles):
        handle.pwrite(bytes([number + 1]) * 65536, number * 65536)
    handles[0].flush()
    for handle in handles[1:]:
        assert handle.pread(4 * 65536, 0) == b"".join(bytes([number + 1]) * 65536 for number in range(4))
    for handle in handles:
        handle.shutdown()


def test_flushes_at_depth_cover_all_connections(site, disk):
    """Four connections write, 32 at a time each; now and then one of them flushes, whoever's turn it is; then the power of the process
    goes. What had been answered before a flush was sent is there."""
    source, handles = random.Random(11), [connect(disk.uri) for _ in range(4)]
    blocks = SIZE // 4096 // len(handles)
    answered, kept = {}, {}
    for step in range(60):
        cookies = []
        for number, handle in enumerate(handles):
            places = source.sample(range(blocks), 32)
            cookies += [(handle, handle.aio_pwrite(struct.pack(">II", step, number) * 512, (number * blocks + place) * 4096),
                         number * blocks + place, (step, number)) for place in places]
        flush = handles[step % 4].aio_flush() if step % 3 == 0 else None  # while others are in flight: covers those before
        before = dict(answered)
        for handle, cookie, block, mark in cookies:
            while not handle.aio_command_completed(cookie):
                handle.poll(-1)
            answered[block] = mark
        if flush is not None:
            while not handles[step % 4].aio_command_completed(flush):
                handles[step % 4].poll(-1)
            kept = before
    handles[3].flush()
    kept = dict(answered)
    site.kill()
    site.start()
    disk.wait_status("In_use")
    handle = connect(disk.uri)
    for block, mark in kept.items():
        assert handle.pread(4096, block * 4096) == struct.pack(">II", *mark) * 512, block
    handle.shutdown()


def test_a_new_size_is_seen_by_who_connects_after(site, disk):
    before = connect(disk.uri, strict=False)
    disk.detach()
    with pytest.raises(nbd.Error):
        before.pread(1, 0)
    site.call("ResizeDisk", DiskId=disk.id, OffsiteSizeBytes=2 * SIZE)
    disk.attach()
    after = connect(disk.uri)
    assert after.get_size() == 2 * SIZE
    after.pwrite(b"new", 2 * SIZE - 3)
    assert after.pread(3, 2 * SIZE - 3) == b"new"
    after.shutdown()


def test_what_was_written_survives_kill(site, disk):
    handle = connect(disk.uri)
    handle.pwrite(b"forced" * 1000, 777, nbd.CMD_FLAG_FUA)
    handle.pwrite(b"flushed" * 1000, 777777)
    handle.flush()
    site.kill()
    site.start()
    disk.wait_status("In_use")
    handle = connect(disk.uri)
    assert handle.pread(6000, 777) == b"forced" * 1000 and handle.pread(7000, 777777) == b"flushed" * 1000
    handle.shutdown()


def test_detaching_disconnects_its_clients_and_no_others(site, disk):
    other = site.disk(MIB)
    leaving, staying = connect(disk.uri), connect(other.uri)
    leaving.pwrite(b"before", 0, nbd.CMD_FLAG_FUA)
    disk.detach()
    with pytest.raises(nbd.Error):
        leaving.pwrite(b"after!", 0)
    with pytest.raises(nbd.Error):
        connect(disk.uri)
    staying.pwrite(b"still here", 0)
    assert staying.pread(10, 0) == b"still here"
    disk.attach()
    again = connect(disk.uri)
    assert again.pread(6, 0) == b"before"
    again.shutdown()
    staying.shutdown()


def test_stops_with_clients_busy(site, disk, tmp_path):
    """SIGTERM in the middle of a load ends in time and cleanly."""
    with subprocess.Popen(["fio", "--name=load", "--ioengine=nbd", f"--uri={disk.uri}", "--rw=randwrite", "--bs=64k", "--iodepth=16",
                           "--size=64m", "--time_based", "--runtime=30"], cwd=tmp_path, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as load:
        try:
            until("the load to be connected", lambda: "nbd.connected" in site.log())
            site.stop()
        finally:
            load.kill()
    site.start()


def test_log_says_who_came_and_why_they_went(site, disk):
    handle = connect(disk.uri)
    handle.shutdown()
    text = site.wait_log('reason="disconnected by the client"')
    assert f"export={disk.id}" in text.split("nbd.connected", 1)[1].split("\n", 1)[0]


def test_a_raw_file_is_where_the_disk_says(disk):
    assert pathlib.Path(disk.path).stat().st_size == SIZE
