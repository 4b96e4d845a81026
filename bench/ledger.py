"""Two files on two disks, written so that any state of both that never was is recognised.

A database forgives: it rewrites pages from its log, and writes to the same places again soon. This forgives nothing. Entry 1, 2, 3, ...
is written to the first disk, then to the second, each on stable storage before the next. An entry goes to a slot of 4 KiB that is
chosen by chance and remembered: half of the time to one of a few, which change in every epoch, half of the time to one of many, which
stay as they are for long. At any instant the first disk holds the entries up to some a, the second those up to a or a - 1, and what each
slot must hold follows from that: a block too old, too new or lost is found, on one disk or between the two.

Beside the first file lies ballast, rewritten at random: it makes an epoch many frames long, so that a kill strikes between them."""
import mmap
import os
import random
import struct
import threading
import time

from terminal import Failure

SLOTS = 2048
HOT_SLOTS = 16
BLOCK = 4096
ROUNDING_MS = 5  # between two readings of one clock
BALLAST_BYTES = 48 << 20
BALLAST_PIECE = 64 << 10
BALLAST_PAUSE_S = BALLAST_PIECE / 8e6


def block_of(number, life):
    return struct.pack("<QQ", number, life) * (BLOCK // 16)


class Ledger:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.entries = [(0, 0)]  # slot and life of each entry that was begun, by number
        self.acknowledged = [0]  # when entry n was on both disks, wall clock, milliseconds
        self.begin = 1
        self.threads = []

    @staticmethod
    def create(paths):
        for path, size in [(path, SLOTS * BLOCK) for path in paths] + [(paths[0] + ".ballast", BALLAST_BYTES)]:
            with open(path, "wb") as file:
                file.write(bytes(size))
                os.fsync(file.fileno())

    # --- writing

    def start(self, paths, life, pause=0.003):
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=(paths, life, pause), daemon=True),
                        threading.Thread(target=self._ballast, args=(paths[0] + ".ballast",), daemon=True)]
        for thread in self.threads:
            thread.start()

    def _ballast(self, path):
        try:
            file = os.open(path, os.O_WRONLY | os.O_DIRECT)
        except OSError:
            return
        try:
            buffer, chance = mmap.mmap(-1, BALLAST_PIECE), random.Random()
            while not self.ending.wait(BALLAST_PAUSE_S):
                buffer[:] = chance.randbytes(BALLAST_PIECE)
                os.pwrite(file, buffer, chance.randrange(BALLAST_BYTES // BALLAST_PIECE) * BALLAST_PIECE)
        except OSError:
            pass
        finally:
            os.close(file)

    def _work(self, paths, life, pause):
        files = []
        try:
            files = [os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC) for path in paths]
            buffer, number = mmap.mmap(-1, BLOCK), self.begin
            while not self.ending.wait(pause):
                if number == len(self.entries):
                    self.entries.append((self.random.randrange(self.random.choice((HOT_SLOTS, SLOTS))), life))
                slot, begun_in = self.entries[number]
                buffer[:] = block_of(number, begun_in)
                for file in files:
                    os.pwrite(file, buffer, slot * BLOCK)
                if number == len(self.acknowledged):
                    self.acknowledged.append(time.time() * 1000)
                number += 1
        except OSError:
            pass  # its disk has gone
        finally:
            for file in files:
                os.close(file)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise Failure("a write to a disk whose server has gone did not end within 60 s")

    # --- judging

    def check(self, paths, recovery_ms=None):
        """The files are of one instant; of a recovery point's, or else nothing acknowledged is missing. Goes on from what is there."""
        newest = [self._check_file(path) for path in paths]
        first, second = newest
        if second not in (first, first - 1):
            raise Failure(f"the disks are of different instants: entry {first} is on the first, {second} on the second")
        kept = self.acknowledged[1:]
        promised = len(kept) if recovery_ms is None else sum(1 for at in kept if at <= recovery_ms)
        if second < promised:
            raise Failure(f"entry {promised} of the ledger was promised, and the newest is {second}")
        if recovery_ms is not None and first > 1 + sum(1 for at in kept if at <= recovery_ms + ROUNDING_MS):
            raise Failure(f"entry {first} was begun after the recovery point's instant, and is there")
        del self.entries[first + 1:]
        del self.acknowledged[second + 1:]
        if second == len(self.acknowledged):  # killed before it was noted: now it has been seen
            self.acknowledged.append(time.time() * 1000)
        # An entry that is on the first disk alone is written again; the check has seen it, which is as good as an answer.
        self.begin = second + 1
        return second

    def _check_file(self, path):
        with open(path, "rb") as file:
            data = file.read()
        blocks = [data[at:at + BLOCK] for at in range(0, SLOTS * BLOCK, BLOCK)]
        newest = max(struct.unpack_from("<Q", block)[0] for block in blocks)
        if newest >= len(self.entries):
            raise Failure(f"{path} holds entry {newest}, which was never written")
        expected = [bytes(BLOCK)] * SLOTS
        for number, (slot, life) in enumerate(self.entries[1:newest + 1], 1):
            expected[slot] = block_of(number, life)
        for slot, block in enumerate(blocks):
            if block != expected[slot]:
                raise Failure(f"{path}: its newest entry is {newest}; slot {slot} should hold entry and life "
                              f"{struct.unpack_from('<QQ', expected[slot])} and holds {struct.unpack_from('<QQ', block)}")
        return newest
