"""The verbs for people, with a fleet."""
import json
import os
import re
import resource
import shutil
import socket
import time
from pathlib import Path

from harness import BINARY, VICTIM, Run, aiorun, cases, check, equal, kill, put_down, until
from terminal import Terminal


def fleet(text, *options, **how):
    Path("fleet.ini").write_text(text.replace("victim", VICTIM))
    return aiorun("--config", "fleet.ini", *options, **how)


TWO = """
[worker:db]
command = victim on TERM [ exit 0 ] say ready pause
[worker:web]
command = victim on TERM [ exit 0 ] say ready pause
instances = 3
"""


def two():
    run = fleet(TWO)
    for _ in range(4):
        run.line("ready")
    return run


def is_up(run):
    """Wait until the admin socket answers; returns its path."""
    path = f"aiorun/{run.pid}.sock"

    def answers():
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0
    until(answers, "the admin socket answers")
    return path


def verb(*words):
    return Run([BINARY, *words])


def ask(*words, status=0):
    run = verb(*words)
    run.end(status)
    return run


def workers(*names):
    return {w["name"]: w for w in json.loads(ask("status", "--json", *names).out)["workers"]}


def pids():
    return {name: worker["pid"] for name, worker in workers().items()}


def end(run, *statuses):
    run.send("TERM")
    run.end(*(statuses or (0,)))


# ---- where it is ----

def test_a_fleet_has_one_by_itself_and_it_is_found():
    run = two()
    equal(os.listdir("aiorun"), [f"{run.pid}.sock"], "the default place")
    equal(oct(os.stat("aiorun").st_mode & 0o777), "0o700", "its directory's mode")
    equal(ask("status", "--names").out.split(), ["db", "web", "web:0", "web:1", "web:2"], "names")
    end(run)
    equal(os.listdir("aiorun"), [], "what is left")


def test_the_file_says_where_it_is():
    run = fleet("[aiorun]\ncontrol = here.sock\n" + TWO)
    run.line("ready")
    equal(ask("status", "--control", "here.sock", "--names").out.split()[0], "db", "names")
    check(not os.path.exists("aiorun"), "there is none in the default place")
    end(run)


def test_a_default_place_that_cannot_be_is_a_warning():
    Path("aiorun").write_text("a file")
    run = fleet(TWO)
    run.log("WARNING|cannot open the admin socket")
    run.line("ready")
    end(run)


def test_several_are_told_apart():
    first, second = two(), two()
    confused = ask("status", status=125)
    check(f"{first.pid}.sock" in confused.err and f"{second.pid}.sock" in confused.err,
          confused.err)
    asked = ask("status", "--control", f"aiorun/{second.pid}.sock", "--json")
    equal(json.loads(asked.out)["pid"], second.pid, "who answers")
    end(first)
    end(second)


def test_a_supervisor_that_was_killed_is_not_found():
    run = two()
    kill(run.pid)
    run.wait()
    put_down(*run.left)
    second = two()
    equal(set(workers()), {"db", "web:0", "web:1", "web:2"}, "workers of the one that lives")
    end(second)


# ---- starting and stopping ----

def test_a_worker_is_stopped_and_stays_down_until_it_is_started():
    run = two()
    ask("stop", "web")
    states = {name: worker["state"] for name, worker in workers().items()}
    equal(states, {"db": "ready", "web:0": "stopped", "web:1": "stopped",
                   "web:2": "stopped"}, "states")
    equal(workers("web:1")["web:1"]["last_end"], {"kind": "exited", "value": 0}, "its end")
    ask("start", "web:1")
    states = {name: worker["state"] for name, worker in workers().items()}
    equal(states, {"db": "ready", "web:0": "stopped", "web:1": "ready",
                   "web:2": "stopped"}, "states")
    ask("start", "--all")
    equal({worker["state"] for worker in workers().values()}, {"ready"}, "states")
    end(run)


def test_a_worker_rolls():
    run = two()
    before = pids()
    ask("restart", "web")
    after = pids()
    equal(after["db"], before["db"], "who was not meant")
    check(not set(after.values()) & set(before.values()) - {before["db"]}, "all of it is new")
    equal({w["restarts"] for w in workers("web").values()}, {1}, "restarts")
    end(run)


def test_an_instance_is_restarted_alone():
    run = two()
    before = pids()
    ask("restart", "web:1")
    after = pids()
    changed = [name for name in before if before[name] != after[name]]
    equal(changed, ["web:1"], "what is new")
    end(run)


def test_a_roll_leaves_down_what_was_stopped():
    run = two()
    ask("stop", "web:1")
    ask("restart", "web")
    equal(workers()["web:1"]["state"], "stopped", "state")
    end(run)


def test_a_start_that_fails_is_told():
    run = fleet("[worker:bad]\ncommand = victim say started exit 3\nautostart = no\n"
                "ready = control\nrestart = never\n")
    is_up(run)
    failed = ask("start", "bad", status=1)
    check("exited with status 3" in failed.err, failed.err)
    run.send("TERM")
    run.wait()


@cases(*[f"{word} {how}" for word in ("start", "restart") for how in
         ("exits", "is late", "leaves a tree", "is not prepared")])
def test_a_start_that_fails_is_told_although_the_next_is_under_way(case):
    word, _, how = case.partition(" ")
    script, keys, told = {
        "exits": ("exit 3", "restart-delay = 0", "was not ready before it ended (exited with status 3)"),
        "is late": ("on TERM [ exit 0 ] pause", "restart-delay = 0\nready-timeout = 100ms",
                    "was not ready before it ended (exited with status 0)"),
        "leaves a tree": ("spawn [ on TERM [ sleep 200ms exit 0 ] pause ] exit 3",
                          "restart-delay = 10ms..10ms",
                          "was not ready before it ended (exited with status 3)"),
        "is not prepared": ("pause", "restart-delay = 0\nbefore-start = false",
                            "before-start of bad exited with status 1"),
    }[how]
    run = fleet(f"[worker:bad]\ncommand = victim {script}\nautostart = no\nready = control\n{keys}\n")
    is_up(run)
    failed = ask(word, "bad", status=1)
    check(f"{told}; it " in failed.err, failed.err)
    ask("stop", "bad")
    end(run)


NO_START = {
    "program": ("command = ./program\n", "w could not be started"),
    "directory": ("command = sleep 60\ncwd = place\n", "w could not be started"),
    "preparation": ("command = sleep 60\nbefore-start = false\n",
                    "before-start of w exited with status 1"),
    "preparation_is_not_there": ("command = sleep 60\nbefore-start = ./nothing\n",
                                 "before-start of w could not be started"),
}


@cases(*[f"{verb}-{what}-{restart}" for verb in ("start", "restart") for what in NO_START
         for restart in ("never", "on-failure")])
def test_who_waits_for_what_cannot_be_started_is_told(case):
    word, what, restart = case.split("-", 2)
    keys, sentence = NO_START[what]
    shutil.copy("/bin/sleep", "program")
    os.mkdir("place")
    run = fleet(f"[worker:w]\n{keys}autostart = no\nrestart = {restart}\n"
                "restart-delay = 100s\n")
    is_up(run)
    os.unlink("program")
    os.rmdir("place")
    told = ask(word, "w", status=1)
    again = "; it starts again in" if restart == "on-failure" else "\n"
    check(f"{word}: {sentence}{again}" in told.err, told.err)
    shown = workers()["w"]
    equal(shown["state"], "waiting" if restart == "on-failure" else "failed", "state")
    prepares = what.startswith("preparation")
    equal(shown["reason"], sentence.replace("before-start of w", "its before-start")
          if prepares else None, "reason")
    equal(shown["last_end"], None if prepares else {"kind": "not-started", "value": 127 if
                                                    what == "program" else 125}, "last end")
    run.send("TERM")
    run.wait()


def test_a_preparation_that_failed_once_is_forgotten_when_the_next_succeeds():
    run = fleet("[worker:w]\ncommand = sleep 60\nbefore-start = test -e ready\nautostart = no\n"
                "restart = never\n")
    is_up(run)
    ask("start", "w", status=1)
    Path("ready").touch()
    ask("start", "w")
    ask("stop", "w")
    equal((workers()["w"]["state"], workers()["w"]["reason"]), ("stopped", None), "what is shown")
    run.send("TERM")
    run.wait()


def test_each_state_has_its_colour_on_a_terminal():
    """Green is well, red is not, yellow may become either, and grey is nobody's concern."""
    wanted = {"ready": 32, "stopped": 90, "finished": 90, "failed": 31, "given-up": 31, "held": 33,
              "waiting": 31}
    never = "restart = never\n"
    run = fleet("[worker:ready]\ncommand = sleep 100\n"
                "[worker:stopped]\ncommand = sleep 100\nautostart = no\n"
                f"[worker:finished]\ncommand = true\n{never}"
                f"[worker:failed]\ncommand = false\n{never}"
                "[worker:given-up]\ncommand = false\nrestart-limit = 1/1m\nrestart-delay = 1ms\n"
                "[worker:held]\ncommand = sleep 100\nneeds = given-up\n"
                "[worker:waiting]\ncommand = false\nrestart-delay = 100s\n")
    is_up(run)
    until(lambda: {name: each["state"] for name, each in workers().items()} ==
          {name: name for name in wanted}, "each is in its state")
    shown = Terminal([BINARY, "status"])
    shown.end(0)
    for state, colour in wanted.items():
        check(re.search(rf"\n{state} +\033\[{colour}m{state} *\033\[0m", shown.out),
              f"{state} is not in colour {colour}: {shown.out!r}")
    run.send("TERM")
    run.wait()


def test_a_start_waits_for_readiness():
    run = fleet("[worker:slow]\ncommand = sh -c 'read word <go; echo ready >&9; exec sleep 60'\n"
                "autostart = no\nready = control\n")
    os.mkfifo("go")
    is_up(run)
    start = verb("start", "slow")
    until(lambda: workers()["slow"]["state"] == "up", "it is up")
    check(not start.ended(), "it did not wait")
    Path("go").write_text("on\n")
    start.end(0)
    equal(workers()["slow"]["state"], "ready", "state")
    end(run)


def test_who_does_not_wait_does_not():
    run = fleet("[worker:stuck]\ncommand = victim on TERM [ say asked ] say ready pause\n"
                "stop-timeout = 60s\n")
    run.line("ready")
    ask("stop", "--no-wait", "stuck")
    run.line("asked")
    equal(workers()["stuck"]["state"], "stopping", "state")
    kill(pids()["stuck"])
    until(lambda: workers()["stuck"]["state"] == "stopped", "it is stopped")
    end(run)


@cases(("stop nobody", "there is no worker 'nobody'"), ("start web:3", "has 3 instances only"),
       ("restart db:1", "has 1 instance only"), ("signal HUP web:9", "has 3 instances only"),
       ("signal HOP web", "there is no signal 'HOP'"),
       ("submit --as nobody -- true", "there is no worker 'nobody'"))
def test_a_name_that_is_none_changes_nothing(words, part):
    run = two()
    before = pids()
    refused = verb(*words.split())
    refused.wait()
    check(refused.status in (1, 125) and part in refused.err, refused.err)
    equal(pids(), before, "who runs")
    end(run)


def test_a_signal_reaches_all_instances():
    run = fleet(TWO.replace("say ready", "on USR1 [ say hit ] say ready"))
    for _ in range(4):
        run.line("ready")
    ask("signal", "USR1", "web")
    for _ in range(3):
        run.line("hit")
    ask("stop", "web")
    refused = ask("signal", "USR1", "web", status=1)
    check("nothing of that is up" in refused.err, refused.err)
    end(run)


def test_a_client_that_leaves_stops_no_roll():
    run = two()
    before = pids()
    Run([BINARY, "restart", "--no-wait", "web"]).end(0)
    until(lambda: all(w["state"] == "ready" and w["pid"] != before[name]
                      for name, w in workers("web").items()), "all of it is new")
    end(run)


def test_who_asks_is_heard_although_runs_have_taken_all_descriptors():
    run = fleet("[worker:many]\ncommand = victim pause\ninstances = 100\n",
                "--control", "a.sock",
                before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    run.log("Too many open files")
    for _ in range(3):
        states = {w["state"] for w in json.loads(
            ask("status", "--json", "--control", "a.sock").out)["workers"]}
        check("ready" in states and "waiting" in states, f"the states: {states}")
    ask("shutdown", "--control", "a.sock").end(0)
    run.end(0)


def test_shutdown_takes_its_status():
    run = two()
    ask("shutdown", "5")
    run.end(5)


def test_a_job_has_the_rights_of_the_worker_that_is_named():
    run = two()
    job = verb("submit", "--as", "web", "--wait", "--", "sh", "-c", "echo $AIORUN_WORKER")
    job.end(0)
    equal(job.out, "web\n", "whose job it is")
    end(run)


def test_ten_thousand_instances_are_shown():
    run = fleet("[worker:many]\ncommand = victim pause\ninstances = 10000\nautostart = no\n")
    is_up(run)
    start = time.monotonic()
    shown = workers()
    equal(len(shown), 10000, "instances")
    check(time.monotonic() - start < 5, "within five seconds")
    equal(shown["many:9999"]["instance"], 9999, "the last one")
    end(run)
