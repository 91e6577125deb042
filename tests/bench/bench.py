#!/usr/bin/env python3
"""aiorun beside its peers: ratios of runs that were interleaved, never times to be quoted.

    bench.py --build DIRECTORY --out DIRECTORY       BENCH=quick in the environment: a short run

DIRECTORY of --out has the helpers, and gets bench.json, bench.md, bench.svg, and summary.md, which
is the README's table.  The exit status is 1 when something could not be measured; a missed target
is shown, but is no failure: on a busy machine it may be the neighbour's."""
import argparse
import json
import os
import shutil
import statistics
import sys
from pathlib import Path

import compare
import measure
import picture
import programs as catalogue
from programs import DYNAMIC, LIMIT, STATIC


class Measurement:
    """One table: what was measured, and what is wanted of it."""

    def __init__(self, name, title, unit, result, targets=None, p90=False):
        self.name, self.title, self.unit = name, title, unit
        self.values, self.failures = result
        self.targets = targets or {}  # kind: the highest ratio to the best peer of that kind
        self.p90 = p90
        self.rows = []

    def statistic(self, values):
        return compare.percentile(values, 0.9) if self.p90 else statistics.median(values)

    def best_peer(self, kind, programs):
        peers = [p.name for p in programs if p.kind == kind and not p.ours and self.known(p.name)]
        return min(peers, key=lambda name: self.statistic(self.known(name)), default=None)

    def known(self, name):
        return [value for value in self.values.get(name, []) if value is not None]

    def judge(self, programs):
        """A row for each program: median, p90, ratio to bare, and for ours against the best peer."""
        method = compare.p90_ratio if self.p90 else compare.median_ratio
        bare = [v for p in programs if p.kind == LIMIT for v in self.known(p.name)]
        limit = self.statistic(bare) if bare else 0
        for program in programs:
            known = self.known(program.name)
            if not known:
                if program.name in self.failures:
                    self.rows.append({"program": program.name,
                                      "failed": self.failures[program.name]})
                continue
            row = {"program": program.name, "kind": program.kind, "rounds": len(known),
                   "median": statistics.median(known), "p90": compare.percentile(known, 0.9),
                   # Not by pairs: slow programs take part in few rounds.
                   "to_bare": self.statistic(known) / limit if limit > 0 else None}
            if program.ours:
                self.compare_with_best(row, program, programs, method)
            self.rows.append(row)
        if not self.values:
            self.rows += [{"program": name, "failed": why} for name, why in self.failures.items()]

    def compare_with_best(self, row, program, programs, method):
        peer = self.best_peer(program.kind, programs)
        target = self.targets.get(program.kind)
        row["target"] = target
        if peer is not None:
            pair = self.values[program.name], self.values[peer]
            row["peer"] = peer
            row["to_peer"] = compare.ratio(*pair, method)
            row["upper"] = compare.upper_bound(*pair, method)
        if target == 0:
            row["met"] = row["median"] == 0
        elif target is not None and row.get("upper") is not None:
            row["met"] = row["upper"] <= target


# ---- what is measured ------------------------------------------------------------------------------

def same(ratio):
    return {DYNAMIC: ratio, STATIC: ratio}


def step(text):
    """People want to see that it lives; the table comes last."""
    print(f"... {text}", file=sys.stderr, flush=True)


def measure_all(place, programs):
    step("idle supervisors, who wait to the end")
    idle = measure.Idle(place, programs)
    quietly = {}
    for name, function, arguments in [
            ("launch", measure.launch, ([str(place.out / "bare")],)),
            ("launch_true", measure.launch, (["/bin/true"],)),
            ("instructions", measure.instructions, ()),
            ("footprint", measure.footprint, (idle,)),
            ("signal", measure.signal_latency, ()),
            ("exit", measure.exit_latency, ()),
            ("storm", measure.orphan_storm, ()),
            ("restart", measure.restart, ())]:
        step(name.replace("_", " "))
        try:
            quietly[name] = function(place, programs, *arguments)
        except measure.Failure as error:
            nothing = ({}, {"all": str(error)})
            quietly[name] = (nothing, nothing) if name in ("footprint", "storm") else nothing
    wakeups, window = idle.end()
    smaller = {DYNAMIC: 1.05, STATIC: 0.6}
    return [
        Measurement("launch", "launch of the shortest command, wall time", "us", quietly["launch"],
                    smaller),
        Measurement("launch_true", "launch of /bin/true, wall time", "us", quietly["launch_true"],
                    smaller),
        Measurement("instructions", "instructions of a launch (callgrind)", "thousand",
                    quietly["instructions"]),
        Measurement("private", "private dirty memory with one child", "KiB",
                    quietly["footprint"][0], {DYNAMIC: 1.1, STATIC: 0.6}),
        Measurement("resident", "resident memory with one child", "KiB", quietly["footprint"][1]),
        Measurement("idle", f"wake-ups a minute, idle for {window:.0f} s", "", wakeups,
                    same(0)),
        Measurement("signal", "signal to handler", "us", quietly["signal"]),
        Measurement("signal_p90", "signal to handler, by the p90", "us", quietly["signal"],
                    same(1.05), True),
        Measurement("exit", "child's end to supervisor's end", "us", quietly["exit"]),
        Measurement("exit_p90", "child's end to supervisor's end, by the p90", "us",
                    quietly["exit"], same(1.05), True),
        Measurement("storm", "CPU of PID 1 for an orphan", "us", quietly["storm"][0], same(1.05)),
        Measurement("zombies", "orphans that PID 1 left as zombies", "", quietly["storm"][1],
                    same(0)),
        Measurement("restart", "crash to next start, after a second of life", "us",
                    quietly["restart"]),
    ]


SCALE = {"us": 1000, "thousand": 1000}  # from nanoseconds, from ones


# ---- the table ---------------------------------------------------------------------------------------

HEADINGS = ["program", "median", "p90", "to bare", "to the best of its kind", "upper 95 %",
            "target", ""]


def number(value, digits=3):
    if value is None:
        return ""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def cells(measurement, row):
    if "failed" in row:
        return [row["program"], f"FAILED: {row['failed']}"]
    scale = SCALE.get(measurement.unit, 1)
    several = row["p90"] != row["median"]
    return [row["program"], number(row["median"] / scale),
            number(row["p90"] / scale) if several else "", number(row["to_bare"]),
            f"{row['to_peer']:.2f} {row['peer']}" if row.get("to_peer") is not None else "",
            f"{row['upper']:.3f}" if row.get("upper") is not None else "",
            number(row.get("target")),
            {True: "met", False: "MISSED"}.get(row.get("met"), "")]


def text_table(measurements, missing):
    lines = []
    for measurement in measurements:
        unit = f" ({measurement.unit})" if measurement.unit else ""
        lines += ["", f"{measurement.title}{unit}"]
        rows = [HEADINGS] + [cells(measurement, row) for row in measurement.rows]
        widths = [max(len(row[i]) for row in rows if len(row) == len(HEADINGS))
                  for i in range(len(HEADINGS))]
        for row in rows:
            first = f"  {row[0]:<{widths[0]}}  "
            rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))
            lines.append((first + "  ".join(rest if len(row) > 2 else row[1:])).rstrip())
    return "\n".join(lines + missing_lines(missing)) + "\n"


def markdown_table(measurements, missing):
    lines = []
    for measurement in measurements:
        unit = f" ({measurement.unit})" if measurement.unit else ""
        lines += ["", f"### {measurement.title}{unit}", "", "| " + " | ".join(HEADINGS) + " |",
                  "|---|" + "--:|" * (len(HEADINGS) - 2) + "---|"]
        for row in measurement.rows:
            line = cells(measurement, row)
            line += [""] * (len(HEADINGS) - len(line))
            lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines + missing_lines(missing)).lstrip() + "\n"


def summary_table(measurements):
    """For the README: what has a target, against the best of its kind."""
    lines = ["| | dynamic | target | static | target |", "|---|--:|--:|--:|--:|"]
    for measurement in measurements:
        if not measurement.targets:
            continue
        rows = {row.get("kind"): row for row in measurement.rows if "target" in row}
        line = [measurement.title]
        for kind in DYNAMIC, STATIC:
            row = rows.get(kind, {})
            line += [summary_cell(measurement, row), number(row.get("target"))]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def summary_cell(measurement, row):
    if row.get("target") == 0:
        return number(row["median"])
    if row.get("to_peer") is None:
        return ""
    return f"{row['to_peer']:.2f} of {row['peer']}'s, at most {row['upper']:.2f}"


def missing_lines(missing):
    return ["", f"Not installed, so not measured: {', '.join(missing)}."] if missing else []


def finish(place, name, measurements, programs, missing):
    """Judges, writes name.json and name.md, prints the tables; returns the exit status."""
    for measurement in measurements:
        measurement.judge(programs)
    (place.out / f"{name}.json").write_text(json.dumps({
        "quick": place.quick, "not_installed": missing, "processors": os.cpu_count(),
        "kernel": os.uname().release,
        "measurements": {m.name: {"title": m.title, "unit": m.unit, "rows": m.rows,
                                  "rounds": m.values} for m in measurements},
    }, indent=1))
    (place.out / f"{name}.md").write_text(markdown_table(measurements, missing))
    shutil.rmtree(place.scratch, ignore_errors=True)
    print(text_table(measurements, missing), end="")
    failed = sum("failed" in row for m in measurements for row in m.rows)
    missed = sum(row.get("met") is False for m in measurements for row in m.rows)
    print(f"\n{missed} targets missed, {failed} measurements failed; see {place.out / name}.md")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"), metavar="DIRECTORY")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIRECTORY")
    arguments = parser.parse_args()
    place = measure.Place(arguments.out.resolve(), os.environ.get("BENCH") == "quick")
    programs, missing = catalogue.find(arguments.build.resolve(), place.out)
    measurements = measure_all(place, programs)
    status = finish(place, "bench", measurements, programs, missing)
    (place.out / "summary.md").write_text(summary_table(measurements))
    (place.out / "bench.svg").write_text(picture.draw(measurements))
    return status


if __name__ == "__main__":
    sys.exit(main())
