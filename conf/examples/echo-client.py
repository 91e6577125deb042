#!/usr/bin/env python3
"""echo-client.py - the echo client of Python's manual, which ends its aiorun when it is done.

    aiorun --forever -- python3 conf/examples/echo-client.py [MESSAGE [PORT]]

--forever keeps aiorun although its command has ended; `shutdown` on the control pipe ends it.
"""
import asyncio
import os
import sys


def say(line):
    """One line to aiorun, if this runs below one."""
    try:
        fd = int(os.environ["AIORUN_CONTROL_FD"])
        status = os.fstat(fd)
        # The number may be something else's by now: compare the identity, too.
        if os.environ["AIORUN_CONTROL_ID"] == f"{status.st_dev}:{status.st_ino}":
            os.write(fd, line.encode() + b"\n")
    except (KeyError, ValueError, OSError):
        pass


async def tcp_echo_client(message, port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    print("Send: %r" % message)
    writer.write(message.encode())
    data = await reader.read(100)
    print("Received: %r" % data.decode())
    print("Close the socket", flush=True)
    writer.close()
    say("shutdown")  # exit after one message


asyncio.run(tcp_echo_client(sys.argv[1] if len(sys.argv) > 1 else "Hello World!",
                            int(sys.argv[2]) if len(sys.argv) > 2 else 8888))
