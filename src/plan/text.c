#include "plan/text.h"

#include "plan/parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_add(struct text *text, const char *format, ...)
{
    bool room = text->length < text->size;
    va_list arguments;
    va_start(arguments, format);
    int added = vsnprintf(room ? text->buffer + text->length : NULL,
                          room ? text->size - text->length : 0, format, arguments);
    va_end(arguments);
    if (added > 0)
        text->length += (size_t)added;
}

void text_add_duration(struct text *text, msec value)
{
    if (value == NEVER)
        text_add(text, "infinity");
    else if (value % SECOND != 0)
        text_add(text, "%" PRId64 "ms", value);
    else if (value == 0 || value % (60 * SECOND) != 0)
        text_add(text, "%" PRId64 "s", value / SECOND);
    else if (value % (3600 * SECOND) != 0)
        text_add(text, "%" PRId64 "m", value / (60 * SECOND));
    else
        text_add(text, "%" PRId64 "h", value / (3600 * SECOND));
}

void text_add_signal(struct text *text, int signal)
{
    char name[SIGNAL_NAME_MAX];
    text_add(text, "%s", signal == 0 ? "none" : signal_name(signal, name));
}

/* The blank between two items of a list. */
static void separate(struct text *text, bool *first)
{
    if (!*first)
        text_add(text, " ");
    *first = false;
}

static void add_signals(struct text *text, signal_mask mask, bool *first)
{
    for (int signal = 1; signal <= PLAN_SIGNAL_MAX; signal++) {
        if (mask & signal_bit(signal)) {
            separate(text, first);
            text_add_signal(text, signal);
        }
    }
}

void text_add_signals(struct text *text, signal_mask mask)
{
    bool first = true;
    add_signals(text, mask, &first);
}

void text_add_statuses(struct text *text, const struct success_set *set)
{
    bool first = true;
    for (unsigned code = 0; code < 256; code++) {
        if (set->codes[code / 64] >> (code % 64) & 1) {
            separate(text, &first);
            text_add(text, "%u", code);
        }
    }
    add_signals(text, set->signals, &first);
    if (set->requested) {
        separate(text, &first);
        text_add(text, "requested");
    }
}

void text_add_delay_range(struct text *text, const struct policy_backoff *backoff)
{
    text_add_duration(text, backoff->min);
    if (backoff->max != backoff->min) {
        text_add(text, "..");
        text_add_duration(text, backoff->max);
    }
}

void text_add_rate(struct text *text, const struct policy_backoff *backoff)
{
    if (backoff->limit == 0) {
        text_add(text, "none");
        return;
    }
    text_add(text, "%" PRIu32 "/", backoff->limit);
    text_add_duration(text, backoff->limit_window);
}

void text_add_ladder(struct text *text, const struct plan_rung *rungs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        text_add(text, i == 0 ? "" : ", ");
        text_add_signal(text, rungs[i].signal);
        if (rungs[i].time != NEVER) {
            text_add(text, " ");
            text_add_duration(text, rungs[i].time);
        }
    }
    /* KILL follows every ladder, and is said unless it is the whole ladder. */
    if (count > 0 && rungs[count - 1].signal != SIGNAL_KILL)
        text_add(text, ", KILL");
}

void text_add_amount(struct text *text, uint64_t amount)
{
    if (amount == PLAN_UNLIMITED)
        text_add(text, "infinity");
    else
        text_add(text, "%" PRIu64, amount);
}

void text_add_cpus(struct text *text, uint32_t thousandths)
{
    if (thousandths == 0)
        text_add(text, "infinity");
    else if (thousandths % 1000 == 0)
        text_add(text, "%" PRIu32, thousandths / 1000);
    else
        text_add(text, "%" PRIu32 ".%03" PRIu32, thousandths / 1000, thousandths % 1000);
}

void text_add_limit(struct text *text, const struct plan_limit_value *limit)
{
    text_add_amount(text, limit->soft);
    if (limit->hard != limit->soft) {
        text_add(text, ":");
        text_add_amount(text, limit->hard);
    }
}

void text_add_quoted(struct text *text, const char *word)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        text_add(text, "%s", word);
        return;
    }
    text_add(text, "'");
    for (const char *c = word; *c != '\0'; c++)
        text_add(text, *c == '\'' ? "'\\''" : "%c", *c);
    text_add(text, "'");
}
