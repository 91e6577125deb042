"""libaiorun as it is installed: found by pkg-config, linked both ways, from C and C++; and what the
manual pages of the library and of the protocol show."""
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from harness import BINARY, ROOT, Run, Skip, cases, check, equal, needs
from stand_in import StandIn

PROGRAM = """
#include <aiorun.h>
int main(void)
{
    struct aiorun_order order;
    if (aiorun_ready() < 0 || aiorun_status("linked") < 0)
        return 1;
    return aiorun_receive(&order) == 0 ? 0 : 2;
}
"""
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
PREFIX = "/opt/elsewhere"
INSTALLED = {"include/aiorun.h", "lib/libaiorun.a", "lib/libaiorun.so", "lib/libaiorun.so.1",
             "lib/pkgconfig/aiorun.pc", "share/man/man3/aiorun.3"}


def output(*command, **how):
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, **how)
    equal((result.returncode, result.stderr), (0, ""), " ".join(map(str, command)))
    return result.stdout


def make(*words):
    output("make", "-s", "-C", ROOT, f"BUILD={os.getcwd()}/build", f"PREFIX={PREFIX}",
           f"DESTDIR={os.getcwd()}/root", *words)


def files():
    root = Path("root" + PREFIX)
    return {str(path.relative_to(root)) for path in root.rglob("*")
            if path.is_symlink() or path.is_file()}


def pkg_config(*words):
    """As a program is built against what lies below another root."""
    env = {**os.environ, "PKG_CONFIG_LIBDIR": f"root{PREFIX}/lib/pkgconfig",
           "PKG_CONFIG_SYSROOT_DIR": f"{os.getcwd()}/root"}
    return output("pkg-config", *words, "aiorun", env=env).split()


def talks(*argv, **how):
    stand_in = StandIn()
    run = stand_in.start(argv, **how)
    run.end(0)
    equal([stand_in.line(), stand_in.line()], ["ready", "status linked"], "what it says")
    Run(argv, **how).end(0)  # and without an aiorun


@needs("plain", "make", "pkg-config")
def test_what_is_installed_is_removed_again():
    make("install-lib")
    equal(files(), INSTALLED, "files")
    equal(os.readlink(f"root{PREFIX}/lib/libaiorun.so"), "libaiorun.so.1", "the link")
    makefile = (ROOT / "Makefile").read_text()
    equal(pkg_config("--modversion")[0], re.search(r"^VERSION := (\S+)", makefile, re.M)[1],
          "the version")
    make("uninstall")
    equal(files(), set(), "files left")


def build(compiler, shared):
    if compiler.endswith("++"):
        source, standard = "program.cc", "-std=c++98"
    else:
        source, standard = "program.c", "-std=c89"
    Path(source).write_text(PROGRAM)
    libraries = pkg_config("--libs")
    if not shared:
        libraries = ["-Wl,-Bstatic", *libraries, "-Wl,-Bdynamic"]
    output(compiler, standard, *STRICT, *pkg_config("--cflags"), source, *libraries, "-o", "program")


@needs("plain", "make", "pkg-config")
@cases("gcc", "clang", "g++", "clang++")
def test_links_both_ways(compiler):
    if subprocess.run(["which", compiler], capture_output=True).returncode != 0:
        raise Skip(f"needs {compiler}")
    make("install-lib")
    build(compiler, shared=True)
    needed = output("readelf", "-d", "program")
    check("[libaiorun.so.1]" in needed, f"the program does not need libaiorun.so.1: {needed}")
    talks("./program", env={"LD_LIBRARY_PATH": f"root{PREFIX}/lib"})
    build(compiler, shared=False)
    check("libaiorun" not in output("readelf", "-d", "program"), "the library is not linked in")
    talks("./program")


@needs("plain", "make", "nm")
def test_exports_its_functions_and_nothing_else():
    make("lib")
    header = (ROOT / "src/client/aiorun.h").read_text()
    declared = set(re.findall(r"^int (aiorun_\w+)\(", header, re.M))
    check(len(declared) > 10, f"only {declared} are declared")
    shared = output("nm", "-D", "--defined-only", "build/libaiorun.so.1")
    static = output("nm", "-g", "--defined-only", "build/libaiorun.a")
    for text in shared, static:
        equal(set(re.findall(r" [A-Z] (\S+)", text)), declared, "symbols")


@needs("plain", "make", "nm")
def test_allocates_nothing_and_touches_no_signal():
    """What it needs of others: memory and strings, the environment, and a socket."""
    make("lib")
    needed = set(re.findall(r" U (\w+)", output("nm", "-u", "build/libaiorun.a")))
    allowed = {"__errno_location", "getenv", "fstat", "send", "recv", "_GLOBAL_OFFSET_TABLE_",
               "__stack_chk_fail"}
    strange = {name for name in needed - allowed if not re.match(r"(mem|str)\w+$", name)}
    equal(strange, set(), "functions it needs")


# ---- the manual pages ----

def manual(page):
    """The page as it is read, without the indentation of its text."""
    text = re.sub(".\b", "", output("mandoc", "-Tascii", "-O", "width=200", ROOT / "man" / page))
    return text.expandtabs()


def program_of(text, first, last):
    """The lines of an example, from one that is `first` to one that is `last`."""
    found = re.search(rf"^( +){re.escape(first)}\n.*?^\1{re.escape(last)}\n", text, re.M | re.S)
    check(found, f"no example from {first} to {last}")
    return textwrap.dedent(found[0])


@needs("plain", "make", "pkg-config", "mandoc", "cc")
def test_program_of_the_manual_page():
    text = manual("aiorun.3").partition("EXAMPLES")[2]
    Path("example.c").write_text(program_of(text, "#include <aiorun.h>", "}").strip() + "\n"
                                 + program_of(text, "int main(void)", "}"))
    make("install-lib")
    output("cc", "-std=c11", "-D_GNU_SOURCE", *STRICT, *pkg_config("--cflags"), "example.c",
           *pkg_config("--libs"), "-o", "example")
    stand_in = StandIn()
    run = stand_in.start(["./example"], env={"LD_LIBRARY_PATH": f"root{PREFIX}/lib"})
    equal(stand_in.line(), "ready", "what it says")
    stand_in.say("shutdown request 10")
    run.end(0)


def expect_status(argv):
    stand_in = StandIn(9)
    stand_in.start(argv).end(0)
    equal(stand_in.line(), "status warming up", "what it says")
    Run(argv).end(0)
    with open("lock", "w+") as lock:
        os.dup2(lock.fileno(), 9)
        stand_in.start(argv).end(0)
    equal(Path("lock").read_text(), "", "the file that has its descriptor now")


@needs("mandoc")
@cases("dash", "bash", "busybox")
def test_shell_of_the_protocols_page(shell):
    if shutil.which(shell) is None:
        raise Skip(f"needs {shell}")
    script = program_of(manual("aiorun-protocol.7"), "tell() {", 'tell status "warming up"')
    expect_status([*([shell, "sh"] if shell == "busybox" else [shell]), "-c", script])


@needs("mandoc")
def test_python_of_the_protocols_page():
    script = program_of(manual("aiorun-protocol.7"), "import os, socket, stat",
                        'tell("status warming up")')
    expect_status([sys.executable, "-c", script])


@needs("plain", "mandoc", "cc")
def test_c_of_the_protocols_page():
    text = manual("aiorun-protocol.7")
    Path("tell.c").write_text(program_of(text, "#include <stdio.h>", "}")
                              + program_of(text, "int main(void)", "}"))
    output("cc", "-std=c11", "-D_GNU_SOURCE", *STRICT, "tell.c", "-o", "tell")
    expect_status(["./tell"])


@needs("mandoc")
def test_bytes_of_the_protocols_page():
    """What stands in hexadecimal is what is said beside it; and the request is what submit sends."""
    text = manual("aiorun-protocol.7")
    rows = re.findall(r"^ +((?:[0-9a-f]{2} )+[0-9a-f]{2})\s+(\S.*)\.$", text, re.M)
    equal(len(rows), 4, "examples in hexadecimal")
    for digits, words in rows:
        equal(bytes.fromhex(digits), words.encode() + b"\n", "an example")
    stand_in = StandIn()
    names = {name: stand_in.environment[name] for name in ("AIORUN_CONTROL_FD", "AIORUN_CONTROL_ID")}
    run = Run([BINARY, "submit", "--", "sync", "-f"], cwd="/", fds=(stand_in.fd,),
              only_env={"PATH": "/usr/bin:/bin", **names})
    channel = stand_in.attached()
    request = os.pread(channel.line().fds[0], 1 << 16, 0)
    channel.say("ok")
    run.end(0)
    shown = re.search(r"^ +(/\.2\..*)$", text, re.M)[1]
    told = int(re.search(r"one variable, (\d+) bytes", text)[1])
    equal(len(shown), told, "the length that is told")
    check(request.replace(b"\0", b".").decode().startswith(shown), f"{request!r} is not {shown}")


@needs("mandoc")
@cases("aiorun.1", "aiorun.3", "aiorun-protocol.7")
def test_manual_page_lints(page):
    result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", ROOT / "man" / page],
                            capture_output=True, text=True)
    equal((result.returncode, result.stdout), (0, ""), "mandoc")


def test_manual_page_has_every_function():
    header = (ROOT / "src/client/aiorun.h").read_text()
    page = (ROOT / "man/aiorun.3").read_text()
    for name in re.findall(r"^int (aiorun_\w+)\(", header, re.M):
        check(f".Nm {name} ,\n" in page or f".Nm {name}\n" in page, f"NAME has no {name}")
        check(f".Fn {name} " in page.partition(".Sh DESCRIPTION")[0], f"SYNOPSIS has no {name}")
        check(f".It Fn {name}\n" in page, f"{name} is not explained")
