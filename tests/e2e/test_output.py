"""Where the output of a file's workers goes: `output`."""
import fcntl
import json
import os
import re
import signal
import time
from pathlib import Path

from harness import (BINARY, Run, aiorun, cases, check, children, deadline, equal, fill_pipe, kill,
                     needs, put_down, pty, status_field, strace, until, victim)
from test_admin_fleet import ask, workers
import shlex


def fleet(text, *options, **how):
    """aiorun with the workers of this file."""
    Path("fleet.ini").write_text(text)
    return aiorun("--config", "fleet.ini", *options, **how)


def worker(name, script, *lines):
    return "\n".join([f"[worker:{name}]", f"command = {shlex.join(victim(script))}", *lines, ""])


def python(name, code, *lines):
    Path(f"{name}.py").write_text(code)
    return "\n".join([f"[worker:{name}]", f"command = python3 -u {Path(f'{name}.py').absolute()}",
                      *lines, ""])


ENDS = "[aiorun]\nforever = no\n"


def captured(run):
    """The lines on standard output."""
    return run.out.splitlines()


# ---- prefix ----

def test_prefix_puts_the_name_before_every_line():
    run = fleet(ENDS + worker("web", "say one say two", "output = prefix")
                + worker("db", "say three", "output = prefix"))
    run.end(0)
    equal(sorted(captured(run)), ["db  | three", "web | one", "web | two"], "lines")


def test_prefix_tells_instances_apart():
    run = fleet(ENDS + worker("web", "say up", "output = prefix", "instances = 2"))
    run.end(0)
    equal(sorted(captured(run)), ["web:0 | up", "web:1 | up"], "lines")


def test_prefix_takes_standard_error_too_and_in_order():
    run = fleet(ENDS + python("web", "import os\nfor n in range(20):\n"
                              "    os.write(1 + n % 2, b'%d\\n' % n)\n", "output = prefix"))
    run.end(0)
    equal(captured(run), [f"web | {n}" for n in range(20)], "lines")


def test_prefix_ends_a_last_line_that_has_no_end():
    run = fleet(ENDS + python("web", "import os\nos.write(1, b'whole\\nhalf')\n",
                              "output = prefix"))
    run.end(0)
    equal(run.out, "web | whole\nweb | half\n", "output")


def test_prefix_has_colours_on_a_terminal_only():
    master, slave = pty()
    run = fleet(ENDS + worker("web", "say up", "output = prefix"), stdout=slave)
    run.end(0)
    os.close(slave)
    equal(os.read(master, 1000), b"\x1b[36mweb |\x1b[0m up\r\n", "output")


def test_prefix_keeps_lines_whole_that_are_written_in_parts():
    """Two workers, each writing its lines byte by byte, at the same time."""
    code = ("import os\nfor n in range(200):\n    for c in b'%03d-abcdefgh\\n' % n:\n"
            "        os.write(1, bytes([c]))\n")
    run = fleet(ENDS + python("a", code, "output = prefix") + python("b", code, "output = prefix"))
    run.end(0)
    for name in "ab":
        equal([line for line in captured(run) if line.startswith(name)],
              [f"{name} | {n:03d}-abcdefgh" for n in range(200)], f"lines of {name}")


def test_prefix_keeps_lines_of_64_KiB_whole_and_loses_nothing_of_longer_ones():
    code = ("import os, sys\n"
            "for size in 65535, 65536, 200000:\n    sys.stdout.write('x' * size + '\\n')\n")
    run = fleet(ENDS + python("web", code, "output = prefix") + python("two", code,
                                                                       "output = prefix"))
    run.end(0)
    for name in "web", "two":
        sizes = [len(line) - len("web | ") for line in captured(run) if line.startswith(name)]
        equal(sizes, [65535, 65536, 65536, 65536, 65536, 200000 - 3 * 65536], "sizes")


def test_prefix_passes_on_every_byte_as_it_was():
    data = bytes(range(256)) * 700
    Path("data").write_bytes(data)
    run = fleet(ENDS + python("web", f"import os\ndata = open('{Path('data').absolute()}', 'rb')"
                              ".read()\nwhile data:\n    data = data[os.write(1, data):]\n",
                              "output = prefix"))
    run.end(0)
    lines = run.streams["out"].data.split(b"\n")
    equal(lines.pop(), b"", "behind the last line")
    check(all(line.startswith(b"web | ") for line in lines), "a line without its name")
    equal(b"\n".join(line[6:] for line in lines), data, "what was written")


def test_prefix_waits_for_a_slow_reader_and_loses_nothing():
    """8 MiB into a pipe that nobody reads for a while: the worker waits, not the supervisor."""
    reading, writing = os.pipe()
    code = "import sys\nfor n in range(80000):\n    sys.stdout.write('%099d\\n' % n)\n"
    run = fleet(worker("other", "on USR1 [ exit 0 ] pause", "restart = always",
                       "restart-delay = 0s..0s")
                + python("web", code, "output = prefix", "restart = never"), stdout=writing)
    os.close(writing)
    web = until(lambda: [p for p in children(run.pid) if b"web.py" in
                         Path(f"/proc/{p}/cmdline").read_bytes()], "the worker runs")[0]
    until(lambda: "pipe" in Path(f"/proc/{web}/wchan").read_text(), "the worker has to wait")
    other = [p for p in children(run.pid) if p != web][0]
    os.kill(other, signal.SIGUSR1)  # and is started again, since the supervisor does not wait
    until(lambda: set(children(run.pid)) - {web, other}, "the other one is started again")
    parts, count = [], 0
    while count < 80000:
        parts.append(os.read(reading, 1 << 20))
        count += parts[-1].count(b"\n")
    lines = b"".join(parts).splitlines()
    equal(lines, [b"web | %099d" % n for n in range(80000)], "lines")
    run.send("TERM")
    run.end(0)


FLOOD = """import os, signal, time
begun = time.monotonic()
for n in range(10000):
    os.write(1, b'%d\\n' % n)
    until = time.monotonic() + 5e-5
    while time.monotonic() < until:
        pass
"""


@needs("plain")
def test_prefix_is_not_woken_for_each_of_many_lines():
    """But once a millisecond, about."""
    code = FLOOD + ("for line in open(f'/proc/{os.getppid()}/status'):\n"
                    "    if line.startswith('voluntary_ctxt_switches'):\n"
                    "        print(line.split()[1], 'waits in', time.monotonic() - begun, 's')\n")
    run = fleet(ENDS + python("web", code, "output = prefix"))
    found = run.line(r"web \| (\d+) waits in ([0-9.]+) s")
    run.end(0)
    equal(captured(run)[:-1], [f"web | {n}" for n in range(10000)], "lines")
    check(int(found[1]) < 2000 * float(found[2]) + 200, found[0])


@needs("strace", "plain")
def test_prefix_passes_on_a_line_after_quiet_at_once():
    Path("fleet.ini").write_text(ENDS + worker("web", "say one sleep 50ms say two sleep 50ms",
                                               "output = prefix"))
    run = strace("trace", "--config", "fleet.ini",
                 options=("-e", "trace=epoll_wait,epoll_pwait,read,pwritev2"))
    run.end(0)
    calls = Path("trace").read_text().splitlines()
    for word in "one", "two":
        at = [n for n, call in enumerate(calls) if f'"{word}\\n"' in call][0]
        check(calls[at - 1].startswith("epoll_") and "EPOLLIN" in calls[at - 1],
              f"read for another reason: {calls[at - 1]}")
        check(f"web | {word}" in calls[at + 1], f"not written next: {calls[at + 1]}")


@cases(exit=("os._exit(3)", "exited with status 3"),
       kill=("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"))
def test_prefix_has_passed_on_many_lines_when_their_end_is_told(code, end):
    both, writing = os.pipe()
    fcntl.fcntl(both, fcntl.F_SETPIPE_SZ, 1 << 20)
    run = fleet(ENDS + python("web", FLOOD + code, "output = prefix", "restart = never"),
                stdout=writing, stderr=writing)
    os.close(writing)
    run.wait()
    lines = os.read(both, 1 << 20).decode().partition(end)[0].splitlines()
    equal([line for line in lines if line.startswith("web | ")],
          [f"web | {n}" for n in range(10000)], "lines before the end")


def stuck(run, pid):
    """Says whether nothing goes on: the worker waits for the supervisor, and that for its reader.
    Else the one may be about to wake the other."""
    seen = []

    def is_it():
        seen.append((Path(f"/proc/{pid}/wchan").read_text(),
                     status_field(run.pid, "voluntary_ctxt_switches")))
        return "pipe" in seen[-1][0] and len(seen) > 5 and len(set(seen[-5:])) == 1
    return is_it


def test_prefix_goes_on_when_a_reload_waited_for_the_reader():
    """Somebody goes, whose last words come after what nobody has read yet; others must go on."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)  # room for all that waits, once it was read
    code = "import sys\nfor n in range(80000):\n    sys.stdout.write('%099d\\n' % n)\n"
    web = python("web", code, "output = prefix", "restart = never")
    run = fleet(worker("gone", "on TERM [ say bye exit 0 ] pause", "output = prefix") + web,
                stdout=writing)
    os.close(writing)
    pid = until(lambda: [p for p in children(run.pid) if b"web.py" in
                         Path(f"/proc/{p}/cmdline").read_bytes()], "the worker runs")[0]
    until(stuck(run, pid), "the worker has to wait, and the supervisor, too")
    Path("fleet.ini").write_text(web)
    run.send("HUP")
    until(lambda: "poll_schedule" in Path(f"/proc/{run.pid}/wchan").read_text(),
          "it waits for the reader")
    lines = b""
    while lines.count(b"\n") < 80001:
        lines += os.read(reading, 1 << 20)
    numbers = [line.split(b" | ")[1] for line in lines.splitlines() if b"bye" not in line]
    check(numbers == [b"%099d" % n for n in range(80000)], "lines are not as they were written")
    run.send("TERM")
    run.end(0)


NAME = 60 * "n"
SHORT = f"import os\nos.write(1, 30000 * b'\\n')\nopen('{NAME}', 'w')\n"  # far more with its name


def read_lines(reading, number):
    lines = b""
    while lines.count(b"\n") < number and (more := os.read(reading, 1 << 20)):
        lines += more
    return lines


def test_prefix_passes_on_at_the_end_what_many_short_lines_become():
    reading, writing = os.pipe()
    run = fleet(ENDS + python(NAME, SHORT, "output = prefix"), stdout=writing)
    os.close(writing)
    run.log("Closing the loop")
    equal(read_lines(reading, 30001).count(b"\n"), 30000, "lines")
    run.end(0)


def test_prefix_passes_on_what_many_short_lines_become_of_who_goes_at_a_reload():
    reading, writing = os.pipe()
    stays = worker("stays", "pause")
    run = fleet(stays + python(NAME, SHORT, "output = prefix", "restart = never"), stdout=writing)
    os.close(writing)
    until(lambda: os.path.exists(NAME) and len(children(run.pid)) == 1, "it has written and ended")
    Path("fleet.ini").write_text(stays)
    run.send("HUP")
    until(lambda: "poll_schedule" in Path(f"/proc/{run.pid}/wchan").read_text(),
          "it waits for the reader")
    equal(read_lines(reading, 30000).count(b"\n"), 30000, "lines")
    run.send("TERM")
    run.end(0)


def test_prefix_never_makes_standard_output_non_blocking():
    reading, writing = os.pipe()
    run = fleet(ENDS + worker("web", "say up", "output = prefix"), stdout=writing)
    run.end(0)
    check(not fcntl.fcntl(writing, fcntl.F_GETFL) & os.O_NONBLOCK, "O_NONBLOCK was set")
    equal(os.read(reading, 100), b"web | up\n", "output")


def test_prefix_into_a_pipe_that_nobody_ever_reads_does_not_keep_the_end_waiting():
    _, full, flags = fill_pipe()
    run = fleet(ENDS + worker("web", "say up", "output = prefix"), stdout=full)
    run.end(0, timeout=8)
    run.log("what workers wrote last is lost")
    equal(fcntl.fcntl(full, fcntl.F_GETFL), flags, "flags of the pipe")


def test_prefix_into_a_broken_pipe_harms_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    run = fleet(worker("web", "say up sleep 100ms say again pause", "output = prefix"),
                stdout=writing)
    run.log("cannot write to standard output: Broken pipe")
    run.send("TERM")
    run.end(0)


@needs("strace", "plain")
@cases("EPERM", "ENOSYS", "EOPNOTSUPP")
def test_prefix_and_the_log_are_written_although_there_is_no_pwritev2(error):
    """A seccomp filter that does not know this call says EPERM, a kernel ENOSYS."""
    Path("fleet.ini").write_text(ENDS + worker("web", "say up", "output = prefix"))
    run = strace("trace", "--config", "fleet.ini",
                 options=("-e", "trace=pwritev2", "-e", f"inject=pwritev2:error={error}"))
    run.end(0)
    check("web | up\n" in run.out, run.out)
    check("Leaving. Bye!" in run.err, run.err)


def test_prefix_without_standard_output_harms_nobody():
    run = fleet(ENDS + worker("web", "say up", "output = prefix"),
                before=lambda: os.close(1))
    run.end(0)


def test_prefix_does_not_wait_for_somebody_who_keeps_the_pipe():
    """An orphan that stays, and holds the output for ever."""
    run = fleet("[aiorun]\nforever = no\norphans = leave\n"
                + worker("web", "orphan 1 [ setsid say orphan pause ] say up", "output = prefix"))
    left = run.end(0, left=1)
    equal(sorted(captured(run)), ["web | orphan", "web | up"], "lines")
    put_down(*left)


def test_prefix_passes_on_what_a_run_wrote_before_the_log_tells_its_end():
    both, writing = os.pipe()
    run = fleet(ENDS + worker("web", "say last exit 3", "output = prefix", "restart = never"),
                stdout=writing, stderr=writing)
    run.end(3)
    text = os.read(both, 10000).decode()
    check(text.index("web | last") < text.index("exited with status 3"), text)


def test_prefix_as_json_is_records_of_the_log():
    run = fleet(ENDS + python("web", r'import os; os.write(1, b"a \"b\" \x01\xff\nlast")',
                              "output = prefix"), "--log-format", "json")
    run.end(0)
    equal(run.out, "", "standard output")
    records = [json.loads(line) for line in run.err.splitlines()]
    mine = [(r["level"], r["worker"], r["message"]) for r in records if "worker" in r]
    equal([m for m in mine if m[2].startswith(("a", "last"))],
          [("INFO", "web", 'a "b" \x01\ufffd'), ("INFO", "web", "last")], "records")


def test_prefix_for_the_journal_has_a_priority():
    run = fleet(ENDS + worker("web", "say up", "output = prefix"), "--log-format", "journal")
    run.end(0)
    check("<6>web | up" in run.err.splitlines(), run.err)


# ---- null, file ----

def test_null_discards_and_needs_no_descriptor_of_ours():
    run = fleet(ENDS + worker("web", "say up", "output = null"))
    run.end(0)
    equal(run.out, "", "output")


def test_file_is_appended_to_and_made():
    Path("out").write_text("before\n")
    run = fleet(ENDS + worker("web", "say up", "output = file:out")
                + worker("new", "say new", "output = file:fresh"), before=lambda: os.umask(0o022))
    run.end(0)
    equal(Path("out").read_text(), "before\nup\n", "the file")
    equal((Path("fresh").read_text(), Path("fresh").stat().st_mode & 0o777), ("new\n", 0o644),
          "the new file")


def test_file_is_opened_anew_at_each_start():
    """As after a logrotate."""
    run = fleet(worker("web", "on USR1 [ exit 0 ] say up pause", "output = file:out",
                       "restart = always", "restart-delay = 0s..0s"))
    until(lambda: Path("out").exists() and Path("out").read_text() == "up\n", "it is up")
    first = run.command
    Path("out").rename("out.1")
    os.kill(first, signal.SIGUSR1)
    until(lambda: Path("out").exists() and Path("out").read_text() == "up\n", "it is up again")
    equal(Path("out.1").read_text(), "up\n", "the old file")
    run.send("TERM")
    run.end(0)


def test_file_is_rotated_by_a_rename_and_a_restart():
    """Each instance begins the new file when its turn comes, and the others write on meanwhile."""
    run = fleet(worker("web", "on TERM [ say end exit 0 ] say up pause", "output = file:out",
                       "instances = 2"))
    until(lambda: Path("out").exists() and Path("out").read_text() == "up\nup\n", "all are up")
    Path("out").rename("out.1")
    verb = Run([BINARY, "restart", "web"])
    verb.end(0)
    until(lambda: Path("out").read_text().count("up") == 2, "all are up again")
    equal(Path("out.1").read_text(), "up\nup\nend\nend\n", "the old file")
    equal(Path("out").read_text(), "up\nup\n", "the new file")
    run.send("TERM")
    run.end(0)


def test_file_is_rotated_by_copytruncate():
    run = fleet(worker("web", "on USR1 [ say more ] say up pause", "output = file:out"))
    until(lambda: Path("out").exists() and Path("out").read_text() == "up\n", "it is up")
    os.truncate("out", 0)
    kill(run.command, "USR1")
    until(lambda: Path("out").read_bytes() == b"more\n", "it goes on at the beginning")
    run.send("TERM")
    run.end(0)


@needs("root")
def test_file_is_opened_as_the_supervisor_and_written_as_the_worker():
    Path("secret").mkdir(0o700)
    run = fleet(ENDS + worker("web", "say up", "output = file:secret/out", "user = nobody",
                              "cwd = /"))
    run.end(0, 126)
    if run.status == 0:
        equal(Path("secret/out").read_text(), "up\n", "the file")


def test_file_that_cannot_be_opened_is_told():
    run = fleet(ENDS + worker("web", "say up", "output = file:/nonexistent/out",
                              "restart = never"))
    run.end(125)
    check("/nonexistent/out" in run.err and "No such file or directory" in run.err, run.err)


def test_file_that_is_a_fifo_without_a_reader_does_not_hang():
    os.mkfifo("fifo")
    run = fleet(ENDS + worker("web", "say up", "output = file:fifo", "restart = never"))
    run.end(125)


# ---- pipe ----

LOGGER = """import os, sys
name = sys.argv[1]
with open(name, "ab", buffering=0) as out:
    while data := os.read(0, 65536):
        out.write(data)
    out.write(b"<end>")
"""


def logger(*words):
    Path("logger.py").write_text(LOGGER)
    return f"output = pipe:python3 {Path('logger.py').absolute()} log {shlex.join(words)}"


def test_pipe_gives_the_output_to_a_command_that_ends_last():
    run = fleet(worker("web", "on TERM [ sleep 200ms say bye exit 0 ] say up pause", logger()))
    until(lambda: Path("log").exists() and Path("log").read_text() == "up\n", "the logger has it")
    run.send("TERM")
    run.end(0)
    equal(Path("log").read_text(), "up\nbye\n<end>", "the log")


def test_pipe_has_one_command_for_all_instances():
    run = fleet(ENDS + worker("web", "say up", logger(), "instances = 3"))
    run.end(0)
    equal(Path("log").read_text(), "up\nup\nup\n<end>", "the log")


def test_pipe_loses_nothing_when_its_command_is_killed():
    code = ("import sys, time\nfor n in range(3000):\n    print(n)\n    if n % 100 == 0: "
            "time.sleep(0.01)\nprint('done')\ntime.sleep(1000)\n")
    # Dies after each thousand bytes, with none in hand that it has not written.
    Path("logger.py").write_text(
        "import os, signal\nout = os.open('log', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "for n in range(1000):\n    data = os.read(0, 1)\n    os.write(out, data)\n"
        "    if not data: raise SystemExit(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n")
    run = fleet(python("web", code,
                       f"output = pipe:python3 {Path('logger.py').absolute()}"),
                "--restart-delay", "10ms..10ms")
    until(lambda: Path("log").exists() and Path("log").read_text().endswith("done\n"),
          "everything is written", 25)
    equal(Path("log").read_text(), "".join(f"{n}\n" for n in range(3000)) + "done\n", "the log")
    run.send("TERM")
    run.end(0)


def test_pipe_whose_command_dies_in_the_shutdown_ends_on_our_own_output():
    Path("logger.sh").write_text("read line; echo $line > log; read line; exit 0\n")
    run = fleet(worker("web", "on TERM [ say one sleep 300ms say two exit 0 ] say up pause",
                       f"output = pipe:sh {Path('logger.sh').absolute()}"))
    until(lambda: Path("log").exists() and Path("log").read_text() == "up\n", "the logger has it")
    run.send("TERM")
    run.end(0)
    equal([line.split(" | ")[1] for line in captured(run)], ["two"], "what the logger did not take")


@cases(died="exit 3", ended="exit 0")
def test_pipe_whose_command_waits_for_its_restart_ends_on_our_own_output(end):
    run = fleet(worker("web", "on TERM [ say bye exit 0 ] say up append said up pause",
                       f"output = pipe:sh -c '{end}'"), "--restart-delay", "1h")
    run.log("web.log .* starts again")
    until(Path("said").exists, "there is something to take")
    run.send("TERM")
    run.end(0)
    equal([line.split(" | ")[1] for line in captured(run)], ["up", "bye"], "what nobody took")


def test_pipe_whose_command_is_stopped_or_restarted_alone_waits_for_it():
    run = fleet(worker("web", "on USR1 [ say more ] on TERM [ say bye exit 0 ] say up pause",
                       "output = pipe:cat"))
    run.line("^up$")
    for verb in "restart", "stop":
        ask(verb, "web.log").end(0)
    equal({name: shown["state"] for name, shown in workers().items()},
          {"web.log": "stopped", "web": "ready"}, "the states")
    ask("signal", "USR1", "web").end(0)
    ask("start", "web.log").end(0)
    run.line("^more$")
    run.send("TERM")
    run.end(0)
    check(run.out.endswith("bye\n"), "the logger ends last")
    check("refused to exit" not in run.err, "nobody was killed")


def test_pipe_command_alone_does_not_keep_us_running():
    run = fleet(ENDS + worker("web", "say up", logger()))
    run.end(0)


@deadline(60)
@cases("s6-log", "svlogd", "multilog")
def test_pipe_into_a_real_logger(name):
    needs(name)(lambda: None)()
    Path("logs").mkdir()
    place = Path("logs").absolute()
    command = {"s6-log": f"s6-log {place}", "svlogd": f"svlogd {place}",
               "multilog": f"multilog {place}"}[name]
    code = "import sys\nfor n in range(20000):\n    sys.stdout.write('line %d\\n' % n)\n"
    run = fleet(ENDS + python("web", code, f"output = pipe:{command}"))
    run.end(0, timeout=30)
    text = "".join(path.read_text() for path in sorted(place.iterdir())
                   if path.name == "current" or path.name.startswith("@"))
    equal(sorted(re.findall(r"line \d+", text)), sorted(f"line {n}" for n in range(20000)), "log")


def test_name_of_the_command_must_be_free():
    run = fleet(worker("web", "pause", "output = pipe:cat") + worker("web.log", "pause"))
    run.end(125)
    check("web.log" in run.err and "logger" in run.err, run.err)


def test_restarts_leave_no_descriptor_behind():
    """Of ours, with every kind of output, sockets and questions."""
    again = "restart = always", "restart-delay = 0s..0s"
    path = Path("it.sock").absolute()
    run = fleet(worker("a", "on USR1 [ exit 0 ] say a pause", "output = prefix",
                       f"listen = unix:{path}", *again)
                + worker("b", "on USR1 [ exit 0 ] say b pause", logger(), *again)
                + worker("c", "on USR1 [ exit 0 ] say c pause", "output = file:c",
                         "ready = exec:true", *again)
                + worker("d", "on USR1 [ exit 0 ] say d pause", "output = null", *again))

    def written():
        run.pump(0)
        texts = [Path(name).read_text() if Path(name).exists() else "" for name in ("log", "c")]
        return run.out.count("| a"), texts[0].count("b"), texts[1].count("c")

    def restart(times):
        for n in range(times):
            def all_up():
                return [pid for pid in children(run.pid) if b"USR1" in
                        Path(f"/proc/{pid}/cmdline").read_bytes()]
            before = written()
            pids = until(lambda: len(all_up()) == 4 and all_up(), "all four run")
            for pid in pids:
                os.kill(pid, signal.SIGUSR1)
            until(lambda: not set(pids) & set(children(run.pid)), "they have ended")
            until(lambda: all_up() and all(w > b for w, b in zip(written(), before)), "all is up")

    def descriptors():
        return len(os.listdir(f"/proc/{run.pid}/fd"))
    until(lambda: all(written()), "all is up")
    restart(2)
    before = descriptors()
    restart(5)
    until(lambda: descriptors() <= before, "there are as many descriptors as before")
    run.send("TERM")
    run.end(0)
