"""Ten thousand workers cost what ten cost, each.

Few are compared with many: what grows with the square is noticed with a thousand already.  Processor
time is what is compared; the machine's load changes how long things take, but hardly that."""
import os
import re
import signal
from pathlib import Path
from statistics import median

from harness import (VICTIM, aiorun, cases, check, children, deadline, equal, needs, pause, strace,
                     until, wrapped)

FEW, MANY = 200, 800
AGAIN = ("[worker:again]\ncommand = /bin/sh -c 'echo >>starts'\nrestart = always\n"
         "restart-delay = 0\n")


def sections(count, command):
    return "".join(f"[worker:w{i:04}]\ncommand = {command}\n" for i in range(count))


def instances(count, command):
    return f"[worker:w]\ncommand = {command}\ninstances = {count}\n"


def write(text):
    Path("fleet.ini").write_text(text)
    return "--config", "fleet.ini", "-q"


def fleet(count, command, *options, more="", kind=sections):
    run = aiorun(*write(kind(count, command) + more), *options)
    until(lambda: len(children(run.pid)) >= count, f"{count} workers run", 30)
    return run


def traced(count, more=""):
    """A fleet below strace, and a function that returns the supervisor's own system calls so far."""
    run = strace("trace", *write(sections(count, f"{VICTIM} pause") + more))
    until(lambda: any(len(children(pid)) >= count for pid in children(run.pid)), "all run", 40)

    def calls():
        return re.findall(r"^(\w+)\(", Path("trace").read_text(), re.M)
    return run, calls


def processor_time(run):
    """Seconds, of the supervisor alone, all that ran in it so far."""
    return int(Path(f"/proc/{run.pid}/schedstat").read_text().split()[0]) / 1e9


def last_processor_time(run):
    """The same up to its end."""
    times = [processor_time(run)]

    def over():
        try:
            times.append(processor_time(run))
        except OSError:
            return True
        return run.ended()
    until(over, "it has ended", 30)
    return max(times)


def compare(cost, most, less=FEW, more=MANY):
    """What `cost` takes for each worker may grow by that factor from `less` to `more`."""
    few, many = cost(less) / less, cost(more) / more
    check(many <= most * few,
          f"a worker costs {few * 1e6:.0f} us with {less} of them, and {many * 1e6:.0f} with {more}")


@needs("plain")
def test_a_reload_costs_the_same_among_many():
    """Nobody runs: what is measured is the comparison of two files."""
    def cost(count):
        text = sections(count, "x\nautostart = no")
        run = aiorun(*write(text), "--forever", "--control", "here.sock")
        until(lambda: Path("here.sock").exists(), "it listens", 30)
        write(text + "[worker:new]\ncommand = x\nautostart = no\n")
        before = processor_time(run)
        aiorun("reload", "--control", "here.sock").end(0)
        spent = processor_time(run) - before
        os.kill(run.pid, signal.SIGTERM)
        run.end(0)
        return spent
    compare(cost, 2, 2000, 16000)


@needs("plain")
def test_five_hundred_come_and_go():
    run = fleet(500, f"{VICTIM} pause")
    equal(len(children(run.pid)), 500, "workers")
    pipes = len(os.listdir(f"/proc/{run.pid}/fd"))
    check(pipes <= 512, f"{pipes} descriptors for 500 workers")
    run.send("TERM")
    run.end(0)


@needs("plain")
@deadline(60)
def test_a_start_and_an_end_cost_the_same_among_many():
    def cost(count):
        run = fleet(count, f"{VICTIM} pause")
        run.send("TERM")
        spent = last_processor_time(run)
        run.end(0)
        return spent
    compare(cost, 2)


@needs("plain")
@deadline(60)
def test_a_refusal_to_end_costs_the_same_among_many():
    def cost(count):
        run = fleet(count, "/usr/bin/env --ignore-signal=TERM /bin/sleep 1000", "--timeout", "1s")
        until(lambda: all("sleep" in Path(f"/proc/{pid}/comm").read_text()
                          for pid in children(run.pid)), "all ignore their stop request", 30)
        run.send("TERM")
        spent = last_processor_time(run)
        run.end("KILL")
        return spent
    compare(cost, 2)


@needs("plain")
@deadline(60)
def test_a_restart_costs_nearly_the_same_among_many():
    """Nearly: the kernel looks through all children for one that has ended."""
    def cost(count):
        Path("starts").write_text("")
        run = fleet(count, f"{VICTIM} pause", more=AGAIN)
        until(lambda: os.path.getsize("starts") > 20, "the start is over")
        starts, spent = os.path.getsize("starts"), processor_time(run)
        pause(1)
        spent = processor_time(run) - spent
        starts = os.path.getsize("starts") - starts
        run.send("TERM")
        run.end(0)
        return spent / starts
    few, many = cost(10), cost(MANY)
    check(many <= 4 * few, f"a restart costs {few * 1e6:.0f} us, and {many * 1e6:.0f} among {MANY}")


# ---- what a worker takes; counted, so that it does not depend on the machine ----

@needs("plain")
@deadline(60)
@cases(section=(sections, 0.8), instance=(instances, 0.5))
def test_memory_of_one_more(kind, most):
    """KiB, each page divided by those who share it (proc(5), Pss)."""
    def memory(count):
        run = fleet(count, f"{VICTIM} pause", kind=kind)
        text = Path(f"/proc/{run.pid}/smaps_rollup").read_text()
        run.send("TERM")
        run.end(0)
        return int(re.search(r"^Pss: +(\d+)", text, re.M)[1])
    each = (memory(MANY) - memory(FEW)) / (MANY - FEW)
    check(each <= most, f"{each:.2f} KiB for one more")


@deadline(180)
def test_nobody_is_taken_for_left_over_who_was_killed_and_reaped():
    """However many were: 8,192 are remembered as long as they are there."""
    options = write("[aiorun]\ncontrol = socket\n" + instances(1000, f"{VICTIM} pause")
                    + "stop-timeout = 1ms\nsuccess-status = SIGKILL\n")[:2]
    ignoring = ["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"]  # so do they, from the beginning
    log = open("log", "w")  # has room for every line
    run = wrapped(ignoring, *options, stderr=log)
    for _ in range(9):
        until(lambda: len(children(run.pid)) == 1000, "all run", 40)
        for verb in "stop", "start":
            equal(aiorun(verb, "--all", "--control", "socket").wait(40), 0, verb)
    equal(aiorun("shutdown", "--control", "socket").wait(40), 0, "shutdown")
    run.end(0, timeout=40)
    check("are left over" not in Path("log").read_text(), "who is gone is left over")


@needs("strace")
@deadline(90)
def test_system_calls_of_a_start_and_of_a_stop():
    def cost(count):
        run, calls = traced(count)
        until(lambda: calls().count("clone") + calls().count("vfork") >= count, "all are started")
        started = len(calls())
        run.send("TERM")
        run.end(0)
        return started, len(calls()) - started
    # Ends that come one by one, as on a busy machine, take a wait each.
    few, many = (map(min, zip(*(cost(count) for _ in range(3)))) for count in (50, 250))
    for what, one, other, most in zip(("start", "stop"), few, many, (9.1, 8.5)):
        each = (other - one) / 200
        check(each <= most, f"{each:.1f} system calls for one more {what}")


@needs("strace")
@deadline(90)
def test_system_calls_of_a_restart():
    """The same beside many, to the last one: what has ended is found without looking at others."""
    def cost(count):
        Path("starts").write_text("")
        run, calls = traced(count, AGAIN)
        until(lambda: os.path.getsize("starts") > 60, "it is restarted", 40)
        made = calls()
        run.send("TERM")
        run.end(0)
        starts = [n for n, call in enumerate(made) if call == "socketpair"][-40:]
        return median(after - start for start, after in zip(starts, starts[1:]))
    few, many = (min(cost(count) for _ in range(3)) for count in (5, 200))
    check(max(few, many) <= 18, f"{few:.1f} system calls for a restart, {many:.1f} beside 200")
