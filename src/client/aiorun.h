/* aiorun.h - libaiorun: a program's side of aiorun's control pipe.  See aiorun(3).
 *
 *     aiorun_ready();
 *     poll(aiorun_fd() and what else there is);
 *     if (aiorun_receive(&order) == 1 && order.kind == AIORUN_SHUTDOWN) finish();
 *
 *     aiorun_shield("upload", 10);
 *     upload();
 *     aiorun_unshield("upload");
 *
 * Promises: nothing is allocated, no thread is started, no signal is handled or raised, and no
 * state is kept, so that every function may be called from any thread and after fork(2).  Nothing
 * waits.  Without an aiorun above, or when its descriptor has become something else, every function
 * does nothing and returns 0.  Descriptors are used as they are: none is opened, closed or changed.
 *
 * Functions that send return 0, or -1 with errno:
 *     EINVAL     a name, text or number that the protocol does not allow; told without an
 *                aiorun, too
 *     EMSGSIZE   a text that does not fit into a line; it is never cut
 *     EAGAIN     the supervisor has not read for a while: poll aiorun_fd() for POLLOUT
 *     EPIPE      the supervisor is gone
 *
 * On Windows there is a named pipe instead of a descriptor: the first call connects to it, and that
 * connection is kept, which is the only state.  It may take a second where many connect at once,
 * and is the one wait; all threads may use it.
 *
 * A name is 1 to 63 of A-Z a-z 0-9 . _ -, and a text is UTF-8 without control characters.  Times
 * are seconds, counted to the millisecond; HUGE_VAL (math.h) stands for `infinity`.
 */
#ifndef AIORUN_H
#define AIORUN_H

#ifdef __cplusplus
extern "C" {
#endif

#define AIORUN_NAME_MAX 63   /* bytes of a name */
#define AIORUN_TEXT_MAX 1016 /* bytes of a text: what a line of 1,024 leaves */

/* 1 when there is an aiorun to talk to, else 0. */
int aiorun_available(void);

/* The worker is ready. */
int aiorun_ready(void);

/* What it is doing, for people. */
int aiorun_status(const char *text);

/* Holds a shield: a shutdown waits for it, `seconds` at the most; below 0: as long as
 * the supervisor says.  Shields of one name nest by count, and the later deadline wins.  All end
 * with the run. */
int aiorun_shield(const char *name, double seconds);

/* Releases one. */
int aiorun_unshield(const char *name);

/* During a shutdown: this run's deadline is at least so far away, but never past the cap. */
int aiorun_extend(double seconds);

/* Begins the shutdown of everything.  The supervisor exits with `status`, 0 to 255; -1: with none
 * asked for. */
int aiorun_shutdown(int status);

/* An error that nobody handled and that did not end the program. */
int aiorun_error(const char *text);

/* The program is alive. */
int aiorun_watchdog(void);

/* ---- what the supervisor says ---- */

enum aiorun_kind {
    AIORUN_SHUTDOWN = 1, /* finish */
    AIORUN_RELOAD = 2    /* read your configuration again */
};

struct aiorun_order {
    enum aiorun_kind kind;
    char reason[AIORUN_NAME_MAX + 1]; /* of AIORUN_SHUTDOWN: one word, else empty */
    double seconds;                   /* of AIORUN_SHUTDOWN: the time left; HUGE_VAL: no limit */
};

/* The descriptor of the control pipe, for poll(2) with POLLIN; -1 when there is none, which poll
 * passes over.  Windows: the value of an event's handle, to be made one by way of intptr_t, which
 * is set while there is something to receive: WaitForSingleObject(). */
int aiorun_fd(void);

/* Takes the next message, and nothing else, from the pipe.  1: it is in *order.  0: there is none
 * now.  -1: errno says why; EPIPE is final: the supervisor is gone, and aiorun_fd() should not be
 * polled any more.  Lines of a later protocol are passed over.  One thread of one process of a run
 * should receive: whoever reads a message has it alone. */
int aiorun_receive(struct aiorun_order *order);

#ifdef __cplusplus
}
#endif

#endif
