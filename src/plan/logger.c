#include "plan/logger.h"

#include "plan/option_table.h"
#include "plan/parse.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX ".log"

/* It is begun like any worker of the file, but has nothing of the one that it serves: it runs as
 * whoever the supervisor is, as a file is opened. */
static bool make_logger(const struct plan *plan, const struct plan_worker *served,
                        struct plan_worker *logger, struct plan_rules *rules)
{
    size_t length = strlen(served->name);
    bool copied = plan_worker_copy(logger, rules, &plan->worker);
    logger->line = served->line;
    char *name = malloc(length + sizeof SUFFIX);
    if (name == NULL)
        return false;
    memcpy(name, served->name, length);
    memcpy(name + length, SUFFIX, sizeof SUFFIX);
    logger->name = name;
    logger->is_logger = true;
    if (!copied || !parse_command(served->rules->output.text, &logger->argv))
        return false;
    rules->instances = 1;
    rules->restart = RESTART_ALWAYS;
    rules->backoff.limit = 0;
    rules->ready = (struct plan_ready){.kind = READY_EXEC};
    rules->stop_given = true; /* and not made of --stop-signal and --stop-timeout */
    rules->rung_count = 1;
    rules->rungs[0].signal = SIGTERM;
    rules->rungs[0].time = NEVER;
    rules->may_stop = false;
    rules->may_stop_set = true;
    return true;
}

bool logger_add_all(struct plan *plan, struct faults *faults)
{
    uint32_t count = plan->fleet_size, loggers = 0;
    for (uint32_t i = 0; i < count; i++)
        loggers += plan->fleet[i].rules->output.kind == OUTPUT_PIPE;
    if (loggers == 0)
        return true;
    struct plan_worker *fleet = realloc(plan->fleet, (count + loggers + 1) * sizeof *fleet);
    if (fleet == NULL)
        return false;
    plan->fleet = fleet;
    struct plan_rules *before = plan->fleet_rules;
    uint32_t rules_count = plan->fleet_rules_count;
    struct plan_rules *rules = malloc((rules_count + loggers) * sizeof *rules);
    if (rules == NULL)
        return false;
    memcpy(rules, before, rules_count * sizeof *rules);
    for (uint32_t i = 0; i < count; i++)
        fleet[i].rules = &rules[fleet[i].rules - before];
    plan->fleet_rules = rules;
    free(before);
    for (uint32_t i = 0; i < count; i++) {
        char place[OPTION_PLACE_MAX];
        if (fleet[i].rules->output.kind != OUTPUT_PIPE)
            continue;
        if (strlen(fleet[i].name) + strlen(SUFFIX) >= WORKER_NAME_MAX)
            fault_add(
                faults,
                option_place_in(option_find("output", strlen("output")), plan, &fleet[i], place),
                "the logger would be the worker '%s" SUFFIX "', which is too long a name",
                fleet[i].name);
        memset(&fleet[plan->fleet_size], 0, sizeof *fleet);
        fleet[i].logger = plan->fleet_size;
        bool made = make_logger(plan, &fleet[i], &fleet[plan->fleet_size],
                                &rules[plan->fleet_rules_count++]);
        fleet[plan->fleet_size++].logger = i; /* counted, so that what there is of it is freed */
        if (!made)
            return false;
    }
    return true;
}
