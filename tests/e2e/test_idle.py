"""Idle means idle: not one system call while nothing happens.  And small: what a launcher takes."""
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

from harness import (BINARY, LONG, ROOT, Run, Skip, cases, check, deadline, equal, needs,
                     put_down, state, strace, until, victim)

WINDOW = 130 if LONG else 5  # libev's own timer, where there is one, wakes after 59.7 s


def silent(run, log):
    """No line is added to the trace, and the process sits in its wait call, for the window."""
    def settled():
        size = os.path.getsize(log)
        time.sleep(0.2)
        return size == os.path.getsize(log) and state(run.subject) == "S"
    until(settled, "aiorun is idle")
    before = Path(log).read_text()
    switches = context_switches(run.subject)
    time.sleep(WINDOW)  # the window is what is measured
    after = Path(log).read_text()
    equal(after[len(before):], "", "system calls in the window")
    equal(context_switches(run.subject), switches, "context switches")
    last = after.splitlines()[-1]
    check(last.startswith(("epoll_", "poll(", "ppoll(", "select(", "pselect", "rt_sigtimedwait(",
                           "wait", "read(")), f"it sits in {last}")


def context_switches(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in lines if "voluntary" in line][0]


@needs("strace")
@deadline(WINDOW + 40)
@cases(launcher=((), "say ready pause", ()),
       verbose=(("-vv",), "say ready pause", ()),
       reporting=(("--report", "report"), "say ready pause", ()),
       restarting=(("--restart", "always"), "say ready pause", ()),
       restart_delay=(("--restart", "always", "--restart-delay", "1h..1h"), "say ready", ()),
       forever_after_main=(("--forever",), "say ready", ()),
       after_orphans=((), "orphan 50 [ exit 0 ] say ready pause", ()),
       with_orphans=((), "orphan 5 [ pause ] say ready pause", ()),
       after_signals=((), "report USR1 say ready pause", ("USR1", "USR1", "WINCH")),
       draining=(("--drain-delay", "10m", "--timeout", "1h"), "ignore TERM say ready pause",
                 ("TERM",)),
       stopping=(("--timeout", "1h"), "ignore TERM say ready pause", ("TERM",), "Waiting for"),
       stopping_endless=(("--timeout", "infinity"), "ignore TERM say ready pause", ("TERM",),
                         "Waiting for"))
def test_no_system_call_while_idle(options, script, signals, log=None):
    run = strace("trace", *options, "--", *victim(script))
    run.line("ready")
    for name in signals:
        run.send(name)
    if log:
        run.log(log)
    silent(run, "trace")
    run.send("KILL")
    run.wait()
    put_down(*run.left)


@needs("strace")
@deadline(WINDOW + 40)
def test_no_system_call_while_idle_without_a_command():
    run = strace("trace", "--forever", "-vv")
    run.log("Entering run")
    silent(run, "trace")
    run.send("TERM")
    run.end(0)


@needs("strace")
@deadline(WINDOW + 40)
def test_no_system_call_while_idle_after_many_captured_lines():
    Path("web.py").write_text("import os, signal\nfor n in range(5000):\n"
                              "    os.write(1, b'%d\\n' % n)\nsignal.pause()\n")
    Path("fleet.ini").write_text("[worker:web]\noutput = prefix\n"
                                 f"command = python3 {Path('web.py').absolute()}\n")
    run = strace("trace", "--config", "fleet.ini")
    run.line(r"web \| 4999")
    silent(run, "trace")
    run.send("TERM")
    run.end(0)


# ---- small ----

PAGE = resource.getpagesize() // 1024  # KiB


def writable(pid):
    """KiB of a process's own memory: of its stack, and of everything else.  Where the stack begins
    in its first page is up to chance, and the loader may need a page of it more or less."""
    sizes = {True: 0, False: 0}
    for head, body in re.findall(r"^([0-9a-f]+-[0-9a-f]+ .*)\n((?:[A-Z].*\n)+)",
                                 Path(f"/proc/{pid}/smaps").read_text(), re.M):
        sizes[head.endswith("[stack]")] += int(re.search(r"^Anonymous: +(\d+) kB", body, re.M)[1])
    return sizes[True], sizes[False]


def static():
    path = ROOT / "build" / "static" / "aiorun"
    if not path.exists():
        raise Skip("needs build/static/aiorun: make static")
    return str(path)


def footprint(program, *options):
    """(stack, rest) once it waits for its command, which is ready."""
    run = Run([program, *options, "--", *victim("say ready pause")],
              only_env={"PATH": "/usr/bin:/bin"})
    run.line("ready")
    until(lambda: state(run.pid) == "S", "aiorun waits")
    found = writable(run.pid)
    run.send("TERM")
    run.end("TERM")
    return found


@needs("plain")
@cases(control=((), 4), no_control=(("--no-control",), 3))
def test_launcher_has_few_pages_of_its_own(options, pages):
    """Beside the 18 that the loader and the C library make theirs in the least program."""
    stack, rest = footprint(BINARY, *options)
    check(stack <= 4 * PAGE, f"{stack} KiB of stack")
    check(rest <= (18 + pages) * PAGE, f"{rest} KiB")


@needs("plain")
@cases(control=(), no_control=("--no-control",))
def test_static_launcher_has_few_pages_and_a_stack(*options):
    stack, rest = footprint(static(), *options)
    check(stack <= 4 * PAGE, f"{stack} KiB of stack")
    check(rest <= 4 * PAGE, f"{rest} KiB")


@needs("strace", "plain")
@cases(control=((), 23), no_control=(("--no-control",), 17))
def test_start_takes_few_system_calls(options, most):
    """From the first of our own to the command's program; none of them asks for memory."""
    run = strace("trace", *options, "--", *victim("exit 0"))
    run.end(0)
    calls = Path("trace").read_text().splitlines()
    names = [line.split("(")[0] for line in calls]
    ours = names[names.index("rt_sigprocmask"):names.index("vfork")]
    check(len(ours) <= most, f"{len(ours)}: {ours}")
    equal([name for name in ours if name in ("brk", "mmap")], [], "calls for memory")


@needs("strace")
@deadline(WINDOW + 40)
def test_a_private_channel_whose_sender_has_kept_our_end_is_forgotten_when_it_ends():
    """It is the same open file, so the kernel would go on to tell of it."""
    run = strace("trace", "--", sys.executable, "-c", """if True:
        import os, signal, socket
        ours, theirs = socket.socketpair()
        pipe = socket.socket(fileno=int(os.environ["AIORUN_CONTROL_FD"]))
        socket.send_fds(pipe, [b"attach\\n"], [theirs.fileno()])
        assert ours.recv(64) == b"ok 1\\n"
        ours.close()
        print("ready", flush=True)
        signal.pause()""")
    run.line("ready")
    silent(run, "trace")
    os.kill(run.subject, signal.SIGTERM)
    run.end("TERM")
