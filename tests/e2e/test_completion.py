"""`aiorun completion SHELL`, loaded into the real shells."""
import os
import re
from pathlib import Path

from harness import BINARY, Run, aiorun, cases, check, equal, needs, victim


def script(shell, where):
    run = Run([BINARY, "completion", shell])
    run.end(0)
    Path(where).write_text(run.out)
    return run.out


def shell(*argv):
    """The output of a shell that finds our aiorun."""
    os.makedirs("bin", exist_ok=True)
    if not os.path.lexists("bin/aiorun"):
        os.symlink(BINARY, "bin/aiorun")
    run = Run(argv, env={"PATH": f"{os.getcwd()}/bin:{os.environ['PATH']}", "HOME": os.getcwd()})
    run.end(0)
    equal(run.err, "", "errors")
    return run.out


BASH = """
source ./script
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
compopt() { :; }  # which works only when somebody presses a key
_aiorun
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(*words):
    script("bash", "script")
    return shell("bash", "-c", BASH, "bash", "aiorun", *words).split()


COMMON = dict(
    verb=(("sta",), {"start", "status"}),
    option=(("--drain",), {"--drain-delay"}),
    choice=(("--loop", ""), {"auto", "epoll", "poll", "select"}),
    negated=(("--no-for",), {"--no-forever"}),
    off=(("drain", ""), {"off"}),
    shells=(("completion", ""), {"bash", "zsh", "fish"}),
    help=(("help", "sh"), {"shield", "shutdown"}),
    command=(("--", "bashb"), {"bashbug"}),
)


@cases(**COMMON, signal=(("--stop-signal", "SIGUS"), {"SIGUSR1", "SIGUSR2"}),
       verb_option=(("status", "--j"), {"--json"}),
       equals=(("--orphans", "=", "le"), {"leave"}), number=(("--timeout", ""), set()),
       dashes=(("submit", "--wait", ""), {"--"}))
def test_bash_completes(words, wanted):
    if "bashb" in words:
        return equal(wanted <= set(bash(*words)), True, "it is among them")
    equal(set(bash(*words)), wanted, "completions")


@cases("status", "stop", "signal USR1")
def test_bash_asks_for_the_workers(words):
    run = aiorun("--control", "a.sock", "--", *victim("say ready pause"))
    run.line("ready")
    verb, *rest = words.split()
    equal(bash(verb, "--control", "a.sock", *rest, ""), ["main"], "completions")
    run.send("TERM")
    run.end("TERM")


def test_every_option_and_verb_is_completed_in_every_shell():
    table = Run([BINARY, "--list-options"])
    table.end(0)
    rows = [line.split("\t") for line in table.out.splitlines()]
    options = [row[0] for row in rows if row[-1] != "file"]
    options += ["no-" + row[0] for row in rows if row[3] == "toggle"]
    usage = Run([BINARY, "--help"])
    usage.end(0)
    verbs = re.findall(r"^  ([a-z][a-z-]+)(?: |$)", usage.out.partition("\nVerbs")[2], re.M)
    check(len(options) > 40 and "status" in verbs, "there are some")
    for name in "bash", "zsh", "fish":
        text = script(name, "script")
        check("(null)" not in text, f"{name}: something has no completion")
        for option in options:
            check(re.search(rf"(--|-l ){option}(?![\w-])", text), f"{name}: --{option}")
        for verb in verbs:
            check(re.search(rf"(?<![\w-]){verb}(?![\w-])", text), f"{name}: {verb}")


@needs("zsh")
def test_zsh_loads_it():
    script("zsh", "_aiorun")
    loaded = shell("zsh", "-f", "-c", "fpath=($PWD $fpath); autoload -Uz compinit; "
                   "compinit -u -d ./dump; autoload +X _aiorun; print $_comps[aiorun]")
    equal(loaded, "_aiorun\n", "what completes aiorun")


@needs("fish")
@cases(**COMMON)
def test_fish_completes(words, wanted):
    script("fish", "script.fish")
    line = " ".join(["aiorun", *words])
    out = shell("fish", "--no-config", "-c", f"source script.fish; complete -C '{line}'")
    equal({row.split("\t")[0] for row in out.splitlines()}, wanted, "completions")


@cases(((), "SHELL is missing"), (("tcsh",), "'tcsh'"), (("bash", "zsh"), "'zsh'"))
def test_a_shell_that_is_none_is_refused(words, part):
    run = Run([BINARY, "completion", *words])
    run.end(125)
    check(part in run.err, run.err)
