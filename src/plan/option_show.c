/* The values behind the rows of option_table.c, shown in their own words. */
#include "plan/option_table.h"

#include <stdlib.h>

static bool add_choice(const struct option *option, int value, struct text *text)
{
    for (const struct option_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (choice->value == value)
            text_add(text, "%s", choice->name);
    }
    return true;
}

/* Two counts may share a number: each shows the side of zero that is its own. */
static bool add_count(const struct option *option, int value, struct text *text)
{
    int times = value / option->step;
    if (times <= 0)
        return false;
    text_add(text, "%d", times);
    return true;
}

static bool add_signal(const struct option *option, int signal, struct text *text)
{
    if (signal == 0 && !option->infinity)
        return false;
    text_add_signal(text, signal);
    return true;
}

static bool add_statuses(const struct success_set *set, struct text *text)
{
    size_t before = text->length;
    text_add_statuses(text, set);
    return text->length != before;
}

static bool add_rewrite(const uint8_t *rewrite, size_t n, struct text *text)
{
    for (int from = 1; from <= PLAN_SIGNAL_MAX; from++) {
        if (rewrite[from] == from || n-- > 0)
            continue;
        text_add_signal(text, from);
        if (rewrite[from] == 0) {
            text_add(text, ":0");
        } else {
            text_add(text, ":");
            text_add_signal(text, rewrite[from]);
        }
        return true;
    }
    return false;
}

static bool add_ready(const struct plan_ready *ready, struct text *text)
{
    switch (ready->kind) {
    case READY_AUTO:
        return false;
    case READY_EXEC:
        text_add(text, "exec");
        break;
    case READY_NOTIFY:
        text_add(text, "notify");
        break;
    case READY_CONTROL:
        text_add(text, "control");
        break;
    case READY_FD:
        text_add(text, "fd:%d", ready->fd);
        break;
    case READY_TCP:
        text_add(text, "tcp:%s", ready->text);
        break;
    case READY_COMMAND:
        text_add(text, "exec:%s", ready->text);
        break;
    case READY_AFTER:
        text_add(text, "after:");
        text_add_duration(text, ready->time);
        break;
    }
    return true;
}

static bool add_output(const struct plan_output *output, struct text *text)
{
    switch (output->kind) {
    case OUTPUT_INHERIT:
        text_add(text, "inherit");
        break;
    case OUTPUT_PREFIX:
        text_add(text, "prefix");
        break;
    case OUTPUT_NULL:
        text_add(text, "null");
        break;
    case OUTPUT_FILE:
        text_add(text, "file:%s", output->text);
        break;
    case OUTPUT_PIPE:
        text_add(text, "pipe:%s", output->text);
        break;
    }
    return true;
}

static bool add_string(const char *value, struct text *text)
{
    if (value == NULL)
        return false;
    text_add(text, "%s", value);
    return true;
}

/* What each type shows once it is known that there is a value at all. */
static bool add_one(const struct option *option, const void *home, size_t n, struct text *text)
{
    const void *field = (const char *)home + option->field;
    const struct plan_rules *rules = home; /* where the row is one of them */
    const struct plan_strings *strings = field;
    const struct plan_limit_value *const *limits = field;
    switch (option->type) {
    case TYPE_ACTION:
        return false;
    case TYPE_SWITCH:
        text_add(text, *(const bool *)field ? "yes" : "no");
        return true;
    case TYPE_COUNT:
        return add_count(option, *(const int *)field, text);
    case TYPE_DURATION:
        text_add_duration(text, *(const msec *)field);
        return true;
    case TYPE_DELAY_RANGE:
        text_add_delay_range(text, field);
        return true;
    case TYPE_RATE:
        text_add_rate(text, field);
        return true;
    case TYPE_INTEGER:
        if (*(const int *)field < option->min)
            return false;
        text_add(text, "%d", *(const int *)field);
        return true;
    case TYPE_OCTAL:
        if (*(const int *)field < 0)
            return false;
        text_add(text, "%04o", (unsigned)*(const int *)field);
        return true;
    case TYPE_SIGNAL:
        return add_signal(option, *(const int *)field, text);
    case TYPE_SIGNALS:
        text_add_signals(text, *(const signal_mask *)field);
        return true;
    case TYPE_STATUSES:
        return add_statuses(field, text);
    case TYPE_REWRITE:
        return add_rewrite(field, n, text);
    case TYPE_LADDER:
        text_add_ladder(text, rules->rungs, rules->rung_count);
        return true;
    case TYPE_READY:
        return add_ready(field, text);
    case TYPE_NAMES:
        return add_string(*(const char *const *)field, text);
    case TYPE_AMOUNT:
        text_add_amount(text, *(const uint64_t *)field);
        return true;
    case TYPE_CPUS:
        text_add_cpus(text, *(const uint32_t *)field);
        return true;
    case TYPE_LISTEN:
        return add_string(((const struct plan_listens *)field)->text, text);
    case TYPE_HEALTH:
        return add_string(((const struct plan_health *)field)->text, text);
    case TYPE_OUTPUT:
        return add_output(field, text);
    case TYPE_CHOICE:
        return add_choice(option, *(const int *)field, text);
    case TYPE_STRING:
    case TYPE_COMMAND:
        return add_string(*(const char *const *)field, text);
    case TYPE_STRINGS:
    case TYPE_ENV:
        return n < strings->count && add_string(strings->items[n], text);
    case TYPE_LIMIT:
        if (*limits == NULL || !(*limits)[option->limit].set)
            return false;
        text_add_limit(text, &(*limits)[option->limit]);
        return true;
    }
    return false;
}

/* These give an item for each n; all others have one value only. */
static bool has_items(const struct option *option)
{
    return option->type == TYPE_REWRITE || option->type == TYPE_STRINGS || option->type == TYPE_ENV;
}

bool option_add_value(const struct option *option, const struct plan *plan,
                      const struct plan_worker *worker, size_t n, struct text *text)
{
    const void *home = option_home(option, plan, worker);
    if (n > 0 && !has_items(option))
        return false;
    if (option->given != 0 && option->initial == NULL &&
        !*(const bool *)((const char *)home + option->given))
        return false;
    return add_one(option, home, n, text);
}

bool option_show(const struct option *option, const struct plan *plan,
                 const struct plan_worker *worker, size_t n, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    if (size > 0)
        buffer[0] = '\0';
    return option_add_value(option, plan, worker, n, &text);
}

char *option_copy_value(const struct option *option, const struct plan *plan,
                        const struct plan_worker *worker, size_t n, bool *failed)
{
    struct text measure = {0};
    if (!option_add_value(option, plan, worker, n, &measure))
        return NULL;
    char *value = malloc(measure.length + 1);
    if (value == NULL)
        *failed = true;
    else
        option_show(option, plan, worker, n, value, measure.length + 1);
    return value;
}
