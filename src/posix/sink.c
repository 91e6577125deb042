#include "posix/posix.h"
#include "report/log.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008 /* pwritev2(2); musl's headers of this time do not have it */
#endif

#define SINK_SIZE    ((size_t)512 << 10)
#define TERMINAL_BIT 256 /* bytes that a terminal takes when poll(2) says that it takes any */

/* What workers write is collected here as whole lines, and goes out when the loop has nothing else
 * to do.  The descriptor is shared with commands and the shell, so O_NONBLOCK must not be set on
 * it: each kind of file has its own way of not waiting. */
enum way {
    WAY_WRITE,  /* a file; or opened anew, by us alone, so that it does not wait */
    WAY_NOWAIT, /* a pipe */
    WAY_SEND,   /* a socket */
    WAY_POLL,   /* what is none of these, and a pipe of an old kernel */
};

static struct {
    struct ev_loop *loop;
    ev_io writable;
    ev_prepare before_waiting;
    void (*drained)(void);
    char *bytes; /* NULL: not open */
    size_t at, end;
    int fd;
    enum way way;
    size_t at_a_time; /* WAY_POLL */
    bool full, broken;
    bool is_stderr; /* so is log_line()'s */
} sink;

/* ---- opening ---- */

static void choose_way(const struct stat *status)
{
    char path[32];
    sink.way = WAY_POLL;
    sink.at_a_time = TERMINAL_BIT;
    if (S_ISREG(status->st_mode)) {
        sink.way = WAY_WRITE;
    } else if (S_ISSOCK(status->st_mode)) {
        sink.way = WAY_SEND;
    } else if (S_ISFIFO(status->st_mode)) {
        sink.way = WAY_NOWAIT;
        sink.at_a_time = PIPE_BUF;
    } else {
        snprintf(path, sizeof path, "/proc/self/fd/%d", sink.fd);
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        sink.way = fd >= 0 ? WAY_WRITE : WAY_POLL;
        sink.fd = fd >= 0 ? fd : sink.fd;
    }
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    if (sink_flush())
        sink.drained();
}

static void on_before_waiting(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    if (!sink.full)
        sink_flush();
}

bool sink_open(struct ev_loop *loop, int fd, void (*drained)(void))
{
    struct stat status, log_status;
    if (sink.bytes != NULL)
        return true;
    sink.loop = loop;
    sink.drained = drained;
    sink.fd = fd;
    sink.bytes = malloc(SINK_SIZE);
    if (sink.bytes == NULL)
        return false;
    sink.broken = fstat(fd, &status) < 0;
    sink.is_stderr = !sink.broken && fstat(STDERR_FILENO, &log_status) == 0 &&
                     log_status.st_dev == status.st_dev && log_status.st_ino == status.st_ino;
    if (!sink.broken)
        choose_way(&status);
    ev_io_init(&sink.writable, on_writable, sink.fd, EV_WRITE);
    ev_prepare_init(&sink.before_waiting, on_before_waiting);
    ev_prepare_start(loop, &sink.before_waiting);
    return true;
}

/* ---- writing ---- */

static ssize_t write_when_ready(size_t length)
{
    struct pollfd ready = {.fd = sink.fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1) {
        errno = EAGAIN;
        return -1;
    }
    return write(sink.fd, sink.bytes + sink.at, length < sink.at_a_time ? length : sink.at_a_time);
}

static ssize_t write_some(void)
{
    size_t length = sink.end - sink.at;
    struct iovec part = {.iov_base = sink.bytes + sink.at, .iov_len = length};
    ssize_t written = -1;
    switch (sink.way) {
    case WAY_WRITE:
        return write(sink.fd, part.iov_base, length);
    case WAY_SEND:
        return send(sink.fd, part.iov_base, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case WAY_NOWAIT:
        written = (ssize_t)syscall(SYS_pwritev2, sink.fd, &part, 1, -1L, -1L, RWF_NOWAIT);
        if (written >= 0 || !stderr_cannot_nowait(errno))
            return written;
        sink.way = WAY_POLL;
        break;
    case WAY_POLL:
        break;
    }
    return write_when_ready(length);
}

static void give_up(int error)
{
    sink.broken = true;
    if (!sink.is_stderr)
        log_line(LEVEL_WARNING, "cannot write to standard output: %s; what workers write is lost",
                 strerror(error));
}

bool sink_flush(void)
{
    bool waits = false;
    while (sink.at < sink.end && !sink.broken && !waits) {
        ssize_t written = write_some();
        if (written >= 0)
            sink.at += (size_t)written;
        else if (errno == EAGAIN)
            waits = true;
        else if (errno != EINTR)
            give_up(errno);
    }
    if (waits != sink.full) {
        sink.full = waits;
        if (waits)
            loop_watch(&sink.writable);
        else
            ev_io_stop(sink.loop, &sink.writable);
    }
    if (!waits)
        sink.at = sink.end = 0;
    return !waits;
}

char *platform_output_room(size_t size)
{
    assert(size <= SINK_SIZE);
    if (SINK_SIZE - sink.end < size && (sink.full || !sink_flush()))
        return NULL;
    return sink.bytes + sink.end;
}

void platform_output_add(size_t size)
{
    sink.end += size;
}

bool sink_comes_first(void)
{
    return sink.bytes != NULL && sink.is_stderr && sink.at < sink.end;
}

bool sink_append(const char *line, size_t length)
{
    if (SINK_SIZE - sink.end < length)
        return false;
    memcpy(sink.bytes + sink.end, line, length);
    sink.end += length;
    return true;
}

bool sink_wait(msec until)
{
    while (!sink_flush()) {
        msec rest = until - platform_now();
        struct pollfd ready = {.fd = sink.fd, .events = POLLOUT};
        if (rest <= 0)
            return false;
        poll(&ready, 1, (int)rest);
    }
    return true;
}

void sink_close(void)
{
    if (sink.bytes == NULL)
        return;
    ev_io_stop(sink.loop, &sink.writable);
    ev_prepare_stop(sink.loop, &sink.before_waiting);
    free(sink.bytes);
    sink.bytes = NULL;
}
