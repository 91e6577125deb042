#include "posix/posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Static, so that a supervisor short of memory can still end what it started; untouched pages
 * cost nothing.  More processes than this are dealt with in the next pass. */
#define SNAPSHOT_MAX 32768

/* Aligned, with little behind it: where a last page is nearly empty, ld lets all variables begin
 * with a page instead (DATA_SEGMENT_ALIGN), and those that are used, which come first, take one
 * less. */
static _Alignas(4096) struct process snapshot[SNAPSHOT_MAX] UNTOUCHED("snapshot");
static size_t snapshot_count;

/* What a PID namespace was made without is a /proc of its own, as by `unshare --pid --fork`: what
 * is mounted there is that of the namespace around it, and its numbers are those of other
 * processes. A /proc that is ours stays so; one that is not may be replaced. */
bool procfs_is_ours(void)
{
    static bool is_ours;
    char target[24];
    if (is_ours)
        return true;
    ssize_t length = readlink("/proc/self", target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    is_ours = strtol(target, NULL, 10) == inherited.pid;
    return is_ours;
}

/* Reads a file of /proc/PID whole; returns its length, -1 when the process is gone. */
static ssize_t read_file(pid_t pid, const char *name, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int fd = procfs_is_ours() ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    ssize_t length = read(fd, buffer, size - 1);
    close(fd);
    if (length >= 0)
        buffer[length] = '\0';
    return length;
}

bool procfs_read(pid_t pid, struct process *process)
{
    char text[1024];
    long parent, session;
    if (read_file(pid, "stat", text, sizeof text) <= 0)
        return false;
    /* The command's name may hold anything, blanks and parentheses too: fields follow its last. */
    const char *fields = strrchr(text, ')');
    if (fields == NULL)
        return false;
    int found = sscanf(fields + 1,
                       " %c %ld %*d %ld %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                       "%*d %llu",
                       &process->state, &parent, &session, &process->start);
    if (found != 4)
        return false;
    process->pid = pid;
    process->parent = (pid_t)parent;
    process->session = (pid_t)session;
    process->owner = NO_SLOT;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct process *left = a, *right = b;
    return (left->pid > right->pid) - (left->pid < right->pid);
}

/* What getdents64(2) fills in; opendir(3) would allocate. */
struct kernel_dirent {
    uint64_t inode, offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* The number that `name` is; -1 when it is none. */
static long number_of(const char *name)
{
    long number = *name ? 0 : -1;
    for (; *name >= '0' && *name <= '9'; name++)
        number = 10 * number + (*name - '0');
    return *name == '\0' ? number : -1;
}

bool procfs_numbers(const char *path, void (*visit)(long number))
{
    _Alignas(struct kernel_dirent) char buffer[2048];
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long length = 0;
    while (directory >= 0 &&
           (length = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < length;) {
            const struct kernel_dirent *entry = (const struct kernel_dirent *)(buffer + at);
            long number = number_of(entry->name);
            at += entry->length;
            if (number >= 0)
                visit(number);
        }
    }
    if (directory >= 0)
        close(directory);
    return directory >= 0 && length == 0;
}

static void take_process(long pid)
{
    if (snapshot_count < SNAPSHOT_MAX && procfs_read((pid_t)pid, &snapshot[snapshot_count]))
        snapshot_count++;
}

struct process *procfs_snapshot(size_t *count)
{
    snapshot_count = 0;
    if (!procfs_is_ours() || !procfs_numbers("/proc", take_process) || snapshot_count == 0)
        return NULL;
    qsort(snapshot, snapshot_count, sizeof snapshot[0], by_pid);
    *count = snapshot_count;
    return snapshot;
}

/* proc(5): needs CONFIG_PROC_CHILDREN; exact for us, since nobody but we reap our children. */
static bool visit_children_file(bool (*visit)(pid_t, void *), void *context, bool *usable)
{
    char path[64], buffer[4096];
    pid_t pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)inherited.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *usable = fd >= 0;
    bool wants_more = *usable;
    while (wants_more) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length <= 0)
            break;
        for (ssize_t i = 0; i < length && wants_more; i++) {
            if (buffer[i] >= '0' && buffer[i] <= '9') {
                pid = 10 * pid + (buffer[i] - '0');
            } else if (pid > 0) {
                wants_more = visit(pid, context);
                pid = 0;
            }
        }
    }
    if (fd >= 0)
        close(fd);
    return wants_more;
}

bool procfs_children(bool (*visit)(pid_t pid, void *context), void *context)
{
    bool usable;
    size_t count;
    visit_children_file(visit, context, &usable);
    if (usable)
        return true;
    const struct process *all = procfs_snapshot(&count);
    for (size_t i = 0; all != NULL && i < count; i++)
        if (all[i].parent == inherited.pid && !visit(all[i].pid, context))
            break;
    return all != NULL;
}

static msec age_of(const struct process *process)
{
    struct timespec now;
    long ticks = sysconf(_SC_CLK_TCK);
    if (clock_gettime(CLOCK_BOOTTIME, &now) < 0 || ticks <= 0)
        return -1;
    msec up = (msec)now.tv_sec * SECOND + now.tv_nsec / 1000000;
    msec started = (msec)(process->start * SECOND / (unsigned long)ticks);
    return up > started ? up - started : 0;
}

/* Arguments end in NULs; they are shown with blanks. */
static void make_printable(char *text, ssize_t length)
{
    while (length > 0 && text[length - 1] == '\0')
        length--;
    for (ssize_t i = 0; i < length; i++)
        if (text[i] == '\0' || text[i] == '\n')
            text[i] = ' ';
        else if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    text[length] = '\0';
}

void procfs_describe(const struct process *process, struct platform_process *description)
{
    memset(description, 0, sizeof *description);
    description->pid = process->pid;
    description->state = process->state;
    description->age = age_of(process);
    ssize_t length =
        read_file(process->pid, "wchan", description->where, sizeof description->where);
    if (length <= 0 || strcmp(description->where, "0") == 0)
        description->where[0] = '\0';
    length = read_file(process->pid, "cmdline", description->command, sizeof description->command);
    if (length > 0) {
        make_printable(description->command, length);
        return;
    }
    char name[32] = "?";
    length = read_file(process->pid, "comm", name, sizeof name);
    if (length > 0)
        make_printable(name, name[length - 1] == '\n' ? length - 1 : length);
    snprintf(description->command, sizeof description->command, "[%s]", name);
}
