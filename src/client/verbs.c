#include "client/verbs.h"

#include "client/aiorun.h"
#include "client/client.h"
#include "core/policy.h"
#include "plan/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_MAX 4096 /* more than a log line has */

/* ---- complaints ---- */

static void tell(const struct verb *verb, enum log_level level, const char *format,
                 va_list arguments)
{
    char sentence[SENTENCE_MAX];
    vsnprintf(sentence, sizeof sentence, format, arguments);
    log_open(LEVEL_WARNING, LOG_STYLE_TEXT, system_tell);
    log_line(level, "verb %s: %s", verb->name, sentence);
}

void complain(const struct verb *verb, enum log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(verb, level, format, arguments);
    va_end(arguments);
}

int fail(const struct verb *verb, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    tell(verb, LEVEL_ERROR, format, arguments);
    va_end(arguments);
    return STATUS_OWN_FAILURE;
}

/* ---- words ---- */

const char *arguments_option(const struct arguments *arguments, const char *name)
{
    const struct verb *verb = arguments->verb;
    return arguments->options[verb_find_option(verb, name, strlen(name)) - verb->options];
}

bool arguments_have_command(const struct arguments *arguments)
{
    const struct verb *verb = arguments->verb;
    if (*arguments->rest == NULL)
        fail(verb, "a command must follow '--', as in 'aiorun %s -- COMMAND [ARG...]'", verb->name);
    else if (!arguments->dashes)
        fail(verb, "'--' must stand before the command: write 'aiorun %s -- %.80s'", verb->name,
             *arguments->rest);
    return *arguments->rest != NULL && arguments->dashes;
}

const char *arguments_job_name(const struct arguments *arguments, char *buffer)
{
    const char *name = arguments_option(arguments, "name");
    if (name != NULL && !control_is_name(name)) {
        fail(arguments->verb,
             "option --name: '%.80s' is no name: 1 to %d letters, digits, dots, underscores and "
             "dashes",
             name, CONTROL_NAME_MAX);
        return NULL;
    }
    if (name != NULL)
        return name;
    size_t length = 0;
    for (name = system_file_name(arguments->rest[0]); *name != '\0' && length < CONTROL_NAME_MAX;
         name++) {
        const char letter[] = {*name, '\0'};
        buffer[length++] = *name;
        if (!control_is_name(letter))
            buffer[length - 1] = '_';
    }
    buffer[length] = '\0';
    return length > 0 ? buffer : "_";
}

/* Reads `--NAME`, `--NAME=VALUE` or `--NAME VALUE`; returns what follows, or NULL after a
 * complaint.
 */
static char **read_option(struct arguments *arguments, char **next)
{
    const struct verb *verb = arguments->verb;
    const char *word = *next++ + strlen("--");
    size_t length = strcspn(word, "=");
    const struct verb_option *option = verb_find_option(verb, word, length);
    if (option == NULL) {
        fail(verb, "option --%.*s: there is no such option, 'aiorun help %s' shows all",
             (int)(length < 40 ? length : 40), word, verb->name);
        return NULL;
    }
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    if (option->argument == NULL && value != NULL) {
        fail(verb, "option --%s: it takes no argument, but was given '%.80s'", option->name, value);
        return NULL;
    }
    if (option->argument == NULL) {
        value = "";
    } else if (value == NULL) {
        value = *next;
        if (value == NULL) {
            fail(verb, "option --%s: its argument %s is missing", option->name, option->argument);
            return NULL;
        }
        next++;
    }
    arguments->options[option - verb->options] = value;
    return next;
}

/* Words and options may stand in any order, as of any program, unless the words are a command: what
 * stands behind its name is its own.  False after a complaint.  *help: help is asked for. */
static bool read_arguments(struct arguments *arguments, char **next, bool *help)
{
    bool is_command = arguments->verb->arguments[0] == '-';
    char **end = next; /* of the words, which are moved together */
    arguments->rest = next;
    while (*next != NULL) {
        if (strcmp(*next, "--") == 0) {
            arguments->dashes = true;
            next++;
            break;
        }
        if (strcmp(*next, "--help") == 0 || strcmp(*next, "-h") == 0) {
            *help = true;
            return true;
        }
        bool is_word = (*next)[0] != '-' || (*next)[1] == '\0';
        if (is_word && is_command)
            break;
        if (is_word) {
            *end++ = *next++;
            continue;
        }
        if ((*next)[1] != '-') {
            fail(arguments->verb,
                 "option %.40s: there is no such option, 'aiorun help %s' shows all", *next,
                 arguments->verb->name);
            return false;
        }
        next = read_option(arguments, next);
        if (next == NULL)
            return false;
    }
    while (*next != NULL)
        *end++ = *next++;
    *end = NULL;
    return true;
}

static int show_help(const struct verb *verb)
{
    char buffer[2048];
    struct text text = {.buffer = buffer, .size = sizeof buffer};
    verb_add_help(verb, &text);
    if (fputs(buffer, stdout) >= 0 && fflush(stdout) == 0)
        return EXIT_SUCCESS;
    return fail(verb, "cannot write to standard output: %s", strerror(errno));
}

/* ---- the verbs of one line ---- */

/* Refuses words beyond the first `count`. */
static bool has_at_most(const struct arguments *arguments, size_t count)
{
    for (size_t i = 0; i <= count; i++) {
        if (arguments->rest[i] == NULL)
            return true;
    }
    fail(arguments->verb, "'%.80s' is a word too many: write 'aiorun %s%s%s'",
         arguments->rest[count], arguments->verb->name, count > 0 ? " " : "",
         arguments->verb->arguments);
    return false;
}

static int say(const struct verb *verb, const struct control_message *message)
{
    char line[CONTROL_LINE_MAX];
    if (!aiorun_available())
        return fail_without_pipe(verb);
    enum channel_result result = channel_say(line, control_format(line, message));
    if (result != CHANNEL_DONE) {
        channel_complain(NULL, result, verb);
        return STATUS_OWN_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int ready_run(const struct arguments *arguments)
{
    const struct control_message message = {.verb = CONTROL_READY};
    return has_at_most(arguments, 0) ? say(arguments->verb, &message) : STATUS_OWN_FAILURE;
}

static int extend_run(const struct arguments *arguments)
{
    struct control_message message = {.verb = CONTROL_EXTEND, .has_time = true};
    const char *word = arguments->rest[0];
    if (!has_at_most(arguments, 1))
        return STATUS_OWN_FAILURE;
    if (word == NULL)
        return fail(arguments->verb, "its argument D is missing");
    if (!parse_duration(word, &message.time))
        return fail(arguments->verb,
                    "'%.80s' is not a duration, such as 500ms, 10s, 2m, 1h or infinity", word);
    return say(arguments->verb, &message);
}

static int shutdown_run(const struct arguments *arguments)
{
    struct control_message message = {.verb = CONTROL_SHUTDOWN};
    const char *word = arguments->rest[0];
    int64_t status = 0;
    if (!has_at_most(arguments, 1))
        return STATUS_OWN_FAILURE;
    message.has_status = word != NULL;
    if (word != NULL && !parse_integer(word, 10, 0, 255, &status))
        return fail(arguments->verb, "'%.80s' is not an exit status from 0 to 255", word);
    if (people_are_meant(arguments))
        return people_run(arguments);
    message.status = (uint32_t)status;
    return say(arguments->verb, &message);
}

/* ---- shield ---- */

static int shield_run(const struct arguments *arguments)
{
    char buffer[CONTROL_NAME_MAX + 1];
    msec deadline;
    const char *given = arguments_option(arguments, "deadline");
    if (!arguments_have_command(arguments))
        return STATUS_OWN_FAILURE;
    const char *name = arguments_job_name(arguments, buffer);
    if (name == NULL)
        return STATUS_OWN_FAILURE;
    if (given != NULL && !parse_duration(given, &deadline))
        return fail(arguments->verb,
                    "option --deadline: '%s' is not a duration, such as 500ms, 10s, 2m, 1h or "
                    "infinity",
                    given);
    return shield_command(arguments, name, given != NULL ? &deadline : NULL);
}

/* ---- which verb ---- */

static const struct handler {
    const char *name;
    int (*run)(const struct arguments *arguments);
    bool holds; /* signals are its command's, from the first instruction on */
} handlers[] = {
    {"ready", ready_run, false},       {"extend", extend_run, false},
    {"shield", shield_run, true},      {"submit", submit_run, false},
    {"shutdown", shutdown_run, false}, {"status", people_run, false},
    {"start", people_run, false},      {"stop", people_run, false},
    {"restart", people_run, false},    {"reload", people_run, false},
    {"signal", people_run, false},     {"drain", people_run, false},
    {"wait-idle", people_run, false},  {"events", people_run, false},
};

static const struct handler *find_handler(const char *word)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(handlers[i].name, word) == 0)
            return &handlers[i];
    return NULL;
}

bool verbs_knows(const char *word)
{
    return find_handler(word) != NULL;
}

int verbs_run(int argc, char **argv)
{
    const struct handler *handler = find_handler(argv[1]);
    struct arguments arguments = {.rest = argv + argc};
    bool help = false;
    if (handler->holds)
        held_begin();
    arguments.verb = verb_find(argv[1]);
    if (!read_arguments(&arguments, argv + 2, &help))
        return STATUS_OWN_FAILURE;
    return help ? show_help(arguments.verb) : handler->run(&arguments);
}
