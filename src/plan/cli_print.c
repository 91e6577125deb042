/* The modes of cli.h that only print. */
#include "plan/cli.h"
#include "plan/ini.h"
#include "plan/option_table.h"
#include "plan/verb_table.h"

#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 34 /* where the explanations stand */
#define HELP_WIDTH  90

/* ---- help ---- */

static const char help_intro[] =
    "Usage: aiorun [OPTION...] -- COMMAND [ARG...]   launch one command\n"
    "       aiorun [OPTION...] --config FILE         supervise the workers of FILE\n"
    "       aiorun [OPTION...] --forever             no command: adopt, reap, wait\n"
    "       aiorun VERB [ARG...]                     a helper for workers, or one for people\n"
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
    "\nThe manual is aiorun(1), that of FILE is aiorun.ini(5).\n";

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
        if (option->file_only)
            continue;
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

/* Where the option can be given. */
static const char *place_name(const struct option *option)
{
    if (option->scope == SCOPE_CLI)
        return "cli";
    return option->file_only ? "file" : "both";
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
    case TYPE_READY:
        return "ready";
    case TYPE_NAMES:
        return "names";
    case TYPE_AMOUNT:
        return "amount";
    case TYPE_CPUS:
        return "cpus";
    case TYPE_LISTEN:
        return "listen";
    case TYPE_HEALTH:
        return "health";
    case TYPE_OUTPUT:
        return "output";
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
        text_add(&text, "\t%s\t%s\t", option->initial != NULL ? option->initial : "-",
                 option->help);
        if (option->scope == SCOPE_CLI)
            text_add(&text, "-");
        else
            option_add_key(option, &text);
        const char *fleet = option->fleet != NULL ? option->fleet : option->initial;
        text_add(&text, "\t%s\t%s\n", fleet != NULL ? fleet : "-", place_name(option));
    }
    return text.length;
}

/* ---- the plan ---- */

/* All items of a list on one line, as config_load() takes them apart again; in memory of its own.
 * NULL: none, or without memory, which sets *failed. */
static char *copy_list(const struct option *option, const struct plan *plan,
                       const struct plan_worker *worker, bool *failed)
{
    struct text line = {0};
    char *item = NULL;
    for (int pass = 0; pass < 2 && !*failed; pass++) { /* measured, then written */
        line.length = 0;
        for (size_t n = 0; (item = option_copy_value(option, plan, worker, n, failed)) != NULL;
             n++) {
            text_add(&line, n > 0 ? " " : "");
            if (option->type == TYPE_STRINGS)
                text_add_quoted(&line, item);
            else
                text_add(&line, "%s", item);
            free(item);
        }
        if (pass > 0 || line.length == 0)
            break;
        line.size = line.length + 1;
        line.buffer = malloc(line.size);
        *failed = *failed || line.buffer == NULL;
    }
    return line.buffer;
}

/* A line of the file.  A variable is shown as `NAME=VALUE`, but its name belongs to the key. */
static void add_line(struct text *text, const struct option *option, const char *value)
{
    char key[OPTION_PLACE_MAX];
    struct text name = {.buffer = key, .size = sizeof key};
    size_t length = option->type == TYPE_ENV ? strcspn(value, "=") : 0;
    const char *rest = option->type == TYPE_ENV ? value + length + 1 : value;
    bool blank = length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t');
    option_add_key(option, &name);
    if (blank || !ini_can_hold(value) || !ini_can_hold(rest))
        text_add(text, "; %s: a value with a line break or the like, which a file cannot hold\n",
                 option->name);
    else if (option->type == TYPE_ENV)
        text_add(text, "env.%.*s = %s\n", (int)length, value, rest);
    else
        text_add(text, "%s = %s\n", key, value);
}

/* Does a later item set the same variable as the n-th one? */
static bool is_set_again(const struct plan_strings *list, size_t n)
{
    size_t length = strcspn(list->items[n], "=") + 1;
    for (size_t i = n + 1; i < list->count; i++) {
        if (strncmp(list->items[i], list->items[n], length) == 0)
            return true;
    }
    return false;
}

/* Appends the option's lines: variables have one each. */
static void add_values(struct text *text, const struct plan *plan, const struct plan_worker *worker,
                       const struct option *option)
{
    bool list = option->type == TYPE_STRINGS || option->type == TYPE_REWRITE;
    bool failed = false;
    char *value = NULL;
    for (size_t n = 0; n == 0 || !list; n++) {
        value = list ? copy_list(option, plan, worker, &failed)
                     : option_copy_value(option, plan, worker, n, &failed);
        if (value == NULL)
            break;
        if (option->type != TYPE_ENV || !is_set_again(&worker->rules->attributes.env, n))
            add_line(text, option, value);
        free(value);
    }
    if (failed)
        text_add(text, "; %s: no memory is left to show it\n", option->name);
}

/* A default that gives way to another option: that the two contradict is no fault of anybody's, but
 * would be one in a file. */
static bool gives_way(const struct option *option, const struct plan *plan,
                      const struct plan_worker *worker)
{
    if (option->type == TYPE_SWITCH || option_source(option, plan, worker) != SOURCE_DEFAULT)
        return false;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *other = &option_table[i];
        if (option_in_force(other, plan, worker) && option_contradicts(option, other))
            return true;
    }
    return false;
}

static void add_scope(struct text *text, const struct plan *plan, const struct plan_worker *worker,
                      enum option_scope scope)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option *option = &option_table[i];
        bool here = option->scope == scope && (plan_is_fleet(plan) || !option->file_only);
        bool is_command = scope == SCOPE_WORKER && strcmp(option->name, "command") == 0;
        if (here && !is_command && !gives_way(option, plan, worker))
            add_values(text, plan, worker, option);
    }
}

static void add_command(struct text *text, char *const *argv)
{
    struct text line = {0};
    for (char *const *word = argv; *word != NULL; word++, line.length++)
        text_add_quoted(&line, *word);
    line.size = line.length + 1; /* a blank or the NUL behind each word, and one byte more */
    line.buffer = malloc(line.size);
    if (line.buffer == NULL) {
        text_add(text, "; command: no memory is left to show it\n");
        return;
    }
    line.length = 0;
    for (char *const *word = argv; *word != NULL; word++) {
        text_add(&line, word == argv ? "" : " ");
        text_add_quoted(&line, *word);
    }
    if (ini_can_hold(line.buffer))
        text_add(text, "command = %s\n", line.buffer);
    else
        text_add(text,
                 "; command: a word with a line break or the like, which a file cannot hold\n");
    free(line.buffer);
}

size_t cli_print_config(const struct plan *plan, char *buffer, size_t size)
{
    struct text text = {.buffer = buffer, .size = size};
    /* Without a command a launcher's options are still shown, as those of "main". */
    const struct plan_worker *workers = plan_is_fleet(plan) ? plan->workers : &plan->worker;
    uint32_t count = plan_is_fleet(plan) ? plan->worker_count : 1;
    text_add(&text, "; the effective configuration, as aiorun %s reads it\n", AIORUN_VERSION);
    text_add(&text, "[aiorun]\n");
    add_scope(&text, plan, &plan->worker, SCOPE_SUPERVISOR);
    for (uint32_t i = 0; i < count; i++) {
        if (workers[i].is_logger)
            continue; /* made of another one's `output` */
        text_add(&text, "\n[worker:%s]\n", workers[i].name);
        if (workers[i].argv != NULL)
            add_command(&text, workers[i].argv);
        add_scope(&text, plan, &workers[i], SCOPE_WORKER);
    }
    return text.length;
}
