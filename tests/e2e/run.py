#!/usr/bin/env python3
"""Runs the end-to-end tests, each in a process of its own, and counts."""
import argparse
import importlib
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEADLINE = 30
VALGRIND = "^(attributes|logs|orphans|shutdown)"  # what takes minutes there, not hours
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-j", type=int, default=2 * (os.cpu_count() or 1), metavar="N",
                        help="tests at a time")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches this")
    parser.add_argument("--binary", metavar="PATH", default=HERE.parents[1] / "build" / "aiorun",
                        help="test this program")
    parser.add_argument("--sanitized", action="store_true", help="it was built with sanitizers")
    parser.add_argument("--valgrind", action="store_true",
                        help="run it under valgrind; without -k a choice of modules only")
    parser.add_argument("-v", action="store_true", help="print every test")
    parser.add_argument("--list", action="store_true", help="print the names only")
    return parser.parse_args()


class Test:
    """One test (or one case of it), and the process it runs in."""

    def __init__(self, name, function, args):
        self.name, self.function, self.args = name, function, args
        self.limit = getattr(function, "deadline", DEADLINE)

    def start(self):
        self.started = time.monotonic()
        self.reading, writing = os.pipe()
        self.directory = tempfile.mkdtemp(prefix="aiorun-e2e-")
        os.chmod(self.directory, 0o755)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.run(writing)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(writing)
        self.end_by = self.started + self.limit * harness.PATIENCE + 10

    def run(self, writing):
        os.setsid()
        harness.become_subreaper()
        os.chdir(self.directory)

        def late(*_):
            raise harness.Failure(f"the test takes longer than {self.limit} s")
        signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, self.limit * harness.PATIENCE)
        report = harness.main_of_test(self.function, self.args)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(writing, json.dumps(report).encode())

    def finish(self):
        """Called when the test's process has ended, or is to be ended."""
        self.seconds = time.monotonic() - self.started
        if time.monotonic() > self.end_by:
            for pid in harness.descendants(self.pid) + [self.pid]:
                harness.kill(pid)
        os.waitpid(self.pid, 0)
        os.set_blocking(self.reading, False)
        try:
            report = os.read(self.reading, 1 << 16)
        except BlockingIOError:
            report = b""
        os.close(self.reading)
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            self.verdict, self.message, self.details = json.loads(report)
        except ValueError:
            self.verdict, self.message, self.details = "fail", "the test's process died", ""


def collect(pattern):
    tests = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in vars(module).items():
            if not name.startswith("test_") or not callable(function):
                continue
            for case, args in getattr(function, "cases", {"": ()}).items():
                full = f"{path.stem[5:]}.{name}" + (f"[{case}]" if case else "")
                if re.search(pattern, full):
                    tests.append(Test(full, function, args))
    return tests


def run_all(tests, jobs):
    """Runs them, at most `jobs` at a time; yields each as it ends."""
    waiting, running = deque(tests), {}
    while waiting or running:
        while waiting and len(running) < jobs:
            test = waiting.popleft()
            test.start()
            running[os.pidfd_open(test.pid)] = test
        first = min(test.end_by for test in running.values())
        ready = select.select(list(running), [], [], max(0, first - time.monotonic()))[0]
        for fd, test in list(running.items()):
            if fd in ready or time.monotonic() > test.end_by:
                test.finish()
                os.close(fd)
                del running[fd]
                harness.sweep(spare={test.pid for test in running.values()})
                yield test


def clean_environment():
    """What could make aiorun, or a test, behave otherwise here than elsewhere."""
    keep = {name: value for name, value in os.environ.items() if name.startswith("AIORUN_TEST_")}
    os.environ.clear()
    os.environ.update(keep, PATH=PATH, HOME="/root", LANG="C")
    for number in range(1, 65):
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # Popen gives it back
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def set_up_environment(options, directory):
    """Tells the harness what to test, before it is loaded: a copy, so that a build meanwhile
    changes nothing."""
    if not os.access(options.binary, os.X_OK):
        sys.exit(f"run.py: {options.binary} is not there: build it first")
    binary = os.path.join(directory, "aiorun")
    shutil.copy(options.binary, binary)
    os.environ["AIORUN_BINARY"] = binary
    if options.sanitized or options.valgrind:
        os.environ["AIORUN_TEST_MODE"] = "valgrind" if options.valgrind else "sanitized"
        os.environ.setdefault("AIORUN_TEST_PATIENCE", "4")
    if options.valgrind:
        wrapper = Path(directory, "valgrind")
        wrapper.write_text("#!/bin/sh\nexec valgrind -q --log-file=valgrind.%p --trace-children=no"
                           f" --child-silent-after-fork=yes {binary} \"$@\"\n")
        wrapper.chmod(0o755)
        os.environ["AIORUN_BINARY"] = str(wrapper)


def keep_nine():
    """Programs find the control pipe at descriptor 9, and some tests put one there: so nothing of
    our own may be in its place."""
    null = os.open(os.devnull, os.O_RDWR)
    if null != 9:
        os.dup2(null, 9, inheritable=False)
        os.close(null)


def main():
    options = arguments()
    keep_nine()
    with tempfile.TemporaryDirectory(prefix="aiorun-e2e-") as directory:
        os.chmod(directory, 0o755)
        set_up_environment(options, directory)
        return run_and_report(options)


def report(test, verdict, is_told):
    if test.verdict != "pass" or is_told:
        print(f"{verdict.upper()} {test.name} ({test.seconds:.1f} s) {test.message}".rstrip())
    for line in test.details.splitlines():
        print("    " + line)
    sys.stdout.flush()


def run_and_report(options):
    global harness
    sys.path.insert(0, str(HERE))
    sys.dont_write_bytecode = True
    import harness

    tests = collect(options.k or (VALGRIND if options.valgrind else ""))
    if options.list:
        print("\n".join(test.name for test in tests))
        return 0
    harness.build_victim()
    clean_environment()
    harness.become_subreaper()
    count = {"pass": 0, "fail": 0, "skip": 0}
    again = []
    for test in run_all(tests, options.j):
        alone = options.j == 1 or test.verdict != "fail"
        count[test.verdict] += alone
        report(test, test.verdict if alone else "busy", options.v)
        if not alone:
            again.append(test.name)
    # What failed beside others on a busy machine is tried by itself, once, and both are told.
    for test in run_all([test for test in collect("") if test.name in again], 1):
        count[test.verdict] += 1
        report(test, test.verdict, True)
    skipped = f", {count['skip']} skipped" if count["skip"] else ""
    print(f"{count['pass']} passed, {count['fail']} failed{skipped}")
    return 1 if count["fail"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        harness.sweep()
        sys.exit(130)
