#!/usr/bin/env python3
"""web-worker.py - a small web server that can be replaced while it is busy.

    aiorun --config conf/examples/shop.ini

aiorun opens the socket and passes it on (`listen`), so all instances share it, and who connects
while one of them ends is served by another, or waits.  A stop request, as the control pipe's
`shutdown` or as TERM, means: accept nothing more, answer what was accepted, end.

SHOP_REDIS, as HOST:PORT, is where it counts visitors; without it there is no count.  A request for
/slow takes half a second.  No library is needed; aiorun-protocol(7) has the details.
"""
import os
import select
import signal
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor


def passed_socket():
    """The first socket that was passed to us, as sd_listen_fds(3) has it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise SystemExit("web-worker.py: no socket was passed: run it below aiorun, with `listen`")
    listener = socket.socket(fileno=3)
    # Another instance may be quicker than we are: then accept() shall not wait.
    listener.setblocking(False)
    return listener


def control_pipe():
    """Our end of the control pipe, or None."""
    try:
        fd = int(os.environ["AIORUN_CONTROL_FD"])
        status = os.fstat(fd)
    except (KeyError, ValueError, OSError):
        return None
    # The number may be something else's by now: compare the identity, too.
    identity = f"{status.st_dev}:{status.st_ino}"
    if not stat.S_ISSOCK(status.st_mode) or os.environ.get("AIORUN_CONTROL_ID") != identity:
        return None
    return socket.socket(fileno=fd)


def count_visitor():
    if "SHOP_REDIS" not in os.environ:
        return "?"
    host, _, port = os.environ["SHOP_REDIS"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as redis:
        redis.sendall(b"INCR visitors\r\n")
        return redis.makefile().readline().strip().removeprefix(":")


def answer(connection):
    """Answers one request, and closes: the server in front keeps connections for its clients."""
    with connection:
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(4096)
            if not data or len(request) > 65536:
                return
            request += data
        if request.startswith(b"GET /slow "):
            time.sleep(0.5)
        try:
            status, text = "200 OK", f"visitor {count_visitor()} served by {os.getpid()}\n"
        except OSError as error:
            status, text = "503 Service Unavailable", f"redis: {error}\n"
        connection.sendall(f"HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n"
                           f"Content-Length: {len(text)}\r\n\r\n{text}".encode())


def is_asked_to_stop(control):
    # The supervisor is gone when there is nothing to read: that is a stop request, too.
    lines = control.recv(4096, socket.MSG_DONTWAIT).decode()
    return not lines or any(line.startswith("shutdown ") for line in lines.splitlines())


def main():
    listener, control = passed_socket(), control_pipe()
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)  # a byte in `woken` is what it comes to
    if control:
        control.send(b"ready\n", socket.MSG_DONTWAIT)
    with ThreadPoolExecutor(8) as threads:  # leaving it waits for what was begun
        while True:
            ready, _, _ = select.select([listener, woken] + [control] * bool(control), [], [])
            if woken in ready or control in ready and is_asked_to_stop(control):
                break
            if listener in ready:
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
                threads.submit(answer, connection)
        listener.close()
        # The signal follows the message: it shall not meet a Python that is ending.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


main()
