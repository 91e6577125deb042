"""As if aiorun were not there: status, output, environment, descriptors, signals given back."""
import fcntl
import os
import resource
import select
import signal
import subprocess
from pathlib import Path

from harness import (BINARY, VICTIM, Run, aiorun, alive, cases, check, equal, escaped, launch,
                     needs, pid1, put_down, runc, shell, sig, signals_in, state, status_field,
                     until, victim, wrapped)

# A command's signals that a launcher might forget to give back; KILL and STOP cannot be changed.
CATCHABLE = sorted(set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})
DEADLY = ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
          "PIPE", "ALRM", "TERM", "STKFLT", "XCPU", "XFSZ", "VTALRM", "PROF", "POLL", "PWR", "SYS",
          "RTMIN", "RTMIN+15", "RTMAX")


# ---- status ----

def test_every_exit_status_is_the_commands():
    for status in range(256):
        launch(f"exit {status}").end(status)


@cases(*DEADLY)
def test_dies_of_the_signal_the_command_died_of(name):
    launch(f"kill self {name}").end(name)


@needs("root", "unshare")
@cases(*DEADLY)
def test_as_pid_1_exits_128_plus_the_signal_the_command_died_of(name):
    pid1("--", *victim(f"kill self {name}")).end(128 + sig(name))


@cases(0, 1, 42, 255)
@needs("root", "runc")
def test_in_a_container_the_status_is_the_commands(status):
    runc("--", *victim(f"exit {status}")).end(status)


def test_only_the_command_dumps_core():
    def allow_core():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    os.mkdir("command")
    launch("kill self SEGV", "--cwd", "command", before=allow_core).end("SEGV")
    equal(list(Path().glob("core*")), [], "aiorun's core files")


# ---- stdio ----

def test_input_and_output_pass_through():
    data = os.urandom(1 << 20)
    Path("data").write_bytes(data)
    with open("data", "rb") as source, open("copy", "wb") as copy:
        aiorun("--", "cat", stdin=source, stdout=copy).end(0)
    equal(Path("copy").read_bytes() == data, True, "the copy is the data")


def test_works_within_a_pipeline():
    run = shell('printf "b\\na\\n" | "$AIORUN" -- sort | "$AIORUN" -- "$AIORUN" -- cat')
    run.end(0)
    equal((run.out, run.err), ("a\nb\n", ""), "output and errors")


@cases(0, 1)
def test_says_nothing_of_its_own(status):
    """A status is an answer, not a fault: `aiorun -- grep`."""
    run = launch(f"exit {status}")
    run.end(status)
    equal((run.out, run.err), ("", ""), "output and errors")


def test_stdout_is_the_commands_alone():
    """Even at its most talkative aiorun writes no byte into the command's data."""
    run = launch("say data", "-vvv")
    run.end(0)
    equal(run.out, "data\n", "output")
    check(run.err, "-vvv says nothing")


@cases(*(f"{n:03b}" for n in range(8)))
def test_closed_stdin_stdout_stderr(bits):
    """Any of 0, 1 and 2: none of our descriptors takes its place, and the end is the same."""
    closed = {fd for fd in range(3) if bits[fd] == "1"}

    def close():
        for fd in closed:
            os.close(fd)
    run = launch("on TERM [ exit 4 ] append ready yes pause", "-vvv", before=close)
    until(lambda: Path("ready").exists(), "the command is ready")
    command = run.command
    until(lambda: state(command) == "S", "the command waits")
    control = environment(command).get("AIORUN_CONTROL_FD")
    got = {int(fd) for fd in os.listdir(f"/proc/{command}/fd") if fd != control}
    equal(got, {0, 1, 2} - closed, "the command's descriptors")
    run.send("TERM")
    run.end(4)


# ---- environment, arguments, directory ----

def environment(pid):
    words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(word.partition("=")[::2] for word in words)


def test_environment_is_passed_on_as_it_is():
    """Same entries, same order, odd ones too; only AIORUN_OPT_* is removed."""
    wanted = {"PATH": "/usr/bin:/bin", "EMPTY": "", "TINI_SUBREAPER": "1", "AIORUN_PORT": "tcp://x",
              "A B": "c=d", "ÄÖ": "\udcff"}
    run = Run([BINARY, "--", *victim("print env")],
              only_env={**wanted, "AIORUN_OPT_VERBOSE": "0", "AIORUN_OPT_TIMEOUT": "5s"})
    run.end(0)
    equal(run.environment(),
          [escaped(f"{name}={value}") for name, value in wanted.items()], "the environment")


def test_empty_environment():
    run = Run([BINARY, "--", *victim("print env")], only_env={})
    run.end(0)
    equal(run.environment(), [], "the environment")


def test_option_from_the_environment_works_and_is_hidden():
    run = launch("print env exit 3", env={"AIORUN_OPT_SUCCESS_STATUS": "3"})
    run.end(0)
    check("AIORUN_OPT" not in run.out, "AIORUN_OPT_* reached the command")


def test_command_line_wins_over_the_environment():
    launch("exit 3", "--success-status", "4", env={"AIORUN_OPT_SUCCESS_STATUS": "3"}).end(3)


def test_arguments_arrive_byte_for_byte():
    odd = ["", " ", "-v", "--", "--help", "a\tb\nc", "ä", b"\xff\x80", "*", "$HOME", "\\", "'\"",
           "", "x" * 100000]
    run = aiorun("--", *victim("print argv exit 0"), *odd)
    run.end(0)
    shown = [line[4:] for line in run.out.splitlines()][5:]
    equal(shown, [escaped(word) for word in odd], "arguments")


def test_options_after_the_command_belong_to_it():
    run = aiorun("--", "echo", "--timeout", "x", "--", "-v")
    run.end(0)
    equal(run.out, "--timeout x -- -v\n", "output")


def test_argv_0_is_what_was_typed():
    os.symlink(VICTIM, "myname")
    run = aiorun("--", "./myname", "print", "argv")
    run.end(0)
    equal(run.out.splitlines()[0], "arg ./myname", "argv[0]")


def test_working_directory_and_umask_are_ours():
    os.mkdir("here")
    run = launch("print cwd cat /proc/self/status", cwd="here", before=lambda: os.umask(0o027))
    run.end(0)
    run.line(f"^cwd {os.getcwd()}/here$")
    run.line(r"^Umask:\s0027$")


def test_removed_working_directory_is_no_obstacle():
    os.mkdir("gone")
    run = launch("exit 3", cwd="gone", before=lambda: os.rmdir("../gone"))
    run.end(3)


# ---- descriptors ----

def descriptors(run):
    """{number: target} of `print fds`, without the control pipe."""
    lines = [line.split(" ", 2) for line in run.out.splitlines() if line.startswith("fd ")]
    control = [line[4:].partition("=")[2] for line in run.out.splitlines()
               if line.startswith("env AIORUN_CONTROL_FD=")]
    return {int(number): target for _, number, target in lines if number not in control}


def test_command_gets_none_of_our_descriptors():
    run = launch("print env print fds")
    run.end(0)
    equal(sorted(descriptors(run)), [0, 1, 2], "descriptors")


def test_restarted_command_and_hooks_get_none_of_our_descriptors():
    run = launch("print env print fds exit 1", "--restart", "on-failure", "--restart-limit", "3/1m",
                 "--restart-delay", "1ms..1ms",
                 "--shutdown-callback", "sh -c 'ls /proc/self/fd >fds'")
    run.end(1)
    equal(sorted(descriptors(run)), [0, 1, 2], "descriptors")
    check(len(Path("fds").read_text().split()) <= 4, "descriptors of the callback: "
          + Path("fds").read_text())


def test_inherited_descriptors_pass_through():
    """High and low ones, and their close-on-exec flag stays off."""
    reading, writing = os.pipe()
    high = fcntl.fcntl(writing, fcntl.F_DUPFD, 100)
    run = launch("print env print fds", fds=(reading, writing, high))
    os.close(writing), os.close(high)
    run.end(0)
    equal(sorted(descriptors(run)), sorted([0, 1, 2, reading, writing, high]), "descriptors")


def test_reader_of_an_inherited_pipe_sees_its_end():
    """aiorun keeps no copy: when the command closes it, it is closed."""
    reading, writing = os.pipe()
    run = launch(f"close {writing} say closed pause", fds=(writing,))
    os.close(writing)
    run.line("closed")
    check(select.select([reading], [], [], 10)[0], "the pipe is still open somewhere")
    equal(os.read(reading, 1), b"", "what the pipe gives")
    run.send("TERM")
    run.end("TERM")


def test_reader_of_stdout_sees_its_end_while_the_command_lives():
    run = launch("close 1 pause")
    run.eof("out")
    run.send("TERM")
    run.end("TERM")


def test_writer_of_stdin_gets_epipe_while_the_command_lives():
    reading, writing = os.pipe()
    run = launch("close 0 say closed pause", stdin=reading)
    os.close(reading)
    run.line("closed")

    def broken():
        try:
            os.write(writing, b"x")
        except BrokenPipeError:
            return True
    until(broken, "the writer gets EPIPE")
    run.send("TERM")
    run.end("TERM")


def test_flags_of_inherited_descriptors_stay():
    """O_NONBLOCK on a shared description would break the command and the shell."""
    ends = [*os.pipe(), *os.pipe()]
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends]
    run = launch("say ready pause", "-vv", stdin=ends[0], stderr=ends[3])
    run.line("ready")
    equal([fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends], before, "flags while it runs")
    run.send("TERM")
    run.end("TERM")
    equal([fcntl.fcntl(fd, fcntl.F_GETFL) for fd in ends], before, "flags afterwards")


# ---- signals given back ----

def dispositions(before=None):
    run = launch("cat /proc/self/status", before=before)
    run.end(0)
    fields = dict(line.split(":", 1) for line in run.out.splitlines())
    found = {key: signals_in(fields[key]) for key in ("SigBlk", "SigIgn", "SigCgt")}
    # The two signals below RTMIN are the C library's: we cannot set them, but may have inherited
    # them ignored, and then the command must have too.
    ours = {name for name in signals_in(status_field(os.getpid(), "SigIgn")) if "RTMIN+-" in name}
    check(ours <= found["SigIgn"], "what the tests' own parent ignored is not ignored any more")
    found["SigIgn"] -= ours
    return found


def test_command_starts_with_default_signals():
    equal(dispositions(), {"SigBlk": set(), "SigIgn": set(), "SigCgt": set()}, "signals")


def test_ignored_signals_stay_ignored():
    names = ("HUP", "INT", "QUIT", "CHLD", "PIPE", "USR1", "TSTP", "TTIN", "TTOU", "CONT",
             "RTMIN+3")

    def ignore():
        for name in names:
            signal.signal(sig(name), signal.SIG_IGN)
    equal(dispositions(ignore), {"SigBlk": set(), "SigIgn": set(names), "SigCgt": set()}, "signals")


def test_blocked_signals_stay_blocked():
    names = ("HUP", "INT", "TERM", "CHLD", "PIPE", "USR1", "TSTP", "RTMIN+3")
    blocked = dispositions(
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {sig(name) for name in names}))
    equal(blocked, {"SigBlk": set(names), "SigIgn": set(), "SigCgt": set()}, "signals")


def test_everything_blocked_and_ignored_still_works():
    def all_of_them():
        for number in CATCHABLE:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, CATCHABLE)
    launch("exit 7", before=all_of_them).end(7)


def test_nohup_survives_hup_and_ends_on_term():
    run = wrapped(["nohup"], "--", *victim("say ready pause"))
    run.line("ready")
    run.send("HUP")
    run.send("HUP")
    run.send("TERM")
    run.end("TERM")


def test_int_ignored_at_start_starts_no_shutdown():
    """As in `aiorun -- cmd &` in a script."""
    run = launch("report USR1 say ready pause",
                 before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    run.line("ready")
    run.send("INT")
    run.send("USR1")
    run.line("got USR1")
    check(not run.ended(), "INT ended it")
    run.send("TERM")
    run.end("TERM")


def test_blocked_usr1_reaches_the_command_when_it_unblocks_it():
    run = launch("say ready read unblock USR1 pause", stdin=subprocess.PIPE,
                 before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1}))
    run.line("ready")
    run.send("USR1")
    command = run.command
    until(lambda: "USR1" in signals_in(status_field(command, "ShdPnd")),
          "USR1 is pending for the command")
    run.process.stdin.close()
    run.end("USR1")


# ---- process relations ----

def test_command_is_our_child():
    run = launch("print pids")
    pids = run.pids()
    run.end(0)
    equal(pids["ppid"], run.pid, "the command's parent")


def test_without_a_terminal_the_command_has_a_session_of_its_own():
    run = launch("print pids")
    pids = run.pids()
    run.end(0)
    equal((pids["pgid"], pids["sid"]), (pids["pid"],) * 2, "group and session")


def test_process_limits_and_priority_are_ours():
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (77, 99))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
        os.nice(3)
    run = launch("cat /proc/self/limits cat /proc/self/stat", before=lower)
    run.end(0)
    run.line(r"Max core file size\s+0\s+4096 ")
    run.line(r"Max open files\s+77\s+99 ")
    equal(int(run.line(r"\) (.*)").group(1).split()[16]), min(os.nice(0) + 3, 19), "nice")


def test_a_launcher_in_a_launcher_in_a_launcher():
    launch("exit 9", "--", BINARY, "--", BINARY).end(9)
    run = launch("on TERM [ exit 8 ] say ready pause", "--", BINARY, "--", BINARY)
    run.line("ready")
    run.send("TERM")
    run.end(8)


def test_a_fast_command_does_not_race():
    for _ in range(200):
        launch("exit 1").end(1)


def test_command_outlives_us_without_a_worker_death_signal():
    run = launch("say ready pause", "--worker-death-signal", "none")
    run.line("ready")
    run.send("KILL")
    left = run.end("KILL", left=1)
    check(alive(left[0]), "the command died")
    put_down(left[0])
