/* fault.h - what is wrong with what was asked for: all of it, each with its place.
 *
 *     fault_add(&faults, "option --timeout", "'soon' is not a duration: ...");
 *     ...
 *     for (size_t i = 0; i < faults.count; i++) puts(faults.items[i].text);
 *
 * Bounded: one fault never hides another, but the ones beyond FAULTS_MAX are only counted.
 */
#ifndef AIORUN_FAULT_H
#define AIORUN_FAULT_H

#include <stddef.h>

#define FAULTS_MAX     256
#define FAULT_TEXT_MAX 512

struct fault {
    char text[FAULT_TEXT_MAX]; /* one sentence, its place in front, no newline */
};

struct faults {
    size_t count;   /* kept, at most FAULTS_MAX */
    size_t dropped; /* found beyond that */
    struct fault items[FAULTS_MAX];
};

/* Adds the sentence `format`... said of `place` ("option --timeout", "AIORUN_OPT_TIMEOUT"; NULL: no
 * place).  A sentence that does not fit is cut with "...". Control characters
 * in it are shown as '?', so that an argument cannot write on a terminal.  `faults` may be NULL:
 * nothing is kept then. */
void fault_add(struct faults *faults, const char *place, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));

#endif
