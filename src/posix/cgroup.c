#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Limits of a worker, with cgroups (Documentation/admin-guide/cgroup-v2.rst of the kernel).  Below
 * our own cgroup, which must have been delegated to us:
 *
 *     supervisor/           ourselves: what has controllers for others has no process of its own
 *     worker.web/           the limits, of all its runs and jobs together
 *         run.0/ run.1/     a leaf for each run, by instance,
 *         job.17/           and for each job, and each command beside a run
 */

#define GROUP_MAX 128 /* "worker.web/run.0" */

enum controller { MEMORY, CPU, PIDS, CONTROLLERS };

static const char *const names[CONTROLLERS] = {[MEMORY] = "memory", [CPU] = "cpu", [PIDS] = "pids"};

struct group {
    char path[GROUP_MAX]; /* below our own; empty: none */
};

static struct {
    const struct plan *plan;
    struct group *list; /* by slot; NULL: no limit is asked for, or none can be kept */
    struct group *next; /* that is to take its place */
    uint32_t slots;
    bool enforced[CONTROLLERS];
    bool enabled[CONTROLLERS]; /* by us */
    bool moved;                /* ourselves */
    unsigned serial;           /* of what has no number of its own */
    int opened;                /* for the start that is going on; -1: nothing */
} groups = {.opened = -1};

static char base[PATH_MAX] UNTOUCHED("cgroup_base"); /* our own, where it is mounted */
static char own[PATH_MAX] UNTOUCHED("cgroup_own");   /* and as /proc/PID/cgroup calls it */

/* ---- files ---- */

static const char *path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Below our own cgroup; good until the next call. */
static const char *path_of(const char *format, ...)
{
    static char path[PATH_MAX] UNTOUCHED("cgroup_path");
    va_list arguments;
    int length = snprintf(path, sizeof path, "%s/", base);
    va_start(arguments, format);
    vsnprintf(path + length, sizeof path - (size_t)length, format, arguments);
    va_end(arguments);
    return path;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) >= 0;
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

/* An empty text where it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : 0;
    text[length > 0 ? length : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (; *text != '\0'; text += strspn(text, " \n")) {
        size_t found = strcspn(text, " \n");
        if (found == length && strncmp(text, word, length) == 0)
            return true;
        text += found;
    }
    return false;
}

/* ---- where we are ---- */

/* The process's cgroup in the unified hierarchy; false: none. */
static bool read_own(const char *process, char *group, size_t size)
{
    char text[PATH_MAX + 512];
    read_text(process, text, sizeof text);
    const char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line == NULL)
        return false;
    line = strchr(line, '/');
    if (line == NULL)
        return false;
    size_t length = strcspn(line, "\n");
    if (length >= size)
        return false;
    memcpy(group, line, length);
    group[length == 1 ? 0 : length] = '\0'; /* the root is the empty path */
    return true;
}

/* A mount may show a part of the hierarchy alone (proc_pid_mountinfo(5)). */
static bool find_mount(void)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && !found && getline(&line, &size, file) > 0) {
        char root[PATH_MAX / 2], place[PATH_MAX / 2];
        const char *kind = strstr(line, " - ");
        if (kind == NULL || strncmp(kind, " - cgroup2 ", 11) != 0 ||
            sscanf(line, "%*s %*s %*s %2047s %2047s", root, place) != 2)
            continue;
        size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
        if (strncmp(own, root, length) != 0)
            continue;
        int written = snprintf(base, sizeof base, "%s%s", place, own + length);
        found = written < PATH_MAX - 2 * GROUP_MAX;
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return found;
}

/* ---- opening ---- */

static bool wants(const struct plan_worker *worker, enum controller controller)
{
    switch (controller) {
    case MEMORY:
        return worker->rules->memory_max != PLAN_UNLIMITED;
    case CPU:
        return worker->rules->cpu_max != 0;
    case PIDS:
        return worker->rules->pids_max != PLAN_UNLIMITED;
    case CONTROLLERS:
        break;
    }
    return false;
}

static bool is_limited(const struct plan_worker *worker)
{
    return wants(worker, MEMORY) || wants(worker, CPU) || wants(worker, PIDS);
}

static void warn(enum controller controller, const char *verb, const char *reason)
{
    for (uint32_t i = 0; i < groups.plan->worker_count; i++) {
        const struct plan_worker *worker = &groups.plan->workers[i];
        if (wants(worker, controller))
            log_about(LEVEL_WARNING, worker->name, 0, "%s-max of worker '%s' is not enforced: %s%s",
                      names[controller], worker->name, verb, reason);
    }
}

static void warn_all(const char *verb, const char *reason)
{
    for (int i = 0; i < CONTROLLERS; i++)
        warn((enum controller)i, verb, reason);
}

/* The root of all is the one that may have both processes and controllers for others. */
static bool move_ourselves(void)
{
    char pid[16];
    if (access(path_of("cgroup.type"), F_OK) < 0)
        return true;
    snprintf(pid, sizeof pid, "%ld", (long)inherited.pid);
    if (mkdir(path_of("supervisor"), 0755) < 0 && errno != EEXIST)
        return false;
    groups.moved = write_text(path_of("supervisor/cgroup.procs"), pid);
    return groups.moved;
}

static void enable(enum controller controller)
{
    char available[256], there[256], word[16];
    read_text(path_of("cgroup.controllers"), available, sizeof available);
    read_text(path_of("cgroup.subtree_control"), there, sizeof there);
    if (!has_word(available, names[controller])) {
        warn(controller, "our cgroup does not have that controller", "");
        return;
    }
    snprintf(word, sizeof word, "+%s", names[controller]);
    bool had = has_word(there, names[controller]);
    if (had || write_text(path_of("cgroup.subtree_control"), word)) {
        groups.enforced[controller] = true;
        groups.enabled[controller] = !had;
    } else if (errno == EBUSY) {
        warn(controller, "there are other processes in our cgroup", "");
    } else {
        warn(controller, "our cgroup does not hand on that controller: ", strerror(errno));
    }
}

void cgroup_remove(uint32_t slot)
{
    if (groups.list == NULL || groups.list[slot].path[0] == '\0')
        return;
    /* Somebody may still be in it whom nobody has told us of: it is tried again when we leave. */
    if (rmdir(path_of("%s", groups.list[slot].path)) == 0 || errno == ENOENT)
        groups.list[slot].path[0] = '\0';
}

/* Those of slots that are in use, and their workers', stay. */
static void remove_groups(const struct plan *plan)
{
    for (uint32_t slot = 0; slot < groups.slots; slot++)
        cgroup_remove(slot);
    for (uint32_t i = 0; i < plan->worker_count; i++)
        if (is_limited(&plan->workers[i]))
            rmdir(path_of("worker.%s", plan->workers[i].name));
}

/* Finds our own, and whether it can be divided. */
static bool begin(void)
{
    if (!read_own("/proc/self/cgroup", own, sizeof own) || !find_mount()) {
        warn_all("there is no cgroup v2 here", "");
        return false;
    }
    if (access(path_of("cgroup.procs"), W_OK) < 0 || !move_ourselves()) {
        warn_all("our cgroup is not ours to divide: ", strerror(errno));
        return false;
    }
    return true;
}

bool cgroup_prepare(const struct plan *plan, uint32_t slots)
{
    bool any = groups.list != NULL;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        any = any || is_limited(&plan->workers[i]);
    groups.next = any ? calloc(slots, sizeof *groups.next) : NULL;
    return !any || groups.next != NULL;
}

void cgroup_drop(void)
{
    free(groups.next);
    groups.next = NULL;
}

void cgroup_reload(const struct plan *plan, uint32_t slots, const uint32_t *old_slot_of)
{
    bool needed[CONTROLLERS] = {false};
    const struct plan *old_plan = groups.plan;
    groups.plan = plan;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        for (int n = 0; n < CONTROLLERS; n++)
            needed[n] = needed[n] || wants(&plan->workers[i], (enum controller)n);
    }
    if (groups.next == NULL)
        return;
    if (groups.list == NULL && !begin()) {
        cgroup_drop();
        return;
    }
    struct group *list = groups.next;
    for (int i = 0; i < CONTROLLERS; i++)
        if (needed[i] && !groups.enforced[i])
            enable((enum controller)i);
    for (uint32_t slot = 0; groups.list != NULL && old_slot_of != NULL && slot < slots; slot++) {
        if (old_slot_of[slot] == NO_SLOT)
            continue;
        list[slot] = groups.list[old_slot_of[slot]];
        groups.list[old_slot_of[slot]].path[0] = '\0';
    }
    if (groups.list != NULL)
        remove_groups(old_plan);
    free(groups.list);
    groups.list = list;
    groups.next = NULL;
    groups.slots = slots;
}

bool cgroup_open(const struct plan *plan, uint32_t slots)
{
    if (!cgroup_prepare(plan, slots))
        return false;
    cgroup_reload(plan, slots, NULL);
    return true;
}

/* ---- a start ---- */

static bool make(const char *path)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST;
}

static bool set_limit(const struct plan_worker *worker, enum controller controller)
{
    char text[64], path[GROUP_MAX + 16];
    if (!groups.enforced[controller])
        return true;
    snprintf(text, sizeof text, "max");
    if (controller == CPU && wants(worker, CPU)) /* microseconds in each tenth of a second */
        snprintf(text, sizeof text, "%" PRIu64 " 100000", (uint64_t)worker->rules->cpu_max * 100);
    else if (wants(worker, controller))
        snprintf(text, sizeof text, "%" PRIu64,
                 controller == MEMORY ? worker->rules->memory_max : worker->rules->pids_max);
    snprintf(path, sizeof path, "worker.%s/%s.max", worker->name, names[controller]);
    return write_text(path_of("%s", path), text);
}

bool cgroup_start(uint32_t slot, uint32_t index, uint32_t instance, const char *kind,
                  struct spawn *spawn)
{
    if (groups.list == NULL || !is_limited(&groups.plan->workers[index]))
        return true;
    const struct plan_worker *worker = &groups.plan->workers[index];
    struct group *group = &groups.list[slot];
    if (!make(path_of("worker.%s", worker->name)))
        return false;
    for (int i = 0; i < CONTROLLERS; i++)
        if (!set_limit(worker, (enum controller)i))
            return false;
    snprintf(group->path, sizeof group->path, "worker.%s/%s.%u", worker->name, kind,
             strcmp(kind, "run") == 0 ? (unsigned)instance : groups.serial++);
    if (!make(path_of("%s", group->path)))
        return false;
    groups.opened = open(path_of("%s/cgroup.procs", group->path), O_WRONLY | O_CLOEXEC);
    spawn->cgroup = groups.opened;
    return groups.opened >= 0;
}

void cgroup_started(uint32_t slot, bool ok)
{
    if (groups.opened >= 0)
        close(groups.opened);
    groups.opened = -1;
    if (!ok)
        cgroup_remove(slot);
}

void cgroup_join(uint32_t slot, pid_t pid)
{
    char theirs[PATH_MAX], text[64];
    size_t length = strlen(own);
    if (groups.list == NULL || !procfs_is_ours())
        return;
    snprintf(text, sizeof text, "/proc/%ld/cgroup", (long)pid);
    if (!read_own(text, theirs, sizeof theirs) || strncmp(theirs, own, length) != 0 ||
        strncmp(theirs + length, "/worker.", 8) != 0)
        return;
    const char *worker = theirs + length + 1;
    struct group *group = &groups.list[slot];
    int name = (int)strcspn(worker, "/");
    snprintf(group->path, sizeof group->path, "%.*s/job.%u", name, worker, groups.serial++);
    snprintf(text, sizeof text, "%ld", (long)pid);
    if (!make(path_of("%s", group->path)) ||
        !write_text(path_of("%s/cgroup.procs", group->path), text))
        cgroup_remove(slot); /* it stays where it is */
}

/* ---- whose is it? ---- */

uint32_t cgroup_owner(pid_t pid)
{
    char theirs[PATH_MAX], process[64];
    size_t length = strlen(own);
    if (groups.list == NULL || !procfs_is_ours())
        return NO_SLOT;
    snprintf(process, sizeof process, "/proc/%ld/cgroup", (long)pid);
    if (!read_own(process, theirs, sizeof theirs) || strncmp(theirs, own, length) != 0 ||
        theirs[length] != '/')
        return NO_SLOT;
    for (uint32_t slot = 0; slot < groups.slots; slot++)
        if (groups.list[slot].path[0] != '\0' &&
            strcmp(groups.list[slot].path, theirs + length + 1) == 0)
            return slot;
    return NO_SLOT;
}

bool cgroup_has(uint32_t slot)
{
    return groups.list != NULL && groups.list[slot].path[0] != '\0';
}

void cgroup_kill(uint32_t slot)
{
    if (cgroup_has(slot))
        write_text(path_of("%s/cgroup.kill", groups.list[slot].path), "1");
}

/* ---- the end ---- */

void cgroup_close(void)
{
    char word[32];
    if (groups.list != NULL)
        remove_groups(groups.plan);
    for (int i = 0; i < CONTROLLERS; i++) {
        if (!groups.enabled[i])
            continue;
        snprintf(word, sizeof word, "-%s", names[i]);
        write_text(path_of("cgroup.subtree_control"), word);
    }
    if (!groups.moved)
        return;
    snprintf(word, sizeof word, "%ld", (long)inherited.pid);
    if (write_text(path_of("cgroup.procs"), word))
        rmdir(path_of("supervisor"));
}
