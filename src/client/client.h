/* client.h - what the files of the verbs share; nobody else includes it.
 *
 *   verbs.c      which verb, its words, and the verbs that say one line
 *   shield.c     `aiorun shield`
 *   submit.c     `aiorun submit`
 *   channel.c    lines to the supervisor, and a private channel
 *   held.c       signals that are held back, and dying of one
 *   libaiorun.c  the library, which stands by itself (aiorun.h)
 */
#ifndef AIORUN_CLIENT_H
#define AIORUN_CLIENT_H

#include "plan/verb_table.h"
#include "protocol/control.h"
#include "report/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

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
    __attribute__((format(printf, 3, 4)));

/* As complain() of an error; returns STATUS_OWN_FAILURE, for `return fail(...)`. */
int fail(const struct verb *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says that there is no control pipe; STATUS_OWN_FAILURE. */
int fail_without_pipe(const struct verb *verb);

int shield_run(const struct arguments *arguments);
int submit_run(const struct arguments *arguments);

/* ---- channel.c ---- */

struct channel {
    int fd;        /* -1: not open */
    int interrupt; /* its readability ends all waiting; -1: nothing does */
    struct control_reader reader;
    char bytes[CONTROL_LINE_MAX]; /* received, and not read yet: start to end */
    size_t start, end;
};

enum channel_result {
    CHANNEL_DONE,
    CHANNEL_CLOSED,      /* the supervisor is gone, or has closed it */
    CHANNEL_FAILED,      /* errno says why */
    CHANNEL_INTERRUPTED, /* `interrupt` became readable */
};

/* Sends a line over the control pipe, which must be there and gives no answer. */
enum channel_result channel_say(const char *line, size_t length);

/* Opens a channel of our own and has it attached over the control pipe, which must be there.  The
 * answer to that is the first one to read.  All descriptors are above 2 and close on exec. */
enum channel_result channel_open(struct channel *channel, int interrupt);

/* Sends a line with the descriptors `fds`, which stay ours. */
enum channel_result channel_send(struct channel *channel, const char *line, size_t length,
                                 const int *fds, size_t count);

/* Waits for the next answer; lines that are none are passed over.  *reply is valid until the next
 * call. */
enum channel_result channel_read(struct channel *channel, struct control_reply *reply);

/* Waits for an `ok`.  True when it came; false with a complaint, or silently when interrupted. */
bool channel_expect_ok(struct channel *channel, const struct verb *verb);

/* Complains of a result that is not CHANNEL_DONE; false, for `return`. */
bool channel_complain(enum channel_result result, const struct verb *verb);

void channel_close(struct channel *channel);

/* Moves `fd` out of the way of the standard streams, which may be closed and must stay so: returns
 * a descriptor above 2 that closes on exec; -1 with errno. */
int keep_away(int fd);

/* ---- held.c ---- */

/* The kernel's own signal sets: glibc's hide the signals 32 and 33, which are passed on, too. */
typedef uint64_t kernel_sigset;

/* Blocks every signal, but those of job control, so that none is lost; remembers how they were.
 * Once, and first of all. */
void held_begin(void);

/* A signalfd(2) for all held signals; -1 with errno. */
int held_open(void);

/* Another for those alone that end us: INT, TERM, HUP and QUIT, if they were neither ignored nor
 * blocked when we began; -1 with errno. */
int held_open_ending(void);

/* Does what a held signal asks for: dies of it if it ends us, drops it if it might but was ignored
 * or blocked when we began, and passes every other on to our child `pid`, with its value if it has
 * one.  A SIGPIPE of our own is nobody's business. */
void held_obey(const struct signalfd_siginfo *arrived, pid_t pid);

/* Gives all signals back as they were given to us; for the child before it execs. */
void held_give_back(void);

/* Dies of the signal, without a core file.  As PID 1, which cannot, or if there is no such signal
 * here: exits with 128 plus it. */
_Noreturn void die_of(int signal_number);

#endif
