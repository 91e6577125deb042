#include "small.h"

#include "check.h"
#include "facts.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  24
#define TABLE_BITS 22

/* One thing that may happen next. */
enum choice {
    CHOOSE_DEADLINE, /* time passes until the core wants to be woken */
    CHOOSE_SECOND,   /* time passes, but not so far */
    CHOOSE_SIGNAL,
    CHOOSE_KEY, /* the same signal from the keyboard */
    CHOOSE_OTHER_SIGNAL,
    CHOOSE_REQUEST,
    CHOOSE_HOLD,
    CHOOSE_HOLD_SHORTLY,
    CHOOSE_RELEASE,
    CHOOSE_EXTEND,
    CHOOSE_ERROR,
    CHOOSE_SUBMIT,
    CHOOSE_JOIN,
    CHOOSE_WANT,
    CHOOSE_UNWANT,
    CHOOSE_READY,   /* the first instance that is not says that it is */
    CHOOSE_STOP,    /* the first worker is to stop, */
    CHOOSE_GO,      /* and to run */
    CHOOSE_RESTART, /* the first worker is to be started anew */
    CHOOSE_FAIL,    /* the last instance is found unwell */
    CHOOSE_RELOAD,
    CHOOSE_FORK,   /* the first instance has another child */
    CHOOSE_ORPHAN, /* somebody's child is adopted */
    CHOOSE_ENDS,   /* process i / 2 ends, well or not; and so on for all */
};

#define CAN(choice) (1u << (choice))
#define CAN_ALWAYS  (CAN(CHOOSE_DEADLINE) | CAN(CHOOSE_SIGNAL))

struct small_world {
    const char *name;
    uint32_t depth;
    uint32_t choices;
    struct setting setting;
};

/* ---- the worlds ---- */

#define LADDER .rung_count = 2, .rung_time = {3 * SECOND, SECOND}, .shield_timeout = 4 * SECOND
#define START  .autostart = true, .ready_timeout = NEVER
#define TOLD   .autostart = true, .ready_told = true, .ready_timeout = 2 * SECOND
#define ONE    .workers = {{.instances = 1}}, .rules = {{START, LADDER}}
#define TIMES  .timeout = 10 * SECOND, .orphan_time = 3 * SECOND

static struct small_world worlds[] = {
    {.name = "a command with shields",
     .depth = 10,
     .choices = CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_HOLD) | CAN(CHOOSE_HOLD_SHORTLY) |
                CAN(CHOOSE_RELEASE) | CAN(CHOOSE_EXTEND) | CAN(CHOOSE_FORK),
     .setting = {ONE, .config = {.worker_count = 1,
                                 TIMES,
                                 .launcher = true,
                                 .repeat = CORE_REPEAT_KEYBOARD,
                                 .shield_capacity = 1}}},
    {.name = "a command that is restarted",
     .depth = 10,
     .choices = CAN_ALWAYS | CAN(CHOOSE_FORK) | CAN(CHOOSE_WANT) | CAN(CHOOSE_UNWANT) |
                CAN(CHOOSE_REQUEST),
     .setting =
         {.workers = {{.instances = 1}},
          .rules = {{START, LADDER, .restart = RESTART_ON_FAILURE,
                     .backoff = {.min = 100, .max = 300, .limit = 2, .limit_window = SECOND}}},
          .config = {.worker_count = 1, TIMES, .launcher = true}}},
    {.name = "two waves",
     .depth = 11,
     .choices = CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_OTHER_SIGNAL) | CAN(CHOOSE_SECOND),
     .setting = {.workers = {{.instances = 1}, {.instances = 1, .wave = 1}},
                 .rules = {{START, LADDER}, {START, LADDER}},
                 .config = {.worker_count = 2,
                            TIMES,
                            .repeat = CORE_REPEAT_ESCALATE,
                            .drain_delay = SECOND,
                            .forever = true}}},
    {.name = "jobs",
     .depth = 9,
     .choices =
         CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_SUBMIT) | CAN(CHOOSE_JOIN) | CAN(CHOOSE_SECOND),
     .setting = {ONE, .config = {.worker_count = 1,
                                 TIMES,
                                 .launcher = true,
                                 .repeat = CORE_REPEAT_KEYBOARD,
                                 .job_capacity = 3,
                                 .job_workers = 1}}},
    {.name = "orphans",
     .depth = 10,
     .choices = CAN_ALWAYS | CAN(CHOOSE_ORPHAN) | CAN(CHOOSE_SECOND) | CAN(CHOOSE_KEY),
     .setting = {ONE, .config = {.worker_count = 1,
                                 TIMES,
                                 .launcher = true,
                                 .repeat = CORE_REPEAT_KEYBOARD,
                                 .orphans = CORE_ORPHANS_STOP}}},
    {.name = "orphans that are waited for",
     .depth = 9,
     .choices = CAN_ALWAYS | CAN(CHOOSE_ORPHAN) | CAN(CHOOSE_FORK),
     .setting = {ONE, .config = {.worker_count = 1,
                                 TIMES,
                                 .launcher = true,
                                 .orphans = CORE_ORPHANS_WAIT}}},
    {.name = "orphans that stay",
     .depth = 9,
     .choices = CAN_ALWAYS | CAN(CHOOSE_ORPHAN) | CAN(CHOOSE_FORK),
     .setting = {ONE,
                 .config = {.worker_count = 1, TIMES, .launcher = true, .daemons_stay = true}}},
    {.name = "handler, callback and on-error",
     .depth = 9,
     .choices = CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_ERROR) | CAN(CHOOSE_REQUEST) |
                CAN(CHOOSE_SECOND),
     .setting = {ONE, .config = {.worker_count = 1,
                                 TIMES,
                                 .forever = true,
                                 .repeat = CORE_REPEAT_KEYBOARD,
                                 .has_handler = true,
                                 .has_callback = true,
                                 .has_on_error = true,
                                 .error_hooks = 1}}},
    {.name = "a worker that needs one, and one that comes after both",
     .depth = 8,
     .choices =
         CAN_ALWAYS | CAN(CHOOSE_READY) | CAN(CHOOSE_STOP) | CAN(CHOOSE_GO) | CAN(CHOOSE_RELOAD),
     .setting = {.after = {{{0}}, {{.worker = 0, .needs = true}}, {{.worker = 0}, {.worker = 1}}},
                 .workers = {{.instances = 1},
                             {.wave = 1, .after_count = 1, .instances = 1},
                             {.wave = 2, .after_count = 2, .instances = 1}},
                 .rules = {{TOLD, LADDER}, {TOLD, LADDER}, {START, LADDER}},
                 .config = {.worker_count = 3, TIMES, .forever = true}}},
    {.name = "two instances that are renewed",
     .depth = 8,
     .choices = CAN_ALWAYS | CAN(CHOOSE_READY) | CAN(CHOOSE_RESTART) | CAN(CHOOSE_STOP) |
                CAN(CHOOSE_FAIL) | CAN(CHOOSE_RELOAD),
     .setting = {.workers = {{.instances = 2}},
                 .rules = {{.autostart = true,
                            .ready_told = true,
                            .ready_timeout = 2 * SECOND,
                            .watchdog = 7 * SECOND,
                            .max_age = 5 * SECOND,
                            .restart = RESTART_ON_FAILURE,
                            .backoff = {.min = 100, .max = 100, .limit = 1, .limit_window = SECOND},
                            LADDER}},
                 .config = {.worker_count = 1, TIMES, .forever = true}}},
    {.name = "a command with companions",
     .depth = 10,
     .choices =
         CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_WANT) | CAN(CHOOSE_UNWANT) | CAN(CHOOSE_FORK),
     .setting =
         {.workers = {{.instances = 1}},
          .rules = {{START, .restart = RESTART_ON_FAILURE,
                     .backoff = {.min = 100, .max = 100, .limit = 1, .limit_window = SECOND},
                     .has_before_start = true, .has_after_stop = true, .has_health = true,
                     .health_interval = SECOND, .health_timeout = 300, .health_retries = 2,
                     LADDER}},
          .config = {.worker_count = 1, TIMES, .launcher = true, .repeat = CORE_REPEAT_KEYBOARD}}},
    {.name = "no cap",
     .depth = 10,
     .choices =
         CAN_ALWAYS | CAN(CHOOSE_KEY) | CAN(CHOOSE_SECOND) | CAN(CHOOSE_FORK) | CAN(CHOOSE_ORPHAN),
     .setting = {.workers = {{.instances = 1}},
                 .rules = {{START, .rung_count = 1, .rung_time = {NEVER}, .shield_timeout = NEVER}},
                 .config = {.worker_count = 1,
                            .timeout = NEVER,
                            .orphan_time = NEVER,
                            .launcher = true,
                            .repeat = CORE_REPEAT_ESCALATE,
                            .stop_on_unhandled_errors = true}}},
};

/* ---- what may happen ---- */

static void end_process(struct world *world, uint32_t which)
{
    struct proc *proc = &world->procs[which / 2];
    proc->end = (struct ending){ENDING_EXITED, which % 2};
    if (world_end(world, proc))
        world_reaped(world);
}

static bool pass_to_deadline(struct world *world, msec deadline)
{
    if (deadline == NEVER)
        return false;
    check_time(world, deadline);
    world->now = deadline;
    world_wake(world);
    return true;
}

static bool pass_second(struct world *world, msec deadline)
{
    if (!world->entered || world->now + SECOND >= deadline)
        return false;
    world->now += SECOND;
    world_time(world);
    return true;
}

static bool fork_member(struct world *world)
{
    uint32_t slot = world->first_instance;
    const struct record *record = &world->records[slot];
    if (record->life != UP || record->killed || world->proc_count > 3)
        return false;
    return world_fork(world, slot, record->generation) != NULL;
}

static bool fork_orphan(struct world *world)
{
    if (fact_workers_up(world) == 0 || world->proc_count > 3 ||
        world->records[world->first_instance].killed)
        return false;
    return world_fork(world, 0, 0) != NULL;
}

static bool get_ready(struct world *world)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->life != UP || record->ready)
            continue;
        world_ready(world, i);
        return true;
    }
    return false;
}

static bool end_something(struct world *world, uint32_t which)
{
    const struct proc *proc = &world->procs[which / 2];
    bool differs = proc->is_main || which % 2 == 0; /* nobody asks how a child ended */
    if (which / 2 >= world->proc_count || !proc->alive || !differs)
        return false;
    end_process(world, which);
    return true;
}

/* Does one thing; false when it cannot be done now. */
static bool choose(struct world *world, uint32_t choice)
{
    uint32_t slot = world->first_instance;
    bool up = world->records[slot].life == UP;
    msec deadline = core_deadline(world_core(world));
    if (choice >= CHOOSE_ENDS)
        return end_something(world, choice - CHOOSE_ENDS);
    switch ((enum choice)choice) {
    case CHOOSE_DEADLINE:
        return pass_to_deadline(world, deadline);
    case CHOOSE_SECOND:
        return pass_second(world, deadline);
    case CHOOSE_SIGNAL:
        world_signal(world, 14, false);
        return true;
    case CHOOSE_KEY:
        world_signal(world, 14, true);
        return true;
    case CHOOSE_OTHER_SIGNAL:
        world_signal(world, 1, true);
        return true;
    case CHOOSE_REQUEST:
        world_ask(world, true, 4);
        return true;
    case CHOOSE_HOLD:
        world_hold(world, slot, 0, 0);
        return true;
    case CHOOSE_HOLD_SHORTLY:
        world_hold(world, slot, 1, world->now + 700);
        return true;
    case CHOOSE_RELEASE:
        world_release(world, slot, 0);
        return true;
    case CHOOSE_EXTEND:
        world_extend(world, slot, world->now + 6 * SECOND);
        return true;
    case CHOOSE_ERROR:
        world_error(world, slot);
        return up;
    case CHOOSE_SUBMIT:
        world_submit(world, slot);
        return true;
    case CHOOSE_JOIN:
        world_join(world, slot, world->now + 2 * SECOND);
        return true;
    case CHOOSE_WANT:
        world_want(world, slot, true);
        return true;
    case CHOOSE_UNWANT:
        world_want(world, slot, false);
        return true;
    case CHOOSE_READY:
        return get_ready(world);
    case CHOOSE_STOP:
        world_want_worker(world, 0, false);
        return true;
    case CHOOSE_GO:
        world_want_worker(world, 0, true);
        return true;
    case CHOOSE_RESTART:
        world_restart(world, 0);
        return true;
    case CHOOSE_FAIL:
        world_fail(world, world->first_job - 1, WHY_HEALTH);
        return true;
    case CHOOSE_RELOAD:
        world_reload(world, 0);
        return true;
    case CHOOSE_FORK:
        return fork_member(world);
    case CHOOSE_ORPHAN:
        return fork_orphan(world);
    case CHOOSE_ENDS:
        break;
    }
    return false;
}

/* ---- the search ---- */

static struct world stack[DEPTH_MAX + 1];
static uint32_t path[DEPTH_MAX], path_length;
static uint64_t
    *table; /* of states seen: their hash, and how many steps were left in the low bits */
static uint64_t states;

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        hash = (hash ^ word) * 0x9ddfea08eb382d69u;
        hash ^= hash >> 29;
    }
    return hash;
}

static uint64_t hash_of(struct world *world)
{
    uint64_t hash =
        mix(1, &world->now, offsetof(struct world, records) - offsetof(struct world, now));
    hash = mix(hash, world->records, world->record_count * sizeof *world->records);
    hash = mix(hash, world->procs, world->proc_count * sizeof *world->procs);
    hash = mix(hash, &world->queue, offsetof(struct world, block) - offsetof(struct world, queue));
    size_t changing = offsetof(struct core, now); /* behind the configuration */
    return mix(hash, world->block + changing, world_core(world)->size - changing);
}

/* Was this state looked at before, with as many steps left? */
static bool is_known(struct world *world, uint32_t left)
{
    uint64_t hash = hash_of(world) << 5;
    uint64_t *cell = &table[hash >> (64 - TABLE_BITS)];
    if ((*cell & ~(uint64_t)31) == hash && (*cell & 31) >= left)
        return true;
    *cell = hash | left;
    return false;
}

static void explore(const struct small_world *small, uint32_t depth_max, uint32_t depth)
{
    struct world *world = &stack[depth];
    if (world->exited || depth == depth_max || is_known(world, depth_max - depth))
        return;
    states++;
    uint32_t choices = CHOOSE_ENDS + 2 * world->proc_count;
    for (uint32_t choice = 0; choice < choices; choice++) {
        if (choice < CHOOSE_ENDS && !(small->choices & CAN(choice)))
            continue;
        world_copy(&stack[depth + 1], world);
        path[depth] = choice;
        path_length = depth + 1;
        if (!choose(&stack[depth + 1], choice))
            continue;
        world_settle(&stack[depth + 1]);
        explore(small, depth_max, depth + 1);
    }
}

static void begin(struct world *world, struct small_world *small, jmp_buf *failed)
{
    small->setting.silent = true;
    small->setting.config.workers = small->setting.workers;
    for (uint32_t i = 0; i < WORKERS_MAX; i++) {
        small->setting.workers[i].rules = &small->setting.rules[i];
        small->setting.workers[i].after = small->setting.after[i];
    }
    world_init(world, &small->setting, 1);
    world->failed = failed;
}

static void replay(struct small_world *small)
{
    jmp_buf failed;
    struct world *world = &stack[0];
    begin(world, small, &failed);
    world->trace = true;
    trace_setting(&small->setting);
    if (setjmp(failed) != 0)
        return;
    world_begin(world);
    world_settle(world);
    for (uint32_t i = 0; i < path_length; i++) {
        choose(world, path[i]);
        world_settle(world);
    }
}

static void search(struct small_world *small, uint32_t depth)
{
    path_length = 0;
    states = 0;
    world_begin(&stack[0]);
    world_settle(&stack[0]);
    explore(small, depth, 0);
    printf("%9llu states: %s\n", (unsigned long long)states, small->name);
}

uint32_t small_count(void)
{
    return sizeof worlds / sizeof *worlds;
}

bool small_run(uint32_t which, uint32_t shallower)
{
    struct small_world *small = &worlds[which];
    volatile bool kept = true;
    jmp_buf failed;
    table = calloc((size_t)1 << TABLE_BITS, sizeof *table);
    if (table == NULL)
        abort();
    begin(&stack[0], small, &failed);
    if (setjmp(failed) == 0) {
        search(small, small->depth - shallower);
    } else {
        kept = false;
        replay(small);
        printf("P%d is broken in the small world '%s': %s\n", broken_promise, small->name,
               broken_text);
    }
    free(table);
    return kept;
}
