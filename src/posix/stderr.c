#include "posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008 /* pwritev2(2); musl's headers of this time do not have it */
#endif

/* Standard error is shared with the command and the shell, so O_NONBLOCK must not be set on it.
 * Each kind of file has its own way of not waiting. */

static bool write_when_ready(const char *line, size_t length)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
        return false;
    return write(STDERR_FILENO, line, length) == (ssize_t)length;
}

bool stderr_cannot_nowait(int error)
{
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == EPERM;
}

static bool write_pipe(const char *line, size_t length)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)line, .iov_len = length};
    long written = syscall(SYS_pwritev2, STDERR_FILENO, &part, 1, -1L, -1L, RWF_NOWAIT);
    if (written < 0 && stderr_cannot_nowait(errno))
        return write_when_ready(line, length); /* up to PIPE_BUF bytes go whole: pipe(7) */
    return written == (long)length;
}

bool platform_write_log(const char *line, size_t length)
{
    static struct stat status; /* it stays what it was */
    if (sink_comes_first())
        return sink_append(line, length);
    if (status.st_mode == 0 && fstat(STDERR_FILENO, &status) < 0)
        return false;
    if (S_ISFIFO(status.st_mode))
        return write_pipe(line, length);
    if (S_ISSOCK(status.st_mode))
        return send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
    if (S_ISREG(status.st_mode))
        return write(STDERR_FILENO, line, length) == (ssize_t)length;
    return write_when_ready(line, length);
}

enum plan_log_format platform_log_format(bool *terminal)
{
    const char *stream = getenv("JOURNAL_STREAM"); /* device:inode, systemd.exec(5) */
    struct stat status;
    unsigned long long device, inode;
    *terminal = false;
    if (fstat(STDERR_FILENO, &status) < 0)
        return LOG_TEXT;
    if (stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
        device == status.st_dev && inode == status.st_ino)
        return LOG_JOURNAL;
    *terminal = S_ISCHR(status.st_mode) && isatty(STDERR_FILENO) && getenv("NO_COLOR") == NULL;
    return LOG_TEXT;
}

#ifdef AIORUN_COVERAGE
void __gcov_dump(void); /* of libgcov: what exit(3) would have written */
#define write_coverage __gcov_dump
#else
static void write_coverage(void)
{
}
#endif

/* _exit(2); not looked up for this: see passed_receive(). */
_Noreturn static void leave(uint32_t status)
{
    for (;;)
        syscall(SYS_exit_group, status);
}

_Noreturn void platform_leave(struct ending end)
{
    int signal_number = (int)end.value;
    write_coverage();
    if (end.kind != ENDING_KILLED)
        leave(end.value);
    if (inherited.pid != 1) {
        /* One core file is enough: the command has written it. */
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        signal(signal_number, SIG_DFL);
        kill(inherited.pid, signal_number);
        signals_set_mask(~((kernel_sigset)1 << (signal_number - 1)));
    }
    leave(STATUS_SIGNAL_BASE + end.value);
}
