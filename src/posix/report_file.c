#include "plan/option_table.h"
#include "posix/descriptor.h"
#include "posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int file = -1;

/* Why it could not be opened: fifo(7) says ENXIO, which tells nobody anything. */
static const char *reason(const char *path, int error)
{
    struct stat status;
    if (error == ENXIO && stat(path, &status) == 0 && S_ISFIFO(status.st_mode))
        return "nobody reads from this pipe";
    return strerror(error);
}

void report_file_open(const struct plan *plan, struct faults *faults)
{
    const char *path = plan->report;
    char place[OPTION_PLACE_MAX];
    if (path == NULL || strcmp(path, "-") == 0)
        return;
    option_place_of("report", plan, &plan->worker, place);
    /* O_NONBLOCK is for pipes and terminals, and is ours alone: this is a new file description. */
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    file = descriptor_keep_away(fd); /* log lines must not go there */
    struct stat status;
    if (file < 0) {
        fault_add(faults, place, "cannot open '%s' for writing: %s", path, reason(path, errno));
        return;
    }
    if (faults->count == 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
        ftruncate(file, 0) < 0)
        fault_add(faults, place, "cannot empty '%s': %s", path, strerror(errno));
}

/* Waits until the file takes more; false when that does not come in time. */
static bool wait_for_room(msec until)
{
    struct pollfd room = {.fd = file, .events = POLLOUT};
    msec left = until - platform_now();
    if (left > 0 && poll(&room, 1, (int)left) > 0)
        return true;
    if (platform_now() < until)
        return true; /* a call that failed: writing will tell */
    errno = ETIMEDOUT;
    return false;
}

bool platform_write_report(const char *bytes, size_t length, msec until)
{
    while (length > 0) {
        ssize_t written = write(file, bytes, length);
        if (written < 0 && errno == EAGAIN && wait_for_room(until))
            continue;
        if (written < 0 && errno == EINTR && platform_now() < until)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}
