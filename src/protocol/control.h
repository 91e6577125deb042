/* control.h - the lines of the control pipe, both ways: bytes <-> messages.
 *
 *     while (count > 0) {
 *         size_t taken = 0;
 *         enum control_read got = control_read(&reader, bytes, count, &taken);
 *         bytes += taken, count -= taken;
 *         if (got == CONTROL_READ_LINE && control_parse(reader.line, &message, &fault))
 *             obey(&message);
 *         else if (got != CONTROL_READ_MORE)
 *             complain_once();
 *     }
 *
 * A line is UTF-8, at most CONTROL_LINE_MAX bytes with its newline; words are separated by single
 * spaces, and a TEXT is the rest of its line.  SECONDS is decimal, "2" or "0.5", or `infinity`;
 * here it is milliseconds, or NEVER.
 *
 *     a worker says        ready | status TEXT | shield NAME [SECONDS] | unshield NAME |
 *                          extend SECONDS | shutdown [STATUS] | error TEXT | watchdog | attach |
 *                          job NAME [SECONDS] | submit NAME [wait]
 *     the supervisor says  shutdown REASON SECONDS | reload
 *     and answers          ok [TEXT] | error TEXT | ended exited STATUS | ended killed SIGNAL |
 *                          ended failed STATUS | ended dropped
 *
 * Promises: how the bytes were cut into reads changes nothing; no line, however bad, costs the line
 * after it; what a control_format function writes, its counterpart reads back as the same message.
 */
#ifndef AIORUN_CONTROL_H
#define AIORUN_CONTROL_H

#include "core/msec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_LINE_MAX 1024 /* bytes, with the newline */
#define CONTROL_NAME_MAX 63
#define CONTROL_TIME_MAX (315360000 * SECOND) /* ten years; what is longer is `infinity` */

/* ---- bytes to lines ---- */

/* All zero: nothing read yet. */
struct control_reader {
    char line[CONTROL_LINE_MAX + 1];
    uint16_t used; /* bytes of an unfinished line */
    bool skipping; /* it is too long already */
};

enum control_read {
    CONTROL_READ_MORE, /* all bytes are taken, and the line has not ended */
    CONTROL_READ_LINE, /* reader->line is a line */
    CONTROL_READ_BAD,  /* a line has ended that is too long, or not UTF-8 without control bytes */
};

/* Takes bytes, *taken of the `count`, up to the end of a line.  The line is in reader->line with a
 * NUL for its newline, plain (wire.h), maybe empty, and valid until the next call.  What
 * follows the last newline when the stream ends is no line. */
enum control_read control_read(struct control_reader *reader, const char *bytes, size_t count,
                               size_t *taken);

/* ---- what a worker says ---- */

enum control_verb {
    CONTROL_READY,
    CONTROL_STATUS,
    CONTROL_SHIELD,
    CONTROL_UNSHIELD,
    CONTROL_EXTEND,
    CONTROL_SHUTDOWN,
    CONTROL_ERROR,
    CONTROL_WATCHDOG,
    CONTROL_ATTACH, /* with one descriptor */
    CONTROL_JOB,    /* with a pidfd; on a private channel, as is submit */
    CONTROL_SUBMIT, /* with four descriptors */
};

struct control_message {
    enum control_verb verb;
    const char *name; /* of shield, unshield, job, submit; else NULL */
    const char *text; /* of status, error; else NULL */
    msec time;        /* of extend, shield, job; 0 unless has_time */
    bool has_time;
    bool has_status; /* of shutdown */
    uint32_t status; /* 0..255 */
    bool wait;       /* of submit */
};

/* Is it 1 to CONTROL_NAME_MAX bytes of [A-Za-z0-9._-]? */
bool control_is_name(const char *name);

/* Reads `line`, which is as control_read() leaves it, and cuts it into words in place: the strings
 * of `message` point into it.  False when it is malformed: then *fault says why, as the part of a
 * sentence ("NAME is missing"), and `message` is not to be used. */
bool control_parse(char *line, struct control_message *message, const char **fault);

/* Writes the message's line, with its newline and no NUL, into CONTROL_LINE_MAX bytes and returns
 * its length.  A text is made plain and cut where the line ends (wire_clean()); a time below 0
 * counts as 0, and above CONTROL_TIME_MAX as NEVER.  0 when there is no such line: a NAME that is
 * none, no TEXT, a STATUS above 255. */
size_t control_format(char *buffer, const struct control_message *message);

/* ---- what the supervisor says ---- */

enum control_order { ORDER_SHUTDOWN, ORDER_RELOAD };

struct control_order_message {
    enum control_order order;
    const char *reason; /* of shutdown: one word of lower-case letters, from an open list */
    msec time;          /* of shutdown: what is left */
};

/* As control_parse(). */
bool control_parse_order(char *line, struct control_order_message *message, const char **fault);

/* As control_format(); `reason` must be 1 to CONTROL_NAME_MAX lower-case letters. */
size_t control_format_shutdown(char *buffer, const char *reason, msec time);
size_t control_format_reload(char *buffer);

/* ---- and what it answers, on a private channel ---- */

enum control_answer {
    ANSWER_OK,
    ANSWER_ERROR,
    ANSWER_EXITED,  /* a submitted job's end, if it was asked for */
    ANSWER_KILLED,  /* by a signal */
    ANSWER_FAILED,  /* it could not be started */
    ANSWER_DROPPED, /* its turn never came */
};

struct control_reply {
    enum control_answer answer;
    const char *text; /* of ok: may be NULL; of error: the sentence; else NULL */
    uint32_t number;  /* exited: the status; killed: the signal, 1..127; failed: 125..127; else 0 */
};

/* As control_parse(). */
bool control_parse_reply(char *line, struct control_reply *reply, const char **fault);

/* As control_format(), but there always is a line: `reply` must be as described above. */
size_t control_format_reply(char *buffer, const struct control_reply *reply);

#endif
