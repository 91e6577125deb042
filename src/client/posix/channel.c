#include "client/aiorun.h"
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 4 /* that go with a line */

int keep_away(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int saved = errno;
    close(fd);
    errno = saved;
    return moved;
}

/* Waits until `fd` is ready for `events`. */
static enum channel_result wait_for(int fd, short events, int interrupt)
{
    struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = interrupt, .events = POLLIN}};
    int ready;
    do
        ready = poll(polled, 2, -1);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return CHANNEL_FAILED;
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
        enum channel_result result = wait_for(fd, POLLOUT, interrupt);
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
    channel->fd = -1;
    channel->interrupt = interrupt;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return CHANNEL_FAILED;
    channel->fd = keep_away(ends[0]);
    ends[1] = keep_away(ends[1]);
    enum channel_result result = CHANNEL_FAILED;
    if (channel->fd >= 0 && ends[1] >= 0)
        result = send_line(aiorun_fd(), interrupt, attach, strlen(attach), &ends[1], 1);
    int saved = errno;
    if (ends[1] >= 0)
        close(ends[1]);
    errno = saved;
    return result;
}

enum channel_result channel_send(struct channel *channel, const char *line, size_t length,
                                 const int *fds, size_t count)
{
    return send_line(channel->fd, channel->interrupt, line, length, fds, count);
}

static enum channel_result fill(struct channel *channel)
{
    enum channel_result result = wait_for(channel->fd, POLLIN, channel->interrupt);
    if (result != CHANNEL_DONE)
        return result;
    ssize_t count;
    do
        count = recv(channel->fd, channel->bytes, sizeof channel->bytes, 0);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return count == 0 ? CHANNEL_CLOSED : judge();
    channel->start = 0;
    channel->end = (size_t)count;
    return CHANNEL_DONE;
}

enum channel_result channel_read(struct channel *channel, struct control_reply *reply)
{
    for (;;) {
        const char *fault;
        size_t taken = 0;
        if (channel->start == channel->end) {
            enum channel_result result = fill(channel);
            if (result != CHANNEL_DONE)
                return result;
        }
        enum control_read got = control_read(&channel->reader, channel->bytes + channel->start,
                                             channel->end - channel->start, &taken);
        channel->start += taken;
        if (got == CONTROL_READ_LINE && control_parse_reply(channel->reader.line, reply, &fault))
            return CHANNEL_DONE;
    }
}

bool channel_complain(enum channel_result result, const struct verb *verb)
{
    switch (result) {
    case CHANNEL_CLOSED:
        fail(verb, "the supervisor does not answer: it is gone, or has closed the channel");
        break;
    case CHANNEL_FAILED:
        fail(verb, "cannot talk to the supervisor: %s", strerror(errno));
        break;
    case CHANNEL_DONE:
    case CHANNEL_INTERRUPTED:
        break;
    }
    return false;
}

bool channel_expect_ok(struct channel *channel, const struct verb *verb)
{
    struct control_reply reply;
    enum channel_result result = channel_read(channel, &reply);
    if (result != CHANNEL_DONE)
        return channel_complain(result, verb);
    switch (reply.answer) {
    case ANSWER_OK:
        return true;
    case ANSWER_ERROR:
        fail(verb, "the supervisor refuses: %s", reply.text);
        return false;
    case ANSWER_EXITED:
    case ANSWER_KILLED:
    case ANSWER_FAILED:
    case ANSWER_DROPPED:
        break;
    }
    fail(verb, "the supervisor tells of an end before it has accepted anything");
    return false;
}

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    channel->fd = -1;
}
