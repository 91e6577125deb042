"""At a terminal: keys, job control, and whose they are, in all three places of the command."""
import os
import re
import subprocess
import time
from pathlib import Path

from harness import (BINARY, Failure, alive, cases, check, children, command_line, descendants, equal,
                     expect_gone, kill, needs, pause, sig, until, victim)
from terminal import SHELLS, Shell, Terminal, not_stopped, resting, running, stopped, tools

MODES = ("share", "own", "none")
MARK = "RTMIN+1"  # every other signal is taken before it: what was to come, has come


def processes(sh):
    """aiorun's PID and its command's."""
    return sh.subject, sh.command


def marked(sh, aiorun):
    """Send the marking signal, and wait until the command has it."""
    kill(aiorun, MARK)
    sh.expect(r"got RTMIN\+1")


# ---- keys ----

@needs("python3")
@cases("share", "own")
def test_python_takes_two_ctrl_c_and_lives(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- python3 -q\n")
    for _ in range(2):
        sh.expect(">>> ")
        resting(sh.command)
        sh.ctrl("C")
        sh.expect("KeyboardInterrupt")
    sh.expect(">>> ")
    sh.type("print(6 * 7)\n")
    sh.expect("42")
    sh.type("exit(3)\n")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(*MODES)
def test_one_ctrl_c_is_delivered_once(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} --timeout 20s --"
            f" victim report INT report {MARK} on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    aiorun, _ = processes(sh)
    for presses in (1, 2, 3) if mode != "none" else (1,):
        sh.ctrl("C")
        sh.expect("got INT")
        marked(sh, aiorun)
        equal(sh.seen("got INT"), presses, "times that INT came")
    kill(aiorun, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases("share", "own")
def test_ctrl_c_ends_a_command_as_if_it_ran_alone(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- victim say ready pause\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    sh.leave()


@cases(*MODES)
def test_ctrl_backslash_quits_a_command(mode):
    """Under `none` QUIT is passed on like any signal that is no shutdown signal."""
    sh = Shell()
    sh.do("ulimit -c 0")
    sh.type(f"aiorun --terminal {mode} -- victim say ready pause\n")
    sh.expect("ready")
    sh.ctrl("\\")
    equal(sh.prompt(), 131, "status")
    sh.leave()


def at_once(sh):
    """Come back the moment aiorun is there, whatever it has done so far."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for pid in children(sh.pid):
            try:
                if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(BINARY):
                    return pid
            except OSError:
                pass
    raise Failure("aiorun does not start")


@needs("plain")
@cases(*MODES)
def test_ctrl_c_at_once_after_the_start_is_not_lost(mode):
    """Before, while and after the command is started; what -vv writes makes each moment longer."""
    sh = Shell()
    for round in range(100):
        sh.type(f"aiorun -vv --terminal {mode} -- victim pause\n")
        at_once(sh)
        pause(round % 20 * 0.0001)
        sh.ctrl("C")
        equal(sh.prompt(), 130, f"status in round {round}")
    sh.leave()


@needs("strace", "plain")
@cases(before_the_command_is_there="vfork", before_its_program_is="execve")
def test_ctrl_c_while_the_command_is_started_is_not_lost(call):
    """strace holds aiorun, or its child, at the door of a system call; the key comes meanwhile.

    Whether INT finds the program before or after its first line is not ours to say: it ends it."""
    sh = Shell()
    nth = {"vfork": 1, "execve": 2}[call]  # aiorun was exec'ed, too
    sh.type(f"strace -f -qq -o trace -e trace={call} -e inject={call}:delay_enter=300000"
            f" aiorun --terminal share -- victim say ready pause\n")
    until(lambda: os.path.exists("trace") and Path("trace").read_text().count(f"{call}(") >= nth,
          "the call was entered")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    sh.leave()


@needs("plain")
@cases("share", "own")
def test_ctrl_z_at_once_after_the_start_is_not_lost(mode):
    """A command that is stopped before it is one must not hold up aiorun, which waits for that."""
    sh = Shell()
    for round in range(60):
        sh.type(f"aiorun -vv --terminal {mode} -- victim pause\n")
        at_once(sh)
        pause(round % 20 * 0.0001)
        sh.ctrl("Z")
        equal(sh.prompt(), 148, f"status in round {round}")
        sh.type("fg\n")
        sh.expect("victim pause")
        until(lambda: sh.foreground != sh.pid, "the job has the foreground")
        sh.ctrl("C")
        equal(sh.prompt(), 130, f"status in round {round}")
    sh.leave()


def test_ctrl_c_belongs_to_the_command_and_starts_no_shutdown():
    sh = Shell()
    sh.type(f"aiorun -v -- victim report INT report {MARK} on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    aiorun, _ = processes(sh)
    sh.ctrl("C")
    sh.expect("got INT")
    marked(sh, aiorun)
    equal(sh.seen("Stopping the loop"), 0, "shutdowns")
    kill(aiorun, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(forever=("--forever",), restart=("--restart on-failure",),
       signals=("--shutdown-signals 'INT TERM'",))
def test_ctrl_c_is_a_shutdown_where_the_end_of_the_command_is_none(option):
    """And it is delivered once, although aiorun asks and the terminal did."""
    sh = Shell()
    sh.type(f"aiorun -v {option} --terminal share --"
            f" victim report INT report {MARK} on USR1 [ exit 0 ] say ready pause\n")
    sh.expect("ready")
    aiorun, _ = processes(sh)
    sh.ctrl("C")
    sh.expect("Stopping the loop")
    marked(sh, aiorun)
    equal(sh.seen("got INT"), 1, "times that INT came")
    kill(aiorun, "USR1")
    equal(sh.prompt(), 0, "status")
    equal(sh.seen("ready"), 1, "starts")
    sh.leave()


def test_ctrl_c_ends_forever_without_a_command():
    sh = Shell()
    sh.type("aiorun -vv --forever\n")
    sh.expect(r"Entering run\(\)")
    until(lambda: sh.foreground == sh.subject, "it has the foreground")
    until(lambda: "Blk" in open(f"/proc/{sh.subject}/status").read(), "it runs")
    sh.ctrl("C")
    equal(sh.prompt(), 0, "status")
    sh.leave()


# ---- scripts ----

@cases(*[f"{shell}-{mode}" for shell in SHELLS for mode in ("share", "none")])
def test_ctrl_c_stops_the_loop_of_a_script(case):
    """The shell goes on after a command that exits 130: aiorun must die of the signal."""
    shell, mode = case.split("-")
    sh = Shell()
    sh.type(f"{shell} -c 'while :; do aiorun --terminal {mode} -- victim say ready pause;"
            " done; echo over'\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    equal((sh.seen("ready"), sh.seen("over")), (1, 0), "rounds, and the line behind the loop")
    sh.leave()


@cases(*[f"{shell}-{mode}" for shell in SHELLS for mode in MODES])
def test_ctrl_c_stops_a_loop_that_was_typed(case):
    shell, mode = case.split("-")
    sh = Shell(shell)
    sh.type(f"while :; do aiorun --terminal {mode} -- victim say ready pause; done\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    equal(sh.seen("ready"), 1, "rounds")
    sh.leave()


@cases(*SHELLS)
def test_a_loop_goes_on_after_a_command_that_handles_ctrl_c(shell):
    """As it does without aiorun: the command has used the key for something."""
    sh = Shell()
    sh.type(f"{shell} -c 'for i in 1 2; do aiorun -- victim on INT [ exit 0 ] say ready$i pause;"
            " done; echo over'\n")
    script = until(lambda: children(sh.pid), "the script runs")[0]
    sh.expect("ready1")
    resting(script)  # before it waits, the key is for the script alone
    sh.ctrl("C")
    if shell == "bash":
        sh.expect("ready2")
        resting(script)
        sh.ctrl("C")
        sh.expect("over")
        equal(sh.prompt(), 0, "status")
    else:  # dash ends on its own SIGINT whatever its children do
        equal(sh.prompt(), 130, "status")
    sh.leave()


def test_pipeline_passes_everything_and_keeps_its_statuses():
    sh = Shell()
    sh.type("seq 1 200000 | aiorun -- cat | tail -n 1; echo \"pipe ${PIPESTATUS[*]}\"\n")
    sh.expect("200000")
    sh.expect("pipe 0 0 0")
    sh.prompt()
    sh.type("yes | aiorun -- cat | head -n 1; echo \"pipe ${PIPESTATUS[*]}\"\n")
    sh.expect("pipe 141 141 0")
    sh.prompt()
    sh.leave()


@cases("share", "none")
def test_ctrl_c_ends_a_pipeline_with_aiorun_in_the_middle(mode):
    """Under `own` the keys reach the command alone, and the rest must hear of it by its pipes."""
    sh = Shell()
    sh.type(f"sleep 1000 | aiorun --terminal {mode} -- victim say ready pause | cat\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    sh.leave()


@cases("share", "none")
def test_what_is_beside_aiorun_in_a_pipeline_is_left_alone_at_the_end(mode):
    """The group is shared with other commands: it is never killed as a group."""
    sh = Shell()
    sh.type("victim ignore PIPE sleep 300ms say late 2>/dev/null |"
            f" aiorun --terminal {mode} --timeout 1s -- sh -c 'exit 3' |"
            " victim read sleep 300ms say alive; echo \"pipe ${PIPESTATUS[*]}\"\n")
    sh.expect("alive")
    sh.expect("pipe 0 3 0")
    sh.prompt()
    sh.leave()


# ---- job control ----

FULL_SCREEN = {"vim": ("vim -u NONE -N -n page", "line 20", ":q!\n"),
               "less": ("less page", "line 20", "q"),
               "top": ("top -d 100", "load average", "q")}


def write_page():
    with open("page", "w") as page:
        page.writelines(f"line {n}\n" for n in range(1, 201))


@needs("vim", "less", "top")
@cases(*[f"{name}-{shell}-{mode}" for name in FULL_SCREEN for shell in SHELLS
         for mode in ("share", "own")])
def test_full_screen_program_is_stopped_and_brought_back(case):
    """Ctrl-Z, bg (where it is stopped again, for it wants the terminal), fg."""
    name, shell, mode = case.split("-")
    command, mark, leave = FULL_SCREEN[name]
    write_page()
    sh = Shell(shell)
    sh.type(f"aiorun --terminal {mode} -- {command}\n")
    sh.expect(mark)
    both = processes(sh)
    resting(both[1])
    sh.ctrl("Z")
    check(sh.prompt() != 0, "the shell thinks that it has ended")
    stopped(*both)
    equal(sh.foreground, sh.pid, "the foreground")
    sh.do("bg")
    stopped(*both)
    sh.type("fg\n")
    sh.expect(mark)
    running(*both)
    resting(both[1])
    sh.type(leave)
    equal(sh.prompt(), 0, "status")
    sh.leave()


@needs("vim")
@cases("share", "own")
def test_editor_writes_what_was_typed_before_and_after_a_stop(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- vim -u NONE -N -n letter\n")
    sh.expect("letter")
    sh.type("ione\x1b")
    sh.expect("one")
    for _ in range(3):
        resting(sh.command)
        sh.ctrl("Z")
        sh.prompt()
        sh.type("fg\n")
        sh.expect("one")
        resting(sh.command)
    sh.type("atwo\x1b:wq\n")
    equal(sh.prompt(), 0, "status")
    equal(open("letter").read(), "onetwo\n", "the file")
    sh.leave()


@cases(*[f"{shell}-{mode}" for shell in SHELLS for mode in ("share", "own")])
def test_ctrl_z_bg_fg_and_ctrl_c(case):
    shell, mode = case.split("-")
    sh = Shell(shell)
    sh.type(f"aiorun --terminal {mode} -- victim report INT report CONT on USR1 [ exit 3 ]"
            " say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    sh.ctrl("Z")
    equal(sh.prompt(), 128 + sig("TSTP"), "status")
    stopped(*both)
    sh.do("bg")
    running(*both)
    until(lambda: sh.seen("got CONT"), "the command is told")
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("fg\n")
    until(lambda: sh.foreground in both, "the job has the foreground")
    sh.ctrl("C")
    sh.expect("got INT")
    sh.ctrl("Z")
    sh.prompt()
    stopped(*both)
    sh.type("fg\n")
    sh.expect("got CONT")
    kill(both[0], "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases("share", "own")
def test_ctrl_z_does_nothing_to_a_command_that_ignores_it(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- victim ignore TSTP report INT report {MARK}"
            " on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    sh.ctrl("Z")
    sh.ctrl("C")
    sh.expect("got INT")
    marked(sh, both[0])
    not_stopped(*both)
    equal(sh.seen("<status"), 1, "prompts")
    kill(both[0], "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases("share", "own")
def test_ctrl_z_reaches_a_command_that_handles_it_once(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- victim report TSTP report {MARK} on USR1 [ exit 3 ]"
            " say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    sh.ctrl("Z")
    sh.expect("got TSTP")
    marked(sh, both[0])
    equal(sh.seen("got TSTP"), 1, "times that TSTP came")
    not_stopped(*both)
    kill(both[0], "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


def test_ctrl_z_under_none_stops_nobody():
    """Nobody could continue a command that is in another session."""
    sh = Shell()
    sh.type(f"aiorun --terminal none -- victim report {MARK} on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    sh.ctrl("Z")
    marked(sh, both[0])
    running(*both)
    kill(both[0], "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(*SHELLS)
def test_job_in_the_background_that_reads_is_stopped_and_fg_lets_it(shell):
    sh = Shell(shell)
    sh.do("aiorun -- cat &")
    both = processes(sh)
    stopped(*both)
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("fg\n")
    running(*both)
    until(lambda: sh.foreground == both[0], "the job has the foreground")
    sh.type("hello\n")
    sh.expect("hello")
    sh.ctrl("D")
    equal(sh.prompt(), 0, "status")
    sh.leave()


@cases(*SHELLS)
def test_own_job_in_the_background_that_reads_is_stopped_and_fg_lets_it(shell):
    sh = Shell(shell)
    sh.do("aiorun -g -- cat &")
    both = processes(sh)
    stopped(*both)
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("fg\n")
    until(lambda: sh.foreground == both[1], "the command has the foreground")
    sh.type("hello\n")
    sh.expect("hello")
    sh.ctrl("D")
    equal(sh.prompt(), 0, "status")
    sh.leave()


@cases(*SHELLS)
def test_own_job_that_runs_in_the_background_reads_after_fg(shell):
    """bash sends no CONT to a job that runs already: nothing but the first read tells."""
    sh = Shell(shell)
    sh.do("aiorun -g -- victim on USR1 [ exec cat ] say ready pause &")
    both = processes(sh)
    until(lambda: sh.seen("ready\r"), "the command is ready")
    sh.type("fg\n")
    until(lambda: sh.foreground in both, "the job has the foreground")
    kill(both[0], "USR1")
    sh.type("hello\n")
    sh.expect("hello")
    sh.ctrl("D")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def sent_to_the_background(sh):
    """The job that is ready goes there, and its command's run is over then; returns aiorun's PID."""
    sh.expect("ready")
    aiorun, command = processes(sh)
    sh.ctrl("Z")
    sh.prompt()
    sh.do("bg")
    running(aiorun, command)
    kill(command, "USR1")
    return aiorun


@cases(*SHELLS)
def test_own_job_that_was_sent_to_the_background_ends_and_leaves_the_terminal_alone(shell):
    """It had the foreground once: what the shell has taken since is the shell's."""
    sh = Shell(shell)
    sh.type("aiorun --terminal own -- victim on USR1 [ exit 3 ] say ready pause\n")
    aiorun = sent_to_the_background(sh)
    expect_gone(aiorun)
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("echo still here\n")
    sh.expect("still here")
    sh.prompt()
    sh.leave()


@cases(*SHELLS)
def test_own_job_that_is_restarted_in_the_background_leaves_the_terminal_alone(shell):
    sh = Shell(shell)
    sh.type("aiorun --terminal own --restart always --restart-delay 1ms --"
            " victim on USR1 [ exit 3 ] say ready pause\n")
    aiorun = sent_to_the_background(sh)
    sh.expect("ready")
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("echo still here\n")
    sh.expect("still here")
    sh.prompt()
    sh.type("fg\n")
    sh.expect("aiorun")
    until(lambda: sh.foreground in (aiorun, sh.command), "the job has the foreground")
    kill(aiorun, "TERM")
    equal(sh.prompt(), 128 + sig("TERM"), "status")
    sh.leave()


@cases(*[f"{shell}-{mode}" for shell in SHELLS for mode in MODES])
def test_job_in_the_background_never_takes_the_terminal(case):
    shell, mode = case.split("-")
    sh = Shell(shell)
    sh.do(f"aiorun --terminal {mode} -- victim on USR1 [ exit 3 ] say ready pause &")
    both = processes(sh)
    until(lambda: sh.seen("ready\r"), "the command is ready")
    equal(sh.foreground, sh.pid, "the foreground")
    sh.type("echo shell-$((6 * 7))\n")
    sh.expect("shell-42")
    sh.prompt()
    sh.type("fg\n")
    until(lambda: sh.foreground in both, "the job has the foreground")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    sh.leave()


@cases("share", "own")
def test_job_in_the_background_that_ends_tells_its_status(mode):
    sh = Shell()
    equal(sh.do(f"aiorun --terminal {mode} -- victim exit 3 & wait $!"), 3, "status")
    equal(sh.foreground, sh.pid, "the foreground")
    sh.leave()


def test_output_of_the_background_waits_where_the_terminal_says_so():
    """stty tostop: who writes in the background is stopped."""
    sh = Shell()
    sh.do("stty tostop")
    sh.do("aiorun -- victim say hello exit 3 &")
    both = processes(sh)
    stopped(*both)
    equal(sh.seen("hello"), 0, "times that it was said")
    sh.type("fg\n")
    sh.expect("hello")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(*SHELLS)
def test_kill_of_a_job_ends_it(shell):
    sh = Shell(shell)
    sh.do("aiorun -- victim say ready pause &")
    aiorun, _ = processes(sh)
    until(lambda: sh.seen("ready\r"), "it is ready")
    equal(sh.do("kill %1; wait %1"), 143, "status")
    expect_gone(aiorun)
    sh.leave()


@cases(*SHELLS)
def test_kill_of_a_stopped_job_ends_it(shell):
    sh = Shell(shell)
    sh.type("aiorun -- victim say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    sh.ctrl("Z")
    sh.prompt()
    stopped(*both)
    sh.do("kill %1")
    sh.do("kill -CONT %1")  # bash does this by itself, dash does not
    expect_gone(*both)
    sh.do("wait")
    sh.leave()


def test_kill_of_a_job_in_its_own_group_arrives_once():
    sh = Shell()
    sh.do(f"aiorun --group -- victim report TERM report {MARK} on USR1 [ exit 3 ]"
          " say ready pause &")
    aiorun, _ = processes(sh)
    until(lambda: sh.seen("ready\r"), "it is ready")
    sh.do("kill %1")
    sh.do(f"kill -{sig(MARK)} %1")
    until(lambda: sh.seen(r"got RTMIN\+1"), "the mark has come")
    equal(sh.seen("got TERM"), 1, "times that TERM came")
    equal(sh.do("kill -USR1 %1; wait %1"), 3, "status")
    sh.leave()


@cases("timeout 1", "timeout --foreground 1")
def test_timeout_ends_it_in_time(command):
    sh = Shell()
    equal(sh.do(f"{command} aiorun -- victim pause"), 124, "status")
    equal(sh.do(f"{command} aiorun -g -- victim pause"), 124, "status")
    sh.leave()


def test_bash_inside_has_its_own_jobs():
    sh = Shell()
    sh.type("PS1='inner $?> ' aiorun -- bash --norc --noprofile --noediting -i\n")
    sh.expect("inner 0> ")
    bash = sh.command
    sh.type("victim report CONT on TERM [ exit 7 ] say ready pause\n")
    sh.expect("ready")
    victim = children(bash)[0]
    sh.ctrl("Z")
    sh.expect("inner 148> ")
    stopped(victim)
    not_stopped(bash, sh.subject)
    sh.type("bg\n")
    sh.expect("got CONT")
    sh.type("kill %1; wait %1\n")
    sh.expect("inner 7> ")
    sh.type("cat\n")
    until(lambda: sh.foreground not in (bash, sh.pid, sh.subject), "cat has the foreground")
    until(lambda: [command_line(pid) for pid in children(bash)] == ["cat"], "it is cat by now")
    resting(children(bash)[0])
    sh.ctrl("C")
    sh.expect("inner 130> ")
    sh.ctrl("C")
    sh.expect("inner 130> ")
    sh.type("exit 4\n")
    equal(sh.prompt(), 4, "status")
    sh.leave()


@cases("share", "own")
def test_suspend_in_a_bash_inside_brings_back_the_shell_outside(mode):
    """It stops itself with STOP, which is a stop like any other."""
    sh = Shell()
    sh.type(f"PS1='inner $?> ' aiorun --terminal {mode} --"
            " bash --norc --noprofile --noediting -i\n")
    sh.expect("inner 0> ")
    both = processes(sh)
    sh.type("suspend\n")
    sh.prompt()
    stopped(*both)
    sh.type("fg\n")
    sh.expect("inner 0> ")
    sh.type("exit 4\n")
    equal(sh.prompt(), 4, "status")
    sh.leave()


@cases("share", "own")
def test_kill_stop_of_the_command_stops_the_job(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- victim on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    both = processes(sh)
    kill(both[1], "STOP")
    sh.prompt()
    stopped(*both)
    sh.type("fg\n")
    running(*both)
    kill(both[0], "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases("share", "own")
def test_password_prompt_hides_and_restores_the_echo(mode):
    sh = Shell(echo=True)
    sh.type(f"aiorun --terminal {mode} --"
            " bash -c 'read -s -p Secret: x; echo; echo \"<${#x}>\"'\n")
    sh.expect("Secret:.*Secret:|\nSecret:")
    until(lambda: not sh.echoes, "the echo is off")
    sh.type("xyzzy\n")
    sh.expect("<5>")
    equal(sh.prompt(), 0, "status")
    equal(sh.seen("xyzzy"), 0, "times that the password was shown")
    check(sh.echoes, "the echo is still off")
    sh.leave()


@cases("share", "own")
def test_ctrl_c_at_a_password_prompt_restores_the_echo(mode):
    sh = Shell(echo=True)
    sh.type(f"aiorun --terminal {mode} -- bash -c 'read -s -p Secret: x'\n")
    sh.expect("\nSecret:")
    until(lambda: not sh.echoes, "the echo is off")
    sh.ctrl("C")
    equal(sh.prompt(), 130, "status")
    until(lambda: sh.echoes, "the echo is on")
    sh.leave()


# ---- the terminal's settings, size and end ----

@cases("share", "own")
def test_stty_through_aiorun_stays(mode):
    sh = Shell(echo=True)
    equal(sh.do(f"aiorun --terminal {mode} -- stty -echo"), 0, "status")
    check(not sh.echoes, "the echo is on again")
    sh.leave()


@cases(*MODES)
def test_new_window_size_is_told_once(mode):
    sh = Shell()
    sh.type(f"aiorun --terminal {mode} -- victim report WINCH report {MARK} on USR1 [ exit 3 ]"
            " say ready pause\n")
    sh.expect("ready")
    aiorun, _ = processes(sh)
    for changes in (1, 2, 3):
        sh.resize(30 + changes, 100)
        sh.expect("got WINCH")
        marked(sh, aiorun)
        equal(sh.seen("got WINCH"), changes, "times that WINCH came")
    kill(aiorun, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(*[f"{shell}-{mode}" for shell in SHELLS for mode in MODES])
def test_hangup_of_the_terminal_ends_everything(case):
    shell, mode = case.split("-")
    sh = Shell(shell)
    sh.type(f"aiorun --terminal {mode} -- victim spawn [ pause ] say ready pause\n")
    sh.expect("ready")
    everything = descendants(sh.pid)
    check(len(everything) >= 3, "the processes are not all there")
    sh.hang_up()
    sh.wait()
    expect_gone(*everything)


def leader(mode, script):
    """aiorun itself leads the session."""
    return Terminal([BINARY, "--terminal", mode, "--", *victim(script)], wrapped=False)


@cases(*MODES)
def test_hangup_ends_aiorun_that_leads_the_session(mode):
    """As in a terminal's window that was opened for the command: xterm -e aiorun ..."""
    run = leader(mode, "say ready pause")
    run.expect("ready")
    everything = descendants(run.pid)
    run.hang_up()
    run.end("HUP")
    expect_gone(*everything)


@cases(*MODES)
def test_hangup_tells_the_command_of_a_session_leader_once(mode):
    run = leader(mode, f"report HUP append log ready say ready on {MARK} [ append log over exit 3 ]"
                 " on HUP [ append log hangup ] pause")
    run.expect("ready")
    run.hang_up()
    until(lambda: "hangup" in open("log").read(), "the command was told")
    run.send(MARK)
    run.wait()
    equal(open("log").read(), "ready\nhangup\nover\n", "what the command saw")
    equal(run.status, 3, "status")


def test_nohup_outlives_the_terminal():
    sh = Shell()
    sh.do("nohup aiorun -- victim append log ready on USR1 [ append log over exit 0 ] pause"
          " >/dev/null 2>&1 &")
    aiorun, command = processes(sh)
    until(lambda: os.path.exists("log"), "the command runs")
    sh.hang_up()
    sh.wait()
    not_stopped(aiorun, command)
    kill(aiorun, "USR1")
    expect_gone(aiorun, command)
    equal(open("log").read(), "ready\nover\n", "what the command saw")


# ---- own ----

def test_own_hands_the_foreground_over_and_takes_it_back():
    """A script without job control reads the terminal itself behind it."""
    sh = Shell()
    sh.type("sh -c 'aiorun --terminal own -- victim on USR1 [ exit 3 ] print pids say ready pause;"
            " echo back $?; read line; echo read $line'\n")
    pids = sh.pids()
    sh.expect("ready")
    aiorun, command = processes(sh)
    equal(pids["pgid"], command, "the command's group")
    equal(sh.foreground, command, "the foreground")
    kill(aiorun, "USR1")
    sh.expect("back 3")
    check(sh.foreground not in (command, sh.pid), "the script has not got the foreground back")
    sh.type("hello\n")
    sh.expect("read hello")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_own_takes_the_foreground_back_from_a_command_that_is_not_there():
    sh = Shell()
    sh.type("sh -c 'aiorun --terminal own -- ./missing; echo back $?; read line;"
            " echo read $line'\n")
    sh.expect("back 127")
    sh.type("hello\n")
    sh.expect("read hello")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_own_lets_the_command_read_at_once():
    """The foreground is its own before its first instruction."""
    sh = Shell()
    for _ in range(5):
        sh.type("aiorun --terminal own -- head -n 1\n")
        sh.type("hello\n")
        sh.expect("hello")
        equal(sh.prompt(), 0, "status")
    sh.leave()


@cases(*[f"{shell}-{how}" for shell in SHELLS for how in ("forever", "restart")])
def test_own_keys_are_aioruns_while_no_command_runs(case):
    """Else nobody would get them: the group that had the foreground is gone."""
    shell, how = case.split("-")
    options = {"forever": "--forever", "restart": "--restart always --restart-delay 100s"}[how]
    sh = Shell(shell)
    sh.type(f"aiorun {options} --terminal own -- victim on USR1 [ exit 0 ] say ready pause\n")
    sh.expect("ready")
    aiorun, command = processes(sh)
    kill(command, "USR1")
    until(lambda: not children(aiorun), "no command runs")
    until(lambda: sh.foreground == aiorun, "it has the foreground")
    sh.ctrl("C")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_group_implies_own_on_a_terminal():
    sh = Shell()
    sh.type("aiorun --group -- victim on INT [ exit 3 ] print pids say ready pause\n")
    pids = sh.pids()
    sh.expect("ready")
    equal(pids["pgid"], pids["pid"], "the command's group")
    equal(sh.foreground, pids["pid"], "the foreground")
    sh.ctrl("C")
    equal(sh.prompt(), 3, "status")
    sh.leave()


def test_group_in_a_shared_group_is_refused():
    sh = Shell()
    equal(sh.do("aiorun --group --terminal share -- victim say started"), 125, "status")
    check("--group" in sh.out and "--terminal" in sh.out, "the sentence names both options")
    equal(sh.seen("started"), 0, "starts")
    sh.leave()


# ---- none ----

def test_none_has_no_terminal_as_stdin():
    sh = Shell()
    sh.type("aiorun --terminal none -- readlink /proc/self/fd/0\n")
    sh.expect("/dev/null")
    equal(sh.prompt(), 0, "status")
    sh.type("echo hello | aiorun --terminal none -- cat\n")  # but a pipe stays
    sh.expect("hello")
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_none_gives_the_command_a_session_of_its_own():
    sh = Shell()
    sh.type("aiorun --terminal none -- victim print pids\n")
    pids = sh.pids()
    equal(pids["sid"], pids["pid"], "the command's session")
    sh.prompt()
    sh.leave()


SEED_ORDER = ("--shutdown-handler 'victim say handler' --shutdown-callback 'victim say callback'"
              " --timeout 20s")


@cases(explicit=("--terminal none",), implied=("",))
def test_ctrl_c_under_none_takes_the_order_of_a_shutdown(terminal):
    """Handler, callback, stop request.  The drain delay is for load balancers: keys skip it."""
    sh = Shell()
    sh.type(f"aiorun -v {terminal} {SEED_ORDER} --drain-delay 5s --"
            " victim on INT [ say asked exit 0 ] say ready pause\n")
    sh.expect("ready")
    sh.ctrl("C")
    for mark in ("handler", "Stopping the loop", "callback", "Cancelling pending tasks"):
        sh.expect(mark, timeout=4)
    sh.expect("asked", timeout=4)
    equal(sh.prompt(), 0, "status")
    equal([sh.seen(f"\n{word}\r") for word in ("handler", "callback", "asked")], [1, 1, 1],
          "each once")
    sh.leave()


def test_signal_of_a_program_under_none_has_the_drain_delay():
    sh = Shell()
    sh.type(f"aiorun -v --terminal none {SEED_ORDER} --drain-delay 300ms --"
            " victim on TERM [ say asked exit 0 ] say ready pause\n")
    sh.expect("ready")
    kill(sh.subject, "TERM")
    for mark in ("handler", "Stopping the loop", "callback", "Waiting for the drain delay",
                 "asked"):
        sh.expect(mark)
    equal(sh.prompt(), 0, "status")
    sh.leave()


def test_handler_that_says_no_keeps_it_running_on_ctrl_c():
    sh = Shell()
    sh.type("aiorun --shutdown-handler 'victim say handler exit 1' --"
            f" victim report INT report {MARK} on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    aiorun, _ = processes(sh)
    for _ in range(2):
        sh.ctrl("C")
        sh.expect("handler")
        until(lambda: len(children(aiorun)) == 1, "the handler has ended")
    marked(sh, aiorun)
    equal(sh.seen("got INT"), 0, "times that INT came")
    kill(aiorun, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


@cases(INT=("C", "INT:TERM"), QUIT=("\\", "QUIT:TERM"))
def test_rewriting_a_key_comes_before_the_command_sees_it(key, rewrite):
    sh = Shell()
    sh.type(f"aiorun --rewrite {rewrite} -- victim report INT report QUIT report {MARK}"
            " on TERM [ say asked exit 3 ] say ready pause\n")
    sh.expect("ready")
    sh.ctrl(key)
    sh.expect("asked")
    equal(sh.prompt(), 3, "status")
    equal(sh.seen("got (INT|QUIT)"), 0, "keys that came through")
    sh.leave()


def test_second_ctrl_c_a_second_later_forces():
    sh = Shell()
    sh.type("aiorun -v --terminal none --timeout 25s -- victim ignore INT say ready pause\n")
    sh.expect("ready")
    _, command = processes(sh)
    sh.ctrl("C")
    sh.expect("Cancelling pending tasks")
    pause(1.1)
    check(alive(command), "one was enough")
    sh.ctrl("C")
    equal(sh.prompt(timeout=5), 137, "status")
    sh.leave()


def test_second_ctrl_c_at_once_does_not_force():
    sh = Shell()
    sh.type("aiorun -v --terminal none --timeout 25s -- victim ignore INT say ready pause\n")
    sh.expect("ready")
    _, command = processes(sh)
    start = time.monotonic()
    sh.ctrl("C")
    sh.expect("Cancelling pending tasks")
    for _ in range(3):
        pause(0.15)
        sh.ctrl("C")
    hurried = time.monotonic() - start < 1  # on a machine that is not too busy
    pause(0.2)
    check(alive(command) or not hurried, "a hurried finger has forced it")
    pause(0.6)
    sh.ctrl("C")
    equal(sh.prompt(timeout=5), 137, "status")
    sh.leave()


# ---- nested ----

@cases(*[f"{outer}-{inner}" for outer in ("share", "own") for inner in ("share", "own")])
def test_nested_ctrl_c_ctrl_z_and_fg(case):
    outer, inner = case.split("-")
    sh = Shell()
    sh.type(f"aiorun --terminal {outer} -- aiorun --terminal {inner} --"
            f" victim report INT report CONT report {MARK} on USR1 [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    first = sh.subject
    second = children(first)[0]
    third = children(second)[0]
    sh.ctrl("C")
    sh.expect("got INT")
    marked(sh, first)
    equal(sh.seen("got INT"), 1, "times that INT came")
    sh.ctrl("Z")
    sh.prompt()
    stopped(first, second, third)
    sh.type("fg\n")
    sh.expect("got CONT")
    running(first, second, third)
    sh.ctrl("C")
    sh.expect("got INT")
    kill(first, "USR1")
    equal(sh.prompt(), 3, "status")
    sh.leave()


def test_nested_under_none_ends_on_one_ctrl_c():
    sh = Shell()
    sh.type("aiorun --terminal none -- aiorun -- victim on INT [ exit 3 ] say ready pause\n")
    sh.expect("ready")
    sh.ctrl("C")
    equal(sh.prompt(), 3, "status")
    sh.leave()


# ---- a screen ----

class Screenful:
    """A shell on a screen that tmux draws."""

    def __init__(self):
        self.env = {**os.environ, "TERM": "screen", "HOME": os.getcwd(),
                    "PATH": f"{tools()}:{os.environ['PATH']}", "HISTFILE": ""}
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
                  "PS1='$ ' exec bash --norc --noprofile --noediting -i")
        self.server = int(self.tmux("display-message", "-p", "#{pid}"))
        self.shows(r"^\$")

    def tmux(self, *words):
        return subprocess.run(["tmux", "-S", os.path.abspath("tmux"), *words], env=self.env,
                                   check=True, capture_output=True, text=True, timeout=10).stdout

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def size(self):
        """Of the terminal, which follows that of the window after a while."""
        terminal = os.open(self.tmux("display-message", "-p", "#{pane_tty}").strip(),
                           os.O_RDONLY | os.O_NOCTTY)
        size = os.get_terminal_size(terminal)
        os.close(terminal)
        return size.lines, size.columns

    def shows(self, pattern):
        last = [""]

        def look():
            last[0] = self.tmux("capture-pane", "-p")
            return re.search(pattern, last[0], re.M)
        try:
            until(look, f"the screen shows {pattern!r}")
        except Failure as failure:
            raise Failure(f"{failure}: {last[0].strip()!r}") from None

    def close(self):
        self.tmux("kill-server")
        expect_gone(self.server)


@needs("tmux", "vim")
@cases("share", "own")
def test_editor_redraws_its_screen_after_fg_and_after_a_new_size(mode):
    write_page()
    screen = Screenful()
    screen.keys(f"aiorun --terminal {mode} -- vim -u NONE -N -n page", "Enter")
    screen.shows("^line 20$")
    screen.keys("C-c")
    screen.shows("to exit Vim")
    vim = next(pid for pid in descendants(screen.server) if command_line(pid).startswith("vim"))
    resting(vim)
    screen.keys("C-z")
    screen.shows("Stopped")
    screen.keys("fg", "Enter")
    screen.shows("^line 20$")
    screen.tmux("resize-window", "-x", "60", "-y", "15")
    until(lambda: screen.size() == (15, 60), "tmux has told the terminal")
    resting(vim)  # what it says before it has drawn its screen anew, is drawn over
    screen.keys(":echo &lines . 'x' . &columns", "Enter")
    screen.shows("^15x60")
    screen.keys(":q!", "Enter")
    screen.shows(r"page\n\$$")
    screen.keys("echo status $?", "Enter")
    screen.shows("^status 0")
    screen.keys("exit", "Enter")
    expect_gone(screen.server)


@needs("tmux")
def test_closed_window_of_tmux_ends_everything():
    screen = Screenful()
    screen.keys("aiorun -- victim spawn [ pause ] say ready pause", "Enter")
    screen.shows("^ready")
    everything = descendants(screen.server)
    check(len(everything) >= 4, "the processes are not all there")
    screen.close()
    expect_gone(*everything)
