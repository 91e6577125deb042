#include "plan/plan.h"

#include "plan/option_table.h"
#include "plan/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
        bool accepted = option_set(option, plan, &plan->worker, option->initial, NULL, NULL);
        assert(accepted);
        (void)accepted;
    }
    plan->shutdown_signals_given = false; /* a default is set, not given */
}

static bool copy_strings(struct plan_strings *copy, const struct plan_strings *list)
{
    *copy = (struct plan_strings){0};
    if (list->count == 0)
        return true;
    copy->items = malloc(list->count * sizeof *copy->items);
    if (copy->items == NULL)
        return false;
    memcpy(copy->items, list->items, list->count * sizeof *copy->items);
    copy->count = list->count;
    return true;
}

static bool copy_limits(struct plan_attributes *copy, const struct plan_limit_value *limits)
{
    copy->limits = NULL;
    if (limits == NULL)
        return true;
    copy->limits = malloc(LIMIT_COUNT * sizeof *copy->limits);
    if (copy->limits == NULL)
        return false;
    memcpy(copy->limits, limits, LIMIT_COUNT * sizeof *copy->limits);
    return true;
}

bool plan_worker_copy(struct plan_worker *worker, const struct plan_worker *pattern)
{
    struct plan_attributes *copy = &worker->attributes;
    *worker = *pattern;
    worker->argv = NULL;
    worker->keys = NULL;
    worker->key_count = 0;
    bool copied = copy_strings(&copy->env, &pattern->attributes.env);
    copied = copy_strings(&copy->env_files, &pattern->attributes.env_files) && copied;
    return copy_limits(copy, pattern->attributes.limits) && copied;
}

static void free_worker(struct plan_worker *worker)
{
    struct plan_attributes *attributes = &worker->attributes;
    free(attributes->env.items);
    free(attributes->env_files.items);
    free(attributes->limits);
    attributes->env = (struct plan_strings){0};
    attributes->env_files = (struct plan_strings){0};
    attributes->limits = NULL;
    parse_free_listen(&worker->listen);
    parse_free_health(&worker->health);
    free(worker->after);
    free(worker->own_name);
    worker->own_name = NULL;
    worker->after = NULL;
    worker->keys = NULL;
    worker->key_count = 0;
}

void plan_free(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->fleet_size; i++) {
        free(plan->fleet[i].argv);
        free_worker(&plan->fleet[i]);
    }
    free(plan->fleet);
    free(plan->lines);
    free(plan->keys);
    free(plan->text);
    free_worker(&plan->worker);
    plan->fleet = NULL;
    plan->fleet_size = 0;
    plan->lines = NULL;
    plan->keys = NULL;
    plan->text = NULL;
    plan->workers = NULL;
    plan->worker_count = 0;
}

uint32_t plan_find_worker(const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->worker_count; i++)
        if (strcmp(plan->workers[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

const char *plan_place(const struct plan *plan, uint32_t line, char *buffer)
{
    const char *path = plan->config;
    size_t room = PLAN_PLACE_MAX - sizeof "...:4294967295";
    struct text text = {.buffer = buffer, .size = PLAN_PLACE_MAX};
    if (strlen(path) > room)
        text_add(&text, "...%s", path + strlen(path) - room);
    else
        text_add(&text, "%s", path);
    if (line > 0)
        text_add(&text, ":%u", (unsigned)line);
    return buffer;
}

/* ---- what a reload compares ---- */

static bool same_words(char *const *a, char *const *b)
{
    for (; *a != NULL && *b != NULL; a++, b++) {
        if (strcmp(*a, *b) != 0)
            return false;
    }
    return *a == *b;
}

/* The same command, however it is quoted. */
static bool same_command(const char *a, const char *b)
{
    char **first = NULL, **second = NULL;
    bool same = parse_command(a, &first) && parse_command(b, &second) && same_words(first, second);
    free(first);
    free(second);
    return same;
}

/* Do all items of the option mean the same? */
static bool same_values(const struct option *option, const struct plan *plan_a,
                        const struct plan_worker *a, const struct plan *plan_b,
                        const struct plan_worker *b)
{
    bool failed = false, same = true, more = true;
    for (size_t n = 0; same && more; n++) {
        char *first = option_copy_value(option, plan_a, a, n, &failed);
        char *second = option_copy_value(option, plan_b, b, n, &failed);
        more = first != NULL && second != NULL;
        if (!more)
            same = !failed && first == second;
        else
            same = strcmp(first, second) == 0 ||
                   (option->type == TYPE_COMMAND && same_command(first, second));
        free(first);
        free(second);
    }
    return same;
}

static bool same_scope(enum option_scope scope, const struct plan *plan_a,
                       const struct plan_worker *a, const struct plan *plan_b,
                       const struct plan_worker *b)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].scope == scope && !same_values(&option_table[i], plan_a, a, plan_b, b))
            return false;
    }
    return true;
}

bool plan_worker_equal(const struct plan_worker *a, const struct plan_worker *b)
{
    return strcmp(a->name, b->name) == 0 && same_scope(SCOPE_WORKER, NULL, a, NULL, b);
}

bool plan_settings_equal(const struct plan *a, const struct plan *b)
{
    return same_scope(SCOPE_SUPERVISOR, a, &a->worker, b, &b->worker);
}

bool plan_setting_equal(const struct plan *a, const struct plan *b, const char *name)
{
    return same_values(option_find(name, strlen(name)), a, &a->worker, b, &b->worker);
}
