"""The measurements.  Each returns {program: [value or None for each round]} and {program: failure}."""
import contextlib
import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

PATIENCE = 30


class Failure(Exception):
    """One program could not be measured."""


class Place:
    """Where helpers are, and directories for services, each used once."""

    def __init__(self, out, quick, scratch="scratch"):
        self.out, self.quick = Path(out), quick
        self.victim = [str(self.out / "victim")]
        self.scratch = self.out / scratch
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.numbers = itertools.count()
        self.environment = {"PATH": "/usr/bin:/bin"}  # short, for those who search it

    def directory(self):
        return self.scratch / str(next(self.numbers))


def warm_up(path):
    """Pages that were never written back count as private and dirty in whoever maps them."""
    os.sync()
    Path(path).read_bytes()


# ---- measured by a helper ------------------------------------------------------------------------

def run_helper(place, helper, rounds, programs, command_of, every=1):
    """Interleaves all programs in one helper; one that fails is left out, and the rest done again."""
    failures = {}
    programs = list(programs)
    while programs:
        arguments = []
        for program in programs:
            share = f"{every if program.slow else 1}{'t' if program.by_term else ''}"
            arguments += [":::", share, *command_of(program)]
        result = run([str(place.out / helper[0]), *helper[1:], str(rounds), *arguments], place)
        lines = result.splitlines()
        failed = lines and re.match(r"failed (\d+) (.*)", lines[-1])
        if not failed:
            table = [[None if word == "-" else int(word) for word in line.split()] for line in lines]
            if len(table) != rounds:
                raise Failure(f"{helper[0]} died after {len(table)} of {rounds} rounds")
            return dict(zip([p.name for p in programs], map(list, zip(*table)))), failures
        failures[programs.pop(int(failed[1])).name] = failed[2]
    return {}, failures


def run(arguments, place, timeout=600):
    """The output of a program that gets a process group of its own, so that nothing outlives it."""
    with subprocess.Popen(arguments, env=place.environment, stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            return process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{arguments[0]} did not end in {timeout} s") from error
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def launch(place, programs, command):
    return run_helper(place, ["launch"], 100 if place.quick else 800,
                      [p for p in programs if p.launches],
                      lambda p: p.over(command, None))


def signal_latency(place, programs):
    return run_helper(place, ["latency", "signal"], 600 if place.quick else 6000,
                      [p for p in programs if p.forwards],
                      lambda p: p.over(place.victim, place.directory()))


def exit_latency(place, programs):
    rounds = 60 if place.quick else 500
    return run_helper(place, ["latency", "exit"], rounds, programs,
                      lambda p: p.over(place.victim, place.directory()),
                      every=rounds if place.quick else rounds // 3)


def restart(place, programs):
    rounds = 2 if place.quick else 8
    return run_helper(place, ["latency", "restart"], rounds,
                      [p for p in programs if p.restarts],
                      lambda p: p.restarting(place.victim, place.directory()),
                      every=rounds if place.quick else rounds // 2)


# ---- measured by looking at a process --------------------------------------------------------------

class Supervised:
    """A supervisor with a sleeping victim below it."""

    def __init__(self, place, program):
        self.process = subprocess.Popen(
            program.over(place.victim, place.directory()), env=place.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.victim = None
        deadline = time.monotonic() + PATIENCE
        while self.victim is None:
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                raise Failure("its victim does not start")
            time.sleep(0.005)
            self.victim = self.find_victim(place.victim[0])

    def find_victim(self, path):
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
                if os.readlink(f"/proc/{child}/exe") == path:
                    return int(child)
        return None

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                if self.victim is not None:
                    os.kill(self.victim, signal.SIGKILL)


def read_footprint(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB$", text, re.M))
    return int(sizes["Private_Dirty"]), int(sizes["Rss"])


def footprint(place, programs, idle):
    """KiB of private dirty memory, and of resident memory, of a supervisor with one child.  For
    slow ones it is that of the idle one."""
    rounds = 3 if place.quick else 5
    private, resident = ({p.name: [None] * rounds for p in programs} for _ in range(2))
    failures = {}
    for program in programs:
        warm_up(program.path)
    for number in range(rounds):
        for program in programs:
            is_idle = program.slow and program.name in idle.supervised
            if program.name in failures or (program.slow and number > 0):
                continue
            try:
                supervised = (idle.supervised[program.name] if is_idle
                              else Supervised(place, program))
                time.sleep(0.05)
                private[program.name][number], resident[program.name][number] = \
                    read_footprint(supervised.pid)
                if not is_idle:
                    supervised.stop()
            except (Failure, OSError) as error:
                failures[program.name] = str(error)
    return (private, failures), (resident, failures)


def count_switches(pid):
    """How often any thread of the process was given a processor."""
    return sum(int(count)
               for task in Path(f"/proc/{pid}/task").iterdir()
               for count in re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text()))


class Idle:
    """Supervisors that have nothing to do while everything else is measured: the window is long
    enough for timers of a minute, and costs no time."""

    def __init__(self, place, programs):
        self.supervised, self.failures = {}, {}
        for program in programs:
            try:
                self.supervised[program.name] = Supervised(place, program)
            except (Failure, OSError) as error:
                self.failures[program.name] = str(error)
        time.sleep(1 if place.quick else 2)  # whatever they do at their start is done
        self.begun = time.monotonic()
        self.first = {name: count_switches(s.pid) for name, s in self.supervised.items()}

    def end(self):
        """Wake-ups per minute; and the window in seconds."""
        values = {}
        window = time.monotonic() - self.begun
        for name, supervised in self.supervised.items():
            try:
                switches = count_switches(supervised.pid) - self.first[name]
                values[name] = [switches * 60 / window]
            except OSError as error:
                self.failures[name] = str(error)
            supervised.stop()
        return (values, self.failures), window


# ---- as PID 1 -------------------------------------------------------------------------------------

def storm_once(place, program, count):
    """CPU nanoseconds of PID 1 for each orphan it reaped, and the zombies that it left."""
    pipe = str(place.scratch / "result")
    with contextlib.suppress(FileExistsError):
        os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)  # with a writer, so that poll(2) waits
    environment = {**place.environment, "BENCH_ORPHANS": str(count), "BENCH_RESULT": pipe}
    command = program.as_init([str(place.out / "orphans")], place.directory())
    process = subprocess.Popen(
        ["/usr/bin/unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", *command],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    try:
        if not select.select([reader], [], [], PATIENCE)[0]:
            raise Failure(f"no result within {PATIENCE} s")
        cpu, zombies, _ = map(int, os.read(reader, 100).split())
        return cpu / max(count - zombies, 1), zombies
    finally:
        process.kill()
        process.wait()
        os.close(reader)


def orphan_storm(place, programs):
    # Many short storms: their ratios are what a bound is made of.
    count, rounds = (200, 10) if place.quick else (500, 16)
    programs = [p for p in programs if p.runs_as_init]
    cpu, zombies = ({p.name: [None] * rounds for p in programs} for _ in range(2))
    failures = {}
    place.scratch.mkdir(parents=True, exist_ok=True)
    for number in range(rounds):
        for program in programs:
            # Once will do for those that take seconds; whoever leaves zombies is waited for in vain.
            if program.name in failures or (program.slow and number > 0):
                continue
            try:
                cpu[program.name][number], zombies[program.name][number] = \
                    storm_once(place, program, count)
            except (Failure, OSError, ValueError) as error:
                failures[program.name] = str(error)
    return (cpu, failures), (zombies, failures)


# ---- counted by callgrind ---------------------------------------------------------------------------

def instructions(place, programs):
    """User-space instructions of one launch, from exec to exit, the loader's included."""
    values, failures = {}, {}
    if shutil.which("valgrind") is None:
        return {}, {"callgrind": "valgrind is not installed"}
    for program in programs:
        if not program.launches:
            continue
        file = place.scratch / "callgrind"
        file.unlink(missing_ok=True)
        # A child inherits the tool until it execs; %p keeps the two apart.
        command = ["/usr/bin/valgrind", "--tool=callgrind", "--trace-children=no",
                   f"--callgrind-out-file={file}.%p", *program.over([str(place.out / "bare")], None)]
        with subprocess.Popen(command, env=place.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            process.wait(60)
        try:
            text = Path(f"{file}.{process.pid}").read_text()
            values[program.name] = [int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1])]
        except (OSError, TypeError):
            failures[program.name] = "callgrind has no count"
    return values, failures
