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
        .worker = {.name = "main", .rules = &plan->rules},
        .rules = {.stop_timeout = NEVER, .attributes = {.umask = -1}},
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

bool plan_worker_copy(struct plan_worker *worker, struct plan_rules *rules,
                      const struct plan_worker *pattern)
{
    *worker = *pattern;
    worker->rules = rules;
    worker->argv = NULL;
    worker->keys = NULL;
    worker->key_count = 0;
    memcpy(rules, pattern->rules, sizeof *rules); /* padding, too: see plan_share_rules() */
    bool copied = copy_strings(&rules->attributes.env, &pattern->rules->attributes.env);
    copied =
        copy_strings(&rules->attributes.env_files, &pattern->rules->attributes.env_files) && copied;
    return copy_limits(&rules->attributes, pattern->rules->attributes.limits) && copied;
}

static void free_rules(struct plan_rules *rules)
{
    struct plan_attributes *attributes = &rules->attributes;
    free(attributes->env.items);
    free(attributes->env_files.items);
    free(attributes->limits);
    attributes->env = (struct plan_strings){0};
    attributes->env_files = (struct plan_strings){0};
    attributes->limits = NULL;
    parse_free_listen(&rules->listen);
    parse_free_health(&rules->health);
}

static void free_worker(struct plan_worker *worker)
{
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
    for (uint32_t i = 0; i < plan->fleet_rules_count; i++)
        free_rules(&plan->fleet_rules[i]);
    free(plan->fleet);
    free(plan->fleet_rules);
    free(plan->lines);
    free(plan->keys);
    free(plan->text);
    free_worker(&plan->worker);
    free_rules(&plan->rules);
    plan->fleet = NULL;
    plan->fleet_rules = NULL;
    plan->fleet_rules_count = 0;
    plan->fleet_size = 0;
    plan->lines = NULL;
    plan->keys = NULL;
    plan->text = NULL;
    plan->workers = NULL;
    plan->worker_count = 0;
}

/* ---- equal rules are shared ---- */

#define RULES_WORDS (sizeof(struct plan_rules) / sizeof(uint64_t))

_Static_assert(sizeof(struct plan_rules) % sizeof(uint64_t) == 0, "rules are whole words");

static uint64_t word_of(const struct plan_rules *rules, size_t n)
{
    uint64_t word;
    memcpy(&word, (const char *)rules + n * sizeof word, sizeof word);
    return word;
}

/* FNV-1a of words, since byte by byte it takes longer than all else that a plan does with a worker.
 * A product's bits go up only: some are brought down again. */
static uint32_t hash_of(const struct plan_rules *rules)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < RULES_WORDS; i++) {
        hash = (hash ^ word_of(rules, i)) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

bool plan_rules_equal(const struct plan_rules *a, const struct plan_rules *b)
{
    for (size_t i = 0; i < RULES_WORDS; i++) /* musl's memcmp(3) goes byte by byte */
        if (word_of(a, i) != word_of(b, i))
            return false;
    return true;
}

/* Where the number of those in `shared` that have the same bytes is, or is to be; `mask` is one
 * less than the places in `index`. */
static uint32_t place_of(const struct plan_rules *rules, const struct plan_rules *shared,
                         const uint32_t *index, uint32_t mask)
{
    uint32_t at = hash_of(rules) & mask;
    while (index[at] != 0 && !plan_rules_equal(&shared[index[at] - 1], rules))
        at = (at + 1) & mask;
    return at;
}

bool plan_share_rules(struct plan *plan)
{
    uint32_t size = 4, count = 0;
    while (size < 2 * plan->fleet_size)
        size *= 2;
    uint32_t *index = calloc(size, sizeof *index); /* one more than a place in `shared` */
    /* Mostly too many: pages that are not used are never there. */
    struct plan_rules *shared = calloc(plan->fleet_size + 1, sizeof *shared);
    if (index == NULL || shared == NULL) {
        free(index);
        free(shared);
        return false;
    }
    for (uint32_t i = 0; i < plan->fleet_size; i++) {
        uint32_t at = place_of(plan->fleet[i].rules, shared, index, size - 1);
        if (index[at] == 0) {
            memcpy(&shared[count], plan->fleet[i].rules, sizeof *shared);
            index[at] = ++count;
        }
        plan->fleet[i].rules = &shared[index[at] - 1];
    }
    free(index);
    free(plan->fleet_rules);
    plan->fleet_rules = shared;
    plan->fleet_rules_count = count;
    return true;
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

/* The same command, however it is quoted; it was read before, so only memory can be missing. */
static bool same_command(const char *a, const char *b, bool *failed)
{
    char **first = NULL, **second = NULL;
    bool read = parse_command(a, &first) && parse_command(b, &second);
    bool same = read && same_words(first, second);
    *failed = *failed || !read;
    free(first);
    free(second);
    return same;
}

/* Do all items of the option mean the same? */
static bool same_values(const struct option *option, const struct plan *plan_a,
                        const struct plan_worker *a, const struct plan *plan_b,
                        const struct plan_worker *b, bool *failed)
{
    bool same = true, more = true;
    for (size_t n = 0; same && more; n++) {
        char *first = option_copy_value(option, plan_a, a, n, failed);
        char *second = option_copy_value(option, plan_b, b, n, failed);
        more = first != NULL && second != NULL;
        if (!more)
            same = !*failed && first == second;
        else
            same = strcmp(first, second) == 0 ||
                   (option->type == TYPE_COMMAND && same_command(first, second, failed));
        free(first);
        free(second);
    }
    return same;
}

static bool same_scope(enum option_scope scope, const struct plan *plan_a,
                       const struct plan_worker *a, const struct plan *plan_b,
                       const struct plan_worker *b, bool *failed)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].scope == scope &&
            !same_values(&option_table[i], plan_a, a, plan_b, b, failed))
            return false;
    }
    return true;
}

bool plan_worker_equal(const struct plan_worker *a, const struct plan_worker *b, bool *failed)
{
    return strcmp(a->name, b->name) == 0 && same_scope(SCOPE_WORKER, NULL, a, NULL, b, failed);
}

bool plan_settings_equal(const struct plan *a, const struct plan *b, bool *failed)
{
    return same_scope(SCOPE_SUPERVISOR, a, &a->worker, b, &b->worker, failed);
}

bool plan_setting_equal(const struct plan *a, const struct plan *b, const char *name, bool *failed)
{
    return same_values(option_find(name, strlen(name)), a, &a->worker, b, &b->worker, failed);
}
