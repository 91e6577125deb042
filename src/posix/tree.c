#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A run's tree is its process with all live descendants, and adopted processes in its cgroup, or
 * with its session id.  Adopted processes of no run are orphans: slot 0's tree.
 *
 * A scan is a snapshot of something that moves.  So whoever acts on one scans again until nobody
 * new turns up, and remembers in `done` who was dealt with. */

#define PASSES_MAX 64
#define DONE_MAX   16384 /* a power of two */

enum done { DONE_ASKED = 1, DONE_KILLED = 2 };

/* Open addressing by pid and start time: a pid may be used again.  Static, see procfs.c. */
static struct done_entry {
    pid_t pid;
    unsigned what;
    unsigned long long start;
} done_table[DONE_MAX] UNTOUCHED("done");
static uint32_t done_count;

static uint32_t home(pid_t pid)
{
    return (uint32_t)pid * 2654435761u % DONE_MAX;
}

static struct done_entry *find_done(pid_t pid)
{
    uint32_t at = home(pid);
    while (done_table[at].pid != 0 && done_table[at].pid != pid)
        at = (at + 1) % DONE_MAX;
    return &done_table[at];
}

static bool is_done(const struct process *process, enum done what)
{
    const struct done_entry *entry = find_done(process->pid);
    return entry->pid != 0 && entry->start == process->start && (entry->what & what);
}

static void mark_done(const struct process *process, enum done what)
{
    if (done_count >= DONE_MAX / 2) {
        /* Forgetting some means that they may be asked twice: better than not at all. */
        memset(done_table, 0, sizeof done_table);
        done_count = 0;
        log_line(LEVEL_WARNING, "more than %d processes are left over: some are asked twice",
                 DONE_MAX / 2);
    }
    struct done_entry *entry = find_done(process->pid);
    if (entry->pid == 0)
        done_count++;
    if (entry->pid == 0 || entry->start != process->start)
        entry->what = 0;
    entry->pid = process->pid;
    entry->start = process->start;
    entry->what |= what;
}

void tree_forget(pid_t pid)
{
    struct done_entry *entry = done_count > 0 ? find_done(pid) : NULL;
    if (entry == NULL || entry->pid != pid)
        return;
    uint32_t hole = (uint32_t)(entry - done_table);
    done_table[hole].pid = 0;
    done_count--;
    /* As in runs_remove(). */
    for (uint32_t at = (hole + 1) % DONE_MAX; done_table[at].pid != 0; at = (at + 1) % DONE_MAX) {
        if ((at - home(done_table[at].pid)) % DONE_MAX < (at - hole) % DONE_MAX)
            continue;
        done_table[hole] = done_table[at];
        done_table[at].pid = 0;
        hole = at;
    }
}

/* ---- whose is it? ---- */

/* The slot to whose tree a child of ours belongs. */
static uint32_t owner_of_child(pid_t pid, pid_t session)
{
    uint32_t slot = runs_find(pid);
    if (slot == NO_SLOT)
        slot = cgroup_owner(pid);
    if (slot != NO_SLOT)
        return slot;
    for (slot = 0; slot < runs_count(); slot++) {
        const struct run *run = runs_at(slot);
        bool there = run->pid != 0 || run->tree;
        if (run->has_tree && there && run->session == session)
            return slot;
    }
    return 0;
}

static struct process *find_process(struct process *all, size_t count, pid_t pid)
{
    struct process key = {.pid = pid};
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all[middle].pid < key.pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && all[low].pid == pid ? &all[low] : NULL;
}

/* Those whom somebody else has reaped, as the scan tells: each of them would take a place for ever.
 */
static void forget_gone(struct process *all, size_t count)
{
    for (uint32_t at = 0; at < DONE_MAX;) {
        const struct done_entry *entry = &done_table[at];
        const struct process *process =
            entry->pid != 0 ? find_process(all, count, entry->pid) : NULL;
        if (entry->pid == 0 || (process != NULL && process->start == entry->start))
            at++;
        else
            tree_forget(entry->pid); /* and another one may be here now */
    }
}

/* A job that joined belongs to itself, wherever it stands in the tree of its caller. */
static void mark_jobs(struct process *all, size_t count)
{
    for (uint32_t slot = 1; slot < runs_count() && jobs_joined() > 0; slot++) {
        const struct run *run = runs_at(slot);
        if (!run->joined || run->pid == 0)
            continue;
        struct process *process = find_process(all, count, run->pid);
        if (process != NULL && process->start == run->start)
            process->owner = slot;
    }
}

/* Gives every descendant its owner.  A parent mostly has the lower pid, so one pass nearly always
 * does; another follows while it brings something new. */
static struct process *scan(size_t *count)
{
    struct process *all = procfs_snapshot(count);
    bool changed = all != NULL;
    if (all != NULL)
        mark_jobs(all, *count);
    while (changed) {
        changed = false;
        for (size_t i = 0; i < *count; i++) {
            struct process *process = &all[i];
            if (process->owner != NO_SLOT || process->pid == inherited.pid)
                continue;
            if (process->parent == inherited.pid) {
                process->owner = owner_of_child(process->pid, process->session);
            } else {
                const struct process *parent = find_process(all, *count, process->parent);
                process->owner = parent ? parent->owner : NO_SLOT;
            }
            changed = changed || process->owner != NO_SLOT;
        }
    }
    return all;
}

uint32_t tree_owner(pid_t pid)
{
    struct process process;
    while (pid > 0 && procfs_read(pid, &process)) {
        uint32_t slot = runs_find(pid);
        if (slot != NO_SLOT)
            return slot;
        if (process.parent == inherited.pid)
            return owner_of_child(pid, process.session);
        pid = process.parent == pid ? 0 : process.parent;
    }
    return NO_SLOT;
}

static bool is_dead(const struct process *process)
{
    return process->state == 'Z' || process->state == 'X';
}

/* The scan for lists, which are made of it until the table is needed for another one. */
static struct {
    struct process *all; /* by owner; NULL: none */
    size_t count;
} listed;

/* ---- acting ---- */

/* Between the scan and now a descendant that is not our own child may have been replaced by another
 * process with its pid; a pidfd holds on to the one that was seen.  Our own children's pids stay
 * theirs until we reap them.
 *
 * Where there is no pidfd to be had, for want of a descriptor or because a seccomp filter does not
 * know these calls (and says EPERM, as container runtimes had it for long), kill(2) does. */
static int signal_process(const struct process *process, int signal)
{
    struct process now;
    if (process->parent == inherited.pid)
        return kill(process->pid, signal);
    int fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    if (fd < 0 && errno == ESRCH)
        return -1;
    int result = -1;
    errno = ESRCH;
    if (procfs_read(process->pid, &now) && now.start == process->start) {
        result = fd < 0 ? -1 : (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
        if (fd < 0 || (result < 0 && errno != ESRCH))
            result = kill(process->pid, signal);
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return result;
}

static void log_refused(const struct process *process)
{
    if (errno == EPERM)
        log_about(LEVEL_WARNING, "orphans", process->pid, "may not signal process %ld: %s",
                  (long)process->pid, strerror(errno));
}

static bool deal_with(const struct process *process, int signal, enum done what)
{
    if (is_dead(process) || is_done(process, what))
        return false;
    mark_done(process, what);
    if (signal_process(process, signal) < 0)
        log_refused(process);
    else if (process->state == 'T' && signal != SIGKILL)
        signal_process(process, SIGCONT);
    return true;
}

/* PID 1 of a namespace reaches everyone in it at once (kill(2)); no fork is fast enough.  Only when
 * none of them is a run that has its own time. */
static bool signal_namespace(uint32_t slot, int signal)
{
    return slot == 0 && inherited.pid == 1 && runs_alive() == 0 && kill(-1, signal) == 0;
}

/* What the tree that the process is in is to get, if the process was not dealt with before. */
static bool deal_with_member(const struct process *process)
{
    const struct run *run = process->owner == NO_SLOT ? NULL : runs_at(process->owner);
    if (run == NULL || run->tree_signal == 0)
        return false;
    bool kills = run->tree_signal == SIGKILL;
    if (!kills && process->owner != 0 && process->pid == run->pid)
        return false; /* a run's own process is asked by its ladder */
    return deal_with(process, run->tree_signal, kills ? DONE_KILLED : DONE_ASKED);
}

/* Without /proc. */
static void deal_blindly(uint32_t slot)
{
    const struct run *run = runs_at(slot);
    if (run->tree_signal != SIGKILL && !signal_namespace(slot, run->tree_signal))
        log_line(LEVEL_WARNING, "cannot find out who is left: /proc is not mounted");
}

/* A run's own process needs no scan to be found, and ends at its deadline whatever a scan finds.
 * Nor does its group, while that process is there for it to be named by. */
static void kill_run(const struct run *run, bool blind)
{
    if (run->tree_signal != SIGKILL || run->pid == 0)
        return;
    const struct done_entry *entry = find_done(run->pid);
    if (entry->pid == 0 || !(entry->what & DONE_KILLED))
        kill(blind && run->own_group ? -run->pid : run->pid, SIGKILL);
}

static uint32_t trees_marked;

/* All trees in one go: a scan for each would take ten thousand runs ten thousand scans. */
void platform_flush(void)
{
    bool found = trees_marked > 0, blind = false;
    listed.all = NULL;
    for (int pass = 0; found && pass < PASSES_MAX; pass++) {
        size_t count;
        struct process *all = scan(&count);
        blind = all == NULL;
        found = false;
        if (all != NULL && pass == 0 && done_count >= DONE_MAX / 4)
            forget_gone(all, count);
        for (size_t i = 0; all != NULL && i < count; i++)
            found = deal_with_member(&all[i]) || found;
    }
    for (uint32_t slot = 0; trees_marked > 0 && slot < runs_count(); slot++) {
        if (runs_at(slot)->tree_signal == 0)
            continue;
        if (blind)
            deal_blindly(slot);
        kill_run(runs_at(slot), blind);
        runs_at(slot)->tree_signal = 0;
    }
    trees_marked = 0;
}

/* Kills rather than asks, if it is to do both. */
static void mark(uint32_t slot, int signal)
{
    struct run *run = runs_at(slot);
    trees_marked += run->tree_signal == 0;
    if (run->tree_signal != SIGKILL)
        run->tree_signal = signal;
}

void platform_stop_tree(struct run_id run, int signal)
{
    mark(run.slot, signal);
}

void platform_kill(struct run_id run)
{
    if (jobs_joined() == 0) /* whose children may be in there, and are to be spared */
        cgroup_kill(run.slot);
    /* Its own process with the others: who is whose is seen before the first of them is gone. */
    if (!signal_namespace(run.slot, SIGKILL))
        mark(run.slot, SIGKILL);
}

/* ---- counting ---- */

static bool childless;
static int session_probe = -1;

void tree_open(int fd)
{
    session_probe = fd;
}

void tree_set_childless(bool is_childless)
{
    childless = is_childless;
}

/* Is it certain that nobody has the session that the run has led?  Its number is not free while
 * anybody is in it: F_SETOWN refuses a number that is free, and looks at nothing else (fcntl(2),
 * ESRCH).  That costs the same however many children we have.  No signal comes of it without
 * O_ASYNC. */
bool tree_is_gone(uint32_t slot)
{
    const struct run *run = runs_at(slot);
    return run->session == run->last_pid && !cgroup_has(slot) &&
           fcntl(session_probe, F_SETOWN, run->session) < 0 && errno == ESRCH;
}

struct search {
    uint32_t slot;
    bool found;
};

static bool search_member(pid_t pid, void *context)
{
    struct search *search = context;
    if (runs_find(pid) == NO_SLOT) /* else it is that run's, and there are many of them */
        search->found = owner_of_child(pid, getsid(pid)) == search->slot;
    return !search->found;
}

bool tree_left(uint32_t slot)
{
    struct search search = {.slot = slot, .found = false};
    if (childless || tree_is_gone(slot))
        return false;
    listed.all = NULL;          /* the search may need the table */
    runs_at(slot)->tree = true; /* so that its session's children are found to be its own */
    procfs_children(search_member, &search);
    runs_at(slot)->tree = search.found;
    return search.found;
}

static bool count_child(pid_t pid, void *context)
{
    unsigned char *found = context;
    struct process process;
    if (runs_find(pid) != NO_SLOT)
        return true;
    if (!procfs_read(pid, &process)) {
        process.pid = pid;
        process.session = getsid(pid);
        process.start = 0;
        process.state = '?';
    }
    uint32_t slot = owner_of_child(pid, process.session);
    bool fresh = !is_dead(&process) && !is_done(&process, DONE_ASKED);
    found[slot] |= CENSUS_LEFT | (fresh ? CENSUS_FRESH : 0);
    return true;
}

void tree_census(unsigned char *found)
{
    platform_flush(); /* who is fresh was not asked */
    memset(found, 0, runs_count());
    if (childless)
        return;
    if (procfs_children(count_child, found))
        return;
    /* Without /proc all that is known is that somebody is left: the kernel says so. */
    siginfo_t info;
    bool none = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0;
    if (runs_alive() == 0 && !none)
        found[0] = CENSUS_LEFT;
}

static int by_owner(const void *a, const void *b)
{
    const struct process *left = a, *right = b;
    if (left->owner != right->owner)
        return left->owner < right->owner ? -1 : 1;
    return (left->pid > right->pid) - (left->pid < right->pid);
}

/* The first that belongs to the slot, in a scan that is kept until the end of a step: reports name
 * many runs one after the other. */
static size_t find_listed(uint32_t slot)
{
    if (listed.all == NULL) {
        listed.all = scan(&listed.count);
        if (listed.all == NULL)
            return listed.count = 0;
        qsort(listed.all, listed.count, sizeof listed.all[0], by_owner);
    }
    size_t low = 0, high = listed.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (listed.all[middle].owner < slot)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t platform_list(struct run_id run, struct platform_process *list, size_t max)
{
    size_t known = 0;
    size_t at = find_listed(run.slot);
    for (; at < listed.count && listed.all[at].owner == run.slot; at++) {
        const struct process *process = &listed.all[at];
        if (is_dead(process))
            continue;
        if (known < max) {
            procfs_describe(process, &list[known]);
            list[known].killed = is_done(process, DONE_KILLED);
        }
        known++;
    }
    return known;
}
