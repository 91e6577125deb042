#!/usr/bin/env python3
"""Runs aiorun.exe under wine, and counts.

What wine has no console for (it sends no Ctrl-Break) is done by stand-ins: event.h, console.c.
"""
import argparse
import concurrent.futures
import fcntl
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/win32"
DEADLINE = 120
PREFIX = ROOT / "build/wine"
CTRL_BREAK, CTRL_CLOSE, CTRL_LOGOFF, CTRL_SHUTDOWN = 1, 2, 5, 6
CONTROL_C_EXIT = 0xC000013A

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(PREFIX),  # of its own, so that nothing of ours is linked into it
    "LANG": "C.UTF-8",
    "WINEPREFIX": str(PREFIX),
    "WINEDEBUG": "-all",
    "WINEDLLOVERRIDES": "winedbg.exe,winemenubuilder.exe,mscoree,mshtml=",
}


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


def windows_path(path):
    return "Z:" + str(path).replace("/", "\\")


AIORUN = windows_path(BUILD / "aiorun.exe")
VICTIM = windows_path(BUILD / "victim.exe")
CONSOLE = windows_path(BUILD / "console.exe")


class Program:
    """A program of Windows that runs, and what it has said so far."""

    def __init__(self, *command, env=None, terminal=None, cwd=None):
        stdin = terminal if terminal is not None else subprocess.DEVNULL
        self.lines, self.news = [], threading.Condition()
        self.process = subprocess.Popen(
            ["wine", *command], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**ENVIRONMENT, **(env or {})}, cwd=cwd, start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        PROGRAMS.append(self)

    def read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.decode(errors="replace").rstrip("\r\n"))
                self.news.notify_all()

    def wait_for(self, pattern, count=1, seconds=30):
        """The first group (or all) of the count-th line that matches."""
        end = time.monotonic() + seconds
        with self.news:
            while True:
                found = [m for m in (re.search(pattern, line) for line in self.lines) if m]
                if len(found) >= count:
                    match = found[count - 1]
                    return match.group(1) if match.groups() else match.group()
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self.reader.is_alive()):
                    raise Failure(f"no line {pattern!r}; there were:\n" + self.text())
                self.news.wait(min(left, 0.5))

    def end(self, seconds=40):
        """Its exit status, of which wine shows eight bits."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"it has not ended after {seconds} s; it said:\n{self.text()}") from None
        self.reader.join(10)
        return status

    def text(self):
        return "\n".join(self.lines)


PROGRAMS = []


def run(*command, seconds=40, **options):
    program = Program(*command, **options)
    return program.end(seconds), program.text()


def aiorun(*arguments, **options):
    return run(AIORUN, *arguments, **options)


def event(kind, pid):
    status, text = run(VICTIM, "event", str(kind), str(pid))
    expect(status == 0, f"no event could be sent: {text}")


def wait_gone(*pids):
    status, text = run(VICTIM, *(word for pid in pids for word in ("wait-gone", str(pid))))
    expect(status == 0, text)


def expect_order(text, *words):
    at = 0
    for word in words:
        found = text.find(word, at)
        expect(found >= 0, f"{word!r} is not there, or not in its place:\n{text}")
        at = found


def write(name, text):
    Path(name).write_text(text)
    return name


# ---- a command and its end ------------------------------------------------------------------------


def test_exit_codes_are_the_commands():
    status, text = run(VICTIM, "codes", AIORUN, seconds=180)
    expect(text.split() == [str(code) for code in range(256)], text)


test_exit_codes_are_the_commands.deadline = 200


def test_exit_codes_have_32_bits():
    for code in ("0x12345678", "0xC0000005", "4294967295", "0x80000000"):
        status, text = run(VICTIM, "status-of", "--", AIORUN, "--", VICTIM, "exit", code)
        expect(text == f"status {int(code, 0)}", f"{code}: {text}")


def test_crash_is_told_as_windows_tells_it():
    status, text = aiorun("-vv", "--", VICTIM, "exit", "0xC0000005")
    expect("main exited with status 0xC0000005" in text, text)


def test_death_by_ctrl_c_is_passed_on():
    status, text = run(VICTIM, "status-of", "--", AIORUN, "--", VICTIM, "exit", str(CONTROL_C_EXIT))
    expect(text == f"status {CONTROL_C_EXIT}", text)


def test_missing_command_is_127():
    status, text = aiorun("--", "no-such-program")
    expect(status == 127, f"status {status}: {text}")
    expect("cannot run 'no-such-program'" in text, text)


def test_not_executable_is_126():
    write("text.exe", "this is no program\n")
    write("batch.bat", "@exit 3\n")
    status, text = aiorun("--", ".\\text.exe")
    expect(status == 126 and "cannot run '.\\text.exe'" in text, f"status {status}: {text}")
    status, text = aiorun("--", ".\\batch")
    expect(status == 126 and "cmd /c" in text, f"status {status}: {text}")


def test_programs_are_found_in_path():
    os.mkdir("bin")
    shutil.copy(BUILD / "victim.exe", "bin/found me.exe")
    path = {"WINEPATH": f"C:\\nowhere;{windows_path(Path.cwd())}\\bin"}
    for name in ("found me", "found me.exe", "FOUND ME.EXE"):
        status, text = aiorun("--", name, "exit", "7", env=path)
        expect(status == 7, f"{name}: status {status}: {text}")
    status, text = aiorun("--", "bin/found me", "exit", "8")
    expect(status == 8, f"a path: status {status}: {text}")
    shutil.copy(BUILD / "victim.exe", "here.exe")
    status, text = aiorun("--", "here", "exit", "9")
    expect(status == 127, f"the current directory was searched: status {status}: {text}")


def test_directory_and_environment():
    os.mkdir("place")
    write("file.env", "# no variable\r\nFROM_FILE=one\r\nBOTH=file\n")
    status, text = aiorun("--cwd", "place", "--env", "GIVEN=ä €", "--env-file", "file.env", "--env",
                          "both=option", "--", VICTIM, "cwd", "env", "GIVEN", "env", "FROM_FILE",
                          "env", "BOTH", "env", "OUTER", env={"OUTER": "outside"})
    lines = text.split("\n")
    expect(status == 0 and lines[0].lower().endswith("\\place"), text)
    expect(lines[1:] == ["ä €", "one", "option", "outside"], text)
    status, text = aiorun("--clear-env", "--env", "A=b", "--", VICTIM, "env", "A", "env", "PATH")
    expect(text == "b\nunset", text)
    status, text = aiorun("--cwd", "nowhere", "--", VICTIM)
    expect(status == 125 and "directory" in text, f"status {status}: {text}")


def test_options_of_our_own_stay_ours():
    status, text = aiorun("--", VICTIM, "env", "AIORUN_OPT_TIMEOUT", "env", "AIORUN_CONTROL_PIPE",
                          env={"AIORUN_OPT_TIMEOUT": "5s", "AIORUN_CONTROL_PIPE": "old"})
    expect(text.split("\n")[0] == "unset" and "old" not in text, text)


def test_standard_streams_are_the_commands():
    """A pipe, to its end."""
    sent = bytes(range(256)) * 100
    process = subprocess.run(["wine", AIORUN, "--", VICTIM, "copy"], input=sent, env=ENVIRONMENT,
                             capture_output=True, timeout=60, check=False)
    expect(process.returncode == 0, process.stderr[:200])
    expect(process.stdout == sent and process.stderr == sent, "other bytes arrive")


# ---- command lines --------------------------------------------------------------------------------

HARD = ["", " ", "a b", "\t", "a\tb", '"', '""', '"""', '\\', '\\\\', '\\"', '\\\\"', 'a\\', 'a b\\',
        'a b\\\\', 'a\\b', '\\\\server\\share', 'C:\\Program Files\\x', '"quoted"', '"a b"', "'a b'",
        '*', '?', '*.exe', '%PATH%', '^', '&', '|', '<', '>', '&&', '!x!', '(', ')', ';', ',', '=', '/',
        '--', '-x', '@file', 'ä', 'ß€', '日本', '😀', 'a"b', 'a""b', 'a\\"b', 'a\\\\"b c\\', 'x\ny']


def expect_arguments(arguments):
    status, text = aiorun("--", VICTIM, "args", *arguments)
    got = [bytes.fromhex(line).decode() for line in text.split("\n")]
    for want, have in zip(arguments, got):
        expect(want == have, f"{want!r} became {have!r}")
    expect(status == 0 and len(got) == len(arguments), f"{arguments!r} became {got!r}")


def test_arguments_arrive_as_they_are():
    expect_arguments(HARD)
    for argument in ('\\', 'a b\\', '"', '\\"', 'a\\\\"b'):
        expect_arguments([argument, "end"])


def test_any_arguments_arrive():
    rng = random.Random(20240229)
    for _ in range(12):
        expect_arguments(["".join(rng.choice('ab \\\\""\t\'*%^&é') for _ in range(rng.randrange(12)))
                          for _ in range(120)] + ["end"])


def test_long_command_line():
    status, text = aiorun("--", VICTIM, "args", "x" * 32000)
    expect(status == 0 and len(text) == 64000, f"status {status}")


# ---- what is refused ------------------------------------------------------------------------------


def test_options_without_meaning_are_refused():
    options = {
        "user": "root", "group-name": "root", "umask": "22", "oom-score-adjust": "5",
        "no-new-privileges": None, "limit-nofile": "50", "limit-core": "0",
        "parent-death-signal": "TERM", "worker-death-signal": "TERM", "terminal": "own",
        "loop": "epoll", "no-subreaper": None, "warn-on-reap": None, "control-fd": "9",
        "orphans": "leave", "ready": "notify"}
    given = [word for name, value in options.items()
             for word in ([f"--{name}"] if value is None else [f"--{name}", value])]
    status, text = aiorun(*given, "--", VICTIM, "say", "started")
    for name in options:
        name = name.removeprefix("no-sub") if name == "no-subreaper" else name
        expect(re.search(f"--(sub)?{name}: ", text), f"{name} is not refused:\n{text}")
    expect(status == 125 and "started" not in text, f"status {status}")


def test_signals_that_windows_has_not_are_refused():
    status, text = aiorun("--stop-signal", "QUIT", "--", VICTIM)
    expect(status == 125 and "option --stop-signal: 'QUIT'" in text, text)
    status, text = aiorun("--stop-signal", "BREAK", "--shutdown-signals", "INT HUP", "--", VICTIM)
    expect(status == 0, text)


def test_keys_without_meaning_are_refused():
    write("bad.ini", f"""[aiorun]
loop = epoll
[worker:one]
command = '{VICTIM}' sleep
umask = 22
limit.nofile = 5
listen = tcp:127.0.0.1:8080
nice = 3
group = no
ready = fd:3
""")
    status, text = aiorun("--config", "bad.ini")
    for place in ("2: loop", "5: umask", "6: limit.nofile", "7: listen", "9: group",
                  "10: ready"):
        expect(f"bad.ini:{place}: " in text, f"{place} is not refused:\n{text}")
    expect(status == 125, f"status {status}")


def test_faults_that_only_the_system_knows_have_their_place():
    write("lines.env", "GOOD=1\nexport BAD=1\n")
    write("bad.ini", f"""[aiorun]
report = nowhere/report
[worker:one]
command = '{VICTIM}' sleep
env-file = nothing.env
[worker:two]
command = '{VICTIM}' sleep
env-file = lines.env
""")
    status, text = aiorun("--config", "bad.ini")
    for place in ("2: report: cannot open", "5: env-file: cannot open",
                  "8: env-file: lines.env:2: 'export BAD=1'"):
        expect(f"bad.ini:{place}" in text, f"{place!r} is not told:\n{text}")
    expect(status == 125, f"status {status}")


# ---- shutdowns ------------------------------------------------------------------------------------

PHASES = ("Entering run()", "Entering shutdown phase", "Cancelling pending tasks",
          "Running pending tasks till complete", "Waiting for executor shutdown",
          "Closing the loop", "Leaving. Bye!")


def test_row_ctrl_break_to_a_new_process_group():
    """The seed's test for Windows: a parent starts us with CREATE_NEW_PROCESS_GROUP and sends a
    Ctrl-Break."""
    program = Program(VICTIM, "group", "--", AIORUN, "-vv", "--forever")
    pid = program.wait_for(r"^child (\d+)")
    program.wait_for(r"Entering run\(\)")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect_order(program.text(), *PHASES)


def ladder(arguments, *victim):
    program = Program(CONSOLE, AIORUN, "-vv", *arguments, "--group", "--", VICTIM, *victim)
    pid = program.wait_for(r"aiorun is (\d+)")
    program.wait_for("^ready")
    return program, pid, program.wait_for(r"started main \(pid (\d+)\)")


def test_stop_request_is_a_ctrl_break_to_the_group():
    program, pid, main = ladder([], "on-event", "exit", "3", "ready", "sleep")
    event(CTRL_BREAK, pid)
    expect(program.end() == 3, program.text())
    expect_order(program.text(), *PHASES[:3], f"Cancelling task: main (pid {main})",
                 f"console: 1 to {main}", "main (pid " + main + ") exited with status 3",
                 *PHASES[4:])


def test_row_a_command_that_handles_its_stop_gets_its_time():
    program, pid, main = ladder(["-e", "3"], "on-event", "exit-later", "3", "ready", "sleep")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect("refused to exit" not in program.text(), program.text())


def test_ladder_ends_in_termination_with_grandchildren():
    program, pid, main = ladder(
        ["--stop-timeout", "1s"], "on-event", "ignore", "child", "on-event", "ignore", "pid",
        "child", "on-event", "ignore", "pid", "ready", "sleep", ",", "sleep", ",", "sleep")
    others = [program.wait_for(r"^pid (\d+)", count) for count in (1, 2)]
    event(CTRL_BREAK, pid)
    expect(program.end() == 137, program.text())
    expect_order(program.text(), f"console: 1 to {main}", "refused to exit", "killed by SIGKILL")
    for number in (main, *others):
        expect(re.search(rf"main: pid {number}, .*victim\.exe", program.text()),
               f"{number} is not named:\n{program.text()}")
    wait_gone(main, *others)


def leaving(*options, child):
    mark = f"up-{os.getpid()}"
    return Program(CONSOLE, AIORUN, "-vv", *options, "--", VICTIM, "child", "on-event", *child, "pid",
                   "set", mark, "sleep", ",", "await", mark, "exit", "4")


def test_what_a_command_leaves_is_ended():
    """It shares our group, where it cannot be asked: it is not waited for."""
    program = leaving(child=("ignore",))
    other = program.wait_for(r"^pid (\d+)")
    expect(program.end(20) == 4, program.text())
    wait_gone(other)


def test_what_a_command_leaves_in_its_group_is_asked():
    program = leaving("--group", child=("exit", "0"))
    main = program.wait_for(r"started main \(pid (\d+)\)")
    other = program.wait_for(r"^pid (\d+)")
    expect(program.end(20) == 4, program.text())
    expect(f"console: 1 to {main}" in program.text() and "event 1" in program.lines, program.text())
    wait_gone(other)


def test_what_a_command_leaves_and_heard_a_console_event_gets_its_time():
    program = Program(CONSOLE, AIORUN, "-vv", "--", VICTIM, "on-event", "exit", "4", "child",
                      "on-event", "exit-later", "0", "pid", "ready", "sleep", ",", "sleep")
    pid = program.wait_for(r"aiorun is (\d+)")
    main = program.wait_for(r"started main \(pid (\d+)\)")
    other = program.wait_for(r"^pid (\d+)")
    program.wait_for("^ready")
    for each in (pid, other, main):  # as a console does
        event(CTRL_BREAK, each)
    expect(program.end(20) == 4, program.text())
    expect("said goodbye" in program.lines, program.text())


def test_everything_is_gone_when_the_supervisor_is_killed():
    program, pid, main = ladder([], "child", "pid", "ready", "sleep", ",", "sleep")
    other = program.wait_for(r"^pid (\d+)")
    status, text = run(VICTIM, "kill", pid)
    expect(status == 0, text)
    wait_gone(pid, main, other)


def test_closing_the_console_shortens_the_cap():
    program, pid, main = ladder(["--drain-delay", "15s"], "on-event", "ignore", "ready", "sleep")
    start = time.monotonic()
    event(CTRL_CLOSE, pid)
    expect(program.end() == 137, program.text())
    took = time.monotonic() - start
    expect(2 < took < 12, f"it took {took:.1f} s:\n{program.text()}")
    expect_order(program.text(), "SIGHUP asks for a shutdown", f"console: 1 to {main}",
                 "refused to exit", *PHASES[4:])


def test_who_cannot_be_asked_is_ended_at_its_deadline():
    """wine has no console here, and sends no Ctrl-Break."""
    program = Program(VICTIM, "group", "--", AIORUN, "-vv", "--group", "--stop-timeout", "500ms",
                      "--", VICTIM, "ready", "sleep")
    pid = program.wait_for(r"^child (\d+)")
    program.wait_for("^ready")
    event(CTRL_BREAK, pid)
    expect(program.end() == 137, program.text())
    expect_order(program.text(), "cannot send a Ctrl-Break", "refused to exit", *PHASES[4:])


def test_shutdown_of_the_system_is_a_shutdown():
    program, pid, main = ladder([], "on-event", "exit", "0", "ready", "sleep")
    event(CTRL_SHUTDOWN, pid)
    expect(program.end() == 0, program.text())
    expect_order(program.text(), "SIGTERM asks for a shutdown", *PHASES[2:])


def test_shared_group_is_not_asked_a_second_time():
    """A Ctrl-Break reaches the whole process group: the command has it already."""
    program = Program(CONSOLE, AIORUN, "-vv", "--", VICTIM, "on-event", "say", "event", "ready",
                      "sleep")
    pid = program.wait_for(r"aiorun is (\d+)")
    program.wait_for("^ready")
    main = program.wait_for(r"started main \(pid (\d+)\)")
    event(CTRL_BREAK, main)
    event(CTRL_BREAK, pid)
    program.wait_for("Running pending tasks till complete")
    status, text = run(VICTIM, "kill", main)
    expect(program.end() == 1, program.text())
    expect("console: 1" not in program.text(), program.text())
    expect(program.lines.count("event") == 1, program.text())


def test_repeated_ctrl_c_escalates_and_ctrl_break_does_not():
    program, pid, main = ladder([], "on-event", "ignore", "ready", "sleep")
    event(CTRL_BREAK, pid)
    program.wait_for("Running pending tasks till complete")
    event(CTRL_BREAK, pid)
    program.wait_for("SIGBREAK arrived", 2)
    time.sleep(1.2)  # less than that after the last it would have no effect in any case
    event(CTRL_BREAK, pid)
    program.wait_for("SIGBREAK arrived", 3)
    expect("going on at once" not in program.text(), program.text())
    event(0, pid)
    program.wait_for("SIGINT arrived")  # another one: passed on
    time.sleep(1.2)
    event(0, pid)
    expect(program.end() == 137, program.text())
    expect("going on at once" in program.text(), program.text())


def terminal_pair():
    reading, writing = os.openpty()
    return reading, writing


def test_ctrl_c_in_a_console_is_the_commands():
    """In a console both get it, and it is the command that decides."""
    keys, terminal = os.openpty()
    program = Program(AIORUN, "-vv", "--", VICTIM, "on-event", "exit", "42", "ready", "sleep",
                      terminal=terminal)
    program.wait_for("^ready")
    os.write(keys, b"\x03")
    expect(program.end() == 42, program.text())
    expect_order(program.text(), "event 0", "exited with status 42", *PHASES[1:])
    expect("SIGINT asks for a shutdown" not in program.text(), program.text())


def test_ctrl_c_in_a_console_ends_forever():
    keys, terminal = os.openpty()
    program = Program(AIORUN, "-vv", "--forever", terminal=terminal)
    program.wait_for(r"Entering run\(\)")
    os.write(keys, b"\x03")
    expect(program.end() == 0, program.text())
    expect_order(program.text(), "SIGINT asks for a shutdown", *PHASES[1:])


# ---- fleets ---------------------------------------------------------------------------------------


def fleet(text, *options):
    write("fleet.ini", text.replace("VICTIM", f"'{VICTIM}'"))
    program = Program(CONSOLE, AIORUN, *options, "--config", "fleet.ini")
    return program, program.wait_for(r"aiorun is (\d+)")


def test_fleet_starts_in_order_and_stops_in_waves():
    program, pid = fleet("""[worker:db]
command = VICTIM on-event exit 0 say db sleep
ready = after:1s
[worker:web]
command = VICTIM on-event exit 0 say web sleep
after = db
instances = 2
""", "-vv")
    db = program.wait_for(r"started db \(pid (\d+)\)")
    begun = time.monotonic()
    program.wait_for("started web:0")
    expect(time.monotonic() - begun > 0.9, "it did not wait:\n" + program.text())
    program.wait_for("^web", 2)
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect_order(program.text(), "started db", "started web:0", "started web:1",
                 "Cancelling task: web:", "exited with status 0", "Cancelling task: db",
                 f"console: 1 to {db}", "Leaving. Bye!")
    asked = program.text().index("Cancelling task: db")
    for name in ("web:0", "web:1"):
        expect(program.text().index(f"{name} (pid ", program.text().index(f"task: {name}")) < asked,
               program.text())


def test_fleet_restarts_what_fails():
    program, pid = fleet("""[worker:a]
command = VICTIM say again exit 3
restart-delay = 10ms..50ms
""")
    program.wait_for("^again", 4)
    event(CTRL_BREAK, pid)
    expect(program.end() in (0, 3), program.text())


def test_fleet_output_goes_where_it_is_told():
    program, pid = fleet("""[worker:a]
command = VICTIM say to-file exit 0
output = file:out/a.txt
before-start = VICTIM say before
after-stop = VICTIM say after
[worker:b]
command = VICTIM say to-nowhere exit 0
output = null
[worker:c]
command = VICTIM say here exit 0
""".replace("out/", "") + "[aiorun]\nforever = no\n")
    expect(program.end() == 0, program.text())
    expect("here" in program.lines and "to-nowhere" not in program.text(), program.text())
    expect(Path("a.txt").read_text() == "before\nto-file\nafter\n", Path("a.txt").read_text())


def test_limits_are_those_of_a_job_object_of_the_worker():
    """wine takes two of them and enforces none: so this is what Windows is asked for."""
    processors = os.cpu_count()
    program, pid = fleet("""[worker:a]
command = VICTIM on-event exit 0 say up in-job sleep
instances = 2
memory-max = 64M
pids-max = 7
cpu-max = 0.5
[worker:b]
command = VICTIM on-event exit 0 say up sleep
memory-max = 1G
[worker:c]
command = VICTIM on-event exit 0 say up sleep
""")
    program.wait_for("^up", 4)
    expect(sorted(line for line in program.lines if line.startswith("console: job")) ==
           ["console: job memory 1073741824", "console: job memory 67108864",
            "console: job processes 7", "console: job rate 0",
            f"console: job rate {5000 // processors}"], program.text())
    expect(program.lines.count("in a job") == 2, program.text())
    expect(len([line for line in program.lines if "not enforced" in line]) == 1 and
           "cpu-max of worker 'a' is not enforced: " in program.text(), program.text())
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())


def test_health_check_that_fails_ends_a_run():
    program, pid = fleet("""[worker:a]
command = VICTIM on-event exit 0 say up sleep
health = 'HEALTH' exit 1 every 100ms timeout 5s retries 1
restart-delay = 10ms
""".replace("HEALTH", VICTIM))
    program.wait_for("^up", 2)
    event(CTRL_BREAK, pid)
    program.end()


def test_hooks_are_run():
    program = Program(CONSOLE, AIORUN, "-v", "--shutdown-callback", f"'{VICTIM}' say callback",
                      "--on-error", f"'{VICTIM}' env AIORUN_ERROR_WORKER env AIORUN_ERROR_STATUS",
                      "--", VICTIM, "exit", "6")
    expect(program.end() == 6, program.text())
    expect_order(program.text(), "main\n6")
    expect("callback" in program.lines, program.text())


def test_handler_decides_whether_to_shut_down():
    program = Program(CONSOLE, AIORUN, "-vv", "--shutdown-handler", f"'{VICTIM}' say asked exit 1",
                      "--forever")
    pid = program.wait_for(r"aiorun is (\d+)")
    program.wait_for(r"Entering run\(\)")
    event(CTRL_BREAK, pid)
    program.wait_for("^asked")
    program.wait_for("shutdown-handler .*exited with status 1")
    event(CTRL_BREAK, pid)
    program.wait_for("^asked", 2)
    expect("Entering shutdown phase" not in program.text(), program.text())
    run(VICTIM, "kill", pid)
    program.end()


def test_a_hundred_workers():
    program, pid = fleet("""[worker:w]
command = VICTIM on-event exit 0 say up sleep
instances = 100
""", "-vv")
    program.wait_for("^up", 100, 120)
    event(CTRL_BREAK, pid)
    expect(program.end(120) == 0, program.text())
    expect(len(re.findall("console: 1 to", program.text())) == 100, program.text())
    expect(len(re.findall(r"w:\d+ \(pid \d+\) exited with status 0", program.text())) == 100,
           program.text())


test_a_hundred_workers.deadline = 300


# ---- the log and the report -----------------------------------------------------------------------


def test_report_is_written():
    status, text = aiorun("--report", "report.json", "--", VICTIM, "exit", "5")
    expect(status == 5, text)
    report = json.loads(Path("report.json").read_text())
    expect(report["end"] == {"kind": "exited", "status": 5}, report)
    expect(report["processes"][0]["worker"] == "main", report)


def full_pipe():
    """Both ends of a pipe that takes no more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    return reading, writing


def test_log_that_nobody_reads_holds_up_nobody():
    """A full pipe as standard error: lines are dropped, and the end comes all the same."""
    reading, writing = full_pipe()
    process = subprocess.Popen(["wine", AIORUN, "-vv", "--", VICTIM, "exit", "9"], env=ENVIRONMENT,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing,
                               start_new_session=True)
    try:
        expect(process.wait(30) == 9, "another status")
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)


def unix_command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_idle_wakes_nobody():
    """What the loop's thread has used, over two seconds of nothing."""
    mark = f"MARK={os.getpid()}"
    program = Program(CONSOLE, AIORUN, "--env", mark, "--", VICTIM, "ready", "sleep")
    pid = program.wait_for(r"aiorun is (\d+)")
    program.wait_for("^ready")
    unix = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and
            unix_command(pid).startswith(AIORUN.encode()) and mark.encode() in unix_command(pid)]
    expect(len(unix) == 1, f"which of {unix}?")

    def switches():
        text = Path(f"/proc/{unix[0]}/task/{unix[0]}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M).group(1))
    before = switches()
    time.sleep(2)
    expect(switches() == before, f"it was woken {switches() - before} times")
    run(VICTIM, "kill", pid)
    program.end()


# ---- running them ---------------------------------------------------------------------------------


def kill_programs():
    for program in PROGRAMS:
        if program.process.poll() is None:
            os.killpg(program.process.pid, signal.SIGKILL)
            program.process.wait()
    PROGRAMS.clear()


def run_one(name):
    """In a process of its own: its name, and what is wrong, if anything is."""
    function = tests[name]
    directory = tempfile.mkdtemp(prefix="aiorun-win32-")
    before = os.getcwd()
    os.chdir(directory)

    def late(*_):
        raise Failure("the test takes too long")
    signal.signal(signal.SIGALRM, late)
    signal.alarm(getattr(function, "deadline", DEADLINE))
    try:
        function()
        verdict = None
    except Failure as failure:
        verdict = str(failure)
    except Exception:  # pylint: disable=broad-except
        verdict = traceback.format_exc()
    finally:
        signal.alarm(0)
        kill_programs()
        os.chdir(before)
        shutil.rmtree(directory, ignore_errors=True)
    return name, verdict


tests = {}


def begin(count):
    """Each process of ours has a Windows of its own: supervisors of others are not found there."""
    with count.get_lock():
        count.value += 1
        prefix = PREFIX / str(count.value)
    prefix.mkdir(exist_ok=True)
    ENVIRONMENT.update(WINEPREFIX=str(prefix), HOME=str(prefix))
    # It is made where there is none, and its server is kept for all tests.
    subprocess.run(["wineserver", "-k"], env=ENVIRONMENT, check=False)
    subprocess.run(["wineserver", "-w"], env=ENVIRONMENT, check=True)
    subprocess.run(["wineserver", "-p"], env=ENVIRONMENT, check=True)
    subprocess.run(["wine", "wineboot", "-u"], env=ENVIRONMENT, check=True, timeout=300,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def report(name, verdict, failure, is_told):
    if verdict is None and is_told:
        print(f"PASS {name}", flush=True)
    elif verdict is not None:
        print(f"{failure} {name}\n    " + verdict.replace("\n", "\n    "), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", type=int, default=2, metavar="N", help="tests at a time")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only tests that match this")
    parser.add_argument("-v", action="store_true", help="print every test")
    options = parser.parse_args()
    import test_output, test_pipe, test_ready  # which import what is above from here
    for module in (globals(), vars(test_output), vars(test_pipe), vars(test_ready)):
        tests.update((name[5:], function) for name, function in module.items()
                     if name.startswith("test_") and callable(function) and
                     re.search(options.k, name[5:]))
    passed = failed = 0
    PREFIX.mkdir(parents=True, exist_ok=True)
    fork = multiprocessing.get_context("fork")
    pool = concurrent.futures.ProcessPoolExecutor(options.j, fork, begin, (fork.Value("i"),))
    again = []
    try:
        for name, verdict in pool.map(run_one, tests):  # in their order
            if verdict is not None and options.j > 1:
                again.append(name)
                report(name, verdict, "BUSY", True)
                continue
            passed += verdict is None
            failed += verdict is not None
            report(name, verdict, "FAIL", options.v)
        # What failed beside others on a busy machine is tried by itself, once, and both are told.
        for name in again:
            name, verdict = pool.submit(run_one, name).result()
            passed += verdict is None
            failed += verdict is not None
            report(name, verdict, "FAIL", True)
    finally:
        pool.shutdown()
        for prefix in PREFIX.iterdir():
            subprocess.run(["wineserver", "-k"], env={**ENVIRONMENT, "WINEPREFIX": str(prefix)},
                           check=False)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
