"""An aiorun below another one: it ends inside the time that it is given, and hands on what it is
told."""
import json
import re
import shlex
import socket
from pathlib import Path

from harness import (BINARY, Run, aiorun, alive, cases, check, children, equal, pause, until,
                     victim)
from speaker import Speaker, take_descriptor
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


@cases("9", "100", "1000")
def test_outer_one_is_heard_whatever_the_number_of_its_pipe(fd):
    run = aiorun("--control-fd", fd, "--timeout", "30s", "-v", "--",
                 BINARY, "-v", "--", *victim("on TERM [ exit 3 ] say ready pause"))
    run.line("ready")
    run.send("TERM")
    run.end(3)
    run.log("The aiorun around us lets a shutdown take")


def test_drain_delay_and_callback_shrink_with_the_time():
    """As if the timeout had been as short from the beginning: a quarter is the most they have."""
    stand_in = StandIn()
    run = below(stand_in, "on TERM [ say asked exit 0 ] say ready pause", "--timeout", "60s",
                "--drain-delay", "15s", "--shutdown-callback", shlex.join(victim("pause")))
    stand_in.say("shutdown request 2")
    run.line("asked")
    run.log("killed by SIGKILL")
    run.wait()


# ---- shields ----

def pipe_below(inner):
    """The control pipe of the command of the aiorun with this pid."""
    [command] = until(lambda: children(inner), "its command")
    return Speaker(socket.socket(fileno=take_descriptor(command, 9)))


def seconds(line):
    """Of a shield that aiorun holds."""
    return float(re.fullmatch(r"shield aiorun ([\d.]+)", line)[1])


def test_outer_one_is_told_of_shields_as_if_they_were_one():
    stand_in = StandIn()
    run = below(stand_in, "on TERM [ exit 0 ] say ready pause")
    pipe = pipe_below(run.pid)
    pipe.say("shield a 20")
    check(19 < seconds(stand_in.line()) <= 20, "the time of the first")
    pipe.say("shield b 10", "unshield b", "shield c 30")
    check(29 < seconds(stand_in.line()) <= 30, "the time of one that lasts longer")
    equal(stand_in.line(), "unshield aiorun", "it is held once")
    pipe.say("shield d", "unshield c", "unshield a")
    equal(stand_in.line(), "shield aiorun", "one without a deadline")
    equal(stand_in.line(), "unshield aiorun", "it is held once")
    pipe.say("unshield d")
    equal(stand_in.line(), "unshield aiorun", "the last one is over")
    run.send("TERM")
    run.end(0)


@cases(job=("shield", 15), queued=("submit", None))
def test_outer_one_is_told_of_jobs(verb, time):
    stand_in = StandIn()
    options = ["--deadline", "15s"] if verb == "shield" else []
    words = [BINARY, verb, *options, "--", *victim("sleep 300ms")]
    run = below(stand_in, f"spawn [ exec {' '.join(words)} ] on TERM [ exit 0 ] say ready pause")
    line = stand_in.line()
    check(time - 1 < seconds(line) <= time if time else line == "shield aiorun", line)
    equal(stand_in.line(), "unshield aiorun", "it has ended")
    run.send("TERM")
    run.end(0)


def test_outer_one_waits_for_a_shield_below_the_inner_one():
    """Longer than its own stop-timeout."""
    run = aiorun("--timeout", "30s", "--stop-timeout", "500ms", "--control", "outer.sock", "--",
                 BINARY, "--timeout", "30s", "--",
                 *victim("on TERM [ say asked exit 0 ] say ready pause"))
    run.line("ready")
    pipe = pipe_below(run.command)
    pipe.say("shield upload 20")

    def is_held():
        status = Run([BINARY, "status", "--json", "--control", "outer.sock"])
        status.end(0)
        return json.loads(status.out)["workers"][0]["shields"] == ["aiorun"]
    until(is_held, "the outer one has been told")
    run.send("TERM")
    check(pipe.line().startswith("shutdown "), "the stop request")
    pause(1)  # twice its time
    check(alive(run.pid), "the shield is not waited for")
    pipe.say("unshield upload")
    run.line("asked")
    run.end(0)
