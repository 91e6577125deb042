#include "posix/posix.h"
#include "report/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* Slots by number, and an index from pids to them: open addressing with linear probing, at most
 * three quarters full, so that ten thousand runs are found as fast as ten. */
struct table {
    struct platform_slots runs;
    uint32_t *index; /* slot + 1; 0: empty */
    uint32_t size, count, mask, alive;
};

static struct table table, next_table;
static const struct plan *plan; /* whose workers they are */

static bool make_table(struct table *made, uint32_t slots)
{
    uint32_t size = 4;
    while (size < slots + slots / 3)
        size *= 2;
    bool allocated = platform_allocate_slots(&made->runs, slots, sizeof(struct run));
    made->index = platform_allocate(size * sizeof *made->index);
    made->size = slots;
    made->count = 1;
    made->mask = size - 1;
    made->alive = 0;
    return allocated && made->index != NULL;
}

bool runs_open(const struct plan *first_plan, uint32_t slots)
{
    plan = first_plan;
    return make_table(&table, slots);
}

uint32_t runs_count(void)
{
    return table.count;
}

uint32_t runs_alive(void)
{
    return table.alive;
}

struct run *runs_at(uint32_t slot)
{
    return platform_slot(&table.runs, slot);
}

struct run *runs_named(struct run_id run)
{
    bool there = run.slot < table.size && runs_at(run.slot)->generation == run.generation;
    return there ? runs_at(run.slot) : NULL;
}

static uint32_t home(pid_t pid)
{
    return (uint32_t)pid * 2654435761u & table.mask; /* Knuth's multiplicative hash */
}

/* The place of `pid`, or the empty one where it would be. */
static uint32_t place_of(pid_t pid)
{
    uint32_t at = home(pid);
    while (table.index[at] != 0 && runs_at(table.index[at] - 1)->pid != pid)
        at = (at + 1) & table.mask;
    return at;
}

void runs_insert(uint32_t slot, pid_t pid)
{
    table.index[place_of(pid)] = slot + 1;
    runs_at(slot)->pid = runs_at(slot)->last_pid = pid;
    table.alive++;
    if (slot >= table.count)
        table.count = slot + 1;
}

uint32_t runs_find(pid_t pid)
{
    return table.index[place_of(pid)] - 1; /* an empty place gives NO_SLOT */
}

void runs_remove(uint32_t slot)
{
    uint32_t hole = place_of(runs_at(slot)->pid);
    runs_at(slot)->pid = 0;
    table.alive--;
    table.index[hole] = 0;
    /* Whoever was pushed on by the one that left moves back, or the search would stop at the hole.
     */
    for (uint32_t at = (hole + 1) & table.mask; table.index[at] != 0; at = (at + 1) & table.mask) {
        uint32_t wanted = home(runs_at(table.index[at] - 1)->pid);
        if (((at - wanted) & table.mask) < ((at - hole) & table.mask))
            continue;
        table.index[hole] = table.index[at];
        table.index[at] = 0;
        hole = at;
    }
}

/* ---- signals for them ---- */

/* kill(2), or sigqueue(3) with the value that came with the signal. */
static int send_signal(uint32_t slot, int signal, bool group, const struct platform_signal *arrived)
{
    const struct run *run = runs_at(slot);
    if (run->joined)
        return jobs_signal(slot, signal);
    if (group && run->own_group)
        return kill(-run->pid, signal);
    if (arrived != NULL && arrived->queued) {
        const union sigval value = {.sival_ptr = arrived->value};
        if (sigqueue(run->pid, signal, value) == 0)
            return 0;
    }
    return kill(run->pid, signal);
}

static const char *name_of(const struct run *run)
{
    return run->worker == NO_WORKER ? "job" : plan->workers[run->worker].name;
}

void platform_send(struct run_id run_id, int signal, bool group,
                   const struct platform_signal *arrived, bool wake)
{
    struct run *run = runs_named(run_id);
    if (run == NULL || run->pid == 0)
        return;
    if (send_signal(run_id.slot, signal, group, arrived) < 0 && errno != ESRCH)
        log_about(LEVEL_WARNING, name_of(run), run->pid,
                  "may not send signal %d to process %ld: %s", signal, (long)run->pid,
                  strerror(errno));
    else if (wake && run->stopped)
        send_signal(run_id.slot, SIGCONT, group, NULL);
    if (signal == SIGCONT || wake)
        run->stopped = false; /* the kernel's word for it comes later, if it comes */
}

bool platform_stopped(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    struct process process;
    if (run == NULL || run->pid == 0 || !run->stopped)
        return false;
    /* The shell may have continued it together with us, and waitpid(2) not said so yet. */
    return !procfs_read(run->pid, &process) || process.state == 'T';
}

bool platform_hand_over(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    return run != NULL && run->pid != 0 && terminal_hand_over(run->pid);
}

long platform_pid(struct run_id run_id)
{
    const struct run *run = runs_named(run_id);
    return run != NULL ? run->pid : 0;
}

/* ---- a new plan ---- */

bool runs_prepare(uint32_t slots)
{
    return make_table(&next_table, slots);
}

void runs_drop(void)
{
    platform_free_slots(&next_table.runs);
    platform_free(next_table.index);
    next_table = (struct table){0};
}

void runs_reload(const struct plan *new_plan, const struct reload *reload)
{
    struct table old = table;
    plan = new_plan;
    table = next_table;
    next_table = old; /* to be dropped */
    for (uint32_t slot = 0; slot < reload->slots; slot++) {
        uint32_t was = reload->old_slot_of[slot];
        if (was == NO_SLOT || was >= old.size)
            continue;
        struct run *run = runs_at(slot);
        *run = *(const struct run *)platform_slot(&old.runs, was);
        if (run->worker < reload->old_workers)
            run->worker = reload->new_worker_of[run->worker];
        if (run->pid != 0)
            runs_insert(slot, run->pid);
        if (was < old.count && slot >= table.count)
            table.count = slot + 1;
    }
    runs_drop();
}
