"""A disk of a site as a mounted file system: NBD, a block device of the kernel's, ext4."""
import glob
import os
import shutil
import subprocess

import folder
from terminal import Failure, until


def run(*command, seconds=60):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=seconds)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def kernel_has_nbd():
    if not shutil.which("nbd-client"):
        return False
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "nbd"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return os.path.exists("/dev/nbd0")


class Volume:
    def __init__(self, top, site, disk, name):
        self.top, self.site, self.disk = top, site, disk
        self.mounted = os.path.join(top, "machine-" + site.region, name)
        self.fuse = os.path.join(top, "nbdfuse", f"{site.region}-{name}")
        self.device = None

    def connect(self):
        """By nbd-client where the kernel has nbd; else nbdfuse makes a file of the export and a loop device a disk of the file."""
        if not (kernel_has_nbd() and self._connect_kernel()):
            self._connect_fuse()

    def _connect_kernel(self):
        for path in sorted(glob.glob("/sys/block/nbd*"), key=lambda name: int(name[len("/sys/block/nbd"):])):
            device = "/dev/" + os.path.basename(path)
            if os.path.exists(os.path.join(path, "pid")):
                continue
            tried = subprocess.run(["nbd-client", "-unix", self.site.nbd_socket(), device, "-N", self.disk],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
            if tried.returncode == 0:
                self.device = device
                with open(os.path.join(self.top, "nbd-devices"), "a") as out:
                    out.write(device + "\n")
                return True
        return False

    def _connect_fuse(self):
        os.makedirs(self.fuse, exist_ok=True)
        uri = f"nbd+unix:///{self.disk}?socket={self.site.nbd_socket()}"
        process = folder.spawn(self.top, ["nbdfuse", self.fuse, uri], log="nbdfuse.log")
        file = os.path.join(self.fuse, "nbd")

        def ready():
            if process.poll() is not None:
                with open(os.path.join(self.top, "nbdfuse.log")) as text:
                    raise Failure(f"nbdfuse could not open {uri}: {text.read().strip()[-300:]}")
            return os.path.exists(file)
        until(30, "nbdfuse", ready)
        self.device = run("losetup", "-f", "--show", file).strip()

    def make_file_system(self):
        # Blocks as disks have them: on a small volume they would be of 1 KiB, and a page of a file might lie in two of the disk's.
        run("mkfs.ext4", "-q", "-F", "-b", "4096", self.device)

    def mount(self):
        os.makedirs(self.mounted, mode=0o711, exist_ok=True)
        os.chmod(os.path.dirname(self.mounted), 0o711)
        run("mount", "-t", "ext4", self.device, self.mounted)

    def unmount(self):
        """A process that was killed a moment ago may still be closing its files."""
        def gone():
            done = subprocess.run(["umount", self.mounted], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60)
            if done.returncode and "busy" not in done.stderr:
                raise Failure(done.stderr.strip())
            return done.returncode == 0
        until(20, f"{self.mounted} to be unmounted", gone)

    def check(self):
        run("e2fsck", "-fn", self.device)

    def disconnect(self):
        """Gives the disk back, unmounted; what is left of a dead server's goes, too."""
        run(*(("nbd-client", "-d") if self.device.startswith("/dev/nbd") else ("losetup", "-d")), self.device)
        self.device = None
        if self.fuse_is_mounted():
            until(20, f"{self.fuse} to be unmounted", lambda: subprocess.run(
                ["fusermount3", "-u", self.fuse], stderr=subprocess.DEVNULL, timeout=20).returncode == 0)

    def fuse_is_mounted(self):
        """As the kernel's table has it: the folder of an nbdfuse that has died cannot be looked at."""
        return self.fuse in [point for point, _ in folder.mounts(self.top)]

    def abandon(self):
        """The server is dead: let the kernel forget the disk without waiting for it."""
        subprocess.run(["umount", "-l", self.mounted], stderr=subprocess.DEVNULL, timeout=20)
        folder.detach_device(self.device)
        if self.fuse_is_mounted():
            subprocess.run(["fusermount3", "-uz", self.fuse], stderr=subprocess.DEVNULL, timeout=20)
