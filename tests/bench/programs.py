"""The programs that are compared, and how each of them is made to supervise something."""
import shutil
from pathlib import Path

# A launcher is measured against peers of its own kind: what the dynamic loader costs is no merit of
# the supervisor's, nor is its absence.
LIMIT, DYNAMIC, STATIC, SUPERVISOR = "limit", "dynamic", "static", "supervisor"

class Program:
    """A launcher: `NAME OPTIONS -- COMMAND`."""

    def __init__(self, name, kind, path, options=("--",), restart=None):
        self.name, self.kind, self.path = name, kind, path
        self.options, self.restart_options = options, restart
        self.ours = name.startswith("aiorun")

    launches = forwards = True
    by_term = False
    slow = False  # takes a second for what takes others a millisecond: not in every round

    @property
    def restarts(self):
        return self.restart_options is not None

    @property
    def runs_as_init(self):
        return True

    def over(self, command, _directory):
        """The command line that supervises `command`."""
        return [self.path, *self.options, *command]

    def restarting(self, command, _directory):
        return [self.path, *self.restart_options, *command]

    as_init = over


class Service(Program):
    """A supervisor of service directories or of a file: it restarts, and is no launcher."""

    launches = forwards = False
    by_term = True
    slow = True
    restarts = True

    def __init__(self, name, path, prepare, init=None):
        super().__init__(name, SUPERVISOR, path)
        self.prepare, self.init = prepare, init

    @property
    def runs_as_init(self):
        return self.init is not None

    def over(self, command, directory):
        return self.prepare(self.path, command, Path(directory))

    restarting = over

    def as_init(self, command, directory):
        return self.init(command, Path(directory))


def make_service(directory, command):
    """`run` is the command itself, not a script: a shell would be measured with it."""
    assert len(command) == 1
    directory.mkdir(parents=True)
    (directory / "run").symlink_to(command[0])


def one_service(path, command, directory):
    make_service(directory / "victim", command)
    return [path, str(directory / "victim")]


def scan_directory(path):
    def prepare(command, directory):
        make_service(directory / "services" / "victim", command)
        return [path, str(directory / "services")]
    return prepare


def supervisord(path, command, directory):
    directory.mkdir(parents=True)
    file = directory / "supervisord.conf"
    file.write_text("[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
                    f"pidfile={directory}/pid\nuser=root\n"
                    f"[program:victim]\ncommand={' '.join(command)}\nautorestart=true\n"
                    "startsecs=0\nstdout_logfile=/dev/null\nstderr_logfile=/dev/null\n")
    return [path, "-n", "-c", str(file)]


def installed(path, directory):
    """A copy, as `make install` makes one.  What a linker writes lies in the page cache in pieces,
    which take longer to map than a file that came whole: a tenth of a supervisor's end."""
    directory.mkdir(parents=True, exist_ok=True)
    if path.exists():
        shutil.copy(path, directory / path.name)
    return directory / path.name


def find(build, out):
    """All programs that are there, and the names of those that are not."""
    delay = ("--restart", "always", "--restart-delay", "0..0", "--")
    wanted = [
        Program("bare", LIMIT, out / "bare", (), ("-r",)),
        Program("aiorun", DYNAMIC, installed(build / "aiorun", out / "dynamic"), restart=delay),
        Program("aiorun static", STATIC, installed(build / "static" / "aiorun", out / "static"),
                restart=delay),
        Program("dumb-init", DYNAMIC, shutil.which("dumb-init")),
        Program("tini", DYNAMIC, shutil.which("tini")),
        Program("catatonit", STATIC, shutil.which("catatonit")),
        Program("tini-static", STATIC, shutil.which("tini-static")),
        Service("s6", shutil.which("s6-supervise"), one_service,
                scan_directory(shutil.which("s6-svscan"))),
        Service("runit", shutil.which("runsv"), one_service,
                scan_directory(shutil.which("runsvdir"))),
        Service("supervisord", shutil.which("supervisord"), supervisord,
                lambda command, directory: supervisord(shutil.which("supervisord"), command, directory)),
    ]
    there = [p for p in wanted if p.path is not None and Path(p.path).exists()]
    for program in there:
        program.path = str(program.path)
    return there, [p.name for p in wanted if p not in there]
