"""Ten thousand workers cost what ten cost, each.

Few are compared with many: what grows with the square is noticed with a thousand already.  Processor
time is what is compared; the machine's load changes how long things take, but hardly that."""
import os
from pathlib import Path

from harness import VICTIM, aiorun, check, children, deadline, equal, needs, pause, until

FEW, MANY = 200, 800


def fleet(count, command, *options, more=""):
    sections = [f"[worker:w{i:04}]\ncommand = {command}\n" for i in range(count)]
    Path("fleet.ini").write_text("".join(sections) + more)
    run = aiorun("--config", "fleet.ini", "-q", *options)
    until(lambda: len(children(run.pid)) >= count, f"{count} workers run", 30)
    return run


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


def compare(cost, most):
    """What `cost` takes for each worker may grow by that factor from FEW to MANY."""
    few, many = cost(FEW) / FEW, cost(MANY) / MANY
    check(many <= most * few,
          f"a worker costs {few * 1e6:.0f} us with {FEW} of them, and {many * 1e6:.0f} with {MANY}")


@needs("plain")
def test_five_hundred_come_and_go():
    run = fleet(500, f"{VICTIM} pause")
    equal(len(children(run.pid)), 500, "workers")
    pipes = len(os.listdir(f"/proc/{run.pid}/fd"))
    check(pipes < 520, f"{pipes} descriptors for 500 workers")
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
    again = ("[worker:again]\ncommand = /bin/sh -c 'echo >>starts'\nrestart = always\n"
             "restart-delay = 0\n")

    def cost(count):
        Path("starts").write_text("")
        run = fleet(count, f"{VICTIM} pause", more=again)
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
