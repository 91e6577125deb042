"""The control pipe: what a run says over it, shields, private channels, and who abuses it."""
import os
import re
import socket
import struct
import time
from pathlib import Path

from harness import (BINARY, CONTROL_VARIABLES, VICTIM, Skip, aiorun, cases, check, children,
                     deadline, equal, kill, launch, pause, shell, stat, state, status_field, until,
                     victim)
from speaker import Speaker, descriptors, environment_of, pipe_of, request
from terminal import Shell

ASKED = "report TERM on TERM [ exit 3 ] say ready pause"
REFUSED = r"the following tasks refused to exit after (\S+) seconds"


def begin(script=ASKED, *options, **how):
    """A command that says `ready`, and its pipe."""
    run = launch(script, *options, **how)
    run.line("ready")
    pipe = pipe_of(run)
    settled(run, pipe)
    return run, pipe


def sockets(pid):
    return [what for what in descriptors(pid).values() if what.startswith("socket:")]


def settled(run, pipe):
    """What was said is read, and nothing is open but what a run costs."""
    pipe.seen()
    until(lambda: len(sockets(run.subject)) == 1, "the supervisor has one socket")


def stop(run, pipe, seconds=None):
    """Ask for a shutdown and wait until the run was told."""
    run.send("TERM")
    line = pipe.line()
    match = re.fullmatch(r"shutdown signal (\S+)", line)
    check(match, f"what the run is told is {line!r}")
    return float(match.group(1))


def steady(run, before):
    """Wait until the supervisor has as many descriptors as it had."""
    until(lambda: len(descriptors(run.pid)) == before,
          f"there are {before} descriptors again, not {descriptors(run.pid)}")


def control_variables(run):
    """Of what `print env` printed."""
    return [line for line in run.out.splitlines()
            if line.startswith("env ") and line[4:].split("=")[0] in CONTROL_VARIABLES]


# ---- what a run is given ----

def test_run_finds_its_pipe_and_who_it_is():
    run, pipe = begin()
    variables = environment_of(run.command)
    equal(variables["AIORUN_CONTROL_FD"], "9", "the descriptor")
    equal(variables["AIORUN_PROTOCOL"], "1", "the protocol")
    equal(variables["AIORUN_WORKER"], "main", "the worker")
    equal(variables["AIORUN_INSTANCE"], "0", "the instance")
    equal(variables["AIORUN_PID"], str(run.pid), "the supervisor")
    status = os.fstat(pipe.sock.fileno())
    equal(variables["AIORUN_CONTROL_ID"], f"{status.st_dev}:{status.st_ino}", "the identity")
    run.send("TERM")
    run.end(3)


def test_run_has_one_descriptor_more_and_the_supervisor_too():
    run = launch("print fds say ready pause")
    run.line("ready")
    fds = re.findall(r"^fd (\d+) (\S+)", run.out, re.M)
    equal(sorted(int(fd) for fd, _ in fds), [0, 1, 2, 9], "the command's descriptors")
    until(lambda: len(sockets(run.pid)) == 1, "the supervisor has one socket")
    run.send("TERM")
    run.end("TERM")
    run = launch("say ready pause", "--no-control")
    run.line("ready")
    equal(len(sockets(run.pid)), 0, "sockets of the supervisor")
    run.send("TERM")
    run.end("TERM")


def test_no_control_sets_nothing_and_opens_nothing():
    run = launch("print env print fds", "--no-control")
    run.end(0)
    equal(control_variables(run), [], "variables")
    equal(re.findall(r"^fd (\d+)", run.out, re.M), ["0", "1", "2"], "descriptors")


def test_control_fd_can_be_chosen():
    run = launch("print env print fds", "--control-fd", "23")
    run.end(0)
    run.line("^env AIORUN_CONTROL_FD=23$")
    run.line("^fd 23 socket:")


def test_control_fd_that_is_taken_is_refused():
    fd = os.open("/dev/null", os.O_RDONLY)
    os.dup2(fd, 7)
    run = launch("say ready", "--control-fd", "7", fds=(7,))
    run.end(125)
    check("--control-fd" in run.err and "7" in run.err, "the sentence does not name it")


def test_descriptor_nine_is_left_to_whoever_has_it():
    file = os.open("lock", os.O_RDWR | os.O_CREAT)
    os.dup2(file, 9)
    run = launch("print env print fds", fds=(9,))
    run.end(0)
    run.line("^env AIORUN_CONTROL_FD=8$")
    check(re.search(r"^fd 8 socket:", run.out, re.M), "8 is no socket")
    check(re.search(r"^fd 9 .*/lock$", run.out, re.M), "9 is not what it was")


def test_all_single_digits_taken_means_ten():
    taken = " ".join(f"{fd}<lock" for fd in range(3, 10))
    Path("lock").touch()
    run = shell(f"exec {taken}; exec $AIORUN -- $VICTIM print env")
    run.end(0)
    run.line(r"^env AIORUN_CONTROL_FD=1\d$")


def test_variables_of_an_outer_one_are_replaced():
    run = launch("print env", env={name: "outer" for name in CONTROL_VARIABLES})
    run.end(0)
    found = control_variables(run)
    equal({line[4:].split("=")[0] for line in found}, CONTROL_VARIABLES, "variables")
    equal(len(found), len(CONTROL_VARIABLES), "how many")
    check("outer" not in "".join(found), f"an outer one is left: {found}")


def test_variables_that_the_user_sets_do_not_stand_in_the_way():
    options = [word for name in CONTROL_VARIABLES for word in ("--env", f"{name}=mine")]
    run = launch("print env", *options)
    run.end(0)
    found = control_variables(run)
    equal(len(found), len(CONTROL_VARIABLES), f"variables in {found}")
    check("=mine" not in "".join(found), f"the command is misled: {found}")


def test_no_control_lets_an_outer_pipe_through():
    outer = launch("exec " + " ".join([BINARY, "--no-control", "--", VICTIM, "say", "ready",
                                       "pause"]))
    outer.line("ready")
    pipe = pipe_of(outer, until(lambda: children(outer.command), "the inner command")[0])
    pipe.say("shutdown 7")
    outer.end(7)


def test_inner_one_has_a_pipe_of_its_own_and_hides_the_outer():
    run = aiorun("--", BINARY, "--", *victim("print fds print env say ready pause"))
    run.line("ready")
    inner = run.command
    pid = re.search(r"^env AIORUN_PID=(\d+)$", run.out, re.M).group(1)
    equal(int(pid), inner, "whom the command is told")
    equal(re.findall(r"^fd (\d+) socket", run.out, re.M), ["9"], "control pipes of the command")
    run.send("TERM")
    run.end("TERM")


def test_first_line_is_heard_although_somebody_has_sent_a_sigio():
    """A launcher hears of it by a SIGIO, of which the kernel keeps one, whoever has sent it."""
    run = launch(f"ignore POLL {ASKED}")
    run.line("ready")
    pipe = pipe_of(run)
    kill(run.subject, "STOP")
    until(lambda: state(run.subject) == "T", "it is stopped")
    kill(run.subject, "IO")
    pipe.say("shutdown 5")
    kill(run.subject, "CONT")
    check(pipe.line().startswith("shutdown "), "what the run is told")
    run.end(5)


# ---- lines ----

def test_shell_speaks_with_echo():
    run = aiorun("-vv", "--", "/bin/sh", "-c",
                 'echo "status from a shell" >&9; echo "shutdown 4" >&9; exec sleep 60')
    run.end(4)
    run.log("from a shell")


def test_dash_reads_its_stop_request():
    run = aiorun("--", "/bin/sh", "-c",
                 "trap '' TERM; echo ready; read verb reason seconds <&9; echo $verb $reason; exit 6")
    run.line("ready")
    run.send("TERM")
    run.end(6)
    run.line("^shutdown signal$")


@cases(none=("", 0), seven=(" 7", 7), zero=(" 0", 0), most=(" 255", 255))
def test_shutdown_line_is_a_trigger_with_a_status(status, wanted):
    run, pipe = begin("on TERM [ exit 0 ] say ready pause")
    pipe.say(f"shutdown{status}")
    match = re.fullmatch(r"shutdown request (\S+)", pipe.line())
    check(match and 50 < float(match.group(1)) <= 60, "what it is told")
    run.end(wanted)


def test_shutdown_status_outranks_the_commands_failure():
    run, pipe = begin("on TERM [ exit 9 ] say ready pause")
    pipe.say("shutdown 0")
    run.end(0)


def test_first_shutdown_status_wins():
    run, pipe = begin("on TERM [ exit 0 ] say ready pause")
    pipe.say("shutdown 5", "shutdown 6")
    run.end(5)


@cases(**{"shutdown": ("shutdown 4", 4), "error": ("error it broke", 1)})
def test_last_words_before_the_end_count(line, status):
    """The line is in the pipe when its writer's end is seen, at the latest."""
    for _ in range(10):
        run = aiorun("--", "/bin/sh", "-c", f'echo "{line}" >&9')
        run.end(status)


def test_last_words_of_a_child_count():
    run = aiorun("--", "/bin/sh", "-c", '(echo "shutdown 4" >&9) & wait; exit 0')
    run.end(4)


def test_error_is_logged_and_is_the_exit_status():
    run, pipe = begin("on TERM [ exit 0 ] say ready pause")
    pipe.say("error the disk is on fire")
    run.log("main.*the disk is on fire")
    pause(0.1)
    check(not run.ended(), "it ended for an error without --stop-on-unhandled-errors")
    check("exited" not in run.err, "it is said to have exited")
    run.send("TERM")
    run.end(1)


def test_error_is_a_trigger_with_stop_on_unhandled_errors():
    run, pipe = begin("on TERM [ exit 0 ] say ready pause", "--stop-on-unhandled-errors", "-v")
    pipe.say("error it broke")
    check(pipe.line().startswith("shutdown error "), "the reason")
    run.end(1)
    run.log("Unhandled error; stopping the loop")
    check("exited with status 1" not in run.err, "the command is said to have exited")


def test_error_calls_the_on_error_command():
    run, pipe = begin("on TERM [ exit 0 ] say ready pause", "--on-error",
                      "sh -c 'env | grep ^AIORUN_ERROR | sort >told; mv told error'")
    command = run.command
    longest = "it broke = \u00e4 " + 1003 * "x"
    pipe.say("error " + longest)
    until(lambda: Path("error").exists(), "on-error was called")
    equal(Path("error").read_text().splitlines(),
          [f"AIORUN_ERROR_PID={command}", "AIORUN_ERROR_STATUS=1", f"AIORUN_ERROR_TEXT={longest}",
           "AIORUN_ERROR_WORKER=main"], "what it is told")
    run.send("TERM")
    run.end(1)


def test_every_verb_is_answered_on_a_private_channel():
    run, pipe = begin()
    channel = pipe.attach()
    for line in ("ready", "status all is well", "shield a", "shield a 20", "shield b infinity",
                 "shield c 0.25", "unshield a", "unshield a", "watchdog", "error it broke"):
        equal(channel.ask(line), "ok", f"the answer to {line!r}")
    equal(channel.ask("unshield b"), "ok", "unshield")
    run.send("TERM")
    run.end(1)


def test_wrong_lines_are_answered_with_a_sentence():
    run, pipe = begin()
    channel = pipe.attach()
    for line in ("", " ", "nonsense", "READY", "ready now", "ready ", " ready", "shield",
                 "shield two words", "shield a  5", "shield a -1", "shield a 1e3", "shield a .5",
                 "shield a 5.", "shield ä", "shield " + 64 * "x", "unshield a", "shutdown 256",
                 "shutdown -1", "shutdown 1 2", "extend", "extend x", "extend 5", "error",
                 "status", "attach", "job", "job a", "submit", "submit a", "submit a b",
                 "status tab\there", "shield a 999999999999", "status " + 1100 * "x"):
        answer = channel.ask(line)
        check(re.match(r"error \S.* .*\S$", answer), f"the answer to {line!r} is {answer!r}")
    channel.send(b"status \xff\xfe\n")
    check(channel.line().startswith("error "), "what is no UTF-8")
    channel.send(b"status nul\0here\n")
    check(channel.line().startswith("error "), "a NUL")
    equal(channel.ask("shield " + 63 * "x"), "ok", "the longest name")
    equal(channel.ask("status " + 1016 * "x"), "ok", "the longest line")
    equal(channel.ask("status grün, and with  two spaces"), "ok", "UTF-8")
    equal(channel.ask("unshield " + 63 * "x"), "ok", "the longest name")
    run.send("TERM")
    run.end(3)


def test_malformed_lines_are_logged_once_a_run():
    run, pipe = begin("on TERM [ exit 0 ] say ready pause", "--restart", "always",
                      "--restart-delay", "0..0")
    for times in (1, 2):
        pipe.say("nonsense", "more nonsense", "shield")
        pipe.seen()
        run.log("main sent a line .* ignored: the verb is unknown")
        equal(run.err.count("ignored"), times, "times it is logged")
        before = run.command
        kill(before)
        run.line("ready")
        until(lambda: children(run.pid) not in ([], [before]), "it runs again")
        pipe = pipe_of(run)
    run.send("TERM")
    run.end(0, 137)


def test_lines_may_come_in_pieces():
    run, pipe = begin()
    channel = pipe.attach()
    for byte in b"status in pieces\nshield a":
        channel.send(bytes([byte]))
        pause(0.001)
    equal(channel.line(), "ok", "the answer to the first")
    channel.send(b" 30\nuns")
    equal(channel.line(), "ok", "the answer to the second")
    channel.send(b"hield a\nunshield a\n")
    equal(channel.line(), "ok", "the answer to the third")
    check(channel.line().startswith("error"), "the shield was there twice")
    run.send("TERM")
    run.end(3)


def test_half_a_line_stays_and_harms_nobody():
    run, pipe = begin()
    other = pipe.attach()
    pipe.send(b"shield for")
    equal(other.ask("status x"), "ok", "the answer on another channel")
    other.close()
    run.send("TERM")
    run.end(3)


# ---- shields ----

def test_shield_keeps_the_signal_away_until_it_is_released():
    run, pipe = begin()
    channel = pipe.attach()
    equal(channel.ask("shield upload"), "ok", "shield")
    stop(run, pipe)
    pause(0.2)
    equal(run.out.count("got TERM"), 0, "times it was signalled behind its shield")
    equal(channel.ask("unshield upload"), "ok", "unshield")
    start = time.monotonic()
    run.end(3)
    check(time.monotonic() - start < 10, "the stop signal did not come at once")
    equal(run.out.count("got TERM"), 1, "times it was asked")


def test_shield_nests_by_count():
    run, pipe = begin()
    channel = pipe.attach()
    for line in ("shield a", "shield a", "shield b", "unshield a"):
        equal(channel.ask(line), "ok", line)
    stop(run, pipe)
    equal(channel.ask("unshield a"), "ok", "unshield a")
    check(channel.ask("unshield a").startswith("error"), "released more often than held")
    pause(0.1)
    check("got TERM" not in run.out, "signalled behind the last shield")
    equal(channel.ask("unshield b"), "ok", "the last")
    run.end(3)


def test_shield_ends_at_its_deadline():
    run, pipe = begin()
    channel = pipe.attach()
    start = time.monotonic()
    equal(channel.ask("shield a 1.0"), "ok", "shield")
    stop(run, pipe)
    run.end(3)
    check(0.9 < time.monotonic() - start < 3, "it ended at another time")
    equal(run.out.count("got TERM"), 1, "times it was asked")


def test_later_deadline_wins():
    run, pipe = begin()
    channel = pipe.attach()
    start = time.monotonic()
    for line in ("shield a 1.2", "shield a 0.1", "shield b 0.3"):
        equal(channel.ask(line), "ok", line)
    run.send("TERM")
    run.end(3)
    check(1.1 < time.monotonic() - start < 3, "it ended at another time")


def test_shield_without_a_deadline_ends_at_the_shield_timeout():
    """Counted from the stop request on, however long it was held before."""
    run, pipe = begin(ASKED, "--shield-timeout", "800ms")
    channel = pipe.attach()
    equal(channel.ask("shield a"), "ok", "shield")
    pause(1)
    seconds = run.seconds(stop, run, pipe)
    run.end(3)
    check(0.7 < seconds < 10, f"it took {seconds:.1f} s")


def test_shield_holds_to_the_cap_by_default_and_is_named_there():
    run, pipe = begin("ignore TERM say ready pause", "--timeout", "1s")
    channel = pipe.attach()
    equal(channel.ask("shield night-shift"), "ok", "shield")
    seconds = run.seconds(stop, run, pipe)
    run.end("KILL")
    check(0.9 < seconds < 3, f"it took {seconds:.1f} s")
    run.log(REFUSED)
    run.log("main holds the shield 'night-shift'")


def test_shield_beyond_the_cap_ends_there():
    run, pipe = begin("ignore TERM say ready pause", "--timeout", "700ms")
    channel = pipe.attach()
    equal(channel.ask("shield a infinity"), "ok", "shield")
    seconds = run.seconds(stop, run, pipe)
    run.end("KILL")
    check(0.6 < seconds < 3, f"it took {seconds:.1f} s")


def test_shield_in_a_shutdown_is_accepted():
    """Asked already, it still gets its time before the next rung."""
    run, pipe = begin("report TERM report QUIT on QUIT [ exit 4 ] say ready pause",
                      "--stop", "TERM 500ms, QUIT 5s")
    channel = pipe.attach()
    stop(run, pipe)
    run.line("got TERM")
    start = time.monotonic()
    equal(channel.ask("shield a 1.5"), "ok", "shield")
    run.end(4)
    check(1.4 < time.monotonic() - start < 4, "the next rung did not wait for the shield")


def test_shield_ends_with_its_run():
    run, pipe = begin("on USR1 [ exit 5 ] say ready pause")
    channel = pipe.attach()
    equal(channel.ask("shield a"), "ok", "shield")
    seconds = run.seconds(run.send, "USR1")
    run.end(5)
    check(seconds < 10, f"it took {seconds:.1f} s")


def test_shields_are_bounded_and_a_refusal_is_a_warning():
    run, pipe = begin()
    channel = pipe.attach()
    answers = [channel.ask(f"shield s{n}") for n in range(400)]
    accepted = answers.count("ok")
    check(0 < accepted < 400, f"{accepted} of 400 were accepted")
    equal(answers[:accepted], ["ok"] * accepted, "the first answers")
    check(answers[-1].startswith("error ") and "shields" in answers[-1], answers[-1])
    run.log("WARNING.*main is refused the shield|main is refused the shield")
    equal(run.err.count("refused the shield"), 1, "times it is logged")
    equal(channel.ask("unshield s0"), "ok", "unshield")
    equal(channel.ask("shield again"), "ok", "there is room again")
    for n in range(1, accepted):
        channel.say(f"unshield s{n}")
    equal(channel.ask("unshield again") , "ok", "unshield")
    run.send("TERM")
    run.end(3)


def test_expired_shields_give_their_place_back():
    run, pipe = begin()
    channel = pipe.attach()
    for n in range(1000):
        equal(channel.ask(f"shield s{n} 0"), "ok", f"shield {n}")
    run.send("TERM")
    run.end(3)


def test_shield_keeps_a_second_shutdown_signal_away_too():
    run, pipe = begin("report TERM report INT on INT [ exit 3 ] say ready pause")
    channel = pipe.attach()
    equal(channel.ask("shield a"), "ok", "shield")
    run.send("INT")
    pipe.line()
    run.send("TERM")
    pause(0.2)
    check("got" not in run.out, "signalled behind its shield")
    equal(channel.ask("unshield a"), "ok", "unshield")
    run.line("got INT")
    run.end(3)


# ---- extend, and how long one has ----

def test_extend_is_for_a_shutdown_only():
    run, pipe = begin()
    channel = pipe.attach()
    answer = channel.ask("extend 5")
    check(answer.startswith("error "), f"outside a shutdown: {answer!r}")
    run.send("TERM")
    run.end(3)


def test_extend_puts_the_kill_off():
    run, pipe = begin("ignore TERM say ready pause", "--stop-timeout", "500ms")
    channel = pipe.attach()
    stop(run, pipe)
    start = time.monotonic()
    equal(channel.ask("extend 1.5"), "ok", "extend")
    run.end("KILL")
    check(1.4 < time.monotonic() - start < 4, "it was killed at another time")


def test_extend_never_shortens_and_never_passes_the_cap():
    run, pipe = begin("ignore TERM say ready pause", "--timeout", "1500ms")
    channel = pipe.attach()
    start = time.monotonic()
    stop(run, pipe)
    for line in ("extend 0", "extend 0.01", "extend 500"):
        equal(channel.ask(line), "ok", line)
    run.end("KILL")
    check(1.4 < time.monotonic() - start < 4, "it was killed at another time")


@cases(cap=(["--timeout", "8s"], 8), stop_timeout=(["--stop-timeout", "3s"], 3),
       ladder=(["--stop", "TERM 2s, QUIT 3s"], 5))
def test_stop_request_tells_how_long_there_is(options, wanted):
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", *options)
    seconds = stop(run, pipe)
    check(wanted - 0.5 <= seconds <= wanted, f"{seconds} s, not {wanted}")
    run.end(3)


def test_stop_request_counts_the_shields_in():
    run, pipe = begin(ASKED, "--stop-timeout", "2s")
    channel = pipe.attach()
    equal(channel.ask("shield a 5"), "ok", "shield")
    seconds = stop(run, pipe)
    check(6 < seconds <= 7.1, f"{seconds} s, not the shield's five and two to stop")
    channel.say("unshield a")
    run.end(3)


def test_stop_request_without_a_cap_says_infinity():
    run, pipe = begin(ASKED, "--timeout", "infinity")
    run.send("TERM")
    equal(pipe.line(), "shutdown signal infinity", "what it is told")
    run.end(3)


# ---- private channels ----

def test_answers_come_in_order():
    run, pipe = begin()
    channel = pipe.attach()
    channel.say(*("nonsense" if n % 3 == 0 else f"shield s{n % 7}" for n in range(100)))
    for n in range(100):
        answer = channel.line()
        equal(answer.split()[0], "error" if n % 3 == 0 else "ok", f"answer {n}")
    kill(run.command)
    run.end("KILL")


def test_pipe_itself_is_never_answered():
    run, pipe = begin()
    pipe.say("ready", "status x", "nonsense", "unshield nothing", "extend 5")
    pipe.seen()
    run.send("TERM")
    check(pipe.line().startswith("shutdown "), "something else is said first")
    run.end(3)


def test_private_channel_cannot_attach_another():
    run, pipe = begin()
    channel = pipe.attach()
    before = len(descriptors(run.pid))
    ours, theirs = socket.socketpair()
    check(channel.ask("attach", fds=[theirs.fileno()]).startswith("error "), "it was attached")
    theirs.close()
    equal(Speaker(ours).eof(), "", "what is said on the other")
    steady(run, before)
    run.send("TERM")
    run.end(3)


def test_closed_channel_ends_no_shield():
    run, pipe = begin()
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    equal(channel.ask("shield a"), "ok", "shield")
    channel.close()
    steady(run, before)
    stop(run, pipe)
    pause(0.2)
    check("got TERM" not in run.out, "signalled behind its shield")
    pipe.say("unshield a")
    run.end(3)


def test_private_channels_are_bounded_and_come_back():
    run, pipe = begin()
    before = len(descriptors(run.pid))
    channels = []
    while len(channels) < 300:
        ours, theirs = socket.socketpair()
        pipe.say("attach", fds=[theirs.fileno()])
        theirs.close()
        channel = Speaker(ours)
        welcome = channel.line()
        if welcome != "ok 1":
            break
        channels.append(channel)
    check(10 <= len(channels) < 300, f"{len(channels)} channels")
    check(re.match(r"error \S.*channels", welcome), f"the refusal is {welcome!r}")
    equal(channel.eof(), "", "after the refusal")
    equal(channels[-1].ask("status x"), "ok", "the last one works")
    for one in channels:
        one.close()
    steady(run, before)
    equal(pipe.attach().ask("status x"), "ok", "there is room again")
    run.send("TERM")
    run.end(3)


def test_client_that_never_reads_loses_its_channel_and_harms_nobody():
    run, pipe = begin()
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    channel.sock.setblocking(False)
    line = b"nonsense\n" * 400
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                channel.sock.send(line)
            except BlockingIOError:
                pause(0.001)
        check(False, "it was never closed")
    except (BrokenPipeError, ConnectionResetError):
        pass
    steady(run, before)
    equal(pipe.attach().ask("status x"), "ok", "others are heard")
    run.send("TERM")
    run.end(3)


def test_channel_to_itself_falls_silent():
    """Both ends of a pair attached: answers must not be answered for ever."""
    run, pipe = begin()
    before = len(descriptors(run.pid))
    ours, theirs = socket.socketpair()
    pipe.say("attach", fds=[ours.fileno()])
    pipe.say("attach", fds=[theirs.fileno()])
    ours.close()
    theirs.close()
    steady(run, before)
    run.send("TERM")
    run.end(3)


def test_own_pipe_attached_is_survived():
    run, pipe = begin()
    pipe.say("attach", fds=[pipe.sock.fileno()])
    pause(0.2)
    used = sum(int(field) for field in stat(run.pid)[11:13])
    pause(0.5)
    check(sum(int(field) for field in stat(run.pid)[11:13]) - used < 20, "it spins")
    run.send("TERM")
    run.end(3, 1)  # what it is told, it says itself: an error


# ---- descriptors that nobody wants ----

def listening():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(b"\0aiorun-test-%d" % os.getpid())
    sock.listen()
    return sock.detach()


def unwanted(kind):
    if kind == "file":
        return [os.open("file", os.O_RDWR | os.O_CREAT)]
    if kind == "pipe":
        return list(os.pipe())
    if kind == "listening":
        return [listening()]
    if kind == "datagram":
        return [s.detach() for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)]
    if kind == "tcp":
        return [socket.socket().detach()]
    if kind == "ten":
        return [os.open("/dev/null", os.O_RDWR) for _ in range(10)]
    if kind == "four":
        return [os.open("/dev/null", os.O_RDWR) for _ in range(4)]
    if kind == "memfd":
        fd = os.memfd_create("big")
        os.ftruncate(fd, 100 << 20)
        return [fd]
    if kind == "directory":
        return [os.open("/", os.O_RDONLY)]
    if kind == "path":
        return [os.open("/", os.O_PATH)]
    if kind == "pidfd":
        return [os.pidfd_open(os.getpid())]
    if kind == "fifo":
        os.mkfifo("fifo")
        return [os.open("fifo", os.O_RDWR)]
    raise AssertionError(kind)


KINDS = ("file", "pipe", "listening", "datagram", "tcp", "ten", "four", "memfd", "directory",
         "path", "pidfd", "fifo")


@cases(*KINDS)
def test_unwanted_descriptors_are_closed(kind):
    run, pipe = begin()
    before = len(descriptors(run.pid))
    fds = unwanted(kind)
    for line in ("attach", "ready", "nonsense", "shield a", "unshield a", "job a 1", "submit a",
                 "status x"):
        pipe.say(line, fds=fds)
    channel = pipe.attach()
    for line in ("attach", "nonsense", "job a", "job a 1", "submit a", "submit a wait"):
        check(channel.ask(line, fds=fds).startswith("error "), f"{line} was accepted")
    equal(channel.ask("status x", fds=fds), "ok", "status")
    channel.send(b"half a li", fds)
    channel.send(b"ne", fds)
    channel.close()
    for fd in fds:
        os.close(fd)
    steady(run, before)
    run.send("TERM")
    run.end(3)


SO_PASSPIDFD = 76  # unix(7)


def test_descriptors_that_the_kernel_adds_are_closed():
    """Of a channel both ends are the worker's: so is what its messages bring along."""
    run, pipe = begin()
    ours, theirs = socket.socketpair()
    try:
        theirs.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
    except OSError:
        raise Skip("needs SO_PASSPIDFD") from None
    pipe.say("attach", fds=[theirs.fileno()])
    theirs.close()
    channel = Speaker(ours)
    equal(channel.line(), "ok 1", "the welcome")
    before = len(descriptors(run.pid))
    for n in range(20):
        equal(channel.ask(f"status {n}"), "ok", "the answer")
    steady(run, before)
    run.send("TERM")
    run.end(3)


def lingering():
    """A connection whose last close(2) waits until its other end, the second, has read all of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1000))
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        return ours, theirs


def test_unwanted_descriptor_that_lingers_keeps_nobody_waiting():
    run, pipe = begin()
    channel = pipe.attach()
    ours, theirs = lingering()
    with ours:
        pipe.say("status x", fds=[ours.fileno()])
    equal(channel.ask("status y"), "ok", "the answer to somebody else")
    theirs.close()
    run.send("TERM")
    run.end(3)


@cases(0, 1, 2, 3, 5, 10)
def test_submission_with_another_number_of_descriptors_is_refused(count):
    run, pipe = begin()
    channel = pipe.attach()
    null = os.open("/dev/null", os.O_RDWR)
    fds = ([request(["/bin/true"])] + [null] * 9)[:count]
    before = len(descriptors(run.pid))
    check(channel.ask("submit a", fds=fds).startswith("error "), "it was accepted")
    steady(run, before)
    run.send("TERM")
    run.end(3)


@cases(2, 4, 10)
def test_job_with_another_number_of_descriptors_is_refused(count):
    run, pipe = begin("spawn [ say child pause ] on TERM [ exit 3 ] say ready pause")
    channel = pipe.attach()
    pidfd = os.pidfd_open(children(run.command)[0])
    check(channel.ask("job a", fds=[pidfd] * count).startswith("error "), "it was accepted")
    run.send("TERM")
    run.end(3)


# ---- hostile runs ----

def test_run_that_dies_with_ten_shields_holds_up_nothing():
    run, pipe = begin("say ready pause")
    channel = pipe.attach()
    for n in range(10):
        equal(channel.ask(f"shield s{n}"), "ok", "shield")
    seconds = run.seconds(kill, run.command)
    run.end("KILL")
    check(seconds < 10, f"it took {seconds:.1f} s")


@cases(nonsense=b"nonsense\n", shields=b"shield a\nunshield a\n", no_newline=b"x" * 64,
       empty=b"\n" * 64, status=b"status x\n", nul=b"\0" * 64, errors=b"error x\n")
@deadline(60)
def test_flood_costs_no_memory_and_signals_stay_prompt(data):
    run, pipe = begin("report USR1 on TERM [ exit 3 ] say ready pause",
                      stderr=os.open("log", os.O_WRONLY | os.O_CREAT))
    block = data * (4096 // len(data))
    pipe.sock.setblocking(False)

    def flood(until_when):
        while time.monotonic() < until_when:
            try:
                pipe.sock.send(block)
            except BlockingIOError:
                pause(0.0005)
    flood(time.monotonic() + 0.3)
    before = int(status_field(run.pid, "VmRSS").split()[0])
    for _ in range(4):
        flood(time.monotonic() + 0.4)
        sent = time.monotonic()
        run.send("USR1")
        flood(sent + 0.05)
        run.line("got USR1")
        check(time.monotonic() - sent < 2, "a signal takes seconds")
    after = int(status_field(run.pid, "VmRSS").split()[0])
    check(after - before < 1024, f"from {before} to {after} KiB")
    if b"shield" in data or b"error" in data:
        kill(run.command)
        run.end("KILL", 1)
    else:
        run.send("TERM")
        run.end(3)


def test_run_that_never_reads_is_stopped_all_the_same():
    run, pipe = begin()
    pipe.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    pipe.close()
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(seconds < 10, f"it took {seconds:.1f} s")


@cases(closed="close 9", shut_down="")
def test_run_that_closes_its_pipe_lives_on(how):
    run = launch(f"{how} report TERM on TERM [ exit 3 ] say ready pause")
    run.line("ready")
    if not how:
        pipe = pipe_of(run)
        pipe.sock.shutdown(socket.SHUT_RDWR)
        pipe.close()
        until(lambda: not sockets(run.pid), "the supervisor has closed its end")
    run.send("TERM")
    run.end(3)
    check("pipe" not in run.err, "something is said about it")


def test_script_that_uses_nine_for_a_file_is_not_written_to():
    run = aiorun("--", "/bin/sh", "-c",
                 "exec 9>file; trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    run.line("ready")
    run.send("TERM")
    run.end(3)
    equal(Path("file").read_bytes(), b"", "what is in its file")


def test_program_that_closes_everything_lives_on():
    run = aiorun("--", "python3", "-c",
                 "import os, signal\n"
                 "os.closerange(3, 1000)\n"
                 "signal.signal(signal.SIGTERM, lambda *_: os._exit(3))\n"
                 "print('ready', flush=True)\n"
                 "while True: signal.pause()")
    run.line("ready")
    run.send("TERM")
    run.end(3)


def test_descriptors_do_not_grow_with_restarts():
    run, pipe = begin("on TERM [ exit 0 ] on USR1 [ exit 1 ] say ready pause", "--restart", "always",
                      "--restart-delay", "0..0")
    kept = []
    before = len(descriptors(run.pid))
    for _ in range(5):
        kept.append(pipe.attach())
        kept[-1].send(b"half a li")
        pid = run.command
        run.send("USR1")
        run.line("ready")
        until(lambda: children(run.pid) not in ([], [pid]), "it runs again")
        pipe = pipe_of(run)
    for channel in kept:
        channel.close()
    steady(run, before)
    run.send("TERM")
    run.end(0)


def test_channel_of_an_ended_run_speaks_for_nobody():
    run, pipe = begin("on TERM [ exit 0 ] on USR1 [ exit 1 ] say ready pause", "--restart", "always",
                      "--restart-delay", "0..0")
    channel = pipe.attach()
    pid = run.command
    run.send("USR1")
    run.line("ready")
    until(lambda: children(run.pid) not in ([], [pid]), "it runs again")
    check(channel.ask("shield a").startswith("error "), "it shields the next run")
    check(channel.ask("error it broke").startswith("error "), "it accuses the next run")
    check(channel.ask("status I am first").startswith("error "), "it speaks for the next run")
    run.send("TERM")
    run.end(0)


# ---- the keyboard ----

def test_ctrl_c_is_a_trigger_for_a_run_that_has_spoken():
    sh = Shell()
    sh.type("aiorun --terminal share -- victim report INT on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    pipe = pipe_of(sh)
    pipe.say("status I speak")
    pipe.seen()
    sh.ctrl("C")
    sh.expect("got INT")
    check(pipe.line().startswith("shutdown signal "), "it is no trigger")
    kill(sh.command, "USR1")
    equal(sh.prompt(), 3, "status")
    equal(sh.seen("got INT"), 1, "times that INT came")
    sh.leave()


def test_ctrl_c_is_no_trigger_for_a_run_that_has_not_spoken():
    sh = Shell()
    sh.type("aiorun --terminal share -- victim report INT on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    pipe = pipe_of(sh)
    sh.ctrl("C")
    sh.expect("got INT")
    pipe.seen()
    pipe.sock.setblocking(False)
    try:
        check(False, f"it is told {pipe.sock.recv(100)}")
    except BlockingIOError:
        pass
    kill(sh.command, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()
