#!/usr/bin/env python3
"""Sums up what gcov prints (standard input): the lines of each of our files that some test ran."""

import re
import sys

lines = {}
for name, share, count in re.findall(r"File '([^']+)'\nLines executed:([\d.]+)% of (\d+)",
                                     sys.stdin.read()):
    if name.startswith(("src/", "cmd/")):
        covered, total = lines.get(name, (0, int(count)))
        lines[name] = max(covered, round(float(share) * int(count) / 100)), total

if not lines:
    sys.exit("no counts: nothing was built or run for coverage")
for name in sorted(lines):
    covered, total = lines[name]
    print(f"{100 * covered / total:6.1f} %  {covered:5} of {total:5}  {name}")
covered = sum(pair[0] for pair in lines.values())
total = sum(pair[1] for pair in lines.values())
print(f"{100 * covered / total:6.1f} %  {covered:5} of {total:5}  all")
