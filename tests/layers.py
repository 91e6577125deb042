#!/usr/bin/env python3
"""Proves who may know whom: from the includes, and from the undefined symbols of the objects."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
C11 = set("""assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h
    math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h
    stdlib.h stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h wchar.h wctype.h""".split())
FREESTANDING = set("assert.h limits.h stdbool.h stddef.h stdint.h string.h".split())

# For each room: the rooms it may include, and the system headers (None: any).
ROOMS = {
    "core": ({"core"}, FREESTANDING),
    "protocol": ({"protocol"}, FREESTANDING),  # and core/msec.h
    "plan": ({"plan", "core"}, C11),
    "report": ({"report", "core"}, C11),
    "seam": ({"core", "plan", "protocol"}, C11),
    "supervisor": ({"supervisor", "seam", "core", "plan", "report", "protocol"}, C11),
    "posix": ({"posix", "supervisor", "seam", "core", "plan", "report", "protocol"}, None),
    "win32": ({"win32", "supervisor", "seam", "core", "plan", "report", "protocol"}, None),
    "client": ({"client", "protocol", "plan", "core", "report"}, None),
    "cmd": ({"supervisor", "seam", "client", "core", "plan", "report"}, C11),
}
# Headers that more rooms may include than their own would let them.
SHARED = {"core/msec.h": {"protocol", "client"}, "posix/descriptor.h": {"client"},
          "win32/words.h": {"client"}}
# Where a word may stand; a room, or files of it.
ONLY = {
    r"#include [<\"]ev\.h": ["src/posix/"],
    r"#include [<\"]windows\.h": ["src/win32/", "src/client/win32/"],
    r"\bpid_t\b": ["src/posix/", "src/client/posix/"],
    r"\b(HANDLE|DWORD|wchar_t)\b": ["src/win32/", "src/client/win32/",
                                    "src/client/aiorun.h"],  # which tells of one
    r"#\s*if.*_WIN32": ["src/platform.h"],
}
# What the objects of a room may leave for others to define: memory, strings, assert, and the room.
ANYWHERE = (r"mem\w+|str\w+|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|"
            r"__(asan|ubsan|gcov)\w*|")
NEEDS = {
    "core": re.compile(f"^({ANYWHERE}(core|policy|shield|deadline|success)_\\w+)$"),
    "protocol": re.compile(f"^({ANYWHERE}(admin|control|notify|submission|wire)_\\w+)$"),
}


def room_of(path):
    parts = path.relative_to(ROOT).parts
    if parts[0] == "cmd":
        return "cmd"
    return parts[1] if len(parts) > 2 else "seam"


def check_includes(path, text):
    rooms, headers = ROOMS[room_of(path)]
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M):
        target = ROOT / "src" / name
        if not target.exists():
            yield f"{path}: \"{name}\" is not below src/"
        elif room_of(target) not in rooms and room_of(path) not in SHARED.get(name, ()):
            yield f"{path}: {room_of(path)} must not know {name}"
    for name in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M):
        own = name == "ini.h" and path == ROOT / "src/plan/ini.c" # counted in main()
        if headers is not None and name not in headers and not own:
            yield f"{path}: {room_of(path)} must not include <{name}>"


def check_words(path, text):
    name = str(path.relative_to(ROOT))
    for pattern, places in ONLY.items():
        if re.search(pattern, text) and not any(name.startswith(place) for place in places):
            yield f"{name}: {pattern} belongs to {' '.join(places)}"


def check_symbols(objects, room):
    files = sorted((objects / "src" / room).glob("*.o"))
    if not files:
        yield f"no objects of {room} below {objects}"
    for file in files:
        output = subprocess.run(["nm", "-u", file], check=True, capture_output=True, text=True)
        for symbol in (line.split()[-1] for line in output.stdout.splitlines()):
            if not NEEDS[room].match(symbol):
                yield f"{file}: {room} must not need {symbol}"


def main():
    sources = [path for folder in ("src", "cmd") for path in sorted((ROOT / folder).rglob("*.[ch]"))]
    faults = []
    for path in sources:
        text = path.read_text()
        faults += check_includes(path, text)
        faults += check_words(path, text)
    for room in NEEDS:
        faults += check_symbols(pathlib.Path(sys.argv[1]), room)
    ini = [path for path in sources if "ini.h>" in path.read_text()]
    if len(ini) > 1:
        faults.append(f"ini.h is included by {len(ini)} files")
    print("\n".join(faults), end="\n" if faults else "")
    print(f"{len(sources) + 1 - min(len(faults), len(sources))} passed, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
