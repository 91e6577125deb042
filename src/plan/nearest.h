/* nearest.h - which option, or which verb, somebody most likely meant.
 *
 *     const struct option *option = nearest_option("tiemout", 7, is_on_command_line);
 */
#ifndef AIORUN_NEAREST_H
#define AIORUN_NEAREST_H

#include "plan/option_table.h"
#include "plan/verb_table.h"

#define NEAREST_MAX 40 /* longer names are near to nothing */

/* Of the options that `suits` accepts, the one whose name is begun by, or all but spelled like, the
 * `length` bytes at `name`; NULL when none is near. */
const struct option *nearest_option(const char *name, size_t length,
                                    bool (*suits)(const struct option *option));

/* The verb that `name` begins, or is all but spelled like; NULL when none is near. */
const struct verb *nearest_verb(const char *name);

#endif
