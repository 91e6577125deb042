"""A supervisor's end of the control pipe, for tests of those who speak over it.

    stand_in = StandIn()
    run = stand_in.start([BINARY, "ready"])
    equal(stand_in.line(), "ready", "what it says")

It is a real peer (aiorun-protocol(7)), and does nothing by itself: each test says what the
supervisor answers.
"""
import array
import fcntl
import os
import select
import socket
import time

from harness import PATIENCE, Failure, Run, check, equal


class Line(str):
    """A line without its newline; `fds` came with it."""
    fds = ()


class End:
    """One end of a stream socket, read line by line."""

    def __init__(self, sock):
        self.sock, self.data, self.fds, self.ended = sock, b"", [], False

    def receive(self, end):
        left = max(0, end - time.monotonic())
        if not select.select([self.sock], [], [], left)[0]:
            raise Failure("nothing is said")
        try:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(64))
        except ConnectionResetError:
            data, ancillary = b"", []
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(content[:len(content) // 4 * 4])
                self.fds += fds
        self.data += data
        self.ended = self.ended or not data

    def line(self, timeout=10):
        """The next line, with the descriptors that came with it."""
        end = time.monotonic() + timeout * PATIENCE
        while b"\n" not in self.data:
            check(not self.ended, "the other end was closed")
            self.receive(end)
        text, _, self.data = self.data.partition(b"\n")
        line = Line(text.decode())
        line.fds, self.fds = self.fds, []
        return line

    def eof(self, timeout=10):
        """Waits until the other end is closed by all who hold it, and nothing more is said."""
        end = time.monotonic() + timeout * PATIENCE
        while not self.ended:
            self.receive(end)
        equal(self.data, b"", "what is said last")

    def say(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def close(self):
        self.sock.close()


class StandIn(End):
    def __init__(self, number=None):
        """`number`: the descriptor that programs are given; any free one by default."""
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        if number is None:
            self.fd = fcntl.fcntl(theirs, fcntl.F_DUPFD, 20)
        else:
            self.fd = number
            os.dup2(theirs.fileno(), number)
        theirs.close()
        status = os.fstat(self.fd)
        self.environment = {"AIORUN_CONTROL_FD": str(self.fd),
                            "AIORUN_CONTROL_ID": f"{status.st_dev}:{status.st_ino}",
                            "AIORUN_PROTOCOL": "1", "AIORUN_WORKER": "main",
                            "AIORUN_INSTANCE": "0", "AIORUN_PID": str(os.getpid())}

    def start(self, argv, **how):
        """Starts a program that holds the other end, as a Run; we keep none of it."""
        env = {**self.environment, **how.pop("env", {})}
        return Run(argv, env=env, fds=(self.fd, *how.pop("fds", ())), **how)

    def leave(self):
        """Closes the copy of the programs' end that is left with us."""
        os.close(self.fd)

    def attached(self, answer="ok 1"):
        """Waits for `attach`, answers it, and returns the private channel."""
        line = self.line()
        equal(line, "attach", "what is said first")
        equal(len(line.fds), 1, "descriptors with it")
        channel = End(socket.socket(fileno=line.fds[0]))
        if answer is not None:
            channel.say(answer)
        return channel
