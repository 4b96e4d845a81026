"""offsited at its edges: command line, configuration, data folder, ports, signals. What it says is what a user reads."""

import os
import signal
import socket
import subprocess
import time

import pytest

BUILD = os.environ.get("OFFSITE_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
OFFSITED = os.path.join(BUILD, "src", "daemon", "offsited")
LIMIT_S = 20


def run(*arguments):
    """Runs offsited to its end, which must come."""
    return subprocess.run([OFFSITED, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_S)


class Started:
    """An offsited that listens on ports of its own choice, ended with the test."""

    def __init__(self, folder, extra=""):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "offsite.conf").write_text(
            "[api]\nlisten=127.0.0.1:0\n[nbd]\nlisten=tcp:127.0.0.1:0\n[link]\nlisten=tcp:127.0.0.1:0\n"
            f"[site]\nrun=/dev/shm/offsite-test-{os.getpid()}-{folder.name}\n" + extra)
        self.log = open(folder / "log", "a+")
        self.begin = len(self.text())
        self.process = subprocess.Popen([OFFSITED, "--dir", str(folder)], stderr=self.log)
        try:
            self.wait_for("daemon.ready", self.begin)
        except Exception:
            self.end()
            raise

    def text(self):
        return (self.folder / "log").read_text()

    def wait_for(self, word, begin=0):
        end = time.monotonic() + LIMIT_S
        while word not in self.text()[begin:]:
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)

    def end(self, number=signal.SIGTERM):
        """Ends it by a signal; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout=LIMIT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(name="site", extra=""):
        started.append(Started(tmp_path / name, extra))
        return started[-1]

    yield begin
    for daemon in started:
        daemon.end(signal.SIGKILL)
        run_folder = f"/dev/shm/offsite-test-{os.getpid()}-{daemon.folder.name}"
        subprocess.run(["rm", "-rf", run_folder], check=True)


def test_help_and_version():
    answer = run("--help")
    assert answer.returncode == 0 and "--dir DIR" in answer.stdout and answer.stderr == ""
    answer = run("--version")
    assert answer.returncode == 0 and answer.stdout.startswith("offsited 0.")


def test_bad_command_line():
    answer = run("--nonsense")
    assert answer.returncode == 2 and "--help" in answer.stderr
    answer = run("site")
    assert answer.returncode == 2 and '"site" is not an option' in answer.stderr
    answer = run("--dir", "")
    assert answer.returncode == 2 and "--dir" in answer.stderr


@pytest.mark.parametrize("text, line, words", [
    ("[site]\nregion=a\nregoin=b\n", 3, 'unknown key "regoin" in section [site]'),
    ("\n[sight]\n", 2, "unknown section [sight]"),
    ("[api]\nlisten=nowhere\n", 2, "is not HOST:PORT"),
    ("[limits]\nkept_bytes=many\n", 2, '"many" is not a size'),
    ("[peer b]\nregion=b\nsecret=short\n", 3, "16 or more"),
    ("[peer local-a]\nregion=b\n", 1, "zone of this site"),
    ("[site]\nzone\n", 2, 'nor "key = value"'),
])
def test_bad_configuration(tmp_path, text, line, words):
    file = tmp_path / "offsite.conf"
    file.write_text(text)
    for arguments in (["--dir", tmp_path], ["--config", file], ["--config", file, "--check"]):
        answer = run(*arguments)
        assert answer.returncode == 2
        assert answer.stderr.startswith(f"offsited: {file}:{line}: ") and words in answer.stderr
        assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "lock").exists(), "a bad configuration changes nothing"


def test_check(tmp_path):
    file = tmp_path / "offsite.conf"
    file.write_text("[site]\ndata=here\n")
    answer = run("--config", file, "--check")
    assert answer.returncode == 0 and "is good" in answer.stdout
    assert not (tmp_path / "here").exists()
    answer = run("--config", tmp_path / "missing", "--check")
    assert answer.returncode == 2 and "missing" in answer.stderr and "No such file" in answer.stderr


def test_example_configuration_is_good():
    example = os.path.join(os.path.dirname(__file__), "..", "..", "packaging", "offsite.conf")
    answer = run("--config", example, "--check")
    assert answer.returncode == 0, answer.stderr


def test_data_folder_is_a_file(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    answer = run("--dir", tmp_path / "file")
    assert answer.returncode == 1
    assert str(tmp_path / "file") in answer.stderr and "is not a folder" in answer.stderr and "--dir" in answer.stderr


def test_data_folder_cannot_be_made():
    answer = run("--dir", "/proc/offsite")
    assert answer.returncode == 1 and "/proc/offsite" in answer.stderr


def write_config(folder, **api):
    text = "".join(f"{key}={value}\n" for key, value in api.items())
    (folder / "offsite.conf").write_text(
        f"[api]\n{text}[nbd]\nlisten=tcp:127.0.0.1:0\n[link]\nlisten=tcp:127.0.0.1:0\n"
        f"[site]\nrun=/dev/shm/offsite-test-{os.getpid()}\n")


def test_doors_that_leave_nothing_for_the_common_one(tmp_path):
    write_config(tmp_path, listen="127.0.0.1:0", aliyun="127.0.0.1:0", huawei="127.0.0.1:0")
    answer = run("--dir", tmp_path)
    assert answer.returncode == 2
    assert "[api] aliyun and huawei each have a port of their own, so nothing is left for listen" in answer.stderr
    write_config(tmp_path, aliyun="127.0.0.1:0", huawei="127.0.0.1:0")
    assert run("--check", "--dir", tmp_path).returncode == 0


@pytest.mark.parametrize("key", ["aliyun", "huawei"])
def test_port_of_a_dialect_in_use(tmp_path, key):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write_config(tmp_path, listen="127.0.0.1:0", **{key: f"127.0.0.1:{taken.getsockname()[1]}"})
        answer = run("--dir", tmp_path)
    assert answer.returncode == 1
    assert f"[api] {key}" in answer.stderr and "in use" in answer.stderr


@pytest.mark.parametrize("section, key, prefix", [("api", "listen", ""), ("nbd", "listen", "tcp:"), ("link", "listen", "tcp:")])
def test_port_in_use(tmp_path, section, key, prefix):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = {"api": "127.0.0.1:0", "nbd": "tcp:127.0.0.1:0", "link": "tcp:127.0.0.1:0"}
        text[section] = f"{prefix}127.0.0.1:{port}"
        (tmp_path / "offsite.conf").write_text(
            f"[site]\nrun=/dev/shm/offsite-test-{os.getpid()}\n" +
            "".join(f"[{name}]\nlisten={value}\n" for name, value in text.items()))
        answer = run("--dir", tmp_path)
    assert answer.returncode == 1
    assert f"[{section}] {key}" in answer.stderr and str(port) in answer.stderr and "in use" in answer.stderr
    assert answer.stderr.rstrip("\n").split("\n")[-1].startswith("offsited: ")


def test_second_daemon_on_the_same_folder(start):
    first = start()
    answer = run("--dir", first.folder)
    assert answer.returncode == 1
    assert "is in use by another offsited" in answer.stderr and str(first.process.pid) in answer.stderr
    assert first.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(start, number):
    daemon = start()
    began = time.monotonic()
    assert daemon.end(number) == 0
    assert time.monotonic() - began < 5
    assert "daemon.stopped" in daemon.text()


def test_files_are_private_and_kept(start):
    daemon = start()
    folder = daemon.folder
    assert (folder / "credentials").stat().st_mode & 0o777 == 0o600
    assert (folder / "uuid").exists() and (folder / "catalog.sqlite").stat().st_mode & 0o077 == 0
    kept = {name: (folder / name).read_text() for name in ("uuid", "credentials")}
    daemon.end(signal.SIGKILL)
    again = start()
    assert (folder / "uuid").read_text() == kept["uuid"]
    for line in ("access_key_id", "access_key_secret"):
        values = [[value for value in text.split("\n") if value.startswith(line)]
                  for text in (kept["credentials"], (folder / "credentials").read_text())]
        assert values[0] == values[1]
    again.end()


def test_lost_credentials_are_written_again(start):
    daemon = start()
    before = (daemon.folder / "credentials").read_text()
    daemon.end()
    (daemon.folder / "credentials").unlink()
    start()
    after = (daemon.folder / "credentials").read_text()
    assert [line for line in before.split("\n") if "access_key" in line] == \
        [line for line in after.split("\n") if "access_key" in line]


@pytest.mark.parametrize("limit, few", [(256, True), (8192, False)])
def test_too_few_descriptors_are_said(site, limit, few):
    """Before anybody is refused: all clients that there may be want theirs."""
    site.stop()
    begin = len(site.log())
    site.command = ["prlimit", f"--nofile={limit}", *site.command]
    site.start()
    assert (f"daemon.few_descriptors limit={limit} " in site.log()[begin:]) == few


def test_a_disk_that_cannot_be_opened_says_why(site):
    disk = site.disk(1 << 20)
    path = disk.path
    site.stop()
    path.unlink()
    site.start()
    why = f"cannot open disk {disk.id}: cannot open "
    assert f'disk.not_opened disk={disk.id} reason="{why}{path}: No such file or directory"' in site.log()
    assert disk.row()["Offsite"]["Failure"].startswith(why)


def test_log_lines(start):
    daemon = start()
    for line in daemon.text().strip().split("\n"):
        when, level, what = line.split(" ")[:3]
        time.strptime(when[:19], "%Y-%m-%dT%H:%M:%S")
        assert when[19] == "." and when.endswith("Z") and len(when) == 24
        assert level in ("error", "warning", "info") and "." in what


def test_tells_the_service_manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            daemon = Started(tmp_path / "site")
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"
        assert daemon.end() == 0
        assert manager.recv(100) == b"STOPPING=1"
    subprocess.run(["rm", "-rf", f"/dev/shm/offsite-test-{os.getpid()}-site"], check=True)
