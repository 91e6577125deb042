"""As a unit's main process, under a real service manager: one of the test's own.

The manager is `systemd --user` in a cgroup and in cgroup, mount and PID namespaces of its own.  It
must never see another cgroup: it would move the processes that it finds there.
"""
import os
import re
import subprocess
from pathlib import Path

from harness import (BINARY, ROOT, VICTIM, Run, Skip, check, deadline, descendants, equal,
                     kill, needs, state, until)

EXAMPLE = ROOT / "conf" / "examples" / "aiorun-example.service"
SYSTEMD = "/lib/systemd/systemd"

INSIDE = """
set -e
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
setsid {systemd} --user --log-target=null &
echo "manager started"
wait
"""


def own_cgroup():
    """A new cgroup below ours, in the unified hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind = line.split()[:3]
        if kind == "cgroup2":
            break
    else:
        raise Skip("needs cgroup2")
    own = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.M).group(1)
    group = Path(place, own, f"aiorun-test-{os.getpid()}")
    group.mkdir()
    return group


class Manager:
    def __init__(self):
        if not os.access(SYSTEMD, os.X_OK):
            raise Skip("needs systemd")
        self.units = Path("config/systemd/user").absolute()
        self.units.mkdir(parents=True)
        self.cgroup = own_cgroup()
        self.env = {"XDG_RUNTIME_DIR": "/run/user/0", "HOME": os.getcwd(),
                    "XDG_CONFIG_HOME": str(self.units.parents[1])}
        procs = str(self.cgroup / "cgroup.procs")
        self.run = Run(["unshare", "-C", "-m", "--pid", "--fork", "--kill-child", "--mount-proc",
                        "sh", "-c", INSIDE.format(systemd=SYSTEMD)], wrapped=True, env=self.env,
                       before=lambda: Path(procs).write_text(str(os.getpid())))
        self.run.line("manager started")
        self.inside = descendants(self.run.pid)[0]
        until(lambda: self.systemctl("is-system-running").stdout.strip() == "running",
              "the manager is up", 20)

    def systemctl(self, *words):
        return subprocess.run(["nsenter", "-m", "-p", "-C", "-t", str(self.inside), "systemctl",
                               "--user", *words], env={**os.environ, **self.env},
                              capture_output=True, text=True, timeout=40)

    def unit(self, command, *, settings="", text=None):
        """A unit `it`, with the text of a file where one is given, that writes to `log`."""
        log = Path("log").absolute()
        mine = f"StandardOutput=append:{log}\nStandardError=append:{log}\n{settings}"
        if text is not None:
            (self.units / "it.service").write_text(text)
            drop_in = self.units / "it.service.d"
            drop_in.mkdir()
            (drop_in / "test.conf").write_text(
                f"[Service]\nExecStart=\nExecStart={command}\n{mine}")
        else:
            (self.units / "it.service").write_text(
                f"[Service]\nType=exec\nExecStart={command}\n{mine}")
        self.systemctl("daemon-reload")

    def start(self):
        done = self.systemctl("start", "it")
        equal(done.returncode, 0, f"start: {done.stderr}")

    def stop(self):
        done = self.systemctl("stop", "it")
        equal(done.returncode, 0, f"stop: {done.stderr}")

    def show(self, *names):
        lines = self.systemctl("show", "it", *[f"--property={name}" for name in names]).stdout
        values = dict(line.split("=", 1) for line in lines.splitlines())
        return [values[name] for name in names]

    def says(self, word):
        """Wait until the log has this line."""
        until(lambda: word in self.log(), f"the log says {word}", 15)

    def log(self):
        try:
            return Path("log").read_text().splitlines()
        except OSError:
            return []

    def close(self):
        """End the manager, with its namespace, and remove its cgroup."""
        kill(self.inside)
        self.run.wait()
        until(lambda: not (self.cgroup / "cgroup.procs").read_text(), "the cgroup is empty")
        for directory, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(directory)


def managed(function):
    """The test gets a manager, which is ended after it."""
    def wrapper(*args):
        manager = Manager()
        try:
            function(manager, *args)
        finally:
            manager.close()
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return deadline(90)(needs("root", "unshare", "nsenter", "systemctl", "plain")(wrapper))


def aiorun(options, script):
    return f"{BINARY} {options} -- {VICTIM} {script}"


# ---- units ----

@managed
def test_stop_of_a_unit_that_dies_of_the_stop_is_a_success(manager):
    manager.unit(aiorun("--success-status requested", "say ready pause"),
                 settings="KillMode=mixed\n")
    manager.start()
    manager.says("ready")
    equal(manager.show("ActiveState"), ["active"], "state")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")


@managed
def test_stop_of_a_unit_asks_everybody_and_waits(manager):
    """The command, its child in another session, and the orphan; then the unit is empty."""
    manager.unit(aiorun("", "orphan 1 [ setsid on TERM [ sleep 200ms say orphan exit 0 ] pause ]"
                        " spawn [ setsid on TERM [ sleep 200ms say child exit 0 ] pause ]"
                        " on TERM [ sleep 200ms say done exit 0 ] say ready pause"),
                 settings="KillMode=mixed\n")
    manager.start()
    manager.says("ready")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")
    equal(sorted(manager.log()), ["child", "done", "orphan", "ready"], "the log")


@managed
def test_failure_of_the_command_is_the_failure_of_the_unit(manager):
    manager.unit(aiorun("--success-status requested", "exit 3"), settings="KillMode=mixed\n")
    manager.start()
    until(lambda: manager.show("ActiveState") == ["failed"], "the unit has failed")
    equal(manager.show("Result", "ExecMainStatus"), ["exit-code", "3"], "result and status")


@managed
def test_signal_of_the_command_is_the_signal_of_the_unit(manager):
    manager.unit(aiorun("--success-status requested", "kill self USR1"),
                 settings="KillMode=mixed\n")
    manager.systemctl("start", "it")  # which fails too, when the command is quicker than the manager
    until(lambda: manager.show("ActiveState") == ["failed"], "the unit has failed")
    equal(manager.show("Result", "ExecMainCode", "ExecMainStatus"), ["signal", "2", "10"], "end")


@managed
def test_command_that_is_not_there_is_the_failure_of_the_unit(manager):
    manager.unit(f"{BINARY} -- /nonexistent", settings="KillMode=mixed\n")
    manager.systemctl("start", "it")
    until(lambda: manager.show("ActiveState") == ["failed"], "the unit has failed")
    equal(manager.show("ExecMainStatus"), ["127"], "status")


@managed
def test_daemon_that_the_command_leaves_is_stopped_with_the_unit(manager):
    """At a shell it would stay; a unit ends as a whole, and the manager has nobody to kill."""
    manager.unit(aiorun("", "orphan 1 [ setsid on TERM [ sleep 100ms say daemon exit 0 ]"
                        " say up pause ] exit 0"), settings="KillMode=mixed\n")
    manager.start()
    manager.says("daemon")
    until(lambda: manager.show("ActiveState") == ["inactive"], "the unit has ended")
    equal(manager.show("Result"), ["success"], "result")


@managed
def test_reload_signal_of_a_unit_reaches_the_command_once(manager):
    manager.unit(aiorun("", "report HUP on USR1 [ exit 0 ] say ready pause"),
                 settings="KillMode=mixed\nExecReload=/bin/kill -HUP $MAINPID\n")
    manager.start()
    manager.says("ready")
    equal(manager.systemctl("reload", "it").returncode, 0, "reload")
    until(lambda: any(line.startswith("got HUP") for line in manager.log()), "the command has it")
    manager.systemctl("kill", "--kill-whom=main", "--signal=USR1", "it")
    until(lambda: manager.show("ActiveState") == ["inactive"], "the unit has ended")
    equal(sum(line.startswith("got HUP") for line in manager.log()), 1, "times that HUP came")


@managed
def test_kill_mode_control_group_ends_well_but_asks_twice(manager):
    """systemd signals the command itself, and aiorun does; shielded jobs it would hit, too."""
    manager.unit(aiorun("--success-status requested", "report TERM on USR1 [ exit 0 ]"
                        " say ready pause"), settings="KillMode=control-group\n")
    manager.start()
    manager.says("ready")
    manager.systemctl("stop", "--no-block", "it")
    until(lambda: any("pid=1 " not in line and line.startswith("got TERM")
                      for line in manager.log()), "the command was asked")
    manager.systemctl("kill", "--kill-whom=main", "--signal=USR1", "it")
    until(lambda: manager.show("ActiveState") == ["inactive"], "the unit has ended")
    equal(manager.show("Result"), ["success"], "result")
    senders = {re.search(r"pid=(\d+)", line).group(1) for line in manager.log()
               if line.startswith("got TERM")}
    check(1 <= len(senders) <= 2, f"asked by {senders}")


@managed
def test_kill_mode_mixed_asks_once(manager):
    """Only aiorun asks."""
    manager.unit(aiorun("--success-status requested", "report TERM on USR1 [ exit 0 ]"
                        " say ready pause"), settings="KillMode=mixed\n")
    manager.start()
    manager.says("ready")
    main = manager.show("MainPID")
    manager.systemctl("stop", "--no-block", "it")
    until(lambda: any(line.startswith("got TERM") for line in manager.log()),
          "the command was asked")
    manager.systemctl("kill", "--kill-whom=main", "--signal=USR1", "it")
    until(lambda: manager.show("ActiveState") == ["inactive"], "the unit has ended")
    senders = [re.search(r"pid=(\d+)", line).group(1) for line in manager.log()
               if line.startswith("got TERM")]
    equal(senders, main, "who asked")


# ---- Type=notify ----

NOTIFY = "Type=notify\nNotifyAccess=main\nKillMode=mixed\nTimeoutStopSec=2\n"


def run_script(manager, text, options="", settings=NOTIFY):
    """A unit whose command is a shell script in which $AIORUN and $VICTIM are the programs."""
    path = Path("worker.sh").absolute()
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    manager.unit(f"{BINARY} --success-status requested {options} -- {path}",
                 settings=f"Environment=AIORUN={BINARY} VICTIM={VICTIM}\n{settings}")


def said(manager):
    """What the command has said, without what aiorun says of it."""
    return [line for line in manager.log() if not line.startswith("aiorun:")]


@managed
def test_notify_from_a_shell_makes_the_unit_active(manager):
    run_script(manager, "sleep 0.3; systemd-notify --ready --status='open for business'\n"
               "echo told; exec sleep 1000")
    manager.start()  # returns when it is ready
    equal(manager.show("ActiveState", "StatusText"), ["active", "open for business"], "state")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")


@managed
def test_notify_by_the_control_pipe_makes_the_unit_active(manager):
    run_script(manager, "echo 'status warming up' >&9; sleep 0.3; $AIORUN ready\n"
               "exec sleep 1000", "--ready control")
    manager.start()
    equal(manager.show("ActiveState", "StatusText"), ["active", "warming up"], "state")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")


@managed
def test_notify_for_a_command_that_does_not_speak(manager):
    manager.unit(aiorun("--success-status requested --ready exec", "say ready pause"),
                 settings=NOTIFY)
    manager.start()
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")


@managed
def test_notify_last_word_of_a_command_counts(manager):
    """It tells and ends at once: the unit was started, and is over."""
    run_script(manager, "systemd-notify --no-block --ready; exit 0")
    for _ in range(3):
        manager.start()
        until(lambda: manager.show("ActiveState") == ["inactive"], "the unit has ended")
        equal(manager.show("Result"), ["success"], "result")


@managed
def test_shield_of_four_seconds_outlives_a_stop_timeout_of_two(manager):
    run_script(manager, "trap 'echo oh noes; exit 0' TERM\n"
               "$AIORUN shield -- $VICTIM report TERM say shielded sleep 4s say done"
               " exit 0 &\nwait $!", "--ready exec --timeout 20s")
    manager.start()
    manager.says("shielded")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")
    equal(said(manager), ["shielded", "oh noes", "done"], "the log")


@managed
def test_shield_of_the_worker_itself_outlives_the_stop_timeout(manager):
    run_script(manager, "trap 'echo asked; exit 0' TERM\necho 'shield work 30' >&9\necho ready\n"
               "read verb rest <&9; echo $verb; sleep 4; echo done; echo 'unshield work' >&9\n"
               "while :; do sleep 0.05; done", "--ready exec --timeout 20s")
    manager.start()
    manager.says("ready")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")
    equal(said(manager), ["ready", "shutdown", "done", "asked"], "the log")


@managed
def test_worker_that_is_wedged_is_killed_and_the_unit_has_failed(manager):
    """Nobody holds a shield, nothing is extended: the manager's own timeout comes first."""
    manager.unit(aiorun("--ready exec --timeout 20s", "ignore TERM say ready pause"),
                 settings=NOTIFY)
    manager.start()
    manager.says("ready")
    manager.stop()
    equal(manager.show("Result"), ["timeout"], "result")


@managed
def test_worker_that_is_wedged_behind_its_shield_is_killed_at_the_cap(manager):
    run_script(manager, "trap '' TERM\necho 'shield work' >&9\necho ready\n"
               "while :; do sleep 0.05; done", "--ready exec --timeout 3s")
    manager.start()
    manager.says("ready")
    manager.stop()
    equal(manager.show("Result", "ExecMainStatus"), ["signal", "9"], "result and status")
    check(any("holds the shield 'work'" in line for line in manager.log()), "its shield is not named")


@managed
def test_kill_mode_control_group_hits_the_shielded_job(manager):
    """Why units need KillMode=mixed: the default signals the job behind our back."""
    run_script(manager, "trap 'exit 0' TERM\n"
               "$AIORUN shield -- $VICTIM report TERM on TERM [ say hit exit 0 ] say shielded pause &\n"
               "wait $!", "--ready exec --timeout 20s",
               "Type=notify\nTimeoutStopSec=10\nKillMode=control-group\n")
    manager.start()
    manager.says("shielded")
    manager.stop()
    check("hit" in manager.log(), "it was not hit")


# ---- the example ----

def example():
    """The shipped unit: its text, its ExecStart, --timeout and TimeoutStopSec in seconds."""
    text = EXAMPLE.read_text()
    command = re.search(r"^ExecStart=(.*)$", text, re.M).group(1)
    timeout = float(re.search(r"--timeout (\d+)s ", command).group(1))
    grace = float(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.M).group(1))
    return text, command, timeout, grace


def start_example(manager, script):
    text, command, timeout, grace = example()
    check(command.startswith("/usr/bin/aiorun ") and command.endswith(" /usr/bin/server"), command)
    command = command.replace("/usr/bin/aiorun", BINARY, 1)
    manager.unit(command.replace("/usr/bin/server", f"{VICTIM} {script}"), text=text)
    manager.start()
    manager.says("ready")
    equal(manager.show("KillMode", "Type"), ["mixed", "exec"], "settings")
    return timeout, grace


def test_example_has_its_timeout_two_seconds_below_the_grace():
    _, _, timeout, grace = example()
    equal(timeout, grace - 2, "timeout")


@managed
def test_example_ends_a_command_that_ignores_term_before_the_manager_does(manager):
    start_example(manager, "ignore TERM spawn [ ignore TERM pause ] say ready pause")
    manager.stop()
    equal(manager.show("Result", "ExecMainCode", "ExecMainStatus"), ["signal", "2", "9"], "end")
    check(any("refused to exit" in line for line in manager.log()), "nothing is said about who")


@managed
def test_example_lets_a_command_finish_that_needs_nearly_all_of_the_grace(manager):
    _, _, timeout, _ = example()
    start_example(manager, f"on TERM [ sleep {round(1000 * timeout) - 700}ms say done exit 0 ]"
                  " say ready pause")
    manager.stop()
    equal(manager.show("ActiveState", "Result"), ["inactive", "success"], "state and result")
    check("done" in manager.log(), "it was not let finish")


@managed
def test_example_is_not_failed_and_not_restarted_by_a_stop(manager):
    start_example(manager, "say ready pause")
    manager.stop()
    equal(manager.show("ActiveState", "Result", "NRestarts"), ["inactive", "success", "0"], "end")


@managed
def test_example_is_restarted_after_a_failure(manager):
    start_example(manager, "on USR1 [ exit 3 ] say ready pause")
    manager.systemctl("kill", "--kill-whom=main", "--signal=USR1", "it")
    until(lambda: manager.log().count("ready") == 2, "it runs again")
    manager.stop()


def test_manager_leaves_nothing_behind():
    """The test's own tool: the cgroup is gone, and no process of ours has been moved."""
    if not os.access(SYSTEMD, os.X_OK) or os.geteuid() != 0:
        raise Skip("needs systemd and root")
    before = Path("/proc/self/cgroup").read_text()
    manager = Manager()
    manager.close()
    check(not manager.cgroup.exists(), "the cgroup is still there")
    equal(Path("/proc/self/cgroup").read_text(), before, "our cgroup")
    check(state(manager.inside) in (None, "Z", "X"), "the manager is still there")
