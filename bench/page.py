"""Figures in docs/benchmarks.md: each benchmark's stand between two lines of its own."""
import datetime
import os
import platform

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs/benchmarks.md")
END = "<!-- end of figures -->"


def machine():
    """When and on what."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    return f"Measured {datetime.date.today()} on {os.cpu_count()} cores of {model}, Linux {platform.release().split('-')[0]}"


def write(mark, text):
    """Replaces what stands between the line <!-- mark --> and the next end."""
    begin = f"<!-- {mark} -->"
    with open(PAGE, encoding="utf-8") as page:
        before, rest = page.read().split(begin, 1)
    after = rest.split(END, 1)[1]
    with open(PAGE, "w", encoding="utf-8") as page:
        page.write(f"{before}{begin}\n{text}\n{END}{after}")
