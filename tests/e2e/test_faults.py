"""Any single system call of aiorun's may fail: it ends, truthfully, and leaves nothing.

The n-th call of a kind fails, for n = 1, 2, ... until none is hit.  Of calls that come by the
hundred, since they look at every process of a busy machine, the later ones are sampled.  Calls of
the dynamic linker, before the program's own first instruction, are left out.
"""
import fcntl
import itertools
import json
import mmap
import os
import re
import resource
import shlex
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

from harness import (BINARY, MODE, Skip, aiorun, cases, check, deadline, equal, needs, put_down,
                     strace, until, victim)

FAULTS = [  # system call, error
    ("mmap", "ENOMEM"), ("openat", "EMFILE"), ("openat", "ENOENT"),
    ("rt_sigtimedwait", "EINTR"), ("read", "EINTR"), ("read", "EIO"), ("close", "EINTR"),
    ("close", "EIO"), ("write", "EAGAIN"),
    ("write", "EPIPE"), ("epoll_create1", "EMFILE"), ("epoll_ctl", "ENOMEM"),
    ("epoll_wait", "EINTR"),
    ("epoll_pwait", "EINTR"), ("epoll_pwait2", "ENOSYS"), ("poll", "EINTR"), ("ppoll", "EINTR"),
    ("signalfd4", "EMFILE"), ("timerfd_create", "EMFILE"), ("timerfd_settime", "EINVAL"),
    ("eventfd2", "EMFILE"), ("pipe2", "EMFILE"), ("socketpair", "EMFILE"), ("dup3", "EMFILE"),
    ("fcntl", "EMFILE"), ("prctl", "EINVAL"), ("vfork", "EAGAIN"), ("clone", "EAGAIN"),
    ("clone3", "ENOSYS"), ("fork", "EAGAIN"), ("wait4", "EINTR"), ("waitid", "EINTR"),
    ("rt_sigaction", "EINVAL"), ("prlimit64", "EPERM"),
    ("pidfd_open", "ENOSYS"), ("pidfd_open", "EMFILE"), ("pidfd_send_signal", "ENOSYS"),
    ("getdents64", "EIO"), ("newfstatat", "EACCES"), ("fstat", "EIO"), ("lseek", "EINVAL"),
    ("kill", "ESRCH"), ("rt_sigqueueinfo", "EPERM"), ("ioctl", "ENOTTY"), ("getrandom", "ENOSYS"),
    ("clock_gettime", "EINVAL"), ("sysinfo", "EPERM"), ("inotify_init1", "EMFILE"),
    ("setsid", "EPERM"), ("setpgid", "EPERM"), ("sched_getaffinity", "EPERM"),
]


SPOKEN = [  # where the control pipe and sd_notify(3) are used
    ("socketpair", "EMFILE"), ("socket", "EMFILE"), ("fstat", "EIO"), ("newfstatat", "EIO"),
    ("bind", "ENOMEM"), ("getsockname", "ENOBUFS"), ("setsockopt", "ENOMEM"),
    ("getsockopt", "ENOTSOCK"), ("recvmsg", "EINTR"), ("recvmsg", "ENOMEM"),
    ("recvmsg", "ECONNRESET"), ("sendto", "EAGAIN"), ("sendto", "EPIPE"), ("sendto", "ENOMEM"),
    ("pread64", "EIO"), ("fcntl", "EMFILE"), ("openat", "EMFILE"), ("read", "EIO"),
    ("mmap", "ENOMEM"), ("epoll_ctl", "ENOMEM"), ("vfork", "EAGAIN"), ("waitid", "EINTR"), ("waitid", "ECHILD"), ("pidfd_send_signal", "ESRCH"),
    ("pipe2", "EMFILE"), ("close", "EIO"), ("sendmsg", "ENOMEM"),
]


def own_calls(trace, call):
    """How often the dynamic linker made this call, and how often the program did."""
    lines = Path(trace).read_text().splitlines()
    first = 0
    for n, line in enumerate(lines):  # the linker ends by forgetting its cache
        if line.startswith("munmap(") and "ld.so.cache" in "".join(lines[:n]):
            first = n + 1
            break

    def count(part):
        return sum(line.startswith(call + "(") for line in part)
    return count(lines[:first]), count(lines[first:])


def numbers(before, count):
    """Which calls fail: the first ones, and then as many more from all over the rest."""
    many = 8 if MODE == "sanitized" else 24  # a sanitizer's start takes its time
    yield from range(before + 1, before + many + 1)
    yield from itertools.count(before + many + 1, max(1, count // many))


def each_failure(call, error, script, act, statuses, options=("--timeout", "2s", "--"), **how):
    """Run with the n-th call failing, for every n; `script` is a victim's, or a command."""
    if MODE == "sanitized" and call in ("mmap", "rt_sigaction", "prlimit64"):
        raise Skip("the sanitizer makes this call for itself, and does not survive its failure")
    command = victim(script) if isinstance(script, str) else script
    options = (*options, *command)
    run = strace("plain", *options, **how)
    act(run)
    run.end(*statuses)
    before, count = own_calls("plain", call)
    for n in numbers(before, count):
        run = strace("trace", *options, options=("-e", f"inject={call}:error={error}:when={n}"),
                     **how)
        act(run)
        run.wait()
        hit = "(INJECTED)" in Path("trace").read_text()
        adopts = "cannot adopt orphans" not in run.err
        try:
            run.end(*statuses, *((125, 0) if hit else ()), left=0 if adopts else len(run.left))
            put_down(*run.left)
            if run.status == 125:
                check("aiorun: " in run.err or call == "write", "no sentence")
        except AssertionError as failure:
            failure.args = (f"{call} number {n} ({n - before} of our {count}): {failure}",)
            raise
        if not hit:
            return
        check(n - before < 3 * count + 50, "it never ends")


@needs("strace")
@deadline(180)
@cases(**{f"{call}-{error}": (call, error) for call, error in FAULTS})
def test_a_failing_call_at_a_plain_end(call, error):
    each_failure(call, error, "orphan 1 [ pause ] exit 7", lambda run: None, (7,))


@needs("strace")
@deadline(240)
@cases(**{f"{call}-{error}": (call, error) for call, error in FAULTS})
def test_a_failing_call_at_a_stop(call, error):
    """The stop may take up to the cap, and may have to kill."""
    def stop(run):
        def settled():
            run.pump(time.monotonic() + 0.01, run.pidfd)
            return run.ended() or "ready" in run.out
        until(settled, "it runs or ends")
        if not run.ended():
            run.send("TERM")
    script = "orphan 1 [ on TERM [ exit 0 ] pause ] on TERM [ exit 5 ] say ready pause"
    each_failure(call, error, script, stop, (5, "KILL", "TERM"))


@needs("strace")
@deadline(240)
@cases(**{f"{call}-{error}": (call, error) for call, error in SPOKEN})
def test_a_failing_call_while_the_run_speaks(call, error):
    """A word may be lost, and a job may fail; nobody is kept waiting for an answer."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind("notify")
    manager.setblocking(False)
    text = ("trap '' PIPE; echo 'shield a' >&9; echo 'status x' >&9; echo 'unshield a' >&9;"
            " $AIORUN submit --wait -- true; $AIORUN shield -- true; exit 5")

    def hear(run):
        try:
            while True:
                manager.recv(4096)
        except BlockingIOError:
            pass
    each_failure(call, error, ["/bin/sh", "-c", text], hear, (5,),
                 env={"AIORUN": BINARY, "NOTIFY_SOCKET": str(Path("notify").absolute())})


FLEET = [  # what a file's workers need beside their processes
    ("socket", "EMFILE"), ("bind", "EADDRINUSE"), ("listen", "EADDRINUSE"), ("pipe2", "EMFILE"),
    ("socketpair", "EMFILE"), ("openat", "EMFILE"), ("openat", "ENOMEM"), ("mmap", "ENOMEM"),
    ("fcntl", "EMFILE"), ("epoll_ctl", "ENOMEM"), ("accept4", "EMFILE"),
    ("accept4", "ECONNABORTED"), ("recvmsg", "ENOMEM"), ("recvmsg", "EINTR"),
    ("sendto", "EAGAIN"), ("sendto", "ENOMEM"), ("getsockopt", "ENOMEM"), ("read", "EINTR"),
    ("read", "EAGAIN"), ("pwritev2", "EAGAIN"), ("pwritev2", "EINTR"), ("pwritev2", "EOPNOTSUPP"),
    ("vfork", "EAGAIN"), ("unlink", "EPERM"), ("connect", "EAGAIN"), ("getdents64", "EIO"),
]

WORKERS = """[aiorun]
timeout = 5s
control = {place}/admin.sock
[worker:said]
command = {said}
restart-delay = 10ms..10ms
output = prefix
listen = unix:{place}/said.sock
[worker:logged]
command = {logged}
restart-delay = 10ms..10ms
output = pipe:cat
ready = {ready}
{user}
"""


def asked(*words):
    """A verb that has ended."""
    return subprocess.run([BINARY, words[0], "--control", "admin.sock", *words[1:]],
                          capture_output=True, text=True, timeout=5, check=False)


def answered(*words):
    """The output of a verb; None when it was not obeyed."""
    try:
        done = asked(*words)
    except subprocess.TimeoutExpired:
        # A change of what is watched needs no memory, and libev does not expect it to fail.
        check("EPOLL_CTL_MOD" in "".join(re.findall(".*INJECTED", Path("trace").read_text())),
              f"{words} has got no answer")
        return None
    return done.stdout if done.returncode == 0 else None


@needs("strace")
@deadline(400)
@cases(**{f"{call}-{error}": (call, error) for call, error in FLEET})
def test_a_failing_call_in_a_fleet(call, error):
    """It is refused as a whole, or all of it comes up; so it is with a new file: nobody is stopped
    for one that is refused then."""
    said, logged = (shlex.join(victim(f"on TERM [ exit 0 ] say {word} pause"))
                    for word in ("mine", "theirs"))
    how = {"said": said, "logged": logged, "place": Path.cwd(),
           "user": "user = root" if os.geteuid() == 0 else ""}
    old = WORKERS.format(ready="exec", **how)
    new = WORKERS.format(ready="exec:true", **how).replace("said.sock", "new.sock")
    Path("fleet.ini").write_text(old)

    def all_ready():
        text = answered("status", "--json")
        return text and all(w["state"] == "ready" for w in json.loads(text)["workers"])

    def come_and_go(run):
        def until_it(condition, what):
            def met():
                run.pump(time.monotonic() + 0.01, run.pidfd)
                return run.ended() or condition()
            until(met, what)
        def all_up(times):
            until_it(all_ready, "all are ready")
            until_it(lambda: run.out.count("| mine\n") >= times and
                     run.out.count("theirs\n") >= times, "all output has come")
        all_up(1)
        Path("fleet.ini").write_text(new)
        until_it(lambda: answered("reload") is not None, "the file is read anew")
        all_up(2)
        check("given up" not in run.err, f"refused too late:\n{run.err}")
        check("is no user" not in run.err, f"who is there was not found:\n{run.err}")
        Path("fleet.ini").write_text(old)  # for the next one
        if not run.ended():
            run.send("TERM")
    each_failure(call, error, [], come_and_go, (0,), options=("--config", "fleet.ini"))


FEW = """[aiorun]
control = {place}/admin.sock
[worker:same]
command = {calm}
instances = 2
health = true every 1h timeout 5s retries 1
[worker:asked]
command = {calm}
ready = exec:true
output = prefix
memory-max = 1G
[worker:changed]
command = {calm}
instances = {number}
env.NUMBER = {number}
env-file = {place}/variables
listen = unix:{place}/{number}.socket
limit.core = 0
success-status = 3
ready = tcp:127.0.0.1:{port}
output = pipe:cat
"""


MANY = """[aiorun]
control = {place}/admin.sock
{lines}
[worker:web]
command = {calm}
listen = unix:{place}/web.sock
output = prefix
[worker:many]
command = true
autostart = no
instances = 3000
"""


def few(calm, number, server):
    return FEW.format(place=Path.cwd(), calm=calm, number=number, port=server.getsockname()[1])


class Memory:
    """What a process has left, as scarce.c has it."""

    def __init__(self):
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "scarce.so",
                        Path(__file__).with_name("scarce.c")], check=True)
        Path("scarce").write_bytes(struct.pack("ii", -1, 0))
        self.environment = {"LD_PRELOAD": os.path.abspath("scarce.so"),
                            "SCARCE": os.path.abspath("scarce")}
        with open("scarce", "r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 8)

    def leave_to_next(self, number):
        """So many allocations, to the process that is begun next."""
        self.shared[:] = struct.pack("ii", number, 0)

    def is_about(self, pid):
        return struct.unpack("ii", self.shared[:])[1] == pid

    def leave(self, number):
        """So many allocations more; all (-1)."""
        self.shared[:4] = struct.pack("i", number)

    def is_used_up(self):
        return struct.unpack("i", self.shared[:4])[0] == 0


def unchanged(found):
    """By name, but for those whose part of the file is another one each time."""
    return {name: pid for name, pid in found.items() if not name.startswith("changed")}


@needs("plain", "cc")
@deadline(120)
def test_a_reload_without_memory_is_refused_and_everybody_is_still_supervised():
    """Wherever in it there is none any more."""
    memory, server = Memory(), socket.create_server(("127.0.0.1", 0))
    Path("variables").write_text("A=1\nB=2\n")
    calm = shlex.join(victim("on TERM [ exit 0 ] pause"))

    def write(number):
        Path("fleet.ini").write_text(few(calm, number, server))
        return "fleet.ini"

    def pids():
        found = {w["name"]: w["pid"] for w in json.loads(answered("status", "--json"))["workers"]}
        return found if all(found.values()) else None

    run = aiorun("--config", write(1), env=memory.environment)
    before = until(lambda: os.path.exists("admin.sock") and pids(), "all are up")
    if not memory.is_about(run.pid):
        raise Skip("needs a program that is dynamically linked")
    for number in itertools.count():
        write(2 + number % 2)
        memory.leave(number)
        refused = asked("reload").stderr
        done = refused == ""
        enough = not memory.is_used_up()
        check(done or re.search("[Mm]emory", refused), f"after {number} allocations: {refused}")
        memory.leave(-1)
        run.pump(time.monotonic())
        check(not run.ended(), f"it has ended after {number} allocations")
        after = until(pids, "all are up")
        equal(unchanged(after) if done else after, unchanged(before) if done else before,
              f"who is not changed, after {number} allocations")
        before = after
        if enough:
            break
    check(done, "with enough memory it is done")
    run.send("TERM")
    run.end(0)


def write_many(*lines):
    calm = shlex.join(victim("say up on TERM [ exit 0 ] pause"))
    Path("fleet.ini").write_text(MANY.format(place=Path.cwd(), calm=calm, lines="\n".join(lines)))


@needs("plain", "cc")
@deadline(120)
def test_a_start_without_memory_is_refused_and_leaves_no_socket():
    """Wherever in it: the tables are too large for what a program has from the beginning."""
    memory = Memory()

    def decided(run):
        run.pump(time.monotonic() + 0.01, run.pidfd)
        return run.ended() or "up\n" in run.out
    write_many()
    for number in itertools.count():
        memory.leave_to_next(number)
        run = aiorun("--config", "fleet.ini", env=memory.environment)
        until(lambda: decided(run), "it is up, or refused")
        if not run.ended():
            break
        run.end(125)
        check("aiorun: " in run.err, f"no sentence, after {number} allocations")
        equal(list(Path().glob("*.sock")), [], f"sockets left, after {number} allocations")
    if not memory.is_about(run.pid):
        raise Skip("needs a program that is dynamically linked")
    check(number > 30, f"{number} allocations are enough")
    memory.leave(-1)
    run.send("TERM")
    run.end(0)


def test_a_start_whose_report_cannot_be_written_leaves_no_socket():
    write_many("report = /nowhere/report")
    run = aiorun("--config", "fleet.ini")
    run.end(125)
    equal(list(Path().glob("*.sock")), [], "sockets left")


@deadline(120)
def test_a_reload_without_descriptors_is_refused_and_nobody_is_touched():
    """However few there are: pipes, sockets, and the file itself."""
    server = socket.create_server(("127.0.0.1", 0))
    Path("variables").write_text("A=1\n")
    calm = shlex.join(victim("on TERM [ exit 0 ] pause"))

    def write(number):
        Path("fleet.ini").write_text(few(calm, number, server) +
                                     f"[worker:logs{number}]\ncommand = {calm}\n"
                                     f"output = pipe:cat\nlisten = unix:{Path.cwd()}/{number}.sock\n")

    def found():
        return {w["name"]: (w["pid"], w["state"])
                for w in json.loads(answered("status", "--json"))["workers"]}

    def settled():
        now = found() if os.path.exists("admin.sock") else {}
        return now if all(state == "ready" for _, state in now.values()) else None

    def over(place):
        run.pump(time.monotonic() + 0.01, run.pidfd)
        return re.search("nothing has changed|given up|Reloaded", run.err[place:])

    write(1)
    run = aiorun("--config", "fleet.ini")
    before = until(settled, "all are up")
    _, most = resource.prlimit(run.pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir(f"/proc/{run.pid}/fd"))
    write(2)
    for refused in itertools.count():
        place = len(run.err)
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (refused, most))
        run.send("HUP")
        until(lambda: over(place), "it is over")
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (most, most))
        if "Reloaded" in run.err[place:]:
            break
        equal(found(), before, f"who is there, with {refused} descriptors")
        check(not os.path.exists("2.sock"), "the new socket was left behind")
        check(refused < highest + 20, "it is never done")
    check(refused > 4, "it was refused at some time")
    until(lambda: settled() and "logs2" in settled(), "the new ones are up")
    run.send("TERM")
    run.end(0)


@needs("strace")
@deadline(240)
@cases(**{f"{call}-{error}": (call, error) for call, error in [
    ("epoll_ctl", "ENOMEM"), ("pwritev2", "EINTR"), ("pwritev2", "EAGAIN"), ("read", "EINTR"),
    ("read", "EAGAIN"), ("pipe2", "EMFILE")]})
def test_a_failing_call_while_output_waits(call, error):
    """Whoever reads ours is slow, and gets all of it."""
    lines = 20000
    Path("fleet.ini").write_text("[worker:web]\noutput = prefix\nrestart-delay = 10ms..10ms\n"
                                 f"command = sh -c 'yes | head -n {lines}; exec sleep 1000'\n")

    def read_late(run):
        def full():
            waiting = fcntl.ioctl(run.streams["out"].fd, termios.FIONREAD, bytes(4))
            return run.ended() or int.from_bytes(waiting, "little") > 60000

        def all_there():
            run.pump(time.monotonic() + 0.01, run.pidfd)
            return run.ended() or run.out.count("| y\n") >= lines
        until(full, "it has to wait")
        until(all_there, "all of it has come")
        if not run.ended():
            run.send("TERM")
    each_failure(call, error, [], read_late, (0,), options=("--config", "fleet.ini"))
