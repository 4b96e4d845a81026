"""The demo's temporary folder, and everything that may hang on it: processes, mounts, loop devices.

The folder's name is all that is needed to end a demo, so one that was kept, or killed, is ended by the next one:
 * processes carry it in the environment (PostgreSQL overwrites its own, so it is known by its working folder);
 * mounts lie below it, and the loop devices' files too."""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

MARK = "OFFSITE_DEMO"
SEGMENTS = "shared-memory"  # in the folder: key and id of each segment of a PostgreSQL of ours
SUBREAPER = 36              # PR_SET_CHILD_SUBREAPER


def adopt_orphans():
    """Processes of the demo whose parent died become its own children, so that none stays behind as a zombie."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def make(prefix="offsite-demo-"):
    path = tempfile.mkdtemp(prefix=prefix, dir="/var/tmp")
    os.chmod(path, 0o711)
    run_folder(path, make=True)
    return path


def run_folder(path, make=False):
    """Where the sites keep what must not survive a power loss: on tmpfs."""
    run = os.path.join("/dev/shm", os.path.basename(path))
    if make:
        os.makedirs(run, mode=0o711)
    return run


def spawn(path, command, log=None, **options):
    """Starts a process of this demo in a session of its own, so that Ctrl-C reaches the demo alone."""
    environment = dict(os.environ, **{MARK: path}, **options.pop("env", {}))
    output = open(os.path.join(path, log), "ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(command, env=environment, stdin=options.pop("stdin", subprocess.DEVNULL),
                                stdout=options.pop("stdout", output), stderr=output, start_new_session=True,
                                cwd=options.pop("cwd", "/"), **options)
    finally:
        if log:
            output.close()


def _read(name):
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _link(name):
    try:
        return os.readlink(name)
    except OSError:
        return ""


def processes(path):
    mark = f"{MARK}={path}".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        database = _read(f"/proc/{pid}/comm").strip() == b"postgres" and _link(f"/proc/{pid}/cwd").startswith(path + "/")
        if database or mark in _read(f"/proc/{pid}/environ").split(b"\0"):
            found.append(int(pid))
    return found


def kill(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_processes(path, number, seconds):
    """True when none is left after at most so many seconds."""
    kill(processes(path), number)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _reap()
        if not [pid for pid in processes(path) if b") Z " not in _read(f"/proc/{pid}/stat")]:
            return True
        time.sleep(0.05)
    return False


def _quiet(*command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=20, text=True)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "")


def mounts(path):
    """(mount point, type) below the folder, the newest first."""
    found = []
    with open("/proc/self/mounts") as table:
        for line in table:
            _, point, kind = line.split()[:3]
            point = point.encode().decode("unicode_escape")
            if point.startswith(path + "/"):
                found.append((point, kind))
    return found[::-1]


def detach_device(device):
    if device.startswith("/dev/nbd"):
        _quiet("nbd-client", "-d", device)
    else:
        _quiet("losetup", "-d", device)


def devices(path):
    listed = _quiet("losetup", "-l", "-n", "-O", "NAME,BACK-FILE").stdout.split("\n")
    loops = [line.split()[0] for line in listed if len(line.split()) > 1 and line.split()[1].startswith(path + "/")]
    return loops + _read(os.path.join(path, "nbd-devices")).decode().split()


def remove_segments(path):
    """A killed PostgreSQL leaves a small segment of shared memory to its successor; here there may be none."""
    for line in _read(os.path.join(path, SEGMENTS)).decode().split("\n"):
        for row in _read("/proc/sysvipc/shm").decode().split("\n"):
            if line and row.split()[:2] == line.split():
                _quiet("ipcrm", "-m", line.split()[1])


def end(path):
    """Ends everything that belongs to the folder, and keeps the files. Says what would not go."""
    stopping = [pid for pid in processes(path) if _read(f"/proc/{pid}/comm").strip() not in (b"offsited", b"nbdfuse")]
    kill(stopping, signal.SIGKILL)
    for point, kind in mounts(path):
        if not kind.startswith("fuse"):
            if _quiet("umount", point).returncode:
                _quiet("umount", "-l", point)
    for device in devices(path):
        detach_device(device)
    for point, kind in mounts(path):
        if _quiet("fusermount3", "-u", point).returncode:
            _quiet("umount", "-l", point)
    if not end_processes(path, signal.SIGTERM, 5):
        end_processes(path, signal.SIGKILL, 5)
    left = [str(pid) for pid in processes(path) if b") Z " not in _read(f"/proc/{pid}/stat")]
    left += [point for point, _ in mounts(path)]
    if not left:
        remove_segments(path)
    return left


def remove(path):
    """The same, and the files go, too."""
    left = end(path)
    if not left:
        shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(run_folder(path), ignore_errors=True)
    return left
