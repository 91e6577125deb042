"""A terminal of its own for a test: a pseudo-terminal, and an interactive shell on it.

    sh = Shell("bash")
    sh.type("aiorun -- victim say ready pause\\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    sh.leave()

`aiorun` and `victim` are found in the shell's PATH.  The prompt tells the status of the last
command.  The terminal does not echo, so that what a test types is not taken for an answer, and
Ctrl-C does not flush it (which is a race with what the command says to that); `echo` and `flush`
bring these habits back.
"""
import errno
import fcntl
import os
import re
import struct
import termios
import time
from pathlib import Path

from harness import BINARY, PATIENCE, VICTIM, Failure, Run, Stream, check, state, until

PROMPT = r"<status (\d+)> "
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "--noediting", "-i"],
    "dash": ["dash", "-i"],
}


class Screen(Stream):
    """What a terminal shows; it has ended when nobody has it open any more."""

    def read(self):
        try:
            super().read()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.ended = True

    def next_line(self):
        line = super().next_line()
        return line if line is None else line.rstrip("\r")


def tools():
    """A directory with `aiorun` and `victim`, for PATH."""
    directory = Path("bin").absolute()
    directory.mkdir(exist_ok=True)
    for name, target in ("aiorun", BINARY), ("victim", VICTIM):
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(target)
    return directory


class Terminal(Run):
    """A process that leads a session on a terminal of its own."""

    def __init__(self, argv, *, env=None, echo=False, flush=False, wrapped=True, fds=(),
                 **how):
        self.master, self.slave = os.openpty()
        os.set_blocking(self.master, False)
        settings = termios.tcgetattr(self.slave)
        if not echo:
            settings[3] &= ~termios.ECHO
        if not flush:
            settings[3] |= termios.NOFLSH
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)
        self.resize(24, 80)
        slave = self.slave

        def lead():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        env = {"HOME": os.getcwd(), "TERM": "xterm", "PS1": "<status $?> ", "HISTFILE": "",
               "PATH": f"{tools()}:{os.environ['PATH']}", **(env or {})}
        super().__init__(argv, stdin=slave, stdout=slave, stderr=slave, before=lead, env=env,
                         fds=(slave, *fds), wrapped=wrapped, **how)
        os.close(slave)
        self.streams["out"] = Screen(self.master)

    # -- what one sees --

    def expect(self, pattern, timeout=10):
        """Wait for the pattern on the screen, behind what was taken before."""
        screen = self.streams["out"]
        end = time.monotonic() + timeout * PATIENCE
        while True:
            text = screen.data[screen.taken:].decode("latin-1")
            if match := re.search(pattern, text):
                screen.taken += match.end()
                return match
            if screen.ended or time.monotonic() > end:
                why = "the terminal is closed" if screen.ended else f"not in {timeout} s"
                raise Failure(f"nothing like {pattern!r}, {why}, but {text[-200:]!r}")
            self.pump(end)

    def seen(self, pattern):
        """How often that has been on the screen so far."""
        self.streams["out"].read()
        return len(re.findall(pattern, self.out))

    # -- what one does --

    def type(self, text):
        os.write(self.master, text.encode())

    def ctrl(self, key):
        self.type(chr(ord(key) & 0x1f))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self):
        os.close(self.master)
        self.streams["out"].ended = True

    # -- what the kernel knows --

    @property
    def foreground(self):
        """The process group that has the keyboard."""
        return os.tcgetpgrp(self.master)

    @property
    def echoes(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)


class Shell(Terminal):
    """An interactive shell with job control."""

    def __init__(self, kind="bash", **how):
        super().__init__(SHELLS[kind], **how)
        self.prompt()

    def prompt(self, timeout=10):
        """Wait for the prompt; returns the status it tells."""
        return int(self.expect(PROMPT, timeout).group(1))

    def do(self, line, timeout=10):
        """Type a line and wait for the next prompt; returns the status."""
        self.type(line + "\n")
        return self.prompt(timeout)

    def leave(self):
        """End the shell; nothing may be left of what it ran."""
        self.type("exit 0\n")
        self.end(0)


def stopped(*pids):
    """Wait until all of them are stopped."""
    for pid in pids:
        until(lambda: state(pid) == "T", f"process {pid} is stopped")


def running(*pids):
    """Wait until none of them is stopped."""
    for pid in pids:
        until(lambda: state(pid) in ("R", "S", "D"), f"process {pid} runs on")


def resting(pid):
    """Wait until the process waits for something, and not only for a moment: less and vim lose a
    key's signal that comes between two waits."""
    looks = []

    def look():
        try:
            call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
        except (OSError, IndexError):
            call = "gone"
        looks.append(call)
        return call != "running" and looks[-10:] == [call] * 10
    until(look, f"process {pid} rests")


def not_stopped(*pids):
    for pid in pids:
        check(state(pid) in ("R", "S", "D"), f"process {pid} is in state {state(pid)}")
