"""Idle means idle: not one system call while nothing happens."""
import os
import time
from pathlib import Path

from harness import (LONG, cases, check, deadline, equal, needs, put_down, state, strace, until,
                     victim)

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
