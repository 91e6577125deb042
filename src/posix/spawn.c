#include "posix/posix.h"
#include "protocol/wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* The child of vfork(2) shares our memory until it execs: it may not allocate, not touch what we
 * will read later, and not return.  So it makes plain system calls on what command.c prepared,
 * and leaves its report in `failure`. */

static const int limit_resources[LIMIT_COUNT] = {
    [LIMIT_AS] = RLIMIT_AS,
    [LIMIT_CORE] = RLIMIT_CORE,
    [LIMIT_CPU] = RLIMIT_CPU,
    [LIMIT_DATA] = RLIMIT_DATA,
    [LIMIT_FSIZE] = RLIMIT_FSIZE,
    [LIMIT_LOCKS] = RLIMIT_LOCKS,
    [LIMIT_MEMLOCK] = RLIMIT_MEMLOCK,
    [LIMIT_MSGQUEUE] = RLIMIT_MSGQUEUE,
    [LIMIT_NICE] = RLIMIT_NICE,
    [LIMIT_NOFILE] = RLIMIT_NOFILE,
    [LIMIT_NPROC] = RLIMIT_NPROC,
    [LIMIT_RSS] = RLIMIT_RSS,
    [LIMIT_RTPRIO] = RLIMIT_RTPRIO,
    [LIMIT_RTTIME] = RLIMIT_RTTIME,
    [LIMIT_SIGPENDING] = RLIMIT_SIGPENDING,
    [LIMIT_STACK] = RLIMIT_STACK,
};

struct report {
    volatile enum spawn_stage stage;
    volatile int error, detail;
    volatile kernel_sigset early; /* keys that were faster than the child */
};

_Noreturn static void fail(struct report *report, enum spawn_stage stage, int detail)
{
    report->error = errno;
    report->stage = stage;
    report->detail = detail;
    _exit(STATUS_OWN_FAILURE);
}

/* A key is sent to the process group: to us, and to the child if it is there yet.  fork(2) draws
 * that line for signals that are not blocked: one that came before is handled first, and the call
 * made again; one that comes later goes to both.  So in a shared group keys are let in around
 * vfork(2), and each is put back as it was, to wait for signalfd(2) or for the new program. */

static const int keys[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP};

static volatile kernel_sigset seen;

static void put_back(int signal_number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    pid_t self = getpid();
    if (self == inherited.pid)
        seen |= signal_bit(signal_number);
    syscall(SYS_rt_sigqueueinfo, self, signal_number, info);
    sigaddset(&interrupted->uc_sigmask, signal_number);
}

/* What is ignored stays so; returns the others. */
static kernel_sigset set_keys(const struct sigaction *action)
{
    kernel_sigset changed = 0;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct sigaction before;
        sigaction(keys[i], action, &before);
        if (before.sa_handler == SIG_IGN)
            sigaction(keys[i], &before, NULL);
        else
            changed |= signal_bit(keys[i]);
    }
    return changed;
}

static void let_keys_in(void)
{
    struct sigaction action = {.sa_sigaction = put_back, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    seen = 0;
    signals_set_mask(~set_keys(&action));
}

static void keep_keys_out(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    signals_set_mask(~(kernel_sigset)0);
    set_keys(&action);
}

/* Until now the child was in our group, and what somebody sent to all of that is for us to pass on,
 * or not: it would kill the new program in its first moment. */
static void forget_what_was_for_us(void)
{
    kernel_sigset pending = 0;
    const struct timespec at_once = {0, 0};
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    while (pending != 0 &&
           syscall(SYS_rt_sigtimedwait, &pending, NULL, &at_once, sizeof pending) > 0)
        ;
}

static int null_input = -1; /* /dev/null, opened once for many runs; -1: each opens it */

static void take_place(const struct spawn *spawn, struct report *report)
{
    switch (spawn->place) {
    case SPAWN_SHARE:
        break;
    case SPAWN_GROUP:
        if (setpgid(0, 0) < 0)
            fail(report, SPAWN_NEW_GROUP, 0);
        break;
    case SPAWN_SESSION:
        if (setsid() < 0)
            fail(report, SPAWN_NEW_SESSION, 0);
        break;
    }
    if (spawn->place != SPAWN_SHARE)
        forget_what_was_for_us();
    /* SIGTTOU is blocked, as all signals are: a background process may do this. */
    if (spawn->terminal >= 0 && tcsetpgrp(spawn->terminal, getpid()) < 0)
        fail(report, SPAWN_FOREGROUND, 0);
    if (spawn->null_stdin && null_input >= 0) {
        if (dup2(null_input, STDIN_FILENO) < 0)
            fail(report, SPAWN_STDIN, 0);
    } else if (spawn->null_stdin) {
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || (null != STDIN_FILENO && dup2(null, STDIN_FILENO) < 0))
            fail(report, SPAWN_STDIN, 0);
        if (null != STDIN_FILENO)
            close(null);
    }
}

/* Where one descriptor comes from is where another one goes: it moves out of the way first. */
static void pass_descriptors(const struct spawn *spawn, struct report *report)
{
    int from[SPAWN_PASSES_MAX], above = 0;
    for (size_t i = 0; i < spawn->pass_count; i++)
        above = spawn->passes[i].to >= above ? spawn->passes[i].to + 1 : above;
    for (size_t i = 0; i < spawn->pass_count; i++) {
        from[i] = spawn->passes[i].from;
        bool in_the_way = false;
        for (size_t j = 0; j < spawn->pass_count; j++)
            in_the_way = in_the_way || (j != i && spawn->passes[j].to == from[i]);
        if (in_the_way)
            from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, above);
        if (from[i] < 0)
            fail(report, SPAWN_PASS, spawn->passes[i].to);
    }
    for (size_t i = 0; i < spawn->pass_count; i++) {
        int to = spawn->passes[i].to;
        if (from[i] == to ? fcntl(to, F_SETFD, 0) < 0 : dup2(from[i], to) < 0)
            fail(report, SPAWN_PASS, to);
    }
}

void spawn_pass(struct spawn *spawn, int from, int to)
{
    assert(spawn->pass_count < SPAWN_PASSES_MAX);
    spawn->passes[spawn->pass_count++] = (struct spawn_pass){from, to};
}

static void set_limits(const struct plan_attributes *attributes, struct report *report)
{
    for (int i = 0; attributes->limits != NULL && i < LIMIT_COUNT; i++) {
        const struct plan_limit_value *value = &attributes->limits[i];
        struct rlimit limit = {
            .rlim_cur = value->soft == PLAN_UNLIMITED ? RLIM_INFINITY : value->soft,
            .rlim_max = value->hard == PLAN_UNLIMITED ? RLIM_INFINITY : value->hard,
        };
        if (value->set && setrlimit(limit_resources[i], &limit) < 0)
            fail(report, SPAWN_LIMIT, i);
    }
}

static void write_oom_score(int score, struct report *report)
{
    char text[8];
    size_t length = 0;
    int magnitude = score < 0 ? -score : score;
    if (score < 0)
        text[length++] = '-';
    for (int power = 1000; power > 0; power /= 10)
        if (magnitude >= power || power == 1)
            text[length++] = (char)('0' + magnitude / power % 10);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, length) < 0)
        fail(report, SPAWN_OOM_SCORE, 0);
    close(fd);
}

static void set_credentials(const struct credentials *credentials, struct report *report)
{
    /* Plain system calls: the C library's tell its other threads, of which we have none to tell. */
    bool any = credentials->set_user || credentials->set_group;
    if (any && syscall(SYS_setgroups, credentials->group_count, credentials->groups) < 0)
        fail(report, SPAWN_GROUPS, 0);
    gid_t group = credentials->group;
    if (any && syscall(SYS_setresgid, group, group, group) < 0)
        fail(report, SPAWN_GID, 0);
    uid_t user = credentials->user;
    if (credentials->set_user && syscall(SYS_setresuid, user, user, user) < 0)
        fail(report, SPAWN_UID, 0);
}

static const char *spawn_cwd(const struct spawn *spawn)
{
    const struct plan_attributes *attributes = spawn->command->attributes;
    if (spawn->cwd != NULL || attributes == NULL)
        return spawn->cwd;
    return attributes->cwd;
}

/* LISTEN_PID and WATCHDOG_PID hold a pid that nobody knows before the child is there. */
static void write_pid(char *at)
{
    struct wire wire = {.at = at, .end = at + PID_ROOM - 1};
    wire_put_number(&wire, (uint64_t)getpid());
    *wire.at = '\0';
}

static void set_attributes(const struct spawn *spawn, struct report *report)
{
    const struct plan_attributes *attributes = spawn->command->attributes;
    const char *cwd = spawn_cwd(spawn);
    if (attributes == NULL)
        return;
    set_limits(attributes, report);
    if (attributes->nice_set && setpriority(PRIO_PROCESS, 0, attributes->nice) < 0)
        fail(report, SPAWN_NICE, 0);
    if (attributes->oom_score_adjust_set)
        write_oom_score(attributes->oom_score_adjust, report);
    set_credentials(&spawn->command->credentials, report);
    /* After the credentials: the command's user must be allowed to be there. */
    if (cwd != NULL && chdir(cwd) < 0)
        fail(report, SPAWN_CWD, 0);
    if (attributes->umask >= 0)
        umask((mode_t)attributes->umask);
    if (attributes->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(report, SPAWN_NO_NEW_PRIVILEGES, 0);
}

/* A change of credentials clears it, so it comes after (PR_SET_PDEATHSIG(2const)).  We may have
 * died before it was set: then nobody would ever send it. */
static void set_death_signal(int signal, struct report *report)
{
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0)
        fail(report, SPAWN_DEATH_SIGNAL, 0);
    if (getppid() != inherited.pid)
        kill(getpid(), signal);
}

/* A stop key that hits between here and the new program would stop us for good: our parent waits
 * for us in vfork(2), and nobody could tell the shell.  So it is caught, which lasts until
 * execve(2), and sent again by the parent.  The child of vfork has a table of dispositions of its
 * own. */
static volatile sig_atomic_t stopped_early;

static void note_stop(int signal_number)
{
    stopped_early = signal_number;
}

static void catch_stops(void)
{
    static const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++)
        if (!signals_ignored(stops[i]))
            signal(stops[i], note_stop);
}

/* The n-th place where the program may be; NULL: there are no more. */
static const char *place_of(const struct command *command, int n)
{
    if (command->paths != NULL)
        return command->paths[n];
    return n == 0 ? command->argv[0] : NULL;
}

/* Tries the places of the program in order, as execvp(3) does, but for its fallback to a shell. */
_Noreturn static void execute(const struct command *command, struct report *report)
{
    int error = ENOENT, detail = 0;
    const char *path;
    for (int i = 0; (path = place_of(command, i)) != NULL; i++) {
        execve(path, command->argv, command->environment);
        bool elsewhere = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
        if (!elsewhere || (errno == EACCES && error == ENOENT)) {
            error = errno;
            detail = i;
        }
        if (!elsewhere)
            break;
    }
    errno = error;
    fail(report, SPAWN_EXEC, detail);
}

_Noreturn static void run_child(const struct spawn *spawn, struct report *report)
{
    if (spawn->place == SPAWN_SHARE) {
        report->early = seen;
        keep_keys_out();
    }
    if (spawn->cgroup >= 0 && write(spawn->cgroup, "0", 1) < 0)
        fail(report, SPAWN_CGROUP, 0);
    take_place(spawn, report);
    pass_descriptors(spawn, report);
    for (size_t i = 0; i < SPAWN_PID_VARIABLES; i++)
        if (spawn->pid_variables[i] != NULL)
            write_pid(spawn->pid_variables[i]);
    if (inherited.raised_files && setrlimit(RLIMIT_NOFILE, &inherited.files) < 0)
        fail(report, SPAWN_LIMIT, LIMIT_NOFILE);
    set_attributes(spawn, report);
    if (spawn->death_signal != 0)
        set_death_signal(spawn->death_signal, report);
    if (inherited.ignores_children)
        signal(SIGCHLD, SIG_IGN);
    if (spawn->place != SPAWN_SESSION)
        catch_stops();
    signals_set_mask(inherited.mask);
    execute(spawn->command, report);
}

/* vfork(2) returns twice on one stack: nothing else may live in this frame. */
__attribute__((noinline)) static pid_t split(const struct spawn *spawn, struct report *report)
{
    pid_t pid = vfork();
    if (pid == 0)
        run_child(spawn, report);
    return pid;
}

/* ---- of many descriptors, a child gets a copy of few ----
 *
 * vfork(2) copies the table of descriptors, and execve(2) closes nearly all of them again: with a
 * descriptor for each of ten thousand runs that takes longer than all the rest.  So a fleet's child
 * shares the table, and takes a copy of the lower end of it alone (close_range(2)).  What runs
 * keep open is moved above that (spawn_keep_high()), and what is passed on is opened below. */

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1) /* close_range(2); musl has no header of it */
#endif

#define LOW_DESCRIPTORS 64
#define FEW_RUNS        64 /* with whose descriptors vfork(2) is as fast, and valgrind knows it */
#define CHILD_STACK     32768

/* The address sanitizer knows one stack, and takes another one for an overflow. */
#ifdef __SANITIZE_ADDRESS__
#define ONE_STACK true
#else
#define ONE_STACK false
#endif

static int inherited_top = -1; /* the highest descriptor that was given to us; -1: unknown */

static _Alignas(16) char child_stack[CHILD_STACK] UNTOUCHED("child_stack");

struct split {
    const struct spawn *spawn;
    struct report *report;
};

static void find_top(long fd)
{
    int flags = fcntl((int)fd, F_GETFD);
    if (flags >= 0 && !(flags & FD_CLOEXEC) && fd > inherited_top)
        inherited_top = (int)fd;
}

/* There is nothing above the last descriptor, and nobody to share with: this only asks the kernel
 * whether it can. */
void spawn_open_fleet(void)
{
    inherited_top = -1;
    if (null_input < 0)
        null_input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (ONE_STACK || syscall(SYS_close_range, ~0u, ~0u, CLOSE_RANGE_UNSHARE) < 0)
        return;
    inherited_top = STDERR_FILENO;
    if (!procfs_numbers("/proc/self/fd", find_top))
        inherited_top = -1;
}

int spawn_keep_high(int fd)
{
    int high = inherited_top < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, LOW_DESCRIPTORS);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static int run_sharing_child(void *context)
{
    const struct split *both = context;
    int top = inherited_top > null_input ? inherited_top : null_input;
    for (size_t i = 0; i < both->spawn->pass_count; i++)
        top = both->spawn->passes[i].from > top ? both->spawn->passes[i].from : top;
    top = both->spawn->cgroup > top ? both->spawn->cgroup : top;
    if (syscall(SYS_close_range, (unsigned)top + 1, ~0u, CLOSE_RANGE_UNSHARE) < 0)
        fail(both->report, SPAWN_FORK, 0);
    run_child(both->spawn, both->report);
}

static pid_t split_sharing(const struct spawn *spawn, struct report *report)
{
    struct split both = {spawn, report};
    return clone(run_sharing_child, child_stack + sizeof child_stack,
                 CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, &both);
}

pid_t spawn_process(const struct spawn *spawn, kernel_sigset *early, struct spawn_failure *failure)
{
    struct report report = {.stage = SPAWN_FORK, .error = 0};
    stopped_early = 0;
    if (spawn->place == SPAWN_SHARE)
        let_keys_in();
    bool shares = inherited_top >= 0 && spawn->place == SPAWN_SESSION && runs_alive() >= FEW_RUNS;
    pid_t pid = shares ? split_sharing(spawn, &report) : split(spawn, &report);
    int fork_error = errno;
    if (spawn->place == SPAWN_SHARE)
        keep_keys_out();
    *early = report.early;
    if (pid > 0 && report.error == 0) {
        if (stopped_early != 0)
            kill(pid, stopped_early);
        return pid;
    }
    failure->stage = report.stage;
    failure->error = pid < 0 ? fork_error : report.error;
    failure->detail = report.detail;
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    return -1;
}

/* ---- sentences ---- */

/* ENOENT has two meanings: no such program, and a program whose interpreter or loader is missing.
 */
static const char *find_existing(const struct command *command)
{
    struct stat status;
    const char *path;
    for (int i = 0; (path = place_of(command, i)) != NULL; i++)
        if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
            return path;
    return NULL;
}

static struct ending explain_exec(const struct command *command,
                                  const struct spawn_failure *failure, char *sentence, size_t size)
{
    const struct ending not_found = {ENDING_NOT_STARTED, STATUS_NOT_FOUND};
    const struct ending not_executable = {ENDING_NOT_STARTED, STATUS_NOT_EXECUTABLE};
    const char *path = place_of(command, failure->detail);
    const char *existing = failure->error == ENOENT ? find_existing(command) : NULL;
    const char *reason = strerror(failure->error);
    struct stat status;
    if (command->name[0] == '\0') {
        snprintf(sentence, size, "cannot run '': the command is empty");
        return not_found;
    }
    if (failure->error == ENOENT && existing == NULL) {
        snprintf(sentence, size, "cannot run '%s': %s", command->name,
                 strchr(command->name, '/') ? reason : "no such command in PATH");
        return not_found;
    }
    if (existing != NULL) {
        path = existing;
        reason = "it is there, but the interpreter or loader that it names is not";
    } else if (failure->error == EACCES && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        reason = "it is a directory";
    } else if (failure->error == ENOEXEC) {
        reason = "it is no program for this system, and no script, which would begin with '#!'";
    }
    snprintf(sentence, size, "cannot run '%s': %s", path, reason);
    return not_executable;
}

static void explain_attribute(const struct spawn *spawn, const struct spawn_failure *failure,
                              char *sentence, size_t size)
{
    static const char *const limit_names[LIMIT_COUNT] = {
        [LIMIT_AS] = "as",
        [LIMIT_CORE] = "core",
        [LIMIT_CPU] = "cpu",
        [LIMIT_DATA] = "data",
        [LIMIT_FSIZE] = "fsize",
        [LIMIT_LOCKS] = "locks",
        [LIMIT_MEMLOCK] = "memlock",
        [LIMIT_MSGQUEUE] = "msgqueue",
        [LIMIT_NICE] = "nice",
        [LIMIT_NOFILE] = "nofile",
        [LIMIT_NPROC] = "nproc",
        [LIMIT_RSS] = "rss",
        [LIMIT_RTPRIO] = "rtprio",
        [LIMIT_RTTIME] = "rttime",
        [LIMIT_SIGPENDING] = "sigpending",
        [LIMIT_STACK] = "stack",
    };
    static const char *const verbs[] = {
        [SPAWN_FORK] = "create a process",
        [SPAWN_CGROUP] = "enter the cgroup",
        [SPAWN_NEW_SESSION] = "start a session",
        [SPAWN_NEW_GROUP] = "start a process group",
        [SPAWN_FOREGROUND] = "take the terminal's foreground",
        [SPAWN_STDIN] = "open /dev/null as standard input",
        [SPAWN_PASS] = "pass on descriptor",
        [SPAWN_LIMIT] = "set limit",
        [SPAWN_NICE] = "set nice",
        [SPAWN_OOM_SCORE] = "set oom-score-adjust",
        [SPAWN_GROUPS] = "set supplementary groups",
        [SPAWN_GID] = "become group",
        [SPAWN_UID] = "become user",
        [SPAWN_CWD] = "change to directory",
        [SPAWN_NO_NEW_PRIVILEGES] = "set no-new-privileges",
        [SPAWN_DEATH_SIGNAL] = "set worker-death-signal",
        [SPAWN_EXEC] = "run",
    };
    const struct plan_attributes *attributes = spawn->command->attributes;
    char number[16];
    const char *object = "";
    if (failure->stage == SPAWN_LIMIT)
        object = limit_names[failure->detail];
    else if (failure->stage == SPAWN_CWD)
        object = spawn_cwd(spawn);
    else if (failure->stage == SPAWN_PASS)
        object = (snprintf(number, sizeof number, "%d", failure->detail), number);
    else if (failure->stage == SPAWN_UID || failure->stage == SPAWN_GROUPS)
        object = attributes->user ? attributes->user : attributes->group;
    else if (failure->stage == SPAWN_GID)
        object = attributes->group ? attributes->group : attributes->user;
    snprintf(sentence, size, "cannot %s%s%s%s for '%s': %s", verbs[failure->stage],
             *object ? " '" : "", object, *object ? "'" : "", spawn->command->name,
             strerror(failure->error));
}

struct ending spawn_explain(const struct spawn *spawn, const struct spawn_failure *failure,
                            char *sentence, size_t size)
{
    if (failure->stage == SPAWN_EXEC)
        return explain_exec(spawn->command, failure, sentence, size);
    explain_attribute(spawn, failure, sentence, size);
    return (struct ending){ENDING_NOT_STARTED, STATUS_OWN_FAILURE};
}
