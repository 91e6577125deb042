/* verbs.h - the verbs of a worker: `aiorun ready`, `extend`, `shield`, `submit`, `shutdown`.
 *
 *     if (argc > 1 && verbs_knows(argv[1]))
 *         return verbs_run(argc, argv);
 *
 * They speak over the control pipe that their worker gave them (aiorun-protocol(7)).  What they are
 * called, and which options they have, is in plan/verb_table.h.
 */
#ifndef AIORUN_VERBS_H
#define AIORUN_VERBS_H

#include <stdbool.h>

/* Is `word` a verb that verbs_run() runs? */
bool verbs_knows(const char *word);

/* Runs the verb argv[1] and returns the exit status; or ends as its command did, by a signal.  Must
 * be called first of all, as main() was: with the signals as they were given. */
int verbs_run(int argc, char **argv);

#endif
