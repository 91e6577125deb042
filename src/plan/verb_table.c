#include "plan/verb_table.h"

#include <string.h>

#define HELP_COLUMN 34 /* where the explanations stand, as in the list of options */

static const char in_worker[] = "Verbs inside a worker";
static const char by_itself[] = "Other verbs";

const struct verb verb_table[] = {
    {
        .name = "ready",
        .group = in_worker,
        .help = "tell the supervisor that the worker is ready",
        .about = "For a worker whose readiness is `control`.\n",
        .arguments = "",
    },
    {
        .name = "extend",
        .group = in_worker,
        .help = "ask for at least D from now, during a shutdown",
        .about = "D is a time: 500ms, 10s, 2m, 1h, plain seconds, or infinity.  The cap of the\n"
                 "shutdown, --timeout, stays what it is.\n",
        .arguments = "D",
    },
    {
        .name = "shield",
        .group = in_worker,
        .help = "run COMMAND, which a shutdown waits for",
        .about =
            "COMMAND runs in a session of its own.  INT, TERM, HUP and QUIT end the verb, and\n"
            "not COMMAND; all other signals are passed on to it.  Otherwise the verb ends as\n"
            "COMMAND does.  Without an aiorun above, COMMAND runs without a shield.\n",
        .arguments = "-- COMMAND [ARG...]",
        .options =
            {
                {"name", "NAME", "what the log calls it (default: the command's own name)"},
                {"deadline", "D", "it is shielded no longer than this (default: the supervisor's)"},
            },
    },
    {
        .name = "submit",
        .group = in_worker,
        .help = "have the supervisor run COMMAND as a job",
        .about = "COMMAND gets the environment, the directory and the standard streams of the\n"
                 "verb, which ends with 0 when the job is accepted: it runs, or is queued.\n",
        .arguments = "-- COMMAND [ARG...]",
        .options =
            {
                {"name", "NAME", "what the log calls it (default: the command's own name)"},
                {"wait", NULL, "wait for the job, and end as it does"},
            },
    },
    {
        .name = "shutdown",
        .group = in_worker,
        .help = "shut everything down",
        .about = "The supervisor exits with STATUS, 0 to 255, if it is given.\n",
        .arguments = "[STATUS]",
    },
    {
        .name = "check",
        .group = by_itself,
        .help = "say what is wrong with the config file FILE",
        .about = "All faults, each with its line; nothing is started.\n",
        .arguments = "FILE",
    },
    {
        .name = "help",
        .group = by_itself,
        .help = "show all options and verbs, or one verb",
        .about = "`aiorun VERB --help` shows the same.\n",
        .arguments = "[VERB]",
    },
    {
        .name = "version",
        .group = by_itself,
        .help = "show the version",
        .about = "",
        .arguments = "",
    },
};

const size_t verb_count = sizeof verb_table / sizeof verb_table[0];

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < verb_count; i++)
        if (strcmp(verb_table[i].name, name) == 0)
            return &verb_table[i];
    return NULL;
}

const struct verb_option *verb_find_option(const struct verb *verb, const char *name, size_t length)
{
    for (const struct verb_option *option = verb->options; option->name != NULL; option++)
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

/* A line with its explanation in its own column; on the next line where there is no room. */
static void add_explained(struct text *text, size_t start, const char *help)
{
    size_t column = text->length - start;
    if (column + 2 > HELP_COLUMN) {
        text_add(text, "\n");
        column = 0;
    }
    text_add(text, "%*s%s\n", (int)(HELP_COLUMN - column), "", help);
}

static void add_usage(struct text *text, const struct verb *verb)
{
    text_add(text, "%s", verb->name);
    for (const struct verb_option *option = verb->options; option->name != NULL; option++)
        text_add(text, " [--%s%s%s]", option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
    text_add(text, "%s%s", *verb->arguments != '\0' ? " " : "", verb->arguments);
}

void verb_add_list(struct text *text)
{
    const char *group = "";
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_table[i];
        if (strcmp(group, verb->group) != 0)
            text_add(text, "\n%s:\n", verb->group);
        group = verb->group;
        size_t start = text->length;
        text_add(text, "  %s%s%s", verb->name, *verb->arguments != '\0' ? " " : "",
                 verb->arguments);
        add_explained(text, start, verb->help);
    }
}

void verb_add_help(const struct verb *verb, struct text *text)
{
    text_add(text, "Usage: aiorun ");
    add_usage(text, verb);
    text_add(text, "\n\n%c%s.\n%s", verb->help[0] - 'a' + 'A', verb->help + 1, verb->about);
    if (verb->options[0].name != NULL)
        text_add(text, "\n");
    for (const struct verb_option *option = verb->options; option->name != NULL; option++) {
        size_t start = text->length;
        text_add(text, "      --%s%s%s", option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
        add_explained(text, start, option->help);
    }
    text_add(text, "\nThe manual is aiorun(1).\n");
}
