"""In containers: podman, runc and bubblewrap, and the examples that are shipped for them."""
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from harness import (BINARY, ROOT, VICTIM, Run, Skip, alive, cases, check, children, deadline,
                     equal, needs, runc, sig, until, victim, wrapped)
from terminal import Terminal

EXAMPLES = ROOT / "conf" / "examples"
STATIC = ROOT / "build" / "static" / "aiorun"
LIMITS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


def podman(*args):
    """The argv of a podman whose store is the test's own."""
    here = os.getcwd()
    return ["podman", "--root", f"{here}/store", "--runroot", f"{here}/run", "--tmpdir",
            f"{here}/tmp", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--storage-driver",
            "vfs", "--events-backend", "none", *args]


def pod(*args, **how):
    """Run podman to its end."""
    done = subprocess.run(podman(*args), capture_output=True, text=True, timeout=60,
                          stdin=how.pop("stdin", subprocess.DEVNULL), **how)
    check(done.returncode == 0, f"podman {args[0]}: {done.stderr.strip()[-300:]}")
    return done


def libraries(program):
    """The shared libraries that it needs, and its loader."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [word for word in listed.split() if word.startswith("/")]


def copy(program, root, name):
    target = root / name.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, target)
    for library in libraries(program):
        place = root / library.lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), place)


def base_image():
    """An image with a shell, victim, aiorun, and the libraries that they need."""
    root = Path("rootfs")
    copy(shutil.which("busybox"), root, "/bin/busybox")
    for applet in "sh", "cat", "sleep", "stty", "true":
        (root / "bin" / applet).symlink_to("busybox")
    copy(VICTIM, root, "/usr/bin/victim")
    copy(BINARY, root, "/usr/bin/aiorun")
    (root / "tmp").mkdir()
    subprocess.run(["tar", "-C", root, "-cf", "rootfs.tar", "."], check=True)
    pod("import", "rootfs.tar", "base")
    return "localhost/base"


def container(image, *command, options=()):
    """`podman run`, in the foreground; the container is called `c`."""
    return Run(podman("run", "--name", "c", *LIMITS, *options, image, *command), wrapped=True)


def finish(run, status):
    """Wait for the container's end."""
    run.wait()
    equal(run.status, status, "status")


def put_away():
    """Remove the container, and wait until podman has removed all that it made."""
    pod("rm", "--force", "--all", "--time", "0")
    until(lambda: not [pid for pid in children(os.getpid()) if alive(pid)],
          "podman's own processes are gone")
    until(lambda: os.getcwd() not in Path("/proc/self/mounts").read_text(), "nothing is mounted")


def stop(run, seconds):
    """`podman stop`; returns how long it took.  It must not have come to the KILL."""
    stopper = Run(podman("stop", "--time", str(seconds), "c"), wrapped=True)
    while not stopper.ended():
        run.pump(time.monotonic() + 0.05)  # so that nobody waits for us to read
    equal(stopper.status, 0, "podman's status")
    check("SIGKILL" not in stopper.err, "podman had to kill it")
    return stopper.duration


def with_podman(function):
    """Nothing of what podman mounted or started is left after the test, however it ends."""
    def wrapper(*args):
        try:
            function(*args)
        finally:
            put_away()
    wrapper.__name__, wrapper.__doc__ = function.__name__, function.__doc__
    return deadline(90)(needs("root", "podman", "busybox", "plain")(wrapper))


# ---- podman ----

WAYS = {"entrypoint": (("--entrypoint", '["aiorun", "--"]'),),
        "init": (("--init", "--init-path", BINARY),)}


@cases(**WAYS)
@with_podman
def test_podman_stop_is_a_clean_end(options):
    image = base_image()
    run = container(image, "victim", *"orphan 1 [ setsid on TERM [ sleep 300ms say orphan exit 0 ]"
                    " pause ] on TERM [ sleep 300ms say done exit 3 ] say ready pause".split(),
                    options=options)
    run.line("ready")
    seconds = stop(run, 10)
    check(seconds < 5, f"it took {seconds:.1f} s")
    finish(run, 3)
    check("done" in run.out and "orphan" in run.out, "somebody had not the time to finish")


@cases(**WAYS)
@with_podman
def test_podman_status_of_a_command_that_dies_of_the_stop_is_143(options):
    run = container(base_image(), "victim", "say", "ready", "pause", options=options)
    run.line("ready")
    check(stop(run, 10) < 5, "it took too long")
    finish(run, 143)


@cases(**WAYS)
@with_podman
def test_podman_timeout_comes_before_the_grace_ends(options):
    """The environment sets the option, where the command line is the runtime's."""
    run = container(base_image(), "victim", *"ignore TERM say ready pause".split(),
                    options=(*options, "--env", "AIORUN_OPT_TIMEOUT=1s"))
    run.line("ready")
    seconds = stop(run, 20)
    check(seconds < 10, f"it took {seconds:.1f} s")
    finish(run, 137)
    check("refused to exit" in run.err, "nothing is said about who refused")


@cases(**WAYS)
@with_podman
def test_podman_loses_no_output_at_the_end(options):
    run = container(base_image(), "sh", "-c", "trap 'victim write 300000; exit 0' TERM; echo ready;"
                    " while :; do sleep 1000 & wait; done", options=options)
    run.line("ready")
    stop(run, 10)
    finish(run, 0)
    equal(len(run.out) - len("ready\n"), 300000, "bytes")


@with_podman
def test_podman_stop_signal_of_the_image_is_a_requested_end():
    run = container(base_image(), "aiorun", "--success-status", "requested", "--", "victim", "say",
                    "ready", "pause", options=("--stop-signal", "QUIT"))
    run.line("ready")
    check(stop(run, 10) < 5, "it took too long")
    finish(run, 0)


@cases(**WAYS)
@with_podman
def test_podman_it_is_a_shell_with_keys_and_jobs(options):
    image = base_image()
    run = Terminal(podman("run", "-it", "--name", "c", *LIMITS, *options, "--env", "PS1=<$?> ",
                          image, "sh", "-i"))
    run.expect(r"<0> ", timeout=30)
    run.ctrl("C")
    run.expect(r"<\d+> ")
    run.type("stty size\n")
    run.expect("24 80")
    run.expect("<0> ")
    run.type("victim say ready pause\n")
    run.expect("\nready")
    run.ctrl("C")
    run.expect("<130> ")
    run.type("victim on CONT [ exit 7 ] say ready pause\n")
    run.expect("\nready")
    run.ctrl("Z")
    run.expect(r"<\d+> ")
    run.type("fg\n")
    run.expect("<7> ")
    run.resize(33, 99)
    until(lambda: (run.type("stty size\n"), run.expect(r"\n(\d+ \d+)\r").group(1))[1] == "33 99",
          "the size is the new one")
    run.type("exit 3\n")
    finish(run, 3)


@with_podman
def test_static_program_is_all_that_an_image_from_scratch_needs():
    if not STATIC.exists():
        raise Skip("needs build/static/aiorun: make static")
    context = Path("context")
    context.mkdir()
    shutil.copy(STATIC, context / "aiorun")
    shutil.copy(shutil.which("busybox"), context / "busybox")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY aiorun busybox /\n'
                                        'ENTRYPOINT ["/aiorun", "--"]\n')
    pod("build", "--tag", "scratch-test", str(context))
    run = container("localhost/scratch-test", "/busybox", "sh", "-c",
                    "trap 'echo asked; exit 3' TERM; echo ready;"
                    " while :; do /busybox sleep 1000 & wait; done")
    run.line("ready")
    check(stop(run, 10) < 5, "it took too long")
    finish(run, 3)
    check("asked" in run.out, "it was not asked")


# ---- the examples ----

def entrypoint():
    """ENTRYPOINT of the shipped Dockerfile."""
    text = (EXAMPLES / "Dockerfile").read_text()
    return json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", text, re.M).group(1))


def kubernetes():
    """The command and the grace period of the shipped manifest."""
    text = (EXAMPLES / "kubernetes.yaml").read_text()
    command = json.loads(re.search(r"^ +command: (\[.*?\])", text, re.M | re.S).group(1))
    equal(json.loads(re.search(r"^ +args: (\[.*?\])", text, re.M).group(1)), ["server"], "args")
    return command, int(re.search(r"^ +terminationGracePeriodSeconds: (\d+)$", text,
                                  re.M).group(1))


def option(words, name):
    """The value of a long option, in seconds."""
    return float(words[words.index(name) + 1].rstrip("s"))


def docker_example(*script):
    base = base_image()
    context = Path("context")
    context.mkdir()
    shutil.copy(BINARY, context / "aiorun")
    shutil.copy(VICTIM, context / "server")
    pod("build", "--from", base, "--tag", "example", "--file", str(EXAMPLES / "Dockerfile"),
        str(context))
    return container("localhost/example", "server", *script)


def kubernetes_example(*script):
    """As the kubelet does it: the command and the arguments, TERM, the grace period, KILL."""
    base = base_image()
    command, _ = kubernetes()
    return container(base, *command[1:], "victim", *script,
                     options=("--entrypoint", json.dumps(command[:1])))


def example(name):
    """How to start it, its --timeout, its --drain-delay, the grace."""
    if name == "docker":
        return docker_example, option(entrypoint(), "--timeout"), 0, 10
    command, grace = kubernetes()
    return (kubernetes_example, option(command, "--timeout"), option(command, "--drain-delay"),
            grace)


@cases("docker", "kubernetes")
def test_example_has_its_timeout_two_seconds_below_the_grace(name):
    _, timeout, _, grace = example(name)
    equal(timeout, grace - 2.0, "timeout")


@cases("docker", "kubernetes")
@with_podman
def test_example_ends_a_command_that_ignores_term_inside_the_grace(name):
    start, timeout, _, grace = example(name)
    run = start(*"ignore TERM spawn [ ignore TERM pause ] say ready pause".split())
    run.line("ready", timeout=30)
    seconds = stop(run, grace)
    check(timeout - 3 < seconds < grace, f"it took {seconds:.1f} s")
    finish(run, 137)
    check("refused to exit" in run.err, "nothing is said about who refused")


@cases("docker", "kubernetes")
@with_podman
def test_example_lets_a_command_finish_that_needs_nearly_all_of_the_grace(name):
    start, timeout, drain, grace = example(name)
    need = round(1000 * (timeout - drain - 0.7))
    run = start(*f"on TERM [ say asked sleep {need}ms say done exit 0 ] say ready pause".split())
    run.line("ready", timeout=30)
    seconds = stop(run, grace)
    check(seconds < grace, f"it took {seconds:.1f} s")
    finish(run, 0)
    check("done" in run.out, "it was not let finish")


@cases("docker", "kubernetes")
@with_podman
def test_example_has_not_failed_when_the_stop_ends_it(name):
    start, _, drain, grace = example(name)
    run = start(*"say ready pause".split())
    run.line("ready", timeout=30)
    seconds = stop(run, grace)
    check(seconds < drain + 4, f"it took {seconds:.1f} s")
    finish(run, 0)


# ---- runc ----

@needs("root", "runc")
def test_runc_kill_is_a_clean_end():
    run = runc("--", *victim("orphan 1 [ setsid on TERM [ say orphan exit 0 ] pause ]"
                             " on TERM [ say done exit 3 ] say ready pause"))
    run.line("ready")
    subprocess.run([*run.argv[:3], "kill", run.argv[-1], "TERM"], check=True, timeout=20)
    run.end(3)
    check("done" in run.out and "orphan" in run.out, "somebody was not asked")


@needs("root", "runc")
def test_runc_exec_into_the_container_does_not_hinder_its_end():
    """What exec brought in is no child of ours, and ends with the namespace."""
    run = runc("--", *victim("on TERM [ exit 3 ] say ready pause"))
    run.line("ready")
    visitor = Run([*run.argv[:3], "exec", run.argv[-1], *victim("say visiting pause")],
                  wrapped=True)
    visitor.line("visiting")
    seconds = run.seconds(subprocess.run, [*run.argv[:3], "kill", run.argv[-1], "TERM"], timeout=20)
    equal(run.status, 3, "status")
    check(seconds < 5, f"it took {seconds:.1f} s")
    visitor.wait()


# ---- bubblewrap ----

BWRAP = ["bwrap", "--die-with-parent", "--unshare-pid", "--as-pid-1", "--dev-bind", "/", "/",
         "--proc", "/proc"]


@needs("root", "bwrap")
@cases("TERM", "INT")
def test_bubblewrap_pid_1_tells_the_signal_in_its_status(name):
    run = wrapped(BWRAP, "--", *victim("say ready pause"))
    run.line("ready")
    run.send(name)
    run.end(128 + sig(name))


@needs("root", "bwrap")
def test_bubblewrap_orphans_are_reaped_and_asked():
    run = wrapped(BWRAP, "--", *victim("orphan 20 [ exit 0 ] orphan 1 [ setsid on TERM"
                  " [ say orphan exit 0 ] pause ] on TERM [ sleep 200ms exit 3 ] say ready pause"))
    run.line("ready")
    until(lambda: len(children(run.subject)) == 2, "the dead are reaped")
    run.send("TERM")
    run.end(3)
    check("orphan" in run.out, "the orphan was not asked")


@needs("root", "bwrap")
def test_bubblewrap_passes_its_end_on():
    """--die-with-parent: the namespace dies with the sandbox's outer process."""
    run = wrapped(BWRAP, "--", *victim("spawn [ pause ] say ready pause"))
    run.line("ready")
    pids = [run.subject, run.command]
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    for pid in pids:
        until(lambda: not alive(pid), f"process {pid} is gone")
