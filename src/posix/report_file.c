#include "plan/option_table.h"
#include "posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIME_TO_WRITE SECOND /* for a pipe whose reader does not come */

static struct {
    int fd;
    bool begun, failed;
    msec until;
} file = {.fd = -1};

/* Log lines must not go to the report where standard error is closed. */
static int above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

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
    file.fd =
        above_standard(open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666));
    struct stat status;
    if (file.fd < 0) {
        fault_add(faults, place, "cannot open '%s' for writing: %s", path, reason(path, errno));
        return;
    }
    if (faults->count == 0 && fstat(file.fd, &status) == 0 && S_ISREG(status.st_mode) &&
        ftruncate(file.fd, 0) < 0)
        fault_add(faults, place, "cannot empty '%s': %s", path, strerror(errno));
}

/* Waits until the file takes more; false when that does not come in time. */
static bool wait_for_room(void)
{
    struct pollfd room = {.fd = file.fd, .events = POLLOUT};
    msec left = file.until - platform_now();
    if (left > 0 && poll(&room, 1, (int)left) > 0)
        return true;
    if (platform_now() < file.until)
        return true; /* a call that failed: writing will tell */
    errno = ETIMEDOUT;
    return false;
}

static bool write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(file.fd, bytes, length);
        if (written < 0 && errno == EAGAIN && wait_for_room())
            continue;
        if (written < 0 && errno == EINTR && platform_now() < file.until)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

bool platform_write_report(const char *bytes, size_t length)
{
    if (!file.begun)
        file.until = msec_add(platform_now(), TIME_TO_WRITE);
    file.begun = true;
    file.failed = file.failed || !write_all(bytes, length);
    return !file.failed;
}
