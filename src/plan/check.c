#include "plan/check.h"

#include "plan/check_fleet.h"
#include "plan/option_table.h"

#include <inttypes.h>
#include <string.h>

#define SHARE_OF_CAP 4 /* the drain delay may take a quarter of the timeout */

static const struct option *row_of(const char *name)
{
    return option_find(name, strlen(name));
}

/* The fault's place: the named option, where it was given. */
static const char *place_of(const struct plan *plan, const struct plan_worker *worker,
                            const char *name, char *buffer)
{
    return option_place_in(row_of(name), plan, worker, buffer);
}

static enum plan_source source_of(const struct plan *plan, const char *name)
{
    return option_source(row_of(name), plan, &plan->worker);
}

/* What the command line or the environment says of all workers of a file is judged once, in
 * `plan->worker`, and not again in each of them. */
static bool is_judged_before(const struct plan *plan, const struct plan_worker *worker,
                             const struct option *a, const struct option *b)
{
    return worker != &plan->worker && option_source(a, plan, worker) != SOURCE_FILE &&
           option_source(b, plan, worker) != SOURCE_FILE;
}

static void check_pair(const struct plan *plan, const struct plan_worker *worker,
                       const struct option *a, const struct option *b, struct faults *faults)
{
    const struct option *first = a < b ? a : b, *last = a < b ? b : a;
    char place[OPTION_PLACE_MAX], other[OPTION_PLACE_MAX];
    if (!option_in_force(b, plan, worker) || is_judged_before(plan, worker, a, b))
        return;
    fault_add(faults, option_place_in(last, plan, worker, place),
              "it contradicts %s, only one of them is allowed",
              option_place_in(first, plan, worker, other));
}

/* Two options that exclude each other.  (Where one is from the environment and the other from the
 * command line, cli_parse() has let the latter win; and config_load() has let both win over the
 * file.) */
static void check_pairs(const struct plan *plan, const struct plan_worker *worker,
                        enum option_scope scope, struct faults *faults)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *a = &option_table[i];
        if (a->scope != scope || a->excludes[0] == NULL || !option_in_force(a, plan, worker))
            continue;
        for (size_t n = 0; n < sizeof a->excludes / sizeof a->excludes[0]; n++)
            if (a->excludes[n] != NULL)
                check_pair(plan, worker, a, row_of(a->excludes[n]), faults);
    }
}

static void check_drain_delay(const struct plan *plan, struct faults *faults)
{
    /* Divided rather than multiplied: a timeout of 1 ms has no whole quarter, and allows 0 only. */
    if (plan->timeout == NEVER || plan->drain_delay <= plan->timeout / SHARE_OF_CAP)
        return;
    char place[OPTION_PLACE_MAX], words[OPTION_PLACE_MAX];
    struct text text = {.buffer = words, .size = sizeof words};
    text_add(&text, "'");
    text_add_duration(&text, plan->drain_delay);
    text_add(&text, "' is more than a quarter of the timeout, ");
    text_add_duration(&text, plan->timeout);
    const char *name = source_of(plan, "drain-delay") == SOURCE_DEFAULT ? "timeout" : "drain-delay";
    fault_add(faults, place_of(plan, &plan->worker, name, place), "%s", words);
}

/* An option that can have no effect is refused where somebody has just typed it.  In the
 * environment it is a default for whatever is started there, and does no harm. */
static bool is_typed(const struct plan *plan, const char *name)
{
    return source_of(plan, name) == SOURCE_COMMAND_LINE;
}

static void check_restart(const struct plan *plan, struct faults *faults)
{
    static const char *const names[] = {"restart-delay", "restart-limit"};
    if (plan->worker.rules->restart != RESTART_NEVER)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char place[OPTION_PLACE_MAX];
        if (is_typed(plan, names[i]))
            fault_add(faults, place_of(plan, &plan->worker, names[i], place),
                      "it needs --restart on-failure or --restart always, and --restart is never");
    }
}

/* Without a command these still say how orphans are stopped and what the exit status is. */
static bool serves_without_command(const struct option *option)
{
    static const char *const names[] = {"stop", "stop-signal", "stop-timeout", "success-status"};
    if (option->scope != SCOPE_WORKER)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(option->name, names[i]) == 0)
            return true;
    }
    return false;
}

static void check_forever(const struct plan *plan, struct faults *faults)
{
    if (plan->mode != MODE_FOREVER)
        return;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        char place[OPTION_PLACE_MAX];
        if (!serves_without_command(option) && is_typed(plan, option->name))
            fault_add(faults, place_of(plan, &plan->worker, option->name, place),
                      "it is for a command, and --forever was given without one");
    }
}

/* USER, or USER:GROUP unless --group-name says the group. */
static void check_user(const struct plan *plan, const struct plan_worker *worker,
                       struct faults *faults)
{
    const char *user = worker->rules->attributes.user;
    const char *colon = user != NULL ? strchr(user, ':') : NULL;
    char place[OPTION_PLACE_MAX];
    if (colon == NULL || is_judged_before(plan, worker, row_of("user"), row_of("group-name")))
        return;
    if (colon == user || colon[1] == '\0' || strchr(colon + 1, ':') != NULL)
        fault_add(faults, place_of(plan, worker, "user", place),
                  "'%.80s' is not USER or USER:GROUP", user);
    else if (worker->rules->attributes.group != NULL)
        fault_add(faults, place_of(plan, worker, "group-name", place),
                  "'%.80s' contradicts the group in the user '%.80s', only one of them is allowed",
                  worker->rules->attributes.group, user);
}

/* The group that a terminal is shared in is the shell's too: it is never signalled as a group. */
static void check_terminal(struct plan *plan, struct faults *faults)
{
    char place[OPTION_PLACE_MAX];
    if (plan->terminal == TERMINAL_SHARE && source_of(plan, "group") == SOURCE_DEFAULT)
        plan->rules.group = false; /* dumb-init's default gives way */
    if (plan->worker.rules->group && plan->terminal == TERMINAL_SHARE)
        fault_add(faults, place_of(plan, &plan->worker, "group", place),
                  "it needs a process group of the command's own, and --terminal is share");
}

/* Where there are several commands, the keys are for aiorun alone. */
static void check_fleet_terminal(struct plan *plan, struct faults *faults)
{
    char place[OPTION_PLACE_MAX];
    bool asked = plan->terminal == TERMINAL_SHARE || plan->terminal == TERMINAL_OWN;
    if (asked && source_of(plan, "terminal") != SOURCE_ENVIRONMENT)
        fault_add(faults, place_of(plan, &plan->worker, "terminal", place),
                  "the workers of a file have no terminal: only none is allowed");
    plan->terminal = TERMINAL_NONE;
}

/* The ladder of the two simple options, and the default that is another option's value. */
static void finish_rules(const struct plan *plan, struct plan_rules *rules)
{
    if (!rules->stop_given) {
        rules->rung_count = 1;
        rules->rungs[0].signal = rules->stop_signal;
        rules->rungs[0].time = rules->stop_timeout;
    }
    if (!rules->shield_timeout_set)
        rules->shield_timeout = plan->timeout;
}

static void check_worker(const struct plan *plan, const struct plan_worker *worker,
                         struct faults *faults)
{
    check_pairs(plan, worker, SCOPE_WORKER, faults);
    check_user(plan, worker, faults);
}

/* Each of a worker is in range, but a file may have many workers. */
static void check_instances(const struct plan *plan, struct faults *faults)
{
    uint64_t instances = 0;
    char place[PLAN_PLACE_MAX];
    for (uint32_t i = 0; i < plan->fleet_size; i++)
        instances += (uint64_t)plan->fleet[i].rules->instances;
    if (instances > PLAN_INSTANCES_MAX)
        fault_add(faults, plan_place(plan, 0, place),
                  "its workers have %" PRIu64 " instances together, at most %d are allowed",
                  instances, PLAN_INSTANCES_MAX);
}

static void check_workers(struct plan *plan, struct faults *faults)
{
    char place[PLAN_PLACE_MAX];
    check_fleet_terminal(plan, faults);
    check_worker(plan, &plan->worker, faults);
    for (uint32_t i = 0; i < plan->fleet_size; i++)
        check_worker(plan, &plan->fleet[i], faults);
    for (uint32_t i = 0; i < plan->fleet_rules_count; i++)
        finish_rules(plan, &plan->fleet_rules[i]);
    check_fleet(plan, faults);
    check_instances(plan, faults);
    if (!plan_share_rules(plan))
        fault_add(faults, plan_place(plan, 0, place),
                  "no memory is left to look after its workers");
    plan->workers = plan->fleet;
    plan->worker_count = plan->fleet_size;
    /* Not said of a file that could not be read, or whose headings are wrong. */
    if (plan->fleet_size == 0 && faults->count == 0)
        fault_add(faults, plan_place(plan, 0, place),
                  "there is no worker in it: a section [worker:NAME] makes one");
}

void check_plan(struct plan *plan, struct faults *faults)
{
    check_pairs(plan, &plan->worker, SCOPE_SUPERVISOR, faults);
    check_drain_delay(plan, faults);
    check_forever(plan, faults);
    finish_rules(plan, &plan->rules);
    if (plan_is_fleet(plan)) {
        check_workers(plan, faults);
        return;
    }
    check_restart(plan, faults);
    check_worker(plan, &plan->worker, faults);
    check_terminal(plan, faults);
    plan->workers = &plan->worker;
    plan->worker_count = plan->worker.argv != NULL ? 1 : 0;
}
