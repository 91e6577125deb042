/* From a plan to a core, and from the start to the end of a supervisor. */
#include "supervisor/admin.h"
#include "supervisor/narrate.h"
#include "supervisor/timeline.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Running and queued jobs, shields of all runs.  A plain launcher is to be small: its tables are
 * for those who use them now and then. */
#define JOBS_MAX    256
#define SHIELDS_MAX 4096
#define FEW         32
#define HOOKS_MAX   16 /* the core's own slots */

_Static_assert(2 * PLAN_INSTANCES_MAX + JOBS_MAX + HOOKS_MAX <= CORE_SLOTS_MAX,
               "a core has room for every plan, and for a companion of each instance");

/* ---- from plan to core ---- */

static const struct plan_rules *rules_of(const struct plan *plan, uint32_t *count)
{
    *count = plan_is_fleet(plan) ? plan->fleet_rules_count : 1;
    return plan_is_fleet(plan) ? plan->fleet_rules : &plan->rules;
}

static size_t count_links(const struct plan *plan)
{
    size_t links = 0;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        links += plan->workers[i].after_count;
    return links;
}

/* Workers with their rules and orders behind them, to be freed as one; NULL without memory. */
static struct core_worker *allocate_workers(const struct plan *plan, struct core_rules **rules)
{
    uint32_t rules_count;
    rules_of(plan, &rules_count);
    struct core_worker *workers =
        platform_allocate(plan->worker_count * sizeof *workers + rules_count * sizeof **rules +
                          count_links(plan) * (sizeof(uint32_t) + sizeof(bool)));
    *rules = (struct core_rules *)(workers + plan->worker_count);
    return workers;
}

/* Whom each worker comes after: all of that first, and then whether it needs them.  `room` is for
 * both. */
static void convert_orders(const struct plan *plan, struct core_worker *workers, void *room)
{
    uint32_t *after = room;
    bool *needs = (bool *)(after + count_links(plan));
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        workers[i].after = after;
        workers[i].needs = needs;
        workers[i].after_count = worker->after_count;
        for (uint32_t n = 0; n < worker->after_count; n++) {
            *after++ = worker->after[n].worker;
            *needs++ = worker->after[n].needs;
        }
    }
}

/* What only a file says of a worker. */
static void convert_fleet_rules(const struct plan_rules *plan, struct core_rules *rules)
{
    rules->autostart = plan->autostart;
    rules->ready_timeout = plan->ready_timeout;
    rules->watchdog = plan->watchdog == NEVER ? 0 : plan->watchdog;
    rules->max_age = plan->max_age == NEVER ? 0 : plan->max_age;
    rules->has_before_start = plan->before_start != NULL;
    rules->has_after_stop = plan->after_stop != NULL;
    rules->has_health = plan->health.argv != NULL;
    rules->health_interval = plan->health.every;
    rules->health_timeout = plan->health.timeout;
    rules->health_retries = plan->health.retries + 1;
}

static void convert_rules(const struct plan_rules *plan, struct core_rules *rules)
{
    rules->autostart = true;
    rules->ready_timeout = NEVER;
    rules->restart = plan->restart;
    rules->backoff = plan->backoff;
    rules->success = plan->success;
    rules->rung_count = plan->rung_count;
    rules->shield_timeout = plan->shield_timeout;
    for (uint32_t i = 0; i < plan->rung_count; i++)
        rules->rung_time[i] = plan->rungs[i].time;
}

/* Workers that share their rules in the plan share them here. */
static void convert_workers(const struct supervisor *supervisor, const struct plan *plan,
                            struct core_worker *workers, struct core_rules *rules)
{
    uint32_t rules_count;
    const struct plan_rules *planned = rules_of(plan, &rules_count);
    for (uint32_t i = 0; i < rules_count; i++) {
        bool has_manager = supervisor->place.has_manager;
        convert_rules(&planned[i], &rules[i]);
        rules[i].ready_told = plan_ready_kind(plan, &planned[i], has_manager) != READY_EXEC;
        if (plan_is_fleet(plan))
            convert_fleet_rules(&planned[i], &rules[i]);
    }
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        workers[i].rules = &rules[worker->rules - planned];
        workers[i].instances = (uint32_t)worker->rules->instances;
        workers[i].wave = worker->wave;
        workers[i].attends = worker->is_logger;
    }
    convert_orders(plan, workers, rules + rules_count);
}

/* The seed's executor, Python's ThreadPoolExecutor, has as many by default. */
static uint32_t executor_workers(const struct plan *plan, uint32_t processors)
{
    uint32_t suitable = processors + 4;
    if (plan->executor_workers > 0)
        return (uint32_t)plan->executor_workers;
    return suitable < 32 ? suitable : 32;
}

struct core_worker *setup_convert(const struct supervisor *supervisor, const struct plan *plan,
                                  struct core_config *config)
{
    static const enum core_repeat repeats[] = {
        [REPEAT_AUTO] = CORE_REPEAT_KEYBOARD,
        [REPEAT_IGNORE] = CORE_REPEAT_IGNORE,
        [REPEAT_ESCALATE] = CORE_REPEAT_ESCALATE,
    };
    static const enum core_orphans orphans[] = {
        [ORPHANS_AUTO] = CORE_ORPHANS_STOP,
        [ORPHANS_STOP] = CORE_ORPHANS_STOP,
        [ORPHANS_WAIT] = CORE_ORPHANS_WAIT,
        [ORPHANS_LEAVE] = CORE_ORPHANS_LEAVE,
    };
    bool launches = plan->mode == MODE_LAUNCH;
    bool lenient = !supervisor->place.is_init && !supervisor->place.is_unit;
    struct core_rules *rules;
    struct core_worker *workers = allocate_workers(plan, &rules);
    if (workers == NULL)
        return NULL;
    convert_workers(supervisor, plan, workers, rules);
    *config = (struct core_config){.workers = workers, .worker_count = plan->worker_count};
    config->timeout = plan->timeout;
    config->drain_delay = plan->drain_delay;
    config->orphan_time = NEVER;
    for (uint32_t i = 0; i < plan->worker.rules->rung_count; i++)
        config->orphan_time =
            i == 0 ? plan->worker.rules->rungs[i].time
                   : msec_add(config->orphan_time, plan->worker.rules->rungs[i].time);
    config->repeat = repeats[plan->repeat];
    config->orphans = orphans[plan->orphans];
    config->launcher = launches;
    config->daemons_stay = plan->orphans == ORPHANS_AUTO && launches && lenient;
    config->forever = plan->forever;
    config->has_handler = plan->shutdown_handler != NULL;
    config->has_callback = plan->shutdown_callback != NULL;
    config->has_on_error = plan->on_error != NULL;
    config->stop_on_unhandled_errors = plan->stop_on_unhandled_errors;
    config->error_hooks = plan->on_error != NULL ? 4 : 0;
    config->job_workers = executor_workers(plan, supervisor->place.processors);
    bool asked = plan->control != NULL || plan_is_fleet(plan); /* over the admin socket, too */
    bool many = plan_is_fleet(plan) || plan->executor_workers > 0;
    if (plan->mode == MODE_FOREVER || (plan->no_control && !asked))
        return workers;
    config->job_capacity = many ? JOBS_MAX : FEW;
    config->shield_capacity = plan->no_control ? 0 : many ? SHIELDS_MAX : FEW;
    return workers;
}

/* Instances are told apart where a worker has several: "web:0", "web:1". */
static int name_instance(const struct plan_worker *worker, int n, char *name, size_t size)
{
    bool one = worker->rules->instances == 1;
    return snprintf(name, size, one ? "%s" : "%s:%d", worker->name, n);
}

bool setup_names(const struct plan *plan, struct instance_names *names)
{
    uint32_t count = 0;
    *names = (struct instance_names){.size = 1};
    for (uint32_t i = 0; i < plan->worker_count; i++)
        count += (uint32_t)plan->workers[i].rules->instances;
    if (count <= plan->worker_count) /* each has one, which has its worker's name */
        return true;
    for (uint32_t i = 0; i < plan->worker_count; i++) {
        const struct plan_worker *worker = &plan->workers[i];
        int last = worker->rules->instances - 1; /* that has the longest name of them */
        size_t size = (size_t)name_instance(worker, last, NULL, 0) + 1;
        names->size = size > names->size ? size : names->size;
    }
    names->first = platform_allocate(count * names->size);
    if (names->first == NULL)
        return false;
    char *next = names->first;
    for (uint32_t i = 0; i < plan->worker_count; i++)
        for (int n = 0; n < plan->workers[i].rules->instances; n++, next += names->size)
            name_instance(&plan->workers[i], n, next, names->size);
    return true;
}

void setup_log(const struct plan *plan)
{
    static const enum log_style styles[] = {
        [LOG_TEXT] = LOG_STYLE_TEXT,
        [LOG_JSON] = LOG_STYLE_JSON,
        [LOG_JOURNAL] = LOG_STYLE_JOURNAL,
    };
    int threshold = LEVEL_WARNING - plan_verbosity(plan);
    bool terminal = false;
    enum plan_log_format format = plan->log_format;
    if (format == LOG_AUTO)
        format = platform_log_format(&terminal);
    if (threshold < LEVEL_DEBUG)
        threshold = LEVEL_DEBUG;
    if (threshold > LEVEL_CRITICAL)
        threshold = LEVEL_CRITICAL;
    log_open((enum log_level)threshold, terminal ? LOG_STYLE_COLOUR : styles[format],
             platform_write_log);
}

/* The last of the tables, since it ends in what is mostly not used: all that is stands together. */
static bool make_core(struct supervisor *supervisor, const struct core_config *config)
{
    size_t size = core_size(config);
    void *memory = platform_allocate(size);
    if (memory == NULL) {
        log_line(LEVEL_CRITICAL, "cannot allocate %zu bytes", size);
        return false;
    }
    supervisor->core = core_init(memory, config, platform_now());
    return true;
}

static struct ending run_until_over(struct supervisor *supervisor, const struct core_config *config)
{
    bool opened = platform_open(supervisor, supervisor->plan, core_slots(config)) == 0 &&
                  make_core(supervisor, config);
    if (opened) {
        supervisor_post(supervisor, &(struct core_event){.kind = EVENT_BEGIN});
        supervisor_settle(supervisor);
        platform_loop();
    }
    platform_close();
    if (!opened)
        return (struct ending){ENDING_EXITED, STATUS_OWN_FAILURE};
    struct ending end = supervisor_outcome(supervisor);
    timeline_tell(supervisor, timeline_write, end);
    log_line(LEVEL_INFO, "Leaving. Bye!");
    return end;
}

void setup_triggers(struct supervisor *supervisor)
{
    signal_mask signals = supervisor->plan->shutdown_signals;
    supervisor->triggers = signals & ~platform_ignored(signals);
}

struct ending supervisor_run(const struct plan *plan, supervisor_load *load)
{
    struct ending end = {ENDING_EXITED, STATUS_OWN_FAILURE};
    struct supervisor supervisor = {
        .plan = plan, .first_plan = plan, .load = load, .place = platform_surroundings()};
    struct core_config config;

    setup_log(plan);
    log_line(LEVEL_DEBUG, "Entering run()");
    setup_triggers(&supervisor);
    supervisor.workers = setup_convert(&supervisor, plan, &config);
    if (supervisor.workers == NULL) {
        log_line(LEVEL_CRITICAL, "cannot allocate the table of workers");
        platform_close();
        return end;
    }
    uint32_t slots = core_slots(&config);
    assert(slots > 0);
    bool noted = platform_allocate_slots(&supervisor.notes, slots, sizeof(struct run_notes));
    supervisor.jobs = platform_reserve((config.job_capacity + 1) * sizeof *supervisor.jobs);
    if (noted && supervisor.jobs != NULL && setup_names(plan, &supervisor.names) &&
        timeline_open(&supervisor) && admin_open(&supervisor, slots)) {
        end = run_until_over(&supervisor, &config);
    } else {
        log_line(LEVEL_CRITICAL,
                 "cannot allocate the tables of runs, of the report and of the admin socket");
        platform_close();
    }
    return end;
}
