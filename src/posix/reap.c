#include "posix/posix.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <sys/wait.h>

static struct {
    struct supervisor *supervisor;
    unsigned char *census; /* a byte a slot */
    uint32_t first_ended, last_ended;
} reaper = {.first_ended = NO_SLOT, .last_ended = NO_SLOT};

bool reap_open(struct supervisor *supervisor, uint32_t slots)
{
    reaper.supervisor = supervisor;
    reaper.census = platform_allocate(slots);
    return reaper.census != NULL;
}

void reap_reload(unsigned char *census)
{
    platform_free(reaper.census);
    reaper.census = census;
}

static struct ending ending_of(int status)
{
    if (WIFSIGNALED(status))
        return (struct ending){ENDING_KILLED, (uint32_t)WTERMSIG(status)};
    return (struct ending){ENDING_EXITED, (uint32_t)WEXITSTATUS(status)};
}

/* Reports about runs wait until everything is reaped: only then is it known what they left. */
static void keep_for_report(uint32_t slot, struct ending end)
{
    struct run *run = runs_at(slot);
    run->end = end;
    run->next_ended = NO_SLOT;
    if (reaper.first_ended == NO_SLOT)
        reaper.first_ended = slot;
    else
        runs_at(reaper.last_ended)->next_ended = slot;
    reaper.last_ended = slot;
}

/* A child was stopped by `signal`, or continued (0). */
static void take_stop(uint32_t slot, int signal)
{
    if (slot == NO_SLOT)
        return;
    struct run *run = runs_at(slot);
    run->stopped = signal != 0;
    run->stop_signal = signal;
    if (signal != 0 && slot != start_main_slot())
        supervisor_stopped(reaper.supervisor, (struct run_id){slot, run->generation}, signal);
}

static void take_status(pid_t pid, int status)
{
    uint32_t slot = runs_find(pid);
    if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
        take_stop(slot, WIFSTOPPED(status) ? WSTOPSIG(status) : 0);
        return;
    }
    tree_forget(pid);
    if (slot == NO_SLOT) {
        if (probe_ended(pid, status))
            return;
        supervisor_adopted_ended(reaper.supervisor, pid, ending_of(status));
        return;
    }
    runs_remove(slot);
    jobs_forget(slot);
    keep_for_report(slot, ending_of(status));
}

/* `gone`: it is known that they have left nothing behind. */
static void report_ended(bool gone)
{
    while (reaper.first_ended != NO_SLOT) {
        uint32_t slot = reaper.first_ended;
        struct run *run = runs_at(slot);
        struct run_id id = {slot, run->generation};
        reaper.first_ended = run->next_ended;
        run->stopped = false;
        if (slot == start_main_slot())
            terminal_take_back();
        run->tree = run->has_tree; /* who is left is still its own, and may speak for it */
        channel_drain(id);
        ready_ended(slot);
        probe_stop(slot);
        output_ended(slot);
        run->tree = false;
        bool left = !gone && run->has_tree && tree_left(slot);
        if (!left)
            cgroup_remove(slot);
        supervisor_ended(reaper.supervisor, id, run->end, left);
    }
}

/* Job control waits too: whoever stops himself here must not leave zombies behind meanwhile. */
static void report_stopped(void)
{
    uint32_t slot = start_main_slot();
    struct run *run = slot == NO_SLOT ? NULL : runs_at(slot);
    if (run == NULL || run->pid == 0 || !run->stopped || run->stop_signal == 0)
        return;
    int signal = run->stop_signal;
    run->stop_signal = 0;
    supervisor_stopped(reaper.supervisor, (struct run_id){slot, run->generation}, signal);
}

/* Until none is left: one SIGCHLD may stand for many (signal(7)).  `child` is the one that it named
 * (0: none): the kernel finds that one at once, and looks through all the others for any. */
void reap(pid_t child)
{
    const int options = WNOHANG | WUNTRACED | WCONTINUED | __WALL;
    int status;
    pid_t pid = child > 0 ? waitpid(child, &status, options) : 0;
    if (pid > 0)
        take_status(pid, status);
    /* It need not wait for the others, if there are any, and it has left nothing behind. */
    if (reaper.first_ended != NO_SLOT && runs_alive() > 0 && tree_is_gone(reaper.first_ended))
        report_ended(true);
    do {
        pid = waitpid(-1, &status, options);
        if (pid > 0)
            take_status(pid, status);
    } while (pid > 0 || (pid < 0 && errno == EINTR));
    tree_set_childless(pid < 0 && errno == ECHILD);
    report_ended(false);
    report_stopped();
    supervisor_reaped(reaper.supervisor);
}

void platform_census(void)
{
    tree_census(reaper.census);
    for (uint32_t slot = 0; slot < runs_count(); slot++) {
        struct run *run = runs_at(slot);
        unsigned char found = reaper.census[slot];
        if (slot > 0 && !run->tree)
            continue;
        run->tree = found & CENSUS_LEFT;
        if (slot > 0 && !run->tree)
            cgroup_remove(slot);
        supervisor_tree(reaper.supervisor, (struct run_id){slot, run->generation},
                        found & CENSUS_LEFT, found & CENSUS_FRESH);
    }
}
