"""Readiness that is asked for: `ready = tcp:` and `ready = exec:`."""
import socket
import time
from pathlib import Path

from __main__ import AIORUN, CTRL_BREAK, VICTIM, event, expect, expect_order, fleet, run, write

STAYS = "command = VICTIM on-event exit 0 say up sleep\n"
BEHIND = "[worker:behind]\n" + STAYS.replace("up", "behind") + "after = web\n"


def ending(program, pid):
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def test_ready_tcp_is_told_when_somebody_accepts():
    port = free_port()
    program, pid = fleet(f"[worker:web]\n{STAYS}ready = tcp:127.0.0.1:{port}\n" + BEHIND, "-vv")
    program.wait_for("^up")
    # Asked after 20, 60, 140 and 300 ms, and refused.
    time.sleep(0.5)
    expect("web is ready" not in program.text(), program.text())
    with socket.create_server(("127.0.0.1", port)):
        program.wait_for("^behind")
    expect_order(program.text(), "started web", "web is ready", "started behind")
    ending(program, pid)


def test_ready_tcp_tries_every_address_of_a_name():
    """localhost is ::1 first, where nobody is."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        program, pid = fleet(f"[worker:web]\n{STAYS}ready = tcp:localhost:{port}\n" + BEHIND, "-vv")
        program.wait_for("^behind")
        ending(program, pid)


def test_ready_tcp_of_a_name_that_is_not_there_is_refused():
    write("bad.ini", f"[worker:web]\ncommand = '{VICTIM}' sleep\nready = tcp:no.such.invalid:80\n")
    status, text = run(AIORUN, "--config", "bad.ini")
    expect(status == 125 and "bad.ini:3: ready: cannot look up the host of "
           "'tcp:no.such.invalid:80': " in text, text)


def test_ready_exec_is_told_when_the_command_succeeds():
    program, pid = fleet(f"[worker:web]\n{STAYS}ready = exec:VICTIM say nothing exists go\n" + BEHIND,
                         "-vv")
    program.wait_for("^up")
    time.sleep(0.5)
    expect("web is ready" not in program.text(), program.text())
    write("go", "")
    program.wait_for("^behind")
    expect("nothing" not in program.text().replace("say nothing", ""), program.text())
    ending(program, pid)


def test_ready_exec_that_hangs_is_ended_and_asked_again():
    program, pid = fleet(f"[worker:web]\n{STAYS}ready = exec:VICTIM note asked child sleep , "
                         "exists go sleep\n", "-vv")
    program.wait_for("^up")
    write("go", "")
    def asked(times):
        end = time.monotonic() + 20
        while not Path("asked").exists() or len(Path("asked").read_text()) < times:
            expect(time.monotonic() < end, "it is not asked again")
            time.sleep(0.05)
    asked(1)
    asked(len(Path("asked").read_text()) + 2)  # the first of these may still have found no `go`
    expect("web is ready" not in program.text(), program.text())
    ending(program, pid)


def test_ready_exec_of_a_command_that_is_not_there_is_a_no():
    program, pid = fleet(f"[worker:web]\n{STAYS}ready = exec:no-such-program\nready-timeout = 1s\n"
                         "restart-delay = 10ms\n", "-vv")
    program.wait_for("not ready", 2)
    event(CTRL_BREAK, pid)
    program.end()


def test_ready_questions_end_with_their_run():
    """It dies before there is an answer, again and again; in the end somebody listens."""
    port = free_port()
    program, pid = fleet(f"""[worker:web]
command = VICTIM exists stay on-event exit 0 say up sleep
ready = tcp:127.0.0.1:{port}
restart-delay = 10ms..10ms
[worker:two]
command = VICTIM exists stay on-event exit 0 say up sleep
ready = exec:VICTIM exists stay
restart-delay = 10ms..10ms
""", "-vv")
    program.wait_for("started web ", 5)
    program.wait_for("started two ", 5)
    with socket.create_server(("127.0.0.1", port)):
        write("stay", "")
        program.wait_for("web is ready")
        program.wait_for("two is ready")
    ending(program, pid)


def test_ready_questions_go_on_after_a_reload():
    port = free_port()
    program, pid = fleet(f"[worker:web]\n{STAYS}ready = tcp:127.0.0.1:{port}\n"
                         f"[worker:two]\n{STAYS}ready = exec:VICTIM exists go\n", "-vv")
    program.wait_for("^up", 2)
    text = Path("fleet.ini").read_text()
    write("fleet.ini", f"[worker:first]\ncommand = '{VICTIM}' on-event exit 0 say first sleep\n"
          f"ready = tcp:127.0.0.1:{port}\n" + text)
    status, said = run(AIORUN, "reload", "--control", f"aiorun-{pid}")
    expect(status == 0, said)
    program.wait_for("^first")
    write("go", "")
    with socket.create_server(("127.0.0.1", port)):
        for name in "web", "two", "first":
            program.wait_for(f"{name} is ready")
    ending(program, pid)
