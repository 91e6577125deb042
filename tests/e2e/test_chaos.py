"""A fleet to which everything happens at once: its workers are killed, stopped, flooded, started and
restarted, its file is read anew, good or bad, by a plan that a seed makes.  In between, once all is
calm, nothing may have grown, and everybody must be who the status says; at the end nothing may be
left, and what `aiorun events` told must be what was done.

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

from harness import (BINARY, MODE, PATIENCE, Failure, Run, alive, check, children, deadline,
                     descendants, equal, kill, state, status_field, until, victim)
from speaker import environment_of
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

# Feeds its watchdog by sd_notify(3), forgets it now and then, and answers at its socket.
SERVER = """import os, random, select, signal, socket
chance = random.Random(int(os.environ["SEED"]) + os.getpid())
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
web = socket.socket(fileno=3)
web.setblocking(False)
manager.send(b"READY=1")
while True:
    if select.select([web], [], [], 0.1)[0]:
        try:
            web.accept()[0].close()
        except BlockingIOError:
            pass
    what = chance.randrange(60)
    if what == 0:
        manager.send(b"WATCHDOG=trigger")
    elif what == 1:
        signal.pause()
    elif what < 6:
        manager.send(b"STATUS=%d\\nEXTEND_TIMEOUT_USEC=300000\\nRELOADING=1" % what)
    else:
        manager.send(b"WATCHDOG=1")
"""

# Has jobs shielded: in the foreground, in the background, with a caller that is gone, in a job.
SHIELDING = """trap 'exit 0' TERM
printf '\\n' >&5
while :; do
    $AIORUN shield -- sleep 0.05
    $AIORUN shield --name inner -- $AIORUN shield -- sleep 0.05 &
    (setsid $AIORUN shield --deadline 0.2 -- sleep 0.4 &)
    $AIORUN submit -- $AIORUN shield -- sleep 0.05
    sleep 0.3
done
"""

SETTINGS = """
[aiorun]
timeout = 10s
executor-workers = 4
"""
RESTART = """restart = always
restart-delay = 10ms..50ms
env.SEED = {seed}
env.AIORUN = {aiorun}
"""
SECTIONS = {
    "base": "command = {calm}",
    "restless": """command = python3 {here}/restless.py
instances = 3
after = base
ready = control
stop-timeout = 2s
output = prefix""",
    "needy": """command = {calm}
instances = 2
needs = base
max-age = 2s
output = pipe:cat""",
    "deaf": """command = {deaf}
stop-timeout = 100ms
before-start = sleep 0.02
after-stop = sleep 0.02
output = null""",
    "well": """command = {calm}
health = sh -c 'exit 0' every 50ms timeout 1s retries 1
output = file:{here}/well.log""",
    "asked": """command = {calm}
ready = exec:test {chance} -lt 3
ready-timeout = 2s
health = test $AIORUN_INSTANCE -lt 3 every 100ms timeout 1s retries 2
output = pipe:sh -c 'head -n 3 >/dev/null'""",
    "server": """command = python3 {here}/server.py
instances = 2
listen = unix:{here}/web.sock
ready = notify
ready-timeout = 5s
watchdog = 2s
output = prefix""",
    "shielding": """command = sh {here}/shielding.sh
ready = fd:5
shield-timeout = 1s
stop-timeout = 1s""",
}
FAULTY = ["", "\0\1\2", "[worker:base]\n", "[aiorun]\ntimeout = 10s\nno-such-key = 1\n",
          "[worker:web]\ncommand = true\nafter = nobody\n", "[worker:web\ncommand = true\n",
          "[worker:web]\ncommand = /no/such/program\nlisten = unix:/no/such/place/sock\n"]


class Chaos:
    def __init__(self):
        self.chance = random.Random(SEED)
        self.killed = []    # pids of runs that we have killed
        self.stopped = []   # pids that are to be continued
        self.verbs = []     # those that still run
        self.guests = []    # and those that may run for ever
        self.silent = []    # connections to the admin socket: they say, or read, nothing
        self.jobs = 0
        self.done = {}
        self.quiet = os.open("/dev/null", os.O_RDWR)

    def write(self, sections):
        how = {"here": Path.cwd(), "seed": SEED, "aiorun": BINARY, "chance": 0,
               "calm": shlex.join(victim("on TERM [ exit 0 ] say up pause")),
               "deaf": shlex.join(victim("ignore TERM say up pause"))}
        text = SETTINGS + "".join(f"[worker:{name}]\n{text}\n{RESTART}"
                                  for name, text in sections.items())
        Path("new.ini").write_text(text.format(**how))
        os.rename("new.ini", "fleet.ini")
        return Path("fleet.ini").read_text()

    def start(self):
        Path("restless.py").write_text(RESTLESS)
        Path("server.py").write_text(SERVER)
        Path("shielding.sh").write_text(SHIELDING)
        self.run = fleet(self.write(SECTIONS), "--log-format", "text", stdout=self.quiet)
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

    def spawn(self, *words):
        return subprocess.Popen([BINARY, *words], stdin=self.quiet, stdout=self.quiet,
                                stderr=self.quiet)

    def verb(self, *words):
        """Not waited for: they get into each other's way."""
        self.verbs.append(self.spawn(*words))

    def are_over(self):
        self.listen()
        self.verbs = [run for run in self.verbs if run.poll() is None]
        return not self.verbs

    def listen(self, seconds=0.01):
        """Who follows the events must not be late."""
        self.events.pump(time.monotonic() + seconds, self.run.pidfd)
        self.run.pump(time.monotonic())

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

    def do_kill_any(self):
        """Whoever it is: a job, a helper, a question, a wrapper."""
        if below := descendants(self.run.pid):
            kill(self.chance.choice(below), self.chance.choice(["KILL", "TERM", "HUP"]))

    def do_stop(self):
        if pid := self.pick():
            kill(pid, "STOP")
            self.stopped.append(pid)

    def do_continue(self):
        while self.stopped:
            kill(self.stopped.pop(), "CONT")

    def do_verb(self):
        name = self.chance.choice(list(SECTIONS))
        self.verb(self.chance.choice(["start", "stop", "restart", "restart"]), name)

    def do_start_all(self):
        self.verb("start", "--all")

    def do_restart_all(self):
        self.verb("restart", "--all")

    def do_signal(self):
        self.verb("signal", self.chance.choice(["HUP", "TERM", "CONT"]),
                  self.chance.choice(list(SECTIONS)))

    def do_submit(self):
        for _ in range(self.chance.randrange(1, 6)):
            self.jobs += 1
            self.verb("submit", "--name", f"job{self.jobs}", "--as",
                      self.chance.choice(list(SECTIONS)), "--",
                      "sh", "-c", f"sleep {self.chance.random() / 5}; exit {self.jobs % 3}")

    def do_reload(self):
        """Somebody has come, gone or changed; by a verb, or by two signals one after the other."""
        sections = dict(SECTIONS)
        for name in self.chance.sample(list(SECTIONS), self.chance.randrange(4)):
            what = self.chance.randrange(4)
            if what == 0 and name != "base":
                del sections[name]
            elif what == 1:
                sections[name] += f"\nenv.NEW = {self.chance.randrange(3)}"
            elif what == 2 and "instances" not in sections[name]:
                sections[name] += f"\ninstances = {self.chance.randrange(1, 5)}"
            elif what == 3:
                sections[name + "2"] = sections[name].replace("web.sock", "web2.sock")
        if "server" not in sections:
            sections["server"] = SECTIONS["server"]  # its socket is never to be closed
        names = list(sections)
        self.chance.shuffle(names)
        self.write({name: sections[name] for name in names})
        if self.chance.randrange(2):
            self.verb("reload")
        else:
            self.run.send("HUP")
            self.run.send("HUP")

    def do_reload_badly(self):
        Path("fleet.ini").write_text(self.chance.choice(FAULTY))
        self.verb("reload")

    def do_connect(self):
        """Whatever happens to its workers, its socket is there."""
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            equal(client.connect_ex("web.sock") in (0, 11), True, "somebody listens")

    def do_leave(self):
        """Clients that leave in the middle of something."""
        for line in (b"status --json\n", b"events\n", b"stop", b"wait-idle\n", b"restart base\n",
                     b"reload\n", b""):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(self.path)
                client.sendall(line)

    def do_be_silent(self):
        """Clients that say nothing, or never read what they asked for."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.sendall(self.chance.choice([b"", b"ev", b"events --json\n", b"status --json\n"]))
        self.silent.append(client)
        if len(self.silent) > 6:
            self.silent.pop(0).close()

    def do_visit(self):
        self.guests.append(self.spawn(*self.chance.choice(
            [["wait-idle"], ["events"], ["status", "--watch"], ["submit", "--wait", "sleep", "9"]])))
        if len(self.guests) > 6:
            guest = self.guests.pop(0)
            guest.kill()
            guest.wait()
        self.guests = [run for run in self.guests if run.poll() is None]

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
        self.listen(self.chance.random() / 20)
        check(not self.run.ended(), f"the supervisor has ended with {self.run.status}")
        if len(self.verbs) > 25:
            self.do_continue()  # who waits for what is stopped would wait for ever
            until(lambda: self.are_over() or len(self.verbs) < 15, "verbs are over", 20)

    # -- and when it is over --

    def see_everybody_off(self):
        for guest in self.guests:
            guest.kill()
            guest.wait()
        for client in self.silent:
            client.close()
        self.guests, self.silent = [], []

    def calm_down(self):
        """Everything is let go, and started; returns when all is ready and nothing is under way."""
        self.do_continue()
        self.see_everybody_off()
        try:
            until(self.are_over, "all verbs are over", 20)
        except Failure as failure:
            rows = [(w["name"], w["state"], w["pid"], w["uptime"], w["last_end"],
                     state(w["pid"]) if w["pid"] else None) for w in self.workers()]
            raise Failure(f"{failure}: {[run.args[1:] for run in self.verbs]}: {rows}") from None
        self.ask("drain", "off")
        self.write(SECTIONS)
        until(lambda: self.spawn("reload").wait(20) == 0, "the file is read anew", 20)

        def all_ready():
            self.ask("start", "--all", "--no-wait")
            self.listen(0.02)
            return all(worker["state"] == "ready" for worker in self.workers())
        until(all_ready, "all is ready", 20)

    def check_state(self):
        """What the status says is what there is."""
        def agrees():
            self.listen()
            shown = {worker["pid"]: worker for worker in self.workers() if worker["pid"]}
            below = children(self.run.pid)
            if any(state(pid) == "Z" for pid in below):
                return False
            for pid, worker in shown.items():
                try:
                    theirs = environment_of(pid)
                except OSError:
                    return False
                if (pid not in below or theirs.get("AIORUN_WORKER", worker["worker"]) !=
                        worker["worker"]):
                    return False
            # An instance that becomes the only one of its worker, or one of several, goes on under
            # another name.
            told = {}
            for event in self.told():
                if event["event"] == "started":
                    told[event["pid"]] = event["name"].split(":")[0]
                elif event["event"] == "ended":
                    told[event.get("pid")] = None
            return all(told.get(pid, worker["worker"]) == worker["worker"]
                       for pid, worker in shown.items())
        until(agrees, "status, events and processes agree", 20)

    def resources(self):
        pid = self.run.pid
        return (len(os.listdir(f"/proc/{pid}/fd")), int(status_field(pid, "VmRSS").split()[0]))

    def told(self):
        text = self.events.out
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def check_events(self):
        events = self.told()
        lost = sum(event["count"] for event in events if event["event"] == "lost")
        equal(lost, 0, "events that were lost")
        # What was started ended, once, before its pid was anybody else's.  Who ran before we
        # followed has an end only, and a process that became a job was shielded instead.
        lives = {}
        for event in events:
            life = lives.setdefault(event.get("pid"), [])
            joined = event["event"] == "shielded" and (not life or life[-1]["event"] == "ended")
            if event["event"] in ("started", "ended") or joined:
                life.append(event)
        lives.pop(None)  # what could not be started
        for pid, life in lives.items():
            begun = [event["event"] == "ended" for event in life]
            whole = begun[1:] if begun and begun[0] else begun
            check(whole == [False, True] * (len(whole) // 2), f"the lives of {pid}: {life}")
        for pid, name in self.killed:
            check(any(event["event"] == "ended" for event in lives.get(pid, [])),
                  f"nothing was told of the end of {pid}, which we have killed by {name}")
        queued = [event["name"] for event in events
                  if event["event"] == "queued" and event["name"].startswith("job")]
        ended = [event["name"] for event in events
                 if event["event"] in ("ended", "dropped") and event["name"].startswith("job")]
        equal(sorted(ended), sorted(queued), "jobs that ended")

    def end(self):
        """In the middle of it all."""
        for _ in range(20):
            self.step()
        everything = descendants(self.run.pid)
        self.run.send("TERM")
        self.do_continue()
        until(lambda: self.listen() or self.run.ended(), "it ends", 25)
        ours = [run.pid for run in self.verbs + self.guests]
        self.events.wait()
        self.see_everybody_off()
        until(self.are_over, "all verbs are over", 20)
        equal([pid for pid in self.run.left if pid not in ours], [], "what is left")
        until(lambda: not any(alive(pid) for pid in everything), "all are gone")
        self.check_events()


def chaos():
    it = Chaos()
    it.start()
    it.calm_down()
    start = time.monotonic()
    before = it.resources()
    for part in 0.5, 1:
        reloads = it.done.get("do_reload", 0)
        middle = it.resources()
        while time.monotonic() < start + part * SECONDS * PATIENCE:
            it.step()
        it.calm_down()
        it.check_state()
        until(lambda: it.listen() or it.resources()[0] <= before[0],
              f"there are {before[0]} descriptors again")
    if MODE == "plain":
        grown = it.resources()[1] - middle[1]
        limit = 1024 if reloads > 30 else 8192  # malloc(3) keeps what the first ones needed
        check(grown <= limit, f"it has grown by {grown} KiB")
    it.end()


@deadline(60 + 3 * SECONDS)
def test_chaos():
    try:
        chaos()
    except Failure as failure:
        raise Failure(f"AIORUN_TEST_SEED={SEED}: {failure}") from None
