"""The shop of conf/examples below aiorun: nginx, two web servers behind it, and redis behind those."""
import json
import os
import re
import threading
import time
from pathlib import Path

from harness import (BINARY, ROOT, Run, aiorun, alive, cases, check, deadline, descendants, equal,
                     expect_gone, free_port, kill, needs, stat, until)
from test_servers import get

EXAMPLES = ROOT / "conf" / "examples"


class Shop:
    """shop.ini with ports of our own, in this directory."""

    def __init__(self, *options):
        self.port, self.web, self.redis = free_port(), free_port(), free_port()
        self.adapt("shop-nginx.conf", "shop.ini")
        self.run = aiorun("--config", "shop.ini", *options, before=lambda: os.umask(0o022))
        self.seen = Run([BINARY, "events", "--json"]) if self.up() else None

    def adapt(self, *names):
        for name in names:
            text = (EXAMPLES / name).read_text()
            for old, new in (("8080", self.port), ("8081", self.web), ("6379", self.redis),
                             ("../conf/examples/shop-nginx.conf", "../shop-nginx.conf"),
                             ("conf/examples/web-worker.py", EXAMPLES / "web-worker.py")):
                text = text.replace(old, str(new))
            Path(name).write_text(text)
        # nginx sets up its own processes as its own user, who must come through here.
        os.makedirs("build", exist_ok=True)

    def up(self):
        until(lambda: self.run.ended() or get(self.port), "the shop is open", 20)
        return until(lambda: self.run.ended() or self.all_ready(), "all are ready")

    def all_ready(self):
        return {worker["state"] for worker in self.workers().values()} == {"ready"}

    def ask(self, *words, status=0):
        run = Run([BINARY, *words])
        run.end(status)
        return run.out

    def workers(self):
        shown = json.loads(self.ask("status", "--json"))["workers"]
        return {worker["name"]: worker for worker in shown}

    def pids(self):
        return {name: worker["pid"] for name, worker in self.workers().items()}

    def follows(self):
        """`aiorun events` is connected: it tells of something that we do."""
        def told():
            self.ask("submit", "--wait", "--name", "probe", "--", "true")
            self.seen.pump(time.monotonic() + 0.05)
            return "probe" in self.seen.out
        until(told, "events are told")

    def events(self):
        """What was told, without the probes."""
        events = [json.loads(line) for line in self.seen.out.splitlines()]
        return [event for event in events if event.get("name") != "probe"]

    def close(self):
        everything = descendants(self.run.pid)
        self.run.send("TERM")
        self.run.end(0)
        expect_gone(*everything)
        if self.seen:
            self.seen.end(0)


def started(pid):
    """When the process was started, in clock ticks."""
    return int(stat(pid)[19])


# ---- load ----

class Load:
    """Clients that ask again and again, each request on a connection of its own."""

    def __init__(self, port, clients=4):
        self.port, self.done, self.failed, self.over = port, 0, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.over:
            answer = get(self.port)
            with self.lock:
                self.done += 1
                if not answer or not re.match(rb"visitor \d+ served by \d+\n$", answer):
                    self.failed.append(answer)

    def more(self, count):
        """Wait until so many more were answered."""
        wanted = self.done + count
        until(lambda: self.done >= wanted, f"{count} more requests are answered", 20)

    def end(self):
        self.over = True
        for thread in self.threads:
            thread.join()
        equal(self.failed, [], f"failures among {self.done} requests")


# ---- tests ----

@needs("nginx", "redis-server", "redis-cli")
def test_each_waits_for_the_one_before_it():
    shop = Shop()
    pids = shop.pids()
    times = [started(pids[name]) for name in ("redis", "web:0", "nginx")]
    equal(times, sorted(times), "when they were started")
    check(started(pids["redis"]) <= started(pids["web:1"]) <= started(pids["nginx"]),
          "the other instance, too")
    answers = [get(shop.port) for _ in range(3)]
    visitors = [int(re.match(rb"visitor (\d+)", answer).group(1)) for answer in answers]
    equal(visitors, list(range(visitors[0], visitors[0] + 3)), "redis counts")
    shop.close()


@needs("nginx", "redis-server", "redis-cli")
def test_they_end_in_the_reverse_order():
    shop = Shop()
    shop.follows()
    shop.close()
    events = shop.events()
    asked = [event["name"] for event in events if event["event"] == "asked"]
    ended = [event["name"] for event in events if event["event"] == "ended"]
    for order in asked, ended:
        equal([order[0], sorted(order[1:3]), order[3]], ["nginx", ["web:0", "web:1"], "redis"],
              "order")
    places = {(event["event"], event.get("name")): n for n, event in enumerate(events)}
    check(places["ended", "nginx"] < min(places["asked", f"web:{n}"] for n in range(2)),
          "nginx is gone before its web servers are asked")
    check(max(places["ended", f"web:{n}"] for n in range(2)) < places["asked", "redis"],
          "they are gone before redis is asked")
    ends = {event["name"]: event["end"] for event in events if event["event"] == "ended"}
    equal(ends, dict.fromkeys(ends, {"kind": "exited", "value": 0}), "ends")


@needs("nginx", "redis-server", "redis-cli")
@cases("redis", "web:1", "nginx")
def test_what_is_killed_comes_back(name):
    shop = Shop()
    shop.follows()
    before = shop.pids()
    killed = time.monotonic()
    kill(before[name])

    def is_back():
        worker = shop.workers()[name]
        return worker["state"] == "ready" and worker["pid"] != before[name]
    until(is_back, "it is back")
    check(time.monotonic() - killed >= 0.1, "it came back before its restart-delay")
    worker = shop.workers()[name]
    equal((worker["restarts"], worker["last_end"]), (1, {"kind": "killed", "value": 9}), "it")
    untouched = {n: pid for n, pid in before.items() if n != name}
    equal({n: pid for n, pid in shop.pids().items() if n != name}, untouched, "the others")
    until(lambda: (get(shop.port) or b"").startswith(b"visitor"), "the shop is open")
    shop.close()
    events = [(event["event"], event["pid"]) for event in shop.events()
              if event.get("name") == name and event["event"] in ("started", "ended", "ready")]
    events = events[events.index(("ended", before[name])):]  # before it, it may have become ready
    after = events[1][1]
    equal(events, [("ended", before[name]), ("started", after), ("ready", after),
                   ("ended", after)], "events")


@needs("nginx", "redis-server", "redis-cli")
def test_what_keeps_dying_waits_longer_each_time():
    shop = Shop()
    shop.follows()
    for _ in range(4):
        kill(until(lambda: shop.pids()["web:0"], "it is up"))
        shop.seen.line('"restart","name":"web:0"')
    until(lambda: shop.workers()["web:0"]["state"] == "ready", "it is back")
    shop.close()
    delays = [event["delay"] for event in shop.events() if event["event"] == "restart"]
    equal(delays, [0.1, 0.2, 0.4, 0.8], "delays")


@deadline(60)
@needs("nginx", "redis-server", "redis-cli")
@cases(behind="port", alone="web")
def test_web_servers_are_replaced_and_no_request_fails(place):
    """Behind nginx, and alone, where every connection is one of the socket that aiorun keeps."""
    shop = Shop()
    before = shop.pids()
    load = Load(getattr(shop, place))
    load.more(50)
    for _ in range(3):
        shop.ask("restart", "web")
        load.more(50)
    load.end()
    after = shop.pids()
    check(not {before["web:0"], before["web:1"]} & {after["web:0"], after["web:1"]}, "all are new")
    equal((after["redis"], after["nginx"]), (before["redis"], before["nginx"]), "the others")
    shop.close()


@deadline(60)
@needs("nginx", "redis-server", "redis-cli", "wrk")
def test_web_servers_are_replaced_below_wrk_and_no_request_fails():
    shop = Shop()
    load = Run(["wrk", "-t", "2", "-c", "16", "-d", "6s", f"http://127.0.0.1:{shop.port}/"])
    while not load.ended():
        shop.ask("restart", "web")
    load.end(0)
    check(int(re.search(r"(\d+) requests in", load.out).group(1)) > 100, load.out)
    check("Non-2xx" not in load.out and "Socket errors" not in load.out, load.out)
    shop.close()


@needs("nginx", "redis-server", "redis-cli")
def test_request_that_was_accepted_is_answered_although_everything_ends():
    shop = Shop()
    answers = []
    client = threading.Thread(target=lambda: answers.append(slow(shop.port)))
    client.start()
    # It is under way when a web server has a connection that nginx opened.
    until(lambda: connections(shop.web), "the request is under way")
    shop.close()
    client.join()
    check(answers[0].startswith(b"visitor"), repr(answers))


def slow(port):
    import http.client
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/slow")
    return connection.getresponse().read()


def connections(port):
    """How many there are to a local port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = f"0100007F:{port:04X}"
    return sum(line.split()[1] == local and line.split()[3] == "01" for line in lines)


@needs("nginx", "redis-server", "redis-cli")
def test_all_are_gone_although_the_supervisor_is_killed():
    shop = Shop()
    everything = descendants(shop.run.pid)
    kill(shop.run.pid)
    shop.run.wait()
    shop.seen.wait()
    until(lambda: not any(alive(pid) for pid in everything), "all are gone", 15)
