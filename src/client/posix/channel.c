#include "client/aiorun.h"
#include "client/posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4 /* that go with a line */

/* Waits until `fd` is ready for `events`, for `within` milliseconds (-1: for ever). */
static enum channel_result wait_for(int fd, short events, int interrupt, int within)
{
    struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = interrupt, .events = POLLIN}};
    int ready;
    do
        ready = poll(polled, 2, within);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return CHANNEL_FAILED;
    if (ready == 0)
        return CHANNEL_SILENT;
    return polled[1].revents != 0 ? CHANNEL_INTERRUPTED : CHANNEL_DONE;
}

/* What errno means for a channel. */
static enum channel_result judge(void)
{
    bool closed = errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN;
    return closed ? CHANNEL_CLOSED : CHANNEL_FAILED;
}

/* Puts the descriptors where sendmsg(2) looks for them; `control` is aligned for it. */
static void enclose(struct msghdr *message, char *control, const int *fds, size_t count)
{
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(count * sizeof *fds);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
}

/* The kernel takes a line of this length whole or not at all (unix(7)), and with its descriptors.
 */
static enum channel_result send_line(int fd, int interrupt, const char *line, size_t length,
                                     const int *fds, size_t count)
{
    union {
        struct cmsghdr alignment;
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof *fds)];
    } control = {.space = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)line, .iov_len = length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0)
        enclose(&message, control.space, fds, count);
    for (;;) {
        if (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return CHANNEL_DONE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return judge();
        enum channel_result result = wait_for(fd, POLLOUT, interrupt, -1);
        if (result != CHANNEL_DONE)
            return result;
    }
}

enum channel_result channel_say(const char *line, size_t length)
{
    return send_line(aiorun_fd(), -1, line, length, NULL, 0);
}

enum channel_result channel_attach(struct channel *channel, int interrupt)
{
    static const char attach[] = "attach\n";
    int ends[2];
    memset(channel, 0, sizeof *channel);
    channel->link = -1;
    channel->interrupt = interrupt;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return CHANNEL_FAILED;
    channel->link = descriptor_keep_away(ends[0]);
    ends[1] = descriptor_keep_away(ends[1]);
    enum channel_result result = CHANNEL_FAILED;
    if (channel->link >= 0 && ends[1] >= 0)
        result = send_line(aiorun_fd(), interrupt, attach, strlen(attach), &ends[1], 1);
    int saved = errno;
    if (ends[1] >= 0)
        close(ends[1]);
    errno = saved;
    return result;
}

enum channel_result channel_send_with(struct channel *channel, const char *line, size_t length,
                                      const int *fds, size_t count)
{
    return send_line((int)channel->link, channel->interrupt, line, length, fds, count);
}

enum channel_result channel_send(struct channel *channel, const char *line, size_t length)
{
    return channel_send_with(channel, line, length, NULL, 0);
}

/* Has the other end read all that we have sent?  Of a UNIX socket this counts what still waits
 * there; a kernel that does not know says so of everything. */
static bool is_taken(const struct channel *channel)
{
    int waiting = 0;
    return ioctl((int)channel->link, TIOCOUTQ, &waiting) < 0 || waiting == 0;
}

static enum channel_result wait_for_answer(struct channel *channel)
{
    for (;;) {
        int within = channel->patience == PATIENCE_ENDLESS ? -1 : (int)ANSWER_WITHIN;
        enum channel_result result =
            wait_for((int)channel->link, POLLIN, channel->interrupt, within);
        if (result != CHANNEL_SILENT)
            return result;
        channel->silent = channel->patience == PATIENCE_ANSWERED || !is_taken(channel);
        if (channel->silent)
            return CHANNEL_SILENT;
        channel->patience = PATIENCE_ENDLESS;
    }
}

enum channel_result channel_take(struct channel *channel, char *buffer, size_t size, size_t *count)
{
    enum channel_result result = wait_for_answer(channel);
    if (result != CHANNEL_DONE)
        return result;
    ssize_t received;
    do
        received = recv((int)channel->link, buffer, size, 0);
    while (received < 0 && errno == EINTR);
    if (received <= 0)
        return received == 0 ? CHANNEL_CLOSED : judge();
    *count = (size_t)received;
    return CHANNEL_DONE;
}

void channel_close(struct channel *channel)
{
    if (channel->link >= 0)
        close((int)channel->link);
    channel->link = -1;
}

/* proc(5); '?': unknown. */
static char state_of(pid_t pid)
{
    char path[32], text[256];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *name = strrchr(text, ')'); /* it may hold anything */
    return name != NULL && name[1] == ' ' ? name[2] : '?';
}

void channel_look(const struct channel *channel, struct channel_peer *peer)
{
    struct ucred listener;
    socklen_t size = sizeof listener;
    *peer = (struct channel_peer){.state = ""};
    bool known = getsockopt((int)channel->link, SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 &&
                 listener.pid > 0; /* 0: it is outside our namespace */
    if (!known)
        return;
    snprintf(peer->whom, sizeof peer->whom, " (pid %ld)", (long)listener.pid);
    char state = state_of(listener.pid);
    if (state == 'T' || state == 't')
        peer->state = ": it is stopped";
}

/* ---- the control pipe ---- */

bool channel_is_named(void)
{
    return getenv("AIORUN_CONTROL_FD") != NULL;
}

int fail_without_pipe(const struct verb *verb)
{
    const char *fd = getenv("AIORUN_CONTROL_FD");
    if (fd == NULL)
        return fail(verb, "there is no aiorun above: AIORUN_CONTROL_FD is not set");
    return fail(verb, "descriptor %s is not the control pipe: it was closed, or used otherwise",
                fd);
}
