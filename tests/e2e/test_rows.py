"""The seed's behaviour, row by row: what Python's aiorun promises of tasks, shown with processes.

More rows: test_shutdown.py (signals, tasks, callbacks, errors), test_examples.py (the echo server).
"""
import os
import time
from pathlib import Path

from harness import (BINARY, VICTIM, aiorun, alive, cases, check, children, equal, expect_gone, kill,
                     needs, pause, until)
from terminal import Shell

DELAYS = [(before, after) for before in (0, 1, 50) for after in (0, 1, 50)]  # ms
SHIELDED = "$AIORUN shield -- $VICTIM on USR1 [ say done! exit 0 ] print pids say shielded pause"


VERBS = str(Path(BINARY).with_name("aiorun"))  # not under valgrind, which knows no pidfd_open


def quoted(command):
    return command.replace("[", "'['").replace("]", "']'")


def script(text, *options, **how):
    """Start `aiorun OPTIONS -- sh -c TEXT`; $AIORUN and $VICTIM are the programs."""
    env = {"AIORUN": VERBS, "VICTIM": VICTIM, **how.pop("env", {})}
    return aiorun(*options, "--", "/bin/sh", "-c", quoted(text), env=env, **how)


def printed(run, word, times=1):
    """Wait until a word is there so often, before or behind what was read so far."""
    def look():
        run.pump(time.monotonic() + 0.01)
        return run.out.count(word) >= times
    until(look, f"{word!r} is printed")


# ---- loop.stop() ----

@cases(line="echo shutdown >&9", verb="$AIORUN shutdown")
def test_row_loop_stop_inside_main(how):
    run = script(f"trap 'echo stopped; exit 0' TERM; {how}; while :; do sleep 0.05; done")
    run.end(0)
    run.line("^stopped$")


@cases(line="echo shutdown 5 >&9", verb="$AIORUN shutdown 5")
def test_row_loop_stop_inside_main_with_a_status(how):
    script(f"trap 'exit 0' TERM; {how}; while :; do sleep 0.05; done").end(5)


# ---- a signal, or many of them ----

def swept(name, before, after, end):
    """The seed's own test: four signals, with delays before and after."""
    pause(before / 1000)
    for _ in range(4):
        end(name)
        pause(after / 1000)


@cases(**{f"{name}-{before}-{after}": (name, before, after)
          for name in ("INT", "TERM") for before, after in DELAYS})
def test_row_signals_end_what_runs_on_after_main(name, before, after):
    run = script("echo main; exit 0", "--forever")
    run.line("main")
    until(lambda: not children(run.pid), "main is gone")

    def end(signal):
        try:
            run.send(signal)
        except ProcessLookupError:
            pass
    swept(name, before, after, end)
    run.end(0)


@cases(**{f"{name}-{before}-{after}": (name, before, after)
          for name in ("INT", "TERM") for before, after in DELAYS})
def test_row_signals_leave_a_shield_alone(name, before, after):
    """However many there are, and however fast: the shielded job runs to its end."""
    run = script(f"trap 'echo \"oh noes!\"; exit 0' INT TERM; {SHIELDED} & wait $!")
    job = run.pids()["pid"]
    run.line("shielded")
    swept(name, before, after, run.send)
    run.line("oh noes!")
    until(lambda: children(run.pid) == [job], "only the job is left")
    kill(job, "USR1")
    run.end(0)
    run.line("done!")
    equal(run.out.count("oh noes!"), 1, "times the caller was interrupted")


# ---- shutdown_waits_for(), four ways ----

def interrupted(run, *, name="TERM", caller=True, detached=False):
    """Stop it; the caller is interrupted at once, the job goes on, and is waited for.  A detached
    wrapper, which belongs to nobody, ends with its job, or in the shutdown's last phase."""
    job = run.pids()["pid"]
    run.line("shielded")
    main = children(run.pid)[0]
    run.send(name)
    if caller:
        run.line("^oh noes!$")
    if detached:
        expect_gone(main)
    else:
        until(lambda: children(run.pid) == [job], "only the job is left")
    pause(0.1)
    check(alive(job) and not run.ended(), "it was not waited for")
    kill(job, "USR1")
    run.end(0)
    words = [line for line in run.out.splitlines() if line in ("oh noes!", "done!")]
    equal(words, ["oh noes!", "done!"] if caller else ["done!"], "what is said, in its order")


CALLER = "trap 'echo \"oh noes!\"; exit 0' TERM INT;"


@cases("TERM", "INT")
def test_row_shutdown_waits_for_in_the_background(name):
    interrupted(script(f"{CALLER} {SHIELDED} & wait $!"), name=name)


def test_row_shutdown_waits_for_in_the_foreground():
    """A shell runs its trap when the command in its foreground is over: the wrapper ends at once."""
    run = script(f"{CALLER} {SHIELDED}", "--group")
    job = run.pids()["pid"]
    run.line("shielded")
    run.send("TERM")
    run.line("^oh noes!$")
    until(lambda: children(run.pid) == [job], "only the job is left")
    kill(job, "USR1")
    run.end(0)
    run.line("^done!$")


def test_row_shutdown_waits_for_in_the_foreground_of_the_shell_itself():
    """Signalled alone, the shell waits for the wrapper, as for any command; both end in time."""
    run = script(f"{CALLER} {SHIELDED}")
    job = run.pids()["pid"]
    run.line("shielded")
    run.send("TERM")
    pause(0.2)
    check(alive(job) and not run.ended(), "it was not waited for")
    kill(job, "USR1")
    run.end(0)
    words = [line for line in run.out.splitlines() if line in ("oh noes!", "done!")]
    equal(sorted(words), ["done!", "oh noes!"], "what is said")


@needs("setsid")
def test_row_shutdown_waits_for_detached():
    interrupted(script(f"{CALLER} setsid {SHIELDED} & wait $!"), detached=True)


@needs("setsid")
def test_row_shutdown_waits_for_detached_with_its_parent_gone():
    interrupted(script(f"{CALLER} (setsid {SHIELDED} &); while :; do sleep 0.05; done"),
                detached=True)


def test_row_shutdown_waits_for_with_its_parent_gone():
    interrupted(script(f"{CALLER} ({SHIELDED} &); while :; do sleep 0.05; done"))


def test_row_shutdown_waits_for_with_main_gone():
    """Main's end is the trigger, and no signal comes at all."""
    reading, writing = os.pipe()
    run = script(f"exec 3<&0; {SHIELDED} & read line <&3; exit 0", stdin=reading)
    job = run.pids()["pid"]
    run.line("shielded")
    os.write(writing, b"go\n")
    until(lambda: children(run.pid) == [job], "only the job is left")
    pause(0.1)
    check(not run.ended(), "it was not waited for")
    kill(job, "USR1")
    run.end(0)
    run.line("done!")


def test_row_shutdown_waits_for_from_a_program_that_execs():
    """The wrapper in the place of the command: it is interrupted, its job is not."""
    run = script(f"exec {SHIELDED}", "--success-status", "requested")
    interrupted(run, caller=False)


def test_row_shutdown_waits_for_many():
    run = script(f"{CALLER} for i in 1 2 3 4; do {SHIELDED} & done; wait")
    jobs = [int(run.line(r"pids pid=(\d+)").group(1)) for _ in range(4)]
    printed(run, "shielded", 4)
    run.send("TERM")
    run.line("oh noes!")
    until(lambda: sorted(children(run.pid)) == sorted(jobs), "only the jobs are left")
    for job in jobs[:-1]:
        kill(job, "USR1")
        run.line("done!")
    check(not run.ended(), "the last one was not waited for")
    kill(jobs[-1], "USR1")
    run.end(0)


@cases("dash", "bash")
def test_row_its_caller_is_cancelled_at_once_on_a_terminal(kind):
    """Ctrl-C in a script: `oh noes!` now, `done!` in the end, and the prompt after that."""
    Path("caller").write_text("#!/bin/dash\n" + quoted(f"{CALLER} {SHIELDED} & wait $!\n"))
    os.chmod("caller", 0o755)
    sh = Shell(kind, env={"AIORUN": VERBS, "VICTIM": VICTIM})
    sh.type("aiorun -- ./caller\n")
    job = int(sh.expect(r"pids pid=(\d+)").group(1))
    sh.expect("shielded")
    sh.ctrl("C")
    sh.expect("oh noes!")
    check(alive(job), "the job was interrupted")
    pause(0.1)
    equal(sh.seen("<status"), 1, "prompts while the job runs")
    kill(job, "USR1")
    sh.expect("done!")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_row_the_shielded_task_is_cancelled_directly():
    run = script("$AIORUN shield -- $VICTIM on TERM [ say cancelled exit 6 ] print pids say shielded"
                 " pause; echo status $?; exit 0")
    job = run.pids()["pid"]
    run.line("shielded")
    kill(job, "TERM")
    run.line("cancelled")
    run.line("^status 6$")
    run.end(0)


@cases(status=("exit 7", "status 7"), signal=("kill self USR2", "status 140"),
       output=("say hello", "hello"), input=("read", "read 6 bytes"))
def test_row_used_as_a_plain_shield_outside_shutdown(task, line):
    run = script(f"echo hello | $AIORUN shield -- $VICTIM {task}; echo status $?")
    run.line(f"^{line}$")
    run.end(0)


def test_row_plain_shield_passes_signals_on():
    run = script("$AIORUN shield -- $VICTIM report USR1 on USR2 [ exit 4 ] print pids say shielded"
                 " pause & echo wrapper $!; wait $!; echo status $?")
    wrapper = int(run.line(r"^wrapper (\d+)$").group(1))
    run.line("shielded")
    kill(wrapper, "USR1")
    run.line("got USR1")
    kill(wrapper, "USR2")
    run.line("^status 4$")
    run.end(0)


# ---- the executor ----

TASK = "$VICTIM report TERM on USR1 [ say done exit 0 ] print pids say running pause"


def test_row_executor_shutdown_waits_for_running_and_queued_work():
    run = script(f"{CALLER} $AIORUN submit -- {TASK}; $AIORUN submit -- {TASK};"
                 " echo submitted; while :; do sleep 0.05; done", "--executor-workers", "1")
    first = run.pids()["pid"]
    printed(run, "submitted")
    run.send("TERM")
    run.line("oh noes!")
    until(lambda: children(run.pid) == [first], "only the first is left")
    kill(first, "USR1")
    second = run.pids()["pid"]
    run.line("running")
    pause(0.1)
    check(not run.ended(), "queued work was not waited for")
    kill(second, "USR1")
    run.end(0)
    equal(run.out.count("done"), 2, "jobs that were done")
    check("got TERM" not in run.out, "one was asked")


def test_row_executor_work_is_waited_for_to_the_cap_only():
    run = script(f"{CALLER} $AIORUN submit --name endless -- $VICTIM ignore TERM say running pause;"
                 " while :; do sleep 0.05; done", "--timeout", "1s")
    run.line("running")
    seconds = run.seconds(run.send, "TERM")
    run.end(0)
    check(0.9 < seconds < 3, f"it took {seconds:.1f} s")
    run.log("endless: pid")


def test_row_executor_takes_no_more_work_once_it_shuts_down():
    run = script("trap '$AIORUN submit -- $VICTIM say late; echo status $?; exit 0' TERM;"
                 " echo ready; while :; do sleep 0.05; done")
    run.line("ready")
    run.send("TERM")
    run.line("^status 125$")
    run.end(0)
    check("late" not in run.out, "it was run")


def test_row_executor_gives_its_result_to_who_waits():
    run = script("$AIORUN submit --wait -- $VICTIM exit 9; echo status $?;"
                 " $AIORUN submit --wait -- $VICTIM kill self HUP; echo status $?")
    run.line("^status 9$")
    run.line("^status 129$")
    run.end(0)


# ---- shutdown_callback, three ways ----

def test_row_shutdown_callback_as_a_command():
    run = aiorun("--shutdown-callback", "sh -c 'echo callback; sleep 0.2; echo over'", "--",
                 VICTIM, "on", "TERM", "[", "say", "asked", "exit", "0", "]", "say", "ready", "pause")
    run.line("ready")
    run.send("TERM")
    run.end(0)
    equal(run.out.split(), ["ready", "callback", "over", "asked"], "the order")


def test_row_shutdown_callback_as_a_job():
    """What is submitted before runs to its end."""
    run = script(f"{CALLER} $AIORUN submit -- sh -c 'echo working; sleep 0.5; echo over';"
                 " while :; do sleep 0.05; done")
    run.line("working")
    run.send("TERM")
    run.end(0)
    equal(run.out.split("\n")[:3], ["working", "oh noes!", "over"], "the order")


def test_row_shutdown_callback_as_a_worker_that_reacts_to_the_message():
    run = script("trap '' TERM; echo ready; read verb reason seconds <&9;"
                 " echo told $verb $reason; sleep 0.2; echo over; exit 0")
    run.line("ready")
    run.send("TERM")
    run.end(0)
    equal(run.out.splitlines(), ["ready", "told shutdown signal", "over"], "what is said")


# ---- errors ----

def test_row_call_exception_handler_with_the_flag():
    run = script("trap 'echo cancelled; exit 0' TERM; echo 'error it broke' >&9;"
                 " while :; do sleep 0.05; done", "--stop-on-unhandled-errors")
    run.end(1)
    run.line("cancelled")
    run.log("it broke")


def test_row_call_exception_handler_without_the_flag():
    run = script("trap 'echo cancelled; exit 0' TERM; echo 'error it broke' >&9; echo ready;"
                 " while :; do sleep 0.05; done")
    run.line("ready")
    run.log("it broke")
    pause(0.2)
    check("cancelled" not in run.out and not run.ended(), "it was stopped")
    run.send("TERM")
    run.end(1)


def test_row_call_exception_handler_with_an_exception():
    """The text says what happened, and is what the log says."""
    run = script("trap 'exit 0' TERM; echo 'error ValueError: no such shop' >&9;"
                 " while :; do sleep 0.05; done", "--stop-on-unhandled-errors")
    run.end(1)
    run.log("main reports an error: ValueError: no such shop")


def test_row_background_tasks_are_cancelled_and_the_error_is_the_status():
    run = script("$VICTIM on TERM [ say background exit 0 ] say started pause &"
                 " sleep 0.2; exit 6", "--stop-on-unhandled-errors")
    run.end(6)
    run.line("background")


# ---- contradictions ----

def test_row_loop_excludes_another_loop():
    run = aiorun("--timeout", "5s", "--stop-timeout", "2s", "--stop", "TERM 2s", "--", VICTIM)
    run.end(125)
    check("--stop" in run.err and "--stop-timeout" in run.err, "the sentence names not both")


def test_row_backend_that_is_not_there_is_an_error():
    run = aiorun("--loop", "kqueue", "--", VICTIM, "say", "started")
    run.end(125)
    check("--loop" in run.err and "kqueue" in run.err, "the sentence names it not")
    check("started" not in run.out, "it was started all the same")
