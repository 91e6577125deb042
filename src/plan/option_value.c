/* The values behind the rows of option_table.c: read, and what is allowed in words. */
#include "plan/option_table.h"
#include "plan/parse.h"
#include "plan/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 80 /* how much of a wrong value its fault repeats */

/* Choices are kept in enums, which the compilers we build with make as large as an int. */
_Static_assert(sizeof(enum plan_loop) == sizeof(int) && sizeof(enum plan_mode) == sizeof(int),
               "an enum can be written as an int");

/* ---- reading ---- */

static bool set_switch(bool *field, const char *text)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int value = 0; value <= 1; value++) {
            if (strcmp(text, words[i][value]) == 0) {
                *field = value == 1;
                return true;
            }
        }
    }
    return false;
}

static bool in_range(const struct option *option, msec value)
{
    return value == NEVER ? option->infinity : value >= option->min && value <= option->max;
}

static bool set_duration(const struct option *option, msec *field, const char *text)
{
    msec value;
    if (!parse_duration(text, &value) || !in_range(option, value))
        return false;
    *field = value;
    return true;
}

static bool set_delay_range(const struct option *option, struct policy_backoff *field,
                            const char *text)
{
    msec min, max;
    if (!parse_delay_range(text, &min, &max) || !in_range(option, min) || !in_range(option, max))
        return false;
    field->min = min;
    field->max = max;
    return true;
}

static bool set_rate(const struct option *option, struct policy_backoff *field, const char *text)
{
    uint32_t times = 0;
    msec window = 0;
    if (strcmp(text, "none") != 0 &&
        (!parse_rate(text, &times, &window) || !in_range(option, window)))
        return false;
    field->limit = times;
    field->limit_window = window;
    return true;
}

static bool set_integer(const struct option *option, int *field, const char *text)
{
    int64_t value;
    int base = option->type == TYPE_OCTAL ? 8 : 10;
    if (!parse_integer(text, base, option->min, option->max, &value))
        return false;
    *field = (int)value;
    return true;
}

/* A count adds up on the command line, where each occurrence comes as one. */
static bool set_count(const struct option *option, int *field, const char *text)
{
    int64_t times;
    if (!parse_integer(text, 10, option->min, option->max, &times))
        return false;
    *field += (int)times * option->step;
    return true;
}

static bool set_signal(const struct option *option, int *field, const char *text)
{
    int signal = 0;
    if (!(option->infinity && strcmp(text, "none") == 0) && !parse_signal(text, &signal))
        return false;
    *field = signal;
    return true;
}

/* KILL and STOP never reach a handler. */
static bool can_be_caught(int signal)
{
#ifdef SIGSTOP
    if (signal == SIGSTOP)
        return false;
#endif
    return signal != SIGNAL_KILL;
}

static bool set_shutdown_signals(signal_mask *field, const char *text)
{
    signal_mask value;
    if (!parse_signals(text, &value))
        return false;
    for (int signal = 1; signal <= PLAN_SIGNAL_MAX; signal++) {
        if ((value & signal_bit(signal)) && !can_be_caught(signal))
            return false;
    }
#ifdef SIGCHLD
    if (value & signal_bit(SIGCHLD)) /* it tells the supervisor of ended children */
        return false;
#endif
    *field = value;
    return true;
}

static bool set_rewrite(uint8_t *field, const char *text)
{
    int from, to;
    if (!parse_rewrite(text, &from, &to) || !can_be_caught(from))
        return false;
    field[from] = (uint8_t)to;
    return true;
}

static bool set_ladder(struct plan_rules *rules, const char *text)
{
    return parse_ladder(text, rules->rungs, &rules->rung_count);
}

static bool set_choice(const struct option *option, int *field, const char *text)
{
    for (const struct option_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (strcmp(choice->name, text) == 0) {
            *field = choice->value;
            return true;
        }
    }
    return false;
}

static bool set_string(const char **field, const char *text)
{
    if (*text == '\0')
        return false;
    *field = text;
    return true;
}

/* The command is kept as it was written, and split again by whoever needs its words. */
static bool set_command(const char **field, const char *text)
{
    char **argv;
    if (!parse_command(text, &argv))
        return false;
    free(argv);
    *field = text;
    return true;
}

static bool set_names(const char **field, const char *text)
{
    const char *cursor = text;
    char name[WORKER_NAME_MAX];
    bool empty = true;
    for (;; empty = false) {
        if (!parse_next_name(&cursor, name))
            return false;
        if (name[0] == '\0')
            break;
    }
    if (empty)
        return false;
    *field = text;
    return true;
}

static bool set_amount(const struct option *option, uint64_t *field, const char *text)
{
    uint64_t value;
    if (!parse_amount(text, &value))
        return false;
    if (value == PLAN_UNLIMITED ? !option->infinity
                                : value < (uint64_t)option->min || value > (uint64_t)option->max)
        return false;
    *field = value;
    return true;
}

static bool set_listen(struct plan_listens *field, const char *text)
{
    struct plan_listens value;
    if (!parse_listen(text, &value))
        return false;
    parse_free_listen(field);
    *field = value;
    return true;
}

static bool set_health(struct plan_health *field, const char *text)
{
    struct plan_health value;
    if (!parse_health(text, &value))
        return false;
    parse_free_health(field);
    *field = value;
    return true;
}

/* Nearly everybody has none. */
static bool set_limit(const struct option *option, struct plan_limit_value **field,
                      const char *text)
{
    struct plan_limit_value value;
    if (!parse_limit(text, &value))
        return false;
    if (*field == NULL)
        *field = calloc(LIMIT_COUNT, sizeof **field);
    if (*field != NULL)
        (*field)[option->limit] = value;
    return *field != NULL;
}

static bool append(struct plan_strings *field, const char *text)
{
    const char **items = realloc(field->items, (field->count + 1) * sizeof *items);
    if (items == NULL)
        return false;
    items[field->count++] = text;
    field->items = items;
    return true;
}

static bool is_variable(const char *text)
{
    const char *equals = strchr(text, '=');
    return equals != NULL && equals != text;
}

/* Is `text` a proper item of a list option? */
static bool is_item(const struct option *option, const char *text)
{
    return (option->type == TYPE_ENV && is_variable(text)) ||
           (option->type == TYPE_STRINGS && *text != '\0');
}

static bool set_value(const struct option *option, void *home, const char *text)
{
    void *field = (char *)home + option->field;
    switch (option->type) {
    case TYPE_ACTION:
        *(int *)field = option->choice_value;
        return true;
    case TYPE_SWITCH:
        return set_switch(field, text);
    case TYPE_COUNT:
        return set_count(option, field, text);
    case TYPE_DURATION:
        return set_duration(option, field, text);
    case TYPE_DELAY_RANGE:
        return set_delay_range(option, field, text);
    case TYPE_RATE:
        return set_rate(option, field, text);
    case TYPE_INTEGER:
    case TYPE_OCTAL:
        return set_integer(option, field, text);
    case TYPE_SIGNAL:
        return set_signal(option, field, text);
    case TYPE_SIGNALS:
        return set_shutdown_signals(field, text);
    case TYPE_STATUSES:
        return parse_statuses(text, field);
    case TYPE_REWRITE:
        return set_rewrite(field, text);
    case TYPE_LADDER:
        return set_ladder(home, text);
    case TYPE_CHOICE:
        return set_choice(option, field, text);
    case TYPE_STRING:
        return set_string(field, text);
    case TYPE_COMMAND:
        return set_command(field, text);
    case TYPE_STRINGS:
    case TYPE_ENV:
        return is_item(option, text); /* option_set() has kept it */
    case TYPE_LIMIT:
        return set_limit(option, field, text);
    case TYPE_READY:
        return parse_ready(text, field);
    case TYPE_NAMES:
        return set_names(field, text);
    case TYPE_AMOUNT:
        return set_amount(option, field, text);
    case TYPE_CPUS:
        return parse_cpus(text, field);
    case TYPE_LISTEN:
        return set_listen(field, text);
    case TYPE_HEALTH:
        return set_health(field, text);
    case TYPE_OUTPUT:
        return parse_output(text, field);
    }
    return false;
}

/* ---- what is allowed ---- */

static void add_span(const struct option *option, struct text *text)
{
    text_add(text, "from ");
    text_add_duration(text, option->min);
    text_add(text, " to ");
    text_add_duration(text, option->max);
}

static void add_choices(const struct option *option, struct text *text)
{
    text_add(text, "one of ");
    for (const struct option_choice *choice = option->choices; choice->name != NULL; choice++)
        text_add(text, "%s%s", choice == option->choices ? "" : ", ", choice->name);
}

/* What comes after "'VALUE' is not ". */
static void add_allowed(const struct option *option, struct text *text)
{
    switch (option->type) {
    case TYPE_ACTION:
    case TYPE_SWITCH:
        text_add(text, "yes or no");
        return;
    case TYPE_COUNT:
    case TYPE_INTEGER:
        text_add(text, "a whole number from %d to %d", (int)option->min, (int)option->max);
        return;
    case TYPE_DURATION:
        text_add(text, "a duration such as 500ms, 10s, 2m or 1h, ");
        add_span(option, text);
        text_add(text, option->infinity ? ", or infinity" : "");
        return;
    case TYPE_DELAY_RANGE:
        text_add(text, "MIN..MAX such as 100ms..30s, MIN not above MAX, ");
        add_span(option, text);
        return;
    case TYPE_RATE:
        text_add(text, "N/D such as 5/1m, D ");
        add_span(option, text);
        text_add(text, ", or none");
        return;
    case TYPE_OCTAL:
        text_add(text, "an octal number from %o to %o", (unsigned)option->min,
                 (unsigned)option->max);
        return;
    case TYPE_SIGNAL:
        text_add(text, "a signal such as TERM, SIGTERM, 15 or RTMIN+3%s",
                 option->infinity ? ", or none" : "");
        return;
    case TYPE_SIGNALS:
        text_add(text, "a list of signals such as 'INT TERM', without KILL, STOP and CHLD");
        return;
    case TYPE_STATUSES:
        text_add(text, "a list of exit statuses (0 to 255), signal names, or 'requested'");
        return;
    case TYPE_REWRITE:
        text_add(text, "FROM:TO, two signals, TO possibly 0 and FROM neither KILL nor STOP");
        return;
    case TYPE_LADDER:
        text_add(text,
                 "a ladder such as 'TERM 20s, QUIT 5s, KILL': at most %d signals before KILL, a "
                 "time for each but the last, and KILL only at the end and without one",
                 PLAN_RUNGS_MAX);
        return;
    case TYPE_CHOICE:
        add_choices(option, text);
        return;
    case TYPE_STRING:
    case TYPE_STRINGS:
        text_add(text, "a %s: it must not be empty", option->argument);
        return;
    case TYPE_COMMAND:
        text_add(text, "a command: it must name a program and close its quotes");
        return;
    case TYPE_ENV:
        text_add(text, "NAME=VALUE");
        return;
    case TYPE_READY:
        text_add(
            text,
            "exec, notify, control, fd:N (N from 3 to 1023), after:D, tcp:HOST:PORT or exec:CMD");
        return;
    case TYPE_NAMES:
        text_add(text, "a list of workers: names of at most 63 letters, digits, '.', '_' and '-'");
        return;
    case TYPE_AMOUNT:
        text_add(text, "a number from %" PRId64 " to %" PRId64 " (K, M, G or T may follow)%s",
                 option->min, option->max, option->infinity ? ", or infinity" : "");
        return;
    case TYPE_CPUS:
        text_add(text, "a number of processors such as 1.5 or 150%%, from 0.001 to 10000, or "
                       "infinity");
        return;
    case TYPE_LISTEN:
        text_add(text, "a list of addresses such as tcp:127.0.0.1:8080, tcp:[::1]:8080, "
                       "tcp6:*:8080, unix:/run/x.sock or unix:/run/x.sock:0660");
        return;
    case TYPE_HEALTH:
        text_add(text, "CMD every D timeout D retries N, such as 'curl -f localhost every 10s "
                       "timeout 2s retries 3'");
        return;
    case TYPE_OUTPUT:
        text_add(text, "one of inherit, prefix, null, file:PATH, pipe:CMD");
        return;
    case TYPE_LIMIT:
        text_add(text, "SOFT or SOFT:HARD, SOFT not above HARD, each a number (K, M, G or T may "
                       "follow) or infinity");
        return;
    }
}

bool option_set(const struct option *option, struct plan *plan, struct plan_worker *worker,
                const char *text, const char *place, struct faults *faults)
{
    void *home = (void *)(uintptr_t)option_home(option, plan, worker);
    errno = 0;
    bool kept = !is_item(option, text) || append((void *)((char *)home + option->field), text);
    if (kept && set_value(option, home, text)) {
        if (option->given != 0)
            *(bool *)((char *)home + option->given) = true;
        return true;
    }
    if (errno == ENOMEM) { /* nothing is wrong with the value */
        fault_add(faults, place, "no memory is left for it");
        return false;
    }
    char allowed[FAULT_TEXT_MAX];
    struct text out = {.buffer = allowed, .size = sizeof allowed};
    add_allowed(option, &out);
    fault_add(faults, place, "'%.*s%s' is not %s", SHOWN_MAX, text,
              strlen(text) > SHOWN_MAX ? "..." : "", allowed);
    return false;
}
