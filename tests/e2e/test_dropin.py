"""In the place of tini, dumb-init and catatonit: called by their names, with their options.

Where the real one is installed, a test runs it beside aiorun: what it did is what was expected.
"""
import os
import re
import shlex
from pathlib import Path

from harness import (BINARY, VICTIM, Run, Skip, cases, check, children, equal, expect_gone, has,
                     needs, sig, state, until, victim)
from terminal import PROMPT, Shell, Terminal, running, stopped

NAMES = ("tini", "dumb-init", "catatonit")
INITS = ("docker-init", "podman-init")  # what Docker and podman call theirs, which is tini


def called(name, *args, **how):
    """Start aiorun through a symbolic link of this name."""
    directory = Path("bin").absolute()
    directory.mkdir(exist_ok=True)
    link = directory / name
    if not link.is_symlink():
        link.symlink_to(BINARY)
    return Run([link, *args], **how)


def real(name, *args, **how):
    if not has(name):
        raise Skip(f"needs {name}")
    return Run([name, *args], **how)


def words(line):
    """The words of a command line, with the victim's path for `victim`."""
    return [VICTIM if word == "victim" else word for word in shlex.split(line)]


def both_end(name, line, status, *, env=None):
    """Run it with the real one and with aiorun: the same status, the same standard output."""
    theirs = real(name, *words(line), env=env)
    theirs.end(status)
    ours = called(name, *words(line), env=env)
    ours.end(status)
    theirs = [line for line in theirs.out.splitlines() if not line.startswith("[")]  # tini's log
    equal(ours.out.splitlines(), theirs, "standard output")


# ---- starting ----

@cases(**{
    "tini --": ("tini", "-- victim exit 3", 3),
    "tini": ("tini", "victim exit 3", 3),
    "tini -s -e 3": ("tini", "-s -e 3 -- victim exit 3", 0),
    "tini -s -e 143": ("tini", "-s -e 143 -- victim kill self TERM", 0),
    "tini -sg": ("tini", "-sg victim exit 3", 3),
    "tini -p": ("tini", "-p SIGKILL -s victim exit 3", 3),
    "tini -w -v": ("tini", "-s -w -v -- victim exit 3", 3),
    "tini -vvv": ("tini", "-s -vvv -- victim exit 3", 3),
    "tini all": ("tini", "-g -v -p SIGTERM -s -e 143 -w -- victim exit 3", 3),
    "tini twice -e": ("tini", "-s -e 3 -e 4 -- victim exit 3", 0),
    "tini 127": ("tini", "-s ./missing", 127),
    "tini 126": ("tini", "-s /etc/passwd", 126),
    "dumb-init": ("dumb-init", "victim exit 3", 3),
    "dumb-init --": ("dumb-init", "-- victim exit 3", 3),
    "dumb-init options of the command": ("dumb-init", "sh -c 'exit 3'", 3),
    "dumb-init -c": ("dumb-init", "-c victim exit 3", 3),
    "dumb-init --single-child": ("dumb-init", "--single-child victim exit 3", 3),
    "dumb-init -v": ("dumb-init", "-v -- victim exit 3", 3),
    "dumb-init --verbose": ("dumb-init", "--verbose victim exit 3", 3),
    "dumb-init -r": ("dumb-init", "-r 15:3 victim exit 3", 3),
    "dumb-init -r joined": ("dumb-init", "-r15:3 -cv victim exit 3", 3),
    "dumb-init --rewrite": ("dumb-init", "--rewrite 15:0 victim exit 3", 3),
    "dumb-init --rewrite=": ("dumb-init", "--rewrite=15:3 victim exit 3", 3),
    "dumb-init all": ("dumb-init", "-r 15:3 --rewrite 15:0 -c -v -- victim exit 3", 3),
    "catatonit --": ("catatonit", "-- victim exit 3", 3),
    "catatonit": ("catatonit", "victim exit 3", 3),
    "catatonit -g": ("catatonit", "-g -- victim exit 3", 3),
})
def test_command_line_is_understood(name, line, status):
    both_end(name, line, status)


@cases("-p TERM", "-p 15", "--timeout 5s", "--success-status 3")
def test_options_of_aiorun_are_understood_beside_those_of_tini(option):
    called("tini", *option.split(), "-s", "--", *victim("exit 3")).end(
        0 if "3" in option else 3)


@cases(*NAMES)
def test_options_of_the_command_stay_with_it(name):
    """Whatever the real ones do: tini and catatonit of Debian read them as their own."""
    run = called(name, *victim("print argv exit 3"), "-g", "--version", "--", "-x")
    run.end(3)
    equal([line for line in run.out.splitlines()][-4:],
          ["arg -g", "arg --version", "arg --", "arg -x"], "arguments")


@cases("tini --version", "tini -h", "tini -l", "dumb-init -V", "dumb-init --version",
       "dumb-init -h", "dumb-init --help", "catatonit -V", "catatonit --version", "catatonit -h",
       "catatonit -L")
def test_question_is_answered(line):
    name, option = line.split()
    theirs = real(name, option)
    theirs.end(0)
    ours = called(name, option)
    ours.end(0)
    check(ours.out, "it says nothing")


@cases(*NAMES)
def test_no_command_is_refused(name):
    theirs = real(name)
    theirs.wait()
    check(theirs.status != 0, "the real one does not mind")
    ours = called(name)
    ours.end(125)
    check("command" in ours.err, "the sentence says what is missing")


@cases("tini -x", "dumb-init -x", "catatonit -x", "dumb-init -r 15", "dumb-init -r 99:1",
       "tini -e 300", "tini -p NONSENSE")
def test_nonsense_is_refused(line):
    name, *options = line.split()
    theirs = real(name, *options, *victim("say started"))
    theirs.wait()
    check(theirs.status != 0, "the real one does not mind")
    ours = called(name, *options, *victim("say started"))
    ours.end(125)
    equal(ours.out, "", "standard output")


# ---- signals ----

@cases(*NAMES)
def test_stop_is_passed_on_and_waited_for(name):
    script = "on TERM [ sleep 300ms say done exit 3 ] say ready pause"
    for run in real(name, "--", *victim(script)), called(name, "--", *victim(script)):
        run.line("ready")
        run.send("TERM")
        run.line("done")
        run.end(3)


@cases(*INITS)
def test_runtimes_init_is_tini(name):
    called(name, *words("-g -s -e 3 victim exit 3")).end(0)
    called(name, "-l").end(0)


@cases(*NAMES, *INITS)
def test_default_timeout_is_infinite(name):
    run = called(name, "--print-config", "--", "true")
    run.end(0)
    check(re.search(r"timeout\W+infinity", run.out), f"it is not infinite: {run.out[:300]}")


@cases(*[f"{name} {signal}" for name in NAMES for signal in ("HUP", "USR1", "QUIT", "INT")])
def test_signal_is_passed_on(case):
    name, signal = case.split()
    script = f"on {signal} [ say got exit 3 ] say ready pause"
    for run in real(name, "--", *victim(script)), called(name, "--", *victim(script)):
        run.line("ready")
        run.send(signal)
        run.line("got")
        run.end(3)


GROUP = ("spawn [ on USR1 [ say child exit 0 ] pause ] on USR1 [ say parent ] on USR2 [ exit 3 ]"
         " say ready pause")


@cases(**{
    "tini -g": ("tini", "-g -s --", {}, True),
    "tini": ("tini", "-s --", {}, False),
    "tini by variable": ("tini", "-s --", {"TINI_KILL_PROCESS_GROUP": ""}, True),
    "dumb-init": ("dumb-init", "", {}, True),
    "dumb-init -c": ("dumb-init", "-c", {}, False),
    "dumb-init without setsid": ("dumb-init", "", {"DUMB_INIT_SETSID": "0"}, False),
    "dumb-init with setsid": ("dumb-init", "", {"DUMB_INIT_SETSID": "1"}, True),
    "catatonit": ("catatonit", "--", {}, False),
    "catatonit -g": ("catatonit", "-g --", {}, True),
})
def test_signal_reaches_the_group_where_it_does_with_the_real_one(name, options, env, group):
    for start in real, called:
        run = start(name, *options.split(), *victim(GROUP), env=env)
        run.line("ready")
        command = run.command
        child = children(command)[0]
        run.send("USR1")
        run.lines("parent", "child") if group else run.line("parent")
        run.send("USR2")
        equal(run.wait(), 3, "status")
        equal("child" in run.out, group, "the child was told")
        expect_gone(command)
        if state(child) not in (None, "Z"):
            os.kill(child, sig("KILL"))  # the real ones leave it, unless they are PID 1


@cases(**{
    "-r": ("-r 15:10",), "--rewrite": ("--rewrite 15:10",), "--rewrite=": ("--rewrite=15:10",),
    "twice": ("-r 1:12 -r 15:10",), "last wins": ("-r 15:12 --rewrite 15:10",),
})
def test_dumb_init_rewrites_a_signal(options):
    script = "on USR1 [ say usr1 exit 3 ] on TERM [ say term exit 4 ] say ready pause"
    for run in (real("dumb-init", *options.split(), *victim(script)),
                called("dumb-init", *options.split(), *victim(script))):
        run.line("ready")
        run.send("TERM")
        run.end(3)
        check("term" not in run.out, "TERM came through")


def test_dumb_init_drops_a_signal_that_is_rewritten_to_0():
    """The mark comes behind it: nothing else was to come."""
    script = "on TERM [ say term exit 4 ] on USR2 [ say mark exit 3 ] say ready pause"
    for run in (real("dumb-init", "-r", "15:0", *victim(script)),
                called("dumb-init", "-r", "15:0", *victim(script))):
        run.line("ready")
        run.send("TERM")
        run.send("USR2")
        run.end(3)
        check("term" not in run.out, "TERM came through")


@cases("-c", "--single-child")
def test_dumb_init_single_child_has_no_session_of_its_own(option):
    for start in real, called:
        run = start("dumb-init", option, *victim("print pids"))
        pids = run.pids()
        run.end(0)
        equal(pids["sid"] == pids["pid"], False, "a session of its own")


def test_dumb_init_setsid_0_keeps_the_session():
    for start in real, called:
        run = start("dumb-init", *victim("print pids"), env={"DUMB_INIT_SETSID": "0"})
        pids = run.pids()
        run.end(0)
        equal(pids["sid"] == pids["pid"], False, "a session of its own")


def test_dumb_init_gives_the_command_a_session():
    for start in real, called:
        run = start("dumb-init", *victim("print pids"))
        pids = run.pids()
        run.end(0)
        equal(pids["sid"], pids["pid"], "session")


# ---- variables ----

def test_tini_verbosity_says_what_happens():
    for level, loud in ("0", False), ("1", False), ("2", True), ("3", True):
        for start in real, called:
            run = start("tini", "-s", "--", *victim("exit 3"), env={"TINI_VERBOSITY": level})
            run.end(3)
            equal(run.out + run.err != "", loud,
                  f"{run.argv[0]} says something at verbosity {level}")


@cases(**{"tini -v": ("tini", "-s -v"), "dumb-init -v": ("dumb-init", "-v"),
          "dumb-init --verbose": ("dumb-init", "--verbose"),
          "dumb-init by variable": ("dumb-init", "")})
def test_verbose_says_something(name, options):
    env = {} if options else {"DUMB_INIT_DEBUG": "1"}
    for start in real, called:
        run = start(name, *options.split(), *victim("exit 3"), env=env)
        run.end(3)
        check(run.out + run.err != "", f"{run.argv[0]} says nothing")


@cases(option=("-s", {}), variable=("", {"TINI_SUBREAPER": ""}))
def test_tini_as_a_subreaper_reaps_and_warns(option, env):
    """A sleeping witness tells that the orphan was reaped before the end."""
    for start in real, called:
        run = start("tini", *option.split(), "-w", "--",
                    *victim("orphan 1 [ exit 0 ] on USR1 [ exit 3 ] say ready pause"), env=env)
        run.line("ready")
        run.log("[Rr]eap")
        until(lambda: len(children(run.pid)) == 1, "the orphan is reaped")
        run.send("USR1")
        run.end(3)


def test_variables_of_the_real_ones_stay_in_the_environment():
    """They are: what they start may be another tini."""
    env = {"TINI_VERBOSITY": "1", "TINI_SUBREAPER": "1"}
    for start in real, called:
        run = start("tini", "-s", "--", *victim("print env"), env=env)
        run.end(0)
        check("env TINI_VERBOSITY=1" in run.out, "it is gone")


def test_variables_of_tini_mean_nothing_to_aiorun_itself():
    run = Run([BINARY, "--", *victim("exit 3")], env={"TINI_VERBOSITY": "3"})
    run.end(3)
    equal(run.err, "", "what it says")


def test_tini_tells_the_command_when_the_parent_dies():
    """-p: the parent is a shell that is killed."""
    if not has("tini"):
        raise Skip("needs tini")
    called("tini", "--version").end(0)  # for the link
    for name in "tini", str(Path("bin").absolute() / "tini"):
        script = f"{VICTIM} on TERM [ append log told exit 0 ] say ready pause"
        run = Run(["sh", "-c", f"{name} -s -p SIGTERM -- {script}; :"], wrapped=True)
        run.line("ready")
        Path("log").unlink(missing_ok=True)
        child = children(run.pid)[0]
        run.process.kill()
        run.wait()
        until(lambda: Path("log").exists(), "the command was told")
        expect_gone(child)


# ---- terminals ----

@cases(*NAMES)
def test_shell_on_a_terminal_has_keys_and_jobs(name):
    """As the entrypoint of `docker run -it`, where it leads the session."""
    called(name, "--version").wait()
    run = Terminal([Path("bin", name).absolute(), "--", "bash", "--norc", "--noprofile",
                    "--noediting", "-i"], wrapped=False)
    run.expect(PROMPT)
    run.type("victim say ready pause\n")
    run.expect("ready")
    run.ctrl("C")
    equal(run.expect(PROMPT).group(1), "130", "status")
    run.type("victim on CONT [ exit 7 ] say ready pause\n")
    run.expect("ready")
    run.ctrl("Z")
    equal(run.expect(PROMPT).group(1), "148", "status")
    run.type("fg\n")
    equal(run.expect(PROMPT).group(1), "7", "status")
    run.type("exit 4\n")
    run.end(4)


@cases(*NAMES)
def test_job_of_a_shell_is_stopped_and_brought_back(name):
    """Where the real ones hang the terminal."""
    sh = Shell()
    called(name, "--version").wait()
    sh.type(f"bin/{name} -- victim on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    both = sh.subject, sh.command
    sh.ctrl("Z")
    equal(sh.prompt(), 148, "status")
    stopped(*both)
    sh.type("fg\n")
    running(*both)
    os.kill(both[0], sig("USR1"))
    equal(sh.prompt(), 3, "status")
    sh.leave()


# ---- catatonit's pause ----

@needs("catatonit")
@cases("INT", "TERM")
def test_catatonit_pause_waits_for_a_signal(signal):
    """-P runs nothing."""
    for start in real, called:
        run = start("catatonit", "-P")
        until(lambda: run.ended() or state(run.pid) == "S", "it waits")
        check(not run.ended(), "it has not waited")
        run.send(signal)
        run.end(0)


@needs("root", "unshare")
def test_catatonit_pause_reaps_as_pid_1():
    called("catatonit", "--version").wait()
    run = Run(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
               f"{VICTIM} exit 0 & {VICTIM} sleep 10ms exit 0 & exec bin/catatonit -P"],
              wrapped=True)
    until(lambda: not children(run.subject), "everything is reaped")
    run.send("TERM")
    run.end(0)
