/* client.h - what the files of the verbs share; nobody else includes it.
 *
 *   verbs.c      which verb, its words, and the verbs that say one line
 *   submit.c     `aiorun submit`
 *   people.c     the verbs for people, and shutdown, over the admin socket
 *   channel.c    answers of the supervisor
 *   library.h    the library, which stands by itself (aiorun.h)
 *   posix/       what only the system can do: channels, processes, who is meant;
 *   win32/       one of the two is linked in
 */
#ifndef AIORUN_CLIENT_H
#define AIORUN_CLIENT_H

#include "plan/verb_table.h"
#include "protocol/control.h"
#include "report/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- verbs.c ---- */

/* What was said to a verb. */
struct arguments {
    const struct verb *verb;
    const char
        *options[VERB_OPTIONS_MAX]; /* by their row; NULL: not given, "": a switch that was */
    char **rest;                    /* what follows them; ends in NULL */
    bool dashes;                    /* `--` stood before the rest */
};

/* The option's value; NULL when it was not given. */
const char *arguments_option(const struct arguments *arguments, const char *name);

/* Is there a command after `--`?  Complains when not. */
bool arguments_have_command(const struct arguments *arguments);

/* The name of a job: --name, or the command's own name with other characters replaced.  `buffer`
 * has CONTROL_NAME_MAX + 1 bytes.  NULL with a complaint when --name is none. */
const char *arguments_job_name(const struct arguments *arguments, char *buffer);

/* Complains of `verb`, in one line on standard error. */
void complain(const struct verb *verb, enum log_level level, const char *format, ...)
    __attribute__((format(__printf__, 3, 4)));

/* As complain() of an error; returns STATUS_OWN_FAILURE, for `return fail(...)`. */
int fail(const struct verb *verb, const char *format, ...)
    __attribute__((format(__printf__, 2, 3)));

int submit_run(const struct arguments *arguments);

/* ---- people.c ---- */

struct channel;

/* Is the verb for the admin socket: by --control, or because there is no control pipe? */
bool people_are_meant(const struct arguments *arguments);

/* Connects `channel` to the admin socket that is meant: --control, AIORUN_OPT_CONTROL, or the only
 * live one in the default places.  False with a complaint: see channel_status(). */
bool people_connect(struct channel *channel, const struct arguments *arguments);

int people_run(const struct arguments *arguments);

/* ---- channel.c ---- */

/* How long an answer is waited for.  One that is not there for so long is none: CHANNEL_SILENT. */
#define ANSWER_WITHIN (5 * SECOND)
enum channel_patience {
    PATIENCE_ENDLESS,
    PATIENCE_TAKEN, /* the same, once the supervisor has read what was sent */
    PATIENCE_ANSWERED,
};

struct channel {
    intptr_t link; /* a descriptor or a handle; -1: not open */
    int interrupt; /* its readability ends all waiting; -1: nothing does */
    enum channel_patience patience;
    bool silent; /* it has been CHANNEL_SILENT */
    struct control_reader reader;
    char bytes[CONTROL_LINE_MAX]; /* received, and not read yet: start to end */
    size_t start, end;
};

enum channel_result {
    CHANNEL_DONE,
    CHANNEL_CLOSED,      /* the supervisor is gone, or has closed it */
    CHANNEL_FAILED,      /* system_reason() says why */
    CHANNEL_INTERRUPTED, /* `interrupt` became readable */
    CHANNEL_SILENT,      /* Windows: never */
};

/* Waits for the next answer; lines that are none are passed over.  *reply is valid until the next
 * call. */
enum channel_result channel_read(struct channel *channel, struct control_reply *reply);

/* Waits for an `ok`.  True when it came; false with a complaint, or silently when interrupted. */
bool channel_expect_ok(struct channel *channel, const struct verb *verb);

/* Complains of a result that is not CHANNEL_DONE; false, for `return`. */
bool channel_complain(const struct channel *channel, enum channel_result result,
                      const struct verb *verb);

/* The exit status of a verb that has complained of the channel. */
int channel_status(const struct channel *channel);

/* Waits for the end of job `name`.  True when it exited, or could not be started, as the reply then
 * says: its number is the exit status.  Dies of the signal that killed it; false with a complaint.
 */
bool channel_read_end(struct channel *channel, const struct verb *verb, const char *name,
                      struct control_reply *reply);

/* ---- the system's half: the control pipe ---- */

/* Does the environment tell of a control pipe, be it there or not? */
bool channel_is_named(void);

/* Says that there is no control pipe; STATUS_OWN_FAILURE. */
int fail_without_pipe(const struct verb *verb);

/* Sends a line over the control pipe, which must be there and gives no answer. */
enum channel_result channel_say(const char *line, size_t length);

/* Opens a channel of our own and has it attached over the control pipe, which must be there.  The
 * answer to that is the first one to read.  No program that we start inherits it. */
enum channel_result channel_attach(struct channel *channel, int interrupt);

enum channel_result channel_send(struct channel *channel, const char *line, size_t length);

/* Waits for bytes, at most `size`; *count of them came. */
enum channel_result channel_take(struct channel *channel, char *buffer, size_t size, size_t *count);

void channel_close(struct channel *channel);

/* Who is at the other end of an admin socket, and how he is, as far as that can be seen: what
 * stands before and behind "does not answer". */
struct channel_peer {
    char whom[32];
    const char *state;
};
void channel_look(const struct channel *channel, struct channel_peer *peer);

/* ---- ... the admin socket ---- */

/* What people call it here: "socket". */
extern const char people_door[];

/* A connection to the one with this name; -1: system_reason() says why, or people_are_silent() that
 * somebody is there, but has let nobody in for ANSWER_WITHIN. */
intptr_t people_dial(const char *name);
bool people_are_silent(void);

/* Calls `note` with each name that a live supervisor of ours may have given it by itself. */
void people_search(void (*note)(const char *name));

/* ---- ... jobs ---- */

/* `aiorun shield`: runs the command, shielded under `name`, for no longer than `deadline` unless
 * that is NULL, and ends like it, or by a signal that is the caller's.  Returns the exit status. */
int shield_command(const struct arguments *arguments, const char *name, const msec *deadline);

/* Collects what a submission has beside its line; false with a complaint.  Then sends both. */
bool request_prepare(const struct arguments *arguments);
enum channel_result request_send(struct channel *channel, const char *line, size_t length);

/* Holds signals back for a verb that passes them on to its command.  Once, and first of all. */
void held_begin(void);

/* Dies of the signal, without a core file.  As PID 1, which cannot, or if there is no such signal
 * here: exits with 128 plus it. */
_Noreturn void die_of(int signal_number);

/* ---- ... and the rest ---- */

/* Whole lines or none on standard error: a verb's is its worker's, and must not hold it up. */
bool system_tell(const char *line, size_t length);

/* Why what was tried last has failed. */
const char *system_reason(void);

/* Is standard output a terminal, with colours? */
bool system_shows_colours(void);

void system_wait_second(void);

/* The part of a program's path that names it. */
const char *system_file_name(const char *path);

#endif
