"""The admin socket, and the verbs for people."""
import json
import os
import re
import socket
import time
from pathlib import Path

from harness import (BINARY, Run, aiorun, alive, cases, check, equal, kill, needs,
                     put_down, status_field, strace, until, victim)

FORMS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z \S+ ")


def path():
    return str(Path.cwd() / "a.sock")


def launch(script="say ready pause", *options, **how):
    """A launcher with an admin socket, whose command is up."""
    run = aiorun("--control", path(), *options, "--", *victim(script), **how)
    run.line("ready")
    # What it inherited is given up just after the command's start: descriptors count from there.
    until(lambda: not os.path.lexists(f"/proc/{run.pid}/fd/1"), "it has settled down")
    return run


def verb(*words, where=None, **how):
    """Starts `aiorun VERB --control PATH ...`."""
    return Run([BINARY, words[0], "--control", where or path(), *words[1:]], **how)


def ask(*words, status=0, **how):
    """The output of a verb that ends with `status`."""
    run = verb(*words, **how)
    run.end(status)
    return run


def state(*names):
    return json.loads(ask("status", "--json", *names).out)


def connect(where=None):
    client = socket.socket(socket.AF_UNIX)
    client.connect(where or path())
    client.settimeout(10)
    return client


def everything(client):
    """What comes until the end; a reset is one."""
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def talk(line):
    with connect() as client:
        client.sendall(line)
        return everything(client)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def end(run, status="TERM"):
    run.send("TERM")
    run.end(status)


# ---- where it is ----

def test_a_launcher_has_none_unless_it_is_asked_for():
    run = aiorun("--", *victim("say ready pause"), env={"XDG_RUNTIME_DIR": os.getcwd()})
    run.line("ready")
    equal(os.listdir("."), [], "files")
    end(run)


def test_it_is_for_its_user_alone_and_gone_at_the_end():
    run = launch()
    equal(oct(os.stat(path()).st_mode & 0o777), "0o600", "mode")
    end(run)
    check(not os.path.lexists(path()), "the socket is still there")


def test_a_stale_socket_is_replaced():
    run = launch()
    kill(run.pid)
    run.wait()
    put_down(*run.left)
    check(os.path.exists(path()), "the socket is gone")
    second = launch()
    equal(state()["pid"], second.pid, "who answers")
    end(second)


def test_a_live_one_is_never_replaced():
    run = launch()
    second = aiorun("--control", path(), "--", *victim("say started"))
    second.log("another aiorun answers at")
    second.end(125)
    equal(second.out, "", "output: nothing is started")
    equal(state()["pid"], run.pid, "who answers")
    end(run)


@cases(nowhere=("no/such/dir/a.sock", "No such file"), long=("/" + "x" * 120, "at most 107"),
       empty=("", "empty"))
def test_a_place_that_cannot_be_is_an_error(where, words):
    run = aiorun("--control", where, "--", *victim("say started"))
    run.log(words)
    run.end(125)
    equal(run.out, "", "output: nothing is started")


def test_a_file_that_is_no_socket_is_left_alone():
    Path("a.sock").write_text("mine")
    run = aiorun("--control", path(), "--", *victim("say started"))
    run.log("cannot open the admin socket")
    run.end(125)
    equal(Path("a.sock").read_text(), "mine", "the file")


def test_somebody_elses_socket_is_not_unlinked():
    run = launch()
    os.unlink(path())
    Path("a.sock").write_text("mine")
    end(run)
    equal(Path("a.sock").read_text(), "mine", "the file")


@needs("root")
def test_others_are_told_that_they_may_not_speak():
    run = launch()
    os.chmod(".", 0o755)
    os.chmod(path(), 0o666)
    pid = os.fork()
    if pid == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            answer = everything(connect("a.sock"))
        except OSError as error:
            answer = repr(error).encode()
        os._exit(0 if answer.startswith(b"error only") else 1)
    equal(os.waitpid(pid, 0)[1], 0, "the stranger's status")
    end(run)


# ---- what a launcher does ----

def test_status_shows_the_command():
    run = launch()
    text = ask("status").out
    check(re.search(rf"^main +ready +{run.command} ", text, re.M), text)
    check(text.startswith(f"aiorun ") and f"pid {run.pid}" in text, text)
    main = state()["workers"][0]
    wanted = {"name": "main", "worker": "main", "instance": 0, "state": "ready",
              "pid": run.command, "reason": None, "restarts": 0, "restart_in": None, "shields": [],
              "shield_count": 0, "last_end": None, "status": None}
    check(0 <= main.pop("uptime") < 60, "its uptime")
    equal(main, wanted, "main")
    equal(ask("status", "--names").out, "main\n", "names")
    end(run)


def test_status_shows_what_the_command_says_of_itself():
    text = 'half "done" \\ é'
    run = aiorun("--control", path(), "--", "sh", "-c",
                 'printf "status %s\\nshield backup 60\\n" "$1" >&9; echo ready; exec sleep 60',
                 "sh", text)
    run.line("ready")
    until(lambda: state()["workers"][0]["shields"], "the shield is seen")
    main = state()["workers"][0]
    equal((main["status"], main["shields"], main["shield_count"]), (text, ["backup"], 1), "main")
    check(f"{text}; holds backup" in ask("status").out, "the table has both")
    waits = verb("wait-idle")
    run.send("TERM")
    run.send("TERM")
    Run([BINARY, "status", "--control", path()]).end(0)
    kill(run.command)
    run.wait()
    waits.wait()


def test_status_shows_a_restart_to_come():
    run = aiorun("--control", path(), "--restart", "always", "--restart-delay", "60s..60s", "--",
                 *victim("say ready exit 3"))
    run.line("ready")
    until(lambda: state()["workers"][0]["state"] == "waiting", "it waits")
    main = state()["workers"][0]
    equal((main["pid"], main["last_end"]), (None, {"kind": "exited", "value": 3}), "main")
    check(50 < main["restart_in"] <= 60, f"restart in {main['restart_in']}")
    check("starts again in" in ask("status").out, "the table says so")
    run.send("TERM")
    run.wait()


def test_a_signal_is_sent():
    run = launch("report all say ready pause")
    ask("signal", "USR1", "main")
    run.line("got USR1")
    equal(ask("signal", "NOPE", "main", status=1).out, "", "output")
    ask("signal", "KILL", "main")
    run.end("KILL")


@cases("start main", "stop main", "restart main", "stop --all")
def test_a_launchers_command_is_not_started_and_stopped(words):
    run = launch()
    refused = ask(*words.split(), status=1)
    check("only the workers of a file" in refused.err, refused.err)
    end(run)


@cases(((), "TERM"), (("7",), 7), (("0",), 0))
def test_shutdown_ends_everything_and_waits_for_it(words, status):
    run = launch()
    command = run.command
    ask("shutdown", *words)
    check(not alive(command) and not os.path.lexists(path()), "it is not over")
    run.end(status)


def test_shutdown_without_waiting():
    run = launch("on TERM [ say asked ] say ready pause")
    ask("shutdown", "--no-wait")
    run.line("asked")
    kill(run.command)
    run.wait()


def test_a_job_is_run_and_its_end_told():
    run = launch()
    job = ask("submit", "--wait", "--name", "seven", "--", *victim("say hello exit 7"), status=7)
    equal(job.out.split()[0], "hello", "its output")
    ask("submit", "--wait", "--", "sh", "-c", "kill -USR1 $$", status=-10)
    missing = ask("submit", "--wait", "--", "/no/such/program", status=127)
    check("could not be started" in missing.err, missing.err)
    end(run)


def test_drain_refuses_jobs_until_it_is_off():
    run = launch()
    ask("drain")
    check(state()["drained"], "it says so")
    refused = ask("submit", "--", "true", status=125)
    check("drained" in refused.err, refused.err)
    ask("drain", "off")
    ask("submit", "--wait", "--", "true")
    end(run)


def test_wait_idle_waits_for_jobs():
    run = launch()
    ask("wait-idle")
    reading, writing = os.pipe()
    ask("submit", "--", "cat", stdin=reading)
    os.close(reading)
    waits = verb("wait-idle")
    until(lambda: state()["jobs"], "the job is there")
    equal(state()["jobs"][0]["state"], "up", "the job")
    check(not waits.ended(), "it did not wait")
    os.close(writing)
    waits.end(0)
    end(run)


def test_events_are_told_as_they_come():
    run = launch("on TERM [ exit 0 ] say ready pause")
    text, lines = verb("events"), verb("events", "--json")
    follows = f"/proc/{run.pid}/fd"
    until(lambda: len(os.listdir(follows)) >= 2, "they are connected")
    until(lambda: ask("submit", "--wait", "--name", "probe", "--", "true") and
          (text.pump(time.monotonic() + 0.05) or "probe" in text.out), "they follow")
    run.send("TERM")
    run.end(0)
    text.end(0)
    lines.end(0)
    for line in text.out.splitlines():
        check(FORMS.match(line), line)
    for words in ("main (pid", "is asked to stop", "is sent SIGTERM", "exited with status 0",
                  "shutdown: entered", "probe is queued"):
        check(words in text.out, f"{words}: {text.out}")
    events = [json.loads(line) for line in lines.out.splitlines()]
    names = [event["event"] for event in events if event.get("name") == "main"]
    equal(names, ["asked", "signalled", "ended"], "of main")
    ended = [event for event in events if event["event"] == "ended" and event["name"] == "main"][0]
    equal(ended["end"], {"kind": "exited", "value": 0}, "its end")


def test_who_follows_too_slowly_is_told_how_much_was_lost():
    run = launch("on CONT [ ] say ready pause")
    slow = connect()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    slow.sendall(b"events\n")
    equal(slow.recv(3), b"ok\n", "the first line")
    for _ in range(5000):  # each is an event, and more than the socket and the ring have room for
        talk(b"signal CONT main\n")
    data = b""
    while b"lost " not in data:
        data += slow.recv(65536)
    check(re.search(rb"^lost \d+ events$", data[: data.index(b" events") + 7], re.M), "the line")
    talk(b"signal CONT main\n")
    slow.close()
    end(run)


# ---- whom it cannot hurt ----

@cases(empty=(b"\n",), nul=(b"status\0\n",), bogus=(b"bogus\n",), endless=(b"x" * 5000,),
       binary=(b"\xff\xfe\n",), blanks=(b"status  main\n",), nameless=(b"stop\n",),
       signal=(b"signal\n",), submit=(b"submit x\n",), status=(b"shutdown 256\n",),
       names=(b"status " + b"a " * 2000 + b"\n",))
def test_garbage_gets_a_sentence(line):
    run = launch()
    answer = talk(line)
    check(answer.startswith(b"error ") and answer.endswith(b"\n"), repr(answer))
    equal(state()["phase"], "running", "phase")
    end(run)


def test_sixty_four_silent_clients_and_one_more():
    run = launch()
    before = descriptors(run.pid)
    clients = [connect() for _ in range(64)]
    until(lambda: descriptors(run.pid) == before + 64, "all are there")
    with connect() as one_more:
        check(everything(one_more).startswith(b"error there are too many clients"), "its answer")
    os.kill(run.command, 0)
    for client in clients:
        client.close()
    until(lambda: descriptors(run.pid) == before, "all are gone")
    equal(state()["phase"], "running", "phase")
    end(run)


@needs("strace", "plain")
def test_who_is_one_too_many_is_told_so_although_he_could_not_speak():
    run = launch()
    before = descriptors(run.pid)
    clients = [connect() for _ in range(64)]
    until(lambda: descriptors(run.pid) == before + 64, "all are there")
    refused = strace("trace", "submit", "--control", path(), "--", "true",
                     options=["-e", "trace=sendmsg", "-e", "inject=sendmsg:error=EPIPE"])
    refused.end(125)
    check("there are too many clients already" in refused.err, refused.err)
    for client in clients:
        client.close()
    end(run)


def test_silent_clients_are_dropped():
    run = launch()
    client = connect()
    client.settimeout(15)
    start = time.monotonic()
    equal(client.recv(1), b"", "what comes")
    check(9 < time.monotonic() - start < 14, "after ten seconds")
    end(run)


def test_a_client_that_does_not_read_keeps_nobody_waiting():
    run = launch()
    clients = []
    for _ in range(20):
        client = connect()
        client.sendall(b"events\n")
        clients.append(client)
    for _ in range(300):
        talk(b"signal CONT main\n")
    equal(state()["phase"], "running", "phase")
    end(run)


@cases(silent=(b"",), part=(b"stat",), status=(b"status\n",), json=(b"status --json\n",),
       events=(b"events\n",), idle=(b"wait-idle\n",), shutdown=(b"shutdown\n",))
def test_a_client_that_leaves_is_forgotten(line):
    run = launch("on TERM [ say asked ] say ready pause")
    before = descriptors(run.pid)
    for _ in range(100):
        with connect() as client:
            if line:
                client.sendall(line)
    until(lambda: descriptors(run.pid) == before, "all are gone")
    kill(run.command)
    run.wait()


def test_descriptors_that_nobody_asked_for_are_closed():
    run = launch()
    before = descriptors(run.pid)
    for line in (b"status\n", b"stat", b"submit x\n", b"events\n"):
        with connect() as client, open("/dev/null") as null:
            socket.send_fds(client, [line], [null.fileno()] * 4)
            if line.endswith(b"\n"):
                client.recv(10)
    until(lambda: descriptors(run.pid) == before, "all are closed")
    end(run)


def test_a_supervisor_that_is_stopped_keeps_nobody_waiting():
    run = launch("on TERM [ exit 0 ] say ready pause")
    kill(run.pid, "STOP")
    until(lambda: status_field(run.pid, "State").startswith("T"), "it is stopped")
    asked = [verb(*words.split()) for words in
             ("status", "signal WINCH main", "drain", "wait-idle", "events", "stop main",
              "shutdown --no-wait", "submit --as main -- true",
              "submit --as main --wait -- true")]
    for one in asked:
        one.end(124)
        check(f"the supervisor (pid {run.pid}) does not answer: it is stopped" in one.err, one.err)
    kill(run.pid, "CONT")
    run.end(0)  # what was asked is done when it goes on


def test_a_supervisor_that_lets_nobody_in_keeps_nobody_waiting():
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as first:
        full.bind("full.sock")
        full.listen(0)
        first.connect("full.sock")
        asked = verb("status", where="full.sock")
        asked.end(124)
        check("the supervisor at 'full.sock' does not answer" in asked.err, asked.err)


def test_who_is_asked_to_wait_is_waited_for_once_he_has_read_it():
    """And who is asked a question is not."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("late.sock")
        server.listen(8)
        waits = verb("wait-idle", where="late.sock")
        late, _ = server.accept()
        equal(late.recv(100), b"wait-idle\n", "the request")
        asks = verb("status", where="late.sock")
        other, _ = server.accept()
        equal(other.recv(100), b"status\n", "the request")
        asks.end(124)  # after the time that the first one had, too
        check(not waits.ended(), waits.err)
        late.sendall(b"ok\n")
        late.close()
        waits.end(0)


def test_requests_in_pieces():
    run = launch()
    with connect() as client:
        for byte in b"status --names\n":
            client.sendall(bytes([byte]))
        equal(everything(client), b"ok\nmain\n", "the answer")
    end(run)


def test_options_may_stand_behind_the_words():
    run = launch()
    shown = Run([BINARY, "status", "main", "--json", "--control", path()])
    shown.end(0)
    equal(json.loads(shown.out)["workers"][0]["name"], "main", "what is shown")
    Run([BINARY, "drain", "off", "--control", path()]).end(0)
    # But not where the words are a command.
    refused = Run([BINARY, "submit", "echo", "--control", path()])
    refused.end(125)
    check("'--'" in refused.err or " -- " in refused.err, refused.err)
    end(run)


# ---- which supervisor ----

def test_the_only_supervisor_is_found_or_named():
    env = {"AIORUN_OPT_CONTROL": path()}
    run = launch()
    found = Run([BINARY, "status", "--names"], env=env)
    found.end(0)
    equal(found.out, "main\n", "what is found")
    end(run)
    gone = Run([BINARY, "status"], env=env)
    gone.end(125)
    check("no supervisor answers" in gone.err, gone.err)


@cases((("status", "a/b"), "neither a worker"), (("stop",), "or --all"), (("signal",), "SIG"),
       (("drain", "on"), "'on'"), (("wait-idle", "now"), "'now'"),
       (("stop", "web", "--all"), "--all without a name"),
       (("stop", "--", "--all"), "neither a worker"), (("stop", "--all", "web"), "--all"),
       (("events", "--watch"), "--watch"))
def test_a_wrong_word_is_refused_before_anything_is_asked(words, part):
    run = Run([BINARY, words[0], "--control", "/nonexistent", *words[1:]])
    run.end(125)
    check(part in run.err, run.err)
