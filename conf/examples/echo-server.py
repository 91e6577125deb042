#!/usr/bin/env python3
"""echo-server.py - the echo server of Python's manual, as a worker of aiorun.

    aiorun --timeout 28s -- python3 conf/examples/echo-server.py [PORT]

It tells aiorun when it listens, and holds a shield for each conversation.  When aiorun says
`shutdown` it takes no more connections, finishes those it has, and ends.  aiorun-protocol(7) has
the details; no library is needed.
"""
import asyncio
import os
import signal
import socket
import stat
import sys


class Control:
    """Our end of the control pipe; where there is none, nothing happens."""

    def __init__(self):
        self.socket, self.data = None, b""
        try:
            fd = int(os.environ["AIORUN_CONTROL_FD"])
            status = os.fstat(fd)
        except (KeyError, ValueError, OSError):
            return
        # The number may be something else's by now: compare the identity, too.
        identity = f"{status.st_dev}:{status.st_ino}"
        if stat.S_ISSOCK(status.st_mode) and os.environ.get("AIORUN_CONTROL_ID") == identity:
            self.socket = socket.socket(fileno=os.dup(fd))

    def say(self, line):
        if self.socket:
            try:
                self.socket.send(line.encode() + b"\n", socket.MSG_DONTWAIT)
            except OSError:
                pass  # aiorun is gone, or very busy: no reason to stop serving

    def listen(self, loop, obey):
        """Calls `obey` with each line that aiorun says."""
        def receive():
            # Others hold this socket, too: it must not become non-blocking for them.
            data = self.socket.recv(4096, socket.MSG_DONTWAIT)
            if not data:
                loop.remove_reader(self.socket)
            *lines, self.data = (self.data + data).split(b"\n")
            for line in lines:
                obey(line.decode())
        if self.socket:
            loop.add_reader(self.socket, receive)


control = Control()
conversations = set()


async def handle_echo(reader, writer):
    conversations.add(asyncio.current_task())
    control.say("shield conversation 20")  # shields of one name are counted
    try:
        data = await reader.read(100)
        message = data.decode()
        print("Received %r from %r" % (message, writer.get_extra_info("peername")), flush=True)
        print("Send: %r" % message, flush=True)
        writer.write(data)
        await writer.drain()
        print("Close the client socket", flush=True)
        writer.close()
    finally:
        control.say("unshield conversation")
        conversations.discard(asyncio.current_task())


async def main(port):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def obey(line):
        if line.startswith("shutdown "):
            print("Asked to stop:", line, flush=True)
            stop.set()
        elif line == "reload":
            print("Asked to read the configuration again, but there is none", flush=True)

    for number in signal.SIGTERM, signal.SIGINT:
        if control.socket:
            # The stop signal comes, too, once no shield is held: maybe while Python is ending.
            signal.signal(number, signal.SIG_IGN)
        else:
            loop.add_signal_handler(number, stop.set)
    control.listen(loop, obey)
    server = await asyncio.start_server(handle_echo, "127.0.0.1", port)
    print("Serving on {}".format(server.sockets[0].getsockname()), flush=True)
    control.say("ready")
    await stop.wait()
    server.close()
    if conversations:
        await asyncio.wait(conversations)
    print("All conversations are finished", flush=True)


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8888))
