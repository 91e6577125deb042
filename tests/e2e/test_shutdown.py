"""A shutdown: who is asked when, how long they have, what is said about it, and the exit status."""
import re
import time
from pathlib import Path

from harness import (VICTIM, aiorun, cases, check, children, deadline, equal, launch, needs, pause,
                     pid1, shell, strace, until, victim)

REFUSED = r"During shutdown, the following tasks refused to exit after (\S+) seconds"
PHASES = ["Entering run()", "Stopping the loop", "Entering shutdown phase",
          "Cancelling pending tasks", "Running pending tasks till complete",
          "Waiting for executor shutdown", "Closing the loop", "Leaving. Bye!"]
MANY_DELAYS = [(before, after) for before in (0, 1, 50) for after in (0, 1, 50)]  # ms


def stop(run, name="TERM"):
    run.line("ready")
    run.send(name)


# ---- the seed's rows: triggers ----

@cases(**{f"{name}-{before}-{after}": (name, before, after)
          for name in ("INT", "TERM") for before, after in MANY_DELAYS})
def test_row_int_and_term_start_a_shutdown_and_more_are_ignored(name, before, after):
    run = launch(f"report {name} on {name} [ sleep 200ms exit 0 ] say ready pause")
    run.line("ready")
    pause(before / 1000)
    for _ in range(4):
        run.send(name)
        pause(after / 1000)
    run.end(0)
    equal(run.out.count(f"got {name}"), 1, "times it was asked")


@cases("INT", "TERM")
def test_row_run_goes_on_after_main_ends_and_a_signal_ends_it(name):
    run = launch("say main", "--forever", "-v")
    run.line("main")
    until(lambda: not children(run.pid), "main is gone")
    pause(0.05)
    check(not run.ended(), "it ended with its main")
    run.send(name)
    run.end(0)


@cases("INT", "TERM")
def test_row_run_without_a_coroutine(name):
    run = aiorun("--forever", "-vv")
    run.log(re.escape("Entering run()"))
    run.send(name)
    run.end(0)


@deadline(60)
@needs("plain")
def test_forever_alone_ends_by_a_signal_whenever_it_comes():
    for step in range(50):
        run = aiorun("--forever")
        pause(step * 100e-6)
        run.send("TERM")
        run.end(0, "TERM")  # by it before the program's first instruction


def test_main_that_ends_is_a_trigger():
    run = launch("say main", "-vv")
    run.end(0)
    run.log("Entering shutdown phase")


def test_shutdown_signals_can_be_chosen():
    run = launch("report TERM on HUP [ exit 0 ] say ready pause", "--shutdown-signals", "HUP,USR1",
                 "-vv")
    stop(run)
    run.line("got TERM")
    check("shutdown phase" not in run.err, "TERM started a shutdown")
    run.send("HUP")
    run.end(0)
    run.log("Entering shutdown phase")


# ---- the seed's rows: tasks ----

def test_row_all_pending_tasks_are_cancelled_then_run_to_their_end():
    """The command, its children and its orphans: each is asked, and each gets its time."""
    task = "on TERM [ say asked sleep 300ms say done exit 0 ]"
    run = launch(f"orphan 2 [ {task} pause ] orphan 1 [ setsid {task} pause ]"
                 f" {task} say ready pause")
    stop(run)
    run.end(0)
    equal((run.out.count("asked"), run.out.count("done")), (4, 4), "asked and done")


def test_row_a_task_that_handles_cancellation_gets_its_time():
    run = launch("on TERM [ say asked sleep 1s say done exit 5 ] say ready pause")
    stop(run)
    run.end(5)
    run.line("done")
    check("refused" not in run.err, "it was called a refuser")


def test_row_a_task_that_refuses_is_warned_about_killed_and_reaped():
    run = launch("ignore TERM say ready pause", "--timeout", "500ms")
    run.line("ready")
    command = run.command
    run.send("TERM")
    run.end("KILL")
    seconds = run.log(REFUSED).group(1)
    equal(float(seconds), 0.5, "the seconds named")
    rest = run.err[run.err.index("refused"):]
    check(re.search(rf"\bmain\b.*\b{command}\b|\b{command}\b.*\bmain\b", rest), "no name and pid")
    check("victim ignore TERM" in rest, "no command line")


def test_grandchild_that_left_the_session_and_refuses_is_killed_and_named_too():
    run = launch("ignore TERM spawn [ setsid print pids say child pause ] say ready pause",
                 "--timeout", "1s")
    grandchild = run.pids()["pid"]
    run.line("ready")
    command = run.command
    seconds = run.seconds(run.send, "TERM")
    run.end("KILL")
    check(0.9 < seconds < 4, f"it took {seconds:.1f} s")
    rest = run.err[run.err.index("refused"):]
    for pid in (command, grandchild):
        check(re.search(rf"\b{pid}\b", rest), f"process {pid} is not named")
    equal(rest.count("victim ignore TERM"), 2, "command lines")


def test_descendants_that_were_never_asked_get_term_and_a_reserve():
    """Before the kill: the child of a refuser is asked, and has time to obey."""
    run = launch("ignore TERM spawn [ default TERM on TERM [ say asked sleep 100ms say done"
                 " exit 0 ] pause ] say ready pause", "--timeout", "2s")
    stop(run)
    run.end("KILL")
    run.line("asked")
    run.line("done")


@needs("strace", "plain")
@cases(*[f"{call}-{error}" for call in ("pidfd_open", "pidfd_send_signal")
         for error in ("EPERM", "ENOSYS", "EMFILE")])
def test_descendants_are_asked_although_there_is_no_pidfd_to_be_had(case):
    """A seccomp filter that does not know these calls says EPERM, a kernel ENOSYS."""
    call, error = case.split("-")
    run = strace("trace", "--timeout", "100s", "--",
                 *victim("on TERM [ exit 3 ] spawn [ default TERM spawn [ on TERM [ say asked exit 0 ]"
                         " say ready pause ] pause ] pause"),
                 options=("-e", f"trace={call}", "-e", f"inject={call}:error={error}"))
    run.line("ready")
    run.send("TERM")
    run.line("asked")
    run.end(3)
    equal(run.err, "", "the log")


# ---- time ----

def test_a_stop_waits_for_nothing_but_the_command():
    """No fixed waits: a command that exits at once ends everything at once."""
    times = []
    for _ in range(5):
        run = launch("on TERM [ exit 0 ] say ready pause")
        run.line("ready")
        times.append(run.seconds(run.send, "TERM"))
        run.end(0)
    check(min(times) < 0.1, f"at best {min(times):.3f} s")


def test_a_stop_of_a_whole_tree_waits_for_nothing_but_the_tree():
    times = []
    for _ in range(5):
        run = launch("orphan 5 [ pause ] orphan 2 [ setsid pause ] spawn [ spawn [ pause ] pause ]"
                     " say ready pause")
        run.line("ready")
        times.append(run.seconds(run.send, "TERM"))
        run.end("TERM")
    check(min(times) < 0.4, f"at best {min(times):.3f} s")


def test_end_of_the_command_is_the_end_at_once():
    times = []
    for _ in range(5):
        run = launch("exit 0")
        run.end(0)
        times.append(run.duration)
    check(min(times) < 0.1, f"at best {min(times):.3f} s")


def test_ladder_steps_down_rung_by_rung():
    run = launch("report TERM report QUIT report USR1 say ready pause",
                 "--stop", "TERM 300ms, USR1 300ms, QUIT 300ms, KILL")
    run.line("ready")
    start = time.monotonic()
    run.send("TERM")
    steps = []
    for name in ("TERM", "USR1", "QUIT"):
        run.line(f"got {name}")
        steps.append(time.monotonic() - start)
    run.end("KILL")
    steps.append(time.monotonic() - start)
    check(steps[1] > 0.29 and steps[2] > 0.59 and steps[3] > 0.89, f"too early: {steps}")
    check(steps[3] < 5, f"too late: {steps}")


def test_ladder_ends_on_the_rung_that_works():
    run = launch("on QUIT [ exit 3 ] ignore TERM say ready pause",
                 "--stop", "TERM 200ms, QUIT 20s, KILL")
    stop(run)
    run.end(3)


def test_stop_signal_is_what_is_sent():
    run = launch("report TERM on QUIT [ exit 3 ] say ready pause", "--stop-signal", "QUIT")
    stop(run)
    run.end(3)
    equal(run.out.count("got TERM"), 0, "TERMs")


def test_stop_timeout_kills_before_the_cap():
    run = launch("ignore TERM say ready pause", "--stop-timeout", "300ms", "--timeout", "60s")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("KILL")
    check(0.29 < seconds < 5, f"it took {seconds:.1f} s")
    run.log(REFUSED)


def test_cap_holds_whatever_refuses():
    run = launch("ignore TERM orphan 20 [ pause ] orphan 5 [ setsid pause ] spawn [ pause ]"
                 " say ready pause", "--timeout", "1s")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("KILL")
    check(0.9 < seconds < 6, f"it took {seconds:.1f} s")


@deadline(60)
def test_command_that_needs_nearly_all_of_the_cap_gets_it():
    """Examples set the cap 2 s below the grace of the runtime: what comes before it must count."""
    run = launch("on TERM [ sleep 3500ms exit 0 ] say ready pause", "--timeout", "4s")
    stop(run)
    run.end(0)


def test_cap_holds_against_a_fork_bomb():
    """Processes that fork faster than they are found."""
    run = shell('exec "$AIORUN" --timeout 1s -- sh -c \'trap "" TERM; echo ready;'
                ' f() { trap "" TERM; sleep 0.02; (f &) ; sleep 0.2; }; f & f & f & f; sleep 100\'')
    stop(run)
    run.end("KILL", 137, timeout=10)  # 137: the shell sees its sleep killed, and exits first


def test_drain_delay_comes_before_the_first_stop_request():
    run = launch("on TERM [ exit 0 ] say ready pause", "--drain-delay", "500ms")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end(0)
    check(0.49 < seconds < 3, f"it took {seconds:.2f} s")


def test_drain_delay_ends_when_nothing_is_left():
    run = launch("exit 3", "--drain-delay", "10s")
    run.end(3)
    check(run.duration < 5, f"it took {run.duration:.1f} s")
    run = launch("say ready sleep 300ms exit 4", "--drain-delay", "10s")
    run.line("ready")
    check(run.seconds(run.send, "TERM") < 5, "it waited on")
    run.end(4)


def test_another_shutdown_signal_is_forwarded_during_a_shutdown():
    """postgres: TERM, then INT."""
    run = launch("on TERM [ say term ] on INT [ say int exit 2 ] say ready pause")
    stop(run)
    run.line("term")
    run.send("INT")
    run.line("int")
    run.end(2)


def test_other_signals_are_forwarded_during_a_shutdown():
    run = launch("on TERM [ say term ] report USR1 on INT [ exit 2 ] say ready pause")
    stop(run)
    run.line("term")
    run.send("USR1")
    run.line("got USR1")
    run.send("INT")
    run.end(2)


# ---- repeats ----

def test_repeat_ignored_is_ignored():
    run = launch("report TERM on INT [ exit 0 ] say ready pause", "--repeat-signal", "ignore")
    stop(run)
    run.line("got TERM")
    pause(1.2)
    run.send("TERM")
    run.send("INT")
    run.end(0)
    equal(run.out.count("got TERM"), 1, "TERMs")


def test_repeat_from_a_program_is_ignored_by_default():
    run = launch("report TERM on INT [ exit 0 ] say ready pause")
    stop(run)
    run.line("got TERM")
    pause(1.2)
    run.send("TERM")
    run.send("INT")
    run.end(0)
    equal(run.out.count("got TERM"), 1, "TERMs")


def test_repeat_that_escalates_goes_down_the_ladder_and_kills():
    run = launch("report TERM report QUIT say ready pause", "--repeat-signal", "escalate",
                 "--stop", "TERM 30s, QUIT 20s, KILL")
    start = time.monotonic()
    stop(run)
    run.line("got TERM")
    pause(0.3)
    run.send("TERM")  # too soon after the first, unless this machine is very busy
    too_soon = time.monotonic() - start < 1
    pause(0.9)
    check("got QUIT" not in run.out or not too_soon, "a repeat within a second had an effect")
    run.send("TERM")
    run.line("got QUIT")
    pause(1.1)
    run.send("TERM")
    run.end("KILL", timeout=10)


# ---- hooks ----

def test_callback_runs_before_any_stop_request():
    run = launch("on TERM [ exec cat order ] say ready pause",
                 "--shutdown-callback", "sh -c 'sleep 0.2; echo callback >>order'")
    stop(run)
    run.end(0)
    equal(run.out.splitlines()[1:], ["callback"], "what was there when the command was asked")


def test_callback_runs_when_the_command_ends_by_itself():
    run = launch("append order main", "--shutdown-callback", "sh -c 'echo callback >>order'")
    run.end(0)
    equal(Path("order").read_text(), "main\ncallback\n", "order")


def test_row_callback_raises_and_main_did_not():
    run = launch("exit 0", "--shutdown-callback", "sh -c 'exit 3'")
    run.end(3)


def test_row_callback_raises_after_main_raised():
    """Main's error wins; the callback's is logged."""
    run = launch("exit 4", "--shutdown-callback", "sh -c 'exit 3'")
    run.end(4)
    run.log(r"callback.*\b3\b")


def test_callback_that_fails_during_an_asked_shutdown_is_the_status():
    run = launch("say ready pause", "--shutdown-callback", "sh -c 'exit 3'")
    stop(run)
    run.end(3)
    run = launch("on TERM [ exit 0 ] say ready pause", "--forever", "--shutdown-callback",
                 "sh -c 'exit 3'")
    stop(run)
    run.end(3)


def test_callback_that_succeeds_changes_no_status():
    run = launch("exit 6", "--shutdown-callback", "true")
    run.end(6)
    run = launch("say ready pause", "--shutdown-callback", "true")
    stop(run)
    run.end("TERM")


def test_callback_that_is_not_there_is_a_failure():
    run = launch("exit 0", "--shutdown-callback", "/nonexistent/hook")
    run.end(127)
    check("/nonexistent/hook" in run.err, "the log does not name it")


def test_callback_that_hangs_gets_a_quarter_of_the_cap():
    run = launch("on TERM [ exit 0 ] say ready pause", "--timeout", "4s", "--shutdown-callback",
                 f"{VICTIM} ignore TERM pause")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("KILL")
    check(0.9 < seconds < 3.5, f"it took {seconds:.1f} s")


def test_callback_that_hangs_is_killed_with_what_it_started():
    run = launch("on TERM [ exit 0 ] say ready pause", "--timeout", "4s", "--shutdown-callback",
                 f"{VICTIM} ignore TERM spawn [ pause ] pause")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("KILL")
    check(0.9 < seconds < 3.5, f"it took {seconds:.1f} s")


def test_handler_that_succeeds_starts_the_shutdown():
    run = launch("say ready pause", "--shutdown-handler", "sh -c 'echo handler >>order'")
    stop(run)
    run.end("TERM")
    equal(Path("order").read_text(), "handler\n", "order")


@cases("INT", "TERM")
def test_handler_that_fails_carries_on(name):
    run = launch(f"report {name} on USR1 [ exit 0 ] say ready pause", "--shutdown-handler",
                 "sh -c 'echo handler >>order; exit 1'", "-vv")
    stop(run, name)
    until(lambda: Path("order").exists(), "the handler ran")
    until(lambda: len(children(run.pid)) == 1, "the handler is gone")
    run.send("USR1")
    run.end(0)
    equal(run.out.count(f"got {name}"), 0, "signals the command got")


def test_handler_is_asked_each_time():
    run = launch("say ready pause", "--shutdown-handler",
                 "sh -c 'echo x >>count; test $(wc -l <count) = 3'")
    run.line("ready")
    for n in (1, 2):
        run.send("TERM")
        until(lambda: Path("count").exists() and Path("count").read_text() == "x\n" * n, "it ran")
        until(lambda: len(children(run.pid)) == 1, "the handler is gone")
    run.send("TERM")
    run.end("TERM")


def test_handler_that_hangs_is_killed_after_the_timeout_and_shutdown_follows():
    run = launch("on TERM [ exit 3 ] say ready pause", "--timeout", "1s", "--shutdown-handler",
                 f"{VICTIM} ignore TERM pause")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(0.9 < seconds < 6, f"it took {seconds:.1f} s")


def test_handler_is_not_asked_when_the_command_ends_by_itself():
    run = launch("exit 3", "--shutdown-handler", "sh -c 'echo handler >>order'")
    run.end(3)
    check(not Path("order").exists(), "the handler ran")


# ---- status ----

@cases(term=("143 SIGTERM", "pause", 0), number=("143", "pause", 0), name=("TERM", "pause", 0),
       code=("143", "on TERM [ exit 143 ] pause", 0), code3=("3", "on TERM [ exit 3 ] pause", 0),
       other=("3", "on TERM [ exit 4 ] pause", 4), comma=("3,4", "on TERM [ exit 4 ] pause", 0),
       not_a_code=("SIGTERM", "on TERM [ exit 15 ] pause", 15),
       requested=("requested", "pause", 0),
       requested_code=("requested", "on TERM [ exit 143 ] pause", 0),
       requested_other=("requested", "on TERM [ exit 1 ] pause", 1),
       mixed=("requested 5", "on TERM [ exit 5 ] pause", 0))
def test_success_status_of_a_stop(accepted, script, status):
    run = launch("say ready " + script if "on" not in script else
                 script.replace("pause", "say ready pause"), "-e", accepted)
    stop(run)
    run.end(status)


def test_success_status_repeats_add_up():
    launch("exit 3", "-e", "3", "-e", "4").end(0)
    launch("exit 4", "-e", "3", "-e", "4").end(0)


def test_death_that_was_not_requested_is_none_of_requested():
    launch("kill self TERM", "-e", "requested").end("TERM")
    launch("exit 143", "-e", "requested").end(143)


def test_requested_covers_a_terminating_signal_that_was_forwarded():
    """STOPSIGNAL QUIT: nginx."""
    run = launch("say ready pause", "-e", "requested")
    stop(run, "QUIT")
    run.end(0)
    run = launch("on QUIT [ exit 131 ] say ready pause", "-e", "requested")
    stop(run, "QUIT")
    run.end(0)


def test_our_kill_is_never_a_success_by_request():
    run = launch("ignore TERM say ready pause", "-e", "requested", "--timeout", "300ms")
    stop(run)
    run.end("KILL")


@needs("root", "unshare")
def test_success_status_as_pid_1():
    run = pid1("-e", "143", "--", *victim("say ready pause"))
    stop(run)
    run.end(0)


@needs("vfork")
def test_success_status_does_not_hide_that_it_never_started():
    aiorun("-e", "127", "--", "/nonexistent").end(127)


# ---- errors ----

def test_row_stop_on_unhandled_errors():
    """Background tasks are cancelled, the error is the status."""
    run = launch("orphan 1 [ on TERM [ say asked exit 0 ] pause ] exit 3",
                 "--forever", "--stop-on-unhandled-errors")
    run.end(3)
    run.line("asked")


def test_stop_on_unhandled_errors_of_a_signal():
    launch("kill self ABRT", "--forever", "--stop-on-unhandled-errors").end("ABRT")


def test_without_the_flag_an_error_does_not_stop_but_is_the_status():
    run = launch("exit 3", "--forever", "-v")
    pause(0.2)
    until(lambda: not children(run.pid), "main is gone")
    check(not run.ended(), "it ended with its main")
    run.send("TERM")
    run.end(3)


def test_forever_and_a_command_stopped_by_us_is_status_0():
    run = launch("say ready pause", "--forever")
    stop(run)
    run.end(0)


def test_row_custom_exception_handler_excludes_the_flag():
    run = launch("append started yes", "--on-error", "true", "--stop-on-unhandled-errors")
    run.end(125)
    check("--on-error" in run.err and "--stop-on-unhandled-errors" in run.err, "options not named")
    check(not Path("started").exists(), "the command was started")


def test_on_error_is_called_with_the_failure():
    run = launch("exit 3", "--forever", "--on-error",
                 "sh -c 'env | grep AIORUN >new; mv new failure'")
    until(lambda: Path("failure").exists(), "the hook ran")
    text = Path("failure").read_text()
    check(re.search(r"=.*\bmain\b", text), f"no name in {text!r}")
    check(re.search(r"=.*\b3\b", text), f"no status in {text!r}")
    run.send("TERM")
    run.end()


def test_on_error_is_not_called_for_success():
    run = launch("exit 0", "--on-error", "touch failure")
    run.end(0)
    run = launch("say ready pause", "--on-error", "touch failure", "-e", "requested")
    stop(run)
    run.end(0)
    check(not Path("failure").exists(), "the hook ran")


# ---- restart ----

FAST = ("--restart-delay", "10ms..20ms")


def test_restart_on_failure_until_it_works():
    run = shell('exec "$AIORUN" --restart on-failure --restart-delay 10ms..20ms --'
                " sh -c 'echo run; echo x >>n; test $(wc -l <n) = 4'")
    run.end(0)
    equal(run.out.count("run"), 4, "runs")


@cases("exit 3", "kill self SEGV", "kill self TERM")
def test_restart_limit_gives_up_with_the_commands_own_end(how):
    run = launch("say run " + how, "--restart", "on-failure", *FAST, "--restart-limit", "3/10s")
    run.end(3 if "exit" in how else how.split()[-1])
    equal(run.out.count("run"), 4, "runs")


def test_giving_up_is_told():
    """A command that will not be started again is worth a warning."""
    run = launch("exit 3", "--restart", "on-failure", *FAST, "--restart-limit", "2/10s")
    run.end(3)
    check("main" in run.err, "nothing is said")


def test_restart_on_failure_lets_success_be():
    run = launch("say run", "--restart", "on-failure", *FAST)
    run.end(0)
    equal(run.out.count("run"), 1, "runs")
    run = launch("say run exit 3", "--restart", "on-failure", "-e", "3", *FAST)
    run.end(0)
    equal(run.out.count("run"), 1, "runs")


def test_restart_always_restarts_success():
    run = launch("say run", "--restart", "always", *FAST, "--restart-limit", "2/10s")
    run.end(0)
    equal(run.out.count("run"), 3, "runs")


def test_restart_waits_for_its_delay():
    run = launch("say run exit 3", "--restart", "on-failure", "--restart-delay", "300ms..300ms",
                 "--restart-limit", "2/1m")
    run.end(3)
    check(0.59 < run.duration < 4, f"it took {run.duration:.2f} s")


def test_restart_delay_doubles():
    run = launch("say run exit 3", "--restart", "on-failure", "--restart-delay", "100ms..400ms",
                 "--restart-limit", "4/1m")
    run.end(3)
    check(1.09 < run.duration < 5, f"it took {run.duration:.2f} s")  # 0.1 + 0.2 + 0.4 + 0.4


def test_stop_ends_a_restarted_command_for_good():
    run = launch("on TERM [ exit 3 ] say ready pause", "--restart", "always", *FAST)
    stop(run)
    run.end(3)
    equal(run.out.count("ready"), 1, "runs")


def test_stop_during_a_restart_delay_is_immediate():
    run = launch("say ready exit 3", "--restart", "on-failure", "--restart-delay", "1h..1h")
    run.line("ready")
    until(lambda: not children(run.pid), "the command is gone")
    check(run.seconds(run.send, "TERM") < 5, "it waited")
    run.end(3)
    equal(run.out.count("ready"), 1, "runs")


def test_what_is_left_of_a_run_is_stopped_before_the_next():
    """No two lives of a command at the same time, not even partly."""
    run = launch("orphan 1 [ on TERM [ say stopped exit 0 ] say child pause ] say main exit 1",
                 "--restart", "on-failure", *FAST, "--restart-limit", "2/10s")
    run.end(1)
    equal(run.out.split(), ["child", "main", "stopped"] * 3, "order")


# ---- what is said ----

@cases("exit 0", "pause")
def test_phases_are_logged_in_the_seeds_words_and_order(how):
    run = launch("say ready " + how, "-vv")
    run.line("ready")
    if how == "pause":
        run.send("TERM")
    run.end(0, "TERM")
    places = [run.err.find(phrase) for phrase in PHASES]
    check(-1 not in places, f"missing: {[p for p, at in zip(PHASES, places) if at < 0]}")
    equal(places, sorted(places), "order of the phases")


def test_a_quiet_stop_says_nothing():
    run = launch("say ready pause")
    stop(run)
    run.end("TERM")
    equal(run.err, "", "the log")


def test_stopping_the_loop_is_info():
    run = launch("say ready pause", "-v")
    stop(run)
    run.end("TERM")
    check("Stopping the loop" in run.err, "not there with -v")


def test_one_line_says_who_is_waited_for():
    """When a stop takes more than a moment."""
    run = launch("on TERM [ ] on INT [ exit 0 ] say ready pause", "-v")
    run.line("ready")
    command = run.command
    run.send("TERM")
    run.log(rf"(?i)wait.*\b(main|{command})\b", timeout=15)
    run.send("INT")
    run.end(0)


# ---- others ----

def test_aiorun_survives_that_the_command_kills_its_group():
    run = launch("ignore TERM kill group TERM exit 4")
    run.end(4)


def test_pipeline_in_a_shell_ends_as_a_whole():
    """TERM reaches sh alone; what it leaves behind is asked too, well within the cap."""
    run = shell('exec "$AIORUN" --timeout 20s -- sh -c \'"$VICTIM" say ready pause 2>&1 |'
                ' "$VICTIM" say ready pause >&2; true\'')
    run.log("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("TERM")
    check(seconds < 5, f"it took {seconds:.1f} s")


@deadline(60)
@needs("plain")
def test_stop_in_the_moment_the_command_ends():
    """Both at once: the status is one or the other, and nothing hangs."""
    for step in range(60):
        run = launch("say ready exit 7")
        run.line("ready")
        pause(step % 20 * 50e-6)
        try:
            run.send("TERM")
        except ProcessLookupError:
            pass
        run.end(7, "TERM")


def test_supervisor_that_was_stopped_itself_still_waits_for_who_it_kills():
    """It is late with the KILL, by more than it would wait after one."""
    run = launch("ignore TERM report USR1 say ready pause", "--timeout", "1s", "-v")
    run.line("ready")
    run.send("TERM")
    run.log("Running pending tasks")
    run.send("STOP")
    pause(7)
    run.send("CONT")
    run.end("KILL")
    check("left behind" not in run.err, run.err)
