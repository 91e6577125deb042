/* policy.h - pure questions with one answer each.
 *
 *     if (policy_is_success(&worker->success, end, requested)) ...
 *     if (policy_wants_restart(worker->restart, success))
 *         start_at = policy_next_start(&worker->backoff, &history, now, uptime);
 *
 * No state is kept here: what an answer depends on is in its arguments.
 */
#ifndef AIORUN_POLICY_H
#define AIORUN_POLICY_H

#include "core/msec.h"

#include <stdbool.h>
#include <stdint.h>

/* Statuses of aiorun's own, as env(1), nohup(1) and timeout(1) use them.  The
 * man page's EXIT STATUS section is checked against these. */
enum exit_status {
    STATUS_NO_ANSWER = 124,      /* of a verb: the supervisor is there, but does not answer */
    STATUS_OWN_FAILURE = 125,    /* usage, config, out of resources; a command outlived SIGKILL */
    STATUS_NOT_EXECUTABLE = 126, /* the command was found, but did not start */
    STATUS_NOT_FOUND = 127,      /* the command was not found */
    STATUS_SIGNAL_BASE = 128,    /* PID 1 cannot die of a signal: 128 + its number */
};

/* How a process ended. */
enum ending_kind {
    ENDING_NONE,        /* it has not */
    ENDING_EXITED,      /* value: its exit status; 32 bits on Windows */
    ENDING_KILLED,      /* value: the signal's number */
    ENDING_NOT_STARTED, /* value: one of 125, 126, 127 */
};

struct ending {
    enum ending_kind kind;
    uint32_t value;
};

/* --success-status: the ends that count as success beside exit 0. */
struct success_set {
    uint64_t codes[4]; /* bit N%64 of word N/64: exit status N, 0..255 */
    uint64_t signals;  /* bit N-1: death by signal N, 1..64 */
    bool requested;    /* death by, or exit 128 plus, a signal that we sent to stop it */
};

void success_add_code(struct success_set *set, unsigned code);     /* 0..255 */
void success_add_signal(struct success_set *set, unsigned signal); /* 1..64 */

/* Is `end` a success?  `requested`: it was by, or exit 128 plus, a signal that
 * aiorun sent.  Never true for ENDING_NONE and ENDING_NOT_STARTED.  Code N above
 * 128 also matches death by signal N-128: what one shell calls 143 another
 * calls TERM. */
bool policy_is_success(const struct success_set *set, struct ending end, bool requested);

enum policy_restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct policy_backoff {
    msec min, max;     /* restart-delay; 0 <= min <= max */
    uint32_t limit;    /* restart-limit N/D: at most N restarts in a window D; 0: no limit */
    msec limit_window; /* D */
};

/* What is remembered of an instance's restarts. */
struct policy_history {
    msec delay;        /* the delay used last; 0: none since it was stable */
    msec window_start; /* of the restarts counted now */
    uint32_t window_count;
};

#define STABLE_AFTER (30 * SECOND) /* up for this long: the next delay is min again */

/* Should an instance that ended by itself start again, by its policy alone? */
bool policy_wants_restart(enum policy_restart restart, bool success);

/* The time of the next start of an instance that ended at `now` after `uptime`:
 * the delay doubles from min to max and starts anew after STABLE_AFTER.  NEVER
 * when the window holds `limit` restarts already (systemd's
 * StartLimitIntervalSec= counts the same way).  Counts the restart. */
msec policy_next_start(const struct policy_backoff *backoff, struct policy_history *history,
                       msec now, msec uptime);

/* The share of the shutdown that whoever is asked late still gets: 2 s, or less so that the
 * reserves of all stop waves, of trees and of orphans fit in half of `cap`. */
msec policy_reserve(msec cap, uint32_t waves);

/* Everything the exit status depends on, as spec and aiorun(1) list it. */
struct policy_outcome {
    bool launcher;               /* one command, and not --forever */
    struct ending never_started; /* the command's, when it never ran at all */
    bool status_given;           /* by a `shutdown STATUS` request */
    uint32_t status;
    struct ending first_error; /* ENDING_NONE: no failure that nothing handled */
    struct ending command;     /* the command's own last end */
};

/* The end aiorun itself comes to, before --success-status is applied. */
struct ending policy_outcome(const struct policy_outcome *outcome);

#endif
