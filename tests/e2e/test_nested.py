"""An aiorun below another one: it ends inside the time that it is given, and hands on what it is
told."""
import json
import shlex
from pathlib import Path

from harness import BINARY, aiorun, check, equal, victim
from stand_in import StandIn

STUBBORN = "on TERM [ say asked ] say ready pause"


def below(stand_in, script, *options):
    """One whose outer one is the test."""
    run = stand_in.start([BINARY, "-v", *options, "--", *victim(script)])
    run.line("ready")
    return run


def test_inner_one_ends_before_the_outer_one_would_kill_it():
    run = aiorun("--timeout", "30s", "--stop-timeout", "3s", "-v", "--",
                 BINARY, "-v", "--", *victim(STUBBORN))
    run.line("ready")
    run.send("TERM")
    run.line("asked")
    run.end("KILL")
    run.log("The aiorun around us lets a shutdown take 2.[0-9] s")
    equal(run.err.count("refused to exit"), 1, "who has to kill")
    refused = run.log(r"main: pid \d+, .*: (.*)").group(1)
    check(STUBBORN in refused and "aiorun" not in refused.split()[0].rpartition("/")[2], refused)


def test_time_of_the_outer_one_is_the_cap_although_the_signal_comes_first():
    stand_in = StandIn()
    run = below(stand_in, STUBBORN, "--timeout", "60s", "--report", "report.json")
    run.send("TERM")
    run.line("asked")
    stand_in.say("shutdown signal 1")
    run.end("KILL")
    report = json.loads(Path("report.json").read_text())
    check(report["took_ms"] < 30000 and report["timeout_ms"] < 30000, f"the cap: {report}")


def test_time_of_the_outer_one_lengthens_nothing():
    stand_in = StandIn()
    run = below(stand_in, STUBBORN, "--timeout", "1s")
    stand_in.say("shutdown request 50")
    run.line("asked")
    run.end("KILL")
    run.log("refused to exit after 1 seconds")
    check("around us lets" not in run.err, run.err)


def test_outer_one_with_all_the_time_leaves_the_cap_as_it_is():
    stand_in = StandIn()
    run = below(stand_in, STUBBORN, "--timeout", "1s")
    stand_in.say("shutdown request infinity")
    run.end("KILL")
    run.log("refused to exit after 1 seconds")


def test_drain_delay_and_callback_shrink_with_the_time():
    """As if the timeout had been as short from the beginning: a quarter is the most they have."""
    stand_in = StandIn()
    run = below(stand_in, "on TERM [ say asked exit 0 ] say ready pause", "--timeout", "60s",
                "--drain-delay", "15s", "--shutdown-callback", shlex.join(victim("pause")))
    stand_in.say("shutdown request 2")
    run.line("asked")
    run.log("killed by SIGKILL")
    run.wait()
