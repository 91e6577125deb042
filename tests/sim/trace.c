#include "trace.h"

#include <stdio.h>

static const char *const event_names[] = {
    [EVENT_BEGIN] = "BEGIN",     [EVENT_STARTED] = "STARTED", [EVENT_NOT_STARTED] = "NOT_STARTED",
    [EVENT_EXITED] = "EXITED",   [EVENT_REAPED] = "REAPED",   [EVENT_TREE] = "TREE",
    [EVENT_TRIGGER] = "TRIGGER", [EVENT_HOLD] = "HOLD",       [EVENT_RELEASE] = "RELEASE",
    [EVENT_EXTEND] = "EXTEND",   [EVENT_ERROR] = "ERROR",     [EVENT_SUBMIT] = "SUBMIT",
    [EVENT_JOIN] = "JOIN",       [EVENT_WANT] = "WANT",       [EVENT_TIME] = "TIME",
    [EVENT_READY] = "READY",     [EVENT_ALIVE] = "ALIVE",     [EVENT_FAILED] = "FAILED",
    [EVENT_RESTART] = "RESTART", [EVENT_DRAIN] = "DRAIN",     [EVENT_LIMIT] = "LIMIT",
};

static const char *const action_names[] = {
    [ACTION_START] = "start",     [ACTION_REQUEST] = "request",     [ACTION_SIGNAL] = "signal",
    [ACTION_FORWARD] = "forward", [ACTION_STOP_TREE] = "stop tree", [ACTION_KILL] = "KILL",
    [ACTION_ABANDON] = "abandon", [ACTION_CENSUS] = "census",       [ACTION_DROP] = "drop",
    [ACTION_RETRY] = "retry",     [ACTION_ERROR] = "error",         [ACTION_PHASE] = "phase",
    [ACTION_FORCED] = "forced",   [ACTION_WAITING] = "waiting",     [ACTION_EXIT] = "EXIT",
    [ACTION_READY] = "ready",     [ACTION_ALL_READY] = "all ready", [ACTION_FAILED] = "failed",
    [ACTION_HELD] = "held",       [ACTION_ROLLED] = "rolled",
};

static const char *const phase_names[] = {
    [PHASE_RUNNING] = "running", [PHASE_ENTERED] = "entered", [PHASE_DRAIN] = "drain",
    [PHASE_CANCEL] = "cancel",   [PHASE_ORPHANS] = "orphans", [PHASE_CLOSED] = "closed",
};

static const char *const kind_names[] = {
    [CORE_ORPHANS] = "orphans", [CORE_HOOK] = "hook",           [CORE_WORKER] = "worker",
    [CORE_JOB] = "job",         [CORE_COMPANION] = "companion",
};

static const char *const ending_names[] = {
    [ENDING_NONE] = "none",
    [ENDING_EXITED] = "exit",
    [ENDING_KILLED] = "killed by",
    [ENDING_NOT_STARTED] = "not started",
};

static const char *const why_names[] = {
    [WHY_NONE] = "",         [WHY_READY] = "not ready", [WHY_WATCHDOG] = "watchdog",
    [WHY_HEALTH] = "health", [WHY_AGE] = "age",         [WHY_RESTART] = "restart",
};

static const char *const companion_names[] = {
    [COMPANION_NONE] = "",
    [COMPANION_BEFORE_START] = "before-start",
    [COMPANION_AFTER_STOP] = "after-stop",
    [COMPANION_HEALTH] = "health",
};

static void print_span(const char *name, msec span)
{
    if (span == NEVER)
        printf(" %s=never", name);
    else
        printf(" %s=%lld", name, (long long)span);
}

static void trace_fleet(const struct core_worker *worker)
{
    printf("   %s%s%s%s%s", worker->rules->autostart ? "" : " no-autostart",
           worker->rules->ready_told ? " tells-ready" : "",
           worker->rules->has_before_start ? " before-start" : "",
           worker->rules->has_after_stop ? " after-stop" : "",
           worker->rules->has_health ? " health" : "");
    for (uint32_t i = 0; i < worker->after_count; i++)
        printf(" %s %u", worker->after[i].needs ? "needs" : "after", worker->after[i].worker);
    print_span("ready", worker->rules->ready_timeout);
    print_span("watchdog", worker->rules->watchdog);
    print_span("max-age", worker->rules->max_age);
    print_span("every", worker->rules->health_interval);
    print_span("takes", worker->rules->health_timeout);
    printf(" retries=%u\n", worker->rules->health_retries);
}

void trace_setting(const struct setting *setting)
{
    const struct core_config *config = &setting->config;
    printf("%s%s:", config->launcher ? "launcher" : "fleet", setting->lazy ? ", lazy" : "");
    print_span("timeout", config->timeout);
    print_span("drain", config->drain_delay);
    print_span("orphan-time", config->orphan_time);
    printf(" repeat=%d orphans=%d%s%s%s%s%s%s jobs=%u/%u shields=%u\n", config->repeat,
           config->orphans, config->daemons_stay ? " daemons-stay" : "",
           config->forever ? " forever" : "", config->has_handler ? " handler" : "",
           config->has_callback ? " callback" : "", config->has_on_error ? " on-error" : "",
           config->stop_on_unhandled_errors ? " stop-on-errors" : "", config->job_workers,
           config->job_capacity, config->shield_capacity);
    for (uint32_t i = 0; i < config->worker_count; i++) {
        const struct core_worker *worker = &setting->workers[i];
        printf("  worker %u: instances=%u wave=%u restart=%d", i, worker->instances, worker->wave,
               worker->rules->restart);
        print_span("min", worker->rules->backoff.min);
        print_span("max", worker->rules->backoff.max);
        printf(" limit=%u", worker->rules->backoff.limit);
        print_span("window", worker->rules->backoff.limit_window);
        print_span("shield", worker->rules->shield_timeout);
        for (uint32_t rung = 0; rung < worker->rules->rung_count; rung++)
            print_span("rung", worker->rules->rung_time[rung]);
        printf("%s\n", worker->rules->success.requested ? " requested" : "");
        trace_fleet(worker);
    }
}

static void print_run(const struct world *world, struct run_id run)
{
    if (run.slot >= world->record_count)
        printf(" slot %u of none", run.slot);
    else
        printf(" %s %u.%u", kind_names[world->records[run.slot].kind], run.slot, run.generation);
}

static void print_ending(struct ending end)
{
    printf(" (%s %u)", ending_names[end.kind], end.value);
}

void trace_event(const struct world *world, const struct core_event *event, bool accepted)
{
    printf("%8lld  %-11s", (long long)world->now, event_names[event->kind]);
    switch (event->kind) {
    case EVENT_BEGIN:
    case EVENT_REAPED:
    case EVENT_TIME:
        break;
    case EVENT_TRIGGER:
        printf(" %s %d%s%s %u", event->trigger == TRIGGER_SIGNAL ? "signal" : "request",
               event->cause, event->keyboard ? " keyboard" : "",
               event->status_given ? " status" : "", event->status);
        break;
    case EVENT_NOT_STARTED:
    case EVENT_EXITED:
        print_run(world, event->run);
        print_ending(event->end);
        printf("%s%s", event->requested ? " requested" : "", event->left ? " left" : "");
        break;
    case EVENT_STARTED:
    case EVENT_TREE:
    case EVENT_ERROR:
        print_run(world, event->run);
        printf("%s%s", event->left ? " left" : "", event->fresh ? " fresh" : "");
        break;
    case EVENT_HOLD:
    case EVENT_RELEASE:
    case EVENT_EXTEND:
    case EVENT_SUBMIT:
    case EVENT_JOIN:
        print_run(world, event->run);
        printf(" %s", event->name ? event->name : "");
        print_span("until", event->until);
        break;
    case EVENT_WANT:
        print_run(world, event->run);
        printf(" %s", event->wanted ? "wanted" : "not wanted");
        break;
    case EVENT_READY:
    case EVENT_ALIVE:
    case EVENT_FAILED:
        print_run(world, event->run);
        printf(" %s", why_names[event->why]);
        break;
    case EVENT_RESTART:
        printf(" worker %u", event->worker);
        break;
    case EVENT_DRAIN:
        printf(" %s", event->wanted ? "on" : "off");
        break;
    case EVENT_LIMIT:
        print_span("until", event->until);
        break;
    }
    printf("%s\n", accepted ? "" : "  -- refused");
}

void trace_action(const struct world *world, const struct core_action *action)
{
    printf("%8lld      -> %s", (long long)world->now, action_names[action->kind]);
    switch (action->kind) {
    case ACTION_START:
    case ACTION_REQUEST:
    case ACTION_STOP_TREE:
    case ACTION_KILL:
    case ACTION_ABANDON:
    case ACTION_DROP:
    case ACTION_READY:
    case ACTION_FAILED:
    case ACTION_HELD:
        print_run(world, action->run);
        printf(" %s%s", why_names[action->why], companion_names[action->companion]);
        break;
    case ACTION_ROLLED:
        printf(" worker %u %s", action->worker, action->ok ? "well" : "not well");
        break;
    case ACTION_SIGNAL:
        print_run(world, action->run);
        printf(" rung %u", action->rung);
        break;
    case ACTION_FORWARD:
        print_run(world, action->run);
        printf(" %d", action->cause);
        break;
    case ACTION_RETRY:
        print_run(world, action->run);
        print_span("until", action->until);
        break;
    case ACTION_ERROR:
        print_run(world, action->run);
        print_ending(action->end);
        printf("%s%s", action->first ? " first" : "", action->hookless ? " hookless" : "");
        break;
    case ACTION_PHASE:
        printf(" %s", phase_names[action->phase]);
        break;
    case ACTION_EXIT:
        print_ending(action->end);
        break;
    case ACTION_ALL_READY:
    case ACTION_CENSUS:
    case ACTION_FORCED:
    case ACTION_WAITING:
        break;
    }
    printf("\n");
}

void trace_reload(const struct world *world, uint32_t changed)
{
    printf("%8lld  reload, %u changed\n", (long long)world->now, changed);
}

void trace_deadline(struct world *world)
{
    print_span("             deadline", core_deadline(world_core(world)));
    printf("\n");
}
