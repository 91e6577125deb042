#include "plan/cli.h"

#include "plan/completion.h"
#include "plan/drop_in.h"
#include "plan/nearest.h"
#include "plan/option_table.h"
#include "plan/verb_table.h"

#include <string.h>

#define VARIABLE_PREFIX "AIORUN_OPT_"
#define NAME_SHOWN      NEAREST_MAX /* how much of an unknown name its fault repeats */

struct reader {
    struct plan *plan;
    struct faults *faults;
    const char *program; /* started as tini or its like: the command needs no `--` */
    bool lost;           /* an option made no sense: what follows it may not be what it seems */
    bool wants_command;  /* nothing has said so far what to run */
};

/* ---- unknown names ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool is_on_command_line(const struct option *option)
{
    return !option->file_only;
}

static const struct option *find_nearest(const char *name, size_t length)
{
    return nearest_option(name, length, is_on_command_line);
}

/* The option of the command line with this long name; NULL when there is none. */
static const struct option *find_option(const char *name, size_t length)
{
    const struct option *option = option_find(name, length);
    return option != NULL && is_on_command_line(option) ? option : NULL;
}

/* `dashes` is what stood before the name on the command line. */
static void refuse_unknown(struct reader *reader, const char *dashes, const char *name,
                           size_t length)
{
    const struct option *nearest = find_nearest(name, length);
    const struct option *known = option_find(name, length);
    int shown = (int)least(length, NAME_SHOWN);
    const char *rest = length > NAME_SHOWN ? "..." : "";
    if (known != NULL && known->file_only)
        fault_add(reader->faults, NULL, "option --%s: it can be given in a --config FILE only",
                  known->name);
    else if (nearest != NULL)
        fault_add(reader->faults, NULL,
                  "option %s%.*s%s: there is no such option, did you mean --%s?", dashes, shown,
                  name, rest, nearest->name);
    else
        fault_add(reader->faults, NULL,
                  "option %s%.*s%s: there is no such option, 'aiorun --help' shows all", dashes,
                  shown, name, rest);
    reader->lost = true;
}

/* ---- the command line ---- */

static void take(struct reader *reader, const struct option *option, const char *value)
{
    char place[OPTION_PLACE_MAX];
    option_place(option, SOURCE_COMMAND_LINE, place);
    reader->plan->source[option - option_table] = SOURCE_COMMAND_LINE;
    bool good =
        option_set(option, reader->plan, &reader->plan->worker, value, place, reader->faults);
    if (!good && strcmp(option->name, "config") == 0)
        reader->wants_command = false; /* it was said what to run, if badly */
}

/* Takes the next word as the option's argument; returns what follows. */
static char **take_next(struct reader *reader, const struct option *option, char **next)
{
    if (*next != NULL) {
        take(reader, option, *next);
        return next + 1;
    }
    char argument[OPTION_PLACE_MAX];
    struct text text = {.buffer = argument, .size = sizeof argument};
    option_add_argument(option, &text);
    fault_add(reader->faults, NULL, "option --%s: its argument %s is missing", option->name,
              argument);
    reader->plan->source[option - option_table] = SOURCE_COMMAND_LINE;
    reader->lost = true;
    return next;
}

/* `--no-NAME`; NULL when there is no such switch. */
static const struct option *find_negated(const char *name, size_t length)
{
    if (length <= 3 || memcmp(name, "no-", 3) != 0)
        return NULL;
    const struct option *option = find_option(name + 3, length - 3);
    return option != NULL && option->negatable ? option : NULL;
}

/* Reads `--NAME`, `--NAME=VALUE` or `--NAME VALUE`; returns what follows. */
static char **read_long(struct reader *reader, const char *name, char **next)
{
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const struct option *option = find_option(name, length);
    const struct drop_in *alias = drop_in_option(reader->program, name, length);
    const char *implied = "yes";
    const char *implied_only = NULL; /* their option says it all, ours would take an argument */
    if (alias != NULL) {
        option = option_find(alias->option, strlen(alias->option));
        implied_only = alias->value;
    } else if (option == NULL) {
        option = find_negated(name, length);
        implied = "no";
    } else if (option->type == TYPE_COUNT) {
        implied = "1";
    }

    if (option == NULL) {
        refuse_unknown(reader, "--", name, length);
    } else if (option_takes_argument(option) && implied_only == NULL) {
        if (value == NULL)
            return take_next(reader, option, next);
        take(reader, option, value);
    } else if (value != NULL) {
        fault_add(reader->faults, NULL,
                  "option --%.*s: it takes no argument, but was given '%.80s'", (int)length, name,
                  value);
        reader->lost = true;
    } else {
        take(reader, option, implied_only != NULL ? implied_only : implied);
    }
    return next;
}

/* Reads `-g`, `-vvg`, `-pSIG` or `-p SIG`; returns what follows. */
static char **read_letters(struct reader *reader, const char *letters, char **next)
{
    for (const char *letter = letters; *letter != '\0'; letter++) {
        const struct option *option = option_find_letter(*letter);
        const struct drop_in *alias = drop_in_option(reader->program, letter, 1);
        if (alias != NULL)
            option = option_find(alias->option, strlen(alias->option));
        if (option == NULL) {
            /* `-timeout` is a long option with a dash too few; else the letter alone is told. */
            size_t all = strcspn(letters, "=");
            refuse_unknown(reader, "-", find_nearest(letters, all) != NULL ? letters : letter,
                           find_nearest(letters, all) != NULL ? all : 1);
            return next;
        }
        bool says_all = alias != NULL && alias->value != NULL;
        if (option_takes_argument(option) && !says_all) {
            if (letter[1] == '\0')
                return take_next(reader, option, next);
            take(reader, option, letter + 1);
            return next;
        }
        const char *implied = option->type == TYPE_COUNT ? "1" : "yes";
        take(reader, option, says_all ? alias->value : implied);
    }
    return next;
}

static void read_command(struct reader *reader, char **command)
{
    reader->wants_command = false;
    if (*command == NULL)
        fault_add(reader->faults, NULL,
                  "a command must follow '--', as in 'aiorun [OPTION...] -- COMMAND [ARG...]'");
    else
        reader->plan->worker.argv = command;
}

/* `check FILE` */
static void read_check(struct reader *reader, const struct verb *verb, char **next)
{
    if (*next != NULL && strcmp(*next, "--help") == 0) {
        reader->plan->mode = MODE_HELP;
        reader->plan->help_verb = verb;
        return;
    }
    reader->plan->mode = MODE_CHECK;
    if (*next == NULL) {
        fault_add(reader->faults, NULL, "verb check: its argument FILE is missing");
        return;
    }
    take(reader, option_find("config", strlen("config")), *next++);
    if (*next != NULL)
        fault_add(reader->faults, NULL, "verb check: it takes one FILE, but was also given '%.80s'",
                  *next);
}

/* `help` and `version` are other spellings of options; what other verbs do is not a plan's
 * business. `next` is what follows. */
static void read_verb(struct reader *reader, const struct verb *verb, char **next)
{
    bool helps = strcmp(verb->name, "help") == 0;
    if (!helps && strcmp(verb->name, "version") != 0) {
        fault_add(reader->faults, NULL, "verb %s: it must be the first word, before any option",
                  verb->name);
        return;
    }
    reader->plan->mode = helps ? MODE_HELP : MODE_VERSION;
    if (*next == NULL)
        return;
    if (helps && next[1] == NULL) {
        reader->plan->help_verb = verb_find(*next);
        if (reader->plan->help_verb == NULL)
            fault_add(reader->faults, NULL,
                      "verb help: '%.80s' is no verb, 'aiorun help' shows all", *next);
        return;
    }
    fault_add(reader->faults, NULL, "verb %s: it takes no %sargument, but was given '%.80s'",
              verb->name, helps ? "second " : "", helps ? next[1] : *next);
}

/* `completion SHELL` */
static void read_completion(struct reader *reader, const struct verb *verb, char **next)
{
    reader->plan->mode = MODE_COMPLETION;
    if (*next == NULL)
        fault_add(reader->faults, NULL, "verb %s: its argument SHELL is missing: bash, zsh or fish",
                  verb->name);
    else if (!completion_shell(*next, &reader->plan->shell))
        fault_add(reader->faults, NULL,
                  "verb %s: '%.80s' is none of the shells that it knows: bash, zsh and fish",
                  verb->name, *next);
    else if (next[1] != NULL)
        fault_add(reader->faults, NULL, "verb %s: it takes one SHELL, but was also given '%.80s'",
                  verb->name, next[1]);
}

static void refuse_word(struct reader *reader, const char *word)
{
    const struct verb *nearest = nearest_verb(word);
    if (nearest != NULL)
        fault_add(reader->faults, NULL,
                  "'%.80s' is no verb, did you mean %s? To run it, write 'aiorun -- %.80s'", word,
                  nearest->name, word);
    else
        fault_add(reader->faults, NULL, "'%.80s' is no verb: to run it, write 'aiorun -- %.80s'",
                  word, word);
}

static void read_word(struct reader *reader, const char *word, char **next)
{
    const struct verb *verb = verb_find(word);
    reader->wants_command = false;
    /* tini, dumb-init and catatonit have no verbs: a command may be called like ours. */
    if (reader->program != NULL)
        read_command(reader, next - 1);
    else if (verb != NULL && strcmp(word, "check") == 0)
        read_check(reader, verb, next);
    else if (verb != NULL && strcmp(word, "completion") == 0)
        read_completion(reader, verb, next);
    else if (verb != NULL)
        read_verb(reader, verb, next);
    else if (!reader->lost)
        refuse_word(reader, word);
}

static void read_arguments(struct reader *reader, char **next)
{
    while (*next != NULL) {
        const char *word = *next++;
        if (strcmp(word, "--") == 0) {
            read_command(reader, next);
            return;
        }
        if (word[0] != '-' || word[1] == '\0') {
            /* What follows a bare word may be its own options: no guess is made. */
            read_word(reader, word, next);
            return;
        }
        if (word[1] == '-')
            next = read_long(reader, word + 2, next);
        else
            next = read_letters(reader, word + 1, next);
    }
}

/* ---- the environment ---- */

bool cli_is_own_variable(const char *entry)
{
    return strncmp(entry, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0;
}

static const struct option *find_variable(const char *name, size_t length)
{
    for (size_t i = 0; i < option_count; i++) {
        char known[OPTION_PLACE_MAX];
        option_place(&option_table[i], SOURCE_ENVIRONMENT, known);
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return &option_table[i];
    }
    return NULL;
}

/* The option that AIORUN_OPT_TIEMOUT most likely means; NULL when none is near. */
static const struct option *find_nearest_variable(const char *name, size_t length)
{
    char guess[NAME_SHOWN + 1];
    name += strlen(VARIABLE_PREFIX);
    length -= strlen(VARIABLE_PREFIX);
    if (length > NAME_SHOWN)
        return NULL;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        guess[i] = c == '_' ? '-' : c;
    }
    return find_nearest(guess, length);
}

static void refuse_variable(struct reader *reader, const char *name, size_t length)
{
    const struct option *nearest = find_nearest_variable(name, length);
    char known[OPTION_PLACE_MAX];
    int shown = (int)least(length, OPTION_PLACE_MAX);
    if (nearest != NULL)
        fault_add(reader->faults, NULL, "%.*s: there is no such option, did you mean %s?", shown,
                  name, option_place(nearest, SOURCE_ENVIRONMENT, known));
    else
        fault_add(reader->faults, NULL, "%.*s: there is no such option, 'aiorun --help' shows all",
                  shown, name);
}

/* Does the command line say otherwise, with this option or with one that excludes it? */
static bool is_overridden(const struct plan *plan, const struct option *option)
{
    return option_source(option, plan, &plan->worker) != SOURCE_DEFAULT ||
           option_is_overridden(option, plan, SOURCE_ENVIRONMENT);
}

static void read_variable(struct reader *reader, const char *entry)
{
    size_t length = strcspn(entry, "=");
    const struct option *option = find_variable(entry, length);
    if (option == NULL) {
        refuse_variable(reader, entry, length);
        return;
    }
    char place[OPTION_PLACE_MAX];
    option_place(option, SOURCE_ENVIRONMENT, place);
    if (option->file_only) {
        fault_add(reader->faults, place, "it can be given in a --config FILE only");
        return;
    }
    if (option->scope == SCOPE_CLI) {
        fault_add(reader->faults, place, "--%s can be given on the command line only",
                  option->name);
        return;
    }
    if (is_overridden(reader->plan, option))
        return;
    reader->plan->source[option - option_table] = SOURCE_ENVIRONMENT;
    option_set(option, reader->plan, &reader->plan->worker,
               entry[length] == '=' ? entry + length + 1 : "", place, reader->faults);
}

/* A variable of the program that we stand in for: weaker than the command line and our own. */
static void read_drop_in(struct reader *reader, const char *entry)
{
    const struct drop_in *alias = drop_in_variable(reader->program, entry);
    if (alias == NULL)
        return;
    const struct option *option = option_find(alias->option, strlen(alias->option));
    char place[OPTION_PLACE_MAX];
    if (is_overridden(reader->plan, option))
        return;
    reader->plan->source[option - option_table] = SOURCE_ENVIRONMENT;
    option_set(option, reader->plan, &reader->plan->worker, alias->value,
               option_place(option, SOURCE_ENVIRONMENT, place), reader->faults);
}

/* Whether the options matter: a broken environment must not keep --help from helping. */
static bool uses_options(enum plan_mode mode)
{
    switch (mode) {
    case MODE_LAUNCH:
    case MODE_FOREVER:
    case MODE_FLEET:
    case MODE_CHECK:
    case MODE_PRINT_CONFIG:
        return true;
    case MODE_HELP:
    case MODE_VERSION:
    case MODE_LIST_OPTIONS:
    case MODE_COMPLETION:
        return false;
    }
    return false;
}

/* ---- both ---- */

void cli_parse(struct plan *plan, char **argv, char **environment, struct faults *faults)
{
    struct reader reader = {.plan = plan, .faults = faults, .wants_command = true};
    if (argv[0] != NULL) {
        reader.program = drop_in_name(argv[0]);
        drop_in_defaults(reader.program, plan);
        read_arguments(&reader, argv + 1);
    }
    if (!uses_options(plan->mode)) {
        plan->config = NULL; /* nor must a broken file */
        return;
    }
    for (char **entry = environment; *entry != NULL; entry++) {
        if (cli_is_own_variable(*entry))
            read_variable(&reader, *entry);
    }
    for (char **entry = environment; *entry != NULL; entry++)
        read_drop_in(&reader, *entry);
    if (plan->config != NULL && plan->worker.argv != NULL)
        fault_add(faults, "option --config",
                  "it contradicts the command after '--', only one of them is allowed");
    if (plan->mode != MODE_LAUNCH || plan->worker.argv != NULL)
        return;
    if (plan->config != NULL)
        plan->mode = MODE_FLEET;
    else if (plan->forever && reader.wants_command)
        plan->mode = MODE_FOREVER;
    else if (reader.wants_command && !reader.lost)
        fault_add(faults, NULL,
                  "no command is given: write 'aiorun [OPTION...] -- COMMAND [ARG...]', "
                  "'aiorun --config FILE' for the workers of a file, or 'aiorun --forever' to run "
                  "without one");
}
