/* Facts from outside: each is noted in the record, and told to the core. */

#include "check.h"
#include "facts.h"
#include "note.h"
#include "trace.h"

#include <string.h>

enum { SLOT_HANDLER = 1 };

static const char *const shield_names[NAMES] = {"a", "b", "c"};

/* ---- the shutdown, shields and jobs ---- */

void world_begin(struct world *world)
{
    const struct core_event event = {.kind = EVENT_BEGIN};
    world->begun = true;
    for (uint32_t i = world->first_instance; i < world->first_job; i++) {
        world->records[i].wanted = fact_rules(world, &world->records[i])->autostart;
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
    return slot >= world->first_companion ? world->records[slot].owner : CORE_NONE;
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
    world_new_main(world, (uint32_t)(record - world->records));
}

/* ---- the fleet ---- */

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
        if (wanted && note_is_failure(record->why))
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
        record->alive_until = msec_add(world->now, fact_rules(world, record)->watchdog);
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
        note_roll(world, worker);
}

void world_drain(struct world *world, bool drained)
{
    const struct core_event event = {.kind = EVENT_DRAIN, .wanted = drained};
    world->drained = drained;
    world_record(world, &event);
}

void world_limit(struct world *world, msec until)
{
    const struct core_event event = {.kind = EVENT_LIMIT, .until = until};
    if (world->limit != NEVER)
        return; /* once is enough, and easier to judge */
    world->limit = until;
    world_record(world, &event);
    if (world->entered)
        note_limited(world);
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
        fresh.wanted =
            record->kind == CORE_WORKER && world->setting->workers[worker].rules->autostart;
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
