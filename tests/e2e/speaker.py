"""A program's side of the control pipe, for tests of the supervisor's.

    run = launch("say ready pause")
    pipe = pipe_of(run)                 # the command's own end: who holds it speaks for the run
    pipe.say("shield upload 20")
    channel = pipe.attach()             # a private channel, where every line is answered
    equal(channel.ask("status hello"), "ok", "the answer")

The test takes a copy of the descriptor out of the command (pidfd_getfd(2)), so that the command is
any program, and the test says what it says.
"""
import array
import ctypes
import os
import select
import socket
import time
from pathlib import Path

from harness import PATIENCE, Failure, Skip, check, equal, libc, until

SYS_pidfd_getfd = 438


def take_descriptor(pid, fd):
    """A copy of another process's descriptor."""
    pidfd = os.pidfd_open(pid)
    try:
        copy = libc.syscall(SYS_pidfd_getfd, pidfd, fd, 0)
    finally:
        os.close(pidfd)
    if copy < 0:
        error = ctypes.get_errno()
        if error in (1, 38):  # EPERM, ENOSYS
            raise Skip("needs pidfd_getfd")
        raise OSError(error, os.strerror(error))
    return copy


def environment_of(pid):
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if b"=" in entry)


def descriptors(pid):
    """What the process has open, by number."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            pass
    return found


class Speaker:
    """One end of a stream of lines."""

    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def send(self, data, fds=()):
        """Bytes as they are, with descriptors."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([data], rights)

    def say(self, *lines, fds=()):
        self.send("".join(line + "\n" for line in lines).encode(), fds)

    def line(self, timeout=10):
        end = time.monotonic() + timeout * PATIENCE
        while b"\n" not in self.data:
            check(select.select([self.sock], [], [], max(0, end - time.monotonic()))[0],
                  "nothing is said")
            data = self.sock.recv(65536)
            check(data, "the other end was closed")
            self.data += data
        text, _, self.data = self.data.partition(b"\n")
        return text.decode()

    def ask(self, line, fds=(), timeout=10):
        """Say it and return the answer."""
        self.say(line, fds=fds)
        return self.line(timeout)

    def eof(self, timeout=10):
        """Wait until the other end is closed; returns what was said last."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            check(select.select([self.sock], [], [], max(0, end - time.monotonic()))[0],
                  "the other end is not closed")
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return self.data.decode()
            self.data += data

    def attach(self):
        """A private channel, over the inherited pipe."""
        ours, theirs = socket.socketpair()
        self.say("attach", fds=[theirs.fileno()])
        theirs.close()
        channel = Speaker(ours)
        equal(channel.line(), "ok 1", "the welcome")
        return channel

    def seen(self):
        """Wait until everything that was said so far was read."""
        self.attach().close()

    def refused_channel(self, fd):
        """Attach a descriptor that is none to attach; it stays ours."""
        self.say("attach", fds=[fd])

    def close(self):
        self.sock.close()


def pipe_of(run, pid=None):
    """The control pipe of aiorun's command, or of the process `pid`."""
    pid = run.command if pid is None else pid
    # Between vfork and exec the environment is aiorun's own.
    until(lambda: environment_of(pid).get("AIORUN_PID") == str(run.subject), "the command runs")
    variables = environment_of(pid)
    return Speaker(socket.socket(fileno=take_descriptor(pid, int(variables["AIORUN_CONTROL_FD"]))))


def memfd(data):
    fd = os.memfd_create("request", os.MFD_CLOEXEC)
    os.write(fd, data)
    return fd


def request(argv, env=None, cwd=None):
    """What `submit` wants as its first descriptor."""
    words = [cwd or os.getcwd(), str(len(argv)), *argv]
    words += [f"{name}={value}" for name, value in (os.environ if env is None else env).items()]
    return memfd(b"".join(os.fsencode(word) + b"\0" for word in words))


class Output:
    """Where a submitted job writes; the test reads."""

    def __init__(self):
        self.reading, self.writing = os.pipe()
        self.data = b""

    def close_writing(self):
        os.close(self.writing)

    def until(self, text, timeout=10):
        end = time.monotonic() + timeout * PATIENCE
        while text.encode() not in self.data:
            if not select.select([self.reading], [], [], max(0, end - time.monotonic()))[0]:
                raise Failure(f"no {text!r} in {self.data!r}")
            data = os.read(self.reading, 65536)
            check(data, f"end of output before {text!r}: {self.data!r}")
            self.data += data

    def rest(self, timeout=10):
        """Everything, to the end."""
        end = time.monotonic() + timeout * PATIENCE
        while True:
            if not select.select([self.reading], [], [], max(0, end - time.monotonic()))[0]:
                raise Failure(f"no end of output: {self.data!r}")
            data = os.read(self.reading, 65536)
            if not data:
                return self.data.decode()
            self.data += data


def submit(channel, argv, *, name="job", wait=False, stdin=None, stdout=None, stderr=None, **how):
    """Submit a command; returns the answer."""
    null = os.open("/dev/null", os.O_RDWR)
    req = request(argv, **how)
    streams = [null if stream is None else stream for stream in (stdin, stdout, stderr)]
    try:
        return channel.ask(f"submit {name}" + (" wait" if wait else ""), fds=[req, *streams])
    finally:
        os.close(req)
        os.close(null)


def join(channel, pid, name="job", seconds=None):
    """Have a process shielded; returns the answer."""
    pidfd = os.pidfd_open(pid)
    try:
        return channel.ask(f"job {name}" + ("" if seconds is None else f" {seconds}"), fds=[pidfd])
    finally:
        os.close(pidfd)
