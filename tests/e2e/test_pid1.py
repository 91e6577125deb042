"""As PID 1 of a PID namespace and of a container: no zombies, no lost signals, statuses 128+N."""
import time

from harness import (cases, check, children, deadline, equal, needs, pause, pid1, runc, sig, stat,
                     until, victim)

HOW = {"namespace": (pid1,), "container": (runc,)}


def zombies(pid):
    """Of its children: {(pid, start time)}, so that a reused PID is another."""
    found = set()
    for child in children(pid):
        fields = stat(child)
        if fields and fields[0] == "Z":
            found.add((child, fields[19]))
    return found


@deadline(180)
@needs("root", "unshare", "runc")
@cases(**HOW)
def test_20000_orphans_leave_no_zombie(start):
    """Nor does any zombie wait: none is there in two looks two seconds apart."""
    run = start("--", *victim("on TERM [ exit 3 ] orphan 20000 [ exit 0 ] say done pause"))
    init = run.subject
    before, looked = set(), time.monotonic()
    while "done" not in run.out:
        run.pump(time.monotonic() + 0.05)
        check(not run.ended(), "it ended")
        if time.monotonic() - looked > 2:
            now = zombies(init)
            check(not now & before, f"zombies wait: {len(now & before)}")
            before, looked = now, time.monotonic()
    until(lambda: len(children(init)) == 1, "only the command is left")
    equal(zombies(init), set(), "zombies at the end")
    run.send("TERM")
    run.end(3)


@needs("root", "unshare", "runc")
@cases(**{f"{name}-{signal}": (HOW[name][0], signal)
          for name in HOW for signal in ("TERM", "INT", "HUP", "QUIT", "USR1")})
def test_signal_ends_the_command_with_128_plus_n(start, name):
    run = start("--", *victim("say ready pause"))
    run.line("ready")
    run.send(name)
    run.end(128 + sig(name))


@needs("root", "runc")
def test_signal_to_runc_reaches_the_command():
    """As docker stop does it."""
    run = runc("--", *victim("on TERM [ say asked exit 0 ] say ready pause"))
    run.line("ready")
    run.process.terminate()
    run.line("asked")
    run.end(0)


@needs("root", "unshare", "runc")
@cases(**HOW)
def test_pipeline_in_a_shell_ends_as_a_whole(start):
    run = start("--timeout", "20s", "--", "sh", "-c", "sleep 1000 | (echo ready; cat); true")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end(143)
    check(seconds < 5, f"it took {seconds:.1f} s")


@needs("root", "unshare", "runc")
@cases(**HOW)
def test_orphans_get_their_time(start):
    run = start("--", *victim("orphan 2 [ setsid on TERM [ say asked sleep 1s say done exit 0 ]"
                              " pause ] on TERM [ exit 0 ] say ready pause"))
    run.line("ready")
    run.send("TERM")
    run.end(0)
    equal((run.out.count("asked"), run.out.count("done")), (2, 2), "asked and done")


@needs("root", "unshare", "runc")
@cases(**HOW)
def test_refusers_are_killed_at_the_cap(start):
    run = start("--timeout", "1s", "--",
                *victim("ignore TERM orphan 2 [ setsid pause ] say ready pause"))
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end(137)
    check(0.9 < seconds < 6, f"it took {seconds:.1f} s")
    equal(run.err.count("victim ignore TERM"), 3, "command lines named")


@needs("root", "unshare", "runc")
@cases(**HOW)
def test_stops_while_orphans_storm(start):
    run = start("--timeout", "10s", "--", *victim(
        "spawn [ say ready orphan 3000 [ exit 0 ] orphan 3000 [ exit 0 ] orphan 3000 [ exit 0 ]"
        " pause ] pause"))
    run.line("ready")
    run.send("TERM")
    run.end(143)


@needs("root", "unshare")
def test_signals_that_nobody_catches_do_not_end_a_pause_container():
    """PID 1 is not ended by a signal it did not ask for."""
    run = pid1("--forever", "-vv")
    run.log("Entering run")
    for name in ("HUP", "USR1", "WINCH", "CONT", "CHLD"):
        run.send(name)
    pause(0.05)
    check(not run.ended(), "it ended")
    run.send("TERM")
    run.end(0)


@needs("root", "unshare")
def test_not_found_as_pid_1():
    pid1("--", "/nonexistent").end(127)
    pid1("--nonsense", "--", "true").end(125)
