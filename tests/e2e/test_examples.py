"""The programs in conf/examples: by themselves, with a stand-in for their supervisor, and below
aiorun."""
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from harness import BINARY, ROOT, Run, aiorun, cases, check, equal, needs, state, until
from stand_in import StandIn
from terminal import Terminal, tools

EXAMPLES = ROOT / "conf" / "examples"
SERVER = [sys.executable, EXAMPLES / "echo-server.py", "0"]
CLIENT = [sys.executable, EXAMPLES / "echo-client.py"]


def example(name):
    return str(EXAMPLES / name)


def with_aiorun():
    """The environment of a script that calls aiorun."""
    return {"PATH": f"{tools()}:{os.environ['PATH']}"}


def compiled():
    """worker.c, as its first lines say, but with the header and library of the source tree."""
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "src/client",
                    example("worker.c"), ROOT / "src/client/posix/libaiorun.c", "-I", ROOT / "src",
                    "-D_GNU_SOURCE", "-o", "worker"], check=True)
    return os.path.abspath("worker")


def port_of(server):
    return int(server.line(r"^Serving on \('127.0.0.1', (\d+)\)$").group(1))


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def sockets(pid):
    """How many sockets the process has open."""
    found = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            pass
    return found


# ---- the echo server and its client ----

def test_echo_server_says_what_it_does():
    stand_in = StandIn()
    server = stand_in.start(SERVER)
    port = port_of(server)
    equal(stand_in.line(), "ready", "what it says once it listens")
    stand_in.say("reload")
    server.line("Asked to read the configuration again")
    with connected(port) as client:
        equal(stand_in.line(), "shield conversation 20", "what it says of a client")
        stand_in.say("shutdown request 28")
        server.line("Asked to stop: shutdown request 28")
        client.sendall(b"still there?")
        equal(client.recv(100), b"still there?", "the answer")
    equal(stand_in.line(), "unshield conversation", "what it says at the end")
    server.line("All conversations are finished")
    server.end(0)


def test_echo_server_takes_no_more_connections_once_asked():
    stand_in = StandIn()
    server = stand_in.start(SERVER)
    port = port_of(server)
    with connected(port) as client:
        while stand_in.line() != "shield conversation 20":
            pass
        stand_in.say("shutdown signal infinity")

        def refused():
            try:
                connected(port).close()
                return False
            except ConnectionRefusedError:
                return True
        until(refused, "connections are refused")
        client.sendall(b"x")
        equal(client.recv(100), b"x", "the answer")
    server.end(0)


@cases("TERM", "INT")
def test_echo_server_by_itself(name):
    server = Run(SERVER)
    with connected(port_of(server)) as client:
        client.sendall(b"x")
        equal(client.recv(100), b"x", "the answer")
    server.line("Close the client socket")
    server.send(name)
    server.end(0)


def test_echo_client_asks_for_the_end():
    server = Run(SERVER)
    stand_in = StandIn()
    client = stand_in.start([*CLIENT, "Hello World!", str(port_of(server))])
    client.end(0)
    equal(client.out, "Send: 'Hello World!'\nReceived: 'Hello World!'\nClose the socket\n",
          "what the client prints")
    equal(stand_in.line(), "shutdown", "what the client says")
    server.send("TERM")
    server.end(0)


def test_row_echo_server_and_client_below_aiorun():
    """The same two programs as in the manual, run and interrupted."""
    server = aiorun("--timeout", "20s", "--", *SERVER)
    port = port_of(server)
    client = aiorun("--forever", "--", *CLIENT, "Hello World!", str(port))
    client.line("^Received: 'Hello World!'$")
    client.line("^Close the socket$")
    client.end(0)
    server.line("^Received 'Hello World!' from")
    server.line("^Send: 'Hello World!'$")
    quiet = sockets(server.command)
    with connected(port) as slow:
        until(lambda: sockets(server.command) > quiet and state(server.command) == "S",
              "the server has accepted it")
        server.send("INT")
        server.line("^Asked to stop: shutdown signal ")
        slow.sendall(b"still there?")
        equal(slow.recv(100), b"still there?", "the answer")
    server.line("^All conversations are finished$")
    server.end(0)


# ---- shield-demo.sh ----

COUNT = [str(number) for number in range(10)]


def numbers(text):
    return re.findall(r"^\d$|^oh noes!$|^done!$", text.replace("\r", ""), re.M)


def test_shield_demo_asks_for_a_shield():
    stand_in = StandIn()
    run = stand_in.start([example("shield-demo.sh"), "0.01"], env=with_aiorun())
    channel = stand_in.attached()
    line = channel.line()
    equal(line, "job count", "the request")
    equal(run.out, "", "output before the shield stands")
    channel.say("ok")
    run.line("^done!$")
    run.end(0)
    equal(numbers(run.out), COUNT + ["done!"], "output")


@cases("TERM", "INT")
def test_shield_demo_stopped(name):
    """Its caller ends at once, the count goes on."""
    stand_in = StandIn()
    run = stand_in.start([example("shield-demo.sh"), "0.2"], env=with_aiorun())
    channel = stand_in.attached()
    channel.line()
    channel.say("ok")
    run.line("^2$")
    run.send(name)
    run.line("^oh noes!$")
    wrapper, = run.end(0, left=1)  # it waits on for its job: sh ignores INT in the background
    run.line("^done!$")
    os.waitpid(wrapper, 0)
    got = numbers(run.out)
    equal([word for word in got if word != "oh noes!"], COUNT + ["done!"], "the count")
    check(got.index("oh noes!") < got.index("5"), f"oh noes! comes late: {got}")


@cases("TERM", "INT")
def test_row_shield_below_aiorun(name):
    run = aiorun("--", example("shield-demo.sh"), "0.2", env=with_aiorun())
    run.line("^2$")
    run.send(name)
    run.line("^oh noes!$")
    run.line("^done!$")
    run.end(0)
    got = numbers(run.out)
    equal([word for word in got if word != "oh noes!"], COUNT + ["done!"], "the count")
    check(got.index("oh noes!") < got.index("5"), f"oh noes! comes late: {got}")


def test_row_shield_below_aiorun_on_a_terminal():
    run = Terminal([BINARY, "--", example("shield-demo.sh"), "0.2"], wrapped=False,
                   env=with_aiorun())
    run.expect("2\r\n")
    run.ctrl("C")
    run.expect("oh noes!\r\n")
    run.expect("9\r\ndone!\r\n")
    run.end(0)


# ---- worker.sh ----

def test_worker_in_sh_says_what_it_does():
    stand_in = StandIn(9)
    run = stand_in.start([example("worker.sh"), "0.1"])
    lines = [stand_in.line() for _ in range(4)]
    equal(lines, ["ready", "shield item 20", "status item 1", "unshield item"], "what it says")
    run.line("item 2 begun")
    run.send("TERM")
    run.end(0)
    check(re.search(r"item (\d+) finished\nasked to stop after \1 items\n$", run.out), run.out)


def test_worker_in_sh_leaves_a_reused_descriptor_alone():
    stand_in = StandIn(9)
    with open("lock", "w+") as lock:
        os.dup2(lock.fileno(), 9)
        run = stand_in.start([example("worker.sh"), "0.01"])
        run.line("item 2 begun")
        run.send("TERM")
        run.end(0)
    equal(Path("lock").read_text(), "", "the file")


def test_worker_in_sh_survives_its_supervisor():
    stand_in = StandIn(9)
    run = stand_in.start([example("worker.sh"), "0.01"])
    run.line("item 1 begun")
    stand_in.leave()
    stand_in.close()
    run.line("item 5 finished")
    run.send("TERM")
    run.end(0)


def test_worker_in_sh_below_aiorun():
    run = aiorun("--", example("worker.sh"), "0.2")
    run.line("item 2 begun")
    run.send("TERM")
    run.end(0)
    check(re.search(r"item (\d+) finished\nasked to stop after \1 items\n$", run.out), run.out)
    equal(run.out.count("begun"), run.out.count("finished"), "items begun and finished")


# ---- worker.c ----

@needs("cc")
def test_worker_in_c_says_what_it_does():
    stand_in = StandIn()
    run = stand_in.start([compiled()])
    lines = [stand_in.line() for _ in range(4)]
    equal(lines, ["ready", "shield item 20", "status item 1", "unshield item"], "what it says")
    run.line("item 2 begun")
    stand_in.say("reload")
    run.line("asked to read the configuration again")
    run.line("item 3 begun")
    stand_in.say("shutdown request 5")
    run.line(r"item 3 finished")
    run.line(r"asked to stop \(request\), 5 s left")
    run.end(0)


@needs("cc")
def test_worker_in_c_by_itself():
    run = Run([compiled()])
    run.line("item 2 begun")
    run.send("TERM")
    run.end("TERM")


@needs("cc")
def test_worker_in_c_survives_its_supervisor():
    stand_in = StandIn()
    run = stand_in.start([compiled()])
    run.line("item 1 begun")
    stand_in.leave()
    stand_in.close()
    run.line("item 3 begun")
    run.send("KILL")
    run.end("KILL")


@needs("cc")
def test_worker_in_c_below_aiorun():
    run = aiorun("--", compiled())
    run.line("item 1 begun")
    run.send("TERM")
    run.line("item 1 finished")
    run.line(r"asked to stop \(signal\)")
    run.end(0)
