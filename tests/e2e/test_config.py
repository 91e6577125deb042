"""The config file before anything starts: `aiorun check`, --print-config, and what is refused."""
import os
from pathlib import Path

from harness import aiorun, cases, check, equal

GOOD = """[aiorun]
timeout = 30s

[worker:db]
command = touch db-was-started

[worker:web]
command = sh -c 'a ; b'
after = db
env.LONG = %s ; no comment
""" % ("x" * 300)

BAD = GOOD + """b=2
 c = 3
[worker:web]
listen = tcp:80
"""

FAULTS = [(11, "'b'"), (12, "begins with a blank"), (13, "line 7"), (14, "'tcp:80'")]


def write(text, name="shop.ini"):
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def test_check_of_a_good_file():
    run = aiorun("check", write(GOOD))
    run.end(0)
    equal(run.out, "shop.ini: 2 workers, no fault\n", "output")
    equal(run.err, "", "errors")
    run = aiorun("check", write("[worker:w]\ncommand = x"))
    run.end(0)
    equal(run.out, "shop.ini: 1 worker, no fault\n", "output")


def test_check_tells_every_fault_by_its_line():
    run = aiorun("check", write(BAD))
    run.end(125)
    equal(run.out, "", "output")
    lines = run.err.splitlines()
    equal(len(lines), len(FAULTS), f"faults: {run.err}; their number")
    for number, words in FAULTS:
        place = f"shop.ini:{number}: "
        check(any(line.startswith(place) and words in line for line in lines),
              f"{place}...{words} is not in {run.err}")


@cases(start=(), print=("--print-config",))
def test_a_file_with_a_fault_starts_nothing(*options):
    run = aiorun("--config", write(BAD), *options)
    run.end(125)
    equal(run.out, "", "output")
    equal(len(run.err.splitlines()), len(FAULTS), f"faults: {run.err}; their number")
    check(not os.path.exists("db-was-started"), "a worker was started")


def test_faults_that_only_the_system_knows_have_their_line_too():
    """Users, groups and files: in a file of fifty workers a name alone says little."""
    lines = ["[aiorun]", "report = /nowhere/report", "[worker:a]", "command = true",
             "user = nobody-such", "env-file = /nowhere/a", "[worker:b]", "command = true",
             "group-name = group-such", "ready = exec:true", "[worker:c]", "command = true", "user = root:group-such"]
    faults = {2: "report: cannot open '/nowhere/report'", 5: "user: 'nobody-such' is no user",
              6: "env-file: cannot open '/nowhere/a'", 9: "group-name: 'group-such' is no group",
              13: "user: 'group-such' is no group"}
    run = aiorun("--config", write("\n".join(lines) + "\n"))
    run.end(125)
    equal(len(run.err.splitlines()), len(faults), f"faults: {run.err}; their number")
    for number, sentence in faults.items():
        check(f"error: shop.ini:{number}: {sentence}" in run.err, f"{sentence}: {run.err}")


@cases(user=("USER", "nobody-such"), file=("ENV_FILE", "/nowhere/a"),
       report=("REPORT", "/nowhere/report"))
def test_faults_that_only_the_system_knows_name_the_variable(name, value):
    run = aiorun("--", "true", env={f"AIORUN_OPT_{name}": value})
    run.end(125)
    check(run.err.startswith(f"aiorun: error: AIORUN_OPT_{name}: "), run.err)


def test_many_faults_are_counted():
    write("[worker:w]\ncommand = x\n" + "nonsense\n" * 1000)
    run = aiorun("check", "shop.ini")
    run.end(125)
    check("and 744 more faults" in run.err.splitlines()[-1], run.err.splitlines()[-1])


def test_what_is_printed_is_the_same_file():
    first = aiorun("--config", write(GOOD), "--print-config", "--timeout", "9s")
    first.end(0)
    check("\ntimeout = 9s\n" in first.out, first.out)
    check(f"\nenv.LONG = {'x' * 300} ; no comment\n" in first.out, first.out)
    second = aiorun("--config", write(first.out, "again.ini"), "--print-config")
    second.end(0)
    equal(second.out, first.out, "printed again")


@cases("nosuch.ini", ".", "/dev/zero")
def test_files_that_cannot_be_read(path):
    for words in (("check", path), ("--config", path)):
        run = aiorun(*words)
        run.end(125)
        equal(run.out, "", "output")
        equal(len(run.err.splitlines()), 1, f"{run.err!r}: lines")
        check(f"{path}: it " in run.err, run.err)


@cases(none=("check",), two=("check", "a.ini", "b.ini"),
       both=("--config", "shop.ini", "--", "true"), argument=("--config",),
       terminal=("--config", "shop.ini", "--terminal", "share"),
       key=("--instances", "4", "--", "true"))
def test_command_lines_that_are_refused(*words):
    write(GOOD)
    write(GOOD, "a.ini")
    run = aiorun(*words)
    run.end(125)
    equal(run.out, "", "output")
    equal(len(run.err.splitlines()), 1, f"{run.err!r}: lines")
    check(run.err.startswith("aiorun: error: "), run.err)


def test_help_is_there_although_the_file_is_not():
    run = aiorun("--config", "nosuch.ini", "--help")
    run.end(0)
    equal(run.err, "", "errors")


def test_check_into_a_full_device_fails():
    with open("/dev/full", "w") as full:
        run = aiorun("check", write(GOOD), stdout=full)
        run.end(125)
    equal(len(run.err.splitlines()), 1, f"{run.err!r}: lines")
