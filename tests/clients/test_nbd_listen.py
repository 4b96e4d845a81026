"""Where disks are reached: IPv4, IPv6 and Unix sockets, opened here or by systemd before."""

import contextlib
import os
import resource
import socket
import subprocess

import nbd
import pytest

import nbd_raw as raw
import offsite
from offsite import MIB, OFFSITED, free_ports, run

MANY = 2000


@pytest.fixture
def site(tmp_path):
    """One site, not started."""
    one = offsite.Site(tmp_path / "site")
    try:
        yield one
    finally:
        one.close()


def listen_at(site, address):
    config = site.folder / "offsite.conf"
    text = config.read_text()
    assert text.count(f"listen=tcp:127.0.0.1:{site.nbd_port}") == 1
    config.write_text(text.replace(f"listen=tcp:127.0.0.1:{site.nbd_port}", f"listen={address}"))


def serves(uri):
    handle = nbd.NBD()
    handle.connect_uri(uri)
    return writes(handle)


def writes(handle):
    handle.pwrite(b"here", 0)
    assert handle.pread(4, 0) == b"here"
    handle.shutdown()
    return True



@pytest.mark.parametrize("host,reached", [("[::1]", ["[::1]"]), ("[::]", ["[::1]", "127.0.0.1"]), ("0.0.0.0", ["127.0.0.1"])])
def test_addresses(site, host, reached):
    listen_at(site, f"tcp:{host}:{site.nbd_port}")
    site.start()
    disk = site.disk(MIB)
    for address in reached:
        assert serves(f"nbd://{address}:{site.nbd_port}/{disk.id}")
    assert serves(disk.unix_uri)
    assert f"nbd://{reached[0]}:{site.nbd_port}/{disk.id}" in str(disk.row())


@pytest.fixture
def many_files():
    """As many open files as we may have; the daemon takes as many by itself."""
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (was[1], was[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


def connect_at_once(path):
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    client.connect(str(path))  # refused, not waited for, when the queue is full
    client.settimeout(raw.LIMIT_S)
    return client


def test_all_clients_come_at_once(site, many_files):
    """As after a restart, which a pause stands for: with the defaults all are let in, stay, and are served."""
    disk = site.start().disk(MIB)
    assert serves(disk.uri)
    with contextlib.ExitStack() as stack:
        site.pause()
        clients = [stack.enter_context(connect_at_once(site.nbd_socket)) for _ in range(MANY)]
        site.resume()
        clients = [raw.Raw(site, connected=client) for client in clients]
        for client in clients:
            client.go(disk.id)
        for client in clients:
            assert client.error(raw.READ, 0, 4) == 0 and client.read(4) == b"here"


# --- sockets of systemd: listening, from descriptor 3 on


def given(site, fds, pid="$$"):
    """The site's next starts get these descriptors as systemd gives them."""
    # Through high numbers: one that is still to be moved may lie where another goes.
    away = " ".join(f"{100 + rank}<&{fd}" for rank, fd in enumerate(fds))
    moves = " ".join(f"{3 + rank}<&{100 + rank} {100 + rank}<&-" for rank in range(len(fds)))
    begin = f'exec {away}; exec {moves}; LISTEN_PID={pid} LISTEN_FDS={len(fds)} LISTEN_FDNAMES=x exec "$@"'
    site.pass_fds = tuple(fds)
    site.command = ["bash", "-c", begin, "bash", str(OFFSITED)]


@pytest.fixture
def sockets(site):
    """Listening at a port of IPv4, one of IPv6 and a path, that do not wait, as systemd's once did."""
    with contextlib.ExitStack() as stack:
        ports = free_ports(2)
        made = [stack.enter_context(socket.socket(family)) for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)]
        site.given_path = site.run_folder / "given.sock"
        for one, address in zip(made, [("127.0.0.1", ports[0]), ("::1", ports[1]), str(site.given_path)]):
            one.bind(address)
            one.listen()
            one.setblocking(False)
        site.given_ports = ports
        yield made


def test_given_sockets_are_served_instead_of_the_configured(site, sockets):
    given(site, [one.fileno() for one in sockets])
    site.start()
    disk = site.disk(MIB)
    everywhere = [f"nbd://127.0.0.1:{site.given_ports[0]}/{disk.id}", f"nbd://[::1]:{site.given_ports[1]}/{disk.id}",
                  f"nbd+unix:///{disk.id}?socket={site.given_path}"]
    assert all(serves(uri) for uri in everywhere)
    assert everywhere[0] in str(disk.row()) and everywhere[2] in str(disk.row()) and str(site.nbd_port) not in str(disk.row())
    for uri in (disk.uri, disk.unix_uri):
        with pytest.raises(nbd.Error):
            serves(uri)


def test_given_sockets_outlive_a_restart(site, sockets):
    """They are whoever's they were: who comes while nothing runs waits, and is served by the next start."""
    given(site, [one.fileno() for one in sockets])
    site.start()
    disk = site.disk(MIB)
    site.stop()
    assert site.given_path.exists()
    waiting = [socket.create_connection(("127.0.0.1", site.given_ports[0]), timeout=20), socket.socket(socket.AF_UNIX)]
    waiting[1].settimeout(20)
    waiting[1].connect(str(site.given_path))
    site.start()
    for one in waiting:
        assert one.recv(8) == b"NBDMAGIC"
        one.close()
    assert serves(f"nbd://[::1]:{site.given_ports[1]}/{disk.id}")


def test_given_sockets_are_served_over_tls(site, sockets, tmp_path):
    keys = tmp_path / "keys.psk"
    run("psktool", "--username", "alice", "--pskfile", keys)
    site.configure(extra=f"[nbd]\ntls=required\ntls_psk={keys}\n")
    given(site, [one.fileno() for one in sockets])
    site.start()
    disk = site.disk(MIB)
    everywhere = [f"nbds://127.0.0.1:{site.given_ports[0]}/{disk.id}", f"nbds://[::1]:{site.given_ports[1]}/{disk.id}",
                  f"nbds+unix:///{disk.id}?socket={site.given_path}"]
    for uri, one in zip(everywhere, sockets):
        with pytest.raises(nbd.Error):
            serves(uri.replace("nbds", "nbd", 1))
        handle = nbd.NBD()
        handle.set_tls(nbd.TLS_REQUIRE)
        handle.set_tls_psk_file(str(keys))
        handle.set_tls_username("alice")
        handle.set_export_name(disk.id)
        client = socket.socket(one.family)
        client.connect(one.getsockname())
        handle.connect_socket(client.detach())  # of a URI it would take [::1] for a name, which GnuTLS does not accept
        assert writes(handle)
    assert everywhere[0] in str(disk.row()) and everywhere[2] in str(disk.row())


def test_sockets_of_another_process_are_not_ours(site, sockets):
    given(site, [one.fileno() for one in sockets], pid="1")
    site.start()
    assert serves(site.disk(MIB).uri)


@pytest.mark.parametrize("kind", ["file", "datagram", "not listening"])
def test_what_is_no_listening_socket_is_refused(site, tmp_path, kind):
    with open(tmp_path / "file", "w+b") as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as idle:
        fd = {"file": file, "datagram": datagram, "not listening": idle}[kind].fileno()
        given(site, [fd])
        ended = subprocess.run([*site.command, "--dir", str(site.folder)], pass_fds=site.pass_fds, capture_output=True, text=True,
                               timeout=60, env=dict(os.environ), check=False)
    assert ended.returncode == 1
    assert "the sockets given by systemd: descriptor 3 is not a stream socket that listens" in ended.stderr
