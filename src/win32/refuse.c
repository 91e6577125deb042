#include "plan/option_table.h"
#include "win32/win32.h"

#include <string.h>

/* No option parses and does nothing: what has no meaning here is refused by its name. */

#define ALL_LIMITS "limit-" /* and whatever follows */

static const struct refusal {
    const char *name;
    const char *why; /* what Windows has not, or has instead */
} refusals[] = {
    {"user", "a command has our own user on Windows"},
    {"group-name", "a command has our own groups on Windows"},
    {"umask", "files inherit their rights from their directory on Windows"},
    {"oom-score-adjust", "Windows kills nobody when memory runs out"},
    {"no-new-privileges", "Windows has no setuid programs"},
    {ALL_LIMITS, "Windows has no such limits"},
    {"parent-death-signal", "Windows tells nobody that a parent has died"},
    {"worker-death-signal", "a command ends with us in any case on Windows, by its job object"},
    {"terminal", "Windows has no foreground process group; --group gives the command a group of "
                 "its own"},
    {"loop", "there is only one on Windows, a completion port"},
    {"subreaper", "whatever a command starts belongs to its job object on Windows"},
    {"warn-on-reap", "there is nothing to reap on Windows"},
    {"control-fd", "Windows has no descriptors; AIORUN_CONTROL_PIPE names the control pipe"},
    {"listen", "sockets cannot be passed on by LISTEN_FDS on Windows"},
};

/* Why the value that the option has makes no sense; NULL: it does. */
static const char *judge_value(const char *name, const struct plan *plan,
                               const struct plan_worker *worker)
{
    if (strcmp(name, "orphans") == 0 &&
        (plan->orphans == ORPHANS_WAIT || plan->orphans == ORPHANS_LEAVE))
        return "whatever a command starts belongs to its job object on Windows, and is stopped "
               "with it";
    if (strcmp(name, "group") == 0 && plan_is_fleet(plan) && !worker->rules->group)
        return "each worker has a process group of its own on Windows";
    if (strcmp(name, "ready") == 0)
        switch (worker->rules->ready.kind) {
        case READY_NOTIFY:
            return "Windows has no sd_notify(3)";
        case READY_FD:
            return "Windows has no descriptors";
        case READY_AUTO:
        case READY_EXEC:
        case READY_CONTROL:
        case READY_AFTER:
        case READY_TCP:
        case READY_COMMAND:
            break;
        }
    return NULL;
}

static const char *judge(const char *name, const struct plan *plan,
                         const struct plan_worker *worker)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        bool is_family = strcmp(refusals[i].name, ALL_LIMITS) == 0;
        if (is_family ? strncmp(name, ALL_LIMITS, strlen(ALL_LIMITS)) == 0
                      : strcmp(name, refusals[i].name) == 0)
            return refusals[i].why;
    }
    return judge_value(name, plan, worker);
}

/* The options of the place: those of a file's worker are judged where it has them, all others
 * once. */
static void refuse_in(const struct plan *plan, const struct plan_worker *worker, bool of_file,
                      struct faults *faults)
{
    char place[OPTION_PLACE_MAX];
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        enum plan_source source = option_source(option, plan, worker);
        bool in_file = source == SOURCE_FILE && option->scope == SCOPE_WORKER;
        if (source == SOURCE_DEFAULT || option->scope == SCOPE_CLI || in_file != of_file)
            continue;
        const char *why = judge(option->name, plan, worker);
        if (why != NULL)
            fault_add(faults, option_place_in(option, plan, worker, place), "%s", why);
    }
}

void refuse_options(const struct plan *plan, struct faults *faults)
{
    refuse_in(plan, &plan->worker, false, faults);
    for (uint32_t i = 0; plan_is_fleet(plan) && i < plan->worker_count; i++)
        if (!plan->workers[i].is_logger)
            refuse_in(plan, &plan->workers[i], true, faults);
}
