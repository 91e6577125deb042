"""Jobs: processes that are shielded by their pidfd, and commands that are submitted."""
import os
import pwd
import re
import resource
import socket
import time
from pathlib import Path

from harness import (alive, cases, check, children, equal, expect_gone, kill, launch, needs, pause,
                     stat, until, victim)
from speaker import Output, descriptors, join, memfd, pipe_of, submit
from test_control import REFUSED, begin, settled, steady, stop

JOB = "on USR1 [ say done exit 0 ] report TERM say job pause"  # goes on until it is told


def job_of(run):
    """Of a command that printed its job's `print pids`."""
    return run.pids()["pid"]


# ---- shielded by pidfd ----

def with_job(place, script=JOB, *options, main="on TERM [ exit 3 ] say ready pause"):
    """A command with a child that is to be a job; `place` says where it stands."""
    scripts = {
        "child": f"spawn [ setsid print pids {script} ]",
        "same session": f"spawn [ print pids {script} ]",
        "orphan": f"orphan 1 [ print pids {script} ]",
        "detached orphan": f"orphan 1 [ setsid print pids {script} ]",
        "grandchild": f"spawn [ setsid spawn [ setsid print pids {script} ] pause ]",
    }
    run = launch(f"{scripts[place]} {main}", *options)
    pid = job_of(run)
    run.line("ready")
    pipe = pipe_of(run)
    settled(run, pipe)
    return run, pipe, pid


@cases("child", "same session", "orphan", "detached orphan", "grandchild")
def test_job_is_waited_for_and_not_asked(place):
    run, pipe, pid = with_job(place)
    channel = pipe.attach()
    equal(join(channel, pid), "ok", "job")
    channel.close()
    command = run.command
    run.send("TERM")
    expect_gone(command)
    pause(0.3)
    check(alive(pid), "the job is gone")
    check(not run.ended(), "it was not waited for")
    kill(pid, "USR1")
    run.end(3)
    check("got TERM" not in run.out, "the job was asked")
    check(re.search("^done$", run.out, re.M), "the job did not finish")


def test_job_is_waited_for_although_its_caller_ended_by_itself():
    run, pipe, pid = with_job("child", main="on USR2 [ exit 0 ] say ready pause")
    equal(join(pipe.attach(), pid), "ok", "job")
    run.send("USR2")
    until(lambda: children(run.pid) == [pid], "only the job is left")
    pause(0.2)
    check(not run.ended() and alive(pid), "it was not waited for")
    kill(pid, "USR1")
    run.end(0)
    check("got TERM" not in run.out, "the job was asked")


def test_job_that_ends_first_holds_up_nothing():
    run, pipe, pid = with_job("child")
    before = len(descriptors(run.pid))
    equal(join(pipe.attach(), pid), "ok", "job")
    kill(pid, "USR1")
    run.line("done")
    steady(run, before)
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(seconds < 10, f"it took {seconds:.1f} s")


@cases("child", "orphan")
def test_kill_of_a_job_ends_its_shield_at_once(place):
    run, pipe, pid = with_job(place)
    equal(join(pipe.attach(), pid), "ok", "job")
    command = run.command if place == "child" else os.getpid()
    stop(run, pipe)
    if place == "child":
        expect_gone(command)
    else:
        until(lambda: children(run.pid) == [pid], "only the job is left")
    pause(0.1)
    check(not run.ended(), "it was not waited for")
    seconds = run.seconds(kill, pid)
    run.end(3)
    check(seconds < 10, f"it took {seconds:.1f} s")


def test_job_past_its_deadline_is_asked_reported_by_name_and_killed():
    run, pipe, pid = with_job("child", "report TERM say job pause", "--stop-timeout", "500ms")
    start = time.monotonic()
    equal(join(pipe.attach(), pid, "night-shift", "1.5"), "ok", "job")
    run.send("TERM")
    run.line("got TERM")
    check(1.4 < time.monotonic() - start < 4, "it was asked at another time")
    run.end(3)
    run.log(REFUSED)
    check(re.search(rf"night-shift: pid {pid}\b", run.err), "it is not reported by name and pid")


def test_job_without_a_deadline_ends_at_the_shield_timeout():
    run, pipe, pid = with_job("child", "on TERM [ say asked exit 0 ] say job pause",
                              "--shield-timeout", "600ms")
    equal(join(pipe.attach(), pid), "ok", "job")
    pause(0.8)
    check(alive(pid) and "asked" not in run.out, "it was asked before a shutdown")
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(0.5 < seconds < 3, f"it took {seconds:.1f} s")
    run.line("asked")


def test_job_is_killed_at_the_cap():
    run, pipe, pid = with_job("child", "ignore TERM say job pause", "--timeout", "1s")
    equal(join(pipe.attach(), pid, "endless"), "ok", "job")
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(0.9 < seconds < 3, f"it took {seconds:.1f} s")
    run.log("endless: pid")


def test_job_that_became_our_child_has_its_status_logged():
    run, pipe, pid = with_job("orphan", "on USR1 [ exit 7 ] say job pause", "-vv")
    equal(join(pipe.attach(), pid, "nightly"), "ok", "job")
    kill(pid, "USR1")
    run.log(r"nightly.*exited with status 7")
    run.send("TERM")
    run.end(3)


def test_job_whose_parent_lives_is_seen_to_end():
    run, pipe, pid = with_job("child", JOB, "-vv")
    equal(join(pipe.attach(), pid, "nightly"), "ok", "job")
    kill(pid, "USR1")
    run.log(r"nightly.*its parent has its status")
    run.send("TERM")
    run.end(3)


def test_job_within_a_job():
    """`aiorun shield` in a script that is shielded itself: both are waited for."""
    run = launch(f"spawn [ setsid print pids spawn [ setsid print pids {JOB} ]"
                 " on USR1 [ exit 0 ] pause ] on TERM [ exit 3 ] say ready pause")
    pids = [job_of(run), job_of(run)]
    run.line("ready")
    outer = [pid for pid in pids if int(stat(pid)[1]) == run.command][0]
    inner = [pid for pid in pids if pid != outer][0]
    channel = pipe_of(run).attach()
    equal(join(channel, outer, "outer"), "ok", "the outer job")
    equal(join(channel, inner, "inner"), "ok", "the inner job")
    run.send("TERM")
    kill(outer, "USR1")
    until(lambda: children(run.pid) == [inner], "only the inner one is left")
    pause(0.1)
    check(not run.ended(), "the inner one was not waited for")
    kill(inner, "USR1")
    run.end(3)
    check("got TERM" not in run.out, "it was asked")


def test_job_joins_in_a_shutdown():
    run, pipe, pid = with_job("child", main="report TERM on USR2 [ exit 3 ] say ready pause")
    channel = pipe.attach()
    stop(run, pipe)
    run.line("got TERM")
    equal(join(channel, pid), "ok", "job")
    run.send("USR2")
    until(lambda: children(run.pid) == [pid], "only the job is left")
    kill(pid, "USR1")
    run.end(3)


def test_process_joins_once():
    run, pipe, pid = with_job("child")
    channel = pipe.attach()
    equal(join(channel, pid), "ok", "job")
    check(join(channel, pid).startswith("error "), "twice")
    check(join(channel, run.command).startswith("error "), "the run itself")
    check(join(channel, run.pid).startswith("error "), "the supervisor")
    check(join(channel, os.getpid()).startswith("error "), "a stranger")
    check(join(channel, 1).startswith("error "), "the first process of all")
    kill(pid, "USR1")
    run.send("TERM")
    run.end(3)


def test_process_that_is_gone_is_refused():
    run, pipe, pid = with_job("orphan")
    channel = pipe.attach()
    pidfd = os.pidfd_open(pid)
    kill(pid)
    expect_gone(pid)
    check(channel.ask("job a", fds=[pidfd]).startswith("error "), "it was accepted")
    run.send("TERM")
    run.end(3)


@needs("root")
def test_process_of_another_user_that_is_nobodys_child_is_refused():
    """An orphan with another user id is not the run's to shield; its own child is."""
    nobody = pwd.getpwnam("www-data").pw_uid
    run = launch(f"orphan 1 [ setsid setuid {nobody} print pids say job pause ]"
                 " on TERM [ exit 3 ] say ready pause")
    pid = job_of(run)
    run.line("ready")
    channel = pipe_of(run).attach()
    answer = join(channel, pid)
    check(answer.startswith("error "), f"it was accepted: {answer}")
    run.log("is refused the shield 'job'")
    run.send("TERM")
    run.end(3)


def test_another_runs_process_is_refused():
    """A submitted job may not shield what belongs to the command, nor the other way round."""
    run, pipe, pid = with_job("child")
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim("spawn [ print pids pause ] print pids on USR1 [ exit 0 ] pause"),
                 stdout=out.writing), "ok", "submit")
    out.until("\n")
    text = out.data.decode()
    while len(re.findall(r"pids pid=(\d+) ppid=(\d+)", text)) < 2:
        out.data = b""
        out.until("\n")
        text += out.data.decode()
    pairs = {int(a): int(b) for a, b in re.findall(r"pids pid=(\d+) ppid=(\d+)", text)}
    theirs = [child for child, parent in pairs.items() if parent in pairs][0]
    job = pairs[theirs]
    check(join(channel, theirs).startswith("error "), "the command shields the job's child")
    check(join(channel, job).startswith("error "), "the command shields the job itself")
    other = pipe_of(run, job).attach()
    check(join(other, pid).startswith("error "), "the job shields the command's child")
    equal(join(other, theirs), "ok", "the job shields its own child")
    kill(theirs)
    kill(job, "USR1")
    kill(pid)
    run.send("TERM")
    run.end(3)


def test_hundred_jobs_come_and_go():
    run, pipe = begin("orphan 100 [ on USR1 [ exit 0 ] print pids pause ]"
                      " on TERM [ exit 3 ] say ready pause", "--executor-workers", "2")
    pids = [int(pid) for pid in re.findall(r"pids pid=(\d+)", run.out)]
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    for n, pid in enumerate(pids):
        equal(join(channel, pid, f"job{n}"), "ok", f"job {n}")
    channel.close()
    run.send("TERM")
    until(lambda: sorted(children(run.pid)) == sorted(pids), "only the jobs are left")
    for pid in pids:
        kill(pid, "USR1")
    run.end(3)


@cases(plain=([], 32), executor=(["--executor-workers", "2"], 256))
def test_jobs_are_bounded(options, most):
    run, pipe = begin("orphan 260 [ print pids pause ] on TERM [ exit 3 ] say ready pause",
                      "--shield-timeout", "1ms", *options)
    pids = [int(pid) for pid in re.findall(r"pids pid=(\d+)", run.out)]
    channel = pipe.attach()
    answers = [join(channel, pid, "j") for pid in pids]
    equal(answers.count("ok"), most, "accepted")
    equal(answers[:most], ["ok"] * most, "the first ones")
    check(answers[-1].startswith("error ") and "jobs" in answers[-1], answers[-1])
    kill(pids[0])
    until(lambda: join(channel, pids[-1], "j") == "ok", "there is room again")
    for pid in pids:
        kill(pid)
    run.send("TERM")
    run.end(3)


# ---- submitted ----

def test_submitted_job_has_what_it_was_submitted_with():
    run, pipe = begin()
    channel = pipe.attach()
    directory = Path("some where").absolute()
    directory.mkdir()
    out, err = Output(), Output()
    Path("input").write_text("12345")
    equal(submit(channel, ["/bin/sh", "-c", 'cat; pwd; echo "$1|$2|$FOO"; env >&2', "sh", "a b", ""],
                 env={"FOO": "bar baz", "PATH": os.environ["PATH"]}, cwd=str(directory),
                 stdin=os.open("input", os.O_RDONLY), stdout=out.writing, stderr=err.writing,
                 wait=True), "ok", "submit")
    equal(channel.line(), "ended exited 0", "its end")
    out.close_writing()
    err.close_writing()
    equal(out.rest(), f"12345{directory}\na b||bar baz\n", "its output")
    variables = dict(line.split("=", 1) for line in err.rest().splitlines())
    equal(variables["FOO"], "bar baz", "FOO")
    equal(variables["AIORUN_WORKER"], "main", "whose job it is")
    equal(variables["AIORUN_PID"], str(run.pid), "the supervisor")
    run.send("TERM")
    run.end(3)


def test_submitted_job_finds_its_program_in_its_own_path():
    run, pipe = begin()
    channel = pipe.attach()
    Path("bin").mkdir()
    Path("bin/tool").write_text("#!/bin/sh\nexit 5\n")
    Path("bin/tool").chmod(0o755)
    equal(submit(channel, ["tool"], env={"PATH": str(Path("bin").absolute())}, wait=True), "ok", "")
    equal(channel.line(), "ended exited 5", "its end")
    equal(submit(channel, ["bin/tool"], env={}, wait=True), "ok", "")
    equal(channel.line(), "ended exited 5", "its end, by a path")
    run.send("TERM")
    run.end(3)


def test_submitted_job_has_nothing_else_open():
    run, pipe = begin()
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim("print fds"), stdout=out.writing, wait=True), "ok", "submit")
    equal(channel.line(), "ended exited 0", "its end")
    out.close_writing()
    fds = re.findall(r"^fd (\d+) (\S+)", out.rest(), re.M)
    equal(sorted(int(fd) for fd, _ in fds), [0, 1, 2, 9], "descriptors")
    run.send("TERM")
    run.end(3)


def test_descriptors_that_are_given_up_leave_a_gap_below_our_own():
    """What was inherited is closed after the command's start, and a job's start closes no more."""
    open_already = {int(fd) for fd in os.listdir("/proc/self/fd")}
    for fd in set(range(3, 70)) - open_already:
        os.dup2(0, fd)
    run = launch("on TERM [ exit 3 ] say ready pause", fds=tuple(range(3, 70)))
    run.line("ready")
    until(lambda: len(descriptors(run.pid)) == 2, "what was inherited is closed")
    equal([fd for fd in descriptors(run.pid) if fd < 70], [2], "the low ones")
    channel = pipe_of(run).attach()
    for _ in range(2):
        equal(submit(channel, victim("exit 7"), wait=True), "ok", "submit")
        equal(channel.line(), "ended exited 7", "its end")
    run.send("TERM")
    run.end(3)


@cases(exited=("exit 7", "exited 7"), killed=("kill self KILL", "killed 9"))
def test_end_of_a_submitted_job_is_told(script, wanted):
    run, pipe = begin()
    channel = pipe.attach()
    equal(submit(channel, victim(script), wait=True), "ok", "submit")
    equal(channel.line(), f"ended {wanted}", "its end")
    run.send("TERM")
    run.end(3)


@cases(nothing=(["/nonexistent"], 127), directory=(["/tmp"], 126), no_path=(["no-such-tool"], 127))
def test_submitted_job_that_cannot_be_started(argv, status):
    run, pipe = begin()
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    equal(submit(channel, argv, wait=True), "ok", "submit")
    equal(channel.line(), f"ended failed {status}", "its end")
    channel.close()
    steady(run, before)
    run.log(re.escape(argv[0]))
    run.send("TERM")
    run.end(3)


def test_submitted_job_whose_directory_is_gone():
    run, pipe = begin()
    channel = pipe.attach()
    equal(submit(channel, ["/bin/true"], cwd="/nonexistent", wait=True), "ok", "submit")
    equal(channel.line(), "ended failed 125", "its end")
    run.log("/nonexistent")
    run.send("TERM")
    run.end(3)


@cases(empty=b"", no_end=b"/\x001\x00true", relative=b"x\x001\x00true\0", none=b"/\x000\0",
       fewer=b"/\x003\0true\0", variable=b"/\x001\0true\0NOVALUE\0", number=b"/\0x\0true\0",
       huge=b"/\x00" b"99999999999999999999\0true\0", large=b"/\x001\0true\0" + b"A=b\0" * (1 << 20) + b"C=d\0")
def test_malformed_request_is_refused(data):
    run, pipe = begin()
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    fds = [memfd(data), *[os.open("/dev/null", os.O_RDWR) for _ in range(3)]]
    answer = channel.ask("submit a", fds=fds)
    check(re.match(r"error \S+ .*\S$", answer), f"the answer is {answer!r}")
    channel.close()
    steady(run, before)
    run.send("TERM")
    run.end(3)


def test_request_of_four_mebibytes_is_taken():
    run, pipe = begin()
    channel = pipe.attach()
    data = b"/\x001\0/bin/true\0"
    data += b"A=b\0" * (((4 << 20) - len(data)) // 4)
    fds = [memfd(data), *[os.open("/dev/null", os.O_RDWR) for _ in range(3)]]
    equal(channel.ask("submit a wait", fds=fds), "ok", "submit")
    check(channel.line().startswith("ended "), "its end")  # the kernel allows less, mostly
    run.send("TERM")
    run.end(3)


def test_request_that_is_no_memory_is_refused_unread():
    """A pipe, or a file on a file system that never answers, would keep the supervisor waiting."""
    os.mkfifo("fifo")
    run, pipe = begin()
    channel = pipe.attach()
    null = os.open("/dev/null", os.O_RDWR)
    Path("file").write_bytes(b"/\x001\0true\0")
    for fd in (os.open("fifo", os.O_RDWR), os.open("file", os.O_RDONLY), os.pipe()[0], null,
               os.open("/dev/zero", os.O_RDONLY), socket.socketpair()[0].fileno()):
        try:
            check(channel.ask("submit a", fds=[fd, null, null, null]).startswith("error "),
                  f"{os.readlink(f'/proc/self/fd/{fd}')} is accepted")
        except OSError:
            pass
    run.send("TERM")
    run.end(3)


def test_executor_runs_so_many_at_a_time_in_their_order():
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", "--executor-workers", "2")
    channel = pipe.attach()
    out = Output()
    for n in range(5):
        equal(submit(channel, victim(f"print pids on USR1 [ exit 0 ] say job-{n} pause"),
                     stdout=out.writing), "ok", f"job {n}")
    out.until("job-0")
    out.until("job-1")
    for n in range(2, 5):
        pause(0.05)
        jobs = [pid for pid in children(run.pid) if pid != run.command]
        equal(len(jobs), 2, "jobs at a time")
        check(f"job-{n}" not in out.data.decode(), f"job {n} is early")
        kill(min(jobs), "USR1")
        out.until(f"job-{n}")
    for pid in children(run.pid)[1:]:
        kill(pid, "USR1")
    run.send("TERM")
    run.end(3)


def test_queue_is_bounded_and_costs_what_it_holds():
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", "--executor-workers", "1")
    before = len(descriptors(run.pid))
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim("on USR1 [ exit 0 ] say first pause"), stdout=out.writing), "ok",
          "the first")
    out.until("first")
    job = [pid for pid in children(run.pid) if pid != run.command][0]
    answers = [submit(channel, ["/bin/true"]) for _ in range(300)]
    accepted = answers.count("ok")
    equal(accepted, 255, "accepted beside the first")
    check(answers[-1].startswith("error ") and "full" in answers[-1], answers[-1])
    channel.close()
    kill(job, "USR1")
    steady(run, before)
    run.send("TERM")
    run.end(3)


def test_submission_in_a_shutdown_is_refused():
    run, pipe = begin("report TERM on USR2 [ exit 3 ] say ready pause")
    channel = pipe.attach()
    stop(run, pipe)
    answer = submit(channel, ["/bin/true"])
    check(answer.startswith("error ") and "shutdown" in answer, answer)
    run.send("USR2")
    run.end(3)


def test_queued_jobs_run_on_in_a_shutdown():
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", "--executor-workers", "1")
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim("on USR1 [ exit 0 ] say first pause"), stdout=out.writing), "ok",
          "the first")
    for n in range(3):
        equal(submit(channel, victim(f"report TERM say queued-{n} sleep 50ms exit 0"),
                     stdout=out.writing), "ok", f"job {n}")
    out.until("first")
    job = [pid for pid in children(run.pid) if pid != run.command][0]
    run.send("TERM")
    until(lambda: children(run.pid) == [job], "only the job is left")
    kill(job, "USR1")
    run.end(3)
    out.close_writing()
    equal(out.rest().split(), ["first", "queued-0", "queued-1", "queued-2"], "who ran")


def test_queued_jobs_are_dropped_at_the_cap():
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", "--executor-workers", "1",
                      "--timeout", "1s")
    running, waiting = pipe.attach(), pipe.attach()
    equal(submit(running, victim("ignore TERM say first pause"), name="first", wait=True), "ok", "")
    equal(submit(waiting, victim("say second"), name="second", wait=True), "ok", "")
    seconds = run.seconds(run.send, "TERM")
    run.end(3)
    check(0.9 < seconds < 3, f"it took {seconds:.1f} s")
    equal(waiting.eof(), "ended dropped\n", "what is told of the second")
    check("job second was not started in time and is dropped" in run.err, "nothing is said of it")
    check(re.search(r"first: pid \d+", run.err), "nothing is said of the first")


def test_submitted_job_that_goes_on_is_waited_for_and_not_asked():
    run, pipe = begin()
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim(JOB), stdout=out.writing, wait=True), "ok", "submit")
    out.until("job")
    job = [pid for pid in children(run.pid) if pid != run.command][0]
    run.send("TERM")
    until(lambda: children(run.pid) == [job], "only the job is left")
    pause(0.2)
    check(not run.ended(), "it was not waited for")
    kill(job, "USR1")
    equal(channel.line(), "ended exited 0", "its end")
    run.end(3)
    out.close_writing()
    check("got TERM" not in out.rest(), "it was asked")


def test_what_a_submitted_job_leaves_behind_is_ended():
    run, pipe = begin()
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, victim("orphan 1 [ print pids pause ] exit 0"), stdout=out.writing,
                 wait=True), "ok", "submit")
    equal(channel.line(), "ended exited 0", "its end")
    out.until("pids")
    left = int(re.search(rb"pid=(\d+)", out.data).group(1))
    expect_gone(left)
    run.send("TERM")
    run.end(3)


def test_submitted_job_has_a_pipe_of_its_own():
    run, pipe = begin("on TERM [ exit 3 ] say ready pause")
    channel = pipe.attach()
    equal(submit(channel, ["/bin/sh", "-c", "echo shutdown 8 >&$AIORUN_CONTROL_FD"]), "ok", "")
    run.end(8)


@needs("root", "vfork")
def test_submitted_job_has_the_rights_of_its_submitter():
    """The plan's user, groups, limits, niceness and umask; never the supervisor's."""
    entry = pwd.getpwnam("www-data")
    os.chmod(".", 0o777)
    run, pipe = begin("on TERM [ exit 3 ] say ready pause", "--user", "www-data",
                      "--limit-nofile", "77", "--limit-core", "0", "--nice", "5", "--umask", "027",
                      "--no-new-privileges")
    channel = pipe.attach()
    out = Output()
    equal(submit(channel, ["/bin/sh", "-c", "cat /proc/self/status; ulimit -n; nice; umask; id -u"],
                 stdout=out.writing, wait=True), "ok", "submit")
    equal(channel.line(), "ended exited 0", "its end")
    out.close_writing()
    text = out.rest()
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))
    ids = [entry.pw_uid] * 4, [entry.pw_gid] * 4
    equal([int(word) for word in fields["Uid"].split()], ids[0], "users")
    equal([int(word) for word in fields["Gid"].split()], ids[1], "groups")
    check("0" not in fields["Groups"].split(), f"supplementary groups {fields['Groups']}")
    equal(int(fields["CapEff"], 16), 0, "capabilities")
    equal(fields["NoNewPrivs"], "1", "no-new-privileges")
    equal(text.split()[-4:], ["77", "5", "0027", str(entry.pw_uid)], "limit, nice, umask, user")
    run.send("TERM")
    run.end(3)


def test_submitted_jobs_have_fewer_descriptors_than_the_limit():
    """A supervisor that has few says so, and lives on."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    run = launch("on TERM [ exit 3 ] say ready pause", "--executor-workers", "1", before=few)
    run.line("ready")
    pipe = pipe_of(run)
    settled(run, pipe)
    channel = pipe.attach()
    equal(submit(channel, victim("on USR1 [ exit 0 ] pause")), "ok", "the first")
    answers = [submit(channel, ["/bin/true"]) for _ in range(30)]
    check(answers[-1].startswith("error "), "all are accepted")
    job = until(lambda: [pid for pid in children(run.pid) if pid != run.command], "the job")[0]
    kill(job, "USR1")
    until(lambda: submit(channel, ["/bin/true"], wait=True) == "ok", "there is room again")
    equal(channel.line(), "ended exited 0", "its end")
    run.send("TERM")
    run.end(3)
