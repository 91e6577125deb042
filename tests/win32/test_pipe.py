"""The control pipe, jobs, the admin pipe and libaiorun, on Windows."""
import json
import re
import time
from pathlib import Path

from __main__ import (AIORUN, BUILD, CONSOLE, CTRL_BREAK, Program, aiorun, event, expect,
                      expect_order, run, windows_path, write)

SPEAKER = windows_path(BUILD / "speaker.exe")


def spoken(*words, options=("-v",)):
    """A command that speaks, and what was said."""
    return aiorun(*options, "--", SPEAKER, *words)


def said(text, *lines):
    """Are these among the lines, in this order?"""
    rest = iter(text.split("\n"))
    for line in lines:
        expect(line in rest, f"{line!r} is not there, or not in its place:\n{text}")


def supervised(*words, options=()):
    """With a console, and in a process group of its own."""
    program = Program(CONSOLE, AIORUN, "-vv", "--timeout", "40s", "--group", *options, "--",
                      SPEAKER, *words)
    return program, program.wait_for(r"aiorun is (\d+)")


def shield(*words):
    return (AIORUN, "shield", "--name", "up", "--", SPEAKER, *words)


# ---- shields --------------------------------------------------------------------------------------


def test_row_shield_in_the_foreground():
    """The caller is interrupted, and so is the verb; what it runs is not."""
    program, pid = supervised("last-words", "oh noes!", "run",
                              *shield("say", "begun", "wait-for", "go", "say", "done!"), ",",
                              "say", "not interrupted")
    program.wait_for("^begun")
    event(CTRL_BREAK, pid)
    program.wait_for("^oh noes!")
    program.wait_for("main .* exited with status 0")
    expect("done!" not in program.text(), program.text())
    write("go", "")
    program.end()
    said(program.text(), "begun", "oh noes!", "done!")
    expect("not interrupted" not in program.text(), program.text())


def test_row_shield_in_the_background():
    program, pid = supervised("last-words", "oh noes!", "start",
                              *shield("make", "begun", "wait-for", "go", "say", "done!"), ",",
                              "wait-for", "begun", "say", "begun", "sleep")
    program.wait_for("^begun")
    event(CTRL_BREAK, pid)
    program.wait_for("^oh noes!")
    program.wait_for("Running pending tasks till complete")
    expect("done!" not in program.text(), program.text())
    write("go", "")
    program.end()
    said(program.text(), "begun", "oh noes!", "done!")


def test_row_shield_whose_caller_is_gone():
    program, _ = supervised("start", *shield("make", "begun", "wait-for", "go", "say", "done!"), ",",
                            "wait-for", "begun", "exit", "4")
    program.wait_for("main .* exited with status 4")
    program.wait_for("Entering shutdown phase")
    expect("done!" not in program.text(), program.text())
    write("go", "")
    expect(program.end() == 4, program.text())
    said(program.text(), "done!")


def test_row_shield_is_transparent():
    status, text = spoken("run", AIORUN, "shield", "--", SPEAKER, "say", "out", "exit",
                          str(0xC0000005), ",", "run", AIORUN, "shield", "--",
                          "no-such-program", ",")
    said(text, "out", f"it exited with {0xC0000005}", "it exited with 127")
    expect(status == 0 and "cannot run 'no-such-program'" in text, text)


def test_shield_outlives_what_kills_its_run():
    """The run's job object is terminated; the job's is another one."""
    program, pid = supervised("ignore", "run",
                              *shield("make", "begun", "say", "begun", "wait-for", "go", "say",
                                      "done!"), ",", "sleep", options=("--stop-timeout", "500ms"))
    program.wait_for("^begun")
    event(CTRL_BREAK, pid)
    program.wait_for("main .* killed by SIGKILL")
    expect("done!" not in program.text(), program.text())
    write("go", "")
    program.end()
    said(program.text(), "begun", "done!")


def test_row_shield_has_its_callers_streams():
    Path("in.txt").write_text("some words")
    write("pipe.bat", f'@"{AIORUN}" shield -- "{SPEAKER}" in <in.txt >out.txt\n')
    status, text = aiorun("--", "cmd", "/c", "pipe.bat")
    expect(status == 0 and Path("out.txt").read_text() == "in: some words\n", text)


def test_shield_ends_at_the_cap():
    start = time.monotonic()
    status, text = spoken("start", *shield("ignore", "make", "begun", "sleep"), ",", "wait-for",
                          "begun", "exit", "4", options=("-v", "--timeout", "3s"))
    expect(status == 4 and time.monotonic() - start < 25, f"status {status}: {text}")
    expect(re.search(r"up .*(killed|refused)|Waiting for up", text), text)


def test_what_stands_in_the_pipe_holds_a_run_up():
    """A shield by message: the stop request comes, Ctrl-Break when it is released."""
    program, pid = supervised("last-words", "stopped", "lib-shield", "step", "20", "say", "held",
                              "lib-await", "say", "working", "wait-for", "go", "say", "done!",
                              "lib-unshield", "step", "sleep")
    program.wait_for("^held")
    event(CTRL_BREAK, pid)
    program.wait_for("^working")
    expect("stopped" not in program.lines, program.text())
    write("go", "")
    program.end()
    said(program.text(), "order 1 signal later", "working", "done!", "stopped")


def test_shield_without_an_aiorun():
    status, text = run(AIORUN, "shield", "--", SPEAKER, "say", "alone", "exit", "7")
    expect(status == 7 and "runs without a shield" in text, f"status {status}: {text}")
    said(text, "alone")


def test_nothing_is_shielded_by_breaking_away():
    """What wants to leave its run's job object is refused, or stays: it does not outlive it."""
    program, pid = supervised("out", SPEAKER, "ignore", "make", "begun", "wait-for", "go", "say",
                              "escaped", ",", "say", "main", "sleep",
                              options=("--stop-timeout", "500ms"))
    program.wait_for("^main")
    event(CTRL_BREAK, pid)
    program.end()
    expect("escaped" not in program.text(), program.text())


# ---- submitted jobs -------------------------------------------------------------------------------


def test_submit_waits_and_ends_like_its_job():
    status, text = spoken("run", AIORUN, "submit", "--wait", "--", SPEAKER, "say", "out", "exit",
                          "300", ",", "run", AIORUN, "submit", "--wait", "--", "no-such-program", ",")
    said(text, "out", "it exited with 300", "it exited with 127")
    expect(status == 0, text)


def test_submit_takes_directory_environment_and_worker():
    Path("place").mkdir()
    status, text = spoken("run", "cmd", "/c", "cd", "place&&", "set", "GIVEN=once&&", AIORUN,
                          "submit", "--wait", "--", SPEAKER, "cwd", "env", "GIVEN", "env",
                          "AIORUN_WORKER", "run", AIORUN, "extend", "1s", ",,", "say", "end", ",")
    lines = text.split("\n")
    expect(status == 0 and any(line.lower().endswith("\\place") for line in lines), text)
    said(text, "once", "main", "it exited with 0", "end")


def test_jobs_run_one_after_the_other_and_are_waited_for():
    program, _ = supervised("run", AIORUN, "submit", "--name", "one", "--", SPEAKER, "say", "one",
                            "wait-for", "go", ",", "run", AIORUN, "submit", "--name", "two", "--",
                            SPEAKER, "say", "two", ",", "exit", "5",
                            options=("--executor-workers", "1"))
    program.wait_for("Entering shutdown phase")
    program.wait_for("^one")
    expect("two" not in program.lines, program.text())
    write("go", "")
    expect(program.end() == 5, program.text())
    said(program.text(), "one", "two")


def test_no_job_is_taken_in_a_shutdown():
    status, text = spoken("lib-shield", "a", "20", "run", AIORUN, "shutdown", ",", "lib-await",
                          "run", AIORUN, "submit", "--", SPEAKER, "say", "late", ",")
    said(text, "it exited with 0", "it exited with 125")
    expect("a shutdown has begun" in text and "late" not in text.split("\n"), text)
    expect(status == 0, f"status {status}: {text}")


def test_requests_by_hand():
    status, text = spoken("open", "-", "line", "attach", "read", "request", "good", "line",
                          "submit x wait", "read", "read", "request", "good", "line", "job x",
                          "read", "read", "request", "file", "line", "submit x", "read", "request",
                          "short", "line", "job x", "read", "request", "stream", "line", "submit x",
                          "read", "request", "zeros", "line", "job x", "read", "request", "good",
                          "line", "ready", "read", "line", "submit x", "read", "say", "end")
    said(text, "< ok 1", "< error the request is a file, and not memory",
         "< error the request is no section, or is shorter than it says",
         "< error the request is no section, or is shorter than it says",
         "< error its directory is not absolute", "< ok",
         "< error it needs a request line before it: what to run, and three streams", "end")
    lines = text.split("\n")
    expect(status == 0 and lines.count("hello") == 2 and lines.count("< ended exited 0") == 2,
           f"status {status}: {text}")


# ---- messages -------------------------------------------------------------------------------------


def test_verbs_of_one_line():
    status, text = spoken("run", AIORUN, "ready", ",", "run", AIORUN, "extend", "2s", ",", "run",
                          AIORUN, "extend", "never", ",", "run", AIORUN, "shutdown", "256", ",",
                          "lib-shield", "a", "20", "run", AIORUN, "shutdown", "9", ",")
    said(text, "it exited with 0", "it exited with 0", "it exited with 125", "it exited with 125",
         "it exited with 0")
    expect(status == 9 and "'never' is not a duration" in text, f"status {status}: {text}")


def test_shutdown_is_read_from_the_pipe_and_obeyed():
    program, pid = supervised("ignore", "lib-shield", "all", "30", "say", "up", "lib-await", "say",
                              "finishing", "exit", "6")
    program.wait_for("^up")
    event(CTRL_BREAK, pid)
    expect(program.end() == 6, program.text())
    said(program.text(), "order 1 signal later", "finishing")


def test_who_connects_late_hears_of_the_shutdown():
    status, text = spoken("lib-shield", "x", "20", "run", AIORUN, "shutdown", "4", ",",
                          "lib-await", "open", "-", "read", "close", "say", "end")
    expect(status == 4 and re.search(r"^< shutdown request [\d.]+$", text, re.M), text)


def test_private_channel_answers_each_line():
    status, text = spoken("open", "-", "line", "attach", "read", "line", "ready", "read", "line",
                          "shield", "read", "line", "unshield x", "read", "line", "", "read",
                          "long", "3000", "read", "line", "job x", "read", "line", "request 1 2",
                          "line", "submit x", "read", "line", "request 5 99999 0 0 0", "line",
                          "submit x", "read", "line", "attach", "read", "close", "say", "end")
    said(text, "< ok 1", "< ok", "< error NAME is missing", "< error it holds no shield of that name")
    said(text, "< error it is too long, or not plain text", "< error it needs a request line before "
         "it: what to run, and three streams", "< error request needs five numbers: its size, and "
         "four handles", "< error a handle of its request is none, or not to be had",
         "< error the channel is attached already", "end")
    expect(status == 0, f"status {status}: {text}")


def test_lines_in_parts_are_lines():
    status, text = spoken("open", "-", "bytes", "stat", "bytes", "us in par", "line", "ts", "bytes",
                          "status cut", "close", "say", "end", options=("-vv",))
    expect(status == 0 and "main: in parts" in text and "main: cut" not in text, text)


def test_what_was_said_last_counts_before_the_end():
    """Who says it and is gone at once is heard all the same, behind much else, too."""
    status, text = spoken("open", "-", "line", "shutdown 7", "exit", "0")
    expect(status == 7, f"status {status}: {text}")
    status, text = spoken("open", "-", "line", "attach", "read", "freeze", "flood", "400", "line",
                          "shutdown 8", "exit", "0", options=("-vv",))
    expect(status == 8, f"status {status}: {text[-2000:]}")
    expect_order(text, "main asks for a shutdown", "exited with status 0")


def test_flood_keeps_nobody_waiting():
    status, text = spoken("start", SPEAKER, "open", "-", "line", "status begun", "flood", "100000",
                          ",", "run", AIORUN, "extend", "1s", ",", "say", "through", "lib-shutdown",
                          "5", "sleep", options=("-v", "--group", "--stop-timeout", "0"))
    said(text, "it exited with 0", "through")
    expect(status == 5 and "flooded" not in text, f"status {status}: {text}")


def test_answers_that_nobody_reads_close_the_channel():
    status, text = spoken("open", "-", "line", "attach", "flood", "100000", "closed", "run", AIORUN,
                          "extend", "1s", ",", "say", "end")
    said(text, "cannot write", "closed", "it exited with 0", "end")
    expect(status == 0, f"status {status}: {text}")


def test_connections_of_one_run_are_bounded():
    """Who comes when there are too many waits until one has gone."""
    words = []
    for _ in range(60):
        words += ["try", "-"]
    status, text = spoken(*words, "say", "end")
    expect(status == 0 and "busy" in text.split("\n"), text)
    expect(text.count("open\n") < 60, text)


def test_only_the_runs_own_processes_may_speak():
    program, _ = supervised("env", "AIORUN_CONTROL_PIPE", "wait-for", "go", "exit", "5")
    name = program.wait_for(r"^(\\\\\.\\pipe\\aiorun-\d+-[0-9a-f]{32})$")
    _, text = run(SPEAKER, "open", name, "line", "shutdown 9", "closed", "say", "end")
    said(text, "end")
    program.wait_for("its sender is no process of this run")
    write("go", "")
    expect(program.end() == 5, program.text())


def test_pipes_are_their_owners_alone():
    program, pid = fleet()
    _, text = run(SPEAKER, "open", rf"\\.\pipe\aiorun-{pid}", "rights")
    expect(text == "rights: ours alone", text)
    ask("shutdown")
    program.end()
    _, text = spoken("open", "-", "rights")
    said(text, "rights: ours alone")


def test_pipes_end_with_the_next_run():
    """Each run has a pipe of its own, and none is left."""
    program = Program(CONSOLE, AIORUN, "-vv", "--restart", "on-failure", "--restart-delay", "10ms",
                      "--", SPEAKER, "env", "AIORUN_CONTROL_PIPE", "open", "-", "exit", "1")
    pid = program.wait_for(r"aiorun is (\d+)")
    names = {program.wait_for(r"^(\\\\\.\\pipe\\aiorun-.*)$", n) for n in (1, 2, 3)}
    expect(len(names) == 3, f"a name is used twice: {names}")
    event(CTRL_BREAK, pid)
    program.end()
    for name in names:
        _, text = run(SPEAKER, "open", name)
        expect("cannot open: error 2" in text, text)


def test_without_a_control_pipe():
    status, text = spoken("env", "AIORUN_CONTROL_PIPE", "available", "lib-ready", "run", AIORUN,
                          "ready", ",", options=("--no-control",))
    said(text, "unset", "available 0", "lib-ready 0", "it exited with 125")
    expect("there is no aiorun above: AIORUN_CONTROL_PIPE is not set" in text, text)


def test_what_a_run_is_told_of_itself():
    status, text = spoken("env", "AIORUN_PROTOCOL", "env", "AIORUN_WORKER", "env",
                          "AIORUN_INSTANCE", "env", "AIORUN_PID")
    expect(status == 0 and re.search(r"^1\nmain\n0\n\d+$", text, re.M), text)


def test_aiorun_in_aiorun():
    """The inner one hears of the outer one's shutdown over its pipe."""
    program, pid = supervised("ignore", "lib-shield", "a", "30", "start", AIORUN, "-vv", "--",
                              SPEAKER, "ignore", "say", "up", "lib-await", "say", "told", ",",
                              "wait-for", "go")
    program.wait_for("^up")
    event(CTRL_BREAK, pid)
    program.wait_for("^told")
    said(program.text(), "order 1 request later", "told")
    write("go", "")
    program.end()


# ---- libaiorun ------------------------------------------------------------------------------------


def test_library_speaks():
    status, text = spoken("available", "lib-ready", "lib-status", "hello", "lib-shield", "up", "10",
                          "lib-unshield", "up", "lib-unshield", "none", "lib-shield", "a b", "1",
                          "lib-status", "two\nlines", "lib-watchdog", "lib-error", "oops",
                          "lib-extend", "-1", "lib-shutdown", "256", options=("-vv",))
    said(text, "available 1", "lib-ready 0", "lib-status 0", "lib-shield 0", "lib-unshield 0",
         "lib-unshield 0", "lib-shield -1 EINVAL", "lib-status -1 EINVAL", "lib-watchdog 0",
         "lib-error 0", "lib-extend -1 EINVAL", "lib-shutdown -1 EINVAL")
    for line in ("main: hello", "main holds the shield 'up'", "it holds no shield of that name",
                 "main reports an error: oops"):
        expect(line in text, f"{line} is not there:\n{text}")
    expect(status == 1, f"status {status}: {text}")


def test_library_without_an_aiorun():
    _, text = run(SPEAKER, "available", "lib-ready", "lib-shield", "a", "1", "lib-shield", "a b",
                  "1", "lib-shutdown", "5")
    said(text, "available 0", "lib-ready 0", "lib-shield 0", "lib-shield -1 EINVAL",
         "lib-shutdown 0")
    _, text = run(SPEAKER, "available", "lib-ready",
                  env={"AIORUN_CONTROL_PIPE": r"\\.\pipe\aiorun-nobody"})
    said(text, "available 0", "lib-ready 0")


def test_library_tells_that_the_supervisor_is_gone():
    _, text = run(SPEAKER, "serve-once", r"\\.\pipe\aiorun-test", "lib-ready", "drop", "lib-await",
                  "lib-ready", env={"AIORUN_CONTROL_PIPE": r"\\.\pipe\aiorun-test"})
    said(text, "lib-ready 0", "order none, errno EPIPE", "lib-ready -1 EPIPE")


def test_library_does_not_wait_for_a_supervisor_that_does_not_read():
    _, text = run(SPEAKER, "serve-once", r"\\.\pipe\aiorun-test", "lib-fill",
                  env={"AIORUN_CONTROL_PIPE": r"\\.\pipe\aiorun-test"})
    said(text, "filled -1 EAGAIN")


# ---- the admin pipe -------------------------------------------------------------------------------

FLEET = """[worker:web]
command = 'SPEAKER' last-words bye say web sleep
instances = 2
stop-timeout = 5s
[worker:db]
command = 'SPEAKER' last-words bye lib-ready lib-status serving say db lib-await exit 0
ready = control
stop-timeout = 5s
"""


MEANT = {}  # which supervisor: the one that was started last


def fleet(*options):
    write("fleet.ini", FLEET.replace("SPEAKER", SPEAKER))
    program = Program(CONSOLE, AIORUN, "-vv", *options, "--config", "fleet.ini")
    pid = program.wait_for(r"aiorun is (\d+)")
    program.wait_for("db is ready")
    program.wait_for("^web", 2)
    MEANT["AIORUN_OPT_CONTROL"] = f"aiorun-{pid}"
    return program, pid


def test_streams_are_the_submitters():
    """Not the supervisor's: standard input, too."""
    program, _ = fleet()
    Path("in.txt").write_text("some words")
    for verb in ("submit --wait", "submit --wait --as web"):
        write("pipe.bat", f'@"{AIORUN}" {verb} -- "{SPEAKER}" in <in.txt >out.txt\n')
        status, text = run("cmd", "/c", "pipe.bat", env=MEANT)
        expect(status == 0 and Path("out.txt").read_text() == "in: some words\n",
               f"{verb}: {status}, {text}, {Path('out.txt').read_text()}")
    expect("some words" not in program.text(), program.text())
    ask("shutdown")
    program.end()


def ask(*words, status=0, env=None):
    got, text = aiorun(*words, env=MEANT if env is None else env)
    expect(got == status, f"{words}: status {got}: {text}")
    return text


def test_people_see_what_runs():
    program, pid = fleet()
    text = ask("status")
    expect(re.search(r"^web:1 +ready +\d+", text, re.M) and
           re.search(r"^db +ready .*serving$", text, re.M), text)
    shown = json.loads(ask("status", "--json"))
    expect(shown["pid"] == int(pid) and len(shown["workers"]) == 3, shown)
    names = ask("status", "--names").split()
    expect("web:0" in names and "db" in names, names)
    expect("'x'" in ask("status", "x", status=1), "it does not say which")
    ask("shutdown", "7")
    expect(program.end() == 7, program.text())


def test_people_stop_start_and_restart():
    program, _ = fleet()
    ask("stop", "db")
    expect(re.search(r"^db +stopped", ask("status"), re.M), ask("status"))
    ask("start", "db")
    program.wait_for("db is ready", 2)
    ask("restart", "web")
    program.wait_for("^web", 4)
    ask("stop", "nobody", status=1)
    ask("shutdown")
    expect(program.end() == 0, program.text())


def test_people_submit_drain_and_wait():
    program, _ = fleet()
    text = ask("submit", "--wait", "--as", "db", "--", SPEAKER, "env", "AIORUN_WORKER", "exit", "6",
               status=6)
    said(text, "db")
    ask("submit", "--", SPEAKER, "wait-for", windows_path(Path.cwd() / "go"))
    waiting = Program(AIORUN, "wait-idle", env=MEANT)
    ask("drain")
    expect("the supervisor is drained" in ask("submit", "--", SPEAKER, status=125), "not drained")
    ask("drain", "off")
    expect(waiting.process.poll() is None, "it is not idle")
    write("go", "")
    expect(waiting.end() == 0, waiting.text())
    ask("shutdown", "--no-wait")
    expect(program.end() == 0, program.text())


def test_people_reload_and_signal():
    program, _ = fleet()
    Path("fleet.ini").write_text(Path("fleet.ini").read_text().replace("instances = 2",
                                                                       "instances = 1"))
    ask("reload")
    names = ask("status", "--names")
    expect("web:1" not in names, names)
    program.wait_for("^bye")
    Path("fleet.ini").write_text("[worker:web]\nnonsense = 1\n")
    expect("nonsense" in ask("reload", status=1) + program.text(), "a faulty file is taken")
    ask("signal", "BREAK", "db")
    program.wait_for("^bye", 2)
    ask("shutdown")
    program.end()


def test_one_reload_follows_another():
    """Each gives back what the one before has made."""
    program, _ = fleet()
    text = Path("fleet.ini").read_text()
    for instances in 3, 1, 2:
        write("fleet.ini", text.replace("instances = 2", f"instances = {instances}"))
        ask("reload")
        names = [name for name in ask("status", "--names").split() if name.startswith("web:")]
        expect(len(names) == (instances if instances > 1 else 0), names)
    ask("shutdown", "--no-wait")
    expect(program.end() == 0, program.text())


def test_reload_moves_pipes_and_jobs():
    """What is said before and after it is the same worker's, and a shield goes on."""
    write("fleet.ini", f"""[worker:first]
command = '{SPEAKER}' last-words bye sleep
[worker:db]
command = '{SPEAKER}' start '{AIORUN}' shield --name up -- '{SPEAKER}' wait-for go say done! , lib-status before say up wait-for reloaded lib-status after lib-await say told exit 0
""")
    program = Program(CONSOLE, AIORUN, "-vv", "--config", "fleet.ini")
    MEANT["AIORUN_OPT_CONTROL"] = "aiorun-" + program.wait_for(r"aiorun is (\d+)")
    program.wait_for("^up")
    program.wait_for("job up .* is shielded")
    text = Path("fleet.ini").read_text()
    write("fleet.ini", text[text.index("[worker:db]"):] + f"""[worker:new]
command = '{SPEAKER}' last-words bye sleep
instances = 20
""")
    ask("reload")
    write("reloaded", "")
    program.wait_for("db: after")
    expect("done!" not in program.text(), program.text())
    expect(re.search(r"^up +", ask("status"), re.M), "the job is not shown")
    ask("shutdown", "--no-wait")
    program.wait_for("^told")
    program.wait_for("Running pending tasks till complete")
    expect("done!" not in program.text(), program.text())
    write("go", "")
    expect(program.end() == 0, program.text())
    said(program.text(), "order 2  now", "order 1 request later", "told", "done!")


def test_who_says_nothing_is_let_go():
    program, pid = fleet()
    start = time.monotonic()
    _, text = run(SPEAKER, "open", rf"\\.\pipe\aiorun-{pid}", "closed")
    expect(text == "closed" and time.monotonic() - start > 9, text)
    ask("shutdown")
    program.end()


def test_people_follow_events():
    program, _ = fleet()
    follower = Program(AIORUN, "events", "--json", env=MEANT)
    # It is heard of when something happens: until it is, things do.
    for _ in range(20):
        ask("drain")
        ask("drain", "off")
        ask("submit", "--wait", "--name", "probe", "--", SPEAKER, "exit", "3", status=3)
        if any("probe" in line for line in follower.lines):
            break
    follower.wait_for("probe")
    for line in follower.lines:
        json.loads(line)
    ask("shutdown")
    expect(follower.end() == 0, follower.text())
    program.end()


def test_admin_pipe_by_name():
    program = Program(CONSOLE, AIORUN, "-v", "--group", "--control", "my-pipe", "--", SPEAKER, "last-words",
                      "bye", "say", "up", "sleep")
    program.wait_for("^up")
    expect("main" in ask("status", "--control", "my-pipe"), "status")
    expect("main" in ask("status", "--control", r"\\.\pipe\my-pipe"), "status")
    text = ask("status", "--control", "no-pipe", status=125)
    expect("no supervisor answers at 'no-pipe'" in text, text)
    status, text = aiorun("--control", "my-pipe", "--", SPEAKER, "say", "second")
    expect(status == 125 and "another program answers" in text and "second" not in text, text)
    run(SPEAKER, "open", r"\\.\pipe\my-pipe", "line", "nonsense", "read", "closed")
    ask("shutdown", "--control", "my-pipe", "3")
    expect(program.end() == 3, program.text())


def test_requests_that_are_none_are_refused():
    program, pid = fleet()
    name = rf"\\.\pipe\aiorun-{pid}"
    _, text = run(SPEAKER, "open", name, "line", "dance", "read", "closed", "open", name, "long",
                  "5000", "read", "closed", "open", name, "bytes", "status", "close", "open", name,
                  "line", "submit x", "read", "closed", "open", name, "close", "open", name, "line",
                  "status", "read", "closed", "say", "end")
    lines = [line for line in text.split("\n") if line.startswith("<")]
    expect(len(lines) == 4 and lines[0].startswith("< error ") and
           lines[1] == "< error the request is longer than 4,096 bytes" and
           lines[2].startswith("< error ") and lines[3] == "< ok", text)
    ask("shutdown")
    program.end()


def test_no_supervisor_is_found():
    text = ask("status", status=125, env={})
    expect("no supervisor with an admin pipe is found" in text, text)
    text = ask("shutdown", status=125, env={})
    expect("there is no aiorun above, and" in text, text)


def test_supervisors_are_found_and_told_apart():
    first, one = fleet()
    expect(f"pid {one}," in ask("status", env={}), "the only one is not found")
    second = Program(CONSOLE, AIORUN, "-v", "--config", "fleet.ini")
    two = second.wait_for(r"aiorun is (\d+)")
    second.wait_for("^db")
    text = ask("status", status=125, env={})
    expect("several supervisors run" in text and f"aiorun-{one}" in text and f"aiorun-{two}" in text,
           text)
    ask("shutdown", "--control", f"aiorun-{one}", env={})
    first.end()
    ask("shutdown", env={})
    second.end()
