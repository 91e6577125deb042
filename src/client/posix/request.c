/* The request of `aiorun submit`: a memfd, and the standard streams. */
#include "client/posix/posix.h"
#include "protocol/submission.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

enum { REQUEST, STANDARD_STREAMS, DESCRIPTORS = STANDARD_STREAMS + 3 };

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return true;
}

/* A memfd that holds the bytes; -1 with errno. */
static int keep_in_memory(const char *bytes, size_t size)
{
    int fd = descriptor_keep_away(memfd_create("aiorun-submit", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return -1;
    if (!write_all(fd, bytes, size)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    /* So that the supervisor reads what it has checked; it does not rely on it. */
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

/* The request as a descriptor; -1 with a complaint. */
static int write_request(const struct arguments *arguments)
{
    const struct verb *verb = arguments->verb;
    int fd = -1;
    char *bytes = NULL;
    char *cwd = getcwd(NULL, 0);
    if (cwd == NULL) {
        fail(verb, "cannot tell the directory we are in: %s", strerror(errno));
        return -1;
    }
    size_t size = submission_write(NULL, cwd, arguments->rest, environ);
    if (size == 0)
        fail(verb, "the directory '%s' cannot be reached from here", cwd);
    else if (size > SUBMISSION_MAX)
        fail(verb, "the command and its environment have %zu bytes, and %lu are allowed", size,
             SUBMISSION_MAX);
    else if ((bytes = malloc(size)) == NULL)
        fail(verb, "out of memory");
    if (bytes != NULL) {
        submission_write(bytes, cwd, arguments->rest, environ);
        fd = keep_in_memory(bytes, size);
        if (fd < 0)
            fail(verb, "cannot keep the request in memory: %s", strerror(errno));
    }
    free(bytes);
    free(cwd);
    return fd;
}

/* The standard streams; /dev/null where one is closed.  False with a complaint. */
static bool take_streams(const struct verb *verb, int *fds)
{
    for (int i = 0; i < 3; i++) {
        fds[i] = i;
        if (fcntl(i, F_GETFD) >= 0)
            continue;
        fds[i] = descriptor_keep_away(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (fds[i] < 0) {
            fail(verb, "cannot open /dev/null: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

static int passed[DESCRIPTORS];

bool request_prepare(const struct arguments *arguments)
{
    passed[REQUEST] = write_request(arguments);
    return passed[REQUEST] >= 0 && take_streams(arguments->verb, &passed[STANDARD_STREAMS]);
}

enum channel_result request_send(struct channel *channel, const char *line, size_t length)
{
    return channel_send_with(channel, line, length, passed, DESCRIPTORS);
}
