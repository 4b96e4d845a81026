"""The manual pages say what the programs say: every command, option and key is there, and none that is not."""
import re

import pytest

import offsite

MAN = offsite.REPOSITORY / "docs" / "man"
PAGES = sorted(path.name for path in MAN.glob("*.[1-8]"))
SIM = offsite.BUILD / "src" / "sim" / "offsite-sim"


def page(name):
    """The page as plain text, on lines as long as they come."""
    done = offsite.run("groff", "-mandoc", "-Tascii", "-P-c", "-P-b", "-P-o", "-P-u", "-rLL=2000n", MAN / name)
    return done.stdout


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def entries(text):
    """{tag: what stands under it} of a page's lists; a tag is indented by five."""
    found, tag = {}, None
    for line in text.split("\n"):
        if re.match(r" {5}\S", line):
            tag, _, rest = line.strip().partition("   ")
            found[tag] = rest
        elif tag is not None and line.startswith("      "):
            found[tag] += " " + line.strip()
    return found


def described(name):
    """The options that have an entry of their own."""
    return options_in(" ".join(tag for tag in entries(page(name)) if tag.startswith("-")))


def commands():
    """[["disk", "attach"], ...] of "offsite --help"."""
    text = offsite.run(offsite.OFFSITE, "--help").stdout
    return [line.split()[1:3] for line in text.split("\n") if line.startswith("  offsite ")]


def section_keys(path, pattern):
    """{section: keys} of lines that match, "# key = value" too; sections may be commented out as well."""
    found, section = {}, None
    for line in path.read_text().split("\n"):
        if re.match(r"(# )?\[", line):
            section = re.search(r"\[(\w+)", line).group(1)
            found[section] = set()
        elif section and re.match(pattern, line):
            found[section].add(re.match(pattern, line).group(1))
    return found


def test_there_is_a_page_for_each():
    assert PAGES == ["offsite-sim.1", "offsite.1", "offsite.conf.5", "offsited.8"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_formatted_without_a_warning(name):
    done = offsite.run("groff", "-mandoc", "-Tutf8", "-ww", "-z", "-rCHECKSTYLE=3", MAN / name)
    assert done.stdout + done.stderr == ""


def test_every_command_is_in_the_page_with_its_options():
    tags = [tag for tag in entries(page("offsite.1")) if re.match(r"(site|disk|pair|group|user|role|key|policy) ", tag)]
    assert len(commands()) > 20
    assert [tag.split()[:2] for tag in tags] == commands()
    everywhere = options_in(offsite.run(offsite.OFFSITE, "--help").stdout.split("everywhere:")[1])
    for tag in tags:
        help_text = offsite.run(offsite.OFFSITE, *tag.split()[:2], "--help").stdout.replace(" [--option...]", "")
        assert options_in(tag) == options_in(help_text) - everywhere, tag
        # "usage: offsite disk attach DISK --instance ID": what cannot be left out comes first, as here.
        usage = help_text.split("\n")[0].replace("usage: offsite ", "")
        assert tag.startswith(usage), (tag, usage)
    assert described("offsite.1") == everywhere


@pytest.mark.parametrize("program, name", [(offsite.OFFSITED, "offsited.8"), (SIM, "offsite-sim.1")])
def test_every_option_of_the_other_programs_is_in_the_page(program, name):
    done = offsite.run(program, "--help")
    spoken = options_in(done.stdout) | {"--help"}
    assert len(spoken) >= 4
    assert described(name) == spoken


def test_every_key_is_in_the_page_and_in_the_example():
    reader = (offsite.REPOSITORY / "src" / "daemon" / "config.c").read_text()
    known = {}
    for section, key in re.findall(r'SITE\("(\w+)", "(\w+)"', reader):
        known.setdefault(section, set()).add(key)
    known["peer"] = set(re.findall(r'\bPEER\("(\w+)"', reader))
    example = section_keys(offsite.REPOSITORY / "packaging" / "offsite.conf", r"(?:# )?([a-z_]+) = ")
    told, section = {}, None
    for line in page("offsite.conf.5").split("\n"):
        if re.match(r"   \[", line):
            section = re.search(r"\[(\w+)", line).group(1)
            told[section] = set()
        elif line.startswith("FILES"):
            break
        elif section and re.match(r" {5}[a-z_]+ = ", line):
            told[section].add(line.split()[0])
    assert told == known
    assert example == {**known, "peer": known["peer"] - {"secret"}}


def test_the_page_shows_the_defaults_of_the_example():
    """Which tests/unit/test_config.c holds against the program."""
    text = page("offsite.conf.5")
    example = (offsite.REPOSITORY / "packaging" / "offsite.conf").read_text().split("# [peer")[0]
    shown = re.findall(r"^(?:# )?([a-z_]+) = ([^<\s]+)$", example, re.M)
    assert len(shown) >= 12
    for key, value in shown:
        assert re.search(rf"^     {key} = .*\n(?:      .*\n)*?      .*Default: {re.escape(value)}\.$", text, re.M), (key, value)


def reasons():
    """What the engine gives as the reason of a unit or a link, and what it says of the step that failed."""
    calls = (r"return", r"wrong =", r"\?", r"link->reason, sizeof link->reason,", r"connection_close\([^;]*?,", r"unit_move\([^;]*?,",
             r"sender_wait\([^;]*?,", r"receiver_detach\([^;]*?,", r"unit_fail\([^;]*?,", r"apply_end\([^;]*?,",
             r"receiver_problem\([^;]*?,", r'\? "[^"]*" :')
    found = set()
    for path in sorted((offsite.REPOSITORY / "src" / "repl").glob("*.c")):
        text = re.sub(r'"\s*\n\s*"', "", path.read_text())
        for call in calls:
            found |= set(re.findall(r"(?:%s)\s*\"([^\"%%\n]{8,})\"" % call, text))
    verdicts = (offsite.REPOSITORY / "src" / "wire" / "frame.h").read_text().split("FRAME_VERDICT_LIST(X)")[1].split("\n\n")[0]
    return found - {"link.down"} | {text for _, text in re.findall(r'X\((\w+), "([^"]+)"\)', verdicts)} - {"welcome"}


def test_every_reason_is_explained():
    section = (offsite.REPOSITORY / "docs" / "operations.md").read_text().split("## What each message means")[1].split("\n## ")[0]
    told = {text.removesuffix(": WHY") for line in section.split("\n") if line.startswith("| `")
            for text in re.findall(r"`([^`]+)`", line.split(" | ")[0])}
    assert len(reasons()) > 35
    assert reasons() - told == set(), "explain it in docs/operations.md"
    # What the page has besides holds words that differ, and so does not come as it stands from one place.
    source = "".join(re.sub(r'"\s*\n\s*"', "", path.read_text()) for path in (offsite.REPOSITORY / "src" / "repl").glob("*.c"))
    for text in told - reasons():
        assert re.sub(r"\b(ADDRESS|ID|ZONE|PATH)\b", "%s", text.replace(" N ", " %llu ")).removesuffix(": WHY") in source, f"nothing says {text!r} any more"
