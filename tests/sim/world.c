#include "world.h"

#include "check.h"
#include "facts.h"
#include "note.h"
#include "trace.h"

#include <assert.h>
#include <string.h>

enum {
    SLOT_HANDLER = 1,
    SLOT_ERRORS = 3,
    SIGNAL_KILL = 9,
    SIGNAL_SEGV = 11,
    SIGNAL_TERM = 15,
};

/* ---- chance ---- */

uint32_t world_pick(struct world *world, uint32_t n)
{
    if (world->setting->silent)
        return 0;
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (uint32_t)((world->random >> 32) * n >> 32);
}

static msec pick_delay(struct world *world)
{
    static const msec delays[] = {0, 0, 1, 20, 300, 900, 2500, 8000, 40000};
    return delays[world_pick(world, sizeof delays / sizeof *delays)];
}

/* ---- processes ---- */

struct proc *world_main(struct world *world, uint32_t slot)
{
    for (uint32_t i = 0; i < world->proc_count; i++) {
        struct proc *proc = &world->procs[i];
        if (proc->alive && proc->is_main && proc->slot == slot)
            return proc;
    }
    return NULL;
}

bool world_has_members(const struct world *world, uint32_t slot, uint32_t generation)
{
    for (uint32_t i = 0; i < world->proc_count; i++) {
        const struct proc *proc = &world->procs[i];
        if (proc->alive && !proc->is_main && proc->slot == slot && proc->generation == generation)
            return true;
    }
    return false;
}

static struct proc *new_proc(struct world *world, uint32_t most)
{
    uint32_t index = 0;
    while (index < world->proc_count && world->procs[index].alive)
        index++;
    if (index >= most)
        return NULL;
    if (index == world->proc_count)
        world->proc_count++;
    struct proc *proc = &world->procs[index];
    memset(proc, 0, sizeof *proc);
    proc->alive = true;
    proc->dies_at = proc->obeys_after = proc->ready_at = proc->pings_at = NEVER;
    if (world->setting->orderly || world_pick(world, 10) > 2)
        proc->obeys_after = pick_delay(world);
    if (world->setting->silent)
        proc->obeys_after = NEVER;
    proc->unkillable = world->setting->unkillable && world_pick(world, 8) == 7;
    return proc;
}

struct proc *world_fork(struct world *world, uint32_t slot, uint32_t generation)
{
    struct proc *proc = new_proc(world, PROCS_MAX - RECORDS_MAX);
    if (proc == NULL)
        return NULL;
    proc->slot = (uint8_t)slot;
    proc->generation = generation;
    proc->adopted = slot == 0 || world_main(world, slot) == NULL;
    if (world_pick(world, 6) == 5)
        proc->heirs = (uint8_t)world_pick(world, 3);
    if (world_pick(world, 4) == 3)
        proc->dies_at = msec_add(world->now, pick_delay(world));
    return proc;
}

static struct ending pick_ending(struct world *world)
{
    static const struct ending endings[] = {{ENDING_EXITED, 0},   {ENDING_EXITED, 0},
                                            {ENDING_EXITED, 1},   {ENDING_EXITED, 3},
                                            {ENDING_EXITED, 143}, {ENDING_KILLED, SIGNAL_SEGV}};
    return endings[world_pick(world, sizeof endings / sizeof *endings)];
}

static struct ending pick_obedience(struct world *world)
{
    static const struct ending endings[] = {{ENDING_KILLED, SIGNAL_TERM},
                                            {ENDING_EXITED, 0},
                                            {ENDING_EXITED, 128 + SIGNAL_TERM},
                                            {ENDING_EXITED, 1}};
    return endings[world_pick(world, sizeof endings / sizeof *endings)];
}

/* When it says that it is ready, and for how long it says that it is alive. */
static void choose_words(struct world *world, const struct record *record, struct proc *proc)
{
    const struct core_worker *worker = fact_worker(world, record);
    if (world->setting->silent || record->kind != CORE_WORKER)
        return;
    if (worker->rules->ready_told && world_pick(world, 8) > 0)
        proc->ready_at = world->now + pick_delay(world);
    if (worker->rules->watchdog == 0)
        return;
    proc->pings = (uint8_t)world_pick(world, 8);
    proc->pings_at = world->now + worker->rules->watchdog / 2 + 1;
}

void world_new_main(struct world *world, uint32_t slot)
{
    struct record *record = &world->records[slot];
    struct proc *proc = new_proc(world, PROCS_MAX);
    assert(proc != NULL);
    proc->is_main = proc->adopted = true;
    proc->slot = (uint8_t)slot;
    proc->generation = record->generation;
    proc->end = pick_ending(world);
    proc->obeyed = pick_obedience(world);
    proc->obeys_rung = (uint8_t)(world_pick(world, 4) / 3);
    proc->obeys_request = world_pick(world, 4) == 3;
    bool is_command = record->kind == CORE_HOOK || record->kind == CORE_COMPANION;
    bool ends = is_command ? world_pick(world, 4) > 0 : world_pick(world, 10) > 5;
    if (record->kind == CORE_COMPANION && world_pick(world, 3))
        proc->end = (struct ending){ENDING_EXITED, 0};
    choose_words(world, record, proc);
    if (ends && !world->setting->silent)
        proc->dies_at = msec_add(world->now, pick_delay(world));
    for (uint32_t members = world_pick(world, 9); members > 6; members--)
        world_fork(world, slot, record->generation);
    if (world_pick(world, 9) == 8)
        world_fork(world, 0, 0);
}

static void ask_proc(struct world *world, struct proc *proc)
{
    proc->asked = true;
    if (proc->obeys_after != NEVER)
        proc->dies_at = msec_min(proc->dies_at, world->now + proc->obeys_after);
    if (proc->heirs > 0) {
        struct proc *heir = world_fork(world, proc->slot, proc->generation);
        if (heir != NULL)
            heir->heirs = (uint8_t)(proc->heirs - 1);
    }
}

/* What a run's end means: adoption of its children, and a report. */
static bool end_main(struct world *world, struct proc *proc)
{
    struct record *record = &world->records[proc->slot];
    bool by_signal = proc->end.kind == ENDING_KILLED && proc->end.value == SIGNAL_TERM;
    bool said_so = proc->end.kind == ENDING_EXITED && proc->end.value == 128 + SIGNAL_TERM;
    bool signalled = record->rungs > 0;
    struct core_event event = {
        .kind = EVENT_EXITED,
        .run = {proc->slot, proc->generation},
        .end = proc->end,
        .requested = signalled && (by_signal || said_so),
        .left = world_has_members(world, proc->slot, proc->generation),
    };
    for (uint32_t i = 0; i < world->proc_count; i++)
        if (world->procs[i].slot == proc->slot)
            world->procs[i].adopted = true;
    note_end(world, proc->slot, event.end, event.requested);
    world_record(world, &event);
    return true;
}

bool world_end(struct world *world, struct proc *proc)
{
    proc->alive = false;
    return proc->is_main ? end_main(world, proc) : proc->adopted;
}

/* ---- doing what the core wants ---- */

static void do_start(struct world *world, const struct core_action *action)
{
    struct run_id run = action->run;
    struct record *record = &world->records[run.slot];
    struct core_event event = {.kind = EVENT_STARTED, .run = run};
    note_start(world, record, run.generation);
    record->runs = action->companion;
    if (record->runs == COMPANION_AFTER_STOP)
        world->records[record->companion].cleanup_due = false;
    if (record->kind == CORE_JOB) {
        world->queue_count--;
        memmove(world->queue, world->queue + 1, world->queue_count * sizeof *world->queue);
    }
    if (world_pick(world, 16) == 15) {
        event.kind = EVENT_NOT_STARTED;
        event.end = (struct ending){ENDING_NOT_STARTED, 126 + world_pick(world, 2)};
        if (record->kind == CORE_WORKER && world->never_started.kind == ENDING_NONE)
            world->never_started = event.end;
        note_end(world, run.slot, event.end, false);
    } else {
        world->ever_started = world->ever_started || record->kind == CORE_WORKER;
        world_new_main(world, run.slot);
        if (record->kind == CORE_WORKER && !fact_rules(world, record)->ready_told)
            note_ready(world, record);
    }
    world_record(world, &event);
}

static void do_request(struct world *world, const struct core_action *action)
{
    struct run_id run = action->run;
    struct record *record = &world->records[run.slot];
    struct proc *proc = world_main(world, run.slot);
    if (action->why == WHY_AGE || (action->why == WHY_RESTART && record->why == WHY_NONE))
        record->renewing = true;
    record->why = action->why;
    record->requested = true;
    record->requested_at = world->now;
    if (proc != NULL && proc->obeys_request && record->kind == CORE_WORKER) {
        proc->dies_at = msec_min(proc->dies_at, msec_add(world->now, proc->obeys_after));
        proc->end = (struct ending){ENDING_EXITED, 0};
    }
}

static void do_signal(struct world *world, const struct core_action *action)
{
    struct record *record = &world->records[action->run.slot];
    struct proc *proc = world_main(world, action->run.slot);
    record->rungs++;
    record->rung_at = world->now;
    if (proc == NULL || action->rung < proc->obeys_rung || proc->obeys_after == NEVER)
        return;
    if (world->now + proc->obeys_after <= proc->dies_at) {
        proc->dies_at = world->now + proc->obeys_after;
        proc->end = proc->obeyed;
    }
}

static void do_stop_tree(struct world *world, struct run_id run)
{
    struct record *record = &world->records[run.slot];
    if (!record->tree_asked)
        record->tree_asked_at = world->now;
    record->tree_asked = true;
    uint32_t count = world->proc_count; /* who is forked meanwhile is not asked */
    for (uint32_t i = 0; i < count; i++) {
        struct proc *proc = &world->procs[i];
        bool member = proc->slot == run.slot && proc->generation == run.generation;
        if (proc->alive && member && !proc->is_main && !proc->asked)
            ask_proc(world, proc);
    }
}

static void do_kill(struct world *world, struct run_id run)
{
    struct record *record = &world->records[run.slot];
    if (fact_is_moot(world, record) && record->runs == COMPANION_HEALTH)
        record->requested = true;
    record->killed = true;
    record->killed_at = world->now;
    for (uint32_t i = 0; i < world->proc_count; i++) {
        struct proc *proc = &world->procs[i];
        if (!proc->alive || proc->slot != run.slot || proc->generation != run.generation)
            continue;
        proc->killed = true;
        if (proc->unkillable || world->setting->silent)
            continue;
        msec when = world->now + world_pick(world, 4) / 3 * 20;
        if (when <= proc->dies_at) {
            proc->dies_at = when;
            proc->end = (struct ending){ENDING_KILLED, SIGNAL_KILL};
        }
    }
    if (run.slot == SLOT_HANDLER && record->life == UP)
        note_entered(world, TRIGGER_SIGNAL, world->handler_cause);
}

static void count_slot(struct world *world, uint32_t slot)
{
    struct record *record = &world->records[slot];
    struct core_event event = {.kind = EVENT_TREE, .run = {slot, record->generation}};
    for (uint32_t i = 0; i < world->proc_count; i++) {
        struct proc *proc = &world->procs[i];
        if (!proc->alive || proc->slot != slot || proc->generation != record->generation)
            continue;
        event.left = proc->known = true;
        event.fresh = event.fresh || !proc->asked;
    }
    bool anew = record->life == GONE || (event.fresh && record->killed);
    if (slot == 0 && event.left && anew) {
        note_start(world, record, 0);
        record->left_since = world->now;
    }
    if (event.fresh)
        record->killed = false;
    if (event.left)
        record->life = TREE;
    else
        note_gone(world, record);
    world_record(world, &event);
}

static void do_census(struct world *world)
{
    for (uint32_t i = 0; i < world->record_count; i++)
        if (i == 0 || world->records[i].life == TREE)
            count_slot(world, i);
}

static void do_drop(struct world *world, const struct core_action *action)
{
    struct run_id run = action->run;
    if (action->companion != COMPANION_NONE) {
        world->records[run.slot].cleanup_due = false;
        return;
    }
    world->records[run.slot].queued = false;
    world->queue_count--;
    memmove(world->queue, world->queue + 1, world->queue_count * sizeof *world->queue);
}

static void do_rolled(struct world *world, uint32_t worker)
{
    world->rolling[worker] = false;
    if (world->roll_again[worker])
        note_roll(world, worker);
    world->roll_again[worker] = false;
}

static void do_error(struct world *world, const struct core_action *action)
{
    struct record *record = &world->records[action->run.slot];
    record->errors = 0;
    record->error_first = false;
    if (!world->setting->config.has_on_error || record->kind == CORE_HOOK)
        return;
    for (uint32_t i = SLOT_ERRORS; i < world->first_companion; i++) {
        struct record *hook = &world->records[i];
        if (hook->life != GONE || hook->about_to_start)
            continue;
        hook->about_to_start = true;
        return;
    }
}

static void do_phase(struct world *world, const struct core_action *action)
{
    world->phase = action->phase;
    if (action->phase == PHASE_ENTERED)
        note_entered(world, action->trigger, action->cause);
    if (action->phase == PHASE_DRAIN)
        world->drain_from = world->now;
    if (action->phase == PHASE_CANCEL)
        world->cancel = true;
}

static void perform(struct world *world, const struct core_action *action)
{
    switch (action->kind) {
    case ACTION_START:
        do_start(world, action);
        break;
    case ACTION_REQUEST:
        do_request(world, action);
        break;
    case ACTION_SIGNAL:
        do_signal(world, action);
        break;
    case ACTION_FORWARD:
        world->records[action->run.slot].forwards &= ~((uint64_t)1 << action->cause);
        break;
    case ACTION_STOP_TREE:
        do_stop_tree(world, action->run);
        break;
    case ACTION_KILL:
        do_kill(world, action->run);
        break;
    case ACTION_ABANDON:
        note_abandoned(world, &world->records[action->run.slot]);
        break;
    case ACTION_CENSUS:
        do_census(world);
        break;
    case ACTION_DROP:
        do_drop(world, action);
        break;
    case ACTION_ERROR:
        do_error(world, action);
        break;
    case ACTION_PHASE:
        do_phase(world, action);
        break;
    case ACTION_FORCED:
        world->force_expected = false;
        break;
    case ACTION_READY:
        world->records[action->run.slot].ready_untold = false;
        break;
    case ACTION_ALL_READY:
        world->all_ready_told = true;
        break;
    case ACTION_FAILED:
        world->records[action->run.slot].why = action->why;
        world->records[action->run.slot].why_untold = false;
        break;
    case ACTION_HELD:
        world->records[action->run.slot].held_untold = false;
        break;
    case ACTION_ROLLED:
        do_rolled(world, action->worker);
        break;
    case ACTION_EXIT:
        world->exited = true;
        break;
    case ACTION_RETRY:
    case ACTION_WAITING:
        break;
    }
}

bool world_record(struct world *world, const struct core_event *event)
{
    world->actions = 0;
    world->told_at = world->now;
    if (world->entered && world->now >= world->cap)
        world->cap_seen = msec_min(world->cap_seen, world->now);
    bool accepted = core_step(world_core(world), world->now, event);
    if (world->trace)
        trace_event(world, event, accepted);
    return accepted;
}

void world_settle(struct world *world)
{
    struct core_action action;
    while (core_next(world_core(world), &action)) {
        if (world->trace)
            trace_action(world, &action);
        world->done++;
        if (++world->actions > ACTIONS_MAX)
            broken(world, 13, "an event causes more than %d actions", ACTIONS_MAX);
        check_action(world, &action);
        perform(world, &action);
    }
    if (world->trace)
        trace_deadline(world);
    check_settled(world);
}

void world_wake(struct world *world)
{
    uint64_t done = world->done;
    world_time(world);
    world_settle(world);
    bool turn = world->cancel && world->waves > 1; /* of a wave, of which nobody may be left */
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        turn = turn || fact_age_limit(world, &world->records[i]) == world->now;
    if (world->done == done && !turn && !world->setting->lazy)
        broken(world, 14, "the core is woken for nothing");
}

/* ---- the beginning ---- */

static void add_record(struct world *world, enum core_kind kind, uint32_t owner, uint32_t wave)
{
    assert(world->record_count < RECORDS_MAX);
    struct record *record = &world->records[world->record_count++];
    record->kind = kind;
    record->owner = owner;
    record->wave = wave;
    record->restart_at = record->planned = NEVER;
}

void world_copy(struct world *to, const struct world *from)
{
    const struct core *core = (const struct core *)from->block;
    memcpy(to, from, offsetof(struct world, records));
    memcpy(to->records, from->records, from->record_count * sizeof *from->records);
    to->proc_count = from->proc_count;
    memcpy(to->procs, from->procs, from->proc_count * sizeof *from->procs);
    memcpy(&to->queue, &from->queue, offsetof(struct world, block) - offsetof(struct world, queue));
    memcpy(to->block, from->block, core->size);
}

static bool has_companion(const struct setting *setting, uint32_t worker)
{
    const struct core_worker *asked = &setting->workers[worker];
    return asked->rules->has_before_start || asked->rules->has_after_stop ||
           asked->rules->has_health;
}

static void add_companions(struct world *world)
{
    uint32_t companion = world->first_companion;
    for (uint32_t i = world->first_instance; i < world->record_count; i++) {
        if (!has_companion(world->setting, world->records[i].owner))
            continue;
        world->records[i].companion = companion;
        world->records[companion++].companion = i;
    }
}

void world_init(struct world *world, const struct setting *setting, uint64_t seed)
{
    const struct core_config *config = &setting->config;
    memset(world, 0, offsetof(struct world, block));
    world->setting = setting;
    world->random = seed * 0x9e3779b97f4a7c15u + 0x123456789abcdefu;
    world->now = 1000;
    world->cap = world->cap_seen = world->limit = NEVER;
    world->length = config->timeout;
    world->limited_at = -1;
    world->forced_at = world->handler_forced_at = -1;
    world->waves = 1;
    assert(core_size(config) > 0 && core_size(config) <= CORE_BYTES);
    memset(world->block, 0, core_size(config));
    core_init(world->block, config, world->now);

    add_record(world, CORE_ORPHANS, 0, 0);
    add_record(world, CORE_HOOK, HOOK_HANDLER, 0);
    add_record(world, CORE_HOOK, HOOK_CALLBACK, 0);
    for (uint32_t i = 0; i < config->error_hooks; i++)
        add_record(world, CORE_HOOK, HOOK_ERROR, 0);
    world->first_companion = world->record_count;
    for (uint32_t i = 0; i < config->worker_count; i++)
        for (uint32_t n = 0; n < setting->workers[i].instances && has_companion(setting, i); n++)
            add_record(world, CORE_COMPANION, i, setting->workers[i].wave);
    world->first_instance = world->record_count;
    for (uint32_t i = 0; i < config->worker_count; i++) {
        world->waves = setting->workers[i].wave + 1;
        for (uint32_t n = 0; n < setting->workers[i].instances; n++)
            add_record(world, CORE_WORKER, i, setting->workers[i].wave);
    }
    add_companions(world);
    world->first_job = world->record_count;
    for (uint32_t i = 0; i < config->job_capacity; i++)
        add_record(world, CORE_JOB, CORE_NONE, 0);
}
