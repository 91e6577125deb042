"""Readiness and sd_notify(3): what a service manager above is told, and what a command is given."""
import array
import os
import pwd
import select
import socket
import time
from pathlib import Path

from harness import (BINARY, PATIENCE, VICTIM, Failure, Run, aiorun, cases, check, children, equal,
                     kill, launch, needs, pause, shell, until, victim)
from speaker import Output, environment_of, pipe_of, submit, take_descriptor

SHELL = "/bin/sh"
ENDS = "on TERM [ exit 3 ] say ready pause"


class Manager:
    """A service manager's end: each datagram is a dictionary."""

    def __init__(self, abstract=False):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = f"@aiorun-test-{os.getpid()}" if abstract else str(Path("notify").absolute())
        self.sock.bind("\0" + self.name[1:] if abstract else self.name)
        self.past = []

    @property
    def env(self):
        return {"NOTIFY_SOCKET": self.name}

    def message(self, timeout=10):
        if not select.select([self.sock], [], [], timeout * PATIENCE)[0]:
            raise Failure(f"nothing is told after {self.past}")
        data = self.sock.recv(65536)
        check(data, "an empty datagram")
        message = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.past.append(message)
        return message

    def told(self, name, value=None, timeout=10):
        """Wait for a message that holds this; returns the value."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            message = self.message(max(0, end - time.monotonic()))
            if name in message and value in (None, message[name]):
                return message[name]

    def silent(self, seconds=0.2):
        """Nothing is told for a while, which is what the test is about."""
        if select.select([self.sock], [], [], seconds)[0]:
            raise Failure(f"told {self.message()}")

    def rest(self):
        """Everything that was told, of a supervisor that is gone."""
        while select.select([self.sock], [], [], 0)[0]:
            self.message()
        return self.past


class Below:
    """What the command has: a datagram socket towards its NOTIFY_SOCKET."""

    def __init__(self, run):
        until(lambda: environment_of(run.command).get("AIORUN_PID"), "the command runs")
        name = environment_of(run.command)["NOTIFY_SOCKET"]
        self.address = "\0" + name[1:] if name[0] == "@" else name
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def tell(self, *lines, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg(["\n".join(lines).encode()], rights, 0, self.address)


def finish(run, manager, status=3):
    run.send("TERM")
    manager.told("STOPPING", "1")
    run.end(status)


# ---- when the command counts as ready ----

@cases(path=False, abstract=True)
def test_ready_exec_is_told_at_once(abstract):
    manager = Manager(abstract)
    run = launch(ENDS, "--ready", "exec", env=manager.env)
    run.line("ready")
    equal(manager.message(), {"READY": "1"}, "the first message")
    finish(run, manager)


def test_ready_exec_of_a_command_that_is_not_there_is_not_told():
    manager = Manager()
    run = aiorun("--ready", "exec", "--", "/nonexistent", env=manager.env)
    run.end(127)
    check(all("READY" not in message for message in manager.rest()), f"told {manager.past}")


def test_ready_control_is_told_by_the_line():
    manager = Manager()
    run = launch(ENDS, "--ready", "control", env=manager.env)
    run.line("ready")
    manager.silent()
    pipe = pipe_of(run)
    pipe.say("status not yet")
    equal(manager.message(), {"STATUS": "not yet"}, "the first message")
    pipe.say("ready", "ready")
    equal(manager.message(), {"READY": "1"}, "the second message")
    pipe.seen()
    manager.silent(0.1)
    finish(run, manager)


def test_ready_line_counts_only_where_it_was_asked_for():
    manager = Manager()
    run = launch(ENDS, "--ready", "after:1h", env=manager.env)
    run.line("ready")
    equal(pipe_of(run).attach().ask("ready"), "ok", "the answer")
    manager.silent()
    finish(run, manager)


def test_ready_after_a_while():
    manager = Manager()
    start = time.monotonic()
    run = launch(ENDS, "--ready", "after:700ms", env=manager.env)
    manager.told("READY", "1")
    check(0.65 < time.monotonic() - start < 3, "at another time")
    finish(run, manager)


def test_ready_after_a_while_that_the_command_did_not_live_is_not_told():
    manager = Manager()
    run = launch("on TERM [ exit 3 ] orphan 1 [ on TERM [ sleep 800ms exit 0 ] pause ] say ready"
                 " pause", "--ready", "after:400ms", env=manager.env)
    run.line("ready")
    kill(run.command)
    run.end("KILL")
    check(all("READY" not in message for message in manager.rest()), f"told {manager.past}")


@cases(3, 9, 57)
def test_ready_on_a_descriptor(fd):
    manager = Manager()
    run = launch(ENDS, "--ready", f"fd:{fd}", env=manager.env)
    run.line("ready")
    end = take_descriptor(run.command, fd)
    os.write(end, b"not yet")
    manager.silent(0.1)
    os.write(end, b"\n")
    equal(manager.message(), {"READY": "1"}, "the message")
    equal(pipe_of(run).attach().ask("status x"), "ok", "the control pipe beside it")
    finish(run, manager)


def test_ready_on_a_descriptor_from_a_shell():
    manager = Manager()
    run = aiorun("--ready", "fd:4", "--", SHELL, "-c",
                 "echo >&4; exec 4>&-; trap 'exit 3' TERM; echo on; while :; do sleep 0.05; done",
                 env=manager.env)
    run.line("on")
    equal(manager.message(), {"READY": "1"}, "the message")
    finish(run, manager)


def test_ready_descriptor_that_is_closed_is_no_readiness():
    manager = Manager()
    run = launch("close 3 " + ENDS, "--ready", "fd:3", env=manager.env)
    run.line("ready")
    manager.silent()
    finish(run, manager)


def test_ready_descriptor_of_the_control_pipe_is_refused():
    run = launch(ENDS, "--ready", "fd:9", "--control-fd", "9")
    run.end(125)
    check("--control-fd" in run.err, "no sentence")


def test_ready_notify_is_the_default_under_a_manager():
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    manager.silent()
    Below(run).tell("READY=1")
    equal(manager.message(), {"READY": "1"}, "the message")
    manager.silent(0.1)
    finish(run, manager)


def test_last_notification_counts():
    for _ in range(5):
        manager = Manager(abstract=True)
        run = aiorun("--", "python3", "-c",
                     "import os, socket\n"
                     "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                     "s.sendto(b'READY=1\\nSTATUS=done', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n"
                     "os._exit(3)", env=manager.env)
        run.end(3)
        equal([key for message in manager.rest() for key in message],
              ["READY", "STATUS", "STOPPING"], "what is told")
        manager.sock.close()


@needs("systemd-notify")
def test_systemd_notify_from_a_shell_and_its_barrier():
    """It returns when what it sent was read: the descriptor of its barrier is closed."""
    manager = Manager()
    run = aiorun("--", SHELL, "-c", "systemd-notify --ready --status='all is well' || exit 9;"
                 " trap 'exit 3' TERM; echo on; while :; do sleep 0.05; done", env=manager.env)
    run.line("on")
    equal([manager.message(), manager.message()], [{"READY": "1"}, {"STATUS": "all is well"}], "told")
    finish(run, manager)


def test_ready_without_a_manager_tells_nobody():
    run = launch("print env " + ENDS, "--ready", "notify")
    run.line("ready")
    Below(run).tell("READY=1", "STATUS=x")
    pipe_of(run).say("status y")
    run.send("TERM")
    run.end(3)
    equal(run.err, "", "what is said")


# ---- what is passed up ----

def test_status_goes_up_and_is_cleaned():
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    pipe_of(run).say("status grün, 50%")
    equal(manager.message(), {"STATUS": "grün, 50%"}, "a line")
    Below(run).tell("STATUS=from below")
    equal(manager.message(), {"STATUS": "from below"}, "a notification")
    finish(run, manager)


def test_reloading_goes_up_and_ready_after_it_again():
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    below = Below(run)
    below.tell("READY=1")
    equal(manager.message(), {"READY": "1"}, "ready")
    below.tell("RELOADING=1", "MONOTONIC_USEC=123456")
    equal(manager.message(), {"RELOADING": "1", "MONOTONIC_USEC": "123456"}, "reloading")
    below.tell("STATUS=half way")
    equal(manager.message(), {"STATUS": "half way"}, "meanwhile")
    below.tell("READY=1")
    equal(manager.message(), {"READY": "1"}, "ready again")
    below.tell("READY=1")
    manager.silent(0.1)
    finish(run, manager)


def test_errno_and_extension_go_up_and_the_main_pid_does_not():
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    below = Below(run)
    below.tell("ERRNO=2", "EXTEND_TIMEOUT_USEC=5000000", "MAINPID=1", "NONSENSE=x")
    equal(manager.message(), {"ERRNO": "2", "EXTEND_TIMEOUT_USEC": "5000000"}, "told")
    below.tell("MAINPID=1")
    below.tell("STATUS=next")
    equal(manager.message(), {"STATUS": "next"}, "told")
    finish(run, manager)


@cases(empty=b"", zero=b"\0", garbage=b"\xff\xfe=\x01", long=b"STATUS=" + b"x" * 5000,
       inner=b"STATUS=a\0READY=1", barrier=b"BARRIER=1\nREADY=1")
def test_malformed_notification_harms_nobody(data):
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    below = Below(run)
    below.sock.sendto(data, below.address)
    below.tell("STATUS=next")
    equal(manager.message(), {"STATUS": "next"}, "told")
    finish(run, manager)


def test_barrier_descriptors_are_closed_promptly():
    manager = Manager()
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    below = Below(run)
    reading, writing = os.pipe()
    below.tell("BARRIER=1", fds=[writing])
    os.close(writing)
    check(select.select([reading], [], [], 5)[0], "the barrier stands")
    manager.silent(0.1)
    for count in (1, 16, 40):
        reading, writing = os.pipe()
        below.tell("STATUS=x", fds=[writing] * count)
        os.close(writing)
        check(select.select([reading], [], [], 5)[0], f"some of {count} descriptors are kept")
        manager.told("STATUS", "x")
    finish(run, manager)


@needs("root")
def test_notification_of_another_user_is_refused():
    nobody = pwd.getpwnam("www-data").pw_uid
    manager = Manager(abstract=True)
    run = launch(ENDS, env=manager.env)
    run.line("ready")
    below = Below(run)
    child = os.fork()
    if child == 0:
        os.setuid(nobody)
        for _ in range(100):
            below.tell("READY=1")
        os._exit(0)
    os.waitpid(child, 0)
    run.log(f"user {nobody}")
    manager.silent(0.1)
    below.tell("READY=1")
    manager.told("READY", "1")
    finish(run, manager)
    equal(run.err.count(f"user {nobody}"), 1, "how often the log says so")


@needs("root")
def test_notification_of_the_commands_own_user_counts():
    manager = Manager(abstract=True)
    run = aiorun("--user", "www-data", "--", "python3", "-c",
                 "import os, socket, signal\n"
                 "signal.signal(signal.SIGTERM, lambda *_: os._exit(3))\n"
                 "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                 "s.sendto(b'READY=1', '\\0' + os.environ['NOTIFY_SOCKET'][1:])\n"
                 "while True: signal.pause()", env=manager.env)
    manager.told("READY", "1")
    finish(run, manager)


# ---- stopping, and time for it ----

def test_stopping_is_told_before_anybody_is_asked():
    manager = Manager()
    run = launch("report TERM on USR1 [ exit 3 ] say ready pause", "--ready", "exec",
                 env=manager.env)
    run.line("ready")
    run.send("TERM")
    run.line("got TERM")
    equal([manager.message(), manager.message()], [{"READY": "1"}, {"STOPPING": "1"}], "told")
    run.send("USR1")
    run.end(3)
    equal(manager.rest()[2:], [], "what is told later")


def test_shield_makes_it_worth_waiting():
    manager = Manager()
    run = launch(ENDS, "--ready", "exec", "--timeout", "20s", env=manager.env)
    run.line("ready")
    channel = pipe_of(run).attach()
    equal(channel.ask("shield a 5"), "ok", "shield")
    run.send("TERM")
    manager.told("STOPPING", "1")
    seconds = int(manager.told("EXTEND_TIMEOUT_USEC")) / 1e6
    check(5 <= seconds + 0.5 and seconds <= 9, f"{seconds} s for a shield of five")
    equal(channel.ask("shield b 10"), "ok", "shield")
    seconds = int(manager.told("EXTEND_TIMEOUT_USEC")) / 1e6
    check(10 <= seconds + 0.5 and seconds <= 14, f"{seconds} s for a shield of ten")
    equal(channel.ask("shield c infinity"), "ok", "shield")
    seconds = int(manager.told("EXTEND_TIMEOUT_USEC")) / 1e6
    check(19 <= seconds + 1 and seconds <= 24, f"{seconds} s, where the cap is twenty")
    for name in "abc":
        equal(channel.ask(f"unshield {name}"), "ok", "unshield")
    run.end(3)


def test_extend_line_makes_it_worth_waiting():
    manager = Manager()
    run = launch("ignore TERM on USR1 [ exit 3 ] say ready pause", "--ready", "exec",
                 env=manager.env)
    run.line("ready")
    pipe = pipe_of(run)
    run.send("TERM")
    pipe.line()
    pipe.say("extend 7")
    seconds = int(manager.told("EXTEND_TIMEOUT_USEC")) / 1e6
    check(7 <= seconds + 0.5 and seconds <= 11, f"{seconds} s")
    run.send("USR1")
    run.end(3)


def test_job_makes_it_worth_waiting():
    manager = Manager()
    run = launch(ENDS, "--ready", "exec", "--timeout", "30s", env=manager.env)
    run.line("ready")
    channel = pipe_of(run).attach()
    out = Output()
    equal(submit(channel, victim("on USR1 [ exit 0 ] say job pause"), stdout=out.writing), "ok", "")
    out.until("job")
    job = [pid for pid in children(run.pid) if pid != run.command][0]
    run.send("TERM")
    seconds = int(manager.told("EXTEND_TIMEOUT_USEC")) / 1e6
    check(29 <= seconds + 1 and seconds <= 34, f"{seconds} s, where the cap is thirty")
    kill(job, "USR1")
    run.end(3)


def test_extension_from_below_counts_for_the_ladder_too():
    manager = Manager()
    run = launch("ignore TERM say ready pause", "--stop-timeout", "500ms", env=manager.env)
    run.line("ready")
    below, pipe = Below(run), pipe_of(run)
    run.send("TERM")
    pipe.line()
    start = time.monotonic()
    below.tell("EXTEND_TIMEOUT_USEC=1500000")
    equal(manager.told("EXTEND_TIMEOUT_USEC"), "1500000", "told")
    run.end("KILL")
    check(1.4 < time.monotonic() - start < 4, "it was killed at another time")


# ---- a manager that does not listen ----

def fill(manager):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            while True:
                sock.sendto(b"STATUS=full", "\0" + manager.name[1:]
                            if manager.name[0] == "@" else manager.name)
        except BlockingIOError:
            pass


def test_manager_that_never_reads_is_not_waited_for():
    manager = Manager()
    fill(manager)
    run = launch(ENDS, "--ready", "exec", env=manager.env)
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(seconds < 10, f"it took {seconds:.1f} s")
    run.log("cannot notify")


@cases("pipe", "notify")
def test_flood_of_statuses_keeps_nobody_from_signals(how):
    manager = Manager()
    run = launch(f"report USR1 {ENDS}", env=manager.env)
    run.line("ready")
    pipe, below = pipe_of(run), Below(run)
    pipe.seen()
    fill(manager)
    sock = pipe.sock if how == "pipe" else below.sock
    sock.setblocking(False)

    def flood(end):
        while time.monotonic() < end:
            try:
                if how == "pipe":
                    pipe.sock.send(b"status x\n" * 400)
                else:
                    below.tell("STATUS=x")
            except BlockingIOError:
                pause(0.0005)
    flood(time.monotonic() + 1)
    sent = time.monotonic()
    run.send("USR1")
    flood(sent + 0.05)
    run.line("got USR1")
    check(time.monotonic() - sent < 1, f"a signal takes {time.monotonic() - sent:.1f} s")
    kill(run.command)
    run.end("KILL")
    check(run.err.count("cannot notify") < 10, "the log is flooded")


SENDTO = {"x86_64": "44", "aarch64": "206"}.get(os.uname().machine)


def current_call(pid):
    """The system call that the process is in, as a number."""
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return None


@needs("plain")
def test_manager_that_is_slow_for_a_moment_misses_nothing():
    """READY is sent when its queue is full, and waits for the room that comes."""
    manager = Manager()
    fill(manager)
    run = launch("on TERM [ exit 3 ] say ready pause", "--ready", "after:300ms", env=manager.env)
    run.line("ready")
    until(lambda: current_call(run.pid) == SENDTO, "it waits for room", 5)
    manager.told("READY", "1")
    finish(run, manager)


def test_manager_that_is_gone_is_a_warning():
    run = launch(ENDS, "--ready", "exec", env={"NOTIFY_SOCKET": str(Path("none").absolute())})
    run.line("ready")
    run.log("cannot notify .*none")
    run.send("TERM")
    run.end(3)
    equal(run.err.count("cannot notify"), 1, "times it is said")


@cases("relative/path", "", "vsock:2:1234")
def test_socket_of_another_kind_is_no_manager_of_ours(name):
    run = launch("print env " + ENDS, env={"NOTIFY_SOCKET": name})
    run.line("ready")
    run.send("TERM")
    run.end(3)
    check(f"NOTIFY_SOCKET={name}" in run.environment(), "the command does not get it")


def test_name_that_is_too_long_is_a_warning():
    run = launch(ENDS, "--ready", "exec", env={"NOTIFY_SOCKET": "/" + 200 * "x"})
    run.line("ready")
    run.log("cannot notify")
    run.send("TERM")
    run.end(3)


# ---- the watchdog ----

def test_watchdog_is_fed_for_a_command_that_does_not_speak():
    manager = Manager()
    run = launch("print env " + ENDS, "--ready", "exec",
                 env={**manager.env, "WATCHDOG_USEC": "400000"})
    run.line("ready")
    manager.told("READY", "1")
    before = time.monotonic()
    for _ in range(3):
        equal(manager.message(), {"WATCHDOG": "1"}, "told")
    check(0.4 < time.monotonic() - before < 1.5, "at another pace")
    check(not any(entry.startswith("WATCHDOG") for entry in run.environment()), "it gets one, too")
    run.send("TERM")
    run.end(3)


def test_watchdog_is_the_commands_that_speaks():
    manager = Manager()
    run = launch("print env print pids " + ENDS, env={**manager.env, "WATCHDOG_USEC": "200000"})
    run.line("ready")
    entries = dict(entry.split("=", 1) for entry in run.environment())
    equal(entries["WATCHDOG_USEC"], "200000", "the time")
    equal(entries["WATCHDOG_PID"], str(run.command), "the process")
    manager.silent(0.5)
    Below(run).tell("WATCHDOG=1")
    equal(manager.message(), {"WATCHDOG": "1"}, "its ping")
    manager.silent(0.3)
    finish(run, manager)


def test_watchdog_that_is_triggered_goes_up_and_is_a_failure():
    manager = Manager()
    run = launch("print env " + ENDS, env=manager.env)
    run.line("ready")
    Below(run).tell("WATCHDOG=trigger")
    manager.told("WATCHDOG", "trigger")
    run.end(1)


@cases(mine=True, others=False)
def test_watchdog_pid_says_whose_it_is(mine):
    manager = Manager()
    env = dict(manager.env, WATCHDOG_USEC="200000")
    pid = "$$" if mine else "1"
    run = shell(f"export WATCHDOG_PID={pid}; exec $AIORUN --ready exec -- $VICTIM {ENDS}"
                .replace("[", "'['").replace("]", "']'"), env=env)
    run.line("ready")
    manager.told("READY", "1")
    if mine:
        manager.told("WATCHDOG", "1")
    else:
        manager.silent(0.5)
    run.send("TERM")
    run.end(3)


@cases("0", "x", "-5", "")
def test_watchdog_time_that_is_none_is_no_watchdog(usec):
    manager = Manager()
    run = launch(ENDS, "--ready", "exec", env={**manager.env, "WATCHDOG_USEC": usec})
    run.line("ready")
    manager.told("READY", "1")
    manager.silent(0.3)
    finish(run, manager)


# ---- what the command is given ----

def test_notify_socket_of_the_command_is_its_own():
    manager = Manager()
    run = launch("print env " + ENDS, env=manager.env)
    run.line("ready")
    entries = [entry for entry in run.environment() if entry.startswith("NOTIFY_SOCKET=")]
    equal(len(entries), 1, "how many it has")
    check(manager.name not in entries[0], "it speaks past us")
    run.send("TERM")
    run.end(3)


def test_notify_socket_is_not_set_where_nobody_asked():
    run = launch("print env", "--ready", "exec")
    run.end(0)
    check(not any(entry.startswith("NOTIFY_SOCKET") for entry in run.environment()), "it is set")


def test_notify_socket_is_closed_with_its_run():
    manager = Manager()
    run = launch("on TERM [ exit 0 ] on USR1 [ exit 1 ] say ready pause", "--ready", "notify",
                 "--restart", "always", "--restart-delay", "1h..1h", env=manager.env)
    run.line("ready")
    below = Below(run)
    below.tell("READY=1")
    manager.told("READY", "1")
    run.send("USR1")
    until(lambda: not children(run.pid), "the run is over")

    def refused():
        try:
            below.tell("STATUS=x")
        except ConnectionRefusedError:
            return True
        return False
    until(refused, "its socket is closed")
    run.send("TERM")
    run.end(0, 1)


def listener():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_listening_sockets_are_passed_on_with_their_pid():
    sock = listener()
    os.set_inheritable(sock.fileno(), True)
    run = Run(["bash", "-c", f"exec 3<&{sock.fileno()}; export LISTEN_FDS=1 LISTEN_FDNAMES=web"
               f" LISTEN_PID=$$; exec {BINARY} -- {VICTIM} print env print fds say ready pause"],
              wrapped=True, fds=(sock.fileno(),))
    run.line("ready")
    entries = [entry for entry in run.environment() if entry.startswith("LISTEN_")]
    equal(sorted(entries), ["LISTEN_FDNAMES=web", "LISTEN_FDS=1", f"LISTEN_PID={run.command}"],
          "variables")
    inode = os.fstat(sock.fileno()).st_ino
    check(f"fd 3 socket:[{inode}]" in run.out, "the socket is not there")
    run.send("TERM")
    run.end("TERM")


def test_listening_sockets_of_others_are_left_alone():
    run = launch("print env", env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    run.end(0)
    check({"LISTEN_FDS=1", "LISTEN_PID=1"} <= set(run.environment()), "they are changed")
