"""Processes whose parent died: adopted, and dealt with at the end as --orphans says."""
import re

from harness import (aiorun, alive, check, children, deadline, equal, launch, needs, pid1, put_down,
                     shell, state, until, victim)


def test_auto_asks_what_main_leaves_in_its_session():
    run = launch("orphan 2 [ on TERM [ say asked exit 0 ] pause ] exit 0")
    run.end(0)
    equal(run.out.count("asked"), 2, "orphans asked")


def test_auto_lets_a_daemon_live_when_main_succeeded():
    """aiorun -- ssh-agent"""
    run = launch("orphan 1 [ setsid print pids pause ] exit 0")
    daemon = run.pids()["pid"]
    left = run.end(0, left=1)
    equal(left, [daemon], "what is left")
    check(alive(daemon), "the daemon is gone")
    put_down(daemon)


@needs("ssh-agent")
def test_ssh_agent_lives_on():
    run = aiorun("--", "ssh-agent", "-a", "socket")
    pid = int(run.line(r"SSH_AGENT_PID=(\d+)").group(1))
    run.end(0, left=1)
    check(alive(pid), "the agent is gone")
    put_down(pid)


def test_auto_stops_a_daemon_when_main_failed():
    run = launch("orphan 1 [ setsid on TERM [ say asked exit 0 ] pause ] exit 3")
    run.end(3)
    run.line("asked")


def test_auto_stops_a_daemon_when_it_was_asked_to_stop():
    run = launch("orphan 1 [ setsid on TERM [ say asked exit 0 ] pause ] on TERM [ exit 0 ]"
                 " say ready pause")
    run.line("ready")
    run.send("TERM")
    run.end(0)
    run.line("asked")


def test_auto_stops_a_daemon_in_a_unit():
    """SYSTEMD_EXEC_PID is our own PID: a unit that ends takes its daemons along."""
    run = shell('SYSTEMD_EXEC_PID=$$ exec "$AIORUN" -- "$VICTIM" orphan 1'
                ' [ setsid on TERM [ say asked exit 0 ] pause ] exit 0')
    run.end(0)
    run.line("asked")
    run = launch("orphan 1 [ setsid pause ] exit 0", env={"SYSTEMD_EXEC_PID": "1"})
    put_down(run.end(0, left=1)[0])


@needs("root", "unshare")
def test_auto_stops_a_daemon_of_pid_1():
    run = pid1("--", *victim("orphan 1 [ setsid on TERM [ say asked exit 0 ] pause ] exit 0"))
    run.end(0)
    run.line("asked")


def test_stop_asks_daemons_too():
    run = launch("orphan 1 [ setsid on TERM [ say asked exit 0 ] pause ] exit 0",
                 "--orphans", "stop")
    run.end(0)
    run.line("asked")


def test_wait_waits_and_asks_nobody():
    run = launch("orphan 1 [ report TERM on ALRM [ say bye exit 0 ] alarm 500ms pause ] exit 3",
                 "--orphans", "wait")
    run.end(3)
    equal(run.out.split(), ["bye"], "output")
    check(run.duration > 0.49, "it did not wait")


def test_wait_ends_in_an_asked_shutdown():
    run = launch("orphan 1 [ on TERM [ say asked exit 0 ] say orphan pause ] exit 3",
                 "--orphans", "wait")
    run.line("orphan")
    until(lambda: len(children(run.pid)) == 1, "main is gone")
    run.send("TERM")
    run.line("asked")
    run.end(3, "TERM", 0)


def test_leave_leaves_them_alone():
    run = launch("orphan 2 [ report TERM pause ] orphan 1 [ setsid pause ] exit 3",
                 "--orphans", "leave")
    left = run.end(3, left=3)
    check(all(map(alive, left)), "one is gone")
    put_down(*left)
    check("TERM" not in run.out, "one was asked")


def test_orphan_that_outlives_main_gets_real_time():
    run = launch("orphan 1 [ on TERM [ say asked sleep 1s say done exit 0 ] pause ] exit 4")
    run.end(4)
    equal(run.out.split(), ["asked", "done"], "output")


def test_orphan_that_refuses_is_killed_and_named():
    run = launch("orphan 1 [ ignore TERM print pids pause ] exit 4", "--timeout", "1s")
    orphan = run.pids()["pid"]
    run.end(4)
    check(0.4 < run.duration < 6, f"it took {run.duration:.1f} s")
    rest = run.err[run.err.index("refused to exit"):]
    check(re.search(rf"\b{orphan}\b", rest), "it is not named")


def test_explicit_stop_signal_is_for_orphans_too():
    run = launch("orphan 1 [ on USR1 [ say asked exit 0 ] pause ] exit 4", "--stop-signal", "USR1")
    run.end(4)
    run.line("asked")


def test_orphans_are_asked_with_term_when_int_came():
    run = launch("orphan 1 [ report INT on TERM [ say asked exit 0 ] pause ] say ready pause")
    run.line("ready")
    run.send("INT")
    run.end("INT")
    run.line("asked")


def test_stopped_orphan_is_continued_so_that_it_can_obey():
    run = launch("orphan 1 [ setsid on TERM [ say asked exit 0 ] print pids"
                 " spawn [ sleep 100ms kill parent STOP ] pause ] say ready pause")
    orphan = run.pids()["pid"]
    run.line("ready")
    until(lambda: state(orphan) == "T", "the orphan is stopped")
    run.send("TERM")
    run.end("TERM")
    run.line("asked")


def test_orphan_that_makes_orphans_while_it_is_stopped():
    """Each new one is found and asked: done means that no child is left."""
    run = launch("orphan 1 [ on TERM [ orphan 1 [ on TERM [ orphan 1 [ on TERM [ say last exit 0 ]"
                 " pause ] exit 0 ] pause ] exit 0 ] pause ] exit 2")
    run.end(2)
    run.line("last")


def test_zombies_of_orphans_do_not_pile_up():
    run = launch("orphan 500 [ exit 0 ] say done read pause", stdin=-1)
    run.line("done")
    until(lambda: len(children(run.pid)) == 1, "all orphans are reaped")
    run.send("TERM")
    run.end("TERM")


def test_warn_on_reap_says_who_was_reaped():
    run = launch("orphan 1 [ print pids exit 3 ] say done sleep 200ms exit 0", "-w")
    orphan = run.pids()["pid"]
    run.end(0)
    run.log(rf"\b{orphan}\b")
    quiet = launch("orphan 1 [ exit 3 ] sleep 100ms exit 0")
    quiet.end(0)
    equal(quiet.err, "", "the log without -w")


def test_without_subreaper_orphans_go_elsewhere():
    run = launch("orphan 1 [ print pids pause ] read", "--no-subreaper", stdin=-1)
    orphan = run.pids()
    check(orphan["ppid"] != run.pid, "it was adopted")
    run.process.stdin.close()
    run.end(0, left=1)
    put_down(orphan["pid"])


def test_status_of_an_orphan_is_not_ours():
    launch("orphan 3 [ exit 9 ] orphan 1 [ kill self KILL ] exit 5").end(5)


def test_child_inherited_through_exec_is_asked_at_the_end():
    run = shell('"$VICTIM" on TERM [ say asked exit 0 ] say helper read &'
                ' exec "$AIORUN" -- "$VICTIM" sleep 300ms exit 3')
    run.line("helper")
    run.end(3)


def test_all_is_gone_when_a_pipe_keeps_the_output_open():
    run = launch("orphan 5 [ pause ] spawn [ setsid ignore TERM pause ] exit 3", "--timeout", "1s")
    run.end(3)
    run.eof()


@needs("plain")
@deadline(120)
def test_thousands_that_are_long_gone_are_not_said_to_be_left():
    run = launch("orphan 600 [ pause ] say again exit 1", "--restart", "always", "--restart-delay",
                 "0..0")
    for _ in range(16):  # 9600 that were asked, one after the other
        run.line("again", 60)
    run.send("TERM")
    run.wait(60)
    check("are left over" not in run.err, run.err)


@needs("plain")
@deadline(120)
def test_thousands_that_somebody_else_has_reaped_are_not_said_to_be_left():
    family = " ".join(["orphan 1 [", "spawn [ pause ] " * 600, "on TERM [ wait exit 0 ] pause ]"])
    run = launch(f"{family} say again exit 1", "--restart", "always", "--restart-delay", "0..0")
    for _ in range(16):  # 9600 that were asked, one after the other
        run.line("again", 60)
    run.send("TERM")
    run.wait(60)
    check("are left over" not in run.err, run.err)
