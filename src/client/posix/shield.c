/* `aiorun shield`: two processes.  The job, in a session of its own, is what the supervisor waits
 * for; the wrapper, in the caller's process group, stands for it there, until a signal ends the
 * wrapper or the job has ended. */
#include "client/aiorun.h"
#include "client/posix/posix.h"
#include "core/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define SIGNALS_AT_A_TIME 16

struct job {
    const char *name; /* of the shield */
    char **command;
    pid_t pid;
    int link;  /* to the job, until it execs */
    int error; /* why it did not: errno; below 0: that of opening /dev/null */
};

/* ---- the job ---- */

/* Over the link the job says an int: 0 when it is there, and another one only when it fails.  The
 * wrapper says one byte: go. */

static void report(int link, int error)
{
    send(link, &error, sizeof error, MSG_NOSIGNAL);
}

_Noreturn static void give_up(int link, int error)
{
    report(link, error);
    _exit(STATUS_OWN_FAILURE);
}

static ssize_t receive(int fd, void *buffer, size_t size, int flags)
{
    ssize_t count;
    do
        count = recv(fd, buffer, size, flags);
    while (count < 0 && errno == EINTR);
    return count;
}

/* Neither the terminal's keys nor its hangup, nor a kill of the caller's group, reaches the job;
 * and it must not stop for reading a terminal that is no longer its own. */
static void leave_terminal(int link)
{
    setsid();
    if (!isatty(STDIN_FILENO))
        return;
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        give_up(link, -errno);
    close(null);
}

/* As aiorun itself starts commands: in PATH as execvp(3) does, but without its fallback to a shell.
 * Returns with errno. */
static void execute(char **command)
{
    char place[PATH_MAX];
    const char *path = getenv("PATH");
    int error = ENOENT;
    if (command[0][0] == '\0' || strchr(command[0], '/') != NULL) {
        execv(command[0], command);
        return;
    }
    if (path == NULL)
        path = "/usr/local/bin:/usr/bin:/bin";
    for (size_t length; path != NULL; path = path[length] == ':' ? path + length + 1 : NULL) {
        length = strcspn(path, ":"); /* an empty entry is the current directory */
        int size = snprintf(place, sizeof place, "%.*s%s%s", (int)length, path,
                            length > 0 ? "/" : "", command[0]);
        errno = ENOENT;
        if (size < (int)sizeof place)
            execv(place, command);
        if (errno == EACCES)
            error = EACCES;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return;
    }
    errno = error;
}

_Noreturn static void become_job(int link, char **command)
{
    char go;
    leave_terminal(link);
    report(link, 0);
    if (receive(link, &go, sizeof go, 0) != sizeof go)
        _exit(STATUS_OWN_FAILURE); /* refused, or the wrapper is gone */
    held_give_back();
    execute(command);
    give_up(link, errno);
}

/* Takes in what the job says next. */
static void hear(struct job *job, int flags)
{
    int error;
    if (receive(job->link, &error, sizeof error, flags) == (ssize_t)sizeof error)
        job->error = error;
}

/* Starts the job, which waits; false with errno. */
static bool start(struct job *job)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    ends[0] = descriptor_keep_away(ends[0]);
    ends[1] = descriptor_keep_away(ends[1]);
    if (ends[0] < 0 || ends[1] < 0)
        return false;
    job->pid = fork();
    if (job->pid < 0)
        return false;
    if (job->pid == 0) {
        close(ends[0]);
        become_job(ends[1], job->command);
    }
    close(ends[1]);
    job->link = ends[0];
    hear(job, 0); /* the supervisor must not see it before it is in its own session */
    return true;
}

/* ---- the wrapper ---- */

/* Has the supervisor shield the job; false with a complaint, or silently when interrupted. */
static bool claim(struct channel *channel, const struct verb *verb, const struct job *job,
                  const msec *deadline)
{
    struct control_message message = {.verb = CONTROL_JOB, .name = job->name};
    char line[CONTROL_LINE_MAX];
    message.has_time = deadline != NULL;
    message.time = deadline != NULL ? *deadline : 0;
    size_t length = control_format(line, &message);

    enum channel_result result = channel_attach(channel, channel->interrupt);
    if (result != CHANNEL_DONE)
        return channel_complain(channel, result, verb);
    if (!channel_expect_ok(channel, verb))
        return false;
    int pidfd = descriptor_keep_away((int)syscall(SYS_pidfd_open, job->pid, 0));
    if (pidfd < 0) {
        fail(verb, "cannot open a pidfd of the job: %s", strerror(errno));
        return false;
    }
    result = channel_send_with(channel, line, length, &pidfd, 1);
    close(pidfd);
    if (result != CHANNEL_DONE)
        return channel_complain(channel, result, verb);
    return channel_expect_ok(channel, verb);
}

/* Dies of the ending signal that is waiting, if one is. */
static void obey_ending(int signals)
{
    struct signalfd_siginfo arrived;
    if (read(signals, &arrived, sizeof arrived) == (ssize_t)sizeof arrived)
        die_of((int)arrived.ssi_signo);
}

/* Until the shield stands only the signals that end us are looked at: the others wait for the job.
 */
static bool shield(const struct verb *verb, const struct job *job, const msec *deadline)
{
    struct channel channel = {.link = -1};
    channel.interrupt = held_open_ending();
    if (channel.interrupt < 0) {
        fail(verb, "cannot read signals: %s", strerror(errno));
        return false;
    }
    bool claimed = claim(&channel, verb, job, deadline);
    obey_ending(channel.interrupt);
    channel_close(&channel);
    close(channel.interrupt);
    return claimed;
}

static void let_go(const struct job *job)
{
    char go = 1;
    send(job->link, &go, sizeof go, MSG_NOSIGNAL);
    /* Whoever reads or writes the other ends shall see when the job closes them. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
}

/* Reads the signals that have come; true when the job may have ended. */
static bool read_signals(int signals, const struct job *job)
{
    struct signalfd_siginfo arrived[SIGNALS_AT_A_TIME];
    bool child_ended = false;
    ssize_t length = read(signals, arrived, sizeof arrived);
    for (size_t i = 0; length > 0 && i < (size_t)length / sizeof arrived[0]; i++) {
        if (arrived[i].ssi_signo == SIGCHLD)
            child_ended = true;
        else
            held_obey(&arrived[i], job->pid);
    }
    return child_ended;
}

/* Waits for the job's end and returns its status (waitpid(2)). */
static int look_after(int signals, const struct job *job)
{
    struct pollfd polled = {.fd = signals, .events = POLLIN};
    int status = 0;
    while (waitpid(job->pid, &status, WNOHANG) == 0) {
        do
            while (poll(&polled, 1, -1) < 0 && errno == EINTR)
                ;
        while (!read_signals(signals, job));
    }
    return status;
}

static int fail_to_run(const struct verb *verb, const struct job *job)
{
    const char *program = job->command[0];
    bool in_path = job->error == ENOENT && strchr(program, '/') == NULL;
    if (job->error < 0)
        return fail(verb, "cannot open /dev/null as standard input for '%s': %s", program,
                    strerror(-job->error));
    const char *why = in_path                 ? "no such command in PATH"
                      : job->error == ENOEXEC ? "it is no program for this system, and no script, "
                                                "which would begin with '#!'"
                                              : strerror(job->error);
    fail(verb, "cannot run '%s': %s", program, why);
    return job->error == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
}

/* Ends as the job did. */
static int tell_end(const struct verb *verb, struct job *job, int status)
{
    hear(job, MSG_DONTWAIT);
    if (job->error != 0)
        return fail_to_run(verb, job);
    if (WIFSIGNALED(status))
        die_of(WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int run(const struct verb *verb, struct job *job, const msec *deadline)
{
    int status;
    int signals = held_open();
    if (signals < 0)
        return fail(verb, "cannot read signals: %s", strerror(errno));
    if (!start(job))
        return fail(verb, "cannot create a process: %s", strerror(errno));
    if (!aiorun_available()) {
        complain(verb, LEVEL_WARNING, "there is no aiorun above: '%s' runs without a shield",
                 job->command[0]);
    } else if (!shield(verb, job, deadline)) {
        close(job->link);
        waitpid(job->pid, &status, 0);
        return STATUS_OWN_FAILURE;
    }
    let_go(job);
    return tell_end(verb, job, look_after(signals, job));
}

int shield_command(const struct arguments *arguments, const char *name, const msec *deadline)
{
    struct job job = {.name = name, .command = arguments->rest};
    return run(arguments->verb, &job, deadline);
}
