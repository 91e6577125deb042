#include "plan/check.h"

#include "plan/option_table.h"

#include <string.h>

#define SHARE_OF_CAP 4 /* the drain delay may take a quarter of the timeout */

static enum plan_source source_of(const struct plan *plan, const char *name)
{
    return option_source(option_find(name, strlen(name)), plan);
}

/* The fault's place: the named option, where it was given. */
static const char *place_of(const struct plan *plan, const char *name, char *buffer)
{
    return option_place(option_find(name, strlen(name)), source_of(plan, name), buffer);
}

/* Two options that exclude each other.  (Where one is from the environment and the other from the
 * command line, cli_parse() has let the latter win.) */
static void check_pairs(const struct plan *plan, struct faults *faults)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *a = &option_table[i];
        if (!option_in_force(a, plan))
            continue;
        for (size_t j = i + 1; j < option_count; j++) {
            const struct option *b = &option_table[j];
            if (!option_in_force(b, plan) || !option_contradicts(a, b))
                continue;
            char place[OPTION_PLACE_MAX], other[OPTION_PLACE_MAX];
            fault_add(faults, option_place(b, option_source(b, plan), place),
                      "it contradicts %s, only one of them is allowed",
                      option_place(a, option_source(a, plan), other));
        }
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
    fault_add(faults, place_of(plan, name, place), "%s", words);
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
    if (plan->worker.restart != RESTART_NEVER)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char place[OPTION_PLACE_MAX];
        if (is_typed(plan, names[i]))
            fault_add(faults, place_of(plan, names[i], place),
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
            fault_add(faults, place_of(plan, option->name, place),
                      "it is for a command, and --forever was given without one");
    }
}

/* USER, or USER:GROUP unless --group-name says the group. */
static void check_user(const struct plan *plan, struct faults *faults)
{
    const char *user = plan->worker.attributes.user;
    const char *colon = user != NULL ? strchr(user, ':') : NULL;
    char place[OPTION_PLACE_MAX];
    if (colon == NULL)
        return;
    if (colon == user || colon[1] == '\0' || strchr(colon + 1, ':') != NULL)
        fault_add(faults, place_of(plan, "user", place), "'%.80s' is not USER or USER:GROUP", user);
    else if (plan->worker.attributes.group != NULL)
        fault_add(faults, place_of(plan, "group-name", place),
                  "'%.80s' contradicts the group in --user '%.80s', only one of them is allowed",
                  plan->worker.attributes.group, user);
}

/* The group that a terminal is shared in is the shell's too: it is never signalled as a group. */
static void check_terminal(struct plan *plan, struct faults *faults)
{
    char place[OPTION_PLACE_MAX];
    if (plan->terminal == TERMINAL_SHARE && source_of(plan, "group") == SOURCE_DEFAULT)
        plan->worker.group = false; /* dumb-init's default gives way */
    if (plan->worker.group && plan->terminal == TERMINAL_SHARE)
        fault_add(faults, place_of(plan, "group", place),
                  "it needs a process group of the command's own, and --terminal is share");
}

static void make_ladder(struct plan_worker *worker)
{
    if (worker->stop_given)
        return;
    worker->rung_count = 1;
    worker->rungs[0] =
        (struct plan_rung){.signal = worker->stop_signal, .time = worker->stop_timeout};
}

void check_plan(struct plan *plan, struct faults *faults)
{
    check_pairs(plan, faults);
    check_drain_delay(plan, faults);
    check_restart(plan, faults);
    check_forever(plan, faults);
    check_user(plan, faults);
    check_terminal(plan, faults);
    make_ladder(&plan->worker);
    if (!plan->worker.shield_timeout_set)
        plan->worker.shield_timeout = plan->timeout;
    plan->workers = &plan->worker;
    plan->worker_count = plan->worker.argv != NULL ? 1 : 0;
}
