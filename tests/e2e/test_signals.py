"""Signals sent to aiorun reach the command: none lost, none twice, none invented."""
import os
import re
import shutil
import signal
from pathlib import Path

from harness import (BINARY, VICTIM, Run, Skip, aiorun, alive, cases, check, deadline, equal,
                     expect_gone, has, kill, launch, needs, pause, pid1, put_down, shell, sig,
                     sigqueue, state, until, victim)

# Everything that neither starts a shutdown nor is special.
PLAIN = ("HUP", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "STKFLT", "TTIN", "TTOU", "TSTP", "URG",
         "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "POLL", "PWR", "SYS", "RTMIN", "RTMIN+7",
         "RTMAX")
FAULTS = ("SEGV", "ABRT", "BUS", "FPE", "ILL", "TRAP")


def received(run, until_signal):
    """Names of the signals the victim reports, up to `until_signal`."""
    names = []
    while not names or names[-1] != until_signal:
        names.append(run.line(r"^got (\S+)").group(1))
    return names


# ---- forwarding ----

@cases(*PLAIN, *FAULTS)
def test_is_forwarded(name):
    run = launch("report all on TERM [ exit 0 ] say ready pause")
    run.line("ready")
    run.send(name)
    last = "USR2" if name == "USR1" else "USR1"
    equal(received(run, name), [name], "signals")
    run.send(last)
    equal(received(run, last), [last], "signals")
    check(not run.ended(), f"{name} ended aiorun")
    run.send("TERM")
    run.end(0)


@cases("HUP", "USR1", "QUIT", "ALRM", "SEGV", "ABRT", "RTMIN+2")
def test_kills_a_command_that_does_not_catch_it_and_is_mirrored(name):
    run = launch("say ready pause")
    run.line("ready")
    run.send(name)
    run.end(name)


@cases(*FAULTS)
def test_fault_signal_sent_by_a_program_is_handled_by_the_command(name):
    run = launch(f"on {name} [ exit 7 ] say ready pause")
    run.line("ready")
    run.send(name)
    run.end(7)


@needs("root", "unshare")
@cases("HUP", "USR1", "WINCH", "SEGV", "RTMIN+7")
def test_is_forwarded_by_pid_1(name):
    run = pid1("--", *victim(f"on {name} [ exit 7 ] say ready pause"))
    run.line("ready")
    run.send(name)
    run.end(7)


def test_a_thousand_queued_signals_arrive_in_number_order_and_value():
    run = launch("report RTMIN+1 say ready pause")
    run.line("ready")
    for value in range(1000):
        sigqueue(run.pid, "RTMIN+1", value)
    values = [int(run.line(r"^got RTMIN\+1 code=-1 value=(-?\d+)").group(1)) for _ in range(1000)]
    equal(values, list(range(1000)), "values")
    run.send("TERM")
    run.end("TERM")


def test_queued_signals_of_two_numbers_keep_their_values():
    run = launch("report RTMIN+1 report RTMIN+2 on TERM [ exit 0 ] say ready pause")
    run.line("ready")
    for value in range(-100, 100):
        sigqueue(run.pid, "RTMIN+1", value)
        sigqueue(run.pid, "RTMIN+2", value)
    got = {"1": [], "2": []}
    for _ in range(400):
        match = run.line(r"^got RTMIN\+(\d) code=-1 value=(-?\d+)")
        got[match.group(1)].append(int(match.group(2)))
    equal(got, {"1": list(range(-100, 100)), "2": list(range(-100, 100))}, "values")
    run.send("TERM")
    run.end(0)


def test_value_of_an_ordinary_signal_is_forwarded():
    run = launch("report USR1 say ready pause")
    run.line("ready")
    sigqueue(run.pid, "USR1", 12345)
    run.line("got USR1 code=-1 value=12345")
    run.send("TERM")
    run.end("TERM")


def test_chld_sent_by_a_program_confuses_nobody():
    run = launch("report USR1 say ready pause")
    run.line("ready")
    for _ in range(10):
        run.send("CHLD")
    run.send("USR1")
    equal(received(run, "USR1"), ["USR1"], "signals")
    run.send("TERM")
    run.end("TERM")


def test_signals_go_to_the_command_alone():
    run = launch("report USR1 spawn [ report USR1 on TERM [ exit 0 ] pause ] say ready pause")
    run.line("ready")
    run.send("USR1")
    run.line("got USR1")
    run.send("TERM")
    run.end("TERM")
    equal(run.out.count("got USR1"), 1, "copies of USR1")


# ---- CONT and stopped commands ----

def test_cont_is_not_sent_to_a_running_command():
    run = launch("report CONT report USR1 say ready pause")
    run.line("ready")
    run.send("CONT")
    run.send("USR1")
    equal(received(run, "USR1"), ["USR1"], "signals")
    run.send("TERM")
    run.end("TERM")


def test_cont_continues_a_stopped_command():
    run = launch("say ready kill self STOP say on pause")
    run.line("ready")
    command = run.command
    until(lambda: state(command) == "T", "the command is stopped")
    pause(0.05)
    run.send("CONT")
    run.line("on")
    run.send("TERM")
    run.end("TERM")


def test_stops_itself_with_its_command_and_comes_back():
    """Where a shell could see it: not in an orphaned process group."""
    run = launch("say ready kill self STOP say on pause", group=0)
    run.line("ready")
    until(lambda: state(run.pid) == "T", "aiorun is stopped")
    run.send("CONT")
    run.line("on")
    until(lambda: state(run.pid) == "S", "aiorun runs on")
    run.send("TERM")
    run.end("TERM")


@cases("TERM", "INT")
def test_stopped_command_is_continued_so_that_it_can_obey(name):
    run = launch(f"on {name} [ say asked exit 5 ] say ready kill self STOP pause")
    run.line("ready")
    command = run.command
    until(lambda: state(command) == "T", "the command is stopped")
    run.send(name)
    if state(run.pid) == "T":
        run.send("CONT")
    run.line("asked")
    run.end(5)


def test_command_that_stops_after_it_was_asked_is_continued():
    run = launch("on TERM [ kill self STOP say on exit 5 ] say ready pause")
    run.line("ready")
    run.send("TERM")
    run.line("on")
    run.end(5)


@cases("TSTP", "TTIN", "TTOU")
def test_stop_signals_of_a_terminal_do_not_stop_aiorun_itself(name):
    run = launch(f"report {name} say ready pause")
    run.line("ready")
    run.send(name)
    run.line(f"got {name}")
    equal(state(run.pid), "S", "state of aiorun")
    run.send("TERM")
    run.end("TERM")


# ---- the first moments ----

@deadline(120)
@cases("TERM", "INT", "HUP", "USR1", "QUIT", "SEGV", "RTMIN+1")
def test_sent_right_after_the_start_it_is_not_lost(name):
    """Whenever it comes, all ends, by that signal, and nothing is left."""
    if name == "SEGV" and not has("plain"):
        raise Skip("needs plain")
    for step in range(100):
        run = launch("pause")
        if step:
            pause(step * 50e-6)
        run.send(name)
        run.end(name)


@deadline(120)
def test_sent_to_the_group_right_after_the_start_it_is_not_lost():
    """-g: a signal that comes before the command has its group is delivered all the same."""
    for step in range(100):
        run = aiorun("-g", "--", "sh", "-c", "sleep 1000 & wait")
        if step:
            pause(step * 50e-6)
        run.send("TERM")
        run.end("TERM")


@deadline(120)
def test_queued_right_after_the_start_it_keeps_its_value():
    mask = {sig("RTMIN+1")}  # else it would end aiorun before its first instruction
    for step in range(30):
        run = launch("report RTMIN+1 on TERM [ exit 0 ] say ready pause",
                     before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, mask))
        for value in range(50):
            sigqueue(run.pid, "RTMIN+1", value)
            if value == 25 and step:
                pause(step * 100e-6)
        values = [int(run.line(r"value=(\d+)").group(1)) for _ in range(50)]
        equal(values, list(range(50)), f"values after {step} steps")
        run.send("TERM")
        run.end(0)


@deadline(120)
def test_killed_right_after_the_start_it_leaves_no_command():
    """KILL of aiorun at any moment: the command gets --worker-death-signal (TERM)."""
    for step in range(100):
        run = launch("pause")
        if step:
            pause(step * 50e-6)
        run.send("KILL")
        run.wait()
        equal(run.status, -signal.SIGKILL, "status")
        expect_gone(*run.left)


# ---- what the parent left us ----

@cases("TERM", "HUP")
def test_parent_death_signal(name):
    """-p: when the parent dies, aiorun gets this signal."""
    run = Run(victim(f"spawn [ exec {BINARY} -p {name} -- {VICTIM} on {name} [ say asked exit 0 ]"
                     " say ready pause ] pause"))
    run.line("ready")
    run.send("KILL")
    run.line("asked")
    run.wait()
    expect_gone(*run.left)


def test_worker_death_signal_is_sent_when_aiorun_dies():
    run = launch("on USR1 [ say bye exit 0 ] say ready pause", "--worker-death-signal", "USR1")
    run.line("ready")
    run.send("KILL")
    run.line("bye")
    run.wait()
    expect_gone(*run.left)


def test_timer_that_survived_exec_reaches_the_command():
    """ALRM of a timer set before exec carries SI_KERNEL, and is forwarded all the same."""
    run = Run(victim(f"alarm 300ms exec {BINARY} -- {VICTIM} on ALRM [ exit 6 ] pause"))
    run.end(6)


def test_sigchld_ignored_by_the_parent_does_not_break_the_status():
    for status in (0, 7):
        launch(f"exit {status}",
               before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)).end(status)
    run = launch("orphan 3 [ pause ] spawn [ exit 2 ] exit 3",
                 before=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    run.end(3)


def test_inherited_child_is_looked_after():
    """`helper & exec aiorun ...`: neither mistaken for the command nor left behind."""
    run = shell('"$VICTIM" say helper pause & exec "$AIORUN" -- "$VICTIM" read exit 3',
                stdin=-1)
    run.line("helper")
    run.process.stdin.close()
    run.end(3)


def test_inherited_child_that_ends_first_changes_nothing():
    run = shell('"$VICTIM" exit 9 & exec "$AIORUN" -- "$VICTIM" sleep 200ms exit 3')
    run.end(3)


def test_inherited_child_is_asked_with_term_although_int_came():
    """A background child ignores INT; it gets TERM."""
    run = shell('"$VICTIM" on TERM [ say asked exit 0 ] say helper pause &'
                ' exec "$AIORUN" -- "$VICTIM" say ready pause')
    run.lines("helper", "ready")
    run.send("INT")
    run.line("asked")
    run.end("INT")


@needs("root")
def test_command_that_refuses_our_signals_is_no_catastrophe():
    """EPERM: a setuid program changed its user; that is logged, and nothing else breaks."""
    run, command = unkillable("--timeout", "60s")
    run.send("USR1")
    run.send("TERM")
    run.log("(?i)permi|EPERM")
    check(not run.ended(), "aiorun gave up at once")
    kill(command, "TERM")
    run.end("TERM", timeout=5)


@needs("root")
def test_command_that_cannot_be_killed_is_named_and_left():
    """Five seconds after the last KILL aiorun exits anyway, and says what remains."""
    run, command = unkillable("--timeout", "500ms")
    run.send("TERM")
    seconds = run.seconds(lambda: None)
    check(4.5 < seconds < 12, f"it took {seconds:.1f} s")
    check(alive(command), "the command is gone")
    check(re.search(rf"\b{command}\b", run.err.splitlines()[-1]), "the last line does not name it")
    equal(run.status, 125, "status: not that of a clean end")
    put_down(command)


def unkillable(*options):
    """aiorun as an ordinary user, and a setuid victim that has become root for good."""
    directory = Path("/tmp") / f"aiorun-e2e-setuid-{os.getpid()}"
    directory.mkdir(mode=0o755)
    try:
        path = shutil.copy(VICTIM, directory / "victim")
        os.chmod(path, 0o4755)

        def drop():
            os.setgroups([])
            os.setresgid(40001, 40001, 40001)
            os.setresuid(40001, 40001, 40001)
        run = aiorun(*options, "--", path, "setuid", "0", "say", "ready", "pause", before=drop)
        run.line("ready")
        return run, run.command
    finally:
        shutil.rmtree(directory)


# ---- rewriting and groups ----

@cases(drop=("USR1:0", "USR1", None), other=("HUP:QUIT", "HUP", "QUIT"),
       realtime=("USR2:RTMIN+1", "USR2", "RTMIN+1"), numbers=("10:12", "USR1", "USR2"))
def test_rewrite(rule, sent, arrives):
    run = launch("report all on PWR [ exit 0 ] say ready pause", "--rewrite", rule)
    run.line("ready")
    run.send(sent)
    if arrives:
        equal(received(run, arrives), [arrives], "signals")
    run.send("PWR")
    equal(received(run, "PWR"), ["PWR"], "signals")
    run.end(0)


def test_several_rewrites():
    run = launch("report all on TERM [ exit 0 ] say ready pause",
                 "--rewrite", "HUP:USR1", "--rewrite", "USR1:USR2")
    run.line("ready")
    run.send("HUP")
    run.line("got USR1")
    run.send("USR1")
    run.line("got USR2")
    run.send("TERM")
    run.end(0)


def test_rewritten_term_still_starts_a_shutdown():
    """Shutdown signals are judged as they arrive; what is sent is rewritten."""
    run = launch("on QUIT [ say quit ] say ready pause", "--rewrite", "TERM:QUIT",
                 "--timeout", "1s")
    run.line("ready")
    run.send("TERM")
    run.line("quit")
    run.end("KILL")


def test_group_gets_the_signals():
    """-g: everyone in the command's process group, and not aiorun itself."""
    run = launch("spawn [ report USR1 say in pause ] spawn [ report USR1 say in pause ]"
                 " report USR1 say ready pause", "-g")
    run.line("ready")
    run.send("USR1")
    for _ in range(3):
        run.line("got USR1")
    run.send("TERM")
    run.end("TERM")
    equal(run.out.count("got USR1"), 3, "copies")


def test_command_has_a_group_of_its_own_under_group():
    run = launch("print pids", "--group")
    pids = run.pids()
    run.end(0)
    equal(pids["pgid"], pids["pid"], "its group")


def test_signal_to_our_own_whole_group_reaches_the_command_once():
    """kill %1, timeout(1): with a group or session of its own the command gets one copy."""
    run = launch("report USR1 report USR2 say ready pause", "-g", group=0)
    run.line("ready")
    os.killpg(run.pid, signal.SIGUSR1)
    run.line("got USR1")
    run.send("USR2")
    equal(received(run, "USR2"), ["USR2"], "signals")
    run.send("TERM")
    run.end("TERM")


def test_under_timeout_1_all_ends():
    run = Run(["timeout", "--preserve-status", "0.3", BINARY, "--", *victim("say ready pause")],
              wrapped=True)
    run.end(143, "TERM")
