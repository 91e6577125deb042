#include "posix/posix.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04 /* unix(7); headers of this time do not have it */
#endif

#define DESCRIPTORS_KEPT 32 /* for starts: who sends us some gets none; half of ours at most */

static struct passed *current; /* with the line that is being reported */

/* A socket that lingers would keep us waiting for whoever is at its other end (socket(7)). */
void passed_close_fd(int fd)
{
    const struct linger none = {0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

void passed_close(struct passed *passed)
{
    for (uint32_t i = 0; i < passed->count; i++)
        if (passed->fds[i] >= 0)
            passed_close_fd(passed->fds[i]);
    passed->count = 0;
}

struct passed *passed_now(void)
{
    return current;
}

const char *passed_fault(uint32_t count, const char *fault)
{
    const struct passed *passed = current;
    if (passed != NULL && passed->count == count)
        return NULL;
    return passed != NULL && passed->scarce ? "too few descriptors are left to take it" : fault;
}

void passed_set(struct passed *passed)
{
    current = passed;
}

/* The sender's pidfd, which the kernel adds where a socket of its own is told to (SO_PASSPIDFD,
 * unix(7)). */
static void close_pidfd(struct cmsghdr *part)
{
    int fd;
    memcpy(&fd, CMSG_DATA(part), sizeof fd);
    if (fd >= 0)
        close(fd);
}

bool passed_fd_is_scarce(int fd)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    rlim_t half = limit.rlim_cur / 2, kept = half < DESCRIPTORS_KEPT ? half : DESCRIPTORS_KEPT;
    return (rlim_t)fd >= limit.rlim_cur - kept;
}

/* What comes later replaces what nobody took.  Of more than there is room for none is good: nobody
 * could tell which ones were lost. */
static void take_passed(struct msghdr *header, struct passed *passed)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_PIDFD)
            close_pidfd(part);
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        passed_close(passed);
        passed->count = (uint32_t)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(passed->fds, CMSG_DATA(part), passed->count * sizeof(int));
        passed->scarce = false;
        for (uint32_t i = 0; i < passed->count; i++)
            passed->scarce = passed->scarce || passed_fd_is_scarce(passed->fds[i]);
    }
    if (passed->scarce)
        passed_close(passed);
    if (header->msg_flags & MSG_CTRUNC)
        passed_close(passed);
}

ssize_t passed_receive(int fd, char *bytes, size_t size, struct passed *passed)
{
    union {
        struct cmsghdr alignment;
        char room[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
    } control;
    struct iovec vector = {.iov_base = bytes, .iov_len = size};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    /* Not recvmsg(2): mostly it would be looked up in the C library, which takes longer than the
     * call, when a run has ended and somebody waits for it. */
    ssize_t count = syscall(SYS_recvmsg, fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count > 0)
        take_passed(&header, passed);
    return count;
}
