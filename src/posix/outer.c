#include "posix/posix.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int outer_fd = -1;

static struct {
    struct supervisor *supervisor;
    ev_io io;
    ev_timer wait;
    struct control_reader reader;
} outer UNTOUCHED("outer");

/* Its signal follows its message, unless we are shielded there, and says more: which one to pass
 * on.
 */
#define OUTER_WAIT 0.05 /* s */
#define READ_SIZE  1024

static void on_outer_waited(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
    supervisor_outer_shutdown(outer.supervisor);
}

static void on_outer(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct control_order_message order;
    const char *fault;
    char bytes[READ_SIZE], *next = bytes;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    ssize_t count = recv(watcher->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0)
        ev_io_stop(loop, watcher);
    while (count > 0) {
        size_t taken;
        struct control_reader *reader = &outer.reader;
        enum control_read result = control_read(reader, next, (size_t)count, &taken);
        next += taken;
        count -= (ssize_t)taken;
        if (result != CONTROL_READ_LINE || !control_parse_order(reader->line, &order, &fault))
            continue;
        switch (order.order) {
        case ORDER_SHUTDOWN:
            supervisor_outer_limit(outer.supervisor, order.time);
            ev_timer_start(loop, &outer.wait);
            break;
        case ORDER_RELOAD:
            supervisor_outer_reload(outer.supervisor);
            break;
        }
    }
}

/* Its number is whatever somebody has chosen (--control-fd): ours are to stand close together, see
 * platform_release(). */
static int move_down(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (moved >= 0)
        close(fd);
    else
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return moved >= 0 ? moved : fd;
}

/* The descriptor counts only if it still is the one that was meant for us: a script may have used
 * its number for something else. */
void outer_open(void)
{
    const char *number = getenv("AIORUN_CONTROL_FD");
    const char *identity = getenv("AIORUN_CONTROL_ID");
    unsigned long long device, inode;
    struct stat status;
    int fd = number != NULL ? (int)strtol(number, NULL, 10) : -1;
    if (fd < 3 || identity == NULL || sscanf(identity, "%llu:%llu", &device, &inode) != 2 ||
        fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode) || status.st_dev != device ||
        status.st_ino != inode)
        return;
    outer_fd = move_down(fd);
}

bool outer_is_there(void)
{
    return outer_fd >= 0;
}

void outer_watch(struct supervisor *supervisor)
{
    if (outer_fd < 0)
        return;
    outer.supervisor = supervisor;
    ev_timer_init(&outer.wait, on_outer_waited, OUTER_WAIT, 0);
    ev_io_init(&outer.io, on_outer, outer_fd, EV_READ);
    loop_watch(&outer.io);
}

bool platform_tell_outer(const char *line, size_t length)
{
    bool waits = !channel_write(outer_fd, line, length) && errno == EAGAIN;
    return !waits;
}
