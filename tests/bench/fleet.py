#!/usr/bin/env python3
"""Fleets: many workers below one supervisor, beside the least there can be and beside peers.

    fleet.py --build DIRECTORY --out DIRECTORY       BENCH=quick in the environment: 200 workers

Ratios of runs that were interleaved, as bench.py has them; writes fleet.json and fleet.md.  What is
started is a program of a page, so that nearly all that is measured is the supervisor's.  200, 1,000
and 10,000 workers, or fewer where the limit of descriptors says so; peers take part with the 200,
since some of them need minutes for more."""
import argparse
import mmap
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import compare
import measure
import programs as catalogue
from bench import Measurement, finish, number, step
from programs import DYNAMIC, LIMIT, STATIC, SUPERVISOR

PATIENCE = 120


class Fleet:
    """How one program is told to supervise a fleet; `prepare` gives the command line."""

    def __init__(self, name, kind, path, prepare, stop=signal.SIGTERM):
        self.name, self.kind, self.path, self.prepare = name, kind, path, prepare
        self.stop = stop  # ends it with all its workers
        self.ours = kind in (DYNAMIC, STATIC)
        self.alone = None  # KiB of it with a single worker, once that was looked at


def bare(path, victim, count, _directory, again):
    return [path, str(count), victim, *(["again"] if again else [])]


def instances(path, victim, count, directory, _again):
    """All of them of one section."""
    (directory / "fleet.ini").write_text(
        f"[aiorun]\ncontrol = {directory}/socket\n"
        f"[worker:w]\ncommand = {victim}\ninstances = {count}\n")
    return [path, "--config", str(directory / "fleet.ini")]


def aiorun(path, victim, count, directory, again):
    sections = [f"[aiorun]\ncontrol = {directory}/socket\n"]
    sections += [f"[worker:w{i:05}]\ncommand = {victim}\n" for i in range(count)]
    if again:
        sections.append(f"[worker:again]\ncommand = {victim} again\nrestart = always\n"
                        "restart-delay = 0\n")
    (directory / "fleet.ini").write_text("".join(sections))
    return [path, "--config", str(directory / "fleet.ini")]


def services(*options):
    def prepare(path, victim, count, directory, _again):
        for i in range(count):
            (directory / "services" / f"w{i:05}").mkdir(parents=True)
            (directory / "services" / f"w{i:05}" / "run").symlink_to(victim)
        return [path, *options, str(directory / "services")]
    return prepare


def supervisord(path, victim, count, directory, _again):
    (directory / "fleet.conf").write_text(
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\nuser=root\n"
        f"pidfile={directory}/pid\nminfds={16 * count + 100}\n" + "".join(
            f"[program:w{i:05}]\ncommand={victim}\nstartsecs=0\nstdout_logfile=NONE\n"
            "stderr_logfile=NONE\n" for i in range(count)))
    return [path, "-n", "-c", str(directory / "fleet.conf")]


class Page:
    """Where the workers count their starts, as page.h has it."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(mmap.PAGESIZE))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def starts(self):
        return struct.unpack_from("I", self.map, 0)[0]


def processes_of(pid):
    """It, and all below it but the workers, which are not the supervisor's cost."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        try:
            if os.readlink(f"/proc/{one}/exe").endswith("/victim"):
                continue
            todo += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
            found.append(one)
        except OSError:
            pass
    return found


def settled(pid, fleet):
    """The processes once they stay the same: peers start theirs by helpers that end."""
    before, now = None, processes_of(pid)
    while fleet.kind == SUPERVISOR and before != now:
        time.sleep(0.5)
        before, now = now, processes_of(pid)
    return now


def memory_of(pids):
    """KiB, each page divided by those who share it (proc(5), Pss)."""
    texts = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(size) for text in texts for size in re.findall(r"^Pss: +(\d+)", text, re.M))


def socket_memory():
    """KiB of UNIX sockets in the kernel, of our network namespace: look at the difference.  What
    waits in them, and the file of each, comes on top."""
    rows = (line.split() for line in Path("/proc/net/protocols").read_text().splitlines())
    return sum(int(row[1]) * int(row[2]) for row in rows if row[0].startswith("UNIX")) / 1024


def await_rest(pids):
    """Until they have done what follows the start of the last worker."""
    before, now = None, sum(map(measure.count_switches, pids))
    while before != now:
        time.sleep(0.02)
        before, now = now, sum(map(measure.count_switches, pids))


class Living:
    """A fleet that is up, and how long that took."""

    def __init__(self, place, fleet, count, again=False):
        directory = place.directory()
        directory.mkdir(parents=True)
        self.fleet, self.count = fleet, count
        self.page = Page(directory / "page")
        arguments = fleet.prepare(fleet.path, place.victim[0], count, directory, again)
        begun = time.monotonic()
        self.process = subprocess.Popen(
            arguments, env={**place.environment, "BENCH_PAGE": str(self.page.path)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.pid = self.process.pid
        while self.page.starts() < count:
            if time.monotonic() - begun > PATIENCE or self.process.poll() is not None:
                self.kill()
                raise measure.Failure(f"{self.page.starts()} of {count} workers were started")
            time.sleep(0.001)
        self.up = time.monotonic() - begun

    def rate(self, seconds):
        """Restarts a second."""
        time.sleep(0.1)
        first, begun = self.page.starts(), time.monotonic()
        time.sleep(seconds)
        return (self.page.starts() - first) / (time.monotonic() - begun)

    def stop(self, helpers=()):
        """Seconds until it is gone with its helpers: runsvdir does not wait for them."""
        begun = time.monotonic()
        self.process.send_signal(self.fleet.stop)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise measure.Failure("it does not stop") from None
        for pid in helpers:
            while os.path.exists(f"/proc/{pid}") and time.monotonic() - begun < PATIENCE:
                time.sleep(0.001)
        return time.monotonic() - begun

    def kill(self):
        """It, and whoever has its page mapped: peers leave their workers behind."""
        self.process.kill()
        self.process.wait()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if str(self.page.path) in (entry / "maps").read_text():
                        os.kill(int(entry.name), signal.SIGKILL)
                except OSError:
                    continue


def wakeups(pids, window):
    switches = sum(map(measure.count_switches, pids))
    time.sleep(window)
    return (sum(map(measure.count_switches, pids)) - switches) / window


def look_alone(place, fleet):
    """KiB of a supervisor of one worker, which its memory grows from."""
    living = Living(place, fleet, 1)
    try:
        pids = settled(living.pid, fleet)
        await_rest(pids)
        kib = memory_of(pids)
        living.stop(pids)
        return kib
    finally:
        living.kill()


def look(place, fleet, count, first):
    """One life of a fleet: {what: value}."""
    if fleet.alone is None and (fleet.ours or not place.quick):  # peers need seconds for it
        fleet.alone = look_alone(place, fleet)
    sockets = socket_memory()
    living = Living(place, fleet, count)
    values = {"up": living.up}
    try:
        pids = settled(living.pid, fleet)
        await_rest(pids)
        memory = memory_of(pids)
        values["memory"] = memory / count
        if fleet.alone is not None and count > 1:
            values["more"] = (memory - fleet.alone) / (count - 1)
        values["descriptors"] = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids) / count
        values["sockets"] = (socket_memory() - sockets) / count
        if first:  # who has a timer has it in every life
            values["idle"] = wakeups(pids, 0.5 if place.quick else 2)
        values["down"] = living.stop(pids)
    finally:
        living.kill()
    return values


def restart_rate(place, fleet, count, _first):
    living = Living(place, fleet, count, again=True)
    try:
        # Time for one, as all that is measured here: less is better.
        return {"restart": 1 / living.rate(0.25 if place.quick else 0.5)}
    finally:
        living.stop()
        living.kill()


def interleave(place, fleets, count, rounds, function):
    """{what: {name: [value or None for each round]}} and {name: failure}."""
    values, failures = {}, {}
    for number in range(rounds):
        for fleet in fleets:
            if fleet.name in failures or (fleet.kind == SUPERVISOR and number > 0):
                continue
            try:
                found = function(place, fleet, count, number == 0)
            except (measure.Failure, OSError) as error:
                failures[fleet.name] = str(error)
                continue
            for what, value in found.items():
                row = values.setdefault(what, {}).setdefault(fleet.name, [None] * rounds)
                row[number] = value
    return values, failures


class FleetMeasurement(Measurement):
    """What ours is held against is the bare loop, or a number."""

    def __init__(self, name, title, unit, result, ratio=None, most=None):
        super().__init__(name, title, unit, result)
        self.ratio, self.most = ratio, most

    def judge(self, programs):
        super().judge(programs)
        for row in self.rows:
            if "failed" in row or row["kind"] not in (DYNAMIC, STATIC):
                continue
            bare_values = self.values.get("bare loop", [])
            row["target"] = self.ratio if self.ratio is not None else self.most
            if self.ratio is not None and bare_values:
                pair = self.values[row["program"]], bare_values
                row["peer"], row["to_peer"] = "bare loop", compare.ratio(*pair)
                row["upper"] = compare.upper_bound(*pair)
                row["met"] = row["to_peer"] <= self.ratio
            elif self.most is not None:
                row["met"] = row["median"] <= self.most


TITLES = [  # what, title, unit, factor, highest ratio to the bare loop, highest value
    ("up", "until all are up", "ms", 1000, 1.3, None),
    ("down", "until all are stopped", "ms", 1000, 1.3, None),
    ("memory", "memory of the supervisor for a worker", "KiB", 1, None, 1),
    ("more", "memory for one worker more", "KiB", 1, None, 1),
    ("descriptors", "descriptors for a worker", "", 1, None, 1.05),
    ("sockets", "kernel's UNIX sockets for a worker", "KiB", 1, None, None),
    ("idle", "wake-ups a second, all idle", "", 1, None, 0),
    ("restart", "one restart after the other, beside all", "us", 1e9, 1.3, None),
]


def measure_restarts(place, fleets, count, rounds):
    step(f"restarts beside {count:,}")
    # Peers wait a second by design.
    some = [f for f in fleets if f.kind != SUPERVISOR and f.prepare != instances]
    return interleave(place, some, count, rounds, restart_rate)


def measure_fleet(place, fleets, count, rounds):
    step(f"{count:,} workers")
    values, failures = interleave(place, fleets, count, rounds, look)
    restarts, failed = measure_restarts(place, fleets, count, rounds if count <= 1000 else 2)
    values.update(restarts)
    failures.update(failed)
    for what, title, unit, factor, ratio, most in TITLES:
        if what in ("memory", "descriptors") and count < 1000:
            most = None  # what the supervisor has for itself is shared by few
        yield FleetMeasurement(f"{what}_{count}", f"{count:,} workers: {title}", unit,
                               (scaled(values.get(what, {}), factor),
                                failures if what == "up" else {}), ratio, most)


def measure_single(place, fleets, rounds):
    values, failures = measure_restarts(place, fleets, 0, rounds)
    return FleetMeasurement("restart_0", "one restart after the other, beside nobody", "us",
                            (scaled(values.get("restart", {}), 1e9), failures), 1.3)


def scaled(values, factor):
    return {name: [v if v is None else v * factor for v in row] for name, row in values.items()}


def raise_descriptors(wanted):
    """How many workers there may be; supervisors inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 100)


def summary(measurements, fleets):
    """For the README: what has a target, for each of ours."""
    ours = [fleet.name for fleet in fleets if fleet.ours]
    lines = ["| | " + " | ".join(ours) + " | target |", "|---|" + "--:|" * (len(ours) + 1)]
    for measurement in measurements:
        rows = {row["program"]: row for row in measurement.rows}
        target = next((rows[name].get("target") for name in ours if name in rows), None)
        if target is None:
            continue
        cells = []
        for row in (rows.get(name, {}) for name in ours):
            value = row.get("to_peer", row.get("median"))
            cells.append(number(value) if value is not None else "")
        lines.append(f"| {measurement.title} | {' | '.join(cells)} | {number(target)} |")
    return "\n".join(lines) + "\n"


def takes_part(fleet, count, no_peers):
    """Peers need minutes for many workers; and the instances of one section show with 1,000 what
    there is to see."""
    if fleet.kind == SUPERVISOR:
        return count <= 200 and not no_peers
    return fleet.prepare != instances or count <= 1000


def rounds_of(count, quick):
    return 3 if quick or count > 1000 else 5


def find(build, out):
    """Those that are there, and the names of those that are not."""
    peers = [("supervisord", "supervisord", supervisord),
             ("s6", "s6-svscan", services("-c", "1100")),
             ("runit", "runsvdir", services(), signal.SIGHUP)]
    paths = [(name, catalogue.shutil.which(program), how) for name, program, *how in peers]
    fleets = [Fleet("bare loop", LIMIT, str(out / "fleet_bare"), bare)]
    for name, kind, path in (("aiorun", DYNAMIC, build / "aiorun"),
                             ("aiorun static", STATIC, build / "static" / "aiorun")):
        if path.exists():
            fleets.append(Fleet(name, kind, str(path), aiorun))
            fleets.append(Fleet(f"{name}, instances", kind, str(path), instances))
    fleets += [Fleet(name, SUPERVISOR, path, *how) for name, path, how in paths if path]
    return fleets, [name for name, path, _ in paths if not path]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIRECTORY")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIRECTORY")
    parser.add_argument("--workers", type=int, nargs="+", metavar="N")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    place = measure.Place(arguments.out.resolve(), os.environ.get("BENCH") == "quick", "fleet")
    fleets, missing = find(arguments.build.resolve(), place.out)
    measurements = [measure_single(place, fleets, rounds_of(0, place.quick))]
    for wanted in arguments.workers or ([200] if place.quick else [200, 1000, 10000]):
        count = raise_descriptors(wanted)
        some = [f for f in fleets if takes_part(f, count, arguments.no_peers)]
        measurements += measure_fleet(place, some, count, rounds_of(wanted, place.quick))
    status = finish(place, "fleet", measurements, fleets, missing)
    (place.out / "fleet-summary.md").write_text(summary(measurements, fleets))
    return status


if __name__ == "__main__":
    sys.exit(main())
