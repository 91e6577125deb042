#include "world.h"

#include "check.h"
#include "facts.h"
#include "trace.h"

#include <assert.h>
#include <string.h>

enum {
    SLOT_HANDLER = 1,
    SLOT_CALLBACK = 2,
    SLOT_ERRORS = 3,
    SIGNAL_KILL = 9,
    SIGNAL_SEGV = 11,
    SIGNAL_TERM = 15,
};

static const char *const shield_names[NAMES] = {"a", "b", "c"};

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
    if (worker->ready_told && world_pick(world, 8) > 0)
        proc->ready_at = world->now + pick_delay(world);
    if (worker->watchdog == 0)
        return;
    proc->pings = (uint8_t)world_pick(world, 8);
    proc->pings_at = world->now + worker->watchdog / 2 + 1;
}

static void new_main(struct world *world, uint32_t slot)
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

/* ---- the record of what happened ---- */

static void note_error(struct world *world, struct record *record, struct ending end)
{
    record->errors++;
    if (world->first_error.kind != ENDING_NONE)
        return;
    world->first_error = end;
    record->error_first = true;
}

/* Wishes follow from wishes: one after the other, each from those before it. */
static void note_wishes(struct world *world)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        bool wished = fact_is_wished(world, record);
        bool held = record->wanted && !wished;
        if (held != record->held)
            record->held_untold = held;
        record->held = held;
        if (wished == record->wished)
            continue;
        record->wished = wished;
        record->awaited = wished && !fact_serves(record);
        record->prepared = record->prepared && wished;
        record->renewing = record->renewing && wished;
    }
}

static void note_ready(struct world *world, struct record *record)
{
    const struct core_worker *worker = fact_worker(world, record);
    record->ready = record->ready_untold = true;
    record->awaited = record->renewing = false;
    record->alive_until = msec_add(world->now, worker->watchdog);
    record->health_at = msec_add(world->now, worker->health_interval);
    record->misses = 0;
    record->rolled = record->rolled || record->generation != record->roll_from;
}

static void note_failed(struct world *world, struct record *record, enum core_why why)
{
    if (!fact_is_watched(world, record))
        return;
    record->why = why;
    record->why_untold = true;
}

static void note_entered(struct world *world, enum core_trigger trigger, int cause)
{
    if (world->entered)
        return;
    world->entered = true;
    world->trigger = trigger;
    world->causes = trigger == TRIGGER_SIGNAL ? (uint64_t)1 << cause : 0;
    world->entered_at = world->effect_at = world->now;
    world->cap = msec_add(world->now, world->setting->config.timeout);
    world->records[SLOT_HANDLER].about_to_start = false;
    world->records[SLOT_CALLBACK].about_to_start = world->setting->config.has_callback;
}

static bool is_success(const struct core_worker *worker, struct ending end, bool requested)
{
    if (end.kind == ENDING_NOT_STARTED)
        return false;
    bool listed =
        end.kind == ENDING_EXITED && end.value == 3 && (worker->success.codes[0] >> 3 & 1);
    bool zero = end.kind == ENDING_EXITED && end.value == 0;
    return zero || listed || (requested && worker->success.requested);
}

/* The next start by the restart policy; NEVER: there is none. */
static msec plan_restart(struct world *world, struct record *record, bool success)
{
    const struct core_worker *worker = fact_worker(world, record);
    const struct policy_backoff *backoff = &worker->backoff;
    if (worker->restart == RESTART_NEVER || (worker->restart == RESTART_ON_FAILURE && success))
        return NEVER;
    if (backoff->limit > 0) {
        bool fresh = world->now - record->window_start >= backoff->limit_window;
        if (record->window_count == 0 || fresh) {
            record->window_start = world->now;
            record->window_count = 0;
        }
        if (record->window_count == backoff->limit)
            return NEVER;
        record->window_count++;
    }
    bool stable = world->now - record->started_at >= STABLE_AFTER;
    record->delay =
        stable || record->delay == 0 ? backoff->min : msec_min(2 * record->delay, backoff->max);
    return world->now + record->delay;
}

static bool is_failure(enum core_why why)
{
    return why == WHY_READY || why == WHY_WATCHDOG || why == WHY_HEALTH;
}

static void note_worker_end(struct world *world, struct record *record, struct ending end,
                            bool requested)
{
    bool failed = is_failure(record->why) && record->wanted;
    bool success = is_success(fact_worker(world, record), end, requested) && !failed;
    bool renewed = record->requested && !failed;
    msec next = NEVER;
    if (!world->entered && record->wanted)
        next = renewed ? world->now : plan_restart(world, record, success);
    if (next != NEVER) {
        record->restart_at = next;
        return;
    }
    record->done = success && record->wanted && !record->requested && !world->entered;
    record->wanted = false;
    bool stopped = record->requested && !world->entered;
    if (failed)
        note_error(world, record, (struct ending){ENDING_EXITED, 1});
    else if (!success && !requested && !stopped)
        note_error(world, record, end);
    note_wishes(world);
}

static void note_health(struct world *world, struct record *record, bool success)
{
    const struct core_worker *worker = fact_worker(world, record);
    if (!fact_is_watched(world, record))
        return;
    record->health_at = msec_add(world->now, worker->health_interval);
    record->misses = success ? 0 : record->misses + 1;
    if (record->misses >= worker->health_retries + (worker->health_retries == 0))
        note_failed(world, record, WHY_HEALTH);
}

static void note_companion_end(struct world *world, struct record *companion, struct ending end)
{
    struct record *record = &world->records[companion->companion];
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    if (companion->requested || world->entered)
        return;
    if (companion->runs == COMPANION_HEALTH)
        note_health(world, record, success);
    if (companion->runs != COMPANION_BEFORE_START || !record->wished)
        return;
    record->prepared = success;
    if (success)
        return;
    record->requested = false;
    record->why = WHY_NONE;
    record->started_at = world->now;
    note_worker_end(world, record, end, false);
}

/* Nothing of a run is left. */
static void note_gone(struct world *world, struct record *record)
{
    record->life = GONE;
    if (record->kind == CORE_WORKER && !record->abandoned)
        record->cleanup_due = fact_worker(world, record)->has_after_stop;
}

static void note_hook_end(struct world *world, struct record *record, struct ending end)
{
    bool success = end.kind == ENDING_EXITED && end.value == 0;
    if (record->owner == HOOK_CALLBACK && !success)
        note_error(world, record, end);
    if (record->owner == HOOK_HANDLER && (success || end.kind == ENDING_NOT_STARTED))
        note_entered(world, TRIGGER_SIGNAL, world->handler_cause);
}

static void note_end(struct world *world, uint32_t slot, struct ending end, bool requested)
{
    struct record *record = &world->records[slot];
    record->planned = NEVER;
    if (record->tree_asked)
        record->planned = msec_min(fact_ladder_end(world, record), fact_limit(world, record));
    if (record->tree_asked && record->kind == CORE_COMPANION)
        record->planned = msec_min(record->planned, fact_hook_end(world, record));
    memset(record->shields, 0, sizeof record->shields);
    bool may_stay = world->setting->config.daemons_stay || world->setting->config.forever;
    bool well = end.kind == ENDING_EXITED && end.value == 0 && !requested;
    bool unasked = !world->entered && !record->requested && !record->tree_asked && !record->killed;
    record->settles_at = may_stay && well && unasked ? world->now + 100 : 0;
    record->killed = false;
    record->ended_at = record->left_since = world->now;
    record->life = TREE;
    record->ready = record->ready_untold = false;
    if (record->kind == CORE_WORKER)
        world->command = end;
    if (record->kind == CORE_WORKER)
        note_worker_end(world, record, end, requested);
    if (record->kind == CORE_COMPANION)
        note_companion_end(world, record, end);
    if (!world_has_members(world, slot, record->generation))
        note_gone(world, record);
    if (record->kind == CORE_HOOK)
        note_hook_end(world, record, end);
}

static void note_start(struct world *world, struct record *record, uint32_t generation)
{
    record->generation = generation;
    record->life = UP;
    record->started_at = world->now;
    record->about_to_start = record->queued = false;
    record->requested = record->tree_asked = record->killed = record->abandoned = false;
    record->overruled = record->joined = record->ready = record->prepared = false;
    record->why = WHY_NONE;
    record->killed_at = record->extended = record->spared = 0;
    record->rungs = 0;
    record->forwards = 0;
    record->planned = NEVER;
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
        new_main(world, run.slot);
        if (record->kind == CORE_WORKER && !fact_worker(world, record)->ready_told)
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

/* A worker of which nothing is there, or that nobody wants, starts all at once. */
static void begin_roll(struct world *world, uint32_t worker)
{
    bool fresh = true, wanted = false;
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        bool ours = record->owner == worker;
        bool there = record->life != GONE || record->cleanup_due;
        fresh = fresh && !(ours && there);
        wanted = wanted || (ours && record->kind == CORE_WORKER && record->wanted);
    }
    world->rolling[worker] = true;
    world->at_once[worker] = fresh || !wanted;
    world->rolled_at[worker] = world->now;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        if (record->owner != worker)
            continue;
        if (fresh || !wanted) {
            record->wanted = true;
            record->done = false;
            record->restart_at = world->now;
            record->delay = 0;
            record->window_count = 0;
        }
        record->to_roll = record->wanted;
        record->rolled = false;
        record->roll_from = record->generation;
    }
    note_wishes(world);
}

static void do_rolled(struct world *world, uint32_t worker)
{
    world->rolling[worker] = false;
    if (world->roll_again[worker])
        begin_roll(world, worker);
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
        world->records[action->run.slot].abandoned = true;
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

/* ---- facts from outside ---- */

void world_begin(struct world *world)
{
    const struct core_event event = {.kind = EVENT_BEGIN};
    world->begun = true;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        world->records[i].wanted = fact_worker(world, &world->records[i])->autostart;
        world->records[i].restart_at = world->now;
    }
    note_wishes(world);
    world_record(world, &event);
}

static bool counts(const struct world *world, bool keyboard)
{
    enum core_repeat repeat = world->setting->config.repeat;
    bool mode = repeat == CORE_REPEAT_ESCALATE || (repeat == CORE_REPEAT_KEYBOARD && keyboard);
    return mode && world->now - world->effect_at >= SECOND;
}

static void note_forced(struct world *world)
{
    world->forced = world->force_expected = true;
    world->forced_at = world->effect_at = world->now;
    for (uint32_t i = 0; i < world->record_count; i++) {
        struct record *record = &world->records[i];
        if (record->life == GONE || record->killed || record->abandoned)
            continue;
        record->overruled = true;
        record->extended = 0;
    }
}

static void note_repeated(struct world *world, int cause, bool keyboard)
{
    bool seen = world->causes >> cause & 1;
    if (seen || fact_workers_up(world) == 0) {
        if (counts(world, keyboard))
            note_forced(world);
        return;
    }
    world->causes |= (uint64_t)1 << cause;
    world->effect_at = world->now;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        if (record->life == UP && !fact_is_shielded(world, record))
            record->forwards |= (uint64_t)1 << cause;
    }
}

static void note_handler_asked(struct world *world, int cause, bool keyboard)
{
    struct record *handler = &world->records[SLOT_HANDLER];
    if (!fact_is_busy(handler)) {
        handler->about_to_start = true;
        world->handler_cause = cause;
        world->keyboard = keyboard;
        world->effect_at = world->now;
    } else if (counts(world, keyboard)) {
        world->effect_at = world->handler_forced_at = world->now;
    }
}

void world_signal(struct world *world, int cause, bool keyboard)
{
    const struct core_event event = {
        .kind = EVENT_TRIGGER, .trigger = TRIGGER_SIGNAL, .cause = cause, .keyboard = keyboard};
    if (world->entered) {
        note_repeated(world, cause, keyboard);
    } else if (world->setting->config.has_handler) {
        note_handler_asked(world, cause, keyboard);
    } else {
        world->keyboard = keyboard;
        note_entered(world, TRIGGER_SIGNAL, cause);
    }
    world_record(world, &event);
}

void world_ask(struct world *world, bool status_given, uint32_t status)
{
    const struct core_event event = {.kind = EVENT_TRIGGER,
                                     .trigger = TRIGGER_REQUEST,
                                     .status_given = status_given,
                                     .status = status};
    if (status_given && !world->status_given) {
        world->status_given = true;
        world->status = status;
    }
    note_entered(world, TRIGGER_REQUEST, 0);
    world_record(world, &event);
}

static uint32_t shields_in_use(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->record_count; i++)
        for (uint32_t name = 0; name < NAMES; name++)
            count += world->records[i].shields[name].holds > 0;
    return count;
}

/* A place for a new shield: one that is free, or else one that its run does not need any more. */
static bool has_room(struct world *world, struct record *record)
{
    if (shields_in_use(world) < world->setting->config.shield_capacity)
        return true;
    bool room = false;
    for (uint32_t i = 0; i < NAMES; i++) {
        struct hold *hold = &record->shields[i];
        if (hold->holds == 0 || fact_hold_until(world, record, hold) > world->now)
            continue;
        memset(hold, 0, sizeof *hold);
        room = true;
    }
    return room;
}

void world_hold(struct world *world, uint32_t slot, uint32_t name, msec until)
{
    struct record *record = &world->records[slot];
    struct hold *hold = &record->shields[name];
    const struct core_event event = {.kind = EVENT_HOLD,
                                     .run = {slot, record->generation},
                                     .name = shield_names[name],
                                     .until = until};
    unsigned char before[CORE_BYTES];
    memcpy(before, world->block, world_core(world)->size);
    bool open = !world->entered || world->now < world->cap;
    bool able = record->kind == CORE_WORKER && record->life == UP && !record->killed && open;
    bool expected = able && (hold->holds > 0 || has_room(world, record));
    bool accepted = world_record(world, &event);
    check_refusal(world, before, &event, expected, accepted, 15);
    if (!accepted)
        return;
    hold->holds++;
    hold->undated = hold->undated || until == 0;
    hold->until = msec_max(hold->until, until);
}

void world_release(struct world *world, uint32_t slot, uint32_t name)
{
    struct record *record = &world->records[slot];
    struct hold *hold = &record->shields[name];
    const struct core_event event = {
        .kind = EVENT_RELEASE, .run = {slot, record->generation}, .name = shield_names[name]};
    if (hold->holds > 0 && --hold->holds == 0)
        memset(hold, 0, sizeof *hold);
    world_record(world, &event);
}

void world_extend(struct world *world, uint32_t slot, msec until)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {
        .kind = EVENT_EXTEND, .run = {slot, record->generation}, .until = until};
    bool asked = world->entered || record->requested;
    if (asked && record->kind == CORE_WORKER && record->life == UP && !record->killed)
        record->extended = msec_max(record->extended, until);
    world_record(world, &event);
}

void world_error(struct world *world, uint32_t slot)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {.kind = EVENT_ERROR, .run = {slot, record->generation}};
    if (record->life == UP)
        note_error(world, record, (struct ending){ENDING_EXITED, 1});
    world_record(world, &event);
}

static bool has_job_room(const struct world *world)
{
    for (uint32_t i = world->first_job; i < world->record_count; i++)
        if (world->records[i].life == GONE && !world->records[i].queued)
            return true;
    return false;
}

static uint32_t owner_of(const struct world *world, uint32_t slot)
{
    return slot >= world->first_instance ? world->records[slot].owner : CORE_NONE;
}

/* Hands a job over; its record, or NULL when it is refused. */
static struct record *add_job(struct world *world, const struct core_event *event)
{
    unsigned char before[CORE_BYTES];
    memcpy(before, world->block, world_core(world)->size);
    bool open =
        event->kind == EVENT_SUBMIT ? !world->entered : !world->entered || world->now < world->cap;
    bool accepted = world_record(world, event);
    if (open && world->drained)
        check_refusal(world, before, event, false, accepted, 29);
    check_refusal(world, before, event, open && has_job_room(world) && !world->drained, accepted,
                  15);
    if (!accepted)
        return NULL;
    struct run_id run = core_submitted(world_core(world));
    struct record *record = &world->records[run.slot];
    if (record->life != GONE || record->queued)
        broken(world, 15, "job %u takes a place that is taken", run.slot);
    if (run.generation != record->generation + 1)
        broken(world, 11, "job %u.%u does not follow %u", run.slot, run.generation,
               record->generation);
    record->generation = run.generation;
    record->owner = owner_of(world, event->run.slot);
    return record;
}

void world_submit(struct world *world, uint32_t slot)
{
    const struct core_event event = {.kind = EVENT_SUBMIT,
                                     .run = {slot, world->records[slot].generation}};
    struct record *record = add_job(world, &event);
    if (record == NULL)
        return;
    record->queued = true;
    world->queue[world->queue_count++] = (uint32_t)(record - world->records);
}

void world_join(struct world *world, uint32_t slot, msec until)
{
    const struct core_event event = {
        .kind = EVENT_JOIN, .run = {slot, world->records[slot].generation}, .until = until};
    struct record *record = add_job(world, &event);
    if (record == NULL)
        return;
    note_start(world, record, record->generation);
    record->joined = true;
    record->spared = until;
    new_main(world, (uint32_t)(record - world->records));
}

static bool is_any_wanted(const struct world *world, uint32_t worker)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        if (world->records[i].owner == worker && world->records[i].wanted)
            return true;
    return false;
}

void world_want(struct world *world, uint32_t slot, bool wanted)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {
        .kind = EVENT_WANT, .run = {slot, record->generation}, .wanted = wanted};
    if (!world->entered && record->kind == CORE_WORKER) {
        record->wanted = wanted;
        record->done = false;
        record->restart_at = world->now;
        record->delay = 0;
        record->window_count = 0;
        if (wanted && is_failure(record->why))
            record->why = WHY_RESTART;
        if (!is_any_wanted(world, record->owner))
            world->roll_again[record->owner] = false;
        note_wishes(world);
    }
    world_record(world, &event);
}

void world_want_worker(struct world *world, uint32_t worker, bool wanted)
{
    for (uint32_t i = world->first_instance; i < world->first_job; i++)
        if (world->records[i].owner == worker)
            world_want(world, i, wanted);
}

/* Records a fact about a run that may be refused; what was expected is seen to. */
static bool record_checked(struct world *world, const struct core_event *event, bool expected,
                           int promise)
{
    unsigned char before[CORE_BYTES];
    memcpy(before, world->block, world_core(world)->size);
    bool accepted = world_record(world, event);
    check_refusal(world, before, event, expected, accepted, promise);
    return accepted;
}

void world_ready(struct world *world, uint32_t slot)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {.kind = EVENT_READY, .run = {slot, record->generation}};
    bool open = record->kind == CORE_WORKER && record->life == UP && !record->ready &&
                !record->requested && (record->why == WHY_NONE || world->entered);
    /* What is late at this very moment may have been found so, or not: it is not settled yet. */
    if (record_checked(world, &event, open, 22))
        note_ready(world, record);
}

void world_alive(struct world *world, uint32_t slot)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {.kind = EVENT_ALIVE, .run = {slot, record->generation}};
    bool up = record->kind == CORE_WORKER && record->life == UP;
    if (record_checked(world, &event, up, 25) && record->ready)
        record->alive_until = msec_add(world->now, fact_worker(world, record)->watchdog);
}

void world_fail(struct world *world, uint32_t slot, enum core_why why)
{
    struct record *record = &world->records[slot];
    const struct core_event event = {
        .kind = EVENT_FAILED, .run = {slot, record->generation}, .why = why};
    if (record_checked(world, &event, fact_is_watched(world, record), 25))
        note_failed(world, record, why);
}

void world_restart(struct world *world, uint32_t worker)
{
    const struct core_event event = {.kind = EVENT_RESTART, .worker = worker};
    bool open = !world->entered && world->begun && worker < world->setting->config.worker_count;
    if (!record_checked(world, &event, open, 26))
        return;
    if (world->rolling[worker])
        world->roll_again[worker] = true;
    else
        begin_roll(world, worker);
}

void world_drain(struct world *world, bool drained)
{
    const struct core_event event = {.kind = EVENT_DRAIN, .wanted = drained};
    world->drained = drained;
    world_record(world, &event);
}

/* ---- a reload ---- */

/* A job's worker is not there any more; a deadline that it has stays. */
static void lose_worker(struct world *world, struct record *job)
{
    if (job->life == TREE && job->tree_asked && job->planned == NEVER)
        job->planned = msec_add(job->tree_asked_at, fact_tree_time(world, job));
    job->owner = CORE_NONE;
}

static uint32_t highest_generation(const struct world *world)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < world->record_count; i++)
        if (world->records[i].generation > highest)
            highest = world->records[i].generation;
    return highest;
}

/* Places of jobs that nobody has needed so far are as new as what has changed. */
static void note_unused_jobs(struct world *world, const uint32_t *old_slot_of)
{
    uint32_t highest = highest_generation(world);
    for (uint32_t i = world->first_job; i < world->record_count; i++)
        if (old_slot_of[i] == CORE_NONE)
            world->records[i].generation = highest;
}

/* A worker that has changed, and is down, starts as if it had never been there. */
static void note_changed(struct world *world, uint32_t worker, uint32_t *old_slot_of)
{
    uint32_t highest = highest_generation(world);
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        struct record *record = &world->records[i];
        struct record fresh = {.kind = record->kind,
                               .owner = worker,
                               .wave = record->wave,
                               .companion = record->companion,
                               .generation = highest,
                               .restart_at = world->now,
                               .planned = NEVER};
        if (record->owner != worker)
            continue;
        fresh.wanted = record->kind == CORE_WORKER && world->setting->workers[worker].autostart;
        *record = fresh;
        old_slot_of[i] = CORE_NONE;
    }
    for (uint32_t i = world->first_job; i < world->record_count; i++)
        if (world->records[i].owner == worker)
            lose_worker(world, &world->records[i]);
    world->rolling[worker] = world->roll_again[worker] = false;
    note_wishes(world);
}

static bool is_down(const struct world *world, uint32_t worker)
{
    for (uint32_t i = world->first_companion; i < world->first_job; i++) {
        const struct record *record = &world->records[i];
        if (record->owner == worker && (record->life != GONE || record->cleanup_due))
            return false;
    }
    return true;
}

void world_reload(struct world *world, uint32_t changed)
{
    static _Alignas(16) unsigned char old[CORE_BYTES];
    const struct core_config *config = &world->setting->config;
    uint32_t old_worker_of[WORKERS_MAX], old_slot_of[RECORDS_MAX];
    if (world->entered || !world->begun)
        return;
    memcpy(old, world->block, world_core(world)->size);
    for (uint32_t i = 0; i < config->worker_count; i++)
        old_worker_of[i] = i;
    core_map((const struct core *)old, config, old_worker_of, old_slot_of);
    if (changed > 0 && changed <= config->worker_count && is_down(world, changed - 1))
        note_changed(world, changed - 1, old_slot_of);
    note_unused_jobs(world, old_slot_of);
    memset(world->block, 0, CORE_BYTES);
    world->told_at = world->now;
    if (core_reload(world->block, (const struct core *)old, config, old_slot_of, world->now) ==
        NULL)
        broken(world, 28, "a reload is refused");
    if (world->trace)
        trace_reload(world, changed);
    check_reload(world, (const struct core *)old, old_slot_of);
}

void world_reaped(struct world *world)
{
    const struct core_event event = {.kind = EVENT_REAPED};
    world_record(world, &event);
}

void world_time(struct world *world)
{
    const struct core_event event = {.kind = EVENT_TIME};
    world_record(world, &event);
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
    return asked->has_before_start || asked->has_after_stop || asked->has_health;
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
    world->cap = NEVER;
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
