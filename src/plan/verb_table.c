#include "plan/verb_table.h"

#include <string.h>

#define HELP_COLUMN 34 /* where the explanations stand, as in the list of options */

static const char in_worker[] = "Verbs inside a worker";
static const char for_people[] = "Verbs for people";
static const char by_itself[] = "Other verbs";

#define CONTROL_OPTION                                                                             \
    {                                                                                              \
        "control", "PATH", "the supervisor's admin socket (default: the only one there is)"        \
    }

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
        .about =
            "COMMAND gets the environment, the directory and the standard streams of the\n"
            "verb, which ends with 0 when the job is accepted: it runs, or is queued.  Without\n"
            "a control pipe, or with --control or --as, it goes to the admin socket.\n",
        .arguments = "-- COMMAND [ARG...]",
        .options =
            {
                {"name", "NAME", "what the log calls it (default: the command's own name)"},
                {"wait", NULL, "wait for the job, and end as it does"},
                {"as", "WORKER", "with a worker's rights (default: the first one's)"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "shutdown",
        .group = in_worker,
        .help = "shut everything down",
        .about =
            "The supervisor exits with STATUS, 0 to 255, if it is given.  Without a control\n"
            "pipe, or with --control, it goes to the admin socket, and the end is waited for.\n",
        .arguments = "[STATUS]",
        .options =
            {
                {"no-wait", NULL, "do not wait for the end"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "status",
        .group = for_people,
        .help = "show what runs, and how it is",
        .about = "NAME is a worker, or one of its instances, as in web:1; without one all are "
                 "shown, and the\n"
                 "jobs.  The JSON is described in aiorun(1).\n",
        .arguments = "[NAME...]",
        .options =
            {
                {"json", NULL, "as one JSON object"},
                {"watch", NULL, "again and again, each second"},
                {"names", NULL, "only the names"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "start",
        .group = for_people,
        .help = "start workers, or instances",
        .about = "What they need is started, too.  Waits until all of them are ready; ends with 1 "
                 "when one\n"
                 "ends before it is.\n",
        .arguments = "[NAME...]",
        .options =
            {
                {"all", NULL, "all of them"},
                {"no-wait", NULL, "do not wait"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "stop",
        .group = for_people,
        .help = "stop workers, or instances",
        .about = "Waits until nothing of them is left.  They stay down until they are started.\n",
        .arguments = "[NAME...]",
        .options =
            {
                {"all", NULL, "all of them"},
                {"no-wait", NULL, "do not wait"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "restart",
        .group = for_people,
        .help = "start workers, or instances, anew",
        .about = "The instances of a worker roll: the next is stopped when the last one is ready "
                 "again.\n"
                 "Instances that are named themselves are all stopped at once.\n",
        .arguments = "[NAME...]",
        .options =
            {
                {"all", NULL, "all of them"},
                {"no-wait", NULL, "do not wait"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "reload",
        .group = for_people,
        .help = "read the config file anew",
        .about = "Only the workers that have changed are touched; a faulty file changes nothing.\n",
        .arguments = "",
        .options =
            {
                CONTROL_OPTION,
            },
    },
    {
        .name = "signal",
        .group = for_people,
        .help = "send a signal to workers, or instances",
        .about = "",
        .arguments = "SIG NAME...",
        .options =
            {
                CONTROL_OPTION,
            },
    },
    {
        .name = "drain",
        .group = for_people,
        .help = "take no more jobs, or take them again",
        .about = "Jobs that are queued already still run.\n",
        .arguments = "[off]",
        .options =
            {
                CONTROL_OPTION,
            },
    },
    {
        .name = "wait-idle",
        .group = for_people,
        .help = "wait until no job and no shield is left",
        .about = "",
        .arguments = "",
        .options =
            {
                CONTROL_OPTION,
            },
    },
    {
        .name = "events",
        .group = for_people,
        .help = "tell what happens, from now on",
        .about = "A line each, until it is interrupted.  The JSON is described in aiorun(1).\n",
        .arguments = "",
        .options =
            {
                {"json", NULL, "a JSON object a line"},
                CONTROL_OPTION,
            },
    },
    {
        .name = "completion",
        .group = by_itself,
        .help = "print completions for a shell: bash, zsh or fish",
        .about = "`make install` puts them where the shells look for them.\n",
        .arguments = "SHELL",
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
