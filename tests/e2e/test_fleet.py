"""The workers of a file: how many, in which order, how they are restarted, watched and stopped, what
they are given, and the exit status of it all."""
import json
import os
import re
import resource
import shlex
import signal
import socket
from pathlib import Path

from harness import (BINARY, VICTIM, aiorun, cases, check, children, command_line, equal, kill,
                     launch, needs, pause, pid1, stat, state, status_field, until, victim)
from speaker import join, pipe_of, submit
from terminal import Terminal
from test_admin_fleet import ask, is_up, pids, verb, workers
from test_output import ENDS, fleet, python, worker

QUICK = "restart-delay = 10ms..10ms"
SLOW = "restart-delay = 300ms..300ms"


def end(run, *statuses):
    run.send("TERM")
    run.end(*(statuses or (0,)))


def end_between(run):
    """Ends it while its only worker waits for a restart: one that ends during the shutdown, by
    itself, is an error that nothing handles any more."""
    until(lambda: list(states().values()) == ["waiting"], "it waits")
    end(run)


def states():
    return {name: shown["state"] for name, shown in workers().items()}


def all_up(run, count):
    for _ in range(count):
        run.line("^up$")


class Events:
    """What `aiorun events --json` tells from here on."""

    def __init__(self):
        self.told = verb("events", "--json")

        def follows():
            ask("submit", "--wait", "--name", "probe", "--", "true")
            self.told.pump(0)
            return "probe" in self.told.out
        until(follows, "events are told")

    def wait(self, event, name):
        self.told.line(f'"event":"{event}","name":"{re.escape(name)}"')

    def all(self, *kinds):
        """Those of these kinds, each as (kind, name), when the supervisor has ended."""
        self.told.end(0)
        events = [json.loads(line) for line in self.told.out.splitlines()]
        return [(event["event"], event.get("name")) for event in events
                if event["event"] in kinds and event.get("name") != "probe"]


# ---- how many ----

def test_instances_know_who_they_are():
    run = fleet(worker("web", "print env print pids pause", "instances = 3"))
    found = [run.pids() for _ in range(3)]
    equal(len({p["pid"] for p in found}), 3, "processes")
    check(all(p["sid"] == p["pid"] and p["ppid"] == run.pid for p in found),
          f"each has a session of its own: {found}")
    for number in range(3):
        equal(run.out.count(f"AIORUN_INSTANCE={number}\n"), 1, f"who is instance {number}")
    equal(run.out.count("AIORUN_WORKER=web\n"), 3, "who are of web")
    end(run)


def test_standard_input_is_empty():
    reading, writing = os.pipe()
    os.write(writing, b"for somebody else\n")
    run = fleet(ENDS + worker("web", "read"), stdin=reading)
    run.line("read 0 bytes")
    run.end(0)


# ---- restart ----

@cases(never_fails=("never", "exit 3", 3), on_failure_succeeds=("on-failure", "exit 0", 0),
       never_dies=("never", "kill self USR1", "USR1"))
def test_end_that_no_policy_restarts(policy, script, status):
    run = fleet(ENDS + worker("web", f"say up {script}", f"restart = {policy}", QUICK))
    run.end(status)
    equal(run.out, "up\n", "output")


@cases(on_failure=("on-failure", "exit 3"), killed=("on-failure", "kill self TERM"),
       always=("always", "exit 0"))
def test_end_that_is_followed_by_a_restart(policy, script):
    run = fleet(ENDS + worker("web", f"say up {script}", f"restart = {policy}", SLOW))
    all_up(run, 3)
    end_between(run)


def test_success_status_makes_an_end_no_failure():
    run = fleet(ENDS + worker("web", "say up exit 3", "success-status = 3", QUICK))
    run.end(0)
    equal(run.out, "up\n", "output")


def test_restarts_are_limited_and_the_others_run_on():
    run = fleet(worker("web", "say web exit 3", "restart-limit = 2/1m", QUICK)
                + worker("db", "say db pause"))
    run.log("web exited with status 3, and has used up its restarts")
    equal(run.out.count("web"), 3, "starts")
    equal(states(), {"web": "given-up", "db": "ready"}, "states")
    end(run, 3)


def test_restart_limit_counts_within_its_window_only():
    run = fleet(worker("web", "say up exit 3", "restart-limit = 2/500ms",
                       "restart-delay = 300ms..300ms"))
    for _ in range(6):
        run.line("up")
    check("used up" not in run.err, run.err)
    end_between(run)


def test_restart_delay_doubles_up_to_its_maximum():
    run = fleet(worker("web", "exit 3", "restart-delay = 100ms..400ms"))
    delays = [run.log(r"starts again in ([\d.]+) s").group(1) for _ in range(4)]
    equal(delays, ["0.1", "0.2", "0.4", "0.4"], "delays")
    end_between(run)


def test_short_restart_delay_is_told_as_more_than_nothing():
    run = fleet(worker("web", "exit 3", "restart-delay = 20ms"))
    run.log(r"^aiorun: web exited with status 3, and starts again in 0\.02 s$")
    end_between(run)


def test_what_cannot_be_started_does_not_keep_from_a_shutdown():
    """Each attempt is over at once, and while it lasts the next one falls due."""
    lost = "command = /nowhere/at/all\ninstances = 200\nrestart-delay = 0\n"
    run = fleet(worker("web", "say up pause") + f"[worker:lost]\n{lost}", "-qqqq")
    run.line("up")
    end(run)


# ---- what the log says of it ----

def test_log_tells_each_start_and_each_readiness():
    """Unasked, a line each; who is ready as soon as he runs was just started."""
    run = fleet("[worker:db]\nready = control\n"
                "command = sh -c 'until test -e g; do sleep 0.02; done; echo ready >&9; exec sleep 99'\n"
                + worker("web", "on USR1 [ exit 3 ] say up pause", "after = db", SLOW))
    pid = int(run.log(r"^aiorun: started db \(pid (\d+)\)$").group(1))
    equal(pids()["db"], pid, "the pid that the log names")
    check("started web" not in run.err and "is ready" not in run.err, run.err)
    Path("g").touch()
    run.log("^aiorun: db is ready$")
    check("started web" not in run.err[:run.err.index("db is ready")], run.err)
    web = int(run.log(r"^aiorun: started web \(pid (\d+)\)$").group(1))
    check("web is ready" not in run.err, run.err)
    run.line("^up$")
    kill(web, "USR1")
    run.log(r"^aiorun: web exited with status 3, and starts again in 0\.3 s$")
    run.log(r"^aiorun: started web \(pid (\d+)\)$")
    end(run)


def test_log_of_a_quiet_fleet_and_of_a_launcher_tells_no_start():
    quiet = fleet(worker("web", "say up pause"), "-q")
    quiet.line("up")
    end(quiet)
    run = launch("say up pause", "-v")
    run.line("up")
    run.send("TERM")
    run.end("TERM")
    check("started" not in quiet.err + run.err, quiet.err + run.err)


# ---- errors, and the exit status ----

def test_unhandled_error_ends_everything_with_the_status_of_the_first():
    run = fleet(worker("bad", "exit 4", "restart-limit = 1/1m", QUICK)
                + worker("good", "on TERM [ exit 5 ] pause"), "--stop-on-unhandled-errors")
    run.end(4)
    check("good exited with status 5; an earlier error is the exit status" in run.err, run.err)


def test_handled_error_ends_nothing():
    run = fleet(worker("bad", "say up exit 4", SLOW), "--stop-on-unhandled-errors")
    all_up(run, 3)
    end_between(run)


def test_on_error_is_told_who_has_failed():
    script = Path("told.sh").absolute()
    script.write_text('echo "told $AIORUN_ERROR_WORKER $AIORUN_ERROR_STATUS'
                      ' ${AIORUN_ERROR_TEXT-it said nothing}"\n')
    run = fleet(f"[aiorun]\non-error = sh {script}\n"
                + worker("bad", "exit 4", "restart = never") + worker("good", "pause"))
    equal(run.line("told.*").group(), "told bad 4 it said nothing", "what the command knows")
    end(run, 4)


@cases(dies=("", 0), handles=("on TERM [ exit 0 ]", 0),
       fails=("on TERM [ exit 3 ]", 3), quits=("on TERM [ kill self QUIT ]", "QUIT"))
def test_status_after_a_stop_that_was_asked_for(script, status):
    run = fleet(worker("web", f"{script} say up pause") + worker("db", "say up pause"))
    all_up(run, 2)
    end(run, status)


@cases(missing=("/no/such/program", 127), no_program=("/etc/passwd", 126))
def test_command_that_cannot_be_started(command, status):
    run = fleet(ENDS + f"[worker:web]\ncommand = {command}\nrestart = never\n")
    run.end(status)


@cases(command=("command = /no/such/program\n", "web: cannot run '/no/such/program'"),
       before=("command = true\nbefore-start = /no/such/program\n",
               "before-start of web: cannot run '/no/such/program'"))
def test_log_names_who_cannot_be_started(lines, told):
    run = fleet(f"[worker:web]\n{lines}{QUICK}\nrestart-limit = 1/1m\n")
    run.log(f"error: {told}")
    run.log("error: web could not be started, and has used up its restarts")
    end(run, 127)


def test_requested_end_is_no_error_in_a_fleet():
    run = fleet(worker("web", "on TERM [ exit 143 ] say up pause", "success-status = requested"))
    run.line("up")
    end(run)


# ---- needs, after ----

THREE = (worker("db", "say db pause", QUICK) + worker("web", "say web pause", "needs = db")
         + worker("job", "say job pause", "after = db"))


def test_needs_is_stopped_with_what_it_needs_and_comes_back_with_it():
    run = fleet(THREE)
    run.lines("db", "web", "job")
    events = Events()
    before = pids()
    ask("stop", "db")
    until(lambda: states() == {"db": "stopped", "web": "held", "job": "ready"}, "web is down, too")
    ask("start", "db")
    until(lambda: set(states().values()) == {"ready"}, "all are back")
    equal(pids()["job"], before["job"], "who only stands after it")
    end(run)
    ends = events.all("ended")
    check(ends.index(("ended", "web")) < ends.index(("ended", "db")), f"web ended first: {ends}")


@cases("stop", "reload")
def test_who_fails_when_somebody_has_stopped_it_is_no_error(how):
    """It is asked only when nothing is left of what needs it."""
    run = fleet("[aiorun]\nstop-on-unhandled-errors = yes\n"
                + worker("db", "say up pause")
                + worker("web", "on TERM [ say asked pause ] on USR1 [ exit 0 ] say up pause",
                         "needs = db"))
    all_up(run, 2)
    before = pids()
    if how == "reload":
        text = Path("fleet.ini").read_text()
        Path("fleet.ini").write_text(text.replace("say up", "print cwd say up"))
    asked = verb("stop", "db") if how == "stop" else verb("reload")
    run.line("^asked$")
    kill(before["db"], "KILL")
    until(lambda: workers("db")["db"]["pid"] is None, "it is gone")
    kill(before["web"], "USR1")
    asked.end(0)
    if how == "reload":
        all_up(run, 2)
    again = until(lambda: pids()["web"] != before["web"] and pids(), "its run is over")["web"]
    equal(again is None, how == "stop", "it is stopped")
    run.send("TERM")
    if again:
        run.line("^asked$")
        kill(again, "USR1")
    run.end(0)
    check("error" not in run.err, run.err)


def test_needs_is_left_alone_by_a_restart():
    run = fleet(THREE)
    run.lines("db", "web", "job")
    before = pids()
    kill(before["db"])
    run.line("db")
    until(lambda: set(states().values()) == {"ready"}, "db is back")
    equal({name: pid for name, pid in pids().items() if name != "db"},
          {name: pid for name, pid in before.items() if name != "db"}, "the others")
    end(run)


def test_needs_is_stopped_when_what_it_needs_is_given_up():
    run = fleet(worker("db", "on USR1 [ exit 7 ] say db pause", "restart = never")
                + worker("web", "say web pause", "needs = db")
                + worker("job", "say job pause", "after = db"))
    run.lines("db", "web", "job")
    os.kill(pids()["db"], signal.SIGUSR1)
    until(lambda: states() == {"db": "failed", "web": "held", "job": "ready"}, "web is down, too")
    end(run, 7)


CHAIN = (worker("db", "say db pause") + worker("cache", "say cache pause", "needs = db")
         + worker("web", "say web pause", "needs = cache"))


@cases("start", "restart")
def test_who_is_started_brings_what_it_needs(word):
    run = fleet(CHAIN + worker("other", "say other pause", "after = db"))
    run.lines("db", "cache", "web", "other")
    before = pids()
    ask("stop", "db")
    until(lambda: states() == {"db": "stopped", "cache": "held", "web": "held", "other": "ready"},
          "who needs it is held")
    ask("stop", "cache")
    ask(word, "web")
    equal(set(states().values()), {"ready"}, "states")
    equal(pids()["other"], before["other"], "who was not meant")
    end(run)


def test_who_asks_for_what_is_held_is_told():
    run = fleet(worker("db", "say db exit 3", "autostart = no", "restart = never",
                       "ready = control")
                + worker("cache", "say cache pause", "needs = db", "autostart = no")
                + worker("web", "say web pause", "needs = cache") + worker("job", "say job pause"))
    run.line("job")
    refused = ask("start", "web", status=1)
    check("web is held: it needs db, which is failed" in refused.err, refused.err)
    equal(states(), {"db": "failed", "cache": "held", "web": "held", "job": "ready"}, "states")
    end(run, 3)


# ---- why one is not up ----

def why(name):
    found = workers(name)[name]
    return found["state"], found["reason"]


def test_who_is_held_while_its_before_start_runs_is_told_why():
    slow = shlex.join(victim("on TERM [ say asked ] say preparing pause"))
    run = fleet(worker("db", "say up pause")
                + worker("web", "say up pause", "needs = db", f"before-start = {slow}"))
    run.line("^preparing$")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(is_up(run))
        client.sendall(b"start web\n")  # it is there before anybody else can ask
        ask("stop", "--no-wait", "db")
        client.settimeout(10)
        answer = client.recv(4096)
    check(b"web is held: it needs db, which is stopp" in answer, f"the answer: {answer}")
    run.line("^asked$")
    for pid in children(run.pid):
        if "preparing" in command_line(pid):
            kill(pid)
    end(run)


@cases(fails=("exit 3", "restart-limit = 1/1m", "given-up", "its restarts are used up"),
       succeeds=("exit 0", "restart = always\nrestart-limit = 1/1m", "given-up",
                 "its restarts are used up"),
       never=("exit 3", "restart = never", "failed", None),
       finished=("exit 0", "restart = on-failure", "finished", None),
       missing=("exit 0", "autostart = no", "stopped", "it was never started"),
       waiting=("exit 3", "restart-delay = 1h..1h", "waiting", None),
       before=("exit 0", f"before-start = {VICTIM} pause", "starting", "its before-start runs"),
       after=("exit 0", f"after-stop = {VICTIM} pause", "stopping", "its after-stop runs"))
def test_why_it_is_not_up_is_shown(script, key, state, reason):
    run = fleet(worker("web", script, QUICK if "delay" not in key else "", key)
                + worker("db", "say db pause"), "--timeout", "1s")
    run.line("db")
    until(lambda: why("web") == (state, reason), f"{state}: {reason}")
    row = next(row for row in ask("status").out.splitlines() if row.startswith("web"))
    check(f" {state} " in row and (reason or "") in row, row)
    run.send("TERM")
    run.wait()


@cases(command=("command = ./nowhere\n", 127),
       before=("command = true\nbefore-start = false\n", 1))
def test_starts_that_fail_are_restarts(how, status):
    run = fleet(f"[worker:web]\n{how}{QUICK}\nrestart-limit = 2/1m\n" + worker("db", "pause"))
    is_up(run)
    until(lambda: why("web") == ("given-up", workers("web")["web"]["reason"]), "it is given up")
    equal(workers("web")["web"]["restarts"], 2, "restarts")
    row = next(row for row in ask("status").out.splitlines() if row.startswith("web"))
    equal(row.split()[4], "2", "RESTARTS")
    end(run, status)


def test_who_holds_and_who_is_waited_for_is_shown():
    run = fleet(worker("db", "say db exit 3", "autostart = no")
                + worker("cache", "say cache pause", "needs = db")
                + worker("web", "say web pause", "needs = cache")
                + worker("slow", "say slow pause", "ready = control")
                + worker("late", "say late pause", "after = slow"))
    run.line("slow")
    equal(why("cache"), ("held", "needs db, which is stopped"), "cache")
    equal(why("web"), ("held", "needs db, which is stopped"), "web")
    equal(why("late"), ("waiting", "comes after slow, which is not ready"), "late")
    end(run)


def test_who_waits_for_a_restart_that_is_cut_short_is_told():
    """The first instance never gets ready again, and is stopped by somebody."""
    run = fleet("[worker:web]\ncommand = sh -c 'test -e never || echo ready >&9; echo up; "
                "exec sleep 1000'\ninstances = 2\nready = control\n")
    all_up(run, 2)
    until(lambda: set(states().values()) == {"ready"}, "all are ready")
    Path("never").touch()
    restart = verb("restart", "web")
    run.line("^up$")
    ask("stop", "web:0")
    restart.end(1)
    run.log("the restart of web has stopped")
    equal(states(), {"web:0": "stopped", "web:1": "ready"}, "states")
    Path("never").unlink()
    end(run)


def test_start_order_goes_by_readiness_not_by_the_file():
    run = fleet(worker("c", "say c pause", "after = b")
                + worker("b", "say b pause", "ready = after:200ms", "after = a")
                + worker("a", "say a pause", "ready = after:200ms"), "-v")
    run.line("^a$")
    run.log("a is ready")
    run.line("^b$")
    equal(run.out.split(), ["a", "b"], "who was started so far")
    run.log("b is ready")
    run.line("^c$")
    end(run)


# ---- readiness, watchdog, health ----

def test_missed_ready_timeout_is_a_failure():
    run = fleet(ENDS + worker("web", "on TERM [ say asked exit 0 ] say up pause",
                              "ready = control", "ready-timeout = 500ms", "restart-limit = 1/1m",
                              QUICK))
    for word in "up", "asked", "up", "asked":
        run.line(word)
    run.wait()
    check(run.status != 0, f"it ended with {run.status}")


ALIVE = """import os, socket, sys, time
def say(how):
    if how == "control":
        os.write(9, b"watchdog\\n")
    else:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"WATCHDOG=1", os.environ["NOTIFY_SOCKET"].replace("@", "\\0"))
print("up", os.environ.get("WATCHDOG_USEC"), flush=True)
while not os.path.exists("sleep"):
    say(sys.argv[1])
    time.sleep(0.05)
os.unlink("sleep")
time.sleep(1000)
"""


@cases("control", "notify")
def test_watchdog(how):
    Path("alive.py").write_text(ALIVE)
    run = fleet(f"[worker:web]\ncommand = python3 {Path('alive.py').absolute()} {how}\n"
                f"watchdog = 2s\n{QUICK}\n")
    equal(run.line("up (.*)").group(1), "2000000", "WATCHDOG_USEC")
    first = pids()["web"]
    pause(2.5)
    equal(pids()["web"], first, "who says that it is alive")
    Path("sleep").touch()
    run.log("web has missed its watchdog")
    run.line("up")
    check(pids()["web"] != first, "who was silent")
    end(run)


def health(*lines):
    """A worker that is well while the file `well` is there; `asked` grows with each question."""
    Path("well").touch()
    Path("asked").touch()
    script = Path("health.sh").absolute()
    script.write_text("echo >>asked\ntest ! -e hang || exec sleep 1000\ntest -e well\n")
    return worker("web", "say up pause", f"health = sh {script} {' '.join(lines)}", QUICK)


def asked():
    return Path("asked").read_text().count("\n")


def test_health_is_a_failure_when_its_retries_are_used_up():
    run = fleet(health("every 50ms retries 3"))
    run.line("up")
    until(lambda: asked() >= 4, "it was asked")
    Path("well").unlink()
    run.log("web has failed its health checks")
    Path("well").touch()
    run.line("up")
    end(run)


def test_health_that_comes_back_in_time_is_no_failure():
    """Every other answer is bad: two in a row never are."""
    Path("health.sh").write_text("echo >>asked\nif test -e odd; then rm odd; exit 1; fi; touch odd\n")
    run = fleet(worker("web", "say up pause",
                       f"health = sh {Path('health.sh').absolute()} every 20ms retries 1"))
    until(lambda: Path("asked").exists() and asked() >= 12, "it was asked")
    check("health" not in run.err, run.err)
    equal(workers()["web"]["restarts"], 0, "restarts")
    end(run)


def test_health_that_hangs_is_a_failure():
    run = fleet(health("every 50ms timeout 500ms retries 1"))
    run.line("up")
    Path("hang").touch()
    run.log("health check of web is out of time and is killed")
    run.log("web has failed its health checks")
    Path("hang").unlink()
    run.line("up")
    end(run)


def test_health_check_that_the_shutdown_cuts_short_is_no_news():
    run = fleet(worker("web", "say up pause", "health = sh -c 'touch asked; exec sleep 100'"
                       " every 10ms timeout 100s retries 1"))
    until(lambda: os.path.exists("asked"), "it is checked")
    end(run)
    check("warning" not in run.err, run.err)


# ---- before and after ----

def test_before_start_and_after_stop_stand_around_each_run():
    run = fleet(worker("web", "append log run on USR1 [ exit 3 ] say up pause",
                       "before-start = sh -c 'echo before >>log'",
                       "after-stop = sh -c 'echo after >>log'", QUICK))
    run.line("up")
    os.kill(pids()["web"], signal.SIGUSR1)
    run.line("up")
    end(run)
    equal(Path("log").read_text().split(), ["before", "run", "after"] * 2, "order")


def test_before_start_that_fails_is_a_start_that_fails():
    run = fleet(ENDS + worker("web", "say up", "before-start = sh -c 'echo tried; exit 4'",
                              "restart-limit = 2/1m", QUICK))
    run.end(4)
    equal(run.out.split(), ["tried"] * 3, "output")
    check(re.search(r"before-start of web \(pid \d+\) exited with status 4", run.err), run.err)


def test_after_stop_comes_when_all_of_the_run_is_gone_in_a_shutdown_too():
    run = fleet(worker("web", "orphan 1 [ on TERM [ sleep 300ms append log child exit 0 ] pause ]"
                       " on TERM [ append log run exit 0 ] say up pause",
                       "after-stop = sh -c 'echo after >>log'"))
    run.line("up")
    end(run)
    equal(Path("log").read_text().split(), ["run", "child", "after"], "order")


@cases(reported="report.json", plain=None)
def test_after_stop_that_the_cap_forestalls_is_told_and_left_out(report):
    options = ["--report", report] if report else []
    run = fleet("[aiorun]\ntimeout = 500ms\n"
                + worker("web", "ignore TERM say up pause",
                         "after-stop = sh -c 'echo after >>log'"), *options)
    run.line("up")
    end(run, 0, "KILL")
    run.log("after-stop of web")
    run.log("Leaving. Bye!")
    check(not Path("log").exists(), "it has run")
    if report:
        kinds = {event["kind"] for event in json.loads(Path(report).read_text())["events"]}
        check("dropped" not in kinds, "the worker itself was not dropped")


# ---- max-age, autostart ----

def test_max_age_replaces_one_instance_after_the_other():
    run = fleet(python("web", "import os, time\ntime.sleep(0.2)\nos.write(9, b'ready\\n')\n"
                       "time.sleep(1000)\n", "ready = control", "instances = 2", "max-age = 1s"))
    is_up(run)
    events = Events()
    until(lambda: all(w["restarts"] for w in workers().values()), "both are new", 15)
    run.send("TERM")
    run.end(0)
    told = events.all("asked", "ready", "phase")
    away = set()
    for kind, name in told[:told.index(("phase", None))]:
        if kind == "asked":
            check(not away, f"{name} is stopped while {away} is away: {told}")
            away.add(name)
        elif kind == "ready":
            away.discard(name)


def test_what_is_not_started_by_itself_is_started_when_it_is_asked_for():
    run = fleet(worker("web", "say web pause") + worker("extra", "say extra pause",
                                                        "autostart = no"))
    run.line("web")
    equal(states(), {"web": "ready", "extra": "stopped"}, "states")
    ask("start", "extra")
    run.line("extra")
    end(run)


# ---- may-stop ----

@needs("root")
@cases(refused=("user = www-data", False), allowed=("user = www-data\nmay-stop = yes", True),
       our_user=("", True), forbidden=("may-stop = no", False))
def test_may_stop(lines, may):
    run = fleet("[worker:web]\ncommand = sh -c 'echo up; read go <go; echo shutdown 6 >&9; "
                f"exec sleep 1000'\ncwd = {os.getcwd()}\n{lines}\n")
    os.mkfifo("go")
    os.chmod("go", 0o666)
    run.line("up")
    Path("go").write_text("on\n")
    if may:
        run.end(6)
        return
    run.log("web.*may not|may not.*web|may-stop")
    equal(states(), {"web": "ready"}, "states")
    end(run)


def test_channel_of_an_ended_job_has_not_the_rights_of_the_next():
    run = fleet("[worker:may]\ncommand = sleep 1000\nmay-stop = yes\n"
                "[worker:not]\ncommand = sleep 1001\nmay-stop = no\n")
    is_up(run)

    def begin_job(worker, seconds):
        ask("submit", "--as", worker, "--", "sleep", seconds)
        return until(lambda: [pid for pid in children(run.pid)
                              if command_line(pid) == f"sleep {seconds}"], "the job runs")[0]
    first = begin_job("not", "1002")
    channel = pipe_of(run, first).attach()
    kill(first)
    until(lambda: first not in children(run.pid), "it is over")
    second = begin_job("may", "1003")  # takes the place of the first
    check(channel.ask("shutdown 6").startswith("error "), "it ends everything")
    check(channel.ask("error it broke").startswith("error "), "it accuses the next")
    check(channel.ask("status I am the first").startswith("error "), "it speaks for the next")
    check(pipe_of(run, second).attach().ask("shutdown 7") == "ok", "a job of who may")
    kill(second)
    run.end(7)


def test_jobs_that_wait_leave_descriptors_for_runs():
    run = fleet("[aiorun]\ntimeout = 1s\nexecutor-workers = 1\n" + worker("web", "say up pause")
                + worker("other", "on USR1 [ exit 1 ] say up pause", QUICK),
                before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
    all_up(run, 2)
    channel = pipe_of(run, pids()["web"]).attach()
    answers = [submit(channel, ["sleep", "1000"]) for _ in range(40)]
    check(answers[0] == "ok" and answers[-1].startswith("error "), f"the answers: {answers}")
    check("descriptors are left" in answers[-1], answers[-1])
    os.kill(pids()["other"], signal.SIGUSR1)
    run.line("up")
    run.send("TERM")
    run.wait()
    check("Too many open files" not in run.err, run.err)


@cases(inherit="inherit", null="null", prefix="prefix", ready="inherit\nready = fd:5")
def test_restarts_with_as_few_descriptors_as_one_start_needs(output):
    """What is kept for the next run is nothing that this one lacks."""
    worked = []
    for limit in range(8, 24):
        Path("starts").write_text("")
        run = fleet(ENDS + "[worker:again]\ncommand = sh -c 'echo >>starts; exit 1'\n"
                    "restart = always\nrestart-delay = 0\nrestart-limit = 20/1h\n"
                    f"output = {output}\n",
                    before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        run.wait()
        starts = os.path.getsize("starts")
        worked.append(starts > 2)  # the first ones come before the loop has its own descriptors
        if worked[-1]:
            equal((starts, "Too many" in run.err), (21, False), f"with {limit} descriptors")
    check(not worked[0] and worked[-1], "the limits are not around what it needs")
    equal(worked, sorted(worked), "it works from one limit on")


def test_a_start_needs_as_many_descriptors_wherever_the_control_pipe_is():
    """Also where it happens to be already."""
    def starts(limit, fd):
        Path("starts").unlink(missing_ok=True)
        run = fleet(ENDS + "[worker:one]\ncommand = sh -c 'echo >starts'\nrestart = never\n",
                    "--control-fd", str(fd),
                    before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        run.wait()
        return Path("starts").exists()
    first = {fd: next(limit for limit in range(8, 24) if starts(limit, fd)) for fd in range(3, 11)}
    equal(len(set(first.values())), 1, f"how many limits there are: {first}")


def test_what_a_job_has_left_is_not_the_next_ones():
    run = fleet("[worker:one]\ncommand = sleep 1000\n[worker:two]\ncommand = sleep 1001\n")
    is_up(run)
    until(lambda: set(states().values()) == {"ready"}, "both are up")

    def begin_job(worker, script):
        before = children(run.pid)
        ask("submit", "--as", worker, "--", *victim(script))
        return until(lambda: set(children(run.pid)) - set(before), "the job runs").pop()
    first = begin_job("one", "spawn [ setsid spawn [ pause ] pause ] pause")
    shielded = until(lambda: children(first), "it has a child")[0]
    theirs = until(lambda: children(shielded), "and a grandchild")[0]
    equal(join(pipe_of(run, first).attach(), shielded), "ok", "job")
    kill(first)
    until(lambda: first not in children(run.pid), "it is over")
    second = begin_job("two", "pause")  # takes the place of the first
    answer = join(pipe_of(run, second).attach(), theirs)
    check(answer.startswith("error "), f"it is accepted: {answer}")
    for pid in second, theirs, shielded:
        kill(pid)
    end(run)


# ---- how it ends ----

def test_stop_goes_in_waves_and_whoever_is_asked_late_still_gets_time():
    """The last wave refuses, and takes what it can get: the two before it still end cleanly."""
    slow = "on TERM [ say {0}-asked sleep 300ms say {0}-done exit 0 ] say up pause"
    run = fleet("[aiorun]\ntimeout = 8s\n" + worker("a", slow.format("a"))
                + worker("b", slow.format("b"), "after = a")
                + worker("c", "ignore TERM say up pause", "after = b"))
    all_up(run, 3)
    run.send("TERM")
    run.end("KILL")
    equal(run.out.split()[3:], ["b-asked", "b-done", "a-asked", "a-done"], "order")
    check(run.duration < 10, f"it took {run.duration:.1f} s")


def test_shutdown_that_comes_while_it_starts():
    run = fleet(worker("db", "on TERM [ exit 0 ] say db pause", "ready = control")
                + worker("web", "say web", "after = db"))
    run.line("db")
    end(run)
    check("web" not in run.out, "web was started")


def test_hangup_ends_nobody():
    run = fleet(worker("web", "say up pause"))
    run.line("up")
    before = pids()
    run.send("HUP")
    ask("status")
    equal(pids(), before, "who runs")
    end(run)


def test_signals_are_not_forwarded():
    run = fleet(worker("web", "on TERM [ exit 0 ] on USR1 [ say hit ] on USR2 [ say hit ] say up"
                       " pause"))
    run.line("up")
    for name in "USR1", "USR2", "WINCH", "QUIT":
        run.send(name)
    equal(states(), {"web": "ready"}, "states")
    end(run)
    check("hit" not in run.out, run.out)


def test_stop_of_a_stopped_worker_continues_it():
    run = fleet(worker("web", "on TERM [ say asked exit 0 ] say up pause"))
    run.line("up")
    kill(run.command, "STOP")
    until(lambda: state(run.command) == "T", "it is stopped")
    end(run)
    run.line("asked")


def test_worker_that_is_stopped_after_it_was_asked_is_continued():
    run = fleet(worker("web", "on TERM [ say asked kill self STOP say obeyed exit 0 ] say up pause"))
    run.line("up")
    end(run)
    run.line("obeyed")


def test_workers_die_with_a_supervisor_that_is_killed():
    run = fleet(worker("web", "say up pause", "instances = 3"))
    all_up(run, 3)
    everything = children(run.pid)
    kill(run.pid)
    run.wait()
    for pid in everything:
        os.waitpid(pid, 0)


# ---- what they are given ----

def test_each_has_its_own_environment():
    Path("web.env").write_text("ONE=file\nTWO=file\n")
    run = fleet(ENDS + worker("web", "print env", f"env-file = {Path('web.env').absolute()}",
                              "env.TWO = it's ; all # of it", "clear-env = yes")
                + worker("db", "sleep 300ms print env", "env.ONLY = db"), env={"OURS": "yes"})
    run.end(0)
    web, _, db = run.out.partition("env OURS=yes\n")
    check("env ONE=file\nenv TWO=it's ; all # of it\n" in web, web)
    entries = {line for line in run.out.splitlines() if line.startswith("env ")}
    check("env ONLY=db" in entries and "env OURS=yes" in entries, db)
    equal(run.out.count("OURS="), 1, "who has ours")


@needs("root")
def test_each_has_its_own_user_limits_and_place():
    os.mkdir("place")
    run = fleet(worker("web", "print cwd cat /proc/self/status say up pause", "user = www-data",
                       "umask = 0027", "limit.nofile = 100:200", "nice = 5", "cwd = /tmp")
                + worker("db", "say up pause", f"cwd = {Path('place').absolute()}"))
    all_up(run, 2)
    found = pids()
    web, db = found["web"], found["db"]
    ids = [status_field(pid, "Uid").split()[0] for pid in (web, db)]
    equal((ids[0] != "0", ids[1]), (True, "0"), "users")
    equal(status_field(web, "Umask"), "0027", "umask")
    limits = Path(f"/proc/{web}/limits").read_text()
    check(re.search(r"Max open files +100 +200 ", limits), limits)
    equal([int(stat(pid)[16]) for pid in (web, db)], [5, os.nice(0)], "nice")
    equal([os.readlink(f"/proc/{pid}/cwd") for pid in (web, db)],
          ["/tmp", os.path.realpath("place")], "directories")
    end(run)


def test_control_pipe_stands_at_the_descriptor_that_is_chosen():
    code = "import os\nos.write(1, b'at %s\\n' % os.environb[b'AIORUN_CONTROL_FD'])\n" \
           "os.write(5, b'ready\\n')\nos.read(5, 100)\n"
    run = fleet("[aiorun]\ncontrol-fd = 5\n" + python("web", code, "ready = control")
                + python("db", code, "ready = control"))
    equal([run.line("at (.*)").group(1) for _ in range(2)], ["5", "5"], "descriptors")
    until(lambda: set(states().values()) == {"ready"}, "both are ready")
    end(run)


# ---- where it runs ----

@needs("root", "unshare")
def test_fleet_as_pid_1():
    Path("fleet.ini").write_text(
        worker("db", "orphan 3 [ setsid exit 0 ] orphan 1 [ setsid pause ] say db pause")
        + worker("web", "on USR1 [ exit 3 ] say web pause", "needs = db", QUICK))
    run = pid1("--config", "fleet.ini")
    run.lines("db", "web")
    supervisor = run.subject

    def grown():
        return [pid for pid in children(supervisor) if state(pid) != "Z"]
    until(lambda: len(grown()) == 3 and len(children(supervisor)) == 3, "no zombie is left")
    end(run)


def on_a_terminal(text):
    """The fleet on a terminal of its own, aiorun leading its session."""
    Path("fleet.ini").write_text(text)
    return Terminal([BINARY, "--config", "fleet.ini"], wrapped=False)


def test_ctrl_c_is_a_shutdown():
    run = on_a_terminal(worker("web", "report INT on TERM [ say asked exit 0 ] say up pause"))
    run.expect("up")
    run.ctrl("C")
    run.expect("asked")
    run.end(0)
    check("got INT" not in run.out, "the key reached the worker")


def test_second_ctrl_c_a_second_later_forces_the_end():
    run = on_a_terminal(worker("web", "on TERM [ say asked ] say up pause"))
    run.expect("up")
    run.ctrl("C")
    run.expect("asked")
    pause(1.1)
    run.ctrl("C")
    run.end("KILL", timeout=8)


def test_losing_the_terminal_is_a_shutdown():
    run = on_a_terminal(worker("web", "on TERM [ append log asked exit 0 ] say up pause"))
    run.expect("up")
    run.hang_up()
    run.end(0)
    equal(Path("log").read_text(), "asked\n", "what the worker heard")
