"""What the demo says: one line a step, and a bar for what takes time. Colours and moving bars only on a terminal."""
import os
import sys
import time

BAR_WIDTH = 24


class Terminal:
    def __init__(self):
        self.started = time.monotonic()
        self.moving = sys.stdout.isatty()
        self.colours = self.moving and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self.bar_shown = False
        self.bar_quarter = -1

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colours else text

    def _line(self, text):
        if self.bar_shown:
            sys.stdout.write("\r\033[K")
            self.bar_shown = False
        print(text, flush=True)

    def title(self, text):
        self._line("")
        self._line(self.paint("1", text))

    def step(self, text):
        self._line(self.paint("2", f"{time.monotonic() - self.started:6.1f} s") + f"  {text}")

    def command(self, text):
        self._line(self.paint("36", f"          $ {text}"))

    def good(self, text):
        self.step(self.paint("32", "ok    ") + text)

    def bad(self, text):
        self.step(self.paint("31;1", "WRONG ") + text)

    def note(self, text):
        self._line(f"          {text}")

    def bar(self, fraction, text):
        """Draws over the last bar on a terminal; elsewhere prints a line at each quarter."""
        fraction = min(max(fraction, 0.0), 1.0)
        full = int(fraction * BAR_WIDTH)
        drawn = "#" * full + "." * (BAR_WIDTH - full)
        if self.moving:
            sys.stdout.write(f"\r\033[K          [{drawn}] {fraction * 100:3.0f} %  {text}")
            sys.stdout.flush()
            self.bar_shown = True
        elif int(fraction * 4) != self.bar_quarter:
            self.bar_quarter = int(fraction * 4)
            self._line(f"          [{drawn}] {fraction * 100:3.0f} %  {text}")

    def bar_end(self, text):
        """The finished bar stays on the screen."""
        if self.moving:
            sys.stdout.write("\r\033[K")
        self.bar_shown = False
        self.bar_quarter = -1
        self._line(f"          [{'#' * BAR_WIDTH}] 100 %  {text}")


def size(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit in ("B", "KiB") else f"{count:.1f} {unit}"
        count /= 1024


def until(seconds, what, ready, pause=0.05):
    """Polls ready() until it gives something true, or fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(pause)


class Failure(Exception):
    """The demo cannot go on; the text says why."""
