"""A fleet to which everything happens at once: its workers are killed, stopped, flooded, started and
restarted, by a plan that a seed makes.  At the end nothing may be left or have grown, and what
`aiorun events` told must be what was done.

AIORUN_TEST_CHAOS is for how many seconds, AIORUN_TEST_SEED what the plan is made of; a failure names
the seed.  Another schedule of the kernel may still tell another story.
"""
import json
import os
import random
import shlex
import socket
import subprocess
import time
from pathlib import Path

from harness import (BINARY, MODE, PATIENCE, Failure, Run, alive, check, deadline, descendants,
                     equal, kill, state, status_field, until, victim)
from test_admin_fleet import is_up
from test_output import fleet

SECONDS = float(os.environ.get("AIORUN_TEST_CHAOS", "8"))
SEED = int(os.environ.get("AIORUN_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

# Takes a shield now and then, says that it is ready, floods its output, leaves orphans, and obeys.
RESTLESS = """import os, random, signal, subprocess, sys, time
def say(line):
    os.write(9, line + b"\\n")
def obey(*_):
    os._exit(0)
signal.signal(signal.SIGTERM, obey)
chance = random.Random(int(os.environ["SEED"]) + os.getpid())
say(b"ready")
for number in range(1 << 30):
    what = chance.randrange(6)
    if what == 0:
        say(b"shield work 0.3")
    elif what == 1:
        say(b"unshield work")
    elif what == 2:
        sys.stdout.write("flood %d\\n" % number * 2000)
        sys.stdout.flush()
    elif what == 3:
        subprocess.run(["sh", "-c", "sleep 0.2 & exec setsid sleep 0.1 &"])
    elif what == 4:
        say(b"status item %d" % number)
    elif chance.randrange(5) == 0:
        os._exit(chance.randrange(3))
    time.sleep(chance.random() / 5)
"""

FILE = """
[aiorun]
timeout = 10s
executor-workers = 4

[worker:base]
command = {calm}
restart = always
restart-delay = 10ms..50ms

[worker:restless]
command = python3 {restless}
instances = 3
after = base
ready = control
restart = always
restart-delay = 10ms..50ms
stop-timeout = 2s
output = prefix
env.SEED = {seed}

[worker:needy]
command = {calm}
instances = 2
needs = base
restart = always
restart-delay = 10ms..50ms
max-age = 2s
output = pipe:cat

[worker:deaf]
command = {deaf}
restart = always
restart-delay = 10ms..50ms
stop-timeout = 100ms
before-start = sleep 0.02
after-stop = sleep 0.02
output = null

[worker:well]
command = {calm}
restart = always
restart-delay = 10ms..50ms
health = sh -c 'exit 0' every 50ms timeout 1s retries 1
output = file:well.log
"""
WORKERS = ["base", "restless", "needy", "deaf", "well"]


class Chaos:
    def __init__(self):
        self.chance = random.Random(SEED)
        self.killed = []    # pids of runs that we have killed
        self.stopped = []   # pids that are to be continued
        self.verbs = []     # those that still run
        self.jobs = 0
        self.done = {}
        self.quiet = os.open("/dev/null", os.O_RDWR)

    def start(self):
        Path("restless.py").write_text(RESTLESS)
        text = FILE.format(seed=SEED, restless=Path("restless.py").absolute(),
                           calm=shlex.join(victim("on TERM [ exit 0 ] say up pause")),
                           deaf=shlex.join(victim("ignore TERM say up pause")))
        self.run = fleet(text, "--log-format", "text", stdout=self.quiet)
        self.path = is_up(self.run)
        self.events = Run([BINARY, "events", "--json"])
        until(self.follows, "events are told")

    def follows(self):
        self.ask("submit", "--wait", "--name", "probe", "--", "true")
        self.events.pump(time.monotonic() + 0.05)
        return "probe" in self.events.out

    # A Run keeps what it was told, and there are thousands of these.

    def ask(self, *words):
        """The output of a verb that must succeed."""
        return subprocess.run([BINARY, *words], stdout=subprocess.PIPE, check=True, timeout=20).stdout

    def verb(self, *words):
        """Not waited for: they get into each other's way."""
        self.verbs.append(subprocess.Popen([BINARY, *words], stdin=self.quiet, stdout=self.quiet,
                                           stderr=self.quiet))

    def are_over(self):
        self.events.pump(time.monotonic() + 0.01)
        self.run.pump(time.monotonic())
        self.verbs = [run for run in self.verbs if run.poll() is None]
        return not self.verbs

    def workers(self):
        return json.loads(self.ask("status", "--json"))["workers"]

    def pick(self):
        """The process of an instance that is up, if there is one."""
        up = [worker["pid"] for worker in self.workers() if worker["pid"]]
        return self.chance.choice(up) if up else None

    # -- what happens --

    def do_kill(self):
        if pid := self.pick():
            name = self.chance.choice(["KILL", "KILL", "SEGV", "TERM"])
            if alive(pid):
                kill(pid, name)
                self.killed.append((pid, name))

    def do_stop(self):
        if pid := self.pick():
            kill(pid, "STOP")
            self.stopped.append(pid)

    def do_continue(self):
        while self.stopped:
            kill(self.stopped.pop(), "CONT")

    def do_verb(self):
        name = self.chance.choice(WORKERS)
        self.verb(self.chance.choice(["start", "stop", "restart", "restart"]), name)

    def do_start_all(self):
        self.verb("start", "--all")

    def do_submit(self):
        for _ in range(self.chance.randrange(1, 6)):
            self.jobs += 1
            self.verb("submit", "--name", f"job{self.jobs}", "--as", self.chance.choice(WORKERS), "--",
                      "sh", "-c", f"sleep {self.chance.random() / 5}; exit {self.jobs % 3}")

    def do_leave(self):
        """Clients that leave in the middle of something."""
        for line in b"status --json\n", b"events\n", b"stop", b"wait-idle\n", b"restart base\n", b"":
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.path)
                client.sendall(line)

    def do_garbage(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            client.sendall(self.chance.randbytes(self.chance.randrange(1, 300)) + b"\n")

    def do_hurry(self):
        self.verb("drain")
        self.verb("drain", "off")
        self.run.send(self.chance.choice(["USR1", "WINCH", "CONT", "CHLD"]))

    def step(self):
        names = [name for name in dir(self) if name.startswith("do_")]
        name = self.chance.choice(names)
        getattr(self, name)()
        self.done[name] = self.done.get(name, 0) + 1
        self.events.pump(time.monotonic() + self.chance.random() / 20, self.run.pidfd)
        self.run.pump(time.monotonic())
        check(not self.run.ended(), f"the supervisor has ended with {self.run.status}")
        if len(self.verbs) > 40:
            self.do_continue()  # who waits for what is stopped would wait for ever
            until(lambda: self.are_over() or len(self.verbs) < 20, "verbs are over", 20)

    # -- and when it is over --

    def calm_down(self):
        """Everything is let go, and started; returns when all is ready and nothing is under way."""
        self.do_continue()
        try:
            until(self.are_over, "all verbs are over", 20)
        except Failure as failure:
            rows = [(w["name"], w["state"], w["pid"], w["uptime"], w["last_end"],
                     state(w["pid"]) if w["pid"] else None) for w in self.workers()]
            raise Failure(f"{failure}: {[run.args[1:] for run in self.verbs]}: {rows}") from None
        self.ask("drain", "off")

        def all_ready():
            self.ask("start", "--all", "--no-wait")
            self.events.pump(time.monotonic() + 0.02)
            return all(worker["state"] == "ready" for worker in self.workers())
        until(all_ready, "all is ready", 20)

    def resources(self):
        pid = self.run.pid
        return (len(os.listdir(f"/proc/{pid}/fd")), int(status_field(pid, "VmRSS").split()[0]))

    def check_events(self):
        events = [json.loads(line) for line in self.events.out.splitlines()]
        lost = sum(event["count"] for event in events if event["event"] == "lost")
        equal(lost, 0, "events that were lost")
        # What was started ended, once, before its pid was anybody else's; who ran before we
        # followed has an end only.
        lives = {}
        for event in events:
            if event["event"] in ("started", "ended"):
                lives.setdefault(event["pid"], []).append(event)
        for pid, life in lives.items():
            kinds = [event["event"] for event in life]
            whole = kinds[1:] if kinds[0] == "ended" else kinds
            check(whole == ["started", "ended"] * (len(whole) // 2), f"the lives of {pid}: {life}")
        for pid, name in self.killed:
            check(any(event["event"] == "ended" for event in lives.get(pid, [])),
                  f"nothing was told of the end of {pid}, which we have killed by {name}")
        queued = [event["name"] for event in events
                  if event["event"] == "queued" and event["name"].startswith("job")]
        ended = [event["name"] for event in events
                 if event["event"] in ("ended", "dropped") and event["name"].startswith("job")]
        equal(sorted(ended), sorted(queued), "jobs that ended")


def chaos():
    it = Chaos()
    it.start()
    it.calm_down()
    before = it.resources()
    end = time.monotonic() + SECONDS * PATIENCE
    while time.monotonic() < end:
        it.step()
    it.calm_down()
    until(lambda: it.resources()[0] <= before[0], f"there are {before[0]} descriptors again")
    if MODE == "plain":
        grown = it.resources()[1] - before[1]
        check(grown <= 1024, f"it has grown by {grown} KiB")
    everything = descendants(it.run.pid)
    it.run.send("TERM")
    it.run.wait(25)
    it.events.wait()
    equal(it.run.left, [], "what is left")
    until(lambda: not any(alive(pid) for pid in everything), "all are gone")
    it.check_events()
    return it


@deadline(60 + 3 * SECONDS)
def test_chaos():
    try:
        chaos()
    except Failure as failure:
        raise Failure(f"AIORUN_TEST_SEED={SEED}: {failure}") from None
