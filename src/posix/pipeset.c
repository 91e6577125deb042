#include "posix/posix.h"

#include <errno.h>
#include <ev.h>
#include <sys/epoll.h>
#include <unistd.h>

/* An epoll(7) set of our own, which libev sees as one descriptor.  It costs a pipe one system call
 * and nothing of our memory; and what the kernel refuses is known at once, while libev would tell
 * after its next wait.  Each is told of once, and put in again when it was read: a child that is
 * about to become its program still has what we have closed meanwhile, and an end would be told for
 * as long as that takes. */

#define READY_AT_A_TIME 64

static struct {
    ev_io io;
    bool open;
} set;

static void on_set(struct ev_loop *loop, ev_io *watcher, int events)
{
    struct epoll_event ready[READY_AT_A_TIME];
    (void)loop;
    if (events & EV_ERROR)
        loop_watch_again(watcher);
    int count = epoll_wait(watcher->fd, ready, READY_AT_A_TIME, 0);
    bool ended = false;
    for (int i = 0; i < count; i++)
        ended |= channel_readable((uint32_t)ready[i].data.u64, (uint32_t)(ready[i].data.u64 >> 32));
    /* Who ends closes the pipe just before it is a child that has ended. */
    if (ended)
        loop_take_signals();
}

static bool open_set(void)
{
    int fd = set.open ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (fd >= 0) {
        set.open = true;
        ev_io_init(&set.io, on_set, fd, EV_READ);
        loop_watch(&set.io);
    }
    return set.open;
}

static bool change(int operation, int fd, uint32_t index, uint32_t generation)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT,
                                .data.u64 = (uint64_t)generation << 32 | index};
    return epoll_ctl(set.io.fd, operation, fd, &event) == 0;
}

bool pipeset_add(int fd, uint32_t index, uint32_t generation)
{
    return open_set() && change(EPOLL_CTL_ADD, fd, index, generation);
}

void pipeset_remove(int fd)
{
    epoll_ctl(set.io.fd, EPOLL_CTL_DEL, fd, NULL);
}

void pipeset_again(int fd, uint32_t index, uint32_t generation)
{
    /* Linux needs no memory for one that it has.  Whatever does: busy until there is some, but
     * never deaf. */
    while (!change(EPOLL_CTL_MOD, fd, index, generation) && errno == ENOMEM)
        ;
}
