"""When things go wrong: bad command lines, commands that cannot start, nothing to work with."""
import fcntl
import os
import re
import resource
import select
import signal
from pathlib import Path

from harness import (BINARY, VICTIM, Run, aiorun, cases, check, equal, fill_pipe, launch, needs,
                     put_down, victim, wrapped)

# ---- commands that do not start ----


def one_line(run, *words):
    """Exactly one line on stderr, with these words, and nothing on stdout."""
    equal(run.out, "", "output")
    equal(len(run.err.splitlines()), 1, f"lines on stderr: {run.err!r}; their number")
    for word in words:
        check(word in run.err, f"{word!r} is not in {run.err!r}")


def test_not_found_is_127():
    for name in ("nosuchcommand", "./nosuchcommand", "/no/such/command"):
        run = aiorun("--", name)
        run.end(127)
        one_line(run, name)


def test_empty_command_name_is_127():
    run = aiorun("--", "")
    run.end(127)
    one_line(run)


def script(name, content, mode):
    Path(name).write_bytes(content)
    os.chmod(name, mode)
    return "./" + name


def test_not_executable_is_126():
    path = script("file", b"#!/bin/sh\n", 0o644)
    run = aiorun("--", path)
    run.end(126)
    one_line(run, path)


def test_directory_is_126():
    run = aiorun("--", "/usr")
    run.end(126)
    one_line(run, "/usr")


@cases(empty=b"", text=b"hello\n", elf=b"\x7fELF\x02\x01\x01garbage")
def test_not_a_program_is_126(content):
    """No shell is asked to try."""
    path = script("file", content, 0o755)
    run = aiorun("--", path)
    run.end(126)
    one_line(run, path)


def test_missing_interpreter_is_told():
    path = script("file", b"#!/no/such/interpreter\n", 0o755)
    run = aiorun("--", path)
    run.end(126, 127)
    one_line(run, path)


def test_path_component_that_is_no_directory():
    script("file", b"", 0o755)
    run = aiorun("--", "./file/x")
    run.end(126, 127)
    one_line(run)


def test_name_too_long():
    run = aiorun("--", "/" + "x" * 5000)
    run.end(126, 127)
    one_line(run)


def test_too_long_environment_is_126():
    Path("big").write_text("BIG=" + "x" * 200_000 + "\n")
    run = aiorun("--env-file", "big", "--", "true")
    run.end(126)
    one_line(run)


def test_busy_text_is_126():
    Path("program").write_bytes(Path(VICTIM).read_bytes())
    os.chmod("program", 0o755)
    with open("program", "r+b"):
        run = aiorun("--", "./program", "exit", "0")
        run.end(126)
        one_line(run, "program")


def test_path_search_goes_on_after_what_is_not_executable():
    os.mkdir("a"), os.mkdir("b")
    script("a/mytool", b"#!/bin/sh\nexit 1\n", 0o644)
    script("b/mytool", b"#!/bin/sh\nexit 5\n", 0o755)
    path = f"{os.getcwd()}/a:{os.getcwd()}/b:/nonexistent"
    aiorun("--", "mytool", env={"PATH": path}).end(5)
    run = aiorun("--", "mytool", env={"PATH": f"{os.getcwd()}/a:/nonexistent"})
    run.end(126)


def test_without_path_the_default_one_is_searched():
    Run([BINARY, "--", "true"], only_env={}).end(0)
    aiorun("--clear-env", "--", "true").end(0)


def test_callback_does_not_hide_that_the_command_did_not_start():
    aiorun("--shutdown-callback", "true", "--", "nosuchcommand").end(127)
    aiorun("--shutdown-callback", "sh -c 'exit 3'", "--", "nosuchcommand").end(127)


def test_forever_with_a_command_that_is_not_found():
    aiorun("--forever", "--stop-on-unhandled-errors", "--", "nosuchcommand").end(127)


# ---- resources ----

@needs("root", "setpriv", "prlimit")
def test_out_of_processes_is_125():
    uid = str(50000 + os.getpid() % 10000)
    run = wrapped(["prlimit", "--nproc=1", "setpriv", "--reuid", uid, "--regid", uid,
                   "--clear-groups"], "--", *victim("exit 3"))
    run.end(125)
    one_line(run)


def test_out_of_descriptors_is_125_or_works():
    """Whatever the limit, a sentence and 125, or all goes well."""
    worked = []
    for limit in range(3, 16):
        run = launch("exit 3", before=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (limit, limit)))
        if run.wait() == 127 and "shared librar" in run.err:
            continue  # the dynamic linker's own words
        run.end(3, 125)
        worked.append(run.status == 3)
        if run.status == 125:
            one_line(run)
    check(worked[-1], "15 descriptors are not enough")
    equal(worked, sorted(worked), "it works from one limit on")


def test_all_low_descriptors_taken():
    """Descriptors up to the limit are inherited: no room for ours."""
    while (fd := os.dup(0)) < 63:
        pass
    run = launch("exit 3", fds=range(3, 64), before=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (64, 64)))
    run.end(3, 125, 127)
    check(run.status == 3 or len(run.err.splitlines()) == 1, "no single sentence")


def test_little_memory():
    """A sentence, or it works: never a crash."""
    for kilobytes in range(500, 20_000, 1500):
        run = launch("exit 3", before=lambda: resource.setrlimit(
            resource.RLIMIT_AS, (kilobytes << 10, kilobytes << 10)))
        run.wait()
        if run.status in (-signal.SIGSEGV, -signal.SIGKILL) or "shared lib" in run.err:
            continue  # exec itself, or the dynamic linker: before us
        run.end(3, 125, 126, 127)


# ---- stderr ----

def talkative(**how):
    return launch("ignore TERM orphan 3 [ exit 1 ] report USR1 on INT [ exit 3 ] say ready pause",
                  "-vvv", "-w", **how)


def test_full_disk_behind_stderr_changes_nothing():
    with open("/dev/full", "w") as full:
        run = talkative(stderr=full)
        run.line("ready")
        run.send("INT")
        run.end(3)


def test_broken_pipe_behind_stderr_changes_nothing():
    reading, writing = os.pipe()
    run = talkative(stderr=writing)
    os.close(writing)
    os.close(reading)
    run.line("ready")
    run.send("USR1")
    run.line("got USR1")
    run.send("INT")
    run.end(3)


def test_broken_pipe_behind_stderr_is_no_busy_loop():
    reading, writing = os.pipe()
    run = talkative(stderr=writing)
    os.close(writing)
    os.close(reading)
    run.line("ready")
    for _ in range(10):
        run.send("USR1")
    run.line("got USR1")
    fields = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()
    check(int(fields[11]) + int(fields[12]) < 50, "half a second of CPU time")
    run.send("INT")
    run.end(3)


def test_full_pipe_that_nobody_reads_never_blocks():
    reading, writing, flags = fill_pipe()
    run = talkative(stderr=writing)
    run.line("ready")
    run.send("USR1")
    run.line("got USR1")
    equal(fcntl.fcntl(writing, fcntl.F_GETFL), flags, "flags of the shared pipe")
    run.send("INT")
    run.end(3)
    equal(fcntl.fcntl(writing, fcntl.F_GETFL), flags, "flags afterwards")


def test_full_pipe_does_not_block_an_error_before_the_start():
    reading, writing, _ = fill_pipe()
    aiorun("--", "/nonexistent", stderr=writing).end(127)
    aiorun("--nonsense", "--", "true", stderr=writing).end(125)


def test_lost_lines_are_owned_up_to():
    """When the pipe has room again, a line says how many were lost."""
    reading, writing, _ = fill_pipe()
    run = talkative(stderr=writing)
    run.line("ready")
    run.send("USR1")
    run.line("got USR1")
    text = b""
    while select.select([reading], [], [], 0)[0]:
        text += os.read(reading, 1 << 16)
    run.send("INT")
    run.end(3)
    os.close(writing)
    while data := os.read(reading, 1 << 16):
        text += data
    check(b"lost" in text or b"dropped" in text, text.lstrip(b"x").decode())


def test_lines_are_whole_with_a_slow_reader():
    """A pipe with little room: lines are dropped, never cut."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    run = launch("orphan 300 [ exit 1 ] say done pause", "-vvv", "-w", stderr=writing)
    run.line("done")
    os.close(writing)
    os.set_blocking(reading, False)
    text = os.read(reading, 1 << 16)
    for line in text.split(b"\n")[:-1]:
        check(b"aiorun" in line, f"line {line!r}")
    run.send("TERM")
    os.set_blocking(reading, True)
    while os.read(reading, 1 << 16):
        pass
    run.end("TERM")


# ---- the working directory ----

@needs("root", "setpriv")
def test_unreadable_working_directory_is_no_obstacle():
    os.mkdir("private", 0o700)
    run = wrapped(["setpriv", "--reuid", "40002", "--regid", "40002", "--clear-groups"],
                  "--", *victim("exit 3"), cwd="private")
    run.end(3)


# ---- what is asked for and cannot be had ----

@cases(user=("--user", "no-such-user"), group=("--group-name", "no-such-group"),
       usergroup=("--user", "root:no-such-group"), cwd=("--cwd", "/no/such/directory"),
       cwd_file=("--cwd", "/etc/passwd"), env_file=("--env-file", "/no/such/file"),
       env_directory=("--env-file", "/etc"))
def test_what_cannot_be_had_is_125(option, value):
    run = launch("append started yes", option, value)
    run.end(125)
    one_line(run, value.rpartition(":")[2])
    check(not Path("started").exists(), "the command was started")


@needs("root", "setpriv")
@cases(user=("--user", "root"), nice=("--nice", "-5"), oom=("--oom-score-adjust", "-500"),
       limit=("--limit-nofile", "infinity"), groups=("--group-name", "daemon"))
def test_what_an_ordinary_user_may_not_have_is_125(option, value):
    run = wrapped(["prlimit", "--nofile=100", "setpriv", "--reuid", "40002", "--regid", "40002",
                   "--clear-groups"], option, value, "--", *victim("say started"))
    run.end(125)
    one_line(run)


@needs("root", "unshare")
def test_without_proc_it_still_works():
    """An empty /proc: who is left cannot be found out; that is said, and nothing hangs."""
    run = wrapped(["unshare", "--mount", "sh", "-c",
                   'mount -t tmpfs none /proc && exec "$@"', "sh"],
                  "--timeout", "2s", "--", *victim("orphan 1 [ pause ] exit 3"))
    run.wait()
    check(re.search("error.*left behind", run.err), "it is not told")
    run.end(3, left=1)
    put_down(*run.left)


def in_a_namespace_with_the_proc_of_another(*args):
    """As `unshare --pid --fork` leaves it to a command.  By low numbers it could be mistaken for a
    thread of the kernel, which would hide what is tested; and where they are others', a sanitizer's
    search for leaks does not work."""
    return wrapped(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c",
                    'echo 9000 >/proc/sys/kernel/ns_last_pid; "$@" & wait $!', "sh"], *args,
                   env={"ASAN_OPTIONS": "detect_leaks=0"})


@needs("root", "unshare")
@cases(alone="", with_its_group="spawn [ ignore TERM pause ]")
def test_a_command_that_refuses_is_killed_although_proc_is_that_of_another_namespace(more):
    """Whose numbers are those of other processes: nobody may be judged, or killed, by them."""
    run = in_a_namespace_with_the_proc_of_another(
        "--timeout", "1s", "--", *victim(f"ignore TERM {more} say ready pause"))
    run.line("ready")
    run.send("TERM")
    run.end(137)
    check("left behind" not in run.err, run.err)


@needs("root", "unshare")
def test_a_shield_is_refused_for_want_of_the_own_namespace_s_proc_and_says_so():
    run = in_a_namespace_with_the_proc_of_another("--", BINARY, "shield", "--", "true")
    run.end(125)
    check("there is no /proc of this PID namespace" in run.err, run.err)


# ---- bad command lines ----

GO = ["--", VICTIM, "append", "started", "yes"]
AGAIN = ["--restart", "always", *GO]
BAD = {  # name: (arguments, words that the sentence has)
    "nothing": ([], []),
    "no_command": (["--"], []),
    "options_only": (["--timeout", "5s"], []),
    "bare_word": (["sleep", "5"], ["aiorun -- sleep"]),
    "bare_word_after_option": (["-v", "sleep", "5"], ["aiorun -- sleep"]),
    "single_dash": (["-", *GO], ["-"]),
    "unknown_long": (["--nonsense", *GO], ["--nonsense"]),
    "unknown_short": (["-Z", *GO], ["-Z"]),
    "unknown_in_cluster": (["-vZ", *GO], ["Z"]),
    "prefix": (["--time", "5s", *GO], ["--time"]),
    "capitals": (["--TIMEOUT", "5s", *GO], ["--TIMEOUT"]),
    "equals_only": (["--=5", *GO], []),
    "switch_with_value": (["--forever=maybe", *GO], ["--forever"]),
    "no_unnegatable": (["--no-timeout", *GO], ["--no-timeout"]),
    "missing_argument": (["--timeout"], ["--timeout"]),
    "missing_short_argument": (["-p"], ["-p"]),
    "duration_word": (["--timeout", "soon", *GO], ["--timeout", "soon"]),
    "duration_empty": (["--timeout", "", *GO], ["--timeout"]),
    "duration_empty_equals": (["--timeout=", *GO], ["--timeout"]),
    "duration_negative": (["--timeout", "-5s", *GO], ["--timeout", "-5s"]),
    "duration_unit": (["--timeout", "5x", *GO], ["--timeout", "5x"]),
    "duration_blank": (["--timeout", "5 s", *GO], ["--timeout"]),
    "duration_zero": (["--timeout", "0", *GO], ["--timeout"]),
    "duration_hex": (["--timeout", "0x10", *GO], ["--timeout"]),
    "duration_exponent": (["--timeout", "1e3", *GO], ["--timeout"]),
    "duration_huge": (["--timeout", "99999999999999999999", *GO], ["--timeout"]),
    "duration_nan": (["--timeout", "nan", *GO], ["--timeout"]),
    "duration_infinity_typo": (["--timeout", "infinit", *GO], ["--timeout"]),
    "drain_infinity": (["--drain-delay", "infinity", *GO], ["--drain-delay"]),
    "drain_over_a_quarter": (["--drain-delay", "16s", *GO], ["--drain-delay", "16s"]),
    "drain_over_a_quarter_of_given": (["--timeout", "4s", "--drain-delay", "2s", *GO],
                                      ["--drain-delay"]),
    "signal_word": (["--stop-signal", "FOO", *GO], ["--stop-signal", "FOO"]),
    "signal_zero": (["--stop-signal", "0", *GO], ["--stop-signal"]),
    "signal_65": (["--stop-signal", "65", *GO], ["--stop-signal", "65"]),
    "signal_rt": (["--stop-signal", "RTMIN+99", *GO], ["--stop-signal", "RTMIN+99"]),
    "signal_sigsig": (["--stop-signal", "SIGSIGTERM", *GO], ["--stop-signal"]),
    "signal_blank": (["--stop-signal", " TERM", *GO], ["--stop-signal"]),
    "short_signal": (["-p", "BOGUS", *GO], ["BOGUS"]),
    "worker_death": (["--worker-death-signal", "x", *GO], ["--worker-death-signal"]),
    "shutdown_signals_unknown": (["--shutdown-signals", "INT,FOO", *GO], ["--shutdown-signals"]),
    "shutdown_signals_kill": (["--shutdown-signals", "KILL", *GO], ["--shutdown-signals"]),
    "shutdown_signals_chld": (["--shutdown-signals", "CHLD", *GO], ["--shutdown-signals"]),
    "rewrite_no_colon": (["--rewrite", "TERM", *GO], ["--rewrite", "TERM"]),
    "rewrite_no_to": (["--rewrite", "TERM:", *GO], ["--rewrite"]),
    "rewrite_no_from": (["--rewrite", ":TERM", *GO], ["--rewrite"]),
    "rewrite_three": (["--rewrite", "TERM:INT:HUP", *GO], ["--rewrite"]),
    "rewrite_unknown": (["--rewrite", "TERM:FOO", *GO], ["--rewrite"]),
    "rewrite_from_zero": (["--rewrite", "0:TERM", *GO], ["--rewrite"]),
    "repeat": (["--repeat-signal", "maybe", *GO], ["--repeat-signal", "maybe"]),
    "loop": (["--loop", "kqueue", *GO], ["--loop", "kqueue"]),
    "orphans": (["--orphans", "eat", *GO], ["--orphans", "eat"]),
    "restart": (["--restart", "sometimes", *GO], ["--restart", "sometimes"]),
    "restart_delay_order": (["--restart-delay", "5s..1s", *AGAIN], ["--restart-delay"]),
    "restart_delay_dots": (["--restart-delay", "..", *AGAIN], ["--restart-delay"]),
    "restart_delay_half": (["--restart-delay", "5s..", *AGAIN], ["--restart-delay"]),
    "restart_limit_word": (["--restart-limit", "often", *AGAIN], ["--restart-limit"]),
    "restart_limit_no_window": (["--restart-limit", "5", *AGAIN], ["--restart-limit"]),
    "restart_limit_zero_window": (["--restart-limit", "5/0", *AGAIN], ["--restart-limit"]),
    "restart_limit_negative": (["--restart-limit", "-1/1m", *AGAIN], ["--restart-limit"]),
    "success_256": (["-e", "256", *GO], ["256"]),
    "success_word": (["-e", "FOO", *GO], ["FOO"]),
    "success_negative": (["--success-status", "-1", *GO], ["--success-status"]),
    "success_empty": (["--success-status", "", *GO], ["--success-status"]),
    "ladder_empty": (["--stop", "", *GO], ["--stop"]),
    "ladder_no_time": (["--stop", "TERM, QUIT 5s, KILL", *GO], ["--stop"]),
    "ladder_empty_rung": (["--stop", "TERM 1s,, KILL", *GO], ["--stop"]),
    "ladder_kill_first": (["--stop", "KILL, TERM 1s", *GO], ["--stop"]),
    "ladder_kill_time": (["--stop", "TERM 1s, KILL 1s", *GO], ["--stop"]),
    "ladder_word": (["--stop", "TERM soon", *GO], ["--stop"]),
    "ladder_long": (["--stop", ", ".join(["TERM 1s"] * 9), *GO], ["--stop"]),
    "ladder_and_signal": (["--stop", "TERM 1s, KILL", "--stop-signal", "INT", *GO],
                          ["--stop", "--stop-signal"]),
    "ladder_and_timeout": (["--stop", "TERM 1s, KILL", "--stop-timeout", "1s", *GO],
                           ["--stop", "--stop-timeout"]),
    "error_hook_and_flag": (["--on-error", "true", "--stop-on-unhandled-errors", *GO],
                            ["--on-error", "--stop-on-unhandled-errors"]),
    "hook_empty": (["--shutdown-callback", "", *GO], ["--shutdown-callback"]),
    "hook_blank": (["--shutdown-handler", "  ", *GO], ["--shutdown-handler"]),
    "hook_quote": (["--on-error", "sh -c 'x", *GO], ["--on-error"]),
    "umask_digit": (["--umask", "8", *GO], ["--umask"]),
    "umask_large": (["--umask", "1000", *GO], ["--umask"]),
    "umask_word": (["--umask", "u=rwx", *GO], ["--umask"]),
    "nice_large": (["--nice", "20", *GO], ["--nice", "20"]),
    "nice_small": (["--nice", "-21", *GO], ["--nice"]),
    "nice_word": (["--nice", "very", *GO], ["--nice"]),
    "oom": (["--oom-score-adjust", "1001", *GO], ["--oom-score-adjust"]),
    "env_no_equals": (["--env", "NAME", *GO], ["--env", "NAME"]),
    "env_no_name": (["--env", "=x", *GO], ["--env"]),
    "limit_word": (["--limit-nofile", "many", *GO], ["--limit-nofile", "many"]),
    "limit_order": (["--limit-nofile", "5:3", *GO], ["--limit-nofile"]),
    "limit_negative": (["--limit-nofile", "-1", *GO], ["--limit-nofile"]),
    "limit_overflow": (["--limit-as", "99999999999999999999", *GO], ["--limit-as"]),
    "limit_unknown": (["--limit-beer", "1", *GO], ["--limit-beer"]),
    "user_empty": (["--user", "", *GO], ["--user"]),
    "user_without_its_group": (["--user", "root:", *GO], ["--user", "root:"]),
    "user_that_is_a_group_alone": (["--user", ":root", *GO], ["--user", ":root"]),
    "user_with_two_groups": (["--user", "nobody9:x:y", *GO], ["--user", "nobody9:x:y"]),
    "user_too_long": (["--user", 300 * "u", *GO], ["--user", "longer"]),
    "cwd_empty": (["--cwd", "", *GO], ["--cwd"]),
    "log_format": (["--log-format", "xml", *GO], ["--log-format", "xml"]),
    "quiet_and_verbose": (["-q", "-v", *GO], ["quiet"]),
    "forever_and_orphans_of_nothing": (["--forever", "--orphans", "maybe"], ["--orphans"]),
    "control_characters": (["--timeout", "\x1b[2J", *GO], ["--timeout"]),
    "invalid_utf8": ([b"--timeout", b"\xff\xfe", *GO], ["--timeout"]),
    "very_long": (["--timeout", "9" * 100_000, *GO], ["--timeout"]),
}


@cases(**{name: (arguments, words) for name, (arguments, words) in BAD.items()})
def test_bad_command_line_is_125_and_one_sentence(arguments, words):
    run = aiorun(*arguments)
    run.end(125)
    one_line(run, *words)
    check(run.err.startswith("aiorun: "), f"{run.err!r} does not say who speaks")
    check(len(run.err) < 700, "a sentence of more than 700 bytes")
    check(not re.search(r"[\x00-\x1f\x7f]", run.err[:-1]), "control characters")
    check(not Path("started").exists(), "the command was started")


@cases(value=("TIMEOUT", "soon"), unknown=("NONSENSE", "1"), empty=("TIMEOUT", ""),
       choice=("ORPHANS", "eat"), switch=("FOREVER", "perhaps"), lower=("timeout", "5s"))
def test_bad_environment_is_125_and_one_sentence(name, value):
    run = launch("append started yes", env={"AIORUN_OPT_" + name: value})
    run.end(125)
    one_line(run, "AIORUN_OPT_" + name)
    check(not Path("started").exists(), "the command was started")


def test_other_variables_of_ours_are_ignored():
    """Kubernetes may inject AIORUN_PORT and the like."""
    launch("exit 3", env={"AIORUN_PORT": "tcp://10.0.0.1:80", "AIORUN_TIMEOUT": "soon"}).end(3)


def test_all_faults_are_told_at_once():
    run = launch("append started yes", "--timeout", "soon", "--nice", "99", "--orphans", "eat")
    run.end(125)
    for word in ("soon", "99", "eat"):
        check(word in run.err, f"{word} is not mentioned")
    equal(len(run.err.splitlines()), 3, "sentences")


def test_dashes_are_no_argument():
    run = aiorun("--timeout", *GO)
    run.end(125)
    check("--timeout" in run.err and not Path("started").exists(), "not refused")


def test_command_line_wins_over_a_contradiction_in_the_environment():
    launch("exit 3", "--stop", "TERM 1s, KILL", env={"AIORUN_OPT_STOP_SIGNAL": "INT"}).end(3)
    run = launch("append started yes", env={"AIORUN_OPT_STOP_SIGNAL": "INT",
                                            "AIORUN_OPT_STOP": "TERM 1s, KILL"})
    run.end(125)
    check(not Path("started").exists(), "the command was started")


GOOD = ("-vv", "-v -v", "-gsvw", "-pTERM", "-p SIGTERM", "-p 15", "--timeout=5", "--timeout 1.5s",
        "--timeout infinity", "-e0", "-e 143", "--stop=TERM", "--no-forever", "--no-subreaper",
        "--loop epoll", "--loop poll", "--loop select", "--limit-nofile 100",
        "--limit-core 0", "--limit-as 4G")


@cases(*GOOD)
def test_good_command_line(options):
    launch("exit 3", *options.split()).end(3)
