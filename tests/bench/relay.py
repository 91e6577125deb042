#!/usr/bin/env python3
"""How fast captured output goes through, beside other supervisors and the least there can be.

    relay.py --build DIRECTORY --out DIRECTORY       BENCH=quick in the environment: a short run

A program writes lines of 100 bytes as fast as they are taken, in writes of 64 KiB and of a line, and
all of them end in a file.  What is measured is the time from the file's first byte to its last, for
a gigabyte of what was written; the rounds of all are interleaved.  Writes relay.json and relay.md."""
import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
from bench import Measurement, finish, step
from programs import DYNAMIC, LIMIT, STATIC, SUPERVISOR

LINE = 100
PREFIX = len("web | ")
GB = 1 << 30


class Relay:
    """One way from a writer into a file.  `prepare` gives the shell command that runs in an empty
    directory, and the file."""

    def __init__(self, name, kind, prepare, prefix=0):
        self.name, self.kind, self.prepare = name, kind, prepare
        self.prefix = prefix  # bytes that it adds to a line
        self.ours = name.startswith("aiorun")


def copy(relay):
    return lambda writer, _: (f"{writer} | {relay} copy >file", "file")


def aiorun(path, output):
    def prepare(writer, directory):
        (directory / "ini").write_text("[aiorun]\nforever = no\n"
                                       f"[worker:web]\ncommand = {writer}\noutput = {output}\n")
        return f"{path} -q --config ini >file", "file"
    return prepare


def piped(path):
    """s6-log as a logger of aiorun's: the descriptor is passed on, so this is s6-log's speed."""
    prepare = aiorun(path, "pipe:s6-log -b n0 s268435455 ./log")
    return lambda writer, directory: (prepare(writer, directory)[0], "log/current")


def supervisord(writer, directory):
    (directory / "conf").write_text(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\nuser=root\n"
        f"pidfile={directory}/pid\n[program:web]\ncommand={writer}\nstartsecs=0\n"
        f"autorestart=false\nstdout_logfile={directory}/file\nstdout_logfile_maxbytes=0\n")
    return "supervisord -n -c conf >/dev/null", "file"


def s6_log(writer, _):
    return f"{writer} | s6-log -b n0 s268435455 ./log", "log/current"


def svlogd(writer, directory):
    (directory / "log").mkdir()
    (directory / "log" / "config").write_text("s0\nn0\n")
    return f"{writer} | svlogd log", "log/current"


def find(build, out):
    """Those that are there, and the names of those that are not."""
    relays = [Relay("read and write", LIMIT, copy(out / "relay"))]
    for name, kind, path in (("aiorun", DYNAMIC, build / "aiorun"),
                             ("aiorun static", STATIC, build / "static" / "aiorun")):
        if path.exists():
            relays.append(Relay(f"{name}, prefix", kind, aiorun(path, "prefix"), PREFIX))
    peers = {"supervisord": supervisord, "s6-log": s6_log, "svlogd": svlogd}
    missing = [name for name in peers if shutil.which(name) is None]
    relays += [Relay(name, DYNAMIC, how) for name, how in peers.items() if name not in missing]
    if "s6-log" not in missing:
        relays.append(Relay("aiorun, pipe:s6-log", SUPERVISOR, piped(build / "aiorun")))
    return relays, missing


def size_of(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def seconds(place, relay, size, amount):
    """From the first byte to the last."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))  # no disk is to be measured
    writer = f"{place.out / 'relay'} write {size} {LINE} {amount}"
    command, file = relay.prepare(writer, directory)
    expected = amount + amount // LINE * relay.prefix
    started, give_up = None, time.monotonic() + measure.PATIENCE
    with subprocess.Popen(command, shell=True, cwd=directory, stdin=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            while (there := size_of(directory / file)) < expected:
                if started is None and there > 0:
                    started = time.monotonic()
                if time.monotonic() > give_up:
                    raise measure.Failure(f"{there} of {expected} bytes came")
                time.sleep(0.002)
            return time.monotonic() - (started or time.monotonic())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            shutil.rmtree(directory)


def measure_size(place, relays, size, amount, rounds):
    values, failures = {}, {}
    for number in range(rounds):
        for relay in relays:
            if relay.name in failures:
                continue
            try:
                found = seconds(place, relay, size, amount) * GB / amount
            except (measure.Failure, OSError) as error:
                failures[relay.name] = str(error)
                continue
            values.setdefault(relay.name, [None] * rounds)[number] = found
    what = "a line" if size == LINE else f"{size >> 10} KiB"
    return Measurement(f"relay{size}", f"a gigabyte of output in writes of {what}, into a file", "s",
                       (values, failures), {DYNAMIC: 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIRECTORY")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIRECTORY")
    arguments = parser.parse_args()
    place = measure.Place(arguments.out.resolve(), os.environ.get("BENCH") == "quick", "relay-runs")
    relays, missing = find(arguments.build.resolve(), place.out)
    rounds, share = (2, 2) if place.quick else (5, 1)
    measurements = []
    for size, count in (65536, 2000), (LINE, 480_000):  # whole writes, and whole lines
        step(f"{count // share:,} writes of {size:,} bytes")
        measurements.append(measure_size(place, relays, size, size * count // share, rounds))
    return finish(place, "relay", measurements, relays, missing)


if __name__ == "__main__":
    sys.exit(main())
