"""The verbs of a worker, with a stand-in for their supervisor."""
import os
import re
import resource
import select
import signal
import socket
from pathlib import Path

from harness import (BINARY, Run, alive, cases, check, equal, escaped, expect_gone, fill_pipe, kill,
                     put_down, sig, signals_in, sigqueue, state, until, victim)
from stand_in import StandIn
from terminal import Terminal

NO_AIORUN = "there is no aiorun above"
GONE = "the supervisor does not answer"


def shield(script, *options, **how):
    """Starts `aiorun shield` below a stand-in: (stand-in, run)."""
    stand_in = StandIn()
    return stand_in, stand_in.start([BINARY, "shield", *options, "--", *victim(script)], **how)


def grant(stand_in, answer="ok"):
    """Answers the wrapper's request: its line, whose descriptor is the job's pidfd."""
    channel = stand_in.attached()
    line = channel.line()
    channel.say(answer)
    return line


def shielded(script, *options, **how):
    """A job that runs behind its shield."""
    stand_in, run = shield(script, *options, **how)
    grant(stand_in)
    return run


def pid_of(pidfd):
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pid":
            return int(value)
    return None


def got(run):
    """The signals that a job with `report all` got."""
    return re.findall(r"^got (\S+)", run.out, re.M)


# ---- the verbs of one line ----

@cases((("ready",), "ready"), (("extend", "10"), "extend 10"), (("extend", "1.5s"), "extend 1.5"),
       (("extend", "2m"), "extend 120"), (("extend", "250ms"), "extend 0.25"),
       (("extend", "infinity"), "extend infinity"), (("shutdown",), "shutdown"),
       (("shutdown", "0"), "shutdown 0"), (("shutdown", "255"), "shutdown 255"),
       (("ready", "--"), "ready"), (("shutdown", "--", "3"), "shutdown 3"))
def test_says_its_line_and_nothing_else(words, line):
    stand_in = StandIn()
    run = stand_in.start([BINARY, *words])
    run.end(0)
    equal((run.out, run.err), ("", ""), "output and errors")
    equal(stand_in.line(), line, "what is said")
    stand_in.leave()
    stand_in.eof()


@cases((("ready", "now"), "'now'"), (("extend",), "D is missing"), (("extend", "soon"), "'soon'"),
       (("extend", "1", "2"), "'2'"), (("extend", "-1"), "-1"), (("shutdown", "256"), "'256'"),
       (("shutdown", "x"), "'x'"), (("shutdown", "1", "2"), "'2'"), (("ready", "--now"), "--now"),
       (("shield",), "COMMAND"), (("shield", "--"), "COMMAND"), (("shield", "true"), "'--'"),
       (("shield", "--deadline", "x", "--", "true"), "'x'"),
       (("shield", "--deadline"), "its argument D"), (("shield", "--wait", "--", "true"), "--wait"),
       (("shield", "--name", "a b", "--", "true"), "'a b'"),
       (("shield", "--name=", "--", "true"), "''"),
       (("shield", "--name", "x" * 64, "--", "true"), "xxx"), (("submit", "true"), "'--'"),
       (("submit", "--wait=yes", "--", "true"), "no argument"),
       (("submit", "--name", "a/b", "--", "true"), "'a/b'"), (("submit", "-w", "--", "true"), "-w"))
def test_a_mistake_is_one_sentence_and_nothing_is_said(words, told):
    stand_in = StandIn()
    run = stand_in.start([BINARY, *words])
    run.end(125)
    equal(run.out, "", "output")
    equal(run.err.count("\n"), 1, "lines of complaint")
    check(run.err.startswith(f"aiorun: error: verb {words[0]}: ") and told in run.err, run.err)
    stand_in.leave()
    stand_in.eof()


@cases(("ready",), ("extend", "1"), ("shutdown",), ("submit", "--", "true"))
def test_without_an_aiorun(*words):
    run = Run([BINARY, *words])
    run.end(125)
    check(NO_AIORUN in run.err and run.err.count("\n") == 1, run.err)


@cases(("ready",), ("extend", "1"), ("shutdown",), ("submit", "--", "true"))
def test_a_descriptor_that_was_reused_is_left_alone(*words):
    stand_in = StandIn()
    with open("lock", "w+") as lock:
        os.dup2(lock.fileno(), stand_in.fd)
        run = stand_in.start([BINARY, *words])
        run.end(125)
    check(f"descriptor {stand_in.fd} is not the control pipe" in run.err, run.err)
    equal(Path("lock").read_text(), "", "the file that has its number now")
    stand_in.leave()
    stand_in.eof()


@cases(("ready",), ("extend", "1"), ("shutdown",), ("shield", "--", "true"),
       ("submit", "--", "true"))
def test_without_a_supervisor_left(*words):
    stand_in = StandIn()
    stand_in.close()
    run = stand_in.start([BINARY, *words])
    run.end(125)
    check(GONE in run.err and run.err.count("\n") == 1, run.err)


def test_a_full_pipe_is_waited_for():
    stand_in = StandIn()
    filler = socket.socket(fileno=os.dup(stand_in.fd))
    filler.setblocking(False)
    count = 0
    try:
        while True:
            count += filler.send(b"watchdog\n" * 100)
    except BlockingIOError:
        pass
    filler.setblocking(True)
    filler.close()
    run = stand_in.start([BINARY, "ready"])
    until(lambda: state(run.pid) == "S", "it waits")
    check(not run.ended(), "it does not wait")
    while (line := stand_in.line()) == "watchdog":
        pass
    equal(line, "ready", "the line behind the others")
    run.end(0)


@cases("ready", "extend", "shield", "submit", "shutdown")
def test_help_of_a_verb(verb):
    by_help = Run([BINARY, "help", verb])
    by_help.end(0)
    check(by_help.out.startswith(f"Usage: aiorun {verb}"), by_help.out)
    by_option = Run([BINARY, verb, "--help"])
    by_option.end(0)
    equal((by_option.out, by_option.err), (by_help.out, ""), "aiorun VERB --help")


def test_called_as_another_it_has_no_verbs():
    os.symlink(BINARY, "tini")
    os.mkdir("bin")
    Path("bin/ready").write_text("#!/bin/sh\necho a command\n")
    os.chmod("bin/ready", 0o755)
    run = Run(["./tini", "ready"], env={"PATH": f"{os.getcwd()}/bin:{os.environ['PATH']}"})
    run.end(0)
    equal(run.out, "a command\n", "output")


# ---- shield: the request ----

def test_the_job_is_named_and_its_pidfd_is_real():
    stand_in, run = shield("print pids exit 0")
    line = grant(stand_in)
    equal(line, "job victim", "the request")
    equal(len(line.fds), 1, "descriptors")
    job = run.pids()["pid"]
    run.end(0)
    check(select.select(line.fds, [], [], 10)[0], "the pidfd does not tell of the job's end")
    check(job != run.pid, "the job is the wrapper")


def test_the_pidfd_is_the_jobs():
    stand_in, run = shield("print pids on USR1 [ exit 3 ] say ready pause")
    line = grant(stand_in)
    job = run.pids()["pid"]
    run.line("ready")
    equal(pid_of(line.fds[0]), job, "the pidfd's process")
    signal.pidfd_send_signal(line.fds[0], signal.SIGUSR1)
    run.end(3)


@cases(("true", "true"), ("./with blank", "with_blank"), ("/bin/a+b", "a_b"), ("ä", "__"),
       ("x" * 70, "x" * 63), ("dir/", "_"))
def test_default_name(command, name):
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", command])
    equal(grant(stand_in, "error not today"), f"job {name}", "the request")
    run.end(125)


@cases((("--name", "upload"), "job upload"), (("--name=a.b-c_d",), "job a.b-c_d"),
       (("--deadline", "10"), "job victim 10"), (("--deadline=1m",), "job victim 60"),
       (("--deadline", "0.5s", "--name", "x"), "job x 0.5"),
       (("--deadline", "infinity"), "job victim infinity"))
def test_options_of_a_shield(options, line):
    stand_in, run = shield("exit 0", *options)
    equal(grant(stand_in), line, "the request")
    run.end(0)


def test_the_job_waits_for_its_shield():
    """Nothing of the command runs before the supervisor has said ok; its session is there."""
    stand_in, run = shield("append ran yes")
    channel = stand_in.attached()
    line = channel.line()
    job = pid_of(line.fds[0])
    equal(os.getsid(job), job, "the job's session")
    equal(os.readlink(f"/proc/{job}/exe"), os.path.realpath(BINARY), "what the job is so far")
    check(not Path("ran").exists(), "the job runs before its shield stands")
    channel.say("ok")
    run.end(0)
    check(Path("ran").exists(), "the job did not run")


def test_refused():
    stand_in, run = shield("append ran yes")
    line = grant(stand_in, "error the table of shields is full")
    run.end(125)
    equal(run.err, "aiorun: error: verb shield: the supervisor refuses: the table of shields is "
                   "full\n", "errors")
    check(not Path("ran").exists(), "the job ran")
    expect_gone(pid_of(line.fds[0]) or 1 << 30)


def test_attaching_refused():
    stand_in, run = shield("append ran yes")
    stand_in.attached("error too many channels")
    run.end(125)
    check("too many channels" in run.err and run.err.count("\n") == 1, run.err)
    check(not Path("ran").exists(), "the job ran")


@cases("before ok", "before attached")
def test_channel_closed(when):
    stand_in, run = shield("append ran yes")
    channel = stand_in.attached("ok 1" if when == "before ok" else None)
    if when == "before ok":
        channel.line()
    channel.close()
    run.end(125)
    check(GONE in run.err and run.err.count("\n") == 1, run.err)
    check(not Path("ran").exists(), "the job ran")


def test_answers_of_a_later_protocol_are_passed_over():
    stand_in, run = shield("exit 4")
    channel = stand_in.attached("news of tomorrow\n" + "x" * 3000 + "\nok 2 and more")
    channel.line()
    channel.say("ok sure")
    run.end(4)


def test_without_an_aiorun_it_runs_without_a_shield():
    run = Run([BINARY, "shield", "--", *victim("print pids exit 3")])
    run.end(3)
    job = run.pids()
    equal(job["sid"], job["pid"], "the job's session")
    check(NO_AIORUN in run.err and run.err.count("\n") == 1, run.err)
    check(run.err.startswith("aiorun: warning: "), run.err)


def test_with_a_reused_descriptor_it_runs_without_a_shield():
    stand_in = StandIn()
    with open("lock", "w+") as lock:
        os.dup2(lock.fileno(), stand_in.fd)
        run = stand_in.start([BINARY, "shield", "--", *victim("exit 3")])
        run.end(3)
    equal(Path("lock").read_text(), "", "the file that has its number now")
    check(run.err.startswith("aiorun: warning: "), run.err)


# ---- shield: transparency ----

@cases(0, 1, 125, 255)
def test_shield_exits_as_its_job(status):
    run = shielded(f"exit {status}")
    run.end(status)
    equal((run.out, run.err), ("", ""), "output and errors")


@cases("KILL", "TERM", "SEGV", "USR1", "PIPE", "RTMIN+5")
def test_shield_dies_of_the_signal_its_job_died_of(name):
    shielded(f"kill self {name}").end(name)


def test_only_the_job_dumps_core():
    def allow_core():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    os.mkdir("job")
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", "sh", "-c", "cd job; kill -SEGV $$"],
                         before=allow_core)
    grant(stand_in)
    run.end("SEGV")
    equal(list(Path().glob("core*")), [], "the wrapper's core files")


@cases(("no-such-command", 127, "no such command in PATH"), ("/no/such", 127, "/no/such"),
       ("/etc/passwd", 126, "/etc/passwd"), ("/", 126, "'/'"))
def test_a_command_that_cannot_run(command, status, told):
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", command])
    grant(stand_in)
    run.end(status)
    check(told in run.err and run.err.count("\n") == 1, run.err)


@cases("./script", "script")
def test_a_script_without_a_first_line_is_no_program(name):
    """Nobody guesses a shell: neither for a shield's command nor for aiorun's own."""
    Path("script").write_text("echo run by a shell\n")
    Path("script").chmod(0o755)
    env = {"PATH": f"/no/such:{os.getcwd()}:{os.environ['PATH']}"}
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", name], env=env)
    grant(stand_in)
    for run in run, Run([BINARY, "--", name], env=env):
        run.end(126)
        check("no script, which would begin with '#!'" in run.err and run.out == "",
              run.err + run.out)


@cases(first="first:second", second="none:second", here="none:", blocked="none:blocked:second")
def test_a_command_is_looked_for_in_path(path):
    for place in "first", "second", "blocked", ".":
        os.makedirs(place, exist_ok=True)
        script = Path(place, "tool")
        script.write_text(f"#!/bin/sh\necho from {place}\n")
        script.chmod(0o644 if place == "blocked" else 0o755)
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", "tool"], env={"PATH": path})
    grant(stand_in)
    run.end(0)
    wanted = {"first:second": "first", "none:": "."}.get(path, "second")
    equal(run.out, f"from {wanted}\n", "which one")


def test_input_and_output_pass_through_a_shield():
    data = os.urandom(1 << 20)
    Path("data").write_bytes(data)
    stand_in = StandIn()
    with open("data", "rb") as source, open("copy", "wb") as copy:
        run = stand_in.start([BINARY, "shield", "--", "cat"], stdin=source, stdout=copy)
        grant(stand_in)
        run.end(0)
    equal(Path("copy").read_bytes() == data, True, "the copy is the data")


def test_a_reader_sees_the_end_when_the_job_closes_its_output():
    run = shielded("close 1 on USR1 [ exit 0 ] append ready yes pause")
    run.eof()
    until(lambda: Path("ready").exists(), "the job is ready")
    check(not run.ended(), "the wrapper has ended")
    run.send("USR1")
    run.end(0)


@cases(*(f"{n:03b}" for n in range(8)))
def test_closed_standard_streams_stay_closed(bits):
    closed = {fd for fd in range(3) if bits[fd] == "1"}

    def close():
        for fd in closed:
            os.close(fd)
    stand_in, run = shield("on USR1 [ exit 4 ] append ready yes pause", before=close)
    job = pid_of(grant(stand_in).fds[0])
    until(lambda: Path("ready").exists() and state(job) == "S", "the job is ready")
    got = {int(fd) for fd in os.listdir(f"/proc/{job}/fd")}
    equal(got, {0, 1, 2, stand_in.fd} - closed, "the job's descriptors")
    run.send("USR1")
    run.end(4)


def test_the_job_gets_no_descriptor_of_the_verb():
    stand_in, run = shield("print fds")
    grant(stand_in)
    run.end(0)
    got = sorted(int(line.split(" ")[1]) for line in run.out.splitlines())
    equal(got, sorted({0, 1, 2, stand_in.fd}), "the job's descriptors")


def test_the_channel_is_closed_once_the_shield_stands():
    stand_in, run = shield("on USR1 [ exit 0 ] say ready pause")
    channel = stand_in.attached()
    channel.line()
    channel.say("ok")
    run.line("ready")
    channel.eof()
    check(not run.ended(), "the wrapper has ended")
    run.send("USR1")
    run.end(0)


def test_arguments_arrive_byte_for_byte():
    odd = ["", " ", "-v", "--", "--help", "a\tb\nc", "ä", b"\xff\x80", "*", "$HOME", "\\", "'\""]
    stand_in = StandIn()
    run = stand_in.start([BINARY, "shield", "--", *victim("print argv exit 0"), *odd])
    grant(stand_in)
    run.end(0)
    shown = [line[4:] for line in run.out.splitlines()][5:]
    equal(shown, [escaped(word) for word in odd], "arguments")


def test_the_environment_is_the_wrappers():
    """The control pipe, too: the job may speak to the supervisor."""
    stand_in, run = shield("print env", env={"A B": "c=d"})
    grant(stand_in)
    run.end(0)
    shown = set(run.out.splitlines())
    check("env A B=c=d" in shown, "a variable of the caller is missing")
    for name, value in stand_in.environment.items():
        check(f"env {name}={value}" in shown, f"{name} is missing")


# ---- shield: signals ----

@cases("INT", "TERM", "HUP", "QUIT")
def test_ends_the_wrapper_at_once_and_not_the_job(name):
    run = shielded("report all on USR1 [ say done exit 0 ] print pids say ready pause")
    job = run.pids()["pid"]
    run.line("ready")
    run.send(name)
    equal(run.end(name, left=1), [job], "what is left")
    check(alive(job), "the job has ended, too")
    kill(job, "USR1")
    run.line("done")
    equal(got(run), ["USR1"], "signals the job got")
    put_down(job)


@cases("INT", "TERM", "HUP", "QUIT")
def test_a_signal_that_was_ignored_stays_ignored(name):
    run = shielded("on USR1 [ exit 5 ] say ready pause",
                   before=lambda: signal.signal(sig(name), signal.SIG_IGN))
    run.line("ready")
    run.send(name)
    run.send("USR1")
    run.end(5)


@cases("USR1", "USR2", "WINCH", "ALRM", "PIPE", "URG", "XCPU", "PROF", "POLL", "PWR", "SEGV",
       "ABRT", "RTMIN", "RTMAX")
def test_is_passed_on_to_the_job(name):
    run = shielded("report all on RTMIN+9 [ exit 0 ] say ready pause")
    run.line("ready")
    run.send(name)
    equal(run.line(r"^got (\S+)").group(1), name, "the signal")
    run.send("RTMIN+9")
    run.end(0)
    equal(got(run), [name, "RTMIN+9"], "signals the job got")


def test_a_complaint_that_nobody_reads_is_no_signal_for_the_job():
    """The warning breaks the pipe: the SIGPIPE is the verb's own."""
    reading, writing = os.pipe()
    os.close(reading)
    run = Run([BINARY, "shield", "--", *victim("report all on USR1 [ exit 0 ] say ready pause")],
              stderr=writing)
    run.line("ready")
    run.send("USR1")
    run.end(0)
    equal(got(run), ["USR1"], "signals the job got")


def test_a_full_stderr_does_not_keep_the_job_from_running():
    reading, writing, _ = fill_pipe()
    run = Run([BINARY, "shield", "--", *victim("exit 3")], stderr=writing)
    run.end(3)
    os.close(reading)


def test_values_and_order_are_kept():
    run = shielded("report RTMIN+1 on RTMIN+2 [ exit 0 ] say ready pause")
    run.line("ready")
    for value in range(200):
        sigqueue(run.pid, "RTMIN+1", value)
    values = [int(run.line(r"^got RTMIN\+1 code=-1 value=(-?\d+)").group(1)) for _ in range(200)]
    equal(values, list(range(200)), "values")
    run.send("RTMIN+2")
    run.end(0)


def test_signals_before_the_job_runs_reach_it():
    """None is lost between the start and the ok: they wait for the job."""
    def block():  # in the job, too, until it takes it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    stand_in, run = shield("report all on RTMIN+2 [ exit 0 ] say ready pause", before=block)
    channel = stand_in.attached()
    channel.line()
    sigqueue(run.pid, "USR1", 7)
    channel.say("ok")
    run.line("^got USR1 code=-1 value=7 ")
    run.send("RTMIN+2")
    run.end(0)


@cases("attach", "job")
def test_a_signal_ends_the_wrapper_while_the_supervisor_does_not_answer(when):
    stand_in, run = shield("append ran yes")
    channel = stand_in.attached("ok 1" if when == "job" else None)
    if when == "job":
        channel.line()
    run.send("TERM")
    run.wait()
    equal(run.status, -sig("TERM"), "status")
    for pid in run.left:  # the job, which was never told to go
        os.waitpid(pid, 0)
    check(not Path("ran").exists(), "the job ran")


def test_dispositions_and_mask_are_given_back():
    def change():
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGWINCH, signal.SIGRTMIN})
    run = shielded("cat /proc/self/status exit 3", before=change)
    run.end(3)
    shown = dict(line.partition(":\t")[::2] for line in run.out.splitlines())
    inherited = dict(line.partition(":\t")[::2] for line in
                     Path("/proc/self/status").read_text().splitlines())
    # Python sets these two back for its children.
    inherited = signals_in(inherited["SigIgn"]) - {"PIPE", "XFSZ"}
    equal(signals_in(shown["SigIgn"]), {"USR2", "CHLD"} | inherited, "ignored")
    equal(signals_in(shown["SigBlk"]), {"WINCH", "RTMIN"}, "blocked")
    equal(signals_in(shown["SigPnd"]), set(), "pending")


@cases("TSTP", "TTIN", "TTOU", "STOP")
def test_stopping_the_wrapper_does_not_stop_the_job(name):
    """Job control sees the wrapper alone; continued, it is there again."""
    run = shielded("report TSTP report CONT on USR1 [ say alive ] on USR2 [ exit 6 ] print pids say ready pause",
                   group=0)  # not orphaned: its parent is in another group of the session
    job = run.pids()["pid"]
    run.line("ready")
    run.send(name)
    until(lambda: state(run.pid) == "T", "the wrapper stops")
    kill(job, "USR1")
    run.line("alive")
    run.send("CONT")
    until(lambda: state(run.pid) == "S", "the wrapper goes on")
    run.send("USR2")
    run.end(6)
    equal(got(run), [], "signals the job got")


def test_killing_the_wrapper_leaves_the_job():
    run = shielded("on USR1 [ say done exit 0 ] print pids say ready pause")
    job = run.pids()["pid"]
    run.line("ready")
    run.send("KILL")
    equal(run.end("KILL", left=1), [job], "what is left")
    kill(job, "USR1")
    run.line("done")
    put_down(job)


def test_killing_the_wrapper_early_leaves_no_job():
    stand_in, run = shield("append ran yes")
    channel = stand_in.attached()
    line = channel.line()
    job = pid_of(line.fds[0])
    run.send("KILL")
    run.wait()
    for pid in run.left:
        os.waitpid(pid, 0)
    expect_gone(job)
    check(not Path("ran").exists(), "the job ran")


def test_a_signal_to_the_callers_group_does_not_reach_the_job():
    run = shielded("report all on USR1 [ exit 0 ] print pids say ready pause", group=0)
    job = run.pids()
    run.line("ready")
    equal((job["sid"], job["pgid"]), (job["pid"],) * 2, "the job's session and group")
    os.killpg(run.pid, sig("INT"))
    run.end("INT", left=1)
    check(alive(job["pid"]), "the job has ended, too")
    put_down(job["pid"])


# ---- shield: on a terminal ----

def test_a_terminal_as_input_becomes_null():
    stand_in = StandIn()
    run = Terminal([BINARY, "shield", "--", *victim("print fds print pids read exit 0")],
                   wrapped=False, env={**stand_in.environment}, fds=(stand_in.fd,))
    grant(stand_in)
    run.expect("fd 0 /dev/null")
    run.expect("fd 1 /dev/pts")
    run.expect("read 0 bytes")
    run.end(0)


def test_keys_end_the_wrapper_and_not_the_job():
    stand_in = StandIn()
    run = Terminal([BINARY, "shield", "--", *victim("report all on USR1 [ say done exit 0 ] "
                                                    "print pids say ready pause")],
                   wrapped=False, env={**stand_in.environment}, fds=(stand_in.fd,))
    grant(stand_in)
    job = int(run.expect(r"pids pid=(\d+)").group(1))
    run.expect("ready")
    run.ctrl("C")
    equal(run.end("INT", left=1), [job], "what is left")
    kill(job, "USR1")
    run.expect("done")
    equal(got(run), ["USR1"], "signals the job got")
    put_down(job)


# ---- submit ----

def submit(*words, **how):
    stand_in = StandIn()
    return stand_in, stand_in.start([BINARY, "submit", *words], **how)


def request_of(fd):
    """(cwd, argv, environment) of a request, read as the supervisor does."""
    data = os.pread(fd, 5 << 20, 0)
    equal(data[-1:], b"\0", "the request's last byte")
    strings = data[:-1].split(b"\0")
    count = int(strings[1])
    return strings[0], strings[2:2 + count], strings[2 + count:]


def test_a_request_holds_arguments_environment_and_directory():
    odd = ["sh", "", " ", "-c", "a\tb\nc", "ä", b"\xff\x80"]
    os.mkdir("here")
    stand_in, run = submit("--", *odd, cwd="here", env={"ODD": "a=b\n\udcff", "EMPTY": ""})
    channel = stand_in.attached()
    line = channel.line()
    equal(line, "submit sh", "the request")
    equal(len(line.fds), 4, "descriptors")
    cwd, argv, environment = request_of(line.fds[0])
    equal(cwd.decode(), os.path.realpath("here"), "the directory")
    equal(argv, [os.fsencode(word) for word in odd], "the arguments")
    check(b"ODD=a=b\n\xff" in environment and b"EMPTY=" in environment, "the environment")
    channel.say("ok")
    run.end(0)
    equal((run.out, run.err), ("", ""), "output and errors")


def test_a_request_cannot_be_changed_any_more():
    stand_in, run = submit("--", "true")
    channel = stand_in.attached()
    request = channel.line().fds[0]
    try:
        os.pwrite(request, b"x", 0)
        changed = True
    except PermissionError:
        changed = False
    check(not changed, "the request can be written to")
    channel.say("ok")
    run.end(0)


def test_the_streams_are_the_verbs():
    with open("input", "w+") as source, open("output", "w") as out, open("errors", "w") as err:
        stand_in, run = submit("--name", "x", "--", "true", stdin=source, stdout=out, stderr=err)
        channel = stand_in.attached()
        line = channel.line()
        equal(line, "submit x", "the request")
        got = [os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) for fd in line.fds[1:]]
        equal(got, ["input", "output", "errors"], "the streams")
        channel.say("ok")
        run.end(0)


@cases(*(f"{n:03b}" for n in range(1, 8)))
def test_closed_streams_become_null(bits):
    closed = [fd for fd in range(3) if bits[fd] == "1"]

    def close():
        for fd in closed:
            os.close(fd)
    stand_in, run = submit("--", "true", before=close)
    channel = stand_in.attached()
    line = channel.line()
    for fd in closed:
        equal(os.readlink(f"/proc/self/fd/{line.fds[1 + fd]}"), "/dev/null", f"stream {fd}")
    equal(len(line.fds), 4, "descriptors")
    channel.say("ok")
    run.end(0)


@cases(("exited 0", 0), ("exited 7", 7), ("exited 255", 255), ("killed 9", "KILL"),
       ("killed 15", "TERM"), ("killed 11", "SEGV"), ("killed 64", "RTMAX"), ("killed 100", 228),
       ("failed 125", 125), ("failed 126", 126), ("failed 127", 127), ("dropped", 125))
def test_waits_for_the_job_and_ends_as_it_did(ending, status):
    stand_in, run = submit("--wait", "--name", "job1", "--", "true")
    channel = stand_in.attached()
    equal(channel.line(), "submit job1 wait", "the request")
    channel.say("ok\nended " + ending)  # in one piece
    run.end(status)
    told = ending.split()[0] in ("failed", "dropped")
    equal(run.err.count("\n"), int(told), "lines of complaint")


def test_waits_until_the_job_has_ended():
    stand_in, run = submit("--wait", "--", "true")
    channel = stand_in.attached()
    channel.line()
    channel.say("ok")
    until(lambda: state(run.pid) == "S", "it waits")
    check(not run.ended(), "it does not wait")
    channel.say("ended exited 3")
    run.end(3)


def test_a_supervisor_that_goes_while_we_wait():
    stand_in, run = submit("--wait", "--", "true")
    channel = stand_in.attached()
    channel.line()
    channel.say("ok")
    channel.close()
    run.end(125)
    check(GONE in run.err and run.err.count("\n") == 1, run.err)


def test_submission_refused():
    stand_in, run = submit("--", "true")
    channel = stand_in.attached()
    channel.line()
    channel.say("error the queue is full")
    run.end(125)
    equal(run.err, "aiorun: error: verb submit: the supervisor refuses: the queue is full\n",
          "errors")


def test_a_request_that_is_too_large_is_refused():
    """More than 4 MiB: the kernel takes arguments up to a quarter of the stack's limit."""
    def more_stack():
        resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY,) * 2)
    stand_in, run = submit("--", "true", *(["x" * 100_000] * 45), before=more_stack)
    run.end(125)
    check("4194304 are allowed" in run.err and run.err.count("\n") == 1, run.err)
    stand_in.leave()
    stand_in.eof()


def test_a_directory_that_is_gone_is_told():
    os.mkdir("gone")
    stand_in, run = submit("--", "true", cwd="gone", before=lambda: os.rmdir("../gone"))
    run.end(125)
    check("directory" in run.err and run.err.count("\n") == 1, run.err)
