#include "plan/plan.h"

#include "plan/option_table.h"

#include <assert.h>
#include <stdlib.h>

void plan_init(struct plan *plan)
{
    *plan = (struct plan){
        .control_fd = -1,
        .worker = {.name = "main", .stop_timeout = NEVER, .attributes = {.umask = -1}},
    };
    for (int signal = 0; signal <= PLAN_SIGNAL_MAX; signal++)
        plan->rewrite[signal] = (uint8_t)signal;

    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (option->initial == NULL)
            continue;
        /* A default that its own row refuses is a mistake in the table. */
        bool accepted = option_set(option, plan, option->initial, NULL, NULL);
        assert(accepted);
        (void)accepted;
    }
    plan->shutdown_signals_given = false; /* a default is set, not given */
}

void plan_free(struct plan *plan)
{
    struct plan_attributes *attributes = &plan->worker.attributes;
    free(attributes->env.items);
    free(attributes->env_files.items);
    attributes->env = (struct plan_strings){0};
    attributes->env_files = (struct plan_strings){0};
}
