#!/usr/bin/env python3
"""How fast captured output goes through, beside s6-log and beside the least there can be.

    make build/aiorun build/bench/relay && tests/bench/relay.py

MB/s, the best of three interleaved rounds: of 100-byte lines, in writes of 64 KiB and of a line.
"""
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY, RELAY = ROOT / "build" / "aiorun", ROOT / "build" / "bench" / "relay"
MB = {65536: 200, 100: 30}
ENDS = {"nowhere": ">/dev/null", "into a file": ">out", "into a pipe": f"| {RELAY} copy >/dev/null"}


def ways(size, place):
    """Name and shell command of each."""
    source = f"{RELAY} write {size} 100 {MB[size] << 20}"
    for name, output in ("prefix", "prefix"), ("pipe", "pipe:s6-log -b 1"):
        (place / f"{name}{size}.ini").write_text(
            f"[aiorun]\nforever = no\n[worker:web]\ncommand = {source}\noutput = {output}\n")
    for end, words in ENDS.items():
        yield f"aiorun prefix {end}", f"{BINARY} -q --config prefix{size}.ini {words}"
        yield f"read and write {end}", f"{source} | {RELAY} copy {words}"
    if shutil.which("s6-log"):
        yield "s6-log nowhere", f"{source} | s6-log -b 1 >/dev/null"
        yield "s6-log into a file", f"rm -rf log; {source} | s6-log -b n0 s268435455 ./log"
        yield "aiorun pipe:s6-log nowhere", f"{BINARY} -q --config pipe{size}.ini >/dev/null"


def main():
    with tempfile.TemporaryDirectory() as place:
        for size, amount in MB.items():
            best = {}
            for _ in range(3):
                for name, command in ways(size, Path(place)):
                    start = time.monotonic()
                    subprocess.run(command, shell=True, check=True, cwd=place,
                                   stderr=subprocess.DEVNULL)
                    best[name] = max(best.get(name, 0), amount / (time.monotonic() - start))
            for name, speed in best.items():
                print(f"writes of {size:5} bytes, {name:30} {speed:6.0f} MB/s")


if __name__ == "__main__":
    sys.exit(main())
