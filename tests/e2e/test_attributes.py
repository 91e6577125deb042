"""What the command is given: user, directory, environment, limits, as gosu and chpst would."""
import os
import pwd
from pathlib import Path

from harness import Run, aiorun, cases, check, equal, expect_gone, launch, needs, victim


def status(run):
    """/proc/self/status of the command, as a dict of lists of words."""
    run.end(0)
    lines = (line.partition(":") for line in run.out.splitlines() if ":\t" in line)
    return {key: value.split() for key, _, value in lines}


STATUS = "cat /proc/self/status"


# ---- users and groups ----

@needs("root", "chpst")
def test_user_is_what_chpst_makes_of_it():
    wanted = status(Run(["chpst", "-u", "www-data", *victim(STATUS)]))
    got = status(launch(STATUS, "--user", "www-data"))
    for field in ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "CapAmb"):
        equal(got[field], wanted[field], field)


@needs("root")
def test_user_sets_home_as_gosu_does():
    for user in ("www-data", str(pwd.getpwnam("www-data").pw_uid)):
        run = launch("print env", "--user", user)
        run.end(0)
        home = pwd.getpwnam("www-data").pw_dir
        equal([line for line in run.out.splitlines() if line.startswith("env HOME=")],
              [f"env HOME={home}"], "HOME")


@needs("root")
def test_user_sets_supplementary_groups():
    """All of the user's, none of ours."""
    user = pwd.getpwnam("www-data")
    got = status(launch(STATUS, "--user", "www-data", before=lambda: os.setgroups([1, 2, 3])))
    equal({int(g) for g in got["Groups"]}, set(os.getgrouplist("www-data", user.pw_gid)), "groups")


@needs("root")
@cases(numeric=("33", 33, 33), unknown=("45678", 45678, None), pair=("www-data:daemon", 33, 1),
       numbers=("45678:45679", 45678, 45679), mixed=("www-data:45679", 33, 45679))
def test_forms_of_user(user, uid, gid):
    got = status(launch(STATUS, "--user", user, before=lambda: os.setgroups([1, 2, 3])))
    equal(got["Uid"], [str(uid)] * 4, "Uid")
    if gid is not None:
        equal(got["Gid"], [str(gid)] * 4, "Gid")
    check(not {"2", "3"} & set(got["Groups"]), f"our groups stay: {got['Groups']}")


@needs("root")
def test_group_name():
    for group in ("daemon", "1"):
        got = status(launch(STATUS, "--group-name", group))
        equal((got["Uid"], got["Gid"]), (["0"] * 4, ["1"] * 4), "ids")
        got = status(launch(STATUS, "--user", "www-data", "--group-name", group))
        equal((got["Uid"], got["Gid"]), (["33"] * 4, ["1"] * 4), "ids")


@needs("root")
def test_other_user_is_stopped_all_the_same():
    run = launch("orphan 1 [ on TERM [ say orphan exit 0 ] pause ] on TERM [ say asked exit 4 ]"
                 " say ready pause", "--user", "www-data")
    run.line("ready")
    run.send("TERM")
    run.end(4)
    check("asked" in run.out and "orphan" in run.out, "not both were asked")


@needs("root")
def test_worker_death_signal_survives_the_change_of_user():
    run = launch("on TERM [ say bye exit 0 ] say ready pause", "--user", "www-data")
    run.line("ready")
    run.send("KILL")
    run.line("bye")
    run.wait()
    expect_gone(*run.left)


@needs("root")
def test_other_user_may_use_inherited_output():
    """As under gosu: /dev/stdout stays what it was, and is written through the descriptor."""
    run = launch("say hello", "--user", "www-data")
    run.end(0)
    equal(run.out, "hello\n", "output")


# ---- environment ----

def environment(*options, **how):
    run = launch("print env", *options, **how)
    run.end(0)
    return run.environment()


BASE = {"only_env": {"A": "1", "B": "2"}}


def test_env_sets_and_replaces():
    got = environment("--env", "B=new", "--env", "C=3", "--env", "D=a=b c", "--env", "E=", **BASE)
    equal(sorted(got), ["A=1", "B=new", "C=3", "D=a=b c", "E="], "the environment")


def test_the_last_env_wins():
    got = environment("--env", "C=1", "--env", "C=2", **BASE)
    equal(sorted(got), ["A=1", "B=2", "C=2"], "the environment")


def test_env_file_comes_before_env():
    Path("one").write_text("# a comment\n\nC=file\nD=file one\nE=x=y\n")
    Path("two").write_text("D=file two\n")
    got = environment("--env", "C=option", "--env-file", "one", "--env-file", "two", **BASE)
    equal(sorted(got), ["A=1", "B=2", "C=option", "D=file two", "E=x=y"], "the environment")


def test_env_file_without_last_newline():
    Path("file").write_text("C=3")
    equal(sorted(environment("--env-file", "file", **BASE)), ["A=1", "B=2", "C=3"], "environment")


def test_clear_env_leaves_only_what_is_asked_for():
    equal(environment("--clear-env", **BASE), [], "the environment")
    equal(environment("--clear-env", "--env", "C=3", **BASE), ["C=3"], "the environment")


@cases(no_equals="C\n", no_name="=x\n", nul="C=\0x\n", export="export C=3\n", indented=" C=3\n",
       tab="C\t=3\n")
def test_bad_env_file_is_refused_by_line(content):
    Path("file").write_text("A=1\n" + content)
    run = launch("append started yes", "--env-file", "file")
    run.end(125)
    check("file:2" in run.err, f"no place in {run.err!r}")
    check(not Path("started").exists(), "the command was started")


# ---- the rest ----

def test_cwd():
    os.mkdir("sub")
    run = launch("print cwd", "--cwd", "sub")
    run.end(0)
    run.line(f"^cwd {os.getcwd()}/sub$")


def test_relative_command_is_found_from_cwd():
    """As a shell's `cd sub && ./tool` would."""
    os.mkdir("sub")
    Path("sub/tool").write_text("#!/bin/sh\nexit 5\n")
    os.chmod("sub/tool", 0o755)
    aiorun("--cwd", "sub", "--", "./tool").end(5)


@cases("022", "0027", "0", "777")
def test_umask(mask):
    equal(status(launch(STATUS, "--umask", mask))["Umask"], [f"{int(mask, 8):04o}"], "umask")


LIMITS = {"as": "Max address space", "core": "Max core file size", "cpu": "Max cpu time",
          "data": "Max data size", "fsize": "Max file size", "locks": "Max file locks",
          "memlock": "Max locked memory", "msgqueue": "Max msgqueue size",
          "nice": "Max nice priority", "nofile": "Max open files", "nproc": "Max processes",
          "rss": "Max resident set", "rtprio": "Max realtime priority",
          "rttime": "Max realtime timeout", "sigpending": "Max pending signals",
          "stack": "Max stack size"}
LARGE = {"as": 1 << 32, "data": 1 << 30, "stack": 1 << 20, "fsize": 1 << 30, "memlock": 1 << 20}


@needs("root")
@cases(*LIMITS)
def test_limit(name):
    soft, hard = LARGE.get(name, 20), 2 * LARGE.get(name, 20)
    if name in ("nice", "rtprio"):  # 0 for most, and even root may be forbidden to raise them
        soft, hard = 0, 0
    run = launch("cat /proc/self/limits", f"--limit-{name}", f"{soft}:{hard}")
    run.end(0)
    run.line(rf"^{LIMITS[name]}\s+{soft}\s+{hard}\s")


@needs("root")
@cases(both=("100", "100", "100"), infinity=("infinity", "unlimited", "unlimited"),
       pair=("10:infinity", "10", "unlimited"), kilo=("4K:1M", "4096", "1048576"))
def test_forms_of_a_limit(value, soft, hard):
    run = launch("cat /proc/self/limits", "--limit-core", value)
    run.end(0)
    run.line(rf"^Max core file size\s+{soft}\s+{hard}\s")


def test_limit_is_the_commands_alone():
    """aiorun itself, which must go on, is not bound by it."""
    run = launch("orphan 20 [ exit 0 ] say ready pause", "--limit-nofile", "8",
                 "--limit-fsize", "0")
    run.line("ready")
    soft = [line for line in Path(f"/proc/{run.pid}/limits").read_text().splitlines()
            if line.startswith("Max open files")][0].split()[3]
    check(int(soft) > 8, "aiorun has its limit")
    run.send("TERM")
    run.end("TERM")


def test_nice():
    run = launch("cat /proc/self/stat", "--nice", "7")
    run.end(0)
    equal(run.line(r"\) (.*)").group(1).split()[16], "7", "nice")


def test_oom_score_adjust():
    run = launch("cat /proc/self/oom_score_adj", "--oom-score-adjust", "500")
    run.end(0)
    equal(run.out, "500\n", "oom_score_adj")


def test_no_new_privileges():
    equal(status(launch(STATUS, "--no-new-privileges"))["NoNewPrivs"], ["1"], "NoNewPrivs")
    equal(status(launch(STATUS))["NoNewPrivs"], ["0"], "NoNewPrivs")


@needs("root")
def test_attributes_work_together_in_the_right_order():
    """What needs root comes before the change of user."""
    os.mkdir("sub")
    got = status(launch(STATUS, "--user", "www-data", "--cwd", "sub", "--nice", "-3",
                        "--oom-score-adjust", "10", "--limit-nofile", "1000:2000", "--umask", "077",
                        "--no-new-privileges", "--limit-core", "infinity"))
    equal((got["Uid"][0], got["Umask"], got["NoNewPrivs"]), ("33", ["0077"], ["1"]), "attributes")


@needs("root")
def test_attributes_hold_after_a_restart():
    run = launch("cat /proc/self/status exit 1", "--user", "www-data", "--umask", "027",
                 "--restart", "on-failure", "--restart-delay", "1ms", "--restart-limit", "2/1m")
    run.end(1)
    equal(run.out.count("Uid:\t33\t33\t33\t33"), 3, "runs as www-data")
    equal(run.out.count("Umask:\t0027"), 3, "runs with the umask")
