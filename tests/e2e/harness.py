"""What the end-to-end tests share: start aiorun, wait for what it does, and find what it leaves.

    def test_a_stop_is_clean():
        run = aiorun("--timeout", "5s", "--", *victim("on TERM [ exit 3 ] say ready pause"))
        run.line("ready")
        run.send("TERM")
        run.end(3)

Every test runs in a process of its own that is a child subreaper and a session leader without a
terminal (run.py sees to that).  So whatever aiorun leaves behind, alive or a zombie, becomes a
child of the test; `Run.end` fails when there is one.  Nothing here sleeps to let something happen: waits
end on an event (a line, an end of file, the end of a process) or poll a condition, and always have
a deadline.
"""
import ctypes
import functools
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("AIORUN_BINARY", str(ROOT / "build" / "aiorun"))
VICTIM = str(ROOT / "build" / "e2e" / "victim")
PATIENCE = float(os.environ.get("AIORUN_TEST_PATIENCE", "1"))  # > 1 under valgrind and the like
LONG = os.environ.get("AIORUN_TEST_LONG") == "1"
MODE = os.environ.get("AIORUN_TEST_MODE", "plain")  # or "sanitized", or "valgrind"

# What the control pipe adds to a command's environment; the only exceptions to transparency.
CONTROL_VARIABLES = {"AIORUN_CONTROL_FD", "AIORUN_CONTROL_ID", "AIORUN_PROTOCOL", "AIORUN_WORKER",
                     "AIORUN_INSTANCE", "AIORUN_PID"}

libc = ctypes.CDLL(None, use_errno=True)


class Failure(AssertionError):
    pass


class Skip(Exception):
    pass


# ---- what a test says about itself ----

def cases(*rows, **named):
    """Run the test once per row: cases("a", "b"), cases((1, 2), (3, 4)), cases(name=(1, 2))."""
    table = {str(row[0] if isinstance(row, tuple) else row): row for row in rows} | named
    assert len(table) == len(rows) + len(named), "two cases of the same name"

    def mark(function):
        function.cases = {name: row if isinstance(row, tuple) else (row,)
                          for name, row in table.items()}
        return function
    return mark


def deadline(seconds):
    """The test may take this long (default: 30 s)."""
    def mark(function):
        function.deadline = seconds
        return function
    return mark


def needs(*what):
    """Skip the test where something is not to be had: "root", a program's name, "plain": a binary
    without a sanitizer and not under valgrind, or "vfork", which valgrind makes a fork."""
    def mark(function):
        @functools.wraps(function)
        def wrapper(*args):
            for name in what:
                if not has(name):
                    raise Skip(f"needs {name}")
            return function(*args)
        return wrapper
    return mark


def has(name):
    if name == "root":
        return os.geteuid() == 0
    if name == "plain":
        return MODE == "plain"
    if name == "vfork":
        return MODE != "valgrind"
    return shutil.which(name) is not None


def check(claim, sentence):
    if not claim:
        raise Failure(sentence)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: {got!r}, not {wanted!r}")


# ---- waiting ----

def until(condition, what, timeout=10.0):
    """Poll `condition` until it is true, and return what it returned."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failure(f"waited {timeout:g} s in vain until {what}")
        time.sleep(0.005)


def pause(seconds):
    """For stimuli that are about time (a repeat 50 ms later), never to wait for something."""
    time.sleep(seconds)


# ---- processes ----

def sig(name):
    """A signal's number: "TERM", "RTMIN+3"."""
    base, _, offset = name.partition("+")
    return int(signal.Signals["SIG" + base]) + int(offset or 0)


def stat(pid):
    """Fields of /proc/PID/stat, from the state on; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def state(pid):
    fields = stat(pid)
    return fields[0] if fields else None


def alive(pid):
    return state(pid) not in (None, "Z", "X")


def command_line(pid):
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return "?"
    return shlex.join(word.decode(errors="replace") for word in words)[:200]


def status_field(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return None


def signals_in(mask):
    """The signals' names in a mask as /proc/PID/status shows it."""
    bits = int(mask, 16)
    return {signal.Signals(n).name[3:] if n in set(signal.Signals) else f"RTMIN+{n - 34}"
            for n in range(1, 65) if bits >> (n - 1) & 1}


def children(pid):
    """PIDs of all children, zombies too."""
    result = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            words = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            result += [int(word) for word in words]
    except OSError:
        pass
    return result


def descendants(pid):
    result = []
    for child in children(pid):
        result += [child] + descendants(child)
    return result


def escaped(text):
    """As the victim prints arguments and environment."""
    data = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    return "".join(chr(c) if 32 <= c < 127 and c != 92 else f"\\x{c:02x}" for c in data)


def kill(pid, name="KILL"):
    try:
        os.kill(pid, sig(name))
    except ProcessLookupError:
        pass


def sigqueue(pid, name, value):
    if libc.sigqueue(pid, sig(name), ctypes.c_void_p(value)) != 0:
        raise OSError(ctypes.get_errno(), "sigqueue")


def expect_gone(*pids, timeout=5):
    for pid in pids:
        until(lambda: not alive(pid), f"process {pid} is gone", timeout)


def put_down(*pids):
    """Kill what a test expected to be left, so that it does not count as left behind."""
    for pid in pids:
        kill(pid)
        os.waitpid(pid, 0)  # it had become our child


PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


# ---- running something ----

class Run:
    """A process started by a test, with its output and its end."""

    all = []  # of this test

    def __init__(self, argv, *, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=None,
                 cwd=None, fds=(), before=None, group=None, wrapped=False, only_env=None):
        """`env` is added to ours, `only_env` replaces it; `before` runs in the child before exec;
        `fds` stay open; `group` 0 makes a process group; `wrapped` says that argv[0] starts aiorun
        and is not it."""
        self.argv = [os.fspath(word) if not isinstance(word, bytes) else word for word in argv]
        self.wrapped = wrapped
        self.started = time.monotonic()
        self.streams = {}
        ends = {}
        for name, given in ("out", stdout), ("err", stderr):
            if given is None:
                reading, ends[name] = os.pipe()
                os.set_blocking(reading, False)
                self.streams[name] = Stream(reading)
            else:
                ends[name] = given
        try:
            self.process = subprocess.Popen(
                self.argv, stdin=stdin, stdout=ends["out"], stderr=ends["err"], cwd=cwd,
                pass_fds=fds, preexec_fn=before, process_group=group,
                env=only_env if only_env is not None else {**os.environ, **(env or {})})
        finally:
            for name in self.streams:
                os.close(ends[name])
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self.status = None  # as Popen.returncode: minus the signal
        self.left = []      # processes left behind at our end
        Run.all.append(self)

    def __str__(self):
        return " ".join(shlex.quote(w if isinstance(w, str) else repr(w)) for w in self.argv)

    def transcript(self):
        lines = [f"$ {self}", f"  status {self.status}, {len(self.left)} left"]
        for name, stream in self.streams.items():
            text = stream.data.decode(errors="backslashreplace")
            lines += [f"  {name}| {line}" for line in text.splitlines()[-25:]]
        return "\n".join(line[:200] for line in lines)

    # -- what it prints --

    @property
    def out(self):
        return self.streams["out"].data.decode(errors="surrogateescape")

    @property
    def err(self):
        return self.streams["err"].data.decode(errors="surrogateescape")

    def pump(self, end, *more):
        """Read what there is; wait for something to happen, at most until `end`."""
        poll = select.poll()
        for stream in self.streams.values():
            if not stream.ended:
                poll.register(stream.fd, select.POLLIN)
        for fd in more:
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0, (end - time.monotonic()) * 1000))}
        for stream in self.streams.values():
            if stream.fd in ready:
                stream.read()
        return ready

    def line(self, pattern, timeout=10, stream="out"):
        """Wait for the next line that matches; the lines before it are passed over."""
        stream = self.streams[stream]
        end = time.monotonic() + timeout * PATIENCE
        while True:
            while (line := stream.next_line()) is not None:
                if match := re.search(pattern, line):
                    return match
            if stream.ended:
                raise Failure(f"no line like {pattern!r}: end of output")
            if time.monotonic() > end:
                raise Failure(f"no line like {pattern!r} in {timeout} s")
            self.pump(end)

    def lines(self, *patterns, timeout=10):
        """Wait for a line like each of these, in any order."""
        missing = list(patterns)
        while missing:
            line = self.line("|".join(missing), timeout).string
            missing = [pattern for pattern in missing if not re.search(pattern, line)]

    def log(self, pattern, timeout=10):
        return self.line(pattern, timeout, "err")

    def pids(self):
        """Of the next `print pids`: pid, ppid, pgid, sid."""
        match = self.line(r"pids pid=(\d+) ppid=(\d+) pgid=(\d+) sid=(\d+)")
        return dict(zip(("pid", "ppid", "pgid", "sid"), map(int, match.groups())))

    def environment(self):
        """The entries that `print env` printed, without what the control pipe adds."""
        entries = [line[4:] for line in self.out.splitlines() if line.startswith("env ")]
        return [entry for entry in entries if entry.split("=")[0] not in CONTROL_VARIABLES]

    def eof(self, name="out", timeout=10):
        """Wait for the end of its output, which may come before its own end."""
        end = time.monotonic() + timeout * PATIENCE
        while not self.streams[name].ended:
            check(time.monotonic() < end, f"{name} is still open after {timeout} s")
            self.pump(end)

    # -- what is done to it --

    @property
    def subject(self):
        """The PID of aiorun itself, also when something else started it."""
        if not self.wrapped:
            return self.pid
        wanted = os.path.realpath(BINARY)

        def find():
            for pid in [self.pid] + descendants(self.pid):
                try:
                    exe = os.readlink(f"/proc/{pid}/exe")
                except OSError:
                    continue
                if exe == wanted or MODE == "valgrind" and "/valgrind/" in exe:
                    return pid
            return None
        return until(find, "aiorun runs")

    @property
    def command(self):
        """The PID of aiorun's only child."""
        return until(lambda: children(self.subject), "there is a command")[0]

    def send(self, name):
        os.kill(self.subject, sig(name))

    # -- its end --

    def ended(self):
        if self.status is not None:
            return True
        poll = select.poll()  # select(2) knows 1,024 descriptors only
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(0):
            return False
        self.status = self.process.wait()
        self.duration = time.monotonic() - self.started
        known = {run.pid for run in Run.all}
        self.left = [pid for pid in children(os.getpid()) if pid not in known]
        for stream in self.streams.values():
            stream.read()
        return True

    def wait(self, timeout=20):
        end = time.monotonic() + timeout * PATIENCE
        while not self.ended():
            check(time.monotonic() < end, f"{self} still runs after {timeout} s")
            self.pump(end, self.pidfd)
        return self.status

    def end(self, *statuses, left=0, timeout=20):
        """Wait for the end; `statuses` are what is right: numbers, or names of signals.  `left`
        says how many processes it shall leave behind; returns their PIDs."""
        self.wait(timeout)
        wanted = [-sig(s) if isinstance(s, str) else s for s in statuses]
        if wanted and self.status not in wanted:
            raise Failure(f"status {self.status}, not {' or '.join(map(str, wanted))}")
        if len(self.left) != left:
            what = "; ".join(f"{pid} ({state(pid)}) {command_line(pid)}" for pid in self.left)
            raise Failure(f"{len(self.left)} processes left behind, not {left}: {what}")
        return self.left

    def seconds(self, function, *args, **named):
        """How long the process runs on after we called `function`."""
        start = time.monotonic()
        function(*args, **named)
        self.wait()
        return time.monotonic() - start


class Stream:
    def __init__(self, fd):
        self.fd, self.data, self.taken, self.ended = fd, b"", 0, False

    def read(self):
        try:
            while not self.ended:
                data = os.read(self.fd, 1 << 16)
                self.data += data
                self.ended = not data
        except BlockingIOError:
            pass

    def next_line(self):
        newline = self.data.find(b"\n", self.taken)
        if newline < 0:
            return None
        line = self.data[self.taken:newline]
        self.taken = newline + 1
        return line.decode(errors="surrogateescape")


def victim(script):
    """The argv of a victim that runs `script`."""
    return [VICTIM, *shlex.split(script)]


def aiorun(*args, **how):
    """Start aiorun with these arguments; see Run for `how`."""
    return Run([BINARY, *args], **how)


def launch(script, *options, **how):
    """Start `aiorun OPTIONS -- victim SCRIPT`."""
    return aiorun(*options, "--", *victim(script), **how)


def wrapped(wrapper, *args, **how):
    """Start aiorun through the command `wrapper`."""
    return Run([*wrapper, BINARY, *args], wrapped=True, **how)


def shell(script, *args, **how):
    """Start a shell script in which $AIORUN and $VICTIM are the programs."""
    how["env"] = {"AIORUN": BINARY, "VICTIM": VICTIM, **how.get("env", {})}
    return Run(["/bin/sh", "-c", script, "sh", *args], wrapped=True, **how)


def pid1(*args, **how):
    """Start aiorun as PID 1 of a PID namespace of its own; its status is unshare's."""
    return wrapped(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"], *args, **how)


def strace(log, *args, options=(), **how):
    """Start aiorun alone under strace, which writes to `log` and mirrors the status."""
    if MODE == "sanitized":  # its search for leaks does not work under ptrace(2)
        how["env"] = {"ASAN_OPTIONS": "detect_leaks=0", **how.get("env", {})}
    return wrapped(["strace", "-qq", "-o", log, *options], *args, **how)


def runc(*args, **how):
    """Start aiorun as the process of a container made by runc, on the files of this system."""
    bundle = Path("bundle").absolute()
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
              {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}]
    places = ["/usr", "/bin", "/lib", "/lib64", "/etc", str(ROOT / "build")]
    for path in dict.fromkeys(places + [os.path.dirname(BINARY)]):
        if os.path.exists(path):
            mounts.append({"destination": path, "type": "bind", "source": os.path.realpath(path),
                           "options": ["rbind", "ro"]})
    capabilities = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "args": [BINARY, *args], "cwd": "/", "user": {"uid": 0, "gid": 0},
            "env": ["PATH=/usr/bin:/bin"],
            "capabilities": {kind: capabilities for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }
    (bundle / "rootfs").mkdir(parents=True, exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"aiorun-test-{os.getpid()}-{len(Run.all)}"
    return Run(["runc", "--root", bundle.parent / "runc", "run", "--bundle", bundle, name],
               wrapped=True, **how)


def pty():
    """A new pseudo-terminal: (master, slave)."""
    return os.openpty()


def free_port():
    """A loopback port that was free just now."""
    import socket
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill_pipe():
    """A pipe that is full: (reading end, writing end, the writing end's flags)."""
    import fcntl
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return reading, writing, fcntl.fcntl(writing, fcntl.F_GETFL)


def build_victim():
    """Compile victim.c when it is newer than the program."""
    source = Path(__file__).with_name("victim.c")
    target = Path(VICTIM)
    if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(f".{os.getpid()}")
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-O2", "-g", "-o", new,
                    source], check=True)
    new.rename(target)


def sweep(spare=()):
    """Kill and reap our children but `spare`, and their descendants; returns what was alive."""
    found = []
    while roots := [pid for pid in children(os.getpid()) if pid not in spare]:
        for pid in [pid for root in roots for pid in [root, *descendants(root)]]:
            if alive(pid):
                line = f"{pid} {command_line(pid)}"
                if line not in found:
                    found.append(line)
                kill(pid)
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        time.sleep(0.002)
    return found


def main_of_test(function, args):
    """Run one test in this process; returns (verdict, one line, details)."""
    import traceback
    message, details = "", ""
    # Supervisors of other tests, whose admin sockets are elsewhere then, are not found by ours.
    os.environ["XDG_RUNTIME_DIR"] = os.getcwd()
    try:
        function(*args)
        verdict = "pass"
    except Skip as skip:
        verdict, message = "skip", str(skip)
    except BaseException as error:
        verdict = "fail"
        frames = [f for f in traceback.extract_tb(error.__traceback__)
                  if Path(f.filename).name.startswith("test_")]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""
        kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
        message = where + kind + (str(error).splitlines() or [""])[0]
        if not isinstance(error, Failure):
            details = traceback.format_exc()
    if verdict == "fail":
        details += "\n".join(run.transcript() for run in Run.all[-3:])
    found = sweep()
    for log in Path().glob("valgrind.*"):
        if verdict == "pass" and log.stat().st_size:
            verdict, message, details = "fail", "valgrind has something to say", log.read_text()
    if found and verdict == "pass":
        verdict, message = "fail", "left running at the end of the test: " + "; ".join(found)
        details = "\n".join(run.transcript() for run in Run.all[-3:])
    return verdict, message[:500], details[-20000:]
