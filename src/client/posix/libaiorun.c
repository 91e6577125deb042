#include "client/library.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- the descriptor ---- */

/* Is `fd` the socket that `id`, DEVICE:INODE, says?  A script may have made it its lock file. */
static bool is_pipe(int fd, const char *id)
{
    number device, inode;
    struct stat status;
    if (!read_number(&id, NUMBER_MAX, &device) || *id++ != ':' ||
        !read_number(&id, NUMBER_MAX, &inode) || *id != '\0')
        return false;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_dev == device &&
           status.st_ino == inode;
}

int aiorun_fd(void)
{
    const char *fd = getenv("AIORUN_CONTROL_FD");
    const char *id = getenv("AIORUN_CONTROL_ID");
    int saved = errno;
    number value;
    if (fd == NULL || id == NULL || !read_number(&fd, INT_MAX, &value) || *fd != '\0')
        return -1;
    bool found = is_pipe((int)value, id);
    errno = saved;
    return found ? (int)value : -1;
}

int aiorun_available(void)
{
    return aiorun_fd() >= 0;
}

/* ---- lines to send ---- */

/* Sends a whole line, or nothing of it.  A line is so short that the kernel never takes a part
 * (unix(7)); should it do so, then the rest is waited for. */
static int send_line(int fd, const char *text, size_t length)
{
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    while (length > 0) {
        ssize_t sent = send(fd, text, length, flags);
        if (sent < 0 && errno != EINTR) {
            if (errno == ECONNRESET || errno == ENOTCONN)
                errno = EPIPE;
            return -1;
        }
        if (sent > 0) {
            text += sent;
            length -= (size_t)sent;
            flags = MSG_NOSIGNAL;
        }
    }
    return 0;
}

static int pipe_send(const char *text, size_t length)
{
    int fd = aiorun_fd();
    return fd < 0 ? 0 : send_line(fd, text, length);
}

/* ---- lines received ---- */

static ssize_t receive(int fd, char *buffer, size_t size, int flags)
{
    ssize_t count;
    do
        count = recv(fd, buffer, size, flags | MSG_DONTWAIT);
    while (count < 0 && errno == EINTR);
    if (count == 0 || (count < 0 && errno == ECONNRESET)) {
        errno = EPIPE;
        return -1;
    }
    return count;
}

int aiorun_receive(struct aiorun_order *order)
{
    char line[LINE_MAX_BYTES];
    int fd = aiorun_fd();
    int saved = errno;
    if (fd < 0)
        return 0;
    for (;;) {
        ssize_t count = receive(fd, line, sizeof line, MSG_PEEK);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            errno = saved;
            return 0;
        }
        if (count < 0)
            return -1;
        const char *newline = memchr(line, '\n', (size_t)count);
        if (newline == NULL && (size_t)count < sizeof line)
            return 0; /* the rest is on its way */
        /* A line that is too long goes piece by piece, and none of them is understood. */
        count = newline != NULL ? newline - line + 1 : count;
        if (receive(fd, line, (size_t)count, 0) < 0)
            return -1;
        line[count - 1] = '\0';
        if (newline != NULL && understand(line, order))
            return 1;
    }
}
