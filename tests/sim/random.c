#include "random.h"

#include "check.h"
#include "facts.h"
#include "trace.h"

#include <stdio.h>
#include <string.h>

#define STEPS_MAX        5000
#define SCRIPT_STEPS_MAX 600 /* after which no more happens from outside, */
#define IDLE_STEPS_MAX   60  /* and then a schedule that would go on for ever is ended */

static uint64_t steps;

/* ---- what a schedule is about ---- */

static uint64_t next_random(uint64_t *random)
{
    *random += 0x9e3779b97f4a7c15u;
    uint64_t mixed = *random;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static uint32_t below(uint64_t *random, uint32_t n)
{
    return (uint32_t)((next_random(random) >> 32) * n >> 32);
}

static bool chance(uint64_t *random, uint32_t of)
{
    return below(random, of) == 0;
}

static msec choose_msec(uint64_t *random, const msec *list, uint32_t count)
{
    return list[below(random, count)];
}

#define CHOOSE(random, ...)                                                                        \
    choose_msec(random, (const msec[]){__VA_ARGS__},                                               \
                sizeof((const msec[]){__VA_ARGS__}) / sizeof(msec))

static void choose_ladder(uint64_t *random, struct core_rules *rules)
{
    static const uint32_t counts[] = {1, 1, 1, 2, 2, 3, 8};
    rules->rung_count = counts[below(random, 7)];
    for (uint32_t i = 0; i < rules->rung_count; i++)
        rules->rung_time[i] = CHOOSE(random, 0, 1, 50, 1000, 3000, 3000, 20000, NEVER);
}

static void choose_restart(uint64_t *random, struct core_rules *rules, bool launcher)
{
    rules->restart =
        launcher && !chance(random, 3) ? RESTART_NEVER : (enum policy_restart)below(random, 3);
    rules->backoff.min = CHOOSE(random, 0, 1, 100, 100, 1000);
    rules->backoff.max = msec_max(rules->backoff.min, CHOOSE(random, 100, 500, 30000));
    rules->backoff.limit = below(random, 4);
    rules->backoff.limit_window = CHOOSE(random, 1, 1000, 60000);
}

static void choose_order(uint64_t *random, struct setting *setting, uint32_t index)
{
    struct core_worker *worker = &setting->workers[index];
    for (uint32_t i = 0; i < index; i++) {
        if (!chance(random, 2))
            continue;
        setting->after[index][worker->after_count++] = (struct core_link){i, chance(random, 2)};
    }
    bool needless = chance(random, 8);
    for (uint32_t n = 0; needless && n < worker->after_count; n++)
        setting->after[index][n].needs = false;
    worker->after = setting->after[index];
    setting->rules[index].autostart = !chance(random, 5);
}

static void choose_watch(uint64_t *random, struct core_rules *rules)
{
    rules->ready_told = chance(random, 2);
    rules->ready_timeout = CHOOSE(random, 1, 300, 5000, 60000, NEVER);
    rules->watchdog = chance(random, 4) ? CHOOSE(random, 1, 100, 3000, NEVER) : 0;
    rules->max_age = chance(random, 4) ? CHOOSE(random, 1, 50, 1000, 10000) : 0;
}

static void choose_companion(uint64_t *random, struct core_rules *rules)
{
    rules->has_before_start = chance(random, 2);
    rules->has_after_stop = chance(random, 2);
    rules->has_health = chance(random, 2);
    rules->health_interval = CHOOSE(random, 1, 100, 2000);
    rules->health_timeout = CHOOSE(random, 1, 500, 9000, NEVER);
    rules->health_retries = below(random, 4);
}

static void choose_worker(uint64_t *random, struct setting *setting, uint32_t index)
{
    struct core_worker *worker = &setting->workers[index];
    struct core_rules *rules = &setting->rules[index];
    bool launcher = setting->config.launcher;
    worker->rules = rules;
    worker->instances = launcher ? 1 : 1 + below(random, 2);
    worker->wave = index == 0 ? 0 : setting->workers[index - 1].wave + below(random, 2);
    rules->shield_timeout = CHOOSE(random, 1, 500, 4000, 60000, NEVER);
    rules->success.requested = chance(random, 3);
    if (chance(random, 4))
        success_add_code(&rules->success, 3);
    choose_restart(random, rules, launcher);
    choose_ladder(random, rules);
    rules->autostart = true;
    rules->ready_timeout = NEVER;
    if (!launcher && chance(random, 2))
        choose_order(random, setting, index);
    if (chance(random, 3))
        choose_watch(random, rules);
    if (chance(random, 4))
        choose_companion(random, rules);
}

static void choose_config(uint64_t *random, struct core_config *config)
{
    config->timeout = CHOOSE(random, 0, 1, 7, 100, 1000, 5000, 10000, 10000, 30000, 60000, NEVER);
    config->drain_delay = chance(random, 3) ? CHOOSE(random, 1, 200, 2000, 9000) : 0;
    if (config->timeout != NEVER)
        config->drain_delay = msec_min(config->drain_delay, config->timeout / 4);
    config->orphan_time = CHOOSE(random, 0, 20, 1000, 5000, 10000, NEVER);
    config->repeat = (enum core_repeat)below(random, 3);
    config->orphans = (enum core_orphans)below(random, 3);
    config->launcher = chance(random, 2);
    config->daemons_stay = config->launcher && chance(random, 3);
    config->forever = chance(random, config->launcher ? 5 : 2);
    config->has_handler = chance(random, 5);
    config->has_callback = chance(random, 4);
    config->has_on_error = chance(random, 4);
    config->error_hooks = config->has_on_error ? below(random, 3) : 0;
    config->stop_on_unhandled_errors = !config->has_on_error && chance(random, 4);
    config->job_capacity = below(random, 4);
    config->job_workers = 1 + below(random, 2);
    config->shield_capacity = below(random, 5);
}

static void choose_setting(uint64_t *random, struct setting *setting)
{
    memset(setting, 0, sizeof *setting);
    choose_config(random, &setting->config);
    uint32_t count = setting->config.launcher ? 1 : 1 + below(random, WORKERS_MAX);
    if (setting->config.forever && chance(random, 20))
        count = 0;
    setting->config.workers = setting->workers;
    setting->config.worker_count = count;
    for (uint32_t i = 0; i < count; i++)
        choose_worker(random, setting, i);
    setting->lazy = chance(random, 8);
    setting->unkillable = chance(random, 3);
    setting->orderly = chance(random, 3);
    setting->events = below(random, 16);
}

/* ---- what happens from outside ---- */

static msec pick_gap(struct world *world)
{
    static const msec gaps[] = {0, 0, 1, 10, 100, 400, 1000, 1001, 2500, 12000};
    return gaps[world_pick(world, sizeof gaps / sizeof *gaps)];
}

static msec pick_until(struct world *world)
{
    static const msec spans[] = {1, 100, 1500, 5000, 30000};
    uint32_t which = world_pick(world, 6);
    return which == 5 ? NEVER : world->now + spans[which];
}

/* Any instance; a slot that is none when there are none. */
static uint32_t pick_instance(struct world *world)
{
    uint32_t count = world->first_job - world->first_instance;
    return count == 0 ? 0 : world->first_instance + world_pick(world, count);
}

/* A report about a run that is over, or never was. */
static void be_late(struct world *world)
{
    static const enum core_event_kind kinds[] = {
        EVENT_STARTED, EVENT_NOT_STARTED, EVENT_EXITED, EVENT_TREE,  EVENT_HOLD,  EVENT_RELEASE,
        EVENT_EXTEND,  EVENT_ERROR,       EVENT_READY,  EVENT_ALIVE, EVENT_FAILED};
    uint32_t slot = 1 + world_pick(world, world->record_count); /* one is out of range */
    uint32_t kind = world_pick(world, sizeof kinds / sizeof *kinds);
    struct core_event event = {.kind = kinds[kind],
                               .run = {slot, 0},
                               .end = {ENDING_EXITED, 1},
                               .why = WHY_HEALTH,
                               .left = world_pick(world, 2),
                               .name = "a",
                               .until = world->now + 100};
    unsigned char before[CORE_BYTES];
    if (slot < world->record_count) {
        const struct record *record = &world->records[slot];
        event.run.generation = record->generation;
        if (record->life != GONE)
            event.run.generation -= 1 + world_pick(world, 2);
    }
    memcpy(before, world->block, world_core(world)->size);
    bool accepted = world_record(world, &event);
    check_refusal(world, before, &event, false, accepted, 11);
}

/* Only who lives, and was not killed, can have children. */
static bool is_fertile(const struct world *world)
{
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].alive && !world->procs[i].killed)
            return true;
    return false;
}

static void fork_something(struct world *world)
{
    if (!is_fertile(world))
        return;
    uint32_t slot = 1 + world_pick(world, world->record_count - 1);
    const struct record *record = &world->records[slot];
    if (record->life == UP && !record->killed && world_pick(world, 2))
        world_fork(world, slot, world->records[slot].generation);
    else
        world_fork(world, 0, 0);
    if (world_pick(world, 2))
        world_reaped(world);
}

static void crash_something(struct world *world)
{
    if (world->proc_count == 0)
        return;
    struct proc *proc = &world->procs[world_pick(world, world->proc_count)];
    if (proc->alive)
        proc->dies_at = world->now;
}

static void send_signal(struct world *world)
{
    int other = (int)world_pick(world, 3);
    int cause = world_pick(world, 3) ? 14 : other;
    world_signal(world, cause, world_pick(world, 2));
}

static void ask(struct world *world)
{
    bool given = world_pick(world, 2);
    world_ask(world, given, world_pick(world, 5));
}

static void want(struct world *world)
{
    uint32_t slot = pick_instance(world);
    world_want(world, slot, world_pick(world, 2));
}

static void release(struct world *world)
{
    uint32_t slot = pick_instance(world);
    world_release(world, slot, world_pick(world, NAMES));
}

static void extend(struct world *world)
{
    uint32_t slot = pick_instance(world);
    world_extend(world, slot, pick_until(world));
}

static void join(struct world *world)
{
    uint32_t slot = world_pick(world, world->record_count);
    world_join(world, slot, world_pick(world, 3) ? pick_until(world) : 0);
}

static void hold(struct world *world)
{
    bool instance = world_pick(world, 8);
    uint32_t slot = instance ? pick_instance(world) : world_pick(world, world->record_count);
    uint32_t name = world_pick(world, NAMES);
    world_hold(world, slot, name, world_pick(world, 3) ? pick_until(world) : 0);
}

/* What only fleets know. */
static void happen_to_fleet(struct world *world)
{
    uint32_t worker = world_pick(world, world->setting->config.worker_count + 1);
    switch (world_pick(world, 9)) {
    case 0:
        world_ready(world, pick_instance(world));
        break;
    case 1:
        world_alive(world, pick_instance(world));
        break;
    case 2:
        world_fail(world, pick_instance(world), WHY_HEALTH);
        break;
    case 3:
    case 4:
        world_restart(world, worker);
        break;
    case 5:
        world_drain(world, world_pick(world, 2));
        break;
    case 6:
        world_reload(world, worker);
        break;
    default:
        world_want_worker(world, worker, world_pick(world, 3) > 0);
        break;
    }
}

static void limit(struct world *world)
{
    bool late = world_pick(world, 8) == 0;
    world_limit(world, late ? world->now - 1 : msec_add(world->now, world_pick(world, 15000)));
}

static void happen(struct world *world)
{
    if (world_pick(world, 60) == 0)
        limit(world);
    switch (world_pick(world, 26)) {
    case 0:
    case 1:
    case 2:
    case 3:
        send_signal(world);
        break;
    case 4:
        ask(world);
        break;
    case 5:
    case 6:
    case 7:
        hold(world);
        break;
    case 8:
    case 9:
        release(world);
        break;
    case 10:
        extend(world);
        break;
    case 11:
        world_error(world, pick_instance(world));
        break;
    case 12:
        world_submit(world, world_pick(world, world->record_count));
        break;
    case 13:
        join(world);
        break;
    case 14:
    case 15:
        want(world);
        break;
    case 16:
        fork_something(world);
        break;
    case 17:
        be_late(world);
        break;
    case 18:
    case 19:
    case 20:
    case 21:
    case 22:
    case 23:
        happen_to_fleet(world);
        break;
    default:
        crash_something(world);
        break;
    }
}

/* ---- the course of time ---- */

static msec next_death(const struct world *world)
{
    msec when = NEVER;
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].alive)
            when = msec_min(when, world->procs[i].dies_at);
    return when;
}

static msec next_word(const struct world *world)
{
    msec when = NEVER;
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].alive)
            when = msec_min(when, msec_min(world->procs[i].ready_at, world->procs[i].pings_at));
    return when;
}

/* Whoever is to say something now says it. */
static void say_something(struct world *world)
{
    for (uint32_t i = 0; i < world->proc_count; i++) {
        struct proc *proc = &world->procs[i];
        if (!proc->alive)
            continue;
        if (proc->ready_at <= world->now) {
            proc->ready_at = NEVER;
            world_ready(world, proc->slot);
        } else if (proc->pings_at <= world->now) {
            msec watchdog =
                world->setting->workers[world->records[proc->slot].owner].rules->watchdog;
            proc->pings_at = proc->pings > 0 ? msec_add(world->now, watchdog / 2 + 1) : NEVER;
            proc->pings -= proc->pings > 0;
            world_alive(world, proc->slot);
        }
    }
}

/* Ends whoever is to end now: sometimes one by one, sometimes all in one go. */
static void end_processes(struct world *world)
{
    bool reaped = false;
    bool batch = world_pick(world, 2);
    for (uint32_t i = 0; i < world->proc_count; i++) {
        struct proc *proc = &world->procs[i];
        if (!proc->alive || proc->dies_at > world->now)
            continue;
        reaped = world_end(world, proc) || reaped;
        if (!batch)
            break;
    }
    if (reaped)
        world_reaped(world);
}

/* The script is over.  Somebody asks for a shutdown; when even that does not end it, for want of a
 * cap, everybody dies. */
static void bring_to_an_end(struct world *world)
{
    world->ending = true;
    if (!world->entered) {
        world_ask(world, false, 0);
        return;
    }
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].dies_at == NEVER)
            world->procs[i].dies_at = world->now + 1;
}

static msec choose_time(struct world *world, msec deadline)
{
    msec when = msec_min(next_death(world), world->script_left ? world->script_at : NEVER);
    when = msec_min(when, next_word(world));
    if (deadline <= when)
        return world->setting->lazy ? msec_max(world->now, deadline) + world_pick(world, 3000)
                                    : deadline;
    return msec_max(world->now, when);
}

static void take_a_step(struct world *world)
{
    msec deadline = core_deadline(world_core(world));
    msec script = world->script_left ? world->script_at : NEVER;
    bool quiet = deadline == NEVER && next_death(world) == NEVER && next_word(world) == NEVER;
    bool over = script == NEVER && !world->ending;
    bool endless = over && ++world->idle_steps > IDLE_STEPS_MAX; /* as health checks are */
    if (script == NEVER && (quiet || endless)) {
        bring_to_an_end(world);
        world_settle(world);
        return;
    }
    msec next = choose_time(world, deadline);
    check_time(world, next);
    bool alarm = deadline <= next;
    world->now = next;
    if (alarm && world_pick(world, 2)) {
        world_wake(world);
        return;
    }
    if (next_death(world) <= next) {
        end_processes(world);
    } else if (next_word(world) <= next) {
        say_something(world);
    } else if (script <= next) {
        world->script_left--;
        world->script_at = next + pick_gap(world);
        happen(world);
    }
    if (world->told_at < next)
        world_time(world);
    world_settle(world);
}

static void outlive_exit(struct world *world)
{
    for (uint32_t i = 0; i < 3; i++) {
        world->now += 10;
        if (i == 1)
            world_signal(world, 14, true);
        else
            world_time(world);
        world->force_expected = false;
        world_settle(world);
    }
}

static void run(struct world *world)
{
    if (world_pick(world, 8) == 7)
        world_fork(world, 0, 0); /* inherited through exec */
    world->script_left = world->setting->events;
    world->script_at = world->now + pick_gap(world);
    world_begin(world);
    world_settle(world);
    for (uint32_t step = 0; !world->exited; step++) {
        if (step > STEPS_MAX)
            broken(world, 8, "the exit does not come in %d steps", STEPS_MAX);
        if (step > SCRIPT_STEPS_MAX)
            world->script_left = 0;
        take_a_step(world);
        steps++;
    }
    outlive_exit(world);
}

bool random_run(uint64_t seed, bool trace)
{
    static struct world world;
    static struct setting setting;
    jmp_buf failed;
    uint64_t random = seed;
    choose_setting(&random, &setting);
    world_init(&world, &setting, next_random(&random));
    world.trace = trace;
    world.failed = &failed;
    if (trace)
        trace_setting(&setting);
    if (setjmp(failed) != 0)
        return false;
    run(&world);
    return true;
}

void random_report(void)
{
    printf("%llu steps of time\n", (unsigned long long)steps);
}
