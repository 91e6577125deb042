/* verb_table.h - THE table of verbs: `aiorun VERB [ARG...]`.
 *
 *     const struct verb *verb = verb_find(argv[1]);
 *     if (verb != NULL) verb_add_help(verb, &text);
 *
 * --help, `aiorun help VERB`, the verbs' own reader of options and the check of the manual page
 * read it.  To add a verb, add a row here, and its function to the program that runs it.
 */
#ifndef AIORUN_VERB_TABLE_H
#define AIORUN_VERB_TABLE_H

#include "plan/text.h"

#include <stdbool.h>
#include <stddef.h>

struct verb_option {
    const char *name;     /* long, without its dashes; NULL ends the list */
    const char *argument; /* its name in the help; NULL: it takes none */
    const char *help;     /* one line, no full stop */
};

#define VERB_OPTIONS_MAX 4

struct verb {
    const char *name;
    const char *arguments; /* what follows the options: `-- COMMAND [ARG...]`; empty: nothing */
    const char *group;     /* heading in the help */
    const char *help;      /* one line, no full stop */
    const char *about;     /* some lines that tell the rest; each ends in a newline */
    struct verb_option options[VERB_OPTIONS_MAX + 1];
};

extern const struct verb verb_table[];
extern const size_t verb_count;

/* The row of the verb `name`; NULL when there is none. */
const struct verb *verb_find(const char *name);

/* The option `name` of `length` bytes of this verb; NULL when there is none. */
const struct verb_option *verb_find_option(const struct verb *verb, const char *name,
                                           size_t length);

/* Appends the list of verbs for --help: a line each, under their groups' headings. */
void verb_add_list(struct text *text);

/* Appends what `aiorun help VERB` prints. */
void verb_add_help(const struct verb *verb, struct text *text);

#endif
