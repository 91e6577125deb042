/* From one plan to the next: the file is read anew, who has changed is stopped, and when he is down
 * everything goes over to the new plan at once.  Until then, the old one is in force. */
#include "plan/option_table.h"
#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What our start has decided for good. */
static const char *const fixed_settings[] = {
    "loop",       "terminal",   "subreaper", "parent-death-signal", "log-format", "control",
    "control-fd", "no-control", "report",
};
#define FIXED_COUNT (sizeof fixed_settings / sizeof fixed_settings[0])

struct reload {
    struct plan *plan; /* that is to come */
    struct core_config config;
    struct core_worker *workers;
    uint32_t *old_worker_of; /* by worker */
    uint32_t *old_slot_of;   /* by slot */
    bool *goes;              /* by slot in force: it has no successor, so it must be down, */
    bool *stopped;           /* and for that, somebody's wish was taken back */
    bool fixed[FIXED_COUNT]; /* by fixed_settings: it has changed */
    bool settings;           /* one of all settings has */
    bool unknown;            /* there was no memory to compare by */
    uint32_t changed;        /* workers: new, different, gone */

    /* what takes the place of the supervisor's own, and is allocated as that is */
    void *core;
    struct platform_slots notes;
    struct admin_life *lives;
    struct instance_names names;
};

/* ---- words ---- */

static void say(struct supervisor *supervisor, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

static void say(struct supervisor *supervisor, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(supervisor->reload_fault, sizeof supervisor->reload_fault, format, arguments);
    va_end(arguments);
}

static void say_faults(struct supervisor *supervisor, const struct faults *faults)
{
    size_t more = faults->count + faults->dropped - 1;
    for (size_t i = 0; i < faults->count; i++)
        log_line(LEVEL_ERROR, "%s", faults->items[i].text);
    if (faults->dropped > 0)
        log_line(LEVEL_ERROR, "and %zu more faults", faults->dropped);
    if (more == 0)
        say(supervisor, "%s", faults->items[0].text);
    else
        say(supervisor, "%.180s, and %zu more fault%s in the log", faults->items[0].text, more,
            more == 1 ? "" : "s");
}

/* ---- what has changed ---- */

static void keep_fixed(const struct plan *old, struct reload *reload)
{
    struct plan *plan = reload->plan;
    for (size_t i = 0; i < FIXED_COUNT; i++)
        reload->fixed[i] = !plan_setting_equal(old, plan, fixed_settings[i], &reload->unknown);
    reload->settings = !plan_settings_equal(old, plan, &reload->unknown);
    plan->loop = old->loop;
    plan->terminal = old->terminal;
    plan->subreaper = old->subreaper;
    plan->parent_death_signal = old->parent_death_signal;
    plan->log_format = old->log_format;
    plan->control = old->control; /* in the first plan, as the report is */
    plan->control_fd = old->control_fd;
    plan->no_control = old->no_control;
    plan->report = old->report;
}

static void warn_of_fixed(const struct reload *reload)
{
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        const char *name = fixed_settings[i];
        const struct option *option = option_find(name, strlen(name));
        char place[OPTION_PLACE_MAX];
        if (reload->fixed[i])
            log_line(LEVEL_WARNING, "%s: it stays as it is until the next start",
                     option_place_in(option, reload->plan, &reload->plan->worker, place));
    }
}

static bool is_kept(const struct plan_worker *old, const struct plan_worker *worker, bool *failed)
{
    struct plan_worker counted = *worker;
    struct plan_rules rules = *worker->rules;
    rules.instances = old->rules->instances;
    counted.rules = &rules;
    return plan_worker_equal(old, &counted, failed);
}

/* The place of the one with this name, first looked for at *next, behind the one that was found
 * last: mostly two files have their workers in the same order, and there may be thousands. */
static uint32_t find_in_order(const struct plan *plan, const char *name, uint32_t *next)
{
    bool there = *next < plan->worker_count && strcmp(plan->workers[*next].name, name) == 0;
    uint32_t found = there ? *next : plan_find_worker(plan, name);
    if (found != CORE_NONE)
        *next = found + 1;
    return found;
}

static void map_workers(const struct plan *old, struct reload *reload)
{
    const struct plan *plan = reload->plan;
    uint32_t next = 0;
    for (uint32_t i = 0; i < old->worker_count; i++)
        reload->changed += !old->workers[i].is_logger; /* if it is gone: who is found is not */
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        uint32_t was = find_in_order(old, worker->name, &next);
        if (was != CORE_NONE)
            reload->changed -= !old->workers[was].is_logger;
        if (was != CORE_NONE && !is_kept(&old->workers[was], worker, &reload->unknown))
            was = CORE_NONE;
        bool same =
            was != CORE_NONE && old->workers[was].rules->instances == worker->rules->instances;
        reload->changed += !same && !worker->is_logger;
        reload->old_worker_of[i] = was;
    }
}

static void map_slots(const struct core *core, struct reload *reload)
{
    uint32_t slots = core_slots(&reload->config);
    core_map(core, &reload->config, reload->old_worker_of, reload->old_slot_of);
    for (uint32_t slot = 1; slot < core->first_job; slot++)
        reload->goes[slot] = true;
    for (uint32_t slot = 0; slot < slots; slot++)
        if (reload->old_slot_of[slot] < core->first_job)
            reload->goes[reload->old_slot_of[slot]] = false;
}

/* ---- beginning ---- */

static void free_reload(struct reload *reload)
{
    if (reload->plan != NULL)
        plan_free(reload->plan);
    free(reload->plan);
    platform_free(reload->workers);
    platform_free(reload->names.first);
    free(reload->old_worker_of);
    free(reload->old_slot_of);
    free(reload->goes);
    free(reload->stopped);
    platform_free(reload->core);
    platform_free_slots(&reload->notes);
    platform_free(reload->lives);
    free(reload);
}

/* False without memory. */
static bool make_tables(const struct supervisor *supervisor, struct reload *reload)
{
    uint32_t workers = reload->plan->worker_count, old_slots = supervisor->core->slot_limit;
    reload->workers = setup_convert(supervisor, reload->plan, &reload->config);
    if (reload->workers == NULL || !setup_names(reload->plan, &reload->names))
        return false;
    uint32_t slots = core_slots(&reload->config);
    reload->old_worker_of = calloc(workers + 1, sizeof *reload->old_worker_of);
    reload->old_slot_of = calloc(slots, sizeof *reload->old_slot_of);
    reload->goes = calloc(old_slots, sizeof *reload->goes);
    reload->stopped = calloc(old_slots, sizeof *reload->stopped);
    reload->core = platform_allocate(core_size(&reload->config));
    bool noted = platform_allocate_slots(&reload->notes, slots, sizeof(struct run_notes));
    reload->lives = platform_allocate(admin_lives_size(slots));
    return reload->old_worker_of != NULL && reload->old_slot_of != NULL && reload->goes != NULL &&
           reload->stopped != NULL && reload->core != NULL && noted && reload->lives != NULL;
}

/* Reads the file, and looks up and opens what it asks for.  False with the reason said. */
static bool read_plan(struct supervisor *supervisor, struct reload *reload, struct faults *faults)
{
    const char *path = supervisor->plan->config;
    if (platform_must_wait(path))
        fault_add(faults, path, "it is a pipe, which can be read once only");
    else
        supervisor->load(reload->plan, faults);
    if (faults->count == 0) {
        keep_fixed(supervisor->plan, reload);
        platform_prepare_reload(reload->plan, faults);
    }
    if (faults->count == 0)
        return true;
    say_faults(supervisor, faults);
    return false;
}

static struct platform_map make_map(const struct supervisor *supervisor,
                                    const struct reload *reload)
{
    return (struct platform_map){
        .slots = core_slots(&reload->config),
        .old_slots = supervisor->core->slot_limit,
        .old_workers = supervisor->plan->worker_count,
        .old_slot_of = reload->old_slot_of,
        .old_worker_of = reload->old_worker_of,
    };
}

/* Allocates and opens what the new plan is to live in.  False with errno. */
static bool reserve(const struct supervisor *supervisor, struct reload *reload)
{
    bool made = make_tables(supervisor, reload);
    if (made) {
        map_workers(supervisor->plan, reload);
        map_slots(supervisor->core, reload);
    }
    errno = ENOMEM; /* mostly it is */
    if (!made || reload->unknown)
        return false;
    const struct platform_map map = make_map(supervisor, reload);
    return platform_reserve_reload(reload->plan, &map);
}

static const char no_memory[] = "no memory is left for a reload";

static bool begin(struct supervisor *supervisor, struct reload *reload)
{
    struct faults *faults = calloc(1, sizeof *faults);
    reload->plan = calloc(1, sizeof *reload->plan);
    if (faults == NULL || reload->plan == NULL) {
        free(faults);
        say(supervisor, no_memory);
        return false;
    }
    bool good = read_plan(supervisor, reload, faults);
    free(faults);
    if (!good)
        return false;
    if (!reserve(supervisor, reload)) {
        int error = errno;
        platform_drop_reload();
        if (error == ENOMEM)
            say(supervisor, no_memory);
        else
            say(supervisor, "not everything that it needs can be opened: %s", strerror(error));
        return false;
    }
    warn_of_fixed(reload);
    return true;
}

bool supervisor_reload(struct supervisor *supervisor)
{
    supervisor->reload_fault[0] = '\0';
    if (!plan_is_fleet(supervisor->plan))
        say(supervisor, "there is no file to be read anew");
    else if (supervisor->core->phase != PHASE_RUNNING)
        say(supervisor, "a shutdown has begun");
    else if (supervisor->reload != NULL)
        say(supervisor, "a reload is under way already");
    if (supervisor->reload_fault[0] != '\0')
        return false;
    log_line(LEVEL_INFO, "Reloading %s", supervisor->plan->config);
    upwards_reload(supervisor, NOTIFY_RELOADING);
    struct reload *reload = calloc(1, sizeof *reload);
    if (reload != NULL && begin(supervisor, reload)) {
        supervisor->reload = reload;
        return true;
    }
    if (reload != NULL)
        free_reload(reload);
    else
        say(supervisor, no_memory);
    log_line(LEVEL_ERROR, "The file is refused, and nothing has changed");
    upwards_reload(supervisor, NOTIFY_READY);
    return false;
}

void reload_by_signal(struct supervisor *supervisor)
{
    if (supervisor->reload != NULL) {
        log_line(LEVEL_INFO, "A reload is under way: the file is read once more after it");
        supervisor->reload_again = true;
    } else if (supervisor_reload(supervisor)) {
        supervisor_settle(supervisor);
    }
}

/* ---- waiting ---- */

bool reload_holds_down(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    struct reload *reload = supervisor->reload;
    bool any = false;
    for (uint32_t slot = core->first_instance; slot < core->first_job; slot++) {
        if (core->phase != PHASE_RUNNING || !reload->goes[slot] || !core_slot(core, slot)->wanted)
            continue;
        const struct core_event event = {.kind = EVENT_WANT, .run = core_run(core, slot)};
        any = supervisor_post(supervisor, &event) || any;
        reload->stopped[slot] = true;
    }
    return any;
}

void reload_forget(struct supervisor *supervisor, uint32_t slot)
{
    supervisor->reload->stopped[slot] = false;
}

bool reload_keeps_down(const struct supervisor *supervisor, uint32_t slot)
{
    return supervisor->reload != NULL && supervisor->reload->stopped[slot];
}

/* Who outlived his KILL; 0: nobody.  He will not be down. */
static uint32_t find_stuck(const struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    for (uint32_t slot = 1; slot < core->first_job; slot++)
        if (supervisor->reload->goes[slot] && core_slot(core, slot)->abandoned &&
            core_slot(core, slot)->life != CORE_DOWN)
            return slot;
    return 0;
}

static bool is_down(const struct core_slot *slot)
{
    return slot->life == CORE_DOWN && !slot->wanted && !slot->error_untold;
}

bool reload_is_due(const struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    if (supervisor->unsettled)
        return false;
    if (core->phase != PHASE_RUNNING || find_stuck(supervisor) != 0)
        return true;
    for (uint32_t slot = 1; slot < core->first_job; slot++)
        if (supervisor->reload->goes[slot] && !is_down(core_slot(core, slot)))
            return false;
    return true;
}

/* ---- the end ---- */

static void finish(struct supervisor *supervisor)
{
    free_reload(supervisor->reload);
    supervisor->reload = NULL;
    upwards_reload(supervisor, NOTIFY_READY);
    bool again = supervisor->reload_again;
    supervisor->reload_again = false;
    supervisor_settle(supervisor);
    if (again && supervisor->core->phase == PHASE_RUNNING)
        reload_by_signal(supervisor);
}

/* The old plan goes on, and so do those that we have stopped. */
static void give_up(struct supervisor *supervisor)
{
    const struct core *core = supervisor->core;
    bool runs = core->phase == PHASE_RUNNING;
    log_line(runs ? LEVEL_ERROR : LEVEL_WARNING, "The reload is given up: %s",
             supervisor->reload_fault);
    platform_drop_reload();
    for (uint32_t slot = core->first_instance; runs && slot < core->first_job; slot++)
        if (supervisor->reload->stopped[slot])
            supervisor_post(supervisor, &(struct core_event){.kind = EVENT_WANT,
                                                             .run = core_run(core, slot),
                                                             .wanted = true});
    finish(supervisor);
}

/* The new core in its memory; NULL when the old one is to go on, with the reason said. */
static struct core *make_core(struct supervisor *supervisor)
{
    struct core *old = supervisor->core;
    struct reload *reload = supervisor->reload;
    map_slots(old, reload); /* there may be more jobs by now */
    struct core *core =
        core_reload(reload->core, old, &reload->config, reload->old_slot_of, platform_now());
    if (core == NULL) {
        say(supervisor, "the jobs and shields that there are do not fit");
        return NULL;
    }
    const struct platform_map map = make_map(supervisor, reload);
    if (platform_reload(reload->plan, &map))
        return core;
    say(supervisor, "not everything that it needs can be opened");
    return NULL;
}

/* Makes the new plan, and all that is by slot, the supervisor's, and what it had the reload's. */
static void change_over(struct supervisor *supervisor, struct core *core)
{
    struct reload *reload = supervisor->reload;
    struct core *old = supervisor->core;
    bool first = supervisor->plan == supervisor->first_plan;
    struct plan *plan = first ? NULL : (struct plan *)(uintptr_t)supervisor->plan;
    for (uint32_t slot = 0; slot < core->slot_limit; slot++)
        if (reload->old_slot_of[slot] != CORE_NONE)
            memcpy(platform_slot(&reload->notes, slot),
                   notes_of(supervisor, reload->old_slot_of[slot]), sizeof(struct run_notes));
    supervisor->plan = reload->plan;
    supervisor->core = core;
    platform_free_slots(&supervisor->notes);
    platform_free(supervisor->names.first);
    platform_free(supervisor->workers);
    supervisor->notes = reload->notes;
    supervisor->names = reload->names;
    supervisor->workers = reload->workers;
    timeline_tell(supervisor, timeline_reload, reload->old_slot_of);
    if (supervisor->admin != NULL) {
        admin_reload(supervisor, reload->lives, reload->old_slot_of, old->first_job);
        reload->lives = NULL;
    }
    platform_free(old);
    reload->plan = plan;
    reload->core = NULL;
    reload->notes = (struct platform_slots){0};
    reload->names.first = NULL;
    reload->workers = NULL;
}

static void say_done(const struct supervisor *supervisor)
{
    const struct plan *plan = supervisor->plan;
    unsigned workers = 0, changed = supervisor->reload->changed;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        workers += !plan->workers[i].is_logger;
    log_line(LEVEL_INFO, "Reloaded: %u worker%s, %u changed%s", workers, workers == 1 ? "" : "s",
             changed, supervisor->reload->settings ? ", and settings" : "");
}

void reload_switch(struct supervisor *supervisor)
{
    uint32_t stuck = find_stuck(supervisor);
    struct core *core = NULL;
    supervisor->reload_fault[0] = '\0';
    if (supervisor->core->phase != PHASE_RUNNING)
        say(supervisor, "a shutdown has begun");
    else if (stuck != 0)
        say(supervisor, "%s outlived SIGKILL", narrate_name(supervisor, stuck));
    else
        core = make_core(supervisor);
    if (core == NULL) {
        give_up(supervisor);
        return;
    }
    change_over(supervisor, core);
    setup_log(supervisor->plan);
    setup_triggers(supervisor);
    say_done(supervisor);
    control_reloaded(supervisor);
    finish(supervisor);
}
