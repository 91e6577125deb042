/* drop_in.h - tini, dumb-init and catatonit: what their own options and variables are in ours.
 *
 *     const char *program = drop_in_name(argv[0]);
 *     const struct drop_in *alias = drop_in_option(program, "c", 1);
 *     if (alias) take(option_find(alias->option), alias->value);
 */
#ifndef AIORUN_DROP_IN_H
#define AIORUN_DROP_IN_H

#include "plan/plan.h"

#include <stddef.h>

struct drop_in {
    const char *program;
    const char *word;   /* their letter, long name, or variable */
    const char *option; /* our long name */
    const char *value;  /* what it means; NULL: their argument is ours */
};

/* The program that `path` (argv[0]) stands in for; NULL when we are called by our own name. */
const char *drop_in_name(const char *path);

/* Their spelling of an option of ours; NULL when `word` is none, or `program` is NULL. */
const struct drop_in *drop_in_option(const char *program, const char *word, size_t length);

/* What their variable `entry` (NAME=VALUE) asks for; NULL when it is none, or says no. */
const struct drop_in *drop_in_variable(const char *program, const char *entry);

/* The defaults that differ: no cap, as none of them has one; dumb-init signals groups. */
void drop_in_defaults(const char *program, struct plan *plan);

#endif
