"""--report: the shutdown as a timeline, in every form, compared with what really happened."""
import fcntl
import json
import os
import re
import signal
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

from harness import (BINARY, VICTIM, aiorun, alive, cases, check, deadline, equal, launch, needs, pause, pid1, shell,
                     until, victim)
from speaker import pipe_of
from test_admin_fleet import ask, workers
from test_output import fleet, worker

PHASES = ["entered", "drain", "cancel", "orphans", "closed"]
SEED = ["Stopping the loop", "Entering shutdown phase", "Cancelling pending tasks",
        "Running pending tasks till complete", "Waiting for executor shutdown", "Closing the loop",
        "Leaving. Bye!"]
STUBBORN = "ignore TERM spawn [ say child pause ] say ready pause"


def load(path="report.json"):
    """The report, with what is true of every one checked."""
    told = json.loads(Path(path).read_text())
    equal((told["format"], told["version"]), ("aiorun-report", 1), "the format")
    equal([phase["name"] for phase in told["phases"]], PHASES, "the phases")
    for before, after in zip(told["phases"], told["phases"][1:]):
        equal(before["to_ms"], after["from_ms"], f"the end of {before['name']}")
    equal(told["phases"][0]["from_ms"], 0, "the beginning")
    times = [event["ms"] for event in told["events"]]
    equal(times, sorted(times), "the events' order")
    for process in told["processes"]:
        steps = [process[key] for key in ("started_ms", "asked_ms", "killed_ms", "ended_ms")]
        steps = [step for step in steps if step is not None]
        equal(steps, sorted(steps), f"the steps of {process}")
        equal(process["killed_ms"] is None, process["killed_because"] is None, "killed and why")
    return told


def process(told, pid):
    found = [one for one in told["processes"] if one["pid"] == pid]
    equal(len(found), 1, f"processes with pid {pid}")
    return found[0]


def phase(told, name):
    return next(one for one in told["phases"] if one["name"] == name)


def took(told, name):
    return phase(told, name)["to_ms"] - phase(told, name)["from_ms"]


def texts(told, kind):
    return [event["text"] for event in told["events"] if event["kind"] == kind]


def stopped(script, *options, statuses=("KILL",), report="report.json", **how):
    """A run that was asked to stop when it was ready, and the PID that its command had."""
    run = launch(script, "--report", report, *options, **how)
    run.line("ready")
    command = run.command
    run.send("TERM")
    run.end(*statuses)
    return run, command


# ---- facts ----

@cases(share=(), none=("--terminal", "none"))
def test_refuser_is_killed_at_the_cap_and_its_child_with_it(*options):
    run, command = stopped("ignore TERM spawn [ print pids pause ] say ready pause", "--timeout", "1s",
                           *options)
    child = int(re.search(r"pids pid=(\d+)", run.out).group(1))
    told = load()
    trigger = told["trigger"]
    equal((trigger["kind"], trigger["signal"], trigger["sender"], trigger["from_kernel"]),
          ("signal", "TERM", os.getpid(), False), "the trigger")
    equal((told["timeout_ms"], told["end"]), (1000, {"kind": "killed", "signal": "KILL"}), "the end")
    check(1000 <= told["took_ms"] < 6000, f"took {told['took_ms']} ms")
    main, other = process(told, command), process(told, child)
    equal((main["worker"], main["role"], other["worker"], other["role"]),
          ("main", "run", "main", "member"), "who is who")
    for one in main, other:
        equal(one["killed_because"], "cap", "why it was killed")
        equal(one["end"], {"kind": "killed", "signal": "KILL"}, "how it ended")
        check(1000 <= one["killed_ms"] <= one["ended_ms"], f"times of {one}")
        equal(one["state"], "sleeping", "its state")
        check("victim ignore TERM" in one["command"], "its command")
    check(main["asked_ms"] < 500 <= other["asked_ms"], "the child is asked when the reserve begins")
    equal(phase(told, "cancel")["waited_for"]["worker"], "main", "who was waited for")
    # The command may have said that it is ready before aiorun knew that it was started.
    check(main["started_ms"] <= 0, "it was there before")


def test_command_that_obeys_is_followed_from_its_stop_request_to_its_end():
    _, command = stopped("on TERM [ sleep 300ms exit 3 ] say ready pause", statuses=(3,))
    told = load()
    main = process(told, command)
    equal((main["end"], main["killed_ms"]), ({"kind": "exited", "status": 3}, None), "its end")
    check("victim on TERM [ sleep 300ms exit 3 ] say ready pause" in main["command"], "its command")
    check(300 <= main["ended_ms"] - main["asked_ms"] < 5000, "how long it took")
    equal(told["end"], {"kind": "exited", "status": 3}, "aiorun's end")
    equal(phase(told, "cancel")["waited_for"], {"worker": "main", "pid": command}, "waited for")
    equal(texts(told, "signal-sent"), [f"main (pid {command}): SIGTERM sent"], "what was sent")


def test_child_whose_end_its_parent_saw_is_gone_by_then():
    """Only its parent is told how it ended; that it is gone is seen at the next look."""
    run = launch("spawn [ on TERM [ exit 0 ] print pids pause ] ignore TERM say ready wait say waited"
                 " pause", "--report", "report.json", "--timeout", "2s")
    child = run.pids()["pid"]
    run.line("ready")
    run.send("TERM")
    run.line("waited")
    run.end("KILL")
    one = process(load(), child)
    equal((one["ended_ms"], one["end"], one["killed_ms"]), (None, None, None), "what was not seen")
    check(one["asked_ms"] < one["gone_by_ms"] < 6000, f"its times: {one}")


def test_command_that_ends_is_the_trigger():
    run = launch("exit 4", "--report", "report.json")
    run.end(4)
    told = load()
    trigger = told["trigger"]
    equal((trigger["kind"], trigger["worker"], trigger["end"]),
          ("nothing-left", "main", {"kind": "exited", "status": 4}), "the trigger")
    main = process(told, trigger["pid"])
    check(main["ended_ms"] <= 0 and main["asked_ms"] is None, f"its times: {main}")


@needs("vfork")
def test_command_that_is_not_found_is_told():
    aiorun("--report", "report.json", "--", "./nosuchcommand").end(127)
    told = load()
    check("./nosuchcommand" in texts(told, "not-started")[0], "it is not named")
    equal(told["end"], {"kind": "exited", "status": 127}, "aiorun's end")


def test_success_status_is_applied_before_the_report():
    stopped("say ready pause", "--success-status", "requested", statuses=(0,))
    equal(load()["end"], {"kind": "exited", "status": 0}, "aiorun's end")


def test_callback_and_drain_delay_have_their_time():
    _, command = stopped("on TERM [ exit 0 ] say ready pause", "--drain-delay", "300ms",
                         "--shutdown-callback", "sh -c 'sleep 0.3; exit 6'", statuses=(6,))
    told = load()
    callback = next(one for one in told["processes"] if one["worker"] == "shutdown-callback")
    equal(callback["end"], {"kind": "exited", "status": 6}, "the callback's end")
    equal(callback["command"], "sh -c 'sleep 0.3; exit 6'", "the callback's command")
    check(took(told, "entered") >= 300 and took(told, "drain") >= 300, "the phases' times")
    equal(phase(told, "entered")["waited_for"]["pid"], callback["pid"], "the entered phase's")
    equal(phase(told, "drain")["waited_for"], None, "the drain delay's")
    check(process(told, command)["asked_ms"] >= 600, "main was asked after both")
    check(any("shutdown-callback" in text for text in texts(told, "error")), "no failure")


def test_handler_comes_before_the_trigger():
    stopped("on TERM [ exit 0 ] say ready pause", "--shutdown-handler", "sh -c 'sleep 0.2'",
            statuses=(0,))
    told = load()
    handler = next(one for one in told["processes"] if one["worker"] == "shutdown-handler")
    check(handler["started_ms"] <= -200 and handler["ended_ms"] <= 0, f"its times: {handler}")
    equal((told["trigger"]["signal"], told["trigger"]["sender"]), ("TERM", os.getpid()), "the trigger")


def test_stop_timeout_is_a_deadline():
    _, command = stopped("ignore TERM say ready pause", "--stop-timeout", "300ms")
    main = process(load(), command)
    equal(main["killed_because"], "deadline", "why")
    check(300 <= main["killed_ms"] < 5000, "when")


def test_every_signal_of_a_ladder_has_its_time():
    stopped("report TERM report USR1 say ready pause", "--stop", "TERM 300ms, USR1 200ms, KILL")
    told = load()
    sent = [(event["signal"], event["ms"]) for event in told["events"]
            if event["kind"] == "signal-sent"]
    equal([name for name, _ in sent], ["TERM", "USR1"], "the signals")
    check(sent[0][1] < 250 < 290 <= sent[1][1], f"their times: {sent}")


def test_signals_that_are_passed_on_are_told():
    run = launch("report USR1 on TERM [ exit 0 ] say ready pause", "--report", "report.json")
    run.line("ready")
    run.send("USR1")
    run.line("got USR1")
    run.send("TERM")
    run.end(0)
    told = load()
    check(any(event["signal"] == "USR1" and event["pid"] == os.getpid() and event["ms"] <= 0
              for event in told["events"] if event["kind"] == "signal-arrived"), "not arrived")
    check(any("SIGUSR1 sent" in text for text in texts(told, "signal-sent")), "not sent")


def test_orphans_that_refuse_are_killed_and_told():
    run, command = stopped("orphan 1 [ setsid ignore TERM print pids pause ] on TERM [ exit 0 ]"
                           " say ready pause", "--timeout", "1s", statuses=(0,))
    orphan = int(re.search(r"pids pid=(\d+)", run.out).group(1))
    told = load()
    one = process(told, orphan)
    equal((one["role"], one["worker"], one["killed_because"]), ("orphan", "orphans", "cap"), "who")
    equal(one["end"], {"kind": "killed", "signal": "KILL"}, "its end")
    equal(phase(told, "orphans")["waited_for"], {"worker": "orphans", "pid": orphan}, "waited for")
    check(process(told, command)["ended_ms"] <= phase(told, "orphans")["from_ms"], "main was first")


def test_orphans_that_are_left_alone_are_not_said_to_have_ended():
    run = launch("orphan 1 [ setsid print pids pause ] on TERM [ exit 0 ] say ready pause",
                 "--report", "report.json", "--orphans", "leave")
    pid = run.pids()["pid"]
    run.line("ready")
    run.send("TERM")
    run.end(0, left=1)
    ends = [one["ended_ms"] for one in load()["processes"] if one["pid"] == pid]
    check(ends in ([], [None]), f"its end: {ends}")
    check(alive(pid), "it has ended")
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_forced_shutdown_is_told():
    run = launch("ignore TERM say ready pause", "--report", "report.json", "--repeat-signal",
                 "escalate")
    run.line("ready")
    command = run.command
    run.send("TERM")
    pause(1.2)
    run.send("TERM")
    run.end("KILL")
    told = load()
    equal(process(told, command)["killed_because"], "forced", "why it was killed")
    equal(len(texts(told, "forced")), 1, "times it was forced")


def test_slow_shutdown_tells_who_it_waited_for():
    _, command = stopped("on TERM [ sleep 3500ms exit 0 ] say ready pause", statuses=(0,))
    waiting = [event for event in load()["events"] if event["kind"] == "waiting"]
    equal([event["pid"] for event in waiting], [command], "whom it waited for")
    check(waiting[0]["ms"] >= 3000, "it was told too early")


def test_error_that_stops_the_loop_is_the_trigger():
    run = launch("exit 5", "--forever", "--stop-on-unhandled-errors", "--report", "report.json")
    run.end(5)
    trigger = load()["trigger"]
    equal((trigger["kind"], trigger["end"]), ("error", {"kind": "exited", "status": 5}), "trigger")


def test_forever_without_a_command_is_reported():
    run = aiorun("--forever", "-vv", "--report", "report.json")
    run.log("Entering run")
    run.send("TERM")
    run.end(0)
    equal(load()["processes"], [], "processes")


def test_only_the_last_run_of_a_restarted_command_is_drawn():
    run = launch("append starts x exit 1", "--restart", "always", "--restart-delay", "10ms",
                 "--report", "report.json")
    until(lambda: Path("starts").exists() and len(Path("starts").read_text()) > 10, "it restarts")
    run.send("TERM")
    run.end()
    told = load()
    check(len([one for one in told["processes"] if one["role"] == "run"]) <= 1, "old runs are drawn")
    check(len(texts(told, "retry")) >= 5, "restarts are missing")


@needs("root", "unshare")
def test_as_pid_1():
    path = str(Path("report.json").absolute())
    run = pid1("--report", path, "--timeout", "1s", "--",
               *victim("ignore TERM orphan 1 [ setsid pause ] say ready pause"))
    run.line("ready")
    run.send("TERM")
    run.end(137)
    told = load()
    equal(sorted(one["worker"] for one in told["processes"]), ["main", "orphans"], "processes")
    for one in told["processes"]:
        equal(one["killed_because"], "cap", f"why {one['worker']} was killed")
        equal(one["end"], {"kind": "killed", "signal": "KILL"}, f"the end of {one['worker']}")


@deadline(60)
def test_more_than_the_ring_holds():
    """Thousands of adopted processes: the newest are told, and the rest counted."""
    run, command = stopped("orphan 2500 [ exit 0 ] on TERM [ exit 0 ] say ready pause", statuses=(0,))
    told = load()
    equal(len(told["events"]), 1024, "events")
    check(told["events_dropped"] > 1000, f"dropped: {told['events_dropped']}")
    equal(told["trigger"]["signal"], "TERM", "the trigger")
    main = process(told, command)
    check(main["started_ms"] < 0 <= main["asked_ms"] <= main["ended_ms"], f"its times: {main}")


# ---- shields ----

def shielded(*options, report="report.json"):
    """A run that holds three shields when it is asked to stop, and its pipe."""
    run = launch("on TERM [ exit 0 ] say ready pause", "--report", report, *options)
    run.line("ready")
    pipe = pipe_of(run)
    pipe.say("shield upload", "shield nested 30", "shield nested", "shield brief 0.2")
    pipe.seen()
    pause(0.1)  # a time to have held them
    run.send("TERM")
    check(pipe.line().startswith("shutdown signal "), "the stop request")
    return run, pipe


def fates(told):
    return {shield["name"]: shield["fate"] for shield in told["shields"]}


def test_shields_are_told_with_their_times_and_ends():
    run, pipe = shielded("--timeout", "20s")
    command = run.command
    pipe.say("shield late 10", "unshield nested", "unshield nested", "unshield late")
    pipe.seen()
    pause(0.3)  # the brief one is over
    pipe.say("unshield brief", "unshield upload")
    run.end(0)
    told = load()
    equal(fates(told), {"upload": "released", "nested": "released", "brief": "expired",
                        "late": "released"}, "how they ended")
    equal({(shield["worker"], shield["pid"]) for shield in told["shields"]}, {("main", command)},
          "whose they are")
    of = {shield["name"]: shield for shield in told["shields"]}
    for name in "upload", "nested", "brief":
        check(of[name]["from_ms"] <= -100, f"it was held before: {of[name]}")
    check(19900 <= of["upload"]["until_ms"] == of["nested"]["until_ms"] <= 20000, "the cap's time")
    equal(of["brief"]["until_ms"], of["brief"]["ended_ms"], "the end of its time")
    check(0 <= of["late"]["from_ms"] <= of["late"]["ended_ms"], f"times of {of['late']}")
    check(of["upload"]["ended_ms"] >= of["nested"]["ended_ms"] + 300, "the last one")


def test_shield_timeout_is_the_time_of_a_shield_without_one():
    run, pipe = shielded("--timeout", "20s", "--shield-timeout", "300ms")
    pipe.say("unshield nested", "unshield nested")
    run.end(0)
    upload = next(one for one in load()["shields"] if one["name"] == "upload")
    check(300 <= upload["until_ms"] < 5000 and upload["fate"] == "expired", upload)


def test_shields_end_with_their_holder_and_with_a_forced_shutdown():
    run, pipe = shielded("--timeout", "20s")
    os.kill(run.command, signal.SIGKILL)
    run.end("KILL")
    equal(fates(load())["upload"], "holder-ended", "how it ended")
    run, pipe = shielded("--timeout", "20s", "--repeat-signal", "escalate")
    pause(1.1)  # before that a repetition has no effect
    run.send("TERM")
    run.end(0)
    equal(fates(load())["upload"], "overruled", "how it ended")


def test_shielded_job_is_a_shield():
    run = launch(f"exec {BINARY} shield --name backup --deadline 10s -- {VICTIM} say job"
                 " sleep 500ms", "--report", "report.json")
    run.line("job")
    run.send("TERM")
    run.wait()
    [shield] = load()["shields"]
    equal((shield["name"], shield["fate"]), ("backup", "holder-ended"), "the shield")
    check(shield["from_ms"] < 0 and 5000 < shield["until_ms"] <= 10000, f"its times: {shield}")


@cases("report.html", "report.trace", "report.txt")
def test_shields_are_in_every_form(path):
    run, pipe = shielded(report=path)
    command = run.command
    pipe.say("unshield brief", "unshield nested", "unshield nested", "unshield upload")
    run.end(0)
    text = Path(path).read_text()
    if path == "report.txt":
        check(re.search(rf"^shield upload of main {command}: from -0\.\d+ to 0\.\d+ s, released; "
                        r"its time was until (60\.0|59\.9)\d\d s$", text, re.M), text)
    elif path == "report.trace":
        events = json.loads(text)["traceEvents"]
        span = next(one for one in events if one.get("cat") == "shield" and one["name"] == "upload")
        equal((span["args"]["worker"], span["args"]["fate"]), ("main", "released"), "its arguments")
        names = {one["tid"]: one["args"]["name"] for one in events if one["name"] == "thread_name"}
        equal(names[span["tid"]], f"shield upload of main {command}", "its track")
    else:
        cells = [cell.text for row in ElementTree.fromstring(text.partition("\n")[2]).iter("tr")
                 for cell in row]
        place = cells.index("upload")
        equal(cells[place + 1:place + 3], ["main", str(command)], "whose it is")
        check(59.9 <= float(cells[place + 4]) <= 60, f"its time: {cells[place + 4]}")
        equal(cells[place + 6], "released", "its end")
        equal(text.count('class="held"'), 4, "lines in the picture, and one that explains them")


# ---- forms ----

class Page(HTMLParser):
    """What an HTML parser makes of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        equal(self.open, [], "tags left open")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, "the tag that is closed")


def test_html_is_one_well_formed_page():
    _, command = stopped(STUBBORN, "--timeout", "1s", report="report.html")
    text = Path("report.html").read_text()
    page = Page(text)
    root = ElementTree.fromstring(text.partition("\n")[2])  # without the doctype
    check("SIGTERM" in root.find("head/title").text, "no title")
    for forbidden in ("script", "link", "img", "iframe", "object"):
        check(forbidden not in page.tags, f"there is a {forbidden}")
    for forbidden in ("://", "@import", "url(", "src="):
        check(forbidden not in text, f"{forbidden} refers to something else")
    check("prefers-color-scheme:dark" in text, "it is light only")
    picture = root.find("body/svg")
    rows = [group for group in picture.iter("g") if group.find("rect[@class='killed']") is not None]
    equal(len(rows), 2, "bars with a kill")
    check(all("time of the whole shutdown" in row.find("title").text for row in rows), "no tooltip")
    check(any(f"main {command}" in row.find("title").text for row in rows), "main has no bar")
    right = max(float(box.get("x")) + float(box.get("width")) for box in picture.iter("rect"))
    check(right <= float(picture.get("viewBox").split()[2]), "a bar leaves the picture")
    cells = ["".join(cell.itertext()) for cell in root.find("body/table").iter("td")]
    check(str(command) in cells, "main is not in the table")
    for table in root.iter("table"):
        sides = [[cell.get("class") == "n" for cell in row] for row in table.iter("tr")]
        check(all(row == sides[0] for row in sides), "a heading is not on the side of its numbers")


@cases("report.trace.json", "report.trace")
def test_trace_is_in_the_trace_event_format(path):
    _, command = stopped(STUBBORN, "--timeout", "1s", report=path)
    events = json.loads(Path(path).read_text())["traceEvents"]
    for event in events:
        check(event["ph"] in "XiM", f"phase of {event}")
        for key in ("pid", "tid", "ts"):
            check(isinstance(event[key], int) and event[key] >= 0, f"{key} of {event}")
        check(isinstance(event["name"], str) and event["name"], f"name of {event}")
        if event["ph"] == "X":
            check(isinstance(event["dur"], int) and event["dur"] >= 0, f"dur of {event}")
        if event["ph"] == "i":
            check(event["s"] in "tpg", f"scope of {event}")
    threads = {event["tid"]: event["args"]["name"] for event in events
               if event["name"] == "thread_name"}
    main = next(tid for tid, name in threads.items() if name == f"main {command}")
    spans = {event["name"]: event for event in events if event["ph"] == "X" and event["tid"] == main}
    equal(list(spans), ["up", "asked to stop", "killed"], "main's spans")
    check(900_000 <= spans["asked to stop"]["dur"] < 5_000_000, "microseconds")
    equal(spans["up"]["ts"] + spans["up"]["dur"], spans["asked to stop"]["ts"], "spans that touch")
    check({event["name"] for event in events if event["ph"] == "X" and event["tid"] == 0} ==
          set(PHASES), "the phases")


@cases("report.txt", "report", "json")
def test_text_is_what_all_other_names_ask_for(path):
    _, command = stopped(STUBBORN, "--timeout", "1s", report=path)
    text = Path(path).read_text()
    bar = re.search(rf"^main {command} +([ =#|K-]{{48}})  (\d+\.\d+)$", text, re.M)
    check(bar, "main has no bar")
    check(re.fullmatch(r"-?=+#*K {0,8}", bar.group(1)), f"its bar: {bar.group(1)!r}")
    check(1 <= float(bar.group(2)) < 6, "its end")
    check(re.search(r"^ +0\.\d+  SIGTERM from process \d+ arrived$", text, re.M), "no trigger")
    check(re.search(rf"^ +1\.\d+  main \(pid {command}\): killed, because", text, re.M), "no kill")


def test_dash_is_text_on_standard_error():
    run, command = stopped("say ready pause", statuses=("TERM",), report="-")
    check(f"main (pid {command}) killed by SIGTERM" in run.err, "no report")
    equal(run.out, "ready\n", "standard output")
    equal(os.listdir(), [], "files")


@needs("vfork")
def test_odd_command_lines_are_escaped_everywhere():
    script = b'ignore TERM say ready say <i>&"\\\xff\x1b]0;\xc3\xa9 pause'.split()
    for path in ("report.json", "report.trace", "report.html", "report.txt"):
        run = aiorun("--report", path, "--timeout", "300ms", "--",
                     victim("x")[0].encode(), *script)
        run.line("ready")
        run.send("TERM")
        run.end("KILL")
        data = Path(path).read_bytes()
        text = data.decode()  # UTF-8, all of it
        check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), f"control characters in {path}")
        if path.endswith(("json", "trace")):
            check('<i>&"\\\ufffd' in json.dumps(json.loads(text), ensure_ascii=False)
                  .replace('\\"', '"').replace("\\\\", "\\"), "it is not told as it was")
        if path.endswith("html"):
            root = ElementTree.fromstring(text.partition("\n")[2])
            check(any('<i>&"\\\ufffd' in "".join(cell.itertext()) for cell in root.iter("td")),
                  "it is not told as it was")


# ---- where it goes ----

@cases(missing=("./no/such/directory/report", "No such file or directory"),
       directory=(".", "Is a directory"))
def test_path_that_cannot_be_written_is_refused(path, reason):
    run = launch("say started", "--report", path)
    run.end(125)
    equal(run.out, "", "what was started")
    check("--report" in run.err and path in run.err and reason in run.err, f"told: {run.err!r}")


def test_empty_path_is_refused():
    aiorun("--report", "", "--", "true").end(125)


def test_fifo_that_nobody_reads_is_refused():
    os.mkfifo("fifo")
    run = launch("say started", "--report", "fifo")
    run.end(125, timeout=5)
    check("nobody reads" in run.err and run.out == "", f"told: {run.err!r}")


def fifo():
    os.mkfifo("fifo")
    return os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)


def test_fifo_that_is_full_does_not_hang():
    reading = fifo()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    run = launch("spawn [ pause ] " * 30 + "say ready pause", "--report", "fifo")
    run.line("ready")
    seconds = run.seconds(run.send, "TERM")
    run.end("TERM")
    check(seconds < 6, f"it took {seconds:.1f} s")
    check("cannot write the report to 'fifo'" in run.err, f"told: {run.err!r}")


def test_fifo_whose_reader_has_gone_does_no_harm():
    reading = fifo()
    run = launch("on TERM [ exit 3 ] say ready pause", "--report", "fifo")
    run.line("ready")
    os.close(reading)
    run.send("TERM")
    run.end(3)
    check("cannot write the report to 'fifo'" in run.err, f"told: {run.err!r}")


def test_fifo_with_a_reader_gets_it_all():
    reading = fifo()
    stopped("say ready pause", statuses=("TERM",), report="fifo")
    check(b"phase closed" in os.read(reading, 1 << 16), "it is cut")


def test_full_disk_does_no_harm():
    run, _ = stopped("on TERM [ exit 3 ] say ready pause", statuses=(3,), report="/dev/full")
    check("cannot write the report" in run.err and "No space left" in run.err, f"told: {run.err!r}")


def test_other_faults_leave_an_old_report_alone():
    Path("report.txt").write_text("old")
    run = aiorun("--report", "report.txt", "--user", "nosuchuser", "--", "true")
    run.end(125)
    equal(Path("report.txt").read_text(), "old", "the old report")


def test_an_old_report_is_replaced():
    Path("report.json").write_text("old" * 100_000)
    stopped("say ready pause", statuses=("TERM",))
    load()


def test_relative_path_counts_from_where_aiorun_started():
    os.mkdir("below")
    stopped("say ready pause", "--cwd", "below", statuses=("TERM",))
    load()
    equal(os.listdir("below"), [], "files below")


def test_environment_can_ask_for_it():
    run = aiorun("--", "true", env={"AIORUN_OPT_REPORT": "report.json"})
    run.end(0)
    load()


def test_command_does_not_inherit_the_file():
    run = launch("print fds", "--report", "report.json")
    run.end(0)
    check("report.json" not in run.out, f"descriptors: {run.out}")


def test_log_lines_do_not_go_to_the_report_where_stderr_is_closed():
    run = shell('exec "$AIORUN" -vv --report report.json -- true <&- >&- 2>&-')
    run.end(0)
    load()


# ---- the log ----

def seed_lines(run):
    return [line for line in SEED if f"aiorun: {line}\n" in run.err]


def test_log_has_the_bars_of_a_shutdown_that_killed():
    run, command = stopped("ignore TERM say ready pause", "-v", "--timeout", "300ms")
    check(re.search(rf"^aiorun: main {command} +[ =#K-]{{48}}", run.err, re.M), "no bars")
    equal(seed_lines(run), SEED, "the usual messages")
    check(run.err.index("Closing the loop") < run.err.index("It took")
          < run.err.index("Leaving. Bye!"), "their place")


@cases(quick=("say ready pause", ("--report", "report.json", "-v"), "TERM"),
       quiet=("ignore TERM say ready pause",
              ("--report", "report.json", "--timeout", "300ms"), "KILL"),
       unasked=("ignore TERM say ready pause", ("-v", "--timeout", "300ms"), "KILL"))
def test_log_has_no_bars_otherwise(script, options, status):
    run = launch(script, *options)
    run.line("ready")
    run.send("TERM")
    run.end(status)
    check("It took" not in run.err, f"told: {run.err}")


def test_json_log_stays_json():
    run, _ = stopped("ignore TERM say ready pause", "-v", "--log-format", "json", "--timeout",
                     "300ms")
    messages = [json.loads(line)["message"] for line in run.err.splitlines()]
    check(any("It took" in message for message in messages), "no bars")


def test_commands_around_an_instance_are_told_apart_from_it():
    name = "a-worker-with-a-name-that-is-not-short"
    run = fleet(worker(name, "on TERM [ exit 0 ] say ready pause", "before-start = true",
                       "after-stop = true"), "--report", "report.json")
    run.line("ready")
    ask("restart", name).end(0)
    run.line("ready")
    # What has ended in the millisecond in which the shutdown begins was there then.
    until(lambda: workers(name)[name]["uptime"] > 0.01, "its before-start is over for long")
    run.send("TERM")
    run.end(0)
    told = load()
    lanes = {lane["worker"] for lane in told["processes"]}
    equal(lanes, {name, f"{name} after-stop"}, "who was there at the end")
    starts = [event["worker"] for event in told["events"] if event["kind"] == "started"]
    equal(starts[-1:], [f"{name} after-stop"], "what was started last")
