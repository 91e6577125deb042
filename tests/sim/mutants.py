#!/usr/bin/env python3
"""Builds the simulation with each fault of mutants.list, and requires that its checks notice.

    tests/sim/mutants.py [NAME...]     from anywhere; CC and CFLAGS as usual
"""

import concurrent.futures
import os
import pathlib
import re
import resource
import shlex
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")) / "mutants"
CORE = ROOT / "src" / "core"
COMPILE = [os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", f"-I{ROOT}/src",
           *shlex.split(os.environ.get("CFLAGS", "-O1"))]
TRIES = (["--schedules", "40000"], ["--small", "--quick"])
SECONDS = 15  # of the processor: a fault that makes the simulation hang is noticed, too


def read_list(path):
    """The faults as (name, promise, file, old lines, new lines)."""
    faults = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line[:2] in ("- ", "+ "):
            faults[-1][3 if line[0] == "-" else 4].append(line[2:].strip())
            continue
        fields = line.split()
        if len(fields) != 3:
            sys.exit(f"{path}:{number}: not a fault: {line}")
        faults.append((*fields, [], []))
    return faults


def seed_fault(fault):
    """The file's text with the fault in it.  Indentation does not count."""
    name, _, file, old, new = fault
    text = (CORE / file).read_text()
    pattern = r"\s*".join(re.escape(line) for line in old)
    found = len(re.findall(pattern, text))
    if not old or not new or found != 1:
        sys.exit(f"mutants.list: {name}: found {found} times in {file}")
    return re.sub(pattern, lambda _: "\n".join(new), text)


def compile_file(source, target, *options):
    subprocess.run([*COMPILE, *options, "-c", source, "-o", target], check=True)
    return target


def build(fault, objects):
    name, _, file, _, _ = fault
    source = BUILD / f"{name}.c"
    source.write_text(seed_fault(fault))
    mutated = compile_file(source, BUILD / f"{name}.o", "-w")
    others = [path for stem, path in objects.items() if stem != file]
    program = BUILD / name
    subprocess.run([COMPILE[0], *others, mutated, "-o", program], check=True)
    return program


def limit_time():
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))


def notice(program):
    """How the simulation notices the fault; None when it does not."""
    for arguments in TRIES:
        run = subprocess.run([program, *arguments], capture_output=True, text=True,
                             preexec_fn=limit_time)
        if run.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return "hangs"
        if run.returncode != 0:
            broken = re.findall(r"^P\d+(?= is broken)", run.stdout, re.MULTILINE)
            return broken[-1] if broken else "aborts"
    return None


def try_fault(fault, objects):
    program = build(fault, objects)
    noticed = notice(program)
    for path in (program, program.with_suffix(".o"), program.with_suffix(".c")):
        path.unlink()
    return fault, noticed


def main():
    wanted = set(sys.argv[1:])
    faults = read_list(ROOT / "tests" / "sim" / "mutants.list")
    for fault in faults:
        seed_fault(fault)
    faults = [fault for fault in faults if not wanted or fault[0] in wanted]
    BUILD.mkdir(parents=True, exist_ok=True)
    sources = [*CORE.glob("*.c"), *(ROOT / "tests" / "sim").glob("*.c")]
    failed, used = 0, set()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        objects = dict(zip((source.name for source in sources),
                           pool.map(lambda source: compile_file(source, BUILD / f"{source.stem}.o"),
                                    sources)))
        for fault, noticed in pool.map(lambda fault: try_fault(fault, objects), faults):
            failed += noticed is None
            used.add(noticed)
            print(f"{'ok  ' if noticed else 'FAIL'} {fault[0]} ({fault[1]}):",
                  noticed or "nobody notices", flush=True)
    for promise in re.findall(r"^ \*  (P\d+)", (CORE / "core.h").read_text(), re.MULTILINE):
        if promise not in used and not wanted:
            failed += 1
            print(f"FAIL {promise}: its check notices no fault")
    print(f"{len(faults) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
