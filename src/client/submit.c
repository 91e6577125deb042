/* `aiorun submit`: a command for the supervisor's executor. */
#include "client/aiorun.h"
#include "client/client.h"
#include "core/policy.h"
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
    int fd = keep_away(memfd_create("aiorun-submit", MFD_CLOEXEC | MFD_ALLOW_SEALING));
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
        fds[i] = keep_away(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (fds[i] < 0) {
            fail(verb, "cannot open /dev/null: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

/* Waits for the job's end, and ends like it. */
static int wait_for_end(struct channel *channel, const struct verb *verb, const char *name)
{
    struct control_reply reply;
    enum channel_result result = channel_read(channel, &reply);
    if (result != CHANNEL_DONE) {
        channel_complain(result, verb);
        return STATUS_OWN_FAILURE;
    }
    switch (reply.answer) {
    case ANSWER_EXITED:
        return (int)reply.number;
    case ANSWER_KILLED:
        die_of((int)reply.number);
    case ANSWER_FAILED:
        fail(verb, "job %s could not be started", name);
        return (int)reply.number;
    case ANSWER_DROPPED:
        return fail(verb, "job %s was dropped: its turn never came", name);
    case ANSWER_OK:
    case ANSWER_ERROR:
        break;
    }
    return fail(verb, "the supervisor does not tell how job %s ended", name);
}

static int submit(struct channel *channel, const struct arguments *arguments, const char *name)
{
    const struct verb *verb = arguments->verb;
    struct control_message message = {.verb = CONTROL_SUBMIT, .name = name};
    char line[CONTROL_LINE_MAX];
    int fds[DESCRIPTORS];
    message.wait = arguments_option(arguments, "wait") != NULL;
    size_t length = control_format(line, &message);

    fds[REQUEST] = write_request(arguments);
    if (fds[REQUEST] < 0 || !take_streams(verb, &fds[STANDARD_STREAMS]))
        return STATUS_OWN_FAILURE;
    enum channel_result result = channel_open(channel, -1);
    if (result == CHANNEL_DONE && !channel_expect_ok(channel, verb))
        return STATUS_OWN_FAILURE;
    if (result == CHANNEL_DONE)
        result = channel_send(channel, line, length, fds, DESCRIPTORS);
    if (result != CHANNEL_DONE) {
        channel_complain(result, verb);
        return STATUS_OWN_FAILURE;
    }
    if (!channel_expect_ok(channel, verb))
        return STATUS_OWN_FAILURE;
    return message.wait ? wait_for_end(channel, verb, name) : EXIT_SUCCESS;
}

int submit_run(const struct arguments *arguments)
{
    char buffer[CONTROL_NAME_MAX + 1];
    struct channel channel;
    if (!arguments_have_command(arguments))
        return STATUS_OWN_FAILURE;
    const char *name = arguments_job_name(arguments, buffer);
    if (name == NULL)
        return STATUS_OWN_FAILURE;
    if (!aiorun_available())
        return fail_without_pipe(arguments->verb);
    return submit(&channel, arguments, name);
}
