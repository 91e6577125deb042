"""What is logged, how much, and in which form."""
import json
import re

from harness import aiorun, cases, check, equal, launch, needs, shell

LEVELS = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


def stopped(*options, script="say ready pause", **how):
    run = launch(script, *options, **how)
    run.line("ready")
    run.send("TERM")
    run.wait()
    return run


def test_json_lines_are_json():
    """With level and message; a process is named in fields of its own."""
    run = stopped("--log-format", "json", "-vv")
    lines = [json.loads(line) for line in run.err.splitlines()]
    check(lines, "nothing was logged")
    for line in lines:
        check(str(line["level"]).upper() in LEVELS, f"level of {line}")
        check(isinstance(line["message"], str) and line["message"], f"message of {line}")
    check(any("Entering shutdown phase" in line["message"] for line in lines), "a phase is missing")
    check(any(line.get("worker") == "main" and line.get("pid") for line in lines), "no worker")


@needs("vfork")
def test_json_of_odd_bytes_is_json():
    run = aiorun("--log-format", "json", "--", b'./\xff\n"\\\x01')
    run.end(127)
    for line in run.streams["err"].data.splitlines():
        json.loads(line.decode())


def test_json_of_a_refuser_is_json():
    run = stopped("--log-format", "json", "--timeout", "300ms",
                  script='ignore TERM say ready on USR1 [ say "a\\"b" ] pause')
    run.end("KILL")
    lines = [json.loads(line) for line in run.err.splitlines()]
    check(any("refused to exit" in line["message"] for line in lines), "no refuser")
    check(any(line["level"].upper() == "WARNING" for line in lines), "no warning")


def test_journal_lines_begin_with_their_level():
    run = stopped("--log-format", "journal", "-vv")
    for line in run.err.splitlines():
        check(re.match(r"<[3-7]>\S", line), f"line {line!r}")
    check("<6>" in run.err and "<7>" in run.err, "no INFO or no DEBUG")


def journaled(stream):
    """The lines of a stop, with JOURNAL_STREAM set to this."""
    run = shell(f'JOURNAL_STREAM={stream} exec "$AIORUN" -v -- "$VICTIM" say ready pause')
    run.line("ready")
    run.send("TERM")
    run.end("TERM")
    check(run.err, "nothing was logged")
    return run.err.splitlines()


def test_journal_is_recognised_by_journal_stream():
    """DEVICE:INODE of stderr, as systemd sets it."""
    for line in journaled("$(stat -Lc %d:%i /proc/$$/fd/2)"):
        check(re.match(r"<[3-7]>", line), f"line {line!r}")


def test_journal_stream_of_another_descriptor_is_none_of_ours():
    for line in journaled("1:2"):
        check(not line.startswith("<"), f"line {line!r}")


def test_auto_is_text_elsewhere():
    run = stopped("-v")
    check(not run.err.startswith(("{", "<")), "not text")
    check("\x1b" not in run.err, "colours in a pipe")


def test_each_line_names_aiorun():
    """Beside the command's own output one must see whose line it is."""
    run = stopped("-vv")
    for line in run.err.splitlines():
        check("aiorun" in line, f"line {line!r}")


@cases(zero=((), False, False), one=(("-v",), True, False), two=(("-vv",), True, True),
       long=(("--verbose", "--verbose"), True, True))
def test_verbosity(options, info, debug):
    run = stopped(*options)
    equal("Stopping the loop" in run.err, info, "INFO is there")
    equal("Entering run()" in run.err, debug, "DEBUG is there")


def test_warnings_show_by_default_and_quiet_hides_them():
    script = "ignore TERM say ready pause"
    run = stopped("--timeout", "300ms", script=script)
    check("refused" in run.err, "no warning")
    run = stopped("--timeout", "300ms", "-q", script=script)
    check("refused" not in run.err, "a warning in spite of -q")


@needs("vfork")
def test_errors_show_although_quiet():
    run = aiorun("-q", "--", "/nonexistent")
    run.end(127)
    check("/nonexistent" in run.err, "no error")


@needs("vfork")
def test_control_characters_never_reach_the_terminal():
    run = aiorun("--", "/nonexistent\x1b[31m\r\n\x07")
    run.end(127)
    equal(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", run.err), [], "control characters")
    run = launch("ignore TERM say ready say \x1b[31mred pause", "--timeout", "300ms")
    run.line("ready")
    run.send("TERM")
    run.end("KILL")
    equal(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", run.err), [], "control characters")


@cases("--help", "-h", "--version", "--list-options", "--print-config")
def test_information_goes_to_stdout(option):
    run = aiorun(option)
    run.end(0)
    check(run.out and not run.err, "not on stdout alone")


def test_help_names_every_option():
    text, table = aiorun("--help"), aiorun("--list-options")
    text.end(0), table.end(0)
    rows = [line.split("\t") for line in table.out.splitlines()]
    names = [row[0] for row in rows if row[-1] != "file"]
    check(len(names) > 30, "too few options")
    for name in names:
        check(f"--{name}" in text.out or f"-{name}" in text.out, f"{name} is not in the help")
    for row in rows: # what a command line does not take is not offered
        check(row[-1] != "file" or f"--{row[0]} " not in text.out, f"{row[0]} is in the help")


def test_help_into_a_full_device_fails():
    with open("/dev/full", "w") as full:
        run = aiorun("--help", stdout=full)
        run.end(125, 1)
