/* The modes of cli.h that only print. */
#include "plan/cli.h"
#include "plan/option_table.h"
#include "plan/verb_table.h"

#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 34 /* where the explanations stand */
#define HELP_WIDTH  90

/* ---- help ---- */

static const char help_intro[] =
    "Usage: aiorun [OPTION...] -- COMMAND [ARG...]   launch one command\n"
    "       aiorun [OPTION...] --forever             no command: adopt, reap, wait\n"
    "       aiorun VERB [ARG...]                     a helper for workers\n"
    "\n"
    "Starts COMMAND, passes signals on, and sees to a clean end: every process that it started\n"
    "or inherited is asked to stop, given its time, waited for and reaped, and the exit status\n"
    "tells the truth.\n"
    "\n"
    "D is a time: 500ms, 10s, 2m, 1h, or plain seconds; infinity where that makes sense.  SIG is\n"
    "a signal: TERM, SIGTERM, 15 or RTMIN+3.  AIORUN_OPT_NAME in the environment sets the default\n"
    "of --name.\n";

static const char help_examples[] =
    "\nExamples:\n"
    "  aiorun -- ./server --port 8080\n"
    "  aiorun --timeout 28s --stop 'TERM 20s, QUIT 5s, KILL' -- ./server\n"
    "  aiorun --user www-data --restart on-failure --restart-limit 5/1m -- ./worker\n"
    "\nThe manual is aiorun(1).\n";

static void add_spaces(struct text *text, size_t count)
{
    text_add(text, "%*s", (int)count, "");
}

/* Appends `words`, with new lines that begin at HELP_COLUMN where HELP_WIDTH is reached. */
static void add_wrapped(struct text *text, const char *words, size_t *column)
{
    for (;;) {
        words += strspn(words, " ");
        size_t length = strcspn(words, " ");
        if (length == 0)
            return;
        if (*column > HELP_COLUMN && *column + 1 + length > HELP_WIDTH) {
            text_add(text, "\n");
            add_spaces(text, HELP_COLUMN);
            *column = HELP_COLUMN;
        } else if (*column > HELP_COLUMN) {
            text_add(text, " ");
            ++*column;
        }
        text_add(text, "%.*s", (int)length, words);
        *column += length;
        words += length;
    }
}

/* `  -g, --group, --no-group` */
static void add_names(struct text *text, const struct option *option)
{
    if (option->letter != 0)
        text_add(text, "  -%c, --%s", option->letter, option->name);
    else
        text_add(text, "      --%s", option->name);
    if (option->negatable)
        text_add(text, ", --no-%s", option->name);
    if (option_takes_argument(option))
        text_add(text, " ");
    option_add_argument(option, text);
}

static void add_option(struct text *text, const struct option *option)
{
    size_t start = text->length;
    add_names(text, option);
    size_t column = text->length - start;
    if (column + 2 > HELP_COLUMN) {
        text_add(text, "\n");
        column = 0;
    }
    add_spaces(text, HELP_COLUMN - column);
    column = HELP_COLUMN;
    add_wrapped(text, option->help, &column);
    if (option->initial != NULL) {
        char buffer[64];
        struct text words = {.buffer = buffer, .size = sizeof buffer};
        text_add(&words, "(default: %s)", option->initial);
        add_wrapped(text, buffer, &column);
    }
    text_add(text, "\n");
}

size_t cli_help(char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    text_add(&text, "%s", help_intro);
    const char *group = "";
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        if (strcmp(group, option->group) != 0)
            text_add(&text, "\n%s:\n", option->group);
        group = option->group;
        add_option(&text, option);
    }
    verb_add_list(&text);
    text_add(&text, "%s", help_examples);
    return text.length;
}

size_t cli_verb_help(const struct verb *verb, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    verb_add_help(verb, &text);
    return text.length;
}

/* ---- the table for programs ---- */

static const char *scope_name(enum option_scope scope)
{
    switch (scope) {
    case SCOPE_CLI:
        return "cli";
    case SCOPE_SUPERVISOR:
        return "supervisor";
    case SCOPE_WORKER:
        return "worker";
    }
    return "-";
}

static const char *type_name(const struct option *option)
{
    switch (option->type) {
    case TYPE_ACTION:
        return "action";
    case TYPE_SWITCH:
        return option->negatable ? "toggle" : "switch";
    case TYPE_COUNT:
        return "count";
    case TYPE_DURATION:
        return "duration";
    case TYPE_DELAY_RANGE:
        return "delay-range";
    case TYPE_RATE:
        return "rate";
    case TYPE_INTEGER:
        return "integer";
    case TYPE_OCTAL:
        return "octal";
    case TYPE_SIGNAL:
        return "signal";
    case TYPE_SIGNALS:
        return "signals";
    case TYPE_STATUSES:
        return "statuses";
    case TYPE_REWRITE:
        return "rewrite";
    case TYPE_LADDER:
        return "ladder";
    case TYPE_CHOICE:
        return "choice";
    case TYPE_STRING:
        return "string";
    case TYPE_COMMAND:
        return "command";
    case TYPE_STRINGS:
        return "strings";
    case TYPE_ENV:
        return "env";
    case TYPE_LIMIT:
        return "limit";
    }
    return "-";
}

size_t cli_list_options(char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        text_add(&text, "%s\t%c\t%s\t%s\t", option->name,
                 option->letter != 0 ? option->letter : '-', scope_name(option->scope),
                 type_name(option));
        if (option_takes_argument(option))
            option_add_argument(option, &text);
        else
            text_add(&text, "-");
        text_add(&text, "\t%s\t%s\n", option->initial != NULL ? option->initial : "-",
                 option->help);
    }
    return text.length;
}

/* ---- the plan ---- */

/* A line of the file.  `value` is shown by option_show(), so `NAME=VALUE` for a variable, whose
 * name belongs to the key there. */
static void add_line(struct text *text, const struct option *option, const char *value)
{
    if (value[strcspn(value, "\r\n")] != '\0') {
        text_add(text, "; %s: a value with a line break, which a file cannot hold\n", option->name);
    } else if (option->type == TYPE_ENV) {
        int length = (int)strcspn(value, "=");
        text_add(text, "env.%.*s = %s\n", length, value, value + length + 1);
    } else if (option->type == TYPE_LIMIT) {
        text_add(text, "limit.%s = %s\n", option->name + strlen("limit-"), value);
    } else {
        text_add(text, "%s = %s\n", option->name, value);
    }
}

/* Appends the option's n-th value; false when there is none. */
static bool add_value(struct text *text, const struct plan *plan, const struct option *option,
                      size_t n)
{
    struct text measure = {0};
    if (!option_add_value(option, plan, n, &measure))
        return false;
    char *value = malloc(measure.length + 1);
    if (value == NULL) {
        text_add(text, "; %s: no memory is left to show it\n", option->name);
        return false;
    }
    option_show(option, plan, n, value, measure.length + 1);
    add_line(text, option, value);
    free(value);
    return true;
}

static void add_scope(struct text *text, const struct plan *plan, enum option_scope scope)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_table[i].scope != scope)
            continue;
        for (size_t n = 0; add_value(text, plan, &option_table[i], n); n++)
            ;
    }
}

static void add_command(struct text *text, char *const *argv)
{
    for (char *const *word = argv; *word != NULL; word++) {
        if ((*word)[strcspn(*word, "\r\n")] != '\0') {
            text_add(text, "; command: a word with a line break, which a file cannot hold\n");
            return;
        }
    }
    text_add(text, "command =");
    for (char *const *word = argv; *word != NULL; word++) {
        text_add(text, " ");
        text_add_quoted(text, *word);
    }
    text_add(text, "\n");
}

size_t cli_print_config(const struct plan *plan, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    text_add(&text, "; the effective configuration, as aiorun %s reads it\n", AIORUN_VERSION);
    text_add(&text, "[aiorun]\n");
    add_scope(&text, plan, SCOPE_SUPERVISOR);
    text_add(&text, "\n[worker:%s]\n", plan->worker.name);
    if (plan->worker.argv != NULL)
        add_command(&text, plan->worker.argv);
    add_scope(&text, plan, SCOPE_WORKER);
    return text.length;
}
