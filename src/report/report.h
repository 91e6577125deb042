/* report.h - what a shutdown did, as a timeline.
 *
 *     struct report *report = report_init(malloc(report_size(1024)), 1024, &settings, now);
 *     report_add(report, &(struct report_record){.at = now, .kind = REPORT_REQUEST, ...});
 *     report_write(report, REPORT_FORMAT_HTML, &facts, platform_write_report);
 *
 * Records are kept in a ring: when it is full the oldest one gives way to the newest, and is
 * counted.  What triggered the shutdown and when each phase began is kept beside the ring.  At the
 * end the records are put together to lanes, one for each process, and to shields, and written.
 *
 * Promises: nothing is allocated here, and nothing is written but through the sink, in pieces of
 * at most 4,096 bytes; the text format gives whole lines.  Whatever a command line or a name holds,
 * JSON stays JSON, HTML stays well-formed, and text holds no control characters.
 */
#ifndef AIORUN_REPORT_H
#define AIORUN_REPORT_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum report_kind {
    REPORT_ARRIVED,     /* signal; pid: who sent it, 0: unknown; from_kernel */
    REPORT_STARTED,     /* run, pid */
    REPORT_NOT_STARTED, /* run, end; command: a sentence */
    REPORT_RETRY,       /* run, span: until it is started again */
    REPORT_ERROR,       /* run, end: a failure that no restart handled */
    REPORT_PHASE,       /* phase; of PHASE_ENTERED also trigger, signal */
    REPORT_REQUEST,     /* run, pid, since: its stop request */
    REPORT_SENT,        /* run, pid, signal */
    REPORT_STOP_TREE,   /* run, signal: what is left of it is asked */
    REPORT_KILL,        /* run, pid, why */
    REPORT_PROCESS,     /* run, pid, state, where, command: one of its processes, listed for
                           the action `listed_for` */
    REPORT_MORE,        /* run, count: of the processes that were not listed */
    REPORT_WAITING,     /* run, pid: the shutdown takes more than a moment for it */
    REPORT_FORCED,      /* a repeated signal speeds the shutdown up */
    REPORT_SHIELD,      /* run, pid, since, until; command: the name of a shield that it holds */
    REPORT_UNSHIELD,    /* run, pid; command: the name of one that it has released */
    REPORT_SAID,        /* run, pid; command: what it said on its control pipe */
    REPORT_ENDED,       /* run, pid, end, since, tree_left */
    REPORT_ADOPTED,     /* pid, end: an adopted process was reaped */
    REPORT_GONE,        /* run: nothing of its tree is left */
    REPORT_DROPPED,     /* run: a job that was not started in time */
    REPORT_ABANDONED,   /* run: it outlived its KILL */
};

enum report_why { REPORT_BY_DEADLINE, REPORT_BY_CAP, REPORT_BY_FORCE };

struct report_record {
    msec at; /* never before the last one's */
    enum report_kind kind, listed_for;
    struct run_id run;
    long pid;
    int signal;
    bool from_kernel;
    bool tree_left; /* others of its tree are still there, or may be */
    enum report_why why;
    enum core_phase phase;
    enum core_trigger trigger;
    struct ending end;
    msec since; /* when it came up, or was taken */
    msec until; /* NEVER: for ever */
    msec span;
    size_t count;
    const char *state; /* a word that outlives the report; NULL: unknown */
    char name[88];     /* what people call the run: "web:1", "web:1 after-stop" */
    char where[32];    /* kernel wait channel; empty: unknown */
    char command[128]; /* empty: unknown */
};

/* What is the same from start to end. */
struct report_settings {
    const char *program; /* "aiorun 0.1.0" */
    /* The name of a signal without SIG; `buffer` holds 16 bytes. */
    const char *(*signal_name)(int signal, char *buffer);
};

/* What is known only at the end. */
struct report_facts {
    msec now;
    int64_t wall;      /* of `now`: milliseconds since 1970, UTC */
    msec timeout;      /* how long it might have taken; NEVER: for ever */
    struct ending end; /* what aiorun comes to */
};

enum report_format {
    REPORT_FORMAT_TEXT,
    REPORT_FORMAT_BARS, /* the upper part of the text */
    REPORT_FORMAT_JSON,
    REPORT_FORMAT_TRACE,
    REPORT_FORMAT_HTML,
};

/* Takes the next piece; false when it could not, which is the end of the writing. */
typedef bool report_sink(const char *bytes, size_t length);

struct report;

/* The format that a file's name asks for by its ending. */
enum report_format report_format(const char *path);

/* Bytes of a report with room for `capacity` records, at least one. */
size_t report_size(uint32_t capacity);

/* Makes the report_size(capacity) bytes at `memory` (aligned as malloc aligns) an empty report.
 * Touches nothing of the ring.  `now`: the time that traces count from. */
struct report *report_init(void *memory, uint32_t capacity, const struct report_settings *settings,
                           msec now);

/* Copies the record. O(1), but for the trigger, whose cause is looked for. */
void report_add(struct report *report, const struct report_record *record);

/* Copies `text` into one of a record's strings of `size` bytes, cut where it is too long. */
void report_copy(char *string, size_t size, const char *text);

/* What was in slot old_slot_of[slot], of `slots`, is in `slot` from now on; who is nowhere is over,
 * and stays what it was. */
void report_reload(struct report *report, const uint32_t *old_slot_of, uint32_t slots);

/* Was the shutdown one that people want to know more of: slow, forced, or with a kill? */
bool report_is_notable(const struct report *report, const struct report_facts *facts);

/* Writes everything; false when the sink has failed.  A shutdown must have been triggered. */
bool report_write(struct report *report, enum report_format format,
                  const struct report_facts *facts, report_sink *sink);

#endif
