/* lines.h - what workers write, on its way to our own output: line by line, the worker's name
 * before each, or as records of the log where that has records.
 *
 *     lines_open(colours); lines_name_by(plan);
 *     count = read(fd, lines_buffer(), LINES_READ_MAX);
 *     lines_take(&source, count)
 *
 * There is one buffer for all.  While platform_output_room() has no room, what was read last waits
 * in it, and nobody is to read: from the moment that a call here returns false until lines_pump()
 * returns true.
 */
#ifndef AIORUN_LINES_H
#define AIORUN_LINES_H

#include "plan/plan.h"

#define LINES_PIECE_MAX ((size_t)64 << 10)  /* of a line: a longer one goes on in pieces of this */
#define LINES_READ_MAX  ((size_t)128 << 10) /* at a time */

/* Somebody who writes. */
struct line_source {
    uint32_t worker, instance;
    long pid;      /* for records */
    uint32_t kept; /* bytes of a line whose end is still to come, */
    char *part;    /* and they: LINES_PIECE_MAX bytes, the driver's */
};

/* Does somebody of the plan need us: `output = prefix`, or a logger, whose rest we may have to pass
 * on? */
bool lines_are_needed(const struct plan *plan);

/* Allocates, the first time.  False without memory. */
bool lines_open(bool colours);

/* Are lines records of the log, and go where that goes? */
bool lines_are_records(void);

/* The workers' names are those of `plan`, which stays, from now on. */
void lines_name_by(const struct plan *plan);

/* Where to read to; nobody waits. */
char *lines_buffer(void);

/* Passes on the `count` > 0 bytes that were read, as far as they are whole lines. */
bool lines_take(struct line_source *source, size_t count);

/* There is no more to come for now: what there is of a line is one.  Nobody waits. */
bool lines_end(struct line_source *source);

/* Goes on with what waits.  True when nothing does any more. */
bool lines_pump(void);

/* Whose input waits; NULL: nobody's. */
const struct line_source *lines_waiting(void);

/* Gives it up. */
void lines_forget(void);

#endif
