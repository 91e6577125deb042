"""A file that is read anew: who is touched by that, and who is not."""
import json
import os
import select
import shlex
import socket
import stat
import time
from pathlib import Path

from harness import (BINARY, MODE, PATIENCE, VICTIM, Run, aiorun, alive, cases, check, children,
                     deadline, equal, fill_pipe, free_port, kill, pause, status_field, until,
                     victim)
from speaker import Speaker, pipe_of, take_descriptor
from test_admin_fleet import ask, is_up, pids, verb, workers
from test_cgroup import grouped
from test_listen import SERVER
from test_listen import ask as ask_socket
from test_ready import Manager

QUIET = "on TERM [ exit 0 ] say ready pause"


def worker(name, script=QUIET, *lines):
    return "\n".join([f"[worker:{name}]", f"command = {shlex.join(victim(script))}", *lines, ""])


def shell(name, script, *lines):
    return "\n".join([f"[worker:{name}]", f"command = sh -c {shlex.quote(script)}", *lines, ""])


def write(*parts):
    Path("fleet.ini").write_text("\n".join(parts))


def start(*parts, **how):
    write(*parts)
    run = aiorun("--config", "fleet.ini", **how)
    is_up(run)
    return run


def begin(*parts, **how):
    """A fleet of these workers, all of them ready."""
    run = start(*parts, **how)
    until(lambda: all(w["state"] in ("ready", "stopped", "finished", "failed")
                      for w in workers().values()), "all are ready")
    return run


def change(*parts, status=0):
    """The verb, with a new file."""
    write(*parts)
    return ask("reload", status=status)


def end(run, status=0):
    run.send("TERM")
    run.end(status)


def state(name):
    return workers(name)[name]["state"]


# ---- who is touched ----

def test_who_has_not_changed_is_not_touched():
    run = begin(worker("db"), worker("web", QUIET, "instances = 2"))
    kill(pids()["db"])
    until(lambda: state("db") == "ready" and workers()["db"]["restarts"] == 1, "it is back")
    before = workers()
    pause(0.3)  # an age to keep
    change("# a remark, and another order", worker("web", QUIET, "instances =2"), worker("db"))
    after = workers()
    for name in before:
        equal(after[name]["pid"], before[name]["pid"], f"pid of {name}")
        equal(after[name]["restarts"], before[name]["restarts"], f"restarts of {name}")
        equal(after[name]["last_end"], before[name]["last_end"], f"last end of {name}")
        check(after[name]["uptime"] >= before[name]["uptime"] + 0.2, f"age of {name}")
    end(run)
    check("Reloaded: 2 workers, 0 changed" in run.err, run.err)


def test_who_has_changed_is_started_anew():
    run = begin(worker("db"), worker("web"))
    before = pids()
    change(worker("db"), worker("web", QUIET, "env.COLOUR = blue"))
    until(lambda: state("web") == "ready", "it is up")
    after = pids()
    equal(after["db"], before["db"], "who has not changed")
    check(after["web"] != before["web"] and not alive(before["web"]), "the old one is there")
    check(b"COLOUR=blue" in Path(f"/proc/{after['web']}/environ").read_bytes(), "the new value")
    equal(workers()["web"]["restarts"], 0, "restarts of one that is new")
    end(run)


def test_who_is_new_starts_and_who_is_gone_stops():
    run = begin(worker("a"), worker("b"), worker("c"))
    before = pids()
    change(worker("new"), worker("c"), worker("late", QUIET, "autostart = no"), worker("a"))
    until(lambda: state("new") == "ready", "it is up")
    equal({name: w["state"] for name, w in workers().items()},
          {"new": "ready", "c": "ready", "late": "stopped", "a": "ready"}, "states")
    check(not alive(before["b"]), "who is gone runs on")
    equal([pids()["a"], pids()["c"]], [before["a"], before["c"]], "who stays")
    ask("start", "late")
    end(run)


def test_more_instances_and_fewer():
    run = begin(worker("web", QUIET, "instances = 2"))
    first = pids()
    change(worker("web", QUIET, "instances = 4"))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "they are up")
    second = pids()
    equal(sorted(second), ["web:0", "web:1", "web:2", "web:3"], "names")
    equal([second["web:0"], second["web:1"]], [first["web:0"], first["web:1"]], "who stays")
    change(worker("web"))
    equal(pids(), {"web": first["web:0"]}, "who is left")
    check(not any(alive(second[name]) for name in ("web:1", "web:2", "web:3")), "the others")
    change(worker("web", QUIET, "instances = 3"))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "they are up")
    equal(pids()["web:0"], first["web:0"], "who stays")
    end(run)


def test_everything_at_once_and_their_ends_are_known():
    """Slots move; ends, jobs and names are still those of the right ones."""
    names = [f"w{n}" for n in range(20)]
    run = begin(*(worker(name) for name in names))
    before = pids()
    change(worker("first", QUIET, "instances = 7"), *(worker(name) for name in names[10:]),
           *(worker(name) for name in names[5:10]))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "they are up")
    after = pids()
    equal({n: after[n] for n in names[5:]}, {n: before[n] for n in names[5:]}, "who stays")
    for name in names[5:]:
        kill(before[name])
    until(lambda: all(workers()[n]["restarts"] == 1 and state(n) == "ready" for n in names[5:]),
          "each is started again", timeout=20)
    equal(workers()["w7"]["last_end"], {"kind": "killed", "value": 9}, "its end")
    equal({n for n, w in workers().items() if w["restarts"]}, set(names[5:]), "who ended")
    end(run)


def test_by_signal():
    run = begin(worker("a"))
    before = pids()
    write(worker("a"), worker("b"))
    run.send("HUP")
    run.log("Reloading fleet.ini")
    run.log("Reloaded: 2 workers, 1 changed")
    until(lambda: state("b") == "ready", "it is up")
    equal(pids()["a"], before["a"], "who stays")
    end(run)


def test_the_last_word_counts():
    """A signal that comes while a reload waits: the file is read once more."""
    run = begin(worker("slow", "on TERM [ say asked sleep 1s exit 0 ] say ready pause"))
    run.line("ready")
    write(worker("slow"))
    run.send("HUP")
    run.line("asked")
    write(worker("slow"), worker("b"))
    run.send("HUP")
    run.log("once more")
    run.log("Reloaded: 1 worker, 1 changed")
    run.log("Reloaded: 2 workers, 1 changed")
    until(lambda: state("b") == "ready", "it is up")
    end(run)


def test_who_is_stopped_stays_stopped():
    run = begin(worker("a"), worker("b"))
    ask("stop", "a")
    change(worker("new"), worker("b"), worker("a"))
    until(lambda: state("new") == "ready", "it is up")
    equal(state("a"), "stopped", "who was stopped")
    end(run)


def test_hup_may_be_a_shutdown_signal():
    run = begin("[aiorun]\nshutdown-signals = HUP TERM", worker("a"))
    run.send("HUP")
    run.end(0)
    check("Reloading" not in run.err, run.err)


def test_only_a_file_is_read_anew():
    run = Run([BINARY, "--control", "here.sock", "--", *victim(QUIET)])
    run.line("ready")
    refused = ask("reload", "--control", "here.sock", status=1)
    check("no file" in refused.err, refused.err)
    end(run)


# ---- faults ----

@cases(key=("[worker:a]\ncommand = true\nx = 1\n", "fleet.ini:3: there is no key 'x'"),
       order=("[worker:a]\ncommand = true\nafter = b\n", "fleet.ini:3: after: there is no worker"),
       empty=("", "fleet.ini"),
       user=("[worker:a]\ncommand = true\nuser = nobody-of-that-name\n", "nobody-of-that-name"))
def test_a_faulty_file_changes_nothing(text, part):
    run = begin(worker("a"), worker("b", QUIET, "instances = 2"))
    before = workers()
    refused = change(text, status=1)
    check(part in refused.err, refused.err)
    run.log(part)
    after = workers()
    equal({n: w["pid"] for n, w in after.items()}, {n: w["pid"] for n, w in before.items()}, "pids")
    change(worker("a"))
    equal(list(pids()), ["a"], "a good one is taken afterwards")
    end(run)


def test_each_fault_has_its_line_in_the_log():
    run = begin(worker("a"))
    write("[worker:a]", "command = true", "x = 1", "nice = 99")
    run.send("HUP")
    run.log("ERROR|error: fleet.ini:3: ")
    run.log("fleet.ini:4: nice")
    run.log("nothing has changed")
    equal(state("a"), "ready", "who runs")
    many = ask("reload", status=1)
    check("and 1 more fault in the log" in many.err, many.err)
    end(run)


def test_a_socket_that_cannot_be_opened_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = begin(worker("a"))
        before = pids()
        path = Path("fresh.sock").absolute()
        refused = change(worker("new", QUIET, f"listen = unix:{path}"), worker(
            "web", QUIET, f"listen = tcp:127.0.0.1:{port}"), status=1)
        check("cannot listen at" in refused.err, refused.err)
        equal(pids(), before, "who runs")
        check(not path.exists(), "the other socket was left behind")
        end(run)


def test_an_address_takes_the_place_of_one_that_overlaps():
    port = free_port()
    run = begin(server("web", f"listen = tcp:127.0.0.1:{port}"), worker("stays"))
    stays = pids()["stays"]
    for listen, address in ("*", "127.0.0.2"), ("127.0.0.1", "127.0.0.1"):
        change(server("web", f"listen = tcp:{listen}:{port}"), worker("stays"))
        until(lambda: state("web") == "ready", "it is up")
        equal(ask_socket((address, port)), pids()["web"], "who answers")
    equal(pids()["stays"], stays, "who has not changed")
    end(run)


def test_an_address_that_cannot_take_the_place_gives_it_back():
    port = free_port()
    with socket.create_server(("127.0.0.2", port)):
        run = begin(server("web", f"listen = tcp:127.0.0.1:{port}"), worker("stays"))
        stays = pids()["stays"]
        refused = change(server("web", f"listen = tcp:*:{port}"), worker("stays"), status=1)
        check("not everything that it needs can be opened" in refused.err, refused.err)
        run.log(rf"cannot listen at 'tcp:\*:{port}': Address (already )?in use")
        until(lambda: state("web") == "ready", "the old one is up again")
        equal(ask_socket(("127.0.0.1", port)), pids()["web"], "who answers")
        equal(pids()["stays"], stays, "who has not changed")
        end(run)


def test_who_was_stopped_while_a_reload_waited_stays_so_when_it_is_given_up():
    os.mkfifo("go")
    port = free_port()
    others = [worker(name) for name in ("stopped", "started", "untouched")]
    with socket.create_server(("127.0.0.2", port)):
        run = begin(worker("web", QUIET, f"listen = tcp:127.0.0.1:{port}"),
                    worker("slow", "on TERM [ say asked exec cat go ] say ready pause"), *others)
        write(worker("web", QUIET, f"listen = tcp:*:{port}"), worker("slow"))
        reload = verb("reload")
        run.line("asked")
        ask("stop", "stopped", "started")
        ask("start", "--no-wait", "started")
        started = verb("start", "started")
        Path("go").write_text("")
        reload.end(1)
        started.end(0)
        until(lambda: all(state(name) == "ready" for name in ("web", "slow", "started",
                                                              "untouched")), "they are up again")
        equal(state("stopped"), "stopped", "who was stopped")
        equal(workers()["started"]["restarts"], 1, "it was not started before that")
        run.send("TERM")
        run.line("asked")
        Path("go").write_text("")
        run.end(0)


def test_no_file_changes_nothing():
    run = begin(worker("a"))
    before = pids()
    os.unlink("fleet.ini")
    refused = ask("reload", status=1)
    check("cannot be opened" in refused.err, refused.err)
    equal(pids(), before, "who runs")
    end(run)


def test_a_pipe_is_not_read_anew():
    """A shell's <(...), which has no writer any more."""
    os.mkfifo("fleet.ini")
    run = aiorun("--config", "fleet.ini")
    Path("fleet.ini").write_text(worker("a"))
    is_up(run)
    until(lambda: state("a") == "ready", "it is ready")
    before = pids()
    refused = ask("reload", status=1)
    check("fleet.ini: it is a pipe" in refused.err, refused.err)
    equal(pids(), before, "who runs")
    end(run)


def test_a_pipe_of_variables_is_not_read_anew():
    Path("variables").write_text("A=1\n")
    sections = worker("a", QUIET, "env-file = variables"), worker("b")
    run = begin(*sections)
    os.unlink("variables")
    os.mkfifo("variables")
    refused = change(*sections, status=1)
    check("'variables' is a pipe" in refused.err, refused.err)
    end(run)


# ---- what is kept ----

def server(name, *lines):
    Path(f"{name}.py").write_text(SERVER)
    return "\n".join([f"[worker:{name}]",
                      f"command = python3 -u {Path(f'{name}.py').absolute()}", *lines, ""])


def test_sockets_are_kept_with_who_waits_there():
    port, path, gone = free_port(), Path("it.sock").absolute(), Path("gone.sock").absolute()
    listen = f"listen = tcp:127.0.0.1:{port} unix:{path}:640"
    run = begin(server("web", listen), worker("old", QUIET, f"listen = unix:{gone}"))
    run.line("sockets")
    inode = os.stat(path).st_ino
    first = ask_socket(("127.0.0.1", port))
    kill(first, "STOP")
    until(lambda: status_field(first, "State").startswith("T"), "it will not accept any more")
    with socket.create_connection(("127.0.0.1", port)) as waits:
        change(server("web", listen.replace("640", "600"), "env.NEW = 1"))
        run.line("sockets")
        waits.settimeout(10)
        equal(int(waits.recv(100)), pids()["web"], "who answers whoever waited")
    check(pids()["web"] != first, "the same process")
    equal(os.stat(path).st_ino, inode, "the socket's file")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "its permissions")
    check(not gone.exists(), "the socket of who is gone was left behind")
    end(run)
    check(not path.exists(), "the socket's file was left behind")


def test_shields_are_kept():
    holds = "echo shield careful >&9; exec sleep 1000"
    run = begin(shell("web", holds, "instances = 2"), worker("z"))
    until(lambda: workers()["web:1"]["shields"] == ["careful"], "it holds a shield")
    before = pids()
    change(worker("a"), worker("b"), shell("web", holds, "instances = 2"))
    equal({n: w["shields"] for n, w in workers("web").items()},
          {"web:0": ["careful"], "web:1": ["careful"]}, "shields")
    equal(pids()["web:1"], before["web:1"], "who holds it")
    run.send("TERM")
    run.log("Cancelling|pending")
    pause(0.3)
    check(alive(before["web:1"]), "it was stopped in spite of its shield")
    kill(before["web:0"])
    kill(before["web:1"])
    run.wait()


def jobs():
    return json.loads(ask("status", "--json").out)["jobs"]


def test_jobs_go_on_and_whoever_waits_is_told():
    os.mkfifo("one")
    os.mkfifo("two")
    waits = f"{BINARY} submit --wait --name inner -- sh -c 'read x <one; exit 5'; " \
            "echo waited $?; exec sleep 1000"
    run = begin(shell("web", waits), worker("z"))
    until(lambda: [job["state"] for job in jobs()] == ["up"], "its job runs")
    outer = verb("submit", "--as", "z", "--wait", "--", "sh", "-c", "read x <two; exit 6")
    until(lambda: [job["state"] for job in jobs()] == ["up", "up"], "both run")
    before = {job["name"]: job["pid"] for job in jobs()}
    change(worker("a", QUIET, "instances = 3"), shell("web", waits))
    equal({job["name"]: job["pid"] for job in jobs()}, before, "the jobs")
    Path("one").write_text("on\n")
    run.line("waited 5")
    Path("two").write_text("on\n")
    outer.end(6)
    end(run)


def test_a_joined_job_survives_the_worker_it_came_from():
    script = f"{BINARY} shield --name careful -- {VICTIM} on USR1 [ exit 0 ] say job pause & " \
             "exec sleep 1000"
    run = begin(shell("web", script), worker("a"))
    run.line("job")
    job = jobs()[0]
    equal(job["name"], "careful", "the job")
    change(worker("a"))
    equal([(j["name"], j["pid"]) for j in jobs()], [("careful", job["pid"])], "the job")
    kill(job["pid"], "USR1")
    until(lambda: jobs() == [], "its end is known")
    end(run)


def test_a_queued_job_of_a_worker_that_goes_is_refused():
    run = begin("[aiorun]\nexecutor-workers = 1", worker("web"), worker("z"))
    first = verb("submit", "--as", "z", "--wait", "--", "sh", "-c", "sleep 1")
    until(lambda: [job["state"] for job in jobs()] == ["up"], "it runs")
    second = verb("submit", "--as", "web", "--wait", "--", "true")
    third = verb("submit", "--as", "z", "--wait", "--", "sh", "-c", "exit 4")
    until(lambda: [job["state"] for job in jobs()] == ["up", "queued", "queued"], "they wait")
    change("[aiorun]\nexecutor-workers = 1", worker("z"))
    first.end(0)
    second.wait()
    check(second.status != 0, "it was run with whose rights?")
    third.end(4)
    run.log("was changed, or is gone")
    end(run)


NOTIFIES = """
import os, socket, time
while not os.path.exists("now"):
    time.sleep(0.02)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(
    b"READY=1", "\\0" + os.environ["NOTIFY_SOCKET"][1:])
time.sleep(1000)
"""


def test_who_was_not_ready_yet_becomes_it():
    """By a descriptor, by time, by sd_notify(3), and because it is asked."""
    os.mkfifo("go")
    Path("notifies.py").write_text(NOTIFIES)
    late = [shell("line", "read x <go; echo >&3; exec sleep 1000", "ready = fd:3"),
            worker("timed", QUIET, "ready = after:1500ms"),
            worker("asked", QUIET, "ready = exec:test -e now"),
            shell("notifies", "exec python3 notifies.py", "ready = notify")]
    names = ["line", "timed", "asked", "notifies"]
    run = start(*late, worker("z"))
    until(lambda: {state(name) for name in names} == {"up"} and state("z") == "ready", "all are up")
    before = pids()
    change(worker("a"), worker("b"), *reversed(late))
    equal([state(name) for name in ("line", "asked", "notifies")], 3 * ["up"],
          "nobody has said that they are ready")
    Path("go").write_text("on\n")
    Path("now").touch()
    until(lambda: {state(name) for name in names} == {"ready"}, "they are ready")
    equal({name: pids()[name] for name in names}, {name: before[name] for name in names},
          "who stays")
    end(run)


def test_output_goes_on_under_the_right_name():
    talks = shell("talks", 'while read word; do echo "$word"; done <say', "output = prefix")
    os.mkfifo("say")
    run = begin(worker("z", QUIET, "output = prefix"), talks)
    with open("say", "w") as say:
        say.write("one\n")
        say.flush()
        run.line(r"talks \| one")
        change(worker("a"), worker("b", QUIET, "output = prefix"), talks)
        say.write("two\n")
        say.flush()
        run.line(r"talks \| two")
        end(run)


def test_output_that_nobody_reads_holds_up_a_reload_once_and_not_for_each_who_goes():
    _, full, _ = fill_pipe()
    floods = [shell(f"web{n}", "while :; do echo line; done", "output = prefix") for n in range(5)]

    def held_up():
        return all("pipe" in Path(f"/proc/{pid}/wchan").read_text() for pid in pids().values())
    run = begin(floods[0], stdout=full)
    until(held_up, "it has to wait")
    change(*floods)
    until(held_up, "they have to wait")
    start = time.monotonic()
    change(floods[0])
    seconds = time.monotonic() - start
    check(seconds < 5 * PATIENCE, f"it took {seconds:.1f} s")
    run.log("what a worker wrote last is lost")
    end(run)


def test_a_logger_keeps_its_pipe():
    logs = "output = pipe:sh -c 'cat >>log'"
    talks = shell("talks", 'while read word; do echo "$word"; done <say', logs)
    os.mkfifo("say")
    run = begin(worker("z"), talks)
    before = pids()
    with open("say", "w") as say:
        say.write("one\n")
        say.flush()
        change(worker("a", QUIET, logs.replace("log'", "other'")), talks)
        equal({n: pids()[n] for n in before if n != "z"},
              {n: before[n] for n in before if n != "z"}, "the worker and its logger")
        say.write("two\n")
        say.flush()
        until(lambda: Path("log").read_text() == "one\ntwo\n", "all of it is there")
        end(run)
    equal(Path("log").read_text(), "one\ntwo\n", "all of it is there")


# ---- at the same time as other things ----

def test_during_a_roll():
    slow = worker("web", "on TERM [ exit 0 ] sleep 400ms say up pause", "instances = 4",
                  "ready = after:300ms")
    run = begin(worker("z"), slow)
    before = pids()
    roll = verb("restart", "web")
    until(lambda: pids()["web:0"] != before["web:0"], "it rolls")
    change(worker("a"), slow)
    roll.end(0)
    after = pids()
    check(not {after[n] for n in before if n != "z"} & set(before.values()), "all of it is new")
    equal({w["restarts"] for w in workers("web").values()}, {1}, "restarts")
    end(run)


def test_a_roll_of_who_goes_ends():
    slow = worker("web", QUIET, "instances = 4", "ready = after:300ms")
    run = begin(worker("a"), slow)
    before = pids()
    roll = verb("restart", "web")
    until(lambda: pids()["web:0"] != before["web:0"], "it rolls")
    change(worker("a"))
    roll.wait()
    check(roll.status != 0, "a roll that was not done")
    equal(list(pids()), ["a"], "who is left")
    end(run)


def test_a_start_cannot_hold_a_reload_up():
    run = begin(worker("a"), worker("web", "on TERM [ say asked sleep 500ms exit 0 ] say up pause"))
    run.line("up")
    write(worker("a"))
    reload = verb("reload")
    run.line("asked")
    check("a reload is under way" in ask("reload", status=1).err, "the second one")
    ask("start", "--no-wait", "web")
    reload.end(0)
    equal(list(pids()), ["a"], "who is left")
    end(run)


def test_a_shutdown_ends_a_reload():
    run = begin(worker("a"), worker("web", "on TERM [ say asked sleep 1s exit 0 ] say up pause"))
    run.line("up")
    write(worker("a"), worker("new"))
    reload = verb("reload")
    run.line("asked")
    run.send("TERM")
    run.end(0)
    reload.wait()
    check(reload.status != 0 and "shutdown" in reload.err, reload.err)
    check("Reloaded" not in run.err and "given up: a shutdown has begun" in run.err, run.err)


def test_new_workers_start_in_their_order():
    run = begin(worker("db"))
    os.mkfifo("go")
    change(worker("db"), shell("cache", "read x <go; echo >&3; exec sleep 1000", "ready = fd:3",
                               "after = db"),
           worker("web", QUIET, "after = cache"))
    until(lambda: state("cache") == "up", "it is up")
    pause(0.2)
    equal(state("web"), "waiting", "it waits for its turn")
    Path("go").write_text("on\n")
    until(lambda: state("web") == "ready", "it is up")
    end(run)


def test_needs_of_who_has_changed():
    run = begin(worker("db"), worker("web", QUIET, "needs = db"))
    before = pids()
    change(worker("db", QUIET, "env.NEW = 1"), worker("web", QUIET, "needs = db"))
    until(lambda: state("web") == "ready" and state("db") == "ready", "both are up")
    check(not set(pids().values()) & set(before.values()), "both are new")
    end(run)


def test_after_stop_of_who_goes_is_run():
    run = begin(worker("a"), worker("web", QUIET, f"after-stop = {VICTIM} sleep 300ms append x yes",
                                    f"cwd = {os.getcwd()}"))
    change(worker("a"))
    equal(Path("x").read_text(), "yes\n", "its after-stop")
    end(run)


def test_a_report_tells_the_runs_apart():
    slow = "on TERM [ sleep 300ms exit 0 ] say ready pause"
    run = begin("[aiorun]\nreport = it.json", worker("b", slow), worker("c", slow))
    before = pids()
    change("[aiorun]\nreport = it.json", worker("a", QUIET, "instances = 3"), worker("b", slow),
           worker("c", slow))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "all are up")
    after = pids()
    end(run)
    told = {lane["worker"]: lane["pid"] for lane in json.loads(Path("it.json").read_text())["processes"]}
    equal(told, after, "the runs")
    equal({told["b"], told["c"]}, set(before.values()), "who stays")


# ---- settings ----

def test_settings_come_into_force():
    stubborn = worker("a", "ignore TERM say ready pause", "stop-timeout = infinity")
    run = begin("[aiorun]\ntimeout = 60s", stubborn)
    change("[aiorun]\ntimeout = 1s\nshutdown-callback = touch called", stubborn)
    run.log("Reloaded: 1 worker, 0 changed, and settings")
    asked = time.monotonic()
    run.send("TERM")
    run.wait()
    check(time.monotonic() - asked < 10, "the old timeout is in force")
    check(Path("called").exists(), "the new callback is not")


def test_what_the_start_has_fixed_waits_for_the_next():
    run = begin(worker("a"))
    before = pids()
    change("[aiorun]\nloop = poll\ncontrol = other.sock\nlog-format = json\ntimeout = 9s",
           worker("a"))
    for line, name in (2, "loop"), (4, "log-format"), (3, "control"):
        run.log(f"fleet.ini:{line}: {name}: it stays as it is until the next start")
    check(not Path("other.sock").exists(), "another socket")
    equal(pids(), before, "who runs")
    end(run)
    check("timeout: it stays" not in run.err, run.err)


def test_less_is_logged():
    run = begin(worker("a"))
    change("[aiorun]\nquiet = 1", worker("a"))
    end(run)
    check("Leaving" not in run.err, run.err)


def test_a_service_manager_is_told():
    manager = Manager()
    run = begin(worker("a"), env=manager.env)
    manager.told("READY", "1")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    change(worker("a"), worker("b"))
    told = [manager.message(), manager.message()]
    equal(told[0]["RELOADING"], "1", "the first word")
    equal(told[1], {"READY": "1"}, "the second")
    check(before <= int(told[0]["MONOTONIC_USEC"])
          <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + 1000, "when")
    change("nonsense", status=1)
    equal([list(manager.message())[0] for _ in range(2)], ["RELOADING", "READY"], "of a refusal")
    end(run)


# ---- for ever ----

def size(run):
    kilobytes = int(status_field(run.pid, "VmRSS").split()[0])
    return kilobytes, len(os.listdir(f"/proc/{run.pid}/fd"))


@deadline(120)
def test_two_hundred_reloads_leave_nothing_behind():
    port = free_port()

    def file(n):
        return [f"[aiorun]\ntimeout = {n + 1}s\non-error = true",
                worker("stays", QUIET, "instances = 3", f"listen = tcp:127.0.0.1:{port}",
                       "env.A = b", "output = prefix"),
                worker(f"w{n % 2}", QUIET, "before-start = true", "output = pipe:cat",
                       "ready = exec:true", f"listen = unix:{os.getcwd()}/{n % 2}.s")]
    run = begin(*file(0))
    before = pids()
    for n in range(60):
        change(*file(n))
    early = size(run)
    for n in range(200):
        change(*file(n))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "all are ready")
    late = size(run)
    equal({n: pids()[n] for n in before if "stays" in n},
          {n: before[n] for n in before if "stays" in n}, "who stays")
    check(late[1] <= early[1] + 2, f"descriptors: {early[1]}, then {late[1]}")
    if MODE == "plain":  # a sanitizer keeps what is freed for a while
        check(late[0] <= early[0] + 300, f"kilobytes: {early[0]}, then {late[0]}")
    end(run)


# ---- their own configuration ----

def test_who_stays_is_told_to_read_its_own_configuration():
    run = begin(worker("db"), worker("web"))
    db = pipe_of(run, pids()["db"])
    change(worker("db"), worker("web", QUIET, "env.COLOUR = blue"))
    equal(db.line(), "reload", "what is said to who stays")
    until(lambda: state("web") == "ready", "it is up")
    web = pipe_of(run, pids()["web"])
    check(not select.select([web.sock], [], [], 0)[0], "who is new has read it just now")
    ask("reload")
    ask("reload")
    for name, pipe in ("db", db), ("web", web):
        equal(pipe.line(), "reload", f"what is said to {name}")
        ask("stop", name)
        check(pipe.line().startswith("shutdown stop "), f"{name} is told twice what it had not read")
    end(run)


def test_a_file_that_is_refused_is_nobodys_business():
    run = begin(worker("db"))
    db = pipe_of(run, pids()["db"])
    change(worker("db"), "[worker:web]", status=1)
    ask("stop", "db")
    check(db.line().startswith("shutdown stop "), "what is said is no stop request")
    end(run)


def test_reload_reaches_the_command_of_an_inner_one():
    run = start(f"[worker:inner]\ncommand = {BINARY} -- {shlex.join(victim(QUIET))}\n")
    run.line("ready")
    command = children(pids()["inner"])[0]
    pipe = Speaker(socket.socket(fileno=take_descriptor(command, 9)))
    ask("reload")
    equal(pipe.line(), "reload", "what is said to it")
    end(run)


def test_reload_reaches_an_inner_fleet():
    Path("inner.ini").write_text(worker("one"))
    run = start(f"[worker:inner]\ncommand = {BINARY} --no-forever --config inner.ini\n")
    run.line("ready")
    Path("inner.ini").write_text(worker("one") + worker("two"))
    run.send("HUP")
    run.log("Reloaded: 1 worker, 0 changed")
    run.log("Reloaded: 2 workers, 1 changed")
    end(run)


FLOOD = """import os
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(1, b'flows\\n')
    while True:
        os.write(9, 400 * b'status x\\n')
os.execvp('sleep', ['sleep', '1000'])
"""


def test_who_goes_while_his_pipe_is_written_to_has_no_place_any_more():
    """The last of many places: there are far fewer afterwards."""
    Path("flood.py").write_text(FLOOD)
    many = [worker(f"many{n}", QUIET, "autostart = no", "instances = 10000") for n in range(2)]
    run = start(worker("stays"), *many,
                f"[worker:last]\ncommand = python3 {Path('flood.py').absolute()}\n")
    run.line("flows")
    change(worker("stays"))
    equal(list(workers()), ["stays"], "who is there")
    end(run)


# ---- cgroups ----

@grouped
def test_cgroups_follow_their_runs(group):
    write(worker("web", QUIET, "pids-max = 100", "instances = 2"),
          worker("old", QUIET, "pids-max = 100"))
    run = aiorun("--config", "fleet.ini", before=group.here)
    for _ in range(3):
        run.line("ready")
    before = pids()
    change(worker("new", QUIET, "pids-max = 50"),
           worker("web", QUIET, "pids-max = 100", "instances = 2"))
    until(lambda: all(w["state"] == "ready" for w in workers().values()), "all are up")
    equal(group.left(), ["supervisor", "worker.new", "worker.web"], "cgroups")
    equal([group.members(f"worker.web/run.{n}") for n in range(2)],
          [[before[f"web:{n}"]] for n in range(2)], "who stays")
    equal(group.members("worker.new/run.0"), [pids()["new"]], "who is new")
    change(worker("web", QUIET, "pids-max = 100"))
    equal(os.listdir(group.path / "worker.web").count("run.1"), 0, "the leaf of who went")
    equal(group.left(), ["supervisor", "worker.web"], "cgroups")
    end(run)
    equal(group.left(), [], "what is left")
