"""Limits by cgroups: memory-max, cpu-max, pids-max.  Each test is in a cgroup of its own."""
import os
import signal

from harness import Skip, check, children, equal, expect_gone, needs, until
from test_output import ENDS, fleet, worker
from test_systemd import own_cgroup


class Group:
    """Where aiorun is to be; `here` is what `before` of a Run takes."""

    def __init__(self):
        self.path = own_cgroup()

    def here(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def members(self, name):
        return [int(pid) for pid in (self.path / name / "cgroup.procs").read_text().split()]

    def left(self):
        return sorted(path.name for path in self.path.iterdir() if path.is_dir())

    def has(self, controller):
        return controller in (self.path / "cgroup.controllers").read_text().split()


def grouped(function):
    def wrapper(*args):
        group = Group()
        try:
            function(group, *args)
        finally:
            until(lambda: not (group.path / "cgroup.procs").read_text(), "the cgroup is empty")
            for directory, _, _ in os.walk(group.path, topdown=False):
                os.rmdir(directory)
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return needs("root", "plain")(wrapper)


@grouped
def test_each_run_has_a_leaf_and_nothing_is_left_of_them(group):
    run = fleet(worker("web", "say up pause", "pids-max = 100", "instances = 2")
                + worker("free", "say up pause"), before=group.here)
    for _ in range(3):
        run.line("up")
    equal(group.left(), ["supervisor", "worker.web"], "cgroups")
    equal(sorted(path.name for path in (group.path / "worker.web").iterdir() if path.is_dir()),
          ["run.0", "run.1"], "leaves")
    members = group.members("worker.web/run.0") + group.members("worker.web/run.1")
    check(len(members) == 2 and set(members) < set(children(run.pid)), f"members {members}")
    equal(sorted(group.members("supervisor")), sorted([run.pid, *set(children(run.pid))
                                                       - set(members)]), "in the supervisor's")
    run.send("TERM")
    run.end(0)
    equal(group.left(), [], "what is left")


@grouped
def test_leaf_is_the_tree_whatever_session_its_members_are_in(group):
    """A daemon that has left its run's session is asked with the run's tree, before it starts
    again, and not only when everything ends."""
    run = fleet(worker("web", "orphan 1 [ setsid on TERM [ say asked exit 0 ] say daemon pause ]"
                       " on USR1 [ exit 1 ] print pids pause", "pids-max = 100",
                       "restart = always", "restart-delay = 0s..0s"), before=group.here)
    first = run.pids()["pid"]
    os.kill(first, signal.SIGUSR1)
    run.line("asked")
    check(run.pids()["pid"] != first, "it is the same run")
    run.send("TERM")
    run.end(0)


@grouped
def test_kill_reaches_all_of_the_leaf(group):
    run = fleet(worker("web", "ignore TERM spawn [ ignore TERM setsid pause ]"
                       " orphan 1 [ ignore TERM setsid pause ] say up pause",
                       "pids-max = 100", "stop-timeout = 200ms"), before=group.here)
    run.line("up")
    members = group.members("worker.web/run.0")
    check(len(members) >= 3, f"members {members}")
    run.send("TERM")
    run.end(timeout=8)
    expect_gone(*members)
    equal(group.left(), [], "what is left")


@grouped
def test_limit_that_cannot_be_kept_is_told_once(group):
    if group.has("pids"):
        raise Skip("needs a cgroup without the controller")
    run = fleet(ENDS + worker("web", "say up", "pids-max = 100", "instances = 2"),
                before=group.here)
    run.end(0)
    equal(run.err.count("pids-max of worker 'web' is not enforced: our cgroup does not have that "
                        "controller"), 1, "warnings")


@grouped
def test_limits_are_set(group):
    if not all(group.has(name) for name in ("memory", "cpu", "pids")):
        raise Skip("needs the controllers memory, cpu and pids")
    run = fleet(worker("web", "say up pause", "pids-max = 20", "memory-max = 64M",
                       "cpu-max = 150%"), before=group.here)
    run.line("up")
    values = [(group.path / "worker.web" / name).read_text().strip()
              for name in ("pids.max", "memory.max", "cpu.max")]
    equal(values, ["20", str(64 << 20), "150000 100000"], "limits")
    run.send("TERM")
    run.end(0)
    equal(group.left(), [], "what is left")


@grouped
def test_nothing_is_divided_without_a_limit(group):
    run = fleet(worker("web", "say up pause"), before=group.here)
    run.line("up")
    equal(group.left(), [], "cgroups")
    run.send("TERM")
    run.end(0)
