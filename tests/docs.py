#!/usr/bin/env python3
"""Compares what is written about aiorun with what it is: docs.py BINARY.

The option table (--list-options) is the truth about options.  --help and the manual page must have
every option with the same letter, names, argument and default; neither they nor the README may name
an option that does not exist; and every example must parse, which --print-config tries without
starting anything.  The truth about a verb is what `aiorun help VERB` says.  The same is asked of the
keys of a config file: aiorun.ini(5) and the commented conf/aiorun.ini must have each of them, and no
other.
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
REFUSAL = r"\s*(aiorun: error: (?:option|AIORUN_OPT_)\S* .*)"  # printed below an example that is a mistake
SHOWN = Path(tempfile.mkdtemp())
passed = failed = 0


def check(true, claim):
    global passed, failed
    if true:
        passed += 1
    else:
        failed += 1
        print("FAILED:", claim)
    return true


def output(*command, env=None, cwd=None):
    return subprocess.run(command, capture_output=True, text=True, timeout=20, env=env, cwd=cwd,
                          stdin=subprocess.DEVNULL)


class Option:
    """A row of --list-options."""

    def __init__(self, line):
        fields = line.split("\t")
        check(len(fields) == 10, f"--list-options: 10 fields in {line!r}")
        (self.name, self.letter, self.scope, kind, self.argument, self.default, self.text,
         self.key, self.file_default, self.place) = fields
        no_argument = {"switch": "yes|no", "toggle": "yes|no", "count": "N", "env": "VALUE"}
        self.file_argument = no_argument.get(kind, self.argument)
        self.names = ["--" + self.name]
        if self.letter != "-":
            self.names.insert(0, "-" + self.letter)
        if kind == "toggle":
            self.names.append("--no-" + self.name)

    def heading(self):
        argument = "" if self.argument == "-" else " " + self.argument
        return ", ".join(self.names) + argument

    def file_heading(self):
        return f"{self.key} = {self.file_argument}"


class Verb:
    """A verb that --help lists, as `aiorun help VERB` shows it."""

    def __init__(self, binary, name):
        self.name = name
        text = output(binary, "help", name).stdout
        self.usage = text.partition("\n")[0].removeprefix("Usage: aiorun ")
        self.names = set(OPTION.findall(self.usage))
        told = set(re.findall(r"^ {6}(--\S+)", text, re.M))
        check(self.usage.split()[:1] == [name], f"help {name}: begins with its usage")
        check(told == self.names, f"help {name}: explains {told}, its usage has {self.names}")


def verbs_of(binary, usage):
    lists = re.findall(r"^[A-Z].*erbs.*:\n((?:  .*\n)+)", usage, re.M)
    names = re.findall(r"^  ([a-z]\S*)", "".join(lists), re.M)
    check(len(names) >= 2, "--help lists verbs")
    return {name: Verb(binary, name) for name in names}


def entries(text):
    """Headings of a rendered list of options, and what stands below each: help or manual."""
    found, heading = {}, None
    for line in text.splitlines():
        match = re.match(r" {2,6}(-{1,2}[a-z]\S*(?:, -\S+)*(?: \S+)?)(?:\s{2,}(.*))?$", line)
        if match:
            heading = match.group(1)
            found[heading] = match.group(2) or ""
        elif heading and (line.startswith(" " * 7) or not line.strip()):
            found[heading] += " " + line.strip()
        else:
            heading = None
    return {key: " ".join(value.split()) for key, value in found.items()}


def section(text, name):
    match = re.search(rf"^{name}\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
    check(match, f"the manual page has a section {name}")
    return match.group(1) if match else ""


def render_manual(page):
    lint = output("mandoc", "-T", "lint", "-W", "warning", str(page))
    check(lint.returncode == 0 and not lint.stdout, f"the manual page lints:\n{lint.stdout}")
    text = output("mandoc", "-T", "ascii", "-O", "width=200", str(page)).stdout
    return re.sub(".\b", "", text)


def check_entries(options, text, where):
    found = entries(text)
    for option in options:
        heading = option.heading()
        if not check(heading in found, f"{where}: has an entry '{heading}'"):
            continue
        if option.default not in ("-", "no"):
            words = found.pop(heading)
            default = rf"[Dd]efault(:| is) `?{re.escape(option.default)}(?!\w)"
            check(re.search(default, words),
                  f"{where}: {heading}: tells the default {option.default}, but says: {words}")
        else:
            found.pop(heading)
    for heading in found:
        check(False, f"{where}: '{heading}' is an entry, but not in the table like this")


def check_verbs(verbs, text):
    """The manual page's section about verbs has an entry for each, with the same usage."""
    headings = set(re.findall(r"^ {5}([a-z].*?)(?: {2,}.*)?$", text, re.M))
    for verb in verbs.values():
        check(verb.usage in headings, f"VERBS: has an entry '{verb.usage}'")


def check_file_entries(options, text, where):
    """Every key, its argument and its default in a file; and nothing else."""
    heading = re.compile(r"^ {5}([a-z][\w.-]* = \S.*)$", re.M)
    words = heading.split(text)
    found = {name: " ".join(rest.split()) for name, rest in zip(words[1::2], words[2::2])}
    for option in options:
        told = found.pop(option.file_heading(), None)
        if not check(told is not None, f"{where}: has an entry '{option.file_heading()}'"):
            continue
        if option.file_default not in ("-", "no"):
            check(re.search(rf"The default is {re.escape(option.file_default)}(?![\w.]\w)", told),
                  f"{where}: {option.key}: tells the default {option.file_default}: {told}")
    for name in found:
        check(False, f"{where}: '{name}' is an entry, but not in the table like this")


def check_reference(binary, options, path):
    """conf/aiorun.ini has every key once, those that are off with their defaults, and each of them
    may be switched on."""
    text = path.read_text()
    check(output(binary, "check", str(path)).returncode == 0, f"{path.name} has no fault")
    wanted = {"aiorun": {}, "worker": {}}
    for option in options:
        if option.place != "cli":
            wanted["worker" if option.scope == "worker" else "aiorun"][option.key] = option
    lines = text.splitlines()
    found, section = [], None
    for number, line in enumerate(lines):
        section = line.strip("[]").partition(":")[0] if line.startswith("[") else section
        match = re.match(r"(;?)([a-z][\w.-]*) = (.+)$", line)
        if not match:
            continue
        off, key, value = match.groups()
        key = "env.NAME" if key.startswith("env.") else key
        option = wanted[section].get(key)
        found.append((section, key))
        if not check(option, f"{path.name}: [{section}] has no key {key}") or not off:
            continue
        check(option.file_default in ("-", value),
              f"{path.name}: {key}: shows its default {option.file_default}, not {value}")
        # Switched on, and what it contradicts switched off.
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as copy:
            rival = {"stop-signal": "stop =", "stop-timeout": "stop ="}.get(key)
            copy.write("\n".join(other[1:] if n == number else
                                 "" if rival and other.startswith(rival) else other
                                 for n, other in enumerate(lines)))
            copy.flush()
            result = output(binary, "check", copy.name)
            check(result.returncode == 0, f"{path.name}: {key} switched on: {result.stderr.strip()}")
    # The example's first worker has a few of the keys as well.
    last = text[text.rindex("\n["):]
    twice = [key for key in wanted["worker"] if len(re.findall(rf"^;?{key} =", last, re.M)) > 1]
    twice += [key for key in wanted["aiorun"] if len(re.findall(rf"^;?{key} =", text, re.M)) > 1]
    check(not twice, f"{path.name}: has these twice: {twice}")
    for section, keys in wanted.items():
        missing = set(keys) - {key for where, key in found if where == section}
        check(not missing, f"{path.name}: [{section}] lacks {' '.join(sorted(missing))}")


def check_file_examples(binary, text, where):
    """Every config file that is shown has no fault: lines in a row that may stand in one.  The first
    is the shop.ini of the examples, and bad.ini is the same with two mistakes."""
    line = r" *(?:\[[\w:.-]+\]|[a-z][\w.-]* *= .*|[#;] .*)?\n"
    count = 0
    for example in re.findall(rf"(?:^{line})+", text, re.M):
        if "[worker:" not in example:
            continue
        count += 1
        shown = "\n".join(words.strip() for words in example.strip().splitlines())
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as copy:
            copy.write(shown)
            copy.flush()
            result = output(binary, "check", copy.name)
            check(result.returncode == 0, f"{where}: a file that is shown: {result.stderr.strip()}")
        if count == 1:
            (SHOWN / "shop.ini").write_text(shown)
            (SHOWN / "bad.ini").write_text(shown.replace("ready  ", "redy", 1).replace("= db", "= bd"))
    check(count > 0, f"{where}: shows a file")


def check_names(options, verbs, text, where):
    """Every --NAME in `text` is an option, or the last word of a made-up example, --NAME."""
    known = {name for option in [*options, *verbs.values()] for name in option.names}
    for name in sorted(set(OPTION.findall(text))):
        check(name in known | {"--name"}, f"{where}: names {name}, which does not exist")


def check_statuses(manual):
    header = (ROOT / "src/core/policy.h").read_text()
    enum = re.search(r"enum exit_status \{(.*?)\n\}", header, re.S).group(1)
    values = dict(re.findall(r"(STATUS_\w+) = (\d+)", enum))
    wanted = {value + "+N" if name == "STATUS_SIGNAL_BASE" else value
              for name, value in values.items()}
    told = set(re.findall(r"^ {5}(\d{3}(?:\+N)?)(?:\s|$)", section(manual, "EXIT STATUS"), re.M))
    check(len(wanted) == 5, f"policy.h: five exit statuses, found {sorted(wanted)}")
    check(told == wanted, f"EXIT STATUS tells {sorted(told)}, policy.h has {sorted(wanted)}")


def check_versions(binary, page):
    makefile = re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M).group(1)
    program = output(binary, "--version").stdout.strip()
    manual = re.search(r'^\.Os "aiorun (\S+)"$', page.read_text(), re.M)
    changes = re.search(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    check(program == f"aiorun {makefile}", f"--version: '{program}', the Makefile: {makefile}")
    check(manual and manual.group(1) == makefile, "the manual page's .Os has the version")
    check(changes and changes.group(1) == makefile, "the newest in the CHANGELOG is the version")


# ---- examples ------------------------------------------------------------------------------------

def try_words(binary, verbs, words, where, refusal=None, told=None):
    """Parses a command line of aiorun that stands in an example, or is refused there; `told` is what
    it says of a file."""
    env = {"PATH": os.environ["PATH"]}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    name = words.pop(0) if words else ""
    if not check(name.rpartition("/")[2] == "aiorun", f"{where}: begins with aiorun"):
        return
    offline = words[:1] in (["help"], ["version"], ["check"])
    if words and words[0] in verbs and not offline:
        own = words[1:words.index("--")] if "--" in words else words[1:]
        given = {word.partition("=")[0] for word in own if word.startswith("--")}
        check(given <= verbs[words[0]].names, f"{where}: the verb has these options: {given}")
        return
    command = [binary, *words] if offline else [binary, "--print-config", *words]
    result = output(*command, env=env, cwd=SHOWN)
    if told:
        check(result.stdout + result.stderr == told, f"{where}: says: {result.stderr}")
    elif refusal:
        check(result.returncode == 125, f"{where}: is refused")
        check(result.stderr.strip() == refusal, f"{where}: is told: {result.stderr.strip()}")
    else:
        check(result.returncode == 0, f"{where}: is understood: {result.stderr.strip()}")


def simple_command(line):
    """The words of a shell's command up to its first operator."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    lexer.whitespace_split, lexer.commenters = True, ""
    words = []
    for word in lexer:
        if word[0] in ";&|<>()":
            break
        words.append(word)
    return words


def try_shell_examples(binary, verbs, text, where):
    """Lines such as `$ aiorun ...`, with what a backslash at the end joins to them."""
    count = 0
    text = re.sub(r"\\\n\s*", " ", text)
    for line, refusal, told in re.findall(r"^\s*\$ ((?:[A-Z_]+=\S+ )*aiorun\b.*)$"
                                          rf"(?:\n{REFUSAL}$)?((?:\n\s*\w+\.ini:.*)*)", text, re.M):
        count += 1
        told = "".join(words.strip() + "\n" for words in told.split("\n")[1:])
        try_words(binary, verbs, simple_command(line), f"{where}: '{line}'", refusal, told)
    check(count > 0, f"{where}: has examples")


def try_other_examples(binary, verbs, text, where):
    text = re.sub(r"\\\n\s*", " ", text)
    for line in re.findall(r"^ExecStart=(.*aiorun\b.*)$", text, re.M):
        try_words(binary, verbs, shlex.split(line), f"{where}: ExecStart={line}")
    for line in re.findall(r"^ENTRYPOINT (\[.*\])$", text, re.M):
        words = json.loads(line)
        # The image's CMD follows the entry point.
        try_words(binary, verbs, words + ["command"], f"{where}: ENTRYPOINT {line}")
    for line in re.findall(r"`(aiorun -[^`]*)`", text):
        try_words(binary, verbs, simple_command(line), f"{where}: `{line}`")


def without_foreign_words(text):
    """Leaves out what names the options of other programs: the first column of tables, and of
    command lines all but what stands between aiorun and its `--`.  And mistakes made on purpose."""
    text = re.sub(r"^\|[^|]*\|", "|", text, flags=re.M)
    text = re.sub(rf"^\s*\$ .*\n{REFUSAL}", "", text, flags=re.M)
    text = re.sub(r"^( *command *= ).*", r"\1", text, flags=re.M)
    kept = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        example = re.match(r"\s*(?:\$ |ExecStart=|RUN |COPY |ENTRYPOINT |aiorun )", line)
        own = re.search(r"\baiorun .*|\"aiorun\".*", line)
        if example:
            line = re.split(r"\s--(?:\s|$)|\"--\"", own.group())[0] if own else ""
        kept.append(line)
    return "\n".join(kept)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: docs.py BINARY")
    binary = os.path.abspath(sys.argv[1])
    page = ROOT / "man/aiorun.1"
    file_page = ROOT / "man/aiorun.ini.5"
    readme = (ROOT / "README.md").read_text()
    manual = render_manual(page)
    file_manual = render_manual(file_page)
    usage = output(binary, "--help").stdout
    table = [Option(line) for line in output(binary, "--list-options").stdout.splitlines()]
    options = [option for option in table if option.place != "file"]
    keys = [option for option in table if option.place != "cli"]

    verbs = verbs_of(binary, usage)

    check(len(options) > 10, "--list-options lists the options")
    check_entries(options, usage, "--help")
    check_entries(options, section(manual, "OPTIONS"), "the manual page")
    check_names(options, verbs, without_foreign_words(usage), "--help")
    check_names(options, verbs, without_foreign_words(manual), "the manual page")
    check_names(options, verbs, without_foreign_words(readme), "README.md")
    check_names(options, verbs, (ROOT / "CHANGELOG.md").read_text(), "CHANGELOG.md")
    check_verbs(verbs, section(manual, "VERBS"))
    check_statuses(manual)
    check_versions(binary, page)
    check_versions(binary, file_page)
    check_file_entries([key for key in keys if key.scope == "supervisor"],
                       section(file_manual, r"THE SECTION \[aiorun\]"), "aiorun.ini(5)")
    check_file_entries([key for key in keys if key.scope == "worker"],
                       section(file_manual, r"THE SECTIONS \[worker:NAME\]"), "aiorun.ini(5)")
    check_names(options, verbs, without_foreign_words(file_manual).replace("--limit-RESOURCE", ""),
                "aiorun.ini(5)")
    check_reference(binary, table, ROOT / "conf/aiorun.ini")
    for text, where in (section(file_manual, "EXAMPLES"), "aiorun.ini(5)"), (readme, "README.md"):
        check_file_examples(binary, text, where)
        try_shell_examples(binary, verbs, text, where)
    try_shell_examples(binary, verbs, section(manual, "EXAMPLES"), "the manual page")
    try_other_examples(binary, verbs, readme, "README.md")
    shutil.rmtree(SHOWN)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
