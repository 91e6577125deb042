/* report_private.h - what the files of the report share: how records become lanes, and how lanes
 * become bytes.
 *
 *     report.c        the ring, and which format
 *     report_lanes.c  records put together, process by process
 *     report_shields.c  the same, shield by shield
 *     report_words.c  records in words
 *     report_write.c  bytes, escaped as each format wants it
 *     report_text.c report_json.c report_trace.c report_html.c
 */
#ifndef AIORUN_REPORT_PRIVATE_H
#define AIORUN_REPORT_PRIVATE_H

#include "report/report.h"

#define LANES_MAX    256
#define SHIELDS_MAX  64
#define UNKNOWN      NEVER /* of a lane's times */
#define PHASE_COUNT  (PHASE_CLOSED + 1)
#define SENTENCE_MAX 320

/* A process on its way. */
struct lane {
    struct run_id run;
    long pid;
    bool member; /* one of a run's tree or an orphan, not the run's own process */
    const char *name, *command, *where, *state;
    msec started, asked, killed, ended;
    msec missing; /* a member that was not there any more, and whose end its parent saw */
    enum report_why why;
    struct ending end;
};

enum shield_fate {
    FATE_HELD, /* to the last */
    FATE_RELEASED,
    FATE_EXPIRED,
    FATE_OVERRULED, /* the shutdown was forced */
    FATE_ENDED,     /* its holder has */
};

/* A shield that was held at the trigger, or taken after it. */
struct held_shield {
    struct run_id run;
    long pid;
    const char *name, *holder;
    msec from, until, ended; /* until: NEVER, it might have lasted for ever */
    enum shield_fate fate;
};

/* A piece of what is written. */
struct writer {
    report_sink *sink;
    bool by_line; /* whole lines only */
    bool failed;
    size_t length;
    char bytes[4096];
};

struct report {
    struct report_settings settings;
    msec began;
    uint32_t capacity;
    uint64_t added; /* records ever */

    bool triggered;
    struct report_record trigger; /* REPORT_PHASE */
    bool has_cause;
    struct report_record cause; /* the signal, or the end, that brought it about */
    uint64_t story;             /* number of the first record that belongs to the shutdown */
    msec phase_at[PHASE_COUNT]; /* UNKNOWN: not entered */

    /* made by report_write() */
    struct report_facts facts;
    struct lane lanes[LANES_MAX];
    uint32_t lane_count, lanes_lost;
    struct held_shield shields[SHIELDS_MAX];
    uint32_t shield_count, shields_lost;
    struct writer writer;

    struct report_record records[];
};

/* ---- report.c ---- */

/* Number of the oldest record that is still there; the newest is report->added - 1. */
uint64_t report_first(const struct report *report);
const struct report_record *report_record(const struct report *report, uint64_t number);

/* How long the shutdown took; at least one millisecond. */
msec report_length(const struct report *report);

/* How many records of the shutdown itself are lost. */
uint64_t report_lost(const struct report *report);

/* ---- report_lanes.c ---- */

void report_make_lanes(struct report *report);

/* When a lane is over on the picture: at its end, when it was missing, or at the report's end. */
msec lane_end(const struct report *report, const struct lane *lane);

/* The lane that a record is about; -1: none. */
long report_lane_of(const struct report *report, const struct report_record *record);

/* When the phase ended. */
msec report_phase_end(const struct report *report, enum core_phase phase);

/* For whom the phase waited last: who ended last in it; -1: nobody. */
long report_phase_holder(const struct report *report, enum core_phase phase);

/* ---- report_shields.c ---- */

void report_make_shields(struct report *report);

/* When a shield is over on the picture. */
msec shield_over(const struct report *report, const struct held_shield *shield);

/* ---- report_words.c ---- */

/* Each writes words into `buffer` (SENTENCE_MAX bytes) and returns it. */
const char *report_describe(const struct report *report, const struct report_record *record,
                            char *buffer);
const char *report_describe_trigger(const struct report *report, char *buffer);
const char *report_describe_end(const struct report *report, struct ending end, char *buffer);
const char *report_describe_lane(const struct lane *lane, char *buffer); /* "main 4711" */
const char *report_describe_fate(const struct report *report, const struct lane *lane,
                                 char *buffer); /* "exited with status 3, 0.250 s after ..." */

const char *report_describe_shield(const struct held_shield *shield, char *buffer); /* "upload of
                                                                                  main 4711" */

const char *report_phase_name(enum core_phase phase);
const char *report_fate_name(enum shield_fate fate);
const char *report_why_name(enum report_why why);

/* ---- report_write.c ---- */

enum writer_escape { ESCAPE_TEXT, ESCAPE_JSON, ESCAPE_HTML };

/* Appends what printf would print, at most 4,095 bytes. */
void writer_add(struct writer *writer, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

/* Appends a string with everything escaped that would not stay text. */
void writer_add_escaped(struct writer *writer, enum writer_escape escape, const char *text);

/* "text", or null. */
void writer_add_json(struct writer *writer, const char *text);

/* Seconds with three decimals: "2.003", "-0.500". */
void writer_add_seconds(struct writer *writer, msec span);

/* "It took 2.003 s of at most 10.000 s". */
void writer_add_took(struct report *report);

/* A time of day as RFC 3339 has it, with or without its milliseconds. */
void writer_add_date(struct writer *writer, int64_t wall, bool exact);

void writer_flush(struct writer *writer);

/* ---- the formats ---- */

void report_write_text(struct report *report, bool bars_only);
void report_write_json(struct report *report);
void report_write_trace(struct report *report);
void report_write_html(struct report *report);

#endif
