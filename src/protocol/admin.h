/* admin.h - the requests of the admin socket: bytes <-> messages.
 *
 *     supervisor   if (admin_parse(line, &request, &fault)) obey(&request);
 *     client       size_t length = admin_format(line, &request);
 *
 * A connection carries one request, a line of at most ADMIN_LINE_MAX bytes with its newline, and
 * then its answer until the end of file.  Words are separated by single spaces; options stand
 * before the arguments.
 *
 *     status [--json] [--names] [NAME...]
 *     start | stop | restart  [--no-wait] NAME... | --all
 *     signal SIG NAME...
 *     reload
 *     drain [off]
 *     wait-idle
 *     events [--json]
 *     shutdown [--no-wait] [STATUS]
 *     submit [--wait] [--as=WORKER] NAME       with the four descriptors of the control protocol
 *
 * NAME is a worker's, or one of its instances, `web:1`.  The answer's first line is `ok` or `error
 * SENTENCE`; what follows an `ok` is text for people, or JSON.
 *
 * Promises: nothing outside of the line is read or written, whatever it holds; what admin_format()
 * writes, admin_parse() reads back as the same request.
 */
#ifndef AIORUN_ADMIN_H
#define AIORUN_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_LINE_MAX   4096 /* bytes, with the newline */
#define ADMIN_SIGNAL_MAX 15   /* letters of a signal's name, or digits of its number */

enum admin_verb {
    ADMIN_STATUS,
    ADMIN_START,
    ADMIN_STOP,
    ADMIN_RESTART,
    ADMIN_RELOAD,
    ADMIN_SIGNAL,
    ADMIN_DRAIN,
    ADMIN_WAIT_IDLE,
    ADMIN_EVENTS,
    ADMIN_SHUTDOWN,
    ADMIN_SUBMIT,
};

struct admin_request {
    enum admin_verb verb;
    bool json;
    bool names_only;    /* of status: --names */
    bool all;           /* of start, stop, restart */
    bool no_wait;       /* of those, and of shutdown */
    bool wait;          /* of submit */
    bool off;           /* of drain */
    bool has_status;    /* of shutdown */
    uint32_t status;    /* 0..255 */
    const char *signal; /* of signal: a word that may be one; else NULL */
    const char *worker; /* of submit: whose rights the job gets; NULL: not said */
    const char *names;  /* the first of `name_count` strings that follow each other; of submit: the
                           job's name; NULL: none */
    uint32_t name_count;
};

/* A worker, or one of its instances. */
struct admin_target {
    size_t length; /* of the worker's name, with which the text begins */
    bool has_instance;
    uint32_t instance;
};

/* Reads `line`, of `length` bytes without its newline, with room for a NUL behind them, and cuts it
 * into words in place: the strings of `request` point into it.  False when it is malformed: then
 * *fault says why, as the part of a sentence ("NAME is missing"), and `request` is not to be
 * used. */
bool admin_parse(char *line, size_t length, struct admin_request *request, const char **fault);

/* Writes the request's line, with its newline and no NUL, into ADMIN_LINE_MAX bytes and returns its
 * length.  0 when there is no such line: a name that is none, or too many of them. */
size_t admin_format(char *buffer, const struct admin_request *request);

/* The name after `name` in a request's list. */
const char *admin_next_name(const char *name);

/* Is `text` a NAME, or NAME:INSTANCE?  Fills *target. */
bool admin_parse_target(const char *text, struct admin_target *target);

#endif
