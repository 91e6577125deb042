"""Sockets that are opened once and passed on (`listen`), readiness that is asked for (`ready`), and
descriptors."""
import os
import resource
import socket
import stat
from pathlib import Path

from harness import Skip, cases, check, children, equal, free_port, kill, needs, strace, until
from test_output import ENDS, fleet, python, worker

# Says what it was given, and answers each connection with its pid.
SERVER = """import os, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_PID"]
sockets = [socket.socket(fileno=3 + n) for n in range(int(os.environ["LISTEN_FDS"]))]
print("names", os.environ["LISTEN_FDNAMES"])
print("sockets", *[s.getsockname() for s in sockets], sep="; ")
sockets[0].setblocking(True)
while True:
    peer, _ = sockets[0].accept()
    peer.sendall(str(os.getpid()).encode())
    peer.close()
"""


def ask(address):
    """The pid of who answers."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as peer:
        peer.settimeout(10)
        peer.connect(address)
        return int(peer.recv(100))


def test_sockets_are_passed_as_the_protocol_has_it():
    port, path = free_port(), str(Path("it.sock").absolute())
    run = fleet(python("web", SERVER, f"listen = tcp:127.0.0.1:{port} unix:{path}:640"))
    equal(run.line(r"names (.*)").group(1), f"{port}:it.sock", "names")
    equal(run.line(r"sockets; (.*)").group(1), f"('127.0.0.1', {port}); {path}", "sockets")
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o640, "permissions")
    equal(ask(("127.0.0.1", port)), run.command, "who answers")
    run.send("TERM")
    run.end(0)
    check(not os.path.exists(path), "the socket's file was left behind")


def test_sockets_survive_a_restart_and_whoever_waits_is_served():
    port = free_port()
    run = fleet(python("web", SERVER, f"listen = tcp:127.0.0.1:{port}", "restart = always",
                       "restart-delay = 500ms..500ms"))
    run.line("sockets")
    first = run.command
    kill(first)
    until(lambda: first not in children(run.pid), "it is gone")
    second = ask(("127.0.0.1", port))  # connects while nobody is there to accept
    check(second != first, "the same process")
    equal(second, run.command, "who answers")
    run.send("TERM")
    run.end(0)


def test_sockets_are_shared_by_all_instances():
    port = free_port()
    run = fleet(python("web", SERVER, f"listen = tcp:127.0.0.1:{port}", "instances = 2",
                       "output = prefix"))
    run.line("sockets")
    run.line("sockets")
    check(ask(("127.0.0.1", port)) in children(run.pid), "who answers")
    run.send("TERM")
    run.end(0)


@cases(tcp6="tcp6:[::1]", both="tcp:127.0.0.1:{port} tcp6:[::1]", any="tcp:*:{port} tcp6:*")
def test_ipv6_is_by_itself(addresses):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        raise Skip("needs IPv6") from None
    port = free_port()
    run = fleet(python("web", SERVER.replace("sockets[0]", "sockets[-1]"),
                       f"listen = {addresses.format(port=port)}:{port}"))
    run.line("sockets")
    with socket.create_connection(("::1", port), 10) as peer:
        equal(int(peer.recv(100)), run.command, "who answers")
    run.send("TERM")
    run.end(0)


def test_all_faults_are_told_and_nothing_is_started():
    Path("file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port, live = busy.getsockname()[1], str(Path("live.sock").absolute())
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(live)
            listener.listen()
            run = fleet(worker("web", "say started",
                               f"listen = tcp:127.0.0.1:{port} unix:{Path('file').absolute()}")
                        + worker("db", "say started", f"listen = unix:{live}"))
            run.end(125)
    equal(run.out, "", "output")
    for words in (f"fleet.ini:3: listen: cannot listen at 'tcp:127.0.0.1:{port}': Address already",
                  "no socket", f"fleet.ini:6: listen: cannot listen at 'unix:{live}': somebody"):
        check(words in run.err, f"not told: {words}")
    check(os.path.exists(live) and os.path.exists("file"), "what was there is gone")


def test_stale_socket_is_replaced():
    path = str(Path("it.sock").absolute())
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
    run = fleet(python("web", SERVER, f"listen = unix:{path}"))
    run.line("sockets")
    equal(ask(path), run.command, "who answers")
    run.send("TERM")
    run.end(0)


@needs("strace")
def test_socket_that_cannot_be_asked_is_not_said_to_be_somebodys():
    path = Path("it.sock").absolute()
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    Path("fleet.ini").write_text(worker("web", "pause", f"listen = unix:{path}"))
    run = strace("trace", "--config", "fleet.ini",
                 options=("-e", "inject=socket:error=EMFILE:when=1"))
    run.end(125)
    check("Too many open files" in run.err and "somebody" not in run.err, run.err)


@needs("strace")
def test_file_of_a_socket_does_not_outlive_a_start_that_fails():
    path = Path("it.sock").absolute()
    Path("fleet.ini").write_text(worker("web", "pause", f"listen = unix:{path}", "output = pipe:cat"))
    run = strace("trace", "--config", "fleet.ini", options=("-e", "inject=pipe2:error=EMFILE"))
    run.end(125)
    check("Too many open files" in run.err, run.err)
    check(not path.exists(), "the socket's file was left behind")


def test_file_of_a_socket_that_is_somebody_elses_by_now_is_not_removed():
    path = str(Path("it.sock").absolute())
    run = fleet(python("web", SERVER, f"listen = unix:{path}"))
    run.line("sockets")
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        run.send("TERM")
        run.end(0)
        check(os.path.exists(path), "the other one's file is gone")


def test_control_pipe_goes_where_the_sockets_leave_room():
    ports = [free_port() for _ in range(8)]
    addresses = " ".join(f"tcp:127.0.0.1:{port}" for port in set(ports))
    run = fleet(ENDS + worker("web", "print env", f"listen = {addresses}"))
    run.end(0)
    entries = dict(line[4:].split("=", 1) for line in run.out.splitlines()
                   if line.startswith("env "))
    last = 2 + int(entries["LISTEN_FDS"])
    check(int(entries["AIORUN_CONTROL_FD"]) > last, entries["AIORUN_CONTROL_FD"])


def test_sockets_of_others_are_not_passed_on():
    """What a service manager gave us is not taken for a worker's own."""
    run = fleet(ENDS + worker("web", "print env"),
                env={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "LISTEN_PID": "1"})
    run.end(0)
    check("LISTEN_" not in run.out, run.out)


# ---- ready = tcp, exec ----

def test_ready_tcp_waits_until_somebody_accepts():
    port = free_port()
    code = (f"import socket, time, os\nwhile not os.path.exists('go'): time.sleep(0.01)\n"
            f"s = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(1000)\n")
    run = fleet(python("db", code, f"ready = tcp:localhost:{port}")
                + worker("web", "say web pause", "after = db"), "-v")
    run.log("started db")
    Path("go").write_text("")
    run.log("db is ready")
    run.line("web")
    run.send("TERM")
    run.end(0)


def test_ready_tcp_where_we_listen_ourselves_is_refused():
    port = free_port()
    run = fleet(worker("web", "pause", f"listen = tcp:127.0.0.1:{port}",
                       f"ready = tcp:127.0.0.1:{port}"))
    run.end(125)
    check("ready: the supervisor itself listens" in run.err, run.err)


def test_ready_exec_is_asked_until_it_succeeds():
    run = fleet(worker("db", "sleep 300ms say made pause", "ready = exec:test -e go")
                + worker("web", "say web pause", "after = db"), "-v")
    run.line("made")
    Path("go").write_text("")
    run.log("db is ready")
    run.line("web")
    run.send("TERM")
    run.end(0)


def test_ready_exec_that_hangs_is_killed_and_asked_again():
    """The first one hangs; the second finds its mark, and succeeds."""
    Path("ask.sh").write_text("echo $$ >> asked\ntest -e mark && exit 0\ntouch mark\nsleep 1000\n")
    run = fleet(worker("db", "pause", f"ready = exec:sh {Path('ask.sh').absolute()}"), "-v")
    run.log("db is ready", timeout=15)
    equal(len(Path("asked").read_text().split()), 2, "how often it was asked")
    run.send("TERM")
    run.end(0)


def test_ready_exec_that_is_running_ends_with_its_run():
    Path("ask.sh").write_text("echo $$ > asking\nexec sleep 1000\n")
    run = fleet(worker("db", "on TERM [ exit 0 ] pause",
                       f"ready = exec:sh {Path('ask.sh').absolute()}"))
    until(lambda: Path("asking").exists() and Path("asking").read_text(), "it is asked")
    run.send("TERM")
    run.end(0, timeout=4)


@needs("root")
def test_ready_exec_runs_as_the_worker():
    run = fleet("[worker:db]\ncommand = sleep 1000\nuser = nobody\ncwd = /\n"
                "ready = exec:sh -c 'test $(id -un) = nobody'\n", "-v")
    run.log("db is ready")
    run.send("TERM")
    run.end(0)


# ---- descriptors ----

def test_we_take_all_descriptors_that_we_may_and_give_workers_the_old_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    run = fleet(worker("web", "say up pause"),
                before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)))
    run.line("up")
    equal(resource.prlimit(run.pid, resource.RLIMIT_NOFILE), (hard, hard), "our limit")
    equal(resource.prlimit(run.command, resource.RLIMIT_NOFILE), (256, hard), "the worker's")
    run.send("TERM")
    run.end(0)
