"""An export as a file, by nbdfuse."""

import contextlib
import subprocess

from offsite import until


@contextlib.contextmanager
def mounted(uri, folder):
    """The file, in a new folder; it has gone at the end of the context."""
    folder.mkdir()
    fuse = subprocess.Popen(["nbdfuse", str(folder), uri])
    try:
        until("nbdfuse mounted", lambda: (folder / "nbd").exists())
        yield folder / "nbd"
    finally:
        subprocess.run(["fusermount3", "-u", str(folder)], check=False)
        try:
            fuse.wait(timeout=20)
        finally:
            fuse.kill()
            fuse.wait()
