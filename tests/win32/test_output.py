"""Where the output of a file's workers goes: `output`."""
import json
import os
import re
import subprocess
import time
from pathlib import Path

from __main__ import (AIORUN, BUILD, CONSOLE, CTRL_BREAK, ENVIRONMENT, VICTIM, event, expect, fleet,
                      full_pipe, run, windows_path, write)

SPEAKER = windows_path(BUILD / "speaker.exe")
ENDS = "[aiorun]\nforever = no\n"


def begin(*options, output=None):
    """The fleet of the file, with its output in files: Windows' services, which the first program
    begins, would keep a pipe open."""
    with open("out.txt", "wb") as out, open("err.txt", "wb") as err:
        return subprocess.Popen(["wine", AIORUN, *options, "--config", "fleet.ini"],
                                env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=output or out,
                                stderr=err, start_new_session=True)


def said():
    return Path("err.txt").read_text(errors="replace")


def ended(text, *options, status=0):
    """What a fleet that ends by itself wrote to its standard output and standard error."""
    write("fleet.ini", ENDS + text.replace("VICTIM", f"'{VICTIM}'"))
    process = begin(*options)
    expect(process.wait(60) == status, f"status {process.returncode}: {said()}")
    return Path("out.txt").read_text(errors="replace"), said()


def worker(name, *lines):
    return "\n".join([f"[worker:{name}]", *lines, ""])


def until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        expect(time.monotonic() < end, f"not in time: {what}")
        time.sleep(0.05)


# ---- prefix ---------------------------------------------------------------------------------------


def test_prefix_puts_the_name_before_every_line():
    out, _ = ended(worker("web", "command = VICTIM say one say two", "output = prefix")
                   + worker("db", "command = VICTIM say up", "output = prefix", "instances = 2"))
    expect(sorted(out.splitlines()) == ["db:0 | up", "db:1 | up", "web  | one", "web  | two"], out)


def test_prefix_takes_standard_error_too_and_in_order():
    words = " ".join(f"say{'-error' if n % 2 else ''} {n}" for n in range(20))
    out, _ = ended(worker("web", f"command = VICTIM {words}", "output = prefix"))
    expect(out.splitlines() == [f"web | {n}" for n in range(20)], out)


def test_prefix_ends_a_last_line_that_has_no_end():
    out, _ = ended(worker("web", "command = VICTIM say whole write half", "output = prefix"))
    expect(out == "web | whole\nweb | half\n", out)


def test_prefix_keeps_lines_whole_that_are_written_in_parts():
    """Two workers at the same time."""
    words = " ".join(f"write {n:03d} write - say end" for n in range(100))
    text = "".join(worker(name, f"command = VICTIM {words}", "output = prefix") for name in "ab")
    out, _ = ended(text)
    for name in "ab":
        lines = [line for line in out.splitlines() if line.startswith(name)]
        expect(lines == [f"{name} | {n:03d}-end" for n in range(100)], out)


def test_prefix_keeps_lines_of_64_KiB_whole_and_loses_nothing_of_longer_ones():
    out, _ = ended(worker("web", "command = VICTIM line 65535 line 65536 line 200000",
                          "output = prefix"))
    sizes = [len(line) - len("web | ") for line in out.splitlines()]
    expect(sizes == [65535, 65536, 65536, 65536, 65536, 200000 - 3 * 65536], sizes)


def test_prefix_waits_for_a_slow_reader_and_loses_nothing():
    """8 MB into a pipe that nobody reads for a while: the worker waits, not the supervisor."""
    write("fleet.ini", (worker("web", "command = VICTIM count 80000", "output = prefix",
                               "restart = never")
                        + worker("other", "command = VICTIM exit 3", "restart-delay = 10ms..10ms")
                        ).replace("VICTIM", f"'{VICTIM}'"))
    process = subprocess.Popen(["wine", CONSOLE, AIORUN, "-vv", "--config", "fleet.ini"],
                               env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        restarts, pid = 0, None
        while restarts < 5:  # the supervisor goes on
            line = process.stderr.readline()
            restarts += b"started other" in line
        lines = []
        while len(lines) < 80000:
            line = process.stdout.readline()
            expect(line, f"it is over after {len(lines)} lines")
            pid = pid or re.search(rb"aiorun is (\d+)", line)
            if line.startswith(b"web"):
                lines.append(line)
        expect(lines == [b"web | %099d\n" % n for n in range(80000)], "other lines")
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_prefix_into_a_pipe_that_nobody_ever_reads_does_not_keep_the_end_waiting():
    reading, writing = full_pipe()
    write("fleet.ini", ENDS + worker("web", f"command = '{VICTIM}' say up", "output = prefix"))
    process = begin(output=writing)
    try:
        expect(process.wait(30) == 0, f"status {process.returncode}: {said()}")
        expect("what workers wrote last is lost" in said(), said())
    finally:
        process.kill()
        os.close(reading)
        os.close(writing)


def test_prefix_into_a_broken_pipe_harms_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    write("fleet.ini", worker("web", f"command = '{VICTIM}' say up sleep", "output = prefix"))
    process = begin(output=writing)
    os.close(writing)
    try:
        until(lambda: "cannot write to standard output: " in said(), "it is told")
        expect(process.poll() is None, "it has ended")
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_prefix_is_shared_with_what_outlives_its_run():
    """A shielded job keeps the pipe; nobody waits for it, and what it says is heard."""
    program, pid = fleet(worker("web", f"command = '{SPEAKER}' start '{AIORUN}' shield -- '{SPEAKER}' "
                                "say job wait-for go say done , lib-await", "output = prefix",
                                "restart-delay = 10ms..10ms")
                         .replace("lib-await", "wait-for up exit 3"), "-vv")
    program.wait_for(r"^web \| job")
    write("up", "")
    program.wait_for("started web ", 3)
    write("go", "")
    program.wait_for(r"^web \| done")
    event(CTRL_BREAK, pid)
    program.end()
    expect("is lost" not in program.text(), program.text())


def test_prefix_passes_on_what_a_run_wrote_before_the_log_tells_its_end():
    """Both go to the same file, where neither may overtake the other."""
    write("fleet.ini", ENDS + worker("web", f"command = '{VICTIM}' count 2000 say last exit 3",
                                     "output = prefix", "restart = never"))
    write("both.bat", f'@"{AIORUN}" -vv --config fleet.ini >out.txt 2>&1\n')
    status, text = run("cmd", "/c", "both.bat")
    out = Path("out.txt").read_text()
    expect(status == 3, f"status {status}: {text}")
    expect(0 < out.index("started web") < out.index("web | 0") < out.index("web | last")
           < out.index("exited with status 3"), out[-2000:])


def test_prefix_as_json_is_records_of_the_log():
    out, err = ended(worker("web", 'command = VICTIM say \'a "b"\' write last', "output = prefix"),
                      "--log-format", "json")
    expect(out == "", out)
    records = [json.loads(line) for line in err.splitlines()]
    mine = [(r["level"], r["worker"], r["message"]) for r in records if "worker" in r]
    expect([m for m in mine if m[2].startswith(("a", "last"))] ==
           [("INFO", "web", 'a "b"'), ("INFO", "web", "last")], err)


def test_prefix_after_restarts_and_a_reload():
    program, pid = fleet("""[worker:web]
command = VICTIM say again write half exit 3
output = prefix
restart-delay = 10ms..50ms
[worker:other]
command = VICTIM on-event exit 0 say other sleep
output = prefix
""")
    program.wait_for(r"^web   \| half", 3)
    expect(program.text().count("web   | again") >= 3, program.text())
    text = Path("fleet.ini").read_text()
    write("fleet.ini", "[worker:first]\ncommand = '" + VICTIM + "' on-event exit 0 say new sleep\n"
          "output = prefix\n" + text)
    status, text = run(AIORUN, "reload", "--control", f"aiorun-{pid}")
    expect(status == 0, text)
    program.wait_for(r"^first \| new")
    seen = program.text().count("web   | half")
    program.wait_for(r"^web   \| half", seen + 2)
    event(CTRL_BREAK, pid)
    program.end()
    expect(program.text().count("other | other") == 1, program.text())


def logged(word):
    until(lambda: Path("log").exists() and word in Path("log").read_text(), f"{word} is logged")


# ---- pipe -----------------------------------------------------------------------------------------


def logger(*words):
    return f"output = pipe:VICTIM {' '.join(words)} {windows_path(Path.cwd() / 'log')}".replace(
        "\\", "/").replace("VICTIM", f"'{VICTIM}'")


def test_pipe_gives_the_output_to_a_command_that_ends_last():
    program, pid = fleet(worker("web", "command = VICTIM on-event exit-later 0 say up ready sleep",
                                logger("log")), "-vv")
    logged("ready")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect(Path("log").read_text() == "up\nready\nevent 1\nsaid goodbye\n<end>",
           Path("log").read_text() + program.text())


def test_pipe_has_one_command_for_all_instances():
    ended(worker("web", "command = VICTIM say up", logger("log"), "instances = 3",
                 "after-stop = VICTIM say over"))
    text = Path("log").read_text()
    expect(sorted(text.split("\n")) == ["<end>", "over", "over", "over", "up", "up", "up"], text)


def test_pipe_loses_nothing_when_its_command_dies():
    """It dies after each thousand bytes, and what is written meanwhile waits."""
    program, pid = fleet(worker("web", "command = VICTIM on-event exit 0 count 200 ready sleep",
                                logger("log-some", "1000")), "--restart-delay", "10ms..10ms")
    logged("ready")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    rest = "".join(f"{n:099d}\n" for n in range(200)) + "ready\nevent 1\n<end>"
    expect(Path("log").read_text() == rest, Path("log").read_text())


def test_pipe_whose_command_dies_in_the_shutdown_ends_on_our_own_output():
    program, pid = fleet(worker("web", "command = VICTIM on-event exit-later 0 say up sleep",
                                logger("log-some", "11")))
    logged("up\n")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect(Path("log").read_text() == "up\nevent 1\n", Path("log").read_text())
    expect([line for line in program.lines if " | " in line] == ["web.log | said goodbye"],
           program.text())


def test_pipe_command_that_is_stopped_and_started_again():
    program, pid = fleet(worker("web", "command = VICTIM on-event exit 0 say up ready sleep",
                                logger("log")) + worker("other", "command = VICTIM on-event exit 0 sleep"))

    def ask(*words):
        status, text = run(AIORUN, words[0], "--control", f"aiorun-{pid}", *words[1:])
        expect(status == 0, f"{words}: {text}")
    logged("ready")
    ask("stop", "web")
    ask("stop", "web.log")
    expect(Path("log").read_text() == "up\nready\nevent 1\n<end>", Path("log").read_text())
    ask("start", "web")
    ask("start", "web.log")
    until(lambda: Path("log").read_text().count("ready") == 2, "it goes on")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect(Path("log").read_text() == 2 * "up\nready\nevent 1\n<end>", Path("log").read_text())


def test_reload_keeps_what_waits_in_a_pipe():
    program, pid = fleet(worker("web", "command = VICTIM on-event exit 0 say up ready sleep",
                                logger("log")))
    logged("ready")
    text = Path("fleet.ini").read_text()
    write("fleet.ini", worker("first", f"command = '{VICTIM}' on-event exit 0 say up sleep",
                              logger("log").replace("/log", "/other").replace("VICTIM", VICTIM)) + text)
    status, text = run(AIORUN, "reload", "--control", f"aiorun-{pid}")
    expect(status == 0, text)
    until(lambda: Path("other").exists() and Path("other").read_text() == "up\n", "the new one")
    event(CTRL_BREAK, pid)
    expect(program.end() == 0, program.text())
    expect(Path("log").read_text() == "up\nready\nevent 1\n<end>", Path("log").read_text())
    expect(Path("other").read_text() == "up\nevent 1\n<end>", Path("other").read_text())


def test_restarts_leave_no_handle_behind():
    """Of ours, with every kind of output."""
    again = "restart-delay = 10ms..10ms"
    program, pid = fleet(worker("a", "command = VICTIM say a exit 3", "output = prefix", again)
                         + worker("b", "command = VICTIM say b exit 3", logger("log"), again)
                         + worker("c", "command = VICTIM say c exit 3", "output = file:c", again)
                         + worker("d", "command = VICTIM say d exit 3", "output = null", again), "-vv")

    def least():
        """Starts and ends are under way: the least of several counts."""
        counts = []
        for _ in range(5):
            start = len([line for line in program.lines if "started" in line])
            program.wait_for("started", start + 8)
            _, text = run(VICTIM, "handles", pid)
            counts.append(int(text.split()[1]))
        return min(counts)
    program.wait_for("started d ", 3)
    before = least()
    program.wait_for("started d ", 60, 60)
    after = least()
    expect(after <= before + 8, f"{before} handles became {after}")
    event(CTRL_BREAK, pid)
    program.end()
